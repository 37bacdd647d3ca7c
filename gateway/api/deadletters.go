package api

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"

	"github.com/gin-gonic/gin"
)

// deadLetters is a page of the list of dead letters.
type deadLetters struct {
	DeadLetters []deadLetter `json:"deadLetters"`
	Next        string       `json:"next,omitempty"` // the cursor of the next page
}

type deadLetter struct {
	Route       string    `json:"route"`
	Provider    string    `json:"provider,omitempty"`
	CustomerID  string    `json:"customerId"`
	OperationID string    `json:"operationId"`
	Version     int64     `json:"version"`
	DiedAt      time.Time `json:"diedAt"`
	Attempts    int       `json:"attempts"`
	Error       *problem  `json:"error,omitempty"`
	History     []attempt `json:"history"`
}

// attempt is one delivery that was tried.
type attempt struct {
	At           time.Time      `json:"at"`
	Attempt      int            `json:"attempt"`
	Requests     int            `json:"requests"`
	Op           string         `json:"op,omitempty"`
	Code         canonical.Code `json:"code,omitempty"`
	Status       int            `json:"status,omitempty"`
	UpstreamCode string         `json:"upstreamCode,omitempty"`
	RequestID    string         `json:"requestId,omitempty"`
	TookMS       int64          `json:"tookMs"`
}

// How many dead letters a page has.
const (
	defaultPage = 100
	maxPage     = 1000
)

// getDeadLetters lists dead letters of the key's routes, oldest death first.
func (a *api) getDeadLetters(c *gin.Context) {
	s := stateOf(c)
	values, err := query(c.Request.URL, "route", "code", "customer", "since", "until", "limit", "cursor")
	if err != nil {
		_ = c.Error(err)
		return
	}
	f := inQuery(values)
	filter, limit := f.filter(), f.limit()
	filter.After = f.cursor()
	if err = f.err("the query is not valid: see errors"); err == nil {
		err = limitTo(s.key, &filter)
	}
	var found []gateway.DeadLetter
	if err == nil {
		filter.Limit = limit + 1 // to see whether there are more
		found, err = a.Gateway.DeadLetters(c.Request.Context(), filter)
	}
	if err == nil && len(found) == 0 {
		err = a.mistyped(&filter)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	var page deadLetters
	if len(found) > limit {
		found = found[:limit]
		last := &found[limit-1]
		page.Next = encodeCursor(ledger.Cursor{DiedAt: last.DiedAt, Route: last.Route, Customer: last.CustomerID})
	}
	page.DeadLetters = make([]deadLetter, len(found))
	for i := range found {
		page.DeadLetters[i] = a.deadLetter(&found[i], s.traceID)
	}
	writeJSON(c, http.StatusOK, page)
}

func (a *api) deadLetter(d *gateway.DeadLetter, traceID string) deadLetter {
	wire := deadLetter{d.Route, d.Provider, d.CustomerID, d.OperationID, d.Version, d.DiedAt.UTC(), d.Attempts, nil, make([]attempt, len(d.History))}
	if d.Err != nil {
		wire.Error = a.routeError(d.Err, d.Route, d.Provider, d.OperationID, traceID)
	}
	for i := range d.History {
		h := &d.History[i]
		wire.History[i] = attempt{h.At.UTC(), h.Number, h.Requests, h.Op, h.Code, h.Status, h.UpstreamCode, h.RequestID, h.Took.Milliseconds()}
	}
	return wire
}

// replayDeadLetters makes dead letters of the key's routes due again. Which ones
// must be said, so that nobody replays everything by forgetting to.
func (a *api) replayDeadLetters(c *gin.Context) {
	_, err := query(c.Request.URL)
	var body canonical.Value
	if err == nil {
		body, err = a.members(c, true, "route", "code", "customer", "since", "until", "all")
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	f := inBody(body)
	filter := f.filter()
	if body.Has("all") && !body.Get("all").IsTrue() {
		f.fault("all", canonical.FieldInvalid, "must be true, or left out")
	}
	err = f.err("the body is not valid: see errors")
	switch {
	case err != nil:
	case body.Len() == 0:
		err = &canonical.Error{Code: canonical.RequestInvalid, Message: `the body does not say which dead letters; state route, code, customer, since or until, or {"all": true}`}
	default:
		err = limitTo(stateOf(c).key, &filter)
	}
	var n int
	if err == nil {
		n, err = a.Gateway.Replay(c.Request.Context(), filter)
	}
	if err == nil && n == 0 {
		err = a.mistyped(&filter)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	writeJSON(c, http.StatusOK, struct {
		Replayed int `json:"replayed"`
	}{n})
}

// mistyped refuses a filter that has found nothing if its route is not configured.
// What a route has left that was configured once is found.
func (a *api) mistyped(f *ledger.Filter) error {
	if f.Route == "" {
		return nil
	}
	return a.configured("route", f.Route)
}

// limitTo limits a filter to the routes that the key may use.
func limitTo(key *Key, f *ledger.Filter) error {
	switch {
	case key.all():
	case f.Route != "":
		return key.check("route", f.Route)
	case len(key.Routes) == 0:
		return &canonical.Error{Code: canonical.CallerForbidden, Message: "the key may use none of the routes"}
	default:
		f.Routes = key.Routes
	}
	return nil
}

// filter reads which dead letters are meant.
func (f *form) filter() ledger.Filter {
	var filter ledger.Filter
	var stated bool
	if filter.Route, stated = f.text("route"); stated && filter.Route == "" {
		f.fault("route", canonical.FieldInvalid, "must be the name of a route")
	}
	if code, stated := f.text("code"); stated {
		filter.Code = canonical.Code(code)
		if !slices.ContainsFunc(canonical.Codes(), func(in canonical.Info) bool { return in.Code == filter.Code }) {
			f.fault("code", canonical.FieldInvalid, "there is no such error code; GET /v1/errors lists them")
		}
	}
	if filter.Customer, stated = f.text("customer"); stated {
		if err := canonical.CheckID(filter.Customer); err != nil {
			f.fault("customer", canonical.FieldInvalid, err.Error())
		}
	}
	filter.Since, filter.Until = f.time("since"), f.time("until")
	return filter
}

// limit reads how many dead letters a page has.
func (f *form) limit() int {
	text, stated := f.text("limit")
	if !stated {
		return defaultPage
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		f.fault("limit", canonical.FieldInvalid, "must be a number from 1 to "+strconv.Itoa(maxPage))
		return defaultPage
	}
	return n
}

// cursor reads where the page begins.
func (f *form) cursor() ledger.Cursor {
	text, stated := f.text("cursor")
	if !stated {
		return ledger.Cursor{}
	}
	at, ok := decodeCursor(text)
	if !ok {
		f.fault("cursor", canonical.FieldInvalid, "must be the member next of the page before; leave it out for the first page")
	}
	return at
}

// position is a ledger.Cursor in a cursor's text.
type position struct {
	DiedAt   time.Time `json:"d"`
	Route    string    `json:"r"`
	Customer string    `json:"c"`
}

func encodeCursor(at ledger.Cursor) string {
	raw, err := json.Marshal(position{at.DiedAt.UTC(), at.Route, at.Customer})
	if err != nil {
		panic(err) // a year of five digits: a defect
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func decodeCursor(s string) (ledger.Cursor, bool) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	var p position
	if err == nil {
		err = json.Unmarshal(raw, &p)
	}
	if err != nil || p.DiedAt.IsZero() || p.Route == "" || p.Customer == "" {
		return ledger.Cursor{}, false
	}
	return ledger.Cursor{DiedAt: p.DiedAt, Route: p.Route, Customer: p.Customer}, true
}
