package transport

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

var (
	errPath   = errors.New("request path is unsafe: it must begin with /, be percent-encoded and have no empty, . or .. segment")
	errHeader = errors.New("request header is not valid")
)

// resolve appends a request's path to the base URL. Nothing is resolved or
// cleaned, so a path can neither leave the base nor mean something else than
// the adapter wrote; what would is refused.
func (c *Client) resolve(path string) (*url.URL, error) {
	path, query, _ := strings.Cut(path, "?")
	if err := checkPath(path); err != nil {
		return nil, err
	}
	for i := range len(query) {
		if b := query[i]; b <= ' ' || b >= 0x7f || b == '#' {
			return nil, errPath
		}
	}
	base := c.cfg.BaseURL
	u := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: c.prefix + path, RawQuery: query}
	if reescaped.in(u.Path) {
		var err error
		u.RawPath = u.Path // sent as it is
		if u.Path, err = url.PathUnescape(u.RawPath); err != nil {
			return nil, errPath
		}
	}
	return u, nil
}

// table marks bytes.
type table [256]bool

func tableOf(is func(byte) bool) (t table) {
	for i := range t {
		t[i] = is(byte(i))
	}
	return t
}

// in reports whether s has a marked byte.
func (t *table) in(s string) bool {
	for i := range len(s) {
		if t[s[i]] {
			return true
		}
	}
	return false
}

// The bytes of a path's segment but for %, of a header field's name and of its
// value.
var (
	pathBytes = tableOf(func(b byte) bool {
		return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@", b) >= 0
	})
	nameBytes  = tableOf(func(b byte) bool { return b > ' ' && b < 0x7f && strings.IndexByte(`()<>@,;:\"/[]?={}`, b) < 0 })
	valueBytes = tableOf(func(b byte) bool { return b >= ' ' && b != 0x7f || b == '\t' })
	// reescaped are those of a path that net/url would write otherwise, if it were
	// not told how.
	reescaped = tableOf(func(b byte) bool { return strings.IndexByte("%!'()*[]", b) >= 0 })
)

// checkPath walks the segments of an encoded path.
func checkPath(path string) error {
	if path == "" || path[0] != '/' {
		return errPath
	}
	rest, more := path[1:], path != "/"
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if segment == "" && more {
			return errPath // "//"; one slash at the end is allowed
		}
		if !safeSegment(segment) {
			return errPath
		}
	}
	return nil
}

// safeSegment accepts RFC 3986 path characters that no server on the way can
// take for a step up, also if it decodes first, takes a backslash for a slash
// or drops ;parameters.
func safeSegment(s string) bool {
	encoded := false
	for i := range len(s) {
		switch b := s[i]; {
		case pathBytes[b]:
		case b == '%':
			encoded = true
		default:
			return false
		}
	}
	if encoded {
		var err error
		if s, err = url.PathUnescape(s); err != nil {
			return false
		}
		for i := range len(s) {
			if s[i] < ' ' || s[i] == 0x7f {
				return false
			}
		}
		for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '/' || r == '\\' }) {
			if dots(part) {
				return false
			}
		}
		return true
	}
	return !dots(s)
}

func dots(s string) bool {
	if s == "" || s[0] != '.' {
		return false
	}
	s, _, _ = strings.Cut(s, ";")
	return s == "." || s == ".."
}

// checkHeader refuses what net/http would refuse, with an error that does not
// look like a broken connection.
func checkHeader(h http.Header) error {
	for key, values := range h {
		if key == "" {
			return errHeader
		}
		for i := range len(key) {
			if !nameBytes[key[i]] {
				return errHeader
			}
		}
		for _, v := range values {
			if !validValue(v) {
				return errHeader
			}
		}
	}
	return nil
}

func validValue(v string) bool {
	for i := range len(v) {
		if !valueBytes[v[i]] {
			return false
		}
	}
	return true
}
