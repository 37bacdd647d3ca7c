package transport

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"customer-gateway/canonical"
)

func TestResolve(t *testing.T) {
	t.Parallel()
	base, _ := url.Parse("https://acme.test/org/a%2Fb/")
	c := open(t, Config{BaseURL: base}, canonical.Auth{}, nil)
	tests := []struct{ path, want string }{
		{"/customers/1", "https://acme.test/org/a%2Fb/customers/1"},
		{"/customers/", "https://acme.test/org/a%2Fb/customers/"},
		{"/", "https://acme.test/org/a%2Fb/"},
		{"/c/x%2Fy%20z?q=%2E%2E/..&s[0]=1", "https://acme.test/org/a%2Fb/c/x%2Fy%20z?q=%2E%2E/..&s[0]=1"},
		{"/c/a!'(*)", "https://acme.test/org/a%2Fb/c/a!'(*)"},
		{"/c/...", "https://acme.test/org/a%2Fb/c/..."},
		{"/c/jane@example.com", "https://acme.test/org/a%2Fb/c/jane@example.com"},
		{"", ""},
		{"customers", ""},
		{"//evil.test/x", ""},
		{"https://evil.test/", ""},
		{"/c//d", ""},
		{"/c/../d", ""},
		{"/c/..", ""},
		{"/./d", ""},
		{"/c/%2e%2e/d", ""},
		{"/c/.%2E", ""},
		{"/c/%2e", ""},
		{"/c/x%2F..%2Fy", ""},
		{"/c/x%5C..%5Cy", ""},
		{"/c/..;a=b/d", ""},
		{"/c/%2e%2e;a/d", ""},
		{"/c/%00", ""},
		{"/c/%0d%0aX: y", ""},
		{"/c/a b", ""},
		{"/c/\\..\\d", ""},
		{"/c/ü", ""},
		{"/c/%zz", ""},
		{"/c/%2", ""},
		{"/c#d", ""},
		{"/c?q=a b", ""},
		{"/c?q=\n", ""},
	}
	for _, tt := range tests {
		u, err := c.resolve(tt.path)
		if tt.want == "" {
			if err == nil {
				t.Errorf("resolve(%q) = %v, want an error", tt.path, u)
			} else if len(tt.path) > 1 && strings.Contains(err.Error(), tt.path) {
				t.Errorf("resolve(%q): %v tells the path", tt.path, err)
			}
			continue
		}
		if err != nil || u.String() != tt.want {
			t.Errorf("resolve(%q) = %v, %v, want %s", tt.path, u, err, tt.want)
		}
	}
}

// FuzzResolve asks net/url, which resolves and cleans, to find a way out.
func FuzzResolve(f *testing.F) {
	for _, s := range []string{"/a/b?c", "/a/%2e%2e/b", "/a/..;x/", "/%2F..%2F", "/a//b"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://acme.test/org/x")
	c := &Client{cfg: Config{BaseURL: base}, prefix: base.EscapedPath()}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := c.resolve(path)
		if err != nil {
			return
		}
		for _, s := range []string{u.EscapedPath(), u.Path, strings.ReplaceAll(u.Path, "\\", "/")} {
			v := &url.URL{Path: "/"}
			clean := v.ResolveReference(&url.URL{Path: s}).Path
			if !strings.HasPrefix(clean, "/org/x/") {
				t.Errorf("resolve(%q) leads to %q", path, clean)
			}
		}
		if u.Host != "acme.test" || u.EscapedPath() != "/org/x"+strings.SplitN(path, "?", 2)[0] {
			t.Errorf("resolve(%q) = %v", path, u)
		}
	})
}

func TestUnsafeRequestIsNotSent(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Base: fake(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent %v", r.URL)
		return reply(200, ""), nil
	})}, canonical.Auth{}, nil)
	for _, req := range []*canonical.Request{
		{Op: "upsert", Method: "PUT", Path: "/c/../admin"},
		{Op: "upsert", Method: "PUT", Path: "/c", Header: http.Header{"X": {"a\r\nb"}}},
		{Op: "upsert", Method: "PUT", Path: "/c", Header: http.Header{"X:": {"a"}}},
	} {
		res := c.Do(t.Context(), req, status)
		wantCode(t, res, canonical.GatewayInternal)
		if res.Attempts != 0 || strings.Contains(res.Err.Message, "admin") {
			t.Errorf("Do = %+v", res.Err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		value, date string
		want        time.Duration
	}{
		{"120", "", 2 * time.Minute},
		{" 7 ", "", 7 * time.Second},
		{"0", "", 0},
		{"", "", 0},
		{"-1", "", 0},
		{"+1", "", 0},
		{"1.5", "", 0},
		{"1e3", "", 0},
		{"soon", "", 0},
		{"86400", "", 24 * time.Hour},
		{"86401", "", maxHold},
		{"9300000000", "", maxHold},
		{"99999999999999999999999", "", maxHold},
		{"Sun, 01 Mar 2026 12:00:30 GMT", "", 30 * time.Second},
		{"Sunday, 01-Mar-26 12:00:30 GMT", "", 30 * time.Second},
		{"Sun Mar  1 12:00:30 2026", "", 30 * time.Second},
		{"Sun, 01 Mar 2026 11:00:00 GMT", "", 0},
		{"Sun, 01 Mar 2099 11:00:00 GMT", "", maxHold},
		// The provider's clock is an hour ahead of ours.
		{"Sun, 01 Mar 2026 13:00:30 GMT", "Sun, 01 Mar 2026 13:00:00 GMT", 30 * time.Second},
	}
	for _, tt := range tests {
		h := http.Header{"Retry-After": {tt.value}}
		if tt.date != "" {
			h.Set("Date", tt.date)
		}
		if got := retryAfter(h, now); got != tt.want {
			t.Errorf("retryAfter(%q) = %v, want %v", tt.value, got, tt.want)
		}
	}
}
