package gateway

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/trace"
	"customer-gateway/gateway/transport"
)

// pollEvery is how often a dispatcher looks without being woken.
const pollEvery = 500 * time.Millisecond

// backgroundWindow is how long a delivery of the backlog may take: a slow provider
// stretches it, and so does a slow limit, since every request needs a token. One
// that could never end would be begun for ever.
func (g *Gateway) backgroundWindow(r *route) time.Duration {
	window := max(g.window(0), 3*r.Timeout)
	if r.Rate > 0 {
		window = max(window, time.Duration(math.Min(maxSteps/r.Rate, 3600)*float64(time.Second)))
	}
	return window
}

// abreast is how many deliveries of the backlog a route's limit can carry to
// their end within their time, if they take four requests each.
func (g *Gateway) abreast(r *route) int {
	if r.Rate <= 0 {
		return math.MaxInt
	}
	return max(1, int(min(r.Rate*g.backgroundWindow(r).Seconds()/4, math.MaxInt32)))
}

// dispatch takes the backlog of a route to its provider, as far as live calls
// leave room, until ctx ends.
func (g *Gateway) dispatch(ctx context.Context, r *route) {
	d := dispatcher{Gateway: g, route: r, window: g.backgroundWindow(r), most: g.abreast(r)}
	var active int
	ended := make(chan struct{})
	for {
		pause := pollEvery/2 + rand.N(pollEvery)
		if free, wait := d.room(active); free > 0 {
			until := time.Now().Add(d.window) // the leases begin later, however long the claim takes
			leases, wait := d.claim(ctx, free)
			for _, group := range d.groups(leases) {
				active++
				g.fly(func() {
					defer func() { // also after a panic
						select {
						case ended <- struct{}{}:
						case <-ctx.Done():
						}
					}()
					d.carryAll(group, until)
				})
			}
			if len(leases) > 0 {
				continue
			}
			pause = min(pause, wait)
		} else if wait > 0 {
			pause = min(pause, wait)
		}
		timer := time.NewTimer(pause)
		select {
		case <-r.news:
		case <-ended:
			active--
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// dispatcher is what a route's dispatch works with.
type dispatcher struct {
	*Gateway
	*route
	window time.Duration
	most   int
}

// room returns how many more deliveries may begin now, or for how long none may.
func (d *dispatcher) room(active int) (free int, wait time.Duration) {
	room := d.Transport.Room()
	switch {
	case room.Paused:
		return 0, 0
	case room.Wait > 0:
		return 0, room.Wait
	case room.Probe:
		return max(0, 1-active), 0
	}
	// Those that have not come to the transport yet are not among its calls.
	return min(room.Free, room.Places-active, d.most-active), 0
}

// claim leases what is due, for free deliveries, or returns how long to wait.
func (d *dispatcher) claim(ctx context.Context, free int) (leases []ledger.Lease, wait time.Duration) {
	wait, any, err := d.store.NextDue(ctx, d.Name)
	if err != nil || !any {
		return nil, pollEvery
	}
	if wait > 0 {
		return nil, wait
	}
	if d.batcher != nil {
		free *= d.Batch
	}
	leases, err = d.store.Claim(ctx, d.Name, free, leaseFor(d.window))
	if err != nil {
		return nil, pollEvery
	}
	return leases, pollEvery
}

// groups splits leases into what goes out together.
func (d *dispatcher) groups(leases []ledger.Lease) [][]ledger.Lease {
	size := 1
	if d.batcher != nil {
		size = d.Batch
	}
	var all [][]ledger.Lease
	for len(leases) > 0 {
		n := min(size, len(leases))
		all = append(all, leases[:n:n])
		leases = leases[n:]
	}
	return all
}

// carryAll takes a group of leases to the provider, until its time is over.
func (d *dispatcher) carryAll(group []ledger.Lease, until time.Time) {
	ctx, cancel := context.WithDeadline(trace.NewContext(d.life, trace.New()), until)
	defer cancel()
	ctx = transport.Background(ctx)
	if len(group) > 1 {
		d.carryBatch(ctx, group)
		return
	}
	lease := &group[0]
	base, failed := d.open(d.route, lease)
	if failed != nil {
		d.abandon(d.route, lease, failed, background)
		return
	}
	var result Result
	d.carry(ctx, d.route, base, lease, &result, background)
}

// row is one customer of a batch.
type row struct {
	lease  *ledger.Lease
	base   *canonical.Upsert
	upsert canonical.Upsert
	notice []canonical.Notice // of a changed identity
	result Result
	trip   trip
	ended  bool // the result is there
}

func (w *row) fail(e *canonical.Error, wrote bool) {
	w.result.fail(e, wrote)
	w.ended = true
}

// carryBatch takes many customers to the provider in one request. Each ends by
// itself.
func (d *dispatcher) carryBatch(ctx context.Context, group []ledger.Lease) {
	started := time.Now()
	rows := make([]*row, 0, len(group))
	for i := range group {
		lease := &group[i]
		base, failed := d.open(d.route, lease)
		if failed != nil {
			d.abandon(d.route, lease, failed, background)
			continue
		}
		w := &row{lease: lease, base: base, upsert: base.For(d.Name, d.provider, lease.RemoteID)}
		w.result.of(d.route)
		rows = append(rows, w)
	}
	d.trySendBatch(ctx, rows)
	endings := make([]ending, len(rows))
	for i, w := range rows { // all of them in few commits
		if !w.ended {
			d.alone(ctx, w)
		}
		endings[i] = d.conclude(d.route, w.lease, &w.result, w.trip, started, background)
	}
	for i := range endings {
		d.tell(&endings[i])
	}
}

// trySendBatch is sendBatch. A panic ends it: it is one customer's fault, and the
// others have not ended.
func (d *dispatcher) trySendBatch(ctx context.Context, rows []*row) {
	defer func() {
		if p := recover(); p != nil {
			d.defect(ctx, crashed(d.provider, p))
		}
	}()
	d.sendBatch(ctx, rows)
}

// sendBatch sends the rows and fills in what became of each. Those that have not
// ended afterwards are to be sent alone.
func (d *dispatcher) sendBatch(ctx context.Context, rows []*row) {
	together := make([]*row, 0, len(rows))
	for _, w := range rows {
		var ok bool
		if w.notice, ok = d.recognize(&w.upsert, w.lease, &w.result, &w.trip); ok {
			together = append(together, w)
		} else {
			w.ended = true
		}
	}
	request, translated := d.batcher.TranslateBatch(upserts(together))
	// Strict rows that would lose something are left out.
	kept := together[:0:0]
	for i, w := range together {
		t := &translated[i]
		if t.Err == nil && w.lease.Strict {
			t.Err = refuseLosses(d.provider, t.Outcome.Notices)
		}
		if t.Err != nil {
			w.fail(canonical.AsError(t.Err), false)
			continue
		}
		kept = append(kept, w)
	}
	if len(kept) < len(together) {
		request, translated = d.batcher.TranslateBatch(upserts(kept))
	}
	if request == nil {
		return
	}
	us := upserts(kept)
	var read []canonical.Row
	got := d.Transport.Do(ctx, request, func(reply *canonical.Reply) (canonical.Outcome, error) {
		read = d.batcher.InterpretBatch(us, request, reply)
		return canonical.Outcome{}, wholeCall(read, translated)
	})
	for i, w := range kept {
		if translated[i].Outcome.Next != nil {
			continue
		}
		w.result.Attempts, w.trip.unsure = got.Attempts, got.Unsure
		w.result.RemoteID = w.lease.RemoteID
		w.result.Warnings = slices.Concat(translated[i].Outcome.Notices, w.notice)
		switch {
		case got.Err == nil:
			w.read(d.provider, &read[i], request)
		case got.Err.Code != canonical.GatewayInternal:
			w.fail(got.Err, true)
		}
	}
	if got.Err != nil && got.Err.Code == canonical.GatewayInternal { // it may be one row's fault
		d.defect(ctx, got.Err)
	}
}

// defect logs an error that is not the result of one row.
func (d *dispatcher) defect(ctx context.Context, e *canonical.Error) {
	var result Result
	result.of(d.route)
	result.fail(e, false)
	d.logFailure(ctx, "", &result)
}

// alone takes a row to the provider by itself.
func (d *dispatcher) alone(ctx context.Context, w *row) {
	sent, unsure := w.result.Attempts, w.trip.unsure
	w.result = Result{Attempts: sent}
	w.result.of(d.route)
	w.trip = d.attempt(ctx, w.base, w.lease, &w.result)
	w.trip.unsure = w.trip.unsure || unsure
}

func upserts(rows []*row) []canonical.Upsert {
	all := make([]canonical.Upsert, len(rows))
	for i, w := range rows {
		all[i] = w.upsert
	}
	return all
}

// wholeCall returns the error of a call that failed as a whole, so that the layers
// below judge it as they judge any other: all its rows have it, and it is about no
// customer.
func wholeCall(read, translated []canonical.Row) error {
	var first *canonical.Error
	for i := range read {
		if translated[i].Outcome.Next != nil {
			continue // it was not in the call
		}
		if read[i].Outcome.Next != nil {
			return nil
		}
		e := canonical.AsError(read[i].Err)
		switch {
		case e == nil, e.Code.Info().Acts == canonical.ActsCaller, first != nil && e.Code != first.Code:
			return nil
		}
		first = e
	}
	if first == nil {
		return nil
	}
	return first
}

// read fills in what the reply says of the row, if that is its end. What is not
// finished with this request is to go alone, and so is what may have failed for a
// remote id that leads nowhere.
func (w *row) read(provider string, got *canonical.Row, request *canonical.Request) {
	e := canonical.AsError(got.Err)
	if got.Outcome.Next != nil || e != nil && e.Code == canonical.UpstreamNotFound && w.lease.RemoteID != "" {
		return
	}
	w.ended = true
	w.result.Warnings = append(w.result.Warnings, got.Outcome.Notices...)
	if got.Outcome.RemoteID != "" {
		w.result.RemoteID = got.Outcome.RemoteID
	}
	if e == nil {
		w.result.succeed(got.Outcome.Action)
		return
	}
	failed := *e
	failed.Provider = provider
	if failed.Op == "" {
		failed.Op = request.Op
	}
	w.result.fail(&failed, true)
}
