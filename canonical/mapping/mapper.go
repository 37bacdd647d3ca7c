package mapping

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"customer-gateway/canonical"
)

// Mapper builds one request body. It is used by one goroutine, and closed when
// the body has been encoded.
type Mapper struct {
	table *Table
	u     canonical.Upsert

	// Body is the object under construction. It is gone when the mapper is closed.
	Body canonical.Value

	arena   canonical.Arena
	next    int // the row after the one used last
	links   []canonical.Link
	used    []bool // by leaf of u
	nulls   int    // how many leaves are null
	sources []int  // see findSources
	notices []canonical.Notice
	missing []canonical.FieldError
	unfit   []canonical.FieldError
}

// mappers are closed mappers, kept for their memory.
var mappers = sync.Pool{New: func() any { return new(Mapper) }}

// maxKept bounds the links, notices and leaves whose memory a closed mapper keeps.
const maxKept = 256

// Pos is the position of a value in the provider's list and in the canonical
// one; they differ where elements were left out or reordered. -1 means that
// there is no list on that side.
type Pos struct{ To, From int }

func (p Pos) link(to string, from canonical.PathID) canonical.Link {
	return canonical.Link{To: to, ToIndex: int16(p.To), From: from, FromIndex: int16(p.From)}
}

// Start begins the body for u. Close the mapper in the end.
func (t *Table) Start(u canonical.Upsert) *Mapper {
	if u.Leaves == nil {
		u.Leaves = u.Customer.Leaves()
	}
	m := mappers.Get().(*Mapper)
	m.table, m.u = t, u
	m.Body = m.arena.NewObject(t.width)
	m.used = slices.Grow(m.used, len(u.Leaves))[:len(u.Leaves)]
	for _, l := range u.Leaves {
		if l.Null {
			m.nulls++
		}
	}
	return m
}

// Close lets the mapper's memory be used again. Neither the mapper nor its Body
// may be used any more; links and notices may. A mapper that is not closed is
// left to the garbage collector.
func (m *Mapper) Close() {
	if m.table == nil {
		return
	}
	m.arena.Reset()
	clear(m.links)
	clear(m.notices)
	clear(m.used)
	kept := Mapper{arena: m.arena}
	if cap(m.links) <= maxKept && cap(m.notices) <= maxKept && cap(m.used) <= maxKept && cap(m.sources) <= maxKept {
		kept.links, kept.notices, kept.used, kept.sources = m.links[:0], m.notices[:0], m.used[:0], m.sources[:0]
	}
	*m = kept
	mappers.Put(m)
}

// row returns the row of to. Rows are mostly used in the order of the table, so
// that the search begins where the last one ended.
func (m *Mapper) row(to string) *Field {
	names := m.table.names
	for i := range names {
		if i += m.next; i >= len(names) {
			i -= len(names)
		}
		if names[i] == to {
			m.next = i + 1
			return &m.table.fields[i]
		}
	}
	panic(fmt.Sprintf("mapping: %s has no row for %q", m.table.provider, to))
}

func position(at []Pos) Pos {
	if len(at) > 0 {
		return at[0]
	}
	return Pos{-1, -1}
}

// Text carries a string into the row of to: checks its limits, or clears the
// field if the caller stated null. It reports whether a value was put.
func (m *Mapper) Text(to string, f canonical.Field[string], at ...Pos) bool {
	if v, ok := f.Get(); ok {
		return m.Put(to, canonical.Text(v), at...)
	}
	if m.nulls > 0 {
		m.clear(m.row(to), f.IsNull(), position(at))
	}
	return false
}

// Bool carries a boolean into the row of to, or clears it.
func (m *Mapper) Bool(to string, f canonical.Field[bool], at ...Pos) bool {
	if v, ok := f.Get(); ok {
		return m.Put(to, canonical.Boolean(v), at...)
	}
	if m.nulls > 0 {
		m.clear(m.row(to), f.IsNull(), position(at))
	}
	return false
}

// Put puts a value made by the adapter into the row of to, and counts every
// canonical pattern of the row as carried over. It reports whether the value
// was within the row's limits.
func (m *Mapper) Put(to string, v canonical.Value, at ...Pos) bool {
	f := m.row(to)
	return m.put(f, f.from, f.also, &v, position(at))
}

func (m *Mapper) put(f *Field, from canonical.PathID, also []canonical.PathID, v *canonical.Value, pos Pos) bool {
	if !m.fits(f, from, v, pos, f.To) {
		return false
	}
	*m.place(f, pos, "") = *v
	m.link(f.To, from, also, pos)
	return true
}

// PutFrom puts a value into the row of to that comes from another canonical
// pattern this time: what stands in where the row's own is not stated. at.From is
// the position in that pattern's list.
func (m *Mapper) PutFrom(to, from string, v canonical.Value, at ...Pos) bool {
	return m.put(m.row(to), canonical.Path(from), nil, &v, position(at))
}

// Entry puts a value under a free member name: the row of to ends in ".*".
func (m *Mapper) Entry(to, name string, v canonical.Value, from int) bool {
	f := m.row(to)
	field := strings.TrimSuffix(f.To, "*") + name
	if !m.fits(f, f.from, &v, Pos{-1, from}, field) {
		return false
	}
	*m.place(f, Pos{-1, from}, name) = v
	m.link(field, f.from, f.also, Pos{-1, from})
	return true
}

// Clear writes the row's clearing value if the caller stated null for the row's
// canonical field or anything around it, and reports whether that was so. Rows
// that are only reached through Put need it; Text and Bool do it themselves.
func (m *Mapper) Clear(to string, at ...Pos) bool {
	return m.nulls > 0 && m.clear(m.row(to), false, position(at))
}

func (m *Mapper) clear(f *Field, stated bool, pos Pos) bool {
	if f.From == "" {
		return false
	}
	for i, l := range m.u.Leaves {
		if !l.Null || !l.Path.Contains(f.from) || l.Index >= 0 && pos.From >= 0 && int(l.Index) != pos.From {
			continue
		}
		stated = true
		if !f.Clear.IsZero() {
			m.used[i] = true
		}
	}
	if !stated || f.Clear.IsZero() {
		return stated
	}
	*m.place(f, pos, "") = f.Clear.Clone()
	m.links = append(m.links, pos.link(f.To, f.from))
	return true
}

// Constant puts a value that comes from a setting or is fixed.
func (m *Mapper) Constant(to string, v canonical.Value, at ...Pos) {
	*m.place(m.row(to), position(at), "") = v.Clone() // settings are shared
}

// place walks to the row's place in the body.
func (m *Mapper) place(f *Field, pos Pos, name string) *canonical.Value {
	v := &m.Body
	listed := false
	for i := range f.steps {
		s := &f.steps[i]
		if v.Kind() != canonical.KindObject {
			*v = m.arena.NewObject(s.room)
		}
		if s.name == "*" {
			v = v.Member(name)
		} else {
			v = v.Member(s.name)
		}
		if !s.list {
			continue
		}
		if v.Kind() != canonical.KindArray {
			*v = m.arena.NewArray(listRoom)
		}
		switch {
		case s.fixed:
			v = v.Elem(s.at)
		case !listed:
			v, listed = v.Elem(pos.To), true
		}
	}
	return v
}

// listRoom is how many elements a list of the body begins with room for.
const listRoom = 2

// link notes where what stands at to came from; Root is no place.
func (m *Mapper) link(to string, from canonical.PathID, also []canonical.PathID, pos Pos) {
	if from == canonical.Root {
		return
	}
	m.links = append(m.links, pos.link(to, from))
	m.mark(from, pos.From)
	for _, p := range also {
		m.mark(p, pos.From)
	}
}

// mark counts the leaves below p at index (-1: at any) as carried over.
func (m *Mapper) mark(p canonical.PathID, index int) {
	last := p.Last()
	for i, l := range m.u.Leaves {
		if p <= l.Path && l.Path <= last && (index < 0 || l.Index < 0 || int(l.Index) == index) && !l.Null {
			m.used[i] = true
		}
	}
}

// fits checks a text, or each text of a list, against the row's limits.
func (m *Mapper) fits(f *Field, from canonical.PathID, v *canonical.Value, pos Pos, field string) bool {
	switch v.Kind() {
	case canonical.KindArray:
		for i := range v.Len() {
			if e := v.At(i); !m.fits(f, from, &e, pos, field) {
				return false
			}
		}
		return true
	case canonical.KindString:
	default:
		return true
	}
	code, problem := f.check(v.Str())
	if problem == "" {
		return true
	}
	m.refuse(f, from, pos, field, code, problem)
	return false
}

// check returns what is wrong with a text, or "".
func (f *Field) check(s string) (canonical.FieldCode, string) {
	if f.Max > 0 && len(s) > f.Max {
		if n := f.length(s); n > f.Max {
			return canonical.FieldTooLong, fmt.Sprintf("takes at most %d characters; there are %d", f.Max, n)
		}
	}
	if f.Min > 0 {
		if inner := strings.TrimSpace(s); len(inner) < f.Min*utf8.UTFMax && utf8.RuneCountInString(inner) < f.Min {
			return canonical.FieldInvalid, fmt.Sprintf("takes at least %d characters beside white space around them", f.Min)
		}
	}
	if f.Enum != nil && !slices.Contains(f.Enum, s) {
		return canonical.FieldUnsupported, "takes one of " + strings.Join(f.Enum, ", ")
	}
	if f.Chars != nil {
		for _, r := range s {
			if !f.Chars.Has(r) {
				return canonical.FieldInvalid, fmt.Sprintf("may only have %s; %q is not among them", f.Chars.Only, r)
			}
		}
	}
	return "", ""
}

// length counts the characters of a text as the provider does.
func (f *Field) length(s string) int {
	n := utf8.RuneCountInString(s)
	if f.utf16 {
		for _, r := range s {
			if r > 0xFFFF {
				n++
			}
		}
	}
	return n
}

// Refuse reports that the provider cannot take the canonical value behind the
// row of to. problem continues the field's name: "takes digits only".
func (m *Mapper) Refuse(to string, code canonical.FieldCode, problem string, at ...Pos) {
	f := m.row(to)
	m.refuse(f, f.from, position(at), f.To, code, problem)
}

func (m *Mapper) refuse(f *Field, from canonical.PathID, pos Pos, field string, code canonical.FieldCode, problem string) {
	fe := canonical.FieldError{Field: fieldAt(field, pos.To), Code: code, Message: m.table.provider + ": " + field + " " + problem}
	if from != canonical.Root {
		fe.Pointer = m.u.Customer.Pointer(from, pos.From)
		m.mark(from, pos.From)
	} else {
		fe.Setting = f.Setting
	}
	m.unfit = append(m.unfit, fe)
}

// RefuseData reports that what stands at pointer in the caller's providerData
// may not be sent. field is the provider's spelling, which problem continues.
func (m *Mapper) RefuseData(pointer, field string, code canonical.FieldCode, problem string) {
	m.unfit = append(m.unfit, canonical.FieldError{Pointer: pointer, Field: field, Code: code, Message: m.table.provider + ": " + field + " " + problem})
}

// Missing reports that the provider needs the field of the row of to. Rows with
// Required do this by themselves.
func (m *Mapper) Missing(to string, at ...Pos) { m.lacks(m.row(to), position(at)) }

func (m *Mapper) lacks(f *Field, pos Pos) {
	field := fieldAt(f.To, pos.To)
	missing := canonical.FieldError{Field: field, Setting: f.Setting, Code: canonical.FieldRequired, Message: m.table.provider + " requires " + field}
	if f.From != "" {
		missing.Pointer, missing.Setting = m.u.Customer.Pointer(f.from, pos.From), ""
	}
	for _, l := range m.links { // providerData may have taken it away
		if l.Data != "" && l.To == field {
			missing.Pointer, missing.Setting = l.Data, ""
		}
	}
	same := func(fe canonical.FieldError) bool {
		return fe.Pointer == missing.Pointer && fe.Setting == missing.Setting && (fe.Pointer != "" || fe.Field == field)
	}
	if slices.ContainsFunc(m.missing, same) || slices.ContainsFunc(m.unfit, same) { // one complaint is enough
		return
	}
	m.missing = append(m.missing, missing)
}

// Use counts what stands at the canonical pattern as carried over, where it is
// held in another way than by a row: as a customer's kind, as an order.
func (m *Mapper) Use(pattern string, index int) { m.mark(canonical.Path(pattern), index) }

// UseNull counts a null stated at the canonical pattern as carried over, where
// leaving the field out of the body is what clears it.
func (m *Mapper) UseNull(pattern string, index int) {
	p := canonical.Path(pattern)
	for i, l := range m.u.Leaves {
		if l.Null && p.Contains(l.Path) && (index < 0 || int(l.Index) == index) {
			m.used[i] = true
		}
	}
}

// Note adds a notice about the canonical pattern, and counts what stands there
// as dealt with.
func (m *Mapper) Note(code canonical.NoticeCode, pattern string, index int, to, message string) {
	p := canonical.Path(pattern)
	m.mark(p, index)
	m.notices = append(m.notices, canonical.Notice{Code: code, Pointer: m.u.Customer.Pointer(p, index), Field: to, Message: message})
}

// fieldAt writes the list position into a provider's path.
func fieldAt(to string, index int) string {
	if index < 0 {
		return to
	}
	return strings.Replace(to, "[]", fmt.Sprintf(".%d", index), 1)
}

// Merge lays the caller's providerData over into, deeply. prefix is the
// provider's path of into ("" for the whole body).
func (m *Mapper) Merge(into *canonical.Value, prefix string, data canonical.ProviderData, object canonical.Value) {
	m.MergeAt(into, prefix, canonical.JoinPointer("/providerData", data.Key), object)
}

// MergeAt is Merge for an object that stands deeper in the caller's
// providerData, at pointer.
func (m *Mapper) MergeAt(into *canonical.Value, prefix, pointer string, object canonical.Value) {
	m.linkData(prefix, pointer, object)
	into.Merge(object)
}

// linkData links what object states, down to what replaces as a whole: a member
// beside it may come from elsewhere.
func (m *Mapper) linkData(prefix, pointer string, object canonical.Value) {
	for i := range object.Len() {
		name, v := object.NameAt(i), object.At(i)
		at := canonical.JoinPointer(pointer, name)
		if v.Kind() == canonical.KindObject && v.Len() > 0 {
			m.linkData(prefix+name+".", at, v)
			continue
		}
		m.links = append(m.links, canonical.Link{To: prefix + name, ToIndex: -1, FromIndex: -1, Data: at})
	}
}

// Links returns the lineage of the body built so far.
func (m *Mapper) Links() []canonical.Link { return copied(m.links) }

// copied returns what outlives the mapper.
func copied[T any](list []T) []T {
	if len(list) == 0 {
		return nil
	}
	return append(make([]T, 0, len(list)), list...)
}

// Finish checks that nothing required is missing and returns what the provider
// cannot hold. A fault makes it an *Error of MappingRequiredMissing or
// MappingUnrepresentable with all faults.
func (m *Mapper) Finish() ([]canonical.Notice, error) {
	m.checkRequired()
	if len(m.missing)+len(m.unfit) > 0 {
		return nil, m.failure()
	}
	m.losses()
	return copied(m.notices), nil
}

func (m *Mapper) checkRequired() {
	list := ""
	for _, f := range m.table.required {
		if f.list == "" {
			if m.at(f, -1).IsZero() {
				m.lacks(f, Pos{-1, -1})
			}
			continue
		}
		if f.list != list {
			list = f.list
			m.findSources(f)
		}
		for at, from := range m.sources {
			if from != noSource && m.at(f, at).IsZero() {
				m.lacks(f, Pos{at, from})
			}
		}
	}
}

// noSource marks an element that came from no canonical list.
const noSource = -2

// findSources notes for each element of the row's list, as it is now, which
// canonical element it came from. One without a link is the caller's own, from
// providerData, and one that providerData took away needs nothing.
func (m *Mapper) findSources(f *Field) {
	m.sources = m.sources[:0]
	for range m.elements(f) {
		m.sources = append(m.sources, noSource)
	}
	for i := range m.links {
		l := &m.links[i]
		if at := int(l.ToIndex); l.Data == "" && at >= 0 && at < len(m.sources) && m.sources[at] == noSource && strings.HasPrefix(l.To, f.list) {
			m.sources[at] = int(l.FromIndex)
		}
	}
}

// elements returns how many elements the row's list has now.
func (m *Mapper) elements(f *Field) int {
	v := m.Body
	for _, s := range f.steps {
		v = v.Get(s.name)
		switch {
		case !s.list:
		case !s.fixed:
			if v.Kind() != canonical.KindArray {
				return 0
			}
			return v.Len()
		case v.Kind() != canonical.KindArray || s.at >= v.Len():
			return 0
		default:
			v = v.At(s.at)
		}
	}
	return 0
}

// at returns what stands at the row's place now; null counts as nothing.
func (m *Mapper) at(f *Field, index int) canonical.Value {
	v := m.Body
	for _, s := range f.steps {
		if v = v.Get(s.name); s.list {
			i := index
			if s.fixed {
				i = s.at
			}
			if v.Kind() != canonical.KindArray || i < 0 || i >= v.Len() {
				return canonical.Value{}
			}
			v = v.At(i)
		}
	}
	if v.Kind() == canonical.KindNull {
		return canonical.Value{}
	}
	return v
}

func (m *Mapper) failure() *canonical.Error {
	e := Unfit(m.table.provider, slices.Concat(m.missing, m.unfit)...)
	if len(m.missing) > 0 {
		e.Code = canonical.MappingRequiredMissing
	}
	return e
}

// Unfit returns the refusal of a customer that the provider cannot take, for
// one reason or more.
func Unfit(provider string, reasons ...canonical.FieldError) *canonical.Error {
	e := &canonical.Error{Code: canonical.MappingUnrepresentable, Provider: provider, Fields: reasons, Message: reasons[0].Message}
	if n := len(reasons) - 1; n > 0 {
		e.Message += fmt.Sprintf(" (and %d more: see errors)", n)
	}
	return e
}

// losses appends the stated leaves that reached no row to the notices.
func (m *Mapper) losses() {
	for i, l := range m.u.Leaves {
		if m.used[i] || l.Path.Bookkeeping() || l.Null && !m.table.holds(l.Path) {
			continue
		}
		code, message, p, index := canonical.NoticeDropped, m.table.homeless, l.Path, int(l.Index)
		if l.Null {
			code, message = canonical.NoticeNotCleared, m.table.kept
		} else if p, index = m.widest(i); m.table.holds(p) {
			message = m.table.surplus
		}
		m.notices = append(m.notices, canonical.Notice{Code: code, Pointer: m.u.Customer.Pointer(p, index), Message: message})
	}
}

// widest returns the largest place around leaf i that is lost as a whole, and
// counts everything in it as reported.
func (m *Mapper) widest(i int) (p canonical.PathID, index int) {
	leaf := m.u.Leaves[i]
	p, index = leaf.Path, int(leaf.Index)
	for around := p.Parent(); around != canonical.Root; around = around.Parent() {
		at := int(leaf.Index)
		if !around.Indexed() {
			at = -1
		}
		if !m.lostWhole(around, at) {
			break
		}
		p, index = around, at
	}
	for j, l := range m.u.Leaves {
		if p.Contains(l.Path) && (index < 0 || int(l.Index) == index) && !l.Null {
			m.used[j] = true
		}
	}
	return p, index
}

func (m *Mapper) lostWhole(p canonical.PathID, index int) bool {
	for j, l := range m.u.Leaves {
		if p.Contains(l.Path) && (index < 0 || int(l.Index) == index) && m.used[j] {
			return false
		}
	}
	return true
}

// UseFormatted counts /name/formatted as carried over if it says no more than
// the parts of the name that were carried over.
func (m *Mapper) UseFormatted() {
	name := m.u.Customer.Name.Value()
	formatted, ok := name.Formatted.Get()
	if !ok {
		return
	}
	parts := map[string]bool{}
	for i, p := range []canonical.Field[string]{name.HonorificPrefix, name.GivenName, name.MiddleName, name.FamilyName, name.HonorificSuffix} {
		if v, ok := p.Get(); ok && m.carried(namePaths[i]) {
			for word := range strings.FieldsSeq(v) {
				parts[strings.Trim(word, ".,")] = true
			}
		}
	}
	for word := range strings.FieldsSeq(formatted) {
		if !parts[strings.Trim(word, ".,")] {
			return
		}
	}
	m.mark(formattedPath, -1)
}

var (
	formattedPath = canonical.Path("/name/formatted")
	namePaths     = []canonical.PathID{
		canonical.Path("/name/honorificPrefix"), canonical.Path("/name/givenName"), canonical.Path("/name/middleName"),
		canonical.Path("/name/familyName"), canonical.Path("/name/honorificSuffix"),
	}
)

// carried reports whether the leaf at p was carried over.
func (m *Mapper) carried(p canonical.PathID) bool {
	for i, l := range m.u.Leaves {
		if l.Path == p {
			return m.used[i]
		}
	}
	return false
}
