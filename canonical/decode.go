package canonical

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxFaults bounds how many faults one refusal lists.
const maxFaults = 100

// DecodeCustomer reads and validates one customer, whose id is id. It is strict:
// duplicate members, invalid UTF-8, trailing bytes and members that the schema
// does not have are faults. All faults are reported at once, as an *Error of
// code RequestMalformed if the body is not readable or a type is wrong, else
// RequestInvalid. A syntax error ends the reading where it stands.
func DecodeCustomer(id string, data []byte) (*Customer, error) {
	d := decoder{json: openReader(data)}
	defer d.json.close()
	c := new(Customer)
	if err := d.document(c); err != nil {
		d.syntax(err)
	} else {
		d.checkCustomer(id, c)
	}
	if len(d.faults) == 0 {
		c.ID = Of(id)
		return c, nil
	}
	e := &Error{Code: RequestInvalid, Fields: d.faults, Message: "the customer is not valid: see errors"}
	if d.malformed {
		e.Code, e.Message = RequestMalformed, "the body is not a readable customer: see errors"
	}
	if len(d.faults) == maxFaults {
		e.Message += fmt.Sprintf("; only the first %d are listed", maxFaults)
	}
	return nil, e
}

type decoder struct {
	json      *reader
	faults    []FieldError
	malformed bool
}

// errTooMany ends the decoding of a hopeless document.
var errTooMany = errors.New("too many faults")

func (d *decoder) fault(pointer string, code FieldCode, format string, args ...any) {
	if len(d.faults) < maxFaults {
		d.faults = append(d.faults, FieldError{Pointer: pointer, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

// here returns the pointer of the value read last.
func (d *decoder) here() string { return string(d.json.StackPointer()) }

// syntax turns an error of the JSON reader into a fault.
func (d *decoder) syntax(err error) {
	if errors.Is(err, errTooMany) {
		return
	}
	d.malformed = true
	pointer, what := d.here(), err.Error()
	if se, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		pointer = string(se.JSONPointer)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			d.fault(pointer, FieldDuplicate, "the member is there twice; keep one")
			return
		case errors.Is(err, io.ErrUnexpectedEOF):
			what = "the JSON ends too early"
		case se.Err != nil:
			what = se.Err.Error()
		}
		d.fault(pointer, FieldInvalid, "not valid JSON at byte %d: %s", se.ByteOffset, what)
		return
	}
	if errors.Is(err, io.EOF) {
		what = "the body is empty; send one JSON object"
	}
	d.fault(pointer, FieldInvalid, "%s", what)
}

// document reads the one object of the body.
func (d *decoder) document(c *Customer) error {
	switch kind := d.json.PeekKind(); kind {
	case jsontext.KindInvalid:
		_, err := d.json.ReadToken()
		return err
	case jsontext.KindBeginObject:
	default:
		if _, err := d.json.ReadToken(); err != nil {
			return err // it only begins like a value
		}
		return fmt.Errorf("must be a JSON object, not %s", kindName(kind))
	}
	if err := d.object(reflect.ValueOf(c).Elem(), &root); err != nil {
		return err
	}
	return d.json.atEnd()
}

// object reads an object into the struct v.
func (d *decoder) object(v reflect.Value, n *node) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	next := 0
	for d.json.PeekKind() != jsontext.KindEndObject {
		name, err := d.json.text()
		if err != nil {
			return err
		}
		i := n.find(name, next)
		if next = i + 1; i < 0 {
			d.fault(d.here(), FieldUnknown, "there is no such member%s", suggest(name, n))
			if err := d.json.SkipValue(); err != nil {
				return err
			}
		} else if err := d.member(v, &n.members[i]); err != nil {
			return err
		}
		if len(d.faults) >= maxFaults {
			return errTooMany
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	for i := range n.members {
		m := &n.members[i]
		if m.rules.required {
			if st, _ := v.Field(m.field).Addr().Interface().(settable).look(); st == absent {
				d.fault(JoinPointer(d.here(), m.name), FieldRequired, "is required")
			}
		}
	}
	return nil
}

// member reads the value of n into its field of the struct v.
func (d *decoder) member(v reflect.Value, n *node) error {
	field := v.Field(n.field).Addr().Interface().(settable)
	kind := d.json.PeekKind()
	if kind == jsontext.KindNull {
		field.setNull()
		_, err := d.json.ReadToken()
		switch {
		case n.rules.required:
			d.fault(d.here(), FieldRequired, "must not be null")
		case n.rules.nonnull:
			d.fault(d.here(), FieldInvalid, "must not be null; leave it out to say nothing about it")
		}
		return err
	}
	if want := kindsOf[n.shape]; !slices.Contains(want, kind) {
		return d.wrongType(want, kind)
	}
	switch n.shape {
	case shapeText:
		s, err := d.json.text()
		if err != nil {
			return err
		}
		*field.setValue().(*string) = s
		d.checkText(s, &n.rules)
	case shapeBool:
		tok, err := d.json.ReadToken()
		if err != nil {
			return err
		}
		*field.setValue().(*bool) = tok.Bool()
	case shapeDate:
		s, err := d.json.text()
		if err != nil {
			return err
		}
		date, err := ParseDate(s)
		if err != nil {
			d.fault(d.here(), FieldInvalid, "%v", err)
		}
		*field.setValue().(*Date) = date
	case shapeTime:
		s, err := d.json.text()
		if err != nil {
			return err
		}
		t, err := parseTimestamp(s)
		if err != nil {
			d.fault(d.here(), FieldInvalid, "%v", err)
		}
		*field.setValue().(*Timestamp) = t
	case shapeObject:
		return d.object(reflect.ValueOf(field.setValue()).Elem(), n)
	case shapeList:
		return d.list(reflect.ValueOf(field.setValue()).Elem(), n)
	case shapeStrings, shapeOneOrMore:
		ss, err := d.strings(kind, n)
		if err != nil {
			return err
		}
		switch to := field.setValue().(type) {
		case *[]string:
			*to = ss
		case *OneOrMore:
			*to = ss
		}
	case shapeAttributes:
		return d.attributes(field.setValue().(*[]Attribute), n)
	case shapeExternalIDs:
		return d.externalIDs(field.setValue().(*[]ExternalID), n)
	case shapeProviderData:
		return d.providerData(field.setValue().(*[]ProviderData), n)
	}
	return nil
}

// list reads an array of objects into the slice v.
func (d *decoder) list(v reflect.Value, n *node) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 1))
	for i := 0; d.json.PeekKind() != jsontext.KindEndArray; i++ {
		if len(d.faults) >= maxFaults {
			return errTooMany
		}
		if i >= n.rules.max {
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			if i == n.rules.max {
				d.fault(strings.TrimSuffix(d.here(), fmt.Sprintf("/%d", i)), FieldTooLong, "must not have more than %d elements", n.rules.max)
			}
			continue
		}
		v.Grow(1)
		v.SetLen(i + 1)
		if kind := d.json.PeekKind(); kind != jsontext.KindBeginObject {
			if err := d.wrongType(kindsOf[shapeObject], kind); err != nil {
				return err
			}
		} else if err := d.object(v.Index(i), n); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// strings reads a list of strings, or a single one where the schema allows it.
func (d *decoder) strings(kind jsontext.Kind, n *node) ([]string, error) {
	each := n.rules
	each.min, each.max = 1, 255
	if kind == jsontext.KindString {
		s, err := d.json.text()
		if err != nil {
			return nil, err
		}
		d.checkText(s, &each)
		return []string{s}, nil
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, err
	}
	ss := make([]string, 0, 2)
	for d.json.PeekKind() != jsontext.KindEndArray {
		if len(d.faults) >= maxFaults {
			return nil, errTooMany
		}
		if kind := d.json.PeekKind(); kind != jsontext.KindString {
			if err := d.wrongType(kindsOf[shapeText], kind); err != nil {
				return nil, err
			}
			continue
		}
		s, err := d.json.text()
		if err != nil {
			return nil, err
		}
		if len(ss) < n.rules.max {
			d.checkText(s, &each)
		}
		ss = append(ss, s)
	}
	_, err := d.json.ReadToken()
	if len(ss) > n.rules.max {
		d.fault(d.here(), FieldTooLong, "must not have more than %d elements", n.rules.max)
	}
	return ss, err
}

// entries reads an object whose members are data, and calls read for each name.
func (d *decoder) entries(n *node, read func(name string) error) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	count := 0
	for d.json.PeekKind() != jsontext.KindEndObject {
		if len(d.faults) >= maxFaults {
			return errTooMany
		}
		name, err := d.json.text()
		if err != nil {
			return err
		}
		if length := utf8.RuneCountInString(name); length == 0 || length > maxName || hasControl(name, false) {
			d.fault(d.here(), FieldInvalid, "a name must have 1 to %d characters and no control characters", maxName)
		}
		if count++; count > n.rules.max {
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		if err := read(name); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	if count > n.rules.max {
		d.fault(d.here(), FieldTooLong, "must not have more than %d members", n.rules.max)
	}
	return err
}

func (d *decoder) attributes(to *[]Attribute, n *node) error {
	return d.entries(n, func(name string) error {
		kind := d.json.PeekKind()
		v, err := d.json.value(0)
		if err != nil {
			return err
		}
		d.checkAttribute(v, kind)
		*to = append(*to, Attribute{name, v})
		return nil
	})
}

func (d *decoder) externalIDs(to *[]ExternalID, n *node) error {
	return d.entries(n, func(name string) error {
		if kind := d.json.PeekKind(); kind != jsontext.KindString {
			return d.wrongType(kindsOf[shapeText], kind)
		}
		id, err := d.json.text()
		if err != nil {
			return err
		}
		d.checkText(id, &rules{min: 1, max: 255})
		*to = append(*to, ExternalID{name, id})
		return nil
	})
}

func (d *decoder) providerData(to *[]ProviderData, n *node) error {
	return d.entries(n, func(name string) error {
		if kind := d.json.PeekKind(); kind != jsontext.KindBeginObject {
			return d.wrongType(kindsOf[shapeObject], kind)
		}
		v, err := d.json.value(0)
		if err != nil {
			return err
		}
		*to = append(*to, ProviderData{name, v})
		return nil
	})
}

// wrongType reports a value of another kind than wanted and skips it.
func (d *decoder) wrongType(want []jsontext.Kind, got jsontext.Kind) error {
	if err := d.json.SkipValue(); err != nil {
		return err
	}
	d.malformed = true
	names := make([]string, 0, len(want))
	for _, k := range want {
		if name := kindName(k); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	d.fault(d.here(), FieldInvalid, "must be %s, not %s", strings.Join(names, " or "), kindName(got))
	return nil
}

var kindsOf = [...][]jsontext.Kind{
	shapeText:         {jsontext.KindString},
	shapeBool:         {jsontext.KindTrue, jsontext.KindFalse},
	shapeDate:         {jsontext.KindString},
	shapeTime:         {jsontext.KindString},
	shapeObject:       {jsontext.KindBeginObject},
	shapeList:         {jsontext.KindBeginArray},
	shapeStrings:      {jsontext.KindBeginArray},
	shapeOneOrMore:    {jsontext.KindString, jsontext.KindBeginArray},
	shapeAttributes:   {jsontext.KindBeginObject},
	shapeExternalIDs:  {jsontext.KindBeginObject},
	shapeProviderData: {jsontext.KindBeginObject},
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginArray:
		return "a list"
	case jsontext.KindBeginObject:
		return "an object"
	}
	return "something unreadable"
}

// suggest names the member of n that is nearest to name, if one is near.
func suggest(name string, n *node) string {
	best, distance := "", 3
	for i := range n.members {
		m := n.members[i].name
		if strings.EqualFold(m, name) {
			best = m
			break
		}
		if x := editDistance(strings.ToLower(m), strings.ToLower(name)); x < distance && x < len(m) {
			best, distance = m, x
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is the Levenshtein distance in bytes, with strings over 64 bytes
// counted as far from everything.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
