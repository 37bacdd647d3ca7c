package complyt

import (
	"regexp"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// maxCountry is the length of address.country.
const maxCountry = 50

// defaultType is the customer type of canonical customers that state none.
const defaultType = "RETAIL"

var customerTypes = []string{"RETAIL", "MARKETPLACE", "RESELLER", "RETAIL_EXEMPT"}

// fields is the customer, https://docs.complyt.io/api-7838832. Aliases are how
// the error messages of newer (Address.city) and older (City) revisions spell a
// field.
//
// name, customerType and externalTimestamps are required too, but may come from
// the stored record: complete asks for them. Complyt counts characters as Java
// does.
var fields = mapping.NewTable(name,
	mapping.Field{To: "externalId", From: "/id", Required: true, Min: 1, Max: 256, Aliases: []string{"External ID", "External id"}},
	mapping.Field{To: "source", Setting: "settings.source", Required: true, Aliases: []string{"Source"}},
	mapping.Field{To: "name", From: "/name/formatted", Min: 1, Max: 256, Aliases: []string{"Name", "Customer name"}},
	mapping.Field{To: "customerType", From: "/customerType", Enum: customerTypes, Clear: canonical.Text(defaultType), Aliases: []string{"Customer type", "Customer Type"}},
	mapping.Field{To: "email", From: "/emails/*/value", Clear: canonical.NullValue(), Aliases: []string{"Email", "E-mail"}},
	mapping.Field{To: "comment", From: "/note", Max: 200, Clear: canonical.NullValue(), Aliases: []string{"Comment"}},
	mapping.Field{To: "address", From: "/addresses/*", Container: true, Clear: canonical.NullValue(), Aliases: []string{"Address"}},
	mapping.Field{To: "address.street", From: "/addresses/*/lines", Max: 200, Clear: canonical.NullValue(), Aliases: []string{"Address.street", "Street", "street"}, Lossy: "lines are joined by a comma"},
	mapping.Field{To: "address.city", From: "/addresses/*/city", Max: 100, Clear: canonical.NullValue(), Aliases: []string{"Address.city", "City", "city"}},
	mapping.Field{To: "address.state", From: "/addresses/*/region", Max: 100, Clear: canonical.NullValue(), Aliases: []string{"Address.state", "State", "state"}},
	mapping.Field{To: "address.region", From: "/addresses/*/region", Max: 20, Clear: canonical.NullValue(), Aliases: []string{"Address.region", "Region", "region"}},
	mapping.Field{To: "address.zip", From: "/addresses/*/postalCode", Max: 20, Clear: canonical.NullValue(), Aliases: []string{"Address.zip", "Zip code", "Zip", "ZIP", "zip", "Postal code"}},
	mapping.Field{To: "address.country", From: "/addresses/*/country", Max: maxCountry, Clear: canonical.NullValue(), Aliases: []string{"Address.country", "Country", "country"}},
	mapping.Field{To: "address.county", From: "/addresses/*", Container: true, Aliases: []string{"Address.county", "County", "county"}},
	mapping.Field{To: "address.isPartial", From: "/addresses/*", Container: true, Aliases: []string{"Address.isPartial", "isPartial"}},
	mapping.Field{To: "externalTimestamps", From: "/createdAt", Container: true, Aliases: []string{"External timestamps", "Timestamps"}},
	mapping.Field{To: "externalTimestamps.createdDate", From: "/createdAt", Aliases: []string{"Timestamps.createdDate", "createdDate", "Created date", "Created Date"}},
	mapping.Field{To: "externalTimestamps.updatedDate", From: "/updatedAt", Aliases: []string{"Timestamps.updatedDate", "updatedDate", "Updated date", "Updated Date"}},
).InUTF16()

// The same table for customers whose name comes from elsewhere.
var (
	partsFields   = fields.With("name", func(f *mapping.Field) { f.From = "/name" })
	companyFields = fields.With("name", func(f *mapping.Field) { f.From = "/organization/name" })
)

// tableFor returns the table whose row of name is fed by what c states.
func tableFor(c *canonical.Customer) *mapping.Table {
	switch {
	case c.IsOrganization():
		return companyFields
	case c.Name.Value().Formatted.HasValue():
		return fields
	}
	return partsFields
}

// climbs reports whether a server on the way could take the id for a step up the
// path, although it is escaped there.
func climbs(id string) bool {
	for part := range strings.FieldsFuncSeq(id, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part, _, _ = strings.Cut(part, ";"); part == "." || part == ".." {
			return true
		}
	}
	return false
}

// fill puts in what the caller states.
func (a *Adapter) fill(m *mapping.Mapper, u canonical.Upsert) {
	c := u.Customer
	if climbs(u.ID) {
		m.Refuse("externalId", canonical.FieldInvalid, `cannot be "." or "..", or have such a part between slashes, which a path does not hold`)
	}
	m.Put("externalId", canonical.Text(u.ID))
	m.Constant("source", canonical.Text(a.source))
	fillName(m, c)
	if kind, ok := c.CustomerType.Get(); ok {
		m.Put("customerType", canonical.Text(strings.ToUpper(kind)))
	} else {
		m.Clear("customerType")
	}
	a.fillAddress(m, c)
	if i := c.PrimaryEmail(); i >= 0 {
		m.Text("email", c.Emails.Value()[i].Value, mapping.Pos{To: -1, From: i})
		m.Use("/emails/*/primary", i)
	} else {
		m.Clear("email")
	}
	m.Text("comment", c.Note)
	if t, ok := c.CreatedAt.Get(); ok {
		m.Put("externalTimestamps.createdDate", canonical.Text(t.String()))
	}
	if t, ok := c.UpdatedAt.Get(); ok {
		m.Put("externalTimestamps.updatedDate", canonical.Text(t.String()))
	}
}

// fillName sends the one name that Complyt has.
func fillName(m *mapping.Mapper, c *canonical.Customer) {
	if c.IsOrganization() {
		m.Text("name", c.Organization.Value().Name)
		return
	}
	n := c.Name.Value()
	if formatted, ok := n.Formatted.Get(); ok {
		m.Put("name", canonical.Text(formatted))
		useParts(m, n, formatted)
		return
	}
	var parts []string
	for _, part := range []canonical.Field[string]{n.GivenName, n.MiddleName, n.FamilyName} {
		if v, ok := part.Get(); ok {
			parts = append(parts, v)
		}
	}
	if parts == nil {
		return
	}
	m.Put("name", canonical.Text(strings.Join(parts, " ")))
	const dropped = "complyt has one name without titles; this was not sent"
	if n.HonorificPrefix.HasValue() {
		m.Note(canonical.NoticeDropped, "/name/honorificPrefix", -1, "", dropped)
	}
	if n.HonorificSuffix.HasValue() {
		m.Note(canonical.NoticeDropped, "/name/honorificSuffix", -1, "", dropped)
	}
}

// useParts counts the parts of a name that the formatted one repeats.
func useParts(m *mapping.Mapper, n canonical.Name, formatted string) {
	words := strings.Fields(formatted)
	for pattern, part := range map[string]canonical.Field[string]{
		"/name/givenName": n.GivenName, "/name/middleName": n.MiddleName, "/name/familyName": n.FamilyName,
		"/name/honorificPrefix": n.HonorificPrefix, "/name/honorificSuffix": n.HonorificSuffix,
	} {
		missing := func(word string) bool {
			return !slices.ContainsFunc(words, func(w string) bool { return strings.Trim(w, ".,") == strings.Trim(word, ".,") })
		}
		if !slices.ContainsFunc(strings.Fields(part.Value()), missing) {
			m.Use(pattern, -1)
		}
	}
}

// usZIP is what Complyt takes as the zip of an address in the United States.
var usZIP = regexp.MustCompile(`^\d{5}(-\d{4})?$`)

// fillAddress sends one address.
func (a *Adapter) fillAddress(m *mapping.Mapper, c *canonical.Customer) {
	i := a.pickAddress(c)
	if i < 0 {
		m.Clear("address")
		return
	}
	from, at := c.Addresses.Value()[i], mapping.Pos{To: -1, From: i}
	m.Use("/addresses/*/primary", i)
	if lines := from.Lines.Value(); len(lines) > 0 {
		m.Put("address.street", canonical.Text(strings.Join(lines, ", ")), at)
	} else {
		m.Clear("address.street", at)
	}
	m.Text("address.city", from.City, at)
	region, other := "address.state", "address.region"
	country := from.Country.Value()
	if country != "" && country != "US" {
		region, other = other, region
	}
	m.Text(region, from.Region, at)
	if from.Region.IsNull() {
		m.Clear(other, at)
	}
	if zip := from.PostalCode.Value(); zip != "" && country == "US" && !usZIP.MatchString(zip) {
		m.Refuse("address.zip", canonical.FieldInvalid, "takes 12345 or 12345-6789 for an address in the United States", at)
	} else {
		m.Text("address.zip", from.PostalCode, at)
	}
	if named := a.config.Countries[country]; named != "" {
		m.Put("address.country", canonical.Text(named), at)
	} else {
		m.Text("address.country", from.Country, at)
	}
}

// pickAddress returns the index of the address to send, or -1: one of the
// preferred type, the primary one first, else the primary one.
func (a *Adapter) pickAddress(c *canonical.Customer) int {
	best := -1
	list := c.Addresses.Value()
	for i := range list {
		if slices.Contains(list[i].Type.Value(), a.config.AddressType) && (best < 0 || list[i].Primary.Value()) {
			best = i
		}
	}
	if best < 0 {
		best = c.PrimaryAddress()
	}
	return best
}

// complete asks for what Complyt requires, of the finished body. One date stands
// in for the other, because Complyt refuses a record without both.
func complete(m *mapping.Mapper) []canonical.Notice {
	if lacks(m.Body.Get("name")) {
		m.Missing("name")
	}
	const created, updated = "externalTimestamps.createdDate", "externalTimestamps.updatedDate"
	dates := m.Body.Get("externalTimestamps")
	c, u := dates.Get("createdDate"), dates.Get("updatedDate")
	switch {
	case lacks(c) && lacks(u):
		m.Missing(created)
		m.Missing(updated)
	case lacks(c):
		m.Constant(created, u)
		return standIn(created, "/updatedAt")
	case lacks(u):
		m.Constant(updated, c)
		return standIn(updated, "/createdAt")
	}
	return nil
}

func lacks(v canonical.Value) bool { return v.Str() == "" }

func standIn(field, pointer string) []canonical.Notice {
	return []canonical.Notice{{Code: canonical.NoticeDefaulted, Pointer: pointer, Field: field,
		Message: "complyt requires " + field + ", which is not stated; it got the value of " + pointer[1:]}}
}

// checkData returns what in the caller's object must not be sent, and takes out
// the nulls that would count as missing once more.
func (a *Adapter) checkData(u canonical.Upsert, key string, object *canonical.Value) []canonical.FieldError {
	var refused []canonical.FieldError
	refuse := func(code canonical.FieldCode, problem string, path ...string) {
		field := strings.Join(path, ".")
		refused = append(refused, canonical.FieldError{Pointer: canonical.JoinPointer("/providerData", append([]string{key}, path...)...),
			Field: field, Code: code, Message: name + ": " + field + " " + problem})
	}
	for _, member := range []string{"complytId", "internalTimestamps"} {
		if object.Has(member) {
			refuse(canonical.FieldUnsupported, "is Complyt's own and cannot be written; leave it out", member)
		}
	}
	for _, fixed := range [][2]string{{"externalId", u.ID}, {"source", a.source}} {
		if object.Has(fixed[0]) && !object.Get(fixed[0]).Equal(canonical.Text(fixed[1])) {
			refuse(canonical.FieldInvalid, "must equal the one in the path; leave it out", fixed[0])
		}
	}
	for _, path := range [][]string{{"externalTimestamps", "createdDate"}, {"externalTimestamps", "updatedDate"}, {"externalTimestamps"}, {"name"}, {"customerType"}} {
		if object.Get(path...).Kind() != canonical.KindNull {
			continue
		}
		refuse(canonical.FieldRequired, "is required and cannot be null", path...)
		if len(path) == 1 {
			object.Delete(path[0])
		} else {
			object.Member(path[0]).Delete(path[1])
		}
	}
	// Of an unknown type Complyt only says that it cannot read the message.
	if kind := object.Get("customerType").Str(); kind != "" && !slices.Contains(customerTypes, kind) {
		refuse(canonical.FieldUnsupported, "takes one of "+strings.Join(customerTypes, ", "), "customerType")
	}
	return refused
}
