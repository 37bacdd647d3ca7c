package adapters_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
)

// Every row is whole: its emulator is its own, and its adapter opens with what
// the emulator's route says.
func TestAll(t *testing.T) {
	t.Parallel()
	if !slices.IsSortedFunc(adapters.All, func(a, b provider.Provider) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the providers are not in the order of their names")
	}
	for _, p := range adapters.All {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			box := p.Sandbox()
			if box.Name() != p.Name {
				t.Errorf("the emulator is that of %s", box.Name())
			}
			route := box.Route()
			base, err := url.Parse("http://127.0.0.1" + route.BasePath)
			if err != nil {
				t.Fatal(err)
			}
			o := provider.Options{Route: p.Name, BaseURL: base, Settings: route.Settings, Credentials: map[string]canonical.Secret{}}
			for name, value := range route.Credentials {
				o.Credentials[name] = canonical.Secret(value)
			}
			opened, err := p.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if got := opened.Adapter.Name(); got != p.Name {
				t.Errorf("the adapter is named %q", got)
			}
			if opened.Limit.Rate.Count == 0 || opened.Limit.Concurrency == 0 {
				t.Errorf("the provider has no standing limit: %+v", opened.Limit)
			}
		})
	}
}
