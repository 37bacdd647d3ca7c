package gateway

import (
	"context"
	"sync"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Durable reports whether the gateway has a ledger.
func (g *Gateway) Durable() bool { return g.keeper != nil }

// Ready reports why no upsert can be accepted now, or nil.
func (g *Gateway) Ready() error {
	if g.keeper == nil {
		return nil
	}
	return g.store.Ready()
}

// stateless is the error of a call that needs a ledger.
func (g *Gateway) stateless() error {
	if g.keeper != nil {
		return nil
	}
	return &canonical.Error{Code: canonical.RequestNotFound, Message: "this gateway keeps nothing (ledger.driver is none)"}
}

// Customer returns the sync state of a customer.
func (g *Gateway) Customer(ctx context.Context, id string) (*Customer, error) {
	if err := g.stateless(); err != nil {
		return nil, err
	}
	if err := g.caughtUp(ctx); err != nil {
		return nil, err
	}
	known, err := g.store.Customer(ctx, id)
	if err != nil {
		return nil, err
	}
	c := &Customer{ID: known.ID, Version: known.Version, Routes: make([]Sync, len(known.Slots))}
	for i := range known.Slots {
		slot := &known.Slots[i]
		s := &c.Routes[i]
		*s = Sync{
			Route: slot.Route, Desired: slot.Desired, Applied: slot.Applied, AppliedAt: slot.AppliedAt,
			RemoteID: slot.RemoteID, Attempts: slot.Attempts, State: Pending,
		}
		result, _ := resultOf(slot, slot.Desired)
		if slot.State == ledger.Due { // also if it has to be confirmed once more
			result.NextAttemptAt = slot.NextAt
		}
		if r := g.find(slot.Route); r != nil {
			s.Provider = r.provider
			g.resting(r, slot, &result)
		}
		s.Warnings = result.Warnings
		switch {
		case slot.State == ledger.DeadLettered:
			s.State = Dead
			_, s.Err = lastOf(slot) // also if it was sent once more after it was there
		case slot.State == ledger.Idle:
			s.State = Synced
		default: // also if it is confirmed and sent once more: an older one may have landed since
			s.Err, s.NextAttemptAt = result.Err, result.NextAttemptAt
		}
	}
	if state, err := canonical.DecodeCustomer(id, known.Payload); err == nil {
		base := canonical.NewUpsert(state)
		for i := range c.Routes {
			if s := &c.Routes[i]; s.Desired == c.Version {
				result := Result{Route: s.Route, RemoteID: s.RemoteID, Warnings: s.Warnings}
				g.restate(&base, &result)
				s.Warnings = result.Warnings
			}
		}
	}
	return c, nil
}

// readWait is how long a reading waits for results to be written.
const readWait = 2 * time.Second

// caughtUp waits until readers of the store see all results so far.
func (g *Gateway) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readWait)
	defer cancel()
	if err := g.settler.flush(ctx); err != nil {
		return &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the ledger does not take the latest results now; /readyz names the reason", RetryAfter: time.Second, Err: err}
	}
	return nil
}

// Operation returns what has become of an accepted upsert by now.
func (g *Gateway) Operation(ctx context.Context, id string) (*Envelope, error) {
	if err := g.stateless(); err != nil {
		return nil, err
	}
	version, ok := ledger.ParseOperationID(id)
	if !ok {
		return nil, &canonical.Error{Code: canonical.RequestNotFound, Message: "that is not the id of an operation"}
	}
	if err := g.caughtUp(ctx); err != nil {
		return nil, err
	}
	op, err := g.store.Operation(ctx, version)
	if err != nil {
		return nil, err
	}
	return g.envelope(&op), nil
}

// DeadLetters lists what was given up, oldest first.
func (g *Gateway) DeadLetters(ctx context.Context, f ledger.Filter) ([]DeadLetter, error) {
	if err := g.stateless(); err != nil {
		return nil, err
	}
	if err := g.caughtUp(ctx); err != nil {
		return nil, err
	}
	found, err := g.store.DeadLetters(ctx, f)
	if err != nil {
		return nil, err
	}
	all := make([]DeadLetter, len(found))
	for i := range found {
		d := &found[i]
		_, failed := lastOf(&d.Slot)
		all[i] = DeadLetter{
			Route: d.Route, CustomerID: d.Customer, OperationID: ledger.OperationID(d.Desired), Version: d.Desired,
			DiedAt: d.DiedAt, Attempts: d.Attempts, Err: failed, History: d.History,
		}
		if r := g.find(d.Route); r != nil {
			all[i].Provider = r.provider
		}
	}
	return all, nil
}

// Replay lets dead letters be tried again, with the newest state of each customer,
// and returns how many.
func (g *Gateway) Replay(ctx context.Context, f ledger.Filter) (int, error) {
	if err := g.stateless(); err != nil {
		return 0, err
	}
	if err := g.caughtUp(ctx); err != nil {
		return 0, err
	}
	n, err := g.store.Replay(ctx, f)
	if err != nil {
		return 0, err
	}
	for _, r := range g.routes {
		r.wake()
	}
	return n, nil
}

// Resync lets a route have the newest state of every customer once more. It
// returns how many are due, and of how many the state is no longer held.
func (g *Gateway) Resync(ctx context.Context, name string) (due, missing int, err error) {
	r, err := g.durable(name)
	if err != nil {
		return 0, 0, err
	}
	due, missing, err = g.store.Resync(ctx, name)
	r.wake()
	return due, missing, err
}

// durable returns a route of a gateway with a ledger.
func (g *Gateway) durable(name string) (*route, error) {
	if err := g.stateless(); err != nil {
		return nil, err
	}
	if r := g.find(name); r != nil {
		return r, nil
	}
	return nil, &canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such route; GET /v1/routes lists them"}
}

// Pause holds a route's work until Resume, also over a restart. Without a ledger
// it refuses the route's calls, in this process.
func (g *Gateway) Pause(ctx context.Context, name, reason string) error {
	return g.setPaused(ctx, name, true, reason)
}

// Resume ends a pause.
func (g *Gateway) Resume(ctx context.Context, name string) error {
	return g.setPaused(ctx, name, false, "")
}

func (g *Gateway) setPaused(ctx context.Context, name string, paused bool, reason string) error {
	r := g.find(name)
	if r == nil {
		return &canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such route; GET /v1/routes lists them"}
	}
	if g.keeper != nil {
		g.hold.Lock()
		defer g.hold.Unlock()
		state, err := g.recorded(ctx, name)
		if err != nil {
			return err
		}
		state.Paused, state.Reason = paused, reason
		if err := g.store.SetRoute(ctx, state); err != nil {
			return err
		}
	}
	if paused {
		r.Transport.Pause(reason)
	} else {
		r.Transport.Resume()
		r.wake()
	}
	return nil
}

// Erase deletes everything that the ledger holds about a customer. What providers
// hold is not touched; what is in flight arrives there.
func (g *Gateway) Erase(ctx context.Context, id string) error {
	if err := g.stateless(); err != nil {
		return err
	}
	if err := g.caughtUp(ctx); err != nil {
		return err
	}
	if err := g.store.Erase(ctx, id); err != nil {
		return err
	}
	for _, r := range g.routes { // who waits for it waits for nothing
		g.news.tell(place{r.Name, id})
	}
	return nil
}

// maxRaces is how often a merge patch is laid over a state that an upsert has
// changed meanwhile.
const maxRaces = 20

// Patch lays an RFC 7396 merge patch over the newest state of a customer and
// upserts the outcome. A null stays in it, as the wish to clear the member. Of cmd,
// Customer and Body are not used. Patches of one customer take turns until they are
// durable, so that none is lost, however many come at once.
func (g *Gateway) Patch(ctx context.Context, id string, patch []byte, cmd Command) (*Envelope, error) {
	if err := g.stateless(); err != nil {
		return nil, err
	}
	over, err := canonical.Parse(patch)
	if err != nil || over.Kind() != canonical.KindObject {
		return nil, &canonical.Error{Code: canonical.RequestMalformed, Message: "the merge patch must be a JSON object", Err: err}
	}
	limit := time.Now().Add(g.wait(cmd))
	turn := g.patches.join(id)
	leave := sync.OnceFunc(func() { g.patches.leave(id, turn) })
	defer leave()
	waiting, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	if err := wait(waiting, turn); err != nil {
		return nil, &canonical.Error{Code: canonical.GatewayOverloaded, Message: "earlier patches of this customer took all the time; nothing was accepted", RetryAfter: time.Second, Err: err}
	}
	cmd.accepted = leave
	wanted := cmd.Match
	for range maxRaces {
		cmd.Wait = max(time.Until(limit), time.Millisecond)
		known, err := g.store.Customer(ctx, id)
		if err == nil && known.Damaged != nil {
			err = known.Damaged
		}
		if err == nil && known.Payload == nil {
			err = &canonical.Error{Code: canonical.RequestNotFound,
				Message: "the gateway no longer holds the state of this customer, since every route has it; PUT the whole customer, or have the operator set ledger.retain: latest"}
		}
		if err != nil {
			if cmd.Key != nil {
				if e, err := g.recall(ctx, id, cmd); e != nil || err != nil {
					return e, err
				}
			}
			return nil, err
		}
		base, err := canonical.Parse(known.Payload)
		if err != nil {
			return nil, &canonical.Error{Code: canonical.GatewayInternal, Message: "the state that was stored cannot be read; PUT the whole customer", Err: err}
		}
		base.Merge(over)
		body := base.Encode()
		if cmd.Customer, err = canonical.DecodeCustomer(id, body); err != nil {
			return nil, err
		}
		cmd.Body = body
		if cmd.Match = wanted; wanted.Holds(known.Version) {
			cmd.Match = ledger.Match{Versions: []int64{known.Version}}
		}
		e, err := g.Upsert(ctx, cmd)
		if err == nil || canonical.AsError(err).Code != canonical.RequestPreconditionFailed || !wanted.Holds(known.Version) {
			return e, err
		}
	}
	return nil, &canonical.Error{Code: canonical.RequestPreconditionFailed, Message: "the customer kept changing while the patch was laid over it; send it again"}
}

// recall resumes the operation of a key, if there is one. Nothing can be accepted
// by it.
func (g *Gateway) recall(ctx context.Context, id string, cmd Command) (*Envelope, error) {
	customer, err := canonical.DecodeCustomer(id, []byte("{}"))
	if err != nil {
		return nil, nil
	}
	cmd.Customer, cmd.Body, cmd.Match = customer, []byte("{}"), ledger.Match{Versions: []int64{}}
	e, err := g.Upsert(ctx, cmd)
	if err != nil && canonical.AsError(err).Code == canonical.RequestPreconditionFailed {
		return nil, nil
	}
	return e, err
}
