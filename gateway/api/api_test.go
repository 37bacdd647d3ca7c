package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/trace"
	"customer-gateway/gateway/transport"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// fake is a Gateway that answers with what it was given and keeps what it was
// asked.
type fake struct {
	results []gateway.Result
	outcome gateway.Outcome
	err     error
	panics  any
	entered chan struct{} // if set, told of every upsert
	hold    chan struct{} // if set, holds upserts until it is closed

	durable  bool
	first    bool                                             // the ledger did not know the customer
	known    *gateway.Customer                                // what Customer returns
	done     *gateway.Envelope                                // what Operation returns
	dead     []gateway.DeadLetter                             // what DeadLetters returns, up to its limit
	count    [2]int                                           // what Replay and Resync return
	upserted func(gateway.Command) (*gateway.Envelope, error) // if set, what Upsert does

	mu    sync.Mutex
	cmds  []gateway.Command
	ctxs  []context.Context
	asked []string // of the other methods, with their arguments
}

func (f *fake) Upsert(ctx context.Context, cmd gateway.Command) (*gateway.Envelope, error) {
	f.mu.Lock()
	f.cmds, f.ctxs = append(f.cmds, cmd), append(f.ctxs, ctx)
	f.mu.Unlock()
	if f.entered != nil {
		f.entered <- struct{}{}
	}
	if f.hold != nil {
		<-f.hold
	}
	if f.panics != nil {
		panic(f.panics)
	}
	if f.err != nil {
		return nil, f.err
	}
	if f.upserted != nil {
		return f.upserted(cmd)
	}
	return f.envelope(cmd.Customer.ID.Value()), nil
}

func (f *fake) envelope(id string) *gateway.Envelope {
	return &gateway.Envelope{
		OperationID: "op_01J9", CustomerID: id, Version: 1771000000000000,
		Outcome: f.outcome, Results: f.results, Kept: f.durable, First: f.first,
	}
}

func (f *fake) Durable() bool { return f.durable }

func (f *fake) Patch(_ context.Context, id string, patch []byte, cmd gateway.Command) (*gateway.Envelope, error) {
	if err := f.ask("patch", id, string(patch)); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.cmds = append(f.cmds, cmd)
	f.mu.Unlock()
	return f.envelope(id), nil
}

func (f *fake) Customer(_ context.Context, id string) (*gateway.Customer, error) {
	if err := f.ask("customer", id); err != nil {
		return nil, err
	}
	return f.known, nil
}

func (f *fake) Operation(_ context.Context, id string) (*gateway.Envelope, error) {
	if err := f.ask("operation", id); err != nil {
		return nil, err
	}
	return f.done, nil
}

func (f *fake) DeadLetters(_ context.Context, filter ledger.Filter) ([]gateway.DeadLetter, error) {
	if err := f.ask("dead letters", filterText(filter)); err != nil {
		return nil, err
	}
	return f.dead[:min(filter.Limit, len(f.dead))], nil
}

func (f *fake) Replay(_ context.Context, filter ledger.Filter) (int, error) {
	return f.count[0], f.ask("replay", filterText(filter))
}

func (f *fake) Pause(_ context.Context, route, reason string) error {
	return f.ask("pause", route, reason)
}

func (f *fake) Resume(_ context.Context, route string) error { return f.ask("resume", route) }

func (f *fake) Resync(_ context.Context, route string) (due, missing int, err error) {
	return f.count[0], f.count[1], f.ask("resync", route)
}

func (f *fake) Erase(_ context.Context, id string) error { return f.ask("erase", id) }

// ask keeps what was asked for.
func (f *fake) ask(words ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, strings.Join(words, " "))
	return f.err
}

// filterText returns the members of a filter that are set.
func filterText(f ledger.Filter) string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	stamp := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return at.UTC().Format(time.RFC3339Nano)
	}
	add("route", f.Route)
	add("routes", strings.Join(f.Routes, ","))
	add("code", string(f.Code))
	add("customer", f.Customer)
	add("since", stamp(f.Since))
	add("until", stamp(f.Until))
	add("after", strings.Trim(stamp(f.After.DiedAt)+"/"+f.After.Route+"/"+f.After.Customer, "/"))
	if f.Limit != 0 {
		add("limit", strconv.Itoa(f.Limit))
	}
	return strings.Join(words, " ")
}

// questions returns what was asked for beside upserts.
func (f *fake) questions() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.asked, "; ")
}

// calls returns how many upserts there were, and the last one.
func (f *fake) calls() (int, gateway.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.cmds) == 0 {
		return 0, gateway.Command{}
	}
	return len(f.cmds), f.cmds[len(f.cmds)-1]
}

var routes = []gateway.RouteState{
	{Name: "april", Provider: "april", Required: true, State: transport.State{Breaker: transport.BreakerClosed}},
	{Name: "magento-de", Provider: "magento", State: transport.State{Breaker: transport.BreakerOpen, Limited: true, Tokens: 2.5}},
	{Name: "rebilly-eu", Provider: "rebilly", Required: true, State: transport.State{Breaker: transport.BreakerClosed}},
}

func (f *fake) Routes() []gateway.RouteState { return routes }

func (f *fake) Route(name string) (gateway.RouteState, bool) {
	for _, r := range routes {
		if r.Name == name {
			return r, true
		}
	}
	return gateway.RouteState{}, false
}

func (f *fake) Capabilities(name string) (gateway.Capabilities, bool) {
	r, found := f.Route(name)
	return gateway.Capabilities{Route: r.Name, Provider: r.Provider, Kinds: []canonical.KindCapabilities{
		{Kind: "person", Fields: []canonical.Capability{{Field: "/note", Support: canonical.Held, Required: canonical.Optional, MaxLength: 200, To: []string{"comment"}}}},
		{Kind: "organization", Refused: "magento: takes persons only", Fields: []canonical.Capability{}},
	}}, found
}

// good answers that one route was updated.
func good() *fake {
	return &fake{outcome: gateway.OutcomeComplete, results: []gateway.Result{succeeded("april", canonical.ActionUpdated)}}
}

func succeeded(route string, action canonical.Action) gateway.Result {
	return gateway.Result{Route: route, Provider: strings.SplitN(route, "-", 2)[0], Status: gateway.StatusSucceeded, Action: action, RemoteID: "r-1", Attempts: 1}
}

func failed(route string, status gateway.Status, e canonical.Error) gateway.Result {
	provider := strings.SplitN(route, "-", 2)[0]
	e.Provider = provider
	return gateway.Result{Route: route, Provider: provider, Status: status, Err: &e, Attempts: 1}
}

// open returns the handler of opts over g.
func open(g Gateway, opts Options) http.Handler {
	opts.Gateway = g
	return New(opts)
}

const (
	customerPath = "/v1/customers/cust-1"
	customer     = `{"emails":[{"value":"lucy@example.com"}]}`
	traceID      = "0af7651916cd43dd8448eb211c80319c"
	traceParent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

// put returns a good PUT with the header fields given as name, value, ….
func put(target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPut, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", traceParent)
	addHeader(r, header...)
	return r
}

// call returns a request with a JSON body, or with none.
func call(method, target, body string, header ...string) *http.Request {
	r := put(target, body, header...)
	r.Method = method
	if body == "" {
		r.Header.Del("Content-Type")
	}
	return r
}

func patch(target, body string, header ...string) *http.Request {
	return call(http.MethodPatch, target, body, append([]string{"Content-Type", "application/merge-patch+json"}, header...)...)
}

func get(target string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	addHeader(r, header...)
	return r
}

func addHeader(r *http.Request, header ...string) {
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Content-Type" {
			r.Header.Del("Content-Type")
		}
		r.Header.Add(header[i], header[i+1])
	}
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// answer is a problem or an envelope, as a client reads it.
type answer struct {
	Type, Title, Detail, Instance, TraceID string
	Status, Line                           int
	Code                                   canonical.Code
	Retryable                              bool
	Errors                                 []canonical.FieldError
	OperationID, Outcome                   string
	Results                                []struct {
		Route, Status string
		Error         *answer
	}
}

func read(t *testing.T, w *httptest.ResponseRecorder) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("body is not JSON: %v\n%s", err, w.Body)
	}
	return a
}

// wantProblem checks that w is a complete problem of code.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, code canonical.Code) answer {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type = %q, want application/problem+json", got)
	}
	a := read(t, w)
	if a.Code != code {
		t.Errorf("code = %q, want %q:\n%s", a.Code, code, w.Body)
	}
	if a.Status != w.Code {
		t.Errorf("status = %d in the body, %d in the header", a.Status, w.Code)
	}
	if a.Title != code.Info().Title || a.Detail == "" || a.TraceID == "" || !strings.HasSuffix(a.Type, "/v1/errors/"+string(code)) {
		t.Errorf("incomplete problem:\n%s", w.Body)
	}
	if w.Header().Get("X-Request-Id") == "" {
		t.Error("no X-Request-Id")
	}
	return a
}

// golden compares an answer with a file.
func golden(t *testing.T, name string, w *httptest.ResponseRecorder) {
	t.Helper()
	var b bytes.Buffer
	if err := json.Indent(&b, w.Body.Bytes(), "", "  "); err != nil {
		t.Fatalf("body is not JSON: %v\n%s", err, w.Body)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("answer differs from %s:\n%s", path, b.Bytes())
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 129)
	tests := []struct {
		name    string
		request *http.Request
		code    canonical.Code
		status  int
		field   string // of the first of errors[]
		header  []string
	}{
		{name: "unknown path", request: get("/v2/customers"), code: canonical.RequestNotFound, status: 404},
		{name: "root", request: get("/"), code: canonical.RequestNotFound, status: 404},
		{name: "trailing slash", request: get("/v1/routes/"), code: canonical.RequestNotFound, status: 404},
		{name: "no id", request: put("/v1/customers/", customer), code: canonical.RequestNotFound, status: 404},
		{name: "two segments", request: put("/v1/customers/a/b", customer), code: canonical.RequestNotFound, status: 404},
		{name: "no metrics", request: get("/metrics"), code: canonical.RequestNotFound, status: 404},
		{name: "unknown route", request: get("/v1/routes/nope"), code: canonical.RequestNotFound, status: 404},
		{name: "unknown code", request: get("/v1/errors/nope"), code: canonical.RequestNotFound, status: 404},
		{name: "method", request: httptest.NewRequest(http.MethodDelete, customerPath, nil), code: canonical.RequestMethodNotAllowed, status: 405, header: []string{"Allow", "GET, HEAD, PUT, PATCH"}},
		{name: "method on a read", request: put("/v1/routes", customer), code: canonical.RequestMethodNotAllowed, status: 405, header: []string{"Allow", "GET, HEAD"}},
		{name: "invented method", request: httptest.NewRequest("BREW", customerPath, nil), code: canonical.RequestMethodNotAllowed, status: 405, header: []string{"Allow", "GET, HEAD, PUT, PATCH"}},

		{name: "nothing stored: customer", request: get(customerPath), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: patch", request: patch(customerPath, "{}"), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: erase", request: call("DELETE", customerPath+"/data", ""), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: operation", request: get("/v1/operations/op_01J9"), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: dead letters", request: get("/v1/dead-letters"), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: replay", request: call("POST", "/v1/dead-letters/replay", `{"all":true}`), code: canonical.RequestNotFound, status: 404},
		{name: "nothing stored: resync", request: call("POST", "/v1/routes/april/resync", ""), code: canonical.RequestNotFound, status: 404},
		{name: "unknown route paused", request: call("POST", "/v1/routes/nope/pause", ""), code: canonical.RequestNotFound, status: 404},

		{name: "long id", request: put("/v1/customers/"+long, customer), code: canonical.RequestInvalid, status: 422, field: "id"},
		{name: "control character in the id", request: put("/v1/customers/a%0Ab", customer), code: canonical.RequestInvalid, status: 422, field: "id"},
		{name: "id is not UTF-8", request: put("/v1/customers/%FF", customer), code: canonical.RequestInvalid, status: 422, field: "id"},
		{name: "id is dots", request: put("/v1/customers/%2E%2E", customer), code: canonical.RequestInvalid, status: 422, field: "id"},

		{name: "unknown parameter", request: put(customerPath+"?route=april", customer), code: canonical.RequestInvalid, status: 422, field: "route"},
		{name: "unknown parameter on a read", request: get("/v1/routes?x=1"), code: canonical.RequestInvalid, status: 422, field: "x"},
		{name: "unknown route's capabilities", request: get("/v1/routes/nope/capabilities"), code: canonical.RequestNotFound, status: 404},
		{name: "unknown parameter on capabilities", request: get("/v1/routes/april/capabilities?x=1"), code: canonical.RequestInvalid, status: 422, field: "x"},
		{name: "unknown parameter on a route", request: get("/v1/routes/april?x=1"), code: canonical.RequestInvalid, status: 422, field: "x"},
		{name: "unknown parameter on errors", request: get("/v1/errors?x=1"), code: canonical.RequestInvalid, status: 422, field: "x"},
		{name: "unknown parameter on an error", request: get("/v1/errors/upstream.busy?x=1"), code: canonical.RequestInvalid, status: 422, field: "x"},
		{name: "broken query", request: put(customerPath+"?routes=%zz", customer), code: canonical.RequestInvalid, status: 422},
		{name: "empty routes", request: put(customerPath+"?routes=", customer), code: canonical.RequestInvalid, status: 422, field: "routes"},
		{name: "empty route", request: put(customerPath+"?routes=april,,x", customer), code: canonical.RequestInvalid, status: 422, field: "routes"},

		{name: "If-Match", request: put(customerPath, customer, "If-Match", `"7"`), code: canonical.RequestPreconditionFailed, status: 412},
		{name: "If-Match any", request: put(customerPath, customer, "If-Match", "*"), code: canonical.RequestPreconditionFailed, status: 412},
		{name: "If-None-Match", request: put(customerPath, customer, "If-None-Match", "*"), code: canonical.RequestPreconditionFailed, status: 412},
		{name: "Content-Range", request: put(customerPath, customer, "Content-Range", "bytes 0-1/2"), code: canonical.RequestMalformed, status: 400},

		{name: "media type", request: put(customerPath, customer, "Content-Type", "text/plain"), code: canonical.RequestUnsupportedMedia, status: 415, header: []string{"Accept", "application/json"}},
		{name: "media type suffix", request: put(customerPath, customer, "Content-Type", "application/merge-patch+json"), code: canonical.RequestUnsupportedMedia, status: 415, header: []string{"Accept", "application/json"}},
		{name: "no media type", request: put(customerPath, customer, "Content-Type", ""), code: canonical.RequestUnsupportedMedia, status: 415, header: []string{"Accept", "application/json"}},
		{name: "two media types", request: put(customerPath, customer, "Content-Type", "application/json", "content-type", "text/plain"), code: canonical.RequestUnsupportedMedia, status: 415},
		{name: "charset", request: put(customerPath, customer, "Content-Type", "application/json; charset=iso-8859-1"), code: canonical.RequestUnsupportedMedia, status: 415, header: []string{"Accept", "application/json"}},
		{name: "compressed", request: put(customerPath, customer, "Content-Encoding", "gzip"), code: canonical.RequestUnsupportedMedia, status: 415, header: []string{"Accept-Encoding", "identity"}},

		{name: "empty body", request: put(customerPath, ""), code: canonical.RequestMalformed, status: 400},
		{name: "not JSON", request: put(customerPath, "{"), code: canonical.RequestMalformed, status: 400},
		{name: "trailing bytes", request: put(customerPath, customer+"x"), code: canonical.RequestMalformed, status: 400},
		{name: "not a customer", request: put(customerPath, `{"emials":[]}`), code: canonical.RequestInvalid, status: 422},
		{name: "another id", request: put(customerPath, `{"id":"cust-2"}`), code: canonical.RequestInvalid, status: 422},
		{name: "too large", request: put(customerPath, `{"note":"`+strings.Repeat("x", 1000)+`"}`), code: canonical.RequestTooLarge, status: 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := good()
			w := do(open(g, Options{MaxBody: 1000, PublicURL: "https://gateway.example"}), tt.request)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			a := wantProblem(t, w, tt.code)
			if a.Results != nil || a.Outcome != "" || w.Header().Get("Gateway-Outcome") != "" {
				t.Errorf("a refusal has results:\n%s", w.Body)
			}
			if !strings.HasPrefix(a.Type, "https://gateway.example/v1/errors/") {
				t.Errorf("type = %q", a.Type)
			}
			if tt.field != "" && (len(a.Errors) == 0 || a.Errors[0].Field != tt.field) {
				t.Errorf("errors = %v, want one about %s", a.Errors, tt.field)
			}
			for i := 0; i < len(tt.header); i += 2 {
				if got := w.Header().Get(tt.header[i]); got != tt.header[i+1] {
					t.Errorf("%s = %q, want %q", tt.header[i], got, tt.header[i+1])
				}
			}
			if n, _ := g.calls(); n != 0 {
				t.Errorf("%d upserts were sent, want none", n)
			}
		})
	}
}

func TestTooLargeWithoutLength(t *testing.T) {
	t.Parallel()
	r := put(customerPath, "")
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"note":"`+strings.Repeat("x", 1000)+`"}`)), -1
	w := do(open(good(), Options{MaxBody: 1000}), r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("status = %d, want 413", w.Code)
	}
	wantProblem(t, w, canonical.RequestTooLarge)
}

func TestBodyReadErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want string
	}{
		{os.ErrDeadlineExceeded, "did not arrive in time"},
		{io.ErrUnexpectedEOF, "ended before it was complete"},
	} {
		r := put(customerPath, "")
		r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader("{"), failing{tt.err})), 100
		a := wantProblem(t, do(open(good(), Options{}), r), canonical.RequestMalformed)
		if !strings.Contains(a.Detail, tt.want) {
			t.Errorf("detail = %q, want %q in it", a.Detail, tt.want)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestAcceptedForms(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		request *http.Request
		id      string
		routes  []string
	}{
		{"plain", put(customerPath, customer), "cust-1", nil},
		{"charset", put(customerPath, customer, "Content-Type", `Application/JSON; charset="UTF-8"`), "cust-1", nil},
		{"identity", put(customerPath, customer, "Content-Encoding", "identity"), "cust-1", nil},
		{"slash in the id", put("/v1/customers/a%2Fb", customer), "a/b", nil},
		{"plus in the id", put("/v1/customers/a+b%2F", customer), "a+b/", nil},
		{"percent in the id", put("/v1/customers/100%25", customer), "100%", nil},
		{"escaped percent in the id", put("/v1/customers/a%252Fb", customer), "a%2Fb", nil},
		{"space and umlaut in the id", put("/v1/customers/a%20%C3%BC", customer), "a ü", nil},
		{"routes", put(customerPath+"?routes=april,rebilly-eu", customer), "cust-1", []string{"april", "rebilly-eu"}},
		{"routes twice", put(customerPath+"?routes=april&routes=rebilly-eu", customer), "cust-1", []string{"april", "rebilly-eu"}},
		{"idempotency key", put(customerPath, customer, "Idempotency-Key", "k1"), "cust-1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := good()
			w := do(open(g, Options{}), tt.request)
			if w.Code != http.StatusOK {
				t.Fatalf("status = %d:\n%s", w.Code, w.Body)
			}
			_, cmd := g.calls()
			if got := cmd.Customer.ID.Value(); got != tt.id {
				t.Errorf("id = %q, want %q", got, tt.id)
			}
			if strings.Join(cmd.Routes, " ") != strings.Join(tt.routes, " ") || (cmd.Routes == nil) != (tt.routes == nil) {
				t.Errorf("routes = %q, want %q", cmd.Routes, tt.routes)
			}
			if got := len(cmd.Customer.Emails.Value()); got != 1 {
				t.Errorf("%d e-mail addresses, want 1", got)
			}
		})
	}
}

func TestOptionsAndHead(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{})
	w := do(h, httptest.NewRequest(http.MethodOptions, customerPath, nil))
	if w.Code != http.StatusNoContent || w.Header().Get("Allow") != "GET, HEAD, PUT, PATCH" || w.Header().Get("Accept-Patch") != "application/merge-patch+json" || w.Body.Len() > 0 {
		t.Errorf("OPTIONS: status %d, %v, %d bytes", w.Code, w.Header(), w.Body.Len())
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	for _, path := range []string{"/v1/routes", "/v1/errors", "/v1/errors/upstream.busy", "/healthz", "/readyz"} {
		resp, err := http.Head(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("HEAD %s: status %d, Content-Type %q", path, resp.StatusCode, resp.Header.Get("Content-Type"))
		}
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{})
	w := do(h, get("/v1/routes"))
	if w.Code != http.StatusOK {
		t.Fatalf("status = %d", w.Code)
	}
	golden(t, "routes.json", w)
	w = do(h, get("/v1/routes/magento%2Dde"))
	var r struct{ Route, Provider string }
	if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Route != "magento-de" || r.Provider != "magento" {
		t.Errorf("one route = %v, %v:\n%s", r, err, w.Body)
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{})
	w := do(h, get("/v1/routes/magento%2Dde/capabilities"))
	if w.Code != http.StatusOK {
		t.Fatalf("status = %d", w.Code)
	}
	golden(t, "capabilities.json", w)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{PublicURL: "https://gateway.example", Keys: []Key{{Name: "shop"}}})
	var all []struct {
		Type string
		Code canonical.Code
	}
	w := do(h, get("/v1/errors"))
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != len(canonical.Codes()) {
		t.Errorf("%d codes, want %d", len(all), len(canonical.Codes()))
	}
	for _, in := range all {
		// Every type URL must resolve, and without a key.
		w := do(h, get(strings.TrimPrefix(in.Type, "https://gateway.example")))
		var one struct{ Code canonical.Code }
		if err := json.Unmarshal(w.Body.Bytes(), &one); w.Code != http.StatusOK || err != nil || one.Code != in.Code {
			t.Errorf("%s: status %d, %v, code %q", in.Type, w.Code, err, one.Code)
		}
	}
	golden(t, "error.json", do(h, get("/v1/errors/upstream.invalid")))
	golden(t, "error-by-status.json", do(h, get("/v1/errors/upstream.unclassified")))

	for accept, want := range map[string]string{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"text/html;q=0.4, application/json;q=0.5":                         "application/json",
		"text/html, application/json":                                     "application/json",
		"text/*;q=0, */*":                                                 "application/json",
		"*/*":                                                             "application/json",
		"":                                                                "application/json",
	} {
		w := do(h, get("/v1/errors/upstream.invalid", "Accept", accept))
		if got := w.Header().Get("Content-Type"); got != want || w.Header().Get("Vary") != "Accept" {
			t.Errorf("Accept %q: Content-Type = %q, want %q", accept, got, want)
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	var down error
	h := open(good(), Options{Version: "v1.2.3", Ready: func() error { return down }})
	if w := do(h, get("/healthz?probe=1")); w.Code != http.StatusOK || w.Body.String() != `{"status":"ok","version":"v1.2.3"}`+"\n" {
		t.Errorf("healthz: %d %s", w.Code, w.Body)
	}
	if w := do(h, get("/readyz")); w.Code != http.StatusOK {
		t.Errorf("readyz: %d %s", w.Code, w.Body)
	}
	down = io.ErrClosedPipe
	w := do(h, get("/readyz"))
	if a := wantProblem(t, w, canonical.GatewayOverloaded); a.Status != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "pipe") {
		t.Errorf("readyz: %d %s", w.Code, w.Body)
	}
	down = &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the disk is full"}
	if a := wantProblem(t, do(h, get("/readyz")), canonical.GatewayStoreUnavailable); a.Detail != "the disk is full" {
		t.Errorf("detail = %q", a.Detail)
	}
	if w := do(h, get("/healthz")); w.Code != http.StatusOK {
		t.Errorf("healthz while not ready: %d", w.Code)
	}
}

func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	g := good()
	g.entered, g.hold = make(chan struct{}), make(chan struct{})
	h := open(g, Options{MaxInFlight: 1})
	first := make(chan int)
	go func() { first <- do(h, put(customerPath, customer)).Code }()
	<-g.entered
	w := do(h, put(customerPath, customer))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
		t.Errorf("status = %d, Retry-After = %q", w.Code, w.Header().Get("Retry-After"))
	}
	wantProblem(t, w, canonical.GatewayOverloaded)
	if w := do(h, get("/healthz")); w.Code != http.StatusOK {
		t.Errorf("healthz while overloaded: %d", w.Code)
	}
	close(g.hold)
	if code := <-first; code != http.StatusOK {
		t.Errorf("the first call: status = %d", code)
	}
	if w := do(h, get("/v1/routes")); w.Code != http.StatusOK {
		t.Errorf("afterwards: status = %d", w.Code)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := good()
	g.panics = "lucy@example.com"
	w := do(open(g, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}), put(customerPath, customer))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status = %d, want 500", w.Code)
	}
	a := wantProblem(t, w, canonical.GatewayInternal)
	if a.TraceID != traceID {
		t.Errorf("traceId = %q, want the caller's", a.TraceID)
	}
	for _, want := range []string{`"panic":"string"`, traceID, `"status":500`, `/v1/customers/:id`, "fake).Upsert"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, &log)
		}
	}
	if strings.Contains(log.String(), "lucy") || strings.Contains(w.Body.String(), "lucy") {
		t.Errorf("the panic's value got out:\n%s\n%s", &log, w.Body)
	}
}

func TestAbortIsPassedOn(t *testing.T) {
	t.Parallel()
	g := good()
	g.panics = http.ErrAbortHandler
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("recovered %v, want http.ErrAbortHandler", p)
		}
	}()
	do(open(g, Options{}), put(customerPath, customer))
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{})
	for _, tt := range []struct {
		sent []string
		kept bool
	}{
		{[]string{"X-Request-Id", "req-1.a:b/c+d=_"}, true},
		{[]string{"X-Request-Id", strings.Repeat("x", 128)}, true},
		{[]string{"X-Request-Id", strings.Repeat("x", 129)}, false},
		{[]string{"X-Request-Id", "a b"}, false},
		{[]string{"X-Request-Id", "lucy@example.com"}, false},
		{[]string{"X-Request-Id", "a", "X-Request-Id", "b"}, false},
		{[]string{"X-Request-Id", ""}, false},
		{nil, false},
	} {
		got := do(h, put(customerPath, customer, tt.sent...)).Header().Get("X-Request-Id")
		if tt.kept && got != tt.sent[1] || !tt.kept && len(got) != 32 {
			t.Errorf("%q: X-Request-Id = %q", tt.sent, got)
		}
	}
}

func TestTraceContext(t *testing.T) {
	t.Parallel()
	g := good()
	h := open(g, Options{})
	do(h, put(customerPath, customer, "Tracestate", "a=1", "Tracestate", "b=2"))
	got, ok := trace.FromContext(g.ctxs[0])
	if !ok || got.ID() != traceID || got.State != "a=1,b=2" || got.Flags != trace.Sampled {
		t.Errorf("trace = %+v, %v", got, ok)
	}
	r := put(customerPath, "{")
	r.Header.Set("Traceparent", "nonsense")
	if a := read(t, do(h, r)); len(a.TraceID) != 32 || a.TraceID == traceID {
		t.Errorf("traceId = %q, want a new one", a.TraceID)
	}
}

// counting is a Metrics that keeps the last request.
type counting struct {
	method, route string
	status        int
	inFlight      int
}

func (m *counting) Request(method, route string, status int, _ time.Duration) {
	m.method, m.route, m.status = method, route, status
}
func (m *counting) InFlight(n int) { m.inFlight += n }
func (m *counting) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics 1\n") })
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := &counting{}
	h := open(good(), Options{Metrics: m, Keys: []Key{{Name: "shop"}}})
	if w := do(h, get("/metrics")); w.Code != http.StatusOK || w.Body.String() != "metrics 1\n" {
		t.Errorf("scrape: %d %q", w.Code, w.Body)
	}
	for _, tt := range []struct {
		request *http.Request
		want    counting
	}{
		{put(customerPath, customer), counting{"PUT", "/v1/customers/:id", 401, 0}},
		{get("/v1/errors/nope"), counting{"GET", "/v1/errors/:code", 404, 0}},
		{get("/nope/lucy"), counting{"GET", unmatched, 404, 0}},
		{httptest.NewRequest("BREW", "/v1/routes", nil), counting{"BREW", unmatched, 405, 0}},
	} {
		do(h, tt.request)
		if *m != tt.want {
			t.Errorf("counted %v, want %v", *m, tt.want)
		}
	}
}

// canary is in everything that a caller can send; none of it may be logged.
const canary = "kanarienvogel"

func TestLogHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	secret := canary + "-secret"
	header := []string{
		"Authorization", "Bearer " + secret, "X-Api-Key", canary, "Prefer", "wait=" + canary, "Idempotency-Key", canary,
		"User-Agent", canary, "Referer", "https://" + canary, "Cookie", canary, "X-Request-Id", canary + "@example.com",
		"X-Forwarded-For", "203.0.113.77", "Tracestate", "a=" + canary, "Accept", canary, "X-" + canary, canary,
	}
	digest := sha256.Sum256([]byte(secret))
	body := `{"note":"` + canary + `","emails":[{"value":"` + canary + `@example.com"}]}`
	requests := map[string]*http.Request{
		"success":      put("/v1/customers/"+canary+"?routes=april", body, header...),
		"bad query":    put("/v1/customers/"+canary+"?"+canary+"="+canary, body, header...),
		"other route":  put("/v1/customers/"+canary+"?routes="+canary, body, header...),
		"bad body":     put("/v1/customers/"+canary, `{"`+canary+`":1}`, header...),
		"bad JSON":     put("/v1/customers/"+canary, canary, header...),
		"bad media":    put("/v1/customers/"+canary, body, append([]string{"Content-Type", canary + "/" + canary}, header...)...),
		"If-Match":     put("/v1/customers/"+canary, body, append([]string{"If-Match", canary}, header...)...),
		"wrong key":    put("/v1/customers/"+canary, body, "Authorization", "Bearer "+canary),
		"no route":     get("/v1/routes/"+canary, header...),
		"no code":      get("/v1/errors/"+canary, header...),
		"no path":      get("/"+canary, header...),
		"no method":    httptest.NewRequest(strings.ToUpper(canary), "/v1/routes", nil),
		"failed route": put("/v1/customers/panic-"+canary, body, header...),
		"patch":        patch("/v1/customers/"+canary, body, header[:2]...),
		"bad patch":    patch("/v1/customers/"+canary, canary, header[:2]...),
		"state":        get("/v1/customers/"+canary, header...),
		"erase":        call(http.MethodDelete, "/v1/customers/"+canary+"/data", "", header...),
		"operation":    get("/v1/operations/"+canary, header...),
		"dead letters": get("/v1/dead-letters?customer="+canary, header...),
		"replay":       call(http.MethodPost, "/v1/dead-letters/replay", `{"customer":"`+canary+`"}`, header[:2]...),
		"bad replay":   call(http.MethodPost, "/v1/dead-letters/replay", `{"`+canary+`":1}`, header[:2]...),
		"pause":        call(http.MethodPost, "/v1/routes/april/pause", `{"reason":"`+canary+`"}`, header[:2]...),
		"bulk":         bulkRequest(`{"id":"`+canary+`"}`+"\n"+canary+"\n"+`{"id":"panic-`+canary+`","`+canary+`":1}`, header...),
	}
	for name, r := range requests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			g := good()
			switch name {
			case "patch", "bad patch", "state", "erase", "operation", "dead letters", "replay", "bad replay", "pause", "bulk":
				g = stored()
			}
			if strings.Contains(r.URL.Path, "panic-") {
				g.panics = struct{ Name string }{canary}
			}
			r.RemoteAddr, r.Host = "203.0.113.77:4711", canary+".example"
			do(open(g, Options{
				Keys: []Key{{Name: "shop", SHA256: digest, Read: true, Write: true}},
				Log:  slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
			}), r)
			if log.Len() == 0 {
				t.Fatal("nothing was logged")
			}
			if got := strings.ToLower(log.String()); strings.Contains(got, canary) || strings.Contains(got, "203.0.113") {
				t.Errorf("the log holds what the caller sent:\n%s", got)
			}
		})
	}
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	digest := sha256.Sum256([]byte("k"))
	h := open(good(), Options{
		Keys: []Key{{Name: "shop", SHA256: digest, Write: true}},
		Log:  slog.New(slog.NewJSONHandler(&log, nil)),
	})
	w := do(h, put(customerPath, customer, "X-Api-Key", "k", "X-Request-Id", "req-1"))
	var line struct {
		Msg, Method, Route, Key, RequestID, TraceID string
		Status, Bytes                               int
		Took                                        int64
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%v:\n%s", err, &log)
	}
	if line.Method != "PUT" || line.Route != "/v1/customers/:id" || line.Key != "shop" || line.RequestID != "req-1" ||
		line.TraceID != traceID || line.Status != 200 || line.Bytes != w.Body.Len() || line.Took <= 0 {
		t.Errorf("line = %+v", line)
	}
}

func TestNewServer(t *testing.T) {
	t.Parallel()
	s := NewServer(ServerConfig{}, http.NotFoundHandler())
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.Addr == "" || s.Handler == nil || s.ErrorLog == nil {
		t.Errorf("a limit is missing: %+v", s)
	}
	s = NewServer(ServerConfig{Addr: ":1", WriteTimeout: time.Hour, MaxHeader: 5}, http.NotFoundHandler())
	if s.Addr != ":1" || s.WriteTimeout != time.Hour || s.MaxHeaderBytes != 5 {
		t.Errorf("what was set is not there: %+v", s)
	}
}
