package canonical

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func decodeFile(t testing.TB, name string) *Customer {
	t.Helper()
	data := readCustomer(t, name)
	id := mustParse(t, string(data)).Get("id").Str()
	if id == "" {
		id = name
	}
	c, err := DecodeCustomer(id, data)
	if err != nil {
		t.Fatalf("%s: %v", name, AsError(err).Fields)
	}
	return c
}

func TestPaths(t *testing.T) {
	t.Parallel()
	if len(patterns) > 256 {
		t.Fatalf("%d places do not fit a PathID", len(patterns))
	}
	for id, pattern := range patterns {
		p := PathID(id)
		if Path(pattern) != p || p.String() != pattern {
			t.Errorf("Path(%q) = %d, want %d", pattern, Path(pattern), id)
		}
		for other, o := range patterns {
			want := o == pattern || strings.HasPrefix(o, pattern+"/")
			if got := p.Contains(PathID(other)); got != want {
				t.Errorf("%q contains %q: %v, want %v", pattern, o, got, want)
			}
		}
	}
	if Path("") != Root {
		t.Errorf("Path of nothing = %d, want Root", Path(""))
	}
	for pattern, want := range map[string]bool{"/id": true, "/kind": true, "/createdAt": true, "/externalIds/*": true, "/providerData/*": true, "/emails/*/value": false, "/note": false} {
		if got := Path(pattern).Bookkeeping(); got != want {
			t.Errorf("%s is bookkeeping: %v, want %v", pattern, got, want)
		}
	}
	for _, pattern := range patterns {
		if got, want := Path(pattern).IsList(), pattern == "/addresses/*/lines"; got != want {
			t.Errorf("%s is a list of texts: %v, want %v", pattern, got, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("Path takes a pattern that the schema has not")
		}
	}()
	Path("/emails/0/value")
}

// TestTags holds that every field of the model is a Field with a name in
// camelCase and a description.
func TestTags(t *testing.T) {
	t.Parallel()
	var walk func(reflect.Type)
	walk = func(st reflect.Type) {
		for i := range st.NumField() {
			f := st.Field(i)
			name, doc := f.Tag.Get("json"), f.Tag.Get("doc")
			if !strings.EqualFold(name, f.Name) || name[0] < 'a' || name[0] > 'z' {
				t.Errorf("%s.%s is named %q", st.Name(), f.Name, name)
			}
			if !strings.HasSuffix(doc, ".") {
				t.Errorf("%s.%s is described as %q, want a sentence", st.Name(), f.Name, doc)
			}
			value, ok := f.Type.FieldByName("value")
			if !ok {
				t.Errorf("%s.%s is a %s, want a Field", st.Name(), f.Name, f.Type)
				continue
			}
			vt := value.Type
			if vt.Kind() == reflect.Slice {
				vt = vt.Elem()
			}
			switch vt {
			case reflect.TypeFor[Date](), reflect.TypeFor[Timestamp](), reflect.TypeFor[Attribute](), reflect.TypeFor[ExternalID](), reflect.TypeFor[ProviderData]():
			default:
				if vt.Kind() == reflect.Struct {
					walk(vt)
				}
			}
		}
	}
	walk(reflect.TypeFor[Customer]())
}

func TestLeaves(t *testing.T) {
	t.Parallel()
	c := decodeFile(t, "clearing")
	var got []string
	for _, l := range c.Leaves() {
		got = append(got, fmt.Sprintf("%s %v", c.Pointer(l.Path, int(l.Index)), l.Null))
	}
	want := []string{
		"/id false", "/name/givenName false", "/name/middleName true", "/name/familyName false", "/organization true", "/jobTitle true",
		"/emails/0/value false", "/phoneNumbers true", "/addresses true", "/birthDate true", "/gender true", "/locale true", "/taxIds true",
		"/consents true", "/leadSource/medium true", "/leadSource/campaign false", "/loyalty true", "/identifiers true", "/note true",
		"/attributes/segment true", "/createdAt false", "/updatedAt false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("leaves = %q\nwant     %q", got, want)
	}
	for doc, want := range map[string][]string{
		`{}`:                                {"/id 0 false"},
		`{"name":{}}`:                       {"/id 0 false"},
		`{"attributes":{}}`:                 {"/id 0 false", "/attributes 0 true"},
		`{"attributes":null}`:               {"/id 0 false", "/attributes 0 true"},
		`{"attributes":{"a":1,"b/c":null}}`: {"/id 0 false", "/attributes/a 0 false", "/attributes/b~1c 1 true"},
		`{"externalIds":{"x":"1"},"providerData":{"y~":{}}}`:          {"/id 0 false", "/externalIds/x 0 false", "/providerData/y~0 0 false"},
		`{"addresses":[{"lines":[]},{"type":["home"],"name":null}]}`:  {"/id 0 false", "/addresses/0/lines 0 true", "/addresses/1/type 1 false", "/addresses/1/name 1 true"},
		`{"addresses":[{"name":{"givenName":"a","formatted":null}}]}`: {"/id 0 false", "/addresses/0/name/formatted 0 true", "/addresses/0/name/givenName 0 false"},
	} {
		c, err := DecodeCustomer("c1", []byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, AsError(err).Fields)
		}
		var got []string
		for _, l := range c.Leaves() {
			got = append(got, fmt.Sprintf("%s %d %v", c.Pointer(l.Path, int(l.Index)), max(l.Index, 0), l.Null))
		}
		if !slices.Equal(got, want) {
			t.Errorf("leaves of %s = %q, want %q", doc, got, want)
		}
	}
}

// TestLeavesPoint holds that every leaf of the shared customers points at what
// the caller wrote, and that nothing that was written has no leaf.
func TestLeavesPoint(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"clearing", "empty", "everything", "minimal", "organization", "person", "unrepresentable"} {
		c, doc := decodeFile(t, name), mustParse(t, string(readCustomer(t, name)))
		leaves := c.Leaves()
		if got, want := len(leaves), countLeaves(doc, 0); doc.Has("id") && got != want {
			t.Errorf("%s has %d leaves, want %d", name, got, want)
		}
		for _, l := range leaves {
			pointer := c.Pointer(l.Path, int(l.Index))
			v, ok := follow(doc, pointer)
			if !ok && pointer != "/id" {
				t.Errorf("%s: nothing stands at %s", name, pointer)
			}
			if null := v.Kind() == KindNull || v.Kind() == KindArray && v.Len() == 0; ok && null != l.Null {
				t.Errorf("%s: %s is null: %v, want %v", name, pointer, l.Null, null)
			}
		}
	}
}

// countLeaves counts scalars, lists of scalars and empty lists.
func countLeaves(v Value, depth int) int {
	switch {
	case v.Kind() == KindArray && (v.Len() == 0 || v.At(0).Kind() != KindObject), v.Kind() != KindArray && v.Kind() != KindObject:
		return 1
	}
	n := 0
	for i := range v.Len() {
		n += countLeaves(v.At(i), depth+1)
	}
	return n
}

// follow walks an RFC 6901 pointer.
func follow(v Value, pointer string) (Value, bool) {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		i := 0
		switch _, err := fmt.Sscan(token, &i); {
		case v.Kind() == KindObject && v.Has(token):
			v = v.Get(token)
		case v.Kind() == KindArray && err == nil && i < v.Len():
			v = v.At(i)
		default:
			return Value{}, false
		}
	}
	return v, true
}

func TestPointer(t *testing.T) {
	t.Parallel()
	c, err := DecodeCustomer("c1", []byte(`{"attributes":{"a/b":1,"~":2},"externalIds":{"r":"1"},"providerData":{"p":{}}}`))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		pattern string
		index   int
		want    string
	}{
		{"", -1, ""},
		{"/note", -1, "/note"},
		{"/note", 3, "/note"},
		{"/emails", -1, "/emails"},
		{"/emails/*", 2, "/emails/2"},
		{"/emails/*/value", 2, "/emails/2/value"},
		{"/emails/*/value", -1, "/emails"},
		{"/addresses/*/name/givenName", 10, "/addresses/10/name/givenName"},
		{"/attributes/*", 0, "/attributes/a~1b"},
		{"/attributes/*", 1, "/attributes/~0"},
		{"/attributes/*", -1, "/attributes"},
		{"/attributes/*", 2, "/attributes/2"},
		{"/externalIds/*", 0, "/externalIds/r"},
		{"/providerData/*", 0, "/providerData/p"},
	}
	for _, test := range tests {
		if got := c.Pointer(Path(test.pattern), test.index); got != test.want {
			t.Errorf("Pointer(%s, %d) = %s, want %s", test.pattern, test.index, got, test.want)
		}
	}
	if got, want := JoinPointer("/a", "b/c", "~", "", "0"), "/a/b~1c/~0//0"; got != want {
		t.Errorf("JoinPointer = %s, want %s", got, want)
	}
}

func TestUpsertFor(t *testing.T) {
	t.Parallel()
	c, err := DecodeCustomer("c1", []byte(`{"externalIds":{"april-au":"stated","other":"x"},
		"providerData":{"april-au":{"route":1},"april":{"provider":1},"magento":{"none":1}}}`))
	if err != nil {
		t.Fatal(err)
	}
	u := NewUpsert(c)
	if u.ID != "c1" || u.Customer != c || len(u.Leaves) == 0 {
		t.Errorf("NewUpsert = %+v", u)
	}
	keys := func(u Upsert) (keys []string) {
		for _, d := range u.ProviderData {
			keys = append(keys, d.Key)
		}
		return keys
	}
	tests := []struct {
		route, provider, remembered string
		remote                      string
		keys                        []string
	}{
		{"april-au", "april", "remembered", "stated", []string{"april", "april-au"}},
		{"april-nz", "april", "remembered", "remembered", []string{"april"}},
		{"april", "april", "", "", []string{"april"}},
		{"capillary", "capillary", "", "", nil},
	}
	for _, test := range tests {
		got := u.For(test.route, test.provider, test.remembered)
		if got.RemoteID != test.remote || !slices.Equal(keys(got), test.keys) {
			t.Errorf("For(%s, %s): remote id %q, providerData %q, want %q, %q", test.route, test.provider, got.RemoteID, keys(got), test.remote, test.keys)
		}
	}
	if u.RemoteID != "" || u.ProviderData != nil {
		t.Error("For changed the upsert that it was called on")
	}
}

func TestNoticeCodeLossy(t *testing.T) {
	t.Parallel()
	for code, want := range map[NoticeCode]bool{NoticeDropped: true, NoticeTruncated: true, NoticeNotCleared: true, NoticeChanged: true, NoticeDefaulted: false, NoticeProvider: false} {
		if got := code.Lossy(); got != want {
			t.Errorf("%s is lossy: %v, want %v", code, got, want)
		}
	}
}
