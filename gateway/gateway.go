// Package gateway takes one canonical upsert to every route: it lets each
// route's adapter translate it, sends the requests through the route's
// transport, follows them to their end under one deadline, and reports per
// route what became of them.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// Route is one configured instance of a provider.
type Route struct {
	Name      string
	Adapter   canonical.Adapter
	Transport *transport.Client
	Required  bool // handling=strict fails the whole call when this route fails
}

// Options adjust a Gateway. The zero value is usable.
type Options struct {
	// Deadline bounds a call whose caller states no wait. Default 10s.
	Deadline time.Duration
	// MaxWait bounds what a caller may state. Default Deadline.
	MaxWait time.Duration
	// Observer is told of every route's result; nil for none.
	Observer Observer
	// Log gets one line for each route that failed, without personal data; nil
	// for none.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Observer is told what became of each route of each upsert. It must be quick
// and safe for concurrent use.
type Observer interface {
	// Result ends one route of one upsert. code is empty if it did not fail.
	Result(route string, status Status, code canonical.Code, took time.Duration)
}

// maxIdle is how many goroutines wait for the next upsert.
const maxIdle = 64

// Gateway fans upserts out. It is safe for concurrent use.
type Gateway struct {
	opts    Options
	routes  []*route // sorted by name
	workers *workers

	accept  sync.Mutex // held while an upsert takes its version and its places
	version int64
}

// route is a Route with what the gateway keeps for it.
type route struct {
	Route
	provider string
	locks    keyed
}

// New returns a gateway over routes, whose names must differ.
func New(routes []Route, opts Options) (*Gateway, error) {
	if opts.Deadline <= 0 {
		opts.Deadline = 10 * time.Second
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = opts.Deadline
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{opts: opts, workers: newWorkers(maxIdle)}
	for _, r := range routes {
		if r.Adapter == nil || r.Transport == nil {
			return nil, fmt.Errorf("gateway: route %q has no adapter or no transport", r.Name)
		}
		g.routes = append(g.routes, &route{Route: r, provider: r.Adapter.Name()})
	}
	slices.SortFunc(g.routes, func(a, b *route) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(g.routes); i++ {
		if g.routes[i].Name == g.routes[i-1].Name {
			return nil, fmt.Errorf("gateway: two routes are named %q", g.routes[i].Name)
		}
	}
	return g, nil
}

// Command is one upsert.
type Command struct {
	Customer *canonical.Customer // validated
	// Body is the JSON that Customer was decoded from; the ledger keeps it. It
	// must not be modified afterwards. Without a ledger it is not needed.
	Body []byte
	// Routes narrows the upsert; nil means every route.
	Routes []string
	// Wait is how long the caller wants to wait; 0 means the configured deadline.
	Wait time.Duration
	// Async answers as soon as the upsert is durable. It needs a ledger.
	Async bool
	// Strict refuses what a provider cannot hold instead of reporting it.
	Strict bool
	// Match is a precondition on the customer's version. It needs a ledger.
	Match ledger.Match
	// Key resumes the operation that it named before; nil for none. It is ignored
	// without a ledger.
	Key *ledger.Key
}

// reserve is kept of the deadline for writing the answer, also on a machine that
// is busy: a tenth, at most a quarter of a second.
func reserve(deadline time.Duration) time.Duration {
	return min(deadline/10, 250*time.Millisecond)
}

// Upsert sends the customer to the routes and returns what became of it at each,
// in route order, before the deadline. The error is an *canonical.Error and
// means that nothing was sent.
//
// A caller who goes away does not stop the upsert: half a fan-out would be worse
// than a finished one that nobody reads. ctx carries values, not the deadline.
func (g *Gateway) Upsert(ctx context.Context, cmd Command) (*Envelope, error) {
	routes, err := g.pick(cmd.Routes)
	if err != nil {
		return nil, err
	}
	wait := cmd.Wait
	if wait <= 0 {
		wait = g.opts.Deadline
	}
	wait = min(wait, g.opts.MaxWait)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait-reserve(wait))
	defer cancel()

	e := &Envelope{
		OperationID: "op_" + ulid.Make().String(),
		CustomerID:  cmd.Customer.ID.Value(),
		Results:     make([]Result, len(routes)),
	}
	base := canonical.NewUpsert(cmd.Customer)
	var turns []chan struct{}
	e.Version, turns = g.line(routes, base.ID)
	var wg sync.WaitGroup
	wg.Add(len(routes) - 1)
	for i, r := range routes[1:] {
		g.workers.run(func() {
			defer wg.Done()
			g.deliver(ctx, r, turns[i+1], &base, cmd.Strict, &e.Results[i+1])
		})
	}
	g.deliver(ctx, routes[0], turns[0], &base, cmd.Strict, &e.Results[0])
	wg.Wait()
	e.Outcome = outcomeOf(e.Results)
	g.logFailures(ctx, e)
	return e, nil
}

// pick returns the named routes in route order, or all.
func (g *Gateway) pick(names []string) ([]*route, error) {
	if len(g.routes) == 0 {
		return nil, &canonical.Error{Code: canonical.RequestNotFound, Message: "no route is configured"}
	}
	if names == nil {
		return g.routes, nil
	}
	picked := make([]*route, 0, len(names))
	var unknown []canonical.FieldError
	for _, name := range names {
		r := g.find(name)
		switch {
		case r == nil:
			unknown = append(unknown, canonical.FieldError{Field: "routes", Code: canonical.FieldInvalid, Message: fmt.Sprintf("there is no route %.63q; GET /v1/routes lists them", name)})
		case !slices.Contains(picked, r):
			picked = append(picked, r)
		}
	}
	if unknown != nil || len(picked) == 0 {
		return nil, &canonical.Error{Code: canonical.RequestNotFound, Message: "the query parameter routes names a route that is not configured", Fields: unknown}
	}
	slices.SortFunc(picked, func(a, b *route) int { return strings.Compare(a.Name, b.Name) })
	return picked, nil
}

func (g *Gateway) find(name string) *route {
	i, ok := slices.BinarySearchFunc(g.routes, name, func(r *route, name string) int { return strings.Compare(r.Name, name) })
	if !ok {
		return nil
	}
	return g.routes[i]
}

// line gives an upsert its version and its place at every route, in one step: one
// upsert of a customer at a time is under way at a route, in the order of their
// versions, so that an older state never overtakes a newer one. A version is
// larger than every one before it in this process, and grows with time across
// processes.
func (g *Gateway) line(routes []*route, id string) (version int64, turns []chan struct{}) {
	turns = make([]chan struct{}, len(routes))
	g.accept.Lock()
	defer g.accept.Unlock()
	for i, r := range routes {
		turns[i] = r.locks.join(id)
	}
	g.version = max(g.version+1, g.opts.Now().UnixMicro())
	return g.version, turns
}

// deliver takes the upsert to one route and fills in its result.
func (g *Gateway) deliver(ctx context.Context, r *route, turn chan struct{}, base *canonical.Upsert, strict bool, result *Result) {
	started := time.Now()
	result.Route, result.Provider, result.Required = r.Name, r.provider, r.Required
	defer func() {
		r.locks.leave(base.ID, turn)
		if p := recover(); p != nil {
			result.fail(&canonical.Error{Code: canonical.GatewayInternal, Provider: r.provider, Message: "an unexpected error occurred", Err: fmt.Errorf("panic: %T", p)}, false)
		}
		if g.opts.Observer != nil {
			var code canonical.Code
			if result.Err != nil {
				code = result.Err.Code
			}
			g.opts.Observer.Result(r.Name, result.Status, code, time.Since(started))
		}
	}()
	u := base.For(r.Name, r.provider, "")
	request, notices, err := r.Adapter.Translate(u)
	if err == nil && strict {
		err = refuseLosses(r.provider, notices)
	}
	if err != nil {
		result.fail(canonical.AsError(err), false)
		return
	}
	result.Warnings = notices
	if err := wait(ctx, turn); err != nil {
		result.fail(&canonical.Error{Code: canonical.RouteDeadline, Provider: r.provider, Op: request.Op, Message: "an earlier upsert of this customer took all the time", Err: err}, false)
		return
	}
	r.follow(ctx, &u, request, result)
}

// maxSteps bounds the requests of one upsert to one route.
const maxSteps = 8

// follow sends request and what comes after it, to the end.
func (r *route) follow(ctx context.Context, u *canonical.Upsert, request *canonical.Request, result *Result) {
	for range maxSteps {
		sent := request
		got := r.Transport.Do(ctx, sent, func(reply *canonical.Reply) (canonical.Outcome, error) {
			return r.Adapter.Interpret(*u, sent, reply)
		})
		result.Attempts += got.Attempts
		result.Warnings = append(result.Warnings, got.Outcome.Notices...)
		if got.Outcome.RemoteID != "" {
			result.RemoteID = got.Outcome.RemoteID
		}
		if got.Err != nil {
			result.fail(got.Err, sent.Method != http.MethodGet && got.Err.Op == sent.Op)
			return
		}
		if got.Outcome.Next == nil {
			result.succeed(got.Outcome.Action)
			return
		}
		request = got.Outcome.Next
	}
	result.fail(&canonical.Error{Code: canonical.UpstreamInvalidResponse, Provider: r.provider, Op: request.Op, Message: fmt.Sprintf("the provider's answers led to more than %d requests", maxSteps)}, false)
}

// refuseLosses turns what would be lost into a refusal.
func refuseLosses(provider string, notices []canonical.Notice) error {
	var lost []canonical.FieldError
	for _, n := range notices {
		if n.Code.Lossy() {
			lost = append(lost, canonical.FieldError{Pointer: n.Pointer, Field: n.Field, Code: canonical.FieldUnsupported, Message: n.Message})
		}
	}
	if lost == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.MappingLossy, Provider: provider, Fields: lost,
		Message: fmt.Sprintf("%s cannot hold everything that is stated, and strict handling was asked for: see errors", provider)}
}

// logFailures writes a line for every failed route: codes and ids, no data.
func (g *Gateway) logFailures(ctx context.Context, e *Envelope) {
	for i := range e.Results {
		res := &e.Results[i]
		if res.Err == nil {
			continue
		}
		level := slog.LevelWarn
		if res.Err.Code.Info().Acts == canonical.ActsCaller {
			level = slog.LevelInfo
		}
		if res.Err.Code == canonical.GatewayInternal {
			level = slog.LevelError
		}
		if !g.opts.Log.Enabled(ctx, level) {
			continue
		}
		attrs := []slog.Attr{
			slog.String("operation", e.OperationID), slog.String("route", res.Route), slog.String("provider", res.Provider),
			slog.String("status", string(res.Status)), slog.String("code", string(res.Err.Code)), slog.String("op", res.Err.Op),
			slog.Int("upstreamStatus", res.Err.Status), slog.String("upstreamCode", res.Err.UpstreamCode),
			slog.String("upstreamRequestId", res.Err.RequestID), slog.Int("attempts", res.Attempts),
		}
		if s, ok := errors.AsType[interface {
			error
			Stack() []byte
		}](res.Err.Err); ok {
			attrs = append(attrs, slog.String("stack", string(s.Stack())))
		}
		g.opts.Log.LogAttrs(ctx, level, "route failed", attrs...)
	}
}

// RouteState is a route as GET /v1/routes shows it.
type RouteState struct {
	Name     string          `json:"route"`
	Provider string          `json:"provider"`
	Required bool            `json:"required"`
	State    transport.State `json:"state"`
}

// Routes returns the state of every route, in route order.
func (g *Gateway) Routes() []RouteState {
	states := make([]RouteState, len(g.routes))
	for i, r := range g.routes {
		states[i] = r.state()
	}
	return states
}

// Route returns the state of one route and whether it is configured.
func (g *Gateway) Route(name string) (RouteState, bool) {
	if r := g.find(name); r != nil {
		return r.state(), true
	}
	return RouteState{}, false
}

func (r *route) state() RouteState {
	return RouteState{Name: r.Name, Provider: r.provider, Required: r.Required, State: r.Transport.State()}
}

// Close ends the background work of every route. Upserts must have ended.
func (g *Gateway) Close() {
	g.workers.close()
	for _, r := range g.routes {
		r.Transport.Close()
	}
}
