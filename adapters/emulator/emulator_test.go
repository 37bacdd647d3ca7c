package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// counter is a provider that counts what it did.
type counter struct{ done atomic.Int32 }

func (c *counter) Name() string { return "counter" }

func (c *counter) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	c.done.Add(1)
	_, _ = io.WriteString(w, "done")
}

func (c *counter) Records() []emulator.Record {
	return []emulator.Record{{ID: "1", Key: "k", Document: json.RawMessage(`{"a":1}`)}}
}

func (c *counter) RateLimited(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
	w.Header().Set("Retry-After", retryAfter.String())
	w.WriteHeader(http.StatusTooManyRequests)
}

func (c *counter) Route() emulator.Route { return emulator.Route{} }

func start(t *testing.T, opts emulator.Options) (*emulator.Server, *counter, string) {
	t.Helper()
	c := &counter{}
	s := emulator.NewServer(c, opts)
	return s, c, serveHTTP(t, s)
}

// serveHTTP lets s answer at the URL that it returns.
func serveHTTP(t *testing.T, s *emulator.Server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(func() { s.Close(); h.Close() })
	return h.URL
}

// call sends one request and returns "status body", or "error".
func call(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "error"
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return "error"
	}
	return http.StatusText(resp.StatusCode) + " " + string(got)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault emulator.Fault
		want  string // beginning of the first answer
		done  int32  // what the provider did meanwhile
	}{
		{emulator.Fault{Kind: emulator.FaultStatus, Status: 500, Body: "oops"}, "Internal Server Error oops", 0},
		{emulator.Fault{Kind: emulator.FaultStatus, Status: 500, After: true}, "Internal Server Error", 1},
		{emulator.Fault{Kind: emulator.FaultHTML}, "Service Unavailable <!doctype html>", 0},
		{emulator.Fault{Kind: emulator.FaultReset, After: true}, "error", 1},
		{emulator.Fault{Kind: emulator.FaultTruncate, Status: 200}, "error", 0},
		{emulator.Fault{Delay: time.Millisecond}, "OK done", 1},
		{emulator.Fault{Method: "GET", Kind: emulator.FaultReset}, "OK done", 1},
		{emulator.Fault{Path: "/other", Kind: emulator.FaultReset}, "OK done", 1},
	} {
		s, c, url := start(t, emulator.Options{})
		tt.fault.Times = 1
		s.Script(tt.fault)
		if got := call(t, "PUT", url+"/x", ""); !strings.HasPrefix(got, tt.want) || c.done.Load() != tt.done {
			t.Errorf("%+v: %q after %d done, want %q after %d", tt.fault, got, c.done.Load(), tt.want, tt.done)
		}
		if tt.fault.Method == "" && tt.fault.Path == "" {
			if got := call(t, "PUT", url+"/x", ""); got != "OK done" {
				t.Errorf("%+v: the second answer is %q", tt.fault, got)
			}
		}
	}
}

func TestHangEndsWithTheClient(t *testing.T) {
	t.Parallel()
	s, c, url := start(t, emulator.Options{})
	s.Script(emulator.Fault{Kind: emulator.FaultHang})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "PUT", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
	if c.done.Load() != 0 {
		t.Error("the provider was asked")
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	s, _, url := start(t, emulator.Options{Quota: 2, Window: time.Minute, Now: func() time.Time { return now }})
	var got []string
	for range 3 {
		got = append(got, call(t, "GET", url, ""))
	}
	now = now.Add(time.Minute)
	got = append(got, call(t, "GET", url, ""))
	if want := []string{"OK done", "OK done", "Too Many Requests ", "OK done"}; !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
	if n := len(s.Exchanges()); n != 4 {
		t.Errorf("%d exchanges, want 4", n)
	}
}

func TestControl(t *testing.T) {
	t.Parallel()
	_, _, url := start(t, emulator.Options{})
	for _, tt := range []struct{ method, what, body, want string }{
		{"GET", "records", "", `"document"`},
		{"POST", "faults", `{"kind":"status","status":418,"times":1}`, `"status": 418`},
		{"GET", "faults", "", `"status": 418`},
		{"DELETE", "faults", "", "OK []"},
		{"GET", "faults", "", "OK []"},
		{"POST", "faults", `{"kindd":"status"}`, "Bad Request fault: "},
		{"POST", "changes", "", `"changes": []`},
		{"GET", "changes?after=0", "", `"pending": 0`},
		{"GET", "changes?after=x", "", "Bad Request after must be"},
		{"GET", "nothing", "", "Not Found the control calls are"},
		{"GET", "exchanges", "", "OK"},
	} {
		if got := call(t, tt.method, url+"/_emulator/"+tt.what, tt.body); !strings.Contains(got, tt.want) {
			t.Errorf("%s %s: %q, want %q in it", tt.method, tt.what, got, tt.want)
		}
	}
}
