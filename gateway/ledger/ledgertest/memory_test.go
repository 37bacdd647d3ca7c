package ledgertest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// memory is the contract in its shortest form: a store without a disk. The suite
// is tested with it, and so is that the suite bites: mutant switches one of its
// rules off.
type memory struct {
	mu           sync.Mutex
	d            *disk
	settle       time.Duration
	wall         func() time.Time
	opened, base time.Time
	mutant       string
	closed       bool
}

var _ ledger.Sealable = (*memory)(nil)

// disk is what survives when a memory is closed.
type disk struct {
	last       time.Time
	version    int64
	slots      map[[2]string]*memorySlot
	operations map[int64]*memoryOperation
	keys       map[string]memoryKey
	routes     map[string]ledger.Route
	sealKeys   []string
}

type memorySlot struct {
	ledger.Slot
	token             int64
	unsure            int64
	claimedAt, settle time.Time
	updatedAt         time.Time
	identity          []byte
	diedAt            time.Time
	history           []ledger.Attempt
}

type memoryOperation struct {
	ledger.Operation
	payload []byte
}

type memoryKey struct {
	fingerprint [32]byte
	version     int64
	expires     time.Time
}

// openMemory opens stores with one rule switched off.
func openMemory(mutant string) func(t *testing.T, o Options) ledger.Store {
	var disks sync.Map // by directory
	return func(_ *testing.T, o Options) ledger.Store {
		d, _ := disks.LoadOrStore(o.Dir, &disk{
			slots: map[[2]string]*memorySlot{}, operations: map[int64]*memoryOperation{}, keys: map[string]memoryKey{}, routes: map[string]ledger.Route{},
		})
		m := &memory{d: d.(*disk), settle: o.Settle, wall: o.Now, opened: o.Now(), mutant: mutant}
		if m.base = m.opened; m.d.last.After(m.base) {
			m.base = m.d.last
		}
		if mutant == "free leases at start-up" {
			for _, s := range m.d.slots {
				if s.State == ledger.Leased {
					s.State, s.NextAt = ledger.Due, m.base
				}
			}
		}
		return m
	}
}

func fail(code canonical.Code, message string) error {
	return &canonical.Error{Code: code, Message: message}
}

func (m *memory) lock() (unlock func(), err error) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return nil, &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the store is closed", RetryAt: m.wall()}
	}
	return m.mu.Unlock, nil
}

func (m *memory) now() time.Time {
	if now := m.base.Add(m.wall().Sub(m.opened)); now.After(m.d.last) {
		m.d.last = now
	}
	return m.d.last
}

// next is the source of versions and tokens.
func (m *memory) next() int64 {
	m.d.version = max(m.d.version+1, m.now().UnixMicro())
	return m.d.version
}

func (m *memory) isOpen(route string) bool {
	r := m.d.routes[route]
	return m.mutant == "claim on a closed route" || !r.Paused && !r.NotBefore.After(m.now())
}

func (m *memory) of(customer string) []*memorySlot {
	var slots []*memorySlot
	for _, s := range m.d.slots {
		if s.Customer == customer {
			slots = append(slots, s)
		}
	}
	slices.SortFunc(slots, func(a, b *memorySlot) int { return cmp.Compare(a.Route, b.Route) })
	return slots
}

func (m *memory) Accept(ctx context.Context, a ledger.Accept) (ledger.Accepted, error) {
	unlock, err := m.lock()
	if err != nil {
		return ledger.Accepted{}, err
	}
	defer unlock()
	now := m.now()
	var key string
	if a.Key != nil {
		key = a.Key.Scope + "\x00" + string(a.Key.Digest[:])
		if k, ok := m.d.keys[key]; ok && k.expires.After(now) {
			if k.fingerprint != a.Key.Fingerprint {
				return ledger.Accepted{}, fail(canonical.IdempotencyKeyReused, "the key is on record for another request")
			}
			return ledger.Accepted{Version: k.version, Existing: true}, nil
		}
	}
	slots := m.of(a.Customer)
	var stands int64
	for _, s := range slots {
		stands = max(stands, s.Desired)
	}
	if known := len(slots) > 0; a.Match.Known && !known || a.Match.Unknown && known ||
		a.Match.Versions != nil && !slices.Contains(a.Match.Versions, stands) {
		return ledger.Accepted{}, fail(canonical.RequestPreconditionFailed, "the customer has changed")
	}
	got := ledger.Accepted{First: len(slots) == 0}
	stale := 0
	for _, r := range a.Routes {
		p := ledger.Place{Route: r}
		if s := m.d.slots[[2]string{r, a.Customer}]; s != nil && !a.UpdatedAt.IsZero() && s.updatedAt.After(a.UpdatedAt) {
			p.Stale = s.Desired
			stale++
		}
		got.Places = append(got.Places, p)
	}
	if stale == len(a.Routes) {
		got.Version = stands
		return got, nil
	}
	got.Version = m.next()
	m.d.operations[got.Version] = &memoryOperation{
		ledger.Operation{Version: got.Version, Customer: a.Customer, Routes: slices.Clone(a.Routes), AcceptedAt: now, Strict: a.Strict},
		slices.Clone(a.Payload),
	}
	if a.Key != nil {
		m.d.keys[key] = memoryKey{a.Key.Fingerprint, got.Version, now.Add(a.Key.Keep)}
	}
	for i := range got.Places {
		if p := &got.Places[i]; p.Stale == 0 {
			m.place(p, a, got.Version)
		}
	}
	return got, nil
}

// place makes version the newest of a slot and leases it if it is free.
func (m *memory) place(p *ledger.Place, a ledger.Accept, version int64) {
	now := m.now()
	id := [2]string{p.Route, a.Customer}
	s := m.d.slots[id]
	if s == nil {
		s = &memorySlot{Slot: ledger.Slot{Route: p.Route, Customer: a.Customer}}
		m.d.slots[id] = s
	}
	if s.State == ledger.Due && s.Applied == s.Desired && s.Code == "" {
		s.NextAt, s.Attempts = now, 0 // the redo can wait for the newer state
	}
	s.Desired, s.DueSince = version, now
	if !a.UpdatedAt.IsZero() {
		s.updatedAt = a.UpdatedAt
	}
	switch s.State {
	case ledger.DeadLettered:
		if m.mutant == "dead not revived" {
			return
		}
		fallthrough
	case ledger.Idle:
		s.State, s.NextAt, s.Attempts = ledger.Due, now, 0
	}
	rests := s.NextAt.After(now) && m.mutant != "accept wakes the resting" || m.mutant == "accept wakes the resting" && s.State == ledger.Leased && s.NextAt.After(now)
	if a.Lease > 0 && m.isOpen(p.Route) && !rests {
		l := m.lease(s, a.Lease)
		l.Payload = nil
		p.Lease = &l
		return
	}
	p.NextAt = s.NextAt
}

// lease leases a slot whose time has come.
func (m *memory) lease(s *memorySlot, d time.Duration) ledger.Lease {
	now := m.now()
	if s.State == ledger.Leased && m.mutant != "no unsure at reclaim" {
		m.remember(s, s.InFlight, m.settle)
	}
	if s.State != ledger.Leased || m.mutant != "resend the old version at reclaim" {
		s.InFlight = s.Desired
	}
	s.token = m.next()
	s.State, s.claimedAt, s.NextAt = ledger.Leased, now, now.Add(d)
	s.Attempts++
	l := ledger.Lease{
		Route: s.Route, Customer: s.Customer, Token: s.token, Version: s.InFlight,
		RemoteID: s.RemoteID, Identity: s.identity, Attempts: s.Attempts, DueSince: s.DueSince, Applied: s.Applied,
	}
	if o := m.d.operations[s.InFlight]; o != nil {
		l.Payload, l.Strict = o.payload, o.Strict
	}
	return l
}

// remember notes that a version may land until the settle time.
func (m *memory) remember(s *memorySlot, version int64, settle time.Duration) {
	if s.unsure == 0 || version < s.unsure || m.mutant == "newest unsure only" {
		s.unsure = version
	}
	if at := m.now().Add(settle); at.After(s.settle) {
		s.settle = at
	}
}

func (m *memory) Claim(_ context.Context, route string, limit int, d time.Duration) ([]ledger.Lease, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if !m.isOpen(route) {
		return nil, nil
	}
	var due []*memorySlot
	for _, s := range m.d.slots {
		if s.Route == route && m.mayClaim(s) {
			due = append(due, s)
		}
	}
	slices.SortFunc(due, func(a, b *memorySlot) int {
		return cmp.Or(a.NextAt.Compare(b.NextAt), cmp.Compare(a.Customer, b.Customer))
	})
	var leases []ledger.Lease
	for _, s := range due[:min(limit, len(due))] {
		leases = append(leases, m.lease(s, d))
	}
	return leases, nil
}

func (m *memory) mayClaim(s *memorySlot) bool {
	if s.State == ledger.Leased && m.mutant == "no lease check" {
		return true
	}
	return (s.State == ledger.Due || s.State == ledger.Leased) && !s.NextAt.After(m.now())
}

func (m *memory) ClaimSlot(_ context.Context, route, customer string, d time.Duration) (ledger.Lease, bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return ledger.Lease{}, false, err
	}
	defer unlock()
	s := m.d.slots[[2]string{route, customer}]
	if s == nil || !m.isOpen(route) || !m.mayClaim(s) {
		return ledger.Lease{}, false, nil
	}
	return m.lease(s, d), true, nil
}

func (m *memory) Finish(finishes []ledger.Finish, done func([]ledger.Finished, error)) {
	unlock, err := m.lock()
	if err != nil {
		done(nil, err)
		return
	}
	var all []ledger.Finished
	for _, f := range finishes {
		all = append(all, m.finish(f))
	}
	unlock()
	done(all, nil)
}

func (m *memory) finish(f ledger.Finish) ledger.Finished {
	s, now := m.d.slots[[2]string{f.Route, f.Customer}], m.now()
	if s == nil {
		return ledger.Finished{Lost: true}
	}
	if m.mutant == "unsure ignored" || m.mutant == "unsure success ignored" && f.Verdict == ledger.Applied || m.mutant == "unsure refusal ignored" && f.Verdict == ledger.Dead {
		f.Unsure = false
	}
	mine := s.token == f.Token || m.mutant == "no token check"
	if s.State != ledger.Leased && m.mutant != "no state check" || !mine {
		m.late(s, f)
		return m.finished(s, ledger.Finished{Lost: true})
	}
	got := ledger.Finished{}
	if f.Unsure {
		m.remember(s, s.InFlight, m.settle)
	}
	if f.Uncounted {
		s.Attempts--
	}
	if f.Entry != nil {
		s.history = append(s.history, *f.Entry)
	}
	if f.Identity != nil {
		s.identity = f.Identity
	}
	if f.Forget {
		s.RemoteID = ""
	}
	s.ResultVersion, s.Code, s.Result = s.InFlight, f.Code, f.Result
	newer := s.Desired > s.InFlight
	switch f.Verdict {
	case ledger.Retry:
		s.State, s.NextAt = ledger.Due, now.Add(f.Delay)
	case ledger.Applied:
		s.Applied, s.AppliedAt, s.Attempts = s.InFlight, now, 0
		m.applied(s, newer && m.mutant != "lost wake-up")
	case ledger.Dead:
		s.State, s.diedAt = ledger.DeadLettered, now
		if newer && m.mutant != "a refusal ignores what is newer" {
			s.State, s.NextAt, s.Attempts = ledger.Due, now, 0
		}
		if m.mutant == "a refusal forgets unsure" {
			s.unsure = 0
		}
	}
	if f.RemoteID != "" {
		for _, other := range m.d.slots {
			got.Conflict = got.Conflict || other.Route == f.Route && other.Customer != f.Customer && other.RemoteID == f.RemoteID
		}
		if got.Conflict {
			s.State, s.diedAt, s.Code = ledger.DeadLettered, now, canonical.UpstreamIdentityConflict
		} else {
			s.RemoteID = f.RemoteID
		}
	}
	return m.finished(s, got)
}

func (m *memory) finished(s *memorySlot, got ledger.Finished) ledger.Finished {
	got.State, got.Desired, got.Applied = s.State, s.Desired, s.Applied
	if s.State == ledger.Due {
		got.Wait = max(0, s.NextAt.Sub(m.now()))
	}
	return got
}

// applied ends a lease whose state was confirmed.
func (m *memory) applied(s *memorySlot, newer bool) {
	open := s.settle.After(s.claimedAt) || m.mutant == "redo for ever"
	redo := s.unsure > 0 && s.unsure < s.InFlight && open && m.mutant != "no redo"
	if !open || m.mutant == "a success forgets unsure" || m.mutant == "its own success forgets unsure" && s.unsure >= s.InFlight {
		s.unsure = 0
	}
	switch {
	case newer:
		s.State, s.NextAt = ledger.Due, m.now()
	case redo && m.mutant == "redo without settling":
		s.State, s.NextAt, s.unsure = ledger.Due, m.now(), 0
	case redo:
		s.State, s.NextAt = ledger.Due, s.settle
		if now := m.now(); s.NextAt.Before(now) {
			s.NextAt = now
		}
	default:
		s.State = ledger.Idle
	}
}

// late is a finish of a lease that is no longer held.
func (m *memory) late(s *memorySlot, f ledger.Finish) {
	if f.Verdict != ledger.Applied && !f.Unsure || m.mutant == "no repair after a late finish" || f.Version > s.Desired {
		return
	}
	var settle time.Duration
	if f.Unsure {
		settle = m.settle
	}
	m.remember(s, f.Version, settle)
	if s.State == ledger.Idle && s.Applied > f.Version {
		s.State, s.NextAt = ledger.Due, s.settle
	}
}

func (m *memory) NextDue(_ context.Context, route string) (time.Duration, bool, error) {
	unlock, err := m.lock()
	if err != nil {
		return 0, false, err
	}
	defer unlock()
	var first time.Time
	for _, s := range m.d.slots {
		if s.Route == route && (s.State == ledger.Due || s.State == ledger.Leased) && (first.IsZero() || s.NextAt.Before(first)) {
			first = s.NextAt
		}
	}
	return max(0, first.Sub(m.now())), !first.IsZero(), nil
}

func (m *memory) Slot(_ context.Context, route, customer string) (ledger.Slot, error) {
	unlock, err := m.lock()
	if err != nil {
		return ledger.Slot{}, err
	}
	defer unlock()
	s := m.d.slots[[2]string{route, customer}]
	if s == nil {
		return ledger.Slot{}, fail(canonical.RequestNotFound, "there is no such slot")
	}
	return s.Slot, nil
}

func (m *memory) Customer(_ context.Context, id string) (ledger.Customer, error) {
	unlock, err := m.lock()
	if err != nil {
		return ledger.Customer{}, err
	}
	defer unlock()
	slots := m.of(id)
	if len(slots) == 0 {
		return ledger.Customer{}, fail(canonical.RequestNotFound, "nothing is held about this customer")
	}
	c := ledger.Customer{ID: id}
	for _, s := range slots {
		c.Version = max(c.Version, s.Desired)
		c.Slots = append(c.Slots, s.Slot)
	}
	if o := m.d.operations[c.Version]; o != nil {
		c.Payload, c.Strict = o.payload, o.Strict
	}
	return c, nil
}

func (m *memory) Operation(_ context.Context, version int64) (ledger.Operation, error) {
	unlock, err := m.lock()
	if err != nil {
		return ledger.Operation{}, err
	}
	defer unlock()
	o := m.d.operations[version]
	if o == nil {
		return ledger.Operation{}, fail(canonical.RequestNotFound, "there is no such operation")
	}
	got := o.Operation
	for _, r := range o.Routes {
		var slot ledger.Slot
		if s := m.d.slots[[2]string{r, o.Customer}]; s != nil {
			slot = s.Slot
		}
		got.Slots = append(got.Slots, slot)
	}
	return got, nil
}

// dead returns the dead slots that f selects, oldest first.
func (m *memory) dead(f ledger.Filter) []*memorySlot {
	var found []*memorySlot
	for _, s := range m.d.slots {
		if s.State == ledger.DeadLettered && (f.Route == "" || s.Route == f.Route) && (f.Routes == nil || slices.Contains(f.Routes, s.Route)) &&
			(f.Code == "" || s.Code == f.Code) && (f.Customer == "" || s.Customer == f.Customer) &&
			(f.Since.IsZero() || !s.diedAt.Before(f.Since)) && (f.Until.IsZero() || s.diedAt.Before(f.Until)) &&
			(f.After == ledger.Cursor{} || compare(s, f.After) > 0) {
			found = append(found, s)
		}
	}
	slices.SortFunc(found, func(a, b *memorySlot) int {
		return compare(a, ledger.Cursor{DiedAt: b.diedAt, Route: b.Route, Customer: b.Customer})
	})
	return found
}

func compare(s *memorySlot, c ledger.Cursor) int {
	return cmp.Or(s.diedAt.Compare(c.DiedAt), cmp.Compare(s.Route, c.Route), cmp.Compare(s.Customer, c.Customer))
}

func (m *memory) DeadLetters(_ context.Context, f ledger.Filter) ([]ledger.DeadLetter, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var letters []ledger.DeadLetter
	for _, s := range m.dead(f) {
		if f.Limit == 0 || len(letters) < f.Limit {
			letters = append(letters, ledger.DeadLetter{Slot: s.Slot, DiedAt: s.diedAt, History: slices.Clone(s.history)})
		}
	}
	return letters, nil
}

func (m *memory) Replay(_ context.Context, f ledger.Filter) (int, error) {
	unlock, err := m.lock()
	if err != nil {
		return 0, err
	}
	defer unlock()
	found := m.dead(f)
	for _, s := range found {
		m.again(s)
	}
	return len(found), nil
}

// again makes a slot due now with no attempts spent.
func (m *memory) again(s *memorySlot) {
	s.State, s.NextAt, s.DueSince, s.Attempts = ledger.Due, m.now(), m.now(), 0
}

func (m *memory) Resync(_ context.Context, route string) (due, missing int, err error) {
	unlock, err := m.lock()
	if err != nil {
		return 0, 0, err
	}
	defer unlock()
	for _, s := range m.d.slots {
		if s.Route != route || s.State != ledger.Idle {
			continue
		}
		if o := m.d.operations[s.Desired]; o == nil || o.payload == nil {
			missing++
			continue
		}
		m.again(s)
		due++
	}
	return due, missing, nil
}

func (m *memory) SetRoute(_ context.Context, r ledger.Route) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if old := m.d.routes[r.Name]; old.NotBefore.After(r.NotBefore) {
		r.NotBefore = old.NotBefore
	}
	m.d.routes[r.Name] = r
	return nil
}

func (m *memory) Routes(context.Context) ([]ledger.Route, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	var all []ledger.Route
	for _, r := range m.d.routes {
		all = append(all, r)
	}
	return all, nil
}

func (m *memory) Backlog(context.Context) ([]ledger.Backlog, error) {
	unlock, err := m.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	by := map[string]ledger.Backlog{}
	for _, s := range m.d.slots {
		b := by[s.Route]
		b.Route = s.Route
		switch s.State {
		case ledger.Due:
			b.Due++
		case ledger.Leased:
			b.Leased++
		case ledger.DeadLettered:
			b.Dead++
		}
		if (s.State == ledger.Due || s.State == ledger.Leased) && (b.Oldest.IsZero() || s.DueSince.Before(b.Oldest)) {
			b.Oldest = s.DueSince
		}
		by[s.Route] = b
	}
	var all []ledger.Backlog
	for _, b := range by {
		all = append(all, b)
	}
	return all, nil
}

func (m *memory) Erase(_ context.Context, id string) error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	defer unlock()
	slots := m.of(id)
	if len(slots) == 0 {
		return fail(canonical.RequestNotFound, "nothing is held about this customer")
	}
	for _, s := range slots {
		delete(m.d.slots, [2]string{s.Route, id})
	}
	for v, o := range m.d.operations {
		if o.Customer == id {
			delete(m.d.operations, v)
			for k, key := range m.d.keys {
				if key.version == v {
					delete(m.d.keys, k)
				}
			}
		}
	}
	return nil
}

func (m *memory) Sweep(_ context.Context, w ledger.Sweep) (more bool, err error) {
	unlock, err := m.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	wanted := map[int64]bool{}
	for _, s := range m.d.slots {
		if w.Latest || s.State != ledger.Idle && m.mutant != "sweep drops what is wanted" {
			wanted[s.Desired] = true
		}
		if s.State != ledger.DeadLettered {
			s.history = slices.DeleteFunc(s.history, func(a ledger.Attempt) bool { return m.now().Sub(a.At) > w.Operations })
		}
	}
	for v, o := range m.d.operations {
		age := m.now().Sub(o.AcceptedAt)
		if !wanted[v] && age > w.Payloads {
			o.payload = nil
		}
		if !wanted[v] && age > w.Operations {
			delete(m.d.operations, v)
		}
	}
	return false, nil
}

func (m *memory) SealKeys(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.d.sealKeys), nil
}

func (m *memory) SetSealKeys(_ context.Context, ids []string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.d.sealKeys = slices.Clone(ids)
	return nil
}

// Rewrite goes through the payloads by version, and then through the results.
func (m *memory) Rewrite(_ context.Context, position string, limit int, rewrite func(ledger.Blob) []byte) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	type blob struct {
		at   string
		blob ledger.Blob
		put  func([]byte)
	}
	var all []blob
	for v, o := range m.d.operations {
		if o.payload != nil {
			all = append(all, blob{fmt.Sprintf("1 %020d", v), ledger.Blob{Customer: o.Customer, Data: o.payload}, func(b []byte) { o.payload = b }})
		}
	}
	for _, s := range m.d.slots {
		if s.Result != nil {
			all = append(all, blob{"2 " + s.Route + "\x00" + s.Customer, ledger.Blob{Customer: s.Customer, Route: s.Route, Data: s.Result}, func(b []byte) { s.Result = b }})
		}
	}
	slices.SortFunc(all, func(a, b blob) int { return cmp.Compare(a.at, b.at) })
	all = slices.DeleteFunc(all, func(b blob) bool { return b.at <= position })
	for _, b := range all[:min(limit, len(all))] {
		if data := rewrite(b.blob); data != nil {
			b.put(data)
		}
	}
	if len(all) <= limit {
		return "", nil
	}
	return all[limit-1].at, nil
}

func (m *memory) Ready() error {
	unlock, err := m.lock()
	if err != nil {
		return err
	}
	unlock()
	return nil
}

func (m *memory) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now()
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}
