package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"customer-gateway/canonical"
)

// The environment variables that say where the gateway is and with which key.
const (
	envURL = "CUSTOMER_GATEWAY_URL"
	envKey = "CUSTOMER_GATEWAY_KEY"
)

// defaultURL is where serve listens if nothing else is configured.
const defaultURL = "http://127.0.0.1:8080"

// answerTime bounds a call, but for those that stream.
const answerTime = 30 * time.Second

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 20

// target is the flags that say which gateway a command talks to.
type target struct{ url, keyFile string }

func (t *target) register(cmd *cobra.Command) {
	t.registerURL(cmd)
	// There is no flag for the key itself: everyone on the machine would see it.
	cmd.Flags().StringVar(&t.keyFile, "key-file", "", "file that holds the API key (default $"+envKey+")")
}

// registerURL is register for a command that needs no key.
func (t *target) registerURL(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.url, "url", "", "base URL of the gateway (default $"+envURL+" or "+defaultURL+")")
}

// client calls a running gateway.
type client struct {
	base *url.URL // without a slash at the end
	key  canonical.Secret
	http *http.Client
}

// dial returns a client of the gateway. It does not connect yet.
func (p *program) dial(t target) (*client, error) {
	c, err := p.locate(t)
	if err == nil {
		c.key, err = p.key(t.keyFile)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// locate is dial without a key.
func (p *program) locate(t target) (*client, error) {
	raw, source := t.url, "--url"
	if raw == "" {
		raw, source = p.variable(envURL), envURL
	}
	if raw == "" {
		raw = defaultURL
	}
	base, err := url.Parse(raw)
	switch {
	case err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Hostname() == "":
		return nil, usageError{fmt.Errorf("%s must be an absolute URL, such as %s", source, defaultURL)}
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, usageError{fmt.Errorf("%s must be a URL without a user, query or fragment; the API key comes from --key-file or %s", source, envKey)}
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), ""
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTime
	return &client{base: base, http: &http.Client{
		Transport: transport,
		// A redirect would turn a POST into a GET, and take the key elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// key reads the API key.
func (p *program) key(file string) (canonical.Secret, error) {
	if file == "" {
		return usable(p.variable(envKey), envKey)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", usageError{fmt.Errorf("--key-file: %w", err)}
	}
	if len(data) == 0 {
		return "", usageError{fmt.Errorf("--key-file: %s is empty", file)}
	}
	return usable(strings.TrimRight(string(data), "\r\n"), "--key-file: "+file)
}

// usable refuses a key that no header field can carry.
func usable(key, source string) (canonical.Secret, error) {
	if strings.ContainsFunc(key, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return "", usageError{fmt.Errorf("%s holds more than an API key: it has white space in it", source)}
	}
	return canonical.Secret(key), nil
}

// variable returns the value of an environment variable.
func (p *program) variable(name string) string {
	for i := len(p.environ) - 1; i >= 0; i-- {
		if key, value, ok := strings.Cut(p.environ[i], "="); ok && key == name {
			return value
		}
	}
	return ""
}

func (c *client) close() { c.http.CloseIdleConnections() }

// call makes one request and reads the whole answer. query and body may be nil; a
// body is sent as JSON. The time is the gateway's, as far as it tells.
func (c *client) call(ctx context.Context, method, path string, query url.Values, body any) (answer []byte, now time.Time, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return nil, time.Time{}, err
		}
		content = bytes.NewReader(data)
	}
	req, err := c.request(ctx, method, path, query, content)
	if err != nil {
		return nil, time.Time{}, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.do(req)
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, time.Time{}, c.unreachable(ctx, err)
	case len(answer) > maxAnswer:
		return nil, time.Time{}, fmt.Errorf("%s: the answer is longer than %d MiB; narrow the request", c.base, maxAnswer>>20)
	}
	if now, err = http.ParseTime(resp.Header.Get("Date")); err != nil {
		now = time.Now()
	}
	return answer, now, nil
}

// get is call for a JSON document, which it also returns as it came.
func (c *client) get(ctx context.Context, path string, query url.Values, into any) (answer []byte, now time.Time, err error) {
	if answer, now, err = c.call(ctx, http.MethodGet, path, query, nil); err != nil {
		return nil, now, err
	}
	return answer, now, c.decode(answer, into)
}

func (c *client) decode(answer []byte, into any) error {
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("%s: the answer is not the JSON of a gateway: is --url right?", c.base)
	}
	return nil
}

// request builds a request with the API key. path is escaped.
func (c *client) request(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Request, error) {
	to := c.base.String() + path
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, to, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.base, errors.Unwrap(err))
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "customer-gateway/"+version())
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	}
	return req, nil
}

// do sends a request. An answer that is no 2xx is an error, as is none at all.
func (c *client) do(req *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(req.Context(), err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return nil, c.refused(resp, text)
}

// unreachableError is a call without an answer.
type unreachableError struct {
	url   string
	cause error
	way   string
	final bool // it will not work later either
}

// Error names the gateway, the cause and the way out.
func (e *unreachableError) Error() string { return fmt.Sprintf("%s: %v%s", e.url, e.cause, e.way) }

// Unwrap returns the cause.
func (e *unreachableError) Unwrap() error { return e.cause }

// unreachable explains why a call had no answer.
func (c *client) unreachable(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // it names the URL again
	}
	e := &unreachableError{url: c.base.String(), cause: err}
	final := true
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var certificate *tls.CertificateVerificationError
	var plain tls.RecordHeaderError
	var timeout net.Error
	var lookup *net.DNSError
	switch {
	case errors.As(err, &authority):
		e.cause, e.way = errors.New("its certificate is signed by an authority that is not known here"), "; set SSL_CERT_FILE to a file with that authority's certificate"
	case errors.As(err, &name):
		e.cause, e.way = errors.New("its certificate is for another name"), "; use a name that the certificate has"
	case errors.As(err, &certificate):
		e.cause, e.way = fmt.Errorf("its certificate is not valid: %w", certificate.Err), "; the operator of the gateway renews it"
	case errors.As(err, &plain), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		e.cause, e.way = errors.New("it does not speak TLS"), "; begin the URL with http://"
	default:
		final = false
	}
	switch {
	case final:
	case errors.As(err, &lookup):
		e.cause, e.way = fmt.Errorf("the name %s has no address", lookup.Name), "; check --url or "+envURL
	case errors.Is(err, syscall.ECONNREFUSED):
		e.cause, e.way = errors.New("connection refused"), ": is the gateway running? Name another with --url or "+envURL
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		e.cause, e.way = errors.New("no answer in time"), "; look at GET /readyz and at the gateway's log"
	}
	e.final = final
	return e
}

// problem is the one shape in which the gateway tells an error.
type problem struct {
	Title     string                 `json:"title"`
	Status    int                    `json:"status"`
	Detail    string                 `json:"detail"`
	Code      canonical.Code         `json:"code"`
	Retryable bool                   `json:"retryable"`
	Route     string                 `json:"route,omitempty"`
	Errors    []canonical.FieldError `json:"errors,omitempty"`
}

// refusedError is an answer that is no success.
type refusedError struct {
	url        string
	status     int
	problem    problem // without a code if the answer is not a gateway's
	retryAfter time.Duration
	way        string
}

// Error names the gateway, the cause and the way out.
func (e *refusedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: status %d", e.url, e.status)
	if e.problem.Code != "" {
		fmt.Fprintf(&b, ", %s: %s", printable(string(e.problem.Code)), printable(e.problem.Detail))
	}
	for _, f := range e.problem.Errors {
		fmt.Fprintf(&b, "; %s: %s", printable(f.Field+f.Pointer), printable(f.Message))
	}
	if e.way != "" {
		b.WriteString("; " + e.way)
	}
	return b.String()
}

// refused explains an answer that is no success.
func (c *client) refused(resp *http.Response, body []byte) error {
	e := &refusedError{url: c.base.String(), status: resp.StatusCode}
	if json.Unmarshal(body, &e.problem) != nil {
		e.problem = problem{}
	}
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after > 0 {
		e.retryAfter = time.Duration(after) * time.Second
	}
	switch {
	case e.problem.Code == canonical.CallerUnauthenticated && c.key == "":
		e.way = "put the key into a file and name it with --key-file, or set " + envKey
	case e.problem.Code == canonical.CallerUnauthenticated:
		e.way = "check --key-file or " + envKey + "; it is the key itself, not the digest that auth.keys lists"
	case e.problem.Code == canonical.CallerForbidden:
		e.way = "use a key that has the scope and the routes; they are listed in auth.keys"
	case e.problem.Code != "":
	case resp.StatusCode/100 == 3:
		e.way = "it redirects elsewhere, and the key is not taken there; name that place with --url"
	case bytes.Contains(body, []byte("HTTP request to an HTTPS server")):
		e.way = "it speaks TLS: begin the URL with https://"
	default:
		e.way = "that is no answer of a gateway: check --url or " + envURL
	}
	return e
}

// passing reports whether the same call may work a little later.
func passing(err error) bool {
	if e, ok := errors.AsType[*refusedError](err); ok {
		switch e.status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return e.status == http.StatusConflict && e.problem.Retryable
	}
	e, ok := errors.AsType[*unreachableError](err)
	return ok && !e.final
}

// printable returns s without what would move a terminal's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// printJSON writes an answer of the gateway as it came.
func (p *program) printJSON(answer []byte) error {
	_, err := fmt.Fprintf(p.out, "%s\n", bytes.TrimSpace(answer))
	return err
}

// age says how long ago t was, in its two largest units.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := max(0, now.Sub(t))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// asJSON is used for what cannot fail.
func asJSON(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a type that cannot be encoded: a defect
	}
	return data
}
