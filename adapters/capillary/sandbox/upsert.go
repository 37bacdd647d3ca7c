package sandbox

import (
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// rowAnswer is the verdict on one row. Without entityId nothing was saved; with
// both entityId and errors the customer was saved and something in it refused.
type rowAnswer struct {
	EntityID int64           `json:"entityId,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Errors   json.RawMessage `json:"errors,omitempty"`
	Warnings json.RawMessage `json:"warnings,omitempty"`
}

// serveUpsert answers POST /v2/integrations/customer/upsert/bulk.
func (s *Sandbox) serveUpsert(w http.ResponseWriter, r *http.Request) {
	till, ok := s.admit(w, r)
	if !ok {
		return
	}
	skip, ok := skipChangeIdentifier(r)
	if !ok {
		writeIssue(w, http.StatusBadRequest, invalidInput("skipChangeIdentifier must be true or false"))
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeIssue(w, http.StatusBadRequest, invalidInput(""))
		return
	}
	rows, err := decodeRows(body, s.opts.AllowUnknown)
	switch {
	case err != nil:
		writeIssue(w, http.StatusBadRequest, invalidInput(err.Error()))
	case len(rows) == 0:
		writeIssue(w, http.StatusBadRequest, invalidInput("no customer was sent"))
	case len(rows) > s.opts.MaxRows:
		writeIssue(w, http.StatusBadRequest, issue(codeBatchLimit))
	default:
		s.answerRows(w, r, rows, skip, till)
	}
}

// admit does what all customer calls begin with, and answers those that end there.
func (s *Sandbox) admit(w http.ResponseWriter, r *http.Request) (till string, ok bool) {
	id := s.requestID()
	w.Header().Set("X-CAP-REQUEST-ID", id)
	w.Header().Set("X-Cap-RequestID", id)
	till, ok = s.authenticate(w, r)
	if !ok || s.refused(w) {
		return "", false
	}
	if !jsonBothWays(r) {
		writeUnsupportedMedia(w)
		return "", false
	}
	return till, true
}

// skipChangeIdentifier reads the query. Its default is unpublished; leaving the
// identifiers alone is what a caller must not rely on, so that is the default.
func skipChangeIdentifier(r *http.Request) (skip, ok bool) {
	switch r.URL.Query().Get("skipChangeIdentifier") {
	case "", "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func (s *Sandbox) answerRows(w http.ResponseWriter, r *http.Request, rows []row, skip bool, till string) {
	answers := make([]rowAnswer, len(rows))
	failed, code := 0, http.StatusOK
	touched := map[int64]bool{}
	s.mu.Lock()
	for i, in := range rows {
		got := verdict{errors: []Issue{issue(codeBusy)}}
		if s.opts.Sequential || !s.touches(in, touched) {
			got = s.upsert(in, skip)
		}
		if len(got.errors) > 0 {
			failed++
			if code == http.StatusOK {
				code = got.errors[0].Code
			}
		}
		if got.customer != nil {
			touched[got.customer.id] = true
			answers[i].EntityID, answers[i].Result = got.customer.id, got.customer.document()
		}
		answers[i].Errors, answers[i].Warnings = s.list(got.errors), s.list(got.warnings)
	}
	s.mu.Unlock()
	if s.opts.ReverseRows {
		slices.Reverse(answers)
	}
	// These names go out as they are written here; some proxies drop them.
	header := w.Header()
	header["org_id"] = []string{strconv.Itoa(orgID)}
	header["till"] = []string{till}
	header["uri_path"] = []string{r.URL.Path}
	header["status_code"] = []string{strconv.Itoa(code)}
	header["success"] = []string{strconv.Itoa(len(rows) - failed)}
	header["fail"] = []string{strconv.Itoa(failed)}
	status := http.StatusOK
	if failed > 0 && s.opts.FailureStatus != 0 {
		status = s.opts.FailureStatus
	}
	writeJSON(w, status, map[string]any{"response": answers, "totalCount": len(rows), "failureCount": failed})
}

// touches reports whether a row is about one of the customers. The caller holds
// s.mu.
func (s *Sandbox) touches(in row, customers map[int64]bool) bool {
	own, others := s.find(in)
	return slices.ContainsFunc(slices.Concat(own, others), func(id int64) bool { return customers[id] })
}

// list writes issues, or none of them in the way that is asked for.
func (s *Sandbox) list(issues []Issue) json.RawMessage {
	if len(issues) > 0 {
		return marshal(issues)
	}
	switch s.opts.Empty {
	case EmptyNull:
		return json.RawMessage("null")
	case EmptyAbsent:
		return nil
	case EmptyObject:
		return json.RawMessage("[{}]")
	default:
		return json.RawMessage("[]")
	}
}

// refused answers the request if every call is refused for now.
func (s *Sandbox) refused(w http.ResponseWriter) bool {
	s.mu.Lock()
	refusal := s.refusal
	s.mu.Unlock()
	switch refusal {
	case RefuseAccessGroup:
		writeIssue(w, http.StatusForbidden, issue(codeAccessDenied))
	case RefuseClientScope:
		writeScope(w)
	case RefuseAuthorization:
		writeIssue(w, http.StatusServiceUnavailable, issue(codeNoAuthorization))
	default:
		return false
	}
	return true
}

// requestID returns the next of a sequence of 32 hexadecimal digits.
func (s *Sandbox) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	sum := md5.Sum(binary.BigEndian.AppendUint64(nil, s.requests))
	return hex.EncodeToString(sum[:])
}

// marshal encodes what cannot fail to encode.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
