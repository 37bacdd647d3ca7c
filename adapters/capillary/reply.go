package capillary

import (
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// issue is an error or a warning. Its status is false in either case and says
// nothing.
type issue struct{ code, message string }

// issues reads errors or warnings: a list, one object, a text, or any of them
// inside another object; null, [] and [{}] are none.
func issues(v canonical.Value) []issue {
	var found []issue
	switch v.Kind() {
	case canonical.KindString:
		if strings.TrimSpace(v.Str()) != "" {
			found = append(found, issue{message: v.Str()})
		}
	case canonical.KindArray:
		for i := range v.Len() {
			found = append(found, issues(v.At(i))...)
		}
	case canonical.KindObject:
		is := issue{codeOf(first(v, "code", "errorCode", "statusCode")), first(v, "message", "errorMessage", "description").Str()}
		if is.code != "" || is.message != "" {
			return append(found, is)
		}
		for i := range v.Len() {
			if inner := v.At(i); inner.Kind() == canonical.KindArray || inner.Kind() == canonical.KindObject {
				found = append(found, issues(inner)...)
			}
		}
	}
	return found
}

// first returns the first of the members that is there and not null.
func first(v canonical.Value, names ...string) canonical.Value {
	for _, name := range names {
		if m := v.Get(name); !m.IsZero() && m.Kind() != canonical.KindNull {
			return m
		}
	}
	return canonical.Value{}
}

// codeOf reads a code that is a number or a text; 0 is none.
func codeOf(v canonical.Value) string {
	code := canonical.Token(strings.TrimSuffix(strings.TrimSpace(v.Str()), ".0"))
	if v.Kind() == canonical.KindBool || code == "0" {
		return ""
	}
	return code
}

// answer is a reply, read.
type answer struct {
	known  bool              // it is JSON, or names a code
	rows   []canonical.Value // one for each customer
	issues []issue           // about the whole call
	echoes []echo            // by row, if there is one for each customer
	failed bool              // it counts failures
}

// about compares the rows with the customers that were sent. Their order is not
// documented and they have no other correlation than what they repeat.
func (a answer) about(customers []sentCustomer, sent *canonical.Request) answer {
	if len(a.rows) != len(customers) {
		return a
	}
	a.echoes = make([]echo, len(a.rows))
	if !slices.ContainsFunc(a.rows, func(row canonical.Value) bool { return row.Get("result").Has("profiles") }) {
		return a
	}
	body, _ := canonical.ParseLenient(sent.Body)
	for i, row := range a.rows {
		keys := elem(elem(body, i).Get("profiles"), 0).Get("identifiers")
		a.echoes[i] = compare(keys, row.Get("result", "profiles"))
	}
	return a
}

// isOf reports whether the i-th row can be taken for that of the i-th customer:
// it repeats one of its identifiers, or it repeats none and no other row shows
// that the order is another one.
func (a answer) isOf(i int) bool {
	return a.echoes[i] == echoSame || !slices.Contains(a.echoes, echoOther)
}

// codeBatchLimit says that a call has too many customers.
const codeBatchLimit = "1060"

// undecided reports whether a refusal of many customers leaves open what becomes
// of each alone: it may be about one of them, or about their number, or the rows
// cannot be told apart and a repeat is harmless.
func (a answer) undecided(sent *canonical.Request, got *canonical.Reply, e *canonical.Error) bool {
	switch {
	case a.echoes != nil:
		return got.Status/100 == 2 && e.Code == canonical.UpstreamOutcomeUnknown && sent.Repeatable
	case len(a.rows) > 0 && got.Status/100 == 2 && e.Code == canonical.UpstreamInvalidResponse:
		return sent.Repeatable
	case e.Code == canonical.UpstreamUnclassified:
		return got.Status/100 == 4
	}
	return e.UpstreamCode == codeBatchLimit || e.Code.Info().Acts == canonical.ActsCaller
}

// read reads every generation of answers: rows, the v2 errors, the v1.1 status
// with its texts for codes, XML, and what only looks like JSON.
func read(got *canonical.Reply) answer {
	body, ok := got.JSON()
	if !ok {
		list := scrape(got)
		return answer{known: len(list) > 0, issues: list}
	}
	if inner := body.Get("data"); inner.Has("response") {
		body = inner
	}
	response := body.Get("response")
	switch {
	case body.Kind() == canonical.KindArray && isRow(elem(body, 0)):
		return answer{known: true, rows: elements(body)}
	case body.Kind() == canonical.KindArray:
		return answer{known: true, issues: issues(body)}
	case isRow(body):
		return answer{known: true, rows: []canonical.Value{body}}
	}
	serious, _ := judge(issues(body.Get("warnings")))
	list := append(issues(body.Get("errors")), serious...)
	failed := isID(body.Get("failureCount").Str())
	switch {
	case response.Kind() == canonical.KindArray && response.Len() > 0:
		return answer{known: true, rows: elements(response), issues: list, failed: failed}
	case isRow(response):
		return answer{known: true, rows: []canonical.Value{response}, issues: list, failed: failed}
	}
	list = slices.Concat(list, issues(body.Get("error")), issues(response.Get("errors")))
	for _, is := range oldIssues(body) {
		if is.code != "" || got.Status >= 400 { // a message alone may be a greeting
			list = append(list, is)
		}
	}
	return answer{known: true, issues: list}
}

// elem returns the i-th element of an array, or Absent.
func elem(v canonical.Value, i int) canonical.Value {
	if v.Kind() != canonical.KindArray || i >= v.Len() {
		return canonical.Value{}
	}
	return v.At(i)
}

func elements(v canonical.Value) []canonical.Value {
	list := make([]canonical.Value, v.Len())
	for i := range list {
		list[i] = v.At(i)
	}
	return list
}

// isRow reports whether an object outside of a list is the row of a customer.
func isRow(v canonical.Value) bool {
	return v.Kind() == canonical.KindObject && (v.Has("entityId") || v.Has("createdId") || v.Has("result"))
}

// oldIssues reads the v1.1 shape, in which success says nothing: the status of
// the one customer, if it is there, else that of the call.
func oldIssues(body canonical.Value) []issue {
	response := body.Get("response")
	customer := response.Get("customers", "customer")
	if customer.Kind() == canonical.KindArray {
		customer = elem(customer, 0)
	}
	for _, v := range []canonical.Value{customer.Get("item_status"), response.Get("status"), response, body.Get("status"), body} {
		is := issue{codeOf(v.Get("code")), v.Get("message").Str()}
		if is.code != "" || is.message != "" {
			return []issue{is}
		}
	}
	return nil
}

var (
	tagCode     = regexp.MustCompile(`(?i)<(?:\w+:)?code>\s*(?:<!\[CDATA\[)?\s*(\d{2,7})\b`)
	tagMessage  = regexp.MustCompile(`(?is)<(?:\w+:)?message>\s*(?:<!\[CDATA\[)?(.{0,500}?)(?:\]\]>)?\s*</`)
	likeCode    = regexp.MustCompile(`["“”]code["“”]\s*:\s*["“”]?(\d{2,7})\b`)
	likeMessage = regexp.MustCompile(`["“”]message["“”]\s*:\s*["“”]([^"“”]{0,500})["“”]`)
)

// scrape finds code and message in XML, and in a refusal that is almost JSON, as
// even published samples are.
func scrape(got *canonical.Reply) []issue {
	text := string(got.Body[:min(len(got.Body), 64<<10)])
	head := strings.ToLower(strings.TrimSpace(text[:min(len(text), 256)]))
	code, message := tagCode, tagMessage
	switch {
	case strings.HasPrefix(head, "<!doctype html"), strings.HasPrefix(head, "<html"):
		return nil
	case strings.HasPrefix(head, "<"):
	case got.Status >= 400:
		code, message = likeCode, likeMessage
	default: // half an answer proves nothing
		return nil
	}
	found := code.FindStringSubmatch(text)
	if found == nil {
		return nil
	}
	is := issue{code: found[1]}
	if found = message.FindStringSubmatch(text); found != nil {
		is.message = html.UnescapeString(found[1])
	}
	return []issue{is}
}

// verdict says what the answer means for the customer, which was sent as the
// i-th.
func (c sentCustomer) verdict(got *canonical.Reply, a answer, i int) (canonical.Outcome, error) {
	switch {
	case a.echoes != nil && got.Status != http.StatusTooManyRequests:
		return c.rowVerdict(got, a, i)
	case len(a.issues) > 0 || got.Status/100 != 2:
		list := slices.Clone(a.issues)
		for _, row := range a.rows { // fewer or more than were sent
			list = append(list, issues(row.Get("errors"))...)
		}
		return canonical.Outcome{}, c.refusal(got, a.known, list)
	case len(a.rows) > 0:
		return canonical.Outcome{}, c.fail(got, canonical.UpstreamInvalidResponse, "the answer has not one row for each customer that was sent")
	case !a.known:
		return canonical.Outcome{}, c.fail(got, canonical.CodeForPage(got), "the answer is not JSON; check base_url")
	}
	return canonical.Outcome{}, c.fail(got, canonical.UpstreamInvalidResponse, "the answer has no row for the customer; check base_url")
}

// rowVerdict reads the customer's row. failureCount and the codes alone decide
// nothing: the same number is an error, a warning and a success.
func (c sentCustomer) rowVerdict(got *canonical.Reply, a answer, i int) (canonical.Outcome, error) {
	row, alone := a.rows[i], len(a.rows) == 1
	errs := slices.Concat(issues(row.Get("errors")), issues(row.Get("error")), a.issues)
	if !isRow(row) && len(errs) == 0 { // the row may be the error itself
		errs = issues(row)
	}
	serious, benign := judge(issues(row.Get("warnings")))
	bad := append(errs, serious...)
	out := canonical.Outcome{RemoteID: entityID(row), Notices: notices(benign)}
	switch {
	case !a.isOf(i) && !(alone && len(bad) > 0): // a lone complaint is about the lone customer
		return canonical.Outcome{}, c.fail(got, canonical.UpstreamOutcomeUnknown, "the row names other identifiers than were sent")
	case len(bad) > 0:
		e := c.refusal(got, true, bad)
		if out.RemoteID != "" && got.Status < 500 && e.Code != canonical.UpstreamBusy {
			e.Code = canonical.UpstreamPartiallyApplied
			e.Message = canonical.CleanText("the customer is saved, but not all of it: " + messages(bad))
		}
		return out, e
	case got.Status/100 != 2:
		return out, c.refusal(got, true, nil)
	case out.RemoteID == "":
		return out, c.fail(got, canonical.UpstreamInvalidResponse, "the row names no entityId")
	}
	if alone && (a.failed || isID(got.Header.Get("fail"))) {
		out.Notices = append(out.Notices, canonical.Notice{Code: canonical.NoticeProvider,
			Message: strings.TrimSpace("capillary counts a failure that the customer's row does not show " + canonical.Token(got.Header.Get("status_code")))})
	}
	return out, nil // added and updated look the same
}

// entityID returns the id of the customer that a row is about, or "".
func entityID(row canonical.Value) string {
	for _, v := range []canonical.Value{row.Get("entityId"), row.Get("createdId"), row.Get("result", "id")} {
		if id := strings.TrimSuffix(v.Str(), ".0"); isID(id) {
			return strings.Clone(id)
		}
	}
	return ""
}

// isID reports whether s is a whole number above 0 that fits into 64 bits.
func isID(s string) bool {
	return s != "" && len(s) <= 18 && strings.Trim(s, "0123456789") == "" && strings.Trim(s, "0") != ""
}

// echo is what a row repeats of a customer's identifiers.
type echo uint8

const (
	echoNone  echo = iota // nothing that could be compared
	echoSame              // at least one
	echoOther             // of the types that both have, only other ones
)

// compare compares the identifiers that were sent with those of a row's profiles.
func compare(keys, profiles canonical.Value) echo {
	found := echoNone
	for i := range profiles.Len() {
		for _, list := range []string{"identifiers", "identifiersAll", "commChannels"} {
			echoed := profiles.At(i).Get(list)
			for j := range echoed.Len() {
				for k := range keys.Len() {
					kind := keys.At(k).Get("type").Str()
					if kind != echoed.At(j).Get("type").Str() {
						continue
					}
					if sameKey(kind, keys.At(k).Get("value").Str(), echoed.At(j).Get("value").Str()) {
						return echoSame
					}
					found = echoOther
				}
			}
		}
	}
	return found
}

// sameKey compares two values of an identifier. An organization may put its
// country code before a mobile number.
func sameKey(kind, sent, got string) bool {
	if kind == "mobile" {
		sent, got = digits(sent), digits(got)
		return sent != "" && strings.HasSuffix(got, sent) || len(got) > 6 && strings.HasSuffix(sent, got)
	}
	return strings.EqualFold(strings.TrimSpace(sent), strings.TrimSpace(got))
}

// judge parts warnings in those that say that something was not stored, or that
// nothing was done, and the others.
func judge(warnings []issue) (bad, benign []issue) {
	for _, w := range warnings {
		if slices.Contains(seriousWarnings, w.code) {
			bad = append(bad, w)
		} else {
			benign = append(benign, w)
		}
	}
	return bad, benign
}

func notices(warnings []issue) []canonical.Notice {
	var list []canonical.Notice
	for _, w := range warnings {
		list = append(list, canonical.Notice{Code: canonical.NoticeProvider, Message: strings.TrimSpace("capillary warns: " + canonical.CleanText(w.message) + " " + w.code)})
	}
	return list
}

// refusal is the error of issues that kept the customer from being saved, or a
// part of it.
func (c sentCustomer) refusal(got *canonical.Reply, known bool, list []issue) *canonical.Error {
	code, decisive := classify(got, list)
	if len(list) == 0 && !known {
		code = statusCode(got, canonical.CodeForPage(got))
	}
	e := c.fail(got, code, messages(list))
	e.UpstreamCode = decisive.code
	switch code {
	case canonical.UpstreamUnclassified:
		e.Fields = c.complaints(code, list)
		if slices.ContainsFunc(e.Fields, func(f canonical.FieldError) bool { return f.Pointer != "" && f.Code != canonical.FieldOther }) {
			e.Code = canonical.UpstreamInvalid // it says what is wrong with what
		}
	case canonical.UpstreamInvalid, canonical.UpstreamDuplicate, canonical.UpstreamIdentityConflict, canonical.UpstreamNotFound, canonical.UpstreamMisconfigured:
		e.Fields = c.complaints(code, list)
	}
	return e
}

func (c sentCustomer) fail(got *canonical.Reply, code canonical.Code, message string) *canonical.Error {
	e := canonical.Refusal(name, c.sent, got, code, message)
	e.RequestID = requestID(got)
	return e
}

func messages(list []issue) string {
	var texts []string
	for _, is := range list {
		if is.message != "" && !slices.Contains(texts, is.message) {
			texts = append(texts, is.message)
		}
	}
	return strings.Join(texts, "; ")
}

// requestID is in one of two spellings.
func requestID(got *canonical.Reply) string {
	for _, header := range []string{"X-CAP-REQUEST-ID", "X-Cap-RequestID"} {
		if id := canonical.Token(got.Header.Get(header)); id != "" {
			return id
		}
	}
	return ""
}

// complaints points each issue at what the caller sent: by the fields that its
// code is about, else by those that its message names.
func (c sentCustomer) complaints(code canonical.Code, list []issue) []canonical.FieldError {
	var found []canonical.FieldError
	for _, is := range list {
		names := strings.Fields(codes[is.code].fields)
		mentioned := c.table.Mentioned(strings.ReplaceAll(is.message, "[Source:", "[")) // a JSON parser's source is none of ours
		i := slices.IndexFunc(names, func(name string) bool {
			return c.isSent(name) && slices.ContainsFunc(mentioned, func(m string) bool { return rowOf(m) == rowOf(name) })
		})
		if i < 0 {
			i = slices.IndexFunc(names, c.isSent)
		}
		switch {
		case i >= 0:
			names = names[i : i+1]
		case len(names) > 0:
			names = names[:1]
		case code == canonical.UpstreamIdentityConflict:
			names = c.conflicting(mentioned)
		default:
			names = mentioned
		}
		for _, name := range names {
			fe := c.complaint(name, is.message)
			if code == canonical.UpstreamIdentityConflict && fe.Code == canonical.FieldOther {
				fe.Code = canonical.FieldDuplicate
			}
			if (fe.Pointer != "" || fe.Setting != "") && !slices.Contains(found, fe) {
				found = append(found, fe)
			}
		}
	}
	return found
}

// conflicting returns those of the mentioned fields that are the caller's, or all
// identifiers that were sent: any of them may be the other record's.
func (c sentCustomer) conflicting(mentioned []string) []string {
	names := slices.DeleteFunc(mentioned, func(name string) bool { return spelled[name] == nil || spelled[name].From == "" })
	if len(names) > 0 {
		return names
	}
	return slices.DeleteFunc([]string{"externalId", "mobile", "email", "cardnumber", "statedIdentifier"}, func(name string) bool { return !c.isSent(name) })
}

// complaint is about the field, or about a setting that stands in for it.
func (c sentCustomer) complaint(field, message string) canonical.FieldError {
	fe := c.table.Complaint(c.u, c.sent, field, message)
	fe.Field = rowOf(field)
	switch setting := c.config.standIn(field); {
	case strings.HasPrefix(field, "settings."):
		fe.Field, fe.Setting = "", field
	case c.isSent(field):
		if pointer := c.quoted(fe.Field, message); pointer != "" {
			fe.Pointer = pointer
		}
	case setting != "":
		fe.Pointer, fe.Setting = "", setting
	default: // it may have been stated as a further identifier
		for i, id := range c.u.Customer.Identifiers.Value() {
			if keyKind(id.Type.Value()) == field {
				fe.Pointer = c.u.Customer.Pointer(canonical.Path("/identifiers/*/value"), i)
			}
		}
	}
	return fe
}

// quoted returns the pointer of that e-mail address or telephone number of the
// row which the message repeats, or "".
func (c sentCustomer) quoted(to, message string) string {
	for _, l := range c.sent.Links {
		value := ""
		switch {
		case l.To != to || l.Data != "":
		case l.From == canonical.Path("/emails/*/value"):
			value = c.u.Customer.Emails.Value()[l.FromIndex].Value.Value()
		case l.From == canonical.Path("/phoneNumbers/*/value"):
			value = digits(c.u.Customer.PhoneNumbers.Value()[l.FromIndex].Value.Value())
		}
		if value != "" && strings.Contains(message, value) {
			return l.Pointer(c.u.Customer)
		}
	}
	return ""
}

// isSent reports whether the customer's own value is in the row of the field.
func (c sentCustomer) isSent(field string) bool {
	to := rowOf(field)
	return slices.ContainsFunc(c.sent.Links, func(l canonical.Link) bool { return l.To == to })
}

// rowOf returns the path of the row that a field's spelling means.
func rowOf(field string) string {
	if row := spelled[field]; row != nil {
		return row.To
	}
	return field
}

// spelled finds the rows by their aliases.
var spelled = func() map[string]*mapping.Field {
	m := map[string]*mapping.Field{}
	for i := range fields {
		for _, alias := range fields[i].Aliases {
			m[alias] = &fields[i]
		}
	}
	return m
}()

// standIn returns the setting whose value was sent because the customer states
// none, or "".
func (c *Config) standIn(field string) string {
	switch {
	case field == "statusLabel" && c.StatusLabel != "":
		return "settings.status_label"
	case field == "cardStatusLabel" && c.CardStatusLabel != "":
		return "settings.card_status_label"
	}
	return ""
}
