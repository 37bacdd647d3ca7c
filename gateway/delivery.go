package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"customer-gateway/canonical"
)

// deliver takes an upsert to one route when its turn has come, and fills in its
// result.
func (g *Gateway) deliver(ctx context.Context, r *route, turn chan struct{}, base *canonical.Upsert, strict bool, result *Result) {
	started := time.Now()
	result.of(r)
	defer func() {
		r.locks.leave(base.ID, turn)
		if p := recover(); p != nil {
			result.crash(p)
		}
		g.observe(result, started)
	}()
	u := base.For(r.Name, r.provider, "")
	request := r.prepare(&u, strict, result)
	if request == nil {
		return
	}
	if err := wait(ctx, turn); err != nil {
		result.fail(&canonical.Error{Code: canonical.RouteDeadline, Provider: r.provider, Op: request.Op, Message: "an earlier upsert of this customer took all the time", Err: err}, false)
		return
	}
	r.follow(ctx, &u, request, result)
}

// observe tells the observer of a result.
func (g *Gateway) observe(result *Result, started time.Time) {
	if g.opts.Observer == nil {
		return
	}
	var code canonical.Code
	if result.Err != nil {
		code = result.Err.Code
	}
	g.opts.Observer.Result(result.Route, result.Status, code, time.Since(started))
}

// prepare translates an upsert. Without a request, the result has failed.
func (r *route) prepare(u *canonical.Upsert, strict bool, result *Result) *canonical.Request {
	request, notices, err := r.Adapter.Translate(*u)
	if err == nil && strict {
		err = refuseLosses(r.provider, notices)
	}
	if err != nil {
		result.fail(canonical.AsError(err), false)
		return nil
	}
	result.Warnings = slices.Clip(notices) // they are the adapter's
	return request
}

// maxSteps bounds the requests of one upsert to one route.
const maxSteps = 8

// follow sends request and what comes after it, to the end. It reports whether
// something that was sent may still take effect later.
func (r *route) follow(ctx context.Context, u *canonical.Upsert, request *canonical.Request, result *Result) (unsure bool) {
	for range maxSteps {
		sent := request
		got := r.Transport.Do(ctx, sent, func(reply *canonical.Reply) (canonical.Outcome, error) {
			return r.Adapter.Interpret(*u, sent, reply)
		})
		unsure = unsure || got.Unsure
		result.Attempts += got.Attempts
		result.Warnings = append(result.Warnings, got.Outcome.Notices...)
		if got.Outcome.RemoteID != "" {
			result.RemoteID = got.Outcome.RemoteID
		}
		if got.Err != nil {
			result.fail(got.Err, sent.Method != http.MethodGet && got.Err.Op == sent.Op)
			return unsure
		}
		if got.Outcome.Next == nil {
			result.succeed(got.Outcome.Action)
			return unsure
		}
		request = got.Outcome.Next
	}
	result.fail(&canonical.Error{Code: canonical.UpstreamInvalidResponse, Provider: r.provider, Op: request.Op, Message: fmt.Sprintf("the provider's answers led to more than %d requests", maxSteps)}, false)
	return unsure
}

// refuseLosses turns what would be lost into a refusal.
func refuseLosses(provider string, notices []canonical.Notice) error {
	var lost []canonical.FieldError
	for _, n := range notices {
		if n.Code.Lossy() {
			lost = append(lost, canonical.FieldError{Pointer: n.Pointer, Field: n.Field, Code: canonical.FieldUnsupported, Message: n.Message})
		}
	}
	if lost == nil {
		return nil
	}
	return &canonical.Error{Code: canonical.MappingLossy, Provider: provider, Fields: lost,
		Message: fmt.Sprintf("%s cannot hold everything that is stated, and strict handling was asked for: see errors", provider)}
}

// logFailure writes a line for a route that failed or has to be tried again: codes
// and ids, no data.
func (g *Gateway) logFailure(ctx context.Context, operation string, res *Result) {
	if res.Err == nil {
		return
	}
	message, level := "route failed", slog.LevelWarn
	if res.Status == StatusPending {
		message = "route pending"
	}
	if res.Err.Code.Info().Acts == canonical.ActsCaller {
		level = slog.LevelInfo
	}
	if res.Err.Code == canonical.GatewayInternal {
		level = slog.LevelError
	}
	if !g.opts.Log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("operation", operation), slog.String("route", res.Route), slog.String("provider", res.Provider),
		slog.String("status", string(res.Status)), slog.String("code", string(res.Err.Code)), slog.String("op", res.Err.Op),
		slog.Int("upstreamStatus", res.Err.Status), slog.String("upstreamCode", res.Err.UpstreamCode),
		slog.String("upstreamRequestId", res.Err.RequestID), slog.Int("attempts", res.Attempts),
	}
	if s, ok := errors.AsType[interface {
		error
		Stack() []byte
	}](res.Err.Err); ok {
		attrs = append(attrs, slog.String("stack", string(s.Stack())))
	}
	g.opts.Log.LogAttrs(ctx, level, message, attrs...)
}
