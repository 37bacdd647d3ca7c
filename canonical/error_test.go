package canonical

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// codeTests is the catalogue, typed out: a change of a code's meaning must be
// made twice.
var codeTests = []struct {
	code      Code
	status    int
	retryable bool
	retry     Retry
	breaker   Breaker
	acts      Actor
}{
	{"request.malformed", 400, false, RetryNever, BreakerNone, ActsCaller},
	{"request.invalid", 422, false, RetryNever, BreakerNone, ActsCaller},
	{"request.too_large", 413, false, RetryNever, BreakerNone, ActsCaller},
	{"request.unsupported_media", 415, false, RetryNever, BreakerNone, ActsCaller},
	{"request.not_found", 404, false, RetryNever, BreakerNone, ActsCaller},
	{"request.method_not_allowed", 405, false, RetryNever, BreakerNone, ActsCaller},
	{"request.precondition_failed", 412, false, RetryNever, BreakerNone, ActsCaller},
	{"caller.unauthenticated", 401, false, RetryNever, BreakerNone, ActsCaller},
	{"caller.forbidden", 403, false, RetryNever, BreakerNone, ActsCaller},
	{"caller.rate_limited", 429, true, RetryNever, BreakerNone, ActsCaller},
	{"idempotency.in_flight", 409, true, RetryNever, BreakerNone, ActsCaller},
	{"idempotency.key_reused", 422, false, RetryNever, BreakerNone, ActsCaller},
	{"gateway.overloaded", 503, true, RetryNever, BreakerNone, ActsNobody},
	{"gateway.store_unavailable", 503, true, RetryNever, BreakerNone, ActsOperator},
	{"gateway.internal", 500, true, RetryNever, BreakerNone, ActsOperator},
	{"mapping.required_missing", 422, false, RetryNever, BreakerNone, ActsCaller},
	{"mapping.unrepresentable", 422, false, RetryNever, BreakerNone, ActsCaller},
	{"mapping.failed", 422, false, RetryNever, BreakerNone, ActsOperator},
	{"mapping.lossy", 422, false, RetryNever, BreakerNone, ActsCaller},
	{"upstream.invalid", 422, false, RetryNever, BreakerSuccess, ActsCaller},
	{"upstream.duplicate", 409, false, RetryNever, BreakerSuccess, ActsCaller},
	{"upstream.identity_conflict", 409, false, RetryNever, BreakerSuccess, ActsCaller},
	{"upstream.not_found", 404, false, RetryForget, BreakerSuccess, ActsCaller},
	{"upstream.partially_applied", 207, false, RetryNever, BreakerSuccess, ActsCaller},
	{"upstream.busy", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"upstream.rate_limited", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"upstream.unauthenticated", 502, false, RetryRefresh, BreakerIgnored, ActsOperator},
	{"upstream.forbidden", 502, false, RetryNever, BreakerIgnored, ActsOperator},
	{"upstream.misconfigured", 502, false, RetryNever, BreakerSuccess, ActsOperator},
	{"upstream.unreachable", 503, true, RetryNow, BreakerFailure, ActsProvider},
	{"upstream.tls_invalid", 502, false, RetryNever, BreakerFailure, ActsOperator},
	{"upstream.unavailable", 503, true, RetryRepeatable, BreakerFailure, ActsProvider},
	{"upstream.outcome_unknown", 504, true, RetryRepeatable, BreakerFailure, ActsNobody},
	{"upstream.invalid_response", 502, true, RetryRepeatable, BreakerFailure, ActsProvider},
	{"upstream.unclassified", 502, false, RetryByStatus, BreakerSuccess, ActsOperator}, // both follow the status
	{"route.circuit_open", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"route.credential_gated", 503, true, RetryLater, BreakerIgnored, ActsOperator},
	{"route.throttled", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"route.saturated", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"route.deadline", 503, true, RetryLater, BreakerIgnored, ActsNobody},
	{"route.paused", 503, true, RetryLater, BreakerIgnored, ActsOperator},
	{"route.attempts_exhausted", 502, false, RetryNever, BreakerNone, ActsOperator},
}

func TestCodes(t *testing.T) {
	t.Parallel()
	if got, want := len(Codes()), len(codeTests); got != want {
		t.Errorf("the catalogue has %d codes, want %d", got, want)
	}
	for i, test := range codeTests {
		in, e := test.code.Info(), &Error{Code: test.code}
		if in.Code != test.code {
			t.Errorf("%s is not in the catalogue", test.code)
			continue
		}
		if i < len(Codes()) && Codes()[i].Code != test.code {
			t.Errorf("place %d of the catalogue is %s, want %s", i, Codes()[i].Code, test.code)
		}
		if in.Status != test.status || in.Retry != test.retry || in.Acts != test.acts {
			t.Errorf("%s: status %d, auto %s, acts %s, want %d, %s, %s", test.code, in.Status, in.Retry, in.Acts, test.status, test.retry, test.acts)
		}
		if got := e.Retryable(); got != test.retryable {
			t.Errorf("%s: retryable %v, want %v", test.code, got, test.retryable)
		}
		if got := e.Breaker(); got != test.breaker {
			t.Errorf("%s: breaker %s, want %s", test.code, got, test.breaker)
		}
		// The catalogue says the same, or that it depends.
		if in.Breaker != test.breaker && (in.Breaker != BreakerByStatus || in.Retry != RetryByStatus) {
			t.Errorf("%s: the table says breaker %s, want %s", test.code, in.Breaker, test.breaker)
		}
		if in.Title == "" || in.Meaning == "" || in.Remedy == "" || strings.HasSuffix(in.Title, ".") {
			t.Errorf("%s: title, meaning and remedy must be there: %+v", test.code, in)
		}
	}
	if got := Code("no.such").Info().Code; got != GatewayInternal {
		t.Errorf("an unknown code reads as %s, want %s", got, GatewayInternal)
	}
	Codes()[0].Status = 1
	if RequestMalformed.Info().Status != 400 || Codes()[0].Status != 400 {
		t.Error("Codes gives its table away")
	}
}

func TestErrorConditions(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		err       Error
		retryable bool
		breaker   Breaker
	}{
		{"unclassified 5xx", Error{Code: UpstreamUnclassified, Status: 501}, true, BreakerFailure},
		{"unclassified 5xx, not to be repeated", Error{Code: UpstreamUnclassified, Status: 501, Final: true}, false, BreakerFailure},
		{"unclassified 4xx", Error{Code: UpstreamUnclassified, Status: 418}, false, BreakerSuccess},
		{"unclassified without an answer", Error{Code: UpstreamUnclassified}, false, BreakerSuccess},
		{"unknown outcome", Error{Code: UpstreamOutcomeUnknown}, true, BreakerFailure},
		{"unknown outcome, not to be repeated", Error{Code: UpstreamOutcomeUnknown, Final: true}, false, BreakerFailure},
		{"unavailable, not to be repeated", Error{Code: UpstreamUnavailable, Status: 503, Final: true}, false, BreakerFailure},
		{"unreadable success, not to be repeated", Error{Code: UpstreamInvalidResponse, Status: 200, Final: true}, false, BreakerFailure},
		{"not delivered, so repeated whatever it is", Error{Code: UpstreamUnreachable, Final: true}, true, BreakerFailure},
		{"rate limited, not applied", Error{Code: UpstreamRateLimited, Final: true}, true, BreakerIgnored},
		{"the provider's status changes no other code", Error{Code: UpstreamInvalid, Status: 500}, false, BreakerSuccess},
	}
	for _, test := range tests {
		if got := test.err.Retryable(); got != test.retryable {
			t.Errorf("%s: retryable %v, want %v", test.name, got, test.retryable)
		}
		if got := test.err.Breaker(); got != test.breaker {
			t.Errorf("%s: breaker %s, want %s", test.name, got, test.breaker)
		}
	}
}

// TestErrorText holds that an error that reaches a log has no data in it.
func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	e := &Error{Code: UpstreamInvalid, Provider: "april", Op: "upsert", Status: 400, Message: "kim@example.com is taken", Err: cause,
		Fields: []FieldError{{Pointer: "/emails/0/value", Message: "kim@example.com"}}}
	for _, got := range []string{e.Error(), fmt.Sprint(e), fmt.Sprintf("%v %+v %s", e, e, e)} {
		if strings.Contains(got, "kim") || strings.Contains(got, "EOF") {
			t.Errorf("the text has data: %s", got)
		}
	}
	if got, want := e.Error(), "april: upsert: upstream.invalid (status 400)"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got, want := (&Error{Code: RequestInvalid}).Error(), "request.invalid"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(e, io.ErrUnexpectedEOF) {
		t.Error("the cause is not found")
	}
}

func TestAsError(t *testing.T) {
	t.Parallel()
	e := &Error{Code: UpstreamBusy}
	if AsError(nil) != nil {
		t.Error("AsError(nil) is not nil")
	}
	if got := AsError(fmt.Errorf("wrapped: %w", e)); got != e {
		t.Errorf("AsError of a wrapped error = %v", got)
	}
	got := AsError(io.EOF)
	if got.Code != GatewayInternal || !errors.Is(got, io.EOF) || strings.Contains(got.Message, "EOF") {
		t.Errorf("AsError(io.EOF) = %v %q", got, got.Message)
	}
}

func TestCodeForStatus(t *testing.T) {
	t.Parallel()
	want := map[int]Code{
		400: UpstreamInvalid, 413: UpstreamInvalid, 422: UpstreamInvalid,
		401: UpstreamUnauthenticated, 403: UpstreamForbidden,
		404: UpstreamMisconfigured, 405: UpstreamMisconfigured, 406: UpstreamMisconfigured, 410: UpstreamMisconfigured, 415: UpstreamMisconfigured,
		408: UpstreamOutcomeUnknown, 409: UpstreamDuplicate, 423: UpstreamBusy, 429: UpstreamRateLimited,
		500: UpstreamUnavailable, 502: UpstreamUnavailable, 503: UpstreamUnavailable, 504: UpstreamUnavailable,
	}
	for status := -1; status < 700; status++ {
		code, listed := want[status]
		switch {
		case listed:
		case status >= 200 && status < 400:
			code = UpstreamInvalidResponse // an adapter that knew better would not have asked
		case status >= 520 && status <= 530:
			code = UpstreamUnavailable
		default:
			code = UpstreamUnclassified
		}
		if got := CodeForStatus(status); got != code {
			t.Errorf("CodeForStatus(%d) = %s, want %s", status, got, code)
		}
	}
}
