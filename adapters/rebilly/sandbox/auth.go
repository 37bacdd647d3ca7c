package sandbox

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// authenticate returns why r may not go on, or nil. It accepts a secret key or a
// JWT, and refuses both at once, since only one of them is to be sent.
func (s *Sandbox) authenticate(r *http.Request) *problem {
	keys, bearers := r.Header.Values("REB-APIKEY"), r.Header.Values("Authorization")
	switch {
	case len(keys)+len(bearers) == 0:
		return unauthorized("No credentials were sent")
	case len(keys)+len(bearers) > 1:
		return unauthorized("More than one credential was sent")
	case !s.allowed(r.RemoteAddr):
		return unauthorized("The key is not allowed from this address")
	case len(keys) == 1:
		return s.checkKey(keys[0], r.Method)
	default:
		return s.checkAuthorization(bearers[0])
	}
}

func (s *Sandbox) checkKey(key, method string) *problem {
	switch key {
	case s.opts.APIKey:
		return nil
	case ReadOnlyKey:
		if method == http.MethodGet {
			return nil
		}
		return forbidden("The key has no permission for this operation")
	}
	return unauthorized("The API key is invalid")
}

func (s *Sandbox) checkAuthorization(value string) *problem {
	if value == PublishableKey {
		return forbidden("A publishable key has no permission for this operation")
	}
	scheme, token, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return unauthorized("The authorization scheme is invalid")
	}
	s.mu.Lock()
	end, ok := s.jwts[token]
	s.mu.Unlock()
	if !ok || !s.opts.Now().Before(end) {
		return unauthorized("The token is invalid or expired")
	}
	return nil
}

// allowed reports whether a key works from the client's address.
func (s *Sandbox) allowed(remote string) bool {
	if len(s.opts.AllowedIPs) == 0 {
		return true
	}
	client, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(s.opts.AllowedIPs, func(p netip.Prefix) bool {
		return p.Contains(client.Addr().Unmap())
	})
}

func unauthorized(detail string) *problem {
	return &problem{status: http.StatusUnauthorized, detail: detail}
}

func forbidden(detail string) *problem {
	return &problem{status: http.StatusForbidden, detail: detail}
}
