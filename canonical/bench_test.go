package canonical

import (
	"encoding/json"
	"os"
	"testing"
)

// plainCustomer is what a hand-written program would decode into: the members
// that person.json states, in plain structs.
type plainCustomer struct {
	ID           string         `json:"id"`
	Kind         string         `json:"kind"`
	Name         plainName      `json:"name"`
	Emails       []plainContact `json:"emails"`
	PhoneNumbers []plainContact `json:"phoneNumbers"`
	Addresses    []plainAddress `json:"addresses"`
	BirthDate    string         `json:"birthDate"`
	Gender       string         `json:"gender"`
	Locale       string         `json:"locale"`
	CustomerType string         `json:"customerType"`
	CreatedAt    string         `json:"createdAt"`
	UpdatedAt    string         `json:"updatedAt"`
}

type plainName struct {
	GivenName  string `json:"givenName"`
	MiddleName string `json:"middleName"`
	FamilyName string `json:"familyName"`
}

type plainContact struct {
	Value    string `json:"value"`
	Type     string `json:"type"`
	Primary  bool   `json:"primary"`
	Verified bool   `json:"verified"`
}

type plainAddress struct {
	Type        []string `json:"type"`
	Primary     bool     `json:"primary"`
	Lines       []string `json:"lines"`
	City        string   `json:"city"`
	Region      string   `json:"region"`
	PostalCode  string   `json:"postalCode"`
	Country     string   `json:"country"`
	PhoneNumber string   `json:"phoneNumber"`
}

func readCustomer(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile("../testdata/customers/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// BenchmarkDecodeCustomer compares decoding and validating with what
// encoding/json takes for plain structs without any check.
func BenchmarkDecodeCustomer(b *testing.B) {
	data := readCustomer(b, "person")
	b.Run("canonical", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeCustomer("cust-1001", data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var c plainCustomer
			if err := json.Unmarshal(data, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkLeaves(b *testing.B) {
	c, err := DecodeCustomer("cust-1001", readCustomer(b, "person"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Leaves()
	}
}

func BenchmarkEncode(b *testing.B) {
	v, err := Parse(readCustomer(b, "person"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		v.Encode()
	}
}
