package sqlite

import (
	"context"
	"errors"
)

// Erase implements ledger.Store.
func (s *Store) Erase(ctx context.Context, id string) error {
	_, err := do(ctx, s, true, func(t *txn) (struct{}, error) {
		slots := t.slots("WHERE s.customer = ?", id)
		held, err := t.number("SELECT EXISTS (SELECT 1 FROM operation WHERE customer = ?) OR EXISTS (SELECT 1 FROM attempt WHERE customer = ?)", id, id)
		if t.failed == nil {
			t.failed = err
		}
		if len(slots) == 0 && held == 0 {
			return struct{}{}, missing("the ledger holds nothing about this customer")
		}
		t.exec("DELETE FROM attempt WHERE customer = ?", id)
		t.exec("DELETE FROM operation WHERE customer = ?", id)
		t.exec("DELETE FROM slot WHERE customer = ?", id)
		for i := range slots {
			gone := slot{route: slots[i].route}
			t.moved(&slots[i], &gone)
		}
		return struct{}{}, nil
	})
	return err
}

var errBusyLog = errors.New("somebody still reads the write-ahead log")
