package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"customer-gateway/canonical"
	"customer-gateway/config"
	"customer-gateway/gateway"
	"customer-gateway/gateway/api"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/ledger/sqlite"
	"customer-gateway/gateway/metrics"
	"customer-gateway/gateway/transport"
)

// serveCommand runs the gateway.
func (p *program) serveCommand() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway with a configuration file (see check --example), the environment
(GATEWAY_SERVER__ADDR=:9000) and --set, each over what came before. Logs go to
standard error.

SIGTERM and Ctrl-C end it: /readyz turns false, no new connection is taken,
requests in flight finish, and what is not delivered by then stays in the ledger
(ledger.dsn) for the next start. Exit code 2: the configuration has faults.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, routes, err := p.load(s)
			if err != nil {
				return err
			}
			p.showWarnings(cfg.Warnings())
			p.tuneMemory()
			listener, err := net.Listen("tcp", cfg.Server.Addr)
			if err != nil {
				return fmt.Errorf("cannot listen on server.addr: %w; choose another with --set server.addr=HOST:PORT", err)
			}
			server, err := p.newServer(cmd.Context(), cfg, routes)
			if err != nil {
				_ = listener.Close()
				return err
			}
			return server.serve(cmd.Context(), listener)
		},
	}
	s.register(cmd)
	return cmd
}

// gcPercent lets the heap grow to five times what is in use before it is
// collected. What is in use is a few megabytes and bounded by
// server.max_in_flight; collecting it at every doubling costs a twentieth of the
// throughput.
const gcPercent = 400

// tuneMemory leaves the collector to whoever sets GOGC. GOMEMLIMIT always holds.
func (p *program) tuneMemory() {
	if !slices.ContainsFunc(p.environ, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) {
		debug.SetGCPercent(gcPercent)
	}
}

// server is the whole program, ready to serve.
type server struct {
	http     *http.Server
	gateway  *gateway.Gateway
	store    ledger.Store // nil for a gateway that keeps nothing
	log      *slog.Logger
	shutdown time.Duration
	closing  atomic.Bool
	ending   context.CancelFunc // ends the intake of streams
}

// newServer wires what cfg describes. serve closes what it opens.
func (p *program) newServer(ctx context.Context, cfg *config.Config, routes []config.Route) (*server, error) {
	s := &server{log: p.logger(cfg.Log), shutdown: cfg.Server.ShutdownTimeout}
	m := metrics.New()
	store, err := openLedger(ctx, cfg.Ledger, m, s.log)
	if err != nil {
		return nil, err
	}
	s.store = store
	var opened []gateway.Route
	closeAll := func() {
		for _, r := range opened {
			r.Transport.Close()
		}
		s.closeLedger()
	}
	for _, r := range routes {
		client, err := transport.New(transportConfig(r, cfg.Server.Deadline), r.Auth, alarm{Route: m.Route(r.Name, r.Provider), log: s.log, route: r.Name})
		if err != nil {
			closeAll()
			return nil, err
		}
		opened = append(opened, gatewayRoute(r, client))
	}
	maxWait := cfg.Server.WriteTimeout - cfg.Server.ReadTimeout // at least the deadline
	s.gateway, err = gateway.New(opened, gateway.Options{
		Deadline: cfg.Server.Deadline, MaxWait: maxWait, Observer: m, Log: s.log,
		Store: store, Settle: settle, Latest: cfg.Ledger.Retain == config.RetainLatest,
	})
	if err != nil {
		closeAll()
		return nil, err
	}
	if store != nil {
		m.Backlog(func(context.Context) map[string]gateway.Backlog { return s.gateway.Backlogs() })
		m.LedgerReady(s.gateway.Ready)
	}
	closing, ending := context.WithCancel(context.WithoutCancel(ctx))
	s.ending = ending
	handler := api.New(api.Options{
		Gateway:     s.gateway,
		Keys:        apiKeys(cfg.Auth.Keys),
		Metrics:     m,
		Log:         s.log,
		MaxBody:     int64(cfg.Server.MaxBody),
		MaxInFlight: cfg.Server.MaxInFlight,
		MaxWait:     maxWait,
		PublicURL:   cfg.Server.PublicURL,
		Version:     version(),
		Ready:       s.ready,
		Closing:     closing.Done(),
	})
	s.http = api.NewServer(api.ServerConfig{
		Addr:              cfg.Server.Addr,
		ReadHeaderTimeout: cfg.Server.ReadHeaderTimeout,
		ReadTimeout:       cfg.Server.ReadTimeout,
		WriteTimeout:      cfg.Server.WriteTimeout,
		IdleTimeout:       cfg.Server.IdleTimeout,
		MaxHeader:         int(cfg.Server.MaxHeader),
		Log:               s.log,
	}, handler)
	return s, nil
}

// settle is how long a request may take effect after its time-out; 0 leaves it to
// the gateway and the store. Only tests that cannot wait so long shorten it.
var settle time.Duration

// openLedger opens the configured ledger; nil for none.
func openLedger(ctx context.Context, cfg config.Ledger, m *metrics.Metrics, log *slog.Logger) (ledger.Store, error) {
	if cfg.Driver == config.DriverNone {
		return nil, nil
	}
	keys := make([]ledger.SealKey, 0, len(cfg.Encryption.Keys))
	for _, raw := range cfg.Encryption.Raw() {
		keys = append(keys, ledger.SealKey(raw))
	}
	opened, err := sqlite.Open(ctx, cfg.DSN, sqlite.Options{Log: log, Settle: settle})
	if err != nil {
		return nil, err
	}
	sealed, err := ledger.Sealed(ctx, opened, keys)
	if err != nil {
		_ = opened.Close()
		return nil, err
	}
	return sealed, nil
}

func (s *server) closeLedger() {
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil {
		s.log.Error("closing the ledger", "error", err)
	}
}

func gatewayRoute(r config.Route, client *transport.Client) gateway.Route {
	return gateway.Route{
		Name: r.Name, Adapter: r.Adapter, Transport: client, Required: r.Required,
		MaxAge: r.MaxAge, Base: firstRest * r.Retry.Base, Timeout: r.Timeout, Rate: r.Limit.Rate.PerSecond(), Batch: r.Batch,
		Identity: gateway.IdentityChange(r.IdentityChange),
	}
}

// firstRest is how much longer the first pause of the ledger's schedule may be than
// the first one inside a call.
const firstRest = 10

func transportConfig(r config.Route, deadline time.Duration) transport.Config {
	return transport.Config{
		Route:    r.Name,
		Provider: r.Provider,
		BaseURL:  r.BaseURL,
		Timeout:  r.Timeout,
		Deadline: deadline,
		Limit:    transport.Limit{Rate: r.Limit.Rate.PerSecond(), Burst: r.Limit.Burst, Concurrency: r.Limit.Concurrency},
		Breaker: transport.Breaker{
			Off: r.Breaker.Off, Window: r.Breaker.Window, MinRequests: r.Breaker.MinRequests,
			FailureRatio: r.Breaker.FailureRatio, OpenFor: r.Breaker.OpenFor,
		},
		Retry: transport.Retry{Attempts: r.Retry.Attempts, Base: r.Retry.Base},
	}
}

func apiKeys(keys []config.Key) []api.Key {
	all := make([]api.Key, len(keys))
	for i, k := range keys {
		all[i] = api.Key{Name: k.Name, SHA256: k.SHA256, Read: slices.Contains(k.Scopes, config.ScopeRead), Write: slices.Contains(k.Scopes, config.ScopeWrite)}
		if !slices.Contains(k.Routes, config.AllRoutes) {
			all[i].Routes = k.Routes
		}
	}
	return all
}

// alarm logs what an operator has to know at once, and counts everything.
type alarm struct {
	*metrics.Route
	log   *slog.Logger
	route string
}

// Gate logs a credential that is refused, and its return.
func (a alarm) Gate(gate transport.Gate, closed bool) {
	a.Route.Gate(gate, closed)
	switch {
	case gate != transport.GateCredential:
	case closed:
		a.log.Error("the provider refuses the route's credential; nothing more is sent until it is accepted again", "route", a.route)
	default:
		a.log.Info("the provider accepts the route's credential again", "route", a.route)
	}
}

// Breaker logs a change of the breaker's state.
func (a alarm) Breaker(state transport.BreakerState) {
	a.Route.Breaker(state)
	level := slog.LevelInfo
	if state == transport.BreakerOpen {
		level = slog.LevelWarn
	}
	a.log.Log(context.Background(), level, "circuit breaker", "route", a.route, "state", string(state))
}

func (p *program) logger(cfg config.Log) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.MinLevel()}
	if cfg.Format == "text" {
		return slog.New(slog.NewTextHandler(p.err, opts))
	}
	return slog.New(slog.NewJSONHandler(p.err, opts))
}

// ready reports why no new request should come here.
func (s *server) ready() error {
	if s.closing.Load() {
		return &canonical.Error{Code: canonical.GatewayOverloaded, Message: "the gateway is shutting down"}
	}
	return s.gateway.Ready()
}

// serve answers on listener until ctx ends, then lets requests in flight finish.
func (s *server) serve(ctx context.Context, listener net.Listener) error {
	defer s.closeLedger()
	defer s.gateway.Close()
	defer s.ending()
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(listener) }()
	s.log.Info("serving", "addr", listener.Addr().String(), "version", version())
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	s.closing.Store(true)
	s.ending()
	s.log.Info("shutting down: requests in flight finish first")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.shutdown)
	defer cancel()
	if err := s.http.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		_ = s.http.Close()
		return fmt.Errorf("shutdown: requests were still in flight after server.shutdown_timeout (%s) and were cut off", s.shutdown)
	}
	s.gateway.Shutdown(ctx)
	s.log.Info("bye")
	return nil
}
