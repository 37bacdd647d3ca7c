package magento

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// labels finds the rows of the field table by the names that messages use: the
// field's, in any spelling, and its label in the shop.
type labels struct {
	rows  map[string][]string // folded name to rows, those of the customer first
	texts []string            // lower-case labels, longest first
}

func newLabels(table *mapping.Table) labels {
	l := labels{rows: map[string][]string{}}
	add := func(label, to string) {
		key := fold(label)
		if !slices.Contains(l.rows[key], to) {
			l.rows[key] = append(l.rows[key], to)
		}
		if label = strings.ToLower(label); !slices.Contains(l.texts, label) {
			l.texts = append(l.texts, label)
		}
	}
	for _, f := range table.Fields() {
		if strings.HasPrefix(f.To, "custom_attributes") {
			continue // their names are the shop's
		}
		add(f.To[strings.LastIndexByte(f.To, '.')+1:], f.To)
		for _, alias := range f.Aliases {
			add(alias, f.To)
		}
	}
	for label, field := range map[string]string{"First Name": "firstname", "Last Name": "lastname", "Middle Name": "middlename", "Middle Name/Initial": "middlename", "Name Prefix": "prefix", "Name Suffix": "suffix"} {
		add(label, "addresses[]."+field)
	}
	slices.SortFunc(l.texts, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	return l
}

var (
	quoted     = regexp.MustCompile(`"([^"]{1,80})"`)
	processing = regexp.MustCompile(`during "([^"]{1,80})" processing`)
)

// named returns the field that a message without parameters is about: the
// innermost one that was processed, else one in quotes, else the longest label in
// the text.
func (l labels) named(message string, known func(string) bool) string {
	for _, m := range slices.Backward(processing.FindAllStringSubmatch(message, -1)) {
		if known(m[1]) {
			return m[1]
		}
	}
	for _, m := range quoted.FindAllStringSubmatch(message, -1) {
		if known(m[1]) {
			return m[1]
		}
	}
	if m := unknownMember.FindStringSubmatch(message); m != nil {
		return m[1]
	}
	lower := " " + strings.Map(func(r rune) rune {
		if strings.ContainsRune(".,;:!?\"'()", r) {
			return ' '
		}
		return r
	}, strings.ToLower(message)) + " "
	for _, text := range l.texts {
		if len(text) > 2 && strings.Contains(lower, " "+text+" ") {
			return text
		}
	}
	return ""
}

// complaints turns the faults of a refusal into field errors.
func (a *Adapter) complaints(u canonical.Upsert, sent *canonical.Request, r refusal) []canonical.FieldError {
	var found []canonical.FieldError
	known := func(s string) bool {
		return a.labels.rows[fold(s)] != nil || a.attributeField(u, sent, s) != nil
	}
	for _, f := range r.faults {
		field := f.field()
		switch {
		case strings.Contains(f.message, "customer address"): // the id of another customer's
			field = "address_id"
		case field == "":
			field = a.labels.named(f.message, known)
		}
		if field == "" {
			continue
		}
		fe := a.locate(u, sent, field, f)
		if fe.Pointer == "" && fe.Setting == "" && !known(field) && len(r.faults) > 1 {
			continue
		}
		found = append(found, fe)
	}
	return found
}

// taken is the complaint about the e-mail address, the only unique value.
func (a *Adapter) taken(u canonical.Upsert, sent *canonical.Request, message string) []canonical.FieldError {
	fe := a.table.Locate(u, sent, "email")
	fe.Code, fe.Message = canonical.FieldDuplicate, message
	return []canonical.FieldError{fe}
}

// locate finds what the caller stated behind a field of a message: in the
// customer, in one of the addresses, in a custom attribute or in providerData.
func (a *Adapter) locate(u canonical.Upsert, sent *canonical.Request, field string, f fault) canonical.FieldError {
	rows := a.labels.rows[fold(field)]
	code := mapping.CodeOf(f.message)
	if rows == nil {
		if fe := a.attributeField(u, sent, field); fe != nil {
			return finish(*fe, code, f.message, true)
		}
		return finish(a.table.Locate(u, sent, spelled(sent, field)), code, f.message, true)
	}
	path, stated := blame(sentCustomer(sent), rows, code == canonical.FieldRequired, f.parameters.Get("value").Str())
	fe := a.table.Locate(u, sent, path)
	if fe.Pointer == "/customerType" && !slices.ContainsFunc(sent.Links, func(l canonical.Link) bool { return l.To == path }) {
		fe.Pointer, fe.Setting = "", "settings.group_id" // the group is not the one of settings.groups
	}
	return finish(fe, code, f.message, stated)
}

// spelled returns the member of providerData that a message means, in the
// caller's spelling.
func spelled(sent *canonical.Request, field string) string {
	for _, l := range sent.Links {
		if l.Data != "" && fold(l.To[strings.LastIndexByte(l.To, '.')+1:]) == fold(field) {
			return l.To
		}
	}
	return field
}

// blame returns which of the rows of one name a message is about, as a path with
// the position, and whether the field was sent. It is the first that lacks a
// required value or has the refused one, else the first of all.
func blame(customer canonical.Value, rows []string, required bool, value string) (path string, sent bool) {
	for _, to := range rows {
		list, element, inList := strings.Cut(to, "[].")
		at, got := to, ""
		if inList {
			i := suspect(customer.Get(list), element, required, value)
			if i < 0 {
				continue
			}
			at, got = elementOf(to, i), member(customer.Get(list).At(i), element)
		} else {
			got = member(customer, to)
		}
		if path == "" {
			path, sent = at, got != ""
		}
		if required && got == "" || !required && value != "" && got == value {
			return at, got != ""
		}
	}
	if path == "" {
		path = strings.ReplaceAll(rows[0], "[]", "")
	}
	return path, sent
}

// finish completes a field error. What is wrong with a field that was not sent
// is that it was not sent, in every language.
func finish(fe canonical.FieldError, code canonical.FieldCode, message string, stated bool) canonical.FieldError {
	fe.Code, fe.Message = code, canonical.CleanText(message)
	switch {
	case fe.Message == "":
		fe.Message = "the shop refused this field"
	case code != canonical.FieldOther:
	case stated:
		fe.Code = canonical.FieldInvalid
	default:
		fe.Code = canonical.FieldRequired
	}
	return fe
}

// elementOf writes the position into the path of a row.
func elementOf(to string, i int) string {
	return strings.Replace(to, "[]", "."+strconv.Itoa(i), 1)
}

// member returns the text at a dotted path of an object; a region's parts are
// found wherever they may stand, and a list or an object counts as a text.
func member(v canonical.Value, path string) string {
	got := v.Get(strings.Split(path, ".")...)
	if path == "region_id" && got.Str() == "" {
		got = v.Get("region", "region_id")
	}
	if strings.HasSuffix(path, "region_id") && got.Str() == "0" { // stands for none
		return ""
	}
	if got.Len() > 0 {
		return cmp.Or(got.At(0).Str(), "[]")
	}
	return got.Str()
}

// suspect returns which address a message is about: the first that lacks a
// required field or has the refused value, else the first that has the field,
// else the first; -1 if there is none.
func suspect(addresses canonical.Value, field string, required bool, value string) int {
	holder := -1
	for i := range addresses.Len() {
		got := member(addresses.At(i), field)
		if required && got == "" || !required && value != "" && got == value {
			return i
		}
		if got != "" && holder < 0 {
			holder = i
		}
	}
	if holder < 0 && addresses.Len() > 0 {
		return 0
	}
	return holder
}

// attributeField is the field error of a custom attribute, by its code or by a
// label that is its code in words; nil if none such was sent or is in the
// settings.
func (a *Adapter) attributeField(u canonical.Upsert, sent *canonical.Request, field string) *canonical.FieldError {
	list := sentCustomer(sent).Get("custom_attributes")
	for i := range list.Len() {
		if code := list.At(i).Get("attribute_code").Str(); code != "" && fold(code) == fold(field) {
			fe := a.table.Locate(u, sent, "custom_attributes."+strconv.Itoa(i)+".value")
			fe.Field = code
			return &fe
		}
	}
	for _, attribute := range slices.Sorted(maps.Keys(a.config.CustomAttributes)) {
		if code := a.config.CustomAttributes[attribute]; fold(code) == fold(field) {
			return &canonical.FieldError{Pointer: canonical.JoinPointer("/attributes", attribute), Field: code}
		}
	}
	return nil
}
