// Package sandbox emulates the customer part of a Magento 2 shop's REST API:
// search, read, create, update, delete and dry run of customers, the country
// directory and the admin token call.
//
// It is written from the provider's contract sheet and behaves like 2.4.6
// unless [Options] say otherwise. It refuses what a shop refuses, with the same
// statuses and the same bodies, and keeps state with the same semantics: an
// address list replaces all addresses, an id in the body beats the one in the
// path, an unknown id is never created.
package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// Credentials that the emulator accepts. They open nothing else.
const (
	ConsumerKey       = "emulator-consumer-key-0123456789"
	ConsumerSecret    = "emulator-consumer-secret"
	AccessToken       = "emulator-access-token-0123456789"
	AccessTokenSecret = "emulator-access-token-secret"
	Username          = "emulator-admin"
	Password          = "emulator-password"
)

// Version selects the generation of Magento to behave like. Later versions are
// greater.
type Version int

// The versions whose behaviour differs.
const (
	V23  Version = iota - 1 // 2.2.2 to 2.3.x: PUT ignores the id in the path
	V24                     // 2.4.0 to 2.4.6, the default
	V247                    // 2.4.7: unknown members are named, no birth dates in the future
	V248                    // 2.4.8: rules for city and telephone
)

// RouteAuth selects the credentials that [Sandbox.Route] hands out.
type RouteAuth int

// The ways to authenticate.
const (
	OAuth  RouteAuth = iota // OAuth 1.0a of an integration
	Bearer                  // the integration's access token as bearer; needs IntegrationBearer
	Admin                   // user name and password, exchanged for a token
)

// Rights of the customer calls.
const (
	RightRead   = "Magento_Customer::customer"
	RightManage = "Magento_Customer::manage"
	RightDelete = "Magento_Customer::delete"
)

// Store is a store view.
type Store struct {
	Code      string
	ID        int64
	WebsiteID int64
	Name      string
}

// Options adjust a Sandbox. The zero value is a shop of version 2.4.6 in
// production mode with three store views on two websites.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Version is the generation to behave like.
	Version Version
	// RouteAuth selects the credentials in Route.
	RouteAuth RouteAuth
	// Stores are the store views, the default one first. Empty means "default"
	// (1) and "de" (2) on website 1 and "wholesale" (3) on website 2.
	Stores []Store
	// Countries are the countries allowed for every store. Empty allows all
	// those of the directory.
	Countries []string
	// Groups are the customer groups. Empty means 0 to 3.
	Groups []int64
	// Attributes are the codes of the shop's custom attributes; a value for
	// another code is dropped. Nil means segment, loyalty_tier and crm_id.
	Attributes []string
	// RequiredAttributes are those of Attributes that must have a value.
	RequiredAttributes []string
	// Rights are those of the integration and the admin user. Nil means all.
	Rights []string
	// IntegrationBearer accepts the integration's access token as bearer, which
	// is off since 2.4.4. V23 always accepts it.
	IntegrationBearer bool
	// Revoked refuses the integration's access token.
	Revoked bool
	// TwoFactor makes the admin token call refuse right credentials.
	TwoFactor bool
	// GlobalSharing makes e-mail addresses unique across websites.
	GlobalSharing bool
	// Developer is the developer mode: real texts of internal errors, and a
	// trace with every refusal.
	Developer bool
	// MaskedAs400 answers masked database errors with 400 as the newest code
	// does, instead of 500.
	MaskedAs400 bool
	// HTMLNotFound answers an unknown store code with an HTML page, as a web
	// server in front of the shop may.
	HTMLNotFound bool
	// UnmatchedAccept is the status for an Accept header that nothing matches;
	// 0 means 406. Some shops answer 500.
	UnmatchedAccept int
	// StreetLines is how many lines a street may have; 0 means 2.
	StreetLines int
	// TelephoneOptional drops the requirement of a telephone number.
	TelephoneOptional bool
	// InputLimit is how many entries a list may have; 0 means any number. When
	// set, a page may have at most 300 items.
	InputLimit int
	// StrictDefaults is the fault of early 2.4.7: a list of addresses that lacks
	// the present default address is refused.
	StrictDefaults bool
	// B2B adds the company attributes.
	B2B bool
}

// Failure is something that goes wrong inside the shop during a save.
type Failure int

// The failures that FailSaves scripts.
const (
	Deadlock         Failure = iota // masked database error, nothing saved
	LockWait                        // the same with another cause
	AddressDeadlock                 // as Deadlock, but a create keeps the customer without addresses
	UniqueViolation                 // two requests created the same e-mail address at once
	FatalError                      // the PHP process died, nothing saved
	ErrorReport                     // the HTML page of the error report, nothing saved
	Maintenance                     // the HTML page of the maintenance mode, nothing saved
	RolledBackBefore                // an earlier transaction was not completed, nothing saved
)

// maxRecords bounds the customers held.
const maxRecords = 100_000

// Sandbox emulates one shop. It implements emulator.Provider and is safe for
// concurrent use. Make one with New.
type Sandbox struct {
	mu        sync.Mutex
	opts      Options
	shop      shop
	auth      auth
	failures  []Failure
	mails     int
	reportSeq int64
}

var _ emulator.Provider = (*Sandbox)(nil)

// New returns an empty shop.
func New(opts Options) *Sandbox {
	s := &Sandbox{shop: newShop(), auth: newAuth()}
	s.set(opts)
	return s
}

// set stores opts with the defaults filled in.
func (s *Sandbox) set(opts Options) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if len(opts.Stores) == 0 {
		opts.Stores = []Store{
			{Code: "default", ID: 1, WebsiteID: 1, Name: "Default Store View"},
			{Code: "de", ID: 2, WebsiteID: 1, Name: "German Store View"},
			{Code: "wholesale", ID: 3, WebsiteID: 2, Name: "Wholesale Store View"},
		}
	}
	if len(opts.Groups) == 0 {
		opts.Groups = []int64{0, 1, 2, 3}
	}
	if opts.Attributes == nil {
		opts.Attributes = []string{"segment", "loyalty_tier", "crm_id"}
	}
	if opts.Rights == nil {
		opts.Rights = []string{RightRead, RightManage, RightDelete}
	}
	if opts.UnmatchedAccept == 0 {
		opts.UnmatchedAccept = http.StatusNotAcceptable
	}
	if opts.StreetLines <= 0 {
		opts.StreetLines = 2
	}
	s.opts = opts
}

// Configure changes the options while the shop runs.
func (s *Sandbox) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	opts := s.opts
	change(&opts)
	s.set(opts)
}

// FailSaves makes the next saves fail, each with the next of failures.
func (s *Sandbox) FailSaves(failures ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, failures...)
}

// ExpireTokens ends every admin token.
func (s *Sandbox) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auth.tokens = map[string]time.Time{}
}

// Mails returns how many account mails the shop has sent to customers: one for
// each create.
func (s *Sandbox) Mails() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mails
}

// Seed adds a customer given in Magento's own words, such as
// {"email":"jdoe@example.com","firstname":"Jane",…}, and returns its id. An id
// in it is ignored. It is not checked against the shop's rules, so that a
// record can be older than they are.
func (s *Sandbox) Seed(document string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in, fail := s.decodeCustomer([]byte(`{"customer":` + document + `}`))
	if fail != nil {
		return 0, fmt.Errorf("magento sandbox: seed: %s; give one customer object in Magento's own words", fill(fail.message, fail.parameters))
	}
	if s.shop.full() {
		return 0, fmt.Errorf("magento sandbox: seed: the shop already holds %d customers, which is its limit", maxRecords)
	}
	c := s.blank(s.opts.Stores[0])
	c.apply(in)
	c.id = s.shop.nextID()
	if !s.opts.B2B {
		c.company = nil
	}
	c.addresses = nil
	c.defaultBilling, c.defaultShipping = 0, 0
	for _, fields := range in.list("addresses") {
		var a address
		a.apply(fields)
		a.resolveRegion()
		s.shop.place(c, &a, fields)
	}
	s.stamp(c)
	s.shop.put(c)
	return c.id, nil
}

// Record returns the customer with id as a GET would.
func (s *Sandbox) Record(id int64) (json.RawMessage, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.shop.customers[id]
	if !ok {
		return nil, false
	}
	return marshal(c.view()), true
}

// Delete removes the customer with the given id, as an admin would, and reports
// whether there was one.
func (s *Sandbox) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := strconv.ParseInt(id, 10, 64)
	if _, ok := s.shop.customers[n]; err != nil || !ok {
		return false
	}
	s.shop.drop(n)
	return true
}

// Name returns "magento".
func (s *Sandbox) Name() string { return "magento" }

// Records lists the customers in order of creation; Key is the e-mail address.
func (s *Sandbox) Records() []emulator.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]emulator.Record, 0, len(s.shop.order))
	for _, id := range s.shop.order {
		c := s.shop.customers[id]
		records = append(records, emulator.Record{
			ID:       strconv.FormatInt(id, 10),
			Key:      c.text("email"),
			Document: marshal(c.view()),
		})
	}
	return records
}

// RateLimited answers 429 as Magento words it. Magento has no limit on customer
// calls and sends no Retry-After; a proxy in front of it does both, so the
// header is set.
func (s *Sandbox) RateLimited(w http.ResponseWriter, r *http.Request, retryAfter time.Duration) {
	seconds := int64((retryAfter + time.Second - 1) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
	format, ok := negotiate(r)
	if !ok {
		format = formatJSON
	}
	write(w, format, http.StatusTooManyRequests, object{{"message", "Too Many Requests"}, {"trace", nil}})
}

// Route returns what a gateway route needs: the base URL is the root of the
// shop.
func (s *Sandbox) Route() emulator.Route {
	s.mu.Lock()
	defer s.mu.Unlock()
	store := s.opts.Stores[0]
	route := emulator.Route{
		Settings: map[string]any{"store": store.Code, "website_id": store.WebsiteID, "store_id": store.ID},
	}
	switch s.opts.RouteAuth {
	case Bearer:
		route.Credentials = map[string]string{"access_token": AccessToken}
	case Admin:
		route.Credentials = map[string]string{"username": Username, "password": Password}
	default:
		route.Credentials = map[string]string{
			"consumer_key": ConsumerKey, "consumer_secret": ConsumerSecret,
			"access_token": AccessToken, "access_token_secret": AccessTokenSecret,
		}
	}
	return route
}

// store returns the store view with id.
func (s *Sandbox) store(id int64) (Store, bool) {
	for _, st := range s.opts.Stores {
		if st.ID == id {
			return st, true
		}
	}
	return Store{}, false
}

// website returns the default store view of the website with id.
func (s *Sandbox) website(id int64) (Store, bool) {
	for _, st := range s.opts.Stores {
		if st.WebsiteID == id {
			return st, true
		}
	}
	return Store{}, false
}

// allowed reports whether addresses may be in country.
func (s *Sandbox) allowed(country string) bool {
	if _, known := countries[country]; !known {
		return false
	}
	if len(s.opts.Countries) == 0 {
		return true
	}
	for _, c := range s.opts.Countries {
		if c == country {
			return true
		}
	}
	return false
}

// timestamp is the shop's clock as it writes it.
func (s *Sandbox) timestamp() string {
	return s.opts.Now().UTC().Format("2006-01-02 15:04:05")
}

// emailKey is what makes two e-mail addresses the same.
func emailKey(email string) string { return strings.ToLower(strings.TrimSpace(email)) }
