package transport

import (
	"context"
	"errors"
	"net/http"

	"customer-gateway/canonical"
	"customer-gateway/gateway/trace"
)

// userAgent is sent unless an adapter has its own.
const userAgent = "customer-gateway"

// authenticator holds what is added to a request's own header.
type authenticator struct {
	static []field
	oauth1 *oauth1
	token  string // the access token's header, if there is one
	agent  []string
}

// field is one header field; the value is shared by all requests and never
// changed.
type field struct {
	key   string
	value []string
}

// setAuth prepares authentication. Credentials that cannot be sent are refused
// here, where the operator sees it.
func (c *Client) setAuth(a canonical.Auth) error {
	c.auth.agent = []string{userAgent}
	for key, secret := range a.Header {
		v := secret.Reveal()
		if v == "" || checkHeader(http.Header{key: {v}}) != nil {
			return errors.New("credential for header " + key + " is empty or has characters that a header cannot hold")
		}
		c.auth.static = append(c.auth.static, field{http.CanonicalHeaderKey(key), []string{v}})
	}
	if a.OAuth1 != nil && a.Token != nil {
		return errors.New("a route has either OAuth 1.0a or an access token")
	}
	if o := a.OAuth1; o != nil {
		if o.ConsumerKey == "" || o.ConsumerSecret == "" || o.Token == "" || o.TokenSecret == "" {
			return errors.New("OAuth 1.0a needs consumer key, consumer secret, token and token secret")
		}
		c.auth.oauth1 = newOAuth1(o)
	}
	if t := a.Token; t != nil {
		own := *t
		own.Request.Op = orElse(own.Request.Op, "token")
		own.Request.Method = orElse(own.Request.Method, http.MethodPost)
		u, err := c.resolve(own.Request.Path)
		if err == nil {
			err = checkHeader(own.Request.Header)
		}
		if err == nil && (own.Read == nil || own.Header == "" || checkHeader(http.Header{own.Header: {own.Prefix}}) != nil) {
			err = errors.New("it needs Read and a valid Header")
		}
		if err != nil {
			return errors.Join(errors.New("token call is not usable"), err)
		}
		c.auth.token = http.CanonicalHeaderKey(own.Header)
		c.tokens = &tokens{client: c, auth: &own, url: u}
	}
	return nil
}

// header returns a fresh header for one attempt: net/http may still read an
// earlier attempt's when a retry begins. What authenticates wins over the
// adapter.
func (c *Client) header(ctx context.Context, own http.Header) http.Header {
	h := make(http.Header, len(own)+len(c.auth.static)+4)
	for key, value := range own {
		switch key = http.CanonicalHeaderKey(key); key {
		case "Idempotency-Key":
			// net/http takes this field, in its canonical spelling, for leave to
			// send a request again by itself. Repeating is decided here only.
			key = "idempotency-key"
		case "X-Idempotency-Key":
			key = "x-idempotency-key"
		}
		h[key] = value
	}
	if _, ok := h["User-Agent"]; !ok {
		h["User-Agent"] = c.auth.agent
	}
	for _, f := range c.auth.static {
		h[f.key] = f.value
	}
	if t, traced := trace.FromContext(ctx); traced {
		h[trace.ParentHeader] = []string{t.Child().Parent()}
		if t.State != "" {
			h[trace.StateHeader] = []string{t.State}
		}
	}
	return h
}
