package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"customer-gateway/canonical"
)

const (
	// stall is how long the gateway may be silent within a chunk.
	stall = time.Minute
	// The pauses after which a chunk is sent again.
	firstPause = 250 * time.Millisecond
	maxPause   = 30 * time.Second
	// maxTries is how often a row is sent that is answered with an error which is
	// its own, but may pass.
	maxTries = 3
)

// sender sends chunks to the gateway, each until all of its rows are settled.
type sender struct {
	client *client
	key    string // begins every Idempotency-Key
	query  url.Values
	strict bool
	giveUp time.Duration

	now  func() time.Time
	wait func(context.Context, time.Duration) error
	note func(format string, args ...any) // tells why it waits
	done func(size int64)                 // a row is settled

	progress time.Time // when the last row was settled
}

// giveUpError is the end of trying.
type giveUpError struct {
	after time.Duration
	last  error
}

// Error names the last cause.
func (e *giveUpError) Error() string {
	return fmt.Sprintf("given up after %v without progress (--give-up): %v", e.after, e.last)
}

// Unwrap returns the last cause.
func (e *giveUpError) Unwrap() error { return e.last }

// send returns when every row is accepted, refused or replaced. Whatever happens
// before, the same rows may be sent again under the same keys.
func (s *sender) send(ctx context.Context, c *chunk) error {
	if s.progress.IsZero() {
		s.progress = s.now()
	}
	for try := 0; ; try++ {
		if !c.waiting() {
			return nil
		}
		settled, err := s.post(ctx, c)
		if settled > 0 {
			s.progress, try = s.now(), 0
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !c.waiting():
			return nil
		case err == nil:
			err = errors.New("the gateway left lines unanswered")
		case !passing(err):
			return err
		}
		pause := min(maxPause, firstPause<<min(try, 10))
		pause = pause/2 + rand.N(pause/2+1)
		if refused, ok := errors.AsType[*refusedError](err); ok {
			pause = max(pause, refused.retryAfter)
		}
		if without := s.now().Sub(s.progress); without+pause > s.giveUp {
			return &giveUpError{s.giveUp, err}
		}
		s.note("%v; trying again in %v", err, pause.Round(10*time.Millisecond))
		if s.wait(ctx, pause) != nil {
			return context.Cause(ctx)
		}
	}
}

// waiting reports whether a row is still to be sent.
func (c *chunk) waiting() bool {
	for i := range c.rows {
		if c.rows[i].state == rowToSend {
			return true
		}
	}
	return false
}

// body is the chunk as it is sent. Every row has its line, for that is part of its
// key; those that are not to be sent leave it empty.
func (c *chunk) body() []byte {
	var b bytes.Buffer
	end := 0
	for i := range c.rows {
		if r := &c.rows[i]; r.state == rowToSend {
			b.Write(r.body)
			end = b.Len() + 1
		}
		b.WriteByte('\n')
	}
	return b.Bytes()[:end]
}

// post sends what waits in the chunk once and returns how many rows that has
// settled. The error is why others are not.
func (s *sender) post(ctx context.Context, c *chunk) (settled int, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(stall, func() {
		cancel(&unreachableError{url: s.client.base.String(), cause: fmt.Errorf("silent for %v", stall)})
	})
	defer silence.Stop()
	req, err := s.client.request(ctx, http.MethodPost, "/v1/customers/bulk", s.query, bytes.NewReader(c.body()))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Accept", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", fmt.Sprintf(`"%s-%d"`, s.key, c.number))
	if s.strict {
		req.Header.Set("Prefer", "handling=strict")
	}
	resp, err := s.client.do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/x-ndjson") {
		return 0, &refusedError{url: s.client.base.String(), status: resp.StatusCode, way: "that is no answer of a gateway: check --url or " + envURL}
	}
	var busy error
	for answers := json.NewDecoder(resp.Body); ; {
		var a lineAnswer
		switch err := answers.Decode(&a); {
		case errors.Is(err, io.EOF):
			return settled, busy
		case err != nil:
			if ctx.Err() == nil && !errors.Is(err, io.ErrUnexpectedEOF) && isSyntax(err) {
				err = errors.New("the answer is no NDJSON; is there a proxy that changes it?")
			}
			return settled, s.client.unreachable(ctx, err)
		}
		silence.Reset(stall)
		if a.Line < 1 || a.Line > len(c.rows) || a.Status == 0 || c.rows[a.Line-1].state != rowToSend {
			if a.Status == 0 && a.Error != nil {
				busy = a.refusal(s.client) // the stream ends here
			}
			continue
		}
		if err := c.settle(&c.rows[a.Line-1], &a, s.client); err != nil {
			busy = err
			continue
		}
		settled++
		s.done(c.rows[a.Line-1].size)
	}
}

func isSyntax(err error) bool {
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return true
	}
	_, ok := errors.AsType[*json.UnmarshalTypeError](err)
	return ok
}

// lineAnswer is what the gateway says to one line, or, without a status, why it
// read no further.
type lineAnswer struct {
	Line    int             `json:"line"`
	Status  int             `json:"status"`
	Error   json.RawMessage `json:"error"`
	Results []struct {
		Status string          `json:"status"`
		Error  json.RawMessage `json:"error"`
	} `json:"results"`
}

// refusal returns the answer's error.
func (a *lineAnswer) refusal(c *client) *refusedError {
	e := &refusedError{url: c.base.String(), status: a.Status, problem: readProblem(a.Error)}
	if e.status == 0 {
		// Why it ends does not matter: what has no answer is sent again.
		e.status = http.StatusServiceUnavailable
	}
	return e
}

func readProblem(raw json.RawMessage) problem {
	var p problem
	if json.Unmarshal(raw, &p) != nil {
		return problem{}
	}
	return p
}

// settle ends a row with its answer. The error says that the row is to be sent
// again.
func (c *chunk) settle(r *row, a *lineAnswer, gateway *client) error {
	if a.Error == nil && a.Status/100 == 2 {
		r.state = rowAccepted
		for _, result := range a.Results {
			if result.Status == "pending" || len(result.Error) == 0 || string(result.Error) == "null" {
				continue
			}
			r.problems = append(r.problems, result.Error)
			r.codes = append(r.codes, readProblem(result.Error).Code)
		}
		return nil
	}
	e := a.refusal(gateway)
	switch r.tries++; e.problem.Code {
	case canonical.GatewayOverloaded, canonical.GatewayStoreUnavailable, canonical.CallerRateLimited, canonical.IdempotencyInFlight:
		return e
	}
	if e.problem.Retryable && r.tries < maxTries {
		// Whatever its status, it may pass.
		e.status = http.StatusServiceUnavailable
		return e
	}
	if e.problem.Code == "" {
		e.problem.Code = canonical.GatewayInternal
	}
	r.refuse(e.problem.Code, a.Error)
	if r.behind >= 0 {
		// The state that this one had replaced is the newest that may stand.
		c.rows[r.behind].state = rowToSend
	}
	return nil
}
