package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/provider"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// limited is a provider that takes everything and states a limit.
var limited = provider.Provider{Name: "fake", Open: func(provider.Options) (provider.Opened, error) {
	return provider.Opened{Limit: provider.DefaultLimit{Rate: section.Rate{Count: 5, Per: 1}}}, nil
}}

// unlimited is one that states none.
var unlimited = provider.Provider{Name: "bare", Open: func(provider.Options) (provider.Opened, error) { return provider.Opened{}, nil }}

// safe is a configuration without risks; what follows begins at line 8.
const safe = `auth:
  keys: [{name: x, sha256: ` + foo + `, scopes: [read, write], routes: ["*"]}]
ledger:
  encryption: {keys: ["${env:LEDGER_KEY}"]}
routes:
  a: {provider: fake, base_url: https://api.example.com, credentials: {k: "${env:SECRET}"}}
`

// audited returns the risks of a configuration as texts: number, place and key.
func audited(t *testing.T, file string, overrides map[string]any, environ ...string) []string {
	t.Helper()
	cfg, routes, err := config.LoadAndOpen(config.Source{
		Path: "gateway.yaml", YAML: []byte(file), Overrides: overrides, Flag: "--set",
		Environ: append(environ, "SECRET=hunter2", "LEDGER_KEY=MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="),
	}, []provider.Provider{limited, unlimited})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, r := range config.Audit(cfg, routes) {
		if r.Cause == "" || r.Way == "" || strings.Contains(r.String(), "hunter2") {
			t.Errorf("unfit risk %+v", r)
		}
		got = append(got, strings.TrimSuffix(fmt.Sprintf("%s %s %s", r.Rule, strings.TrimPrefix(r.Place, "gateway.yaml:"), r.Key), " "))
	}
	return got
}

func TestAudit(t *testing.T) {
	t.Parallel()
	edit := func(oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(safe) }
	add := func(lines ...string) string { return safe + strings.Join(lines, "\n") + "\n" }
	const base = "https://api.example.com"
	for _, tt := range []struct {
		name, yaml string
		overrides  map[string]any
		environ    []string
		want       []string
	}{
		{"nothing", safe, nil, nil, nil},
		{"plain http", edit(base, "http://api.example.com"), nil, nil, []string{"CG001 6:23 routes.a.base_url"}},
		{"plain http to a public address", edit(base, "http://8.8.8.8"), nil, nil, []string{"CG001 6:23 routes.a.base_url"}},
		{"plain http inside", edit(base, "http://10.0.0.1"), nil, nil, []string{"CG002 6:23 routes.a.base_url"}},
		{"plain http to a short name", edit(base, "http://shop"), nil, nil, []string{"CG002 6:23 routes.a.base_url"}},
		{"plain http in a cluster", edit(base, "http://shop.prod.svc"), nil, nil, []string{"CG002 6:23 routes.a.base_url"}},
		{"plain http on this machine", edit(base, "http://127.0.0.1:80"), nil, nil, nil},
		{"no keys", edit("{name: x, sha256: "+foo+`, scopes: [read, write], routes: ["*"]}`, ""), nil, nil, []string{"CG003 2:3 auth.keys"}},
		{"no keys on loopback", edit("{name: x, sha256: "+foo+`, scopes: [read, write], routes: ["*"]}`, "") + "server: {addr: '[::1]:1'}\n", nil, nil, nil},
		{"no keys on a name that only begins like loopback", edit("{name: x, sha256: "+foo+`, scopes: [read, write], routes: ["*"]}`, "") + "server: {addr: 'localhost.example.com:1'}\n", nil, nil, []string{"CG003 2:3 auth.keys"}},
		{"example key", edit(foo, "3b9caeb74f1cb497565b625e0b17a6172a2004a64d0397669c2c4117a20059a8"), nil, nil, []string{"CG004 2:20 auth.keys[0].sha256"}},
		{"retained", edit("  encryption: {keys: [\"${env:LEDGER_KEY}\"]}", "  retain: latest"), nil, nil, []string{"CG005 4:3 ledger.retain"}},
		{"retained and encrypted", edit("ledger:\n", "ledger:\n  retain: latest\n"), nil, nil, nil},
		{"breaker", edit("provider: fake", "provider: fake, breaker: {off: true}"), nil, nil, []string{"CG006 6:33 routes.a.breaker.off"}},
		{"limit", edit("provider: fake", "provider: fake, limit: {rate: off}"), nil, nil, []string{"CG007 6:31 routes.a.limit.rate"}},
		{"limit of the provider", edit("provider: fake", "provider: bare"), nil, nil, []string{"CG007 6:3 routes.a.limit.rate"}},
		{"source", edit("provider: fake", "provider: fake, settings: {source: x}") + `  b: {provider: fake, base_url: "https://API.example.com:443/", credentials: {k: "${env:SECRET}"}, settings: {source: x, other: 1}}` + "\n",
			nil, nil, []string{"CG008 7:111 routes.b.settings.source"}},
		{"source of other accounts", edit("provider: fake", "provider: fake, settings: {source: x, account_id: 1}") + `  b: {provider: fake, base_url: https://api.example.com, settings: {source: x, account_id: 2}}` + "\n", nil, nil, nil},
		{"source at other hosts", edit("provider: fake", "provider: fake, settings: {source: x}") + `  b: {provider: fake, base_url: https://b.example.com, settings: {source: x}}` + "\n", nil, nil, nil},
		{"no ledger", edit("ledger:\n", "ledger:\n  driver: none\n  retain: latest\n"), nil, nil, []string{"CG009 4:3 ledger.driver"}},
		{"secrets in the file", edit(`"${env:SECRET}"`, "hunter2", "${env:LEDGER_KEY}", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="), nil, nil,
			[]string{"CG010 4:23 ledger.encryption.keys[0]", "CG010 6:72 routes.a.credentials.k"}},
		{"secret in the environment over that in the file", edit(`"${env:SECRET}"`, "x"), nil, []string{"GATEWAY_ROUTES__A__CREDENTIALS__K=hunter2"}, nil},
		{"secret on the command line", safe, map[string]any{"routes.a.credentials.k": "hunter2"}, nil, []string{"CG010  routes.a.credentials.k"}},
		{"public url", add("server: {public_url: http://gateway.example.com}"), nil, nil, []string{"CG011 7:10 server.public_url"}},
		{"one key for all of two", edit("keys: [{name", "keys: [{name: y, sha256: "+bar+", scopes: [read], routes: [a]}, {name"), nil, nil, []string{"CG012 2:124 auth.keys[1]"}},
		{"debug", add("log: {level: debug}"), nil, nil, []string{"CG013 7:7 log.level"}},
		{"debug by a variable", safe, nil, []string{"GATEWAY_LOG__LEVEL=debug"}, []string{"CG013  log.level"}},
		{"not encrypted", edit("  encryption: {keys: [\"${env:LEDGER_KEY}\"]}", "  driver: sqlite"), nil, nil, []string{"CG014 3:1 ledger.encryption.keys"}},
		{"shutdown", add("server: {shutdown_timeout: 1s}"), nil, nil, []string{"CG015 7:10 server.shutdown_timeout"}},
		{"same account in other letters", safe + `  b: {provider: fake, base_url: "https://API.example.com:443/", credentials: {k: "${env:SECRET}"}, timeout: 1s}` + "\n", nil, nil, []string{"CG016 7:3 routes.b"}},
		{"same host with another credential", safe + "  b: {provider: fake, base_url: https://api.example.com, credentials: {k: '${env:LEDGER_KEY}'}}\n", nil, nil, nil},
		{"same host with other settings", safe + "  b: {provider: fake, base_url: https://api.example.com, credentials: {k: '${env:SECRET}'}, settings: {x: 1}}\n", nil, nil, nil},
		{"the worst first", add("log: {level: debug}") + "server: {public_url: http://x.example.com, shutdown_timeout: 1s}\n", map[string]any{"routes.a.base_url": "http://a.example.com"}, nil,
			[]string{"CG001  routes.a.base_url", "CG011 8:10 server.public_url", "CG013 7:7 log.level", "CG015 8:44 server.shutdown_timeout"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := audited(t, tt.yaml, tt.overrides, tt.environ...); !slices.Equal(got, tt.want) {
				t.Errorf("risks = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGrades(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		grade, least config.Grade
		want         bool
	}{
		{config.High, config.High, true}, {config.High, config.Low, true}, {config.Medium, config.High, false},
		{config.Low, config.Medium, false}, {config.Medium, config.Medium, true},
	} {
		if got := tt.grade.AtLeast(tt.least); got != tt.want {
			t.Errorf("%s at least %s = %t", tt.grade, tt.least, got)
		}
	}
}

// docs/audit.md has a line for every rule, with its grade, and for no other.
func TestAuditIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "docs", "audit.md"))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("audit.go")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^\| (CG\d{3}) \| (high|medium|low) \|`).FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	for _, m := range regexp.MustCompile(`\{"(CG\d{3})", (High|Medium|Low),`).FindAllStringSubmatch(string(code), -1) {
		want = append(want, m[1]+" "+strings.ToLower(m[2]))
	}
	if len(want) < 15 || !slices.Equal(got, want) {
		t.Errorf("documented are %v, rules are %v", got, want)
	}
}
