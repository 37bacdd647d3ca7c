package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// credential is a kind of credential.
type credential int

const (
	noCredential credential = iota
	marketplaceKey
	merchantSecret
	publicKey
	jwt
)

// authenticate returns the kind of r's credential and the merchant it implies,
// which a marketplace key does not. Every kind is a bearer token.
func (s *Sandbox) authenticate(r *http.Request) (c credential, merchant string, e *Error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return noCredential, "", unauthorized("Exactly one Authorization header is required")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return noCredential, "", unauthorized("The Authorization header must be a bearer token")
	}
	if merchant, ok := s.opts.MerchantSecrets[token]; ok {
		return merchantSecret, merchant, nil
	}
	switch {
	case token == s.opts.MarketplaceKey:
		return marketplaceKey, "", nil
	case token == PublicKey:
		return publicKey, "", nil
	case strings.HasPrefix(token, "live_"):
		return noCredential, "", unauthorized("The credential belongs to another environment")
	}
	s.mu.Lock()
	session, ok := s.jwts[token]
	s.mu.Unlock()
	if !ok || !s.opts.Now().Before(session.end) {
		return noCredential, "", unauthorized("The credential is invalid or expired")
	}
	return jwt, session.merchant, nil
}

// actFor returns the merchant that a call is for: the one Merchant-Id names, as
// far as the credential may act for it, else the one the credential implies.
func (s *Sandbox) actFor(c credential, implied string, headers []string) (string, *Error) {
	if len(headers) > 1 {
		return "", badRequest("Merchant-Id must be sent once")
	}
	named := strings.Join(headers, "")
	if named == "" {
		if c == marketplaceKey {
			implied = s.opts.DefaultMerchant
		}
		if implied == "" {
			return "", badRequest("Merchant-Id is required with a marketplace key")
		}
		return implied, nil
	}
	switch {
	case !s.exists(named):
		return "", &Error{Status: http.StatusNotFound, Message: "The merchant was not found"}
	case c == marketplaceKey && slices.Contains(s.opts.Merchants, named), named == implied:
		return named, nil
	}
	return "", &Error{Status: http.StatusForbidden, Message: "The credential may not act for this merchant"}
}

// exists reports whether there is such a merchant, of whatever marketplace.
func (s *Sandbox) exists(merchant string) bool {
	if merchant == ForeignMerchant || slices.Contains(s.opts.Merchants, merchant) {
		return true
	}
	for _, m := range s.opts.MerchantSecrets {
		if m == merchant {
			return true
		}
	}
	return false
}

func unauthorized(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Message: message}
}
