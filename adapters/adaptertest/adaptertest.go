// Package adaptertest is the suite that every adapter passes. An adapter's test
// builds the adapter and calls Run; its fuzz test calls Fuzz.
//
// In the adapter's folder the suite reads and, with -update, writes:
//
//	testdata/translate/<customer>.golden      what Translate makes of each file of testdata/customers
//	testdata/interpret/<case>.http            a provider's replies, with the golden of what they mean beside it
//
// An .http file begins with comment lines: "# customer: person" (which shared
// customer was sent; person if absent), "# adapter: exclusive" (which of
// Case.Adapters; the first if absent), "# remote: 42" (Upsert.RemoteID),
// "# follow: true" (Upsert.Follow) and any others, such as the source of the bytes. Then come one or more replies, as on
// the wire, divided by lines of "---"; each answers the Next of the one before.
package adaptertest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"customer-gateway/canonical"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// customers is where the shared customers are, seen from an adapter's folder.
const customers = "../../testdata/customers"

// maxSteps bounds a chain of requests; the gateway has the same bound.
const maxSteps = 8

// Case is what is tested.
type Case struct {
	// Adapters are the ways the adapter can be set up; each is translated. The
	// first one is the default of .http files.
	Adapters []Setup
	// Described are further ways, of which only the description is tested.
	Described []Setup
	// Route is the name under which the route's providerData and externalIds
	// are; the adapter's name if empty.
	Route string
	// Without lists fixture kinds that the provider cannot produce.
	Without []string
}

// Setup is one way to set the adapter up.
type Setup struct {
	Name    string // "" for the default
	Adapter canonical.Adapter
}

// kinds are the fixtures that every adapter must have: at least one .http file
// whose name begins so.
var kinds = []string{"created", "updated", "invalid", "unauthorized", "notfound", "conflict", "ratelimited", "unavailable"}

// Run runs the suite.
func Run(t *testing.T, c Case) {
	t.Run("translate", func(t *testing.T) { c.translate(t) })
	t.Run("interpret", func(t *testing.T) { c.interpret(t) })
	t.Run("statuses", func(t *testing.T) { c.statuses(t) })
	t.Run("losses", func(t *testing.T) { c.losses(t) })
	t.Run("remote ids", func(t *testing.T) { c.remoteIDs(t) })
	t.Run("identity", func(t *testing.T) { c.identity(t) })
	t.Run("batch", func(t *testing.T) { c.batch(t) })
	t.Run("capabilities", func(t *testing.T) { c.describe(t) })
}

// Customer reads a shared customer. Its id is the file's name where the file
// states none.
func Customer(t testing.TB, name string) *canonical.Customer {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(customers, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return Decode(t, name, data)
}

// Decode reads a customer from JSON. id is used where the JSON states none.
func Decode(t testing.TB, id string, data []byte) *canonical.Customer {
	t.Helper()
	if v, err := canonical.Parse(data); err == nil && v.Get("id").Str() != "" {
		id = v.Get("id").Str()
	}
	c, err := canonical.DecodeCustomer(id, data)
	if err != nil {
		e := canonical.AsError(err)
		t.Fatalf("customer %s: %s %v", id, e.Message, e.Fields)
	}
	return c
}

// Upsert wraps a customer as the gateway does for a route of the given name and
// provider.
func Upsert(c *canonical.Customer, route, provider, remoteID string) canonical.Upsert {
	return canonical.NewUpsert(c).For(route, provider, remoteID)
}

func (c *Case) upsert(customer *canonical.Customer, remoteID string) canonical.Upsert {
	provider := c.Adapters[0].Adapter.Name()
	route := c.Route
	if route == "" {
		route = provider
	}
	return Upsert(customer, route, provider, remoteID)
}

// translate writes what each shared customer becomes, and holds the promises of
// Translate: it is pure, relative and complete.
func (c *Case) translate(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(customers, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no shared customers: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		for _, s := range c.Adapters {
			golden := name
			if s.Name != "" {
				golden += "." + s.Name
			}
			t.Run(golden, func(t *testing.T) {
				u := c.upsert(Customer(t, name), "")
				req, notices, err := s.Adapter.Translate(u)
				checkPure(t, s.Adapter, u, Customer(t, name))
				checkRequest(t, u, req, err)
				compare(t, filepath.Join("testdata", "translate", golden+".golden"), showTranslation(req, notices, err))
			})
		}
	}
}

// checkPure translates twice more and compares.
func checkPure(t *testing.T, a canonical.Adapter, u canonical.Upsert, fresh *canonical.Customer) {
	t.Helper()
	r1, n1, e1 := a.Translate(u)
	r2, n2, e2 := a.Translate(u)
	if !reflect.DeepEqual(r1, r2) || !reflect.DeepEqual(n1, n2) || !reflect.DeepEqual(e1, e2) {
		t.Error("Translate gives different results for the same upsert")
	}
	if !reflect.DeepEqual(u.Customer, fresh) {
		t.Error("Translate has changed the customer")
	}
}

// checkRequest holds what is true of every request, first or next.
func checkRequest(t *testing.T, u canonical.Upsert, req *canonical.Request, err error) {
	t.Helper()
	if err != nil {
		e, ok := errors.AsType[*canonical.Error](err)
		if !ok {
			t.Fatalf("Translate returns %T, want *canonical.Error", err)
		}
		if !strings.HasPrefix(string(e.Code), "mapping.") || len(e.Fields) == 0 {
			t.Errorf("Translate fails with %s and %d fields, want a mapping code with fields", e.Code, len(e.Fields))
		}
		checkFields(t, u, e)
		return
	}
	path, _, _ := strings.Cut(req.Path, "?")
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "//") || slices.Contains(strings.Split(path, "/"), "..") {
		t.Errorf("Path = %q, want one below the base URL", req.Path)
	}
	if req.Op == "" || req.Method == "" {
		t.Errorf("Op = %q, Method = %q, want both", req.Op, req.Method)
	}
	if req.Body != nil && !json.Valid(req.Body) {
		t.Errorf("Body is not JSON: %s", req.Body)
	}
	if req.Header.Get("Authorization") != "" {
		t.Error("the adapter sets Authorization, which belongs to the transport")
	}
	doc := document(t, u)
	for _, l := range req.Links {
		pointer := l.Pointer(u.Customer)
		if pointer != "/id" && !resolves(doc, pointer) {
			t.Errorf("link of %s leads to %s, which the caller did not send", l.To, pointer)
		}
	}
}

// document is the customer's JSON as the caller sent it, found again by id.
func document(t *testing.T, u canonical.Upsert) canonical.Value {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(customers, "*.json"))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := canonical.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if v.Get("id").Str() == u.ID || strings.TrimSuffix(filepath.Base(file), ".json") == u.ID {
			return v
		}
	}
	return canonical.Value{}
}

func resolves(v canonical.Value, pointer string) bool {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if v.Kind() == canonical.KindArray {
			i, err := strconv.Atoi(token)
			if err != nil || i >= v.Len() {
				return false
			}
			v = v.At(i)
			continue
		}
		if v.Kind() == canonical.KindNull { // a member of what was cleared
			return true
		}
		if v = v.Get(strings.NewReplacer("~1", "/", "~0", "~").Replace(token)); v.IsZero() {
			return false
		}
	}
	return true
}

// Fields lists what an error says of fields, each as "code pointer" or "code
// setting", for comparison in one line.
func Fields(e *canonical.Error) []string {
	var all []string
	for _, f := range e.Fields {
		all = append(all, string(f.Code)+" "+f.Pointer+f.Setting)
	}
	return all
}

// checkFields holds that field errors are usable by a caller.
func checkFields(t *testing.T, u canonical.Upsert, e *canonical.Error) {
	t.Helper()
	for _, f := range e.Fields {
		if f.Code == "" || f.Message == "" || utf8.RuneCountInString(f.Message) > 600 {
			t.Errorf("field error %+v: want a code and a message of reasonable length", f)
		}
		if f.Pointer != "" && f.Pointer[0] != '/' {
			t.Errorf("field error points to %q, want a JSON Pointer", f.Pointer)
		}
		if strings.Contains(f.Pointer, "*") {
			t.Errorf("field error points to the pattern %q", f.Pointer)
		}
	}
}

// fixture is one .http file.
type fixture struct {
	name     string
	customer string
	adapter  string
	remote   string
	follow   bool
	replies  []*canonical.Reply
}

func readFixtures(t testing.TB) []fixture {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "interpret", "*.http"))
	if err != nil {
		t.Fatal(err)
	}
	fixtures := make([]fixture, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parseFixture(strings.TrimSuffix(filepath.Base(file), ".http"), string(data))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		fixtures = append(fixtures, f)
	}
	return fixtures
}

func parseFixture(name, text string) (fixture, error) {
	f := fixture{name: name, customer: "person"}
	for strings.HasPrefix(text, "#") {
		line, rest, _ := strings.Cut(text, "\n")
		text = rest
		key, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(line, "#")), ":")
		switch value = strings.TrimSpace(value); key {
		case "customer":
			f.customer = value
		case "adapter":
			f.adapter = value
		case "remote":
			f.remote = value
		case "follow":
			f.follow = value == "true"
		}
	}
	for part := range strings.SplitSeq(text, "\n---\n") {
		reply, err := parseReply(strings.TrimLeft(part, "\n"))
		if err != nil {
			return f, err
		}
		f.replies = append(f.replies, reply)
	}
	return f, nil
}

// parseReply reads a reply whose body is everything after the blank line, less
// the file's last line break.
func parseReply(text string) (*canonical.Reply, error) {
	head, body, _ := strings.Cut(text, "\n\n")
	r := bufio.NewReader(strings.NewReader(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n"))
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodHead})
	if err != nil {
		return nil, fmt.Errorf("reply %q: %w", head, err)
	}
	_ = resp.Body.Close()
	return &canonical.Reply{Status: resp.StatusCode, Header: resp.Header, Body: []byte(strings.TrimSuffix(body, "\n"))}, nil
}

func (c *Case) adapter(t testing.TB, name string) canonical.Adapter {
	t.Helper()
	for _, s := range c.Adapters {
		if s.Name == name || name == "" {
			return s.Adapter
		}
	}
	t.Fatalf("no adapter is set up as %q", name)
	return nil
}

// played is what a fixture led to: the requests that were answered and what the
// last reply meant.
type played struct {
	u    canonical.Upsert
	sent []*canonical.Request
	out  canonical.Outcome
	err  error
}

// play runs a fixture: Translate, then each reply in turn.
func (c *Case) play(t testing.TB, f fixture) played {
	t.Helper()
	a := c.adapter(t, f.adapter)
	u := c.upsert(Customer(t, f.customer), f.remote)
	u.Follow = f.follow
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatalf("%s: translate: %v %v", f.name, err, canonical.AsError(err).Fields)
	}
	sent := []*canonical.Request{req}
	var out canonical.Outcome
	for i, reply := range f.replies {
		if i > 0 {
			if out.Next == nil || err != nil {
				t.Fatalf("%s: there is a reply %d, but the upsert has ended (error: %v)", f.name, i+1, err)
			}
			req = out.Next
			sent = append(sent, req)
		}
		out, err = a.Interpret(u, req, reply)
	}
	return played{u, sent, out, err}
}

// interpret compares what the fixtures mean with their goldens.
func (c *Case) interpret(t *testing.T) {
	fixtures := readFixtures(t)
	for _, kind := range kinds {
		has := slices.ContainsFunc(fixtures, func(f fixture) bool { return strings.HasPrefix(f.name, kind) })
		if !has && !slices.Contains(c.Without, kind) {
			t.Errorf("there is no fixture testdata/interpret/%s*.http", kind)
		}
	}
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			p := c.play(t, f)
			for _, req := range p.sent {
				checkRequest(t, p.u, req, nil)
			}
			c.checkResult(t, p.u, f.replies[len(f.replies)-1], p.out, p.err)
			compare(t, filepath.Join("testdata", "interpret", f.name+".http.golden"), showResult(p.sent, p.out, p.err))
		})
	}
}

// checkResult holds what is true of every Interpret.
func (c *Case) checkResult(t *testing.T, u canonical.Upsert, got *canonical.Reply, out canonical.Outcome, err error) {
	t.Helper()
	if err == nil {
		if out.Next != nil {
			checkRequest(t, u, out.Next, nil)
		} else if got.Status < 200 || got.Status > 299 {
			t.Errorf("status %d is a success", got.Status)
		}
		return
	}
	e, ok := errors.AsType[*canonical.Error](err)
	if !ok {
		t.Fatalf("Interpret returns %T, want *canonical.Error", err)
	}
	if _, known := codes[e.Code]; !known {
		t.Errorf("code %q is not in the catalogue", e.Code)
	}
	if e.Code == canonical.GatewayInternal {
		t.Errorf("Interpret blames the gateway: %v", e.Err)
	}
	if e.Provider != c.Adapters[0].Adapter.Name() || e.Op == "" {
		t.Errorf("Provider = %q, Op = %q, want both set", e.Provider, e.Op)
	}
	if out.Next != nil {
		t.Error("there is an error and a next request")
	}
	if utf8.RuneCountInString(e.Message) > 600 || strings.ContainsAny(e.Message, "\n\x00") || strings.Contains(e.Message, "<html") {
		t.Errorf("Message is not clean: %q", e.Message)
	}
	if canonical.Token(e.UpstreamCode) != e.UpstreamCode || canonical.Token(e.RequestID) != e.RequestID {
		t.Errorf("UpstreamCode = %q, RequestID = %q, want tokens", e.UpstreamCode, e.RequestID)
	}
	checkFields(t, u, e)
}

var codes = func() map[canonical.Code]bool {
	m := map[canonical.Code]bool{}
	for _, in := range canonical.Codes() {
		m[in.Code] = true
	}
	return m
}()

// bodies are replies that prove nothing.
var bodies = map[string]string{
	"empty":     "",
	"html":      "<!DOCTYPE html><html><head><title>Login</title></head><body><h1>Sign in</h1></body></html>",
	"truncated": `{"id": 1, "customerId": "cust_1", "response": [{"entityId": 1, "err`,
	"null":      "null",
	"object":    "{}",
	"list":      "[]",
	"number":    "42",
	"text":      "upstream connect error or disconnect/reset before headers",
	"nested":    `{"errors":{"errors":{"errors":[[["x"]]]}},"invalidFields":3,"response":"x","message":{"a":[1]},"parameters":7}`,
}

// statuses answers every step that the fixtures reach with every status and
// every body that proves nothing.
func (c *Case) statuses(t *testing.T) {
	type step struct {
		u   canonical.Upsert
		req *canonical.Request
		a   canonical.Adapter
	}
	steps := map[string]step{}
	for _, f := range readFixtures(t) {
		p := c.play(t, f)
		for _, req := range p.sent {
			steps[f.adapter+"/"+req.Op] = step{p.u, req, c.adapter(t, f.adapter)}
		}
	}
	if len(steps) == 0 {
		t.Fatal("the fixtures reach no step")
	}
	for name, s := range steps {
		for what, body := range bodies {
			t.Run(name+"/"+what, func(t *testing.T) {
				for status := 100; status < 600; status++ {
					got := &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)}
					out, err := s.a.Interpret(s.u, s.req, got)
					c.checkResult(t, s.u, got, out, err)
					if err == nil && out.Next == nil {
						t.Errorf("status %d with the body %q is a success", status, body)
					}
					if err == nil && out.Next != nil && out.Next.Method != http.MethodGet && status/100 == 2 && s.req.Method == http.MethodGet {
						t.Errorf("status %d with the body %q leads to a write", status, body)
					}
					e := canonical.AsError(err)
					if err != nil && status >= 500 && status <= 504 && status != 501 && !e.Retryable() {
						t.Errorf("status %d with the body %q gives %s, which is not retryable", status, body, e.Code)
					}
					if err != nil && status == 429 && e.Code != canonical.UpstreamRateLimited {
						t.Errorf("status 429 gives %s, want %s", e.Code, canonical.UpstreamRateLimited)
					}
					for n := 0; err == nil && out.Next != nil; n++ {
						if n == maxSteps {
							t.Fatalf("status %d: the chain does not end: %s", status, out.Next.Op)
						}
						out, err = s.a.Interpret(s.u, out.Next, got)
					}
				}
			})
		}
	}
}

// losses holds that nothing the caller states is lost without a notice: every
// text of the fullest customer is in the request or named by a notice.
func (c *Case) losses(t *testing.T) {
	u := c.upsert(Customer(t, "everything"), "42")
	for _, s := range c.Adapters {
		req, notices, err := s.Adapter.Translate(u)
		if err != nil {
			t.Fatalf("translate: %v %v", err, canonical.AsError(err).Fields)
		}
		if req.Body == nil {
			continue // it reads first; another setup writes at once
		}
		haystack := normalise(string(req.Body) + req.Path)
		doc := document(t, u)
		for _, leaf := range u.Leaves {
			pointer := u.Customer.Pointer(leaf.Path, int(leaf.Index))
			if leaf.Path.Bookkeeping() || slices.ContainsFunc(notices, func(n canonical.Notice) bool {
				return pointer == n.Pointer || strings.HasPrefix(pointer, n.Pointer+"/") || strings.HasPrefix(n.Pointer, pointer+"/")
			}) {
				continue
			}
			for _, text := range texts(at(doc, pointer)) {
				if !strings.Contains(haystack, normalise(text)) && !strings.Contains(haystack, normalise(reversedDate(text))) && !(pointer == "/name/formatted" && inParts(haystack, text)) {
					t.Errorf("%s: %q at %s is neither sent nor reported", s.Name, text, pointer)
				}
			}
		}
	}
}

// normalise keeps letters and digits only, in lower case, so that other forms of
// a value are found.
func normalise(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 0x7f:
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, s)
}

// inParts reports whether every word of a formatted name was sent, as part of
// one of the names that it is made of.
func inParts(haystack, text string) bool {
	for word := range strings.FieldsSeq(text) {
		if !strings.Contains(haystack, normalise(word)) {
			return false
		}
	}
	return true
}

func reversedDate(s string) string {
	if p := strings.Split(s, "-"); len(p) == 3 && len(p[0]) == 4 {
		return p[2] + p[1] + p[0]
	}
	return s
}

func at(v canonical.Value, pointer string) canonical.Value {
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if i, err := strconv.Atoi(token); err == nil && v.Kind() == canonical.KindArray {
			v = v.At(i)
			continue
		}
		v = v.Get(token)
	}
	return v
}

// texts are the strings of a value worth looking for: enumerated words travel in
// other forms.
func texts(v canonical.Value) []string {
	switch v.Kind() {
	case canonical.KindString:
		switch v.Str() {
		case "billing", "shipping", "home", "work", "mobile", "fax", "other", "female", "eu_vat", "marketing", "transactional", "email", "sms", "ES", "MD", "person", "marketplace":
			return nil
		}
		return []string{v.Str()}
	case canonical.KindArray:
		var all []string
		for i := range v.Len() {
			all = append(all, texts(v.At(i))...)
		}
		return all
	}
	return nil
}

// Fuzz feeds Interpret with arbitrary replies, seeded from the fixtures: it must
// neither panic nor call success what is none, and must be a function of its
// arguments.
func Fuzz(f *testing.F, c Case) {
	fixtures := readFixtures(f)
	for i, fx := range fixtures {
		for _, r := range fx.replies {
			f.Add(i, r.Status, r.Header.Get("Content-Type"), r.Body)
		}
	}
	f.Fuzz(func(t *testing.T, which, status int, contentType string, body []byte) {
		if status < 100 || status > 599 || len(fixtures) == 0 || which < 0 || !utf8.ValidString(contentType) {
			return // net/http hands out no such reply
		}
		fx := fixtures[which%len(fixtures)]
		p := c.play(t, fx)
		u, req := p.u, p.sent[len(p.sent)-1]
		a := c.adapter(t, fx.adapter)
		got := &canonical.Reply{Status: status, Header: http.Header{"Content-Type": {contentType}}, Body: body}
		before := bytes.Clone(body)
		out, err := a.Interpret(u, req, got)
		c.checkResult(t, u, got, out, err)
		again, errAgain := a.Interpret(u, req, got)
		if !reflect.DeepEqual(out, again) || !reflect.DeepEqual(err, errAgain) {
			t.Error("Interpret gives different results for the same reply")
		}
		if !bytes.Equal(before, got.Body) {
			t.Error("Interpret has changed the reply")
		}
	})
}

// showTranslation writes a translation for people to review.
func showTranslation(req *canonical.Request, notices []canonical.Notice, err error) string {
	var b strings.Builder
	if err != nil {
		showError(&b, err)
		return b.String()
	}
	showRequest(&b, req)
	showNotices(&b, notices)
	return b.String()
}

func showRequest(b *strings.Builder, req *canonical.Request) {
	fmt.Fprintf(b, "%s %s\n", req.Method, req.Path)
	names := make([]string, 0, len(req.Header))
	for name := range req.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(b, "%s: %s\n", name, strings.Join(req.Header[name], ", "))
	}
	fmt.Fprintf(b, "(op %s, repeatable %v)\n", req.Op, req.Repeatable)
	if req.Body != nil {
		var indented bytes.Buffer
		if json.Indent(&indented, req.Body, "", "  ") != nil {
			indented.Write(req.Body)
		}
		fmt.Fprintf(b, "\n%s\n", indented.String())
	}
}

func showNotices(b io.Writer, notices []canonical.Notice) {
	for _, n := range notices {
		fmt.Fprintf(b, "notice %s %s: %s\n", n.Code, n.Pointer, n.Message)
	}
}

func showError(b *strings.Builder, err error) {
	e := canonical.AsError(err)
	fmt.Fprintf(b, "error %s, retryable %v, status %d, upstream code %q, request id %q\n", e.Code, e.Retryable(), e.Status, e.UpstreamCode, e.RequestID)
	if !e.RetryAt.IsZero() {
		fmt.Fprintf(b, "retry at %s\n", e.RetryAt.UTC().Format("2006-01-02T15:04:05Z"))
	}
	if e.RetryAfter != 0 {
		fmt.Fprintf(b, "retry after %s\n", e.RetryAfter)
	}
	fmt.Fprintf(b, "message: %s\n", e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(b, "field %s %s", f.Code, f.Pointer)
		if f.Setting != "" {
			fmt.Fprintf(b, " (setting %s)", f.Setting)
		}
		fmt.Fprintf(b, " [%s]: %s\n", f.Field, f.Message)
	}
}

// showResult writes what the replies led to.
func showResult(sent []*canonical.Request, out canonical.Outcome, err error) string {
	var b strings.Builder
	for i, req := range sent {
		if i > 0 {
			b.WriteString("then ")
			showRequest(&b, req)
			b.WriteString("\n")
		} else {
			fmt.Fprintf(&b, "%s %s (op %s)\n", req.Method, req.Path, req.Op)
		}
	}
	if out.Action != "" || out.RemoteID != "" {
		fmt.Fprintf(&b, "action %q, remote id %q\n", out.Action, out.RemoteID)
	}
	showNotices(&b, out.Notices)
	switch {
	case err != nil:
		showError(&b, err)
	case out.Next != nil:
		b.WriteString("next ")
		showRequest(&b, out.Next)
	default:
		b.WriteString("success\n")
	}
	return b.String()
}

// compare checks got against the golden file, or writes it with -update.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; run go test with -update and review the new file", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}
