package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"customer-gateway/adapters/provider"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// compileSchema compiles the schema, with the provider fake beside the real ones.
func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	text := config.Schema()
	with := bytes.Replace(text, []byte(`"enum": [
                "april",`), []byte(`"enum": [
                "fake",
                "april",`), 1)
	if bytes.Equal(with, text) {
		t.Fatal("the schema has no list of providers that begins with april")
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(with))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asJSON returns a YAML file as an editor's validator sees it.
func asJSON(t testing.TB, file []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(file, &v); err != nil {
		t.Fatal(err)
	}
	return plain(v)
}

// plain makes all keys texts and all numbers those of JSON.
func plain(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = plain(e)
		}
	case map[any]any:
		m := map[string]any{}
		for k, e := range v {
			m[fmt.Sprint(k)] = plain(e)
		}
		return m
	case []any:
		for i, e := range v {
			v[i] = plain(e)
		}
	case int, int64, uint64:
		return json.Number(fmt.Sprint(v))
	}
	return v
}

func TestSchemaTakesExample(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	for name, file := range map[string][]byte{"example": config.Example(), "least": []byte(least)} {
		if err := s.Validate(asJSON(t, file)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	first, _, _ := strings.Cut(string(config.Example()), "\n")
	if first != "# yaml-language-server: $schema=config.schema.json" {
		t.Errorf("the example begins with %q", first)
	}
}

// node is the part of a JSON Schema that this test walks.
type node struct {
	Ref        string          `json:"$ref"`
	Properties map[string]node `json:"properties"`
	Additional json.RawMessage `json:"additionalProperties"`
	Items      *node           `json:"items"`
	AnyOf      []node          `json:"anyOf"`
	Defs       map[string]node `json:"$defs"`
	Default    any             `json:"default"`
}

// schemaKeys returns the keys of the schema that the gateway itself decodes, as
// paths, and their nodes. Routes are *, elements of lists [].
func schemaKeys(t *testing.T) map[string]node {
	t.Helper()
	var root node
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	keys := map[string]node{}
	var walk func(at string, n node)
	walk = func(at string, n node) {
		if name, ok := strings.CutPrefix(n.Ref, "#/$defs/"); ok {
			walk(at, root.Defs[name])
		}
		for name, p := range n.Properties {
			keys[strings.TrimPrefix(at+"."+name, ".")] = p
			walk(strings.TrimPrefix(at+"."+name, "."), p)
		}
		var each node
		if len(n.Additional) > 0 && n.Additional[0] == '{' && json.Unmarshal(n.Additional, &each) == nil {
			walk(at+".*", each)
		}
		for _, alternative := range n.AnyOf {
			walk(at, alternative)
		}
		if n.Items != nil {
			walk(at+"[]", *n.Items)
		}
	}
	walk("", root)
	return keys
}

// decoderKeys returns the keys that the decoder knows, as schemaKeys does.
func decoderKeys() []string {
	var keys []string
	var walk func(at string, t reflect.Type)
	walk = func(at string, t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer:
			walk(at, t.Elem())
		case reflect.Slice:
			walk(at+"[]", t.Elem())
		case reflect.Map:
			walk(at+".*", t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				name := f.Tag.Get("koanf")
				if at == "" && f.IsExported() {
					name = strings.ToLower(f.Name) // a section
				}
				if name != "" {
					key := strings.TrimPrefix(at+"."+name, ".")
					keys = append(keys, key)
					walk(key, f.Type)
				}
			}
		}
	}
	walk("", reflect.TypeFor[config.Config]())
	slices.Sort(keys)
	return keys
}

func TestSchemaHasTheKeysOfTheDecoder(t *testing.T) {
	t.Parallel()
	got, want := slices.Sorted(maps.Keys(schemaKeys(t))), decoderKeys()
	if len(want) < 50 || !slices.Equal(got, want) {
		t.Errorf("keys of the schema\n%v\nkeys of the decoder\n%v", got, want)
	}
}

func TestSchemaDefaults(t *testing.T) {
	t.Parallel()
	stated := 0
	for key, n := range schemaKeys(t) {
		if n.Default == nil {
			continue
		}
		stated++
		if f, ok := n.Default.(float64); ok && f == float64(int(f)) {
			n.Default = int(f)
		}
		with, without := load(t, config.Source{YAML: []byte(least)}), load(t, config.Source{
			YAML: []byte(least), Overrides: map[string]any{strings.ReplaceAll(key, "*", "shop-eu"): n.Default},
		})
		if fmt.Sprintf("%+v", with.Server) != fmt.Sprintf("%+v", without.Server) || with.Log != without.Log ||
			fmt.Sprintf("%+v", with.Ledger) != fmt.Sprintf("%+v", without.Ledger) || !reflect.DeepEqual(with.Routes, without.Routes) {
			t.Errorf("%s: %v is not the default", key, n.Default)
		}
	}
	if stated < 25 {
		t.Errorf("only %d defaults", stated)
	}
}

// samples are values of every kind, good and bad for some key.
var samples = []any{
	nil, true, false, "true", "false", "yes", "", "x", "hello world", 0, 1, -1, 7, 10, 11, 100000, 0.5, 1.5, 1.0001, -0.5,
	"0", "1", "-1", "7", "11", "0.5", "1e-1", "1.5", "5/s", "300/m", "3000/10m", "off", "5/", "0/s", "5/0s", "/s", "5s", "0s", "-1s", "+1m", "1h30m", ".5s", "1.s",
	"100ms", "90", "1MiB", "512KiB", "100B", "1 KiB", "1MB", "0B", "-5B", "debug", "info", "INFO", "json", "text", "sqlite", "none", "postgres",
	"until_delivered", "latest", "warn", "refuse", "follow", "fake", "april", "nobody", ":8080", "localhost:80", "localhost", "[::1]:1",
	"https://api.example.com", "http://[::1]:80/x", "HTTPS://x/a@b", "ftp://x", "https://u:p@x", "https://x?y", "https://x#y", "https://:1", "//x",
	foo, strings.ToUpper(foo), foo[1:], "read", "write", "read, write", "admin", "*", "a", []any{}, []any{"read"}, []any{"write", "read"}, []any{"admin"}, []any{"*"}, []any{"a"},
	[]any{map[string]any{}}, map[string]any{}, map[string]any{"k": "v"}, map[string]any{"nonsense": 1}, map[string]any{"k": 1},
	"${env:GOOD}", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=", []any{"MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI="},
}

// laxer are the values that the decoder refuses and no schema can, as regular
// expressions of JSON Schema cannot count.
func laxer(key string, value any) bool {
	text, _ := value.(string)
	return strings.HasPrefix(text, "${") || // what the variable holds
		key == "ledger.encryption.keys" && value != nil || // a text is a list with commas
		key == "ledger.dsn" || key == "server.write_timeout" || key == "server.deadline" || key == "server.read_timeout" || // by others
		key == "routes.*.retry.max_age" || key == "server.max_header" || // least values
		strings.HasSuffix(key, ".failure_ratio") || text == "5/0s" || text == "0/s" ||
		key == "auth.keys[].routes" // names of routes
}

// Every key is given every sample: the schema takes what Load takes, and refuses
// what Load refuses for its type or range.
func TestSchemaAgreesWithLoad(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	var providers []provider.Provider
	for _, name := range []string{"fake", "april"} {
		providers = append(providers, provider.Provider{Name: name, Open: func(provider.Options) (provider.Opened, error) { return provider.Opened{}, nil }})
	}
	tried, refused := 0, 0
	for _, key := range decoderKeys() {
		for _, sample := range samples {
			doc := map[string]any{
				"auth":   map[string]any{"keys": []any{map[string]any{"name": "x", "sha256": foo, "scopes": []any{"read"}, "routes": []any{"*"}}}},
				"routes": map[string]any{"a": map[string]any{"provider": "fake", "base_url": "https://api.example.com"}},
			}
			put(doc, strings.Split(strings.NewReplacer("*", "a", "[]", ".0").Replace(key), "."), sample)
			file, err := yaml.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = config.LoadAndOpen(config.Source{YAML: file, Environ: []string{"GOOD=" + foo}}, providers)
			bySchema := s.Validate(asJSON(t, file))
			tried++
			if bySchema != nil {
				refused++
			}
			var faults section.Faults
			errors.As(err, &faults)
			text, _ := sample.(string)
			switch {
			case err == nil && bySchema != nil:
				t.Errorf("%s: %#v is taken by Load, but not by the schema: %v", key, sample, bySchema)
			case err != nil && bySchema == nil && !laxer(key, sample) && !strings.HasPrefix(text, "${"):
				t.Errorf("%s: %#v is taken by the schema, but not by Load: %v", key, sample, err)
			}
		}
	}
	if tried < 4000 || refused < tried/3 || refused == tried {
		t.Errorf("%d values tried, %d refused", tried, refused)
	}
}

// put sets the value at the path in doc.
func put(doc any, path []string, value any) {
	for ; len(path) > 1; path = path[1:] {
		switch in := doc.(type) {
		case map[string]any:
			if in[path[0]] == nil {
				in[path[0]] = map[string]any{}
			}
			doc = in[path[0]]
		case []any:
			doc = in[0]
		}
	}
	doc.(map[string]any)[path[0]] = value
}
