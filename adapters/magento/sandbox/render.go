package sandbox

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// object is a JSON object that keeps the order of its members.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := encode(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode is json.Marshal without escapes for HTML.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// marshal encodes what the shop made itself, which always can be.
func marshal(v any) json.RawMessage {
	b, err := encode(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

type format int

const (
	formatJSON format = iota
	formatXML
)

// negotiate returns the format that the Accept header asks for. A type of
// higher quality wins, then the one named first.
func negotiate(r *http.Request) (format, bool) {
	best, found, result := -1.0, false, formatJSON
	types := 0
	for _, definition := range strings.Split(r.Header.Get("Accept"), ",") {
		mediaType, parameters, _ := strings.Cut(strings.TrimSpace(definition), ";")
		mediaType = strings.TrimSpace(mediaType)
		if mediaType == "" {
			continue
		}
		types++
		quality := 1.0
		if name, value, ok := strings.Cut(strings.TrimSpace(parameters), "="); ok && name == "q" {
			if q, err := strconv.ParseFloat(value, 64); err == nil {
				quality = q
			}
		}
		if quality <= best {
			continue
		}
		switch mediaType {
		case "*/*", "application/json", "application/*":
			best, found, result = quality, true, formatJSON
		case "text/xml", "application/xml", "application/xhtml+xml", "text/*":
			best, found, result = quality, true, formatXML
		}
	}
	return result, found || types == 0
}

// write answers body in the given format.
func write(w http.ResponseWriter, f format, status int, body any) {
	if f == formatXML {
		var b strings.Builder
		b.WriteString("<?xml version=\"1.0\"?>\n<response>")
		writeXML(&b, body)
		b.WriteString("</response>\n")
		w.Header().Set("Content-Type", "application/xml; charset=utf-8")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, b.String())
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(marshal(body))
}

// writeFatal answers an error outside the API's own handling. It looks only for
// the letters xml in the Accept header.
func writeFatal(w http.ResponseWriter, r *http.Request, f *failure, developer bool) {
	if !strings.Contains(r.Header.Get("Accept"), "xml") {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		w.WriteHeader(f.status)
		_, _ = w.Write(marshal(f.body(developer)))
		return
	}
	w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
	w.WriteHeader(f.status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><error><messages><error><data_item><code>%d</code><message><![CDATA[%s]]></message></data_item></error></messages></error>`,
		f.status, strings.ReplaceAll(f.message, "]]>", "]] >"))
}

func writeXML(b *strings.Builder, v any) {
	switch v := v.(type) {
	case object:
		for _, m := range v {
			element(b, m.key, m.value)
		}
	case []any:
		for _, e := range v {
			element(b, "item", e)
		}
	case nil:
	default:
		_ = xml.EscapeText(b, []byte(fmt.Sprint(v)))
	}
}

func element(b *strings.Builder, name string, v any) {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == ':':
			return '_'
		case r == '_' || r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			return r
		}
		return -1
	}, name)
	if name == "" || strings.ContainsAny(name[:1], "0123456789.-") {
		name = "item_" + name
	}
	b.WriteString("<" + name + ">")
	writeXML(b, v)
	b.WriteString("</" + name + ">")
}

// selection is a parsed fields parameter: the members to keep, each with the
// selection inside it, or nil for all of it.
type selection map[string]selection

// parseFields reads text such as items[id,email],total_count.
func parseFields(text string) selection {
	sel, _ := parseSelection(text, 0)
	return sel
}

// maxFieldDepth bounds the nesting of a fields parameter.
const maxFieldDepth = 20

func parseSelection(text string, depth int) (selection, string) {
	sel := selection{}
	for text != "" {
		end := strings.IndexAny(text, "[],")
		if end < 0 {
			end = len(text)
		}
		name := strings.TrimSpace(text[:end])
		text = text[end:]
		var inner selection
		if strings.HasPrefix(text, "[") {
			if depth == maxFieldDepth {
				return sel, ""
			}
			inner, text = parseSelection(text[1:], depth+1)
		}
		if name != "" {
			sel[name] = inner
		}
		switch {
		case strings.HasPrefix(text, "]"):
			return sel, text[1:]
		case strings.HasPrefix(text, ","):
			text = text[1:]
		}
	}
	return sel, ""
}

// keep reduces v to the selection.
func (s selection) keep(v any) any {
	if s == nil {
		return v
	}
	switch v := v.(type) {
	case object:
		out := object{}
		for _, m := range v {
			if inner, ok := s[m.key]; ok {
				out = append(out, member{m.key, inner.keep(m.value)})
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = s.keep(e)
		}
		return out
	}
	return v
}
