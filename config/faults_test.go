package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"customer-gateway/config"
	"customer-gateway/config/section"
)

// route returns a configuration of one good route with the lines added to it.
func route(lines ...string) string {
	return "routes:\n  a:\n    provider: fake\n    base_url: https://api.example.com\n    " + strings.Join(lines, "\n    ")
}

// key returns a configuration of one good route and these API keys.
func keys(lines ...string) string {
	return route() + "\nauth:\n  keys:\n    - " + strings.Join(lines, "\n    - ")
}

// baseURL returns a configuration of one route with this base URL.
func baseURL(url string) string {
	return "routes: {a: {provider: fake, base_url: " + `"` + url + `"}}`
}

// Digests of the texts foo, bar and of no text.
const (
	foo     = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
	bar     = "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
	nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// bySchema matches the faults that the schema finds too: unknown keys, types,
// closed sets and ranges.
var bySchema = regexp.MustCompile(`is not known here|is not a route name|: must be (a |an |the SHA|true|more|at least 1$|from 1|sqlite|json|debug|until|read|warn|host:port|32 bytes|1 to 63)`)

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	schema, checked := compileSchema(t), atomic.Int64{}
	t.Cleanup(func() {
		if n := checked.Load(); n < 25 {
			t.Errorf("the schema was tried with %d files", n)
		}
	})
	const (
		text       = "must be a text; put it in quotes"
		mapping    = "must be a mapping of keys to values"
		duration   = "must be a duration with its unit, such as 200ms, 8s or 1m30s"
		notRoute   = "is not a route name: use 1 to 63 of a-z, 0-9 and -, not beginning with -"
		noRoute    = "routes: has no route; add one: routes: {NAME: {provider: …, base_url: https://…, credentials: {…}}}"
		noBase     = "is missing; state what the URLs of the provider's API begin with"
		noProvider = "is missing; name the provider, as `customer-gateway check --example` does"
		noURL      = "must be an absolute URL that begins with https:// or http://"
		digest     = `must be the SHA-256 of the key in 64 hexadecimal digits: printf %s "$KEY" | sha256sum`
		setsNone   = "is an environment variable that sets nothing; two underscores separate the levels of a key, as in GATEWAY_SERVER__ADDR"
		notKeyName = "must be 1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit"
		noReal     = "has a ${ that begins no reference; write ${env:NAME} or ${file:/path}, also for a value that really holds ${"
		beside     = "has a reference beside other text; outside credentials it must be the whole value"
		control    = "holds a line break or another control character"
		noFile     = "must be the path of a file, such as data/gateway.db"
		noKey      = "must be 32 bytes in base64: openssl rand -base64 32"
		known      = "known are auth, ledger, log, routes, server"
		routeKeys  = "known are base_url, breaker, credentials, exclusive, identity_change, limit, provider, required, retry, settings, timeout"
	)
	dir := t.TempDir()
	for name, data := range map[string]string{"empty": "\n", "lines": "hunter2\n\n", "huge": strings.Repeat("x", 64<<10+1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name      string
		yaml      string
		environ   []string
		overrides map[string]any
		want      []string
	}{
		{name: "nothing", want: []string{noRoute}},
		{name: "only comments", yaml: "# routes:\n", want: []string{noRoute}},
		{name: "null routes", yaml: "routes:\n", want: []string{noRoute}},
		{name: "routes are a list", yaml: "routes: [a, b]", want: []string{"routes: " + mapping}},
		{name: "route is a text", yaml: "routes: {a: fake}", want: []string{"routes.a: " + mapping}},
		{name: "route is null", yaml: "routes: {a: }", want: []string{"routes.a.base_url: " + noBase, "routes.a.provider: " + noProvider}},
		{name: "route names", yaml: "routes: {A: {}, -a: {}, a_b: {}, 'a.b': {}, '': {}, " + strings.Repeat("x", 64) + ": {}, 7: {provider: x, base_url: http://x}}",
			want: []string{
				`routes."": ` + notRoute, `routes."".base_url: ` + noBase, `routes."".provider: ` + noProvider,
				`routes."a.b": ` + notRoute, `routes."a.b".base_url: ` + noBase, `routes."a.b".provider: ` + noProvider,
				"routes.-a: " + notRoute, "routes.-a.base_url: " + noBase, "routes.-a.provider: " + noProvider,
				"routes.A: " + notRoute, "routes.A.base_url: " + noBase, "routes.A.provider: " + noProvider,
				"routes.a_b: " + notRoute, "routes.a_b.base_url: " + noBase, "routes.a_b.provider: " + noProvider,
				"routes." + strings.Repeat("x", 64) + ": " + notRoute, "routes." + strings.Repeat("x", 64) + ".base_url: " + noBase,
				"routes." + strings.Repeat("x", 64) + ".provider: " + noProvider,
			}},
		{name: "unknown sections", yaml: route() + "\nserve: {}\nmetrics: {}\n", want: []string{
			"metrics: is not known here; " + known, `serve: is not known here; did you mean "server"?`,
		}},
		{name: "unknown keys", yaml: "server: {adr: x}\nlog: {Level: info}\nledger: {dns: x}\nauth: {key: []}\n" + route("time-out: 8s", "limit: {rps: 5}", "breaker: {open-for: 1s}"),
			want: []string{
				`auth.key: is not known here; did you mean "keys"?`,
				`ledger.dns: is not known here; did you mean "dsn"?`,
				`log.Level: is not known here; did you mean "level"?`,
				`routes.a.breaker.open-for: is not known here; did you mean "open_for"?`,
				"routes.a.limit.rps: is not known here; known are batch, burst, concurrency, rate",
				`routes.a.time-out: is not known here; did you mean "timeout"?`,
				`server.adr: is not known here; did you mean "addr"?`,
			}},
		{name: "keys of later versions", yaml: route("when: 'true'", "map: {}"), want: []string{
			"routes.a.map: is not known here; " + routeKeys,
			"routes.a.when: is not known here; " + routeKeys,
		}},
		{name: "ledger", yaml: route() + "\nledger: {driver: mysql, retain: ever}", want: []string{
			"ledger.driver: must be sqlite or none", "ledger.retain: must be until_delivered or latest",
		}},
		{name: "postgres", yaml: route() + "\nledger: {driver: postgres, dsn: 'postgres://me:hunter2@db'}", want: []string{"ledger.driver: must be sqlite or none: postgres does not exist in this version"}},
		{name: "no database", yaml: route() + "\nledger: {dsn: ''}", want: []string{"ledger.dsn: is empty; name the database file, such as data/gateway.db"}},
		{name: "database in memory", yaml: route() + "\nledger: {dsn: ':memory:'}", want: []string{"ledger.dsn: " + noFile}},
		{name: "database as a URI", yaml: route() + "\nledger: {dsn: 'file:gateway.db?mode=rwc'}", want: []string{"ledger.dsn: " + noFile}},
		{name: "database with a query", yaml: route() + "\nledger: {dsn: 'gateway.db?mode=rwc'}", want: []string{"ledger.dsn: must be the path of a file, without ? or #"}},
		{name: "encryption", yaml: route() + "\nledger: {encryption: {keys: [hunter2, '${env:NONE}', '${env:SHORT}', '${env:KEY}', '${env:KEY}', '']}}",
			environ: []string{"SHORT=aHVudGVyMg==", "KEY=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="}, want: []string{
				"ledger.encryption.keys[0]: " + noKey, "ledger.encryption.keys[1]: refers to ${env:NONE}, which is not set",
				"ledger.encryption.keys[2]: " + noKey, "ledger.encryption.keys[4]: is the same key as ledger.encryption.keys[3]; state every key once", "ledger.encryption.keys[5]: " + noKey,
			}},
		{name: "delivery", yaml: route("retry: {max_age: 59s}", "limit: {batch: 0}", "identity_change: ignore"), want: []string{
			"routes.a.identity_change: must be warn, refuse or follow", "routes.a.limit.batch: must be at least 1",
			"routes.a.retry.max_age: must be at least 1m: it is how long the ledger tries before it gives up",
		}},
		{name: "log", yaml: route() + "\nlog: {level: trace, format: xml}", want: []string{"log.format: must be json or text", "log.level: must be debug, info, warn or error"}},
		{name: "server types", yaml: "server: {addr: 8080, deadline: 10, max_body: 1MB, max_in_flight: many}\n" + route(), want: []string{
			"server.addr: " + text, "server.deadline: " + duration,
			"server.max_body: must be a size in bytes, such as 1048576, 512KiB, 1MiB or 2GiB", "server.max_in_flight: must be a whole number",
		}},
		{name: "server ranges", yaml: "server: {addr: localhost, deadline: 0s, max_body: 0, max_header: 1023, max_in_flight: 0, read_header_timeout: -1s, read_timeout: 0, idle_timeout: 0, shutdown_timeout: 0}\n" + route(),
			want: []string{
				`server.addr: must be host:port, such as ":8080" or "127.0.0.1:8080"`,
				"server.deadline: must be more than 0", "server.idle_timeout: must be more than 0", "server.max_body: must be more than 0",
				"server.max_header: must be at least 1KiB", "server.max_in_flight: must be at least 1", "server.read_header_timeout: must be more than 0",
				"server.read_timeout: must be more than 0", "server.shutdown_timeout: must be more than 0",
			}},
		{name: "port", yaml: "server: {addr: ':65536'}\n" + route(), want: []string{"server.addr: must end in a port from 0 to 65535"}},
		{name: "write timeout", yaml: "server: {deadline: 15001ms}\n" + route(), want: []string{"server.write_timeout: must be at least server.read_timeout and server.deadline together (30.001s), or answers are cut off"}},
		{name: "public url", yaml: "server: {public_url: gateway.example.com}\n" + route(), want: []string{"server.public_url: " + noURL}},
		{name: "server is a list", yaml: "server: []\n" + route(), want: []string{"server: " + mapping}},

		{name: "base url relative", yaml: baseURL("/v1"), want: []string{"routes.a.base_url: " + noURL}},
		{name: "base url without scheme", yaml: baseURL("api.example.com/v1"), want: []string{"routes.a.base_url: " + noURL}},
		{name: "base url of another scheme", yaml: baseURL("ftp://api.example.com"), want: []string{"routes.a.base_url: " + noURL}},
		{name: "base url without host", yaml: baseURL("https:///v1"), want: []string{"routes.a.base_url: " + noURL}},
		{name: "base url with only a port", yaml: baseURL("https://:443"), want: []string{"routes.a.base_url: " + noURL}},
		{name: "base url with userinfo", yaml: baseURL("https://me:hunter2@api.example.com"), want: []string{"routes.a.base_url: must not hold a user or password; use credentials"}},
		{name: "base url with query", yaml: baseURL("https://api.example.com/?"), want: []string{"routes.a.base_url: must not have a query or a fragment"}},
		{name: "base url with fragment", yaml: baseURL("https://api.example.com/#"), want: []string{"routes.a.base_url: must not have a query or a fragment"}},
		{name: "base url with odd port", yaml: baseURL("https://api.example.com:99999"), want: []string{"routes.a.base_url: must have a port up to 65535"}},
		{name: "base url unreadable", yaml: baseURL("https://hunter2:%zz@x"), want: []string{"routes.a.base_url: is not a URL"}},

		{name: "route types", yaml: route("required: yes", "exclusive: 1", "timeout: 8", "limit: {rate: 5, burst: 1.5, concurrency: x}", "breaker: {off: 0, failure_ratio: half}", "retry: {attempts: '3x'}", "credentials: [a]", "settings: x"),
			want: []string{
				"routes.a.breaker.failure_ratio: must be a number", "routes.a.breaker.off: must be true or false",
				"routes.a.credentials: " + mapping, "routes.a.exclusive: must be true or false",
				"routes.a.limit.burst: must be a whole number", "routes.a.limit.concurrency: must be a whole number",
				"routes.a.limit.rate: must be a rate: a whole number and a time, such as 5/s, 300/m or 3000/10m, or off",
				"routes.a.required: must be true or false", "routes.a.retry.attempts: must be a whole number",
				"routes.a.settings: " + mapping, "routes.a.timeout: " + duration,
			}},
		{name: "route ranges", yaml: route("timeout: 0s", "limit: {burst: 0, concurrency: -1}", "breaker: {window: 0, min_requests: 0, failure_ratio: 0, open_for: -1s}", "retry: {attempts: 0, base: 0}"),
			want: []string{
				"routes.a.breaker.failure_ratio: must be more than 0 and at most 1", "routes.a.breaker.min_requests: must be at least 1",
				"routes.a.breaker.open_for: must be more than 0", "routes.a.breaker.window: must be more than 0",
				"routes.a.limit.burst: must be at least 1", "routes.a.limit.concurrency: must be at least 1",
				"routes.a.retry.attempts: must be from 1 (never repeat) to 10", "routes.a.retry.base: must be more than 0",
				"routes.a.timeout: must be more than 0",
			}},
		{name: "upper ranges", yaml: route("breaker: {failure_ratio: 1.01}", "retry: {attempts: 11}"), want: []string{
			"routes.a.breaker.failure_ratio: must be more than 0 and at most 1", "routes.a.retry.attempts: must be from 1 (never repeat) to 10",
		}},
		{name: "not a ratio", yaml: route("breaker: {failure_ratio: .nan}"), want: []string{"routes.a.breaker.failure_ratio: must be a number"}},

		{name: "key without anything", yaml: keys("{}"), want: []string{
			"auth.keys[0].name: " + notKeyName, `auth.keys[0].routes: is missing; list names of routes, or "*" for all`,
			"auth.keys[0].scopes: is missing; list read, write or both", `auth.keys[0].sha256: is missing; it is the SHA-256 of the key: printf %s "$KEY" | sha256sum`,
		}},
		{name: "key that is not a digest", yaml: keys("{name: x, sha256: hunter2, scopes: [read], routes: [a]}", "{name: y, sha256: "+foo+"0, scopes: [read], routes: [a]}", "{name: z, sha256: "+foo[:63]+"x, scopes: [read], routes: [a]}"),
			want: []string{"auth.keys[0].sha256: " + digest, "auth.keys[1].sha256: " + digest, "auth.keys[2].sha256: " + digest}},
		{name: "empty key", yaml: keys("{name: x, sha256: " + nothing + ", scopes: [read], routes: [a]}"), want: []string{"auth.keys[0].sha256: is the SHA-256 of an empty key"}},
		{name: "same name", yaml: keys("{name: x, sha256: "+foo+", scopes: [read], routes: [a]}", "{name: x, sha256: "+bar+", scopes: [read], routes: [a]}"),
			want: []string{"auth.keys[1].name: is the name of auth.keys[0] too; give every key its own"}},
		{name: "same key in other letters", yaml: keys("{name: x, sha256: "+foo+", scopes: [read], routes: [a]}", "{name: y, sha256: "+strings.ToUpper(foo)+", scopes: [read], routes: [a]}"),
			want: []string{"auth.keys[1].sha256: is the same key as auth.keys[0]; give every caller its own"}},
		{name: "scopes and routes", yaml: keys("{name: x, sha256: "+foo+", scopes: [read, admin], routes: [aa, a]}", "{name: y, sha256: "+bar+", scopes: read, routes: ['*', a]}"),
			want: []string{
				`auth.keys[0].routes[0]: is not a configured route; did you mean "a"?`, "auth.keys[0].scopes[1]: must be read or write",
				`auth.keys[1].routes: has "*" beside other routes; "*" already means all`,
			}},

		{name: "absent references", yaml: route("credentials: {k: '${env:NONE}', l: 'x${env:NONE}${file:/none/such}', m: '${file:DIR}'}", "settings: {s: ['${env:NONE}']}", "timeout: '${env:NONE}'") + "\nserver: {addr: '${env:NONE}'}",
			want: []string{
				"routes.a.credentials.k: refers to ${env:NONE}, which is not set",
				"routes.a.credentials.l: refers to ${env:NONE}, which is not set", "routes.a.credentials.l: refers to ${file:/none/such}, which does not exist",
				"routes.a.credentials.m: refers to ${file:DIR}, which is not a regular file",
				"routes.a.settings.s[0]: refers to ${env:NONE}, which is not set", "routes.a.timeout: refers to ${env:NONE}, which is not set",
				"server.addr: refers to ${env:NONE}, which is not set",
			}},
		{name: "reference for a missing needed key", yaml: "routes: {a: {provider: '${env:NONE}', base_url: '${file:relative}'}}", want: []string{
			"routes.a.base_url: refers to ${file:relative}, which is not an absolute path", "routes.a.provider: refers to ${env:NONE}, which is not set",
		}},
		{name: "empty secrets", yaml: route("credentials: {k: '${env:EMPTY}', l: '${file:DIR/empty}', m: '', n: '${file:DIR/huge}'}"), environ: []string{"EMPTY="}, want: []string{
			"routes.a.credentials.k: refers to ${env:EMPTY}, which is empty", "routes.a.credentials.l: refers to ${file:DIR/empty}, which is empty",
			"routes.a.credentials.m: is empty; leave the key out, or state the credential", "routes.a.credentials.n: refers to ${file:DIR/huge}, which is longer than 64KiB",
		}},
		{name: "secrets with lines", yaml: route("credentials: {k: '${file:DIR/lines}', l: \"hunter2\\n\"}"), want: []string{"routes.a.credentials.k: " + control, "routes.a.credentials.l: " + control}},
		{name: "credentials of other types", yaml: route("credentials: {k: 123456, l: [hunter2], m: {n: hunter2}, o: true, p: 2026-01-01}"), want: []string{
			"routes.a.credentials.k: " + text, "routes.a.credentials.l: " + text, "routes.a.credentials.m: " + text, "routes.a.credentials.o: " + text, "routes.a.credentials.p: " + text,
		}},
		{name: "what is no reference", yaml: route("credentials: {k: '${HUNTER2}', l: '${env:}', m: '${vault:x}', n: '${env:A', o: '${env:A}${'}"), environ: []string{"A=hunter2"}, want: []string{
			"routes.a.credentials.k: " + noReal, "routes.a.credentials.l: " + noReal, "routes.a.credentials.m: " + noReal, "routes.a.credentials.n: " + noReal, "routes.a.credentials.o: " + noReal,
		}},
		{name: "reference beside text", yaml: baseURL("https://${env:HOST}"), environ: []string{"HOST=hunter2"}, want: []string{"routes.a.base_url: " + beside}},
		{name: "referenced value of the wrong type", yaml: route("timeout: '${env:T}'"), environ: []string{"T=hunter2"}, want: []string{"routes.a.timeout: " + duration}},

		{name: "environment", yaml: route(), environ: []string{
			"GATEWAY_SERVER_ADDR=hunter2", "GATEWAY_URL=hunter2", "GATEWAY_=x", "GATEWAY_SERVER____ADDR=x", "GATEWAY___ADDR=x",
			"GATEWAY_SERVER__ADRR=hunter2", "GATEWAY_SERVR__ADDR=hunter2", "GATEWAY_ROUTES__A__TIMEOUT=hunter2", "GATEWAY_ROUTES__A__LIMIT__BURST=0",
			"GATEWAY_ROUTES__A__CREDENTIALS__K=${env:NONE}", "GATEWAY_AUTH__KEYS=hunter2",
		}, want: []string{
			"GATEWAY_: " + setsNone, "GATEWAY_SERVER_ADDR: " + setsNone, "GATEWAY_SERVER____ADDR: " + setsNone, "GATEWAY_URL: " + setsNone, "GATEWAY___ADDR: " + setsNone,
			"auth.keys: must be a list (set by GATEWAY_AUTH__KEYS)",
			"routes.a.credentials.k: refers to ${env:NONE}, which is not set (set by GATEWAY_ROUTES__A__CREDENTIALS__K)",
			"routes.a.limit.burst: must be at least 1 (set by GATEWAY_ROUTES__A__LIMIT__BURST)",
			"routes.a.timeout: " + duration + " (set by GATEWAY_ROUTES__A__TIMEOUT)",
			`server.adrr: is not known here; did you mean "addr"? (set by GATEWAY_SERVER__ADRR)`,
			`servr: is not known here; did you mean "server"? (set by GATEWAY_SERVR__ADDR)`,
		}},
		{name: "environment against itself", yaml: route(), environ: []string{"GATEWAY_LOG__LEVEL=info", "GATEWAY_LOG__LEVEL__X=y"}, want: []string{
			"log.level.x: is set by GATEWAY_LOG__LEVEL__X although GATEWAY_LOG__LEVEL sets all of log.level; unset one of them",
		}},
		{name: "environment below a value", yaml: route(), environ: []string{"GATEWAY_LOG__LEVEL__X=y"}, want: []string{"log.level: " + text + " (set by GATEWAY_LOG__LEVEL__X)"}},
		{name: "flags", yaml: route(), overrides: map[string]any{"server.adr": ":1", "log.level": "loud", "routes.b": map[string]any{"provider": "fake"}}, want: []string{
			"log.level: must be debug, info, warn or error", "routes.b.base_url: " + noBase, `server.adr: is not known here; did you mean "addr"?`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Load(config.Source{
				YAML: []byte(strings.ReplaceAll(tt.yaml, "DIR", dir)), Environ: tt.environ, Overrides: tt.overrides,
			})
			var faults section.Faults
			if cfg != nil || !errors.As(err, &faults) {
				t.Fatalf("Load = %+v, %v; want Faults alone", cfg, err)
			}
			got := strings.ReplaceAll(faults.Error(), dir, "DIR")
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("faults:\n%s\nwant:\n%s", got, want)
			}
			if tt.environ == nil && tt.overrides == nil && bySchema.MatchString(got) {
				checked.Add(1)
				if schema.Validate(asJSON(t, []byte(tt.yaml))) == nil {
					t.Error("the schema takes it")
				}
			}
			if strings.Contains(strings.ToLower(strings.ReplaceAll(got, "${HUNTER2}", "")), "hunter2") {
				t.Errorf("a fault holds a value:\n%s", got)
			}
		})
	}
}
