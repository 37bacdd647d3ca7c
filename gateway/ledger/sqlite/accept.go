package sqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Accept implements ledger.Store. UpdatedAt counts in microseconds.
func (s *Store) Accept(ctx context.Context, a ledger.Accept) (ledger.Accepted, error) {
	routes, err := json.Marshal(a.Routes)
	if err != nil {
		return ledger.Accepted{}, canonical.AsError(err)
	}
	return do(ctx, s, true, func(t *txn) (ledger.Accepted, error) { return t.accept(&a, string(routes)) })
}

func (t *txn) accept(a *ledger.Accept, routes string) (ledger.Accepted, error) {
	now := t.now()
	key, expired, err := t.look(a.Key, now)
	if err != nil || key != 0 && expired == 0 {
		return ledger.Accepted{Version: key, Existing: err == nil}, err
	}
	slots := t.slots("WHERE s.customer = ? ORDER BY s.route", a.Customer)
	var stands int64
	for i := range slots {
		stands = max(stands, slots[i].desired)
	}
	if err := check(&a.Match, stands); err != nil {
		return ledger.Accepted{}, err
	}
	stated := int64(unstated)
	if !a.UpdatedAt.IsZero() {
		stated = a.UpdatedAt.UnixMicro()
	}
	got := ledger.Accepted{First: len(slots) == 0, Places: make([]ledger.Place, len(a.Routes))}
	stale := 0
	for i, route := range a.Routes {
		p := &got.Places[i]
		p.Route = route
		if s := find(slots, route); s != nil && stated != unstated && s.updatedAt > stated {
			p.Stale, p.NextAt = s.desired, moment(s.nextAt)
			stale++
		}
	}
	if stale == len(a.Routes) {
		got.Version = stands
		return got, nil
	}
	if expired != 0 {
		t.exec("UPDATE operation SET key = NULL, fingerprint = NULL, key_until = NULL WHERE seq = ?", expired)
	}
	got.Version = t.next(now)
	t.operation(a, routes, got.Version, stands, now)
	fresh := make([]slot, 0, len(a.Routes))
	for i := range got.Places {
		p := &got.Places[i]
		if p.Stale != 0 {
			continue
		}
		s := find(slots, p.Route)
		if s == nil {
			fresh = append(fresh, slot{customer: a.Customer, route: p.Route, updatedAt: stated})
			t.place(a, &fresh[len(fresh)-1], got.Version, now, p)
			continue
		}
		was := *s
		s.updatedAt = max(s.updatedAt, stated)
		t.place(a, s, got.Version, now, p)
		t.plan(&was, s)
	}
	t.insert(fresh)
	return got, nil
}

// place gives a slot its new state, and leases it to the caller if it is free.
func (t *txn) place(a *ledger.Accept, s *slot, version, now int64, p *ledger.Place) {
	free := s.free(now)
	s.want(version, now)
	if !free {
		p.NextAt = moment(s.nextAt)
		return
	}
	if a.Lease > 0 && t.open(s.route, now) {
		s.lease(t.next(now), now, a.Lease.Microseconds(), t.s.settleFor)
		grant := s.grant(nil, a.Strict)
		p.Lease = &grant
		return
	}
	p.NextAt = moment(max(s.nextAt, micros(t.route(s.route).NotBefore)))
}

// look returns the operation that a key is on record for, if any, and the same
// again if the record has expired.
func (t *txn) look(k *ledger.Key, now int64) (seq, expired int64, err error) {
	if k == nil {
		return 0, 0, nil
	}
	t.query(func(row []driver.Value) {
		seq = number(row[0])
		switch {
		case number(row[2]) <= now:
			expired = seq
		case !bytes.Equal(blob(row[1]), k.Fingerprint[:]):
			err = &canonical.Error{Code: canonical.IdempotencyKeyReused, Message: "the Idempotency-Key was used before, with another request; use a fresh key for every new request"}
		}
	}, "SELECT seq, fingerprint, key_until FROM operation WHERE key = ?", digest(k))
	return seq, expired, err
}

// digest is a key as it is kept.
func digest(k *ledger.Key) []byte {
	scope := binary.BigEndian.AppendUint64(nil, uint64(len(k.Scope)))
	sum := sha256.Sum256(append(append(scope, k.Scope...), k.Digest[:]...))
	return sum[:]
}

// operation writes an upsert down.
func (t *txn) operation(a *ledger.Accept, routes string, seq, previous, now int64) {
	payload := a.Payload
	if payload == nil {
		payload = []byte{}
	}
	if a.Key == nil {
		t.exec("INSERT INTO operation (seq, previous, customer, routes, strict, accepted_at, payload) VALUES (?, ?, ?, ?, ?, ?, ?)",
			seq, previous, a.Customer, routes, a.Strict, now, payload)
		return
	}
	t.exec("INSERT INTO operation (seq, previous, customer, routes, strict, accepted_at, key, fingerprint, key_until, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		seq, previous, a.Customer, routes, a.Strict, now, digest(a.Key), a.Key.Fingerprint[:], now+a.Key.Keep.Microseconds(), payload)
}

// check says whether a precondition holds for the version that stands, 0 for none.
func check(m *ledger.Match, stands int64) error {
	message := ""
	switch {
	case m.Unknown && stands != 0:
		message = "the customer is known already"
	case m.Known && stands == 0:
		message = "the customer is not known"
	case m.Versions != nil && stands == 0:
		message = "the customer is not known, so none of the stated versions stands"
	case m.Versions != nil && !slices.Contains(m.Versions, stands):
		message = fmt.Sprintf("the customer's version is %d; read it again and apply the change to what is there now", stands)
	default:
		return nil
	}
	return &canonical.Error{Code: canonical.RequestPreconditionFailed, Message: message}
}

// find returns the slot of a route, or nil.
func find(slots []slot, route string) *slot {
	for i := range slots {
		if slots[i].route == route {
			return &slots[i]
		}
	}
	return nil
}
