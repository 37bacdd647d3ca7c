package canonical

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "rewrite customer.schema.json")

func TestSchemaFile(t *testing.T) {
	want := jsontext.Value(Schema().Encode())
	if err := want.Indent(jsontext.WithIndent("  ")); err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("customer.schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(SchemaJSON(), want) {
		t.Error("customer.schema.json is not what Schema builds; review the change and run: go test ./canonical -run SchemaFile -update")
	}
}

func compileSchema(t testing.TB) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema().Encode()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("customer.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("customer.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schemaAccepts validates a document as somebody else's tool would.
func schemaAccepts(t testing.TB, s *jsonschema.Schema, doc []byte) bool {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(doc))
	if err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return s.Validate(v) == nil
}

// decodes reports whether DecodeCustomer takes the document under its own id.
func decodes(doc []byte) (bool, *Error) {
	id := "cust-1"
	if v, err := Parse(doc); err == nil && CheckID(v.Get("id").Str()) == nil {
		id = v.Get("id").Str()
	}
	_, err := DecodeCustomer(id, doc)
	return err == nil, AsError(err)
}

func TestSchemaTakesSharedCustomers(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	files, _ := filepath.Glob("../testdata/customers/*.json")
	if len(files) == 0 {
		t.Fatal("no customers")
	}
	for _, file := range files {
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !schemaAccepts(t, s, doc) {
			t.Errorf("the schema refuses %s", file)
		}
		if ok, e := decodes(doc); !ok {
			t.Errorf("DecodeCustomer refuses %s: %v", file, e.Fields)
		}
	}
}

// TestSchemaDescribesEverything holds that every node carries its rules into
// the schema: a description, a closed object, a bounded list.
func TestSchemaDescribesEverything(t *testing.T) {
	t.Parallel()
	var walk func(path string, s Value)
	walk = func(path string, s Value) {
		types := string(s.Get("type").Encode())
		switch {
		case strings.Contains(types, "object") && s.Get("additionalProperties").IsZero():
			t.Errorf("%s: an object without additionalProperties", path)
		case strings.Contains(types, "array") && s.Get("maxItems").IsZero():
			t.Errorf("%s: a list without maxItems", path)
		case strings.Contains(types, "string") && s.Get("enum").IsZero() && s.Get("pattern").IsZero():
			t.Errorf("%s: a string without enum and pattern", path)
		}
		properties := s.Get("properties")
		for i := range properties.Len() {
			p := properties.At(i)
			if p.Get("description").Str() == "" {
				t.Errorf("%s/%s: no description", path, properties.NameAt(i))
			}
			walk(path+"/"+properties.NameAt(i), p)
		}
		if items := s.Get("items"); !items.IsZero() {
			walk(path+"/*", items)
		}
	}
	walk("", Schema())
}

// TestSchemaAgrees holds that schema and decoder take and refuse the same.
func TestSchemaAgrees(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	long := func(n int) string { return strings.Repeat("x", n) }
	list := func(element string, n int) string {
		return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
	}
	object := func(value string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",%q:%s", fmt.Sprint("k", i), value)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	tests := []struct {
		doc  string
		want bool
	}{
		{`{}`, true},
		{`[]`, false},
		{`null`, false},
		{`{"id":"a"}`, true},
		{`{"id":null}`, false},
		{`{"id":""}`, false},
		{`{"id":"."}`, false},
		{`{"id":".."}`, false},
		{`{"id":"..."}`, true},
		{`{"id":"` + long(128) + `"}`, true},
		{`{"id":"` + long(129) + `"}`, false},
		{`{"kind":"person"}`, true},
		{`{"kind":null}`, true},
		{`{"kind":"Person"}`, false},
		{`{"Kind":"person"}`, false},
		{`{"name":null}`, true},
		{`{"name":{}}`, true},
		{`{"name":"Kim"}`, false},
		{`{"name":{"givenName":null}}`, true},
		{`{"name":{"givenName":""}}`, false},
		{`{"name":{"givenName":"a\tb"}}`, false},
		{`{"name":{"givenName":"a\u0085b"}}`, false},
		{`{"name":{"givenName":"` + long(255) + `"}}`, true},
		{`{"name":{"givenName":"` + long(256) + `"}}`, false},
		{`{"name":{"givenName":"` + strings.Repeat("🎉", 255) + `"}}`, true},
		{`{"name":{"nick":"a"}}`, false},
		{`{"note":"a\n\r\tb"}`, true},
		{`{"note":"a\u000bb"}`, false},
		{`{"note":"` + long(10_001) + `"}`, false},
		{`{"emails":[]}`, true},
		{`{"emails":null}`, true},
		{`{"emails":[null]}`, false},
		{`{"emails":[{}]}`, false},
		{`{"emails":[{"value":null}]}`, false},
		{`{"emails":[{"value":"a@b.c"}]}`, true},
		{`{"emails":[{"value":"a@b.c","primary":"yes"}]}`, false},
		{`{"emails":[{"value":"a@b.c","primary":null}]}`, true},
		{`{"emails":` + list(`{"value":"a@b.c"}`, 20) + `}`, true},
		{`{"emails":` + list(`{"value":"a@b.c"}`, 21) + `}`, false},
		{`{"phoneNumbers":` + list(`{"value":"+1234"}`, 21) + `}`, false},
		{`{"taxIds":` + list(`{"value":"1"}`, 21) + `}`, false},
		{`{"addresses":` + list(`{}`, 50) + `}`, true},
		{`{"addresses":` + list(`{}`, 51) + `}`, false},
		{`{"consents":` + list(`{"channel":"sms","granted":true}`, 51) + `}`, false},
		{`{"consents":[{"channel":"sms"}]}`, false},
		{`{"identifiers":` + list(`{"type":"a","value":"b"}`, 51) + `}`, false},
		{`{"addresses":[{"type":"billing"}]}`, true},
		{`{"addresses":[{"type":null}]}`, true},
		{`{"addresses":[{"type":""}]}`, false},
		{`{"addresses":[{"type":[]}]}`, true},
		{`{"addresses":[{"type":["billing","office"]}]}`, false},
		{`{"addresses":[{"type":[null]}]}`, false},
		{`{"addresses":[{"type":` + list(`"home"`, 5) + `}]}`, true},
		{`{"addresses":[{"type":` + list(`"home"`, 6) + `}]}`, false},
		{`{"addresses":[{"lines":[]}]}`, true},
		{`{"addresses":[{"lines":[""]}]}`, false},
		{`{"addresses":[{"lines":"a"}]}`, false},
		{`{"addresses":[{"lines":[1]}]}`, false},
		{`{"addresses":[{"lines":` + list(`"a"`, 11) + `}]}`, false},
		{`{"addresses":[{"country":"DE"}]}`, true},
		{`{"addresses":[{"country":null}]}`, true},
		{`{"addresses":[{"country":"de"}]}`, false},
		{`{"addresses":[{"country":"UK"}]}`, false},
		{`{"addresses":[{"country":""}]}`, false},
		{`{"birthDate":"2024-02-29"}`, true},
		{`{"birthDate":null}`, true},
		{`{"birthDate":"0000-01-01"}`, false},
		{`{"birthDate":"2024-1-1"}`, false},
		{`{"birthDate":"2024-13-01"}`, false},
		{`{"birthDate":"2024-01-01T00:00:00Z"}`, false},
		{`{"updatedAt":"2024-01-01T00:00:00Z"}`, true},
		{`{"updatedAt":"2024-01-01T00:00:00.123456789012+23:59"}`, true},
		{`{"updatedAt":"2024-01-01T00:00:00"}`, false},
		{`{"updatedAt":"2024-01-01t00:00:00z"}`, false},
		{`{"updatedAt":"2024-01-01 00:00:00Z"}`, false},
		{`{"updatedAt":"2024-01-01T3:00:00Z"}`, false},
		{`{"updatedAt":"2024-01-01T00:00:00,5Z"}`, false},
		{`{"updatedAt":"2024-01-01T24:00:00Z"}`, false},
		{`{"updatedAt":"2024-01-01T00:00:60Z"}`, false},
		{`{"updatedAt":"2024-01-01T00:00:00+24:00"}`, false},
		{`{"attributes":{}}`, true},
		{`{"attributes":[]}`, false},
		{`{"attributes":{"a":"","b":1e400,"c":true,"d":null,"e":["x",1,false]}}`, true},
		{`{"attributes":{"a":{}}}`, false},
		{`{"attributes":{"a":[null]}}`, false},
		{`{"attributes":{"a":[[]]}}`, false},
		{`{"attributes":{"":"a"}}`, false},
		{`{"attributes":{"a\nb":"a"}}`, false},
		{`{"attributes":{"` + long(128) + `":"a"}}`, true},
		{`{"attributes":{"` + long(129) + `":"a"}}`, false},
		{`{"attributes":{"a":"` + long(10_000) + `"}}`, true},
		{`{"attributes":{"a":"` + long(10_001) + `"}}`, false},
		{`{"attributes":{"a":["` + long(10_001) + `"]}}`, false},
		{`{"attributes":{"a":"b\u0000"}}`, false},
		{`{"attributes":{"a":` + list("1", 1000) + `}}`, true},
		{`{"attributes":{"a":` + list("1", 1001) + `}}`, false},
		{`{"attributes":` + object("1", 60) + `}`, true},
		{`{"attributes":` + object("1", 61) + `}`, false},
		{`{"externalIds":{"april":"a"}}`, true},
		{`{"externalIds":{"april":""}}`, false},
		{`{"externalIds":{"april":1}}`, false},
		{`{"externalIds":{"april":null}}`, false},
		{`{"externalIds":null}`, true},
		{`{"externalIds":` + object(`"a"`, 61) + `}`, false},
		{`{"providerData":{"april":{}}}`, true},
		{`{"providerData":{"april":null}}`, false},
		{`{"providerData":{"april":[]}}`, false},
		{`{"providerData":` + object(`{}`, 61) + `}`, false},
		{`{"locale":"fr-FR"}`, true},
		{`{"locale":"fr_FR"}`, false},
		{`{"locale":"fr-"}`, false},
		{`{"leadSource":{"referrer":"https://example.com/a?b#c"}}`, true},
		{`{"leadSource":{"referrer":"example.com"}}`, false},
		{`{"leadSource":{"referrer":"mailto:a@b.c"}}`, false},
		{`{"leadSource":{"referrer":"https:///path"}}`, false},
		{`{"leadSource":{"referrer":"https://a b"}}`, false},
	}
	for _, test := range tests {
		shown := test.doc[:min(len(test.doc), 80)]
		if got := schemaAccepts(t, s, []byte(test.doc)); got != test.want {
			t.Errorf("schema takes %s: %v, want %v", shown, got, test.want)
		}
		if got, e := decodes([]byte(test.doc)); got != test.want {
			t.Errorf("DecodeCustomer takes %s: %v, want %v (%v)", shown, got, test.want, e)
		}
	}
	for _, test := range emailTests {
		doc, _ := json.Marshal(map[string]any{"emails": []any{map[string]any{"value": test.email}}})
		if got := schemaAccepts(t, s, doc); got != test.want && !test.decoderOnly {
			t.Errorf("schema takes %q: %v, want %v", test.email, got, test.want)
		}
	}
}

// decoderOnly are documents that the decoder refuses and a schema cannot.
var decoderOnly = []string{
	`{"id":"other"}`, // when the path says cust-1
	`{"emails":[{"value":"a@b.c","primary":true},{"value":"d@e.f","primary":true}]}`,
	`{"birthDate":"2023-02-29"}`,
	`{"updatedAt":"2023-02-29T00:00:00Z"}`,
	`{"updatedAt":"0001-01-01T00:00:00+01:00"}`,
	`{"locale":"xx-QQ"}`,
	`{"leadSource":{"referrer":"https://example.com/%zz"}}`,
	`{"leadSource":{"referrer":"https://example.com:port/"}}`,
	`{"attributes":{"a":1` + strings.Repeat("0", 10_000) + `}}`,
	`{"providerData":{"april":{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}}}`,
}

func TestDecoderOnlyRules(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	for _, doc := range decoderOnly {
		shown := doc[:min(len(doc), 90)]
		if !schemaAccepts(t, s, []byte(doc)) {
			t.Errorf("the schema refuses %s: move it to TestSchemaAgrees", shown)
		}
		if _, err := DecodeCustomer("cust-1", []byte(doc)); err == nil {
			t.Errorf("DecodeCustomer takes %s", shown)
		}
	}
}

// TestSchemaAgreesOnMutations changes the shared customers at random places,
// the same ones in every run, and holds that schema and decoder agree on each.
func TestSchemaAgreesOnMutations(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	files, _ := filepath.Glob("../testdata/customers/*.json")
	// The pool avoids what decoderOnly lists.
	pool := []any{
		nil, true, false, 0, -1.5, "", "a", "a b", "DE", "de", "XX", "XK", "+4930123456", "+0123456", "2020-02-02", "2020-02-02T02:02:02Z",
		"kim@example.com", "kim@example", "kim@@example.com", "en-US", "https://example.com", "billing", "person", "marketing", "mobile", "female",
		"line\nbreak", "bell\a", "\u007f", "\u009f", "\u00a0", "ü", "🎉", strings.Repeat("y", 46), strings.Repeat("y", 256), strings.Repeat("y", 10_001),
		[]any{}, []any{nil}, []any{"billing"}, []any{"a", 1}, []any{map[string]any{}}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"a": map[string]any{}},
		[]any{map[string]any{"value": "kim@example.com"}}, []any{map[string]any{"type": "a", "value": "b"}},
	}
	names := []string{"id", "value", "type", "primary", "country", "name", "extra", "", "Value", "lines", "note", "attributes", "externalIds", "providerData", strings.Repeat("n", 129)}
	random := rand.New(rand.NewPCG(1, 2))
	const runs = 4000
	refused := 0
	for i := range runs {
		data, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		var doc any
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		for range 1 + random.IntN(2) {
			doc = mutate(random, doc, pool, names)
		}
		mutated, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		bySchema := schemaAccepts(t, s, mutated)
		byDecoder, e := decodes(mutated)
		if !byDecoder && onlyDecoderFaults(e) {
			continue
		}
		if !byDecoder {
			refused++
		}
		if bySchema != byDecoder {
			t.Fatalf("schema takes it: %v, DecodeCustomer: %v (%v)\n%s", bySchema, byDecoder, e, mutated)
		}
	}
	if refused < runs/4 || refused > runs*9/10 {
		t.Errorf("%d of %d mutations were refused: they test little", refused, runs)
	}
}

// onlyDecoderFaults reports that every fault is of a kind a schema cannot see:
// a second primary, a language that is well-formed and not registered.
func onlyDecoderFaults(e *Error) bool {
	return !slices.ContainsFunc(e.Fields, func(f FieldError) bool {
		return f.Code != FieldDuplicate && f.Pointer != "/locale"
	})
}

// mutate replaces, adds or removes something somewhere in v.
func mutate(random *rand.Rand, v any, pool []any, names []string) any {
	pick := func() any { return pool[random.IntN(len(pool))] }
	switch v := v.(type) {
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		switch n := random.IntN(10); {
		case n == 0:
			v[names[random.IntN(len(names))]] = pick()
		case len(keys) == 0:
		case n == 1:
			delete(v, keys[random.IntN(len(keys))])
		default:
			k := keys[random.IntN(len(keys))]
			v[k] = mutate(random, v[k], pool, names)
		}
		return v
	case []any:
		switch n := random.IntN(6); {
		case n == 0 || len(v) == 0:
			return append(slices.Clone(v), pick())
		case n == 1:
			return v[1:]
		default:
			v = slices.Clone(v)
			i := random.IntN(len(v))
			v[i] = mutate(random, v[i], pool, names)
			return v
		}
	}
	return pick()
}
