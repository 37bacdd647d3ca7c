package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
)

// lineAnswer is an answer to a line, as a client reads it.
type lineAnswer struct {
	Line, Status, RetryAfter int
	ID, OperationID, Outcome string
	Results                  []struct{ Route, Status string }
	Error                    *answer
}

// readLines reads the answers, in the order of the lines.
func readLines(t *testing.T, body string) []lineAnswer {
	t.Helper()
	var all []lineAnswer
	for text := range strings.Lines(body) {
		var l lineAnswer
		if err := json.Unmarshal([]byte(text), &l); err != nil || !strings.HasSuffix(text, "\n") {
			t.Fatalf("answer is no line of JSON: %v\n%s", err, text)
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b lineAnswer) int { return a.Line - b.Line })
	return all
}

func TestBulk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line string
		status     int
		id         string
		code       canonical.Code
		pointer    string // of the first of errors[]
	}{
		{"good", `{"id":"a","note":"x"}`, 200, "a", "", ""},
		{"spaces around", "  {\"id\":\"b\"}\t\r", 200, "b", "", ""},
		{"any id", `{"id":"a/b ü"}`, 200, "a/b ü", "", ""},
		{"not JSON", `{"id":"c",`, 400, "", canonical.RequestMalformed, ""},
		{"two objects", `{"id":"c"}{"id":"d"}`, 400, "", canonical.RequestMalformed, ""},
		{"list", `[{"id":"c"}]`, 400, "", canonical.RequestMalformed, ""},
		{"text", `"c"`, 400, "", canonical.RequestMalformed, ""},
		{"null", `null`, 400, "", canonical.RequestMalformed, ""},
		{"byte order mark", "\xef\xbb\xbf{\"id\":\"c\"}", 400, "", canonical.RequestMalformed, ""},
		{"invalid UTF-8", "{\"id\":\"c\",\"note\":\"\xff\"}", 400, "", canonical.RequestMalformed, "/note"},
		{"twice the same", `{"id":"c","id":"d"}`, 400, "", canonical.RequestMalformed, "/id"},
		{"no id", `{"note":"x"}`, 422, "", canonical.RequestInvalid, "/id"},
		{"no id and more", `{"emials":[]}`, 422, "", canonical.RequestInvalid, "/id"},
		{"null id", `{"id":null}`, 422, "", canonical.RequestInvalid, "/id"},
		{"number as id", `{"id":7}`, 400, "", canonical.RequestMalformed, "/id"},
		{"bad id", `{"id":".."}`, 422, "", canonical.RequestInvalid, "/id"},
		{"long id", `{"id":"` + strings.Repeat("x", 129) + `"}`, 422, "", canonical.RequestInvalid, "/id"},
		{"unknown member", `{"id":"e","emials":[]}`, 422, "e", canonical.RequestInvalid, "/emials"},
		{"too long", `{"id":"f","note":"` + strings.Repeat("x", 1000) + `"}`, 413, "", canonical.RequestTooLarge, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// What comes after a bad line is not harmed, wherever the line stands.
			for _, body := range []string{tt.line, tt.line + "\n", "\n \t\r\n" + tt.line + "\n" + `{"id":"last"}`} {
				g := good()
				w := do(open(g, Options{MaxBody: 1000}), bulkRequest(body))
				h := w.Header()
				if w.Code != 200 || h.Get("Content-Type") != ndjson || h.Get("Cache-Control") != "no-store" || h.Get("X-Request-Id") == "" || !w.Flushed {
					t.Fatalf("status %d, %v:\n%s", w.Code, h, w.Body)
				}
				all := readLines(t, w.Body.String())
				first, upserts := 1, 0
				if len(body) > len(tt.line)+1 {
					if first = 3; len(all) != 2 || all[1].Line != 4 || all[1].ID != "last" || all[1].Status != 200 {
						t.Fatalf("answers = %+v, want the last", all)
					}
					all, upserts = all[:1], 1
				}
				if len(all) != 1 || all[0].Line != first || all[0].ID != tt.id || all[0].Status != tt.status {
					t.Fatalf("answers = %+v, want line %d with %d", all, first, tt.status)
				}
				if tt.code == "" {
					upserts++
					if all[0].Error != nil || all[0].OperationID != "op_01J9" || all[0].Outcome != "complete" || len(all[0].Results) != 1 {
						t.Errorf("no envelope:\n%s", w.Body)
					}
				} else if p := all[0].Error; p == nil || p.Code != tt.code || p.Status != tt.status || p.Detail == "" || p.TraceID != traceID ||
					tt.pointer != "" && (len(p.Errors) == 0 || p.Errors[0].Pointer != tt.pointer) {
					t.Errorf("error = %+v, want %s about %s", p, tt.code, tt.pointer)
				} else if about := map[string]bool{}; true {
					for _, f := range p.Errors {
						if about[f.Pointer] {
							t.Errorf("%s is complained about twice: %v", f.Pointer, p.Errors)
						}
						about[f.Pointer] = true
					}
				}
				if n, _ := g.calls(); n != upserts {
					t.Errorf("%d upserts, want %d", n, upserts)
				}
			}
		})
	}
}

func TestBulkOfNothing(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "\n", " \n\r\n\t"} {
		r := bulkRequest(body)
		r.Header.Set("Content-Type", "application/jsonl; charset=utf-8")
		if w := do(open(good(), Options{}), r); w.Code != 200 || w.Body.Len() != 0 {
			t.Errorf("%q: status %d:\n%s", body, w.Code, w.Body)
		}
	}
}

// TestAllFaultsOfALine holds that a line without an id is looked at to its end.
func TestAllFaultsOfALine(t *testing.T) {
	t.Parallel()
	all := readLines(t, do(open(good(), Options{}), bulkRequest(`{"emials":[],"gender":"?"}`)).Body.String())
	if len(all) != 1 || all[0].Error == nil || len(all[0].Error.Errors) != 3 {
		t.Errorf("answers = %+v, want three faults", all)
	}
}

// TestBulkCommands holds what the head of a bulk request means for its lines.
func TestBulkCommands(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name          string
		stateless     bool
		query         string
		prefer        string
		async, strict bool
		wait          time.Duration
		routes        string
		applied       string
	}{
		{name: "durable", async: true},
		{name: "respond-async", prefer: "respond-async", async: true, applied: "respond-async"},
		{name: "wait=0", prefer: "wait=0", async: true, applied: "wait=0"},
		{name: "wait", prefer: "wait=5", wait: 5 * time.Second, applied: "wait=5"},
		{name: "strict", prefer: "handling=strict", async: true, strict: true, applied: "handling=strict"},
		{name: "routes", query: "?routes=april,rebilly-eu", async: true, routes: "april rebilly-eu"},
		{name: "without a ledger", stateless: true, prefer: "respond-async"},
		{name: "without a ledger, wait", stateless: true, prefer: "wait=5", wait: 5 * time.Second, applied: "wait=5"},
	} {
		g := good()
		g.durable = !tt.stateless
		r := call("POST", "/v1/customers/bulk"+tt.query, `{"id":"a","note":"x"}`, "Content-Type", ndjson, "Prefer", tt.prefer)
		w := do(open(g, Options{}), r)
		n, cmd := g.calls()
		if n != 1 || cmd.Async != tt.async || cmd.Strict != tt.strict || cmd.Wait != tt.wait || strings.Join(cmd.Routes, " ") != tt.routes {
			t.Errorf("%s: %d upserts, %+v", tt.name, n, cmd)
		}
		if cmd.Customer.ID.Value() != "a" || string(cmd.Body) != `{"id":"a","note":"x"}` || cmd.Key != nil {
			t.Errorf("%s: customer %v, body %s, key %v", tt.name, cmd.Customer.ID, cmd.Body, cmd.Key)
		}
		if got := w.Header().Get("Preference-Applied"); got != tt.applied {
			t.Errorf("%s: Preference-Applied = %q, want %q", tt.name, got, tt.applied)
		}
	}
}

// TestBulkKeys holds that each line has a key of its own, and the same one if the
// body is sent again.
func TestBulkKeys(t *testing.T) {
	t.Parallel()
	keys := func(body, name string) map[string]gateway.Command {
		g := stored()
		do(open(g, Options{Keys: []Key{key("shop", "shop", true, true)}}), bulkRequest(body, "Idempotency-Key", name, "X-Api-Key", "shop"))
		byID := map[string]gateway.Command{}
		for _, cmd := range g.cmds {
			byID[cmd.Customer.ID.Value()] = cmd
		}
		return byID
	}
	first := keys("{\"id\":\"a\"}\n\n{\"id\":\"b\"}\n", "k")
	again := keys("{ \"id\":\"a\"}\nnonsense\n{\"id\":\"b\"}", `"k"`)
	for id, n := range map[string]int{"a": 1, "b": 3} {
		got := first[id].Key
		if want := keyOf(t, put("/v1/customers/"+id, "{}", "Idempotency-Key", "k/"+strconv.Itoa(n), "X-Api-Key", "shop")); got == nil || got.Digest != want.Digest || got.Scope != "shop" || got.Keep != keepKey {
			t.Fatalf("%s: key = %+v", id, got)
		}
		if *got != *again[id].Key {
			t.Errorf("%s: sent again it is another request", id)
		}
	}
	if first["a"].Key.Digest == first["b"].Key.Digest || first["a"].Key.Fingerprint == first["b"].Key.Fingerprint {
		t.Error("two lines have one key")
	}
	if moved := keys("{\"id\":\"b\"}", "k"); moved["b"].Key.Fingerprint == first["a"].Key.Fingerprint {
		t.Error("another customer at a line is the same request")
	}
}

// TestBulkAnswers holds that a line is answered as a PUT would be.
func TestBulkAnswers(t *testing.T) {
	t.Parallel()
	bad := failed("april", gateway.StatusRejected, canonical.Error{Code: canonical.UpstreamInvalid})
	required := bad
	required.Required = true
	pending := gateway.Result{Route: "magento-de", Provider: "magento", Status: gateway.StatusPending}
	done := succeeded("rebilly-eu", canonical.ActionCreated)
	for _, tt := range []struct {
		name    string
		outcome gateway.Outcome
		results []gateway.Result
		first   bool
		err     error
		prefer  string
		status  int
		code    canonical.Code
		after   int
		again   bool
	}{
		{name: "known", outcome: gateway.OutcomeComplete, results: []gateway.Result{done}, status: 200},
		{name: "first", outcome: gateway.OutcomeComplete, results: []gateway.Result{done}, first: true, status: 201},
		{name: "pending", outcome: gateway.OutcomePending, results: []gateway.Result{pending}, status: 202},
		{name: "partial", outcome: gateway.OutcomePartial, results: []gateway.Result{bad, done}, status: 207},
		{name: "failed", outcome: gateway.OutcomeFailed, results: []gateway.Result{bad}, status: 422, code: canonical.UpstreamInvalid},
		{name: "strict", outcome: gateway.OutcomePartial, results: []gateway.Result{required, done}, prefer: "handling=strict", status: 422, code: canonical.UpstreamInvalid},
		{name: "store", err: &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: 1500 * time.Millisecond}, status: 503, code: canonical.GatewayStoreUnavailable, after: 2, again: true},
		{name: "in flight", err: inFlight{&canonical.Error{Code: canonical.IdempotencyInFlight}, "op_7"}, status: 409, code: canonical.IdempotencyInFlight, after: 1, again: true},
		{name: "another error", err: io.ErrClosedPipe, status: 500, code: canonical.GatewayInternal, again: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := stored()
			g.outcome, g.first = gateway.OutcomeComplete, false
			g.upserted = func(cmd gateway.Command) (*gateway.Envelope, error) {
				e := g.envelope(cmd.Customer.ID.Value())
				if e.CustomerID != "x" {
					return e, nil
				}
				e.Outcome, e.Results, e.First = tt.outcome, tt.results, tt.first
				return e, tt.err
			}
			w := do(open(g, Options{}), bulkRequest("{\"id\":\"a\"}\n{\"id\":\"x\"}\n{\"id\":\"b\"}\n", "Prefer", tt.prefer))
			all := readLines(t, w.Body.String())
			if len(all) != 3 || all[0].Status != 200 || all[2].Status != 200 {
				t.Fatalf("the other lines were harmed:\n%s", w.Body)
			}
			got := all[1]
			if got.Status != tt.status || got.ID != "x" || got.RetryAfter != tt.after {
				t.Errorf("answer = %+v, want status %d, retryAfter %d", got, tt.status, tt.after)
			}
			if (got.Error != nil) != (tt.code != "") || got.Error != nil && (got.Error.Code != tt.code || got.Error.Retryable != tt.again || len(got.Error.Results) != len(tt.results)) {
				t.Errorf("error = %+v, want %q", got.Error, tt.code)
			}
			if tt.code == "" && (got.Outcome != string(tt.outcome) || len(got.Results) != len(tt.results)) {
				t.Errorf("answer = %+v, want an envelope", got)
			}
			if tt.name == "in flight" && got.Error.Instance != "/v1/operations/op_7" {
				t.Errorf("instance = %q", got.Error.Instance)
			}
		})
	}
}

func TestPanicAtALine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	g := good()
	g.upserted = func(cmd gateway.Command) (*gateway.Envelope, error) {
		if cmd.Customer.ID.Value() == canary {
			panic(canary)
		}
		return g.envelope(cmd.Customer.ID.Value()), nil
	}
	w := do(open(g, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}), bulkRequest("{\"id\":\"a\"}\n{\"id\":\""+canary+"\"}\n{\"id\":\""+canary+"\"}\n{\"id\":\"b\"}\n"))
	all := readLines(t, w.Body.String())
	if len(all) != 4 || all[0].Status != 200 || all[3].Status != 200 || all[1].Status != 500 || all[2].Status != 500 || all[1].Error.Code != canonical.GatewayInternal {
		t.Errorf("answers = %+v", all)
	}
	if got := log.String(); !strings.Contains(got, `"panic":"string"`) || !strings.Contains(got, `"route":"/v1/customers/bulk"`) || strings.Contains(got, canary) {
		t.Errorf("log:\n%s", got)
	}
}

// TestCutOffBody holds that a line which was cut off is not taken for a whole one.
func TestCutOffBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		body string
		next int
	}{
		{"{\"id\":\"a\"}\n{\"id\":\"b\"}", 2},
		{"{\"id\":\"a\"}\n\n{\"id\":\"b\"", 3},
		{"{\"id\":\"a\"}\n", 2},
		{"{\"id\":\"a\"}\n" + strings.Repeat("x", 2000), 3}, // line 2 has its answer
	} {
		r := bulkRequest("x")
		r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(tt.body), failing{io.ErrUnexpectedEOF})), -1
		g := good()
		w := do(open(g, Options{MaxBody: 1000}), r)
		all := readLines(t, w.Body.String())
		last := all[len(all)-1]
		if len(all) != tt.next-strings.Count(tt.body, "\n\n") || last.Line != tt.next || last.Status != 0 || last.Error.Status != 400 || last.Error.Code != canonical.RequestMalformed || !strings.Contains(last.Error.Detail, "ended before") {
			t.Errorf("%.30q: answers:\n%s", tt.body, w.Body)
		}
		if n, _ := g.calls(); n != 1 {
			t.Errorf("%.30q: %d upserts, want 1", tt.body, n)
		}
	}
}

// stream is a bulk request over a connection that holds nothing back, in a bubble
// of synctest: what is not read there cannot be written here.
type stream struct {
	t      *testing.T
	conn   net.Conn
	read   *bufio.Reader
	body   io.WriteCloser // in chunks
	answer *http.Response
	lines  *bufio.Scanner
	closed func() // ends the server
}

// listener hands out one connection.
type listener struct {
	conns chan net.Conn
	ended chan struct{}
	once  sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ended:
		return nil, net.ErrClosed
	}
}
func (l *listener) Close() error   { l.once.Do(func() { close(l.ended) }); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial starts a server of h and connects to it.
func dial(t *testing.T, h http.Handler) *stream {
	t.Helper()
	here, there := net.Pipe()
	l := &listener{conns: make(chan net.Conn, 1), ended: make(chan struct{})}
	l.conns <- there
	srv := NewServer(ServerConfig{}, h)
	go func() { _ = srv.Serve(l) }()
	s := &stream{t: t, conn: here, read: bufio.NewReader(here)}
	s.closed = func() {
		_ = here.Close()
		_ = srv.Close()
		<-time.After(time.Second) // which net/http may take to end a connection
	}
	return s
}

// open sends the head of a bulk request and reads that of the answer.
func (s *stream) open(header string) {
	s.t.Helper()
	s.send("POST /v1/customers/bulk HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n" + header + "\r\n")
	s.body = httputil.NewChunkedWriter(s.conn)
	s.receive()
}

func (s *stream) send(raw string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, raw); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stream) receive() {
	s.t.Helper()
	var err error
	if s.answer, err = http.ReadResponse(s.read, nil); err != nil {
		s.t.Fatal(err)
	}
	s.lines = bufio.NewScanner(s.answer.Body)
	s.lines.Buffer(nil, 1<<20)
}

// write sends lines and returns whether they were taken.
func (s *stream) write(lines string) error {
	_, err := io.WriteString(s.body, lines)
	return err
}

// end sends the end of the body.
func (s *stream) end() {
	s.t.Helper()
	if err := s.body.Close(); err == nil {
		s.send("\r\n")
	}
}

// next reads one answer; io.EOF is the proper end.
func (s *stream) next() (l lineAnswer, err error) {
	if !s.lines.Scan() {
		if err = s.lines.Err(); err == nil {
			err = io.EOF
		}
		return l, err
	}
	return l, json.Unmarshal(s.lines.Bytes(), &l)
}

// want reads the next answer and checks it.
func (s *stream) want(line, status int) lineAnswer {
	s.t.Helper()
	l, err := s.next()
	if err != nil || l.Line != line || l.Status != status {
		s.t.Fatalf("answer = %+v, %v, want line %d with %d", l, err, line, status)
	}
	return l
}

func (s *stream) wantEnd() {
	s.t.Helper()
	if l, err := s.next(); err != io.EOF {
		s.t.Fatalf("answer = %+v, %v, want the end", l, err)
	}
}

func line(id string) string { return fmt.Sprintf("{\"id\":%q}\n", id) }

// TestBulkIsFullDuplex holds that the head comes before a line is sent, each
// answer before the next line is, and that the connection can be used again.
func TestBulkIsFullDuplex(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := dial(t, open(good(), Options{BulkConcurrency: 1}))
		defer s.closed()
		for range 2 {
			s.open("")
			if s.answer.StatusCode != 200 || s.answer.Header.Get("Content-Type") != ndjson || s.answer.Close {
				t.Fatalf("head = %+v", s.answer)
			}
			for n := 1; n <= 5; n++ {
				if err := s.write(line("a")); err != nil {
					t.Fatal(err)
				}
				s.want(n, 200)
			}
			s.end()
			s.wantEnd()
		}
	})
}

func TestBulkExpectContinue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := dial(t, open(good(), Options{}))
		defer s.closed()
		s.open("Expect: 100-continue\r\n")
		if s.answer.StatusCode != 100 {
			t.Fatalf("status = %d, want 100", s.answer.StatusCode)
		}
		if err := s.write(line("a")); err != nil {
			t.Fatal(err)
		}
		s.receive()
		s.want(1, 200)
		s.end()
		s.wantEnd()
	})
}

// held is a gateway whose upserts wait until they are let go, one by one.
type held struct {
	*fake
	let chan struct{}
}

func holding() *held {
	h := &held{good(), make(chan struct{})}
	h.upserted = func(cmd gateway.Command) (*gateway.Envelope, error) {
		<-h.let
		return h.envelope(cmd.Customer.ID.Value()), nil
	}
	return h
}

// started returns the customers whose upserts were begun, sorted.
func (h *held) started() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var ids []string
	for _, cmd := range h.cmds {
		ids = append(ids, cmd.Customer.ID.Value()+cmd.Customer.Note.Value())
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

func TestBulkConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := holding()
		s := dial(t, open(g, Options{BulkConcurrency: 3}))
		defer s.closed()
		s.open("")
		go func() {
			for _, id := range strings.Fields("a b c d e f g") {
				_ = s.write(line(id))
			}
			s.end()
		}()
		synctest.Wait()
		if got := g.started(); got != "a b c" {
			t.Errorf("in work: %s, want three", got)
		}
		g.let <- struct{}{}
		if _, err := s.next(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := g.started(); got != "a b c d" {
			t.Errorf("after one has ended: %s, want one more", got)
		}
		close(g.let)
		for range 6 {
			if _, err := s.next(); err != nil {
				t.Fatal(err)
			}
		}
		s.wantEnd()
	})
}

// TestBulkKeepsTheOrderOfACustomer holds that lines of one customer are worked on
// one after the other, and do not hold up those of another.
func TestBulkKeepsTheOrderOfACustomer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := holding()
		s := dial(t, open(g, Options{}))
		defer s.closed()
		s.open("")
		send := func(id, note string) {
			if err := s.write(`{"id":"` + id + `","note":"` + note + "\"}\n"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send("a", "1")
		send("a", "2")
		send("b", "1")
		if got := g.started(); got != "a1 b1" {
			t.Fatalf("in work: %s", got)
		}
		g.let <- struct{}{}
		g.let <- struct{}{}
		for range 2 {
			if _, err := s.next(); err != nil {
				t.Fatal(err)
			}
		}
		send("a", "3")
		if got := g.started(); got != "a1 a2 b1" {
			t.Errorf("after both have ended: %s", got)
		}
		close(g.let)
		s.want(2, 200)
		s.want(4, 200)
		s.end()
		s.wantEnd()
		if got := g.started(); got != "a1 a2 a3 b1" {
			t.Errorf("in the end: %s", got)
		}
	})
}

// large is a gateway whose answers do not fit into any buffer.
func large() *fake {
	g := good()
	g.results[0].RemoteID = strings.Repeat("r", 32<<10)
	return g
}

// TestBulkBackPressure holds that who does not read the answers is not read from,
// and loses nothing by it.
func TestBulkBackPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const places, total = 4, 200
		g := large()
		s := dial(t, open(g, Options{BulkConcurrency: places}))
		defer s.closed()
		s.open("")
		go func() {
			for n := range total {
				_ = s.write(line(strconv.Itoa(n)))
			}
			s.end()
		}()
		synctest.Wait()
		// One answer is being written and has given its place back.
		if n, _ := g.calls(); n != places+1 {
			t.Errorf("%d upserts without a reader, want %d", n, places+1)
		}
		for n := range total {
			if _, err := s.next(); err != nil {
				t.Fatalf("answer %d: %v", n+1, err)
			}
		}
		s.wantEnd()
		if n, _ := g.calls(); n != total {
			t.Errorf("%d upserts, want %d", n, total)
		}
	})
}

// TestBulkReaderThatStaysAway holds that a client which never reads is cut off.
func TestBulkReaderThatStaysAway(t *testing.T) {
	t.Parallel()
	for name, g := range map[string]*fake{"large answers": large(), "small answers": good()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := dial(t, open(g, Options{BulkConcurrency: 2, BulkTimeout: 20 * time.Second}))
				defer s.closed()
				s.open("")
				began := time.Now()
				refused := make(chan error)
				go func() {
					var err error
					for n := 0; err == nil && n < 1000; n++ {
						err = s.write(line(strconv.Itoa(n)))
					}
					refused <- err
				}()
				synctest.Wait()
				before, _ := g.calls()
				err := <-refused
				if took := time.Since(began); err == nil || took < 20*time.Second || took > 21*time.Second {
					t.Errorf("cut off after %v: %v", took, err)
				}
				if after, _ := g.calls(); after != before {
					t.Errorf("%d upserts were begun after the client had been given up", after-before)
				}
			})
		})
	}
}

// TestBulkLongWork holds that lines may take longer than a client may, and that the
// connection survives that.
func TestBulkLongWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := holding()
		s := dial(t, open(g, Options{BulkTimeout: 20 * time.Second}))
		defer s.closed()
		s.open("")
		if err := s.write(line("a")); err != nil {
			t.Fatal(err)
		}
		s.end()
		<-time.After(time.Minute)
		g.mu.Lock()
		err := g.ctxs[0].Err()
		g.mu.Unlock()
		if err != nil {
			t.Errorf("the client has not gone, yet: %v", err)
		}
		close(g.let)
		s.want(1, 200)
		s.wantEnd()
		s.open("")
		s.end()
		s.wantEnd()
	})
}

// TestBulkSlowReader holds that a client may take its time between answers, longer
// than the server's own limits.
func TestBulkSlowReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := dial(t, open(large(), Options{BulkConcurrency: 2, BulkTimeout: 20 * time.Second}))
		defer s.closed()
		s.open("")
		go func() {
			for n := range 20 {
				_ = s.write(line(strconv.Itoa(n)))
			}
			s.end()
		}()
		for n := range 20 {
			<-time.After(15 * time.Second)
			if _, err := s.next(); err != nil {
				t.Fatalf("answer %d: %v", n+1, err)
			}
		}
		s.wantEnd()
	})
}

// TestBulkSlowSender holds that a client may take its time between lines, and that
// one which stops in the middle of one is told where to go on.
func TestBulkSlowSender(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := dial(t, open(good(), Options{BulkTimeout: 20 * time.Second}))
		defer s.closed()
		s.open("")
		for n := 1; n <= 10; n++ {
			<-time.After(15 * time.Second)
			if err := s.write(line("a")); err != nil {
				t.Fatal(err)
			}
			s.want(n, 200)
		}
		if err := s.write(`{"id":"b"`); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if l := s.want(11, 0); l.Error.Code != canonical.RequestMalformed || !strings.Contains(l.Error.Detail, "did not arrive in time") || time.Since(began) > 20*time.Second {
			t.Errorf("answer = %+v after %v", l.Error, time.Since(began))
		}
		s.wantEnd()
		if _, err := s.read.ReadByte(); err != io.EOF || time.Since(began) > 21*time.Second {
			t.Errorf("the connection ended after %v: %v", time.Since(began), err)
		}
	})
}

// TestBulkClientGoes holds that a client that goes away ends the intake, while what
// it has sent is finished.
func TestBulkClientGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := holding()
		var log bytes.Buffer
		s := dial(t, open(g, Options{Log: slog.New(slog.NewJSONHandler(&log, nil))}))
		s.open("")
		if err := s.write(line("a") + line("b") + line("b") + `{"id":"c"}`); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = s.conn.Close()
		synctest.Wait()
		close(g.let)
		synctest.Wait()
		if got := g.started(); got != "a b b" {
			t.Errorf("upserts of %s, want those of whole lines", got)
		}
		if !strings.Contains(log.String(), `"route":"/v1/customers/bulk"`) {
			t.Error("the request has not ended")
		}
		s.closed()
	})
}

// TestBulkShutdown holds that a stream ends at the end of a line when the gateway
// shuts down: what was taken is finished and answered, and the client is told
// where to go on.
func TestBulkShutdown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		places int
		sent   string
		taken  string
		next   int
	}{
		{"between lines", 8, line("a") + "\n" + line("b"), "a b", 4},
		{"within a line", 8, line("a") + line("b") + `{"id":"c"}`, "a b", 3},
		{"all places taken", 2, line("a") + line("b") + line("c") + line("d"), "a b", 3},
		{"nothing sent", 8, "", "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g, closing := holding(), make(chan struct{})
				s := dial(t, open(g, Options{BulkConcurrency: tt.places, Closing: closing}))
				defer s.closed()
				s.open("")
				go func() { _ = s.write(tt.sent) }() // the end of which may not be taken
				synctest.Wait()
				began := time.Now()
				close(closing)
				synctest.Wait()
				if got := g.started(); got != tt.taken {
					t.Errorf("in work: %q, want %q", got, tt.taken)
				}
				close(g.let)
				for range strings.Fields(tt.taken) {
					if l, err := s.next(); err != nil || l.Status != 200 {
						t.Fatalf("answer = %+v, %v", l, err)
					}
				}
				if l := s.want(tt.next, 0); l.Error.Code != canonical.GatewayOverloaded || !l.Error.Retryable || l.RetryAfter < 1 || l.ID != "" {
					t.Errorf("last line = %+v", l)
				}
				s.wantEnd()
				// net/http leaves a moment for the answer to arrive.
				if _, err := s.read.ReadByte(); err != io.EOF || time.Since(began) > time.Second {
					t.Errorf("the connection ended after %v: %v", time.Since(began), err)
				}
			})
		})
	}
}

// TestBulkAfterClosing holds that a stream which comes too late is told so.
func TestBulkAfterClosing(t *testing.T) {
	t.Parallel()
	closing := make(chan struct{})
	close(closing)
	g := good()
	all := readLines(t, do(open(g, Options{Closing: closing}), bulkRequest(line("a"))).Body.String())
	if n, _ := g.calls(); n != 0 || len(all) != 1 || all[0].Line != 1 || all[0].Status != 0 || all[0].Error.Code != canonical.GatewayOverloaded {
		t.Errorf("%d upserts, answers = %+v", n, all)
	}
}

// TestBulkCountsOnce holds that a stream is one of the calls that are limited.
func TestBulkCountsOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := holding()
		h := open(g, Options{MaxInFlight: 2})
		s := dial(t, h)
		defer s.closed()
		s.open("")
		for _, id := range []string{"a", "b", "c"} {
			if err := s.write(line(id)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if w := do(h, get("/v1/routes")); g.started() != "a b c" || w.Code != 200 {
			t.Errorf("in work: %s; beside it status %d", g.started(), w.Code)
		}
		close(g.let)
		s.end()
		for range 3 {
			if _, err := s.next(); err != nil {
				t.Fatal(err)
			}
		}
		s.wantEnd()
	})
}

// TestBulkOverTCP holds that the real thing works with Go's own client, whose body
// is written while the answers are read.
func TestBulkOverTCP(t *testing.T) {
	t.Parallel()
	const total = 5000
	g := good()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(ServerConfig{}, open(g, Options{}))
	srv.Start()
	defer srv.Close()
	out, in := io.Pipe()
	go func() {
		for n := range total {
			if _, err := io.WriteString(in, line(strconv.Itoa(n%700))); err != nil {
				return
			}
		}
		_ = in.Close()
	}()
	resp, err := http.Post(srv.URL+"/v1/customers/bulk", ndjson, out)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen, last := map[int]bool{}, map[string]int{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		var l lineAnswer
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil || l.Status != 200 || l.ID != strconv.Itoa((l.Line-1)%700) || seen[l.Line] {
			t.Fatalf("answer = %+v, %v", l, err)
		}
		if l.Line < last[l.ID] {
			t.Errorf("%s: line %d is answered after line %d", l.ID, l.Line, last[l.ID])
		}
		seen[l.Line], last[l.ID] = true, l.Line
	}
	if err := lines.Err(); err != nil || len(seen) != total {
		t.Errorf("%d answers, %v, want %d", len(seen), err, total)
	}
}

func TestLongLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300<<10)
	l := newLines(strings.NewReader("a\n"+long+"\n\nb\n"+long), 100<<10)
	for i, want := range []string{"a", "!", "", "b", "!"} {
		got, err := l.next()
		if errors.Is(err, errLongLine) {
			got, err = []byte("!"), nil
		}
		if err != nil || string(got) != want || l.n != i+1 {
			t.Fatalf("line %d = %.10q, %v, want %q", l.n, got, err, want)
		}
	}
	if _, err := l.next(); err != io.EOF || l.n != 5 {
		t.Errorf("after the last: %v, line %d", err, l.n)
	}
}
