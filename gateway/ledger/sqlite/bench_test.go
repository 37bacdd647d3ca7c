package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"customer-gateway/gateway/ledger"
)

// customer is a payload of the usual size.
var customer = make([]byte, 800)

var names = []string{"april", "capillary", "complyt", "magento", "rebilly"}

// upsert spreads customers over the whole table.
func upsert(n int64, routes int) ledger.Accept {
	return ledger.Accept{Customer: fmt.Sprintf("customer-%016x", uint64(n)*0x9e3779b97f4a7c15), Routes: names[:routes], Payload: customer, Lease: time.Minute}
}

// BenchmarkAccept compares accepts per second with what the same work costs
// without group commit, and with a bare log that is synced for every record, on
// the same disk and in the same run:
//
//	go test -run '^$' -bench Accept -benchtime 3s ./gateway/ledger/sqlite
//
// x-each is how many times as fast the store is as a loop that does the same work
// in one transaction, and with one fsync, per request; x-log how many times as
// fast as appending each payload to a file with fdatasync.
func BenchmarkAccept(b *testing.B) {
	for _, routes := range []int{1, 5} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("routes=%d/callers=%d", routes, callers), func(b *testing.B) {
				each, log := eachAlone(b, routes), rawLog(b)
				s := open(b, Options{})
				var next atomic.Int64
				var group sync.WaitGroup
				b.ResetTimer()
				start := time.Now()
				for range callers {
					group.Go(func() {
						for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
							if _, err := s.Accept(context.Background(), upsert(n, routes)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				group.Wait()
				rate := float64(b.N) / time.Since(start).Seconds()
				b.ReportMetric(rate, "accepts/s")
				b.ReportMetric(rate/each, "x-each")
				b.ReportMetric(rate/log, "x-log")
			})
		}
	}
}

// eachAlone returns how many upserts a second a loop takes that does the work of
// Accept in a transaction of its own for each.
func eachAlone(b *testing.B, routes int) float64 {
	b.Helper()
	s, err := newStore(b.Context(), filepath.Join(b.TempDir(), "gateway.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	defer close(s.ended) // there is no writer to do it
	list, err := json.Marshal(names[:routes])
	if err != nil {
		b.Fatal(err)
	}
	return perSecond(func(n int64) {
		a := upsert(n, routes)
		err := s.transact([]*write{{durable: true, run: func(t *txn) {
			if _, err := t.accept(&a, string(list)); err != nil {
				b.Fatal(err)
			}
		}}})
		if err != nil {
			b.Fatal(err)
		}
	})
}

// rawLog returns how many records a second a file takes that is synced for each.
func rawLog(b *testing.B) float64 {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	return perSecond(func(int64) {
		if _, err := file.Write(customer); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			b.Fatal(err)
		}
	})
}

func perSecond(f func(n int64)) float64 {
	start, n := time.Now(), int64(0)
	for time.Since(start) < time.Second {
		n++
		f(n)
	}
	return float64(n) / time.Since(start).Seconds()
}

// fill makes a backlog of customers, each with one slot that is due.
func fill(tb testing.TB, s *Store, customers int) {
	tb.Helper()
	run(tb, s, func(c *conn) error {
		now := s.clock.now()
		for _, q := range []string{
			`INSERT INTO operation (seq, previous, customer, routes, strict, accepted_at, payload)
 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
 SELECT i, 0, format('customer-%08x', i * 2654435769 % 4294967296), '["april"]', 0, ?2, ?3 FROM n`,
			`INSERT INTO slot (customer, route, state, desired, next_at, due_since)
 SELECT customer, 'april', 1, seq, ?2 + seq, ?2 + seq FROM operation WHERE ?1 AND ?3 IS NOT NULL ORDER BY customer`,
		} {
			if err := c.exec(q, customers, now-int64(customers), customer); err != nil {
				return err
			}
		}
		return s.count()
	})
}

// BenchmarkDrain claims and finishes a backlog of 100,000, a hundred at a time, and
// reports slots per second:
//
//	go test -run '^$' -bench Drain -benchtime 1x ./gateway/ledger/sqlite
func BenchmarkDrain(b *testing.B) {
	const backlog = 100_000
	var took time.Duration
	for range b.N {
		b.StopTimer()
		s := open(b, Options{})
		fill(b, s, backlog)
		b.StartTimer()
		start, done := time.Now(), 0
		for {
			leases, err := s.Claim(b.Context(), "april", 100, time.Minute)
			if err != nil {
				b.Fatal(err)
			}
			if len(leases) == 0 {
				break
			}
			finishes := make([]ledger.Finish, len(leases))
			for i, l := range leases {
				finishes[i] = ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied,
					RemoteID: l.Customer, Result: customer[:200], Entry: &ledger.Attempt{At: s.Now(), Version: l.Version, Op: "put", Status: 200}}
			}
			if _, err := ledger.Settle(b.Context(), s, finishes); err != nil {
				b.Fatal(err)
			}
			done += len(leases)
		}
		took += time.Since(start)
		if done != backlog {
			b.Fatalf("%d were claimed, want %d", done, backlog)
		}
	}
	b.ReportMetric(float64(backlog*b.N)/took.Seconds(), "slots/s")
}

// BenchmarkMillion opens a ledger with a backlog of a million slots, works on it,
// and reports the Go heap in use and the process's memory beside those of an empty
// one, and how long Open, NextDue, Backlog and Claim take:
//
//	go test -run '^$' -bench Million -benchtime 1x ./gateway/ledger/sqlite
func BenchmarkMillion(b *testing.B) {
	if testing.Short() {
		b.Skip("it builds a file of more than a gigabyte")
	}
	for _, backlog := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "gateway.db")
			s, err := Open(b.Context(), path, Options{})
			if err != nil {
				b.Fatal(err)
			}
			if backlog > 0 {
				fill(b, s, backlog)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			for range b.N {
				start := time.Now()
				s, err := Open(b.Context(), path, Options{})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(time.Since(start).Milliseconds()), "open-ms")
				took := map[string][]time.Duration{}
				for n := range int64(500) {
					for _, what := range []struct {
						name string
						do   func() error
					}{
						{"accept", func() error { _, err := s.Accept(b.Context(), upsert(n, 1)); return err }},
						{"next-due", func() error { _, _, err := s.NextDue(b.Context(), "april"); return err }},
						{"backlog", func() error { _, err := s.Backlog(b.Context()); return err }},
						{"claim", func() error { _, err := s.Claim(b.Context(), "april", 10, time.Minute); return err }},
						{"sweep", func() error { _, err := s.Sweep(b.Context(), ledger.Sweep{}); return err }},
					} {
						start := time.Now()
						if err := what.do(); err != nil {
							b.Fatal(err)
						}
						took[what.name] = append(took[what.name], time.Since(start))
					}
				}
				for name, all := range took {
					slices.Sort(all)
					b.ReportMetric(float64(all[len(all)/2].Microseconds()), name+"-µs")
				}
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				b.ReportMetric(float64(m.HeapInuse)/(1<<20), "heap-MiB")
				b.ReportMetric(float64(resident(b))/(1<<20), "resident-MiB")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// resident is the memory of the process, SQLite's own included.
func resident(b *testing.B) int64 {
	b.Helper()
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	var size, pages int64
	if _, err := fmt.Sscan(string(raw), &size, &pages); err != nil {
		b.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}
