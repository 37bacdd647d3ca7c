package mapping_test

import (
	"slices"
	"strings"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// TestLocateRows holds how a provider's spelling leads to the caller's field,
// whether or not it was sent.
func TestLocateRows(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"name":{"givenName":"Kim"},"emails":[{"value":"a@b.c"},{"value":"d@e.f"}],"addresses":[{"lines":["1","2"],"city":"A"}],"attributes":{"a.b":"1","c/d":"2"}}`)
	m := acme.Start(u)
	fill(m, u)
	sent := &canonical.Request{Links: m.Links()}
	tests := []struct{ field, pointer, setting string }{
		{"first", "/name/givenName", ""},
		{"FIRST", "/name/givenName", ""},
		{"last", "/name/familyName", ""}, // not sent: where it would have come from
		{"Surname", "/name/familyName", ""},
		{"surname", "/name/familyName", ""},
		{"mails.1.address", "/emails/1/value", ""},
		{"mails[1].address", "/emails/1/value", ""},
		{"mails.1.ok", "/emails/1/verified", ""},
		{"mails.address", "/emails/0/value", ""},
		{"mails", "/emails", ""},
		{"places.0.street", "/addresses/0/lines", ""},
		{"places.0.street.1", "/addresses/0/lines/1", ""},
		{"places[0].street[1]", "/addresses/0/lines/1", ""},
		{"mails.1", "/emails/1", ""},
		{"mails[1]", "/emails/1", ""},
		{"mails.7", "/emails", ""}, // not sent
		{"/mails/1/address", "/emails/1/value", ""},
		{"#/mails/1/address", "/emails/1/value", ""},
		{"$.mails[1].address", "/emails/1/value", ""},
		{"$['mails'][1]['address']", "/emails/1/value", ""},
		{"Upsert.mails.1.address", "/emails/1/value", ""}, // a wrapper
		{"request.body.mails.1", "/emails/1", ""},
		{"a.b.c.d.mails", "", ""},
		{"/body/extra/c~1d", "/attributes/c~1d", ""},
		{"places.0.code", "/addresses/0/postalCode", ""},
		{"first.0", "/name/givenName", ""},    // a scalar has no elements
		{"first.more", "/name/givenName", ""}, // nor members
		{"extra.a.b", "/attributes/a.b", ""},
		{"extra.c/d", "/attributes/c~1d", ""},
		{"extra", "/attributes", ""},
		{"site", "", "site_id"},
		{"channel", "", ""},
		{"unheard.of", "", ""},
		{"", "", ""},
		{"...", "", ""},
		{"[", "", ""},
		{"0", "", ""},
		{"mails.99999999999999999999.address", "/emails", ""},
		{strings.Repeat("a.", 100_000), "", ""},
	}
	for _, test := range tests {
		got := acme.Locate(u, sent, test.field)
		if got.Pointer != test.pointer || got.Setting != test.setting {
			t.Errorf("Locate(%.60q) = %q, setting %q, want %q, %q", test.field, got.Pointer, got.Setting, test.pointer, test.setting)
		}
		if len(got.Field) > 2000 || len(test.field) < 100 && got.Field != test.field {
			t.Errorf("Locate(%.60q) has field %.60q", test.field, got.Field)
		}
	}
	if got := acme.Locate(u, sent, "<b>x</b>\n").Field; got != "x" {
		t.Errorf("a provider's spelling is passed on as %q", got)
	}
}

func TestComplaint(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"name":{"givenName":"Kim"}}`)
	got := acme.Complaint(u, &canonical.Request{}, "first", "<b>first</b> is required")
	if want := (canonical.FieldError{Pointer: "/name/givenName", Field: "first", Code: canonical.FieldRequired, Message: "first is required"}); got != want {
		t.Errorf("Complaint = %+v, want %+v", got, want)
	}
	if got := acme.Complaint(u, &canonical.Request{}, "first", ""); got.Message == "" || got.Code != canonical.FieldOther {
		t.Errorf("Complaint without message = %+v", got)
	}
}

func TestMentioned(t *testing.T) {
	t.Parallel()
	table := mapping.NewTable("acme",
		mapping.Field{To: "email", From: "/emails/*/value"},
		mapping.Field{To: "email_verified", From: "/emails/*/verified"},
		mapping.Field{To: "address.city", From: "/addresses/*/city"},
		mapping.Field{To: "address", From: "/addresses", Container: true},
		mapping.Field{To: "items[].code", From: "/taxIds/*/value", Aliases: []string{"Tax Number"}},
		mapping.Field{To: "meta.*", From: "/attributes/*"},
	)
	for message, want := range map[string][]string{
		"":                                     nil,
		"nothing of ours":                      nil,
		"email is invalid":                     {"email"},
		"email_verified is invalid":            {"email_verified"},
		"e-email, myemail, emails, email2":     {"email"},
		"address.city too long, address wrong": {"address.city", "address"},
		"email: 'email' must not be an email":  {"email"},
		"'items.code' or Tax Number":           {"items.code", "Tax Number"},
		"übermailemail email":                  {"email"},
		"emailü":                               nil,
		"address.city.":                        {"address.city"},
		"meta. is wrong":                       nil,
		"(address)":                            {"address"},
		"Email, TAX NUMBER":                    {"email", "Tax Number"},
	} {
		if got := table.Mentioned(message); !slices.Equal(got, want) {
			t.Errorf("Mentioned(%q) = %q, want %q", message, got, want)
		}
	}
	if got := table.Mentioned(strings.Repeat("email ", 1_000_000)); len(got) != 1 {
		t.Errorf("a long message mentions %d fields", len(got))
	}
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]canonical.FieldCode{
		"":                 canonical.FieldOther,
		"Computer says no": canonical.FieldOther,
		"\"postcode\" is required. Enter and try again.": canonical.FieldRequired,
		"email may not be null":                          canonical.FieldRequired,
		"Name must not be blank":                         canonical.FieldRequired,
		"A customer with the same email already exists":  canonical.FieldDuplicate,
		"the value is taken":                             canonical.FieldDuplicate,
		"Domain user: number in use":                     canonical.FieldDuplicate,
		"must be at most 60 characters":                  canonical.FieldTooLong,
		"exceeds the limit":                              canonical.FieldTooLong,
		"Value too long":                                 canonical.FieldTooLong,
		"unknown field x":                                canonical.FieldUnknown,
		"Additional properties are not permitted":        canonical.FieldUnknown,
		"must be one of a, b":                            canonical.FieldUnsupported,
		"country not allowed":                            canonical.FieldUnsupported,
		"Invalid email":                                  canonical.FieldInvalid,
		"INVALID":                                        canonical.FieldInvalid,
		"must match the pattern":                         canonical.FieldInvalid,
		"prerequired":                                    canonical.FieldOther,
		"must be longer than or equal to 3 characters":   canonical.FieldInvalid,
		"must be shorter than or equal to 3 characters":  canonical.FieldTooLong,
		"must not be longer than 3":                      canonical.FieldTooLong,
		"It should have 45 characters or less.":          canonical.FieldTooLong,
		"This value should not be blank.":                canonical.FieldRequired,
		"This field was not expected.":                   canonical.FieldUnknown,
		"property x should not exist":                    canonical.FieldUnknown,
		"x is unknown":                                   canonical.FieldUnknown,
		"Website does not exist":                         canonical.FieldInvalid,
	} {
		if got := mapping.CodeOf(message); got != want {
			t.Errorf("CodeOf(%q) = %s, want %s", message, got, want)
		}
	}
	mapping.CodeOf(strings.Repeat("domain user ", 1_000_000))
}

func TestWith(t *testing.T) {
	t.Parallel()
	strict := acme.With("last", func(f *mapping.Field) { f.Required, f.Max = true, 2 })
	u := decode(t, `{"name":{"familyName":"Lee"}}`)
	m := strict.Start(u)
	fill(m, u)
	if code, said := outcome(m); code != canonical.MappingUnrepresentable || !slices.Equal(said, []string{"too_long /name/familyName [last]"}) {
		t.Errorf("Finish = %s %q, want one complaint about the length", code, said)
	}
	u = decode(t, `{}`)
	m = strict.Start(u)
	fill(m, u)
	if code, said := outcome(m); code != canonical.MappingRequiredMissing || !slices.Equal(said, []string{"required /name/familyName [last]"}) {
		t.Errorf("Finish = %s %q, want last to be required", code, said)
	}
	m = acme.Start(u)
	fill(m, u)
	if code, said := outcome(m); code != "" {
		t.Errorf("With changed the table it was called on: %s %q", code, said)
	}
	fields := acme.Fields()
	fields[0].To = "changed"
	if acme.Fields()[0].To != "ref" {
		t.Error("Fields gives the table away")
	}
}

// TestTablePanics holds that mistakes in a table show when it is built.
func TestTablePanics(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"no such pattern":      func() { mapping.NewTable("x", mapping.Field{To: "a", From: "/nope"}) },
		"no such pattern also": func() { mapping.NewTable("x", mapping.Field{To: "a", From: "/id", Also: []string{"/nope"}}) },
		"two rows":             func() { mapping.NewTable("x", mapping.Field{To: "a"}, mapping.Field{To: "a"}) },
		"With an unknown row":  func() { acme.With("nope", func(*mapping.Field) {}) },
		"Put into nothing":     func() { acme.Start(decode(t, `{}`)).Put("nope", canonical.Text("")) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestUnfit(t *testing.T) {
	t.Parallel()
	e := mapping.Unfit("acme", canonical.FieldError{Pointer: "/kind", Code: canonical.FieldUnsupported, Message: "acme: no organizations"})
	if e.Code != canonical.MappingUnrepresentable || e.Provider != "acme" || e.Message != "acme: no organizations" || len(e.Fields) != 1 || e.Retryable() {
		t.Errorf("Unfit = %+v", e)
	}
}
