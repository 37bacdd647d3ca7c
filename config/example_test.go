package config_test

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/provider"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// exampleVariables matches the references of the example.
var exampleVariables = regexp.MustCompile(`\$\{env:([A-Z_]+)\}"\s`)

// loadExample loads the example with every variable it refers to.
func loadExample(t *testing.T) *config.Config {
	t.Helper()
	src := config.Source{YAML: config.Example()}
	for _, m := range exampleVariables.FindAllSubmatch(src.YAML, -1) {
		src.Environ = append(src.Environ, string(m[1])+"=secret")
	}
	return load(t, src)
}

func TestExampleOpens(t *testing.T) {
	t.Parallel()
	cfg := loadExample(t)
	var providers []provider.Provider
	for _, name := range []string{"rebilly", "april", "capillary", "magento", "complyt"} {
		providers = append(providers, provider.Provider{Name: name, Open: func(o provider.Options) (provider.Opened, error) {
			if len(o.Credentials) == 0 || len(o.Settings) == 0 {
				t.Errorf("route %s shows no credentials or no settings", o.Route)
			}
			return provider.Opened{}, nil
		}})
	}
	routes, err := config.Open(cfg, providers)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range routes {
		names = append(names, r.Name)
	}
	if want := []string{"april-au", "capillary-eu", "complyt", "magento-de", "rebilly-eu"}; !slices.Equal(names, want) {
		t.Errorf("routes = %v, want %v", names, want)
	}
	got := section.Faults(cfg.Warnings()).Error()
	if want := "auth.keys[0].sha256: is that of the published example key: everyone knows it"; got != want {
		t.Errorf("warnings = %s, want %s", got, want)
	}
}

// What the example calls a default is one.
func TestExampleStatesDefaults(t *testing.T) {
	t.Parallel()
	got, want := loadExample(t), load(t, config.Source{YAML: []byte(least)})
	got.Ledger.Encryption.Keys = nil // an empty list
	if got.Server != want.Server || got.Log != want.Log || !reflect.DeepEqual(got.Ledger, want.Ledger) {
		t.Errorf("example states\n%+v %+v %+v, defaults are\n%+v %+v %+v", got.Server, got.Log, got.Ledger, want.Server, want.Log, want.Ledger)
	}
	route, standing := got.Routes["rebilly-eu"], want.Routes["shop-eu"]
	if route.Required != standing.Required || route.Exclusive != standing.Exclusive || route.Timeout != standing.Timeout ||
		route.Breaker != standing.Breaker || route.Retry != standing.Retry || route.IdentityChange != standing.IdentityChange {
		t.Errorf("example route states\n%+v, defaults are\n%+v", route, standing)
	}
	if *route.Limit.Concurrency != 16 {
		t.Errorf("example concurrency = %d, want the default 16", *route.Limit.Concurrency)
	}
}

func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	var keys []string
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(typ.Elem())
		case reflect.Struct:
			for f := range typ.Fields() {
				if key := f.Tag.Get("koanf"); key != "" {
					keys = append(keys, key)
				}
				if f.IsExported() {
					walk(f.Type)
				}
			}
		}
	}
	walk(reflect.TypeFor[config.Config]())
	if len(keys) < 45 {
		t.Fatalf("only %d keys found: %v", len(keys), keys)
	}
	text := string(config.Example())
	for _, key := range append(keys, "server", "log", "auth", "ledger", "routes") {
		if !regexp.MustCompile(`(?m)^\s*(- )?` + key + `:`).MatchString(text) {
			t.Errorf("config.example.yaml does not show %s", key)
		}
	}
	for i, line := range strings.Split(text, "\n") {
		if len(line) > 100 {
			t.Errorf("config.example.yaml:%d is %d characters long", i+1, len(line))
		}
	}
}
