package gateway

import (
	"fmt"
	"runtime/debug"
	"time"

	"customer-gateway/canonical"
)

// Status is what became of an upsert at one route.
type Status string

// The statuses. Pending belongs to a durable ledger: without one, what is not
// finished at the deadline is failed, and retryable.
const (
	StatusSucceeded Status = "succeeded"
	StatusUnchanged Status = "unchanged" // it was already as stated
	StatusSkipped   Status = "skipped"   // by a rule of the route, or for a newer state
	StatusPending   Status = "pending"   // stored; the gateway goes on by itself
	StatusRejected  Status = "rejected"  // the customer must be changed first
	StatusFailed    Status = "failed"
	StatusUnknown   Status = "unknown" // it may or may not have been applied
)

// Failed reports whether the status is one of the failures.
func (s Status) Failed() bool {
	return s == StatusRejected || s == StatusFailed || s == StatusUnknown
}

// Outcome sums up all routes.
type Outcome string

// The outcomes.
const (
	OutcomeComplete Outcome = "complete" // every route succeeded, was unchanged or skipped
	OutcomePending  Outcome = "pending"  // none failed, one or more are pending
	OutcomePartial  Outcome = "partial"  // some failed
	OutcomeFailed   Outcome = "failed"   // all failed
)

// Envelope is the answer to one upsert.
type Envelope struct {
	OperationID string
	CustomerID  string
	Version     int64 // larger than that of every upsert accepted before
	Outcome     Outcome
	Results     []Result // in route order
	// Kept says that the operation is in the ledger: it can be asked for, and what
	// is pending goes on.
	Kept bool
	// First says that the ledger did not know the customer before.
	First bool
}

// Result is what became of one route.
type Result struct {
	Route    string
	Provider string
	Status   Status
	Action   canonical.Action // empty if the provider does not tell
	RemoteID string
	Warnings []canonical.Notice
	// Err is why the route failed, or why it is pending; else nil.
	Err      *canonical.Error
	Attempts int // requests sent
	// NextAttemptAt is when the gateway goes on by itself, for a pending route.
	NextAttemptAt time.Time
	Required      bool // as the route is configured
}

// Unmet reports whether a required route failed.
func (r *Result) Unmet() bool { return r.Required && r.Status.Failed() }

// of begins the result of a route.
func (r *Result) of(at *route) {
	r.Route, r.Provider, r.Required = at.Name, at.provider, at.Required
}

// crash records a panic, in the function that recovered.
func (r *Result) crash(p any) { r.fail(crashed(r.Provider, p), false) }

// crashed is the error of a panic, in the function that recovered.
func crashed(provider string, p any) *canonical.Error {
	return &canonical.Error{Code: canonical.GatewayInternal, Provider: provider, Message: "an unexpected error occurred", Err: &panicError{fmt.Sprintf("panic: %T", p), debug.Stack()}}
}

// panicError is a panic. It names the kind only: the value may hold customer data.
type panicError struct {
	text  string
	stack []byte
}

// Error names the kind of the panic.
func (e *panicError) Error() string { return e.text }

// Stack returns the goroutine's stack, for the operator's log.
func (e *panicError) Stack() []byte { return e.stack }

func (r *Result) succeed(action canonical.Action) {
	r.Status, r.Action = StatusSucceeded, action
	if action == canonical.ActionNone {
		r.Status = StatusUnchanged
	}
}

// supersede records that a newer state took the place of this one.
func (r *Result) supersede(by int64) {
	*r = Result{Route: r.Route, Provider: r.Provider, RemoteID: r.RemoteID, Required: r.Required, Status: StatusSkipped, Attempts: r.Attempts,
		Warnings: []canonical.Notice{{Code: canonical.NoticeSuperseded, Message: fmt.Sprintf("version %d of this customer is newer and stands instead", by)}}}
}

// pend records that the gateway goes on by itself, in a while.
func (r *Result) pend(e *canonical.Error, next time.Time) {
	r.Status, r.Err, r.NextAttemptAt = StatusPending, e, next
}

// fail records a refusal or failure. wrote says that the request behind it could
// have changed something at the provider.
func (r *Result) fail(e *canonical.Error, wrote bool) {
	r.Err = e
	r.Status = StatusFailed
	switch {
	case e.Code == canonical.UpstreamPartiallyApplied: // it is there, though not all of it
	case e.Code == canonical.UpstreamOutcomeUnknown,
		wrote && e.Code == canonical.UpstreamInvalidResponse && e.Status >= 200 && e.Status < 300:
		r.Status = StatusUnknown
	case e.Code.Info().Acts == canonical.ActsCaller:
		r.Status = StatusRejected
	}
}

// outcomeOf sums up results. What was applied in part did not fail as a whole.
func outcomeOf(results []Result) Outcome {
	failed, applied, pending := 0, 0, 0
	for i := range results {
		r := &results[i]
		switch {
		case r.Err != nil && r.Err.Code == canonical.UpstreamPartiallyApplied:
			failed++
			applied++
		case r.Status.Failed():
			failed++
		case r.Status == StatusPending:
			pending++
		default:
			applied++
		}
	}
	switch {
	case failed == 0 && pending == 0:
		return OutcomeComplete
	case failed == 0:
		return OutcomePending
	case applied+pending == 0:
		return OutcomeFailed
	}
	return OutcomePartial
}
