package canonical

import (
	"bytes"
	"crypto/sha256"
	"slices"
)

// Identity is what a provider finds a customer by. What is kept of it is a list of
// digests, from which nobody reads the keys, and which are of no use for finding
// the same keys at another customer.
type Identity struct {
	// Customer is the application's id.
	Customer string
	// Keys are those that the upsert is sent with. Any one of them leads the
	// provider to the record.
	Keys []IdentityKey
	// Fixed says that a record keeps the keys that it was created with, whatever
	// later upserts state.
	Fixed bool
}

// IdentityKey is one key of a customer.
type IdentityKey struct {
	// Text is the kind of the key and its value, in the form in which the
	// provider compares them.
	Text string
	// Pointer leads to what the key was made of, in the caller's payload
	// (RFC 6901). Field is the provider's spelling.
	Pointer, Field string
}

// digestLen is the length of one key's digest.
const digestLen = 8

// Digest returns the digests of the keys, in their own order, or nil if there are
// no keys.
func (id Identity) Digest() []byte {
	list := make([][]byte, 0, len(id.Keys))
	for _, k := range id.Keys {
		sum := sha256.Sum256([]byte(id.Customer + "\x00" + k.Text))
		list = append(list, sum[:digestLen])
	}
	slices.SortFunc(list, bytes.Compare)
	return bytes.Join(slices.CompactFunc(list, bytes.Equal), nil)
}

// Changed reports whether the provider cannot find the record by any of the keys,
// as far as kept, from the upsert before, tells. Nothing is known of a customer
// without kept.
func (id Identity) Changed(kept []byte) bool {
	now := id.Digest()
	if len(now) == 0 || len(kept) == 0 || len(kept)%digestLen != 0 {
		return false
	}
	for key := range slices.Chunk(kept, digestLen) {
		for k := range slices.Chunk(now, digestLen) {
			if bytes.Equal(key, k) {
				return false
			}
		}
	}
	return true
}

// Keep returns what is to be kept after the upsert was confirmed: what Changed is
// asked about next time. kept is what was kept before.
func (id Identity) Keep(kept []byte) []byte {
	now := id.Digest()
	if len(now) == 0 || id.Fixed && len(kept) > 0 && len(kept)%digestLen == 0 && !id.Changed(kept) {
		return kept
	}
	return now
}

// Refusal returns the error of an upsert whose keys have changed and that is
// therefore not sent.
func (id Identity) Refusal(provider string) *Error {
	e := &Error{
		Code: UpstreamIdentityConflict, Provider: provider,
		Message: provider + " found this customer by other keys until now, and would make a second record of it. State one of the earlier keys, or have the operator set identity_change of the route to warn or follow",
	}
	for _, k := range id.Keys {
		fe := FieldError{Pointer: k.Pointer, Field: k.Field, Code: FieldUnsupported, Message: provider + ": " + k.Field + " identifies the customer and must not change on this route"}
		if k.Pointer != "" && !slices.Contains(e.Fields, fe) {
			e.Fields = append(e.Fields, fe)
		}
	}
	return e
}

// Notice tells of an upsert that is sent although its keys have changed. record is
// the remote id that the customer had until now, if it is known.
func (id Identity) Notice(provider, record string) Notice {
	n := Notice{Code: NoticeIdentity, Message: provider + " found this customer by other keys until now, so that it may have a second record there"}
	if record != "" {
		n.Message += "; the one until now is " + record
	}
	if len(id.Keys) > 0 {
		n.Pointer, n.Field = id.Keys[0].Pointer, id.Keys[0].Field
	}
	return n
}
