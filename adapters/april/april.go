// Package april upserts customers at April (formerly Limepay, now part of
// Spenda), a payments platform.
//
// API: https://docs.meetapril.io/openapi/april-public/customers/upsertcustomer.md.
// What is inferred rather than published is said in the README and can be
// switched by settings.
package april

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"customer-gateway/adapters/april/sandbox"
	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

const name = "april"

// Provider is April's row in the table of providers.
var Provider = provider.Provider{
	Name: name,
	Open: Open,
	Sandbox: func() emulator.Provider {
		return sandbox.New(sandbox.Options{})
	},
}

// Config is a route's settings.
type Config struct {
	// MerchantID acts for this merchant; needed with a marketplace key.
	MerchantID string `koanf:"merchant_id"`
	// Organization lets organizations be sent, under an action name that April
	// has not published.
	Organization bool `koanf:"organization"`
	// Require lists provider fields that this April account insists on, beside
	// emailAddress, which always is.
	Require []string `koanf:"require"`
	// OrganizationFlags says whether organisationKyced and
	// organisationCreditChecked are sent: "false" (default) or "omit".
	OrganizationFlags string `koanf:"organization_flags"`
	// IsVerified says what isVerified is: "omit" (default), "false", or "email"
	// for the verified flag of the primary e-mail address.
	IsVerified string `koanf:"is_verified"`
	// LowerCaseEmail sends e-mail addresses in lower case.
	LowerCaseEmail bool `koanf:"lower_case_email"`
	// Address sends the primary address, which the published sample lacks.
	Address bool `koanf:"address"`
}

// credentials of a route.
type credentials struct {
	APIKey canonical.Secret `koanf:"api_key"` // marketplace API key or merchant secret token
}

// Open checks a route's options and builds its adapter.
func Open(o provider.Options) (provider.Opened, error) {
	var c Config
	var cred credentials
	var faults section.Faults
	faults.Join(o.DecodeSettings(&c), o.DecodeCredentials(&cred))
	checkKey(&faults, cred.APIKey.Reveal(), o.BaseURL)
	c.check(&faults)
	if err := faults.Err(); err != nil {
		return provider.Opened{}, err
	}
	return provider.Opened{
		Adapter: New(c),
		Auth:    canonical.Auth{Header: map[string]canonical.Secret{"Authorization": "Bearer " + cred.APIKey}},
		Limit:   provider.DefaultLimit{Rate: section.Rate{Count: 5, Per: time.Second}, Burst: 5, Concurrency: 8},
	}, nil
}

// The hosts of the two environments, and those of the API before it.
const (
	liveHost    = "api.au.meetapril.io"
	sandboxHost = "api.sandbox.au.meetapril.io"
	deadDomain  = "limepay.com.au"
)

var keyShape = regexp.MustCompile(`^(sandbox|live)_(sk|api|pk)_.+`)

// checkKey refuses keys that cannot work at the host.
func checkKey(faults *section.Faults, key string, base *url.URL) {
	host := base.Hostname()
	if host == deadDomain || strings.HasSuffix(host, "."+deadDomain) {
		faults.Add("base_url", "is a host of the retired Limepay API; use https://%s or https://%s", liveHost, sandboxHost)
	}
	if key == "" {
		faults.Add("credentials.api_key", "is required: a marketplace API key or a merchant secret token")
		return
	}
	m := keyShape.FindStringSubmatch(key)
	switch {
	case m == nil:
		faults.Add("credentials.api_key", "is not an April key; keys begin with live_api_, live_sk_, sandbox_api_ or sandbox_sk_")
	case m[2] == "pk":
		faults.Add("credentials.api_key", "is a public key, which may not upsert customers; use a marketplace API key or a merchant secret token")
	case m[1] == "sandbox" && host == liveHost:
		faults.Add("credentials.api_key", "is a sandbox key, but base_url is production; use a live key or https://%s", sandboxHost)
	case m[1] == "live" && host == sandboxHost:
		faults.Add("credentials.api_key", "is a live key, but base_url is the sandbox; use a sandbox key or https://%s", liveHost)
	}
}

// fieldNames are what settings.require may list.
var fieldNames = []string{"emailAddress", "phoneNumber", "referenceCustomerId", "givenName", "middleName", "familyName"}

func (c *Config) check(faults *section.Faults) {
	if !slices.Contains([]string{"", "omit", "false", "email"}, c.IsVerified) {
		faults.Add("settings.is_verified", "must be omit, false or email")
	}
	if !slices.Contains([]string{"", "omit", "false"}, c.OrganizationFlags) {
		faults.Add("settings.organization_flags", "must be false or omit")
	}
	for _, field := range c.Require {
		if !slices.Contains(fieldNames, field) {
			faults.Add("settings.require", "has %q, which is not among %s", field, strings.Join(fieldNames, ", "))
		}
	}
	if strings.ContainsFunc(c.MerchantID, unicode.IsSpace) {
		faults.Add("settings.merchant_id", "must not have white space")
	}
}

// Adapter translates for one route.
type Adapter struct {
	config    Config
	consumer  *mapping.Table
	organised *mapping.Table
	header    http.Header
}

var _ canonical.Keyer = (*Adapter)(nil)

// New returns the adapter for a checked Config.
func New(c Config) *Adapter {
	a := &Adapter{config: c, consumer: consumerTable(c), organised: organisationFields, header: http.Header{
		"Content-Type": {"application/json; charset=utf-8"},
		"Accept":       {"application/json"},
	}}
	if c.MerchantID != "" {
		a.header.Set("Merchant-Id", c.MerchantID)
	}
	return a
}

// Name returns "april".
func (a *Adapter) Name() string { return name }

// table returns the action of the upsert and its field table.
func (a *Adapter) table(u canonical.Upsert) (action string, t *mapping.Table) {
	if u.Customer.IsOrganization() {
		return "UpsertOrganisationCustomer", a.organised
	}
	return "UpsertConsumerCustomer", a.consumer
}

// noOrganizations refuses an organization.
func noOrganizations() error {
	return mapping.Unfit(name, canonical.FieldError{Pointer: "/kind", Code: canonical.FieldUnsupported,
		Message: "april: organizations are off on this route; the operator turns them on by settings.organization"})
}

// Translate returns the one call of an upsert.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	if u.Customer.IsOrganization() && !a.config.Organization {
		return nil, nil, noOrganizations()
	}
	action, table := a.table(u)
	m := table.Start(u)
	defer m.Close()
	if u.Customer.IsOrganization() {
		a.organisation(m, u)
	} else {
		a.person(m, u)
	}
	mergeData(m, u, action)
	notices, err := m.Finish()
	if err != nil {
		return nil, nil, err
	}
	if u.Follow { // no call of April's gives a record another key
		notices = append(notices, a.Identity(u).Notice(name, u.RemoteID))
	}
	body := canonical.NewObject(1)
	body.Set(action, m.Body)
	return &canonical.Request{
		Op:         "upsert",
		Method:     http.MethodPost,
		Path:       "/customers",
		Header:     a.header,
		Body:       body.Encode(),
		Repeatable: true, // upsert by business key converges
		Links:      m.Links(),
	}, notices, nil
}

// mergeData lays the caller's providerData over the body, with or without the
// action around it.
func mergeData(m *mapping.Mapper, u canonical.Upsert, action string) {
	for _, d := range u.ProviderData {
		if inner := d.Object.Get(action); d.Object.Len() == 1 && inner.Kind() == canonical.KindObject {
			m.MergeAt(&m.Body, "", canonical.JoinPointer("/providerData", d.Key, action), inner)
			continue
		}
		m.Merge(&m.Body, "", d, d.Object)
	}
}

// Identity returns the business key beside the merchant: a consumer's e-mail
// address, or an organization's own id. How April compares addresses is not
// published, so that two spellings are two keys here.
func (a *Adapter) Identity(u canonical.Upsert) canonical.Identity {
	action, table := a.table(u)
	m := table.Start(u)
	defer m.Close()
	field := "emailAddress"
	if u.Customer.IsOrganization() {
		field = "referenceCustomerId"
		m.Put(field, canonical.Text(u.ID))
	} else {
		a.email(m, u.Customer)
	}
	mergeData(m, u, action)
	id := canonical.Identity{Customer: u.ID}
	value := strings.TrimSpace(m.Body.Get(field).Str())
	if value == "" {
		return id
	}
	key := canonical.IdentityKey{Text: action + " " + value, Field: field}
	for _, l := range m.Links() {
		if l.To == field {
			key.Pointer = l.Pointer(u.Customer)
		}
	}
	if key.Pointer == "/id" { // it never changes, unlike what makes it the key
		key.Pointer = "/kind"
	}
	id.Keys = []canonical.IdentityKey{key}
	return id
}

// Interpret reads the reply.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status >= 200 && got.Status < 300 {
		return a.success(u, sent, got)
	}
	return canonical.Outcome{}, a.failure(u, sent, got, got.Status)
}

// success accepts only a body that names the customer.
func (a *Adapter) success(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	body, ok := got.JSON()
	id, merchant := strings.Clone(body.Get("customerId").Str()), body.Get("merchantId").Str()
	switch {
	case !ok:
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not JSON; check base_url")
	case body.Kind() == canonical.KindString:
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamMisconfigured, "the answer is that of the retired Limepay API; check base_url")
	case id == "" && statusOf(body) >= 400: // a refusal under the wrong status
		return canonical.Outcome{}, a.failure(u, sent, got, statusOf(body))
	case id == "":
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer names no customerId")
	case a.config.MerchantID != "" && merchant != "" && merchant != a.config.MerchantID:
		return canonical.Outcome{RemoteID: id}, canonical.Refusal(name, sent, got, canonical.UpstreamMisconfigured, "the customer was written at another merchant than settings.merchant_id")
	}
	return canonical.Outcome{RemoteID: id}, nil // created and updated look the same
}
