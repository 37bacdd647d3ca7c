package complyt

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"customer-gateway/canonical"
)

// tokenLifetime is how long a token lives where the answer does not say:
// https://docs.complyt.io/doc-558483.
const tokenLifetime = 24 * time.Hour

// tokenRequest is the call that all answers about tokens are read against.
var tokenRequest = canonical.Request{
	Op:         "token",
	Method:     http.MethodPost,
	Path:       "/v1/token",
	Header:     writeHeader,
	Repeatable: true,
}

// tokenAuth describes Complyt's client credentials call, which has no
// Authorization of its own and no refresh token.
func tokenAuth(c credentials) *canonical.TokenAuth {
	body := canonical.NewObject(2)
	body.Set("clientId", canonical.Text(c.ClientID.Reveal()))
	body.Set("clientSecret", canonical.Text(c.ClientSecret.Reveal()))
	request := tokenRequest
	request.Body = body.Encode()
	return &canonical.TokenAuth{
		Request:  request,
		Read:     readToken,
		Lifetime: tokenLifetime,
		Header:   "Authorization",
		Prefix:   "Bearer ",
	}
}

// readToken reads the answer in the spelling of the present guide or the older
// one. Provider text stays out of its errors: it may repeat what was sent.
func readToken(got *canonical.Reply) (canonical.Secret, time.Duration, error) {
	body, ok := got.JSON()
	if inner := body.Get("data"); inner.Kind() == canonical.KindObject {
		body = inner
	}
	status := statusOf(got, body)
	if status/100 != 2 {
		return "", 0, tokenRefusal(got, body, status)
	}
	token := first(body, "accessToken", "access_token")
	if !ok || token.Kind() != canonical.KindString || !isToken(token.Str()) {
		return "", 0, canonical.Refusal(name, &tokenRequest, got, canonical.UpstreamInvalidResponse, "complyt: the answer to the token call holds no token; check base_url")
	}
	return canonical.Secret(token.Str()), lifetime(first(body, "expiresIn", "expires_in").Str()), nil
}

// first returns the first of the members that is there and not null.
func first(v canonical.Value, names ...string) canonical.Value {
	for _, name := range names {
		if m := v.Get(name); !m.IsZero() && m.Kind() != canonical.KindNull {
			return m
		}
	}
	return canonical.Value{}
}

// isToken reports whether s can stand in a header.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// lifetime reads seconds; zero if they make no sense.
func lifetime(seconds string) time.Duration {
	const longest = 366 * 24 * 60 * 60
	n, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(n > 0) {
		return 0
	}
	return time.Duration(min(n, longest) * float64(time.Second))
}

// tokenRefusal classifies a failed token call. No answer to it is about the
// customer, so a refused body is a matter of the route's configuration.
func tokenRefusal(got *canonical.Reply, body canonical.Value, status int) error {
	code := canonical.CodeForStatus(status)
	text := strings.ToLower(body.Get("error").Str() + " " + strings.Join(messages(errorObject(body)), " "))
	switch {
	case status == http.StatusBadRequest && containsAny(text, "invalid_client", "unauthorized_client", "access_denied", "invalid_grant"):
		code = canonical.UpstreamUnauthenticated
	case status >= 400 && status < 500 && code != canonical.UpstreamUnauthenticated && strings.Contains(text, "failed to create a new token"):
		code = canonical.UpstreamUnavailable // what stands behind it did not answer
	case code == canonical.UpstreamInvalid, code == canonical.UpstreamDuplicate:
		code = canonical.UpstreamMisconfigured
	case code == canonical.UpstreamOutcomeUnknown: // nothing hangs on a token that got lost
		code = canonical.UpstreamUnavailable
	}
	hint, ok := tokenHints[code]
	if !ok {
		hint = "the answer to the token call is of no known kind"
	}
	e := canonical.Refusal(name, &tokenRequest, got, code, "complyt: no access token: "+hint)
	e.RequestID = requestID(got, body)
	return e
}

var tokenHints = map[canonical.Code]string{
	canonical.UpstreamUnauthenticated: "the client was refused; check credentials.client_id and credentials.client_secret",
	canonical.UpstreamForbidden:       "the client was refused; check credentials.client_id and credentials.client_secret and its rights",
	canonical.UpstreamMisconfigured:   "the call was refused; check base_url and that the credentials are of this environment",
	canonical.UpstreamRateLimited:     "too many token calls",
	canonical.UpstreamUnavailable:     "the token service is out of order",
}

func containsAny(s string, parts ...string) bool {
	for _, part := range parts {
		if strings.Contains(s, part) {
			return true
		}
	}
	return false
}
