package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
)

// shelf is a Sealable that holds blobs and the note of the keys only. What a whole
// store does under Sealed is in package ledgertest.
type shelf struct {
	Sealable // nil: what is not needed here panics
	ids      []string
	blobs    []Blob
	fails    error
	calls    int
}

func (s *shelf) SealKeys(context.Context) ([]string, error) { return s.ids, s.fails }

func (s *shelf) SetSealKeys(_ context.Context, ids []string) error {
	if s.fails == nil {
		s.ids = ids
	}
	return s.fails
}

func (s *shelf) Rewrite(_ context.Context, position string, limit int, rewrite func(Blob) []byte) (string, error) {
	s.calls++
	if s.fails != nil {
		return "", s.fails
	}
	i := len(position)
	for ; limit > 0 && i < len(s.blobs); i, limit = i+1, limit-1 {
		if data := rewrite(s.blobs[i]); data != nil {
			s.blobs[i].Data = data
		}
	}
	if i == len(s.blobs) {
		return "", nil
	}
	return strings.Repeat("x", i), nil
}

func (s *shelf) Sweep(context.Context, Sweep) (bool, error) { return false, s.fails }

func (s *shelf) Claim(context.Context, string, int, time.Duration) ([]Lease, error) {
	var leases []Lease
	for _, b := range s.blobs {
		leases = append(leases, Lease{Customer: b.Customer, Payload: b.Data})
	}
	return leases, s.fails
}

// box seals text as a store under key would hold it.
func box(t *testing.T, key SealKey, text, route, customer string) []byte {
	t.Helper()
	s, err := Sealed(t.Context(), &shelf{}, []SealKey{key})
	if err != nil {
		t.Fatal(err)
	}
	return s.(*sealed).seal([]byte(text), route, customer)
}

func TestSealOpensWhatItBelongsTo(t *testing.T) {
	t.Parallel()
	key, other := SealKey{1}, SealKey{2}
	s, err := Sealed(t.Context(), &shelf{}, []SealKey{other, key})
	if err != nil {
		t.Fatal(err)
	}
	z := s.(*sealed)
	payload, result := box(t, key, `{"a":1}`, "", "anna"), box(t, key, `{"a":1}`, "crm", "anna")
	if bytes.Equal(payload, box(t, key, `{"a":1}`, "", "anna")) {
		t.Error("the same text is sealed alike twice")
	}
	if bytes.Contains(payload, []byte(`"a"`)) || len(payload) != len(`{"a":1}`)+sealHead+sealTail {
		t.Errorf("sealed = %x", payload)
	}
	stranger := box(t, SealKey{3}, "{}", "", "anna")
	tests := []struct {
		name            string
		box             []byte
		route, customer string
		want            string // empty: it must not open
	}{
		{"payload", payload, "", "anna", `{"a":1}`},
		{"result", result, "crm", "anna", `{"a":1}`},
		{"under the first key", box(t, other, "{}", "", "anna"), "", "anna", "{}"},
		{"never sealed", []byte(`{"b":2}`), "", "anna", `{"b":2}`},
		{"of another customer", payload, "", "bert", ""},
		{"a payload as a result", payload, "crm", "anna", ""},
		{"a result as a payload", result, "", "anna", ""},
		{"of another route", result, "shop", "anna", ""},
		{"under an unknown key", stranger, "", "anna", ""},
		{"only the version", payload[:1], "", "anna", ""},
		{"only the head", payload[:sealHead], "", "anna", ""},
	}
	for i := range payload[1:] { // whatever bit is changed
		flipped := bytes.Clone(payload)
		flipped[i+1] ^= 0x10
		tests = append(tests, struct {
			name            string
			box             []byte
			route, customer string
			want            string
		}{fmt.Sprint("byte ", i+1), flipped, "", "anna", ""})
	}
	for _, test := range tests {
		got, err := z.open(test.box, test.route, test.customer)
		if string(got) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: open = %q, %v; want %q", test.name, got, err, test.want)
		}
		if err == nil {
			continue
		}
		e, ok := errors.AsType[*canonical.Error](err)
		if !ok || got != nil || strings.Contains(e.Message, "anna") || !strings.Contains(e.Message, "restore a backup") {
			t.Errorf("%s: error = %+v", test.name, err)
		}
	}
}

func TestSealKeepsNilAndEmptyApart(t *testing.T) {
	t.Parallel()
	s, err := Sealed(t.Context(), &shelf{}, []SealKey{{1}})
	if err != nil {
		t.Fatal(err)
	}
	z := s.(*sealed)
	if got := z.seal(nil, "", "anna"); got != nil {
		t.Errorf("seal(nil) = %x", got)
	}
	if got, err := z.open(nil, "", "anna"); got != nil || err != nil {
		t.Errorf("open(nil) = %x, %v", got, err)
	}
	if got, err := z.open(z.seal([]byte{}, "", "anna"), "", "anna"); got == nil || len(got) != 0 || err != nil {
		t.Errorf("open(seal(empty)) = %x, %v", got, err)
	}
}

func TestDamagedLeaseKeepsItsToken(t *testing.T) {
	t.Parallel()
	inner := &shelf{blobs: []Blob{
		{Customer: "anna", Data: box(t, SealKey{9}, "{}", "", "anna")},
		{Customer: "bert"},
		{Customer: "carl", Data: box(t, SealKey{1}, "{}", "", "carl")},
	}}
	s, err := Sealed(t.Context(), inner, []SealKey{{1}})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := s.Claim(t.Context(), "crm", 3, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if l := leases[0]; l.Payload != nil || l.Damaged == nil || l.Customer != "anna" {
		t.Errorf("cannot be opened: %+v", l)
	}
	if l := leases[1]; l.Payload != nil || l.Damaged != nil {
		t.Errorf("no longer held: %+v", l)
	}
	if l := leases[2]; string(l.Payload) != "{}" || l.Damaged != nil {
		t.Errorf("whole: %+v", l)
	}
}

// TestResealKeepsTheNoteOfStrangers: a key that is still needed is not dropped from
// the note because the store cannot be resealed; what is broken for good is no
// reason to keep one.
func TestResealKeepsTheNoteOfStrangers(t *testing.T) {
	t.Parallel()
	first, old, stranger := SealKey{1}, SealKey{2}, SealKey{3}
	broken := box(t, old, "{}", "", "bert")
	broken[len(broken)-1] ^= 1
	inner := &shelf{ids: []string{old.ID()}}
	for i := range 2*resealPart + 10 {
		c := fmt.Sprint("customer ", i)
		inner.blobs = append(inner.blobs, Blob{Customer: c, Data: box(t, old, "{}", "", c)})
	}
	inner.blobs[3] = Blob{Customer: "anna", Data: box(t, stranger, "{}", "", "anna")}
	inner.blobs[4] = Blob{Customer: "bert", Data: broken}
	s, err := Sealed(t.Context(), inner, []SealKey{first, old})
	if err != nil {
		t.Fatal(err)
	}
	parts := 1
	for ; ; parts++ {
		more, err := s.Sweep(t.Context(), Sweep{})
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
		if len(inner.ids) != 2 {
			t.Fatalf("after %d parts the note is %v", parts, inner.ids)
		}
	}
	if parts != 3 {
		t.Errorf("%d parts, want 3", parts)
	}
	if want := []string{first.ID(), stranger.ID()}; strings.Join(inner.ids, " ") != strings.Join(want, " ") {
		t.Errorf("note = %v, want %v", inner.ids, want)
	}
	for i, b := range inner.blobs {
		if id, _ := keyOf(b.Data); id != first.id() && i != 3 && i != 4 {
			t.Fatalf("blob %d is under key %x", i, id)
		}
	}
	calls := inner.calls
	if _, err := s.Sweep(t.Context(), Sweep{}); err != nil || inner.calls != calls {
		t.Errorf("a sweep after the last part looks at everything again (%v)", err)
	}
}

func TestResealGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	inner := &shelf{blobs: []Blob{{Customer: "anna", Data: []byte("{}")}}}
	s, err := Sealed(t.Context(), inner, []SealKey{{1}})
	if err != nil {
		t.Fatal(err)
	}
	z := s.(*sealed)
	inner.fails = errors.New("the disk is full")
	if _, err := z.reseal(t.Context()); !errors.Is(err, inner.fails) {
		t.Fatalf("error = %v", err)
	}
	inner.fails = nil
	if more, err := s.Sweep(t.Context(), Sweep{}); more || err != nil {
		t.Fatalf("Sweep = %t, %v", more, err)
	}
	if id, ok := keyOf(inner.blobs[0].Data); !ok || id != z.first || len(inner.ids) != 1 {
		t.Errorf("data = %x, note = %v", inner.blobs[0].Data, inner.ids)
	}
}

func TestSealedNeedsANote(t *testing.T) {
	t.Parallel()
	inner := &shelf{fails: errors.New("the disk is full")}
	if _, err := Sealed(t.Context(), inner, []SealKey{{1}}); !errors.Is(err, inner.fails) {
		t.Errorf("error = %v", err)
	}
	type bare struct{ Store }
	if _, err := Sealed(t.Context(), bare{}, []SealKey{{1}}); err == nil {
		t.Error("a store that is not Sealable was sealed")
	}
	if s, err := Sealed(t.Context(), bare{}, nil); err != nil || s != (bare{}) {
		t.Errorf("Sealed without keys = %v, %v", s, err)
	}
}

func TestSealKeyDoesNotPrintItself(t *testing.T) {
	t.Parallel()
	key := SealKey([]byte("0123456789abcdef0123456789abcdef"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		got := fmt.Sprintf(verb, key)
		for _, secret := range []string{"0123", "30313233", "0x30, 0x31", "48 49 50"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	if got, err := json.Marshal(key); err != nil || string(got) != `"key `+key.ID()+`"` {
		t.Errorf("json = %s, %v", got, err)
	}
	if id := key.ID(); len(id) != 8 || id == (SealKey{1}).ID() {
		t.Errorf("ID = %q", id)
	}
}

func TestParseSealKey(t *testing.T) {
	t.Parallel()
	raw := []byte("0123456789abcdef0123456789abcdef")
	text := base64.StdEncoding.EncodeToString(raw)
	if key, err := ParseSealKey(text + "\n"); err != nil || !bytes.Equal(key[:], raw) {
		t.Errorf("ParseSealKey = %v, %v", key, err)
	}
	for _, bad := range []string{"", "x", text[:20], text + text, "not base64 at all, but long enough for one"} {
		_, err := ParseSealKey(bad)
		if err == nil || bad != "" && len(bad) > 1 && strings.Contains(err.Error(), bad) || !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("ParseSealKey(%q): %v", bad, err)
		}
	}
}

// BenchmarkSeal is what encryption adds to an accept and to a delivery.
func BenchmarkSeal(b *testing.B) {
	s, err := Sealed(b.Context(), &shelf{}, []SealKey{{1}})
	if err != nil {
		b.Fatal(err)
	}
	z, text := s.(*sealed), bytes.Repeat([]byte("x"), 2048)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := z.open(z.seal(text, "", "anna"), "", "anna"); err != nil {
			b.Fatal(err)
		}
	}
}
