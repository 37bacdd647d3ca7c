package transport

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"

	"github.com/sony/gobreaker/v2"
)

// verdict is what one attempt says about the provider's health.
type verdict uint8

const (
	healthy verdict = iota
	failing
	ignored
)

// The errors that carry a verdict through gobreaker.
var (
	errFailing = errors.New("provider failed")
	errIgnored = errors.New("says nothing about the provider")
)

func (v verdict) err() error {
	switch v {
	case failing:
		return errFailing
	case ignored:
		return errIgnored
	}
	return nil
}

// verdictOf is the breaker's view of a reply.
func verdictOf(e *canonical.Error) verdict {
	if e == nil {
		return healthy
	}
	switch e.Breaker() {
	case canonical.BreakerSuccess:
		return healthy
	case canonical.BreakerFailure:
		return failing
	}
	return ignored
}

// breaker is a circuit breaker that also knows when it will half-open. It keeps
// its own copy of the state: gobreaker's State must not be called from its
// callback, and does not tell the time.
type breaker struct {
	two     *gobreaker.TwoStepCircuitBreaker[struct{}] // nil if switched off
	obs     Observer
	openFor time.Duration
	now     atomic.Int32              // gobreaker.State
	until   atomic.Pointer[time.Time] // while open
	probing atomic.Bool               // the half-open state's one probe is out
	mu      sync.Mutex                // held while reporting, never by gobreaker
	told    gobreaker.State
}

// buckets is how many parts the rolling window has.
const buckets = 10

func (b *breaker) init(cfg *Config, obs Observer) {
	if cfg.Breaker.Off {
		obs.Breaker(BreakerOff)
		return
	}
	b.obs, b.openFor = obs, cfg.Breaker.OpenFor
	least, ratio := uint64(cfg.Breaker.MinRequests), cfg.Breaker.FailureRatio
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         cfg.Route,
		Interval:     cfg.Breaker.Window,
		BucketPeriod: max(1, cfg.Breaker.Window/buckets),
		Timeout:      cfg.Breaker.OpenFor,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			// Requests would count those still in flight.
			total := uint64(n.TotalSuccesses) + uint64(n.TotalFailures)
			return total >= least && float64(n.TotalFailures) >= ratio*float64(total)
		},
		IsSuccessful:  func(err error) bool { return err == nil },
		IsExcluded:    func(err error) bool { return err == errIgnored },
		OnStateChange: b.changed,
	})
}

// changed runs under gobreaker's lock: it must only note the change.
func (b *breaker) changed(_ string, _, to gobreaker.State) {
	if to == gobreaker.StateOpen {
		until := time.Now().Add(b.openFor)
		b.until.Store(&until)
	}
	b.now.Store(int32(to))
}

// report tells the observer of a change, outside gobreaker's lock.
func (b *breaker) report() {
	if b.until.Load() == nil {
		return // it has never been open
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := gobreaker.State(b.now.Load()); now != b.told {
		b.told = now
		b.obs.Breaker(name(now))
	}
}

func name(s gobreaker.State) BreakerState {
	switch s {
	case gobreaker.StateOpen:
		return BreakerOpen
	case gobreaker.StateHalfOpen:
		return BreakerHalfOpen
	}
	return BreakerClosed
}

// peek refuses while the breaker is certain to refuse, before anything is spent
// on the attempt.
func (b *breaker) peek() *canonical.Error {
	if b.two == nil {
		return nil
	}
	switch gobreaker.State(b.now.Load()) {
	case gobreaker.StateOpen:
		if rest := time.Until(*b.until.Load()); rest >= 0 {
			return resting(rest)
		}
	case gobreaker.StateHalfOpen:
		if b.probing.Load() {
			return resting(0)
		}
	}
	return nil
}

// probeRest is what callers are told to wait while a probe is out.
const probeRest = time.Second

func resting(rest time.Duration) *canonical.Error {
	e := refusal(canonical.RouteCircuitOpen, "too many calls to the provider failed; the route rests")
	e.RetryAfter = rest
	if rest <= 0 {
		e.RetryAfter = probeRest
	}
	return e
}

// admission is a place in the breaker's count. done must be called exactly
// once.
type admission struct {
	b     *breaker
	tell  func(error)
	probe bool
}

// admit asks to send now.
func (b *breaker) admit() (admission, *canonical.Error) {
	if b.two == nil {
		return admission{}, nil
	}
	tell, err := b.two.Allow()
	if err != nil {
		b.report()
		if e := b.peek(); e != nil {
			return admission{}, e
		}
		return admission{}, resting(0)
	}
	a := admission{b: b, tell: tell}
	if gobreaker.State(b.now.Load()) == gobreaker.StateHalfOpen {
		a.probe = true
		b.probing.Store(true)
	}
	b.report()
	return a, nil
}

func (a admission) done(v verdict) {
	if a.b == nil {
		return
	}
	a.tell(v.err())
	if a.probe {
		a.b.probing.Store(false)
	}
	a.b.report()
}

// room returns for how long no call is admitted, or whether the next one probes.
func (b *breaker) room() (wait time.Duration, probe bool) {
	switch state, until := b.state(); {
	case state == BreakerOpen:
		return max(0, time.Until(until)) + 1, false // refused up to that very moment
	case state == BreakerHalfOpen && b.probing.Load():
		return probeRest, false
	default:
		return 0, state == BreakerHalfOpen
	}
}

func (b *breaker) state() (BreakerState, time.Time) {
	if b.two == nil {
		return BreakerOff, time.Time{}
	}
	s := gobreaker.State(b.now.Load())
	if s != gobreaker.StateOpen {
		return name(s), time.Time{}
	}
	until := *b.until.Load()
	if time.Now().After(until) {
		return BreakerHalfOpen, time.Time{} // the next call probes
	}
	return BreakerOpen, until
}
