package canonical

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Code is one of the closed set of error codes. Programs branch on a code, never
// on a message; a code never changes its meaning. Everything that follows from a
// code (HTTP status, retryability, the breaker's view, who must act) is in the
// one table that Codes lists and Code.Info reads.
type Code string

// The codes of refusals before anything was sent to a provider.
const (
	RequestMalformed          Code = "request.malformed"
	RequestInvalid            Code = "request.invalid"
	RequestTooLarge           Code = "request.too_large"
	RequestUnsupportedMedia   Code = "request.unsupported_media"
	RequestNotFound           Code = "request.not_found"
	RequestMethodNotAllowed   Code = "request.method_not_allowed"
	RequestPreconditionFailed Code = "request.precondition_failed"
	CallerUnauthenticated     Code = "caller.unauthenticated"
	CallerForbidden           Code = "caller.forbidden"
	CallerRateLimited         Code = "caller.rate_limited"
	IdempotencyInFlight       Code = "idempotency.in_flight"
	IdempotencyKeyReused      Code = "idempotency.key_reused"
	GatewayOverloaded         Code = "gateway.overloaded"
	GatewayStoreUnavailable   Code = "gateway.store_unavailable"
	GatewayInternal           Code = "gateway.internal"
)

// The codes of one route's result.
const (
	MappingRequiredMissing   Code = "mapping.required_missing"
	MappingUnrepresentable   Code = "mapping.unrepresentable"
	MappingFailed            Code = "mapping.failed"
	MappingLossy             Code = "mapping.lossy"
	UpstreamInvalid          Code = "upstream.invalid"
	UpstreamDuplicate        Code = "upstream.duplicate"
	UpstreamIdentityConflict Code = "upstream.identity_conflict"
	UpstreamNotFound         Code = "upstream.not_found"
	UpstreamPartiallyApplied Code = "upstream.partially_applied"
	UpstreamBusy             Code = "upstream.busy"
	UpstreamRateLimited      Code = "upstream.rate_limited"
	UpstreamUnauthenticated  Code = "upstream.unauthenticated"
	UpstreamForbidden        Code = "upstream.forbidden"
	UpstreamMisconfigured    Code = "upstream.misconfigured"
	UpstreamUnreachable      Code = "upstream.unreachable"
	UpstreamTLSInvalid       Code = "upstream.tls_invalid"
	UpstreamUnavailable      Code = "upstream.unavailable"
	UpstreamOutcomeUnknown   Code = "upstream.outcome_unknown"
	UpstreamInvalidResponse  Code = "upstream.invalid_response"
	UpstreamUnclassified     Code = "upstream.unclassified"
	RouteCircuitOpen         Code = "route.circuit_open"
	RouteCredentialGated     Code = "route.credential_gated"
	RouteThrottled           Code = "route.throttled"
	RouteSaturated           Code = "route.saturated"
	RouteDeadline            Code = "route.deadline"
	RoutePaused              Code = "route.paused"
	RouteAttemptsExhausted   Code = "route.attempts_exhausted"
)

// Retry says when the gateway may repeat a call by itself.
type Retry string

// The kinds of repetition.
const (
	RetryNever      Retry = "never"
	RetryNow        Retry = "now"        // at once and with any method: nothing was applied
	RetryRepeatable Retry = "repeatable" // at once if Request.Repeatable; otherwise only after looking
	RetryRefresh    Retry = "refresh"    // once, and only after the credential was really renewed
	RetryForget     Retry = "forget"     // once, after dropping a remembered remote id
	RetryLater      Retry = "later"      // not inside this request, unless the stated time fits
	RetryByStatus   Retry = "by_status"  // as repeatable on a 5xx, never on a 4xx
)

// Breaker is how a circuit breaker counts a code.
type Breaker string

// The breaker's views.
const (
	BreakerNone    Breaker = "none"    // never reaches the breaker
	BreakerSuccess Breaker = "success" // the provider answered sensibly
	BreakerFailure Breaker = "failure"
	BreakerIgnored Breaker = "ignored" // says nothing about the provider's health
	// BreakerByStatus counts a 5xx as failure and a 4xx as success. It is in the
	// table only: Error.Breaker resolves it.
	BreakerByStatus Breaker = "by_status"
)

// Actor is who has to do something about an error.
type Actor string

// The actors.
const (
	ActsCaller   Actor = "caller"
	ActsOperator Actor = "operator"
	ActsProvider Actor = "provider"
	ActsNobody   Actor = "nobody"
)

// Info is everything that follows from a code.
type Info struct {
	Code    Code    `json:"code"`
	Status  int     `json:"status"`    // HTTP status when this is the answer to the whole request
	Title   string  `json:"title"`     // one line for people; never changes with the occurrence
	Meaning string  `json:"meaning"`   // what happened
	Remedy  string  `json:"remedy"`    // the way out
	Again   bool    `json:"retryable"` // the caller may send the same request again
	Retry   Retry   `json:"auto"`
	Breaker Breaker `json:"breaker"`
	Acts    Actor   `json:"acts"`
}

// codes is the one table. Order is the order of the catalogue.
var codes = []Info{
	{RequestMalformed, 400, "The request is not readable", "The body is not strict JSON: bad syntax, a wrong type, a duplicate member, trailing bytes or invalid UTF-8.", "Correct the body at the place that errors[] or the detail names.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestInvalid, 422, "The request fails the schema", "The body is JSON, but not a valid customer, or a header or query parameter has a value that is not allowed.", "Correct every member listed in errors[]; all faults are listed at once.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestTooLarge, 413, "The request is too large", "The body is over the configured limit.", "Send less, or have the operator raise server.max_body.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestUnsupportedMedia, 415, "The content type is not supported", "The request has a body whose Content-Type is not the one this call takes.", "Send the Content-Type that the detail names: application/json, or application/merge-patch+json with PATCH, or application/x-ndjson to bulk.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestNotFound, 404, "There is nothing here", "The path, customer, operation, route or error code is not known.", "Check the spelling; GET /v1/routes lists the routes.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestMethodNotAllowed, 405, "The method is not allowed here", "The path exists, but not with this method.", "Use one of the methods in the Allow header.", false, RetryNever, BreakerNone, ActsCaller},
	{RequestPreconditionFailed, 412, "The customer has changed", "If-Match names another version than the stored one, or If-None-Match: * met a customer that is known.", "Read the customer again, apply the change to what is there now and send it with the new version.", false, RetryNever, BreakerNone, ActsCaller},
	{CallerUnauthenticated, 401, "The API key is missing or unknown", "No valid API key came with the request.", "Send Authorization: Bearer <key> with a key that the operator has configured.", false, RetryNever, BreakerNone, ActsCaller},
	{CallerForbidden, 403, "The API key may not do this", "The key lacks the scope for this call or the right to one of the routes.", "Ask the operator for the scope or the route, or narrow the call with ?routes=.", false, RetryNever, BreakerNone, ActsCaller},
	{CallerRateLimited, 429, "Too many requests", "This API key has used up its share.", "Wait as long as Retry-After says.", true, RetryNever, BreakerNone, ActsCaller},
	{IdempotencyInFlight, 409, "The same request is still being worked on", "Another request with this Idempotency-Key has not finished.", "Wait a moment and ask again with the same key.", true, RetryNever, BreakerNone, ActsCaller},
	{IdempotencyKeyReused, 422, "The Idempotency-Key belongs to another request", "The key was used before with a different request.", "Use a fresh key for every new request.", false, RetryNever, BreakerNone, ActsCaller},
	{GatewayOverloaded, 503, "The gateway has too much to do", "The request was shed before it was accepted; nothing was sent.", "Wait as long as Retry-After says and send it again.", true, RetryNever, BreakerNone, ActsNobody},
	{GatewayStoreUnavailable, 503, "The request could not be made durable", "The store did not take the request; nothing was sent.", "Send it again; the operator finds the cause at /readyz.", true, RetryNever, BreakerNone, ActsOperator},
	{GatewayInternal, 500, "The gateway has a defect", "Something failed that should not be able to fail.", "Send it again; report the traceId if it happens twice.", true, RetryNever, BreakerNone, ActsOperator},

	{MappingRequiredMissing, 422, "The provider needs a field that is missing", "This provider cannot take the customer without the fields in errors[]; nothing was sent.", "State the fields in errors[].", false, RetryNever, BreakerNone, ActsCaller},
	{MappingUnrepresentable, 422, "The provider cannot take a value", "A value is too long, or has characters or a form that this provider refuses; nothing was sent.", "Change the values in errors[].", false, RetryNever, BreakerNone, ActsCaller},
	{MappingFailed, 422, "A rule of the route failed on this customer", "An expression in the route's configuration could not be evaluated; nothing was sent.", "The operator corrects the rule that the detail names.", false, RetryNever, BreakerNone, ActsOperator},
	{MappingLossy, 422, "Something would be lost", "Strict handling was asked for, and this provider cannot hold everything that was stated; nothing was sent.", "Leave out the fields in errors[], or send without Prefer: handling=strict to have them reported as warnings.", false, RetryNever, BreakerNone, ActsCaller},
	{UpstreamInvalid, 422, "The provider refused the data", "The provider found the fields in errors[] invalid.", "Change the values in errors[].", false, RetryNever, BreakerSuccess, ActsCaller},
	{UpstreamDuplicate, 409, "A unique value belongs to another record", "The provider already holds this value for another customer.", "Find the other record at the provider, or change the value.", false, RetryNever, BreakerSuccess, ActsCaller},
	{UpstreamIdentityConflict, 409, "The identifiers point at different records", "The provider finds different customers under the identifiers that were sent, or would make a second record because they have changed and the route refuses that.", "Have the records merged at the provider, or send only identifiers of one record; the operator may set identity_change of the route.", false, RetryNever, BreakerSuccess, ActsCaller},
	{UpstreamNotFound, 404, "The remote record is gone", "The provider does not know the remote id any more.", "Send again without the id in externalIds to have the record found or created anew.", false, RetryForget, BreakerSuccess, ActsCaller},
	{UpstreamPartiallyApplied, 207, "The provider saved only a part", "The record was saved, yet something in it was refused; errors[] or the detail names it.", "Correct the refused part and send again.", false, RetryNever, BreakerSuccess, ActsCaller},
	{UpstreamBusy, 503, "The provider is busy with this customer", "Another action runs on this customer at the provider.", "Send again a little later.", true, RetryLater, BreakerIgnored, ActsNobody},
	{UpstreamRateLimited, 503, "The provider's quota is used up", "The provider asked us to slow down.", "Wait as long as Retry-After says.", true, RetryLater, BreakerIgnored, ActsNobody},
	{UpstreamUnauthenticated, 502, "The provider refuses the gateway's credential", "The credential of this route is wrong, expired or revoked.", "The operator corrects the route's credentials.", false, RetryRefresh, BreakerIgnored, ActsOperator},
	{UpstreamForbidden, 502, "The gateway's credential lacks a right", "The provider knows the credential of this route, but does not allow the call.", "The operator grants the right that the provider's README names.", false, RetryNever, BreakerIgnored, ActsOperator},
	{UpstreamMisconfigured, 502, "The route is configured wrongly", "The provider does not serve this path, host, tenant, method or media type.", "The operator checks the route's base_url and settings.", false, RetryNever, BreakerSuccess, ActsOperator},
	{UpstreamUnreachable, 503, "The provider cannot be reached", "No connection came about; nothing was delivered.", "Send again later.", true, RetryNow, BreakerFailure, ActsProvider},
	{UpstreamTLSInvalid, 502, "The provider's certificate is not valid", "The TLS certificate or its name is wrong; nothing was delivered.", "The operator checks base_url and the trusted certificates. The check is never bypassed.", false, RetryNever, BreakerFailure, ActsOperator},
	{UpstreamUnavailable, 503, "The provider is out of order", "The provider answered with a server error or a maintenance page.", "Send again later.", true, RetryRepeatable, BreakerFailure, ActsProvider},
	{UpstreamOutcomeUnknown, 504, "Whether the provider applied it is not known", "The connection ended after the request was out and before the answer was in.", "Send the same customer again where retryable is true: the repeat converges. Otherwise look at the provider first.", true, RetryRepeatable, BreakerFailure, ActsNobody},
	{UpstreamInvalidResponse, 502, "The provider's answer makes no sense", "The answer claims success but is unreadable, cut off, too large or lacks what would prove it.", "Send the same customer again where retryable is true; the operator checks base_url if it persists.", true, RetryRepeatable, BreakerFailure, ActsProvider},
	{UpstreamUnclassified, 502, "The provider gave an answer nobody has classified", "No rule for this provider matches the answer.", "The operator reports the provider, status and upstream code, so that a rule is added.", false, RetryByStatus, BreakerByStatus, ActsOperator},
	{RouteCircuitOpen, 503, "The route is resting after failures", "Too many calls to this provider failed; nothing was sent.", "Wait as long as Retry-After says.", true, RetryLater, BreakerIgnored, ActsNobody},
	{RouteCredentialGated, 503, "The route waits for a new credential", "The provider refused this route's credential before; nothing was sent.", "The operator corrects the route's credentials.", true, RetryLater, BreakerIgnored, ActsOperator},
	{RouteThrottled, 503, "The route's own rate limit is used up", "The wait for the route's limit does not fit into the deadline; nothing was sent.", "Wait as long as Retry-After says, or allow more time with Prefer: wait.", true, RetryLater, BreakerIgnored, ActsNobody},
	{RouteSaturated, 503, "The route is full", "All of the route's parallel calls are taken; nothing was sent.", "Send again a little later.", true, RetryLater, BreakerIgnored, ActsNobody},
	{RouteDeadline, 503, "Time ran out before this route's turn", "The deadline passed before the call was made; nothing was sent.", "Send again, or allow more time with Prefer: wait.", true, RetryLater, BreakerIgnored, ActsNobody},
	{RoutePaused, 503, "The route is paused", "An operator has paused the route; nothing was sent.", "Send again when the route has been resumed.", true, RetryLater, BreakerIgnored, ActsOperator},
	{RouteAttemptsExhausted, 502, "All attempts are used up", "The gateway has tried until both the attempts and the age limit were spent.", "The operator finds the cause in the dead letter's history and replays it.", false, RetryNever, BreakerNone, ActsOperator},
}

var infos = func() map[Code]Info {
	m := make(map[Code]Info, len(codes))
	for _, in := range codes {
		m[in.Code] = in
	}
	return m
}()

// Codes returns the whole catalogue, in its order.
func Codes() []Info { return append([]Info(nil), codes...) }

// Info returns the code's row of the table; a code that is not in it reads as
// GatewayInternal.
func (c Code) Info() Info {
	if in, ok := infos[c]; ok {
		return in
	}
	return infos[GatewayInternal]
}

// FieldCode says what is wrong with one field.
type FieldCode string

// The field codes.
const (
	FieldRequired    FieldCode = "required"
	FieldInvalid     FieldCode = "invalid"
	FieldTooLong     FieldCode = "too_long"
	FieldUnsupported FieldCode = "unsupported"
	FieldDuplicate   FieldCode = "duplicate"
	FieldUnknown     FieldCode = "unknown_field"
	FieldOther       FieldCode = "other"
)

// FieldError is a complaint about one field.
type FieldError struct {
	// Pointer is the RFC 6901 JSON Pointer into the payload the caller sent. It
	// is empty only where a provider named no field, or one from configuration.
	Pointer string `json:"pointer,omitempty"`
	// Field is the provider's own spelling.
	Field string `json:"field,omitempty"`
	// Setting names the configuration key that the field came from.
	Setting string    `json:"setting,omitempty"`
	Code    FieldCode `json:"code"`
	Message string    `json:"message"`
}

// Error is a refusal or failure of one route, or of a whole request.
type Error struct {
	Code     Code
	Provider string // name of the adapter; empty for a refusal of the gateway
	Op       string // Request.Op of the call that failed
	Status   int    // the provider's HTTP status; 0 if there was no answer
	// Message is for the caller: the gateway's words, or allow-listed provider
	// text that went through CleanText. It may quote the caller's own data and
	// therefore never goes into a log.
	Message string
	Fields  []FieldError
	// UpstreamCode and RequestID are the provider's own error code and request
	// id, both safe to log.
	UpstreamCode string
	RequestID    string
	// RetryAt and RetryAfter are the provider's lower bound for the next call,
	// as a moment or a delay; zero if it named none.
	RetryAt    time.Time
	RetryAfter time.Duration
	// Final says that the request behind an unclear outcome must not simply be
	// repeated; the gateway sets it from Request.Repeatable.
	Final bool
	// Err is the cause, for errors.Is and errors.As; never shown to callers.
	Err error
}

// Error says provider, operation, code and status, and none of the data.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Provider != "" {
		b.WriteString(e.Provider)
		b.WriteString(": ")
	}
	if e.Op != "" {
		b.WriteString(e.Op)
		b.WriteString(": ")
	}
	b.WriteString(string(e.Code))
	if e.Status != 0 {
		fmt.Fprintf(&b, " (status %d)", e.Status)
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same request may be sent again later without a
// change. It follows from the code; the two conditional kinds look at the
// provider's status and at whether a repeat converges.
func (e *Error) Retryable() bool {
	in := e.Code.Info()
	switch in.Retry {
	case RetryByStatus:
		return e.Status >= 500 && !e.Final
	case RetryRepeatable:
		return in.Again && !e.Final
	default:
		return in.Again
	}
}

// Breaker returns how the circuit breaker counts the error.
func (e *Error) Breaker() Breaker {
	switch in := e.Code.Info(); {
	case in.Breaker != BreakerByStatus:
		return in.Breaker
	case e.Status >= 500:
		return BreakerFailure
	}
	return BreakerSuccess
}

// AsError returns err as an *Error; anything else becomes GatewayInternal with
// err as its cause. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Code: GatewayInternal, Message: "an unexpected error occurred", Err: err}
}

// CodeForStatus is the fallback for an answer that no rule of the adapter
// matched: what an HTTP status (RFC 9110) means when nothing else is known.
func CodeForStatus(status int) Code {
	switch status {
	case http.StatusUnauthorized:
		return UpstreamUnauthenticated
	case http.StatusForbidden:
		return UpstreamForbidden
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		return UpstreamInvalid
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType, http.StatusGone:
		return UpstreamMisconfigured
	case http.StatusConflict:
		return UpstreamDuplicate
	case http.StatusTooManyRequests:
		return UpstreamRateLimited
	case http.StatusRequestTimeout:
		return UpstreamOutcomeUnknown
	case http.StatusLocked:
		return UpstreamBusy
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return UpstreamUnavailable
	}
	switch {
	case status >= 520 && status <= 530: // edge networks: origin down, unreachable, timed out
		return UpstreamUnavailable
	case status >= 200 && status < 400:
		return UpstreamInvalidResponse
	default:
		return UpstreamUnclassified
	}
}
