package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/adapters/emulator"
)

// businessKey is what April tells customers apart by: a consumer's e-mail
// address or an organisation's reference id, at one merchant.
type businessKey struct {
	merchant     string
	organisation bool
	value        string
}

// emailKey finds customers of one merchant by e-mail address, in lower case.
type emailKey struct{ merchant, email string }

// record is one customer. It never changes: an upsert replaces it.
type record struct {
	id      string
	key     businessKey
	members map[string]any
	size    int
}

// Seed stores a customer of merchant as a POST of body would, without
// authentication, and returns its id.
func (s *Sandbox) Seed(merchant, body string) (id string, err error) {
	action, members, e := decodeAction([]byte(body))
	if e == nil {
		var rec *record
		if rec, e = s.upsert(merchant, action, members, len(body)); e == nil {
			return rec.id, nil
		}
	}
	return "", fmt.Errorf("april emulator: seed: status %d: %s", e.Status, e.Message)
}

// Record returns the customer with the given customerId.
func (s *Sandbox) Record(id string) (emulator.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rec := range s.records {
		if rec.id == id {
			return rec.record(), true
		}
	}
	return emulator.Record{}, false
}

// Records lists the customers of all merchants in order of creation.
func (s *Sandbox) Records() []emulator.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]emulator.Record, 0, len(s.order))
	for _, key := range s.order {
		list = append(list, s.records[key].record())
	}
	return list
}

// Delete removes the customer with the given customerId, as somebody at April
// would, and reports whether there was one.
func (s *Sandbox) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, rec := range s.records {
		if rec.id != id {
			continue
		}
		delete(s.records, key)
		s.order = slices.DeleteFunc(s.order, func(k businessKey) bool { return k == key })
		s.forget(rec)
		s.bytes -= rec.size
		return true
	}
	return false
}

// forget removes a record from those found by its e-mail address; s.mu is held.
func (s *Sandbox) forget(rec *record) {
	at := rec.emailKey()
	s.byEmail[at] = slices.DeleteFunc(s.byEmail[at], func(k businessKey) bool { return k == rec.key })
	if len(s.byEmail[at]) == 0 {
		delete(s.byEmail, at)
	}
}

func (r *record) record() emulator.Record {
	doc, err := json.Marshal(r.document())
	if err != nil { // documents are made of decoded JSON
		doc = []byte("null")
	}
	return emulator.Record{ID: r.id, Key: r.key.value, Document: doc}
}

// document returns the customer's members with both ids.
func (r *record) document() map[string]any {
	doc := maps.Clone(r.members)
	doc["customerId"], doc["merchantId"] = r.id, r.key.merchant
	return doc
}

// upsert checks and stores one customer whose body took size bytes.
func (s *Sandbox) upsert(merchant, action string, body map[string]any, size int) (*record, *Error) {
	if e := s.check(action, body); e != nil {
		return nil, e
	}
	key := businessKey{merchant: merchant, organisation: action == upsertOrganisation}
	name := "emailAddress"
	if key.organisation {
		name = "referenceCustomerId"
	}
	stated, _ := body[name].(string)
	key.value = stated
	if s.opts.FoldEmail && !key.organisation {
		key.value = strings.ToLower(stated)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.takeRefusal(stated); ok {
		return nil, &e
	}
	old, exists := s.records[key]
	next := &record{key: key, members: s.membersOf(action, body), size: size}
	oldSize := 0
	if exists {
		next.id, oldSize = old.id, old.size
		if s.opts.MergeLeftOut {
			members := maps.Clone(old.members)
			maps.Copy(members, next.members)
			next.members = members
			next.size = len(next.record().Document)
		}
	}
	if !exists && len(s.records) >= maxRecords || s.bytes-oldSize+next.size > maxBytes {
		return nil, &Error{Status: http.StatusServiceUnavailable, Message: "The emulator is full"}
	}
	if !exists {
		s.serial++
		next.id = customerID(s.serial)
		s.order = append(s.order, key)
	}
	if exists && old.emailKey() != next.emailKey() {
		s.forget(old)
	}
	if !exists || old.emailKey() != next.emailKey() {
		s.byEmail[next.emailKey()] = append(s.byEmail[next.emailKey()], key)
	}
	s.bytes += next.size - oldSize
	s.records[key] = next
	return next, nil
}

// emailAddress returns the address as it was sent.
func (r *record) emailAddress() string {
	s, _ := r.members["emailAddress"].(string)
	return s
}

func (r *record) emailKey() emailKey {
	return emailKey{r.key.merchant, strings.ToLower(r.emailAddress())}
}

// membersOf returns the known members of body.
func (s *Sandbox) membersOf(action string, body map[string]any) map[string]any {
	members := map[string]any{}
	for name := range actions[action] {
		if value, stated := body[name]; stated {
			members[name] = value
		}
	}
	return members
}

// customerID returns the id of the n-th customer: a prefix and sixteen URL-safe
// characters.
func customerID(n int) string {
	sum := sha256.Sum256([]byte("customer " + strconv.Itoa(n)))
	return "cust_" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// query answers GET /customers. The shape of the list is not published: here it
// is an array.
func (s *Sandbox) query(r *http.Request) (any, *Error) {
	merchant, e := s.admit(r, marketplaceKey, jwt)
	if e != nil {
		return nil, e
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badRequest("The query is malformed")
	}
	limit, e := number(values, "limit", 20, 500)
	if e != nil {
		return nil, e
	}
	page, e := number(values, "page", 1, maxRecords)
	if e != nil {
		return nil, e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	candidates, email := s.order, values.Get("emailAddress")
	if values.Has("emailAddress") {
		candidates = s.byEmail[emailKey{merchant, strings.ToLower(email)}]
	}
	found := []any{}
	skip := (page - 1) * limit
	for _, key := range candidates {
		rec := s.records[key]
		if key.merchant != merchant || values.Has("emailAddress") && !s.opts.FoldEmail && rec.emailAddress() != email {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if found = append(found, rec.document()); len(found) == limit {
			break
		}
	}
	return found, nil
}

// number returns the query's number called name, from 1 to most.
func number(values url.Values, name string, otherwise, most int) (int, *Error) {
	if !values.Has(name) {
		return otherwise, nil
	}
	n, err := strconv.Atoi(values.Get(name))
	if err != nil || n < 1 || n > most {
		return 0, badRequest("%s must be a number from 1 to %d", name, most)
	}
	return n, nil
}
