package mapping_test

import (
	"fmt"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// TestClose holds that what a mapper returned outlives it, and that nothing of
// one customer gets into the next one's body.
func TestClose(t *testing.T) {
	t.Parallel()
	table := mapping.NewTable("acme",
		mapping.Field{To: "person.first", From: "/name/givenName"},
		mapping.Field{To: "person.last", From: "/name/familyName"},
		mapping.Field{To: "mails[].value", From: "/emails/*/value"},
	)
	type built struct {
		body    string
		links   []canonical.Link
		notices []canonical.Notice
	}
	build := func(i int) built {
		u := canonical.NewUpsert(decode(t, fmt.Sprintf(`{"name": {"givenName": "G%d"}, "emails": [{"value": "e%d@example.com"}], "jobTitle": "J"}`, i, i)).Customer)
		if i%2 == 1 {
			u = canonical.NewUpsert(decode(t, `{"name": {"familyName": "F"}}`).Customer)
		}
		m := table.Start(u)
		defer m.Close()
		n := u.Customer.Name.Value()
		m.Text("person.first", n.GivenName)
		m.Text("person.last", n.FamilyName)
		for j, e := range u.Customer.Emails.Value() {
			m.Text("mails[].value", e.Value, mapping.Pos{To: j, From: j})
		}
		notices, err := m.Finish()
		if err != nil {
			t.Fatal(err)
		}
		return built{string(m.Body.Encode()), m.Links(), notices}
	}
	var all []built
	for i := range 10 {
		all = append(all, build(i))
	}
	for i, got := range all {
		want := fmt.Sprintf(`{"person":{"first":"G%d"},"mails":[{"value":"e%d@example.com"}]}`, i, i)
		first, links, notices := "person.first", 2, 1
		if i%2 == 1 {
			want, first, links, notices = `{"person":{"last":"F"}}`, "person.last", 1, 0
		}
		if got.body != want {
			t.Errorf("body %d = %s, want %s", i, got.body, want)
		}
		if len(got.links) != links || got.links[0].To != first {
			t.Errorf("links %d = %+v, want %d, of %s first", i, got.links, links, first)
		}
		if len(got.notices) != notices || notices > 0 && got.notices[0].Pointer != "/jobTitle" {
			t.Errorf("notices %d = %+v, want %d, of /jobTitle", i, got.notices, notices)
		}
	}
}
