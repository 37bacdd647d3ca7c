// Package api is the gateway's HTTP API: one handler over the calls of a Gateway.
//
// Every answer that is not a success is an RFC 9457 problem in one shape, made in
// one place (problem.go), and that includes unknown paths, wrong methods and
// panics. Only what net/http refuses before a handler runs has a shape of its
// own; NewServer lists it.
//
// # Without a ledger
//
// The gateway stores nothing yet, and the API says so instead of pretending:
//
//   - If-Match and If-None-Match are refused with 412, since no version can be
//     proven; ignoring them could overwrite what the caller wanted to protect.
//   - Idempotency-Key is ignored: a repeated PUT is sent again and converges.
//     Where a repeat would not be harmless (a one-time payment token), the result
//     says retryable false.
//   - Prefer: respond-async is ignored and is not in Preference-Applied.
//   - 201 is answered when a route created the customer and none knew it before.
//
// # Keys
//
// A key may be limited to some routes. An upsert that names no routes goes to all
// that the key may use; one that names another is refused as a whole. Paths that
// probes, scrapers and readers of errors need (/healthz, /readyz, /metrics,
// /v1/errors) are open.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"

	"github.com/gin-gonic/gin"
)

// Gateway is what the API serves; *gateway.Gateway is one.
type Gateway interface {
	// Upsert reports per route what became of the customer; an error means that
	// nothing was sent.
	Upsert(ctx context.Context, cmd gateway.Command) (*gateway.Envelope, error)
	// Routes returns the state of every route, in route order.
	Routes() []gateway.RouteState
	// Route returns the state of one route and whether there is one.
	Route(name string) (gateway.RouteState, bool)
}

// Metrics is told of every request and answers scrapes. Its methods must be quick
// and safe for concurrent use.
type Metrics interface {
	// Request ends a request; route is the template of its path.
	Request(method, route string, status int, took time.Duration)
	// InFlight adds n to the number of requests being answered.
	InFlight(n int)
	// Handler answers GET /metrics.
	Handler() http.Handler
}

// Options adjust the API. Only Gateway is required.
type Options struct {
	Gateway Gateway
	// Keys are the callers' API keys. Without keys everyone may do everything.
	Keys []Key
	// Metrics counts requests and is served at /metrics; nil for neither.
	Metrics Metrics
	// Log gets one line for each request, with no personal data and no address;
	// nil for none.
	Log *slog.Logger
	// MaxBody limits the body of a request, in bytes. Default 1 MiB.
	MaxBody int64
	// MaxInFlight limits how many calls under /v1 are served at once; more are
	// shed. 0 for no limit.
	MaxInFlight int
	// MaxWait limits what a caller states with Prefer: wait. Default 10s; it
	// should be that of the Gateway.
	MaxWait time.Duration
	// PublicURL begins the problems' type URLs, without a slash at the end.
	// Empty makes them relative.
	PublicURL string
	// Version is shown at /healthz.
	Version string
	// Ready reports why the gateway should get no traffic now, or nil: it is
	// shutting down, say. It must not depend on a provider. The message of an
	// *canonical.Error is shown, that of any other error is not.
	Ready func() error
}

// api serves the calls.
type api struct {
	Options
	catalogue catalogue
	inFlight  atomic.Int64
}

// New returns the handler of the whole API.
func New(opts Options) http.Handler {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBody <= 0 {
		opts.MaxBody = 1 << 20
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = 10 * time.Second
	}
	a := &api{Options: opts, catalogue: newCatalogue(opts.PublicURL)}

	gin.SetMode(gin.ReleaseMode)
	e := gin.New()
	e.RedirectTrailingSlash = false
	e.HandleMethodNotAllowed = true
	// A path is matched as it was sent and its parts are unescaped by param, so
	// that an id may hold any character: gin would read "+" as a space.
	e.UseEscapedPath = true
	e.UnescapePathValues = false
	// nil cannot be refused. No address is read anywhere.
	_ = e.SetTrustedProxies(nil)

	e.Use(a.observe)
	e.NoRoute(notFound)
	e.NoMethod(notAllowed)

	get := func(path string, handlers ...gin.HandlerFunc) {
		e.GET(path, handlers...)
		e.HEAD(path, handlers...)
	}
	get("/healthz", a.healthz)
	get("/readyz", a.readyz)
	if a.Metrics != nil {
		get("/metrics", gin.WrapH(a.Metrics.Handler()))
	}
	get("/v1/errors", a.shed, a.getErrors)
	get("/v1/errors/:code", a.shed, a.getError)
	get("/v1/routes", a.shed, a.authenticate(scopeRead), a.getRoutes)
	get("/v1/routes/:route", a.shed, a.authenticate(scopeRead), a.getRoute)
	e.PUT("/v1/customers/:id", a.shed, a.authenticate(scopeWrite), a.putCustomer)
	return e
}

func notFound(c *gin.Context) {
	_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound})
}

// notAllowed answers a method that the path does not have; gin has set Allow.
func notAllowed(c *gin.Context) {
	if c.Request.Method == http.MethodOptions {
		c.Status(http.StatusNoContent)
		return
	}
	_ = c.Error(&canonical.Error{Code: canonical.RequestMethodNotAllowed})
}

func (a *api) healthz(c *gin.Context) {
	writeJSON(c, http.StatusOK, struct {
		Status  string `json:"status"`
		Version string `json:"version,omitempty"`
	}{"ok", a.Version})
}

func (a *api) readyz(c *gin.Context) {
	if a.Ready != nil {
		if err := a.Ready(); err != nil {
			_ = c.Error(notReady(err))
			return
		}
	}
	writeJSON(c, http.StatusOK, struct {
		Status string `json:"status"`
	}{"ready"})
}

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
	name, err := param(c, "route")
	if err == nil {
		_, err = query(c.Request.URL)
	}
	if err == nil {
		err = stateOf(c).key.check([]string{name})
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	r, found := a.Gateway.Route(name)
	if !found {
		_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound, Message: "there is no such route; GET /v1/routes lists them"})
		return
	}
	writeJSON(c, http.StatusOK, r)
}
