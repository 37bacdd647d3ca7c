package adaptertest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// randoms is how many random customers a description is held against.
const randoms = 400

// describe holds the description of each setup against Translate, on customers
// that are made from it and on random ones: what is said to be held always arrives,
// what is said to be unsupported never does and is always reported, what is said to
// be lossy does both, what is required is refused when missing, a length is taken
// to its last character and not beyond, and characters are refused where a set of
// them is named and nowhere else.
func (c *Case) describe(t *testing.T) {
	for _, s := range slices.Concat(c.Adapters, c.Described) {
		d, ok := s.Adapter.(canonical.Describer)
		if !ok {
			t.Errorf("%s does not describe what it holds", s.Adapter.Name())
			continue
		}
		for _, organization := range []bool{false, true} {
			kind := "person"
			if organization {
				kind = "organization"
			}
			t.Run(s.Name+"/"+kind, func(t *testing.T) {
				fields, err := d.Describe(organization)
				p := &prober{Case: c, adapter: s.Adapter, kind: kind, fields: fields, seen: map[string]*evidence{}}
				if err != nil {
					p.checkRefused(t, err)
					return
				}
				p.run(t)
			})
		}
	}
}

// prober translates customers of one kind and compares what becomes of them with
// a description.
type prober struct {
	*Case
	adapter canonical.Adapter
	kind    string
	fields  []canonical.Capability
	seen    map[string]*evidence
	absent  *canonical.Reply // what nothing found

	counting bool // faults are counted, not reported
	faults   int
}

// evidence is what became of a field in all the customers that were translated.
type evidence struct {
	arrived, linked, unlinked, lost int
	example                         string // of a customer of which it was lost
	silent                          string // or held without a link
}

// checkRefused holds that a kind that is said to be refused is.
func (p *prober) checkRefused(t *testing.T, said error) {
	t.Helper()
	_, _, err := p.adapter.Translate(p.upsert(Decode(t, "c", encode(t, p.everything())), ""))
	if err == nil {
		t.Fatalf("customers are said to be refused (%v), but are translated", said)
	}
	if got, want := canonical.AsError(err), canonical.AsError(said); got.Code != want.Code {
		t.Errorf("customers are refused with %s, are said to be with %s", got.Code, want.Code)
	}
}

// everything is a customer with something of all that a provider may require.
func (p *prober) everything() object {
	o := object{"kind": p.kind}
	for _, f := range []string{"/name/givenName", "/name/familyName", "/organization/name", "/emails/*/value", "/phoneNumbers/*/value", "/taxIds/*/value", "/updatedAt"} {
		state(o, f, 0, samples[f][0])
	}
	return o
}

func (p *prober) run(t *testing.T) {
	p.checkComplete(t)
	p.checkBase(t)
	for _, f := range p.fields {
		t.Run(f.Field, func(t *testing.T) {
			p.checkRequired(t, f)
			p.checkLength(t, f)
			p.checkChars(t, f)
		})
		p.observeSamples(t, f.Field)
	}
	for _, formatted := range []string{"Jane Doe", "Dr. Jane Quinn Doe Jr.", "Dr. Joe Quinn Roe Jr.", "Somebody Else"} {
		for _, name := range []string{"/name/", "/addresses/*/name/"} {
			o := p.base(name)
			state(o, name+"formatted", 0, formatted)
			for _, part := range []string{"givenName", "middleName", "familyName", "honorificPrefix", "honorificSuffix"} {
				state(o, name+part, 0, samples[name+part][0])
			}
			p.observe(t, o)
		}
	}
	random := rand.New(rand.NewPCG(7, 7))
	for i := range randoms {
		var o object
		if err := json.Unmarshal(Random(t, random), &o); err != nil {
			t.Fatal(err)
		}
		for member, v := range p.base("") { // or most of them would be refused
			if o[member] == nil {
				o[member] = v
			}
		}
		o["kind"] = p.kind
		if list, _ := o["addresses"].([]any); i%2 == 0 {
			for at := range list {
				p.complete(o, "/addresses", at)
			}
		}
		p.observe(t, o)
	}
	for _, f := range p.fields {
		p.checkSupport(t, f)
	}
	for i := range p.fields {
		p.checkBites(t, i)
	}
}

// fault reports a fault of the description, or counts it.
func (p *prober) fault(t *testing.T, format string, args ...any) {
	t.Helper()
	if p.counting {
		p.faults++
		return
	}
	t.Errorf(format, args...)
}

// checkBites holds that the checks of a field find whatever else could be said of
// it: one that nothing contradicts would prove nothing.
func (p *prober) checkBites(t *testing.T, i int) {
	t.Helper()
	f := p.fields[i]
	p.counting = true
	defer func() { p.fields[i], p.counting = f, false }()
	lie := func(what string, check func(*testing.T, canonical.Capability), change func(*canonical.Capability)) {
		t.Helper()
		p.fields[i], p.faults = f, 0
		change(&p.fields[i])
		if check(t, p.fields[i]); p.faults == 0 {
			t.Errorf("%s could be said to be %s, and nothing would contradict it", f.Field, what)
		}
	}
	if f.Field != "/id" && !canonical.Path(f.Field).Bookkeeping() {
		for _, s := range []canonical.Support{canonical.Held, canonical.Lossy, canonical.Unsupported} {
			if s != f.Support {
				lie(string(s), p.checkSupport, func(f *canonical.Capability) { f.Support = s })
			}
		}
	}
	instead := slices.ContainsFunc(p.fields, func(o canonical.Capability) bool { return slices.Contains(o.Or, f.Field) })
	switch {
	case f.Field == "/id" || instead:
	case f.Required == canonical.Optional:
		lie("required", p.checkRequired, func(f *canonical.Capability) { f.Required = canonical.Required })
	case f.Required == canonical.Required:
		lie("optional", func(t *testing.T, _ canonical.Capability) { p.checkBase(t) }, func(f *canonical.Capability) { f.Required = canonical.Optional })
	}
	if _, ok := textOf(f.Field); !ok || f.Support == canonical.Unsupported {
		return
	}
	n := f.MaxLength
	if n == 0 {
		n = longest(f.Field)
	} else {
		lie("longer", p.checkLength, func(f *canonical.Capability) { f.MaxLength = n + 1 })
	}
	lie("shorter", p.checkLength, func(f *canonical.Capability) { f.MaxLength = n - 1 })
	switch {
	case oddTexts(f.Field) == nil:
	case f.Charset == "":
		lie("limited to some characters", p.checkChars, func(f *canonical.Capability) { f.Charset = "digits" })
	default:
		lie("open to any characters", p.checkChars, func(f *canonical.Capability) { f.Charset = "" })
	}
}

// checkBase holds that what is said to be required is enough.
func (p *prober) checkBase(t *testing.T) {
	t.Helper()
	base := p.base("")
	if _, _, err := p.write(t, base); err != nil {
		p.fault(t, "%s has all that is said to be required, but is refused: %v %v", encode(t, base), err, canonical.AsError(err).Fields)
	}
}

// checkComplete holds that no field is left out or there twice.
func (p *prober) checkComplete(t *testing.T) {
	t.Helper()
	described := map[string]bool{}
	for _, f := range p.fields {
		if described[f.Field] {
			t.Errorf("%s is described twice", f.Field)
		}
		described[f.Field] = true
		if f.Support != canonical.Held && f.Support != canonical.Unsupported && f.How == "" {
			t.Errorf("%s is %s, but not how", f.Field, f.Support)
		}
		if f.Support != canonical.Unsupported && f.Required != canonical.Optional && f.Required != canonical.Required && f.Required != canonical.RequiredInElement && f.Required != canonical.RequiredInObject {
			t.Errorf("%s is required %q", f.Field, f.Required)
		}
	}
	for _, place := range canonical.Places() {
		if !place.Bookkeeping() && !described[place.String()] {
			t.Errorf("%s is not described", place)
		}
	}
}

// base is a customer with what is said to be required and no more, and with the
// surroundings of a field.
func (p *prober) base(field string) object {
	o := object{"kind": p.kind}
	for _, f := range p.fields {
		if f.Required == canonical.Required && f.Field != "/id" && !slices.ContainsFunc(f.Or, func(other string) bool { return stated(o, other, 0) }) {
			state(o, f.Field, 0, samples[f.Field][0])
		}
	}
	for _, f := range p.fields {
		if list, _, listed := strings.Cut(f.Field, "/*"); listed {
			if _, there := o[list[1:]]; there {
				p.complete(o, list, 0)
			}
		}
	}
	p.surround(o, field, 0)
	return o
}

// surround states what the element at index needs that a field is in.
func (p *prober) surround(o object, field string, index int) {
	if list, _, listed := strings.Cut(field, "/*/"); listed {
		p.complete(o, list, index)
	}
	for _, f := range p.fields {
		if f.Required == canonical.RequiredInObject && strings.HasPrefix(field, f.Field[:strings.LastIndexByte(f.Field, '/')+1]) {
			state(o, f.Field, index, samples[f.Field][0])
		}
	}
}

// complete states what the schema and the provider require of an element.
func (p *prober) complete(o object, list string, index int) {
	for _, f := range schemaRequired[list] {
		if !stated(o, f, index) {
			state(o, f, index, samples[f][min(index, len(samples[f])-1)])
		}
	}
	for _, f := range p.fields {
		if f.Required == canonical.RequiredInElement && strings.HasPrefix(f.Field, list+"/*/") && !stated(o, f.Field, index) &&
			!slices.ContainsFunc(f.Or, func(other string) bool { return stated(o, other, index) }) {
			state(o, f.Field, index, samples[f.Field][0])
		}
	}
}

// result is what Translate, or the write after a read, makes of a customer.
type result struct {
	u       canonical.Upsert
	links   []canonical.Link
	notices []canonical.Notice
}

// write translates a customer as far as the request that writes it, which may come
// after a read that finds nothing.
func (p *prober) write(t *testing.T, o object) (result, string, error) {
	t.Helper()
	data := encode(t, o)
	u := p.upsert(Decode(t, "c", data), "")
	req, notices, err := p.adapter.Translate(u)
	r := result{u: u, notices: notices}
	for range maxSteps {
		if err != nil || req.Body != nil {
			break
		}
		var out canonical.Outcome
		out, err = p.adapter.Interpret(u, req, p.nothing(t))
		r.notices = append(r.notices, out.Notices...)
		if req = out.Next; err == nil && req == nil {
			t.Fatalf("nothing is written of %s", data)
		}
	}
	if err == nil {
		r.links = req.Links
	} else if e, ok := errors.AsType[*canonical.Error](err); !ok || !strings.HasPrefix(string(e.Code), "mapping.") {
		t.Fatalf("%s is refused with %v, want a mapping code", data, err)
	}
	return r, string(data), err
}

// nothing is the answer of a provider that does not have the customer: the first
// of a fixture of a creation.
func (p *prober) nothing(t *testing.T) *canonical.Reply {
	t.Helper()
	if p.absent == nil {
		for _, f := range readFixtures(t) {
			if strings.HasPrefix(f.name, "created") && len(f.replies) > 1 {
				p.absent = f.replies[0]
				return p.absent
			}
		}
		t.Fatal("no fixture created*.http begins with a read")
	}
	return p.absent
}

// checkRequired holds that a customer without the field is refused where it is
// said to be required, that any of those in Or will do, and that no other is.
func (p *prober) checkRequired(t *testing.T, f canonical.Capability) {
	t.Helper()
	if f.Required == canonical.Optional || f.Field == "/id" {
		return
	}
	o := p.base(f.Field)
	state(o, f.Field, 0, samples[f.Field][0])
	for _, other := range append(slices.Clone(f.Or), f.Field) {
		unstate(o, other, 0)
		if list, _, ok := strings.Cut(other, "/*"); ok && f.Required == canonical.Required && slices.Contains(schemaRequired[list], other) {
			delete(o, list[1:]) // an element without it is not valid
		}
	}
	_, data, err := p.write(t, o)
	if err == nil {
		p.fault(t, "%s is taken, but %s is said to be required", data, f.Field)
	} else if e := canonical.AsError(err); e.Code != canonical.MappingRequiredMissing {
		p.fault(t, "%s is refused with %s %v, want %s", data, e.Code, e.Fields, canonical.MappingRequiredMissing)
	}
	for _, other := range f.Or {
		with := clone(t, o)
		state(with, other, 0, samples[other][0])
		if list, _, listed := strings.Cut(other, "/*"); listed {
			p.complete(with, list, 0)
		}
		if _, data, err := p.write(t, with); err != nil {
			p.fault(t, "%s is refused (%v %v), but %s is said to do for %s", data, err, canonical.AsError(err).Fields, other, f.Field)
		}
	}
}

// variants are surroundings on which the limits of a field may depend.
func (p *prober) variants(field string) []object {
	all := []object{p.base(field)}
	if strings.HasPrefix(field, "/addresses/*/") {
		for _, country := range []string{"DE", "US"} {
			o := p.base(field)
			state(o, "/addresses/*/country", 0, country)
			if country == "US" && stated(o, "/addresses/*/postalCode", 0) {
				state(o, "/addresses/*/postalCode", 0, "11501")
			}
			all = append(all, o)
		}
		for _, kind := range []string{"billing", "shipping"} {
			o := p.base(field)
			state(o, "/addresses/*/type", 0, kind)
			all = append(all, o)
		}
	}
	return all
}

// checkLength holds that a text of the length that is said to be taken is, in any
// surroundings, and in some of them a longer one is not.
func (p *prober) checkLength(t *testing.T, f canonical.Capability) {
	t.Helper()
	make, ok := textOf(f.Field)
	if !ok || f.Support == canonical.Unsupported {
		return
	}
	longest := longest(f.Field)
	n := f.MaxLength
	if n == 0 {
		n = longest
	}
	tooLong := func(err error) bool {
		return err != nil && slices.ContainsFunc(canonical.AsError(err).Fields, func(fe canonical.FieldError) bool { return fe.Code == canonical.FieldTooLong })
	}
	taken, faults := 0, 0
	for _, o := range p.variants(f.Field) {
		state(o, f.Field, 0, make(n))
		switch r, _, err := p.write(t, o); {
		case tooLong(err) || err == nil && f.Support == canonical.Held && r.loses(f.Field):
			p.fault(t, "%d characters are said to be taken, but: %v %v", n, err, r.notices)
		case err == nil:
			taken++
		}
		if n == longest {
			continue
		}
		state(o, f.Field, 0, make(n+1))
		if _, _, err := p.write(t, o); tooLong(err) {
			faults++
		}
	}
	if taken == 0 {
		p.fault(t, "%d characters are never taken", n)
	}
	if n < longest && faults == 0 {
		p.fault(t, "%d characters are taken, but %d are said to be the most", n+1, n)
	}
}

// checkChars holds that unusual characters are refused where a set of characters
// is named, and nowhere else.
func (p *prober) checkChars(t *testing.T, f canonical.Capability) {
	t.Helper()
	texts := oddTexts(f.Field)
	if texts == nil || f.Support == canonical.Unsupported {
		return
	}
	refused := 0
variants:
	for _, o := range p.variants(f.Field) {
		for i, text := range texts {
			state(o, f.Field, 0, text)
			_, _, err := p.write(t, o)
			switch {
			case err == nil:
			case i == 0:
				continue variants // not for its characters
			case f.Charset == "":
				p.fault(t, "%q is refused (%v), but no set of characters is named", text, canonical.AsError(err).Fields)
			default:
				refused++
			}
		}
	}
	if f.Charset != "" && refused == 0 {
		p.fault(t, "%q are taken, but only %s are said to be", texts, f.Charset)
	}
}

// observeSamples looks what becomes of a field's values: alone, in the second
// element of its list, and with others around it.
func (p *prober) observeSamples(t *testing.T, field string) {
	t.Helper()
	for _, value := range samples[field] {
		for _, o := range p.variants(field) {
			state(o, field, 0, value)
			p.observe(t, o)
		}
		if strings.Contains(field, "/*") {
			o := p.base(field)
			p.surround(o, field, 1)
			state(o, field, 1, value)
			p.observe(t, o)
		}
	}
}

// observe translates a customer and notes what became of each of its fields.
// What the provider refuses proves nothing.
func (p *prober) observe(t *testing.T, o object) {
	t.Helper()
	r, data, err := p.write(t, o)
	if err != nil {
		return
	}
	for _, l := range r.u.Leaves {
		if l.Null {
			continue
		}
		e := p.seen[l.Path.String()]
		if e == nil {
			e = new(evidence)
			p.seen[l.Path.String()] = e
		}
		at := r.u.Customer.Pointer(l.Path, int(l.Index))
		dropped, changed := r.losesAt(at)
		linked := r.linked(l)
		if dropped || changed {
			e.lost++
			e.example = fmt.Sprintf("%s of %s: %v", at, data, r.notices)
		}
		if !dropped {
			e.arrived++
		}
		if linked && !dropped {
			e.linked++
		}
		if !linked && !dropped {
			e.unlinked++
			e.silent = fmt.Sprintf("%s of %s", at, data)
		}
	}
}

// linked reports whether a leaf feeds a field of the request.
func (r *result) linked(l canonical.Leaf) bool {
	return slices.ContainsFunc(r.links, func(k canonical.Link) bool {
		return k.Data == "" && k.From != canonical.Root && k.From.Contains(l.Path) && (k.FromIndex < 0 || l.Index < 0 || k.FromIndex == l.Index)
	})
}

// losesAt reports whether a notice says that nothing of the value at a pointer is
// sent, or that it is not sent as it is stated.
func (r *result) losesAt(at string) (dropped, changed bool) {
	for _, n := range r.notices {
		if at != n.Pointer && !strings.HasPrefix(at, n.Pointer+"/") && !strings.HasPrefix(n.Pointer, at+"/") {
			continue
		}
		switch n.Code {
		case canonical.NoticeDropped:
			dropped = true
		case canonical.NoticeTruncated, canonical.NoticeChanged:
			changed = true
		}
	}
	return dropped, changed
}

// loses reports whether a notice says that the first value of a field is not sent
// as it is stated.
func (r *result) loses(field string) bool {
	dropped, changed := r.losesAt(strings.Replace(field, "*", "0", 1))
	return dropped || changed
}

// checkSupport compares what was seen of a field with what is said of it.
func (p *prober) checkSupport(t *testing.T, f canonical.Capability) {
	t.Helper()
	e, book := p.seen[f.Field], canonical.Path(f.Field).Bookkeeping()
	switch {
	case e == nil && f.Field == "/id": // it is in no body
	case e == nil:
		p.fault(t, "%s: no customer that is taken has it", f.Field)
	case book && f.Support == canonical.Unsupported && e.linked > 0:
		p.fault(t, "%s is said to be unsupported, but is sent", f.Field)
	case book: // losing it is not reported
	case f.Support == canonical.Held && e.lost > 0:
		p.fault(t, "%s is said to be held, but %d times of %d is lost: %s", f.Field, e.lost, e.lost+e.arrived, e.example)
	case f.Support == canonical.Unsupported && e.arrived > 0:
		p.fault(t, "%s is said to be unsupported, but is not reported as dropped: %s", f.Field, e.silent)
	case f.Support == canonical.Lossy && e.lost == 0:
		p.fault(t, "%s is said to be lossy (%s), but was never lost", f.Field, f.How)
	case f.Support == canonical.Lossy && e.arrived == 0:
		p.fault(t, "%s is said to be lossy (%s), but never arrives: %s", f.Field, f.How, e.example)
	}
	if e == nil || f.Support == canonical.Unsupported {
		return
	}
	if e.linked == 0 && len(f.To) > 0 {
		p.fault(t, "%s is said to feed %v, but feeds nothing", f.Field, f.To)
	}
	if e.linked > 0 && len(f.To) == 0 {
		p.fault(t, "%s feeds a field that is not said", f.Field)
	}
	if e.unlinked > 0 && !book && f.How == "" {
		p.fault(t, "%s is said to be held, but not how; it feeds no field: %s", f.Field, e.silent)
	}
}

// schemaRequired is what the schema requires of an element of a list.
var schemaRequired = map[string][]string{
	"/emails": {"/emails/*/value"}, "/phoneNumbers": {"/phoneNumbers/*/value"}, "/taxIds": {"/taxIds/*/value"},
	"/consents": {"/consents/*/channel", "/consents/*/granted"}, "/identifiers": {"/identifiers/*/type", "/identifiers/*/value"},
	"/addresses": {"/addresses/*/city"}, // not required, but an element is none without anything
}

// samples are values of every field; the first is one that providers take.
var samples = map[string][]any{
	"/name/formatted": {"Jane Doe", "Dr. Jane Q. Doe-Lee Jr."}, "/name/givenName": {"Jane"}, "/name/middleName": {"Quinn"}, "/name/familyName": {"Doe"},
	"/name/honorificPrefix": {"Dr."}, "/name/honorificSuffix": {"Jr."}, "/organization/name": {"Example Ltd"}, "/organization/registrationNumber": {"HRB 1"},
	"/jobTitle": {"Engineer"}, "/emails/*/value": {"jane@example.com", "joe@example.com"}, "/emails/*/type": {"work", "home", "club"},
	"/emails/*/primary": {true, false}, "/emails/*/verified": {true, false},
	"/phoneNumbers/*/value": {"+14155550100", "+493012345678"}, "/phoneNumbers/*/type": {"mobile", "home", "work", "fax", "other"},
	"/phoneNumbers/*/primary": {true, false}, "/phoneNumbers/*/verified": {true, false},
	"/addresses/*/type": {"billing", "shipping", "home", "work", "other", []any{"billing", "home"}}, "/addresses/*/primary": {true, false},
	"/addresses/*/name/formatted": {"Joe Roe"}, "/addresses/*/name/givenName": {"Joe"}, "/addresses/*/name/middleName": {"Quinn"},
	"/addresses/*/name/familyName": {"Roe"}, "/addresses/*/name/honorificPrefix": {"Dr."}, "/addresses/*/name/honorificSuffix": {"Jr."},
	"/addresses/*/company": {"Example Ltd"}, "/addresses/*/lines": {[]any{"1 Main St"}, []any{"1 Main St", "Floor 2"}, []any{"1 Main St", "Floor 2", "Door 3"}, []any{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}},
	"/addresses/*/city": {"Berlin"}, "/addresses/*/region": {"BE"}, "/addresses/*/postalCode": {"10117"}, "/addresses/*/country": {"DE", "US"},
	"/addresses/*/phoneNumber": {"+493012345678"}, "/birthDate": {"1979-11-30"}, "/gender": {"female", "male", "other", "unspecified"},
	"/locale": {"de-DE", "en", "es-ES", "es"}, "/taxIds/*/type": {"eu_vat", "other", "abn"}, "/taxIds/*/value": {"DE123456789", "12-3456789"},
	"/taxIds/*/country": {"DE", "US"}, "/taxIds/*/primary": {true, false}, "/customerType": {"retail", "marketplace", "reseller", "retail_exempt"},
	"/consents/*/channel": {"email", "sms", "fax"}, "/consents/*/purpose": {"marketing", "transactional"}, "/consents/*/granted": {true, false},
	"/consents/*/at": {"2025-06-01T10:00:00Z"}, "/leadSource/medium": {"search"}, "/leadSource/source": {"example"}, "/leadSource/campaign": {"spring"},
	"/leadSource/term": {"shoes"}, "/leadSource/content": {"banner"}, "/leadSource/affiliate": {"a-1"}, "/leadSource/subAffiliate": {"s-1"},
	"/leadSource/salesAgent": {"Joe"}, "/leadSource/clickId": {"c-1"}, "/leadSource/path": {"/x"}, "/leadSource/referrer": {"https://example.com/x"},
	"/loyalty/member": {true, false}, "/loyalty/cardNumber": {"CARD1"}, "/loyalty/cardSeries": {"46", "GOLD"}, "/loyalty/status": {"Active"},
	"/identifiers/*/type": {"wechat", "cardnumber", "passport"}, "/identifiers/*/value": {"wx-1", "C 7"}, "/note": {"a remark"},
	"/attributes/*": {"gold", 7, true, []any{"a", "b"}}, "/createdAt": {"2020-02-29T23:59:59Z"}, "/updatedAt": {"2026-03-04T05:06:07Z"},
}

// textOf returns how to make a text of any length for a field, if it has a free
// one.
func textOf(field string) (func(n int) any, bool) {
	plain := func(n int) string { return strings.Repeat("a", n) }
	switch field {
	case "/emails/*/value":
		return func(n int) any {
			const domain = "@example.com"
			local := min(n-len(domain), 64)
			rest := n - local - 1
			labels := ""
			for rest-len(labels) > 63 {
				labels += plain(50) + "."
			}
			return plain(local) + "@" + labels + plain(rest-len(labels)-4) + ".com"
		}, true
	case "/addresses/*/lines":
		return func(n int) any { return []any{plain(n)} }, true
	case "/leadSource/referrer":
		return func(n int) any { return "https://example.com/" + plain(n-len("https://example.com/")) }, true
	case "/id", "/addresses/*/postalCode", "/emails/*/type", "/note", "/attributes/*",
		"/name/givenName", "/name/middleName", "/name/familyName", "/name/formatted", "/name/honorificPrefix", "/name/honorificSuffix",
		"/organization/name", "/jobTitle", "/addresses/*/city", "/addresses/*/region", "/addresses/*/company", "/loyalty/cardNumber",
		"/loyalty/cardSeries", "/loyalty/status", "/taxIds/*/value", "/leadSource/medium", "/leadSource/source", "/leadSource/campaign",
		"/leadSource/term", "/leadSource/content", "/leadSource/affiliate", "/leadSource/subAffiliate", "/leadSource/salesAgent",
		"/leadSource/clickId", "/leadSource/path", "/addresses/*/name/givenName", "/addresses/*/name/middleName", "/addresses/*/name/familyName",
		"/addresses/*/name/honorificPrefix", "/addresses/*/name/honorificSuffix":
		return func(n int) any { return plain(n) }, true
	}
	return nil, false
}

// longest returns how many characters the schema lets a text have.
func longest(field string) int {
	if field == "/emails/*/value" {
		return 64 + 1 + 253 // with a domain that can exist
	}
	return canonical.Path(field).MaxLength()
}

// oddTexts are a plain text, and texts with characters that some provider refuses
// in the field.
func oddTexts(field string) []any {
	switch field {
	case "/emails/*/value":
		return []any{"jane@example.com", "müller@example.com", "o'brien@example.com"}
	case "/addresses/*/lines":
		return []any{[]any{"Main St"}, []any{"😀 St"}, []any{"a@b St"}, []any{"1/2 é St"}}
	}
	if _, ok := textOf(field); !ok || field == "/leadSource/referrer" {
		return nil
	}
	return []any{"Jones", "Jo😀", "a@b", "Jo$é"}
}

// state states a value at a pattern; index takes the place of "*".
func state(o object, pattern string, index int, value any) {
	steps := strings.Split(pattern, "/")[1:]
	for i, name := range steps {
		last := i == len(steps)-1
		switch {
		case last:
			o[name] = value
			return
		case steps[i+1] == "*" && name == "attributes":
			m, _ := o[name].(object)
			if m == nil {
				m = object{}
				o[name] = m
			}
			m[fmt.Sprint(attributeNames[index])] = value
			return
		case steps[i+1] == "*":
			list, _ := o[name].([]any)
			for len(list) <= index {
				list = append(list, object{})
			}
			o[name] = list
			steps = steps[i+2:]
			state(list[index].(object), "/"+strings.Join(steps, "/"), 0, value)
			return
		}
		m, _ := o[name].(object)
		if m == nil {
			m = object{}
			o[name] = m
		}
		o = m
	}
}

// attributeNames are attributes that the setups of adapters know, and one that
// only the free ones take.
var attributeNames = []string{"segment", "unheard_of"}

// stated reports whether something is stated at a pattern.
func stated(o object, pattern string, index int) bool {
	_, found := lookUp(o, pattern, index)
	return found
}

func unstate(o object, pattern string, index int) {
	if in, found := lookUp(o, pattern, index); found {
		delete(in, pattern[strings.LastIndexByte(pattern, '/')+1:])
	}
}

// lookUp returns the object that holds what a pattern names.
func lookUp(o object, pattern string, index int) (object, bool) {
	steps := strings.Split(pattern, "/")[1:]
	for i := 0; i < len(steps); i++ {
		name := steps[i]
		v, found := o[name]
		if !found || i == len(steps)-1 {
			return o, found
		}
		if steps[i+1] == "*" {
			list, _ := v.([]any)
			if index >= len(list) {
				return nil, false
			}
			v = list[index]
			i++
		}
		if o, found = v.(object); !found {
			return nil, false
		}
	}
	return nil, false
}

func clone(t *testing.T, o object) object {
	t.Helper()
	var c object
	if err := json.Unmarshal(encode(t, o), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func encode(t *testing.T, o object) []byte {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
