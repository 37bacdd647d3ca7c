package magento

import (
	"bytes"
	"encoding/xml"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"customer-gateway/canonical"
)

// refusal is what an answer says went wrong, whatever shape it came in:
// Magento's JSON or XML (Framework/Webapi/ErrorProcessor.php), the list of
// messages of its error handler, a text or a page.
type refusal struct {
	faults []fault
	// page says that the answer is not one of the web API: a page of HTML, a
	// text, nothing.
	page   bool
	code   string // Magento's own code, rarely there
	report string // the number under which the shop's log has the cause
}

// fault is one message with its parameters.
type fault struct {
	message    string // filled in
	parameters canonical.Value
}

// What is read of one answer at most, so that no answer grows when it is filled
// in: faults, and bytes of a message and of a parameter.
const (
	maxFaults    = 50
	maxTemplate  = 4 << 10
	maxParameter = 1 << 10
)

// readRefusal reads an answer.
func readRefusal(got *canonical.Reply) refusal {
	body, ok := got.JSON()
	if !ok && !got.IsHTML() {
		body, ok = parseXML(got.Body)
	}
	var r refusal
	switch {
	case !ok || body.Kind() != canonical.KindObject && body.Kind() != canonical.KindString:
		r.page = true
		text := string(got.Body[:min(len(got.Body), 16<<10)])
		r.report = reportID(text)
		if !got.IsHTML() { // a stack dump: good for classification only
			r.faults = []fault{{message: text}}
		}
		return r
	case body.Kind() == canonical.KindString:
		r.add(body, 0)
	case body.Get("messages", "error").Len() > 0:
		r.addAll(body.Get("messages", "error"), 0)
		r.code = canonical.Token(body.Get("messages", "error").At(0).Get("code").Str())
	case body.Get("messages", "error").Str() != "":
		r.add(body.Get("messages", "error"), 0)
	default:
		r.add(body, 0)
		r.code = canonical.Token(body.Get("code").Str())
	}
	for _, f := range r.faults {
		if r.report == "" {
			r.report = reportID(f.message)
		}
	}
	r.page = len(r.faults) == 0 // JSON, but not Magento's
	return r
}

// addAll adds the elements of a list, or of an object that PHP made of one.
func (r *refusal) addAll(list canonical.Value, depth int) {
	if list.Has("message") { // a list of one that lost its brackets
		r.add(list, depth)
		return
	}
	for i := range list.Len() {
		r.add(list.At(i), depth)
	}
}

// add adds an error. One that has errors of its own is only their heading.
func (r *refusal) add(v canonical.Value, depth int) {
	before := len(r.faults)
	if errs := v.Get("errors"); depth < 3 && errs.Len() > 0 {
		r.addAll(errs, depth+1)
	}
	template := v.Str()
	if v.Kind() == canonical.KindObject {
		template = v.Get("message").Str()
	}
	if len(r.faults) > before || template == "" {
		return
	}
	parameters := joined(v.Get("parameters"))
	template = template[:min(len(template), maxTemplate)]
	for line := range strings.SplitSeq(interpolate(template, parameters), "\n") {
		if line = strings.TrimSpace(line); line != "" && len(r.faults) < maxFaults {
			r.faults = append(r.faults, fault{line, parameters})
		}
	}
}

// joined makes one object of a list of objects, which is how the published schema
// has the parameters.
func joined(parameters canonical.Value) canonical.Value {
	if parameters.Kind() != canonical.KindArray || parameters.Len() == 0 {
		return parameters
	}
	all := canonical.NewObject(parameters.Len())
	for i := range parameters.Len() {
		if parameters.At(i).Kind() != canonical.KindObject {
			return parameters
		}
		all.Merge(parameters.At(i))
	}
	return all
}

// interpolate fills in a message as Magento does (Framework/Phrase/Renderer): in
// one pass, the longest placeholder first, and never again in what was filled in.
// An object has named placeholders, a list %1, %2 and so on. A placeholder
// without a parameter stays.
func interpolate(template string, parameters canonical.Value) string {
	n := parameters.Len()
	if n == 0 || !strings.Contains(template, "%") {
		return template
	}
	keys := make([]int, n)
	for i := range keys {
		keys[i] = i
	}
	key := func(i int) string {
		if parameters.Kind() == canonical.KindObject {
			return parameters.NameAt(i)
		}
		return strconv.Itoa(i + 1)
	}
	slices.SortStableFunc(keys, func(i, j int) int { return len(key(j)) - len(key(i)) })
	pairs := make([]string, 0, 2*n)
	for _, i := range keys { // a Replacer takes the first pair that fits
		pairs = append(pairs, "%"+key(i), parameterText(parameters.At(i)))
	}
	return strings.NewReplacer(pairs...).Replace(template)
}

// parameterText writes a parameter; null is nothing.
func parameterText(v canonical.Value) string {
	text := v.Str()
	if v.Kind() == canonical.KindArray {
		parts := make([]string, min(v.Len(), maxFaults))
		for i := range parts {
			parts[i] = v.At(i).Str()
		}
		text = strings.Join(parts, ", ")
	}
	return text[:min(len(text), maxParameter)]
}

// parseXML reads Magento's XML, which it sends to clients that ask for it, as the
// JSON that it stands for.
func parseXML(data []byte) (canonical.Value, bool) {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.Strict = false
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // what counts is ASCII
	for {
		token, err := d.Token()
		if err != nil {
			return canonical.Value{}, false
		}
		if root, ok := token.(xml.StartElement); ok {
			if root.Name.Local != "response" && root.Name.Local != "error" {
				return canonical.Value{}, false
			}
			v, err := element(d, 0)
			return v, err == nil && v.Kind() == canonical.KindObject
		}
	}
}

// element reads to the end of an element: children called item or data_item are a
// list, others an object, none a text.
func element(d *xml.Decoder, depth int) (canonical.Value, error) {
	var text strings.Builder
	var v canonical.Value
	for {
		token, err := d.Token()
		if err != nil {
			return v, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if depth > 16 {
				return v, &xml.SyntaxError{Msg: "nested too deep"}
			}
			child, err := element(d, depth+1)
			if err != nil {
				return v, err
			}
			if n := token.Name.Local; (n == "item" || n == "data_item") && v.Kind() != canonical.KindObject {
				v.Append(child)
			} else {
				v.Set(n, child)
			}
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			if v.IsZero() {
				v = canonical.Text(strings.TrimSpace(text.String()))
			}
			return v, nil
		}
	}
}

var reports = regexp.MustCompile(`(?i)\b(webapi-[0-9a-f]+)|\b(?:record number:|report (?:id: )?)\s*(?:</?[a-z]+>\s*)*((?:api/)?[0-9a-f]{6,64})\b`)

// reportID finds the number under which the shop's log has the cause.
func reportID(text string) string {
	m := reports.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	return canonical.Token(m[1] + m[2])
}

// Texts that classify where nothing else does, in lower case. Magento translates
// the first group to the language of the store view.
var (
	takenTexts = []string{
		"same email", "same e-mail", "already exist", "already an account", "already registered", "existiert bereits", "bereits vorhanden",
		"existe déjà", "déjà utilisé", "ya existe", "esiste già", "già esistente", "bestaat al", "já existe", "już istnieje", "finns redan",
		"findes allerede", "finnes allerede", "eksisterer allerede", "on jo olemassa", "již existuje", "už existuje", "már létezik", "există deja",
		"zaten var", "zaten mevcut", "уже существует", "вже існує", "υπάρχει ήδη", "すでに存在", "既に存在", "已存在", "已经存在", "已經存在",
		"이미 존재", "이미 있", "đã tồn tại", "sudah ada", "موجود بالفعل", "כבר קיים",
	}
	uniqueTexts   = []string{"unique constraint violation", "duplicate entry"}
	databaseTexts = []string{"sqlstate[", "deadlock", "lock wait timeout", "rolled back transaction", "server has gone away", "lost connection", "try restarting transaction"}
	internalTexts = []string{"internal error. details are available", "report id: webapi-", "an error has happened during application run", "server internal error"}
	factorTexts   = []string{"2fa", "two-factor", "two factor"}
)

func (r refusal) says(texts []string) bool {
	for _, f := range r.faults {
		message := strings.ToLower(f.message)
		if slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(message, s) }) {
			return true
		}
	}
	return false
}

// taken reports that another customer has the e-mail address. What says so of a
// field that it names is about that field.
func (r refusal) taken() bool {
	return slices.ContainsFunc(r.faults, func(f fault) bool {
		if !(refusal{faults: []fault{f}}).says(takenTexts) {
			return false
		}
		named := f.field()
		if m := quoted.FindStringSubmatch(f.message); named == "" && m != nil {
			named = m[1]
		}
		return named == "" || strings.Contains(fold(named), "mail")
	})
}

// twoFactor reports the refusal of an admin user who needs a second factor.
func (r refusal) twoFactor() bool {
	return r.says(factorTexts) || slices.ContainsFunc(r.faults, func(f fault) bool { return f.parameters.Has("active_providers") })
}

// internal reports a fault inside the shop, whose text is not for callers.
func (r refusal) internal() bool {
	return r.says(databaseTexts) || r.says(internalTexts) || strings.HasPrefix(r.report, "webapi-")
}

// unknownMember is how a shop up to 2.4.6 in developer mode refuses a member; in
// production it hides that behind an internal error.
var unknownMember = regexp.MustCompile(`Property "(\w+)" does not have`)

// classify says what a structured refusal means. Faults of the shop's database
// come as 500 or, from the newest code, as 400.
func (r refusal) classify(status int) canonical.Code {
	data := status == 400 || status == 409 || status == 422
	switch {
	case (data || status >= 500) && r.says(uniqueTexts), data && r.taken():
		return canonical.UpstreamDuplicate
	case status == 500 && slices.ContainsFunc(r.faults, func(f fault) bool { return unknownMember.MatchString(f.message) }):
		return canonical.UpstreamInvalid
	case data && r.internal():
		return canonical.UpstreamUnavailable
	case data && slices.ContainsFunc(r.faults, func(f fault) bool { return strings.HasPrefix(f.field(), "oauth_") }), data && r.twoFactor():
		return canonical.UpstreamUnauthenticated
	case status == 401 && r.says([]string{"nonce is already"}):
		return canonical.UpstreamUnavailable // every attempt has a new nonce
	case status == 404 && slices.ContainsFunc(r.faults, fault.noEntity):
		return canonical.UpstreamNotFound
	}
	return canonical.CodeForStatus(status)
}

const internalError = "the shop has an internal error; its log has the cause"

// message is what the caller is told: all faults, but nothing of the inside of
// the shop.
func (r refusal) message() string {
	switch {
	case r.internal():
		return internalError
	case r.page:
		return ""
	}
	messages := make([]string, len(r.faults))
	for i, f := range r.faults {
		messages[i] = f.message
	}
	return strings.Join(messages, "; ")
}

// field returns the field that the parameters name.
func (f fault) field() string {
	for _, key := range []string{"fieldName", "field_name", "fieldname", "field", "attribute_code"} {
		if s := f.parameters.Get(key); s.Kind() == canonical.KindString && s.Str() != "" {
			return s.Str()
		}
	}
	return ""
}

var noSuchEntity = regexp.MustCompile(`(?i)\bno such entity\b|\b(?:customerId|addressId|websiteId)\s*=\s*\S`)

// noEntity tells that a thing is unknown from a route that is.
func (f fault) noEntity() bool {
	return f.field() != "" && !f.parameters.Get("fieldValue").IsZero() || noSuchEntity.MatchString(f.message)
}

// entity returns what is unknown: the field and its value.
func (f fault) entity() (field, value string) {
	if field = f.field(); field != "" {
		return field, f.parameters.Get("fieldValue").Str()
	}
	if m := entityText.FindStringSubmatch(f.message); m != nil {
		return m[1], m[2]
	}
	return "", ""
}

var entityText = regexp.MustCompile(`(\w+)\s*=\s*"?([^\s",]+)`)

// failure classifies a refusal of the upsert. unknown says that it is about the
// customer whose id is in the request's path.
func (a *Adapter) failure(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (e *canonical.Error, unknown bool) {
	r := readRefusal(got)
	code := canonical.CodeForPage(got)
	if !r.page {
		code = r.classify(got.Status)
	} else if got.Status == 400 && r.internal() {
		code = canonical.UpstreamUnavailable
	}
	e = canonical.Refusal(name, sent, got, code, r.message())
	e.UpstreamCode, e.RequestID = r.code, r.report
	switch code {
	case canonical.UpstreamUnavailable:
		if !r.page && got.Status >= 500 { // the text is for the shop's developers
			e.Message = internalError
		}
	case canonical.UpstreamInvalid:
		e.Fields = a.complaints(u, sent, r)
	case canonical.UpstreamDuplicate:
		e.Message = "the e-mail address belongs to another customer of the shop"
		e.Fields = a.taken(u, sent, e.Message)
	case canonical.UpstreamNotFound:
		for _, f := range r.faults {
			field, value := f.entity()
			switch key := fold(field); {
			case key == "", key == "customerid", (key == "id" || key == "entityid") && value == idIn(sent):
				unknown = true
			case slices.Contains([]string{"website", "websiteid", "store", "storeid", "group", "groupid"}, key):
				e.Code = canonical.UpstreamMisconfigured
			}
		}
		unknown = unknown && e.Code == canonical.UpstreamNotFound
		e.Fields = a.complaints(u, sent, r)
	}
	return e, unknown
}
