package rebilly

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// Limits of ContactEmails, ContactPhoneNumbers and the custom fields.
const (
	maxLabel          = 45
	defaultCustomText = 255
	maxCustomText     = 4000
)

// fieldShape is the form of a custom field's name.
var fieldShape = regexp.MustCompile(`^[\w-]{1,60}$`)

// The character sets of ContactObject.
var (
	basicPlane = &mapping.Chars{
		Only: "characters up to U+FFFF (no emoji)",
		Has:  func(r rune) bool { return r <= 0xFFFF },
	}
	postalChars = &mapping.Chars{
		Only: "letters A to Z, digits, spaces, _ and -",
		Has: func(r rune) bool {
			return r == ' ' || r == '_' || r == '-' || isUpper(r) || 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		},
	}
	countryChars = &mapping.Chars{Only: "capital letters A to Z", Has: isUpper}
	emailChars   = &mapping.Chars{Only: "ASCII characters", Has: func(r rune) bool { return r <= unicode.MaxASCII }}
)

func isUpper(r rune) bool { return 'A' <= r && r <= 'Z' }

// leadSource are the members of LeadSourceData.
var leadSource = []string{"medium", "source", "campaign", "term", "content", "affiliate", "subAffiliate", "salesAgent", "clickId", "path", "referrer"}

// leadRows are the rows of leadSource.
var leadRows = func() (rows []string) {
	for _, member := range leadSource {
		rows = append(rows, "leadSource."+member)
	}
	return rows
}()

// fieldsFor is Customer of the definitions,
// https://github.com/Rebilly/api-definitions, as far as it is writable.
func fieldsFor(c Config) *mapping.Table {
	null := canonical.NullValue()
	text := basicPlane
	if c.Supplementary {
		text = nil
	}
	longest := c.CustomFieldMax
	if longest == 0 {
		longest = defaultCustomText
	}
	fields := []mapping.Field{
		{To: "id", From: "/id", Aliases: []string{"customerId"}, Container: true},
		{To: "websiteId", Setting: "settings.website_id"},
		{To: "primaryAddress", From: "/addresses", Container: true},
		{To: "primaryAddress.firstName", From: "/name/givenName", Max: 45, Chars: text, Clear: null, Aliases: []string{"firstName"}},
		{To: "primaryAddress.lastName", From: "/name/familyName", Max: 45, Chars: text, Clear: null, Aliases: []string{"lastName"}},
		{To: "primaryAddress.organization", From: "/organization/name", Max: 255, Chars: text, Clear: null, Aliases: []string{"company"}},
		{To: "primaryAddress.jobTitle", From: "/jobTitle", Max: 255, Chars: text, Clear: null},
		{To: "primaryAddress.dob", From: "/birthDate", Clear: null},
		{To: "primaryAddress.address", From: "/addresses/*/lines", Max: 60, Chars: text, Clear: null},
		{To: "primaryAddress.address2", From: "/addresses/*/lines", Max: 60, Chars: text, Clear: null, Lossy: "lines after the second are joined to it"},
		{To: "primaryAddress.city", From: "/addresses/*/city", Max: 45, Chars: text, Clear: null},
		{To: "primaryAddress.region", From: "/addresses/*/region", Max: 45, Chars: text, Clear: null},
		{To: "primaryAddress.country", From: "/addresses/*/country", Min: 2, Max: 2, Chars: countryChars, Clear: null},
		{To: "primaryAddress.postalCode", From: "/addresses/*/postalCode", Max: 10, Chars: postalChars, Clear: null},
		{To: "primaryAddress.emails", From: "/emails", Clear: canonical.List()},
		{To: "primaryAddress.emails[].label", From: "/emails/*/type", Max: maxLabel},
		{To: "primaryAddress.emails[].value", From: "/emails/*/value", Max: 255, Chars: emailChars, Aliases: []string{"email"}},
		{To: "primaryAddress.emails[].primary", From: "/emails/*/primary"},
		{To: "primaryAddress.phoneNumbers", From: "/phoneNumbers", Clear: canonical.List()},
		{To: "primaryAddress.phoneNumbers[].label", From: "/phoneNumbers/*/type", Max: maxLabel},
		{To: "primaryAddress.phoneNumbers[].value", From: "/phoneNumbers/*/value", Max: 50},
		{To: "primaryAddress.phoneNumbers[].primary", From: "/phoneNumbers/*/primary"},
		{To: "customFields", From: "/attributes", Clear: canonical.NewObject(0)},
		{To: "customFields.*", From: "/attributes/*", Max: longest},
		{To: "taxNumbers", From: "/taxIds", Clear: null},
		{To: "taxNumbers[].type", From: "/taxIds/*/type", Enum: []string{"eu-vat", "other"}, Lossy: "types other than eu_vat are sent as other"},
		{To: "taxNumbers[].value", From: "/taxIds/*/value"},
		{To: "taxNumbers[].isDefault", From: "/taxIds/*/primary"},
		{To: "locale", From: "/locale", Clear: null},
		{To: "leadSource", From: "/leadSource", Container: true},
	}
	for i, member := range leadSource {
		f := mapping.Field{To: leadRows[i], From: "/leadSource/" + member, Max: 512, Clear: null}
		if member == "referrer" {
			f.Max = 2083
		}
		fields = append(fields, f)
	}
	return mapping.NewTable(name, fields...)
}

// readOnly are the members that Rebilly sets itself, and why they are refused.
// An unknown member is let through: the schema grows often.
var readOnly = map[string]string{
	"id":                       "comes from the customer's id, or from externalIds",
	"organizationId":           "comes from the route's base_url",
	"email":                    "is derived by Rebilly; state emails",
	"firstName":                "is derived by Rebilly; state name",
	"lastName":                 "is derived by Rebilly; state name",
	"company":                  "is derived by Rebilly; state organization",
	"defaultPaymentInstrument": "is read-only since 2026-08-18; use defaultPaymentInstrumentId or paymentToken",
	"tags":                     "has calls of its own at Rebilly",
	"averageValue":             "is set by Rebilly",
	"paymentCount":             "is set by Rebilly",
	"lastPaymentTime":          "is set by Rebilly",
	"lifetimeRevenue":          "is set by Rebilly",
	"invoiceCount":             "is set by Rebilly",
	"revision":                 "is set by Rebilly",
	"createdTime":              "is set by Rebilly",
	"updatedTime":              "is set by Rebilly",
	"_links":                   "is set by Rebilly",
	"_embedded":                "is set by Rebilly",
}

// table is the field table for u: the company of the address stands in for an
// organization that is not stated.
func (a *Adapter) table(u canonical.Upsert) *mapping.Table {
	c := u.Customer
	i := a.source(c)
	if i >= 0 && !c.Organization.Value().Name.HasValue() && c.Addresses.Value()[i].Company.HasValue() {
		return a.company
	}
	return a.fields
}

// mapped builds the body of u, with providerData over it. had is what was read of
// the customer, or the zero Value. Its caller closes it.
func (a *Adapter) mapped(u canonical.Upsert, had canonical.Value) *mapping.Mapper {
	c, table := u.Customer, a.table(u)
	m := table.Start(u)
	if a.config.WebsiteID != "" {
		m.Constant("websiteId", canonical.Text(a.config.WebsiteID))
	}
	n := c.Name.Value()
	m.Text("primaryAddress.firstName", n.GivenName)
	m.Text("primaryAddress.lastName", n.FamilyName)
	m.UseFormatted()
	if table == a.fields {
		m.Text("primaryAddress.organization", c.Organization.Value().Name)
	}
	m.Text("primaryAddress.jobTitle", c.JobTitle)
	if d, ok := c.BirthDate.Get(); !ok || !m.Put("primaryAddress.dob", canonical.Text(d.String())) {
		m.Clear("primaryAddress.dob")
	}
	a.address(m, c)
	a.emails(m, c, had.Get("primaryAddress", "emails"))
	a.phones(m, c, had.Get("primaryAddress", "phoneNumbers"))
	a.customFields(m, c)
	a.taxNumbers(m, c, had.Get("taxNumbers"))
	m.Text("locale", c.Locale)
	lead(m, c.LeadSource.Value())
	for _, d := range u.ProviderData {
		m.Merge(&m.Body, "", d, d.Object)
	}
	return m
}

// source is the index of the address that becomes Rebilly's, or -1.
func (a *Adapter) source(c *canonical.Customer) int {
	if len(a.config.AddressTypes) == 0 {
		return c.PrimaryAddress()
	}
	for _, want := range a.config.AddressTypes {
		found := -1
		for i, from := range c.Addresses.Value() {
			if slices.Contains(from.Type.Value(), want) && (found < 0 || from.Primary.Value()) {
				found = i
			}
		}
		if found >= 0 {
			return found
		}
	}
	return -1
}

// street are the members of primaryAddress that one address feeds as a unit.
var street = []string{"address", "address2", "city", "region", "country", "postalCode"}

func (a *Adapter) address(m *mapping.Mapper, c *canonical.Customer) {
	i := a.source(c)
	if i < 0 {
		if len(c.Addresses.Value()) == 0 {
			for _, member := range street {
				m.Clear("primaryAddress." + member)
			}
		}
		return
	}
	from, at := c.Addresses.Value()[i], mapping.Pos{To: -1, From: i}
	if lines := from.Lines.Value(); len(lines) > 0 {
		m.Put("primaryAddress.address", canonical.Text(lines[0]), at)
		if len(lines) > 1 {
			m.Put("primaryAddress.address2", canonical.Text(strings.Join(lines[1:], ", ")), at)
		}
		if len(lines) > 2 {
			m.Note(canonical.NoticeChanged, "/addresses/*/lines", i, "primaryAddress.address2", "rebilly has two lines; those after the second are joined to it")
		}
	} else {
		m.Clear("primaryAddress.address", at)
		m.Clear("primaryAddress.address2", at)
	}
	m.Text("primaryAddress.city", from.City, at)
	m.Text("primaryAddress.region", from.Region, at)
	m.Text("primaryAddress.country", from.Country, at)
	m.Text("primaryAddress.postalCode", from.PostalCode, at)
	a.useAddress(m, c, i)
}

// useAddress carries the company of address i and counts what else is held of
// it: by its being Rebilly's one address, or in another place.
func (a *Adapter) useAddress(m *mapping.Mapper, c *canonical.Customer, i int) {
	from := c.Addresses.Value()[i]
	switch organization, stated := c.Organization.Value().Name.Get(); {
	case !stated && from.Company.HasValue():
		m.Text("primaryAddress.organization", from.Company, mapping.Pos{To: -1, From: i})
	case stated && from.Company.Value() == organization:
		m.Use("/addresses/*/company", i)
	}
	if i == c.PrimaryAddress() {
		m.Use("/addresses/*/primary", i)
	}
	if types := from.Type.Value(); !slices.ContainsFunc(types, func(t string) bool { return !slices.Contains(a.config.AddressTypes, t) }) {
		m.Use("/addresses/*/type", i)
	}
	for _, p := range c.PhoneNumbers.Value() {
		if p.Value.Value() == from.PhoneNumber.Value() {
			m.Use("/addresses/*/phoneNumber", i)
		}
	}
}

func (a *Adapter) emails(m *mapping.Mapper, c *canonical.Customer, had canonical.Value) {
	list, primary := c.Emails.Value(), c.PrimaryEmail()
	if len(list) == 0 {
		m.Clear("primaryAddress.emails")
	}
	for i, e := range list {
		m.Text("primaryAddress.emails[].value", e.Value, mapping.Pos{To: i, From: i})
		a.point(m, &emailRows, i, e.Type, labelOf(e.Type, known(had, e.Value.Value(), i), a.config.EmailLabel), e.Primary, i == primary)
	}
}

func (a *Adapter) phones(m *mapping.Mapper, c *canonical.Customer, had canonical.Value) {
	list, primary := c.PhoneNumbers.Value(), c.PrimaryPhone()
	if len(list) == 0 {
		m.Clear("primaryAddress.phoneNumbers")
	}
	for i, p := range list {
		m.Text("primaryAddress.phoneNumbers[].value", p.Value, mapping.Pos{To: i, From: i})
		a.point(m, &phoneRows, i, p.Type, labelOf(p.Type, known(had, p.Value.Value(), i), a.config.PhoneLabel), p.Primary, i == primary)
	}
}

// pointRows are the rows of one kind of contact points, and where they come from.
type pointRows struct{ label, primary, from string }

var (
	emailRows = pointRows{"primaryAddress.emails[].label", "primaryAddress.emails[].primary", "/emails/*"}
	phoneRows = pointRows{"primaryAddress.phoneNumbers[].label", "primaryAddress.phoneNumbers[].primary", "/phoneNumbers/*"}
)

// labelOf returns the label of a contact point that has no type: the one that it
// has at Rebilly, unless the caller clears it, else the standing one.
func labelOf(kind canonical.Field[string], had canonical.Value, standing string) string {
	if label := had.Get("label").Str(); label != "" && kind.IsZero() {
		return label
	}
	return standing
}

// standing says that something which Rebilly needs got a standing value.
func (a *Adapter) standing(what, value string) string {
	message := fmt.Sprintf("rebilly needs a %s; sent %q", what, value)
	if !a.config.Exclusive {
		message += " unless it has one there"
	}
	return message
}

// point adds the label and the primary mark of a contact point. Rebilly needs a
// label on each, and one primary in a list.
func (a *Adapter) point(m *mapping.Mapper, to *pointRows, i int, kind canonical.Field[string], label string, stated canonical.Field[bool], primary bool) {
	at := mapping.Pos{To: i, From: i}
	m.UseNull(to.from, i) // the label or mark goes back to what it is without a statement
	if !kind.HasValue() {
		m.Constant(to.label, canonical.Text(label), at)
		m.Note(canonical.NoticeDefaulted, to.from+"/type", i, strings.Replace(to.label, "[]", fmt.Sprintf(".%d", i), 1), a.standing("label", label))
	} else {
		m.Text(to.label, kind, at)
	}
	if stated.HasValue() {
		m.Put(to.primary, canonical.Boolean(primary), at)
	} else {
		m.Constant(to.primary, canonical.Boolean(primary), at)
	}
}

func (a *Adapter) customFields(m *mapping.Mapper, c *canonical.Customer) {
	if len(c.Attributes.Value()) == 0 {
		m.Clear("customFields")
	}
	for i, attr := range c.Attributes.Value() {
		at := mapping.Pos{To: -1, From: i}
		switch {
		case attr.Value.Kind() == canonical.KindNull:
			m.UseNull("/attributes/*", i) // Rebilly takes no null; left out is cleared
		case a.config.CustomFields != nil && !slices.Contains(a.config.CustomFields, attr.Name):
			m.Note(canonical.NoticeDropped, "/attributes/*", i, "customFields."+attr.Name, "rebilly: the custom field is not among settings.custom_fields; it was not sent")
		case !fieldShape.MatchString(attr.Name):
			m.Refuse("customFields.*", canonical.FieldInvalid, "takes names of at most 60 letters A to Z, digits, _ and -", at)
		case attr.Value.Kind() == canonical.KindArray && !isTexts(attr.Value):
			m.Refuse("customFields.*", canonical.FieldUnsupported, "takes lists of texts of at most 255 characters", at)
		default:
			m.Entry("customFields.*", attr.Name, attr.Value, i)
		}
	}
}

// isTexts reports whether a list is one that an array field takes.
func isTexts(list canonical.Value) bool {
	for i := range list.Len() {
		if e := list.At(i); e.Kind() != canonical.KindString || utf8.RuneCountInString(e.Str()) > 255 {
			return false
		}
	}
	return true
}

func (a *Adapter) taxNumbers(m *mapping.Mapper, c *canonical.Customer, had canonical.Value) {
	if len(c.TaxIDs.Value()) == 0 {
		m.Clear("taxNumbers")
	}
	anyPrimary := slices.ContainsFunc(c.TaxIDs.Value(), func(t canonical.TaxID) bool { return t.Primary.Value() })
	for i, t := range c.TaxIDs.Value() {
		at, old := mapping.Pos{To: i, From: i}, known(had, t.Value.Value(), i)
		m.UseNull("/taxIds/*", i)
		switch kind, stated := t.Type.Get(); {
		case t.Type.IsZero() && old.Get("type").Str() != "":
			m.Constant("taxNumbers[].type", old.Get("type"), at)
		case !stated:
			m.Constant("taxNumbers[].type", canonical.Text("other"), at)
			m.Note(canonical.NoticeDefaulted, "/taxIds/*/type", i, fmt.Sprintf("taxNumbers.%d.type", i), a.standing("type", "other"))
		case kind == "eu_vat" || kind == "eu-vat":
			m.Put("taxNumbers[].type", canonical.Text("eu-vat"), at)
		default:
			m.Put("taxNumbers[].type", canonical.Text("other"), at)
			if kind != "other" {
				m.Note(canonical.NoticeChanged, "/taxIds/*/type", i, fmt.Sprintf("taxNumbers.%d.type", i), `rebilly knows the types eu-vat and other; sent "other"`)
			}
		}
		m.Text("taxNumbers[].value", t.Value, at)
		switch isDefault := old.Get("isDefault"); {
		case t.Primary.HasValue():
			m.Bool("taxNumbers[].isDefault", t.Primary, at)
		case t.Primary.IsZero() && !anyPrimary && isDefault.Kind() == canonical.KindBool:
			m.Constant("taxNumbers[].isDefault", isDefault, at)
		}
		if country, ok := t.Country.Get(); ok && strings.HasPrefix(t.Value.Value(), country) {
			m.Use("/taxIds/*/country", i) // the number says it
		}
	}
}

func lead(m *mapping.Mapper, l canonical.LeadSource) {
	for i, f := range []canonical.Field[string]{l.Medium, l.Source, l.Campaign, l.Term, l.Content, l.Affiliate, l.SubAffiliate, l.SalesAgent, l.ClickID, l.Path, l.Referrer} {
		if v, ok := f.Get(); ok && leadSource[i] == "referrer" {
			f = canonical.Of(asciiURI(v))
		}
		m.Text(leadRows[i], f)
	}
}

// asciiURI writes an internationalized URI in the characters of RFC 3986, as its
// successor for the others says (RFC 3987, section 3.1).
func asciiURI(s string) string {
	const legal = "-._~:/?#[]@!$&'()*+,;=%"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(legal, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
