package rebilly

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// unseenCustomer is who the replies of TestUnseenReplies are about.
const unseenCustomer = `{"name":{"givenName":"Kim","familyName":"Lee"},"locale":"fr-FR",
	"emails":[{"value":"a@example.com","type":"work"},{"value":"kim@example.com","primary":true}],"phoneNumbers":[{"value":"+14155550100","type":"mobile"}],
	"addresses":[{"city":"Old"},{"primary":true,"lines":["1 Road","Flat 2"],"city":"Berlin","country":"DE"}],"taxIds":[{"type":"eu_vat","value":"DE1"},{"type":"other","value":"2"}],
	"attributes":{"tier":"gold","tags":["a","b"]},"leadSource":{"medium":"m"},
	"providerData":{"rebilly":{"personId":"p","notificationEmails":["n@example.com","o@example.com"],"taxInfo":{"exempt":true}}}}`

// TestUnseenReplies holds that replies to the write in forms that the
// definitions do not show come out right.
func TestUnseenReplies(t *testing.T) {
	t.Parallel()
	const (
		invalid, duplicate, misconfigured = canonical.UpstreamInvalid, canonical.UpstreamDuplicate, canonical.UpstreamMisconfigured
		unavailable, odd, senseless       = canonical.UpstreamUnavailable, canonical.UpstreamUnclassified, canonical.UpstreamInvalidResponse
		busy, limited, gone               = canonical.UpstreamBusy, canonical.UpstreamRateLimited, canonical.UpstreamNotFound
	)
	type fields = []string
	tests := []struct {
		name   string
		status int
		body   string
		code   canonical.Code
		retry  bool
		fields fields // code and pointer, or setting
	}{
		{"several of one field", 422, `{"invalidFields":[{"field":"primaryAddress.city","message":"is invalid"},{"field":"primaryAddress.city","message":"is too long"}]}`, invalid, false, fields{"invalid /addresses/1/city", "too_long /addresses/1/city"}},
		{"deep in lists", 422, `{"invalidFields":[{"field":"primaryAddress.emails.1.value","message":"x"},{"field":"primaryAddress.phoneNumbers.0.label","message":"y"},{"field":"taxNumbers.1.type","message":"z"},{"field":"customFields.tags.1","message":"w"},{"field":"notificationEmails.1","message":"v"}]}`, invalid, false,
			fields{"other /emails/1/value", "other /phoneNumbers/0/type", "other /taxIds/1/type", "other /attributes/tags/1", "other /providerData/rebilly/notificationEmails/1"}},
		{"whole elements", 422, `{"invalidFields":[{"field":"taxNumbers.1","message":"is invalid"},{"field":"primaryAddress.emails[0]","message":"is invalid"},{"field":"primaryAddress.emails","message":"must have one primary"}]}`, invalid, false, fields{"invalid /taxIds/1", "invalid /emails/0", "invalid /emails"}},
		{"street lines", 422, `{"invalidFields":[{"field":"primaryAddress.address","message":"m"},{"field":"primaryAddress.address2","message":"m"}]}`, invalid, false, fields{"other /addresses/1/lines/0", "other /addresses/1/lines/1"}},
		{"pointers", 422, `{"errors":[{"pointer":"#/primaryAddress/emails/0/value","detail":"bad format"},{"pointer":"/taxNumbers/0","detail":"invalid"}]}`, invalid, false, fields{"invalid /emails/0/value", "invalid /taxIds/0"}},
		{"paths in parts", 422, `{"invalidFields":[{"path":["primaryAddress","emails",0,"value"],"msg":"invalid"}]}`, invalid, false, fields{"invalid /emails/0/value"}},
		{"by field, nested", 422, `{"invalidFields":{"primaryAddress":{"city":["too long"],"emails":[{"value":["invalid"]}]},"locale":"unknown field"}}`, invalid, false, fields{"too_long /addresses/1/city", "invalid /emails/0/value", "unknown_field /locale"}},
		{"by field, before 2019", 422, `{"invalidFields":{"taxNumbers.0.value":[{"message":"is required"}]},"details":["is required"]}`, invalid, false, fields{"required /taxIds/0/value"}},
		{"texts", 422, `{"status":422,"invalidFields":["primaryAddress.city is too long","the customer is odd"]}`, invalid, false, fields{"too_long /addresses/1/city", "other "}},
		{"derived e-mail", 422, `{"invalidFields":[{"field":"email","message":"is already in use"},{"field":"firstName","message":"is required"},{"field":"company","message":"is required"}]}`, invalid, false, fields{"duplicate /emails/1/value", "required /name/givenName", "required /organization/name"}},
		{"providerData", 422, `{"invalidFields":[{"field":"personId","message":"not found"},{"field":"taxInfo","message":"invalid"},{"field":"taxInfo.exempt.x","message":"invalid"}]}`, invalid, false, fields{"invalid /providerData/rebilly/personId", "invalid /providerData/rebilly/taxInfo", "invalid /providerData/rebilly/taxInfo/exempt/x"}},
		{"website", 422, `{"invalidFields":[{"field":"websiteId","message":"Website does not exist"}]}`, invalid, false, fields{"invalid settings.website_id"}},
		{"not stated", 422, `{"invalidFields":[{"field":"primaryAddress.dob","message":"is required"},{"field":"primaryAddress.jobTitle","message":"is required"},{"field":"customFields.plan","message":"is required"}]}`, invalid, false, fields{"required /birthDate", "required /jobTitle", "required /attributes/plan"}},
		{"other language", 422, `{"invalidFields":[{"field":"primaryAddress.city","message":"ist zu lang"}]}`, invalid, false, fields{"other /addresses/1/city"}},
		{"odd types", 422, `{"status":"422","title":7,"detail":["first","second"],"invalidFields":[{"field":["primaryAddress","city"],"message":7},null,true]}`, invalid, false, fields{"other /addresses/1/city"}},
		{"only a text", 422, `{"title":"Unprocessable","detail":"primaryAddress.city is invalid"}`, invalid, false, fields{"invalid /addresses/1/city"}},
		{"page under 422", 422, `<html>Unprocessable</html>`, invalid, false, nil},
		{"2019", 400, `{"status":400,"error":"Malformed JSON","details":["Syntax error"]}`, invalid, false, nil},
		{"byte order mark and line feed", 400, "\xef\xbb\xbf{\"status\":400,\"title\":\"Bad Request\",\"invalidFields\":[{\"field\":\"locale\",\"message\":\"invalid\"}]}\r\n", invalid, false, fields{"invalid /locale"}},
		{"page under 400", 400, `<html><center>nginx</center></html>`, odd, false, nil},
		{"cut off", 400, `{"status":400,"detail":"`, odd, false, nil},
		{"key", 401, `{"title":"Unauthorized","status":401,"detail":"No API key"}`, canonical.UpstreamUnauthenticated, false, nil},
		{"key, empty", 401, ``, canonical.UpstreamUnauthenticated, false, nil},
		{"right", 403, `{"title":"Forbidden","status":403}`, canonical.UpstreamForbidden, false, nil},
		{"payment required", 402, `{"title":"Payment Required"}`, odd, false, nil},
		{"organization", 404, `{"title":"Not Found","status":404,"detail":"Organization was not found"}`, misconfigured, false, nil},
		{"merged away", 404, `{"title":"Not Found","status":404,"detail":"Customer was not found"}`, gone, false, nil},
		{"merged away, empty", 410, ``, gone, false, nil},
		{"method", 405, `{"title":"Method Not Allowed"}`, misconfigured, false, nil},
		{"media", 415, `{"title":"Unsupported"}`, misconfigured, false, nil},
		{"precondition", 412, `{"title":"Precondition Failed"}`, odd, false, nil},
		{"too large", 413, `{"title":"Payload Too Large"}`, invalid, false, nil},
		{"locked", 423, `{"title":"Locked"}`, busy, true, nil},
		{"header too large", 431, ``, odd, false, nil},
		{"legal", 451, `<html></html>`, odd, false, nil},
		{"id in use", 409, `{"status":409,"detail":"[customerId] is already used for another customer."}`, duplicate, false, fields{"duplicate /id"}},
		{"e-mail in use", 409, `{"status":409,"detail":"The email exists. Please try again with another one","invalidFields":[{"field":"primaryAddress.emails.0.value","message":"is taken"}]}`, duplicate, false, fields{"duplicate /emails/0/value"}},
		{"concurrent", 409, `{"type":"https://api-docs.rebilly.com/errors/concurrent-modification","detail":"Concurrent modification"}`, busy, true, nil},
		{"being processed", 409, `{"detail":"The customer is being processed"}`, busy, true, nil},
		{"conflict, a page", 409, `<html></html>`, odd, false, nil},
		{"quota", 429, `{"title":"Rate Limit Exceeded"}`, limited, true, nil},
		{"quota of the edge", 429, `error code: 1015`, limited, true, nil},
		{"fault", 500, `{"status":500,"title":"Internal Server Error","detail":"primaryAddress.city"}`, unavailable, true, nil},
		{"fault that says 422", 500, `{"status":422,"invalidFields":[{"field":"locale","message":"x"}]}`, unavailable, true, nil},
		{"edge", 520, ``, unavailable, true, nil},
		{"maintenance", 503, `<html>Maintenance</html>`, unavailable, true, nil},
		{"time-out", 408, ``, canonical.UpstreamOutcomeUnknown, true, nil},
		{"not implemented", 501, `{}`, odd, true, nil},
		{"elsewhere", 302, `<html>Moved</html>`, senseless, true, nil},
		{"not modified", 304, ``, senseless, true, nil},

		{"refusal under 200", 200, `{"status":422,"invalidFields":[{"field":"locale","message":"is invalid"}]}`, invalid, false, fields{"invalid /locale"}},
		{"refusal under 201 without a status", 201, `{"invalidFields":[{"field":"locale","message":"is invalid"}]}`, invalid, false, fields{"invalid /locale"}},
		{"refusal under 200 as a text", 200, `{"status":"429","title":"Rate Limit Exceeded"}`, limited, true, nil},
		{"nothing", 204, ``, senseless, true, nil},
		{"later", 202, `{"id":"c"}`, senseless, true, nil},
		{"somebody else", 200, `{"id":"d"}`, senseless, true, nil},
		{"wrapped", 200, `{"data":{"id":"c"}}`, senseless, true, nil},
		{"list", 200, `[{"id":"c"}]`, senseless, true, nil},
		{"cut off under 200", 200, `{"id":"c","websiteId"`, senseless, true, nil},
		{"login page", 200, `<!doctype html><html></html>`, senseless, true, nil},
	}
	a := New(Config{Exclusive: true, WebsiteID: "w"})
	u := upsert(t, "c", unseenCustomer)
	sent, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err, pointers(err))
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			header := http.Header{"Cf-Ray": {"8c1f2e3d4b5a6978-FRA"}}
			out, err := a.Interpret(u, sent, &canonical.Reply{Status: tt.status, Header: header, Body: []byte(tt.body)})
			e := canonical.AsError(err)
			if e == nil {
				t.Fatalf("Interpret = %+v, want %s", out, tt.code)
			}
			if e.Code != tt.code || e.Retryable() != tt.retry || e.Status != tt.status {
				t.Errorf("%s, retryable %v, status %d; want %s, %v", e.Code, e.Retryable(), e.Status, tt.code, tt.retry)
			}
			if tt.status >= 400 && e.RequestID != "8c1f2e3d4b5a6978-FRA" {
				t.Errorf("RequestID = %q, want that of the header", e.RequestID)
			}
			if got := adaptertest.Fields(e); !slices.Equal(got, tt.fields) {
				t.Errorf("fields = %q, want %q", got, tt.fields)
			}
			if strings.Contains(e.Message, "<") {
				t.Errorf("Message = %q, want no markup", e.Message)
			}
		})
	}
}

// TestUnseenReads holds which replies to the read lead to a write.
func TestUnseenReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		status int
		body   string
		code   canonical.Code // "" for a write
	}{
		{404, ``, ""},
		{404, `{"status":404,"title":"Not Found"}`, ""},
		{404, `{"error":"Data was not found"}`, ""},
		{404, "\xef\xbb\xbf{}\n", ""},
		{404, `<html>404</html>`, canonical.UpstreamMisconfigured},
		{404, `404 page not found`, canonical.UpstreamMisconfigured},
		{404, `{"message":"no Route matched with those values"}`, canonical.UpstreamMisconfigured},
		{404, `{"title":"Route not resolved, no path matched","status":404}`, canonical.UpstreamMisconfigured},
		{200, `{"id":"c"}`, ""},
		{200, `{"id":"c","primaryAddress":null,"customFields":[],"taxNumbers":null,"_embedded":[{"leadSource":{"medium":"x"}}]}`, ""},
		{201, `{"id":"c"}`, canonical.UpstreamInvalidResponse},
		{203, `{"id":"c"}`, canonical.UpstreamInvalidResponse},
		{206, `{"id":"c"}`, canonical.UpstreamInvalidResponse},
		{200, `{"status":404,"title":"Not Found"}`, canonical.UpstreamMisconfigured},
		{200, `{}`, canonical.UpstreamInvalidResponse},
		{200, `{"id":"target"}`, canonical.UpstreamInvalidResponse},
		{204, ``, canonical.UpstreamInvalidResponse},
		{408, ``, canonical.UpstreamUnavailable},
		{410, `{}`, canonical.UpstreamNotFound},
		{503, ``, canonical.UpstreamUnavailable},
	} {
		a, u := New(Config{}), upsert(t, "c", unseenCustomer)
		sent, _, err := a.Translate(u)
		if err != nil {
			t.Fatal(err)
		}
		out, err := a.Interpret(u, sent, &canonical.Reply{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})
		switch {
		case tt.code == "":
			if err != nil || out.Next == nil || out.Next.Method != http.MethodPut {
				t.Errorf("Interpret(%d, %s) = %+v, %v, want the write", tt.status, tt.body, out, err)
			}
		case err == nil || canonical.AsError(err).Code != tt.code:
			t.Errorf("Interpret(%d, %s) = %+v, %v, want %s", tt.status, tt.body, out, err, tt.code)
		}
	}
}

// TestCarriedOver holds what is kept of a customer beside what is stated.
func TestCarriedOver(t *testing.T) {
	t.Parallel()
	const record = `{"id":"c","primaryAddress":{"firstName":"A","address":"1 Road","address2":"Flat 2","city":"Berlin","country":"DE","postalCode":"10117",
		"emails":[{"label":"billing","value":"a@b.co","primary":true}],"phoneNumbers":[{"label":"desk","value":"+14155550100","primary":true}]},
		"taxNumbers":[{"type":"eu-vat","value":"DE1","isDefault":true,"isValid":true}]}`
	for customer, want := range map[string]string{ // "": nothing is written
		`{"emails":[{"value":"a@b.co"}],"phoneNumbers":[{"value":"+14155550100"}],"taxIds":[{"value":"DE1"}]}`:  ``,
		`{"emails":[{"value":"a@b.co","type":null}],"phoneNumbers":[{"value":"+14155550100","type":"mobile"}]}`: `"emails":[{"value":"a@b.co","label":"main","primary":true}],"phoneNumbers":[{"value":"+14155550100","label":"mobile","primary":true}]`,
		`{"taxIds":[{"value":"DE1"},{"value":"2","type":"other","primary":true}]}`:                              `"taxNumbers":[{"type":"eu-vat","value":"DE1"},{"type":"other","value":"2","isDefault":true}]`,
		`{"taxIds":[{"value":"DE1","primary":null}]}`:                                                           `"taxNumbers":[{"type":"eu-vat","value":"DE1"}]`,
		`{"addresses":[{"country":"DE","city":"Berlin"}]}`:                                                      ``,
		`{"addresses":[{"company":"Acme"}]}`:                                                                    `"organization":"Acme"`,
		`{"addresses":[{"country":"DE","postalCode":null}]}`:                                                    `"address":"1 Road","address2":"Flat 2","city":"Berlin","country":"DE","postalCode":null`,
		`{"addresses":[{"lines":["1 Road"],"city":"Berlin"}]}`:                                                  `"address":"1 Road","city":"Berlin","country":"DE","postalCode":"10117"`,
		`{"addresses":[{"lines":["2 Road"]}]}`:                                                                  `"address":"2 Road"`,
		`{"addresses":[{"lines":[],"city":"Berlin"}]}`:                                                          `"address":null,"address2":null,"city":"Berlin","country":"DE","postalCode":"10117"`,
		`{"addresses":[]}`: `"address":null,"address2":null,"city":null,"region":null,"country":null,"postalCode":null`,
		`{"providerData":{"rebilly":{"defaultPaymentInstrumentId":null}}}`:   `"defaultPaymentInstrumentId":null`,
		`{"providerData":{"rebilly":{"paymentToken":null,"personId":null}}}`: ``,
		`{"providerData":{"rebilly":{"primaryAddress":{"newMember":null}}}}`: `"newMember":null`,
		`{"leadSource":{"referrer":"https://exämple.com/ü?q=a|b#c"}}`:        `"referrer":"https://ex%C3%A4mple.com/%C3%BC?q=a%7Cb#c"`,
	} {
		out := reply(t, New(Config{}), upsert(t, "c", customer), 200, record)
		if want == "" {
			if out.Next != nil || out.Action != canonical.ActionNone {
				t.Errorf("%s: body = %s, want nothing written", customer, out.Next.Body)
			}
			continue
		}
		if out.Next == nil {
			t.Errorf("%s: nothing is written", customer)
			continue
		}
		body, err := canonical.Parse(out.Next.Body)
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := canonical.Parse([]byte("{" + want + "}"))
		if err != nil {
			t.Fatal(want, err)
		}
		contact := body.Get("primaryAddress")
		for i := range wanted.Len() {
			member := wanted.NameAt(i)
			got := body.Get(member)
			for _, in := range []canonical.Value{contact, body.Get("leadSource")} {
				if got.IsZero() {
					got = in.Get(member)
				}
			}
			if !got.Equal(wanted.At(i)) {
				t.Errorf("%s: %s = %s, want %s", customer, member, got.Encode(), wanted.At(i).Encode())
			}
		}
		for _, member := range street {
			if strings.Contains(customer, `"addresses":[{"`) && !wanted.Has(member) && !wanted.Has("organization") && contact.Has(member) {
				t.Errorf("%s: %s = %s is kept", customer, member, contact.Get(member).Encode())
			}
		}
		if contact.Get("firstName").Str() != "A" {
			t.Errorf("%s: body = %s, want the rest kept", customer, out.Next.Body)
		}
	}
}

func TestEmailsAreASCII(t *testing.T) {
	t.Parallel()
	_, _, err := New(Config{}).Translate(upsert(t, "c", `{"emails":[{"value":"a@b.co"},{"value":"müller@example.com"}]}`))
	if got := pointers(err); canonical.AsError(err).Code != canonical.MappingUnrepresentable || !slices.Equal(got, []string{"/emails/1/value invalid"}) {
		t.Errorf("error = %v %q, want a refusal of the second address", err, got)
	}
}

// TestWaitOfAProblemUnder200 holds that the wait is read wherever the status is.
func TestWaitOfAProblemUnder200(t *testing.T) {
	t.Parallel()
	a, u := New(Config{Exclusive: true}), upsert(t, "c", `{}`)
	sent, _, _ := a.Translate(u)
	_, err := a.Interpret(u, sent, &canonical.Reply{Status: 200, Header: http.Header{"Retry-After": {"7"}}, Body: []byte(`{"status":429}`)})
	if e := canonical.AsError(err); e.RetryAfter != 7*time.Second {
		t.Errorf("RetryAfter = %v, want 7s", e.RetryAfter)
	}
}
