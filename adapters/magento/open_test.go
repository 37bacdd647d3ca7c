package magento

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

type secrets = map[string]canonical.Secret

func open(t *testing.T, base string, settings map[string]any, creds secrets) (provider.Opened, section.Faults) {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Provider.Open(provider.Options{Route: "shop", BaseURL: u, Settings: settings, Credentials: creds})
	var faults section.Faults
	if err != nil && !errors.As(err, &faults) {
		t.Fatalf("Open returns %T, want section.Faults", err)
	}
	return opened, faults
}

func TestOpenAuth(t *testing.T) {
	t.Parallel()
	site := map[string]any{"website_id": 1, "store": "de"}
	opened, faults := open(t, "https://shop.example", site, secrets{"consumer_key": "k", "consumer_secret": "s", "access_token": "t", "access_token_secret": "u"})
	if o := opened.Auth.OAuth1; faults != nil || o == nil || o.ConsumerKey != "k" || o.ConsumerSecret != "s" || o.Token != "t" || o.TokenSecret != "u" || opened.Auth.Token != nil || opened.Auth.Header != nil {
		t.Errorf("four credentials give %+v, %v; want OAuth 1.0a", opened.Auth, faults)
	}
	opened, faults = open(t, "https://shop.example", site, secrets{"access_token": "t"})
	if faults != nil || opened.Auth.Header["Authorization"].Reveal() != "Bearer t" || opened.Auth.OAuth1 != nil {
		t.Errorf("an access token gives %+v, %v; want a bearer", opened.Auth, faults)
	}
	opened, faults = open(t, "https://shop.example", site, secrets{"username": "gateway", "password": `p"w`})
	token := opened.Auth.Token
	if faults != nil || token == nil {
		t.Fatalf("a user gives %+v, %v; want a token call", opened.Auth, faults)
	}
	if r := token.Request; r.Op != "token" || r.Method != "POST" || r.Path != "/rest/de/V1/integration/admin/token" || string(r.Body) != `{"username":"gateway","password":"p\"w"}` || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("token call is %+v", r)
	}
	if token.Lifetime != 4*time.Hour || token.Header != "Authorization" || token.Prefix != "Bearer " {
		t.Errorf("token is used as %q %q for %s", token.Header, token.Prefix, token.Lifetime)
	}
}

func TestReadToken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		status int
		body   string
		token  string
		code   canonical.Code
	}{
		{"token", 200, `"abc123"`, "abc123", ""},
		{"jwt", 200, `"eyJ.a-b_c.d"`, "eyJ.a-b_c.d", ""},
		{"object", 200, `{"token": "abc"}`, "", canonical.UpstreamInvalidResponse},
		{"page", 200, `<html></html>`, "", canonical.UpstreamInvalidResponse},
		{"empty", 200, `""`, "", canonical.UpstreamInvalidResponse},
		{"wrong", 401, `{"message": "The account sign-in was incorrect or your account is disabled temporarily. Please wait and try again later."}`, "", canonical.UpstreamUnauthenticated},
		{"second factor", 400, `{"message": "Please use the 2fa provider-specific endpoints to obtain a token.", "parameters": {"active_providers": ["google"]}}`, "", canonical.UpstreamUnauthenticated},
		{"bad request", 400, `{"message": "\"%fieldName\" is required.", "parameters": {"fieldName": "username"}}`, "", canonical.UpstreamUnauthenticated},
		{"masked", 400, `{"message": "Internal Error. Details are available in Magento log file. Report ID: webapi-1"}`, "", canonical.UpstreamUnavailable},
		{"no route", 404, `{"message": "Request does not match any route."}`, "", canonical.UpstreamMisconfigured},
		{"maintenance", 503, `<html></html>`, "", canonical.UpstreamUnavailable},
		{"limited", 429, `{"message": "Too Many Requests"}`, "", canonical.UpstreamRateLimited},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			token, _, err := readToken(&canonical.Request{Op: "token"}, &canonical.Reply{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})
			if e := canonical.AsError(err); token.Reveal() != tt.token || tt.code == "" && e != nil || tt.code != "" && (e == nil || e.Code != tt.code || e.Op != "token") {
				t.Errorf("readToken = %q, %+v; want %q, %s", token.Reveal(), e, tt.token, tt.code)
			}
		})
	}
}

// TestOpenFaults holds that every fault is found, all at once and without a
// credential in it.
func TestOpenFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		base     string
		settings map[string]any
		creds    secrets
		want     string
	}{
		{"nothing", "https://shop.example", nil, nil, "credentials settings.website_id"},
		{"half of OAuth", "https://shop.example", map[string]any{"website_id": 1}, secrets{"consumer_key": "hush"}, "credentials.access_token credentials.access_token_secret credentials.consumer_secret"},
		{"user without password", "https://shop.example", map[string]any{"website_id": 1}, secrets{"username": "hush"}, "credentials.password"},
		{"user and integration", "https://shop.example", map[string]any{"website_id": 1}, secrets{"username": "hush", "password": "hush", "access_token": "hush"}, "credentials"},
		{"unknown credential", "https://shop.example", map[string]any{"website_id": 1}, secrets{"access_token": "hush", "api_key": "hush"}, "credentials.api_key"},
		{"base below the root", "https://shop.example/rest/default/V1", map[string]any{"website_id": 1}, secrets{"access_token": "hush"}, "base_url"},
		{"cloud service", "https://na1.api.commerce.adobe.com/x", map[string]any{"website_id": 1}, secrets{"access_token": "hush"}, "base_url"},
		{"global accounts need no website", "https://shop.example/index.php", map[string]any{"global_accounts": true}, secrets{"access_token": "hush"}, ""},
		{"every setting", "https://shop.example", map[string]any{
			"website_id": -1, "store": "a/b", "store_id": -1, "group_id": -1, "version": "1.9", "street_lines": 0, "addresses": "keep", "admin_token_lifetime": "1s",
			"require": []any{"shoe"}, "optional_postcode": []any{"gb"}, "region_ids": map[string]any{"NY": 43}, "genders": map[string]any{"male": 0},
			"groups": map[string]any{"vip": 1}, "custom_attributes": map[string]any{"a": "x", "b": "x", "c": "X y"}, "websiteid": 1,
		}, secrets{"access_token": "hush"},
			"settings.addresses settings.admin_token_lifetime settings.custom_attributes.b settings.custom_attributes.c settings.genders.male settings.group_id settings.groups.vip settings.optional_postcode settings.region_ids.NY settings.require settings.store settings.store_id settings.street_lines settings.version settings.website_id settings.websiteid"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, faults := open(t, tt.base, tt.settings, tt.creds)
			var keys []string
			for _, f := range faults {
				keys = append(keys, f.Key)
			}
			if got := strings.Join(keys, " "); got != tt.want {
				t.Errorf("faults are at %q, want %q", got, tt.want)
			}
			if strings.Contains(faults.Error(), "hush") {
				t.Error("a fault has a credential in it")
			}
		})
	}
}
