package sandbox

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is a refusal in April's one shape of errors.
type Error struct {
	Status  int    // also statusCode
	Code    string // errorCode; empty: one made from the status
	Message string
	// Detail is free text, which in April's answers may hold personal data.
	Detail string
	// Metadata is any JSON value; empty means null.
	Metadata json.RawMessage
}

// body returns what is sent for e.
func (e *Error) body(tracer string) map[string]any {
	code, message := e.Code, e.Message
	if code == "" {
		code = strings.ReplaceAll(strings.ToLower(http.StatusText(e.Status)), " ", "_")
	}
	if message == "" {
		message = http.StatusText(e.Status)
	}
	category := "The server is unable to process the request due to client error."
	if e.Status >= http.StatusInternalServerError {
		category = "The server failed to process a valid request."
	}
	body := map[string]any{
		"statusCode":           e.Status,
		"errorCode":            code,
		"message":              message,
		"tracer":               tracer,
		"errorTypeDescription": category,
		"metadata":             nil,
	}
	if e.Detail != "" {
		body["detail"] = e.Detail
	}
	if json.Valid(e.Metadata) {
		body["metadata"] = e.Metadata
	}
	return body
}

// refuse answers e under a tracer of its own.
func (s *Sandbox) refuse(w http.ResponseWriter, e *Error) {
	s.mu.Lock()
	s.serial++
	serial := s.serial
	s.mu.Unlock()
	sum := sha256.Sum256([]byte("tracer " + strconv.Itoa(serial)))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80 // a UUID of version 4
	writeJSON(w, e.Status, e.body(fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])))
}

// RateLimited answers 429. April publishes no limits; Retry-After is in seconds.
func (s *Sandbox) RateLimited(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
	seconds := int64((retryAfter + time.Second - time.Nanosecond) / time.Second)
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	s.refuse(w, &Error{Status: http.StatusTooManyRequests, Message: "Too many requests were sent"})
}

// badRequest refuses what has the wrong form.
func badRequest(format string, args ...any) *Error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...)}
}

// unprocessable refuses a value of the right form, and quotes it.
func unprocessable(member, value, rule string) *Error {
	return &Error{
		Status:  http.StatusUnprocessableEntity,
		Message: member + " " + rule,
		Detail:  fmt.Sprintf("%s: %q", member, value),
	}
}
