package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"customer-gateway/canonical"

	"github.com/gin-gonic/gin"
)

// answerLine is the answer to one line of a bulk request: an envelope or an error,
// and the status that a PUT would have had. Without a status it says why the intake
// has ended before that line.
type answerLine struct {
	Line       int    `json:"line"`
	ID         string `json:"id,omitempty"`
	Status     int    `json:"status,omitempty"`
	RetryAfter int64  `json:"retryAfter,omitempty"` // seconds
	*envelope
	Error *problem `json:"error,omitempty"`
}

// bulk is a bulk request. One goroutine takes lines in, each line is worked on by
// one of its own, and the handler's writes the answers.
//
// A place is taken before a line is read, and given back when the writer takes its
// answer, which it does when the one before is written. So there are never more
// lines in memory than places, and a client that does not read is not read from.
type bulk struct {
	*api
	order
	ctx     context.Context
	traceID string
	failed  func(panicked any) // logs a panic

	body    *lines
	control *http.ResponseController
	places  chan struct{}
	answers chan *answerLine
	work    sync.WaitGroup
	read    bool // the body was read to its end

	mu   sync.Mutex
	last map[string]chan struct{} // by customer: closed when the line taken last is done
}

// bulkCustomers upserts a customer for each line, and answers each with a line.
func (a *api) bulkCustomers(c *gin.Context) {
	durable := a.Gateway.Durable()
	o, err := a.order(c, &mediaNDJSON)
	if err == nil {
		err = refuseConditions(c.Request.Header, durable)
	}
	if err == nil {
		err = a.configured("routes", o.asked...) // else every line would be refused for it
	}
	if err != nil {
		_ = c.Error(err)
		return
	}
	// Whoever wants to wait for the routes at every line has to say so.
	o.cmd.Async = durable && o.wish.wait == 0
	s := stateOf(c)
	b := &bulk{
		api: a, order: o, ctx: traced(c), traceID: s.traceID,
		failed:  func(p any) { a.logPanic(p, pathTemplate(c), s) },
		body:    newLines(c.Request.Body, a.MaxBody),
		control: http.NewResponseController(c.Writer),
		places:  make(chan struct{}, a.BulkConcurrency),
		answers: make(chan *answerLine),
		last:    map[string]chan struct{}{},
	}
	// An error says that there is nothing to be done: a writer that is no
	// connection, or HTTP/2, which is always full duplex.
	_ = b.control.EnableFullDuplex()
	h := c.Writer.Header()
	h["Content-Type"] = []string{typeNDJSON}
	h["X-Content-Type-Options"] = noSniff
	h["Cache-Control"] = noStore
	if applied := o.wish.applied(); applied != "" {
		h["Preference-Applied"] = []string{applied}
	}
	c.Writer.WriteHeader(http.StatusOK)
	// A client may want to see the head before it sends a line, unless it waits
	// for 100 Continue: the first read sends that, and the head would prevent it.
	if c.Request.Header["Expect"] == nil {
		_ = b.control.Flush()
	}
	unwatch := b.watch()
	go b.intake()
	b.write(c.Writer)
	unwatch()
	if !b.read {
		b.abandon(c.Writer)
	}
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// abandon leaves the rest of the body unread. It must neither be waited for nor be
// taken for the next request, so the connection ends with the answer.
func (b *bulk) abandon(w http.ResponseWriter) {
	_ = b.control.SetReadDeadline(past)
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		w = u.Unwrap()
	}
	// Too late for Connection: close. A body over its limit has the same effect,
	// and net/http gives the client time to read the answer first.
	rest := http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0)
	_, _ = rest.Read(make([]byte, 1))
}

// watch wakes the intake from its reading when the gateway shuts down, until stop
// is called.
func (b *bulk) watch() (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-b.Closing:
			_ = b.control.SetReadDeadline(past)
		case <-ended:
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}

// closing reports whether the gateway shuts down.
func (b *bulk) closing() bool {
	select {
	case <-b.Closing:
		return true
	default:
		return false
	}
}

// intake takes lines in, to the end or until nobody wants it any more. What was
// taken in is finished.
func (b *bulk) intake() {
	defer close(b.answers)
	err := b.takeAll()
	b.work.Wait()
	if err != nil {
		end := b.refuse(b.body.n+1, "", err)
		end.Status = 0 // it is no answer to that line
		b.answers <- end
	}
}

// takeAll returns why the intake ended before the end of the body, or nil.
func (b *bulk) takeAll() error {
	for {
		b.places <- struct{}{}
		line, err := b.next()
		switch n := b.body.n; {
		case err == nil:
			b.take(n, line)
		case errors.Is(err, errLongLine):
			b.start(nil, nil, func() *answerLine {
				return b.refuse(n, "", &canonical.Error{Code: canonical.RequestTooLarge, Message: fmt.Sprintf("the line is longer than %d bytes", b.MaxBody)})
			})
		case errors.Is(err, io.EOF):
			b.read = true
			return nil
		case b.closing():
			return &canonical.Error{Code: canonical.GatewayOverloaded, RetryAfter: time.Second,
				Message: "the gateway is shutting down; send this line and those after it again", Err: err}
		case errors.Is(err, os.ErrDeadlineExceeded):
			return &canonical.Error{Code: canonical.RequestMalformed, Message: "the rest of the body did not arrive in time", Err: err}
		default:
			return &canonical.Error{Code: canonical.RequestMalformed, Message: "the body ended before it was complete", Err: err}
		}
	}
}

// next returns the next line that is not empty.
func (b *bulk) next() ([]byte, error) {
	for {
		// In this order, so that the deadline that watch sets is not undone.
		_ = b.control.SetReadDeadline(time.Now().Add(b.BulkTimeout))
		if b.closing() {
			return nil, http.ErrServerClosed
		}
		line, err := b.body.next()
		if err != nil || len(bytes.Trim(line, " \t\r")) > 0 {
			return line, err
		}
	}
}

// take starts the work on line n, behind that on the customer's line before.
func (b *bulk) take(n int, line []byte) {
	v, id, err := b.readLine(line)
	if err != nil {
		b.start(nil, nil, func() *answerLine { return b.refuse(n, "", err) })
		return
	}
	done := make(chan struct{})
	b.mu.Lock()
	before := b.last[id]
	b.last[id] = done
	b.mu.Unlock()
	leave := func() {
		close(done)
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.last[id] == done {
			delete(b.last, id)
		}
	}
	b.start(before, leave, func() *answerLine { return b.upsert(n, id, line, v) })
}

// start runs the work on a line when before is closed, has its answer written,
// and calls leave, if there are those.
func (b *bulk) start(before chan struct{}, leave func(), work func() *answerLine) {
	b.work.Go(func() {
		if before != nil {
			<-before
		}
		b.answers <- work()
		<-b.places
		if leave != nil {
			leave()
		}
	})
}

// readLine returns a line's content and the customer's id.
func (b *bulk) readLine(line []byte) (v canonical.Value, id string, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.failed(p)
			err = &canonical.Error{Code: canonical.GatewayInternal}
		}
	}()
	v, err = canonical.Parse(line)
	if err != nil || v.Kind() != canonical.KindObject {
		// It says more about what is wrong than the parser.
		if _, fault := canonical.DecodeCustomer("", line); fault != nil {
			return v, "", fault
		}
		return v, "", unreadable(err)
	}
	stated := v.Get("id")
	if stated.Kind() == canonical.KindString {
		id = stated.Str()
		if err = canonical.CheckID(id); err == nil {
			return v, id, nil
		}
	} else {
		err = errors.New("must be the id of the customer, a string")
	}
	// All faults are told at once.
	e := &canonical.Error{Code: canonical.RequestInvalid, Message: "the customer is not valid: see errors",
		Fields: []canonical.FieldError{{Pointer: "/id", Code: canonical.FieldInvalid, Message: err.Error()}}}
	if stated.Kind() == canonical.KindAbsent {
		e.Fields[0].Code = canonical.FieldRequired
	}
	if _, fault := canonical.DecodeCustomer(id, line); fault != nil {
		more := canonical.AsError(fault)
		e.Code, e.Message = more.Code, more.Message
		for _, f := range more.Fields {
			if f.Pointer != "/id" {
				e.Fields = append(e.Fields, f)
			}
		}
	}
	return v, "", e
}

// upsert does what the line says.
func (b *bulk) upsert(n int, id string, line []byte, v canonical.Value) (answer *answerLine) {
	defer func() {
		if p := recover(); p != nil {
			b.failed(p)
			answer = b.refuse(n, id, &canonical.Error{Code: canonical.GatewayInternal})
		}
	}()
	cmd := b.cmd
	cmd.Body = line
	var err error
	if cmd.Customer, err = canonical.DecodeCustomer(id, line); err != nil {
		return b.refuse(n, id, err)
	}
	if b.key != "" {
		cmd.Key = b.ledgerKey(b.key+"/"+strconv.Itoa(n), http.MethodPost, id, v)
	}
	e, err := b.Gateway.Upsert(b.ctx, cmd)
	if err != nil {
		return b.refuse(n, id, err)
	}
	if f := failureOf(e, cmd.Strict); f != nil {
		return b.refuse(n, id, f)
	}
	return &answerLine{Line: n, ID: id, Status: statusOf(e), envelope: b.envelope(e, b.traceID)}
}

// refuse answers line n with an error.
func (b *bulk) refuse(n int, id string, err error) *answerLine {
	p, retryAfter := b.explain(err, b.traceID)
	answer := &answerLine{Line: n, ID: id, Status: p.Status, Error: p}
	if p.waits() {
		answer.RetryAfter = seconds(retryAfter)
	}
	return answer
}

// write writes the answers until there are no more. Once the client has gone they
// are only taken: net/http closes a connection that cannot be written to, and so
// ends the intake.
func (b *bulk) write(w io.Writer) {
	buffer := new(bytes.Buffer)
	enc := json.NewEncoder(buffer)
	enc.SetEscapeHTML(false)
	waiting := false // something is written and not sent
	for {
		var answer *answerLine
		var more bool
		select {
		case answer, more = <-b.answers:
		default:
			if waiting {
				_ = b.control.Flush() // it must not wait for what has no answer yet
				waiting = false
			}
			answer, more = <-b.answers
		}
		if !more {
			return
		}
		buffer.Reset()
		if err := enc.Encode(answer); err != nil {
			b.failed(err) // nothing was written
			_ = enc.Encode(b.refuse(answer.Line, answer.ID, &canonical.Error{Code: canonical.GatewayInternal}))
		}
		_ = b.control.SetWriteDeadline(time.Now().Add(b.BulkTimeout))
		_, _ = w.Write(buffer.Bytes())
		waiting = true
	}
}
