package canonical

import (
	"bytes"
	"strings"
	"testing"
)

// scanned are bodies and whether the scanner reads them.
var scanned = []struct {
	body string
	want bool
}{
	{`{"id":42,"email":"a@example.com","tags":["x",null,true,false],"of":{"a":{}},"none":[]}`, true},
	{" {\r\n\t\"a\" : [ 1 , 2 ] }\n", true},
	{`-0.5e+10`, true}, {`0`, true}, {`"x"`, true}, {`null`, true},
	{`{"city":"Köln","path":"\/a\u00e9\ud83d\ude00\n"}`, true},
	{`{"a":1,"\u0062":2}`, true},
	{`{"a":1,"a":2}`, false}, {`{"a":1,"\u0061":2}`, false},
	{"\"\xff\"", false}, {`"\ud800"`, false}, {`"\x"`, false}, {"\"a\nb\"", false}, {`"a`, false}, {`"a\"`, false},
	{`01`, false}, {`1.`, false}, {`.5`, false}, {`-`, false}, {`+1`, false}, {`1e`, false}, {`NaN`, false},
	{`{}{}`, false}, {`[1,]`, false}, {`{"a":1,}`, false}, {`{"a"}`, false}, {`{a:1}`, false}, {`[1 2]`, false}, {`{"a":1`, false},
	{`tru`, false}, {`truex`, false}, {``, false}, {` `, false}, {"1\x00", false}, {"\x00", false}, {`<html>`, false},
	{strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1), true},
	{strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2), false},
}

func TestScan(t *testing.T) {
	t.Parallel()
	for _, test := range scanned {
		if _, got := scan(test.body); got != test.want {
			t.Errorf("scan(%.60q) reads it: %v, want %v", test.body, got, test.want)
		}
		checkScan(t, test.body)
	}
}

// checkScan holds that the scanner reads nothing that is not strict JSON, and
// reads it as the decoder does.
func checkScan(t *testing.T, body string) {
	t.Helper()
	v, ok := scan(body)
	if !ok {
		return
	}
	want, err := Parse([]byte(body))
	if err != nil {
		t.Fatalf("scan reads %.200q, which is not JSON: %v", body, err)
	}
	if !v.Equal(want) || !bytes.Equal(v.Encode(), want.Encode()) {
		t.Fatalf("scan(%.200q) = %s, want %s", body, v.Encode(), want.Encode())
	}
}

func FuzzScan(f *testing.F) {
	for _, test := range scanned {
		f.Add(test.body)
	}
	f.Fuzz(func(t *testing.T, body string) { checkScan(t, body) })
}
