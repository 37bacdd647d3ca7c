package canonical

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/language"
)

// CheckID reports why s cannot be a customer's id, or nil: an id has 1 to 128
// characters, no control characters, and is not "." or "..", which clients and
// proxies take out of a path.
func CheckID(s string) error {
	switch length := utf8.RuneCountInString(s); {
	case length == 0:
		return errors.New("must not be empty")
	case length > 128:
		return fmt.Errorf("must not be longer than 128 characters; it has %d", length)
	case !utf8.ValidString(s):
		return errors.New("must be UTF-8")
	case hasControl(s, false):
		return errors.New("must not have control characters")
	case s == "." || s == "..":
		return errors.New("must not be . or .., which paths cannot hold")
	}
	return nil
}

// checkCustomer applies the rules that look at more than one member.
func (d *decoder) checkCustomer(id string, c *Customer) {
	if inBody, ok := c.ID.Get(); ok && inBody != id {
		d.fault("/id", FieldInvalid, "must equal the id in the path")
	}
	onePrimary(d, "/emails", c.Emails.Value(), func(e *Email) bool { return e.Primary.Value() })
	onePrimary(d, "/phoneNumbers", c.PhoneNumbers.Value(), func(p *PhoneNumber) bool { return p.Primary.Value() })
	onePrimary(d, "/addresses", c.Addresses.Value(), func(a *Address) bool { return a.Primary.Value() })
	onePrimary(d, "/taxIds", c.TaxIDs.Value(), func(t *TaxID) bool { return t.Primary.Value() })
}

// onePrimary reports every primary element after the first.
func onePrimary[T any](d *decoder, pointer string, list []T, primary func(*T) bool) {
	first := -1
	for i := range list {
		switch {
		case !primary(&list[i]):
		case first < 0:
			first = i
		default:
			d.fault(fmt.Sprintf("%s/%d/primary", pointer, i), FieldDuplicate, "only one element may be primary; %s/%d already is", pointer, first)
		}
	}
}

// Primary returns the index of the primary element of a list: the one that says
// so, else the first; -1 for an empty list.
func Primary[T any](list []T, primary func(*T) bool) int {
	for i := range list {
		if primary(&list[i]) {
			return i
		}
	}
	if len(list) == 0 {
		return -1
	}
	return 0
}

// PrimaryEmail returns the index of the primary e-mail address, or -1.
func (c *Customer) PrimaryEmail() int {
	return Primary(c.Emails.Value(), func(e *Email) bool { return e.Primary.Value() })
}

// PrimaryPhone returns the index of the primary telephone number, or -1.
func (c *Customer) PrimaryPhone() int {
	return Primary(c.PhoneNumbers.Value(), func(p *PhoneNumber) bool { return p.Primary.Value() })
}

// PrimaryAddress returns the index of the primary address, or -1.
func (c *Customer) PrimaryAddress() int {
	return Primary(c.Addresses.Value(), func(a *Address) bool { return a.Primary.Value() })
}

// PrimaryTaxID returns the index of the primary tax number, or -1.
func (c *Customer) PrimaryTaxID() int {
	return Primary(c.TaxIDs.Value(), func(t *TaxID) bool { return t.Primary.Value() })
}

// IsOrganization reports whether the customer is an organization.
func (c *Customer) IsOrganization() bool { return c.Kind.Value() == "organization" }

// checkText applies the rules of a string.
func (d *decoder) checkText(s string, r *rules) {
	length := len(s)
	if length > r.max {
		length = utf8.RuneCountInString(s)
	}
	switch {
	case length < r.min:
		d.fault(d.here(), FieldInvalid, "must not be empty; send null to clear the field, or leave it out")
		return
	case length > r.max:
		d.fault(d.here(), FieldTooLong, "must not be longer than %d characters; it has %d", r.max, length)
		return
	case hasControl(s, r.lines):
		d.fault(d.here(), FieldInvalid, "must not have control characters")
		return
	case r.enum != nil && !slices.Contains(r.enum, s):
		d.fault(d.here(), FieldUnsupported, "must be one of %s", strings.Join(r.enum, ", "))
		return
	}
	if r.check == nil {
		return
	}
	if problem := r.check(s); problem != "" {
		d.fault(d.here(), FieldInvalid, "%s", problem)
	}
}

// Limits of maps and their values.
const (
	maxName      = 128    // characters of a member's name
	maxElements  = 1000   // elements of an attribute
	maxAttribute = 10_000 // characters of an attribute, or of one element
)

// checkAttribute applies the rules of an attribute's value.
func (d *decoder) checkAttribute(v Value, kind jsontext.Kind) {
	switch v.Kind() {
	case KindObject:
		d.fault(d.here(), FieldInvalid, "must be a string, a number, a boolean, null or a list of these, not %s", kindName(kind))
	case KindArray:
		if v.Len() > maxElements {
			d.fault(d.here(), FieldTooLong, "must not have more than %d elements", maxElements)
			return
		}
		for i := range v.Len() {
			switch e := v.At(i); e.Kind() {
			case KindObject, KindArray, KindNull:
				d.fault(fmt.Sprintf("%s/%d", d.here(), i), FieldInvalid, "must be a string, a number or a boolean")
			default:
				d.checkAttributeText(fmt.Sprintf("%s/%d", d.here(), i), e)
			}
		}
	default:
		d.checkAttributeText(d.here(), v)
	}
}

func (d *decoder) checkAttributeText(pointer string, v Value) {
	if length := utf8.RuneCountInString(v.Str()); length > maxAttribute {
		d.fault(pointer, FieldTooLong, "must not be longer than %d characters; it has %d", maxAttribute, length)
	} else if hasControl(v.Str(), true) {
		d.fault(pointer, FieldInvalid, "must not have control characters")
	}
}

// hasControl reports control characters (Unicode category Cc), tabs and line
// breaks aside where lines are allowed.
func hasControl(s string, lines bool) bool {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			if lines && (r == '\n' || r == '\r' || r == '\t') {
				continue
			}
			return true
		}
	}
	return false
}

// format is a named form of strings.
type format struct {
	check func(string) string // what is wrong, or ""
	// keyword and patterns describe the form in JSON Schema; patterns are in
	// the syntax that RE2 and ECMA-262 share. Where they cannot say all that
	// check says, they say less.
	keyword  string
	patterns []string
}

var formats = map[string]format{
	"email":   {checkEmail, "idn-email", []string{`^[^@]{1,64}@[^@]{1,255}$`, `^` + atom + `([.]` + atom + `)*@` + label + `([.]` + label + `)+$`}},
	"phone":   {checkPhone, "", []string{`^[+][1-9][0-9]{3,14}$`}},
	"country": {checkCountry, "", nil}, // an enum
	"locale":  {checkLocale, "", []string{`^[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*$`}},
	"uri":     {checkURI, "iri", []string{`^[A-Za-z][A-Za-z0-9+.-]*://[^\x00-\x20"#/<>?\x7f-\x9f]+([#/?][^\x00-\x20"<>\x7f-\x9f]*)?$`}},
}

// The parts of an e-mail address: RFC 5321 §4.1.2 with UTF-8 (RFC 6531).
const (
	atom  = `[^\x00-\x20"(),.:;<>@\[\\\]\x7f-\x9f]+`
	label = `[^\x00-/:-@\[-` + "`" + `{-\x9f]([^\x00-,./:-@\[-` + "`" + `{-\x9f]{0,61}[^\x00-/:-@\[-` + "`" + `{-\x9f])?`
)

// checkEmail accepts what RFC 5321 §4.1.2 calls a Mailbox without the quoted and
// literal forms, and UTF-8 (RFC 6531), at a domain of two labels or more.
func checkEmail(s string) string {
	local, domain, _ := strings.Cut(s, "@")
	ok := len(local) <= 64 && len(domain) <= 255 && strings.Contains(domain, ".") && !strings.ContainsFunc(s, unicode.IsSpace)
	for part := range strings.SplitSeq(local, ".") {
		ok = ok && part != "" && !strings.ContainsAny(part, `"(),:;<>@[\]`)
	}
	for part := range strings.SplitSeq(domain, ".") {
		ok = ok && part != "" && len(part) <= 63 && part[0] != '-' && part[len(part)-1] != '-' && !strings.ContainsFunc(part, notInDomain)
	}
	if !ok {
		return "must be an e-mail address such as jane@example.com"
	}
	return ""
}

// notInDomain reports ASCII characters that no domain label has.
func notInDomain(r rune) bool {
	return r < utf8.RuneSelf && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// checkPhone accepts ITU-T E.164 with the leading plus.
func checkPhone(s string) string {
	const problem = "must be a number in E.164 form such as +14155550100"
	if len(s) < 5 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return problem
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return problem
		}
	}
	return ""
}

// notCountries are codes that x/text knows and ISO 3166-1 does not assign:
// withdrawn and exceptionally reserved ones.
const notCountries = "AC AN BU CP CQ CS CT DD DG DY EA EU EZ FQ FX HV IC JT MI NH NQ NT PC PU PZ RH SU TA TP UK UN VD WK YD YU ZR"

// pairs marks pairs of letters.
type pairs [26 * 26]bool

// mark tries all pairs of letters from a on.
func mark(a byte, is func(string) bool) (p pairs) {
	for i := range p {
		p[i] = is(string([]byte{a + byte(i/26), a + byte(i%26)}))
	}
	return p
}

// has reports whether s is a marked pair of letters from a on.
func (p *pairs) has(a byte, s string) bool {
	return len(s) == 2 && s[0]-a < 26 && s[1]-a < 26 && p[int(s[0]-a)*26+int(s[1]-a)]
}

// isCountry marks the assigned ISO 3166-1 alpha-2 codes, and XK, which is in
// general use.
var isCountry = mark('A', func(code string) bool {
	r, err := language.ParseRegion(code)
	return err == nil && r.IsCountry() && r.String() == code && !strings.Contains(notCountries, code)
})

// isLanguage and isRegion mark the subtags of two letters of language tags.
var (
	isLanguage = mark('a', func(s string) bool { _, err := language.ParseBase(s); return err == nil })
	isRegion   = mark('A', func(s string) bool { _, err := language.ParseRegion(s); return err == nil })
)

func checkCountry(s string) string {
	if !isCountry.has('A', s) {
		return "must be an ISO 3166-1 alpha-2 country code in upper case, such as DE"
	}
	return ""
}

func checkLocale(s string) string {
	// Nearly every tag is such as fr or fr-FR, and parsing is slow.
	if base, region, both := strings.Cut(s, "-"); isLanguage.has('a', base) && (!both || isRegion.has('A', region)) {
		return ""
	}
	if _, err := language.Parse(s); err != nil || strings.Contains(s, "_") {
		return "must be a BCP 47 language tag such as fr-FR"
	}
	return ""
}

func checkURI(s string) string {
	if u, err := url.Parse(s); err != nil || u.Scheme == "" || u.Hostname() == "" || strings.ContainsAny(s, " <>\"") {
		return "must be a URL such as https://example.com/page"
	}
	return ""
}

// ParseDate reads YYYY-MM-DD (RFC 3339 full-date).
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.Year() == 0 {
		return Date{}, errors.New("must be a date that exists, written YYYY-MM-DD")
	}
	return Date{t.Year(), int(t.Month()), t.Day()}, nil
}

// String returns YYYY-MM-DD.
func (d Date) String() string {
	text := make([]byte, 0, len(time.DateOnly))
	for _, part := range [...]struct{ n, least int }{{d.Year, 1000}, {d.Month, 10}, {d.Day, 10}} {
		if len(text) > 0 {
			text = append(text, '-')
		}
		for ; part.least > part.n && part.least > 1; part.least /= 10 {
			text = append(text, '0')
		}
		text = strconv.AppendInt(text, int64(part.n), 10)
	}
	return string(text)
}

// parseTimestamp reads RFC 3339 as it is written there: time.Parse also takes
// hours of one digit, a comma before the fraction and zones beyond a day.
func parseTimestamp(s string) (Timestamp, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	zone := max(len(s)-len("+01:00"), 0)
	switch {
	case err != nil, s[len("2006-01-02T15")] != ':', strings.Contains(s, ","),
		s[len(s)-1] != 'Z' && (s[zone+1:] > "23:59" || s[zone+4:] > "59"),
		t.UTC().Year() < 1, t.UTC().Year() > 9999:
		return Timestamp{}, errors.New("must be a time with a zone, written as in RFC 3339: 2026-01-31T09:30:00Z")
	}
	return Timestamp{t}, nil
}

// String returns the moment in UTC, RFC 3339 with up to nine fraction digits.
func (t Timestamp) String() string { return t.UTC().Format(time.RFC3339Nano) }
