package magento

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/magento/sandbox"
	"customer-gateway/canonical"
)

// TestRandom plays random customers over random records. A shop takes what
// Translate lets through, no address that the caller did not state is changed or
// lost, and sending the same customer again changes nothing.
func TestRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(160) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			version := sandbox.Version(seed%4) + sandbox.V23
			settings := map[string]any{"custom_attributes": map[string]string{"gold": "segment"}, "newsletter": true, "region_ids": map[string]int64{"US-New York": 43}}
			switch version {
			case sandbox.V23:
				settings["version"] = "2.3"
			case sandbox.V248:
				settings["version"] = "2.4.8"
			}
			s := newShop(t, sandbox.Options{Version: version, StrictDefaults: version == sandbox.V247}, settings)
			data := s.acceptable(t, r)
			c := adaptertest.Decode(t, "c", data)
			known := ""
			if r.IntN(3) > 0 {
				known = s.seed(t, r, c.Emails.Value()[c.PrimaryEmail()].Value.Value())
			}
			before := canonical.Value{}
			if known != "" {
				before = s.record(t, known)
			}
			out, ops, err := s.upsert(t, string(data), []string{"", known, "4711"}[r.IntN(3)])
			if e := canonical.AsError(err); e != nil {
				// Which signs an address may have is the shop's own affair.
				if e.Code != canonical.UpstreamInvalid || len(e.Fields) != 1 || !strings.HasPrefix(e.Fields[0].Pointer, "/emails/") {
					t.Fatalf("upsert = %v %q %+v after %v of %s", e, e.Message, e.Fields, ops, data)
				}
				return
			}
			after := s.record(t, out.RemoteID)
			if lost := changed(before, after, c); lost != "" {
				t.Errorf("%s by %s", lost, data)
			}
			for _, id := range []string{out.RemoteID, ""} {
				if _, _, err = s.upsert(t, string(data), id); err != nil {
					t.Fatalf("upsert again = %v of %s", err, data)
				}
				again := s.record(t, out.RemoteID)
				again.Set("updated_at", after.Get("updated_at"))
				if !again.Equal(after) {
					t.Errorf("repeated, %s\nbecomes %s\nby %s", after.Encode(), again.Encode(), data)
				}
			}
			if n := len(s.Records()); n != 1 {
				t.Errorf("the shop has %d customers, want 1", n)
			}
		})
	}
}

// acceptable returns the first random customer that Translate does not refuse.
func (s *shop) acceptable(t *testing.T, r *rand.Rand) []byte {
	t.Helper()
	for {
		data := adaptertest.Random(t, r)
		_, _, err := s.adapter.Translate(adaptertest.Upsert(adaptertest.Decode(t, "c", data), "shop", name, ""))
		if err == nil {
			return data
		}
		for _, fe := range canonical.AsError(err).Fields {
			if fe.Pointer == "" {
				t.Errorf("refused without a pointer: %+v of %s", fe, data)
			}
		}
	}
}

// seed puts a record with up to three addresses into the shop.
func (s *shop) seed(t *testing.T, r *rand.Rand, email string) string {
	t.Helper()
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var addresses []string
	for range r.IntN(4) {
		addresses = append(addresses, fmt.Sprintf(`{%s, "street": [%s], "firstname": %q, "lastname": "Doe", "telephone": "123", "vat_id": "V%d", "fax": "9", "default_billing": %v, "default_shipping": %v}`,
			pick(`"country_id": "US", "region_id": 43, "postcode": "11501", "city": "Mineola"`, `"country_id": "US", "region_id": 43, "postcode": "14201", "city": "Buffalo"`, `"country_id": "GB", "city": "York"`, `"country_id": "JP", "postcode": "100-0001", "city": "千代田区"`),
			pick(`"160 1st St."`, `"12/3 High St"`, `"1/23 High St"`, `"1 Main St", "Floor 2"`, `"की"`, `"कि"`), pick("Jane", "John", "José"), r.IntN(99), r.IntN(3) == 0, r.IntN(3) == 0))
	}
	id, err := s.Seed(fmt.Sprintf(`{"email": %q, "firstname": "Old", "lastname": "Name", "website_id": 1, "store_id": 1, "group_id": 2, "addresses": [%s]}`, strings.ToUpper(email), strings.Join(addresses, ",")))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(id)
}

// changed says which address of before is gone in after, has lost what a caller
// cannot state, or is another although no address at its place was stated.
func changed(before, after canonical.Value, c *canonical.Customer) string {
	for i := range before.Get("addresses").Len() {
		was := before.Get("addresses").At(i)
		is := canonical.Value{}
		for j := range after.Get("addresses").Len() {
			if o := after.Get("addresses").At(j); o.Get("id").Equal(was.Get("id")) {
				is = o.Clone()
			}
		}
		stated := slices.ContainsFunc(c.Addresses.Value(), func(s canonical.Address) bool {
			return s.City.Value() == was.Get("city").Str() && was.Get("street").Equal(lineList(s.Lines.Value()))
		})
		was = was.Clone()
		for _, flag := range []string{"default_billing", "default_shipping"} {
			was.Delete(flag)
			is.Delete(flag)
		}
		switch {
		case is.IsZero():
			return "lost " + string(was.Encode())
		case !stated && !is.Equal(was), !is.Get("vat_id").Equal(was.Get("vat_id")):
			return "changed " + string(was.Encode()) + " to " + string(is.Encode())
		}
	}
	return ""
}

// TestRace holds that gateways which create a customer at once end with one.
func TestRace(t *testing.T) {
	t.Parallel()
	s := newShop(t, sandbox.Options{}, nil)
	const customer = "{" + jane + `, "addresses": [` + home + `, ` + office + `]}`
	actions := make(chan canonical.Action, 8)
	var gateways sync.WaitGroup
	for range cap(actions) {
		gateways.Go(func() {
			out, ops, err := s.upsert(t, customer, "")
			if err != nil {
				t.Errorf("upsert = %v after %v", err, ops)
			}
			actions <- out.Action
		})
	}
	gateways.Wait()
	close(actions)
	created := 0
	for action := range actions {
		if action == canonical.ActionCreated {
			created++
		}
	}
	records := s.Records()
	if created != 1 || len(records) != 1 {
		t.Fatalf("%d gateways created, the shop has %d customers; want one of each", created, len(records))
	}
	if got := ids(s.record(t, records[0].ID)); len(got) != 2 {
		t.Errorf("the shop has the addresses %v, want two", got)
	}
}
