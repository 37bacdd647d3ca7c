package capillary

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// merge lays the caller's providerData over the customer. Its one profile, if it
// has any, goes over the profile that the adapter made; lists replace lists.
func merge(m *mapping.Mapper, d canonical.ProviderData) {
	pointer := canonical.JoinPointer("/providerData", d.Key)
	guard(m, pointer, "", d.Object)
	rest := d.Object
	if profiles := rest.Get("profiles"); !profiles.IsZero() {
		rest = rest.Clone()
		rest.Delete("profiles")
		if profile := elem(profiles, 0); profiles.Len() != 1 || profile.Kind() != canonical.KindObject {
			m.RefuseData(pointer+"/profiles", "profiles", canonical.FieldInvalid, "takes exactly one object here: a route writes to one source account")
		} else {
			checkProfile(m, pointer+"/profiles/0", profile)
			m.MergeAt(m.Body.Member("profiles").Elem(0), "profiles[0].", pointer+"/profiles/0", profile)
		}
	}
	m.Merge(&m.Body, "", d, rest)
}

// guard refuses members that would choose the source account, wherever they
// stand; only the names of custom and extended fields are free.
func guard(m *mapping.Mapper, pointer, field string, v canonical.Value) {
	for i := range v.Len() {
		if v.Kind() == canonical.KindArray {
			guard(m, canonical.JoinPointer(pointer, strconv.Itoa(i)), field+"["+strconv.Itoa(i)+"]", v.At(i))
			continue
		}
		member := v.NameAt(i)
		at, path := canonical.JoinPointer(pointer, member), strings.TrimPrefix(field+"."+member, ".")
		switch strings.ToLower(member) {
		case "source", "sourcename", "accountid":
			m.RefuseData(at, path, canonical.FieldUnsupported, "comes from the route's settings only: a wrong one merges people")
		case "fields", "extendedfields", "customfields":
		default:
			guard(m, at, path, v.At(i))
		}
	}
}

// checkProfile holds the limits of the table for what replaces it.
func checkProfile(m *mapping.Mapper, pointer string, profile canonical.Value) {
	for _, member := range []string{"firstName", "lastName"} {
		if utf8.RuneCountInString(profile.Get(member).Str()) > maxName {
			m.RefuseData(canonical.JoinPointer(pointer, member), "profiles[0]."+member, canonical.FieldTooLong, "takes at most "+strconv.Itoa(maxName)+" characters")
		}
	}
	list := profile.Get("identifiers")
	switch {
	case list.IsZero():
		return
	case list.Kind() != canonical.KindArray || list.Len() == 0:
		m.RefuseData(pointer+"/identifiers", "profiles[0].identifiers", canonical.FieldInvalid, "takes one identifier or more")
		return
	}
	for i := range list.Len() {
		kind, value := list.At(i).Get("type"), list.At(i).Get("value")
		at, path := pointer+"/identifiers/"+strconv.Itoa(i), "profiles[0].identifiers["+strconv.Itoa(i)+"]"
		switch problem := keyProblem(kind.Str(), value.Str()); {
		case !slices.Contains(keyKinds, kind.Str()):
			m.RefuseData(at, path, canonical.FieldUnsupported, "takes one of the types "+strings.Join(keyKinds, ", "))
		case value.Kind() != canonical.KindString || value.Str() == "":
			m.RefuseData(at, path, canonical.FieldInvalid, "takes a value, which is a text")
		case problem != "":
			m.RefuseData(at, path, canonical.FieldInvalid, problem)
		}
	}
}
