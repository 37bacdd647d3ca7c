package capillary

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

// Config is a route's settings.
type Config struct {
	// Source and AccountID name the source account that profiles are written to.
	// A wrong one is accepted and merges people, so that both come from here only
	// and neither has a default.
	Source    string `koanf:"source"`
	AccountID string `koanf:"account_id"`
	// SkipChangeIdentifier keeps the identifiers of existing customers.
	SkipChangeIdentifier bool `koanf:"skip_change_identifier"`
	// BatchLimit is how many customers are sent in one call; default 10.
	BatchLimit int `koanf:"batch_limit"`
	// RepeatAfterUnknown lets a call be repeated whose outcome is not known;
	// default true. The repeat converges, but rules of the organization that
	// award points for an update may award them twice.
	RepeatAfterUnknown bool `koanf:"repeat_after_unknown"`
	// Identifiers lists which of the customer's own keys identify it: externalId
	// (the application's id), mobile, email; default all, in this order.
	Identifiers []string `koanf:"identifiers"`
	// Require lists those without which the organization registers nobody.
	Require []string `koanf:"require"`
	// AttributionType and AttributionCode attribute the calls of an API client to
	// a till or store; default type TILL.
	AttributionType string `koanf:"attribution_type"`
	AttributionCode string `koanf:"attribution_code"`

	// LoyaltyStatus says what loyalty.status is the label of: "customer"
	// (default), "card", or "off".
	LoyaltyStatus string `koanf:"loyalty_status"`
	// StatusLabel, CardStatusLabel and CardSeries are sent where the customer
	// states none.
	StatusLabel     string `koanf:"status_label"`
	CardStatusLabel string `koanf:"card_status_label"`
	CardSeries      string `koanf:"card_series"`

	// Fields maps attributes to the custom fields of the organization. Unless it
	// is set, every attribute is sent under its own name.
	Fields map[string]string `koanf:"fields"`
	// ExtendedFields maps meanings (gender, birth_date, city, …) to the extended
	// fields that are enabled for the organization; default gender: gender.
	ExtendedFields map[string]string `koanf:"extended_fields"`
	// ExtendedAttributes maps attributes to extended fields.
	ExtendedAttributes map[string]string `koanf:"extended_attributes"`
	// ExtendedValues maps the values of a meaning to those of its extended field.
	// A value that is not there is not sent.
	ExtendedValues map[string]map[string]string `koanf:"extended_values"`
	// BirthDateFormat is made of yyyy, mm and dd; default yyyy/mm/dd.
	BirthDateFormat string `koanf:"birth_date_format"`
	// ConsentChannels maps channels of consents to Capillary's; default email,
	// sms (mobile), mobile, whatsapp, wechat, line, ios and android.
	ConsentChannels map[string][]string `koanf:"consent_channels"`
	// StrictNames refuses names with other characters than the documented
	// letters, digits, spaces, hyphens and apostrophes.
	StrictNames bool `koanf:"strict_names"`
	// CreateDate sends createdAt as the date of registration.
	CreateDate bool `koanf:"create_date"`
}

// defaults returns the Config of a route that states nothing.
func defaults() Config {
	return Config{
		BatchLimit:         10, // the group size of Capillary's own connector
		RepeatAfterUnknown: true,
		Identifiers:        slices.Clone(ownKeys),
		AttributionType:    "TILL",
		LoyaltyStatus:      "customer",
		ExtendedFields:     map[string]string{"gender": "gender"},
		BirthDateFormat:    "yyyy/mm/dd",
		ConsentChannels: map[string][]string{
			"email": {"email"}, "sms": {"mobile"}, "mobile": {"mobile"}, "whatsapp": {"whatsapp"},
			"wechat": {"wechat"}, "line": {"line"}, "ios": {"ios"}, "android": {"android"},
		},
	}
}

// defaultGenders are the values of the gender field where ExtendedValues names
// none. Only Male and Female are seen in samples.
var defaultGenders = map[string]string{"female": "Female", "male": "Male", "other": "Other"}

// The closed sets of the API.
var (
	ownKeys      = []string{"externalId", "mobile", "email"}
	sources      = []string{"INSTORE", "WEB_ENGAGE", "WECHAT", "FACEBOOK", "MARTJACK", "TMALL", "TAOBAO", "JD", "ECOMMERCE", "WEBSITE", "LINE", "MOBILE_APP"}
	withAccounts = []string{"WECHAT", "FACEBOOK", "WEB_ENGAGE", "MOBILE_APP", "LINE", "MARTJACK"}
	attributions = []string{"TILL", "STORE_CODE", "STORE_NAME", "STORE_EXTERNAL_ID", "STORE_EXTERNAL_ID_1", "STORE_EXTERNAL_ID_2"}
	channels     = []string{"mobile", "email", "wechat", "whatsapp", "ios", "android", "line"}
)

func (c *Config) check(faults *section.Faults) {
	c.checkSource(faults)
	if c.BatchLimit < 1 {
		faults.Add("settings.batch_limit", "must be 1 or more")
	}
	if len(c.Identifiers) == 0 {
		faults.Add("settings.identifiers", "must list one or more of %s", strings.Join(ownKeys, ", "))
	}
	oneOf(faults, "settings.identifiers", ownKeys, c.Identifiers...)
	oneOf(faults, "settings.require", ownKeys, c.Require...)
	oneOf(faults, "settings.attribution_type", attributions, c.AttributionType)
	oneOf(faults, "settings.loyalty_status", []string{"customer", "card", "off"}, c.LoyaltyStatus)
	for consent, list := range c.ConsentChannels {
		oneOf(faults, section.Key("settings.consent_channels", consent), channels, list...)
	}
	f := c.BirthDateFormat
	if strings.Count(f, "yyyy") != 1 || strings.Count(f, "mm") != 1 || strings.Count(f, "dd") != 1 {
		faults.Add("settings.birth_date_format", "must have each of yyyy, mm and dd once, such as dd-mm-yyyy")
	}
	if strings.ContainsFunc(c.AttributionCode, unicode.IsControl) {
		faults.Add("settings.attribution_code", "must not have control characters")
	}
	c.checkExtended(faults)
}

func (c *Config) checkSource(faults *section.Faults) {
	if c.Source == "" {
		faults.Add("settings.source", "is required: the source that this organization keeps these customers under; ask Capillary, and do not guess: a wrong one merges people")
	} else {
		oneOf(faults, "settings.source", sources, c.Source)
	}
	switch {
	case c.AccountID == "" && slices.Contains(withAccounts, c.Source):
		faults.Add("settings.account_id", "is required: source %s has several accounts, and this names one of them", c.Source)
	case c.AccountID != "" && c.Source == "INSTORE":
		faults.Add("settings.account_id", "must be left out: source INSTORE has no accounts")
	case strings.ContainsFunc(c.AccountID, unicode.IsSpace):
		faults.Add("settings.account_id", "must not have white space")
	}
}

// fieldName is what an extended field may be called.
var fieldName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (c *Config) checkExtended(faults *section.Faults) {
	fed := map[string]string{}
	check := func(at string, names map[string]string) {
		for _, from := range slices.Sorted(maps.Keys(names)) {
			key, to := section.Key(at, from), names[from]
			switch {
			case !fieldName.MatchString(to):
				faults.Add(key, "must be the name of an extended field")
			case fed[to] != "":
				faults.Add(key, "names the field that %s feeds already", fed[to])
			default:
				fed[to] = key
			}
		}
	}
	check("settings.extended_fields", c.ExtendedFields)
	check("settings.extended_attributes", c.ExtendedAttributes)
	known := map[string]bool{}
	for _, m := range meanings {
		known[m.key] = true
	}
	for key := range c.ExtendedFields {
		if !known[key] {
			faults.Add(section.Key("settings.extended_fields", key), "is not known here; %s", section.Nearest(key, known))
		}
	}
	for key := range c.ExtendedValues {
		if !known[key] || key == "birth_date" {
			faults.Add(section.Key("settings.extended_values", key), "is not a meaning with values; %s", section.Nearest(key, known))
		}
	}
	for from, to := range c.Fields {
		if to == "" {
			faults.Add(section.Key("settings.fields", from), "must be the name of a custom field")
		}
	}
}

func oneOf(faults *section.Faults, key string, known []string, values ...string) {
	for _, v := range values {
		if !slices.Contains(known, v) {
			faults.Add(key, "has %q, which is not one of %s, written exactly so", v, strings.Join(known, ", "))
		}
	}
}

// table returns the field table with the extended fields of the organization.
func (c *Config) table() *mapping.Table {
	rows := slices.Clone(fields)
	for _, m := range meanings {
		if to := c.ExtendedFields[m.key]; to != "" {
			rows = append(rows, mapping.Field{To: "extendedFields." + to, From: m.from, Aliases: []string{to}})
		}
	}
	if len(c.ExtendedAttributes) > 0 {
		rows = append(rows, mapping.Field{To: "extendedFields.*", From: "/attributes/*"})
	}
	t := mapping.NewTable(name, rows...)
	if c.StrictNames {
		strict := func(f *mapping.Field) { f.Chars = nameChars }
		t = t.With(firstName, strict).With(lastName, strict)
	}
	return t
}
