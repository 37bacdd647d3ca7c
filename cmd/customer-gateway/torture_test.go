//go:build linux

package main

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	tortureKills = flag.Int("torture.kills", 0, "how often TestTorture kills the gateway; 0 for the short form")
	tortureSeed  = flag.Uint64("torture.seed", 0, "seed of TestTorture's choices; 0 for a new one")
)

const (
	shortKills = 14 // of the short form
	epochKills = 25 // until emulators, database and customers are new, in the long form
	lanes      = 2  // epochs at once: what one waits for, the other uses
)

// TestTorture kills the gateway again and again while clients write customers and
// the emulators fail, hang, answer late and cut connections. Gateway and emulators
// are processes: this test's binary, run as the program. In the end every emulator
// must hold the newest accepted state of every customer, unless the ledger shows a
// dead letter for it; none may have been sent an older state after a newer one had
// landed; and every answer must have been true. A failure shows the whole story of
// the customer.
//
// The short form runs with all tests. The long form prints its counts after every
// epoch; -torture.seed repeats its choices, as far as time allows:
//
//	go test ./cmd/customer-gateway -run TestTorture -torture.kills=3000 -timeout 0 -v
func TestTorture(t *testing.T) {
	t.Parallel()
	seed := cmp.Or(*tortureSeed, uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	kills, part, long := shortKills, shortKills/lanes, *tortureKills > 0
	if long {
		kills, part = *tortureKills, epochKills
	}
	nursery := newNursery()
	defer nursery.close()
	c := &counts{began: time.Now()}
	var running sync.WaitGroup
	free := make(chan struct{}, lanes)
	for n := uint64(0); kills > 0; n++ {
		free <- struct{}{}
		if t.Failed() {
			break
		}
		e := &epoch{nursery: nursery, counts: c, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, n)), long: long}
		due := min(kills, part)
		kills -= due
		running.Go(func() {
			e.run(t, due)
			t.Logf("epoch %d: %s", n, c)
			<-free
		})
	}
	running.Wait()
}

// counts is what has happened so far.
type counts struct {
	began                                       time.Time
	requests, accepted, refused, unknown        atomic.Int64
	cut, shed                                   atomic.Int64
	repeated                                    atomic.Int64
	kills, terms, stops, starts                 atomic.Int64
	faults, operations, landings, late, repeats atomic.Int64
	dead, checks                                atomic.Int64
	breaches                                    atomic.Int64
}

func (c *counts) String() string {
	return fmt.Sprintf("%s: %d kills, %d SIGTERM, %d SIGSTOP, %d starts; %d requests (%d cut off), %d accepted, %d refused, %d shed, %d of unknown fate, %d keys repeated; "+
		"%d faults, %d operator's calls, %d landings (%d late), %d repeats, %d dead letters, %d slots checked, %d breaches",
		time.Since(c.began).Round(time.Second), c.kills.Load(), c.terms.Load(), c.stops.Load(), c.starts.Load(),
		c.requests.Load(), c.cut.Load(), c.accepted.Load(), c.refused.Load(), c.shed.Load(), c.unknown.Load(), c.repeated.Load(),
		c.faults.Load(), c.operations.Load(), c.landings.Load(), c.late.Load(), c.repeats.Load(), c.dead.Load(), c.checks.Load(), c.breaches.Load())
}

// epoch is a part of the torture that begins with nothing: no customers, a new
// database, new emulators.
type epoch struct {
	*nursery
	counts    *counts
	dir       string
	rand      *rand.Rand
	long      bool
	latest    bool            // the gateway keeps the newest states
	ctx       context.Context // of everything but the load, which ends before
	config    string          // the file
	emulators map[string]string
	chronicle *chronicle
	abreast   int           // customers written at a time
	retired   atomic.Int64  // customers, from 0 on, that are written no more: their last state must last
	newest    map[int]int64 // accepted version of each customer, for all routes; under chronicle.mu
	door      door
	answered  chan struct{} // receives after an acceptance
	startup   time.Duration // how long a start takes, roughly

	mu      sync.Mutex
	ongoing map[string]int // requests under way at each emulator
}

// freezeFor is longer than any lease of the torture's gateway.
const freezeFor = 2500 * time.Millisecond

func (e *epoch) run(t *testing.T, kills int) {
	t.Helper()
	bound := 2*time.Minute + time.Duration(kills)*5*time.Second
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	defer cancel()
	e.ctx, e.abreast, e.startup = ctx, 3+e.rand.IntN(6), 300*time.Millisecond
	e.latest = e.rand.IntN(2) == 0
	e.newest, e.answered, e.ongoing = map[int]int64{}, make(chan struct{}, 1), map[string]int{}
	sandbox, err := e.openEmulators()
	if err != nil {
		t.Error(err)
		return
	}
	defer sandbox.kill()

	listening, silence := context.WithCancel(ctx)
	var listeners sync.WaitGroup
	for _, route := range e.chronicle.routes {
		listeners.Go(func() { e.listen(listening, route) })
	}
	loading, unload := context.WithCancel(ctx)
	var writers, trouble sync.WaitGroup
	for range 16 {
		w := &writer{epoch: e, rand: e.random()}
		writers.Go(func() { w.work(loading) })
	}
	mischief := e.random()
	trouble.Go(func() { e.mischief(loading, mischief) })

	err = e.killer(e.random(), kills)
	unload()
	trouble.Wait()
	var gate *life
	if err == nil {
		gate, err = e.calm(&writers)
	}
	silence()
	if err != nil {
		cancel()
	}
	writers.Wait()
	listeners.Wait()
	if gate != nil && err == nil {
		err = e.stop(gate)
	}
	if gate != nil {
		gate.kill()
	}
	for _, r := range e.chronicle.statements {
		if r.fate == unknown {
			e.counts.unknown.Add(1)
		}
	}
	e.report(t, err)
}

// random returns a source of its own for a goroutine.
func (e *epoch) random() *rand.Rand { return rand.New(rand.NewPCG(e.rand.Uint64(), e.rand.Uint64())) }

// openEmulators starts the emulators and writes a configuration that reaches them.
func (e *epoch) openEmulators() (*process, error) {
	p, err := e.start("sandbox")
	if err != nil {
		return nil, err
	}
	routes := p.routes(e.ctx)
	if routes == nil {
		p.kill()
		return nil, fmt.Errorf("the emulators do not come up:\n%s%s", p.out.tail(20), p.log.tail(20))
	}
	e.emulators = map[string]string{}
	e.chronicle = newChronicle(slices.Collect(maps.Keys(routes)))
	for name, route := range routes {
		base, _ := route["base_url"].(string)
		e.emulators[name] = strings.Join(strings.SplitN(base, "/", 4)[:3], "/")
		// Nothing here waits for long, so that much can go wrong in a short time.
		route["timeout"] = "400ms"
		route["limit"] = map[string]any{"rate": "off", "concurrency": 8}
		route["breaker"] = map[string]any{"window": "2s", "min_requests": 10, "failure_ratio": 0.8, "open_for": "200ms"}
		route["retry"] = map[string]any{"attempts": 2, "base": "5ms"}
		e.control(e.ctx, http.MethodPost, name, "changes", nil, nil)
	}
	ledger := map[string]any{"driver": "sqlite", "dsn": filepath.Join(e.dir, "gateway.db")}
	if e.latest {
		ledger["retain"] = "latest"
		ledger["encryption"] = map[string]any{"keys": []string{base64.StdEncoding.EncodeToString(make([]byte, 32))}}
	}
	config, err := json.Marshal(map[string]any{
		"server": map[string]any{"addr": "127.0.0.1:0", "deadline": "600ms"},
		"ledger": ledger,
		"log":    map[string]any{"level": "info", "format": "json"},
		"routes": routes,
	})
	if err != nil {
		p.kill()
		return nil, err
	}
	e.config = filepath.Join(e.dir, "gateway.yaml")
	return p, os.WriteFile(e.config, config, 0o600)
}

// launch starts the gateway.
func (e *epoch) launch() (*process, error) {
	e.counts.starts.Add(1)
	return e.start("serve", "-c", e.config)
}

// admit waits until the gateway serves and opens the door.
func (e *epoch) admit(p *process) (*life, error) {
	addr := p.address(e.ctx)
	if addr == "" {
		p.kill()
		return nil, fmt.Errorf("the gateway does not come up (%s):\n%s", p.how(), p.log.tail(40))
	}
	e.startup = time.Since(p.started)
	l := &life{process: p, url: "http://" + addr}
	e.door.open(l)
	return l, nil
}

// stop ends the gateway in good order.
func (e *epoch) stop(gate *life) error {
	gate.told.Store(time.Now().UnixNano())
	gate.signal(syscall.SIGTERM)
	e.counts.terms.Add(1)
	e.door.open(nil)
	select {
	case <-gate.ended:
	case <-time.After(30 * time.Second):
		gate.signal(syscall.SIGQUIT) // shows its goroutines
		<-gate.ended
		return fmt.Errorf("the gateway did not end after SIGTERM:\n%s", gate.log.tail(200))
	}
	if !gate.cmd.ProcessState.Success() {
		return fmt.Errorf("after SIGTERM the gateway ended with %s:\n%s", gate.how(), gate.log.tail(60))
	}
	return nil
}
