package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/canonical"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeHTML    = "text/html"

	typeMergePatch = "application/merge-patch+json"
	typeNDJSON     = "application/x-ndjson"
)

// media is what a call takes as its body.
type media struct {
	types []string // the first is the one to send
	name  string
	field string // that tells it to callers
}

var (
	mediaJSON       = media{[]string{typeJSON}, "JSON", "Accept"}
	mediaMergePatch = media{[]string{typeMergePatch}, "a JSON merge patch", "Accept-Patch"}
	mediaNDJSON     = media{[]string{typeNDJSON, "application/jsonl"}, "one JSON object a line", "Accept"}
)

// check refuses a body of another type, in another charset than UTF-8 or with a
// coding, and says in answer what would have been taken.
func (m *media) check(h, answer http.Header) error {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(trim(coding), "identity") {
		answer.Set("Accept-Encoding", "identity")
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must not be compressed; send it without Content-Encoding"}
	}
	value := single(h, "Content-Type")
	if value == m.types[0] {
		return nil
	}
	kind, params, err := mime.ParseMediaType(value)
	charset, stated := params["charset"]
	switch {
	case err != nil || !slices.Contains(m.types, kind):
		answer.Set(m.field, strings.Join(m.types, ", "))
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must be " + m.name + "; send Content-Type: " + m.types[0]}
	case stated && !strings.EqualFold(charset, "utf-8"):
		answer.Set(m.field, strings.Join(m.types, ", "))
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must be UTF-8, as JSON always is; send Content-Type: " + m.types[0]}
	}
	return nil
}

// prefersHTML reports whether Accept rates HTML above JSON, as browsers do.
func prefersHTML(h http.Header) bool {
	accept := strings.Join(h["Accept"], ",")
	return strings.Contains(accept, typeHTML) && quality(accept, typeHTML) > quality(accept, typeJSON)
}

// quality returns how Accept rates a media type; the most specific range decides
// (RFC 9110 §12.5.1).
func quality(accept, kind string) float64 {
	best, precision := 0.0, 0
	for accept != "" {
		var element string
		element, accept = splitQuoted(accept, ',')
		name, params := splitQuoted(element, ';')
		how := 0
		switch name = strings.ToLower(trim(name)); {
		case name == kind:
			how = 3
		case strings.HasSuffix(name, "/*") && strings.HasPrefix(kind, name[:len(name)-1]):
			how = 2
		case name == "*/*":
			how = 1
		}
		if how <= precision {
			continue
		}
		precision, best = how, 1
		for params != "" {
			var param string
			param, params = splitQuoted(params, ';')
			if key, value, _ := strings.Cut(param, "="); strings.EqualFold(trim(key), "q") {
				best, _ = strconv.ParseFloat(trim(value), 64)
			}
		}
	}
	return best
}
