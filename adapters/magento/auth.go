package magento

import (
	"net/http"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

// credentials of a route: those of an integration (OAuth 1.0a), its access token
// alone (bearer), or an admin user's.
type credentials struct {
	ConsumerKey       canonical.Secret `koanf:"consumer_key"`
	ConsumerSecret    canonical.Secret `koanf:"consumer_secret"`
	AccessToken       canonical.Secret `koanf:"access_token"`
	AccessTokenSecret canonical.Secret `koanf:"access_token_secret"`
	Username          canonical.Secret `koanf:"username"`
	Password          canonical.Secret `koanf:"password"`
}

// check accepts one of the three ways and nothing beside it.
func (c credentials) check(faults *section.Faults) {
	oauth := c.ConsumerKey != "" || c.ConsumerSecret != "" || c.AccessTokenSecret != ""
	admin := c.Username != "" || c.Password != ""
	need := func(key string, s canonical.Secret, with string) {
		if s == "" {
			faults.Add("credentials."+key, "is required with %s", with)
		}
	}
	switch {
	case admin && (oauth || c.AccessToken != ""):
		faults.Add("credentials", "are those of an integration and of an admin user; keep one: consumer_key, consumer_secret, access_token and access_token_secret, or access_token, or username and password")
	case oauth:
		const with = "OAuth 1.0a: consumer_key, consumer_secret, access_token and access_token_secret go together"
		need("consumer_key", c.ConsumerKey, with)
		need("consumer_secret", c.ConsumerSecret, with)
		need("access_token", c.AccessToken, with)
		need("access_token_secret", c.AccessTokenSecret, with)
	case admin:
		need("username", c.Username, "password")
		need("password", c.Password, "username")
	case c.AccessToken == "":
		faults.Add("credentials", "are required: consumer_key, consumer_secret, access_token and access_token_secret; or access_token (bearer); or username and password (admin token)")
	}
}

func (c credentials) auth(config Config) canonical.Auth {
	switch {
	case c.ConsumerKey != "":
		return canonical.Auth{OAuth1: &canonical.OAuth1{
			ConsumerKey: c.ConsumerKey, ConsumerSecret: c.ConsumerSecret, Token: c.AccessToken, TokenSecret: c.AccessTokenSecret,
		}}
	case c.AccessToken != "":
		return canonical.Auth{Header: map[string]canonical.Secret{"Authorization": "Bearer " + c.AccessToken}}
	}
	body := canonical.NewObject(2)
	body.Set("username", canonical.Text(c.Username.Reveal()))
	body.Set("password", canonical.Text(c.Password.Reveal()))
	request := canonical.Request{
		Op:         "token",
		Method:     http.MethodPost,
		Path:       basePath(config) + "/integration/admin/token",
		Header:     http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}},
		Body:       body.Encode(),
		Repeatable: true, // every call gives a token
	}
	return canonical.Auth{Token: &canonical.TokenAuth{
		Request:  request,
		Read:     func(got *canonical.Reply) (canonical.Secret, time.Duration, error) { return readToken(&request, got) },
		Lifetime: config.AdminTokenLifetime,
		Header:   "Authorization",
		Prefix:   "Bearer ",
	}}
}

// readToken reads the answer to the token call, a bare JSON string.
func readToken(sent *canonical.Request, got *canonical.Reply) (canonical.Secret, time.Duration, error) {
	if got.Status >= 200 && got.Status < 300 {
		body, ok := got.JSON()
		token := body.Str()
		if !ok || body.Kind() != canonical.KindString || token == "" || strings.ContainsAny(token, " \t\r\n") {
			return "", 0, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not a token; check base_url")
		}
		return canonical.Secret(token), 0, nil
	}
	r := readRefusal(got)
	e := canonical.Refusal(name, sent, got, tokenCode(got, r), r.message())
	e.UpstreamCode, e.RequestID = r.code, r.report
	if r.twoFactor() {
		e.Message = "the admin user needs a second factor, which a program does not have; use the credentials of an integration"
	}
	return "", 0, e
}

// tokenCode classifies the refusal of a token: what is wrong with the data of
// this call is wrong with the credential.
func tokenCode(got *canonical.Reply, r refusal) canonical.Code {
	if r.page {
		return canonical.CodeForPage(got)
	}
	switch code := r.classify(got.Status); code {
	case canonical.UpstreamInvalid, canonical.UpstreamDuplicate:
		return canonical.UpstreamUnauthenticated
	case canonical.UpstreamNotFound:
		return canonical.UpstreamMisconfigured
	default:
		return code
	}
}
