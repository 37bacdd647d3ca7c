package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"

	"github.com/gin-gonic/gin"
)

// envelope is the answer to one upsert.
type envelope struct {
	OperationID string          `json:"operationId"`
	CustomerID  string          `json:"customerId"`
	Version     int64           `json:"version"`
	Outcome     gateway.Outcome `json:"outcome"`
	Results     []result        `json:"results"`
}

// result is what became of one route. action and remoteId are absent where the
// provider does not tell them.
type result struct {
	Route         string             `json:"route"`
	Provider      string             `json:"provider"`
	Status        gateway.Status     `json:"status"`
	Action        canonical.Action   `json:"action,omitempty"`
	RemoteID      string             `json:"remoteId,omitempty"`
	Warnings      []canonical.Notice `json:"warnings"`
	Error         *problem           `json:"error,omitempty"`
	Attempts      int                `json:"attempts"`
	NextAttemptAt time.Time          `json:"nextAttemptAt,omitzero"`
}

var noWarnings = []canonical.Notice{}

func (a *api) envelope(e *gateway.Envelope, traceID string) *envelope {
	wire := &envelope{e.OperationID, e.CustomerID, e.Version, e.Outcome, make([]result, len(e.Results))}
	for i := range e.Results {
		r, w := &e.Results[i], &wire.Results[i]
		*w = result{r.Route, r.Provider, r.Status, r.Action, r.RemoteID, r.Warnings, nil, r.Attempts, r.NextAttemptAt.UTC()}
		if w.Warnings == nil {
			w.Warnings = noWarnings
		}
		if r.Err != nil {
			w.Error = a.routeProblem(e, r, traceID)
		}
	}
	return wire
}

// statusOf returns the HTTP status of an upsert that did not fail as a whole.
func statusOf(e *gateway.Envelope) int {
	switch e.Outcome {
	case gateway.OutcomePartial:
		return http.StatusMultiStatus
	case gateway.OutcomePending:
		return http.StatusAccepted
	}
	if e.Kept && e.First || !e.Kept && isNew(e) {
		return http.StatusCreated
	}
	return http.StatusOK
}

// isNew reports whether a route created the customer and none had it before.
func isNew(e *gateway.Envelope) bool {
	created := false
	for i := range e.Results {
		switch r := &e.Results[i]; {
		case r.Action == canonical.ActionCreated:
			created = true
		case r.Action == canonical.ActionUpdated, r.Action == canonical.ActionNone, r.Status == gateway.StatusUnchanged:
			return false
		}
	}
	return created
}

// outcome returns the Gateway-Outcome field: an RFC 9651 item, the outcome, with
// the routes that did not succeed as parameters. Routes are separated by spaces.
func outcome(e *gateway.Envelope) string {
	if e.Outcome == gateway.OutcomeComplete {
		return string(e.Outcome)
	}
	var failed, unknown, pending []string
	for i := range e.Results {
		switch r := &e.Results[i]; {
		case r.Status == gateway.StatusUnknown:
			unknown = append(unknown, r.Route)
		case r.Status.Failed():
			failed = append(failed, r.Route)
		case r.Status == gateway.StatusPending:
			pending = append(pending, r.Route)
		}
	}
	b := []byte(e.Outcome)
	b = appendRoutes(b, "failed", failed)
	b = appendRoutes(b, "unknown", unknown)
	b = appendRoutes(b, "pending", pending)
	return string(b)
}

// appendRoutes appends a parameter whose value is a structured field's string.
func appendRoutes(b []byte, name string, routes []string) []byte {
	if len(routes) == 0 {
		return b
	}
	b = append(b, "; "...)
	b = append(b, name...)
	b = append(b, `="`...)
	for _, c := range []byte(strings.Join(routes, " ")) {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c > '~': // a string cannot hold it
			b = append(b, '?')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// nextAttempt returns the Retry-After of an upsert, when the first of its pending
// routes is tried again, and whether there is one.
func nextAttempt(e *gateway.Envelope) (after string, pending bool) {
	var first time.Time
	for i := range e.Results {
		r := &e.Results[i]
		pending = pending || r.Status == gateway.StatusPending
		if at := r.NextAttemptAt; !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	var wait time.Duration
	if !first.IsZero() {
		wait = time.Until(first)
	}
	return strconv.FormatInt(seconds(wait), 10), pending
}

// buffers are for encoding; what has grown large is not kept.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const maxKept = 64 << 10

// writeJSON answers with v as JSON.
func writeJSON(c *gin.Context, status int, v any) { write(c, status, jsonType, v) }

var (
	jsonType    = []string{typeJSON}
	problemType = []string{typeProblem}
	noStore     = []string{"no-store"}
	noSniff     = []string{"nosniff"}
)

func write(c *gin.Context, status int, contentType []string, v any) {
	b := buffers.Get().(*bytes.Buffer)
	b.Reset()
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false) // it is never read as HTML: see the header
	if err := enc.Encode(v); err != nil {
		panic(err) // a type that cannot be encoded: a defect
	}
	h := c.Writer.Header()
	h["Content-Type"] = contentType
	h["X-Content-Type-Options"] = noSniff
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = noStore
	}
	c.Writer.WriteHeader(status)
	// A caller who has gone away is no error of ours.
	_, _ = c.Writer.Write(b.Bytes())
	if b.Cap() <= maxKept {
		buffers.Put(b)
	}
}
