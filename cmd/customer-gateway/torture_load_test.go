//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// door is where the gateway is found.
type door struct {
	mu   sync.Mutex
	run  *life         // nil while it is shut
	news chan struct{} // closed when that changes
}

// life is one life of the gateway.
type life struct {
	*process
	url     string
	told    atomic.Int64 // when it was told to end, in Unix nanoseconds; 0 before
	savaged atomic.Bool  // it was killed or stopped
}

// open says where the gateway is; nil says nowhere.
func (d *door) open(r *life) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run = r
	if d.news != nil {
		close(d.news)
		d.news = nil
	}
}

// wait returns the gateway when there is one, nil when ctx has ended.
func (d *door) wait(ctx context.Context) *life {
	for ctx.Err() == nil {
		d.mu.Lock()
		r := d.run
		if r == nil && d.news == nil {
			d.news = make(chan struct{})
		}
		news := d.news
		d.mu.Unlock()
		if r != nil {
			return r
		}
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
	return nil
}

// spoken is what the gateway says to anything.
type spoken struct {
	status      int
	Code        string
	OperationID string
	Version     int64
	Results     []struct {
		Route, Status string
		Error         struct{ Code string }
	}
}

// direct is a client that opens a connection for each request and repeats nothing
// by itself, so that what happened to a request is known.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}

// fetch sends one request and decodes the answer into v. written is when the request
// had been sent as a whole, zero if it was not.
func fetch(ctx context.Context, method, url string, header http.Header, body []byte, v any) (status int, written time.Time, err error) {
	var wrote atomic.Int64
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err == nil {
			wrote.Store(time.Now().UnixNano())
		}
	}})
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, time.Time{}, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := direct.Do(req)
	if at := wrote.Load(); at != 0 {
		written = time.Unix(0, at)
	}
	if err != nil {
		return 0, written, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, written, err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return 0, written, fmt.Errorf("%s %s: status %d: %w in %.300s", method, req.URL.Path, resp.StatusCode, err, text)
	}
	return resp.StatusCode, written, nil
}

// writer writes customers, one request after the other.
type writer struct {
	*epoch
	rand *rand.Rand
}

// work writes until ctx ends. What it has begun then comes to its end.
func (c *writer) work(ctx context.Context) {
	for c.pause(ctx, 10*time.Millisecond) {
		customer := int(c.retired.Load()) + c.rand.IntN(c.abreast)
		if c.rand.IntN(25) == 0 {
			c.look(ctx, customer)
			continue
		}
		r := c.draw(customer)
		c.put(c.ctx, r)
		if r.fate == accepted && r.key != "" && c.rand.IntN(6) == 0 {
			c.again(c.ctx, r)
		}
	}
}

// pause waits for a random time with the given mean and reports whether ctx goes on.
func (c *writer) pause(ctx context.Context, mean time.Duration) bool {
	return rest(ctx, time.Duration(c.rand.ExpFloat64()*float64(mean)))
}

// rest waits for d and reports whether ctx has not ended.
func rest(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// draw makes up a request and notes it in the chronicle.
func (c *writer) draw(customer int) *statement {
	s := c.chronicle
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &statement{customer: customer, number: len(s.statements) + 1, routes: s.routes, fate: unknown}
	s.statements = append(s.statements, r)
	chance := func(percent int) bool { return c.rand.IntN(100) < percent }
	if chance(10) {
		r.routes = slices.Sorted(slices.Values([]string{s.routes[c.rand.IntN(len(s.routes))], s.routes[c.rand.IntN(len(s.routes))]}))
		r.routes = slices.Compact(r.routes)
	}
	if chance(35) {
		r.key = fmt.Sprintf("key-%d-%d", c.rand.Int64(), r.number)
	}
	r.poison = chance(2)
	newest := c.newest[customer]
	switch {
	case newest == 0:
	case chance(3):
		r.old = true
	case chance(4):
		r.matched = newest
	}
	r.patch = c.latest && newest != 0 && !r.old && chance(20)
	r.sent = time.Now()
	return r
}

// stated is the updatedAt of all states but the old ones.
var stated = time.Date(2026, 2, 3, 9, 7, 54, 0, time.UTC)

// body states the whole customer, with the mark where all providers keep it.
func (r *statement) body() []byte {
	updated, attributes := stated, "null"
	if r.old {
		updated = updated.Add(-time.Hour)
	}
	if r.poison {
		attributes = `{"favouriteColour":"teal"}` // a field that the route does not know
	}
	if r.patch {
		return fmt.Appendf(nil, `{"name":{"familyName":"%s"},"attributes":%s}`, r.mark(), attributes)
	}
	return fmt.Appendf(nil, `{"name":{"givenName":"Lucy","familyName":"%s"},"emails":[{"value":"customer%d@example.com"}],
		"phoneNumbers":[{"value":"+1646555%04d","type":"mobile"}],"attributes":%s,
		"addresses":[{"type":"billing","lines":["1 Main Street"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}],
		"createdAt":"2026-01-05T10:00:00Z","updatedAt":%q}`, r.mark(), r.customer, 1000+r.customer, attributes, updated.Format(time.RFC3339))
}

// send sends the statement once, with a body and further header fields.
func (r *statement) send(ctx context.Context, s *chronicle, gate *life, body []byte, more http.Header) (a spoken, written time.Time, err error) {
	method, header := http.MethodPut, http.Header{"Content-Type": {"application/json"}}
	if r.patch {
		method, header = http.MethodPatch, http.Header{"Content-Type": {"application/merge-patch+json"}}
	}
	maps.Copy(header, more)
	if r.key != "" {
		header.Set("Idempotency-Key", r.key)
	}
	if r.matched != 0 {
		header.Set("If-Match", fmt.Sprintf(`"%d"`, r.matched))
	}
	target := gate.url + "/v1/customers/" + customerID(r.customer)
	if len(r.routes) < len(s.routes) {
		target += "?routes=" + url.QueryEscape(strings.Join(r.routes, ","))
	}
	a.status, written, err = fetch(ctx, method, target, header, body, &a)
	return a, written, err
}

// preference is how a caller likes to wait.
func preference(rand *rand.Rand) http.Header {
	switch rand.IntN(8) {
	case 0, 1:
		return http.Header{"Prefer": {"respond-async"}}
	case 2:
		return http.Header{"Prefer": {"wait=1"}}
	}
	return nil
}

// put sends a request until its fate is known, which without a key may be never.
func (c *writer) put(ctx context.Context, r *statement) {
	body, prefer, note := r.body(), preference(c.rand), ""
	for tries := 1; ; tries++ {
		gate := c.door.wait(ctx)
		if gate == nil {
			return
		}
		c.counts.requests.Add(1)
		note = note[max(0, len(note)-200):]
		a, written, err := r.send(ctx, c.chronicle, gate, body, prefer)
		now := time.Now()
		if err == nil {
			note += fmt.Sprintf("[%s %d %s]", clock(now), a.status, a.Code)
			if r.key == "" || !later(a.Code) {
				c.settle(r, &a, note, now)
				return
			}
			rest(ctx, 50*time.Millisecond)
			continue
		}
		note += fmt.Sprintf("[%s %v]", clock(now), errors.Unwrap(err))
		if told := gate.told.Load(); told != 0 && !gate.savaged.Load() && !written.IsZero() && written.Before(time.Unix(0, told).Add(-300*time.Millisecond)) {
			c.chronicle.blame(r.customer, "a request in flight at SIGTERM was cut off: V%dN%d, written %s, signal %s: %v", r.customer, r.number, clock(written), clock(time.Unix(0, told)), err)
		}
		c.counts.cut.Add(1)
		if r.key != "" { // it will tell
			rest(ctx, 5*time.Millisecond)
			continue
		}
		if tries == 1 && errors.Is(err, syscall.ECONNREFUSED) {
			c.close(r, refused, note, now)
			return
		}
		if e, ok := errors.AsType[*url.Error](err); ok && e.Timeout() {
			now = time.Time{} // it may still come to it
		}
		c.close(r, unknown, note, now)
		return
	}
}

// later reports whether a refusal says nothing about what the same key named
// before.
func later(code string) bool {
	return code == "idempotency.in_flight" || code == "gateway.overloaded" || code == "gateway.store_unavailable"
}

// close notes a fate that is not acceptance.
func (c *writer) close(r *statement, f fate, note string, at time.Time) {
	c.chronicle.mu.Lock()
	defer c.chronicle.mu.Unlock()
	r.fate, r.note, r.ended = f, note, at
}

// settle notes what an answer says.
func (c *writer) settle(r *statement, a *spoken, note string, at time.Time) {
	if a.Version == 0 || a.Results == nil {
		c.close(r, refused, note, at)
		switch {
		case later(a.Code): // it was shutting down, or the disk was slow
			c.counts.shed.Add(1)
		case r.matched != 0 && a.Code == "request.precondition_failed":
			c.counts.refused.Add(1)
		default:
			c.chronicle.blame(r.customer, "a request was answered with %d %s: %s", a.status, a.Code, r)
		}
		return
	}
	results := map[string]string{}
	skipped := 0
	for _, result := range a.Results {
		results[result.Route] = result.Status
		if result.Status == "skipped" {
			skipped++
		}
	}
	if r.old {
		c.close(r, refused, note, at)
		if skipped != len(r.routes) {
			c.chronicle.blame(r.customer, "a state with an older updatedAt was not skipped: %v %s", results, r)
		}
		c.counts.refused.Add(1)
		return
	}
	c.counts.accepted.Add(1)
	c.chronicle.mu.Lock()
	defer c.chronicle.mu.Unlock()
	r.fate, r.version, r.operation, r.results, r.note, r.ended = accepted, a.Version, a.OperationID, results, note, at
	if len(r.routes) == len(c.chronicle.routes) {
		c.newest[r.customer] = max(c.newest[r.customer], r.version)
	}
	select {
	case c.answered <- struct{}{}:
	default:
	}
}

// again repeats a request whose fate is known, or sends another with its key.
func (c *writer) again(ctx context.Context, r *statement) {
	other := c.rand.IntN(4) == 0
	body := r.body()
	if other {
		body = bytes.Replace(body, []byte(`"name":{`), []byte(`"name":{"middleName":"Ann",`), 1)
	}
	for {
		gate := c.door.wait(ctx)
		if gate == nil {
			return
		}
		a, _, err := r.send(ctx, c.chronicle, gate, body, nil)
		switch {
		case err != nil, later(a.Code):
			rest(ctx, 20*time.Millisecond)
			continue
		case other && a.status == http.StatusUnprocessableEntity && a.Code == "idempotency.key_reused":
		case !other && a.OperationID == r.operation && a.Version == r.version:
		default:
			c.chronicle.blame(r.customer, "the key of %s, with another body: %t, was answered with %d %s, operation %s %d", r, other, a.status, a.Code, a.OperationID, a.Version)
		}
		c.counts.repeated.Add(1)
		return
	}
}

// look reads a customer: what was answered before is there.
func (c *writer) look(ctx context.Context, customer int) {
	c.chronicle.mu.Lock()
	least := c.newest[customer]
	c.chronicle.mu.Unlock()
	gate := c.door.wait(ctx)
	if gate == nil || least == 0 {
		return
	}
	var got customerState
	status, _, err := fetch(ctx, http.MethodGet, gate.url+"/v1/customers/"+customerID(customer), nil, nil, &got)
	if err != nil {
		return
	}
	if status != http.StatusOK && status != http.StatusServiceUnavailable || status == http.StatusOK && got.Version < least {
		c.chronicle.blame(customer, "version %d was answered, and later the gateway said %d with version %d", least, status, got.Version)
	}
}

// customerID is the application's id of a customer.
func customerID(customer int) string { return fmt.Sprintf("c-%d", customer) }
