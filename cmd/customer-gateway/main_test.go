package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"customer-gateway/canonical"
	"customer-gateway/config"
	"customer-gateway/config/section"
	"customer-gateway/gateway/transport"
)

// asProgram is the environment variable that makes the test's binary the program,
// for tests that need it as a process.
const asProgram = "CUSTOMER_GATEWAY_TEST_AS_PROGRAM"

// shortSettle is how long such a process waits for what may take effect late.
const shortSettle = 3500 * time.Millisecond

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		settle = shortSettle
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// call runs one command line to its end.
func call(ctx context.Context, environ []string, args ...string) (code int, out, errs string) {
	var stdout, stderr buffer
	p := program{out: &stdout, err: &stderr, environ: environ}
	code = p.run(ctx, args)
	return code, stdout.String(), stderr.String()
}

// The main job, as the README starts it.
func TestDemo(t *testing.T) {
	code, out, errs := call(t.Context(), nil, "demo", "--once", "--addr", "127.0.0.1:0")
	if code != exitOK || errs != "" {
		t.Fatalf("exit code %d, standard error:\n%s", code, errs)
	}
	for _, want := range []string{
		`PUT /v1/customers/lucy-1001 \(a person\): 201 complete`,
		`PUT /v1/customers/acme-2002 \(an organization\): 201 complete`,
		`PUT /v1/customers/kim-3003 .*: 207 partial`,
		`(?s)What each provider now holds.*april-demo +cust_\S+ +lucy\.diamond@example\.com.*capillary-demo +\d+ +lucy-1001.*complyt-demo +\S+ +lucy-1001.*magento-demo +1 +lucy\.diamond@example\.com.*rebilly-demo +lucy-1001`,
		`lucy-1001 +/birthDate .*\bapril, capillary, complyt`,
		`(?s)What rebilly-demo refused of kim-3003.*"code": "upstream\.invalid".*"pointer": "/attributes/favouriteColour"`,
		`curl -i -X PUT http://127\.0\.0\.1:\d+/v1/customers/me-1`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("the output lacks %s:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b[") {
		t.Error("there is colour outside a terminal")
	}
}

// gatewayProcess is a gateway that serve runs, with emulators behind it.
type gatewayProcess struct {
	url       string
	sandboxes sandboxes
	config    string
	stop      func() int // ends it as SIGTERM does and returns the exit code
	log       *buffer
}

// serveSandboxes runs serve with a configuration that reaches new emulators.
func serveSandboxes(t *testing.T, extra string) *gatewayProcess {
	t.Helper()
	boxes, err := startSandboxes("127.0.0.1", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(boxes.close)
	var cfg strings.Builder
	if err := writeRoutes(&cfg, boxes); err != nil {
		t.Fatal(err)
	}
	g := serve(t, strings.TrimSuffix(strings.TrimSpace(cfg.String()), "}")+", "+extra+"}")
	g.sandboxes = boxes
	return g
}

// serve runs serve with a configuration and waits until it is ready.
func serve(t *testing.T, cfg string) *gatewayProcess {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	// The port is free when serve takes it, unless something else is quicker.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()

	ctx, cancel := context.WithCancel(context.Background())
	g := &gatewayProcess{url: "http://" + addr, log: &buffer{}, config: cfg}
	p := program{out: io.Discard, err: g.log}
	ended := make(chan int, 1)
	args := []string{"serve", "-c", file, "--set", "server.addr=" + addr}
	if !strings.Contains(cfg, `"dsn"`) {
		args = append(args, "--set", "ledger.dsn="+filepath.Join(t.TempDir(), "gateway.db"))
	}
	go func() { ended <- p.run(ctx, args) }()
	var once sync.Once
	code := 0
	g.stop = func() int {
		once.Do(func() {
			cancel()
			code = <-ended
			http.DefaultClient.CloseIdleConnections()
		})
		return code
	}
	t.Cleanup(func() { g.stop() })
	for try := 0; ; try++ {
		if code, _, errs := call(t.Context(), nil, "health", "--url", g.url); code == exitOK {
			return g
		} else if try == 200 {
			t.Fatalf("the gateway does not come up: %s\n%s", errs, g.log)
		}
		select {
		case code := <-ended:
			ended <- code // for stop
			t.Fatalf("serve has ended with %d:\n%s", code, g.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

type reply struct {
	status int
	header http.Header
	body   map[string]any
}

func (g *gatewayProcess) put(t *testing.T, id, query, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.url+"/v1/customers/"+id+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, header: resp.Header}
	if err := json.NewDecoder(resp.Body).Decode(&r.body); err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return r
}

// results maps each route to "status code".
func (r reply) results() map[string]string {
	all := map[string]string{}
	list, _ := r.body["results"].([]any)
	for _, e := range list {
		m, _ := e.(map[string]any)
		text := fmt.Sprint(m["status"])
		if problem, ok := m["error"].(map[string]any); ok {
			text += " " + fmt.Sprint(problem["code"])
		}
		all[fmt.Sprint(m["route"])] = text
	}
	return all
}

const person = `{"name":{"givenName":"Lucy","familyName":"Canarysurname"},"emails":[{"value":"lucy.canary@example.com"}],
	"phoneNumbers":[{"value":"+16465550142","type":"mobile"}],
	"addresses":[{"type":"billing","lines":["1 Canarystreet"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}],
	"createdAt":"2026-01-05T10:00:00Z","updatedAt":"2026-02-03T09:07:54Z"}`

// One upsert through real sockets to five emulators, again with a change, then
// with providers failing in different ways.
func TestServe(t *testing.T) {
	g := serveSandboxes(t, `"server": {"deadline": "3s"}, "log": {"level": "debug"}, "ledger": {"driver": "none"}`)

	r := g.put(t, "c-1", "", person)
	if r.status != http.StatusCreated || r.body["outcome"] != "complete" {
		t.Fatalf("first upsert: %d %v", r.status, r.body)
	}
	if got := r.header.Get("Gateway-Outcome"); got != "complete" {
		t.Errorf("Gateway-Outcome = %q", got)
	}
	r = g.put(t, "c-1", "", strings.Replace(person, "Lucy", "Lucinda", 1))
	if r.status != http.StatusOK || r.body["outcome"] != "complete" {
		t.Fatalf("second upsert: %d %v", r.status, r.body)
	}
	for _, box := range g.sandboxes {
		records := box.server.Provider().Records()
		if len(records) != 1 || !bytes.Contains(records[0].Document, []byte("Lucinda")) {
			t.Errorf("%s holds %s, want one record with the new name", box.route, records)
		}
	}

	g.fault(t, "april-demo", `{"kind":"html","status":502}`)
	g.fault(t, "capillary-demo", `{"kind":"reset"}`)
	g.fault(t, "complyt-demo", `{"kind":"hang"}`)
	g.fault(t, "magento-demo", `{"kind":"status","status":429,"header":{"Retry-After":"60"}}`)
	r = g.put(t, "c-1", "", person)
	want := map[string]string{
		"april-demo":     "failed upstream.unavailable",
		"capillary-demo": "unknown upstream.outcome_unknown",
		"complyt-demo":   "failed upstream.unavailable", // it hung on the read: nothing can have changed
		"magento-demo":   "failed upstream.rate_limited",
		"rebilly-demo":   "succeeded",
	}
	got := r.results()
	for route, what := range want {
		if got[route] != what {
			t.Errorf("%s: %s, want %s", route, got[route], what)
		}
	}
	if r.status != http.StatusMultiStatus || r.body["outcome"] != "partial" {
		t.Errorf("status %d, outcome %v, want 207 partial", r.status, r.body["outcome"])
	}
	for _, box := range g.sandboxes {
		box.server.ClearFaults()
	}
	r = g.put(t, "c-1", "?routes=magento-demo", person)
	if r.status != http.StatusServiceUnavailable || r.header.Get("Retry-After") == "" {
		t.Errorf("held route alone: %d %v, want 503 with Retry-After", r.status, r.header)
	}

	metrics := get(t, g.url+"/metrics")
	for _, series := range []string{
		`customer_gateway_results_total{[^}]*route="rebilly-demo",status="succeeded"} 3`,
		`customer_gateway_breaker_state{`,
		`customer_gateway_attempts_total{code="upstream.outcome_unknown"`,
	} {
		if !regexp.MustCompile(series).MatchString(metrics) {
			t.Errorf("/metrics lacks %s", series)
		}
	}
	if code := g.stop(); code != exitOK {
		t.Errorf("exit code %d, want %d", code, exitOK)
	}
	for what, text := range map[string]string{"log": g.log.String(), "metrics": metrics} {
		for _, canary := range []string{"anarysurname", "lucy.canary", "Canarystreet", "16465550142", "c-1", "emulator-key", "sandbox_api_emulator"} {
			if strings.Contains(text, canary) {
				t.Errorf("the %s has %q:\n%s", what, canary, text)
			}
		}
	}
	if !strings.Contains(g.log.String(), "4bf92f3577b34da6a3ce929d0e0e4736") {
		t.Errorf("the log lacks the trace id:\n%s", g.log)
	}
}

// fault scripts a fault of the emulator behind a route.
func (g *gatewayProcess) fault(t *testing.T, route, body string) {
	t.Helper()
	i := slices.IndexFunc(g.sandboxes, func(s *sandbox) bool { return s.route == route })
	resp, err := http.Post(g.sandboxes[i].url+"/_emulator/faults", "application/json", strings.NewReader(body))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("fault: %v %v", resp, err)
	}
	_ = resp.Body.Close()
}

// What providers cannot take is kept over a restart and delivered; the status
// command tells what is left to do.
func TestServeKeeps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ledger", "gateway.db")
	settings := `"log": {"level": "debug"}, "ledger": {"dsn": "` + file + `"}`
	g := serveSandboxes(t, settings)
	g.fault(t, "april-demo", `{"kind":"status","status":503}`)
	g.fault(t, "capillary-demo", `{"kind":"status","status":503}`)
	r := g.put(t, "c-1", "", person)
	if r.status != http.StatusAccepted || r.results()["april-demo"] != "pending upstream.unavailable" || r.results()["magento-demo"] != "succeeded" {
		t.Fatalf("answer: %d %v, want 202 with two routes pending", r.status, r.results())
	}
	operation := r.header.Get("Location")
	code, out, errs := call(t.Context(), nil, "status", "--url", g.url)
	if code != exitOK || !regexp.MustCompile(`april-demo +april +ok +1 +0 +0`).MatchString(out) {
		t.Errorf("status: %d, want one due at april-demo:\n%s%s", code, out, errs)
	}
	if code := g.stop(); code != exitOK {
		t.Fatalf("exit code %d:\n%s", code, g.log)
	}
	for _, box := range g.sandboxes {
		box.server.ClearFaults()
	}
	again := serve(t, g.config)
	deadline := time.After(30 * time.Second)
	for outcome := "pending"; outcome != "complete"; {
		body := get(t, again.url+operation)
		v, err := canonical.Parse([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		outcome = v.Get("outcome").Str()
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			t.Fatalf("after thirty seconds: %s", body)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the ledger's file: %v, %v, want 0600", info.Mode(), err)
	}
	for _, canary := range []string{"anarysurname", "lucy.canary", "Canarystreet", "16465550142", "c-1"} {
		if strings.Contains(g.log.String()+again.log.String(), canary) {
			t.Errorf("the log has %q:\n%s", canary, g.log)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// A request in flight when the gateway is told to end is answered.
func TestShutdownFinishesWhatWasSent(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, `{"customerId":"cust_1","merchantId":"mcht_1"}`)
	}))
	defer upstream.Close()
	g := serve(t, `{"server": {"deadline": "5s"}, "routes": {"a": {"provider": "april", "base_url": "`+upstream.URL+`", "credentials": {"api_key": "sandbox_sk_x"}}}}`)
	answered := make(chan reply, 1)
	go func() { answered <- g.put(t, "c-1", "", person) }()
	<-arrived
	code := make(chan int, 1)
	go func() { code <- g.stop() }()
	for try := 0; ; try++ { // until no new request is taken
		if health, _, _ := call(t.Context(), nil, "health", "--url", g.url); health == exitFailure {
			break
		} else if try == 10_000 {
			t.Fatal("the gateway does not begin to shut down")
		}
	}
	select {
	case code := <-code:
		t.Fatalf("the program has ended with %d before the request was answered", code)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	if code := <-code; code != exitOK {
		t.Errorf("exit code %d, want %d:\n%s", code, exitOK, g.log)
	}
	if r := <-answered; r.status != http.StatusCreated || r.results()["a"] != "succeeded" {
		t.Errorf("the request in flight was answered with %d %v", r.status, r.body)
	}
}

// What is configured is what the server and the routes are built with.
func TestServeDoesAsConfigured(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that the client has gone
		<-r.Context().Done()
	}))
	defer upstream.Close()
	digest := func(key string) string { sum := sha256.Sum256([]byte(key)); return hex.EncodeToString(sum[:]) }
	april := func(more string) string {
		return `{"provider": "april", "base_url": "` + upstream.URL + `", "credentials": {"api_key": "sandbox_sk_x"}` + more + `}`
	}
	g := serve(t, `{"server": {"deadline": "500ms", "max_body": "1KiB", "public_url": "https://gateway.example"}, "ledger": {"driver": "none"}, "auth": {"keys": [
		{"name": "reader", "sha256": "`+digest("reader")+`", "scopes": ["read"], "routes": ["*"]},
		{"name": "limited", "sha256": "`+digest("limited")+`", "scopes": ["read", "write"], "routes": ["a"]}]},
		"routes": {"a": `+april(`, "timeout": "100ms", "retry": {"attempts": 1}, "breaker": {"min_requests": 1, "open_for": "1h"}`)+`, "b": `+april("")+`}}`)
	call := func(method, path, key, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, g.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Api-Key", key)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	for _, tt := range []struct {
		name, method, path, key, body string
		status                        int
		want                          string
	}{
		{"unknown key", "GET", "/v1/routes", "nobody", "", 401, "https://gateway.example/v1/errors/caller.unauthenticated"},
		{"reader reads", "GET", "/v1/routes", "reader", "", 200, `"route":"b"`},
		{"reader writes", "PUT", "/v1/customers/c", "reader", person, 403, "caller.forbidden"},
		{"foreign route", "PUT", "/v1/customers/c?routes=b", "limited", person, 403, "caller.forbidden"},
		{"too large", "PUT", "/v1/customers/c", "limited", `{"note":"` + strings.Repeat("x", 1<<10) + `"}`, 413, "1024 bytes"},
		{"the timeout of an attempt", "PUT", "/v1/customers/c", "limited", person, 504, `"attempts":1`},
		{"the breaker", "PUT", "/v1/customers/c", "limited", person, 503, "route.circuit_open"},
	} {
		if status, body := call(tt.method, tt.path, tt.key, tt.body); status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, status, body, tt.status, tt.want)
		}
	}
}

func TestTransportConfig(t *testing.T) {
	t.Parallel()
	base := &url.URL{Scheme: "https", Host: "api.example"}
	got := transportConfig(config.Route{
		Name: "a", Provider: "p", BaseURL: base, Timeout: time.Second, Limit: config.Limit{Rate: section.Rate{Count: 300, Per: time.Minute}, Burst: 7, Concurrency: 9},
		Breaker: config.Breaker{Off: true, Window: 2 * time.Second, MinRequests: 3, FailureRatio: 0.4, OpenFor: 5 * time.Second},
		Retry:   config.Retry{Attempts: 6, Base: 8 * time.Second},
	}, 11*time.Second)
	want := transport.Config{
		Route: "a", Provider: "p", BaseURL: base, Timeout: time.Second, Deadline: 11 * time.Second, Limit: transport.Limit{Rate: 5, Burst: 7, Concurrency: 9},
		Breaker: transport.Breaker{Off: true, Window: 2 * time.Second, MinRequests: 3, FailureRatio: 0.4, OpenFor: 5 * time.Second},
		Retry:   transport.Retry{Attempts: 6, Base: 8 * time.Second},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("transportConfig = %+v, want %+v", got, want)
	}
}

func TestCommandLine(t *testing.T) {
	good := filepath.Join(t.TempDir(), "good.yaml")
	if err := os.WriteFile(good, []byte("routes: {a: {provider: april, base_url: http://127.0.0.1:1, credentials: {api_key: \"${env:APRIL}\"}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("serverr: {}\nroutes: {a: {provider: aprill, base_url: ftp://x}, b: {provider: april, base_url: https://api.au.meetapril.io, credentials: {api_key: sandbox_sk_canary}}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	april := []string{"APRIL=sandbox_sk_x"}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "<html>I am a teapot", http.StatusTeapot)
	}))
	defer other.Close()
	for _, tt := range []struct {
		args    []string
		environ []string
		code    int
		want    []string // in both outputs together
	}{
		{[]string{}, nil, exitOK, []string{"Available Commands", "demo", "serve", "check", "sandbox", "version"}},
		{[]string{"version"}, nil, exitOK, []string{"customer-gateway "}},
		{[]string{"nonsense"}, nil, exitUsage, []string{`unknown command "nonsense"`}},
		{[]string{"demo", "--nonsense"}, nil, exitUsage, []string{"--nonsense", "customer-gateway demo --help"}},
		{[]string{"check", "extra"}, nil, exitUsage, []string{"takes no arguments"}},
		{[]string{"check", "-c", good}, april, exitOK, []string{"april", "5/s", good + ": good", "warning: " + good + ": auth"}},
		{[]string{"check", "-c", good}, nil, exitUsage, []string{"routes.a.credentials.api_key", "APRIL", "1 fault"}},
		{[]string{"check", "-c", bad}, nil, exitUsage, []string{`serverr`, `server`, "routes.a.base_url", "routes.b.credentials.api_key", "3 faults"}},
		{[]string{"check", "-c", good, "--set", "nonsense"}, april, exitUsage, []string{"KEY=VALUE"}},
		{[]string{"check", "-c", "missing.yaml"}, nil, exitUsage, []string{"missing.yaml does not exist", "check --example > missing.yaml"}},
		{[]string{"check", "--example"}, nil, exitOK, []string{"rebilly-eu:", "server:"}},
		{[]string{"serve", "-c", bad}, nil, exitUsage, []string{"nothing was started"}},
		{[]string{"serve", "-c", good, "--set", "server.addr=" + strings.TrimPrefix(other.URL, "http://")}, april, exitFailure, []string{"cannot listen on server.addr", "--set server.addr="}},
		{[]string{"health", "--url", "http://127.0.0.1:1"}, nil, exitFailure, []string{"connection refused: is the gateway running?"}},
		{[]string{"health"}, []string{"CUSTOMER_GATEWAY_URL=" + other.URL}, exitFailure, []string{"not ready: ", "status 418"}},
		{[]string{"health", "--url", other.URL}, nil, exitFailure, []string{"not ready: ", "status 418", "that is no answer of a gateway"}},
		{[]string{"health", "--url", "127.0.0.1:1"}, nil, exitUsage, []string{"must be an absolute URL"}},
		{[]string{"--version"}, nil, exitOK, []string{"customer-gateway version "}},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, errs := call(t.Context(), tt.environ, tt.args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("the output lacks %q:\n%s%s", want, out, errs)
				}
			}
			if strings.Contains(out+errs, "canary") {
				t.Errorf("the output has a credential:\n%s%s", out, errs)
			}
		})
	}
}
