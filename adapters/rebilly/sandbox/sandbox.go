// Package sandbox emulates the part of Rebilly's API that keeps customers:
// PUT, GET and DELETE /customers/{id}, with or without the leading
// /organizations/{organization}, and GET /status.
//
// It replaces the whole customer on every PUT, as a PUT with defaulted members
// does, and refuses what Rebilly refuses in Rebilly's own error shapes. Where
// the provider's behaviour is not published, the emulator takes the stricter
// reading and an Option loosens it.
package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// What the zero Options hold. The keys work at this emulator only.
const (
	Organization   = "acme"
	Website        = "web_0YV7DE4Z26DQSA1AC92FBJ7SEG"
	APIKey         = "emulator-key"             // a secret key with every permission
	ReadOnlyKey    = "emulator-read-only-key"   // a secret key that may only read
	PublishableKey = "emulator-publishable-key" // of no use for customers, sent raw in Authorization
)

// Bounds of the emulator's memory. Rebilly publishes no such bounds.
const (
	maxBody    = 1 << 20   // bytes of one request body
	maxRecords = 100_000   // customers, merged ones included
	maxBytes   = 256 << 20 // bytes of all stored bodies
	maxTokens  = 10_000    // payment tokens, and as many sign-in tokens
)

// Rate limit of Rebilly's sandbox: requests other than GET in each window.
const (
	limitRequests = 3000
	limitWindow   = 10 * time.Minute
)

// paymentTokenLife is how long a payment token lives when it is not used.
const paymentTokenLife = 30 * time.Minute

// Options adjust the emulator. The zero value is one organization with one
// website, a few custom fields and the strict reading of everything unpublished.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// APIKey is the secret key that is accepted; empty means the constant APIKey.
	APIKey string
	// AllowedIPs, when not empty, are the only client addresses a key works from.
	AllowedIPs []netip.Prefix
	// Websites are the ids that websiteId may name; nil means Website alone.
	Websites []string
	// CustomFields are the fields defined in the organization; nil means
	// DemoCustomFields.
	CustomFields map[string]CustomField
	// Errors is the shape of errors to begin with; see SetErrors.
	Errors ErrorShape
	// Limit is how many requests other than GET are answered in ten minutes. 0
	// refuses none, and the headers count down from the sandbox's 3000.
	Limit int

	// AllowUnknown ignores unknown members instead of refusing them.
	AllowUnknown bool
	// AllowSupplementary takes characters above U+FFFF in names and addresses.
	AllowSupplementary bool
	// AllowAnyPrimary takes lists of e-mail addresses and phone numbers with no
	// primary entry, or several.
	AllowAnyPrimary bool
	// KeepLeadSource lets a lead source survive a PUT that leaves it out.
	KeepLeadSource bool
	// AllowMerged lets a PUT create a customer under an id that was merged away,
	// which otherwise is a conflict.
	AllowMerged bool
}

// Sandbox is the emulator. It is safe for concurrent use.
type Sandbox struct {
	opts     Options
	websites map[string]bool

	mu            sync.Mutex
	fields        map[string]CustomField // replaced, never changed
	shape         ErrorShape
	records       map[string]*record
	order         []string // ids in order of creation
	merged        map[string]bool
	bytes         int
	jwts          map[string]time.Time // sign-in token to its end
	paymentTokens map[string]time.Time // unused payment token to its end
	serial        int                  // numbers requests, tokens and instruments
	windowStart   time.Time
	windowUsed    int
}

var _ emulator.Provider = (*Sandbox)(nil)

// New returns an emulator that holds no customer.
func New(opts Options) *Sandbox {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.APIKey == "" {
		opts.APIKey = APIKey
	}
	if opts.Websites == nil {
		opts.Websites = []string{Website}
	}
	if opts.CustomFields == nil {
		opts.CustomFields = DemoCustomFields()
	}
	s := &Sandbox{
		opts:          opts,
		websites:      make(map[string]bool, len(opts.Websites)),
		fields:        maps.Clone(opts.CustomFields),
		shape:         opts.Errors,
		records:       map[string]*record{},
		merged:        map[string]bool{},
		jwts:          map[string]time.Time{},
		paymentTokens: map[string]time.Time{},
	}
	for _, id := range opts.Websites {
		s.websites[id] = true
	}
	return s
}

// Name returns "rebilly".
func (s *Sandbox) Name() string { return "rebilly" }

// Route returns the route of organization acme with the emulator's secret key.
func (s *Sandbox) Route() emulator.Route {
	route := emulator.Route{
		BasePath:    "/organizations/" + Organization,
		Credentials: map[string]string{"api_key": s.opts.APIKey},
		Settings:    map[string]any{},
	}
	if len(s.opts.Websites) > 0 {
		route.Settings["website_id"] = s.opts.Websites[0]
	}
	return route
}

// DefineCustomField defines a custom field in the organization, or changes one.
func (s *Sandbox) DefineCustomField(name string, field CustomField) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fields := maps.Clone(s.fields)
	if fields == nil {
		fields = map[string]CustomField{}
	}
	fields[name] = field
	s.fields = fields
}

// SetErrors switches the shape of every error answered from now on.
func (s *Sandbox) SetErrors(shape ErrorShape) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shape = shape
}

// IssuePaymentToken returns a payment token that one PUT can use within thirty
// minutes.
func (s *Sandbox) IssuePaymentToken() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(s.paymentTokens, "payment-token-%d", paymentTokenLife)
}

// IssueJWT returns a token for Authorization: Bearer that ends after life.
func (s *Sandbox) IssueJWT(life time.Duration) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issue(s.jwts, "emulator.jwt.%d", life)
}

// ExpireJWTs ends every token that IssueJWT gave out.
func (s *Sandbox) ExpireJWTs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.jwts)
}

// issue adds a token to tokens; s.mu is held.
func (s *Sandbox) issue(tokens map[string]time.Time, format string, life time.Duration) string {
	now := s.opts.Now()
	maps.DeleteFunc(tokens, func(_ string, end time.Time) bool { return !now.Before(end) })
	if len(tokens) >= maxTokens {
		clear(tokens)
	}
	s.serial++
	token := fmt.Sprintf(format, s.serial)
	tokens[token] = now.Add(life)
	return token
}

// ServeHTTP answers one request.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	segments := split(r.URL)
	if len(segments) == 1 && segments[0] == "status" && r.Method == http.MethodGet {
		writeJSON(w, http.StatusOK, map[string]any{"status": "ok"})
		return
	}
	if p := s.authenticate(r); p != nil {
		s.refuse(w, p)
		return
	}
	if len(segments) >= 2 && segments[0] == "organizations" {
		if segments[1] != Organization {
			s.refuse(w, &problem{status: http.StatusNotFound, detail: "Organization not found"})
			return
		}
		segments = segments[2:]
	}
	if len(segments) != 2 || segments[0] != "customers" {
		s.refuse(w, &problem{status: http.StatusNotFound, detail: "Resource not found"})
		return
	}
	if r.Method != http.MethodGet {
		if wait, over := s.count(); over {
			s.RateLimited(w, r, wait)
			return
		}
	}
	id := segments[1]
	switch r.Method {
	case http.MethodPut:
		s.put(w, r, id)
	case http.MethodGet:
		s.get(w, r, id)
	case http.MethodDelete:
		s.merge(w, r, id)
	default:
		w.Header().Set("Allow", "GET, PUT, DELETE")
		s.refuse(w, &problem{status: http.StatusMethodNotAllowed, detail: "Method not allowed"})
	}
}

// split returns the segments of a URL's path after resolving dot segments, which
// is how an id of ".." reaches another resource.
func split(u *url.URL) []string {
	escaped := strings.NewReplacer("%2e", ".", "%2E", ".").Replace(u.EscapedPath())
	segments := strings.Split(strings.Trim(path.Clean("/"+escaped), "/"), "/")
	for i, segment := range segments {
		if plain, err := url.PathUnescape(segment); err == nil {
			segments[i] = plain
		}
	}
	return segments
}

// count takes a request other than GET from the window, and reports how long to
// wait when there is none left.
func (s *Sandbox) count() (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	if now.Sub(s.windowStart) >= limitWindow {
		s.windowStart, s.windowUsed = now, 0
	}
	if s.opts.Limit > 0 && s.windowUsed >= s.opts.Limit {
		return s.windowStart.Add(limitWindow).Sub(now), true
	}
	s.windowUsed++
	return 0, false
}

// rate returns the limit and what remains of it; s.mu is held.
func (s *Sandbox) rate() (limit, remaining int) {
	limit = s.opts.Limit
	if limit <= 0 {
		limit = limitRequests
	}
	return limit, max(0, limit-s.windowUsed)
}

func (s *Sandbox) put(w http.ResponseWriter, r *http.Request, id string) {
	body, size, p := readBody(r)
	if p != nil {
		s.refuse(w, p)
		return
	}
	rec, p := s.upsert(id, body, size)
	if p != nil {
		s.refuse(w, p)
		return
	}
	status := http.StatusOK
	if rec.isNew {
		status = http.StatusCreated
		s.mu.Lock()
		limit, remaining := s.rate()
		s.mu.Unlock()
		w.Header().Set("Location", origin(r)+customerPath(id))
		w.Header().Set("X-RateLimit-Limit", strconv.Itoa(limit))
		w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(remaining))
	}
	writeJSON(w, status, rec.document(origin(r), r.URL.Query().Get("expand")))
}

func (s *Sandbox) get(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	rec, ok := s.records[id]
	s.mu.Unlock()
	if !ok {
		s.refuse(w, &problem{status: http.StatusNotFound, detail: "Customer not found"})
		return
	}
	writeJSON(w, http.StatusOK, rec.document(origin(r), r.URL.Query().Get("expand")))
}

func (s *Sandbox) merge(w http.ResponseWriter, r *http.Request, id string) {
	if p := s.mergeAway(id, r.URL.Query().Get("targetCustomerId")); p != nil {
		s.refuse(w, p)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// origin returns the scheme and host the client used, for absolute links.
func origin(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// customerPath returns the path of a customer, whose id needs no escaping.
func customerPath(id string) string {
	return "/organizations/" + Organization + "/customers/" + id
}

// readBody reads the one JSON object a PUT consists of.
func readBody(r *http.Request) (body map[string]any, size int, p *problem) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return nil, 0, &problem{status: http.StatusUnsupportedMediaType, detail: "The request body must be application/json"}
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if len(raw) > maxBody {
		return nil, 0, &problem{status: http.StatusRequestEntityTooLarge, detail: "The request body is too large"}
	}
	if err != nil {
		return nil, 0, &problem{status: http.StatusBadRequest, detail: "The request body could not be read"}
	}
	body, err = decodeObject(raw)
	if err != nil {
		return nil, 0, &problem{status: http.StatusBadRequest, detail: "The request body is not a JSON object"}
	}
	return body, len(raw), nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
