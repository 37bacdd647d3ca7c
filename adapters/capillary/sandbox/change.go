package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// customerToChange returns the id in the path of a changeIdentifier call, and
// whether it is one.
func customerToChange(path string) (id string, ok bool) {
	id, ok = strings.CutPrefix(path, "/v2/customers/")
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, "/changeIdentifier")
	return id, ok && id != "" && !strings.Contains(id, "/")
}

// change is the body of a changeIdentifier call.
type change struct{ add, remove []identifierInput }

// serveChange answers POST /v2/customers/{id}/changeIdentifier. The HTTP status of
// its refusals is unpublished.
func (s *Sandbox) serveChange(w http.ResponseWriter, r *http.Request, id string) {
	if _, ok := s.admit(w, r); !ok {
		return
	}
	account := Account{r.URL.Query().Get("source"), r.URL.Query().Get("accountId")}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeIssue(w, http.StatusBadRequest, invalidInput(""))
		return
	}
	in, where := decodeChange(body, s.opts.AllowUnknown)
	if where != "" {
		writeIssue(w, http.StatusBadRequest, invalidInput(where))
		return
	}
	s.mu.Lock()
	got := s.changeIdentifiers(id, account, in)
	s.mu.Unlock()
	if len(got.errors) > 0 {
		writeIssue(w, http.StatusBadRequest, got.errors[0])
		return
	}
	warnings := got.warnings
	if warnings == nil {
		warnings = []Issue{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"createdId": got.customer.id, "warnings": warnings})
}

// decodeChange reads a body and says what is wrong with it, if anything.
func decodeChange(body []byte, allowUnknown bool) (change, string) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var members map[string]any
	if err := dec.Decode(&members); err != nil || members == nil || !utf8.Valid(body) {
		return change{}, "the body must be an object"
	}
	r := &reader{allowUnknown: allowUnknown}
	o := object{r, "", members}
	o.known("add", "remove")
	var in change
	for _, i := range o.objects("add") {
		in.add = append(in.add, i.identifier())
	}
	for _, i := range o.objects("remove") {
		in.remove = append(in.remove, i.identifier())
	}
	switch {
	case r.err != nil:
		return in, r.err.Error()
	case len(in.add)+len(in.remove) == 0:
		return in, "add or remove is required"
	}
	return in, ""
}

// changeIdentifiers adds and removes identifiers of one profile. The caller holds
// s.mu.
func (s *Sandbox) changeIdentifiers(id string, account Account, in change) verdict {
	var v verdict
	n, err := strconv.ParseInt(id, 10, 64)
	c := s.customers[n]
	bad := func(kind string, pattern *regexp.Regexp) bool {
		return slices.ContainsFunc(in.add, func(i identifierInput) bool { return i.kind == kind && !pattern.MatchString(i.value) })
	}
	code := s.checkProfile(profileInput{account: account, identifiers: slices.Concat(in.add, in.remove)})
	switch {
	case code != 0:
		v.fail(code)
	case err != nil || c == nil:
		v.fail(codeNoCustomer)
	case bad("mobile", mobilePattern):
		v.fail(codeBadMobile)
	case bad("email", emailPattern):
		v.fail(codeBadEmail)
	default:
		v.customer = s.gather(c, account, in, &v)
	}
	if v.customer == nil {
		return v
	}
	p := v.customer.profile(account)
	if p == nil {
		p = &profile{account: account, created: s.opts.Now(), fields: map[string]string{}}
		v.customer.profiles = append(v.customer.profiles, p)
	}
	v.customer.modified, p.modified = s.opts.Now(), s.opts.Now()
	for _, i := range in.remove {
		p.identifiers = slices.DeleteFunc(p.identifiers, func(held identifier) bool { return held.kind == i.kind && held.value == i.value })
		if key := (identifierKey{account, i.kind, i.value}); s.index[key] == v.customer.id {
			delete(s.index, key)
		}
	}
	s.identify(v.customer, p, in.add, false)
	return v
}

// gather returns the customer that the added identifiers may go to: c, or what it
// is merged into with customers of other sources; nil after an error.
func (s *Sandbox) gather(c *customer, account Account, in change, v *verdict) *customer {
	own, others := s.find(row{profiles: []profileInput{{account: account, identifiers: in.add}}})
	for _, id := range own {
		if id != c.id {
			v.fail(codeIdentifierTaken)
			return nil
		}
		v.warn(codeAlreadyAttached)
	}
	for _, id := range others {
		other := s.customers[id]
		switch {
		case id == c.id:
		case slices.ContainsFunc(other.profiles, func(p *profile) bool { return c.profile(p.account) != nil }):
			v.fail(codeUpdateConflict)
			return nil
		default:
			c = s.merge(c, other)
			v.warn(codeMerging, c.id)
		}
	}
	return c
}
