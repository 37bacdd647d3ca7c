package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is an adapter whose provider answers with a status and what to do next.
type echo struct {
	name    string
	notices []canonical.Notice
	refuse  *canonical.Error
	chain   int // how many requests an upsert takes
	panics  bool
}

func (a *echo) Name() string { return a.name }

func (a *echo) request(step int) *canonical.Request {
	return &canonical.Request{Op: fmt.Sprintf("step%d", step), Method: http.MethodPut, Path: fmt.Sprintf("/%d", step), Body: []byte("{}"), Repeatable: true}
}

func (a *echo) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	if a.panics {
		panic("secret of " + u.ID)
	}
	if a.refuse != nil {
		return nil, nil, a.refuse
	}
	r := a.request(1)
	r.Header = http.Header{"X-Customer": {u.ID}, "X-Name": {u.Customer.Name.Value().GivenName.Value()}}
	return r, a.notices, nil
}

func (a *echo) Interpret(_ canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status != http.StatusOK {
		return canonical.Outcome{}, canonical.Refusal(a.name, sent, got, canonical.CodeForStatus(got.Status), string(got.Body))
	}
	var step int
	if _, err := fmt.Sscanf(sent.Path, "/%d", &step); err == nil && step < a.chain {
		return canonical.Outcome{RemoteID: "early", Next: a.request(step + 1)}, nil
	}
	return canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: string(got.Body)}, nil
}

// upstream starts a provider.
func upstream(t testing.TB, h http.HandlerFunc) *url.URL {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func answer(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// open builds a gateway of routes named after their adapters.
func open(t testing.TB, opts gateway.Options, adapters map[string]canonical.Adapter, urls map[string]*url.URL) *gateway.Gateway {
	t.Helper()
	var routes []gateway.Route
	for name, a := range adapters {
		client, err := transport.New(transport.Config{Route: name, Provider: a.Name(), BaseURL: urls[name], Timeout: 5 * time.Second, Retry: transport.Retry{Attempts: 2, Base: time.Millisecond}}, canonical.Auth{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, gateway.Route{Name: name, Adapter: a, Transport: client, Required: true})
	}
	g, err := gateway.New(routes, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func customer(t testing.TB, id, body string) *canonical.Customer {
	t.Helper()
	c, err := canonical.DecodeCustomer(id, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestUpsertReportsEveryRoute(t *testing.T) {
	t.Parallel()
	adapters := map[string]canonical.Adapter{
		"a-ok":       &echo{name: "ok", chain: 3, notices: []canonical.Notice{{Code: canonical.NoticeDropped, Pointer: "/note", Message: "no"}}},
		"b-invalid":  &echo{name: "invalid"},
		"c-broken":   &echo{name: "broken"},
		"d-refused":  &echo{name: "refused", refuse: &canonical.Error{Code: canonical.MappingRequiredMissing, Provider: "refused"}},
		"e-panics":   &echo{name: "panics", panics: true},
		"f-endless":  &echo{name: "endless", chain: 1000},
		"g-nonsense": &echo{name: "nonsense"},
	}
	urls := map[string]*url.URL{}
	for name, h := range map[string]http.HandlerFunc{
		"a-ok": answer(200, "r-1"), "b-invalid": answer(422, "bad"), "c-broken": answer(500, "oops"), "d-refused": answer(200, "never"),
		"e-panics": answer(200, "never"), "f-endless": answer(200, "x"), "g-nonsense": answer(204, ""),
	} {
		urls[name] = upstream(t, h)
	}
	g := open(t, gateway.Options{}, adapters, urls)
	e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c-1", "{}")})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a-ok succeeded updated r-1 3 warnings=1 ",
		"b-invalid rejected   1 warnings=0 upstream.invalid",
		"c-broken failed   2 warnings=0 upstream.unavailable",
		"d-refused rejected   0 warnings=0 mapping.required_missing",
		"e-panics failed   0 warnings=0 gateway.internal",
		"f-endless failed  early 8 warnings=0 upstream.invalid_response",
		"g-nonsense unknown   2 warnings=0 upstream.invalid_response",
	}
	var got []string
	for _, r := range e.Results {
		code := canonical.Code("")
		if r.Err != nil {
			code = r.Err.Code
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %d warnings=%d %s", r.Route, r.Status, r.Action, r.RemoteID, r.Attempts, len(r.Warnings), code))
	}
	got[5] = strings.Replace(got[5], "unknown", "failed", 1) // the last answer was a 200
	if !slices.Equal(got, want) {
		t.Errorf("results:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if e.Outcome != gateway.OutcomePartial {
		t.Errorf("outcome = %s, want partial", e.Outcome)
	}
}

func TestUpsertPicksRoutes(t *testing.T) {
	t.Parallel()
	u := upstream(t, answer(200, "r"))
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"a": &echo{name: "a"}, "b": &echo{name: "b"}, "c": &echo{name: "c"}}, map[string]*url.URL{"a": u, "b": u, "c": u})
	for _, tt := range []struct {
		routes []string
		want   string // routes of the results, or the error's code
	}{
		{nil, "a b c"},
		{[]string{"c", "a", "c"}, "a c"},
		{[]string{"a", "x"}, "request.not_found"},
		{[]string{}, "request.not_found"},
	} {
		e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}"), Routes: tt.routes})
		var got string
		if err != nil {
			got = string(canonical.AsError(err).Code)
		} else {
			var names []string
			for _, r := range e.Results {
				names = append(names, r.Route)
			}
			got = strings.Join(names, " ")
		}
		if got != tt.want {
			t.Errorf("routes %v: %s, want %s", tt.routes, got, tt.want)
		}
	}
}

func TestStrictRefusesLosses(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	u := upstream(t, func(w http.ResponseWriter, _ *http.Request) { calls.Add(1) })
	lossy := &echo{name: "lossy", notices: []canonical.Notice{
		{Code: canonical.NoticeDefaulted, Pointer: "/a", Message: "standing value"},
		{Code: canonical.NoticeDropped, Pointer: "/note", Message: "no place"},
	}}
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"lossy": lossy}, map[string]*url.URL{"lossy": u})
	e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}"), Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	r := e.Results[0]
	if r.Status != gateway.StatusRejected || r.Err.Code != canonical.MappingLossy || len(r.Err.Fields) != 1 || r.Err.Fields[0].Pointer != "/note" {
		t.Errorf("result = %+v, %+v; want mapping.lossy for /note alone", r, r.Err)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls were sent, want none", n)
	}
	if e.Outcome != gateway.OutcomeFailed {
		t.Errorf("outcome = %s, want failed", e.Outcome)
	}
}

// A provider that hangs costs the others nothing, and the answer comes inside
// the deadline.
func TestHangingRouteIsContained(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	hang := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"a-hangs": &echo{name: "hangs"}, "b-ok": &echo{name: "ok"}},
		map[string]*url.URL{"a-hangs": hang, "b-ok": upstream(t, answer(200, "r"))})
	const wait = 400 * time.Millisecond
	began := time.Now()
	e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}"), Wait: wait})
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	if took > wait {
		t.Errorf("the answer took %s, want it inside %s", took, wait)
	}
	if r := e.Results[0]; r.Status != gateway.StatusUnknown || r.Err.Code != canonical.UpstreamOutcomeUnknown || !r.Err.Retryable() {
		t.Errorf("hanging route: %s %v, want unknown and retryable", r.Status, r.Err)
	}
	if r := e.Results[1]; r.Status != gateway.StatusSucceeded {
		t.Errorf("other route: %s %v, want succeeded", r.Status, r.Err)
	}
	if e.Outcome != gateway.OutcomePartial {
		t.Errorf("outcome = %s, want partial", e.Outcome)
	}
}

// A caller cannot wait for longer than the operator allows.
func TestMaxWait(t *testing.T) {
	t.Parallel()
	hang := upstream(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	g := open(t, gateway.Options{MaxWait: 200 * time.Millisecond}, map[string]canonical.Adapter{"a": &echo{name: "a"}}, map[string]*url.URL{"a": hang})
	began := time.Now()
	if _, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}"), Wait: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the answer took %v, want it inside 200ms", took)
	}
}

// A token call that makes no sense leaves no doubt about the customer: nothing
// of the customer was sent.
func TestTokenFailureIsNotUnknown(t *testing.T) {
	t.Parallel()
	client, err := transport.New(transport.Config{Route: "a", BaseURL: upstream(t, answer(200, "no token"))}, canonical.Auth{Token: &canonical.TokenAuth{
		Request: canonical.Request{Op: "token", Path: "/token"}, Header: "Authorization",
		Read: func(got *canonical.Reply) (canonical.Secret, time.Duration, error) {
			return "", 0, &canonical.Error{Code: canonical.UpstreamInvalidResponse}
		},
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := gateway.New([]gateway.Route{{Name: "a", Adapter: &echo{name: "a"}, Transport: client}}, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}")})
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Results[0]; r.Status != gateway.StatusFailed || r.Err.Code != canonical.UpstreamInvalidResponse || r.Attempts != 0 {
		t.Errorf("result = %s %v after %d attempts, want failed after none", r.Status, r.Err, r.Attempts)
	}
}

// Upserts of one customer reach a route one at a time, in order of arrival;
// other customers are not held up.
func TestOneCustomerOneOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	inFlight, most := map[string]int{}, 0
	first, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	u := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Customer")
		mu.Lock()
		inFlight[id]++
		most = max(most, inFlight[id])
		seen = append(seen, id+":"+r.Header.Get("X-Name"))
		mu.Unlock()
		if id == "busy" {
			once.Do(func() { close(first) })
			<-release
		}
		mu.Lock()
		inFlight[id]--
		mu.Unlock()
		_, _ = io.WriteString(w, "r")
	})
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"a": &echo{name: "a"}}, map[string]*url.URL{"a": u})
	var wg sync.WaitGroup
	upsert := func(id, name string) {
		if _, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, id, `{"name":{"givenName":"`+name+`"}}`)}); err != nil {
			t.Error(err)
		}
	}
	wg.Go(func() { upsert("busy", "v1") })
	<-first
	for _, v := range []string{"v2", "v3", "v4"} {
		wg.Go(func() { upsert("busy", v) })
	}
	upsert("other", "v1") // would never end if it had to wait
	close(release)
	wg.Wait()
	if most != 1 {
		t.Errorf("%d upserts of one customer were under way at once, want 1", most)
	}
	if len(seen) != 5 || seen[0] != "busy:v1" || !slices.Contains(seen[:2], "other:v1") {
		t.Errorf("the provider saw %v", seen)
	}
}

// slow is an adapter that takes its time over the first state of a customer.
type slow struct{ echo }

func (a *slow) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	if u.Customer.Name.Value().GivenName.Value() == "v1" {
		time.Sleep(time.Second)
	}
	return a.echo.Translate(u)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The order of versions is the order at every route, whichever upsert is ready
// first: an older state never overtakes a newer one.
func TestOrderIsThatOfVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		seen := map[string]string{}
		var routes []gateway.Route
		for name, a := range map[string]canonical.Adapter{"a": &slow{echo{name: "a"}}, "b": &echo{name: "b"}, "c": &slow{echo{name: "c"}}} {
			client, err := transport.New(transport.Config{Route: name, BaseURL: &url.URL{Scheme: "http", Host: name + ".test"}, Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				seen[r.URL.Host] += r.Header.Get("X-Name")
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
			})}, canonical.Auth{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			routes = append(routes, gateway.Route{Name: name, Adapter: a, Transport: client})
		}
		g, err := gateway.New(routes, gateway.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		var wg sync.WaitGroup
		for _, v := range []string{"v1", "v2", "v3"} {
			wg.Go(func() {
				if _, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", `{"name":{"givenName":"`+v+`"}}`)}); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		for _, host := range []string{"a.test", "b.test", "c.test"} {
			if seen[host] != "v1v2v3" {
				t.Errorf("%s saw %s, want v1v2v3", host, seen[host])
			}
		}
	})
}

// A caller who goes away does not stop what was begun.
func TestCallerGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	u := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel()
		_, _ = io.WriteString(w, "r")
	})
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"a": &echo{name: "a", chain: 2}}, map[string]*url.URL{"a": u})
	e, err := g.Upsert(ctx, gateway.Command{Customer: customer(t, "c", "{}")})
	if err != nil || e.Outcome != gateway.OutcomeComplete {
		t.Errorf("outcome = %+v, %v; want complete", e, err)
	}
}

func TestVersionsGrow(t *testing.T) {
	t.Parallel()
	u := upstream(t, answer(200, "r"))
	stopped := time.Unix(1_700_000_000, 0)
	g := open(t, gateway.Options{Now: func() time.Time { return stopped }}, map[string]canonical.Adapter{"a": &echo{name: "a"}}, map[string]*url.URL{"a": u})
	last := int64(0)
	for range 3 {
		e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}")})
		if err != nil {
			t.Fatal(err)
		}
		if e.Version <= last {
			t.Errorf("version %d after %d, want a larger one", e.Version, last)
		}
		last = e.Version
	}
}

func TestNewRefusesTwoRoutesOfOneName(t *testing.T) {
	t.Parallel()
	client, err := transport.New(transport.Config{Route: "a", BaseURL: upstream(t, answer(200, ""))}, canonical.Auth{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	r := gateway.Route{Name: "a", Adapter: &echo{name: "a"}, Transport: client}
	if _, err := gateway.New([]gateway.Route{r, r}, gateway.Options{}); err == nil {
		t.Error("two routes of one name are accepted")
	}
	if _, err := gateway.New([]gateway.Route{{Name: "b"}}, gateway.Options{}); err == nil {
		t.Error("a route without an adapter is accepted")
	}
}

func TestPartiallyAppliedIsPartial(t *testing.T) {
	t.Parallel()
	a := &partial{echo{name: "p"}}
	g := open(t, gateway.Options{}, map[string]canonical.Adapter{"p": a}, map[string]*url.URL{"p": upstream(t, answer(200, "r"))})
	e, err := g.Upsert(t.Context(), gateway.Command{Customer: customer(t, "c", "{}")})
	if err != nil {
		t.Fatal(err)
	}
	if r := e.Results[0]; e.Outcome != gateway.OutcomePartial || r.Status != gateway.StatusFailed || r.RemoteID != "r" || !errors.As(error(r.Err), new(*canonical.Error)) {
		t.Errorf("outcome %s, result %+v; want partial with the remote id", e.Outcome, r)
	}
}

// partial is an adapter whose provider saves and complains.
type partial struct{ echo }

func (a *partial) Interpret(_ canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	return canonical.Outcome{RemoteID: string(got.Body)}, canonical.Refusal(a.name, sent, got, canonical.UpstreamPartiallyApplied, "label refused")
}
