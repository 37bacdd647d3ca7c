package metrics

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"

	"github.com/prometheus/client_golang/prometheus"
)

// The states of the backlog.
const (
	stateDue    = "due"
	stateActive = "active"
	stateDead   = "dead"
)

var (
	commitBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
	writesBuckets = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024}
)

// Backlog has every scrape tell what read returns, by route: at most backlogAge
// old, and what was read before if reading takes too long or another scrape is at
// it. read should end with its context; nil means that there is nothing to tell.
// Backlog is to be called once.
func (m *Metrics) Backlog(read func(context.Context) map[string]gateway.Backlog) {
	m.registry.MustRegister(&backlog{m: m, read: read})
}

// LedgerReady has every scrape tell whether the ledger can accept: ready returns
// why not, or nil, and must be quick. LedgerReady is to be called once.
func (m *Metrics) LedgerReady(ready func() error) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: prefix + "ledger_ready", Help: "1 while the ledger can accept.",
	}, func() float64 { return float(ready() == nil) }))
}

// Commit counts one commit of the ledger and how many calls shared it. It is what
// a store's observer has to have.
func (m *Metrics) Commit(writes int, took time.Duration) {
	m.commitWrites.Observe(float64(writes))
	m.commitDuration.Observe(took.Seconds())
}

// Delivery counts the end of one delivery under a lease: for a caller or, in the
// background, of the backlog. An uncounted one gave its attempt back.
func (m *Metrics) Delivery(route string, background bool, verdict ledger.Verdict, uncounted bool) {
	r, found := m.routes.get(route)
	if !found {
		r = m.Route(route, "")
	}
	kind := "live"
	if background {
		kind = "background"
	}
	r.delivery(kindVerdict{kind, ending(verdict, uncounted)})
}

// ending returns the label of a verdict.
func ending(v ledger.Verdict, uncounted bool) string {
	switch {
	case v == ledger.Applied:
		return "applied"
	case v == ledger.Dead:
		return "dead"
	case uncounted:
		return "uncounted"
	}
	return "retry"
}

var (
	slotsDesc = prometheus.NewDesc(prefix+"backlog_slots",
		"Customers that the route still has to do, by state.", []string{"route", "provider", "state"}, nil)
	oldestDesc = prometheus.NewDesc(prefix+"backlog_oldest_seconds",
		"Age of the oldest state that is due or active; 0 without one.", []string{"route", "provider"}, nil)
)

// How long a reading of the backlog may take, and how long it is good for.
const (
	backlogTime = time.Second
	backlogAge  = 2 * time.Second
)

// backlog collects the backlog when it is asked for.
type backlog struct {
	m    *Metrics
	read func(context.Context) map[string]gateway.Backlog

	reading sync.Mutex
	last    atomic.Pointer[reading]
}

type reading struct {
	at     time.Time
	routes map[string]gateway.Backlog
}

// Describe implements prometheus.Collector.
func (b *backlog) Describe(out chan<- *prometheus.Desc) {
	out <- slotsDesc
	out <- oldestDesc
}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(out chan<- prometheus.Metric) {
	now := b.current()
	if now == nil || now.routes == nil {
		return
	}
	tell := func(route, provider string, of gateway.Backlog) {
		gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, labels...)
		}
		gauge(slotsDesc, float64(of.Due), route, provider, stateDue)
		gauge(slotsDesc, float64(of.Active), route, provider, stateActive)
		gauge(slotsDesc, float64(of.Dead), route, provider, stateDead)
		var age time.Duration
		if !of.Oldest.IsZero() {
			age = max(0, time.Since(of.Oldest))
		}
		gauge(oldestDesc, age.Seconds(), route, provider)
	}
	// A route without a backlog says so; one that is no longer configured may
	// have one nevertheless.
	known := b.m.routes.all()
	for name, r := range known {
		tell(name, r.provider, now.routes[name])
	}
	for name, of := range now.routes {
		if _, found := known[name]; !found {
			tell(name, "", of)
		}
	}
}

// current returns a reading that is fresh, if that is to be had without much ado.
func (b *backlog) current() *reading {
	if last := b.last.Load(); last != nil && time.Since(last.at) < backlogAge {
		return last
	}
	if !b.reading.TryLock() {
		return b.last.Load()
	}
	done := make(chan *reading, 1)
	go func() {
		defer b.reading.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), backlogTime)
		defer cancel()
		now := &reading{at: time.Now(), routes: b.read(ctx)}
		b.last.Store(now)
		done <- now
	}()
	timer := time.NewTimer(backlogTime)
	defer timer.Stop()
	select {
	case now := <-done:
		return now
	case <-timer.C:
		return b.last.Load()
	}
}
