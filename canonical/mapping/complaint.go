package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"customer-gateway/canonical"
)

// Complaint turns a provider's message about one of its fields into a
// FieldError that points at what the caller sent.
func (t *Table) Complaint(u canonical.Upsert, sent *canonical.Request, field, message string) canonical.FieldError {
	fe := t.Locate(u, sent, field)
	fe.Code = CodeOf(message)
	fe.Message = canonical.CleanText(message)
	if fe.Message == "" {
		fe.Message = "the provider refused this field"
	}
	return fe
}

// Errors turns complaints into field errors that point at what the caller sent.
// Where the named field is not known, the fields that the text mentions count;
// without any, the field error has neither pointer nor setting. What is said
// twice is there once.
func (t *Table) Errors(u canonical.Upsert, sent *canonical.Request, said []Said) []canonical.FieldError {
	var found []canonical.FieldError
	for _, s := range said {
		fe := t.Complaint(u, sent, s.Field, s.Text)
		if mentioned := t.Mentioned(s.Text); !Located(fe) && len(mentioned) > 0 {
			before := len(found)
			for _, field := range mentioned {
				fe := t.Complaint(u, sent, field, s.Text)
				if s.Field != "" {
					fe.Field = canonical.CleanText(s.Field)
				}
				sameField := func(o canonical.FieldError) bool { return o.Pointer == fe.Pointer && o.Setting == fe.Setting }
				if !slices.ContainsFunc(found[before:], sameField) && !slices.Contains(found, fe) { // it may have two names
					found = append(found, fe)
				}
			}
		} else if !slices.Contains(found, fe) {
			found = append(found, fe)
		}
	}
	return found
}

// Located reports whether a field error leads anywhere: to something that the
// caller or the operator states.
func Located(fe canonical.FieldError) bool { return fe.Pointer != "" || fe.Setting != "" }

// maxMessage is how much of a message is searched.
const maxMessage = 4000

// Mentioned returns the fields of the table that stand in a message as whole
// words, in any case, each once, in the order in which they stand there; one
// that is part of a longer spelling at the same place is left out.
func (t *Table) Mentioned(message string) []string {
	message = message[:min(len(message), maxMessage)]
	var found []string
	for i := 0; i < len(message); {
		if i > 0 && isWord(message[i-1]) {
			i++
			continue
		}
		name := t.spelledAt(message[i:])
		if name == "" {
			i++
			continue
		}
		if !slices.Contains(found, name) {
			found = append(found, name)
		}
		i += len(name)
	}
	return found
}

// spelledAt returns the longest spelling of a field with which text begins, as
// text writes it where a field is spelled so.
func (t *Table) spelledAt(text string) string {
	name := ""
	for _, s := range t.spellings {
		end := len(s)
		switch {
		case s == "" || end > len(text) || end < len(text) && isWord(text[end]):
		case name != "" && end < len(name):
			return name
		case text[:end] == s:
			return s
		case name == "" && strings.EqualFold(text[:end], s):
			name = s
		}
	}
	return name
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))
}

// hints are word stems of messages, first match wins.
var hints = []struct {
	code  canonical.FieldCode
	stems []string
}{
	{canonical.FieldInvalid, []string{"must be longer than", "should be longer than"}}, // too short
	{canonical.FieldDuplicate, []string{"already", "exists in", "duplicate", "is taken", "not unique", "must be unique", "in use"}},
	{canonical.FieldTooLong, []string{"too long", "too large", "at most", "maximum", "longer than", "shorter than", "cannot contain more", "exceed", "no more than", "or less", "less than or equal"}},
	{canonical.FieldRequired, []string{"required", "missing", "not be null", "be null", "not be blank", "be blank", "not be empty", "cannot be empty", "no value"}},
	{canonical.FieldUnknown, []string{"is not supported", "unknown field", "is unknown", "unexpected", "not expected", "additional propert", "unrecognized", "not defined", "should not exist", "must not exist", "does not exist in the schema"}},
	{canonical.FieldUnsupported, []string{"not allowed", "unsupported", "one of", "not enabled", "not in range", "in range", "enum"}},
	{canonical.FieldInvalid, []string{"invalid", "not valid", "illegal", "malformed", "format", "must", "should", "does not match", "does not contain", "does not exist", "not found", "wrong", "incorrect", "cannot", "expected", "not a "}},
}

// CodeOf guesses from a provider's English message what is wrong with a field.
func CodeOf(message string) canonical.FieldCode {
	message = strings.ToLower(message[:min(len(message), maxMessage)])
	for _, h := range hints {
		for _, stem := range h.stems {
			if hasWord(message, stem) {
				return h.code
			}
		}
	}
	return canonical.FieldOther
}

// hasWord reports whether stem begins a word of message.
func hasWord(message, stem string) bool {
	for at := 0; ; at++ {
		i := strings.Index(message[at:], stem)
		if i < 0 {
			return false
		}
		if at += i; at == 0 || !isWord(message[at-1]) {
			return true
		}
	}
}

// humps are where a name in camel case has its next word.
var humps = regexp.MustCompile(`([a-z])([A-Z])`)

// Busy reports whether the text or code of a conflict speaks of another action
// that is under way on the same record, rather than of a value that another
// record has.
func Busy(text string) bool {
	text = humps.ReplaceAllString(text[:min(len(text), maxMessage)], "$1 $2")
	text = strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(text))
	says := func(stem string) bool { return hasWord(text, stem) }
	if slices.ContainsFunc([]string{"concurren", "simultaneous", "in progress", "being processed", "being updated", "being modified", "lock", "busy", "optimistic", "stale"}, says) {
		return true
	}
	taken := CodeOf(text) == canonical.FieldDuplicate || says("exist")
	return !taken && slices.ContainsFunc([]string{"try again", "retry", "later"}, says)
}

var noRoute = regexp.MustCompile(`(?i)\bno (static resource|handler|route|endpoint|mapping|matching|path)\b|\broute not (found|resolved)|\bcannot (get|put|post) /|\bno such (path|route|endpoint)|\bapi not found|\bunknown (path|route|endpoint)`)

// NoRoute reports whether the text of a 404 is of a server that has no such
// path, as against one that has no such record.
func NoRoute(text string) bool { return noRoute.MatchString(text) }

// Said is one complaint in a provider's answer: the field it is about, in the
// provider's spelling, and what it says. Field is empty where only the text can
// tell it.
type Said struct{ Field, Text string }

// maxSaid bounds how many complaints of one answer are read, and maxNested how
// deep they stand.
const (
	maxSaid   = 100
	maxNested = 6
)

// The members by which servers name the field of a complaint, and what is wrong
// with it; the first that is there counts.
var (
	fieldNames = []string{"field", "fieldName", "field_name", "path", "propertyPath", "instancePath", "dataPath", "property", "param", "parameter", "pointer", "loc", "attribute", "name", "key"}
	textNames  = []string{"message", "messages", "defaultMessage", "errorMessage", "error_message", "msg", "detail", "description", "reason", "constraints", "error", "errors", "title"}
)

// Complaints reads the complaints in v, in the forms in which servers state
// them: a text, an object with a field and a message, an object by field, a list
// of any of these, and these in each other.
func Complaints(v canonical.Value) []Said {
	var said []Said
	collect(&said, v, "", "", 0)
	return said
}

// collect reads v, which is about field; at is its position in a list, or "".
func collect(said *[]Said, v canonical.Value, field, at string, depth int) {
	if depth > maxNested || len(*said) >= maxSaid {
		return
	}
	switch v.Kind() {
	case canonical.KindString:
		*said = append(*said, Said{field, v.Str()})
	case canonical.KindArray:
		for i := range v.Len() {
			collect(said, v.At(i), field, fmt.Sprint(i), depth+1)
		}
	case canonical.KindObject:
		own, text := ownField(v), v.Get(firstOf(v, textNames))
		switch {
		case own != "" && (at != "" || !text.IsZero()):
			collectText(said, v, within(field, own), text, depth)
		case !text.IsZero() && (field != "" || at != ""):
			collectText(said, v, field, text, depth)
		default:
			for i := range v.Len() {
				name := v.NameAt(i)
				if slices.Contains(textNames, name) {
					collect(said, v.At(i), field, "", depth+1)
				} else {
					collect(said, v.At(i), within(within(field, positionIn(field, at)), name), "", depth+1)
				}
			}
		}
	}
}

// collectText reads what an object says about field: its text, else its code,
// else only that there is something.
func collectText(said *[]Said, v canonical.Value, field string, text canonical.Value, depth int) {
	before := len(*said)
	if text.Kind() == canonical.KindObject && ownField(text) == "" && firstOf(text, textNames) == "" {
		for i := range text.Len() { // texts by rule: {"isEmail": "must be an email"}
			collect(said, text.At(i), field, "", depth+1)
		}
	} else {
		collect(said, text, field, "", depth+1)
	}
	if len(*said) == before && len(*said) < maxSaid {
		*said = append(*said, Said{field, v.Get(firstOf(v, []string{"code", "errorCode", "type", "rule", "value"})).Str()})
	}
}

// ownField returns the field that an object names, or "".
func ownField(v canonical.Value) string {
	f := v.Get(firstOf(v, fieldNames))
	if source := v.Get("source"); f.IsZero() {
		f = source.Get(firstOf(source, fieldNames))
	}
	if f.Kind() == canonical.KindArray { // ["emails", 0, "value"]
		var steps []string
		for i := range f.Len() {
			steps = append(steps, f.At(i).Str())
		}
		return strings.Join(steps, ".")
	}
	if f.Kind() != canonical.KindString {
		return ""
	}
	return f.Str()
}

// firstOf returns the first of the names that v has with a value that is not
// null, or "".
func firstOf(v canonical.Value, names []string) string {
	for _, name := range names {
		if m := v.Get(name); !m.IsZero() && m.Kind() != canonical.KindNull {
			return name
		}
	}
	return ""
}

// within writes the path of a member of a field; some servers repeat the field
// in the member's name.
func within(field, member string) string {
	switch {
	case field == "" || member == field || strings.HasPrefix(member, field+"."):
		return member
	case member == "":
		return field
	}
	return field + "." + member
}

// positionIn returns the position in the list that a field is.
func positionIn(field, at string) string {
	if field == "" {
		return ""
	}
	return at
}
