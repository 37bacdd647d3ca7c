package sqlite

import (
	"context"
	"database/sql/driver"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

type value = driver.Value

const (
	// maxHistory bounds the history that is read with a dead letter: the newest.
	maxHistory = 200
	// part is how many slots a bulk change takes into one transaction at a time,
	// so that upserts are not held up.
	part = 256
	// maxPage bounds a list whose caller states no limit.
	maxPage = 1000
)

// DeadLetters implements ledger.Store. The history has at most the newest 200
// entries.
func (s *Store) DeadLetters(ctx context.Context, f ledger.Filter) ([]ledger.DeadLetter, error) {
	var list []ledger.DeadLetter
	var last []int64
	limit := f.Limit
	if limit <= 0 {
		limit = maxPage
	}
	where, args := dead(&f)
	err := s.snapshot(ctx, func(c *conn) error {
		err := c.query(func(row []value) error {
			var d slot
			d.scan(row)
			list = append(list, ledger.DeadLetter{Slot: d.public(), DiedAt: moment(d.diedAt)})
			last = append(last, d.history)
			return nil
		}, "SELECT "+slotColumns+where+" LIMIT ?", append(args, limit)...)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].History, err = history(c, last[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return list, err
}

// history reads a slot's attempts from the last one back, and returns them oldest
// first.
func history(c *conn, last int64) ([]ledger.Attempt, error) {
	var list []ledger.Attempt
	for last != 0 && len(list) < maxHistory {
		id := last
		last = 0
		err := c.query(func(row []value) error {
			last = number(row[0])
			list = append(list, ledger.Attempt{
				At: time.UnixMicro(number(row[1])).UTC(), Version: number(row[2]), Number: int(number(row[3])), Requests: int(number(row[4])),
				Op: text(row[5]), Code: canonical.Code(text(row[6])), Status: int(number(row[7])), UpstreamCode: text(row[8]),
				RequestID: text(row[9]), Took: time.Duration(number(row[10])),
			})
			return nil
		}, "SELECT previous, at, version, number, requests, op, code, status, upstream_code, request_id, took FROM attempt WHERE id = ?", id)
		if err != nil {
			return nil, err
		}
	}
	slices.Reverse(list)
	return list, nil
}

// dead is the part of a query, from FROM to ORDER BY, that selects dead letters.
// Whoever has the customer reads his few slots, everybody else the index of the
// dead, in order.
func dead(f *ledger.Filter) (string, []any) {
	var b strings.Builder
	var args []any
	add := func(term string, values ...any) {
		b.WriteString(" AND ")
		b.WriteString(term)
		args = append(args, values...)
	}
	if f.Customer != "" {
		b.WriteString(" FROM slot s WHERE s.died_at IS NOT NULL")
		add("s.customer = ?", f.Customer)
	} else {
		b.WriteString(" FROM slot s INDEXED BY slot_dead WHERE s.died_at IS NOT NULL")
	}
	if f.Route != "" {
		add("s.route = ?", f.Route)
	}
	if f.Routes != nil {
		in := make([]any, len(f.Routes))
		for i, r := range f.Routes {
			in[i] = r
		}
		add("s.route IN (?"+strings.Repeat(", ?", max(len(in), 1)-1)+")", append(in, make([]any, max(len(in), 1)-len(in))...)...)
	}
	if f.Code != "" {
		add("s.code = ?", string(f.Code))
	}
	if !f.Since.IsZero() {
		add("s.died_at >= ?", f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		add("s.died_at < ?", f.Until.UnixMicro())
	}
	if !f.After.DiedAt.IsZero() {
		add("(s.died_at, s.route, s.customer) > (?, ?, ?)", f.After.DiedAt.UnixMicro(), f.After.Route, f.After.Customer)
	}
	b.WriteString(" ORDER BY s.died_at, s.route, s.customer")
	return b.String(), args
}

// Replay implements ledger.Store. It takes many slots in parts; after an error
// those that it counts are due all the same.
func (s *Store) Replay(ctx context.Context, f ledger.Filter) (int, error) {
	// What dies again meanwhile is not replayed again.
	if end := s.clock.now() + 1; f.Until.IsZero() || micros(f.Until) > end {
		f.Until = moment(end)
	}
	total := 0
	for {
		n, err := do(ctx, s, true, func(t *txn) (int, error) {
			where, args := dead(&f)
			var slots []slot
			t.query(func(row []value) {
				var d slot
				d.scan(row)
				slots = append(slots, d)
			}, "SELECT "+workColumns+where+" LIMIT ?", append(args, part)...)
			t.revive(slots)
			if n := len(slots); n > 0 {
				last := &slots[n-1]
				f.After = ledger.Cursor{DiedAt: moment(last.diedAt), Route: last.route, Customer: last.customer}
			}
			return len(slots), nil
		})
		total += n
		if err != nil || n < part {
			return total, err
		}
	}
}

// revive makes slots due now.
func (t *txn) revive(slots []slot) {
	now := t.now()
	for i := range slots {
		s := slots[i]
		s.wake(now)
		s.dueSince = now
		t.plan(&slots[i], &s)
	}
}

// Resync implements ledger.Store. It goes through all slots in parts; after an
// error those that it counts are due all the same.
func (s *Store) Resync(ctx context.Context, route string) (due, missing int, err error) {
	var customer, name string
	for {
		var idle []string
		rows := 0
		err := s.read(ctx, func(c *conn) error {
			idle, rows = idle[:0], 0
			return c.query(func(row []value) error {
				rows++
				customer, name = text(row[0]), text(row[1])
				if name == route && number(row[2]) == int64(ledger.Idle) {
					idle = append(idle, customer)
				}
				return nil
			}, "SELECT customer, route, state FROM slot WHERE (customer, route) > (?, ?) ORDER BY customer, route LIMIT ?", customer, name, 4*part)
		})
		if err != nil {
			return due, missing, err
		}
		for len(idle) > 0 {
			n := min(len(idle), part)
			type counts struct{ due, missing int }
			got, err := do(ctx, s, true, func(t *txn) (counts, error) {
				var c counts
				for _, customer := range idle[:n] {
					ok, gone := t.resync(route, customer)
					if ok {
						c.due++
					}
					if gone {
						c.missing++
					}
				}
				return c, nil
			})
			due, missing = due+got.due, missing+got.missing
			if err != nil {
				return due, missing, err
			}
			idle = idle[n:]
		}
		if rows < 4*part {
			return due, missing, nil
		}
	}
}

func (t *txn) resync(route, customer string) (due, missing bool) {
	s, ok := t.slot(route, customer)
	if !ok || s.state != ledger.Idle {
		return false, false
	}
	held, err := t.number("SELECT EXISTS (SELECT 1 FROM operation WHERE seq = ? AND payload IS NOT NULL)", s.desired)
	if t.failed == nil {
		t.failed = err
	}
	if held == 0 {
		return false, true
	}
	t.revive([]slot{s})
	return true, false
}
