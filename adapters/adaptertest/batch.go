package adaptertest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// batch holds the promises of a Batcher, if the adapter is one.
func (c *Case) batch(t *testing.T) {
	for _, s := range c.Adapters {
		b, ok := s.Adapter.(canonical.Batcher)
		if !ok {
			continue
		}
		if b.BatchLimit() < 1 {
			t.Errorf("%s: BatchLimit = %d, want 1 or more", s.Name, b.BatchLimit())
		}
		t.Run(s.Name+"/one", func(t *testing.T) { c.batchOfOne(t, s.Name, b) })
		t.Run(s.Name+"/many", func(t *testing.T) { c.batchOfMany(t, b) })
	}
}

// all returns an upsert of each shared customer.
func (c *Case) all(t *testing.T) (us []canonical.Upsert) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(customers, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no shared customers: %v", err)
	}
	for _, file := range files {
		us = append(us, c.upsert(Customer(t, strings.TrimSuffix(filepath.Base(file), ".json")), ""))
	}
	return us
}

// batchOfOne holds that a batch of one is the single upsert.
func (c *Case) batchOfOne(t *testing.T, setup string, b canonical.Batcher) {
	for _, u := range c.all(t) {
		req, notices, err := b.Translate(u)
		batch, rows := b.TranslateBatch([]canonical.Upsert{u})
		want := canonical.Row{Outcome: canonical.Outcome{Notices: notices}, Err: err}
		if !reflect.DeepEqual(batch, req) || len(rows) != 1 || !reflect.DeepEqual(rows[0], want) {
			t.Errorf("%s: a batch of one is %+v with %+v, want %+v with %+v", u.ID, batch, rows, req, want)
		}
	}
	for _, f := range readFixtures(t) {
		if f.follow || f.adapter != setup {
			continue
		}
		p := c.play(t, f)
		if len(p.sent) > 1 {
			continue
		}
		rows := b.InterpretBatch([]canonical.Upsert{p.u}, p.sent[0], f.replies[0])
		want := canonical.Row{Outcome: p.out, Err: p.err}
		if len(rows) != 1 || !reflect.DeepEqual(rows[0], want) {
			t.Errorf("%s: as a batch of one %+v, want %+v", f.name, rows, want)
		}
	}
}

// batchOfMany holds that many customers in one call are what each is alone, and
// that no answer that proves nothing is a success of any of them.
func (c *Case) batchOfMany(t *testing.T, b canonical.Batcher) {
	us := c.all(t)
	req, rows := b.TranslateBatch(us)
	if again, rowsAgain := b.TranslateBatch(us); !reflect.DeepEqual(req, again) || !reflect.DeepEqual(rows, rowsAgain) {
		t.Error("TranslateBatch gives different results for the same upserts")
	}
	if fresh := c.all(t); !reflect.DeepEqual(us, fresh) {
		t.Error("TranslateBatch has changed a customer")
	}
	if req == nil || len(rows) != len(us) || !json.Valid(req.Body) {
		t.Fatalf("TranslateBatch = %+v with %d rows, want a request of JSON and %d", req, len(rows), len(us))
	}
	alone := make([]*canonical.Request, len(us))
	for i, u := range us {
		single, notices, err := b.Translate(u)
		alone[i] = single
		if !reflect.DeepEqual(rows[i].Err, err) || !reflect.DeepEqual(rows[i].Outcome.Notices, notices) {
			t.Errorf("%s: row %+v, want %v and the notices %v", u.ID, rows[i], err, notices)
		}
		if next := rows[i].Outcome.Next; next != nil && !reflect.DeepEqual(next, single) {
			t.Errorf("%s: begins with %+v, want %+v", u.ID, next, single)
		}
	}
	us, rows, alone = us[:0:0], nil, nil // a few are enough for so many answers
	for _, name := range []string{"person", "unrepresentable", "minimal"} {
		u := c.upsert(Customer(t, name), "")
		single, _, _ := b.Translate(u)
		us, alone = append(us, u), append(alone, single)
	}
	req, rows = b.TranslateBatch(us)
	for what, body := range bodies {
		t.Run(what, func(t *testing.T) {
			for status := 100; status < 600; status++ {
				got := &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)}
				read := b.InterpretBatch(us, req, got)
				if problem := c.checkRows(t, us, rows, read, alone, got); problem != "" {
					t.Errorf("status %d with the body %q: %s", status, body, problem)
				}
			}
		})
	}
}

// checkRows holds what is true of an answer that proves nothing: each row of the
// request failed, all for the same reason, or goes on by itself.
func (c *Case) checkRows(t *testing.T, us []canonical.Upsert, rows, read []canonical.Row, alone []*canonical.Request, got *canonical.Reply) string {
	t.Helper()
	if len(read) != len(us) {
		return fmt.Sprintf("%d rows, want %d", len(read), len(us))
	}
	var first canonical.Code
	for i, row := range read {
		switch {
		case rows[i].Err != nil:
			if !reflect.DeepEqual(row, canonical.Row{Err: rows[i].Err}) {
				return fmt.Sprintf("a row that was refused became %+v", row)
			}
			continue
		case row.Outcome.Next != nil:
			if row.Err != nil || !reflect.DeepEqual(row.Outcome.Next, alone[i]) {
				return fmt.Sprintf("a row goes on with %+v, %v; want the single upsert", row.Outcome.Next, row.Err)
			}
			continue
		case rows[i].Outcome.Next != nil:
			return fmt.Sprintf("a row that was not sent became %+v", row)
		case row.Err == nil:
			return "a row is a success"
		}
		c.checkResult(t, us[i], got, row.Outcome, row.Err)
		e := canonical.AsError(row.Err)
		switch {
		case first != "" && e.Code != first:
			return fmt.Sprintf("one row is %s and another %s", first, e.Code)
		case got.Status >= 500 && got.Status <= 504 && got.Status != 501 && !e.Retryable():
			return fmt.Sprintf("a row is %s, which is not retryable", e.Code)
		case got.Status == http.StatusTooManyRequests && e.Code != canonical.UpstreamRateLimited:
			return fmt.Sprintf("a row is %s, want %s", e.Code, canonical.UpstreamRateLimited)
		}
		first = e.Code
	}
	return ""
}
