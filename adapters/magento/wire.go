package magento

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// fieldTable is customer-data-customer-interface and
// customer-data-address-interface, with the limits of the shop that c describes.
// The aliases are the labels that the shop's messages use.
func fieldTable(c Config) *mapping.Table {
	person, empty := nameChars(c), canonical.Text("")
	rows := []mapping.Field{
		{To: "id", From: "/externalIds/*", Aliases: []string{"customer_id", "entity_id"}},
		{To: "email", From: "/emails/*/value", Required: true, Max: 255, Aliases: []string{"Email Address"}},
		{To: "prefix", From: "/name/honorificPrefix", Max: 40, Clear: empty, Aliases: []string{"Name Prefix"}},
		{To: "firstname", From: "/name/givenName", Required: true, Min: 1, Max: 255, Chars: person, Aliases: []string{"First Name"}},
		{To: "middlename", From: "/name/middleName", Max: 255, Chars: person, Clear: empty, Aliases: []string{"Middle Name", "Middle Name/Initial"}},
		{To: "lastname", From: "/name/familyName", Required: true, Min: 1, Max: 255, Chars: person, Aliases: []string{"Last Name"}},
		{To: "suffix", From: "/name/honorificSuffix", Max: 40, Clear: empty, Aliases: []string{"Name Suffix"}},
		{To: "dob", From: "/birthDate", Clear: empty, Aliases: []string{"Date of Birth"}},
		{To: "gender", From: "/gender"},
		{To: "taxvat", From: "/taxIds/*/value", Max: 50, Clear: empty, Lossy: "the first or primary number only", Aliases: []string{"Tax/VAT Number"}},
		{To: "website_id", Setting: "settings.website_id", Aliases: []string{"Associate to Website", "website", "websiteCode"}},
		{To: "store_id", Setting: "settings.store_id", Aliases: []string{"store view", "Send Welcome Email From", "Created In"}},
		{To: "group_id", Setting: "settings.group_id", Aliases: []string{"customer group", "Group"}},
		{To: "disable_auto_group_change", Setting: "settings.disable_auto_group_change", Aliases: []string{"Disable Automatic Group Change Based on VAT ID"}},
		{To: "addresses", From: "/addresses", Container: true, Aliases: []string{"address_id", "customer address"}},
		{To: "addresses[].id"},
		{To: "addresses[].prefix", From: "/addresses/*/name/honorificPrefix", Max: 40, Clear: empty},
		{To: "addresses[].firstname", From: "/addresses/*/name/givenName", Required: true},
		{To: "addresses[].middlename", From: "/addresses/*/name/middleName", Clear: empty},
		{To: "addresses[].lastname", From: "/addresses/*/name/familyName", Required: true},
		{To: "addresses[].suffix", From: "/addresses/*/name/honorificSuffix", Max: 40, Clear: empty},
		{To: "addresses[].company", From: "/addresses/*/company", Clear: empty},
		{To: "addresses[].street", From: "/addresses/*/lines", Required: true, Max: 255, Lossy: "lines beyond settings.street_lines are joined to the last one", Aliases: []string{"Street Address"}},
		{To: "addresses[].city", From: "/addresses/*/city", Required: true},
		{To: "addresses[].region.region_id", From: "/addresses/*/region"},
		{To: "addresses[].region.region_code", From: "/addresses/*/region"},
		{To: "addresses[].region.region", From: "/addresses/*/region", Aliases: []string{"State/Province"}},
		{To: "addresses[].region_id", From: "/addresses/*/region"},
		{To: "addresses[].postcode", From: "/addresses/*/postalCode", Aliases: []string{"Zip/Postal Code", "ZIP", "Postal Code"}},
		{To: "addresses[].country_id", From: "/addresses/*/country", Required: true, Aliases: []string{"Country"}},
		{To: "addresses[].telephone", From: "/addresses/*/phoneNumber", Required: c.RequireTelephone, Max: 20, Aliases: []string{"Phone Number"}},
		{To: "addresses[].fax", From: "/phoneNumbers/*/value"},
		{To: "addresses[].default_billing", From: "/addresses/*/type", Also: []string{"/addresses/*/primary"}},
		{To: "addresses[].default_shipping", From: "/addresses/*/type", Also: []string{"/addresses/*/primary"}},
	}
	if len(c.CustomAttributes) > 0 {
		rows = append(rows, mapping.Field{To: "custom_attributes[].attribute_code"}, mapping.Field{To: "custom_attributes[].value", From: "/attributes/*"})
	}
	if c.Newsletter {
		rows = append(rows, mapping.Field{To: "extension_attributes.is_subscribed", From: "/consents/*/granted",
			Also: []string{"/consents/*/channel", "/consents/*/purpose"}, Lossy: "the moment of the consent"})
	}
	change := func(to string, with func(*mapping.Field)) {
		with(&rows[slices.IndexFunc(rows, func(f mapping.Field) bool { return f.To == to })])
	}
	if len(c.Groups) > 0 {
		change("group_id", func(f *mapping.Field) { f.From = "/customerType" })
	}
	if c.Addresses == "replace" {
		change("addresses", func(f *mapping.Field) { f.Clear = canonical.List() })
	}
	if c.Version == "2.4.8" {
		change("addresses[].city", func(f *mapping.Field) { f.Max, f.Chars = 100, cityChars })
	}
	for _, field := range c.Require {
		change(optional[field], func(f *mapping.Field) { f.Required = true })
	}
	return mapping.NewTable(name, rows...)
}

// nameChars are the characters of Model/Validator/Name.php.
func nameChars(c Config) *mapping.Chars {
	signs, only := " ,.-_'’`", "letters, digits, spaces, commas, dots, hyphens, underscores and apostrophes"
	if c.Version == "2.4.8" {
		signs, only = signs+"&", only+" and &"
	}
	return &mapping.Chars{Only: only, Has: func(r rune) bool { return isLetter(r) || strings.ContainsRune(signs, r) }}
}

// cityChars are those of Model/Validator/City.php, since 2.4.8.
var cityChars = &mapping.Chars{
	Only: "letters, digits, spaces and the signs - _ ' ’ . , & ( ) /",
	Has:  func(r rune) bool { return isLetter(r) || strings.ContainsRune(" -_'’.,&()/", r) },
}

func isLetter(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || r >= '0' && r <= '9'
}

func alone(from int) mapping.Pos { return mapping.Pos{To: -1, From: from} }

// customer builds the object customer: for a creation if id is empty, else over
// held.
func (a *Adapter) customer(m *mapping.Mapper, u canonical.Upsert, id string, held canonical.Value) {
	c := u.Customer
	if id != "" { // the body's id beats the path's, so both are always the same
		a.id(m, u, id)
	}
	if i := c.PrimaryEmail(); i >= 0 {
		m.Put("email", canonical.Text(strings.TrimSpace(c.Emails.Value()[i].Value.Value())), alone(i))
		m.Use("/emails/*/primary", i)
	}
	n := c.Name.Value()
	m.Text("prefix", n.HonorificPrefix)
	m.Text("firstname", n.GivenName)
	m.Text("middlename", n.MiddleName)
	m.Text("lastname", n.FamilyName)
	m.Text("suffix", n.HonorificSuffix)
	m.UseFormatted()
	if date, ok := c.BirthDate.Get(); ok {
		m.Put("dob", canonical.Text(date.String()))
	} else {
		m.Clear("dob")
	}
	a.gender(m, c)
	taxID(m, c)
	a.place(m, c, id, held)
	if len(a.config.CustomAttributes) > 0 {
		a.attributes(m, c)
	}
	if a.config.Newsletter {
		newsletter(m, c)
	}
	if a.ownsAddresses(u) {
		a.addresses(m, c, held)
	}
}

func (a *Adapter) id(m *mapping.Mapper, u canonical.Upsert, id string) {
	n := number(canonical.Text(id))
	for i, x := range u.Customer.ExternalIDs.Value() {
		if x.ID == u.RemoteID && recordID(x.ID) == id {
			m.Put("id", n, alone(i))
			return
		}
	}
	m.Constant("id", n)
}

// number returns the id of a shop, which may be a text, as a number; Absent if
// it is none.
func number(v canonical.Value) canonical.Value {
	n, err := strconv.ParseUint(recordID(v.Str()), 10, 32)
	if err != nil {
		return canonical.Value{}
	}
	return canonical.Int(int64(n))
}

func (a *Adapter) gender(m *mapping.Mapper, c *canonical.Customer) {
	gender, ok := c.Gender.Get()
	if !ok {
		return
	}
	if id, known := a.config.Genders[gender]; known {
		m.Put("gender", canonical.Int(id))
		return
	}
	m.Note(canonical.NoticeDropped, "/gender", -1, "gender", "magento: settings.genders has no option for this; it was not sent")
}

// taxID sends the primary tax number. The field is meant for a VAT number, so
// that a number which says so loses nothing.
func taxID(m *mapping.Mapper, c *canonical.Customer) {
	ids := c.TaxIDs.Value()
	i := canonical.Primary(ids, func(t *canonical.TaxID) bool { return t.Primary.Value() })
	if i < 0 {
		m.Clear("taxvat")
		return
	}
	m.Text("taxvat", ids[i].Value, alone(i))
	m.Use("/taxIds/*/primary", i)
	if ids[i].Type.Value() == "eu_vat" {
		m.Use("/taxIds/*/type", i)
	}
	if country := ids[i].Country.Value(); country != "" && strings.HasPrefix(ids[i].Value.Value(), country) {
		m.Use("/taxIds/*/country", i)
	}
}

// place says which website, store view and group the customer belongs to. A
// record that has them keeps them: another website would move the account, and
// releases before 2.4 reset what is left out.
func (a *Adapter) place(m *mapping.Mapper, c *canonical.Customer, id string, held canonical.Value) {
	website, store, group := canonical.Int(a.config.WebsiteID), canonical.Int(a.config.StoreID), canonical.Int(a.config.GroupID)
	if id != "" {
		store, group = held.Get("store_id"), held.Get("group_id")
		if a.config.GlobalAccounts {
			website = held.Get("website_id")
		}
	}
	m.Constant("website_id", number(website))
	m.Constant("store_id", number(store))
	if own, ok := a.config.Groups[c.CustomerType.Value()]; ok {
		m.Put("group_id", canonical.Int(own))
	} else {
		m.Constant("group_id", number(group))
	}
	if disable := a.config.DisableAutoGroupChange; disable != nil {
		flag := canonical.Int(0)
		if *disable {
			flag = canonical.Int(1)
		}
		m.Constant("disable_auto_group_change", flag)
	}
}

// attributes sends those attributes that settings.custom_attributes names, as
// texts: the shop converts them to the type of its attribute.
func (a *Adapter) attributes(m *mapping.Mapper, c *canonical.Customer) {
	n := 0
	for i, attribute := range c.Attributes.Value() {
		code, known := a.config.CustomAttributes[attribute.Name]
		pos := mapping.Pos{To: n, From: i}
		text, ok := attributeText(attribute.Value)
		switch {
		case !known && attribute.Value.Kind() != canonical.KindNull:
			m.Note(canonical.NoticeDropped, "/attributes/*", i, "", "magento: settings.custom_attributes does not name this; it was not sent")
			continue
		case !known:
			continue
		case !ok:
			m.Refuse("custom_attributes[].value", canonical.FieldInvalid, "takes no list whose texts have commas", pos)
			continue
		}
		m.Constant("custom_attributes[].attribute_code", canonical.Text(code), pos)
		m.Put("custom_attributes[].value", canonical.Text(text), pos)
		m.UseNull("/attributes/*", i)
		n++
	}
}

// attributeText writes a value as the shop reads it: yes and no as 1 and 0, a
// list with commas. A null is an empty text, which clears the attribute.
func attributeText(v canonical.Value) (string, bool) {
	switch v.Kind() {
	case canonical.KindBool:
		if v.IsTrue() {
			return "1", true
		}
		return "0", true
	case canonical.KindArray:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i], _ = attributeText(v.At(i))
			if strings.Contains(parts[i], ",") {
				return "", false
			}
		}
		return strings.Join(parts, ","), true
	}
	return v.Str(), true
}

// newsletter carries the consent to marketing by e-mail.
func newsletter(m *mapping.Mapper, c *canonical.Customer) {
	for i, consent := range c.Consents.Value() {
		if consent.Channel.Value() == "email" && consent.Purpose.Or("marketing") == "marketing" {
			m.Bool("extension_attributes.is_subscribed", consent.Granted, alone(i))
			return
		}
	}
}

// never are the members of customer that are not for callers: the shop manages
// them, or they would reach another record or set a password. Magento takes
// every name in snake case and in camel case.
var never = []string{"id", "created_at", "updated_at", "created_in", "confirmation", "password", "password_hash", "redirect_url", "rp_token", "rp_token_created_at", "default_billing", "default_shipping"}

// mergeData lays the caller's providerData over the customer. An object that has
// the one member customer is the request's body as a whole.
func (a *Adapter) mergeData(m *mapping.Mapper, u canonical.Upsert) {
	for _, d := range u.ProviderData {
		pointer, object := canonical.JoinPointer("/providerData", d.Key), d.Object
		if inner := object.Get("customer"); inner.Kind() == canonical.KindObject {
			for i := range object.Len() {
				if member := object.NameAt(i); member != "customer" {
					m.RefuseData(canonical.JoinPointer(pointer, member), member, canonical.FieldUnsupported, "may not stand beside customer in providerData")
				}
			}
			pointer, object = canonical.JoinPointer(pointer, "customer"), inner
		}
		for i := range object.Len() {
			member := object.NameAt(i)
			if slices.ContainsFunc(never, func(s string) bool { return fold(s) == fold(member) }) {
				m.RefuseData(canonical.JoinPointer(pointer, member), member, canonical.FieldUnsupported, "may not be sent: the shop manages it")
			}
		}
		m.MergeAt(&m.Body, "", pointer, object)
	}
}

// fold brings the spellings of a field together: country_id, countryId,
// CountryId and "Country ID".
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}
