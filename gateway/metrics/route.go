package metrics

import (
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/transport"

	"github.com/prometheus/client_golang/prometheus"
)

// The caps of one route. What is over them is counted as "other".
const (
	maxOps          = 32 // operations
	maxFingerprints = 64 // combinations of operation, status and fingerprint
)

// codes is the closed set that the code label is taken from.
var codes = func() map[canonical.Code]bool {
	set := make(map[canonical.Code]bool)
	for _, in := range canonical.Codes() {
		set[in.Code] = true
	}
	return set
}()

// Route counts for one route. It is the transport.Observer of that route.
type Route struct {
	m              *Metrics
	name, provider string

	attemptDuration, limiterWait, resultDuration prometheus.Observer
	gates                                        map[transport.Gate]prometheus.Gauge

	mu       sync.Mutex // of breakers: a state set changes as one
	breakers map[transport.BreakerState]prometheus.Gauge

	ops          series[string, struct{}]
	attempts     series[opCode, prometheus.Counter]
	retries      series[opCode, prometheus.Counter]
	results      series[statusCode, prometheus.Counter]
	unclassified series[fingerprint, prometheus.Counter]
	deliveries   series[kindVerdict, prometheus.Counter]

	forgotten bool // guarded by m.making
}

// The keys hold labels, not what they were made of: only labels are bounded.
type opCode struct{ op, code string }

type statusCode struct{ status, code string }

type kindVerdict struct{ kind, verdict string }

type fingerprint struct {
	op     string
	status int
	code   string
}

// label returns the code's label.
func label(code canonical.Code) string {
	switch {
	case code == "":
		return ok
	case codes[code]:
		return string(code)
	}
	return other
}

func newRoute(m *Metrics, name, provider string) *Route {
	r := &Route{
		m: m, name: name, provider: provider,
		attemptDuration: m.attemptDuration.WithLabelValues(name, provider),
		limiterWait:     m.limiterWait.WithLabelValues(name, provider),
		resultDuration:  m.resultDuration.WithLabelValues(name, provider),
		gates:           map[transport.Gate]prometheus.Gauge{},
		breakers:        map[transport.BreakerState]prometheus.Gauge{},
	}
	for _, g := range []transport.Gate{transport.GatePaused, transport.GateCredential, transport.GateNotBefore} {
		r.gates[g] = m.gate.WithLabelValues(name, provider, string(g))
	}
	for _, s := range []transport.BreakerState{transport.BreakerClosed, transport.BreakerOpen, transport.BreakerHalfOpen, transport.BreakerOff} {
		r.breakers[s] = m.breaker.WithLabelValues(name, provider, string(s))
	}
	return r
}

// reset states what is true of a transport that has just been made: it reports
// only changes.
func (r *Route) reset() {
	for _, g := range r.gates {
		g.Set(0)
	}
	r.Breaker(transport.BreakerClosed)
}

// Attempt implements transport.Observer.
func (r *Route) Attempt(op string, code canonical.Code, took time.Duration) {
	r.count(&r.attempts, r.m.attempts, op, code)
	r.attemptDuration.Observe(took.Seconds())
}

// Retry implements transport.Observer.
func (r *Route) Retry(op string, code canonical.Code) {
	r.count(&r.retries, r.m.retries, op, code)
}

// LimiterWait implements transport.Observer.
func (r *Route) LimiterWait(waited time.Duration) { r.limiterWait.Observe(waited.Seconds()) }

// Breaker implements transport.Observer.
func (r *Route) Breaker(state transport.BreakerState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s, g := range r.breakers {
		g.Set(float(s == state))
	}
}

// Gate implements transport.Observer.
func (r *Route) Gate(gate transport.Gate, closed bool) {
	if g := r.gates[gate]; g != nil {
		g.Set(float(closed))
	}
}

// Unclassified implements transport.Observer.
func (r *Route) Unclassified(op string, status int, upstreamCode string) {
	key := fingerprint{r.op(op), status, canonical.Token(upstreamCode)}
	c, found := r.unclassified.get(key)
	if !found {
		c, found = r.unclassified.admit(key, maxFingerprints, func() prometheus.Counter {
			return r.series(r.m.unclassified, key.op, strconv.Itoa(status), key.code)
		})
	}
	if !found {
		c = r.series(r.m.unclassified, other, other, other)
	}
	c.Inc()
}

func (r *Route) result(status gateway.Status, code canonical.Code, took time.Duration) {
	key := statusCode{string(status), label(code)}
	c, found := r.results.get(key)
	if !found {
		c = r.results.put(key, r.series(r.m.results, key.status, key.code))
	}
	c.Inc()
	r.resultDuration.Observe(took.Seconds())
}

// count adds one to the series of op and code.
func (r *Route) count(in *series[opCode, prometheus.Counter], of *prometheus.CounterVec, op string, code canonical.Code) {
	key := opCode{r.op(op), label(code)}
	c, found := in.get(key)
	if !found {
		c = in.put(key, r.series(of, key.op, key.code))
	}
	c.Inc()
}

func (r *Route) delivery(key kindVerdict) {
	c, found := r.deliveries.get(key)
	if !found {
		c = r.deliveries.put(key, r.series(r.m.delivered, key.kind, key.verdict))
	}
	c.Inc()
}

// series returns the route's counter with the labels; one that nobody sees if the
// route is forgotten.
func (r *Route) series(of *prometheus.CounterVec, labels ...string) prometheus.Counter {
	r.m.making.Lock()
	defer r.m.making.Unlock()
	if r.forgotten {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "forgotten"})
	}
	return of.WithLabelValues(append([]string{r.name, r.provider}, labels...)...)
}

// op returns the label of an operation.
func (r *Route) op(op string) string {
	if _, found := r.ops.get(op); found {
		return op
	}
	if !utf8.ValidString(op) { // no label may be
		return other
	}
	if _, found := r.ops.admit(op, maxOps, func() struct{} { return struct{}{} }); found {
		return op
	}
	return other
}

func float(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
