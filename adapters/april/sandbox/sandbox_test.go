package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// fixture is an emulator behind a real socket.
type fixture struct {
	t     *testing.T
	s     *Sandbox
	clock *emulator.Clock
	url   string
}

func start(t *testing.T, opts Options) *fixture {
	t.Helper()
	c := emulator.NewClock(time.Date(2026, 8, 21, 10, 0, 0, 0, time.UTC))
	opts.Now = c.Now
	s := New(opts)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &fixture{t: t, s: s, clock: c, url: server.URL}
}

// reply is an answer; body is what its JSON decodes to.
type reply struct {
	status int
	header http.Header
	raw    string
	body   any
}

// do sends a request of the marketplace key for Merchant; header pairs replace
// or, when empty, remove its headers.
func (f *fixture) do(method, path, body string, header ...string) reply {
	f.t.Helper()
	req, err := http.NewRequest(method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+MarketplaceKey)
	req.Header.Set("Merchant-Id", Merchant)
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
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
	if err := json.Unmarshal(raw, &got.body); err != nil {
		f.t.Fatalf("%s %s: answer %q is not JSON", method, path, raw)
	}
	return got
}

func (f *fixture) post(body string, header ...string) reply {
	f.t.Helper()
	return f.do(http.MethodPost, "/customers", body, header...)
}

func (f *fixture) want(got reply, status int) reply {
	f.t.Helper()
	if got.status != status {
		f.t.Fatalf("status = %d, want %d; body %s", got.status, status, got.raw)
	}
	return got
}

var (
	customerPattern = regexp.MustCompile(`^cust_[A-Za-z0-9_-]{16}$`)
	tracerPattern   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// upserted returns the customerId of a success, which says nothing else but the
// merchant's id.
func (f *fixture) upserted(got reply, merchant string) string {
	f.t.Helper()
	f.want(got, http.StatusOK)
	body, _ := got.body.(map[string]any)
	id, _ := body["customerId"].(string)
	if len(body) != 2 || !customerPattern.MatchString(id) || body["merchantId"] != merchant {
		f.t.Fatalf("body = %s, want a customerId and merchantId %s", got.raw, merchant)
	}
	return id
}

// consumer returns an upsert of a consumer with the given e-mail address.
func consumer(email string, members ...string) string {
	members = append([]string{fmt.Sprintf(`"emailAddress":%q`, email)}, members...)
	return `{"UpsertConsumerCustomer":{` + strings.Join(members, ",") + `}}`
}

const (
	published    = `{"UpsertConsumerCustomer":{"emailAddress":"lucy.diamond@star.com","phoneNumber":"+61401234567","referenceCustomerId":"CUST-48822821","givenName":"string","middleName":"string","familyName":"string","isVerified":true,"metadata":{}}}`
	organisation = `{"UpsertOrganisationCustomer":{"referenceCustomerId":"ORG-1","organisationName":"Star Pty Ltd","taxId":"51824753556","organisationKyced":false,"organisationCreditChecked":false,"emailAddress":"accounts@star.com"}}`
)

func TestConsumerIsKeyedByEmailAndMerchant(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	id := f.upserted(f.post(published), Merchant)
	if again := f.upserted(f.post(published), Merchant); again != id {
		t.Errorf("the same key gave %s, then %s", id, again)
	}
	others := map[string]string{
		"another e-mail with the same reference": f.upserted(f.post(consumer("lucy@star.com", `"referenceCustomerId":"CUST-48822821"`)), Merchant),
		"another merchant":                       f.upserted(f.post(published, "Merchant-Id", OtherMerchant), OtherMerchant),
		"another case of the e-mail":             f.upserted(f.post(consumer("Lucy.Diamond@star.com")), Merchant),
	}
	for name, other := range others {
		if other == id {
			t.Errorf("%s gave the same customer", name)
		}
	}
	if got := len(f.s.Records()); got != 4 {
		t.Errorf("%d records, want 4", got)
	}
}

func TestFoldEmail(t *testing.T) {
	t.Parallel()
	f := start(t, Options{FoldEmail: true})
	a := f.upserted(f.post(consumer("A@example.com")), Merchant)
	if b := f.upserted(f.post(consumer("a@example.com")), Merchant); a != b {
		t.Error("addresses that differ in case gave two customers")
	}
	list, _ := f.want(f.do(http.MethodGet, "/customers?emailAddress=A@EXAMPLE.com", ""), http.StatusOK).body.([]any)
	if len(list) != 1 {
		t.Errorf("query found %d, want 1", len(list))
	}
}

func TestOrganisationIsKeyedByReferenceAndMerchant(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	id := f.upserted(f.post(organisation), Merchant)
	moved := strings.Replace(organisation, "accounts@", "billing@", 1)
	if again := f.upserted(f.post(moved), Merchant); again != id {
		t.Error("a changed e-mail address made a second organisation")
	}
	if other := f.upserted(f.post(consumer("billing@star.com")), Merchant); other == id {
		t.Error("a consumer took the organisation's place")
	}
	for email, want := range map[string]int{"accounts@star.com": 0, "billing@star.com": 2} {
		list, _ := f.want(f.do(http.MethodGet, "/customers?emailAddress="+email, ""), http.StatusOK).body.([]any)
		if len(list) != want {
			t.Errorf("query of %s found %d, want %d", email, len(list), want)
		}
	}
}

func TestUpdateReplacesOrMerges(t *testing.T) {
	t.Parallel()
	for merge, want := range map[bool]any{false: nil, true: "Lucy"} {
		t.Run(fmt.Sprint("merge ", merge), func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{MergeLeftOut: merge})
			id := f.upserted(f.post(consumer("a@example.com", `"givenName":"Lucy"`)), Merchant)
			f.upserted(f.post(consumer("a@example.com", `"familyName":"Diamond"`)), Merchant)
			rec, ok := f.s.Record(id)
			if !ok || rec.Key != "a@example.com" {
				t.Fatalf("Record = %+v, %t", rec, ok)
			}
			var doc map[string]any
			if err := json.Unmarshal(rec.Document, &doc); err != nil {
				t.Fatal(err)
			}
			if doc["givenName"] != want || doc["familyName"] != "Diamond" || doc["merchantId"] != Merchant {
				t.Errorf("document = %s, want givenName %v", rec.Document, want)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	good := consumer("a@example.com")
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	tests := []struct {
		name    string
		body    string
		header  []string
		status  int
		message string // part of it
	}{
		{"no credential", good, []string{"Authorization", ""}, 401, "Authorization"},
		{"unknown key", good, bearer("sandbox_api_other"), 401, "invalid"},
		{"key of production", good, bearer("live_api_emulator"), 401, "environment"},
		{"basic", good, []string{"Authorization", "Basic c2s6"}, 401, "bearer"},
		{"key of Limepay", good, []string{"Authorization", "", "Limepay-SecretKey", MerchantSecret}, 401, ""},
		{"public key", good, bearer(PublicKey), 403, "may not be used"},
		{"no merchant", good, []string{"Merchant-Id", ""}, 400, "Merchant-Id"},
		{"unknown merchant", good, []string{"Merchant-Id", "mcht_none"}, 404, "merchant"},
		{"merchant of another marketplace", good, []string{"Merchant-Id", ForeignMerchant}, 403, "merchant"},
		{"secret for another merchant", good, append(bearer(MerchantSecret), "Merchant-Id", OtherMerchant), 403, "merchant"},
		{"no Accept", good, []string{"Accept", ""}, 406, "Accept"},
		{"Accept of HTML", good, []string{"Accept", "text/html, application/json;q=0"}, 406, "Accept"},
		{"content type", good, []string{"Content-Type", "text/plain"}, 400, "application/json"},
		{"charset", good, []string{"Content-Type", "application/json; charset=latin1"}, 400, "application/json"},
		{"empty", ``, nil, 400, "JSON object"},
		{"array", `[]`, nil, 400, "JSON object"},
		{"null", `null`, nil, 400, "JSON object"},
		{"cut off", `{"UpsertConsumerCustomer":{`, nil, 400, "JSON object"},
		{"comma too many", `{"UpsertConsumerCustomer":{},}`, nil, 400, "JSON object"},
		{"two values", good + good, nil, 400, "JSON object"},
		{"not UTF-8", "{\"\xff\":1}", nil, 400, "JSON object"},
		{"too deep", strings.Repeat(`{"a":`, 20_000), nil, 400, "JSON object"},
		{"too large", strings.Repeat(" ", maxBody+1), nil, 400, "too large"},
		{"no action", `{}`, nil, 400, "exactly one member"},
		{"flat", `{"emailAddress":"a@example.com"}`, nil, 400, "action is unknown"},
		{"flat with more", `{"emailAddress":"a@example.com","givenName":"A"}`, nil, 400, "exactly one member"},
		{"two actions", `{"UpsertConsumerCustomer":{},"UpsertOrganisationCustomer":{}}`, nil, 400, "exactly one member"},
		{"same action twice", `{"UpsertConsumerCustomer":{},"UpsertConsumerCustomer":{"emailAddress":"a@example.com"}}`, nil, 400, "exactly one member"},
		{"action in camel case", `{"upsertConsumerCustomer":{"emailAddress":"a@example.com"}}`, nil, 400, "action is unknown"},
		{"plugin's action", `{"RegisterPluginConsumerCustomer":{"emailAddress":"a@example.com"}}`, nil, 400, "action is unknown"},
		{"action without object", `{"UpsertConsumerCustomer":"a@example.com"}`, nil, 400, "must be an object"},
		{"action of null", `{"UpsertConsumerCustomer":null}`, nil, 400, "must be an object"},
		{"no e-mail", `{"UpsertConsumerCustomer":{"givenName":"A"}}`, nil, 400, "emailAddress is required"},
		{"e-mail null", `{"UpsertConsumerCustomer":{"emailAddress":null}}`, nil, 400, "emailAddress must be a string"},
		{"e-mail empty", consumer(""), nil, 422, "emailAddress must not be empty"},
		{"e-mail with a space", consumer(" a@example.com"), nil, 422, "emailAddress must be an e-mail"},
		{"e-mail without domain", consumer("a@b"), nil, 422, "emailAddress must be an e-mail"},
		{"phone without plus", consumer("a@example.com", `"phoneNumber":"61401234567"`), nil, 422, "phoneNumber must be"},
		{"phone number as a number", consumer("a@example.com", `"phoneNumber":61401234567`), nil, 400, "phoneNumber must be a string"},
		{"reference as a number", consumer("a@example.com", `"referenceCustomerId":7`), nil, 400, "referenceCustomerId must be a string"},
		{"empty name", consumer("a@example.com", `"givenName":""`), nil, 422, "givenName must not be empty"},
		{"null name", consumer("a@example.com", `"middleName":null`), nil, 400, "middleName must be a string"},
		{"verified as text", consumer("a@example.com", `"isVerified":"true"`), nil, 400, "isVerified must be a boolean"},
		{"metadata as a list", consumer("a@example.com", `"metadata":[]`), nil, 400, "metadata must be an object"},
		{"address", consumer("a@example.com", `"address":{"line1":"x"}`), nil, 400, "unknown"},
		{"Limepay's name", consumer("a@example.com", `"internalCustomerId":"x"`), nil, 400, "unknown"},
		{"organisation without tax id", strings.Replace(organisation, `"taxId":"51824753556",`, "", 1), nil, 400, "taxId is required"},
		{"organisation's flag as text", strings.Replace(organisation, `"organisationKyced":false`, `"organisationKyced":"no"`, 1), nil, 400, "organisationKyced must be a boolean"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := start(t, Options{})
			got := f.want(f.post(tt.body, tt.header...), tt.status)
			body, _ := got.body.(map[string]any)
			code, _ := body["errorCode"].(string)
			message, _ := body["message"].(string)
			tracer, _ := body["tracer"].(string)
			if body["statusCode"] != float64(tt.status) || code == "" || !tracerPattern.MatchString(tracer) {
				t.Errorf("body = %s, want statusCode %d, an errorCode and a tracer", got.raw, tt.status)
			}
			if !strings.Contains(message, tt.message) {
				t.Errorf("message = %q, want part %q", message, tt.message)
			}
			if tt.status == 422 && body["detail"] == nil {
				t.Errorf("body = %s, want the value in detail", got.raw)
			}
			if len(f.s.Records()) != 0 {
				t.Error("a refused request stored something")
			}
		})
	}
}

func TestPathsAndMethods(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.want(f.do(http.MethodPost, "/customers/consumer", published), http.StatusNotFound)
	f.want(f.do(http.MethodPost, "/", published), http.StatusNotFound)
	got := f.want(f.do(http.MethodPut, "/customers", published), http.StatusMethodNotAllowed)
	if got.header.Get("Allow") != "GET, POST" {
		t.Errorf("Allow = %q", got.header.Get("Allow"))
	}
}

func TestLooserReadings(t *testing.T) {
	t.Parallel()
	f := start(t, Options{AllowMissingAccept: true, AllowUnknown: true, AllowPlugin: true, DefaultMerchant: OtherMerchant})
	f.upserted(f.post(consumer("a@example.com", `"address":{}`), "Accept", "", "Merchant-Id", ""), OtherMerchant)
	f.upserted(f.post(`{"RegisterPluginConsumerCustomer":{"emailAddress":"b@example.com","referenceCustomerId":"7"}}`), Merchant)
}

func TestStricterReadings(t *testing.T) {
	t.Parallel()
	f := start(t, Options{Required: RequiredByLimepay(), RefuseOrganisations: true})
	f.want(f.post(consumer("a@example.com")), http.StatusBadRequest)
	f.upserted(f.post(published), Merchant)
	f.want(f.post(organisation), http.StatusBadRequest)
	if on := f.s.Route().Settings["organization"]; on != false {
		t.Errorf("setting organization = %v, want false", on)
	}
}

func TestMerchantSecretImpliesItsMerchant(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	secret := []string{"Authorization", "Bearer " + MerchantSecret, "Merchant-Id", ""}
	id := f.upserted(f.post(published, secret...), Merchant)
	secret[3] = Merchant
	if again := f.upserted(f.post(published, secret...), Merchant); again != id {
		t.Error("naming the implied merchant changed the customer")
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	for i := range 25 {
		f.upserted(f.post(consumer(fmt.Sprintf("c%d@example.com", i))), Merchant)
	}
	f.upserted(f.post(consumer("c1@example.com"), "Merchant-Id", OtherMerchant), OtherMerchant)
	for path, want := range map[string]int{
		"/customers":                               20,
		"/customers?page=2":                        5,
		"/customers?limit=500":                     25,
		"/customers?limit=10&page=3":               5,
		"/customers?emailAddress=c1%40example.com": 1,
		"/customers?emailAddress=C1%40example.com": 0,
		"/customers?emailAddress=":                 0,
	} {
		list, ok := f.want(f.do(http.MethodGet, path, ""), http.StatusOK).body.([]any)
		if !ok || len(list) != want {
			t.Errorf("%s found %d, want %d", path, len(list), want)
		}
	}
	for _, path := range []string{"?limit=501", "?limit=0", "?page=0", "?page=x", "?emailAddress=%zz"} {
		f.want(f.do(http.MethodGet, "/customers"+path, ""), http.StatusBadRequest)
	}
	f.want(f.do(http.MethodGet, "/customers", "", "Accept", ""), http.StatusNotAcceptable)
	f.want(f.do(http.MethodGet, "/customers", "", "Authorization", "Bearer "+MerchantSecret), http.StatusForbidden)
}

func TestTokensQueryOnlyAndExpire(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	token := []string{"Authorization", "Bearer " + f.s.IssueJWT(Merchant, time.Hour), "Merchant-Id", ""}
	f.want(f.do(http.MethodGet, "/customers", "", token...), http.StatusOK)
	f.want(f.post(published, token...), http.StatusForbidden)
	f.clock.Advance(time.Hour)
	f.want(f.do(http.MethodGet, "/customers", "", token...), http.StatusUnauthorized)
	token[1] = "Bearer " + f.s.IssueJWT(Merchant, time.Hour)
	f.s.ExpireJWTs()
	f.want(f.do(http.MethodGet, "/customers", "", token...), http.StatusUnauthorized)
}

func TestScriptedRefusals(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	f.s.Refuse("a@example.com", Error{})
	f.s.Refuse("a@example.com", Error{Status: 422, Code: "customer_locked", Message: "No", Detail: "x", Metadata: json.RawMessage(`["y"]`)})
	conflict := f.want(f.post(consumer("a@example.com")), http.StatusConflict)
	if code := conflict.body.(map[string]any)["errorCode"]; code != "conflict" {
		t.Errorf("errorCode = %v", code)
	}
	f.upserted(f.post(consumer("b@example.com")), Merchant)
	locked := f.want(f.post(consumer("a@example.com")), http.StatusUnprocessableEntity).body.(map[string]any)
	for name, want := range map[string]any{
		"statusCode": 422.0, "errorCode": "customer_locked", "message": "No", "detail": "x", "metadata": []any{"y"},
	} {
		if !reflect.DeepEqual(locked[name], want) {
			t.Errorf("%s = %v, want %v", name, locked[name], want)
		}
	}
	f.upserted(f.post(consumer("a@example.com")), Merchant)
}

func TestRateLimited(t *testing.T) {
	t.Parallel()
	c := emulator.NewClock(time.Unix(1_000, 0))
	server := httptest.NewServer(emulator.NewServer(New(Options{Now: c.Now}), emulator.Options{Quota: 1, Window: 1500 * time.Millisecond, Now: c.Now}))
	t.Cleanup(server.Close)
	f := &fixture{t: t, clock: c, url: server.URL}
	f.upserted(f.post(published), Merchant)
	got := f.want(f.post(published), http.StatusTooManyRequests)
	if got.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After = %q, want 2", got.header.Get("Retry-After"))
	}
	if code := got.body.(map[string]any)["errorCode"]; code != "too_many_requests" {
		t.Errorf("errorCode = %v", code)
	}
	c.Advance(2 * time.Second)
	f.upserted(f.post(published), Merchant)
}

func TestSeed(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	id, err := s.Seed(OtherMerchant, published)
	if err != nil {
		t.Fatal(err)
	}
	if rec, ok := s.Record(id); !ok || !strings.Contains(string(rec.Document), `"merchantId":"`+OtherMerchant+`"`) {
		t.Errorf("Record = %s, %t", rec.Document, ok)
	}
	if _, err := s.Seed(Merchant, `{"emailAddress":"a@example.com"}`); err == nil {
		t.Error("a flat seed was taken")
	}
	if _, ok := s.Record("cust_none"); ok {
		t.Error("Record found a customer that does not exist")
	}
}

func TestRouteReachesTheEmulator(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	route := f.s.Route()
	merchant, _ := route.Settings["merchant_id"].(string)
	got := f.do(http.MethodPost, route.BasePath+"/customers", published,
		"Authorization", "Bearer "+route.Credentials["api_key"], "Merchant-Id", merchant)
	f.upserted(got, merchant)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	f := start(t, Options{})
	var wg sync.WaitGroup
	ids := make([]string, 40)
	for i := range ids {
		wg.Go(func() {
			got := f.post(consumer("same@example.com"))
			body, _ := got.body.(map[string]any)
			ids[i], _ = body["customerId"].(string)
			f.do(http.MethodGet, "/customers?emailAddress=same@example.com", "")
			f.s.Records()
			f.s.Refuse(fmt.Sprint(i), Error{})
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == "" || id != ids[0] {
			t.Fatalf("ids = %q, want one customer", ids)
		}
	}
	if got := len(f.s.Records()); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
}

func FuzzPost(f *testing.F) {
	f.Add(published)
	f.Add(organisation)
	f.Add(`{"UpsertConsumerCustomer":[null,{"emailAddress":1e99}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		s := New(Options{AllowUnknown: true, AllowPlugin: true})
		id, err := s.Seed(Merchant, body)
		if (id == "") == (err == nil) {
			t.Fatalf("id = %q, error = %v: want exactly one", id, err)
		}
		if rec, ok := s.Record(id); ok && !json.Valid(rec.Document) {
			t.Error("a stored customer is not valid JSON")
		}
	})
}
