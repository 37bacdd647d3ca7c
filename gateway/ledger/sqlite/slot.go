package sqlite

import (
	"database/sql/driver"
	"math"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// slot is a row of the table of that name. Its methods are the transitions of
// package ledger; they touch no database.
type slot struct {
	customer, route            string
	state                      ledger.State
	desired, applied, inflight int64
	nextAt                     int64 // 0 unless due or leased
	claimedAt, token           int64
	attempts                   int
	dueSince, appliedAt        int64
	// unsure is the oldest state that may still take effect, 0 for none, and
	// settleAt when it will have, if it does at all.
	unsure, settleAt int64
	diedAt           int64 // 0 unless dead
	updatedAt        int64 // unstated if no upsert ever said
	history          int64 // the last attempt, 0 for none
	remoteID         string
	identity         []byte
	resultVersion    int64
	code             canonical.Code
	result           []byte
}

// unstated is earlier than any time that an application may state.
const unstated = math.MinInt64

// workColumns are what it takes to act on a slot, slotColumns all.
const (
	workColumns = `s.customer, s.route, s.state, s.desired, s.applied, s.inflight, s.next_at, s.claimed_at, s.token, s.attempts,
 s.due_since, s.applied_at, s.unsure, s.settle_at, s.died_at, s.updated_at, s.history, s.remote_id, s.identity, s.code`
	slotColumns = workColumns + `, s.result_version, s.result`

	workWidth = 20
	slotWidth = 22
)

// scan reads workColumns or slotColumns.
func (s *slot) scan(row []driver.Value) {
	s.customer, s.route = text(row[0]), text(row[1])
	s.state = ledger.State(number(row[2]))
	s.desired, s.applied, s.inflight = number(row[3]), number(row[4]), number(row[5])
	s.nextAt, s.claimedAt, s.token = number(row[6]), number(row[7]), number(row[8])
	s.attempts = int(number(row[9]))
	s.dueSince, s.appliedAt = number(row[10]), number(row[11])
	s.unsure, s.settleAt, s.diedAt = number(row[12]), number(row[13]), number(row[14])
	s.updatedAt = unstated
	if n, ok := row[15].(int64); ok {
		s.updatedAt = n
	}
	s.history, s.remoteID, s.identity, s.code = number(row[16]), text(row[17]), blob(row[18]), canonical.Code(text(row[19]))
	if len(row) >= slotWidth {
		s.resultVersion, s.result = number(row[20]), blob(row[21])
	}
}

// ready reports whether anybody may act on a slot now.
func (s *slot) ready(now int64) bool {
	return (s.state == ledger.Due || s.state == ledger.Leased) && s.nextAt <= now
}

// free reports whether an upsert may act on the slot now.
func (s *slot) free(now int64) bool { return s.rests() || s.ready(now) }

// rests reports whether nothing is outstanding: at most, what is confirmed is to be
// sent once more at the settle time, for which a newer state need not wait.
func (s *slot) rests() bool {
	switch s.state {
	case ledger.Idle, ledger.DeadLettered:
		return true
	}
	return s.state == ledger.Due && s.applied == s.desired && s.code == ""
}

// want makes version the newest state. It changes nothing else of a slot that has
// something outstanding: the back-off is about the provider, not about the state.
func (s *slot) want(version, now int64) {
	if s.rests() {
		s.wake(now)
	}
	s.desired, s.dueSince = version, now
}

// wake makes a slot due from a time on, with no attempts spent.
func (s *slot) wake(at int64) {
	s.state, s.nextAt, s.attempts, s.diedAt = ledger.Due, at, 0, 0
}

// lease gives the newest state to whoever holds token. If a lease was over, nobody
// knows whether what was in flight has landed or will.
func (s *slot) lease(token, now, lease, settle int64) {
	if s.state == ledger.Leased {
		s.doubt(s.inflight, now+settle)
	}
	s.state, s.inflight, s.token, s.claimedAt, s.nextAt = ledger.Leased, s.desired, token, now, now+lease
	s.attempts++
}

// doubt remembers that version may still take effect, at the latest at until.
func (s *slot) doubt(version, until int64) {
	if s.unsure == 0 || version < s.unsure {
		s.unsure = version
	}
	s.settleAt = max(s.settleAt, until)
}

// holds reports whether a finish is that of the present lease.
func (s *slot) holds(f *ledger.Finish) bool {
	return s.state == ledger.Leased && s.token == f.Token
}

// finish ends the lease.
func (s *slot) finish(f *ledger.Finish, now, settle int64) {
	if f.Uncounted {
		s.attempts = max(s.attempts-1, 0)
	}
	if f.Verdict == ledger.Applied && s.settleAt <= s.claimedAt {
		// This state went out after all that was unsure had settled.
		s.unsure = 0
	}
	if f.Unsure {
		s.doubt(s.inflight, now+settle)
	}
	newer := s.desired > s.inflight
	switch f.Verdict {
	case ledger.Applied:
		s.applied, s.appliedAt, s.attempts = max(s.applied, s.inflight), now, 0
		switch {
		case newer:
			s.wake(now)
		case s.unsure != 0 && s.unsure < s.inflight:
			s.wake(s.settleAt)
		default:
			s.state, s.nextAt = ledger.Idle, 0
		}
	case ledger.Dead:
		if newer {
			s.wake(now)
		} else {
			s.state, s.nextAt, s.diedAt = ledger.DeadLettered, 0, now
		}
	default:
		s.state, s.nextAt = ledger.Due, now+max(f.Delay.Microseconds(), 0)
	}
	s.resultVersion, s.code, s.result = s.inflight, f.Code, f.Result
}

// lost notes a finish that came after the lease had gone to somebody else, and
// reports whether that changed anything. What it sent may have overwritten what
// was sent since.
func (s *slot) lost(f *ledger.Finish, now, settle int64) bool {
	switch {
	case f.Unsure:
		s.doubt(f.Version, now+settle)
	case f.Verdict == ledger.Applied:
		s.doubt(f.Version, now)
	default:
		return false
	}
	if s.state == ledger.Idle && s.applied > f.Version {
		s.wake(s.settleAt)
	}
	return true
}

// public is the slot as callers see it.
func (s *slot) public() ledger.Slot {
	return ledger.Slot{
		Route: s.route, Customer: s.customer, State: s.state,
		Desired: s.desired, Applied: s.applied, InFlight: s.inflight, Attempts: s.attempts,
		NextAt: moment(s.nextAt), DueSince: moment(s.dueSince), AppliedAt: moment(s.appliedAt),
		RemoteID: s.remoteID, ResultVersion: s.resultVersion, Code: s.code, Result: s.result,
	}
}

// grant is the lease as its holder sees it.
func (s *slot) grant(payload []byte, strict bool) ledger.Lease {
	return ledger.Lease{
		Route: s.route, Customer: s.customer, Token: s.token, Version: s.inflight, Payload: payload, Strict: strict,
		RemoteID: s.remoteID, Identity: s.identity, Attempts: s.attempts, DueSince: moment(s.dueSince), Applied: s.applied,
	}
}
