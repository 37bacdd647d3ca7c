package rebilly

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// isProblem reports whether a refusal can be Rebilly's own: an object, or
// nothing at all. A page comes from somewhere else.
func isProblem(got *canonical.Reply, body canonical.Value) bool {
	return body.Kind() == canonical.KindObject || len(bytes.TrimSpace(got.Body)) == 0
}

// saysNotThere reports whether a 404 can be Rebilly's own word that there is no
// such customer. A page or a router's 404 is not, and must not lead to a write
// that replaces a customer nobody has read.
func saysNotThere(got *canonical.Reply, body canonical.Value) bool {
	return isProblem(got, body) && !mapping.NoRoute(text(body)+" "+body.Get("title").Str())
}

// statusOf is the status that a problem states in its body, or 0.
func statusOf(body canonical.Value) int {
	status, err := strconv.Atoi(body.Get("status").Str())
	switch {
	case err == nil && status >= 100 && status <= 599:
		return status
	case body.Get("invalidFields").Len() > 0:
		return http.StatusUnprocessableEntity
	}
	return 0
}

// failure reads a refusal: problem details (RFC 9457), or one of the shapes
// before them. status is the HTTP status, unless that claims success.
func (a *Adapter) failure(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply, status int) error {
	body, _ := got.JSON()
	e := canonical.Refusal(name, sent, got, code(status, got, body), "")
	e.RequestID = requestID(got.Header, body)
	if status >= 300 && status < 400 { // an old client met 302; a key never follows it
		e.Message = "the answer leads elsewhere; check base_url"
	}
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		e.RetryAt, e.RetryAfter = wait(got.Header)
	}
	if body.Kind() != canonical.KindObject {
		return e
	}
	if t := body.Get("type").Str(); t != "about:blank" {
		e.UpstreamCode = canonical.Token(t)
	}
	if e.Code == canonical.UpstreamInvalid || e.Code == canonical.UpstreamDuplicate {
		e.Fields = a.complaints(u, sent, body)
	}
	e.Message = canonical.CleanText(text(body))
	if e.Message == "" && len(e.Fields) > 0 {
		e.Message = e.Fields[0].Message
	}
	if e.Message == "" {
		e.Message = canonical.CleanText(body.Get("title").Str())
	}
	return e
}

var customerWord = regexp.MustCompile(`(?i)\bcustomer\b`)

// code classifies a refusal by its status, and by its words where a status means
// several things.
func code(status int, got *canonical.Reply, body canonical.Value) canonical.Code {
	words := text(body) + " " + body.Get("title").Str()
	switch {
	case status == http.StatusUnprocessableEntity: // also with a body that cannot be read
		return canonical.UpstreamInvalid
	case status == http.StatusGone && isProblem(got, body):
		return canonical.UpstreamNotFound
	case body.Kind() != canonical.KindObject:
		return canonical.CodeForPage(got)
	case status == http.StatusNotFound && customerWord.MatchString(words): // else the organization or the path
		return canonical.UpstreamNotFound
	case status == http.StatusConflict && mapping.Busy(words): // no cause of conflicts is published
		return canonical.UpstreamBusy
	}
	return canonical.CodeForStatus(status)
}

// text is what a problem says about this occurrence: in detail, or in error and
// details of the shapes before.
func text(body canonical.Value) string {
	for _, key := range []string{"detail", "error", "message", "details"} {
		v := body.Get(key)
		if v.Kind() == canonical.KindArray && v.Len() > 0 {
			v = v.At(0)
		}
		if v.Kind() == canonical.KindString && v.Str() != "" {
			return v.Str()
		}
	}
	return ""
}

// requestID is the id of the request at Rebilly or at the network before it. No
// header is published; an instance that is a path would hold the customer's id.
func requestID(h http.Header, body canonical.Value) string {
	for _, key := range []string{"X-Request-Id", "Request-Id", "X-Correlation-Id", "Cf-Ray"} {
		if id := canonical.Token(h.Get(key)); id != "" {
			return id
		}
	}
	if id := body.Get("instance").Str(); !strings.Contains(id, "/") {
		return canonical.Token(id)
	}
	return ""
}

// complaints reads the fields that a refusal names: in invalidFields, which is a
// list of field and message and was an object by field before 2019, else in the
// text.
func (a *Adapter) complaints(u canonical.Upsert, sent *canonical.Request, body canonical.Value) []canonical.FieldError {
	table := a.table(u)
	for _, member := range []string{"invalidFields", "errors"} {
		if said := mapping.Complaints(body.Get(member)); said != nil {
			return a.refine(u, table.Errors(u, sent, said))
		}
	}
	found := table.Errors(u, sent, []mapping.Said{{Text: text(body)}})
	return a.refine(u, slices.DeleteFunc(found, func(fe canonical.FieldError) bool { return !mapping.Located(fe) }))
}

// refine lets complaints about a street line point at the line, and those about
// the e-mail address that Rebilly derives at the one that it is derived from.
func (a *Adapter) refine(u canonical.Upsert, fields []canonical.FieldError) []canonical.FieldError {
	i, primary := a.source(u.Customer), u.Customer.PrimaryEmail()
	var lines []string
	if i >= 0 {
		lines = u.Customer.Addresses.Value()[i].Lines.Value()
	}
	whole := fmt.Sprintf("/addresses/%d/lines", i)
	for j := range fields {
		switch f := &fields[j]; {
		case strings.EqualFold(f.Field, "email") && strings.HasPrefix(f.Pointer, "/emails/") && primary >= 0:
			f.Pointer = fmt.Sprintf("/emails/%d/value", primary)
		case f.Pointer != whole:
		case strings.HasSuffix(f.Field, "address") && len(lines) > 0:
			f.Pointer += "/0"
		case strings.HasSuffix(f.Field, "address2") && len(lines) == 2:
			f.Pointer += "/1"
		}
	}
	return fields
}

// waitHeaders say when to come back, most trusted first. The first is an epoch
// in spite of its name; the form of the second is not published; the others are
// of older generations.
var waitHeaders = []string{"X-RateLimit-Retry-After", "Retry-After", "X-RateLimit-Reset", "X-Rate-Limit-Reset", "Rate-Limit-Reset"}

// dates are the forms of dates in these headers, beside those of HTTP.
var dates = []string{time.RFC1123Z, "Mon, _2 Jan 06 15:04:05 MST", "Mon, _2 Jan 06 15:04:05 -0700", time.RFC822, time.RFC822Z, time.RFC3339, time.DateTime}

// wait reads the moment of the next call, or the delay until it.
func wait(h http.Header) (at time.Time, after time.Duration) {
	const (
		epoch  = 1_000_000_000     // numbers from here on are seconds since 1970,
		millis = 1_000_000_000_000 // from here on milliseconds,
		absurd = 100_000_000_000_000
	)
	for _, key := range waitHeaders {
		value := strings.TrimSpace(h.Get(key))
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err == nil && n >= 0 && n < epoch:
			return time.Time{}, time.Duration(n) * time.Second
		case err == nil && n >= epoch && n < millis:
			return time.Unix(n, 0).UTC(), 0
		case err == nil && n >= millis && n < absurd:
			return time.UnixMilli(n).UTC(), 0
		case err == nil || value == "":
			continue
		}
		if t, err := http.ParseTime(value); err == nil {
			return t.UTC(), 0
		}
		for _, layout := range dates {
			if t, err := time.Parse(layout, value); err == nil {
				return t.UTC(), 0
			}
		}
	}
	return time.Time{}, 0
}
