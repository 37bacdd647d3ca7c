package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"customer-gateway/gateway/ledger"
)

// state is a payload of the usual size.
var state = make([]byte, 800)

var names = [5]string{"april", "capillary", "complyt", "magento", "rebilly"}

func upsert(n int64, routes int) ledger.Accept {
	return ledger.Accept{Customer: fmt.Sprintf("customer-%x", uint64(n)*0x9e3779b97f4a7c15), Routes: names[:routes], Payload: state, Lease: time.Minute}
}

// BenchmarkAccept compares accepts per second with what the same work costs
// without group commit, and with a bare log that is synced for every record, on
// the same disk and in the same run:
//
//	go test -run xxx -bench BenchmarkAccept -benchtime 3s ./gateway/ledger/sqlite
//
// x-fsync-each is how many times as fast the store is as one transaction per
// request, x-raw-log how many times as fast as append and fdatasync.
func BenchmarkAccept(b *testing.B) {
	for _, routes := range []int{1, 5} {
		each := perSecond(b, 1, func(s *Store, n int64) error { return alone(s, n, routes) })
		log := rawLog(b)
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("routes=%d/callers=%d", routes, callers), func(b *testing.B) {
				s := open(b, Options{})
				var next atomic.Int64
				var group sync.WaitGroup
				b.ResetTimer()
				start := time.Now()
				for range callers {
					group.Go(func() {
						for {
							n := next.Add(1)
							if n > int64(b.N) {
								return
							}
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
				b.ReportMetric(rate/each, "x-fsync-each")
				b.ReportMetric(rate/log, "x-raw-log")
			})
		}
	}
}

// perSecond measures f for a while.
func perSecond(b *testing.B, _ int, f func(s *Store, n int64) error) float64 {
	b.Helper()
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "gateway.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	start, n := time.Now(), int64(0)
	for time.Since(start) < time.Second {
		n++
		if err := f(s, n); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(start).Seconds()
}

// alone is the work of an Accept in a transaction of its own, in a loop, without
// queue or goroutine.
func alone(s *Store, n int64, routes int) error {
	a := upsert(n, routes)
	w := &write{durable: true, done: make(chan struct{}), run: func(t *txn) { t.accept(&a, `["april"]`) }}
	return s.transact([]*write{w})
}

// rawLog returns how many records a second a file takes that is synced for each.
func rawLog(b *testing.B) float64 {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	start, n := time.Now(), 0
	for time.Since(start) < time.Second {
		if _, err := file.Write(state); err != nil {
			b.Fatal(err)
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
