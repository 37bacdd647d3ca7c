package magento

import (
	"net/url"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// valid is a customer who lacks nothing, to which tests add members.
const valid = `{"name": {"givenName": "Kim", "familyName": "Lee"}, "emails": [{"value": "kim+shop@example.com"}]`

// upsert is the customer of valid with more members.
func upsert(t *testing.T, more, remoteID string) canonical.Upsert {
	t.Helper()
	if more != "" {
		more = ", " + more
	}
	return adaptertest.Upsert(adaptertest.Decode(t, "c1", []byte(valid+more+"}")), "shop", name, remoteID)
}

// direct translates an upsert of a known record on an exclusive route, which is
// written at once, and returns the customer in the body.
func direct(t *testing.T, more string, change func(*Config)) (canonical.Value, []canonical.Notice, error) {
	t.Helper()
	a := New(setup(func(c *Config) {
		c.Exclusive = true
		if change != nil {
			change(c)
		}
	}))
	req, notices, err := a.Translate(upsert(t, more, "7"))
	if err != nil {
		return canonical.Value{}, nil, err
	}
	if req.Op != opUpdate || req.Method != "PUT" || req.Path != "/rest/default/V1/customers/7" || !req.Repeatable {
		t.Errorf("request is %s %s %s, want the update of customer 7", req.Op, req.Method, req.Path)
	}
	return sentCustomer(req), notices, nil
}

const address = `"country": "US", "lines": ["1 Main St"], "city": "Mineola", "postalCode": "11501", "phoneNumber": "+15165551111"`

func TestTranslate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		more   string
		change func(*Config)
		path   string // of the customer object, by slashes
		want   string // JSON of what stands there
	}{
		{"id equals the path", ``, nil, "id", `7`},
		{"email", ``, nil, "email", `"kim+shop@example.com"`},
		{"website", ``, nil, "website_id", `1`},
		{"no website with global accounts", ``, func(c *Config) { c.GlobalAccounts = true }, "website_id", ``},
		{"store and group stay as they are", ``, func(c *Config) { c.GroupID = 5 }, "group_id", ``},
		{"group of the customer type", `"customerType": "reseller"`, func(c *Config) { c.Groups = map[string]int64{"reseller": 3} }, "group_id", `3`},
		{"gender", `"gender": "unspecified"`, nil, "gender", `3`},
		{"gender without an option", `"gender": "other"`, nil, "gender", ``},
		{"birth date", `"birthDate": "1988-05-10"`, nil, "dob", `"1988-05-10"`},
		{"primary tax number", `"taxIds": [{"value": "A"}, {"value": "DE1", "primary": true}]`, nil, "taxvat", `"DE1"`},
		{"addresses absent", ``, nil, "addresses", ``},
		{"addresses empty", `"addresses": []`, nil, "addresses", ``},
		{"addresses empty, replaced", `"addresses": []`, func(c *Config) { c.Addresses = "replace" }, "addresses", `[]`},
		{"addresses null, replaced", `"addresses": null`, func(c *Config) { c.Addresses = "replace" }, "addresses", `[]`},
		{"addresses absent, replaced", ``, func(c *Config) { c.Addresses = "replace" }, "addresses", ``},
		{"region code", `"addresses": [{` + address + `, "region": "NY"}]`, nil, "addresses/0/region", `{"region_code":"NY","region":"NY","region_id":0}`},
		{"region name", `"addresses": [{` + address + `, "region": "Kent"}]`, nil, "addresses/0/region", `{"region_code":"Kent","region":"Kent","region_id":0}`},
		{"region code of digits", `"addresses": [{` + address + `, "region": "75"}]`, nil, "addresses/0/region", `{"region_code":"75"}`},
		{"region id", `"addresses": [{` + address + `, "region": "ny"}]`, func(c *Config) { c.RegionIDs = map[string]int64{"US-NY": 43} }, "addresses/0/region", `{"region_code":"ny","region":"ny","region_id":43}`},
		{"lines", `"addresses": [{` + strings.Replace(address, `"1 Main St"`, `"a", "b", "c"`, 1) + `}]`, nil, "addresses/0/street", `["a","b, c"]`},
		{"more lines", `"addresses": [{` + strings.Replace(address, `"1 Main St"`, `"a", "b", "c"`, 1) + `}]`, func(c *Config) { c.StreetLines = 3 }, "addresses/0/street", `["a","b","c"]`},
		{"recipient is the customer", `"addresses": [{` + address + `}]`, nil, "addresses/0/lastname", `"Lee"`},
		{"recipient is another", `"addresses": [{` + address + `, "name": {"givenName": "A", "familyName": "B"}}]`, nil, "addresses/0/lastname", `"B"`},
		{"company of the organization", `"organization": {"name": "Acme"}, "addresses": [{` + address + `}]`, nil, "addresses/0/company", `"Acme"`},
		{"primary is both defaults", `"addresses": [{` + address + `}, {` + address + `, "primary": true}]`, nil, "addresses/1/default_shipping", `true`},
		{"types are the defaults", `"addresses": [{` + address + `, "type": "shipping", "primary": true}, {` + address + `, "type": "billing"}]`, nil, "addresses/0/default_billing", ``},
		{"fax at the primary address", `"phoneNumbers": [{"value": "+4930123456", "type": "fax"}], "addresses": [{` + address + `}]`, nil, "addresses/0/fax", `"+4930123456"`},
		{"telephone of the customer, not the fax", `"phoneNumbers": [{"value": "+4930123456", "type": "fax"}, {"value": "+4930123457"}], "addresses": [{"country": "GB", "lines": ["x"], "city": "y"}]`, nil, "addresses/0/telephone", `"+4930123457"`},
		{"attributes as texts", `"attributes": {"vip": true, "n": 1.50, "tags": ["a", "b"], "gone": null}`, func(c *Config) {
			c.CustomAttributes = map[string]string{"vip": "vip", "n": "n", "tags": "tags", "gone": "gone"}
		}, "custom_attributes", `[{"attribute_code":"vip","value":"1"},{"attribute_code":"n","value":"1.50"},{"attribute_code":"tags","value":"a,b"},{"attribute_code":"gone","value":""}]`},
		{"newsletter", `"consents": [{"channel": "sms", "granted": false}, {"channel": "email", "granted": true}]`, func(c *Config) { c.Newsletter = true }, "extension_attributes", `{"is_subscribed":true}`},
		{"no newsletter unless asked for", `"consents": [{"channel": "email", "granted": true}]`, nil, "extension_attributes", ``},
		{"providerData", `"providerData": {"magento": {"customer": {"extension_attributes": {"assistance_allowed": 2}}}, "shop": {"dob": "2000-01-01"}}`, nil, "dob", `"2000-01-01"`},
		{"providerData unwrapped", `"providerData": {"magento": {"customer": {"extension_attributes": {"assistance_allowed": 2}}}}`, nil, "extension_attributes", `{"assistance_allowed":2}`},
		{"addresses of providerData", `"addresses": [{` + address + `}], "providerData": {"magento": {"addresses": []}}`, nil, "addresses", `[]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, _, err := direct(t, tt.more, tt.change)
			if err != nil {
				t.Fatalf("Translate: %v %v", err, canonical.AsError(err).Fields)
			}
			for step := range strings.SplitSeq(tt.path, "/") {
				if got.Kind() == canonical.KindArray {
					got = got.At(int(step[0] - '0'))
					continue
				}
				got = got.Get(step)
			}
			if s := string(got.Encode()); s != tt.want {
				t.Errorf("%s = %s, want %s", tt.path, s, tt.want)
			}
		})
	}
}

// TestTranslateRefused holds that nothing is sent of what the shop would refuse.
func TestTranslateRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 51)
	tests := []struct {
		name    string
		more    string
		change  func(*Config)
		code    canonical.Code
		pointer string
		field   canonical.FieldCode
	}{
		{"tax number too long", `"taxIds": [{"value": "` + long + `"}]`, nil, canonical.MappingUnrepresentable, "/taxIds/0/value", canonical.FieldTooLong},
		{"no telephone", `"addresses": [{"country": "GB", "lines": ["x"], "city": "y"}]`, nil, canonical.MappingRequiredMissing, "/addresses/0/phoneNumber", canonical.FieldRequired},
		{"no postal code", `"addresses": [{"country": "GB", "lines": ["x"], "city": "y", "phoneNumber": "+4930123456"}, {"country": "DE", "lines": ["x"], "city": "y", "phoneNumber": "+4930123456"}]`, nil, canonical.MappingRequiredMissing, "/addresses/1/postalCode", canonical.FieldRequired},
		{"no city", `"addresses": [{"country": "GB", "lines": ["x"], "phoneNumber": "+4930123456"}]`, nil, canonical.MappingRequiredMissing, "/addresses/0/city", canonical.FieldRequired},
		{"half a recipient", `"addresses": [{` + address + `, "name": {"givenName": "Alan"}}]`, nil, canonical.MappingRequiredMissing, "/addresses/0/name/familyName", canonical.FieldRequired},
		{"city of 2.4.8", `"addresses": [{` + strings.Replace(address, "Mineola", "Mineola #1", 1) + `}]`, func(c *Config) { c.Version = "2.4.8" }, canonical.MappingUnrepresentable, "/addresses/0/city", canonical.FieldInvalid},
		{"joined lines too long", `"addresses": [{` + strings.Replace(address, `"1 Main St"`, `"a", "`+strings.Repeat("b", 200)+`", "`+strings.Repeat("c", 100)+`"`, 1) + `}]`, nil, canonical.MappingUnrepresentable, "/addresses/0/lines", canonical.FieldTooLong},
		{"list with commas", `"attributes": {"tags": ["a,b"]}`, func(c *Config) { c.CustomAttributes = map[string]string{"tags": "tags"} }, canonical.MappingUnrepresentable, "/attributes/tags", canonical.FieldInvalid},
		{"required by the shop", ``, func(c *Config) { c.Require = []string{"dob"} }, canonical.MappingRequiredMissing, "/birthDate", canonical.FieldRequired},
		{"password", `"providerData": {"magento": {"passwordHash": "x"}}`, nil, canonical.MappingUnrepresentable, "/providerData/magento/passwordHash", canonical.FieldUnsupported},
		{"password beside the customer", `"providerData": {"shop": {"customer": {}, "password_hash": "x"}}`, nil, canonical.MappingUnrepresentable, "/providerData/shop/password_hash", canonical.FieldUnsupported},
		{"id in providerData", `"providerData": {"shop": {"customer": {"id": 3}}}`, nil, canonical.MappingUnrepresentable, "/providerData/shop/customer/id", canonical.FieldUnsupported},
		{"created at", `"providerData": {"magento": {"createdAt": "x"}}`, nil, canonical.MappingUnrepresentable, "/providerData/magento/createdAt", canonical.FieldUnsupported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := direct(t, tt.more, tt.change)
			e := canonical.AsError(err)
			if e == nil || e.Code != tt.code || len(e.Fields) != 1 || e.Fields[0].Pointer != tt.pointer || e.Fields[0].Code != tt.field {
				t.Fatalf("Translate = %v %+v, want %s with %s at %s alone", err, e, tt.code, tt.field, tt.pointer)
			}
		})
	}
}

func TestTranslateNull(t *testing.T) {
	t.Parallel()
	c := adaptertest.Decode(t, "c1", []byte(`{"name": {"givenName": "Kim", "familyName": "Lee", "middleName": null, "honorificPrefix": null},
		"emails": [{"value": "kim@example.com"}], "birthDate": null, "taxIds": null, "gender": null, "addresses": []}`))
	req, notices, err := New(setup(nil)).Translate(adaptertest.Upsert(c, "shop", name, "7"))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"middlename", "prefix", "dob", "taxvat"} {
		if v := sentCustomer(req).Get(field); v.Kind() != canonical.KindString || v.Str() != "" {
			t.Errorf("%s = %s, want an empty text, which clears", field, v.Encode())
		}
	}
	var kept []string
	for _, n := range notices {
		if n.Code == canonical.NoticeNotCleared {
			kept = append(kept, n.Pointer)
		}
	}
	if got := strings.Join(kept, " "); got != "/addresses /gender" {
		t.Errorf("not cleared are %q, want gender and addresses", got)
	}
	if sentCustomer(req).Has("addresses") {
		t.Error("an empty list of addresses was sent, which deletes them all")
	}
}

// TestRemoteID holds that a path never has an id with which Magento would
// create a customer silently.
func TestRemoteID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"0", "-1", "abc", "1.5", "12x", "99999999999", "1/2", " 3", "+4"} {
		c := adaptertest.Decode(t, "c1", []byte(valid+`, "externalIds": {"shop": "`+id+`"}}`))
		req, _, err := New(setup(nil)).Translate(adaptertest.Upsert(c, "shop", name, ""))
		e := canonical.AsError(err)
		if req != nil || e == nil || e.Code != canonical.MappingUnrepresentable || e.Fields[0].Pointer != "/externalIds/shop" {
			t.Errorf("id %q gives %v, %v; want a refusal at /externalIds/shop", id, req, err)
		}
	}
}

// TestSearch holds the first call for an unknown customer.
func TestSearch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(*Config)
		path   string
		query  map[string]string
	}{
		{"website", nil, "/rest/default/V1/customers/search", map[string]string{"1][filters][0][field": "website_id", "1][filters][0][value": "1", "1][filters][0][conditionType": "eq"}},
		{"global", func(c *Config) { c.GlobalAccounts, c.Store = true, "" }, "/rest/V1/customers/search", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, _, err := New(setup(tt.change)).Translate(upsert(t, "", ""))
			if err != nil {
				t.Fatal(err)
			}
			path, query, _ := strings.Cut(req.Path, "?")
			if path != tt.path || req.Method != "GET" || req.Body != nil {
				t.Errorf("request is %s %s, want GET %s", req.Method, path, tt.path)
			}
			if !strings.Contains(query, "=kim%2Bshop%40example.com&") {
				t.Errorf("the address is not encoded in %s", query)
			}
			got, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"searchCriteria[pageSize]": "2", "searchCriteria[currentPage]": "1",
				"searchCriteria[filterGroups][0][filters][0][field]": "email", "searchCriteria[filterGroups][0][filters][0][value]": "kim+shop@example.com",
				"searchCriteria[filterGroups][0][filters][0][conditionType]": "eq"}
			for k, v := range tt.query {
				want["searchCriteria[filterGroups]["+k+"]"] = v
			}
			if len(got) != len(want) {
				t.Errorf("query has %d members, want %d: %v", len(got), len(want), got)
			}
			for k, v := range want {
				if got.Get(k) != v {
					t.Errorf("%s = %q, want %q", k, got.Get(k), v)
				}
			}
		})
	}
}

// TestMerge holds that addresses which the shop has are kept, matched and
// demoted as the settings say.
func TestMerge(t *testing.T) {
	t.Parallel()
	const record = `{"id": 7, "email": "kim@example.com", "website_id": 1, "addresses": [
		{"id": "11", "country_id": "DE", "postcode": "10117", "city": "Berlin", "street": ["Unter den Linden 5"], "telephone": "1", "firstname": "Kim", "lastname": "Lee", "default_billing": true, "module_field": 1},
		{"id": 12, "country_id": "US", "postcode": "11501", "city": "mineola", "street": ["1 Main St."], "telephone": "2", "company": "Acme", "firstname": "Kim", "lastname": "Lee", "default_shipping": true}]}`
	const stated = `"addresses": [{` + address + `, "type": "billing"}]`
	tests := []struct {
		name, more string
		change     func(*Config)
		want       string // ids with their default flags
		company    string // of the first
	}{
		{"merge", stated, nil, "12:billing+shipping 11", "Acme"},
		{"replace", stated, func(c *Config) { c.Addresses = "replace" }, "12:billing+shipping", "Acme"},
		{"new place", `"addresses": [{` + strings.Replace(address, "1 Main", "2 Main", 1) + `, "type": "billing"}]`, nil, ":billing 11 12:shipping", ""},
		{"new place replaces the default", `"addresses": [{` + strings.Replace(address, "1 Main", "2 Main", 1) + `, "type": "billing"}]`, func(c *Config) { c.Addresses = "replace" }, "11:billing", ""},
		{"nothing about defaults", `"addresses": [{` + address + `}]`, nil, "12:shipping 11:billing", "Acme"},
		{"company cleared", `"addresses": [{` + address + `, "company": null}]`, nil, "12:shipping 11:billing", ""},
		{"two at one place", `"addresses": [{` + address + `, "name": {"givenName": "A", "familyName": "B"}}, {` + address + `}]`, nil, " 12:shipping 11:billing", ""},
		{"same letters, other house", `"addresses": [{` + strings.Replace(address, "1 Main St", "1 Ma/in St", 1) + `}]`, nil, " 11:billing 12:shipping", ""},
		{"same words, other signs", `"addresses": [{` + strings.Replace(address, "1 Main St", "1, MAIN st", 1) + `}]`, nil, "12:shipping 11:billing", "Acme"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a, u := New(setup(tt.change)), upsert(t, tt.more, "7")
			first, _, err := a.Translate(u)
			if err != nil {
				t.Fatal(err)
			}
			if first.Op != opRead || first.Path != "/rest/default/V1/customers/7" {
				t.Fatalf("first is %s %s, want the read", first.Op, first.Path)
			}
			out, err := a.Interpret(u, first, &canonical.Reply{Status: 200, Body: []byte(record)})
			if err != nil || out.Next == nil {
				t.Fatalf("Interpret = %+v, %v; want an update", out, err)
			}
			var got []string
			list := sentCustomer(out.Next).Get("addresses")
			for i := range list.Len() {
				e := list.At(i)
				s, flags := e.Get("id").Str(), []string{}
				for _, role := range []string{"billing", "shipping"} {
					if e.Get("default_" + role).IsTrue() {
						flags = append(flags, role)
					}
				}
				if len(flags) > 0 {
					s += ":" + strings.Join(flags, "+")
				}
				if e.Has("module_field") {
					t.Error("a field of a module of the shop is sent back")
				}
				got = append(got, s)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("addresses are %q, want %q", s, tt.want)
			}
			if s := list.At(0).Get("company").Str(); s != tt.company {
				t.Errorf("company = %q, want %q", s, tt.company)
			}
		})
	}
}
