//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"customer-gateway/adapters/emulator"
)

// control calls an emulator's control interface.
func (e *epoch) control(ctx context.Context, method, route, what string, v, answer any) {
	var body []byte
	if v != nil {
		body, _ = json.Marshal(v)
	}
	if answer == nil {
		answer = new(json.RawMessage)
	}
	status, _, err := fetch(ctx, method, e.emulators[route]+"/_emulator/"+what, nil, body, answer)
	if ctx.Err() == nil && (err != nil || status != http.StatusOK) {
		e.chronicle.blame(-1, "the emulator of %s does not answer: %s %s: %d %v", route, method, what, status, err)
	}
}

// listen takes down what changes at a provider until ctx ends and nothing is under
// way there.
func (e *epoch) listen(ctx context.Context, route string) {
	last := 0
	var got emulator.Changes
	for {
		going := rest(ctx, 50*time.Millisecond)
		got.Changes = nil
		e.control(e.ctx, http.MethodGet, route, fmt.Sprintf("changes?after=%d", last), nil, &got)
		for _, change := range got.Changes {
			if last++; change.Seq != last {
				e.chronicle.blame(-1, "the test missed changes %d to %d at %s: it is too slow", last, change.Seq-1, route)
				last = change.Seq
			}
			e.chronicle.observe(route, change)
		}
		e.pending(route, got)
		if !going || e.ctx.Err() != nil {
			e.counts.landings.Add(int64(last))
			e.counts.late.Add(int64(got.Late))
			e.counts.repeats.Add(int64(got.Repeats))
			return
		}
	}
}

// calm lets everything come to its end: no more faults, one gateway that stays,
// until no emulator is at work and no route has anything left to do. Then it takes
// down how things are.
func (e *epoch) calm(writers *sync.WaitGroup) (*life, error) {
	p, err := e.launch()
	if err != nil {
		return nil, err
	}
	gate, err := e.admit(p)
	if err != nil {
		return nil, err
	}
	for _, route := range e.chronicle.routes {
		e.control(e.ctx, http.MethodDelete, route, "faults", nil, nil)
		for !e.operate(e.ctx, "routes/"+route+"/resume", "") && e.ctx.Err() == nil {
			rest(e.ctx, 20*time.Millisecond)
		}
	}
	writers.Wait()
	if e.ctx.Err() != nil {
		return gate, errors.New("the writers do not come to their end")
	}
	for !e.idle() || !e.settled(gate) {
		if !rest(e.ctx, 100*time.Millisecond) {
			e.blameUnsettled()
			return gate, errors.New("the gateway does not come to rest")
		}
		if !gate.running() {
			return gate, fmt.Errorf("the gateway ended by itself: %s:\n%s", gate.how(), gate.log.tail(60))
		}
	}
	return gate, e.takeDown(gate)
}

// pending notes how much is under way at an emulator.
func (e *epoch) pending(route string, c emulator.Changes) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ongoing[route] = c.Pending
}

// idle reports whether nothing is under way at any emulator.
func (e *epoch) idle() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.ongoing {
		if n > 0 {
			return false
		}
	}
	return true
}

// customerState is the gateway's answer to GET /v1/customers/{id}.
type customerState struct {
	Version int64
	Routes  []struct {
		Route, State   string
		DesiredVersion int64
		Error          struct{ Code string }
	}
}

// settled asks for the state of all customers and reports whether no route has
// anything left to do for any of them.
func (e *epoch) settled(gate *life) bool {
	settled := true
	for customer := range int(e.retired.Load()) + e.abreast {
		var got customerState
		status, _, err := fetch(e.ctx, http.MethodGet, gate.url+"/v1/customers/"+customerID(customer), nil, nil, &got)
		if err != nil || status != http.StatusOK && status != http.StatusNotFound {
			return false
		}
		for _, r := range got.Routes {
			e.chronicle.states[spot{r.Route, customer}] = ending{state: r.State, desired: r.DesiredVersion, code: r.Error.Code}
			settled = settled && (r.State == "synced" || r.State == "dead")
		}
	}
	return settled
}

func (e *epoch) blameUnsettled() {
	for at, end := range e.chronicle.states {
		if end.state != "synced" && end.state != "dead" {
			e.chronicle.blame(at.customer, "%s does not come to rest: %+v", at.route, end)
		}
	}
}

// takeDown notes what the gateway and the emulators say in the end.
func (e *epoch) takeDown(gate *life) error {
	var list struct {
		DeadLetters []struct {
			Route, CustomerID string
			Version           int64
		}
	}
	if status, _, err := fetch(e.ctx, http.MethodGet, gate.url+"/v1/dead-letters?limit=1000", nil, nil, &list); err != nil || status != http.StatusOK {
		return fmt.Errorf("the list of dead letters: %d %w", status, err)
	}
	for _, d := range list.DeadLetters {
		var customer int
		if _, err := fmt.Sscanf(d.CustomerID, "c-%d", &customer); err != nil {
			return fmt.Errorf("a dead letter of customer %q: %w", d.CustomerID, err)
		}
		at := spot{d.Route, customer}
		end := e.chronicle.states[at]
		end.dead = d.Version
		e.chronicle.states[at] = end
		e.counts.dead.Add(1)
	}
	for _, route := range e.chronicle.routes {
		var records []emulator.Record
		e.control(e.ctx, http.MethodGet, route, "records", nil, &records)
		for _, record := range records {
			for _, mark := range marksOf(string(record.Document)) {
				customer, _ := parseMark(mark)
				at := spot{route, customer}
				e.chronicle.held[at] = append(e.chronicle.held[at], mark)
			}
		}
	}
	for _, r := range e.chronicle.statements {
		if r.fate != accepted {
			continue
		}
		var a spoken
		status, _, err := fetch(e.ctx, http.MethodGet, gate.url+"/v1/operations/"+r.operation, nil, nil, &a)
		if err != nil {
			return fmt.Errorf("operation %s: %w", r.operation, err)
		}
		if status != http.StatusOK || a.Version != r.version {
			e.chronicle.blame(r.customer, "operation %s was answered, and later the gateway said %d %s with version %d", r.operation, status, a.Code, a.Version)
		}
		results := map[string]string{}
		for _, result := range a.Results {
			results[result.Route] = result.Status
		}
		e.chronicle.operations[r.operation] = results
	}
	e.counts.checks.Add(int64(len(e.chronicle.states)))
	return nil
}

// report fails the test with every breach, and with the story of its customers.
func (e *epoch) report(t *testing.T, err error) {
	t.Helper()
	breaches := e.chronicle.breaches
	if err != nil {
		t.Error(err)
	} else {
		breaches = e.chronicle.judge()
	}
	if !slices.ContainsFunc(e.chronicle.statements, func(r *statement) bool { return r.fate == accepted }) || len(e.chronicle.landings) == 0 {
		t.Error("nothing was accepted, or nothing was delivered: this proves nothing")
	}
	e.counts.breaches.Add(int64(len(breaches)))
	told := map[int]bool{-1: true}
	for i, b := range breaches {
		if i == 20 {
			t.Errorf("and %d more", len(breaches)-i)
			break
		}
		t.Errorf("customer %d: %s", b.customer, b.text)
		if !told[b.customer] && len(told) < 4 {
			told[b.customer] = true
			t.Log(e.chronicle.tell(b.customer))
		}
	}
}
