package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

const customerURL = "/organizations/acme/customers/"

// began is when the emulators' clocks begin.
var began = time.Date(2026, 8, 21, 10, 0, 0, 0, time.UTC)

// fixture is an emulator behind a real socket.
type fixture struct {
	t     *testing.T
	s     *Sandbox
	clock *emulator.Clock
	url   string
}

func start(t *testing.T, opts Options) *fixture {
	t.Helper()
	c := emulator.NewClock(began)
	if opts.Now == nil {
		opts.Now = c.Now
	}
	s := New(opts)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &fixture{t: t, s: s, clock: c, url: server.URL}
}

// reply is an answer with its body decoded, when that is a JSON object.
type reply struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

// do sends a request with the emulator's key; header pairs replace or, when
// empty, remove its headers.
func (f *fixture) do(method, path, body string, header ...string) reply {
	f.t.Helper()
	req, err := http.NewRequest(method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("REB-APIKEY", APIKey)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Del(header[i])
		if header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	got := reply{status: res.StatusCode, header: res.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &got.body)
	return got
}

func (f *fixture) put(id, body string, header ...string) reply {
	f.t.Helper()
	return f.do(http.MethodPut, customerURL+id, body, header...)
}

func (f *fixture) want(got reply, status int) reply {
	f.t.Helper()
	if got.status != status {
		f.t.Fatalf("status = %d, want %d; body %s", got.status, status, got.raw)
	}
	return got
}

// faultFields returns the field names of a current validation error.
func faultFields(got reply) []string {
	var fields []string
	list, _ := got.body["invalidFields"].([]any)
	for _, item := range list {
		fields = append(fields, item.(map[string]any)["field"].(string))
	}
	return fields
}

const full = `{
  "websiteId": "web_0YV7DE4Z26DQSA1AC92FBJ7SEG",
  "primaryAddress": {
    "firstName": "Benjamin", "lastName": "Franklin", "organization": "Rebilly",
    "address": "36 Craven St", "address2": null, "city": "London", "region": "London",
    "country": "GB", "postalCode": "WC2N 5NF", "dob": "1980-04-01", "jobTitle": "CEO",
    "emails": [{"label": "main", "value": "ben@example.com", "primary": true},
               {"label": "work", "value": "work@example.com", "primary": false}],
    "phoneNumbers": [{"label": "main", "value": "1-512-777-0269", "primary": true}]
  },
  "customFields": {"segment": "press", "vip": true, "interests": ["kites"], "joined": "2020-02-29",
    "lastSeen": "2026-08-21T10:00:00Z", "visits": 3, "score": 1.5, "tier": "gold",
    "credit": {"currency": "USD", "amount": 10.5}},
  "taxNumbers": [{"type": "eu-vat", "value": "GB980780684", "isDefault": true}],
  "locale": "fr-FR",
  "leadSource": {"medium": "search", "referrer": "https://www.rebilly.com"},
  "notificationEmails": ["copy@example.com"],
  "personId": "prs_0YV7DDSDD1C8DA64KHH2W33CPF",
  "preferredPayoutInstrumentId": "inst_0YVB8KPKNXCBR9EDX7JHSED75N"
}`

func TestCreateAnswersTheWholeCustomer(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	got := f.want(f.put("cust-1", full), http.StatusCreated)
	for name, want := range map[string]string{
		"Content-Type":          "application/json",
		"Location":              f.url + customerURL + "cust-1",
		"X-Ratelimit-Limit":     "3000",
		"X-Ratelimit-Remaining": "2999",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s = %q, want %q", name, got.header.Get(name), want)
		}
	}
	for name, want := range map[string]any{
		"id": "cust-1", "organizationId": "acme", "email": "ben@example.com", "firstName": "Benjamin",
		"lastName": "Franklin", "company": "Rebilly", "revision": 1.0, "invoiceCount": 0.0, "paymentCount": 0.0,
		"locale": "fr-FR", "createdTime": "2026-08-21T10:00:00Z", "updatedTime": "2026-08-21T10:00:00Z",
	} {
		if !reflect.DeepEqual(got.body[name], want) {
			t.Errorf("%s = %v, want %v", name, got.body[name], want)
		}
	}
	if _, echoed := got.body["leadSource"]; echoed {
		t.Error("leadSource is write-only but came back")
	}
	if h, _ := got.body["primaryAddress"].(map[string]any)["hash"].(string); len(h) != 40 {
		t.Errorf("primaryAddress.hash = %q, want 40 characters", h)
	}
	expanded := f.want(f.do(http.MethodGet, customerURL+"cust-1?expand=website,leadSource", ""), http.StatusOK)
	embedded, _ := expanded.body["_embedded"].(map[string]any)
	if lead, _ := embedded["leadSource"].(map[string]any); lead["medium"] != "search" {
		t.Errorf("_embedded.leadSource = %v, want the lead source", embedded["leadSource"])
	}
	// The default organization of the key needs no segment.
	f.want(f.do(http.MethodGet, "/customers/cust-1", ""), http.StatusOK)
}

func TestPutReplacesTheWholeCustomer(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.want(f.put("a", full), http.StatusCreated)
	f.clock.Advance(time.Minute)
	got := f.want(f.put("a", `{"primaryAddress":{"firstName":"Updated"}}`), http.StatusOK)
	if got.header.Get("Location") != "" {
		t.Error("an update has a Location")
	}
	contact := got.body["primaryAddress"].(map[string]any)
	for name, want := range map[string]any{
		"locale": nil, "personId": nil, "preferredPayoutInstrumentId": nil, "websiteId": nil, "email": nil,
		"customFields": map[string]any{}, "taxNumbers": []any{}, "notificationEmails": []any{},
		"firstName": "Updated", "lastName": nil, "revision": 2.0,
		"createdTime": "2026-08-21T10:00:00Z", "updatedTime": "2026-08-21T10:01:00Z",
	} {
		if !reflect.DeepEqual(got.body[name], want) {
			t.Errorf("%s = %v, want %v", name, got.body[name], want)
		}
	}
	if contact["city"] != nil || len(contact["emails"].([]any)) != 0 {
		t.Errorf("primaryAddress = %v, want only the first name", contact)
	}
	expanded := f.do(http.MethodGet, customerURL+"a?expand=leadSource", "")
	if expanded.body["_embedded"] != nil {
		t.Errorf("_embedded = %v, want no lead source left", expanded.body["_embedded"])
	}
	// The same state again modifies nothing.
	f.clock.Advance(time.Minute)
	same := f.want(f.put("a", `{"primaryAddress":{"firstName":"Updated","lastName":null}}`), http.StatusOK)
	if same.body["revision"] != 2.0 || same.body["updatedTime"] != "2026-08-21T10:01:00Z" {
		t.Errorf("revision = %v, updatedTime = %v after an equal PUT", same.body["revision"], same.body["updatedTime"])
	}
}

func TestAnAnswerCanBeSentBack(t *testing.T) {
	t.Parallel()
	f := start(t, Options{KeepLeadSource: true})
	f.want(f.put("a", full), http.StatusCreated)
	read := f.want(f.do(http.MethodGet, customerURL+"a?expand=leadSource", ""), http.StatusOK)
	got := f.want(f.put("a", read.raw), http.StatusOK)
	if got.body["revision"] != 1.0 {
		t.Errorf("revision = %v, want 1: read-only members change nothing", got.body["revision"])
	}
}

func TestValidation(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	contact := func(members string) string { return `{"primaryAddress":{` + members + `}}` }
	tests := []struct {
		name   string
		body   string
		fields []string // nil: accepted
	}{
		{"empty object", `{}`, nil},
		{"null address", `{"primaryAddress":null}`, nil},
		{"longest first name", contact(`"firstName":"` + strings.Repeat("é", 45) + `"`), nil},
		{"first name too long", contact(`"firstName":"` + long(46) + `"`), []string{"primaryAddress.firstName"}},
		{"empty last name", contact(`"lastName":""`), []string{"primaryAddress.lastName"}},
		{"emoji", contact(`"city":"Wien 🎻"`), []string{"primaryAddress.city"}},
		{"organization too long", contact(`"organization":"` + long(256) + `"`), []string{"primaryAddress.organization"}},
		{"address too long", contact(`"address2":"` + long(61) + `"`), []string{"primaryAddress.address2"}},
		{"country name", contact(`"country":"United States"`), []string{"primaryAddress.country"}},
		{"lower-case country", contact(`"country":"us"`), []string{"primaryAddress.country"}},
		{"postal code too long", contact(`"postalCode":"12345678901"`), []string{"primaryAddress.postalCode"}},
		{"postal code charset", contact(`"postalCode":"1/2"`), []string{"primaryAddress.postalCode"}},
		{"no such day", contact(`"dob":"2023-02-29"`), []string{"primaryAddress.dob"}},
		{"unknown contact member", contact(`"state":"Texas"`), []string{"primaryAddress.state"}},
		{"email without label", contact(`"emails":[{"value":"a@example.com","primary":true}]`), []string{"primaryAddress.emails.0.label"}},
		{"email without primary", contact(`"emails":[{"label":"a","value":"a@example.com"}]`), []string{"primaryAddress.emails"}},
		{"two primaries", contact(`"emails":[{"label":"a","value":"a@example.com","primary":true},{"label":"b","value":"b@example.com","primary":true}]`), []string{"primaryAddress.emails"}},
		{"bad email", contact(`"emails":[{"label":"a","value":"Ben <a@example.com>","primary":true}]`), []string{"primaryAddress.emails.0.value"}},
		{"phone too long", contact(`"phoneNumbers":[{"label":"a","value":"` + long(51) + `"}]`), []string{"primaryAddress.phoneNumbers.0.value"}},
		{"contact is a list", `{"primaryAddress":[]}`, []string{"primaryAddress"}},
		{"unknown website", `{"websiteId":"web_none"}`, []string{"websiteId"}},
		{"undefined custom field", `{"customFields":{"color":"red"}}`, []string{"customFields.color"}},
		{"custom field key", `{"customFields":{"a b":"red"}}`, []string{"customFields.a b"}},
		{"custom field types", `{"customFields":{"vip":"yes","visits":2147483648,"score":"1","joined":"today","lastSeen":"2026-08-21","interests":[1],"credit":{"currency":"usd","amount":1},"segment":7}}`,
			[]string{"customFields.credit.currency", "customFields.interests.0", "customFields.joined", "customFields.lastSeen", "customFields.score", "customFields.segment", "customFields.vip", "customFields.visits"}},
		{"integer with a fraction", `{"customFields":{"visits":1.5}}`, []string{"customFields.visits"}},
		{"huge number", `{"customFields":{"score":1e999999}}`, []string{"customFields.score"}},
		{"value not allowed", `{"customFields":{"tier":"tin"}}`, []string{"customFields.tier"}},
		{"custom string too long", `{"customFields":{"segment":"` + long(256) + `"}}`, []string{"customFields.segment"}},
		{"custom fields null", `{"customFields":null}`, []string{"customFields"}},
		{"tax number", `{"taxNumbers":[{"type":"vat","value":"1"},{"value":""}]}`, []string{"taxNumbers.0.type", "taxNumbers.1.type", "taxNumbers.1.value"}},
		{"tax numbers null", `{"taxNumbers":null}`, nil},
		{"locale", `{"locale":"fr_FR"}`, []string{"locale"}},
		{"lead source", `{"leadSource":{"medium":"` + long(513) + `","referrer":"not a uri","colour":"red"}}`, []string{"leadSource.colour", "leadSource.medium", "leadSource.referrer"}},
		{"lead source null", `{"leadSource":null}`, []string{"leadSource"}},
		{"notification e-mail", `{"notificationEmails":["a@example.com","b"]}`, []string{"notificationEmails.1"}},
		{"person id too long", `{"personId":"` + long(51) + `"}`, []string{"personId"}},
		{"unknown payment token", `{"paymentToken":"nope"}`, []string{"paymentToken"}},
		{"unknown member", `{"isEddRequired":true}`, []string{"isEddRequired"}},
		{"read-only members", `{"email":7,"firstName":"x","revision":9,"defaultPaymentInstrument":{}}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{})
			got := f.put("a", tt.body)
			if tt.fields == nil {
				f.want(got, http.StatusCreated)
				return
			}
			f.want(got, http.StatusUnprocessableEntity)
			if fields := faultFields(got); !reflect.DeepEqual(fields, tt.fields) {
				t.Errorf("fields = %q, want %q", fields, tt.fields)
			}
			if got.body["status"] != 422.0 || got.body["type"] != "about:blank" {
				t.Errorf("body = %s, want a problem with status 422", got.raw)
			}
			if _, stored := f.s.Record("a"); stored {
				t.Error("a refused customer was stored")
			}
		})
	}
}

func TestLooserReadings(t *testing.T) {
	t.Parallel()
	f := start(t, Options{AllowUnknown: true, AllowSupplementary: true, AllowAnyPrimary: true})
	f.want(f.put("a", `{"colour":"red","primaryAddress":{"city":"Wien 🎻","emails":[{"label":"a","value":"a@example.com"}]}}`), http.StatusCreated)
	if got := f.do(http.MethodGet, customerURL+"a", ""); got.body["email"] != "a@example.com" {
		t.Errorf("email = %v, want the first", got.body["email"])
	}
}

func TestRequiredCustomField(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.s.DefineCustomField("ref", CustomField{Required: true, MaxLength: 3})
	for body, want := range map[string][]string{
		`{}`:                                {"customFields.ref"},
		`{"customFields":{"ref":"abcd"}}`:   {"customFields.ref"},
		`{"customFields":{"segment":"x"} }`: {"customFields.ref"},
	} {
		if got := faultFields(f.want(f.put("a", body), http.StatusUnprocessableEntity)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: fields = %q, want %q", body, got, want)
		}
	}
	f.want(f.put("a", `{"customFields":{"ref":"abc"}}`), http.StatusCreated)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		method string
		path   string
		body   string
		header []string
		status int
	}{
		{"no credentials", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", ""}, 401},
		{"wrong key", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", "nope"}, 401},
		{"two credentials", "PUT", customerURL + "a", "{}", []string{"Authorization", "Bearer x"}, 401},
		{"unknown token", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", "", "Authorization", "Bearer x"}, 401},
		{"basic", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", "", "Authorization", "Basic eDp5"}, 401},
		{"publishable key", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", "", "Authorization", PublishableKey}, 403},
		{"key that may only read", "PUT", customerURL + "a", "{}", []string{"REB-APIKEY", ReadOnlyKey}, 403},
		{"unknown organization", "PUT", "/organizations/other/customers/a", "{}", nil, 404},
		{"unknown path", "PUT", "/organizations/acme/people/a", "{}", nil, 404},
		{"id that climbs", "PUT", customerURL + "..", "{}", nil, 404},
		{"escaped id that climbs", "PUT", customerURL + "%2e%2E", "{}", nil, 404},
		{"id with a slash", "PUT", customerURL + "a%2Fb", "{}", nil, 422},
		{"id with a space", "PUT", customerURL + "a%20b", "{}", nil, 422},
		{"id too long", "PUT", customerURL + strings.Repeat("a", 51), "{}", nil, 422},
		{"unknown customer", "GET", customerURL + "a", "", nil, 404},
		{"method", "PATCH", customerURL + "a", "{}", nil, 405},
		{"content type", "PUT", customerURL + "a", "{}", []string{"Content-Type", "text/plain"}, 415},
		{"no content type", "PUT", customerURL + "a", "{}", []string{"Content-Type", ""}, 415},
		{"empty body", "PUT", customerURL + "a", "", nil, 400},
		{"cut off", "PUT", customerURL + "a", `{"a":`, nil, 400},
		{"two values", "PUT", customerURL + "a", `{}{}`, nil, 400},
		{"array", "PUT", customerURL + "a", `[]`, nil, 400},
		{"null", "PUT", customerURL + "a", `null`, nil, 400},
		{"not UTF-8", "PUT", customerURL + "a", "{\"locale\":\"\xff\"}", nil, 400},
		{"too deep", "PUT", customerURL + "a", strings.Repeat("[", 100_000), nil, 400},
		{"too large", "PUT", customerURL + "a", strings.Repeat(" ", maxBody+1), nil, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{})
			got := f.want(f.do(tt.method, tt.path, tt.body, tt.header...), tt.status)
			if got.header.Get("Content-Type") != "application/json" || got.body["status"] != float64(tt.status) || got.body["title"] == "" {
				t.Errorf("answer = %s %s, want a problem", got.header.Get("Content-Type"), got.raw)
			}
			if len(f.s.Records()) != 0 {
				t.Error("a refused request stored something")
			}
		})
	}
}

func TestKeysAndTokens(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.want(f.put("a", "{}", "reb-apikey", APIKey), http.StatusCreated)
	f.want(f.do(http.MethodGet, customerURL+"a", "", "REB-APIKEY", ReadOnlyKey), http.StatusOK)
	token := f.s.IssueJWT(time.Hour)
	bearer := []string{"REB-APIKEY", "", "Authorization", "Bearer " + token}
	f.want(f.put("a", "{}", bearer...), http.StatusOK)
	f.clock.Advance(time.Hour)
	f.want(f.put("a", "{}", bearer...), http.StatusUnauthorized)
	bearer[3] = "Bearer " + f.s.IssueJWT(time.Hour)
	f.want(f.put("a", "{}", bearer...), http.StatusOK)
	f.s.ExpireJWTs()
	f.want(f.put("a", "{}", bearer...), http.StatusUnauthorized)
	status := f.want(f.do(http.MethodGet, "/status", "", "REB-APIKEY", ""), http.StatusOK)
	if status.body["status"] != "ok" {
		t.Errorf("status = %s, want ok", status.raw)
	}
}

func TestAddressNotAllowed(t *testing.T) {
	t.Parallel()
	elsewhere := start(t, Options{AllowedIPs: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	elsewhere.want(elsewhere.put("a", "{}"), http.StatusUnauthorized)
	here := start(t, Options{AllowedIPs: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	here.want(here.put("a", "{}"), http.StatusCreated)
}

func TestPaymentTokenWorksOnce(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	token := f.s.IssuePaymentToken()
	body := fmt.Sprintf(`{"paymentToken":%q}`, token)
	// A refused request does not use the token up.
	f.want(f.put("a", fmt.Sprintf(`{"paymentToken":%q,"locale":"?"}`, token)), http.StatusUnprocessableEntity)
	got := f.want(f.put("a", body), http.StatusCreated)
	if got.body["defaultPaymentInstrument"] == nil || got.body["paymentToken"] != nil {
		t.Errorf("body = %s, want an instrument and no token", got.raw)
	}
	again := f.want(f.put("a", body), http.StatusUnprocessableEntity)
	if fields := faultFields(again); !reflect.DeepEqual(fields, []string{"paymentToken"}) {
		t.Errorf("fields = %q, want paymentToken", fields)
	}
	late := f.s.IssuePaymentToken()
	f.clock.Advance(30 * time.Minute)
	f.want(f.put("a", fmt.Sprintf(`{"paymentToken":%q}`, late)), http.StatusUnprocessableEntity)
	if kept := f.want(f.put("a", "{}"), http.StatusOK); kept.body["defaultPaymentInstrument"] == nil {
		t.Error("the default instrument went away")
	}
}

func TestErrorShapes(t *testing.T) {
	t.Parallel()
	const bad = `{"taxNumbers":[{"type":"x","value":"1"}]}`
	const message = "taxNumbers.0.type must be one of eu-vat, other"
	tests := []struct {
		name  string
		shape ErrorShape
		want  string
	}{
		{"current", ErrorsCurrent, `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The given data was invalid","instance":"urn:emulator:request:1","invalidFields":[{"field":"taxNumbers.0.type","message":"` + message + `"}]}`},
		{"2019", Errors2019, `{"status":422,"error":"The given data was invalid","details":["` + message + `"],"invalidFields":[{"field":"taxNumbers.0.type","message":"` + message + `"}]}`},
		{"before 2019", ErrorsBefore2019, `{"invalidFields":{"taxNumbers.0.type":[{"message":"` + message + `"}]},"details":["` + message + `"]}`},
		{"fieldless", ErrorsFieldless, `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The given data was invalid","instance":"urn:emulator:request:1"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{Errors: tt.shape})
			got := f.want(f.put("a", bad), http.StatusUnprocessableEntity)
			var want map[string]any
			if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.body, want) {
				t.Errorf("body = %s, want %s", got.raw, tt.want)
			}
		})
	}
	t.Run("unreadable", func(t *testing.T) {
		t.Parallel()
		f := start(t, Options{})
		f.s.SetErrors(ErrorsUnreadable)
		if got := f.want(f.put("a", bad), http.StatusUnprocessableEntity); got.body != nil {
			t.Errorf("body = %s, want no JSON", got.raw)
		}
	})
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	tests := []struct {
		shape  ErrorShape
		header string
		want   string
	}{
		{ErrorsCurrent, "X-RateLimit-Retry-After", "1787307000"}, // 2026-08-21T10:10:00Z
		{Errors2019, "Rate-Limit-Reset", "Fri, 21 Aug 2026 10:10:00 +0000"},
		{ErrorsBefore2019, "Retry-After", "2026-08-21 10:10:00"},
	}
	for _, tt := range tests {
		t.Run(tt.header, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{Limit: 2, Errors: tt.shape})
			f.want(f.put("a", "{}"), http.StatusCreated)
			last := f.want(f.put("b", "{}"), http.StatusCreated)
			if got := last.header.Get("X-RateLimit-Remaining"); got != "0" {
				t.Errorf("X-RateLimit-Remaining = %s, want 0", got)
			}
			f.clock.Advance(time.Minute)
			got := f.want(f.put("c", "{}"), http.StatusTooManyRequests)
			if got.header.Get(tt.header) != tt.want {
				t.Errorf("%s = %q, want %q", tt.header, got.header.Get(tt.header), tt.want)
			}
			f.want(f.do(http.MethodGet, customerURL+"a", ""), http.StatusOK) // reading is free
			f.clock.Advance(9 * time.Minute)
			f.want(f.put("c", "{}"), http.StatusCreated)
		})
	}
}

func TestQuotaOfTheServerRoundsUp(t *testing.T) {
	t.Parallel()
	c := emulator.NewClock(began)
	c.Advance(300 * time.Millisecond)
	server := httptest.NewServer(emulator.NewServer(New(Options{Now: c.Now}), emulator.Options{Quota: 1, Now: c.Now}))
	t.Cleanup(server.Close)
	f := &fixture{t: t, clock: c, url: server.URL}
	f.want(f.put("a", "{}"), http.StatusCreated)
	got := f.want(f.put("a", "{}"), http.StatusTooManyRequests)
	if got.header.Get("X-RateLimit-Retry-After") != "1787306402" { // 10:00:01.3 and up
		t.Errorf("X-RateLimit-Retry-After = %s, want the next whole second", got.header.Get("X-RateLimit-Retry-After"))
	}
	if got.body["title"] != "Rate Limit Exceeded" {
		t.Errorf("title = %v", got.body["title"])
	}
}

func TestMergedCustomer(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.want(f.put("old", "{}"), http.StatusCreated)
	f.want(f.do(http.MethodDelete, customerURL+"old?targetCustomerId=keep", ""), http.StatusUnprocessableEntity)
	f.want(f.put("keep", "{}"), http.StatusCreated)
	f.want(f.do(http.MethodDelete, customerURL+"old?targetCustomerId=keep", ""), http.StatusNoContent)
	f.want(f.do(http.MethodGet, customerURL+"old", ""), http.StatusNotFound)
	got := f.want(f.put("old", "{}"), http.StatusConflict)
	if got.body["detail"] != "[customerId] is already used for another customer." {
		t.Errorf("detail = %v", got.body["detail"])
	}
	if list := f.s.Records(); len(list) != 1 || list[0].ID != "keep" {
		t.Errorf("records = %v, want keep alone", list)
	}
	loose := start(t, Options{AllowMerged: true})
	loose.put("old", "{}")
	loose.put("keep", "{}")
	loose.want(loose.do(http.MethodDelete, customerURL+"old?targetCustomerId=keep", ""), http.StatusNoContent)
	loose.want(loose.put("old", "{}"), http.StatusCreated)
}

func TestSeedAndRecord(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	if err := s.Seed("a", full); err != nil {
		t.Fatal(err)
	}
	if err := s.Seed("b", `{"locale":7}`); err == nil {
		t.Error("a seed that breaks rules was taken")
	}
	rec, ok := s.Record("a")
	if !ok || rec.ID != "a" || rec.Key != "a" {
		t.Fatalf("Record = %+v, %t", rec, ok)
	}
	for _, want := range []string{`"leadSource":{"medium":"search"`, `"ben@example.com"`} {
		if !strings.Contains(string(rec.Document), want) {
			t.Errorf("document lacks %s: %s", want, rec.Document)
		}
	}
	if _, ok := s.Record("b"); ok {
		t.Error("Record found a customer that does not exist")
	}
}

func TestRouteReachesTheEmulator(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	route := f.s.Route()
	body := fmt.Sprintf(`{"websiteId":%q}`, route.Settings["website_id"])
	f.want(f.do(http.MethodPut, route.BasePath+"/customers/a", body, "REB-APIKEY", route.Credentials["api_key"]), http.StatusCreated)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	token := f.s.IssuePaymentToken()
	var wg sync.WaitGroup
	statuses := make([]int, 40)
	for i := range statuses {
		wg.Go(func() {
			statuses[i] = f.put(fmt.Sprintf("c%d", i%4), fmt.Sprintf(`{"paymentToken":%q}`, token)).status
			f.do(http.MethodGet, customerURL+"c0", "")
			f.s.Records()
			f.s.SetErrors(ErrorsCurrent)
			f.s.DefineCustomField("n", CustomField{Type: FieldInteger})
		})
	}
	wg.Wait()
	used := 0
	for _, status := range statuses {
		if status == http.StatusCreated {
			used++
		}
	}
	if used != 1 {
		t.Errorf("the payment token worked %d times, want once", used)
	}
}

func FuzzPut(f *testing.F) {
	f.Add("a", full)
	f.Add("..", `{"primaryAddress":{"emails":[null,7,{}]}}`)
	f.Add("a b", `{"taxNumbers":[null],"customFields":{"credit":null,"interests":{}}}`)
	f.Fuzz(func(t *testing.T, id, body string) {
		s := New(Options{})
		doc, err := decodeObject([]byte(body))
		if err != nil {
			return
		}
		rec, p := s.upsert(id, doc, len(body))
		if (rec == nil) == (p == nil) {
			t.Fatalf("record = %v, problem = %v: want exactly one", rec, p)
		}
		if rec != nil && !json.Valid(rec.record().Document) {
			t.Error("a stored customer is not valid JSON")
		}
	})
}
