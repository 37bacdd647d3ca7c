package rebilly

import (
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

var _ canonical.Describer = (*Adapter)(nil)

// Describe describes what PutCustomer holds; it is the same for persons and
// organizations.
func (a *Adapter) Describe(bool) ([]canonical.Capability, error) {
	one := "one address only: the primary one, else the first"
	if types := a.config.AddressTypes; len(types) > 0 {
		one = "one address only, of settings.address_types: " + strings.Join(types, ", ")
	}
	remarks := []mapping.Remark{
		{Field: "/id", Support: canonical.Held, MaxLength: maxID, Charset: idChars, How: "is the record's id, unless externalIds states it"},
		{Field: "/name/formatted", Support: canonical.Lossy, How: "held where it says no more than the given and the family name"},
		{Field: "/taxIds/*/country", Support: canonical.Lossy, How: "held where the number begins with it"},
	}
	for _, member := range []string{"city", "region", "country", "postalCode"} {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/" + member, How: one})
	}
	remarks = append(remarks,
		mapping.Remark{Field: "/addresses/*/lines", How: one + "; lines after the second are joined to it"},
		mapping.Remark{Field: "/addresses/*/primary", Support: canonical.Lossy, How: one + "; held where it is the primary one"},
		mapping.Remark{Field: "/addresses/*/phoneNumber", Support: canonical.Lossy, How: one + "; held where it is among phoneNumbers"},
		mapping.Remark{Field: "/addresses/*/company", Support: canonical.Lossy,
			How: one + "; stands in for an organization that is not stated"},
	)
	if len(a.config.AddressTypes) > 0 {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/type", Support: canonical.Lossy, How: "chooses the address that is sent, by settings.address_types"})
	}
	const names = "names have at most 60 letters A to Z, digits, _ and -; a list has texts of at most 255 characters"
	if list := a.config.CustomFields; list == nil {
		remarks = append(remarks, mapping.Remark{Field: "/attributes/*", How: names})
	} else {
		remarks = append(remarks, mapping.Remark{Field: "/attributes/*", Support: canonical.Lossy, How: "those that settings.custom_fields names; " + names})
	}
	fields := a.fields.Describe(remarks...)
	for i, c := range a.company.Describe(remarks...) {
		if c.Field == "/addresses/*/company" {
			fields[i] = c
		}
	}
	return fields, nil
}
