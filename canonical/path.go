package canonical

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// PathID names one place in the canonical schema, such as /emails/*/value. The
// ids of everything below a place follow its own without a gap.
type PathID uint8

// Root is the whole customer.
const Root PathID = 0

// Leaf is one statement of a customer: a scalar, a list of scalars, or a null.
// It is small because every row of every table is held against all of them.
type Leaf struct {
	Path  PathID
	Null  bool  // stated as null or as an empty list
	Index int16 // position in the list, in Attributes, ExternalIDs or ProviderData; -1 outside of lists
}

// shape is how a place of the schema is written in JSON.
type shape uint8

const (
	shapeText shape = iota
	shapeBool
	shapeDate
	shapeTime
	shapeObject
	shapeList      // of objects
	shapeStrings   // list of strings
	shapeOneOrMore // string or list of strings
	shapeAttributes
	shapeExternalIDs
	shapeProviderData
)

// node is one member of the schema, read from a struct field's type and tags.
type node struct {
	name    string
	doc     string
	pattern string // /emails/*/value
	path    PathID
	last    PathID // the last place below this one
	field   int    // index of the struct field
	shape   shape
	rules   rules
	members []node // of an object, or of a list's elements
	names   []string
	byName  map[string]int
}

// find returns the index of the member, which is -1 if there is none. Members
// mostly come in the order of the schema, so that the search begins at next,
// after the one found last.
func (n *node) find(name string, next int) int {
	for i, s := range n.names[next:] {
		if s == name {
			return next + i
		}
	}
	if i, known := n.byName[name]; known {
		return i
	}
	return -1
}

// rules are the limits that the is tag states.
type rules struct {
	min, max int
	enum     []string
	format   string
	check    func(string) string // that of the format
	required bool
	nonnull  bool
	lines    bool
	book     bool
}

var (
	root     node
	patterns []string // by PathID
	ends     []PathID // by PathID: the last place below
	books    []bool   // by PathID
	parents  []PathID // by PathID: the place around; Root's is Root
	starred  []bool   // by PathID: inside a list or map
	pointers []pointer
	lists    []bool // by PathID: a list of texts
	lengths  []int  // by PathID: how long a text may be
	pathIDs  = map[string]PathID{}
)

func init() {
	root = node{shape: shapeObject}
	root.members = membersOf(reflect.TypeFor[Customer](), &root)
}

func addPath(pattern string, book bool) PathID {
	id := PathID(len(patterns))
	patterns = append(patterns, pattern)
	ends = append(ends, id)
	books = append(books, book)
	lists = append(lists, false)
	lengths = append(lengths, 0)
	parents = append(parents, pathIDs[pattern[:max(strings.LastIndexByte(pattern, '/'), 0)]])
	starred = append(starred, strings.Contains(pattern, "*"))
	pointers = append(pointers, cutPattern(pattern))
	pathIDs[pattern] = id
	return id
}

// membersOf builds the schema of a struct type. It panics on a tag or type it
// does not know, which every test of the package would show.
func membersOf(t reflect.Type, parent *node) []node {
	if len(patterns) == 0 {
		addPath("", false)
	}
	members := make([]node, 0, t.NumField())
	parent.byName = make(map[string]int, t.NumField())
	prefix := parent.pattern
	if parent.shape == shapeList {
		prefix += "/*"
	}
	for i := range t.NumField() {
		f := t.Field(i)
		n := node{name: f.Tag.Get("json"), doc: f.Tag.Get("doc"), field: i, rules: parseRules(f)}
		n.pattern = prefix + "/" + n.name
		n.rules.book = n.rules.book || parent.rules.book
		n.path = addPath(n.pattern, n.rules.book)
		value, _ := f.Type.FieldByName("value")
		switch vt := value.Type; vt {
		case reflect.TypeFor[string]():
			n.shape = shapeText
			n.rules.min = 1
			if n.rules.max == 0 {
				n.rules.max = 255
			}
			lengths[n.path] = n.rules.max
		case reflect.TypeFor[bool]():
			n.shape = shapeBool
		case reflect.TypeFor[Date]():
			n.shape = shapeDate
		case reflect.TypeFor[Timestamp]():
			n.shape = shapeTime
		case reflect.TypeFor[[]string]():
			n.shape = shapeStrings
			lists[n.path] = true
			lengths[n.path] = 255
		case reflect.TypeFor[OneOrMore]():
			n.shape = shapeOneOrMore
		case reflect.TypeFor[[]Attribute]():
			n.shape = shapeAttributes
			lengths[addPath(n.pattern+"/*", n.rules.book)] = maxAttribute
		case reflect.TypeFor[[]ExternalID]():
			n.shape = shapeExternalIDs
			addPath(n.pattern+"/*", n.rules.book)
		case reflect.TypeFor[[]ProviderData]():
			n.shape = shapeProviderData
			addPath(n.pattern+"/*", n.rules.book)
		default:
			switch vt.Kind() {
			case reflect.Struct:
				n.shape = shapeObject
				n.members = membersOf(vt, &n)
			case reflect.Slice:
				n.shape = shapeList
				addPath(n.pattern+"/*", n.rules.book)
				n.members = membersOf(vt.Elem(), &n)
			default:
				panic(fmt.Sprintf("canonical: field %s has a type without a shape: %s", f.Name, vt))
			}
		}
		n.last = PathID(len(patterns) - 1)
		ends[n.path] = n.last
		if n.last > n.path && n.shape != shapeObject { // the elements' own place
			ends[n.path+1] = n.last
		}
		parent.byName[n.name] = i
		parent.names = append(parent.names, n.name)
		members = append(members, n)
	}
	ends[Root] = PathID(len(patterns) - 1)
	return members
}

func parseRules(f reflect.StructField) rules {
	var r rules
	for rule := range strings.SplitSeq(f.Tag.Get("is"), ",") {
		name, arg, _ := strings.Cut(rule, "=")
		var err error
		switch name {
		case "":
		case "min":
			r.min, err = strconv.Atoi(arg)
		case "max":
			r.max, err = strconv.Atoi(arg)
		case "enum":
			r.enum = strings.Split(arg, "|")
		case "format":
			if r.format, r.check = arg, formats[arg].check; r.check == nil {
				err = fmt.Errorf("unknown format %q", arg)
			}
		case "required":
			r.required = true
		case "nonnull":
			r.nonnull = true
		case "lines":
			r.lines = true
		case "book":
			r.book = true
		default:
			err = fmt.Errorf("unknown rule %q", name)
		}
		if err != nil {
			panic(fmt.Sprintf("canonical: tag of field %s: %v", f.Name, err))
		}
	}
	return r
}

// Path returns the id of a pattern such as "/emails/*/value". It panics on one
// that is not in the schema: patterns are written in code, not in data.
func Path(pattern string) PathID {
	id, ok := pathIDs[pattern]
	if !ok {
		panic(fmt.Sprintf("canonical: the schema has no path %q", pattern))
	}
	return id
}

// String returns the pattern.
func (p PathID) String() string { return patterns[p] }

// Contains reports whether o is p or a place below it.
func (p PathID) Contains(o PathID) bool { return p <= o && o <= ends[p] }

// Last returns the last place below p, or p: it and all from p on are in p.
func (p PathID) Last() PathID { return ends[p] }

// Parent returns the place around p; Root's is Root.
func (p PathID) Parent() PathID { return parents[p] }

// Indexed reports whether p is, or is in, an element of a list or map, so that
// an index says which.
func (p PathID) Indexed() bool { return starred[p] }

// Bookkeeping reports whether the gateway itself uses the place, so that a
// provider that cannot hold it loses nothing.
func (p PathID) Bookkeeping() bool { return books[p] }

// IsList reports whether a list of texts stands at the place, and never a single
// one.
func (p PathID) IsList() bool { return lists[p] }

// Pointer returns the RFC 6901 pointer of a place in this customer's JSON; index
// takes the place of the "*" (for attributes and the like: the name at that
// position).
func (c *Customer) Pointer(p PathID, index int) string {
	to := &pointers[p]
	if !starred[p] || index < 0 {
		return to.list
	}
	key := ""
	switch to.list {
	case "/attributes":
		if a := c.Attributes.value; index < len(a) {
			key = escapePointer(a[index].Name)
		}
	case "/externalIds":
		if e := c.ExternalIDs.value; index < len(e) {
			key = escapePointer(e[index].Route)
		}
	case "/providerData":
		if d := c.ProviderData.value; index < len(d) {
			key = escapePointer(d[index].Key)
		}
	default:
		if index < len(to.first) {
			return to.first[index]
		}
	}
	if key == "" {
		key = strconv.Itoa(index)
	}
	return to.list + "/" + key + to.after
}

// pointer is a pattern cut at its "*".
type pointer struct {
	list  string // before "/*", or the whole pattern
	after string
	first [4]string // the pointers of the first positions, which are the usual ones
}

func cutPattern(pattern string) (to pointer) {
	var starred bool
	if to.list, to.after, starred = strings.Cut(pattern, "/*"); starred {
		for i := range to.first {
			to.first[i] = to.list + "/" + strconv.Itoa(i) + to.after
		}
	}
	return to
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

// escapePointer escapes one reference token of a JSON Pointer.
func escapePointer(s string) string { return pointerEscaper.Replace(s) }

// JoinPointer appends reference tokens to a JSON Pointer, escaped.
func JoinPointer(pointer string, tokens ...string) string {
	for _, t := range tokens {
		pointer += "/" + escapePointer(t)
	}
	return pointer
}

// Leaves lists what the customer states, in the order of the schema.
func (c *Customer) Leaves() []Leaf {
	return appendLeaves(make([]Leaf, 0, 64), reflect.ValueOf(c).Elem(), &root, -1)
}

// The struct fields of a Field. Reading them one by one is much cheaper than
// making a settable of each Field, and most are absent.
const (
	stateField = 0
	valueField = 1
)

func appendLeaves(leaves []Leaf, v reflect.Value, parent *node, index int16) []Leaf {
	for i := range parent.members {
		n := &parent.members[i]
		field := v.Field(n.field)
		switch state(field.Field(stateField).Uint()) {
		case absent:
			continue
		case isNull:
			leaves = append(leaves, Leaf{n.path, true, index})
			continue
		}
		switch n.shape {
		case shapeObject:
			leaves = appendLeaves(leaves, field.Field(valueField), n, index)
		case shapeList:
			list := field.Field(valueField)
			if list.Len() == 0 {
				leaves = append(leaves, Leaf{n.path, true, index})
			}
			for j := range list.Len() {
				leaves = appendLeaves(leaves, list.Index(j), n, int16(j))
			}
		case shapeStrings, shapeOneOrMore:
			leaves = append(leaves, Leaf{n.path, field.Field(valueField).Len() == 0, index})
		case shapeAttributes:
			_, value := field.Addr().Interface().(settable).look()
			attributes := *value.(*[]Attribute)
			if len(attributes) == 0 {
				leaves = append(leaves, Leaf{n.path, true, -1})
			}
			for j, a := range attributes {
				leaves = append(leaves, Leaf{n.path + 1, a.Value.Kind() == KindNull, int16(j)})
			}
		case shapeExternalIDs, shapeProviderData:
			for j := range field.Field(valueField).Len() {
				leaves = append(leaves, Leaf{n.path + 1, false, int16(j)})
			}
		default:
			leaves = append(leaves, Leaf{n.path, false, index})
		}
	}
	return leaves
}
