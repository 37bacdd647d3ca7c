package api

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/transport"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	const (
		done     = gateway.StatusSucceeded
		rejected = gateway.StatusRejected
		fails    = gateway.StatusFailed
		unknown  = gateway.StatusUnknown
	)
	fail := func(route string, status gateway.Status, code canonical.Code) gateway.Result {
		return failed(route, status, canonical.Error{Code: code})
	}
	later := func(route string, code canonical.Code, d time.Duration) gateway.Result {
		return failed(route, fails, canonical.Error{Code: code, RetryAfter: d})
	}
	unchanged := gateway.Result{Route: "april", Provider: "april", Status: gateway.StatusUnchanged, Action: canonical.ActionNone}
	skipped := gateway.Result{Route: "complyt", Provider: "complyt", Status: gateway.StatusSkipped}
	pending := gateway.Result{Route: "magento-de", Provider: "magento", Status: gateway.StatusPending}
	final := failed("april", unknown, canonical.Error{Code: canonical.UpstreamOutcomeUnknown, Final: true})

	tests := []struct {
		name    string
		outcome gateway.Outcome
		results []gateway.Result
		status  int
		code    canonical.Code // empty for an envelope
		header  string         // Gateway-Outcome
		again   bool
		after   string // Retry-After
	}{
		{name: "updated", outcome: gateway.OutcomeComplete, results: []gateway.Result{succeeded("april", canonical.ActionUpdated)}, status: 200, header: "complete"},
		{name: "created", outcome: gateway.OutcomeComplete, results: []gateway.Result{succeeded("april", canonical.ActionCreated), skipped}, status: 201, header: "complete"},
		{name: "created and not told", outcome: gateway.OutcomeComplete, results: []gateway.Result{succeeded("april", canonical.ActionCreated), succeeded("x", "")}, status: 201, header: "complete"},
		{name: "created and updated", outcome: gateway.OutcomeComplete, results: []gateway.Result{succeeded("april", canonical.ActionCreated), succeeded("x", canonical.ActionUpdated)}, status: 200, header: "complete"},
		{name: "created and unchanged", outcome: gateway.OutcomeComplete, results: []gateway.Result{unchanged, succeeded("x", canonical.ActionCreated)}, status: 200, header: "complete"},
		{name: "skipped", outcome: gateway.OutcomeComplete, results: []gateway.Result{skipped}, status: 200, header: "complete"},

		{name: "pending", outcome: gateway.OutcomePending, results: []gateway.Result{unchanged, pending}, status: 202, header: `pending; pending="magento-de"`, after: "1"},

		{name: "partial", outcome: gateway.OutcomePartial, status: 207,
			results: []gateway.Result{fail("april", rejected, canonical.UpstreamInvalid), fail("complyt", unknown, canonical.UpstreamOutcomeUnknown), pending, later("rebilly-eu", canonical.UpstreamUnavailable, time.Minute), succeeded("x", canonical.ActionCreated)},
			header:  `partial; failed="april rebilly-eu"; unknown="complyt"; pending="magento-de"`, after: "1"},
		{name: "partially applied", outcome: gateway.OutcomePartial, results: []gateway.Result{fail("capillary", fails, canonical.UpstreamPartiallyApplied)}, status: 207, header: `partial; failed="capillary"`},
		{name: "odd route name", outcome: gateway.OutcomePartial, results: []gateway.Result{fail("a\"\\ü\n", fails, canonical.UpstreamInvalid), unchanged}, status: 207, header: `partial; failed="a\"\\???"`},

		{name: "one rejected", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("april", rejected, canonical.UpstreamDuplicate)}, status: 409, code: canonical.UpstreamDuplicate, header: `failed; failed="april"`},
		{name: "one not found", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("april", rejected, canonical.UpstreamNotFound)}, status: 404, code: canonical.UpstreamNotFound, header: `failed; failed="april"`},
		{name: "one unauthenticated", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("april", fails, canonical.UpstreamUnauthenticated)}, status: 502, code: canonical.UpstreamUnauthenticated, header: `failed; failed="april"`},
		{name: "one unknown", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("april", unknown, canonical.UpstreamOutcomeUnknown)}, status: 504, code: canonical.UpstreamOutcomeUnknown, header: `failed; unknown="april"`, again: true},
		{name: "one unknown that must not be repeated", outcome: gateway.OutcomeFailed, results: []gateway.Result{final}, status: 504, code: canonical.UpstreamOutcomeUnknown, header: `failed; unknown="april"`},
		{name: "one limited", outcome: gateway.OutcomeFailed, results: []gateway.Result{later("april", canonical.UpstreamRateLimited, 1500*time.Millisecond)}, status: 503, code: canonical.UpstreamRateLimited, header: `failed; failed="april"`, again: true, after: "2"},
		{name: "one without a time", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("april", fails, canonical.RouteSaturated)}, status: 503, code: canonical.RouteSaturated, header: `failed; failed="april"`, again: true, after: "1"},
		{name: "same code", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamInvalid), fail("b", rejected, canonical.UpstreamInvalid)}, status: 422, code: canonical.UpstreamInvalid, header: `failed; failed="a b"`},
		{name: "same status", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.MappingRequiredMissing), fail("b", rejected, canonical.UpstreamInvalid)}, status: 422, code: canonical.MappingRequiredMissing, header: `failed; failed="a b"`},
		{name: "all for the caller", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamDuplicate), fail("b", rejected, canonical.UpstreamInvalid)}, status: 422, code: canonical.UpstreamInvalid, header: `failed; failed="a b"`},
		{name: "all for the caller, none 422", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamDuplicate), fail("b", rejected, canonical.UpstreamNotFound)}, status: 422, code: canonical.UpstreamDuplicate, header: `failed; failed="a b"`},
		{name: "smallest retry", outcome: gateway.OutcomeFailed, results: []gateway.Result{later("a", canonical.UpstreamRateLimited, time.Minute), later("b", canonical.RouteCircuitOpen, 7*time.Second), fail("c", fails, canonical.RouteSaturated)}, status: 503, code: canonical.UpstreamRateLimited, header: `failed; failed="a b c"`, again: true, after: "7"},
		{name: "any retryable", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamInvalid), later("b", canonical.UpstreamUnavailable, 9*time.Second)}, status: 503, code: canonical.UpstreamUnavailable, header: `failed; failed="a b"`, again: true, after: "9"},
		{name: "any retryable, none 503", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamInvalid), fail("b", unknown, canonical.UpstreamOutcomeUnknown)}, status: 503, code: canonical.UpstreamOutcomeUnknown, header: `failed; failed="a"; unknown="b"`, again: true, after: "1"},
		{name: "else", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamInvalid), fail("b", fails, canonical.UpstreamForbidden)}, status: 502, code: canonical.UpstreamForbidden, header: `failed; failed="a b"`},
		{name: "else, none 502", outcome: gateway.OutcomeFailed, results: []gateway.Result{fail("a", rejected, canonical.UpstreamDuplicate), fail("b", fails, canonical.MappingFailed)}, status: 502, code: canonical.MappingFailed, header: `failed; failed="a b"`},
		{name: "strict, but none is required", outcome: gateway.OutcomePartial, results: []gateway.Result{fail("april", rejected, canonical.UpstreamInvalid), unchanged}, status: 207, header: `partial; failed="april"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := open(&fake{outcome: tt.outcome, results: tt.results}, Options{})
			r := put(customerPath, customer)
			if strings.HasPrefix(tt.name, "strict") {
				r.Header.Set("Prefer", "handling=strict")
			}
			w := do(h, r)
			if w.Code != tt.status {
				t.Errorf("status = %d, want %d", w.Code, tt.status)
			}
			if got := w.Header().Get("Gateway-Outcome"); got != tt.header {
				t.Errorf("Gateway-Outcome = %s, want %s", got, tt.header)
			}
			if got := w.Header().Get("Retry-After"); got != tt.after {
				t.Errorf("Retry-After = %q, want %q", got, tt.after)
			}
			var a answer
			if tt.code != "" {
				a = wantProblem(t, w, tt.code)
				if a.Retryable != tt.again {
					t.Errorf("retryable = %v, want %v", a.Retryable, tt.again)
				}
			} else {
				a = read(t, w)
				if got := w.Header().Get("Content-Type"); got != "application/json" || a.Code != "" {
					t.Errorf("Content-Type = %q, code = %q, want an envelope", got, a.Code)
				}
			}
			if at := w.Header().Get("Location"); strings.Contains(tt.header, "pending=") != (at == "/v1/operations/op_01J9") {
				t.Errorf("Location = %q", at)
			}
			if len(a.Results) != len(tt.results) || a.OperationID != "op_01J9" || a.Outcome != string(tt.outcome) {
				t.Fatalf("incomplete envelope:\n%s", w.Body)
			}
			for i, r := range a.Results {
				want := tt.results[i]
				if r.Route != strings.ToValidUTF8(want.Route, "") || r.Status != string(want.Status) || (r.Error != nil) != (want.Err != nil) {
					t.Errorf("result %d = %+v", i, r)
				}
				if r.Error != nil && (r.Error.Code != want.Err.Code || r.Error.Status != want.Err.Code.Info().Status || r.Error.TraceID != traceID) {
					t.Errorf("error %d = %+v", i, r.Error)
				}
			}
		})
	}
}

func TestWaitsAreRoundedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, tt := range []struct {
			at   time.Time
			want string
		}{
			{now.Add(90 * time.Second), "90"},
			{now.Add(90*time.Second + time.Nanosecond), "91"},
			{now.Add(time.Millisecond), "1"},
			{now, "1"},
			{now.Add(-time.Hour), "1"},
		} {
			f := failed("april", gateway.StatusFailed, canonical.Error{Code: canonical.UpstreamRateLimited, RetryAt: tt.at})
			w := do(open(&fake{outcome: gateway.OutcomeFailed, results: []gateway.Result{f}}, Options{}), put(customerPath, customer))
			if got := w.Header().Get("Retry-After"); w.Code != 503 || got != tt.want {
				t.Errorf("refused until %v: status %d, Retry-After = %q, want %q", tt.at.Sub(now), w.Code, got, tt.want)
			}
			p := gateway.Result{Route: "april", Status: gateway.StatusPending, NextAttemptAt: tt.at}
			last := gateway.Result{Route: "x", Status: gateway.StatusPending, NextAttemptAt: tt.at.Add(time.Hour)}
			w = do(open(&fake{outcome: gateway.OutcomePending, results: []gateway.Result{last, p}}, Options{}), put(customerPath, customer))
			if got := w.Header().Get("Retry-After"); w.Code != 202 || got != tt.want {
				t.Errorf("next attempt in %v: status %d, Retry-After = %q, want %q", tt.at.Sub(now), w.Code, got, tt.want)
			}
		}
	})
}

func TestRefusalOfTheGateway(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err    error
		code   canonical.Code
		status int
		after  string
	}{
		{&canonical.Error{Code: canonical.RequestNotFound, Message: "no such route"}, canonical.RequestNotFound, 404, ""},
		{&canonical.Error{Code: canonical.GatewayStoreUnavailable}, canonical.GatewayStoreUnavailable, 503, "1"},
		{&canonical.Error{Code: canonical.CallerRateLimited, RetryAfter: 3 * time.Second}, canonical.CallerRateLimited, 429, "3"},
		{&canonical.Error{Code: "made.up", Message: "x"}, canonical.GatewayInternal, 500, ""},
		{http.ErrBodyNotAllowed, canonical.GatewayInternal, 500, ""},
	} {
		w := do(open(&fake{err: tt.err}, Options{}), put(customerPath, customer))
		a := wantProblem(t, w, tt.code)
		if w.Code != tt.status || w.Header().Get("Retry-After") != tt.after || a.Results != nil {
			t.Errorf("%v: status %d, Retry-After %q:\n%s", tt.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
		if strings.Contains(w.Body.String(), http.ErrBodyNotAllowed.Error()) {
			t.Errorf("the cause got out:\n%s", w.Body)
		}
	}
}

// everything is one result of each kind.
func everything() []gateway.Result {
	april := failed("april", gateway.StatusRejected, canonical.Error{
		Code: canonical.UpstreamInvalid, Op: "upsert", Status: 400, Message: "emailAddress is <invalid>",
		UpstreamCode: "invalid_request", RequestID: "req-77", Err: http.ErrBodyNotAllowed,
		Fields: []canonical.FieldError{
			{Pointer: "/emails/0/value", Field: "emailAddress", Code: canonical.FieldInvalid, Message: "is <invalid>"},
			{Field: "merchantId", Setting: "merchant_id", Code: canonical.FieldRequired, Message: "is missing"},
		},
	})
	complyt := failed("complyt", gateway.StatusFailed, canonical.Error{Code: canonical.RouteCircuitOpen, RetryAfter: 9 * time.Second})
	complyt.Attempts = 0
	magento := gateway.Result{Route: "magento-de", Provider: "magento", Status: gateway.StatusPending, Attempts: 2,
		NextAttemptAt: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600))}
	rebilly := succeeded("rebilly-eu", canonical.ActionCreated)
	rebilly.Warnings = []canonical.Notice{{Code: canonical.NoticeDropped, Pointer: "/gender", Message: "rebilly has no place for it"}}
	return []gateway.Result{april, complyt, magento, rebilly}
}

func TestGoldens(t *testing.T) {
	t.Parallel()
	all := everything()
	for name, g := range map[string]*fake{
		"complete.json": {outcome: gateway.OutcomeComplete, results: all[3:]},
		"pending.json":  {outcome: gateway.OutcomePending, results: all[2:]},
		"partial.json":  {outcome: gateway.OutcomePartial, results: all},
		"failed.json":   {outcome: gateway.OutcomeFailed, results: all[:2]},
		"one.json":      {outcome: gateway.OutcomeFailed, results: all[:1]},
	} {
		w := do(open(g, Options{PublicURL: "https://gateway.example"}), put(customerPath, customer))
		golden(t, name, w)
	}
	w := do(open(good(), Options{}), put(customerPath+"?routes=april", `{"emials":[],"gender":"?"}`))
	golden(t, "refused.json", w)
}

// refusing is an adapter that takes only some customers, and says so before
// anything is sent.
type refusing struct {
	name string
	err  error
}

func (a refusing) Name() string { return a.name }
func (a refusing) Translate(canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	return &canonical.Request{Op: "upsert", Method: http.MethodPut, Path: "/c", Repeatable: true}, nil, a.err
}
func (a refusing) Interpret(canonical.Upsert, *canonical.Request, *canonical.Reply) (canonical.Outcome, error) {
	return canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: "r-1"}, nil
}

// TestStrict runs against a real gateway: what is required is its to know.
func TestStrict(t *testing.T) {
	t.Parallel()
	provider := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer provider.Close()
	base, err := url.Parse(provider.URL)
	if err != nil {
		t.Fatal(err)
	}
	var routes []gateway.Route
	for _, r := range []struct {
		name     string
		required bool
		code     canonical.Code
	}{
		{"good", true, ""},
		{"optional", false, canonical.MappingUnrepresentable},
		{"partly", true, canonical.UpstreamPartiallyApplied},
		{"required", true, canonical.UpstreamDuplicate},
	} {
		client, err := transport.New(transport.Config{Route: r.name, Provider: r.name, BaseURL: base}, canonical.Auth{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a := refusing{name: r.name}
		if r.code != "" {
			a.err = &canonical.Error{Code: r.code, Provider: r.name}
		}
		routes = append(routes, gateway.Route{Name: r.name, Adapter: a, Transport: client, Required: r.required})
	}
	g, err := gateway.New(routes, gateway.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	h := open(g, Options{})
	for _, tt := range []struct {
		routes, prefer string
		status         int
		code           canonical.Code
	}{
		{"good,required", "", 207, ""},
		{"good,required", "handling=lenient", 207, ""},
		{"good,required", "handling=strict", 409, canonical.UpstreamDuplicate},
		{"good,optional", "handling=strict", 207, ""},
		{"good,optional,required", "handling=strict", 409, canonical.UpstreamDuplicate},
		{"good,partly", "handling=strict", 422, canonical.UpstreamPartiallyApplied},
		{"good,partly,required", "handling=strict", 422, canonical.UpstreamPartiallyApplied},
		{"good", "handling=strict", 200, ""},
		{"optional", "handling=strict", 422, canonical.MappingUnrepresentable},
		{"nope", "", 404, canonical.RequestNotFound},
	} {
		w := do(h, put(customerPath+"?routes="+tt.routes, customer, "Prefer", tt.prefer))
		if w.Code != tt.status {
			t.Errorf("%s, %q: status = %d, want %d:\n%s", tt.routes, tt.prefer, w.Code, tt.status, w.Body)
		}
		a := read(t, w)
		if a.Code != tt.code {
			t.Errorf("%s, %q: code = %q, want %q", tt.routes, tt.prefer, a.Code, tt.code)
		}
		if tt.status != 404 && len(a.Results) != strings.Count(tt.routes, ",")+1 {
			t.Errorf("%s, %q: results are missing:\n%s", tt.routes, tt.prefer, w.Body)
		}
		if got := w.Header().Get("Preference-Applied"); tt.status != 404 && got != tt.prefer {
			t.Errorf("%s, %q: Preference-Applied = %q", tt.routes, tt.prefer, got)
		}
	}
}

func TestPrefer(t *testing.T) {
	t.Parallel()
	for i, tt := range []struct {
		fields  []string
		wait    time.Duration
		strict  bool
		applied string
	}{
		{nil, 0, false, ""},
		{[]string{""}, 0, false, ""},
		{[]string{"wait=3"}, 3 * time.Second, false, "wait=3"},
		{[]string{"wait = 3"}, 3 * time.Second, false, "wait=3"},
		{[]string{`Wait="3"`}, 3 * time.Second, false, "wait=3"},
		{[]string{"wait=10, handling=strict"}, 10 * time.Second, true, "wait=10, handling=strict"},
		{[]string{"wait=5", "handling=strict"}, 5 * time.Second, true, "wait=5, handling=strict"},
		{[]string{`handling="strict"; foo="a,b;c"`, "wait=2;x"}, 2 * time.Second, true, "wait=2, handling=strict"},
		{[]string{"handling=lenient"}, 0, false, "handling=lenient"},
		{[]string{"HANDLING=Strict"}, 0, true, "handling=strict"},
		{[]string{"handling=lenient, handling=strict"}, 0, false, "handling=lenient"},
		{[]string{"handling=other, handling=strict"}, 0, false, ""},
		{[]string{"wait=4, wait=9"}, 4 * time.Second, false, "wait=4"},
		{[]string{"wait=60"}, 10 * time.Second, false, "wait=10"},
		{[]string{"wait=99999999999999999999"}, 10 * time.Second, false, "wait=10"},
		{[]string{"wait=0"}, 0, false, ""},
		{[]string{"wait=-1"}, 0, false, ""},
		{[]string{"wait=+1"}, 0, false, ""},
		{[]string{"wait=1.5"}, 0, false, ""},
		{[]string{"wait"}, 0, false, ""},
		{[]string{"respond-async"}, 0, false, ""},
		{[]string{"respond-async, wait=1, return=minimal"}, time.Second, false, "wait=1"},
		{[]string{`foo="wait=7, handling=strict"`}, 0, false, ""},
		{[]string{`foo="a\", wait=7", wait=2`}, 2 * time.Second, false, "wait=2"},
		{[]string{`wait="3`}, 0, false, ""},
		{[]string{`wait="\3"`}, 3 * time.Second, false, "wait=3"},
		{[]string{`wait="3"4"`}, 0, false, ""},
		{[]string{`wait="3\`, ",;,=,\"", "wait=1"}, 0, false, ""},
		{[]string{",, ,wait=1,"}, time.Second, false, "wait=1"},
	} {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			g := good()
			r := put(customerPath, customer)
			r.Header["Prefer"] = tt.fields
			w := do(open(g, Options{}), r)
			_, cmd := g.calls()
			if cmd.Wait != tt.wait || cmd.Strict != tt.strict {
				t.Errorf("%q: wait %v, strict %v, want %v, %v", tt.fields, cmd.Wait, cmd.Strict, tt.wait, tt.strict)
			}
			if got := w.Header().Get("Preference-Applied"); got != tt.applied {
				t.Errorf("%q: Preference-Applied = %q, want %q", tt.fields, got, tt.applied)
			}
		})
	}
}
