package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/trace"

	"github.com/gin-gonic/gin"
)

// putCustomer upserts one customer and reports what became of it at each route.
func (a *api) putCustomer(c *gin.Context) {
	s := stateOf(c)
	wish := parsePrefer(c.Request.Header, a.MaxWait)
	cmd, err := a.command(c, s.key)
	if err != nil {
		_ = c.Error(err)
		return
	}
	cmd.Wait, cmd.Strict = wish.wait, wish.strict()
	e, err := a.Gateway.Upsert(trace.NewContext(c.Request.Context(), s.trace), cmd)
	if err != nil {
		_ = c.Error(err)
		return
	}
	h := c.Writer.Header()
	h["Gateway-Outcome"] = []string{outcome(e)}
	if applied := wish.applied(); applied != "" {
		h["Preference-Applied"] = []string{applied}
	}
	if f := failureOf(e, wish.strict()); f != nil {
		_ = c.Error(f)
		return
	}
	status := statusOf(e)
	if status == http.StatusAccepted {
		h["Location"] = []string{"/v1/operations/" + e.OperationID}
		h["Retry-After"] = []string{nextAttempt(e)}
	}
	writeJSON(c, status, a.envelope(e, s.traceID))
}

// command reads a PUT: path, preconditions, query, media type and body.
func (a *api) command(c *gin.Context, key *Key) (cmd gateway.Command, err error) {
	id, err := param(c, "id")
	if err != nil {
		return cmd, err
	}
	if err := checkID(id); err != nil {
		return cmd, err
	}
	h := c.Request.Header
	if err := checkConditions(h); err != nil {
		return cmd, err
	}
	if cmd.Routes, err = a.routes(c.Request.URL, key); err != nil {
		return cmd, err
	}
	if err := checkMedia(h, c.Writer.Header()); err != nil {
		return cmd, err
	}
	body, err := a.body(c)
	if err != nil {
		return cmd, err
	}
	cmd.Customer, err = canonical.DecodeCustomer(id, body)
	return cmd, err
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

// checkConditions refuses what must not be ignored and cannot be kept.
func checkConditions(h http.Header) error {
	for _, name := range []string{"If-Match", "If-None-Match"} {
		if _, stated := h[name]; stated {
			return &canonical.Error{Code: canonical.RequestPreconditionFailed,
				Message: "this gateway stores no customers, so it cannot prove any version; send the request without " + name}
		}
	}
	if _, stated := h["Content-Range"]; stated {
		return &canonical.Error{Code: canonical.RequestMalformed, Message: "a customer is sent as a whole; send the request without Content-Range"}
	}
	return nil
}

// routes returns the routes that the caller names, else all that the key may use;
// nil means every route.
func (a *api) routes(u *url.URL, key *Key) ([]string, error) {
	values, err := query(u, "routes")
	if err != nil {
		return nil, err
	}
	if !values.Has("routes") {
		return a.allowed(key)
	}
	var names []string
	for _, value := range values["routes"] {
		names = append(names, strings.Split(value, ",")...)
	}
	if slices.Contains(names, "") {
		return nil, &canonical.Error{Code: canonical.RequestInvalid, Message: "the query parameter routes has an empty name",
			Fields: []canonical.FieldError{{Field: "routes", Code: canonical.FieldInvalid, Message: "must be names of routes, separated by commas; leave it out for every route"}}}
	}
	return names, key.check(names)
}

// allowed returns the configured routes that the key may use; nil means all.
func (a *api) allowed(key *Key) ([]string, error) {
	if key == nil || key.Routes == nil {
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
