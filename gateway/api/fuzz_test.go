package api

import (
	"encoding/json"
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
	f.Add("OPTIONS", "*", "Content-Encoding", "gzip", "Content-Range", "x", "\x00\xff")
	f.Fuzz(func(t *testing.T, method, target, name1, value1, name2, value2, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil || method == "" || strings.ContainsAny(method, " /\r\n") {
			return // net/http refuses it
		}
		r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, target
		r.Header.Set("Content-Type", "application/json")
		r.Header[http.CanonicalHeaderKey(name1)] = []string{value1}
		r.Header[http.CanonicalHeaderKey(name2)] = append(r.Header[http.CanonicalHeaderKey(name2)], value2)
		g := good()
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
			if n != 0 {
				t.Errorf("refused with %d, yet sent", w.Code)
			}
		case method == http.MethodPut:
			if n != 1 || canonical.CheckID(cmd.Customer.ID.Value()) != nil || w.Header().Get("Gateway-Outcome") != "complete" {
				t.Errorf("status %d, %d upserts, %v", w.Code, n, cmd)
			}
		case n != 0:
			t.Errorf("%s sent an upsert", method)
		}
	})
}
