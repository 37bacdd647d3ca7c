package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// brisk opens a ledger that looks after itself every few milliseconds.
func brisk(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := newStore(t.Context(), path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	s.beat = 2 * time.Millisecond
	go s.writeAll()
	t.Cleanup(func() { s.Close() })
	return s
}

// eventually waits until what holds, without which the test fails.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.After(30 * time.Second)
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-end:
			t.Fatalf("%s did not come about", what)
		}
	}
}

// refused asserts that err says that the store is unavailable, and why.
func refused(t testing.TB, err error, because string) {
	t.Helper()
	e, ok := errors.AsType[*canonical.Error](err)
	if !ok || e.Code != canonical.GatewayStoreUnavailable {
		t.Fatalf("error = %v, want %s", err, canonical.GatewayStoreUnavailable)
	}
	if !strings.Contains(e.Message, because) {
		t.Errorf("message %q does not say %q", e.Message, because)
	}
	if e.RetryAfter <= 0 {
		t.Error("no RetryAfter")
	}
}

func try(s ledger.Store, customer string) error {
	_, err := s.Accept(context.Background(), ledger.Accept{Customer: customer, Routes: []string{"april"}, Payload: []byte(customer), Lease: time.Minute})
	return err
}

// holds asserts that the customers are in the ledger with their states.
func holds(t testing.TB, s ledger.Store, customers ...string) {
	t.Helper()
	for _, id := range customers {
		c, err := s.Customer(t.Context(), id)
		if err != nil {
			t.Fatalf("%s was accepted and is lost: %v", id, err)
		}
		if len(c.Slots) == 0 || c.Payload == nil {
			t.Fatalf("%s was accepted, and now there is only %+v", id, c)
		}
	}
}

// run does something to the writer's connection.
func run(t testing.TB, s *Store, f func(c *conn) error) {
	t.Helper()
	w := &write{run: func(*txn) {}, after: f}
	if err := s.submit(context.Background(), w); err != nil {
		t.Fatal(err)
	}
}

func TestFullDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := brisk(t, path, Options{})
	accept(t, s, "before", "april")
	run(t, s, func(c *conn) error {
		pages, err := c.number("PRAGMA page_count")
		if err != nil {
			return err
		}
		_, err = c.number(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		return err
	})
	big := ledger.Accept{Customer: "big", Routes: []string{"april"}, Payload: make([]byte, 1<<20)}
	_, err := s.Accept(t.Context(), big)
	refused(t, err, "full")
	holds(t, s, "before")
	// What fits goes on as soon as the store has found that out.
	eventually(t, "recovery", func() bool { return s.Ready() == nil })
	run(t, s, func(c *conn) error { _, err := c.number("PRAGMA max_page_count = 1000000"); return err })
	if _, err := s.Accept(t.Context(), big); err != nil {
		t.Fatalf("after there was space again: %v", err)
	}
	holds(t, s, "before", "big")
}

// TestFileLimit has a child process whose files must not grow, so that writes to
// the log fail in the system, and then may again.
func TestFileLimit(t *testing.T) {
	if os.Getenv("LEDGER_CHILD") == "" {
		t.Parallel()
		child := exec.Command(os.Args[0], "-test.run=^TestFileLimit$", "-test.v")
		child.Env = append(os.Environ(), "LEDGER_CHILD=1", "LEDGER_PATH="+filepath.Join(t.TempDir(), "gateway.db"))
		out, err := child.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	path := os.Getenv("LEDGER_PATH")
	s := brisk(t, path, Options{})
	accept(t, s, "before", "april")
	size := s.files.log()
	limit := func(n uint64) {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
		l.Cur = n
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			t.Fatal(err)
		}
	}
	limit(uint64(size) + 5000)
	refused(t, try(s, "refused"), "disk")
	refused(t, s.Ready(), "disk")
	refused(t, try(s, "refused"), "disk")
	holds(t, s, "before")
	limit(^uint64(0))
	eventually(t, "recovery", func() bool { return s.Ready() == nil })
	accept(t, s, "after", "april")
	if _, err := s.Customer(t.Context(), "refused"); err == nil {
		t.Error("what was refused is there")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = brisk(t, path, Options{})
	holds(t, s, "before", "after")
}

func TestLockedByAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := brisk(t, path, Options{BusyTimeout: 20 * time.Millisecond})
	accept(t, s, "before", "april")
	other, err := dial(path, "rw", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() { refused(t, try(s, fmt.Sprint("refused", i)), "locked") })
	}
	group.Wait()
	refused(t, s.Ready(), "locked")
	holds(t, s, "before")
	if err := other.exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery", func() bool { return s.Ready() == nil })
	accept(t, s, "after", "april")
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	s := brisk(t, filepath.Join(t.TempDir(), "gateway.db"), Options{})
	accept(t, s, "before", "april")
	run(t, s, func(c *conn) error { return c.exec("PRAGMA query_only = ON") })
	refused(t, try(s, "refused"), "read-only")
	eventually(t, "recovery", func() bool { return s.Ready() == nil })
	accept(t, s, "after", "april")
	holds(t, s, "before", "after")
}

func TestFilesTakenAway(t *testing.T) {
	t.Parallel()
	move := func(t *testing.T, from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		do   func(t *testing.T, path string)
	}{
		{"database removed", func(t *testing.T, path string) { os.Remove(path) }},
		{"database moved away", func(t *testing.T, path string) { move(t, path, path+".away") }},
		{"log removed", func(t *testing.T, path string) { os.Remove(path + "-wal") }},
		{"index removed", func(t *testing.T, path string) { os.Remove(path + "-shm") }},
		{"all removed", func(t *testing.T, path string) { os.RemoveAll(filepath.Dir(path)) }},
		{"all but the lock removed", func(t *testing.T, path string) {
			for _, suffix := range suffixes {
				os.Remove(path + suffix)
			}
		}},
		{"database moved away and copied back", func(t *testing.T, path string) {
			move(t, path, path+".away")
			duplicate(t, path+".away", path, -1)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "data", "gateway.db")
			s := brisk(t, path, Options{})
			customers := []string{"zero"}
			accept(t, s, "zero", "april")
			run(t, s, func(c *conn) error { return c.truncate() })
			for i := range 20 {
				id := fmt.Sprint("c", i)
				accept(t, s, id, "april", "rebilly")
				customers = append(customers, id)
			}
			tt.do(t, path)
			n := 0
			eventually(t, "recovery", func() bool {
				n++
				id := fmt.Sprint("late", n)
				if try(s, id) != nil {
					return false
				}
				customers = append(customers, id)
				return n > 10 && s.Ready() == nil
			})
			holds(t, s, customers...)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openAt(t, path, Options{})
			holds(t, s, customers...)
		})
	}
}

func TestReplacedByAnotherLedger(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, away, foreign := filepath.Join(folder, "gateway.db"), filepath.Join(folder, "away.db"), filepath.Join(folder, "other.db")
	o := openAt(t, foreign, Options{Now: func() time.Time { return time.Unix(1000, 0) }})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	s := brisk(t, path, Options{})
	accept(t, s, "before", "april")
	if err := os.Rename(path, away); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(foreign, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "notice", func() bool { return s.Ready() != nil })
	refused(t, try(s, "refused"), "replaced")
	if err := os.Rename(away, path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "recovery", func() bool { return s.Ready() == nil })
	accept(t, s, "after", "april")
	holds(t, s, "before", "after")
}

func TestDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := brisk(t, path, Options{})
	for i := range 2000 {
		if err := try(s, fmt.Sprint("customer", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s = brisk(t, path, Options{})
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	for at := int64(4096 * 10); at+4096 < int64(len(whole)); at += 4096 {
		if _, err := file.WriteAt([]byte(strings.Repeat("rubbish!", 512)), at); err != nil {
			t.Fatal(err)
		}
	}
	var failed error
	for i := 0; i < 1000 && failed == nil; i++ {
		failed = try(s, fmt.Sprint("new", i))
	}
	refused(t, failed, "damaged")
	for range 3 {
		if err := s.Ready(); err != nil {
			refused(t, err, "damaged")
		}
	}
	s.Close()
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "backup") {
		t.Errorf("Open of a damaged ledger = %v", err)
	}
}

// duplicate copies a file, or its first bytes.
func duplicate(t testing.TB, from, to string, n int64) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = in
	if n >= 0 {
		r = io.LimitReader(in, n)
	}
	if _, err := io.Copy(out, r); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCut has somebody write into the files of a ledger that is in use, and put
// back what was there.
func TestCut(t *testing.T) {
	t.Parallel()
	rubbish := func(t *testing.T, path string) {
		t.Helper()
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte(strings.Repeat("rubbish!", 512*4)), 4096*4); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, suffix string
		unseen       bool // until somebody looks
		do           func(t *testing.T, path string)
	}{
		{"database cut", "", false, func(t *testing.T, path string) { truncateTo(t, path, 4*4096) }},
		{"database emptied", "", false, func(t *testing.T, path string) { truncateTo(t, path, 0) }},
		{"database overwritten", "", true, rubbish},
		{"log emptied", "-wal", false, func(t *testing.T, path string) { truncateTo(t, path, 0) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "gateway.db")
			s := brisk(t, path, Options{})
			for i := range 100 {
				accept(t, s, fmt.Sprint("early", i), "april", "rebilly")
			}
			run(t, s, func(c *conn) error { return c.truncate() })
			accept(t, s, "late", "april")
			if tt.unseen {
				// Meanwhile nothing moves from the log to the database.
				run(t, s, func(c *conn) error { return c.truncate() })
			}
			before, err := os.ReadFile(path + tt.suffix)
			if err != nil {
				t.Fatal(err)
			}
			tt.do(t, path+tt.suffix)
			if tt.unseen {
				eventually(t, "notice", func() bool { return s.Ready() != nil })
			}
			if err := try(s, "refused"); err == nil {
				t.Fatal("an upsert was accepted into a ledger with a hole")
			}
			n := 0
			eventually(t, "a look for recovery", func() bool { n++; return n > 20 })
			refused(t, s.Ready(), "damaged")
			if err := os.WriteFile(path+tt.suffix, before, 0o600); err != nil {
				t.Fatal(err)
			}
			eventually(t, "recovery", func() bool { return s.Ready() == nil })
			accept(t, s, "after", "april")
			holds(t, s, "early0", "early99", "late", "after")
		})
	}
}

// TestLogEmptiedByAnother has another process move the log into the database,
// which takes nothing away.
func TestLogEmptiedByAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := brisk(t, path, Options{})
	accept(t, s, "before", "april")
	other, err := dial(path, "rw", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.truncate(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an upsert", func() bool { return try(s, "after") == nil })
	holds(t, s, "before", "after")
}

func TestIndexCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s := brisk(t, path, Options{})
	accept(t, s, "before", "april")
	truncateTo(t, path+"-shm", 0)
	eventually(t, "an upsert", func() bool { return try(s, "after") == nil })
	holds(t, s, "before", "after")
}

func truncateTo(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
