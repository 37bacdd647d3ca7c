package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// FuzzRequest holds that no request, however bad, makes the gateway fail, that
// every refusal is a complete problem and that nothing is sent for one.
func FuzzRequest(f *testing.F) {
	f.Add("PUT", "/v1/customers/cust-1?routes=april", "Content-Type", "application/json", "Prefer", "wait=3", customer)
	f.Add("PUT", "/v1/customers/a%2Fb", "Content-Type", "application/json; charset=utf-8", "If-Match", `"1"`, "{")
	f.Add("GET", "/v1/errors/upstream.busy", "Accept", "text/html;q=0.5,*/*", "X-Request-Id", "a b", "")
	f.Add("GET", "/v1/routes/%ff?x=%zz;", "Authorization", "Bearer \"", "Traceparent", traceParent, "")
	f.Add("HEAD", "//v1/../routes", "Prefer", `a="\"`, "Tracestate", "a=1,,", "")
	f.Add("PATCH", "/v1/customers/cust-1", "Content-Type", "application/merge-patch+json", "Idempotency-Key", `"k"`, `{"note":null}`)
	f.Add("POST", "/v1/customers/bulk", "Content-Type", "application/x-ndjson", "Prefer", "wait=1", "{\"id\":\"a\"}\n\n{")
	f.Add("POST", "/v1/dead-letters/replay", "Content-Type", "application/json", "", "", `{"route":"april","since":"2026-03-01T12:00:00Z"}`)
	f.Add("GET", "/v1/dead-letters?limit=3&cursor=e30", "", "", "", "", "")
	f.Add("POST", "/v1/routes/april/pause", "", "", "", "", `{"reason":"x"}`)
	f.Add("DELETE", "/v1/customers/a/data", "If-Match", `W/"1", "2"`, "", "", "")
	f.Add("OPTIONS", "*", "Content-Encoding", "gzip", "Content-Range", "x", "\x00\xff")
	f.Fuzz(func(t *testing.T, method, target, name1, value1, name2, value2, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" || strings.ContainsAny(method, " /\r\n") {
			return // net/http refuses it
		}
		for _, durable := range []bool{false, true} {
			r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
			r.Method, r.URL, r.RequestURI = method, u, target
			r.Header.Set("Content-Type", "application/json")
			r.Header[http.CanonicalHeaderKey(name1)] = []string{value1}
			r.Header[http.CanonicalHeaderKey(name2)] = append(r.Header[http.CanonicalHeaderKey(name2)], value2)
			g := good()
			g.durable, g.known, g.done = durable, someone(), g.envelope("cust-1")
			w := do(open(g, Options{MaxBody: 4096}), r)
			n, cmd := g.calls()
			switch {
			case w.Code >= 500:
				t.Fatalf("%s %s: status %d:\n%s", method, target, w.Code, w.Body)
			case w.Code >= 400:
				var p answer
				if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
					t.Fatalf("status %d is no problem: %v\n%s", w.Code, err, w.Body)
				}
				if p.Code.Info().Status != w.Code || p.Status != w.Code || p.Detail == "" || p.TraceID == "" {
					t.Errorf("incomplete problem:\n%s", w.Body)
				}
				if n != 0 || len(g.asked) != 0 {
					t.Errorf("refused with %d, yet done: %d upserts, %s", w.Code, n, g.questions())
				}
			case method == http.MethodPut:
				if n != 1 || canonical.CheckID(cmd.Customer.ID.Value()) != nil || w.Header().Get("Gateway-Outcome") != "complete" {
					t.Errorf("status %d, %d upserts, %v", w.Code, n, cmd)
				}
			case method == http.MethodPatch:
				if n != 1 || len(g.asked) != 1 || !durable {
					t.Errorf("status %d, %d upserts, %s", w.Code, n, g.questions())
				}
			case method == http.MethodPost && strings.HasSuffix(u.Path, "/bulk"):
				for line := range strings.Lines(w.Body.String()) {
					var l answer
					if err := json.Unmarshal([]byte(line), &l); err != nil || l.Line == 0 || l.Status == 0 {
						t.Errorf("not an answer: %v\n%s", err, line)
					}
				}
			case n != 0:
				t.Errorf("%s sent an upsert", method)
			case !durable && len(g.asked) != 0 && !strings.HasPrefix(g.asked[0], "pause") && !strings.HasPrefix(g.asked[0], "resume"):
				t.Errorf("%s %s asked a gateway without a ledger: %s", method, target, g.questions())
			}
		}
	})
}

// FuzzLines holds that the lines of a body are those between its line ends,
// however it arrives.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\n\n\r\nccc"), uint8(2), uint16(1))
	f.Add([]byte("\n"), uint8(0), uint16(3))
	f.Add(bytes.Repeat([]byte("x"), 200<<10), uint8(200), uint16(9999))
	f.Add([]byte{0xff, '\n', 0, '\n'}, uint8(5), uint16(2))
	f.Fuzz(func(t *testing.T, body []byte, limit uint8, step uint16) {
		limits := int64(limit) << 9 // beyond the buffer's size, too
		if len(body) < 1000 {
			limits = int64(limit)
		}
		want := bytes.Split(body, []byte("\n"))
		if len(want[len(want)-1]) == 0 {
			want = want[:len(want)-1]
		}
		l := newLines(&stepper{bytes.NewReader(body), int(step) + 1}, limits)
		for i, line := range want {
			got, err := l.next()
			switch {
			case l.n != i+1:
				t.Fatalf("line %d has the number %d", i+1, l.n)
			case int64(len(line)) > limits:
				if !errors.Is(err, errLongLine) || got != nil {
					t.Fatalf("line %d of %d bytes, limit %d: %q, %v", i+1, len(line), limits, got, err)
				}
			case err != nil || !bytes.Equal(got, line):
				t.Fatalf("line %d = %q, %v, want %q", i+1, got, err, line)
			}
		}
		for range 2 {
			if got, err := l.next(); err != io.EOF || l.n != len(want) {
				t.Fatalf("after the last: %q, %v, %d lines", got, err, l.n)
			}
		}
	})
}

// stepper returns at most so many bytes at once.
type stepper struct {
	from io.Reader
	most int
}

func (s *stepper) Read(p []byte) (int, error) { return s.from.Read(p[:min(len(p), s.most)]) }

// FuzzIdempotencyKey holds that a key is what the ledger can keep, and the same in
// quotes.
func FuzzIdempotencyKey(f *testing.F) {
	for _, s := range []string{`"k"`, "k", `"a\"b\\"`, `"a`, `a"`, `"\`, `""`, "a,b", " \t", "\x7f", "ü"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, ok := parseKey(s)
		if !ok {
			return
		}
		if len(key) == 0 || len(key) > maxKey || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("%q: key %q", s, key)
		}
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, ok := parseKey(quoted); !ok || again != key {
			t.Errorf("%q: in quotes it is %q, %v", s, again, ok)
		}
	})
}

// FuzzEntityTags holds that no version comes out that did not go in.
func FuzzEntityTags(f *testing.F) {
	for _, s := range []string{`"1"`, `W/"1", "2"`, "*", `"1", *`, `"", "a b"`, `"1""2"`, `,,"3" ,`, `"01"`, `"-1"`, `"9223372036854775808"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		versions, every, ok := entityTags(s)
		switch {
		case !ok && (len(versions) > 0 || every):
			t.Errorf("%q: refused, yet %v", s, versions)
		case every != (strings.Trim(s, " \t") == "*"):
			t.Errorf("%q: every = %v", s, every)
		case ok && !every && versions == nil:
			t.Errorf("%q demands nothing", s)
		}
		for _, v := range versions {
			at := strings.Index(s, etag(v))
			if v <= 0 || at < 0 || strings.Count(s, etag(v)) == strings.Count(s, "W/"+etag(v)) {
				t.Errorf("%q: version %d", s, v)
			}
		}
	})
}
