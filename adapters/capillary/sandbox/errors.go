package sandbox

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Issue is an error or a warning as Capillary writes it. Its status is false in
// either case.
type Issue struct {
	Status  bool   `json:"status"`
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// The codes that the emulator finds by itself, with the published texts.
const (
	codeBusy             = 521
	codeBatchLimit       = 1060
	codeLookupHeaders    = 1061
	codeCardLabel        = 3017
	codeAccessDenied     = 4000
	codeNoAuthorization  = 4001
	codeNoSource         = 8001
	codeNoIdentifiers    = 8002
	codeInvalidSource    = 8003
	codeNoneValid        = 8005
	codeIdentifierTaken  = 8007
	codeConflict         = 8008
	codeNoCustomer       = 8009
	codeInvalidChannel   = 8010
	codeInvalidIdent     = 8013
	codeInvalidPrimary   = 8014
	codeInvalidDate      = 8017
	codeDowngrade        = 8018
	codeNoAccount        = 8045
	codeCombining        = 8050
	codeMerging          = 8051
	codeAddConflict      = 8052
	codeUpdateConflict   = 8053
	codeBadEmail         = 8055
	codeBadMobile        = 8056
	codeBadChannelEmail  = 8057
	codeBadChannelMobile = 8058
	codeAlreadyAttached  = 8071
	codeAssociation      = 8077
	codeNoDetails        = 8084
	codeStatusLabel      = 8086
	codeNoIdentType      = 8092
	codeNoIdentValue     = 8093
	codeNoChannelType    = 8106
	codeNoDefaultStatus  = 8107
	codeInvalidAccount   = 8127
	codeAddFailed        = 10001
	codeExtendedField    = 91015
	codeAttribution      = 91021
	codeSubscription     = 91022
)

var messages = map[int]string{
	codeBusy:             "Multiple actions running for the same customer, Please try after some time",
	codeBatchLimit:       "Batch limit size exceeded.",
	codeLookupHeaders:    "X-CAP-API-ATTRIBUTION-LOOKUP-TYPE header required with X-CAP-API-ATTRIBUTION-LOOKUP header.",
	codeCardLabel:        "status label invalid",
	codeAccessDenied:     "Not authorized. Access is denied!",
	codeNoAuthorization:  "Authorization status unavailable!",
	codeNoSource:         "Lookup failed, No source passed",
	codeNoIdentifiers:    "Lookup failed, No identifiers passed",
	codeInvalidSource:    "Invalid source",
	codeNoneValid:        "Add failed, No valid identifiers passed",
	codeIdentifierTaken:  "Unable to update. The identifier is already registered in the same source.",
	codeNoCustomer:       "Unable to identify the customer. Customer id is invalid.",
	codeAlreadyAttached:  "Identifier is already attached to the customer", // no text is published
	codeConflict:         "Update failed, Same source different profile found for given identifiers",
	codeInvalidChannel:   "Invalid communication channel passed",
	codeInvalidIdent:     "Lookup, Invalid identifier passed",
	codeInvalidPrimary:   "Error in customer registration: Invalid Primary Id - %v",
	codeInvalidDate:      "Error in customer registration: Invalid registration date",
	codeDowngrade:        "Update customer, Conversion from loyalty to non-loyalty not allowed",
	codeNoAccount:        "Account id is not passed.",
	codeCombining:        "Same Customer found in other sources, Combining",
	codeMerging:          "Same Customer found in other sources, Merging with userId %v",
	codeAddConflict:      "Add customer, Conflicting Customers found",
	codeUpdateConflict:   "Update customer, Conflicting Customers found",
	codeBadEmail:         "Invalid email id",
	codeBadMobile:        "Invalid mobile",
	codeBadChannelEmail:  "Invalid email id in comm channel",
	codeBadChannelMobile: "Invalid mobile in comm channel",
	codeAssociation:      "Invalid associatedWith passed, attribution not updated",
	codeNoDetails:        "Customer details not sent",
	codeStatusLabel:      "Status label passed is not valid",
	codeNoIdentType:      "GET failed, No identifier type passed",
	codeNoIdentValue:     "GET failed, No identifier value passed",
	codeNoChannelType:    "Communication channel type not passed",
	codeNoDefaultStatus:  "Default customer status label not set",
	codeInvalidAccount:   "Invalid source or accountId passed",
	codeAddFailed:        "Failed to add customer.",
	codeExtendedField:    "Failed to update extended fields; or field %v length too long.",
	codeAttribution:      "Invalid attribution TILL passed.",
	codeSubscription:     "Failed to update subscription for %v channel and priority %v.",
}

// issue returns the issue with the code's published text.
func issue(code int, args ...any) Issue {
	if len(args) == 0 {
		return Issue{Code: code, Message: messages[code]}
	}
	return Issue{Code: code, Message: fmt.Sprintf(messages[code], args...)}
}

// invalidInput is the answer to a body that cannot be read. The place at the end
// is the emulator's, for whoever looks at it.
func invalidInput(where string) Issue {
	message := "Invalid input. Please check request body parameters or input xml/json."
	if where != "" {
		message += " " + where
	}
	return Issue{Code: 400, Message: message}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// writeIssue answers in the v2 error shape.
func writeIssue(w http.ResponseWriter, status int, i Issue) {
	writeJSON(w, status, map[string]any{"warnings": []Issue{}, "errors": []Issue{i}})
}

// writeOld answers in the v1.1 shape, in which success is "true" whatever
// happened and the code is a string.
func writeOld(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"response": map[string]any{
		"status":    map[string]string{"success": "true", "code": code, "message": message},
		"customers": nil,
	}})
}

// writeScope answers a call that is outside the API client's scope.
func writeScope(w http.ResponseWriter) {
	writeJSON(w, http.StatusForbidden, map[string]any{"response": map[string]any{"status": map[string]any{
		"code":     403,
		"message":  "Client doesn't have access to the requested resource",
		"success":  false,
		"warnings": map[string]any{"warning": []any{}},
	}}})
}

func writeUnsupportedMedia(w http.ResponseWriter) {
	writeIssue(w, http.StatusUnsupportedMediaType, Issue{Code: 415, Message: "Unsupported media type."})
}

// writeUnauthorizedXML answers bad till credentials: XML, whatever was accepted.
func writeUnauthorizedXML(w http.ResponseWriter, empty bool) {
	if empty {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<response><status><success>false</success><code>401</code><message>Authentication failed. Please check username and password.</message></status></response>`)
}
