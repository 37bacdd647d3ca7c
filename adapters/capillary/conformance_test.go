package capillary

import (
	"testing"

	"customer-gateway/adapters/adaptertest"
)

// webEngage is the route of the seed's examples.
func webEngage() Config {
	c := defaults()
	c.Source, c.AccountID = "WEB_ENGAGE", "311c4dd1"
	return c
}

// settled is a route with every setting in use.
func settled() Config {
	c := defaults()
	c.Source = "INSTORE"
	c.SkipChangeIdentifier = true
	c.RepeatAfterUnknown = false
	c.Identifiers = []string{"mobile", "email", "externalId"}
	c.AttributionType, c.AttributionCode = "STORE_CODE", "store-7"
	c.LoyaltyStatus, c.StatusLabel, c.CardStatusLabel, c.CardSeries = "card", "Active", "ACTIVE", "BUKLPRM"
	c.Fields = map[string]string{"segment": "tier", "interests": "likes"}
	c.ExtendedFields = map[string]string{
		"gender": "gender", "birth_date": "dob", "language": "preferred_language", "middle_name": "middle_name",
		"suffix": "suffix", "job_title": "job_title", "organization": "company", "customer_type": "customer_type", "street": "area",
		"city": "city", "region": "state", "postal_code": "zip", "country": "country_of_residence", "lead_medium": "acquisition_channel",
		"lead_source": "lead_source", "lead_campaign": "campaign", "note": "remark",
	}
	c.ExtendedAttributes = map[string]string{"visits": "visits"}
	c.ExtendedValues = map[string]map[string]string{"country": {"ES": "Spain", "US": "USA"}, "language": {"es": "Spanish", "en": "English"}}
	c.BirthDateFormat = "dd-mm-yyyy"
	c.CreateDate = true
	return c
}

// bare is a route that sends as little as possible, by changeable keys.
func bare() Config {
	c := webEngage()
	c.Identifiers = []string{"mobile", "email"}
	c.LoyaltyStatus = "off"
	c.ExtendedFields, c.ConsentChannels, c.Fields = nil, nil, map[string]string{"segment": "tier"}
	return c
}

// strict is a route that refuses what the others let through.
func strict() Config {
	c := webEngage()
	c.Identifiers, c.Require = []string{"mobile", "email"}, []string{"mobile"}
	c.StrictNames = true
	c.ExtendedValues = map[string]map[string]string{"gender": {"female": "F", "male": "M", "other": "X", "unspecified": "U"}}
	return c
}

func suite() adaptertest.Case {
	return adaptertest.Case{Adapters: []adaptertest.Setup{
		{Adapter: New(webEngage())},
		{Name: "settings", Adapter: New(settled())},
	}, Described: []adaptertest.Setup{
		{Name: "bare", Adapter: New(bare())},
		{Name: "strict", Adapter: New(strict())},
	}}
}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite()) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite()) }
