package gateway

import (
	"encoding/json"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// record is what a slot keeps of a result. The losses of the translation are left
// out: they follow from the state, and would be most of what is written.
type record struct {
	Status   Status             `json:"s,omitempty"`
	Action   canonical.Action   `json:"a,omitempty"`
	Requests int                `json:"n,omitempty"`
	Notices  []canonical.Notice `json:"w,omitempty"` // that do not follow from the state
	Error    *recordedError     `json:"e,omitempty"`
}

// recordedError is an *canonical.Error without its cause.
type recordedError struct {
	Code         canonical.Code         `json:"code"`
	Provider     string                 `json:"provider,omitempty"`
	Op           string                 `json:"op,omitempty"`
	Status       int                    `json:"status,omitempty"`
	Message      string                 `json:"message,omitempty"`
	Fields       []canonical.FieldError `json:"fields,omitempty"`
	UpstreamCode string                 `json:"upstreamCode,omitempty"`
	RequestID    string                 `json:"requestId,omitempty"`
	RetryAt      time.Time              `json:"retryAt,omitzero"`
	Final        bool                   `json:"final,omitempty"`
}

// restore returns the error again; where nothing was recorded, one of the code, or
// nil.
func (e *recordedError) restore(code canonical.Code) *canonical.Error {
	switch {
	case e != nil:
		return &canonical.Error{
			Code: e.Code, Provider: e.Provider, Op: e.Op, Status: e.Status, Message: e.Message, Fields: e.Fields,
			UpstreamCode: e.UpstreamCode, RequestID: e.RequestID, RetryAt: e.RetryAt, Final: e.Final,
		}
	case code == canonical.UpstreamIdentityConflict: // found by the store
		return conflict("")
	case code != "":
		return &canonical.Error{Code: code}
	}
	return nil
}

// encodeResult returns what the slot keeps of r.
func encodeResult(r *Result) []byte {
	rec := record{Status: r.Status, Action: r.Action, Requests: r.Attempts}
	for _, n := range r.Warnings {
		if n.Code == canonical.NoticeProvider || n.Code == canonical.NoticeIdentity {
			rec.Notices = append(rec.Notices, n)
		}
	}
	if e := r.Err; e != nil {
		rec.Error = &recordedError{e.Code, e.Provider, e.Op, e.Status, e.Message, e.Fields, e.UpstreamCode, e.RequestID, e.RetryAt.UTC(), e.Final}
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return nil // cannot be; the slot's code says what matters
	}
	return data
}

// lastOf returns what the slot keeps of its last delivery, and why that failed, or
// nil.
func lastOf(slot *ledger.Slot) (record, *canonical.Error) {
	var rec record
	if len(slot.Result) > 0 {
		if err := json.Unmarshal(slot.Result, &rec); err != nil {
			rec = record{}
		}
	}
	return rec, rec.Error.restore(slot.Code)
}

// resultOf returns what became of a version, as the slot tells, and whether that
// is its end. A slot of another route or an erased one is not asked.
func resultOf(slot *ledger.Slot, version int64) (r Result, final bool) {
	r.Route, r.RemoteID = slot.Route, slot.RemoteID
	rec, last := lastOf(slot)
	if slot.ResultVersion == version {
		r.Attempts, r.Action, r.Warnings, r.Err = rec.Requests, rec.Action, rec.Notices, last
	}
	switch {
	case slot.Applied == version:
		// A repetition that is under way or failed changes nothing about that.
		r.Err = nil
		r.succeed(r.Action)
		return r, true
	case slot.Desired != version && slot.State == ledger.Leased && slot.InFlight == version:
		r.Status = StatusPending
		return r, false
	case slot.Desired != version || slot.Applied > version:
		r.supersede(max(slot.Desired, slot.Applied))
		return r, true
	case slot.State == ledger.DeadLettered:
		if r.Err == nil {
			r.Err = &canonical.Error{Code: canonical.RouteAttemptsExhausted}
		}
		if r.Status = rec.Status; !r.Status.Failed() {
			r.fail(r.Err, false)
		}
		return r, true
	}
	r.Status, r.Err = StatusPending, last
	if slot.State == ledger.Due {
		r.NextAttemptAt = slot.NextAt
	}
	return r, false
}
