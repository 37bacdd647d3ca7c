// Package transport is the outbound stack of one route: retries, the bulkhead,
// the gate, the rate limit, the circuit breaker, the time limit of an attempt,
// authentication and the connection pool.
//
// The layers, outermost first: go-retryablehttp → bulkhead → gate → token →
// breaker peek → limiter → breaker admission → attempt time-out →
// authentication → http.Transport. The reply is read and classified inside the
// attempt, so that every layer decides by the same canonical code. All retries
// below the durable schedule happen here and only here; net/http's own are
// limited to requests that provably reached nobody (see header).
//
// Live calls come first. Those that Background marks line up behind them, one at
// a time, and take the tokens and slots that are left over.
package transport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"

	retryablehttp "github.com/hashicorp/go-retryablehttp"
)

// Config describes the outbound stack of one route. Everything but Provider and
// BaseURL may be left zero.
type Config struct {
	Route    string // the route's name
	Provider string // the adapter's name; put into errors
	// BaseURL is what every request's path is appended to: http or https, with
	// no user, query or fragment.
	BaseURL *url.URL
	// Timeout limits one attempt, from dialling to the last byte of the reply.
	// Default 10s; there always is one, or a hung probe would hold the breaker
	// half-open for ever.
	Timeout time.Duration
	// Deadline is what a usual call has. An attempt that a call's end cut off
	// tells something about the provider only if it had half of that, or of
	// Timeout if that is less. Default Timeout.
	Deadline time.Duration
	// MaxWait is the longest wait for a free slot, for the rate limit or for a
	// moment that the provider named; what takes longer is refused. Default 1s.
	MaxWait    time.Duration
	Limit      Limit
	Breaker    Breaker
	Retry      Retry
	Credential Credential
	// MaxReply limits a reply's body, after decompression. Default 1 MiB.
	MaxReply int64
	// RootCAs replaces the system's certificate authorities, if set.
	RootCAs *x509.CertPool
	// Base replaces the route's http.Transport. It must not follow redirects.
	Base http.RoundTripper
}

// Limit bounds how fast and how many calls go out.
type Limit struct {
	Rate        float64 // attempts per second; 0 for no limit
	Burst       int     // attempts at once; default the rate, at least 1
	Concurrency int     // parallel attempts; 0 for no limit
}

// Breaker says when the route rests.
type Breaker struct {
	Off          bool
	Window       time.Duration // rolling; default 30s
	MinRequests  int           // no verdict on fewer; default 20
	FailureRatio float64       // default 0.5
	OpenFor      time.Duration // default 15s
}

// Retry bounds the fast attempts inside one call.
type Retry struct {
	Attempts int           // in total, at least 1; default 1
	Base     time.Duration // of the exponential backoff; default 200ms
	Budget   float64       // retries as a share of recent first attempts; default 0.2
}

// Credential says when refused credentials stop the route.
type Credential struct {
	// ProbeEvery is how often one call is let through a closed credential gate,
	// so that a repair at the provider is noticed. Default 60s.
	ProbeEvery time.Duration
	// Forbidden is how many refusals for a missing right, with no success in
	// between, close the gate: a single one may concern a single customer. A
	// refused credential closes it at once. Default 3.
	Forbidden int
}

// Client sends the requests of one route. It is safe for concurrent use.
type Client struct {
	cfg      Config
	obs      Observer
	base     http.RoundTripper
	retry    retryablehttp.Client
	template http.Request
	prefix   string // the base URL's path, without a slash at the end
	budget   budget
	bulkhead bulkhead
	gate     gate
	limiter  limiter
	breaker  breaker
	behind   behind
	auth     authenticator
	tokens   *tokens // nil unless the route uses access tokens
	inFlight atomic.Int64

	// Token renewals outlive the call that began them; ctx ends them.
	ctx    context.Context
	cancel context.CancelFunc
	closed sync.Once
}

// New returns the outbound stack of one route. obs may be nil. Close must be
// called in the end.
func New(cfg Config, auth canonical.Auth, obs Observer) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("transport: route %q: %w", cfg.Route, err)
	}
	cfg.defaults()
	if obs == nil {
		obs = silent{}
	}
	c := &Client{cfg: cfg, obs: obs, base: cfg.Base, prefix: strings.TrimSuffix(cfg.BaseURL.EscapedPath(), "/")}
	if c.base == nil {
		c.base = newBase(&cfg)
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.budget.share = int64(cfg.Retry.Budget * budgetUnit)
	c.budget.left.Store(budgetMax)
	c.bulkhead.init(&c.cfg)
	c.gate.init(&c.cfg, obs)
	c.limiter.init(&c.cfg, obs)
	c.breaker.init(&c.cfg, obs)
	c.behind.init(&c.cfg)
	if err := c.setAuth(auth); err != nil {
		c.cancel()
		return nil, fmt.Errorf("transport: route %q: %w", cfg.Route, err)
	}
	c.template = http.Request{
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: cfg.BaseURL.Host,
	}
	c.retry.HTTPClient = &http.Client{
		// attempts has no CloseIdleConnections, which retryablehttp calls after
		// every call that failed: the pool stays.
		Transport:     attempts{c},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.retry.RetryMax = cfg.Retry.Attempts // one more for a renewed token
	c.retry.CheckRetry = checkRetry
	c.retry.Backoff = backoff
	c.retry.ErrorHandler = retryablehttp.PassthroughErrorHandler
	return c, nil
}

func (cfg *Config) check() error {
	var errs []error
	bad := func(wrong bool, what string) {
		if wrong {
			errs = append(errs, errors.New(what))
		}
	}
	if u := cfg.BaseURL; u == nil {
		bad(true, "base URL is missing")
	} else {
		bad(u.Scheme != "http" && u.Scheme != "https", "base URL must begin with http:// or https://")
		bad(u.Host == "", "base URL has no host")
		bad(u.User != nil || u.RawQuery != "" || u.Fragment != "", "base URL must have no user, query or fragment")
		if p := strings.TrimSuffix(u.EscapedPath(), "/"); p != "" {
			bad(checkPath(p) != nil, "base URL has an unsafe path")
		}
	}
	bad(cfg.Timeout < 0 || cfg.Deadline < 0, "timeout and deadline must not be negative")
	bad(cfg.MaxWait < 0, "longest wait must not be negative")
	bad(cfg.Limit.Rate < 0 || cfg.Limit.Burst < 0 || cfg.Limit.Concurrency < 0, "limits must not be negative")
	bad(cfg.Breaker.FailureRatio < 0 || cfg.Breaker.FailureRatio > 1, "failure ratio must be between 0 and 1")
	bad(cfg.Breaker.Window < 0 || cfg.Breaker.OpenFor < 0 || cfg.Breaker.MinRequests < 0, "breaker settings must not be negative")
	bad(cfg.Retry.Attempts < 0 || cfg.Retry.Base < 0 || cfg.Retry.Budget < 0, "retry settings must not be negative")
	bad(cfg.MaxReply < 0, "reply limit must not be negative")
	return errors.Join(errs...)
}

func (cfg *Config) defaults() {
	cfg.Timeout = orElse(cfg.Timeout, 10*time.Second)
	cfg.Deadline = orElse(cfg.Deadline, cfg.Timeout)
	cfg.MaxWait = orElse(cfg.MaxWait, time.Second)
	cfg.MaxReply = orElse(cfg.MaxReply, 1<<20)
	cfg.Limit.Burst = orElse(cfg.Limit.Burst, max(1, int(cfg.Limit.Rate)))
	cfg.Breaker.Window = orElse(cfg.Breaker.Window, 30*time.Second)
	cfg.Breaker.MinRequests = orElse(cfg.Breaker.MinRequests, 20)
	cfg.Breaker.FailureRatio = orElse(cfg.Breaker.FailureRatio, 0.5)
	cfg.Breaker.OpenFor = orElse(cfg.Breaker.OpenFor, 15*time.Second)
	cfg.Retry.Attempts = orElse(cfg.Retry.Attempts, 1)
	cfg.Retry.Base = orElse(cfg.Retry.Base, 200*time.Millisecond)
	cfg.Retry.Budget = orElse(cfg.Retry.Budget, 0.2)
	cfg.Credential.ProbeEvery = orElse(cfg.Credential.ProbeEvery, time.Minute)
	cfg.Credential.Forbidden = orElse(cfg.Credential.Forbidden, 3)
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}

// Interpret reads one reply; it is an adapter's Interpret, bound to its upsert.
type Interpret func(*canonical.Reply) (canonical.Outcome, error)

// Result is what became of one call.
type Result struct {
	Outcome canonical.Outcome // beside an error: what is known nevertheless
	Err     *canonical.Error  // nil on success
	// Attempts is how often the request was sent. It is 0 if it never was; what
	// was refused or waited for locally does not count.
	Attempts int
	// Unsure says that an attempt which could change something ended without a
	// clear answer, so that it may still take effect later, whatever came after.
	Unsure bool
}

// Do sends req and has each reply read by interpret, exactly once. It retries
// what may be retried inside ctx's deadline and always returns by it; interpret
// runs on the caller's goroutine. The provider's last answer is kept, even if a
// later attempt was refused locally.
func (c *Client) Do(ctx context.Context, req *canonical.Request, interpret Interpret) Result {
	u, err := c.resolve(req.Path)
	if err == nil {
		err = checkHeader(req.Header)
	}
	if err != nil {
		return Result{Err: &canonical.Error{
			Code: canonical.GatewayInternal, Provider: c.cfg.Provider, Op: req.Op,
			Message: "the request to the provider was not safe to send", Err: err,
		}}
	}
	cl := &call{Context: ctx, client: c, req: req, interpret: interpret, url: u, safe: safeMethod(req.Method)}
	cl.repeatable = req.Repeatable || cl.safe
	if cl.background = isBackground(ctx); cl.background {
		c.behind.begin(cl, c.cfg.Timeout)
		defer c.behind.end()
	}

	r := c.template.WithContext(cl)
	r.Method = req.Method
	r.URL = u
	// The reply, the error and the outcome are in cl: retryablehttp would lose
	// them when the deadline ends during a backoff.
	cl.request.Request = r
	_, err = c.retry.Do(&cl.request)
	if cl.probe {
		c.gate.settle(cl)
	}
	if cl.err == nil && !cl.finished {
		cl.err = c.fault(req.Op, "the request could not be prepared", err)
	}
	return Result{Outcome: cl.outcome, Err: cl.err, Attempts: cl.sent, Unsure: cl.unsure}
}

// Pause refuses every further call with route.paused until Resume. Calls that
// are under way finish.
func (c *Client) Pause(reason string) { c.gate.pause(reason) }

// Resume ends a pause.
func (c *Client) Resume() { c.gate.resume() }

// NotBefore refuses calls until t, unless a later time is already set.
func (c *Client) NotBefore(t time.Time) { c.gate.hold(t) }

// CredentialChanged forgets the access token and lets one call probe a closed
// credential gate at once.
func (c *Client) CredentialChanged() {
	if c.tokens != nil {
		c.tokens.forget()
	}
	c.gate.retryCredential()
}

// Close ends background work and closes idle connections. Calls that are under
// way finish.
func (c *Client) Close() {
	c.closed.Do(func() {
		c.cancel()
		if c.tokens != nil {
			c.tokens.close()
		}
		if t, ok := c.base.(interface{ CloseIdleConnections() }); ok {
			t.CloseIdleConnections()
		}
	})
}

// call is the state of one Do. It is also the context of its requests, which is
// how the layers find it without an allocation for each.
type call struct {
	context.Context
	client     *Client
	req        *canonical.Request
	interpret  Interpret
	url        *url.URL
	safe       bool // the method changes nothing
	repeatable bool

	outcome  canonical.Outcome
	err      *canonical.Error
	finished bool // there was an attempt
	sent     int  // requests sent
	unsure   bool // one of them may take effect later
	tries    int  // attempts that count against Retry.Attempts
	stop     bool // the last attempt was refused locally, which is final here
	inToken  bool // err is the token call's: the request itself was not sent
	refused  *token
	renewed  bool // the one attempt with a renewed token was granted
	probe    bool // this call probes the credential gate
	accepted bool // the provider accepted the credential
	delay    time.Duration

	background bool
	coming     bool      // it is counted among those waiting
	turn       bool      // it has the turn
	latest     time.Time // for a background attempt to begin; zero for no bound

	request retryablehttp.Request
	resp    http.Response
}

type callKey struct{}

// Value returns the call itself for callKey.
func (cl *call) Value(key any) any {
	if key == (callKey{}) {
		return cl
	}
	return cl.Context.Value(key)
}

func callFrom(ctx context.Context) *call {
	cl, _ := ctx.Value(callKey{}).(*call)
	return cl
}

// minSend is the least time worth beginning an attempt with: a write that is
// cut off leaves an unknown outcome behind.
const minSend = 10 * time.Millisecond

// fits reports whether an attempt may begin after d.
func fits(ctx context.Context, d time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return !ok || time.Until(deadline) >= d+minSend
}

// sleep waits for d and returns ctx's error if that ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func safeMethod(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == ""
}

// refusal is an error of the gateway's own: nothing was sent.
func refusal(code canonical.Code, message string) *canonical.Error {
	return &canonical.Error{Code: code, Message: message}
}

func outOfTime(err error) *canonical.Error {
	return &canonical.Error{Code: canonical.RouteDeadline, Message: "the time for this call was over before it could be sent", Err: err}
}

func (c *Client) fault(op, message string, err error) *canonical.Error {
	return &canonical.Error{Code: canonical.GatewayInternal, Provider: c.cfg.Provider, Op: op, Message: message, Err: err}
}

// panicError is a panic in an adapter. Its text names the kind of panic only:
// the value may hold customer data.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	if err, ok := e.value.(runtime.Error); ok {
		return "panic: " + err.Error()
	}
	return fmt.Sprintf("panic: %T", e.value)
}

// Stack returns the goroutine's stack, for the operator's log.
func (e *panicError) Stack() []byte { return e.stack }
