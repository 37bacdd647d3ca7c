package metrics

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// want fails for every line that is not in got.
func want(t *testing.T, got []string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !has(got, line) {
			t.Errorf("no line %s", line)
		}
	}
}

func TestCommits(t *testing.T) {
	t.Parallel()
	m := New()
	m.Commit(1, 300*time.Microsecond)
	m.Commit(60, 20*time.Millisecond)
	want(t, scrape(t, m),
		`customer_gateway_ledger_commit_seconds_bucket{le="0.0005"} 1`,
		`customer_gateway_ledger_commit_seconds_bucket{le="0.025"} 2`,
		`customer_gateway_ledger_commit_seconds_count 2`,
		`customer_gateway_ledger_commit_writes_bucket{le="1"} 1`,
		`customer_gateway_ledger_commit_writes_bucket{le="64"} 2`,
		`customer_gateway_ledger_commit_writes_sum 61`,
	)
}

func TestLedgerReady(t *testing.T) {
	t.Parallel()
	m := New()
	for _, line := range scrape(t, m) {
		if strings.Contains(line, "ledger_ready") {
			t.Errorf("without a ledger: %s", line)
		}
	}
	var err error
	m.LedgerReady(func() error { return err })
	want(t, scrape(t, m), `customer_gateway_ledger_ready 1`)
	err = errors.New("the disk is full")
	want(t, scrape(t, m), `customer_gateway_ledger_ready 0`)
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	m := New()
	m.Route("shop-eu", "magento")
	for _, tt := range []struct {
		background bool
		verdict    ledger.Verdict
		uncounted  bool
		labels     string
	}{
		{false, ledger.Applied, false, `kind="live",provider="magento",route="shop-eu",verdict="applied"`},
		{false, ledger.Dead, false, `kind="live",provider="magento",route="shop-eu",verdict="dead"`},
		{true, ledger.Retry, false, `kind="background",provider="magento",route="shop-eu",verdict="retry"`},
		{true, ledger.Retry, true, `kind="background",provider="magento",route="shop-eu",verdict="uncounted"`},
	} {
		m.Delivery("shop-eu", tt.background, tt.verdict, tt.uncounted)
		m.Delivery("shop-eu", tt.background, tt.verdict, tt.uncounted)
		want(t, scrape(t, m), `customer_gateway_deliveries_total{`+tt.labels+`} 2`)
	}
	m.Delivery("other", true, ledger.Applied, false)
	want(t, scrape(t, m), `customer_gateway_deliveries_total{kind="background",provider="",route="other",verdict="applied"} 1`)
}

func TestBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New()
		m.Route("april", "april")
		m.Route("shop-eu", "magento")
		var now map[string]gateway.Backlog
		reads := 0
		m.Backlog(func(context.Context) map[string]gateway.Backlog { reads++; return now })
		if got := scrape(t, m); count(got, "customer_gateway_backlog_slots") != 0 {
			t.Error("there is a backlog without a ledger")
		}
		time.Sleep(backlogAge)
		now = map[string]gateway.Backlog{
			"shop-eu": {Due: 3, Active: 2, Dead: 1, Oldest: time.Now().Add(-time.Minute)},
			"gone":    {Due: 7, Oldest: time.Now().Add(time.Hour)},
		}
		want(t, scrape(t, m),
			`customer_gateway_backlog_slots{provider="magento",route="shop-eu",state="due"} 3`,
			`customer_gateway_backlog_slots{provider="magento",route="shop-eu",state="active"} 2`,
			`customer_gateway_backlog_slots{provider="magento",route="shop-eu",state="dead"} 1`,
			`customer_gateway_backlog_oldest_seconds{provider="magento",route="shop-eu"} 60`,
			`customer_gateway_backlog_slots{provider="april",route="april",state="due"} 0`,
			`customer_gateway_backlog_oldest_seconds{provider="april",route="april"} 0`,
			`customer_gateway_backlog_slots{provider="",route="gone",state="due"} 7`,
			`customer_gateway_backlog_oldest_seconds{provider="",route="gone"} 0`,
		)
		// It is read again when it is old; its age grows by itself.
		now = map[string]gateway.Backlog{}
		time.Sleep(time.Second)
		want(t, scrape(t, m), `customer_gateway_backlog_oldest_seconds{provider="magento",route="shop-eu"} 61`)
		if reads != 2 {
			t.Errorf("%d reads, want 2", reads)
		}
		time.Sleep(time.Second)
		want(t, scrape(t, m), `customer_gateway_backlog_slots{provider="magento",route="shop-eu",state="due"} 0`)
	})
}

// A store that does not answer costs a scrape a second at most, and is not asked
// by another one meanwhile.
func TestBacklogThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New()
		m.Route("a", "fake")
		var reads atomic.Int32
		hang := false
		freed := make(chan struct{})
		m.Backlog(func(ctx context.Context) map[string]gateway.Backlog {
			reads.Add(1)
			if hang {
				<-ctx.Done()
				<-freed // longer than it should
			}
			return map[string]gateway.Backlog{"a": {Due: int(reads.Load())}}
		})
		scrape(t, m)
		time.Sleep(time.Minute)
		hang = true
		begin := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				want(t, scrape(t, m), `customer_gateway_backlog_slots{provider="fake",route="a",state="due"} 1`)
			})
		}
		wg.Wait()
		if took := time.Since(begin); took != backlogTime || reads.Load() != 2 {
			t.Errorf("took %v and %d reads, want %v and 2", took, reads.Load(), backlogTime)
		}
		close(freed)
		synctest.Wait()
		want(t, scrape(t, m), `customer_gateway_backlog_slots{provider="fake",route="a",state="due"} 2`)
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	m := New()
	count := func(r *Route, op string) {
		r.Attempt(op, "", time.Millisecond)
		r.Retry(op, canonical.UpstreamBusy)
		r.LimiterWait(time.Millisecond)
		r.Unclassified(op, 418, "E")
		r.Breaker(transport.BreakerOpen)
		r.Gate(transport.GatePaused, true)
	}
	gone, stays := m.Route("gone", "fake"), m.Route("stays", "fake")
	for _, name := range []string{"gone", "stays"} {
		m.Result(name, gateway.StatusSucceeded, "", time.Millisecond)
		m.Delivery(name, false, ledger.Applied, false)
	}
	count(gone, "upsert")
	count(stays, "upsert")
	m.Request(http.MethodGet, "gone", 200, time.Millisecond) // a template, not the route
	m.Backlog(func(context.Context) map[string]gateway.Backlog { return map[string]gateway.Backlog{} })

	m.Forget("gone")
	m.Forget("never there")
	count(gone, "upsert") // what was still under way
	count(gone, "search")
	after := scrape(t, m)
	kept := 0
	for _, line := range after {
		if strings.Contains(line, `route="gone"`) && !strings.Contains(line, "_http_") {
			t.Errorf("still there: %s", line)
		}
		if strings.Contains(line, `route="stays"`) {
			kept++
		}
	}
	if kept == 0 {
		t.Error("the other route's series are gone too")
	}
	want(t, after, `customer_gateway_http_requests_total{method="GET",route="gone",status="200"} 1`)

	// A route of the same name begins at nothing.
	count(m.Route("gone", "fake"), "upsert")
	want(t, scrape(t, m), `customer_gateway_attempts_total{code="ok",op="upsert",provider="fake",route="gone"} 1`)
}
