package config_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// least is the smallest configuration that Load takes.
const least = `
routes:
  shop-eu: {provider: fake, base_url: https://api.example.com/v1/}
`

// load fails the test unless src is a configuration.
func load(t *testing.T, src config.Source) *config.Config {
	t.Helper()
	cfg, err := config.Load(src)
	if err != nil {
		t.Fatalf("Load:\n%v", err)
	}
	return cfg
}

func TestLoadDefaults(t *testing.T) {
	t.Parallel()
	got := load(t, config.Source{YAML: []byte(least)})
	want := &config.Config{
		Server: config.Server{
			Addr: ":8080", Deadline: 10 * time.Second, MaxBody: section.MiB, MaxHeader: 64 * section.KiB, MaxInFlight: 1024,
			ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second, WriteTimeout: 30 * time.Second,
			IdleTimeout: 2 * time.Minute, ShutdownTimeout: 20 * time.Second,
		},
		Log:    config.Log{Level: "info", Format: "json"},
		Ledger: config.Ledger{Driver: config.DriverSQLite, DSN: "data/gateway.db", Retain: config.RetainUntilDelivered},
		Routes: map[string]config.RouteSpec{"shop-eu": {
			Provider: "fake", BaseURL: "https://api.example.com/v1/", Required: true, Timeout: 8 * time.Second,
			Breaker: config.Breaker{Window: 30 * time.Second, MinRequests: 20, FailureRatio: 0.5, OpenFor: 15 * time.Second},
			Retry:   config.RetrySpec{Attempts: 3, Base: 200 * time.Millisecond, MaxAge: 24 * time.Hour}, IdentityChange: config.IdentityWarn,
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load =\n%+v, want\n%+v", got, want)
	}
}

func TestLoadOrder(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(`
server: {addr: ":1", deadline: 1s, max_in_flight: 1, max_body: 1KiB}
log: {level: warn}
routes:
  shop-eu:
    provider: fake
    base_url: https://one.example.com
    required: false
    settings: {kept: file, list: [a, b]}
    limit: {rate: 1/s}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := load(t, config.Source{
		Path: file,
		Environ: []string{
			"HOME=/root", "GATEWAY_SERVER__DEADLINE=2s", "GATEWAY_SERVER__MAX_IN_FLIGHT=2", "GATEWAY_SERVER__MAX_BODY=2KiB",
			"GATEWAY_ROUTES__SHOP_EU__LIMIT__RATE=off",
			"GATEWAY_ROUTES__SHOP_EU__LIMIT__BURST=7",
			"GATEWAY_ROUTES__SHOP_EU__SETTINGS__LIST=c",
			"GATEWAY_ROUTES__SHOP_EU__CREDENTIALS__API_KEY=k",
			"GATEWAY_ROUTES__2ND__PROVIDER=fake",
			"GATEWAY_ROUTES__2ND__BASE_URL=http://localhost:1",
			// What Kubernetes adds for services named gateway and gateway-server.
			"GATEWAY_SERVICE_HOST=10.0.0.1", "GATEWAY_SERVICE_PORT=80", "GATEWAY_SERVICE_PORT_HTTP=80", "GATEWAY_PORT=tcp://10.0.0.1:80",
			"GATEWAY_PORT_80_TCP=tcp://10.0.0.1:80", "GATEWAY_PORT_80_TCP_PROTO=tcp", "GATEWAY_SERVER_PORT=tcp://10.0.0.2:80",
		},
		Overrides: map[string]any{
			"server.max_body": "3KiB", "routes.shop-eu.base_url": "https://three.example.com",
			"log": map[string]any{"format": "text"},
		},
	})
	if s := cfg.Server; s.Addr != ":1" || s.Deadline != 2*time.Second || s.MaxInFlight != 2 || s.MaxBody != 3*section.KiB || s.IdleTimeout != 2*time.Minute {
		t.Errorf("server = %+v", s)
	}
	if cfg.Log != (config.Log{Level: "warn", Format: "text"}) || cfg.Log.MinLevel() != slog.LevelWarn {
		t.Errorf("log = %+v, %v", cfg.Log, cfg.Log.MinLevel())
	}
	route := cfg.Routes["shop-eu"]
	if route.Required || route.BaseURL != "https://three.example.com" || !route.Limit.Rate.Off() || *route.Limit.Burst != 7 {
		t.Errorf("route = %+v", route)
	}
	if want := map[string]any{"kept": "file", "list": "c"}; !reflect.DeepEqual(route.Settings, want) {
		t.Errorf("settings = %v, want %v", route.Settings, want)
	}
	if want := map[string]canonical.Secret{"api_key": "k"}; !reflect.DeepEqual(route.Credentials, want) {
		t.Errorf("credentials differ from those of the environment")
	}
	if r := cfg.Routes["2nd"]; r.Provider != "fake" || !r.Required || r.Timeout != 8*time.Second {
		t.Errorf("route from the environment alone = %+v", r)
	}
}

// A program that starts its own providers configures their routes by overrides
// alone, with Go's types.
func TestLoadOverridesAlone(t *testing.T) {
	t.Parallel()
	type id int64
	cfg := load(t, config.Source{Overrides: map[string]any{
		"routes.shop-eu":             map[string]any{"provider": "fake", "base_url": "http://127.0.0.1:8080", "timeout": 2 * time.Second},
		"routes.shop-eu.credentials": map[string]string{"api_key": "k"},
		"routes.shop-eu.settings":    map[string]any{"site": id(7), "list": []string{"a"}},
	}})
	want := config.RouteSpec{
		Provider: "fake", BaseURL: "http://127.0.0.1:8080", Required: true, Timeout: 2 * time.Second,
		Credentials: map[string]canonical.Secret{"api_key": "k"},
		Settings:    map[string]any{"site": id(7), "list": []string{"a"}},
		Breaker:     config.Breaker{Window: 30 * time.Second, MinRequests: 20, FailureRatio: 0.5, OpenFor: 15 * time.Second},
		Retry:       config.RetrySpec{Attempts: 3, Base: 200 * time.Millisecond, MaxAge: 24 * time.Hour}, IdentityChange: config.IdentityWarn,
	}
	if got := cfg.Routes["shop-eu"]; !reflect.DeepEqual(got, want) {
		t.Errorf("route = %+v, want %+v", got, want)
	}
}

func TestLoadAuth(t *testing.T) {
	t.Parallel()
	digest := sha256.Sum256([]byte("k"))
	cfg := load(t, config.Source{
		YAML: []byte(least + `
auth:
  keys:
    - {name: shop, sha256: "${env:DIGEST}", scopes: [read, write], routes: ["*"]}
    - {name: report, sha256: 2C26B46B68FFC68FF99B453C1D30413413422D706483BFA0F98A5E886266E7AE, scopes: [read], routes: [shop-eu]}
`),
		Environ: []string{"DIGEST=" + config.Digest(digest).String()},
	})
	want := []config.Key{
		{Name: "shop", SHA256: digest, Scopes: []string{"read", "write"}, Routes: []string{"*"}},
		{Name: "report", SHA256: sha256.Sum256([]byte("foo")), Scopes: []string{"read"}, Routes: []string{"shop-eu"}},
	}
	if !reflect.DeepEqual(cfg.Auth.Keys, want) {
		t.Errorf("keys = %v, want %v", cfg.Auth.Keys, want)
	}
}

func TestLoadLedger(t *testing.T) {
	t.Parallel()
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 32)
	base64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	cfg := load(t, config.Source{
		YAML: []byte(least + `
ledger: {dsn: /var/lib/gateway/ledger.db, retain: latest, encryption: {keys: ["${env:NEW}", "${env:OLD}"]}}
`),
		Environ: []string{"NEW=" + base64(first), "OLD=" + base64(second)},
	})
	l := cfg.Ledger
	if l.Driver != config.DriverSQLite || l.DSN != "/var/lib/gateway/ledger.db" || l.Retain != config.RetainLatest {
		t.Errorf("ledger = %+v", l)
	}
	if raw := l.Encryption.Raw(); len(raw) != 2 || string(raw[0]) != first || string(raw[1]) != second {
		t.Errorf("%d keys, or others than those that were stated", len(raw))
	}
	if shown := fmt.Sprintf("%v %+v %#v", l, l, l); strings.Contains(shown, base64(first)) {
		t.Errorf("a key is printed: %s", shown)
	}

	cfg = load(t, config.Source{
		YAML: []byte(least),
		Environ: []string{
			"GATEWAY_LEDGER__DRIVER=none", "GATEWAY_LEDGER__DSN=", "GATEWAY_LEDGER__RETAIN=latest",
			"GATEWAY_LEDGER__ENCRYPTION__KEYS=" + base64(first) + "," + base64(second),
			"GATEWAY_ROUTES__SHOP_EU__RETRY__MAX_AGE=72h", "GATEWAY_ROUTES__SHOP_EU__IDENTITY_CHANGE=follow", "GATEWAY_ROUTES__SHOP_EU__LIMIT__BATCH=1",
		},
	})
	if l := cfg.Ledger; l.Driver != config.DriverNone || l.Retain != config.RetainLatest || len(l.Encryption.Raw()) != 2 {
		t.Errorf("ledger from the environment = %+v", l)
	}
	if r := cfg.Routes["shop-eu"]; r.Retry.MaxAge != 72*time.Hour || r.IdentityChange != config.IdentityFollow || *r.Limit.Batch != 1 {
		t.Errorf("route from the environment = %+v", r)
	}
}

func TestLoadReferences(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, data := range map[string]string{"unix": "from file\n", "dos": "from dos\r\n", "spaced": " x ", "like": "${env:A}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := load(t, config.Source{
		YAML: []byte(strings.ReplaceAll(`
server: {deadline: "${env:DEADLINE}"}
routes:
  shop-eu:
    provider: fake
    base_url: ${env:URL}
    credentials:
      literal: "a$b{c}"
      variable: "${env:A}"
      inside: "${env:A}:${env:A}@${file:DIR/unix}!"
      unix: ${file:DIR/unix}
      dos: ${file:DIR/dos}
      spaced: ${file:DIR/spaced}
      like: ${file:DIR/like}
      absent: null
    settings: {list: ["${env:A}", plain], deep: {er: "${env:A}"}, number: 5}
`, "DIR", dir)),
		Environ: []string{"A=alpha=1", "DEADLINE=3s", "URL=https://api.example.com"},
	})
	route := cfg.Routes["shop-eu"]
	want := map[string]canonical.Secret{
		"literal": "a$b{c}", "variable": "alpha=1", "inside": "alpha=1:alpha=1@from file!",
		"unix": "from file", "dos": "from dos", "spaced": " x ", "like": "${env:A}",
	}
	for name, secret := range route.Credentials {
		if secret != want[name] {
			t.Errorf("credential %s = %q, want %q", name, secret.Reveal(), want[name].Reveal())
		}
	}
	if len(route.Credentials) != len(want) {
		t.Errorf("%d credentials, want %d", len(route.Credentials), len(want))
	}
	if cfg.Server.Deadline != 3*time.Second || route.BaseURL != "https://api.example.com" {
		t.Errorf("deadline %v, base URL %s", cfg.Server.Deadline, route.BaseURL)
	}
	settings := map[string]any{"list": []any{"alpha=1", "plain"}, "deep": map[string]any{"er": "alpha=1"}, "number": 5}
	if !reflect.DeepEqual(route.Settings, settings) {
		t.Errorf("settings = %#v, want %#v", route.Settings, settings)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	cfg := load(t, config.Source{YAML: []byte(`
server: {shutdown_timeout: 1s}
routes:
  a: {provider: fake, base_url: http://api.example.com, breaker: {off: true}}
  b: {provider: fake, base_url: http://127.0.0.2:80}
  c: {provider: fake, base_url: "http://[::1]"}
  d: {provider: fake, base_url: http://shop.localhost/x}
  e: {provider: fake, base_url: https://api.example.com}
  f: {provider: fake, base_url: "https://API.example.com:443/"}
`)})
	got := section.Faults(cfg.Warnings()).Error()
	want := strings.Join([]string{
		"auth.keys: is empty: whoever reaches the server may read and write customers",
		"routes.a.base_url: is plain http: credentials and customers travel unencrypted",
		"routes.a.breaker.off: is true: every call waits for a provider that is down",
		"routes.f: is the same account as routes.e, with the same provider, base_url, credentials and settings: every customer is written twice",
		"server.shutdown_timeout: is shorter than server.deadline: a shutdown may cut off requests in flight",
	}, "\n")
	if got != want {
		t.Errorf("warnings:\n%s\nwant:\n%s", got, want)
	}
}

func TestLoadFileFaults(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	if err := os.WriteFile(huge, make([]byte, 4<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		src  config.Source
		want string
	}{
		{"absent", config.Source{Path: filepath.Join(dir, "none.yaml")}, "configuration file DIR/none.yaml does not exist"},
		{"directory", config.Source{Path: dir}, "configuration file DIR cannot be read: is a directory"},
		{"huge", config.Source{Path: huge}, "configuration file DIR/huge.yaml is longer than 4MiB"},
		{"syntax", config.Source{YAML: []byte("server: {addr: x\nlog: hunter2")}, "line 1: the configuration file is not good YAML: did not find expected ',' or '}'; separate values by commas, and close the bracket"},
		{"late syntax", config.Source{Path: "gateway.yaml", YAML: []byte("server:\n  addr: :1\n  deadline: 1s\n  max_body: 'a'b\nlog: hunter2\n")}, "gateway.yaml:4: the configuration file is not good YAML: did not find expected key; indent all keys of a section alike, and put a value that goes on after a quote in quotes as a whole"},
		{"tab", config.Source{Path: "gateway.yaml", YAML: []byte("server:\n  addr: :1\n\tdeadline: 1s\n")}, "gateway.yaml:3: the configuration file is not good YAML: found a tab character that violates indentation; indent with spaces, not tabs"},
		{"sign", config.Source{Path: "gateway.yaml", YAML: []byte("server: {}\nlog: @x\n")}, "gateway.yaml:2: the configuration file is not good YAML: found character that cannot start any token; indent with spaces, not tabs, and put a value that begins with @, `, % or a tab in quotes"},
		{"colon", config.Source{Path: "gateway.yaml", YAML: []byte("# x\nserver:\n  addr: a: b\n")}, "gateway.yaml:3: the configuration file is not good YAML: mapping values are not allowed in this context; indent all keys of a section alike, and put a value that holds a colon and a space in quotes"},
		{"no colon", config.Source{Path: "gateway.yaml", YAML: []byte("server:\n  addr: b\n  deadline\nlog: {}\n")}, "gateway.yaml:3: the configuration file is not good YAML: could not find expected ':'; write KEY: VALUE, with a space after the colon"},
		{"open quote", config.Source{Path: "gateway.yaml", YAML: []byte("server:\n  addr: \"b\nlog: {}\n")}, "gateway.yaml:2: the configuration file is not good YAML: found unexpected end of stream; close the quotes"},
		{"duplicate key", config.Source{Path: "gateway.yaml", YAML: []byte("log: {}\nserver: {}\nlog: {}\nserver: {}")}, "gateway.yaml:3: the configuration file is not good YAML: mapping key \"log\" already defined at line 1; state it once\ngateway.yaml:4: the configuration file is not good YAML: mapping key \"server\" already defined at line 2; state it once"},
		{"scalar", config.Source{YAML: []byte("hunter2")}, "line 1: the configuration file is not a mapping of keys to values; begin with a section, such as routes:"},
		{"list", config.Source{YAML: []byte("- hunter2")}, "line 1: the configuration file is not a mapping of keys to values; begin with a section, such as routes:"},
		{"star", config.Source{YAML: []byte("routes: {a: {credentials: {k: *hunter2}}}")}, "line 1: the configuration file is not good YAML: unknown anchor … referenced; put a value that begins with * in quotes, or define the anchor before"},
		{"odd key", config.Source{YAML: []byte("[hunter2]: x")}, "line 1: the configuration file has a mapping key that is not a text; put the key in quotes"},
		{"two documents", config.Source{Path: "gateway.yaml", YAML: []byte("# x\n---\nlog: {}\n--- # y\nserver: {}")}, "gateway.yaml:4: the configuration file has more than one YAML document; leave out the line ---"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(tt.src)
			if !errors.As(err, new(section.Faults)) {
				t.Fatalf("Load = %v, want Faults", err)
			}
			if got := strings.ReplaceAll(err.Error(), dir, "DIR"); got != tt.want {
				t.Errorf("Load = %s\nwant   %s", got, tt.want)
			}
		})
	}
}
