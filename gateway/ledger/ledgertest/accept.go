package ledgertest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// accepting is what Accept promises.
var accepting = []subtest{
	{"accept leases free slots", func(s *suite) {
		got := s.accept(upsert("anna", crm, shop))
		if !got.First || got.Existing || got.Version <= 0 || len(got.Places) != 2 {
			s.Fatalf("Accept = %+v", got)
		}
		for i, route := range []string{crm, shop} {
			p := got.Places[i]
			if p.Route != route || p.Stale != 0 || p.Lease == nil {
				s.Fatalf("place %d = %+v", i, p)
			}
			l := p.Lease
			if l.Route != route || l.Customer != "anna" || l.Version != got.Version || l.Attempts != 1 || l.Applied != 0 || l.RemoteID != "" || l.Payload != nil {
				s.Errorf("lease = %+v", *l)
			}
			if !l.DueSince.Equal(s.store.Now()) {
				s.Errorf("DueSince = %v, want %v", l.DueSince, s.store.Now())
			}
			slot := s.wantSlot(route, "anna", ledger.Leased, got.Version, 0)
			if slot.InFlight != got.Version || slot.Attempts != 1 || !slot.NextAt.Equal(s.store.Now().Add(lease)) {
				s.Errorf("slot = %+v", slot)
			}
		}
		s.nothing(crm)
	}},
	{"accept without a lease leaves the slot due", func(s *suite) {
		a := later("anna", crm)
		a.Strict = true
		got := s.accept(a)
		if p := got.Places[0]; p.Lease != nil || p.NextAt.After(s.store.Now()) {
			s.Fatalf("place = %+v", p)
		}
		s.wantSlot(crm, "anna", ledger.Due, got.Version, 0)
		l := s.claim(crm)
		if l.Version != got.Version || !bytes.Equal(l.Payload, state("anna")) || l.Damaged != nil || !l.Strict || l.Attempts != 1 {
			s.Errorf("lease = %+v", l)
		}
	}},
	{"accept leases what is due, dead or idle", func(s *suite) {
		first := s.accept(later("anna", crm)).Version // due
		l := s.leased(upsert("anna", crm))
		if l.Version <= first {
			s.Fatalf("version %d after %d", l.Version, first)
		}
		s.held(s.end(l, ledger.Dead)) // dead
		l = s.leased(upsert("anna", crm))
		if l.Attempts != 1 {
			s.Errorf("attempts of a new state of a dead slot = %d, want 1", l.Attempts)
		}
		s.held(s.end(l, ledger.Applied)) // idle
		l2 := s.leased(upsert("anna", crm))
		if l2.Attempts != 1 || l2.Applied != l.Version {
			s.Errorf("lease = %+v", l2)
		}
	}},
	{"accept only moves the desired state of a leased slot", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.advance(time.Second)
		p := s.accept(upsert("anna", crm)).Places[0]
		if p.Lease != nil {
			s.Fatal("two leases of one slot at once")
		}
		if want := s.store.Now().Add(lease - time.Second); !p.NextAt.Equal(want) {
			s.Errorf("NextAt = %v, want the end of the lease, %v", p.NextAt, want)
		}
		if slot := s.slot(crm, "anna"); slot.State != ledger.Leased || slot.InFlight != l.Version || slot.Desired <= l.Version {
			s.Errorf("slot = %+v", slot)
		}
	}},
	{"accept leaves a resting slot at rest", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, after(10*time.Second)))
		s.advance(time.Second)
		got := s.accept(upsert("anna", crm))
		p := got.Places[0]
		if p.Lease != nil || !p.NextAt.Equal(s.store.Now().Add(9*time.Second)) {
			s.Fatalf("place = %+v", p)
		}
		s.nothing(crm)
		s.advance(9 * time.Second)
		if l := s.claim(crm); l.Version != got.Version {
			s.Errorf("version sent = %d, want the newest, %d", l.Version, got.Version)
		}
	}},
	{"accept leases nothing on a closed route", func(s *suite) {
		s.setRoute(ledger.Route{Name: crm, Paused: true, Reason: "maintenance"})
		s.setRoute(ledger.Route{Name: shop, NotBefore: s.store.Now().Add(time.Minute)})
		got := s.accept(upsert("anna", "books", crm, shop))
		for _, p := range got.Places {
			if open := p.Route == "books"; (p.Lease != nil) != open {
				s.Errorf("route %s: lease %v", p.Route, p.Lease)
			}
		}
		s.wantSlot(crm, "anna", ledger.Due, got.Version, 0)
		if n := s.slot(crm, "anna").Attempts; n != 0 {
			s.Errorf("attempts while paused = %d, want 0", n)
		}
	}},
	{"accept takes over a lease that is over", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		l := s.leased(upsert("anna", crm))
		if l.Token == old.Token {
			s.Error("the token is the same")
		}
		if f := s.end(old, ledger.Retry); !f.Lost {
			s.Error("the old lease is still held")
		}
		s.held(s.end(l, ledger.Applied))
		// What the old lease sent may still land.
		s.wantDue(crm, settle)
	}},
	{"accepted states survive a restart", func(s *suite) {
		first := s.accept(upsert("anna", crm, shop)).Version
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Applied, remote("b-1"), func(f *ledger.Finish) { f.Identity, f.Result = []byte("digest"), []byte("{}") }))
		bert := s.slot(crm, "bert")
		s.reopen()
		s.wantSlot(crm, "anna", ledger.Leased, first, 0)
		if again := s.slot(crm, "bert"); again.RemoteID != "b-1" || !again.AppliedAt.Equal(bert.AppliedAt) || string(again.Result) != "{}" {
			s.Errorf("slot = %+v, was %+v", again, bert)
		}
		s.nothing(crm) // the lease holds; what it sent may still be at work
		s.advance(lease)
		if l := s.claim(shop); l.Version != first || !bytes.Equal(l.Payload, state("anna")) {
			s.Errorf("lease = %+v", l)
		}
		if l := s.leased(upsert("bert", crm)); string(l.Identity) != "digest" || l.RemoteID != "b-1" || l.Applied != bert.Applied {
			s.Errorf("lease = %+v", l)
		}
	}},
	{"versions and tokens grow", func(s *suite) {
		var last int64
		grow := func(v int64) {
			s.Helper()
			if v <= last {
				s.Fatalf("%d after %d", v, last)
			}
			last = v
		}
		both := func() {
			s.Helper()
			v := s.accept(later("anna", crm)).Version
			grow(v)
			l, ok, err := s.store.ClaimSlot(s.ctx(), crm, "anna", lease)
			if err != nil || !ok {
				s.Fatalf("ClaimSlot: %t, %v", ok, err)
			}
			grow(l.Token)
			s.end(l, ledger.Applied)
		}
		both()
		both() // at the same moment
		s.reopen()
		both()
		s.advance(-time.Hour)
		both()
		s.reopen()
		both()
		s.advance(48 * time.Hour)
		both()
		if now := s.store.Now().UnixMicro(); last < now-time.Hour.Microseconds() {
			s.Errorf("version %d lags behind the clock %d", last, now)
		}
		s.advance(-72 * time.Hour)
		if err := s.store.Erase(s.ctx(), "anna"); err != nil {
			s.Fatal(err)
		}
		s.sweep(ledger.Sweep{})
		s.reopen() // with nothing left that has a version
		both()
	}},
	{"operations name their routes and slots", func(s *suite) {
		a := later("anna", crm, shop)
		a.Strict = true
		v := s.accept(a).Version
		s.end(s.claim(shop), ledger.Applied)
		s.advance(time.Second)
		next := s.accept(later("anna", crm)).Version
		o, err := s.store.Operation(s.ctx(), v)
		if err != nil {
			s.Fatal(err)
		}
		if o.Version != v || o.Customer != "anna" || !o.Strict || !slices.Equal(o.Routes, []string{crm, shop}) || !o.AcceptedAt.Equal(s.store.Now().Add(-time.Second)) {
			s.Errorf("operation = %+v", o)
		}
		if len(o.Slots) != 2 || o.Slots[0].Desired != next || o.Slots[1].Route != shop || o.Slots[1].Applied != v {
			s.Errorf("slots = %+v", o.Slots)
		}
		_, err = s.store.Operation(s.ctx(), next+1)
		s.wantCode(err, canonical.RequestNotFound)
	}},
	{"customers show all slots by route", func(s *suite) {
		s.accept(later("anna", crm, shop))
		a := later("anna", "books")
		a.Payload, a.Strict = state("new"), true
		v := s.accept(a).Version
		c, err := s.store.Customer(s.ctx(), "anna")
		if err != nil {
			s.Fatal(err)
		}
		if c.ID != "anna" || c.Version != v || string(c.Payload) != string(state("new")) || !c.Strict || len(c.Slots) != 3 ||
			c.Slots[0].Route != "books" || c.Slots[1].Route != crm || c.Slots[2].Route != shop {
			s.Errorf("customer = %+v", c)
		}
		_, err = s.store.Customer(s.ctx(), "nobody")
		s.wantCode(err, canonical.RequestNotFound)
		_, err = s.store.Slot(s.ctx(), crm, "nobody")
		s.wantCode(err, canonical.RequestNotFound)
		_, err = s.store.Slot(s.ctx(), "nowhere", "anna")
		s.wantCode(err, canonical.RequestNotFound)
	}},
	{"names and states are taken as they are", func(s *suite) {
		big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		names := []string{"O'Brien; --", `"%_\\*`, "客 ✓", "a", "A", "a ", "%"}
		for i, c := range names {
			a := later(c, crm, `r"o'ute %`)
			a.Payload = append([]byte{byte(i), 0, 0xff}, big...)
			s.held(s.end(*s.accept(upsert(c, "dead")).Places[0].Lease, ledger.Dead))
			s.accept(a)
		}
		for i, c := range names {
			l, ok, err := s.store.ClaimSlot(s.ctx(), `r"o'ute %`, c, lease)
			if err != nil || !ok || l.Customer != c || len(l.Payload) != len(big)+3 || l.Payload[0] != byte(i) || !bytes.Equal(l.Payload[3:], big) {
				s.Errorf("%q: lease of %q, %d bytes, %t, %v", c, l.Customer, len(l.Payload), ok, err)
			}
			if d := s.deadLetters(ledger.Filter{Customer: c}); len(d) != 1 || d[0].Customer != c {
				s.Errorf("%q: %d dead letters", c, len(d))
			}
		}
		if err := s.store.Erase(s.ctx(), "%"); err != nil {
			s.Fatal(err)
		}
		if got := len(s.claimAll(crm)); got != len(names)-1 {
			s.Errorf("%d customers are left, want %d", got, len(names)-1)
		}
	}},
	{"refusals name no customer", func(s *suite) {
		const canary = "canary-51c2"
		a := keyed(canary, key("k", "body"))
		a.Payload = []byte(canary)
		s.accept(a)
		other := keyed(canary, key("k", "other"))
		unknown := later(canary, crm)
		unknown.Match.Unknown = true
		_, e1 := s.store.Accept(s.ctx(), other)
		_, e2 := s.store.Accept(s.ctx(), unknown)
		_, e3 := s.store.Slot(s.ctx(), shop, canary)
		_, e4 := s.store.Customer(s.ctx(), canary+"2")
		e5 := s.store.Erase(s.ctx(), canary+"2")
		for i, err := range []error{e1, e2, e3, e4, e5} {
			e := canonical.AsError(err)
			if text := fmt.Sprint(err, e.Message, e.Err); err == nil || strings.Contains(text, canary) {
				s.Errorf("error %d: %s", i+1, text)
			}
		}
	}},
	{"the caller's memory stays the caller's", func(s *suite) {
		a := later("anna", crm)
		s.accept(a)
		copy(a.Payload, "XXXX")
		if l := s.claim(crm); string(l.Payload) != string(state("anna")) {
			s.Errorf("payload = %q", l.Payload)
		}
	}},
	{"a version that does not stand is refused", func(s *suite) {
		match := func(customer string, m ledger.Match) error {
			a := later(customer, crm)
			a.Match = m
			_, err := s.store.Accept(s.ctx(), a)
			return err
		}
		v1 := s.accept(later("anna", crm)).Version
		v2 := s.accept(later("anna", shop)).Version // of the customer, whatever the route
		for name, m := range map[string]ledger.Match{
			"another":       {Versions: []int64{v1}},
			"none":          {Versions: []int64{}},
			"must be new":   {Unknown: true},
			"several wrong": {Versions: []int64{1, v1}},
		} {
			if err := match("anna", m); err == nil {
				s.Errorf("%s: accepted", name)
			} else {
				s.wantCode(err, canonical.RequestPreconditionFailed)
			}
		}
		s.wantSlot(crm, "anna", ledger.Due, v1, 0)
		s.wantCode(match("nobody", ledger.Match{Known: true}), canonical.RequestPreconditionFailed)
		s.wantCode(match("nobody", ledger.Match{Versions: []int64{v2}}), canonical.RequestPreconditionFailed)
		if _, err := s.store.Customer(s.ctx(), "nobody"); err == nil {
			s.Error("what was refused is stored")
		}
		if err := match("anna", ledger.Match{Versions: []int64{v1, v2}}); err != nil {
			s.Errorf("the version that stands: %v", err)
		}
		if err := match("anna", ledger.Match{Known: true}); err != nil {
			s.Errorf("known: %v", err)
		}
		if err := match("nobody", ledger.Match{Unknown: true}); err != nil {
			s.Errorf("unknown: %v", err)
		}
	}},
	{"an older updatedAt changes nothing, by route", func(s *suite) {
		at := s.store.Now()
		dated := func(n int, routes ...string) ledger.Accept {
			a := later("anna", routes...)
			a.UpdatedAt = at.Add(time.Duration(n) * time.Millisecond)
			return a
		}
		v1 := s.accept(dated(10, crm)).Version
		got := s.accept(dated(5, crm, shop)) // older at crm, the first at shop
		if got.Places[0].Stale != v1 || got.Places[0].Lease != nil || got.Places[1].Stale != 0 || got.Version <= v1 || got.First {
			s.Fatalf("Accept = %+v", got)
		}
		s.wantSlot(crm, "anna", ledger.Due, v1, 0)
		s.wantSlot(shop, "anna", ledger.Due, got.Version, 0)
		stale := dated(4, crm, shop)
		stale.Key = key("k", "body")
		all := s.accept(stale)
		if all.Version != got.Version || all.Places[0].Stale != v1 || all.Places[1].Stale != got.Version {
			s.Fatalf("Accept of what is stale everywhere = %+v", all)
		}
		if c, err := s.store.Customer(s.ctx(), "anna"); err != nil || c.Version != got.Version {
			s.Errorf("customer = %+v, %v", c, err)
		}
		reuse := later("bert", crm)
		reuse.Key = key("k", "another body")
		if s.accept(reuse).Existing {
			s.Error("the key of an upsert that was stale everywhere is on record")
		}
		if same := s.accept(dated(10, crm)); same.Places[0].Stale != 0 || same.Version <= got.Version {
			s.Errorf("an equal updatedAt is not older: %+v", same)
		}
		s.accept(dated(20, crm))
		if between := s.accept(dated(15, crm)); between.Places[0].Stale == 0 {
			s.Errorf("only the first updatedAt is kept: %+v", between)
		}
		if undated := s.accept(later("anna", crm)); undated.Places[0].Stale != 0 {
			s.Errorf("without updatedAt nothing is stale: %+v", undated)
		}
	}},
	{"a stale upsert does not disturb what is in flight", func(s *suite) {
		at := s.store.Now()
		a := upsert("anna", crm)
		a.UpdatedAt = at
		l := s.leased(a)
		a.UpdatedAt = at.Add(-time.Second)
		if p := s.accept(a).Places[0]; p.Stale != l.Version || p.Lease != nil {
			s.Fatalf("place = %+v", p)
		}
		if f := s.held(s.end(l, ledger.Applied)); f.State != ledger.Idle || f.Desired != l.Version {
			s.Errorf("finished = %+v", f)
		}
	}},
	{"a caller who has gone gets an error and changes nothing, or is served", func(s *suite) {
		ctx, cancel := context.WithCancel(s.ctx())
		cancel()
		_, err := s.store.Accept(ctx, later("anna", crm))
		_, missing := s.store.Slot(s.ctx(), crm, "anna")
		if err != nil {
			s.wantCode(err, canonical.GatewayStoreUnavailable)
			s.wantCode(missing, canonical.RequestNotFound)
		} else if missing != nil {
			s.Errorf("accepted, but: %v", missing)
		}
	}},
	{"a closed store refuses", func(s *suite) {
		s.accept(later("anna", crm))
		if err := s.store.Close(); err != nil {
			s.Fatal(err)
		}
		_, err := s.store.Accept(s.ctx(), later("anna", crm))
		s.wantCode(err, canonical.GatewayStoreUnavailable)
		_, err = s.store.Slot(s.ctx(), crm, "anna")
		s.wantCode(err, canonical.GatewayStoreUnavailable)
		if s.store.Ready() == nil {
			s.Error("a closed store says that it is ready")
		}
		s.store = s.openStore()
		s.claim(crm)
		if err := s.store.Ready(); err != nil {
			s.Errorf("Ready = %v", err)
		}
	}},
}

func key(digest, fingerprint string) *ledger.Key {
	k := &ledger.Key{Scope: "caller", Keep: 24 * time.Hour}
	copy(k.Digest[:], digest)
	copy(k.Fingerprint[:], fingerprint)
	return k
}

func keyed(customer string, k *ledger.Key) ledger.Accept {
	a := later(customer, crm)
	a.Key = k
	return a
}

// keys is what idempotency keys promise.
var keys = []subtest{
	{"a key names one operation", func(s *suite) {
		first := s.accept(keyed("anna", key("k", "body")))
		s.reopen()
		s.advance(time.Hour)
		again := keyed("anna", key("k", "body"))
		again.Lease = lease
		again.Match = ledger.Match{Unknown: true} // held then, and need not hold now
		got := s.accept(again)
		if !got.Existing || got.Version != first.Version || got.Places != nil {
			s.Fatalf("Accept = %+v, want version %d, existing", got, first.Version)
		}
		s.wantSlot(crm, "anna", ledger.Due, first.Version, 0)
	}},
	{"a key of another request is refused", func(s *suite) {
		first := s.accept(keyed("anna", key("k", "body")))
		_, err := s.store.Accept(s.ctx(), keyed("anna", key("k", "other")))
		s.wantCode(err, canonical.IdempotencyKeyReused)
		s.wantSlot(crm, "anna", ledger.Due, first.Version, 0)
	}},
	{"keys of different scopes are different", func(s *suite) {
		first := s.accept(keyed("anna", key("k", "body")))
		other := key("k", "other")
		other.Scope = "another caller"
		if got := s.accept(keyed("anna", other)); got.Existing || got.Version == first.Version {
			s.Errorf("Accept = %+v", got)
		}
	}},
	{"a key is forgotten when its time is over", func(s *suite) {
		first := s.accept(keyed("anna", key("k", "body")))
		s.advance(24*time.Hour - time.Second)
		if got := s.accept(keyed("anna", key("k", "body"))); !got.Existing {
			s.Error("forgotten too early")
		}
		s.advance(2 * time.Second)
		if got := s.accept(keyed("anna", key("k", "other"))); got.Existing || got.Version <= first.Version {
			s.Errorf("Accept = %+v", got)
		}
		if got := s.accept(keyed("anna", key("k", "other"))); !got.Existing {
			s.Error("not on record anew")
		}
	}},
	{"a sweep keeps keys for their time", func(s *suite) {
		first := s.accept(keyed("anna", key("k", "body")))
		s.end(s.claim(crm), ledger.Applied)
		s.advance(time.Hour)
		s.sweep(ledger.Sweep{Payloads: time.Minute, Operations: time.Minute})
		if got := s.accept(keyed("anna", key("k", "body"))); !got.Existing || got.Version != first.Version {
			s.Errorf("Accept = %+v", got)
		}
	}},
	{"a refused upsert leaves no key", func(s *suite) {
		a := keyed("anna", key("k", "body"))
		a.Match = ledger.Match{Known: true}
		_, err := s.store.Accept(s.ctx(), a)
		s.wantCode(err, canonical.RequestPreconditionFailed)
		if got := s.accept(keyed("anna", key("k", "other"))); got.Existing {
			s.Error("the key is on record")
		}
	}},
}
