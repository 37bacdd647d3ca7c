package magento

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// TestUnseen holds what answers mean that are no example anywhere: other texts,
// languages and types, several faults at once, and what stands before the shop.
func TestUnseen(t *testing.T) {
	t.Parallel()
	const (
		invalid = canonical.UpstreamInvalid
		wrong   = canonical.UpstreamMisconfigured
		down    = canonical.UpstreamUnavailable
		login   = canonical.UpstreamUnauthenticated
		strange = canonical.UpstreamInvalidResponse
		odd     = canonical.UpstreamUnclassified
		street  = "/addresses/0/lines"
		city    = "/addresses/0/city"
		gone    = `"message": "No such entity with %fieldName = %fieldValue", "parameters": `
	)
	tests := []struct {
		op, name string
		status   int
		body     string
		code     canonical.Code // empty where the upsert goes on or is finished
		next     string
		at       string // pointers and settings
	}{
		{opUpdate, "positional field", 400, `{"message": "\"%1\" is required. Enter and try again.", "parameters": ["postcode"]}`, invalid, "", "/addresses/0/postalCode"},
		{opUpdate, "three faults", 400, `{"message": "x", "errors": [{"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "firstname"}}, {"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "telephone"}}, {"message": "Invalid value of \"%value\" provided for the %fieldName field.", "parameters": {"fieldName": "countryId", "value": "ES"}}], "trace": null}`, invalid, "", "/name/givenName /addresses/0/phoneNumber /addresses/0/country"},
		{opUpdate, "errors without a heading", 422, `{"errors": [{"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "city"}}]}`, invalid, "", city},
		{opUpdate, "three lines", 400, `{"message": "\"First Name\" is a required value.\n\"Email\" is not a valid email address.\nLast Name is not valid!"}`, invalid, "", "/name/givenName /emails/1/value /name/familyName"},
		{opUpdate, "length of a label", 400, `{"message": "\"Middle Name/Initial\" length must be equal or less than 255 characters."}`, invalid, "", "/name/middleName"},
		{opUpdate, "label without quotes", 400, `{"message": "The Date of Birth should not be greater than today."}`, invalid, "", "/birthDate"},
		{opUpdate, "option", 400, `{"message": "Attribute gender does not contain option with Id 9"}`, invalid, "", "/gender"},
		{opUpdate, "city of 2.4.8", 400, `{"message": "Invalid City. Please use A-Z, a-z, 0-9, -, ', spaces"}`, invalid, "", city},
		{opUpdate, "number of 2.4.8", 400, `{"message": "Invalid Phone Number. Please use 0-9, +, -, (, ) and space."}`, invalid, "", "/addresses/0/phoneNumber"},
		{opUpdate, "type inside an address", 400, `{"message": "Error occurred during \"addresses\" processing. Error occurred during \"region_id\" processing. The \"x\" value's type is invalid. The \"int\" type was expected. Verify and try again."}`, invalid, "", "/addresses/0/region"},
		{opUpdate, "region that does not exist", 400, `{"message": "Invalid value of \"%value\" provided for the %fieldName field.", "parameters": {"fieldName": "regionId", "value": null}}`, invalid, "", "/addresses/0/region"},
		{opUpdate, "region that is missing", 400, `{"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "regionId"}}`, invalid, "", "/addresses/0/region"},
		{opUpdate, "French", 400, `{"message": "« %fieldName » est requis.", "parameters": {"fieldName": "street"}}`, invalid, "", street},
		{opUpdate, "list as a parameter", 400, `{"message": "Invalid %1: %2", "parameters": ["city", ["a", "b"]]}`, invalid, "", city},
		{opUpdate, "parameters as a text", 400, `{"message": "\"%fieldName\" is required.", "parameters": "city"}`, invalid, "", ""},
		{opUpdate, "XML with two errors", 400, `<?xml version="1.0"?><response><message>x</message><errors><item><message>"%fieldName" is required.</message><parameters><fieldName>city</fieldName></parameters></item><item><message>"%fieldName" is required.</message><parameters><fieldName>street</fieldName></parameters></item></errors></response>`, invalid, "", city + " " + street},
		{opUpdate, "XML of another charset", 400, `<?xml version="1.0" encoding="ISO-8859-1"?><response><message>"%fieldName" is required.</message><parameters><fieldName>city</fieldName></parameters></response>`, invalid, "", city},
		{opUpdate, "byte order mark", 400, "\xef\xbb\xbf" + `{"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "city"}}`, invalid, "", city},
		{opUpdate, "unknown member, not ours", 400, `{"message": "\"%fieldName\" is not supported. Correct the field name and try again.", "parameters": {"fieldName": "VatId"}}`, invalid, "", ""},
		{opUpdate, "many items", 400, `{"message": "Maximum items of type \"%type\" is %max", "parameters": {"type": "AddressInterface[]", "max": 20}}`, invalid, "", ""},
		{opUpdate, "attribute", 400, `{"message": "The \"segment\" attribute value is empty. Set the attribute and try again."}`, invalid, "", "/attributes/segment"},
		{opUpdate, "website", 400, `{"message": "\"Associate to Website\" is a required value."}`, invalid, "", "settings.website_id"},
		{opUpdate, "media type of ours", 400, `{"message": "Content-Type header is empty."}`, invalid, "", ""},
		{opUpdate, "taken", 400, `{"message": "A customer with the same email address already exists in an associated website."}`, canonical.UpstreamDuplicate, "", "/emails/1/value"},
		{opUpdate, "address of nobody", 404, `{` + gone + `{"fieldName": "addressId", "fieldValue": 77}}`, canonical.UpstreamNotFound, "", "/addresses"},
		{opUpdate, "another customer", 200, `{"id": 9}`, canonical.UpstreamIdentityConflict, "", ""},
		{opUpdate, "an error as 200", 200, `{"message": "x"}`, strange, "", ""},
		{opUpdate, "masked, positional", 400, `{"message": "Internal Error. Report ID: %1", "parameters": ["webapi-5f3e"]}`, down, "", ""},
		{opUpdate, "masked, German", 400, `{"message": "Interner Fehler. Berichts-ID: webapi-5f3e"}`, down, "", ""},
		{opUpdate, "database as 400", 400, `{"message": "SQLSTATE[22001]: String data, right truncated: 1406 Data too long for column 'taxvat'"}`, down, "", ""},
		{opUpdate, "fatal error as text", 500, "Fatal error: Uncaught TypeError in /var/www/html/Secret.php:1\nStack trace:\n#0 Secret", down, "", ""},
		{opUpdate, "JSON of a proxy", 503, `{"message": "Service unavailable"}`, down, "", ""},
		{opUpdate, "origin slow", 524, `<!DOCTYPE html><title>524</title>`, down, "", ""},
		{opUpdate, "throttled page", 429, `<html>slow down</html>`, canonical.UpstreamRateLimited, "", ""},
		{opUpdate, "locked", 423, `{"message": "locked"}`, canonical.UpstreamBusy, "", ""},
		{opUpdate, "time-out of a proxy", 408, ``, canonical.UpstreamOutcomeUnknown, "", ""},
		{opUpdate, "nonce", 401, `{"message": "The nonce is already being used by the consumer with ID %1", "parameters": [3]}`, down, "", ""},
		{opUpdate, "clock", 400, `{"message": "The oauth_timestamp is wrong", "parameters": {"fieldName": "oauth_timestamp"}}`, login, "", ""},
		{opUpdate, "locked user", 401, `{"message": "The account sign-in was incorrect or your account is disabled temporarily."}`, login, "", ""},
		{opUpdate, "page of a proxy", 401, `<html>401</html>`, login, "", ""},
		{opUpdate, "firewall", 403, `<html>403</html>`, canonical.UpstreamForbidden, "", ""},
		{opUpdate, "page as 400", 400, `<html>400 Bad Request</html>`, odd, "", ""},
		{opUpdate, "empty 400", 400, ``, odd, "", ""},
		{opUpdate, "cut off", 400, `{"message": "\"%fieldName\" is requi`, odd, "", ""},
		{opUpdate, "too large for a proxy", 413, `<html>413</html>`, odd, "", ""},
		{opUpdate, "media type", 415, ``, wrong, "", ""},
		{opUpdate, "format", 406, `{"messages": {"error": [{"code": 406, "message": "Server cannot match any of the given Accept HTTP header media type(s)"}]}}`, wrong, "", ""},
		{opCreate, "taken, Japanese", 400, `{"message": "関連するウェブサイトに同じメールアドレスの顧客がすでに存在します。"}`, "", opSearchAgain, ""},
		{opCreate, "taken, Chinese", 400, `{"message": "关联网站中已存在具有相同电子邮件地址的客户。"}`, "", opSearchAgain, ""},
		{opCreate, "taken, Russian", 400, `{"message": "Клиент с таким же адресом электронной почты уже существует."}`, "", opSearchAgain, ""},
		{opCreate, "taken, account", 400, `{"message": "There is already an account with this email address."}`, "", opSearchAgain, ""},
		{opCreate, "taken, XML", 400, `<?xml version="1.0"?><response><message>A customer with the same email already exists in an associated website.</message></response>`, "", opSearchAgain, ""},
		{opCreate, "taken, index", 500, `{"message": "SQLSTATE[23000]: Integrity constraint violation: 1062 Duplicate entry"}`, "", opSearchAgain, ""},
		{opCreate, "taken, another field", 400, `{"message": "%fieldName already exists", "parameters": {"fieldName": "segment"}}`, invalid, "", "/attributes/segment"},
		{opCreate, "taken, another quoted field", 400, `{"message": "A value of \"segment\" already exists"}`, invalid, "", "/attributes/segment"},
		{opCreate, "store view", 400, `{"message": "The store view is not in the associated website."}`, invalid, "", "settings.store_id"},
		{opCreate, "website unknown", 404, `{` + gone + `{"fieldName": "websiteId", "fieldValue": 9}}`, wrong, "", "settings.website_id"},
		{opCreate, "right for groups", 401, `{"message": "The consumer isn't authorized to access %resources.", "parameters": {"resources": "Magento_Customer::manage"}}`, login, "", ""},
		{opCreate, "with 201", 201, `{"id": "12", "addresses": [{"id": 1, "country_id": "ES", "postcode": "28014", "city": "Madrid", "street": ["Calle de Alcalá 42", "Nave 3, Puerta B"]}, {"id": 2, "country_id": "ES", "postcode": "28013", "city": "Madrid", "street": ["Gran Vía 1"]}]}`, "", "", ""},
		{opCreate, "notice of PHP", 200, "<br />\n<b>Notice</b>: x in <b>/var/www/html/Secret.php</b><br />\n{\"id\": 12}", strange, "", ""},
		{opCreate, "a list", 200, `[]`, strange, "", ""},
		{opCreate, "no content", 204, ``, strange, "", ""},
		{opCreate, "elsewhere", 302, ``, strange, "", ""},
		{opSearch, "nobody, as null", 200, `{"items": null, "total_count": 0}`, "", opCreate, ""},
		{opSearch, "nobody, count as text", 200, `{"items": [], "total_count": "0"}`, "", opCreate, ""},
		{opSearch, "no count", 200, `{"items": []}`, strange, "", ""},
		{opSearch, "a list", 200, `[]`, strange, "", ""},
		{opSearch, "no content", 204, ``, strange, "", ""},
		{opSearch, "no route", 404, `{"message": "Request does not match any route."}`, wrong, "", ""},
		{opSearch, "page", 404, `<html>404</html>`, wrong, "", ""},
		{opSearch, "empty 404", 404, ``, wrong, "", ""},
		{opSearch, "somebody unknown", 404, `{` + gone + `{"fieldName": "customerId", "fieldValue": 5}}`, canonical.UpstreamNotFound, "", "/externalIds"},
		{opSearch, "field that is no filter", 400, `{"message": "The \"%1\" attribute name is invalid.", "parameters": ["website_id"]}`, invalid, "", "settings.website_id"},
		{opRead, "gone, id as text", 404, `{` + gone + `{"fieldName": "customerId", "fieldValue": "7"}}`, "", opSearch, ""},
		{opRead, "gone, positional", 404, `{"message": "No such entity with %1 = %2", "parameters": ["customerId", "7"]}`, "", opSearch, ""},
		{opRead, "gone, list of objects", 404, `{` + gone + `[{"fieldName": "customerId"}, {"fieldValue": "7"}]}`, "", opSearch, ""},
		{opRead, "gone, on a page", 404, `<html>No such entity with customerId = 7</html>`, wrong, "", ""},
		{opRead, "gone, as a text", 404, `No such entity with customerId = 7`, wrong, "", ""},
		{opRead, "no route, of a proxy", 404, `{"message": "no Route matched with those values"}`, wrong, "", ""},
		{opRead, "JSON of another server", 404, `{"error": "not found", "status": 404}`, wrong, "", ""},
		{opRead, "store view unknown", 404, `{` + gone + `{"fieldName": "storeId", "fieldValue": 7}}`, wrong, "", "settings.store_id"},
		{opRead, "another customer", 200, `{"id": 8, "addresses": []}`, strange, "", ""},
		{opRead, "no addresses", 200, `{"id": 7}`, strange, "", ""},
		{opRead, "addresses as null", 200, `{"id": 7, "addresses": null}`, strange, "", ""},
		{opRead, "address without an id", 200, `{"id": 7, "addresses": [{"city": "X"}]}`, strange, "", ""},
		{opRead, "addresses with gaps", 200, `{"id": 7, "addresses": {"0": {"id": 1, "city": "X"}, "2": {"id": 5, "city": "Y"}}}`, "", opUpdate, ""},
		{opRead, "no addresses there", 200, `{"id": 7, "addresses": []}`, "", opUpdate, ""},
	}
	a := New(setup(func(c *Config) { c.CustomAttributes = map[string]string{"segment": "segment"} }))
	customer := adaptertest.Customer(t, "everything")
	unknown, known := adaptertest.Upsert(customer, name, name, ""), adaptertest.Upsert(customer, name, name, "7")
	search, _, err := a.Translate(unknown)
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]*canonical.Request{opSearch: search, opRead: a.readRecord("7", opRead)}
	for op, id := range map[string]string{opUpdate: "7", opCreate: ""} {
		if sent[op], _, err = a.save(known, id, canonical.Value{}, op); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range tests {
		t.Run(tt.op+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			u := unknown
			if tt.op == opRead || tt.op == opUpdate {
				u = known
			}
			out, err := a.Interpret(u, sent[tt.op], &canonical.Reply{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})
			e := canonical.AsError(err)
			if e == nil {
				e = &canonical.Error{}
			}
			next := ""
			if out.Next != nil {
				next = out.Next.Op
			}
			var at []string
			for _, f := range e.Fields {
				if f.Pointer+f.Setting != "" {
					at = append(at, f.Pointer+f.Setting)
				}
			}
			if e.Code != tt.code || next != tt.next || !slices.Equal(at, strings.Fields(tt.at)) {
				t.Errorf("Interpret = %q at %q, next %q; want %q at %q, next %q", e.Code, at, next, tt.code, tt.at, tt.next)
			}
			if strings.Contains(e.Message, "Secret") || strings.Contains(e.Message, "SQL") {
				t.Errorf("message %q has the inside of the shop", e.Message)
			}
		})
	}
}
