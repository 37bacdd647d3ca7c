//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"syscall"
	"time"

	"customer-gateway/adapters/emulator"
)

// mischief scripts faults at the emulators, and does what operators do, until ctx
// ends.
func (e *epoch) mischief(ctx context.Context, rand *rand.Rand) {
	for rest(ctx, time.Duration(rand.IntN(500))*time.Millisecond) {
		route := e.chronicle.routes[rand.IntN(len(e.chronicle.routes))]
		switch rand.IntN(20) {
		case 0:
			e.operate(ctx, "dead-letters/replay", `{"all":true}`)
			continue
		case 1:
			e.operate(ctx, "routes/"+route+"/resync", "")
			continue
		case 2:
			e.operate(ctx, "routes/"+route+"/pause", "")
			rest(ctx, time.Duration(rand.IntN(500))*time.Millisecond)
			e.operate(ctx, "routes/"+route+"/resume", "") // if a kill is in the way, calm does it
			continue
		}
		if rand.IntN(3) == 0 {
			e.control(ctx, http.MethodDelete, route, "faults", nil, nil)
		}
		e.control(ctx, http.MethodPost, route, "faults", randomFault(rand), nil)
		e.counts.faults.Add(1)
	}
}

// operate asks the gateway to do something that may be cut off.
func (e *epoch) operate(ctx context.Context, what, body string) bool {
	gate := e.door.wait(ctx)
	if gate == nil {
		return false
	}
	var header http.Header
	if body != "" {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	var got spoken
	status, _, err := fetch(ctx, http.MethodPost, gate.url+"/v1/"+what, header, []byte(body), &got)
	if err == nil && status != http.StatusOK && !later(got.Code) {
		e.chronicle.blame(-1, "POST %s was answered with %d %s", what, status, got.Code)
	}
	e.counts.operations.Add(1)
	return err == nil && status == http.StatusOK
}

// maxLate is how much later than it was sent a request may take effect.
const maxLate = 3 * time.Second

func randomFault(rand *rand.Rand) emulator.Fault {
	some := func(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d))) }
	f := emulator.Fault{Times: 1 + rand.IntN(3), After: rand.IntN(2) == 0}
	if rand.IntN(2) == 0 { // not what only reads
		f.Method = []string{http.MethodPut, http.MethodPost}[rand.IntN(2)]
	}
	switch rand.IntN(11) {
	case 0:
		f.Kind, f.Status = emulator.FaultStatus, []int{500, 502, 503, 504}[rand.IntN(4)]
	case 1:
		f.Kind, f.Status, f.Header, f.After = emulator.FaultStatus, http.StatusTooManyRequests, map[string]string{"Retry-After": "1"}, false
	case 2:
		f.Kind, f.Status = emulator.FaultHTML, []int{200, 502}[rand.IntN(2)]
	case 3:
		f.Kind = emulator.FaultReset
	case 4:
		f.Kind, f.Status = emulator.FaultTruncate, http.StatusOK
	case 5:
		f.Kind = emulator.FaultHang
	case 6:
		f.Delay = some(800 * time.Millisecond)
	case 7, 8:
		f.Kind, f.Late = emulator.FaultReset, some(maxLate)
	case 9:
		f.Kind, f.Late = emulator.FaultHang, some(maxLate)
	case 10:
		f.Kind, f.Status, f.Late = emulator.FaultStatus, http.StatusGatewayTimeout, some(maxLate)
	}
	return f
}

// killer ends the gateway in every way until it has done so often enough.
func (e *epoch) killer(rand *rand.Rand, kills int) error {
	for done := 0; done < kills; {
		var gate *life
		early := rand.IntN(6) == 0
		p, err := e.launch()
		if err != nil {
			return err
		}
		if early { // while it starts
			rest(e.ctx, time.Duration(rand.Int64N(int64(max(e.startup, 1)))))
			p.kill()
			e.counts.kills.Add(1)
			done++
			continue
		}
		if gate, err = e.admit(p); err != nil {
			return err
		}
		e.retired.Add(1)
		switch way := rand.IntN(100); {
		case way < 10 && e.long: // after quieter times
			rest(e.ctx, time.Duration(1000+rand.IntN(3000))*time.Millisecond)
		case way < 60: // at any moment
			rest(e.ctx, time.Duration(20+rand.IntN(700))*time.Millisecond)
		case way < 85: // right after an answer
			rest(e.ctx, time.Duration(rand.IntN(500))*time.Millisecond)
			select {
			case <-e.answered:
			default:
			}
			select {
			case <-e.answered:
			case <-time.After(2 * time.Second):
			}
		case way < 92:
			rest(e.ctx, time.Duration(rand.IntN(900))*time.Millisecond)
			if err := e.stop(gate); err != nil {
				return err
			}
			continue
		default: // longer than any lease
			rest(e.ctx, time.Duration(rand.IntN(500))*time.Millisecond)
			gate.savaged.Store(true)
			gate.signal(syscall.SIGSTOP)
			rest(e.ctx, freezeFor)
			gate.signal(syscall.SIGCONT)
			e.counts.stops.Add(1)
			rest(e.ctx, time.Duration(rand.IntN(1500))*time.Millisecond)
		}
		if !gate.running() {
			return fmt.Errorf("the gateway ended by itself: %s:\n%s", gate.how(), gate.log.tail(60))
		}
		gate.savaged.Store(true)
		gate.signal(syscall.SIGKILL)
		e.door.open(nil)
		gate.kill()
		e.counts.kills.Add(1)
		done++
	}
	return e.ctx.Err()
}
