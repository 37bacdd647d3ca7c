package sandbox

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxTokens bounds the remembered tokens; the oldest are forgotten first.
const maxTokens = 1000

// tokens are the access tokens issued so far, expired ones included.
type tokens struct {
	expiry map[string]time.Time
	order  []string
}

func (t *tokens) issue(expiry time.Time) string {
	token := "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9." + rand.Text() + "." + rand.Text()
	if len(t.order) == maxTokens {
		delete(t.expiry, t.order[0])
		t.order = t.order[1:]
	}
	t.order = append(t.order, token)
	t.expiry[token] = expiry
	return token
}

// serveToken answers POST /v1/token.
func (s *Sandbox) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		s.fail(w, r, http.StatusMethodNotAllowed, "405 Method Not Allowed")
		return
	}
	id, secret, status, message := readCredentials(r)
	s.mu.Lock()
	failure := s.tokenStatus
	s.mu.Unlock()
	switch {
	case failure != 0:
		status, message = failure, "Failed to create a new token"
	case status != 0:
	case id == nil || secret == nil:
		status, message = http.StatusBadRequest, s.list(missing(id, secret))
	case !equal(*id, ClientID) || !equal(*secret, ClientSecret):
		status, message = http.StatusUnauthorized, "401 Unauthorized"
	}
	if status != 0 {
		s.fail(w, r, status, message)
		return
	}
	s.mu.Lock()
	token := s.tokens.issue(s.opts.Now().Add(s.opts.TokenTTL))
	s.mu.Unlock()
	seconds := int64(s.opts.TokenTTL / time.Second)
	if s.opts.SnakeToken {
		writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": seconds})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"accessToken": token, "tokenType": "Bearer", "expiresIn": seconds})
}

// readCredentials reads the client from JSON or a form. A status other than 0 is
// the answer to a body that cannot be read.
func readCredentials(r *http.Request) (id, secret *string, status int, message string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return nil, nil, http.StatusBadRequest, messageUnreadable
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		var client struct {
			ClientID     *string `json:"clientId"`
			ClientSecret *string `json:"clientSecret"`
		}
		if len(body) == 0 {
			return nil, nil, http.StatusBadRequest, messageNoBody
		}
		if json.Unmarshal(body, &client) != nil {
			return nil, nil, http.StatusBadRequest, messageUnreadable
		}
		return client.ClientID, client.ClientSecret, 0, ""
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, nil, http.StatusBadRequest, messageUnreadable
		}
		if form.Has("clientId") {
			id = new(form.Get("clientId"))
		}
		if form.Has("clientSecret") {
			secret = new(form.Get("clientSecret"))
		}
		return id, secret, 0, ""
	}
	return nil, nil, http.StatusUnsupportedMediaType, messageMediaType
}

func missing(id, secret *string) (messages []string) {
	if id == nil {
		messages = append(messages, "clientId may not be null")
	}
	if secret == nil {
		messages = append(messages, "clientSecret may not be null")
	}
	return messages
}

const (
	invalidToken      = `Bearer error="invalid_token", error_description="%s", error_uri="https://tools.ietf.org/html/rfc6750#section-3.1"`
	insufficientScope = `Bearer error="insufficient_scope", error_description="The request requires higher privileges than provided by the access token.", error_uri="https://tools.ietf.org/html/rfc6750#section-3.1"`
)

// authorize answers the request and reports false unless its token is good and
// its method is within the token's scope. The bodies are empty, as the
// framework's default is.
func (s *Sandbox) authorize(w http.ResponseWriter, r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	s.mu.Lock()
	expiry, known := s.tokens.expiry[token]
	forbidden := slices.Contains(s.forbidden, r.Method)
	s.mu.Unlock()
	challenge, status := "", http.StatusUnauthorized
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		challenge = "Bearer"
	case !known:
		challenge = strings.Replace(invalidToken, "%s", "An error occurred while attempting to decode the Jwt: Malformed token", 1)
	case !s.opts.Now().Before(expiry):
		challenge = strings.Replace(invalidToken, "%s", "Jwt expired at "+expiry.UTC().Format(time.RFC3339), 1)
	case forbidden:
		challenge, status = insufficientScope, http.StatusForbidden
	default:
		return true
	}
	w.Header().Set("WWW-Authenticate", challenge)
	w.WriteHeader(status)
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
