// Package complyt upserts customers at Complyt, a sales tax platform.
//
// API: https://docs.complyt.io/api-7838831 (upsert) and
// https://docs.complyt.io/api-7838832 (the customer's schema). No error body is
// published; what is inferred is said in the README.
package complyt

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"customer-gateway/adapters/complyt/sandbox"
	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

const name = "complyt"

// Provider is Complyt's row in the table of providers.
var Provider = provider.Provider{
	Name: name,
	Open: Open,
	Sandbox: func() emulator.Provider {
		return sandbox.New(sandbox.Options{})
	},
}

// Config is a route's settings.
type Config struct {
	// Source is the number of the system that the customers come from; together
	// with the customer's id it is the key of the record.
	Source int `koanf:"source"`
	// MaxSource is the largest source that this Complyt account takes; default 15.
	MaxSource int `koanf:"max_source"`
	// AddressType is the type of address to prefer over the primary one: billing,
	// shipping, home, work or other.
	AddressType string `koanf:"address_type"`
	// Countries are the names that this account uses instead of ISO 3166-1
	// alpha-2 codes, by code.
	Countries map[string]string `koanf:"countries"`
	// ReadOnly lists members of a stored record that must not be sent back,
	// beside complytId and internalTimestamps.
	ReadOnly []string `koanf:"read_only"`
}

// credentials of a route.
type credentials struct {
	ClientID     canonical.Secret `koanf:"client_id"`
	ClientSecret canonical.Secret `koanf:"client_secret"`
}

// Open checks a route's options and builds its adapter.
func Open(o provider.Options) (provider.Opened, error) {
	c := Config{MaxSource: 15}
	var cred credentials
	var faults section.Faults
	faults.Join(o.DecodeSettings(&c), o.DecodeCredentials(&cred))
	c.check(&faults)
	if cred.ClientID == "" {
		faults.Add("credentials.client_id", "is required: the client id that Complyt issued")
	}
	if cred.ClientSecret == "" {
		faults.Add("credentials.client_secret", "is required: the client secret that Complyt issued")
	}
	if o.BaseURL.Path == "/v1" || strings.HasSuffix(o.BaseURL.Path, "/v1") {
		faults.Add("base_url", "must not end in /v1; the version is part of every path that is added")
	}
	if err := faults.Err(); err != nil {
		return provider.Opened{}, err
	}
	return provider.Opened{
		Adapter: New(c, o.Exclusive),
		Auth:    canonical.Auth{Token: tokenAuth(cred)},
		// Complyt publishes no limit: a few requests a second, two an upsert.
		Limit: provider.DefaultLimit{Rate: section.Rate{Count: 5, Per: time.Second}, Burst: 5, Concurrency: 4},
	}, nil
}

func (c *Config) check(faults *section.Faults) {
	switch {
	case c.MaxSource < 1:
		faults.Add("settings.max_source", "must be 1 or more")
	case c.Source == 0:
		faults.Add("settings.source", "is required: the number of the system that the customers come from, 1 to %d", c.MaxSource)
	case c.Source < 1 || c.Source > c.MaxSource:
		faults.Add("settings.source", "must be 1 to %d; settings.max_source raises the bound", c.MaxSource)
	}
	if !slices.Contains([]string{"", "billing", "shipping", "home", "work", "other"}, c.AddressType) {
		faults.Add("settings.address_type", "must be billing, shipping, home, work or other")
	}
	for code, country := range c.Countries {
		if len(code) != 2 || code != strings.ToUpper(code) {
			faults.Add(section.Key("settings.countries", code), "is not an ISO 3166-1 alpha-2 code in upper case")
		}
		if n := utf8.RuneCountInString(country); n < 1 || n > maxCountry {
			faults.Add(section.Key("settings.countries", code), "must have 1 to %d characters", maxCountry)
		}
	}
	for _, member := range c.ReadOnly {
		if slices.Contains(required, member) {
			faults.Add("settings.read_only", "has %q, which Complyt requires", member)
		}
	}
}

// required are the members that Complyt refuses a record without.
var required = []string{"externalId", "source", "name", "customerType", "externalTimestamps"}

// Adapter translates for one route.
type Adapter struct {
	config    Config
	source    string
	exclusive bool
	readOnly  []string
}

var _ canonical.Adapter = (*Adapter)(nil)

// New returns the adapter for a checked Config. exclusive says that nobody else
// writes the records, so that they need not be read before they are replaced.
func New(c Config, exclusive bool) *Adapter {
	return &Adapter{config: c, source: strconv.Itoa(c.Source), exclusive: exclusive,
		readOnly: append([]string{"complytId", "internalTimestamps"}, c.ReadOnly...)}
}

// Name returns "complyt".
func (a *Adapter) Name() string { return name }

// The headers of the two calls; nobody changes them.
var (
	readHeader  = http.Header{"Accept": {"application/json"}}
	writeHeader = http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}}
)

// path is where the customer is read and written.
func (a *Adapter) path(u canonical.Upsert) string {
	return "/v1/customers/source/" + a.source + "/externalId/" + url.PathEscape(u.ID)
}

// Translate returns the PUT that replaces the record, or, unless the route is
// exclusive, the GET before it: what the caller did not state is then carried
// over from the stored record, which may hold what Complyt requires. So only the
// write can tell whether something is missing.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	w, err := a.prepare(u, canonical.Value{}, a.exclusive)
	if err != nil {
		return nil, nil, err
	}
	if a.exclusive {
		return w.request, append(w.losses, w.defaulted...), nil
	}
	return &canonical.Request{
		Op:         "read",
		Method:     http.MethodGet,
		Path:       a.path(u),
		Header:     readHeader,
		Repeatable: true,
	}, w.losses, nil
}

// write is a PUT, ready to be sent.
type write struct {
	request           *canonical.Request
	losses, defaulted []canonical.Notice
	unchanged         bool // it says what is stored already
}

// prepare builds the PUT over the stored record, which is the zero Value if
// there is none. One that is not final only finds out what is refused and lost:
// it has no request and does not insist on what Complyt requires.
func (a *Adapter) prepare(u canonical.Upsert, stored canonical.Value, final bool) (write, error) {
	var w write
	m := tableFor(u.Customer).Start(u)
	defer m.Close()
	a.fill(m, u)
	carryOver(&m.Body, stored)
	if !m.Body.Has("customerType") {
		m.Constant("customerType", canonical.Text(defaultType))
	}
	m.Body = compact(m.Body) // a replaced record is cleared by leaving out
	var refused []canonical.FieldError
	for _, d := range u.ProviderData {
		object := d.Object.Clone()
		refused = append(refused, a.checkData(u, d.Key, &object)...)
		m.Merge(&m.Body, "", d, object)
	}
	if final {
		w.defaulted = complete(m)
	}
	var err error
	if w.losses, err = m.Finish(); err != nil || refused != nil {
		return w, join(err, refused)
	}
	if !final {
		return w, nil
	}
	w.unchanged = !stored.IsZero() && compact(m.Body).Equal(stored)
	w.request = &canonical.Request{
		Op:         "upsert",
		Method:     http.MethodPut,
		Path:       a.path(u),
		Header:     writeHeader,
		Body:       m.Body.Encode(),
		Repeatable: true, // keyed by source and externalId: a repeat changes nothing
		Links:      m.Links(),
	}
	return w, nil
}

// join adds refusals of providerData to what the mapper found.
func join(err error, refused []canonical.FieldError) error {
	if err == nil {
		return mapping.Unfit(name, refused...)
	}
	e := canonical.AsError(err)
	joined := mapping.Unfit(name, slices.Concat(e.Fields, refused)...)
	joined.Code = e.Code
	return joined
}

// Interpret reads the reply to the GET or the PUT.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if sent.Op == "read" {
		return a.afterRead(u, sent, got)
	}
	body, _ := got.JSON()
	if statusOf(got, body)/100 != 2 {
		return canonical.Outcome{}, a.failure(u, sent, got, body)
	}
	stored := record(body)
	if err := a.prove(u, sent, got, stored); err != nil {
		return canonical.Outcome{}, err
	}
	out := canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: strings.Clone(stored.Get("complytId").Str())}
	if got.Status == http.StatusCreated {
		out.Action = canonical.ActionCreated
	}
	return out, nil
}

// afterRead writes over what is stored, or anew if nothing is. A record that
// already is as it would be written ends the upsert.
func (a *Adapter) afterRead(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	var stored canonical.Value
	body, _ := got.JSON()
	status := statusOf(got, body)
	switch {
	case status == http.StatusNotFound && saysNotThere(body):
	case status/100 == 2:
		stored = record(body)
		if err := a.prove(u, sent, got, stored); err != nil {
			return canonical.Outcome{}, err
		}
	default:
		return canonical.Outcome{}, a.failure(u, sent, got, body)
	}
	out := canonical.Outcome{RemoteID: strings.Clone(stored.Get("complytId").Str())}
	w, err := a.prepare(u, a.writable(stored), true)
	switch {
	case err != nil:
		e := canonical.AsError(err)
		e.Op = sent.Op
		return out, e
	case w.unchanged:
		out.Action = canonical.ActionNone
		return out, nil
	}
	out.Next, out.Notices = w.request, w.defaulted
	return out, nil
}

// prove accepts only a record that is the customer's.
func (a *Adapter) prove(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply, stored canonical.Value) error {
	id, source := stored.Get("externalId").Str(), stored.Get("source").Str()
	problem := ""
	switch {
	case stored.Kind() != canonical.KindObject:
		problem = "the answer holds no customer; check base_url"
	case got.Status != http.StatusOK && got.Status != http.StatusCreated:
		problem = "the answer does not say that the customer is there"
	case id == "" && stored.Get("complytId").Str() == "":
		problem = "the answer names neither externalId nor complytId"
	case id != "" && id != u.ID, source != "" && source != a.source:
		problem = "the answer is about another customer"
	default:
		return nil
	}
	return canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "complyt: "+problem)
}
