package rebilly

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/provider"
	"customer-gateway/adapters/rebilly/sandbox"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

const website = "web_0YV7DE4Z26DQSA1AC92FBJ7SEG"

func suite() adaptertest.Case {
	return adaptertest.Case{Adapters: []adaptertest.Setup{
		{Adapter: New(Config{WebsiteID: website})},
		{Name: "exclusive", Adapter: New(Config{WebsiteID: website, Exclusive: true})},
		{Name: "settings", Adapter: New(Config{
			EmailLabel: "private", PhoneLabel: "private", AddressTypes: []string{"shipping", "billing"},
			CustomFields: []string{"segment", "vip"}, CustomFieldMax: 4000, Supplementary: true, Exclusive: true,
		})},
	}}
}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite()) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite()) }

// upsert decodes a customer and wraps it for the route "rebilly-eu".
func upsert(t *testing.T, id, customer string) canonical.Upsert {
	t.Helper()
	return adaptertest.Upsert(adaptertest.Decode(t, id, []byte(customer)), "rebilly-eu", name, "")
}

// pointers lists where the fields of an error point, with their codes.
func pointers(err error) []string {
	var all []string
	for _, f := range canonical.AsError(err).Fields {
		all = append(all, f.Pointer+" "+string(f.Code))
	}
	return all
}

func TestTranslateRefuses(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for _, tt := range []struct {
		name, id, customer string
		want               []string
	}{
		{"dot", ".", `{}`, []string{"/id invalid"}},
		{"two dots", "..", `{}`, []string{"/id invalid"}},
		{"slash", "a/b", `{}`, []string{"/id invalid"}},
		{"space", "a b", `{}`, []string{"/id invalid"}},
		{"plus", "a+b", `{}`, []string{"/id invalid"}},
		{"colon", "a:b", `{}`, []string{"/id invalid"}},
		{"not ASCII", "ä", `{}`, []string{"/id invalid"}},
		{"long id", long(51), `{}`, []string{"/id too_long"}},
		{"known id", "c", `{"externalIds": {"rebilly-eu": "a/b"}}`, []string{"/externalIds/rebilly-eu invalid"}},
		{"names", "c", `{"name": {"givenName": "` + long(46) + `", "familyName": "` + long(46) + `"}}`, []string{"/name/givenName too_long", "/name/familyName too_long"}},
		{"emoji", "c", `{"jobTitle": "🎉", "organization": {"name": "🎉"}}`, []string{"/organization/name invalid", "/jobTitle invalid"}},
		{"email", "c", `{"emails": [{"value": "a@b.c"}, {"value": "a@` + strings.Repeat("abcdefgh.", 28) + `com"}]}`, []string{"/emails/1/value too_long"}},
		{"address", "c", `{"addresses": [{"lines": ["` + long(61) + `", "` + long(61) + `"], "city": "` + long(46) + `", "region": "` + long(46) + `", "postalCode": "12345678901"}]}`,
			[]string{"/addresses/0/lines/0 too_long", "/addresses/0/lines/1 too_long", "/addresses/0/city too_long", "/addresses/0/region too_long", "/addresses/0/postalCode too_long"}},
		{"joined lines", "c", `{"addresses": [{"lines": ["a", "` + long(40) + `", "` + long(40) + `"]}]}`, []string{"/addresses/0/lines too_long"}},
		{"company of the address", "c", `{"addresses": [{"company": "🎉"}]}`, []string{"/addresses/0/company invalid"}},
		{"custom fields", "c", `{"attributes": {"a b": 1, "` + long(61) + `": 1, "long": "` + long(256) + `", "list": [1], "texts": ["` + long(256) + `"]}}`,
			[]string{"/attributes/a b invalid", "/attributes/" + long(61) + " invalid", "/attributes/long too_long", "/attributes/list unsupported", "/attributes/texts unsupported"}},
		{"read-only data", "c", `{"providerData": {"rebilly": {"email": "x", "id": "y", "paymentToken": "t"}, "rebilly-eu": {"defaultPaymentInstrument": {}, "primaryAddress": {"hash": "h"}}, "other": {"id": "z"}}}`,
			[]string{"/providerData/rebilly/email unsupported", "/providerData/rebilly/id unsupported", "/providerData/rebilly-eu/defaultPaymentInstrument unsupported", "/providerData/rebilly-eu/primaryAddress/hash unsupported"}},
		{"all at once", "a/b", `{"jobTitle": "🎉", "providerData": {"rebilly": {"tags": []}}}`, []string{"/id invalid", "/providerData/rebilly/tags unsupported", "/jobTitle invalid"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, _, err := New(Config{}).Translate(upsert(t, tt.id, tt.customer))
			if req != nil || err == nil {
				t.Fatalf("Translate = %v, %v; want a refusal", req, err)
			}
			if code := canonical.AsError(err).Code; code != canonical.MappingUnrepresentable {
				t.Errorf("code = %s, want %s", code, canonical.MappingUnrepresentable)
			}
			if got := pointers(err); !slices.Equal(got, tt.want) {
				t.Errorf("fields = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTranslateBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, customer, want string
		notices              []string
	}{
		{"nothing", `{}`, `{}`, nil},
		{"address company", `{"addresses": [{"company": "Acme", "primary": true}]}`, `{"primaryAddress":{"organization":"Acme"}}`, nil},
		{"address company beside an organization", `{"organization": {"name": "Acme"}, "addresses": [{"company": "Sky"}]}`,
			`{"primaryAddress":{"organization":"Acme"}}`, []string{"dropped /addresses"}},
		{"second address", `{"addresses": [{"city": "A"}, {"city": "B", "primary": true}]}`, `{"primaryAddress":{"city":"B"}}`, []string{"dropped /addresses/0"}},
		{"delivery number that is sent anyway", `{"phoneNumbers": [{"value": "+14155550100", "type": "work"}], "addresses": [{"phoneNumber": "+14155550100"}]}`,
			`{"primaryAddress":{"phoneNumbers":[{"value":"+14155550100","label":"work","primary":true}]}}`, nil},
		{"nulls inside", `{"name": null, "emails": [{"value": "a@b.co", "type": null, "primary": null}], "addresses": [{"lines": null, "city": null}]}`,
			`{"primaryAddress":{"firstName":null,"lastName":null,"address":null,"address2":null,"city":null,"emails":[{"value":"a@b.co","label":"main","primary":true}]}}`,
			[]string{"defaulted /emails/0/type"}},
		{"nulls", `{"emails": null, "phoneNumbers": [], "attributes": {}, "taxIds": null, "leadSource": null}`,
			`{"primaryAddress":{"emails":[],"phoneNumbers":[]},"customFields":{},"taxNumbers":null,"leadSource":{"medium":null,"source":null,"campaign":null,"term":null,"content":null,"affiliate":null,"subAffiliate":null,"salesAgent":null,"clickId":null,"path":null,"referrer":null}}`, nil},
		{"what Rebilly lacks has nothing to clear", `{"gender": null, "consents": [], "note": null}`, `{}`, nil},
		{"custom fields", `{"attributes": {"a": null, "b": [], "c": ["x"], "d": false}}`, `{"customFields":{"b":[],"c":["x"],"d":false}}`, nil},
		{"tax numbers", `{"taxIds": [{"value": "1"}, {"type": "us_ein", "value": "2"}, {"type": "eu_vat", "value": "DE1", "country": "DE"}, {"type": "eu_vat", "value": "1", "country": "FR", "primary": false}]}`,
			`{"taxNumbers":[{"type":"other","value":"1"},{"type":"other","value":"2"},{"type":"eu-vat","value":"DE1"},{"type":"eu-vat","value":"1","isDefault":false}]}`,
			[]string{"defaulted /taxIds/0/type", "changed /taxIds/1/type", "dropped /taxIds/3/country"}},
		{"providerData", `{"name": {"givenName": "A"}, "attributes": {"x": 1}, "providerData": {"rebilly": {"personId": "p", "primaryAddress": {"firstName": "B", "lastName": "C"}}, "rebilly-eu": {"personId": "q", "customFields": {"m": {"currency": "EUR", "amount": 1.5}}, "newMember": null}}}`,
			`{"primaryAddress":{"firstName":"B","lastName":"C"},"customFields":{"x":1,"m":{"currency":"EUR","amount":1.5}},"personId":"q","newMember":null}`, nil},
		{"middle name", `{"name": {"formatted": "Kim A. Lee", "givenName": "Kim", "familyName": "Lee"}}`, `{"primaryAddress":{"firstName":"Kim","lastName":"Lee"}}`, []string{"dropped /name/formatted"}},
		{"formatted says no more", `{"name": {"formatted": "Lee, Kim", "givenName": "Kim", "familyName": "Lee"}}`, `{"primaryAddress":{"firstName":"Kim","lastName":"Lee"}}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, notices, err := New(Config{Exclusive: true}).Translate(upsert(t, "c", tt.customer))
			if err != nil {
				t.Fatalf("Translate: %v %v", err, pointers(err))
			}
			if got := string(req.Body); got != tt.want {
				t.Errorf("body = %s\nwant   %s", got, tt.want)
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

func TestAddressTypes(t *testing.T) {
	t.Parallel()
	const customer = `{"addresses": [{"type": "shipping", "city": "S", "primary": true}, {"type": "billing", "city": "B"}, {"type": ["billing", "home"], "city": "H"}]}`
	for _, tt := range []struct {
		types      []string
		city, kept string
	}{
		{nil, "S", "S"},
		{[]string{"billing"}, "B", "B"},
		{[]string{"work", "home"}, "H", "H"},
		{[]string{"work"}, "", "Old"}, // none feeds it: what is there stays
	} {
		a, u := New(Config{AddressTypes: tt.types, Exclusive: true}), upsert(t, "c", customer)
		req, _, err := a.Translate(u)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := canonical.Parse(req.Body)
		if got := body.Get("primaryAddress", "city").Str(); got != tt.city {
			t.Errorf("%v: city = %q, want %q", tt.types, got, tt.city)
		}
		a.config.Exclusive = false
		out := reply(t, a, u, 200, `{"id": "c", "primaryAddress": {"city": "Old", "postalCode": "1", "firstName": "F"}, "locale": "fr"}`)
		if tt.city == "" {
			if out.Action != canonical.ActionNone || out.Next != nil {
				t.Errorf("%v: Outcome = %+v, want nothing to change", tt.types, out)
			}
			continue
		}
		body, _ = canonical.Parse(out.Next.Body)
		contact := body.Get("primaryAddress")
		if contact.Get("city").Str() != tt.kept || contact.Has("postalCode") || contact.Get("firstName").Str() != "F" || body.Get("locale").Str() != "fr" {
			t.Errorf("%v: body = %s, want the old address replaced as a unit and the rest kept", tt.types, out.Next.Body)
		}
	}
}

// reply answers the first request of u.
func reply(t *testing.T, a *Adapter, u canonical.Upsert, status int, body string) canonical.Outcome {
	t.Helper()
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatalf("Translate: %v %v", err, pointers(err))
	}
	out, err := a.Interpret(u, req, &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)})
	if err != nil {
		t.Fatalf("Interpret: %v", err)
	}
	return out
}

func TestPaymentTokenIsNeverRepeated(t *testing.T) {
	t.Parallel()
	const record = `{"id": "c", "primaryAddress": {"firstName": "A"}}`
	for data, want := range map[string]bool{`{}`: true, `{"paymentToken": null}`: true, `{"paymentToken": "tok_1"}`: false, `{"paymentToken": 5}`: false} {
		u := upsert(t, "c", `{"name": {"givenName": "B"}, "providerData": {"rebilly": `+data+`}}`)
		req, _, err := New(Config{Exclusive: true}).Translate(u)
		if err != nil || req.Repeatable != want {
			t.Errorf("%s: exclusive: Repeatable = %v, %v; want %v", data, req.Repeatable, err, want)
		}
		for status, body := range map[int]string{200: record, 404: `{}`} {
			if out := reply(t, New(Config{}), u, status, body); out.Next.Repeatable != want {
				t.Errorf("%s: after %d: Repeatable = %v, want %v", data, status, out.Next.Repeatable, want)
			}
		}
	}
}

func TestUnchangedWritesNothing(t *testing.T) {
	t.Parallel()
	const record = `{"id": "c", "locale": "fr", "customFields": {"a": 1, "off": false}, "taxNumbers": [{"type": "other", "value": "1", "isDefault": false, "isValid": true}],
		"primaryAddress": {"firstName": "A", "emails": [{"label": "main", "value": "a@b.co", "primary": true}]}, "_embedded": {"leadSource": {"medium": "m", "path": null}}}`
	for customer, same := range map[string]bool{
		`{}`:                                                   true,
		`{"locale": "fr"}`:                                     true,
		`{"locale": "de"}`:                                     false,
		`{"locale": null}`:                                     false,
		`{"jobTitle": null, "addresses": []}`:                  true,
		`{"attributes": {"a": 1}}`:                             true,
		`{"attributes": {"a": "1"}}`:                           false,
		`{"attributes": {"off": true}}`:                        false,
		`{"attributes": {"b": null}}`:                          true,
		`{"attributes": {"a": null}}`:                          false,
		`{"attributes": {}}`:                                   false,
		`{"emails": [{"value": "a@b.co"}]}`:                    true,
		`{"emails": [{"value": "a@b.com"}]}`:                   false,
		`{"emails": []}`:                                       false,
		`{"taxIds": [{"value": "1"}]}`:                         true,
		`{"leadSource": {"medium": "m"}}`:                      true,
		`{"leadSource": null}`:                                 false,
		`{"leadSource": {"path": null}}`:                       true,
		`{"providerData": {"rebilly": {"paymentToken": "t"}}}`: false,
	} {
		out := reply(t, New(Config{}), upsert(t, "c", customer), 200, record)
		if got := out.Next == nil; got != same || same && (out.Action != canonical.ActionNone || out.RemoteID != "c") {
			t.Errorf("%s: Outcome = %+v, want unchanged %v", customer, out, same)
		}
	}
}

func TestCarriedOverEmptyTextsAreNotResent(t *testing.T) {
	t.Parallel()
	out := reply(t, New(Config{}), upsert(t, "c", `{"locale": "de"}`), 200,
		`{"id": "c", "personId": "", "primaryAddress": {"firstName": "", "city": "A", "hash": "h"}, "customFields": "odd", "taxNumbers": {"odd": 1}, "_embedded": 7}`)
	if got, want := string(out.Next.Body), `{"primaryAddress":{"city":"A"},"locale":"de"}`; got != want {
		t.Errorf("body = %s, want %s", got, want)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	moment := time.Unix(1713187500, 0).UTC()
	for _, tt := range []struct {
		header map[string]string
		at     time.Time
		after  time.Duration
	}{
		{nil, time.Time{}, 0},
		{map[string]string{"X-RateLimit-Retry-After": "1713187500"}, moment, 0},
		{map[string]string{"x-ratelimit-retry-after": "1713187500", "Retry-After": "5"}, moment, 0},
		{map[string]string{"X-RateLimit-Retry-After": "60"}, time.Time{}, time.Minute},
		{map[string]string{"X-RateLimit-Retry-After": "soon", "Retry-After": "5"}, time.Time{}, 5 * time.Second},
		{map[string]string{"X-RateLimit-Retry-After": "-5", "Retry-After": "1713187500000"}, moment, 0},
		{map[string]string{"Retry-After": "99999999999999999999"}, time.Time{}, 0},
		{map[string]string{"Retry-After": "Mon, 15 Apr 2024 13:25:00 GMT"}, moment, 0},
		{map[string]string{"Retry-After": "2024-04-15 13:25:00"}, moment, 0},
		{map[string]string{"Retry-After": "2024-04-15T15:25:00+02:00"}, moment, 0},
		{map[string]string{"Rate-Limit-Reset": "Mon, 15 Apr 24 13:25:00 GMT"}, moment, 0},
		{map[string]string{"X-Rate-Limit-Reset": "Mon, 15 Apr 2024 13:25:00 +0000"}, moment, 0},
		{map[string]string{"X-Rate-Limit-Reset": "15 Apr 24 13:25 UTC"}, moment, 0},
	} {
		h := http.Header{}
		for key, value := range tt.header {
			h.Set(key, value)
		}
		if at, after := wait(h); !at.Equal(tt.at) || after != tt.after {
			t.Errorf("wait(%v) = %v, %v; want %v, %v", tt.header, at, after, tt.at, tt.after)
		}
	}
}

func TestErrorsHoldNoCredential(t *testing.T) {
	t.Parallel()
	a, u := New(Config{}), upsert(t, "c", `{}`)
	req, _, _ := a.Translate(u)
	for _, secret := range []string{"sk_live_abcDEF123-_", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"} {
		_, err := a.Interpret(u, req, &canonical.Reply{Status: 401, Body: []byte(`{"detail": "The key ` + secret + ` is unknown"}`)})
		if e := canonical.AsError(err); e.Message != "The key *** is unknown" {
			t.Errorf("Message = %q, want the credential masked", e.Message)
		}
	}
}

func TestComplaintsAboutProviderDataAndCarriedOver(t *testing.T) {
	t.Parallel()
	a := New(Config{})
	u := upsert(t, "c", `{"emails": [{"value": "a@b.co"}, {"value": "c@d.co", "primary": true}], "providerData": {"rebilly": {"personId": "p", "customFields": {"m": {"currency": "X"}}}}}`)
	next := reply(t, a, u, 200, `{"id": "c", "locale": "fr", "primaryAddress": {"postalCode": "1/2"}, "customFields": {"old": 1}}`).Next
	_, err := a.Interpret(u, next, &canonical.Reply{Status: 422, Body: []byte(`{"invalidFields": [
		{"field": "personId", "message": "a"}, {"field": "customFields.m.currency", "message": "b"}, {"field": "email", "message": "c"},
		{"field": "primaryAddress.postalCode", "message": "d"}, {"field": "customFields.old", "message": ["e", "f"]}, {"field": 7}]}`)})
	want := []string{"/providerData/rebilly/personId", "/providerData/rebilly/customFields/m/currency", "/emails/1/value", "/addresses", "/attributes/old", "/attributes/old"}
	var got []string
	for _, f := range canonical.AsError(err).Fields {
		got = append(got, f.Pointer)
	}
	if !slices.Equal(got, want) {
		t.Errorf("pointers = %q, want %q", got, want)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	const live, emulated = "https://api.rebilly.com/organizations/acme", "http://127.0.0.1:1/organizations/acme"
	key := func(s canonical.Secret) map[string]canonical.Secret { return map[string]canonical.Secret{"api_key": s} }
	for _, tt := range []struct {
		name, base  string
		credentials map[string]canonical.Secret
		settings    map[string]any
		faults      []string
	}{
		{"live", live, key("sk_live_x"), nil, nil},
		{"default organization", "https://api-sandbox.rebilly.com", key("sk_sandbox_x"), nil, nil},
		{"emulated", emulated, key("anything"), map[string]any{"website_id": website, "custom_fields": []any{}, "address_types": []any{"billing"}}, nil},
		{"proxied", "https://proxy.example.com/rebilly/organizations/acme", map[string]canonical.Secret{"jwt": "eyJ.a.b"}, nil, nil},
		{"no credential", live, nil, nil, []string{"credentials"}},
		{"both", live, map[string]canonical.Secret{"api_key": "sk_live_x", "jwt": "y"}, nil, []string{"credentials"}},
		{"publishable", live, key("pk_live_x"), nil, []string{"credentials.api_key"}},
		{"sandbox key, live host", live, key("sk_sandbox_x"), nil, []string{"credentials.api_key"}},
		{"live key, sandbox host", "https://api-sandbox.rebilly.com/organizations/acme", key("sk_live_x"), nil, []string{"credentials.api_key"}},
		{"bearer", live, map[string]canonical.Secret{"jwt": "Bearer x"}, nil, []string{"credentials.jwt"}},
		{"customers", live + "/customers", key("sk_live_x"), nil, []string{"base_url"}},
		{"no id", "https://api.rebilly.com/organizations", key("sk_live_x"), nil, []string{"base_url"}},
		{"odd id", "https://api.rebilly.com/organizations/a+b", key("sk_live_x"), nil, []string{"base_url"}},
		{"version", "https://api.rebilly.com/v2.1/organizations/acme", key("sk_live_x"), nil, []string{"base_url"}},
		{"other path", "https://api.rebilly.com/experimental", key("sk_live_x"), nil, []string{"base_url"}},
		{"in the clear", "http://api.rebilly.com/organizations/acme", key("sk_live_x"), nil, []string{"base_url"}},
		{"everything", live + "/customers", key("pk_live_x"), map[string]any{
			"website_id": "a b", "email_label": strings.Repeat("x", 46), "address_types": []any{"office"}, "custom_fields": []any{"a b"}, "custom_field_max": 4001, "exclusive": true,
		}, []string{"base_url", "credentials.api_key", "settings.address_types", "settings.custom_field_max", "settings.custom_fields", "settings.email_label", "settings.exclusive", "settings.website_id"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, err := url.Parse(tt.base)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(provider.Options{BaseURL: base, Settings: tt.settings, Credentials: tt.credentials})
			var faults section.Faults
			if errors.As(err, &faults) != (tt.faults != nil) {
				t.Fatalf("Open = %v, want faults %v", err, tt.faults)
			}
			var got []string
			for _, f := range faults {
				got = append(got, f.Key)
			}
			if !slices.Equal(got, tt.faults) {
				t.Errorf("faults = %v, want %q", err, tt.faults)
			}
			for _, secret := range tt.credentials {
				if err != nil && strings.Contains(err.Error(), secret.Reveal()) && len(secret) > 1 {
					t.Errorf("a fault quotes the credential: %v", err)
				}
			}
		})
	}
}

// route is a route to the emulator, driven by hand.
type route struct {
	t       *testing.T
	sandbox *sandbox.Sandbox
	opened  provider.Opened
	base    string
	sent    []*canonical.Request
}

func openRoute(t *testing.T, exclusive bool, opts sandbox.Options) *route {
	t.Helper()
	s := sandbox.New(opts)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	r := s.Route()
	base, err := url.Parse(server.URL + r.BasePath)
	if err != nil {
		t.Fatal(err)
	}
	credentials := map[string]canonical.Secret{}
	for key, value := range r.Credentials {
		credentials[key] = canonical.Secret(value)
	}
	opened, err := Open(provider.Options{BaseURL: base, Exclusive: exclusive, Settings: r.Settings, Credentials: credentials})
	if err != nil {
		t.Fatal(err)
	}
	return &route{t: t, sandbox: s, opened: opened, base: base.String()}
}

// upsert runs one upsert to its end.
func (r *route) upsert(id, customer string) (canonical.Outcome, error) {
	r.t.Helper()
	return r.follow(upsert(r.t, id, customer))
}

// follow plays the requests and replies of one upsert.
func (r *route) follow(u canonical.Upsert) (canonical.Outcome, error) {
	r.t.Helper()
	req, _, err := r.opened.Adapter.Translate(u)
	if err != nil {
		r.t.Fatalf("Translate: %v %v", err, pointers(err))
	}
	for r.sent = nil; ; {
		r.sent = append(r.sent, req)
		out, err := r.opened.Adapter.Interpret(u, req, r.send(req))
		if err != nil || out.Next == nil {
			return out, err
		}
		req = out.Next
	}
}

func (r *route) send(req *canonical.Request) *canonical.Reply {
	r.t.Helper()
	hr, err := http.NewRequest(req.Method, r.base+req.Path, bytes.NewReader(req.Body))
	if err != nil {
		r.t.Fatal(err)
	}
	hr.Header = maps.Clone(req.Header)
	for key, value := range r.opened.Auth.Header {
		hr.Header.Set(key, value.Reveal())
	}
	resp, err := http.DefaultClient.Do(hr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return &canonical.Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// holds returns a member of what the emulator has of customer id.
func (r *route) holds(id string, path ...string) string {
	r.t.Helper()
	rec, ok := r.sandbox.Record(id)
	if !ok {
		r.t.Fatalf("the emulator has no customer %s", id)
	}
	v, err := canonical.Parse(rec.Document)
	if err != nil {
		r.t.Fatal(err)
	}
	v = v.Get(path...)
	if v.Kind() == canonical.KindArray || v.Kind() == canonical.KindObject {
		return string(v.Encode())
	}
	return v.Str()
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	r := openRoute(t, false, sandbox.Options{})
	step := func(customer string, want canonical.Action, requests int) {
		t.Helper()
		out, err := r.upsert("cust-1", customer)
		if err != nil {
			t.Fatalf("upsert: %v %s %v", err, canonical.AsError(err).Message, pointers(err))
		}
		if out.Action != want || out.RemoteID != "cust-1" || len(r.sent) != requests {
			t.Errorf("action %q, remote id %q after %d requests; want %q, cust-1, %d", out.Action, out.RemoteID, len(r.sent), want, requests)
		}
	}
	const first = `{"name": {"givenName": "Kim", "familyName": "Lee"}, "emails": [{"value": "kim@example.com"}], "jobTitle": "Clerk",
		"addresses": [{"lines": ["1 Road"], "city": "Berlin", "postalCode": "10117", "country": "DE"}], "attributes": {"segment": "gold", "visits": 3},
		"leadSource": {"medium": "search"}, "providerData": {"rebilly": {"notificationEmails": ["n@example.com"]}}}`
	step(first, canonical.ActionCreated, 2)
	step(first, canonical.ActionNone, 1)
	step(`{"name": {"familyName": "Li"}, "addresses": [{"city": "Bonn"}], "attributes": {"visits": null, "vip": true}}`, canonical.ActionUpdated, 2)
	for path, want := range map[string]string{
		"primaryAddress.firstName": "Kim", "primaryAddress.lastName": "Li", "primaryAddress.jobTitle": "Clerk",
		"primaryAddress.city": "Bonn", "primaryAddress.postalCode": "", "primaryAddress.address": "",
		"customFields.segment": "gold", "customFields.visits": "", "customFields.vip": "true",
		"email": "kim@example.com", "notificationEmails": `["n@example.com"]`, "websiteId": sandbox.Website, "revision": "2",
	} {
		if got := r.holds("cust-1", strings.Split(path, ".")...); got != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	out, err := r.upsert("cust-1", `{"leadSource": {"medium": "search"}}`)
	if err != nil || out.Action != canonical.ActionNone {
		t.Errorf("the lead source did not survive the write: %+v, %v", out, err)
	}
}

func TestEndToEndSharedCustomers(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		r := openRoute(t, exclusive, sandbox.Options{})
		for _, customer := range []string{"person", "organization", "everything", "minimal", "clearing", "empty"} {
			c := adaptertest.Customer(t, customer)
			if _, err := r.follow(adaptertest.Upsert(c, name, name, "")); err != nil {
				t.Errorf("%s: %v %v", customer, err, canonical.AsError(err).Fields)
			}
		}
	}
}

func TestEndToEndRefusals(t *testing.T) {
	t.Parallel()
	r := openRoute(t, true, sandbox.Options{})
	_, err := r.upsert("c", `{"attributes": {"undefined": 1}}`)
	if e := canonical.AsError(err); err == nil || e.Code != canonical.UpstreamInvalid || !slices.Equal(pointers(err), []string{"/attributes/undefined " + string(canonical.FieldUnknown)}) {
		t.Errorf("undefined custom field: %v %v", err, pointers(err))
	}
	r.opened.Auth.Header["REB-APIKEY"] = sandbox.ReadOnlyKey
	if _, err := r.upsert("c", `{}`); canonical.AsError(err).Code != canonical.UpstreamForbidden {
		t.Errorf("read-only key: %v, want %s", err, canonical.UpstreamForbidden)
	}
	r.opened.Auth.Header["REB-APIKEY"] = "wrong"
	if _, err := r.upsert("c", `{}`); canonical.AsError(err).Code != canonical.UpstreamUnauthenticated {
		t.Errorf("wrong key: %v, want %s", err, canonical.UpstreamUnauthenticated)
	}
	r.opened.Auth.Header["REB-APIKEY"] = sandbox.APIKey
	r.base = strings.Replace(r.base, sandbox.Organization, "other", 1)
	if _, err := r.upsert("c", `{}`); canonical.AsError(err).Code != canonical.UpstreamMisconfigured {
		t.Errorf("wrong organization: %v, want %s", err, canonical.UpstreamMisconfigured)
	}
}

// The generations of error bodies differ in what they tell, not in what they mean.
func TestEndToEndErrorShapes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		shape        sandbox.ErrorShape
		fields, wait bool
	}{
		{sandbox.ErrorsCurrent, true, true},
		{sandbox.Errors2019, true, true},
		{sandbox.ErrorsBefore2019, true, true},
		{sandbox.ErrorsFieldless, false, true},
		{sandbox.ErrorsUnreadable, false, true},
	} {
		r := openRoute(t, true, sandbox.Options{Errors: tt.shape, Limit: 1})
		_, err := r.upsert("a", `{"attributes": {"undefined": 1}}`)
		e := canonical.AsError(err)
		if err == nil || e.Code != canonical.UpstreamInvalid {
			t.Errorf("shape %d: error = %v, want %s", tt.shape, err, canonical.UpstreamInvalid)
		}
		if want := []string{"/attributes/undefined unknown_field"}; tt.fields && !slices.Equal(pointers(err), want) {
			t.Errorf("shape %d: fields = %q, want %q", tt.shape, pointers(err), want)
		}
		_, err = r.upsert("b", `{}`)
		if e := canonical.AsError(err); err == nil || e.Code != canonical.UpstreamRateLimited || tt.wait == (e.RetryAt.IsZero() && e.RetryAfter == 0) {
			t.Errorf("shape %d: error = %v, RetryAt %v; want %s with a moment", tt.shape, err, e.RetryAt, canonical.UpstreamRateLimited)
		}
	}
}

func TestEndToEndPaymentToken(t *testing.T) {
	t.Parallel()
	r := openRoute(t, false, sandbox.Options{})
	customer := `{"name": {"givenName": "Kim"}, "providerData": {"rebilly": {"paymentToken": "` + r.sandbox.IssuePaymentToken() + `"}}}`
	if out, err := r.upsert("c", customer); err != nil || out.Action != canonical.ActionCreated {
		t.Fatalf("upsert = %+v, %v", out, err)
	}
	_, err := r.upsert("c", customer)
	e := canonical.AsError(err)
	if err == nil || len(e.Fields) != 1 || e.Fields[0].Pointer != "/providerData/rebilly/paymentToken" {
		t.Errorf("second use: %v %v, want a refusal of the token", err, pointers(err))
	}
}

// TestLive plays the suite of emulators.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		adaptertest.RunLive(t, func(t *testing.T) adaptertest.Live {
			r := openRoute(t, exclusive, sandbox.Options{})
			return adaptertest.Live{Adapter: r.opened.Adapter, Send: r.send, Records: func() any { return r.sandbox.Records() }, Delete: r.sandbox.Delete}
		})
	}
}
