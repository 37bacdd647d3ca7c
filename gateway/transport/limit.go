package transport

import (
	"context"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"

	"golang.org/x/time/rate"
)

// bulkhead bounds a route's parallel attempts, and how many wait for a slot:
// those behind a provider that hangs would fill the gateway for nothing.
type bulkhead struct {
	slots   chan struct{} // nil for no bound
	maxWait time.Duration
	began   time.Time
	waiting atomic.Int64
	moved   atomic.Int64 // when a slot was last taken or given back, since began
	held    atomic.Int64 // how long a slot is held, as a moving average
}

func (b *bulkhead) init(cfg *Config) {
	b.maxWait = cfg.MaxWait
	b.began = time.Now()
	if cfg.Limit.Concurrency > 0 {
		b.slots = make(chan struct{}, cfg.Limit.Concurrency)
	}
}

// enter takes a slot; leave gives it back and wants to know when it was taken.
func (b *bulkhead) enter(ctx context.Context) (at time.Duration, e *canonical.Error) {
	if b.slots == nil {
		return 0, nil
	}
	select {
	case b.slots <- struct{}{}:
		return b.took(), nil
	default:
	}
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) > b.turns() {
		return 0, saturated()
	}
	wait := b.maxWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-minSend)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case b.slots <- struct{}{}:
		return b.took(), nil
	case <-t.C:
		return 0, saturated()
	case <-ctx.Done():
		return 0, outOfTime(ctx.Err())
	}
}

func (b *bulkhead) took() time.Duration {
	now := time.Since(b.began)
	b.moved.Store(int64(now))
	return now
}

func (b *bulkhead) leave(at time.Duration) {
	if b.slots == nil {
		return
	}
	now := time.Since(b.began)
	b.moved.Store(int64(now))
	// Those who race here lose a sample, no more.
	held := b.held.Load()
	b.held.Store(held + (int64(now-at)-held)/4)
	<-b.slots
}

// queue is how many may always wait, for each slot: a provider that is slow for
// a moment costs nobody his turn.
const queue = 4

// turns is how many can have a slot within maxWait (Little's law), but at least
// the queue. While nothing moves, a slot is held for at least as long as that.
func (b *bulkhead) turns() int64 {
	held := max(b.held.Load(), int64(time.Since(b.began))-b.moved.Load(), 1)
	return max(queue, int64(b.maxWait)/held) * int64(cap(b.slots))
}

func saturated() *canonical.Error {
	return refusal(canonical.RouteSaturated, "all parallel calls of this route are taken")
}

// limiter hands out one token for each attempt. It only ever looks at the rate
// from the configuration: what a provider asks for is the gate's business,
// since a changed limit does not move those who already wait.
type limiter struct {
	limit   *rate.Limiter // nil for no limit
	maxWait time.Duration
	obs     Observer
}

func (l *limiter) init(cfg *Config, obs Observer) {
	l.maxWait, l.obs = cfg.MaxWait, obs
	if cfg.Limit.Rate > 0 {
		l.limit = rate.NewLimiter(rate.Limit(cfg.Limit.Rate), cfg.Limit.Burst)
	}
}

// take takes a token. A wait that is long or does not fit is refused at once,
// and its token given back.
func (l *limiter) take(ctx context.Context) *canonical.Error {
	if l.limit == nil {
		return nil
	}
	now := time.Now()
	if l.limit.AllowN(now, 1) {
		return nil
	}
	r := l.limit.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait > l.maxWait || !fits(ctx, wait) {
		r.CancelAt(now)
		e := refusal(canonical.RouteThrottled, "the route's own rate limit leaves no room within the time for this call")
		e.RetryAfter = wait
		return e
	}
	err := sleep(ctx, wait)
	l.obs.LimiterWait(time.Since(now))
	if err != nil {
		r.Cancel()
		return outOfTime(err)
	}
	return nil
}

func (l *limiter) tokens() (float64, bool) {
	if l.limit == nil {
		return 0, false
	}
	return l.limit.Tokens(), true
}
