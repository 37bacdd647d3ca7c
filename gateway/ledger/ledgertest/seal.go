package ledgertest

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Keys of the tests.
var (
	oldKey = ledger.SealKey{1, 2, 3}
	newKey = ledger.SealKey{4, 5, 6}
)

// sealing is what a store that is ledger.Sealable promises, alone and with Sealed.
// Others are skipped.
var sealing = []subtest{
	{"the keys in use are on record", sealable(func(s *suite, store ledger.Sealable) {
		if ids, err := store.SealKeys(s.ctx()); len(ids) != 0 || err != nil {
			s.Fatalf("SealKeys of a new store = %v, %v", ids, err)
		}
		for _, want := range [][]string{{"plain", "aa"}, {"bb"}, {}} {
			if err := store.SetSealKeys(s.ctx(), want); err != nil {
				s.Fatal(err)
			}
			s.reopen()
			store = s.store.(ledger.Sealable)
			if ids, err := store.SealKeys(s.ctx()); !slices.Equal(ids, want) || err != nil {
				s.Fatalf("SealKeys = %v, %v; want %v", ids, err, want)
			}
		}
	})},
	{"rewrite shows all payloads and results, in parts", sealable(func(s *suite, store ledger.Sealable) {
		want := map[string]string{}
		for i := range 7 {
			c := fmt.Sprint("customer ", i)
			got := s.accept(upsert(c, crm, shop))
			want["/"+c] = string(state(c))
			s.end(*got.Places[i%2].Lease, ledger.Verdict(i%3), func(f *ledger.Finish) { f.Result, f.Delay = []byte("result "+c), time.Hour })
			want[got.Places[i%2].Route+"/"+c] = "result " + c
		}
		s.accept(later("customer 0", crm)) // a second payload of one customer
		for round := range 3 {
			saw := map[string]string{}
			position, parts := "", 0
			for {
				shown := 0
				next, err := store.Rewrite(s.ctx(), position, 3, func(b ledger.Blob) []byte {
					shown++
					saw[b.Route+"/"+b.Customer] = string(b.Data)
					if round == 0 {
						return nil
					}
					return append(bytes.Clone(b.Data), '+')
				})
				if err != nil {
					s.Fatal(err)
				}
				if shown > 3 {
					s.Errorf("%d shown at once, limit 3", shown)
				}
				if parts++; parts > 100 {
					s.Fatal("Rewrite never comes to an end")
				}
				if position = next; next == "" {
					break
				}
			}
			if !maps.Equal(saw, want) {
				s.Fatalf("round %d showed %v, want %v", round, saw, want)
			}
			if round > 0 {
				for k := range want {
					want[k] += "+"
				}
			}
		}
		s.advance(lease)
		for _, l := range s.claimAll(crm) {
			if string(l.Payload) != string(state(l.Customer))+"++" {
				s.Errorf("payload = %q", l.Payload)
			}
		}
		for _, d := range s.deadLetters(ledger.Filter{}) {
			if string(d.Result) != "result "+d.Customer+"++" {
				s.Errorf("result = %q", d.Result)
			}
		}
	})},
	{"sealed leaves no text in the files", sealable(func(s *suite, _ ledger.Sealable) {
		const canary = "canary-93ab"
		s.seal(oldKey)
		a := upsert("anna", crm, shop)
		a.Payload = []byte(`{"name":"` + canary + `"}`)
		got := s.accept(a)
		result := func(f *ledger.Finish) { f.Result = []byte(`{"message":"` + canary + `"}`) }
		s.held(s.end(*got.Places[0].Lease, ledger.Dead, result))
		s.held(s.end(*got.Places[1].Lease, ledger.Retry, result))
		s.grep(canary)
		check := func() {
			s.Helper()
			if l, ok, err := s.store.ClaimSlot(s.ctx(), shop, "anna", lease); err != nil || !ok || !bytes.Equal(l.Payload, a.Payload) || l.Damaged != nil {
				s.Errorf("lease = %+v, %t, %v", l, ok, err)
			}
			c, err := s.store.Customer(s.ctx(), "anna")
			if err != nil || !bytes.Equal(c.Payload, a.Payload) || c.Damaged != nil || !bytes.Contains(c.Slots[0].Result, []byte(canary)) {
				s.Errorf("customer = %+v, %v", c, err)
			}
			o, err := s.store.Operation(s.ctx(), got.Version)
			if err != nil || !bytes.Contains(o.Slots[0].Result, []byte(canary)) || !bytes.Contains(o.Slots[1].Result, []byte(canary)) {
				s.Errorf("operation = %+v, %v", o, err)
			}
			if d := s.deadLetters(ledger.Filter{}); len(d) != 1 || !bytes.Contains(d[0].Result, []byte(canary)) {
				s.Errorf("dead letters = %+v", d)
			}
			if slot := s.slot(crm, "anna"); !bytes.Contains(slot.Result, []byte(canary)) {
				s.Errorf("slot = %+v", slot)
			}
		}
		check()
		s.reopen()
		s.seal(oldKey)
		s.advance(lease)
		check()
		s.grep(canary)
	})},
	{"a key that is in use cannot be left out", sealable(func(s *suite, _ ledger.Sealable) {
		refused := func(missing string, keys ...ledger.SealKey) {
			s.Helper()
			_, err := ledger.Sealed(s.ctx(), s.store, keys)
			if err == nil || !strings.Contains(err.Error(), missing) {
				s.Fatalf("Sealed with %v: %v; want an error that names %s", keys, err, missing)
			}
		}
		plain, err := ledger.Sealed(s.ctx(), s.store, nil)
		if err != nil || plain != s.store {
			s.Fatalf("Sealed without keys = %v, %v", plain, err)
		}
		s.accept(later("plain", crm))
		s.seal(oldKey)
		s.accept(later("old", crm))
		s.reopen()
		refused(oldKey.ID())
		refused(oldKey.ID(), newKey)
		refused("twice", oldKey, newKey, oldKey)
		s.seal(newKey, oldKey)
		s.accept(later("new", crm))
		s.reopen()
		refused(oldKey.ID(), newKey)
		refused(newKey.ID(), oldKey)
		refused(newKey.ID())
		s.seal(oldKey, newKey) // the other way round is as good
		for _, l := range s.claimAll(crm) {
			if l.Damaged != nil || !bytes.Equal(l.Payload, state(l.Customer)) {
				s.Errorf("lease = %+v", l)
			}
		}
	})},
	{"a sweep reseals, and lets the old key go", sealable(func(s *suite, _ ledger.Sealable) {
		const canary = "canary-5e6f"
		write := func(c string) {
			s.Helper()
			a := upsert(c, crm)
			a.Payload = []byte(canary)
			s.held(s.end(s.leased(a), ledger.Retry, func(f *ledger.Finish) { f.Result = []byte(canary) }))
		}
		keep := ledger.Sweep{Payloads: 1000 * time.Hour, Operations: 1000 * time.Hour}
		s.fill(600, ledger.Retry)
		write("plain")
		s.seal(oldKey)
		write("old")
		s.sweep(keep)
		s.reopen()
		s.seal(newKey, oldKey)
		write("new")
		s.sweep(keep)
		s.reopen()
		s.seal(newKey) // nothing is under the old one any more
		leases := s.claimAll(crm)
		if len(leases) != 603 {
			s.Fatalf("%d leases, want 603", len(leases))
		}
		for _, l := range leases {
			want := []byte(canary)
			if strings.HasPrefix(l.Customer, "customer") {
				want = state(l.Customer)
			} else if slot := s.slot(crm, l.Customer); string(slot.Result) != canary {
				s.Errorf("slot = %+v", slot)
			}
			if l.Damaged != nil || !bytes.Equal(l.Payload, want) {
				s.Fatalf("lease = %+v", l)
			}
		}
	})},
	{"what was tampered with does not open", sealable(func(s *suite, inner ledger.Sealable) {
		s.seal(oldKey)
		for _, c := range []string{"cut", "flipped", "moved", "stranger", "whole"} {
			s.accept(later(c, crm))
		}
		var whole []byte
		find := func(b ledger.Blob) []byte {
			if b.Customer == "whole" {
				whole = bytes.Clone(b.Data)
			}
			return nil
		}
		tamper := func(b ledger.Blob) []byte {
			data := bytes.Clone(b.Data)
			switch b.Customer {
			case "cut":
				return data[:10]
			case "flipped":
				data[len(data)-1] ^= 1
			case "stranger":
				data[1] ^= 1 // in the key's id
			case "moved":
				return whole
			}
			return data
		}
		for _, look := range []func(ledger.Blob) []byte{find, tamper} {
			if next, err := inner.Rewrite(s.ctx(), "", 1000, look); next != "" || err != nil {
				s.Fatal(next, err)
			}
		}
		for _, l := range s.claimAll(crm) {
			c, err := s.store.Customer(s.ctx(), l.Customer)
			if err != nil {
				s.Fatal(err)
			}
			if l.Customer == "whole" {
				if l.Damaged != nil || c.Damaged != nil || !bytes.Equal(l.Payload, state(l.Customer)) {
					s.Errorf("lease = %+v", l)
				}
				continue
			}
			for _, err := range []error{l.Damaged, c.Damaged} {
				s.wantCode(err, canonical.GatewayInternal)
				if m := canonical.AsError(err).Message; strings.Contains(m, string(state(l.Customer))) || !strings.Contains(m, "decrypt") {
					s.Errorf("%s: %s", l.Customer, m)
				}
			}
			if l.Payload != nil || c.Payload != nil {
				s.Errorf("%s: payload %q, %q", l.Customer, l.Payload, c.Payload)
			}
			if l.Version == 0 || l.Token == 0 {
				s.Errorf("lease = %+v", l) // it must be possible to finish it
			}
		}
	})},
}

// sealable skips stores that are not.
func sealable(run func(*suite, ledger.Sealable)) func(*suite) {
	return func(s *suite) {
		store, ok := s.store.(ledger.Sealable)
		if !ok {
			s.Skip("this store is not ledger.Sealable")
		}
		run(s, store)
	}
}

// seal puts Sealed between the test and the store.
func (s *suite) seal(keys ...ledger.SealKey) {
	s.Helper()
	sealed, err := ledger.Sealed(s.ctx(), s.store, keys)
	if err != nil {
		s.Fatal(err)
	}
	s.store = sealed
}
