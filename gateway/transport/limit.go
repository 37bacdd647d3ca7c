package transport

import (
	"context"
	"time"

	"customer-gateway/canonical"

	"golang.org/x/time/rate"
)

// bulkhead bounds a route's parallel attempts.
type bulkhead struct {
	slots   chan struct{} // nil for no bound
	maxWait time.Duration
}

func (b *bulkhead) init(cfg *Config) {
	b.maxWait = cfg.MaxWait
	if cfg.Limit.Concurrency > 0 {
		b.slots = make(chan struct{}, cfg.Limit.Concurrency)
	}
}

// enter takes a slot; leave gives it back.
func (b *bulkhead) enter(ctx context.Context) *canonical.Error {
	if b.slots == nil {
		return nil
	}
	select {
	case b.slots <- struct{}{}:
		return nil
	default:
	}
	wait := b.maxWait
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-minSend)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case b.slots <- struct{}{}:
		return nil
	case <-t.C:
		return refusal(canonical.RouteSaturated, "all parallel calls of this route are taken")
	case <-ctx.Done():
		return outOfTime(ctx.Err())
	}
}

func (b *bulkhead) leave() {
	if b.slots != nil {
		<-b.slots
	}
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
