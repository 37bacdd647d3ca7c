package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

const (
	// maxQueue bounds the writes that wait for the writer.
	maxQueue = 4096
	// maxGroup bounds the writes of one transaction, and so how long the first
	// of them waits for the last.
	maxGroup = 256
	// again is how often the writer looks after the files and tries whether a store
	// that failed works again, and what callers are told to wait.
	again = time.Second
)

// write is one call that changes the ledger, on its way through the queue.
type write struct {
	// run does the work. It decides before it writes, so that a refusal leaves
	// nothing behind, and may be run again if the transaction is.
	run func(*txn)
	// after is run when the transaction is durable, outside of any; nil for none.
	after func(*conn) error
	// durable asks for an fsync before the caller is told.
	durable bool
	state   atomic.Int32     // queued, then begun or abandoned
	err     *canonical.Error // why run has no effect
	// then is called by the writer when all that is over. It is quick.
	then func()
}

const (
	queued = iota
	begun
	abandoned
)

// do queues f and waits for its commit. What f returns is returned if the commit
// succeeded.
func do[T any](ctx context.Context, s *Store, durable bool, f func(*txn) (T, error)) (T, error) {
	var (
		got T
		err error
	)
	w := &write{durable: durable, run: func(t *txn) { got, err = f(t) }}
	if err := s.submit(ctx, w); err != nil {
		var none T
		return none, err
	}
	return got, err
}

// submit returns when w is durable or without effect. A caller whose time is over
// gives up a write that has not begun; one that has begun is waited for.
func (s *Store) submit(ctx context.Context, w *write) error {
	if ctx.Err() != nil {
		return s.late(ctx)
	}
	done := make(chan struct{})
	w.then = func() { close(done) }
	if err := s.enqueue(w); err != nil {
		return err
	}
	select {
	case <-done:
	case <-ctx.Done():
		if w.state.CompareAndSwap(queued, abandoned) {
			return s.late(ctx)
		}
		<-done
	}
	if w.err != nil {
		return w.err
	}
	return nil
}

// enqueue puts w into the queue, or says why that is not possible.
func (s *Store) enqueue(w *write) error {
	if err := s.Ready(); err != nil {
		return err
	}
	s.closing.RLock()
	defer s.closing.RUnlock()
	if s.closed {
		return s.shut()
	}
	select {
	case s.queue <- w:
		return nil
	default:
		return s.busy()
	}
}

// writeAll is the writer: the only goroutine that changes the database. All that
// has queued up while one transaction was made durable goes into the next.
func (s *Store) writeAll() {
	s.examining.Go(s.examine)
	defer close(s.ended)
	ticker := time.NewTicker(s.beat)
	defer ticker.Stop()
	group := make([]*write, 0, maxGroup)
	for {
		select {
		case w, ok := <-s.queue:
			if !ok {
				return
			}
			group = s.gather(append(group[:0], w))
			s.commit(group)
			clear(group)
		case <-ticker.C:
			s.tend()
		}
	}
}

// gather takes what else is waiting.
func (s *Store) gather(group []*write) []*write {
	for len(group) < maxGroup {
		select {
		case w, ok := <-s.queue:
			if !ok {
				return group
			}
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

// commit runs a group as one transaction and tells its callers.
func (s *Store) commit(group []*write) {
	begunOnes := group[:0]
	for _, w := range group {
		if w.state.CompareAndSwap(queued, begun) {
			begunOnes = append(begunOnes, w)
		}
	}
	group = begunOnes
	err := s.Ready()
	if err == nil {
		err = s.transact(group)
	}
	switch {
	case err == nil:
	case s.ill.Load() != nil:
		refuse(group, canonical.AsError(err))
	case len(group) > 1 && defect(err):
		// One of them is bad; the others must not suffer for it.
		for _, w := range group {
			if err := s.transact([]*write{w}); err != nil {
				w.err = s.fail(err)
			}
		}
	default:
		refuse(group, s.fail(err))
	}
	for _, w := range group {
		if w.err == nil && w.after != nil {
			if err := w.after(s.conn); err != nil {
				w.err = s.unavailable(err)
			}
			s.files.look()
		}
		w.then()
	}
}

func refuse(group []*write, err *canonical.Error) {
	for _, w := range group {
		w.err = err
	}
}

// transact runs a group in one transaction. After an error nothing of it stays.
func (s *Store) transact(group []*write) error {
	durable := false
	for _, w := range group {
		durable = durable || w.durable
	}
	if err := s.sync(durable); err != nil {
		return err
	}
	if err := s.conn.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	t := &txn{s: s, conn: s.conn}
	for _, w := range group {
		w.run(t)
		if t.failed != nil {
			break
		}
	}
	if t.failed == nil && t.wrote {
		t.exec("UPDATE ledger SET last = ?, now = ? WHERE id = 1", s.last, s.clock.last.Load())
	}
	if t.failed == nil && t.wrote {
		t.failed = s.files.check()
	}
	if t.failed == nil {
		t.failed = s.conn.exec("COMMIT")
	}
	if t.failed != nil {
		// SQLite has rolled back by itself after some errors, and then refuses.
		_ = s.conn.exec("ROLLBACK")
		return t.failed
	}
	if t.wrote {
		s.files.look()
	}
	s.settle(t)
	return nil
}

// sync makes the next transaction wait for the disk, or not.
func (s *Store) sync(full bool) error {
	if s.full == full {
		return nil
	}
	mode := "PRAGMA synchronous = NORMAL"
	if full {
		mode = "PRAGMA synchronous = FULL"
	}
	if err := s.conn.exec(mode); err != nil {
		return err
	}
	s.full = full
	return nil
}

// settle takes over what a transaction changed in memory.
func (s *Store) settle(t *txn) {
	if t.wrote {
		s.committed = s.last
	}
	s.tally.apply(t.moves)
	for name, r := range t.routes {
		s.routes[name] = r
	}
}

// txn is a transaction of the writer. After the first failure of a statement its
// methods do nothing; run need not look at errors that it cannot cure.
type txn struct {
	*conn
	s      *Store
	failed error
	wrote  bool
	moves  []move
	routes map[string]ledger.Route // changed in this transaction
}

func (t *txn) exec(query string, args ...any) {
	if t.failed == nil {
		t.wrote = true
		t.failed = t.conn.exec(query, args...)
	}
}

func (t *txn) query(each func(row []driver.Value), query string, args ...any) {
	if t.failed == nil {
		t.failed = t.conn.query(func(row []driver.Value) error { each(row); return nil }, query, args...)
	}
}

func (t *txn) now() int64 { return t.s.clock.now() }

// next gives out a number for a version or a token. It is larger than every one
// before it, in this process and in those before.
func (t *txn) next(now int64) int64 {
	t.s.last = max(t.s.last+1, now)
	return t.s.last
}

// route returns the recorded state of a route.
func (t *txn) route(name string) ledger.Route {
	if r, ok := t.routes[name]; ok {
		return r
	}
	return t.s.routes[name]
}

// open reports whether a route takes work.
func (t *txn) open(name string, now int64) bool {
	r := t.route(name)
	return !r.Paused && micros(r.NotBefore) <= now
}

// slots reads the slots that a condition selects.
func (t *txn) slots(where string, args ...any) []slot {
	var found []slot
	t.query(func(row []driver.Value) {
		found = append(found, slot{})
		found[len(found)-1].scan(row)
	}, "SELECT "+workColumns+" FROM slot s "+where, args...)
	return found
}

// slot reads one slot.
func (t *txn) slot(route, customer string) (s slot, ok bool) {
	t.query(func(row []driver.Value) { s.scan(row); ok = true },
		"SELECT "+workColumns+" FROM slot s WHERE s.customer = ? AND s.route = ?", customer, route)
	return s, ok
}

// insert adds the slots of one upsert. Most upserts find all of theirs missing or
// none, so it is one statement for all, with what they share bound once. OR FAIL
// saves SQLite a journal of the statement; the transaction is rolled back anyway.
func (t *txn) insert(slots []slot) {
	if len(slots) == 0 {
		return
	}
	s := &slots[0]
	args := make([]any, 0, 4+6*len(slots))
	args = append(args, s.customer, s.desired, s.dueSince, s.stated())
	for i := range slots {
		s := &slots[i]
		args = append(args, s.route, int64(s.state), s.inflight, orNull(s.nextAt), s.token, s.attempts)
		t.moves = append(t.moves, move{route: s.route, to: s.state, toSince: s.dueSince})
	}
	t.exec(insertion(len(slots)), args...)
}

// insertions are the statements of insert for few slots.
var insertions = func() (texts [8]string) {
	for i := range texts {
		texts[i] = insertionText(i + 1)
	}
	return texts
}()

func insertion(n int) string {
	if n <= len(insertions) {
		return insertions[n-1]
	}
	return insertionText(n)
}

func insertionText(n int) string {
	var b strings.Builder
	b.WriteString("INSERT OR FAIL INTO slot (customer, route, state, desired, inflight, next_at, claimed_at, token, attempts, due_since, updated_at) VALUES ")
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		p := 5 + 6*i
		fmt.Fprintf(&b, "(?1, ?%d, ?%d, ?2, ?%d, ?%d, ?3, ?%d, ?%d, ?3, ?4)", p, p+1, p+2, p+3, p+4, p+5)
	}
	return b.String()
}

// plan writes what an upsert, a claim or a replay changes in a slot.
func (t *txn) plan(was, s *slot) {
	t.exec(`UPDATE slot SET state = ?, desired = ?, inflight = ?, next_at = ?, claimed_at = ?, token = ?, attempts = ?, due_since = ?,
 unsure = ?, settle_at = ?, died_at = ?, updated_at = ? WHERE customer = ? AND route = ?`,
		int64(s.state), s.desired, s.inflight, orNull(s.nextAt), s.claimedAt, s.token, s.attempts, s.dueSince,
		s.unsure, s.settleAt, orNull(s.diedAt), s.stated(), s.customer, s.route)
	t.moved(was, s)
}

// record writes what a finish changes in a slot. The remote id is left out where it
// stays, because its index would be written too.
func (t *txn) record(was, s *slot) {
	const columns = `UPDATE slot SET state = ?, applied = ?, next_at = ?, attempts = ?, applied_at = ?, unsure = ?, settle_at = ?, died_at = ?,
 history = ?, result_version = ?, code = ?, result = ?, identity = ?`
	const where = ` WHERE customer = ? AND route = ?`
	args := []any{int64(s.state), s.applied, orNull(s.nextAt), s.attempts, s.appliedAt, s.unsure, s.settleAt, orNull(s.diedAt),
		s.history, s.resultVersion, string(s.code), s.result, s.identity}
	if s.remoteID == was.remoteID {
		t.exec(columns+where, append(args, s.customer, s.route)...)
	} else {
		var id any
		if s.remoteID != "" {
			id = s.remoteID
		}
		t.exec(columns+", remote_id = ?"+where, append(args, id, s.customer, s.route)...)
	}
	t.moved(was, s)
}

func (t *txn) moved(was, s *slot) {
	t.moves = append(t.moves, move{route: s.route, from: was.state, fromSince: was.dueSince, to: s.state, toSince: s.dueSince})
}

// stated is the column updated_at.
func (s *slot) stated() any {
	if s.updatedAt == unstated {
		return nil
	}
	return s.updatedAt
}
