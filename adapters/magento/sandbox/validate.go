package sandbox

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	// Letters, marks, digits, space and a few signs. Newer code adds the
	// ampersand.
	namePattern    = regexp.MustCompile("^[\\p{L}\\p{M},\\-_.'’`\\s\\d]{1,255}$")
	namePatternNew = regexp.MustCompile("^[\\p{L}\\p{M},\\-_.'’`&\\s\\d]{1,255}$")
	emailPattern   = regexp.MustCompile("^[A-Za-z\\d!#$%&'*+/=?^_`{|}~-]+(?:\\.[A-Za-z\\d!#$%&'*+/=?^_`{|}~-]+)*@" + `(?:[\pL\d](?:[\pL\d-]*[\pL\d])?\.)+[\pL][\pL\d-]*[\pL\d]$`)
	cityPattern    = regexp.MustCompile(`^[\p{L}\p{M}\d\s\-_'’.,&()/]{1,100}$`)
	phonePattern   = regexp.MustCompile(`^[\d\s+\-()]{1,20}$`)
)

// labels are the names of attributes in the texts about them, in the order of
// the rules.
var labels = []struct{ name, label string }{
	{"prefix", "Name Prefix"}, {"firstname", "First Name"}, {"middlename", "Middle Name/Initial"}, {"lastname", "Last Name"},
	{"suffix", "Name Suffix"}, {"email", "Email"}, {"dob", "Date of Birth"}, {"taxvat", "Tax/VAT Number"}, {"gender", "Gender"},
}

// columns are the widths of columns that no rule guards: a longer value fails
// only in the database.
var columns = []struct {
	name  string
	width int
}{{"prefix", 40}, {"suffix", 40}, {"taxvat", 50}}

// check refuses what cannot be saved of a customer, in Magento's order.
// AttributesStated says that required attributes must be among its own.
func (s *Sandbox) check(c *customer, attributesStated bool) *failure {
	if group := c.number("group_id"); !slices.Contains(s.opts.Groups, group) {
		return invalid("The specified customer group id does not exist.", nil)
	}
	if _, ok := s.store(c.number("store_id")); !ok {
		return noStore()
	}
	website := c.number("website_id")
	if _, ok := s.website(website); !ok && website != 0 {
		return noWebsite(website)
	}
	email := c.text("email")
	if strings.TrimSpace(email) == "" {
		return invalid("The customer email is missing. Enter and try again.", nil)
	}
	if len(s.sameEmail(email, website, c.id)) > 0 {
		if s.opts.Version < V24 {
			return invalid(msgSameEmailOld, nil)
		}
		return invalid(msgSameEmail, nil)
	}
	if fail := s.rules(s.customerRules(c, attributesStated)); fail != nil {
		return fail
	}
	for _, column := range columns {
		if utf8.RuneCountInString(c.text(column.name)) > column.width {
			return s.tooLong(column.name)
		}
	}
	if n := c.number("disable_auto_group_change"); n < 0 || n > 65535 {
		return s.masked("SQLSTATE[22003]: Numeric value out of range: 1264 Out of range value for column 'disable_auto_group_change' at row 1", true)
	}
	if c.id == 0 && s.shop.full() {
		return s.masked("SQLSTATE[HY000]: General error: 1114 The table 'customer_entity' is full", true)
	}
	return nil
}

// customerRules returns what the attribute rules say against c.
func (s *Sandbox) customerRules(c *customer, attributesStated bool) []string {
	var out []string
	if c.number("website_id") == 0 {
		out = append(out, `"Associate to Website" is a required value.`)
	}
	for _, l := range labels {
		text := c.text(l.name)
		switch {
		case l.name == "gender":
			if v, ok := c.fields["gender"].(int64); ok && v != 0 && (v < 1 || v > 3) {
				out = append(out, fmt.Sprintf("Attribute %s does not contain option with Id %d", l.name, v))
			}
		case strings.TrimSpace(text) == "":
			if l.name == "firstname" || l.name == "lastname" {
				out = append(out, fmt.Sprintf(`"%s" is a required value.`, l.label))
			}
		case l.name == "dob":
			born, err := time.Parse(time.DateOnly, text)
			if err != nil {
				out = append(out, fmt.Sprintf(`"%s" is not a valid date.`, l.label))
			} else if s.opts.Version >= V247 && born.After(s.opts.Now()) {
				out = append(out, "The Date of Birth should not be greater than today.")
			}
		case utf8.RuneCountInString(text) > 255:
			out = append(out, tooManyCharacters(l.label))
		case l.name == "email" && (strings.Index(text, "@") > 64 || !emailPattern.MatchString(text)):
			out = append(out, `"Email" is not a valid email address.`)
		}
	}
	pattern := namePattern
	if s.opts.Version >= V247 {
		pattern = namePatternNew
	}
	for _, n := range []struct{ name, label string }{{"firstname", "First Name"}, {"lastname", "Last Name"}, {"middlename", "Middle Name"}} {
		if text := c.text(n.name); strings.TrimSpace(text) != "" && utf8.RuneCountInString(text) <= 255 && !pattern.MatchString(text) {
			out = append(out, n.label+" is not valid!")
		}
	}
	if attributesStated {
		for _, code := range s.opts.RequiredAttributes {
			if !slices.ContainsFunc(c.attributes, func(a attribute) bool { return a.code == code && a.value != "" }) {
				out = append(out, fmt.Sprintf(`"%s" is a required value.`, code))
			}
		}
	}
	return out
}

func tooManyCharacters(label string) string {
	return fmt.Sprintf(`"%s" length must be equal or less than 255 characters.`, label)
}

// checkAddress refuses what cannot be saved of an address.
func (s *Sandbox) checkAddress(a *address) *failure {
	var errs []*failure
	need := func(field, value string) {
		if strings.TrimSpace(value) == "" {
			errs = append(errs, required(field))
		}
	}
	country := a.text("country_id")
	need("firstname", a.text("firstname"))
	need("lastname", a.text("lastname"))
	need("street", strings.Join(a.street[:min(len(a.street), 1)], ""))
	need("city", a.text("city"))
	if !s.opts.TelephoneOptional {
		need("telephone", a.text("telephone"))
	}
	if !countries[country].optionalPostcode {
		need("postcode", a.text("postcode"))
	}
	switch {
	case strings.TrimSpace(country) == "":
		errs = append(errs, required("countryId"))
	case !s.allowed(country):
		errs = append(errs, invalidValue("countryId", country))
	default:
		if fail := checkRegion(countries[country], a); fail != nil {
			errs = append(errs, fail)
		}
	}
	if fail := aggregate(errs); fail != nil {
		return fail
	}
	return s.rules(s.addressRules(a))
}

// checkRegion looks only at the id: where a country has a list, a region must
// be on it, and some countries need one.
func checkRegion(c country, a *address) *failure {
	region, _ := a.region.(string)
	switch {
	case len(c.regions) == 0:
		if c.regionRequired && strings.TrimSpace(region) == "" {
			return required("region")
		}
	case a.regionID == 0:
		if c.regionRequired {
			return required("regionId")
		}
	case !slices.ContainsFunc(c.regions, func(r countryRegion) bool { return r.id == a.regionID }):
		return invalidValue("regionId", fmt.Sprint(a.regionID))
	}
	return nil
}

func (s *Sandbox) addressRules(a *address) []string {
	var out []string
	if len(a.street) > s.opts.StreetLines {
		out = append(out, fmt.Sprintf(`"Street Address" cannot contain more than %d lines.`, s.opts.StreetLines))
	}
	if slices.ContainsFunc(a.street, func(line string) bool { return utf8.RuneCountInString(line) > 255 }) {
		out = append(out, tooManyCharacters("Street Address"))
	}
	for _, l := range []struct{ name, label string }{
		{"firstname", "First Name"}, {"lastname", "Last Name"}, {"middlename", "Middle Name/Initial"}, {"prefix", "Name Prefix"}, {"suffix", "Name Suffix"},
		{"company", "Company"}, {"city", "City"}, {"postcode", "Zip/Postal Code"}, {"telephone", "Phone Number"}, {"fax", "Fax"}, {"vat_id", "VAT Number"},
	} {
		if utf8.RuneCountInString(a.text(l.name)) > 255 {
			out = append(out, tooManyCharacters(l.label))
		}
	}
	if s.opts.Version >= V248 {
		if !cityPattern.MatchString(a.text("city")) {
			out = append(out, "Invalid City. Please use A-Z, a-z, 0-9, -, ', spaces")
		}
		if phone := a.text("telephone"); phone != "" && !phonePattern.MatchString(phone) {
			out = append(out, "Invalid Phone Number. Please use 0-9, +, -, (, ) and space.")
		}
	}
	return out
}
