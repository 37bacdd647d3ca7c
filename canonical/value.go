package canonical

import (
	"bytes"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Kind is the kind of a JSON value.
type Kind uint8

// The kinds. The zero Value is of kind KindAbsent and is left out when encoded.
const (
	KindAbsent Kind = iota
	KindNull
	KindBool
	KindNumber
	KindString
	KindArray
	KindObject
)

// Value is a JSON value as a tree: members keep their order, numbers their
// digits. A Value is built once and then read; reading is safe for concurrent
// use. A copy of a Value shares its elements: Clone before changing one that
// somebody else reads.
type Value struct {
	kind  Kind
	text  string // String: the text; Number: the digits; Bool: "true" or "false"
	items []member
}

// member is an element of an array (name empty) or a member of an object.
type member struct {
	name  string
	value Value
}

var null = Value{kind: KindNull}

// NullValue returns JSON null.
func NullValue() Value { return null }

// Text returns a JSON string.
func Text(s string) Value { return Value{kind: KindString, text: s} }

// Int returns a JSON number.
func Int(n int64) Value { return Value{kind: KindNumber, text: strconv.FormatInt(n, 10)} }

// Boolean returns a JSON boolean.
func Boolean(b bool) Value { return Value{kind: KindBool, text: strconv.FormatBool(b)} }

// List returns a JSON array.
func List(vs ...Value) Value {
	v := Value{kind: KindArray, items: make([]member, 0, len(vs))}
	for _, e := range vs {
		v.Append(e)
	}
	return v
}

// NewObject returns an empty JSON object with room for n members.
func NewObject(n int) Value { return Value{kind: KindObject, items: make([]member, 0, n)} }

// Kind returns the value's kind.
func (v Value) Kind() Kind { return v.kind }

// Str returns the text of a string, the digits of a number, "true" or "false";
// "" for anything else.
func (v Value) Str() string { return v.text }

// IsTrue reports whether the value is true.
func (v Value) IsTrue() bool { return v.kind == KindBool && v.text == "true" }

// Int64 returns a number's value if it is a whole one that fits.
func (v Value) Int64() (int64, bool) {
	if v.kind != KindNumber {
		return 0, false
	}
	n, err := strconv.ParseInt(v.text, 10, 64)
	return n, err == nil
}

// Len returns the number of elements or members.
func (v Value) Len() int { return len(v.items) }

// At returns the i-th element or member value.
func (v Value) At(i int) Value { return v.items[i].value }

// NameAt returns the name of the i-th member.
func (v Value) NameAt(i int) string { return v.items[i].name }

// Get follows member names from v; the result is Absent where the way ends.
func (v Value) Get(names ...string) Value {
	for _, name := range names {
		i := v.index(name)
		if i < 0 {
			return Value{}
		}
		v = v.items[i].value
	}
	return v
}

// Has reports whether an object has the member.
func (v Value) Has(name string) bool { return v.index(name) >= 0 }

func (v Value) index(name string) int {
	if v.kind != KindObject {
		return -1
	}
	for i := range v.items {
		if v.items[i].name == name {
			return i
		}
	}
	return -1
}

// Set gives an object's member a value, in place or at the end. On the zero
// Value it makes an object first.
func (v *Value) Set(name string, to Value) { *v.Member(name) = to }

// Member returns a pointer to an object's member, which it adds as Absent if
// there is none. The pointer is good until the next change of v.
func (v *Value) Member(name string) *Value {
	if v.kind != KindObject {
		*v = NewObject(4)
	}
	i := v.index(name)
	if i < 0 {
		i = len(v.items)
		v.items = append(v.items, member{name: name})
	}
	return &v.items[i].value
}

// Elem returns a pointer to an array's i-th element, growing the array with
// Absent elements as needed. The pointer is good until the next change of v.
func (v *Value) Elem(i int) *Value {
	if v.kind != KindArray {
		*v = Value{kind: KindArray}
	}
	for len(v.items) <= i {
		v.items = append(v.items, member{})
	}
	return &v.items[i].value
}

// Append adds an element to an array.
func (v *Value) Append(e Value) {
	if v.kind != KindArray {
		*v = Value{kind: KindArray}
	}
	v.items = append(v.items, member{value: e})
}

// Delete removes an object's member.
func (v *Value) Delete(name string) {
	if i := v.index(name); i >= 0 {
		v.items = append(v.items[:i:i], v.items[i+1:]...)
	}
}

// Clone returns a deep copy.
func (v Value) Clone() Value {
	if v.items != nil {
		items := make([]member, len(v.items))
		for i, m := range v.items {
			items[i] = member{m.name, m.value.Clone()}
		}
		v.items = items
	}
	return v
}

// Merge lays over onto v: objects member by member, everything else (arrays and
// null included) as a whole. It copies what it takes.
func (v *Value) Merge(over Value) {
	if v.kind != KindObject || over.kind != KindObject {
		*v = over.Clone()
		return
	}
	var at index
	for _, m := range over.items {
		i := at.of(v, m.name)
		if i < 0 {
			i = len(v.items)
			v.items = append(v.items, member{name: m.name})
		}
		v.items[i].value.Merge(m.value)
	}
}

// Equal reports whether two values are the same JSON, whatever the order of
// members.
func (v Value) Equal(o Value) bool {
	if v.kind != o.kind || v.text != o.text || len(v.items) != len(o.items) {
		return false
	}
	var at index
	for i, m := range v.items {
		if v.kind == KindObject {
			if i = at.of(&o, m.name); i < 0 {
				return false
			}
		}
		if !m.value.Equal(o.items[i].value) {
			return false
		}
	}
	return true
}

// Encode returns the value as compact JSON (RFC 8259).
func (v Value) Encode() []byte { return v.appendTo(make([]byte, 0, v.size())) }

// size is the length of the value as compact JSON, if no text needs an escape.
func (v *Value) size() int {
	switch v.kind {
	case KindAbsent:
		return 0
	case KindNull:
		return len("null")
	case KindBool, KindNumber:
		return len(v.text)
	case KindString:
		return len(v.text) + len(`""`)
	}
	n := len("[]")
	for i := range v.items {
		m := &v.items[i]
		n += m.value.size() + len(",")
		if v.kind == KindObject {
			n += len(m.name) + len(`"":`)
		}
	}
	return n
}

// MarshalJSON encodes the value; an Absent one as null.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.kind == KindAbsent {
		return []byte("null"), nil
	}
	return v.Encode(), nil
}

// IsZero reports whether the value is Absent.
func (v Value) IsZero() bool { return v.kind == KindAbsent }

// appendTo appends the value as compact JSON. Absent elements and members are
// left out.
func (v *Value) appendTo(b []byte) []byte {
	switch v.kind {
	case KindAbsent:
		return b
	case KindNull:
		return append(b, "null"...)
	case KindBool, KindNumber:
		return append(b, v.text...)
	case KindString:
		return appendString(b, v.text)
	}
	open, end := byte('['), byte(']')
	if v.kind == KindObject {
		open, end = '{', '}'
	}
	b = append(b, open)
	first := true
	for i := range v.items {
		m := &v.items[i]
		if m.value.kind == KindAbsent {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		if v.kind == KindObject {
			b = append(appendString(b, m.name), ':')
		}
		b = m.value.appendTo(b)
	}
	return append(b, end)
}

// appendString appends s quoted. Most strings need no escape.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if !unescaped[s[i]] {
			b, _ = jsontext.AppendQuote(b, []byte(s)) // invalid UTF-8 is replaced; its error only says so
			return b
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// unescaped marks the bytes that stand for themselves in a JSON string.
var unescaped = func() (is [256]bool) {
	for c := byte(' '); c < utf8.RuneSelf; c++ {
		is[c] = c != '"' && c != '\\'
	}
	return is
}()

// Parse reads exactly one JSON value, strictly: no duplicate members, no invalid
// UTF-8, nothing after it. A value nested deeper than 64 levels is refused.
func Parse(data []byte) (Value, error) {
	r := openReader(data)
	defer r.close()
	r.own = true
	return r.only()
}

// ParseLenient reads what providers send: duplicate members (the last wins) and
// invalid UTF-8 (replaced) are let through; syntax errors and trailing bytes are
// not. A byte order mark at the start is skipped.
func ParseLenient(data []byte) (Value, error) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if v, ok := scan(string(data)); ok {
		return v, nil
	}
	r := openReader(data)
	defer r.close()
	r.Reset(&r.buffer, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	r.own, r.unique = true, false
	return r.only()
}

// only reads the one value of the body.
func (r *reader) only() (Value, error) {
	v, err := r.value(0)
	if err == nil {
		err = r.atEnd()
	}
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// index finds the members of an object that grows. It scans small objects and
// keeps a map for large ones, so that merging and reading stay linear.
type index map[string]int

// of returns the position of the member, or -1.
func (x *index) of(v *Value, name string) int {
	const small = 16
	if len(v.items) <= small {
		return v.index(name)
	}
	if *x == nil {
		*x = make(index, 2*len(v.items))
	}
	for i := len(*x); i < len(v.items); i++ { // names are unique, so the map's length is how far it got
		(*x)[v.items[i].name] = i
	}
	if i, ok := (*x)[name]; ok {
		return i
	}
	return -1
}
