package canonical

import (
	"bytes"
	"strings"
	"testing"
)

// identityOf makes an identity of the keys' texts.
func identityOf(customer string, keys ...string) Identity {
	id := Identity{Customer: customer}
	for _, k := range keys {
		id.Keys = append(id.Keys, IdentityKey{Text: k, Pointer: "/" + k, Field: k})
	}
	return id
}

func TestIdentityChanged(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		was, now Identity
		want     bool
	}{
		{"the same", identityOf("c", "a"), identityOf("c", "a"), false},
		{"another", identityOf("c", "a"), identityOf("c", "b"), true},
		{"one of two stays", identityOf("c", "a", "b"), identityOf("c", "d", "b"), false},
		{"another order", identityOf("c", "a", "b"), identityOf("c", "b", "a"), false},
		{"all of two", identityOf("c", "a", "b"), identityOf("c", "d", "e"), true},
		{"nothing known", identityOf("c"), identityOf("c", "a"), false},
		{"nothing sent", identityOf("c", "a"), identityOf("c"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.now.Changed(tt.was.Digest()); got != tt.want {
				t.Errorf("Changed = %v, want %v", got, tt.want)
			}
		})
	}
	if identityOf("c", "b").Changed([]byte("five!")) {
		t.Error("what is no list of digests counts as a change")
	}
}

func TestIdentityDigest(t *testing.T) {
	t.Parallel()
	a := identityOf("c", "email jane@example.com", "mobile 1", "mobile 1")
	digest := a.Digest()
	if len(digest) != 2*digestLen {
		t.Errorf("the digest has %d bytes, want those of two keys", len(digest))
	}
	if bytes.Contains(digest, []byte("jane")) {
		t.Error("the digest holds the key")
	}
	if bytes.Equal(digest, identityOf("d", "email jane@example.com", "mobile 1").Digest()) {
		t.Error("two customers with the same keys have the same digest")
	}
	if got := identityOf("c").Digest(); len(got) != 0 {
		t.Errorf("Digest without keys = %x, want none", got)
	}
}

func TestIdentityKeep(t *testing.T) {
	t.Parallel()
	first, second, third := identityOf("c", "a", "b"), identityOf("c", "b", "d"), identityOf("c", "d", "e")
	kept := first.Keep(nil)
	if !bytes.Equal(kept, first.Digest()) {
		t.Errorf("Keep of the first = %x, want its digest", kept)
	}
	if got := second.Keep(kept); third.Changed(got) {
		t.Error("keys that a record took on are not kept")
	}
	second.Fixed, third.Fixed = true, true
	if got := second.Keep(kept); !third.Changed(got) {
		t.Error("keys that a record never took on are kept")
	}
	if got := third.Keep(kept); !bytes.Equal(got, third.Digest()) {
		t.Errorf("Keep after a change = %x, want the keys of the new record", got)
	}
	if got := identityOf("c").Keep(kept); !bytes.Equal(got, kept) {
		t.Errorf("Keep without keys = %x, want what was kept", got)
	}
}

func TestIdentityWords(t *testing.T) {
	t.Parallel()
	id := identityOf("c", "a", "b", "b")
	e := id.Refusal("april")
	if e.Code != UpstreamIdentityConflict || e.Provider != "april" || len(e.Fields) != 2 || e.Fields[0].Pointer != "/a" {
		t.Errorf("Refusal = %+v, want two fields", e)
	}
	if !strings.Contains(e.Message, "identity_change") {
		t.Errorf("Message = %q, want it to name the way out", e.Message)
	}
	n := id.Notice("april", "cust_1")
	if n.Code != NoticeIdentity || n.Code.Lossy() || NoticeSuperseded.Lossy() || n.Pointer != "/a" || !strings.Contains(n.Message, "cust_1") {
		t.Errorf("Notice = %+v, want one that names the record and is no loss", n)
	}
	if n := identityOf("c").Notice("april", ""); n.Pointer != "" || strings.Contains(n.Message, ";") {
		t.Errorf("Notice without keys and record = %+v", n)
	}
}
