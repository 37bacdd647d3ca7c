package provider_test

import (
	"errors"
	"strings"
	"testing"

	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

func TestOptionsDecode(t *testing.T) {
	t.Parallel()
	opts := provider.Options{
		Settings:    map[string]any{"website_id": "7"},
		Credentials: map[string]canonical.Secret{"api_key": "s3cret"},
	}
	var settings struct {
		WebsiteID int `koanf:"website_id"`
	}
	var credentials struct {
		APIKey canonical.Secret `koanf:"api_key"`
	}
	if err := opts.DecodeSettings(&settings); err != nil {
		t.Errorf("DecodeSettings = %v", err)
	}
	if err := opts.DecodeCredentials(&credentials); err != nil {
		t.Errorf("DecodeCredentials = %v", err)
	}
	if settings.WebsiteID != 7 || credentials.APIKey.Reveal() != "s3cret" {
		t.Errorf("got %+v and %q", settings, credentials.APIKey.Reveal())
	}
}

func TestOptionsDecodeFaults(t *testing.T) {
	t.Parallel()
	opts := provider.Options{
		Settings:    map[string]any{"websiteid": 7, "retries": "many"},
		Credentials: map[string]canonical.Secret{"apikey": "s3cret", "number": "s3cret"},
	}
	var settings struct {
		WebsiteID string `koanf:"website_id"`
		Retries   int    `koanf:"retries"`
	}
	var credentials struct {
		APIKey canonical.Secret `koanf:"api_key"`
		Number int              `koanf:"number"`
	}
	var faults section.Faults
	faults.Join(opts.DecodeSettings(&settings), opts.DecodeCredentials(&credentials))
	faults.Add("credentials.api_key", "is missing")
	err := faults.Err()
	want := strings.Join([]string{
		"credentials.api_key: is missing",
		`credentials.apikey: is not known here; did you mean "api_key"?`,
		"credentials.number: must be a whole number",
		"settings.retries: must be a whole number",
		`settings.websiteid: is not known here; did you mean "website_id"?`,
	}, "\n")
	if err == nil || err.Error() != want {
		t.Errorf("faults:\n%v\nwant:\n%s", err, want)
	}
	if !errors.As(err, new(section.Faults)) {
		t.Errorf("%T is not Faults", err)
	}
}
