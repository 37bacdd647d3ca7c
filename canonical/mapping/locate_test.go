package mapping_test

import (
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// located is a body of each kind of row, with providerData over it.
func located(t *testing.T) (*mapping.Table, canonical.Upsert, *canonical.Request) {
	t.Helper()
	c, err := canonical.DecodeCustomer("c1", []byte(`{
		"name": {"givenName": "Kim", "familyName": "Lee"},
		"attributes": {"tags": ["a", "b"], "gone": null},
		"providerData": {"acme": {"contact": {"last": "Li", "codes": [1, 2]}, "fields": {"own": {"deep": true}}}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	table := mapping.NewTable("acme",
		mapping.Field{To: "contact.first", From: "/name/givenName"},
		mapping.Field{To: "contact.last", From: "/name/familyName"},
		mapping.Field{To: "fields", From: "/attributes", Container: true},
		mapping.Field{To: "fields.*", From: "/attributes/*"},
	)
	u := canonical.NewUpsert(c).For("acme-eu", "acme", "")
	m := table.Start(u)
	m.Text("contact.first", c.Name.Value().GivenName)
	m.Text("contact.last", c.Name.Value().FamilyName)
	m.Entry("fields.*", "tags", c.Attributes.Value()[0].Value, 0)
	m.UseNull("/attributes/*", 1)
	m.Merge(&m.Body, "", u.ProviderData[0], u.ProviderData[0].Object)
	notices, err := m.Finish()
	if err != nil || len(notices) != 0 {
		t.Fatalf("Finish = %v, %v; want no notice: the null is carried over", notices, err)
	}
	if got, want := string(m.Body.Encode()), `{"contact":{"first":"Kim","last":"Li","codes":[1,2]},"fields":{"tags":["a","b"],"own":{"deep":true}}}`; got != want {
		t.Fatalf("Body = %s, want %s", got, want)
	}
	return table, u, &canonical.Request{Links: m.Links()}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	table, u, sent := located(t)
	for field, want := range map[string]string{
		"contact.first":   "/name/givenName",
		"contact.last":    "/providerData/acme/contact/last",
		"contact.codes.1": "/providerData/acme/contact/codes/1",
		"contact.codes[]": "/providerData/acme/contact/codes",
		"fields.tags":     "/attributes/tags",
		"fields.tags.1":   "/attributes/tags/1",
		"fields.tags[1]":  "/attributes/tags/1",
		"fields.own.deep": "/providerData/acme/fields/own/deep",
		"fields.absent":   "/attributes/absent",
		"fields.absent.0": "/attributes/absent",
		"fields":          "/attributes",
		"fields.own":      "/providerData/acme/fields/own",
		"body.fields.own": "/providerData/acme/fields/own",
		"contact":         "",
		"nowhere":         "",
	} {
		if got := table.Locate(u, sent, field); got.Pointer != want || got.Field != field {
			t.Errorf("Locate(%q) = %q, %q; want %q", field, got.Pointer, got.Field, want)
		}
	}
}

// TestLocateAroundData holds that a complaint about something around what
// providerData states does not point beyond it.
func TestLocateAroundData(t *testing.T) {
	t.Parallel()
	u := decode(t, `{"providerData":{"acme":{"a/b":{"c.d":1,"":2}}}}`)
	m := acme.Start(u)
	defer m.Close()
	data := u.Customer.ProviderData.Value()[0]
	m.Merge(m.Body.Member("outer"), "outer.deep.", data, data.Object)
	sent := &canonical.Request{Links: m.Links()}
	for field, want := range map[string]string{
		"outer.deep.a/b.c.d": "/providerData/acme/a~1b/c.d",
		"outer.deep.a/b":     "/providerData/acme/a~1b",
		"outer.deep":         "/providerData/acme",
		"outer":              "",
		"out":                "",
	} {
		if got := acme.Locate(u, sent, field).Pointer; got != want {
			t.Errorf("Locate(%q) = %q, want %q", field, got, want)
		}
	}
}
