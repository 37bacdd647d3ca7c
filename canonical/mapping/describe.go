package mapping

import (
	"slices"
	"strings"

	"customer-gateway/canonical"
)

// Remark says of a canonical field, or of all below a place, what the rows of a
// table cannot tell, because an adapter does it in code. What is empty is left as
// the rows have it.
type Remark struct {
	Field    string
	Support  canonical.Support
	Required canonical.Requirement
	Or       []string
	How      string
	To       []string
	// MaxLength and Charset are limits that no row has.
	MaxLength int
	Charset   string
}

// oneElement says what becomes of a list of which the provider holds one element.
const oneElement = "one element only: the primary one, else the first"

// Describe describes every field that a customer can state, or that a row is fed
// by, by the limits that Put enforces and what Finish reports. Later remarks win.
func (t *Table) Describe(remarks ...Remark) []canonical.Capability {
	var all []canonical.Capability
	for _, p := range canonical.Places() {
		if p.Bookkeeping() && (!t.holds(p) || p.Indexed()) { // externalIds and providerData are for routes
			continue
		}
		c := t.describe(p)
		for _, r := range remarks {
			if canonical.Path(r.Field).Contains(p) {
				r.apply(&c)
			}
		}
		all = append(all, c)
	}
	return all
}

// describe tells what the rows know of a place.
func (t *Table) describe(p canonical.PathID) canonical.Capability {
	c := canonical.Capability{Field: p.String(), Support: canonical.Unsupported, Required: canonical.Optional}
	single := p.Indexed()
	var how, charsets []string
	for i := range t.fields {
		f := &t.fields[i]
		if f.Container || !f.feeds(p) {
			continue
		}
		c.Support = canonical.Held
		c.To = append(c.To, f.To)
		if f.Lossy != "" && !slices.Contains(how, f.Lossy) {
			how = append(how, f.Lossy)
		}
		if f.many() {
			single = false
		}
		if f.From == "" || f.from != p {
			continue
		}
		if f.Required && f.list != "" {
			c.Required = canonical.RequiredInElement
		} else if f.Required {
			c.Required = canonical.Required
		}
		if f.Max > 0 && f.Max < p.MaxLength() && (c.MaxLength == 0 || f.Max < c.MaxLength) {
			c.MaxLength = f.Max
		}
		if f.Chars != nil && !slices.Contains(charsets, f.Chars.Only) {
			charsets = append(charsets, f.Chars.Only)
		}
	}
	if c.Support == canonical.Held && single {
		how = append(how, oneElement)
	}
	if how != nil {
		c.Support = canonical.Lossy
	}
	c.How, c.Charset = strings.Join(how, "; "), strings.Join(charsets, "; ")
	return c
}

// feeds reports whether what stands at p goes into the row. The row of a list is
// there to clear it; its elements have rows of their own.
func (f *Field) feeds(p canonical.PathID) bool {
	within := func(from canonical.PathID) bool { return from.Contains(p) && from.Indexed() == p.Indexed() }
	return f.From != "" && within(f.from) || slices.ContainsFunc(f.also, within)
}

// many reports whether the row takes several elements of a list, or free names.
func (f *Field) many() bool {
	return slices.ContainsFunc(f.steps, func(s step) bool { return s.list && !s.fixed || s.name == "*" })
}

// apply lays a remark over what the rows tell.
func (r *Remark) apply(c *canonical.Capability) {
	if r.Support != "" {
		c.Support = r.Support
	}
	if r.Support == canonical.Held || r.How != "" {
		c.How = r.How
	}
	if r.Support == canonical.Unsupported {
		c.To, c.MaxLength, c.Charset = nil, 0, ""
	}
	if r.To != nil {
		c.To = r.To
	}
	if r.MaxLength > 0 {
		c.MaxLength = r.MaxLength
	}
	if r.Charset != "" {
		c.Charset = r.Charset
	}
	if r.Required != "" {
		c.Required = r.Required
	}
	if r.Or != nil {
		c.Or = slices.DeleteFunc(slices.Clone(r.Or), func(field string) bool { return field == c.Field })
	}
}
