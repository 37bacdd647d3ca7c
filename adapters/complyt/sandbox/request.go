package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	customerTypes = []string{"RETAIL", "MARKETPLACE", "RESELLER", "RETAIL_EXEMPT"}
	uuidPattern   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// decode reads a body. Whatever is not readable, an unknown enum value included,
// has one and the same message.
func (s *Sandbox) decode(body []byte) (customer, error) {
	if !utf8.Valid(body) {
		return customer{}, refusal(messageUnreadable)
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var members map[string]any
	if err := dec.Decode(&members); err != nil || members == nil {
		return customer{}, refusal(messageUnreadable)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return customer{}, refusal(messageUnreadable)
	}
	r := &reader{numbers: s.opts.CoerceNumbers, allowUnknown: s.opts.AllowUnknown}
	in := r.customer(members)
	if r.bad || in.customerType != nil && !slices.Contains(customerTypes, *in.customerType) ||
		in.complytID != nil && !uuidPattern.MatchString(*in.complytID) {
		return customer{}, refusal(messageUnreadable)
	}
	if s.opts.AddressErrors && in.address != nil && in.address.wrongZip() {
		return customer{}, refusal("ERR-ADDR-002: The ZIP code does not match the address")
	}
	if in.timestamps != nil {
		if err := in.timestamps.parse(); err != nil {
			return customer{}, err
		}
	}
	return in, nil
}

// parse reads what has the right pattern; an impossible date is an error of its
// own, the wrong pattern one of validation.
func (t *timestamps) parse() error {
	for _, v := range []struct {
		field string
		text  *string
		into  *time.Time
	}{{"createdDate", t.createdDate, &t.created}, {"updatedDate", t.updatedDate, &t.updated}} {
		if v.text == nil || !timestampPattern.MatchString(*v.text) {
			continue
		}
		layout := "2006-01-02T15:04:05"
		switch {
		case len(*v.text) == len(time.DateOnly):
			layout = time.DateOnly
		case strings.HasSuffix(*v.text, "Z") || strings.ContainsAny((*v.text)[len(time.DateOnly):], "+-"):
			layout = time.RFC3339
		}
		parsed, err := time.Parse(layout, *v.text)
		if err != nil {
			return refusal("Error parsing field: " + v.field + ". Text '" + *v.text + "' could not be parsed")
		}
		*v.into = parsed.UTC()
	}
	return nil
}

// reader picks members of a decoded body and remembers that one was wrong.
type reader struct {
	numbers      bool // take numbers for source and externalId
	allowUnknown bool
	bad          bool
}

func (r *reader) customer(m map[string]any) customer {
	r.known(m, "complytId", "externalId", "source", "name", "address", "email", "customerType", "externalTimestamps", "comment")
	in := customer{
		complytID: r.text(m, "complytId"), externalID: r.key(m, "externalId"), source: r.key(m, "source"),
		name: r.text(m, "name"), email: r.text(m, "email"), customerType: r.text(m, "customerType"), comment: r.text(m, "comment"),
	}
	if a := r.object(m, "address"); a != nil {
		r.known(a, "city", "country", "county", "state", "region", "street", "zip", "isPartial")
		in.address = &address{
			city: r.text(a, "city"), country: r.text(a, "country"), county: r.text(a, "county"), state: r.text(a, "state"),
			region: r.text(a, "region"), street: r.text(a, "street"), zip: r.text(a, "zip"), isPartial: r.flag(a, "isPartial"),
		}
	}
	if t := r.object(m, "externalTimestamps"); t != nil {
		r.known(t, "createdDate", "updatedDate")
		in.timestamps = &timestamps{createdDate: r.text(t, "createdDate"), updatedDate: r.text(t, "updatedDate")}
	}
	return in
}

func (r *reader) known(m map[string]any, names ...string) {
	for name := range m {
		if !r.allowUnknown && !slices.Contains(names, name) {
			r.bad = true
		}
	}
}

func (r *reader) text(m map[string]any, name string) *string {
	switch v := m[name].(type) {
	case nil:
	case string:
		return &v
	default:
		r.bad = true
	}
	return nil
}

// key reads source or externalId, which some published examples send as numbers.
func (r *reader) key(m map[string]any, name string) *string {
	if n, ok := m[name].(json.Number); ok && r.numbers {
		return new(n.String())
	}
	return r.text(m, name)
}

func (r *reader) flag(m map[string]any, name string) bool {
	v, ok := m[name].(bool)
	if m[name] != nil && !ok {
		r.bad = true
	}
	return v
}

func (r *reader) object(m map[string]any, name string) map[string]any {
	v, ok := m[name].(map[string]any)
	if m[name] != nil && !ok {
		r.bad = true
	}
	return v
}
