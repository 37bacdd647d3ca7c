package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// faultsOf decodes doc for the customer c1 and renders its faults as
// "code pointer".
func faultsOf(t *testing.T, doc string) (Code, []string) {
	t.Helper()
	c, err := DecodeCustomer("c1", []byte(doc))
	if err == nil {
		return "", nil
	}
	if c != nil {
		t.Errorf("DecodeCustomer(%.80s) returned a customer beside %v", doc, err)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("DecodeCustomer(%.80s) = %T, want *Error", doc, err)
	}
	var faults []string
	for _, f := range e.Fields {
		if f.Message == "" {
			t.Errorf("DecodeCustomer(%.80s): a fault at %q without message", doc, f.Pointer)
		}
		faults = append(faults, string(f.Code)+" "+f.Pointer)
	}
	return e.Code, faults
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	tests := []struct {
		name string
		doc  string
		code Code
		want []string
	}{
		// Not readable.
		{"nothing", ``, RequestMalformed, []string{"invalid "}},
		{"white space", " \n", RequestMalformed, []string{"invalid "}},
		{"byte order mark", "\xef\xbb\xbf{}", RequestMalformed, []string{"invalid "}},
		{"list", `[{}]`, RequestMalformed, []string{"invalid "}},
		{"null", `null`, RequestMalformed, []string{"invalid "}},
		{"string", `"c1"`, RequestMalformed, []string{"invalid "}},
		{"cut off", `{"name":{"givenName":"Ki`, RequestMalformed, []string{"invalid /name/givenName"}},
		{"cut off after a member", `{"note":"a"`, RequestMalformed, []string{"invalid "}},
		{"cut off in a literal", `{"note":nul`, RequestMalformed, []string{"invalid /note"}},
		{"trailing comma", `{"note":"a",}`, RequestMalformed, []string{"invalid "}},
		{"comment", `{/* */}`, RequestMalformed, []string{"invalid "}},
		{"single quotes", `{'note':'a'}`, RequestMalformed, []string{"invalid "}},
		{"trailing value", `{} {}`, RequestMalformed, []string{"invalid "}},
		{"trailing bytes", `{}x`, RequestMalformed, []string{"invalid "}},
		{"trailing zero byte", "{}\x00", RequestMalformed, []string{"invalid "}},
		{"invalid UTF-8", "{\"note\":\"a\xff\"}", RequestMalformed, []string{"invalid /note"}},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", RequestMalformed, []string{"invalid "}},
		{"half a surrogate pair", `{"note":"\ud800"}`, RequestMalformed, []string{"invalid /note"}},
		{"unknown escape", `{"note":"\x41"}`, RequestMalformed, []string{"invalid /note"}},
		{"line break in a string", "{\"note\":\"a\nb\"}", RequestMalformed, []string{"invalid /note"}},
		{"number with zeros", `{"attributes":{"a":01}}`, RequestMalformed, []string{"invalid /attributes"}},
		{"not a number", `{"attributes":{"a":NaN}}`, RequestMalformed, []string{"invalid /attributes/a"}},
		// Duplicates end the reading: which one is meant cannot be known.
		{"duplicate", `{"note":"a","note":"b"}`, RequestMalformed, []string{"duplicate /note"}},
		{"duplicate, escaped", `{"id":"c1","\u0069d":"c1"}`, RequestMalformed, []string{"duplicate /id"}},
		{"duplicate below", `{"emails":[{"value":"a@b.c"},{"value":"a@b.c","value":"a@b.c"}]}`, RequestMalformed, []string{"duplicate /emails/1/value"}},
		{"duplicate attribute", `{"attributes":{"a":1,"a":2}}`, RequestMalformed, []string{"duplicate /attributes/a"}},
		{"duplicate in providerData", `{"providerData":{"april":{"a":{"b":1,"b":2}}}}`, RequestMalformed, []string{"duplicate /providerData/april/a/b"}},
		{"duplicate in an unknown member", `{"extra":{"a":1,"a":2}}`, RequestMalformed, []string{"unknown_field /extra", "duplicate /extra/a"}},
		{"faults before a syntax error are kept", `{"kind":"x","note":"a`, RequestMalformed, []string{"unsupported /kind", "invalid /note"}},
		// Nesting.
		{"deep attribute", `{"attributes":{"a":` + deep(70) + `}}`, RequestMalformed, []string{"invalid /attributes/a" + strings.Repeat("/0", 64)}},
		{"deep providerData", `{"providerData":{"april":{"a":` + deep(65) + `}}}`, RequestMalformed, []string{"invalid /providerData/april/a" + strings.Repeat("/0", 63)}},
		// Wrong types, all of them at once, and what stands around them.
		{"wrong types", `{"note":1,"name":[],"emails":{},"birthDate":20240101,"createdAt":true,"attributes":[],"externalIds":"a","providerData":1,"loyalty":{"member":"yes"}}`, RequestMalformed,
			[]string{"invalid /note", "invalid /name", "invalid /emails", "invalid /birthDate", "invalid /createdAt", "invalid /attributes", "invalid /externalIds", "invalid /providerData", "invalid /loyalty/member"}},
		{"wrong elements", `{"emails":["a@b.c",{"value":"a@b.c"},null],"addresses":[{"lines":[1,"a",null],"type":[true]}]}`, RequestMalformed,
			[]string{"invalid /emails/0", "invalid /emails/2", "invalid /addresses/0/lines/0", "invalid /addresses/0/lines/2", "invalid /addresses/0/type/0"}},
		{"wrong element shifts nothing", `{"emails":[1,{"value":"a@b.c","primary":true},{"value":"d@e.f","primary":true}]}`, RequestMalformed, []string{"invalid /emails/0", "duplicate /emails/2/primary"}},
		{"wrong types and values", `{"note":1,"kind":"x"}`, RequestMalformed, []string{"invalid /note", "unsupported /kind"}},
		{"wrong map values", `{"externalIds":{"a":1,"b":null},"providerData":{"a":[],"b":null}}`, RequestMalformed,
			[]string{"invalid /externalIds/a", "invalid /externalIds/b", "invalid /providerData/a", "invalid /providerData/b"}},
		// Readable and not valid: everything at once.
		{"other id", `{"id":"c2"}`, RequestInvalid, []string{"invalid /id"}},
		{"null id", `{"id":null}`, RequestInvalid, []string{"invalid /id"}},
		{"id in other case", `{"id":"C1"}`, RequestInvalid, []string{"invalid /id"}},
		{"names have one case", `{"Note":"a","EMAILS":[],"name":{"givenname":"a"}}`, RequestInvalid, []string{"unknown_field /Note", "unknown_field /EMAILS", "unknown_field /name/givenname"}},
		{"empty name", `{"":1}`, RequestInvalid, []string{"unknown_field /"}},
		{"names that need escapes", `{"a/b~c":1,"attributes":{"a/b~c":{}}}`, RequestInvalid, []string{"unknown_field /a~1b~0c", "invalid /attributes/a~1b~0c"}},
		{"empty strings", `{"note":"","jobTitle":"","name":{"givenName":""},"emails":[{"value":"","type":""}],"addresses":[{"lines":[""],"type":""}],"birthDate":"","updatedAt":"","externalIds":{"a":""},"gender":""}`, RequestInvalid,
			[]string{"invalid /note", "invalid /jobTitle", "invalid /name/givenName", "invalid /emails/0/value", "invalid /emails/0/type", "invalid /addresses/0/lines/0", "invalid /addresses/0/type", "invalid /birthDate", "invalid /updatedAt", "invalid /externalIds/a", "invalid /gender"}},
		{"required members", `{"emails":[{}],"phoneNumbers":[{"value":null}],"taxIds":[{}],"consents":[{}],"identifiers":[{"type":"a"}]}`, RequestInvalid,
			[]string{"required /emails/0/value", "required /phoneNumbers/0/value", "required /taxIds/0/value", "required /consents/0/channel", "required /consents/0/granted", "required /identifiers/0/value"}},
		{"two primaries", `{"emails":[{"value":"a@b.c","primary":true},{"value":"d@e.f"},{"value":"g@h.i","primary":true}],"addresses":[{"primary":true},{"primary":true}]}`, RequestInvalid,
			[]string{"duplicate /emails/2/primary", "duplicate /addresses/1/primary"}},
		{"formats", `{"emails":[{"value":"a"}],"phoneNumbers":[{"value":"123"}],"addresses":[{"country":"UK","phoneNumber":"0"}],"locale":"fr_FR","birthDate":"2023-02-29","updatedAt":"now","leadSource":{"referrer":"x"}}`, RequestInvalid,
			[]string{"invalid /emails/0/value", "invalid /phoneNumbers/0/value", "invalid /addresses/0/country", "invalid /addresses/0/phoneNumber", "invalid /locale", "invalid /birthDate", "invalid /updatedAt", "invalid /leadSource/referrer"}},
		{"control characters", `{"note":"a\u0000","jobTitle":"a\tb","attributes":{"a":"\u0007","b":["\u009f"],"c\u0000":1}}`, RequestInvalid,
			[]string{"invalid /note", "invalid /jobTitle", "invalid /attributes/a", "invalid /attributes/b/0", "invalid /attributes/c\x00"}},
		{"attributes", `{"attributes":{"a":{},"b":[{}],"c":[[1]],"d":[null],"":1}}`, RequestInvalid,
			[]string{"invalid /attributes/a", "invalid /attributes/b/0", "invalid /attributes/c/0", "invalid /attributes/d/0", "invalid /attributes/"}},
		{"number of too many digits", `{"attributes":{"a":1` + strings.Repeat("0", 10_000) + `}}`, RequestInvalid, []string{"too_long /attributes/a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			code, faults := faultsOf(t, test.doc)
			if code != test.code {
				t.Errorf("code = %q, want %q", code, test.code)
			}
			if !slices.Equal(faults, test.want) {
				t.Errorf("faults = %q, want %q", faults, test.want)
			}
		})
	}
}

// What only begins like a value is told as what it is.
func TestDecodeCustomerTellsTextFromNull(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{"not json": "not valid JSON", "null": "not null", "[]": "not a list"} {
		_, err := DecodeCustomer("c1", []byte(doc))
		if e := AsError(err); e == nil || len(e.Fields) != 1 || !strings.Contains(e.Fields[0].Message, want) {
			t.Errorf("%s: error = %+v, want one that says %q", doc, e, want)
		}
	}
}

// TestDecodeLimits holds every limit from both sides.
func TestDecodeLimits(t *testing.T) {
	t.Parallel()
	list := func(element string) func(int) string {
		return func(n int) string {
			return "[" + strings.TrimSuffix(strings.Repeat(element+",", n), ",") + "]"
		}
	}
	text := func(n int) string { return `"` + strings.Repeat("ü", n) + `"` }
	object := func(value string) func(int) string {
		return func(n int) string {
			members := make([]string, n)
			for i := range n {
				members[i] = fmt.Sprintf(`"k%d":%s`, i, value)
			}
			return "{" + strings.Join(members, ",") + "}"
		}
	}
	tests := []struct {
		pointer string
		format  string // of the document; %s is the value
		max     int
		value   func(int) string
	}{
		{"/emails", `{"emails":%s}`, 20, list(`{"value":"a@b.c"}`)},
		{"/phoneNumbers", `{"phoneNumbers":%s}`, 20, list(`{"value":"+1234"}`)},
		{"/addresses", `{"addresses":%s}`, 50, list(`{}`)},
		{"/taxIds", `{"taxIds":%s}`, 20, list(`{"value":"1"}`)},
		{"/consents", `{"consents":%s}`, 50, list(`{"channel":"sms","granted":false}`)},
		{"/identifiers", `{"identifiers":%s}`, 50, list(`{"type":"a","value":"b"}`)},
		{"/addresses/0/lines", `{"addresses":[{"lines":%s}]}`, 10, list(`"a"`)},
		{"/addresses/0/type", `{"addresses":[{"type":%s}]}`, 5, list(`"home"`)},
		{"/attributes", `{"attributes":%s}`, 60, object(`1`)},
		{"/externalIds", `{"externalIds":%s}`, 60, object(`"a"`)},
		{"/providerData", `{"providerData":%s}`, 60, object(`{}`)},
		{"/attributes/a", `{"attributes":{"a":%s}}`, 1000, list(`1`)},
		{"/attributes/a", `{"attributes":{"a":%s}}`, 10_000, text},
		{"/attributes/a/0", `{"attributes":{"a":[%s]}}`, 10_000, text},
		{"/externalIds/a", `{"externalIds":{"a":%s}}`, 255, text},
		{"/jobTitle", `{"jobTitle":%s}`, 255, text},
		{"/note", `{"note":%s}`, 10_000, text},
		{"/addresses/0/lines/0", `{"addresses":[{"lines":[%s]}]}`, 255, text},
		{"/addresses/0/postalCode", `{"addresses":[{"postalCode":%s}]}`, 40, text},
		{"/consents/0/channel", `{"consents":[{"granted":true,"channel":%s}]}`, 45, text},
		{"/leadSource/campaign", `{"leadSource":{"campaign":%s}}`, 512, text},
	}
	for _, test := range tests {
		doc := fmt.Sprintf(test.format, test.value(test.max))
		if code, faults := faultsOf(t, doc); code != "" {
			t.Errorf("%s with %d: %s %q, want none", test.pointer, test.max, code, faults)
		}
		doc = fmt.Sprintf(test.format, test.value(test.max+1))
		if code, faults := faultsOf(t, doc); code != RequestInvalid || !slices.Equal(faults, []string{"too_long " + test.pointer}) {
			t.Errorf("%s with %d: %s %q, want too_long", test.pointer, test.max+1, code, faults)
		}
	}
}

func TestDecodeSuggests(t *testing.T) {
	t.Parallel()
	tests := []struct{ doc, want string }{
		{`{"email":[]}`, `"emails"`},
		{`{"Emails":[]}`, `"emails"`},
		{`{"phonenumber":[]}`, `"phoneNumbers"`},
		{`{"taxIDs":[]}`, `"taxIds"`},
		{`{"name":{"firstName":"a"}}`, ""},
		{`{"name":{"giveName":"a"}}`, `"givenName"`},
		{`{"addresses":[{"postcode":"1"}]}`, `"postalCode"`},
		{`{"addresses":[{"postalCod":"1"}]}`, `"postalCode"`},
		{`{"adress":[]}`, ""},
		{`{"x":1}`, ""},
		{`{"` + strings.Repeat("emails", 100) + `":1}`, ""},
	}
	for _, test := range tests {
		_, err := DecodeCustomer("c1", []byte(test.doc))
		message := AsError(err).Fields[0].Message
		_, got, _ := strings.Cut(message, "did you mean ")
		if got = strings.TrimSuffix(got, "?"); got != test.want {
			t.Errorf("%.60s suggests %q, want %q", test.doc, got, test.want)
		}
	}
}

// TestDecodeFaultCap holds that a hopeless document is given up on early, with
// a bounded answer, wherever its faults are.
func TestDecodeFaultCap(t *testing.T) {
	t.Parallel()
	repeat := func(s string) string { return strings.TrimSuffix(strings.Repeat(s+",", 5000), ",") }
	unknown, names := make([]string, 5000), make([]string, 5000)
	for i := range unknown {
		unknown[i] = fmt.Sprintf(`"x%d":1`, i)
		names[i] = fmt.Sprintf(`"\u0000%d":1`, i)
	}
	for name, doc := range map[string]string{
		"unknown members": `{` + strings.Join(unknown, ",") + `}`,
		"strings":         `{"addresses":[{"lines":[` + repeat(`1`) + `]}]}`,
		"names":           `{"attributes":{` + strings.Join(names, ",") + `}}`,
		"nested":          `{"addresses":[` + repeat(`{"x":1,"y":2,"z":3}`) + `]}`,
		"attribute":       `{"attributes":{"a":[` + strings.TrimSuffix(strings.Repeat("{},", 1000), ",") + `]}}`,
	} {
		_, err := DecodeCustomer("c1", []byte(doc))
		e := AsError(err)
		if len(e.Fields) != 100 {
			t.Errorf("%s: %d faults, want 100", name, len(e.Fields))
		}
		if !strings.Contains(e.Message, "only the first 100") {
			t.Errorf("%s: message = %q, want it to say that the list is cut", name, e.Message)
		}
	}
}

func TestDecodeTakes(t *testing.T) {
	t.Parallel()
	c, err := DecodeCustomer("c1", []byte(` {
		"\u0069d": "c1",
		"name": {"givenName": "Zo\u00eb \ud83c\udf89", "middleName": null, "familyName": "a\"b\\c\/d"},
		"organization": null,
		"emails": [{"value": "a@b.c", "verified": false}, {"value": "d@e.f", "primary": true}],
		"phoneNumbers": [],
		"addresses": [{"type": "home", "lines": ["1", "2"]}, {"type": ["billing", "shipping"]}, {"type": null}],
		"birthDate": "2024-02-29",
		"note": "a\nb\tc",
		"attributes": {"big": 123456789012345678901234567890.10, "exp": 1E+400, "yes": true, "none": null, "list": ["a", 1], "a\/b": ""},
		"updatedAt": "2026-01-31T09:30:00+01:00",
		"externalIds": {"april": "x"},
		"providerData": {"april": {"z": 1, "a": {"deep": [`+strings.Repeat("[", 40)+strings.Repeat("]", 40)+`]}}}
	} `))
	if err != nil {
		t.Fatalf("%v %v", err, AsError(err).Fields)
	}
	name := c.Name.Value()
	if got, want := name.GivenName.Value(), "Zoë 🎉"; got != want {
		t.Errorf("givenName = %q, want %q", got, want)
	}
	if got, want := name.FamilyName.Value(), `a"b\c/d`; got != want {
		t.Errorf("familyName = %q, want %q", got, want)
	}
	if !name.MiddleName.IsNull() || !c.Organization.IsNull() || name.Formatted.IsStated() || c.Gender.IsStated() {
		t.Error("null and absent are not told apart")
	}
	if list, ok := c.PhoneNumbers.Get(); !ok || len(list) != 0 {
		t.Errorf("phoneNumbers = %v, %v, want an empty list", list, ok)
	}
	emails := c.Emails.Value()
	if v, ok := emails[0].Verified.Get(); v || !ok || emails[1].Verified.IsStated() {
		t.Error("verified: false and absent are not told apart")
	}
	if c.PrimaryEmail() != 1 || c.PrimaryAddress() != 0 || c.PrimaryPhone() != -1 || c.PrimaryTaxID() != -1 {
		t.Errorf("primaries = %d %d %d %d", c.PrimaryEmail(), c.PrimaryAddress(), c.PrimaryPhone(), c.PrimaryTaxID())
	}
	a := c.Addresses.Value()
	if !slices.Equal(a[0].Type.Value(), OneOrMore{"home"}) || !slices.Equal(a[1].Type.Value(), OneOrMore{"billing", "shipping"}) || !a[2].Type.IsNull() {
		t.Errorf("types = %v %v %v", a[0].Type, a[1].Type, a[2].Type)
	}
	if got := c.BirthDate.Value(); got != (Date{2024, 2, 29}) {
		t.Errorf("birthDate = %v", got)
	}
	if got, want := c.UpdatedAt.Value().String(), "2026-01-31T08:30:00Z"; got != want {
		t.Errorf("updatedAt = %s, want %s", got, want)
	}
	var attributes []string
	for _, x := range c.Attributes.Value() {
		attributes = append(attributes, x.Name+"="+string(x.Value.Encode()))
	}
	if want := []string{"big=123456789012345678901234567890.10", "exp=1E+400", "yes=true", "none=null", `list=["a",1]`, `a/b=""`}; !slices.Equal(attributes, want) {
		t.Errorf("attributes = %q, want %q", attributes, want)
	}
	if got, want := string(c.ProviderData.Value()[0].Object.Encode()[:10]), `{"z":1,"a"`; got != want {
		t.Errorf("providerData = %s…, want %s…", got, want)
	}
	if got := c.Pointer(Path("/attributes/*"), 5); got != "/attributes/a~1b" {
		t.Errorf("pointer = %s", got)
	}
}

// TestDecodeKeepsNothing holds that a customer does not change when the body's
// memory is used again, and that decoding leaves the body as it is.
func TestDecodeKeepsNothing(t *testing.T) {
	t.Parallel()
	data := readCustomer(t, "everything")
	before := bytes.Clone(data)
	c, err := DecodeCustomer("cust-3003", data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, before) {
		t.Error("DecodeCustomer changed the body")
	}
	for i := range data {
		data[i] = 'x'
	}
	if _, err := DecodeCustomer("c1", []byte(`{"name":{"givenName":"Kim"}}`)); err != nil {
		t.Fatal(err)
	}
	if got, want := c.Name.Value().GivenName.Value(), "Maria"; got != want {
		t.Errorf("givenName = %q, want %q", got, want)
	}
	if got, want := c.Attributes.Value()[4].Value.At(1).Str(), "oil"; got != want {
		t.Errorf("attribute = %q, want %q", got, want)
	}
}

// TestDecodeIDFromPath holds that the id of the path is the customer's.
func TestDecodeIDFromPath(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{`{}`, `{"id":"c1"}`} {
		c, err := DecodeCustomer("c1", []byte(doc))
		if err != nil || c.ID.Value() != "c1" {
			t.Errorf("DecodeCustomer(c1, %s) has id %v, %v", doc, c.ID, err)
		}
	}
}

// TestDecodeConcurrently is for the race detector: readers are shared.
func TestDecodeConcurrently(t *testing.T) {
	t.Parallel()
	data := readCustomer(t, "person")
	done := make(chan error)
	for range 8 {
		go func() {
			for range 50 {
				c, err := DecodeCustomer("cust-1001", data)
				if err == nil && c.Name.Value().FamilyName.Value() != "Diamond" {
					err = errors.New("another customer's name")
				}
				if err != nil {
					done <- err
					return
				}
				if _, err := DecodeCustomer("c1", []byte(`{"name":{"familyName":`)); err == nil {
					done <- errors.New("a cut-off body is taken")
					return
				}
			}
			done <- nil
		}()
	}
	for range 8 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
