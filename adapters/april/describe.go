package april

import (
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

var _ canonical.Describer = (*Adapter)(nil)

// Describe describes what UpsertConsumerCustomer or UpsertOrganisationCustomer
// holds.
func (a *Adapter) Describe(organization bool) ([]canonical.Capability, error) {
	if organization {
		if !a.config.Organization {
			return nil, noOrganizations()
		}
		return a.organised.Describe(
			mapping.Remark{Field: "/emails/*/primary", Support: canonical.Lossy, How: "chooses the address that is sent"},
			mapping.Remark{Field: "/taxIds/*/primary", Support: canonical.Lossy, How: "chooses the number that is sent"},
		), nil
	}
	remarks := []mapping.Remark{
		{Field: "/name/formatted", Support: canonical.Lossy, How: "held where it says no more than the given, middle and family name"},
		{Field: "/emails/*/primary", Support: canonical.Lossy, How: "chooses the address that is sent"},
		{Field: "/phoneNumbers/*/primary", Support: canonical.Lossy, How: "chooses the number that is sent"},
	}
	if a.config.Address {
		remarks = append(remarks, mapping.Remark{Field: "/addresses/*/primary", Support: canonical.Lossy, How: "chooses the address that is sent"})
	} else {
		remarks = append(remarks, mapping.Remark{Field: "/addresses", How: "settings.address is off"})
	}
	return a.consumer.Describe(remarks...), nil
}
