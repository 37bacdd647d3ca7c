package april

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/adapters/april/sandbox"
	"customer-gateway/canonical"
)

// april makes an upsert of customer c for a route of the provider's name.
func april(t *testing.T, members string) canonical.Upsert {
	t.Helper()
	return adaptertest.Upsert(adaptertest.Decode(t, "c", []byte("{"+members+"}")), "april", "april", "")
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	const jane = `"emails":[{"value":"jane@example.com"}]`
	organization := `"kind":"organization","organization":{"name":"Acme"},"taxIds":[{"value":"1"}],`
	tests := []struct {
		name, was, is string
		changed       bool
		pointer       string // of the new key
	}{
		{"another name", jane, jane + `,"name":{"givenName":"Jane"}`, false, "/emails/0/value"},
		{"another address", jane, `"emails":[{"value":"doe@example.com"}]`, true, "/emails/0/value"},
		{"another is primary", jane, `"emails":[{"value":"jane@example.com"},{"value":"doe@example.com","primary":true}]`, true, "/emails/1/value"},
		{"one more", jane, jane[:len(jane)-1] + `,{"value":"doe@example.com"}]`, false, "/emails/0/value"},
		{"another case", jane, `"emails":[{"value":"Jane@example.com"}]`, true, "/emails/0/value"},
		{"by providerData", jane, jane + `,"providerData":{"april":{"emailAddress":"doe@example.com"}}`, true, "/providerData/april/emailAddress"},
		{"by providerData, inside of the action", jane, jane + `,"providerData":{"april":{"UpsertConsumerCustomer":{"emailAddress":"doe@example.com"}}}`, true,
			"/providerData/april/UpsertConsumerCustomer/emailAddress"},
		{"another address of an organization", organization + jane, organization + `"emails":[{"value":"doe@example.com"}]`, false, "/kind"},
		{"a person becomes an organization", jane, organization + jane, true, "/kind"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := New(Config{Organization: true})
			was, is := a.Identity(april(t, tt.was)), a.Identity(april(t, tt.is))
			if got := is.Changed(was.Digest()); got != tt.changed {
				t.Errorf("Changed = %v, want %v: %+v, then %+v", got, tt.changed, was.Keys, is.Keys)
			}
			if len(is.Keys) != 1 || is.Keys[0].Pointer != tt.pointer {
				t.Errorf("keys %+v, want one of %s", is.Keys, tt.pointer)
			}
		})
	}
	a := New(Config{LowerCaseEmail: true})
	if a.Identity(april(t, `"emails":[{"value":"Jane@example.com"}]`)).Changed(a.Identity(april(t, jane)).Digest()) {
		t.Error("lower_case_email: another case counts as a change")
	}
	if keys := a.Identity(april(t, `"phoneNumbers":[{"value":"+61401234567"}]`)).Keys; len(keys) != 0 {
		t.Errorf("without an address there are the keys %+v, want none", keys)
	}
}

// TestFollow holds that a second customer, which April alone could prevent, is told
// of, with the one before.
func TestFollow(t *testing.T) {
	t.Parallel()
	box := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(box)
	defer server.Close()
	route := box.Route()
	merchant, _ := route.Settings["merchant_id"].(string)
	a := New(Config{MerchantID: merchant})
	first := ""
	for i, address := range []string{"jane@example.com", "doe@example.com"} {
		u := april(t, fmt.Sprintf(`"emails":[{"value":%q}]`, address))
		u.RemoteID, u.Follow = first, i > 0
		req, notices, err := a.Translate(u)
		if err != nil {
			t.Fatal(err)
		}
		out, err := a.Interpret(u, req, adaptertest.Send(t, server.URL, req, http.Header{"Authorization": {"Bearer " + route.Credentials["api_key"]}}))
		if err != nil || out.RemoteID == first {
			t.Fatalf("%s = %+v, %v; want a customer other than %q", address, out, err, first)
		}
		if i == 0 {
			first = out.RemoteID
			continue
		}
		if len(notices) != 1 || notices[0].Code != canonical.NoticeIdentity || notices[0].Pointer != "/emails/0/value" || !strings.Contains(notices[0].Message, first) {
			t.Errorf("notices %+v, want one at /emails/0/value that names %s", notices, first)
		}
	}
	if n := len(box.Records()); n != 2 {
		t.Errorf("April holds %d customers, want 2", n)
	}
}
