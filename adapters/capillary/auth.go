package capillary

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

// credentials of a route: an API client's or a till's.
type credentials struct {
	ClientKey    canonical.Secret `koanf:"client_key"`
	ClientSecret canonical.Secret `koanf:"client_secret"`
	TillUser     canonical.Secret `koanf:"till_user"`
	TillPassword canonical.Secret `koanf:"till_password"`
}

func (c credentials) check(faults *section.Faults) {
	client, till := c.ClientKey != "" || c.ClientSecret != "", c.TillUser != "" || c.TillPassword != ""
	switch {
	case client && till:
		faults.Add("credentials", "must be either client_key and client_secret or till_user and till_password; remove one pair")
	case !client && !till:
		faults.Add("credentials", "must have client_key and client_secret (OAuth, recommended) or till_user and till_password (Basic)")
	case client && c.ClientKey == "":
		faults.Add("credentials.client_key", "is required with client_secret")
	case client && c.ClientSecret == "":
		faults.Add("credentials.client_secret", "is required with client_key")
	case till && c.TillUser == "":
		faults.Add("credentials.till_user", "is required with till_password")
	case till && c.TillPassword == "":
		faults.Add("credentials.till_password", "is required with till_user")
	}
	if strings.Contains(c.TillUser.Reveal(), ":") {
		faults.Add("credentials.till_user", "must not have a colon; Basic authentication cannot carry it")
	}
}

// auth says how to authenticate with checked credentials.
func (c credentials) auth() canonical.Auth {
	if c.TillUser != "" {
		return canonical.Auth{Header: map[string]canonical.Secret{"Authorization": c.basic()}}
	}
	body := canonical.NewObject(2)
	body.Set("key", canonical.Text(c.ClientKey.Reveal()))
	body.Set("secret", canonical.Text(c.ClientSecret.Reveal()))
	request := tokenRequest
	request.Body = body.Encode()
	return canonical.Auth{Token: &canonical.TokenAuth{
		Request:  request,
		Read:     readToken,
		Lifetime: tokenLifetime,
		Header:   "X-CAP-API-OAUTH-TOKEN",
	}}
}

// basic is Basic authentication with the MD5 sum of the till's password in its
// place: https://docs.capillarytech.com/reference/basic-authentication.
func (c credentials) basic() canonical.Secret {
	sum := md5.Sum([]byte(c.TillPassword.Reveal()))
	pair := c.TillUser.Reveal() + ":" + hex.EncodeToString(sum[:])
	return canonical.Secret("Basic " + base64.StdEncoding.EncodeToString([]byte(pair)))
}

// tokenLifetime is how long a token lives where the answer does not say: the
// shortest that is published.
const tokenLifetime = 5 * time.Minute

// tokenRequest is the call that all answers about tokens are read against:
// https://docs.capillarytech.com/reference/oauth.
var tokenRequest = canonical.Request{
	Op:     "token",
	Method: http.MethodPost,
	Path:   "/v3/oauth/token/generate",
	Header: http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
	},
	Repeatable: true,
}

// readToken reads the token's answer. Its HTTP status is not published for
// refusals, so that the body decides. Provider text stays out of the errors: it
// may repeat what was sent.
func readToken(got *canonical.Reply) (canonical.Secret, time.Duration, error) {
	body, _ := got.JSON()
	token := body.Get("data", "accessToken")
	a := read(got)
	switch {
	case got.Status/100 != 2 || len(a.issues) > 0:
		return "", 0, tokenRefusal(got, a)
	case token.Kind() != canonical.KindString || !isHeader(token.Str()):
		return "", 0, tokenError(got, canonical.UpstreamInvalidResponse, "capillary: the answer to the token call holds no token; check base_url")
	}
	return canonical.Secret(token.Str()), seconds(body.Get("data", "ttlSeconds").Str()), nil
}

// tokenRefusal classifies a failed token call. It states nothing but the key and
// the secret, so that a complaint is about them unless it is about the service.
func tokenRefusal(got *canonical.Reply, a answer) error {
	code, decisive := statusCode(got, canonical.CodeForPage(got)), issue{}
	if a.known {
		code, decisive = classify(got, a.issues)
	}
	switch code {
	case canonical.UpstreamBusy, canonical.UpstreamOutcomeUnknown: // nothing hangs on a token that got lost
		code = canonical.UpstreamUnavailable
	case canonical.UpstreamInvalid, canonical.UpstreamDuplicate, canonical.UpstreamIdentityConflict, canonical.UpstreamNotFound:
		code = canonical.UpstreamUnauthenticated
	case canonical.UpstreamUnclassified:
		if a.known && got.Status < 500 {
			code = canonical.UpstreamUnauthenticated
		}
	}
	e := tokenError(got, code, tokenHints[code])
	e.UpstreamCode = decisive.code
	return e
}

var tokenHints = map[canonical.Code]string{
	canonical.UpstreamUnauthenticated: "capillary: no access token: check credentials.client_key and credentials.client_secret",
	canonical.UpstreamForbidden:       "capillary: no access token: the API client lacks the right",
	canonical.UpstreamMisconfigured:   "capillary: no access token: check base_url",
	canonical.UpstreamRateLimited:     "capillary: no access token: too many token calls",
	canonical.UpstreamUnavailable:     "capillary: no access token: the token service is out of order",
}

func tokenError(got *canonical.Reply, code canonical.Code, message string) *canonical.Error {
	e := canonical.Refusal(name, &tokenRequest, got, code, message)
	e.RequestID = requestID(got)
	return e
}

// isHeader reports whether s can stand in a header.
func isHeader(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// seconds reads a lifetime; zero if it makes no sense.
func seconds(s string) time.Duration {
	const longest = 366 * 24 * 60 * 60
	n, err := strconv.ParseFloat(s, 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return time.Duration(min(n, longest) * float64(time.Second))
}
