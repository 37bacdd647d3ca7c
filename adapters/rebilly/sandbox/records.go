package sandbox

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"customer-gateway/adapters/emulator"
)

// record is one customer.
type record struct {
	id         string
	state      map[string]any // the members a PUT replaces, left-out ones at their defaults
	leadSource map[string]any // write-only, hence apart
	instrument string         // id of the default payment instrument
	created    time.Time
	updated    time.Time
	revision   int
	isNew      bool // no earlier record had the id
	size       int
}

// Seed stores a customer as a PUT with body would, without authentication and
// rate limit.
func (s *Sandbox) Seed(id, body string) error {
	doc, err := decodeObject([]byte(body))
	if err != nil {
		return fmt.Errorf("rebilly emulator: seed %s: %w", id, err)
	}
	if _, p := s.upsert(id, doc, len(body)); p != nil {
		return fmt.Errorf("rebilly emulator: seed %s: status %d: %s %v", id, p.status, p.detail, p.fields)
	}
	return nil
}

// Record returns the customer with the given id.
func (s *Sandbox) Record(id string) (emulator.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.records[id]
	if !ok {
		return emulator.Record{}, false
	}
	return rec.record(), true
}

// Records lists the customers in order of creation. Their documents have the
// lead source and the instrument expanded, which a plain GET leaves out.
func (s *Sandbox) Records() []emulator.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]emulator.Record, 0, len(s.order))
	for _, id := range s.order {
		list = append(list, s.records[id].record())
	}
	return list
}

// Delete removes the customer with the given id without a trace, and reports
// whether there was one.
func (s *Sandbox) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.records[id]
	if ok {
		s.drop(rec)
	}
	return ok
}

// drop removes a record; s.mu is held.
func (s *Sandbox) drop(rec *record) {
	delete(s.records, rec.id)
	s.bytes -= rec.size
	s.order = slices.DeleteFunc(s.order, func(other string) bool { return other == rec.id })
}

func (r *record) record() emulator.Record {
	doc, err := json.Marshal(r.document("", "website,leadSource,defaultPaymentInstrument"))
	if err != nil { // documents are made of decoded JSON
		doc = []byte("null")
	}
	return emulator.Record{ID: r.id, Key: r.id, Document: doc}
}

// idPattern admits "." and "..", but these never reach a customer as a path
// segment.
var idPattern = regexp.MustCompile(`^[@~\-.\w]{1,50}$`)

// upsert checks and stores one customer whose body took size bytes. The record
// it returns never changes again: the next upsert replaces it.
func (s *Sandbox) upsert(id string, body map[string]any, size int) (*record, *problem) {
	if !idPattern.MatchString(id) {
		return nil, invalid(invalidField{"id", "id must be 1 to 50 letters, digits or any of _ @ ~ - ."})
	}
	faults := s.validate(body)

	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now().UTC()
	token, hasToken := body["paymentToken"].(string)
	if hasToken {
		if end, ok := s.paymentTokens[token]; !ok || !now.Before(end) {
			faults = append(faults, invalidField{"paymentToken", "Payment token is invalid, expired or already used"})
		}
	}
	if len(faults) > 0 {
		return nil, invalid(faults...)
	}
	if s.merged[id] && !s.opts.AllowMerged {
		return nil, &problem{status: http.StatusConflict, detail: "[customerId] is already used for another customer."}
	}
	rec, exists := s.records[id]
	next := s.replace(rec, body)
	next.id, next.size = id, size
	if !exists && len(s.records)+len(s.merged) >= maxRecords || s.bytes-sizeOf(rec)+size > maxBytes {
		return nil, &problem{status: http.StatusServiceUnavailable, detail: "The emulator is full"}
	}
	if hasToken {
		delete(s.paymentTokens, token)
		s.serial++
		next.instrument = fmt.Sprintf("inst_emulator%d", s.serial)
	}
	if !exists {
		next.created, next.updated, next.revision, next.isNew = now, now, 1, true
		s.order = append(s.order, id)
	} else {
		next.created, next.updated, next.revision = rec.created, rec.updated, rec.revision
		if !next.equal(rec) {
			next.updated = now
			next.revision++
		}
	}
	s.bytes += size - sizeOf(rec)
	s.records[id] = next
	delete(s.merged, id)
	return next, nil
}

// replace returns the customer that body makes of old, which may be nil. Nothing
// of the old state survives. Payment instruments are resources of their own, so
// the default one stays until another is named.
func (s *Sandbox) replace(old *record, body map[string]any) *record {
	next := &record{state: normalize(body)}
	next.leadSource, _ = body["leadSource"].(map[string]any)
	if old != nil {
		next.instrument = old.instrument
		if _, stated := body["leadSource"]; !stated && s.opts.KeepLeadSource {
			next.leadSource = old.leadSource
		}
	}
	if id, stated := body["defaultPaymentInstrumentId"]; stated {
		next.instrument, _ = id.(string)
	}
	return next
}

func (r *record) equal(other *record) bool {
	return r.instrument == other.instrument &&
		reflect.DeepEqual(r.state, other.state) && reflect.DeepEqual(r.leadSource, other.leadSource)
}

func sizeOf(r *record) int {
	if r == nil {
		return 0
	}
	return r.size
}

// mergeAway removes customer id in favour of target, which gains nothing here.
func (s *Sandbox) mergeAway(id, target string) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec, ok := s.records[id]
	if !ok {
		return &problem{status: http.StatusNotFound, detail: "Customer not found"}
	}
	if _, ok := s.records[target]; !ok || target == id {
		return invalid(invalidField{"targetCustomerId", "Target customer must exist and differ"})
	}
	s.drop(rec)
	s.merged[id] = true
	return nil
}

// contactText are the members of a contact that are text or null.
var contactText = []string{
	"firstName", "lastName", "organization", "address", "address2", "city",
	"region", "country", "postalCode", "dob", "jobTitle",
}

// normalize returns the writable, readable members of a valid body, with the
// schema's defaults for those left out.
func normalize(body map[string]any) map[string]any {
	state := map[string]any{
		"websiteId":                   body["websiteId"],
		"primaryAddress":              nil,
		"customFields":                map[string]any{},
		"taxNumbers":                  []any{},
		"locale":                      body["locale"],
		"notificationEmails":          []any{},
		"personId":                    body["personId"],
		"preferredPayoutInstrumentId": body["preferredPayoutInstrumentId"],
	}
	if contact, ok := body["primaryAddress"].(map[string]any); ok {
		state["primaryAddress"] = normalizeContact(contact)
	}
	if fields, ok := body["customFields"].(map[string]any); ok {
		state["customFields"] = fields
	}
	if list, ok := body["notificationEmails"].([]any); ok {
		state["notificationEmails"] = list
	}
	if list, ok := body["taxNumbers"].([]any); ok {
		numbers := make([]any, len(list))
		for i := range list {
			number := list[i].(map[string]any)
			isDefault, _ := number["isDefault"].(bool)
			value, _ := number["value"].(string)
			numbers[i] = map[string]any{
				"type": number["type"], "value": value, "isDefault": isDefault,
				"isValid": number["type"] == "eu-vat" && vatPattern.MatchString(value),
			}
		}
		state["taxNumbers"] = numbers
	}
	return state
}

var vatPattern = regexp.MustCompile(`^[A-Z]{2}[0-9A-Z]{2,12}$`)

func normalizeContact(from map[string]any) map[string]any {
	contact := map[string]any{}
	for _, name := range contactText {
		contact[name] = from[name]
	}
	for _, name := range []string{"emails", "phoneNumbers"} {
		list, _ := from[name].([]any)
		points := make([]any, len(list))
		for i := range list {
			point := list[i].(map[string]any)
			primary, _ := point["primary"].(bool)
			points[i] = map[string]any{"label": point["label"], "value": point["value"], "primary": primary}
		}
		contact[name] = points
	}
	return contact
}

// document returns the customer as Rebilly answers it. The members of expand, a
// comma-separated list, appear in _embedded.
func (r *record) document(origin, expand string) map[string]any {
	self := origin + customerPath(r.id)
	links := []map[string]string{
		{"rel": "self", "href": self},
		{"rel": "leadSource", "href": self + "/lead-source"},
	}
	doc := map[string]any{
		"id":                       r.id,
		"organizationId":           Organization,
		"email":                    nil,
		"firstName":                nil,
		"lastName":                 nil,
		"company":                  nil,
		"defaultPaymentInstrument": nil,
		"tags":                     []any{},
		"invoiceCount":             0,
		"paymentCount":             0,
		"revision":                 r.revision,
		"createdTime":              r.created.Format(time.RFC3339),
		"updatedTime":              r.updated.Format(time.RFC3339),
	}
	for name, value := range r.state {
		doc[name] = value
	}
	if contact, ok := r.state["primaryAddress"].(map[string]any); ok {
		shown := map[string]any{"hash": hash(contact)}
		for name, value := range contact {
			shown[name] = value
		}
		doc["primaryAddress"] = shown
		doc["email"] = primaryEmail(contact)
		doc["firstName"], doc["lastName"] = contact["firstName"], contact["lastName"]
		doc["company"] = contact["organization"]
	}
	embeds := map[string]any{}
	expanded := strings.Split(expand, ",")
	if slices.Contains(expanded, "leadSource") && r.leadSource != nil {
		embeds["leadSource"] = r.leadSource
	}
	if id, ok := r.state["websiteId"].(string); ok {
		links = append(links, map[string]string{"rel": "website", "href": origin + "/organizations/" + Organization + "/websites/" + id})
		if slices.Contains(expanded, "website") {
			embeds["website"] = map[string]any{"id": id}
		}
	} else {
		delete(doc, "websiteId") // never null
	}
	if r.instrument != "" {
		instrument := map[string]any{"method": "payment-card", "paymentInstrumentId": r.instrument}
		doc["defaultPaymentInstrument"] = instrument
		links = append(links, map[string]string{"rel": "defaultPaymentInstrument", "href": origin + "/organizations/" + Organization + "/payment-instruments/" + r.instrument})
		if slices.Contains(expanded, "defaultPaymentInstrument") {
			embeds["defaultPaymentInstrument"] = instrument
		}
	}
	doc["_links"] = links
	if len(embeds) > 0 {
		doc["_embedded"] = embeds
	}
	return doc
}

// primaryEmail returns the address that is the customer's e-mail, or nil.
func primaryEmail(contact map[string]any) any {
	list, _ := contact["emails"].([]any)
	for _, item := range list {
		if email := item.(map[string]any); email["primary"] == true {
			return email["value"]
		}
	}
	if len(list) > 0 {
		return list[0].(map[string]any)["value"]
	}
	return nil
}

// hash returns forty characters that are equal for equal contacts.
func hash(contact map[string]any) string {
	text, _ := json.Marshal(contact) // members in order of name
	sum := sha1.Sum(text)
	return hex.EncodeToString(sum[:])
}

// decodeObject reads exactly one JSON object in valid UTF-8. Numbers keep their
// digits.
func decodeObject(raw []byte) (map[string]any, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	if object == nil {
		return nil, errors.New("not a JSON object")
	}
	return object, nil
}
