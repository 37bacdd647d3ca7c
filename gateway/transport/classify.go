package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
)

// cause keeps an error of net/http for errors.Is and As, but not its text,
// which can quote addresses and what the provider sent.
type cause struct {
	text string
	err  error
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.err }

const redirected = "the provider answered with a redirect, which is never followed; check base_url"

var (
	errTooLarge = errors.New("over the size limit")
	errCutOff   = errors.New("cut off")
)

// noReply classifies an attempt that ended without a readable reply, and judges
// the provider by it.
func (x *exchange) noReply(err error) (*canonical.Error, verdict) {
	c := x.client
	v, text := failing, reason(err)
	arrived := x.wrote.Load()
	if x.attempt.Err() != nil {
		// A connection that already has the request may still be writing it.
		arrived = arrived || x.assigned.Load()
		if context.Cause(x.attempt) == errTimeout {
			text = "no answer within the time for one attempt"
		} else {
			// The call's deadline says something about the provider only if the
			// attempt had a fair share of its time; a caller who left, nothing.
			text = "the time for this call was over"
			late := time.Since(x.start) < min(c.cfg.Timeout, c.cfg.Deadline)/2
			if late || errors.Is(x.ctx.Err(), context.Canceled) {
				v = ignored
			}
		}
	}
	e := &canonical.Error{Err: &cause{text, err}}
	switch {
	case !arrived && v == ignored:
		e.Code, e.Message = canonical.RouteDeadline, "the time for this call was over before it could be sent"
	case !arrived && isTLS(err):
		e.Code, e.Message = canonical.UpstreamTLSInvalid, "the provider's certificate is not valid: "+text
	case !arrived:
		e.Code, e.Message = canonical.UpstreamUnreachable, "the provider could not be reached: "+text
	case x.safe:
		e.Code, e.Message = canonical.UpstreamUnavailable, "the provider did not answer: "+text
	default:
		e.Code, e.Message = canonical.UpstreamOutcomeUnknown, "the request went out, but no answer came in: "+text
	}
	return e, v
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.CertificateInvalidError](err)
	return ok
}

// reason says in fixed words why a connection failed.
func reason(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host name"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "it has expired or is not valid yet"
		}
		return "it cannot be used here"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its authority is not trusted"
	}
	if isTLS(err) {
		return "the TLS handshake failed"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "its host name could not be resolved"
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "the connection was closed"
	}
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		return "the connection timed out"
	}
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		return "no connection was made"
	}
	return "the connection failed"
}

// readBody reads a body to its end and no further than limit bytes. What it
// could read is returned beside the error.
func readBody(resp *http.Response, limit int64) ([]byte, error) {
	if n := resp.ContentLength; n >= 0 && n <= limit {
		b := make([]byte, n)
		got, err := io.ReadFull(resp.Body, b)
		if err != nil {
			return b[:got], &cause{errCutOff.Error(), err}
		}
		return b, nil
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if int64(len(b)) > limit {
		return b[:limit], errTooLarge
	}
	if err != nil {
		return b, &cause{errCutOff.Error(), err}
	}
	return b, nil
}

// complete fills in what the adapter does not know. The adapter's error is
// copied, since it may be shared.
func (c *Client) complete(from *canonical.Error, x *exchange, got *canonical.Reply) *canonical.Error {
	if from == nil {
		return nil
	}
	e := *from
	e.Provider, e.Op = c.cfg.Provider, x.req.Op
	now := time.Now()
	if got != nil {
		if e.Message == "" && e.Code == canonical.UpstreamInvalidResponse && got.Status >= 300 && got.Status < 400 {
			e.Message = redirected
		}
		e.Status = orElse(e.Status, got.Status)
		if e.RequestID == "" {
			e.RequestID = requestID(got.Header)
		}
		if e.RetryAt.IsZero() && e.RetryAfter <= 0 {
			e.RetryAfter = retryAfter(got.Header, now)
		}
	}
	e.RetryAfter = min(max(e.RetryAfter, 0), maxHold)
	if latest := now.Add(maxHold); e.RetryAt.After(latest) {
		e.RetryAt = latest
	}
	switch e.Code.Info().Retry {
	case canonical.RetryRepeatable, canonical.RetryByStatus:
		e.Final = e.Final || !x.repeatable
	}
	return &e
}

// requestID finds the provider's id of the request in the usual places.
func requestID(h http.Header) string {
	for _, key := range [...]string{"X-Request-Id", "Cf-Ray", "X-Correlation-Id"} {
		if id := canonical.Token(h.Get(key)); id != "" { // it goes into logs
			return id
		}
	}
	return ""
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): whole seconds or a
// date, which is compared with the provider's own clock if it tells. Garbage,
// negative delays and the past read as nothing.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if strings.Trim(v, "0123456789") == "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n > int64(maxHold/time.Second) {
			return maxHold
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), maxHold)
}
