package sqlite

import (
	"cmp"
	"context"
	"slices"
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
		free := t.claimable(` FROM slot s INDEXED BY slot_leased LEFT JOIN operation o ON o.seq = s.desired
 WHERE s.state = 2 AND s.next_at <= ? AND s.route = ? ORDER BY s.next_at LIMIT ?`, now, route, limit)
		over := len(free)
		free = append(free, t.claimable(` FROM slot s INDEXED BY slot_due LEFT JOIN operation o ON o.seq = s.desired
 WHERE s.state = 1 AND s.route = ? AND s.next_at <= ? ORDER BY s.next_at LIMIT ?`, route, now, limit)...)
		if over > 0 {
			slices.SortStableFunc(free, func(a, b claimable) int { return cmp.Compare(a.nextAt, b.nextAt) })
		}
		return t.claim(free[:min(limit, len(free))], now, lease), nil
	})
}

// ClaimSlot implements ledger.Store.
func (s *Store) ClaimSlot(ctx context.Context, route, customer string, lease time.Duration) (ledger.Lease, bool, error) {
	leases, err := do(ctx, s, true, func(t *txn) ([]ledger.Lease, error) {
		now := t.now()
		if !t.open(route, now) {
			return nil, nil
		}
		free := t.claimable(` FROM slot s LEFT JOIN operation o ON o.seq = s.desired
 WHERE s.customer = ? AND s.route = ? AND s.next_at <= ?`, customer, route, now)
		return t.claim(free, now, lease), nil
	})
	if err != nil || len(leases) == 0 {
		return ledger.Lease{}, false, err
	}
	return leases[0], true, nil
}

// claimable is a slot that is ready, with its newest state.
type claimable struct {
	slot
	payload []byte
	strict  bool
}

func (t *txn) claimable(from string, args ...any) []claimable {
	var free []claimable
	t.query(func(row []value) {
		free = append(free, claimable{payload: blob(row[workWidth]), strict: number(row[workWidth+1]) != 0})
		free[len(free)-1].scan(row[:workWidth])
	}, "SELECT "+workColumns+", o.payload, o.strict"+from, args...)
	return free
}

// claim leases slots.
func (t *txn) claim(free []claimable, now int64, lease time.Duration) []ledger.Lease {
	var leases []ledger.Lease
	for i := range free {
		s := &free[i].slot
		was := *s
		s.lease(t.next(now), now, lease.Microseconds(), t.s.settleFor)
		t.exec(`UPDATE slot SET state = ?, inflight = ?, next_at = ?, claimed_at = ?, token = ?, attempts = ?, unsure = ?, settle_at = ?
 WHERE customer = ? AND route = ?`,
			int64(s.state), s.inflight, orNull(s.nextAt), s.claimedAt, s.token, s.attempts, s.unsure, s.settleAt, s.customer, s.route)
		t.moved(&was, s)
		leases = append(leases, s.grant(free[i].payload, free[i].strict))
	}
	return leases
}

// NextDue implements ledger.Store.
func (s *Store) NextDue(ctx context.Context, route string) (time.Duration, bool, error) {
	var at int64
	err := s.snapshot(ctx, func(c *conn) (err error) {
		at, err = c.number("SELECT next_at FROM slot INDEXED BY slot_due WHERE state = 1 AND route = ? ORDER BY next_at LIMIT 1", route)
		if err != nil || !s.tally.leases(route) {
			return err
		}
		end, err := c.number("SELECT next_at FROM slot INDEXED BY slot_leased WHERE state = 2 AND route = ? ORDER BY next_at LIMIT 1", route)
		if end != 0 && (at == 0 || end < at) {
			at = end
		}
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
