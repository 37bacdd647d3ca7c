package magento

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

var _ canonical.Describer = (*Adapter)(nil)

// Describe describes what the shop's customers and their addresses hold; it is
// the same for persons and organizations.
func (a *Adapter) Describe(bool) ([]canonical.Capability, error) {
	lossy := func(field, how string) mapping.Remark {
		return mapping.Remark{Field: field, Support: canonical.Lossy, How: how}
	}
	remarks := []mapping.Remark{
		lossy("/name/formatted", "held where it says no more than the parts of the name"),
		{Field: "/organization/name", Support: canonical.Lossy, How: "as the company of addresses that state none", To: []string{"addresses[].company"}},
		lossy("/emails/*/primary", "chooses the address that is sent"),
		lossy("/taxIds/*/value", "one number only: the primary one, else the first"),
		lossy("/taxIds/*/primary", "chooses the number that is sent"),
		lossy("/taxIds/*/type", "held of the number that is sent if it is eu_vat"),
		lossy("/taxIds/*/country", "held where the number that is sent begins with it"),
		lossy("/phoneNumbers/*/type", "a fax at the primary address only"),
		lossy("/addresses/*/type", "billing and shipping only, one address each"),
		{Field: "/addresses/*/primary", Support: canonical.Held, How: "makes the address the default one for billing and shipping, if no other is"},
		lossy("/addresses/*/name/formatted", "held where it says no more than the parts of the name"),
		{Field: "/addresses/*/name/givenName", Required: canonical.RequiredInObject, How: "the customer's stands in where the address has no name"},
		{Field: "/addresses/*/name/familyName", Required: canonical.RequiredInObject, How: "the customer's stands in where the address has no name"},
		{Field: "/addresses/*/postalCode", Required: canonical.RequiredInElement, How: a.optionalPostcode()},
	}
	if n := a.config.StreetLines; n < maxLines {
		remarks = append(remarks, lossy("/addresses/*/lines", fmt.Sprintf("at most %d lines; further ones are joined to the last", n)))
	} else {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/lines", Support: canonical.Held})
	}
	if a.config.TelephoneFallback {
		remarks = append(remarks,
			mapping.Remark{Field: "/phoneNumbers/*/value", Support: canonical.Lossy, To: []string{"addresses[].telephone", "addresses[].fax"},
				How: "one number at addresses that state none, and a fax at the primary address"},
			lossy("/phoneNumbers/*/primary", "chooses the number for addresses that state none"),
			mapping.Remark{Field: "/addresses/*/phoneNumber", Or: []string{"/phoneNumbers/*/value"}})
	} else {
		remarks = append(remarks, lossy("/phoneNumbers/*/value", "a fax at the primary address only"), lossy("/phoneNumbers/*/primary", "held of the fax that is sent"))
	}
	switch n := len(a.config.Genders); {
	case n == len(genders):
	case n > 0 && slices.Contains(a.config.Require, "gender"):
		remarks = append(remarks, mapping.Remark{Field: "/gender", Support: canonical.Held, How: "others than " + names(a.config.Genders) + " are refused"})
	case n > 0:
		remarks = append(remarks, lossy("/gender", "settings.genders has "+names(a.config.Genders)))
	default:
		remarks = append(remarks, mapping.Remark{Field: "/gender", Support: canonical.Unsupported, How: "settings.genders is empty"})
	}
	if slices.Contains(a.config.Require, "company") {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/company", Or: []string{"/organization/name"}})
	}
	if len(a.config.Groups) > 0 {
		remarks = append(remarks, lossy("/customerType", "as the group; settings.groups has "+names(a.config.Groups)))
	}
	if len(a.config.CustomAttributes) > 0 {
		remarks = append(remarks, lossy("/attributes/*", "as texts, those that settings.custom_attributes names"))
	}
	if a.config.Newsletter {
		const how = "the first consent to marketing by e-mail only"
		remarks = append(remarks,
			mapping.Remark{Field: "/consents/*/channel", Support: canonical.Lossy, How: how, To: []string{}},
			mapping.Remark{Field: "/consents/*/purpose", Support: canonical.Lossy, How: how, To: []string{}},
			lossy("/consents/*/granted", how))
	}
	return a.table.Describe(remarks...), nil
}

// maxLines is how many lines the schema lets an address have.
const maxLines = 10

// optionalPostcode says where no postal code is needed.
func (a *Adapter) optionalPostcode() string {
	if len(a.config.OptionalPostcode) == 0 {
		return ""
	}
	return "not required in " + strings.Join(a.config.OptionalPostcode, ", ")
}

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
