package api

import (
	"net/http"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// conditions reads the preconditions of a change. Without a ledger there must be
// none: they must not be ignored and cannot be kept.
func conditions(h http.Header, durable bool) (ledger.Match, error) {
	var m ledger.Match
	if _, stated := h["Content-Range"]; stated {
		return m, &canonical.Error{Code: canonical.RequestMalformed, Message: "a customer is sent as a whole; send the request without Content-Range"}
	}
	for _, name := range []string{"If-Match", "If-None-Match"} {
		fields, stated := h[name]
		if !stated {
			continue
		}
		if !durable {
			return m, &canonical.Error{Code: canonical.RequestPreconditionFailed,
				Message: "this gateway stores no customers, so it cannot prove any version; send the request without " + name}
		}
		versions, every, ok := entityTags(strings.Join(fields, ","))
		switch {
		case !ok:
			return m, &canonical.Error{Code: canonical.RequestMalformed, Message: name + ` must be * or ETags in quotes, such as "1771000000000000", separated by commas`}
		case name == "If-Match":
			m.Versions, m.Known = versions, every
		case every:
			m.Unknown = true
		default:
			return m, &canonical.Error{Code: canonical.RequestInvalid, Message: "If-None-Match can only be *, for a customer who must not be known; use If-Match to name the version that must stand",
				Fields: []canonical.FieldError{{Field: name, Code: canonical.FieldUnsupported, Message: "must be *"}}}
		}
	}
	return m, nil
}

// refuseConditions refuses the preconditions of a call that has no use for any.
func refuseConditions(h http.Header, durable bool) error {
	m, err := conditions(h, durable)
	if err == nil && (m.Known || m.Unknown || m.Versions != nil) {
		err = &canonical.Error{Code: canonical.RequestInvalid, Message: "this call knows no preconditions; send the request without If-Match and If-None-Match"}
	}
	return err
}

// entityTags reads a list of entity tags (RFC 9110, section 8.8.3), or *, which
// stands for every one. It returns the versions that strong tags name, nil for *: a
// weak tag never matches If-Match, and a strong one that is no version of ours
// matches nothing.
func entityTags(list string) (versions []int64, every, ok bool) {
	if trim(list) == "*" {
		return nil, true, true
	}
	versions = []int64{}
	for {
		list = strings.TrimLeft(list, " \t,")
		if list == "" {
			return versions, false, ok
		}
		tag, weak := strings.CutPrefix(list, "W/")
		tag, quoted := strings.CutPrefix(tag, `"`)
		tag, rest, closed := strings.Cut(tag, `"`)
		if !quoted || !closed || strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
			return nil, false, false
		}
		if rest = strings.TrimLeft(rest, " \t"); rest != "" && rest[0] != ',' {
			return nil, false, false
		}
		if v, err := strconv.ParseInt(tag, 10, 64); err == nil && v > 0 && !weak && etag(v) == `"`+tag+`"` {
			versions = append(versions, v)
		}
		list, ok = rest, true
	}
}

// etag returns the entity tag of a version.
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }
