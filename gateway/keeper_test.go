package gateway_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/ledger/sqlite"
	"customer-gateway/gateway/transport"
)

// desk is a provider whose behaviour can be changed, and what it saw.
type desk struct {
	mu   sync.Mutex
	seen []string // "customer:name"
	how  http.HandlerFunc
}

func (d *desk) behave(how http.HandlerFunc) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.how = how
}

func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	d.mu.Lock()
	d.seen = append(d.seen, r.Header.Get("X-Customer")+":"+r.Header.Get("X-Name"))
	how := d.how
	d.mu.Unlock()
	if how == nil {
		how = func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "r-"+r.Header.Get("X-Customer"))
		}
	}
	how(w, r)
}

func (d *desk) calls() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.seen)
}

// kept is a gateway with a ledger and one route, "a".
type kept struct {
	*gateway.Gateway
	desk   *desk
	store  ledger.Store
	client *transport.Client
	path   string
}

// keep opens a gateway with a ledger. change may alter the route and the options.
func keep(t *testing.T, change func(*gateway.Route, *transport.Config, *gateway.Options)) *kept {
	t.Helper()
	k := &kept{desk: &desk{}, path: filepath.Join(t.TempDir(), "ledger.db")}
	k.start(t, change)
	return k
}

// start opens the gateway on the file that is there.
func (k *kept) start(t *testing.T, change func(*gateway.Route, *transport.Config, *gateway.Options)) {
	t.Helper()
	opened, err := sqlite.Open(t.Context(), k.path, sqlite.Options{Settle: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var store ledger.Store = opened
	k.store = store
	route := gateway.Route{Name: "a", Adapter: &echo{name: "a"}, Required: true, Base: 20 * time.Millisecond}
	config := transport.Config{Route: "a", Provider: "a", BaseURL: upstream(t, k.desk.ServeHTTP), Timeout: 5 * time.Second}
	opts := gateway.Options{Store: store, Settle: 300 * time.Millisecond, Deadline: 2 * time.Second, MaxWait: 10 * time.Second,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&route, &config, &opts)
	}
	if route.Transport, err = transport.New(config, canonical.Auth{}, nil); err != nil {
		t.Fatal(err)
	}
	k.client = route.Transport
	if k.Gateway, err = gateway.New([]gateway.Route{route}, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.Close()
		_ = store.Close()
	})
}

// stop ends the gateway as a clean shutdown does.
func (k *kept) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	k.Shutdown(ctx)
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
}

func named(name string) []byte { return []byte(`{"name":{"givenName":"` + name + `"}}`) }

// command is an upsert of a customer with a name.
func command(t *testing.T, id, name string) gateway.Command {
	t.Helper()
	body := named(name)
	return gateway.Command{Customer: customer(t, id, string(body)), Body: body}
}

// put upserts and returns the envelope and its only result.
func (k *kept) put(t *testing.T, cmd gateway.Command) (*gateway.Envelope, gateway.Result) {
	t.Helper()
	e, err := k.Upsert(t.Context(), cmd)
	if err != nil {
		t.Fatal(err)
	}
	return e, e.Results[0]
}

// eventually waits until ok, for at most ten seconds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("after ten seconds, still not: %s", what)
		}
	}
}

// synced waits until the route has the customer's newest state.
func (k *kept) synced(t *testing.T, id string) gateway.Sync {
	t.Helper()
	var s gateway.Sync
	eventually(t, "the route has "+id, func() bool {
		c, err := k.Customer(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		s = c.Routes[0]
		return s.State == gateway.Synced
	})
	return s
}

func TestKeptUpsert(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	e, r := k.put(t, command(t, "c", "v1"))
	if !e.Kept || !e.First || e.Version == 0 || e.Outcome != gateway.OutcomeComplete || r.Status != gateway.StatusSucceeded || r.RemoteID != "r-c" || r.Action != canonical.ActionUpdated {
		t.Errorf("first upsert: %+v", e)
	}
	again, r := k.put(t, command(t, "c", "v2"))
	if again.First || again.Version <= e.Version || r.Status != gateway.StatusSucceeded {
		t.Errorf("second upsert: %+v, want not the first, and a larger version than %d", again, e.Version)
	}
	c, err := k.Customer(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Routes[0]
	if c.Version != again.Version || s.State != gateway.Synced || s.Applied != again.Version || s.RemoteID != "r-c" || s.AppliedAt.IsZero() {
		t.Errorf("sync state = %+v", c)
	}
	op, err := k.Operation(t.Context(), e.OperationID)
	if err != nil {
		t.Fatal(err)
	}
	if got := op.Results[0]; got.Status != gateway.StatusSkipped || len(got.Warnings) != 1 || got.Warnings[0].Code != canonical.NoticeSuperseded {
		t.Errorf("first operation now = %+v, want skipped as superseded", got)
	}
}

// What a provider cannot take now is pending, goes on by itself, and survives a
// restart of the gateway.
func TestPendingGoesOn(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			t.Parallel()
			k := keep(t, nil)
			k.desk.behave(answer(503, "down"))
			e, r := k.put(t, command(t, "c", "v1"))
			if e.Outcome != gateway.OutcomePending || r.Status != gateway.StatusPending || r.Err == nil || r.Err.Code != canonical.UpstreamUnavailable || r.NextAttemptAt.IsZero() {
				t.Fatalf("envelope = %+v, want pending with the reason and the time of the next attempt", e)
			}
			if restart {
				k.stop(t)
				k.start(t, nil)
			}
			eventually(t, "a second attempt", func() bool { return len(k.desk.calls()) > 1 })
			k.desk.behave(nil)
			k.synced(t, "c")
			op, err := k.Operation(t.Context(), e.OperationID)
			if err != nil {
				t.Fatal(err)
			}
			if got := op.Results[0]; got.Status != gateway.StatusSucceeded || got.RemoteID != "r-c" || op.Outcome != gateway.OutcomeComplete {
				t.Errorf("operation = %+v, want succeeded", op)
			}
		})
	}
}

// The delivery does not end with the patience of its caller.
func TestShortWait(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	release := make(chan struct{})
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		<-release
		_, _ = io.WriteString(w, "r")
	})
	cmd := command(t, "c", "v1")
	cmd.Wait = 100 * time.Millisecond
	began := time.Now()
	e, r := k.put(t, cmd)
	if took := time.Since(began); took > time.Second || r.Status != gateway.StatusPending || e.Outcome != gateway.OutcomePending {
		t.Errorf("after %s: %+v, want pending at once", took, r)
	}
	close(release)
	k.synced(t, "c")
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("calls = %v, want the one that was under way", calls)
	}
}

func TestAsync(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	cmd := command(t, "c", "v1")
	cmd.Async = true
	e, r := k.put(t, cmd)
	if r.Status != gateway.StatusPending || e.Outcome != gateway.OutcomePending || !e.First {
		t.Errorf("envelope = %+v, want pending", e)
	}
	k.synced(t, "c")
}

// Who does not wait is told when the gateway goes on, and why not at once: behind
// another upsert it goes on when that has ended, not when its lease would.
func TestAsyncBehindAnother(t *testing.T) {
	t.Parallel()
	k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) { r.Base = time.Hour })
	entered, release := k.desk.holding(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	first := make(chan struct{})
	cmd := command(t, "c", "v1")
	go func() {
		defer close(first)
		_, _ = k.Upsert(context.Background(), cmd)
	}()
	<-entered
	cmd = command(t, "c", "v2")
	cmd.Async = true
	if _, r := k.put(t, cmd); r.Status != gateway.StatusPending || !r.NextAttemptAt.IsZero() {
		t.Errorf("behind a delivery: %+v, want pending, at a time that is not known", r)
	}
	release()
	<-first
	_, r := k.put(t, cmd)
	if r.Status != gateway.StatusPending || r.Err == nil || r.Err.Code != canonical.UpstreamUnavailable || time.Until(r.NextAttemptAt) < time.Minute {
		t.Errorf("at rest: %+v, want pending because of the last attempt, until the rest is over", r)
	}
}

// A caller who comes while another upsert of the customer is under way waits for
// his turn; of those who wait, the newest state is sent.
func TestOneOrderInTheLedger(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	entered, release := make(chan struct{}, 10), make(chan struct{})
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "r")
	})
	var wg sync.WaitGroup
	statuses := make([]gateway.Status, 4)
	versions := make([]int64, 4)
	start := func(i int) {
		cmd := command(t, "c", fmt.Sprintf("v%d", i))
		wg.Go(func() {
			e, err := k.Upsert(t.Context(), cmd)
			if err != nil {
				t.Error(err)
				return
			}
			statuses[i], versions[i] = e.Results[0].Status, e.Version
		})
	}
	accepted := func() int64 {
		c, err := k.store.Customer(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		return c.Version
	}
	start(1)
	<-entered
	for i := 2; i <= 3; i++ {
		last := accepted()
		start(i)
		eventually(t, "the next is accepted", func() bool { return accepted() > last })
	}
	close(release)
	wg.Wait()
	if want := []gateway.Status{"", gateway.StatusSucceeded, gateway.StatusSkipped, gateway.StatusSucceeded}; !slices.Equal(statuses, want) {
		t.Errorf("statuses = %v, want %v", statuses, want)
	}
	if got, want := strings.Join(k.desk.calls(), " "), "c:v1 c:v3"; got != want {
		t.Errorf("the provider saw %q, want %q", got, want)
	}
	if versions[1] >= versions[2] || versions[2] >= versions[3] {
		t.Errorf("versions = %v, want them growing", versions)
	}
}

func TestUpdatedAtGuards(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	at := func(name, updated string) gateway.Command {
		body := []byte(`{"name":{"givenName":"` + name + `"},"updatedAt":"` + updated + `"}`)
		return gateway.Command{Customer: customer(t, "c", string(body)), Body: body}
	}
	first, _ := k.put(t, at("new", "2026-01-02T00:00:00Z"))
	e, r := k.put(t, at("old", "2026-01-01T00:00:00Z"))
	if r.Status != gateway.StatusSkipped || len(r.Warnings) != 1 || r.Warnings[0].Code != canonical.NoticeSuperseded || e.Outcome != gateway.OutcomeComplete || e.Version != first.Version {
		t.Errorf("older state: %+v, want skipped, superseded by version %d", e, first.Version)
	}
	if _, r := k.put(t, at("same time", "2026-01-02T00:00:00Z")); r.Status != gateway.StatusSucceeded {
		t.Errorf("state of the same time: %+v, want succeeded", r)
	}
	if got, want := strings.Join(k.desk.calls(), " "), "c:new c:same time"; got != want {
		t.Errorf("the provider saw %q, want %q", got, want)
	}
}

func TestIdempotencyKeyResumes(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	entered, release := make(chan struct{}), make(chan struct{})
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		w.WriteHeader(503)
	})
	cmd := command(t, "c", "v1")
	cmd.Key = &ledger.Key{Scope: "shop", Digest: [32]byte{1}, Fingerprint: [32]byte{2}, Keep: time.Hour}
	var first *gateway.Envelope
	done := make(chan error)
	go func() {
		var err error
		first, err = k.Upsert(t.Context(), cmd)
		done <- err
	}()
	<-entered
	if _, err := k.Upsert(t.Context(), cmd); err == nil || canonical.AsError(err).Code != canonical.IdempotencyInFlight {
		t.Errorf("while it runs: %v, want idempotency.in_flight", err)
	}
	k.desk.behave(answer(503, "down"))
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	other := cmd
	other.Key = &ledger.Key{Scope: "shop", Digest: [32]byte{1}, Fingerprint: [32]byte{3}, Keep: time.Hour}
	if _, err := k.Upsert(t.Context(), other); err == nil || canonical.AsError(err).Code != canonical.IdempotencyKeyReused {
		t.Errorf("another request: %v, want idempotency.key_reused", err)
	}
	k.desk.behave(nil)
	e, r := k.put(t, cmd)
	if e.OperationID != first.OperationID || r.Status != gateway.StatusSucceeded || !e.Kept || e.First {
		t.Errorf("resumed: %+v, want operation %s succeeded", e, first.OperationID)
	}
	n := len(k.desk.calls())
	if e, r := k.put(t, cmd); e.OperationID != first.OperationID || r.Status != gateway.StatusSucceeded || len(k.desk.calls()) != n {
		t.Errorf("asked once more: %+v after %d calls, want the same without a call", e, len(k.desk.calls())-n)
	}
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	first, _ := k.put(t, command(t, "c", "v1"))
	cmd := command(t, "c", "v2")
	cmd.Match = ledger.Match{Versions: []int64{first.Version - 1}}
	if _, err := k.Upsert(t.Context(), cmd); err == nil || canonical.AsError(err).Code != canonical.RequestPreconditionFailed {
		t.Errorf("other version: %v, want request.precondition_failed", err)
	}
	cmd.Match = ledger.Match{Versions: []int64{first.Version}}
	if _, r := k.put(t, cmd); r.Status != gateway.StatusSucceeded {
		t.Errorf("same version: %+v", r)
	}
	if calls := k.desk.calls(); len(calls) != 2 {
		t.Errorf("calls = %v, want two", calls)
	}
}

// What the provider refuses for good is a dead letter at once; a replay sends the
// newest state, and so does a new upsert.
func TestDeadLetter(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	k.desk.behave(answer(422, "no"))
	e, r := k.put(t, command(t, "c", "v1"))
	if e.Outcome != gateway.OutcomeFailed || r.Status != gateway.StatusRejected || r.Err.Code != canonical.UpstreamInvalid {
		t.Fatalf("envelope = %+v, want rejected", e)
	}
	letters, err := k.DeadLetters(t.Context(), ledger.Filter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || letters[0].CustomerID != "c" || letters[0].OperationID != e.OperationID || letters[0].Err.Code != canonical.UpstreamInvalid || len(letters[0].History) != 1 || letters[0].Provider != "a" {
		t.Fatalf("dead letters = %+v", letters)
	}
	k.desk.behave(nil)
	if n, err := k.Replay(t.Context(), ledger.Filter{Code: canonical.UpstreamInvalid}); n != 1 || err != nil {
		t.Errorf("Replay = %d, %v, want 1", n, err)
	}
	k.synced(t, "c")
	if op, err := k.Operation(t.Context(), e.OperationID); err != nil || op.Results[0].Status != gateway.StatusSucceeded {
		t.Errorf("operation = %+v, %v, want succeeded", op, err)
	}
}

// A state is given up only when its attempts and its age are spent.
func TestAttemptsExhausted(t *testing.T) {
	t.Parallel()
	k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) {
		r.Base, r.MaxAge = time.Millisecond, time.Millisecond
	})
	k.desk.behave(answer(429, "slow down"))
	k.desk.behave(answer(500, "oops"))
	cmd := command(t, "c", "v1")
	cmd.Async = true
	e, _ := k.put(t, cmd)
	var op *gateway.Envelope
	eventually(t, "it is given up", func() bool {
		var err error
		if op, err = k.Operation(t.Context(), e.OperationID); err != nil {
			t.Fatal(err)
		}
		return op.Results[0].Status == gateway.StatusFailed
	})
	if r := op.Results[0]; r.Err.Code != canonical.RouteAttemptsExhausted {
		t.Errorf("result = %+v, want route.attempts_exhausted", r)
	}
	letters, err := k.DeadLetters(t.Context(), ledger.Filter{Limit: 10})
	if err != nil || len(letters) != 1 || len(letters[0].History) != 10 {
		t.Errorf("dead letters = %+v, %v, want one with ten entries", letters, err)
	}
}

// A paused route keeps its work, over a restart too.
func TestPause(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	if err := k.Pause(t.Context(), "a", "maintenance"); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, "c", "v1")
	cmd.Wait = 100 * time.Millisecond
	e, r := k.put(t, cmd)
	if r.Status != gateway.StatusPending || r.Err == nil || r.Err.Code != canonical.RoutePaused {
		t.Errorf("result = %+v, want pending because the route is paused", r)
	}
	// Whoever asks is told why, and no time that is not kept.
	c, err := k.Customer(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Routes[0]; s.Err == nil || s.Err.Code != canonical.RoutePaused || !s.NextAttemptAt.IsZero() {
		t.Errorf("sync state = %+v, want that the route is paused", s)
	}
	op, err := k.Operation(t.Context(), e.OperationID)
	if err != nil {
		t.Fatal(err)
	}
	if r := op.Results[0]; r.Err == nil || r.Err.Code != canonical.RoutePaused || !r.NextAttemptAt.IsZero() {
		t.Errorf("operation = %+v, want that the route is paused", r)
	}
	k.stop(t)
	k.start(t, nil)
	_, r = k.put(t, cmd)
	if r.Status != gateway.StatusPending || len(k.desk.calls()) != 0 {
		t.Errorf("after a restart: %+v and %v, want pending and no call", r, k.desk.calls())
	}
	if err := k.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	k.synced(t, "c")
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("calls = %v, want one: two states, the newest sent", calls)
	}
}

func TestPatch(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) { o.Latest = true })
	first, _ := k.put(t, command(t, "c", "v1"))
	e, err := k.Patch(t.Context(), "c", []byte(`{"name":{"familyName":"F"},"note":null}`), gateway.Command{Match: ledger.Match{Versions: []int64{first.Version}}})
	if err != nil || e.Results[0].Status != gateway.StatusSucceeded {
		t.Fatalf("Patch = %+v, %v", e, err)
	}
	held, err := k.store.Customer(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(held.Payload), `{"name":{"givenName":"v1","familyName":"F"},"note":null}`; got != want {
		t.Errorf("state = %s, want %s", got, want)
	}
	for _, tt := range []struct {
		id, patch string
		match     ledger.Match
		want      canonical.Code
	}{
		{"c", `{"name":{"givenname":"x"}}`, ledger.Match{}, canonical.RequestInvalid},
		{"c", `[]`, ledger.Match{}, canonical.RequestMalformed},
		{"c", `{}`, ledger.Match{Versions: []int64{first.Version}}, canonical.RequestPreconditionFailed},
		{"nobody", `{}`, ledger.Match{}, canonical.RequestNotFound},
	} {
		if _, err := k.Patch(t.Context(), tt.id, []byte(tt.patch), gateway.Command{Match: tt.match}); err == nil || canonical.AsError(err).Code != tt.want {
			t.Errorf("Patch(%s, %s) = %v, want %s", tt.id, tt.patch, err, tt.want)
		}
	}
}

// A remembered remote id that leads nowhere is dropped, once.
func TestRemoteIDIsForgotten(t *testing.T) {
	t.Parallel()
	var ids sync.Map
	k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) {
		r.Adapter = &byID{echo: echo{name: "a"}, ids: &ids}
	})
	if _, r := k.put(t, command(t, "c", "v1")); r.RemoteID != "r-c" {
		t.Fatalf("result = %+v, want remote id r-c", r)
	}
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Remote-Id") == "r-c" {
			w.WriteHeader(404)
			return
		}
		_, _ = io.WriteString(w, "r-new")
	})
	if _, r := k.put(t, command(t, "c", "v2")); r.Status != gateway.StatusSucceeded || r.RemoteID != "r-new" || r.Attempts != 2 {
		t.Errorf("result = %+v, want r-new after two requests", r)
	}
	if s := k.synced(t, "c"); s.RemoteID != "r-new" {
		t.Errorf("remembered %q, want r-new", s.RemoteID)
	}
}

// byID sends the remote id it is given.
type byID struct {
	echo
	ids *sync.Map
}

func (a *byID) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	r, notices, err := a.echo.Translate(u)
	r.Header.Set("X-Remote-Id", u.RemoteID)
	return r, notices, err
}

func (a *byID) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status == http.StatusNotFound {
		return canonical.Outcome{}, &canonical.Error{Code: canonical.UpstreamNotFound}
	}
	return a.echo.Interpret(u, sent, got)
}

// Two customers that a provider keeps as one record are told apart from a success.
func TestRemoteIDConflict(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	k.desk.behave(answer(200, "same"))
	k.put(t, command(t, "c1", "v1"))
	_, r := k.put(t, command(t, "c2", "v1"))
	if r.Status != gateway.StatusRejected || r.Err.Code != canonical.UpstreamIdentityConflict {
		t.Errorf("result = %+v, want upstream.identity_conflict", r)
	}
}

// A store that takes no results keeps nobody from his answer for ever, and gets
// the results when it does again.
func TestResultsWaitForTheStore(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) {
		o.Store = &stubborn{Store: o.Store, broken: &broken}
	})
	broken.Store(true)
	cmd := command(t, "c", "v1")
	cmd.Wait = 200 * time.Millisecond
	if _, r := k.put(t, cmd); r.Status != gateway.StatusPending {
		t.Errorf("result = %+v, want pending", r)
	}
	broken.Store(false)
	k.synced(t, "c")
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("calls = %v, want one: the result was kept", calls)
	}
}

// stubborn is a store that takes no results while broken.
type stubborn struct {
	ledger.Store
	broken *atomic.Bool
}

func (s *stubborn) Finish(f []ledger.Finish, done func([]ledger.Finished, error)) {
	if s.broken.Load() {
		done(nil, &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the disk is full"})
		return
	}
	s.Store.Finish(f, done)
}

// Erasing leaves nothing to ask for.
func TestErase(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	e, _ := k.put(t, command(t, "c", "v1"))
	if err := k.Erase(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Customer(t.Context(), "c"); err == nil || canonical.AsError(err).Code != canonical.RequestNotFound {
		t.Errorf("customer: %v, want request.not_found", err)
	}
	if _, err := k.Operation(t.Context(), e.OperationID); err == nil || canonical.AsError(err).Code != canonical.RequestNotFound {
		t.Errorf("operation: %v, want request.not_found", err)
	}
}
