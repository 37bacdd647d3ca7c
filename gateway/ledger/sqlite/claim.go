package sqlite

import (
	"context"
	"database/sql/driver"
	"time"

	"customer-gateway/gateway/ledger"
)

// Claim implements ledger.Store.
func (s *Store) Claim(ctx context.Context, route string, limit int, lease time.Duration) ([]ledger.Lease, error) {
	if limit <= 0 {
		return nil, nil
	}
	return do(ctx, s, true, func(t *txn) ([]ledger.Lease, error) {
		now := t.now()
		if !t.open(route, now) {
			return nil, nil
		}
		return t.claim(now, lease, `FROM slot s INDEXED BY slot_next LEFT JOIN operation o ON o.seq = s.desired
 WHERE s.route = ? AND s.next_at <= ? AND s.next_at IS NOT NULL ORDER BY s.next_at LIMIT ?`, route, now, limit), nil
	})
}

// ClaimSlot implements ledger.Store.
func (s *Store) ClaimSlot(ctx context.Context, route, customer string, lease time.Duration) (ledger.Lease, bool, error) {
	leases, err := do(ctx, s, true, func(t *txn) ([]ledger.Lease, error) {
		now := t.now()
		if !t.open(route, now) {
			return nil, nil
		}
		return t.claim(now, lease, `FROM slot s LEFT JOIN operation o ON o.seq = s.desired
 WHERE s.customer = ? AND s.route = ? AND s.next_at <= ?`, customer, route, now), nil
	})
	if err != nil || len(leases) == 0 {
		return ledger.Lease{}, false, err
	}
	return leases[0], true, nil
}

// claim leases what a query selects, which must be ready.
func (t *txn) claim(now int64, lease time.Duration, from string, args ...any) []ledger.Lease {
	var leases []ledger.Lease
	var slots []slot
	t.query(func(row []driver.Value) {
		var s slot
		s.scan(row[:workWidth])
		slots = append(slots, s)
		leases = append(leases, ledger.Lease{Payload: blob(row[workWidth]), Strict: number(row[workWidth+1]) != 0})
	}, "SELECT "+workColumns+", o.payload, o.strict "+from, args...)
	for i := range slots {
		s := &slots[i]
		was := *s
		s.lease(t.next(now), now, lease.Microseconds(), t.s.settleFor)
		t.exec(`UPDATE slot SET state = ?, inflight = ?, next_at = ?, claimed_at = ?, token = ?, attempts = ?, unsure = ?, settle_at = ?
 WHERE customer = ? AND route = ?`,
			int64(s.state), s.inflight, orNull(s.nextAt), s.claimedAt, s.token, s.attempts, s.unsure, s.settleAt, s.customer, s.route)
		t.moved(&was, s)
		leases[i] = s.grant(leases[i].Payload, leases[i].Strict)
	}
	return leases
}

// NextDue implements ledger.Store.
func (s *Store) NextDue(ctx context.Context, route string) (time.Duration, bool, error) {
	var at int64
	err := s.read(ctx, func(c *conn) (err error) {
		at, err = c.number(`SELECT next_at FROM slot INDEXED BY slot_next WHERE route = ? AND next_at IS NOT NULL ORDER BY next_at LIMIT 1`, route)
		return err
	})
	if err != nil || at == 0 {
		return 0, false, err
	}
	return s.until(at), true, nil
}

// until is how long it is to a time, at least 0.
func (s *Store) until(at int64) time.Duration {
	return time.Duration(max(at-s.clock.now(), 0)) * time.Microsecond
}
