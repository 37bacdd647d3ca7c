package transport

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
)

// answers is a provider in virtual time that always answers with one status,
// and counts.
type answers struct {
	mu     sync.Mutex
	status int
	header []string
	sends  int
}

func (a *answers) RoundTrip(*http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sends++
	return reply(a.status, "", a.header...), nil
}

func (a *answers) set(status int) { a.mu.Lock(); a.status = status; a.mu.Unlock() }

func TestBreakerTripsOnFailuresOnly(t *testing.T) {
	t.Parallel()
	for code, trips := range map[int]bool{500: true, 503: true, 422: false, 429: false, 409: false, 404: false, 401: false, 403: false, 418: false, 599: true, 200: false} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{status: code}
			c := open(t, Config{Base: a}, canonical.Auth{}, nil)
			for range 50 {
				c.Do(t.Context(), put, status)
				c.gate.mu.Lock()
				c.gate.notBefore, c.gate.shut = time.Time{}, "" // only the breaker is of interest
				c.gate.mu.Unlock()
			}
			if got := c.State().Breaker == BreakerOpen; got != trips {
				t.Errorf("50 × %d: open = %v, want %v", code, got, trips)
			}
			if trips && a.sends != 20 {
				t.Errorf("50 × %d: %d sends, want the 20 of the minimum sample", code, a.sends)
			}
		})
	}
}

func TestBreakerLife(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, w := &answers{status: 500}, &watcher{}
		c := open(t, Config{Base: a, Breaker: Breaker{MinRequests: 4, OpenFor: 10 * time.Second}, Limit: Limit{Rate: 100, Burst: 100},
			Retry: Retry{Attempts: 5, Base: time.Millisecond}}, canonical.Auth{}, w)
		first := c.Do(t.Context(), put, status)
		wantCode(t, first, canonical.UpstreamUnavailable) // the provider's answer, not ours
		if first.Attempts != 4 || a.sends != 4 {
			t.Fatalf("%d attempts, %d sends; an open circuit was retried or never opened", first.Attempts, a.sends)
		}
		time.Sleep(4 * time.Second)
		tokens := c.State().Tokens
		res := c.Do(t.Context(), put, status)
		wantCode(t, res, canonical.RouteCircuitOpen)
		if res.Attempts != 0 || a.sends != 4 || c.State().Tokens != tokens {
			t.Errorf("the refusal cost something: %+v", res)
		}
		if d := res.Err.RetryAfter; d < 5900*time.Millisecond || d > 6*time.Second {
			t.Errorf("RetryAfter = %v, want what is left of 10s", d)
		}
		time.Sleep(res.Err.RetryAfter + time.Millisecond)
		wantCode(t, c.Do(t.Context(), post, status), canonical.UpstreamUnavailable)
		wantCode(t, c.Do(t.Context(), post, status), canonical.RouteCircuitOpen)
		a.set(200)
		time.Sleep(10*time.Second + time.Millisecond)
		wantCode(t, c.Do(t.Context(), post, status), "")
		want := []BreakerState{BreakerOpen, BreakerHalfOpen, BreakerOpen, BreakerHalfOpen, BreakerClosed}
		if len(w.breaker) != len(want) {
			t.Fatalf("observed %v, want %v", w.breaker, want)
		}
		for i := range want {
			if w.breaker[i] != want[i] {
				t.Errorf("observed %v, want %v", w.breaker, want)
			}
		}
		if s := c.State(); s.Breaker != BreakerClosed || !s.OpenUntil.IsZero() {
			t.Errorf("State = %+v, want closed", s)
		}
	})
}

func TestBreakerOff(t *testing.T) {
	t.Parallel()
	w := &watcher{}
	c := open(t, Config{Base: &answers{status: 500}, Breaker: Breaker{Off: true, MinRequests: 1}}, canonical.Auth{}, w)
	for range 3 {
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnavailable)
	}
	if len(w.breaker) != 1 || w.breaker[0] != BreakerOff || c.State().Breaker != BreakerOff {
		t.Errorf("observed %v, state %v, want off alone", w.breaker, c.State().Breaker)
	}
}

func TestHungProbeRefusesOthersAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var base http.RoundTripper = &answers{status: 500}
		c := open(t, Config{Timeout: 3 * time.Second, Breaker: Breaker{MinRequests: 1, OpenFor: 10 * time.Second}, Limit: Limit{Rate: 1, Burst: 5},
			Base: fake(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(r) })}, canonical.Auth{}, nil)
		c.Do(t.Context(), post, status)
		base = fake(hang)
		time.Sleep(11 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(t.Context(), post, status), canonical.UpstreamOutcomeUnknown) })
		synctest.Wait()
		tokens := c.State().Tokens
		res := c.Do(t.Context(), post, status)
		wantCode(t, res, canonical.RouteCircuitOpen)
		if res.Err.RetryAfter <= 0 || c.State().Tokens != tokens {
			t.Errorf("refused with %+v and %v tokens, want a time and %v", res.Err, c.State().Tokens, tokens)
		}
		wg.Wait()
		if s := c.State().Breaker; s != BreakerOpen {
			t.Errorf("breaker = %v after the hung probe, want open", s)
		}
	})
}

// A probe whose answer says nothing about the provider's health, such as a 429,
// neither closes nor opens the breaker, and the next call probes again.
func TestProbeThatSaysNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 500}
		c := open(t, Config{Base: a, Breaker: Breaker{MinRequests: 1, OpenFor: 10 * time.Second}}, canonical.Auth{}, nil)
		c.Do(t.Context(), put, status)
		time.Sleep(11 * time.Second)
		a.mu.Lock()
		a.status, a.header = 429, []string{"Retry-After", "1"}
		a.mu.Unlock()
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamRateLimited)
		if s := c.State().Breaker; s != BreakerHalfOpen {
			t.Errorf("breaker = %v after a probe that says nothing, want half-open", s)
		}
		time.Sleep(2 * time.Second)
		a.set(200)
		wantCode(t, c.Do(t.Context(), put, status), "")
		if s := c.State().Breaker; s != BreakerClosed {
			t.Errorf("breaker = %v, want closed", s)
		}
	})
}

func TestCancelledCallersDoNotTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Base: fake(hang)}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		for range 50 {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() { c.Do(ctx, post, status) })
			time.AfterFunc(9*time.Second, cancel)
		}
		wg.Wait()
		if s := c.State().Breaker; s != BreakerClosed {
			t.Errorf("breaker = %v, want closed", s)
		}
	})
}

func TestLimiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, w := &answers{status: 500}, &watcher{}
		c := open(t, Config{Base: a, Breaker: Breaker{Off: true}, Limit: Limit{Rate: 2, Burst: 1}, Retry: Retry{Attempts: 3, Base: 1}}, canonical.Auth{}, w)
		begin := time.Now()
		c.Do(t.Context(), put, status)
		// Three attempts, three tokens: the second and third half a second later each.
		if took := time.Since(begin).Round(time.Millisecond); a.sends != 3 || took != time.Second || w.waits != 2 {
			t.Errorf("%d sends in %v with %d waits, want 3 in 1s with 2", a.sends, took, w.waits)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		a.set(200)
		begin = time.Now()
		res := c.Do(ctx, put, status)
		wantCode(t, res, canonical.RouteThrottled)
		if res.Attempts != 0 || a.sends != 3 || time.Since(begin) != 0 || res.Err.RetryAfter.Round(time.Millisecond) != 500*time.Millisecond {
			t.Errorf("Do = %+v after %v, want an immediate refusal with 500ms", res, time.Since(begin))
		}
		// The token was given back: the next is there in time.
		time.Sleep(500 * time.Millisecond)
		wantCode(t, c.Do(within(t, 20*time.Millisecond), put, status), "")
	})
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestLimiterQueueIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200}
		c := open(t, Config{Base: a, Limit: Limit{Rate: 5, Burst: 5}}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		var mu sync.Mutex
		refused := 0
		begin := time.Now()
		for range 50 {
			wg.Go(func() {
				if res := c.Do(t.Context(), put, status); res.Err != nil {
					wantCode(t, res, canonical.RouteThrottled)
					mu.Lock()
					refused++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if a.sends != 10 || refused != 40 || time.Since(begin).Round(time.Millisecond) != time.Second {
			t.Errorf("%d sent, %d refused in %v, want 10 and 40 in 1s", a.sends, refused, time.Since(begin))
		}
	})
}

func TestLimiterWaitCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200}
		c := open(t, Config{Base: a, Limit: Limit{Rate: 2, Burst: 1}}, canonical.Auth{}, nil)
		wantCode(t, c.Do(t.Context(), put, status), "")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		wantCode(t, c.Do(ctx, put, status), canonical.RouteDeadline)
		time.Sleep(400 * time.Millisecond)
		wantCode(t, c.Do(within(t, 20*time.Millisecond), put, status), "")
	})
}

func TestBulkhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		busy, most := 0, 0
		var mu sync.Mutex
		c := open(t, Config{Limit: Limit{Concurrency: 2}, Base: fake(func(*http.Request) (*http.Response, error) {
			mu.Lock()
			busy++
			most = max(most, busy)
			mu.Unlock()
			time.Sleep(600 * time.Millisecond)
			mu.Lock()
			busy--
			mu.Unlock()
			return reply(200, ""), nil
		})}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		count := map[canonical.Code]int{}
		for range 6 {
			wg.Go(func() {
				res := c.Do(t.Context(), put, status)
				mu.Lock()
				defer mu.Unlock()
				if res.Err == nil {
					count[""]++
				} else {
					count[res.Err.Code]++
				}
			})
		}
		synctest.Wait()
		if n := c.State().InFlight; n != 2 {
			t.Errorf("InFlight = %d, want 2", n)
		}
		wg.Go(func() { // the deadline bounds the wait
			begin := time.Now()
			wantCode(t, c.Do(within(t, 100*time.Millisecond), put, status), canonical.RouteSaturated)
			if time.Since(begin) > 100*time.Millisecond {
				t.Errorf("waited %v", time.Since(begin))
			}
		})
		wg.Go(func() { // and so does a caller who leaves
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			begin := time.Now()
			wantCode(t, c.Do(ctx, put, status), canonical.RouteDeadline)
			if time.Since(begin) > 100*time.Millisecond {
				t.Errorf("waited %v for a caller who had left", time.Since(begin))
			}
		})
		wg.Wait()
		// Two at once, two after 600ms, the rest gives up after a second.
		if most != 2 || count[""] != 4 || count[canonical.RouteSaturated] != 2 {
			t.Errorf("most = %d, results %v", most, count)
		}
		if n := c.State().InFlight; n != 0 {
			t.Errorf("InFlight = %d, want 0", n)
		}
	})
}

// Behind a provider that hangs, callers do not wait for what cannot come.
func TestBulkheadQueueFollowsTheProvider(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		takes := time.Millisecond
		c := open(t, Config{Timeout: 8 * time.Second, Limit: Limit{Concurrency: 4}, Base: fake(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			d := takes
			mu.Unlock()
			select {
			case <-time.After(d):
				return reply(200, ""), nil
			case <-r.Context().Done():
				return hang(r)
			}
		})}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		for range 2000 { // half a second of work
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		}
		wg.Wait()

		mu.Lock()
		takes = time.Hour
		mu.Unlock()
		most := int64(0)
		for range 300 { // three seconds
			wg.Go(func() { c.Do(t.Context(), put, status) })
			time.Sleep(10 * time.Millisecond)
			most = max(most, c.bulkhead.waiting.Load())
		}
		if most > 20 { // as many as come in 200ms; 1s/200ms of 4 have a turn in time
			t.Errorf("%d wait behind a provider that hangs, want at most 20 of 300", most)
		}
		wg.Wait()

		mu.Lock()
		takes = time.Millisecond
		mu.Unlock()
		time.Sleep(time.Minute)
		for range 50 { // it is well again
			wantCode(t, c.Do(t.Context(), put, status), "")
		}
		for range 200 {
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		}
		wg.Wait()
	})
}

func TestPause(t *testing.T) {
	t.Parallel()
	a, w := &answers{status: 200}, &watcher{}
	c := open(t, Config{Base: a}, canonical.Auth{}, w)
	c.Pause("migration")
	res := c.Do(t.Context(), put, status)
	wantCode(t, res, canonical.RoutePaused)
	if s := c.State(); s.Gate != GatePaused || s.Reason != "migration" || a.sends != 0 || res.Attempts != 0 {
		t.Errorf("State = %+v, %d sends", s, a.sends)
	}
	c.Resume()
	wantCode(t, c.Do(t.Context(), put, status), "")
	if s := c.State(); s.Gate != "" || len(w.gates) != 2 {
		t.Errorf("State = %+v, observed %v", s, w.gates)
	}
}

func TestNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200}
		c := open(t, Config{Base: a}, canonical.Auth{}, nil)
		begin := time.Now()
		c.NotBefore(begin.Add(time.Minute))
		c.NotBefore(begin.Add(time.Second)) // does not shorten
		res := c.Do(t.Context(), put, status)
		wantCode(t, res, canonical.RouteThrottled)
		if !res.Err.RetryAt.Equal(begin.Add(time.Minute)) || res.Err.Retryable() != true {
			t.Errorf("error = %+v", res.Err)
		}
		time.Sleep(59500 * time.Millisecond)
		wantCode(t, c.Do(t.Context(), put, status), "") // short enough to wait for
		if time.Since(begin) != time.Minute {
			t.Errorf("sent after %v, want 1m", time.Since(begin))
		}
	})
}

func TestUnnamedHoldsGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 429}
		c := open(t, Config{Base: a}, canonical.Auth{}, nil)
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			c.Do(t.Context(), put, status)
			s := c.State()
			if got := time.Until(s.Until); got != want*time.Second {
				t.Fatalf("held for %v, want %v", got, want*time.Second)
			}
			time.Sleep(time.Until(s.Until))
		}
		a.set(200)
		c.Do(t.Context(), put, status)
		a.set(429)
		c.Do(t.Context(), put, status)
		if got := time.Until(c.State().Until); got != time.Second {
			t.Errorf("held for %v after a success, want 1s again", got)
		}
	})
}

func TestCredentialGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, w := &answers{status: 401}, &watcher{}
		c := open(t, Config{Base: a}, canonical.Auth{Header: map[string]canonical.Secret{"X-Api-Key": "old"}}, w)
		begin := time.Now()
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnauthenticated)
		for range 100 { // the storm
			res := c.Do(t.Context(), put, status)
			wantCode(t, res, canonical.RouteCredentialGated)
			if !res.Err.RetryAt.Equal(begin.Add(time.Minute)) {
				t.Fatalf("RetryAt = %v, want the next probe", res.Err.RetryAt)
			}
		}
		s := c.State()
		if a.sends != 1 || s.Breaker != BreakerClosed || s.Gate != GateCredential || s.Reason != "upstream.unauthenticated" {
			t.Fatalf("%d sends, %+v", a.sends, s)
		}
		// One probe per minute; a server error proves nothing.
		time.Sleep(time.Minute)
		a.set(500)
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnavailable)
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
		time.Sleep(time.Minute)
		a.set(401)
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnauthenticated)
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
		// A refusal of the data proves that the credential is taken.
		time.Sleep(time.Minute)
		a.set(422)
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamInvalid)
		a.set(200)
		wantCode(t, c.Do(t.Context(), put, status), "")
		if len(w.gates) != 2 || w.gates[0] != "+credential" || w.gates[1] != "-credential" {
			t.Errorf("observed %v, want one closing and one opening", w.gates)
		}
		// A change lets one through at once.
		a.set(401)
		c.Do(t.Context(), put, status)
		c.CredentialChanged()
		a.set(200)
		wantCode(t, c.Do(t.Context(), put, status), "")
		wantCode(t, c.Do(t.Context(), put, status), "")
	})
}

func TestCredentialProbeIsSingle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 401}
		var base http.RoundTripper = a
		c := open(t, Config{Limit: Limit{Rate: 1, Burst: 2}, Base: fake(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(r) })}, canonical.Auth{}, nil)
		c.Do(t.Context(), put, status)
		time.Sleep(time.Minute)
		base = fake(func(*http.Request) (*http.Response, error) {
			time.Sleep(time.Second)
			return reply(200, ""), nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		synctest.Wait()
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
		wg.Wait()
		wantCode(t, c.Do(t.Context(), put, status), "")

		// A probe that was refused locally is given back.
		base = a
		time.Sleep(time.Minute)
		c.Do(t.Context(), put, status)
		c.CredentialChanged()
		c.limiter.limit.AllowN(time.Now(), 1)
		wantCode(t, c.Do(within(t, 50*time.Millisecond), put, status), canonical.RouteThrottled)
		time.Sleep(2 * time.Second)
		a.set(200)
		wantCode(t, c.Do(t.Context(), put, status), "")
	})
}

// A probe that takes longer than the time between probes stays the only one.
func TestSlowCredentialProbeIsSingle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var base http.RoundTripper = &answers{status: 401}
		c := open(t, Config{Credential: Credential{ProbeEvery: time.Second}, Base: fake(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(r) })}, canonical.Auth{}, nil)
		c.Do(t.Context(), put, status)
		time.Sleep(time.Second)
		base = fake(func(*http.Request) (*http.Response, error) {
			time.Sleep(5 * time.Second)
			return reply(200, ""), nil
		})
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		time.Sleep(3 * time.Second)
		wantCode(t, c.Do(t.Context(), put, status), canonical.RouteCredentialGated)
		wg.Wait()
	})
}

func TestForbiddenNeedsThree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 403}
		c := open(t, Config{Base: a}, canonical.Auth{}, nil)
		do := func(code int, want canonical.Code) {
			t.Helper()
			a.set(code)
			wantCode(t, c.Do(t.Context(), put, status), want)
		}
		do(403, canonical.UpstreamForbidden)
		do(403, canonical.UpstreamForbidden)
		do(200, "")
		do(403, canonical.UpstreamForbidden)
		do(403, canonical.UpstreamForbidden)
		if g := c.State().Gate; g != "" {
			t.Fatalf("gate %q after two refusals, want open", g)
		}
		do(403, canonical.UpstreamForbidden)
		do(200, canonical.RouteCredentialGated)
		time.Sleep(time.Minute)
		do(200, "")
		do(200, "")
	})
}

func TestConcurrentHoldsCountOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &watcher{}
		c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) {
			time.Sleep(100 * time.Millisecond)
			return reply(429, ""), nil
		})}, canonical.Auth{}, w)
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamRateLimited) })
		}
		wg.Wait()
		if got := time.Until(c.State().Until); got != time.Second {
			t.Errorf("held for %v after 16 answers at once, want 1s", got)
		}
		time.Sleep(2 * time.Second)
		c.Do(t.Context(), put, status)
		if len(w.gates) != 3 || w.gates[0] != "+not_before" || w.gates[1] != "-not_before" || w.gates[2] != "+not_before" {
			t.Errorf("observed %v, want closed, open, closed", w.gates)
		}
	})
}
