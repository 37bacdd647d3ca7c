package sqlite

import (
	"cmp"
	"context"
	"database/sql/driver"
	"encoding/json"
	"slices"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Slot implements ledger.Store.
func (s *Store) Slot(ctx context.Context, route, customer string) (ledger.Slot, error) {
	var found []ledger.Slot
	err := s.read(ctx, func(c *conn) (err error) {
		found, err = slots(c, "WHERE s.customer = ? AND s.route = ?", customer, route)
		return err
	})
	if err != nil {
		return ledger.Slot{}, err
	}
	if len(found) == 0 {
		return ledger.Slot{}, missing("the ledger holds nothing of this customer for this route")
	}
	return found[0], nil
}

// Customer implements ledger.Store.
func (s *Store) Customer(ctx context.Context, id string) (ledger.Customer, error) {
	found := ledger.Customer{ID: id}
	err := s.snapshot(ctx, func(c *conn) (err error) {
		if found.Slots, err = slots(c, "WHERE s.customer = ? ORDER BY s.route", id); err != nil {
			return err
		}
		for i := range found.Slots {
			found.Version = max(found.Version, found.Slots[i].Desired)
		}
		if found.Version == 0 {
			return nil
		}
		return c.query(func(row []driver.Value) error {
			found.Payload, found.Strict = blob(row[0]), number(row[1]) != 0
			return nil
		}, "SELECT payload, strict FROM operation WHERE seq = ?", found.Version)
	})
	if err != nil {
		return ledger.Customer{}, err
	}
	if found.Version == 0 {
		return ledger.Customer{}, missing("the ledger holds nothing about this customer")
	}
	return found, nil
}

// Operation implements ledger.Store.
func (s *Store) Operation(ctx context.Context, version int64) (ledger.Operation, error) {
	found := ledger.Operation{}
	err := s.snapshot(ctx, func(c *conn) error {
		var held []ledger.Slot
		err := c.query(func(row []driver.Value) error {
			found = ledger.Operation{Version: version, Customer: text(row[0]), AcceptedAt: moment(number(row[2])), Strict: number(row[3]) != 0}
			return json.Unmarshal([]byte(text(row[1])), &found.Routes)
		}, "SELECT customer, routes, accepted_at, strict FROM operation WHERE seq = ?", version)
		if err != nil || found.Version == 0 {
			return err
		}
		held, err = slots(c, "WHERE s.customer = ? ORDER BY s.route", found.Customer)
		found.Slots = make([]ledger.Slot, len(found.Routes))
		for i, route := range found.Routes {
			if j, ok := slices.BinarySearchFunc(held, route, func(s ledger.Slot, route string) int { return cmp.Compare(s.Route, route) }); ok {
				found.Slots[i] = held[j]
			}
		}
		return err
	})
	if err != nil {
		return ledger.Operation{}, err
	}
	if found.Version == 0 {
		return ledger.Operation{}, missing("there is no such operation, or it is no longer kept")
	}
	return found, nil
}

// slots reads the slots that a condition selects, as callers see them.
func slots(c *conn, where string, args ...any) ([]ledger.Slot, error) {
	var found []ledger.Slot
	err := c.query(func(row []driver.Value) error {
		var s slot
		s.scan(row)
		found = append(found, s.public())
		return nil
	}, "SELECT "+slotColumns+" FROM slot s "+where, args...)
	return found, err
}

func missing(message string) *canonical.Error {
	return &canonical.Error{Code: canonical.RequestNotFound, Message: message}
}

// Backlog implements ledger.Store. The counts are kept in memory; only the oldest
// of the waiting slots is looked up, in an index.
func (s *Store) Backlog(ctx context.Context) ([]ledger.Backlog, error) {
	list := s.tally.backlog()
	err := s.read(ctx, func(c *conn) error {
		for i := range list {
			b := &list[i]
			if b.Due == 0 {
				continue
			}
			waiting, err := c.number("SELECT due_since FROM slot INDEXED BY slot_waiting WHERE route = ? AND state = 1 ORDER BY due_since LIMIT 1", b.Route)
			if err != nil {
				return err
			}
			if waiting != 0 && (b.Oldest.IsZero() || waiting < micros(b.Oldest)) {
				b.Oldest = moment(waiting)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b ledger.Backlog) int { return cmp.Compare(a.Route, b.Route) })
	return list, nil
}
