package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// readCSV returns what becomes of every record of a CSV file: the customer, or the
// codes and faults.
func readCSV(t *testing.T, text string, places map[string]string, null bool) ([]string, error) {
	t.Helper()
	r := &rowReader{in: bufio.NewReader(strings.NewReader(text)), delimiter: ',', rows: 100, line: 1}
	header, err := r.header()
	if err != nil {
		return nil, err
	}
	if r.columns, err = newColumns(header, places, null); err != nil {
		return nil, err
	}
	var got []string
	for {
		c, err := r.next()
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		for i := range c.rows {
			text := string(c.rows[i].body)
			for _, raw := range c.rows[i].problems {
				p := readProblem(raw)
				text += string(p.Code) + ": " + p.Detail
				for _, f := range p.Errors {
					text += "; " + f.Field + f.Pointer + ": " + f.Message
				}
			}
			got = append(got, text)
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		csv    string
		places map[string]string
		null   bool
		want   []string
	}{
		{"paths", "No,First,Mail,Verified,Tags\r\n1,Ada,ada@example.com,YES,a|b\r\n2,Bob,,,\r\n",
			map[string]string{"No": "id", "First": "name.givenName", "Mail": "emails[0].value", "Verified": "/emails/0/verified", "Tags": "attributes.tags:list"}, false,
			[]string{
				`{"id":"1","name":{"givenName":"Ada"},"emails":[{"value":"ada@example.com","verified":true}],"attributes":{"tags":["a","b"]}}`,
				`{"id":"2","name":{"givenName":"Bob"}}`,
			}},
		{"columns that are their own places", "id,name.familyName,kind\n1,Byron,person\n", nil, false, []string{`{"id":"1","name":{"familyName":"Byron"},"kind":"person"}`}},
		{"a column left out", "id,secret\n1,x\n", map[string]string{"secret": "-"}, false, []string{`{"id":"1"}`}},
		{"quotes and line breaks", "\ufeffid,note\n1,\"a \"\"b\"\"\nc\"\n\n2,\"x,y\"\n", nil, false, []string{`{"id":"1","note":"a \"b\"\nc"}`, `{"id":"2","note":"x,y"}`}},
		{"elements without a value are left out", "id,emails[0].value,emails[0].type,emails[1].value,addresses[0].lines[0],addresses[0].lines[1],addresses[0].city\n1,,,b@example.com,,Back,\n2,a@example.com,home,,Front,,X\n3,,,,,,\n", nil, false,
			[]string{`{"id":"1","emails":[{"value":"b@example.com"}],"addresses":[{"lines":["Back"]}]}`, `{"id":"2","emails":[{"value":"a@example.com","type":"home"}],"addresses":[{"lines":["Front"],"city":"X"}]}`, `{"id":"3"}`}},
		{"elements in any order", "emails[1].value,id,emails[0].value\nb@example.com,1,a@example.com\n", nil, false, []string{`{"emails":[{"value":"a@example.com"},{"value":"b@example.com"}],"id":"1"}`}},
		{"an empty cell clears", "id,name.givenName,name.familyName,emails[0].value,emails[0].type,emails[1].value,note\n1,Ada,,a@example.com,,,\n2,,,,,,\n", nil, true,
			[]string{`{"id":"1","name":{"givenName":"Ada","familyName":null},"emails":[{"value":"a@example.com","type":null}],"note":null}`, `{"id":"2","name":{"givenName":null,"familyName":null},"emails":null,"note":null}`}},
		{"a list of one or more", "id,addresses[0].type,addresses[0].lines\n1,billing|shipping,1 Main St|2nd floor|\n", nil, false, []string{`{"id":"1","addresses":[{"type":["billing","shipping"],"lines":["1 Main St","2nd floor"]}]}`}},
		{"custom fields", "id,attributes.tier,attributes.points:number,attributes.vip:bool,/attributes/a.b~1c,providerData.shop.level:number,externalIds.shop-de\n1,01,7.50,no,x,3,r-1\n", nil, false,
			[]string{`{"id":"1","attributes":{"tier":"01","points":7.50,"vip":false,"a.b/c":"x"},"providerData":{"shop":{"level":3}},"externalIds":{"shop-de":"r-1"}}`}},
		{"faults", "id,Member,Points,Mail,Note\n1,maybe,seven,x,\xff\n,true,1,a@example.com,x\n3,true,1,nobody,x\n4,true\n5,a\"b,1,,\n6,,,,ok\n", map[string]string{"Member": "loyalty.member", "Points": "attributes.p:number", "Mail": "emails[0].value", "Note": "note"}, false,
			[]string{
				"request.invalid: some cells cannot be read: see errors; Member/loyalty/member: must be true or false, yes or no, 1 or 0; Points/attributes/p: must be a number such as 12 or 3.5; Note/note: must be UTF-8; save the file in that encoding",
				"request.invalid: the customer is not valid: see errors; id/id: the application's id of the customer must not be empty",
				"request.invalid: the customer is not valid: see errors; Mail/emails/0/value: must be an e-mail address such as jane@example.com",
				"request.malformed: the record has 2 cells, the header names 5 columns",
				"request.malformed: the record cannot be read at column 4: bare \" in non-quoted-field",
				`{"id":"6","note":"ok"}`,
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := readCSV(t, tt.csv, tt.places, tt.null)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(tt.want) {
				t.Errorf("%d records, want %d: %q", len(got), len(tt.want), got)
			}
			for i := range min(len(got), len(tt.want)) {
				if got[i] != tt.want[i] {
					t.Errorf("record %d:\n%s\nwant:\n%s", i+1, got[i], tt.want[i])
				}
			}
		})
	}
}

func TestCSVFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		places       map[string]string
		want         string
	}{
		{"empty", "", nil, "the first line is no header"},
		{"no id", "note", nil, "no column has the place id"},
		{"no place", "id,E-Mail", nil, `column "E-Mail" has no place: map it with --column or --columns, as in --column 'E-Mail=emails[0].value', or leave it out with --column 'E-Mail=-'`},
		{"twice", "id,id", nil, `column "id" is there twice`},
		{"one place for two", "id,a,b", map[string]string{"a": "note", "b": "note"}, `column "b": the place "note" is, or holds, the place of another column`},
		{"inside another", "id,a,b", map[string]string{"a": "addresses[0].lines", "b": "addresses[0].lines[0]"}, "is inside the place of another column"},
		{"around another", "id,a,b", map[string]string{"a": "addresses[0].lines[0]", "b": "addresses[0].lines"}, "is, or holds, the place of another column"},
		{"unknown member", "id,a", map[string]string{"a": "emails[0].valu"}, `leads nowhere: there is no member emails[0].valu; did you mean "value"?`},
		{"no index", "id,a", map[string]string{"a": "emails.value"}, "needs the position of an element, from 0 to 19, after emails"},
		{"large index", "id,a", map[string]string{"a": "emails[20].value"}, "from 0 to 19"},
		{"list of objects", "id,a", map[string]string{"a": "emails[0]"}, "holds several values: name one of them"},
		{"object", "id,a", map[string]string{"a": "name"}, "holds several values"},
		{"too far", "id,a", map[string]string{"a": "note.text"}, "leads too far: note is one value"},
		{"into a custom field", "id,a", map[string]string{"a": "attributes.x.y"}, "leads into a custom field"},
		{"a kind of its own", "id,a", map[string]string{"a": "note:number"}, "has the kind that the schema gives it"},
		{"no path", "id,a", map[string]string{"a": "emails[0"}, "is not written like name.givenName"},
		{"a column that is not there", "id", map[string]string{"b": "note"}, `the column map names "b", which is no column of the file`},
		{"all at once", "a,b", map[string]string{"a": "x"}, "\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := readCSV(t, tt.header+"\n", tt.places, false); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("header: %v, want %s", err, tt.want)
			}
		})
	}
	for _, text := range []string{"id,note\n1,x\n2,\"open\n3,y\n", "id,note\n1,\"" + strings.Repeat("x", maxLine) + "\n2,y\n"} {
		if _, err := readCSV(t, text, nil, false); err == nil || !strings.Contains(err.Error(), "a quote begins that does not end") {
			t.Errorf("open quote: %v", err)
		}
	}
}

// Every place of the schema that holds one value can be filled, and what comes out
// is a valid customer or a fault about the value.
func TestCSVKnowsTheSchema(t *testing.T) {
	t.Parallel()
	var walk func(schema canonical.Value, place string)
	leaves := 0
	walk = func(schema canonical.Value, place string) {
		schema = listOf(schema)
		properties := schema.Get("properties")
		switch {
		case properties.Len() > 0:
			for i := range properties.Len() {
				walk(properties.At(i), strings.TrimPrefix(place+"."+properties.NameAt(i), "."))
			}
		case is(schema, "array") && !is(schema, "string"):
			walk(schema.Get("items"), place+"[0]")
		case is(schema, "object"):
			walk(canonical.Value{}, place+".x")
		default:
			leaves++
			if _, err := newColumns([]string{"id", "a"}, map[string]string{"a": place}, false); err != nil && place != "id" && place != "providerData.x" {
				t.Errorf("%s: %v", place, err)
			}
		}
	}
	walk(canonical.Schema(), "")
	if leaves < 60 {
		t.Errorf("only %d places found", leaves)
	}
}

func TestImportCSV(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	columns := write(t, "columns.yaml", "Customer No: id\nFirst name: note\nInternal: '-'\n")
	file := write(t, "customers.csv", "Customer No;First name;Internal;kind\n1;Ada;x;person\n2;\"Bo\nb\";y;nobody\n3;;z;\n")
	code, out, errs := call(t.Context(), nil, "import", file, "--url", g.URL, "--columns", columns, "--column", "First name=name.givenName", "--delimiter", ";", "--empty", "null")
	if code != exitFailure || !strings.HasPrefix(out, file+": 3 customers: 2 accepted, 1 refused\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	holds := g.holds()
	if want := `{"id":"1","name":{"givenName":"Ada"},"kind":"person"}`; holds["1"] != want {
		t.Errorf("sent %s, want %s", holds["1"], want)
	}
	if want := `{"id":"3","name":{"givenName":null},"kind":null}`; holds["3"] != want {
		t.Errorf("sent %s, want %s", holds["3"], want)
	}
	rejected, err := os.ReadFile(file + ".rejected.ndjson")
	if err != nil || !strings.HasPrefix(string(rejected), `{"line":3,"id":"2","error":{`) || !strings.Contains(string(rejected), `"pointer":"/kind","field":"kind"`) {
		t.Errorf("refused lines: %s, %v", rejected, err)
	}
}

func TestImportCSVResumes(t *testing.T) {
	t.Parallel()
	g := newBulkGateway(t)
	var text strings.Builder
	text.WriteString("id,note\n")
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
		text.WriteString(id + ",\"x\ny\"\n")
	}
	file := write(t, "customers.csv", text.String())
	died := false
	g.fault = func(n, _ int, _ string) (string, error) {
		if n == 6 && !died {
			died = true
			return `{"line":2,"error":{"code":"request.malformed"`, nil // cut off
		}
		return "", nil
	}
	r := newImport(t, g, file)
	r.giveUp = 1
	if err := r.start(t.Context()); err == nil || !strings.Contains(err.Error(), "stopped before line 10") {
		t.Fatalf("first run: %v", err)
	}
	if err := newImport(t, g, file).start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, bodies := range g.accepted {
		if len(bodies) != 1 || !strings.Contains(bodies[0], `"x\ny"`) {
			t.Errorf("%s was accepted as %q", id, bodies)
		}
	}
	if len(g.accepted) != 9 {
		t.Errorf("accepted %d customers, want 9", len(g.accepted))
	}
}

// What the CSV reader of the library takes as a whole is read the same record by
// record, and whatever is read counts its bytes and lines.
func FuzzRecords(f *testing.F) {
	f.Add("id,note\n1,\"a \"\"b\"\"\nc\"\r\n2,x\n")
	f.Add("a;b\n\n\"\";\n")
	f.Add("a\"b,\"c\",\"\"\n\"d\"e\n\"open")
	f.Fuzz(func(t *testing.T, text string) {
		r := &rowReader{in: bufio.NewReaderSize(strings.NewReader(text), 16), columns: &columns{}, delimiter: ',', rows: 100, line: 1}
		var got [][]string
		for {
			record, tooLong, err := r.record()
			if errors.Is(err, io.EOF) || tooLong {
				break
			}
			if err != nil {
				if _, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err == nil {
					t.Fatalf("%q: refused, but it is CSV", text)
				}
				return
			}
			if cells, err := r.cells(record); err == nil {
				got = append(got, cells)
			}
		}
		if breaks := int64(strings.Count(text, "\n")); r.offset != int64(len(text)) || r.line < breaks+1 || r.line > breaks+2 {
			t.Errorf("%q: at byte %d, line %d", text, r.offset, r.line)
		}
		whole := csv.NewReader(strings.NewReader(text))
		whole.FieldsPerRecord = -1
		if want, err := whole.ReadAll(); err == nil && fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
			t.Errorf("%q:\n%q\nwant:\n%q", text, got, want)
		}
	})
}
