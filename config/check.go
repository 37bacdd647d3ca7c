package config

import (
	"cmp"
	"crypto/sha256"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"customer-gateway/config/section"
)

var (
	routeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	keyName   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)
)

// maxAttempts bounds the fast repetition: it must end inside one call.
const maxAttempts = 10

// minAge is the least time for which the ledger tries a state.
const minAge = time.Minute

// check reports every value that may not be so.
func (c *Config) check() section.Faults {
	faults := &section.Faults{}
	c.Server.check(faults)
	oneOf(faults, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(faults, "log.format", c.Log.Format, "json", "text")
	c.checkKeys(faults)
	c.Ledger.check(faults)
	for _, name := range sortedKeys(c.Routes) {
		at := section.Key("routes", name)
		if !routeName.MatchString(name) {
			faults.Add(at, "is not a route name: use 1 to 63 of a-z, 0-9 and -, not beginning with -")
		}
		c.Routes[name].check(at, faults)
	}
	return *faults
}

func (s Server) check(faults *section.Faults) {
	if _, port, err := net.SplitHostPort(s.Addr); err != nil {
		faults.Add("server.addr", `must be host:port, such as ":8080" or "127.0.0.1:8080"`)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		faults.Add("server.addr", "must end in a port from 0 to 65535")
	}
	positive(faults, "server.deadline", s.Deadline)
	positive(faults, "server.max_body", s.MaxBody)
	if s.MaxHeader < section.KiB {
		faults.Add("server.max_header", "must be at least 1KiB")
	}
	atLeastOne(faults, "server.max_in_flight", s.MaxInFlight)
	positive(faults, "server.read_header_timeout", s.ReadHeaderTimeout)
	positive(faults, "server.read_timeout", s.ReadTimeout)
	positive(faults, "server.idle_timeout", s.IdleTimeout)
	positive(faults, "server.shutdown_timeout", s.ShutdownTimeout)
	// It runs while the body still comes in.
	if least := s.ReadTimeout + s.Deadline; s.WriteTimeout < least {
		faults.Add("server.write_timeout", "must be at least server.read_timeout and server.deadline together (%v), or answers are cut off", least)
	}
	if s.PublicURL != "" {
		if _, fault := parseBase(s.PublicURL); fault != "" {
			faults.Add("server.public_url", "%s", fault)
		}
	}
}

func (l Ledger) check(faults *section.Faults) {
	if l.Driver == "postgres" {
		faults.Add("ledger.driver", "must be sqlite or none: postgres does not exist in this version")
	} else {
		oneOf(faults, "ledger.driver", l.Driver, DriverSQLite, DriverNone)
	}
	switch {
	case l.Driver != DriverSQLite: // nobody opens it
	case l.DSN == "":
		faults.Add("ledger.dsn", "is empty; name the database file, such as data/gateway.db")
	case strings.HasPrefix(l.DSN, ":memory:"), strings.HasPrefix(l.DSN, "file:"), strings.Contains(l.DSN, "://"):
		faults.Add("ledger.dsn", "must be the path of a file, such as data/gateway.db")
	case strings.ContainsAny(l.DSN, "?#\x00"):
		faults.Add("ledger.dsn", "must be the path of a file, without ? or #")
	}
	oneOf(faults, "ledger.retain", l.Retain, RetainUntilDelivered, RetainLatest)
	positions := map[string]string{}
	for i, key := range l.Encryption.Keys {
		at := "ledger.encryption.keys[" + strconv.Itoa(i) + "]"
		raw, err := decodeKey(key)
		if err != nil {
			faults.Add(at, "%v", err)
			continue
		}
		if first, ok := positions[string(raw)]; ok {
			faults.Add(at, "is the same key as %s; state every key once", first)
			continue
		}
		positions[string(raw)] = at
	}
}

func (c *Config) checkKeys(faults *section.Faults) {
	names, digests := map[string]string{}, map[Digest]string{}
	for i, key := range c.Auth.Keys {
		at := "auth.keys[" + strconv.Itoa(i) + "]"
		if !keyName.MatchString(key.Name) {
			faults.Add(at+".name", "must be 1 to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit")
		} else if first, ok := names[key.Name]; ok {
			faults.Add(at+".name", "is the name of %s too; give every key its own", first)
		}
		names[key.Name] = at
		switch first, ok := digests[key.SHA256]; {
		case key.SHA256 == Digest{}:
			faults.Add(at+".sha256", `is missing; it is the SHA-256 of the key: printf %%s "$KEY" | sha256sum`)
		case key.SHA256 == sha256.Sum256(nil):
			faults.Add(at+".sha256", "is the SHA-256 of an empty key")
		case ok:
			faults.Add(at+".sha256", "is the same key as %s; give every caller its own", first)
		default:
			digests[key.SHA256] = at
		}
		if len(key.Scopes) == 0 {
			faults.Add(at+".scopes", "is missing; list read, write or both")
		}
		for j, scope := range key.Scopes {
			oneOf(faults, at+".scopes["+strconv.Itoa(j)+"]", scope, ScopeRead, ScopeWrite)
		}
		c.checkKeyRoutes(at+".routes", key.Routes, faults)
	}
}

func (c *Config) checkKeyRoutes(at string, routes []string, faults *section.Faults) {
	switch {
	case len(routes) == 0:
		faults.Add(at, `is missing; list names of routes, or "*" for all`)
	case len(routes) > 1 && slices.Contains(routes, AllRoutes):
		faults.Add(at, `has "*" beside other routes; "*" already means all`)
	case routes[0] == AllRoutes:
	default:
		for i, name := range routes {
			if _, ok := c.Routes[name]; !ok {
				faults.Add(at+"["+strconv.Itoa(i)+"]", "is not a configured route; %s", section.Nearest(name, c.Routes))
			}
		}
	}
}

func (r RouteSpec) check(at string, faults *section.Faults) {
	if r.Provider == "" {
		faults.Add(at+".provider", "is missing; name the provider, as `customer-gateway check --example` does")
	}
	if r.BaseURL == "" {
		faults.Add(at+".base_url", "is missing; state what the URLs of the provider's API begin with")
	} else if _, fault := parseBase(r.BaseURL); fault != "" {
		faults.Add(at+".base_url", "%s", fault)
	}
	for name, secret := range r.Credentials {
		switch value := secret.Reveal(); {
		case value == "":
			faults.Add(section.Key(at+".credentials", name), "is empty; leave the key out, or state the credential")
		case strings.ContainsFunc(value, unicode.IsControl):
			faults.Add(section.Key(at+".credentials", name), "holds a line break or another control character")
		}
	}
	positive(faults, at+".timeout", r.Timeout)
	if r.Limit.Burst != nil {
		atLeastOne(faults, at+".limit.burst", *r.Limit.Burst)
	}
	if r.Limit.Concurrency != nil {
		atLeastOne(faults, at+".limit.concurrency", *r.Limit.Concurrency)
	}
	positive(faults, at+".breaker.window", r.Breaker.Window)
	atLeastOne(faults, at+".breaker.min_requests", r.Breaker.MinRequests)
	if r.Breaker.FailureRatio <= 0 || r.Breaker.FailureRatio > 1 {
		faults.Add(at+".breaker.failure_ratio", "must be more than 0 and at most 1")
	}
	positive(faults, at+".breaker.open_for", r.Breaker.OpenFor)
	if r.Retry.Attempts < 1 || r.Retry.Attempts > maxAttempts {
		faults.Add(at+".retry.attempts", "must be from 1 (never repeat) to %d", maxAttempts)
	}
	positive(faults, at+".retry.base", r.Retry.Base)
	if r.Retry.MaxAge < minAge {
		faults.Add(at+".retry.max_age", "must be at least 1m: it is how long the ledger tries before it gives up")
	}
	if r.Limit.Batch != nil {
		atLeastOne(faults, at+".limit.batch", *r.Limit.Batch)
	}
	oneOf(faults, at+".identity_change", r.IdentityChange, IdentityWarn, IdentityRefuse, IdentityFollow)
}

// parseBase reads a base URL and takes the slashes off its end. The fault never
// holds the URL, which may wrongly hold a password.
func parseBase(raw string) (base *url.URL, fault string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, "must be an absolute URL that begins with https:// or http://"
	case u.User != nil:
		return nil, "must not hold a user or password; use credentials"
	case strings.ContainsAny(raw, "?#"):
		return nil, "must not have a query or a fragment"
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return nil, "must have a port up to 65535"
		}
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), strings.TrimRight(u.RawPath, "/")
	return u, ""
}

func positive[N time.Duration | section.Size](faults *section.Faults, at string, n N) {
	if n <= 0 {
		faults.Add(at, "must be more than 0")
	}
}

func atLeastOne(faults *section.Faults, at string, n int) {
	if n < 1 {
		faults.Add(at, "must be at least 1")
	}
}

func oneOf(faults *section.Faults, at, got string, allowed ...string) {
	if !slices.Contains(allowed, got) {
		last := len(allowed) - 1
		faults.Add(at, "must be %s or %s", strings.Join(allowed[:last], ", "), allowed[last])
	}
}

// exampleKey is the digest in config.example.yaml.
var exampleKey = Digest(sha256.Sum256([]byte("change-me-before-use")))

// Warnings returns what is allowed but risky, sorted by key.
func (c *Config) Warnings() []section.Fault {
	var warnings section.Faults
	if len(c.Auth.Keys) == 0 {
		warnings.Add("auth.keys", "is empty: whoever reaches the server may read and write customers")
	}
	for i, key := range c.Auth.Keys {
		if key.SHA256 == exampleKey {
			warnings.Add("auth.keys["+strconv.Itoa(i)+"].sha256", "is that of the published example key: everyone knows it")
		}
	}
	if c.Server.ShutdownTimeout < c.Server.Deadline {
		warnings.Add("server.shutdown_timeout", "is shorter than server.deadline: a shutdown may cut off requests in flight")
	}
	for name, route := range c.Routes {
		at := section.Key("routes", name)
		if u, fault := parseBase(route.BaseURL); fault == "" && u.Scheme == "http" && !loopback(u.Hostname()) {
			warnings.Add(at+".base_url", "is plain http: credentials and customers travel unencrypted")
		}
		if route.Breaker.Off {
			warnings.Add(at+".breaker.off", "is true: every call waits for a provider that is down")
		}
	}
	warnings = append(warnings, c.sameAccounts()...)
	slices.SortFunc(warnings, func(a, b section.Fault) int { return cmp.Compare(a.Key, b.Key) })
	return c.origins.explain(warnings)
}

// sameAccounts reports routes that write the same records as another one does.
// That is not a fault, as one of them may be there to be compared.
func (c *Config) sameAccounts() (found section.Faults) {
	names := sortedKeys(c.Routes)
	for i, name := range names {
		for _, other := range names[:i] {
			if sameAccount(c.Routes[name], c.Routes[other]) {
				found.Add(section.Key("routes", name), "is the same account as %s, with the same provider, base_url, credentials and settings: every customer is written twice", section.Key("routes", other))
				break
			}
		}
	}
	return found
}

// loopback reports whether host is this machine.
func loopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
