package api

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"customer-gateway/gateway/metrics"
)

// serve starts a real server of the API.
func serve(t *testing.T, cfg ServerConfig, opts Options) *httptest.Server {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = NewServer(cfg, open(good(), opts))
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// exchange sends raw bytes and returns the status, the header and the body of
// the first answer that is not 100.
func exchange(t *testing.T, srv *httptest.Server, raw string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// TestRawRequests holds what NewServer's comment says about answers that are not
// ours, and that the rest is.
func TestRawRequests(t *testing.T) {
	t.Parallel()
	srv := serve(t, ServerConfig{MaxHeader: 4096}, Options{MaxBody: 100})
	const head = "PUT " + customerPath + " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
	for _, tt := range []struct {
		name, raw string
		status    int
		ours      bool
	}{
		{"not HTTP", "hello\r\n\r\n", 400, false},
		{"bad escape", "GET /v1/routes/%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400, false},
		{"no Host", "GET /v1/routes HTTP/1.1\r\n\r\n", 400, false},
		{"large header", "GET /v1/routes HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", 431, false},
		{"Expect", head + "Expect: cookies\r\n\r\n", 417, false},
		{"transfer coding", head + "Transfer-Encoding: gzip\r\n\r\n", 501, false},
		{"version", "GET /v1/routes HTTP/3.0\r\nHost: x\r\n\r\n", 505, false},
		{"large body announced", head + "Expect: 100-continue\r\nContent-Length: 101\r\n\r\n", 413, true},
		{"large body in chunks", head + "Transfer-Encoding: chunked\r\n\r\n80\r\n" + strings.Repeat(" ", 128) + "\r\n0\r\n\r\n", 413, true},
		{"query with a semicolon", "GET /v1/routes?a;b HTTP/1.1\r\nHost: x\r\n\r\n", 422, true},
		{"absolute form", "GET http://x/nope HTTP/1.1\r\nHost: x\r\n\r\n", 404, true},
		{"CONNECT", "CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 404, true},
		{"good", head + "Content-Length: 2\r\n\r\n{}", 200, true},
	} {
		resp, body := exchange(t, srv, tt.raw)
		if resp.StatusCode != tt.status {
			t.Errorf("%s: status = %d, want %d: %s", tt.name, resp.StatusCode, tt.status, body)
		}
		if ours := resp.Header.Get("X-Request-Id") != ""; ours != tt.ours {
			t.Errorf("%s: answered by the API: %v, want %v", tt.name, ours, tt.ours)
		}
		if tt.status == http.StatusRequestEntityTooLarge && !resp.Close {
			t.Errorf("%s: the connection stays open", tt.name)
		}
	}
}

func TestSlowBody(t *testing.T) {
	t.Parallel()
	srv := serve(t, ServerConfig{ReadTimeout: 50 * time.Millisecond}, Options{})
	resp, body := exchange(t, srv, "PUT "+customerPath+" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "did not arrive in time") {
		t.Errorf("status = %d: %s", resp.StatusCode, body)
	}
}

// TestRealMetrics holds that the real metrics fit and see templates only.
func TestRealMetrics(t *testing.T) {
	t.Parallel()
	h := open(good(), Options{Metrics: metrics.New()})
	do(h, put("/v1/customers/lucy", customer))
	body := do(h, get("/metrics")).Body.String()
	if !strings.Contains(body, `customer_gateway_http_requests_total{method="PUT",route="/v1/customers/:id",status="200"} 1`) {
		t.Errorf("the request was not counted:\n%s", body)
	}
	if !strings.Contains(body, "customer_gateway_http_requests_in_flight 1\n") { // the scrape itself
		t.Error("the scrape is not in flight")
	}
	if strings.Contains(body, "lucy") {
		t.Error("an id is in the metrics")
	}
}
