package canonical

import (
	"sync"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// scanner reads what nearly every provider answers with: strict JSON with few
// members to an object. It gives up on all else and leaves that to the reader,
// which takes more, can say what is wrong and is several times slower.
type scanner struct {
	text string // which the strings of the value share
	at   int
	open stack
}

var scanners = sync.Pool{New: func() any { return new(scanner) }}

// maxScanned is the most members of an object that is scanned: each is compared
// with those before it.
const maxScanned = 32

// scan reads text if it is exactly one value.
func scan(text string) (Value, bool) {
	s := scanners.Get().(*scanner)
	s.text, s.at = text, 0
	v, ok := s.value(0)
	ok = ok && s.peek() == 0 && s.at == len(text)
	s.text = ""
	s.open.reset()
	scanners.Put(s)
	if !ok {
		return Value{}, false
	}
	return v, true
}

// peek skips white space and returns the byte after it, or 0 at the end.
func (s *scanner) peek() byte {
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; c {
		case ' ', '\n', '\t', '\r':
		default:
			return c
		}
	}
	return 0
}

// take skips white space and then c, and reports whether c was there.
func (s *scanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) value(depth int) (Value, bool) {
	if depth > maxDepth {
		return Value{}, false
	}
	switch c := s.peek(); c {
	case '"':
		text, ok := s.string()
		return Text(text), ok
	case '{':
		return s.object(depth)
	case '[':
		return s.array(depth)
	case 't':
		return Boolean(true), s.word("true")
	case 'f':
		return Boolean(false), s.word("false")
	case 'n':
		return null, s.word("null")
	}
	return s.number()
}

func (s *scanner) word(w string) bool {
	from := s.at
	s.at = min(from+len(w), len(s.text))
	return s.text[from:s.at] == w
}

func (s *scanner) string() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	escaped, ascii := false, true
	for i := s.at; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '"':
			quoted := s.text[s.at-1 : i+1]
			s.at = i + 1
			text := quoted[1 : len(quoted)-1]
			if escaped {
				unquoted, err := jsontext.AppendUnquote(nil, quoted)
				return string(unquoted), err == nil
			}
			return text, ascii || utf8.ValidString(text)
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return "", false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", false
}

func (s *scanner) number() (Value, bool) {
	from := s.at
	s.sign("-")
	if first := s.at; !s.digits() || s.text[first] == '0' && s.at > first+1 {
		return Value{}, false
	}
	if s.sign(".") && !s.digits() {
		return Value{}, false
	}
	if s.sign("eE") {
		if s.sign("+-"); !s.digits() {
			return Value{}, false
		}
	}
	return Value{kind: KindNumber, text: s.text[from:s.at]}, true
}

// sign skips one byte if it is one of those.
func (s *scanner) sign(of string) bool {
	if s.at == len(s.text) {
		return false
	}
	for i := range len(of) {
		if s.text[s.at] == of[i] {
			s.at++
			return true
		}
	}
	return false
}

// digits skips digits and reports whether there were any.
func (s *scanner) digits() bool {
	from := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}

func (s *scanner) array(depth int) (Value, bool) {
	s.at++ // [
	first := len(s.open)
	if s.take(']') {
		return Value{kind: KindArray}, true
	}
	for {
		v, ok := s.value(depth + 1)
		if !ok {
			return Value{}, false
		}
		s.open = append(s.open, member{value: v})
		if !s.take(',') {
			return Value{kind: KindArray, items: s.open.since(first)}, s.take(']')
		}
	}
}

func (s *scanner) object(depth int) (Value, bool) {
	s.at++ // {
	first := len(s.open)
	if s.take('}') {
		return Value{kind: KindObject}, true
	}
	for {
		s.peek()
		name, ok := s.string()
		if !ok || !s.take(':') || len(s.open)-first >= maxScanned {
			return Value{}, false
		}
		for i := first; i < len(s.open); i++ {
			if s.open[i].name == name {
				return Value{}, false
			}
		}
		v, ok := s.value(depth + 1)
		if !ok {
			return Value{}, false
		}
		s.open = append(s.open, member{name, v})
		if !s.take(',') {
			return Value{kind: KindObject, items: s.open.since(first)}, s.take('}')
		}
	}
}

// stack holds the members of the objects and arrays that are being read, the
// innermost last: each gets memory of its size once that is known.
type stack []member

// since closes the object or array whose first member is at first, and returns
// its members.
func (s *stack) since(first int) []member {
	read := (*s)[first:]
	*s = (*s)[:first]
	if len(read) == 0 {
		return nil
	}
	items := make([]member, len(read))
	copy(items, read)
	clear(read)
	return items
}

// maxOpen is how many members a stack that is used again keeps room for.
const maxOpen = 256

// reset empties the stack: an error leaves something open.
func (s *stack) reset() {
	if clear(*s); cap(*s) > maxOpen {
		*s = nil
	}
	*s = (*s)[:0]
}
