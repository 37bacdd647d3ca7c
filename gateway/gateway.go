// Package gateway takes one canonical upsert to every route: it lets each
// route's adapter translate it, sends the requests through the route's
// transport, follows them to their end under one deadline, and reports per
// route what became of them.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

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

	// What follows concerns the durable deliveries of a gateway with a ledger.

	// MaxAge is how long a state is tried before it is given up. Default 24h.
	MaxAge time.Duration
	// Base is the ceiling of the first pause between deliveries; it doubles each
	// time, up to an hour. Default 2s.
	Base time.Duration
	// Timeout is that of one request. A delivery of the backlog has time for three
	// that take as long.
	Timeout time.Duration
	// Rate is the route's own limit, in requests per second; 0 for none. Slow
	// routes get more time for a delivery and fewer of them at once.
	Rate float64
	// Batch bounds the customers in one request of an adapter that can take many;
	// 0 for the adapter's own limit, 1 for one at a time.
	Batch int
	// Identity says what follows when the provider's keys of a customer change.
	// Default IdentityWarn.
	Identity IdentityChange
}

// Options adjust a Gateway. The zero value is usable.
type Options struct {
	// Deadline bounds a call whose caller states no wait. Default 10s.
	Deadline time.Duration
	// MaxWait bounds what a caller may state. Default Deadline.
	MaxWait time.Duration
	// Store is the ledger; nil for a gateway that keeps nothing. It must stay open
	// until the gateway is closed.
	Store ledger.Store
	// Latest keeps the newest state of every customer; otherwise the store forgets
	// it once all routes have it.
	Latest bool
	// Settle is how long a request may take effect after its time-out, as the
	// store assumes it. Default 60s.
	Settle time.Duration
	// Observer is told of every route's result; nil for none.
	Observer Observer
	// Log gets one line for each route that failed, without personal data; nil
	// for none.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Observer is told what became of each delivery. It must be quick
// and safe for concurrent use.
type Observer interface {
	// Result ends one route of one upsert; with a ledger, one delivery, of which a
	// state may take many. code is empty if it did not fail.
	Result(route string, status Status, code canonical.Code, took time.Duration)
	// Delivery ends one delivery from the ledger, for a caller or for the
	// backlog. uncounted says that it only waited.
	Delivery(route string, background bool, verdict ledger.Verdict, uncounted bool)
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

	*keeper // nil without a ledger
}

// route is a Route with what the gateway keeps for it.
type route struct {
	Route
	provider string
	batcher  canonical.Batcher // nil if the provider takes one customer a time
	keyer    canonical.Keyer   // nil if no key of the provider's can change
	locks    keyed
	news     chan struct{} // wakes the dispatcher
	held     time.Time     // the last hold that was recorded; keeper.hold guards it
}

// New returns a gateway over routes, whose names must differ. With a store it
// goes on at once with what is due. Close must be called in the end.
func New(routes []Route, opts Options) (*Gateway, error) {
	if opts.Deadline <= 0 {
		opts.Deadline = 10 * time.Second
	}
	if opts.MaxWait <= 0 {
		opts.MaxWait = opts.Deadline
	}
	if opts.Settle <= 0 {
		opts.Settle = time.Minute
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
		g.routes = append(g.routes, newRoute(r))
	}
	slices.SortFunc(g.routes, func(a, b *route) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(g.routes); i++ {
		if g.routes[i].Name == g.routes[i-1].Name {
			return nil, fmt.Errorf("gateway: two routes are named %q", g.routes[i].Name)
		}
	}
	if opts.Store != nil {
		if err := g.openKeeper(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func newRoute(r Route) *route {
	if r.MaxAge <= 0 {
		r.MaxAge = 24 * time.Hour
	}
	if r.Base <= 0 {
		r.Base = 2 * time.Second
	}
	made := &route{Route: r, provider: r.Adapter.Name(), news: make(chan struct{}, 1)}
	made.batcher, _ = r.Adapter.(canonical.Batcher)
	made.keyer, _ = r.Adapter.(canonical.Keyer)
	if made.batcher != nil {
		if limit := made.batcher.BatchLimit(); made.Batch <= 0 || made.Batch > limit {
			made.Batch = limit
		}
		if made.Batch == 1 {
			made.batcher = nil
		}
	}
	return made
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

	accepted func() // called when the upsert is durable; nil for nobody
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
	ctx = context.WithoutCancel(ctx)
	if g.keeper != nil {
		return g.keep(ctx, routes, cmd)
	}
	wait := g.wait(cmd)
	ctx, cancel := context.WithTimeout(ctx, wait-reserve(wait))
	defer cancel()
	return g.pass(ctx, routes, cmd), nil
}

// wait is how long a caller waits.
func (g *Gateway) wait(cmd Command) time.Duration {
	if cmd.Wait <= 0 {
		return min(g.opts.Deadline, g.opts.MaxWait)
	}
	return min(cmd.Wait, g.opts.MaxWait)
}

// pass is an upsert without a ledger: what ctx's end leaves unfinished has failed.
func (g *Gateway) pass(ctx context.Context, routes []*route, cmd Command) *Envelope {
	e := &Envelope{CustomerID: cmd.Customer.ID.Value(), Results: make([]Result, len(routes))}
	base := canonical.NewUpsert(cmd.Customer)
	var turns []chan struct{}
	e.Version, turns = g.line(routes, base.ID)
	e.OperationID = ledger.OperationID(e.Version)
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
	for i := range e.Results {
		g.logFailure(ctx, e.OperationID, &e.Results[i])
	}
	return e
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

// RouteState is a route as GET /v1/routes shows it.
type RouteState struct {
	Name     string          `json:"route"`
	Provider string          `json:"provider"`
	Required bool            `json:"required"`
	State    transport.State `json:"state"`
	Backlog  *Backlog        `json:"backlog,omitempty"` // nil without a ledger
}

// Routes returns the state of every route, in route order.
func (g *Gateway) Routes() []RouteState {
	backlog := g.backlog()
	states := make([]RouteState, len(g.routes))
	for i, r := range g.routes {
		states[i] = r.state(backlog)
	}
	return states
}

// Route returns the state of one route and whether it is configured.
func (g *Gateway) Route(name string) (RouteState, bool) {
	if r := g.find(name); r != nil {
		return r.state(g.backlog()), true
	}
	return RouteState{}, false
}

func (r *route) state(backlog map[string]*Backlog) RouteState {
	s := RouteState{Name: r.Name, Provider: r.provider, Required: r.Required, State: r.Transport.State()}
	if backlog != nil {
		if s.Backlog = backlog[r.Name]; s.Backlog == nil {
			s.Backlog = &Backlog{}
		}
	}
	return s
}

// Close ends the work of every route at once. Upserts must have ended. Deliveries
// that are under way are cut off; the ledger knows of them.
func (g *Gateway) Close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	g.Shutdown(ctx)
}

// Shutdown is a Close that waits for the deliveries under way until ctx ends.
func (g *Gateway) Shutdown(ctx context.Context) {
	if g.keeper != nil {
		g.keeper.close(ctx)
	}
	g.workers.close()
	for _, r := range g.routes {
		r.Transport.Close()
	}
}
