package capillary

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

var client = map[string]canonical.Secret{"client_key": "k", "client_secret": "s3cret"}

func options(settings map[string]any, credentials map[string]canonical.Secret) provider.Options {
	return provider.Options{
		Route:       "loyalty",
		BaseURL:     &url.URL{Scheme: "https", Host: "eu.api.capillarytech.com"},
		Settings:    settings,
		Credentials: credentials,
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	instore := map[string]any{"source": "INSTORE"}
	till := map[string]canonical.Secret{"till_user": "store.server", "till_password": "server123"}
	tests := []struct {
		name        string
		settings    map[string]any
		credentials map[string]canonical.Secret
		want        []string // keys
	}{
		{"in store", instore, client, nil},
		{"empty account", map[string]any{"source": "INSTORE", "account_id": ""}, till, nil},
		{"nothing", nil, nil, []string{"credentials", "settings.source"}},
		{"source in another case", map[string]any{"source": "Instore"}, client, []string{"settings.source"}},
		{"account missing", map[string]any{"source": "WEB_ENGAGE"}, client, []string{"settings.account_id"}},
		{"account too many", map[string]any{"source": "INSTORE", "account_id": "1"}, client, []string{"settings.account_id"}},
		{"account with a space", map[string]any{"source": "LINE", "account_id": "1 2"}, client, []string{"settings.account_id"}},
		{"both pairs", instore, map[string]canonical.Secret{"client_key": "k", "till_user": "u"}, []string{"credentials"}},
		{"half a client", instore, map[string]canonical.Secret{"client_secret": "s"}, []string{"credentials.client_key"}},
		{"other half", instore, map[string]canonical.Secret{"client_key": "s"}, []string{"credentials.client_secret"}},
		{"half a till", instore, map[string]canonical.Secret{"till_user": "u"}, []string{"credentials.till_password"}},
		{"other half of a till", instore, map[string]canonical.Secret{"till_password": "u"}, []string{"credentials.till_user"}},
		{"colon", instore, map[string]canonical.Secret{"till_user": "a:b", "till_password": "p"}, []string{"credentials.till_user"}},
		{"attribution of a till", map[string]any{"source": "INSTORE", "attribution_code": "t1"}, till, []string{"settings.attribution_code"}},
		{"everything wrong", map[string]any{
			"source": "SHOP", "batch_limit": 0, "identifiers": []any{}, "require": []any{"card"}, "attribution_type": "till",
			"loyalty_status": "both", "consent_channels": map[string]any{"push": []any{"mobilePush"}}, "birth_date_format": "yyyy",
			"extended_fields": map[string]any{"sex": "gender", "city": "a.b"}, "extended_values": map[string]any{"birth_date": map[string]any{}},
			"fields": map[string]any{"x": ""}, "colour": "red",
		}, client, []string{
			"settings.attribution_type", "settings.batch_limit", "settings.birth_date_format", "settings.colour", "settings.consent_channels.push",
			"settings.extended_fields.city", "settings.extended_fields.sex", "settings.extended_values.birth_date", "settings.fields.x",
			"settings.identifiers", "settings.loyalty_status", "settings.require", "settings.source",
		}},
		{"one field twice", map[string]any{"source": "INSTORE", "extended_fields": map[string]any{"city": "x"}, "extended_attributes": map[string]any{"town": "x"}},
			client, []string{"settings.extended_attributes.town"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(options(tt.settings, tt.credentials))
			var got []string
			if faults, ok := err.(section.Faults); ok {
				for _, f := range faults {
					got = append(got, f.Key)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults = %v (%v), want %v", got, err, tt.want)
			}
		})
	}
	o := options(instore, client)
	o.BaseURL.Path = "/v2"
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), "base_url") {
		t.Errorf("Open with /v2 = %v, want a fault of base_url", err)
	}
}

// TestBasic holds the published example:
// https://docs.capillarytech.com/reference/basic-authentication.
func TestBasic(t *testing.T) {
	t.Parallel()
	opened, err := Open(options(map[string]any{"source": "INSTORE"}, map[string]canonical.Secret{"till_user": "store.server", "till_password": "server123"}))
	if err != nil {
		t.Fatal(err)
	}
	const want = "Basic c3RvcmUuc2VydmVyOjhhMTZhNmI3MDUwNWViMWYxZmY3Y2RjMGNkNTU1OWE3"
	if got := opened.Auth.Header["Authorization"].Reveal(); got != want || opened.Auth.Token != nil {
		t.Errorf("Authorization = %q, want %q and no token", got, want)
	}
	pair, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(want, "Basic "))
	if string(pair) != "store.server:8a16a6b70505eb1f1ff7cdc0cd5559a7" {
		t.Errorf("the example reads %q", pair)
	}
}

func TestTokenRequest(t *testing.T) {
	t.Parallel()
	opened, err := Open(options(map[string]any{"source": "INSTORE"}, client))
	if err != nil {
		t.Fatal(err)
	}
	token := opened.Auth.Token
	if token == nil || token.Header != "X-CAP-API-OAUTH-TOKEN" || token.Prefix != "" || len(opened.Auth.Header) != 0 {
		t.Fatalf("Auth = %+v, want a bare token in X-CAP-API-OAUTH-TOKEN", opened.Auth)
	}
	r := token.Request
	if got := r.Op + " " + r.Method + " " + r.Path + " " + string(r.Body); got != `token POST /v3/oauth/token/generate {"key":"k","secret":"s3cret"}` {
		t.Errorf("Request = %s", got)
	}
	if got := opened.Limit.Rate.String(); got != "50/m" {
		t.Errorf("Rate = %s, want 50/m", got)
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		token  string
		lives  time.Duration
		code   canonical.Code
	}{
		{"published", 200, `{"data":{"accessToken":"t0k.en","ttlSeconds":300},"errors":null}`, "t0k.en", 5 * time.Minute, ""},
		{"texts", 200, `{"data":{"accessToken":"t","ttlSeconds":"3600"},"errors":[]}`, "t", time.Hour, ""},
		{"no lifetime", 201, `{"data":{"accessToken":"t"}}`, "t", 0, ""},
		{"bad lifetime", 200, `{"data":{"accessToken":"t","ttlSeconds":-1}}`, "t", 0, ""},
		{"refused with 200", 200, `{"data":null,"errors":[{"code":320001,"message":"Invalid client key and secret"}]}`, "", 0, canonical.UpstreamUnauthenticated},
		{"refused with 400", 400, `{"data":null,"errors":[{"code":"320002","message":"?"}]}`, "", 0, canonical.UpstreamUnauthenticated},
		{"refused with 401", 401, ``, "", 0, canonical.UpstreamUnauthenticated},
		{"old shape", 200, `{"response":{"status":{"success":"true","code":"401","message":"Unauthorized"}}}`, "", 0, canonical.UpstreamUnauthenticated},
		{"unknown JSON", 400, `{"hint":"?"}`, "", 0, canonical.UpstreamUnauthenticated},
		{"rights", 403, `{"errors":[{"code":4000,"message":"Not authorized"}]}`, "", 0, canonical.UpstreamForbidden},
		{"no token", 200, `{"data":{"ttlSeconds":300}}`, "", 0, canonical.UpstreamInvalidResponse},
		{"token with a line break", 200, `{"data":{"accessToken":"a\nb"}}`, "", 0, canonical.UpstreamInvalidResponse},
		{"page", 200, `<html>login</html>`, "", 0, canonical.UpstreamInvalidResponse},
		{"truncated", 200, `{"data":{"accessTok`, "", 0, canonical.UpstreamInvalidResponse},
		{"wrong host", 404, `<html>no</html>`, "", 0, canonical.UpstreamMisconfigured},
		{"throttled", 429, ``, "", 0, canonical.UpstreamRateLimited},
		{"out of order", 503, `{"errors":[{"code":999,"message":"?"}]}`, "", 0, canonical.UpstreamUnavailable},
		{"edge", 521, ``, "", 0, canonical.UpstreamUnavailable},
		{"timeout", 408, ``, "", 0, canonical.UpstreamUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := &canonical.Reply{Status: tt.status, Header: http.Header{"X-Cap-Requestid": {"abc"}}, Body: []byte(tt.body)}
			token, lives, err := readToken(got)
			code := canonical.Code("")
			if e := canonical.AsError(err); e != nil {
				code = e.Code
				if e.RequestID != "abc" || e.Op != "token" || e.Provider != name {
					t.Errorf("error = %+v, want request id, operation and provider", e)
				}
			}
			if token.Reveal() != tt.token || lives != tt.lives || code != tt.code {
				t.Errorf("readToken = %q, %v, %q; want %q, %v, %q", token.Reveal(), lives, code, tt.token, tt.lives, tt.code)
			}
		})
	}
}

func upsert(t *testing.T, id, body string) canonical.Upsert {
	t.Helper()
	return adaptertest.Upsert(adaptertest.Decode(t, id, []byte(body)), "loyalty", name, "")
}

func TestTranslate(t *testing.T) {
	t.Parallel()
	basic := webEngage()
	tests := []struct {
		name, body string
		config     func(*Config)
		want       string // part of the body
		lacks      string
		notices    []string // code and pointer
	}{
		{"only the id", `{}`, nil, `[{"profiles":[{"identifiers":[{"type":"externalId","value":"c1"}],"source":"WEB_ENGAGE","accountId":"311c4dd1"}]}]`, "", nil},
		{"no account", `{}`, func(c *Config) { c.Source, c.AccountID = "INSTORE", "" }, `"source":"INSTORE"}`, "accountId", nil},
		{"landline is no identifier", `{"phoneNumbers":[{"value":"+4930123456","type":"work"}]}`, nil,
			`"commChannels":[{"type":"mobile","value":"4930123456","primary":true,"meta":{"office":true}}]`, `{"type":"mobile","value":"4930123456"}`, nil},
		{"a mobile line that is not primary", `{"phoneNumbers":[{"value":"+4930123456","type":"home"},{"value":"+491701234567"}]}`, nil,
			`{"type":"mobile","value":"491701234567"}]`, "", nil},
		{"fax first", `{"phoneNumbers":[{"value":"+4930123456","type":"fax"},{"value":"+491701234567","type":"mobile"}]}`, nil,
			`"commChannels":[{"type":"mobile","value":"491701234567","primary":true}]`, "4930123456", []string{"dropped /phoneNumbers/0"}},
		{"stated keys win", `{"emails":[{"value":"a@example.com"}],"identifiers":[{"type":"ExternalID","value":"X 1"},{"type":"mobile","value":"+49 (170) 123-4567"},{"type":"email","value":"b@example.com"}]}`, nil,
			`"identifiers":[{"type":"externalId","value":"X 1"},{"type":"mobile","value":"491701234567"},{"type":"email","value":"b@example.com"}],"commChannels":[{"type":"email","value":"a@example.com","primary":true}]`, `"c1"`, nil},
		{"leading zeros", `{"identifiers":[{"type":"mobile","value":"0049 170 1234567"}]}`, nil, `{"type":"mobile","value":"491701234567"}`, "", nil},
		{"unknown identifier", `{"identifiers":[{"type":"passport","value":"P1"}]}`, nil, `"externalId"`, "P1", []string{"dropped /identifiers/0"}},
		{"one card twice", `{"identifiers":[{"type":"card","value":"C1"}],"loyalty":{"cardNumber":"C1"}}`, nil,
			`"identifiers":[{"type":"externalId","value":"c1"},{"type":"cardnumber","value":"C1"}]`, "", nil},
		{"series by code", `{"loyalty":{"cardNumber":"C1","cardSeries":"GOLD"}}`, nil, `{"type":"cardnumber","value":"C1","seriesCode":"GOLD"}`, "seriesId", nil},
		{"series that is no number", `{"loyalty":{"cardNumber":"C1","cardSeries":"046"}}`, nil, `"seriesCode":"046"`, "seriesId", nil},
		{"series and label from settings", `{"identifiers":[{"type":"cardnumber","value":"C1"}]}`, func(c *Config) { c.CardSeries, c.CardStatusLabel = "73", "ACTIVE" },
			`{"type":"cardnumber","value":"C1","seriesId":73,"statusLabel":"ACTIVE"}`, "", nil},
		{"label of the card", `{"loyalty":{"cardNumber":"C1","status":"EXPIRED"}}`, func(c *Config) { c.LoyaltyStatus = "card" },
			`{"type":"cardnumber","value":"C1","statusLabel":"EXPIRED"}`, `"statusLabel":"EXPIRED"}]}]`, nil},
		{"label without a card", `{"loyalty":{"status":"EXPIRED"}}`, func(c *Config) { c.LoyaltyStatus = "card" }, "", "EXPIRED", []string{"dropped /loyalty"}},
		{"label off", `{"loyalty":{"member":false,"status":"gold"}}`, func(c *Config) { c.LoyaltyStatus = "off" },
			`"loyaltyInfo":{"loyaltyType":"non_loyalty"}`, "gold", []string{"dropped /loyalty/status"}},
		{"label by default", `{}`, func(c *Config) { c.StatusLabel = "Active" }, `"statusLabel":"Active"`, "", nil},
		{"unspecified gender", `{"gender":"unspecified"}`, nil, "", "extendedFields", []string{"dropped /gender"}},
		{"own genders", `{"gender":"female"}`, func(c *Config) { c.ExtendedValues = map[string]map[string]string{"gender": {"female": "F"}} }, `"extendedFields":{"gender":"F"}`, "", nil},
		{"no extended fields", `{"gender":"female"}`, func(c *Config) { c.ExtendedFields = nil }, "", "extendedFields", []string{"dropped /gender"}},
		{"title", `{"name":{"honorificPrefix":"Dr."}}`, func(c *Config) { c.ExtendedFields = map[string]string{"title": "title"} }, `"extendedFields":{"title":"Dr."}`, "", nil},
		{"address lines", `{"addresses":[{"lines":["A 1","B 2"]}]}`, func(c *Config) { c.ExtendedFields = map[string]string{"street": "area"} }, `"extendedFields":{"area":"A 1, B 2"}`, "", nil},
		{"extended list", `{"attributes":{"likes":["a","b"]}}`, func(c *Config) { c.ExtendedAttributes = map[string]string{"likes": "likes"} },
			`"extendedFields":{"likes":"a,b"}`, `"fields"`, []string{"changed /attributes/likes"}},
		{"fields off", `{"attributes":{"a":1}}`, func(c *Config) { c.Fields = map[string]string{} }, "", `"fields"`, []string{"dropped /attributes/a"}},
		{"consents", `{"consents":[{"channel":"WhatsApp","granted":true},{"channel":"push","granted":false},{"channel":"sms","purpose":"transactional","granted":true}]}`, nil,
			`{"channel":"whatsapp","priority":"BULK","type":"OPTIN","sourceName":"WEB_ENGAGE","accountId":"311c4dd1"},{"channel":"mobile","priority":"TRANS","type":"OPTIN","sourceName":"WEB_ENGAGE","accountId":"311c4dd1"}]`,
			"", []string{"dropped /consents/1"}},
		{"push to two channels", `{"consents":[{"channel":"push","purpose":"marketing","granted":false}]}`, func(c *Config) { c.ConsentChannels = map[string][]string{"push": {"ios", "android"}} },
			`{"channel":"android","priority":"BULK","type":"OPTOUT",`, "", nil},
		{"nulls", `{"name":null,"emails":[],"phoneNumbers":null,"loyalty":{"member":null},"attributes":{"a":null},"consents":[],"gender":null,"note":null}`, nil,
			`"identifiers":[{"type":"externalId","value":"c1"}],"source"`, "null",
			[]string{"not_cleared /name", "not_cleared /emails", "not_cleared /phoneNumbers", "not_cleared /gender", "not_cleared /consents", "not_cleared /loyalty/member", "not_cleared /attributes/a"}},
		{"whole name", `{"name":{"formatted":"Kim Lee","givenName":"Kim","familyName":"Lee"}}`, nil, `"firstName":"Kim","lastName":"Lee"`, "Kim Lee", nil},
		{"only the whole name", `{"name":{"formatted":"Kim Lee"}}`, nil, "", "Kim", []string{"dropped /name"}},
		{"providerData", `{"providerData":{"capillary":{"associatedWith":"till.7","extendedFields":{"area":"x","source":"Expo"},"profiles":[{"lastName":"Li","fields":{"accountId":"own"}}]},"loyalty":{"associatedWith":"till.8"}},"name":{"givenName":"Kim","familyName":"Lee"}}`, nil,
			`[{"profiles":[{"firstName":"Kim","lastName":"Li","identifiers":[{"type":"externalId","value":"c1"}],"source":"WEB_ENGAGE","accountId":"311c4dd1","fields":{"accountId":"own"}}],"associatedWith":"till.8","extendedFields":{"area":"x","source":"Expo"}}]`, "", nil},
		{"created", `{"createdAt":"2025-01-10T17:40:44Z"}`, func(c *Config) { c.CreateDate = true }, `"createDate":"2025-01-10T17:40:44Z"`, "", nil},
		{"100 characters", `{"name":{"givenName":"` + strings.Repeat("ỹ", 100) + `"}}`, nil, strings.Repeat("ỹ", 100), "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := basic
			if tt.config != nil {
				tt.config(&c)
			}
			req, notices, err := New(c).Translate(upsert(t, "c1", tt.body))
			if err != nil {
				t.Fatalf("Translate: %v %+v", err, canonical.AsError(err).Fields)
			}
			if body := string(req.Body); !strings.Contains(body, tt.want) || tt.lacks != "" && strings.Contains(body, tt.lacks) {
				t.Errorf("body = %s\nwant %s\nand nothing of %q", body, tt.want, tt.lacks)
			}
			var got []string
			for _, n := range notices {
				got = append(got, string(n.Code)+" "+n.Pointer)
			}
			if !slices.Equal(got, tt.notices) {
				t.Errorf("notices = %q, want %q", got, tt.notices)
			}
		})
	}
}

func TestTranslateRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 101)
	tests := []struct {
		name, body string
		config     func(*Config)
		code       canonical.Code
		want       []string // code and pointer
	}{
		{"names", `{"name":{"givenName":"` + long + `","familyName":"` + long + `"}}`, nil, canonical.MappingUnrepresentable, []string{"too_long /name/givenName", "too_long /name/familyName"}},
		{"strict names", `{"name":{"givenName":"O'Neil-Zoë 2","familyName":"J. R."}}`, func(c *Config) { c.StrictNames = true }, canonical.MappingUnrepresentable, []string{"invalid /name/familyName"}},
		{"long address", `{"emails":[{"value":"a@example.com"},{"value":"` + strings.Repeat("b", 60) + `@` + strings.Repeat("x.", 100) + `com"}]}`, nil, canonical.MappingUnrepresentable, []string{"too_long /emails/1/value"}},
		{"address with other signs", `{"emails":[{"value":"o'neil@example.com"}]}`, nil, canonical.MappingUnrepresentable, []string{"invalid /emails/0/value"}},
		{"mobile without country code", `{"identifiers":[{"type":"mobile","value":"0170 1234567"}]}`, nil, canonical.MappingUnrepresentable, []string{"invalid /identifiers/0/value"}},
		{"stated address", `{"identifiers":[{"type":"email","value":"a b"}]}`, nil, canonical.MappingUnrepresentable, []string{"invalid /identifiers/0/value"}},
		{"no key", `{}`, func(c *Config) { c.Identifiers = []string{"mobile", "email"} }, canonical.MappingRequiredMissing, []string{"required /phoneNumbers", "required /emails"}},
		{"primary key missing", `{"emails":[{"value":"a@example.com"}]}`, func(c *Config) { c.Require = []string{"mobile"} }, canonical.MappingRequiredMissing, []string{"required /phoneNumbers"}},
		{"landline instead of a mobile", `{"phoneNumbers":[{"value":"+4930123456","type":"home"}]}`, func(c *Config) { c.Require = []string{"mobile"} }, canonical.MappingRequiredMissing, []string{"required /phoneNumbers"}},
		{"source from data", `{"providerData":{"capillary":{"profiles":[{"source":"INSTORE","accountId":"x"}],"accountId":"y"}}}`, nil, canonical.MappingUnrepresentable,
			[]string{"unsupported /providerData/capillary/profiles/0/source", "unsupported /providerData/capillary/profiles/0/accountId", "unsupported /providerData/capillary/accountId"}},
		{"source in another case, deeper", `{"providerData":{"loyalty":{"subscriptionInfo":{"subscriptions":[{"SourceName":"LINE"}]}}}}`, nil, canonical.MappingUnrepresentable,
			[]string{"unsupported /providerData/loyalty/subscriptionInfo/subscriptions/0/SourceName"}},
		{"two profiles", `{"providerData":{"capillary":{"profiles":[{},{}]}}}`, nil, canonical.MappingUnrepresentable, []string{"invalid /providerData/capillary/profiles"}},
		{"profiles cleared", `{"providerData":{"capillary":{"profiles":null}}}`, nil, canonical.MappingUnrepresentable, []string{"invalid /providerData/capillary/profiles"}},
		{"identifiers cleared", `{"providerData":{"capillary":{"profiles":[{"identifiers":[]}]}}}`, nil, canonical.MappingUnrepresentable, []string{"invalid /providerData/capillary/profiles/0/identifiers"}},
		{"identifiers wrong", `{"providerData":{"capillary":{"profiles":[{"firstName":"` + long + `","identifiers":[{"type":"externalid","value":"1"},{"type":"mobile","value":"+4917012345"},{"type":"line","value":1}]}]}}}`, nil, canonical.MappingUnrepresentable,
			[]string{"too_long /providerData/capillary/profiles/0/firstName", "unsupported /providerData/capillary/profiles/0/identifiers/0",
				"invalid /providerData/capillary/profiles/0/identifiers/1", "invalid /providerData/capillary/profiles/0/identifiers/2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := webEngage()
			if tt.config != nil {
				tt.config(&c)
			}
			req, _, err := New(c).Translate(upsert(t, "c1", tt.body))
			e := canonical.AsError(err)
			if e == nil || req != nil {
				t.Fatalf("Translate = %v, %v; want a refusal", req, err)
			}
			var got []string
			for _, f := range e.Fields {
				got = append(got, string(f.Code)+" "+f.Pointer)
			}
			if e.Code != tt.code || !slices.Equal(got, tt.want) {
				t.Errorf("refused with %s %q, want %s %q", e.Code, got, tt.code, tt.want)
			}
		})
	}
}

func TestRepeatable(t *testing.T) {
	t.Parallel()
	careful := webEngage()
	careful.RepeatAfterUnknown = false
	for _, tt := range []struct {
		name, body string
		config     Config
		want       bool
	}{
		{"plain", `{}`, webEngage(), true},
		{"setting", `{}`, careful, false},
		{"points", `{"providerData":{"capillary":{"loyaltyProgramEnrollments":[{"programId":1,"loyaltyPoints":5}]}}}`, webEngage(), false},
		{"referral", `{"providerData":{"capillary":{"referralCode":"R"}}}`, webEngage(), false},
	} {
		req, _, err := New(tt.config).Translate(upsert(t, "c1", tt.body))
		if err != nil || req.Repeatable != tt.want {
			t.Errorf("%s: Repeatable = %v, %v; want %v", tt.name, req.Repeatable, err, tt.want)
		}
	}
}

// TestNeededKeys holds that a key which only providerData states is there.
func TestNeededKeys(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*Config){
		func(c *Config) { c.Identifiers = []string{"mobile"} },
		func(c *Config) { c.Require = []string{"mobile"} },
	} {
		c := webEngage()
		change(&c)
		u := upsert(t, "c1", `{"providerData":{"capillary":{"profiles":[{"identifiers":[{"type":"mobile","value":"4917012345"}]}]}}}`)
		if _, _, err := New(c).Translate(u); err != nil {
			t.Errorf("Translate = %v %+v, want no error", err, canonical.AsError(err).Fields)
		}
	}
}

// TestQuotedValue holds that a complaint about one of several addresses points
// at the one that it repeats.
func TestQuotedValue(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	u := upsert(t, "c1", `{"emails":[{"value":"a@example.com"},{"value":"b@example.com"}],"identifiers":[{"type":"mobile","value":"4917012345"}]}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for warning, want := range map[string]string{
		`{"code":8057,"message":"Invalid email id in comm channel b@example.com"}`: "/emails/1/value",
		`{"code":8057,"message":"Invalid email id in comm channel"}`:               "/emails/0/value",
		`{"code":8056,"message":"Invalid mobile"}`:                                 "/identifiers/0/value",
	} {
		_, err := a.Interpret(u, req, reply(200, `{"response":[{"entityId":7,"warnings":[`+warning+`]}]}`))
		if e := canonical.AsError(err); e == nil || len(e.Fields) != 1 || e.Fields[0].Pointer != want {
			t.Errorf("%s: error = %+v, want a pointer to %s", warning, e, want)
		}
	}
}

// TestSettingsInComplaints holds that a label which the operator has set is not
// blamed on the caller.
func TestSettingsInComplaints(t *testing.T) {
	t.Parallel()
	c := webEngage()
	c.StatusLabel, c.CardStatusLabel = "Gold", "NEW"
	a := New(c)
	u := upsert(t, "c1", `{"loyalty":{"cardNumber":"C1"}}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[string]string{"8086": "settings.status_label", "8003": "settings.source", "8127": "settings.account_id"} {
		_, err := a.Interpret(u, req, reply(200, `{"response":[{"entityId":7,"errors":[{"code":`+code+`,"message":"no"}]}]}`))
		e := canonical.AsError(err)
		if e == nil || e.Code != canonical.UpstreamPartiallyApplied || len(e.Fields) != 1 || e.Fields[0].Setting != want || e.Fields[0].Pointer != "" {
			t.Errorf("%s: error = %+v, want one of %s", code, e, want)
		}
	}
}

func reply(status int, body string) *canonical.Reply {
	return &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)}
}
