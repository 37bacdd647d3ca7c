// Package api is the gateway's HTTP API: one handler over the calls of a Gateway.
//
// Every answer that is not a success is an RFC 9457 problem in one shape, made in
// one place (problem.go), and that includes unknown paths, wrong methods and
// panics. Only what net/http refuses before a handler runs has a shape of its
// own; NewServer lists it.
//
// # With a ledger
//
// What is answered with 2xx is durable and is delivered, or ends as a dead letter
// that GET /v1/dead-letters shows. Then:
//
//   - ETag is the customer's version, on answers to PUT, PATCH and GET. If-Match
//     takes such tags or *, If-None-Match takes *. A version says nothing about how
//     far the routes are, so GET knows no 304.
//   - Idempotency-Key resumes: the same request under the same key is answered
//     with what has become of the first one, which goes on. Another request under
//     the key is refused with 422, and with 409 while the first is being answered.
//     A key belongs to the API key that it came with and is kept for a day.
//   - Prefer: respond-async and wait=0 answer once the upsert is durable;
//     respond-async with a longer wait answers then at the latest.
//   - 201 is answered when the gateway did not know the customer.
//   - Location names the operation while a route is pending. GET of it answers
//     200 whatever has become of it; its outcome tells, and that is the outcome at
//     all its routes, also for a key that is shown only some of them.
//
// # Without a ledger
//
// The gateway stores nothing (ledger.driver: none), and the API says so instead of
// pretending:
//
//   - If-Match and If-None-Match are refused with 412, since no version can be
//     proven; ignoring them could overwrite what the caller wanted to protect.
//   - Idempotency-Key is ignored: a repeated PUT is sent again and converges.
//     Where a repeat would not be harmless (a one-time payment token), the result
//     says retryable false.
//   - Prefer: respond-async and wait=0 are ignored and not in Preference-Applied.
//   - 201 is answered when a route created the customer and none knew it before.
//   - Whatever reads or changes what is stored is answered with 404.
//
// # Bulk
//
// POST /v1/customers/bulk takes a line of JSON for each customer and answers each
// with a line, as soon as it has one and therefore in any order: line and id say
// which. Lines of one customer are worked on in their order. Empty lines are
// skipped, but counted. The stream's status says nothing about its lines.
//
// At most BulkConcurrency lines are in work at once, and a line is in work until
// its answer is written: who does not read the answers is not read from. A client
// that neither sends nor takes anything for BulkTimeout is cut off. Whenever the
// gateway ends the intake, the last line of the answer holds the error and, as
// line, the first line that was not looked at; it is the only one without a status.
//
// With a ledger, lines are answered once they are durable, unless Prefer: wait=N
// is stated. An Idempotency-Key K gives line n the key K/n, so that an interrupted
// import resumes if it is sent again as a whole.
//
// # Keys
//
// A key may be limited to some routes. An upsert that names no routes goes to all
// that the key may use; one that names another is refused as a whole. Customers,
// operations and dead letters are shown with those routes only, and what has none
// of them is not found. Erasing a customer's data takes a key that is not limited
// to some routes, because it erases what is held for all. Paths that probes,
// scrapers and readers of errors need (/healthz, /readyz, /metrics, /v1/errors)
// are open.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"

	"github.com/gin-gonic/gin"
)

// Gateway is what the API serves; *gateway.Gateway is one. Its errors are
// *canonical.Error or wrap one.
type Gateway interface {
	// Durable reports whether there is a ledger. Without one, only Upsert, Route,
	// Routes and Capabilities are called, and Pause and Resume.
	Durable() bool
	// Upsert reports per route what became of the customer; an error means that
	// nothing was sent.
	Upsert(ctx context.Context, cmd gateway.Command) (*gateway.Envelope, error)
	// Patch applies a merge patch (RFC 7396), which is a JSON object, to the stored
	// customer and goes on as Upsert. Customer and Body of cmd are not set.
	Patch(ctx context.Context, id string, patch []byte, cmd gateway.Command) (*gateway.Envelope, error)
	// Customer returns the sync state of a customer.
	Customer(ctx context.Context, id string) (*gateway.Customer, error)
	// Operation returns what has become of an upsert.
	Operation(ctx context.Context, id string) (*gateway.Envelope, error)
	// DeadLetters lists dead letters, oldest death first.
	DeadLetters(ctx context.Context, f ledger.Filter) ([]gateway.DeadLetter, error)
	// Replay makes dead letters due again and returns how many.
	Replay(ctx context.Context, f ledger.Filter) (int, error)
	// Pause holds a route's work back, and Resume lets it go on.
	Pause(ctx context.Context, route, reason string) error
	Resume(ctx context.Context, route string) error
	// Resync makes due what a route has confirmed; missing counts the customers
	// whose state is no longer held.
	Resync(ctx context.Context, route string) (due, missing int, err error)
	// Erase deletes all that is held about a customer.
	Erase(ctx context.Context, id string) error
	// Routes returns the state of every route, in route order.
	Routes() []gateway.RouteState
	// Route returns the state of one route and whether there is one.
	Route(name string) (gateway.RouteState, bool)
	// Capabilities returns what one route holds of a customer, and whether it is
	// configured.
	Capabilities(name string) (gateway.Capabilities, bool)
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
	// MaxBody limits the body of a request, and each line of a bulk request, in
	// bytes. Default 1 MiB.
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
	// BulkConcurrency limits how many lines of a bulk request are in work at once.
	// Default 64.
	BulkConcurrency int
	// BulkTimeout is how long a bulk request waits for the end of a line that its
	// client sends, and for its client to take an answer. Default 1m.
	BulkTimeout time.Duration
	// Closing is closed when the gateway begins to shut down: bulk requests end
	// after the lines that they have taken. nil for never.
	Closing <-chan struct{}
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
	if opts.BulkConcurrency <= 0 {
		opts.BulkConcurrency = 64
	}
	if opts.BulkTimeout <= 0 {
		opts.BulkTimeout = time.Minute
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

	// Every other call is limited, and needs a key with the scope if there are any.
	reader, writer := a.authenticate(scopeRead), a.authenticate(scopeWrite)
	read := func(path string, handlers ...gin.HandlerFunc) {
		get(path, append([]gin.HandlerFunc{a.shed, reader}, handlers...)...)
	}
	write := func(method, path string, handlers ...gin.HandlerFunc) {
		e.Handle(method, path, append([]gin.HandlerFunc{a.shed, writer}, handlers...)...)
	}
	read("/v1/routes", a.getRoutes)
	read("/v1/routes/:route", a.getRoute)
	read("/v1/routes/:route/capabilities", a.getCapabilities)
	write(http.MethodPost, "/v1/routes/:route/pause", a.pauseRoute)
	write(http.MethodPost, "/v1/routes/:route/resume", a.resumeRoute)
	write(http.MethodPost, "/v1/routes/:route/resync", a.stored, a.resyncRoute)
	write(http.MethodPut, "/v1/customers/:id", a.putCustomer)
	write(http.MethodPatch, "/v1/customers/:id", a.stored, a.patchCustomer)
	read("/v1/customers/:id", a.stored, a.getCustomer)
	write(http.MethodDelete, "/v1/customers/:id/data", a.stored, a.eraseCustomer)
	write(http.MethodPost, "/v1/customers/bulk", a.bulkCustomers)
	read("/v1/operations/:id", a.stored, a.getOperation)
	read("/v1/dead-letters", a.stored, a.getDeadLetters)
	write(http.MethodPost, "/v1/dead-letters/replay", a.stored, a.replayDeadLetters)
	return e
}

// stored refuses what a gateway without a ledger cannot do.
func (a *api) stored(c *gin.Context) {
	if !a.Gateway.Durable() {
		_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound,
			Message: "this gateway stores nothing (ledger.driver: none), so there is nothing to read or to change here; PUT /v1/customers/{id} sends a customer"})
		c.Abort()
	}
}

func notFound(c *gin.Context) {
	_ = c.Error(&canonical.Error{Code: canonical.RequestNotFound})
}

// notAllowed answers a method that the path does not have; gin has set Allow.
func notAllowed(c *gin.Context) {
	if c.Request.Method == http.MethodOptions {
		if strings.Contains(c.Writer.Header().Get("Allow"), http.MethodPatch) {
			c.Header("Accept-Patch", typeMergePatch)
		}
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
