package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"customer-gateway/adapters"
	"customer-gateway/canonical"
	"customer-gateway/config"
)

//go:embed samples/*.json
var samples embed.FS

// story is what the samples show, in the order in which they are sent.
var story = []struct{ id, what string }{
	{"lucy-1001", "a person"},
	{"acme-2002", "an organization"},
	{"kim-3003", "a person with an attribute that one provider does not know"},
}

// demoKey is the API key of the demo. It opens nothing else.
const demoKey = "demo-key"

// demoCommand shows the main job on this machine alone.
func (p *program) demoCommand() *cobra.Command {
	var addr string
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run the gateway with five emulated providers, and show what it does",
		Long: `Start the gateway and an emulator of every provider on this machine, send three
customers, show what each provider holds, what it could not hold and what it
refused, and stay up with requests to try. Nothing leaves the machine.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.demo(cmd.Context(), addr, once) },
	}
	cmd.Flags().StringVar(&addr, "addr", "127.0.0.1:8080", "address of the gateway; if the port is taken, a free one is used")
	cmd.Flags().BoolVar(&once, "once", false, "end after the show")
	return cmd
}

func (p *program) demo(ctx context.Context, addr string, once bool) error {
	sandboxes, err := startSandboxes("127.0.0.1", 0)
	if err != nil {
		return err
	}
	defer sandboxes.close()
	dir, err := os.MkdirTemp("", "customer-gateway-demo-")
	if err != nil {
		return fmt.Errorf("no directory for the demo's ledger: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	digest := sha256.Sum256([]byte(demoKey))
	cfg, err := config.Load(config.Source{Overrides: map[string]any{
		"server.addr":   addr,
		"log.level":     "error",
		"log.format":    "text",
		"ledger.dsn":    filepath.Join(dir, "gateway.db"),
		"ledger.retain": config.RetainLatest,
		"auth.keys": []any{map[string]any{
			"name": "demo", "sha256": hex.EncodeToString(digest[:]), "scopes": []any{"read", "write"}, "routes": []any{"*"},
		}},
		"routes": sandboxes.routes(),
	}})
	if err != nil {
		return err
	}
	routes, err := config.Open(cfg, adapters.All)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		host, _, _ := net.SplitHostPort(addr)
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return fmt.Errorf("cannot listen on %s: %w; choose another --addr", addr, err)
		}
	}
	server, err := p.newServer(ctx, cfg, routes)
	if err != nil {
		_ = listener.Close()
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- server.serve(ctx, listener) }()

	show := &show{program: p, paint: painterFor(p.out, p.environ), url: "http://" + listener.Addr().String(), sandboxes: sandboxes}
	if err := show.run(ctx); err != nil && ctx.Err() == nil {
		stop()
		<-served
		return err
	}
	if once {
		stop()
	}
	return <-served
}

// show sends the samples and tells what happened.
type show struct {
	*program
	paint     painter
	url       string
	sandboxes sandboxes
	answers   []answer
}

// answer is what the gateway said to one sample.
type answer struct {
	id       string
	body     []byte
	status   int
	took     time.Duration
	envelope struct {
		OperationID string `json:"operationId"`
		Outcome     string `json:"outcome"`
		Results     []struct {
			Route    string             `json:"route"`
			Status   string             `json:"status"`
			Action   string             `json:"action"`
			RemoteID string             `json:"remoteId"`
			Warnings []canonical.Notice `json:"warnings"`
			Error    json.RawMessage    `json:"error"`
		} `json:"results"`
	}
}

func (s *show) run(ctx context.Context) error {
	fmt.Fprintf(s.out, "%s\n\nThe gateway is at %s, with an emulator of every provider beside it:\n\n", s.paint.paint(bold, "customer-gateway demo"), s.url)
	t := table{}
	t.add("ROUTE", "PROVIDER'S API")
	for _, sb := range s.sandboxes {
		t.add(sb.route, sb.url+sb.server.Provider().Route().BasePath)
	}
	t.write(s.out, s.paint, "  ")
	for _, c := range story {
		if err := s.send(ctx, c.id, c.what); err != nil {
			return err
		}
	}
	s.held()
	s.losses()
	s.refusal()
	if err := s.recovery(ctx); err != nil {
		return err
	}
	s.tryThis()
	return nil
}

// recovery breaks a provider, upserts, and shows how the gateway goes on by itself.
func (s *show) recovery(ctx context.Context) error {
	broken := s.sandboxes[0]
	// As often as one call tries.
	fault := strings.NewReader(`{"kind":"status","status":503,"times":3}`)
	if _, err := s.call(ctx, http.MethodPost, broken.url+"/_emulator/faults", fault); err != nil {
		return err
	}
	if err := s.send(ctx, story[0].id, "while "+broken.server.Provider().Name()+" is out of order"); err != nil {
		return err
	}
	last := s.answers[len(s.answers)-1]
	began := time.Now()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		body, err := s.call(ctx, http.MethodGet, s.url+"/v1/operations/"+last.envelope.OperationID, nil)
		if err != nil {
			return err
		}
		if v, _ := canonical.Parse(body); v.Get("outcome").Str() != "pending" {
			fmt.Fprintf(s.out, "\n  It was on disk before it was sent, so the gateway went on by itself: %s after %s.\n", v.Get("outcome").Str(), time.Since(began).Round(time.Millisecond))
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call sends a request with the demo's key and returns the body of the answer.
func (s *show) call(ctx context.Context, method, url string, body io.Reader) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+demoKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: status %d", method, url, resp.StatusCode)
	}
	return data, err
}

// send puts one sample and shows the answer route by route.
func (s *show) send(ctx context.Context, id, what string) error {
	body, err := samples.ReadFile("samples/" + id + ".json")
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url+"/v1/customers/"+id, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+demoKey)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("sending %s: %w", id, err)
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{id: id, status: resp.StatusCode, took: time.Since(began)}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return fmt.Errorf("sending %s: %w", id, err)
	}
	if err := json.Unmarshal(a.body, &a.envelope); err != nil {
		return fmt.Errorf("sending %s: status %d, %w", id, a.status, err)
	}
	s.answers = append(s.answers, a)

	fmt.Fprintf(s.out, "\n%s (%s): %d %s in %s\n\n", s.paint.paint(bold, "PUT /v1/customers/"+id), what, a.status, a.envelope.Outcome, a.took.Round(time.Millisecond))
	t := table{colour: func(_, column int, text string) string {
		switch {
		case column != 1:
			return ""
		case text == "succeeded" || text == "unchanged":
			return green
		case text == "pending":
			return yellow
		}
		return red
	}}
	t.add("ROUTE", "STATUS", "ACTION", "REMOTE ID", "NOT HELD THERE")
	for _, r := range a.envelope.Results {
		note := fmt.Sprintf("%d fields", lossy(r.Warnings))
		if n := lossy(r.Warnings); n == 0 {
			note = "nothing is lost"
		} else if n == 1 {
			note = "1 field"
		}
		if r.Error != nil {
			v, _ := canonical.Parse(r.Error)
			note = v.Get("code").Str()
		}
		t.add(r.Route, r.Status, orDash(r.Action), orDash(r.RemoteID), note)
	}
	t.write(s.out, s.paint, "  ")
	return nil
}

func lossy(notices []canonical.Notice) (n int) {
	for _, notice := range notices {
		if notice.Code.Lossy() {
			n++
		}
	}
	return n
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// held shows every provider's records, in the provider's own words.
func (s *show) held() {
	fmt.Fprintf(s.out, "\n%s\n\n", s.paint.paint(bold, "What each provider now holds, in its own words"))
	t := table{}
	t.add("ROUTE", "ITS ID", "KNOWN BY", "SOME OF ITS FIELDS")
	sent := sentTexts()
	for _, sb := range s.sandboxes {
		for _, r := range sb.server.Provider().Records() {
			document, _ := canonical.Parse(r.Document)
			t.add(sb.route, shorten(r.ID, 36), shorten(r.Key, 34), shorten(strings.Join(flatten("", document, sent), ", "), 110))
		}
	}
	t.write(s.out, s.paint, "  ")
}

// sentTexts are the texts of the samples, without signs and spaces.
func sentTexts() map[string]bool {
	texts := map[string]bool{}
	for _, c := range story {
		body, _ := samples.ReadFile("samples/" + c.id + ".json")
		v, _ := canonical.Parse(body)
		collect(v, texts)
	}
	return texts
}

func collect(v canonical.Value, into map[string]bool) {
	for i := range v.Len() {
		collect(v.At(i), into)
	}
	if v.Kind() == canonical.KindString {
		into[lettersAndDigits(v.Str())] = true
	}
}

func lettersAndDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// flatten lists the members of a document that hold a text which was sent, as
// path=text, and leaves out what the provider added.
func flatten(path string, v canonical.Value, sent map[string]bool) []string {
	var all []string
	switch v.Kind() {
	case canonical.KindObject, canonical.KindArray:
		for i := range v.Len() {
			name := fmt.Sprint(i)
			if v.Kind() == canonical.KindObject {
				name = v.NameAt(i)
			}
			all = append(all, flatten(strings.TrimPrefix(path+"."+name, "."), v.At(i), sent)...)
		}
	case canonical.KindString:
		if sent[lettersAndDigits(v.Str())] && !strings.HasPrefix(path, "_") {
			all = append(all, path+"="+v.Str())
		}
	}
	return all
}

// losses shows which stated fields which route could not hold.
func (s *show) losses() {
	fmt.Fprintf(s.out, "\n%s\n\n", s.paint.paint(bold, "What could not be held, and where (reported as warnings, never lost silently)"))
	t := table{}
	t.add("CUSTOMER", "FIELD", "NOT AT")
	for _, a := range s.answers {
		where := map[string][]string{}
		for _, r := range a.envelope.Results {
			for _, n := range r.Warnings {
				if n.Code.Lossy() {
					where[n.Pointer] = append(where[n.Pointer], strings.TrimSuffix(r.Route, routeSuffix))
				}
			}
		}
		pointers := make([]string, 0, len(where))
		for pointer := range where {
			pointers = append(pointers, pointer)
		}
		slices.Sort(pointers)
		for _, pointer := range pointers {
			t.add(a.id, pointer, strings.Join(where[pointer], ", "))
		}
	}
	t.write(s.out, s.paint, "  ")
}

// refusal shows the first error as the caller got it.
func (s *show) refusal() {
	for _, a := range s.answers {
		for _, r := range a.envelope.Results {
			if r.Error == nil {
				continue
			}
			fmt.Fprintf(s.out, "\n%s\n\n", s.paint.paint(bold, "What "+r.Route+" refused of "+a.id+", in the gateway's one error format"))
			var indented bytes.Buffer
			if json.Indent(&indented, r.Error, "  ", "  ") == nil {
				fmt.Fprintf(s.out, "  %s\n", indented.String())
			}
			return
		}
	}
}

// tryThis prints requests to go on with.
func (s *show) tryThis() {
	first := s.sandboxes[0]
	fmt.Fprintf(s.out, `
%s

  # Upsert a customer of your own
  curl -i -X PUT %[2]s/v1/customers/me-1 -H 'Authorization: Bearer %[3]s' -H 'Content-Type: application/json' \
    -d '{"name":{"givenName":"Ada","familyName":"Byron"},"emails":[{"value":"ada@example.com"}],"createdAt":"2026-01-01T00:00:00Z"}'

  # A mistake: every fault at once, each with a pointer
  curl -s -X PUT %[2]s/v1/customers/me-2 -H 'Authorization: Bearer %[3]s' -H 'Content-Type: application/json' \
    -d '{"name":{"givenname":"Ada"},"emails":[{"value":"ada"}],"birthDate":"1815-02-30"}'

  # Break %[4]s a hundred times, upsert again, and see what waits and why
  curl -s -X POST %[5]s/_emulator/faults -d '{"kind":"status","status":503,"times":100}'
  CUSTOMER_GATEWAY_KEY=%[3]s go run ./cmd/customer-gateway status --url %[2]s
  curl -s %[2]s/v1/customers/me-1 -H 'Authorization: Bearer %[3]s'

  # What %[4]s holds, and what every error code means
  curl -s %[5]s/_emulator/records
  curl -s %[2]s/v1/errors

Ctrl-C ends the demo.
`, s.paint.paint(bold, "Try it"), s.url, demoKey, first.server.Provider().Name(), first.url)
}
