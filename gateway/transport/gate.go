package transport

import (
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
)

// maxHold is the longest time that a provider may make the route wait; more is
// taken for a mistake.
const maxHold = 24 * time.Hour

// A provider that says "slow down" but not for how long is left alone for
// firstHold, doubled each time it says so again, up to lastHold.
const (
	firstHold = time.Second
	lastHold  = time.Minute
)

// gate holds all of a route's calls back: while an operator has paused it,
// until a moment that the provider named, and while its credential is refused.
type gate struct {
	cfg *Config
	obs Observer
	// busy says that some field below is not zero; while it is false, nobody
	// needs the lock.
	busy atomic.Bool

	mu        sync.Mutex
	paused    bool
	reason    string
	notBefore time.Time
	holds     int // consecutive holds of unnamed length

	shut      canonical.Code // why the credential gate is closed; empty if open
	probing   bool           // the one probe is out
	probeAt   time.Time      // when the next may go
	forbidden int            // consecutive refusals for a missing right
}

func (g *gate) init(cfg *Config, obs Observer) { g.cfg, g.obs = cfg, obs }

// unlock ends a change and tells the observer which gates it moved.
func (g *gate) unlock(was [3]bool) {
	is := g.closed()
	g.busy.Store(is != [3]bool{} || g.holds > 0 || g.forbidden > 0)
	g.mu.Unlock()
	for i, name := range [...]Gate{GatePaused, GateNotBefore, GateCredential} {
		if was[i] != is[i] {
			g.obs.Gate(name, is[i])
		}
	}
}

func (g *gate) lock() (was [3]bool) {
	g.mu.Lock()
	return g.closed()
}

func (g *gate) closed() [3]bool { return [3]bool{g.paused, !g.notBefore.IsZero(), g.shut != ""} }

// enter lets a call through, holds it for a short while or refuses it.
func (g *gate) enter(cl *call) *canonical.Error {
	for g.busy.Load() {
		wait, e := g.look(cl)
		if wait <= 0 {
			return e
		}
		if err := sleep(cl, wait); err != nil {
			return outOfTime(err)
		}
	}
	return nil
}

func (g *gate) look(cl *call) (time.Duration, *canonical.Error) {
	was := g.lock()
	defer func() { g.unlock(was) }()
	if g.paused {
		return 0, refusal(canonical.RoutePaused, "an operator has paused the route")
	}
	now := time.Now()
	if wait := g.notBefore.Sub(now); wait > 0 {
		if wait <= g.cfg.MaxWait && fits(cl, wait) {
			return wait, nil
		}
		e := refusal(canonical.RouteThrottled, "the provider asked for no calls until a later time")
		e.RetryAt = g.notBefore
		return 0, e
	}
	g.notBefore = time.Time{}
	if g.shut == "" || cl.probe {
		return 0, nil
	}
	if g.probing || now.Before(g.probeAt) {
		e := refusal(canonical.RouteCredentialGated, "the provider refuses the route's credential")
		if e.RetryAt = g.probeAt; g.probing {
			e.RetryAt = now.Add(probeRest)
		}
		return 0, e
	}
	cl.probe, g.probing = true, true
	g.probeAt = now.Add(g.cfg.Credential.ProbeEvery)
	return 0, nil
}

// settle ends the call that probed the credential gate.
func (g *gate) settle(cl *call) {
	was := g.lock()
	defer func() { g.unlock(was) }()
	g.probing = false
	switch {
	case cl.accepted:
		g.shut, g.forbidden = "", 0
	case cl.sent == 0 && !cl.inToken:
		g.probeAt = time.Now() // refused locally: nothing was tried
	}
}

// note draws the gate's conclusions from a reply; sent is when its request went
// out.
func (g *gate) note(cl *call, e *canonical.Error, sent time.Time) {
	if e == nil {
		cl.accepted = true
		if !g.busy.Load() {
			return
		}
		was := g.lock()
		g.holds, g.forbidden = 0, 0
		g.unlock(was)
		return
	}
	switch e.Code {
	case canonical.UpstreamRateLimited:
		g.throttled(e, sent)
	case canonical.UpstreamForbidden:
		was := g.lock()
		if g.forbidden++; g.forbidden >= g.cfg.Credential.Forbidden && g.shut == "" {
			g.shutNow(e.Code)
		}
		g.unlock(was)
	case canonical.UpstreamInvalid, canonical.UpstreamDuplicate, canonical.UpstreamIdentityConflict,
		canonical.UpstreamNotFound, canonical.UpstreamPartiallyApplied, canonical.UpstreamBusy:
		// The provider has looked at the request, so it took the credential.
		g.note(cl, nil, sent)
	}
}

// noteToken draws the conclusions from a token call that failed and that a call
// depended on.
func (g *gate) noteToken(cl *call, e *canonical.Error) {
	switch e.Code {
	case canonical.UpstreamUnauthenticated:
		g.refused(e.Code)
	case canonical.UpstreamForbidden, canonical.UpstreamRateLimited:
		g.note(cl, e, time.Now())
	}
}

// refused closes the credential gate.
func (g *gate) refused(code canonical.Code) {
	was := g.lock()
	defer func() { g.unlock(was) }()
	if g.shut == "" {
		g.shutNow(code)
	}
}

func (g *gate) shutNow(code canonical.Code) {
	g.shut = code
	g.probeAt = time.Now().Add(g.cfg.Credential.ProbeEvery)
}

// throttled keeps everybody from calling earlier than the provider asked for.
func (g *gate) throttled(e *canonical.Error, sent time.Time) {
	now := time.Now()
	until, named := lowerBound(e, now)
	was := g.lock()
	defer func() { g.unlock(was) }()
	if !named {
		// Answers to requests that were under way already say nothing new.
		if sent.Before(g.notBefore) {
			return
		}
		hold := lastHold
		if g.holds < 6 {
			hold = min(firstHold<<g.holds, lastHold)
		}
		g.holds++
		until = now.Add(hold)
	}
	if until.After(g.notBefore) {
		g.notBefore = until
	}
}

func (g *gate) hold(t time.Time) {
	was := g.lock()
	defer func() { g.unlock(was) }()
	if latest := time.Now().Add(maxHold); t.After(latest) {
		t = latest
	}
	if t.After(g.notBefore) && t.After(time.Now()) {
		g.notBefore = t
	}
}

func (g *gate) pause(reason string) {
	was := g.lock()
	g.paused, g.reason = true, reason
	g.unlock(was)
}

func (g *gate) resume() {
	was := g.lock()
	g.paused, g.reason = false, ""
	g.unlock(was)
}

func (g *gate) retryCredential() {
	was := g.lock()
	g.probeAt = time.Now()
	g.unlock(was)
}

func (g *gate) state() (Gate, string, time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.paused:
		return GatePaused, g.reason, time.Time{}
	case g.notBefore.After(time.Now()):
		return GateNotBefore, "", g.notBefore
	case g.shut != "":
		return GateCredential, string(g.shut), g.probeAt
	}
	return "", "", time.Time{}
}

// room tells a background caller that the route is paused, for how long it is
// closed, or that the credential is to be probed.
func (g *gate) room() (paused bool, wait time.Duration, probe bool) {
	if !g.busy.Load() {
		return false, 0, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	wait = max(0, g.notBefore.Sub(now))
	if g.shut != "" {
		if g.probing {
			wait = max(wait, probeRest)
		} else {
			wait = max(wait, g.probeAt.Sub(now))
		}
	}
	return g.paused, wait, g.shut != "" && wait == 0
}

func (g *gate) held() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.notBefore.After(time.Now()) {
		return time.Time{}
	}
	return g.notBefore
}

// lowerBound returns the moment before which the provider wants no other call.
func lowerBound(e *canonical.Error, now time.Time) (time.Time, bool) {
	at := e.RetryAt
	if e.RetryAfter > 0 {
		if t := now.Add(e.RetryAfter); t.After(at) {
			at = t
		}
	}
	return at, !at.IsZero()
}
