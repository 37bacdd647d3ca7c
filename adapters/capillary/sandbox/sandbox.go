// Package sandbox emulates Capillary's customer upsert API: token endpoint,
// Basic authentication, POST /v2/integrations/customer/upsert/bulk with its verdict
// per row, and POST /v2/customers/{id}/changeIdentifier.
//
// It is written from the contract sheet and from Capillary's published pages,
// never from the adapter. Where those are silent it takes the stricter reading;
// Options says which.
package sandbox

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// The credentials that every emulator accepts. They open nothing else.
const (
	ClientKey    = "emulator-key"
	ClientSecret = "emulator-secret"
	TillUser     = "emulator.till"
	TillPassword = "emulator-password"
)

const (
	upsertPath = "/v2/integrations/customer/upsert/bulk"
	tokenPath  = "/v3/oauth/token/generate"
)

// Account is one account of a source. INSTORE and other single-account sources
// have an empty ID.
type Account struct {
	Source string
	ID     string
}

// Series is a loyalty card series of the organisation.
type Series struct {
	ID   int64
	Code string
	Name string
}

// Empty says how the errors or warnings of a row are written when there are
// none; published samples show all four.
type Empty string

// The spellings of an empty list.
const (
	EmptyList   Empty = ""       // []
	EmptyNull   Empty = "null"   // null
	EmptyAbsent Empty = "absent" // no member at all
	EmptyObject Empty = "object" // [{}]
)

// Options adjust the emulator. The zero value is an organisation with demo
// accounts, labels and fields.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Basic makes Route hand out the till's credentials instead of the OAuth
	// client's. Both are always accepted.
	Basic bool
	// TokenTTL is the lifetime of an access token; default 300 s.
	TokenTTL time.Duration
	// TokenErrorStatus is the HTTP status of the token endpoint's refusal. It is
	// unpublished; default 200, which makes the body decide.
	TokenErrorStatus int
	// BadTokenStatus is the HTTP status of the answer to a bad or expired token.
	// It is unpublished; default 401.
	BadTokenStatus int
	// EmptyUnauthorized answers bad Basic credentials with an empty body instead
	// of XML.
	EmptyUnauthorized bool

	// Accounts are the source accounts of the organisation, the first one being
	// the route's; default WEB_ENGAGE 311c4dd1, WEB_ENGAGE 7be01c52 and INSTORE.
	Accounts []Account
	// LooseSource takes a profile without source for the first account, as one
	// published sample suggests, instead of refusing it.
	LooseSource bool
	// PrimaryIdentifier is the identifier type that customers are registered by;
	// default mobile. A new customer with an invalid one is refused (8014).
	PrimaryIdentifier string
	// ExternalIDs replaces the external id of new customers by a generated one.
	ExternalIDs bool
	// StatusLabels and CardLabels are the defined labels of customers and cards.
	StatusLabels, CardLabels []string
	// NoDefaultStatus leaves the organisation without a default customer status,
	// so that customers without one are created with warning 8107.
	NoDefaultStatus bool
	// CardSeries are the card series; default BUKLPRM (46).
	CardSeries []Series
	// ExtendedFields are the extended fields that are enabled; default those of
	// the sheet.
	ExtendedFields []string
	// CustomFields are the custom fields that are defined; nil means any name.
	CustomFields []string
	// Entities are the till and store codes that calls may be attributed to;
	// default the till of the credentials.
	Entities []string
	// FallBackTill attributes calls with an unknown code to the default till
	// instead of refusing them.
	FallBackTill bool

	// MaxRows is the batch limit; default 10.
	MaxRows int
	// MaxRecords bounds how many customers are held; default 100,000.
	MaxRecords int
	// Sequential works on one customer twice in a call, row after row. Otherwise
	// the later row is refused, because another action is running (521).
	Sequential bool
	// AllowUnknown ignores members that no page documents instead of refusing
	// the call.
	AllowUnknown bool
	// FailureStatus is the HTTP status when a row failed: 0 for 200, or 201,
	// which the published status codes document for this case.
	FailureStatus int
	// ReverseRows answers the rows last to first: their order is undocumented.
	ReverseRows bool
	// Empty is how empty errors and warnings are written.
	Empty Empty
	// SendRetryAfter adds Retry-After to 429, which is unpublished.
	SendRetryAfter bool
}

// Refusal is a reason to refuse every authenticated call.
type Refusal string

// The refusals.
const (
	RefuseNothing       Refusal = ""
	RefuseAccessGroup   Refusal = "access group"  // 403, code 4000: no write access to customers
	RefuseClientScope   Refusal = "client scope"  // 403 in the old shape: the API client's scope
	RefuseAuthorization Refusal = "authorization" // 503, code 4001: authorization status unavailable
)

// Verdict is what rows with a given identifier are answered beyond what the
// emulator finds itself.
type Verdict struct {
	Errors   []Issue
	Warnings []Issue
	// Unsaved leaves the customer as it was; the row has no entityId.
	Unsaved bool
	// Times is how many rows; 0 means until cleared.
	Times int
}

// Sandbox is the emulated organisation. It is safe for concurrent use.
type Sandbox struct {
	opts Options

	mu        sync.Mutex
	tokens    tokens
	refusal   Refusal
	verdicts  map[string]*Verdict
	customers map[int64]*customer
	index     map[identifierKey]int64
	nextID    int64
	requests  uint64
}

var _ emulator.Provider = (*Sandbox)(nil)

// New returns an organisation without customers.
func New(opts Options) *Sandbox {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.TokenTTL = cmp.Or(opts.TokenTTL, 300*time.Second)
	opts.TokenErrorStatus = cmp.Or(opts.TokenErrorStatus, http.StatusOK)
	opts.BadTokenStatus = cmp.Or(opts.BadTokenStatus, http.StatusUnauthorized)
	opts.PrimaryIdentifier = cmp.Or(opts.PrimaryIdentifier, "mobile")
	opts.MaxRows = cmp.Or(opts.MaxRows, 10)
	opts.MaxRecords = cmp.Or(opts.MaxRecords, 100_000)
	if len(opts.Accounts) == 0 {
		opts.Accounts = []Account{{"WEB_ENGAGE", "311c4dd1"}, {"WEB_ENGAGE", "7be01c52"}, {"INSTORE", ""}}
	}
	if opts.StatusLabels == nil {
		opts.StatusLabels = []string{"Active", "Suspended", "Deleted", "Fraud suspected", "Fraud confirmed", "Internal", "Pending deletion"}
	}
	if opts.CardLabels == nil {
		opts.CardLabels = []string{"ACTIVE", "INACTIVE", "EXPIRED", "NEW CARD"}
	}
	if opts.CardSeries == nil {
		opts.CardSeries = []Series{{ID: 46, Code: "BUKLPRM", Name: "BUKL Premier"}}
	}
	if opts.ExtendedFields == nil {
		opts.ExtendedFields = []string{"gender", "city", "state", "area", "zip", "dob", "country_of_residence", "preferred_language", "acquisition_channel"}
	}
	if opts.Entities == nil {
		opts.Entities = []string{TillUser}
	}
	return &Sandbox{
		opts:      opts,
		tokens:    tokens{expiry: map[string]time.Time{}},
		verdicts:  map[string]*Verdict{},
		customers: map[int64]*customer{},
		index:     map[identifierKey]int64{},
		nextID:    176671442,
	}
}

// Name is "capillary".
func (s *Sandbox) Name() string { return "capillary" }

// Route gives the credentials, and the source account of the first account.
func (s *Sandbox) Route() emulator.Route {
	credentials := map[string]string{"client_key": ClientKey, "client_secret": ClientSecret}
	if s.opts.Basic {
		credentials = map[string]string{"till_user": TillUser, "till_password": TillPassword}
	}
	account := s.opts.Accounts[0]
	return emulator.Route{
		Credentials: credentials,
		Settings:    map[string]any{"source": account.Source, "account_id": account.ID},
	}
}

// Records lists the customers by id, each as the API returns it.
func (s *Sandbox) Records() []emulator.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]emulator.Record, 0, len(s.customers))
	for _, c := range s.customers {
		records = append(records, c.record())
	}
	slices.SortFunc(records, func(a, b emulator.Record) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return records
}

// Record returns the customer with the given id.
func (s *Sandbox) Record(id string) (emulator.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return emulator.Record{}, false
	}
	c, ok := s.customers[n]
	if !ok {
		return emulator.Record{}, false
	}
	return c.record(), true
}

// Delete removes the customer with the given id, as somebody at Capillary would,
// and reports whether there was one.
func (s *Sandbox) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := strconv.ParseInt(id, 10, 64)
	c := s.customers[n]
	if err != nil || c == nil {
		return false
	}
	for _, p := range c.profiles {
		for _, i := range p.identifiers {
			delete(s.index, identifierKey{p.account, i.kind, i.value})
		}
	}
	delete(s.customers, n)
	return true
}

// Seed upserts one customer given as a row of the request body, identifiers
// included, and returns its id.
func (s *Sandbox) Seed(row json.RawMessage) (string, error) {
	rows, err := decodeRows(slices.Concat([]byte("["), row, []byte("]")), s.opts.AllowUnknown)
	if err != nil {
		return "", fmt.Errorf("capillary: seed: %w", err)
	}
	if len(rows) != 1 {
		return "", fmt.Errorf("capillary: seed: got %d rows; give exactly one", len(rows))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.upsert(rows[0], false)
	if len(got.errors) > 0 {
		return "", fmt.Errorf("capillary: seed: code %d: %s", got.errors[0].Code, got.errors[0].Message)
	}
	if got.customer == nil {
		return "", errors.New("capillary: seed: a verdict keeps the row from being saved; clear it first")
	}
	return strconv.FormatInt(got.customer.id, 10), nil
}

// Judge sets the verdict on rows that hold an identifier with the given value.
func (s *Sandbox) Judge(identifier string, v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.verdicts[identifier] = &v
}

// Busy refuses the given number of rows with the identifier, or all of them for
// 0, because another action is running for the customer (521).
func (s *Sandbox) Busy(identifier string, times int) {
	s.Judge(identifier, Verdict{Errors: []Issue{issue(codeBusy)}, Unsaved: true, Times: times})
}

// Clear forgets all verdicts and the refusal.
func (s *Sandbox) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.verdicts)
	s.refusal = RefuseNothing
}

// Refuse refuses every authenticated call from now on.
func (s *Sandbox) Refuse(r Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = r
}

// ExpireTokens ends every access token now; they are answered with 498.
func (s *Sandbox) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	for t := range s.tokens.expiry {
		s.tokens.expiry[t] = now
	}
}

// RevokeTokens forgets every access token; they are answered with 401.
func (s *Sandbox) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = tokens{expiry: map[string]time.Time{}}
}

// ServeHTTP answers the token endpoint, the bulk upsert and the change of
// identifiers.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	changed, change := customerToChange(r.URL.Path)
	if r.URL.Path != tokenPath && r.URL.Path != upsertPath && !change {
		writeIssue(w, http.StatusNotFound, Issue{Code: 404, Message: "Incorrect resource or resource not found."})
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		writeIssue(w, http.StatusMethodNotAllowed, Issue{Code: 405, Message: "The operation is not supported for the resource."})
		return
	}
	switch {
	case change:
		s.serveChange(w, r, changed)
	case r.URL.Path == tokenPath:
		s.serveToken(w, r)
	default:
		s.serveUpsert(w, r)
	}
}

// RateLimited answers 429. Its body is unpublished, and so is Retry-After.
func (s *Sandbox) RateLimited(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
	if s.opts.SendRetryAfter {
		seconds := max(1, (retryAfter+time.Second-1)/time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	writeIssue(w, http.StatusTooManyRequests, Issue{Code: 429, Message: "Too many requests"})
}
