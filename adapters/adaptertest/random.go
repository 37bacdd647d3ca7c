package adaptertest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
)

// Random returns a valid customer without an id as JSON, with any of the other
// fields: values of many countries and scripts, repeated, null and empty. The same
// state of r gives the same customer.
func Random(t testing.TB, r *rand.Rand) []byte {
	t.Helper()
	data, err := json.Marshal(random{r}.customer())
	if err != nil {
		t.Fatal(err)
	}
	return data
}

type random struct{ *rand.Rand }

type object = map[string]any

var (
	words = []string{
		"Jane", "O'Brien", "Anne-Marie", "José", "Müller", "Nguyễn Văn", "山田", "Иванов", "محمد", "कविता", "van der Berg", "D’Angelo", "St. John",
		"Smith & Sons", "a/b", "x", "  padded  ", "<b>bold</b>", "quote\"back\\slash", "😀", "12/3", "1/23", "Straße", "%1 %fieldName", "a,b;c", "+1=2",
	}
	plain    = []string{"Jane", "Doe", "José", "Anne-Marie", "Lee", "Müller"}
	places   = []object{{"country": "US", "region": "NY", "postalCode": "11501", "city": "Mineola"}, {"country": "DE", "postalCode": "10117", "city": "Berlin", "region": "Berlin"}, {"country": "GB", "city": "York"}, {"country": "US", "region": "New York", "postalCode": "14201", "city": "Buffalo"}, {"country": "JP", "postalCode": "100-0001", "city": "千代田区"}}
	streets  = [][]string{{"160 1st St."}, {"12/3 High St"}, {"1/23 High St"}, {"1 Main St", "Floor 2"}, {"1 Main St", "Floor 2", "Door 3"}, {"丸の内1-1"}, {"कि"}, {"की"}}
	numbers  = []string{"+14155550100", "+493012345678", "+81312345678", "+442071838750", "+61401234567"}
	mails    = []string{"jane@example.com", "a+b@example.com", "o'brien@example.com", "x_y-z@sub.example.co.uk", "UPPER@Example.COM", "müller@example.com"}
	labels   = []string{"gold", "vip", "a.b", "c/d", "~e", "ключ", "with space"}
	purposes = []string{"marketing", "transactional"}
)

// one returns one of the values.
func one[T any](r random, of ...T) T { return of[r.IntN(len(of))] }

// set gives o a member in some of the cases, and null in a few.
func (r random) set(o object, name string, value any) {
	switch n := r.IntN(20); {
	case n < 11:
		o[name] = value
	case n == 11:
		o[name] = nil
	}
}

// list makes up to n elements of which one at most is primary.
func (r random) list(n int, element func() object) any {
	list := make([]object, r.IntN(n+1))
	primary := r.IntN(2*n + 1)
	for i := range list {
		list[i] = element()
		if i == primary {
			list[i]["primary"] = true
		}
	}
	return list
}

func (r random) text() string {
	if r.IntN(3) > 0 {
		return one(r, plain...)
	}
	return one(r, words...)
}

func (r random) name() any {
	o := object{}
	for _, member := range []string{"formatted", "givenName", "middleName", "familyName", "honorificPrefix", "honorificSuffix"} {
		r.set(o, member, r.text())
	}
	return o
}

func (r random) address() object {
	o := object{}
	if r.IntN(12) > 0 {
		for member, v := range one(r, places...) {
			o[member] = v
		}
		o["lines"] = one(r, streets...)
	}
	r.set(o, "type", one[any](r, "billing", "shipping", "home", []string{"billing", "shipping"}, []string{"work", "billing"}))
	r.set(o, "phoneNumber", one(r, numbers...))
	r.set(o, "company", r.text())
	if r.IntN(3) == 0 {
		o["name"] = r.name()
	}
	return o
}

func (r random) scalar() any {
	return one[any](r, r.text(), r.IntN(1000), 7.5, r.IntN(2) == 0, nil)
}

func (r random) customer() object {
	o := object{}
	r.set(o, "kind", one(r, "person", "organization"))
	if r.IntN(12) > 0 {
		o["name"] = object{"givenName": one(r, plain...), "familyName": r.text()}
	} else {
		r.set(o, "name", r.name())
	}
	r.set(o, "organization", object{"name": r.text(), "registrationNumber": "HRB 1"})
	r.set(o, "jobTitle", r.text())
	if r.IntN(12) > 0 {
		o["emails"] = []object{{"value": one(r, mails...)}}
	} else {
		r.set(o, "emails", r.list(3, func() object {
			e := object{"value": one(r, mails...)}
			r.set(e, "type", one(r, "home", "work", "other"))
			r.set(e, "verified", r.IntN(2) == 0)
			return e
		}))
	}
	r.set(o, "phoneNumbers", r.list(3, func() object {
		p := object{"value": one(r, numbers...)}
		r.set(p, "type", one(r, "mobile", "home", "work", "fax", "other"))
		r.set(p, "verified", r.IntN(2) == 0)
		return p
	}))
	r.set(o, "addresses", r.list(3, r.address))
	r.set(o, "birthDate", "1979-11-30")
	r.set(o, "gender", one(r, "female", "male", "other", "unspecified"))
	r.set(o, "locale", one(r, "de-DE", "en", "zh-Hant-TW"))
	r.set(o, "taxIds", r.list(2, func() object {
		id := object{"value": one(r, "DE123456789", "GB 999 9999 73", "12-3456789")}
		r.set(id, "type", one(r, "eu_vat", "other"))
		r.set(id, "country", one(r, "DE", "GB", "US"))
		return id
	}))
	r.set(o, "customerType", one(r, "retail", "marketplace", "reseller", "retail_exempt"))
	var consents []object
	for range r.IntN(3) {
		c := object{"channel": one(r, "email", "sms", "whatsapp", "push", "fax"), "granted": r.IntN(2) == 0}
		r.set(c, "purpose", one(r, purposes...))
		r.set(c, "at", "2025-06-01T10:00:00Z")
		consents = append(consents, c)
	}
	r.set(o, "consents", consents)
	r.set(o, "leadSource", object{"medium": "search", "campaign": r.text(), "referrer": "https://example.com/x"})
	loyalty := object{}
	r.set(loyalty, "member", r.IntN(2) == 0)
	r.set(loyalty, "cardNumber", fmt.Sprint("CARD", r.IntN(1_000_000)))
	r.set(loyalty, "cardSeries", one(r, "46", "BUKLPRM"))
	r.set(loyalty, "status", "Active")
	r.set(o, "loyalty", loyalty)
	var ids []object
	for range r.IntN(3) {
		number := 2_000_000 + r.IntN(7_000_000)
		ids = append(ids, object{"type": one(r, "wechat", "cardnumber", "passport", "mobile"), "value": fmt.Sprintf(one(r, "wx-%d", "+1415%d", "C %d"), number)})
	}
	r.set(o, "identifiers", ids)
	r.set(o, "note", "first line\nsecond line "+r.text())
	attributes := object{}
	for range r.IntN(4) {
		v := r.scalar()
		if r.IntN(4) == 0 {
			v = []any{r.text(), r.IntN(10), true}
		}
		attributes[one(r, labels...)] = v
	}
	r.set(o, "attributes", attributes)
	r.set(o, "createdAt", "2020-02-29T23:59:59+01:00")
	r.set(o, "updatedAt", "2026-03-04T05:06:07Z")
	return o
}
