// Package provider says what a provider's package offers the program: how to
// open it for one route, and its emulator. The provider table is a list of
// Provider values; the configuration opens its routes with them.
package provider

import (
	"net/url"

	"customer-gateway/adapters/emulator"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

// Provider is one line of the provider table.
type Provider struct {
	Name string // as `provider` of a route states it
	// Open checks what the route configures for the provider and returns what
	// the gateway needs to serve it. It must report every fault at once, as
	// section.Faults with keys such as "settings.website_id",
	// "credentials.api_key" and "base_url"; messages never hold a credential.
	// It opens no connection.
	Open func(Options) (Opened, error)
	// Sandbox returns a new, empty emulator of the provider.
	Sandbox func() emulator.Provider
}

// Options is what one route configures for its provider.
type Options struct {
	Route string
	// BaseURL is absolute, http or https, without userinfo, query, fragment and
	// slash at the end. Open must not change it.
	BaseURL *url.URL
	// Exclusive says that nobody else writes the records at the provider, so
	// that they need not be read before they are replaced.
	Exclusive   bool
	Settings    map[string]any
	Credentials map[string]canonical.Secret // none is empty
}

// DecodeSettings sets the fields of the struct that into points to from the
// route's settings, as section.Decode does. The error is section.Faults.
func (o Options) DecodeSettings(into any) error {
	return section.Decode("settings", o.Settings, into)
}

// DecodeCredentials sets the fields of the struct that into points to, of type
// canonical.Secret, from the route's credentials, as section.Decode does. The
// error is section.Faults.
func (o Options) DecodeCredentials(into any) error {
	in := make(map[string]any, len(o.Credentials))
	for name, secret := range o.Credentials {
		in[name] = secret
	}
	return section.Decode("credentials", in, into)
}

// Opened is a provider, ready for one route.
type Opened struct {
	Adapter canonical.Adapter
	Auth    canonical.Auth
	Limit   DefaultLimit
}

// DefaultLimit is the limit of a route that states none, member by member. A
// zero Burst is one second's share of the rate, a zero Concurrency is 16.
type DefaultLimit struct {
	Rate        section.Rate
	Burst       int
	Concurrency int
}
