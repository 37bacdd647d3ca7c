package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"customer-gateway/gateway"
)

// holding is a configuration of two routes to one provider, which differ in what
// they hold.
const holding = `{"routes": {
	"april": {"provider": "april", "base_url": "https://api.example", "credentials": {"api_key": "sandbox_sk_x"}},
	"april-full": {"provider": "april", "base_url": "https://api.example", "credentials": {"api_key": "sandbox_sk_x"},
		"settings": {"address": true, "organization": true, "require": ["phoneNumber"]}},
	"rebilly": {"provider": "rebilly", "base_url": "https://api.example/organizations/x", "credentials": {"api_key": "sk_x"}}}}`

func TestCapabilities(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(holding), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args   []string
		code   int
		out    []string // patterns
		errout string
	}{
		{args: nil, out: []string{
			`(?m)^FIELD +april +april-full +rebilly$`,
			`(?m)^/addresses/\*/city +- +lossy +lossy <=45 \[\]$`,
			`(?m)^/phoneNumbers/\*/value +lossy +lossy ! +held$`,
			`(?m)^/note +- +- +-$`,
		}},
		{args: []string{"--kind", "organization"}, out: []string{
			`(?m)^/organization/name +- +held ! +held <=255 \[\]$|(?m)^/organization/name +- +held ! +held \[\]$`,
			`(?m)^april takes no customers of kind organization: april: organizations are off`,
		}},
		{args: []string{"april"}, out: []string{
			`(?m)^april \(april\), customers of kind person$`,
			`(?m)^/emails/\*/value +lossy +yes +- +one element only: the primary one, else the first +emailAddress$`,
			`(?m)^/addresses/\*/city +unsupported +- +- +settings\.address is off +-$`,
		}},
		{args: []string{"rebilly"}, out: []string{
			`(?m)^/name/givenName +held +- +45 +may only have characters up to U\+FFFF \(no emoji\) +primaryAddress\.firstName$`,
		}},
		{args: []string{"april", "--kind", "organization"}, out: []string{`^april \(april\) takes no customers of kind organization: `}},
		{args: []string{"april-ful"}, code: exitUsage, errout: `has no route "april-ful"; did you mean "april-full"?`},
		{args: []string{"april", "rebilly"}, code: exitUsage, errout: "takes one route at most, but got 2"},
		{args: []string{"--kind", "company"}, code: exitUsage, errout: `--kind "company": must be person or organization`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			code, out, errout := call(t.Context(), nil, append([]string{"capabilities", "-c", file}, tt.args...)...)
			if code != tt.code || !strings.Contains(errout, tt.errout) || tt.errout == "" && errout != "" {
				t.Errorf("exit code %d, standard error %q, want %d and %q", code, errout, tt.code, tt.errout)
			}
			for _, want := range tt.out {
				if !regexp.MustCompile(want).MatchString(out) {
					t.Errorf("the output lacks %s:\n%s", want, out)
				}
			}
		})
	}
}

// A running gateway tells the same as the command.
func TestCapabilitiesServed(t *testing.T) {
	g := serve(t, holding[:len(holding)-1]+`, "ledger": {"driver": "none"}}`)
	defer g.stop()
	var served, printed gateway.Capabilities
	if err := json.Unmarshal([]byte(get(t, g.url+"/v1/routes/april-full/capabilities")), &served); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(holding), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errout := call(t.Context(), nil, "capabilities", "april-full", "--json", "-c", file)
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errout)
	}
	if err := json.Unmarshal([]byte(out), &printed); err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(served)
	b, _ := json.Marshal(printed)
	if string(a) != string(b) || len(served.Kinds) != 2 || len(served.Kinds[0].Fields) == 0 {
		t.Errorf("served %s\nprinted %s", a, b)
	}
}
