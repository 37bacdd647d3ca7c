package canonical

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var rfc6901 = regexp.MustCompile(`^(/([^~/]|~[01])*)*$`)

// FuzzDecodeCustomer holds what every body leads to: a customer that says the
// same when it is read again, or a refusal of the request with pointers that
// callers can follow; never both, never slowly.
func FuzzDecodeCustomer(f *testing.F) {
	files, _ := filepath.Glob("../testdata/customers/*.json")
	for _, file := range files {
		f.Add(readCustomer(f, strings.TrimSuffix(filepath.Base(file), ".json")))
	}
	for _, s := range append([]string{
		``, `[]`, `{"id":"c1","\u0069d":"c1"}`, `{"emails":[1,{"value":"a@b.c","primary":true},{"value":"","primary":true}]}`,
		`{"attributes":{"a~/":{"b":[1e999]},"":null}}`, "{\"note\":\"\xff\"}", `{"providerData":{"x":{"y":[[[[]]]]}}}`,
	}, decoderOnly...) {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		id := "c1"
		if v, err := Parse(data); err == nil && CheckID(v.Get("id").Str()) == nil {
			id = v.Get("id").Str()
		}
		c, err := DecodeCustomer(id, data)
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
		if err != nil {
			checkRefusal(t, c, err)
			return
		}
		v, err := Parse(data)
		if err != nil {
			t.Fatalf("DecodeCustomer takes what Parse refuses: %v", err)
		}
		again, err := DecodeCustomer(id, v.Encode())
		if err != nil {
			t.Fatalf("what was taken is refused when it is written again: %v %v", err, AsError(err).Fields)
		}
		leaves, repeated := c.Leaves(), again.Leaves()
		if len(leaves) != len(repeated) {
			t.Fatalf("%d leaves, then %d", len(leaves), len(repeated))
		}
		for i, l := range leaves {
			pointer := c.Pointer(l.Path, int(l.Index))
			if l != repeated[i] || !rfc6901.MatchString(pointer) {
				t.Fatalf("leaf %d is %v at %q, then %v", i, l, pointer, repeated[i])
			}
			if _, ok := follow(v, pointer); !ok && pointer != "/id" {
				t.Fatalf("nothing stands at %q", pointer)
			}
		}
	})
}

func checkRefusal(t *testing.T, c *Customer, err error) {
	t.Helper()
	e := AsError(err)
	if c != nil || e.Code != RequestMalformed && e.Code != RequestInvalid || e.Retryable() {
		t.Fatalf("customer %v beside %v", c != nil, err)
	}
	if len(e.Fields) == 0 || len(e.Fields) > maxFaults {
		t.Fatalf("%d faults", len(e.Fields))
	}
	for _, fe := range e.Fields {
		if !rfc6901.MatchString(fe.Pointer) || fe.Message == "" || fe.Code == "" || !utf8.ValidString(fe.Message) {
			t.Fatalf("fault %+v", fe)
		}
	}
}
