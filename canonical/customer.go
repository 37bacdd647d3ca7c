package canonical

import "time"

// Customer is one customer as an application states it (JSON, camelCase).
//
// The tags are the schema: json names the member, is gives its rules, doc
// describes it. Decoder, validator, walker and the published JSON Schema all
// read them, so they cannot disagree. Rules: min=N and max=N count characters
// of a string or elements of a list or map (strings have min=1 and max=255
// unless they say otherwise), enum=a|b closes the set of values, format names a
// form (email, phone, country, locale, uri), required says that a member must have
// a value, nonnull that it cannot be cleared, lines lets a string hold line breaks, book marks what the
// gateway itself uses, so that a provider without a place for it loses nothing.
//
// A Customer is not changed after it was decoded and may then be read by any
// number of goroutines.
type Customer struct {
	ID           Field[string]         `json:"id" is:"max=128,nonnull,book" doc:"The application's id of the customer; equal to the one in the path."`
	Kind         Field[string]         `json:"kind" is:"enum=person|organization,book" doc:"What the customer is; person if absent."`
	Name         Field[Name]           `json:"name" doc:"The person's name; for an organization, its contact person."`
	Organization Field[Organization]   `json:"organization" doc:"The company that the customer is or works for."`
	JobTitle     Field[string]         `json:"jobTitle" doc:"The person's position."`
	Emails       Field[[]Email]        `json:"emails" is:"max=20" doc:"E-mail addresses; the first is primary if none says so."`
	PhoneNumbers Field[[]PhoneNumber]  `json:"phoneNumbers" is:"max=20" doc:"Telephone numbers; the first is primary if none says so."`
	Addresses    Field[[]Address]      `json:"addresses" is:"max=50" doc:"Postal addresses; the first is primary if none says so."`
	BirthDate    Field[Date]           `json:"birthDate" doc:"Date of birth, YYYY-MM-DD."`
	Gender       Field[string]         `json:"gender" is:"enum=female|male|other|unspecified" doc:"Gender as the customer stated it."`
	Locale       Field[string]         `json:"locale" is:"max=35,format=locale" doc:"Language and region, BCP 47: fr-FR."`
	TaxIDs       Field[[]TaxID]        `json:"taxIds" is:"max=20" doc:"Tax and VAT numbers."`
	CustomerType Field[string]         `json:"customerType" is:"enum=retail|marketplace|reseller|retail_exempt" doc:"How the customer is taxed; retail if absent."`
	Consents     Field[[]Consent]      `json:"consents" is:"max=50" doc:"What the customer has agreed to receive."`
	LeadSource   Field[LeadSource]     `json:"leadSource" doc:"Where the customer came from."`
	Loyalty      Field[Loyalty]        `json:"loyalty" doc:"Membership in a loyalty programme."`
	Identifiers  Field[[]Identifier]   `json:"identifiers" is:"max=50" doc:"Further keys of the customer: card numbers, messenger ids."`
	Note         Field[string]         `json:"note" is:"max=10000,lines" doc:"A remark about the customer."`
	Attributes   Field[[]Attribute]    `json:"attributes" is:"max=60" doc:"Custom fields: name to string, number, boolean, null or a list of these."`
	CreatedAt    Field[Timestamp]      `json:"createdAt" is:"book" doc:"When the application created the customer, RFC 3339."`
	UpdatedAt    Field[Timestamp]      `json:"updatedAt" is:"book" doc:"When the application last changed the customer, RFC 3339."`
	ExternalIDs  Field[[]ExternalID]   `json:"externalIds" is:"max=60,book" doc:"Remote ids that the application already knows: route name to id."`
	ProviderData Field[[]ProviderData] `json:"providerData" is:"max=60,book" doc:"Objects by route or provider name, merged last into the request to that provider."`
}

// Name is a person's name, with the members of SCIM (RFC 7643 §4.1.1).
type Name struct {
	Formatted       Field[string] `json:"formatted" doc:"The whole name as it is written."`
	GivenName       Field[string] `json:"givenName" doc:"First name."`
	MiddleName      Field[string] `json:"middleName" doc:"Middle name."`
	FamilyName      Field[string] `json:"familyName" doc:"Last name."`
	HonorificPrefix Field[string] `json:"honorificPrefix" doc:"Title before the name: Dr."`
	HonorificSuffix Field[string] `json:"honorificSuffix" doc:"Addition after the name: Jr."`
}

// Organization is a company.
type Organization struct {
	Name               Field[string] `json:"name" doc:"The company's name."`
	RegistrationNumber Field[string] `json:"registrationNumber" doc:"Its number in the company register."`
}

// Email is one e-mail address.
type Email struct {
	Value    Field[string] `json:"value" is:"required,max=320,format=email" doc:"The address."`
	Type     Field[string] `json:"type" is:"max=45" doc:"home, work, other or a name of the application's own."`
	Primary  Field[bool]   `json:"primary" doc:"The one to use first."`
	Verified Field[bool]   `json:"verified" doc:"The customer has confirmed it."`
}

// PhoneNumber is one telephone number.
type PhoneNumber struct {
	Value    Field[string] `json:"value" is:"required,max=16,format=phone" doc:"The number in E.164 form: +14155550100."`
	Type     Field[string] `json:"type" is:"enum=mobile|home|work|fax|other" doc:"What kind of line it is."`
	Primary  Field[bool]   `json:"primary" doc:"The one to use first."`
	Verified Field[bool]   `json:"verified" doc:"The customer has confirmed it."`
}

// Address is one postal address.
type Address struct {
	Type        Field[OneOrMore] `json:"type" is:"enum=billing|shipping|home|work|other,max=5" doc:"What the address is for; one value or a list."`
	Primary     Field[bool]      `json:"primary" doc:"The one to use first."`
	Name        Field[Name]      `json:"name" doc:"Who receives there, if not the customer."`
	Company     Field[string]    `json:"company" doc:"The company at this address."`
	Lines       Field[[]string]  `json:"lines" is:"max=10" doc:"Street lines."`
	City        Field[string]    `json:"city" doc:"City or town."`
	Region      Field[string]    `json:"region" doc:"The part of an ISO 3166-2 code after the country (CA), or a name."`
	PostalCode  Field[string]    `json:"postalCode" is:"max=40" doc:"Postal or ZIP code."`
	Country     Field[string]    `json:"country" is:"max=2,format=country" doc:"ISO 3166-1 alpha-2, upper case: DE."`
	PhoneNumber Field[string]    `json:"phoneNumber" is:"max=16,format=phone" doc:"The number to call about a delivery there, E.164."`
}

// TaxID is one tax number.
type TaxID struct {
	Type    Field[string] `json:"type" is:"max=45" doc:"eu_vat, other or a scheme's name."`
	Value   Field[string] `json:"value" is:"required" doc:"The number."`
	Country Field[string] `json:"country" is:"max=2,format=country" doc:"The country that gave it, ISO 3166-1 alpha-2."`
	Primary Field[bool]   `json:"primary" doc:"The one to print on invoices."`
}

// Consent is one permission to send, granted or refused.
type Consent struct {
	Channel Field[string]    `json:"channel" is:"required,max=45" doc:"email, sms, whatsapp, push or another channel."`
	Purpose Field[string]    `json:"purpose" is:"enum=marketing|transactional" doc:"What may be sent; marketing if absent."`
	Granted Field[bool]      `json:"granted" is:"required" doc:"Whether the customer agreed."`
	At      Field[Timestamp] `json:"at" doc:"When the customer said so, RFC 3339."`
}

// LeadSource is where a customer came from.
type LeadSource struct {
	Medium       Field[string] `json:"medium" is:"max=512" doc:"Kind of traffic: search, display."`
	Source       Field[string] `json:"source" is:"max=512" doc:"The site or channel."`
	Campaign     Field[string] `json:"campaign" is:"max=512" doc:"The campaign."`
	Term         Field[string] `json:"term" is:"max=512" doc:"The search term."`
	Content      Field[string] `json:"content" is:"max=512" doc:"The content that was clicked."`
	Affiliate    Field[string] `json:"affiliate" is:"max=512" doc:"The affiliate."`
	SubAffiliate Field[string] `json:"subAffiliate" is:"max=512" doc:"The affiliate's own sub-id."`
	SalesAgent   Field[string] `json:"salesAgent" is:"max=512" doc:"The sales agent."`
	ClickID      Field[string] `json:"clickId" is:"max=512" doc:"The id of the click."`
	Path         Field[string] `json:"path" is:"max=512" doc:"The URL path of the landing page."`
	Referrer     Field[string] `json:"referrer" is:"max=2083,format=uri" doc:"The URL that led here."`
}

// Loyalty is a membership in a loyalty programme.
type Loyalty struct {
	Member     Field[bool]   `json:"member" doc:"Whether the customer takes part."`
	CardNumber Field[string] `json:"cardNumber" doc:"The loyalty card."`
	CardSeries Field[string] `json:"cardSeries" doc:"The series that the card belongs to."`
	Status     Field[string] `json:"status" doc:"The status or tier label."`
}

// Identifier is a further key of the customer.
type Identifier struct {
	Type  Field[string] `json:"type" is:"required,max=45" doc:"cardnumber, wechat or another kind."`
	Value Field[string] `json:"value" is:"required" doc:"The key."`
}

// Attribute is a custom field. In JSON the attributes are one object, here they
// keep its order.
type Attribute struct {
	Name  string
	Value Value // a scalar, null or a list of scalars
}

// ExternalID is a remote id that the application knows, under a route's name.
type ExternalID struct {
	Route string
	ID    string
}

// OneOrMore is a list of strings that may be written as one string.
type OneOrMore []string

// Date is a calendar date, written YYYY-MM-DD.
type Date struct{ Year, Month, Day int }

// Timestamp is a moment, written in RFC 3339 with a zone.
type Timestamp struct{ time.Time }
