package transport

import (
	"time"

	"customer-gateway/canonical"
)

// Observer is told what the stack does. Its methods are called on the path of
// every request: they must be quick, must not block and must be safe for
// concurrent use.
type Observer interface {
	// Attempt ends one request to the provider; code is empty on success.
	Attempt(op string, code canonical.Code, took time.Duration)
	// Retry announces another attempt because of code.
	Retry(op string, code canonical.Code)
	// LimiterWait ends a wait for the route's own rate limit.
	LimiterWait(waited time.Duration)
	// Breaker reports the breaker's new state. It begins closed, unless the
	// first report, from New, is that it is off.
	Breaker(state BreakerState)
	// Gate reports that a gate has closed or opened. GateCredential closing is
	// what an operator wants to be woken for.
	Gate(gate Gate, closed bool)
	// Unclassified reports an answer that no rule matched, by its fingerprint.
	Unclassified(op string, status int, upstreamCode string)
}

// Gate names what holds a route's calls back.
type Gate string

// The gates.
const (
	GatePaused     Gate = "paused"
	GateCredential Gate = "credential"
	GateNotBefore  Gate = "not_before"
)

// BreakerState is a circuit breaker's state.
type BreakerState string

// The states.
const (
	BreakerClosed   BreakerState = "closed"
	BreakerOpen     BreakerState = "open"
	BreakerHalfOpen BreakerState = "half_open"
	BreakerOff      BreakerState = "off"
)

// State is a snapshot of a route's stack.
type State struct {
	Breaker   BreakerState `json:"breaker"`
	OpenUntil time.Time    `json:"openUntil,omitzero"`
	Limited   bool         `json:"limited"` // whether there is a rate limit
	Tokens    float64      `json:"tokens"`  // attempts free at once; negative while calls wait
	InFlight  int          `json:"inFlight"`
	Gate      Gate         `json:"gate,omitempty"` // the outermost closed gate
	// Reason is the operator's for a pause and the error code for a credential.
	Reason string    `json:"reason,omitempty"`
	Until  time.Time `json:"until,omitzero"` // when the gate lets the next call through
}

// State returns a snapshot.
func (c *Client) State() State {
	var s State
	s.Breaker, s.OpenUntil = c.breaker.state()
	s.Tokens, s.Limited = c.limiter.tokens()
	s.InFlight = int(c.inFlight.Load())
	s.Gate, s.Reason, s.Until = c.gate.state()
	return s
}

type silent struct{}

func (silent) Attempt(string, canonical.Code, time.Duration) {}
func (silent) Retry(string, canonical.Code)                  {}
func (silent) LimiterWait(time.Duration)                     {}
func (silent) Breaker(BreakerState)                          {}
func (silent) Gate(Gate, bool)                               {}
func (silent) Unclassified(string, int, string)              {}
