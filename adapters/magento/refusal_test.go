package magento

import (
	"net/http"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

func TestInterpolate(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, template, parameters, want string }{
		{"named", `"%fieldName" is required.`, `{"fieldName": "city"}`, `"city" is required.`},
		{"positional", "at least %1 of %2", `["8", 256]`, "at least 8 of 256"},
		{"longest key first", "%fieldName %fieldName2 %field", `{"field": "c", "fieldName": "a", "fieldName2": "b"}`, "a b c"},
		{"tenth", "%10 %1", `["a", 0, 0, 0, 0, 0, 0, 0, 0, "j"]`, "j a"},
		{"one pass", "%a %b", `{"a": "%b", "b": "%a"}`, "%b %a"},
		{"one pass, positional", "%1-%2", `["%2", "%1"]`, "%2-%1"},
		{"null is nothing", `value of "%value" for %fieldName`, `{"value": null, "fieldName": "countryId"}`, `value of "" for countryId`},
		{"unknown stays", "%x is %y", `{"y": 1}`, "%x is 1"},
		{"empty list", "100%1", `[]`, "100%1"},
		{"empty object", "%a", `{}`, "%a"},
		{"no parameters", "%a", `null`, "%a"},
		{"boolean and number", "%a %b", `{"a": true, "b": 1.5}`, "true 1.5"},
		{"list in a list", "%1", `[["a", "b"]]`, "a, b"},
		{"twice", "%a%a", `{"a": "x"}`, "xx"},
		{"multibyte", "é %a é", `{"a": "ü"}`, "é ü é"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			parameters, err := canonical.Parse([]byte(tt.parameters))
			if err != nil {
				t.Fatal(err)
			}
			if got := interpolate(tt.template, parameters); got != tt.want {
				t.Errorf("interpolate(%q, %s) = %q, want %q", tt.template, tt.parameters, got, tt.want)
			}
		})
	}
}

// refuse answers the first write of a known customer.
func refuse(t *testing.T, more string, change func(*Config), status int, body string) (canonical.Outcome, *canonical.Error) {
	t.Helper()
	a := New(setup(func(c *Config) {
		c.Exclusive = true
		if change != nil {
			change(c)
		}
	}))
	u := upsert(t, more, "7")
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatalf("Translate: %v %v", err, canonical.AsError(err).Fields)
	}
	out, err := a.Interpret(u, req, &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)})
	return out, canonical.AsError(err)
}

// TestPointers holds that complaints find the caller's field, in whatever words.
func TestPointers(t *testing.T) {
	t.Parallel()
	const two = `"phoneNumbers": [{"value": "+4930123456"}, {"value": "+4930123457", "primary": true}],
		"customerType": "reseller", "attributes": {"favouriteColour": "red"},
		"addresses": [{"country": "GB", "lines": ["1 High St"], "city": "York"}, {` + address + `, "region": "XX", "company": "Acme"}]`
	colours := func(c *Config) {
		c.CustomAttributes = map[string]string{"favouriteColour": "favourite_colour", "size": "shoe_size"}
		c.Groups = map[string]int64{"reseller": 9}
	}
	tests := []struct {
		name, body string
		pointer    string
		code       canonical.FieldCode
	}{
		{"first that lacks it", `{"message": "\"%fieldName\" is required. Enter and try again.", "parameters": {"fieldName": "postcode"}}`, "/addresses/0/postalCode", canonical.FieldRequired},
		{"one with the value", `{"message": "Invalid value of \"%value\" provided for the %fieldName field.", "parameters": {"fieldName": "countryId", "value": "US"}}`, "/addresses/1/country", canonical.FieldInvalid},
		{"fallback number", `{"message": "\"Phone Number\" is not valid."}`, "/phoneNumbers/1/value", canonical.FieldInvalid},
		{"region", `{"message": "\"%fieldName\" is required. Enter and try again.", "parameters": {"fieldName": "regionId"}}`, "/addresses/0/region", canonical.FieldRequired},
		{"group of the customer type", `{"message": "The specified customer group id does not exist."}`, "/customerType", canonical.FieldInvalid},
		{"attribute by label", `{"message": "\"Favourite Colour\" is not a valid choice."}`, "/attributes/favouriteColour", canonical.FieldInvalid},
		{"attribute by code", `{"message": "\"%attribute_code\" is wrong", "parameters": {"attribute_code": "favourite_colour"}}`, "/attributes/favouriteColour", canonical.FieldInvalid},
		{"attribute that was not sent", `{"message": "\"Shoe Size\" is a required value."}`, "/attributes/size", canonical.FieldRequired},
		{"other language", `{"message": "Champ obligatoire : %fieldName", "parameters": {"fieldName": "dob"}}`, "/birthDate", canonical.FieldRequired},
		{"parameters as the schema has them", `{"message": "\"%fieldName\" is required.", "parameters": [{"resources": "", "fieldName": "dob", "fieldValue": ""}]}`, "/birthDate", canonical.FieldRequired},
		{"errors as an object", `{"message": "x", "errors": {"0": {"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "dob"}}}}`, "/birthDate", canonical.FieldRequired},
		{"one error without its list", `{"message": "x", "errors": {"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "dob"}}}`, "/birthDate", canonical.FieldRequired},
		{"errors in errors", `{"message": "x", "errors": [{"message": "y", "errors": [{"message": "\"Date of Birth\" is a required value."}]}]}`, "/birthDate", canonical.FieldRequired},
		{"errors as texts", `{"message": "x", "errors": ["\"Tax/VAT Number\" is a required value."]}`, "/taxIds", canonical.FieldRequired},
		{"list of messages", `{"messages": {"error": [{"code": 400, "message": "\"Date of Birth\" is a required value."}]}}`, "/birthDate", canonical.FieldRequired},
		{"upper camel", `{"message": "\"%fieldName\" is not supported. Correct the field name and try again.", "parameters": {"fieldName": "DefaultBilling"}}`, "/addresses/0/type", canonical.FieldUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, e := refuse(t, two, colours, 400, tt.body)
			if e == nil || e.Code != canonical.UpstreamInvalid || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer || e.Fields[0].Code != tt.code {
				t.Fatalf("Interpret = %+v, want one field error %s at %s", e, tt.code, tt.pointer)
			}
		})
	}
}

func TestPointerIntoProviderData(t *testing.T) {
	t.Parallel()
	_, e := refuse(t, `"providerData": {"magento": {"customer": {"favourite_colour": 1}}}`, nil, 400,
		`{"message": "\"%fieldName\" is not supported. Correct the field name and try again.", "parameters": {"fieldName": "FavouriteColour"}}`)
	if e == nil || len(e.Fields) != 1 || e.Fields[0].Pointer != "/providerData/magento/customer/favourite_colour" || e.Fields[0].Code != canonical.FieldUnknown {
		t.Fatalf("Interpret = %+v, want a complaint about the member in providerData", e)
	}
}

func TestPointerToOwnAttribute(t *testing.T) {
	t.Parallel()
	_, e := refuse(t, `"providerData": {"magento": {"custom_attributes": [{"attribute_code": "crm_id", "value": "x"}]}}`, nil, 400, `{"message": "\"Crm Id\" is not valid."}`)
	if e == nil || len(e.Fields) != 1 || e.Fields[0].Pointer != "/providerData/magento/custom_attributes/0/value" {
		t.Fatalf("Interpret = %+v, want a complaint about the attribute in providerData", e)
	}
}

// TestRefusal holds the classes of answers that no fixture has.
func TestRefusal(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		code   canonical.Code
		next   string
		id     string
	}{
		{"unknown id, translated", 404, `{"message": "Keine Einheit mit %fieldName = %fieldValue", "parameters": {"fieldName": "customerId", "fieldValue": "7"}}`, "", opSearch, ""},
		{"unknown id, no parameters", 404, `{"message": "No such entity."}`, "", opSearch, ""},
		{"unknown id, entity", 404, `{"message": "No such entity with %fieldName = %fieldValue", "parameters": {"fieldName": "id", "fieldValue": 7}}`, "", opSearch, ""},
		{"unknown id, XML", 404, `<?xml version="1.0"?><response><message>No such entity with %fieldName = %fieldValue</message><parameters><fieldName>customerId</fieldName><fieldValue>7</fieldValue></parameters></response>`, "", opSearch, ""},
		{"unknown website", 404, `{"message": "No such entity with %fieldName = %fieldValue", "parameters": {"fieldName": "website_id", "fieldValue": 9}}`, canonical.UpstreamMisconfigured, "", ""},
		{"unknown route, XML", 404, `<?xml version="1.0"?><response><message>Request does not match any route.</message></response>`, canonical.UpstreamMisconfigured, "", ""},
		{"unknown route, translated", 404, `{"message": "Anfrage stimmt mit keiner Route überein."}`, canonical.UpstreamMisconfigured, "", ""},
		{"empty 404", 404, ``, canonical.UpstreamMisconfigured, "", ""},
		{"taken, e-mail with dash", 400, `{"message": "Un client avec cette adresse e-mail existe déjà dans un site associé."}`, canonical.UpstreamDuplicate, "", ""},
		{"duplicate entry", 500, `{"message": "SQLSTATE[23000]: Integrity constraint violation: 1062 Duplicate entry 'x' for key 'CUSTOMER_ENTITY_EMAIL_WEBSITE_ID'"}`, canonical.UpstreamDuplicate, "", ""},
		{"masked, translated", 400, `{"message": "Interner Fehler. Report ID: webapi-5f0a"}`, canonical.UpstreamUnavailable, "", "webapi-5f0a"},
		{"rollback", 400, `{"message": "Rolled back transaction has not been completed correctly."}`, canonical.UpstreamUnavailable, "", ""},
		{"stack dump as 400", 400, "SQLSTATE[HY000]: General error: 1205 Lock wait timeout exceeded\n#0 /var/www/html/x.php(12)", canonical.UpstreamUnavailable, "", ""},
		{"single message", 500, `{"messages": {"error": {"code": 500, "message": "Server internal error. See details in report api/abcdef12"}}}`, canonical.UpstreamUnavailable, "", "api/abcdef12"},
		{"page as 400", 400, `<html><body>Bad request</body></html>`, canonical.UpstreamUnclassified, "", ""},
		{"text as 400", 400, `upstream said no`, canonical.UpstreamUnclassified, "", ""},
		{"JSON text", 400, `"Decoding error."`, canonical.UpstreamInvalid, "", ""},
		{"truncated", 400, `{"message": "\"%fieldName\" is req`, canonical.UpstreamUnclassified, "", ""},
		{"truncated success", 200, `{"id": 7, "email": "kim`, canonical.UpstreamInvalidResponse, "", ""},
		{"error as 200", 200, `{"message": "No such entity with customerId = 7"}`, canonical.UpstreamInvalidResponse, "", ""},
		{"true as 200", 200, `true`, canonical.UpstreamInvalidResponse, "", ""},
		{"id as a text", 200, `{"id": "7"}`, "", "", ""},
		{"id zero", 200, `{"id": 0}`, canonical.UpstreamInvalidResponse, "", ""},
		{"expired token", 401, `{"message": "The consumer isn't authorized to access %resources.", "parameters": {"resources": "self"}}`, canonical.UpstreamUnauthenticated, "", ""},
		{"page as 401", 401, `<html><body>401</body></html>`, canonical.UpstreamUnauthenticated, "", ""},
		{"right as 403", 403, `{"message": "forbidden"}`, canonical.UpstreamForbidden, "", ""},
		{"media type", 415, `{"message": "Unsupported"}`, canonical.UpstreamMisconfigured, "", ""},
		{"gateway", 502, `<html>Bad Gateway</html>`, canonical.UpstreamUnavailable, "", ""},
		{"edge", 524, ``, canonical.UpstreamUnavailable, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, e := refuse(t, "", nil, tt.status, tt.body)
			switch {
			case tt.code != "" && (e == nil || e.Code != tt.code):
				t.Fatalf("Interpret = %+v, want %s", e, tt.code)
			case tt.code == "" && e != nil:
				t.Fatalf("Interpret = %+v, want no error", e)
			case tt.next != "" && (out.Next == nil || out.Next.Op != tt.next):
				t.Fatalf("Next = %+v, want %s", out.Next, tt.next)
			case tt.id != "" && e.RequestID != tt.id:
				t.Errorf("RequestID = %q, want %q", e.RequestID, tt.id)
			}
		})
	}
}

// TestNoInside holds that nothing of the shop's inside reaches a caller.
func TestNoInside(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"message": "SQLSTATE[42S22]: Column not found in /var/www/html/a/b.php(3): UPDATE secret", "trace": "#0 /var/www/secret"}`,
		`{"message": "Undefined index in /var/www/html/secret/b.php on line 3", "trace": "#0 secret"}`,
		"Exception: secret in /var/www/html/x.php:1\nStack trace:\n#0 secret",
		`<html><body>secret</body></html>`,
		`{"messages": {"error": [{"code": 500, "message": "secret", "trace": "secret"}]}}`,
	} {
		_, e := refuse(t, "", nil, 500, body)
		if e == nil || strings.Contains(e.Message, "secret") || strings.Contains(e.Message, "/var") || len(e.Fields) > 0 {
			t.Errorf("%s gives %+v", body, e)
		}
	}
}

// TestLostRegion holds that a code which the shop did not keep is reported.
func TestLostRegion(t *testing.T) {
	t.Parallel()
	const stated = `"addresses": [{"lines": ["x"], "city": "y", "country": "GB", "phoneNumber": "+4930123456"}, {` + address + `, "region": "NY"}]`
	const kept = `{"id": 7, "addresses": [{"id": 1, "country_id": "GB", "city": "y", "street": ["x"], "region": {"region_code": null, "region": null, "region_id": 0}},
		{"id": 2, "country_id": "US", "postcode": "11501", "city": "Mineola", "street": ["1 Main St"], "region": {"region_code": %, "region": null, "region_id": 0}}]}`
	for code, want := range map[string]int{`null`: 1, `"NY"`: 0} {
		out, e := refuse(t, stated, nil, 200, strings.ReplaceAll(kept, "%", code))
		if e != nil || len(out.Notices) != want {
			t.Fatalf("a kept code of %s gives %+v, %+v; want %d notices", code, out.Notices, e, want)
		}
		if want == 1 && (out.Notices[0].Pointer != "/addresses/1/region" || out.Notices[0].Code != canonical.NoticeDropped) {
			t.Errorf("notice is %+v, want the region of the second address", out.Notices[0])
		}
	}
}
