// Package trace carries a W3C trace context (Trace Context Level 1) from the
// caller of the gateway to the providers. It records nothing.
package trace

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
)

// The header fields of a trace context, in canonical form.
const (
	ParentHeader = "Traceparent"
	StateHeader  = "Tracestate"
)

// Sampled is the one flag that Level 1 defines.
const Sampled byte = 1

// Trace is one position in a distributed trace. The zero Trace is not valid.
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
	State   string // tracestate, passed on unchanged
}

// New begins a trace.
func New() Trace {
	var t Trace
	// Ids must be unique, not secret: the fast generator will do.
	binary.BigEndian.PutUint64(t.TraceID[:8], rand.Uint64())
	binary.BigEndian.PutUint64(t.TraceID[8:], nonZero())
	t.SpanID = span()
	return t
}

// Child returns the same trace with a span id of its own.
func (t Trace) Child() Trace {
	t.SpanID = span()
	return t
}

// Parse reads a caller's traceparent and tracestate, strictly. A traceparent
// that is absent or invalid begins a new trace; an invalid tracestate alone is
// dropped.
func Parse(traceparent, tracestate string) Trace {
	t, ok := parseParent(traceparent)
	if !ok {
		return New()
	}
	if validState(tracestate) {
		t.State = tracestate
	}
	return t
}

// Valid reports whether both ids are set.
func (t Trace) Valid() bool { return t.TraceID != [16]byte{} && t.SpanID != [8]byte{} }

// ID returns the trace id as 32 lower-case hex digits.
func (t Trace) ID() string { return hex.EncodeToString(t.TraceID[:]) }

// Parent returns the traceparent field value.
func (t Trace) Parent() string {
	var b [55]byte
	b[0], b[1], b[2] = '0', '0', '-'
	hex.Encode(b[3:35], t.TraceID[:])
	b[35] = '-'
	hex.Encode(b[36:52], t.SpanID[:])
	b[52] = '-'
	hex.Encode(b[53:55], []byte{t.Flags})
	return string(b[:])
}

type contextKey struct{}

// NewContext returns a context that carries t.
func NewContext(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, contextKey{}, &t)
}

// FromContext returns the trace that ctx carries, if any.
func FromContext(ctx context.Context) (Trace, bool) {
	if t, ok := ctx.Value(contextKey{}).(*Trace); ok {
		return *t, true
	}
	return Trace{}, false
}

func span() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], nonZero())
	return id
}

func nonZero() uint64 {
	for {
		if n := rand.Uint64(); n != 0 {
			return n
		}
	}
}

// parseParent reads version-traceid-parentid-flags. A version that is not yet
// known is read as far as version 00 goes, as the standard asks.
func parseParent(s string) (t Trace, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return t, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || version[0] == 0xff {
		return t, false
	}
	if len(s) > 55 && (version[0] == 0 || s[55] != '-') {
		return t, false
	}
	if !unhex(t.TraceID[:], s[3:35]) || !unhex(t.SpanID[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return t, false
	}
	t.Flags = flags[0] & Sampled
	return t, t.Valid()
}

// unhex decodes lower-case hex only; upper case is invalid in a traceparent.
func unhex(dst []byte, s string) bool {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// validState checks a tracestate list: at most 32 members key=value, no key
// twice, no more than the 512 characters that have to be passed on.
func validState(s string) bool {
	if s == "" || len(s) > 512 {
		return false
	}
	var keys []string
	for member := range strings.SplitSeq(s, ",") {
		member = strings.Trim(member, " \t")
		if member == "" {
			continue // empty members are allowed
		}
		key, value, found := strings.Cut(member, "=")
		if !found || !validKey(key) || !validValue(value) {
			return false
		}
		for _, k := range keys {
			if k == key {
				return false
			}
		}
		if keys = append(keys, key); len(keys) > 32 {
			return false
		}
	}
	return len(keys) > 0
}

func validKey(key string) bool {
	tenant, system, multi := strings.Cut(key, "@")
	if !multi {
		return len(key) <= 256 && validName(key, false)
	}
	return len(tenant) <= 241 && validName(tenant, true) && len(system) <= 14 && validName(system, false)
}

func validName(s string, digitFirst bool) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z':
		case c >= '0' && c <= '9':
			if i == 0 && !digitFirst {
				return false
			}
		case c == '_' || c == '-' || c == '*' || c == '/':
			if i == 0 {
				return false
			}
		default:
			return false
		}
	}
	return s != ""
}

func validValue(s string) bool {
	if s == "" || len(s) > 256 || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '=' {
			return false
		}
	}
	return true
}
