package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))

// someone is a customer with one route of each state.
func someone() *gateway.Customer {
	dead := canonical.Error{Code: canonical.UpstreamInvalid, Provider: "magento", Status: 400, Message: "postcode is required",
		Fields: []canonical.FieldError{{Pointer: "/addresses/0/postalCode", Field: "postcode", Code: canonical.FieldRequired, Message: "is required"}}}
	return &gateway.Customer{ID: "cust-1", Version: 1771000000000002, Routes: []gateway.Sync{
		{Route: "april", Provider: "april", State: gateway.Synced, Desired: 1771000000000002, Applied: 1771000000000002, AppliedAt: noon, RemoteID: "r-1",
			Warnings: []canonical.Notice{{Code: canonical.NoticeDropped, Pointer: "/gender", Message: "april has no place for it"}}},
		{Route: "gone", State: gateway.Pending, Desired: 1771000000000001, Attempts: 3, NextAttemptAt: noon.Add(time.Minute)},
		{Route: "magento-de", Provider: "magento", State: gateway.Dead, Desired: 1771000000000002, Applied: 1771000000000001, AppliedAt: noon, Attempts: 1, Err: &dead},
	}}
}

// letters are dead letters of two routes.
func letters() []gateway.DeadLetter {
	d := gateway.DeadLetter{Route: "april", Provider: "april", CustomerID: "cust-1", OperationID: ledger.OperationID(7), Version: 7, DiedAt: noon, Attempts: 2,
		Err: &canonical.Error{Code: canonical.RouteAttemptsExhausted, Provider: "april"},
		History: []ledger.Attempt{
			{At: noon.Add(-time.Hour), Version: 7, Number: 1, Requests: 2, Op: "upsert", Code: canonical.UpstreamUnavailable, Status: 503, UpstreamCode: "down", RequestID: "req-7", Took: 1500 * time.Millisecond},
			{At: noon, Version: 7, Number: 2},
		}}
	other := d
	other.Route, other.Provider, other.DiedAt, other.History = "magento-de", "", noon.Add(time.Second), nil
	third := other
	third.CustomerID, third.DiedAt = "cust-2", noon.Add(2*time.Second)
	return []gateway.DeadLetter{d, other, third}
}

// stored is a Gateway with a ledger that knows someone.
func stored() *fake {
	f := good()
	f.durable, f.known, f.dead, f.count = true, someone(), letters(), [2]int{3, 2}
	f.done = f.envelope("cust-1")
	return f
}

const ndjson = "application/x-ndjson"

func bulkRequest(body string, header ...string) *http.Request {
	return call(http.MethodPost, "/v1/customers/bulk", body, append([]string{"Content-Type", ndjson}, header...)...)
}

func TestLedgerRefusals(t *testing.T) {
	t.Parallel()
	const replay, pause = "/v1/dead-letters/replay", "/v1/routes/april/pause"
	for _, tt := range []struct {
		name    string
		request *http.Request
		code    canonical.Code
		field   string // or pointer, of the first of errors[]
		detail  string // or the beginning of it
		header  []string
	}{
		{name: "If-Match without quotes", request: put(customerPath, customer, "If-Match", "7"), code: canonical.RequestMalformed},
		{name: "If-Match empty", request: put(customerPath, customer, "If-Match", ""), code: canonical.RequestMalformed},
		{name: "If-None-Match version", request: put(customerPath, customer, "If-None-Match", `"7"`), code: canonical.RequestInvalid, field: "If-None-Match"},
		{name: "Content-Range", request: put(customerPath, customer, "Content-Range", "bytes 0-1/2"), code: canonical.RequestMalformed},
		{name: "key empty", request: put(customerPath, customer, "Idempotency-Key", ""), code: canonical.RequestMalformed},
		{name: "key with a space", request: put(customerPath, customer, "Idempotency-Key", `"a b"`), code: canonical.RequestMalformed},
		{name: "key too long", request: put(customerPath, customer, "Idempotency-Key", strings.Repeat("k", 256)), code: canonical.RequestMalformed},
		{name: "key twice", request: put(customerPath, customer, "Idempotency-Key", "k", "Idempotency-Key", "k"), code: canonical.RequestMalformed},

		{name: "patch as JSON", request: patch(customerPath, "{}", "Content-Type", "application/json"), code: canonical.RequestUnsupportedMedia, header: []string{"Accept-Patch", "application/merge-patch+json"}},
		{name: "patch compressed", request: patch(customerPath, "{}", "Content-Encoding", "gzip"), code: canonical.RequestUnsupportedMedia},
		{name: "patch empty", request: patch(customerPath, ""), code: canonical.RequestUnsupportedMedia},
		{name: "patch not JSON", request: patch(customerPath, "{"), code: canonical.RequestMalformed},
		{name: "patch twice the same", request: patch(customerPath, `{"note":"a","note":"b"}`), code: canonical.RequestMalformed},
		{name: "patch list", request: patch(customerPath, `[{"op":"remove"}]`), code: canonical.RequestMalformed},
		{name: "patch null", request: patch(customerPath, "null"), code: canonical.RequestMalformed},
		{name: "patch too large", request: patch(customerPath, `{"note":"`+strings.Repeat("x", 1000)+`"}`), code: canonical.RequestTooLarge},
		{name: "patch id", request: patch("/v1/customers/%0A", "{}"), code: canonical.RequestInvalid, field: "id"},

		{name: "customer id", request: get("/v1/customers/%0A"), code: canonical.RequestInvalid, field: "id"},
		{name: "customer query", request: get(customerPath + "?route=april"), code: canonical.RequestInvalid, field: "route"},
		{name: "erase id", request: call("DELETE", "/v1/customers/%0A/data", ""), code: canonical.RequestInvalid, field: "id"},
		{name: "erase If-Match", request: call("DELETE", customerPath+"/data", "", "If-Match", `"7"`), code: canonical.RequestInvalid},
		{name: "erase query", request: call("DELETE", customerPath+"/data?routes=april", ""), code: canonical.RequestInvalid, field: "routes"},
		{name: "operation query", request: get("/v1/operations/op_1?x=1"), code: canonical.RequestInvalid, field: "x"},

		{name: "dead letters query", request: get("/v1/dead-letters?routes=april"), code: canonical.RequestInvalid, field: "routes"},
		{name: "dead letters route", request: get("/v1/dead-letters?route="), code: canonical.RequestInvalid, field: "route"},
		{name: "dead letters route twice", request: get("/v1/dead-letters?route=a&route=b"), code: canonical.RequestInvalid, field: "route"},
		{name: "dead letters code", request: get("/v1/dead-letters?code=nope"), code: canonical.RequestInvalid, field: "code"},
		{name: "dead letters customer", request: get("/v1/dead-letters?customer="), code: canonical.RequestInvalid, field: "customer"},
		{name: "dead letters since", request: get("/v1/dead-letters?since=yesterday"), code: canonical.RequestInvalid, field: "since"},
		{name: "dead letters until", request: get("/v1/dead-letters?until=2026-03-01"), code: canonical.RequestInvalid, field: "until"},
		{name: "dead letters limit", request: get("/v1/dead-letters?limit=1001"), code: canonical.RequestInvalid, field: "limit"},
		{name: "dead letters no limit", request: get("/v1/dead-letters?limit=0"), code: canonical.RequestInvalid, field: "limit"},
		{name: "dead letters cursor", request: get("/v1/dead-letters?cursor=e30"), code: canonical.RequestInvalid, field: "cursor"},
		{name: "dead letters bad cursor", request: get("/v1/dead-letters?cursor=%21"), code: canonical.RequestInvalid, field: "cursor"},

		{name: "replay nothing", request: call("POST", replay, "{}"), code: canonical.RequestInvalid},
		{name: "replay without a body", request: call("POST", replay, ""), code: canonical.RequestUnsupportedMedia},
		{name: "replay query", request: call("POST", replay+"?all=true", "{}"), code: canonical.RequestInvalid, field: "all"},
		{name: "replay unknown", request: call("POST", replay, `{"routes":["april"]}`), code: canonical.RequestInvalid, field: "/routes"},
		{name: "replay not all", request: call("POST", replay, `{"all":false}`), code: canonical.RequestInvalid, field: "/all"},
		{name: "replay all as text", request: call("POST", replay, `{"all":"true"}`), code: canonical.RequestInvalid, field: "/all"},
		{name: "replay null", request: call("POST", replay, `{"route":null}`), code: canonical.RequestInvalid, field: "/route"},
		{name: "replay since", request: call("POST", replay, `{"since":1}`), code: canonical.RequestInvalid, field: "/since"},
		{name: "replay code", request: call("POST", replay, `{"route":"april","code":"nope"}`), code: canonical.RequestInvalid, field: "/code"},
		{name: "replay empty", request: call("POST", replay, " "), code: canonical.RequestMalformed, detail: "the body is empty"},
		{name: "replay list", request: call("POST", replay, `[]`), code: canonical.RequestMalformed},
		{name: "replay not JSON", request: call("POST", replay, `{`), code: canonical.RequestMalformed},

		{name: "pause unknown member", request: call("POST", pause, `{"because":"x"}`), code: canonical.RequestInvalid, field: "/because"},
		{name: "pause long reason", request: call("POST", pause, `{"reason":"`+strings.Repeat("ü", 201)+`"}`), code: canonical.RequestInvalid, field: "/reason"},
		{name: "pause lines", request: call("POST", pause, `{"reason":"a\nb"}`), code: canonical.RequestInvalid, field: "/reason"},
		{name: "pause media", request: call("POST", pause, `{"reason":"x"}`, "Content-Type", "text/plain"), code: canonical.RequestUnsupportedMedia},
		{name: "pause query", request: call("POST", pause+"?reason=x", ""), code: canonical.RequestInvalid, field: "reason"},
		{name: "resume unknown member", request: call("POST", "/v1/routes/april/resume", `{"reason":"x"}`), code: canonical.RequestInvalid, field: "/reason"},
		{name: "resume unknown route", request: call("POST", "/v1/routes/nope/resume", ""), code: canonical.RequestNotFound},
		{name: "resync unknown member", request: call("POST", "/v1/routes/april/resync", `{"x":1}`), code: canonical.RequestInvalid, field: "/x"},
		{name: "resync unknown route", request: call("POST", "/v1/routes/nope/resync", ""), code: canonical.RequestNotFound},

		{name: "bulk as JSON", request: bulkRequest("{}", "Content-Type", "application/json"), code: canonical.RequestUnsupportedMedia, header: []string{"Accept", "application/x-ndjson, application/jsonl"}},
		{name: "bulk compressed", request: bulkRequest("{}", "Content-Encoding", "gzip"), code: canonical.RequestUnsupportedMedia},
		{name: "bulk If-Match", request: bulkRequest("{}", "If-Match", "*"), code: canonical.RequestInvalid},
		{name: "bulk key", request: bulkRequest("{}", "Idempotency-Key", "a b"), code: canonical.RequestMalformed},
		{name: "bulk unknown route", request: call("POST", "/v1/customers/bulk?routes=april,nope", "{}", "Content-Type", ndjson), code: canonical.RequestNotFound, field: "routes"},
		{name: "bulk query", request: call("POST", "/v1/customers/bulk?wait=1", ""), code: canonical.RequestInvalid, field: "wait"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := stored()
			w := do(open(g, Options{MaxBody: 1000}), tt.request)
			a := wantProblem(t, w, tt.code)
			if w.Code != tt.code.Info().Status {
				t.Errorf("status = %d", w.Code)
			}
			if !strings.HasPrefix(a.Detail, tt.detail) {
				t.Errorf("detail = %q, want %q", a.Detail, tt.detail)
			}
			if tt.field != "" && (len(a.Errors) == 0 || a.Errors[0].Field+a.Errors[0].Pointer != tt.field) {
				t.Errorf("errors = %v, want one about %s", a.Errors, tt.field)
			}
			for i := 0; i < len(tt.header); i += 2 {
				if got := w.Header().Get(tt.header[i]); got != tt.header[i+1] {
					t.Errorf("%s = %q, want %q", tt.header[i], got, tt.header[i+1])
				}
			}
			if n, _ := g.calls(); n != 0 || g.questions() != "" {
				t.Errorf("%d upserts, %q, want nothing done", n, g.questions())
			}
		})
	}
}

func TestLedgerCalls(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		request *http.Request
		status  int
		asked   string
		body    string // part of it
	}{
		{"customer", get(customerPath), 200, "customer cust-1", `"customerId":"cust-1"`},
		{"customer escaped", get("/v1/customers/a%2Fb"), 200, "customer a/b", ``},
		{"erase", call("DELETE", customerPath+"/data", ""), 204, "erase cust-1", ""},
		{"operation", get("/v1/operations/op_01J9"), 200, "operation op_01J9", `"outcome":"complete"`},

		{"dead letters", get("/v1/dead-letters"), 200, "dead letters limit=101", `"cust-2"`},
		{"dead letters by all", get("/v1/dead-letters?route=april&code=upstream.invalid&customer=a%2Fb&since=2026-03-01T12:00:00%2B01:00&until=2026-03-02T00:00:00Z&limit=1000"), 200,
			"dead letters route=april code=upstream.invalid customer=a/b since=2026-03-01T11:00:00Z until=2026-03-02T00:00:00Z limit=1001", ""},
		{"replay all", call("POST", "/v1/dead-letters/replay", `{"all":true}`), 200, "replay ", `{"replayed":3}`},
		{"replay some", call("POST", "/v1/dead-letters/replay", `{"route":"april","code":"route.attempts_exhausted","customer":"c","since":"2026-03-01T12:00:00.5Z","until":"2026-03-02T00:00:00Z"}`), 200,
			"replay route=april code=route.attempts_exhausted customer=c since=2026-03-01T12:00:00.5Z until=2026-03-02T00:00:00Z", `{"replayed":3}`},

		{"pause", call("POST", "/v1/routes/april/pause", `{"reason":"moving house"}`), 200, "pause april moving house", `"route":"april"`},
		{"pause, longest reason", call("POST", "/v1/routes/april/pause", `{"reason":"`+strings.Repeat("ü", 200)+`"}`), 200, "pause april " + strings.Repeat("ü", 200), ``},
		{"pause without a reason", call("POST", "/v1/routes/april/pause", ""), 200, "pause april ", `"route":"april"`},
		{"pause with an empty object", call("POST", "/v1/routes/april/pause", "{}"), 200, "pause april ", `"route":"april"`},
		{"resume", call("POST", "/v1/routes/april/resume", ""), 200, "resume april", `"route":"april"`},
		{"resync", call("POST", "/v1/routes/april/resync", ""), 200, "resync april", `{"queued":3,"missing":2,"note":"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := stored()
			w := do(open(g, Options{}), tt.request)
			if w.Code != tt.status || g.questions() != tt.asked {
				t.Errorf("status = %d, want %d; asked %q, want %q:\n%s", w.Code, tt.status, g.questions(), tt.asked, w.Body)
			}
			if !strings.Contains(w.Body.String(), tt.body) || tt.status == 204 && w.Body.Len() != 0 {
				t.Errorf("body lacks %s:\n%s", tt.body, w.Body)
			}
		})
	}
}

func TestResyncWithNothingMissing(t *testing.T) {
	t.Parallel()
	g := stored()
	g.count = [2]int{4, 0}
	if got := do(open(g, Options{}), call("POST", "/v1/routes/april/resync", "")).Body.String(); got != `{"queued":4,"missing":0}`+"\n" {
		t.Errorf("answer = %s", got)
	}
}

// TestPauseWithoutLedger holds that a route can be paused even so.
func TestPauseWithoutLedger(t *testing.T) {
	t.Parallel()
	g := good()
	h := open(g, Options{})
	for _, action := range []string{"pause", "resume"} {
		if w := do(h, call("POST", "/v1/routes/april/"+action, "")); w.Code != 200 {
			t.Errorf("%s: status = %d:\n%s", action, w.Code, w.Body)
		}
	}
	if got := g.questions(); got != "pause april ; resume april" {
		t.Errorf("asked %q", got)
	}
}

func TestLedgerErrorsArePassedOn(t *testing.T) {
	t.Parallel()
	for _, r := range []*http.Request{
		put(customerPath, customer), patch(customerPath, "{}"), get(customerPath), call("DELETE", customerPath+"/data", ""), get("/v1/operations/op_1"), get("/v1/dead-letters"),
		call("POST", "/v1/dead-letters/replay", `{"all":true}`), call("POST", "/v1/routes/april/pause", ""), call("POST", "/v1/routes/april/resume", ""), call("POST", "/v1/routes/april/resync", ""),
	} {
		g := stored()
		g.err = &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the disk is full", RetryAfter: 5 * time.Second}
		w := do(open(g, Options{}), r)
		a := wantProblem(t, w, canonical.GatewayStoreUnavailable)
		if w.Code != 503 || a.Detail != "the disk is full" || !a.Retryable || w.Header().Get("Retry-After") != "5" || w.Header().Get("ETag") != "" {
			t.Errorf("%s %s: status %d, %v:\n%s", r.Method, r.URL, w.Code, w.Header(), w.Body)
		}
	}
}

func TestLedgerGoldens(t *testing.T) {
	t.Parallel()
	h := open(stored(), Options{})
	w := do(h, get(customerPath, "Traceparent", traceParent))
	golden(t, "customer.json", w)
	if got := w.Header().Get("ETag"); got != `"1771000000000002"` {
		t.Errorf("ETag = %s", got)
	}
	golden(t, "dead-letters.json", do(h, get("/v1/dead-letters?limit=2", "Traceparent", traceParent)))
}

func TestHeadOfWhatIsStored(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(open(stored(), Options{}))
	defer srv.Close()
	for _, path := range []string{customerPath, "/v1/operations/op_1", "/v1/dead-letters"} {
		resp, err := http.Head(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("HEAD %s: status %d, %v", path, resp.StatusCode, resp.Header)
		}
	}
}

func TestDeadLettersArePaged(t *testing.T) {
	t.Parallel()
	g := stored()
	h := open(g, Options{})
	var page struct {
		DeadLetters []struct{ Route, CustomerID string }
		Next        string
	}
	w := do(h, get("/v1/dead-letters?limit=2"))
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.DeadLetters) != 2 || page.Next == "" {
		t.Fatalf("first page: %v\n%s", err, w.Body)
	}
	g.dead = g.dead[2:]
	w = do(h, get("/v1/dead-letters?limit=2&cursor="+page.Next))
	page.Next = ""
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.DeadLetters) != 1 || page.Next != "" {
		t.Errorf("last page: %v\n%s", err, w.Body)
	}
	if got := g.questions(); got != "dead letters limit=3; dead letters after=2026-03-01T11:00:01Z/magento-de/cust-1 limit=3" {
		t.Errorf("asked %q", got)
	}
	g.dead = nil
	if got := do(h, get("/v1/dead-letters")).Body.String(); got != `{"deadLetters":[]}`+"\n" {
		t.Errorf("no dead letters: %s", got)
	}
}

// A route that is misspelt is no route without dead letters.
func TestDeadLettersOfNoRoute(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		route  string
		some   bool // it has dead letters
		status int
	}{
		{"april", false, 200},
		{"nope", false, 404},
		{"removed", true, 200},
	} {
		for _, r := range []*http.Request{
			get("/v1/dead-letters?route=" + tt.route),
			call("POST", "/v1/dead-letters/replay", `{"route":"`+tt.route+`"}`),
		} {
			g := stored()
			if !tt.some {
				g.dead, g.count = nil, [2]int{}
			}
			w := do(open(g, Options{}), r)
			if w.Code != tt.status {
				t.Errorf("%s %s: status = %d, want %d:\n%s", r.Method, r.URL, w.Code, tt.status, w.Body)
			}
			if tt.status == 404 {
				if p := wantProblem(t, w, canonical.RequestNotFound); len(p.Errors) != 1 || p.Errors[0].Field != "route" {
					t.Errorf("errors = %v, want one about the route", p.Errors)
				}
			}
		}
	}
}

func TestCursorsKeepAnything(t *testing.T) {
	t.Parallel()
	for _, at := range []ledger.Cursor{
		{DiedAt: noon.Add(123456 * time.Microsecond).UTC(), Route: "april", Customer: "a/b \"ü\x7f😀"},
		{DiedAt: time.Unix(0, 1).UTC(), Route: "r", Customer: "{}"},
	} {
		if got, ok := decodeCursor(encodeCursor(at)); !ok || got != at {
			t.Errorf("%v came back as %v, %v", at, got, ok)
		}
	}
}

// TestKeysSeeTheirRoutes holds what a key that is limited to some routes is shown.
func TestKeysSeeTheirRoutes(t *testing.T) {
	t.Parallel()
	none := key("none", "none", true, true)
	none.Routes = []string{}
	keys := []Key{key("all", "all", true, true), key("april", "april", true, true, "april", "gone"), key("other", "other", true, true, "rebilly-eu"), none, key("read", "read", true, false)}
	for _, tt := range []struct {
		name    string
		request *http.Request
		key     string
		status  int
		asked   string
		has     string
		lacks   string
	}{
		{"customer", get(customerPath), "april", 200, "customer cust-1", `"gone"`, "magento"},
		{"customer elsewhere", get(customerPath), "other", 404, "customer cust-1", "the ledger holds nothing about this customer", "magento"},
		{"customer, no routes", get(customerPath), "none", 404, "customer cust-1", "request.not_found", "magento"},
		{"operation", get("/v1/operations/op_1"), "april", 200, "operation op_1", `"april"`, "magento"},
		{"operation elsewhere", get("/v1/operations/op_1"), "other", 404, "operation op_1", "request.not_found", "magento"},
		{"dead letters", get("/v1/dead-letters"), "april", 200, "dead letters routes=april,gone limit=101", "", ""},
		{"dead letters of a route", get("/v1/dead-letters?route=april"), "april", 200, "dead letters route=april limit=101", "", ""},
		{"dead letters of another", get("/v1/dead-letters?route=magento-de"), "april", 403, "", `"field":"route"`, ""},
		{"dead letters, no routes", get("/v1/dead-letters"), "none", 403, "", "", ""},
		{"replay", call("POST", "/v1/dead-letters/replay", `{"all":true}`), "april", 200, "replay routes=april,gone", "", ""},
		{"replay another", call("POST", "/v1/dead-letters/replay", `{"route":"magento-de"}`), "april", 403, "", "", ""},
		{"replay, no routes", call("POST", "/v1/dead-letters/replay", `{"all":true}`), "none", 403, "", "", ""},
		{"pause", call("POST", "/v1/routes/april/pause", ""), "april", 200, "pause april ", "", ""},
		{"pause another", call("POST", "/v1/routes/magento-de/pause", ""), "april", 403, "", "", ""},
		{"resume another", call("POST", "/v1/routes/magento-de/resume", ""), "april", 403, "", "", ""},
		{"resync another", call("POST", "/v1/routes/magento-de/resync", ""), "april", 403, "", "", ""},
		{"erase", call("DELETE", customerPath+"/data", ""), "all", 204, "erase cust-1", "", ""},
		{"erase for all by one", call("DELETE", customerPath+"/data", ""), "april", 403, "", "limited to some routes", ""},
		{"patch", patch(customerPath, "{}"), "april", 200, "patch cust-1 {}", "", ""},
		{"patch another", patch(customerPath+"?routes=magento-de", "{}"), "april", 403, "", "", ""},

		{"reader reads", get(customerPath), "read", 200, "customer cust-1", "", ""},
		{"reader lists", get("/v1/dead-letters"), "read", 200, "dead letters limit=101", "", ""},
		{"reader patches", patch(customerPath, "{}"), "read", 403, "", "", ""},
		{"reader erases", call("DELETE", customerPath+"/data", ""), "read", 403, "", "", ""},
		{"reader replays", call("POST", "/v1/dead-letters/replay", `{"all":true}`), "read", 403, "", "", ""},
		{"reader pauses", call("POST", "/v1/routes/april/pause", ""), "read", 403, "", "", ""},
		{"reader resumes", call("POST", "/v1/routes/april/resume", ""), "read", 403, "", "", ""},
		{"reader resyncs", call("POST", "/v1/routes/april/resync", ""), "read", 403, "", "", ""},
		{"reader imports", bulkRequest(`{"id":"a"}`), "read", 403, "", "", ""},
		{"nobody reads", get(customerPath), "nobody", 401, "", "", ""},
		{"nobody sees operations", get("/v1/operations/op_1"), "nobody", 401, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := stored()
			g.done.Results = append(g.done.Results, succeeded("magento-de", canonical.ActionUpdated))
			tt.request.Header.Set("X-Api-Key", tt.key)
			w := do(open(g, Options{Keys: keys}), tt.request)
			if w.Code != tt.status || g.questions() != tt.asked {
				t.Errorf("status = %d, want %d; asked %q, want %q:\n%s", w.Code, tt.status, g.questions(), tt.asked, w.Body)
			}
			if body := w.Body.String(); !strings.Contains(body, tt.has) || tt.lacks != "" && strings.Contains(body, tt.lacks) {
				t.Errorf("want %q and no %q in it:\n%s", tt.has, tt.lacks, body)
			}
			if len(g.done.Results) != 2 {
				t.Error("the gateway's envelope was changed")
			}
		})
	}
}

func TestOperation(t *testing.T) {
	t.Parallel()
	pending := gateway.Result{Route: "magento-de", Provider: "magento", Status: gateway.StatusPending}
	bad := failed("april", gateway.StatusRejected, canonical.Error{Code: canonical.UpstreamInvalid})
	for _, tt := range []struct {
		outcome gateway.Outcome
		results []gateway.Result
		after   string
	}{
		{gateway.OutcomeComplete, []gateway.Result{succeeded("april", canonical.ActionCreated)}, ""},
		{gateway.OutcomePending, []gateway.Result{succeeded("april", canonical.ActionCreated), pending}, "1"},
		{gateway.OutcomePartial, []gateway.Result{bad, pending}, "1"},
		{gateway.OutcomeFailed, []gateway.Result{bad}, ""},
	} {
		g := stored()
		g.done.Outcome, g.done.Results = tt.outcome, tt.results
		w := do(open(g, Options{}), get("/v1/operations/op_01J9"))
		a := read(t, w)
		h := w.Header()
		if w.Code != 200 || a.Outcome != string(tt.outcome) || len(a.Results) != len(tt.results) || h.Get("Retry-After") != tt.after ||
			h.Get("ETag") != "" || !strings.HasPrefix(h.Get("Gateway-Outcome"), string(tt.outcome)) {
			t.Errorf("%s: status %d, %v:\n%s", tt.outcome, w.Code, h, w.Body)
		}
	}
}

// TestKeptUpsert holds what a ledger changes about the answer to an upsert.
func TestKeptUpsert(t *testing.T) {
	t.Parallel()
	pending := gateway.Result{Route: "magento-de", Provider: "magento", Status: gateway.StatusPending}
	done := succeeded("april", canonical.ActionUpdated)
	bad := failed("april", gateway.StatusRejected, canonical.Error{Code: canonical.UpstreamInvalid})
	const tag, at = `"1771000000000000"`, "/v1/operations/op_01J9"
	for _, tt := range []struct {
		name            string
		outcome         gateway.Outcome
		results         []gateway.Result
		first           bool
		status          int
		tag, at, prefer string
	}{
		{"known", gateway.OutcomeComplete, []gateway.Result{succeeded("april", canonical.ActionCreated)}, false, 200, tag, "", ""},
		{"first", gateway.OutcomeComplete, []gateway.Result{done}, true, 201, tag, "", ""},
		{"pending", gateway.OutcomePending, []gateway.Result{done, pending}, true, 202, tag, at, ""},
		{"partial", gateway.OutcomePartial, []gateway.Result{bad, done}, true, 207, tag, "", ""},
		{"partial and pending", gateway.OutcomePartial, []gateway.Result{bad, pending}, true, 207, tag, at, ""},
		{"failed", gateway.OutcomeFailed, []gateway.Result{bad}, true, 422, "", "", ""},
	} {
		g := stored()
		g.outcome, g.results, g.first = tt.outcome, tt.results, tt.first
		h := open(g, Options{})
		for _, r := range []*http.Request{put(customerPath, customer), patch(customerPath, `{"note":null}`)} {
			w := do(h, r)
			after := ""
			if tt.at != "" {
				after = "1"
			}
			if w.Code != tt.status || w.Header().Get("ETag") != tt.tag || w.Header().Get("Location") != tt.at || w.Header().Get("Retry-After") != after {
				t.Errorf("%s, %s: status %d, %v", tt.name, r.Method, w.Code, w.Header())
			}
		}
		if got := g.questions(); got != `patch cust-1 {"note":null}` {
			t.Errorf("%s: asked %q", tt.name, got)
		}
	}
	if w := do(open(good(), Options{}), put(customerPath, customer)); w.Header().Get("ETag") != "" {
		t.Error("an ETag without a ledger")
	}
}

// inFlight stands for a *gateway.InFlightError, which only the gateway can make.
type inFlight struct {
	err       *canonical.Error
	operation string
}

func (e inFlight) Error() string { return e.err.Error() }
func (e inFlight) Unwrap() error { return e.err }
func (e inFlight) As(target any) bool {
	is, ok := target.(**gateway.InFlightError)
	if ok {
		*is = &gateway.InFlightError{OperationID: e.operation}
	}
	return ok
}

func TestInFlight(t *testing.T) {
	t.Parallel()
	g := stored()
	h := open(g, Options{})
	g.err = inFlight{&canonical.Error{Code: canonical.IdempotencyInFlight, RetryAfter: 2 * time.Second}, "op_7"}
	w := do(h, put(customerPath, customer, "Idempotency-Key", "k"))
	a := wantProblem(t, w, canonical.IdempotencyInFlight)
	if w.Code != 409 || w.Header().Get("Location") != "/v1/operations/op_7" || a.Instance != "/v1/operations/op_7" || w.Header().Get("Retry-After") != "2" || !a.Retryable {
		t.Errorf("status %d, %v:\n%s", w.Code, w.Header(), w.Body)
	}
	g.err = inFlight{&canonical.Error{Code: canonical.IdempotencyInFlight}, ""}
	w = do(h, put(customerPath, customer, "Idempotency-Key", "k"))
	if a := wantProblem(t, w, canonical.IdempotencyInFlight); w.Header().Get("Location") != "" || a.Instance != "" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("unknown operation: %v:\n%s", w.Header(), w.Body)
	}
}

func TestDurablePrefer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prefer  string
		wait    time.Duration
		async   bool
		applied string
	}{
		{"", 0, false, ""},
		{"respond-async", 0, true, "respond-async"},
		{"Respond-Async; foo=1", 0, true, "respond-async"},
		{"respond-async, wait=3", 3 * time.Second, false, "respond-async, wait=3"},
		{"wait=0, respond-async, handling=strict", 0, true, "respond-async, wait=0, handling=strict"},
		{"wait=0", 0, true, "wait=0"},
		{"wait=00", 0, true, "wait=0"},
		{"wait=3", 3 * time.Second, false, "wait=3"},
		{"wait=-1", 0, false, ""},
		{"wait=x, wait=0", 0, false, ""},
		{"wait", 0, false, ""},
	} {
		g := stored()
		w := do(open(g, Options{}), put(customerPath, customer, "Prefer", tt.prefer))
		_, cmd := g.calls()
		if cmd.Wait != tt.wait || cmd.Async != tt.async || w.Header().Get("Preference-Applied") != tt.applied {
			t.Errorf("%q: wait %v, async %v, applied %q; want %v, %v, %q", tt.prefer, cmd.Wait, cmd.Async, w.Header().Get("Preference-Applied"), tt.wait, tt.async, tt.applied)
		}
		g = good()
		w = do(open(g, Options{}), put(customerPath, customer, "Prefer", tt.prefer))
		if _, cmd := g.calls(); cmd.Async || strings.Contains(w.Header().Get("Preference-Applied"), "respond-async") || strings.Contains(w.Header().Get("Preference-Applied"), "wait=0") {
			t.Errorf("%q without a ledger: async %v, applied %q", tt.prefer, cmd.Async, w.Header().Get("Preference-Applied"))
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header []string
		want   ledger.Match
	}{
		{"none", nil, ledger.Match{}},
		{"version", []string{"If-Match", `"7"`}, ledger.Match{Versions: []int64{7}}},
		{"list", []string{"If-Match", `"7" ,, "8",`}, ledger.Match{Versions: []int64{7, 8}}},
		{"fields", []string{"If-Match", `"7"`, "If-Match", `"8"`}, ledger.Match{Versions: []int64{7, 8}}},
		{"weak", []string{"If-Match", `W/"7"`}, ledger.Match{Versions: []int64{}}},
		{"weak beside strong", []string{"If-Match", `W/"7", "8"`}, ledger.Match{Versions: []int64{8}}},
		{"foreign", []string{"If-Match", `"abc", "", "07", "-7", "+7", "0", "7,8", "99999999999999999999"`}, ledger.Match{Versions: []int64{}}},
		{"backslash is a character", []string{"If-Match", `"a\", "7"`}, ledger.Match{Versions: []int64{7}}},
		{"any", []string{"If-Match", " * "}, ledger.Match{Known: true}},
		{"new", []string{"If-None-Match", "*"}, ledger.Match{Unknown: true}},
		{"both", []string{"If-Match", `"7"`, "If-None-Match", "*"}, ledger.Match{Versions: []int64{7}, Unknown: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, r := range []*http.Request{put(customerPath, customer, tt.header...), patch(customerPath, "{}", tt.header...)} {
				g := stored()
				if w := do(open(g, Options{}), r); w.Code != 200 {
					t.Fatalf("status = %d:\n%s", w.Code, w.Body)
				}
				_, cmd := g.calls()
				got := cmd.Match
				same := len(got.Versions) == len(tt.want.Versions) && (got.Versions == nil) == (tt.want.Versions == nil)
				for i := range got.Versions {
					same = same && got.Versions[i] == tt.want.Versions[i]
				}
				if !same || got.Known != tt.want.Known || got.Unknown != tt.want.Unknown {
					t.Errorf("%s: match = %+v, want %+v", r.Method, got, tt.want)
				}
			}
		})
	}
	for _, bad := range []string{`7`, `"7`, `"7" "8"`, `"7", *`, `*, *`, `w/"7"`, `W/ "7"`, `"a b"`, `,`, "\"\x7f\""} {
		if _, _, ok := entityTags(bad); ok {
			t.Errorf("%s was taken", bad)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`k`: "k", `"k"`: "k", " \t\"k\" ": "k", `"a\"b\\c"`: `a"b\c`, `8e03978e-40d5-43dd-bc93-6894a57f9324`: "8e03978e-40d5-43dd-bc93-6894a57f9324",
		strings.Repeat("k", 255): strings.Repeat("k", 255), `"` + strings.Repeat("k", 255) + `"`: strings.Repeat("k", 255), "a,b;c=d": "a,b;c=d",
	} {
		if got, ok := parseKey(in); !ok || got != want {
			t.Errorf("%s = %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"", " ", `""`, `"`, `"a`, `a"`, `a"b`, `a\b`, `"a\`, `"a\x"`, `"a"b`, `"a";b=1`, `"a", "b"`, "a b", "ü", "a\x00", "a\x7f", strings.Repeat("k", 256)} {
		if got, ok := parseKey(in); ok {
			t.Errorf("%q was taken as %q", in, got)
		}
	}
}

// keyOf returns the key that a request's upsert has.
func keyOf(t *testing.T, r *http.Request) ledger.Key {
	t.Helper()
	g := stored()
	w := do(open(g, Options{Keys: []Key{key("shop", "shop", true, true), key("crm", "crm", true, true), key("one", "one", true, true, "april")}}), r)
	_, cmd := g.calls()
	if w.Code != 200 || cmd.Key == nil {
		t.Fatalf("status %d, key %v:\n%s", w.Code, cmd.Key, w.Body)
	}
	return *cmd.Key
}

// TestFingerprint holds which requests are the same to an idempotency key.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	const body = `{"note":"a","attributes":{"x":[1,2],"y":true},"emails":[{"value":"l@example.com"}]}`
	with := func(r *http.Request) *http.Request {
		addHeader(r, "Idempotency-Key", "k-1")
		if r.Header.Get("X-Api-Key") == "" {
			r.Header.Set("X-Api-Key", "shop")
		}
		return r
	}
	first := keyOf(t, with(put(customerPath, body)))
	if first.Scope != "shop" || first.Keep != 24*time.Hour || first.Digest == first.Fingerprint {
		t.Errorf("key = %+v", first)
	}
	for name, r := range map[string]*http.Request{
		"again":             put(customerPath, body),
		"laid out":          put(customerPath, "{ \"emails\":[ {\"value\":\"l@example.com\"}],\n\"attributes\":{\"y\":true,\"x\":[1,2]},\"\\u006eote\":\"\\u0061\"}"),
		"escaped path":      put("/v1/customers/%63ust-1", body),
		"lenient":           put(customerPath, body, "Prefer", "handling=lenient"),
		"another wait":      put(customerPath, body, "Prefer", "wait=1, respond-async"),
		"another precursor": put(customerPath, body, "If-Match", `"7"`),
	} {
		if got := keyOf(t, with(r)); got != first {
			t.Errorf("%s: another request", name)
		}
	}
	seen := map[[32]byte]string{first.Fingerprint: "first"}
	for name, r := range map[string]*http.Request{
		"patch":        patch(customerPath, body),
		"customer":     put("/v1/customers/cust-2", body),
		"routes":       put(customerPath+"?routes=april", body),
		"two routes":   put(customerPath+"?routes=april,magento-de", body),
		"strict":       put(customerPath, body, "Prefer", "handling=strict"),
		"order":        put(customerPath, strings.Replace(body, "[1,2]", "[2,1]", 1)),
		"digits":       put(customerPath, strings.Replace(body, "[1,2]", "[1,20000000000000001]", 1)),
		"other digits": put(customerPath, strings.Replace(body, "[1,2]", "[1,20000000000000002]", 1)),
		"text":         put(customerPath, strings.Replace(body, "[1,2]", `[1,"2"]`, 1)),
		"null":         put(customerPath, strings.Replace(body, `"a"`, "null", 1)),
		"less":         put(customerPath, strings.Replace(body, `"note":"a",`, "", 1)),
		"empty":        put(customerPath, "{}"),
	} {
		got := keyOf(t, with(r))
		if got.Digest != first.Digest || got.Scope != first.Scope {
			t.Errorf("%s: another key", name)
		}
		if other, ok := seen[got.Fingerprint]; ok {
			t.Errorf("%s is the same request as %s", name, other)
		}
		seen[got.Fingerprint] = name
	}
	a, b := keyOf(t, with(put(customerPath+"?routes=april,magento-de", body))), keyOf(t, with(put(customerPath+"?routes=magento-de,april&routes=april", body)))
	if a != b {
		t.Error("the order of routes makes another request")
	}
	// What the key may use is not what was asked for: it may change meanwhile.
	if one := keyOf(t, with(put(customerPath, body, "X-Api-Key", "one"))); one.Fingerprint != first.Fingerprint || one.Scope != "one" {
		t.Errorf("by another API key: %+v", one)
	}
	if quoted := keyOf(t, put(customerPath, body, "Idempotency-Key", `"k-1"`, "X-Api-Key", "shop")); quoted != first {
		t.Error("in quotes it is another key")
	}
	if other := keyOf(t, put(customerPath, body, "Idempotency-Key", "k-2", "X-Api-Key", "shop")); other.Digest == first.Digest {
		t.Error("two keys have one digest")
	}
}

func TestNoKey(t *testing.T) {
	t.Parallel()
	g := stored()
	do(open(g, Options{}), put(customerPath, customer))
	if _, cmd := g.calls(); cmd.Key != nil || string(cmd.Body) != customer {
		t.Errorf("key %v, body %s", cmd.Key, cmd.Body)
	}
	g = good()
	if w := do(open(g, Options{}), put(customerPath, customer, "Idempotency-Key", "a b")); w.Code != 200 {
		t.Errorf("without a ledger the key is ignored, yet status = %d", w.Code)
	}
}
