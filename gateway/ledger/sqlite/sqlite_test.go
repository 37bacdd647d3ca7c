package sqlite

import (
	"path/filepath"
	"testing"
	"time"

	"customer-gateway/gateway/ledger"
)

// open opens a ledger in a folder of the test's own.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "gateway.db"), o)
}

func openAt(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func accept(t testing.TB, s ledger.Store, customer string, routes ...string) ledger.Accepted {
	t.Helper()
	got, err := s.Accept(t.Context(), ledger.Accept{Customer: customer, Routes: routes, Payload: []byte(`{"id":"` + customer + `"}`), Lease: time.Minute})
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	return got
}

func TestSmoke(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x y?#%", "gateway.db")
	s := openAt(t, path, Options{})
	a := accept(t, s, "c1", "april", "rebilly")
	if !a.First || a.Places[0].Lease == nil {
		t.Fatalf("accepted %+v", a)
	}
	b := accept(t, s, "c1", "april", "rebilly")
	if b.First || b.Places[0].Lease != nil || b.Version <= a.Version {
		t.Fatalf("accepted %+v", b)
	}
	f, err := s.Finish(t.Context(), []ledger.Finish{{Route: "april", Customer: "c1", Token: a.Places[0].Lease.Token, Version: a.Version, Verdict: ledger.Applied, RemoteID: "r1", Entry: &ledger.Attempt{At: s.Now(), Op: "put"}}})
	if err != nil || f[0].State != ledger.Due || f[0].Wait != 0 {
		t.Fatalf("finish %+v %v", f, err)
	}
	if d, ok, err := s.NextDue(t.Context(), "april"); d != 0 || !ok || err != nil {
		t.Fatal(d, ok, err)
	}
	l, err := s.Claim(t.Context(), "april", 10, time.Minute)
	if err != nil || len(l) != 1 || string(l[0].Payload) != `{"id":"c1"}` || l[0].RemoteID != "r1" {
		t.Fatalf("claim %+v %v", l, err)
	}
	t.Log(s.Backlog(t.Context()))
	if _, err := s.Finish(t.Context(), []ledger.Finish{{Route: "april", Customer: "c1", Token: l[0].Token, Verdict: ledger.Dead, Code: "upstream.invalid"}}); err != nil {
		t.Fatal(err)
	}
	dl, err := s.DeadLetters(t.Context(), ledger.Filter{Routes: []string{"april"}, Code: "upstream.invalid"})
	if err != nil || len(dl) != 1 || len(dl[0].History) != 1 {
		t.Fatalf("%+v %v", dl, err)
	}
	if n, err := s.Replay(t.Context(), ledger.Filter{}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	for range 5 {
		if more, err := s.Sweep(t.Context(), ledger.Sweep{}); err != nil {
			t.Fatal(more, err)
		}
	}
	c, err := s.Customer(t.Context(), "c1")
	if err != nil || len(c.Slots) != 2 || c.Payload == nil {
		t.Fatalf("%+v %v", c, err)
	}
	o, err := s.Operation(t.Context(), b.Version)
	if err != nil || len(o.Slots) != 2 {
		t.Fatalf("%+v %v", o, err)
	}
	if err := s.Erase(t.Context(), "c1"); err != nil {
		t.Fatal(err)
	}
	t.Log(s.Backlog(t.Context()))
}
