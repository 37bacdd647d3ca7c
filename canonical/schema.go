package canonical

import _ "embed" // for customer.schema.json

//go:embed customer.schema.json
var schemaFile []byte

// SchemaJSON returns the published JSON Schema of a customer,
// customer.schema.json, indented. The caller must not change it.
func SchemaJSON() []byte { return schemaFile }

// Schema builds the JSON Schema (2020-12) of a customer from what decoder and
// validator read. It says all that a schema can say. What only the decoder
// checks: that id equals the one in the path, that one element of a list is
// primary, that a date exists, that a language tag's parts are registered, that
// an e-mail address has no exotic white space and its limits hold in bytes, that
// a URL's escapes and port are well-formed, how many digits a number has, how
// deep providerData is nested and that no member is there twice.
func Schema() Value {
	s := NewObject(8)
	s.Set("$schema", Text("https://json-schema.org/draft/2020-12/schema"))
	s.Set("$id", Text("urn:customer-gateway:schema:customer"))
	s.Set("title", Text("Customer"))
	s.Set("description", Text("One customer as an application states it. An absent member says nothing, null (or an empty list) clears, a value sets."))
	s.Set("type", Text("object"))
	describe(&s, &root)
	dots := NewObject(1) // what CheckID refuses beside what every text must not be
	dots.Set("enum", texts([]string{".", ".."}))
	s.Member("properties").Member("id").Set("not", dots)
	return s
}

// Patterns of text without control characters, in the syntax that RE2 and
// ECMA-262 share.
const (
	oneLine   = `^[^\x00-\x1f\x7f-\x9f]*$`
	manyLines = `^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$`
)

// Dates and times of RFC 3339, in the years 1 to 9999.
const (
	datePattern = `([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])`
	timePattern = `([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]+)?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])`
)

// describe adds the members of an object to its schema.
func describe(s *Value, n *node) {
	var required []string
	properties := NewObject(len(n.members))
	for i := range n.members {
		m := &n.members[i]
		properties.Set(m.name, m.schema())
		if m.rules.required {
			required = append(required, m.name)
		}
	}
	s.Set("properties", properties)
	if required != nil {
		s.Set("required", texts(required))
	}
	s.Set("additionalProperties", Boolean(false))
}

// schema describes one member.
func (n *node) schema() Value {
	s := NewObject(6)
	s.Set("description", Text(n.doc))
	switch n.shape {
	case shapeText:
		s.Set("type", Text("string"))
		describeText(&s, &n.rules)
	case shapeBool:
		s.Set("type", Text("boolean"))
	case shapeDate:
		s.Set("type", Text("string"))
		s.Set("format", Text("date"))
		s.Set("pattern", Text("^"+datePattern+"$"))
	case shapeTime:
		s.Set("type", Text("string"))
		s.Set("format", Text("date-time"))
		s.Set("pattern", Text("^"+datePattern+"T"+timePattern+"$"))
	case shapeObject:
		s.Set("type", Text("object"))
		describe(&s, n)
	case shapeList:
		items := NewObject(4)
		items.Set("type", Text("object"))
		describe(&items, n)
		describeList(&s, n.rules.max, items)
	case shapeStrings, shapeOneOrMore:
		each := n.rules
		each.min, each.max = 1, 255
		items := NewObject(4)
		items.Set("type", Text("string"))
		describeText(&items, &each)
		describeList(&s, n.rules.max, items)
		if n.shape == shapeOneOrMore {
			return oneOrMore(n, s, items)
		}
	case shapeAttributes:
		describeMap(&s, n.rules.max, attributeSchema())
	case shapeExternalIDs:
		id := NewObject(4)
		id.Set("type", Text("string"))
		describeText(&id, &rules{min: 1, max: 255})
		describeMap(&s, n.rules.max, id)
	case shapeProviderData:
		object := NewObject(1)
		object.Set("type", Text("object"))
		describeMap(&s, n.rules.max, object)
	}
	if n.nullable() {
		orNull(&s)
	}
	return s
}

func (n *node) nullable() bool { return !n.rules.required && !n.rules.nonnull }

// orNull lets a schema with a type take null as well.
func orNull(s *Value) {
	s.Set("type", List(s.Get("type"), Text("null")))
	if enum := s.Get("enum").Clone(); !enum.IsZero() {
		enum.Append(NullValue())
		s.Set("enum", enum)
	}
}

// describeText adds the rules of a string.
func describeText(s *Value, r *rules) {
	switch {
	case r.format == "country":
		s.Set("enum", texts(countries()))
		return
	case r.enum != nil:
		s.Set("enum", texts(r.enum))
		return
	}
	s.Set("minLength", Int(int64(r.min)))
	s.Set("maxLength", Int(int64(r.max)))
	form := formats[r.format]
	if form.keyword != "" {
		s.Set("format", Text(form.keyword))
	}
	patterns := form.patterns
	switch {
	case patterns == nil && r.lines:
		patterns = []string{manyLines}
	case patterns == nil:
		patterns = []string{oneLine}
	}
	s.Set("pattern", Text(patterns[0]))
	for _, p := range patterns[1:] {
		further := NewObject(1)
		further.Set("pattern", Text(p))
		s.Member("allOf").Append(further)
	}
}

func describeList(s *Value, limit int, items Value) {
	s.Set("type", Text("array"))
	s.Set("maxItems", Int(int64(limit)))
	s.Set("items", items)
}

// oneOrMore describes a list that may be written as one string.
func oneOrMore(n *node, list, one Value) Value {
	list.Delete("description")
	if n.nullable() {
		orNull(&list)
	}
	s := NewObject(2)
	s.Set("description", Text(n.doc))
	s.Set("anyOf", List(one, list))
	return s
}

// describeMap adds the rules of an object whose member names are data.
func describeMap(s *Value, limit int, value Value) {
	names := NewObject(3)
	names.Set("minLength", Int(1))
	names.Set("maxLength", Int(maxName))
	names.Set("pattern", Text(oneLine))
	s.Set("type", Text("object"))
	s.Set("maxProperties", Int(int64(limit)))
	s.Set("propertyNames", names)
	s.Set("additionalProperties", value)
}

func attributeSchema() Value {
	text := func(types ...string) Value {
		s := NewObject(5)
		s.Set("type", texts(types))
		s.Set("maxLength", Int(maxAttribute))
		s.Set("pattern", Text(manyLines))
		return s
	}
	s := text("string", "number", "boolean", "null", "array")
	s.Set("maxItems", Int(maxElements))
	s.Set("items", text("string", "number", "boolean"))
	return s
}

// countries lists what isCountry marks.
func countries() []string {
	var codes []string
	for i, known := range isCountry {
		if known {
			codes = append(codes, string([]byte{'A' + byte(i/26), 'A' + byte(i%26)}))
		}
	}
	return codes
}

func texts(ss []string) Value {
	v := List()
	for _, s := range ss {
		v.Append(Text(s))
	}
	return v
}
