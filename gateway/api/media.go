package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"customer-gateway/canonical"
)

const (
	typeJSON    = "application/json"
	typeProblem = "application/problem+json"
	typeHTML    = "text/html"
)

// checkMedia refuses a body that is not plain JSON in UTF-8, and says in answer
// what would have been taken.
func checkMedia(h, answer http.Header) error {
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(trim(coding), "identity") {
		answer.Set("Accept-Encoding", "identity")
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must not be compressed; send it without Content-Encoding"}
	}
	value := single(h, "Content-Type")
	if value == typeJSON {
		return nil
	}
	kind, params, err := mime.ParseMediaType(value)
	charset, stated := params["charset"]
	switch {
	case err != nil || kind != typeJSON:
		answer.Set("Accept", typeJSON)
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must be JSON; send Content-Type: application/json"}
	case stated && !strings.EqualFold(charset, "utf-8"):
		answer.Set("Accept", typeJSON)
		return &canonical.Error{Code: canonical.RequestUnsupportedMedia, Message: "the body must be UTF-8, as JSON always is; send Content-Type: application/json"}
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
