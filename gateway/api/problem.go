package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"

	"github.com/gin-gonic/gin"
)

// problem is an error as callers see it (RFC 9457). Nothing else is ever shown of
// one: its cause stays in.
type problem struct {
	Type      string                 `json:"type"`
	Title     string                 `json:"title"`
	Status    int                    `json:"status"`
	Detail    string                 `json:"detail"`
	Instance  string                 `json:"instance,omitempty"`
	Code      canonical.Code         `json:"code"`
	Retryable bool                   `json:"retryable"`
	Route     string                 `json:"route,omitempty"`
	Provider  string                 `json:"provider,omitempty"`
	Errors    []canonical.FieldError `json:"errors,omitempty"`
	Upstream  *upstream              `json:"upstream,omitempty"`
	TraceID   string                 `json:"traceId"`
	*envelope                        // of an upsert that failed as a whole
}

// upstream is what the provider said, as far as it is safe to repeat.
type upstream struct {
	Status    int    `json:"status"`
	Code      string `json:"code"`
	RequestID string `json:"requestId"`
}

// writeProblem answers with err. It and explain are the only places that turn an
// error into HTTP.
func (a *api) writeProblem(c *gin.Context, err error) {
	p, retryAfter := a.explain(err, stateOf(c).traceID)
	if p.waits() {
		c.Header("Retry-After", strconv.FormatInt(seconds(retryAfter), 10))
	}
	if p.Code == canonical.IdempotencyInFlight && p.Instance != "" {
		c.Header("Location", p.Instance)
	}
	write(c, p.Status, problemType, p)
}

// waits reports whether the caller is told how long to wait.
func (p *problem) waits() bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests || p.Code == canonical.IdempotencyInFlight
}

// explain returns err in the one shape, and how long the caller should wait, 0 if
// that is not known.
func (a *api) explain(err error, traceID string) (p *problem, retryAfter time.Duration) {
	if f, ok := errors.AsType[*failure](err); ok {
		return a.failureProblem(f, traceID)
	}
	e := canonical.AsError(err)
	p = a.problem(e, traceID)
	if f, ok := errors.AsType[*gateway.InFlightError](err); ok && f.OperationID != "" {
		p.Instance = operationPath(f.OperationID)
	}
	return p, wait(e)
}

// problem returns e in the one shape.
func (a *api) problem(e *canonical.Error, traceID string) *problem {
	in := e.Code.Info() // of an unknown code: that of an internal error
	p := &problem{
		Type: a.catalogue.types[in.Code], Title: in.Title, Status: in.Status, Detail: e.Message,
		Code: in.Code, Retryable: e.Retryable(), Provider: e.Provider, Errors: e.Fields, TraceID: traceID,
	}
	switch {
	case p.Detail == "":
		p.Detail = in.Meaning
	case e.Provider != "" && !strings.HasPrefix(p.Detail, e.Provider):
		p.Detail = e.Provider + ": " + p.Detail
	}
	if e.Status != 0 || e.UpstreamCode != "" || e.RequestID != "" {
		p.Upstream = &upstream{e.Status, e.UpstreamCode, e.RequestID}
	}
	return p
}

// routeProblem returns the error of one route's result.
func (a *api) routeProblem(e *gateway.Envelope, r *gateway.Result, traceID string) *problem {
	return a.routeError(r.Err, r.Route, r.Provider, e.OperationID, traceID)
}

// routeError returns the error of a route in an operation.
func (a *api) routeError(e *canonical.Error, route, provider, operationID, traceID string) *problem {
	p := a.problem(e, traceID)
	p.Route, p.Provider = route, provider
	p.Instance = operationPath(operationID) + "#" + route
	return p
}

func operationPath(id string) string { return "/v1/operations/" + id }

// failure is an upsert that failed as a whole, as an error: at every route, or at
// a required one under strict handling.
type failure struct {
	*gateway.Envelope
	strict bool // some routes did not fail
}

// Error names the operation.
func (f *failure) Error() string { return "upsert failed: " + f.OperationID }

// failureOf returns the failure that e is, or nil.
func failureOf(e *gateway.Envelope, strict bool) *failure {
	if e.Outcome == gateway.OutcomeFailed {
		return &failure{Envelope: e}
	}
	if strict && e.Outcome == gateway.OutcomePartial {
		for i := range e.Results {
			if e.Results[i].Unmet() {
				return &failure{e, true}
			}
		}
	}
	return nil
}

// decisive returns the results that make it a failure.
func (f *failure) decisive() []*gateway.Result {
	var failed []*gateway.Result
	for i := range f.Results {
		if r := &f.Results[i]; r.Err != nil && (!f.strict || r.Unmet()) {
			failed = append(failed, r)
		}
	}
	return failed
}

// failureProblem sums up a failure. Retry-After is the smallest that a route
// named; routes that named none do not lower it.
func (a *api) failureProblem(f *failure, traceID string) (p *problem, retryAfter time.Duration) {
	failed := f.decisive()
	status, lead := summarize(failed)
	if len(failed) == 1 {
		p = a.routeProblem(f.Envelope, lead, traceID)
	} else {
		p = a.problem(&canonical.Error{Code: lead.Err.Code, Message: detail(failed, f.strict)}, traceID)
		p.Retryable = false
		p.Instance = operationPath(f.OperationID)
	}
	p.Status = status
	p.envelope = a.envelope(f.Envelope, traceID)
	for _, r := range failed {
		if !r.Err.Retryable() {
			continue
		}
		p.Retryable = true
		if w := wait(r.Err); w > 0 && (retryAfter == 0 || w < retryAfter) {
			retryAfter = w
		}
	}
	return p, retryAfter
}

// summarize returns the status of an upsert that failed so, and the result whose
// code stands for all: one that has this status by itself, if there is one.
func summarize(failed []*gateway.Result) (status int, lead *gateway.Result) {
	same, caller := true, true
	var retryable, other *gateway.Result
	for _, r := range failed {
		same = same && alone(r) == alone(failed[0])
		if r.Err.Retryable() && retryable == nil {
			retryable = r
		}
		if r.Err.Code.Info().Acts != canonical.ActsCaller {
			caller = false
			if other == nil {
				other = r
			}
		}
	}
	switch {
	case same:
		return alone(failed[0]), failed[0]
	case caller:
		status, lead = http.StatusUnprocessableEntity, failed[0]
	case retryable != nil:
		status, lead = http.StatusServiceUnavailable, retryable
	default:
		status, lead = http.StatusBadGateway, other
	}
	for _, r := range failed {
		if alone(r) == status {
			return status, r
		}
	}
	return status, lead
}

// alone returns the status of a failure of this route only. What was saved in
// part is not a success where it counts as a failure.
func alone(r *gateway.Result) int {
	if r.Err.Code == canonical.UpstreamPartiallyApplied {
		return http.StatusUnprocessableEntity
	}
	return r.Err.Code.Info().Status
}

// detail names the routes that failed, with their codes.
func detail(failed []*gateway.Result, strict bool) string {
	var b strings.Builder
	if strict {
		b.WriteString("required routes failed, and strict handling was asked for: ")
	} else {
		b.WriteString("every route failed: ")
	}
	for i, r := range failed {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", r.Route, r.Err.Code)
	}
	b.WriteString("; see results")
	return b.String()
}

// wait returns how long the caller should wait, 0 if that is not known.
func wait(e *canonical.Error) time.Duration {
	if e.RetryAt.IsZero() {
		return max(0, e.RetryAfter)
	}
	return max(time.Until(e.RetryAt), e.RetryAfter, 1)
}

// notReady returns the error that /readyz shows.
func notReady(err error) error {
	if e, ok := errors.AsType[*canonical.Error](err); ok {
		return e
	}
	return &canonical.Error{Code: canonical.GatewayOverloaded, Message: "the gateway takes no requests now", Err: err}
}
