package api

import (
	"net/http"
	"slices"

	"customer-gateway/canonical"
	"customer-gateway/gateway"

	"github.com/gin-gonic/gin"
)

// getOperation answers what has become of an upsert, at the key's routes.
func (a *api) getOperation(c *gin.Context) {
	s := stateOf(c)
	id, err := param(c, "id")
	if err == nil {
		_, err = query(c.Request.URL)
	}
	var e *gateway.Envelope
	if err == nil {
		e, err = a.Gateway.Operation(c.Request.Context(), id)
	}
	if err == nil && !s.key.all() {
		shown := *e
		shown.Results = slices.DeleteFunc(slices.Clone(e.Results), func(r gateway.Result) bool { return !s.key.mayUse(r.Route) })
		if e = &shown; len(e.Results) == 0 {
			err = &canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such operation, or it is no longer kept"}
		}
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	h := c.Writer.Header()
	h["Gateway-Outcome"] = []string{outcome(e)}
	if after, pending := nextAttempt(e); pending {
		h["Retry-After"] = []string{after}
	}
	writeJSON(c, http.StatusOK, a.envelope(e, s.traceID))
}
