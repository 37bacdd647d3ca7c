// Package sandbox emulates the part of April's API 3.0 that keeps customers:
// POST /customers, the upsert by business key, and GET /customers, the query.
//
// April publishes little about refusals. The emulator takes the stricter reading
// of everything unpublished, and an Option loosens it.
package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// What the zero Options hold. The keys work at this emulator only.
const (
	MarketplaceKey = "sandbox_api_emulator"  // acts for Merchant and OtherMerchant
	MerchantSecret = "sandbox_sk_emulator"   // acts for Merchant
	PublicKey      = "sandbox_pk_emulator"   // of no use for customers
	Merchant       = "mcht_Zz6SN_8bIUK88SSm" // the default merchant of the route
	OtherMerchant  = "mcht_Emulator-0000002"
	// ForeignMerchant exists but belongs to another marketplace.
	ForeignMerchant = "mcht_Foreign-00000003"
)

// Bounds of the emulator's memory. April publishes no such bounds.
const (
	maxBody    = 1 << 20   // bytes of one request body
	maxRecords = 100_000   // customers
	maxBytes   = 256 << 20 // bytes of all stored bodies
	maxTokens  = 10_000    // sign-in tokens, and as many scripted refusals
)

// Options adjust the emulator. The zero value has a marketplace of two merchants
// and the strict reading of everything unpublished.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// MarketplaceKey is the key of the marketplace; empty means the constant.
	MarketplaceKey string
	// MerchantSecrets are the merchants' secret tokens and whose they are; nil
	// means MerchantSecret of Merchant.
	MerchantSecrets map[string]string
	// Merchants are the merchants of the marketplace; nil means Merchant and
	// OtherMerchant.
	Merchants []string
	// DefaultMerchant is the merchant of a marketplace key without Merchant-Id,
	// which otherwise is refused.
	DefaultMerchant string
	// Required are the members of a consumer that are required besides
	// emailAddress; Limepay required RequiredByLimepay.
	Required []string

	// AllowMissingAccept answers requests without an Accept header.
	AllowMissingAccept bool
	// AllowUnknown ignores unknown members, an address for example, instead of
	// refusing them.
	AllowUnknown bool
	// AllowPlugin takes the undocumented action of April's own shop plugin.
	AllowPlugin bool
	// RefuseOrganisations refuses the inferred action for organisations.
	RefuseOrganisations bool
	// MergeLeftOut keeps the members an update leaves out, which otherwise go.
	MergeLeftOut bool
	// FoldEmail makes e-mail addresses that differ in case one business key.
	FoldEmail bool
}

// RequiredByLimepay returns the members that Limepay, the API before this one,
// required of a consumer under their present names.
func RequiredByLimepay() []string {
	return []string{"phoneNumber", "referenceCustomerId", "familyName", "isVerified"}
}

// Sandbox is the emulator. It is safe for concurrent use.
type Sandbox struct {
	opts Options

	mu       sync.Mutex
	records  map[businessKey]*record
	order    []businessKey              // in order of creation
	byEmail  map[emailKey][]businessKey // likewise
	bytes    int
	jwts     map[string]session // by token
	refusals map[string][]Error // by e-mail address or reference id
	scripted int                // refusals in all
	serial   int                // numbers tokens, customers and errors
}

// session is what a sign-in token stands for.
type session struct {
	merchant string
	end      time.Time
}

var _ emulator.Provider = (*Sandbox)(nil)

// New returns an emulator that holds no customer.
func New(opts Options) *Sandbox {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.MarketplaceKey == "" {
		opts.MarketplaceKey = MarketplaceKey
	}
	if opts.MerchantSecrets == nil {
		opts.MerchantSecrets = map[string]string{MerchantSecret: Merchant}
	}
	if opts.Merchants == nil {
		opts.Merchants = []string{Merchant, OtherMerchant}
	}
	return &Sandbox{
		opts:     opts,
		records:  map[businessKey]*record{},
		byEmail:  map[emailKey][]businessKey{},
		jwts:     map[string]session{},
		refusals: map[string][]Error{},
	}
}

// Name returns "april".
func (s *Sandbox) Name() string { return "april" }

// Route returns the route of the marketplace key acting for its first merchant.
func (s *Sandbox) Route() emulator.Route {
	route := emulator.Route{
		Credentials: map[string]string{"api_key": s.opts.MarketplaceKey},
		Settings:    map[string]any{"organization": !s.opts.RefuseOrganisations},
	}
	if len(s.opts.Merchants) > 0 {
		route.Settings["merchant_id"] = s.opts.Merchants[0]
	}
	return route
}

// IssueJWT returns a token that may query the customers of merchant until life
// is over.
func (s *Sandbox) IssueJWT(merchant string, life time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.jwts) >= maxTokens {
		clear(s.jwts)
	}
	s.serial++
	token := fmt.Sprintf("emulator.jwt.%d", s.serial)
	s.jwts[token] = session{merchant, s.opts.Now().Add(life)}
	return token
}

// ExpireJWTs ends every token that IssueJWT gave out.
func (s *Sandbox) ExpireJWTs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.jwts)
}

// Refuse makes the next valid upsert of key, an e-mail address or the reference
// id of an organisation, fail with e. Several wait in line. A status that is not
// an error's counts as 409.
func (s *Sandbox) Refuse(key string, e Error) {
	if e.Status < 400 || e.Status > 599 {
		e.Status = http.StatusConflict
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scripted < maxTokens {
		s.scripted++
		s.refusals[key] = append(s.refusals[key], e)
	}
}

// takeRefusal returns the refusal scripted for key, if any; s.mu is held.
func (s *Sandbox) takeRefusal(key string) (Error, bool) {
	line := s.refusals[key]
	if len(line) == 0 {
		return Error{}, false
	}
	s.scripted--
	if len(line) == 1 {
		delete(s.refusals, key)
	} else {
		s.refusals[key] = line[1:]
	}
	return line[0], true
}

// ServeHTTP answers one request.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/customers" {
		s.refuse(w, &Error{Status: http.StatusNotFound, Message: "The requested resource was not found"})
		return
	}
	var answer any
	var e *Error
	switch r.Method {
	case http.MethodPost:
		answer, e = s.post(r)
	case http.MethodGet:
		answer, e = s.query(r)
	default:
		w.Header().Set("Allow", "GET, POST")
		e = &Error{Status: http.StatusMethodNotAllowed, Message: "The method is not allowed here"}
	}
	if e != nil {
		s.refuse(w, e)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// admit checks what all calls share and returns the merchant they act for.
func (s *Sandbox) admit(r *http.Request, allowed ...credential) (merchant string, e *Error) {
	c, merchant, e := s.authenticate(r)
	if e != nil {
		return "", e
	}
	if !slices.Contains(allowed, c) {
		return "", &Error{Status: http.StatusForbidden, Message: "The credential may not be used for this operation"}
	}
	if !s.acceptable(r.Header.Values("Accept")) {
		return "", &Error{Status: http.StatusNotAcceptable, Message: "The Accept header must admit application/json"}
	}
	return s.actFor(c, merchant, r.Header.Values("Merchant-Id"))
}

func (s *Sandbox) post(r *http.Request) (any, *Error) {
	merchant, e := s.admit(r, marketplaceKey, merchantSecret)
	if e != nil {
		return nil, e
	}
	action, body, size, e := readAction(r)
	if e != nil {
		return nil, e
	}
	rec, e := s.upsert(merchant, action, body, size)
	if e != nil {
		return nil, e
	}
	return map[string]string{"customerId": rec.id, "merchantId": rec.key.merchant}, nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// acceptable reports whether an answer in JSON is wanted.
func (s *Sandbox) acceptable(accept []string) bool {
	if len(accept) == 0 {
		return s.opts.AllowMissingAccept
	}
	for _, item := range strings.Split(strings.Join(accept, ","), ",") {
		media, params, _ := strings.Cut(item, ";")
		switch strings.ToLower(strings.TrimSpace(media)) {
		case "application/json", "application/*", "*/*":
			if q := strings.ReplaceAll(params, " ", ""); q != "q=0" && q != "q=0.0" {
				return true
			}
		}
	}
	return false
}
