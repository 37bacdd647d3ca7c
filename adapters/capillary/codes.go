package capillary

import (
	"net/http"
	"slices"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// class is what codes of Capillary's lists have in common.
type class struct {
	code canonical.Code
	// fields are those that the codes are about, in the table's spelling; the
	// first that was sent is meant.
	fields string
	codes  string
}

// classes are the published codes of add, update, lookup and subscription:
// https://docs.capillarytech.com/reference/customers and
// https://docs.capillarytech.com/reference/api-status-codes. A code in a body
// means the same whatever the HTTP status is.
var classes = []class{
	{canonical.UpstreamBusy, "", "521 461"},
	{canonical.UpstreamRateLimited, "", "429"},
	{canonical.UpstreamUnavailable, "", "201 500 502 503 504 520 1004 1023 1024 1041 1222 4001 8088 8108 10001 10002"},
	{canonical.UpstreamUnauthenticated, "", "401 498 320001"},
	{canonical.UpstreamForbidden, "", "403 4000 1044"},
	{canonical.UpstreamMisconfigured, "", "404 405 406 415 1061 1064 8085"},
	{canonical.UpstreamMisconfigured, "settings.batch_limit", "1060"},
	{canonical.UpstreamMisconfigured, "settings.attribution_code", "91020 91021 1150"},
	{canonical.UpstreamMisconfigured, "source", "8001 8003 8004 8012 8016 3217"},
	{canonical.UpstreamMisconfigured, "accountId", "8011 8045 8054 8091 8127"},
	{canonical.UpstreamInvalidResponse, "", "200 1000"},
	{canonical.UpstreamNotFound, "", "816 8009 8015 8065 1011 1012"},
	{canonical.UpstreamIdentityConflict, "", "8006 8007 8008 8028 8052 8053 8066 8067 8069 8074 8075 1014 1047 91007"},
	{canonical.UpstreamIdentityConflict, "mobile", "1032"},
	{canonical.UpstreamIdentityConflict, "email", "1016"},
	{canonical.UpstreamIdentityConflict, "externalId", "1033"},
	{canonical.UpstreamInvalid, "mobile", "1001 1006 1019 1059 8014 8056"},
	{canonical.UpstreamInvalid, "mobileChannel", "8058"},
	{canonical.UpstreamInvalid, "email", "1002 1039 1048 8055"},
	{canonical.UpstreamInvalid, "emailChannel", "8057"},
	{canonical.UpstreamInvalid, "externalId", "1003 1008 1038 1043 1049 8064"},
	{canonical.UpstreamInvalid, "statedIdentifier mobile email externalId", "1007 1015 1042 1045 8002 8005 8013 8092 8093"},
	{canonical.UpstreamInvalid, "customFields", "1017 1018"},
	{canonical.UpstreamInvalid, "loyaltyType", "1013 1020 1046 8018 8089 8121"},
	{canonical.UpstreamInvalid, "cardStatusLabel statusLabel cardnumber", "3017"},
	{canonical.UpstreamInvalid, "cardnumber", "8087"},
	{canonical.UpstreamInvalid, "statusLabel", "8086"},
	{canonical.UpstreamInvalid, "createDate", "1034 8017"},
	{canonical.UpstreamInvalid, "subscriptions", "1101 1102 1103 1104 1105 1106 1109 1110 91022"},
	// What these are about stands in their messages, or they refuse the customer
	// as a whole.
	{canonical.UpstreamInvalid, "", "400 618 1021 1025 1026 1027 1062 1202 1203 1204 1205 1206 1213 1215 1216 1217 8010 8026 8027 8070 8084 8090 8106 8126 91005 91006 91015"},
}

// codes is classes by code.
var codes = func() map[string]class {
	m := map[string]class{}
	for _, c := range classes {
		for code := range strings.FieldsSeq(c.codes) {
			if _, twice := m[code]; twice {
				panic("capillary: code " + code + " is in two classes")
			}
			m[code] = c
		}
	}
	return m
}()

// seriousWarnings are the codes of warnings which say that something was not
// stored, or that nothing was done.
var seriousWarnings = strings.Fields("521 8052 8053 8055 8056 8057 8058 8064 8066 8069 8070 8074 8075 91005 91006 91007 91015")

// classify returns what the issues amount to and which of them decides: that the
// customer is busy, else the first known code that gives a reason, else the first
// plain message, else a code that only says that something failed, else the HTTP
// status.
func classify(got *canonical.Reply, list []issue) (canonical.Code, issue) {
	decisive := issue{}
	if len(list) > 0 {
		decisive = list[0]
	}
	if got.Status == http.StatusTooManyRequests {
		return canonical.UpstreamRateLimited, decisive
	}
	failed := slices.IndexFunc(list, func(is issue) bool { return codes[is.code].code == canonical.UpstreamUnavailable })
	reason := slices.IndexFunc(list, func(is issue) bool { return codes[is.code].code == canonical.UpstreamBusy })
	if reason < 0 {
		reason = slices.IndexFunc(list, func(is issue) bool {
			return codes[is.code].code != "" && codes[is.code].code != canonical.UpstreamUnavailable
		})
	}
	if reason < 0 && aboutData(got.Status) {
		reason = slices.IndexFunc(list, issue.isConflict)
	}
	switch {
	case reason >= 0 && list[reason].isConflict():
		return canonical.UpstreamIdentityConflict, list[reason]
	case reason >= 0:
		return refine(codes[list[reason].code].code, list[reason].message), list[reason]
	case failed >= 0:
		return canonical.UpstreamUnavailable, list[failed]
	case got.Status/100 == 2 && len(list) > 0:
		return canonical.UpstreamUnclassified, decisive
	}
	return refine(statusCode(got, canonical.CodeForStatus(got.Status)), decisive.message), decisive
}

// isConflict reports whether an issue of an unknown code tells of another
// customer.
func (is issue) isConflict() bool {
	text := strings.ToLower(is.message)
	return codes[is.code].code == "" && (strings.Contains(text, "conflict") || mapping.CodeOf(text) == canonical.FieldDuplicate)
}

// aboutData reports whether an answer of the status can be about the customer, and
// not about the credential, the path or the service.
func aboutData(status int) bool {
	return status/100 == 2 || status == http.StatusBadRequest || status == http.StatusConflict || status == http.StatusUnprocessableEntity
}

// refine parts what 403 means: the right, the product, or a mandatory field.
func refine(code canonical.Code, message string) canonical.Code {
	if code != canonical.UpstreamForbidden {
		return code
	}
	switch text := strings.ToLower(message); {
	case strings.Contains(text, "mandatory"):
		return canonical.UpstreamInvalid
	case strings.Contains(text, "not enabled"):
		return canonical.UpstreamMisconfigured
	}
	return code
}

// statusCode adds the HTTP statuses that only Capillary uses.
func statusCode(got *canonical.Reply, otherwise canonical.Code) canonical.Code {
	switch got.Status {
	case 461: // the search engine
		return canonical.UpstreamBusy
	case 498: // the token has expired
		return canonical.UpstreamUnauthenticated
	}
	return otherwise
}
