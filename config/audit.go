package config

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/config/section"
)

// Grade says how bad a Risk is.
type Grade string

// The grades, the worst first.
const (
	High   Grade = "high"   // strangers may read or change customers
	Medium Grade = "medium" // one more fault does harm, or a limit is missing
	Low    Grade = "low"    // worth knowing
)

// Grades returns all grades, the worst first.
func Grades() []Grade { return []Grade{High, Medium, Low} }

// AtLeast reports whether g is as bad as least, or worse.
func (g Grade) AtLeast(least Grade) bool {
	return slices.Index(Grades(), g) <= slices.Index(Grades(), least)
}

// Risk is one thing that a configuration may state and had better not.
type Risk struct {
	Rule  string `json:"rule"` // "CG001": it never changes its meaning
	Grade Grade  `json:"grade"`
	Place string `json:"place,omitempty"` // "gateway.yaml:12:5", if known
	Key   string `json:"key"`
	Cause string `json:"cause"` // goes on after the key
	Way   string `json:"wayOut"`
}

// String returns the risk in one line.
func (r Risk) String() string {
	text := fmt.Sprintf("%s %s: %s: %s; %s", r.Rule, r.Grade, r.Key, r.Cause, r.Way)
	if r.Place != "" {
		text = r.Place + ": " + text
	}
	return text
}

// audit is what the rules look at.
type audit struct {
	*Config
	routes []Route
}

// rule is one thing to look for. A number is given once and for ever.
type rule struct {
	number string
	grade  Grade
	way    string
	// find returns the causes by their keys.
	find func(audit) section.Faults
}

// rules are all rules, in the order of their numbers.
var rules = []rule{
	{"CG001", High, "use https://", audit.publicHTTP},
	{"CG002", Medium, "use https://, or keep that network to machines you trust", audit.privateHTTP},
	{"CG003", High, "add a key under auth.keys, or bind server.addr to 127.0.0.1", audit.noKeys},
	{"CG004", High, `make a key of your own: openssl rand -hex 32, then printf %s "$KEY" | sha256sum`, audit.exampleKey},
	{"CG005", High, "set ledger.encryption.keys (openssl rand -base64 32), or ledger.retain: until_delivered", audit.retained},
	{"CG006", Medium, "leave breaker.off out", audit.breakerOff},
	{"CG007", Medium, "state limit.rate, such as 5/s, as the provider allows", audit.limitOff},
	{"CG008", Medium, "give each route its own source or account, unless the credentials are of different organizations", audit.sharedSource},
	{"CG009", Medium, "use ledger.driver: sqlite, unless every caller repeats what failed", audit.noLedger},
	{"CG010", Medium, "refer to it: ${env:NAME} or ${file:/path}", audit.literalSecrets},
	{"CG011", Medium, "use https://", audit.publicURL},
	{"CG012", Medium, "give the key only the scopes and routes that its caller needs", audit.wideKeys},
	{"CG013", Low, "use log.level: info", audit.debug},
	{"CG014", Low, "set ledger.encryption.keys (openssl rand -base64 32)", audit.unencrypted},
	{"CG015", Low, "make server.shutdown_timeout at least server.deadline", audit.shortShutdown},
	{"CG016", Medium, "remove one of them, or correct what should differ", audit.sameAccount},
}

// Audit returns the risks of a configuration and its open routes, the worst
// first, then by rule and key.
func Audit(cfg *Config, routes []Route) []Risk {
	risks := []Risk{}
	for _, rule := range rules {
		for _, f := range cfg.origins.explain(rule.find(audit{cfg, routes})) {
			risks = append(risks, Risk{Rule: rule.number, Grade: rule.grade, Place: f.Place, Key: f.Key, Cause: f.Message, Way: rule.way})
		}
	}
	slices.SortStableFunc(risks, func(a, b Risk) int {
		return cmp.Or(cmp.Compare(slices.Index(Grades(), a.Grade), slices.Index(Grades(), b.Grade)), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key, b.Key))
	})
	return risks
}

func (a audit) publicHTTP() (found section.Faults) {
	for _, r := range a.routes {
		if host := r.BaseURL.Hostname(); r.BaseURL.Scheme == "http" && !loopback(host) && !private(host) {
			found.Add(section.Key("routes", r.Name)+".base_url", "is plain http to a public host: whoever is on the way reads the credential and the customers")
		}
	}
	return found
}

func (a audit) privateHTTP() (found section.Faults) {
	for _, r := range a.routes {
		if host := r.BaseURL.Hostname(); r.BaseURL.Scheme == "http" && !loopback(host) && private(host) {
			found.Add(section.Key("routes", r.Name)+".base_url", "is plain http in a private network: whoever is in it reads the credential and the customers")
		}
	}
	return found
}

func (a audit) noKeys() (found section.Faults) {
	if len(a.Auth.Keys) == 0 && !a.local() {
		found.Add("auth.keys", "is empty: whoever reaches the server may read and write customers")
	}
	return found
}

// local reports whether only this machine reaches the server.
func (a audit) local() bool {
	host, _, err := net.SplitHostPort(a.Server.Addr)
	return err == nil && loopback(host)
}

func (a audit) exampleKey() (found section.Faults) {
	for i, key := range a.Auth.Keys {
		if key.SHA256 == exampleKey {
			found.Add("auth.keys["+strconv.Itoa(i)+"].sha256", "is that of the published example key: everyone knows it")
		}
	}
	return found
}

func (a audit) retained() (found section.Faults) {
	if a.Ledger.Driver != DriverNone && a.Ledger.Retain == RetainLatest && len(a.Ledger.Encryption.Keys) == 0 {
		found.Add("ledger.retain", "is latest without encryption: whoever has the database file or a backup of it has every customer")
	}
	return found
}

func (a audit) unencrypted() (found section.Faults) {
	if a.Ledger.Driver != DriverNone && a.Ledger.Retain != RetainLatest && len(a.Ledger.Encryption.Keys) == 0 {
		found.Add("ledger.encryption.keys", "is empty: whoever has the database file has the customers that are not delivered yet")
	}
	return found
}

func (a audit) breakerOff() (found section.Faults) {
	for _, r := range a.routes {
		if r.Breaker.Off {
			found.Add(section.Key("routes", r.Name)+".breaker.off", "is true: every call waits for a provider that is down")
		}
	}
	return found
}

func (a audit) limitOff() (found section.Faults) {
	for _, r := range a.routes {
		if r.Limit.Rate.Off() {
			found.Add(section.Key("routes", r.Name)+".limit.rate", "is off: a burst of calls or a backlog reaches the provider at once, which may block the account")
		}
	}
	return found
}

func (a audit) sharedSource() (found section.Faults) {
	first := map[string]string{}
	for _, r := range a.routes {
		settings := a.Routes[r.Name].Settings
		if settings["source"] == nil {
			continue
		}
		at := section.Key("routes", r.Name)
		id := fmt.Sprintf("%s\n%s\n%v\n%v", r.Provider, account(r.BaseURL.String()), settings["source"], settings["account_id"])
		if other, ok := first[id]; ok {
			found.Add(at+".settings.source", "is also that of %s at the same host: both write the same records, and different customers with one identifier become one", other)
			continue
		}
		first[id] = at
	}
	return found
}

func (a audit) noLedger() (found section.Faults) {
	if a.Ledger.Driver == DriverNone {
		found.Add("ledger.driver", "is none: what a call cannot finish is lost, and the order of two writes is not kept over a restart")
	}
	return found
}

func (a audit) literalSecrets() (found section.Faults) {
	if a.origins == nil {
		return nil
	}
	look := func(key string) {
		switch value, ok := a.origins.overrides[key].(string); {
		case ok && !strings.Contains(value, "${"):
			found.Add(key, "is a secret on the command line: whoever lists the processes of the machine sees it")
		case ok || a.origins.variables[key] != "":
		default:
			if text := a.origins.file.text(key); text != "" && !strings.Contains(text, "${") {
				found.Add(key, "is a secret written in the file: it goes wherever the file goes")
			}
		}
	}
	for _, name := range sortedKeys(a.Routes) {
		for _, credential := range sortedKeys(a.Routes[name].Credentials) {
			look(section.Key(section.Key("routes", name)+".credentials", credential))
		}
	}
	for i := range a.Ledger.Encryption.Keys {
		look("ledger.encryption.keys[" + strconv.Itoa(i) + "]")
	}
	return found
}

func (a audit) publicURL() (found section.Faults) {
	if u, fault := parseBase(a.Server.PublicURL); fault == "" && u.Scheme == "http" && !loopback(u.Hostname()) {
		found.Add("server.public_url", "is plain http: callers are sent there with their keys")
	}
	return found
}

func (a audit) wideKeys() (found section.Faults) {
	if len(a.Auth.Keys) < 2 {
		return nil
	}
	for i, key := range a.Auth.Keys {
		if slices.Contains(key.Scopes, ScopeRead) && slices.Contains(key.Scopes, ScopeWrite) && slices.Contains(key.Routes, AllRoutes) {
			found.Add("auth.keys["+strconv.Itoa(i)+"]", "has every scope on every route, although there are several keys")
		}
	}
	return found
}

func (a audit) debug() (found section.Faults) {
	if a.Log.Level == "debug" {
		found.Add("log.level", "is debug: the log grows with every call, and tells more of it")
	}
	return found
}

func (a audit) shortShutdown() (found section.Faults) {
	if a.Server.ShutdownTimeout < a.Server.Deadline {
		found.Add("server.shutdown_timeout", "is shorter than server.deadline: a shutdown may cut off requests in flight")
	}
	return found
}

func (a audit) sameAccount() section.Faults { return a.sameAccounts() }

// insideNames are the ends of names that only a private network knows.
var insideNames = []string{".internal", ".local", ".lan", ".home.arpa", ".svc", ".test"}

// private reports whether host is in a private network, as far as its name tells.
func private(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.IsPrivate() || addr.IsLinkLocalUnicast()
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return !strings.Contains(host, ".") || slices.ContainsFunc(insideNames, func(end string) bool { return strings.HasSuffix(host, end) })
}
