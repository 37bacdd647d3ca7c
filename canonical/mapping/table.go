// Package mapping carries a customer into a provider's request body by one
// declared field table, and a provider's complaints back to the fields that the
// caller sent. The table is the only place where a provider's limits stand: what
// is enforced, what is reported and what is documented cannot differ.
package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/canonical"
)

// Field is one row of a provider's field table.
type Field struct {
	// To is the provider's path: members joined by dots, list elements as "[]",
	// free member names as "*": "primaryAddress.emails[].value",
	// "customFields.*". An element at a fixed position has its number in the
	// brackets, and one of a kind, where rows differ by the elements' kind, a
	// word: "profiles[0].identifiers[email].value".
	To string
	// From is the canonical pattern that feeds it: "/emails/*/value". Empty for
	// a field that comes from Setting or is constant.
	From string
	// Also lists further canonical patterns that take part in the value.
	Also []string
	// Setting is the configuration key that the field comes from.
	Setting string
	// Aliases are other spellings of To in the provider's errors.
	Aliases []string
	// Required says that the provider refuses a body (or list element) without it.
	Required bool
	// Min and Max bound the number of characters of a text; 0 means no bound.
	// White space around the text does not count for Min.
	Min, Max int
	// Chars limits the characters of a text.
	Chars *Chars
	// Enum closes the set of texts.
	Enum []string
	// Clear is sent for a canonical null: Null(), an empty list. The zero value
	// means that the provider cannot clear the field, which becomes a notice.
	Clear canonical.Value
	// Container marks a row that only names a whole object or list, for
	// complaints about it; nothing is put there.
	Container bool
	// Lossy says in one line what the provider does not keep of the value.
	Lossy string

	from  canonical.PathID
	also  []canonical.PathID
	steps []step
	// list is To up to its first "[]", which it includes; "" outside of lists.
	list  string
	utf16 bool // see InUTF16
}

// Chars is a set of characters that a provider takes.
type Chars struct {
	// Only completes the sentence "may only have …": "letters, digits and spaces".
	Only string
	Has  func(rune) bool
}

// step is one member name on the way to a field, with the list marks after it.
type step struct {
	name  string
	list  bool
	fixed bool // always the element at
	at    int
	room  int // how many members rows have in the object that this one is in
}

// parseStep reads "name", "name[]", "name[kind]" or "name[0]".
func parseStep(s string) step {
	name, mark, list := strings.Cut(s, "[")
	at, err := strconv.Atoi(strings.TrimSuffix(mark, "]"))
	return step{name: name, list: list, fixed: err == nil, at: at}
}

// Table is a provider's field table. It is immutable and safe for concurrent use.
type Table struct {
	provider  string
	fields    []Field
	names     []string // To of each field
	byTo      map[string]*Field
	byAlias   map[string]*Field
	top       map[string]bool // members of the body
	required  []*Field
	held      [256]bool // by PathID: some row is fed by it or a place below it
	width     int       // how many members the body can have
	homeless  string    // what to say of a value without a row
	surplus   string    // of one value too many
	kept      string    // of what cannot be cleared
	spellings []string
}

// NewTable builds a table. It panics on a row that is not well-formed, which is
// a mistake in the code that every test shows.
func NewTable(provider string, fields ...Field) *Table {
	t := &Table{provider: provider, fields: slices.Clone(fields), byTo: map[string]*Field{}, byAlias: map[string]*Field{}, top: map[string]bool{}}
	for i := range t.fields {
		f := &t.fields[i]
		if f.From != "" {
			f.from = canonical.Path(f.From)
		}
		f.also = nil
		for _, p := range f.Also {
			f.also = append(f.also, canonical.Path(p))
		}
		f.steps, f.list = nil, ""
		if i := strings.Index(f.To, "[]"); i >= 0 {
			f.list = f.To[:i+len("[]")]
		}
		for s := range strings.SplitSeq(f.To, ".") {
			f.steps = append(f.steps, parseStep(s))
		}
		if t.byTo[f.To] != nil {
			panic(fmt.Sprintf("mapping: %s has two rows for %q", provider, f.To))
		}
		t.byTo[f.To] = f
		t.top[f.steps[0].name] = true
		t.names = append(t.names, f.To)
		t.byAlias[strings.ToLower(f.To)] = f
		t.byAlias[strings.ToLower(strings.ReplaceAll(f.To, "[]", ""))] = f
		if f.Required && !f.Container {
			t.required = append(t.required, f)
		}
	}
	for i := range t.fields {
		for _, alias := range t.fields[i].Aliases {
			t.byAlias[strings.ToLower(alias)] = &t.fields[i]
		}
	}
	t.spellings = t.spell()
	t.homeless = provider + " has no field for this; it was not sent"
	t.surplus = provider + " takes fewer of these; this one was not sent"
	t.kept = provider + " cannot clear this; it keeps what it has"
	t.index()
	return t
}

// index marks what the rows hold and counts the members of each object.
func (t *Table) index() {
	for i := range t.fields {
		f := &t.fields[i]
		for _, p := range f.also {
			t.hold(p)
		}
		if f.From != "" {
			t.hold(f.from)
		}
	}
	members := map[string]map[string]bool{} // by the object's own steps
	eachStep := func(do func(object string, s *step)) {
		for i := range t.fields {
			object := ""
			for j := range t.fields[i].steps {
				s := &t.fields[i].steps[j]
				do(object, s)
				object += fmt.Sprint(s.name, s.list, s.fixed, s.at, ".")
			}
		}
	}
	eachStep(func(object string, s *step) {
		if members[object] == nil {
			members[object] = map[string]bool{}
		}
		members[object][s.name] = true
	})
	eachStep(func(object string, s *step) { s.room = len(members[object]) })
	t.width = len(members[""])
}

func (t *Table) hold(p canonical.PathID) {
	for ; p != canonical.Root; p = p.Parent() {
		t.held[p] = true
	}
	t.held[canonical.Root] = true
}

// With returns a copy of the table in which change has been applied to the row
// of to: settings that make a field required, or limit it further.
func (t *Table) With(to string, change func(*Field)) *Table {
	fields := slices.Clone(t.fields)
	for i := range fields {
		if fields[i].To == to {
			change(&fields[i])
			return NewTable(t.provider, fields...)
		}
	}
	panic(fmt.Sprintf("mapping: %s has no row for %q", t.provider, to))
}

// InUTF16 returns a copy of the table whose lengths count a character above
// U+FFFF twice, as Java and JavaScript do.
func (t *Table) InUTF16() *Table {
	fields := slices.Clone(t.fields)
	for i := range fields {
		fields[i].utf16 = true
	}
	return NewTable(t.provider, fields...)
}

// Fields returns the rows, in the order of declaration.
func (t *Table) Fields() []Field { return slices.Clone(t.fields) }

// spell lists every provider path without list marks and every alias, longest first: what a provider's message may name.
func (t *Table) spell() []string {
	var names []string
	for i := range t.fields {
		f := &t.fields[i]
		names = append(names, f.Aliases...)
		if path := strings.ReplaceAll(f.To, "[]", ""); !strings.HasSuffix(path, "*") {
			names = append(names, path)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(names)
}

// holds reports whether any row is fed by p or a place below it.
func (t *Table) holds(p canonical.PathID) bool { return t.held[p] }

// maxField bounds the provider's spelling of a field that is looked up.
const maxField = 500

// maxAround is how many wrappers around the body are looked through.
const maxAround = 3

// Locate finds what the caller stated behind a provider's field. field is the
// provider's spelling, with list positions as ".0" or "[0]", or a JSON Pointer;
// members around the body that the table does not know are left out. The result
// has Field, and Pointer or Setting where the table knows one; the caller of
// Locate adds code and message.
func (t *Table) Locate(u canonical.Upsert, sent *canonical.Request, field string) canonical.FieldError {
	fe := canonical.FieldError{Field: canonical.CleanText(field)}
	if len(field) > maxField {
		return fe
	}
	place := plainField(field)
	for range maxAround {
		if fe.Pointer, fe.Setting = t.locate(u, sent, place); fe.Pointer != "" || fe.Setting != "" {
			break
		}
		first, inner, ok := strings.Cut(place, ".")
		if !ok || t.top[first] {
			break
		}
		place = inner
	}
	return fe
}

// locate finds the place with the longest beginning of the field that is known.
func (t *Table) locate(u canonical.Upsert, sent *canonical.Request, field string) (pointer, setting string) {
	if pointer := t.linked(u, sent, field); pointer != "" {
		return pointer, ""
	}
	pattern, indexes := parseField(field)
	last := -1 // the position that was last cut off, if nothing else was
	for first := true; pattern != ""; first = false {
		if f := t.find(pattern); f != nil {
			pointer, setting = t.pointer(u, sent, f, indexes)
			if free, ok := strings.CutSuffix(f.To, "*"); ok && pointer == strings.TrimSuffix(f.From, "/*") {
				if tail, ok := strings.CutPrefix(pattern, free); ok { // a free name that was not sent
					name, _, _ := strings.Cut(tail, "[]")
					pointer = canonical.JoinPointer(pointer, name)
				}
				return pointer, setting
			}
			if last >= 0 && pointer != "" {
				pointer = t.element(u, sent, f, pointer, last)
			}
			return pointer, setting
		}
		if trimmed, ok := strings.CutSuffix(pattern, "[]"); ok {
			pattern = trimmed
			if n := strings.Count(trimmed, "[]"); n < len(indexes) {
				if last = -1; first {
					last = indexes[n]
				}
				indexes = indexes[:n]
			}
			continue
		}
		cut := strings.LastIndexByte(pattern, '.')
		if cut < 0 {
			break
		}
		pattern, last = pattern[:cut], -1
	}
	return "", ""
}

// element returns the pointer of the element at a position of the list that f is
// and that pointer points at; without one there, pointer itself.
func (t *Table) element(u canonical.Upsert, sent *canonical.Request, f *Field, pointer string, at int) string {
	if f.from.IsList() {
		return fmt.Sprintf("%s/%d", pointer, at)
	}
	for _, l := range sent.Links {
		if l.Data != "" || int(l.ToIndex) != at || !strings.HasPrefix(l.To, f.To+"[]") {
			continue
		}
		for p := l.From; p != canonical.Root; p = p.Parent() {
			if p.Parent() == f.from {
				return u.Customer.Pointer(p, int(l.FromIndex))
			}
		}
	}
	return pointer
}

// linked returns the pointer of a field that the request's links name outright:
// what came from providerData, which was merged last, else a free member name.
func (t *Table) linked(u canonical.Upsert, sent *canonical.Request, field string) string {
	for _, l := range slices.Backward(sent.Links) {
		if l.Data == "" {
			continue
		}
		if tail, ok := below(plainField(l.To), field); ok {
			return l.Data + pointerTail(tail)
		}
	}
	around := ""
	for _, l := range sent.Links {
		switch tail, ok := below(l.To, field); {
		case ok && l.Data == "" && l.From != canonical.Root && (tail == "" || t.byTo[l.To] == nil):
			return l.Pointer(u.Customer) + pointerTail(tail)
		case !strings.HasPrefix(l.To, field+".") && !strings.HasPrefix(l.To, field+"[]"):
		case l.Data == "": // the caller states more of it than providerData
			return ""
		default:
			around = dataAround(l, field)
		}
	}
	return around
}

// dataAround returns the pointer of a field that a link's field is in, or "" if
// the caller's object begins further in.
func dataAround(l canonical.Link, field string) string {
	to, pointer := l.To, l.Data
	for len(to) > len(field) {
		cut := strings.LastIndexByte(pointer, '/')
		if cut < 0 {
			return ""
		}
		inner, ok := strings.CutSuffix(to, pointerUnescaper.Replace(pointer[cut+1:]))
		if !ok {
			return ""
		}
		to, pointer = strings.TrimSuffix(inner, "."), pointer[:cut]
	}
	return pointer
}

var pointerUnescaper = strings.NewReplacer("~1", "/", "~0", "~")

// below reports whether field is the field to or lies in it, and what follows.
func below(to, field string) (tail string, ok bool) {
	tail, ok = strings.CutPrefix(field, to)
	return tail, ok && (tail == "" || tail[0] == '.')
}

// find returns the row of a pattern: exact, by alias or fold, or by a free name.
func (t *Table) find(pattern string) *Field {
	if f := t.byTo[pattern]; f != nil {
		return f
	}
	if f := t.byAlias[strings.ToLower(pattern)]; f != nil {
		return f
	}
	if cut := strings.LastIndexByte(pattern, '.'); cut >= 0 {
		return t.byTo[pattern[:cut]+".*"]
	}
	return nil
}

// pointer says where the value of a row came from, or where it would have.
func (t *Table) pointer(u canonical.Upsert, sent *canonical.Request, f *Field, indexes []int) (pointer, setting string) {
	if f.From == "" {
		return "", f.Setting
	}
	position := -1
	if len(indexes) > 0 {
		position = indexes[0]
	}
	index := -1
	for _, l := range sent.Links {
		switch {
		case l.Data != "":
		case l.To == f.To && (position < 0 || int(l.ToIndex) == position):
			return l.Pointer(u.Customer), ""
		case f.list != "" && index < 0 && strings.HasPrefix(l.To, f.list) && (position < 0 || int(l.ToIndex) == position):
			index = int(l.FromIndex)
		case f.Container && index < 0 && strings.HasPrefix(l.To, f.To) && f.from.Contains(l.From):
			index = int(l.FromIndex)
		}
	}
	return u.Customer.Pointer(f.from, index), ""
}

// parseField turns "addresses.0.street.1" into "addresses[].street[]" and the
// positions 0 and 1.
func parseField(field string) (pattern string, indexes []int) {
	var b strings.Builder
	for s := range strings.SplitSeq(field, ".") {
		if isIndex(s) {
			n, _ := strconv.Atoi(s)
			indexes = append(indexes, n)
			b.WriteString("[]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(s)
	}
	return b.String(), indexes
}

// plainField turns "a[0].b", "/a/0/b", "#/a/0/b" and "$.a[0]['b']" into "a.0.b".
func plainField(field string) string {
	field = strings.TrimPrefix(field, "$.")
	if pointer, ok := strings.CutPrefix(strings.TrimPrefix(field, "#"), "/"); ok {
		return pointerUnescaper.Replace(strings.ReplaceAll(pointer, "/", "."))
	}
	if !strings.Contains(field, "[") {
		return field
	}
	return strings.NewReplacer("[]", "", "['", ".", `["`, ".", "']", "", `"]`, "", "[", ".", "]", "").Replace(field)
}

func isIndex(s string) bool {
	if s == "" || len(s) > 6 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// pointerTail turns ".a.0" into "/a/0".
func pointerTail(field string) string {
	if field == "" {
		return ""
	}
	return canonical.JoinPointer("", strings.Split(strings.TrimPrefix(field, "."), ".")...)
}
