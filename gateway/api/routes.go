package api

import (
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/gateway"

	"github.com/gin-gonic/gin"
)

// getRoutes lists the routes that the key may use.
func (a *api) getRoutes(c *gin.Context) {
	if _, err := query(c.Request.URL); err != nil {
		_ = c.Error(err)
		return
	}
	key := stateOf(c).key
	shown := []gateway.RouteState{}
	for _, r := range a.Gateway.Routes() {
		if key.mayUse(r.Name) {
			shown = append(shown, r)
		}
	}
	writeJSON(c, http.StatusOK, shown)
}

func (a *api) getRoute(c *gin.Context) {
	r, err := a.route(c)
	if err != nil {
		_ = c.Error(err)
		return
	}
	writeJSON(c, http.StatusOK, r)
}

// getCapabilities shows what the route holds of a customer.
func (a *api) getCapabilities(c *gin.Context) {
	r, err := a.route(c)
	if err != nil {
		_ = c.Error(err)
		return
	}
	capabilities, _ := a.Gateway.Capabilities(r.Name)
	writeJSON(c, http.StatusOK, capabilities)
}

// route returns the route that the path names, if the key may use it.
func (a *api) route(c *gin.Context) (gateway.RouteState, error) {
	name, err := param(c, "route")
	if err == nil {
		_, err = query(c.Request.URL)
	}
	if err == nil {
		err = stateOf(c).key.check("route", name)
	}
	if err != nil {
		return gateway.RouteState{}, err
	}
	r, found := a.Gateway.Route(name)
	if !found {
		return r, &canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such route; GET /v1/routes lists them"}
	}
	return r, nil
}

// pauseRoute stops what is sent to a route; its work is kept.
func (a *api) pauseRoute(c *gin.Context) {
	r, err := a.route(c)
	var reason string
	if err == nil {
		reason, err = a.reason(c)
	}
	if err == nil {
		err = a.Gateway.Pause(c.Request.Context(), r.Name, reason)
	}
	a.answerRoute(c, r.Name, err)
}

func (a *api) resumeRoute(c *gin.Context) {
	r, err := a.route(c)
	if err == nil {
		_, err = a.members(c, false)
	}
	if err == nil {
		err = a.Gateway.Resume(c.Request.Context(), r.Name)
	}
	a.answerRoute(c, r.Name, err)
}

// answerRoute shows the route as it is after an action.
func (a *api) answerRoute(c *gin.Context, name string, err error) {
	if err != nil {
		_ = c.Error(err)
		return
	}
	r, _ := a.Gateway.Route(name)
	writeJSON(c, http.StatusOK, r)
}

// maxReason is how many characters the reason of a pause may have.
const maxReason = 200

// reason reads why a route is paused; it may be left out.
func (a *api) reason(c *gin.Context) (string, error) {
	body, err := a.members(c, false, "reason")
	if err != nil {
		return "", err
	}
	f := inBody(body)
	reason, _ := f.text("reason")
	switch {
	case utf8.RuneCountInString(reason) > maxReason:
		f.fault("reason", canonical.FieldTooLong, "must not be longer than 200 characters")
	case strings.ContainsFunc(reason, unicode.IsControl):
		f.fault("reason", canonical.FieldInvalid, "must be one line, without control characters")
	}
	return reason, f.err("the reason is not valid: see errors")
}

// resynced is the answer to a resync.
type resynced struct {
	Queued  int    `json:"queued"`
	Missing int    `json:"missing"`
	Note    string `json:"note,omitempty"`
}

// resyncRoute sends a route the newest state of every customer again.
func (a *api) resyncRoute(c *gin.Context) {
	r, err := a.route(c)
	if err == nil {
		_, err = a.members(c, false)
	}
	var answer resynced
	if err == nil {
		answer.Queued, answer.Missing, err = a.Gateway.Resync(c.Request.Context(), r.Name)
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	if answer.Missing > 0 {
		answer.Note = "the states of the missing customers are no longer held, so they must be sent again with PUT; ledger.retain: latest keeps states"
	}
	writeJSON(c, http.StatusOK, answer)
}
