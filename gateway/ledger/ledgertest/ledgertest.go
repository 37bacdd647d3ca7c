// Package ledgertest is the suite that every ledger.Store passes. A store's test
// opens stores and calls Run:
//
//	func TestConformance(t *testing.T) {
//		ledgertest.Run(t, func(t *testing.T, o ledgertest.Options) ledger.Store { … })
//	}
//
// It has a table of named subtests, one for each promise of the contract, and a
// model test that plays random histories with lost answers, requests that land
// late, crashes, and workers that go on after their lease is over. To look longer:
//
//	go test ./gateway/ledger/sqlite -run 'Conformance/model' -rapid.checks=5000 -rapid.steps=60 -timeout 0
package ledgertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Options say how a store is to be opened.
type Options struct {
	// Dir is an empty directory at first. Opening it again after Close must find
	// what was there.
	Dir string
	// Now is the wall clock, for the store to use in place of the machine's. Tests
	// set it forward, and back.
	Now func() time.Time
	// Settle is how long after a time-out a request may still take effect.
	Settle time.Duration
}

// settle and lease are what the tests use.
const (
	settle = time.Minute
	lease  = 30 * time.Second
)

// The routes of most tests.
const (
	crm  = "crm"
	shop = "shop"
)

// Run runs the suite. open fails the test if it cannot open a store; closing is
// the suite's affair.
func Run(t *testing.T, open func(t *testing.T, o Options) ledger.Store) {
	for _, group := range [][]subtest{accepting, keys, leasing, settling, dying, routing, keeping, living, sealing} {
		for _, s := range group {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.run(start(t, open))
			})
		}
	}
	t.Run("model", func(t *testing.T) {
		t.Parallel()
		model(t, open)
	})
}

// subtest is one promise.
type subtest struct {
	name string
	run  func(s *suite)
}

// suite is a test with a store of its own.
type suite struct {
	*testing.T
	store ledger.Store
	clock *clock
	open  func(t *testing.T, o Options) ledger.Store
	dir   string
}

// clock is the wall clock of a test.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock {
	return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t *testing.T, open func(t *testing.T, o Options) ledger.Store) *suite {
	s := &suite{T: t, clock: newClock(), open: open, dir: t.TempDir()}
	s.store = s.openStore()
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func (s *suite) openStore() ledger.Store {
	s.Helper()
	store := s.open(s.T, Options{Dir: s.dir, Now: s.clock.Now, Settle: settle})
	if store == nil {
		s.Fatal("no store was opened")
	}
	return store
}

// reopen is what a restart does.
func (s *suite) reopen() {
	s.Helper()
	if err := s.store.Close(); err != nil {
		s.Fatalf("Close: %v", err)
	}
	s.store = s.openStore()
}

func (s *suite) advance(d time.Duration) { s.clock.advance(d) }

// ctx of a test ends with it, but not before the cleanup.
func (s *suite) ctx() context.Context { return context.WithoutCancel(s.Context()) }

// state is a payload that tells its number.
func state(n string) []byte { return []byte(`{"state":"` + n + `"}`) }

// upsert is an Accept of a customer, which leases.
func upsert(customer string, routes ...string) ledger.Accept {
	return ledger.Accept{Customer: customer, Routes: routes, Payload: state(customer), Lease: lease}
}

// later is an upsert that leases nothing.
func later(customer string, routes ...string) ledger.Accept {
	a := upsert(customer, routes...)
	a.Lease = 0
	return a
}

func (s *suite) accept(a ledger.Accept) ledger.Accepted {
	s.Helper()
	got, err := s.store.Accept(s.ctx(), a)
	if err != nil {
		s.Fatalf("Accept(%s): %v", a.Customer, err)
	}
	return got
}

// leased accepts an upsert of one route and returns the lease that it must get.
func (s *suite) leased(a ledger.Accept) ledger.Lease {
	s.Helper()
	got := s.accept(a)
	if len(got.Places) != 1 || got.Places[0].Lease == nil {
		s.Fatalf("Accept(%s) gave no lease: %+v", a.Customer, got.Places)
	}
	return *got.Places[0].Lease
}

func (s *suite) claimAll(route string) []ledger.Lease {
	s.Helper()
	leases, err := s.store.Claim(s.ctx(), route, 1000, lease)
	if err != nil {
		s.Fatalf("Claim(%s): %v", route, err)
	}
	return leases
}

// claim claims what must be the only slot that is due.
func (s *suite) claim(route string) ledger.Lease {
	s.Helper()
	leases := s.claimAll(route)
	if len(leases) != 1 {
		s.Fatalf("Claim(%s) = %d leases, want 1: %+v", route, len(leases), leases)
	}
	return leases[0]
}

// nothing asserts that nothing is due.
func (s *suite) nothing(route string) {
	s.Helper()
	if leases := s.claimAll(route); len(leases) > 0 {
		s.Fatalf("Claim(%s) = %+v, want nothing", route, leases)
	}
}

// end ends a lease; change adjusts the finish.
func (s *suite) end(l ledger.Lease, v ledger.Verdict, change ...func(*ledger.Finish)) ledger.Finished {
	s.Helper()
	f := ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: v}
	for _, c := range change {
		c(&f)
	}
	got, err := ledger.Settle(s.ctx(), s.store, []ledger.Finish{f})
	if err != nil || len(got) != 1 {
		s.Fatalf("Finish = %+v, %v", got, err)
	}
	return got[0]
}

func unsure(f *ledger.Finish)    { f.Unsure = true }
func uncounted(f *ledger.Finish) { f.Uncounted = true }

func after(d time.Duration) func(*ledger.Finish) {
	return func(f *ledger.Finish) { f.Delay = d }
}

func coded(c canonical.Code) func(*ledger.Finish) {
	return func(f *ledger.Finish) { f.Code = c }
}

func remote(id string) func(*ledger.Finish) {
	return func(f *ledger.Finish) { f.RemoteID = id }
}

// held asserts that a finish counted.
func (s *suite) held(f ledger.Finished) ledger.Finished {
	s.Helper()
	if f.Lost {
		s.Fatal("a finish of a lease that is held was refused as lost")
	}
	return f
}

func (s *suite) slot(route, customer string) ledger.Slot {
	s.Helper()
	slot, err := s.store.Slot(s.ctx(), route, customer)
	if err != nil {
		s.Fatalf("Slot(%s, %s): %v", route, customer, err)
	}
	return slot
}

// wantSlot asserts what matters of a slot.
func (s *suite) wantSlot(route, customer string, state ledger.State, desired, applied int64) ledger.Slot {
	s.Helper()
	got := s.slot(route, customer)
	if got.State != state || got.Desired != desired || got.Applied != applied {
		s.Fatalf("slot %s/%s: state %d, desired %d, applied %d; want %d, %d, %d", route, customer, got.State, got.Desired, got.Applied, state, desired, applied)
	}
	return got
}

// wantCode asserts that err has the code.
func (s *suite) wantCode(err error, code canonical.Code) {
	s.Helper()
	if e, ok := errors.AsType[*canonical.Error](err); !ok || e.Code != code {
		s.Fatalf("error = %v, want %s", err, code)
	}
}

func (s *suite) nextDue(route string) (time.Duration, bool) {
	s.Helper()
	d, ok, err := s.store.NextDue(s.ctx(), route)
	if err != nil {
		s.Fatalf("NextDue(%s): %v", route, err)
	}
	return d, ok
}

// wantDue asserts when the route has something to do next.
func (s *suite) wantDue(route string, want time.Duration) {
	s.Helper()
	if got, ok := s.nextDue(route); !ok || got != want {
		s.Fatalf("NextDue(%s) = %v, %t; want %v", route, got, ok, want)
	}
}

func (s *suite) deadLetters(f ledger.Filter) []ledger.DeadLetter {
	s.Helper()
	letters, err := s.store.DeadLetters(s.ctx(), f)
	if err != nil {
		s.Fatalf("DeadLetters(%+v): %v", f, err)
	}
	return letters
}

func (s *suite) setRoute(r ledger.Route) {
	s.Helper()
	if err := s.store.SetRoute(s.ctx(), r); err != nil {
		s.Fatalf("SetRoute(%+v): %v", r, err)
	}
}

// sweep sweeps until there is nothing more.
func (s *suite) sweep(w ledger.Sweep) {
	s.Helper()
	for range 10_000 {
		more, err := s.store.Sweep(s.ctx(), w)
		if err != nil {
			s.Fatalf("Sweep: %v", err)
		}
		if !more {
			return
		}
	}
	s.Fatal("Sweep always says that there may be more")
}

// customers returns whose leases they are.
func customers(leases []ledger.Lease) []string {
	var all []string
	for _, l := range leases {
		all = append(all, l.Customer)
	}
	return all
}

func (s *suite) wantCustomers(what string, got []string, want ...string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Fatalf("%s = %v, want %v", what, got, want)
	}
}
