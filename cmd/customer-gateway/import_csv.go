package main

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
)

// cellKind is how the text of a cell becomes JSON.
type cellKind string

// The kinds of cells. The schema names the kind; a custom field, which may hold
// anything, is text unless its place ends in ":number", say.
const (
	cellText   cellKind = "text"
	cellBool   cellKind = "bool"
	cellNumber cellKind = "number"
	cellList   cellKind = "list" // of texts, with | between them
)

// skipped is the place of a column that is left out.
const skipped = "-"

// columns makes a customer of each record of a CSV file.
type columns struct {
	names []string
	root  node
	null  bool // an empty cell clears what it stands for; otherwise it says nothing
}

// node is a place in the customer that columns fill.
type node struct {
	name     string // of a member; empty in a list
	index    int    // of an element
	list     bool
	children []*node
	column   int // of a leaf
	kind     cellKind
}

// newColumns maps the columns of a header to places in the customer. A column
// that places does not name is its own place. The error is section.Faults.
func newColumns(header []string, places map[string]string, null bool) (*columns, error) {
	c := &columns{names: header, null: null}
	var faults section.Faults
	seen := map[string]bool{}
	for i, name := range header {
		if seen[name] {
			faults.Add("", "column %q is there twice; give every column its own name", printable(name))
			continue
		}
		seen[name] = true
		place, mapped := places[name]
		if !mapped {
			place = name
		}
		if place == skipped {
			continue
		}
		err := c.add(i, place)
		switch {
		case err != nil && !mapped:
			faults.Add("", "column %q has no place: map it with --column or --columns, as in --column '%[1]s=emails[0].value', or leave it out with --column '%[1]s=-'", printable(name))
		case err != nil:
			faults.Add("", "column %q: the place %q %v", printable(name), printable(place), err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if !seen[name] {
			faults.Add("", "the column map names %q, which is no column of the file", printable(name))
		}
	}
	if faults == nil && !slices.ContainsFunc(c.root.children, func(n *node) bool { return n.name == "id" }) {
		faults.Add("", "no column has the place id: every customer needs the application's id, as in --column 'Customer No=id'")
	}
	return c, faults.Err()
}

// add puts a column at a place. The error continues a sentence about the place.
func (c *columns) add(column int, place string) error {
	steps, kind, err := parsePlace(place)
	if err != nil {
		return err
	}
	steps, schemaKind, err := resolve(steps)
	if err != nil {
		return err
	}
	switch {
	case kind == "":
		kind = schemaKind
	case schemaKind != "":
		return fmt.Errorf("has the kind that the schema gives it; leave out :%s", kind)
	}
	if kind == "" {
		kind = cellText
	}
	at := &c.root
	for _, s := range steps {
		if at.kind != "" {
			return errors.New("is inside the place of another column")
		}
		at = at.child(s)
	}
	if at.kind != "" || at.children != nil {
		return errors.New("is, or holds, the place of another column")
	}
	at.column, at.kind = column, kind
	return nil
}

// child returns the node of a step, which it makes if there is none.
func (n *node) child(s step) *node {
	for _, c := range n.children {
		if c.name == s.name && c.index == s.index {
			return c
		}
	}
	made := &node{name: s.name, index: s.index}
	n.list = s.element
	n.children = append(n.children, made)
	if n.list { // elements come in their order, whatever that of the columns
		slices.SortStableFunc(n.children, func(a, b *node) int { return a.index - b.index })
	}
	return made
}

// step is a member or an element on the way to a place.
type step struct {
	name    string
	index   int
	element bool // index counts, not name
}

var (
	dotted = regexp.MustCompile(`^([^.\[\]]+)((?:\[\d+\])*)$`)
	kinds  = regexp.MustCompile(`^(.*):(text|bool|number|list)$`)
)

// parsePlace reads emails[0].value or the JSON Pointer /emails/0/value.
func parsePlace(place string) (steps []step, kind cellKind, err error) {
	if m := kinds.FindStringSubmatch(place); m != nil {
		place, kind = m[1], cellKind(m[2])
	}
	if rest, ok := strings.CutPrefix(place, "/"); ok {
		for token := range strings.SplitSeq(rest, "/") {
			steps = append(steps, step{name: strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~")})
		}
		return steps, kind, nil
	}
	for part := range strings.SplitSeq(place, ".") {
		m := dotted.FindStringSubmatch(part)
		if m == nil {
			return nil, "", errors.New("is not written like name.givenName, emails[0].value or /emails/0/value")
		}
		steps = append(steps, step{name: m[1]})
		for index := range strings.SplitSeq(strings.Trim(m[2], "[]"), "][") {
			if index != "" {
				steps = append(steps, step{name: index})
			}
		}
	}
	return steps, kind, nil
}

// resolve follows the steps through the schema, tells elements from members and
// returns the kind of the place, which is empty where the schema leaves it open.
func resolve(steps []step) ([]step, cellKind, error) {
	schema := canonical.Schema()
	steps = slices.Clone(steps)
	for i := range steps {
		s := &steps[i]
		schema = listOf(schema)
		switch {
		case is(schema, "array") && is(schema, "string"):
			return nil, "", errors.New("leads into a custom field, which is one value; for a list end it with :list")
		case is(schema, "array"):
			index, err := strconv.Atoi(s.name)
			limit, _ := schema.Get("maxItems").Int64()
			if err != nil || index < 0 || int64(index) >= limit {
				return nil, "", fmt.Errorf("needs the position of an element, from 0 to %d, after %s", limit-1, written(steps[:i]))
			}
			*s, schema = step{index: index, element: true}, schema.Get("items")
		case schema.Has("properties"):
			properties := schema.Get("properties")
			if schema = properties.Get(s.name); schema.IsZero() {
				known := map[string]bool{}
				for j := range properties.Len() {
					known[properties.NameAt(j)] = true
				}
				return nil, "", fmt.Errorf("leads nowhere: there is no member %s; %s", written(steps[:i+1]), section.Nearest(s.name, known))
			}
		case is(schema, "object") && schema.Get("additionalProperties").Kind() == canonical.KindObject:
			schema = schema.Get("additionalProperties")
		case is(schema, "object"): // anything goes
			schema = canonical.Value{}
		case schema.IsZero():
		default:
			return nil, "", fmt.Errorf("leads too far: %s is one value", written(steps[:i]))
		}
	}
	schema = listOf(schema)
	switch {
	case schema.IsZero(), is(schema, "array") && is(schema, "string"):
		return steps, "", nil
	case is(schema, "array") && is(schema.Get("items"), "string"):
		return steps, cellList, nil
	case is(schema, "array"), is(schema, "object"):
		return nil, "", errors.New("holds several values: name one of them, such as name.givenName or emails[0].value")
	case is(schema, "boolean"):
		return steps, cellBool, nil
	}
	return steps, cellText, nil
}

// listOf returns the list of a schema that takes one value or a list.
func listOf(schema canonical.Value) canonical.Value {
	options := schema.Get("anyOf")
	for i := range options.Len() {
		if is(options.At(i), "array") {
			return options.At(i)
		}
	}
	return schema
}

// is reports whether a schema takes values of the type.
func is(schema canonical.Value, typ string) bool {
	types := schema.Get("type")
	for i := range types.Len() {
		if types.At(i).Str() == typ {
			return true
		}
	}
	return types.Str() == typ
}

// written writes steps as a place.
func written(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s.element:
			fmt.Fprintf(&b, "[%d]", s.index)
		case b.Len() > 0:
			b.WriteString("." + printable(s.name))
		default:
			b.WriteString(printable(s.name))
		}
	}
	return b.String()
}

// told is how much a part of a record says.
type told int

const (
	nothing told = iota
	null         // clear it
	value
)

// customer makes a customer of a record. Faults name the column as field.
func (c *columns) customer(record []string) ([]byte, []canonical.FieldError) {
	r := recordReader{columns: c, record: record}
	body, said := r.append(nil, &c.root, "")
	if said == nothing {
		body = append(body, "{}"...)
	}
	return body, r.faults
}

// columnsOf maps the pointers of a customer that a record made to columns.
func (c *columns) columnsOf(record []string) map[string]string {
	r := recordReader{columns: c, record: record, places: map[string]string{}}
	r.append(nil, &c.root, "")
	return r.places
}

// recordReader reads one record.
type recordReader struct {
	*columns
	record []string
	faults []canonical.FieldError
	places map[string]string // the column by pointer; nil if nobody asks
}

// append writes what the record says about a node.
func (r *recordReader) append(b []byte, n *node, pointer string) ([]byte, told) {
	if n.kind != "" {
		return r.appendCell(b, n, pointer)
	}
	begin, most, kept := len(b), nothing, 0
	if n.list {
		b = append(b, '[')
	} else {
		b = append(b, '{')
	}
	for _, c := range n.children {
		mark, token := len(b), c.name
		if kept > 0 {
			b = append(b, ',')
		}
		if n.list {
			token = strconv.Itoa(kept)
		} else {
			b = append(append(b, canonical.Text(c.name).Encode()...), ':')
		}
		var said told
		b, said = r.append(b, c, canonical.JoinPointer(pointer, token))
		most = max(most, said)
		// An element without any value is none, wherever the list ends.
		if said == nothing || n.list && said == null {
			b = b[:mark]
			continue
		}
		kept++
	}
	switch {
	case most == nothing:
		return b[:begin], nothing
	case n.list && most == null:
		return append(b[:begin], "null"...), null
	case n.list:
		return append(b, ']'), most
	}
	return append(b, '}'), most
}

// decimal is a number of JSON.
var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// appendCell writes the value of a cell.
func (r *recordReader) appendCell(b []byte, n *node, pointer string) ([]byte, told) {
	cell := r.record[n.column]
	if r.places != nil {
		r.places[pointer] = r.names[n.column]
	}
	fault := func(message string) ([]byte, told) {
		r.faults = append(r.faults, canonical.FieldError{Pointer: pointer, Field: r.names[n.column], Code: canonical.FieldInvalid, Message: message})
		return append(b, "null"...), value
	}
	switch {
	case cell == "" && r.null && pointer != "/id":
		return append(b, "null"...), null
	case cell == "":
		return b, nothing
	case !utf8.ValidString(cell):
		return fault("must be UTF-8; save the file in that encoding")
	}
	switch n.kind {
	case cellBool:
		switch strings.ToLower(cell) {
		case "true", "yes", "1":
			return append(b, "true"...), value
		case "false", "no", "0":
			return append(b, "false"...), value
		}
		return fault("must be true or false, yes or no, 1 or 0")
	case cellNumber:
		if !decimal.MatchString(cell) {
			return fault("must be a number such as 12 or 3.5")
		}
		return append(b, cell...), value
	case cellList:
		b = append(b, '[')
		for part := range strings.SplitSeq(cell, "|") {
			if part == "" {
				continue
			}
			if b[len(b)-1] != '[' {
				b = append(b, ',')
			}
			b = append(b, canonical.Text(part).Encode()...)
		}
		return append(b, ']'), value
	}
	return append(b, canonical.Text(cell).Encode()...), value
}
