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

// Erase implements ledger.Store. Deleted rows are overwritten, and the write-ahead
// log, which still has them, is emptied; a backup that is under way keeps it from
// that, and then Erase fails and has to be called again.
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
	if err := s.forget(ctx); err != nil {
		return err
	}
	clear(s.erased) // the log had all of them
	return nil
}

func (t *txn) erase(id string) error {
	slots := t.slots("WHERE s.customer = ?", id)
	var held int64
	t.query(func(row []value) { held = number(row[0]) },
		"SELECT EXISTS (SELECT 1 FROM operation WHERE customer = ?) OR EXISTS (SELECT 1 FROM attempt WHERE customer = ?)", id, id)
	if len(slots) == 0 && held == 0 {
		return missing("the ledger holds nothing about this customer")
	}
	t.exec("DELETE FROM attempt WHERE customer = ?", id)
	t.exec("DELETE FROM operation WHERE customer = ?", id)
	t.exec("DELETE FROM slot WHERE customer = ?", id)
	for i := range slots {
		t.moved(&slots[i], &slot{route: slots[i].route})
	}
	return nil
}

// forget empties the write-ahead log.
func (s *Store) forget(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, erasePatience)
	defer cancel()
	for {
		w := &write{done: make(chan struct{}), run: func(*txn) {}, after: func(c *conn) error { return c.truncate() }}
		err := s.submit(ctx, w)
		if err == nil || !errors.Is(err, errReaders) {
			return err
		}
		timer := time.NewTimer(2 * patience)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: erasePatience, Err: err,
				Message: "the customer's data is deleted, but a reader, a backup perhaps, keeps it in the ledger's write-ahead log; erase again when that has ended"}
		}
	}
}
