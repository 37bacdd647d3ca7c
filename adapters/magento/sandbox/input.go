package sandbox

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// kind is the declared type of a member.
type kind int

const (
	kindString kind = iota
	kindInt
	kindBool
	kindStrings
	kindObject
	kindObjects
	kindAttributes
)

// class describes a data interface: its members by their snake_case names.
type class struct {
	name    string
	members map[string]field
}

type field struct {
	kind  kind
	class *class
}

var (
	companyClass = &class{`Magento\Company\Api\Data\CompanyCustomerInterface`, map[string]field{
		"customer_id": {kind: kindInt}, "company_id": {kind: kindInt}, "job_title": {}, "status": {kind: kindInt}, "telephone": {},
	}}
	extensionClass = &class{`Magento\Customer\Api\Data\CustomerExtension`, map[string]field{
		"is_subscribed": {kind: kindBool}, "assistance_allowed": {kind: kindInt},
	}}
	extensionClassB2B = &class{extensionClass.name, map[string]field{
		"is_subscribed": {kind: kindBool}, "assistance_allowed": {kind: kindInt}, "company_attributes": {kindObject, companyClass},
	}}
	regionClass = &class{`Magento\Customer\Api\Data\RegionInterface`, map[string]field{
		"region_code": {}, "region": {}, "region_id": {kind: kindInt}, "extension_attributes": {kindObject, &class{}},
	}}
	addressClass = &class{`Magento\Customer\Api\Data\AddressInterface`, map[string]field{
		"id": {kind: kindInt}, "customer_id": {kind: kindInt}, "region": {kindObject, regionClass}, "region_id": {kind: kindInt},
		"country_id": {}, "street": {kind: kindStrings}, "company": {}, "telephone": {}, "fax": {}, "postcode": {}, "city": {},
		"firstname": {}, "lastname": {}, "middlename": {}, "prefix": {}, "suffix": {}, "vat_id": {},
		"default_shipping": {kind: kindBool}, "default_billing": {kind: kindBool},
		"extension_attributes": {kindObject, &class{name: `Magento\Customer\Api\Data\AddressExtension`}},
		"custom_attributes":    {kind: kindAttributes},
	}}
	customerClass    = newCustomerClass(extensionClass)
	customerClassB2B = newCustomerClass(extensionClassB2B)
)

func newCustomerClass(extension *class) *class {
	return &class{`Magento\Customer\Api\Data\CustomerInterface`, map[string]field{
		"id": {kind: kindInt}, "group_id": {kind: kindInt}, "default_billing": {}, "default_shipping": {}, "confirmation": {},
		"created_at": {}, "updated_at": {}, "created_in": {}, "dob": {}, "email": {}, "firstname": {}, "lastname": {},
		"middlename": {}, "prefix": {}, "suffix": {}, "gender": {kind: kindInt}, "store_id": {kind: kindInt}, "taxvat": {},
		"website_id": {kind: kindInt}, "addresses": {kindObjects, addressClass}, "disable_auto_group_change": {kind: kindInt},
		"extension_attributes": {kindObject, extension}, "custom_attributes": {kind: kindAttributes},
	}}
}

// input holds the members of an object by their snake_case names. The types are
// those declared; nil is a null.
type input map[string]any

// list returns a list of objects; nil when it is absent or null.
func (in input) list(name string) []input {
	l, _ := in[name].([]input)
	return l
}

func (in input) object(name string) input {
	o, _ := in[name].(input)
	return o
}

// attribute is a custom attribute. Its value is a string or a list.
type attribute struct {
	code  string
	value any
}

// decodeCustomer reads the customer of a request body.
func (s *Sandbox) decodeCustomer(body []byte) (input, *failure) {
	members, fail := decode(body, s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	return s.customerOf(members)
}

func (s *Sandbox) customerOf(body map[string]any) (input, *failure) {
	v, ok := body["customer"]
	if !ok || v == nil {
		return nil, required("customer")
	}
	members, _ := v.(map[string]any) // any other type is an empty customer
	cls := customerClass
	if s.opts.B2B {
		cls = customerClassB2B
	}
	return s.convert(cls, members)
}

// convert types the members of an object as its class declares them.
func (s *Sandbox) convert(cls *class, members map[string]any) (input, *failure) {
	out := input{}
	for _, key := range sortedKeys(members) {
		name, declared, ok := cls.find(key)
		if !ok {
			return nil, s.unknownMember(cls.name, key)
		}
		value, fail := s.convertValue(declared, members[key], key)
		if fail != nil {
			if fail.framework {
				fail = malformed(`Error occurred during "%s" processing. %s`, key, fail.message)
			}
			return nil, fail
		}
		out[name] = value
	}
	return out, nil
}

func (s *Sandbox) convertValue(f field, v any, key string) (any, *failure) {
	if text, ok := v.(string); ok && strings.Contains(strings.ToLower(text), "<script") {
		return nil, invalid(`"%field_name" does not contains valid value.`, object{{"field_name", key}})
	}
	switch f.kind {
	case kindObject:
		members, _ := v.(map[string]any)
		if v == nil {
			return nil, nil
		}
		return s.convert(f.class, members)
	case kindObjects:
		items, ok := elements(v)
		if !ok {
			return nil, nil
		}
		if fail := s.limit(f.class.name, len(items)); fail != nil {
			return nil, fail
		}
		out := make([]input, 0, len(items))
		for _, item := range items {
			members, _ := item.(map[string]any)
			in, fail := s.convert(f.class, members)
			if fail != nil {
				return nil, fail
			}
			out = append(out, in)
		}
		return out, nil
	case kindStrings:
		if v == nil {
			return nil, nil
		}
		items, ok := elements(v)
		if !ok {
			return nil, malformed("%s", typeMismatch(v, "string[]"))
		}
		out := make([]string, 0, len(items))
		for _, item := range items {
			out = append(out, phpString(item))
		}
		return out, nil
	case kindAttributes:
		return s.convertAttributes(v)
	}
	if v == nil {
		return nil, nil
	}
	switch f.kind {
	case kindInt:
		if n, ok := toInt(v); ok {
			return n, nil
		}
		return nil, malformed("%s", typeMismatch(v, "int"))
	case kindBool:
		if _, ok := elements(v); ok {
			return nil, malformed("%s", typeMismatch(v, "bool"))
		}
		switch strings.ToLower(phpString(v)) {
		case "1", "true", "on", "yes":
			return true, nil
		}
		return false, nil
	}
	if text, ok := toString(v); ok {
		return text, nil
	}
	return nil, malformed("%s", typeMismatch(v, "string"))
}

// convertAttributes reads custom_attributes, given as a list of
// {attribute_code, value} or as an object.
func (s *Sandbox) convertAttributes(v any) (any, *failure) {
	if v == nil {
		return nil, nil
	}
	var items []any
	switch v := v.(type) {
	case []any:
		items = v
	case map[string]any:
		for _, code := range sortedKeys(v) {
			item, ok := v[code].(map[string]any)
			if !ok {
				item = map[string]any{"attribute_code": code, "value": v[code]}
			}
			items = append(items, item)
		}
	default:
		return nil, nil
	}
	if fail := s.limit(`Magento\Framework\Api\AttributeInterface`, len(items)); fail != nil {
		return nil, fail
	}
	out := make([]attribute, 0, len(items))
	for _, item := range items {
		members, _ := item.(map[string]any)
		code := phpString(members["attribute_code"])
		if code == "" {
			code = phpString(members["attributeCode"])
		}
		value, has := members["value"]
		if value == nil && s.opts.Version < V24 {
			has = false
		}
		switch {
		case code == "" && !has:
			return nil, malformed("There is an empty custom attribute specified.")
		case code == "":
			return nil, malformed("A custom attribute is specified without an attribute code.")
		case !has:
			return nil, malformed(`Value is not set for attribute code "%s"`, code)
		}
		if text, ok := value.(string); ok && strings.Contains(strings.ToLower(text), "<script") {
			return nil, invalid(`"%field_name" does not contains valid value.`, object{{"field_name", code}})
		}
		if list, ok := elements(value); ok {
			values := make([]any, 0, len(list))
			for _, e := range list {
				values = append(values, phpString(e))
			}
			value = values
		} else if value != nil {
			value = phpString(value)
		}
		if slices.Contains(s.opts.Attributes, code) {
			out = append(out, attribute{code, value})
		}
	}
	return out, nil
}

// limit refuses lists above the configured size.
func (s *Sandbox) limit(class string, n int) *failure {
	if s.opts.InputLimit == 0 || n <= s.opts.InputLimit {
		return nil
	}
	return invalid(`Maximum items of type "%type" is %max`, object{{"type", class}, {"max", s.opts.InputLimit}})
}

// find returns the member that key names. Case and underscores do not matter,
// as PHP looks for a method getFirstname.
func (c *class) find(key string) (string, field, bool) {
	if f, ok := c.members[key]; ok {
		return key, f, true
	}
	plain := strings.ToLower(strings.ReplaceAll(key, "_", ""))
	for name, f := range c.members {
		if strings.ReplaceAll(name, "_", "") == plain {
			return name, f, true
		}
	}
	return "", field{}, false
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// elements returns the values of a list or object: PHP knows one type for both.
func elements(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case map[string]any:
		out := make([]any, 0, len(v))
		for _, k := range sortedKeys(v) {
			out = append(out, v[k])
		}
		return out, true
	}
	return nil, false
}

// toInt converts a number or a numeric string as PHP does. Numbers out of range
// become the largest ones, which nothing has.
func toInt(v any) (int64, bool) {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
		if strings.ContainsAny(text, "xXpP_nN") {
			return 0, false // PHP knows no hexadecimal numbers, infinities or NaN
		}
	default:
		return 0, false
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(f, 0) {
		return 0, false
	}
	return int64(max(-math.MaxInt32, min(math.MaxInt32, math.Trunc(f)))), true
}

func toString(v any) (string, bool) {
	if _, ok := elements(v); ok {
		return "", false
	}
	return phpString(v), true
}

// phpString is PHP's cast to string.
func phpString(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "1"
		}
		return ""
	case json.Number:
		return v.String()
	}
	return "Array"
}

func typeMismatch(v any, want string) string {
	return fmt.Sprintf(`The "%s" value's type is invalid. The "%s" type was expected. Verify and try again.`, phpString(v), want)
}

// upperCamel turns tax_class_id into TaxClassId.
func upperCamel(name string) string {
	var b strings.Builder
	for _, part := range strings.Split(name, "_") {
		if part != "" {
			b.WriteString(strings.ToUpper(part[:1]) + part[1:])
		}
	}
	return b.String()
}
