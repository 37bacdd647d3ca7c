package magento

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/magento/sandbox"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
)

// shop is an emulated shop and the adapter for it.
type shop struct {
	*sandbox.Sandbox
	url     string
	token   string
	adapter canonical.Adapter
}

// newShop starts a shop and opens a route to it with an admin token, the one way
// of authentication that a plain client can do.
func newShop(t *testing.T, opts sandbox.Options, settings map[string]any) *shop {
	t.Helper()
	opts.RouteAuth = sandbox.Admin
	s := &shop{Sandbox: sandbox.New(opts)}
	server := httptest.NewServer(s.Sandbox)
	t.Cleanup(server.Close)
	s.url = server.URL
	route := s.Route()
	maps.Copy(route.Settings, settings)
	creds := secrets{}
	for k, v := range route.Credentials {
		creds[k] = canonical.Secret(v)
	}
	base, err := url.Parse(server.URL + route.BasePath)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(provider.Options{Route: "shop", BaseURL: base, Settings: route.Settings, Credentials: creds})
	if err != nil {
		t.Fatal(err)
	}
	s.adapter = opened.Adapter
	token, _, err := opened.Auth.Token.Read(s.send(t, &opened.Auth.Token.Request))
	if err != nil {
		t.Fatalf("token: %v", err)
	}
	s.token = token.Reveal()
	return s
}

func (s *shop) send(t *testing.T, r *canonical.Request) *canonical.Reply {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), r.Method, s.url+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = r.Header.Clone()
	if s.token != "" {
		req.Header.Set("Authorization", "Bearer "+s.token)
	}
	resp, err := http.DefaultClient.Do(req)
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

// upsert does the whole chain and returns its steps beside its end.
func (s *shop) upsert(t *testing.T, customer, remoteID string) (canonical.Outcome, []string, error) {
	t.Helper()
	u := adaptertest.Upsert(adaptertest.Decode(t, "c1", []byte(customer)), "shop", name, remoteID)
	r, _, err := s.adapter.Translate(u)
	if err != nil {
		return canonical.Outcome{}, nil, err
	}
	var ops []string
	for {
		if slices.Contains(ops, r.Op) {
			t.Fatalf("step %s comes twice: %v", r.Op, ops)
		}
		ops = append(ops, r.Op)
		out, err := s.adapter.Interpret(u, r, s.send(t, r))
		if err != nil || out.Next == nil {
			return out, ops, err
		}
		r = out.Next
	}
}

// record returns what the shop holds under an id.
func (s *shop) record(t *testing.T, id string) canonical.Value {
	t.Helper()
	for _, r := range s.Records() {
		if r.ID == id {
			v, err := canonical.Parse(r.Document)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("the shop has no customer %s", id)
	return canonical.Value{}
}

const (
	jane   = `"name": {"givenName": "Jane", "familyName": "Doe"}, "emails": [{"value": "jane+doe@example.com"}], "phoneNumbers": [{"value": "+15165551111"}]`
	home   = `{"type": "billing", "lines": ["160 1st St"], "city": "Mineola", "region": "NY", "postalCode": "11501", "country": "US"}`
	office = `{"type": "shipping", "lines": ["1 Main St"], "city": "Buffalo", "region": "NY", "postalCode": "14201", "country": "US", "company": "Acme"}`
)

func ids(v canonical.Value) []string {
	var all []string
	for i := range v.Get("addresses").Len() {
		all = append(all, v.Get("addresses").At(i).Get("id").Str())
	}
	slices.Sort(all)
	return all
}

// TestSandbox plays the life of a customer against the emulated shop.
func TestSandbox(t *testing.T) {
	t.Parallel()
	for _, version := range []sandbox.Version{sandbox.V23, sandbox.V24, sandbox.V247, sandbox.V248} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			s := newShop(t, sandbox.Options{Version: version, StrictDefaults: version == sandbox.V247}, nil)
			step := func(customer, remoteID, wantOps string, action canonical.Action) canonical.Outcome {
				t.Helper()
				out, ops, err := s.upsert(t, "{"+customer+"}", remoteID)
				if err != nil {
					e := canonical.AsError(err)
					t.Fatalf("upsert: %v after %v: %s %+v", err, ops, e.Message, e.Fields)
				}
				if got := strings.Join(ops, " "); got != wantOps || out.Action != action {
					t.Errorf("steps are %q with %q, want %q with %q", got, out.Action, wantOps, action)
				}
				return out
			}
			id := step(jane+`, "addresses": [`+home+`, `+office+`]`, "", "search create", canonical.ActionCreated).RemoteID
			held := ids(s.record(t, id))
			if len(held) != 2 {
				t.Fatalf("the shop holds addresses %v, want two", held)
			}
			step(jane+`, "gender": "female"`, id, "update", canonical.ActionUpdated)
			step(jane+`, "addresses": [`+home+`, `+office+`]`, id, "read update", canonical.ActionUpdated)
			step(jane+`, "addresses": [`+office+`]`, "", "search update_found", canonical.ActionUpdated)
			step(jane+`, "addresses": []`, id, "update", canonical.ActionUpdated)
			record := s.record(t, id)
			if got := ids(record); !slices.Equal(got, held) {
				t.Errorf("address ids are %v after updates, want %v as before", got, held)
			}
			if record.Get("gender").Str() != "2" {
				t.Error("the gender is lost")
			}
			step(jane, "4711", "update search update_found", canonical.ActionUpdated)
			step(jane+`, "addresses": [`+home+`]`, "4711", "read search update_found", canonical.ActionUpdated)
			if n := len(s.Records()); n != 1 {
				t.Errorf("the shop has %d customers, want 1", n)
			}
		})
	}
}

func TestSandboxReplace(t *testing.T) {
	t.Parallel()
	s := newShop(t, sandbox.Options{StrictDefaults: true}, map[string]any{"addresses": "replace"})
	both := strings.Replace(home, `"billing"`, `["billing", "shipping"]`, 1)
	plain := strings.Replace(office, `"type": "shipping", `, "", 1)
	out, _, err := s.upsert(t, "{"+jane+`, "addresses": [`+both+`, `+plain+`]}`, "")
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(both, "160 1st St", "5 Oak Ave", 1)
	if _, _, err = s.upsert(t, "{"+jane+`, "addresses": [`+moved+`]}`, out.RemoteID); err != nil {
		t.Fatalf("%v %s", err, canonical.AsError(err).Message)
	}
	if got := s.record(t, out.RemoteID).Get("addresses"); got.Len() != 1 || got.At(0).Get("street").At(0).Str() != "5 Oak Ave" {
		t.Errorf("addresses are %s, want the stated one", got.Encode())
	}
	s.Configure(func(o *sandbox.Options) { o.StrictDefaults = false })
	if _, _, err = s.upsert(t, "{"+jane+`, "addresses": null}`, out.RemoteID); err != nil {
		t.Fatal(err)
	}
	if got := s.record(t, out.RemoteID).Get("addresses"); got.Len() != 0 {
		t.Errorf("addresses are %s, want none", got.Encode())
	}
}

// TestSandboxShared holds that customers shared between websites are found and
// stay where they are.
func TestSandboxShared(t *testing.T) {
	t.Parallel()
	s := newShop(t, sandbox.Options{GlobalSharing: true}, map[string]any{"global_accounts": true})
	if _, err := s.Seed(`{"email": "Jane+Doe@example.com", "firstname": "J", "lastname": "D", "website_id": 2, "store_id": 3, "group_id": 2}`); err != nil {
		t.Fatal(err)
	}
	out, ops, err := s.upsert(t, "{"+jane+"}", "")
	if err != nil || strings.Join(ops, " ") != "search update_found" {
		t.Fatalf("upsert = %v, %v", ops, err)
	}
	got := s.record(t, out.RemoteID)
	if got.Get("website_id").Str() != "2" || got.Get("store_id").Str() != "3" || got.Get("group_id").Str() != "2" || got.Get("firstname").Str() != "Jane" {
		t.Errorf("record is %s, want the new name in the old place", got.Encode())
	}
}

// TestSandboxRefusals holds what the shop's own refusals become.
func TestSandboxRefusals(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		opts     sandbox.Options
		settings map[string]any
		more     string
		change   func(*shop)
		code     canonical.Code
		pointer  string
	}{
		{name: "region", more: `"addresses": [` + strings.Replace(home, "NY", "ZZ", 1) + `]`, code: canonical.UpstreamInvalid, pointer: "/addresses/0/region"},
		{name: "group", settings: map[string]any{"group_id": 99}, code: canonical.UpstreamInvalid},
		{name: "store view", settings: map[string]any{"store": "nowhere"}, code: canonical.UpstreamMisconfigured},
		{name: "store view, page", opts: sandbox.Options{HTMLNotFound: true}, settings: map[string]any{"store": "nowhere"}, code: canonical.UpstreamMisconfigured},
		{name: "country dropped", opts: sandbox.Options{Countries: []string{"US"}}, more: `"addresses": [` + home + `, {"country": "DE", "lines": ["x"], "city": "y", "postalCode": "10117"}]`, code: canonical.UpstreamPartiallyApplied, pointer: "/addresses/1/country"},
		{name: "lines", opts: sandbox.Options{StreetLines: 1}, more: `"addresses": [` + strings.Replace(home, `"160 1st St"`, `"a", "b"`, 1) + `]`, code: canonical.UpstreamInvalid, pointer: "/addresses/0/lines"},
		{name: "right", opts: sandbox.Options{Rights: []string{}}, code: canonical.UpstreamUnauthenticated},
		{name: "token", change: func(s *shop) { s.ExpireTokens() }, code: canonical.UpstreamUnauthenticated},
		{name: "unknown member", opts: sandbox.Options{Version: sandbox.V247}, more: `"providerData": {"magento": {"favourite_colour": 1}}`, code: canonical.UpstreamInvalid, pointer: "/providerData/magento/favourite_colour"},
		{name: "unknown member, masked", more: `"providerData": {"magento": {"favourite_colour": 1}}`, code: canonical.UpstreamUnavailable},
		{name: "other website", change: func(s *shop) {
			if _, err := s.Seed(`{"email": "jane+doe@example.com", "firstname": "J", "lastname": "D", "website_id": 2, "store_id": 3}`); err != nil {
				panic(err)
			}
		}, opts: sandbox.Options{GlobalSharing: true}, code: canonical.UpstreamDuplicate, pointer: "/emails/0/value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, tt.opts, nil)
			if tt.settings != nil { // the token is fetched with settings that work
				config := map[string]any{"website_id": 1, "store": "default"}
				maps.Copy(config, tt.settings)
				base, _ := url.Parse(s.url)
				opened, err := Open(provider.Options{BaseURL: base, Settings: config, Credentials: secrets{"access_token": "x"}})
				if err != nil {
					t.Fatal(err)
				}
				s.adapter = opened.Adapter
			}
			if tt.change != nil {
				tt.change(s)
			}
			customer := "{" + jane
			if tt.more != "" {
				customer += ", " + tt.more
			}
			_, ops, err := s.upsert(t, customer+"}", "")
			e := canonical.AsError(err)
			if e == nil || e.Code != tt.code {
				shown, _ := json.Marshal(s.Records())
				t.Fatalf("upsert = %v after %v, want %s; the shop holds %s", err, ops, tt.code, shown)
			}
			if tt.pointer != "" && (len(e.Fields) == 0 || e.Fields[0].Pointer != tt.pointer) {
				t.Errorf("fields are %+v, want %s", e.Fields, tt.pointer)
			}
		})
	}
}

// TestLive plays the suite of emulators.
func TestLive(t *testing.T) {
	t.Parallel()
	adaptertest.RunLive(t, func(t *testing.T) adaptertest.Live {
		s := newShop(t, sandbox.Options{}, nil)
		return adaptertest.Live{
			Adapter: s.adapter,
			Send:    func(r *canonical.Request) *canonical.Reply { return s.send(t, r) },
			Records: func() any { return s.Records() },
			Delete:  s.Delete,
		}
	})
}
