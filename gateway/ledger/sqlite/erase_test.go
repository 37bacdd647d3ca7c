package sqlite

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// TestEraseLeavesNoBytes erases customers from pages that were split, merged and
// rewritten many times, and looks at every byte of every file.
func TestEraseLeavesNoBytes(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	random := rand.New(rand.NewPCG(1, 2))
	name := func(n int) string { return fmt.Sprintf("canary%05dcanary", n) }
	const customers = 1500
	one := func(x *txn, id string) error {
		a := ledger.Accept{Customer: id, Routes: []string{"april", "magento"}, Lease: time.Minute,
			Payload: []byte(strings.Repeat(id, 1+random.IntN(100))), Key: &ledger.Key{Scope: id, Keep: time.Hour}}
		for i := range a.Key.Digest {
			a.Key.Digest[i] = byte(random.Uint32())
		}
		got, err := x.accept(&a, `["april","magento"]`)
		if err != nil {
			return err
		}
		if l := got.Places[random.IntN(2)].Lease; l != nil {
			x.finish(ledger.Finish{Route: l.Route, Customer: id, Token: l.Token, Version: l.Version, Verdict: ledger.Verdict(random.IntN(3)), RemoteID: id,
				Identity: []byte(id), Result: []byte(strings.Repeat(id, random.IntN(30))), Code: canonical.UpstreamInvalid,
				Entry: &ledger.Attempt{At: s.Now(), Op: "put", RequestID: id}})
		}
		return nil
	}
	for round := range 3 {
		for ids := range slices.Chunk(random.Perm(customers), 100) {
			_, err := do(t.Context(), s, true, func(x *txn) (int, error) {
				for _, n := range ids {
					if err := one(x, name(n)); err != nil {
						return 0, err
					}
				}
				return 0, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if round == 1 {
			for range 20 {
				if _, err := s.Sweep(t.Context(), ledger.Sweep{}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	var erased []string
	for n := 0; n < customers; n += 7 {
		erased = append(erased, name(n))
	}
	// One Erase overwrites what all deletions have left.
	_, err := do(t.Context(), s, true, func(x *txn) (int, error) {
		for _, id := range erased[1:] {
			if err := x.erase(id); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Erase(t.Context(), erased[0]); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(s.path + "*")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if file == s.path && !bytes.Contains(content, []byte(name(1))) {
			t.Error("the test looks at the wrong bytes: those who stayed are not there")
		}
		for _, id := range erased {
			if i := bytes.Index(content, []byte(id)); i >= 0 {
				t.Fatalf("%s is still in %s at %d (page %d, offset %d)", id, filepath.Base(file), i, i/4096+1, i%4096)
			}
		}
	}
}

// TestEraseWaitsForReaders has a reader who keeps the log from being emptied.
func TestEraseWaitsForReaders(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	accept(t, s, "anna", "april")
	other, err := dial(s.path, "ro", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.exec("BEGIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := other.number("SELECT count(*) FROM slot"); err != nil {
		t.Fatal(err)
	}
	s.erasePatience = time.Millisecond
	refused(t, s.Erase(t.Context(), "anna"), "erase again")
	if s.Ready() != nil {
		t.Error("a reader made the store unavailable")
	}
	if err := other.exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := s.Erase(t.Context(), "anna"); err != nil {
		t.Errorf("Erase again = %v", err)
	}
	if err := s.Erase(t.Context(), "anna"); err == nil {
		t.Error("what is erased can be erased again")
	}
}

// TestSweepLeavesNoBytes asserts that what a sweep drops is gone from the files
// soon after, although nothing else happens.
func TestSweepLeavesNoBytes(t *testing.T) {
	t.Parallel()
	s := brisk(t, filepath.Join(t.TempDir(), "gateway.db"), Options{})
	got, err := s.Accept(t.Context(), ledger.Accept{Customer: "anna", Routes: []string{"april"}, Payload: []byte("canary"), Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, func(c *conn) error { return c.truncate() }) // it is in the database then
	l := got.Places[0].Lease
	f := ledger.Finish{Route: l.Route, Customer: "anna", Token: l.Token, Version: l.Version, Verdict: ledger.Applied}
	_, err = do(t.Context(), s, false, func(x *txn) (ledger.Finished, error) { return x.finish(f), nil })
	if err != nil {
		t.Fatal(err)
	}
	held := func() bool {
		for _, suffix := range suffixes {
			content, err := os.ReadFile(s.path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(content, []byte("canary")) {
				return true
			}
		}
		return false
	}
	if !held() {
		t.Fatal("the test looks for the wrong bytes")
	}
	eventually(t, "sweep", func() bool {
		if _, err := s.Sweep(t.Context(), ledger.Sweep{}); err != nil {
			t.Fatal(err)
		}
		c, err := s.Customer(t.Context(), "anna")
		return err == nil && c.Payload == nil
	})
	eventually(t, "the end of all bytes", func() bool { return !held() })
}
