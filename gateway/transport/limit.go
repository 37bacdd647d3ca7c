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
	waiting atomic.Int64 // live attempts only
	moved   atomic.Int64 // when a slot was last taken or given back, since began
	held    atomic.Int64 // how long a slot is held, as a moving average

	// Background attempts have at most so many slots, and come in one at a time.
	most    int64
	behind  atomic.Int64 // the slots they have
	watched atomic.Bool  // one of them waits for news
	news    chan struct{}
}

func (b *bulkhead) init(cfg *Config) {
	b.maxWait = cfg.MaxWait
	b.began = time.Now()
	if cfg.Limit.Concurrency > 0 {
		b.slots = make(chan struct{}, cfg.Limit.Concurrency)
		b.most = int64(backgroundSlots(cfg.Limit.Concurrency))
		b.news = make(chan struct{}, 1)
	}
}

// enter takes a slot; leave gives it back and wants to know when it was taken. A
// background attempt does not wait here.
func (b *bulkhead) enter(cl *call) (at time.Duration, e *canonical.Error) {
	if b.slots == nil {
		return 0, nil
	}
	if cl.background && !b.open() {
		return 0, overtaken
	}
	select {
	case b.slots <- struct{}{}:
		if cl.background {
			b.behind.Add(1)
		}
		return b.took(), nil
	default:
	}
	if cl.background {
		return 0, overtaken
	}
	defer b.tell() // a slot may have come free while this one seemed to want it
	defer b.waiting.Add(-1)
	if b.waiting.Add(1) > b.turns() {
		return 0, saturated()
	}
	wait := b.maxWait
	if deadline, ok := cl.Deadline(); ok {
		wait = min(wait, time.Until(deadline)-minSend)
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case b.slots <- struct{}{}:
		return b.took(), nil
	case <-t.C:
		return 0, saturated()
	case <-cl.Done():
		return 0, outOfTime(cl.Err())
	}
}

// open reports whether a background attempt may have a slot: one that no live
// attempt waits for, and not one of the last.
func (b *bulkhead) open() bool {
	return b.slots == nil || b.waiting.Load() == 0 && b.behind.Load() < b.most && len(b.slots) < cap(b.slots)
}

// free is how many more background attempts could have a slot.
func (b *bulkhead) free() int {
	if b.waiting.Load() > 0 {
		return 0
	}
	return min(cap(b.slots)-len(b.slots), int(b.most-b.behind.Load()))
}

// await waits until a background attempt may have a slot.
func (b *bulkhead) await(ctx context.Context) error {
	b.watched.Store(true) // before looking, so that no news is missed
	defer b.watched.Store(false)
	for !b.open() {
		select {
		case <-b.news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tell wakes the background attempt that waits for news, if there is one.
func (b *bulkhead) tell() {
	if !b.watched.Load() {
		return
	}
	select {
	case b.news <- struct{}{}:
	default: // it has not looked at the last news yet
	}
}

func (b *bulkhead) took() time.Duration {
	now := time.Since(b.began)
	b.moved.Store(int64(now))
	return now
}

func (b *bulkhead) leave(cl *call, at time.Duration) {
	if b.slots == nil {
		return
	}
	now := time.Since(b.began)
	b.moved.Store(int64(now))
	// Those who race here lose a sample, no more.
	held := b.held.Load()
	b.held.Store(held + (int64(now-at)-held)/4)
	if cl.background {
		b.behind.Add(-1)
	}
	<-b.slots
	b.tell()
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
	keep    float64 // tokens that background attempts leave
}

// spared is the part of a second whose tokens a background attempt may take at
// once: a timer that is late by less loses nothing of the rate.
const spared = 50 * time.Millisecond

func (l *limiter) init(cfg *Config, obs Observer) {
	l.maxWait, l.obs = cfg.MaxWait, obs
	if cfg.Limit.Rate > 0 {
		l.limit = rate.NewLimiter(rate.Limit(cfg.Limit.Rate), cfg.Limit.Burst)
		l.keep = max(0, float64(cfg.Limit.Burst)-1-cfg.Limit.Rate*spared.Seconds())
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

// spare returns how long it takes until a background attempt may have a token if
// nobody takes one before; 0 for now. It lives on what is left over when the
// bucket is nearly full, so that it gets the whole rate in quiet times and live
// calls find their burst. Tokens on which a live call waits are never left over.
func (l *limiter) spare(now time.Time) time.Duration {
	if l.limit == nil {
		return 0
	}
	missing := l.keep + 1 - l.limit.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	seconds := min(missing/float64(l.limit.Limit()), time.Hour.Seconds())
	return time.Duration(seconds*float64(time.Second)) + 1
}

// takeSpare takes a token for a background attempt, if it may have one now.
func (l *limiter) takeSpare() bool {
	if l.limit == nil {
		return true
	}
	now := time.Now()
	return l.spare(now) == 0 && l.limit.AllowN(now, 1)
}

func (l *limiter) tokens() (float64, bool) {
	if l.limit == nil {
		return 0, false
	}
	return l.limit.Tokens(), true
}
