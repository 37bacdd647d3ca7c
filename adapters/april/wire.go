package april

import (
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// consumerFields is UpsertConsumerCustomer,
// https://docs.meetapril.io/openapi/april-public/operation/UpsertCustomer.
// April publishes no lengths. What a null does is unpublished, so nothing can be
// cleared.
var consumerFields = mapping.NewTable(name,
	mapping.Field{To: "emailAddress", From: "/emails/*/value", Required: true},
	mapping.Field{To: "phoneNumber", From: "/phoneNumbers/*/value"},
	mapping.Field{To: "referenceCustomerId", From: "/id"},
	mapping.Field{To: "givenName", From: "/name/givenName"},
	mapping.Field{To: "middleName", From: "/name/middleName"},
	mapping.Field{To: "familyName", From: "/name/familyName"},
	mapping.Field{To: "isVerified", From: "/emails/*/verified"},
	mapping.Field{To: "metadata", From: "/attributes", Container: true},
	mapping.Field{To: "metadata.*", From: "/attributes/*"},
	mapping.Field{To: "address", From: "/addresses/*", Container: true},
	mapping.Field{To: "address.line1", From: "/addresses/*/lines"},
	mapping.Field{To: "address.line2", From: "/addresses/*/lines", Lossy: "lines after the second are joined to it"},
	mapping.Field{To: "address.city", From: "/addresses/*/city"},
	mapping.Field{To: "address.state", From: "/addresses/*/region"},
	mapping.Field{To: "address.postalCode", From: "/addresses/*/postalCode"},
	mapping.Field{To: "address.country", From: "/addresses/*/country"},
)

// organisationFields is what UpsertOrganisationCustomer is believed to take: the
// fields of Limepay's operation of that name under the names of version 3.0.
var organisationFields = mapping.NewTable(name,
	mapping.Field{To: "referenceCustomerId", From: "/id", Required: true},
	mapping.Field{To: "organisationName", From: "/organization/name", Required: true},
	mapping.Field{To: "taxId", From: "/taxIds/*/value", Required: true},
	mapping.Field{To: "emailAddress", From: "/emails/*/value", Required: true},
	mapping.Field{To: "organisationKyced"},
	mapping.Field{To: "organisationCreditChecked"},
)

func (a *Adapter) person(m *mapping.Mapper, u canonical.Upsert) {
	c := u.Customer
	a.email(m, c)
	if phone := c.PrimaryPhone(); phone >= 0 {
		m.Text("phoneNumber", c.PhoneNumbers.Value()[phone].Value, mapping.Pos{To: -1, From: phone})
		m.Use("/phoneNumbers/*/primary", phone)
	}
	m.Put("referenceCustomerId", canonical.Text(u.ID))
	n := c.Name.Value()
	m.Text("givenName", n.GivenName)
	m.Text("middleName", n.MiddleName)
	m.Text("familyName", n.FamilyName)
	m.UseFormatted()
	for i, attr := range c.Attributes.Value() {
		if attr.Value.Kind() != canonical.KindNull {
			m.Entry("metadata.*", attr.Name, attr.Value, i)
		}
	}
	if a.config.Address {
		a.address(m, c)
	}
}

// email sends the primary address, and its verified flag where that is wanted.
func (a *Adapter) email(m *mapping.Mapper, c *canonical.Customer) {
	i := c.PrimaryEmail()
	if i >= 0 {
		e, at := c.Emails.Value()[i], mapping.Pos{To: -1, From: i}
		address := strings.TrimSpace(e.Value.Value())
		if a.config.LowerCaseEmail {
			address = strings.ToLower(address)
		}
		m.Put("emailAddress", canonical.Text(address), at)
		m.Use("/emails/*/primary", i)
		if a.config.IsVerified == "email" && !c.IsOrganization() {
			m.Bool("isVerified", e.Verified, at)
		}
	}
	if a.config.IsVerified == "false" && !c.IsOrganization() {
		m.Constant("isVerified", canonical.Boolean(false))
	}
}

func (a *Adapter) address(m *mapping.Mapper, c *canonical.Customer) {
	i := c.PrimaryAddress()
	if i < 0 {
		return
	}
	from, at := c.Addresses.Value()[i], mapping.Pos{To: -1, From: i}
	if lines := from.Lines.Value(); len(lines) > 0 {
		m.Put("address.line1", canonical.Text(lines[0]), at)
		if len(lines) > 1 {
			m.Put("address.line2", canonical.Text(strings.Join(lines[1:], ", ")), at)
		}
	}
	m.Use("/addresses/*/primary", i)
	m.Text("address.city", from.City, at)
	m.Text("address.state", from.Region, at)
	m.Text("address.postalCode", from.PostalCode, at)
	m.Text("address.country", from.Country, at)
}

func (a *Adapter) organisation(m *mapping.Mapper, u canonical.Upsert) {
	c := u.Customer
	m.Put("referenceCustomerId", canonical.Text(u.ID))
	m.Text("organisationName", c.Organization.Value().Name)
	if i := c.PrimaryTaxID(); i >= 0 {
		m.Text("taxId", c.TaxIDs.Value()[i].Value, mapping.Pos{To: -1, From: i})
		m.Use("/taxIds/*/primary", i)
	}
	a.email(m, c)
	if a.config.OrganizationFlags != "omit" { // never true: the gateway has verified nobody
		m.Constant("organisationKyced", canonical.Boolean(false))
		m.Constant("organisationCreditChecked", canonical.Boolean(false))
	}
}

// failure reads April's one error shape:
// https://docs.meetapril.io/developer-portal/error-handling. No errorCode is
// published for customers, so the HTTP status decides; it also wins over a
// statusCode in the body that disagrees.
func (a *Adapter) failure(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) error {
	body, ok := got.JSON()
	if !ok || body.Kind() != canonical.KindObject {
		return canonical.Refusal(name, sent, got, canonical.CodeForPage(got), "")
	}
	message := body.Get("message").Str()
	e := canonical.Refusal(name, sent, got, code(got.Status, body), message)
	e.UpstreamCode = canonical.Token(body.Get("errorCode").Str())
	e.RequestID = canonical.Token(body.Get("tracer").Str())
	if e.Code == canonical.UpstreamInvalid || e.Code == canonical.UpstreamDuplicate {
		_, table := a.table(u)
		e.Fields = fields(table, u, sent, body)
	}
	return e
}

func code(status int, body canonical.Value) canonical.Code {
	switch status {
	case 404: // Merchant-Id unknown, or a wrong host or path
		return canonical.UpstreamMisconfigured
	case 409: // unpublished: a concurrent upsert of the same key, or data that conflicts
		text := strings.ToLower(body.Get("errorCode").Str() + " " + body.Get("message").Str())
		for _, hint := range []string{"concurren", "in progress", "in_progress", "locked", "try again", "retry"} {
			if strings.Contains(text, hint) {
				return canonical.UpstreamBusy
			}
		}
		return canonical.UpstreamDuplicate
	}
	return canonical.CodeForStatus(status)
}

// fields reads the complaints about fields: from metadata, whose form is open,
// else from the fields that message and detail name.
func fields(t *mapping.Table, u canonical.Upsert, sent *canonical.Request, body canonical.Value) []canonical.FieldError {
	var found []canonical.FieldError
	metadata := body.Get("metadata")
	for i := range metadata.Len() {
		field, message := "", metadata.At(i)
		if metadata.Kind() == canonical.KindObject {
			field = metadata.NameAt(i)
		} else {
			for _, key := range []string{"field", "path", "property", "name"} {
				if field == "" {
					field = metadata.At(i).Get(key).Str()
				}
			}
		}
		if message.Kind() == canonical.KindObject {
			message = message.Get("message")
		}
		if message.Kind() == canonical.KindArray && message.Len() > 0 {
			message = message.At(0)
		}
		if fe := t.Complaint(u, sent, field, message.Str()); fe.Pointer != "" || fe.Setting != "" {
			found = append(found, fe)
		}
	}
	if found != nil {
		return found
	}
	for _, key := range []string{"message", "detail"} {
		text := body.Get(key).Str()
		for _, field := range t.Mentioned(text) {
			found = append(found, t.Complaint(u, sent, field, text))
		}
		if found != nil {
			return found
		}
	}
	return nil
}
