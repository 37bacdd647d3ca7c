package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"customer-gateway/adapters"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// providerSchema compiles a part of the configuration's schema.
func providerSchema(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json#/$defs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// knownKeys are those that a provider names when it is given one that it does not
// know.
func knownKeys(t *testing.T, err error, at string) []string {
	t.Helper()
	const none = "zzzzzzzzzzzzzzzzzzzz"
	var faults section.Faults
	errors.As(err, &faults)
	for _, f := range faults {
		if rest, ok := strings.CutPrefix(f.Error(), at+"."+none+": is not known here; known are "); ok {
			return strings.Split(rest, ", ")
		}
	}
	t.Fatalf("%s: no known keys in %v", at, err)
	return nil
}

// ofType matches the decoder's faults about types.
var ofType = regexp.MustCompile(`must be (a text; put|true or false|a whole number|a number|a list|a duration with|a mapping of)`)

// The schema knows the provider's own sections as the provider does: the same
// keys, and the same types.
func TestSchemaOfProviders(t *testing.T) {
	t.Parallel()
	var doc struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(config.Schema(), &doc); err != nil {
		t.Fatal(err)
	}
	listed := providerSchema(t, "route/properties/provider")
	if listed.Validate("nobody") == nil {
		t.Error("the schema takes any provider")
	}
	samples := []any{true, "true", "yes", 1, "1", 1.5, "text", "8s", []any{"text"}, []any{map[string]any{}}, map[string]any{}, map[string]any{"x": "text"}, map[string]any{"x": 1}, nil}
	for _, p := range adapters.All {
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			if err := listed.Validate(p.Name); err != nil {
				t.Errorf("not among the providers: %v", err)
			}
			open := func(settings map[string]any, credentials map[string]canonical.Secret) error {
				_, err := p.Open(provider.Options{Route: "a", BaseURL: &url.URL{Scheme: "https", Host: "api.example.com"}, Settings: settings, Credentials: credentials})
				return err
			}
			err := open(map[string]any{"zzzzzzzzzzzzzzzzzzzz": 1}, map[string]canonical.Secret{"zzzzzzzzzzzzzzzzzzzz": "x"})
			for _, part := range []string{"settings", "credentials"} {
				got := slices.Sorted(maps.Keys(doc.Defs[p.Name+strings.ToUpper(part[:1])+part[1:]].Properties))
				if want := knownKeys(t, err, part); !slices.Equal(got, want) {
					t.Errorf("%s of the schema\n%v\nof the provider\n%v", part, got, want)
				}
			}
			s := providerSchema(t, p.Name+"Settings")
			for _, key := range knownKeys(t, err, "settings") {
				for _, sample := range samples {
					var faults section.Faults
					errors.As(open(map[string]any{key: sample}, nil), &faults)
					var typed, faulty bool
					for _, f := range faults {
						if f.Key == "settings."+key || strings.HasPrefix(f.Key, "settings."+key+".") || strings.HasPrefix(f.Key, "settings."+key+"[") {
							faulty, typed = true, typed || ofType.MatchString(f.Message)
						}
					}
					switch refused := s.Validate(map[string]any{key: sample}); {
					case typed && refused == nil:
						t.Errorf("%s: %#v is taken by the schema, but not by the provider: %v", key, sample, faults)
					case !faulty && refused != nil:
						t.Errorf("%s: %#v is taken by the provider, but not by the schema: %v", key, sample, refused)
					}
				}
			}
		})
	}
}
