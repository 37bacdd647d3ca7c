package sandbox

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

// The fixed texts.
const (
	messageUnreadable = "Failed to read HTTP message"
	messageNoBody     = "The requested operation failed because no request body has been provided"
	messageNotFound   = "The requested operation failed because a resource associated with the request could not be found."
	messageMediaType  = "415 Unsupported Media Type"
	messageConflict   = "The requested operation failed because there was an unresolvable conflict between two or more inputs"
	messageInternal   = "The request failed due to an internal error. Please contact support@complyt.io if this continues"
	messageNewID      = "new record cannot have a complytId field"
	messageChangedID  = "complytId cannot be changed in an update"
)

// refusal is a body that is refused; its text is the answer's message.
type refusal string

func (r refusal) Error() string { return string(r) }

// conflict is the refusal of inputs that contradict one another. Revisions
// before the newest do not say which.
func (s *Sandbox) conflict(message string) refusal {
	if s.opts.Errors == Newest {
		return refusal(message)
	}
	return messageConflict
}

// fail answers with the error object of the revision.
func (s *Sandbox) fail(w http.ResponseWriter, r *http.Request, status int, message string) {
	at := r.URL.EscapedPath()
	s.mu.Lock()
	s.requests++
	n := s.requests
	s.mu.Unlock()
	head := struct {
		Timestamp string `json:"timestamp"`
		Code      int    `json:"code"`
		Error     string `json:"error"`
		RequestID string `json:"requestId"`
		Message   string `json:"message"`
	}{s.opts.Now().UTC().Format("2006-01-02T15:04:05.000000Z"), status, http.StatusText(status), fmt.Sprintf("6c9b3a4b-%d", n), message}
	var body json.RawMessage
	switch s.opts.Errors {
	case Oldest:
		body = withMember(map[string]string{"message": message}, "endpoint url ", at)
	case Older:
		body = withMember(head, "endpoint url", at)
	default:
		body = withMember(head, "url", at)
	}
	writeJSON(w, status, body)
}

// withMember adds one member at the end of an object. A struct tag cannot hold a
// name with a space.
func withMember(object any, name, value string) json.RawMessage {
	head, tail := marshal(object), marshal(map[string]string{name: value})
	return append(append(head[:len(head)-1], ','), tail[1:]...)
}

// list prints messages as the service prints a list, in no fixed order.
func (s *Sandbox) list(messages []string) string {
	if s.opts.RepeatMessage {
		messages = append(messages, messages[0])
	}
	rand.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
	return "[" + strings.Join(messages, ", ") + "]"
}

// olderLabels are the names that older revisions use inside messages.
var olderLabels = map[string]string{
	"externalId": "External ID", "source": "Source", "name": "Name", "customerType": "Customer type",
	"externalTimestamps": "External timestamps", "comment": "Comment",
	"Timestamps.createdDate": "Created date", "Timestamps.updatedDate": "Updated date",
	"Address.city": "City", "Address.country": "Country", "Address.county": "County", "Address.state": "State",
	"Address.region": "Region", "Address.street": "Street", "Address.zip": "Zip",
}

// label is the field's name in the revision's messages.
func (s *Sandbox) label(field string) string {
	if s.opts.Errors == Newest {
		return field
	}
	return olderLabels[field]
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// marshal encodes what cannot fail to encode.
func marshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("{}")
	}
	return b
}
