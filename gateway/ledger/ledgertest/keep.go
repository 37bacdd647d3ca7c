package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// routing is pauses, holds and counts.
var routing = []subtest{
	{"a paused route keeps its work", func(s *suite) {
		s.accept(later("anna", crm))
		s.accept(later("anna", shop))
		s.setRoute(ledger.Route{Name: crm, Paused: true, Reason: "maintenance"})
		s.reopen()
		s.nothing(crm)
		s.wantCustomers("the other route", customers(s.claimAll(shop)), "anna")
		routes, err := s.store.Routes(s.ctx())
		if err != nil || len(routes) != 1 || routes[0] != (ledger.Route{Name: crm, Paused: true, Reason: "maintenance"}) {
			s.Fatalf("Routes = %+v, %v", routes, err)
		}
		s.setRoute(ledger.Route{Name: crm})
		if l := s.claim(crm); l.Attempts != 1 {
			s.Errorf("a pause cost an attempt: %+v", l)
		}
	}},
	{"a route on hold opens by itself", func(s *suite) {
		s.accept(later("anna", crm))
		s.setRoute(ledger.Route{Name: crm, NotBefore: s.store.Now().Add(time.Minute)})
		s.nothing(crm)
		s.setRoute(ledger.Route{Name: crm, NotBefore: s.store.Now().Add(time.Second)}) // an earlier one does not win
		s.setRoute(ledger.Route{Name: crm, Paused: true})
		s.setRoute(ledger.Route{Name: crm})
		s.advance(59 * time.Second)
		s.nothing(crm)
		s.reopen()
		s.nothing(crm)
		s.advance(time.Second)
		s.claim(crm)
	}},
	{"what is in flight when a route is paused counts", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.setRoute(ledger.Route{Name: crm, Paused: true})
		s.held(s.end(l, ledger.Applied))
		s.wantSlot(crm, "anna", ledger.Idle, l.Version, l.Version)
	}},
	{"the backlog is counted", func(s *suite) {
		first := s.store.Now()
		s.accept(later("due", crm))
		s.advance(time.Second)
		s.held(s.end(s.leased(upsert("rests", crm)), ledger.Retry, after(time.Hour)))
		s.leased(upsert("leased", crm))
		s.held(s.end(s.leased(upsert("dead", crm)), ledger.Dead))
		s.held(s.end(s.leased(upsert("idle", crm)), ledger.Applied))
		s.held(s.end(s.leased(upsert("idle", shop)), ledger.Applied))
		s.reopen()
		all, err := s.store.Backlog(s.ctx())
		if err != nil {
			s.Fatal(err)
		}
		found := false
		for _, b := range all {
			switch b.Route {
			case crm:
				found = true
				if b.Due != 2 || b.Leased != 1 || b.Dead != 1 || !b.Oldest.Equal(first) {
					s.Errorf("backlog = %+v", b)
				}
			case shop:
				if b.Due+b.Leased+b.Dead != 0 || !b.Oldest.IsZero() {
					s.Errorf("backlog = %+v", b)
				}
			}
		}
		if !found {
			s.Errorf("Backlog = %+v", all)
		}
	}},
}

// keeping is retention and erasure.
var keeping = []subtest{
	{"until delivered, a state is kept while a slot may send it", func(s *suite) {
		s.accept(later("due", crm))
		s.held(s.end(s.leased(upsert("rests", crm)), ledger.Retry, after(100*time.Hour)))
		s.leased(upsert("leased", crm))
		s.held(s.end(s.leased(upsert("dead", crm)), ledger.Dead))
		s.held(s.end(s.leased(upsert("idle", crm)), ledger.Applied))
		both := s.accept(upsert("partly", crm, shop))
		s.held(s.end(*both.Places[0].Lease, ledger.Applied))
		s.advance(48 * time.Hour)
		// Sent anew, it rests until the settle time.
		s.held(s.end(s.leased(upsert("settles", crm)), ledger.Retry, unsure))
		s.held(s.end(s.leased(upsert("settles", crm)), ledger.Applied))
		s.sweep(ledger.Sweep{})
		s.advance(60 * time.Hour)
		if _, err := s.store.Replay(s.ctx(), ledger.Filter{}); err != nil {
			s.Fatal(err)
		}
		for _, route := range []string{crm, shop} {
			for _, l := range s.claimAll(route) {
				if !bytes.Equal(l.Payload, state(l.Customer)) {
					s.Errorf("%s/%s: payload = %q", route, l.Customer, l.Payload)
				}
			}
		}
		c, err := s.store.Customer(s.ctx(), "idle")
		if err != nil || c.Payload != nil || c.Version == 0 {
			s.Errorf("customer = %+v, %v; the payload should be gone", c, err)
		}
	}},
	{"until delivered, a young state is kept", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.held(s.end(l, ledger.Applied))
		s.advance(9 * time.Minute)
		s.sweep(ledger.Sweep{Payloads: 10 * time.Minute, Operations: time.Hour})
		if c, err := s.store.Customer(s.ctx(), "anna"); err != nil || c.Payload == nil {
			s.Errorf("customer = %+v, %v", c, err)
		}
	}},
	{"a late time-out finds the state still there", func(s *suite) {
		old := s.leased(upsert("anna", crm))
		s.advance(lease)
		newest := s.leased(upsert("anna", crm))
		s.held(s.end(newest, ledger.Applied))
		s.advance(settle)
		s.held(s.end(s.claim(crm), ledger.Applied))
		s.advance(time.Second)
		s.sweep(ledger.Sweep{Payloads: 2 * (lease + settle), Operations: 2 * (lease + settle)})
		if f := s.end(old, ledger.Retry, unsure); f.State != ledger.Due {
			s.Fatalf("finished = %+v", f)
		}
		s.sweep(ledger.Sweep{})
		s.advance(settle)
		if l := s.claim(crm); l.Version != newest.Version || l.Payload == nil {
			s.Errorf("lease = %+v", l)
		}
	}},
	{"latest keeps the newest state of every slot", func(s *suite) {
		old := s.accept(later("anna", crm, shop))
		for _, route := range []string{crm, shop} {
			s.held(s.end(s.claim(route), ledger.Applied))
		}
		a := upsert("anna", crm)
		a.Payload = state("new")
		s.held(s.end(s.leased(a), ledger.Applied))
		s.advance(1000 * time.Hour)
		s.sweep(ledger.Sweep{Latest: true})
		for route, want := range map[string][]byte{crm: state("new"), shop: state("anna")} {
			if due, missing, err := s.store.Resync(s.ctx(), route); due != 1 || missing != 0 || err != nil {
				s.Fatalf("Resync(%s) = %d, %d, %v", route, due, missing, err)
			}
			if l := s.claim(route); !bytes.Equal(l.Payload, want) {
				s.Errorf("%s: payload = %q, want %q", route, l.Payload, want)
			}
		}
		if slot := s.slot(shop, "anna"); slot.Desired != old.Version {
			s.Errorf("slot = %+v", slot)
		}
	}},
	{"operations are kept for their time", func(s *suite) {
		v := s.accept(upsert("anna", crm))
		s.held(s.end(*v.Places[0].Lease, ledger.Applied, remote("1")))
		s.advance(59 * time.Minute)
		w := ledger.Sweep{Payloads: 5 * time.Minute, Operations: time.Hour}
		s.sweep(w)
		if _, err := s.store.Operation(s.ctx(), v.Version); err != nil {
			s.Fatal(err)
		}
		s.advance(2 * time.Minute)
		s.sweep(w)
		_, err := s.store.Operation(s.ctx(), v.Version)
		s.wantCode(err, canonical.RequestNotFound)
		if slot := s.wantSlot(crm, "anna", ledger.Idle, v.Version, v.Version); slot.RemoteID != "1" {
			s.Errorf("slot = %+v", slot)
		}
		if s.accept(upsert("anna", crm)).First {
			s.Error("the customer was forgotten")
		}
	}},
	{"a dead letter keeps its history", func(s *suite) {
		l := s.leased(upsert("anna", crm))
		s.held(s.end(l, ledger.Dead, func(f *ledger.Finish) { f.Entry = &ledger.Attempt{At: s.store.Now(), Version: l.Version, Number: 1} }))
		s.advance(1000 * time.Hour)
		s.sweep(ledger.Sweep{Payloads: time.Hour, Operations: time.Hour})
		if letters := s.deadLetters(ledger.Filter{}); len(letters) != 1 || len(letters[0].History) != 1 {
			s.Errorf("dead letters = %+v", letters)
		}
	}},
	{"a sweep of much is done in parts", func(s *suite) {
		const many = 1500
		s.fill(many, ledger.Applied)
		s.advance(time.Hour)
		s.sweep(ledger.Sweep{Payloads: time.Minute, Operations: 2 * time.Hour})
		if due, missing, err := s.store.Resync(s.ctx(), crm); due != 0 || missing != many || err != nil {
			s.Errorf("Resync = %d, %d, %v", due, missing, err)
		}
	}},
	{"erased is gone", func(s *suite) {
		const canary = "canary-7d1f"
		a := upsert(canary+"-customer", crm, shop)
		a.Payload = []byte(`{"name":"` + canary + `-payload"}`)
		a.Key = key(canary+"-key", "body")
		got := s.accept(a)
		s.held(s.end(*got.Places[0].Lease, ledger.Dead, remote(canary+"-remote"), func(f *ledger.Finish) {
			f.Identity, f.Result = []byte(canary+"-identity"), []byte(canary+"-result")
			f.Entry = &ledger.Attempt{At: s.store.Now(), Version: got.Version, RequestID: canary + "-request"}
		}))
		other := s.leased(upsert("other", crm))
		if err := s.store.Erase(s.ctx(), a.Customer); err != nil {
			s.Fatal(err)
		}
		s.grep(canary)
		_, err := s.store.Customer(s.ctx(), a.Customer)
		s.wantCode(err, canonical.RequestNotFound)
		_, err = s.store.Slot(s.ctx(), crm, a.Customer)
		s.wantCode(err, canonical.RequestNotFound)
		_, err = s.store.Operation(s.ctx(), got.Version)
		s.wantCode(err, canonical.RequestNotFound)
		s.wantCode(s.store.Erase(s.ctx(), a.Customer), canonical.RequestNotFound)
		s.wantCode(s.store.Erase(s.ctx(), "nobody"), canonical.RequestNotFound)
		if letters := s.deadLetters(ledger.Filter{}); len(letters) != 0 {
			s.Errorf("dead letters = %+v", letters)
		}

		// What was in flight ends without a trace.
		f := s.end(*got.Places[1].Lease, ledger.Applied, remote(canary+"-late"), unsure, func(f *ledger.Finish) {
			f.Entry = &ledger.Attempt{At: s.store.Now(), RequestID: canary + "-late"}
		})
		if !f.Lost {
			s.Errorf("finished = %+v", f)
		}
		s.grep(canary)
		s.held(s.end(other, ledger.Applied, remote(canary[:6]+"-free")))

		again := s.accept(a)
		if !again.First || again.Existing || again.Version <= got.Version {
			s.Errorf("Accept after Erase = %+v", again)
		}
		if l := again.Places[0].Lease; l == nil || l.RemoteID != "" || l.Identity != nil || l.Applied != 0 || l.Attempts != 1 || l.Token == got.Places[0].Lease.Token {
			s.Errorf("lease after Erase = %+v", l)
		}
		if f := s.end(*got.Places[1].Lease, ledger.Dead); !f.Lost {
			s.Error("a lease from before Erase is held again")
		}
	}},
}

// fill accepts states of many customers for one route and ends them all alike.
func (s *suite) fill(many int, v ledger.Verdict) {
	s.Helper()
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			for n := i; n < many; n += 50 {
				if _, err := s.store.Accept(s.ctx(), later(fmt.Sprintf("customer %04d", n), crm)); err != nil {
					s.Errorf("Accept: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	leases, err := s.store.Claim(s.ctx(), crm, many+1, lease)
	if err != nil || len(leases) != many {
		s.Fatalf("Claim = %d leases, %v; want %d", len(leases), err, many)
	}
	var finishes []ledger.Finish
	for _, l := range leases {
		finishes = append(finishes, ledger.Finish{Route: crm, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: v})
	}
	if _, err := ledger.Settle(s.ctx(), s.store, finishes); err != nil {
		s.Fatal(err)
	}
}

// grep fails if text is in any of the store's files.
func (s *suite) grep(text string) {
	s.Helper()
	root := os.DirFS(s.dir)
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(root, path)
		if bytes.Contains(data, []byte(text)) {
			s.Errorf("%q is still in the file %s", text, path)
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
}

// living is what holds when much goes on at once.
var living = []subtest{
	{"concurrent duplicates are one operation", func(s *suite) {
		const callers = 32
		var wg sync.WaitGroup
		var fresh, wrong atomic.Int64
		versions := make([]int64, callers)
		for i := range callers {
			wg.Go(func() {
				got, err := s.store.Accept(s.ctx(), keyed("anna", key("k", "body")))
				if err != nil {
					s.Error(err)
				}
				if versions[i] = got.Version; !got.Existing {
					fresh.Add(1)
				}
				if _, err := s.store.Accept(s.ctx(), keyed("anna", key("k", "other"))); err == nil {
					wrong.Add(1)
				}
			})
		}
		wg.Wait()
		if fresh.Load() != 1 || wrong.Load() != 0 {
			s.Errorf("%d operations of one request, %d of another", fresh.Load(), wrong.Load())
		}
		for _, v := range versions {
			if v != versions[0] {
				s.Fatalf("versions = %v", versions)
			}
		}
	}},
	{"of concurrent preconditions one holds", func(s *suite) {
		v := s.accept(later("anna", crm)).Version
		var wg sync.WaitGroup
		var held atomic.Int64
		for range 16 {
			wg.Go(func() {
				a := later("anna", crm)
				a.Match.Versions = []int64{v}
				if _, err := s.store.Accept(s.ctx(), a); err == nil {
					held.Add(1)
				}
			})
		}
		wg.Wait()
		if held.Load() != 1 {
			s.Errorf("%d upserts held the precondition, want 1", held.Load())
		}
	}},
	{"one customer, many callers", func(s *suite) { s.crowd(1) }},
	{"many customers, many callers", func(s *suite) { s.crowd(8) }},
}

// crowd lets many accept and deliver at once. No two ever hold one slot, no older
// state is sent after a newer one, and in the end all are delivered.
func (s *suite) crowd(customers int) {
	const callers, upserts = 8, 40
	routes := []string{crm, shop}
	var mu sync.Mutex
	newest := map[string]int64{}  // accepted
	sent := map[[2]string]int64{} // by slot
	holds := map[[2]string]bool{}
	deliver := func(l ledger.Lease) {
		id := [2]string{l.Route, l.Customer}
		mu.Lock()
		if holds[id] {
			s.Errorf("two leases of %v at once", id)
		}
		if l.Version < sent[id] {
			s.Errorf("%v: version %d is sent after %d", id, l.Version, sent[id])
		}
		holds[id], sent[id] = true, l.Version
		mu.Unlock()
		runtime.Gosched() // to send
		mu.Lock()
		holds[id] = false
		mu.Unlock()
		f, err := ledger.Settle(s.ctx(), s.store, []ledger.Finish{{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied}})
		if err != nil || f[0].Lost || f[0].Applied != l.Version || f[0].Desired < l.Version {
			s.Errorf("Finish = %+v, %v", f, err)
		}
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for _, route := range routes { // the background
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				leases, err := s.store.Claim(s.ctx(), route, 3, lease)
				if err != nil {
					s.Error(err)
					return
				}
				for _, l := range leases {
					deliver(l)
				}
			}
		})
	}
	all.Go(func() { // readers, and those who tidy up
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, _, e1 := s.store.NextDue(s.ctx(), crm)
			_, e2 := s.store.Backlog(s.ctx())
			_, e3 := s.store.Sweep(s.ctx(), ledger.Sweep{Payloads: time.Hour, Operations: time.Hour})
			_, e4 := s.store.Replay(s.ctx(), ledger.Filter{})
			_, e5 := s.store.DeadLetters(s.ctx(), ledger.Filter{Limit: 10})
			_, e6 := s.store.Routes(s.ctx())
			if err := errors.Join(e1, e2, e3, e4, e5, e6, s.store.Ready()); err != nil {
				s.Error(err)
				return
			}
		}
	})
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for j := range upserts {
				a := upsert(fmt.Sprint("customer ", (i+j)%customers), routes...)
				if j%3 == 0 {
					a.Lease = 0
				}
				got, err := s.store.Accept(s.ctx(), a)
				if err != nil {
					s.Error(err)
					return
				}
				mu.Lock()
				newest[a.Customer] = max(newest[a.Customer], got.Version)
				mu.Unlock()
				for _, p := range got.Places {
					if p.Lease != nil {
						deliver(*p.Lease)
					}
				}
				if _, err := s.store.Customer(s.ctx(), a.Customer); err != nil {
					s.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	all.Wait()
	for _, route := range routes {
		for _, l := range s.claimAll(route) {
			deliver(l)
		}
		for c, v := range newest {
			s.wantSlot(route, c, ledger.Idle, v, v)
		}
	}
}
