package api

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

func key(name, secret string, read, write bool, routes ...string) Key {
	return Key{Name: name, SHA256: sha256.Sum256([]byte(secret)), Read: read, Write: write, Routes: routes}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	empty := key("empty", "", true, true) // a configured digest of nothing lets nobody in
	none := key("none", "none", true, true)
	none.Routes = []string{}
	keys := []Key{
		key("first", "first", true, true), empty, key("reader", "reader", true, false), key("writer", "writer", false, true),
		key("april only", "april-only", true, true, "april"), key("gone", "gone", true, true, "gone"), none,
		key("last", "last", true, true),
	}
	const (
		unknown = canonical.CallerUnauthenticated
		refused = canonical.CallerForbidden
	)
	for _, tt := range []struct {
		name   string
		method string // PUT if empty
		target string // customerPath if empty
		header []string
		code   canonical.Code // empty if let through
		scheme string         // of WWW-Authenticate
		routes string         // of the command, "all" for nil
	}{
		{name: "nothing", code: unknown, scheme: `Bearer realm="customer-gateway"`},
		{name: "nothing, read", method: "GET", target: "/v1/routes", code: unknown, scheme: `Bearer realm="customer-gateway"`},
		{name: "first", header: []string{"Authorization", "Bearer first"}, routes: "all"},
		{name: "last", header: []string{"Authorization", "Bearer last"}, routes: "all"},
		{name: "scheme in another case", header: []string{"Authorization", "bEARER  last"}, routes: "all"},
		{name: "X-API-Key", header: []string{"X-API-Key", "last"}, routes: "all"},
		{name: "X-API-Key beside a proxy's Basic", header: []string{"Authorization", "Basic Zm9v", "X-API-Key", "last"}, routes: "all"},
		{name: "wrong", header: []string{"Authorization", "Bearer lasT"}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "prefix", header: []string{"Authorization", "Bearer las"}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "empty", header: []string{"Authorization", "Bearer "}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "empty X-API-Key", header: []string{"X-API-Key", ""}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "Basic", header: []string{"Authorization", "Basic last"}, code: unknown, scheme: `Bearer realm="customer-gateway"`},
		{name: "twice", header: []string{"Authorization", "Bearer last", "Authorization", "Bearer first"}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "X-API-Key twice", header: []string{"X-API-Key", "last", "X-API-Key", "last"}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "a wrong Bearer is not saved by X-API-Key", header: []string{"Authorization", "Bearer x", "X-API-Key", "last"}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},
		{name: "the digest itself", header: []string{"X-API-Key", string(keys[0].SHA256[:])}, code: unknown, scheme: `Bearer realm="customer-gateway", error="invalid_token"`},

		{name: "reader writes", header: []string{"X-API-Key", "reader"}, code: refused, scheme: `Bearer realm="customer-gateway", error="insufficient_scope", scope="write"`},
		{name: "writer reads", method: "GET", target: "/v1/routes", header: []string{"X-API-Key", "writer"}, code: refused, scheme: `Bearer realm="customer-gateway", error="insufficient_scope", scope="read"`},
		{name: "reader reads", method: "GET", target: "/v1/routes", header: []string{"X-API-Key", "reader"}},
		{name: "writer writes", header: []string{"X-API-Key", "writer"}, routes: "all"},

		{name: "own route by default", header: []string{"X-API-Key", "april-only"}, routes: "april"},
		{name: "own route", target: customerPath + "?routes=april", header: []string{"X-API-Key", "april-only"}, routes: "april"},
		{name: "another route", target: customerPath + "?routes=april,magento-de", header: []string{"X-API-Key", "april-only"}, code: refused},
		{name: "unknown route", target: customerPath + "?routes=nope", header: []string{"X-API-Key", "april-only"}, code: refused},
		{name: "routes that are gone", header: []string{"X-API-Key", "gone"}, code: refused},
		{name: "no routes", header: []string{"X-API-Key", "none"}, code: refused},
		{name: "read own route", method: "GET", target: "/v1/routes/april", header: []string{"X-API-Key", "april-only"}},
		{name: "read another route", method: "GET", target: "/v1/routes/magento-de", header: []string{"X-API-Key", "april-only"}, code: refused},
		{name: "read what another route holds", method: "GET", target: "/v1/routes/magento-de/capabilities", header: []string{"X-API-Key", "april-only"}, code: refused},
		{name: "read an unknown route", method: "GET", target: "/v1/routes/nope", header: []string{"X-API-Key", "april-only"}, code: refused},

		{name: "errors are open", method: "GET", target: "/v1/errors"},
		{name: "an error is open", method: "GET", target: "/v1/errors/upstream.busy"},
		{name: "healthz is open", method: "GET", target: "/healthz"},
		{name: "readyz is open", method: "GET", target: "/readyz"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := good()
			target := tt.target
			if target == "" {
				target = customerPath
			}
			r := put(target, customer, tt.header...)
			if tt.method != "" {
				r = get(target, tt.header...)
			}
			w := do(open(g, Options{Keys: keys}), r)
			n, cmd := g.calls()
			if tt.code == "" {
				if w.Code != http.StatusOK {
					t.Errorf("status = %d, want 200:\n%s", w.Code, w.Body)
				}
			} else {
				if w.Code != tt.code.Info().Status || n != 0 {
					t.Errorf("status = %d, want %d; %d upserts", w.Code, tt.code.Info().Status, n)
				}
				wantProblem(t, w, tt.code)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != tt.scheme {
				t.Errorf("WWW-Authenticate = %q, want %q", got, tt.scheme)
			}
			got := strings.Join(cmd.Routes, ",")
			if cmd.Customer != nil && cmd.Routes == nil {
				got = "all"
			}
			if got != tt.routes {
				t.Errorf("routes = %q, want %q", got, tt.routes)
			}
		})
	}
}

func TestForbiddenNamesTheRoutes(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{Keys: []Key{key("k", "k", true, true, "april")}})
	a := wantProblem(t, do(h, put(customerPath+"?routes=magento-de,april,rebilly-eu", customer, "X-API-Key", "k")), canonical.CallerForbidden)
	if len(a.Errors) != 2 || !strings.Contains(a.Errors[0].Message, `"magento-de"`) || !strings.Contains(a.Errors[1].Message, `"rebilly-eu"`) {
		t.Errorf("errors = %v, want the two routes", a.Errors)
	}
	w := do(h, get("/v1/routes", "X-API-Key", "k"))
	if got := w.Body.String(); strings.Count(got, `"route"`) != 1 || !strings.Contains(got, `"route":"april"`) {
		t.Errorf("routes = %s, want the key's only", got)
	}
}

// TestFindComparesEveryKey holds that a key is found wherever it stands, and that
// the last of two equal ones wins, which is only so if the search does not stop
// at the first match.
func TestFindComparesEveryKey(t *testing.T) {
	t.Parallel()
	a := &api{Options: Options{Keys: []Key{key("a", "x", true, true), key("b", "y", true, true), key("c", "x", true, true)}}}
	if k := a.find("x"); k == nil || k.Name != "c" {
		t.Errorf("find(x) = %v, want c", k)
	}
	if k := a.find("y"); k == nil || k.Name != "b" {
		t.Errorf("find(y) = %v, want b", k)
	}
	if k := a.find("z"); k != nil {
		t.Errorf("find(z) = %v, want none", k)
	}
}
