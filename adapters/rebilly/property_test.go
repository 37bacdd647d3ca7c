package rebilly

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/rebilly/sandbox"
	"customer-gateway/canonical"
)

// stated are members of a record that hold exactly one canonical field.
var stated = map[string][]string{
	"primaryAddress.firstName": {"name", "givenName"}, "primaryAddress.lastName": {"name", "familyName"}, "primaryAddress.jobTitle": {"jobTitle"},
	"primaryAddress.dob": {"birthDate"}, "locale": {"locale"}, "_embedded.leadSource.medium": {"leadSource", "medium"},
	"_embedded.leadSource.campaign": {"leadSource", "campaign"}, "_embedded.leadSource.referrer": {"leadSource", "referrer"},
	"primaryAddress.emails": {"emails"}, "primaryAddress.phoneNumbers": {"phoneNumbers"}, "taxNumbers": {"taxIds"},
}

// TestRandom plays random customers over random records. Rebilly refuses nothing
// that was not refused before sending, what is not stated stays, what is stated
// as null goes, and the same sent again changes nothing.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			for _, exclusive := range []bool{true, false} {
				r := openRoute(t, exclusive, sandbox.Options{})
				r.opened.Adapter = New(Config{WebsiteID: sandbox.Website, CustomFields: []string{}, Exclusive: exclusive})
				for range 10 {
					data := adaptertest.Random(t, random)
					u := adaptertest.Upsert(adaptertest.Decode(t, "c", data), name, name, "")
					if _, _, err := r.opened.Adapter.Translate(u); err != nil {
						for _, f := range canonical.AsError(err).Fields {
							if f.Pointer == "" {
								t.Errorf("%s: refused without a pointer: %+v", data, f)
							}
						}
						continue
					}
					before := r.record("c")
					if _, err := r.follow(u); err != nil {
						t.Fatalf("%s: %v %v", data, err, canonical.AsError(err).Fields)
					}
					after := r.record("c")
					if exclusive {
						continue
					}
					checkKept(t, data, before, after)
					if out, err := r.follow(u); err != nil || out.Action != canonical.ActionNone {
						t.Errorf("%s: sent again: %+v, %v", data, out, err)
					}
				}
			}
		})
	}
}

// checkKept compares the members that one canonical field feeds.
func checkKept(t *testing.T, data []byte, before, after canonical.Value) {
	t.Helper()
	customer, err := canonical.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	for to, from := range stated {
		said := customer
		for _, member := range from {
			if said = said.Get(member); said.Kind() == canonical.KindNull {
				break
			}
		}
		was, is := member(before, to), member(after, to)
		empty := func(v canonical.Value) bool { return v.Str() == "" && v.Len() == 0 }
		switch {
		case said.IsZero() && (empty(was) && empty(is) || was.Equal(is)):
		case !said.IsZero() && empty(said) && empty(is):
		case said.Kind() == canonical.KindString && said.Str() == is.Str():
		case said.Kind() == canonical.KindArray && said.Len() == is.Len():
		default:
			t.Errorf("%s: %s was %s and is %s", data, to, was.Encode(), is.Encode())
		}
	}
}

func member(v canonical.Value, path string) canonical.Value {
	return v.Get(strings.Split(path, ".")...)
}

// record is what the emulator holds of customer id, if anything.
func (r *route) record(id string) canonical.Value {
	r.t.Helper()
	rec, ok := r.sandbox.Record(id)
	if !ok {
		return canonical.Value{}
	}
	v, err := canonical.Parse(rec.Document)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}
