package emulator

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Change is what one request did to one record. The list of all changes is the
// truth about what a provider went through, and in which order.
type Change struct {
	Seq     int       `json:"seq"`            // counts from 1, without gaps
	Arrived time.Time `json:"arrived"`        // when the request came
	At      time.Time `json:"at"`             // when it took effect
	Late    bool      `json:"late,omitempty"` // by Fault.Late, behind the sender's back
	Record  Record    `json:"record"`         // as it has been since
}

// Changes is a part of the list of changes.
type Changes struct {
	Changes []Change `json:"changes"`
	// Repeats is how many requests that could have changed something changed
	// nothing.
	Repeats int `json:"repeats"`
	// Late is how many changes came by Fault.Late.
	Late int `json:"late"`
	// Pending is how many requests have not ended or, by Fault.Late, not taken
	// effect yet.
	Pending int `json:"pending"`
}

// maxChanges bounds the list of changes; older ones are dropped first.
const maxChanges = 4_000

// maxLate bounds the requests that wait to take effect; more are lost.
const maxLate = 1_000

// watcher keeps the list of changes.
type watcher struct {
	on      atomic.Bool
	mu      sync.Mutex // held while the provider changes something
	changes []Change
	last    int               // the number of the last change
	held    map[string]string // key and document by id, as of the last change
	repeats int
	late    int
}

// Watch begins the list of changes. From then on the provider answers one
// changing request at a time, so that the list is in the order of the effects.
// It costs a look at all records for each such request.
func (s *Server) Watch() {
	s.watcher.mu.Lock()
	defer s.watcher.mu.Unlock()
	if s.watcher.on.CompareAndSwap(false, true) {
		_ = s.watcher.compare(s.provider.Records())
	}
}

// Changes returns the changes since Watch whose number is higher than after,
// oldest first. Only the last 4,000 are kept.
func (s *Server) Changes(after int) Changes {
	s.mu.Lock()
	pending := s.pending
	s.mu.Unlock()
	w := &s.watcher
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.last - len(w.changes) // the number before the oldest kept
	skip := min(max(after-first, 0), len(w.changes))
	return Changes{Changes: append([]Change{}, w.changes[skip:]...), Repeats: w.repeats, Late: w.late, Pending: pending}
}

// serve lets the provider do the work, and notes what that changes.
func (s *Server) serve(rw http.ResponseWriter, r *http.Request, arrived time.Time, late bool) {
	w := &s.watcher
	if r.Method == http.MethodGet || r.Method == http.MethodHead || !w.on.Load() {
		s.provider.ServeHTTP(rw, r)
		return
	}
	keepBody(r) // or a slow sender would hold up all the others
	w.mu.Lock()
	defer w.mu.Unlock()
	s.provider.ServeHTTP(rw, r)
	changed := w.compare(s.provider.Records())
	if len(changed) == 0 {
		w.repeats++
	}
	now := s.opts.Now()
	for _, record := range changed {
		if len(w.changes) == maxChanges {
			w.changes = append(w.changes[:0], w.changes[maxChanges/10:]...)
		}
		w.last++
		if late {
			w.late++
		}
		w.changes = append(w.changes, Change{Seq: w.last, Arrived: arrived, At: now, Late: late, Record: record})
	}
}

// compare returns the records that are new or other than they were.
func (w *watcher) compare(records []Record) []Record {
	if w.held == nil {
		w.held = map[string]string{}
	}
	var changed []Record
	for _, record := range records {
		now := record.Key + "\n" + string(record.Document)
		if was, known := w.held[record.ID]; !known || was != now {
			w.held[record.ID] = now
			changed = append(changed, record)
		}
	}
	return changed
}

// later gives a copy of the request to the provider after d, whatever becomes of
// the request itself, unless the emulator ends before.
func (s *Server) later(r *http.Request, arrived time.Time, d time.Duration) {
	keepBody(r)
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	again := r.Clone(context.WithoutCancel(r.Context()))
	again.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return
	default:
	}
	if s.latecomers == maxLate {
		return
	}
	s.latecomers++
	s.pending++
	s.background.Go(func() {
		if s.wait(again, d) {
			s.serve(discard{header: http.Header{}}, again, arrived, true)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.latecomers--
		s.pending--
	})
}

// keepBody reads the body into memory. What keeps it from being read to its end
// is met by the next reader too.
func keepBody(r *http.Request) {
	body, err := io.ReadAll(r.Body)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), broken{err}))
}

// broken is the end of a body.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) {
	if b.err == nil {
		return 0, io.EOF
	}
	return 0, b.err
}
