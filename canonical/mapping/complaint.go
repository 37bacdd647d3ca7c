package mapping

import (
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

// maxMessage is how much of a message is searched.
const maxMessage = 4000

// Mentioned returns the fields of the table that stand in a message as whole
// words, each once, in the order in which they stand there; one that is part of
// a longer spelling at the same place is left out.
func (t *Table) Mentioned(message string) []string {
	message = message[:min(len(message), maxMessage)]
	var found []string
	for i := 0; i < len(message); {
		if i > 0 && isWord(message[i-1]) {
			i++
			continue
		}
		name := ""
		for _, s := range t.spellings {
			if s != "" && strings.HasPrefix(message[i:], s) && (i+len(s) == len(message) || !isWord(message[i+len(s)])) {
				name = s
				break
			}
		}
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

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))
}

// hints are word stems of messages, first match wins.
var hints = []struct {
	code  canonical.FieldCode
	stems []string
}{
	{canonical.FieldDuplicate, []string{"already", "exists in", "duplicate", "is taken", "not unique", "must be unique", "in use"}},
	{canonical.FieldTooLong, []string{"too long", "too large", "at most", "maximum", "longer than", "cannot contain more", "exceed", "no more than", "less than or equal"}},
	{canonical.FieldRequired, []string{"required", "missing", "may not be null", "may not be blank", "must not be null", "must not be blank", "cannot be null", "cannot be blank", "not be empty", "cannot be empty", "no value"}},
	{canonical.FieldUnknown, []string{"is not supported", "unknown field", "unexpected", "additional propert", "unrecognized", "not defined", "does not exist in the schema"}},
	{canonical.FieldUnsupported, []string{"not allowed", "unsupported", "one of", "not enabled", "not in range", "in range", "enum"}},
	{canonical.FieldInvalid, []string{"invalid", "not valid", "illegal", "malformed", "format", "must", "should", "does not match", "does not contain", "wrong", "incorrect", "cannot", "expected", "not a "}},
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
