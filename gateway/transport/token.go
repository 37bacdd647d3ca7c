package transport

import (
	"context"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/trace"
)

// token is an access token, ready to send.
type token struct {
	value   []string  // the header's
	renewAt time.Time // from here on it is renewed beside the calls
	expires time.Time // from here on it is not sent any more; zero for never
}

func (t *token) usable(now time.Time) bool {
	return t != nil && (t.expires.IsZero() || now.Before(t.expires))
}

func (t *token) stale(now time.Time) bool {
	return !t.expires.IsZero() && !now.Before(t.renewAt)
}

// tokens keeps a route's access token: fetched once at a time, renewed ahead of
// its end without making anybody wait, and dropped when it is refused.
type tokens struct {
	client  *Client
	auth    *canonical.TokenAuth
	url     *url.URL
	current atomic.Pointer[token]

	mu     sync.Mutex
	flight *flight   // the token call under way
	next   time.Time // no renewal ahead of time before this, after one failed
	closed bool
	wg     sync.WaitGroup
}

// flight is one token call and its result, which is there once done is closed.
type flight struct {
	done  chan struct{}
	tok   *token
	err   *canonical.Error
	noted atomic.Bool // the gate knows; a renewal ahead of time does not concern it
}

// renewalPause separates renewals ahead of time that fail.
const renewalPause = 5 * time.Second

// get returns a token, waiting for the token call only if there is no other
// way. The token call goes on if this caller gives up.
func (s *tokens) get(cl *call) (*token, *canonical.Error) {
	now := time.Now()
	if t := s.current.Load(); t.usable(now) {
		if t.stale(now) {
			s.start(cl, true)
		}
		return t, nil
	}
	f := s.start(cl, false)
	select {
	case <-f.done:
	case <-cl.Done():
		return nil, outOfTime(cl.Err())
	}
	if f.err != nil {
		if f.noted.CompareAndSwap(false, true) {
			s.client.gate.noteToken(cl, f.err)
		}
		e := *f.err // shared with other callers
		return nil, &e
	}
	return f.tok, nil
}

// start begins a token call, unless one is under way. Ahead of the old token's
// end it may also leave things as they are, with a nil flight.
func (s *tokens) start(cl *call, ahead bool) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	f := &flight{done: make(chan struct{})}
	now := time.Now()
	switch t := s.current.Load(); {
	case t.usable(now) && !t.stale(now): // somebody else was quicker
		f.tok = t
		close(f.done)
		return f
	case ahead && now.Before(s.next):
		return nil
	case s.closed:
		f.err = refusal(canonical.RouteDeadline, "the route was closed before the call could be sent")
		close(f.done)
		return f
	}
	s.flight = f
	s.next = now.Add(renewalPause)
	ctx := s.client.ctx
	if t, traced := trace.FromContext(cl); traced {
		ctx = trace.NewContext(ctx, t)
	}
	s.wg.Go(func() { s.fly(ctx, f) })
	return f
}

// fly makes the token call. Neither its time nor its end depends on one caller.
func (s *tokens) fly(ctx context.Context, f *flight) {
	c := s.client
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout+c.cfg.MaxWait)
	defer cancel()
	f.tok, f.err = c.fetchToken(ctx)
	s.mu.Lock()
	if f.err == nil {
		s.current.Store(f.tok)
	}
	s.flight = nil
	s.mu.Unlock()
	close(f.done)
}

// forget drops the token.
func (s *tokens) forget() { s.current.Store(nil) }

// invalidate drops the very token that was refused. A newer one stays.
func (s *tokens) invalidate(t *token) { s.current.CompareAndSwap(t, nil) }

func (s *tokens) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wg.Wait()
}

// fetchToken is the token call with an admission of its own, so that a
// half-open breaker's single probe is not waited for by itself. Nothing of the
// customer is in it: whatever fails here, the request itself was not sent. It is
// a live attempt even if it is for a background call, since all calls need it.
func (c *Client) fetchToken(ctx context.Context) (tok *token, e *canonical.Error) {
	a := c.tokens.auth
	admitted, e := c.admit(ctx, false)
	if e != nil {
		e.Provider, e.Op = c.cfg.Provider, a.Request.Op
		return nil, e
	}
	x := exchange{
		client: c, ctx: ctx, req: &a.Request, safe: true, repeatable: true,
		url: c.tokens.url, header: c.header(ctx, a.Request.Header), // no token; the credential is in the body
	}
	sent := time.Now()
	x.interpret = func(got *canonical.Reply) (none canonical.Outcome, err error) {
		value, lives, err := a.Read(got)
		if err != nil {
			return none, err
		}
		if v := a.Prefix + value.Reveal(); value != "" && validValue(v) {
			tok = newToken(v, sent, orElse(max(lives, 0), a.Lifetime))
			return none, nil
		}
		return none, &canonical.Error{Code: canonical.UpstreamInvalidResponse, Message: "the provider's token is not usable"}
	}
	if e = x.run(admitted); e != nil {
		return nil, e
	}
	return tok, nil
}

// newToken renews a token when a tenth of its life, at most five minutes, is
// left, and stops sending it a little before its end.
func newToken(value string, from time.Time, lives time.Duration) *token {
	t := &token{value: []string{value}}
	if lives > 0 {
		t.expires = from.Add(lives - min(lives/50, 5*time.Second))
		t.renewAt = from.Add(lives - min(lives/10, 5*time.Minute))
	}
	return t
}
