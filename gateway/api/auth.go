package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"customer-gateway/canonical"

	"github.com/gin-gonic/gin"
)

// Key is an API key that callers may use. Only its digest is known.
type Key struct {
	Name   string   // for logs, and whose idempotency keys come with it
	SHA256 [32]byte // of the key
	Read   bool     // may use the calls that change nothing
	Write  bool     // may use the calls that change something
	Routes []string // that it may use; nil for all
}

// mayUse reports whether the key may use a route. A nil Key is the caller of an
// API without keys.
func (k *Key) mayUse(route string) bool {
	return k.all() || slices.Contains(k.Routes, route)
}

// check refuses routes that the key may not use; field is what named them. It
// does not tell whether they exist.
func (k *Key) check(field string, routes ...string) error {
	var refused []canonical.FieldError
	for _, name := range routes {
		if !k.mayUse(name) {
			refused = append(refused, canonical.FieldError{Field: field, Code: canonical.FieldInvalid, Message: fmt.Sprintf("the key may not use the route %q", cut(name))})
		}
	}
	if refused == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.CallerForbidden, Fields: refused, Message: "the key may not use every route that was named: see errors"}
}

// all reports whether the key is not limited to some routes.
func (k *Key) all() bool { return k == nil || k.Routes == nil }

// scopeName is whose idempotency keys come with the key.
func (k *Key) scopeName() string {
	if k == nil {
		return ""
	}
	return k.Name
}

type scope string

const (
	scopeRead  scope = "read"
	scopeWrite scope = "write"
)

func (k *Key) has(s scope) bool { return s == scopeRead && k.Read || s == scopeWrite && k.Write }

// authenticate lets callers pass whose key has the scope.
func (a *api) authenticate(s scope) gin.HandlerFunc {
	if len(a.Keys) == 0 {
		return func(*gin.Context) {}
	}
	return func(c *gin.Context) {
		secret, given := credential(c.Request.Header)
		key := a.find(secret)
		switch {
		case key != nil && key.has(s):
			stateOf(c).key = key
			return
		case key != nil:
			stateOf(c).key = key
			c.Header("WWW-Authenticate", `Bearer realm="customer-gateway", error="insufficient_scope", scope="`+string(s)+`"`)
			_ = c.Error(&canonical.Error{Code: canonical.CallerForbidden, Message: "the key lacks the scope " + string(s)})
		case given:
			c.Header("WWW-Authenticate", `Bearer realm="customer-gateway", error="invalid_token"`)
			_ = c.Error(&canonical.Error{Code: canonical.CallerUnauthenticated, Message: "the API key is not known"})
		default:
			c.Header("WWW-Authenticate", `Bearer realm="customer-gateway"`)
			_ = c.Error(&canonical.Error{Code: canonical.CallerUnauthenticated, Message: "no API key came with the request; send Authorization: Bearer <key>"})
		}
		c.Abort()
	}
}

// credential returns the key that came with a request and whether one did. A
// header that is there twice is ambiguous and counts as a wrong key.
func credential(h http.Header) (secret string, given bool) {
	if values := h["Authorization"]; len(values) == 1 {
		scheme, rest, _ := strings.Cut(values[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			return strings.Trim(rest, " "), true
		}
	} else if len(values) > 1 {
		return "", true
	}
	switch values := h["X-Api-Key"]; len(values) {
	case 0:
		return "", false
	case 1:
		return values[0], true
	}
	return "", true
}

// find returns the key with the secret, or nil. The time it takes depends on the
// number of keys only: it compares digests, all of them, each to its end.
func (a *api) find(secret string) *Key {
	digest := sha256.Sum256([]byte(secret))
	found := -1
	for i := range a.Keys {
		same := subtle.ConstantTimeCompare(digest[:], a.Keys[i].SHA256[:])
		found = subtle.ConstantTimeSelect(same, i, found)
	}
	if found < 0 || secret == "" {
		return nil
	}
	return &a.Keys[found]
}
