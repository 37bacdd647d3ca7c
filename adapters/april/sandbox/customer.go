package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The actions of POST /customers. The one for organisations is inferred, the
// plugin's is undocumented.
const (
	upsertConsumer     = "UpsertConsumerCustomer"
	upsertOrganisation = "UpsertOrganisationCustomer"
	registerPlugin     = "RegisterPluginConsumerCustomer"
)

// kind is the JSON type of a member.
type kind int

const (
	text kind = iota
	boolean
	object
)

// members of each action, and those it requires.
var (
	actions = map[string]map[string]kind{
		upsertConsumer: {
			"emailAddress": text, "phoneNumber": text, "referenceCustomerId": text, "givenName": text,
			"middleName": text, "familyName": text, "isVerified": boolean, "metadata": object,
		},
		upsertOrganisation: {
			"referenceCustomerId": text, "organisationName": text, "taxId": text,
			"organisationKyced": boolean, "organisationCreditChecked": boolean, "emailAddress": text,
		},
		registerPlugin: {
			"referenceCustomerId": text, "givenName": text, "familyName": text, "emailAddress": text,
		},
	}
	required = map[string][]string{
		upsertConsumer: {"emailAddress"},
		upsertOrganisation: {
			"referenceCustomerId", "organisationName", "taxId",
			"organisationKyced", "organisationCreditChecked", "emailAddress",
		},
		registerPlugin: {"emailAddress"},
	}
)

// readAction reads a body of exactly one member, which names the action and
// holds its arguments.
func readAction(r *http.Request) (action string, body map[string]any, size int, e *Error) {
	if !isJSON(r.Header.Get("Content-Type")) {
		return "", nil, 0, badRequest("The request body must be application/json")
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(raw) > maxBody {
		return "", nil, 0, badRequest("The request body is too large or broken off")
	}
	action, body, e = decodeAction(raw)
	return action, body, len(raw), e
}

func decodeAction(raw []byte) (action string, body map[string]any, e *Error) {
	names, arguments, err := decodeWrapper(raw)
	if err != nil {
		return "", nil, badRequest("The request body is not a JSON object")
	}
	if len(names) != 1 {
		return "", nil, badRequest("The request body must have exactly one member, the action")
	}
	action = names[0]
	if _, ok := actions[action]; !ok {
		return "", nil, badRequest("The action is unknown")
	}
	dec := json.NewDecoder(bytes.NewReader(arguments))
	dec.UseNumber()
	if err := dec.Decode(&body); err != nil || body == nil {
		return "", nil, badRequest("%s must be an object", action)
	}
	return action, body, nil
}

// decodeWrapper returns the member names of one JSON object, repeated ones
// included, and the value of the last.
func decodeWrapper(raw []byte) (names []string, last json.RawMessage, err error) {
	if !utf8.Valid(raw) {
		return nil, nil, errors.New("not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, errors.New("not a JSON object")
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		last = nil
		if err := dec.Decode(&last); err != nil {
			return nil, nil, err
		}
		names = append(names, token.(string)) // a member's name is always a string
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, nil, errors.New("more than one JSON value")
	}
	return names, last, nil
}

// check returns the first reason why an action may not be done, or nil.
func (s *Sandbox) check(action string, body map[string]any) *Error {
	switch {
	case action == upsertOrganisation && s.opts.RefuseOrganisations,
		action == registerPlugin && !s.opts.AllowPlugin:
		return badRequest("The action is unknown")
	}
	needed := required[action]
	if action == upsertConsumer {
		needed = slices.Concat(needed, s.opts.Required)
	}
	for _, name := range needed {
		if _, stated := body[name]; !stated {
			return badRequest("%s is required", name)
		}
	}
	members := actions[action]
	for _, name := range slices.Sorted(maps.Keys(body)) {
		kind, known := members[name]
		if !known {
			if s.opts.AllowUnknown {
				continue
			}
			return badRequest("%s has a member that is unknown", action)
		}
		if e := checkMember(name, kind, body[name]); e != nil {
			return e
		}
	}
	return nil
}

var phonePattern = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

func checkMember(name string, kind kind, value any) *Error {
	switch kind {
	case boolean:
		if _, ok := value.(bool); !ok {
			return badRequest("%s must be a boolean", name)
		}
	case object:
		if _, ok := value.(map[string]any); !ok {
			return badRequest("%s must be an object", name)
		}
	default:
		s, ok := value.(string)
		switch {
		case !ok:
			return badRequest("%s must be a string", name)
		case strings.TrimSpace(s) == "":
			return unprocessable(name, s, "must not be empty")
		case name == "emailAddress" && !isEmail(s):
			return unprocessable(name, s, "must be an e-mail address")
		case name == "phoneNumber" && !phonePattern.MatchString(s):
			return unprocessable(name, s, "must be a phone number in E.164 form with a plus sign")
		}
	}
	return nil
}

// isEmail reports whether s is a bare ASCII address with a dot in its domain.
func isEmail(s string) bool {
	address, err := mail.ParseAddress(s)
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
	_, domain, _ := strings.Cut(s, "@")
	return err == nil && address.Address == s && ascii && strings.Contains(domain, ".")
}

// isJSON reports whether a Content-Type is JSON in UTF-8.
func isJSON(contentType string) bool {
	media, params, err := mime.ParseMediaType(contentType)
	charset, stated := params["charset"]
	return err == nil && media == "application/json" && (!stated || strings.EqualFold(charset, "utf-8"))
}
