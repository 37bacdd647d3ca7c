package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// prefer is what a caller asked for with Prefer (RFC 7240), as far as it can be
// met.
type prefer struct {
	wait     time.Duration // 0 if not stated, or if the caller will not wait
	waits    bool          // wait was stated
	respond  bool          // respond-async was stated
	handling string        // "strict", "lenient" or not stated
}

// parsePrefer reads the header's preferences, in however many fields. As RFC 7240
// asks, the first of a name counts and what is not understood is ignored. A wait
// is at most limit; only a durable gateway can answer before the end.
func parsePrefer(h http.Header, limit time.Duration, durable bool) prefer {
	var p prefer
	var waited, handled bool
	for _, field := range h["Prefer"] {
		for field != "" {
			var name, value string
			name, value, field = preference(field)
			switch {
			case strings.EqualFold(name, "wait") && !waited:
				waited = true
				p.wait, p.waits = delay(value, limit)
				p.waits = p.waits && (durable || p.wait > 0)
			case strings.EqualFold(name, "respond-async"):
				p.respond = durable
			case strings.EqualFold(name, "handling") && !handled:
				handled = true
				switch {
				case strings.EqualFold(value, "strict"):
					p.handling = "strict"
				case strings.EqualFold(value, "lenient"):
					p.handling = "lenient"
				}
			}
		}
	}
	return p
}

// strict reports whether the caller rather has a failure than a part.
func (p prefer) strict() bool { return p.handling == "strict" }

// async reports whether the caller wants the answer as soon as the upsert is
// durable. respond-async with a wait asks for one when the wait is over.
func (p prefer) async() bool { return p.wait == 0 && (p.respond || p.waits) }

// applied returns the value of Preference-Applied, empty if there is none to say.
func (p prefer) applied() string {
	var parts []string
	if p.respond {
		parts = append(parts, "respond-async")
	}
	switch {
	case p.wait > 0:
		parts = append(parts, "wait="+strconv.FormatInt(seconds(p.wait), 10))
	case p.waits:
		parts = append(parts, "wait=0")
	}
	if p.handling != "" {
		parts = append(parts, "handling="+p.handling)
	}
	return strings.Join(parts, ", ")
}

// delay reads delta-seconds, at most limit, and reports whether s is some.
func delay(s string, limit time.Duration) (time.Duration, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n > int64(limit/time.Second) {
		return limit, true // it has digits only, so it is too large
	}
	return time.Duration(n) * time.Second, true
}

// preference splits off the first element of a list of preferences. The name is
// empty if the element makes no sense.
func preference(list string) (name, value, rest string) {
	element, rest := splitQuoted(list, ',')
	element, _ = splitQuoted(element, ';') // no preference here has parameters
	name, value, _ = strings.Cut(element, "=")
	name, value = trim(name), trim(value)
	if strings.HasPrefix(value, `"`) {
		value = unquote(value)
	}
	return name, value, rest
}

// splitQuoted cuts s at the first separator outside a quoted string.
func splitQuoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == separator:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote returns the content of a quoted string, or "" if s is not one.
func unquote(s string) string {
	if len(s) < 2 || s[len(s)-1] != '"' {
		return ""
	}
	s = s[1 : len(s)-1]
	if !strings.ContainsAny(s, `\"`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			return ""
		}
		if s[i] == '\\' {
			if i++; i == len(s) {
				return ""
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func trim(s string) string { return strings.Trim(s, " \t") }

// seconds rounds up to whole seconds, at least 1.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}
