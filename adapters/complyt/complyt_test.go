package complyt

import (
	"errors"
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

var suite = adaptertest.Case{Adapters: []adaptertest.Setup{
	{Adapter: New(Config{Source: 1, MaxSource: 15}, false)},
	{Name: "exclusive", Adapter: New(Config{Source: 1, MaxSource: 15}, true)},
}, Described: []adaptertest.Setup{
	{Name: "settings", Adapter: New(Config{Source: 1, MaxSource: 15, AddressType: "shipping", Countries: map[string]string{"US": "USA"}}, true)},
}}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite) }

// upsert decodes a customer's members and wraps it as the gateway does.
func upsert(t testing.TB, id, members string) canonical.Upsert {
	t.Helper()
	c, err := canonical.DecodeCustomer(id, []byte("{"+members+"}"))
	if err != nil {
		t.Fatal(err, canonical.AsError(err).Fields)
	}
	return canonical.NewUpsert(c).For(name, name, "")
}

// complete are members that satisfy Complyt.
const (
	named = `"name":{"formatted":"Kim Lee"}`
	dated = `"createdAt":"2025-01-10T17:40:44Z","updatedAt":"2026-01-11T17:10:21.5+02:00"`
)

func TestTranslateBody(t *testing.T) {
	t.Parallel()
	const dates = `"externalTimestamps":{"createdDate":"2025-01-10T17:40:44Z","updatedDate":"2026-01-11T15:10:21.5Z"}`
	tests := []struct {
		name    string
		config  Config
		members string
		want    string // the body without externalId and source
		notices []string
	}{
		{"formatted name", Config{}, named + "," + dated, `{"name":"Kim Lee","customerType":"RETAIL",` + dates + `}`, nil},
		{"name of parts", Config{}, `"name":{"honorificPrefix":"Dr.","givenName":"Ada","middleName":"King","familyName":"Lovelace"},` + dated,
			`{"name":"Ada King Lovelace","customerType":"RETAIL",` + dates + `}`, []string{"dropped /name/honorificPrefix"}},
		{"formatted name says less than its parts", Config{}, `"name":{"formatted":"A. Lovelace","givenName":"Ada","familyName":"Lovelace"},` + dated,
			`{"name":"A. Lovelace","customerType":"RETAIL",` + dates + `}`, []string{"dropped /name/givenName"}},
		{"organization", Config{}, `"kind":"organization","organization":{"name":"Acme"},"name":{"givenName":"Jo"},` + dated,
			`{"name":"Acme","customerType":"RETAIL",` + dates + `}`, []string{"dropped /name"}},
		{"customer type", Config{}, named + `,"customerType":"retail_exempt",` + dated, `{"name":"Kim Lee","customerType":"RETAIL_EXEMPT",` + dates + `}`, nil},
		{"cleared customer type", Config{}, named + `,"customerType":null,` + dated, `{"name":"Kim Lee","customerType":"RETAIL",` + dates + `}`, nil},
		{"cleared values are left out", Config{}, named + `,"emails":[],"note":null,"addresses":null,` + dated, `{"name":"Kim Lee","customerType":"RETAIL",` + dates + `}`, nil},
		{"cleared name is not cleared", Config{}, `"name":null,"providerData":{"complyt":{"name":"Kim"}},` + dated,
			`{"name":"Kim","customerType":"RETAIL",` + dates + `}`, []string{"not_cleared /name"}},
		{"address in the United States", Config{}, named + `,"addresses":[{"lines":["1 Main St","Apt 2"],"city":"Mineola","region":"NY","postalCode":"11501-1234","country":"US"}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"street":"1 Main St, Apt 2","city":"Mineola","state":"NY","zip":"11501-1234","country":"US"},` + dates + `}`, nil},
		{"address elsewhere", Config{Countries: map[string]string{"CA": "Canada"}}, named + `,"addresses":[{"city":"Laval","region":"Quebec","postalCode":"H7A 0A1","country":"CA"}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"city":"Laval","region":"Quebec","zip":"H7A 0A1","country":"Canada"},` + dates + `}`, nil},
		{"address without a country", Config{}, named + `,"addresses":[{"region":"NY","postalCode":"H7A"}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"state":"NY","zip":"H7A"},` + dates + `}`, nil},
		{"primary address", Config{}, named + `,"addresses":[{"city":"A","type":"shipping"},{"city":"B","primary":true}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"city":"B"},` + dates + `}`, []string{"dropped /addresses/0"}},
		{"address of the preferred type", Config{AddressType: "shipping"}, named + `,"addresses":[{"city":"A","type":"shipping"},{"city":"B","primary":true}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"city":"A"},` + dates + `}`, []string{"dropped /addresses/0/type", "dropped /addresses/1"}},
		{"no address of the preferred type", Config{AddressType: "billing"}, named + `,"addresses":[{"city":"A"}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"city":"A"},` + dates + `}`, nil},
		{"second e-mail address", Config{}, named + `,"emails":[{"value":"a@example.com"},{"value":"b@example.com","primary":true}],` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","email":"b@example.com",` + dates + `}`, []string{"dropped /emails/0"}},
		{"what there is no field for", Config{}, named + `,"phoneNumbers":[{"value":"+14155550100"}],"birthDate":"1990-01-01","attributes":{"tier":"gold"},` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL",` + dates + `}`, []string{"dropped /phoneNumbers", "dropped /birthDate", "dropped /attributes"}},
		{"updatedAt is missing", Config{}, named + `,"createdAt":"2025-01-10T17:40:44Z"`,
			`{"name":"Kim Lee","customerType":"RETAIL","externalTimestamps":{"createdDate":"2025-01-10T17:40:44Z","updatedDate":"2025-01-10T17:40:44Z"}}`, []string{"defaulted /createdAt"}},
		{"createdAt is missing", Config{}, named + `,"updatedAt":"2025-01-10T17:40:44Z"`,
			`{"name":"Kim Lee","customerType":"RETAIL","externalTimestamps":{"createdDate":"2025-01-10T17:40:44Z","updatedDate":"2025-01-10T17:40:44Z"}}`, []string{"defaulted /updatedAt"}},
		{"providerData is merged last", Config{}, named + `,"addresses":[{"city":"Mineola","country":"US"}],"providerData":{"complyt":{"address":{"county":"Nassau","isPartial":true},"comment":null}},"note":"hi",` + dated,
			`{"name":"Kim Lee","customerType":"RETAIL","address":{"city":"Mineola","country":"US","county":"Nassau","isPartial":true},"comment":null,` + dates + `}`, nil},
		{"providerData supplies what is required", Config{}, named + `,"providerData":{"complyt":{"source":"1","externalId":"7","externalTimestamps":{"createdDate":"2025-01-01","updatedDate":"2025-01-02"}}}`,
			`{"name":"Kim Lee","customerType":"RETAIL","externalTimestamps":{"createdDate":"2025-01-01","updatedDate":"2025-01-02"}}`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.config.Source = 1
			req, notices, err := New(tt.config, true).Translate(upsert(t, "7", tt.members))
			if err != nil {
				t.Fatal(err, canonical.AsError(err).Fields)
			}
			body, _ := canonical.Parse(req.Body)
			if id, source := body.Get("externalId"), body.Get("source"); !id.Equal(canonical.Text("7")) || !source.Equal(canonical.Text("1")) {
				t.Errorf("externalId = %s, source = %s, want those of the path as texts", id.Encode(), source.Encode())
			}
			body.Delete("externalId")
			body.Delete("source")
			if want, _ := canonical.Parse([]byte(tt.want)); !body.Equal(want) {
				t.Errorf("body = %s, want %s", body.Encode(), tt.want)
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

func TestTranslateRefuses(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	inData := func(object string) string { return named + "," + dated + `,"providerData":{"complyt":` + object + `}` }
	tests := []struct {
		name, id, members string
		code              canonical.Code
		fields            []string // code pointer
		exclusive         bool     // refused only without a read
	}{
		{"nothing", "7", ``, canonical.MappingRequiredMissing, []string{"required /name", "required /createdAt", "required /updatedAt"}, true},
		{"no times", "7", named, canonical.MappingRequiredMissing, []string{"required /createdAt", "required /updatedAt"}, true},
		{"no company name", "7", `"kind":"organization",` + named + "," + dated, canonical.MappingRequiredMissing, []string{"required /organization/name"}, true},
		{"dot", ".", named + "," + dated, canonical.MappingUnrepresentable, []string{"invalid /id"}, false},
		{"dots between slashes", "../x", named + "," + dated, canonical.MappingUnrepresentable, []string{"invalid /id"}, false},
		{"dots before a parameter", `a\..;b`, named + "," + dated, canonical.MappingUnrepresentable, []string{"invalid /id"}, false},
		{"dots", "..", named + "," + dated, canonical.MappingUnrepresentable, []string{"invalid /id"}, false},
		{"joined name too long", "7", `"name":{"givenName":"` + long(200) + `","familyName":"` + long(100) + `"},` + dated, canonical.MappingUnrepresentable, []string{"too_long /name"}, false},
		{"note too long", "7", named + `,"note":"` + long(201) + `",` + dated, canonical.MappingUnrepresentable, []string{"too_long /note"}, false},
		{"lines too long together", "7", named + `,"addresses":[{"lines":["` + long(150) + `","` + long(50) + `"]}],` + dated, canonical.MappingUnrepresentable, []string{"too_long /addresses/0/lines"}, false},
		{"city too long", "7", named + `,"addresses":[{"city":"` + long(101) + `"}],` + dated, canonical.MappingUnrepresentable, []string{"too_long /addresses/0/city"}, false},
		{"region too long outside the United States", "7", named + `,"addresses":[{"country":"CA","region":"Newfoundland and Labrador"}],` + dated, canonical.MappingUnrepresentable, []string{"too_long /addresses/0/region"}, false},
		{"zip too long", "7", named + `,"addresses":[{"country":"DE","postalCode":"` + long(21) + `"}],` + dated, canonical.MappingUnrepresentable, []string{"too_long /addresses/0/postalCode"}, false},
		{"zip of the United States", "7", named + `,"addresses":[{"city":"A"},{"country":"US","postalCode":"123456789","primary":true}],` + dated, canonical.MappingUnrepresentable, []string{"invalid /addresses/1/postalCode"}, false},
		{"several", "7", named + `,"note":"` + long(201) + `","addresses":[{"city":"` + long(101) + `"}],"providerData":{"complyt":{"complytId":"x"}},` + dated, canonical.MappingUnrepresentable,
			[]string{"too_long /addresses/0/city", "too_long /note", "unsupported /providerData/complyt/complytId"}, false},
		{"providerData with read-only members", "7", inData(`{"complytId":"x","internalTimestamps":{}}`), canonical.MappingUnrepresentable,
			[]string{"unsupported /providerData/complyt/complytId", "unsupported /providerData/complyt/internalTimestamps"}, false},
		{"providerData with another key", "7", inData(`{"externalId":"8","source":1}`), canonical.MappingUnrepresentable,
			[]string{"invalid /providerData/complyt/externalId", "invalid /providerData/complyt/source"}, false},
		{"providerData without what is required", "7", inData(`{"name":null,"externalTimestamps":{"createdDate":null}}`), canonical.MappingUnrepresentable,
			[]string{"required /providerData/complyt/name", "required /providerData/complyt/externalTimestamps/createdDate"}, false},
		{"providerData with an unknown type", "7", inData(`{"customerType":"retail"}`), canonical.MappingUnrepresentable,
			[]string{"unsupported /providerData/complyt/customerType"}, false},
	}
	for _, tt := range tests {
		for _, exclusive := range []bool{true, false} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				a := New(Config{Source: 1}, exclusive)
				u := upsert(t, tt.id, tt.members)
				req, _, err := a.Translate(u)
				if tt.exclusive && !exclusive && err == nil {
					if req.Method != http.MethodGet {
						t.Fatalf("method = %s, want the read that may supply what is missing", req.Method)
					}
					notThere := &canonical.Reply{Status: 404, Body: []byte(`{"code":404,"message":"could not be found"}`)}
					var out canonical.Outcome
					if out, err = a.Interpret(u, req, notThere); out.Next != nil {
						t.Fatal("there is a next request")
					}
				}
				checkError(t, err, tt.code, tt.fields)
			})
		}
	}
}

// checkError compares the code, and the fields as "code pointer" or, for one
// without a pointer, "code setting", in any order.
func checkError(t *testing.T, err error, code canonical.Code, fields []string) {
	t.Helper()
	e, ok := errors.AsType[*canonical.Error](err)
	if !ok {
		t.Fatalf("error = %v, want %s", err, code)
	}
	if e.Code != code || e.Provider != name {
		t.Errorf("error = %v (%s), want %s", e, e.Message, code)
	}
	got := adaptertest.Fields(e)
	for _, f := range fields {
		if !slices.Contains(got, f) {
			t.Errorf("fields = %q, want %q", got, fields)
			return
		}
	}
	if len(got) != len(fields) {
		t.Errorf("fields = %q, want %q", got, fields)
	}
}

func TestTranslatePath(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"cust-1":    "/v1/customers/source/6/externalId/cust-1",
		"a/b?c#d e": "/v1/customers/source/6/externalId/a%2Fb%3Fc%23d%20e",
		"100%;Zoë":  "/v1/customers/source/6/externalId/100%25%3BZo%C3%AB",
		"...":       "/v1/customers/source/6/externalId/...",
		"..a/b..":   "/v1/customers/source/6/externalId/..a%2Fb..",
	} {
		for _, exclusive := range []bool{true, false} {
			req, _, err := New(Config{Source: 6}, exclusive).Translate(upsert(t, id, named+","+dated))
			if err != nil {
				t.Fatal(err)
			}
			if req.Path != want || !req.Repeatable {
				t.Errorf("path = %s, repeatable = %v, want %s, true", req.Path, req.Repeatable, want)
			}
		}
	}
}

func TestCarryOver(t *testing.T) {
	t.Parallel()
	const stored = `{"complytId":"u-1","externalId":7,"source":1,"name":"Old Name","customerType":"RESELLER","email":"old@example.com","comment":"",
		"address":{"city":"Mineola","country":"United States","county":"Nassau","state":"NY","street":"1 Main St","zip":"11501","isPartial":false,"region":null},
		"internalTimestamps":{"createdDate":"2023-01-10T17:40:44.357"},"vatNumber":"V1","status":"ACTIVE",
		"externalTimestamps":{"createdDate":"2022-10-19T07:00:00","updatedDate":"2022-10-19T09:07:54.585"}}`
	const address = `"address":{"city":"Mineola","country":"United States","county":"Nassau","state":"NY","street":"1 Main St","zip":"11501","isPartial":false}`
	const dates = `"externalTimestamps":{"createdDate":"2022-10-19T07:00:00Z","updatedDate":"2022-10-19T09:07:54.585Z"}`
	tests := []struct {
		name, members, want string // without externalId, source and vatNumber; "" if nothing is to be written
	}{
		{"nothing stated", ``, ``},
		{"the same stated", `"name":{"formatted":"Old Name"},"createdAt":"2022-10-19T09:00:00+02:00","customerType":"reseller"`, ``},
		{"a name", named, `{"name":"Kim Lee","customerType":"RESELLER","email":"old@example.com",` + address + `,` + dates + `}`},
		{"a time", `"updatedAt":"2026-01-01T00:00:00Z"`, `{"name":"Old Name","customerType":"RESELLER","email":"old@example.com",` + address + `,"externalTimestamps":{"createdDate":"2022-10-19T07:00:00Z","updatedDate":"2026-01-01T00:00:00Z"}}`},
		{"cleared", `"emails":null,"addresses":[],"customerType":null`, `{"name":"Old Name","customerType":"RETAIL",` + dates + `}`},
		{"the same place in other words", `"addresses":[{"country":"US","region":"NY","city":"Mineola","postalCode":"11501"}]`,
			`{"name":"Old Name","customerType":"RESELLER","email":"old@example.com",` + strings.Replace(address, "United States", "US", 1) + `,` + dates + `}`},
		{"a part of the same place cleared", `"addresses":[{"city":"Mineola","postalCode":null}]`,
			`{"name":"Old Name","customerType":"RESELLER","email":"old@example.com",` + strings.Replace(address, `,"zip":"11501"`, ``, 1) + `,` + dates + `}`},
		{"another place", `"addresses":[{"country":"US","region":"CA","city":"Sacramento"}]`,
			`{"name":"Old Name","customerType":"RESELLER","email":"old@example.com","address":{"country":"US","state":"CA","city":"Sacramento"},` + dates + `}`},
		{"providerData", `"providerData":{"complyt":{"address":{"county":"Kings"}}}`,
			`{"name":"Old Name","customerType":"RESELLER","email":"old@example.com",` + strings.Replace(address, `Nassau`, `Kings`, 1) + `,` + dates + `}`},
	}
	for _, tt := range tests {
		for _, wrap := range []string{"%", "[%]", `{"data":%}`} {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				a := New(Config{Source: 1, ReadOnly: []string{"status"}}, false)
				u := upsert(t, "7", tt.members)
				req, _, err := a.Translate(u)
				if err != nil {
					t.Fatal(err)
				}
				out, err := a.Interpret(u, req, &canonical.Reply{Status: 200, Body: []byte(strings.Replace(wrap, "%", stored, 1))})
				if err != nil {
					t.Fatal(err, canonical.AsError(err).Message)
				}
				if out.RemoteID != "u-1" {
					t.Errorf("RemoteID = %q, want u-1", out.RemoteID)
				}
				if tt.want == "" {
					if out.Next != nil || out.Action != canonical.ActionNone {
						t.Errorf("outcome = %+v, want none and no request", out)
					}
					return
				}
				if out.Next == nil {
					t.Fatal("there is no next request")
				}
				body, _ := canonical.Parse(out.Next.Body)
				if v := body.Get("vatNumber"); v.Str() != "V1" {
					t.Errorf("vatNumber = %s, want what the adapter does not know to be carried over", v.Encode())
				}
				for _, member := range []string{"externalId", "source", "vatNumber"} {
					body.Delete(member)
				}
				if want, err := canonical.Parse([]byte(tt.want)); err != nil || !body.Equal(want) {
					t.Errorf("body = %s, want %s (%v)", body.Encode(), tt.want, err)
				}
			})
		}
	}
}

func TestCarryOverTimes(t *testing.T) {
	t.Parallel()
	for stored, want := range map[string]string{
		"2022-10-19T07:00:00":           "2022-10-19T07:00:00Z",
		"2023-01-10T17:40:44.357":       "2023-01-10T17:40:44.357Z",
		"2023-01-10T17:40:44.123456789": "2023-01-10T17:40:44.123456789Z",
		"2023-01-10T17:40:44+02:00":     "2023-01-10T15:40:44Z",
		"2023-01-10T17:40:44+0200":      "2023-01-10T15:40:44Z",
		"2023-01-10T17:40":              "2023-01-10T17:40:00Z",
		"2023-01-10":                    "2023-01-10T00:00:00Z",
		"10 Jan 2023":                   "10 Jan 2023",
	} {
		if got := inUTC(stored); got != want {
			t.Errorf("inUTC(%q) = %q, want %q", stored, got, want)
		}
	}
}

// TestReadWithoutTimes holds that a stored record without times is no reason to
// invent any.
func TestReadWithoutTimes(t *testing.T) {
	t.Parallel()
	a := New(Config{Source: 1}, false)
	for _, times := range []string{"", `,"externalTimestamps":null`, `,"externalTimestamps":{"createdDate":null,"updatedDate":""}`, `,"externalTimestamps":[2022,10]`} {
		u := upsert(t, "7", named)
		req, _, err := a.Translate(u)
		if err != nil {
			t.Fatal(err)
		}
		out, err := a.Interpret(u, req, &canonical.Reply{Status: 200, Body: []byte(`{"complytId":"u-1","externalId":"7","source":"1"` + times + `}`)})
		checkError(t, err, canonical.MappingRequiredMissing, []string{"required /createdAt", "required /updatedAt"})
		if out.Next != nil || out.RemoteID != "u-1" {
			t.Errorf("outcome = %+v, want the remote id and no request", out)
		}
	}
}

func TestReadDefaultsAfterAll(t *testing.T) {
	t.Parallel()
	a := New(Config{Source: 1}, false)
	u := upsert(t, "7", named+`,"createdAt":"2025-01-10T17:40:44Z"`)
	req, notices, err := a.Translate(u)
	if err != nil || len(notices) != 0 {
		t.Fatalf("Translate = %v, %v, want no notice before the record is known", notices, err)
	}
	out, err := a.Interpret(u, req, &canonical.Reply{Status: 404, Body: []byte(`{"message":"Customer Not Found"}`)})
	if err != nil || out.Next == nil {
		t.Fatalf("Interpret = %+v, %v, want a next request", out, err)
	}
	if len(out.Notices) != 1 || out.Notices[0].Code != canonical.NoticeDefaulted || out.Notices[0].Field != "externalTimestamps.updatedDate" {
		t.Errorf("notices = %+v, want one about updatedDate", out.Notices)
	}
}

// theCustomer is what the answers of TestInterpret are about.
const theCustomer = named + `,"emails":[{"value":"kim@example.com"}],"note":"hi","addresses":[{"lines":["1 Main St"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}],
	"providerData":{"complyt":{"address":{"county":"Nassau"},"tier":"x"}},` + dated

func TestInterpret(t *testing.T) {
	t.Parallel()
	const invalid, misconfigured = canonical.UpstreamInvalid, canonical.UpstreamMisconfigured
	message := func(s string) string {
		return string(canonical.List(canonical.Text(s)).Encode()[1:][:len(canonical.Text(s).Encode())])
	}
	body := func(code, text string) string { return `{"code":` + code + `,"message":` + message(text) + `}` }
	tests := []struct {
		name   string
		status int
		header string // of WWW-Authenticate
		body   string
		code   canonical.Code
		fields []string
	}{
		{"list in another order", 400, "", body("400", "[customerType may not be null, name may not be null]"), invalid, []string{"required /customerType", "required /name/formatted"}},
		{"list without an end", 400, "", body("400", "[name may not be null, Address.zip should match"), invalid, []string{"required /name/formatted", "invalid /addresses/0/postalCode"}},
		{"list of one that repeats", 400, "", body("400", "[comment should be 0-200 characters, comment should be 0-200 characters]"), invalid, []string{"invalid /note"}},
		{"comma before what is no field", 400, "", body("400", "[email is in an illegal format, as it has no at sign, name may not be blank]"), invalid, []string{"invalid /emails/0/value", "required /name/formatted"}},
		{"another language", 400, "", body("400", "[name darf nicht null sein, Address.city darf nicht leer sein]"), invalid, []string{"other /name/formatted", "other /addresses/0/city"}},
		{"another case", 400, "", body("400", "[CUSTOMERTYPE may not be null, address.City may not be null]"), invalid, []string{"required /customerType", "required /addresses/0/city"}},
		{"quoted names", 400, "", body("400", "['name' may not be null, 'email' may not be null]"), invalid, []string{"required /name/formatted", "required /emails/0/value"}},
		{"external timestamps", 400, "", body("400", "[externalTimestamps may not be null]"), invalid, []string{"required /createdAt"}},
		{"a field of providerData", 400, "", body("400", "[Address.county should be 1-100 characters]"), invalid, []string{"invalid /providerData/complyt/address/county"}},
		{"an unknown field of providerData", 400, "", body("400", "[tier is not allowed]"), invalid, []string{"unsupported /providerData/complyt/tier"}},
		{"a whole address", 400, "", body("400", "[address may not be null]"), invalid, []string{"required /addresses/0"}},
		{"a field nobody knows", 400, "", body("400", "[vatNumber may not be null]"), invalid, nil},
		{"source and another field", 400, "", body("400", "[source has to be in range 1-15, name may not be null]"), invalid, []string{"unsupported settings.source", "required /name/formatted"}},
		{"source in two places", 400, "", body("400", "[source in body and path should be identical]"), misconfigured, []string{"invalid settings.source"}},
		{"complytId in a new record", 400, "", body("400", "new record cannot have a complytId field"), invalid, nil},
		{"complytId changed", 400, "", body("400", "complytId cannot be changed in an update"), canonical.UpstreamIdentityConflict, nil},
		{"conflict", 400, "", body("400", "The requested operation failed because there was an unresolvable conflict between two or more inputs"), canonical.UpstreamIdentityConflict, nil},
		{"unreadable", 400, "", body("400", "Failed to read HTTP message"), invalid, nil},
		{"no body", 400, "", body("400", "The requested operation failed because no request body has been provided"), invalid, nil},
		{"date with its path", 400, "", body("400", "Error parsing field: externalTimestamps.createdDate. Text '2023-02-29' could not be parsed: name it well"), invalid, []string{"invalid /createdAt"}},
		{"date by its label", 400, "", body("400", "Error parsing field: Created date. must be ISO 8601"), invalid, []string{"invalid /createdAt"}},
		{"address code", 400, "", body("400", "ERR-ADDR-002: state is not valid"), invalid, []string{"invalid /addresses/0/region"}},
		{"list of texts", 400, "", `{"code":"400","message":["name may not be null","email is invalid"]}`, invalid, []string{"required /name/formatted", "invalid /emails/0/value"}},
		{"list of objects", 400, "", `{"status":400,"error":"Bad Request","errors":[{"field":"address.zip","defaultMessage":"must match"},{"path":"customerType","message":"is required"}]}`, invalid, []string{"invalid /addresses/0/postalCode", "required /customerType"}},
		{"object of texts", 400, "", `{"errors":{"email":["is invalid"],"name":"is required"}}`, invalid, []string{"invalid /emails/0/value", "required /name/formatted"}},
		{"nested error", 400, "", `{"error":{"code":400,"message":"[name may not be null]"}}`, invalid, []string{"required /name/formatted"}},
		{"error in a list", 400, "", `[{"code":400,"message":"[name may not be null]"}]`, invalid, []string{"required /name/formatted"}},
		{"problem details", 422, "", `{"type":"about:blank","title":"Unprocessable","status":422,"detail":"name may not be null"}`, invalid, []string{"required /name/formatted"}},
		{"oldest revision", 400, "", `{"message":"[Name may not be blank]","endpoint url ":"/v1/customers"}`, invalid, []string{"required /name/formatted"}},
		{"no message", 400, "", `{"timestamp":"2025-03-26T11:24:00Z","code":400}`, invalid, nil},
		{"page with 400", 400, "", `<html><body>Bad Request</body></html>`, canonical.UpstreamUnclassified, nil},
		{"nothing with 400", 400, "", ``, canonical.UpstreamUnclassified, nil},
		{"XML with 400", 400, "", `<?xml version="1.0"?><Error><Code>InvalidURI</Code></Error>`, canonical.UpstreamUnclassified, nil},
		{"cut off", 400, "", `{"code":400,"message":"[name may not`, canonical.UpstreamUnclassified, nil},

		{"body says 500 under 400", 400, "", body("500", "The request failed due to an internal error"), canonical.UpstreamUnavailable, nil},
		{"body says 401 under 200", 200, "", body("401", "401 Unauthorized"), canonical.UpstreamUnauthenticated, nil},
		{"body says 400 under 200", 200, "", body(`"400"`, "[name may not be null]"), invalid, []string{"required /name/formatted"}},
		{"body says 400 under 500", 500, "", body("400", "[name may not be null]"), canonical.UpstreamUnavailable, nil},
		{"body says 200 under 503", 503, "", body("200", "ok"), canonical.UpstreamUnavailable, nil},

		{"no token", 401, "", ``, canonical.UpstreamUnauthenticated, nil},
		{"expired token", 401, `Bearer error="invalid_token", error_description="Jwt expired"`, ``, canonical.UpstreamUnauthenticated, nil},
		{"token error object", 401, "", body("401", "401 Unauthorized"), canonical.UpstreamUnauthenticated, nil},
		{"scope missing", 403, `Bearer error="insufficient_scope"`, ``, canonical.UpstreamForbidden, nil},
		{"scope missing under 401", 401, `Bearer realm="x", error=insufficient_scope`, ``, canonical.UpstreamForbidden, nil},
		{"expired token under 403", 403, `Bearer error="invalid_token"`, body("403", "403 Forbidden"), canonical.UpstreamUnauthenticated, nil},
		{"forbidden", 403, "", body("403", "403 Forbidden"), canonical.UpstreamForbidden, nil},
		{"not found", 404, "", body("404", "The requested operation failed because a resource associated with the request could not be found."), misconfigured, nil},
		{"no such path", 404, "", ``, misconfigured, nil},
		{"method", 405, "", body("405", "405 Method Not Allowed"), misconfigured, nil},
		{"media type", 415, "", body("415", "415 Unsupported Media Type"), misconfigured, nil},
		{"busy", 409, "", body("409", "concurrent update, try again"), canonical.UpstreamBusy, nil},
		{"conflict with its status", 409, "", body("409", "unresolvable conflict"), canonical.UpstreamIdentityConflict, nil},
		{"too many", 429, "", body("429", "slow down"), canonical.UpstreamRateLimited, nil},
		{"internal error", 500, "", body("500", "The request failed due to an internal error. Please contact support@complyt.io if this continues"), canonical.UpstreamUnavailable, nil},
		{"bad gateway", 502, "", `<html>502</html>`, canonical.UpstreamUnavailable, nil},
		{"time-out of the mesh", 504, "", `upstream request timeout`, canonical.UpstreamUnavailable, nil},
		{"redirect", 302, "", ``, canonical.UpstreamInvalidResponse, nil},

		{"200 with nothing", 200, "", ``, canonical.UpstreamInvalidResponse, nil},
		{"204", 204, "", ``, canonical.UpstreamInvalidResponse, nil},
		{"200 with a page", 200, "", `<html><body>Sign in</body></html>`, canonical.UpstreamInvalidResponse, nil},
		{"200 without a key", 200, "", `{"name":"Kim Lee"}`, canonical.UpstreamInvalidResponse, nil},
		{"200 about another customer", 200, "", `{"externalId":"8","source":"1"}`, canonical.UpstreamInvalidResponse, nil},
		{"200 about another source", 200, "", `{"externalId":"7","source":"2"}`, canonical.UpstreamInvalidResponse, nil},
		{"201 cut off", 201, "", `{"complytId":"9f8ee193-1a71-42b4-801d-ee1d8a161fbe","extern`, canonical.UpstreamInvalidResponse, nil},
		{"200 with two customers", 200, "", `[{"externalId":"7"},{"externalId":"7"}]`, canonical.UpstreamInvalidResponse, nil},
	}
	a := New(Config{Source: 1}, true)
	u := upsert(t, "7", theCustomer)
	sent, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := &canonical.Reply{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)}
			if tt.header != "" {
				got.Header.Set("WWW-Authenticate", tt.header)
			}
			out, err := a.Interpret(u, sent, got)
			checkError(t, err, tt.code, tt.fields)
			if out.Next != nil {
				t.Error("a refusal has a next request")
			}
			if e := canonical.AsError(err); e.Message == "" || e.Op != "upsert" || e.Status != tt.status {
				t.Errorf("message = %q, op = %q, status = %d, want all set", e.Message, e.Op, e.Status)
			}
		})
	}
}

func TestInterpretSuccess(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status int
		body   string
		action canonical.Action
		id     string
	}{
		{200, `{"complytId":"u-1","externalId":"7","source":"1","address":null}`, canonical.ActionUpdated, "u-1"},
		{201, `{"complytId":"u-1","externalId":"7","source":"1"}`, canonical.ActionCreated, "u-1"},
		{200, `{"externalId":7,"source":1}`, canonical.ActionUpdated, ""},
		{200, `{"complytId":"u-1"}`, canonical.ActionUpdated, "u-1"},
		{201, `{"data":{"complytId":"u-1","externalId":"7"}}`, canonical.ActionCreated, "u-1"},
		{200, `{"complytId":"u-1","externalId":"7","status":"ACTIVE","code":400}`, canonical.ActionUpdated, "u-1"},
	}
	a := New(Config{Source: 1}, true)
	u := upsert(t, "7", theCustomer)
	sent, _, _ := a.Translate(u)
	for _, tt := range tests {
		out, err := a.Interpret(u, sent, &canonical.Reply{Status: tt.status, Body: []byte(tt.body)})
		if err != nil || out.Action != tt.action || out.RemoteID != tt.id || out.Next != nil {
			t.Errorf("Interpret(%d %s) = %+v, %v, want %s %q", tt.status, tt.body, out, err, tt.action, tt.id)
		}
	}
}

// TestReadLeadsToWrite holds which 404 means that the customer is not there.
func TestReadLeadsToWrite(t *testing.T) {
	t.Parallel()
	tests := []struct {
		body  string
		write bool
	}{
		{`{"code":404,"message":"The requested operation failed because a resource associated with the request could not be found."}`, true},
		{`{"message":"Customer Not Found"}`, true},
		{`{"status":404,"error":"Not Found","path":"/v1/customers/source/1/externalId/7","requestId":"a-1"}`, true},
		{``, false},
		{`{}`, false},
		{`[]`, false},
		{`"404 page not found"`, false},
		{`<html><body>404</body></html>`, false},
		{`default backend - 404`, false},
		{`{"message":"no Route matched with those values"}`, false},
		{`{"status":404,"error":"Not Found","message":"No static resource v1/customers."}`, false},
	}
	a := New(Config{Source: 1}, false)
	u := upsert(t, "7", theCustomer)
	sent, _, _ := a.Translate(u)
	for _, tt := range tests {
		out, err := a.Interpret(u, sent, &canonical.Reply{Status: 404, Body: []byte(tt.body)})
		if tt.write {
			if err != nil || out.Next == nil || out.Next.Method != http.MethodPut || out.Next.Op == sent.Op {
				t.Errorf("Interpret(404 %s) = %+v, %v, want the PUT", tt.body, out, err)
			}
			continue
		}
		checkError(t, err, canonical.UpstreamMisconfigured, nil)
	}
}

func TestSplitList(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want []string
	}{
		{"[a, b]", []string{"a, b"}},
		{"Failed to read, name and all", []string{"Failed to read, name and all"}},
		{"[name may not be null]", []string{"name may not be null"}},
		{"[name may not be null, vatNumber may not be null, source has to be in range 1-15]", []string{"name may not be null, vatNumber may not be null", "source has to be in range 1-15"}},
		{"[Timestamps.createdDate use 'YYYY-MM-DD', 'YYYY-MM-DDTHH:mm:ssZ', and names,Address.zip 5-digit format (e.g., 12345)]",
			[]string{"Timestamps.createdDate use 'YYYY-MM-DD', 'YYYY-MM-DDTHH:mm:ssZ', and names", "Address.zip 5-digit format (e.g., 12345)"}},
		{"[]", []string{""}},
	}
	for _, tt := range tests {
		if got := splitList(tt.text); !slices.Equal(got, tt.want) {
			t.Errorf("splitList(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		token  canonical.Secret
		lives  time.Duration
		code   canonical.Code
	}{
		{"present spelling", 200, `{"accessToken":"eyJ.a","tokenType":"Bearer","expiresIn":86400}`, "eyJ.a", 24 * time.Hour, ""},
		{"older spelling", 200, `{"access_token":"eyJ.a","token_type":"Bearer","expires_in":"3600"}`, "eyJ.a", time.Hour, ""},
		{"both, one null", 201, `{"accessToken":null,"access_token":"eyJ.a","expiresIn":60.5}`, "eyJ.a", 60500 * time.Millisecond, ""},
		{"wrapped", 200, `{"data":{"accessToken":"eyJ.a"}}`, "eyJ.a", 0, ""},
		{"senseless lifetime", 200, `{"accessToken":"eyJ.a","expiresIn":-1}`, "eyJ.a", 0, ""},
		{"endless lifetime", 200, `{"accessToken":"eyJ.a","expiresIn":1e300}`, "eyJ.a", 366 * 24 * time.Hour, ""},
		{"no token", 200, `{"tokenType":"Bearer"}`, "", 0, canonical.UpstreamInvalidResponse},
		{"a token that is none", 200, `{"accessToken":"a b"}`, "", 0, canonical.UpstreamInvalidResponse},
		{"page", 200, `<html></html>`, "", 0, canonical.UpstreamInvalidResponse},
		{"refused", 401, `{"code":401,"error":"Unauthorized","requestId":"r-1","message":"401 Unauthorized client-secret-4711"}`, "", 0, canonical.UpstreamUnauthenticated},
		{"refused under 200", 200, `{"code":401,"message":"401 Unauthorized"}`, "", 0, canonical.UpstreamUnauthenticated},
		{"refused without a body", 401, ``, "", 0, canonical.UpstreamUnauthenticated},
		{"refused by the service behind", 400, `{"error":"invalid_client","error_description":"x"}`, "", 0, canonical.UpstreamUnauthenticated},
		{"forbidden", 403, `{"error":"access_denied"}`, "", 0, canonical.UpstreamForbidden},
		{"a body it does not take", 400, `{"code":400,"message":"[clientId may not be null]"}`, "", 0, canonical.UpstreamMisconfigured},
		{"the service behind is out of order", 400, `{"code":400,"message":"Failed to create a new token"}`, "", 0, canonical.UpstreamUnavailable},
		{"internal error", 500, `{"message":"Failed to create a new token"}`, "", 0, canonical.UpstreamUnavailable},
		{"wrong path", 404, `<html></html>`, "", 0, canonical.UpstreamMisconfigured},
		{"too many", 429, ``, "", 0, canonical.UpstreamRateLimited},
		{"timed out", 408, ``, "", 0, canonical.UpstreamUnavailable},
		{"redirect", 302, ``, "", 0, canonical.UpstreamInvalidResponse},
		{"odd", 418, `{}`, "", 0, canonical.UpstreamUnclassified},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token, lives, err := readToken(&canonical.Reply{Status: tt.status, Body: []byte(tt.body)})
			if token.Reveal() != tt.token.Reveal() || lives != tt.lives {
				t.Errorf("token = %q, %v, want %q, %v", token.Reveal(), lives, tt.token.Reveal(), tt.lives)
			}
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			checkError(t, err, tt.code, nil)
			if e := canonical.AsError(err); e.Op != "token" || strings.Contains(e.Message, "4711") {
				t.Errorf("op = %q, message = %q, want the token call and no provider text", e.Op, e.Message)
			}
		})
	}
}

func optionsFor(t *testing.T, settings map[string]any, credentials map[string]canonical.Secret, base string) provider.Options {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	return provider.Options{Route: "tax", BaseURL: u, Settings: settings, Credentials: credentials}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	credentials := map[string]canonical.Secret{"client_id": "id", "client_secret": `s"ecret`}
	opened, err := Open(optionsFor(t, map[string]any{"source": 6, "address_type": "billing", "countries": map[string]any{"US": "United States"}}, credentials, "https://api.complyt.io"))
	if err != nil {
		t.Fatal(err)
	}
	auth := opened.Auth.Token
	if auth == nil || opened.Auth.Header != nil {
		t.Fatalf("auth = %+v, want a token", opened.Auth)
	}
	if got, want := string(auth.Request.Body), `{"clientId":"id","clientSecret":"s\"ecret"}`; got != want {
		t.Errorf("token body = %s, want %s", got, want)
	}
	if auth.Request.Method != "POST" || auth.Request.Path != "/v1/token" || auth.Header != "Authorization" || auth.Prefix != "Bearer " || auth.Lifetime != 24*time.Hour {
		t.Errorf("auth = %s %s, header %q, prefix %q, lifetime %v", auth.Request.Method, auth.Request.Path, auth.Header, auth.Prefix, auth.Lifetime)
	}
	if tokenRequest.Body != nil {
		t.Error("the shared token request holds a credential")
	}
	for _, source := range []any{"6", 6} {
		if _, err := Open(optionsFor(t, map[string]any{"source": source}, credentials, "https://x.example/tax")); err != nil {
			t.Errorf("source %v: %v", source, err)
		}
	}
}

func TestOpenFaults(t *testing.T) {
	t.Parallel()
	good := map[string]canonical.Secret{"client_id": "id", "client_secret": "secret"}
	tests := []struct {
		name        string
		settings    map[string]any
		credentials map[string]canonical.Secret
		base        string
		want        []string
	}{
		{"nothing", nil, nil, "https://api.complyt.io/v1", []string{"base_url", "credentials.client_id", "credentials.client_secret", "settings.source"}},
		{"source too large", map[string]any{"source": 16}, good, "https://api.complyt.io", []string{"settings.source"}},
		{"source over its own bound", map[string]any{"source": 10, "max_source": 9}, good, "https://api.complyt.io", []string{"settings.source"}},
		{"source is no number", map[string]any{"source": "xero"}, good, "https://api.complyt.io", []string{"settings.source"}},
		{"negative", map[string]any{"source": -1, "max_source": 0}, good, "https://api.complyt.io", []string{"settings.max_source"}},
		{"the rest", map[string]any{"source": 1, "address_type": "office", "countries": map[string]any{"usa": "USA", "CA": strings.Repeat("x", 51)}, "read_only": []any{"name"}, "souce": 2}, good, "https://api.complyt.io",
			[]string{"settings.address_type", "settings.countries.CA", "settings.countries.usa", "settings.read_only", "settings.souce"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(optionsFor(t, tt.settings, tt.credentials, tt.base))
			faults, _ := errors.AsType[section.Faults](err)
			var got []string
			for _, f := range faults {
				if !slices.Contains(got, f.Key) {
					got = append(got, f.Key)
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("faults = %v, want those of %q", err, tt.want)
			}
		})
	}
	if _, err := Open(optionsFor(t, map[string]any{"source": 15, "max_source": "20"}, good, "http://127.0.0.1:1")); err != nil {
		t.Error(err)
	}
}
