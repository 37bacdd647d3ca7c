package complyt

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// statusOf returns the status that an answer means. Complyt repeats it in the
// body; there it decides where the HTTP status is a general one, 2xx or 400.
func statusOf(got *canonical.Reply, body canonical.Value) int {
	if got.Status/100 != 2 && got.Status != http.StatusBadRequest || isRecord(record(body)) {
		return got.Status
	}
	e := errorObject(body)
	for _, member := range []string{"code", "status", "statusCode"} {
		if n, err := strconv.Atoi(e.Get(member).Str()); err == nil && n >= 400 && n < 600 {
			return n
		}
	}
	return got.Status
}

// errorObject returns the error in a body: the body itself, the one in a list of
// errors, or the one under "error".
func errorObject(body canonical.Value) canonical.Value {
	if body.Kind() == canonical.KindArray && body.Len() > 0 {
		body = body.At(0)
	}
	if inner := body.Get("error"); inner.Kind() == canonical.KindObject {
		return inner
	}
	return body
}

// messages returns an error's texts, of the first member that has any.
func messages(e canonical.Value) []string {
	for _, member := range []string{"message", "messages", "detail", "error_description", "title"} {
		var texts []string
		switch v := e.Get(member); v.Kind() {
		case canonical.KindString:
			texts = append(texts, v.Str())
		case canonical.KindArray:
			for i := range v.Len() {
				texts = append(texts, v.At(i).Str())
			}
		}
		if texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" }); len(texts) > 0 {
			return texts
		}
	}
	return nil
}

// saysNotThere reports whether a 404 is Complyt's own word that there is no such
// customer. A page, an empty answer or a router's 404 is not, and must not lead
// to a write that replaces a record nobody has read.
func saysNotThere(body canonical.Value) bool {
	e := errorObject(body)
	texts := messages(e)
	return e.Kind() == canonical.KindObject && (len(texts) > 0 || e.Get("error").Str() != "") && !mapping.NoRoute(strings.Join(texts, " "))
}

// conflict begins the older text for identifiers that disagree, which comes with
// status 400: there is no 409.
const conflict = "unresolvable conflict"

// failure classifies a refusal by its status; texts are no contract and only
// tell the fields.
func (a *Adapter) failure(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply, body canonical.Value) error {
	problem, scope := challenge(got)
	e := errorObject(body)
	if e.Kind() != canonical.KindObject {
		code := canonical.CodeForPage(got)
		if scope != "" {
			code = scope
		}
		hint := hints[code]
		if hint == "" {
			hint = "the answer is not in complyt's form; something in front of it may have given it."
		}
		r := canonical.Refusal(name, sent, got, code, hint)
		r.UpstreamCode, r.RequestID = problem, requestID(got, canonical.Value{})
		return r
	}
	texts := messages(e)
	text := strings.Join(texts, "; ")
	code := codeOf(statusOf(got, body), strings.ToLower(text))
	if scope != "" {
		code = scope
	}
	var found []canonical.FieldError
	if code == canonical.UpstreamInvalid || code == canonical.UpstreamIdentityConflict {
		found = complaints(u, sent, e, texts)
		if found != nil && !slices.ContainsFunc(found, func(fe canonical.FieldError) bool { return fe.Setting == "" }) {
			code = canonical.UpstreamMisconfigured
		}
	}
	if found == nil && hints[code] != "" {
		text = strings.TrimSpace(hints[code] + " " + text)
	}
	if text == "" {
		text = "complyt does not say why."
	}
	r := canonical.Refusal(name, sent, got, code, text)
	r.Fields, r.RequestID, r.UpstreamCode = found, requestID(got, e), upstreamCode(e, texts, problem)
	return r
}

// hints are put before texts that do not say what to do.
var hints = map[canonical.Code]string{
	canonical.UpstreamUnauthenticated: "complyt refuses the access token; check credentials.client_id and credentials.client_secret.",
	canonical.UpstreamForbidden:       "the access token may not read or update customers at complyt; grant it both, or set exclusive if it may only update.",
	canonical.UpstreamMisconfigured:   "complyt does not serve this call; check base_url and settings.source.",
}

// codeOf is the code of a status. text is in lower case.
func codeOf(status int, text string) canonical.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		if strings.Contains(text, conflict) || strings.Contains(text, "complytid cannot be changed") {
			return canonical.UpstreamIdentityConflict
		}
	case http.StatusConflict: // undocumented: the key is ours, so another write of it is under way
		if strings.Contains(text, conflict) {
			return canonical.UpstreamIdentityConflict
		}
		if mapping.Busy(text) {
			return canonical.UpstreamBusy
		}
	}
	return canonical.CodeForStatus(status)
}

var bearerError = regexp.MustCompile(`(?i)\bbearer\b.*\berror\s*=\s*"?([a-z_]+)`)

// challenge reads the error of a WWW-Authenticate header (RFC 6750 §3.1), which
// with an empty body is all that a 401 or 403 says, and its code.
func challenge(got *canonical.Reply) (problem string, code canonical.Code) {
	if got.Status != http.StatusUnauthorized && got.Status != http.StatusForbidden {
		return "", ""
	}
	m := bearerError.FindStringSubmatch(strings.Join(got.Header.Values("WWW-Authenticate"), ", "))
	if m == nil {
		return "", ""
	}
	switch problem = canonical.Token(strings.ToLower(m[1])); problem {
	case "invalid_token":
		return problem, canonical.UpstreamUnauthenticated
	case "insufficient_scope":
		return problem, canonical.UpstreamForbidden
	}
	return problem, ""
}

// requestID returns the id under which Complyt can find the call.
func requestID(got *canonical.Reply, e canonical.Value) string {
	for _, id := range []string{e.Get("requestId").Str(), e.Get("request_id").Str(), e.Get("traceId").Str(),
		got.Header.Get("X-Request-Id"), got.Header.Get("X-Correlation-Id")} {
		if id = canonical.Token(id); id != "" {
			return id
		}
	}
	return ""
}

var platformCode = regexp.MustCompile(`\bERR-[A-Z]+-\d+\b`)

// upstreamCode returns Complyt's own code: of the address side (ERR-ADDR-001),
// in a member, or of the challenge.
func upstreamCode(e canonical.Value, texts []string, problem string) string {
	if code := platformCode.FindString(strings.Join(texts, " ")); code != "" {
		return canonical.Token(code)
	}
	for _, member := range []string{"errorCode", "code"} {
		v := e.Get(member)
		if _, err := strconv.Atoi(v.Str()); v.Kind() == canonical.KindString && err != nil && v.Str() != "" {
			return canonical.Token(v.Str())
		}
	}
	return problem
}

// The bounds of what is read of an answer.
const (
	maxText       = 8 << 10
	maxComplaints = 100
)

// unparsed begins the text about a time that Complyt cannot read; the field's
// name follows.
const unparsed = "Error parsing field:"

// complaints returns what the answer says about fields that the caller or the
// configuration states.
func complaints(u canonical.Upsert, sent *canonical.Request, e canonical.Value, texts []string) []canonical.FieldError {
	var entries []mapping.Said
	for _, member := range []string{"errors", "fieldErrors", "violations", "details"} { // as its framework lists them
		entries = append(entries, mapping.Complaints(e.Get(member))...)
	}
	for _, text := range texts {
		for _, entry := range splitList(text[:min(len(text), maxText)]) {
			entries = append(entries, mapping.Said{Text: entry})
		}
	}
	table := tableFor(u.Customer)
	var found []canonical.FieldError
	for _, entry := range entries {
		for _, field := range fieldsOf(table, entry) {
			fe := table.Complaint(u, sent, pathOf(field), entry.Text)
			fe.Field = canonical.CleanText(field)
			if fe.Code == canonical.FieldOther && (platformCode.MatchString(entry.Text) || strings.Contains(entry.Text, unparsed)) {
				fe.Code = canonical.FieldInvalid
			}
			if mapping.Located(fe) && len(found) < maxComplaints && !slices.ContainsFunc(found, func(o canonical.FieldError) bool {
				return o.Pointer == fe.Pointer && o.Setting == fe.Setting && o.Message == fe.Message
			}) {
				found = append(found, fe)
			}
		}
	}
	return found
}

// fieldsOf returns the fields that an entry is about, in Complyt's spelling: the
// named one, the one that the text begins with, else all that it mentions. It
// may return what is no field.
func fieldsOf(table *mapping.Table, said mapping.Said) []string {
	if said.Field != "" {
		return []string{said.Field}
	}
	text := said.Text
	if _, rest, ok := strings.Cut(text, unparsed); ok {
		text = rest
	}
	if field := leading(text); field != "" {
		return []string{field}
	}
	if mentioned := table.Mentioned(text); len(mentioned) > 0 {
		return mentioned
	}
	if platformCode.MatchString(text) {
		return []string{"address"}
	}
	word, _, _ := strings.Cut(strings.TrimSpace(text), " ") // a name from providerData, perhaps
	return []string{strings.Trim(word, "'\"`:.,")}
}

// splitList splits a printed list, "[m1, m2]", into its messages. Messages may
// hold commas themselves, so a message only ends where the next one begins with
// the name of a field.
func splitList(text string) []string {
	text = strings.TrimSpace(text)
	inner, ok := strings.CutPrefix(text, "[")
	if !ok {
		return []string{text}
	}
	inner = strings.TrimSuffix(inner, "]")
	var entries []string
	start := 0
	for i := 0; i < len(inner); i++ {
		if inner[i] == ',' && i > start && leading(inner[i+1:]) != "" {
			entries = append(entries, strings.TrimSpace(inner[start:i]))
			start = i + 1
		}
	}
	return append(entries, strings.TrimSpace(inner[start:]))
}

// spelling is one way to write a field in a message, and the field's path.
type spelling struct{ text, path string }

// spellings are all of the table's, longest first.
var spellings = func() []spelling {
	var all []spelling
	for _, f := range fields.Fields() {
		all = append(all, spelling{f.To, f.To})
		for _, alias := range f.Aliases {
			all = append(all, spelling{alias, f.To})
		}
	}
	slices.SortStableFunc(all, func(a, b spelling) int { return len(b.text) - len(a.text) })
	return all
}()

// leading returns the field that the text begins with, as it is written there.
func leading(text string) string {
	text = strings.TrimLeft(text, " '\"`")
	for _, s := range spellings {
		if len(text) < len(s.text) || !strings.EqualFold(text[:len(s.text)], s.text) {
			continue
		}
		if r, _ := utf8.DecodeRuneInString(text[len(s.text):]); !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' {
			return text[:len(s.text)]
		}
	}
	return ""
}

// pathOf returns the path of a field in any spelling, else the field itself.
func pathOf(field string) string {
	for _, s := range spellings {
		if strings.EqualFold(s.text, field) {
			return s.path
		}
	}
	return field
}
