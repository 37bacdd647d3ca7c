package sqlite

import (
	"context"

	"customer-gateway/gateway/ledger"
)

// SetRoute implements ledger.Store.
func (s *Store) SetRoute(ctx context.Context, r ledger.Route) error {
	_, err := do(ctx, s, true, func(t *txn) (struct{}, error) {
		if was := t.route(r.Name).NotBefore; was.After(r.NotBefore) {
			r.NotBefore = was
		}
		r.NotBefore = moment(micros(r.NotBefore))
		t.exec("INSERT INTO route (name, paused, reason, not_before) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, not_before = excluded.not_before",
			r.Name, r.Paused, r.Reason, micros(r.NotBefore))
		if t.routes == nil {
			t.routes = make(map[string]ledger.Route)
		}
		t.routes[r.Name] = r
		return struct{}{}, nil
	})
	return err
}

// Routes implements ledger.Store.
func (s *Store) Routes(ctx context.Context) ([]ledger.Route, error) {
	var list []ledger.Route
	err := s.read(ctx, func(c *conn) error {
		return c.query(func(row []value) error {
			list = append(list, scanRoute(row))
			return nil
		}, "SELECT name, paused, reason, not_before FROM route ORDER BY name")
	})
	return list, err
}

func scanRoute(row []value) ledger.Route {
	return ledger.Route{Name: text(row[0]), Paused: number(row[1]) != 0, Reason: text(row[2]), NotBefore: moment(number(row[3]))}
}
