package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// seedRow is the first published example of the upsert page.
const seedRow = `{"profiles":[{"firstName":"Vishal","lastName":"K",
"identifiers":[{"type":"externalId","value":"VISHKWJEJWJC2381"},{"type":"mobile","value":"916360499160"}],
"commChannels":[{"type":"mobile","value":"916360499160","primary":true,"verified":true,"meta":{"lastViewedDate":"","residence":true,"office":false}}],
"source":"WEB_ENGAGE","accountId":"311c4dd1"}],"extendedFields":{"gender":"Male"}}`

// seedSubscription is the second one, without source and account.
const seedSubscription = `{"loyaltyInfo":{"loyaltyType":"loyalty"},"profiles":[{"identifiers":[{"type":"mobile","value":"6289999999"}]}],
"statusLabel":"Active","subscriptionInfo":{"subscriptions":[{"channel":"ios","accountId":"~1341059D8","priority":"BULK","type":"OPTIN","sourceName":"WEB_ENGAGE"}]}}`

// bench is an emulator behind a real socket, with a clock that only moves when
// told to.
type bench struct {
	*Sandbox
	t   *testing.T
	url string

	clock *emulator.Clock
}

func setup(t *testing.T, opts Options) *bench {
	t.Helper()
	b := &bench{t: t, clock: emulator.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))}
	opts.Now = b.clock.Now
	b.Sandbox = New(opts)
	server := httptest.NewServer(emulator.NewServer(b.Sandbox, emulator.Options{Now: opts.Now}))
	t.Cleanup(server.Close)
	b.url = server.URL
	return b
}

type reply struct {
	status int
	header http.Header
	body   string
}

func (b *bench) send(method, path, body string, header map[string]string) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, strings.TrimSpace(string(got))}
}

func jsonHeader(extra ...string) map[string]string {
	h := map[string]string{"Content-Type": "application/json", "Accept": "application/json"}
	for i := 0; i < len(extra); i += 2 {
		h[extra[i]] = extra[i+1]
	}
	return h
}

// till is the Authorization of the demo till, computed elsewhere:
// base64("emulator.till:" + md5("emulator-password")).
const till = "Basic ZW11bGF0b3IudGlsbDo3NWJhMTExYjQzZTNkODIxNWM2ZGViMGE5MDBmMGU1NA=="

func (b *bench) token() string {
	b.t.Helper()
	got := b.send("POST", tokenPath, `{"key":"emulator-key","secret":"emulator-secret"}`, jsonHeader())
	var answer struct {
		Data struct {
			AccessToken string
			TTLSeconds  int
		}
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || answer.Data.AccessToken == "" {
		b.t.Fatalf("token answer = %d %s", got.status, got.body)
	}
	return answer.Data.AccessToken
}

type envelope struct {
	Response []struct {
		EntityID *int64
		Result   *struct {
			ID          int64
			StatusLabel string
			Profiles    []struct {
				FirstName, LastName, Source, AccountID string
				Identifiers                            []struct{ Type, Value string }
				CommChannels                           []struct {
					Type, Value string
					Primary     *bool
				}
				Fields map[string]string
			}
			LoyaltyInfo    struct{ LoyaltyType string }
			ExtendedFields map[string]string
			CardDetails    []struct {
				CardNumber, SeriesCode string
				StatusInfo             struct{ Label string }
			}
			SubscriptionInfo struct{ Subscriptions []map[string]string }
		}
		Errors, Warnings []Issue
	}
	TotalCount, FailureCount int
}

// upsert sends rows with identifiers to be changed and decodes the answer.
func (b *bench) upsert(rows ...string) (reply, envelope) {
	b.t.Helper()
	got := b.send("POST", upsertPath+"?skipChangeIdentifier=false", "["+strings.Join(rows, ",")+"]", jsonHeader("Authorization", till))
	var e envelope
	if err := json.Unmarshal([]byte(got.body), &e); err != nil {
		b.t.Fatalf("answer %d is not JSON: %s", got.status, got.body)
	}
	return got, e
}

// person is a row in the first account with the given members added to the
// profile and to the row.
func person(identifiers, profile, customer string) string {
	return fmt.Sprintf(`{"profiles":[{"identifiers":[%s],"source":"WEB_ENGAGE","accountId":"311c4dd1"%s}]%s}`, identifiers, profile, customer)
}

func ident(kind, value string) string { return fmt.Sprintf(`{"type":%q,"value":%q}`, kind, value) }

func TestSeedExample(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	got, e := b.upsert(seedRow)
	if got.status != 200 || e.TotalCount != 1 || e.FailureCount != 0 || len(e.Response) != 1 {
		t.Fatalf("answer = %d %s", got.status, got.body)
	}
	row := e.Response[0]
	if row.EntityID == nil || row.Result == nil || *row.EntityID != row.Result.ID {
		t.Fatalf("row = %s, want entityId and the same id in result", got.body)
	}
	for _, want := range []string{
		`"firstName":"Vishal","lastName":"K"`,
		`"identifiers":[{"type":"externalId","value":"VISHKWJEJWJC2381"},{"type":"mobile","value":"916360499160"}]`,
		`"commChannels":[{"type":"mobile","value":"916360499160","primary":true,"verified":true,"meta":{"residence":true,"office":false},"attributes":{}}]`,
		`"source":"WEB_ENGAGE"`, `"accountId":"311c4dd1"`, `"lifetimePurchases":0.000`,
		`"createDate":"2026-03-01T12:00:00Z"`, `"extendedFields":{"gender":"Male"}`,
		`"errors":[],"warnings":[]`,
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("body lacks %s: %s", want, got.body)
		}
	}
	for name, want := range map[string]string{"status_code": "200", "success": "1", "fail": "0", "till": TillUser, "uri_path": upsertPath} {
		if v := got.header.Get(name); v != want {
			t.Errorf("header %s = %q, want %q", name, v, want)
		}
	}
	if id := got.header.Get("X-CAP-REQUEST-ID"); len(id) != 32 || id != got.header.Get("X-Cap-RequestID") {
		t.Errorf("request ids = %q and %q, want the same 32 digits", id, got.header.Get("X-Cap-RequestID"))
	}
	records := b.Records()
	if len(records) != 1 || records[0].Key != "VISHKWJEJWJC2381" || records[0].ID != fmt.Sprint(*row.EntityID) {
		t.Errorf("records = %v", records)
	}
	if again, ok := b.Record(records[0].ID); !ok || !bytes.Equal(again.Document, records[0].Document) {
		t.Errorf("Record(%s) = %s, %v", records[0].ID, again.Document, ok)
	}
}

func TestSubscriptionExample(t *testing.T) {
	t.Parallel()
	strict := setup(t, Options{})
	if _, e := strict.upsert(seedSubscription); e.FailureCount != 1 || e.Response[0].Errors[0].Code != codeNoSource {
		t.Errorf("without source: %+v, want 8001", e)
	}
	loose := setup(t, Options{LooseSource: true})
	got, e := loose.upsert(seedSubscription)
	if e.FailureCount != 0 || e.Response[0].Result.Profiles[0].Source != "WEB_ENGAGE" {
		t.Fatalf("answer = %s", got.body)
	}
	if subs := e.Response[0].Result.SubscriptionInfo.Subscriptions; len(subs) != 1 || subs[0]["type"] != "OPTIN" {
		t.Errorf("subscriptions = %v", subs)
	}
	out := strings.Replace(seedSubscription, "OPTIN", "OPTOUT", 1)
	if _, e = loose.upsert(out); len(e.Response[0].Result.SubscriptionInfo.Subscriptions) != 1 || e.Response[0].Result.SubscriptionInfo.Subscriptions[0]["type"] != "OPTOUT" {
		t.Errorf("subscriptions after OPTOUT = %v, want the one changed", e.Response[0].Result.SubscriptionInfo.Subscriptions)
	}
}

// TestRows checks the verdict on single rows sent to an empty organisation.
func TestRows(t *testing.T) {
	t.Parallel()
	mobile := ident("mobile", "4915112345678")
	tests := []struct {
		name     string
		row      string
		saved    bool
		errors   []int
		warnings []int
	}{
		{"good", person(mobile, "", ""), true, nil, nil},
		{"no profiles", `{}`, false, []int{8084}, nil},
		{"no source", `{"profiles":[{"identifiers":[` + mobile + `],"accountId":"311c4dd1"}]}`, false, []int{8001}, nil},
		{"wrong source", `{"profiles":[{"identifiers":[` + mobile + `],"source":"web_engage","accountId":"311c4dd1"}]}`, false, []int{8003}, nil},
		{"no account", `{"profiles":[{"identifiers":[` + mobile + `],"source":"WEB_ENGAGE"}]}`, false, []int{8045}, nil},
		{"wrong account", `{"profiles":[{"identifiers":[` + mobile + `],"source":"WEB_ENGAGE","accountId":"nope"}]}`, false, []int{8127}, nil},
		{"instore has no account", `{"profiles":[{"identifiers":[` + mobile + `],"source":"INSTORE"}]}`, true, nil, nil},
		{"instore with an account", `{"profiles":[{"identifiers":[` + mobile + `],"source":"INSTORE","accountId":"x"}]}`, false, []int{8127}, nil},
		{"no identifiers", person("", "", ""), false, []int{8002}, nil},
		{"identifier type in other case", person(ident("externalid", "1"), "", ""), false, []int{8013}, nil},
		{"identifier without value", person(`{"type":"mobile"}`, "", ""), false, []int{8093}, nil},
		{"identifier without type", person(`{"value":"1"}`, "", ""), false, []int{8092}, nil},
		{"mobile with plus", person(ident("mobile", "+4915112345678"), "", ""), false, []int{8014}, []int{8056}},
		{"mobile with plus beside a good identifier", person(ident("externalId", "c1")+","+ident("mobile", "+4915112345678"), "", ""), false, []int{8014}, []int{8056}},
		{"mobile without country code", person(ident("mobile", "015112345678"), "", ""), false, []int{8014}, []int{8056}},
		{"only a bad email", person(ident("email", "no at sign"), "", ""), false, []int{8005}, []int{8055}},
		{"bad email beside a good identifier", person(mobile+","+ident("email", "ä@example.com"), "", ""), true, nil, []int{8055}},
		{"bad mobile in channel", person(mobile, `,"commChannels":[{"type":"mobile","value":"+49 151"}]`, ""), true, nil, []int{8058}},
		{"bad email in channel", person(mobile, `,"commChannels":[{"type":"email","value":"nobody"}]`, ""), true, nil, []int{8057}},
		{"unknown channel", person(mobile, `,"commChannels":[{"type":"fax","value":"1"}]`, ""), false, []int{8010}, nil},
		{"channel without type", person(mobile, `,"commChannels":[{"value":"1"}]`, ""), false, []int{8106}, nil},
		{"customer label", person(mobile, "", `,"statusLabel":"Gold"`), false, []int{8086}, nil},
		{"card label", person(mobile+`,{"type":"cardnumber","value":"C1","seriesId":46,"statusLabel":"SHINY"}`, "", ""), true, []int{3017}, nil},
		{"card", person(mobile+`,{"type":"cardnumber","value":"C1","seriesCode":"BUKLPRM","statusLabel":"ACTIVE"}`, "", ""), true, nil, nil},
		{"card without series", person(mobile+`,{"type":"cardnumber","value":"C1"}`, "", ""), true, []int{8013}, nil},
		{"date", person(mobile, "", `,"createDate":"01.02.2026"`), false, []int{8017}, nil},
		{"extended field not enabled", person(mobile, "", `,"extendedFields":{"shoe_size":"44"}`), true, nil, []int{91015}},
		{"extended field of the wrong type", person(mobile, "", `,"extendedFields":{"zip":12345}`), true, nil, []int{91015}},
		{"extended field too long", person(mobile, "", `,"extendedFields":{"city":"`+strings.Repeat("x", 256)+`"}`), true, nil, []int{91015}},
		{"birth date in another format", person(mobile, "", `,"extendedFields":{"dob":"1988-05-10"}`), true, nil, []int{91015}},
		{"birth date", person(mobile, "", `,"extendedFields":{"dob":"1988/05/10"}`), true, nil, nil},
		{"unknown till", person(mobile, "", `,"associatedWith":"elsewhere"`), true, nil, []int{8077}},
		{"subscription", person(mobile, "", `,"subscriptionInfo":{"subscriptions":[{"channel":"pigeon","priority":"BULK","type":"OPTIN"}]}`), true, []int{91022}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			got, e := b.upsert(tt.row)
			if got.status != 200 || len(e.Response) != 1 {
				t.Fatalf("answer = %d %s", got.status, got.body)
			}
			row := e.Response[0]
			if (row.EntityID != nil) != tt.saved || (row.Result != nil) != tt.saved || (len(b.Records()) == 1) != tt.saved {
				t.Errorf("saved: entityId %v, %d records, want %v: %s", row.EntityID, len(b.Records()), tt.saved, got.body)
			}
			if got, want := codes(row.Errors), fmt.Sprint(tt.errors); got != want {
				t.Errorf("errors = %s, want %s", got, want)
			}
			if got, want := codes(row.Warnings), fmt.Sprint(tt.warnings); got != want {
				t.Errorf("warnings = %s, want %s", got, want)
			}
			if want := min(1, len(tt.errors)); e.FailureCount != want {
				t.Errorf("failureCount = %d, want %d", e.FailureCount, want)
			}
			if fail := got.header.Get("fail"); fail != fmt.Sprint(e.FailureCount) {
				t.Errorf("fail header = %s, want %d", fail, e.FailureCount)
			}
		})
	}
}

func codes(issues []Issue) string {
	var list []int
	for _, i := range issues {
		list = append(list, i.Code)
	}
	return fmt.Sprint(list)
}

// TestCalls checks the refusals of a whole call.
func TestCalls(t *testing.T) {
	t.Parallel()
	good := "[" + seedRow + "]"
	invalid := `{"errors":[{"status":false,"code":400,"message":"Invalid input. Please check request body parameters or input xml/json.`
	tests := []struct {
		name   string
		method string
		path   string
		header map[string]string
		body   string
		status int
		want   string
	}{
		{"other path", "POST", "/v2/customers", jsonHeader(), good, 404, `"code":404`},
		{"other method", "PUT", upsertPath, jsonHeader(), good, 405, `"code":405`},
		{"no content type", "POST", upsertPath, map[string]string{"Accept": "application/json"}, good, 415, `"code":415`},
		{"no accept", "POST", upsertPath, map[string]string{"Content-Type": "application/json"}, good, 415, `"code":415`},
		{"not JSON", "POST", upsertPath, jsonHeader(), "[{", 400, invalid},
		{"more than the array", "POST", upsertPath, jsonHeader(), good + "[]", 400, invalid},
		{"not UTF-8", "POST", upsertPath, jsonHeader(), "[\"\xff\"]", 400, invalid},
		{"an object", "POST", upsertPath, jsonHeader(), seedRow, 400, invalid},
		{"an array of numbers", "POST", upsertPath, jsonHeader(), "[1]", 400, invalid},
		{"no row", "POST", upsertPath, jsonHeader(), "[]", 400, invalid},
		{"wrong type", "POST", upsertPath, jsonHeader(), `[{"profiles":{}}]`, 400, ".profiles must be an array"},
		{"mobile as a number", "POST", upsertPath, jsonHeader(), `[{"profiles":[{"identifiers":[{"type":"mobile","value":491511234567}]}]}]`, 400, "identifiers[0].value must be a string"},
		{"huge number", "POST", upsertPath, jsonHeader(), `[{"profiles":[{"identifiers":[{"type":"cardnumber","value":"1","seriesId":1e999}]}]}]`, 400, "seriesId must be a whole number"},
		{"member in other case", "POST", upsertPath, jsonHeader(), `[{"Profiles":[]}]`, 400, "Profiles is not a documented member"},
		{"extended fields in the profile", "POST", upsertPath, jsonHeader(), `[{"profiles":[{"extendedFields":{}}]}]`, 400, "extendedFields is not a documented member"},
		{"custom field as a number", "POST", upsertPath, jsonHeader(), `[{"profiles":[{"fields":{"size":44}}]}]`, 400, "fields.size must be a string"},
		{"loyalty type", "POST", upsertPath, jsonHeader(), `[{"loyaltyInfo":{"loyaltyType":"gold"}}]`, 400, "loyaltyType must be"},
		{"skipChangeIdentifier", "POST", upsertPath + "?skipChangeIdentifier=maybe", jsonHeader(), good, 400, "skipChangeIdentifier"},
		{"eleven rows", "POST", upsertPath, jsonHeader(), "[" + strings.Repeat(seedRow+",", 10) + seedRow + "]", 400, `"code":1060`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			header := map[string]string{"Authorization": till}
			for k, v := range tt.header {
				header[k] = v
			}
			got := b.send(tt.method, tt.path, tt.body, header)
			if got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("answer = %d %s, want %d with %s", got.status, got.body, tt.status, tt.want)
			}
			if n := len(b.Records()); n != 0 {
				t.Errorf("%d records after a refused call", n)
			}
		})
	}
}

func TestAllowUnknown(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{AllowUnknown: true})
	if got, e := b.upsert(person(ident("mobile", "4915112345678"), `,"nickname":"x"`, `,"mood":1`)); e.FailureCount != 0 || e.TotalCount != 1 {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	const plain = "Basic ZW11bGF0b3IudGlsbDplbXVsYXRvci1wYXNzd29yZA==" // emulator.till:emulator-password
	for name, header := range map[string]map[string]string{
		"none":           jsonHeader(),
		"plain password": jsonHeader("Authorization", plain),
		"bearer":         jsonHeader("Authorization", "Bearer x"),
		"not base64":     jsonHeader("Authorization", "Basic ???"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := setup(t, Options{}).send("POST", upsertPath, "["+seedRow+"]", header)
			if got.status != 401 || got.header.Get("Content-Type") != "application/xml" || !strings.Contains(got.body, "<success>false</success><code>401</code><message>") {
				t.Errorf("answer = %d %s", got.status, got.body)
			}
			got = setup(t, Options{EmptyUnauthorized: true}).send("POST", upsertPath, "["+seedRow+"]", header)
			if got.status != 401 || got.body != "" {
				t.Errorf("empty answer = %d %s", got.status, got.body)
			}
		})
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	token := b.token()
	call := func(token string) reply {
		t.Helper()
		return b.send("POST", upsertPath, "["+seedRow+"]", jsonHeader("X-CAP-API-OAUTH-TOKEN", token))
	}
	if got := call(token); got.status != 200 {
		t.Errorf("good token: %d %s", got.status, got.body)
	}
	if got := b.send("POST", upsertPath, "["+seedRow+"]", jsonHeader("Authorization", "Bearer "+token)); got.status != 401 {
		t.Errorf("token as bearer: %d, want 401", got.status)
	}
	const unauthorized = `{"response":{"customers":null,"status":{"code":"401","message":"Unauthorized","success":"true"}}}`
	if got := call("stolen"); got.status != 401 || got.body != unauthorized {
		t.Errorf("bad token: %d %s, want %s", got.status, got.body, unauthorized)
	}
	b.clock.Advance(299 * time.Second)
	if got := call(token); got.status != 200 {
		t.Errorf("token one second before its end: %d", got.status)
	}
	b.clock.Advance(time.Second)
	const expired = `{"response":{"customers":null,"status":{"code":"498","message":"Token expired at 2026-03-01T12:05:00.000+0000","success":"true"}}}`
	if got := call(token); got.status != 401 || got.body != expired {
		t.Errorf("expired token: %d %s, want %s", got.status, got.body, expired)
	}
	token = b.token()
	b.ExpireTokens()
	if got := call(token); !strings.Contains(got.body, `"498"`) {
		t.Errorf("after ExpireTokens: %s", got.body)
	}
	token = b.token()
	b.RevokeTokens()
	if got := call(token); got.body != unauthorized {
		t.Errorf("after RevokeTokens: %s", got.body)
	}
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	good := b.send("POST", tokenPath, `{"key":"emulator-key","secret":"emulator-secret"}`, jsonHeader())
	if good.status != 200 || !strings.HasPrefix(good.body, `{"data":{"accessToken":"ey`) || !strings.HasSuffix(good.body, `","ttlSeconds":300},"errors":null}`) {
		t.Errorf("token answer = %d %s", good.status, good.body)
	}
	const refused = `{"data":null,"errors":[{"code":320001,"message":"Invalid client key and secret"}]}`
	if got := b.send("POST", tokenPath, `{"key":"emulator-key","secret":"x"}`, jsonHeader()); got.status != 200 || got.body != refused {
		t.Errorf("wrong secret = %d %s, want 200 %s", got.status, got.body, refused)
	}
	if got := setup(t, Options{TokenErrorStatus: 401}).send("POST", tokenPath, `{}`, jsonHeader()); got.status != 401 || got.body != refused {
		t.Errorf("no secret = %d %s, want 401 %s", got.status, got.body, refused)
	}
	if got := b.send("POST", tokenPath, `{`, jsonHeader()); got.status != 400 {
		t.Errorf("not JSON = %d, want 400", got.status)
	}
	if got := b.send("POST", tokenPath, `{}`, nil); got.status != 415 {
		t.Errorf("no content type = %d, want 415", got.status)
	}
	if got := b.send("GET", tokenPath, "", jsonHeader()); got.status != 405 {
		t.Errorf("GET = %d, want 405", got.status)
	}
}

func TestAttribution(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Entities: []string{TillUser, "store.one"}})
	oauth := func(extra ...string) map[string]string {
		return jsonHeader(append(extra, "X-CAP-API-OAUTH-TOKEN", b.token())...)
	}
	basic := func(extra ...string) map[string]string { return jsonHeader(append(extra, "Authorization", till)...) }
	tests := []struct {
		name   string
		header map[string]string
		status int
		want   string // in the body, or the till when 200
	}{
		{"store", oauth("X-CAP-API-ATTRIBUTION-ENTITY-TYPE", "STORE_CODE", "X-CAP-API-ATTRIBUTION-ENTITY-CODE", "store.one"), 200, "store.one"},
		{"old header", oauth("X-CAP-API-ATTRIBUTION-TILL-CODE", "store.one"), 200, "store.one"},
		{"unknown code", oauth("X-CAP-API-ATTRIBUTION-ENTITY-CODE", "store.two"), 400, `"code":91021`},
		{"unknown type", oauth("X-CAP-API-ATTRIBUTION-ENTITY-TYPE", "TILL_CODE", "X-CAP-API-ATTRIBUTION-ENTITY-CODE", "store.one"), 400, `"code":91021`},
		{"lookup", basic("X-CAP-API-ATTRIBUTION-LOOKUP-TYPE", "WECHAT", "X-CAP-API-ATTRIBUTION-LOOKUP", "store.one"), 200, "store.one"},
		{"half a lookup", basic("X-CAP-API-ATTRIBUTION-LOOKUP", "store.one"), 400, `"code":1061`},
		{"lookup type", basic("X-CAP-API-ATTRIBUTION-LOOKUP-TYPE", "wechat", "X-CAP-API-ATTRIBUTION-LOOKUP", "store.one"), 400, `"code":400`},
		{"lookup value", basic("X-CAP-API-ATTRIBUTION-LOOKUP-TYPE", "WECHAT", "X-CAP-API-ATTRIBUTION-LOOKUP", "Store.One"), 400, `"code":91021`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.send("POST", upsertPath, "["+seedRow+"]", tt.header)
			ok := strings.Contains(got.body, tt.want)
			if tt.status == 200 {
				ok = got.header.Get("till") == tt.want
			}
			if got.status != tt.status || !ok {
				t.Errorf("answer = %d, till %q, %s", got.status, got.header.Get("till"), got.body)
			}
		})
	}
	fallback := setup(t, Options{FallBackTill: true})
	got := fallback.send("POST", upsertPath, "["+seedRow+"]", jsonHeader("X-CAP-API-OAUTH-TOKEN", fallback.token(), "X-CAP-API-ATTRIBUTION-ENTITY-CODE", "x"))
	if got.status != 200 || got.header.Get("till") != TillUser {
		t.Errorf("fallback = %d, till %q", got.status, got.header.Get("till"))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		refusal Refusal
		status  int
		body    string
	}{
		{RefuseAccessGroup, 403, `{"errors":[{"status":false,"code":4000,"message":"Not authorized. Access is denied!"}],"warnings":[]}`},
		{RefuseClientScope, 403, `{"response":{"status":{"code":403,"message":"Client doesn't have access to the requested resource","success":false,"warnings":{"warning":[]}}}}`},
		{RefuseAuthorization, 503, `{"errors":[{"status":false,"code":4001,"message":"Authorization status unavailable!"}],"warnings":[]}`},
	}
	for _, tt := range tests {
		t.Run(string(tt.refusal), func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			b.Refuse(tt.refusal)
			if got := b.send("POST", upsertPath, "["+seedRow+"]", jsonHeader("Authorization", till)); got.status != tt.status || got.body != tt.body {
				t.Errorf("answer = %d %s, want %d %s", got.status, got.body, tt.status, tt.body)
			}
			b.Clear()
			if got, _ := b.upsert(seedRow); got.status != 200 {
				t.Errorf("after Clear: %d", got.status)
			}
		})
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	_, first := b.upsert(person(ident("externalId", "c1")+","+ident("mobile", "4915112345678"),
		`,"firstName":"Ada","lastName":"Lovelace","fields":{"segment":"a","tier":"1"},"commChannels":[{"type":"email","value":"a@example.com","primary":"true"}]`,
		`,"extendedFields":{"city":"London","gender":"Female"}`))
	b.clock.Advance(time.Hour)
	_, second := b.upsert(person(ident("externalId", "c1"),
		`,"lastName":"King","firstName":null,"fields":{"segment":"b","tier":""},"commChannels":[{"type":"email","value":"b@example.com","primary":true}]`,
		`,"extendedFields":{"city":"Paris","gender":""}`))
	if *first.Response[0].EntityID != *second.Response[0].EntityID {
		t.Fatalf("entityId = %d, then %d", *first.Response[0].EntityID, *second.Response[0].EntityID)
	}
	held := second.Response[0].Result
	p := held.Profiles[0]
	if p.FirstName != "Ada" || p.LastName != "King" {
		t.Errorf("name = %s %s, want what was not stated kept", p.FirstName, p.LastName)
	}
	if fmt.Sprint(held.ExtendedFields, p.Fields) != "map[city:Paris gender:Female] map[segment:b tier:1]" {
		t.Errorf("fields = %v %v", held.ExtendedFields, p.Fields)
	}
	if len(p.Identifiers) != 2 {
		t.Errorf("identifiers = %v, want the mobile kept", p.Identifiers)
	}
	if len(p.CommChannels) != 2 || *p.CommChannels[0].Primary || !*p.CommChannels[1].Primary {
		t.Errorf("channels = %+v, want two, the last one primary", p.CommChannels)
	}
}

func TestIdentifiers(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	id, err := b.Seed(json.RawMessage(person(ident("externalId", "c1")+","+ident("mobile", "4915112345678"), "", "")))
	if err != nil {
		t.Fatal(err)
	}
	change := person(ident("externalId", "c1")+","+ident("mobile", "4915100000000"), "", "")
	for _, query := range []string{"?skipChangeIdentifier=true", ""} {
		if got := b.send("POST", upsertPath+query, "["+change+"]", jsonHeader("Authorization", till)); !strings.Contains(got.body, `"value":"4915112345678"`) {
			t.Errorf("%q changed the mobile: %s", query, got.body)
		}
	}
	got, e := b.upsert(change)
	if strings.Contains(got.body, "4915112345678") || !strings.Contains(got.body, "4915100000000") || fmt.Sprint(*e.Response[0].EntityID) != id {
		t.Errorf("mobile not changed: %s", got.body)
	}
	// The old number is free again, and somebody else's.
	_, e = b.upsert(person(ident("externalId", "c2")+","+ident("mobile", "4915112345678"), "", ""))
	if fmt.Sprint(*e.Response[0].EntityID) == id {
		t.Errorf("the old mobile still finds the first customer")
	}
	got, e = b.upsert(person(ident("externalId", "c1")+","+ident("mobile", "4915112345678"), `,"firstName":"Eve"`, ""))
	if row := e.Response[0]; row.EntityID != nil || codes(row.Errors) != "[8008]" || got.header.Get("status_code") != "8008" {
		t.Errorf("two customers' identifiers: %s, want 8008 and nothing saved", got.body)
	}
	for _, r := range b.Records() {
		if bytes.Contains(r.Document, []byte("Eve")) {
			t.Errorf("a conflict changed %s", r.Document)
		}
	}
}

func TestOtherSources(t *testing.T) {
	t.Parallel()
	instore := func(identifiers string) string {
		return `{"profiles":[{"identifiers":[` + identifiers + `],"source":"INSTORE"}]}`
	}
	mobile := ident("mobile", "4915112345678")
	t.Run("combine", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		_, first := b.upsert(instore(mobile))
		_, second := b.upsert(person(mobile, "", ""))
		if row := second.Response[0]; *row.EntityID != *first.Response[0].EntityID || codes(row.Warnings) != "[8050]" || len(row.Result.Profiles) != 2 {
			t.Errorf("row = %+v, want the same customer with two profiles and 8050", row)
		}
	})
	t.Run("merge", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		_, first := b.upsert(person(ident("externalId", "c1"), "", ""))
		b.upsert(instore(mobile))
		_, third := b.upsert(person(ident("externalId", "c1")+","+mobile, "", ""))
		row := third.Response[0]
		if *row.EntityID != *first.Response[0].EntityID || codes(row.Warnings) != "[8051]" || len(b.Records()) != 1 {
			t.Errorf("row = %+v and %d records, want one customer and 8051", row, len(b.Records()))
		}
		if _, again := b.upsert(instore(mobile)); *again.Response[0].EntityID != *row.EntityID {
			t.Errorf("the victim's identifier does not find the survivor")
		}
	})
	t.Run("conflict", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		b.upsert(instore(mobile))
		b.upsert(person(mobile+","+ident("externalId", "c1"), "", ""))
		b.upsert(person(ident("mobile", "4915100000000")+","+ident("externalId", "c1"), "", ""))
		_, e := b.upsert(person(mobile+","+ident("externalId", "c2"), "", ""))
		if row := e.Response[0]; codes(row.Warnings) != "[8052]" || len(b.Records()) != 2 {
			t.Errorf("row = %+v and %d records, want a second customer and 8052", row, len(b.Records()))
		}
	})
	t.Run("wrong account is another customer", func(t *testing.T) {
		t.Parallel()
		b := setup(t, Options{})
		b.upsert(person(ident("externalId", "c1"), "", ""))
		got, _ := b.upsert(strings.Replace(person(ident("externalId", "c1"), "", ""), "311c4dd1", "7be01c52", 1))
		if !strings.Contains(got.body, `"code":8050`) {
			t.Errorf("answer = %s, want the accounts combined with a warning", got.body)
		}
	})
}

func TestLoyalty(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	mobile := ident("mobile", "4915112345678")
	if _, e := b.upsert(person(mobile, "", `,"loyaltyInfo":{"loyaltyType":"non_loyalty"}`)); e.Response[0].Result.LoyaltyInfo.LoyaltyType != "non_loyalty" {
		t.Errorf("row = %+v", e.Response[0])
	}
	b.upsert(person(mobile, "", `,"loyaltyInfo":{"loyaltyType":"loyalty"}`))
	if _, e := b.upsert(person(mobile, "", `,"loyaltyInfo":{"loyaltyType":"non_loyalty"}`)); codes(e.Response[0].Errors) != "[8018]" || e.Response[0].EntityID != nil {
		t.Errorf("downgrade: %+v, want 8018 and nothing saved", e.Response[0])
	}
}

func TestCards(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	mobile := ident("mobile", "4915112345678")
	_, e := b.upsert(person(mobile+`,{"type":"cardnumber","value":"C1","seriesId":46,"statusLabel":"ACTIVE"}`, "", ""))
	if d := e.Response[0].Result.CardDetails; len(d) != 1 || d[0].CardNumber != "C1" || d[0].SeriesCode != "BUKLPRM" || d[0].StatusInfo.Label != "ACTIVE" {
		t.Errorf("cards = %+v", d)
	}
	_, e = b.upsert(person(`{"type":"cardnumber","value":"C1","statusLabel":"SHINY"}`, `,"firstName":"Ada"`, ""))
	row := e.Response[0]
	if codes(row.Errors) != "[3017]" || row.EntityID == nil || row.Result.Profiles[0].FirstName != "Ada" || row.Result.CardDetails[0].StatusInfo.Label != "ACTIVE" {
		t.Errorf("row = %+v, want the name saved and the label refused", row)
	}
}

func TestLongNamesAreCut(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	_, e := b.upsert(person(ident("mobile", "4915112345678"), `,"firstName":"`+strings.Repeat("ß", 101)+`"`, ""))
	row := e.Response[0]
	if got := row.Result.Profiles[0].FirstName; got != strings.Repeat("ß", 100) || len(row.Errors)+len(row.Warnings) != 0 {
		t.Errorf("name of %d bytes, %d issues; want 100 characters and no issue", len(got), len(row.Errors)+len(row.Warnings))
	}
	if cut("ab", 2) != "ab" || cut("abc", 2) != "ab" {
		t.Errorf("cut is off by one")
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	rows := []string{
		person(ident("externalId", "c1"), "", ""),
		person(ident("mobile", "+1"), "", ""),
		person(ident("externalId", "c3"), "", ""),
	}
	got, e := setup(t, Options{FailureStatus: 201}).upsert(rows...)
	if got.status != 201 || e.TotalCount != 3 || e.FailureCount != 1 || e.Response[1].EntityID != nil || e.Response[2].EntityID == nil {
		t.Errorf("answer = %d %s", got.status, got.body)
	}
	if s, f := got.header.Get("success"), got.header.Get("fail"); s != "2" || f != "1" {
		t.Errorf("success %s, fail %s, want 2 and 1", s, f)
	}
	_, e = setup(t, Options{ReverseRows: true}).upsert(rows...)
	if last := e.Response[0].Result.Profiles[0].Identifiers[0].Value; last != "c3" {
		t.Errorf("first answered row is %s, want c3", last)
	}
}

func TestEmptyLists(t *testing.T) {
	t.Parallel()
	for spelling, want := range map[Empty]string{
		EmptyList:   `,"errors":[],"warnings":[]}]`,
		EmptyNull:   `,"errors":null,"warnings":null}]`,
		EmptyAbsent: `}}]`,
		EmptyObject: `,"errors":[{}],"warnings":[{}]}]`,
	} {
		got := setup(t, Options{Empty: spelling}).send("POST", upsertPath, "["+seedRow+"]", jsonHeader("Authorization", till))
		if !strings.Contains(got.body, want) {
			t.Errorf("%q: body lacks %s: %s", spelling, want, got.body)
		}
	}
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.Busy("VISHKWJEJWJC2381", 2)
	for n := range 2 {
		_, e := b.upsert(seedRow)
		if row := e.Response[0]; codes(row.Errors) != "[521]" || row.EntityID != nil || e.FailureCount != 1 {
			t.Errorf("call %d: %+v, want 521", n, row)
		}
	}
	if _, e := b.upsert(seedRow); e.FailureCount != 0 {
		t.Errorf("still busy: %+v", e)
	}
	b.Judge("916360499160", Verdict{Errors: []Issue{{Code: 10002, Message: "x"}}, Warnings: []Issue{{Code: 8069, Message: "y"}}})
	_, e := b.upsert(seedRow)
	if row := e.Response[0]; codes(row.Errors) != "[10002]" || codes(row.Warnings) != "[8069]" || row.EntityID == nil {
		t.Errorf("row = %+v, want saved with 10002 and 8069", row)
	}
	if _, err := b.Seed(json.RawMessage(seedRow)); err == nil {
		t.Errorf("Seed hides the row's error")
	}
	b.Clear()
	if _, e = b.upsert(seedRow); e.FailureCount != 0 {
		t.Errorf("after Clear: %+v", e)
	}
}

func TestOrganisationSettings(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{ExternalIDs: true, NoDefaultStatus: true, CustomFields: []string{"segment"}, MaxRecords: 1})
	_, e := b.upsert(person(ident("externalId", "c1"), `,"fields":{"segment":"a","mood":"b"}`, ""))
	row := e.Response[0]
	if id := row.Result.Profiles[0].Identifiers[0].Value; id != fmt.Sprintf("CAP%d", *row.EntityID) {
		t.Errorf("external id = %s, want a generated one", id)
	}
	if codes(row.Warnings) != "[8107]" || row.Result.StatusLabel != "" {
		t.Errorf("warnings = %v, label %q, want 8107 and none", row.Warnings, row.Result.StatusLabel)
	}
	if fmt.Sprint(row.Result.Profiles[0].Fields) != "map[segment:a]" {
		t.Errorf("fields = %v", row.Result.Profiles[0].Fields)
	}
	if _, e = b.upsert(person(ident("externalId", "c2"), "", "")); codes(e.Response[0].Errors) != "[10001]" {
		t.Errorf("beyond MaxRecords: %+v, want 10001", e.Response[0])
	}
}

func TestRateLimited(t *testing.T) {
	t.Parallel()
	for send, want := range map[bool]string{false: "", true: "2"} {
		w := httptest.NewRecorder()
		New(Options{SendRetryAfter: send}).RateLimited(w, httptest.NewRequest("POST", upsertPath, nil), 1500*time.Millisecond)
		if w.Code != 429 || w.Header().Get("Retry-After") != want {
			t.Errorf("answer = %d, Retry-After %q, want 429 and %q", w.Code, w.Header().Get("Retry-After"), want)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	got := New(Options{}).Route()
	want := emulator.Route{
		Credentials: map[string]string{"client_key": ClientKey, "client_secret": ClientSecret},
		Settings:    map[string]any{"source": "WEB_ENGAGE", "account_id": "311c4dd1"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Route() = %v, want %v", got, want)
	}
	if got := New(Options{Basic: true}).Route().Credentials; got["till_user"] != TillUser || got["till_password"] != TillPassword || len(got) != 2 {
		t.Errorf("Basic credentials = %v", got)
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			body := "[" + person(ident("externalId", fmt.Sprint("c", n%5)), fmt.Sprintf(`,"firstName":"N%d"`, n), "") + "]"
			req := httptest.NewRequest("POST", upsertPath+"?skipChangeIdentifier=false", strings.NewReader(body))
			for k, v := range jsonHeader("Authorization", till) {
				req.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			b.ServeHTTP(w, req)
			if w.Code != 200 || !strings.Contains(w.Body.String(), `"failureCount":0`) {
				t.Errorf("answer = %d %s", w.Code, w.Body)
			}
			b.Records()
			b.ExpireTokens()
		})
	}
	wg.Wait()
	if n := len(b.Records()); n != 5 {
		t.Errorf("%d customers, want 5", n)
	}
}

// FuzzUpsert holds that no body is answered otherwise than with JSON of one of
// the two documented shapes.
func FuzzUpsert(f *testing.F) {
	f.Add([]byte("[" + seedRow + "]"))
	f.Add([]byte("[" + seedSubscription + "]"))
	f.Add([]byte(`[{"profiles":[{"identifiers":[{"type":"cardnumber","value":"1","seriesId":1e400}],"fields":[]}]}]`))
	f.Add([]byte(`[null,{"profiles":[null]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequest("POST", upsertPath, bytes.NewReader(body))
		for k, v := range jsonHeader("Authorization", till) {
			req.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		New(Options{LooseSource: true}).ServeHTTP(w, req)
		var answer struct {
			Response []rowAnswer
			Errors   []Issue
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("answer %d is not JSON: %v", w.Code, err)
		}
		if w.Code == 200 == (len(answer.Errors) > 0) || w.Code == 200 && len(answer.Response) == 0 {
			t.Errorf("answer %d = %s", w.Code, w.Body)
		}
	})
}
