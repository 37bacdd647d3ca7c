package canonical

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// reader reads one JSON body. Its strings share the memory of one copy of the
// body, which suits a document that is kept as a whole; own makes each string
// stand alone, for documents of which a little is kept.
type reader struct {
	jsontext.Decoder
	buffer bytes.Buffer
	body   string
	own    bool
	unique bool // the decoder itself refuses duplicate members
	open   stack
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// pooled is the largest body whose reader is used again: the memory that a
// reader keeps follows the body.
const pooled = 64 << 10

// openReader returns a strict reader of data that shares memory.
func openReader(data []byte) *reader {
	r := readers.Get().(*reader)
	r.buffer = *bytes.NewBuffer(data)
	r.Reset(&r.buffer)
	r.body, r.own, r.unique = string(data), false, true
	return r
}

// close lets the reader be used again.
func (r *reader) close() {
	size := len(r.body)
	r.buffer, r.body = bytes.Buffer{}, ""
	r.Reset(&r.buffer)
	r.open.reset()
	if size <= pooled {
		readers.Put(r)
	}
}

// text reads a string or a member's name.
func (r *reader) text() (string, error) {
	raw, err := r.ReadValue()
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(raw, '\\') >= 0 {
		raw, err = jsontext.AppendUnquote(nil, raw)
		return string(raw), err
	}
	end := r.InputOffset()
	return r.body[end-int64(len(raw))+1 : end-1], nil
}

// scalar reads a string or a number.
func (r *reader) scalar(kind jsontext.Kind) (string, error) {
	switch {
	case r.own:
		tok, err := r.ReadToken()
		if err != nil {
			return "", err
		}
		return tok.String(), nil
	case kind == jsontext.KindString:
		return r.text()
	}
	raw, err := r.ReadValue()
	if err != nil {
		return "", err
	}
	end := r.InputOffset()
	return r.body[end-int64(len(raw)) : end], nil
}

// maxDepth bounds the nesting of values that are read as trees.
const maxDepth = 64

// errDepth is the fault of a value nested deeper than maxDepth.
var errDepth = errors.New("nested deeper than 64 levels")

// value reads the next value as a tree.
func (r *reader) value(depth int) (Value, error) {
	if depth > maxDepth {
		return Value{}, errDepth
	}
	switch kind := r.PeekKind(); kind {
	case jsontext.KindString:
		s, err := r.scalar(kind)
		return Text(s), err
	case jsontext.KindNumber:
		s, err := r.scalar(kind)
		return Value{kind: KindNumber, text: s}, err
	case jsontext.KindBeginArray:
		return r.array(depth)
	case jsontext.KindBeginObject:
		return r.object(depth)
	default: // a literal, or what is no value at all
		tok, err := r.ReadToken()
		switch {
		case err != nil:
			return Value{}, err
		case tok.Kind() == jsontext.KindNull:
			return null, nil
		}
		return Boolean(tok.Bool()), nil
	}
}

func (r *reader) array(depth int) (Value, error) {
	if _, err := r.ReadToken(); err != nil {
		return Value{}, err
	}
	first := len(r.open)
	for r.PeekKind() != jsontext.KindEndArray {
		e, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		r.open = append(r.open, member{value: e})
	}
	_, err := r.ReadToken()
	return Value{kind: KindArray, items: r.open.since(first)}, err
}

func (r *reader) object(depth int) (Value, error) {
	if _, err := r.ReadToken(); err != nil {
		return Value{}, err
	}
	first := len(r.open)
	var seen index
	for r.PeekKind() != jsontext.KindEndObject {
		name, err := r.scalar(jsontext.KindString)
		if err != nil {
			return Value{}, err
		}
		e, err := r.value(depth + 1)
		if err != nil {
			return Value{}, err
		}
		if !r.unique {
			so := Value{kind: KindObject, items: r.open[first:]}
			if i := seen.of(&so, name); i >= 0 {
				so.items[i].value = e
				continue
			}
		}
		r.open = append(r.open, member{name, e})
	}
	_, err := r.ReadToken()
	return Value{kind: KindObject, items: r.open.since(first)}, err
}

// atEnd reports bytes after the value.
func (r *reader) atEnd() error {
	if _, err := r.ReadToken(); err != io.EOF {
		return errors.New("there is more after the value")
	}
	return nil
}
