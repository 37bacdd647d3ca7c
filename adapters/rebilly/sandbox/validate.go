package sandbox

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/mail"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxFaults bounds the faults of one answer.
const maxFaults = 100

// FieldType is the type of a custom field.
type FieldType string

// The types of custom fields.
const (
	FieldString   FieldType = "string" // also the meaning of ""
	FieldArray    FieldType = "array"  // of strings
	FieldBoolean  FieldType = "boolean"
	FieldDate     FieldType = "date"
	FieldDatetime FieldType = "datetime"
	FieldInteger  FieldType = "integer" // 32 bits
	FieldNumber   FieldType = "number"
	FieldMonetary FieldType = "monetary" // {currency, amount}
)

// CustomField is the definition of a custom field in an organization. All
// members but Type and Required concern strings.
type CustomField struct {
	Type      FieldType
	Required  bool
	MaxLength int // 0 means 255; more than 4000 means 4000
	Allowed   []string
	Pattern   *regexp.Regexp
}

// DemoCustomFields returns the definitions an emulator has when Options name
// none: one of each type.
func DemoCustomFields() map[string]CustomField {
	return map[string]CustomField{
		"segment":   {},
		"tier":      {Allowed: []string{"bronze", "silver", "gold"}},
		"interests": {Type: FieldArray},
		"vip":       {Type: FieldBoolean},
		"joined":    {Type: FieldDate},
		"lastSeen":  {Type: FieldDatetime},
		"visits":    {Type: FieldInteger},
		"score":     {Type: FieldNumber},
		"credit":    {Type: FieldMonetary},
	}
}

// validation collects the faults of one body.
type validation struct {
	opts     *Options
	websites map[string]bool
	fields   map[string]CustomField
	faults   []invalidField
}

// rule checks the value of the member that field names.
type rule func(v *validation, field string, value any)

// readOnly members are taken and ignored.
var readOnly rule

var contactRules = map[string]rule{
	"firstName":    nullable(text(45)),
	"lastName":     nullable(text(45)),
	"organization": nullable(text(255)),
	"address":      nullable(text(60)),
	"address2":     nullable(text(60)),
	"city":         nullable(text(45)),
	"region":       nullable(text(45)),
	"country":      nullable(matching(`^[A-Z]{2}$`, "must be a two-letter country code in capitals")),
	"postalCode":   nullable(matching(`^[\w\s\-]{1,10}$`, "must be 1 to 10 letters, digits, spaces or hyphens")),
	"emails":       contactPoints(email, true),
	"phoneNumbers": contactPoints(length(1, 50), false),
	"dob":          nullable(date),
	"jobTitle":     nullable(text(255)),
	"hash":         readOnly,
}

var leadSourceRules = map[string]rule{
	"medium":       nullable(length(0, 512)),
	"source":       nullable(length(0, 512)),
	"campaign":     nullable(length(0, 512)),
	"term":         nullable(length(0, 512)),
	"content":      nullable(length(0, 512)),
	"affiliate":    nullable(length(0, 512)),
	"subAffiliate": nullable(length(0, 512)),
	"salesAgent":   nullable(length(0, 512)),
	"clickId":      nullable(length(0, 512)),
	"path":         nullable(length(0, 512)),
	"referrer":     nullable(uri),
	"createdTime":  readOnly,
	"updatedTime":  readOnly,
	"_links":       readOnly,
}

var customerRules = map[string]rule{
	"websiteId":      website,
	"primaryAddress": nullable(object(contactRules)),
	"customFields":   customFields,
	"taxNumbers": nullable(list(object(map[string]rule{
		"type":      oneOf("eu-vat", "other"),
		"value":     length(1, 255),
		"isDefault": boolean,
		"isValid":   readOnly,
	}, "type", "value"))),
	"locale":                      nullable(matching(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`, "must be a language tag such as fr-FR")),
	"leadSource":                  object(leadSourceRules),
	"notificationEmails":          list(email),
	"personId":                    nullable(length(1, 50)),
	"preferredPayoutInstrumentId": nullable(length(1, 50)),
	"paymentToken":                length(1, 255),
	"defaultPaymentInstrumentId":  nullable(length(1, 50)),

	"id":                       readOnly,
	"organizationId":           readOnly,
	"email":                    readOnly,
	"firstName":                readOnly,
	"lastName":                 readOnly,
	"company":                  readOnly,
	"defaultPaymentInstrument": readOnly,
	"tags":                     readOnly,
	"invoiceCount":             readOnly,
	"paymentCount":             readOnly,
	"averageValue":             readOnly,
	"lifetimeRevenue":          readOnly,
	"lastPaymentTime":          readOnly,
	"revision":                 readOnly,
	"createdTime":              readOnly,
	"updatedTime":              readOnly,
	"_links":                   readOnly,
	"_embedded":                readOnly,
}

var checkCustomer = object(customerRules)

// validate returns the faults of body in a fixed order, all at once.
func (s *Sandbox) validate(body map[string]any) []invalidField {
	s.mu.Lock()
	fields := s.fields
	s.mu.Unlock()
	v := &validation{opts: &s.opts, websites: s.websites, fields: fields}
	checkCustomer(v, "", body)
	if _, stated := body["customFields"]; !stated {
		customFields(v, "customFields", map[string]any{}) // the default
	}
	return v.faults
}

// fault notes that the member named field breaks a rule.
func (v *validation) fault(field, format string, args ...any) {
	if len(v.faults) < maxFaults {
		v.faults = append(v.faults, invalidField{field, field + " " + fmt.Sprintf(format, args...)})
	}
}

func join(field, member string) string {
	if field == "" {
		return member
	}
	return field + "." + member
}

func object(members map[string]rule, required ...string) rule {
	return func(v *validation, field string, value any) {
		object, ok := value.(map[string]any)
		if !ok {
			v.fault(field, "must be an object")
			return
		}
		for _, name := range required {
			if _, stated := object[name]; !stated {
				v.fault(join(field, name), "is required")
			}
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			check, known := members[name]
			if !known && !v.opts.AllowUnknown {
				v.fault(join(field, name), "is unknown")
			}
			if check != nil {
				check(v, join(field, name), object[name])
			}
		}
	}
}

func list(item rule) rule {
	return func(v *validation, field string, value any) {
		list, ok := value.([]any)
		if !ok {
			v.fault(field, "must be an array")
			return
		}
		for i := range list {
			item(v, join(field, strconv.Itoa(i)), list[i])
		}
	}
}

func nullable(check rule) rule {
	return func(v *validation, field string, value any) {
		if value != nil {
			check(v, field, value)
		}
	}
}

// length admits strings of min to max characters.
func length(min, max int) rule {
	return func(v *validation, field string, value any) {
		s, ok := value.(string)
		if !ok {
			v.fault(field, "must be a string")
			return
		}
		if n := utf8.RuneCountInString(s); n < min || n > max {
			v.fault(field, "must be %d to %d characters long", min, max)
		}
	}
}

// text admits non-empty strings of the basic plane, ^[\u0000-\uFFFF]+$.
func text(max int) rule {
	inRange := length(1, max)
	return func(v *validation, field string, value any) {
		inRange(v, field, value)
		s, _ := value.(string)
		if !v.opts.AllowSupplementary && strings.ContainsFunc(s, func(r rune) bool { return r > 0xFFFF }) {
			v.fault(field, "has a character that is not allowed")
		}
	}
}

func matching(pattern, message string) rule {
	re := regexp.MustCompile(pattern)
	return func(v *validation, field string, value any) {
		if s, ok := value.(string); !ok || !re.MatchString(s) {
			v.fault(field, "%s", message)
		}
	}
}

func oneOf(values ...string) rule {
	return func(v *validation, field string, value any) {
		if s, ok := value.(string); !ok || !slices.Contains(values, s) {
			v.fault(field, "must be one of %s", strings.Join(values, ", "))
		}
	}
}

func boolean(v *validation, field string, value any) {
	if _, ok := value.(bool); !ok {
		v.fault(field, "must be a boolean")
	}
}

func date(v *validation, field string, value any) {
	s, _ := value.(string)
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		v.fault(field, "must be a date such as 1980-04-01")
	}
}

func datetime(v *validation, field string, value any) {
	s, _ := value.(string)
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		v.fault(field, "must be a date and time such as 2026-08-21T10:00:00Z")
	}
}

func uri(v *validation, field string, value any) {
	s, _ := value.(string)
	if u, err := url.Parse(s); err != nil || !u.IsAbs() || len(s) > 2083 {
		v.fault(field, "must be a URI of at most 2083 characters")
	}
}

// email admits a bare ASCII address with a dot in its domain.
func email(v *validation, field string, value any) {
	s, _ := value.(string)
	address, err := mail.ParseAddress(s)
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
	_, domain, _ := strings.Cut(s, "@")
	if err != nil || address.Address != s || !ascii || !strings.Contains(domain, ".") || len(s) > 255 {
		v.fault(field, "must be an e-mail address of at most 255 characters")
	}
}

// contactPoints admits a list of {label, value, primary}. At most one may be
// primary, and one must be when needsPrimary.
func contactPoints(value rule, needsPrimary bool) rule {
	points := list(object(map[string]rule{
		"label":   length(1, 45),
		"value":   value,
		"primary": boolean,
	}, "label", "value"))
	return func(v *validation, field string, value any) {
		points(v, field, value)
		list, _ := value.([]any)
		if v.opts.AllowAnyPrimary || len(list) == 0 {
			return
		}
		primaries := 0
		for _, item := range list {
			if point, ok := item.(map[string]any); ok && point["primary"] == true {
				primaries++
			}
		}
		if primaries > 1 || primaries == 0 && needsPrimary {
			v.fault(field, "must have exactly one primary entry")
		}
	}
}

func website(v *validation, field string, value any) {
	if id, ok := value.(string); !ok || !v.websites[id] {
		v.fault(field, "must be the ID of an existing website")
	}
}

var customKey = regexp.MustCompile(`^[\w-]{1,60}$`)

// customFields admits the fields defined in the organization, each with a value
// of its type.
func customFields(v *validation, field string, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		v.fault(field, "must be an object")
		return
	}
	for _, name := range slices.Sorted(maps.Keys(v.fields)) {
		if _, stated := object[name]; !stated && v.fields[name].Required {
			v.fault(join(field, name), "is required")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		at := join(field, name)
		definition, defined := v.fields[name]
		switch {
		case !customKey.MatchString(name):
			v.fault(at, "has a name that is not allowed")
		case !defined:
			v.fault(at, "is not defined as a custom field")
		default:
			definition.check(v, at, object[name])
		}
	}
}

var checkMonetary = object(map[string]rule{
	"currency": matching(`^[A-Z]{3}$`, "must be a three-letter currency code"),
	"amount":   number,
}, "currency", "amount")

func (f CustomField) check(v *validation, field string, value any) {
	switch f.Type {
	case FieldArray:
		list(length(0, 255))(v, field, value)
		if items, _ := value.([]any); len(items) > 1000 {
			v.fault(field, "must have at most 1000 items")
		}
	case FieldBoolean:
		boolean(v, field, value)
	case FieldDate:
		date(v, field, value)
	case FieldDatetime:
		datetime(v, field, value)
	case FieldInteger:
		n, _ := value.(json.Number)
		if _, err := strconv.ParseInt(n.String(), 10, 32); err != nil {
			v.fault(field, "must be a 32-bit integer")
		}
	case FieldNumber:
		number(v, field, value)
	case FieldMonetary:
		checkMonetary(v, field, value)
	default:
		f.checkString(v, field, value)
	}
}

func (f CustomField) checkString(v *validation, field string, value any) {
	longest := f.MaxLength
	if longest <= 0 {
		longest = 255
	}
	length(0, min(longest, 4000))(v, field, value)
	s, ok := value.(string)
	if ok && f.Allowed != nil && !slices.Contains(f.Allowed, s) {
		v.fault(field, "must be one of %s", strings.Join(f.Allowed, ", "))
	}
	if ok && f.Pattern != nil && !f.Pattern.MatchString(s) {
		v.fault(field, "must match %s", f.Pattern)
	}
}

func number(v *validation, field string, value any) {
	n, _ := value.(json.Number)
	if _, err := n.Float64(); err != nil {
		v.fault(field, "must be a number")
	}
}

// isJSON reports whether a Content-Type is JSON in UTF-8.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset, stated := params["charset"]
	return err == nil && media == "application/json" && (!stated || strings.EqualFold(charset, "utf-8"))
}
