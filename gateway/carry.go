package gateway

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// kind is who a delivery is for.
type kind bool

const (
	live       kind = true  // for a caller who waits, or did
	background kind = false // for the backlog
)

// open reads the state of a lease. An error means that it can never be sent.
func (g *Gateway) open(r *route, lease *ledger.Lease) (*canonical.Upsert, *canonical.Error) {
	if lease.Damaged != nil {
		return nil, canonical.AsError(lease.Damaged)
	}
	if lease.Payload == nil {
		return nil, &canonical.Error{Code: canonical.GatewayInternal, Provider: r.provider, Message: "the state is no longer held; send the customer again"}
	}
	c, err := canonical.DecodeCustomer(lease.Customer, lease.Payload)
	if err != nil {
		return nil, &canonical.Error{Code: canonical.GatewayInternal, Provider: r.provider, Err: err,
			Message: "the state that was stored cannot be read by this version of the gateway; send the customer again"}
	}
	base := canonical.NewUpsert(c)
	return &base, nil
}

// abandon ends a lease whose state can never be sent.
func (g *Gateway) abandon(r *route, lease *ledger.Lease, e *canonical.Error, of kind) {
	started := time.Now()
	var result Result
	result.of(r)
	result.fail(e, false)
	end := g.conclude(r, lease, &result, trip{never: true}, started, of)
	g.tell(&end)
}

// carry takes a leased state to its provider, fills in the result and writes down
// how it ended.
func (g *Gateway) carry(ctx context.Context, r *route, base *canonical.Upsert, lease *ledger.Lease, result *Result, of kind) {
	started := time.Now()
	result.of(r)
	trip := r.attempt(ctx, base, lease, result)
	end := g.conclude(r, lease, result, trip, started, of)
	g.tell(&end)
}

// attempt travels; a panic on the way is a result.
func (r *route) attempt(ctx context.Context, base *canonical.Upsert, lease *ledger.Lease, result *Result) (t trip) {
	defer func() {
		if p := recover(); p != nil {
			result.crash(p)
			t.unsure = true
		}
	}()
	return r.travel(ctx, base, lease, result)
}

// ending is how a delivery ended, on its way to the store.
type ending struct {
	route   *route
	result  *Result
	of      kind
	started time.Time
	*settlement
}

// conclude decides what an attempt means for its slot and hands that to the store.
// tell must follow.
func (g *Gateway) conclude(r *route, lease *ledger.Lease, result *Result, trip trip, started time.Time, of kind) ending {
	f := finishOf(lease, result, &trip)
	g.judge(r, lease, result, &f, trip.never, started)
	return ending{r, result, of, started, g.settler.settle(f)}
}

// tell tells of an ending, once the store has said what it changes about it.
func (g *Gateway) tell(end *ending) {
	result, f := end.result, &end.finish
	if e := result.Err; e != nil && e.Code == canonical.UpstreamRateLimited {
		g.holdRoute(end.route)
	}
	var after ledger.Finished
	if f.RemoteID != "" || end.of == live && f.Verdict == ledger.Retry {
		select {
		case <-end.written:
			after = end.finished
		case <-g.settler.ended:
		}
	}
	if after.Conflict {
		result.Warnings = nil
		result.fail(conflict(result.Provider), false)
	}
	if !f.Uncounted { // what only waits is not worth a line for each customer
		g.logFailure(context.Background(), ledger.OperationID(f.Version), result)
	}
	g.observe(result, end.started)
	if g.opts.Observer != nil {
		g.opts.Observer.Delivery(end.route.Name, end.of == background, f.Verdict, f.Uncounted)
	}
	if f.Verdict == ledger.Retry && after.Desired > f.Version {
		result.supersede(after.Desired) // it will not be sent again
	}
}

// trip is what a delivery found out beside its result.
type trip struct {
	unsure   bool   // something that was sent may still take effect
	forget   bool   // the remembered remote id leads nowhere
	never    bool   // the state can never be sent
	identity []byte // what the provider now knows the customer by
}

// travel translates the state and sends it to the end.
func (r *route) travel(ctx context.Context, base *canonical.Upsert, lease *ledger.Lease, result *Result) (t trip) {
	u := base.For(r.Name, r.provider, lease.RemoteID)
	notice, ok := r.recognize(&u, lease, result, &t)
	if !ok {
		return t
	}
	request := r.prepare(&u, lease.Strict, result)
	if request == nil {
		return t
	}
	result.Warnings = append(result.Warnings, notice...)
	result.RemoteID = lease.RemoteID
	t.unsure = r.follow(ctx, &u, request, result)
	if result.Err == nil || result.Err.Code != canonical.UpstreamNotFound || u.RemoteID != lease.RemoteID || u.RemoteID == "" {
		return t
	}
	// The record behind the remembered id is gone: once more without it.
	again := base.For(r.Name, r.provider, "")
	if again.RemoteID != "" {
		return t // the caller insists on it
	}
	t.forget = true
	sent := result.Attempts
	*result = Result{Attempts: sent}
	result.of(r)
	if request = r.prepare(&again, lease.Strict, result); request != nil {
		result.Warnings = append(result.Warnings, notice...)
		t.unsure = r.follow(ctx, &again, request, result) || t.unsure
	}
	return t
}

// IdentityChange says what follows when all keys change by which the provider
// finds a customer.
type IdentityChange string

// The identity changes. The empty one is a warning.
const (
	IdentityWarn   IdentityChange = "warn"   // it is sent, with a notice
	IdentityRefuse IdentityChange = "refuse" // it is not sent
	IdentityFollow IdentityChange = "follow" // the adapter gives the record the new keys, if it can
)

// recognize compares what the provider finds the customer by with what it was
// until now, and reports whether the state may be sent.
func (r *route) recognize(u *canonical.Upsert, lease *ledger.Lease, result *Result, t *trip) (notice []canonical.Notice, ok bool) {
	if r.keyer == nil {
		return nil, true
	}
	id := r.keyer.Identity(*u)
	t.identity = id.Keep(lease.Identity)
	if !id.Changed(lease.Identity) {
		return nil, true
	}
	switch r.Identity {
	case IdentityRefuse:
		result.fail(id.Refusal(r.provider), false)
		return nil, false
	case IdentityFollow:
		u.Follow = true
		return nil, true
	}
	return []canonical.Notice{id.Notice(r.provider, lease.RemoteID)}, true
}

// finishOf is what a delivery leaves behind, before it is judged.
func finishOf(lease *ledger.Lease, result *Result, t *trip) ledger.Finish {
	f := ledger.Finish{Route: lease.Route, Customer: lease.Customer, Token: lease.Token, Version: lease.Version, Unsure: t.unsure, Forget: t.forget}
	if t.forget || result.RemoteID != lease.RemoteID {
		f.RemoteID = result.RemoteID
	}
	saved := result.Err == nil || result.Err.Code == canonical.UpstreamPartiallyApplied
	if saved && !bytes.Equal(t.identity, lease.Identity) {
		f.Identity = t.identity
	}
	return f
}

// minAttempts is how often a state is tried at least before it is given up.
const minAttempts = 10

// judge gives the verdict on an attempt; never says that another one makes no
// sense. A result that is to be tried again becomes pending.
func (g *Gateway) judge(r *route, lease *ledger.Lease, result *Result, f *ledger.Finish, never bool, started time.Time) {
	e := result.Err
	if e == nil {
		f.Verdict = ledger.Applied
		f.Result = encodeResult(result)
		return
	}
	f.Code = e.Code
	switch {
	case waited(e) && (e.Code != canonical.RouteDeadline || result.Attempts == 0):
		f.Verdict, f.Uncounted, f.Delay = ledger.Retry, true, max(untilRetry(e), leastRest)
	case never || !again(e):
		f.Verdict = ledger.Dead
	case lease.Attempts >= minAttempts && g.store.Now().Sub(lease.DueSince) >= r.MaxAge:
		f.Verdict = ledger.Dead
		result.Err = &canonical.Error{Code: canonical.RouteAttemptsExhausted, Provider: r.provider, Op: e.Op, Status: e.Status, UpstreamCode: e.UpstreamCode, RequestID: e.RequestID, Err: e,
			Message: fmt.Sprintf("given up after %d attempts, the last of which ended with %s; its history tells the rest", lease.Attempts, e.Code)}
		f.Code = canonical.RouteAttemptsExhausted
	default:
		f.Verdict, f.Delay = ledger.Retry, max(rest(r.Base, lease.Attempts, f.Unsure && result.RemoteID == ""), untilRetry(e))
	}
	if !f.Uncounted {
		f.Entry = &ledger.Attempt{
			At: g.store.Now(), Version: lease.Version, Number: lease.Attempts, Requests: result.Attempts, Op: e.Op, Code: e.Code,
			Status: e.Status, UpstreamCode: e.UpstreamCode, RequestID: e.RequestID, Took: time.Since(started),
		}
	}
	if f.Verdict == ledger.Retry {
		result.pend(result.Err, time.Now().Add(f.Delay))
	}
	f.Result = encodeResult(result)
}

// waited reports whether nothing was tried: the gateway itself held it back, or
// the provider refuses everything that comes with this credential.
func waited(e *canonical.Error) bool {
	switch e.Code {
	case canonical.RouteCircuitOpen, canonical.RouteCredentialGated, canonical.RouteThrottled, canonical.RouteSaturated,
		canonical.RouteDeadline, canonical.RoutePaused, canonical.UpstreamUnauthenticated:
		return true
	}
	return false
}

// again reports whether the same state may be taken by the provider later. A
// right that is missing is the operator's to grant, and no fault of the state.
func again(e *canonical.Error) bool { return e.Retryable() || e.Code == canonical.UpstreamForbidden }

const (
	// leastRest keeps what was held back from being claimed in a circle.
	leastRest = 100 * time.Millisecond
	maxRest   = time.Hour
)

// rest is the pause after an attempt: exponential with full jitter, at least a
// quarter of the first ceiling. After an attempt that may have created the record
// the whole ceiling is waited, so that the provider's search can find it.
func rest(base time.Duration, attempts int, created bool) time.Duration {
	ceiling := maxRest
	if n := max(attempts-1, 0); n < 16 {
		ceiling = min(base<<n, maxRest)
	}
	if created {
		return ceiling
	}
	return max(base/4, rand.N(ceiling+1))
}

// untilRetry is how long the provider, or the gateway itself, wants no call.
func untilRetry(e *canonical.Error) time.Duration {
	wait := max(e.RetryAfter, 0)
	if !e.RetryAt.IsZero() {
		wait = max(wait, time.Until(e.RetryAt))
	}
	return wait
}

// conflict is the error of a remote id that belongs to another customer.
func conflict(provider string) *canonical.Error {
	return &canonical.Error{Code: canonical.UpstreamIdentityConflict, Provider: provider,
		Message: "the provider's record belongs to another customer already, since both state the same keys there, such as an e-mail address; give each its own"}
}

// recordHolds are worth a note: after a restart, nobody calls earlier either.
const recordHolds = 5 * time.Second

// holdRoute records until when the provider wants no calls.
func (g *Gateway) holdRoute(r *route) {
	until := r.Transport.Hold()
	rest := time.Until(until)
	if rest < recordHolds {
		return
	}
	g.hold.Lock()
	defer g.hold.Unlock()
	if until.Sub(r.held) < recordHolds {
		return
	}
	r.held = until // whatever comes of it: the gate holds in this process
	ctx, cancel := context.WithTimeout(g.life, time.Second)
	defer cancel()
	state, err := g.recorded(ctx, r.Name)
	if err != nil {
		return
	}
	state.NotBefore = g.store.Now().Add(rest)
	_ = g.store.SetRoute(ctx, state)
}

// recorded returns what the store has on a route.
func (g *Gateway) recorded(ctx context.Context, name string) (ledger.Route, error) {
	all, err := g.store.Routes(ctx)
	if err != nil {
		return ledger.Route{}, err
	}
	for _, state := range all {
		if state.Name == name {
			return state, nil
		}
	}
	return ledger.Route{Name: name}, nil
}
