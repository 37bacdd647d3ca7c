package api

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/trace"

	"github.com/gin-gonic/gin"
)

// state is what the API knows of one request.
type state struct {
	started   time.Time
	requestID string
	trace     trace.Trace
	traceID   string
	key       *Key // nil if the API has no keys or none was needed
}

// stateKey is where a gin.Context holds the state.
const stateKey = "state"

func stateOf(c *gin.Context) *state {
	v, _ := c.Get(stateKey)
	return v.(*state)
}

// unmatched stands for the template of a path that has none.
const unmatched = "unmatched"

// observe gives the request its ids, turns an error or a panic of what comes
// after it into the answer, and logs and counts the request.
func (a *api) observe(c *gin.Context) {
	h := c.Request.Header
	s := &state{started: time.Now(), requestID: requestID(h)}
	s.trace = trace.Parse(single(h, trace.ParentHeader), strings.Join(h[trace.StateHeader], ","))
	s.traceID = s.trace.ID()
	c.Set(stateKey, s)
	c.Writer.Header()["X-Request-Id"] = []string{s.requestID}
	if a.Metrics != nil {
		a.Metrics.InFlight(1)
	}
	defer func() {
		if a.Metrics != nil {
			a.Metrics.InFlight(-1)
		}
		a.record(c, s)
	}()
	defer a.recover(c, s)
	c.Next()
	if err := c.Errors.Last(); err != nil {
		a.writeProblem(c, err.Err)
	}
}

// recover answers a panic. Once an answer is under way it cannot be changed, so
// it is cut off where the client will notice.
func (a *api) recover(c *gin.Context, s *state) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler { // a deliberate one, and net/http's own affair
		panic(p)
	}
	a.logPanic(p, pathTemplate(c), s)
	if c.Writer.Written() {
		panic(http.ErrAbortHandler)
	}
	a.writeProblem(c, &canonical.Error{Code: canonical.GatewayInternal})
}

// logPanic logs a panic while it is being recovered from.
func (a *api) logPanic(p any, route string, s *state) {
	// The value of a panic may hold anything, so only its type is logged; what
	// the runtime itself has to say holds no data.
	what := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		what = err.Error()
	}
	a.Log.LogAttrs(context.Background(), slog.LevelError, "panic in a handler",
		slog.String("panic", what), slog.String("route", route),
		slog.String("requestId", s.requestID), slog.String("traceId", s.traceID),
		slog.String("stack", string(debug.Stack())))
}

// record logs and counts the request: what was called and how it went, never by
// whom from where, nor about which customer.
func (a *api) record(c *gin.Context, s *state) {
	took, route, status := time.Since(s.started), pathTemplate(c), c.Writer.Status()
	if a.Metrics != nil {
		a.Metrics.Request(c.Request.Method, route, status, took)
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !a.Log.Enabled(ctx, level) {
		return
	}
	var key string
	if s.key != nil {
		key = s.key.Name
	}
	a.Log.LogAttrs(ctx, level, "request",
		slog.String("method", method(c.Request.Method)), slog.String("route", route), slog.Int("status", status),
		slog.Int("bytes", max(0, c.Writer.Size())), slog.Duration("took", took), slog.String("key", key),
		slog.String("requestId", s.requestID), slog.String("traceId", s.traceID))
}

// shed refuses a call while too many are being served.
func (a *api) shed(c *gin.Context) {
	if a.MaxInFlight <= 0 {
		return
	}
	defer a.inFlight.Add(-1)
	if a.inFlight.Add(1) > int64(a.MaxInFlight) {
		_ = c.Error(&canonical.Error{Code: canonical.GatewayOverloaded, RetryAfter: time.Second})
		c.Abort()
		return
	}
	c.Next()
}

// pathTemplate returns the template of the request's path, which holds no ids.
func pathTemplate(c *gin.Context) string {
	if t := c.FullPath(); t != "" {
		return t
	}
	return unmatched
}

// method returns a request's method if it is one of those that have a meaning.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return m
	}
	return "other"
}

// requestID returns the caller's X-Request-Id, if it is one that can go into
// logs, else a new one.
func requestID(h http.Header) string {
	if id := canonical.Token(single(h, "X-Request-Id")); id != "" {
		return id
	}
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], rand.Uint64()) // unique, not secret
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	return hex.EncodeToString(raw[:])
}

// single returns the value of a header field that must not be there twice. name
// is in canonical form.
func single(h http.Header, name string) string {
	if values := h[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}
