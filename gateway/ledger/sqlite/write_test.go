package sqlite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stall keeps the writer busy until release is called, so that what is queued
// meanwhile becomes one group.
func stall(t *testing.T, s *Store) (release func()) {
	t.Helper()
	began, end := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := do(context.Background(), s, false, func(*txn) (int, error) {
			close(began)
			<-end
			return 0, nil
		})
		done <- err
	}()
	<-began
	return func() {
		close(end)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestGroup queues good and bad writes for one transaction.
func TestGroup(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	accept(t, s, "known", "april")
	release := stall(t, s)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			if err := try(s, fmt.Sprint("good", i)); err != nil {
				t.Errorf("a good one: %v", err)
			}
		})
		group.Go(func() {
			_, err := s.Accept(context.Background(), ledger.Accept{Customer: "known", Routes: []string{"april"}, Match: ledger.Match{Unknown: true}})
			if e, ok := errors.AsType[*canonical.Error](err); !ok || e.Code != canonical.RequestPreconditionFailed {
				t.Errorf("one whose precondition fails: %v", err)
			}
		})
		group.Go(func() {
			// A defect of the store itself, found by the database.
			_, err := do(context.Background(), s, true, func(t *txn) (int, error) {
				t.exec("INSERT INTO slot (customer, route, state, desired, due_since) VALUES ('known', 'april', 1, 1, 1)")
				return 1, nil
			})
			if e, ok := errors.AsType[*canonical.Error](err); !ok || e.Code != canonical.GatewayInternal {
				t.Errorf("a defective one: %v", err)
			}
		})
	}
	eventually(t, "a queue", func() bool { return len(s.queue) == 60 })
	release()
	group.Wait()
	if err := s.Ready(); err != nil {
		t.Errorf("Ready = %v", err)
	}
	for i := range 20 {
		holds(t, s, fmt.Sprint("good", i))
	}
	settled(t, s)
}

func TestQueuedCallerGivesUp(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	release := stall(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := s.Accept(ctx, ledger.Accept{Customer: "anna", Routes: []string{"april"}})
		done <- err
	}()
	eventually(t, "a queue", func() bool { return len(s.queue) == 1 })
	cancel()
	refused(t, <-done, "time was over")
	release()
	accept(t, s, "berta", "april")
	if _, err := s.Customer(t.Context(), "anna"); err == nil {
		t.Error("what was given up was accepted")
	}
}

func TestBegunWriteIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	got, err := do(ctx, s, true, func(*txn) (int, error) {
		cancel()
		return 7, nil
	})
	if got != 7 || err != nil {
		t.Errorf("do = %d, %v", got, err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	release := stall(t, s)
	var group sync.WaitGroup
	for i := range maxQueue {
		group.Go(func() {
			if err := try(s, fmt.Sprint("queued", i)); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "a full queue", func() bool { return len(s.queue) == maxQueue })
	refused(t, try(s, "late"), "too many")
	release()
	group.Wait()
	if err := s.Ready(); err != nil {
		t.Errorf("a full queue made the store unavailable: %v", err)
	}
}

func TestCloseFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	release := stall(t, s)
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			if err := try(s, fmt.Sprint("queued", i)); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, "a queue", func() bool { return len(s.queue) == 10 })
	group.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "closing", func() bool { s.closing.RLock(); defer s.closing.RUnlock(); return s.closed })
	refused(t, try(s, "late"), "closed")
	release()
	group.Wait()
	s = openAt(t, path, Options{})
	for i := range 10 {
		holds(t, s, fmt.Sprint("queued", i))
	}
}

// settled asserts that the counts in memory are those of the table.
func settled(t *testing.T, s *Store) {
	t.Helper()
	got, err := s.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*ledger.Backlog{}
	err = s.read(t.Context(), func(c *conn) error {
		return c.query(func(row []value) error {
			b := want[text(row[0])]
			if b == nil {
				b = &ledger.Backlog{Route: text(row[0])}
				want[b.Route] = b
			}
			switch n := int(number(row[2])); ledger.State(number(row[1])) {
			case ledger.Due:
				b.Due = n
			case ledger.Leased:
				b.Leased = n
			case ledger.DeadLettered:
				b.Dead = n
				return nil
			}
			if since := moment(number(row[3])); b.Oldest.IsZero() || since.Before(b.Oldest) {
				b.Oldest = since
			}
			return nil
		}, "SELECT route, state, count(*), min(due_since) FROM slot WHERE state <> 0 GROUP BY route, state")
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d routes have a backlog, want %d", len(got), len(want))
	}
	for _, b := range got {
		if w := want[b.Route]; w == nil || *w != b {
			t.Errorf("backlog = %+v, want %+v", b, w)
		}
	}
}

// TestTally does this and that, and counts.
func TestTally(t *testing.T) {
	t.Parallel()
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "gateway.db")
	start := func() *Store {
		s, err := Open(t.Context(), path, Options{Now: func() time.Time { return wall }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	defer func() { s.Close() }()
	random := rand.New(rand.NewPCG(3, 4))
	routes := []string{"april", "magento", "rebilly"}
	var leases []ledger.Lease
	for i := range 600 {
		wall = wall.Add(time.Duration(random.IntN(3000)) * time.Millisecond)
		var err error
		customer, route := fmt.Sprint("c", random.IntN(30)), routes[random.IntN(3)]
		switch random.IntN(10) {
		case 0, 1, 2:
			var got ledger.Accepted
			got, err = s.Accept(t.Context(), ledger.Accept{Customer: customer, Routes: routes[:1+random.IntN(3)], Lease: time.Duration(random.IntN(2)) * time.Minute})
			for _, p := range got.Places {
				if p.Lease != nil {
					leases = append(leases, *p.Lease)
				}
			}
		case 3:
			var got []ledger.Lease
			got, err = s.Claim(t.Context(), route, random.IntN(5), 10*time.Second)
			leases = append(leases, got...)
		case 4, 5, 6:
			if len(leases) == 0 {
				continue
			}
			n := random.IntN(len(leases))
			l := leases[n]
			leases = slices.Delete(leases, n, n+1)
			_, err = ledger.Settle(t.Context(), s, []ledger.Finish{{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version,
				Verdict: ledger.Verdict(random.IntN(3)), Unsure: random.IntN(3) == 0, Delay: time.Duration(random.IntN(20)) * time.Second, RemoteID: fmt.Sprint(random.IntN(100))}})
		case 7:
			_, err = s.Replay(t.Context(), ledger.Filter{Route: route})
		case 8:
			_, _, err = s.Resync(t.Context(), route)
		case 9:
			if err = s.Erase(t.Context(), customer); err != nil && canonical.AsError(err).Code == canonical.RequestNotFound {
				err = nil
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if i%20 == 0 {
			settled(t, s)
		}
		if i%150 == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = start()
			settled(t, s)
		}
	}
}

// TestLogIsBounded writes while somebody always reads.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	const bound = 4 << 20
	s, err := newStore(t.Context(), filepath.Join(t.TempDir(), "gateway.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.beat, s.maxLog = 2*time.Millisecond, bound
	go s.writeAll()
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range readerCount {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := s.Backlog(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if _, _, err := s.NextDue(context.Background(), "april"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	largest, written := int64(0), int64(0)
	for i := 0; written < 6*bound; i++ {
		payload := make([]byte, 100<<10)
		written += int64(len(payload))
		if _, err := s.Accept(t.Context(), ledger.Accept{Customer: fmt.Sprint(i), Routes: []string{"april"}, Payload: payload}); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(s.path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		largest = max(largest, info.Size())
	}
	cancel()
	group.Wait()
	if largest > 2*bound {
		t.Errorf("after %d MiB the log has %d MiB", written>>20, largest>>20)
	}
}

// TestBulkInParts replays, resyncs and sweeps more slots than one part has.
func TestBulkInParts(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	const customers = 3*part + 10
	var group sync.WaitGroup
	for i := range customers {
		group.Go(func() {
			id := fmt.Sprint("customer", i)
			got, err := s.Accept(context.Background(), ledger.Accept{Customer: id, Routes: names[:2], Payload: []byte(id), Lease: time.Minute})
			if err != nil {
				t.Error(err)
				return
			}
			for _, p := range got.Places {
				f := ledger.Finish{Route: p.Route, Customer: id, Token: p.Lease.Token, Version: got.Version, Entry: &ledger.Attempt{At: s.Now()}}
				if f.Verdict = ledger.Applied; p.Route == names[0] {
					f.Verdict = ledger.Dead
				}
				if _, err := ledger.Settle(context.Background(), s, []ledger.Finish{f}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	var after ledger.Cursor
	seen := map[string]bool{}
	for {
		page, err := s.DeadLetters(t.Context(), ledger.Filter{After: after, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			if seen[d.Customer] || len(d.History) != 1 {
				t.Fatalf("letter %+v", d)
			}
			seen[d.Customer] = true
			after = ledger.Cursor{DiedAt: d.DiedAt, Route: d.Route, Customer: d.Customer}
		}
		if len(page) == 0 {
			break
		}
	}
	if len(seen) != customers {
		t.Errorf("%d dead letters, want %d", len(seen), customers)
	}
	if n, err := s.Replay(t.Context(), ledger.Filter{}); n != customers || err != nil {
		t.Errorf("Replay = %d, %v", n, err)
	}
	if n, missing, err := s.Resync(t.Context(), names[1]); n != customers || missing != 0 || err != nil {
		t.Errorf("Resync = %d, %d, %v", n, missing, err)
	}
	settled(t, s)
	for {
		leases, err := s.Claim(t.Context(), names[1], 500, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if len(leases) == 0 {
			break
		}
		var finishes []ledger.Finish
		for _, l := range leases {
			finishes = append(finishes, ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied})
		}
		if _, err := ledger.Settle(t.Context(), s, finishes); err != nil {
			t.Fatal(err)
		}
	}
	for {
		more, err := s.Sweep(t.Context(), ledger.Sweep{})
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			break
		}
	}
	err := s.read(t.Context(), func(c *conn) error {
		held, err := c.number("SELECT count(*) FROM operation WHERE payload IS NOT NULL")
		if err == nil && held != customers {
			t.Errorf("%d payloads are held, want the %d that are still due", held, customers)
		}
		kept, err := c.number("SELECT count(*) FROM attempt")
		if err == nil && kept != 0 {
			t.Errorf("%d attempts are kept of slots that are no dead letters", kept)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
