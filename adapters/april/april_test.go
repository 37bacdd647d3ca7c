package april

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/april/sandbox"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

func suite() adaptertest.Case {
	return adaptertest.Case{Adapters: []adaptertest.Setup{
		{Adapter: New(Config{MerchantID: "mcht_Zz6SN_8bIUK88SSm", Organization: true})},
		{Name: "address", Adapter: New(Config{Address: true, IsVerified: "email", LowerCaseEmail: true})},
	}, Without: []string{"created", "updated"}, Described: []adaptertest.Setup{
		{Name: "required", Adapter: New(Config{Address: true, Require: []string{"phoneNumber", "givenName", "familyName"}})},
	}}
}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite()) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite()) }

func TestOpen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		base     string
		key      string
		settings map[string]any
		want     []string // beginnings of the faults
	}{
		{"marketplace key", "https://api.au.meetapril.io", "live_api_x", map[string]any{"merchant_id": "mcht_1"}, nil},
		{"merchant secret on a host of one's own", "http://127.0.0.1:1", "sandbox_sk_x", nil, nil},
		{"public key", "https://api.au.meetapril.io", "live_pk_x", nil, []string{"credentials.api_key: is a public key"}},
		{"sandbox key, live host", "https://api.au.meetapril.io", "sandbox_sk_x", nil, []string{"credentials.api_key: is a sandbox key"}},
		{"live key, sandbox host", "https://api.sandbox.au.meetapril.io", "live_api_x", nil, []string{"credentials.api_key: is a live key"}},
		{"Limepay", "https://api.limepay.com.au", "live_sk_x", nil, []string{"base_url: is a host of the retired"}},
		{"no key", "https://api.au.meetapril.io", "", nil, []string{"credentials.api_key: is required"}},
		{"everything wrong", "https://api.limepay.com.au", "abc", map[string]any{"is_verified": "true", "require": []any{"email"}, "merchant": "x"},
			[]string{"base_url", "credentials.api_key: is not an April key", "settings.is_verified", "settings.merchant", "settings.require"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			base, err := url.Parse(tt.base)
			if err != nil {
				t.Fatal(err)
			}
			credentials := map[string]canonical.Secret{}
			if tt.key != "" {
				credentials["api_key"] = canonical.Secret(tt.key)
			}
			opened, err := Open(provider.Options{Route: "april", BaseURL: base, Settings: tt.settings, Credentials: credentials})
			var faults section.Faults
			if err != nil && !errors.As(err, &faults) {
				t.Fatalf("error %T, want section.Faults", err)
			}
			if len(faults) != len(tt.want) {
				t.Fatalf("faults:\n%v\nwant %d", err, len(tt.want))
			}
			for i, want := range tt.want {
				if got := faults[i].Error(); !strings.HasPrefix(got, want) || tt.key != "" && strings.Contains(got, tt.key) {
					t.Errorf("fault %q, want %q… and no key in it", got, want)
				}
			}
			if err == nil && opened.Auth.Header["Authorization"].Reveal() != "Bearer "+tt.key {
				t.Error("the key is not sent as a bearer token")
			}
		})
	}
}

// The adapter and the emulator were written from the same sheet and agree.
func TestAgainstSandbox(t *testing.T) {
	t.Parallel()
	box := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(box)
	defer server.Close()
	route := box.Route()
	merchant, _ := route.Settings["merchant_id"].(string)
	a := New(Config{MerchantID: merchant, Organization: true})
	for _, name := range []string{"person", "organization", "minimal", "everything"} {
		u := adaptertest.Upsert(adaptertest.Customer(t, name), "april", "april", "")
		ids := map[string]bool{}
		for range 2 {
			req, _, err := a.Translate(u)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out, err := a.Interpret(u, req, adaptertest.Send(t, server.URL, req, http.Header{"Authorization": {"Bearer " + route.Credentials["api_key"]}}))
			if err != nil || out.Next != nil || out.RemoteID == "" {
				t.Fatalf("%s: %+v, %v: %s", name, out, err, canonical.AsError(err).Message)
			}
			ids[out.RemoteID] = true
		}
		if len(ids) != 1 {
			t.Errorf("%s: two upserts made %d customers, want 1", name, len(ids))
		}
	}
}

func TestDisabledOrganizations(t *testing.T) {
	t.Parallel()
	_, _, err := New(Config{}).Translate(adaptertest.Upsert(adaptertest.Customer(t, "organization"), "april", "april", ""))
	e := canonical.AsError(err)
	if e == nil || e.Code != canonical.MappingUnrepresentable || e.Fields[0].Pointer != "/kind" {
		t.Errorf("error %v, want mapping.unrepresentable at /kind", err)
	}
}

func TestProviderData(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		`{"april": {"isVerified": false, "metadata": {"tier": 1}}}`,
		`{"april": {"UpsertConsumerCustomer": {"isVerified": false, "metadata": {"tier": 1}}}}`,
		`{"april": {"metadata": {"tier": 2}}, "april-au": {"isVerified": false, "metadata": {"tier": 1}}}`,
	} {
		c := adaptertest.Decode(t, "c", []byte(`{"emails":[{"value":"a@example.com"}],"attributes":{"segment":"gold"},"providerData":`+data+`}`))
		req, notices, err := New(Config{}).Translate(adaptertest.Upsert(c, "april-au", "april", ""))
		if err != nil || len(notices) != 0 {
			t.Fatalf("%v %v", notices, err)
		}
		const want = `{"UpsertConsumerCustomer":{"emailAddress":"a@example.com","referenceCustomerId":"c","metadata":{"segment":"gold","tier":1},"isVerified":false}}`
		got, _ := canonical.Parse(req.Body)
		wanted, _ := canonical.Parse([]byte(want))
		if !got.Equal(wanted) {
			t.Errorf("%s:\n%s\nwant\n%s", data, req.Body, want)
		}
	}
}

// TestRequired holds that a required field which the caller's own providerData
// clears is reported there, and that a blank text counts as none.
func TestRequired(t *testing.T) {
	t.Parallel()
	for customer, want := range map[string]string{
		`{}`: "mapping.required_missing required /emails",
		`{"emails":[{"value":"a@example.com"}],"providerData":{"april":{"emailAddress":null}}}`:                            "mapping.required_missing required /providerData/april/emailAddress",
		`{"emails":[{"value":"a@example.com"}],"providerData":{"april":{"UpsertConsumerCustomer":{"emailAddress":null}}}}`: "mapping.required_missing required /providerData/april/UpsertConsumerCustomer/emailAddress",
		`{"emails":[{"value":"a@example.com"}],"name":{"givenName":" "}}`:                                                  "mapping.unrepresentable invalid /name/givenName",
	} {
		_, _, err := New(Config{}).Translate(adaptertest.Upsert(adaptertest.Decode(t, "c", []byte(customer)), "april-au", "april", ""))
		e := canonical.AsError(err)
		if e == nil || len(e.Fields) != 1 || string(e.Code)+" "+string(e.Fields[0].Code)+" "+e.Fields[0].Pointer != want {
			t.Errorf("%s: error = %v %+v, want %s", customer, err, e, want)
		}
	}
}

func TestAddressLines(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]string{`"1 A St"`: "", `"1 A St","B"`: "", `"1 A St","B","C"`: "changed /addresses/0/lines"} {
		c := adaptertest.Decode(t, "c", []byte(`{"emails":[{"value":"a@example.com"}],"addresses":[{"lines":[`+lines+`]}]}`))
		_, notices, err := New(Config{Address: true}).Translate(adaptertest.Upsert(c, "april", "april", ""))
		got := ""
		for _, n := range notices {
			got += string(n.Code) + " " + n.Pointer
		}
		if err != nil || got != want {
			t.Errorf("%s: notices = %q, %v, want %q", lines, got, err, want)
		}
	}
}

// TestRandom sends random customers: April refuses nothing that was not refused
// before sending but e-mail addresses outside of ASCII, about which nothing is
// published.
func TestRandom(t *testing.T) {
	t.Parallel()
	box := sandbox.New(sandbox.Options{AllowUnknown: true}) // for address, which is not published either
	server := httptest.NewServer(box)
	t.Cleanup(server.Close)
	route := box.Route()
	merchant, _ := route.Settings["merchant_id"].(string)
	random := rand.New(rand.NewPCG(1, 1))
	for i := range 400 {
		a := New(Config{MerchantID: merchant, Organization: true, Address: i%2 == 0, IsVerified: []string{"omit", "false", "email"}[i%3], LowerCaseEmail: i%5 == 0})
		data := adaptertest.Random(t, random)
		c := adaptertest.Decode(t, fmt.Sprint("c-", i), data)
		u := adaptertest.Upsert(c, "april", "april", "")
		req, _, err := a.Translate(u)
		if err != nil {
			for _, f := range canonical.AsError(err).Fields {
				if f.Pointer == "" {
					t.Errorf("%s: refused without a pointer: %+v", data, f)
				}
			}
			continue
		}
		out, err := a.Interpret(u, req, adaptertest.Send(t, server.URL, req, http.Header{"Authorization": {"Bearer " + route.Credentials["api_key"]}}))
		if i := c.PrimaryEmail(); err != nil && strings.Contains(c.Emails.Value()[i].Value.Value(), "ü") {
			if e := canonical.AsError(err); e.Code != canonical.UpstreamInvalid || e.Fields[0].Pointer != fmt.Sprintf("/emails/%d/value", i) {
				t.Errorf("%s: %v %v, want a complaint about the e-mail address", data, err, e.Fields)
			}
			continue
		}
		if err != nil || out.RemoteID == "" {
			t.Errorf("%s: %+v, %v: %v", data, out, err, canonical.AsError(err).Fields)
		}
	}
}

// TestLive plays the suite of emulators.
func TestLive(t *testing.T) {
	t.Parallel()
	adaptertest.RunLive(t, func(t *testing.T) adaptertest.Live {
		box := sandbox.New(sandbox.Options{})
		server := httptest.NewServer(box)
		t.Cleanup(server.Close)
		route := box.Route()
		merchant, _ := route.Settings["merchant_id"].(string)
		return adaptertest.Live{
			Adapter: New(Config{MerchantID: merchant, Organization: true}),
			Send: func(req *canonical.Request) *canonical.Reply {
				return adaptertest.Send(t, server.URL, req, http.Header{"Authorization": {"Bearer " + route.Credentials["api_key"]}})
			},
			Records: func() any { return box.Records() },
			Delete:  box.Delete,
		}
	})
}
