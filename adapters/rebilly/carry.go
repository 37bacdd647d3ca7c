package rebilly

import (
	"slices"

	"customer-gateway/canonical"
)

// The members that are carried over from a record, and no others: what Rebilly
// sets itself must not be sent back.
var (
	customerMembers = []string{"websiteId", "locale", "notificationEmails", "personId", "preferredPayoutInstrumentId"}
	contactMembers  = append([]string{"firstName", "lastName", "organization", "dob", "jobTitle"}, street...)
	pointMembers    = []string{"label", "value", "primary"}
	taxMembers      = []string{"type", "value", "isDefault"}
)

// writable returns what could be written of a record.
func writable(record canonical.Value) canonical.Value {
	v := pick(record, customerMembers)
	set := func(into *canonical.Value, member string, to canonical.Value) {
		if to.Len() > 0 {
			into.Set(member, to)
		}
	}
	old := record.Get("primaryAddress")
	contact := pick(old, contactMembers)
	set(&contact, "emails", pickEach(old.Get("emails"), pointMembers))
	set(&contact, "phoneNumbers", pickEach(old.Get("phoneNumbers"), pointMembers))
	set(&v, "primaryAddress", contact)
	custom := record.Get("customFields")
	set(&v, "customFields", pick(custom, namesOf(custom)))
	set(&v, "taxNumbers", pickEach(record.Get("taxNumbers"), taxMembers))
	set(&v, "leadSource", pick(embedded(record, "leadSource"), leadSource))
	return v
}

// pick copies the named members that hold something.
func pick(from canonical.Value, names []string) canonical.Value {
	v := canonical.NewObject(len(names))
	for _, member := range names {
		switch m := from.Get(member); {
		case m.IsZero() || m.Kind() == canonical.KindNull:
		case m.Kind() == canonical.KindString && m.Str() == "":
		default:
			v.Set(member, m.Clone())
		}
	}
	return v
}

func pickEach(list canonical.Value, names []string) canonical.Value {
	v := canonical.List()
	if list.Kind() == canonical.KindArray {
		for i := range list.Len() {
			v.Append(pick(list.At(i), names))
		}
	}
	return v
}

func namesOf(object canonical.Value) []string {
	if object.Kind() != canonical.KindObject {
		return nil
	}
	names := make([]string, object.Len())
	for i := range names {
		names[i] = object.NameAt(i)
	}
	return names
}

// embedded finds what an expanded answer embeds: _embedded is an object, and was
// a list of objects before.
func embedded(record canonical.Value, member string) canonical.Value {
	v := record.Get("_embedded")
	if v.Kind() == canonical.KindArray {
		for i := range v.Len() {
			if e := v.At(i); e.Has(member) {
				return e.Get(member)
			}
		}
	}
	return v.Get(member)
}

// forget removes from what is carried over what the caller's statement takes the
// place of, and what it clears by being left out. An address is one statement: a
// part of the old one beside a part of a new one would be a place that does not
// exist. Its parts are kept only where all that is stated of it is there already.
func (a *Adapter) forget(had *canonical.Value, c *canonical.Customer, stated canonical.Value) {
	if i := a.source(c); i >= 0 && had.Has("primaryAddress") {
		contact := had.Member("primaryAddress")
		if lines, ok := c.Addresses.Value()[i].Lines.Get(); ok && len(lines) < 2 {
			contact.Delete("address2")
		}
		if !samePlace(stated.Get("primaryAddress"), *contact) {
			for _, member := range street {
				contact.Delete(member)
			}
		}
	}
	if c.Attributes.IsStated() && len(c.Attributes.Value()) == 0 {
		had.Delete("customFields")
	}
	for _, attr := range c.Attributes.Value() {
		if attr.Value.Kind() == canonical.KindNull && had.Has("customFields") {
			had.Member("customFields").Delete(attr.Name)
		}
	}
}

// samePlace reports whether all that a contact states of its address, nulls
// aside, is so in the old one.
func samePlace(stated, had canonical.Value) bool {
	return !slices.ContainsFunc(street, func(member string) bool {
		v := stated.Get(member)
		return !v.IsZero() && v.Kind() != canonical.KindNull && !v.Equal(had.Get(member))
	})
}

// known returns the element of a list that was carried over whose value is the
// given one, the one at the same position if there are several.
func known(list canonical.Value, value string, at int) canonical.Value {
	if at < list.Len() && list.At(at).Get("value").Str() == value {
		return list.At(at)
	}
	for i := range list.Len() {
		if e := list.At(i); e.Get("value").Str() == value {
			return e
		}
	}
	return canonical.Value{}
}

// clearsUnread reports whether a statement clears a member that is not carried
// over and that the record does not show as null, so that only a write makes
// sure of it.
func clearsUnread(stated, record canonical.Value) bool {
	clears := func(stated, record canonical.Value, read []string) bool {
		for i := range stated.Len() {
			member := stated.NameAt(i)
			if stated.At(i).Kind() == canonical.KindNull && !slices.Contains(read, member) && record.Get(member).Kind() != canonical.KindNull {
				return true
			}
		}
		return false
	}
	return clears(stated, record, append([]string{"paymentToken", "primaryAddress", "customFields", "taxNumbers", "leadSource"}, customerMembers...)) ||
		clears(stated.Get("primaryAddress"), record.Get("primaryAddress"), append([]string{"emails", "phoneNumbers"}, contactMembers...))
}

// bare returns what a body amounts to: without what says nothing, which in the
// elements of a list is also false.
func bare(v canonical.Value, element bool) canonical.Value {
	switch v.Kind() {
	case canonical.KindArray:
		list := canonical.List()
		for i := range v.Len() {
			list.Append(bare(v.At(i), true))
		}
		return list
	case canonical.KindObject:
		object := canonical.NewObject(v.Len())
		for i := range v.Len() {
			m := bare(v.At(i), false)
			empty := m.IsZero() || m.Kind() == canonical.KindNull || m.Str() == "" && m.Len() == 0
			if !empty && !(element && m.Kind() == canonical.KindBool && !m.IsTrue()) {
				object.Set(v.NameAt(i), m)
			}
		}
		return object
	}
	return v
}
