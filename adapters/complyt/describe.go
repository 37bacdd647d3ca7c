package complyt

import (
	"maps"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

var _ canonical.Describer = (*Adapter)(nil)

// Describe describes what a new record holds; one that is there already may hold
// what Complyt requires.
func (a *Adapter) Describe(organization bool) ([]canonical.Capability, error) {
	remarks := []mapping.Remark{
		{Field: "/createdAt", Required: canonical.Required, Or: []string{"/updatedAt"}},
		{Field: "/updatedAt", Required: canonical.Required, Or: []string{"/createdAt"}},
		{Field: "/emails/*/primary", Support: canonical.Lossy, How: "chooses the address that is sent"},
		{Field: "/addresses/*/primary", Support: canonical.Lossy, How: "chooses the address that is sent" + a.prefers()},
	}
	for _, member := range []string{"lines", "city", "postalCode", "country", "region"} {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/" + member, How: a.addressHow(member)})
	}
	if organization {
		return companyFields.Describe(append(remarks, mapping.Remark{Field: "/organization/name", Required: canonical.Required})...), nil
	}
	names := []string{"/name/formatted", "/name/givenName", "/name/middleName", "/name/familyName"}
	for _, field := range names {
		remarks = append(remarks, mapping.Remark{Field: field, Support: canonical.Lossy, Required: canonical.Required, Or: names, To: []string{"name"},
			How: "sent as one name without a formatted one; beside it held where that repeats it"})
	}
	return fields.Describe(append(remarks,
		mapping.Remark{Field: "/name/formatted", Support: canonical.Held},
		mapping.Remark{Field: "/name/honorificPrefix", Support: canonical.Lossy, How: "held where the formatted name repeats it"},
		mapping.Remark{Field: "/name/honorificSuffix", Support: canonical.Lossy, How: "held where the formatted name repeats it"},
	)...), nil
}

// prefers says which address comes before the primary one.
func (a *Adapter) prefers() string {
	if a.config.AddressType == "" {
		return ""
	}
	return "; one of type " + a.config.AddressType + " comes first"
}

// addressHow says what becomes of a member of an address.
func (a *Adapter) addressHow(member string) string {
	how := "one address only: the primary one, else the first" + a.prefers()
	switch member {
	case "lines":
		how += "; lines are joined by a comma"
	case "region":
		how += "; up to 100 characters without a country or in the United States"
	case "postalCode":
		how += "; 12345 or 12345-6789 in the United States"
	case "country":
		if len(a.config.Countries) > 0 {
			how += "; settings.countries renames " + strings.Join(slices.Sorted(maps.Keys(a.config.Countries)), ", ")
		}
	}
	return how
}
