package sqlite

import (
	"context"

	"customer-gateway/gateway/ledger"
)

// cursor is how far a sweep has come.
type cursor struct {
	step int
	at   int64
}

// sweepPart is how many rows a sweep looks at in one part.
const sweepPart = 4 * part

// Sweep implements ledger.Store. What there is to drop is found by reading, so
// that upserts wait only for the dropping.
func (s *Store) Sweep(ctx context.Context, sw ledger.Sweep) (more bool, err error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now := s.clock.now()
	payloads, operations := now-sw.Payloads.Microseconds(), now-sw.Operations.Microseconds()
	// A state is wanted by a slot that has it as its newest and is not done with
	// it, or was not until a moment ago: a late finish may want it again.
	const wanted = ` EXISTS (SELECT 1 FROM slot s WHERE s.customer = o.customer AND s.desired = o.seq AND (s.state <> 0 OR s.claimed_at >= ?2 OR ?3 AND o.payload IS NOT NULL))`
	steps := [...]struct {
		candidates, drop string
		args             []any
	}{
		{`SELECT o.seq, NOT` + wanted + ` FROM operation o INDEXED BY operation_payload WHERE o.payload IS NOT NULL AND o.seq > ?1 AND o.accepted_at < ?2 ORDER BY o.seq LIMIT ?4`,
			`UPDATE operation AS o SET payload = NULL WHERE o.seq = ?1 AND NOT` + wanted,
			[]any{payloads, sw.Latest}},
		{`SELECT o.seq, NOT` + wanted + ` AND coalesce(o.key_until <= ?6, 1) FROM operation o WHERE o.seq > ?1 AND o.accepted_at < ?5 ORDER BY o.seq LIMIT ?4`,
			`DELETE FROM operation AS o WHERE o.seq = ?1 AND NOT` + wanted,
			[]any{payloads, sw.Latest}},
		{`SELECT a.id, NOT EXISTS (SELECT 1 FROM slot s WHERE s.customer = a.customer AND s.route = a.route AND s.state = 3) FROM attempt a WHERE a.id > ?1 AND a.at < ?5 AND ?2 IS NOT NULL AND ?3 IS NOT NULL ORDER BY a.id LIMIT ?4`,
			`DELETE FROM attempt WHERE id = ?1 AND ?2 IS NOT NULL AND ?3 IS NOT NULL`,
			[]any{payloads, sw.Latest}},
	}
	step := steps[s.cursor.step]
	var drop []int64
	rows := 0
	err = s.read(ctx, func(c *conn) error {
		args := append([]any{s.cursor.at}, step.args...)
		args = append(args, sweepPart)
		if s.cursor.step > 0 {
			args = append(args, operations)
		}
		if s.cursor.step == 1 {
			args = append(args, now)
		}
		return c.query(func(row []value) error {
			rows++
			s.cursor.at = number(row[0])
			if number(row[1]) != 0 {
				drop = append(drop, s.cursor.at)
			}
			return nil
		}, step.candidates, args...)
	})
	if err != nil {
		return false, err
	}
	for len(drop) > 0 {
		n := min(len(drop), part)
		_, err := do(ctx, s, false, func(t *txn) (struct{}, error) {
			for _, id := range drop[:n] {
				t.exec(step.drop, append([]any{id}, step.args...)...)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return false, err
		}
		drop = drop[n:]
	}
	if rows == sweepPart {
		return true, nil
	}
	s.cursor = cursor{step: (s.cursor.step + 1) % len(steps)}
	return s.cursor.step != 0, nil
}
