package capillary

import (
	"maps"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

var _ canonical.Describer = (*Adapter)(nil)

// Describe describes what a profile and its extended fields hold; it is the same
// for persons and organizations.
func (a *Adapter) Describe(bool) ([]canonical.Capability, error) {
	return a.table.Describe(slices.Concat(standing, a.describeKeys(), a.describeLoyalty(), a.describeExtended(), a.describeLists())...), nil
}

func lossy(field, how string) mapping.Remark {
	return mapping.Remark{Field: field, Support: canonical.Lossy, How: how}
}

func unsupported(field, how string) mapping.Remark {
	return mapping.Remark{Field: field, Support: canonical.Unsupported, How: how}
}

// standing is what no setting changes.
var standing = []mapping.Remark{
	lossy("/name/formatted", "held where it says no more than the parts of the name that are sent"),
	lossy("/emails/*/type", "home and work only"),
	lossy("/phoneNumbers/*/value", "no fax numbers"),
	lossy("/phoneNumbers/*/type", "mobile, home and work only"),
	lossy("/phoneNumbers/*/primary", "not of fax numbers"),
	lossy("/phoneNumbers/*/verified", "not of fax numbers"),
	lossy("/identifiers/*/type", "one of "+strings.Join(keyKinds, ", ")),
	lossy("/identifiers/*/value", "of the types that Capillary has; a mobile or email keeps the rules of its channel"),
}

// keyFields are the canonical fields of the customer's own keys.
var keyFields = map[string]string{"externalId": "/id", "mobile": "/phoneNumbers/*/value", "email": "/emails/*/value"}

// describeKeys says which of the keys a customer must have: those of
// settings.require, and one at least.
func (a *Adapter) describeKeys() (remarks []mapping.Remark) {
	c := &a.config
	if !slices.Contains(c.Identifiers, "externalId") {
		remarks = append(remarks, unsupported("/id", "settings.identifiers does not have externalId"))
	}
	for _, kind := range c.Require {
		if slices.Contains(c.Identifiers, kind) {
			remarks = append(remarks, mapping.Remark{Field: keyFields[kind], Required: canonical.Required})
			continue
		}
		for _, field := range []string{"/identifiers/*/type", "/identifiers/*/value"} {
			remarks = append(remarks, mapping.Remark{Field: field, Required: canonical.Required, How: "settings.require has " + strings.Join(c.Require, ", ")})
		}
	}
	if remarks == nil || len(c.Require) > 0 || slices.Contains(c.Identifiers, "externalId") {
		return remarks
	}
	or := []string{"/loyalty/cardNumber", "/identifiers/*/value"}
	for _, kind := range c.Identifiers {
		or = append(or, keyFields[kind])
	}
	for _, kind := range c.Identifiers {
		remarks = append(remarks, mapping.Remark{Field: keyFields[kind], Required: canonical.Required, Or: or})
	}
	return remarks
}

// describeLoyalty says where the labels of settings.loyalty_status go, and the
// date of registration.
func (a *Adapter) describeLoyalty() []mapping.Remark {
	series := lossy("/loyalty/cardSeries", "with loyalty.cardNumber only")
	status := mapping.Remark{Field: "/loyalty/status", To: []string{"statusLabel"}}
	switch a.config.LoyaltyStatus {
	case "card":
		status = mapping.Remark{Field: "/loyalty/status", Support: canonical.Lossy, How: "with loyalty.cardNumber only", To: []string{cardLabel}}
	case "off":
		status = unsupported("/loyalty/status", "settings.loyalty_status is off")
	}
	if a.config.CreateDate {
		return []mapping.Remark{series, status}
	}
	return []mapping.Remark{series, status, unsupported("/createdAt", "settings.create_date is off")}
}

// describeExtended says which values the extended fields take.
func (a *Adapter) describeExtended() (remarks []mapping.Remark) {
	for _, f := range a.extensions {
		values := names(a.config.ExtendedValues[f.key])
		if values == "" && f.key == "gender" {
			values = names(defaultGenders)
		}
		how := ""
		switch {
		case f.key == "birth_date":
			how = "as " + a.config.BirthDateFormat
		case values == "" && f.key != "street":
			continue
		case values != "" && f.key == "language":
			how = "settings.extended_values has " + values + "; of another one the language only, if it is there"
		case values != "":
			how = "one of " + values
		default:
			how = "lines are joined by a comma"
		}
		r := lossy(f.from, how)
		if f.key == "birth_date" || a.hasAll(f.key) {
			r.Support = canonical.Held
		}
		if canonical.Path(f.from).Indexed() {
			r.How = "one address only: the primary one, else the first; " + how
		}
		remarks = append(remarks, r)
	}
	return remarks
}

// closed are the meanings whose values the schema lists.
var closed = map[string][]string{
	"gender":        {"female", "male", "other", "unspecified"},
	"customer_type": {"retail", "marketplace", "reseller", "retail_exempt"},
}

// hasAll reports whether settings.extended_values has all values of a meaning.
func (a *Adapter) hasAll(key string) bool {
	values := a.config.ExtendedValues[key]
	return closed[key] != nil && !slices.ContainsFunc(closed[key], func(v string) bool { return values[v] == "" })
}

// describeLists says which attributes and consents are sent.
func (a *Adapter) describeLists() []mapping.Remark {
	attributes := "as texts; the elements of a list are joined by commas"
	if a.config.Fields != nil {
		attributes += "; those that settings.fields or settings.extended_attributes names"
	}
	remarks := []mapping.Remark{lossy("/attributes/*", attributes)}
	for _, member := range []string{"channel", "purpose", "granted"} {
		if field := "/consents/*/" + member; len(a.config.ConsentChannels) > 0 {
			remarks = append(remarks, lossy(field, "settings.consent_channels has "+names(a.config.ConsentChannels)))
		} else {
			remarks = append(remarks, unsupported(field, "settings.consent_channels is empty"))
		}
	}
	return remarks
}

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }
