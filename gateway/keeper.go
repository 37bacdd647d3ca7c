package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// keeper is what a gateway with a ledger has more than one without.
type keeper struct {
	store   ledger.Store
	settler *settler
	news    watch
	keys    keyring
	patches keyed // who may lay a patch over which customer
	flights crowd

	life    context.Context // of what is under way; ends when it is to be cut off
	cut     context.CancelFunc
	stop    context.CancelFunc // of the dispatchers and the upkeep
	loops   sync.WaitGroup
	counted atomic.Pointer[counts]
	hold    sync.Mutex // held while a route's hold or pause is recorded
}

// openKeeper applies what the store knows of the routes and starts the
// background work.
func (g *Gateway) openKeeper() error {
	k := &keeper{store: g.opts.Store}
	known, err := k.store.Routes(context.Background())
	if err != nil {
		return err
	}
	now := k.store.Now()
	for _, state := range known {
		r := g.find(state.Name)
		if r == nil {
			continue
		}
		if state.Paused {
			r.Transport.Pause(state.Reason)
		}
		if rest := state.NotBefore.Sub(now); rest > 0 {
			r.Transport.NotBefore(time.Now().Add(rest))
		}
	}
	k.life, k.cut = context.WithCancel(context.Background())
	k.settler = newSettler(k.store, g.opts.Log, g.settled)
	g.keeper = k
	looping, stop := context.WithCancel(context.Background())
	k.stop = stop
	for _, r := range g.routes {
		k.loops.Go(func() { g.dispatch(looping, r) })
	}
	k.loops.Go(func() { g.upkeep(looping) })
	return nil
}

// close ends the background work: nothing new is begun, what is under way is
// waited for until ctx ends and then cut off, and all results are written.
func (k *keeper) close(ctx context.Context) {
	k.stop()
	k.loops.Wait()
	_ = k.flights.wait(ctx)
	k.cut()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	_ = k.flights.wait(grace)
	if k.settler.flush(ctx) != nil {
		_ = k.settler.flush(grace) // else the leases run out, and it is sent again
	}
	k.settler.end()
}

// lastWords is what those who were cut off have to write down their result.
const lastWords = time.Second

// settled spreads the news of a finish that is written.
func (g *Gateway) settled(w *settlement) {
	g.news.tell(place{w.finish.Route, w.finish.Customer})
	if w.finished.State == ledger.Due {
		if r := g.find(w.finish.Route); r != nil {
			r.wake()
		}
	}
}

// wake lets the route's dispatcher look.
func (r *route) wake() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

// window is how long a delivery may take that a caller waits for so long.
func (g *Gateway) window(wait time.Duration) time.Duration {
	wait = max(wait, g.opts.Deadline)
	return wait - reserve(wait)
}

// leaseFor returns the lease of a delivery with that much time: it ends when
// four fifths of the lease are over, so that two never overlap.
func leaseFor(window time.Duration) time.Duration { return window + window/4 + time.Second }

// keep is an upsert with a ledger: it is made durable, then taken to the routes
// whose slots are free. What somebody else is at work on, or what has to rest, is
// waited for. What is not finished when the caller's time is over is pending.
func (g *Gateway) keep(ctx context.Context, routes []*route, cmd Command) (*Envelope, error) {
	began := time.Now()
	wait := g.wait(cmd)
	window := g.window(wait)
	waiting, cancel := context.WithTimeout(ctx, wait-reserve(wait))
	defer cancel()
	if cmd.Key != nil {
		release, err := g.keys.take(cmd.Key)
		if err != nil {
			return nil, err
		}
		defer release()
	}
	base := canonical.NewUpsert(cmd.Customer)
	a := ledger.Accept{
		Customer: base.ID, Routes: names(routes), Payload: cmd.Body, UpdatedAt: cmd.Customer.UpdatedAt.Value().Time,
		Strict: cmd.Strict, Match: cmd.Match, Key: cmd.Key,
	}
	if !cmd.Async {
		a.Lease = leaseFor(window)
	}
	got, err := g.store.Accept(waiting, a)
	if err != nil {
		return nil, err
	}
	if cmd.accepted != nil {
		cmd.accepted()
	}
	g.keys.names(cmd.Key, got.Version)
	if got.Existing {
		return g.resume(waiting, ctx, got.Version, cmd)
	}
	e := &Envelope{
		OperationID: ledger.OperationID(got.Version), CustomerID: base.ID, Version: got.Version,
		Kept: true, First: got.First, Results: make([]Result, len(routes)),
	}
	out := g.depart(ctx, window-time.Since(began))
	flights := make([]*flight, len(routes))
	for i, r := range routes {
		p := got.Places[i]
		switch {
		case p.Stale != 0:
			e.Results[i].of(r)
			e.Results[i].supersede(p.Stale)
		case p.Lease != nil:
			flights[i] = out.fly(func(ctx context.Context, f *flight) { g.carry(ctx, r, &base, p.Lease, &f.result, live) })
		case cmd.Async:
			e.Results[i] = g.parked(ctx, r, base.ID, got.Version, p.NextAt)
			r.wake()
		default:
			flights[i] = out.fly(func(ctx context.Context, f *flight) {
				f.result = g.await(waiting, ctx, r, base.ID, got.Version, &f.sofar)
				g.restate(&base, &f.result)
			})
		}
	}
	out.land()
	for i, f := range flights {
		if f != nil {
			f.wait(waiting, routes[i], &e.Results[i])
		}
	}
	e.Outcome = outcomeOf(e.Results)
	return e, nil
}

// flight is a delivery, or the wait for one, whose caller may leave before it ends.
type flight struct {
	done   chan struct{}
	result Result                 // not to be read before done
	sofar  atomic.Pointer[Result] // what is known before
}

// wait fills in the result, or that it is pending when ctx ends.
func (f *flight) wait(ctx context.Context, r *route, result *Result) {
	select {
	case <-f.done:
	case <-ctx.Done():
		select {
		case <-f.done:
		default:
			if sofar := f.sofar.Load(); sofar != nil {
				*result = *sofar
				return
			}
			result.of(r)
			result.pend(nil, time.Time{})
			return
		}
	}
	*result = f.result
}

// departure is the flights of one call. They go on when the caller has gone, until
// their time is over or the gateway ends.
type departure struct {
	g      *Gateway
	ctx    context.Context
	flying atomic.Int64
	end    func()
}

// depart begins a departure, whose flights have that much time. land must be called
// once when all have begun.
func (g *Gateway) depart(ctx context.Context, window time.Duration) *departure {
	ctx, cancel := context.WithTimeout(ctx, window)
	unlink := context.AfterFunc(g.life, cancel)
	d := &departure{g: g, ctx: ctx, end: func() { unlink(); cancel() }}
	d.flying.Store(1)
	return d
}

// land ends a flight, or the beginning of them; the last one ends the context.
func (d *departure) land() {
	if d.flying.Add(-1) == 0 {
		d.end()
	}
}

// fly begins a flight.
func (d *departure) fly(carry func(context.Context, *flight)) *flight {
	f := &flight{done: make(chan struct{})}
	d.flying.Add(1)
	d.g.fly(func() {
		defer d.land()
		carry(d.ctx, f)
		close(f.done) // not after a panic: there is no result
	})
	return f
}

// fly runs f on a goroutine that closing waits for. A panic in it ends this
// delivery and no other; its lease runs out.
func (g *Gateway) fly(f func()) {
	g.flights.enter()
	g.workers.run(func() {
		defer g.flights.leave()
		defer func() {
			if p := recover(); p != nil {
				g.opts.Log.Error("panic in a delivery", "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			}
		}()
		f()
	})
}

// crowd counts what is under way. Unlike a sync.WaitGroup it may be entered while
// somebody waits. The zero value is ready for use.
type crowd struct {
	mu    sync.Mutex
	n     int
	empty chan struct{} // closed when n is 0; nil if nobody waits
}

func (c *crowd) enter() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
}

func (c *crowd) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.empty != nil {
		close(c.empty)
		c.empty = nil
	}
}

// wait waits until nothing is under way, or ctx ends.
func (c *crowd) wait(ctx context.Context) error {
	c.mu.Lock()
	if c.n == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.empty == nil {
		c.empty = make(chan struct{})
	}
	empty := c.empty
	c.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func names(routes []*route) []string {
	all := make([]string, len(routes))
	for i, r := range routes {
		all[i] = r.Name
	}
	return all
}

// await waits until the version has come to its end at the route, or until
// nothing more can become of it while waiting lasts, and notes meanwhile what is
// known. What is due it takes there itself, under ctx: a caller who waits does not
// queue behind a backlog.
func (g *Gateway) await(waiting, ctx context.Context, r *route, customer string, version int64, sofar *atomic.Pointer[Result]) Result {
	here := place{r.Name, customer}
	news := g.news.join(here)
	defer g.news.leave(here, news)
	for {
		result, slot, final := g.stand(ctx, r, customer, version)
		if final {
			return result
		}
		rest, open := g.resting(r, &slot, &result)
		if !open || rest > 0 && rest >= window(waiting) || waiting.Err() != nil {
			return result
		}
		sofar.Store(&result)
		if slot.State == ledger.Due && rest <= 0 && g.carryDue(ctx, r, customer) {
			continue
		}
		hear(waiting, news, rest)
	}
}

// stand reads what has become of a version at a route, and whether that is its end.
func (g *Gateway) stand(ctx context.Context, r *route, customer string, version int64) (result Result, slot ledger.Slot, final bool) {
	slot, err := g.store.Slot(ctx, r.Name, customer)
	if err != nil {
		return unreadable(r, canonical.AsError(err)), slot, true
	}
	result, final = resultOf(&slot, version)
	result.of(r)
	return result, slot, final
}

// parked is the result of a version that was accepted and is left to the backlog.
// Until next, somebody is at work on its slot, or it rests for a reason.
func (g *Gateway) parked(ctx context.Context, r *route, customer string, version int64, next time.Time) (result Result) {
	slot, final := ledger.Slot{State: ledger.Due, NextAt: next}, false
	if next.After(g.store.Now()) {
		result, slot, final = g.stand(ctx, r, customer, version)
	} else {
		result.of(r)
		result.pend(nil, next)
	}
	if !final {
		g.resting(r, &slot, &result)
	}
	return result
}

// hear waits for news, for as long as rest if that is positive, or until ctx ends.
func hear(ctx context.Context, news <-chan struct{}, rest time.Duration) {
	var over <-chan time.Time
	if rest > 0 {
		timer := time.NewTimer(rest)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-news:
	case <-over:
	case <-ctx.Done():
	}
}

// resting returns how long nobody may act on a slot that is due, and false if that is
// as long as the route is paused. It completes the result.
func (g *Gateway) resting(r *route, slot *ledger.Slot, result *Result) (rest time.Duration, open bool) {
	if slot.State != ledger.Due {
		return 0, true
	}
	if closed := r.closed(); closed != nil {
		result.Err, result.NextAttemptAt = closed, time.Time{}
		return 0, false
	}
	rest = slot.NextAt.Sub(g.store.Now())
	if held := r.Transport.Room().Wait; held > rest {
		rest = held
		result.NextAttemptAt = time.Now().Add(held)
	}
	return rest, true
}

// unreadable is what is known of a version whose slot cannot be read: without a
// slot, there is nothing left to do.
func unreadable(r *route, e *canonical.Error) (result Result) {
	result.of(r)
	if e.Code == canonical.RequestNotFound {
		result.Status = StatusSkipped
	} else {
		result.pend(e, time.Time{})
	}
	return result
}

// closed says that nothing goes out because the route is paused, or nil.
func (r *route) closed() *canonical.Error {
	if s := r.Transport.State(); s.Gate != transport.GatePaused {
		return nil
	}
	return &canonical.Error{Code: canonical.RoutePaused, Provider: r.provider, Message: "an operator has paused the route; it goes on when it is resumed"}
}

// carryDue takes a slot that is due to its provider and reports whether it could.
func (g *Gateway) carryDue(ctx context.Context, r *route, customer string) bool {
	left := window(ctx)
	if left <= 0 {
		return false
	}
	lease, ok, err := g.store.ClaimSlot(ctx, r.Name, customer, leaseFor(left))
	if err != nil || !ok {
		return false
	}
	base, failed := g.open(r, &lease)
	if failed != nil {
		g.abandon(r, &lease, failed, live)
		return true
	}
	var result Result
	g.carry(ctx, r, base, &lease, &result, live)
	return true
}

// window is the time until ctx's deadline.
func window(ctx context.Context) time.Duration {
	deadline, _ := ctx.Deadline()
	return time.Until(deadline)
}

// resume answers for an operation that was accepted before: what is finished as
// it ended, the rest when it has ended or the caller's time is over.
func (g *Gateway) resume(waiting, ctx context.Context, version int64, cmd Command) (*Envelope, error) {
	_ = g.caughtUp(waiting) // else what is not written yet is pending
	op, err := g.store.Operation(waiting, version)
	if err != nil {
		return nil, err
	}
	e := g.envelope(&op)
	if !cmd.Async {
		out := g.depart(ctx, g.window(g.wait(cmd)))
		flights := make([]*flight, len(e.Results))
		for i := range e.Results {
			r := g.find(e.Results[i].Route)
			if r == nil || e.Results[i].Status != StatusPending {
				continue
			}
			flights[i] = out.fly(func(ctx context.Context, f *flight) {
				f.result = g.await(waiting, ctx, r, op.Customer, version, &f.sofar)
			})
		}
		out.land()
		for i, f := range flights {
			if f != nil {
				f.wait(waiting, g.find(e.Results[i].Route), &e.Results[i])
			}
		}
	}
	if cmd.Customer != nil {
		base := canonical.NewUpsert(cmd.Customer)
		for i := range e.Results {
			g.restate(&base, &e.Results[i])
		}
	}
	e.Outcome = outcomeOf(e.Results)
	return e, nil
}

// restate adds to a recorded result the losses that follow from the state.
func (g *Gateway) restate(base *canonical.Upsert, result *Result) {
	r := g.find(result.Route)
	if r == nil || result.Status == StatusSkipped {
		return
	}
	defer func() { _ = recover() }() // the adapter's panic was reported when it was sent
	_, notices, err := r.Adapter.Translate(base.For(r.Name, r.provider, result.RemoteID))
	if err == nil {
		result.Warnings = append(slices.Clip(notices), result.Warnings...)
	}
}

// envelope returns what has become of an operation by now.
func (g *Gateway) envelope(op *ledger.Operation) *Envelope {
	e := &Envelope{OperationID: ledger.OperationID(op.Version), CustomerID: op.Customer, Version: op.Version, Kept: true, Results: make([]Result, len(op.Slots))}
	for i := range op.Slots {
		if op.Slots[i].Route == "" { // it was erased
			e.Results[i] = Result{Route: op.Routes[i], Status: StatusSkipped}
		} else {
			e.Results[i], _ = resultOf(&op.Slots[i], op.Version)
		}
		if r := g.find(op.Routes[i]); r != nil {
			e.Results[i].of(r)
			if e.Results[i].Status == StatusPending {
				g.resting(r, &op.Slots[i], &e.Results[i])
			}
		}
	}
	e.Outcome = outcomeOf(e.Results)
	return e
}

// keyring says which idempotency keys are being worked on in this process. What
// they named before is in the ledger, so that a crash leaves none locked.
type keyring struct {
	mu   sync.Mutex
	held map[keyID]*int64
}

type keyID struct {
	scope  string
	digest [32]byte
}

// take locks a key until release is called.
func (k *keyring) take(key *ledger.Key) (release func(), err error) {
	id := keyID{key.Scope, key.Digest}
	k.mu.Lock()
	defer k.mu.Unlock()
	if version, held := k.held[id]; held {
		e := &InFlightError{err: &canonical.Error{Code: canonical.IdempotencyInFlight, RetryAfter: time.Second,
			Message: "another request with this Idempotency-Key is being worked on; ask again when it has ended"}}
		if *version != 0 {
			e.OperationID = ledger.OperationID(*version)
		}
		return nil, e
	}
	if k.held == nil {
		k.held = map[keyID]*int64{}
	}
	k.held[id] = new(int64)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.held, id)
	}, nil
}

// names notes the operation that a key stands for.
func (k *keyring) names(key *ledger.Key, version int64) {
	if key == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	*k.held[keyID{key.Scope, key.Digest}] = version
}

// InFlightError is the error of a request whose idempotency key is being worked
// on. It wraps an *canonical.Error.
type InFlightError struct {
	OperationID string // empty while that is not known
	err         *canonical.Error
}

// Error is that of the error in the one shape.
func (e *InFlightError) Error() string { return e.err.Error() }

// Unwrap returns the error in the one shape.
func (e *InFlightError) Unwrap() error { return e.err }

// upkeep drops what the ledger need not keep any longer.
func (g *Gateway) upkeep(ctx context.Context) {
	s := ledger.Sweep{
		Latest:     g.opts.Latest,
		Payloads:   max(leaseFor(g.window(g.opts.MaxWait)), g.longestLease()) + g.opts.Settle,
		Operations: keepOperations,
	}
	for {
		more, err := g.store.Sweep(ctx, s)
		pause := sweepEvery/2 + rand.N(sweepEvery)
		if more && err == nil {
			pause = sweepSoon
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

const (
	keepOperations = 7 * 24 * time.Hour
	sweepEvery     = 10 * time.Second
	sweepSoon      = 20 * time.Millisecond
)

func (g *Gateway) longestLease() time.Duration {
	var longest time.Duration
	for _, r := range g.routes {
		longest = max(longest, leaseFor(g.backgroundWindow(r)))
	}
	return longest
}

// counts is the backlog of all routes at a time.
type counts struct {
	at     time.Time
	routes map[string]*Backlog
}

// backlog returns what the routes still have to do, at most a second old; nil
// without a ledger, and the last known one while it does not answer.
func (g *Gateway) backlog() map[string]*Backlog {
	if g.keeper == nil {
		return nil
	}
	last := g.counted.Load()
	if last != nil && time.Since(last.at) < time.Second {
		return last.routes
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	all, err := g.store.Backlog(ctx)
	if err != nil {
		if last != nil {
			return last.routes
		}
		return map[string]*Backlog{}
	}
	now := &counts{at: time.Now(), routes: map[string]*Backlog{}}
	for _, b := range all {
		now.routes[b.Route] = &Backlog{Due: b.Due, Active: b.Leased, Dead: b.Dead, Oldest: b.Oldest.UTC()}
	}
	g.counted.Store(now)
	return now.routes
}

// Backlogs returns what every route still has to do, by route, at most a second
// old; nil without a ledger.
func (g *Gateway) Backlogs() map[string]Backlog {
	all := g.backlog()
	if all == nil {
		return nil
	}
	copied := make(map[string]Backlog, len(all))
	for name, b := range all {
		copied[name] = *b
	}
	return copied
}
