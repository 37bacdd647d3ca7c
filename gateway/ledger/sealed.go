package ledger

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"customer-gateway/canonical"
)

// Sealable is a store whose payloads and results Sealed can encrypt. It does not
// look into them; it keeps a note of the keys in use, and rewrites in place.
type Sealable interface {
	Store

	// SealKeys returns what SetSealKeys recorded last, nil for nothing.
	SealKeys(ctx context.Context) ([]string, error)

	// SetSealKeys records ids in place of those before. It is as durable as an
	// Accept: nothing is sealed with a key that is not on record.
	SetSealKeys(ctx context.Context, ids []string) error

	// Rewrite shows rewrite the payloads and results that are held, at most limit
	// of them after the position, and puts what it returns in their place, all in
	// one commit; nil leaves one as it is. It returns the next position, which is
	// the store's own affair; the empty one is both the start and the end. What
	// was there all the time between start and end has been shown. rewrite is
	// quick, and must not call the store.
	Rewrite(ctx context.Context, position string, limit int, rewrite func(Blob) []byte) (next string, err error)
}

// Blob is a payload or a result that a store holds.
type Blob struct {
	Customer string
	Route    string // of a result; empty for a payload
	Data     []byte // must not be modified or kept
}

// SealKey is a key of 256 random bits. It does not print itself.
type SealKey [chacha20poly1305.KeySize]byte

// ParseSealKey reads a key of 32 bytes in base64, as "openssl rand -base64 32"
// writes it. The error does not show it.
func ParseSealKey(text string) (SealKey, error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil || len(raw) != chacha20poly1305.KeySize {
		return SealKey{}, fmt.Errorf("an encryption key must be %d bytes in base64; make one with: openssl rand -base64 %[1]d", chacha20poly1305.KeySize)
	}
	return SealKey(raw), nil
}

// ID names the key without giving it away.
func (k SealKey) ID() string {
	id := k.id()
	return hex.EncodeToString(id[:])
}

func (k SealKey) id() (id keyID) {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte("customer-gateway/ledger: key id"))
	copy(id[:], mac.Sum(nil))
	return id
}

// Format prints the key's name, whatever the verb.
func (k SealKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "key "+k.ID()) }

// MarshalText returns the key's name.
func (k SealKey) MarshalText() ([]byte, error) { return []byte("key " + k.ID()), nil }

type keyID [4]byte

// What is sealed is laid out as
//
//	version (1 byte), key id (4), nonce (24), ciphertext and tag (16 more than the text)
//
// under XChaCha20-Poly1305, whose nonces are long enough to be drawn at random for
// as long as a key is used. What is not sealed is JSON, which no control character
// begins.
const (
	sealVersion = 1
	sealHead    = 1 + len(keyID{}) + chacha20poly1305.NonceSizeX
	sealTail    = chacha20poly1305.Overhead
)

// plainKey stands among the keys in use for what was written before there was one.
const plainKey = "plain"

// resealPart bounds what one Sweep reseals.
const resealPart = 256

// Sealed returns s with every payload and result encrypted under the first key, and
// bound to its customer: moved to another one, it does not open. All keys open, and
// what was written before there was a key is read as it is. Customer and route names,
// versions, times, codes and remote ids are not encrypted, since they are looked for;
// nor are identities, which are digests.
//
// To rotate, put the new key in front. Sweep reseals what is under others, a part at
// a time; once that is done, the old key may be removed. Where several processes
// share a store, all need the new key among theirs before the first one seals with
// it, and all seal with it before the old one goes.
//
// An error means that the store cannot be used with these keys: a key that is in use
// is missing. Without any key, s itself is returned if nothing in it is sealed. So
// every store should pass through here.
func Sealed(ctx context.Context, s Store, keys []SealKey) (Store, error) {
	inner, ok := s.(Sealable)
	if !ok {
		if len(keys) == 0 {
			return s, nil
		}
		return nil, errors.New("ledger: this kind of store cannot be encrypted; remove ledger.encryption")
	}
	used, err := inner.SealKeys(ctx)
	if err != nil {
		return nil, err
	}
	z := &sealed{Store: inner, inner: inner, keys: make(map[keyID]cipher.AEAD, len(keys))}
	for _, k := range keys {
		aead, err := chacha20poly1305.NewX(k[:])
		if err != nil {
			return nil, fmt.Errorf("ledger: %s: %w", k, err)
		}
		if _, twice := z.keys[k.id()]; twice {
			return nil, fmt.Errorf("ledger: %s is configured twice", k)
		}
		z.keys[k.id()] = aead
	}
	var missing []string
	for _, id := range used {
		if id != plainKey && !slices.ContainsFunc(keys, func(k SealKey) bool { return k.ID() == id }) {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("ledger: what is stored is encrypted under key %s, which is not among the %d keys configured; add it to ledger.encryption.keys (after the first, if it is being replaced)", strings.Join(missing, " and key "), len(keys))
	}
	if len(keys) == 0 {
		return s, nil
	}
	z.first = keys[0].id()
	first := keys[0].ID()
	if len(used) == 0 {
		used = []string{plainKey}
	}
	if !slices.Contains(used, first) {
		used = append(slices.Clone(used), first)
		if err := inner.SetSealKeys(ctx, used); err != nil {
			return nil, err
		}
	}
	z.resealing = len(used) > 1
	return z, nil
}

// sealed is a store that keeps ciphertext in another.
type sealed struct {
	Store // what needs no key
	inner Sealable
	first keyID // seals
	keys  map[keyID]cipher.AEAD

	mu        sync.Mutex // held while a part is resealed
	resealing bool       // something may not be under first
	position  string
	foreign   map[string]bool // keys seen on the way that are not ours
}

func (z *sealed) Accept(ctx context.Context, a Accept) (Accepted, error) {
	a.Payload = z.seal(a.Payload, "", a.Customer)
	return z.inner.Accept(ctx, a)
}

func (z *sealed) Claim(ctx context.Context, route string, limit int, lease time.Duration) ([]Lease, error) {
	leases, err := z.inner.Claim(ctx, route, limit, lease)
	for i := range leases {
		z.openLease(&leases[i])
	}
	return leases, err
}

func (z *sealed) ClaimSlot(ctx context.Context, route, customer string, lease time.Duration) (Lease, bool, error) {
	l, ok, err := z.inner.ClaimSlot(ctx, route, customer, lease)
	if ok {
		z.openLease(&l)
	}
	return l, ok, err
}

func (z *sealed) Finish(finishes []Finish, done func([]Finished, error)) {
	finishes = slices.Clone(finishes)
	for i := range finishes {
		f := &finishes[i]
		f.Result = z.seal(f.Result, f.Route, f.Customer)
	}
	z.inner.Finish(finishes, done)
}

func (z *sealed) Slot(ctx context.Context, route, customer string) (Slot, error) {
	s, err := z.inner.Slot(ctx, route, customer)
	z.openSlot(&s)
	return s, err
}

func (z *sealed) Customer(ctx context.Context, id string) (Customer, error) {
	c, err := z.inner.Customer(ctx, id)
	c.Payload, c.Damaged = z.open(c.Payload, "", id)
	for i := range c.Slots {
		z.openSlot(&c.Slots[i])
	}
	return c, err
}

func (z *sealed) Operation(ctx context.Context, version int64) (Operation, error) {
	o, err := z.inner.Operation(ctx, version)
	for i := range o.Slots {
		z.openSlot(&o.Slots[i])
	}
	return o, err
}

func (z *sealed) DeadLetters(ctx context.Context, f Filter) ([]DeadLetter, error) {
	letters, err := z.inner.DeadLetters(ctx, f)
	for i := range letters {
		z.openSlot(&letters[i].Slot)
	}
	return letters, err
}

// Sweep also reseals a part of what is not under the first key.
func (z *sealed) Sweep(ctx context.Context, s Sweep) (more bool, err error) {
	more, err = z.inner.Sweep(ctx, s)
	if err != nil {
		return more, err
	}
	rest, err := z.reseal(ctx)
	return more || rest, err
}

// reseal reseals the next part and reports whether there are others.
func (z *sealed) reseal(ctx context.Context) (more bool, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if !z.resealing {
		return false, nil
	}
	if z.position == "" {
		z.foreign = map[string]bool{}
	}
	next, err := z.inner.Rewrite(ctx, z.position, resealPart, z.renew)
	if err != nil {
		return false, err
	}
	if z.position = next; next != "" {
		return true, nil
	}
	used := []string{hex.EncodeToString(z.first[:])}
	for id := range z.foreign {
		used = append(used, id)
	}
	slices.Sort(used[1:])
	if err := z.inner.SetSealKeys(ctx, used); err != nil {
		return false, err
	}
	z.resealing = false
	return false, nil
}

// renew returns b under the first key, or nil if it is or cannot be.
func (z *sealed) renew(b Blob) []byte {
	if id, ok := keyOf(b.Data); ok {
		if id == z.first {
			return nil
		}
		if z.keys[id] == nil {
			z.foreign[hex.EncodeToString(id[:])] = true
			return nil
		}
	}
	text, err := z.open(b.Data, b.Route, b.Customer)
	if err != nil {
		return nil // no key will ever open it
	}
	return z.seal(text, b.Route, b.Customer)
}

func (z *sealed) openLease(l *Lease) {
	l.Payload, l.Damaged = z.open(l.Payload, "", l.Customer)
}

// openSlot opens the result. One that cannot be opened is left out: what the
// gateway does next does not depend on it, and Code tells the rest.
func (z *sealed) openSlot(s *Slot) {
	s.Result, _ = z.open(s.Result, s.Route, s.Customer)
}

// seal seals text; nil stays nil.
func (z *sealed) seal(text []byte, route, customer string) []byte {
	if text == nil {
		return nil
	}
	box := make([]byte, sealHead, sealHead+len(text)+sealTail)
	box[0] = sealVersion
	copy(box[1:], z.first[:])
	nonce := box[1+len(keyID{}):]
	_, _ = rand.Read(nonce) // never fails
	return z.keys[z.first].Seal(box, nonce, text, bound(route, customer))
}

// open opens what seal sealed, and returns what was never sealed as it is.
func (z *sealed) open(box []byte, route, customer string) ([]byte, error) {
	id, ok := keyOf(box)
	if !ok {
		return box, nil
	}
	damaged := func(why string) error {
		return &canonical.Error{Code: canonical.GatewayInternal, Message: "the stored state cannot be decrypted: " + why + "; send the customer again, or restore a backup"}
	}
	aead := z.keys[id]
	if aead == nil {
		return nil, damaged(fmt.Sprintf("key %x is not configured", id))
	}
	if len(box) < sealHead+sealTail {
		return nil, damaged("it is cut off")
	}
	text, err := aead.Open(nil, box[1+len(id):sealHead], box[sealHead:], bound(route, customer))
	if err != nil {
		return nil, damaged(fmt.Sprintf("it was changed after it was sealed under key %x", id))
	}
	if text == nil {
		text = []byte{} // it is held, and empty
	}
	return text, nil
}

// keyOf returns the key under which box is sealed, and whether it is.
func keyOf(box []byte) (id keyID, ok bool) {
	if len(box) == 0 || box[0] != sealVersion {
		return id, false
	}
	copy(id[:], box[1:])
	return id, true
}

// bound is what a sealed payload or result belongs to.
func bound(route, customer string) []byte {
	if route == "" {
		return []byte("payload\x00" + customer)
	}
	return []byte("result\x00" + route + "\x00" + customer)
}
