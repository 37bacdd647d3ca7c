package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"
)

const (
	// tokenLife is how long an admin token works.
	tokenLife = 4 * time.Hour
	// lockAfter failures in a row lock the admin user for lockTime.
	lockAfter = 6
	lockTime  = 30 * time.Minute
	// clockSkew is how far in the future a signed request may be.
	clockSkew = 10 * time.Minute
	// maxNonces and maxTokens bound what is remembered; the oldest goes first.
	maxNonces = 100_000
	maxTokens = 1_000
)

// consumerID is the database id of the integration's consumer.
const consumerID = 1

// auth is the shop's memory of who may call.
type auth struct {
	tokens      map[string]time.Time // admin token to the time it ends
	nonces      map[string]bool
	nonceOrder  []string
	failures    int
	lockedUntil time.Time
}

func newAuth() auth {
	return auth{tokens: map[string]time.Time{}, nonces: map[string]bool{}}
}

// identify reports whether r comes from a known integration or admin. Only a
// wrong OAuth header is refused outright; anything else is a guest.
func (s *Sandbox) identify(r *http.Request) (known bool, fail *failure) {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "oauth":
		return s.identifyOAuth(r, rest)
	case "bearer":
		token := strings.TrimSpace(rest)
		if ends, ok := s.auth.tokens[token]; ok {
			if s.opts.Now().Before(ends) {
				return true, nil
			}
			delete(s.auth.tokens, token)
			return false, nil
		}
		on := s.opts.IntegrationBearer || s.opts.Version < V24
		return on && !s.opts.Revoked && token == AccessToken, nil
	}
	return false, nil
}

// authorize reports whether the caller holds right.
func (s *Sandbox) authorize(known bool, right string) bool {
	if !known {
		return false
	}
	for _, r := range s.opts.Rights {
		if r == right {
			return true
		}
	}
	return false
}

// identifyOAuth checks an OAuth 1.0a signature in Magento's order: the nonce is
// used up even when the signature turns out to be wrong.
func (s *Sandbox) identifyOAuth(r *http.Request, header string) (bool, *failure) {
	params := oauthParams(header)
	if v, ok := params["oauth_version"]; ok && v != "1.0" {
		return false, invalid(`The "%1" Oauth version isn't supported.`, []any{v})
	}
	var missing []*failure
	for _, name := range []string{"oauth_consumer_key", "oauth_signature", "oauth_signature_method", "oauth_nonce", "oauth_timestamp", "oauth_token"} {
		if _, ok := params[name]; !ok {
			missing = append(missing, required(name))
		}
	}
	if fail := aggregate(missing); fail != nil {
		return false, fail
	}
	if method := params["oauth_signature_method"]; method != "HMAC-SHA256" {
		return false, invalid("Signature method %1 is not supported", []any{method})
	}
	if params["oauth_consumer_key"] != ConsumerKey {
		return false, unauthorized("A consumer having the specified key does not exist", nil)
	}
	timestamp, err := strconv.ParseInt(params["oauth_timestamp"], 10, 64)
	if err != nil || timestamp <= 0 || timestamp > s.opts.Now().Add(clockSkew).Unix() {
		return false, unauthorized("Incorrect timestamp value in the oauth_timestamp parameter", nil)
	}
	if !s.auth.use(params["oauth_nonce"]) {
		return false, unauthorized("The nonce is already being used by the consumer with ID %1", []any{consumerID})
	}
	if params["oauth_token"] != AccessToken {
		return false, unauthorized("Specified token does not exist", nil)
	}
	if s.opts.Revoked {
		return false, unauthorized("Access token has been revoked", nil)
	}
	if !hmac.Equal([]byte(signature(r, params)), []byte(params["oauth_signature"])) {
		return false, unauthorized("The signature is invalid. Verify and try again.", nil)
	}
	return true, nil
}

// use reports whether nonce is new, and remembers it.
func (a *auth) use(nonce string) bool {
	if a.nonces[nonce] {
		return false
	}
	if len(a.nonceOrder) == maxNonces {
		old := maxNonces / 10
		for _, n := range a.nonceOrder[:old] {
			delete(a.nonces, n)
		}
		a.nonceOrder = append(a.nonceOrder[:0], a.nonceOrder[old:]...)
	}
	a.nonces[nonce] = true
	a.nonceOrder = append(a.nonceOrder, nonce)
	return true
}

// oauthParams reads the parameters of an Authorization header without realm.
func oauthParams(header string) map[string]string {
	params := map[string]string{}
	for _, pair := range strings.Split(header, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || name == "realm" {
			continue
		}
		params[unescape(name)] = unescape(strings.Trim(value, `"`))
	}
	return params
}

// signature computes the HMAC-SHA256 of RFC 5849 section 3.4. A plus sign in
// the query stays a plus sign, as in Magento's own reading of it.
func signature(r *http.Request, params map[string]string) string {
	type pair struct{ name, value string }
	var pairs []pair
	for name, value := range params {
		if name != "oauth_signature" {
			pairs = append(pairs, pair{escape(name), escape(value)})
		}
	}
	for _, token := range strings.Split(r.URL.RawQuery, "&") {
		if token == "" {
			continue
		}
		name, value, _ := strings.Cut(token, "=")
		pairs = append(pairs, pair{escape(unescape(name)), escape(unescape(value))})
	}
	sort.Slice(pairs, func(i, j int) bool {
		if pairs[i].name != pairs[j].name {
			return pairs[i].name < pairs[j].name
		}
		return pairs[i].value < pairs[j].value
	})
	var normalized strings.Builder
	for i, p := range pairs {
		if i > 0 {
			normalized.WriteByte('&')
		}
		normalized.WriteString(p.name + "=" + p.value)
	}
	base := strings.ToUpper(r.Method) + "&" + escape(baseURL(r)) + "&" + escape(normalized.String())
	mac := hmac.New(sha256.New, []byte(escape(ConsumerSecret)+"&"+escape(AccessTokenSecret)))
	mac.Write([]byte(base))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// baseURL is the base string URI of RFC 5849 section 3.4.1.2.
func baseURL(r *http.Request) string {
	scheme, port := "http", ":80"
	if r.TLS != nil {
		scheme, port = "https", ":443"
	}
	// The path as it was sent, whatever a handler in front has cut off.
	path, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + strings.TrimPrefix(r.URL.EscapedPath(), "/")
	}
	return scheme + "://" + strings.TrimSuffix(strings.ToLower(r.Host), port) + path
}

// escape percent-encodes everything but the unreserved characters.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String()
}

// unescape decodes percent-encoding; what is not valid stays as it is.
func unescape(s string) string {
	if decoded, err := url.PathUnescape(s); err == nil {
		return decoded
	}
	return s
}

// adminToken answers POST /V1/integration/admin/token.
func (s *Sandbox) adminToken(c *call) (any, *failure) {
	body, fail := c.decode(s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	var missing []*failure
	values := map[string]string{}
	for _, name := range []string{"username", "password"} {
		value, ok := body[name]
		if !ok || value == nil {
			missing = append(missing, required(name))
			continue
		}
		text, ok := toString(value)
		if !ok {
			return nil, malformed("%s", typeMismatch(value, "string"))
		}
		if text == "" {
			missing = append(missing, required(name))
		}
		values[name] = text
	}
	if fail := aggregate(missing); fail != nil {
		return nil, fail
	}
	now := s.opts.Now()
	if values["username"] != Username || now.Before(s.auth.lockedUntil) {
		return nil, unauthorized(msgSignIn, nil)
	}
	if values["password"] != Password {
		if s.auth.failures++; s.auth.failures >= lockAfter {
			s.auth.failures, s.auth.lockedUntil = 0, now.Add(lockTime)
		}
		return nil, unauthorized(msgSignIn, nil)
	}
	s.auth.failures = 0
	if s.opts.TwoFactor {
		return nil, invalid("Please use the 2fa provider-specific endpoints to obtain a token.",
			object{{"active_providers", []any{"google"}}})
	}
	if len(s.auth.tokens) >= maxTokens {
		s.auth.dropOldest()
	}
	token := rand.Text()
	s.auth.tokens[token] = now.Add(tokenLife)
	return token, nil
}

// dropOldest forgets the token that ends first.
func (a *auth) dropOldest() {
	var oldest string
	var ends time.Time
	for token, t := range a.tokens {
		if oldest == "" || t.Before(ends) {
			oldest, ends = token, t
		}
	}
	delete(a.tokens, oldest)
}
