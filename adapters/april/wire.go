package april

import (
	"slices"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// consumerFields is UpsertConsumerCustomer,
// https://docs.meetapril.io/openapi/april-public/operation/UpsertCustomer.
// April publishes no lengths. What a null does is unpublished, so nothing can be
// cleared.
var consumerFields = mapping.NewTable(name,
	mapping.Field{To: "emailAddress", From: "/emails/*/value", Required: true, Aliases: emailAliases},
	mapping.Field{To: "phoneNumber", From: "/phoneNumbers/*/value", Aliases: []string{"phone", "phone number", "mobile", "mobile number"}},
	mapping.Field{To: "referenceCustomerId", From: "/id", Aliases: idAliases},
	mapping.Field{To: "givenName", From: "/name/givenName", Min: 1, Aliases: []string{"given name", "firstName", "first name"}},
	mapping.Field{To: "middleName", From: "/name/middleName", Min: 1, Aliases: []string{"middle name"}},
	mapping.Field{To: "familyName", From: "/name/familyName", Min: 1, Aliases: []string{"family name", "lastName", "last name", "surname"}},
	mapping.Field{To: "isVerified", Setting: "settings.is_verified"},
	mapping.Field{To: "metadata", From: "/attributes", Container: true},
	mapping.Field{To: "metadata.*", From: "/attributes/*"},
	mapping.Field{To: "address", Setting: "settings.address", Container: true},
	merchantField,
)

// addressFields are added to consumerFields by settings.address.
var addressFields = []mapping.Field{
	{To: "address.line1", From: "/addresses/*/lines", Min: 1},
	{To: "address.line2", From: "/addresses/*/lines", Min: 1, Lossy: "lines after the second are joined to it"},
	{To: "address.city", From: "/addresses/*/city", Min: 1},
	{To: "address.state", From: "/addresses/*/region", Min: 1},
	{To: "address.postalCode", From: "/addresses/*/postalCode", Min: 1},
	{To: "address.country", From: "/addresses/*/country"},
}

// consumerTable is consumerFields as the settings have it.
func consumerTable(c Config) *mapping.Table {
	t := consumerFields
	if c.Address {
		t = t.With("address", func(f *mapping.Field) { f.From, f.Setting = "/addresses/*", "" })
		t = mapping.NewTable(name, slices.Concat(t.Fields(), addressFields)...)
	}
	if c.IsVerified == "email" {
		t = t.With("isVerified", func(f *mapping.Field) { f.From, f.Setting = "/emails/*/verified", "" })
	}
	for _, field := range c.Require {
		t = t.With(field, func(f *mapping.Field) { f.Required = true })
	}
	return t
}

// organisationFields is what UpsertOrganisationCustomer is believed to take: the
// fields of Limepay's operation of that name under the names of version 3.0.
var organisationFields = mapping.NewTable(name,
	mapping.Field{To: "referenceCustomerId", From: "/id", Required: true, Aliases: idAliases},
	mapping.Field{To: "organisationName", From: "/organization/name", Required: true, Min: 1, Aliases: []string{"organisation name", "organizationName", "organization name", "company name"}},
	mapping.Field{To: "taxId", From: "/taxIds/*/value", Required: true, Min: 1, Aliases: []string{"tax id", "tax number", "ABN"}},
	mapping.Field{To: "emailAddress", From: "/emails/*/value", Required: true, Aliases: emailAliases},
	mapping.Field{To: "organisationKyced", Setting: "settings.organization_flags"},
	mapping.Field{To: "organisationCreditChecked", Setting: "settings.organization_flags"},
	merchantField,
)

// How messages may call the fields; none is published.
var (
	emailAliases = []string{"email", "e-mail", "email address", "e-mail address"}
	idAliases    = []string{"internalCustomerId", "reference customer id", "customer reference", "customer reference id"}
	// merchantField is the header, which complaints may name like a field.
	merchantField = mapping.Field{To: "Merchant-Id", Setting: "settings.merchant_id", Container: true, Aliases: []string{"merchantId", "merchant id", "merchant identifier"}}
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
	switch {
	case a.config.Address:
		a.address(m, c)
	case len(c.Addresses.Value()) > 0:
		m.Note(canonical.NoticeDropped, "/addresses", -1, "address", "april: addresses are off on this route; the operator turns them on by settings.address")
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
		if len(lines) > 2 {
			m.Note(canonical.NoticeChanged, "/addresses/*/lines", i, "address.line2", "april has two lines; those after the second are joined to it")
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
// published for customers, so the status decides: that of HTTP, unless it claims
// success.
func (a *Adapter) failure(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply, status int) error {
	body, _ := got.JSON()
	body = errorObject(body)
	if body.Kind() != canonical.KindObject {
		return canonical.Refusal(name, sent, got, canonical.CodeForPage(got), "")
	}
	said := messages(body)
	e := canonical.Refusal(name, sent, got, code(status, body, said), strings.Join(said, "; "))
	e.UpstreamCode = canonical.Token(first(body, "errorCode", "error_code", "code"))
	e.RequestID = canonical.Token(first(body, "tracer", "traceId", "requestId"))
	if e.Code == canonical.UpstreamInvalid || e.Code == canonical.UpstreamDuplicate {
		_, table := a.table(u)
		e.Fields = fields(table, u, sent, body)
		if e.Fields != nil && !slices.ContainsFunc(e.Fields, func(fe canonical.FieldError) bool { return fe.Setting == "" }) {
			e.Code = canonical.UpstreamMisconfigured
		}
	}
	return e
}

// errorObject returns the error in a body: the body itself, the one in a list of
// one, or the one under "error".
func errorObject(body canonical.Value) canonical.Value {
	if body.Kind() == canonical.KindArray && body.Len() == 1 {
		body = body.At(0)
	}
	if inner := body.Get("error"); inner.Kind() == canonical.KindObject {
		return inner
	}
	return body
}

// statusOf is the status that an error states in its body, or 0.
func statusOf(body canonical.Value) int {
	status, err := strconv.Atoi(errorObject(body).Get("statusCode").Str())
	if err != nil || status < 100 || status > 599 {
		return 0
	}
	return status
}

// first returns the first of the members that says something.
func first(body canonical.Value, names ...string) string {
	for _, member := range names {
		if s := body.Get(member).Str(); s != "" {
			return s
		}
	}
	return ""
}

// messages returns what an error says: its message, which may be a list, or what
// stands in for one.
func messages(body canonical.Value) []string {
	var texts []string
	for _, said := range mapping.Complaints(body.Get("message")) {
		texts = append(texts, said.Text)
	}
	if texts == nil {
		texts = []string{first(body, "detail", "title", "error", "errorTypeDescription")}
	}
	return texts
}

func code(status int, body canonical.Value, said []string) canonical.Code {
	switch status {
	case 404: // Merchant-Id unknown, or a wrong host or path
		return canonical.UpstreamMisconfigured
	case 409: // unpublished: a concurrent upsert of the same key, or data that conflicts
		if mapping.Busy(body.Get("errorCode").Str() + " " + strings.Join(said, " ")) {
			return canonical.UpstreamBusy
		}
		return canonical.UpstreamDuplicate
	}
	return canonical.CodeForStatus(status)
}

// fields reads the complaints about fields: from metadata, whose form is open,
// or from a list as other servers have it, else from the fields that a text
// names.
func fields(t *mapping.Table, u canonical.Upsert, sent *canonical.Request, body canonical.Value) []canonical.FieldError {
	for _, member := range []string{"metadata", "errors", "validationErrors", "message", "detail", "title", "error"} {
		found := t.Errors(u, sent, mapping.Complaints(body.Get(member)))
		if found = slices.DeleteFunc(found, func(fe canonical.FieldError) bool { return !mapping.Located(fe) }); len(found) > 0 {
			return found
		}
	}
	return nil
}
