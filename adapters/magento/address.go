package magento

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// A list of addresses that is sent is the final state: Magento deletes every
// address that it does not name by id. The functions here find the ids.

// ownsAddresses reports whether the adapter writes the address list: the caller
// states addresses, and not in Magento's words in providerData.
func (a *Adapter) ownsAddresses(u canonical.Upsert) bool {
	for _, d := range u.ProviderData {
		if d.Object.Has("addresses") || d.Object.Get("customer").Has("addresses") {
			return false
		}
	}
	return u.Customer.Addresses.IsStated()
}

// unreadable says what keeps the addresses of a record from being kept.
func unreadable(held canonical.Value) string {
	if !listsAddresses(held) {
		return "the answer lacks the customer's addresses, which an update would delete"
	}
	if anyOf(held.Get("addresses"), func(o canonical.Value) bool { return number(o.Get("id")).IsZero() }) {
		return "the answer has an address without an id, which an update would delete"
	}
	return ""
}

// listsAddresses reports whether a record came with its addresses. PHP writes a
// list with gaps as an object.
func listsAddresses(held canonical.Value) bool {
	kind := held.Get("addresses").Kind()
	return kind == canonical.KindArray || kind == canonical.KindObject
}

func (a *Adapter) addresses(m *mapping.Mapper, c *canonical.Customer, held canonical.Value) {
	stated, old := c.Addresses.Value(), held.Get("addresses")
	if len(stated) == 0 {
		m.Clear("addresses") // only settings.addresses: replace says that nothing is left
		return
	}
	billing, shipping := defaults(stated)
	match := a.match(c, old, billing, shipping)
	for i := range stated {
		e := m.Body.Member("addresses").Elem(i)
		if j := match[i]; j >= 0 {
			*e = start(&stated[i], a.lines(&stated[i]), old.At(j))
		}
		a.flags(m, c, i, billing, shipping)
		a.address(m, c, i, old)
	}
	if a.config.Addresses == "replace" || a.config.Exclusive {
		return
	}
	for j := range old.Len() {
		if !slices.Contains(match, j) {
			e := own(old.At(j))
			release(&e, billing, shipping)
			m.Body.Member("addresses").Append(e)
		}
	}
}

// defaults returns which of the stated addresses is for billing and which for
// shipping: the primary one of the type, else the first of it. An address that
// is primary without being for either takes what is left. -1 is none.
func defaults(stated []canonical.Address) (billing, shipping int) {
	find := func(role string) int {
		found := -1
		for i := range stated {
			if slices.Contains(stated[i].Type.Value(), role) && (found < 0 || stated[i].Primary.Value()) {
				found = i
			}
		}
		return found
	}
	billing, shipping = find("billing"), find("shipping")
	for i := range stated {
		types := stated[i].Type.Value()
		if !stated[i].Primary.Value() || slices.Contains(types, "billing") || slices.Contains(types, "shipping") {
			continue
		}
		if billing < 0 {
			billing = i
		}
		if shipping < 0 {
			shipping = i
		}
	}
	return billing, shipping
}

// flags sends the default flags of stated address i, and reports types that
// Magento does not hold.
func (a *Adapter) flags(m *mapping.Mapper, c *canonical.Customer, i, billing, shipping int) {
	const pattern = "/addresses/*/type"
	from, at := c.Addresses.Value()[i], mapping.Pos{To: i, From: i}
	release(m.Body.Member("addresses").Elem(i), billing, shipping)
	var lost []string
	for _, t := range from.Type.Value() {
		if !(t == "billing" && i == billing || t == "shipping" && i == shipping) {
			lost = append(lost, t)
		}
	}
	for _, role := range [...]struct {
		name, to string
		at       int
	}{{"billing", "addresses[].default_billing", billing}, {"shipping", "addresses[].default_shipping", shipping}} {
		switch {
		case role.at != i:
		case slices.Contains(from.Type.Value(), role.name):
			m.Put(role.to, canonical.Boolean(true), at)
		default:
			m.PutFrom(role.to, "/addresses/*/primary", canonical.Boolean(true), at)
		}
	}
	if p, ok := from.Primary.Get(); ok && !p {
		m.Use("/addresses/*/primary", i)
	}
	if lost != nil {
		code := canonical.NoticeDropped
		if len(lost) < len(from.Type.Value()) {
			code = canonical.NoticeTruncated
		}
		m.Note(code, pattern, i, "", "magento knows one address for billing and one for shipping and no other types; "+strings.Join(lost, ", ")+" is not held")
	}
}

// release takes the default flags from an address that the shop has, where a
// stated address has become the default.
func release(e *canonical.Value, billing, shipping int) {
	if billing >= 0 && e.Has("default_billing") {
		e.Set("default_billing", canonical.Boolean(false))
	}
	if shipping >= 0 && e.Has("default_shipping") {
		e.Set("default_shipping", canonical.Boolean(false))
	}
}

// address sends stated address i. What the address itself states comes first, so
// that a complaint about the element finds it.
func (a *Adapter) address(m *mapping.Mapper, c *canonical.Customer, i int, old canonical.Value) {
	from, at := c.Addresses.Value()[i], mapping.Pos{To: i, From: i}
	e := func() canonical.Value { return m.Body.Get("addresses").At(i) }
	m.Text("addresses[].country_id", from.Country, at)
	if lines := a.lines(&from); lines != nil {
		m.Put("addresses[].street", lineList(lines), at)
		if n := len(from.Lines.Value()); n > len(lines) {
			m.Note(canonical.NoticeChanged, "/addresses/*/lines", i, "", "magento takes fewer lines (settings.street_lines); the last ones were joined by commas")
		}
	}
	m.Text("addresses[].city", from.City, at)
	if !m.Text("addresses[].postcode", from.PostalCode, at) && e().Get("postcode").Str() == "" && !slices.Contains(a.config.OptionalPostcode, from.Country.Value()) {
		m.Missing("addresses[].postcode", at)
	}
	a.region(m, &from, old, at)
	m.Text("addresses[].telephone", from.PhoneNumber, at)
	m.Text("addresses[].company", from.Company, at)
	if !from.Country.HasValue() && !from.Lines.HasValue() && !from.City.HasValue() {
		for _, to := range []string{"addresses[].country_id", "addresses[].street", "addresses[].city"} {
			m.Missing(to, at)
		}
		return
	}
	recipient(m, c, i)
	a.fallbacks(m, c, i, e())
}

// lines returns the street as the shop takes it.
func (a *Adapter) lines(from *canonical.Address) []string {
	lines := from.Lines.Value()
	if last := a.config.StreetLines - 1; len(lines) > last+1 {
		return append(slices.Clone(lines[:last]), strings.Join(lines[last:], ", "))
	}
	return lines
}

func lineList(lines []string) canonical.Value {
	list := canonical.List()
	for _, line := range lines {
		list.Append(canonical.Text(line))
	}
	return list
}

// region sends the region in the three parts that Magento's schema requires. The
// shop's id decides, if the settings or the shop's own addresses tell it.
func (a *Adapter) region(m *mapping.Mapper, from *canonical.Address, old canonical.Value, at mapping.Pos) {
	stated, ok := from.Region.Get()
	if !ok {
		m.Text("addresses[].region.region", from.Region, at)
		return
	}
	e := m.Body.Member("addresses").Elem(at.To)
	e.Delete("region")
	e.Delete("region_id")
	id := a.regionID(from.Country.Value(), stated, old)
	code, text, number := regionParts(stated, stated, id)
	m.Put("addresses[].region.region_code", canonical.Text(code), at)
	if !number.IsZero() {
		m.Put("addresses[].region.region", canonical.Text(text), at)
		m.Put("addresses[].region.region_id", number, at)
	}
	if !id.IsZero() {
		m.Put("addresses[].region_id", id, at)
	}
}

// regionParts completes a region; an Absent id is unknown. Then Magento looks the
// text up as the code, whatever the code is, so that both are the same; but it
// takes a text of digits for an id, so that a code of digits goes without one.
func regionParts(code, text string, id canonical.Value) (string, string, canonical.Value) {
	if !id.IsZero() {
		return code, text, id
	}
	if text = cmp.Or(text, code); strings.Trim(text, "0123456789") == "" {
		return text, "", canonical.Value{}
	}
	return text, text, canonical.Int(0)
}

// regionID returns the shop's id of a region, or Absent.
func (a *Adapter) regionID(country, region string, old canonical.Value) canonical.Value {
	if len(a.regions) > 0 {
		if id, known := a.regions[fold(country+"-"+region)]; known {
			return canonical.Int(id)
		}
	}
	for i := range old.Len() {
		o := old.At(i)
		if o.Get("country_id").Str() == country && (strings.EqualFold(o.Get("region", "region_code").Str(), region) || strings.EqualFold(o.Get("region", "region").Str(), region)) {
			if id := heldRegion(o); !id.IsZero() {
				return id
			}
		}
	}
	return canonical.Value{}
}

// heldRegion returns the id of the region of an address of the shop, or Absent.
func heldRegion(o canonical.Value) canonical.Value {
	if id := number(o.Get("region_id")); !id.IsZero() {
		return id
	}
	return number(o.Get("region", "region_id"))
}

// recipient sends the name at the address: its own, else the customer's.
func recipient(m *mapping.Mapper, c *canonical.Customer, i int) {
	at := mapping.Pos{To: i, From: i}
	n, customer := c.Addresses.Value()[i].Name.Value(), c.Name.Value()
	if !namesRecipient(n) {
		if v, ok := customer.GivenName.Get(); ok {
			m.PutFrom("addresses[].firstname", "/name/givenName", canonical.Text(v), mapping.Pos{To: i, From: -1})
		}
		if v, ok := customer.FamilyName.Get(); ok {
			m.PutFrom("addresses[].lastname", "/name/familyName", canonical.Text(v), mapping.Pos{To: i, From: -1})
		}
	} else {
		e := m.Body.Member("addresses").Elem(i) // another person than the shop has there
		e.Delete("firstname")
		e.Delete("lastname")
		m.Text("addresses[].firstname", n.GivenName, at)
		m.Text("addresses[].lastname", n.FamilyName, at)
	}
	m.Text("addresses[].prefix", n.HonorificPrefix, at)
	m.Text("addresses[].middlename", n.MiddleName, at)
	m.Text("addresses[].suffix", n.HonorificSuffix, at)
	if n.Formatted.HasValue() && saysNoMore(n) {
		m.Use("/addresses/*/name/formatted", i)
	}
}

// saysNoMore reports whether the formatted name has only words of the parts.
func saysNoMore(n canonical.Name) bool {
	var parts []string
	for _, p := range []canonical.Field[string]{n.HonorificPrefix, n.GivenName, n.MiddleName, n.FamilyName, n.HonorificSuffix} {
		parts = append(parts, strings.Fields(p.Value())...)
	}
	for word := range strings.FieldsSeq(n.Formatted.Value()) {
		if !slices.Contains(parts, word) {
			return false
		}
	}
	return true
}

// fallbacks fills what the address does not state and the shop wants: the
// customer's telephone number, the organization's name, and at the primary
// address the fax number, for which Magento has no other place.
func (a *Adapter) fallbacks(m *mapping.Mapper, c *canonical.Customer, i int, e canonical.Value) {
	phones := c.PhoneNumbers.Value()
	from := c.Addresses.Value()[i]
	put := func(to string, j int) {
		if v, ok := phones[j].Value.Get(); ok && m.PutFrom(to, "/phoneNumbers/*/value", canonical.Text(v), mapping.Pos{To: i, From: j}) {
			m.Use("/phoneNumbers/*/primary", j)
		}
	}
	if j := voice(phones); a.config.TelephoneFallback && !from.PhoneNumber.IsStated() && e.Get("telephone").Str() == "" && j >= 0 {
		put("addresses[].telephone", j)
	}
	if company, ok := c.Organization.Value().Name.Get(); ok && !from.Company.IsStated() && e.Get("company").Str() == "" {
		m.PutFrom("addresses[].company", "/organization/name", canonical.Text(company), mapping.Pos{To: i, From: -1})
	} else if ok && from.Company.Value() == company {
		m.Use("/organization/name", -1)
	}
	if j := slices.IndexFunc(phones, isFax); j >= 0 && i == c.PrimaryAddress() {
		put("addresses[].fax", j)
		m.Use("/phoneNumbers/*/type", j)
	}
}

func isFax(p canonical.PhoneNumber) bool { return p.Type.Value() == "fax" }

// voice returns the primary telephone number, or the first one if that is a fax.
func voice(phones []canonical.PhoneNumber) int {
	i := canonical.Primary(phones, func(p *canonical.PhoneNumber) bool { return p.Primary.Value() })
	if i >= 0 && isFax(phones[i]) {
		return slices.IndexFunc(phones, func(p canonical.PhoneNumber) bool { return !isFax(p) })
	}
	return i
}

// match finds for each stated address the one of the shop that is the same place,
// those of the same recipient before others; -1 where there is none. Where others
// are deleted anyway, an address with the same role gives up its id, so that the
// shop's default address never vanishes.
func (a *Adapter) match(c *canonical.Customer, old canonical.Value, billing, shipping int) []int {
	places := make([]string, old.Len())
	for j := range places {
		places[j] = heldPlace(old.At(j))
	}
	stated := c.Addresses.Value()
	match := slices.Repeat([]int{-1}, len(stated))
	if len(places) == 0 {
		return match
	}
	for _, least := range []int{sameRecipient, 0} {
		for i := range stated {
			if match[i] >= 0 {
				continue
			}
			best, place := least-1, placeOf(&stated[i], a.lines(&stated[i]))
			found := -1
			for j := range places {
				if places[j] != place || slices.Contains(match, j) {
					continue
				}
				if score := likeness(c, i, old.At(j)); score > best {
					found, best = j, score
				}
			}
			match[i] = found
		}
	}
	if a.config.Addresses != "replace" {
		return match
	}
	for i := range stated {
		for j := range old.Len() {
			o := old.At(j)
			if match[i] < 0 && !slices.Contains(match, j) && (i == billing && o.Get("default_billing").IsTrue() || i == shipping && o.Get("default_shipping").IsTrue()) {
				match[i] = j
			}
		}
	}
	return match
}

// sameRecipient is what an equal recipient counts, more than all else together.
const sameRecipient = 8

// likeness counts what else is equal in two addresses of one place.
func likeness(c *canonical.Customer, i int, o canonical.Value) int {
	s, score := &c.Addresses.Value()[i], 0
	n := s.Name.Value()
	if !namesRecipient(n) {
		n = c.Name.Value()
	}
	if strings.EqualFold(n.GivenName.Value(), o.Get("firstname").Str()) && strings.EqualFold(n.FamilyName.Value(), o.Get("lastname").Str()) {
		score += sameRecipient
	}
	for _, pair := range [...][2]string{{s.Company.Value(), o.Get("company").Str()}, {s.PhoneNumber.Value(), o.Get("telephone").Str()}} {
		if pair[0] != "" && strings.EqualFold(pair[0], pair[1]) {
			score++
		}
	}
	if slices.Contains(s.Type.Value(), "billing") && o.Get("default_billing").IsTrue() {
		score++
	}
	if slices.Contains(s.Type.Value(), "shipping") && o.Get("default_shipping").IsTrue() {
		score++
	}
	return score
}

// namesRecipient reports whether an address says who receives there.
func namesRecipient(n canonical.Name) bool {
	return n.GivenName.HasValue() || n.FamilyName.HasValue() || n.Formatted.HasValue()
}

// placeOf is what makes two addresses the same place.
func placeOf(s *canonical.Address, lines []string) string {
	return foldPlace(s.Country.Value(), s.PostalCode.Value(), s.City.Value(), strings.Join(lines, " "))
}

func heldPlace(o canonical.Value) string {
	street := o.Get("street").Str()
	var lines []string
	for i := range o.Get("street").Len() {
		lines = append(lines, o.Get("street").At(i).Str())
	}
	if lines != nil {
		street = strings.Join(lines, " ")
	}
	return foldPlace(o.Get("country_id").Str(), o.Get("postcode").Str(), o.Get("city").Str(), street)
}

// foldPlace brings the spellings of a place together. Words stay apart: 1/23 High
// St is not 12/3 High St.
func foldPlace(country, postcode, city, street string) string {
	return fold(country) + "|" + fold(postcode) + "|" + foldWords(city) + "|" + foldWords(street)
}

// foldWords writes the words of a text in lower case, without the signs between.
func foldWords(s string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
	}), " ")
}

// start is the element to lay a stated address over: the shop's own fields of
// the same place, or only the id of an address that is written anew.
func start(s *canonical.Address, lines []string, old canonical.Value) canonical.Value {
	if heldPlace(old) == placeOf(s, lines) {
		return own(old)
	}
	e := canonical.NewObject(12)
	e.Set("id", number(old.Get("id")))
	return e
}

// own returns an address of the shop with the fields that may be sent. Others,
// such as those of the shop's modules, could be refused.
func own(old canonical.Value) canonical.Value {
	e := canonical.NewObject(16)
	e.Set("id", number(old.Get("id")))
	for _, field := range []string{"prefix", "firstname", "middlename", "lastname", "suffix", "company", "street", "city", "postcode", "country_id", "telephone", "fax", "vat_id", "default_billing", "default_shipping"} {
		v := old.Get(field)
		if field == "street" && v.Kind() == canonical.KindString {
			v = canonical.List(v)
		}
		if v.Kind() != canonical.KindAbsent && v.Kind() != canonical.KindNull {
			e.Set(field, v.Clone())
		}
	}
	id, text, code := heldRegion(old), old.Get("region", "region").Str(), old.Get("region", "region_code").Str()
	if id.IsZero() && text == "" && code == "" {
		return e
	}
	code, text, number := regionParts(code, text, id)
	region := e.Member("region")
	region.Set("region_code", canonical.Text(code))
	if !number.IsZero() {
		region.Set("region", canonical.Text(text))
		region.Set("region_id", number)
	}
	e.Set("region_id", id)
	return e
}

// dropped compares the addresses in the answer to a creation with those that
// were sent: the shop drops one in a country that it does not allow, and says
// nothing.
func (a *Adapter) dropped(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply, kept canonical.Value) *canonical.Error {
	list := sentCustomer(sent).Get("addresses")
	if kept.Kind() != canonical.KindArray || kept.Len() >= list.Len() {
		return nil
	}
	var left []string
	for i := range kept.Len() {
		left = append(left, heldPlace(kept.At(i)))
	}
	const message = "the shop created the customer without this address; its country may not be allowed there"
	e := canonical.Refusal(name, sent, got, canonical.UpstreamPartiallyApplied, "the shop created the customer, but not all of the addresses")
	for i := range list.Len() {
		if j := slices.Index(left, heldPlace(list.At(i))); j >= 0 {
			left = slices.Delete(left, j, j+1)
			continue
		}
		fe := a.table.Locate(u, sent, elementOf("addresses[].country_id", i))
		fe.Code, fe.Message = canonical.FieldUnsupported, message
		e.Fields = append(e.Fields, fe)
	}
	if e.Fields == nil {
		e.Fields = []canonical.FieldError{{Pointer: "/addresses", Field: "addresses", Code: canonical.FieldUnsupported, Message: message}}
	}
	return e
}

// lostRegions reports the codes of regions that the shop did not keep: it knows
// codes only for countries of which it has a list of regions.
func (a *Adapter) lostRegions(u canonical.Upsert, sent *canonical.Request, kept canonical.Value) []canonical.Notice {
	lost := func(o canonical.Value) bool {
		region := o.Get("region")
		return o.Has("region") && region.Get("region").Str() == "" && region.Get("region_code").Str() == "" && heldRegion(o).IsZero()
	}
	if !anyOf(kept, lost) {
		return nil
	}
	var notices []canonical.Notice
	list := sentCustomer(sent).Get("addresses")
	for i := range list.Len() {
		if list.At(i).Get("region", "region_code").Str() == "" {
			continue
		}
		for j := range kept.Len() {
			if o := kept.At(j); lost(o) && heldPlace(o) == heldPlace(list.At(i)) {
				fe := a.table.Locate(u, sent, elementOf("addresses[].region.region_code", i))
				notices = append(notices, canonical.Notice{Code: canonical.NoticeDropped, Pointer: fe.Pointer, Field: fe.Field,
					Message: "the shop has no list of regions for this country and did not keep the code; state the region's name"})
				break
			}
		}
	}
	return notices
}

// anyOf reports whether one of the elements is so.
func anyOf(list canonical.Value, is func(canonical.Value) bool) bool {
	for i := range list.Len() {
		if is(list.At(i)) {
			return true
		}
	}
	return false
}
