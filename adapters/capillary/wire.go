package capillary

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// Paths of the table that are also written in code.
const (
	firstName      = "profiles[0].firstName"
	lastName       = "profiles[0].lastName"
	keyType        = "profiles[0].identifiers[].type"
	keyValue       = "profiles[0].identifiers[].value"
	externalID     = "profiles[0].identifiers[externalId].value"
	mobile         = "profiles[0].identifiers[mobile].value"
	email          = "profiles[0].identifiers[email].value"
	card           = "profiles[0].identifiers[cardnumber].value"
	cardSeriesID   = "profiles[0].identifiers[cardnumber].seriesId"
	cardSeriesCode = "profiles[0].identifiers[cardnumber].seriesCode"
	cardLabel      = "profiles[0].identifiers[cardnumber].statusLabel"
	channelType    = "profiles[0].commChannels[].type"
	customFields   = "profiles[0].fields.*"
	subscription   = "subscriptionInfo.subscriptions[]."
)

// maxName and maxEmail are lengths beyond which Capillary cuts without a word.
const (
	maxName  = 100
	maxEmail = 255
)

// fields is one customer of the request,
// https://docs.capillarytech.com/reference/customer-upsert-api and
// https://docs.capillarytech.com/reference/update-customer-details. What a null
// does is unpublished, so nothing can be cleared. The limits of e-mail addresses
// stand at the channels, where all of them are sent; the one that is also an
// identifier is among them.
var fields = []mapping.Field{
	{To: firstName, From: "/name/givenName", Max: maxName, Aliases: []string{"firstName", "first name"}},
	{To: lastName, From: "/name/familyName", Max: maxName, Aliases: []string{"lastName", "last name"}},
	{To: externalID, From: "/id", Aliases: []string{"externalId", "external id"}},
	{To: mobile, From: "/phoneNumbers/*/value", Aliases: []string{"mobile", "mobile number"}},
	{To: email, From: "/emails/*/value", Aliases: []string{"email", "email id", "e-mail id"}},
	{To: card, From: "/loyalty/cardNumber", Aliases: []string{"cardnumber", "card number"}},
	{To: cardSeriesID, From: "/loyalty/cardSeries", Aliases: []string{"seriesId", "series id"}},
	{To: cardSeriesCode, From: "/loyalty/cardSeries", Aliases: []string{"seriesCode", "series code"}},
	{To: cardLabel, From: "/loyalty/status", Aliases: []string{"cardStatusLabel"}},
	{To: keyType, From: "/identifiers/*/type"},
	{To: keyValue, From: "/identifiers/*/value", Aliases: []string{"statedIdentifier"}},
	{To: channelType},
	{To: "profiles[0].commChannels[mobile].value", From: "/phoneNumbers/*/value", Aliases: []string{"mobile in comm channel", "mobileChannel"}},
	{To: "profiles[0].commChannels[mobile].primary", From: "/phoneNumbers/*/primary"},
	{To: "profiles[0].commChannels[mobile].verified", From: "/phoneNumbers/*/verified"},
	{To: "profiles[0].commChannels[mobile].meta.residence", From: "/phoneNumbers/*/type"},
	{To: "profiles[0].commChannels[mobile].meta.office", From: "/phoneNumbers/*/type"},
	{To: "profiles[0].commChannels[email].value", From: "/emails/*/value", Max: maxEmail, Chars: emailChars, Aliases: []string{"email id in comm channel", "emailChannel"}},
	{To: "profiles[0].commChannels[email].primary", From: "/emails/*/primary"},
	{To: "profiles[0].commChannels[email].verified", From: "/emails/*/verified"},
	{To: "profiles[0].commChannels[email].meta.residence", From: "/emails/*/type"},
	{To: "profiles[0].commChannels[email].meta.office", From: "/emails/*/type"},
	{To: "profiles[0].source", Setting: "settings.source", Aliases: []string{"source"}},
	{To: "profiles[0].accountId", Setting: "settings.account_id", Aliases: []string{"accountId", "account id"}},
	{To: "profiles[0].fields", From: "/attributes", Container: true, Aliases: []string{"customFields", "custom field"}},
	{To: customFields, From: "/attributes/*"},
	{To: "loyaltyInfo.loyaltyType", From: "/loyalty/member", Aliases: []string{"loyaltyType"}},
	{To: "statusLabel", From: "/loyalty/status"},
	{To: "subscriptionInfo.subscriptions", From: "/consents", Container: true, Aliases: []string{"subscriptions", "subscription"}},
	{To: subscription + "channel", From: "/consents/*/channel"},
	{To: subscription + "priority", From: "/consents/*/purpose"},
	{To: subscription + "type", From: "/consents/*/granted"},
	{To: subscription + "sourceName", Setting: "settings.source"},
	{To: subscription + "accountId", Setting: "settings.account_id"},
	{To: "createDate", From: "/createdAt", Aliases: []string{"registration date"}},
}

var emailChars = &mapping.Chars{Only: "letters, digits and the signs . _ + @ -", Has: func(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+@-", r)
}}

var nameChars = &mapping.Chars{Only: "letters, digits, spaces, hyphens and apostrophes", Has: func(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" -'", r)
}}

// meaning is something that a customer states and that an organization may keep
// in an extended field.
type meaning struct {
	key, from string
	of        func(c *canonical.Customer) (canonical.Field[string], int)
}

// meanings are the keys of settings.extended_fields.
var meanings = []meaning{
	{"gender", "/gender", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Gender })},
	{"birth_date", "/birthDate", whole(birthDate)},
	{"language", "/locale", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Locale })},
	{"title", "/name/honorificPrefix", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Name.Value().HonorificPrefix })},
	{"middle_name", "/name/middleName", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Name.Value().MiddleName })},
	{"suffix", "/name/honorificSuffix", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Name.Value().HonorificSuffix })},
	{"job_title", "/jobTitle", whole(func(c *canonical.Customer) canonical.Field[string] { return c.JobTitle })},
	{"organization", "/organization/name", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Organization.Value().Name })},
	{"customer_type", "/customerType", whole(func(c *canonical.Customer) canonical.Field[string] { return c.CustomerType })},
	{"street", "/addresses/*/lines", address(street)},
	{"city", "/addresses/*/city", address(func(a *canonical.Address) canonical.Field[string] { return a.City })},
	{"region", "/addresses/*/region", address(func(a *canonical.Address) canonical.Field[string] { return a.Region })},
	{"postal_code", "/addresses/*/postalCode", address(func(a *canonical.Address) canonical.Field[string] { return a.PostalCode })},
	{"country", "/addresses/*/country", address(func(a *canonical.Address) canonical.Field[string] { return a.Country })},
	{"lead_medium", "/leadSource/medium", whole(func(c *canonical.Customer) canonical.Field[string] { return c.LeadSource.Value().Medium })},
	{"lead_source", "/leadSource/source", whole(func(c *canonical.Customer) canonical.Field[string] { return c.LeadSource.Value().Source })},
	{"lead_campaign", "/leadSource/campaign", whole(func(c *canonical.Customer) canonical.Field[string] { return c.LeadSource.Value().Campaign })},
	{"note", "/note", whole(func(c *canonical.Customer) canonical.Field[string] { return c.Note })},
}

// whole is for what a customer has once.
func whole(of func(*canonical.Customer) canonical.Field[string]) func(*canonical.Customer) (canonical.Field[string], int) {
	return func(c *canonical.Customer) (canonical.Field[string], int) { return of(c), -1 }
}

// address is for what the primary address has.
func address(of func(*canonical.Address) canonical.Field[string]) func(*canonical.Customer) (canonical.Field[string], int) {
	return func(c *canonical.Customer) (canonical.Field[string], int) {
		i := c.PrimaryAddress()
		if i < 0 {
			return canonical.Field[string]{}, -1
		}
		return of(&c.Addresses.Value()[i]), i
	}
}

func birthDate(c *canonical.Customer) canonical.Field[string] {
	if d, ok := c.BirthDate.Get(); ok {
		return canonical.Of(d.String())
	}
	return canonical.Field[string]{}
}

func street(a *canonical.Address) canonical.Field[string] {
	if lines := a.Lines.Value(); len(lines) > 0 {
		return canonical.Of(strings.Join(lines, ", "))
	}
	return canonical.Field[string]{}
}

// customer maps one customer to its element of the request. Its caller closes
// the mapper.
func (a *Adapter) customer(u canonical.Upsert) *mapping.Mapper {
	m, c := a.table.Start(u), u.Customer
	n := c.Name.Value()
	m.Text(firstName, n.GivenName)
	m.Text(lastName, n.FamilyName)
	a.identifiers(m, u)
	contacts(m, c)
	m.Constant("profiles[0].source", canonical.Text(a.config.Source))
	if a.config.AccountID != "" {
		m.Constant("profiles[0].accountId", canonical.Text(a.config.AccountID))
	}
	a.attributes(m, c)
	a.extended(m, c)
	m.UseFormatted()
	a.loyalty(m, c)
	a.consents(m, c)
	if at, ok := c.CreatedAt.Get(); ok && a.config.CreateDate {
		m.Put("createDate", canonical.Text(at.Format(time.RFC3339)))
	}
	for _, d := range u.ProviderData {
		merge(m, d)
	}
	a.lacking(m)
	return m
}

// keys puts the identifiers of a profile one after the other.
type keys struct {
	m   *mapping.Mapper
	put []key
}

// key is an identifier.
type key struct{ kind, value string }

// add puts the value of an identifier into the row of to and returns its
// position. It reports false for one that is there already.
func (k *keys) add(to, kind, value string, from int) (mapping.Pos, bool) {
	at := mapping.Pos{To: len(k.put), From: from}
	if slices.Contains(k.put, key{kind, value}) {
		return at, false
	}
	k.put = append(k.put, key{kind, value})
	m := k.m
	if to == keyValue {
		m.Put(keyType, canonical.Text(kind), at)
	} else {
		m.Constant(keyType, canonical.Text(kind), at)
	}
	m.Put(to, canonical.Text(value), at)
	return at, true
}

// identifiers puts the keys that the customer is found by: its own ones, in the
// place of which an identifier of the same type may be stated, the others that
// are stated, and the card.
func (a *Adapter) identifiers(m *mapping.Mapper, u canonical.Upsert) {
	c, k := u.Customer, keys{m: m, put: make([]key, 0, 4)}
	for _, kind := range a.config.Identifiers {
		if slices.ContainsFunc(c.Identifiers.Value(), func(id canonical.Identifier) bool { return keyKind(id.Type.Value()) == kind }) {
			continue
		}
		switch kind {
		case "externalId":
			k.add(externalID, kind, u.ID, -1)
		case "mobile":
			if i := mobileLine(c.PhoneNumbers.Value(), c.PrimaryPhone()); i >= 0 {
				k.add(mobile, kind, digits(c.PhoneNumbers.Value()[i].Value.Value()), i)
			}
		case "email":
			if i := c.PrimaryEmail(); i >= 0 {
				k.add(email, kind, c.Emails.Value()[i].Value.Value(), i)
			}
		}
	}
	for i, id := range c.Identifiers.Value() {
		a.stated(&k, i, id)
	}
	if number, ok := c.Loyalty.Value().CardNumber.Get(); ok {
		if at, ok := k.add(card, "cardnumber", number, -1); ok {
			a.card(m, c.Loyalty.Value(), at)
		} else {
			m.Use("/loyalty/cardNumber", -1)
		}
	}
}

// lacking reports the identifiers without which the organization registers
// nobody, once providerData has been merged.
func (a *Adapter) lacking(m *mapping.Mapper) {
	list := elem(m.Body.Get("profiles"), 0).Get("identifiers")
	needed := a.config.Require
	switch {
	case list.IsZero():
		needed = a.config.Identifiers
	case list.Len() == 0: // refused by merge
		return
	}
	for _, kind := range needed {
		if !slices.ContainsFunc(elements(list), func(id canonical.Value) bool { return id.Get("type").Str() == kind }) {
			m.Missing(map[string]string{"externalId": externalID, "mobile": mobile, "email": email}[kind])
		}
	}
}

// keyKinds are the types of identifiers, written as Capillary does.
var keyKinds = []string{"mobile", "email", "externalId", "cardnumber", "wechat", "martjackId", "fbId", "tmall_uname", "cuid", "unionId",
	"ali_uname", "jd_uname", "vip_uname", "line", "mobilePush", "facebook"}

// keyKind returns the type of an identifier in Capillary's spelling, or "".
func keyKind(stated string) string {
	if strings.EqualFold(stated, "card") || strings.EqualFold(stated, "card_number") {
		return "cardnumber"
	}
	for _, kind := range keyKinds {
		if strings.EqualFold(kind, stated) {
			return kind
		}
	}
	return ""
}

// stated puts the i-th of the customer's further identifiers.
func (a *Adapter) stated(k *keys, i int, id canonical.Identifier) {
	kind, value := keyKind(id.Type.Value()), id.Value.Value()
	switch kind {
	case "":
		k.m.Note(canonical.NoticeDropped, "/identifiers/*", i, "identifiers", "capillary has no identifiers of this type; it was not sent")
		return
	case "mobile":
		value = digits(value)
	}
	at, ok := k.add(keyValue, kind, value, i)
	if !ok {
		k.m.Use("/identifiers/*", i)
		return
	}
	if problem := keyProblem(kind, value); problem != "" {
		k.m.Refuse(keyValue, canonical.FieldInvalid, problem, at)
	}
	if kind == "cardnumber" {
		a.card(k.m, canonical.Loyalty{}, at)
	}
}

// keyProblem says what Capillary would not store, or "".
func keyProblem(kind, value string) string {
	switch {
	case kind == "mobile" && (len(value) < 5 || len(value) > 15 || value[0] == '0' || strings.Trim(value, "0123456789") != ""):
		return "takes a telephone number with its country code, such as +14155550100"
	case kind == "email" && utf8.RuneCountInString(value) > maxEmail:
		return fmt.Sprintf("takes at most %d characters of an e-mail address", maxEmail)
	case kind == "email" && strings.ContainsFunc(value, func(r rune) bool { return !emailChars.Has(r) }):
		return "may only have " + emailChars.Only + " in an e-mail address"
	}
	return ""
}

var separators = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "")

// digits takes a telephone number to Capillary's form: the country code first,
// no plus, no separators.
func digits(number string) string {
	number = separators.Replace(number)
	if international, ok := strings.CutPrefix(number, "+"); ok {
		return international
	}
	return strings.TrimPrefix(number, "00")
}

// mobileLine returns the number that may identify the customer, or -1: one that
// is not said to be another line than a mobile. Landlines are shared, and an
// identifier that is shared merges people.
func mobileLine(numbers []canonical.PhoneNumber, primary int) int {
	may := func(p canonical.PhoneNumber) bool { return p.Type.Or("mobile") == "mobile" }
	if primary >= 0 && may(numbers[primary]) {
		return primary
	}
	return slices.IndexFunc(numbers, may)
}

// card puts what else is known of the card at the position.
func (a *Adapter) card(m *mapping.Mapper, l canonical.Loyalty, at mapping.Pos) {
	series, stated := l.CardSeries.Get()
	if !stated {
		series = a.config.CardSeries
	}
	to, v := cardSeriesCode, canonical.Text(series)
	if number, err := canonical.ParseLenient([]byte(series)); err == nil && number.Kind() == canonical.KindNumber && isID(series) {
		to, v = cardSeriesID, number
	}
	switch {
	case stated:
		m.Put(to, v, at)
	case series != "":
		m.Constant(to, v, at)
	}
	label, stated := l.Status.Get()
	switch {
	case stated && a.config.LoyaltyStatus == "card":
		m.Put(cardLabel, canonical.Text(label), at)
	case a.config.CardStatusLabel != "":
		m.Constant(cardLabel, canonical.Text(a.config.CardStatusLabel), at)
	}
}

// contacts puts the telephone numbers and e-mail addresses as channels: one that
// is an identifier only does not get messages.
func contacts(m *mapping.Mapper, c *canonical.Customer) {
	n := 0
	numbers := c.PhoneNumbers.Value()
	voice := func(p canonical.PhoneNumber) bool { return p.Type.Value() != "fax" }
	primary := c.PrimaryPhone()
	if primary >= 0 && !voice(numbers[primary]) {
		primary = slices.IndexFunc(numbers, voice)
	}
	for i, p := range numbers {
		if !voice(p) {
			m.Note(canonical.NoticeDropped, "/phoneNumbers/*", i, "commChannels", "capillary has no place for fax numbers; it was not sent")
			continue
		}
		contact(m, &mobileRows, digits(p.Value.Value()), p.Primary, i == primary, p.Verified, p.Type, mapping.Pos{To: n, From: i})
		if p.Type.Value() == "mobile" {
			m.Use("/phoneNumbers/*/type", i)
		}
		n++
	}
	primary = c.PrimaryEmail()
	for i, e := range c.Emails.Value() {
		contact(m, &emailRows, e.Value.Value(), e.Primary, i == primary, e.Verified, e.Type, mapping.Pos{To: n, From: i})
		n++
	}
}

// channelRows are the rows of one kind of channel.
type channelRows struct{ kind, value, primary, verified, residence, office string }

var mobileRows, emailRows = rowsOf("mobile"), rowsOf("email")

func rowsOf(kind string) channelRows {
	base := "profiles[0].commChannels[" + kind + "]."
	return channelRows{kind, base + "value", base + "primary", base + "verified", base + "meta.residence", base + "meta.office"}
}

// contact puts one channel at the position.
func contact(m *mapping.Mapper, to *channelRows, value string, stated canonical.Field[bool], primary bool, verified canonical.Field[bool], use canonical.Field[string], at mapping.Pos) {
	m.Constant(channelType, canonical.Text(to.kind), at)
	m.Put(to.value, canonical.Text(value), at)
	if stated.HasValue() {
		m.Put(to.primary, canonical.Boolean(primary), at)
	} else {
		m.Constant(to.primary, canonical.Boolean(primary), at)
	}
	m.Bool(to.verified, verified, at)
	switch use.Value() {
	case "home":
		m.Put(to.residence, canonical.Boolean(true), at)
	case "work":
		m.Put(to.office, canonical.Boolean(true), at)
	}
}

// attributes puts the custom fields, whose values are texts, and those
// attributes that have an extended field.
func (a *Adapter) attributes(m *mapping.Mapper, c *canonical.Customer) {
	for i, attr := range c.Attributes.Value() {
		if attr.Value.Kind() == canonical.KindNull {
			continue
		}
		if attr.Value.Kind() == canonical.KindArray {
			m.Note(canonical.NoticeChanged, "/attributes/*", i, "", "capillary holds one text; the elements were joined by commas")
		}
		if to := a.config.ExtendedAttributes[attr.Name]; to != "" {
			v := attr.Value
			if v.Kind() == canonical.KindArray {
				v = canonical.Text(text(v))
			}
			m.Entry("extendedFields.*", to, v, i)
			continue
		}
		to := attr.Name
		if a.config.Fields != nil {
			to = a.config.Fields[attr.Name]
		}
		if to == "" {
			m.Note(canonical.NoticeDropped, "/attributes/*", i, "fields", "capillary: settings.fields names no custom field for this; it was not sent")
			continue
		}
		m.Entry(customFields, to, canonical.Text(text(attr.Value)), i)
	}
}

// text writes a scalar, or a list of them, as a text.
func text(v canonical.Value) string {
	if v.Kind() != canonical.KindArray {
		return v.Str()
	}
	parts := make([]string, v.Len())
	for i := range parts {
		parts[i] = v.At(i).Str()
	}
	return strings.Join(parts, ",")
}

// extension is a meaning and the row of its extended field.
type extension struct {
	meaning
	to string
}

// extensions returns those meanings that the settings give a field.
func (c *Config) extensions() (list []extension) {
	for _, m := range meanings {
		if to := c.ExtendedFields[m.key]; to != "" {
			list = append(list, extension{m, "extendedFields." + to})
		}
	}
	return list
}

// extended puts what the organization keeps in extended fields.
func (a *Adapter) extended(m *mapping.Mapper, c *canonical.Customer) {
	for _, f := range a.extensions {
		stated, from := f.of(c)
		v, ok := stated.Get()
		if !ok {
			continue
		}
		at := mapping.Pos{To: -1, From: from}
		if v, ok = a.value(f.key, v); !ok {
			m.Note(canonical.NoticeDropped, f.from, from, f.to, "capillary: settings.extended_values has no "+f.key+" for this; it was not sent")
			continue
		}
		m.Put(f.to, canonical.Text(v), at)
		if f.key == "language" && v != stated.Value() && a.config.ExtendedValues[f.key][stated.Value()] == "" {
			m.Note(canonical.NoticeChanged, f.from, from, f.to, "capillary: settings.extended_values has the language only; the region was not sent")
		}
	}
}

// value translates the value of a meaning.
func (a *Adapter) value(key, v string) (string, bool) {
	if key == "birth_date" { // yyyy-mm-dd
		return strings.NewReplacer("yyyy", v[:4], "mm", v[5:7], "dd", v[8:]).Replace(a.config.BirthDateFormat), true
	}
	values := a.config.ExtendedValues[key]
	if values == nil && key == "gender" {
		values = defaultGenders
	}
	if values == nil {
		return v, true
	}
	to, ok := values[v]
	if !ok && key == "language" {
		base, _, _ := strings.Cut(v, "-")
		to, ok = values[base]
	}
	return to, ok
}

// loyalty puts the membership and the customer's label.
func (a *Adapter) loyalty(m *mapping.Mapper, c *canonical.Customer) {
	l := c.Loyalty.Value()
	if member, ok := l.Member.Get(); ok {
		kind := "non_loyalty"
		if member {
			kind = "loyalty"
		}
		m.Put("loyaltyInfo.loyaltyType", canonical.Text(kind))
	}
	label, stated := l.Status.Get()
	switch {
	case stated && a.config.LoyaltyStatus == "customer":
		m.Put("statusLabel", canonical.Text(label))
	case a.config.StatusLabel != "":
		m.Constant("statusLabel", canonical.Text(a.config.StatusLabel))
	}
}

// consents puts one subscription for each channel of each consent.
func (a *Adapter) consents(m *mapping.Mapper, c *canonical.Customer) {
	n := 0
	for i, consent := range c.Consents.Value() {
		to := a.config.ConsentChannels[strings.ToLower(consent.Channel.Value())]
		if len(to) == 0 {
			m.Note(canonical.NoticeDropped, "/consents/*", i, "subscriptionInfo", "capillary: settings.consent_channels names no channel for this; it was not sent")
			continue
		}
		for _, channel := range to {
			at := mapping.Pos{To: n, From: i}
			n++
			m.Put(subscription+"channel", canonical.Text(channel), at)
			switch purpose, stated := consent.Purpose.Get(); {
			case !stated:
				m.Constant(subscription+"priority", canonical.Text("BULK"), at)
			case purpose == "transactional":
				m.Put(subscription+"priority", canonical.Text("TRANS"), at)
			default:
				m.Put(subscription+"priority", canonical.Text("BULK"), at)
			}
			kind := "OPTOUT"
			if consent.Granted.Value() {
				kind = "OPTIN"
			}
			m.Put(subscription+"type", canonical.Text(kind), at)
			m.Constant(subscription+"sourceName", canonical.Text(a.config.Source), at)
			if a.config.AccountID != "" {
				m.Constant(subscription+"accountId", canonical.Text(a.config.AccountID), at)
			}
		}
	}
}
