// Package emulator holds what the five provider emulators share: scripted
// faults, a request log, a quota and the control calls under /_emulator/.
//
// A provider's own emulator lives in adapters/<provider>/sandbox. It is written
// from the provider's contract sheet and never from the adapter, so that both
// can be wrong only independently of each other.
package emulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Provider is one provider's emulated API. Its ServeHTTP answers the provider's
// paths relative to the emulator's root. All methods are safe for concurrent
// use.
type Provider interface {
	http.Handler
	// Name is the provider's name, as routes state it.
	Name() string
	// Records lists what the provider holds now, in order of creation.
	Records() []Record
	// RateLimited answers a request over the quota in the provider's own shape.
	RateLimited(w http.ResponseWriter, r *http.Request, retryAfter time.Duration)
	// Route is what a gateway route needs to reach this emulator.
	Route() Route
}

// Record is one customer as the provider holds it.
type Record struct {
	ID       string          `json:"id"`       // the provider's own id
	Key      string          `json:"key"`      // what the provider identifies it by: the caller's id, an e-mail address
	Document json.RawMessage `json:"document"` // the record in the provider's own words
}

// Route is the part of a gateway route's configuration that an emulator
// decides. The base URL is the emulator's root URL followed by BasePath.
type Route struct {
	BasePath    string
	Credentials map[string]string
	Settings    map[string]any
}

// Fault is a scripted misbehaviour. The first fault whose Method and Path match
// a request is applied to it.
type Fault struct {
	Method string            `json:"method,omitempty"` // empty: any
	Path   string            `json:"path,omitempty"`   // part of the path; empty: any
	Times  int               `json:"times,omitempty"`  // how many requests; 0: until cleared
	Delay  time.Duration     `json:"delay,omitempty"`  // wait before anything else, in nanoseconds
	Kind   FaultKind         `json:"kind,omitempty"`   // empty: only the delay
	Status int               `json:"status,omitempty"` // for FaultStatus, FaultHTML and FaultTruncate; 0: 503
	Header map[string]string `json:"header,omitempty"` // set on the answer
	Body   string            `json:"body,omitempty"`   // for FaultStatus
	// After applies the fault once the provider has done the work, so that the
	// effect is there and only the answer is lost or wrong.
	After bool `json:"after,omitempty"`
	// Late lets the provider do the work that long after the request came, in
	// nanoseconds, whatever its sender was told meanwhile. Without a Kind the
	// connection is closed without an answer. After has no meaning with it.
	Late time.Duration `json:"late,omitempty"`
}

// FaultKind says how a Fault misbehaves.
type FaultKind string

// The kinds of fault.
const (
	FaultNone     FaultKind = ""         // only Delay
	FaultStatus   FaultKind = "status"   // answer Status with Header and Body
	FaultHTML     FaultKind = "html"     // answer Status with an HTML page
	FaultReset    FaultKind = "reset"    // close the connection without an answer
	FaultTruncate FaultKind = "truncate" // promise more bytes than are sent, then close
	FaultHang     FaultKind = "hang"     // answer nothing until the client gives up
)

// Exchange is one request the emulator saw and how it answered. It holds no
// body and no header, so that it can be shown anywhere.
type Exchange struct {
	Method string `json:"method"`
	Path   string `json:"path"` // without the query
	Status int    `json:"status"`
}

// Options adjust an emulator. The zero value has no quota.
type Options struct {
	// Quota is how many requests are answered in each Window; 0 means any number.
	Quota  int
	Window time.Duration // default one second
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Server wraps a Provider with the quota, the faults, the log and the control
// calls. It is an http.Handler, safe for concurrent use.
type Server struct {
	provider Provider
	opts     Options

	mu          sync.Mutex
	faults      []Fault
	exchanges   []Exchange
	windowStart time.Time
	used        int
	pending     int // requests that have not ended or not taken effect
	latecomers  int // those that wait for Fault.Late
	closed      chan struct{}

	watcher    watcher
	background sync.WaitGroup
}

// maxExchanges bounds the request log; older entries are dropped first.
const maxExchanges = 10_000

// maxBody bounds the request bodies that the emulators read, in bytes.
const maxBody = 4 << 20

// NewServer wraps p.
func NewServer(p Provider, opts Options) *Server {
	if opts.Window <= 0 {
		opts.Window = time.Second
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Server{provider: p, opts: opts, closed: make(chan struct{})}
}

// Provider returns the wrapped provider.
func (s *Server) Provider() Provider { return s.provider }

// Close ends requests held by FaultHang or a Delay, and what waits for Late.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	s.mu.Unlock()
	s.background.Wait()
}

// Script appends faults.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, faults...)
}

// ClearFaults removes every fault.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Exchanges returns the requests seen so far, oldest first, control calls
// excluded.
func (s *Server) Exchanges() []Exchange {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Exchange(nil), s.exchanges...)
}

// ServeHTTP applies faults and quota, then hands over to the provider.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rest, ok := strings.CutPrefix(r.URL.Path, "/_emulator/"); ok {
		s.control(w, r, rest)
		return
	}
	arrived := s.opts.Now()
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	recorder := &statusRecorder{ResponseWriter: w}
	s.begin()
	defer func() { s.end(r, recorder.status) }()
	fault, faulty := s.take(r)
	if faulty && !s.wait(r, fault.Delay) {
		return
	}
	if faulty && (fault.Kind != FaultNone || fault.Late > 0) {
		switch {
		case fault.Late > 0:
			s.later(r, arrived, fault.Late)
		case fault.After:
			s.serve(discard{header: http.Header{}}, r, arrived, false)
		}
		s.misbehave(recorder, r, fault)
		return
	}
	if wait, over := s.overQuota(); over {
		s.provider.RateLimited(recorder, r, wait)
		return
	}
	s.serve(recorder, r, arrived, false)
}

func (s *Server) take(r *http.Request) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || !strings.Contains(r.URL.Path, f.Path) {
			continue
		}
		if f.Times > 0 {
			if s.faults[i].Times--; s.faults[i].Times == 0 {
				s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			}
		}
		return f, true
	}
	return Fault{}, false
}

// wait holds the request for d and reports whether it is still wanted.
func (s *Server) wait(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

func (s *Server) misbehave(w http.ResponseWriter, r *http.Request, f Fault) {
	for k, v := range f.Header {
		w.Header().Set(k, v)
	}
	status := f.Status
	if status == 0 {
		status = http.StatusServiceUnavailable
	}
	switch f.Kind {
	case FaultStatus:
		w.WriteHeader(status)
		_, _ = io.WriteString(w, f.Body)
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, "<!doctype html><html><head><title>%d</title></head><body><h1>%s</h1></body></html>", status, http.StatusText(status))
	case FaultTruncate:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "4096")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"cut":`)
		panic(http.ErrAbortHandler)
	case FaultHang:
		// The server notices that the client has gone only after the body is read.
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		panic(http.ErrAbortHandler)
	default:
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) overQuota() (time.Duration, bool) {
	if s.opts.Quota <= 0 {
		return 0, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Now()
	if now.Sub(s.windowStart) >= s.opts.Window {
		s.windowStart, s.used = now, 0
	}
	if s.used >= s.opts.Quota {
		return s.windowStart.Add(s.opts.Window).Sub(now), true
	}
	s.used++
	return 0, false
}

func (s *Server) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending++
}

func (s *Server) end(r *http.Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending--
	if len(s.exchanges) == maxExchanges {
		s.exchanges = append(s.exchanges[:0], s.exchanges[maxExchanges/10:]...)
	}
	s.exchanges = append(s.exchanges, Exchange{Method: r.Method, Path: r.URL.Path, Status: status})
}

// control answers GET records, GET exchanges, GET and POST changes, and GET, POST
// and DELETE faults.
func (s *Server) control(w http.ResponseWriter, r *http.Request, what string) {
	var answer any
	switch r.Method + " " + what {
	case "GET records":
		answer = s.provider.Records()
	case "GET exchanges":
		answer = s.Exchanges()
	case "GET changes":
		after, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("after"), "0"))
		if err != nil {
			http.Error(w, "after must be the number of a change, such as ?after=17", http.StatusBadRequest)
			return
		}
		answer = s.Changes(after)
	case "POST changes":
		s.Watch()
		answer = s.Changes(0)
	case "GET faults":
		s.mu.Lock()
		answer = append([]Fault{}, s.faults...)
		s.mu.Unlock()
	case "POST faults":
		var f Fault
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&f); err != nil {
			http.Error(w, "fault: "+err.Error()+"; send one JSON object such as {\"kind\":\"status\",\"status\":503,\"times\":3}", http.StatusBadRequest)
			return
		}
		s.Script(f)
		answer = f
	case "DELETE faults":
		s.ClearFaults()
		answer = []Fault{}
	default:
		http.Error(w, "the control calls are GET /_emulator/records, GET /_emulator/exchanges, GET or POST /_emulator/changes, and GET, POST or DELETE /_emulator/faults", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(answer)
}

// statusRecorder remembers the status that was answered.
type statusRecorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader remembers and passes on status.
func (w *statusRecorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts as status 200 when none was written.
func (w *statusRecorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// discard is an answer nobody receives.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
