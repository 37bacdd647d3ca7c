package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// TestComplaints holds that complaints are read in any of the usual forms.
func TestComplaints(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][]string{
		`null`:                 nil,
		`7`:                    nil,
		`{}`:                   nil,
		`[]`:                   nil,
		`"email is wrong"`:     {": email is wrong"},
		`["a is", "b is"]`:     {": a is", ": b is"},
		`{"message": "no"}`:    {": no"},
		`[{"message": "no"}]`:  {": no"},
		`[{"field": "email"}]`: {"email: "},
		`[{"field": "email", "message": null, "code": "required"}]`:                               {"email: required"},
		`[{"field": "a", "message": "x"}, {"field": "a", "message": ["y", "z"]}]`:                 {"a: x", "a: y", "a: z"},
		`{"field": "a", "message": "x"}`:                                                          {"a: x"},
		`{"field": "phone", "reason": "bad"}`:                                                     {"phone: bad"},
		`[{"key": "phone", "value": "bad"}]`:                                                      {"phone: bad"},
		`{"phone": "bad", "name": "is required"}`:                                                 {"phone: bad", "name: is required"},
		`{"phone": ["bad", "long"], "kept": 7}`:                                                   {"phone: bad", "phone: long"},
		`{"a.0": [{"message": "must exist"}]}`:                                                    {"a.0: must exist"},
		`{"a": {"b": ["bad"], "c": {"message": "odd"}}}`:                                          {"a.b: bad", "a.c: odd"},
		`{"a": {"a.b": "bad"}}`:                                                                   {"a.b: bad"},
		`{"emails": [{"value": ["bad"]}, {"label": "long"}]}`:                                     {"emails.0.value: bad", "emails.1.label: long"},
		`[{"loc": ["body", "emails", 0, "value"], "msg": "bad"}]`:                                 {"body.emails.0.value: bad"},
		`[{"source": {"pointer": "/data/phone"}, "detail": "bad"}]`:                               {"/data/phone: bad"},
		`[{"property": "mail", "value": "x", "constraints": {"isEmail": "must be", "max": "m"}}]`: {"mail: must be", "mail: m"},
		`{"errors": [{"field": "a", "error": {"code": "1", "message": "x"}}]}`:                    {"a: x"},
		`{"reason": "invalid input", "phone": "bad"}`:                                             {": invalid input", "phone: bad"},
		`[[[[[[[[["deep"]]]]]]]]]`:                                                                nil,
	} {
		v, err := canonical.Parse([]byte(body))
		if err != nil {
			t.Fatal(body, err)
		}
		var got []string
		for _, s := range mapping.Complaints(v) {
			got = append(got, s.Field+": "+s.Text)
		}
		if !slices.Equal(got, want) {
			t.Errorf("Complaints(%s) = %q, want %q", body, got, want)
		}
	}
	many := canonical.List()
	for i := range 1000 {
		many.Append(canonical.Text(fmt.Sprint(i)))
	}
	if n := len(mapping.Complaints(many)); n != 100 {
		t.Errorf("%d complaints are read of a long list, want 100", n)
	}
}

func TestBusy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"":                                       false,
		"Conflict":                               false,
		"Concurrent update of this customer":     true,
		"resource_locked":                        true,
		"ResourceLocked":                         true,
		"upsert-in-progress":                     true,
		"Another request is already in progress": true,
		"please retry later":                     true,
		"This customer is blocked":               false,
		"[customerId] is already used for another customer.":                       false,
		"A customer with this address exists. Try again with another one, please.": false,
		strings.Repeat("x", 1_000_000) + " locked":                                 false,
	} {
		if got := mapping.Busy(text); got != want {
			t.Errorf("Busy(%.60q) = %v, want %v", text, got, want)
		}
	}
}

func TestNoRoute(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"no Route matched with those values": true,
		"No static resource v1/customers.":   true,
		"Cannot PUT /customers/1":            true,
		"Customer Not Found":                 false,
		"The requested operation failed because a resource associated with the request could not be found.": false,
	} {
		if got := mapping.NoRoute(text); got != want {
			t.Errorf("NoRoute(%q) = %v, want %v", text, got, want)
		}
	}
}

// TestErrors holds which fields a list of complaints is about.
func TestErrors(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"name":{"givenName":"Kim"},"emails":[{"value":"a@b.co"}]}`)
	m := acme.Start(u)
	fill(m, u)
	sent := &canonical.Request{Links: m.Links()}
	for _, tt := range []struct {
		said []mapping.Said
		want []string
	}{
		{nil, nil},
		{[]mapping.Said{{"first", "is required"}}, []string{"/name/givenName [first] is required"}},
		{[]mapping.Said{{"first", "no"}, {"first", "no"}, {"first", "nor this"}}, []string{"/name/givenName [first] no", "/name/givenName [first] nor this"}},
		{[]mapping.Said{{"", "first and Surname differ"}}, []string{"/name/givenName [first] first and Surname differ", "/name/familyName [Surname] first and Surname differ"}},
		{[]mapping.Said{{"", "Surname (last) is odd"}}, []string{"/name/familyName [Surname] Surname (last) is odd"}},
		{[]mapping.Said{{"info", "Surname is odd"}}, []string{"/name/familyName [info] Surname is odd"}},
		{[]mapping.Said{{"info", "odd"}, {"", "odd"}}, []string{" [info] odd", " [] odd"}},
		{[]mapping.Said{{"site", "unknown"}}, []string{"site_id [site] unknown"}},
	} {
		var got []string
		for _, fe := range acme.Errors(u, sent, tt.said) {
			if mapping.Located(fe) != (fe.Pointer+fe.Setting != "") {
				t.Errorf("Located(%+v) is wrong", fe)
			}
			got = append(got, fe.Pointer+fe.Setting+" ["+fe.Field+"] "+fe.Message)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("Errors(%q) = %q, want %q", tt.said, got, tt.want)
		}
	}
}
