package sqlite

import (
	"context"

	"customer-gateway/gateway/ledger"
)

// sweepPart is how many rows a sweep looks at in one part.
const sweepPart = 4 * part

// cursor is how far a sweep has come.
type cursor struct {
	step int
	at   int64
}

// The parameters of all queries of a sweep: ?1 is a key (the last one seen, or the
// one to drop), ?2 the time before which payloads are old, ?3 whether the newest
// state is kept, ?4 the time before which operations are old, ?5 now, ?6 a limit.
const (
	// A state is wanted by a slot that has it as its newest and is not done with
	// it, or was not until a moment ago: a late finish may want it again.
	wanted = ` EXISTS (SELECT 1 FROM slot s WHERE s.customer = o.customer AND s.desired = o.seq
 AND (s.state <> 0 OR s.claimed_at >= ?2 OR ?3 AND o.payload IS NOT NULL))`
	unclaimed = ` NOT EXISTS (SELECT 1 FROM slot s WHERE s.customer = a.customer AND s.route = a.route AND s.state = 3)`
)

// steps are what a sweep does, each until it has seen all rows. The first query
// lists keys and whether they can be dropped; the second drops one, if that is
// still so. Of the chains of operations and attempts only the ends are dropped.
var steps = [...]struct{ find, drop string }{
	{
		`SELECT o.seq, NOT` + wanted + ` FROM operation o INDEXED BY operation_payload
 WHERE o.payload IS NOT NULL AND o.seq > ?1 AND o.accepted_at < ?2 ORDER BY o.seq LIMIT ?6`,
		`UPDATE operation AS o SET payload = NULL WHERE o.seq = ?1 AND NOT` + wanted,
	}, {
		`SELECT o.seq, NOT` + wanted + ` AND coalesce(o.key_until <= ?5, 1) FROM operation o
 WHERE o.seq > ?1 AND o.accepted_at < ?4 ORDER BY o.seq LIMIT ?6`,
		`DELETE FROM operation AS o WHERE o.seq = ?1 AND NOT` + wanted + ` AND NOT EXISTS (SELECT 1 FROM operation p WHERE p.seq = o.previous)`,
	}, {
		`SELECT a.id,` + unclaimed + ` FROM attempt a WHERE a.id > ?1 AND a.at < ?4 ORDER BY a.id LIMIT ?6`,
		`DELETE FROM attempt AS a WHERE a.id = ?1 AND` + unclaimed + ` AND NOT EXISTS (SELECT 1 FROM attempt p WHERE p.id = a.previous)`,
	},
}

// Sweep implements ledger.Store. What there is to drop is found by reading, so
// that upserts wait only for the dropping.
func (s *Store) Sweep(ctx context.Context, sw ledger.Sweep) (more bool, err error) {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now := s.clock.now()
	step, at := steps[s.cursor.step], s.cursor.at
	args := func(key int64) []any {
		return []any{key, now - sw.Payloads.Microseconds(), sw.Latest, now - sw.Operations.Microseconds(), now, sweepPart}
	}
	var drop []int64
	rows := 0
	err = s.read(ctx, func(c *conn) error {
		return c.query(func(row []value) error {
			rows++
			at = number(row[0])
			if number(row[1]) != 0 {
				drop = append(drop, at)
			}
			return nil
		}, step.find, args(at)...)
	})
	if err != nil {
		return false, err
	}
	for len(drop) > 0 {
		n := min(len(drop), part)
		_, err := do(ctx, s, false, func(t *txn) (struct{}, error) {
			for _, key := range drop[:n] {
				t.exec(step.drop, args(key)...)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return false, err
		}
		drop = drop[n:]
	}
	s.cursor.at = at
	if rows < sweepPart {
		s.cursor = cursor{step: (s.cursor.step + 1) % len(steps)}
	}
	return s.cursor != cursor{}, nil
}
