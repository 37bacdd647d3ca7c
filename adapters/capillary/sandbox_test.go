package capillary

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/capillary/sandbox"
	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
)

// organisation is an emulated organization and a route to it.
type organisation struct {
	*sandbox.Sandbox
	provider.Opened
	server *httptest.Server
	token  canonical.Secret
}

func organise(t *testing.T, opts sandbox.Options, settings map[string]any) *organisation {
	t.Helper()
	s := sandbox.New(opts)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	route := s.Route()
	o := provider.Options{Route: name, BaseURL: base, Settings: route.Settings, Credentials: map[string]canonical.Secret{}}
	for key, value := range settings {
		o.Settings[key] = value
	}
	for key, value := range route.Credentials {
		o.Credentials[key] = canonical.Secret(value)
	}
	opened, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return &organisation{Sandbox: s, Opened: opened, server: server}
}

// send does what the gateway's transport does, less all of its care.
func (o *organisation) send(t *testing.T, req *canonical.Request) *canonical.Reply {
	t.Helper()
	r, err := http.NewRequest(req.Method, o.server.URL+req.Path, bytes.NewReader(req.Body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = req.Header.Clone()
	for key, value := range o.Auth.Header {
		r.Header.Set(key, value.Reveal())
	}
	if o.token != "" && req.Op != "token" {
		r.Header.Set(o.Auth.Token.Header, o.Auth.Token.Prefix+o.token.Reveal())
	}
	resp, err := o.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &canonical.Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// authenticate fetches a token, if the route has one.
func (o *organisation) authenticate(t *testing.T) {
	t.Helper()
	if o.Auth.Token == nil {
		return
	}
	token, lives, err := o.Auth.Token.Read(o.send(t, &o.Auth.Token.Request))
	if err != nil || lives != 300*time.Second {
		t.Fatalf("token: %v, lives %v; want 5m", err, lives)
	}
	o.token = token
}

func (o *organisation) upsert(t *testing.T, u canonical.Upsert) (canonical.Outcome, error) {
	t.Helper()
	req, _, err := o.Adapter.Translate(u)
	return o.follow(t, u, canonical.Outcome{Next: req}, err)
}

// follow sends what is left of an upsert.
func (o *organisation) follow(t *testing.T, u canonical.Upsert, out canonical.Outcome, err error) (canonical.Outcome, error) {
	t.Helper()
	for err == nil && out.Next != nil {
		req := out.Next
		out, err = o.Adapter.Interpret(u, req, o.send(t, req))
	}
	return out, err
}

// upsertAll sends a batch, and what has to be sent alone.
func (o *organisation) upsertAll(t *testing.T, us []canonical.Upsert) []canonical.Row {
	t.Helper()
	b := o.Adapter.(canonical.Batcher)
	req, rows := b.TranslateBatch(us)
	if req != nil {
		rows = b.InterpretBatch(us, req, o.send(t, req))
	}
	for i := range rows {
		rows[i].Outcome, rows[i].Err = o.follow(t, us[i], rows[i].Outcome, rows[i].Err)
	}
	return rows
}

// everyField is a route to an organization that has all extended fields of the
// emulator.
var everyField = map[string]any{
	"extended_fields": map[string]any{
		"gender": "gender", "birth_date": "dob", "city": "city", "region": "state", "street": "area", "postal_code": "zip",
		"country": "country_of_residence", "language": "preferred_language", "lead_medium": "acquisition_channel",
	},
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	for _, basic := range []bool{false, true} {
		o := organise(t, sandbox.Options{Basic: basic}, everyField)
		o.authenticate(t)
		for _, customer := range []string{"person", "organization", "everything", "minimal", "empty", "clearing"} {
			u := adaptertest.Upsert(adaptertest.Customer(t, customer), name, name, "")
			created, err := o.upsert(t, u)
			if err != nil {
				t.Errorf("basic %v: %s: %v %+v", basic, customer, err, canonical.AsError(err))
				continue
			}
			again, err := o.upsert(t, u)
			if err != nil || again.RemoteID != created.RemoteID || created.RemoteID == "" {
				t.Errorf("basic %v: %s again: id %q, %v; want %q", basic, customer, again.RemoteID, err, created.RemoteID)
			}
		}
		records := o.Records()
		i := slices.IndexFunc(records, func(r emulator.Record) bool { return strings.Contains(string(r.Document), "cust-3003") })
		if i < 0 {
			t.Fatalf("the organization does not hold cust-3003")
		}
		for _, part := range []string{`"34612345678"`, `"1979/11/30"`, `"CARD0000022598"`, `"wx-garcia"`, `"loyalty"`, `"gold"`} {
			if !strings.Contains(string(records[i].Document), part) {
				t.Errorf("the record lacks %s: %s", part, records[i].Document)
			}
		}
	}
}

func TestSandboxVerdicts(t *testing.T) {
	t.Parallel()
	o := organise(t, sandbox.Options{}, nil)
	u := upsert(t, "c1", `{"emails":[{"value":"a@example.com"}],"phoneNumbers":[{"value":"+4917012345678"}],"loyalty":{"status":"Nonsense"}}`)
	want := func(what string, code canonical.Code, pointer string) {
		t.Helper()
		_, err := o.upsert(t, u)
		e := canonical.AsError(err)
		if e == nil || e.Code != code || pointer != "" && (len(e.Fields) == 0 || e.Fields[0].Pointer != pointer) {
			t.Errorf("%s: %+v, want %s at %q", what, e, code, pointer)
		}
	}
	want("no token", canonical.UpstreamUnauthenticated, "")
	o.authenticate(t)
	_, err := o.upsert(t, u)
	if e := canonical.AsError(err); e == nil || e.UpstreamCode != "8086" || len(e.Fields) == 0 || e.Fields[0].Pointer != "/loyalty/status" {
		t.Errorf("undefined label: %+v, want 8086 at /loyalty/status", e)
	}
	u = upsert(t, "c1", `{"emails":[{"value":"a@example.com"}],"phoneNumbers":[{"value":"+4917012345678"}]}`)
	o.Busy("c1", 1)
	want("busy", canonical.UpstreamBusy, "")
	o.Judge("c1", sandbox.Verdict{Errors: []sandbox.Issue{{Code: 3017, Message: "status label invalid"}}, Times: 1})
	want("in part", canonical.UpstreamPartiallyApplied, "/loyalty/status")
	o.Judge("c1", sandbox.Verdict{Warnings: []sandbox.Issue{{Code: 8055, Message: "Invalid email id"}}, Times: 1})
	want("in part, by a warning", canonical.UpstreamPartiallyApplied, "/emails/0/value")
	o.Refuse(sandbox.RefuseAccessGroup)
	want("access group", canonical.UpstreamForbidden, "")
	o.Refuse(sandbox.RefuseClientScope)
	want("scope", canonical.UpstreamForbidden, "")
	o.Refuse(sandbox.RefuseAuthorization)
	want("authorization", canonical.UpstreamUnavailable, "")
	o.Clear()
	o.ExpireTokens()
	want("expired", canonical.UpstreamUnauthenticated, "")
	o.authenticate(t)
	if out, err := o.upsert(t, u); err != nil || out.RemoteID == "" {
		t.Errorf("after all: %+v, %v; want success", out, err)
	}
}

func TestSandboxBatch(t *testing.T) {
	t.Parallel()
	for _, opts := range []sandbox.Options{{}, {FailureStatus: 201, Empty: sandbox.EmptyObject}, {Empty: sandbox.EmptyNull}, {Empty: sandbox.EmptyAbsent}, {ReverseRows: true}} {
		o := organise(t, opts, nil)
		o.authenticate(t)
		us := []canonical.Upsert{
			upsert(t, "b1", `{"emails":[{"value":"b1@example.com"}],"phoneNumbers":[{"value":"+4917012345671"}]}`),
			upsert(t, "b2", `{"emails":[{"value":"b2@example.com"}],"phoneNumbers":[{"value":"+4917012345672"}],"loyalty":{"cardNumber":"C2","cardSeries":"9"}}`),
			upsert(t, "b3", `{"emails":[{"value":"b3@example.com"}],"phoneNumbers":[{"value":"+4917012345673"}]}`),
		}
		o.Busy("b3", 0)
		rows := o.upsertAll(t, us)
		if rows[0].Err != nil || rows[0].Outcome.RemoteID == "" {
			t.Errorf("%+v: row 0 = %+v, want success", opts, rows[0])
		}
		if e := canonical.AsError(rows[1].Err); e == nil || e.Code != canonical.UpstreamPartiallyApplied || rows[1].Outcome.RemoteID == "" {
			t.Errorf("%+v: row 1 = %+v, want %s: its card is in no series", opts, rows[1], canonical.UpstreamPartiallyApplied)
		}
		if e := canonical.AsError(rows[2].Err); e == nil || e.Code != canonical.UpstreamBusy {
			t.Errorf("%+v: row 2 = %+v, want busy", opts, rows[2])
		}
	}
}

// TestLive plays the suite of emulators, where the application's id is among the
// identifiers and where only what customers may share is.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, keys := range [][]any{{"externalId", "mobile", "email"}, {"mobile", "email"}} {
		adaptertest.RunLive(t, func(t *testing.T) adaptertest.Live {
			clock := emulator.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
			o := organise(t, sandbox.Options{Now: clock.Now}, map[string]any{"identifiers": keys})
			o.authenticate(t)
			return adaptertest.Live{
				Adapter: o.Adapter,
				Send:    func(req *canonical.Request) *canonical.Reply { return o.send(t, req) },
				Records: func() any { return o.Records() },
				Delete:  o.Delete,
			}
		})
	}
}
