package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

func decode(t testing.TB, doc string) canonical.Upsert {
	t.Helper()
	c, err := canonical.DecodeCustomer("c1", []byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, canonical.AsError(err).Fields)
	}
	return canonical.NewUpsert(c)
}

// acme is a provider with a row of every kind.
var acme = mapping.NewTable("acme",
	mapping.Field{To: "ref", From: "/id"},
	mapping.Field{To: "first", From: "/name/givenName", Max: 5, Clear: canonical.NullValue()},
	mapping.Field{To: "last", From: "/name/familyName", Aliases: []string{"Surname"}},
	mapping.Field{To: "nick", From: "/name/middleName", Min: 2, Chars: &mapping.Chars{Only: "letters", Has: unicode.IsLetter}},
	mapping.Field{To: "sex", From: "/gender", Enum: []string{"f", "m"}},
	mapping.Field{To: "mails[].address", From: "/emails/*/value", Required: true},
	mapping.Field{To: "mails[].ok", From: "/emails/*/verified", Clear: canonical.Boolean(false)},
	mapping.Field{To: "mails", From: "/emails", Container: true},
	mapping.Field{To: "places[].street", From: "/addresses/*/lines", Required: true},
	mapping.Field{To: "places[].town", From: "/addresses/*/city", Also: []string{"/addresses/*/region"}, Clear: canonical.NullValue()},
	mapping.Field{To: "places[].code", From: "/addresses/*/postalCode"},
	mapping.Field{To: "extra.*", From: "/attributes/*", Max: 5},
	mapping.Field{To: "extra", From: "/attributes", Container: true, Clear: canonical.NewObject(0)},
	mapping.Field{To: "remark", From: "/note", Clear: canonical.Text("")},
	mapping.Field{To: "site", Setting: "site_id"},
	mapping.Field{To: "channel"},
)

func at(to, from int) mapping.Pos { return mapping.Pos{To: to, From: from} }

// fill carries over all that acme holds, as an adapter would.
func fill(m *mapping.Mapper, u canonical.Upsert) {
	c := u.Customer
	m.Put("ref", canonical.Text(u.ID))
	n := c.Name.Value()
	m.Text("first", n.GivenName)
	m.Text("last", n.FamilyName)
	m.Text("nick", n.MiddleName)
	m.Text("sex", c.Gender)
	for i, e := range c.Emails.Value() {
		m.Text("mails[].address", e.Value, at(i, i))
		m.Bool("mails[].ok", e.Verified, at(i, i))
	}
	for i, a := range c.Addresses.Value() {
		if lines := a.Lines.Value(); len(lines) > 0 {
			var street canonical.Value
			for _, l := range lines {
				street.Append(canonical.Text(l))
			}
			m.Put("places[].street", street, at(i, i))
		}
		m.Text("places[].town", a.City, at(i, i))
		m.Text("places[].code", a.PostalCode, at(i, i))
	}
	for i, a := range c.Attributes.Value() {
		if a.Value.Kind() != canonical.KindNull {
			m.Entry("extra.*", a.Name, a.Value, i)
		}
	}
	m.Clear("extra")
	m.Text("remark", c.Note)
}

// outcome renders what Finish says: the error's code and fields, or the notices.
func outcome(m *mapping.Mapper) (code canonical.Code, said []string) {
	notices, err := m.Finish()
	if err != nil {
		e := canonical.AsError(err)
		for _, f := range e.Fields {
			where := f.Pointer
			if f.Setting != "" {
				where = "setting " + f.Setting
			}
			said = append(said, fmt.Sprintf("%s %s [%s]", f.Code, where, f.Field))
		}
		return e.Code, said
	}
	for _, n := range notices {
		said = append(said, string(n.Code)+" "+n.Pointer)
	}
	return "", said
}

func TestMapper(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		body      string
		code      canonical.Code
		said      []string
	}{
		{"nothing", `{}`, `{"ref":"c1"}`, "", nil},
		{"values", `{"name":{"givenName":"Kim","familyName":"Lee","middleName":"Ann"},"emails":[{"value":"a@b.c","verified":true},{"value":"d@e.f"}],"note":"x"}`,
			`{"ref":"c1","first":"Kim","last":"Lee","nick":"Ann","mails":[{"address":"a@b.c","ok":true},{"address":"d@e.f"}],"remark":"x"}`, "", nil},
		{"free names", `{"attributes":{"a.b":"1","c/d":["x",2],"n":12345678}}`, `{"ref":"c1","extra":{"a.b":"1","c/d":["x",2],"n":12345678}}`, "", nil},
		{"characters, not bytes", `{"name":{"givenName":"üüüüü"}}`, `{"ref":"c1","first":"üüüüü"}`, "", nil},

		// Limits: every fault at once.
		{"limits", `{"name":{"givenName":"Lieselotte","middleName":"1"},"gender":"other"}`, "", canonical.MappingUnrepresentable,
			[]string{"too_long /name/givenName [first]", "invalid /name/middleName [nick]", "unsupported /gender [sex]"}},
		{"characters", `{"name":{"middleName":"A-B"}}`, "", canonical.MappingUnrepresentable, []string{"invalid /name/middleName [nick]"}},
		{"limits of free names", `{"attributes":{"a/b":"123456","ok":"1","list":["1","123456"]}}`, "", canonical.MappingUnrepresentable,
			[]string{"too_long /attributes/a~1b [extra.a/b]", "too_long /attributes/list [extra.list]"}},
		{"required inside lists", `{"addresses":[{"city":"A","lines":["1"]},{"city":"B"},{"postalCode":"1"}]}`, "", canonical.MappingRequiredMissing,
			[]string{"required /addresses/1/lines [places.1.street]", "required /addresses/2/lines [places.2.street]"}},
		{"missing outranks unfit", `{"name":{"givenName":"Lieselotte"},"addresses":[{"city":"A"}]}`, "", canonical.MappingRequiredMissing,
			[]string{"required /addresses/0/lines [places.0.street]", "too_long /name/givenName [first]"}},

		// Clearing.
		{"clear", `{"name":{"givenName":null},"note":null}`, `{"ref":"c1","first":null,"remark":""}`, "", nil},
		{"clear around", `{"name":null}`, `{"ref":"c1","first":null}`, "", nil},
		{"clear in a list", `{"emails":[{"value":"a@b.c","verified":null},{"value":"d@e.f"}]}`, `{"ref":"c1","mails":[{"address":"a@b.c","ok":false},{"address":"d@e.f"}]}`, "", nil},
		{"clear a container", `{"attributes":null}`, `{"ref":"c1","extra":{}}`, "", nil},
		{"cannot clear", `{"name":{"familyName":null},"emails":[],"gender":null}`, `{"ref":"c1"}`, "", []string{"not_cleared /name/familyName", "not_cleared /emails", "not_cleared /gender"}},
		{"nothing to clear where nothing is held", `{"jobTitle":null,"loyalty":null,"leadSource":{"medium":null}}`, `{"ref":"c1"}`, "", nil},

		// Losses: the widest pointer.
		{"a scalar", `{"jobTitle":"x","birthDate":"2000-01-01"}`, `{"ref":"c1"}`, "", []string{"dropped /jobTitle", "dropped /birthDate"}},
		{"a whole object", `{"leadSource":{"medium":"a","source":"b"},"loyalty":{"member":true}}`, `{"ref":"c1"}`, "", []string{"dropped /leadSource", "dropped /loyalty"}},
		{"a whole list", `{"phoneNumbers":[{"value":"+1234"},{"value":"+12345"}]}`, `{"ref":"c1"}`, "", []string{"dropped /phoneNumbers"}},
		{"a part of an object", `{"name":{"givenName":"Kim","honorificPrefix":"Dr."}}`, `{"ref":"c1","first":"Kim"}`, "", []string{"dropped /name/honorificPrefix"}},
		{"a part of an element", `{"emails":[{"value":"a@b.c","type":"home"}]}`, `{"ref":"c1","mails":[{"address":"a@b.c"}]}`, "", []string{"dropped /emails/0/type"}},
		{"an object in an element", `{"addresses":[{"lines":["1"],"name":{"givenName":"a","familyName":"b"}}]}`, `{"ref":"c1","places":[{"street":["1"]}]}`, "", []string{"dropped /addresses/0/name"}},
		{"bookkeeping is no loss", `{"kind":"person","createdAt":"2020-01-01T00:00:00Z","externalIds":{"acme":"1"},"providerData":{"other":{}}}`, `{"ref":"c1"}`, "", nil},
		{"null beside a loss", `{"leadSource":{"medium":"a","source":null}}`, `{"ref":"c1"}`, "", []string{"dropped /leadSource"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := decode(t, test.doc)
			m := acme.Start(u)
			fill(m, u)
			code, said := outcome(m)
			if code != test.code || !slices.Equal(said, test.said) {
				t.Errorf("Finish = %q %q, want %q %q", code, said, test.code, test.said)
			}
			if got := string(m.Body.Encode()); test.code == "" && got != test.body {
				t.Errorf("Body = %s, want %s", got, test.body)
			}
		})
	}
}

// TestReturns holds what the building methods report.
func TestReturns(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"name":{"givenName":"Kim","familyName":null,"middleName":"1"},"note":null}`)
	m, n := acme.Start(u), u.Customer.Name.Value()
	for name, pair := range map[string][2]bool{
		"Text with a value":      {m.Text("first", n.GivenName), true},
		"Text without":           {m.Text("last", n.FamilyName), false},
		"Put over a limit":       {m.Put("first", canonical.Text("Lieselotte")), false},
		"Put":                    {m.Put("last", canonical.Text("x")), true},
		"Entry":                  {m.Entry("extra.*", "a", canonical.Int(1), -1), true},
		"Bool without":           {m.Bool("mails[].ok", canonical.Field[bool]{}, at(0, 0)), false},
		"Clear of a null":        {m.Clear("remark"), true},
		"Clear that cannot":      {m.Clear("last"), true},
		"Clear of what has none": {m.Clear("first"), false},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %v, want %v", name, pair[0], pair[1])
		}
	}
}

// TestPositions holds that elements may be left out and moved.
func TestPositions(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"emails":[{"value":"a@b.c"},{"value":"d@e.f","type":"x"},{"value":"g@h.i"}],"addresses":[{"city":"A"},{"lines":["1"]}]}`)
	m, emails := acme.Start(u), u.Customer.Emails.Value()
	m.Text("mails[].address", emails[2].Value, at(0, 2))
	m.Text("mails[].address", emails[0].Value, at(1, 0))
	m.Put("places[].street", canonical.List(canonical.Text("1")), at(1, 1))
	m.Text("places[].town", u.Customer.Addresses.Value()[0].City, at(0, 0))
	if got, want := string(m.Body.Encode()), `{"mails":[{"address":"g@h.i"},{"address":"a@b.c"}],"places":[{"town":"A"},{"street":["1"]}]}`; got != want {
		t.Errorf("Body = %s, want %s", got, want)
	}
	sent := &canonical.Request{Links: m.Links()}
	for field, want := range map[string]string{"mails.0.address": "/emails/2/value", "mails[1].address": "/emails/0/value", "mails.0.ok": "/emails/2/verified", "places[0].street": "/addresses/0/lines"} {
		if got := acme.Locate(u, sent, field).Pointer; got != want {
			t.Errorf("Locate(%s) = %s, want %s", field, got, want)
		}
	}
	code, said := outcome(m)
	if want := []string{"required /addresses/0/lines [places.0.street]"}; code != canonical.MappingRequiredMissing || !slices.Equal(said, want) {
		t.Errorf("Finish = %s %q, want %q", code, said, want)
	}
	m = acme.Start(u)
	m.Text("mails[].address", emails[0].Value, at(0, 0))
	if _, said := outcome(m); !slices.Equal(said, []string{"dropped /emails/1", "dropped /emails/2", "dropped /addresses"}) {
		t.Errorf("Finish = %q, want the two elements and the list", said)
	}
}

func TestUseAndNote(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"jobTitle":"x","emails":[{"value":"a@b.c","primary":true},{"value":"d@e.f","primary":false}],"taxIds":[{"value":"1"}]}`)
	m := acme.Start(u)
	m.Use("/jobTitle", -1)
	m.Use("/emails/*", 0)
	m.Note(canonical.NoticeTruncated, "/emails/*/value", 1, "mails", "only a part")
	m.Note(canonical.NoticeDefaulted, "/gender", -1, "sex", "a standing value")
	notices, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range notices {
		got = append(got, fmt.Sprintf("%s %s %s", n.Code, n.Pointer, n.Field))
	}
	if want := []string{"truncated /emails/1/value mails", "defaulted /gender sex", "dropped /emails/1/primary ", "dropped /taxIds "}; !slices.Equal(got, want) {
		t.Errorf("notices = %q, want %q", got, want)
	}
}

func TestRefuseAndMissing(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"emails":[{"value":"a@b.c"}],"note":"x"}`)
	table := acme.With("site", func(f *mapping.Field) { f.Required = true }).With("channel", func(f *mapping.Field) { f.Required = true })
	m := table.Start(u)
	m.Refuse("mails[].address", canonical.FieldInvalid, "takes no such address", at(0, 0))
	m.Refuse("remark", canonical.FieldUnsupported, "takes digits only")
	m.Missing("remark") // is already complained about
	m.Missing("first")
	m.Missing("first")
	code, said := outcome(m)
	want := []string{"required /name/givenName [first]", "required setting site_id [site]", "required  [channel]", "invalid /emails/0/value [mails.0.address]", "unsupported /note [remark]"}
	if code != canonical.MappingRequiredMissing || !slices.Equal(said, want) {
		t.Errorf("Finish = %s %q, want %q", code, said, want)
	}
	_, err := m.Finish()
	if got := canonical.AsError(err).Message; !strings.HasPrefix(got, "acme requires first (and 4 more") {
		t.Errorf("message = %q", got)
	}
	m = table.Start(u)
	m.Constant("site", canonical.Text("s1"))
	m.Constant("channel", canonical.Text("web"))
	if code, said := outcome(m); code != "" {
		t.Errorf("Finish = %s %q, want no refusal: settings fill the rows", code, said)
	}
}

// TestMerge holds that providerData comes last, deeply, and satisfies or takes
// away what is required.
func TestMerge(t *testing.T) {
	t.Parallel()
	build := func(doc string) (*mapping.Mapper, canonical.Upsert) {
		u := decode(t, doc).For("acme-eu", "acme", "")
		m := acme.Start(u)
		fill(m, u)
		m.Constant("site", canonical.Text("s1"))
		for _, d := range u.ProviderData {
			m.Merge(&m.Body, "", d, d.Object)
		}
		return m, u
	}
	m, u := build(`{"name":{"givenName":"Kim"},"attributes":{"a":"1"},"providerData":{"acme-eu":{"first":"Lu","extra":{"b":2}},"acme":{"first":"Al","own":{"x":[1]}}}}`)
	if got, want := string(m.Body.Encode()), `{"ref":"c1","first":"Lu","extra":{"a":"1","b":2},"site":"s1","own":{"x":[1]}}`; got != want {
		t.Errorf("Body = %s, want %s", got, want)
	}
	sent := &canonical.Request{Links: m.Links()}
	for field, want := range map[string]string{
		"first": "/providerData/acme-eu/first", "extra.a": "/attributes/a", "extra.b": "/providerData/acme-eu/extra/b",
		"own.x[0]": "/providerData/acme/own/x/0", "ref": "/id",
	} {
		if got := acme.Locate(u, sent, field).Pointer; got != want {
			t.Errorf("Locate(%s) = %s, want %s", field, got, want)
		}
	}
	for doc, want := range map[string][]string{
		`{"addresses":[{"city":"A"}],"providerData":{"acme":{"places":[{"street":["1"]}]}}}`: nil,
		`{"addresses":[{"city":"A"}],"providerData":{"acme":{"places":[]}}}`:                 nil,
		`{"addresses":[{"city":"A"}],"providerData":{"acme":{"places":null}}}`:               nil,
		`{"addresses":[{"city":"A"}],"providerData":{"acme":{"places":[{"town":"B"}]}}}`:     {"required /addresses/0/lines [places.0.street]"},
		`{"providerData":{"acme":{"places":[{"town":"B"}]}}}`:                                nil, // the provider says so itself
	} {
		m, _ := build(doc)
		if _, said := outcome(m); !slices.Equal(said, want) {
			t.Errorf("%s: Finish = %q, want %q", doc, said, want)
		}
	}
	if got := string(u.ProviderData[0].Object.Encode()); got != `{"first":"Al","own":{"x":[1]}}` {
		t.Errorf("merging changed the caller's object to %s", got)
	}
}

// TestConstantIsCopied holds that providerData of one customer does not reach
// the settings that the next one is built from.
func TestConstantIsCopied(t *testing.T) {
	t.Parallel()
	table := mapping.NewTable("acme", mapping.Field{To: "fixed"})
	var setting canonical.Value
	setting.Set("a", canonical.Int(1))
	u := decode(t, `{"providerData":{"acme":{"fixed":{"a":2}}}}`).For("acme", "acme", "")
	m := table.Start(u)
	m.Constant("fixed", setting)
	m.Merge(&m.Body, "", u.ProviderData[0], u.ProviderData[0].Object)
	if got, want := string(m.Body.Encode()), `{"fixed":{"a":2}}`; got != want {
		t.Errorf("Body = %s, want %s", got, want)
	}
	if got, want := string(setting.Encode()), `{"a":1}`; got != want {
		t.Errorf("the setting became %s, want %s", got, want)
	}
}

func TestUseFormatted(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string][]string{
		`{"name":{"formatted":"Kim Lee","givenName":"Kim","familyName":"Lee"}}`:                                  nil,
		`{"name":{"formatted":"Lee, Kim","givenName":"Kim","familyName":"Lee"}}`:                                 nil,
		`{"name":{"formatted":"Kim A. Lee","givenName":"Kim","familyName":"Lee"}}`:                               {"dropped /name/formatted"},
		`{"name":{"formatted":"Dr. Kim Lee","givenName":"Kim","familyName":"Lee","honorificPrefix":"Dr."}}`:      {"dropped /name/formatted", "dropped /name/honorificPrefix"},
		`{"name":{"formatted":"Kim Lee"}}`:                                                                       {"dropped /name"},
		`{"name":{"formatted":null,"givenName":"Kim"}}`:                                                          nil,
		`{"name":{"formatted":"van der Berg Jan","givenName":"Jan","familyName":"van der Berg"}}`:                nil,
		`{"name":{"formatted":"Kim Lee","givenName":"Kim","familyName":"Lee","middleName":null},"note":"hello"}`: {"not_cleared /name/middleName"},
	} {
		u := decode(t, doc)
		m := acme.With("first", func(f *mapping.Field) { f.Max = 0 }).Start(u)
		fill(m, u)
		m.UseFormatted()
		if _, said := outcome(m); !slices.Equal(said, want) {
			t.Errorf("%s: %q, want %q", doc, said, want)
		}
	}
}

func BenchmarkMapper(b *testing.B) {
	u := decode(b, `{"name":{"givenName":"Kim","familyName":"Lee","middleName":"Ann"},"emails":[{"value":"a@b.c","verified":true},{"value":"d@e.f"}],
		"addresses":[{"lines":["1","2"],"city":"A","postalCode":"1"}],"attributes":{"a":"1","b":2},"note":"x","jobTitle":"y"}`)
	b.ReportAllocs()
	for b.Loop() {
		m := acme.Start(u)
		fill(m, u)
		if _, err := m.Finish(); err != nil {
			b.Fatal(err)
		}
		m.Body.Encode()
	}
}
