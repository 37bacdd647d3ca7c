package config_test

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// adapter is an Adapter that nobody calls.
type adapter struct {
	canonical.Adapter
	route string
}

// perMinute is the fake provider's own rate.
var perMinute = section.Rate{Count: 90, Per: time.Minute}

// fake returns a provider that records what it is opened with.
func fake(name string, seen *[]provider.Options) provider.Provider {
	return provider.Provider{Name: name, Open: func(o provider.Options) (provider.Opened, error) {
		if seen != nil {
			*seen = append(*seen, o)
		}
		var settings struct {
			Site int `koanf:"site"`
		}
		var credentials struct {
			APIKey canonical.Secret `koanf:"api_key"`
		}
		var faults section.Faults
		faults.Join(o.DecodeSettings(&settings), o.DecodeCredentials(&credentials))
		if credentials.APIKey == "" {
			faults.Add("credentials.api_key", "is missing")
		}
		if o.BaseURL.Hostname() == "other.example.com" {
			faults.Add("base_url", "is not where the key belongs")
		}
		return provider.Opened{
			Adapter: adapter{route: o.Route},
			Auth:    canonical.Auth{Header: map[string]canonical.Secret{"X-Key": credentials.APIKey}},
			Limit:   provider.DefaultLimit{Rate: perMinute, Burst: 10, Concurrency: 4},
		}, faults.Err()
	}}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	cfg := load(t, config.Source{YAML: []byte(`
routes:
  b: {provider: fake, base_url: https://api.example.com//v1//, credentials: {api_key: kb}, settings: {site: 7}, exclusive: true, required: false, timeout: 3s, breaker: {off: true}, limit: {batch: 7}, retry: {attempts: 1, max_age: 90s}, identity_change: refuse}
  a: {provider: bare, base_url: http://localhost:8080/, settings: {x: {y: z}}}
`)})
	var seen []provider.Options
	bare := provider.Provider{Name: "bare", Open: func(provider.Options) (provider.Opened, error) { return provider.Opened{}, nil }}
	routes, err := config.Open(cfg, []provider.Provider{bare, fake("fake", &seen)})
	if err != nil {
		t.Fatal(err)
	}
	if len(routes) != 2 || routes[0].Name != "a" || routes[1].Name != "b" {
		t.Fatalf("routes = %+v, want a and b", routes)
	}
	base := &url.URL{Scheme: "https", Host: "api.example.com", Path: "//v1"}
	want := config.Route{
		Name: "b", Provider: "fake", Adapter: adapter{route: "b"},
		Auth:      canonical.Auth{Header: map[string]canonical.Secret{"X-Key": "kb"}},
		BaseURL:   base,
		Exclusive: true, Timeout: 3 * time.Second,
		Limit:   config.Limit{Rate: perMinute, Burst: 10, Concurrency: 4},
		Breaker: config.Breaker{Off: true, Window: 30 * time.Second, MinRequests: 20, FailureRatio: 0.5, OpenFor: 15 * time.Second},
		Retry:   config.Retry{Attempts: 1, Base: 200 * time.Millisecond},
		MaxAge:  90 * time.Second, IdentityChange: config.IdentityRefuse, Batch: 7,
	}
	if !reflect.DeepEqual(routes[1], want) {
		t.Errorf("route = %+v, want %+v", routes[1], want)
	}
	wantSeen := []provider.Options{{
		Route: "b", BaseURL: base, Exclusive: true,
		Settings: map[string]any{"site": 7}, Credentials: map[string]canonical.Secret{"api_key": "kb"},
	}}
	if !reflect.DeepEqual(seen, wantSeen) {
		t.Errorf("opened with %+v, want %+v", seen, wantSeen)
	}
	if r := routes[0]; r.MaxAge != 24*time.Hour || r.IdentityChange != config.IdentityWarn || r.Batch != 0 {
		t.Errorf("defaults of a route = %v, %s, %d", r.MaxAge, r.IdentityChange, r.Batch)
	}
	if got, want := routes[0].BaseURL.String(), "http://localhost:8080"; got != want {
		t.Errorf("base URL = %s, want %s", got, want)
	}
}

func TestOpenLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider, limit string
		want            config.Limit
	}{
		{"fake", "{}", config.Limit{Rate: perMinute, Burst: 10, Concurrency: 4}},
		{"fake", "{burst: 3}", config.Limit{Rate: perMinute, Burst: 3, Concurrency: 4}},
		{"fake", "{concurrency: 9}", config.Limit{Rate: perMinute, Burst: 10, Concurrency: 9}},
		{"fake", "{rate: 300/m}", config.Limit{Rate: section.Rate{Count: 300, Per: time.Minute}, Burst: 5, Concurrency: 4}},
		{"fake", "{rate: 90/m}", config.Limit{Rate: perMinute, Burst: 2, Concurrency: 4}},
		{"fake", "{rate: 1/h, burst: 2}", config.Limit{Rate: section.Rate{Count: 1, Per: time.Hour}, Burst: 2, Concurrency: 4}},
		{"fake", "{rate: off}", config.Limit{Burst: 1, Concurrency: 4}},
		{"bare", "{}", config.Limit{Burst: 1, Concurrency: 16}},
		{"bare", "{rate: 2147483647/1ns}", config.Limit{Rate: section.Rate{Count: 2147483647, Per: 1}, Burst: 2147483647, Concurrency: 16}},
	} {
		cfg := load(t, config.Source{YAML: []byte(
			"routes: {a: {provider: " + tt.provider + ", base_url: https://api.example.com, credentials: {api_key: k}, limit: " + tt.limit + "}}"),
		})
		if tt.provider == "bare" {
			delete(cfg.Routes["a"].Credentials, "api_key")
		}
		bare := provider.Provider{Name: "bare", Open: func(provider.Options) (provider.Opened, error) { return provider.Opened{}, nil }}
		routes, err := config.Open(cfg, []provider.Provider{fake("fake", nil), bare})
		if err != nil {
			t.Errorf("%s, %s: %v", tt.provider, tt.limit, err)
			continue
		}
		if got := routes[0].Limit; got != tt.want {
			t.Errorf("%s, %s: limit = %+v, want %+v", tt.provider, tt.limit, got, tt.want)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	cfg := load(t, config.Source{YAML: []byte(`
routes:
  good: {provider: fake, base_url: https://api.example.com, credentials: {api_key: hunter2}}
  near: {provider: fakes, base_url: https://api.example.com}
  far: {provider: unheard-of, base_url: https://api.example.com}
  bad: {provider: fake, base_url: https://other.example.com, credentials: {apikey: hunter2}, settings: {site: hunter2, sites: 1}}
  plain: {provider: broken, base_url: https://api.example.com}
`)})
	broken := provider.Provider{Name: "broken", Open: func(provider.Options) (provider.Opened, error) {
		return provider.Opened{}, errors.New("has a certificate that is out of date")
	}}
	routes, err := config.Open(cfg, []provider.Provider{fake("fake", nil), broken})
	want := strings.Join([]string{
		"routes.bad.base_url: is not where the key belongs",
		"routes.bad.credentials.api_key: is missing",
		`routes.bad.credentials.apikey: is not known here; did you mean "api_key"?`,
		"routes.bad.settings.site: must be a whole number",
		`routes.bad.settings.sites: is not known here; did you mean "site"?`,
		"routes.far.provider: is not a provider; known are broken, fake",
		`routes.near.provider: is not a provider; did you mean "fake"?`,
		"routes.plain: has a certificate that is out of date",
	}, "\n")
	if !errors.As(err, new(section.Faults)) || err.Error() != want || routes != nil {
		t.Errorf("Open = %v and faults\n%v\nwant:\n%s", routes, err, want)
	}
}
