package sandbox

import (
	"fmt"
	"strings"
	"testing"
)

// other is a customer of the same account, and inStore one of another source.
const (
	other   = `{"profiles":[{"identifiers":[{"type":"mobile","value":"4915111111111"}],"source":"WEB_ENGAGE","accountId":"311c4dd1"}]}`
	inStore = `{"profiles":[{"identifiers":[{"type":"email","value":"shop@example.com"}],"source":"INSTORE"}]}`
)

func TestChangeIdentifier(t *testing.T) {
	t.Parallel()
	const query = "?source=WEB_ENGAGE&accountId=311c4dd1"
	tests := []struct {
		name, id, query, body string
		status                int
		want                  string // part of the answer
		holds                 string // part of the record afterwards
	}{
		{"add", "", query, `{"add":[{"type":"email","value":"a@example.com"}]}`, 200, `"warnings":[]`, `"a@example.com"`},
		{"replace of one type", "", query, `{"add":[{"type":"mobile","value":"4915122222222"}]}`, 200, `"createdId"`, `"4915122222222"`},
		{"attached already", "", query, `{"add":[{"type":"mobile","value":"916360499160"}]}`, 200, `8071`, `"916360499160"`},
		{"remove", "", query, `{"remove":[{"type":"mobile","value":"916360499160"}]}`, 200, `"createdId"`, `"VISHKWJEJWJC2381"`},
		{"of another customer", "", query, `{"add":[{"type":"mobile","value":"4915111111111"}]}`, 400, `8007`, `"916360499160"`},
		{"of another source", "", query, `{"add":[{"type":"email","value":"shop@example.com"}]}`, 200, `8051`, `"INSTORE"`},
		{"unknown customer", "4711", query, `{"add":[{"type":"email","value":"a@example.com"}]}`, 400, `8009`, ""},
		{"no number", "x", query, `{"add":[{"type":"email","value":"a@example.com"}]}`, 400, `8009`, ""},
		{"no source", "", "", `{"add":[{"type":"email","value":"a@example.com"}]}`, 400, `8001`, ""},
		{"no account", "", "?source=WEB_ENGAGE", `{"add":[{"type":"email","value":"a@example.com"}]}`, 400, `8045`, ""},
		{"bad number", "", query, `{"add":[{"type":"mobile","value":"+4915"}]}`, 400, `8056`, ""},
		{"bad address", "", query, `{"add":[{"type":"email","value":"a b@example.com"}]}`, 400, `8055`, ""},
		{"nothing", "", query, `{}`, 400, `"code":400`, ""},
		{"a list", "", query, `[]`, 400, `"code":400`, ""},
		{"unknown member", "", query, `{"adds":[]}`, 400, `"code":400`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			id, err := b.Seed([]byte(seedRow))
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range []string{other, inStore} {
				if _, err := b.Seed([]byte(row)); err != nil {
					t.Fatal(err)
				}
			}
			path := "/v2/customers/" + tt.id
			if tt.id == "" {
				path = "/v2/customers/" + id
			}
			got := b.send("POST", path+"/changeIdentifier"+tt.query, tt.body, jsonHeader("Authorization", till))
			if got.status != tt.status || !strings.Contains(got.body, tt.want) {
				t.Errorf("answer = %d %s, want %d with %s", got.status, got.body, tt.status, tt.want)
			}
			if record, _ := b.Record(id); !strings.Contains(string(record.Document), tt.holds) {
				t.Errorf("the record lacks %s: %s", tt.holds, record.Document)
			}
		})
	}
	b := setup(t, Options{})
	if got := b.send("POST", "/v2/customers/1/changeIdentifier"+query, `{}`, jsonHeader()); got.status != 401 {
		t.Errorf("without a credential = %d %s, want 401", got.status, got.body)
	}
	if got := b.send("POST", "/v2/customers//changeIdentifier"+query, `{}`, jsonHeader("Authorization", till)); got.status != 404 {
		t.Errorf("without an id = %d %s, want 404", got.status, got.body)
	}
}

// TestChangedIdentifierLeads holds that the record is found by what it was given,
// and no longer by what was taken from it.
func TestChangedIdentifierLeads(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	id, err := b.Seed([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	b.send("POST", "/v2/customers/"+id+"/changeIdentifier?source=WEB_ENGAGE&accountId=311c4dd1", `{"add":[{"type":"mobile","value":"4915133333333"}]}`, jsonHeader("Authorization", till))
	for number, same := range map[string]bool{"4915133333333": true, "4915111111111": false} {
		got, err := b.Seed([]byte(strings.Replace(other, "4915111111111", number, 1)))
		if err != nil || (got == id) != same {
			t.Errorf("%s leads to %s, %v; to the same: want %v", number, got, err, same)
		}
	}
}

func TestOneCustomerTwiceInACall(t *testing.T) {
	t.Parallel()
	for _, sequential := range []bool{false, true} {
		b := setup(t, Options{Sequential: sequential})
		got := b.send("POST", upsertPath+"?skipChangeIdentifier=false", "["+seedRow+","+other+","+seedRow+"]", jsonHeader("Authorization", till))
		if busy := strings.Count(got.body, `"code":521`); (busy == 1) == sequential || !strings.Contains(got.body, fmt.Sprintf(`"failureCount":%d`, busy)) {
			t.Errorf("sequential %v: %s", sequential, got.body)
		}
		if n := len(b.Records()); n != 2 {
			t.Errorf("sequential %v: %d customers, want 2", sequential, n)
		}
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	id, err := b.Seed([]byte(other))
	if err != nil {
		t.Fatal(err)
	}
	if !b.Delete(id) || b.Delete(id) || b.Delete("x") || len(b.Records()) != 0 {
		t.Error("Delete does not delete exactly once")
	}
	if again, err := b.Seed([]byte(other)); err != nil || again == id {
		t.Errorf("the same customer again = %s, %v; want another id than %s", again, err, id)
	}
}
