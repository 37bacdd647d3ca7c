package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// maxBody bounds a request body; it is the framework's default.
const maxBody = 256 << 10

// key is what a customer is identified by.
type key struct{ source, externalID string }

// customer is a request body. A nil member is null or left out: the service
// does not tell them apart.
type customer struct {
	complytID    *string
	externalID   *string
	source       *string
	name         *string
	address      *address
	email        *string
	customerType *string
	timestamps   *timestamps
	comment      *string
}

type address struct {
	city, country, county, state, region, street, zip *string
	isPartial                                         bool
}

type timestamps struct {
	createdDate, updatedDate *string
	// created and updated are the same, read.
	created, updated time.Time
}

// record is a stored customer.
type record struct {
	complytID        string
	created, updated time.Time
	customer         customer
}

// servePut creates a customer, replaces it as a whole, or leaves it when nothing
// differs.
func (s *Sandbox) servePut(w http.ResponseWriter, r *http.Request, k key) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.fail(w, r, http.StatusUnsupportedMediaType, messageMediaType)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		s.fail(w, r, http.StatusBadRequest, messageUnreadable)
		return
	}
	in, err := s.read(body, k)
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, err.Error())
		return
	}
	s.mu.Lock()
	_, existed := s.records[k]
	held, changed, err := s.put(in)
	var answer json.RawMessage
	if err == nil {
		answer = held.document()
	}
	s.mu.Unlock()
	var refused refusal
	switch {
	case errors.As(err, &refused):
		s.fail(w, r, http.StatusBadRequest, refused.Error())
	case err != nil:
		s.fail(w, r, http.StatusInternalServerError, messageInternal)
	case !existed:
		w.Header().Set("Location", "/v1/customers/source/"+k.source+"/externalId/"+url.PathEscape(k.externalID))
		writeJSON(w, http.StatusCreated, answer)
	case !changed && !s.opts.CompleteEcho:
		writeJSON(w, http.StatusOK, (&record{customer: in}).document())
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// read decodes and validates a body sent to the path of k.
func (s *Sandbox) read(body []byte, k key) (customer, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return customer{}, refusal(messageNoBody)
	}
	in, err := s.decode(body)
	if err != nil {
		return customer{}, err
	}
	if messages := s.validate(in); len(messages) > 0 {
		return customer{}, refusal(s.list(messages))
	}
	var messages []string
	if *in.source != k.source {
		messages = append(messages, s.label("source")+" in body and path should be identical")
	}
	if *in.externalID != k.externalID {
		messages = append(messages, s.label("externalId")+" in body and path should be identical")
	}
	if len(messages) > 0 {
		return customer{}, s.conflict(s.list(messages))
	}
	return in, nil
}

var errFull = errors.New("the emulator holds as many customers as it may; raise MaxRecords")

// put stores in and reports whether that changed anything. The caller holds
// s.mu.
func (s *Sandbox) put(in customer) (held *record, changed bool, err error) {
	k := key{*in.source, *in.externalID}
	held, ok := s.records[k]
	now := s.opts.Now()
	sent := in.complytID
	in.complytID = nil
	switch {
	case !ok && sent != nil:
		return nil, false, s.conflict(messageNewID)
	case !ok && len(s.records) >= s.opts.MaxRecords:
		return nil, false, errFull
	case !ok:
		held = &record{complytID: newUUID(), created: now, updated: now, customer: in}
		s.records[k] = held
		s.order = append(s.order, k)
		return held, true, nil
	case sent != nil && !strings.EqualFold(*sent, held.complytID):
		return nil, false, s.conflict(messageChangedID)
	case held.customer.same(in):
		return held, false, nil
	}
	held.customer, held.updated = in, now
	return held, true, nil
}

// same compares as the service does: timestamps by instant, not by spelling.
func (c customer) same(in customer) bool {
	for _, side := range []*customer{&c, &in} {
		side.timestamps = &timestamps{created: side.timestamps.created, updated: side.timestamps.updated}
	}
	return reflect.DeepEqual(c, in)
}
