package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeTime is when a fakeGateway believes to be.
var fakeTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fakeGateway answers paths with JSON, and records what it was asked.
type fakeGateway struct {
	*httptest.Server
	mu    sync.Mutex
	calls []string
}

// asked returns what it was asked: "GET /v1/routes?x=y body".
func (g *fakeGateway) asked() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.calls)
}

// newFakeGateway serves answers by "GET /path": a document, or a status and a
// document after a space.
func newFakeGateway(t *testing.T, answers map[string]string) *fakeGateway {
	t.Helper()
	g := &fakeGateway{}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		g.mu.Lock()
		g.calls = append(g.calls, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
		g.mu.Unlock()
		w.Header().Set("Date", fakeTime.Format(http.TimeFormat))
		answer, ok := answers[r.Method+" "+r.URL.RequestURI()]
		if !ok {
			answer, ok = answers[r.Method+" "+r.URL.EscapedPath()]
		}
		if !ok {
			answer = `404 {"code":"request.not_found","detail":"there is nothing at ` + r.URL.Path + `"}`
		}
		status := http.StatusOK
		if n, err := fmt.Sscanf(answer, "%d ", &status); n == 1 && err == nil {
			_, answer, _ = strings.Cut(answer, " ")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(g.Close)
	return g
}

func TestClientErrors(t *testing.T) {
	t.Parallel()
	quiet := log.New(io.Discard, "", 0)
	serve := func(tlsServer bool, status int, header, body string) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer canary-key" && header == "" {
				body = strings.ReplaceAll(body, "KEY", "with a key")
			}
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		s.Config.ErrorLog = quiet
		if tlsServer {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
			s.StartTLS()
		} else {
			s.Start()
		}
		t.Cleanup(s.Close)
		return s.URL
	}
	hang := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(silent.Close)
	t.Cleanup(func() { close(hang) })
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("canary-key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	secure := serve(true, 200, "", "[]")
	for _, tt := range []struct {
		name    string
		url     string
		args    []string
		environ []string
		code    int
		want    []string
	}{
		{"refused", "http://127.0.0.1:1", nil, nil, exitFailure, []string{"http://127.0.0.1:1: connection refused", "is the gateway running?", "--url", envURL}},
		{"from the environment", "", nil, []string{envURL + "=http://127.0.0.1:1"}, exitFailure, []string{"http://127.0.0.1:1: connection refused"}},
		{"no URL", "127.0.0.1:8080", nil, nil, exitUsage, []string{"--url must be an absolute URL"}},
		{"no URL in the environment", "", nil, []string{envURL + "=gateway"}, exitUsage, []string{envURL + " must be an absolute URL"}},
		{"a password in the URL", "http://me:canary@127.0.0.1:1", nil, nil, exitUsage, []string{"without a user", "--key-file"}},
		{"unknown authority", secure, nil, nil, exitFailure, []string{"an authority that is not known here", "SSL_CERT_FILE"}},
		{"http to https", "http" + strings.TrimPrefix(secure, "https"), nil, nil, exitFailure, []string{"begin the URL with https://"}},
		{"https to http", "https" + strings.TrimPrefix(serve(false, 200, "", "[]"), "http"), nil, nil, exitFailure, []string{"does not speak TLS", "http://"}},
		{"no key", serve(false, 401, "", `{"code":"caller.unauthenticated","detail":"no API key came"}`), nil, nil, exitFailure,
			[]string{"status 401, caller.unauthenticated: no API key came", "--key-file", envKey}},
		{"unknown key", serve(false, 401, "", `{"code":"caller.unauthenticated","detail":"not known, KEY"}`), []string{"--key-file", key}, nil, exitFailure,
			[]string{"not known, with a key", "not the digest that auth.keys lists"}},
		{"key from the environment", serve(false, 403, "", `{"code":"caller.forbidden","detail":"lacks the scope, KEY","errors":[{"field":"route","message":"not yours"}]}`), nil, []string{envKey + "=canary-key"}, exitFailure,
			[]string{"lacks the scope, with a key", "route: not yours", "a key that has the scope"}},
		{"redirect", serve(false, 302, "Location: https://elsewhere.example/", ""), nil, nil, exitFailure, []string{"status 302", "redirects elsewhere"}},
		{"another server", serve(false, 404, "", "<html>not here"), nil, nil, exitFailure, []string{"status 404; that is no answer of a gateway"}},
		{"another server's success", serve(false, 200, "", "<html>welcome"), nil, nil, exitFailure, []string{"not the JSON of a gateway"}},
		{"control characters", serve(false, 503, "", `{"code":"gateway.overloaded","detail":"\u001b[31mred\u001b[0m"}`), nil, nil, exitFailure, []string{"�[31mred"}},
		{"missing key file", "", []string{"--key-file", key + ".none"}, nil, exitUsage, []string{"--key-file", "no such file"}},
		{"empty key file", "", []string{"--key-file", empty}, nil, exitUsage, []string{"is empty"}},
		{"more than a key", "", nil, []string{envKey + "=canary key"}, exitUsage, []string{envKey, "white space"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"status"}, tt.args...)
			if tt.url != "" {
				args = append(args, "--url", tt.url)
			}
			code, out, errs := call(t.Context(), tt.environ, args...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(errs, want) {
					t.Errorf("the message lacks %q: %s", want, errs)
				}
			}
			if strings.Contains(out+errs, "canary") || strings.Contains(out+errs, "\x1b") {
				t.Errorf("the output has the key or a control character: %q", out+errs)
			}
		})
	}
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		p := program{out: io.Discard, err: io.Discard}
		c, err := p.dial(target{url: silent.URL})
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		c.http.Transport.(*http.Transport).ResponseHeaderTimeout = 20 * time.Millisecond
		if _, _, err := c.call(t.Context(), http.MethodGet, "/v1/routes", nil, nil); err == nil || !strings.Contains(err.Error(), "no answer in time; look at GET /readyz") || !passing(err) {
			t.Errorf("silent gateway: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := c.call(ctx, http.MethodGet, "/v1/routes", nil, nil); err != context.Canceled || passing(err) {
			t.Errorf("cancelled call: %v", err)
		}
	})
}

func TestAge(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 125 * time.Minute: "2h5m", 47*time.Hour + time.Minute: "47h1m", 50 * time.Hour: "2d2h",
	} {
		if got := age(fakeTime, fakeTime.Add(-d)); got != want {
			t.Errorf("age of %v = %s, want %s", d, got, want)
		}
	}
	if got := age(fakeTime, time.Time{}); got != "-" {
		t.Errorf("age of no time = %s", got)
	}
}

// lines returns the lines of a text without the white space at their ends and
// between their columns.
func lines(text string) string {
	var all []string
	for line := range strings.Lines(text) {
		all = append(all, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(all, "\n")
}

func TestStatus(t *testing.T) {
	t.Parallel()
	const ready = `{"status":"ready"}`
	at := func(d time.Duration) string { return asText(fakeTime.Add(d)) }
	healthy := `[{"route":"a","provider":"pa","state":{"breaker":"closed"},"backlog":{"due":0,"active":1,"dead":0}},
		{"route":"b","provider":"pb","state":{"breaker":"closed","gate":"not_before","until":` + at(40*time.Second) + `},"backlog":{"due":12,"active":0,"dead":0,"oldest":` + at(-90*time.Second) + `}}]`
	ill := `[{"route":"a","provider":"p","state":{"breaker":"closed","gate":"paused","reason":"migration"},"backlog":{"due":3,"active":0,"dead":2}},
		{"route":"b","provider":"p","state":{"breaker":"open","openUntil":` + at(15*time.Second) + `},"backlog":{"due":0,"active":0,"dead":0}},
		{"route":"c","provider":"p","state":{"breaker":"half_open"},"backlog":{"due":0,"active":0,"dead":0}},
		{"route":"d","provider":"p","state":{"breaker":"closed","gate":"credential","reason":"upstream.unauthenticated"},"backlog":{"due":0,"active":0,"dead":1}}]`
	for _, tt := range []struct {
		name    string
		answers map[string]string
		args    []string
		code    int
		out     string // lines without surplus spaces
		errs    string
	}{
		{"healthy", map[string]string{"GET /v1/routes": healthy, "GET /readyz": ready}, []string{"--check"}, exitOK,
			"ROUTE PROVIDER STATE DUE ACTIVE DEAD OLDEST\na pa ok 0 1 0 -\nb pb throttled until 12:00:40Z (40s) 12 0 0 1m30s", ""},
		{"ill", map[string]string{"GET /v1/routes": ill, "GET /readyz": ready}, nil, exitOK,
			"ROUTE PROVIDER STATE DUE ACTIVE DEAD OLDEST\na p paused: migration 3 0 2 -\nb p breaker open until 12:00:15Z (15s) 0 0 0 -\nc p breaker half open 0 0 0 -\nd p credential refused 0 0 1 -", ""},
		{"ill and checked", map[string]string{"GET /v1/routes": ill, "GET /readyz": ready}, []string{"--check", "--json"}, exitFailure, lines(ill),
			"needs attention: a: paused: migration; a: 2 dead letters; b: breaker open until 12:00:15Z (15s); c: breaker half open; d: credential refused; d: 1 dead letter"},
		{"not ready", map[string]string{"GET /v1/routes": "[]", "GET /readyz": `503 {"code":"gateway.store_unavailable","detail":"the disk is full"}`}, []string{"--check"}, exitFailure,
			"the gateway is not ready: the disk is full\nROUTE PROVIDER STATE DUE ACTIVE DEAD OLDEST\nThe API key may use none of the routes.", "needs attention: the gateway is not ready: the disk is full"},
		{"no ledger", map[string]string{"GET /v1/routes": `[{"route":"a","provider":"p","state":{"breaker":"off"}}]`, "GET /readyz": ready}, []string{"--check"}, exitOK,
			"ROUTE PROVIDER STATE DUE ACTIVE DEAD OLDEST\na p ok - - - -\nThis gateway has no ledger (ledger.driver: none): it keeps nothing, so nothing waits and nothing is a dead letter.", ""},
		{"customer", map[string]string{"GET /v1/customers/c%2F1": `{"customerId":"c/1","version":7,"routes":[
			{"route":"a","provider":"p","state":"synced","desiredVersion":7,"appliedVersion":7,"remoteId":"r1","attempts":1,"warnings":[]},
			{"route":"b","provider":"p","state":"pending","desiredVersion":7,"attempts":2,"nextAttemptAt":` + at(time.Minute) + `,"error":{"code":"upstream.unavailable","detail":"it is down"},"warnings":[]},
			{"route":"c","state":"dead","desiredVersion":7,"appliedVersion":5,"attempts":1,"error":{"code":"upstream.invalid","detail":"refused","errors":[{"pointer":"/name","message":"is too long"}]},"warnings":[]}]}`},
			[]string{"--customer", "c/1", "--check"}, exitFailure,
			"c/1, version 7\nROUTE PROVIDER STATE VERSION CONFIRMED REMOTE ID ATTEMPTS NEXT ATTEMPT ERROR\na p synced 7 7 r1 1 - -\nb p pending 7 - - 2 in 1m0s upstream.unavailable\nc - dead 7 5 - 1 - upstream.invalid\nb: it is down\nc: refused; /name: is too long",
			"needs attention: c: a dead letter, upstream.invalid"},
		{"unknown customer", nil, []string{"--customer", "nobody"}, exitFailure, "", "request.not_found: there is nothing at /v1/customers/nobody"},
		{"no customer", nil, []string{"--customer", ""}, exitUsage, "", "--customer must not be empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newFakeGateway(t, tt.answers)
			code, out, errs := call(t.Context(), nil, append([]string{"status", "--url", g.URL + "/"}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.errs) || (tt.errs == "") != (errs == "") {
				t.Errorf("exit code %d, want %d; standard error: %s\nwant %s", code, tt.code, errs, tt.errs)
			}
			if got := lines(out); got != tt.out {
				t.Errorf("standard output:\n%s\nwant:\n%s", got, tt.out)
			}
		})
	}
}

// asText writes a time as JSON.
func asText(at time.Time) string { return string(asJSON(at)) }

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	letter := func(customer string) string {
		return `{"route":"a","provider":"p","customerId":"` + customer + `","operationId":"op_1","version":7,"diedAt":` + asText(fakeTime.Add(-time.Hour)) + `,"attempts":2,
			"error":{"code":"upstream.invalid","detail":"p: refused","errors":[{"pointer":"/emails/0/value","message":"is taken"}]},
			"history":[{"at":` + asText(fakeTime.Add(-2*time.Hour)) + `,"attempt":1,"requests":3,"op":"create","code":"upstream.unavailable","status":503,"tookMs":1500},
				{"at":` + asText(fakeTime.Add(-time.Hour)) + `,"attempt":2,"requests":1,"op":"create","code":"upstream.invalid","status":422,"upstreamCode":"E7","requestId":"r-9","tookMs":20}]}`
	}
	g := newFakeGateway(t, map[string]string{
		"GET /v1/dead-letters?limit=100":                 `{"deadLetters":[` + letter("c-1") + `],"next":"n+1"}`,
		"GET /v1/dead-letters?cursor=n%2B1&limit=99":     `{"deadLetters":[` + letter("c-2") + `]}`,
		"GET /v1/dead-letters?limit=1":                   `{"deadLetters":[` + letter("c-1") + `],"next":"n+1"}`,
		"GET /v1/dead-letters?code=x&limit=100":          `422 {"code":"request.invalid","detail":"the query is not valid","errors":[{"field":"code","message":"is no code"}]}`,
		"GET /v1/dead-letters?customer=c%261&limit=1000": `{"deadLetters":[]}`,
		"GET /v1/dead-letters?limit=100&route=a&since=2026-01-31T11%3A00%3A00Z&until=2026-02-01T00%3A00%3A00.5Z": `{"deadLetters":[]}`,
	})
	const row = " upstream.invalid 2 1h0m p: refused; /emails/0/value: is taken"
	const none = "There are no dead letters that match."
	for _, tt := range []struct {
		args []string
		code int
		out  string
		errs string
	}{
		{nil, exitOK, "ROUTE CUSTOMER CODE ATTEMPTS AGE MESSAGE\na c-1" + row + "\na c-2" + row, ""},
		{[]string{"--limit", "1"}, exitOK, "ROUTE CUSTOMER CODE ATTEMPTS AGE MESSAGE\na c-1" + row + "\nThere are more: raise --limit, or narrow with --route, --code, --customer, --since and --until.", ""},
		{[]string{"--limit", "1", "--history"}, exitOK, "a c-1 upstream.invalid op_1, 1h0m ago\np: refused; /emails/0/value: is taken\nAT ATTEMPT REQUESTS STEP CODE STATUS PROVIDER'S CODE REQUEST ID TOOK\n" +
			"2026-03-01T10:00:00Z 1 3 create upstream.unavailable 503 - - 1.5s\n2026-03-01T11:00:00Z 2 1 create upstream.invalid 422 E7 r-9 20ms\nThere are more: raise --limit, or narrow with --route, --code, --customer, --since and --until.", ""},
		{[]string{"--customer", "c&1", "--limit", "2000"}, exitOK, none, ""},
		{[]string{"--route", "a", "--since", "2026-01-31T12:00:00+01:00", "--until", "2026-02-01T00:00:00.5Z"}, exitOK, none, ""},
		{[]string{"--code", "x"}, exitFailure, "", "request.invalid: the query is not valid; code: is no code"},
		{[]string{"--limit", "0"}, exitUsage, "", "--limit must be at least 1"},
		{[]string{"--since", "yesterday"}, exitUsage, "", `--since "yesterday" is neither a duration, such as 24h, nor a time`},
		{[]string{"--until", "-1h"}, exitUsage, "", "--until"},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			code, out, errs := call(t.Context(), nil, append([]string{"dead-letters", "--url", g.URL}, tt.args...)...)
			if code != tt.code || !strings.Contains(errs, tt.errs) || (tt.errs == "") != (errs == "") {
				t.Errorf("exit code %d, want %d; standard error: %s\nwant %s", code, tt.code, errs, tt.errs)
			}
			if got := lines(out); got != tt.out {
				t.Errorf("standard output:\n%s\nwant:\n%s", got, tt.out)
			}
		})
	}
	_, out, _ := call(t.Context(), nil, "dead-letters", "--url", g.URL, "--json")
	var list struct{ DeadLetters []deadLetter }
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.DeadLetters) != 2 || len(list.DeadLetters[1].History) != 2 {
		t.Errorf("--json: %v\n%s", err, out)
	}
}

func TestMoment(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{"24h": fakeTime.Add(-24 * time.Hour), "0s": fakeTime, "2026-01-02T03:04:05+01:00": time.Date(2026, 1, 2, 2, 4, 5, 0, time.UTC)} {
		if got, err := moment(text, fakeTime); err != nil || !got.Equal(want) {
			t.Errorf("moment(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestReplay(t *testing.T) {
	t.Parallel()
	const path = "POST /v1/dead-letters/replay"
	for _, tt := range []struct {
		name     string
		args     []string
		terminal bool
		answer   string // typed
		replayed int
		code     int
		asked    string // of the gateway
		out      string
		errs     string
	}{
		{name: "all", args: []string{"--all"}, replayed: 12, asked: path + ` {"all":true}`, out: "Replayed 12 dead letters"},
		{name: "one", args: []string{"--route", "a", "--code", "upstream.invalid", "--customer", "c", "--since", "2026-01-01T00:00:00Z"}, replayed: 1,
			asked: path + ` {"code":"upstream.invalid","customer":"c","route":"a","since":"2026-01-01T00:00:00Z"}`, out: "Replayed 1 dead letter:"},
		{name: "none", args: []string{"--route", "a"}, asked: path + ` {"route":"a"}`, out: "There are no dead letters that match"},
		{name: "json", args: []string{"--all", "--json"}, replayed: 3, asked: path + ` {"all":true}`, out: `{"replayed":3}`},
		{name: "asked", args: []string{"--route", "a"}, terminal: true, answer: "Y\n", replayed: 2, asked: path + ` {"route":"a"}`, out: "Replayed 2", errs: "Send the dead letters with route a at http://"},
		{name: "refused", args: []string{"--all"}, terminal: true, answer: "\n", errs: "Send all dead letters at http://127.0.0.1"},
		{name: "no answer", args: []string{"--all"}, terminal: true, errs: "Nothing is sent."},
		{name: "not asked", args: []string{"--all", "-y"}, terminal: true, replayed: 1, asked: path + ` {"all":true}`, out: "Replayed 1"},
		{name: "nothing said", code: exitUsage, errs: "say which dead letters"},
		{name: "too much said", args: []string{"--all", "--route", "a"}, code: exitUsage, errs: "--all means all of them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newFakeGateway(t, map[string]string{path: fmt.Sprintf(`{"replayed":%d}`, tt.replayed)})
			var out, errs buffer
			p := program{in: strings.NewReader(tt.answer), out: &out, err: &errs, interactive: tt.terminal}
			code := p.run(t.Context(), append([]string{"replay", "--url", g.URL}, tt.args...))
			if code != tt.code || !strings.Contains(out.String(), tt.out) || !strings.Contains(errs.String(), tt.errs) || (tt.errs == "") != (errs.String() == "") {
				t.Errorf("exit code %d, want %d\n%s%s", code, tt.code, &out, &errs)
			}
			if got := strings.Join(g.asked(), "\n"); got != tt.asked {
				t.Errorf("asked %s, want %s", got, tt.asked)
			}
		})
	}
}
