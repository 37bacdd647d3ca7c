package sandbox

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// shopTest is a shop behind a real socket, with a clock and a signing client.
type shopTest struct {
	t     *testing.T
	shop  *Sandbox
	url   string
	now   atomic.Int64
	nonce atomic.Int64
}

func setup(t *testing.T, opts Options) *shopTest {
	t.Helper()
	st := &shopTest{t: t}
	st.now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	opts.Now = func() time.Time { return time.Unix(st.now.Load(), 0) }
	st.shop = New(opts)
	server := httptest.NewServer(emulator.NewServer(st.shop, emulator.Options{}))
	t.Cleanup(server.Close)
	st.url = server.URL
	return st
}

// reply is an answer already read.
type reply struct {
	status int
	header http.Header
	body   string
}

// send sends a signed request; header pairs override, an empty value removes.
func (st *shopTest) send(method, path, body string, header ...string) reply {
	st.t.Helper()
	req, err := http.NewRequest(method, st.url+path, strings.NewReader(body))
	if err != nil {
		st.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", st.sign(method, st.url+path, nil))
	for i := 0; i < len(header); i += 2 {
		if req.Header.Del(header[i]); header[i+1] != "" {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		st.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		st.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// sign makes an Authorization header; change alters the parameters first.
func (st *shopTest) sign(method, target string, change func(map[string]string)) string {
	params := map[string]string{
		"oauth_consumer_key": ConsumerKey, "oauth_token": AccessToken, "oauth_signature_method": "HMAC-SHA256",
		"oauth_version": "1.0", "oauth_timestamp": fmt.Sprint(st.now.Load()), "oauth_nonce": fmt.Sprint("n", st.nonce.Add(1)),
	}
	if change != nil {
		change(params)
	}
	enc := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	u, err := url.Parse(target)
	if err != nil {
		st.t.Fatal(err)
	}
	var pairs []string
	for k, v := range params {
		pairs = append(pairs, enc(k)+"="+enc(v))
	}
	for k, vs := range u.Query() {
		for _, v := range vs {
			pairs = append(pairs, enc(k)+"="+enc(v))
		}
	}
	sort.Strings(pairs)
	base := method + "&" + enc(u.Scheme+"://"+u.Host+u.EscapedPath()) + "&" + enc(strings.Join(pairs, "&"))
	mac := hmac.New(sha256.New, []byte(ConsumerSecret+"&"+AccessTokenSecret))
	mac.Write([]byte(base))
	if _, ok := params["oauth_signature"]; !ok {
		params["oauth_signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	var parts []string
	for k, v := range params {
		if v != "" {
			parts = append(parts, k+`="`+enc(v)+`"`)
		}
	}
	return "OAuth " + strings.Join(parts, ", ")
}

func (st *shopTest) want(got reply, status int, body string) {
	st.t.Helper()
	if got.status != status || got.body != body {
		st.t.Errorf("answer = %d %s\nwant     %d %s", got.status, got.body, status, body)
	}
}

// seed adds Jane with one address.
func (st *shopTest) seed() int64 {
	st.t.Helper()
	id, err := st.shop.Seed(jane)
	if err != nil {
		st.t.Fatal(err)
	}
	return id
}

const (
	address1 = `{"region":{"region_code":"NY"},"country_id":"US","street":["160 1st St."],"telephone":"516-555-1111","postcode":"11501",` +
		`"city":"Mineola","firstname":"Jane","lastname":"Doe","default_shipping":true,"default_billing":true}`
	jane = `{"email":"jdoe@example.com","firstname":"Jane","lastname":"Doe","store_id":1,"website_id":1,"addresses":[` + address1 + `]}`
	// janeView is the customer of the contract's example.
	janeView = `{"id":1,"group_id":1,"default_billing":"1","default_shipping":"1","created_at":"2026-01-01 00:00:00","updated_at":"2026-01-01 00:00:00",` +
		`"created_in":"Default Store View","email":"jdoe@example.com","firstname":"Jane","lastname":"Doe","store_id":1,"website_id":1,` +
		`"addresses":[{"id":1,"customer_id":1,"region":{"region_code":"NY","region":"New York","region_id":43},"region_id":43,"country_id":"US",` +
		`"street":["160 1st St."],"telephone":"516-555-1111","postcode":"11501","city":"Mineola","firstname":"Jane","lastname":"Doe",` +
		`"default_shipping":true,"default_billing":true}],"disable_auto_group_change":0,"extension_attributes":{"is_subscribed":false}}`
)

func addressWith(replace ...string) string { return strings.NewReplacer(replace...).Replace(address1) }

func bodyOf(members string) string { return `{"customer":{` + members + `}}` }

func TestCreateReadUpdateSearchDelete(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	got := st.send("POST", "/rest/default/V1/customers", `{"customer":`+jane+`}`)
	st.want(got, 200, janeView)
	if ct := got.header.Get("Content-Type"); ct != "application/json; charset=utf-8" {
		t.Errorf("content type = %q", ct)
	}
	if st.shop.Mails() != 1 {
		t.Errorf("mails after a create = %d, want 1", st.shop.Mails())
	}
	st.want(st.send("GET", "/rest/V1/customers/1", ""), 200, janeView)
	st.want(st.send("GET", "/index.php/rest/all/V1/customers/1", ""), 200, janeView)

	st.now.Add(60)
	want := strings.NewReplacer(`"updated_at":"2026-01-01 00:00:00"`, `"updated_at":"2026-01-01 00:01:00"`,
		`"email":"jdoe@example.com","firstname":"Jane","lastname":"Doe"`, `"email":"jdoe@example.com","firstname":"Jane","lastname":"Roe","gender":2`).Replace(janeView)
	st.want(st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"id":1,"lastname":"Roe","gender":"2"`)), 200, want)
	if st.shop.Mails() != 1 {
		t.Errorf("mails after an update = %d, want 1", st.shop.Mails())
	}

	query := "?searchCriteria%5BfilterGroups%5D%5B0%5D%5Bfilters%5D%5B0%5D%5Bfield%5D=email&searchCriteria[filterGroups][0][filters][0][value]=JDoe%40example.com" +
		"&searchCriteria[filterGroups][0][filters][0][conditionType]=eq&searchCriteria[filter_groups][1][filters][0][field]=website_id" +
		"&searchCriteria[filter_groups][1][filters][0][value]=1&searchCriteria[pageSize]=2&searchCriteria[currentPage]=1"
	criteria := `"search_criteria":{"filter_groups":[{"filters":[{"field":"email","value":"JDoe@example.com","condition_type":"eq"}]},` +
		`{"filters":[{"field":"website_id","value":"1","condition_type":"eq"}]}],"page_size":2,"current_page":1}`
	st.want(st.send("GET", "/rest/default/V1/customers/search"+query, ""), 200, `{"items":[`+want+`],`+criteria+`,"total_count":1}`)
	st.want(st.send("GET", "/rest/default/V1/customers/search"+query+"&fields=items[id,email,website_id],total_count", ""), 200,
		`{"items":[{"id":1,"email":"jdoe@example.com","website_id":1}],"total_count":1}`)

	if records := st.shop.Records(); len(records) != 1 || records[0].ID != "1" || records[0].Key != "jdoe@example.com" || string(records[0].Document) != want {
		t.Errorf("Records = %+v", records)
	}
	if doc, ok := st.shop.Record(1); !ok || string(doc) != want {
		t.Errorf("Record(1) = %s, %v", doc, ok)
	}
	st.want(st.send("DELETE", "/rest/default/V1/customers/1", ""), 200, "true")
	if _, ok := st.shop.Record(1); ok {
		t.Error("the record is still there after a delete")
	}
	st.want(st.send("DELETE", "/rest/default/V1/customers/1", ""), 404,
		`{"message":"No such entity with %fieldName = %fieldValue","parameters":{"fieldName":"customerId","fieldValue":1}}`)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	const put, post = "PUT /rest/default/V1/customers/1", "POST /rest/default/V1/customers"
	requiredField := func(name string) string {
		return `{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"` + name + `"}}`
	}
	message := func(text string) string { return `{"message":"` + text + `"}` }
	masked := `~^\{"message":"Internal Error\. Details are available in Magento log file\. Report ID: webapi-[0-9a-f]{13,}"\}$`
	withAddress := func(replace ...string) string { return bodyOf(`"id":1,"addresses":[` + addressWith(replace...) + `]`) }
	long := strings.Repeat("x", 256)
	new2 := func(members string) string {
		return bodyOf(`"email":"new@example.com","firstname":"New","lastname":"One","website_id":1` + members)
	}
	tests := []struct {
		name    string
		opts    Options
		request string
		body    string
		header  []string
		status  int
		want    string // a pattern after ~
	}{
		{name: "row 1 customer", request: put, body: `{"client":{}}`, status: 400, want: requiredField("customer")},
		{name: "row 1 customer null", request: post, body: `{"customer":null}`, status: 400, want: requiredField("customer")},
		{name: "row 1 firstname", request: put, body: withAddress(`"firstname":"Jane"`, `"firstname":" "`), status: 400, want: requiredField("firstname")},
		{name: "row 1 street", request: put, body: withAddress(`["160 1st St."]`, `[]`), status: 400, want: requiredField("street")},
		{name: "row 1 city", request: put, body: withAddress(`"city":"Mineola",`, ``), status: 400, want: requiredField("city")},
		{name: "row 1 telephone", request: put, body: withAddress(`"516-555-1111"`, `null`), status: 400, want: requiredField("telephone")},
		{name: "row 1 telephone optional", opts: Options{TelephoneOptional: true}, request: put, body: withAddress(`"516-555-1111"`, `null`), status: 200, want: "~^."},
		{name: "row 1 postcode", request: put, body: withAddress(`"postcode":"11501",`, ``), status: 400, want: requiredField("postcode")},
		{name: "row 1 postcode optional", request: put, body: withAddress(`"postcode":"11501",`, ``, `"US"`, `"IE"`, `{"region_code":"NY"}`, `null`), status: 200, want: "~^."},
		{name: "row 1 countryId", request: put, body: withAddress(`"country_id":"US",`, ``), status: 400, want: requiredField("countryId")},
		{name: "row 1 regionId", request: put, body: withAddress(`"region_code":"NY"`, `"region_code":"ZZ"`), status: 400, want: requiredField("regionId")},
		{name: "row 1 region text beats code", request: put, body: withAddress(`"region_code":"NY"`, `"region_code":"NY","region":"New York"`), status: 400, want: requiredField("regionId")},
		{name: "row 2", request: put, body: withAddress(`"city":"Mineola",`, ``, `"postcode":"11501",`, ``, `"US"`, `"us"`), status: 400,
			want: `{"message":"One or more input exceptions have occurred.","errors":[` +
				`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"city"}},` +
				`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"postcode"}},` +
				`{"message":"Invalid value of \"%value\" provided for the %fieldName field.","parameters":{"fieldName":"countryId","value":"us"}}]}`},
		{name: "row 3 escaped", request: put, body: withAddress(`"US"`, `"<'>"`), status: 400,
			want: `{"message":"Invalid value of \"%value\" provided for the %fieldName field.","parameters":{"fieldName":"countryId","value":"&lt;&#039;&gt;"}}`},
		{name: "row 3 country not allowed", opts: Options{Countries: []string{"DE"}}, request: put, body: withAddress(), status: 400,
			want: `{"message":"Invalid value of \"%value\" provided for the %fieldName field.","parameters":{"fieldName":"countryId","value":"US"}}`},
		{name: "row 3 region of another country", request: put, body: withAddress(`{"region_code":"NY"}`, `{"region_id":82}`), status: 400,
			want: `{"message":"Invalid value of \"%value\" provided for the %fieldName field.","parameters":{"fieldName":"regionId","value":"82"}}`},
		{name: "row 4 joined", request: put, body: bodyOf(`"firstname":"","lastname":"a@b","email":"nobody"`), status: 400,
			want: message(`\"First Name\" is a required value.\n\"Email\" is not a valid email address.\nLast Name is not valid!`)},
		{name: "row 4 newer lists them", opts: Options{Version: V247}, request: put, body: bodyOf(`"firstname":"😀"`), status: 400,
			want: `{"message":"First Name is not valid!","errors":[{"message":"First Name is not valid!","parameters":[]}]}`},
		{name: "row 4 ampersand", request: put, body: bodyOf(`"firstname":"A & B"`), status: 400, want: message("First Name is not valid!")},
		{name: "row 4 ampersand is newer", opts: Options{Version: V247}, request: put, body: bodyOf(`"firstname":"A & B"`), status: 200, want: "~^."},
		{name: "row 4 long", request: put, body: bodyOf(`"lastname":"` + long + `"`), status: 400, want: message(`\"Last Name\" length must be equal or less than 255 characters.`)},
		{name: "row 4 e-mail", request: post, body: bodyOf(`"firstname":"A","lastname":"B"`), status: 400, want: message("The customer email is missing. Enter and try again.")},
		{name: "row 4 website", request: "PUT /rest/default/V1/customers/0", body: bodyOf(`"email":"z@example.com","firstname":"A","lastname":"B"`), status: 400,
			want: message(`\"Associate to Website\" is a required value.`)},
		{name: "row 4 street lines", request: put, body: withAddress(`["160 1st St."]`, `["1","2","3"]`), status: 400, want: message(`\"Street Address\" cannot contain more than 2 lines.`)},
		{name: "row 4 street lines hidden", request: put, body: withAddress(`["160 1st St."]`, `["1\n2","3"]`), status: 400, want: message(`\"Street Address\" cannot contain more than 2 lines.`)},
		{name: "row 4 three lines configured", opts: Options{StreetLines: 3}, request: put, body: withAddress(`["160 1st St."]`, `["1","2","3"]`), status: 200, want: "~^."},
		{name: "row 4 gender", request: put, body: bodyOf(`"gender":4`), status: 400, want: message("Attribute gender does not contain option with Id 4")},
		{name: "row 4 birth date", request: put, body: bodyOf(`"dob":"1990-02-30"`), status: 400, want: message(`\"Date of Birth\" is not a valid date.`)},
		{name: "row 4 future", opts: Options{Version: V247}, request: put, body: bodyOf(`"dob":"2030-01-01"`), status: 400, want: "~should not be greater than today"},
		{name: "row 4 future before", request: put, body: bodyOf(`"dob":"2030-01-01"`), status: 200, want: `~"dob":"2030-01-01"`},
		{name: "row 4 city", opts: Options{Version: V248}, request: put, body: withAddress("Mineola", "Mine*ola"), status: 400, want: "~Invalid City"},
		{name: "row 4 telephone", opts: Options{Version: V248}, request: put, body: withAddress("516-555-1111", "call me"), status: 400, want: "~Invalid Phone Number"},
		{name: "row 4 required attribute", opts: Options{RequiredAttributes: []string{"segment"}}, request: put, body: bodyOf(`"custom_attributes":[{"attribute_code":"crm_id","value":"1"}]`), status: 400, want: message(`\"segment\" is a required value.`)},
		{name: "row 4 required attribute kept", opts: Options{RequiredAttributes: []string{"segment"}}, request: put, body: bodyOf(`"lastname":"Roe"`), status: 200, want: "~^."},
		{name: "row 5 group", request: put, body: bodyOf(`"group_id":99`), status: 400, want: message("The specified customer group id does not exist.")},
		{name: "row 5 store", request: post, body: new2(`,"store_id":3`), status: 400, want: message("The store view is not in the associated website.")},
		{name: "row 5 address of another", request: put, body: bodyOf(`"addresses":[{"id":2,"city":"X"}]`), status: 400,
			want: `{"message":"Provided customer ID \"%customer_id\" isn't related to current customer address.","parameters":{"customer_id":1}}`},
		{name: "row 5 default", request: put, body: bodyOf(`"default_billing":"77"`), status: 400,
			want: `{"message":"The %fieldName value is invalid. Set the correct value and try again.","parameters":{"fieldName":"default_billing"}}`},
		{name: "row 5 early 2.4.7", opts: Options{StrictDefaults: true}, request: put, body: withAddress(), status: 400,
			want: `{"message":"The %fieldName value is invalid. Set the correct value and try again.","parameters":{"fieldName":"default_billing"}}`},
		{name: "row 6 create", request: post, body: `{"customer":` + strings.Replace(jane, "jdoe@", "JDoe@", 1) + `}`, status: 400,
			want: message("A customer with the same email address already exists in an associated website.")},
		{name: "row 6 old text", opts: Options{Version: V23}, request: post, body: `{"customer":` + jane + `}`, status: 400,
			want: message("A customer with the same email already exists in an associated website.")},
		{name: "row 6 update", request: put, body: bodyOf(`"email":"other@example.com"`), status: 400,
			want: message("A customer with the same email address already exists in an associated website.")},
		{name: "row 6 other website is free", request: put, body: bodyOf(`"email":"elsewhere@example.com"`), status: 200, want: "~^."},
		{name: "row 6 global sharing", opts: Options{GlobalSharing: true}, request: put, body: bodyOf(`"email":"elsewhere@example.com"`), status: 400, want: "~same email"},
		{name: "row 6 create with id", request: post, body: bodyOf(`"id":1,"email":"jdoe@example.com","firstname":"A","lastname":"B"`), status: 400,
			want: message("This customer already exists in this store.")},
		{name: "row 7 type", request: put, body: bodyOf(`"group_id":"abc"`), status: 400,
			want: message(`Error occurred during \"group_id\" processing. The \"abc\" value's type is invalid. The \"int\" type was expected. Verify and try again.`)},
		{name: "row 7 street", request: put, body: withAddress(`["160 1st St."]`, `"160 1st St."`), status: 400,
			want: message(`Error occurred during \"addresses\" processing. Error occurred during \"street\" processing. The \"160 1st St.\" value's type is invalid. The \"string[]\" type was expected. Verify and try again.`)},
		{name: "row 7 attribute without value", request: put, body: bodyOf(`"custom_attributes":[{"attribute_code":"segment"}]`), status: 400,
			want: message(`Error occurred during \"custom_attributes\" processing. Value is not set for attribute code \"segment\"`)},
		{name: "row 7 attribute null is old", opts: Options{Version: V23}, request: put, body: bodyOf(`"custom_attributes":[{"attribute_code":"segment","value":null}]`), status: 400,
			want: message(`Error occurred during \"custom_attributes\" processing. Value is not set for attribute code \"segment\"`)},
		{name: "row 7 broken JSON", request: put, body: `{"customer":`, status: 400, want: message("Decoding error.")},
		{name: "row 7 trailing bytes", request: put, body: `{"customer":{}}}`, status: 400, want: message("Decoding error.")},
		{name: "row 7 invalid UTF-8", request: put, body: "{\"customer\":{\"firstname\":\"\xff\"}}", status: 400, want: message("Decoding error.")},
		{name: "row 7 no content type", request: put, body: bodyOf(`"lastname":"Roe"`), header: []string{"Content-Type", ""}, status: 400, want: message("Content-Type header is empty.")},
		{name: "row 7 other content type", request: put, body: bodyOf(`"lastname":"Roe"`), header: []string{"Content-Type", "text/plain"}, status: 400,
			want: message("Server cannot understand Content-Type HTTP header media type text/plain")},
		{name: "row 7 charset", request: put, body: bodyOf(`"lastname":"Roe"`), header: []string{"Content-Type", "application/json; charset=latin1"}, status: 400,
			want: message("UTF-8 is the only supported charset.")},
		{name: "row 7 unknown member, newer", opts: Options{Version: V247}, request: put, body: bodyOf(`"phone_number":"1"`), status: 400,
			want: `{"message":"\"%fieldName\" is not supported. Correct the field name and try again.","parameters":{"fieldName":"PhoneNumber"}}`},
		{name: "row 7 script", request: put, body: bodyOf(`"firstname":"<script>x"`), status: 400,
			want: `{"message":"\"%field_name\" does not contains valid value.","parameters":{"field_name":"firstname"}}`},
		{name: "row 7 input limit", opts: Options{InputLimit: 1}, request: put, body: bodyOf(`"addresses":[` + address1 + `,` + address1 + `]`), status: 400,
			want: `{"message":"Maximum items of type \"%type\" is %max","parameters":{"type":"Magento\\Customer\\Api\\Data\\AddressInterface","max":1}}`},
		{name: "row 8 short", request: post, body: `{"customer":` + strings.Replace(jane, "jdoe", "p1", 1) + `,"password":"Ab1"}`, status: 400,
			want: `{"message":"The password needs at least %1 characters. Create a new password and try again.","parameters":["8"]}`},
		{name: "row 8 classes", request: post, body: `{"customer":` + strings.Replace(jane, "jdoe", "p2", 1) + `,"password":"abcdefgh1"}`, status: 400,
			want: `~^\{"message":"Minimum of different classes of characters in password is %1\. .*","parameters":\["3"\]\}$`},
		{name: "row 11 update", request: "PUT /rest/default/V1/customers/999", body: bodyOf(`"id":999`), status: 404,
			want: `{"message":"No such entity with %fieldName = %fieldValue","parameters":{"fieldName":"customerId","fieldValue":999}}`},
		{name: "row 11 body id", request: put, body: bodyOf(`"id":999`), status: 404,
			want: `{"message":"No such entity with %fieldName = %fieldValue","parameters":{"fieldName":"customerId","fieldValue":999}}`},
		{name: "row 11 read", request: "GET /rest/default/V1/customers/999", status: 404,
			want: `{"message":"No such entity with %fieldName = %fieldValue","parameters":{"fieldName":"customerId","fieldValue":999}}`},
		{name: "row 11 address", request: put, body: bodyOf(`"addresses":[{"id":555}]`), status: 404,
			want: `{"message":"No such entity with %fieldName = %fieldValue","parameters":{"fieldName":"addressId","fieldValue":555}}`},
		{name: "row 11 pair", request: post, body: bodyOf(`"id":7,"email":"none@example.com","firstname":"A","lastname":"B"`), status: 404,
			want: `{"message":"No such entity with %fieldName = %fieldValue, %field2Name = %field2Value","parameters":{"fieldName":"email","fieldValue":"none@example.com","field2Name":"websiteId","field2Value":1}}`},
		{name: "read without number", request: "GET /rest/default/V1/customers/abc", status: 400,
			want: message(`The \"abc\" value's type is invalid. The \"int\" type was expected. Verify and try again.`)},
		{name: "unknown website", request: post, body: new2(`,"website_id":9`), status: 404, want: "~^.{2}message.{3}The website with id %1"},
		{name: "row 12 path", request: "GET /rest/default/V1/clients/1", status: 404, want: message("Request does not match any route.")},
		{name: "row 12 method", request: "POST /rest/default/V1/customers/1", body: `{}`, status: 404, want: message("Request does not match any route.")},
		{name: "row 12 store code", request: "GET /rest/nowhere/V1/customers/1", status: 404, want: message("Request does not match any route.")},
		{name: "row 12 page", opts: Options{HTMLNotFound: true}, request: "GET /rest/nowhere/V1/customers/1", status: 404, want: "~^<!doctype html>"},
		{name: "shop front", request: "GET /V1/customers/1", status: 404, want: "~^<!doctype html>"},
		{name: "row 13 unknown member", request: put, body: bodyOf(`"phone":"1"`), status: 500, want: masked},
		{name: "row 13 unknown address member", request: put, body: withAddress(`"city"`, `"town":"x","city"`), status: 500, want: masked},
		{name: "row 13 database", request: put, body: bodyOf(`"taxvat":"` + long[:51] + `"`), status: 500, want: masked},
		{name: "row 13 newest code", opts: Options{MaskedAs400: true}, request: put, body: bodyOf(`"taxvat":"` + long[:51] + `"`), status: 400, want: masked},
		{name: "row 13 developer", opts: Options{Developer: true}, request: put, body: bodyOf(`"taxvat":"` + long[:51] + `"`), status: 500, want: `~^\{"message":"SQLSTATE\[22001\].*","trace":"#0 /var/www/html/`},
		{name: "developer trace", opts: Options{Developer: true}, request: put, body: bodyOf(`"id":999`), status: 404, want: `~"fieldValue":999\},"trace":"#0 `},
		{name: "developer trace null", opts: Options{Developer: true}, request: put, body: bodyOf(`"id":{}`), status: 400, want: `~,"trace":null\}$`},
		{name: "row 17 method", request: "PATCH /rest/default/V1/customers/1", body: `{}`, status: 405, want: message("The PATCH HTTP method is not supported.")},
		{name: "row 17 accept", request: "GET /rest/default/V1/customers/1", header: []string{"Accept", "text/html"}, status: 406, want: `~^\{"messages":\{"error":\[\{"code":406,"message":"Server cannot match any`},
		{name: "row 17 accept 500", opts: Options{UnmatchedAccept: 500}, request: "GET /rest/default/V1/customers/1", header: []string{"Accept", "text/html"}, status: 500, want: `~"code":500`},
		{name: "no accept", request: "GET /rest/default/V1/customers/1", header: []string{"Accept", ""}, status: 200, want: janeView},
		{name: "search without criteria", request: "GET /rest/default/V1/customers/search", status: 400, want: requiredField("searchCriteria")},
		{name: "search by id", request: "GET /rest/default/V1/customers/search?searchCriteria[filterGroups][0][filters][0][field]=id&searchCriteria[filterGroups][0][filters][0][value]=1", status: 400,
			want: `{"message":"The \"%1\" attribute name is invalid. Reset the name and try again.","parameters":["id"]}`},
		{name: "search page", opts: Options{InputLimit: 20}, request: "GET /rest/default/V1/customers/search?searchCriteria[pageSize]=301", status: 400,
			want: `{"message":"Maximum SearchCriteria pageSize is %max","parameters":{"max":300}}`},
		{name: "country", request: "GET /rest/default/V1/directory/countries/XX", status: 404, want: message("The country isn't available.")},
		{name: "own record", request: "GET /rest/default/V1/customers/me", status: 401,
			want: `{"message":"The consumer isn't authorized to access %resources.","parameters":{"resources":"self"}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := setup(t, tt.opts)
			st.seed()
			for _, other := range []string{
				`{"email":"other@example.com","firstname":"O","lastname":"T","website_id":1,"addresses":[` + address1 + `]}`,
				`{"email":"elsewhere@example.com","firstname":"O","lastname":"T","website_id":2,"store_id":3}`,
			} {
				if _, err := st.shop.Seed(other); err != nil {
					t.Fatal(err)
				}
			}
			before, _ := st.shop.Record(1)
			method, path, _ := strings.Cut(tt.request, " ")
			got := st.send(method, path, tt.body, tt.header...)
			if pattern, ok := strings.CutPrefix(tt.want, "~"); ok {
				if got.status != tt.status || !regexp.MustCompile(pattern).MatchString(got.body) {
					t.Errorf("answer = %d %s\nwant     %d %s", got.status, got.body, tt.status, pattern)
				}
			} else {
				st.want(got, tt.status, tt.want)
			}
			if after, _ := st.shop.Record(1); tt.status != 200 && !bytes.Equal(before, after) {
				t.Errorf("a refused request changed the record\nfrom %s\nto   %s", before, after)
			}
			if tt.status != 200 && len(st.shop.Records()) != 3 {
				t.Errorf("a refused request left %d records, want 3", len(st.shop.Records()))
			}
		})
	}
}

func TestAddressesAreReplaced(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		body   string
		ids    []int64
		fields map[string]any // of the first address
		bill   any
	}{
		{name: "absent keeps", body: `"lastname":"Roe"`, ids: []int64{1}, bill: "1"},
		{name: "null keeps", body: `"addresses":null`, ids: []int64{1}, bill: "1"},
		{name: "empty deletes all", body: `"addresses":[]`, ids: nil},
		{name: "without id is new", body: `"addresses":[` + address1 + `]`, ids: []int64{2}, bill: "2"},
		{name: "with id is changed", body: `"addresses":[{"id":1,"city":"Albany","default_billing":true}]`, ids: []int64{1}, bill: "1",
			fields: map[string]any{"city": "Albany", "postcode": "11501", "region_id": 43.0, "default_shipping": nil, "default_billing": true}},
		{name: "null in a changed one keeps", body: `"addresses":[{"id":1,"postcode":null}]`, ids: []int64{1},
			fields: map[string]any{"postcode": "11501", "default_billing": nil}},
		{name: "list is final", body: `"addresses":[{"id":1,"city":"Albany","default_billing":true},` + addressWith("true", "false", "Mineola", "Troy") + `]`,
			ids: []int64{1, 2}, bill: "1"},
		{name: "last flag wins", body: `"addresses":[{"id":1,"default_billing":true},` + address1 + `]`, ids: []int64{1, 2}, bill: "2"},
		{name: "region id beside", body: `"addresses":[{"id":1,"region":{"region_code":null},"region_id":"33"}]`, ids: []int64{1},
			fields: map[string]any{"region_id": 33.0, "region": map[string]any{"region_code": "MI", "region": "Michigan", "region_id": 33.0}}},
		{name: "region text", body: `"addresses":[{"id":1,"country_id":"GB","region":{"region":"Kent"}}]`, ids: []int64{1},
			fields: map[string]any{"region_id": 0.0, "region": map[string]any{"region_code": "Kent", "region": "Kent", "region_id": 0.0}}},
		{name: "no region", body: `"addresses":[{"id":1,"country_id":"DE","region":{}}]`, ids: []int64{1},
			fields: map[string]any{"region_id": 0.0, "region": map[string]any{"region_code": nil, "region": nil, "region_id": 0.0}}},
		{name: "camel case", body: `"addresses":[{"id":1,"countryId":"DE","region":{"regionCode":"BER"}}]`, ids: []int64{1},
			fields: map[string]any{"region_id": 82.0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st := setup(t, Options{})
			st.seed()
			got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(tt.body))
			if got.status != 200 {
				t.Fatalf("answer = %d %s", got.status, got.body)
			}
			var doc struct {
				DefaultBilling any              `json:"default_billing"`
				Addresses      []map[string]any `json:"addresses"`
			}
			if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
				t.Fatal(err)
			}
			var ids []int64
			for _, a := range doc.Addresses {
				ids = append(ids, int64(a["id"].(float64)))
			}
			if fmt.Sprint(ids) != fmt.Sprint(tt.ids) || doc.DefaultBilling != tt.bill {
				t.Errorf("addresses = %v, default billing %v, want %v, %v", ids, doc.DefaultBilling, tt.ids, tt.bill)
			}
			for name, want := range tt.fields {
				if got := doc.Addresses[0][name]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s = %v, want %v", name, got, want)
				}
			}
			if stored, _ := st.shop.Record(1); string(stored) != got.body {
				t.Errorf("stored %s, answered %s", stored, got.body)
			}
		})
	}
}

func TestOldAddressFailsUnrelatedUpdate(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	id, err := st.shop.Seed(strings.Replace(jane, `"postcode":"11501",`, ``, 1))
	if err != nil {
		t.Fatal(err)
	}
	st.want(st.send("PUT", fmt.Sprint("/rest/default/V1/customers/", id), bodyOf(`"lastname":"Roe"`)), 400,
		`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"postcode"}}`)
}

func TestBodyIDBeatsPath(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	if _, err := st.shop.Seed(`{"email":"two@example.com","firstname":"Two","lastname":"Two","website_id":1}`); err != nil {
		t.Fatal(err)
	}
	// The address of customer 1 is saved under customer 2.
	st.want(st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"id":2,"email":"two@example.com"`)), 400,
		`{"message":"Provided customer ID \"%customer_id\" isn't related to current customer address.","parameters":{"customer_id":2}}`)
	// The e-mail address of customer 2 is saved under customer 1.
	if got := st.send("PUT", "/rest/default/V1/customers/2", bodyOf(`"id":1`)); got.status != 400 || !strings.Contains(got.body, "same email") {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
	// With an e-mail address of its own the two are mixed, and the addresses are gone.
	if got := st.send("PUT", "/rest/default/V1/customers/2", bodyOf(`"id":1,"email":"jdoe@example.com"`)); got.status != 200 ||
		!strings.Contains(got.body, `"id":1,`) || !strings.Contains(got.body, `"firstname":"Two"`) || !strings.Contains(got.body, `"addresses":[]`) {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
	// Path 0 inserts, without a mail.
	got := st.send("PUT", "/rest/default/V1/customers/0", bodyOf(`"email":"three@example.com","firstname":"C","lastname":"D","website_id":1`))
	if got.status != 200 || !strings.HasPrefix(got.body, `{"id":3,`) || st.shop.Mails() != 0 {
		t.Errorf("answer = %d %s, mails %d", got.status, got.body, st.shop.Mails())
	}
}

func TestUpdateBefore24(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{Version: V23})
	if _, err := st.shop.Seed(strings.Replace(jane, `"store_id":1`, `"store_id":2,"group_id":3,"middlename":"M","custom_attributes":{"segment":"gold"}`, 1)); err != nil {
		t.Fatal(err)
	}
	const full = `"email":"jdoe@example.com","firstname":"Jane","lastname":"Roe","website_id":1`
	if got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(full)); got.status != 400 || !strings.Contains(got.body, "same email already exists") {
		t.Errorf("no id in the body: %d %s", got.status, got.body)
	}
	if got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"id":1,"lastname":"Roe"`)); got.status != 400 || !strings.Contains(got.body, "email is missing") {
		t.Errorf("no e-mail: %d %s", got.status, got.body)
	}
	got := st.send("PUT", "/rest/default/V1/customers/77", bodyOf(`"id":1,`+full))
	for _, want := range []string{`"id":1,"group_id":1,`, `"store_id":1,`, `"middlename":"M"`, `"city":"Mineola"`, `"lastname":"Roe"`} {
		if got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("the path id must not matter: %d %s, want %s", got.status, got.body, want)
		}
	}
	if strings.Contains(got.body, "segment") {
		t.Errorf("custom attributes were kept: %s", got.body)
	}
}

func TestAttributesAndExtensions(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{B2B: true})
	st.seed()
	got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"custom_attributes":[{"attribute_code":"segment","value":"gold"},{"attribute_code":"absent_here","value":"x"}],`+
		`"extension_attributes":{"is_subscribed":true,"company_attributes":{"company_id":5,"job_title":"Buyer","status":1}}`))
	want := `"extension_attributes":{"company_attributes":{"customer_id":1,"company_id":5,"job_title":"Buyer","status":1},"is_subscribed":true},` +
		`"custom_attributes":[{"attribute_code":"segment","value":"gold"}]}`
	if got.status != 200 || !strings.HasSuffix(got.body, want) {
		t.Errorf("answer = %d %s\nwant …%s", got.status, got.body, want)
	}
	got = st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"custom_attributes":[{"attribute_code":"crm_id","value":7}],"extension_attributes":{"assistance_allowed":2}`))
	for _, want := range []string{`"is_subscribed":true`, `"assistance_allowed":2`, `{"attribute_code":"segment","value":"gold"}`, `{"attribute_code":"crm_id","value":"7"}`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("answer lacks %s: %s", want, got.body)
		}
	}
	got = st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"custom_attributes":[{"attribute_code":"segment","value":null}]`))
	if got.status != 200 || strings.Contains(got.body, "gold") {
		t.Errorf("null did not clear: %d %s", got.status, got.body)
	}
	got = st.send("POST", "/rest/default/V1/customers", bodyOf(`"email":"b2b@example.com","firstname":"B","lastname":"C","extension_attributes":{"company_attributes":{"company_id":5}}`))
	if got.status != 200 || strings.Contains(got.body, "company_id") {
		t.Errorf("a create set the company: %d %s", got.status, got.body)
	}
}

func TestCreateIsNoTransaction(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{Countries: []string{"DE"}})
	body := `{"customer":` + jane + `}`
	// A country that is not allowed is dropped without a word.
	got := st.send("POST", "/rest/default/V1/customers", body)
	if got.status != 200 || !strings.Contains(got.body, `"addresses":[]`) {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
	st.shop.Configure(func(o *Options) { o.Countries = nil })
	// Invalid input deletes the customer again.
	other := strings.NewReplacer("jdoe@", "two@", `"Mineola"`, `""`).Replace(body)
	if got := st.send("POST", "/rest/default/V1/customers", other); got.status != 400 || len(st.shop.Records()) != 1 {
		t.Errorf("answer = %d %s, %d records", got.status, got.body, len(st.shop.Records()))
	}
	// Other failures leave it without addresses.
	st.shop.FailSaves(AddressDeadlock)
	third := strings.Replace(body, "jdoe@", "three@", 1)
	if got := st.send("POST", "/rest/default/V1/customers", third); got.status != 500 {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
	if records := st.shop.Records(); len(records) != 2 || !strings.Contains(string(records[1].Document), `"addresses":[]`) {
		t.Errorf("records = %v", records)
	}
	st.want(st.send("POST", "/rest/default/V1/customers", third), 400, `{"message":"A customer with the same email address already exists in an associated website."}`)
}

func TestScriptedFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		failure Failure
		opts    Options
		accept  string
		status  int
		want    string
	}{
		{failure: Deadlock, status: 500, want: `^\{"message":"Internal Error\. .* Report ID: webapi-[0-9a-f]+"\}$`},
		{failure: Deadlock, opts: Options{MaskedAs400: true}, status: 400, want: `webapi-`},
		{failure: Deadlock, opts: Options{Developer: true}, status: 500, want: `^\{"message":"SQLSTATE\[40001\]: Serialization failure: 1213 Deadlock found when trying to get lock; try restarting transaction, .*","trace":"#0`},
		{failure: LockWait, opts: Options{Developer: true}, status: 500, want: `1205 Lock wait timeout exceeded`},
		{failure: RolledBackBefore, opts: Options{Developer: true}, status: 500, want: `Rolled back transaction has not been completed correctly\.`},
		{failure: UniqueViolation, status: 400, want: `^\{"message":"Unique constraint violation found"\}$`},
		{failure: FatalError, status: 500, want: `^\{"messages":\{"error":\[\{"code":500,"message":"Server internal error\. See details in report api/\d+"\}\]\}\}$`},
		{failure: FatalError, accept: "application/xml", status: 500, want: `^<\?xml version="1\.0"\?><error><messages><error><data_item><code>500</code><message><!\[CDATA\[Server internal error`},
		{failure: ErrorReport, status: 500, want: `^<!doctype html>[\s\S]*There has been an error processing your request`},
		{failure: Maintenance, status: 503, want: `^<!doctype html>[\s\S]*Service Temporarily Unavailable`},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.failure, tt.accept, tt.opts.Developer, tt.opts.MaskedAs400), func(t *testing.T) {
			t.Parallel()
			st := setup(t, tt.opts)
			id := st.seed()
			before, _ := st.shop.Record(id)
			st.shop.FailSaves(tt.failure)
			accept := tt.accept
			if accept == "" {
				accept = "application/json"
			}
			got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"lastname":"Roe"`), "Accept", accept)
			if got.status != tt.status || !regexp.MustCompile(tt.want).MatchString(got.body) {
				t.Errorf("answer = %d %s, want %d %s", got.status, got.body, tt.status, tt.want)
			}
			if after, _ := st.shop.Record(id); !bytes.Equal(before, after) {
				t.Error("a failed save changed the record")
			}
			if got := st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"lastname":"Roe"`)); got.status != 200 {
				t.Errorf("the next save = %d %s", got.status, got.body)
			}
		})
	}
}

func TestXML(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	tests := []struct{ accept, method, path, body, want string }{
		{"application/xml", "PUT", "/rest/default/V1/customers/999", bodyOf(""),
			"<?xml version=\"1.0\"?>\n<response><message>No such entity with %fieldName = %fieldValue</message><parameters><fieldName>customerId</fieldName><fieldValue>999</fieldValue></parameters></response>\n"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "POST", "/rest/default/V1/customers", `{"customer":` + jane + `,"password":"x"}`,
			"<?xml version=\"1.0\"?>\n<response><message>The password needs at least %1 characters. Create a new password and try again.</message><parameters><item>8</item></parameters></response>\n"},
	}
	for _, tt := range tests {
		got := st.send(tt.method, tt.path, tt.body, "Accept", tt.accept)
		if got.body != tt.want || got.header.Get("Content-Type") != "application/xml; charset=utf-8" {
			t.Errorf("answer = %q %q, want %q", got.header.Get("Content-Type"), got.body, tt.want)
		}
	}
	got := st.send("GET", "/rest/default/V1/customers/1", "", "Accept", "application/xml")
	var doc struct {
		ID     int    `xml:"id"`
		Street string `xml:"addresses>item>street>item"`
	}
	if err := xml.Unmarshal([]byte(got.body), &doc); err != nil || doc.ID != 1 || doc.Street != "160 1st St." {
		t.Errorf("read = %+v, %v from %s", doc, err, got.body)
	}
	if got := st.send("GET", "/rest/default/V1/customers/1", "", "Accept", "application/xml;q=0.5, application/json"); got.body != janeView {
		t.Errorf("quality ignored: %s", got.body)
	}
}

func TestOAuth(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	const path = "/rest/default/V1/customers/1?fields=id"
	tests := []struct {
		name   string
		change func(map[string]string)
		status int
		want   string
	}{
		{"good", nil, 200, `{"id":1}`},
		{"other signature", func(p map[string]string) { p["oauth_signature"] = "AAAA" }, 401, `{"message":"The signature is invalid. Verify and try again."}`},
		{"nonce", func(p map[string]string) { p["oauth_nonce"] = "n1" }, 401,
			`{"message":"The nonce is already being used by the consumer with ID %1","parameters":[1]}`},
		{"future", func(p map[string]string) { p["oauth_timestamp"] = fmt.Sprint(st.now.Load() + 601) }, 401, `{"message":"Incorrect timestamp value in the oauth_timestamp parameter"}`},
		{"method", func(p map[string]string) { p["oauth_signature_method"] = "HMAC-SHA1" }, 400, `{"message":"Signature method %1 is not supported","parameters":["HMAC-SHA1"]}`},
		{"consumer", func(p map[string]string) { p["oauth_consumer_key"] = "x" }, 401, `{"message":"A consumer having the specified key does not exist"}`},
		{"token", func(p map[string]string) { p["oauth_token"] = "x" }, 401, `{"message":"Specified token does not exist"}`},
		{"version", func(p map[string]string) { p["oauth_version"] = "2.0" }, 400, `{"message":"The \"%1\" Oauth version isn't supported.","parameters":["2.0"]}`},
		{"missing", func(p map[string]string) { p["oauth_nonce"] = "" }, 400, `{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"oauth_nonce"}}`},
	}
	for _, tt := range tests {
		st.want(st.send("GET", path, "", "Authorization", st.sign("GET", st.url+path, tt.change)), tt.status, tt.want)
	}
	for _, signed := range []string{"/rest/default/V1/customers/1", "/rest/default/V1/customers/1?fields=email"} {
		st.want(st.send("GET", path, "", "Authorization", st.sign("GET", st.url+signed, nil)), 401, `{"message":"The signature is invalid. Verify and try again."}`)
	}
	st.shop.Configure(func(o *Options) { o.Revoked = true })
	st.want(st.send("GET", path, ""), 401, `{"message":"Access token has been revoked"}`)
}

// TestOAuthVector holds a signature computed by another implementation.
func TestOAuthVector(t *testing.T) {
	t.Parallel()
	shop := New(Options{Now: func() time.Time { return time.Unix(1767225600, 0) }})
	r := httptest.NewRequest("GET", "http://shop.example:80/rest/default/V1/customers/search?searchCriteria[filterGroups][0][filters][0][field]=email"+
		"&searchCriteria[filterGroups][0][filters][0][value]=a%2Bb%40example.com&searchCriteria[pageSize]=2", nil)
	r.Header.Set("Authorization", `OAuth realm="", oauth_consumer_key="`+ConsumerKey+`",oauth_token="`+AccessToken+`", oauth_nonce="n1", oauth_timestamp="1767225600",`+
		`oauth_signature_method="HMAC-SHA256",oauth_version="1.0", oauth_signature="%2BMVfLACUs4I8%2BxCWaXpbKsLPa9eizyyH6kGVZICOW2E%3D"`)
	r.RequestURI = r.URL.RequestURI()
	w := httptest.NewRecorder()
	shop.ServeHTTP(w, r)
	if w.Code != 200 || !strings.Contains(w.Body.String(), `"total_count":0`) {
		t.Errorf("answer = %d %s", w.Code, w.Body)
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	const refused = `{"message":"The consumer isn't authorized to access %resources.","parameters":{"resources":"Magento_Customer::customer"}}`
	const signIn = `{"message":"The account sign-in was incorrect or your account is disabled temporarily. Please wait and try again later."}`
	read := func(authorization string) reply {
		return st.send("GET", "/rest/default/V1/customers/1", "", "Authorization", authorization)
	}
	ask := func(password string) reply {
		return st.send("POST", "/rest/default/V1/integration/admin/token", `{"username":"`+Username+`","password":"`+password+`"}`, "Authorization", "")
	}
	token := func() string {
		t.Helper()
		var s string
		if got := ask(Password); got.status != 200 || json.Unmarshal([]byte(got.body), &s) != nil || s == "" {
			t.Fatalf("token call = %d %s", got.status, got.body)
		}
		return "Bearer " + s
	}
	st.want(read(""), 401, refused)
	st.want(read("Bearer "+AccessToken), 401, refused)
	st.shop.Configure(func(o *Options) { o.IntegrationBearer = true })
	st.want(read("Bearer "+AccessToken), 200, janeView)

	admin := token()
	st.want(read(admin), 200, janeView)
	st.now.Add(4*3600 - 1)
	st.want(read(admin), 200, janeView)
	st.now.Add(1)
	st.want(read(admin), 401, refused)
	admin = token()
	st.shop.ExpireTokens()
	st.want(read(admin), 401, refused)

	st.want(st.send("POST", "/rest/V1/integration/admin/token", `{}`), 400, `{"message":"One or more input exceptions have occurred.","errors":[`+
		`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"username"}},`+
		`{"message":"\"%fieldName\" is required. Enter and try again.","parameters":{"fieldName":"password"}}]}`)
	for range 6 {
		st.want(ask("wrong"), 401, signIn)
	}
	st.want(ask(Password), 401, signIn)
	st.now.Add(30 * 60)
	token()
	st.shop.Configure(func(o *Options) { o.TwoFactor = true })
	st.want(ask(Password), 400, `{"message":"Please use the 2fa provider-specific endpoints to obtain a token.","parameters":{"active_providers":["google"]}}`)

	st.shop.Configure(func(o *Options) { o.Rights = []string{RightRead} })
	st.want(st.send("PUT", "/rest/default/V1/customers/1", bodyOf(`"lastname":"Roe"`)), 401,
		`{"message":"The consumer isn't authorized to access %resources.","parameters":{"resources":"Magento_Customer::manage"}}`)
}

func TestGuestCreate(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	body := func(n int) string {
		return bodyOf(fmt.Sprintf(`"email":"guest%d@example.com","firstname":"G","lastname":"H","group_id":3`, n))
	}
	if got := st.send("POST", "/rest/default/V1/customers", body(1), "Authorization", ""); got.status != 200 || !strings.Contains(got.body, `"group_id":1,`) {
		t.Errorf("guest = %d %s", got.status, got.body)
	}
	if got := st.send("POST", "/rest/default/V1/customers", body(2)); got.status != 200 || !strings.Contains(got.body, `"group_id":3,`) {
		t.Errorf("integration = %d %s", got.status, got.body)
	}
	st.shop.Configure(func(o *Options) { o.Version = V247 })
	if got := st.send("POST", "/rest/default/V1/customers", body(3), "Authorization", ""); got.status != 401 {
		t.Errorf("guest with newer code = %d %s", got.status, got.body)
	}
}

func TestPlaceOfNewCustomer(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	tests := []struct{ path, members, want string }{
		{"/rest/de/V1/customers", ``, `"created_in":"German Store View",.*"store_id":2,"website_id":1,`},
		{"/rest/default/V1/customers", `,"website_id":2`, `"created_in":"Wholesale Store View",.*"store_id":3,"website_id":2,`},
		{"/rest/V1/customers", `,"store_id":3`, `"store_id":3,"website_id":2,`},
		{"/rest/V1/customers", `,"store_id":9`, `^\{"message":"The store that was requested wasn't found\.`},
		{"/rest/V1/customers", `,"website_id":9`, `^\{"message":"The website with id %1 that was requested wasn't found\. .*","parameters":\[9\]\}$`},
	}
	for i, tt := range tests {
		got := st.send("POST", tt.path, bodyOf(fmt.Sprintf(`"email":"c%d@example.com","firstname":"A","lastname":"B"%s`, i, tt.members)))
		if !regexp.MustCompile(tt.want).MatchString(got.body) {
			t.Errorf("%s %s: %d %s, want %s", tt.path, tt.members, got.status, got.body, tt.want)
		}
	}
}

func TestValidateAndAvailability(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	st.want(st.send("PUT", "/rest/default/V1/customers/validate", `{"customer":`+jane+`}`), 200, `{"valid":true,"messages":[]}`)
	st.want(st.send("PUT", "/rest/default/V1/customers/validate", bodyOf(`"firstname":"A","email":"x","addresses":[{}]`)), 200,
		`{"valid":false,"messages":["\"Last Name\" is a required value.","\"Email\" is not a valid email address."]}`)
	st.want(st.send("POST", "/rest/default/V1/customers/isEmailAvailable", `{"customerEmail":"jdoe@example.com"}`, "Authorization", ""), 200, "true")
	if len(st.shop.Records()) != 1 {
		t.Error("a dry run stored something")
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	for code, want := range map[string][]string{
		"US": {`{"id":"43","code":"NY","name":"New York"}`, `{"id":"12","code":"CA","name":"California"}`, `{"id":"57","code":"TX","name":"Texas"}`,
			`{"id":"33","code":"MI","name":"Michigan"}`, `{"id":"4","code":"AZ","name":"Arizona"}`},
		"CA": {`{"id":"74","code":"ON","name":"Ontario"}`},
		"DE": {`{"id":"81","code":"BAY","name":"Bayern"}`, `"three_letter_abbreviation":"DEU"`},
	} {
		got := st.send("GET", "/rest/default/V1/directory/countries/"+code, "", "Authorization", "")
		for _, w := range want {
			if got.status != 200 || !strings.Contains(got.body, w) {
				t.Errorf("%s: %d %s, want %s", code, got.status, got.body, w)
			}
		}
	}
	st.want(st.send("GET", "/rest/default/V1/directory/countries/FR", ""), 200,
		`{"id":"FR","two_letter_abbreviation":"FR","three_letter_abbreviation":"FRA","full_name_locale":"France","full_name_english":"France"}`)
	if got := st.send("GET", "/rest/default/V1/directory/countries?fields=id", ""); !strings.Contains(got.body, `{"id":"DE"},{"id":"DK"}`) {
		t.Errorf("countries = %s", got.body)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	for i, email := range []string{"a+b@example.com", "b@example.com", "c@example.net"} {
		if _, err := st.shop.Seed(fmt.Sprintf(`{"email":%q,"firstname":"F%d","lastname":"L","website_id":1,"group_id":%d}`, email, i, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	filter := func(group, i int, field, value, condition string) string {
		p := fmt.Sprintf("&searchCriteria[filterGroups][%d][filters][%d]", group, i)
		return p + "[field]=" + field + p + "[value]=" + url.QueryEscape(value) + p + "[conditionType]=" + condition
	}
	tests := []struct{ name, query, want string }{
		{"all", "&searchCriteria=", `[{"id":1},{"id":2},{"id":3}] 3`},
		{"plus sign", filter(0, 0, "email", "a+b@example.com", "eq"), `[{"id":1}] 1`},
		{"plus sign not encoded", "&searchCriteria[filterGroups][0][filters][0][field]=email&searchCriteria[filterGroups][0][filters][0][value]=a%20b@example.com", `[] 0`},
		{"and", filter(0, 0, "email", "b@example.com", "eq") + filter(1, 0, "website_id", "2", "eq"), `[] 0`},
		{"or", filter(0, 0, "email", "b@example.com", "eq") + filter(0, 1, "group_id", "3", "eq"), `[{"id":2},{"id":3}] 2`},
		{"like", filter(0, 0, "email", "%@example.com", "like"), `[{"id":1},{"id":2}] 2`},
		{"in", filter(0, 0, "entity_id", "1,3", "in"), `[{"id":1},{"id":3}] 2`},
		{"gt", filter(0, 0, "entity_id", "1", "gt"), `[{"id":2},{"id":3}] 2`},
		{"null", filter(0, 0, "dob", "", "null"), `[{"id":1},{"id":2},{"id":3}] 3`},
		{"page", "&searchCriteria[pageSize]=2&searchCriteria[currentPage]=2", `[{"id":3}] 3`},
		{"huge page", "&searchCriteria[pageSize]=9223372036854775807&searchCriteria[currentPage]=-9223372036854775808", `[{"id":1},{"id":2},{"id":3}] 3`},
		{"huge number", "&searchCriteria[pageSize]=1e999", `[{"id":1},{"id":2},{"id":3}] 3`},
		{"past the end", "&searchCriteria[pageSize]=2&searchCriteria[currentPage]=9", `[{"id":3}] 3`},
		{"sorted", "&searchCriteria[sortOrders][0][field]=email&searchCriteria[sortOrders][0][direction]=DESC", `[{"id":3},{"id":2},{"id":1}] 3`},
	}
	for _, tt := range tests {
		got := st.send("GET", "/rest/default/V1/customers/search?fields=items[id],total_count"+tt.query, "")
		var doc struct {
			Items json.RawMessage `json:"items"`
			Total int             `json:"total_count"`
		}
		if err := json.Unmarshal([]byte(got.body), &doc); err != nil {
			t.Fatal(err)
		}
		if s := fmt.Sprint(string(doc.Items), " ", doc.Total); s != tt.want {
			t.Errorf("%s = %s, want %s", tt.name, s, tt.want)
		}
	}
}

func TestRateLimitedAndRoute(t *testing.T) {
	t.Parallel()
	shop := New(Options{})
	w := httptest.NewRecorder()
	shop.RateLimited(w, httptest.NewRequest("GET", "/rest/V1/customers/1", nil), 1500*time.Millisecond)
	if w.Code != 429 || w.Body.String() != `{"message":"Too Many Requests","trace":null}` || w.Header().Get("Retry-After") != "2" {
		t.Errorf("rate limited = %d %s %v", w.Code, w.Body, w.Header())
	}
	for auth, names := range map[RouteAuth]string{
		OAuth: "access_token access_token_secret consumer_key consumer_secret", Bearer: "access_token", Admin: "password username",
	} {
		route := New(Options{RouteAuth: auth}).Route()
		var got []string
		for name := range route.Credentials {
			got = append(got, name)
		}
		sort.Strings(got)
		if strings.Join(got, " ") != names || route.BasePath != "" || fmt.Sprint(route.Settings) != "map[store:default store_id:1 website_id:1]" {
			t.Errorf("route = %+v", route)
		}
	}
}

func TestConcurrentCreates(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	var created, conflicts atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			got := st.send("POST", "/rest/default/V1/customers", strings.Replace(`{"customer":`+jane+`}`, "jdoe", fmt.Sprint("c", i%10), 1))
			switch {
			case got.status == 200:
				created.Add(1)
			case got.status == 400 && strings.Contains(got.body, "same email"):
				conflicts.Add(1)
			default:
				t.Errorf("answer = %d %s", got.status, got.body)
			}
			st.shop.Records()
		})
	}
	wg.Wait()
	if created.Load() != 10 || conflicts.Load() != 30 || len(st.shop.Records()) != 10 {
		t.Errorf("created %d, conflicts %d, records %d, want 10, 30, 10", created.Load(), conflicts.Load(), len(st.shop.Records()))
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	st := setup(t, Options{})
	st.seed()
	full := newAuth()
	for i := range maxNonces + 1 {
		if !full.use(fmt.Sprint(i)) {
			t.Fatalf("nonce %d was refused", i)
		}
	}
	if len(full.nonces) > maxNonces || len(full.nonces) != len(full.nonceOrder) || full.use(fmt.Sprint(maxNonces)) {
		t.Errorf("nonces = %d, order = %d", len(full.nonces), len(full.nonceOrder))
	}
	var first string
	for i := range maxTokens + 1 {
		st.now.Add(1)
		got := st.send("POST", "/rest/V1/integration/admin/token", `{"username":"`+Username+`","password":"`+Password+`"}`, "Authorization", "")
		if got.status != 200 {
			t.Fatalf("token %d = %d %s", i, got.status, got.body)
		}
		if i == 0 {
			first = strings.Trim(got.body, `"`)
		}
	}
	if got := st.send("GET", "/rest/V1/customers/1", "", "Authorization", "Bearer "+first); got.status != 401 {
		t.Errorf("the oldest token still works: %d", got.status)
	}

	for id := range int64(maxRecords) {
		st.shop.shop.customers[id+1] = st.shop.shop.customers[1]
	}
	if got := st.send("POST", "/rest/V1/customers", bodyOf(`"email":"x@example.com","firstname":"A","lastname":"B"`)); got.status != 500 {
		t.Errorf("create in a full shop = %d %s", got.status, got.body)
	}
	if _, err := st.shop.Seed(jane); err == nil || !strings.Contains(err.Error(), "100000") {
		t.Errorf("seed in a full shop = %v", err)
	}
}

func TestSeedRefusesWhatIsNoCustomer(t *testing.T) {
	t.Parallel()
	for document, want := range map[string]string{`{`: "Decoding error", `null`: `"customer" is required`, `{"group_id":"x"}`: "group_id"} {
		if _, err := New(Options{}).Seed(document); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Seed(%s) = %v, want %s", document, err, want)
		}
	}
}

// FuzzSave holds that any body gets an answer in the shop's own shape and that
// a refusal changes nothing.
func FuzzSave(f *testing.F) {
	for _, body := range []string{`{"customer":` + jane + `}`, bodyOf(`"id":1,"addresses":[{"id":1,"street":{"a":[1]}}]`), `[]`, `{"customer":[[]]}`,
		bodyOf(`"id":1e400,"group_id":-9223372036854775808`), bodyOf(`"custom_attributes":{"a":[{}],"segment":[null]}`), bodyOf(`"_":1`), bodyOf(`"é_x":1`)} {
		f.Add(body, true)
		f.Add(body, false)
	}
	f.Fuzz(func(t *testing.T, body string, put bool) {
		shop := New(Options{IntegrationBearer: true, B2B: true, Now: func() time.Time { return time.Unix(0, 0) }})
		if _, err := shop.Seed(jane); err != nil {
			t.Fatal(err)
		}
		before := shop.Records()
		method, path := "POST", "/rest/default/V1/customers"
		if put {
			method, path = "PUT", path+"/1"
		}
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+AccessToken)
		w := httptest.NewRecorder()
		shop.ServeHTTP(w, r)
		var doc map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatalf("answer %d is not an object: %s", w.Code, w.Body)
		}
		if w.Code == 200 {
			if doc["id"] == nil {
				t.Fatalf("success without id: %s", w.Body)
			}
			return
		}
		if doc["message"] == nil {
			t.Fatalf("refusal without message: %s", w.Body)
		}
		if after := shop.Records(); fmt.Sprint(before) != fmt.Sprint(after) {
			t.Fatalf("refused with %s, yet changed", w.Body)
		}
	})
}
