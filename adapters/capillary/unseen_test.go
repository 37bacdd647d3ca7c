package capillary

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// TestUnseen holds what answers mean that no page of Capillary's shows in full:
// other codes of its lists, several at once, other types and shapes, and what
// stands before its servers.
func TestUnseen(t *testing.T) {
	t.Parallel()
	const (
		invalid  = canonical.UpstreamInvalid
		partial  = canonical.UpstreamPartiallyApplied
		conflict = canonical.UpstreamIdentityConflict
		wrong    = canonical.UpstreamMisconfigured
		down     = canonical.UpstreamUnavailable
		busy     = canonical.UpstreamBusy
		login    = canonical.UpstreamUnauthenticated
		strange  = canonical.UpstreamInvalidResponse
		mobile   = "/phoneNumbers/1/value"
		email    = "/emails/1/value"
		keys     = "/id " + mobile + " " + email + " /loyalty/cardNumber /identifiers/0/value"
	)
	row := func(s string) string { return `{"response":[` + s + `],"totalCount":1,"failureCount":1}` }
	v2 := func(s string) string { return `{"errors":[` + s + `],"warnings":[]}` }
	tests := []struct {
		name     string
		status   int
		body     string
		code     canonical.Code // empty for success
		upstream string
		id       string
		at       string // pointers and settings
	}{
		{"label", 200, row(`{"errors":[{"status":false,"code":8086,"message":"Status label passed is not valid"}]}`), invalid, "8086", "", "/loyalty/status"},
		{"code as text", 200, row(`{"errors":[{"status":"false","code":"8018","message":"Conversion not allowed"}]}`), invalid, "8018", "", "/loyalty/member"},
		{"code as decimal", 200, row(`{"errors":[{"code":8014.0,"message":"Invalid Primary Id - {0}"}]}`), invalid, "8014", "", mobile},
		{"errors as an object", 200, row(`{"errors":{"code":1002,"message":"Unable to register. Invalid email id."}}`), invalid, "1002", "", email},
		{"errors in errors", 400, `{"errors":{"error":[{"code":1001,"message":"no"}]}}`, invalid, "1001", "", mobile},
		{"two errors", 400, v2(`{"code":1001,"message":"Invalid mobile"},{"code":1002,"message":"Invalid email"}`), invalid, "1001", "", mobile + " " + email},
		{"failure and its reason", 200, row(`{"errors":[{"code":10001,"message":"Failed to add customer."},{"code":8014,"message":"Invalid Primary Id"}]}`), invalid, "8014", "", mobile},
		{"failure alone", 200, row(`{"errors":[{"code":10002,"message":"Failed to update customer details."}]}`), down, "10002", "", ""},
		{"status cannot be read", 200, row(`{"errors":[{"code":8088,"message":"Customer status get failed"}]}`), down, "8088", "", ""},
		{"busy among others", 200, row(`{"errors":[{"code":8014},{"code":521,"message":"Multiple actions are running"}]}`), busy, "521", "", ""},
		{"busy as a warning", 200, row(`{"entityId":5,"warnings":[{"code":"521"}],"errors":null}`), busy, "521", "5", ""},
		{"busy for the call", 400, `{"errors":[],"warnings":[{"status":false,"code":521,"message":"Multiple actions"}]}`, busy, "521", "", ""},
		{"key named in the message", 200, row(`{"errors":[{"code":1042,"message":"Invalid mobile"}]}`), invalid, "1042", "", mobile},
		{"key not named", 200, row(`{"errors":[{"code":8013,"message":"Identifiant invalide"}]}`), invalid, "8013", "", "/identifiers/0/value"},
		{"source of an addition", 200, row(`{"errors":[{"code":8004,"message":"Add failed, No source passed"}]}`), wrong, "8004", "", "settings.source"},
		{"source of a lookup", 400, v2(`{"code":8012,"message":"Get, Invalid source passed"}`), wrong, "8012", "", "settings.source"},
		{"account of a lookup", 400, v2(`{"code":"8091","message":"GET failed, No account id passed"}`), wrong, "8091", "", "settings.account_id"},
		{"registered", 200, row(`{"errors":[{"code":8028,"message":"Customer seems is already registered"}]}`), conflict, "8028", "", keys},
		{"conflict in words", 200, row(`{"errors":[{"message":"Conflicting profile error"}]}`), conflict, "", "", keys},
		{"conflict of one key", 200, row(`{"errors":[{"code":91007,"message":"Failed to register. mobile already exists for some other user."}]}`), conflict, "91007", "", mobile},
		{"fraud", 200, row(`{"errors":[{"code":618,"message":"Not allowed - customer is marked as fraud."}]}`), invalid, "618", "", ""},
		{"no message", 200, row(`{"errors":[{"code":1033}]}`), conflict, "1033", "", "/id"},
		{"other language", 400, v2(`{"code":1002,"message":"Adresse e-mail invalide"}`), invalid, "1002", "", email},
		{"e-mail not stored", 200, row(`{"entityId":5,"errors":[{}],"warnings":[{"code":8055,"message":"邮箱无效"}]}`), partial, "8055", "5", email},
		{"channel not stored", 200, row(`{"entityId":5,"warnings":[{"code":8058,"message":"Invalid mobile number 34612345678 in comm channel"}]}`), partial, "8058", "5", mobile},
		{"error and harmless warning", 200, row(`{"entityId":5,"errors":[{"code":3017,"message":"status label invalid"}],"warnings":[{"code":8050,"message":"Combining"}]}`), partial, "3017", "5", "/loyalty/status"},
		{"harmless warnings", 200, row(`{"entityId":"5","errors":[],"warnings":[{"code":8051,"message":"Merging"},{"code":1053},"text"]}`), "", "", "5", ""},
		{"same code, no warning list", 200, row(`{"entityId":5,"errors":"","warnings":null}`), "", "", "5", ""},
		{"id as a decimal", 200, row(`{"entityId":176671442.0}`), "", "", "176671442", ""},
		{"id only in the result", 200, row(`{"result":{"id":77},"errors":[]}`), "", "", "77", ""},
		{"created, in 201", 201, row(`{"entityId":5,"errors":[],"warnings":[]}`), "", "", "5", ""},
		{"refused, in 201", 201, row(`{"errors":[{"code":8017,"message":"Invalid registration date"}]}`), invalid, "8017", "", "/createdAt"},
		{"byte order mark", 200, "\xef\xbb\xbf" + row(`{"entityId":5}`), "", "", "5", ""},
		{"id below zero", 200, row(`{"entityId":-1,"errors":[]}`), strange, "", "", ""},
		{"two rows for one", 200, `{"response":[{"entityId":5},{"entityId":6}]}`, strange, "", "", ""},
		{"no rows", 200, `{"response":[],"totalCount":0,"failureCount":0}`, strange, "", "", ""},
		{"null", 200, `null`, strange, "", "", ""},
		{"empty", 200, ``, strange, "", "", ""},
		{"no content", 204, ``, strange, "", "", ""},
		{"cut off", 200, `{"response":[{"entityId":5,"result":{"id":5`, strange, "", "", ""},
		{"redirect", 302, ``, strange, "", "", ""},
		{"success without customers", 200, `{"response":{"status":{"success":"true","code":"200","message":"SUCCESS"},"customers":null}}`, strange, "200", "", ""},
		{"other customer's row", 200, row(`{"entityId":5,"result":{"profiles":[{"identifiers":[{"type":"mobile","value":"919999999999"}]}]}}`), canonical.UpstreamOutcomeUnknown, "", "", ""},
		{"token, with 200", 200, `{"response":{"status":{"success":"true","code":498,"message":"Token expired"},"customers":null}}`, login, "498", "", ""},
		{"credential, unknown code", 401, v2(`{"code":777,"message":"Client already blocked"}`), login, "777", "", ""},
		{"credential, XML with a namespace", 401, `<n:response xmlns:n="x"><n:status><n:code> 401 </n:code><n:message><![CDATA[No]]></n:message></n:status></n:response>`, login, "401", "", ""},
		{"credential, page", 401, `<html><title>401 Authorization Required</title></html>`, login, "", "", ""},
		{"firewall", 403, `<!DOCTYPE html><html><title>Attention Required!</title></html>`, canonical.UpstreamForbidden, "", "", ""},
		{"missing field as 403", 403, v2(`{"code":403,"message":"Mandatory field is missing. Field email is mandatory."}`), invalid, "403", "", email},
		{"path", 404, `{"timestamp":1,"status":404,"error":"Not Found","path":"/v2/integrations"}`, wrong, "", "", ""},
		{"path of a proxy", 404, `<html>404</html>`, wrong, "", "", ""},
		{"customer as 404", 404, v2(`{"code":8015,"message":"Customer not found for the given identifiers"}`), canonical.UpstreamNotFound, "8015", "", ""},
		{"time-out of a proxy", 408, ``, canonical.UpstreamOutcomeUnknown, "", "", ""},
		{"page as 400", 400, `<html><h1>400 Bad Request</h1>nginx</html>`, canonical.UpstreamUnclassified, "", "", ""},
		{"JSON parser", 400, `{"message":"JSON parse error: not a String at [Source: (PushbackInputStream); line: 1] (through reference chain: [\"profiles\"]->[\"firstName\"])"}`, invalid, "", "", "/name/givenName"},
		{"almost JSON", 400, `{"errors":[{"status":false "code":1001 “message”:“Invalid mobile”}]}`, invalid, "1001", "", mobile},
		{"throttled in words of a proxy", 429, `{"message":"API rate limit exceeded"}`, canonical.UpstreamRateLimited, "", "", ""},
		{"throttled, other code", 429, v2(`{"code":8014}`), canonical.UpstreamRateLimited, "8014", "", ""},
		{"throttled with 200", 200, v2(`{"code":429,"message":"Too many"}`), canonical.UpstreamRateLimited, "429", "", ""},
		{"search", 461, ``, busy, "", "", ""},
		{"reason with 500", 500, v2(`{"code":8014,"message":"Invalid Primary Id"}`), invalid, "8014", "", mobile},
		{"stack trace", 500, `{"error":"Internal Server Error","message":"java.lang.NullPointerException\n\tat com.capillary.Secret.run(Secret.java:1)"}`, down, "", "", ""},
		{"saved, with 500", 500, row(`{"entityId":5,"errors":[]}`), down, "", "5", ""},
		{"mesh", 503, `upstream connect error or disconnect/reset before headers`, down, "", "", ""},
		{"origin down", 521, ``, down, "", "", ""},
		{"origin slow", 524, `<html>`, down, "", "", ""},
		{"unknown code, located", 200, row(`{"errors":[{"code":4711,"message":"firstName is too long"}]}`), invalid, "4711", "", "/name/givenName"},
		{"unknown code", 200, row(`{"errors":[{"code":4711,"message":"no"}]}`), canonical.UpstreamUnclassified, "4711", "", ""},
	}
	a := New(webEngage())
	u := adaptertest.Upsert(adaptertest.Customer(t, "everything"), name, name, "")
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := &canonical.Reply{Status: tt.status, Header: http.Header{"X-Cap-Requestid": {"4bf92f35"}}, Body: []byte(tt.body)}
			out, err := a.Interpret(u, req, got)
			e := canonical.AsError(err)
			if e == nil {
				e = &canonical.Error{RequestID: "4bf92f35"}
			}
			var at []string
			for _, f := range e.Fields {
				at = append(at, f.Pointer+f.Setting)
			}
			if e.Code != tt.code || e.UpstreamCode != tt.upstream || out.RemoteID != tt.id || !slices.Equal(at, strings.Fields(tt.at)) || e.RequestID != "4bf92f35" {
				t.Errorf("Interpret = %s %q, id %q, at %q, request %q; want %s %q, id %q, at %q", e.Code, e.UpstreamCode, out.RemoteID, at, e.RequestID, tt.code, tt.upstream, tt.id, tt.at)
			}
			if strings.Contains(e.Message, "Secret") {
				t.Errorf("message %q has the inside of the service", e.Message)
			}
		})
	}
}
