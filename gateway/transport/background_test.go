package transport

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"customer-gateway/canonical"
)

// slow answers every request after a while, and keeps what was sent when.
type slow struct {
	mu    sync.Mutex
	takes time.Duration
	begin time.Time
	sent  []time.Duration
	paths []string
	busy  int
	most  int
}

func newSlow(takes time.Duration) *slow { return &slow{takes: takes, begin: time.Now()} }

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.sent = append(s.sent, time.Since(s.begin))
	s.paths = append(s.paths, r.URL.Path)
	s.busy++
	s.most = max(s.most, s.busy)
	s.mu.Unlock()
	time.Sleep(s.takes)
	s.mu.Lock()
	s.busy--
	s.mu.Unlock()
	return reply(200, ""), nil
}

func (s *slow) sends() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.sent) }

// backlog keeps n background calls under way until ctx ends.
func backlog(ctx context.Context, wg *sync.WaitGroup, c *Client, n int) *atomic.Int64 {
	done := new(atomic.Int64)
	for range n {
		wg.Go(func() {
			for ctx.Err() == nil {
				if c.Do(Background(ctx), put, status).Err == nil {
					done.Add(1)
				}
			}
		})
	}
	return done
}

// In quiet times a backlog goes out at the rate that is configured, no more and
// no less.
func TestBackgroundUsesTheWholeRate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		limit Limit
		takes time.Duration
	}{
		{Limit{Rate: 5, Burst: 10}, 0},
		{Limit{Rate: 5, Burst: 10, Concurrency: 16}, time.Second},
		{Limit{Rate: 5, Burst: 1}, 0},
		{Limit{Rate: 0.5}, 0},
		{Limit{Rate: 50}, 0},
		{Limit{Rate: 50, Concurrency: 16}, 100 * time.Millisecond},
		{Limit{Rate: 1000}, 0},
		{Limit{Rate: 1000, Burst: 10}, 0},
		{Limit{Rate: 1000, Concurrency: 200}, 100 * time.Millisecond},
	} {
		t.Run(fmt.Sprintf("%+v %v", tt.limit, tt.takes), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := open(t, Config{Base: newSlow(tt.takes), Limit: tt.limit}, canonical.Auth{}, nil)
				span := min(20*time.Second, time.Duration(4000/tt.limit.Rate)*time.Second)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var wg sync.WaitGroup
				done := backlog(ctx, &wg, c, min(c.Room().Places, 200))
				time.Sleep(tt.takes + time.Millisecond)
				from := done.Load()
				time.Sleep(span)
				got, want := float64(done.Load()-from)/span.Seconds(), tt.limit.Rate
				if got < want*0.99-0.05 || got > want*1.01+0.05 {
					t.Errorf("drained at %v/s, want %v/s", got, want)
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

// liveWaits is how long live calls wait that come in groups, with and without a
// backlog behind them.
func liveWaits(t *testing.T, limit Limit, group int, every time.Duration, groups int, behind bool) (waits []time.Duration, background int64) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Base: newSlow(0), Limit: limit}, canonical.Auth{}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		var done *atomic.Int64
		if behind {
			done = backlog(ctx, &wg, c, 20)
		}
		time.Sleep(10 * time.Second)
		var live sync.WaitGroup
		waits = make([]time.Duration, group*groups)
		for i := range groups {
			for j := range group {
				live.Go(func() {
					begin := time.Now()
					wantCode(t, c.Do(t.Context(), put, status), "")
					waits[i*group+j] = time.Since(begin)
				})
			}
			time.Sleep(every)
		}
		live.Wait()
		cancel()
		wg.Wait()
		if behind {
			background = done.Load()
		}
	})
	slices.Sort(waits)
	return waits, background
}

func TestLiveCallsDoNotFeelTheBacklog(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		limit  Limit
		group  int
		every  time.Duration
		groups int
		same   bool
	}{
		{"a call now and then", Limit{Rate: 5, Burst: 10}, 1, 333 * time.Millisecond, 60, true},
		{"at the limit", Limit{Rate: 5, Burst: 10}, 1, 200 * time.Millisecond, 60, true},
		{"bursts that fit", Limit{Rate: 5, Burst: 10}, 8, 3 * time.Second, 10, true},
		{"bursts over the limit", Limit{Rate: 5, Burst: 10}, 13, 3 * time.Second, 10, false},
		{"fast", Limit{Rate: 1000}, 900, time.Second, 5, true},
		{"fast, over the limit", Limit{Rate: 1000}, 1400, 2 * time.Second, 3, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			quiet, _ := liveWaits(t, tt.limit, tt.group, tt.every, tt.groups, false)
			behind, done := liveWaits(t, tt.limit, tt.group, tt.every, tt.groups, true)
			// Nobody can have both the last token and the whole burst left.
			allowed := time.Duration(float64(time.Second)/tt.limit.Rate) + spared
			for i := range quiet {
				if behind[i] > quiet[i] && (tt.same || behind[i] > quiet[i]+allowed+time.Microsecond) {
					t.Fatalf("wait %d of %d is %v with a backlog, want %v as without", i, len(quiet), behind[i], quiet[i])
				}
			}
			spare := tt.limit.Rate*(10+float64(tt.groups)*tt.every.Seconds()) - float64(tt.group*tt.groups)
			if float64(done) < spare*0.9 {
				t.Errorf("the backlog got %d through, want most of the %v that live calls left", done, spare)
			}
		})
	}
}

func TestBackgroundReservesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, w := newSlow(0), &watcher{}
		c := open(t, Config{Base: a, Limit: Limit{Rate: 1, Burst: 1}}, canonical.Auth{}, w)
		wantCode(t, c.Do(t.Context(), put, status), "")
		var wg sync.WaitGroup
		wg.Go(func() { // waits longer than MaxWait, and behind whoever comes meanwhile
			wantCode(t, c.Do(Background(t.Context()), get, status), "")
		})
		for range 3 {
			time.Sleep(500 * time.Millisecond)
			if tokens := c.State().Tokens; tokens < 0 {
				t.Fatalf("%v tokens: the background call has reserved one", tokens)
			}
			wantCode(t, c.Do(t.Context(), put, status), "")
		}
		wg.Wait()
		if got, want := fmt.Sprint(a.paths), "[/api/customers/1 /api/customers/1 /api/customers/1 /api/customers/1 /api/customers]"; got != want {
			t.Errorf("sent %v, want the background call last", got)
		}
		if w.waits != 3 {
			t.Errorf("%d waits observed, want the three of live calls", w.waits)
		}
		// One that cannot be sent in time has cost nothing.
		begin := time.Now()
		res := c.Do(Background(within(t, 400*time.Millisecond)), put, status)
		wantCode(t, res, canonical.RouteDeadline)
		if res.Attempts != 0 || a.sends() != 5 || time.Since(begin) > 400*time.Millisecond {
			t.Errorf("%d attempts in %v", res.Attempts, time.Since(begin))
		}
		wantCode(t, c.Do(within(t, 650*time.Millisecond), put, status), "")
	})
}

// An attempt that waited for most of its call's time is not begun: it would be cut
// off, and nobody would know what it did.
func TestBackgroundIsNotBegunTooLate(t *testing.T) {
	t.Parallel()
	for left, want := range map[time.Duration]canonical.Code{2 * time.Second: canonical.RouteDeadline, 3 * time.Second: ""} {
		synctest.Test(t, func(t *testing.T) {
			c := open(t, Config{Base: newSlow(0), Limit: Limit{Rate: 0.125, Burst: 1}}, canonical.Auth{}, nil)
			wantCode(t, c.Do(t.Context(), put, status), "")
			wantCode(t, c.Do(Background(within(t, 8*time.Second+left)), put, status), want)
		})
	}
	synctest.Test(t, func(t *testing.T) { // little time from the beginning is no reason
		c := open(t, Config{Base: newSlow(0)}, canonical.Auth{}, nil)
		wantCode(t, c.Do(Background(within(t, 50*time.Millisecond)), put, status), "")
	})
}

func TestBackgroundLeavesSlots(t *testing.T) {
	t.Parallel()
	for concurrency, want := range map[int]int{1: 1, 2: 1, 3: 2, 4: 3, 8: 6, 16: 12} {
		synctest.Test(t, func(t *testing.T) {
			a := newSlow(2 * time.Second)
			c := open(t, Config{Base: a, Limit: Limit{Concurrency: concurrency}}, canonical.Auth{}, nil)
			var wg sync.WaitGroup
			for range 3 * concurrency {
				wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), get, status), "") })
			}
			synctest.Wait()
			if a.busy != want {
				t.Fatalf("%d of %d slots taken by the backlog, want %d", a.busy, concurrency, want)
			}
			// Live calls have the rest at once, and more than their queue is theirs.
			time.Sleep(time.Second + time.Millisecond)
			for range concurrency - want {
				wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
			}
			synctest.Wait()
			if a.busy != concurrency {
				t.Fatalf("%d in flight, want %d", a.busy, concurrency)
			}
			// One who waits goes before all of the backlog.
			a.mu.Lock()
			a.paths = nil
			a.mu.Unlock()
			wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
			wg.Wait()
			if a.paths[0] != "/api/customers/1" || a.most > concurrency {
				t.Errorf("with %d slots %v came first, at most %d in flight", concurrency, a.paths[0], a.most)
			}
			if c.bulkhead.behind.Load() != 0 || len(c.bulkhead.slots) != 0 || c.behind.waiting.Load() != 0 || c.behind.calls.Load() != 0 {
				t.Error("something was not given back")
			}
		})
	}
}

// The queue of live callers is as long as ever, whoever waits in the background.
func TestBackgroundIsNotInTheQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Base: newSlow(500 * time.Millisecond), Limit: Limit{Concurrency: 1}}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), put, status), "") })
		}
		synctest.Wait()
		if n := c.bulkhead.waiting.Load(); n != 0 {
			t.Fatalf("%d wait in the queue of live callers, want none", n)
		}
		wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		wg.Wait()
	})
}

// Nobody in the backlog is overtaken by what comes later.
func TestBackgroundKeepsItsOrder(t *testing.T) {
	t.Parallel()
	for _, limit := range []Limit{{Rate: 20, Burst: 5}, {Concurrency: 1}, {Rate: 20, Burst: 1, Concurrency: 2}, {}} {
		synctest.Test(t, func(t *testing.T) {
			a := newSlow(10 * time.Millisecond)
			c := open(t, Config{Base: a, Limit: limit}, canonical.Auth{}, nil)
			var wg sync.WaitGroup
			var want []string
			for i := range 30 {
				req := *put
				req.Path = fmt.Sprintf("/%d", i)
				want = append(want, "/api"+req.Path)
				wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), &req, status), "") })
				synctest.Wait()
			}
			wg.Wait()
			if !slices.Equal(a.paths, want) {
				t.Errorf("%+v: sent in the order %v", limit, a.paths)
			}
		})
	}
}

// One who gives up while waiting does not keep the others from coming forward.
func TestBackgroundCallersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newSlow(3 * time.Second)
		c := open(t, Config{Base: a, Limit: Limit{Concurrency: 1}}, canonical.Auth{}, nil)
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(t.Context(), put, status), "") })
		synctest.Wait()
		for i := range 3 { // one has the turn, the others wait for it
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Duration(3-i)*100*time.Millisecond, cancel)
			wg.Go(func() {
				res := c.Do(Background(ctx), put, status)
				wantCode(t, res, canonical.RouteDeadline)
				if res.Attempts != 0 {
					t.Errorf("%d attempts", res.Attempts)
				}
			})
			synctest.Wait()
		}
		wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), put, status), "") })
		wg.Wait()
		if a.sends() != 2 || a.sent[1] != 3*time.Second {
			t.Errorf("sent at %v, want the last as soon as the slot is free", a.sent)
		}
	})
}

// What live calls are refused by, background calls are.
func TestBackgroundIsGated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200}
		c := open(t, Config{Base: a, Limit: Limit{Rate: 10, Burst: 10, Concurrency: 4}, Breaker: Breaker{MinRequests: 3, OpenFor: 10 * time.Second},
			Retry: Retry{Attempts: 3, Base: time.Millisecond}}, canonical.Auth{}, nil)
		bg := Background(t.Context())
		refused := func(want canonical.Code, in time.Duration) {
			t.Helper()
			sends, tokens := a.sends, c.State().Tokens
			begin := time.Now()
			res := c.Do(bg, put, status)
			wantCode(t, res, want)
			at, _ := lowerBound(res.Err, begin)
			if in > 0 && at.Sub(begin).Round(time.Millisecond) != in {
				t.Errorf("%s: again in %v, want %v", want, at.Sub(begin), in)
			}
			if a.sends != sends || res.Attempts != 0 || c.State().Tokens != tokens || !time.Now().Equal(begin) {
				t.Errorf("%s: the refusal cost something: %+v", want, res)
			}
		}
		c.Pause("migration")
		refused(canonical.RoutePaused, 0)
		c.Resume()

		c.NotBefore(time.Now().Add(time.Minute))
		refused(canonical.RouteThrottled, time.Minute)
		time.Sleep(time.Minute)

		a.set(500) // three attempts, then it rests
		res := c.Do(bg, put, status)
		wantCode(t, res, canonical.UpstreamUnavailable)
		if res.Attempts != 3 {
			t.Errorf("%d attempts, want 3", res.Attempts)
		}
		time.Sleep(time.Second)
		refused(canonical.RouteCircuitOpen, 9*time.Second)
		time.Sleep(9*time.Second + time.Millisecond)
		a.set(200)
		wantCode(t, c.Do(bg, put, status), "")

		a.set(401)
		wantCode(t, c.Do(bg, put, status), canonical.UpstreamUnauthenticated)
		time.Sleep(time.Second)
		refused(canonical.RouteCredentialGated, 59*time.Second)
		time.Sleep(time.Minute)
		a.set(200)
		wantCode(t, c.Do(bg, put, status), "")
		wantCode(t, c.Do(bg, put, status), "")
	})
}

// A background call begins the token call like any other.
func TestBackgroundFetchesTheToken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var paths []string
		c := open(t, Config{MaxWait: 5 * time.Second, Limit: Limit{Rate: 0.5, Burst: 1, Concurrency: 1}, Base: fake(func(r *http.Request) (*http.Response, error) {
			mu.Lock()
			defer mu.Unlock()
			paths = append(paths, r.URL.Path+" "+r.Header.Get("Authorization"))
			return reply(200, ""), nil
		})}, canonical.Auth{Token: &canonical.TokenAuth{
			Request: canonical.Request{Method: "POST", Path: "/token"}, Header: "Authorization", Prefix: "Bearer ",
			Read: func(*canonical.Reply) (canonical.Secret, time.Duration, error) { return "t", time.Hour, nil },
		}}, nil)
		var wg sync.WaitGroup
		begin := time.Now()
		for range 3 {
			wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), put, status), "") })
		}
		wg.Wait()
		if len(paths) != 4 || paths[0] != "/api/token " || paths[3] != "/api/customers/1 Bearer t" {
			t.Errorf("sent %q", paths)
		}
		if took := time.Since(begin).Round(time.Millisecond); took != 6*time.Second { // four tokens, the first at once
			t.Errorf("took %v, want 6s", took)
		}
		// The token call waits for the limit like a live attempt, whoever needs it.
		c.CredentialChanged()
		begin = time.Now()
		wantCode(t, c.Do(t.Context(), put, status), "")
		if took := time.Since(begin).Round(time.Millisecond); took != 4*time.Second {
			t.Errorf("took %v, want 4s", took)
		}
	})
}

// An attempt that finds its token gone when it gets there steps back, with its
// slot, and tries again.
func TestBackgroundIsOvertaken(t *testing.T) {
	t.Parallel()
	for burst, want := range map[int]time.Duration{1: 2 * time.Second, 2: 1950 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			a := newSlow(0)
			c := open(t, Config{Base: a, Limit: Limit{Rate: 0.5, Burst: burst, Concurrency: 1}}, canonical.Auth{}, nil)
			c.NotBefore(time.Now().Add(500 * time.Millisecond))
			var wg sync.WaitGroup
			wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), put, status), "") })
			synctest.Wait()
			if n := len(c.bulkhead.slots); n != 1 {
				t.Errorf("%d slots taken, want the one of the attempt at the gate", n)
			}
			c.limiter.limit.AllowN(time.Now(), 1)
			time.Sleep(600 * time.Millisecond)
			synctest.Wait()
			if n := len(c.bulkhead.slots); n != 0 || a.sends() != 0 {
				t.Errorf("%d slots taken and %d sent while it waits for a token, want none", n, a.sends())
			}
			wg.Wait()
			if a.sends() != 1 || a.sent[0].Round(time.Millisecond) != want {
				t.Errorf("sent at %v, want %v", a.sent, want)
			}
		})
	}
}

// Many live and background calls, some of which leave: all end, nothing is held
// for ever, and the bounds hold at every moment.
func TestBackgroundBesideLive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			limit := Limit{Rate: float64(rnd.IntN(3)) * 200, Burst: 1 + rnd.IntN(50), Concurrency: 1 + rnd.IntN(6)}
			var live, back, mostBack, mostAll atomic.Int64
			c := open(t, Config{Limit: limit, Base: fake(func(r *http.Request) (*http.Response, error) {
				n := &live
				if isBackground(r.Context()) {
					n = &back
				}
				n.Add(1)
				defer n.Add(-1)
				mostBack.Store(max(mostBack.Load(), back.Load()))
				mostAll.Store(max(mostAll.Load(), live.Load()+back.Load()))
				select {
				case <-time.After(time.Duration(len(r.URL.Path)) * time.Millisecond):
					return reply(200, ""), nil
				case <-r.Context().Done():
					return nil, r.Context().Err()
				}
			})}, canonical.Auth{}, nil)
			var wg sync.WaitGroup
			for range 300 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rnd.IntN(3000))*time.Millisecond)
				defer cancel()
				if rnd.IntN(4) == 0 {
					time.AfterFunc(time.Duration(rnd.IntN(100))*time.Millisecond, cancel)
				}
				if rnd.IntN(2) == 0 {
					ctx = Background(ctx)
				}
				wg.Go(func() { c.Do(ctx, put, status) })
				if rnd.IntN(3) == 0 {
					time.Sleep(time.Duration(rnd.IntN(10)) * time.Millisecond)
				}
			}
			wg.Wait()
			if n := mostBack.Load(); n > int64(backgroundSlots(limit.Concurrency)) || mostAll.Load() > int64(limit.Concurrency) {
				t.Errorf("%+v: %d in the background and %d in all at once", limit, n, mostAll.Load())
			}
			if len(c.bulkhead.slots) != 0 || c.bulkhead.behind.Load() != 0 || c.bulkhead.waiting.Load() != 0 ||
				c.behind.calls.Load() != 0 || c.behind.waiting.Load() != 0 || len(c.behind.turn) != 0 {
				t.Error("something was not given back")
			}
			wantCode(t, c.Do(Background(t.Context()), put, status), "")
		})
	}
}

func TestRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 200}
		var base http.RoundTripper = a
		c := open(t, Config{Limit: Limit{Rate: 100, Burst: 100, Concurrency: 8}, Breaker: Breaker{MinRequests: 3, OpenFor: 10 * time.Second},
			Base: fake(func(r *http.Request) (*http.Response, error) { return base.RoundTrip(r) })}, canonical.Auth{}, nil)
		want := func(what string, r Room) {
			t.Helper()
			r.Places = 6
			tokens := c.State().Tokens
			for range 3 { // looking changes nothing
				if got := c.Room(); got != r {
					t.Errorf("%s: Room = %+v, want %+v", what, got, r)
				}
			}
			if c.State().Tokens != tokens || c.gate.probing || c.breaker.probing.Load() {
				t.Errorf("%s: looking cost something", what)
			}
		}
		bg := Background(t.Context())
		want("new", Room{Free: 6})
		c.Pause("migration")
		want("paused", Room{Paused: true})
		c.Resume()
		c.NotBefore(time.Now().Add(time.Minute))
		want("held", Room{Wait: time.Minute})
		time.Sleep(time.Minute)
		want("no longer held", Room{Free: 6})

		a.set(401)
		c.Do(bg, put, status)
		want("credential refused", Room{Wait: time.Minute})
		time.Sleep(time.Minute)
		want("probe due", Room{Probe: true, Free: 1})
		base = newSlow(2 * time.Second)
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(bg, put, status), "") })
		time.Sleep(time.Second)
		if got := (Room{Wait: probeRest, Places: 6}); c.Room() != got {
			t.Errorf("credential probe out: Room = %+v, want %+v", c.Room(), got)
		}
		wg.Wait()
		base = a
		want("credential accepted", Room{Free: 6})
		a.set(401)
		c.Do(bg, put, status)
		c.CredentialChanged()
		want("credential changed", Room{Probe: true, Free: 1})
		a.set(200)
		wantCode(t, c.Do(bg, put, status), "")

		a.set(500)
		for range 6 {
			c.Do(bg, put, status)
		}
		rest := c.Room().Wait
		if rest < 9*time.Second || rest > 10*time.Second+1 || c.Room().Free != 0 {
			t.Errorf("breaker open: Room = %+v, want a wait of 10s", c.Room())
		}
		time.Sleep(rest)
		want("half-open", Room{Probe: true, Free: 1})
		base = newSlow(2 * time.Second)
		wg.Go(func() { wantCode(t, c.Do(bg, put, status), "") })
		time.Sleep(time.Second)
		if got := (Room{Wait: probeRest, Places: 6}); c.Room() != got {
			t.Errorf("breaker probe out: Room = %+v, want %+v", c.Room(), got)
		}
		wg.Wait()
		want("closed", Room{Free: 6})

		do := func(ctx context.Context, n int) {
			for range n {
				wg.Go(func() { wantCode(t, c.Do(ctx, put, status), "") })
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		do(bg, 2)
		want("two under way", Room{Free: 4})
		do(t.Context(), 3)
		want("beside three live calls", Room{Free: 3})
		do(t.Context(), 3)
		want("full: one may wait for the next slot", Room{Free: 1})
		do(bg, 1)
		want("one waits", Room{})
		wg.Wait()
		want("idle", Room{Free: 6})
	})
}

func TestRoomWithoutConcurrency(t *testing.T) {
	t.Parallel()
	for rate, want := range map[float64]int{0: unbounded, 5: unbounded, 1000: 1000, 1e300: 1<<31 - 1} {
		c := open(t, Config{Base: newSlow(0), Limit: Limit{Rate: rate}}, canonical.Auth{}, nil)
		if got := (Room{Places: want, Free: want}); c.Room() != got {
			t.Errorf("%v/s: Room = %+v, want %+v", rate, c.Room(), got)
		}
	}
}

// While a probe is due, those who are on their way already are enough.
func TestRoomCountsTheProbeThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &answers{status: 401}
		c := open(t, Config{Base: a, Limit: Limit{Rate: 0.01, Burst: 1}}, canonical.Auth{}, nil)
		c.Do(t.Context(), put, status)
		time.Sleep(time.Minute)
		if r := c.Room(); !r.Probe || r.Free != 1 {
			t.Fatalf("Room = %+v, want a probe", r)
		}
		a.set(200)
		var wg sync.WaitGroup
		wg.Go(func() { wantCode(t, c.Do(Background(t.Context()), put, status), "") })
		synctest.Wait()
		if r := c.Room(); r.Free != 0 {
			t.Errorf("Room = %+v while the probe waits for a token, want none free", r)
		}
		wg.Wait()
	})
}

func TestHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{Base: &answers{status: 429, header: []string{"Retry-After", "90"}}}, canonical.Auth{}, nil)
		if h := c.Hold(); !h.IsZero() {
			t.Errorf("Hold = %v, want none", h)
		}
		until := time.Now().Add(90 * time.Second)
		c.Do(t.Context(), put, status)
		c.Pause("migration") // which State tells instead
		if h := c.Hold(); !h.Equal(until) {
			t.Errorf("Hold = %v, want %v", h, until)
		}
		time.Sleep(90 * time.Second)
		if h := c.Hold(); !h.IsZero() {
			t.Errorf("Hold = %v after its end, want none", h)
		}
	})
}
