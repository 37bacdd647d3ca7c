package api

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

const (
	// maxKey is how many characters an idempotency key may have.
	maxKey = 255
	// keepKey is how long it is remembered.
	keepKey = 24 * time.Hour
)

// idempotencyKey returns the key that came with a request, empty for none: a
// structured field's string (RFC 9651), or the same without quotes.
func idempotencyKey(h http.Header) (string, error) {
	fields := h["Idempotency-Key"]
	if len(fields) == 0 {
		return "", nil
	}
	key, ok := "", len(fields) == 1
	if ok {
		key, ok = parseKey(fields[0])
	}
	if !ok {
		return "", &canonical.Error{Code: canonical.RequestMalformed,
			Message: "Idempotency-Key must be there once, with 1 to 255 visible ASCII characters, in quotes or bare"}
	}
	return key, nil
}

func parseKey(s string) (key string, ok bool) {
	s = trim(s)
	if rest, quoted := strings.CutPrefix(s, `"`); quoted {
		var b strings.Builder
		for {
			i := strings.IndexAny(rest, `"\`)
			if i < 0 {
				return "", false
			}
			b.WriteString(rest[:i])
			if rest[i] == '"' {
				key, ok = b.String(), rest[i+1:] == ""
				break
			}
			if rest = rest[i+1:]; rest == "" || rest[0] != '"' && rest[0] != '\\' {
				return "", false
			}
			b.WriteByte(rest[0])
			rest = rest[1:]
		}
	} else {
		key, ok = s, !strings.ContainsAny(s, `"\`) // a quote that is not closed, or not opened
	}
	visible := !strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' })
	return key, ok && visible && key != "" && len(key) <= maxKey
}

// ledgerKey returns a key as the ledger knows it. The fingerprint covers what makes
// two requests the same: how a body is laid out does not.
func (o *order) ledgerKey(key, method, id string, body canonical.Value) *ledger.Key {
	var b []byte
	b = appendText(b, method)
	b = appendText(b, id)
	names := slices.Clone(o.asked)
	slices.Sort(names)
	names = slices.Compact(names)
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, name := range names {
		b = appendText(b, name)
	}
	if o.cmd.Strict {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = appendValue(b, body)
	return &ledger.Key{Scope: o.scope, Digest: sha256.Sum256([]byte(key)), Fingerprint: sha256.Sum256(b), Keep: keepKey}
}

// appendText appends s so that no two sequences of texts look the same.
func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// appendValue appends a JSON value with the members of objects in one order.
// Numbers keep their digits: no two numbers may become one.
func appendValue(b []byte, v canonical.Value) []byte {
	b = append(b, byte(v.Kind()))
	switch v.Kind() {
	case canonical.KindArray:
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for i := range v.Len() {
			b = appendValue(b, v.At(i))
		}
	case canonical.KindObject:
		order := make([]int, v.Len())
		for i := range order {
			order[i] = i
		}
		slices.SortFunc(order, func(i, j int) int { return strings.Compare(v.NameAt(i), v.NameAt(j)) })
		b = binary.AppendUvarint(b, uint64(v.Len()))
		for _, i := range order {
			b = appendText(b, v.NameAt(i))
			b = appendValue(b, v.At(i))
		}
	default:
		b = appendText(b, v.Str())
	}
	return b
}
