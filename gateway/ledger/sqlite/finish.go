package sqlite

import (
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Finish implements ledger.Store. It does not wait for the disk unless it shares
// a transaction with something that does.
func (s *Store) Finish(finishes []ledger.Finish, done func([]ledger.Finished, error)) {
	if len(finishes) == 0 {
		done(nil, nil)
		return
	}
	finished := make([]ledger.Finished, len(finishes))
	w := &write{run: func(t *txn) {
		for i := range finishes {
			finished[i] = t.finish(finishes[i])
		}
	}}
	w.then = func() {
		if w.err != nil {
			done(nil, w.err)
			return
		}
		done(finished, nil)
	}
	if err := s.enqueue(w); err != nil {
		done(nil, err)
	}
}

func (t *txn) finish(f ledger.Finish) ledger.Finished {
	now := t.now()
	s, ok := t.slot(f.Route, f.Customer)
	if !ok {
		// It was erased, and what was in flight leaves no trace.
		return ledger.Finished{Lost: true}
	}
	was := s
	done := ledger.Finished{Lost: !s.holds(&f)}
	if f.Entry != nil {
		s.history = t.log(&s, f.Entry, now)
	}
	if done.Lost {
		if s.lost(&f, now, t.s.settleFor) {
			t.plan(&was, &s)
		}
		if s.history != was.history {
			t.exec("UPDATE slot SET history = ? WHERE customer = ? AND route = ?", s.history, s.customer, s.route)
		}
	} else {
		if done.Conflict = t.identify(&f, &s); done.Conflict {
			f.Verdict, f.Code = ledger.Dead, canonical.UpstreamIdentityConflict
		}
		s.finish(&f, now, t.s.settleFor)
		t.record(&was, &s)
	}
	done.State, done.Desired, done.Applied = s.state, s.desired, s.applied
	if s.state == ledger.Due {
		done.Wait = time.Duration(max(s.nextAt-now, 0)) * time.Microsecond
	}
	return done
}

// identify takes over what a finish says about who the customer is at the
// provider, and reports whether the remote id is another customer's.
func (t *txn) identify(f *ledger.Finish, s *slot) (conflict bool) {
	was := s.remoteID
	if f.Forget {
		s.remoteID = ""
	}
	if f.Identity != nil {
		s.identity = f.Identity
	}
	if f.RemoteID == "" {
		return false
	}
	if f.RemoteID != was {
		t.query(func(row []value) { conflict = text(row[0]) != f.Customer },
			"SELECT customer FROM slot WHERE route = ? AND remote_id = ?", f.Route, f.RemoteID)
	}
	if !conflict {
		s.remoteID = f.RemoteID
	}
	return conflict
}

// log adds to a slot's history and returns the entry's id, which is never given
// again: a slot may name one that was swept.
func (t *txn) log(s *slot, e *ledger.Attempt, now int64) int64 {
	id := t.next(now)
	t.exec(`INSERT INTO attempt (id, previous, customer, route, at, version, number, requests, op, code, status, upstream_code, request_id, took)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		id, s.history, s.customer, s.route, e.At.UnixMicro(), e.Version, e.Number, e.Requests, e.Op, string(e.Code), e.Status, e.UpstreamCode, e.RequestID, int64(e.Took))
	return id
}
