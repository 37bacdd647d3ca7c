package transport

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/trace"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a provider without a network, for tests in virtual time.
type fake func(*http.Request) (*http.Response, error)

func (f fake) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

// hang takes the request and never answers.
func hang(r *http.Request) (*http.Response, error) {
	if tr := httptrace.ContextClientTrace(r.Context()); tr != nil {
		tr.GotConn(httptrace.GotConnInfo{})
		tr.WroteHeaders()
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// status interprets by status alone.
func status(got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status >= 200 && got.Status < 300 {
		return canonical.Outcome{Action: canonical.ActionCreated, RemoteID: string(got.Body)}, nil
	}
	return canonical.Outcome{}, &canonical.Error{Code: canonical.CodeForStatus(got.Status)}
}

var (
	post = &canonical.Request{Op: "upsert", Method: "POST", Path: "/customers", Body: []byte(`{"id":1}`)}
	put  = &canonical.Request{Op: "upsert", Method: "PUT", Path: "/customers/1", Body: []byte(`{"id":1}`), Repeatable: true}
	get  = &canonical.Request{Op: "search", Method: "GET", Path: "/customers?q=1"}
)

func open(t testing.TB, cfg Config, auth canonical.Auth, obs Observer) *Client {
	t.Helper()
	cfg.Route, cfg.Provider = "acme-eu", "acme"
	if cfg.BaseURL == nil {
		cfg.BaseURL = &url.URL{Scheme: "http", Host: "acme.test", Path: "/api"}
	}
	c, err := New(cfg, auth, obs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func serve(t testing.TB, h http.HandlerFunc) *url.URL {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	u, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func wantCode(t testing.TB, got Result, want canonical.Code) {
	t.Helper()
	code := canonical.Code("")
	if got.Err != nil {
		code = got.Err.Code
	}
	if code != want {
		t.Fatalf("code = %q (%v), want %q", code, got.Err, want)
	}
}

// watcher counts what it observes.
type watcher struct {
	mu       sync.Mutex
	attempts []string
	retries  []canonical.Code
	breaker  []BreakerState
	gates    []string
	unknown  []string
	waits    int
}

func (w *watcher) add(f func()) { w.mu.Lock(); defer w.mu.Unlock(); f() }
func (w *watcher) Attempt(op string, code canonical.Code, _ time.Duration) {
	w.add(func() { w.attempts = append(w.attempts, op+" "+string(code)) })
}
func (w *watcher) Retry(_ string, code canonical.Code) {
	w.add(func() { w.retries = append(w.retries, code) })
}
func (w *watcher) LimiterWait(time.Duration) { w.add(func() { w.waits++ }) }
func (w *watcher) Breaker(s BreakerState)    { w.add(func() { w.breaker = append(w.breaker, s) }) }
func (w *watcher) Gate(g Gate, closed bool) {
	w.add(func() {
		if closed {
			w.gates = append(w.gates, "+"+string(g))
		} else {
			w.gates = append(w.gates, "-"+string(g))
		}
	})
}
func (w *watcher) Unclassified(op string, status int, code string) {
	w.add(func() { w.unknown = append(w.unknown, op+" "+http.StatusText(status)+" "+code) })
}

func TestDoSends(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, "42")
	})
	u.Path = "/base/"
	w := &watcher{}
	c := open(t, Config{BaseURL: u}, canonical.Auth{Header: map[string]canonical.Secret{"x-api-key": "s3cret"}}, w)
	parent := trace.New()
	parent.State = "a=1"
	req := &canonical.Request{
		Op: "upsert", Method: "PUT", Path: "/customers/a%2Fb?x=%5B1%5D", Body: []byte("hello"),
		Header: http.Header{"Content-Type": {"application/json"}, "X-Api-Key": {"adapter's"}},
	}
	res := c.Do(trace.NewContext(t.Context(), parent), req, status)
	wantCode(t, res, "")
	if res.Attempts != 1 || res.Outcome.RemoteID != "42" {
		t.Errorf("Do = %+v, want one attempt and id 42", res)
	}
	if got.Method != "PUT" || got.RequestURI != "/base/customers/a%2Fb?x=%5B1%5D" || string(body) != "hello" {
		t.Errorf("sent %s %s %q", got.Method, got.RequestURI, body)
	}
	for key, want := range map[string]string{
		"X-Api-Key": "s3cret", "User-Agent": "customer-gateway", "Content-Type": "application/json", "Tracestate": "a=1",
	} {
		if v := strings.Join(got.Header[key], "|"); v != want {
			t.Errorf("%s = %q, want %q", key, v, want)
		}
	}
	sent := trace.Parse(got.Header.Get("Traceparent"), "")
	if sent.TraceID != parent.TraceID || sent.SpanID == parent.SpanID {
		t.Errorf("traceparent = %s, want a child of %s", sent.Parent(), parent.Parent())
	}
	if len(w.attempts) != 1 || w.attempts[0] != "upsert " {
		t.Errorf("observed %q, want one success", w.attempts)
	}
}

func TestRetryByCode(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	tests := []struct {
		name  string
		req   *canonical.Request
		first int // status of all but the last reply; 0 for no connection
		want  int // attempts
		code  canonical.Code
		final bool
	}{
		{"PUT 500", put, 500, 3, canonical.UpstreamUnavailable, false},
		{"POST 500 is not repeated", post, 500, 1, canonical.UpstreamUnavailable, true},
		{"GET 500", get, 500, 3, canonical.UpstreamUnavailable, false},
		{"POST not delivered", post, 0, 3, canonical.UpstreamUnreachable, false},
		{"PUT unclassified 5xx", put, 599, 3, canonical.UpstreamUnclassified, false},
		{"POST unclassified 5xx", post, 599, 1, canonical.UpstreamUnclassified, true},
		{"PUT unclassified 4xx", put, 418, 1, canonical.UpstreamUnclassified, false},
		{"PUT 422", put, 422, 1, canonical.UpstreamInvalid, false},
		{"PUT 403", put, 403, 1, canonical.UpstreamForbidden, false},
		{"PUT 401 without a token to renew", put, 401, 1, canonical.UpstreamUnauthenticated, false},
		{"POST busy", post, 423, 3, canonical.UpstreamBusy, false},
		{"PUT 302", put, 302, 3, canonical.UpstreamInvalidResponse, false},
		{"POST 429 without a time", post, 429, 1, canonical.UpstreamRateLimited, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sends := 0
				c := open(t, Config{Retry: Retry{Attempts: 3}, Base: fake(func(r *http.Request) (*http.Response, error) {
					sends++
					if r.Body != nil {
						if b, _ := io.ReadAll(r.Body); string(b) != `{"id":1}` {
							t.Errorf("attempt %d has body %q", sends, b)
						}
					}
					if tt.first == 0 {
						return nil, refused
					}
					return reply(tt.first, "no"), nil
				})}, canonical.Auth{}, nil)
				res := c.Do(t.Context(), tt.req, status)
				wantCode(t, res, tt.code)
				if sends != tt.want || res.Attempts != tt.want {
					t.Errorf("sent %d, Attempts %d, want %d", sends, res.Attempts, tt.want)
				}
				if res.Err.Final != tt.final || res.Err.Provider != "acme" || res.Err.Op != tt.req.Op || res.Err.Status != tt.first {
					t.Errorf("error = %+v, want final %v and provider, op and status", res.Err, tt.final)
				}
			})
		})
	}
}

func TestRetrySucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sends := 0
		w := &watcher{}
		c := open(t, Config{Retry: Retry{Attempts: 3}, Base: fake(func(*http.Request) (*http.Response, error) {
			if sends++; sends < 3 {
				return reply(503, "", "Retry-After", "1"), nil
			}
			return reply(200, "7"), nil
		})}, canonical.Auth{}, w)
		begin := time.Now()
		res := c.Do(t.Context(), put, status)
		wantCode(t, res, "")
		if res.Attempts != 3 || res.Outcome.RemoteID != "7" || len(w.retries) != 2 {
			t.Errorf("Do = %+v with %d retries, want 3 attempts", res, len(w.retries))
		}
		if took := time.Since(begin); took < 2*time.Second {
			t.Errorf("took %v; Retry-After was shortened", took)
		}
	})
}

func TestDeadlineEndsRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Retry: Retry{Attempts: 50, Base: 300 * time.Millisecond}, Base: fake(func(*http.Request) (*http.Response, error) {
			return reply(500, "", "X-Request-Id", "r1"), nil
		})}, canonical.Auth{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		begin := time.Now()
		res := c.Do(ctx, put, status)
		wantCode(t, res, canonical.UpstreamUnavailable)
		if res.Err.RequestID != "r1" || res.Err.Status != 500 || time.Since(begin) > 900*time.Millisecond {
			t.Errorf("after %v: %+v, want the provider's answer within the deadline", time.Since(begin), res.Err)
		}
	})
}

func TestCancelDuringBackoffKeepsAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Retry: Retry{Attempts: 3}, Base: fake(func(*http.Request) (*http.Response, error) {
			return reply(503, "", "Retry-After", "1"), nil
		})}, canonical.Auth{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		res := c.Do(ctx, put, status)
		wantCode(t, res, canonical.UpstreamUnavailable)
		if res.Attempts != 1 || res.Err.RetryAfter != time.Second {
			t.Errorf("Do = %d attempts, %+v", res.Attempts, res.Err)
		}
	})
}

// Full jitter: from nothing up to a ceiling that doubles, so that callers who
// failed together do not come back together.
func TestJitter(t *testing.T) {
	t.Parallel()
	for n, ceiling := range map[int]time.Duration{0: 100 * time.Millisecond, 1: 200 * time.Millisecond, 3: 800 * time.Millisecond, 10: maxBackoff, 1000: maxBackoff} {
		low, high := ceiling, time.Duration(0)
		for range 1000 {
			d := jitter(100*time.Millisecond, n)
			low, high = min(low, d), max(high, d)
		}
		if low < 0 || low > ceiling/10 || high > ceiling || high < ceiling*9/10 {
			t.Errorf("backoff %d is from %v to %v, want from 0 to %v", n, low, high, ceiling)
		}
	}
}

func TestRetryBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sends := 0
		c := open(t, Config{Breaker: Breaker{Off: true}, Retry: Retry{Attempts: 3, Budget: 0.1}, Base: fake(func(*http.Request) (*http.Response, error) {
			sends++
			return reply(500, ""), nil
		})}, canonical.Auth{}, nil)
		const calls = 200
		for range calls {
			c.Do(t.Context(), put, status)
		}
		// Ten from the beginning, then a tenth of the calls.
		if retries := sends - calls; retries < 25 || retries > 31 {
			t.Errorf("%d retries for %d calls, want about 30", retries, calls)
		}
	})
}

func TestRateLimited(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name       string
		retryAfter string
		deadline   time.Duration
		want       int // sends
		wantHeld   time.Duration
	}{
		{"short enough is waited for", "1", 5 * time.Second, 2, 0},
		{"does not fit the deadline", "1", 900 * time.Millisecond, 1, time.Second},
		{"long is parked", "30", time.Minute, 1, 30 * time.Second},
		{"absurd is capped", "99999999999999999999", time.Minute, 1, maxHold},
		{"negative reads as none", "-5", time.Minute, 1, firstHold},
		{"garbage reads as none", "soon", time.Minute, 1, firstHold},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sends := 0
				c := open(t, Config{Retry: Retry{Attempts: 3}, Base: fake(func(*http.Request) (*http.Response, error) {
					if sends++; sends == 1 {
						return reply(429, "", "Retry-After", tt.retryAfter), nil
					}
					return reply(200, ""), nil
				})}, canonical.Auth{}, nil)
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				begin := time.Now()
				res := c.Do(ctx, post, status)
				if sends != tt.want {
					t.Fatalf("sent %d, want %d", sends, tt.want)
				}
				if tt.want == 2 {
					wantCode(t, res, "")
					if time.Since(begin) < time.Second {
						t.Error("called earlier than the provider allowed")
					}
					return
				}
				wantCode(t, res, canonical.UpstreamRateLimited)
				if time.Since(begin) != 0 {
					t.Errorf("slept %v for nothing", time.Since(begin))
				}
				s := c.State()
				if held := s.Until.Sub(begin); s.Gate != GateNotBefore || held != tt.wantHeld {
					t.Errorf("gate %q holds for %v, want %v", s.Gate, held, tt.wantHeld)
				}
				// Nobody else calls earlier either.
				short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				other := c.Do(short, put, status)
				wantCode(t, other, canonical.RouteThrottled)
				if !other.Err.RetryAt.Equal(s.Until) || sends != 1 {
					t.Errorf("RetryAt = %v, want %v; %d sends", other.Err.RetryAt, s.Until, sends)
				}
				time.Sleep(time.Until(s.Until))
				wantCode(t, c.Do(t.Context(), put, status), "")
			})
		})
	}
}

func TestAdapterTimeWins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		at := time.Now().Add(40 * time.Second)
		shared := &canonical.Error{Code: canonical.UpstreamRateLimited, RetryAt: at, RequestID: "own"}
		c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) {
			return reply(429, "", "Retry-After", "1", "X-Request-Id", "theirs"), nil
		})}, canonical.Auth{}, nil)
		res := c.Do(t.Context(), put, func(*canonical.Reply) (canonical.Outcome, error) { return canonical.Outcome{}, shared })
		if !res.Err.RetryAt.Equal(at) || res.Err.RetryAfter != 0 || res.Err.RequestID != "own" {
			t.Errorf("error = %+v, want the adapter's time and id", res.Err)
		}
		if shared.Provider != "" {
			t.Error("the adapter's own error was changed")
		}
		if s := c.State(); !s.Until.Equal(at) {
			t.Errorf("gate until %v, want %v", s.Until, at)
		}
	})
}

func TestNoReply(t *testing.T) {
	t.Parallel()
	hostile := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := &url.URL{Scheme: "http", Host: free.Addr().String()}
	free.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) {})
	tlsToPlain := &url.URL{Scheme: "https", Host: plain.Host}
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	untrusted, _ := url.Parse(secure.URL)

	tests := []struct {
		name string
		u    *url.URL
		req  *canonical.Request
		want canonical.Code
	}{
		{"refused", dead, post, canonical.UpstreamUnreachable},
		{"closed after POST", serve(t, hostile), post, canonical.UpstreamOutcomeUnknown},
		{"closed after GET", serve(t, hostile), get, canonical.UpstreamUnavailable},
		{"unknown authority", untrusted, post, canonical.UpstreamTLSInvalid},
		{"no TLS there", tlsToPlain, post, canonical.UpstreamTLSInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := open(t, Config{BaseURL: tt.u}, canonical.Auth{}, nil)
			res := c.Do(t.Context(), tt.req, status)
			wantCode(t, res, tt.want)
			for _, s := range []string{res.Err.Message, res.Err.Error(), res.Err.Err.Error()} {
				if strings.Contains(s, tt.u.Host) || strings.Contains(s, "/customers") {
					t.Errorf("%q tells the address", s)
				}
			}
			if final := tt.want == canonical.UpstreamOutcomeUnknown; res.Err.Final != final {
				t.Errorf("Final = %v, want %v", res.Err.Final, final)
			}
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	unsent := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	// A connection has the request, but has not yet said that it is writing.
	taken := func(r *http.Request) (*http.Response, error) {
		httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	slowBody := func(r *http.Request) (*http.Response, error) {
		pr, pw := io.Pipe()
		context.AfterFunc(r.Context(), func() { pw.CloseWithError(r.Context().Err()) })
		hooks := httptrace.ContextClientTrace(r.Context())
		hooks.WroteHeaders()
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: pr}, nil
	}
	tests := []struct {
		name     string
		base     fake
		req      *canonical.Request
		deadline time.Duration // 0 for none; the attempt has 4s
		cancel   time.Duration
		code     canonical.Code
		counted  bool
	}{
		{"attempt, POST", hang, post, 0, 0, canonical.UpstreamOutcomeUnknown, true},
		{"attempt, GET", hang, get, 0, 0, canonical.UpstreamUnavailable, true},
		{"attempt, nothing sent", unsent, post, 0, 0, canonical.UpstreamUnreachable, true},
		{"attempt, maybe sent", taken, post, 0, 0, canonical.UpstreamOutcomeUnknown, true},
		{"attempt, in the body", slowBody, post, 0, 0, canonical.UpstreamOutcomeUnknown, true},
		{"deadline after half the time", hang, post, 3 * time.Second, 0, canonical.UpstreamOutcomeUnknown, true},
		{"deadline before half the time", hang, post, time.Second, 0, canonical.UpstreamOutcomeUnknown, false},
		{"deadline early, nothing sent", unsent, post, time.Second, 0, canonical.RouteDeadline, false},
		{"deadline late, nothing sent", unsent, post, 3 * time.Second, 0, canonical.UpstreamUnreachable, true},
		{"caller leaves, POST", hang, post, 0, 3 * time.Second, canonical.UpstreamOutcomeUnknown, false},
		{"caller leaves, nothing sent", unsent, post, 0, 3 * time.Second, canonical.RouteDeadline, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := open(t, Config{Timeout: 4 * time.Second, Breaker: Breaker{MinRequests: 1}, Base: tt.base}, canonical.Auth{}, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.deadline > 0 {
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				res := c.Do(ctx, tt.req, status)
				wantCode(t, res, tt.code)
				if sent := res.Attempts == 1; sent != (tt.code != canonical.RouteDeadline) {
					t.Errorf("Attempts = %d with %s", res.Attempts, tt.code)
				}
				if opened := c.State().Breaker == BreakerOpen; opened != tt.counted {
					t.Errorf("counted as failure: %v, want %v", opened, tt.counted)
				}
			})
		})
	}
}

// Where all calls are shorter than an attempt may be, a provider that hangs opens
// the breaker nevertheless.
func TestShortDeadlinesCount(t *testing.T) {
	t.Parallel()
	for usual, opens := range map[time.Duration]bool{0: false, time.Second: true, 4 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			c := open(t, Config{Timeout: 8 * time.Second, Deadline: usual, Breaker: Breaker{MinRequests: 1}, Base: fake(hang)}, canonical.Auth{}, nil)
			wantCode(t, c.Do(within(t, 950*time.Millisecond), post, status), canonical.UpstreamOutcomeUnknown)
			if got := c.State().Breaker == BreakerOpen; got != opens {
				t.Errorf("usual deadline %v: open = %v, want %v", usual, got, opens)
			}
		})
	}
}

func TestDeadlineBeforeTurn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) {
		t.Error("sent for a caller who has left")
		return nil, io.EOF
	})}, canonical.Auth{}, nil)
	res := c.Do(ctx, post, status)
	wantCode(t, res, canonical.RouteDeadline)
	if res.Attempts != 0 {
		t.Errorf("Attempts = %d, want 0", res.Attempts)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		u := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.String()+"/there")
			w.WriteHeader(code)
		})
		c := open(t, Config{BaseURL: u}, canonical.Auth{Header: map[string]canonical.Secret{"X-Api-Key": "s"}}, nil)
		read := 0
		// Even an adapter that takes everything for success is not believed.
		res := c.Do(t.Context(), put, func(*canonical.Reply) (canonical.Outcome, error) {
			read++
			return canonical.Outcome{Action: canonical.ActionCreated}, nil
		})
		wantCode(t, res, canonical.UpstreamInvalidResponse)
		if elsewhere.Load() != 0 || read != 1 || res.Outcome.Action != "" {
			t.Errorf("%d: followed %d times, read %d times, outcome %+v", code, elsewhere.Load(), read, res.Outcome)
		}
		// One that has no rule for it gets the words.
		if res := c.Do(t.Context(), put, status); res.Err.Message != redirected || res.Err.Status != code {
			t.Errorf("%d: error %+v, want a message about a redirect", code, res.Err)
		}
	}
}

func TestReplyLimits(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	zw := gzip.NewWriter(&bomb)
	zw.Write(make([]byte, 8<<20))
	zw.Close()
	tests := []struct {
		name string
		h    http.HandlerFunc
		want canonical.Code
	}{
		{"at the limit", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1000)) }, ""},
		{"too large", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 1001)) }, canonical.UpstreamInvalidResponse},
		{"too large, chunked", func(w http.ResponseWriter, _ *http.Request) {
			for range 20 {
				w.Write(make([]byte, 100))
				w.(http.Flusher).Flush()
			}
		}, canonical.UpstreamInvalidResponse},
		{"gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		}, canonical.UpstreamInvalidResponse},
		{"cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.Write(make([]byte, 100))
		}, canonical.UpstreamInvalidResponse},
		{"error page too large", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(503)
			w.Write(make([]byte, 5000))
		}, canonical.UpstreamUnavailable},
		{"error page cut off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			w.WriteHeader(401)
			w.Write(make([]byte, 100))
		}, canonical.UpstreamUnauthenticated},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, tt.h)
			c := open(t, Config{BaseURL: u, MaxReply: 1000}, canonical.Auth{}, nil)
			largest := 0
			res := c.Do(t.Context(), put, func(got *canonical.Reply) (canonical.Outcome, error) {
				largest = max(largest, len(got.Body))
				return status(got)
			})
			wantCode(t, res, tt.want)
			if largest > 1000 {
				t.Errorf("%d bytes were handed on", largest)
			}
		})
	}
}

func TestPanicInAdapter(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) { return reply(200, "jane@example.com"), nil })}, canonical.Auth{}, nil)
	res := c.Do(t.Context(), put, func(got *canonical.Reply) (canonical.Outcome, error) { panic(string(got.Body)) })
	wantCode(t, res, canonical.GatewayInternal)
	var p interface{ Stack() []byte }
	if !errors.As(res.Err, &p) || len(p.Stack()) == 0 {
		t.Errorf("cause %v has no stack", res.Err.Err)
	}
	if strings.Contains(res.Err.Err.Error(), "jane") {
		t.Errorf("cause %q tells customer data", res.Err.Err)
	}
	if n := c.State().InFlight; n != 0 {
		t.Errorf("InFlight = %d, want 0", n)
	}
}

// A body without an end is read no further than the limit.
func TestEndlessBody(t *testing.T) {
	t.Parallel()
	body := &endless{}
	c := open(t, Config{MaxReply: 1000, Base: fake(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Header: http.Header{}, ContentLength: -1, Body: body}, nil
	})}, canonical.Auth{}, nil)
	wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamInvalidResponse)
	if body.read > 2000 || !body.closed {
		t.Errorf("%d bytes were read, closed %v; want 1000 or little more, true", body.read, body.closed)
	}
}

// endless is a body without an end, up to what a test can wait for.
type endless struct {
	read   int
	closed bool
}

func (b *endless) Read(p []byte) (int, error) {
	if b.read > 1<<24 {
		return 0, io.EOF
	}
	b.read += len(p)
	return len(p), nil
}

func (b *endless) Close() error { b.closed = true; return nil }

// Parallel calls find their connections again.
func TestPoolHoldsParallelCalls(t *testing.T) {
	t.Parallel()
	const callers = 8
	var conns atomic.Int32
	arrived, release := make(chan struct{}), make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	c := open(t, Config{BaseURL: u, Limit: Limit{Concurrency: callers}}, canonical.Auth{}, nil)
	for range 3 {
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		}
		for range callers {
			<-arrived
		}
		for range callers {
			release <- struct{}{}
		}
		wg.Wait()
	}
	if n := conns.Load(); n != callers {
		t.Errorf("%d connections for 3 × %d parallel calls, want %d", n, callers, callers)
	}
}

func TestPoolSurvivesFailures(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		io.WriteString(w, strings.Repeat("x", 10_000))
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	c := open(t, Config{BaseURL: u, Breaker: Breaker{Off: true}, Retry: Retry{Attempts: 2, Base: 1}}, canonical.Auth{}, nil)
	for range 10 {
		wantCode(t, c.Do(t.Context(), put, status), canonical.UpstreamUnavailable)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections for calls one after another, want 1", n)
	}
}

// TestNoSilentReplay has the provider close a reused connection after it took a
// POST with an Idempotency-Key: net/http would send it again by itself.
func TestNoSilentReplay(t *testing.T) {
	t.Parallel()
	var sends atomic.Int32
	u := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.Header.Get("Idempotency-Key") != "k1" {
			t.Errorf("Idempotency-Key = %q", r.Header.Get("Idempotency-Key"))
		}
		if sends.Add(1) == 2 {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				conn.Close()
			}
		}
	})
	c := open(t, Config{BaseURL: u}, canonical.Auth{}, nil)
	req := &canonical.Request{Op: "upsert", Method: "POST", Path: "/c", Body: []byte("{}"), Header: http.Header{"Idempotency-Key": {"k1"}}}
	wantCode(t, c.Do(t.Context(), req, status), "")
	res := c.Do(t.Context(), req, status)
	wantCode(t, res, canonical.UpstreamOutcomeUnknown)
	if n := sends.Load(); n != 2 || res.Attempts != 1 {
		t.Errorf("provider saw %d requests, Attempts = %d, want 2 and 1", n, res.Attempts)
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	ok := &url.URL{Scheme: "https", Host: "acme.test"}
	tests := []struct {
		name string
		cfg  Config
		auth canonical.Auth
		want string
	}{
		{"no URL", Config{}, canonical.Auth{}, "base URL is missing"},
		{"scheme", Config{BaseURL: &url.URL{Scheme: "ftp", Host: "x"}}, canonical.Auth{}, "http"},
		{"user", Config{BaseURL: &url.URL{Scheme: "https", Host: "x", User: url.UserPassword("u", "p")}}, canonical.Auth{}, "user"},
		{"all at once", Config{BaseURL: ok, Timeout: -1, MaxReply: -1}, canonical.Auth{}, "reply limit"},
		{"header injection", Config{BaseURL: ok}, canonical.Auth{Header: map[string]canonical.Secret{"X-Key": "s3cret\r\nX: y"}}, "X-Key"},
		{"empty credential", Config{BaseURL: ok}, canonical.Auth{Header: map[string]canonical.Secret{"X-Key": ""}}, "X-Key"},
		{"OAuth without secret", Config{BaseURL: ok}, canonical.Auth{OAuth1: &canonical.OAuth1{ConsumerKey: "s3cret"}}, "OAuth"},
		{"token call", Config{BaseURL: ok}, canonical.Auth{Token: &canonical.TokenAuth{}}, "token call"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(tt.cfg, tt.auth, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("New = %v, want an error with %q and no secret", err, tt.want)
			}
		})
	}
}

// What a provider sends as the id of a request goes into logs: it must be one.
func TestRequestID(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ header, value, want string }{
		{"X-Request-Id", "req_1-2.3", "req_1-2.3"},
		{"Cf-Ray", "8f0c-FRA", "8f0c-FRA"},
		{"X-Request-Id", "kim@example.com", ""},
		{"X-Request-Id", "Kim Lee", ""},
		{"X-Correlation-Id", strings.Repeat("a", 129), ""},
	} {
		c := open(t, Config{Base: &answers{status: 422, header: []string{tt.header, tt.value}}}, canonical.Auth{}, nil)
		if got := c.Do(t.Context(), put, status).Err.RequestID; got != tt.want {
			t.Errorf("%s: %q reads as %q, want %q", tt.header, tt.value, got, tt.want)
		}
	}
}

func TestUnclassifiedIsCounted(t *testing.T) {
	t.Parallel()
	w := &watcher{}
	c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) { return reply(418, ""), nil })}, canonical.Auth{}, w)
	c.Do(t.Context(), put, func(*canonical.Reply) (canonical.Outcome, error) {
		return canonical.Outcome{}, &canonical.Error{Code: canonical.UpstreamUnclassified, UpstreamCode: "tea"}
	})
	if len(w.unknown) != 1 || w.unknown[0] != "upsert I'm a teapot tea" {
		t.Errorf("observed %q", w.unknown)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	var proto atomic.Value
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proto.Store(r.Proto)
		io.Copy(w, r.Body)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	u, _ := url.Parse(srv.URL)
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	c := open(t, Config{BaseURL: u, RootCAs: roots}, canonical.Auth{}, nil)
	res := c.Do(t.Context(), post, status)
	wantCode(t, res, "")
	if proto.Load() != "HTTP/2.0" || res.Outcome.RemoteID != string(post.Body) {
		t.Errorf("%v, echo %q", proto.Load(), res.Outcome.RemoteID)
	}
	// The certificate is for another name: never bypassed.
	u.Host = "localhost:" + u.Port()
	c = open(t, Config{BaseURL: u, RootCAs: roots}, canonical.Auth{}, nil)
	wantCode(t, c.Do(t.Context(), post, status), canonical.UpstreamTLSInvalid)
}

type countedConn struct {
	net.Conn
	writes *atomic.Int32
}

func (c countedConn) Write(b []byte) (int, error) { c.writes.Add(1); return c.Conn.Write(b) }

func TestRequestIsOneWrite(t *testing.T) {
	t.Parallel()
	var writes atomic.Int32
	base := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return countedConn{conn, &writes}, err
	}}
	c := open(t, Config{BaseURL: serve(t, func(http.ResponseWriter, *http.Request) {}), Base: base}, canonical.Auth{}, nil)
	wantCode(t, c.Do(t.Context(), post, status), "")
	if n := writes.Load(); n != 1 {
		t.Errorf("header and body took %d writes, want 1", n)
	}
}

func TestEveryAttemptIsAChild(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	c := open(t, Config{Retry: Retry{Attempts: 3, Base: 1}, Base: fake(func(r *http.Request) (*http.Response, error) {
		seen[r.Header.Get("Traceparent")] = true
		return reply(500, ""), nil
	})}, canonical.Auth{}, nil)
	c.Do(trace.NewContext(t.Context(), trace.New()), put, status)
	if len(seen) != 3 || seen[""] {
		t.Errorf("traceparents %v, want three", seen)
	}
}

func TestForeignErrorIsInternal(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Base: fake(func(*http.Request) (*http.Response, error) { return reply(200, ""), nil })}, canonical.Auth{}, nil)
	res := c.Do(t.Context(), put, func(*canonical.Reply) (canonical.Outcome, error) {
		return canonical.Outcome{RemoteID: "9"}, io.ErrNoProgress
	})
	wantCode(t, res, canonical.GatewayInternal)
	if !errors.Is(res.Err, io.ErrNoProgress) || res.Outcome.RemoteID != "9" {
		t.Errorf("Do = %+v, want the cause and what is known", res)
	}
}
