package ledgertest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// model plays random histories of two routes and two customers against one store,
// each with names of its own, and stops at the first that breaks a promise.
func model(t *testing.T, open func(t *testing.T, o Options) ledger.Store) {
	var s *suite
	played := 0
	rapid.Check(t, func(rt *rapid.T) {
		if played%25 == 0 { // opening takes longer than a history, and so does a large store
			s = start(t, open)
		}
		played++
		if story, ok := play(rt, s, played); !ok {
			rt.Fatal(story)
		}
	})
}

// world is one history: a store, the providers behind it, and what the promises say
// of both.
type world struct {
	*suite
	t     *rapid.T
	story []string
	calm  bool // nothing lands late, and all obey their deadlines
	slots []*place
	n     int // of the history
}

// place is what the model knows of one slot and the provider behind it.
type place struct {
	route, customer string
	accepted        int64 // the newest
	confirmed       int64 // the newest that a finish confirmed in time
	refused         int64 // the one that was finished dead in time last
	token           int64 // of the lease that counts; 0 if it was finished
	until           time.Time
	leases          []*worker
	record          int64 // what the provider holds
	seen            []int64
	landings        []landing // on their way to the provider
	last            *ledger.Finish
	sends           int // since the world is quiet
}

// worker holds a lease, or believes so.
type worker struct {
	lease  ledger.Lease
	at     time.Time      // when it was asked for
	finish *ledger.Finish // what is to be said in the end; nil if nothing was tried
	zombie bool           // it sent something after its deadline; it must tell
}

// landing is a request that takes effect late.
type landing struct {
	at      time.Time
	version int64
}

// violation is a promise that was broken.
type violation string

// Actions happen one tick apart.
const tick = time.Millisecond

// patience is how long a worker may go on after its lease is over, and with it what
// a sweep must leave.
const patience = 4 * (lease + settle)

// hold is for how long routes are held back.
const hold = 20 * time.Second

// play plays one history and reports whether all promises were kept, with the story
// if not.
func play(t *rapid.T, s *suite, n int) (story string, ok bool) {
	w := &world{suite: s, t: t, n: n}
	defer func() {
		if v := recover(); v != nil {
			broken, mine := v.(violation)
			if !mine {
				panic(v)
			}
			story, ok = strings.Join(append(w.story, string(broken)), "\n"), false
		}
	}()
	w.calm = rapid.Bool().Draw(t, "calm")
	routes := rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "routes")
	people := rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "customers")
	for c := range people {
		for r := range routes {
			w.slots = append(w.slots, &place{route: fmt.Sprintf("route%d-%d", r, n), customer: fmt.Sprintf("customer%d-%d", c, n)})
		}
	}
	var names []string
	actions := w.actions()
	for _, name := range slices.Sorted(maps.Keys(actions)) {
		for range actions[name].weight {
			names = append(names, name)
		}
	}
	for range rapid.IntRange(5, 60).Draw(t, "steps") {
		w.pass(tick)
		actions[rapid.SampledFrom(names).Draw(t, "action")].do()
		for _, p := range w.slots {
			w.check(p)
		}
		w.count()
	}
	w.quiet()
	return "", true
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, fmt.Sprintf("%8s  ", w.clock.Now().Sub(newClock().now)%(24*time.Hour))+fmt.Sprintf(format, args...))
}

func (w *world) broken(format string, args ...any) {
	panic(violation("BROKEN: " + fmt.Sprintf(format, args...)))
}

func (w *world) must(what string, err error) {
	if err != nil {
		w.broken("%s: %v", what, err)
	}
}

// action is something that may happen at any time.
type action struct {
	weight int
	do     func()
}

func (w *world) actions() map[string]action {
	return map[string]action{
		"upsert":  {8, w.upsert},
		"accept":  {6, w.accept},
		"claim":   {3, w.claim},
		"one":     {6, w.claimSlot},
		"deliver": {6, w.deliverOne},
		"send":    {6, w.send},
		"finish":  {6, w.finishOne},
		"again":   {1, w.again},
		"advance": {8, w.advance},
		"crash":   {1, w.crash},
		"replay":  {2, w.replay},
		"resync":  {1, w.resync},
		"sweep":   {1, w.sweepUp},
		"route":   {2, w.gate},
	}
}

// pick draws a slot.
func (w *world) pick() *place { return rapid.SampledFrom(w.slots).Draw(w.t, "slot") }

func (p *place) String() string { return p.route + "/" + p.customer }

// isOpen reports whether the store may lease slots of a route.
func (w *world) isOpen(route string) bool {
	routes, err := w.store.Routes(w.ctx())
	w.must("Routes", err)
	for _, r := range routes {
		if r.Name == route {
			return !r.Paused && !r.NotBefore.After(w.store.Now())
		}
	}
	return true
}

func (w *world) accept() {
	p := w.pick()
	a := ledger.Accept{Customer: p.customer, Payload: state("x")}
	for _, q := range w.slots {
		if q.customer == p.customer && (q == p || rapid.Bool().Draw(w.t, "also")) {
			a.Routes = append(a.Routes, q.route)
		}
	}
	slices.Sort(a.Routes)
	if rapid.IntRange(0, 2).Draw(w.t, "lease") > 0 {
		a.Lease = lease
	}
	free := map[string]bool{}
	for _, r := range a.Routes {
		slot, err := w.store.Slot(w.ctx(), r, a.Customer)
		rests := err == nil && (slot.State == ledger.Due || slot.State == ledger.Leased) && slot.NextAt.After(w.store.Now())
		redo := slot.State == ledger.Due && slot.Applied == slot.Desired && slot.Code == "" // a newer state does not wait for it
		free[r] = a.Lease > 0 && (!rests || redo) && w.isOpen(r)
	}
	asked := w.clock.Now()
	got, err := w.store.Accept(w.ctx(), a)
	w.must("Accept", err)
	for i, route := range a.Routes {
		q := w.at(route, a.Customer)
		if got.Version <= q.accepted {
			w.broken("version %d after %d", got.Version, q.accepted)
		}
		q.accepted = got.Version
		l := got.Places[i].Lease
		w.tell("accept %d at %s, leased %t", got.Version, q, l != nil)
		if (l != nil) != free[route] {
			w.broken("%s: leased = %t, want %t", q, l != nil, free[route])
		}
		if l != nil {
			l.Payload = a.Payload
			w.take(q, *l, asked)
		}
	}
}

// upsert accepts, and delivers at once what is leased.
func (w *world) upsert() {
	had := map[*worker]bool{}
	for _, p := range w.slots {
		for _, k := range p.leases {
			had[k] = true
		}
	}
	w.accept()
	for _, p := range w.slots {
		for _, k := range slices.Clone(p.leases) {
			if !had[k] {
				w.pass(tick)
				w.attempt(p, k, true)
				w.pass(tick)
				w.end(p, k)
			}
		}
	}
}

// deliverOne is what a background worker does with a slot.
func (w *world) deliverOne() {
	p := w.pick()
	n := len(p.leases)
	w.claimOf(p)
	if len(p.leases) > n {
		k := p.leases[n]
		w.pass(tick)
		w.attempt(p, k, true)
		w.pass(tick)
		w.end(p, k)
	}
}

func (w *world) at(route, customer string) *place {
	for _, p := range w.slots {
		if p.route == route && p.customer == customer {
			return p
		}
	}
	w.broken("slot %s/%s belongs to nobody here", route, customer)
	return nil
}

// take records a lease that the store has granted.
func (w *world) take(p *place, l ledger.Lease, asked time.Time) {
	now := w.clock.Now()
	w.tell("lease %d of %s to send %d", l.Token, p, l.Version)
	switch {
	case p.token != 0 && p.until.After(now):
		w.broken("I4: %s is leased although a lease of it is live", p)
	case l.Version != p.accepted:
		w.broken("I7: %s is to send %d, but %d is the newest", p, l.Version, p.accepted)
	case !w.isOpen(p.route):
		w.broken("I9: %s is leased although its route is closed", p)
	case l.Payload == nil:
		w.broken("%s is to send %d, which is not held any more", p, l.Version)
	}
	for _, q := range w.slots {
		for _, other := range q.leases {
			if other.lease.Token == l.Token {
				w.broken("token %d was granted twice", l.Token)
			}
		}
	}
	p.token, p.until = l.Token, now.Add(lease)
	p.leases = append(p.leases, &worker{lease: l, at: asked})
}

func (w *world) claim() {
	p := w.pick()
	asked := w.clock.Now()
	leases, err := w.store.Claim(w.ctx(), p.route, rapid.IntRange(1, 3).Draw(w.t, "limit"), lease)
	w.must("Claim", err)
	for _, l := range leases {
		w.take(w.at(p.route, l.Customer), l, asked)
	}
}

func (w *world) claimSlot() { w.claimOf(w.pick()) }

func (w *world) claimOf(p *place) {
	asked := w.clock.Now()
	l, ok, err := w.store.ClaimSlot(w.ctx(), p.route, p.customer, lease)
	w.must("ClaimSlot", err)
	if ok {
		w.take(p, l, asked)
	}
}

// draw draws one of the workers that suit, with its slot.
func (w *world) draw(suits func(*worker) bool) (*place, *worker) {
	var places []*place
	var all []*worker
	for _, p := range w.slots {
		for _, k := range p.leases {
			if suits(k) {
				places, all = append(places, p), append(all, k)
			}
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	i := rapid.IntRange(0, len(all)-1).Draw(w.t, "worker")
	return places[i], all[i]
}

// send lets a worker make one attempt. Most obey the deadline, which is over before
// the lease is; some slept through it.
func (w *world) send() {
	now := w.clock.Now()
	p, k := w.draw(func(k *worker) bool { return k.finish == nil || k.finish.Verdict == ledger.Retry })
	if k == nil {
		return
	}
	deadline := k.at.Add(lease * 8 / 10)
	obeys := now.Before(deadline)
	if !obeys && w.calm {
		return
	}
	if !obeys && now.After(k.at.Add(patience)) {
		return
	}
	w.attempt(p, k, obeys)
}

// attempt sends a state, and notes what the worker will say.
func (w *world) attempt(p *place, k *worker, obeys bool) {
	l := k.lease
	if obeys && l.Version < p.confirmed {
		w.broken("I3: %s sends %d after %d was confirmed", p, l.Version, p.confirmed)
	}
	was := k.finish
	f := &ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Unsure: was != nil && was.Unsure}
	k.finish = f
	k.zombie = k.zombie || !obeys
	if !w.calm && rapid.IntRange(0, 5).Draw(w.t, "timed out before") == 0 {
		w.tell("send %d under %d to %s: late, then again", l.Version, l.Token, p)
		w.late(p, l.Version)
		f.Unsure = true
	}
	kinds := []string{"applied", "applied", "applied", "refused", "throttled", "answer lost"}
	if !w.calm {
		kinds = append(kinds, "late", "late", "never")
	}
	kind := rapid.SampledFrom(kinds).Draw(w.t, "what happens")
	w.tell("send %d under %d to %s: %s (obeys %t)", l.Version, l.Token, p, kind, obeys)
	switch kind {
	case "applied":
		w.land(p, l.Version)
		f.Verdict = ledger.Applied
	case "refused":
		f.Verdict, f.Code = ledger.Dead, canonical.UpstreamInvalid
	case "throttled":
		f.Delay = w.delay()
	case "answer lost":
		w.land(p, l.Version)
		f.Unsure, f.Delay = true, w.delay()
	case "late":
		w.late(p, l.Version)
		f.Unsure, f.Delay = true, w.delay()
	case "never":
		f.Unsure, f.Delay = true, w.delay()
	}
}

// late lets a request take effect some time after it was given up.
func (w *world) late(p *place, version int64) {
	in := time.Duration(rapid.IntRange(5, int(settle/time.Second)-1).Draw(w.t, "seconds")) * time.Second
	p.landings = append(p.landings, landing{w.clock.Now().Add(in), version})
}

func (w *world) delay() time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 0, 0, 1, 20, 90}).Draw(w.t, "delay")) * time.Second
}

// land lets a provider take a state.
func (w *world) land(p *place, version int64) {
	if w.calm && version < p.record {
		w.broken("I3: %s got %d after %d although nothing was late", p, version, p.record)
	}
	p.record = version
	p.seen = append(p.seen, version)
}

// pass lets time pass, and with it what is on its way land.
func (w *world) pass(d time.Duration) {
	until := w.clock.Now().Add(d)
	for {
		var next *place
		var which int
		for _, p := range w.slots {
			for i, l := range p.landings {
				if !l.at.After(until) && (next == nil || l.at.Before(next.landings[which].at)) {
					next, which = p, i
				}
			}
		}
		if next == nil {
			break
		}
		l := next.landings[which]
		next.landings = slices.Delete(next.landings, which, which+1)
		w.suite.advance(max(0, l.at.Sub(w.clock.Now())))
		w.tell("%d lands at %s", l.version, next)
		w.land(next, l.version)
	}
	w.suite.advance(max(0, until.Sub(w.clock.Now())))
	w.bury()
}

// bury ends workers that outlived all patience.
func (w *world) bury() {
	for _, p := range w.slots {
		for _, k := range slices.Clone(p.leases) {
			if !w.clock.Now().Before(k.at.Add(patience)) {
				w.end(p, k)
			}
		}
	}
}

func (w *world) advance() {
	seconds := rapid.SampledFrom([]int{1, 1, 1, 5, 10, 29, 30, 31, 60, 120}).Draw(w.t, "seconds")
	w.pass(time.Duration(seconds) * time.Second)
}

// finishOne lets a worker say how it ended.
func (w *world) finishOne() {
	if p, k := w.draw(func(k *worker) bool { return true }); k != nil {
		w.end(p, k)
	}
}

func (w *world) end(p *place, k *worker) {
	i := slices.Index(p.leases, k)
	p.leases = slices.Delete(p.leases, i, i+1)
	f := k.finish
	if f == nil { // gave up before it tried
		f = &ledger.Finish{Route: p.route, Customer: p.customer, Token: k.lease.Token, Version: k.lease.Version, Uncounted: true, Delay: w.delay()}
	}
	was, err := w.store.Slot(w.ctx(), p.route, p.customer)
	w.must("Slot", err)
	got, err := ledger.Settle(w.ctx(), w.store, []ledger.Finish{*f})
	w.must("Finish", err)
	p.last = f
	held := p.token == f.Token
	w.tell("finish %d of %s: verdict %d, unsure %t, held %t: %+v", f.Token, p, f.Verdict, f.Unsure, held, got[0])
	if got[0].Lost == held {
		w.broken("I6: %s: lost = %t, but held = %t", p, got[0].Lost, held)
	}
	if !held {
		w.stale(p, f, &was)
		return
	}
	p.token = 0
	switch f.Verdict {
	case ledger.Applied:
		p.confirmed = max(p.confirmed, f.Version)
	case ledger.Dead:
		p.refused = f.Version
	}
}

// again says the last finish of a slot once more, as one does who got no answer.
func (w *world) again() {
	p := w.pick()
	if p.last == nil {
		return
	}
	was, err := w.store.Slot(w.ctx(), p.route, p.customer)
	w.must("Slot", err)
	got, err := ledger.Settle(w.ctx(), w.store, []ledger.Finish{*p.last})
	w.must("Finish", err)
	w.tell("finish %d of %s again: %+v", p.last.Token, p, got[0])
	if !got[0].Lost {
		w.broken("I6: %s: lease %d was finished twice", p, p.last.Token)
	}
	w.stale(p, p.last, &was)
}

// stale checks that a finish of a lost lease changed nothing but when.
func (w *world) stale(p *place, f *ledger.Finish, was *ledger.Slot) {
	now, err := w.store.Slot(w.ctx(), p.route, p.customer)
	w.must("Slot", err)
	if was.State == ledger.Idle && now.State == ledger.Due && (f.Unsure || f.Verdict == ledger.Applied) && f.Version < was.Applied {
		now.State, now.NextAt = was.State, was.NextAt
	}
	if was.State == ledger.Idle {
		now.NextAt = was.NextAt // means nothing
	}
	if fmt.Sprint(now) != fmt.Sprint(*was) {
		w.broken("I6: %s: a lost finish changed %+v to %+v", p, *was, now)
	}
}

// crash kills the process: its leases are forgotten, what it sent is not. A zombie
// is another process and lives on.
func (w *world) crash() {
	for _, p := range w.slots {
		p.leases = slices.DeleteFunc(p.leases, func(k *worker) bool { return !k.zombie })
	}
	w.tell("crash")
	if err := w.store.Close(); err != nil {
		w.broken("Close: %v", err)
	}
	w.store = w.openStore()
}

func (w *world) replay() {
	p := w.pick()
	n, err := w.store.Replay(w.ctx(), ledger.Filter{Route: p.route})
	w.must("Replay", err)
	w.tell("replay of %s: %d", p.route, n)
}

func (w *world) resync() {
	p := w.pick()
	n, missing, err := w.store.Resync(w.ctx(), p.route)
	w.must("Resync", err)
	w.tell("resync of %s: %d, %d missing", p.route, n, missing)
}

func (w *world) sweepUp() {
	if rapid.Bool().Draw(w.t, "later") {
		w.pass(patience)
	}
	how := ledger.Sweep{Latest: rapid.Bool().Draw(w.t, "latest"), Payloads: patience, Operations: patience}
	w.tell("sweep")
	for more := true; more; {
		var err error
		more, err = w.store.Sweep(w.ctx(), how)
		w.must("Sweep", err)
	}
}

// gate pauses a route, holds it or opens it.
func (w *world) gate() {
	r := ledger.Route{Name: w.pick().route}
	switch rapid.IntRange(0, 3).Draw(w.t, "gate") {
	case 0:
		r.Paused = true
	case 1:
		r.NotBefore = w.store.Now().Add(hold)
	}
	w.tell("route %+v", r)
	w.must("SetRoute", w.store.SetRoute(w.ctx(), r))
}

// check holds what is always true of a slot.
func (w *world) check(p *place) {
	if p.accepted == 0 {
		return
	}
	slot, err := w.store.Slot(w.ctx(), p.route, p.customer)
	w.must("Slot", err)
	switch {
	case slot.Desired != p.accepted:
		w.broken("%s: desired %d, want %d", p, slot.Desired, p.accepted)
	case slot.Applied != p.confirmed:
		w.broken("%s: applied %d, want %d", p, slot.Applied, p.confirmed)
	case slot.Applied > slot.Desired || slot.InFlight > slot.Desired:
		w.broken("I5: %s: %+v", p, slot)
	case slot.State == ledger.DeadLettered && p.refused != p.accepted:
		w.broken("%s is dead, but %d was never refused", p, p.accepted)
	case slot.State == ledger.Idle && slot.Applied != slot.Desired:
		w.broken("I1: %s is idle, but %d is not delivered", p, slot.Desired)
	}
}

// count checks that the backlog is what the slots say.
func (w *world) count() {
	want := map[string]ledger.Backlog{}
	for _, p := range w.slots {
		b := want[p.route]
		b.Route = p.route
		if p.accepted != 0 {
			slot, err := w.store.Slot(w.ctx(), p.route, p.customer)
			w.must("Slot", err)
			switch slot.State {
			case ledger.Due:
				b.Due++
			case ledger.Leased:
				b.Leased++
			case ledger.DeadLettered:
				b.Dead++
			}
			if (slot.State == ledger.Due || slot.State == ledger.Leased) && (b.Oldest.IsZero() || slot.DueSince.Before(b.Oldest)) {
				b.Oldest = slot.DueSince
			}
		}
		want[p.route] = b
	}
	all, err := w.store.Backlog(w.ctx())
	w.must("Backlog", err)
	for _, b := range all {
		if is, ours := want[b.Route]; ours && (is.Due != b.Due || is.Leased != b.Leased || is.Dead != b.Dead || !is.Oldest.Equal(b.Oldest)) {
			w.broken("backlog is %+v, but the slots say %+v", b, is)
		}
		delete(want, b.Route)
	}
	for _, b := range want {
		if b.Due+b.Leased+b.Dead > 0 {
			w.broken("the backlog leaves out %+v", b)
		}
	}
}

// quiet lets the world come to rest: all leases end, all that is on its way lands
// before or while the rest is delivered, and nothing fails any more.
func (w *world) quiet() {
	w.tell("quiet")
	early := rapid.Bool().Draw(w.t, "deliver at once")
	for _, p := range w.slots {
		w.must("SetRoute", w.store.SetRoute(w.ctx(), ledger.Route{Name: p.route}))
		for _, k := range slices.Clone(p.leases) {
			if k.zombie || rapid.Bool().Draw(w.t, "finishes") {
				w.end(p, k)
			}
		}
		p.leases = nil
	}
	if early {
		w.pass(hold)
		w.deliver(20)
	}
	w.pass(patience)
	for _, p := range w.slots {
		p.sends = 0
	}
	w.deliver(20)
	w.pass(24 * time.Hour)
	for _, p := range w.slots {
		if p.accepted == 0 {
			continue
		}
		w.check(p)
		if leases, err := w.store.Claim(w.ctx(), p.route, 10, lease); err != nil || len(leases) > 0 {
			w.broken("I8: %s: more is due in a quiet world: %+v, %v", p, leases, err)
		}
		slot, err := w.store.Slot(w.ctx(), p.route, p.customer)
		w.must("Slot", err)
		switch {
		case p.sends > 2:
			w.broken("I8: %s was sent %d times", p, p.sends)
		case slot.State == ledger.DeadLettered:
		case slot.State != ledger.Idle:
			w.broken("I1: %s is in state %d", p, slot.State)
		case p.record != p.accepted:
			w.broken("I2: %s holds %d, want %d; it saw %v", p, p.record, p.accepted, p.seen)
		}
	}
}

// deliver works off what is due until nothing is.
func (w *world) deliver(rounds int) {
	for range rounds {
		wait := time.Duration(-1)
		for _, p := range w.slots {
			d, ok, err := w.store.NextDue(w.ctx(), p.route)
			w.must("NextDue", err)
			if ok && (wait < 0 || d < wait) {
				wait = d
			}
		}
		if wait < 0 {
			return
		}
		w.pass(wait + tick)
		for _, p := range w.slots {
			leases, err := w.store.Claim(w.ctx(), p.route, 10, lease)
			w.must("Claim", err)
			for _, l := range leases {
				q := w.at(p.route, l.Customer)
				w.take(q, l, w.clock.Now())
				k := q.leases[len(q.leases)-1]
				w.tell("send %d to %s", l.Version, q)
				w.land(q, l.Version)
				q.sends++
				k.finish = &ledger.Finish{Route: l.Route, Customer: l.Customer, Token: l.Token, Version: l.Version, Verdict: ledger.Applied}
				w.pass(tick)
				w.end(q, k)
			}
		}
	}
	w.broken("I8: there is always more to do in a quiet world")
}
