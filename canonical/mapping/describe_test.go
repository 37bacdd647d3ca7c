package mapping_test

import (
	"reflect"
	"slices"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	digits := &mapping.Chars{Only: "digits", Has: func(r rune) bool { return '0' <= r && r <= '9' }}
	table := mapping.NewTable("acme",
		mapping.Field{To: "ref", From: "/id", Required: true, Max: 500},
		mapping.Field{To: "name", From: "/name"},
		mapping.Field{To: "mails", From: "/emails", Clear: canonical.List()},
		mapping.Field{To: "mails[].value", From: "/emails/*/value", Required: true, Max: 50, Chars: digits},
		mapping.Field{To: "phone", From: "/phoneNumbers/*/value", Also: []string{"/phoneNumbers/*/primary"}},
		mapping.Field{To: "street1", From: "/addresses/*/lines", Max: 60},
		mapping.Field{To: "street2", From: "/addresses/*/lines", Max: 40, Lossy: "the rest is joined"},
		mapping.Field{To: "custom", From: "/attributes", Container: true},
		mapping.Field{To: "custom.*", From: "/attributes/*"},
	)
	const one = "one element only: the primary one, else the first"
	all := table.Describe(
		mapping.Remark{Field: "/name", Support: canonical.Lossy, How: "joined", Required: canonical.Required, Or: []string{"/name/familyName", "/name/givenName"}},
		mapping.Remark{Field: "/name/middleName", Support: canonical.Unsupported, How: "never"},
		mapping.Remark{Field: "/attributes/*", MaxLength: 9, Charset: "letters", To: []string{"x"}},
	)
	if slices.ContainsFunc(all, func(c canonical.Capability) bool { return c.Field == "/createdAt" || c.Field == "/emails" }) {
		t.Error("a field that only the gateway uses, or a list, is described")
	}
	for _, want := range []canonical.Capability{
		{Field: "/id", Support: canonical.Held, Required: canonical.Required, To: []string{"ref"}}, // the schema takes fewer than 500
		{Field: "/name/givenName", Support: canonical.Lossy, Required: canonical.Required, Or: []string{"/name/familyName"}, How: "joined", To: []string{"name"}},
		{Field: "/name/middleName", Support: canonical.Unsupported, Required: canonical.Required, Or: []string{"/name/familyName", "/name/givenName"}, How: "never"},
		{Field: "/emails/*/value", Support: canonical.Held, Required: canonical.RequiredInElement, MaxLength: 50, Charset: "digits", To: []string{"mails[].value"}},
		{Field: "/emails/*/type", Support: canonical.Unsupported, Required: canonical.Optional},
		{Field: "/phoneNumbers/*/value", Support: canonical.Lossy, Required: canonical.Optional, How: one, To: []string{"phone"}},
		{Field: "/phoneNumbers/*/primary", Support: canonical.Lossy, Required: canonical.Optional, How: one, To: []string{"phone"}},
		{Field: "/addresses/*/lines", Support: canonical.Lossy, Required: canonical.Optional, MaxLength: 40, How: "the rest is joined; " + one, To: []string{"street1", "street2"}},
		{Field: "/attributes/*", Support: canonical.Held, Required: canonical.Optional, MaxLength: 9, Charset: "letters", To: []string{"x"}},
		{Field: "/note", Support: canonical.Unsupported, Required: canonical.Optional},
	} {
		i := slices.IndexFunc(all, func(c canonical.Capability) bool { return c.Field == want.Field })
		if i < 0 {
			t.Errorf("%s is not described", want.Field)
		} else if !reflect.DeepEqual(all[i], want) {
			t.Errorf("%s = %+v, want %+v", want.Field, all[i], want)
		}
	}
}
