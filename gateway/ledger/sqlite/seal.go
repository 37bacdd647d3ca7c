package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

var _ ledger.Sealable = (*Store)(nil)

// SealKeys implements ledger.Sealable.
func (s *Store) SealKeys(ctx context.Context) (ids []string, err error) {
	err = s.read(ctx, func(c *conn) error {
		return c.query(func(row []value) error {
			if row[0] == nil {
				return nil
			}
			return json.Unmarshal([]byte(text(row[0])), &ids)
		}, "SELECT keys FROM ledger WHERE id = 1")
	})
	return ids, err
}

// SetSealKeys implements ledger.Sealable.
func (s *Store) SetSealKeys(ctx context.Context, ids []string) error {
	list, err := json.Marshal(ids)
	if err != nil {
		return canonical.AsError(err)
	}
	_, err = do(ctx, s, true, func(t *txn) (struct{}, error) {
		t.exec("UPDATE ledger SET keys = ? WHERE id = 1", string(list))
		return struct{}{}, nil
	})
	return err
}

// A position of Rewrite names the last row seen: of the payloads, which come
// first, or of the results.
const (
	atPayload = "payload "
	atResult  = "result "
)

// Rewrite implements ledger.Sealable.
func (s *Store) Rewrite(ctx context.Context, position string, limit int, rewrite func(ledger.Blob) []byte) (next string, err error) {
	return do(ctx, s, true, func(t *txn) (string, error) {
		if at, ok := strings.CutPrefix(position, atResult); ok {
			customer, route, _ := strings.Cut(at, "\x00")
			return t.rewriteResults(customer, route, limit, rewrite), nil
		}
		seq, err := strconv.ParseInt(strings.TrimPrefix(position, atPayload), 10, 64)
		if err != nil && position != "" {
			return "", canonical.AsError(fmt.Errorf("sqlite: rewrite: position %q: %w", position, err))
		}
		next, n := t.rewritePayloads(seq, limit, rewrite)
		if n < limit {
			next = t.rewriteResults("", "", limit-n, rewrite)
		}
		return next, nil
	})
}

func (t *txn) rewritePayloads(seq int64, limit int, rewrite func(ledger.Blob) []byte) (next string, n int) {
	type row struct {
		seq  int64
		blob ledger.Blob
	}
	var rows []row
	t.query(func(r []value) {
		rows = append(rows, row{number(r[0]), ledger.Blob{Customer: text(r[1]), Data: blob(r[2])}})
	}, "SELECT seq, customer, payload FROM operation INDEXED BY operation_payload WHERE payload IS NOT NULL AND seq > ? ORDER BY seq LIMIT ?", seq, limit)
	for _, r := range rows {
		if data := rewrite(r.blob); data != nil {
			t.exec("UPDATE operation SET payload = ? WHERE seq = ?", data, r.seq)
		}
		seq = r.seq
	}
	return atPayload + strconv.FormatInt(seq, 10), len(rows)
}

func (t *txn) rewriteResults(customer, route string, limit int, rewrite func(ledger.Blob) []byte) (next string) {
	var rows []ledger.Blob
	t.query(func(r []value) {
		rows = append(rows, ledger.Blob{Customer: text(r[0]), Route: text(r[1]), Data: blob(r[2])})
	}, "SELECT customer, route, result FROM slot WHERE (customer, route) > (?, ?) ORDER BY customer, route LIMIT ?", customer, route, limit)
	for _, r := range rows {
		customer, route = r.Customer, r.Route
		if r.Data == nil {
			continue
		}
		if data := rewrite(r); data != nil {
			t.exec("UPDATE slot SET result = ? WHERE customer = ? AND route = ?", data, customer, route)
		}
	}
	if len(rows) < limit {
		return ""
	}
	return atResult + customer + "\x00" + route
}
