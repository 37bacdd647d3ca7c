package emulator_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// notebook is a provider that keeps one text for each path.
type notebook struct {
	counter

	mu    sync.Mutex
	paths []string
	texts map[string]string
}

func (n *notebook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, n.texts[r.URL.Path])
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if _, known := n.texts[r.URL.Path]; !known {
		n.paths = append(n.paths, r.URL.Path)
	}
	n.texts[r.URL.Path] = string(body)
}

func (n *notebook) Records() []emulator.Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []emulator.Record
	for i, path := range n.paths {
		doc, _ := json.Marshal(n.texts[path])
		all = append(all, emulator.Record{ID: strconv.Itoa(i), Key: path, Document: doc})
	}
	return all
}

// story returns "path text" of every change, with a mark behind the late ones.
func story(c emulator.Changes) string {
	var all []string
	for _, change := range c.Changes {
		text := change.Record.Key + " " + string(change.Record.Document)
		if change.Late {
			text += " late"
		}
		all = append(all, text)
	}
	return strings.Join(all, ", ")
}

func TestChanges(t *testing.T) {
	t.Parallel()
	n := &notebook{texts: map[string]string{}}
	clock := emulator.NewClock(time.Unix(1000, 0))
	s := emulator.NewServer(n, emulator.Options{Now: clock.Now})
	h := serveHTTP(t, s)
	call(t, "PUT", h+"/a", "before")
	s.Watch()
	for _, body := range []string{"1", "2", "2", "3"} {
		call(t, "PUT", h+"/a", body)
	}
	call(t, "GET", h+"/a", "")
	clock.Advance(time.Second)
	call(t, "PUT", h+"/b", strings.Repeat("x", 5<<20)) // more than is read
	call(t, "PUT", h+"/b", "1")

	got := s.Changes(0)
	if want := `/a "1", /a "2", /a "3", /b "1"`; story(got) != want || got.Repeats != 2 || got.Late != 0 || got.Pending != 0 {
		t.Errorf("changes %s and %+v, want %s", story(got), got, want)
	}
	for i, c := range got.Changes {
		if c.Seq != i+1 || c.Arrived.After(c.At) {
			t.Errorf("change %d: %+v", i, c)
		}
	}
	if last := got.Changes[3].At; !last.Equal(clock.Now()) {
		t.Errorf("the last change is of %v, want %v", last, clock.Now())
	}
	for after, want := range map[int]string{2: `/a "3", /b "1"`, 4: "", 9: "", -1: story(got)} {
		if got := story(s.Changes(after)); got != want {
			t.Errorf("changes after %d: %s, want %s", after, got, want)
		}
	}
}

func TestChangesAreBounded(t *testing.T) {
	t.Parallel()
	n := &notebook{texts: map[string]string{}}
	s := emulator.NewServer(n, emulator.Options{})
	s.Watch()
	const all = 4100
	for i := range all {
		s.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("PUT", "/a", strings.NewReader(strconv.Itoa(i))))
	}
	got := s.Changes(0).Changes
	if first, last := got[0], got[len(got)-1]; len(got) > 4000 || first.Seq != all-len(got)+1 || last.Seq != all {
		t.Errorf("%d changes, from %d to %d", len(got), first.Seq, last.Seq)
	}
	if got := s.Changes(all - 1).Changes; len(got) != 1 || got[0].Seq != all {
		t.Errorf("the last change: %+v", got)
	}
}

// What is late takes effect after what came later.
func TestLate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault emulator.Fault
		want  string // beginning of the answer
	}{
		{emulator.Fault{}, "error"},
		{emulator.Fault{Kind: emulator.FaultReset}, "error"},
		{emulator.Fault{Kind: emulator.FaultStatus, Status: 504, After: true}, "Gateway Timeout"},
	} {
		n := &notebook{texts: map[string]string{}}
		s := emulator.NewServer(n, emulator.Options{})
		h := serveHTTP(t, s)
		s.Watch()
		tt.fault.Times, tt.fault.Late = 1, 300*time.Millisecond
		s.Script(tt.fault)
		if got := call(t, "PUT", h+"/a", "old"); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%+v: %q, want %q", tt.fault, got, tt.want)
		}
		call(t, "PUT", h+"/a", "new")
		waitFor(t, func() bool { return s.Changes(0).Pending == 0 })
		got := s.Changes(0)
		if want := `/a "new", /a "old" late`; story(got) != want || got.Late != 1 {
			t.Errorf("%+v: %s, want %s", tt.fault, story(got), want)
		}
		if c := got.Changes; len(c) == 2 && !c[1].Arrived.Before(c[0].At) {
			t.Errorf("%+v: the late request arrived at %v, after %v", tt.fault, c[1].Arrived, c[0].At)
		}
	}
}

func TestCloseEndsWhatIsLate(t *testing.T) {
	t.Parallel()
	n := &notebook{texts: map[string]string{}}
	s := emulator.NewServer(n, emulator.Options{})
	h := serveHTTP(t, s)
	s.Script(emulator.Fault{Late: time.Hour})
	call(t, "PUT", h+"/a", "never")
	s.Close()
	call(t, "PUT", h+"/a", "never")
	if got := s.Changes(0); got.Pending != 0 || len(n.Records()) != 0 {
		t.Errorf("%+v and %v after the end", got, n.Records())
	}
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("it does not come about")
		}
	}
}
