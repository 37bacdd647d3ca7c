package transport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
)

// attempts is the RoundTripper under retryablehttp: everything that happens once
// for each attempt. It always answers with a bare response, which leads Backoff
// to the call; reply, error and outcome are there.
type attempts struct{ client *Client }

// RoundTrip makes one attempt.
func (a attempts) RoundTrip(r *http.Request) (*http.Response, error) {
	cl := callFrom(r.Context())
	attempt := a.client.attempt
	if cl.background {
		attempt = a.client.attemptBehind
	}
	outcome, e := attempt(cl)
	cl.finished = true
	switch {
	case e == nil:
		cl.outcome, cl.err = outcome, nil
	case !local(e.Code):
		cl.outcome, cl.err = outcome, e
	default:
		cl.stop = true
		e.Provider, e.Op = a.client.cfg.Provider, orElse(e.Op, cl.req.Op)
		// What the provider said before stays the answer, unless the refusal is
		// of a credential that has been renewed since.
		if cl.err == nil || cl.err.Code == canonical.UpstreamUnauthenticated {
			cl.outcome, cl.err = canonical.Outcome{}, e
		}
	}
	cl.resp = http.Response{Request: r, Body: http.NoBody}
	if cl.err != nil {
		cl.resp.StatusCode = cl.err.Status
	}
	return &cl.resp, nil
}

// local reports whether the code is a refusal of the gateway's own.
func local(code canonical.Code) bool { return strings.HasPrefix(string(code), "route.") }

// attempt takes one request through the layers below the retries.
func (c *Client) attempt(cl *call) (outcome canonical.Outcome, e *canonical.Error) {
	if err := cl.Err(); err != nil || !fits(cl, 0) {
		return outcome, outOfTime(err)
	}
	slot, e := c.bulkhead.enter(cl)
	if e != nil {
		return outcome, e
	}
	defer c.bulkhead.leave(cl, slot)
	if e = c.gate.enter(cl); e != nil {
		return outcome, e
	}
	var tok *token
	if c.tokens != nil {
		if tok, e = c.tokens.get(cl); e != nil {
			if !local(e.Code) {
				cl.inToken = true
				cl.tries++
			}
			return outcome, e
		}
		if cl.refused != nil && cl.refused.value[0] == tok.value[0] {
			// The provider hands out the token that it refuses.
			c.gate.refused(cl.err.Code)
			return cl.outcome, cl.err
		}
	}
	admitted, e := c.admit(cl, cl.background)
	if e != nil {
		return outcome, e
	}
	c.behind.pass(cl)

	x := &exchange{
		client: c, ctx: cl, req: cl.req, safe: cl.safe, repeatable: cl.repeatable,
		url: cl.url, header: c.header(cl, cl.req.Header), token: tok, interpret: cl.interpret,
	}
	if cl.sent == 0 {
		c.budget.deposit() // only what is sent earns retries
	}
	cl.sent++
	cl.tries++
	cl.inToken = false
	e = x.run(admitted)
	if e != nil && e.Code == canonical.RouteDeadline {
		cl.sent-- // the connection came too late
	}
	cl.unsure = cl.unsure || !cl.safe && mayLand(e)
	c.gate.note(cl, e, x.start)
	if e != nil && e.Code == canonical.UpstreamUnauthenticated {
		if tok != nil && !cl.renewed {
			c.tokens.invalidate(tok)
			cl.refused = tok
			cl.tries-- // the refused token's attempt is made up for
		} else {
			c.gate.refused(e.Code)
		}
	}
	return x.outcome, e
}

// mayLand reports whether a request that ended so may still take effect: its
// provider has it, and has not clearly said what came of it.
func mayLand(e *canonical.Error) bool {
	if e == nil {
		return false
	}
	switch e.Code {
	case canonical.UpstreamOutcomeUnknown, canonical.UpstreamInvalidResponse:
		return true
	}
	return e.Status >= 500 || e.Status == http.StatusRequestTimeout
}

// admit is the last layers before a request goes out. Only its admission to the
// breaker is left open; the wait for the limiter must not look like a slow call.
func (c *Client) admit(ctx context.Context, background bool) (admission, *canonical.Error) {
	if e := c.breaker.peek(); e != nil {
		return admission{}, e
	}
	if background {
		if !c.limiter.takeSpare() {
			return admission{}, overtaken
		}
	} else if e := c.limiter.take(ctx); e != nil {
		return admission{}, e
	}
	return c.breaker.admit()
}

// exchange is one request on the wire and its reply.
type exchange struct {
	client           *Client
	ctx              context.Context
	req              *canonical.Request
	safe, repeatable bool
	url              *url.URL
	header           http.Header // instead of req's
	token            *token
	interpret        Interpret

	trace    httptrace.ClientTrace
	assigned atomic.Bool // a connection has the request
	wrote    atomic.Bool // its header is written, or about to be
	attempt  context.Context
	start    time.Time
	got      canonical.Reply
	outcome  canonical.Outcome // as interpreted, unless it was not taken for success
}

// errTimeout ends an attempt that used up its own time.
var errTimeout = errors.New("attempt time-out")

// run sends the request, reads the reply to its end and classifies it, all
// within the attempt's time, and settles the admission.
func (x *exchange) run(a admission) (e *canonical.Error) {
	c, v := x.client, ignored
	x.start = time.Now()
	c.inFlight.Add(1)
	defer func() {
		c.inFlight.Add(-1)
		a.done(v)
		code := canonical.Code("")
		if e != nil {
			code = e.Code
		}
		c.obs.Attempt(x.req.Op, code, time.Since(x.start))
		if code == canonical.UpstreamUnclassified {
			c.obs.Unclassified(x.req.Op, e.Status, e.UpstreamCode)
		}
	}()
	var cancel context.CancelFunc
	x.attempt, cancel = context.WithDeadlineCause(x.ctx, x.start.Add(c.cfg.Timeout), errTimeout)
	defer cancel()

	resp, err := c.base.RoundTrip(x.request())
	if err != nil {
		e, v = x.noReply(err)
		return c.complete(e, x, nil)
	}
	defer resp.Body.Close()
	got := &x.got
	got.Status, got.Header = resp.StatusCode, resp.Header
	if resp.StatusCode >= 200 { // 101 has a connection for a body, not a reply
		got.Body, err = readBody(resp, c.cfg.MaxReply)
	}
	switch {
	case err == nil, resp.StatusCode >= 400:
		// A status of 400 and more means something without a whole body too.
		e = c.complete(x.classify(got, err), x, got)
		v = verdictOf(e)
		return e
	case x.attempt.Err() != nil:
		e, v = x.noReply(err)
	default:
		e = &canonical.Error{Code: canonical.UpstreamInvalidResponse, Message: "the provider's answer is " + err.Error(), Err: err}
		v = failing
	}
	return c.complete(e, x, got)
}

// request builds the attempt's own http.Request. Its hooks tell a request that
// reached nobody from one that may have arrived.
func (x *exchange) request() *http.Request {
	x.trace.GetConn = func(string) {
		// net/http begins again only if the last connection took nothing.
		x.assigned.Store(false)
		x.wrote.Store(false)
	}
	x.trace.GotConn = func(httptrace.GotConnInfo) { x.assigned.Store(true) }
	x.trace.WroteHeaders = func() { x.wrote.Store(true) }

	c := x.client
	r := c.template.WithContext(httptrace.WithClientTrace(x.attempt, &x.trace))
	r.Method, r.URL, r.Header = x.req.Method, x.url, x.header
	if len(x.req.Body) > 0 {
		r.ContentLength = int64(len(x.req.Body))
		r.GetBody = x.newBody
		r.Body, _ = x.newBody()
	}
	if x.token != nil {
		r.Header[c.auth.token] = x.token.value
	}
	if o := c.auth.oauth1; o != nil {
		r.Header["Authorization"] = []string{o.header(r, x.req.Body)}
	}
	return r
}

// newBody returns the body in the one form that net/http knows to be in memory:
// any other costs a write of its own, after the header's.
func (x *exchange) newBody() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(x.req.Body)), nil
}

// classify has the reply read, once, and makes sure that what cannot be success
// is not taken for one.
func (x *exchange) classify(got *canonical.Reply, incomplete error) (e *canonical.Error) {
	defer func() {
		if v := recover(); v != nil {
			e = x.client.fault(x.req.Op, "the provider's answer could not be read", &panicError{v, debug.Stack()})
		}
	}()
	outcome, err := x.interpret(got)
	if x.outcome = outcome; err != nil {
		return canonical.AsError(err)
	}
	var text string
	switch {
	case incomplete != nil:
		text = "the provider's answer is " + incomplete.Error()
	case got.Status >= 300 && got.Status < 400:
		text = redirected
	case got.Status < 200:
		text = "the provider answered with something else than HTTP"
	default:
		return nil
	}
	x.outcome = canonical.Outcome{}
	return &canonical.Error{Code: canonical.UpstreamInvalidResponse, Message: text, Err: incomplete}
}
