package sandbox

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// ErrorShape is a generation of Rebilly's error bodies. Official clients still
// read all of them.
type ErrorShape int

// The shapes of errors.
const (
	// ErrorsCurrent are problem details; invalidFields is an array.
	ErrorsCurrent ErrorShape = iota
	// Errors2019 are those of 2019 to 2022: status, error, details, and
	// invalidFields as an array. The limit's end is in Rate-Limit-Reset.
	Errors2019
	// ErrorsBefore2019 have invalidFields as an object of lists. The limit's end
	// is in Retry-After, as a date and time without a zone.
	ErrorsBefore2019
	// ErrorsFieldless are problem details that never have invalidFields.
	ErrorsFieldless
	// ErrorsUnreadable are not JSON although they say so.
	ErrorsUnreadable
)

// invalidField is one validation fault. Field is in dot notation.
type invalidField struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// problem is a refusal before it takes a shape.
type problem struct {
	status int
	title  string // empty: the status text
	detail string
	fields []invalidField
}

// invalid returns the answer to a well-formed body that breaks rules.
func invalid(fields ...invalidField) *problem {
	return &problem{status: http.StatusUnprocessableEntity, detail: "The given data was invalid", fields: fields}
}

// refuse answers p in the current shape of errors.
func (s *Sandbox) refuse(w http.ResponseWriter, p *problem) {
	s.mu.Lock()
	shape := s.shape
	s.serial++
	instance := fmt.Sprintf("urn:emulator:request:%d", s.serial)
	s.mu.Unlock()
	if shape == ErrorsUnreadable {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(p.status)
		_, _ = io.WriteString(w, "<html><body>"+http.StatusText(p.status)+"</body></html>")
		return
	}
	writeJSON(w, p.status, p.body(shape, instance))
}

// body returns what is sent for p.
func (p *problem) body(shape ErrorShape, instance string) map[string]any {
	// A 400 has the member too, and it may be empty.
	fielded := p.status == http.StatusUnprocessableEntity || p.status == http.StatusBadRequest
	title := p.title
	if title == "" {
		title = http.StatusText(p.status)
	}
	fields := append([]invalidField{}, p.fields...)
	switch shape {
	case Errors2019:
		body := map[string]any{"status": p.status, "error": p.detail, "details": messages(p)}
		if fielded {
			body["invalidFields"] = fields
		}
		return body
	case ErrorsBefore2019:
		body := map[string]any{"details": messages(p)}
		if !fielded {
			body["status"], body["error"] = p.status, p.detail
			return body
		}
		byField := map[string][]map[string]string{}
		for _, f := range fields {
			byField[f.Field] = append(byField[f.Field], map[string]string{"message": f.Message})
		}
		body["invalidFields"] = byField
		return body
	}
	body := map[string]any{
		"type":     "about:blank",
		"title":    title,
		"status":   p.status,
		"detail":   p.detail,
		"instance": instance,
	}
	if fielded && shape != ErrorsFieldless {
		body["invalidFields"] = fields
	}
	return body
}

// messages returns the details of the older shapes.
func messages(p *problem) []string {
	if len(p.fields) == 0 {
		return []string{p.detail}
	}
	list := make([]string, len(p.fields))
	for i, f := range p.fields {
		list[i] = f.Message
	}
	return list
}

// RateLimited answers 429. The end of the wait is a moment, not a delay: seconds
// since 1970 today, a date in the older shapes.
func (s *Sandbox) RateLimited(w http.ResponseWriter, _ *http.Request, retryAfter time.Duration) {
	s.mu.Lock()
	shape := s.shape
	limit, _ := s.rate()
	s.mu.Unlock()
	// Up to the next whole second, so that nobody comes back too early.
	end := s.opts.Now().Add(retryAfter + time.Second - time.Nanosecond).UTC().Truncate(time.Second)
	h := w.Header()
	switch shape {
	case Errors2019:
		h.Set("Rate-Limit-Limit", strconv.Itoa(limit))
		h.Set("Rate-Limit-Remaining", "0")
		h.Set("Rate-Limit-Reset", end.Format(time.RFC1123Z))
	case ErrorsBefore2019:
		h.Set("X-Rate-Limit-Limit", strconv.Itoa(limit))
		h.Set("X-Rate-Limit-Remaining", "0")
		h.Set("X-Rate-Limit-Reset", end.Format(time.RFC1123Z))
		h.Set("Retry-After", end.Format(time.DateTime))
	default:
		h.Set("X-RateLimit-Limit", strconv.Itoa(limit))
		h.Set("X-RateLimit-Remaining", "0")
		h.Set("X-RateLimit-Retry-After", strconv.FormatInt(end.Unix(), 10))
	}
	s.refuse(w, &problem{
		status: http.StatusTooManyRequests,
		title:  "Rate Limit Exceeded",
		detail: "A request cannot be executed because the user has sent too many requests within a certain period of time",
	})
}
