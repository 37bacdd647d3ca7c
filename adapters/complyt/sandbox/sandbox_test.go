package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

const path = "/v1/customers/source/1/externalId/999444"

// example is the published example request.
const example = `{"externalId":"999444","source":"1","name":"Complyt",
"address":{"city":"Sacramento","country":"US","state":"CA","street":"944 W. Wintergreen St.","zip":"95823"},
"customerType":"RETAIL",
"externalTimestamps":{"createdDate":"2022-10-19T07:00:00.000Z","updatedDate":"2022-10-19T09:07:54.585Z"}}`

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
	b := &bench{t: t, clock: emulator.NewClock(time.Date(2023, 1, 10, 17, 40, 44, 357e6, time.UTC))}
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

func (b *bench) send(method, path, body string, header ...string) reply {
	b.t.Helper()
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
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

func (b *bench) token() string {
	b.t.Helper()
	got := b.send("POST", "/v1/token", `{"clientId":"emulator-client","clientSecret":"emulator-secret"}`, "Content-Type", "application/json")
	var answer struct{ AccessToken string }
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || answer.AccessToken == "" {
		b.t.Fatalf("token answer = %d %s", got.status, got.body)
	}
	return answer.AccessToken
}

func (b *bench) put(path, body string) reply {
	b.t.Helper()
	return b.send("PUT", path, body, "Authorization", "Bearer "+b.token(), "Content-Type", "application/json")
}

func (b *bench) get(path string) reply {
	b.t.Helper()
	return b.send("GET", path, "", "Authorization", "Bearer "+b.token())
}

// message returns the error object's message.
func message(t *testing.T, got reply) string {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(got.body), &object); err != nil {
		t.Fatalf("answer %d is not an object: %s", got.status, got.body)
	}
	text, _ := object["message"].(string)
	return text
}

func TestCreateReplaceAndNoChange(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	got := b.put(path, example)
	id := b.Records()[0].ID
	if !uuidPattern.MatchString(id) {
		t.Errorf("complytId = %q, want a UUID", id)
	}
	want := `{"complytId":"` + id + `","externalId":"999444","source":"1","name":"Complyt",` +
		`"address":{"city":"Sacramento","country":"US","county":null,"state":"CA","street":"944 W. Wintergreen St.","zip":"95823","isPartial":false},` +
		`"email":null,"customerType":"RETAIL",` +
		`"internalTimestamps":{"createdDate":"2023-01-10T17:40:44.357","updatedDate":"2023-01-10T17:40:44.357"},` +
		`"externalTimestamps":{"createdDate":"2022-10-19T07:00:00","updatedDate":"2022-10-19T09:07:54.585"},"comment":null}`
	if got.status != 201 || got.body != want {
		t.Errorf("created = %d %s, want 201 %s", got.status, got.body, want)
	}
	if l := got.header.Get("Location"); l != path {
		t.Errorf("Location = %q, want the relative %q", l, path)
	}

	// The same instants in another spelling are no change.
	b.clock.Advance(time.Hour)
	got = b.put(path, strings.Replace(example, "2022-10-19T07:00:00.000Z", "2022-10-19T09:00:00+02:00", 1))
	if got.status != 200 || !strings.Contains(got.body, `"complytId":null`) || !strings.Contains(got.body, `"internalTimestamps":null`) {
		t.Errorf("no change = %d %s, want 200 and an echo", got.status, got.body)
	}
	if got.header.Get("Location") != "" {
		t.Errorf("no change has a Location")
	}
	if got := b.get(path); got.status != 200 || got.body != want {
		t.Errorf("GET = %d %s, want %s", got.status, got.body, want)
	}

	// What is left out is lost.
	got = b.put(path, `{"externalId":"999444","source":"1","name":"Other","customerType":"RESELLER","email":"a@example.com",
		"externalTimestamps":{"createdDate":"2022-10-19","updatedDate":"2022-10-20T00:00:00"}}`)
	want = `{"complytId":"` + id + `","externalId":"999444","source":"1","name":"Other","address":null,"email":"a@example.com","customerType":"RESELLER",` +
		`"internalTimestamps":{"createdDate":"2023-01-10T17:40:44.357","updatedDate":"2023-01-10T18:40:44.357"},` +
		`"externalTimestamps":{"createdDate":"2022-10-19T00:00:00","updatedDate":"2022-10-20T00:00:00"},"comment":null}`
	if got.status != 200 || got.body != want {
		t.Errorf("replaced = %d %s, want 200 %s", got.status, got.body, want)
	}
	if r, ok := b.Record("1", "999444"); !ok || r.Key != "999444" || string(r.Document) != want {
		t.Errorf("Record = %s %s, %v", r.Key, r.Document, ok)
	}
}

func TestCompleteEcho(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{CompleteEcho: true})
	first := b.put(path, example)
	if again := b.put(path, example); again.status != 200 || again.body != first.body {
		t.Errorf("no change = %d %s, want the record", again.status, again.body)
	}
}

func TestComplytID(t *testing.T) {
	t.Parallel()
	for revision, want := range map[Revision][2]string{
		Newest: {"new record cannot have a complytId field", "complytId cannot be changed in an update"},
		Older:  {messageConflict, messageConflict},
	} {
		b := setup(t, Options{Errors: revision})
		with := func(id string) string { return `{"complytId":"` + id + `",` + example[1:] }
		const other = "9f8ee193-1a71-42b4-801d-ee1d8a161fbe"
		if got := b.put(path, with(other)); got.status != 400 || message(t, got) != want[0] {
			t.Errorf("new with id = %d %s", got.status, got.body)
		}
		id, err := b.Seed(json.RawMessage(example))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.put(path, with(other)); got.status != 400 || message(t, got) != want[1] {
			t.Errorf("other id = %d %s", got.status, got.body)
		}
		if got := b.put(path, with(id)); got.status != 200 {
			t.Errorf("own id = %d %s", got.status, got.body)
		}
		if got := b.put(path, with("7")); got.status != 400 || message(t, got) != messageUnreadable {
			t.Errorf("no UUID = %d %s", got.status, got.body)
		}
	}
}

// TestValidation checks the messages of bodies that the example becomes by one
// replacement. Their order is not fixed.
func TestValidation(t *testing.T) {
	t.Parallel()
	const format = " is in an illegal format - For date/time fields use 'YYYY-MM-DD', 'YYYY-MM-DDTHH:mm:ssZ', and 'YYYY-MM-DDTHH:mm:ss±hh:mm'"
	const zip = "Address.zip is in an illegal format - For US addresses use the 5-digit format (e.g., 12345), or the 9-digit format (e.g., 12345-6789)"
	tests := []struct {
		name     string
		old, new string
		want     []string // nil: accepted
	}{
		{"unchanged", "", "", nil},
		{"no name", `"name":"Complyt",`, "", []string{"name may not be null"}},
		{"empty name", `"Complyt"`, `""`, []string{"name may not be blank", "name should be 1-256 characters long"}},
		{"blank name", `"Complyt"`, `" "`, []string{"name may not be blank"}},
		{"name of 256", `"Complyt"`, `"` + strings.Repeat("ß", 256) + `"`, nil},
		{"name of 257", `"Complyt"`, `"` + strings.Repeat("ß", 257) + `"`, []string{"name should be 1-256 characters long"}},
		{"name of 129 surrogate pairs", `"Complyt"`, `"` + strings.Repeat("😀", 129) + `"`, []string{"name should be 1-256 characters long"}},
		{"no source", `"source":"1",`, "", []string{"source may not be null"}},
		{"source out of range", `"source":"1"`, `"source":"16"`, []string{"source has to be in range 1-15"}},
		{"source with zero", `"source":"1"`, `"source":"01"`, []string{"source has to be in range 1-15"}},
		{"other source", `"source":"1"`, `"source":"2"`, []string{"source in body and path should be identical"}},
		{"other id", `"999444"`, `"999445"`, []string{"externalId in body and path should be identical"}},
		{"other id and source", `"externalId":"999444","source":"1"`, `"externalId":"x","source":"15"`, []string{"source in body and path should be identical", "externalId in body and path should be identical"}},
		{"no type", `"customerType":"RETAIL",`, "", []string{"customerType may not be null"}},
		{"long comment", `"name":`, `"comment":"` + strings.Repeat("x", 201) + `","name":`, []string{"comment should be 0-200 characters long"}},
		{"empty comment", `"name":`, `"comment":"","name":`, nil},
		{"null date", `"2022-10-19T07:00:00.000Z"`, `null`, []string{"Timestamps.createdDate may not be null"}},
		{"date in words", `"2022-10-19T07:00:00.000Z"`, `"yesterday"`, []string{"Timestamps.createdDate" + format}},
		{"empty date", `"2022-10-19T09:07:54.585Z"`, `""`, []string{"Timestamps.updatedDate" + format}},
		{"ten fraction digits", `.585Z`, `.5850000001Z`, []string{"Timestamps.updatedDate" + format}},
		{"nine fraction digits", `.585Z`, `.585000001Z`, nil},
		{"empty city", `"Sacramento"`, `""`, []string{"Address.city should be 1-100 characters long"}},
		{"long city", `"Sacramento"`, `"` + strings.Repeat("x", 101) + `"`, []string{"Address.city should be 1-100 characters long"}},
		{"long country", `"US"`, `"` + strings.Repeat("x", 51) + `"`, []string{"Address.country should be 1-50 characters long"}},
		{"long region", `"state":"CA"`, `"region":"` + strings.Repeat("x", 21) + `"`, []string{"Address.region should be 1-20 characters long"}},
		{"long street", `"944 W. Wintergreen St."`, `"` + strings.Repeat("x", 201) + `"`, []string{"Address.street should be 1-200 characters long"}},
		{"bad zip", `"95823"`, `"958-23"`, []string{zip}},
		{"nine digits", `"95823"`, `"95823-1234"`, nil},
		{"zip elsewhere", `"country":"US","state":"CA","street":"944 W. Wintergreen St.","zip":"95823"`, `"country":"Canada","region":"Quebec","zip":"H2X 1Y4"`, nil},
		{"partial address", `"city":`, `"isPartial":true,"county":null,"city":`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			body := strings.Replace(example, tt.old, tt.new, 1)
			if tt.old != "" && body == example {
				t.Fatalf("%s is not in the example", tt.old)
			}
			got := b.put(path, body)
			if tt.want == nil {
				if got.status != 201 {
					t.Errorf("answer = %d %s, want 201", got.status, got.body)
				}
				return
			}
			if m := message(t, got); got.status != 400 || !isList(m, tt.want) {
				t.Errorf("answer = %d %s, want 400 with the list %q", got.status, m, tt.want)
			}
			if len(b.Records()) != 0 {
				t.Errorf("a refused body was stored")
			}
		})
	}
	t.Run("empty object", func(t *testing.T) {
		t.Parallel()
		want := []string{"externalId may not be null", "source may not be null", "name may not be null", "customerType may not be null", "externalTimestamps may not be null"}
		if m := message(t, setup(t, Options{}).put(path, `{}`)); !isList(m, want) {
			t.Errorf("message = %s, want the list %q", m, want)
		}
	})
}

// isList reports whether s is the printed list of exactly want, in any order.
func isList(s string, want []string) bool {
	s, ok := strings.CutPrefix(s, "[")
	s, end := strings.CutSuffix(s, "]")
	total := 2 * (len(want) - 1)
	for _, m := range want {
		total += len(m)
		ok = ok && strings.Contains(s, m)
	}
	return ok && end && len(s) == total
}

func TestOrderVaries(t *testing.T) {
	t.Parallel()
	s := New(Options{RepeatMessage: true})
	seen := map[string]bool{}
	for range 200 {
		got := s.list([]string{"a x", "b x"})
		if strings.Count(got, "a x") != 2 || strings.Count(got, "b x") != 1 {
			t.Fatalf("list = %s, want the first message twice", got)
		}
		seen[got] = true
	}
	if len(seen) != 3 {
		t.Errorf("orders seen = %v, want all three", seen)
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, body, want string }{
		{"empty", "", messageNoBody},
		{"white space", " \n", messageNoBody},
		{"not JSON", `{"externalId":`, messageUnreadable},
		{"null", "null", messageUnreadable},
		{"array", "[]", messageUnreadable},
		{"more", example + "{}", messageUnreadable},
		{"not UTF-8", "{\"name\":\"\xff\"}", messageUnreadable},
		{"unknown type", strings.Replace(example, "RETAIL", "retail", 1), messageUnreadable},
		{"number as id", strings.Replace(example, `"999444"`, "999444", 1), messageUnreadable},
		{"number as name", strings.Replace(example, `"Complyt"`, "1e999", 1), messageUnreadable},
		{"address as text", `{"address":"x"}`, messageUnreadable},
		{"flag as text", `{"address":{"isPartial":"true"}}`, messageUnreadable},
		{"unknown member", strings.Replace(example, `"name"`, `"phone":"1","name"`, 1), messageUnreadable},
		{"member in other case", strings.Replace(example, `"name"`, `"Name"`, 1), messageUnreadable},
		{"internal timestamps", strings.Replace(example, `"name"`, `"internalTimestamps":{},"name"`, 1), messageUnreadable},
		{"impossible date", strings.Replace(example, "2022-10-19T07:00:00.000Z", "2023-02-29", 1), "Error parsing field: createdDate. Text '2023-02-29' could not be parsed"},
		{"impossible hour", strings.Replace(example, "T09:07:54.585Z", "T25:00:00", 1), "Error parsing field: updatedDate. Text '2022-10-19T25:00:00' could not be parsed"},
		{"too long", `{"email":"` + strings.Repeat("x", maxBody) + `"}`, messageUnreadable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := setup(t, Options{}).put(path, tt.body); got.status != 400 || message(t, got) != tt.want {
				t.Errorf("answer = %d %s, want 400 %s", got.status, got.body, tt.want)
			}
		})
	}
}

func TestLeniency(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		opts Options
		body string
		want int
	}{
		{"numbers", Options{CoerceNumbers: true}, strings.NewReplacer(`"999444"`, "999444", `"1"`, "1").Replace(example), 201},
		{"unknown members", Options{AllowUnknown: true}, strings.Replace(example, `"name"`, `"phone":"1","internalTimestamps":{},"name"`, 1), 201},
		{"empty parts", Options{AllowEmptyParts: true}, strings.Replace(example, "Sacramento", "", 1), 201},
		{"fewer sources", Options{MaxSource: 9}, strings.Replace(example, `"1"`, `"10"`, 1), 400},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := setup(t, tt.opts).put(path, tt.body); got.status != tt.want {
				t.Errorf("answer = %d %s, want %d", got.status, got.body, tt.want)
			}
		})
	}
	b := setup(t, Options{AddressErrors: true})
	if m := message(t, b.put(path, strings.Replace(example, "95823", "1", 1))); !strings.HasPrefix(m, "ERR-ADDR-002: ") {
		t.Errorf("message = %s, want ERR-ADDR-002", m)
	}
}

func TestErrorRevisions(t *testing.T) {
	t.Parallel()
	body := strings.Replace(example, "Sacramento", strings.Repeat("x", 101), 1)
	tests := []struct {
		revision Revision
		want     string
	}{
		{Newest, `{"timestamp":"2023-01-10T17:40:44.357000Z","code":400,"error":"Bad Request","requestId":"6c9b3a4b-1","message":"[Address.city should be 1-100 characters long]","url":"` + path + `"}`},
		{Older, `{"timestamp":"2023-01-10T17:40:44.357000Z","code":400,"error":"Bad Request","requestId":"6c9b3a4b-1","message":"[City should be 1-100 characters long]","endpoint url":"` + path + `"}`},
		{Oldest, `{"message":"[City should be 1-100 characters long]","endpoint url ":"` + path + `"}`},
	}
	for _, tt := range tests {
		b := setup(t, Options{Errors: tt.revision})
		if got := b.put(path, body); got.status != 400 || got.body != tt.want {
			t.Errorf("%q: %d %s, want %s", tt.revision, got.status, got.body, tt.want)
		}
	}
	b := setup(t, Options{Errors: Older})
	if got := b.put(path, strings.Replace(example, `"1"`, `"2"`, 1)); got.status != 400 || message(t, got) != messageConflict {
		t.Errorf("older conflict = %d %s", got.status, got.body)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for _, p := range []string{"/", "/v1/customers", "/v2" + path[3:], path + "/", "/v1/customers/source/1/externalId/", "/v1/customers/source/1/externalId/%2E%2E"} {
		if got := b.put(p, example); got.status != 404 || message(t, got) != messageNotFound {
			t.Errorf("PUT %s = %d %s, want 404", p, got.status, got.body)
		}
	}
	if got := b.get(path); got.status != 404 || message(t, got) != messageNotFound {
		t.Errorf("GET of nobody = %d %s", got.status, got.body)
	}
	for _, source := range []string{"0", "16", "01", "xero"} {
		if got := b.put("/v1/customers/source/"+source+"/externalId/1", example); got.status != 400 || message(t, got) != "[source has to be in range 1-15]" {
			t.Errorf("source %s = %d %s", source, got.status, got.body)
		}
	}
	if got := b.put("/v1/customers/source/1/externalId/"+strings.Repeat("x", 257), example); got.status != 400 || message(t, got) != "[externalId should be 1-256 characters long]" {
		t.Errorf("long id = %d %s", got.status, got.body)
	}
	if got := b.send("DELETE", path, ""); got.status != 405 {
		t.Errorf("DELETE = %d, want 405", got.status)
	}

	const odd = "/v1/customers/source/1/externalId/a%2Fb%20%C3%A4%3F"
	body := strings.Replace(example, "999444", "a/b ä?", 1)
	if got := b.put(odd, body); got.status != 201 || got.header.Get("Location") != odd {
		t.Errorf("odd id = %d, Location %q: %s", got.status, got.header.Get("Location"), got.body)
	}
	if got := b.get(odd); got.status != 200 || !strings.Contains(got.body, `"externalId":"a/b ä?"`) {
		t.Errorf("GET of the odd id = %d %s", got.status, got.body)
	}
	if got := setup(t, Options{RefuseEncodedSlash: true}).put(odd, body); got.status != 400 || got.body != "" {
		t.Errorf("refused slash = %d %s, want an empty 400", got.status, got.body)
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	const credentials = `{"clientId":"emulator-client","clientSecret":"emulator-secret"}`
	got := b.send("POST", "/v1/token", credentials, "Content-Type", "application/json; charset=utf-8")
	if got.status != 200 || !strings.HasPrefix(got.body, `{"accessToken":"eyJ`) || !strings.HasSuffix(got.body, `","expiresIn":86400,"tokenType":"Bearer"}`) {
		t.Errorf("token = %d %s", got.status, got.body)
	}
	got = setup(t, Options{SnakeToken: true, TokenTTL: time.Minute}).send("POST", "/v1/token", credentials, "Content-Type", "application/json")
	if !strings.HasPrefix(got.body, `{"access_token":"eyJ`) || !strings.HasSuffix(got.body, `","expires_in":60,"token_type":"Bearer"}`) {
		t.Errorf("other spelling = %s", got.body)
	}
	got = b.send("POST", "/v1/token", "clientId=emulator-client&clientSecret=emulator-secret", "Content-Type", "application/x-www-form-urlencoded")
	if got.status != 200 {
		t.Errorf("form = %d %s", got.status, got.body)
	}
	tests := []struct {
		name, method, kind, body string
		status                   int
		want                     string
	}{
		{"wrong secret", "POST", "application/json", `{"clientId":"emulator-client","clientSecret":"x"}`, 401, "401 Unauthorized"},
		{"no secret", "POST", "application/json", `{"clientId":"emulator-client"}`, 400, "[clientSecret may not be null]"},
		{"no id in form", "POST", "application/x-www-form-urlencoded", "clientSecret=x", 400, "[clientId may not be null]"},
		{"number", "POST", "application/json", `{"clientId":1}`, 400, messageUnreadable},
		{"bad form", "POST", "application/x-www-form-urlencoded", "clientId=%zz", 400, messageUnreadable},
		{"empty", "POST", "application/json", "", 400, messageNoBody},
		{"text", "POST", "text/plain", credentials, 415, "415 Unsupported Media Type"},
		{"GET", "GET", "application/json", "", 405, "405 Method Not Allowed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.send(tt.method, "/v1/token", tt.body, "Content-Type", tt.kind)
			if got.status != tt.status || message(t, got) != tt.want {
				t.Errorf("answer = %d %s, want %d %s", got.status, got.body, tt.status, tt.want)
			}
		})
	}
	b.FailTokens(500)
	if got := b.send("POST", "/v1/token", credentials, "Content-Type", "application/json"); got.status != 500 || message(t, got) != "Failed to create a new token" {
		t.Errorf("failing = %d %s", got.status, got.body)
	}
	b.FailTokens(0)
	b.token()
}

func TestAuthorization(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	put := func(authorization string) reply {
		t.Helper()
		return b.send("PUT", path, example, "Content-Type", "application/json", "Authorization", authorization)
	}
	refused := func(got reply, status int, challenge string) {
		t.Helper()
		if h := got.header.Get("WWW-Authenticate"); got.status != status || got.body != "" || !strings.HasPrefix(h, challenge) {
			t.Errorf("answer = %d %q, WWW-Authenticate %s; want an empty %d with %s", got.status, got.body, h, status, challenge)
		}
	}
	const invalid = `Bearer error="invalid_token", error_description="`
	refused(put(""), 401, "Bearer")
	refused(put("Basic eDp5"), 401, "Bearer")
	refused(put("Bearer stolen"), 401, invalid+"An error occurred")
	token := b.token()
	b.clock.Advance(24*time.Hour - time.Second)
	if got := put("Bearer " + token); got.status != 201 {
		t.Errorf("one second before the end: %d", got.status)
	}
	b.clock.Advance(time.Second)
	refused(put("Bearer "+token), 401, invalid+"Jwt expired at 2023-01-11T17:40:44Z")
	token = b.token()
	b.ExpireTokens()
	refused(put("Bearer "+token), 401, invalid+"Jwt expired")
	token = b.token()
	b.RevokeTokens()
	refused(put("Bearer "+token), 401, invalid+"An error")
	token = b.token()
	b.Forbid("PUT")
	refused(put("Bearer "+token), 403, `Bearer error="insufficient_scope"`)
	if got := b.get(path); got.status != 200 {
		t.Errorf("GET while PUT is forbidden = %d", got.status)
	}
	b.Forbid()
	if got := put("Bearer " + token); got.status != 200 {
		t.Errorf("PUT when allowed again = %d", got.status)
	}
}

func TestMediaType(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for _, kind := range []string{"", "text/plain", "application/merge-patch+json", "*/*"} {
		got := b.send("PUT", path, example, "Authorization", "Bearer "+b.token(), "Content-Type", kind)
		if got.status != 415 || message(t, got) != "415 Unsupported Media Type" {
			t.Errorf("%q = %d %s, want 415", kind, got.status, got.body)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2022-10-19T07:00:00Z":           "2022-10-19T07:00:00",
		"2022-10-19T07:00:00.5Z":         "2022-10-19T07:00:00.500",
		"2022-10-19T07:00:00.000120":     "2022-10-19T07:00:00.000120",
		"2022-10-19T07:00:00.123456789Z": "2022-10-19T07:00:00.123456789",
		"2022-10-19T00:30:00+02:00":      "2022-10-18T22:30:00",
		"2022-10-19":                     "2022-10-19T00:00:00",
	} {
		stamps := timestamps{createdDate: &in}
		if err := stamps.parse(); err != nil || local(stamps.created) != want {
			t.Errorf("%s = %s, %v, want %s", in, local(stamps.created), err, want)
		}
	}
}

func TestSeed(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{MaxRecords: 1})
	if _, err := b.Seed(json.RawMessage(`{"source":"1"}`)); err == nil {
		t.Errorf("Seed takes what PUT refuses")
	}
	if _, err := b.Seed(json.RawMessage(`{`)); err == nil {
		t.Errorf("Seed takes what is not JSON")
	}
	if _, err := b.Seed(json.RawMessage(example)); err != nil {
		t.Fatal(err)
	}
	got := b.put("/v1/customers/source/1/externalId/2", strings.Replace(example, "999444", "2", 1))
	if got.status != 500 || message(t, got) != messageInternal {
		t.Errorf("beyond MaxRecords = %d %s, want 500", got.status, got.body)
	}
}

func TestRateLimited(t *testing.T) {
	t.Parallel()
	for send, want := range map[bool]string{false: "", true: "1"} {
		w := httptest.NewRecorder()
		New(Options{SendRetryAfter: send}).RateLimited(w, httptest.NewRequest("PUT", path, nil), time.Millisecond)
		if w.Code != 429 || w.Header().Get("Retry-After") != want || json.Valid(w.Body.Bytes()) {
			t.Errorf("answer = %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	want := emulator.Route{
		Credentials: map[string]string{"client_id": ClientID, "client_secret": ClientSecret},
		Settings:    map[string]any{"source": "1"},
	}
	if got := New(Options{}).Route(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Route() = %v, want %v", got, want)
	}
}

func TestConcurrently(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	var mu sync.Mutex
	var statuses []int
	var wg sync.WaitGroup
	token := b.token()
	for n := range 20 {
		wg.Go(func() {
			body := strings.Replace(example, "Complyt", fmt.Sprint("N", n), 1)
			req := httptest.NewRequest("PUT", path, strings.NewReader(body))
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Content-Type", "application/json")
			w := httptest.NewRecorder()
			b.ServeHTTP(w, req)
			b.Records()
			mu.Lock()
			defer mu.Unlock()
			statuses = append(statuses, w.Code)
		})
	}
	wg.Wait()
	slices.Sort(statuses)
	if statuses[0] != 200 || statuses[18] != 200 || statuses[19] != 201 || len(b.Records()) != 1 {
		t.Errorf("statuses = %v and %d records, want one 201", statuses, len(b.Records()))
	}
}

// FuzzPut holds that every body is either stored or answered with an error
// object that repeats the status.
func FuzzPut(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"address":[],"source":1e999}`))
	f.Add([]byte(`{"externalTimestamps":{"createdDate":"0000-00-00T00:00:00+99:99"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s := New(Options{CoerceNumbers: true})
		token := s.tokens.issue(time.Now().Add(time.Hour))
		req := httptest.NewRequest("PUT", path, bytes.NewReader(body))
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		var answer struct {
			Code      int
			Message   string
			ComplytID string
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("answer %d is not JSON: %v", w.Code, err)
		}
		stored := w.Code == 201 && answer.ComplytID != "" && len(s.Records()) == 1
		refused := w.Code == 400 && answer.Code == 400 && answer.Message != "" && len(s.Records()) == 0
		if !stored && !refused {
			t.Errorf("answer %d = %s with %d records", w.Code, w.Body, len(s.Records()))
		}
	})
}
