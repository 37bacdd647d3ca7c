package metrics

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// scrape returns what a scrape would, one line each.
func scrape(t *testing.T, m *Metrics) []string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status = %d, want 200:\n%s", w.Code, w.Body)
	}
	return strings.Split(w.Body.String(), "\n")
}

func has(lines []string, want string) bool {
	for _, line := range lines {
		if line == want {
			return true
		}
	}
	return false
}

// count returns the number of lines that begin with name and a label set.
func count(lines []string, name string) int {
	n := 0
	for _, line := range lines {
		if strings.HasPrefix(line, name+"{") {
			n++
		}
	}
	return n
}

func TestSeries(t *testing.T) {
	t.Parallel()
	m := New()
	r := m.Route("shop-eu", "magento")
	r.Attempt("search", "", 20*time.Millisecond)
	r.Attempt("upsert", canonical.UpstreamUnavailable, 3*time.Second)
	r.Attempt("upsert", canonical.UpstreamUnavailable, time.Minute)
	r.Retry("upsert", canonical.UpstreamUnavailable)
	r.LimiterWait(40 * time.Millisecond)
	r.Unclassified("upsert", 418, "TEAPOT")
	r.Unclassified("upsert", 418, "someone@example.com")
	m.Result("shop-eu", gateway.StatusFailed, canonical.UpstreamUnavailable, time.Second)
	m.Result("shop-eu", gateway.StatusSucceeded, "", time.Second)
	m.Request(http.MethodPut, "/v1/customers/:id", 207, time.Second)
	m.Request("BREW", "unmatched", 404, time.Second)
	m.InFlight(2)
	m.InFlight(-1)

	got := scrape(t, m)
	for _, want := range []string{
		`customer_gateway_attempts_total{code="ok",op="search",provider="magento",route="shop-eu"} 1`,
		`customer_gateway_attempts_total{code="upstream.unavailable",op="upsert",provider="magento",route="shop-eu"} 2`,
		`customer_gateway_attempt_duration_seconds_bucket{provider="magento",route="shop-eu",le="0.025"} 1`,
		`customer_gateway_attempt_duration_seconds_count{provider="magento",route="shop-eu"} 3`,
		`customer_gateway_retries_total{code="upstream.unavailable",op="upsert",provider="magento",route="shop-eu"} 1`,
		`customer_gateway_limiter_wait_seconds_bucket{provider="magento",route="shop-eu",le="0.05"} 1`,
		`customer_gateway_unclassified_total{fingerprint="TEAPOT",op="upsert",provider="magento",route="shop-eu",status="418"} 1`,
		`customer_gateway_unclassified_total{fingerprint="",op="upsert",provider="magento",route="shop-eu",status="418"} 1`,
		`customer_gateway_results_total{code="upstream.unavailable",provider="magento",route="shop-eu",status="failed"} 1`,
		`customer_gateway_results_total{code="ok",provider="magento",route="shop-eu",status="succeeded"} 1`,
		`customer_gateway_result_duration_seconds_count{provider="magento",route="shop-eu"} 2`,
		`customer_gateway_http_requests_total{method="PUT",route="/v1/customers/:id",status="207"} 1`,
		`customer_gateway_http_requests_total{method="other",route="unmatched",status="404"} 1`,
		`customer_gateway_http_request_duration_seconds_count{method="PUT",route="/v1/customers/:id"} 1`,
		`customer_gateway_http_requests_in_flight 1`,
	} {
		if !has(got, want) {
			t.Errorf("no line %s", want)
		}
	}
	for _, name := range []string{"customer_gateway_build_info", "go_gc_duration_seconds"} {
		if count(got, name) == 0 {
			t.Errorf("no series of %s", name)
		}
	}
	for _, line := range got {
		if strings.Contains(line, "someone") {
			t.Errorf("a label holds what the provider sent: %s", line)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	m := New()
	r := m.Route("shop-eu", "magento")
	check := func(state transport.BreakerState, gate transport.Gate) {
		t.Helper()
		got := scrape(t, m)
		for _, s := range []transport.BreakerState{transport.BreakerClosed, transport.BreakerOpen, transport.BreakerHalfOpen, transport.BreakerOff} {
			want := fmt.Sprintf(`customer_gateway_breaker_state{provider="magento",route="shop-eu",state="%s"} %v`, s, float(s == state))
			if !has(got, want) {
				t.Errorf("no line %s", want)
			}
		}
		for _, g := range []transport.Gate{transport.GatePaused, transport.GateCredential, transport.GateNotBefore} {
			want := fmt.Sprintf(`customer_gateway_gate_closed{gate="%s",provider="magento",route="shop-eu"} %v`, g, float(g == gate))
			if !has(got, want) {
				t.Errorf("no line %s", want)
			}
		}
	}
	check(transport.BreakerClosed, "")
	r.Breaker(transport.BreakerOpen)
	r.Gate(transport.GateCredential, true)
	check(transport.BreakerOpen, transport.GateCredential)
	r.Breaker(transport.BreakerHalfOpen)
	r.Gate(transport.GateCredential, false)
	r.Gate("made-up", true)
	check(transport.BreakerHalfOpen, "")
	// A new transport of the same route begins anew.
	m.Route("shop-eu", "magento")
	check(transport.BreakerClosed, "")
}

func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	m := New()
	r := m.Route("a", "fake")
	for i := range 1000 {
		r.Attempt(fmt.Sprintf("op%d", i), canonical.Code(fmt.Sprintf("made.up.%d", i)), 0)
		r.Retry(fmt.Sprintf("op%d", i), canonical.UpstreamBusy)
		r.Unclassified("upsert", i, fmt.Sprintf("E%d", i))
		m.Result("a", gateway.StatusFailed, canonical.Code(fmt.Sprintf("made.up.%d", i)), 0)
		m.Request(fmt.Sprintf("M%d", i), "/v1/routes", 405, 0)
	}
	r.Attempt("\xff", "", 0) // not UTF-8: must not panic
	got := scrape(t, m)
	for name, most := range map[string]int{
		"customer_gateway_attempts_total":      maxOps + 2,
		"customer_gateway_retries_total":       maxOps + 1,
		"customer_gateway_unclassified_total":  maxFingerprints + 1,
		"customer_gateway_results_total":       1,
		"customer_gateway_http_requests_total": 1,
	} {
		if n := count(got, name); n > most || n == 0 {
			t.Errorf("%d series of %s, want 1 to %d", n, name, most)
		}
	}
	for _, want := range []string{
		`customer_gateway_unclassified_total{fingerprint="other",op="other",provider="fake",route="a",status="other"} 936`,
		`customer_gateway_results_total{code="other",provider="fake",route="a",status="failed"} 1000`,
	} {
		if !has(got, want) {
			t.Errorf("no line %s", want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := New()
	r := m.Route("a", "fake")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 100 {
				r.Attempt(fmt.Sprintf("op%d", j%40), canonical.UpstreamBusy, 0)
				r.Unclassified("upsert", 400+j, "E")
				r.Breaker(transport.BreakerOpen)
				m.Result(fmt.Sprintf("route%d", (i+j)%3), gateway.StatusSucceeded, "", 0)
				m.Request(http.MethodGet, "/v1/routes", 200+j, 0)
			}
		})
	}
	wg.Wait()
	got := scrape(t, m)
	for _, want := range []string{
		`customer_gateway_attempt_duration_seconds_count{provider="fake",route="a"} 800`,
		`customer_gateway_http_request_duration_seconds_count{method="GET",route="/v1/routes"} 800`,
		`customer_gateway_breaker_state{provider="fake",route="a",state="open"} 1`,
	} {
		if !has(got, want) {
			t.Errorf("no line %s", want)
		}
	}
}

// hot is what one upsert to one route counts.
func hot(m *Metrics, r *Route) {
	r.Attempt("upsert", "", time.Millisecond)
	r.LimiterWait(time.Microsecond)
	m.Result("a", gateway.StatusSucceeded, "", time.Millisecond)
	m.Delivery("a", false, ledger.Applied, false)
	m.Commit(1, time.Millisecond)
	m.InFlight(1)
	m.Request(http.MethodPut, "/v1/customers/:id", 200, time.Millisecond)
	m.InFlight(-1)
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m := New()
	r := m.Route("a", "fake")
	if n := testing.AllocsPerRun(100, func() { hot(m, r) }); n != 0 {
		t.Errorf("%v allocations for one upsert, want 0", n)
	}
}

func BenchmarkUpsert(b *testing.B) {
	m := New()
	r := m.Route("a", "fake")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			hot(m, r)
		}
	})
}
