package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/metrics"
)

// BenchmarkContainment sends upserts at a steady pace to five providers, of which
// one is well or misbehaves, by turns, and compares how long the other four
// routes take. The good providers answer after 10 ms; no real one is quicker.
// "p99-ratio" is their 99th percentile beside a bad route as a share of that
// beside a well one: near 1 means that it costs them nothing.
func BenchmarkContainment(b *testing.B) {
	for kind, bad := range map[string]http.HandlerFunc{
		"hang": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
		"throttle": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"fail":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"reset": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		b.Run(kind, func(b *testing.B) { contain(b, bad) })
	}
}

// durations keeps what each route's results took.
type durations struct {
	gateway.Observer
	mu   sync.Mutex
	took map[string][]time.Duration
}

func (d *durations) Result(route string, status gateway.Status, code canonical.Code, took time.Duration) {
	d.Observer.Result(route, status, code, took)
	d.mu.Lock()
	d.took[route] = append(d.took[route], took)
	d.mu.Unlock()
}

func contain(b *testing.B, bad http.HandlerFunc) {
	const broken, deadline, latency = "april", 2 * time.Second, 10 * time.Millisecond
	body, err := os.ReadFile("../testdata/customers/person.json")
	if err != nil {
		b.Fatal(err)
	}
	well := startUpstreams(b, latency)
	ill := startUpstreams(b, latency)
	ill[broken] = upstream(b, bad)
	sides := []*durations{{took: map[string][]time.Duration{}}, {took: map[string][]time.Duration{}}}
	var gateways []*gateway.Gateway
	for i, urls := range []map[string]*url.URL{well, ill} {
		m := metrics.New()
		sides[i].Observer = m
		g, err := gateway.New(benchRoutes(b, urls, 5, m, deadline), gateway.Options{Deadline: deadline, Observer: sides[i]})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(g.Close)
		gateways = append(gateways, g)
	}
	const perRound, pace = 400, 4 * time.Millisecond
	round := 0
	for b.Loop() {
		for i := range 2 {
			g := gateways[(i+round)%2]
			tick := time.NewTicker(pace)
			var wg sync.WaitGroup
			for n := range perRound {
				<-tick.C
				wg.Go(func() {
					id := fmt.Sprintf("cust-%d", round*perRound+n+1)
					c, err := canonical.DecodeCustomer(id, withIDs(body, id))
					if err != nil {
						b.Error(err)
						return
					}
					if _, err := g.Upsert(context.Background(), gateway.Command{Customer: c}); err != nil {
						b.Error(err)
					}
				})
			}
			tick.Stop()
			wg.Wait()
		}
		round++
	}
	p99 := func(d *durations) time.Duration {
		var all []time.Duration
		for route, took := range d.took {
			if route != broken {
				all = append(all, took...)
			}
		}
		slices.Sort(all)
		return all[len(all)*99/100]
	}
	beside, alone := p99(sides[1]), p99(sides[0])
	b.ReportMetric(float64(alone.Microseconds()), "p99-well-µs")
	b.ReportMetric(float64(beside.Microseconds()), "p99-beside-bad-µs")
	b.ReportMetric(float64(beside)/float64(alone), "p99-ratio")
	b.ReportMetric(0, "ns/op")
}
