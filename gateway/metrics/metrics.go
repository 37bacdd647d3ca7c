// Package metrics counts what the gateway does, for Prometheus.
//
// Every label is bounded: routes and providers come from the configuration, codes
// and statuses from closed sets, operations and fingerprints are capped per route
// and the rest is counted as "other". No label holds a URL, an id or anything
// else that a caller sent.
//
// Counting is on the path of every request. The series of a metric are looked up
// in maps that are copied when they grow, so that counting takes no lock and
// allocates nothing.
package metrics

import (
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/transport"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// prefix begins the name of every metric.
const prefix = "customer_gateway_"

const (
	ok    = "ok"    // the code of a success
	other = "other" // what is over a cap or outside a closed set
)

var (
	callBuckets = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	waitBuckets = []float64{.001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}
)

// Metrics holds the metrics of one gateway. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	attempts        *prometheus.CounterVec
	attemptDuration *prometheus.HistogramVec
	retries         *prometheus.CounterVec
	limiterWait     *prometheus.HistogramVec
	breaker         *prometheus.GaugeVec
	gate            *prometheus.GaugeVec
	unclassified    *prometheus.CounterVec
	results         *prometheus.CounterVec
	resultDuration  *prometheus.HistogramVec
	requests        *prometheus.CounterVec
	requestDuration *prometheus.HistogramVec
	inFlight        prometheus.Gauge
	delivered       *prometheus.CounterVec
	commitDuration  prometheus.Histogram
	commitWrites    prometheus.Histogram

	making   sync.Mutex // held while a route's series are made or dropped
	routes   series[string, *Route]
	counted  series[requestKey, prometheus.Counter]
	duration series[durationKey, prometheus.Observer]
}

var (
	_ gateway.Observer   = (*Metrics)(nil)
	_ transport.Observer = (*Route)(nil)
)

// New returns metrics with a registry of their own, which also reports on the
// process and the Go runtime.
func New() *Metrics {
	m := &Metrics{
		registry:        prometheus.NewRegistry(),
		attempts:        counter("attempts_total", "Requests sent to a provider, by error code.", "route", "provider", "op", "code"),
		attemptDuration: histogram("attempt_duration_seconds", "Time of one request to a provider.", callBuckets, "route", "provider"),
		retries:         counter("retries_total", "Requests repeated inside a call, by the error code that caused it.", "route", "provider", "op", "code"),
		limiterWait:     histogram("limiter_wait_seconds", "Time spent waiting for the route's own rate limit.", waitBuckets, "route", "provider"),
		breaker:         gauge("breaker_state", "1 for the state that the route's circuit breaker is in.", "route", "provider", "state"),
		gate:            gauge("gate_closed", "1 while the gate holds the route's calls back.", "route", "provider", "gate"),
		unclassified:    counter("unclassified_total", "Provider answers that no rule matched, by fingerprint.", "route", "provider", "op", "status", "fingerprint"),
		results:         counter("results_total", "Routes of upserts that have ended, by status and error code.", "route", "provider", "status", "code"),
		resultDuration:  histogram("result_duration_seconds", "Time that one route of an upsert took, with retries and waits.", callBuckets, "route", "provider"),
		requests:        counter("http_requests_total", "HTTP requests answered.", "method", "route", "status"),
		requestDuration: histogram("http_request_duration_seconds", "Time to answer an HTTP request.", callBuckets, "method", "route"),
		inFlight:        prometheus.NewGauge(prometheus.GaugeOpts{Name: prefix + "http_requests_in_flight", Help: "HTTP requests being answered."}),
		delivered:       counter("deliveries_total", "Deliveries of accepted states that have ended, by who waited for them and how.", "route", "provider", "kind", "verdict"),
		commitDuration:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "ledger_commit_seconds", Help: "Time of one commit of the ledger.", Buckets: commitBuckets}),
		commitWrites:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: prefix + "ledger_commit_writes", Help: "Calls that shared one commit of the ledger.", Buckets: writesBuckets}),
	}
	m.registry.MustRegister(
		m.attempts, m.attemptDuration, m.retries, m.limiterWait, m.breaker, m.gate, m.unclassified,
		m.results, m.resultDuration, m.requests, m.requestDuration, m.inFlight,
		m.delivered, m.commitDuration, m.commitWrites, build(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:            m.registry,
		MaxRequestsInFlight: 4,
		EnableOpenMetrics:   true,
	})
}

// Route returns the observer for a transport of the route that is about to be
// made: breaker closed, gates open. Asked again for the same route and provider,
// it goes on with the same series.
func (m *Metrics) Route(name, provider string) *Route {
	r, found := m.routes.get(name)
	if !found || r.provider != provider {
		r = m.routes.put(name, newRoute(m, name, provider))
	}
	r.reset()
	return r
}

// Forget drops the series of a route that is no longer there. What ends after that
// on its observer is no longer counted. Result and Delivery must not name it any more.
func (m *Metrics) Forget(name string) {
	m.making.Lock()
	defer m.making.Unlock()
	if r, found := m.routes.get(name); found {
		r.forgotten = true
		m.routes.drop(name)
	}
	of := prometheus.Labels{"route": name}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.attempts, m.attemptDuration, m.retries, m.limiterWait, m.breaker, m.gate, m.unclassified,
		m.results, m.resultDuration, m.delivered, // route means something else in those of HTTP requests
	} {
		vec.DeletePartialMatch(of)
	}
}

// Result implements gateway.Observer. The provider's label is empty for a route
// that Route was not asked for.
func (m *Metrics) Result(route string, status gateway.Status, code canonical.Code, took time.Duration) {
	r, found := m.routes.get(route)
	if !found {
		r = m.Route(route, "")
	}
	r.result(status, code, took)
}

// requestKey is what tells the series of http_requests_total apart.
type requestKey struct {
	method, route string
	status        int
}

type durationKey struct{ method, route string }

// Request counts one answered HTTP request. route is the template of the path
// and must be one of a fixed few.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	method = knownMethod(method)
	key := requestKey{method, route, status}
	requests, found := m.counted.get(key)
	if !found {
		requests = m.counted.put(key, m.requests.WithLabelValues(method, route, strconv.Itoa(status)))
	}
	requests.Inc()
	of := durationKey{method, route}
	duration, found := m.duration.get(of)
	if !found {
		duration = m.duration.put(of, m.requestDuration.WithLabelValues(method, route))
	}
	duration.Observe(took.Seconds())
}

// InFlight adds n to the number of HTTP requests that are being answered.
func (m *Metrics) InFlight(n int) { m.inFlight.Add(float64(n)) }

// knownMethod keeps the callers from inventing label values.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return other
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
}

func gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: prefix + name, Help: help, Buckets: buckets}, labels)
}

// build says which program this is.
func build() prometheus.Collector {
	version, revision := "unknown", "unknown"
	if info, found := debug.ReadBuildInfo(); found {
		version = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        prefix + "build_info",
		Help:        "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}
