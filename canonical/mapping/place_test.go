package mapping_test

import (
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// TestPlaceByKind holds that rows of different kinds share one list, below an
// element at a fixed position.
func TestPlaceByKind(t *testing.T) {
	t.Parallel()
	c, err := canonical.DecodeCustomer("c1", []byte(`{
		"name": {"givenName": "Kim"},
		"emails": [{"value": "kim@example.com"}],
		"phoneNumbers": [{"value": "+4930123456"}],
		"providerData": {"acme": {"profiles": [{"first": "Li"}]}}
	}`))
	if err != nil {
		t.Fatal(err)
	}
	table := mapping.NewTable("acme",
		mapping.Field{To: "profiles[0].first", From: "/name/givenName", Required: true},
		mapping.Field{To: "profiles[0].keys[phone].value", From: "/phoneNumbers/*/value", Max: 5},
		mapping.Field{To: "profiles[0].keys[email].value", From: "/emails/*/value", Aliases: []string{"email"}},
	)
	u := canonical.NewUpsert(c).For("acme", "acme", "")
	m := table.Start(u)
	m.Text("profiles[0].first", c.Name.Value().GivenName)
	m.Put("profiles[0].keys[phone].value", canonical.Text("49301"), mapping.Pos{To: 0, From: 0})
	m.Put("profiles[0].keys[email].value", canonical.Text("kim@example.com"), mapping.Pos{To: 1, From: 0})
	m.MergeAt(m.Body.Member("profiles").Elem(0), "profiles[0].", "/providerData/acme/profiles/0", u.ProviderData[0].Object.Get("profiles").At(0))
	if notices, err := m.Finish(); err != nil || len(notices) != 0 {
		t.Fatalf("Finish = %v, %v; want neither", notices, err)
	}
	if got, want := string(m.Body.Encode()), `{"profiles":[{"first":"Li","keys":[{"value":"49301"},{"value":"kim@example.com"}]}]}`; got != want {
		t.Errorf("Body = %s, want %s", got, want)
	}
	links := m.Links()
	if last := links[len(links)-1]; last.To != "profiles[0].first" || last.Data != "/providerData/acme/profiles/0/first" {
		t.Errorf("last link = %+v, want the member of providerData", last)
	}
	if got := table.Locate(u, &canonical.Request{Links: links}, "email"); got.Pointer != "/emails/0/value" {
		t.Errorf("Locate(email) = %q, want /emails/0/value", got.Pointer)
	}
}

func TestRefuseData(t *testing.T) {
	t.Parallel()
	c, err := canonical.DecodeCustomer("c1", []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	m := mapping.NewTable("acme", mapping.Field{To: "first", From: "/name/givenName", Required: true}).Start(canonical.NewUpsert(c))
	m.RefuseData("/providerData/acme/tenant", "tenant", canonical.FieldUnsupported, "comes from the settings only")
	_, err = m.Finish()
	e := canonical.AsError(err)
	if e == nil || len(e.Fields) != 2 {
		t.Fatalf("Finish = %v, want both faults", err)
	}
	want := canonical.FieldError{Pointer: "/providerData/acme/tenant", Field: "tenant", Code: canonical.FieldUnsupported, Message: "acme: tenant comes from the settings only"}
	if e.Fields[1] != want {
		t.Errorf("Fields[1] = %+v, want %+v", e.Fields[1], want)
	}
}
