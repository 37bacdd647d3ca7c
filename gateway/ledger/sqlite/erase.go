package sqlite

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"customer-gateway/canonical"
)

// erasePatience is how long Erase waits for the readers of older states.
const erasePatience = 10 * time.Second

// Erase implements ledger.Store. Rows are overwritten as they are deleted, then the
// unused parts of all pages, and last the write-ahead log, which still has them, is
// emptied. It takes about a second for each gigabyte. A backup that is under way
// keeps it from emptying the log, and then Erase fails and has to be called again.
func (s *Store) Erase(ctx context.Context, id string) error {
	name := sha256.Sum256([]byte(id))
	s.erasing.Lock()
	defer s.erasing.Unlock()
	_, err := do(ctx, s, true, func(t *txn) (struct{}, error) { return struct{}{}, t.erase(id) })
	if e, ok := errors.AsType[*canonical.Error](err); ok && e.Code == canonical.RequestNotFound {
		if _, again := s.erased[name]; again {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	s.erased[name] = struct{}{}
	if err := s.scrub(ctx); err != nil {
		return err
	}
	if err := s.forget(ctx); err != nil {
		return err
	}
	clear(s.erased) // the log had all of them
	return nil
}

func (t *txn) erase(id string) error {
	slots := t.slots("WHERE s.customer = ?", id)
	if len(slots) == 0 {
		return missing("the ledger holds nothing about this customer")
	}
	for i := range slots {
		s := &slots[i]
		t.unchain("attempt", "id", s.history)
		t.unchain("operation", "seq", s.desired)
		t.moved(s, &slot{route: s.route})
	}
	t.exec("DELETE FROM slot WHERE customer = ?", id)
	return nil
}

// unchain deletes a row and those before it.
func (t *txn) unchain(table, key string, last int64) {
	for last != 0 && t.failed == nil {
		id := last
		last = 0
		t.query(func(row []value) { last = number(row[0]) }, "DELETE FROM "+table+" WHERE "+key+" = ? RETURNING previous", id)
		t.wrote = true
	}
}

// forget empties the write-ahead log.
func (s *Store) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.erasePatience)
	defer cancel()
	for {
		w := &write{run: func(*txn) {}, after: func(c *conn) error { return c.truncate() }}
		err := s.submit(ctx, w)
		if err == nil || !errors.Is(err, errReaders) {
			return err
		}
		timer := time.NewTimer(2 * patience)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: s.erasePatience, Err: err,
				Message: "the customer's data is deleted, but a reader, a backup perhaps, keeps it in the ledger's write-ahead log; erase again when that has ended"}
		}
	}
}
