// Package rebilly upserts customers at Rebilly, a billing and payments platform.
//
// API: https://www.rebilly.com/catalog/all/core/customers/putcustomer. A PUT
// replaces the whole customer, so that unless the route is exclusive the adapter
// reads the customer first and carries over what the caller did not state. What
// is inferred rather than published is said in the README.
package rebilly

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/provider"
	"customer-gateway/adapters/rebilly/sandbox"
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

const name = "rebilly"

// The steps of an upsert.
const (
	opRead   = "read"
	opUpsert = "upsert"
)

// Provider is Rebilly's row in the table of providers.
var Provider = provider.Provider{
	Name: name,
	Open: Open,
	Sandbox: func() emulator.Provider {
		return sandbox.New(sandbox.Options{})
	},
}

// Config is a route's settings.
type Config struct {
	// WebsiteID is the website that the customers belong to. Without it a
	// customer keeps the one that it has.
	WebsiteID string `koanf:"website_id"`
	// EmailLabel and PhoneLabel label an e-mail address or a telephone number
	// without a type; Rebilly takes none without a label. Default "main".
	EmailLabel string `koanf:"email_label"`
	PhoneLabel string `koanf:"phone_label"`
	// AddressTypes are the types of address that may become Rebilly's one
	// address, the preferred one first. Default: the primary address, of any type.
	AddressTypes []string `koanf:"address_types"`
	// CustomFields are the names of the custom fields that the organization has
	// defined; other attributes are not sent. Default: all attributes are sent.
	CustomFields []string `koanf:"custom_fields"`
	// CustomFieldMax is the longest text that the organization's custom fields
	// take. Default 255.
	CustomFieldMax int `koanf:"custom_field_max"`
	// Supplementary lets characters above U+FFFF (emoji, rare ideographs) be sent
	// in names and addresses, which by the published pattern Rebilly refuses.
	Supplementary bool `koanf:"supplementary"`
	// Exclusive writes without reading first; it comes from the route itself.
	Exclusive bool `koanf:"-"`
}

// credentials of a route; exactly one is stated.
type credentials struct {
	APIKey canonical.Secret `koanf:"api_key"` // secret API key
	JWT    canonical.Secret `koanf:"jwt"`     // of a user's session; short-lived
}

// Open checks a route's options and builds its adapter.
func Open(o provider.Options) (provider.Opened, error) {
	var c Config
	var cred credentials
	var faults section.Faults
	faults.Join(o.DecodeSettings(&c), o.DecodeCredentials(&cred))
	checkBase(&faults, o.BaseURL)
	cred.check(&faults, o.BaseURL.Hostname())
	c.check(&faults)
	if err := faults.Err(); err != nil {
		return provider.Opened{}, err
	}
	c.Exclusive = o.Exclusive
	// The sandbox counts 3000 requests in ten minutes, reads not among them; live
	// numbers are not published. Every write comes after a read.
	limit := provider.DefaultLimit{Rate: section.Rate{Count: 10, Per: time.Second}, Burst: 20, Concurrency: 16}
	if c.Exclusive {
		limit = provider.DefaultLimit{Rate: section.Rate{Count: 5, Per: time.Second}, Burst: 10, Concurrency: 16}
	}
	return provider.Opened{Adapter: New(c), Auth: cred.auth(), Limit: limit}, nil
}

// Rebilly's own hosts; any other is a proxy or an emulator.
const (
	liveHost    = "api.rebilly.com"
	sandboxHost = "api-sandbox.rebilly.com"
)

// What an id may be.
const (
	maxID   = 50
	idChars = "letters, digits and the signs _ @ ~ - ."
)

// isID reports whether s has the form of Rebilly's ids, organizations' among
// them: [@~\-.0-9A-Za-z_]{1,50}.
func isID(s string) bool {
	other := func(r rune) bool {
		return !(isUpper(r) || 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || strings.ContainsRune("@~-._", r))
	}
	return s != "" && len(s) <= maxID && !strings.ContainsFunc(s, other)
}

// checkBase refuses base URLs that cannot be right. Without an organization
// segment Rebilly uses the key's default organization.
func checkBase(faults *section.Faults, base *url.URL) {
	segments := strings.Split(strings.Trim(base.Path, "/"), "/")
	at := slices.Index(segments, "organizations")
	switch {
	case slices.Contains(segments, "customers"):
		faults.Add("base_url", "must end before /customers, which the gateway adds")
	case at >= 0 && (at != len(segments)-2 || !validID(segments[at+1])):
		faults.Add("base_url", "must end in /organizations/ and the organization's id: at most 50 letters, digits and the signs _ @ ~ - .")
	case at > 0 && isRebilly(base.Hostname()), at < 0 && isRebilly(base.Hostname()) && segments[0] != "":
		faults.Add("base_url", "must be https://%s/organizations/ and the organization's id, without a version", base.Hostname())
	}
	if isRebilly(base.Hostname()) && base.Scheme != "https" {
		faults.Add("base_url", "must be https, or the credential travels in the clear")
	}
}

func isRebilly(host string) bool { return host == liveHost || host == sandboxHost }

// check refuses credentials that cannot work at the host. The form of keys:
// https://www.rebilly.com/docs/dev-docs/api-keys/.
func (c credentials) check(faults *section.Faults, host string) {
	key := c.APIKey.Reveal()
	switch {
	case key == "" && c.JWT == "":
		faults.Add("credentials", "need api_key, a secret API key, or jwt")
	case key != "" && c.JWT != "":
		faults.Add("credentials", "must not have both api_key and jwt; Rebilly takes one of them")
	case strings.HasPrefix(key, "pk_"):
		faults.Add("credentials.api_key", "is a publishable key, which may not write customers; use a secret key, which begins with sk_")
	case strings.HasPrefix(key, "sk_sandbox_") && host == liveHost:
		faults.Add("credentials.api_key", "is a sandbox key, but base_url is production; use a live key or https://%s", sandboxHost)
	case strings.HasPrefix(key, "sk_live_") && host == sandboxHost:
		faults.Add("credentials.api_key", "is a live key, but base_url is the sandbox; use a sandbox key or https://%s", liveHost)
	case strings.HasPrefix(strings.ToLower(c.JWT.Reveal()), "bearer "):
		faults.Add("credentials.jwt", "must be the token alone, without Bearer")
	case strings.ContainsFunc(key+c.JWT.Reveal(), unicode.IsSpace):
		faults.Add("credentials", "must not have white space")
	}
}

func (c credentials) auth() canonical.Auth {
	if c.JWT != "" {
		return canonical.Auth{Header: map[string]canonical.Secret{"Authorization": "Bearer " + c.JWT}}
	}
	return canonical.Auth{Header: map[string]canonical.Secret{"REB-APIKEY": c.APIKey}}
}

// addressTypes are the canonical types of addresses.
var addressTypes = []string{"billing", "shipping", "home", "work", "other"}

func (c *Config) check(faults *section.Faults) {
	if utf8.RuneCountInString(c.WebsiteID) > 50 || strings.ContainsFunc(c.WebsiteID, unicode.IsSpace) {
		faults.Add("settings.website_id", "must be a website's id: at most 50 characters and no white space")
	}
	for key, label := range map[string]string{"email_label": c.EmailLabel, "phone_label": c.PhoneLabel} {
		if utf8.RuneCountInString(label) > maxLabel {
			faults.Add("settings."+key, "must not be longer than %d characters", maxLabel)
		}
	}
	for _, t := range c.AddressTypes {
		if !slices.Contains(addressTypes, t) {
			faults.Add("settings.address_types", "has %q, which is not among %s", t, strings.Join(addressTypes, ", "))
		}
	}
	for _, field := range c.CustomFields {
		if !fieldShape.MatchString(field) {
			faults.Add("settings.custom_fields", "has %q; names are at most 60 letters, digits, _ and -", field)
		}
	}
	if c.CustomFieldMax < 0 || c.CustomFieldMax > maxCustomText {
		faults.Add("settings.custom_field_max", "must be 1 to %d, or left out for %d", maxCustomText, defaultCustomText)
	}
}

// Adapter translates for one route.
type Adapter struct {
	config  Config
	fields  *mapping.Table
	company *mapping.Table // as fields, with the organization from the address
	header  http.Header
}

var _ canonical.Adapter = (*Adapter)(nil)

// New returns the adapter for a checked Config.
func New(c Config) *Adapter {
	if c.EmailLabel == "" {
		c.EmailLabel = "main"
	}
	if c.PhoneLabel == "" {
		c.PhoneLabel = "main"
	}
	fields := fieldsFor(c)
	return &Adapter{
		config: c,
		fields: fields,
		company: fields.With("primaryAddress.organization", func(f *mapping.Field) {
			f.From = "/addresses/*/company"
		}),
		header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
	}
}

// Name returns "rebilly".
func (a *Adapter) Name() string { return name }

// Translate returns the read of an upsert, or the write if the route is
// exclusive.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	m := a.mapped(u, canonical.Value{})
	defer m.Close()
	notices, err := m.Finish()
	faults := slices.Concat(checkID(u), checkData(u))
	if err != nil {
		faults = append(faults, a.refine(u, canonical.AsError(err).Fields)...)
	}
	if len(faults) > 0 {
		return nil, nil, mapping.Unfit(name, faults...)
	}
	if a.config.Exclusive {
		return a.write(u, m.Body, m.Links()), notices, nil
	}
	return &canonical.Request{
		Op:         opRead,
		Method:     http.MethodGet,
		Path:       path(u) + "?expand=leadSource", // it is in no answer otherwise
		Header:     http.Header{"Accept": a.header["Accept"]},
		Repeatable: true,
	}, notices, nil
}

// write returns the PUT of a whole customer.
func (a *Adapter) write(u canonical.Upsert, body canonical.Value, links []canonical.Link) *canonical.Request {
	token := body.Get("paymentToken")
	return &canonical.Request{
		Op:     opUpsert,
		Method: http.MethodPut,
		Path:   path(u),
		Header: a.header,
		Body:   body.Encode(),
		// The id is the caller's, so that a repeat converges; but the first
		// success consumes a payment token, and a repeat would be refused.
		Repeatable: token.IsZero() || token.Kind() == canonical.KindNull,
		Links:      links,
	}
}

// remoteID is the id under which Rebilly has the customer, or is to have it.
func remoteID(u canonical.Upsert) string {
	if u.RemoteID != "" {
		return u.RemoteID
	}
	return u.ID
}

func path(u canonical.Upsert) string { return "/customers/" + url.PathEscape(remoteID(u)) }

// validID reports whether an id can be a segment of a path at Rebilly. Its
// pattern admits "." and "..", which would lead elsewhere.
func validID(id string) bool { return isID(id) && id != "." && id != ".." }

// checkID refuses an id that Rebilly does not take.
func checkID(u canonical.Upsert) []canonical.FieldError {
	id, pointer := remoteID(u), "/id"
	if validID(id) {
		return nil
	}
	for _, x := range u.Customer.ExternalIDs.Value() {
		if x.ID == id && id != u.ID {
			pointer = canonical.JoinPointer("/externalIds", x.Route)
			break
		}
	}
	fe := canonical.FieldError{Pointer: pointer, Field: "id", Code: canonical.FieldInvalid,
		Message: "rebilly: an id may only have " + idChars + ` and must not be "." or ".."`}
	if utf8.RuneCountInString(id) > maxID {
		fe.Code, fe.Message = canonical.FieldTooLong, fmt.Sprintf("rebilly: an id takes at most %d characters", maxID)
	}
	return []canonical.FieldError{fe}
}

// checkData refuses what must not be sent, even at the caller's own word.
func checkData(u canonical.Upsert) []canonical.FieldError {
	var faults []canonical.FieldError
	refuse := func(pointer, field, why string) {
		faults = append(faults, canonical.FieldError{Pointer: pointer, Field: field, Code: canonical.FieldUnsupported, Message: "rebilly: " + field + " " + why})
	}
	for _, d := range u.ProviderData {
		base := canonical.JoinPointer("/providerData", d.Key)
		for i := range d.Object.Len() {
			if member := d.Object.NameAt(i); readOnly[member] != "" {
				refuse(canonical.JoinPointer(base, member), member, readOnly[member])
			}
		}
		if d.Object.Get("primaryAddress").Has("hash") {
			refuse(base+"/primaryAddress/hash", "primaryAddress.hash", "is set by Rebilly")
		}
	}
	return faults
}

// Interpret reads the reply to the read or to the write.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	body, _ := got.JSON()
	id := strings.Clone(body.Get("id").Str())
	switch {
	case sent.Op == opRead && got.Status == http.StatusNotFound && saysNotThere(got, body):
		return a.create(u, sent, got)
	case got.Status < 200 || got.Status > 299:
		return canonical.Outcome{}, a.failure(u, sent, got, got.Status)
	case body.Kind() != canonical.KindObject:
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not JSON; check base_url")
	case id == "" && statusOf(body) >= 400: // a refusal under the wrong status
		return canonical.Outcome{}, a.failure(u, sent, got, statusOf(body))
	case id != remoteID(u):
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not about this customer")
	case sent.Op == opRead && got.Status == http.StatusOK:
		return a.update(u, body)
	case sent.Op == opUpsert && got.Status == http.StatusOK:
		return canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: id}, nil
	case sent.Op == opUpsert && got.Status == http.StatusCreated:
		return canonical.Outcome{Action: canonical.ActionCreated, RemoteID: id}, nil
	}
	return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer does not say that the customer was saved")
}

// create goes on where there is no customer yet. One that was there under an id
// of Rebilly's own has been merged away or deleted, and is not made anew.
func (a *Adapter) create(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if remoteID(u) != u.ID {
		return canonical.Outcome{}, a.failure(u, sent, got, http.StatusGone)
	}
	m := a.mapped(u, canonical.Value{})
	defer m.Close()
	if _, err := m.Finish(); err != nil {
		return canonical.Outcome{}, err
	}
	return canonical.Outcome{Next: a.write(u, m.Body, m.Links())}, nil
}

// update goes on where there is a customer: what it has and the caller did not
// state stays. If that leaves nothing to change, the upsert is finished.
func (a *Adapter) update(u canonical.Upsert, record canonical.Value) (canonical.Outcome, error) {
	had := writable(record)
	m := a.mapped(u, had)
	defer m.Close()
	if _, err := m.Finish(); err != nil {
		return canonical.Outcome{}, err
	}
	body := had.Clone()
	a.forget(&body, u.Customer, m.Body)
	body.Merge(m.Body)
	if bare(body, false).Equal(bare(had, false)) && !clearsUnread(m.Body, record) {
		return canonical.Outcome{Action: canonical.ActionNone, RemoteID: remoteID(u)}, nil
	}
	return canonical.Outcome{Next: a.write(u, body, m.Links())}, nil
}
