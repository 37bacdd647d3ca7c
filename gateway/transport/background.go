package transport

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
)

// Background marks the calls under ctx as work that nobody waits for. They take
// what live calls leave: an attempt waits as long as ctx allows, rather than
// MaxWait, until the route has room beyond what live calls may need next. All
// else is the same for both.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

type backgroundKey struct{}

func isBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// Room is what a route has for background calls at a moment.
type Room struct {
	// Paused says that an operator has paused the route.
	Paused bool
	// Wait is for how long the route will certainly refuse calls; 0 if it may
	// take them.
	Wait time.Duration
	// Probe says that the next call decides whether others may follow: one is
	// enough.
	Probe bool
	// Places is how many background calls the route takes at once. It does not
	// change.
	Places int
	// Free is how many more background calls would find a place now. It is 0
	// while the route is paused or Wait is not over, and at most 1 if Probe.
	Free int
}

// Room tells what may be begun in the background. Looking costs nothing: no
// token, no probe.
func (c *Client) Room() Room {
	r := Room{Places: c.behind.places}
	var closed, resting time.Duration
	var gate, breaker bool
	r.Paused, closed, gate = c.gate.room()
	resting, breaker = c.breaker.room()
	r.Wait = max(closed, resting)
	if r.Paused || r.Wait > 0 {
		return r
	}
	r.Probe = gate || breaker
	waiting := int(c.behind.waiting.Load())
	r.Free = r.Places - int(c.behind.calls.Load())
	// One may always wait for a place that live calls have: it is the next.
	first := max(0, 1-waiting)
	if r.Probe {
		r.Free = min(r.Free, first)
	} else if c.bulkhead.slots != nil {
		r.Free = min(r.Free, max(c.bulkhead.free()-waiting, first))
	}
	r.Free = max(r.Free, 0)
	return r
}

// Hold returns the moment before which NotBefore or the provider wants no call;
// zero if there is none.
func (c *Client) Hold() time.Time { return c.gate.held() }

// behind is where background attempts line up.
type behind struct {
	places  int
	calls   atomic.Int64 // under way
	waiting atomic.Int64 // for their turn, or to be sent
	// turn is held by the one attempt that comes forward. The others wait in the
	// order in which they came; what becomes free is for one of them only.
	turn chan struct{}
}

// unbounded is how many background calls a route without a limit takes at once.
const unbounded = 64

func (b *behind) init(cfg *Config) {
	b.turn = make(chan struct{}, 1)
	switch n := cfg.Limit.Concurrency; {
	case n > 0:
		b.places = backgroundSlots(n)
	case cfg.Limit.Rate > 0: // as many as it takes if the provider needs a second for each
		b.places = max(unbounded, int(math.Ceil(min(cfg.Limit.Rate, math.MaxInt32))))
	default:
		b.places = unbounded
	}
}

// backgroundSlots is how many of n slots background attempts may have.
func backgroundSlots(n int) int { return max(1, n-max(1, n/4)) }

// attemptBehind makes a background attempt when its turn has come and the route
// has room for it.
func (c *Client) attemptBehind(cl *call) (canonical.Outcome, *canonical.Error) {
	b := &c.behind
	b.waiting.Add(1)
	cl.coming = true
	defer b.pass(cl)
	select {
	case b.turn <- struct{}{}:
		cl.turn = true
	case <-cl.Done():
		return canonical.Outcome{}, outOfTime(cl.Err())
	}
	for {
		if e := c.room(cl); e != nil {
			return canonical.Outcome{}, e
		}
		if outcome, e := c.attempt(cl); e != overtaken {
			return outcome, e
		}
	}
}

// overtaken is the error of a background attempt that found its room taken by a
// live one. It never gets further than attemptBehind.
var overtaken = refusal(canonical.RouteThrottled, "a live call came first")

// pass lets the next attempt come forward.
func (b *behind) pass(cl *call) {
	if cl.turn {
		cl.turn = false
		<-b.turn
	}
	if cl.coming {
		cl.coming = false
		b.waiting.Add(-1)
	}
}

// room waits, holding nothing but the turn, until there are a token and a slot
// that no live call is waiting for.
func (c *Client) room(cl *call) *canonical.Error {
	for {
		if !cl.worth() {
			return outOfTime(nil)
		}
		if wait := c.limiter.spare(time.Now()); wait > 0 {
			if err := sleep(cl, wait); err != nil {
				return outOfTime(err)
			}
			continue
		}
		if c.bulkhead.open() {
			return nil
		}
		if err := c.bulkhead.await(cl); err != nil {
			return outOfTime(err)
		}
	}
}

// worth reports whether a background attempt still has enough of its call's time.
// It may have waited for most of it, and what is cut off leaves an unknown outcome
// behind.
func (cl *call) worth() bool { return cl.latest.IsZero() || time.Now().Before(cl.latest) }

// begin notes the start of a background call.
func (b *behind) begin(cl *call, timeout time.Duration) {
	b.calls.Add(1)
	if deadline, ok := cl.Deadline(); ok {
		share := min(timeout, time.Until(deadline)) / 4
		cl.latest = deadline.Add(-max(share, minSend))
	}
}

func (b *behind) end() { b.calls.Add(-1) }
