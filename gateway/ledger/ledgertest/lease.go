package ledgertest

import (
	"fmt"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// leasing is what Claim, ClaimSlot, Finish and NextDue promise.
var leasing = []subtest{
	{"claim takes those that waited longest, up to the limit", func(s *suite) {
		for _, c := range []string{"dora", "anna", "carl", "bert"} {
			s.accept(later(c, crm))
			s.advance(time.Second)
		}
		s.accept(later("else", shop))
		got, err := s.store.Claim(s.ctx(), crm, 3, lease)
		if err != nil {
			s.Fatal(err)
		}
		s.wantCustomers("Claim", customers(got), "dora", "anna", "carl")
		s.wantCustomers("the rest", customers(s.claimAll(crm)), "bert")
		s.nothing(crm)
		s.wantCustomers("the other route", customers(s.claimAll(shop)), "else")
		tokens := map[int64]bool{}
		for _, l := range got {
			tokens[l.Token] = true
		}
		if len(tokens) != 3 {
			s.Errorf("tokens are not different: %+v", got)
		}
	}},
	{"what rests takes no place of what is due", func(s *suite) {
		for i := range 5 {
			s.held(s.end(s.leased(upsert(fmt.Sprint("rests ", i), crm)), ledger.Retry, after(time.Hour)))
			s.leased(upsert(fmt.Sprint("leased ", i), crm))
			s.advance(time.Second)
		}
		s.accept(later("anna", crm))
		got, err := s.store.Claim(s.ctx(), crm, 1, lease)
		if err != nil {
			s.Fatal(err)
		}
		s.wantCustomers("Claim", customers(got), "anna")
	}},
	{"claim tells what is known of the slot", func(s *suite) {
		first := s.leased(upsert("anna", crm))
		s.held(s.end(first, ledger.Applied, remote("a-1"), func(f *ledger.Finish) { f.Identity = []byte("digest") }))
		s.advance(time.Second)
		due := s.store.Now()
		v := s.accept(later("anna", crm)).Version
		s.advance(time.Second)
		l := s.claim(crm)
		if l.Route != crm || l.Customer != "anna" || l.Version != v || l.RemoteID != "a-1" || string(l.Identity) != "digest" ||
			l.Attempts != 1 || !l.DueSince.Equal(due) || l.Applied != first.Version {
			s.Errorf("lease = %+v", l)
		}
		if slot := s.slot(crm, "anna"); slot.InFlight != v || !slot.NextAt.Equal(s.store.Now().Add(lease)) {
			s.Errorf("slot = %+v", slot)
		}
	}},
	{"claim slot takes just that slot", func(s *suite) {
		s.accept(later("anna", crm))
		s.accept(later("bert", crm))
		l, ok, err := s.store.ClaimSlot(s.ctx(), crm, "bert", lease)
		if err != nil || !ok || l.Customer != "bert" || string(l.Payload) != string(state("bert")) {
			s.Fatalf("ClaimSlot = %+v, %t, %v", l, ok, err)
		}
		for _, c := range []string{"bert", "nobody"} {
			if l, ok, err := s.store.ClaimSlot(s.ctx(), crm, c, lease); ok || err != nil {
				s.Errorf("ClaimSlot(%s) = %+v, %t, %v", c, l, ok, err)
			}
		}
		s.end(l, ledger.Retry, after(time.Second))
		if _, ok, _ := s.store.ClaimSlot(s.ctx(), crm, "bert", lease); ok {
			s.Error("a slot at rest was claimed")
		}
		s.setRoute(ledger.Route{Name: crm, Paused: true})
		if _, ok, _ := s.store.ClaimSlot(s.ctx(), crm, "anna", lease); ok {
			s.Error("a slot of a paused route was claimed")
		}
	}},
	{"a finish is seen at once", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.advance(time.Second)
		f := s.held(s.end(l, ledger.Applied, remote("a-1"), coded(""), func(f *ledger.Finish) { f.Result = []byte(`{"s":"succeeded"}`) }))
		if f.State != ledger.Idle || f.Desired != l.Version || f.Applied != l.Version || f.Conflict || f.Wait != 0 {
			s.Errorf("finished = %+v", f)
		}
		slot := s.wantSlot(crm, "anna", ledger.Idle, l.Version, l.Version)
		if !slot.AppliedAt.Equal(s.store.Now()) || slot.RemoteID != "a-1" || slot.ResultVersion != l.Version || string(slot.Result) != `{"s":"succeeded"}` || slot.Code != "" {
			s.Errorf("slot = %+v", slot)
		}
		s.nothing(crm)
		if d, ok := s.nextDue(crm); ok {
			s.Errorf("NextDue = %v though nothing is left to do", d)
		}
	}},
	{"a retry waits for its delay", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		f := s.held(s.end(l, ledger.Retry, after(10*time.Second), coded(canonical.UpstreamUnavailable)))
		if f.State != ledger.Due || f.Wait != 10*time.Second || f.Applied != 0 {
			s.Errorf("finished = %+v", f)
		}
		slot := s.wantSlot(crm, "anna", ledger.Due, l.Version, 0)
		if slot.Code != canonical.UpstreamUnavailable || slot.ResultVersion != l.Version || slot.Attempts != 1 || !slot.NextAt.Equal(s.store.Now().Add(10*time.Second)) {
			s.Errorf("slot = %+v", slot)
		}
		s.wantDue(crm, 10*time.Second)
		s.advance(10*time.Second - time.Millisecond)
		s.nothing(crm)
		s.advance(time.Millisecond)
		s.wantDue(crm, 0)
		if again := s.claim(crm); again.Attempts != 2 || again.Version != l.Version || !again.DueSince.Equal(l.DueSince) {
			s.Errorf("lease = %+v", again)
		}
	}},
	{"an uncounted finish gives the attempt back", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.held(s.end(l, ledger.Retry, uncounted))
		if n := s.slot(crm, "anna").Attempts; n != 0 {
			s.Errorf("attempts = %d, want 0", n)
		}
		if l := s.claim(crm); l.Attempts != 1 {
			s.Errorf("attempts = %d, want 1", l.Attempts)
		}
	}},
	{"a success begins the counting anew", func(s *suite) {
		s.end(s.leased(upsert("anna", crm)), ledger.Retry)
		s.end(s.claim(crm), ledger.Retry)
		s.end(s.claim(crm), ledger.Applied)
		if n := s.slot(crm, "anna").Attempts; n != 0 {
			s.Errorf("attempts = %d, want 0", n)
		}
		if l := s.leased(upsert("anna", crm)); l.Attempts != 1 {
			s.Errorf("attempts = %d, want 1", l.Attempts)
		}
	}},
	{"what became newer during a delivery is due at once", func(s *suite) {
		for _, v := range []ledger.Verdict{ledger.Applied, ledger.Dead} {
			c := fmt.Sprint("customer ", v)
			l := s.leased(upsert(c, crm))
			newest := s.accept(upsert(c, crm)).Version
			newest = max(newest, s.accept(upsert(c, crm)).Version)
			f := s.held(s.end(l, v))
			if f.State != ledger.Due || f.Wait != 0 || f.Desired != newest {
				s.Fatalf("verdict %d: finished = %+v", v, f)
			}
			next := s.claim(crm)
			if next.Version != newest || next.Attempts != 1 {
				s.Errorf("verdict %d: lease = %+v, want version %d and 1 attempt", v, next, newest)
			}
			s.held(s.end(next, ledger.Applied))
			s.wantSlot(crm, c, ledger.Idle, newest, newest)
		}
	}},
	{"what became newer waits with a retry", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		newest := s.accept(upsert("anna", crm)).Version
		s.held(s.end(l, ledger.Retry, after(time.Minute)))
		s.nothing(crm)
		s.advance(time.Minute)
		if l := s.claim(crm); l.Version != newest {
			s.Errorf("version = %d, want %d", l.Version, newest)
		}
	}},
	{"a lease is alone until it is over", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.wantDue(crm, lease)
		s.advance(lease - time.Millisecond)
		s.nothing(crm)
		s.advance(time.Millisecond)
		l := s.claim(crm)
		if l.Token == old.Token || l.Attempts != 2 || l.Version != old.Version {
			s.Errorf("lease = %+v", l)
		}
		s.nothing(crm)
	}},
	{"a lease that nobody took over still counts", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.advance(lease + time.Second)
		s.held(s.end(l, ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, l.Version, l.Version)
	}},
	{"a lost lease changes no outcome", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		l := s.claim(crm)
		was := s.slot(crm, "anna")
		entry := &ledger.Attempt{At: s.store.Now(), Version: old.Version, Code: canonical.UpstreamInvalid}
		for _, v := range []ledger.Verdict{ledger.Retry, ledger.Applied, ledger.Dead} {
			for _, u := range []bool{false, true} {
				f := s.end(old, v, remote("a-1"), coded(canonical.UpstreamInvalid), func(f *ledger.Finish) {
					f.Unsure, f.Delay, f.Identity, f.Result, f.Uncounted, f.Entry = u, time.Hour, []byte("other"), []byte("other"), true, entry
				})
				if !f.Lost || f.State != ledger.Leased || f.Desired != l.Version || f.Applied != 0 {
					s.Errorf("verdict %d: finished = %+v", v, f)
				}
				if now := s.slot(crm, "anna"); fmt.Sprint(now) != fmt.Sprint(was) {
					s.Fatalf("verdict %d: slot = %+v, was %+v", v, now, was)
				}
			}
		}
		s.held(s.end(l, ledger.Applied))
		if f := s.end(l, ledger.Dead); !f.Lost {
			s.Error("a lease was finished twice")
		}
		s.wantSlot(crm, "anna", ledger.Idle, l.Version, l.Version)
		if again := s.leased(upsert("anna", crm)); again.Identity != nil || again.RemoteID != "" {
			s.Errorf("lease = %+v", again)
		}
	}},
	{"a token is of one lease of one slot", func(s *suite) {
		anna, bert := s.leased(upsert("anna", crm)), s.leased(upsert("bert", crm))
		swapped := anna
		swapped.Token = bert.Token
		if f := s.end(swapped, ledger.Applied); !f.Lost {
			s.Error("another slot's token was taken")
		}
		if f := s.end(ledger.Lease{Route: crm, Customer: "nobody", Token: bert.Token, Version: bert.Version}, ledger.Applied); !f.Lost {
			s.Error("a finish of no slot was taken")
		}
		s.wantSlot(crm, "anna", ledger.Leased, anna.Version, 0)
	}},
	{"many finishes are one step", func(s *suite) {
		var finishes []ledger.Finish
		for i := range 100 {
			l := s.leased(upsert(fmt.Sprintf("customer %02d", i), crm))
			f := ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied}
			if i%10 == 3 {
				f.Token--
			}
			finishes = append(finishes, f)
		}
		finishes = append(finishes, finishes[0]) // is over by then
		got, err := ledger.Settle(s.ctx(), s.store, finishes)
		if err != nil || len(got) != len(finishes) {
			s.Fatalf("Finish = %d results, %v", len(got), err)
		}
		for i, f := range got {
			if want := i%10 == 3 || i == 100; f.Lost != want {
				s.Errorf("finish %d: lost = %t, want %t", i, f.Lost, want)
			}
		}
		if got, err := ledger.Settle(s.ctx(), s.store, nil); err != nil || len(got) != 0 {
			s.Errorf("Finish of nothing = %+v, %v", got, err)
		}
	}},
	{"next due is the first of all", func(s *suite) {
		if d, ok := s.nextDue(crm); ok {
			s.Errorf("NextDue of an unknown route = %v", d)
		}
		s.leased(upsert("anna", crm))
		s.wantDue(crm, lease)
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Retry, after(5*time.Second)))
		s.wantDue(crm, 5*time.Second)
		s.setRoute(ledger.Route{Name: crm, Paused: true, NotBefore: s.store.Now().Add(time.Hour)})
		s.wantDue(crm, 5*time.Second)
		s.advance(time.Minute)
		s.wantDue(crm, 0)
	}},
	{"a clock that is set back makes nothing wait", func(s *suite) {
		s.leased(upsert("anna", crm))
		s.held(s.end(s.leased(upsert("bert", shop)), ledger.Retry, after(10*time.Second)))
		s.advance(time.Second)
		s.accept(later("carl", "books"))
		was := s.store.Now()
		s.advance(-time.Hour)
		if now := s.store.Now(); now.Before(was) {
			s.Fatalf("the store's clock went back from %v to %v", was, now)
		}
		s.reopen()
		if now := s.store.Now(); now.Before(was) {
			s.Fatalf("the store's clock went back from %v to %v with a restart", was, now)
		}
		s.wantCustomers("due now", customers(s.claimAll("books")), "carl")
		s.advance(10 * time.Second)
		s.wantCustomers("after the delay", customers(s.claimAll(shop)), "bert")
		s.advance(lease - 10*time.Second)
		s.wantCustomers("after the lease", customers(s.claimAll(crm)), "anna")
	}},
	{"a restart does not let time pass", func(s *suite) {
		s.leased(upsert("anna", crm))
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Retry, after(24*time.Hour)))
		s.setRoute(ledger.Route{Name: shop, NotBefore: s.store.Now().Add(time.Hour)})
		was := s.store.Now()
		s.reopen()
		if now := s.store.Now(); now.Sub(was) > time.Second {
			s.Errorf("the store's clock went on by %v", now.Sub(was))
		}
		s.nothing(crm)
		s.advance(lease)
		s.wantCustomers("after the lease", customers(s.claimAll(crm)), "anna")
	}},
	{"remote ids belong to one customer of a route", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied, remote("1")))
		f := s.held(s.end(s.leased(upsert("bert", crm)), ledger.Applied, remote("1")))
		if !f.Conflict || f.State != ledger.DeadLettered {
			s.Fatalf("finished = %+v", f)
		}
		if slot := s.slot(crm, "bert"); slot.State != ledger.DeadLettered || slot.Code != canonical.UpstreamIdentityConflict || slot.RemoteID != "" {
			s.Errorf("slot = %+v", slot)
		}
		if slot := s.slot(crm, "anna"); slot.RemoteID != "1" || slot.State != ledger.Idle {
			s.Errorf("slot = %+v", slot)
		}
		if letters := s.deadLetters(ledger.Filter{Code: canonical.UpstreamIdentityConflict}); len(letters) != 1 || letters[0].Customer != "bert" {
			s.Errorf("dead letters = %+v", letters)
		}
		if f := s.held(s.end(s.leased(upsert("bert", shop)), ledger.Applied, remote("1"))); f.Conflict {
			s.Error("a remote id of another route is another one")
		}
		if f := s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied, remote("1"))); f.Conflict || f.State != ledger.Idle {
			s.Errorf("its own remote id again: %+v", f)
		}
	}},
	{"one commit gives a remote id to one of two", func(s *suite) {
		a, b := s.leased(upsert("anna", crm)), s.leased(upsert("bert", crm))
		var finishes []ledger.Finish
		for _, l := range []ledger.Lease{a, b} {
			finishes = append(finishes, ledger.Finish{Route: crm, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied, RemoteID: "1"})
		}
		got, err := ledger.Settle(s.ctx(), s.store, finishes)
		if err != nil || got[0].Conflict || !got[1].Conflict {
			s.Fatalf("Finish = %+v, %v", got, err)
		}
	}},
	{"a remote id is recorded with every verdict, and forgotten", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, remote("1")))
		l := s.claim(crm)
		if l.RemoteID != "1" {
			s.Fatalf("lease = %+v", l)
		}
		s.held(s.end(l, ledger.Retry)) // an empty one changes nothing
		forget := func(f *ledger.Finish) { f.Forget = true }
		l = s.claim(crm)
		if l.RemoteID != "1" {
			s.Fatalf("lease = %+v", l)
		}
		s.held(s.end(l, ledger.Retry, forget))
		l = s.claim(crm)
		if l.RemoteID != "" {
			s.Fatalf("lease = %+v", l)
		}
		s.held(s.end(l, ledger.Applied, remote("2")))
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Applied, remote("1"))) // is free again
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied, forget, remote("3")))
		if id := s.slot(crm, "anna").RemoteID; id != "3" {
			s.Errorf("remote id = %q, want 3", id)
		}
	}},
	{"an identity stays until another is given", func(s *suite) {
		give := func(id []byte) func(*ledger.Finish) { return func(f *ledger.Finish) { f.Identity = id } }
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied, give([]byte("one"))))
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied, give(nil)))
		l := s.leased(upsert("anna", crm))
		if string(l.Identity) != "one" {
			s.Fatalf("identity = %q", l.Identity)
		}
		s.held(s.end(l, ledger.Applied, give([]byte("two"))))
		if l := s.leased(upsert("anna", crm)); string(l.Identity) != "two" {
			s.Errorf("identity = %q", l.Identity)
		}
	}},
}

// settling is the repair of what lands late.
var settling = []subtest{
	{"an older state that may land late is sent over at the settle time", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		s.advance(time.Second)
		l := s.leased(upsert("anna", crm))
		f := s.held(s.end(l, ledger.Applied))
		if f.State != ledger.Due || f.Wait != settle-time.Second || f.Applied != l.Version {
			s.Fatalf("finished = %+v", f)
		}
		s.advance(settle - time.Second - time.Millisecond)
		s.nothing(crm)
		s.advance(time.Millisecond)
		again := s.claim(crm)
		if again.Version != l.Version || again.Payload == nil {
			s.Fatalf("lease = %+v", again)
		}
		s.held(s.end(again, ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, l.Version, l.Version)
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied))
		if d, ok := s.nextDue(crm); ok {
			s.Errorf("due in %v though nothing is unsure any more", d)
		}
	}},
	{"a newer state does not wait for the settle time, and is sent over then", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		s.advance(time.Second)
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied))
		l := s.leased(upsert("anna", crm))
		if f := s.held(s.end(l, ledger.Applied)); f.State != ledger.Due || f.Wait != settle-time.Second || f.Applied != l.Version {
			s.Fatalf("finished = %+v, want due at the settle time", f)
		}
		newest := s.accept(later("anna", crm)).Version
		if again := s.claim(crm); again.Version != newest {
			s.Fatalf("lease = %+v, want version %d at once", again, newest)
		}
	}},
	{"a newer state waits for the back-off after a repetition that failed", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		s.advance(time.Second)
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied))
		s.advance(settle)
		s.held(s.end(s.claim(crm), ledger.Retry, after(time.Hour), func(f *ledger.Finish) { f.Code = canonical.UpstreamUnavailable }))
		if p := s.accept(upsert("anna", crm)).Places[0]; p.Lease != nil {
			s.Errorf("place = %+v, want it to rest", p)
		}
	}},
	{"the same state landing again needs no repair", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		s.held(s.end(s.claim(crm), ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, s.slot(crm, "anna").Desired, s.slot(crm, "anna").Desired)
	}},
	{"4 5 5 4: a success of the newer one does not clear the older", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure)) // 4, lands last
		s.advance(time.Second)
		five := s.leased(upsert("anna", crm))
		s.held(s.end(five, ledger.Retry, unsure)) // 5, lands
		s.advance(time.Second)
		f := s.held(s.end(s.claim(crm), ledger.Applied)) // 5 again
		if f.State != ledger.Due || f.Wait == 0 {
			s.Fatalf("finished = %+v, want due at the settle time", f)
		}
		s.advance(f.Wait)
		if l := s.claim(crm); l.Version != five.Version {
			s.Errorf("version = %d, want %d", l.Version, five.Version)
		}
	}},
	{"a success does not make its own late copy forgotten", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure)) // 4, lands last
		s.held(s.end(s.claim(crm), ledger.Applied))                        // 4 again
		s.advance(time.Second)
		if f := s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied)); f.State != ledger.Due || f.Wait != settle-time.Second { // 5
			s.Fatalf("finished = %+v", f)
		}
	}},
	{"what was unsure under a success or a refusal is remembered", func(s *suite) {
		for _, v := range []ledger.Verdict{ledger.Applied, ledger.Dead} {
			c := fmt.Sprint("customer ", v)
			s.held(s.end(s.leased(upsert(c, crm)), v, unsure))
			s.advance(time.Second)
			if f := s.held(s.end(s.leased(upsert(c, crm)), ledger.Applied)); f.State != ledger.Due || f.Wait != settle-time.Second {
				s.Errorf("verdict %d: finished = %+v", v, f)
			}
		}
	}},
	{"a lease that is over is unsure", func(s *suite) {
		s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.accept(later("anna", crm)).Version
		f := s.held(s.end(s.claim(crm), ledger.Applied))
		if f.State != ledger.Due || f.Wait != settle || f.Applied != newest {
			s.Fatalf("finished = %+v", f)
		}
	}},
	{"unsure survives a restart", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		s.reopen()
		if f := s.held(s.end(s.leased(upsert("anna", crm)), ledger.Applied)); f.State != ledger.Due || f.Wait != settle {
			s.Fatalf("finished = %+v", f)
		}
	}},
	{"a late success of an older state is repaired at once", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.leased(upsert("anna", crm))
		s.held(s.end(newest, ledger.Applied))
		s.advance(settle)
		s.held(s.end(s.claim(crm), ledger.Applied)) // the repair of the reclaim
		s.wantSlot(crm, "anna", ledger.Idle, newest.Version, newest.Version)
		s.advance(time.Hour)
		if f := s.end(old, ledger.Applied); !f.Lost || f.State != ledger.Due || f.Wait != 0 {
			s.Fatalf("finished = %+v, want lost and due", f)
		}
		l := s.claim(crm)
		if l.Version != newest.Version {
			s.Errorf("version = %d, want %d", l.Version, newest.Version)
		}
		s.held(s.end(l, ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, newest.Version, newest.Version)
	}},
	{"a late time-out of an older state is repaired at the settle time", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.leased(upsert("anna", crm))
		s.held(s.end(newest, ledger.Applied))
		s.advance(settle)
		s.held(s.end(s.claim(crm), ledger.Applied))
		if f := s.end(old, ledger.Retry, unsure); !f.Lost || f.State != ledger.Due || f.Wait != settle {
			s.Fatalf("finished = %+v, want lost and due at the settle time", f)
		}
	}},
	{"a late success during a newer delivery is repaired after it", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.leased(upsert("anna", crm))
		s.advance(time.Second)
		s.end(old, ledger.Applied)
		// What it says now does not take back that something may land until then.
		if f := s.held(s.end(newest, ledger.Applied)); f.State != ledger.Due || f.Wait != settle-time.Second {
			s.Fatalf("finished = %+v, want due at the settle time", f)
		}
	}},
	{"a late success of the newest state needs no repair", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		s.held(s.end(s.claim(crm), ledger.Applied))
		s.advance(settle)
		if f := s.end(old, ledger.Applied); !f.Lost || f.State != ledger.Idle {
			s.Fatalf("finished = %+v", f)
		}
		s.nothing(crm)
	}},
	{"a late finish that sent nothing repairs nothing", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.leased(upsert("anna", crm))
		s.held(s.end(newest, ledger.Applied))
		s.advance(settle)
		s.held(s.end(s.claim(crm), ledger.Applied))
		for _, v := range []ledger.Verdict{ledger.Retry, ledger.Dead} {
			s.end(old, v)
			s.wantSlot(crm, "anna", ledger.Idle, newest.Version, newest.Version)
		}
	}},
	{"a quiet slot is sent at most once more", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Retry, unsure))
		l := s.leased(upsert("anna", crm))
		sends := 0
		for f := s.held(s.end(l, ledger.Applied)); f.State == ledger.Due; f = s.held(s.end(s.claim(crm), ledger.Applied)) {
			if sends++; sends > 1 {
				s.Fatal("it is sent again and again")
			}
			s.advance(f.Wait)
		}
		if sends != 1 {
			s.Errorf("sent %d times more, want 1", sends)
		}
	}},
}

// dying is dead letters, replay and resync.
var dying = []subtest{
	{"a refusal is a dead letter with its history", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		entry := func(n int, code canonical.Code) func(*ledger.Finish) {
			return func(f *ledger.Finish) {
				f.Code, f.Result = code, []byte("{}")
				f.Entry = &ledger.Attempt{
					At: s.store.Now(), Version: l.Version, Number: n, Requests: 2, Op: "create", Code: code, Status: 503,
					UpstreamCode: "E1", RequestID: "r-1", Took: 1500 * time.Millisecond,
				}
			}
		}
		s.held(s.end(l, ledger.Retry, entry(1, canonical.UpstreamUnavailable)))
		s.advance(time.Second)
		f := s.held(s.end(s.claim(crm), ledger.Dead, entry(2, canonical.UpstreamInvalid)))
		if f.State != ledger.DeadLettered || f.Applied != 0 || f.Desired != l.Version {
			s.Fatalf("finished = %+v", f)
		}
		if d, ok := s.nextDue(crm); ok {
			s.Errorf("a dead slot is due in %v", d)
		}
		s.reopen()
		letters := s.deadLetters(ledger.Filter{Limit: 10})
		if len(letters) != 1 {
			s.Fatalf("dead letters = %+v", letters)
		}
		d := letters[0]
		if d.Route != crm || d.Customer != "anna" || d.Code != canonical.UpstreamInvalid || d.ResultVersion != l.Version || string(d.Result) != "{}" ||
			d.Attempts != 2 || !d.DiedAt.Equal(s.store.Now()) || len(d.History) != 2 {
			s.Fatalf("dead letter = %+v", d)
		}
		h := d.History[0]
		if d.History[1].Number != 2 || h.Number != 1 || h.Version != l.Version || h.Requests != 2 || h.Op != "create" || h.Code != canonical.UpstreamUnavailable ||
			h.Status != 503 || h.UpstreamCode != "E1" || h.RequestID != "r-1" || h.Took != 1500*time.Millisecond || !h.At.Equal(s.store.Now().Add(-time.Second)) {
			s.Errorf("history = %+v", d.History)
		}
	}},
	{"dead letters are found and paged", func(s *suite) {
		var died []time.Time
		for i := range 5 {
			c, route, code := fmt.Sprint("customer ", i), crm, canonical.UpstreamInvalid
			if i%2 == 1 {
				route, code = shop, canonical.UpstreamDuplicate
			}
			l := s.leased(upsert(c, route))
			if i != 3 { // 2 and 3 die at the same moment
				s.advance(time.Second)
			}
			died = append(died, s.store.Now())
			s.held(s.end(l, ledger.Dead, coded(code)))
		}
		s.leased(upsert("alive", crm))
		tests := []struct {
			name string
			f    ledger.Filter
			want []int
		}{
			{"all", ledger.Filter{}, []int{0, 1, 2, 3, 4}},
			{"limit", ledger.Filter{Limit: 2}, []int{0, 1}},
			{"route", ledger.Filter{Route: shop}, []int{1, 3}},
			{"routes", ledger.Filter{Routes: []string{"books", shop}}, []int{1, 3}},
			{"no routes", ledger.Filter{Routes: []string{}}, nil},
			{"route that is not among the routes", ledger.Filter{Route: crm, Routes: []string{shop}}, nil},
			{"code", ledger.Filter{Code: canonical.UpstreamInvalid}, []int{0, 2, 4}},
			{"customer", ledger.Filter{Customer: "customer 2"}, []int{2}},
			{"since", ledger.Filter{Since: died[2]}, []int{2, 3, 4}},
			{"until", ledger.Filter{Until: died[2]}, []int{0, 1}},
			{"both", ledger.Filter{Since: died[1], Until: died[4], Route: shop}, []int{1, 3}},
			{"nothing", ledger.Filter{Code: canonical.UpstreamNotFound}, nil},
		}
		for _, test := range tests {
			var want []string
			for _, i := range test.want {
				want = append(want, fmt.Sprint("customer ", i))
			}
			var got []string
			for _, d := range s.deadLetters(test.f) {
				got = append(got, d.Customer)
			}
			s.wantCustomers(test.name, got, want...)
			if test.name == "limit" {
				continue
			}
			got = nil // page by page
			f := test.f
			for f.Limit = 2; ; {
				page := s.deadLetters(f)
				for _, d := range page {
					got = append(got, d.Customer)
					f.After = ledger.Cursor{DiedAt: d.DiedAt, Route: d.Route, Customer: d.Customer}
				}
				if len(page) == 0 {
					break
				}
			}
			s.wantCustomers(test.name+", paged", got, want...)
		}
	}},
	{"a new state takes the place of a dead one", func(s *suite) {
		s.held(s.end(s.leased(upsert("anna", crm)), ledger.Dead))
		v := s.accept(later("anna", crm)).Version
		s.wantSlot(crm, "anna", ledger.Due, v, 0)
		if letters := s.deadLetters(ledger.Filter{}); len(letters) != 0 {
			s.Errorf("dead letters = %+v", letters)
		}
		if l := s.claim(crm); l.Version != v || l.Attempts != 1 {
			s.Errorf("lease = %+v", l)
		}
	}},
	{"replay sends the newest state, with no attempts spent", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.held(s.end(l, ledger.Retry))
		s.held(s.end(s.claim(crm), ledger.Dead, coded(canonical.UpstreamInvalid)))
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Dead, coded(canonical.UpstreamDuplicate)))
		s.held(s.end(s.leased(upsert("carl", shop)), ledger.Dead, coded(canonical.UpstreamInvalid)))
		s.advance(time.Hour)
		for _, f := range []ledger.Filter{{Route: "books"}, {Customer: "bert", Code: canonical.UpstreamInvalid}, {Routes: []string{}}} {
			if n, err := s.store.Replay(s.ctx(), f); n != 0 || err != nil {
				s.Errorf("Replay(%+v) = %d, %v", f, n, err)
			}
		}
		if n, err := s.store.Replay(s.ctx(), ledger.Filter{Code: canonical.UpstreamInvalid, Limit: 1}); n != 2 || err != nil {
			s.Fatalf("Replay = %d, %v; want 2", n, err)
		}
		s.wantSlot(crm, "bert", ledger.DeadLettered, s.slot(crm, "bert").Desired, 0)
		again := s.claim(crm)
		if again.Version != l.Version || again.Attempts != 1 || !again.DueSince.Equal(s.store.Now()) || again.Payload == nil {
			s.Errorf("lease = %+v", again)
		}
		if n, err := s.store.Replay(s.ctx(), ledger.Filter{Customer: "anna"}); n != 0 || err != nil {
			s.Errorf("Replay of what is not dead = %d, %v", n, err)
		}
	}},
	{"replay of many is complete", func(s *suite) {
		const many = 1000
		s.fill(many, ledger.Dead)
		if n, err := s.store.Replay(s.ctx(), ledger.Filter{}); n != many || err != nil {
			s.Fatalf("Replay = %d, %v", n, err)
		}
		if leases, err := s.store.Claim(s.ctx(), crm, many+1, lease); err != nil || len(leases) != many {
			s.Fatalf("Claim = %d, %v", len(leases), err)
		}
	}},
	{"resync sends what is held once more", func(s *suite) {
		idle := s.leased(upsert("anna", crm))
		s.held(s.end(idle, ledger.Applied))
		s.held(s.end(s.leased(upsert("bert", crm)), ledger.Dead))
		s.held(s.end(s.leased(upsert("carl", crm)), ledger.Retry, after(time.Hour)))
		s.held(s.end(s.leased(upsert("dora", shop)), ledger.Applied))
		due, missing, err := s.store.Resync(s.ctx(), crm)
		if due != 1 || missing != 0 || err != nil {
			s.Fatalf("Resync = %d, %d, %v", due, missing, err)
		}
		l := s.claim(crm)
		if l.Customer != "anna" || l.Version != idle.Version || string(l.Payload) != string(state("anna")) || l.Attempts != 1 {
			s.Errorf("lease = %+v", l)
		}
		s.held(s.end(l, ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, idle.Version, idle.Version)
		s.wantSlot(crm, "bert", ledger.DeadLettered, s.slot(crm, "bert").Desired, 0)
	}},
	{"resync counts what is not held any more", func(s *suite) {
		for _, c := range []string{"anna", "bert", "carl"} {
			s.held(s.end(s.leased(upsert(c, crm)), ledger.Applied))
		}
		s.advance(time.Hour)
		s.held(s.end(s.leased(upsert("carl", crm)), ledger.Applied))
		s.sweep(ledger.Sweep{Payloads: 10 * time.Minute, Operations: 24 * time.Hour})
		due, missing, err := s.store.Resync(s.ctx(), crm)
		if due != 1 || missing != 2 || err != nil {
			s.Fatalf("Resync = %d, %d, %v", due, missing, err)
		}
		s.wantCustomers("Claim", customers(s.claimAll(crm)), "carl")
	}},
}
