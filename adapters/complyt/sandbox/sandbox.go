// Package sandbox emulates Complyt's customer API: the token call, and PUT and
// GET of /v1/customers/source/{source}/externalId/{externalId}.
//
// It is written from the contract sheet, never from the adapter. No error body
// of Complyt is published, so where the sheet knows of several revisions or only
// infers, Options holds the choice and its zero value is the newest revision in
// the stricter reading.
package sandbox

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/adapters/emulator"
)

// The credentials that every emulator accepts. They open nothing else.
const (
	ClientID     = "emulator-client"
	ClientSecret = "emulator-secret"
)

// Revision is a generation of the error answers.
type Revision string

// The revisions.
const (
	Newest Revision = ""       // all keys, the last one "url"
	Older  Revision = "older"  // the last key "endpoint url", English field labels, one text for conflicts
	Oldest Revision = "oldest" // only "message" and "endpoint url ", a space at its end
)

// Options adjust the emulator. The zero value is the strictest revision.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// TokenTTL is the lifetime of an access token; default 24 h.
	TokenTTL time.Duration
	// SnakeToken writes the token answer as access_token, token_type and
	// expires_in.
	SnakeToken bool
	// Errors is the generation of the error answers.
	Errors Revision
	// RepeatMessage lists the first validation message twice.
	RepeatMessage bool
	// MaxSource is the largest source number; default 15.
	MaxSource int
	// CompleteEcho answers a PUT that changes nothing with the stored record. By
	// default it echoes what was sent, without complytId and internalTimestamps.
	CompleteEcho bool
	// CoerceNumbers takes a number for source and externalId, as some published
	// examples send them.
	CoerceNumbers bool
	// AllowEmptyParts takes "" for a part of the address.
	AllowEmptyParts bool
	// AllowUnknown ignores unknown and read-only members.
	AllowUnknown bool
	// AddressErrors refuses a wrong ZIP with ERR-ADDR-002 instead of a
	// validation message.
	AddressErrors bool
	// RefuseEncodedSlash refuses %2F in the path, as a proxy may.
	RefuseEncodedSlash bool
	// SendRetryAfter adds Retry-After to 429.
	SendRetryAfter bool
	// MaxRecords bounds how many customers are held; default 100,000.
	MaxRecords int
}

// Sandbox is one emulated tenant. It is safe for concurrent use.
type Sandbox struct {
	opts Options

	mu          sync.Mutex
	tokens      tokens
	tokenStatus int
	forbidden   []string
	records     map[key]*record
	order       []key
	requests    uint64
}

var _ emulator.Provider = (*Sandbox)(nil)

// New returns a tenant without customers.
func New(opts Options) *Sandbox {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	opts.TokenTTL = cmp.Or(opts.TokenTTL, 24*time.Hour)
	opts.MaxSource = cmp.Or(opts.MaxSource, 15)
	opts.MaxRecords = cmp.Or(opts.MaxRecords, 100_000)
	return &Sandbox{opts: opts, tokens: tokens{expiry: map[string]time.Time{}}, records: map[key]*record{}}
}

// Name is "complyt".
func (s *Sandbox) Name() string { return "complyt" }

// Route gives the client's credentials and source 1.
func (s *Sandbox) Route() emulator.Route {
	return emulator.Route{
		Credentials: map[string]string{"client_id": ClientID, "client_secret": ClientSecret},
		Settings:    map[string]any{"source": "1"},
	}
}

// Records lists the customers in order of creation, each as GET returns it.
func (s *Sandbox) Records() []emulator.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := make([]emulator.Record, 0, len(s.order))
	for _, k := range s.order {
		records = append(records, s.records[k].show())
	}
	return records
}

// Record returns the customer of a source and external id.
func (s *Sandbox) Record(source, externalID string) (emulator.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.records[key{source, externalID}]
	if !ok {
		return emulator.Record{}, false
	}
	return held.show(), true
}

// Delete removes the customer with the given complytId, and reports whether there
// was one.
func (s *Sandbox) Delete(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range s.order {
		if s.records[k].complytID == id {
			delete(s.records, k)
			s.order = slices.Delete(s.order, i, i+1)
			return true
		}
	}
	return false
}

// Seed stores a customer given as the body of a PUT and returns its complytId.
func (s *Sandbox) Seed(customer json.RawMessage) (string, error) {
	in, err := s.decode(customer)
	if err != nil {
		return "", fmt.Errorf("complyt: seed: %w", err)
	}
	if messages := s.validate(in); len(messages) > 0 {
		return "", fmt.Errorf("complyt: seed: %s", strings.Join(messages, ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	held, _, err := s.put(in)
	if err != nil {
		return "", fmt.Errorf("complyt: seed: %w", err)
	}
	return held.complytID, nil
}

// Forbid answers 403 to customer calls with one of the methods, as if the
// token's scope were missing; without methods, to none.
func (s *Sandbox) Forbid(methods ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forbidden = methods
}

// FailTokens answers the token call with the given status, as if the identity
// provider behind it had failed, until called with 0.
func (s *Sandbox) FailTokens(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokenStatus = status
}

// ExpireTokens ends every access token now.
func (s *Sandbox) ExpireTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	for t := range s.tokens.expiry {
		s.tokens.expiry[t] = now
	}
}

// RevokeTokens forgets every access token.
func (s *Sandbox) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = tokens{expiry: map[string]time.Time{}}
}

// ServeHTTP answers the token call and the customer calls.
func (s *Sandbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1/token" {
		s.serveToken(w, r)
		return
	}
	k, ok := customerPath(r.URL)
	if !ok {
		s.fail(w, r, http.StatusNotFound, messageNotFound)
		return
	}
	if s.opts.RefuseEncodedSlash && strings.Contains(strings.ToLower(r.URL.EscapedPath()), "%2f") {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if r.Method != http.MethodPut && r.Method != http.MethodGet {
		w.Header().Set("Allow", "GET, PUT")
		s.fail(w, r, http.StatusMethodNotAllowed, "405 Method Not Allowed")
		return
	}
	if !s.authorize(w, r) {
		return
	}
	if message := s.checkPath(k); message != "" {
		s.fail(w, r, http.StatusBadRequest, "["+message+"]")
		return
	}
	if r.Method == http.MethodGet {
		s.serveGet(w, r, k)
		return
	}
	s.servePut(w, r, k)
}

// customerPath reads /v1/customers/source/{source}/externalId/{externalId}. The
// segments are split before they are unescaped, so that an id may hold a slash.
func customerPath(u *url.URL) (key, bool) {
	parts := strings.Split(u.EscapedPath(), "/")
	if len(parts) != 7 || !slices.Equal(parts[:4], []string{"", "v1", "customers", "source"}) || parts[5] != "externalId" {
		return key{}, false
	}
	source, err := url.PathUnescape(parts[4])
	if err != nil {
		return key{}, false
	}
	id, err := url.PathUnescape(parts[6])
	// Dot segments never arrive: proxies resolve them to another path.
	if err != nil || id == "" || id == "." || id == ".." {
		return key{}, false
	}
	return key{source, id}, true
}

func (s *Sandbox) checkPath(k key) string {
	switch {
	case !s.sourceInRange(k.source):
		return s.outOfRange()
	case units(k.externalID) > 256:
		return s.label("externalId") + " should be 1-256 characters long"
	}
	return ""
}

// sourceInRange reports whether source is a number from 1 up, without a leading
// zero.
func (s *Sandbox) sourceInRange(source string) bool {
	n, err := strconv.Atoi(source)
	return err == nil && strconv.Itoa(n) == source && n >= 1 && n <= s.opts.MaxSource
}

func (s *Sandbox) outOfRange() string {
	return fmt.Sprintf("%s has to be in range 1-%d", s.label("source"), s.opts.MaxSource)
}

func (s *Sandbox) serveGet(w http.ResponseWriter, r *http.Request, k key) {
	s.mu.Lock()
	held, ok := s.records[k]
	var body json.RawMessage
	if ok {
		body = held.document()
	}
	s.mu.Unlock()
	if !ok {
		s.fail(w, r, http.StatusNotFound, messageNotFound)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// RateLimited answers 429 as the mesh in front does: Complyt itself publishes no
// limit.
func (s *Sandbox) RateLimited(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
	if s.opts.SendRetryAfter {
		seconds := max(1, (retryAfter+time.Second-1)/time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusTooManyRequests)
	_, _ = w.Write([]byte("local_rate_limited"))
}
