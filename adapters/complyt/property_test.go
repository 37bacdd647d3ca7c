package complyt

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/complyt/sandbox"
	"customer-gateway/canonical"
)

// TestRandom plays random customers over random records. Complyt refuses nothing
// that was not refused before sending, what is not stated stays, what is stated
// as null goes, and the same sent again changes nothing.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			for _, exclusive := range []bool{true, false} {
				b := newBench(t, sandbox.Options{}, exclusive)
				before, wrote := canonical.Value{}, false
				for range 10 {
					data := adaptertest.Random(t, random)
					u := adaptertest.Upsert(adaptertest.Decode(t, "c", data), "tax", name, "")
					if _, _, err := b.opened.Adapter.Translate(u); err != nil {
						checkPointers(t, data, err)
						continue
					}
					_, _, err := b.upsert(u)
					if e := canonical.AsError(err); e != nil && e.Code == canonical.MappingRequiredMissing && !exclusive && !wrote {
						checkPointers(t, data, err) // there is nothing that could be carried over
						continue
					}
					if err != nil {
						t.Fatalf("%s: %v %v", data, err, canonical.AsError(err).Fields)
					}
					after := b.held("c")
					if !exclusive && wrote {
						checkKept(t, data, before, after)
					}
					before, wrote = after, true
					if out, ops, err := b.upsert(u); err != nil || !exclusive && (out.Action != canonical.ActionNone || ops != "read") {
						t.Errorf("%s: sent again: %s %+v, %v", data, ops, out, err)
					}
				}
			}
		})
	}
}

func checkPointers(t *testing.T, data []byte, err error) {
	t.Helper()
	for _, f := range canonical.AsError(err).Fields {
		if f.Pointer == "" {
			t.Errorf("%s: refused without a pointer: %+v", data, f)
		}
	}
}

// checkKept compares the members that one canonical field feeds.
func checkKept(t *testing.T, data []byte, before, after canonical.Value) {
	t.Helper()
	customer, err := canonical.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{"comment": "note", "email": "emails", "address": "addresses", "customerType": "customerType"} {
		said, was, is := customer.Get(from), before.Get(to), after.Get(to)
		switch null := said.Kind() == canonical.KindNull || said.Kind() == canonical.KindArray && said.Len() == 0; {
		case said.IsZero() && !was.Equal(is):
			t.Errorf("%s: %s was %s and is %s, but %s is not stated", data, to, was.Encode(), is.Encode(), from)
		case null && to == "customerType" && is.Str() != defaultType, null && to != "customerType" && (is.Str() != "" || is.Len() > 0):
			t.Errorf("%s: %s is %s, but %s is cleared", data, to, is.Encode(), from)
		case said.Kind() == canonical.KindString && to == "comment" && said.Str() != is.Str():
			t.Errorf("%s: %s is %s", data, to, is.Encode())
		}
	}
	for to, from := range map[string]string{"createdDate": "createdAt", "updatedDate": "updatedAt"} {
		was, is := before.Get("externalTimestamps", to), after.Get("externalTimestamps", to)
		if v := customer.Get(from); (v.IsZero() || v.Kind() == canonical.KindNull) && inUTC(was.Str()) != inUTC(is.Str()) {
			t.Errorf("%s: %s was %s and is %s, but %s is not stated", data, to, was.Str(), is.Str(), from)
		}
	}
	if v := customer.Get("name"); v.IsZero() && customer.Get("organization").IsZero() && !before.Get("name").Equal(after.Get("name")) {
		t.Errorf("%s: the name was %s and is %s", data, before.Get("name").Str(), after.Get("name").Str())
	}
}
