package api

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"

	"github.com/gin-gonic/gin"
)

// members reads a body that is a JSON object with the known members only. If it is
// not required, no body counts as an empty object.
func (a *api) members(c *gin.Context, required bool, known ...string) (canonical.Value, error) {
	empty := canonical.NewObject(0)
	if !required && c.Request.ContentLength == 0 {
		return empty, nil
	}
	if err := mediaJSON.check(c.Request.Header, c.Writer.Header()); err != nil {
		return empty, err
	}
	body, err := a.body(c)
	if err != nil {
		return empty, err
	}
	v, err := object(body)
	if err != nil {
		return empty, err
	}
	f := inBody(v)
	for i := range v.Len() {
		if name := v.NameAt(i); !slices.Contains(known, name) {
			message := "there is no such member; this call takes none"
			if len(known) > 0 {
				message = "there is no such member; this call takes " + strings.Join(known, ", ")
			}
			f.fault(cut(name), canonical.FieldUnknown, message)
		}
	}
	return v, f.err("the body has unknown members: see errors")
}

// object reads one JSON object.
func object(body []byte) (canonical.Value, error) {
	v, err := canonical.Parse(body)
	if err != nil {
		return v, unreadable(err)
	}
	if v.Kind() != canonical.KindObject {
		return v, &canonical.Error{Code: canonical.RequestMalformed, Message: "the body must be a JSON object"}
	}
	return v, nil
}

// unreadable says what is wrong with JSON that cannot be read.
func unreadable(err error) error {
	if errors.Is(err, io.EOF) {
		return &canonical.Error{Code: canonical.RequestMalformed, Message: "the body is empty; send one JSON object", Err: err}
	}
	return &canonical.Error{Code: canonical.RequestMalformed, Err: err,
		Message: "the body is not readable JSON: " + canonical.CleanText(strings.TrimPrefix(err.Error(), "jsontext: "))}
}

// form reads the parameters of a call, from a query or a body, and collects what
// is wrong with them.
type form struct {
	// get returns a parameter, whether it is stated, and what is wrong with its
	// form, if something is.
	get    func(name string) (value string, stated bool, wrong string)
	body   bool // the parameters are in a body
	faults []canonical.FieldError
}

// inQuery reads the parameters of a query.
func inQuery(values map[string][]string) *form {
	return &form{get: func(name string) (string, bool, string) {
		switch v := values[name]; len(v) {
		case 0:
			return "", false, ""
		case 1:
			return v[0], true, ""
		}
		return "", true, "must be there once"
	}}
}

// inBody reads the members of an object.
func inBody(v canonical.Value) *form {
	return &form{body: true, get: func(name string) (string, bool, string) {
		switch m := v.Get(name); m.Kind() {
		case canonical.KindAbsent:
			return "", false, ""
		case canonical.KindString:
			return m.Str(), true, ""
		}
		return "", true, "must be a string"
	}}
}

func (f *form) fault(name string, code canonical.FieldCode, message string) {
	e := canonical.FieldError{Field: name, Code: code, Message: message}
	if f.body {
		e.Field, e.Pointer = "", canonical.JoinPointer("", name)
	}
	f.faults = append(f.faults, e)
}

// err returns all faults as one error, or nil.
func (f *form) err(message string) error {
	if f.faults == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.RequestInvalid, Fields: f.faults, Message: message}
}

// text returns a parameter and whether it is stated and has the right form.
func (f *form) text(name string) (string, bool) {
	value, stated, wrong := f.get(name)
	if wrong != "" {
		f.fault(name, canonical.FieldInvalid, wrong)
		return "", false
	}
	return value, stated
}

// time returns a parameter that is a moment; zero if it is not stated.
func (f *form) time(name string) time.Time {
	value, stated := f.text(name)
	if !stated {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		f.fault(name, canonical.FieldInvalid, "must be a moment as RFC 3339 writes it, such as 2026-03-01T12:00:00Z")
	}
	return at
}
