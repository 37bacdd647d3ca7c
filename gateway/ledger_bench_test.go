package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"customer-gateway/gateway/ledger/sqlite"
)

// BenchmarkLedger is BenchmarkFanOut's gateway with a ledger and without, by turns:
// "ratio" is the throughput with one as a share of that without. Every upsert with
// a ledger is on disk before it is sent, and its results are written before it is
// answered. The providers answer at once, or after 10 ms, which is less than any
// real one takes.
func BenchmarkLedger(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	for _, latency := range []time.Duration{0, 10 * time.Millisecond} {
		for _, n := range []int{1, 5} {
			for _, callers := range []int{1, 16, 64} {
				b.Run(fmt.Sprintf("latency=%s/routes=%d/callers=%d", latency, n, callers), func(b *testing.B) { compareLedger(b, latency, n, callers) })
			}
		}
	}
}

func compareLedger(b *testing.B, latency time.Duration, routes, callers int) {
	body, err := os.ReadFile("../testdata/customers/person.json")
	if err != nil {
		b.Fatal(err)
	}
	up := startUpstreams(b, latency)
	store, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "ledger.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	sides := []func([]byte) error{gatewayFanOut(b, up, routes, store), gatewayFanOut(b, up, routes, nil)}
	const turns, each = 4, 10
	var took [2]time.Duration
	done := 0
	for b.Loop() {
		for turn := range 2 * turns {
			which := (turn + done) % 2
			began := time.Now()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range each {
						if err := sides[which](body); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if b.Failed() {
				return
			}
			took[which] += time.Since(began)
		}
		done++
	}
	upserts := float64(done * turns * callers * each)
	b.ReportMetric(upserts/took[0].Seconds(), "with-upserts/s")
	b.ReportMetric(upserts/took[1].Seconds(), "without-upserts/s")
	b.ReportMetric(float64(took[1])/float64(took[0]), "ratio")
	b.ReportMetric(0, "ns/op")
}
