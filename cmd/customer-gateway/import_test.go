package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/canonical"
)

// errDie is what a fault returns to cut the connection.
var errDie = errors.New("the gateway dies")

// bulkGateway takes customers in bulk as a gateway with a ledger does: a key that
// is known resumes, one that is known for something else is refused.
type bulkGateway struct {
	*httptest.Server
	// fault is asked for every line that has something in it: it returns what is
	// answered instead, or errDie. n counts all lines that were ever read.
	fault func(n, line int, id string) (answer string, err error)

	mu       sync.Mutex
	read     int
	keys     map[string]string   // bodies, by key
	accepted map[string][]string // bodies, by id, in their order
	asked    []string            // the key of every request, and what else it said
}

func newBulkGateway(t *testing.T) *bulkGateway {
	t.Helper()
	g := &bulkGateway{keys: map[string]string{}, accepted: map[string][]string{}}
	g.Server = httptest.NewServer(http.HandlerFunc(g.serve))
	t.Cleanup(g.Close)
	return g
}

func (g *bulkGateway) serve(w http.ResponseWriter, r *http.Request) {
	key, err := strconv.Unquote(r.Header.Get("Idempotency-Key"))
	if r.Method != http.MethodPost || r.URL.Path != "/v1/customers/bulk" || r.Header.Get("Content-Type") != "application/x-ndjson" || err != nil {
		http.Error(w, "no bulk request", http.StatusBadRequest)
		return
	}
	_ = http.NewResponseController(w).EnableFullDuplex()
	g.mu.Lock()
	g.asked = append(g.asked, strings.TrimSpace(key+" "+r.URL.RawQuery+" "+r.Header.Get("Prefer")))
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-ndjson")
	in := bufio.NewReader(r.Body)
	for line := 1; ; line++ {
		body, err := in.ReadBytes('\n')
		if body = bytes.TrimSpace(body); len(body) > 0 {
			answer, err := g.line(key, line, string(body))
			if err != nil {
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}
			_, _ = fmt.Fprintln(w, answer)
			if strings.HasPrefix(answer, `{"line":`) && strings.Contains(answer, "shutting down") {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// line takes one line and returns its answer.
func (g *bulkGateway) line(key string, line int, body string) (string, error) {
	var customer struct{ ID string }
	if err := json.Unmarshal([]byte(body), &customer); err != nil {
		return "", err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.read++
	if g.fault != nil {
		if answer, err := g.fault(g.read, line, customer.ID); answer != "" || err != nil {
			return answer, err
		}
	}
	key += "/" + strconv.Itoa(line)
	switch before, known := g.keys[key]; {
	case known && before != body:
		return refusal(line, customer.ID, 422, canonical.IdempotencyKeyReused, false), nil
	case !known:
		g.keys[key] = body
		g.accepted[customer.ID] = append(g.accepted[customer.ID], body)
	}
	return fmt.Sprintf(`{"line":%d,"id":%q,"status":202,"operationId":"op_1","outcome":"pending","results":[{"route":"a","status":"pending"}]}`, line, customer.ID), nil
}

// refusal is the answer to a line with an error.
func refusal(line int, id string, status int, code canonical.Code, again bool) string {
	return fmt.Sprintf(`{"line":%d,"id":%q,"status":%d,"error":{"type":"/v1/errors/x","status":%[3]d,"code":%q,"detail":"a detail","retryable":%t}}`, line, id, status, code, again)
}

// holds returns what the gateway was last told of every customer.
func (g *bulkGateway) holds() map[string]string {
	g.mu.Lock()
	defer g.mu.Unlock()
	newest := map[string]string{}
	for id, bodies := range g.accepted {
		newest[id] = bodies[len(bodies)-1]
	}
	return newest
}

// importRun is an import with a small chunk, and pauses that do not last.
type importRun struct {
	importer
	out, errs buffer
	pauses    []time.Duration
	clock     time.Time
}

func newImport(t *testing.T, g *bulkGateway, file string) *importRun {
	t.Helper()
	r := &importRun{clock: fakeTime}
	r.importer = importer{
		program: &program{in: strings.NewReader(""), out: &r.out, err: &r.errs},
		file:    file, rows: 4, giveUp: 5 * time.Minute, delimiter: ",", empty: "absent",
		now: func() time.Time { return r.clock },
		wait: func(ctx context.Context, d time.Duration) error {
			r.pauses = append(r.pauses, d)
			r.clock = r.clock.Add(d)
			return ctx.Err()
		},
	}
	if g != nil {
		c, err := r.dial(target{url: g.URL})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.close)
		r.client = c
	}
	return r
}

// start reads the flags and imports.
func (r *importRun) start(ctx context.Context) error {
	if err := r.readFlags(); err != nil {
		return err
	}
	return r.run(ctx)
}

// write makes a file.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// people is a file of n customers.
func people(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"id\":\"c-%d\",\"name\":{\"givenName\":\"G%[1]d\"}}\n", i)
	}
	return b.String()
}

// gone reports whether there is no such file.
func gone(name string) bool {
	_, err := os.Stat(name)
	return errors.Is(err, fs.ErrNotExist)
}

func TestImport(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	file := write(t, "customers.ndjson", "\ufeff"+people(5)+"\n\r\n"+`{"id":"bad","emails":[{"value":"x"}],"nickname":"y"}`+"\n{]\n"+`{"name":{}}`+"\r\n[1]\n"+
		`{"id":7}`+"\n"+`{"id":"a\u0000b"}`+"\n"+`{"id":"last","note":"without a line break"}`)
	code, out, errs := call(t.Context(), nil, "import", file, "--url", g.URL, "--routes", "b,a", "--strict")
	if code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if want := file + ": 12 customers: 6 accepted, 6 refused\n  CODE               TIMES\n  request.invalid    3\n  request.malformed  3\n"; out != want {
		t.Errorf("summary:\n%s\nwant:\n%s", out, want)
	}
	if want := "6 of 12 customers were refused or failed at a route; they are in " + file + ".rejected.ndjson"; !strings.Contains(errs, want) {
		t.Errorf("standard error: %s\nwant %s", errs, want)
	}
	if got := slices.Sorted(maps.Keys(g.holds())); !slices.Equal(got, []string{"c-0", "c-1", "c-2", "c-3", "c-4", "last"}) {
		t.Errorf("accepted %v", got)
	}
	if len(g.asked) != 1 || !strings.HasSuffix(g.asked[0], " routes=a%2Cb handling=strict") {
		t.Errorf("asked %q", g.asked)
	}
	if !gone(file + ".import-progress") {
		t.Error("the progress file is still there")
	}
	info, err := os.Stat(file + ".rejected.ndjson")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file of refused lines: %v, %v", info, err)
	}
	data, err := os.ReadFile(file + ".rejected.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(data)) {
		var r struct {
			Line  int
			ID    string
			Error problem
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("%d %s %s", r.Line, r.ID, r.Error.Code)
		for _, f := range r.Error.Errors {
			text += " " + f.Pointer
		}
		got = append(got, text)
	}
	want := []string{
		"8 bad request.invalid /emails/0/value /nickname", "9  request.malformed ", "10  request.invalid /id", "11  request.malformed ",
		"12  request.malformed /id", "13 a\x00b request.invalid /id",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("refused:\n%q\nwant:\n%q", got, want)
	}
}

// The same file twice is taken once, and again after --restart.
func TestImportTwice(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	file := write(t, "customers.ndjson", people(6))
	for i, want := range []int{1, 1, 2} {
		r := newImport(t, g, file)
		r.restart = i == 2
		if err := r.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(g.accepted["c-5"]); got != want {
			t.Errorf("import %d: c-5 was accepted %d times, want %d", i+1, got, want)
		}
		if want := file + ": 6 customers: 6 accepted, 0 refused\n"; r.out.String() != want {
			t.Errorf("summary %q, want %q", &r.out, want)
		}
	}
	if g.asked[0] != g.asked[2] || g.asked[1] != g.asked[3] || g.asked[0] == g.asked[1] || g.asked[0] == g.asked[4] {
		t.Errorf("keys: %q", g.asked)
	}
	r := newImport(t, g, file)
	r.strict = true
	if err := r.start(t.Context()); err != nil || g.asked[0] == g.asked[6] {
		t.Errorf("with other flags: %v, key %s, want another than %s", err, g.asked[6], g.asked[0])
	}
}

// An import that is killed at any line goes on with the same keys, and nothing that
// somebody else has written meanwhile is overwritten.
func TestImportResumes(t *testing.T) {
	t.Parallel()
	const n = 11
	var keys []string
	for kill := range n {
		t.Run(strconv.Itoa(kill), func(t *testing.T) {
			g := newBulkGateway(t)
			file := write(t, "customers.ndjson", people(n-1)+`{"id":"bad","nickname":"x"}`+"\n")
			ctx, cancel := context.WithCancel(t.Context())
			g.fault = func(read, _ int, _ string) (string, error) {
				if read == kill+1 {
					cancel() // as a kill does, nothing is saved after it
					return "", errDie
				}
				return "", nil
			}
			r := newImport(t, g, file)
			err := r.start(ctx)
			if kill < n-1 {
				at := kill/4*4 + 1
				if want := fmt.Sprintf("stopped before line %d: interrupted; the same command goes on there", at); err == nil || err.Error() != want {
					t.Fatalf("first run: %v, want %s", err, want)
				}
				info, err := os.Stat(file + ".import-progress")
				if err != nil || info.Mode().Perm() != 0o600 {
					t.Fatalf("progress file: %v, %v", info, err)
				}
			}
			g.mu.Lock()
			g.fault = nil
			for id := range g.accepted { // somebody else is quicker
				g.accepted[id] = append(g.accepted[id], "newer")
			}
			newer := maps.Clone(g.accepted)
			g.mu.Unlock()
			if kill < n-1 {
				r = newImport(t, g, file)
				err = r.start(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), "1 of 11 customers were refused") {
				t.Errorf("second run: %v, want a refused line", err)
			}
			if want := file + ": 11 customers: 10 accepted, 1 refused\n"; !strings.HasPrefix(r.out.String(), want) {
				t.Errorf("summary %q, want %q", &r.out, want)
			}
			for i := range n - 1 {
				id := "c-" + strconv.Itoa(i)
				want := 1
				if newer[id] != nil {
					want = 2
				}
				if got := g.accepted[id]; len(got) != want {
					t.Errorf("%s was accepted as %q", id, got)
				}
			}
			rejected, err := os.ReadFile(file + ".rejected.ndjson")
			if err != nil || bytes.Count(rejected, []byte("\n")) != 1 {
				t.Errorf("refused lines: %s, %v", rejected, err)
			}
			// Those of the chunks, whatever happened on the way.
			got := slices.Compact(slices.Sorted(slices.Values(g.asked)))
			if keys == nil {
				keys = got
			}
			if !slices.Equal(got, keys) || len(got) != 3 {
				t.Errorf("keys %q, want %q", got, keys)
			}
		})
	}
}

// What was written of a chunk that is not settled does not count.
func TestImportDropsHalfARejectedFile(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	bad := `{"id":"bad","nickname":"x"}` + "\n"
	file := write(t, "customers.ndjson", bad+people(3)+bad+people(5))
	ctx, cancel := context.WithCancel(t.Context())
	g.fault = func(read, _ int, _ string) (string, error) {
		if read == 5 {
			cancel()
			return "", errDie
		}
		return "", nil
	}
	if err := newImport(t, g, file).start(ctx); err == nil || !strings.Contains(err.Error(), "before line 5") {
		t.Fatal(err)
	}
	f, err := os.OpenFile(file+".rejected.ndjson", os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"line":5,"err`)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	g.fault = nil
	if err := newImport(t, g, file).start(t.Context()); err == nil || !strings.Contains(err.Error(), "2 of 10") {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file + ".rejected.ndjson")
	if err != nil || !strings.HasPrefix(string(data), `{"line":1,"id":"bad",`) || strings.Count(string(data), "\n") != 2 || !strings.Contains(string(data), "\n"+`{"line":5,"id":"bad","error":{`) {
		t.Errorf("refused lines: %s, %v", data, err)
	}
}

// A gateway that dies, is busy or shuts down is waited for; only what it has not
// settled is sent again, under the same keys.
func TestImportRetries(t *testing.T) {
	t.Parallel()
	busy := func(line int, id string) string {
		return refusal(line, id, 503, canonical.GatewayStoreUnavailable, true)
	}
	for _, tt := range []struct {
		name  string
		fault func(g *bulkGateway) func(n, line int, id string) (string, error)
		reads int // lines with something in them, of 8
		note  string
	}{
		{"dies after a line", func(*bulkGateway) func(int, int, string) (string, error) {
			return func(n, _ int, _ string) (string, error) {
				if n == 3 {
					return "", errDie
				}
				return "", nil
			}
		}, 8 + 1, "trying again in"},
		{"store unavailable for one line", func(*bulkGateway) func(int, int, string) (string, error) {
			return func(n, line int, id string) (string, error) {
				if id == "c-1" && n < 9 {
					return busy(line, id), nil
				}
				return "", nil
			}
		}, 8 + 5, "gateway.store_unavailable: a detail; trying again"},
		{"shuts down", func(*bulkGateway) func(int, int, string) (string, error) {
			return func(n, line int, _ string) (string, error) {
				if n == 2 {
					return fmt.Sprintf(`{"line":%d,"error":{"code":"gateway.overloaded","detail":"the gateway is shutting down","retryable":true}}`, line), nil
				}
				return "", nil
			}
		}, 8 + 1, "gateway.overloaded: the gateway is shutting down"},
		{"in flight", func(*bulkGateway) func(int, int, string) (string, error) {
			return func(n, line int, id string) (string, error) {
				if n == 2 {
					return refusal(line, id, 409, canonical.IdempotencyInFlight, true), nil
				}
				return "", nil
			}
		}, 8 + 1, "idempotency.in_flight"},
		{"a defect that passes", func(*bulkGateway) func(int, int, string) (string, error) {
			return func(n, line int, id string) (string, error) {
				if id == "c-7" && n < 10 {
					return refusal(line, id, 500, canonical.GatewayInternal, true), nil
				}
				return "", nil
			}
		}, 8 + 2, "gateway.internal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newBulkGateway(t)
			g.fault = tt.fault(g)
			r := newImport(t, g, write(t, "customers.ndjson", people(8)))
			if err := r.start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(g.holds()) != 8 {
				t.Errorf("accepted %v", g.holds())
			}
			for id, bodies := range g.accepted {
				if len(bodies) != 1 {
					t.Errorf("%s was accepted %d times", id, len(bodies))
				}
			}
			// A connection that is cut takes answers with it that were on their way.
			if g.read < tt.reads || g.read > tt.reads+2 {
				t.Errorf("%d lines were sent, want %d", g.read, tt.reads)
			}
			if !strings.Contains(r.errs.String(), tt.note) || len(r.pauses) == 0 {
				t.Errorf("notes: %s, want %q; pauses %v", &r.errs, tt.note, r.pauses)
			}
		})
	}
}

// An import stops where trying again makes no sense.
func TestImportStops(t *testing.T) {
	t.Parallel()
	status := http.StatusOK
	var mu sync.Mutex
	answer := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	defer s.Close()
	file := write(t, "customers.ndjson", people(3))
	for _, tt := range []struct {
		status int
		answer string
		want   string
		pauses int // at least
	}{
		{401, `{"code":"caller.unauthenticated","detail":"no key"}`, "stopped before line 1: " + s.URL + ": status 401, caller.unauthenticated: no key; put the key into a file", 0},
		{404, `not here`, "no answer of a gateway", 0},
		{200, `<html>`, "no answer of a gateway", 0},
		{503, `{"code":"gateway.overloaded","detail":"too much to do","retryable":true}`, "given up after 5m0s without progress (--give-up): " + s.URL + ": status 503, gateway.overloaded: too much to do; the same command goes on there", 10},
	} {
		mu.Lock()
		status, answer = tt.status, tt.answer
		mu.Unlock()
		r := newImport(t, nil, file)
		c, err := r.dial(target{url: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		r.client = c
		err = r.start(t.Context())
		c.close()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d: %v, want %s", tt.status, err, tt.want)
		}
		if len(r.pauses) < tt.pauses || tt.pauses == 0 && len(r.pauses) > 0 {
			t.Errorf("%d: pauses %v, want %d", tt.status, r.pauses, tt.pauses)
		}
		for _, p := range r.pauses {
			if p < 20*time.Second || p > maxPause {
				t.Errorf("a pause of %v, want at least the 20 s that were asked for", p)
			}
		}
	}
}

// Lines that the gateway refuses, and routes that fail, are in the file and counted.
func TestImportRefusedByTheGateway(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	tries := 0
	g.fault = func(_, line int, id string) (string, error) {
		switch id {
		case "c-1":
			return refusal(line, id, 413, canonical.RequestTooLarge, false), nil
		case "c-2":
			tries++
			return refusal(line, id, 500, canonical.GatewayInternal, true), nil
		case "c-3":
			return fmt.Sprintf(`{"line":%d,"id":"c-3","status":207,"outcome":"partial","results":[{"route":"a","status":"succeeded"},{"route":"b","status":"rejected","error":{"code":"upstream.invalid","route":"b"}},{"route":"c","status":"pending","error":{"code":"upstream.unavailable"}}]}`, line), nil
		}
		return "", nil
	}
	r := newImport(t, g, write(t, "customers.ndjson", people(6)))
	r.asJSON = true
	err := r.start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "3 of 6 customers were refused or failed at a route") {
		t.Errorf("run: %v", err)
	}
	if tries != maxTries {
		t.Errorf("a line with a defect was sent %d times, want %d", tries, maxTries)
	}
	var got struct {
		totals
		RejectedFile string
	}
	if err := json.Unmarshal([]byte(r.out.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := totals{Customers: 6, Accepted: 4, Failed: 1, Refused: 2, Codes: map[canonical.Code]int64{"request.too_large": 1, "gateway.internal": 1, "upstream.invalid": 1}}
	if fmt.Sprint(got.totals) != fmt.Sprint(want) || got.RejectedFile != r.rejected {
		t.Errorf("summary %+v, want %+v", got, want)
	}
	data, err := os.ReadFile(r.rejected)
	if err != nil || strings.Count(string(data), "\n") != 3 || !strings.Contains(string(data), `{"line":4,"id":"c-3","error":{"code":"upstream.invalid","route":"b"}}`) {
		t.Errorf("refused lines: %s, %v", data, err)
	}
}

// Of several lines of a customer in one chunk, the one that would stand is sent; the
// others only if it is refused.
func TestImportSendsOneOfACustomer(t *testing.T) {
	t.Parallel()
	line := func(note, updatedAt string) string {
		if updatedAt != "" {
			updatedAt = `,"updatedAt":"2026-01-0` + updatedAt + `T00:00:00Z"`
		}
		return `{"id":"c","note":"` + note + `"` + updatedAt + `}` + "\n"
	}
	for _, tt := range []struct {
		name, lines string
		refuse      string // notes
		want        []string
		replaced    int64
	}{
		{"the last", line("1", "") + line("2", "") + line("3", ""), "", []string{"3"}, 2},
		{"not an older one", line("1", "2") + line("2", "1") + line("3", "1"), "", []string{"1"}, 2},
		{"a newer one", line("1", "1") + line("2", "3") + line("3", "2"), "", []string{"2"}, 2},
		{"the last is refused", line("1", "") + line("2", "") + line("3", ""), "3", []string{"2"}, 1},
		{"the newest is refused", line("1", "1") + line("2", "3") + line("3", "2"), "2", []string{"3"}, 1},
		{"the newest two are refused", line("1", "1") + line("2", "3") + line("3", "2"), "2 3", []string{"1"}, 0},
		{"all are refused", line("1", "1") + line("2", "3") + line("3", "2"), "1 2 3", nil, 0},
		{"over chunks", line("1", "") + line("2", "") + people(2) + line("3", ""), "", []string{"2", "3"}, 1},
		{"what is refused at once does not count", line("1", "") + `{"id":"c","nickname":"x"}`, "", []string{"1"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newBulkGateway(t)
			file := write(t, "customers.ndjson", tt.lines)
			g.fault = func(_, n int, id string) (string, error) {
				note := strings.Split(tt.lines, `"note":"`)
				if id == "c" && n < len(note) && strings.Contains(tt.refuse, note[n][:1]) {
					return refusal(n, id, 422, canonical.RequestInvalid, false), nil
				}
				return "", nil
			}
			r := newImport(t, g, file)
			_ = r.start(t.Context())
			var got []string
			for _, body := range g.accepted["c"] {
				var c struct{ Note string }
				_ = json.Unmarshal([]byte(body), &c)
				got = append(got, c.Note)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("accepted %v, want %v", got, tt.want)
			}
			if replaced := fmt.Sprintf("%d replaced by another line", tt.replaced); (tt.replaced > 0) != strings.Contains(r.out.String(), replaced) {
				t.Errorf("summary %s, want %d replaced", &r.out, tt.replaced)
			}
		})
	}
}

// Half an import is not continued with another file, gateway or other flags.
func TestImportRefusesToContinueAnother(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(t *testing.T, r *importRun)
		want   string
	}{
		{"file", func(t *testing.T, r *importRun) {
			if err := os.WriteFile(r.file, []byte(people(7)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the file has changed since"},
		{"gateway", func(_ *testing.T, r *importRun) { r.client.base.Path = "/other" }, "it went to http://127.0.0.1:"},
		{"flags", func(_ *testing.T, r *importRun) { r.routes = []string{"a"} }, "it had other flags"},
		{"progress", func(t *testing.T, r *importRun) {
			if err := os.WriteFile(r.progressFile(), []byte(`{"version":99}`), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "is not readable for this version"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newBulkGateway(t)
			ctx, cancel := context.WithCancel(t.Context())
			g.fault = func(n, _ int, _ string) (string, error) {
				if n == 6 {
					cancel()
					return "", errDie
				}
				return "", nil
			}
			file := write(t, "customers.ndjson", people(9))
			if err := newImport(t, g, file).start(ctx); err == nil {
				t.Fatal("the first run has not stopped")
			}
			g.fault = nil
			r := newImport(t, g, file)
			tt.change(t, r)
			before := len(g.asked)
			if err := r.start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "--restart begins anew") || len(g.asked) != before {
				t.Errorf("second run: %v after %d requests, want %q before any", err, len(g.asked)-before, tt.want)
			}
			r.restart, r.client.base.Path = true, ""
			if err := r.start(t.Context()); err != nil {
				t.Errorf("restarted: %v", err)
			}
		})
	}
}

// A file that changes while it is read does not pass for what it was.
func TestImportNoticesAChange(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	file := write(t, "customers.ndjson", people(9))
	g.fault = func(n, _ int, _ string) (string, error) {
		if n == 1 {
			return "", os.WriteFile(file, []byte(people(20)), 0o600)
		}
		return "", nil
	}
	if err := newImport(t, g, file).start(t.Context()); err == nil || !strings.Contains(err.Error(), "the file has been changed meanwhile") {
		t.Errorf("run: %v", err)
	}
}

func TestImportStream(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	for range 2 {
		r := newImport(t, g, stdin)
		r.rejected = filepath.Join(t.TempDir(), "rejected")
		r.in = strings.NewReader(people(6))
		if err := r.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !gone("-.import-progress") || r.out.String() != "standard input: 6 customers: 6 accepted, 0 refused\n" {
			t.Errorf("summary %s", &r.out)
		}
	}
	if got := len(g.accepted["c-0"]); got != 2 {
		t.Errorf("c-0 was accepted %d times; nobody knows that both streams are the same", got)
	}
	// It stops although the stream says nothing more.
	ctx, cancel := context.WithCancel(t.Context())
	r := newImport(t, g, stdin)
	in, held := io.Pipe()
	r.in, r.rejected = in, filepath.Join(t.TempDir(), "rejected")
	g.fault = func(int, int, string) (string, error) { cancel(); return "", errDie }
	go func() { _, _ = io.WriteString(held, people(4)) }()
	if err := r.start(ctx); err == nil || err.Error() != "stopped before line 1: interrupted" {
		t.Errorf("interrupted: %v", err)
	}
	_ = held.Close()
}

func TestImportShowsProgress(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	r := newImport(t, g, write(t, "customers.ndjson", people(100)))
	r.now = func() time.Time { r.clock = r.clock.Add(100 * time.Millisecond); return r.clock }
	if err := r.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	shown := strings.Split(strings.TrimSpace(r.errs.String()), "\n")
	if !regexp.MustCompile(`^customers\.ndjson: \d+ customers, \d+/s, \d+%, about \d+s left$`).MatchString(shown[0]) {
		t.Errorf("progress: %q", shown)
	}

	// On a terminal it is a bar.
	var out buffer
	clock := fakeTime
	m := newMeter(&out, true, "customers.csv", 1000, func() time.Time { clock = clock.Add(time.Second); return clock })
	for range 10 {
		m.advance(100)
	}
	m.note("busy")
	m.end()
	if text := out.String(); !strings.Contains(text, "customers.csv: 10 customers, 1/s") || !strings.Contains(text, "100%") || !strings.Contains(text, "busy\n") {
		t.Errorf("bar: %q", text)
	}
	for _, size := range []int64{-1, 0} {
		m := newMeter(&out, true, "-", size, time.Now)
		m.advance(10)
		m.end()
	}
}

func TestImportCommandLine(t *testing.T) {
	t.Parallel()
	file := write(t, "customers.ndjson", people(1))
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "takes one file, but got 0 arguments"},
		{[]string{file, file}, "takes one file"},
		{[]string{""}, "the name of the file is empty"},
		{[]string{file + ".none"}, "no such file"},
		{[]string{file, "--format", "xml"}, "must be ndjson or csv"},
		{[]string{file, "--format", "ndjson", "--column", "a=id"}, "belong to --format csv"},
		{[]string{file, "--column", "id"}, "write COLUMN=PLACE"},
		{[]string{file, "--columns", file + ".yaml"}, "column map " + file + ".yaml does not exist"},
		{[]string{file, "--empty", "no"}, "must be absent or null"},
		{[]string{file, "--delimiter", ";;"}, "must be one ASCII character"},
		{[]string{file, "--delimiter", "\""}, "must be one ASCII character"},
		{[]string{file, "--give-up", "0s"}, "must be more than 0"},
		{[]string{file, "--rejected", file}, "names the file that is imported"},
		{[]string{file, "--url", "x"}, "must be an absolute URL"},
		{[]string{file, "--format", "csv"}, "the first line is no header"},
	} {
		code, _, errs := call(t.Context(), nil, append([]string{"import"}, tt.args...)...)
		if code != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("import %q: exit code %d, %s; want %d and %q", tt.args, code, errs, exitUsage, tt.want)
		}
	}
	if code, _, errs := call(t.Context(), nil, "import", t.TempDir(), "--dry-run"); code != exitFailure || !strings.Contains(errs, "is a folder") {
		t.Errorf("a folder: %d, %s", code, errs)
	}
	if !gone(file+".import-progress") || !gone(file+".rejected.ndjson") {
		t.Error("a wrong command line leaves files")
	}
}

func TestImportDryRun(t *testing.T) {
	t.Parallel()
	file := write(t, "customers.ndjson", people(3)+strings.Repeat(`{"id":"x","nickname":"y"}`+"\n", 25)+`{"id":"c-0"}`)
	code, out, errs := call(t.Context(), nil, "import", file, "--dry-run")
	if want := file + " (dry run, nothing was sent): 29 customers: 3 accepted, 1 replaced by another line with the same id, 25 refused\n"; code != exitFailure || !strings.HasPrefix(out, want) {
		t.Errorf("exit code %d, %s, want %s", code, out, want)
	}
	if !strings.Contains(errs, "line 4: request.invalid: the customer is not valid: see errors; /nickname: ") || strings.Count(errs, "\nline ") != shownFaults-1 || !strings.Contains(errs, "… and 5 more") {
		t.Errorf("faults: %s", errs)
	}
	if !gone(file+".rejected.ndjson") || !gone(file+".import-progress") {
		t.Error("a dry run leaves files")
	}
	code, out, _ = call(t.Context(), nil, "import", write(t, "good.ndjson", people(3)), "--dry-run", "--json")
	if code != exitOK || out != `{"customers":3,"accepted":3,"failed":0,"replaced":0,"refused":0}`+"\n" {
		t.Errorf("exit code %d, %s", code, out)
	}
}

// Whatever is in the file, memory is bounded, and where chunks end follows from the
// file alone.
func TestRowReader(t *testing.T) {
	t.Parallel()
	long := `{"id":"long","note":"` + strings.Repeat("x", maxLine) + `"}`
	text := people(5) + long + "\n" + people(2) + long
	read := func(skip int, offset, line int64) (ends []string) {
		r := &rowReader{in: bufio.NewReader(strings.NewReader(text[offset:])), rows: 4, offset: offset, line: line, number: skip}
		for {
			c, err := r.next()
			if errors.Is(err, io.EOF) {
				return ends
			}
			if err != nil {
				t.Fatal(err)
			}
			var states []rowState
			for i := range c.rows {
				states = append(states, c.rows[i].state)
			}
			ends = append(ends, fmt.Sprint(c.number, c.offset, c.line, c.rows[0].line, states))
			if c.offset != int64(len(text)) {
				again := (&rowReader{in: bufio.NewReader(strings.NewReader(text[c.offset:])), rows: 4, offset: c.offset, line: c.line, number: c.number + 1})
				if next, err := again.next(); err != nil || next.number != c.number+1 || next.rows[0].line != c.line {
					t.Errorf("after chunk %d: %+v, %v", c.number, next, err)
				}
			}
		}
	}
	five := int64(len(people(5)))
	want := []string{
		fmt.Sprint(0, len(people(4)), 5, 1, []rowState{0, 0, 0, 0}),
		fmt.Sprint(1, five+int64(len(long))+1, 7, 5, []rowState{0, rowRefused}),
		fmt.Sprint(2, len(text), 10, 7, []rowState{0, 0, rowRefused}),
	}
	if got := read(0, 0, 1); !slices.Equal(got, want) {
		t.Errorf("chunks:\n%q\nwant:\n%q", got, want)
	}
}

// A file reaches every provider through a gateway with a ledger, and the commands
// tell so.
func TestImportThroughAGateway(t *testing.T) {
	const n = 6
	dir := t.TempDir()
	g := serveSandboxes(t, `"ledger": {"driver": "sqlite", "dsn": "`+filepath.Join(dir, "gateway.db")+`"}, "log": {"level": "error"},
		"auth": {"keys": [{"name": "importer", "sha256": "`+digest("a-key")+`", "scopes": ["read", "write"], "routes": ["*"]}]}`)
	key := write(t, "key", "a-key\n")
	var csv strings.Builder
	csv.WriteString("id,name.givenName,name.familyName,emails[0].value,phoneNumbers[0].value,createdAt\n")
	for i := range n {
		fmt.Fprintf(&csv, "c-%d,Ada,Byron%[1]d,ada%[1]d@example.com,+1646555010%[1]d,2026-01-01T00:00:00Z\n", i)
	}
	csv.WriteString("c-7,Ada,,nobody,,\n")
	file := write(t, "customers.csv", csv.String())
	run := func(args ...string) (code int, out, errs string) {
		t.Helper()
		return call(t.Context(), []string{envKey + "=a-key"}, append(args, "--url", g.url)...)
	}
	for range 2 { // the second time, nothing new is accepted
		code, out, errs := call(t.Context(), nil, "import", file, "--url", g.url, "--key-file", key)
		if want := fmt.Sprintf("%s: %d customers: %d accepted, 1 refused\n", file, n+1, n); code != exitFailure || !strings.HasPrefix(out, want) {
			t.Fatalf("import: exit code %d\n%s%s\n%s", code, out, errs, g.log)
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for try := 0; ; try++ {
		code, out, errs := run("status", "--json")
		if code != exitOK {
			t.Fatalf("status: exit code %d, %s", code, errs)
		}
		var routes []routeState
		if err := json.Unmarshal([]byte(out), &routes); err != nil || len(routes) != len(g.sandboxes) {
			t.Fatalf("status: %v, %s", err, out)
		}
		open := slices.ContainsFunc(routes, func(r routeState) bool { return r.Backlog == nil || r.Backlog.Due+r.Backlog.Active > 0 })
		if !open {
			break
		}
		if try == 1500 {
			t.Fatalf("the backlog does not drain: %s\n%s", out, g.log)
		}
		<-tick.C
	}
	for _, box := range g.sandboxes {
		if got := len(box.server.Provider().Records()); got != n {
			t.Errorf("%s holds %d customers, want %d", box.route, got, n)
		}
	}
	if code, out, errs := run("status", "--customer", "c-0", "--check"); code != exitOK || strings.Count(lines(out), " synced ") != len(g.sandboxes) {
		t.Errorf("status of a customer: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run("dead-letters"); code != exitOK || !strings.Contains(out, "no dead letters") {
		t.Errorf("dead letters: exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run("replay", "--all"); code != exitOK || !strings.Contains(out, "no dead letters") {
		t.Errorf("replay: exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs := call(t.Context(), nil, "backup", filepath.Join(dir, "copy.db"), "--database", filepath.Join(dir, "gateway.db")); code != exitOK {
		t.Errorf("backup: exit code %d\n%s", code, errs)
	}
}
