package complyt

import (
	"slices"
	"strings"
	"time"

	"customer-gateway/canonical"
)

// record finds the customer in an answer: the object itself, or the one in a
// list of one or under a wrapper's name.
func record(body canonical.Value) canonical.Value {
	for range 3 {
		switch body.Kind() {
		case canonical.KindArray:
			if body.Len() != 1 {
				return canonical.Value{}
			}
			body = body.At(0)
			continue
		case canonical.KindObject:
		default:
			return canonical.Value{}
		}
		if isRecord(body) {
			return body
		}
		inner := canonical.Value{}
		for _, wrapper := range []string{"data", "customer", "result", "content"} {
			if inner.IsZero() {
				inner = body.Get(wrapper)
			}
		}
		if inner.IsZero() {
			return body
		}
		body = inner
	}
	return body
}

func isRecord(v canonical.Value) bool { return v.Has("externalId") || v.Has("complytId") }

// writable returns the part of a stored record that a PUT states, in the form in
// which the adapter writes it.
func (a *Adapter) writable(stored canonical.Value) canonical.Value {
	if stored.IsZero() {
		return stored
	}
	v := compact(stored).Clone() // changed below
	for _, member := range a.readOnly {
		v.Delete(member)
	}
	for _, member := range []string{"externalId", "source"} { // numbers in some revisions
		if v.Has(member) {
			v.Set(member, canonical.Text(v.Get(member).Str()))
		}
	}
	dates := v.Get("externalTimestamps").Clone()
	if dates.Kind() != canonical.KindObject {
		v.Delete("externalTimestamps")
		return v
	}
	for i := range dates.Len() {
		if s := dates.At(i); s.Kind() == canonical.KindString {
			dates.Set(dates.NameAt(i), canonical.Text(inUTC(s.Str())))
		}
	}
	v.Set("externalTimestamps", dates)
	return v
}

// compact returns v without members that say nothing: null, empty texts, which
// Complyt may refuse, and objects without others. The result is v itself if
// there are none.
func compact(v canonical.Value) canonical.Value {
	if v.Kind() != canonical.KindObject || !hasEmpty(v) {
		return v
	}
	kept := canonical.NewObject(v.Len())
	for i := range v.Len() {
		if member := compact(v.At(i)); !isEmpty(member) {
			kept.Set(v.NameAt(i), member)
		}
	}
	return kept
}

// hasEmpty reports whether compact takes anything out of the object.
func hasEmpty(object canonical.Value) bool {
	for i := range object.Len() {
		if v := object.At(i); isEmpty(v) || v.Kind() == canonical.KindObject && hasEmpty(v) {
			return true
		}
	}
	return false
}

func isEmpty(v canonical.Value) bool {
	switch v.Kind() {
	case canonical.KindAbsent, canonical.KindNull:
		return true
	case canonical.KindString:
		return v.Str() == ""
	case canonical.KindObject:
		return v.Len() == 0
	}
	return false
}

// layouts are the forms in which Complyt takes and returns times; a fraction of
// a second may follow in any.
var layouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, time.DateOnly}

// inUTC writes a stored time as the adapter writes one. Complyt drops the zone of
// what it was sent, so a time without one is in UTC. What is no time is kept.
func inUTC(s string) string {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return canonical.Timestamp{Time: t}.String()
		}
	}
	return s
}

// carryOver adds to body what it does not state and the stored record has: a PUT
// replaces the record as a whole. A null in body is a statement.
//
// An address is one statement: a part of the stored one beside a part of a new
// one would be a place that does not exist. Parts are carried over only where
// everything that body states of the address is stored already.
func carryOver(body *canonical.Value, stored canonical.Value) {
	for i := range stored.Len() {
		member, old := stored.NameAt(i), stored.At(i)
		now := body.Get(member)
		switch {
		case now.IsZero():
			body.Set(member, old.Clone())
		case member == "externalTimestamps", member == "address" && samePlace(now, old):
			fillIn(body.Member(member), old)
		}
	}
}

// fillIn adds the members that into lacks.
func fillIn(into *canonical.Value, from canonical.Value) {
	if into.Kind() != canonical.KindObject || from.Kind() != canonical.KindObject {
		return
	}
	for i := range from.Len() {
		if member := from.NameAt(i); !into.Has(member) {
			into.Set(member, from.At(i).Clone())
		}
	}
}

// samePlace reports whether all that address states is stored already.
func samePlace(address, stored canonical.Value) bool {
	for i := range address.Len() {
		member, now := address.NameAt(i), address.At(i)
		old := stored.Get(member)
		same := now.Kind() == canonical.KindNull || now.Equal(old) ||
			member == "country" && isUS(now.Str()) && isUS(old.Str())
		if !same {
			return false
		}
	}
	return true
}

// isUS reports whether a country is a spelling of the United States.
func isUS(country string) bool {
	return slices.Contains([]string{"US", "USA", "U.S.", "U.S.A.", "UNITED STATES", "UNITED STATES OF AMERICA"}, strings.ToUpper(country))
}
