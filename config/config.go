// Package config reads the configuration of the gateway: defaults, then a YAML
// file, then the environment, then flags, each over what came before.
//
// It is strict. An unknown key, a wrong type, a value out of range and a
// reference that leads nowhere are faults, and all faults are reported at once,
// as section.Faults with the full key of each: "routes.shop-eu.timeout".
//
// # Environment
//
// GATEWAY_SERVER__ADDR sets server.addr: after the prefix, two underscores
// separate levels, and letters become lower case. Names of routes are written
// with dashes but never with underscores, so an underscore in a route's name
// stands for a dash: GATEWAY_ROUTES__SHOP_EU__LIMIT__RATE sets
// routes.shop-eu.limit.rate. (A route name with two dashes in a row or a dash at
// its end cannot be written so.) Lists of texts are separated by commas; lists of
// mappings (auth.keys) cannot be set from the environment. A variable with the
// prefix that sets nothing is a fault, except the ones that Kubernetes adds for a
// service named gateway, such as GATEWAY_SERVICE_HOST and GATEWAY_PORT_80_TCP.
//
// # References
//
// ${env:NAME} and ${file:/path} stand for the value of an environment variable
// and the content of a file without its last line break. They may stand anywhere
// in a credential; elsewhere the reference must be the whole value. What they
// stand for is not searched for references again.
package config

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

//go:embed config.example.yaml
var example []byte

// Example returns config.example.yaml: every key with its comment.
func Example() []byte { return slices.Clone(example) }

// Config is a whole configuration as Load returns it: complete and checked. It
// must not be modified.
type Config struct {
	Server Server
	Log    Log
	Auth   Auth
	Ledger Ledger
	Routes map[string]RouteSpec // by name, at least one

	origins *origins
}

// Server is the inbound HTTP server.
type Server struct {
	Addr     string        `koanf:"addr"`     // host:port, ":8080"
	Deadline time.Duration `koanf:"deadline"` // for one call, unless the caller states one
	MaxBody  section.Size  `koanf:"max_body"` // of a request
	// MaxHeader bounds the request line and header fields together.
	MaxHeader         section.Size  `koanf:"max_header"`
	MaxInFlight       int           `koanf:"max_in_flight"` // requests served at once; more are shed
	ReadHeaderTimeout time.Duration `koanf:"read_header_timeout"`
	ReadTimeout       time.Duration `koanf:"read_timeout"`
	WriteTimeout      time.Duration `koanf:"write_timeout"` // at least ReadTimeout and Deadline together
	IdleTimeout       time.Duration `koanf:"idle_timeout"`
	ShutdownTimeout   time.Duration `koanf:"shutdown_timeout"` // for requests in flight to finish
	// PublicURL is the base of the problem `type` URLs, without a slash at the
	// end; empty makes them relative.
	PublicURL string `koanf:"public_url"`
}

// Log is the log on standard error.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn or error
	Format string `koanf:"format"` // json or text
}

// MinLevel returns the level as log/slog has it.
func (l Log) MinLevel() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo
	}
	return level
}

// Auth says who may call. Without keys, everyone may.
type Auth struct {
	Keys []Key `koanf:"keys"`
}

// Key is one API key. Names and digests are unique.
type Key struct {
	Name   string   `koanf:"name"` // for logs and metrics
	SHA256 Digest   `koanf:"sha256"`
	Scopes []string `koanf:"scopes"` // some of ScopeRead, ScopeWrite
	Routes []string `koanf:"routes"` // names of routes, or AllRoutes alone
}

// The scopes of a Key, and the route name that means every route.
const (
	ScopeRead  = "read"
	ScopeWrite = "write"
	AllRoutes  = "*"
)

// Digest is the SHA-256 of an API key.
type Digest [sha256.Size]byte

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	if hex.DecodedLen(len(text)) == len(d) && len(text)%2 == 0 {
		var decoded Digest
		if _, err := hex.Decode(decoded[:], text); err == nil {
			*d = decoded
			return nil
		}
	}
	return errors.New(`must be the SHA-256 of the key in 64 hexadecimal digits: printf %s "$KEY" | sha256sum`)
}

// String returns the digest in hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Ledger is the durable store.
type Ledger struct {
	Driver string `koanf:"driver"` // DriverSQLite or DriverNone
	// DSN is the path of the database file; a relative one begins at the working
	// directory.
	DSN        string     `koanf:"dsn"`
	Retain     string     `koanf:"retain"` // RetainUntilDelivered or RetainLatest
	Encryption Encryption `koanf:"encryption"`
}

// The drivers of a Ledger.
const (
	DriverSQLite = "sqlite" // one file, one gateway
	DriverNone   = "none"   // stores nothing: what a call does not finish has failed
)

// What a Ledger keeps of the customers' states.
const (
	RetainUntilDelivered = "until_delivered" // until every route has them
	RetainLatest         = "latest"          // the newest of every customer
)

// Encryption is that of the customers' states in the ledger. Without keys they
// are stored as they are.
type Encryption struct {
	// Keys are 32 bytes each, in base64. The first one seals, all of them open.
	Keys []canonical.Secret `koanf:"keys"`
}

// KeySize is the length of an encryption key, in bytes.
const KeySize = 32

// Raw returns the keys as bytes, in their order.
func (e Encryption) Raw() [][]byte {
	var raw [][]byte
	for _, key := range e.Keys {
		b, err := decodeKey(key)
		if err != nil {
			continue // cannot be: they are checked
		}
		raw = append(raw, b)
	}
	return raw
}

// decodeKey reads an encryption key. Its errors continue a sentence about the key
// and never quote it.
func decodeKey(key canonical.Secret) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(key.Reveal())
	if err != nil || len(raw) != KeySize {
		return nil, errors.New("must be 32 bytes in base64: openssl rand -base64 32")
	}
	return raw, nil
}

// RouteSpec is one route as it is configured. Open makes a Route of it.
type RouteSpec struct {
	Provider    string                      `koanf:"provider"`
	BaseURL     string                      `koanf:"base_url"`
	Credentials map[string]canonical.Secret `koanf:"credentials"` // the provider's own
	Settings    map[string]any              `koanf:"settings"`    // the provider's own
	Required    bool                        `koanf:"required"`
	Exclusive   bool                        `koanf:"exclusive"`
	Timeout     time.Duration               `koanf:"timeout"` // for one attempt, its body included
	Limit       LimitSpec                   `koanf:"limit"`
	Breaker     Breaker                     `koanf:"breaker"`
	Retry       RetrySpec                   `koanf:"retry"`
	// IdentityChange is what follows when the key by which the provider knows a
	// customer changes: IdentityWarn, IdentityRefuse or IdentityFollow.
	IdentityChange string `koanf:"identity_change"`
}

// What may follow from a changed identity.
const (
	IdentityWarn   = "warn"   // send, and say so in a notice
	IdentityRefuse = "refuse" // do not send
	IdentityFollow = "follow" // move the provider's record to the new key where it can
)

// LimitSpec is a Limit whose members may be left to the provider.
type LimitSpec struct {
	Rate        *section.Rate `koanf:"rate"`
	Burst       *int          `koanf:"burst"`
	Concurrency *int          `koanf:"concurrency"`
	Batch       *int          `koanf:"batch"` // customers in one request, where the provider takes many
}

// Breaker is a route's circuit breaker.
type Breaker struct {
	Off          bool          `koanf:"off"`
	Window       time.Duration `koanf:"window"`        // over which the ratio is taken
	MinRequests  int           `koanf:"min_requests"`  // in the window, before the ratio counts
	FailureRatio float64       `koanf:"failure_ratio"` // that opens it, more than 0 and at most 1
	OpenFor      time.Duration `koanf:"open_for"`      // until one probe is let through
}

// RetrySpec is how a route repeats: the members of Retry inside one call, and
// MaxAge over all.
type RetrySpec struct {
	Attempts int           `koanf:"attempts"` // the first included; 1 never repeats
	Base     time.Duration `koanf:"base"`     // of the exponential backoff with full jitter
	MaxAge   time.Duration `koanf:"max_age"`  // of a state, until the ledger gives it up
}

// defaults returns the configuration that files, environment and flags change.
func defaults() Config {
	return Config{
		Server: Server{
			Addr:              ":8080",
			Deadline:          10 * time.Second,
			MaxBody:           section.MiB,
			MaxHeader:         64 * section.KiB,
			MaxInFlight:       1024,
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       15 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			ShutdownTimeout:   20 * time.Second,
		},
		Log:    Log{Level: "info", Format: "json"},
		Ledger: Ledger{Driver: DriverSQLite, DSN: "data/gateway.db", Retain: RetainUntilDelivered},
		Routes: map[string]RouteSpec{},
	}
}

// defaultRoute returns the defaults of one route.
func defaultRoute() RouteSpec {
	return RouteSpec{
		Required: true,
		Timeout:  8 * time.Second,
		Breaker: Breaker{
			Window:       30 * time.Second,
			MinRequests:  20,
			FailureRatio: 0.5,
			OpenFor:      15 * time.Second,
		},
		Retry:          RetrySpec{Attempts: 3, Base: 200 * time.Millisecond, MaxAge: 24 * time.Hour},
		IdentityChange: IdentityWarn,
	}
}
