package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/trace"

	"github.com/gin-gonic/gin"
)

// putCustomer upserts one customer and reports what became of it at each route.
func (a *api) putCustomer(c *gin.Context) {
	id, err := customerID(c)
	var o order
	if err == nil {
		o, err = a.order(c, &mediaJSON)
	}
	var body []byte
	if err == nil {
		body, err = a.body(c)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	cmd := o.cmd
	cmd.Body = body
	cmd.Customer, err = canonical.DecodeCustomer(id, body)
	if err == nil && o.key != "" {
		var v canonical.Value
		v, err = object(body)
		cmd.Key = o.ledgerKey(o.key, http.MethodPut, id, v)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	e, err := a.Gateway.Upsert(traced(c), cmd)
	a.answer(c, &o, e, err)
}

// patchCustomer changes the stored customer and goes on as putCustomer.
func (a *api) patchCustomer(c *gin.Context) {
	id, err := customerID(c)
	var o order
	if err == nil {
		o, err = a.order(c, &mediaMergePatch)
	}
	var body []byte
	if err == nil {
		body, err = a.body(c)
	}
	var patch canonical.Value
	if err == nil {
		patch, err = object(body)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	cmd := o.cmd
	if o.key != "" {
		cmd.Key = o.ledgerKey(o.key, http.MethodPatch, id, patch)
	}
	e, err := a.Gateway.Patch(traced(c), id, body, cmd)
	a.answer(c, &o, e, err)
}

// traced returns the request's context with its trace.
func traced(c *gin.Context) context.Context {
	return trace.NewContext(c.Request.Context(), stateOf(c).trace)
}

// answer reports an upsert.
func (a *api) answer(c *gin.Context, o *order, e *gateway.Envelope, err error) {
	if err != nil {
		_ = c.Error(err)
		return
	}
	h := c.Writer.Header()
	h["Gateway-Outcome"] = []string{outcome(e)}
	if applied := o.wish.applied(); applied != "" {
		h["Preference-Applied"] = []string{applied}
	}
	if f := failureOf(e, o.cmd.Strict); f != nil {
		_ = c.Error(f)
		return
	}
	if e.Kept {
		h["Etag"] = []string{etag(e.Version)}
	}
	if after, pending := nextAttempt(e); pending {
		h["Location"] = []string{operationPath(e.OperationID)}
		h["Retry-After"] = []string{after}
	}
	writeJSON(c, statusOf(e), a.envelope(e, stateOf(c).traceID))
}

// order is what the head of a request says about its upsert, or upserts.
type order struct {
	cmd   gateway.Command // without a customer
	wish  prefer
	asked []string // the routes that it names; nil for none
	key   string   // its Idempotency-Key, empty for none
	scope string   // whose key that is
}

// order reads the head of a request: preferences, preconditions, query and media
// type.
func (a *api) order(c *gin.Context, m *media) (o order, err error) {
	h, key, durable := c.Request.Header, stateOf(c).key, a.Gateway.Durable()
	o.scope, o.wish = key.scopeName(), parsePrefer(h, a.MaxWait, durable)
	o.cmd.Wait, o.cmd.Async, o.cmd.Strict = o.wish.wait, o.wish.async(), o.wish.strict()
	if o.cmd.Match, err = conditions(h, durable); err != nil {
		return o, err
	}
	if durable {
		if o.key, err = idempotencyKey(h); err != nil {
			return o, err
		}
	}
	if o.asked, err = asked(c.Request.URL); err != nil {
		return o, err
	}
	if o.cmd.Routes = o.asked; o.asked == nil {
		o.cmd.Routes, err = a.allowed(key)
	} else {
		err = key.check("routes", o.asked...)
	}
	if err != nil {
		return o, err
	}
	return o, m.check(h, c.Writer.Header())
}

// customerState is what is known of a customer.
type customerState struct {
	CustomerID string      `json:"customerId"`
	Version    int64       `json:"version"`
	Routes     []syncState `json:"routes"`
}

// syncState is how far a route is with a customer.
type syncState struct {
	Route          string             `json:"route"`
	Provider       string             `json:"provider,omitempty"`
	State          gateway.SyncState  `json:"state"`
	DesiredVersion int64              `json:"desiredVersion"`
	AppliedVersion int64              `json:"appliedVersion,omitempty"`
	AppliedAt      time.Time          `json:"appliedAt,omitzero"`
	RemoteID       string             `json:"remoteId,omitempty"`
	Attempts       int                `json:"attempts"`
	NextAttemptAt  time.Time          `json:"nextAttemptAt,omitzero"`
	Error          *problem           `json:"error,omitempty"`
	Warnings       []canonical.Notice `json:"warnings"`
}

// getCustomer answers how far the key's routes are with a customer.
func (a *api) getCustomer(c *gin.Context) {
	s := stateOf(c)
	id, err := customerID(c)
	if err == nil {
		_, err = query(c.Request.URL)
	}
	var known *gateway.Customer
	if err == nil {
		known, err = a.Gateway.Customer(c.Request.Context(), id)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	wire := customerState{known.ID, known.Version, []syncState{}}
	for i := range known.Routes {
		r := &known.Routes[i]
		if !s.key.mayUse(r.Route) {
			continue
		}
		w := syncState{r.Route, r.Provider, r.State, r.Desired, r.Applied, r.AppliedAt.UTC(), r.RemoteID, r.Attempts, r.NextAttemptAt.UTC(), nil, r.Warnings}
		if r.Err != nil {
			w.Error = a.routeError(r.Err, r.Route, r.Provider, ledger.OperationID(r.Desired), s.traceID)
		}
		if w.Warnings == nil {
			w.Warnings = noWarnings
		}
		wire.Routes = append(wire.Routes, w)
	}
	if len(wire.Routes) == 0 {
		// As the ledger says it: the key is not told of what others have.
		_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound, Message: "the ledger holds nothing about this customer"})
		return
	}
	c.Writer.Header()["Etag"] = []string{etag(known.Version)}
	writeJSON(c, http.StatusOK, wire)
}

// eraseCustomer deletes what the gateway itself holds about a customer, for every
// route.
func (a *api) eraseCustomer(c *gin.Context) {
	id, err := customerID(c)
	if err == nil {
		err = refuseConditions(c.Request.Header, true)
	}
	if err == nil {
		_, err = query(c.Request.URL)
	}
	if err == nil && !stateOf(c).key.all() {
		err = &canonical.Error{Code: canonical.CallerForbidden,
			Message: "the key is limited to some routes, and this erases what is held for all; use a key whose routes are not limited"}
	}
	if err == nil {
		err = a.Gateway.Erase(c.Request.Context(), id)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	c.Status(http.StatusNoContent)
}

// customerID returns the id in the path.
func customerID(c *gin.Context) (string, error) {
	id, err := param(c, "id")
	if err != nil {
		return "", err
	}
	return id, checkID(id)
}

// checkID refuses what cannot be an id.
func checkID(id string) error {
	err := canonical.CheckID(id)
	if err == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.RequestInvalid, Message: "the customer's id in the path is not valid",
		Fields: []canonical.FieldError{{Field: "id", Code: canonical.FieldInvalid, Message: err.Error()}}}
}

// asked returns the routes that the caller names, nil for none.
func asked(u *url.URL) ([]string, error) {
	values, err := query(u, "routes")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, value := range values["routes"] {
		names = append(names, strings.Split(value, ",")...)
	}
	if slices.Contains(names, "") {
		return nil, &canonical.Error{Code: canonical.RequestInvalid, Message: "the query parameter routes has an empty name",
			Fields: []canonical.FieldError{{Field: "routes", Code: canonical.FieldInvalid, Message: "must be names of routes, separated by commas; leave it out for every route"}}}
	}
	return names, nil
}

// allowed returns the configured routes that the key may use; nil means all.
func (a *api) allowed(key *Key) ([]string, error) {
	if key.all() {
		return nil, nil
	}
	var names []string
	for _, name := range key.Routes {
		if _, found := a.Gateway.Route(name); found {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil, &canonical.Error{Code: canonical.CallerForbidden, Message: "the key may use none of the routes"}
	}
	return names, nil
}

// configured refuses names that are no routes; field is what named them.
func (a *api) configured(field string, names ...string) error {
	var unknown []canonical.FieldError
	for _, name := range names {
		if _, found := a.Gateway.Route(name); !found {
			unknown = append(unknown, canonical.FieldError{Field: field, Code: canonical.FieldInvalid, Message: fmt.Sprintf("there is no route %q; GET /v1/routes lists them", cut(name))})
		}
	}
	if unknown == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.RequestNotFound, Fields: unknown, Message: "a route that is named is not configured: see errors"}
}

// maxGrow is the most that is set aside for a body because of what its header
// says about its length.
const maxGrow = 64 << 10

// body reads the request's body.
func (a *api) body(c *gin.Context) ([]byte, error) {
	r := c.Request
	if r.ContentLength > a.MaxBody {
		// What comes is not worth reading: the connection ends with the answer.
		c.Writer.Header().Set("Connection", "close")
		return nil, a.tooLarge()
	}
	var b bytes.Buffer
	b.Grow(int(min(max(r.ContentLength, 0), maxGrow)) + bytes.MinRead)
	_, err := b.ReadFrom(http.MaxBytesReader(c.Writer, r.Body, a.MaxBody))
	if err == nil {
		return b.Bytes(), nil
	}
	c.Writer.Header().Set("Connection", "close")
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, a.tooLarge()
	}
	e := &canonical.Error{Code: canonical.RequestMalformed, Message: "the body ended before it was complete", Err: err}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		e.Message = "the body did not arrive in time"
	}
	return nil, e
}

func (a *api) tooLarge() error {
	return &canonical.Error{Code: canonical.RequestTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", a.MaxBody)}
}

// param returns a part of the path, unescaped.
func param(c *gin.Context, name string) (string, error) {
	s, err := url.PathUnescape(c.Param(name))
	if err != nil {
		return "", &canonical.Error{Code: canonical.RequestMalformed, Message: "the path has a bad percent-escape", Err: err}
	}
	return s, nil
}

// query returns the query's parameters and refuses all but the known ones.
func query(u *url.URL, known ...string) (url.Values, error) {
	if u.RawQuery == "" {
		return nil, nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, &canonical.Error{Code: canonical.RequestInvalid, Message: "the query is not well-formed", Err: err}
	}
	var unknown []canonical.FieldError
	for name := range values {
		if !slices.Contains(known, name) {
			message := "there is no such query parameter; this call takes none"
			if len(known) > 0 {
				message = "there is no such query parameter; this call takes " + strings.Join(known, ", ")
			}
			unknown = append(unknown, canonical.FieldError{Field: cut(name), Code: canonical.FieldUnknown, Message: message})
		}
	}
	if unknown == nil {
		return values, nil
	}
	slices.SortFunc(unknown, func(a, b canonical.FieldError) int { return strings.Compare(a.Field, b.Field) })
	return nil, &canonical.Error{Code: canonical.RequestInvalid, Message: "the query has unknown parameters: see errors", Fields: unknown}
}

// cut shortens what a caller sent to what an answer may repeat.
func cut(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
