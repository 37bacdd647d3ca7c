package complyt

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/complyt/sandbox"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
)

// bench is a route to an emulator.
type bench struct {
	t      *testing.T
	box    *sandbox.Sandbox
	base   string
	opened provider.Opened
	token  canonical.Secret
}

func newBench(t *testing.T, options sandbox.Options, exclusive bool) *bench {
	t.Helper()
	box := sandbox.New(options)
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	b := &bench{t: t, box: box, base: server.URL + box.Route().BasePath}
	credentials := map[string]canonical.Secret{}
	for key, value := range box.Route().Credentials {
		credentials[key] = canonical.Secret(value)
	}
	o := optionsFor(t, box.Route().Settings, credentials, b.base)
	o.Exclusive = exclusive
	var err error
	if b.opened, err = Open(o); err != nil {
		t.Fatal(err)
	}
	if b.token, _, err = b.opened.Auth.Token.Read(b.send(&b.opened.Auth.Token.Request)); err != nil {
		t.Fatalf("token: %v", err)
	}
	return b
}

// send does what the gateway's transport does.
func (b *bench) send(r *canonical.Request) *canonical.Reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), r.Method, b.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header = r.Header.Clone()
	if b.token != "" {
		req.Header.Set(b.opened.Auth.Token.Header, b.opened.Auth.Token.Prefix+b.token.Reveal())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &canonical.Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}
}

// upsert follows an upsert to its end and returns the operations.
func (b *bench) upsert(u canonical.Upsert) (canonical.Outcome, string, error) {
	b.t.Helper()
	next, _, err := b.opened.Adapter.Translate(u)
	var out canonical.Outcome
	var ops []string
	for next != nil && err == nil {
		ops = append(ops, next.Op)
		out, err = b.opened.Adapter.Interpret(u, next, b.send(next))
		next = out.Next
	}
	return out, strings.Join(ops, " "), err
}

// held is what the emulator holds of a customer.
func (b *bench) held(id string) canonical.Value {
	b.t.Helper()
	r, ok := b.box.Record("1", id)
	if !ok {
		b.t.Fatalf("the emulator holds no customer %q", id)
	}
	v, err := canonical.Parse(r.Document)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]sandbox.Options{
		"newest": {}, "snake": {SnakeToken: true, CompleteEcho: true}, "older": {Errors: sandbox.Older}, "oldest": {Errors: sandbox.Oldest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, options, false)
			full := `"name":{"givenName":"Kim","familyName":"Lee"},"emails":[{"value":"kim@example.com"}],"note":"hi","addresses":[{"lines":["1 Main St"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}],` + dated
			steps := []struct {
				members string
				action  canonical.Action
				ops     string
			}{
				{full, canonical.ActionCreated, "read upsert"},
				{full, canonical.ActionNone, "read"},
				{`"name":{"formatted":"Kim L. Lee"}`, canonical.ActionUpdated, "read upsert"},
				{`"note":null`, canonical.ActionUpdated, "read upsert"},
			}
			const id = "a/b 7"
			var remote string
			for _, step := range steps {
				out, ops, err := b.upsert(upsert(t, id, step.members))
				if err != nil || out.Action != step.action || ops != step.ops {
					t.Fatalf("upsert of %s = %s after %s, %v %+v, want %s after %s", step.members, out.Action, ops, err, canonical.AsError(err), step.action, step.ops)
				}
				if out.RemoteID == "" || remote != "" && out.RemoteID != remote {
					t.Errorf("RemoteID = %q, want one that stays (%q)", out.RemoteID, remote)
				}
				remote = out.RemoteID
			}
			held := b.held(id)
			if got := held.Get("name").Str() + "|" + held.Get("email").Str() + "|" + held.Get("comment").Str() + "|" + held.Get("address", "zip").Str(); got != "Kim L. Lee|kim@example.com||11501" {
				t.Errorf("the record is %s (%s)", got, held.Encode())
			}
			_, ops, err := b.upsert(upsert(t, "new", named))
			checkError(t, err, canonical.MappingRequiredMissing, []string{"required /createdAt", "required /updatedAt"})
			if ops != "read" {
				t.Errorf("operations = %s, want the read alone", ops)
			}
		})
	}
}

// TestSandboxTakesSharedCustomers holds that what Translate lets through is what
// the provider takes.
func TestSandboxTakesSharedCustomers(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{}, true)
	for _, customer := range []string{"person", "organization", "everything", "clearing"} {
		u := adaptertest.Upsert(adaptertest.Customer(t, customer), name, name, "")
		for _, want := range []canonical.Action{canonical.ActionCreated, canonical.ActionUpdated} {
			out, ops, err := b.upsert(u)
			if err != nil || out.Action != want || ops != "upsert" {
				t.Errorf("%s = %s after %s, %v, want %s", customer, out.Action, ops, err, want)
			}
		}
	}
}

// TestSandboxComplains sends what the adapter itself would refuse, and holds
// that the provider's complaints find their way back.
func TestSandboxComplains(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		spoil func(body map[string]any)
		code  canonical.Code
		field string // one that must be among them; "" for none
	}{
		{"no name", func(b map[string]any) { delete(b, "name") }, canonical.UpstreamInvalid, "/name/formatted"},
		{"bad zip", func(b map[string]any) { b["address"].(map[string]any)["zip"] = "1" }, canonical.UpstreamInvalid, "/addresses/0/postalCode"},
		{"long city", func(b map[string]any) { b["address"].(map[string]any)["city"] = strings.Repeat("x", 101) }, canonical.UpstreamInvalid, "/addresses/0/city"},
		{"no time", func(b map[string]any) { b["externalTimestamps"].(map[string]any)["createdDate"] = nil }, canonical.UpstreamInvalid, "/createdAt"},
		{"impossible time", func(b map[string]any) { b["externalTimestamps"].(map[string]any)["updatedDate"] = "2023-02-29" }, canonical.UpstreamInvalid, "/updatedAt"},
		{"long comment", func(b map[string]any) { b["comment"] = strings.Repeat("x", 201) }, canonical.UpstreamInvalid, "/note"},
		{"unknown type", func(b map[string]any) { b["customerType"] = "X" }, canonical.UpstreamInvalid, ""},
	}
	for revision, errors := range map[string]sandbox.Revision{"newest": sandbox.Newest, "older": sandbox.Older, "oldest": sandbox.Oldest} {
		for _, tt := range tests {
			t.Run(revision+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				b := newBench(t, sandbox.Options{Errors: errors, RepeatMessage: true, AddressErrors: revision == "older"}, true)
				u := upsert(t, "7", theCustomer)
				u.ProviderData = nil
				req, _, err := b.opened.Adapter.Translate(u)
				if err != nil {
					t.Fatal(err)
				}
				var body map[string]any
				if err := json.Unmarshal(req.Body, &body); err != nil {
					t.Fatal(err)
				}
				tt.spoil(body)
				if req.Body, err = json.Marshal(body); err != nil {
					t.Fatal(err)
				}
				reply := b.send(req)
				_, err = b.opened.Adapter.Interpret(u, req, reply)
				e := canonical.AsError(err)
				if e == nil || e.Code != tt.code {
					t.Fatalf("error = %v, want %s (%s)", err, tt.code, reply.Body)
				}
				found := tt.field == ""
				for _, f := range e.Fields {
					found = found || f.Pointer == tt.field
				}
				if !found {
					t.Errorf("fields = %+v, want %s (%s)", e.Fields, tt.field, reply.Body)
				}
			})
		}
	}
}

func TestSandboxRefusesToken(t *testing.T) {
	t.Parallel()
	b := newBench(t, sandbox.Options{}, false)
	b.token = "expired"
	_, _, err := b.upsert(upsert(t, "7", named))
	checkError(t, err, canonical.UpstreamUnauthenticated, nil)
	b.token = ""
	request := b.opened.Auth.Token.Request
	request.Body = bytes.Replace(request.Body, []byte(sandbox.ClientSecret), []byte("wrong"), 1)
	_, _, err = b.opened.Auth.Token.Read(b.send(&request))
	checkError(t, err, canonical.UpstreamUnauthenticated, nil)
}

// TestLive plays the suite of emulators.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, exclusive := range []bool{false, true} {
		adaptertest.RunLive(t, func(t *testing.T) adaptertest.Live {
			b := newBench(t, sandbox.Options{}, exclusive)
			return adaptertest.Live{Adapter: b.opened.Adapter, Send: b.send, Records: func() any { return b.box.Records() }, Delete: b.box.Delete}
		})
	}
}
