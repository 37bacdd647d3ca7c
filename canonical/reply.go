package canonical

import (
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxText is how many characters of a provider's text reach a caller.
const maxText = 500

// JSON returns the reply's body as a JSON value, read leniently, and whether it
// is JSON at all. An empty body is not.
func (r *Reply) JSON() (Value, bool) {
	v, err := ParseLenient(r.Body)
	return v, err == nil
}

// IsHTML reports whether the body is an HTML page, whatever its Content-Type
// says: login pages, maintenance pages and proxies' error pages.
func (r *Reply) IsHTML() bool {
	head := bytes.ToLower(bytes.TrimSpace(r.Body[:min(len(r.Body), 1024)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html")) ||
		bytes.HasPrefix(head, []byte("<head")) || bytes.Contains(head, []byte("<body")) ||
		strings.Contains(r.Header.Get("Content-Type"), "text/html") && bytes.HasPrefix(head, []byte("<"))
}

// Refusal returns an *Error of code about the reply to sent, with provider,
// operation and status filled in and message cleaned by CleanText. A read whose
// outcome is unknown has changed nothing: the provider was just out of order.
func Refusal(provider string, sent *Request, got *Reply, code Code, message string) *Error {
	if code == UpstreamOutcomeUnknown && sent.Method == http.MethodGet {
		code = UpstreamUnavailable
	}
	return &Error{Code: code, Provider: provider, Op: sent.Op, Status: got.Status, Message: CleanText(message)}
}

var (
	tags        = regexp.MustCompile(`</?[a-zA-Z!][^>]{0,200}>`)
	traces      = regexp.MustCompile(`(?s)(?:Stack ?trace:|\n\s*#\d+ |\n\s*at [\w$.]+\(|Traceback \(most recent call last\)|\bgoroutine \d+ \[).*`)
	paths       = regexp.MustCompile(`(?:/[\w.-]+){3,}\.(?:php|py|java|rb|js|go|phtml)(?::\d+|\(\d+\))?`)
	folders     = regexp.MustCompile(`(^|[^\w.:/-])(?:/(?:var|usr|opt|srv|etc|root|tmp|proc)(?:/[\w.@+-]+)+|/(?:home|app|www|mnt)(?:/[\w.@+-]+){2,}|[A-Za-z]:\\[\w.\\-]+)(?::\d+|\(\d+\))?`)
	userinfo    = regexp.MustCompile(`://[^\s/@]+@`)
	parameters  = regexp.MustCompile(`(?i)\b(\w*(?:token|secret|password|passwd|api[_-]?key|signature))=([^\s&"']{4,})`)
	credentials = regexp.MustCompile(`(?i)\b(bearer|basic|oauth_\w+|api[_ -]?key|token|secret|password|authorization)(\s*[:=]\s*|\s+)("?)[A-Za-z0-9+/=_\-.~]{12,}`)
	keyLike     = regexp.MustCompile(`\b(?:(?:sk|pk|api)_(?:live|sandbox|test)|(?:live|sandbox|test)_(?:sk|pk|api))_[\w-]+|\beyJ[\w-]{8,}(?:\.[\w-]*)*`)
	spaces      = regexp.MustCompile(`[\s\p{C}]+`)
)

// CleanText makes a provider's text fit for a caller: one line of valid UTF-8,
// without markup, stack traces, server paths and credentials, cut at 500
// characters.
func CleanText(s string) string {
	if len(s) > 8*maxText {
		s = s[:8*maxText]
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.ContainsAny(s, "\n#(") {
		s = traces.ReplaceAllString(s, "")
	}
	if strings.Contains(s, "<") {
		s = tags.ReplaceAllString(s, " ")
	}
	if strings.ContainsAny(s, `/\`) {
		s = paths.ReplaceAllString(s, "(path)")
		s = folders.ReplaceAllString(s, "$1(path)")
		s = userinfo.ReplaceAllString(s, "://"+masked+"@")
	}
	if strings.Contains(s, "=") {
		s = parameters.ReplaceAllString(s, "$1="+masked)
	}
	s = credentials.ReplaceAllString(s, "$1$2$3"+masked)
	s = keyLike.ReplaceAllString(s, masked)
	s = strings.TrimSpace(spaces.ReplaceAllString(s, " "))
	if utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText-1]) + "…"
	}
	return s
}

// CodeForPage classifies a refusal whose body is not in the provider's shape: a
// page of a proxy or of another server. The status decides, but a 4xx page says
// nothing about the customer's data.
func CodeForPage(got *Reply) Code {
	code := CodeForStatus(got.Status)
	switch code {
	case UpstreamInvalid, UpstreamDuplicate:
		return UpstreamUnclassified
	case UpstreamNotFound:
		return UpstreamMisconfigured
	}
	return code
}

// Token returns s if it looks like an error code or a request id: at most 128
// letters, digits and the signs in "-_.:/+=", and nothing that could carry
// data; else "".
func Token(s string) string {
	if len(s) > 128 {
		return ""
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-_.:/+=", c) >= 0) {
			return ""
		}
	}
	return s
}
