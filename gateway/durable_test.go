package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
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

// slot returns what the store has of a customer.
func (k *kept) slot(t *testing.T, id string) ledger.Slot {
	t.Helper()
	s, err := k.store.Slot(t.Context(), "a", id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// async upserts without waiting.
func (k *kept) async(t *testing.T, id, name string) *gateway.Envelope {
	t.Helper()
	cmd := command(t, id, name)
	cmd.Async = true
	e, _ := k.put(t, cmd)
	return e
}

// holding makes the desk hold every call until release is called, and tells of
// each that has come.
func (d *desk) holding(t *testing.T, then http.HandlerFunc) (entered <-chan struct{}, release func()) {
	t.Helper()
	came, open := make(chan struct{}, 1000), make(chan struct{})
	release = sync.OnceFunc(func() { close(open) })
	t.Cleanup(release)
	d.behave(func(w http.ResponseWriter, r *http.Request) {
		came <- struct{}{}
		select {
		case <-open:
		case <-r.Context().Done():
		}
		then(w, r)
	})
	return came, release
}

// Many callers of one customer at once are all answered, in one order, and the
// provider ends with the newest state.
func TestManyCallersOfOneCustomer(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	const callers = 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	names, statuses := map[int64]string{}, map[gateway.Status]int{}
	for i := range callers {
		cmd := command(t, "c", fmt.Sprintf("v%d", i))
		cmd.Wait = 10 * time.Second
		wg.Go(func() {
			e, err := k.Upsert(t.Context(), cmd)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			names[e.Version] = fmt.Sprintf("c:v%d", i)
			statuses[e.Results[0].Status]++
		})
	}
	wg.Wait()
	k.synced(t, "c")
	var newest int64
	for v := range names {
		newest = max(newest, v)
	}
	calls := k.desk.calls()
	if len(names) != callers || calls[len(calls)-1] != names[newest] {
		t.Errorf("%d versions; the provider has %s, want %s", len(names), calls[len(calls)-1], names[newest])
	}
	if n := statuses[gateway.StatusSucceeded] + statuses[gateway.StatusSkipped]; n != callers || statuses[gateway.StatusSucceeded] != len(calls) {
		t.Errorf("statuses = %v after %d calls, want every caller answered, and a success for each call", statuses, len(calls))
	}
	var order []int64
	for _, call := range calls {
		for v, name := range names {
			if name == call {
				order = append(order, v)
			}
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("the provider saw the versions %v, want them growing", order)
	}
}

// Every one of many patches that come at once lands.
func TestConcurrentPatchesAllLand(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) { o.Latest = true })
	k.put(t, command(t, "c", "v1"))
	const patches = 60
	var wg sync.WaitGroup
	for i := range patches {
		wg.Go(func() {
			if _, err := k.Patch(t.Context(), "c", fmt.Appendf(nil, `{"attributes":{"k%d":%d}}`, i, i), gateway.Command{Wait: 10 * time.Second}); err != nil {
				t.Errorf("patch %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	held, err := k.store.Customer(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if got := customer(t, "c", string(held.Payload)); len(got.Attributes.Value()) != patches {
		t.Errorf("%d attributes are there, want %d", len(got.Attributes.Value()), patches)
	}
}

// A caller does not wait for what cannot come while he does.
func TestNoWaitForNothing(t *testing.T) {
	t.Parallel()
	hourly := func(r *gateway.Route, _ *transport.Config, o *gateway.Options) {
		r.Base, o.Deadline = time.Hour, 8*time.Second
	}
	soon := func(t *testing.T, k *kept, code canonical.Code) {
		t.Helper()
		began := time.Now()
		_, r := k.put(t, command(t, "c", "v2"))
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("the answer took %s", took)
		}
		if r.Status != gateway.StatusPending || r.Err == nil || r.Err.Code != code {
			t.Errorf("result = %+v, want pending with %s", r, code)
		}
	}
	t.Run("resting", func(t *testing.T) {
		t.Parallel()
		k := keep(t, hourly)
		k.desk.behave(answer(503, "down"))
		k.put(t, command(t, "c", "v1"))
		soon(t, k, canonical.UpstreamUnavailable)
		if s := k.slot(t, "c"); time.Until(s.NextAt) < 10*time.Minute {
			t.Errorf("the slot rests until %s, want it to keep its back-off", s.NextAt)
		}
	})
	t.Run("paused", func(t *testing.T) {
		t.Parallel()
		k := keep(t, hourly)
		if err := k.Pause(t.Context(), "a", "maintenance"); err != nil {
			t.Fatal(err)
		}
		soon(t, k, canonical.RoutePaused)
	})
	t.Run("held", func(t *testing.T) {
		t.Parallel()
		k := keep(t, hourly)
		k.desk.behave(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "3000")
			w.WriteHeader(429)
		})
		k.put(t, command(t, "c", "v1"))
		soon(t, k, canonical.UpstreamRateLimited)
	})
}

// Who waits for the state of a customer that is erased is told that there is
// nothing left to do.
func TestErasedWhileWaiting(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) { o.Deadline = 8 * time.Second })
	entered, release := k.desk.holding(t, answer(200, "r"))
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = k.Upsert(t.Context(), command(t, "c", "v1")) })
	<-entered
	first := k.slot(t, "c").Desired
	second := command(t, "c", "v2")
	answered := make(chan gateway.Result)
	go func() {
		e, err := k.Upsert(t.Context(), second)
		if err != nil {
			t.Error(err)
			close(answered)
			return
		}
		answered <- e.Results[0]
	}()
	eventually(t, "the second is accepted", func() bool { return k.slot(t, "c").Desired > first })
	if err := k.Erase(t.Context(), "c"); err != nil && canonical.AsError(err).Code != canonical.GatewayStoreUnavailable {
		t.Fatal(err)
	}
	if r := <-answered; r.Status != gateway.StatusSkipped {
		t.Errorf("result = %+v, want skipped", r)
	}
	release()
	wg.Wait()
	if _, err := k.store.Customer(t.Context(), "c"); err == nil {
		t.Error("what was in flight left a trace")
	}
}

// A state that failed while a newer one was waiting will not be sent again.
func TestRetryIsSuperseded(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	entered, release := k.desk.holding(t, answer(503, "down"))
	var r gateway.Result
	var wg sync.WaitGroup
	cmd := command(t, "c", "v1")
	wg.Go(func() {
		e, err := k.Upsert(t.Context(), cmd)
		if err != nil {
			t.Error(err)
			return
		}
		r = e.Results[0]
	})
	<-entered
	k.async(t, "c", "v2")
	release()
	wg.Wait()
	if r.Status != gateway.StatusSkipped || len(r.Warnings) != 1 || r.Warnings[0].Code != canonical.NoticeSuperseded {
		t.Errorf("result = %+v, want skipped, superseded", r)
	}
}

// Resuming waits for the delivery that is under way, and sends nothing.
func TestResumeJoinsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	entered, release := k.desk.holding(t, answer(200, "r-c"))
	cmd := command(t, "c", "v1")
	cmd.Wait = 100 * time.Millisecond
	cmd.Key = &ledger.Key{Scope: "shop", Digest: [32]byte{1}, Fingerprint: [32]byte{2}, Keep: time.Hour}
	first, r := k.put(t, cmd)
	if r.Status != gateway.StatusPending {
		t.Fatalf("result = %+v, want pending", r)
	}
	<-entered
	time.AfterFunc(50*time.Millisecond, release)
	cmd.Wait = 5 * time.Second
	again, r := k.put(t, cmd)
	if again.OperationID != first.OperationID || r.Status != gateway.StatusSucceeded || r.RemoteID != "r-c" {
		t.Errorf("resumed: %+v, want %s succeeded", again, first.OperationID)
	}
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("calls = %v, want one", calls)
	}
}

// What the provider asks for holds the route as long as it asks, not as long as
// the customer's own back-off, and outlives a restart.
func TestRetryAfterIsKept(t *testing.T) {
	t.Parallel()
	slow := func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) { r.Base = time.Hour }
	k := keep(t, slow)
	k.desk.behave(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(429)
	})
	_, r := k.put(t, command(t, "c", "v1"))
	if r.Status != gateway.StatusPending || r.Err.Code != canonical.UpstreamRateLimited {
		t.Fatalf("result = %+v, want pending with upstream.rate_limited", r)
	}
	held := func() time.Duration {
		routes, err := k.store.Routes(t.Context())
		if err != nil || len(routes) != 1 {
			t.Fatalf("routes = %+v, %v", routes, err)
		}
		return routes[0].NotBefore.Sub(k.store.Now())
	}
	if rest := held(); rest < 20*time.Second || rest > 30*time.Second {
		t.Errorf("the route is held for %s, want 30s", rest)
	}
	k.stop(t)
	k.desk.behave(nil)
	k.start(t, slow)
	if state, _ := k.Route("a"); state.State.Gate != transport.GateNotBefore {
		t.Errorf("after a restart: %+v, want it held", state)
	}
	if _, r := k.put(t, command(t, "d", "v1")); r.Status != gateway.StatusPending {
		t.Errorf("result = %+v, want pending", r)
	}
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("calls = %v, want one", calls)
	}
}

// What only waits spends no attempts and leaves no history, however often.
func TestWaitingSpendsNothing(t *testing.T) {
	t.Parallel()
	var waited atomic.Int32
	k := keep(t, func(r *gateway.Route, _ *transport.Config, o *gateway.Options) {
		r.MaxAge = time.Millisecond
		o.Observer = &watcher{delivery: func(_ bool, _ ledger.Verdict, uncounted bool) {
			if uncounted {
				waited.Add(1)
			}
		}}
	})
	k.client.Pause("the ledger does not know") // so leases are granted
	eventually(t, "it has waited a dozen times", func() bool {
		k.put(t, command(t, "c", "v1"))
		return waited.Load() > 12
	})
	eventually(t, "the last is written", func() bool { return k.slot(t, "c").State == ledger.Due })
	if s := k.slot(t, "c"); s.Attempts != 0 {
		t.Errorf("slot = %+v, want no attempt spent", s)
	}
	if calls := k.desk.calls(); len(calls) != 0 {
		t.Errorf("calls = %v, want none", calls)
	}
	k.client.Resume()
	k.synced(t, "c")
}

// watcher is an Observer.
type watcher struct {
	delivery func(background bool, verdict ledger.Verdict, uncounted bool)
}

func (w *watcher) Result(string, gateway.Status, canonical.Code, time.Duration) {}

func (w *watcher) Delivery(_ string, background bool, verdict ledger.Verdict, uncounted bool) {
	w.delivery(background, verdict, uncounted)
}

// A panic outside an adapter costs its delivery, not the route's background work.
func TestBacklogOutlivesPanic(t *testing.T) {
	t.Parallel()
	var once sync.Once
	k := keep(t, func(_ *gateway.Route, c *transport.Config, o *gateway.Options) {
		c.Limit.Concurrency = 1
		o.Observer = &watcher{delivery: func(bool, ledger.Verdict, bool) { once.Do(func() { panic("observer") }) }}
	})
	for _, id := range []string{"c", "d", "e"} {
		k.async(t, id, "v1")
		k.synced(t, id)
	}
}

// Callers find their turn while a backlog drains.
func TestBacklogGoesBehindCallers(t *testing.T) {
	t.Parallel()
	k := keep(t, func(r *gateway.Route, c *transport.Config, _ *gateway.Options) {
		r.Rate = 100
		c.Limit = transport.Limit{Rate: 100, Burst: 20, Concurrency: 4}
	})
	if err := k.Pause(t.Context(), "a", ""); err != nil {
		t.Fatal(err)
	}
	const backlog = 200
	for i := range backlog {
		k.async(t, fmt.Sprintf("b%d", i), "v1")
	}
	if err := k.Resume(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the backlog is on its way", func() bool { return len(k.desk.calls()) > 0 })
	for i := range 20 {
		if _, r := k.put(t, command(t, fmt.Sprintf("live%d", i), "v1")); r.Status != gateway.StatusSucceeded {
			t.Errorf("caller %d: %+v, want succeeded", i, r)
		}
	}
	if n := len(k.desk.calls()); n >= backlog {
		t.Errorf("the backlog was done already, after %d calls: this shows nothing", n)
	}
	eventually(t, "the backlog is done", func() bool { return len(k.desk.calls()) == backlog+20 })
}

// Whoever finishes a lease that is over changes no outcome; what he may have
// overwritten is sent once more.
func TestZombieIsFenced(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	k.put(t, command(t, "c", "v1"))
	zombie, err := k.store.Accept(t.Context(), ledger.Accept{Customer: "c", Routes: []string{"a"}, Payload: named("v2"), Lease: time.Millisecond})
	if err != nil || zombie.Places[0].Lease == nil {
		t.Fatalf("accepted = %+v, %v, want a lease", zombie, err)
	}
	e, r := k.put(t, command(t, "c", "v3"))
	if r.Status != gateway.StatusSucceeded {
		t.Fatalf("result = %+v, want succeeded", r)
	}
	k.synced(t, "c")
	done, err := ledger.Settle(t.Context(), k.store, []ledger.Finish{{Route: "a", Customer: "c", Token: zombie.Places[0].Lease.Token, Version: zombie.Version, Verdict: ledger.Applied}})
	if err != nil || !done[0].Lost {
		t.Fatalf("finished = %+v, %v, want it lost", done, err)
	}
	eventually(t, "the newest state is sent once more", func() bool {
		calls := k.desk.calls()
		return len(calls) > 2 && calls[len(calls)-1] == "c:v3" && calls[len(calls)-2] == "c:v3"
	})
	if s := k.synced(t, "c"); s.Applied != e.Version {
		t.Errorf("applied = %d, want %d", s.Applied, e.Version)
	}
}

// What timed out may still arrive: once it cannot any more, the newest state is sent
// once more, though it was confirmed.
func TestLateArrivalIsRepaired(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, c *transport.Config, _ *gateway.Options) { c.Timeout = 100 * time.Millisecond })
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Name") == "v1" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, "r-c")
	})
	cmd := command(t, "c", "v1")
	cmd.Wait = 50 * time.Millisecond
	if _, r := k.put(t, cmd); r.Status != gateway.StatusPending {
		t.Fatalf("result = %+v, want pending", r)
	}
	e, r := k.put(t, command(t, "c", "v2"))
	if r.Status != gateway.StatusSucceeded {
		t.Fatalf("result = %+v, want succeeded", r)
	}
	again := func() int {
		n := 0
		for _, call := range k.desk.calls() {
			if call == "c:v2" {
				n++
			}
		}
		return n
	}
	// Until then nobody is told that the provider has it: an older state may stand there.
	if s := k.synced(t, "c"); s.Applied != e.Version || again() != 2 {
		t.Errorf("synced with %d after %d calls, want with %d after two", s.Applied, again(), e.Version)
	}
}

// A dead letter of a state that was there before says why it died.
func TestDeadLetterOfRepetition(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) { o.Latest = true })
	k.put(t, command(t, "c", "v1"))
	k.synced(t, "c")
	k.desk.behave(answer(422, "no"))
	if n, _, err := k.Resync(t.Context(), "a"); n != 1 || err != nil {
		t.Fatalf("Resync = %d, %v", n, err)
	}
	var letters []gateway.DeadLetter
	eventually(t, "it is dead", func() bool {
		var err error
		if letters, err = k.DeadLetters(t.Context(), ledger.Filter{Limit: 10}); err != nil {
			t.Fatal(err)
		}
		return len(letters) == 1
	})
	if e := letters[0].Err; e == nil || e.Code != canonical.UpstreamInvalid {
		t.Errorf("dead letter: %v, want upstream.invalid", e)
	}
	c, err := k.Customer(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Routes[0]; s.State != gateway.Dead || s.Err == nil || s.Err.Code != canonical.UpstreamInvalid {
		t.Errorf("sync state = %+v, want dead with upstream.invalid", s)
	}
}

// A remote id that is found again after it led nowhere is remembered.
func TestRemoteIDFoundAgain(t *testing.T) {
	t.Parallel()
	k := keep(t, func(r *gateway.Route, _ *transport.Config, _ *gateway.Options) {
		r.Adapter = &byID{echo: echo{name: "a"}}
	})
	k.put(t, command(t, "c", "v1"))
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Remote-Id") != "" {
			w.WriteHeader(404)
			return
		}
		_, _ = io.WriteString(w, "r-c")
	})
	if _, r := k.put(t, command(t, "c", "v2")); r.Status != gateway.StatusSucceeded {
		t.Fatalf("result = %+v, want succeeded", r)
	}
	if s := k.synced(t, "c"); s.RemoteID != "r-c" {
		t.Errorf("remembered %q, want r-c", s.RemoteID)
	}
}

// faulty is a store whose methods fail while they are named.
type faulty struct {
	ledger.Store
	mu   sync.Mutex
	down string
	lose bool // leases have no state
}

func (s *faulty) set(down string, lose bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.lose = down, lose
}

func (s *faulty) check(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down == "" || s.down != "all" && !strings.Contains(s.down, method) {
		return nil
	}
	return &canonical.Error{Code: canonical.GatewayStoreUnavailable, Message: "the disk is full"}
}

func (s *faulty) Accept(ctx context.Context, a ledger.Accept) (ledger.Accepted, error) {
	if err := s.check("accept"); err != nil {
		return ledger.Accepted{}, err
	}
	return s.Store.Accept(ctx, a)
}

func (s *faulty) Claim(ctx context.Context, route string, limit int, lease time.Duration) ([]ledger.Lease, error) {
	if err := s.check("claim"); err != nil {
		return nil, err
	}
	leases, err := s.Store.Claim(ctx, route, limit, lease)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range leases {
		if s.lose {
			leases[i].Payload = nil
		}
	}
	return leases, err
}

func (s *faulty) ClaimSlot(ctx context.Context, route, customer string, lease time.Duration) (ledger.Lease, bool, error) {
	if err := s.check("claim"); err != nil {
		return ledger.Lease{}, false, err
	}
	return s.Store.ClaimSlot(ctx, route, customer, lease)
}

func (s *faulty) Slot(ctx context.Context, route, customer string) (ledger.Slot, error) {
	if err := s.check("slot"); err != nil {
		return ledger.Slot{}, err
	}
	return s.Store.Slot(ctx, route, customer)
}

func (s *faulty) Finish(f []ledger.Finish, done func([]ledger.Finished, error)) {
	if err := s.check("finish"); err != nil {
		done(nil, err)
		return
	}
	s.Store.Finish(f, done)
}

// broken opens a gateway on a store that can fail, and a log.
func broken(t *testing.T) (*kept, *faulty, *logged) {
	t.Helper()
	var f *faulty
	log := &logged{}
	return keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) {
		f = &faulty{Store: o.Store}
		o.Store, o.Log = f, slog.New(slog.NewTextHandler(log, nil))
	}), f, log
}

// logged is what was logged.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Whichever step the store fails at, nothing that was accepted is lost, nothing
// else is sent, and it goes on by itself.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	t.Run("accept", func(t *testing.T) {
		t.Parallel()
		k, f, _ := broken(t)
		f.set("accept", false)
		if _, err := k.Upsert(t.Context(), command(t, "c", "v1")); err == nil || canonical.AsError(err).Code != canonical.GatewayStoreUnavailable {
			t.Errorf("Upsert: %v, want gateway.store_unavailable", err)
		}
		if calls := k.desk.calls(); len(calls) != 0 {
			t.Errorf("calls = %v, want none", calls)
		}
		f.set("", false)
		if _, r := k.put(t, command(t, "c", "v1")); r.Status != gateway.StatusSucceeded {
			t.Errorf("result = %+v, want succeeded", r)
		}
	})
	t.Run("claim", func(t *testing.T) {
		t.Parallel()
		k, f, _ := broken(t)
		f.set("claim", false)
		k.async(t, "c", "v1")
		cmd := command(t, "c", "v2")
		cmd.Async = true
		k.put(t, cmd)
		f.set("", false)
		k.synced(t, "c")
		if calls := k.desk.calls(); len(calls) != 1 {
			t.Errorf("calls = %v, want one", calls)
		}
	})
	t.Run("slot", func(t *testing.T) {
		t.Parallel()
		k, f, _ := broken(t)
		entered, release := k.desk.holding(t, answer(200, "r"))
		k.async(t, "c", "v1")
		<-entered
		f.set("slot", false)
		if _, r := k.put(t, command(t, "c", "v2")); r.Status != gateway.StatusPending || r.Err == nil || r.Err.Code != canonical.GatewayStoreUnavailable {
			t.Errorf("result = %+v, want pending with gateway.store_unavailable", r)
		}
		f.set("", false)
		release()
		k.synced(t, "c")
	})
	t.Run("finish", func(t *testing.T) {
		t.Parallel()
		k, f, log := broken(t)
		f.set("finish", false)
		k.async(t, "c", "v1")
		eventually(t, "it is sent", func() bool { return len(k.desk.calls()) == 1 })
		tick := time.NewTimer(time.Second) // three or four more tries
		defer tick.Stop()
		<-tick.C
		f.set("", false)
		k.synced(t, "c")
		eventually(t, "it is logged", func() bool { return strings.Contains(log.String(), "takes results again") })
		if n := strings.Count(log.String(), "takes no results"); n != 1 {
			t.Errorf("the outage was logged %d times, want once:\n%s", n, log)
		}
		if calls := k.desk.calls(); len(calls) != 1 {
			t.Errorf("calls = %v, want one", calls)
		}
	})
	t.Run("a state is gone", func(t *testing.T) {
		t.Parallel()
		k, f, _ := broken(t)
		f.set("", true)
		k.async(t, "c", "v1")
		var letters []gateway.DeadLetter
		eventually(t, "it is dead", func() bool {
			var err error
			if letters, err = k.DeadLetters(t.Context(), ledger.Filter{Limit: 10}); err != nil {
				t.Fatal(err)
			}
			return len(letters) == 1
		})
		if l := letters[0]; l.Err.Code != canonical.GatewayInternal || len(l.History) != 1 {
			t.Errorf("dead letter = %+v, want gateway.internal and its history", l)
		}
	})
}

// lagging is a store whose readers see a finish late.
type lagging struct{ ledger.Store }

func (s *lagging) Finish(f []ledger.Finish, done func([]ledger.Finished, error)) {
	s.Store.Finish(f, func(got []ledger.Finished, err error) {
		time.AfterFunc(20*time.Millisecond, func() { done(got, err) })
	})
}

// A reading waits for the results that were there when it began, not for those
// that keep coming.
func TestReadingUnderLoad(t *testing.T) {
	t.Parallel()
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) { o.Store = &lagging{o.Store} })
	k.put(t, command(t, "c", "v1"))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for i := range 8 {
		cmd := command(t, fmt.Sprintf("c%d", i), "v1")
		wg.Go(func() {
			for ctx.Err() == nil {
				if _, err := k.Upsert(ctx, cmd); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 5 {
		if _, err := k.Customer(t.Context(), "c"); err != nil {
			t.Errorf("Customer: %v", err)
		}
	}
}

// A clean shutdown under load writes every result: afterwards nothing is sent
// again.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(30 * time.Millisecond)
		_, _ = io.WriteString(w, "r-"+r.Header.Get("X-Customer"))
	})
	const customers = 100
	var accepted [customers]atomic.Bool // a busy machine may refuse one in 20 ms
	var wg sync.WaitGroup
	for i := range customers {
		cmd := command(t, fmt.Sprintf("c%d", i), "v1")
		cmd.Wait, cmd.Async = 20*time.Millisecond, i%2 == 0
		wg.Go(func() {
			for range 3 {
				if _, err := k.Upsert(t.Context(), cmd); err == nil {
					accepted[i].Store(true)
				} else if canonical.AsError(err).Code != canonical.GatewayStoreUnavailable {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	k.stop(t)
	sent := len(k.desk.calls())
	left, err := sqlite.Open(t.Context(), k.path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	backlog, err := left.Backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	due := 0
	for _, b := range backlog {
		due += b.Due
		if b.Leased != 0 {
			t.Errorf("%d leases are out after a clean shutdown, want none", b.Leased)
		}
	}
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	k.desk.behave(nil)
	k.start(t, nil)
	for i := range customers {
		if accepted[i].Load() {
			k.synced(t, fmt.Sprintf("c%d", i))
		}
	}
	if n := len(k.desk.calls()) - sent; n != due {
		t.Errorf("%d calls after the restart, want one for each of the %d states that were due", n, due)
	}
}

// Whoever still calls while the gateway closes does it no harm.
func TestCloseDuringCalls(t *testing.T) {
	t.Parallel()
	k := keep(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 8 {
		cmd := command(t, fmt.Sprintf("c%d", i), "v1")
		cmd.Wait = 50 * time.Millisecond
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = k.Upsert(ctx, cmd)
			}
		})
	}
	eventually(t, "there are calls", func() bool { return len(k.desk.calls()) > 20 })
	k.Close()
	cancel()
	wg.Wait()
}

// moody is an adapter that panics while it is told to.
type moody struct {
	echo
	bad atomic.Bool
}

func (a *moody) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	if a.bad.Load() {
		panic(errors.New("secret of " + u.ID))
	}
	return a.echo.Translate(u)
}

// A panic of an adapter is an attempt that failed; the log says where, and nothing
// about the customer.
func TestPanicIsTriedAgain(t *testing.T) {
	t.Parallel()
	a, log := &moody{echo: echo{name: "a"}}, &logged{}
	a.bad.Store(true)
	k := keep(t, func(r *gateway.Route, _ *transport.Config, o *gateway.Options) {
		r.Adapter, o.Log = a, slog.New(slog.NewTextHandler(log, nil))
	})
	if _, r := k.put(t, command(t, "canary", "canary")); r.Status != gateway.StatusPending || r.Err.Code != canonical.GatewayInternal {
		t.Errorf("result = %+v, want pending with gateway.internal", r)
	}
	if text := log.String(); !strings.Contains(text, "moody") || strings.Contains(text, "canary") || strings.Contains(text, "secret") {
		t.Errorf("log = %s\nwant the stack, and nothing of the customer", text)
	}
	a.bad.Store(false)
	k.synced(t, "canary")
}

// An outage costs a line for each attempt until the route rests, not for each
// customer, and no line has personal data.
func TestLogOfAnOutage(t *testing.T) {
	t.Parallel()
	log := &logged{}
	k := keep(t, func(r *gateway.Route, c *transport.Config, o *gateway.Options) {
		c.Breaker = transport.Breaker{MinRequests: 5, OpenFor: time.Hour}
		o.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	k.desk.behave(answer(503, "canary"))
	for i := range 100 {
		k.put(t, command(t, fmt.Sprintf("canary%d", i), "canary"))
	}
	text := log.String()
	if n := strings.Count(text, "\n"); n == 0 || n > 20 {
		t.Errorf("%d lines for an outage, want a few", n)
	}
	if strings.Contains(text, "canary") {
		t.Errorf("log = %s\nwant nothing of the customers", text)
	}
}
