package canonical

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, s string) Value {
	t.Helper()
	v, err := Parse([]byte(s))
	if err != nil {
		t.Fatalf("Parse(%.80s): %v", s, err)
	}
	return v
}

func TestField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name                           string
		field                          Field[string]
		hasValue, null, stated, absent bool
		value, or                      string
	}{
		{"zero", Field[string]{}, false, false, false, true, "", "x"},
		{"cleared", Cleared[string](), false, true, true, false, "", "x"},
		{"value", Of("a"), true, false, true, false, "a", "a"},
		{"zero value", Of(""), true, false, true, false, "", ""},
	}
	for _, test := range tests {
		f := test.field
		if f.HasValue() != test.hasValue || f.IsNull() != test.null || f.IsStated() != test.stated || f.IsZero() != test.absent {
			t.Errorf("%s: has value %v, null %v, stated %v, absent %v", test.name, f.HasValue(), f.IsNull(), f.IsStated(), f.IsZero())
		}
		if v, ok := f.Get(); v != test.value || ok != test.hasValue || f.Value() != test.value || f.Or("x") != test.or {
			t.Errorf("%s: Get = %q, %v; Value = %q; Or = %q", test.name, v, ok, f.Value(), f.Or("x"))
		}
	}
}

func TestParseRoundTrip(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`null`, `true`, `false`, `""`, `"a"`, `0`, `-0`, `1.50`, `1E+400`, `123456789012345678901234567890`, `[]`, `{}`,
		`{"b":1,"a":[true,null,{"c":"d"}],"":"empty name"}`, `"\"\\\b\f\n\r\t\u0000"`, `"ü🎉"`, `{"a\"b":1}`,
		strings.Repeat("[", 65) + strings.Repeat("]", 65),
	} {
		if got := string(mustParse(t, s).Encode()); got != s {
			t.Errorf("Parse(%s).Encode() = %s", s, got)
		}
		if v, err := ParseLenient([]byte(s)); err != nil || string(v.Encode()) != s {
			t.Errorf("ParseLenient(%s).Encode() = %s, %v", s, v.Encode(), err)
		}
	}
	for in, want := range map[string]string{
		" { \"a\" : [ 1 , 2 ] } \n": `{"a":[1,2]}`,
		`"\u00fc\/"`:                `"ü/"`,
		`{"\u0061":1}`:              `{"a":1}`,
	} {
		if got := string(mustParse(t, in).Encode()); got != want {
			t.Errorf("Parse(%s).Encode() = %s, want %s", in, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{``, ` `, `{`, `[1,]`, `{"a":1,}`, `{"a"}`, `nul`, `01`, `1.`, `"a`, `'a'`, `{} {}`, `1 2`, `[]]`, `[}`, `{]`, "\"\n\"", `"\x"`, strings.Repeat("[", 66) + strings.Repeat("]", 66), strings.Repeat("[", 1_000_000)} {
		if v, err := Parse([]byte(s)); err == nil || !v.IsZero() {
			t.Errorf("Parse(%.40s) = %v, %v, want an error", s, v, err)
		}
		if _, err := ParseLenient([]byte(s)); err == nil {
			t.Errorf("ParseLenient(%.40s): want an error", s)
		}
	}
	// What only the strict one refuses, and what the lenient one makes of it.
	many := make([]string, 50)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":0`, i)
	}
	for in, want := range map[string]string{
		`{"a":1,"b":2,"a":3}`: `{"a":3,"b":2}`,
		"\"a\xffb\"":          `"a` + "\uFFFD" + `b"`,
		`"\ud800"`:            `"` + "\uFFFD" + `"`,
		"\xef\xbb\xbf[1]":     `[1]`,
		`{` + strings.Join(many, ",") + `,"k30":1}`: strings.Replace(`{`+strings.Join(many, ",")+`}`, `"k30":0`, `"k30":1`, 1),
	} {
		if _, err := Parse([]byte(in)); err == nil {
			t.Errorf("Parse(%q): want an error", in)
		}
		v, err := ParseLenient([]byte(in))
		if got := string(v.Encode()); err != nil || got != want {
			t.Errorf("ParseLenient(%q) = %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestValueAccess(t *testing.T) {
	t.Parallel()
	v := mustParse(t, `{"s":"a","n":42,"f":1.5,"big":9223372036854775808,"yes":true,"no":false,"nil":null,"list":["x",{"y":"z"}],"o":{"p":{"q":"r"}}}`)
	if got := v.Get("o", "p", "q").Str(); got != "r" {
		t.Errorf("Get(o, p, q) = %q", got)
	}
	if got := v.Get("list").At(1).Get("y").Str(); got != "z" {
		t.Errorf("list element = %q", got)
	}
	for _, way := range [][]string{{"none"}, {"s", "x"}, {"list", "y"}, {"o", "none", "q"}, {"nil", "x"}} {
		if got := v.Get(way...); got.Kind() != KindAbsent || got.Str() != "" || got.Len() != 0 || got.Has("x") {
			t.Errorf("Get(%v) = %v, want Absent", way, got)
		}
	}
	if n, ok := v.Get("n").Int64(); n != 42 || !ok {
		t.Errorf("Int64 = %d, %v", n, ok)
	}
	for _, name := range []string{"f", "big", "s", "nil", "none"} {
		if _, ok := v.Get(name).Int64(); ok {
			t.Errorf("%s has an Int64", name)
		}
	}
	if !v.Get("yes").IsTrue() || v.Get("no").IsTrue() || v.Get("s").IsTrue() {
		t.Error("IsTrue")
	}
	if got := v.Get("big").Str(); got != "9223372036854775808" {
		t.Errorf("digits = %s", got)
	}
	if !v.Has("nil") || v.Has("none") {
		t.Error("Has")
	}
}

func TestValueBuild(t *testing.T) {
	t.Parallel()
	var v Value
	v.Set("a", Text("1"))
	v.Set("b", Int(-2))
	v.Set("a", Boolean(true))
	*v.Member("list").Elem(2) = Text("c")
	v.Member("list").Append(NullValue())
	v.Set("gone", Text("x"))
	v.Delete("gone")
	v.Delete("never")
	v.Set("absent", Value{})
	v.Set("empty", List())
	if got, want := string(v.Encode()), `{"a":true,"b":-2,"list":["c",null],"empty":[]}`; got != want {
		t.Errorf("Encode = %s, want %s", got, want)
	}
	if got, err := json.Marshal(map[string]any{"v": v.Get("list"), "absent": Value{}}); err != nil || string(got) != `{"absent":null,"v":["c",null]}` {
		t.Errorf("Marshal = %s, %v", got, err)
	}
	if got := string(Text("a\xff\u2028<").Encode()); !json.Valid([]byte(got)) || strings.Contains(got, "\xff") {
		t.Errorf("Encode of invalid UTF-8 = %q", got)
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	tests := []struct{ v, over, want string }{
		{`{"a":1}`, `{"b":2}`, `{"a":1,"b":2}`},
		{`{"a":1,"b":2}`, `{"a":{"c":3}}`, `{"a":{"c":3},"b":2}`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"c":3,"d":4}}`, `{"a":{"b":1,"c":3,"d":4}}`},
		{`{"a":[1,2]}`, `{"a":[3]}`, `{"a":[3]}`},
		{`{"a":[{"b":1}]}`, `{"a":[{"c":2}]}`, `{"a":[{"c":2}]}`},
		{`{"a":{"b":1}}`, `{"a":null}`, `{"a":null}`},
		{`{"a":{"b":1}}`, `{}`, `{"a":{"b":1}}`},
		{`{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},
		{`[1]`, `{"a":1}`, `{"a":1}`},
		{`{"a":1}`, `"b"`, `"b"`},
		{`null`, `{"a":1}`, `{"a":1}`},
	}
	for _, test := range tests {
		v, over := mustParse(t, test.v), mustParse(t, test.over)
		v.Merge(over)
		if got := string(v.Encode()); got != test.want {
			t.Errorf("%s merged with %s = %s, want %s", test.v, test.over, got, test.want)
		}
		if got := string(over.Encode()); got != test.over {
			t.Errorf("Merge changed its argument to %s", got)
		}
	}
}

func TestMergeCopies(t *testing.T) {
	t.Parallel()
	over := mustParse(t, `{"a":{"b":[1]}}`)
	var v Value
	v.Merge(over)
	v.Member("a").Set("b", Text("changed"))
	v.Member("a").Set("c", Text("new"))
	if got, want := string(over.Encode()), `{"a":{"b":[1]}}`; got != want {
		t.Errorf("the argument became %s, want %s", got, want)
	}
}

func TestClone(t *testing.T) {
	t.Parallel()
	const s = `{"a":{"b":[1,{"c":2}]}}`
	v := mustParse(t, s)
	c := v.Clone()
	c.Member("a").Member("b").Elem(1).Set("c", Text("changed"))
	c.Member("a").Member("b").Append(Int(3))
	c.Set("d", Int(4))
	if got := string(v.Encode()); got != s {
		t.Errorf("the original became %s, want %s", got, s)
	}
	if got, want := string(c.Encode()), `{"a":{"b":[1,{"c":"changed"},3]},"d":4}`; got != want {
		t.Errorf("the clone is %s, want %s", got, want)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want bool
	}{
		{`{"a":1,"b":[1,2]}`, `{"b":[1,2],"a":1}`, true},
		{`[1,2]`, `[2,1]`, false},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`1`, `1.0`, false},
		{`null`, `false`, false},
		{`[]`, `{}`, false},
		{`{"a":{"b":{"c":[]}}}`, `{"a":{"b":{"c":[]}}}`, true},
		{`{"a":{"b":{"c":[]}}}`, `{"a":{"b":{"c":[0]}}}`, false},
	}
	for _, test := range tests {
		if got := mustParse(t, test.a).Equal(mustParse(t, test.b)); got != test.want {
			t.Errorf("%s equals %s: %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

// TestLargeObjects holds that merging, comparing and reading large objects is
// not quadratic: that would take minutes here.
func TestLargeObjects(t *testing.T) {
	t.Parallel()
	const n = 200_000
	var b strings.Builder
	b.WriteByte('{')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"member%d":%d`, i, i)
	}
	b.WriteByte('}')
	start := time.Now()
	v, err := ParseLenient([]byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	merged := v.Clone()
	merged.Merge(v)
	if merged.Len() != n || !merged.Equal(v) {
		t.Errorf("merging an object with itself changed it: %d members", merged.Len())
	}
	var fresh Value
	fresh.Set("a", Int(1))
	fresh.Merge(v)
	if fresh.Len() != n+1 {
		t.Errorf("merged %d members, want %d", fresh.Len(), n+1)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// FuzzParse holds that what is taken encodes to JSON that reads back as the
// same, and that the lenient reader takes all that the strict one does.
func FuzzParse(f *testing.F) {
	for _, s := range []string{`{}`, `[1,"a",null,true,{"b":[]}]`, `{"a":1,"a":2}`, "\"\xff\"", `"\ud83c\udf89"`, `1E+400`, "\xef\xbb\xbf{}", `[[[[`, `{"a":{"a":{"a":1}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lenient, lenientErr := ParseLenient(data)
		if lenientErr == nil {
			if again, err := ParseLenient(lenient.Encode()); err != nil || !again.Equal(lenient) {
				t.Fatalf("%q reads back as %s, %v", data, again.Encode(), err)
			}
		}
		v, err := Parse(data)
		if err != nil {
			return
		}
		if lenientErr != nil || !v.Equal(lenient) {
			t.Fatalf("Parse takes %q, ParseLenient makes %s of it, %v", data, lenient.Encode(), lenientErr)
		}
		encoded := v.Encode()
		if !json.Valid(encoded) {
			t.Fatalf("%q encodes to %q", data, encoded)
		}
		again, err := Parse(encoded)
		if err != nil || !again.Equal(v) || !v.Clone().Equal(v) {
			t.Fatalf("%q reads back as %s, %v", data, again.Encode(), err)
		}
	})
}
