package sandbox

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"io"
	"mime"
	"net/http"
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
	token := "eyJraWQiOiJrMSJ9." + rand.Text()
	if len(t.order) == maxTokens {
		delete(t.expiry, t.order[0])
		t.order = t.order[1:]
	}
	t.order = append(t.order, token)
	t.expiry[token] = expiry
	return token
}

// serveToken answers POST /v3/oauth/token/generate.
func (s *Sandbox) serveToken(w http.ResponseWriter, r *http.Request) {
	if !jsonBothWays(r) {
		writeUnsupportedMedia(w)
		return
	}
	body, err := io.ReadAll(r.Body)
	var client struct {
		Key    string `json:"key"`
		Secret string `json:"secret"`
	}
	if err != nil || json.Unmarshal(body, &client) != nil {
		writeIssue(w, http.StatusBadRequest, invalidInput(""))
		return
	}
	if !equal(client.Key, ClientKey) || !equal(client.Secret, ClientSecret) {
		writeJSON(w, s.opts.TokenErrorStatus, map[string]any{
			"data":   nil,
			"errors": []map[string]any{{"code": 320001, "message": "Invalid client key and secret"}},
		})
		return
	}
	s.mu.Lock()
	token := s.tokens.issue(s.opts.Now().Add(s.opts.TokenTTL))
	s.mu.Unlock()
	writeJSON(w, http.StatusOK, map[string]any{
		"data":   map[string]any{"accessToken": token, "ttlSeconds": int64(s.opts.TokenTTL / time.Second)},
		"errors": nil,
	})
}

// authenticate answers the request and reports false unless it bears a good
// token or good till credentials. The till is the one the call is attributed to.
func (s *Sandbox) authenticate(w http.ResponseWriter, r *http.Request) (till string, ok bool) {
	if token := r.Header.Get("X-CAP-API-OAUTH-TOKEN"); token != "" {
		s.mu.Lock()
		expiry, known := s.tokens.expiry[token]
		s.mu.Unlock()
		switch {
		case !known:
			writeOld(w, s.opts.BadTokenStatus, "401", "Unauthorized")
			return "", false
		case !s.opts.Now().Before(expiry):
			writeOld(w, s.opts.BadTokenStatus, "498", "Token expired at "+expiry.UTC().Format("2006-01-02T15:04:05.000-0700"))
			return "", false
		}
		return s.attributeClient(w, r)
	}
	user, password, _ := r.BasicAuth()
	sum := md5.Sum([]byte(TillPassword))
	if !equal(user, TillUser) || !equal(password, hex.EncodeToString(sum[:])) {
		writeUnauthorizedXML(w, s.opts.EmptyUnauthorized)
		return "", false
	}
	return s.attributeTill(w, r)
}

var entityTypes = []string{"TILL", "STORE_CODE", "STORE_NAME", "STORE_EXTERNAL_ID", "STORE_EXTERNAL_ID_1", "STORE_EXTERNAL_ID_2"}

// attributeClient reads the attribution headers of an OAuth call.
func (s *Sandbox) attributeClient(w http.ResponseWriter, r *http.Request) (string, bool) {
	kind := r.Header.Get("X-CAP-API-ATTRIBUTION-ENTITY-TYPE")
	code := r.Header.Get("X-CAP-API-ATTRIBUTION-ENTITY-CODE")
	if code == "" {
		code = r.Header.Get("X-CAP-API-ATTRIBUTION-TILL-CODE")
	}
	if code == "" && kind == "" {
		return TillUser, true
	}
	known := slices.Contains(s.opts.Entities, code) && (kind == "" || slices.Contains(entityTypes, kind))
	if known {
		return code, true
	}
	if s.opts.FallBackTill {
		return TillUser, true
	}
	writeIssue(w, http.StatusBadRequest, issue(codeAttribution))
	return "", false
}

// attributeTill reads the attribution headers of a Basic call: both or neither.
func (s *Sandbox) attributeTill(w http.ResponseWriter, r *http.Request) (string, bool) {
	kind := r.Header.Get("X-CAP-API-ATTRIBUTION-LOOKUP-TYPE")
	code := r.Header.Get("X-CAP-API-ATTRIBUTION-LOOKUP")
	switch {
	case kind == "" && code == "":
		return TillUser, true
	case kind == "" || code == "":
		writeIssue(w, http.StatusBadRequest, issue(codeLookupHeaders))
	case kind != "WECHAT" && kind != "MOBILE_TRIGGER":
		writeIssue(w, http.StatusBadRequest, Issue{Code: 400, Message: "Invalid X-CAP-API-ATTRIBUTION-LOOKUP-TYPE specified."})
	case !slices.Contains(s.opts.Entities, code):
		writeIssue(w, http.StatusBadRequest, issue(codeAttribution))
	default:
		return code, true
	}
	return "", false
}

// jsonBothWays reports whether the request sends and accepts JSON: without
// either header Capillary answers 415.
func jsonBothWays(r *http.Request) bool {
	sent, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || sent != "application/json" {
		return false
	}
	for accepted := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		if t, _, err := mime.ParseMediaType(accepted); err == nil && t == "application/json" {
			return true
		}
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
