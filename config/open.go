package config

import (
	"maps"
	"math"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

// Route is a configured route whose provider is open: what the gateway and its
// transport need to serve it.
type Route struct {
	Name      string
	Provider  string
	Adapter   canonical.Adapter
	Auth      canonical.Auth
	BaseURL   *url.URL // without a slash at the end of its path
	Required  bool
	Exclusive bool
	Timeout   time.Duration // for one attempt, its body included
	Limit     Limit
	Breaker   Breaker
	Retry     Retry
	// MaxAge is how long the ledger tries a state before it gives it up.
	MaxAge time.Duration
	// IdentityChange is IdentityWarn, IdentityRefuse or IdentityFollow.
	IdentityChange string
	// Batch bounds the customers in one request; 0 leaves it to the provider.
	Batch int
}

// Retry is a route's fast repetition inside one call.
type Retry struct {
	Attempts int           // the first included; 1 never repeats
	Base     time.Duration // of the exponential backoff with full jitter
}

// Limit is how much a route may send.
type Limit struct {
	Rate        section.Rate // may be off
	Burst       int          // at least 1
	Concurrency int          // requests at once, at least 1
}

// defaultConcurrency applies where neither the route nor its provider states one.
const defaultConcurrency = 16

// Open opens every route of cfg with its provider and returns the routes sorted
// by name. The error is section.Faults: everything that any provider found.
func Open(cfg *Config, providers []provider.Provider) ([]Route, error) {
	routes, faults := openAll(cfg, providers, func(string) bool { return true })
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return routes, nil
}

// openAll opens the routes that are to be opened.
func openAll(cfg *Config, providers []provider.Provider, wanted func(name string) bool) ([]Route, section.Faults) {
	byName := make(map[string]provider.Provider, len(providers))
	for _, p := range providers {
		byName[p.Name] = p
	}
	var faults section.Faults
	routes := make([]Route, 0, len(cfg.Routes))
	for _, name := range sortedKeys(cfg.Routes) {
		if !wanted(name) {
			continue
		}
		route, err := open(name, cfg.Routes[name], byName)
		if err != nil {
			var found section.Faults
			found.Join(err)
			faults = append(faults, stated(found).Under(section.Key("routes", name))...)
			continue
		}
		routes = append(routes, route)
	}
	return routes, cfg.origins.explain(faults)
}

// stated drops what is said to be needed because what is stated could not be read.
func stated(faults section.Faults) section.Faults {
	times := map[string]int{}
	for _, f := range faults {
		times[f.Key]++
	}
	return slices.DeleteFunc(faults, func(f section.Fault) bool {
		return times[f.Key] > 1 && (strings.HasPrefix(f.Message, "is required") || strings.HasPrefix(f.Message, "is missing"))
	})
}

// sameAccount reports whether two routes write the same records.
func sameAccount(a, b RouteSpec) bool {
	return a.Provider == b.Provider && account(a.BaseURL) == account(b.BaseURL) && maps.Equal(a.Credentials, b.Credentials) &&
		(len(a.Settings) == 0 && len(b.Settings) == 0 || reflect.DeepEqual(a.Settings, b.Settings))
}

// account returns a base URL in the one form of all that mean the same.
func account(raw string) string {
	u, fault := parseBase(raw)
	if fault != "" {
		return raw
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port) + u.EscapedPath()
}

func open(name string, spec RouteSpec, providers map[string]provider.Provider) (Route, error) {
	p, ok := providers[spec.Provider]
	if !ok {
		var faults section.Faults
		faults.Add("provider", "is not a provider; %s", section.Nearest(spec.Provider, providers))
		return Route{}, faults
	}
	base, fault := parseBase(spec.BaseURL)
	if fault != "" {
		return Route{}, section.Fault{Key: "base_url", Message: fault}
	}
	opened, err := p.Open(provider.Options{
		Route:       name,
		BaseURL:     base,
		Exclusive:   spec.Exclusive,
		Settings:    spec.Settings,
		Credentials: spec.Credentials,
	})
	if err != nil {
		return Route{}, err
	}
	route := Route{
		Name:           name,
		Provider:       p.Name,
		Adapter:        opened.Adapter,
		Auth:           opened.Auth,
		BaseURL:        base,
		Required:       spec.Required,
		Exclusive:      spec.Exclusive,
		Timeout:        spec.Timeout,
		Limit:          spec.Limit.over(opened.Limit),
		Breaker:        spec.Breaker,
		Retry:          Retry{Attempts: spec.Retry.Attempts, Base: spec.Retry.Base},
		MaxAge:         spec.Retry.MaxAge,
		IdentityChange: spec.IdentityChange,
	}
	if spec.Limit.Batch != nil {
		route.Batch = *spec.Limit.Batch
	}
	return route, nil
}

// over returns the limit with what it leaves to the provider filled in.
func (l LimitSpec) over(standing provider.DefaultLimit) Limit {
	limit := Limit{Rate: standing.Rate, Burst: standing.Burst, Concurrency: standing.Concurrency}
	if l.Rate != nil {
		// The provider's burst belongs to the provider's rate.
		limit.Rate, limit.Burst = *l.Rate, 0
	}
	if l.Burst != nil {
		limit.Burst = *l.Burst
	}
	if limit.Burst < 1 {
		limit.Burst = max(1, int(math.Ceil(min(limit.Rate.PerSecond(), math.MaxInt32))))
	}
	if l.Concurrency != nil {
		limit.Concurrency = *l.Concurrency
	}
	if limit.Concurrency < 1 {
		limit.Concurrency = defaultConcurrency
	}
	return limit
}
