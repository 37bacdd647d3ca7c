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

func TestOddPath(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a b?c#d%20e")
	path := filepath.Join(folder, "ünder.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s, "anna", "april")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, path+".copy"); err != nil {
		t.Fatal(err)
	}
	holds(t, openAt(t, path, Options{}), "anna")
	holds(t, openAt(t, path+".copy", Options{}), "anna")
}

// TestHistoryIsBounded lists the newest entries of a long one.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	l := *accept(t, s, "anna", "april").Places[0].Lease
	for n := 1; n <= maxHistory+50; n++ {
		f := ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Entry: &ledger.Attempt{At: s.Now(), Number: n}}
		if n == maxHistory+50 {
			f.Verdict = ledger.Dead
		}
		if _, err := ledger.Settle(t.Context(), s, []ledger.Finish{f}); err != nil {
			t.Fatal(err)
		}
		if f.Verdict == ledger.Dead {
			break
		}
		var err error
		if l, _, err = s.ClaimSlot(t.Context(), "april", "anna", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	letters, err := s.DeadLetters(t.Context(), ledger.Filter{})
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters, %v", len(letters), err)
	}
	h := letters[0].History
	if len(h) != maxHistory || h[0].Number != 51 || h[len(h)-1].Number != maxHistory+50 {
		t.Errorf("%d entries, from %d to %d", len(h), h[0].Number, h[len(h)-1].Number)
	}
}
