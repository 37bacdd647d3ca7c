package complyt

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// TestUnseenReplies holds that replies to the PUT in forms that have not been
// observed, but that its framework or what stands before it may well send, come
// out right. TestInterpret has the others.
func TestUnseenReplies(t *testing.T) {
	t.Parallel()
	const (
		invalid, misconfigured      = canonical.UpstreamInvalid, canonical.UpstreamMisconfigured
		unavailable, odd, senseless = canonical.UpstreamUnavailable, canonical.UpstreamUnclassified, canonical.UpstreamInvalidResponse
	)
	type fields = []string
	tests := []struct {
		name     string
		status   int
		body     string
		code     canonical.Code
		retry    bool
		fields   fields // code and pointer, or setting
		upstream string
		request  string
	}{
		{"Spring's list", 400, `{"timestamp":"2026-01-01T00:00:00Z","status":400,"error":"Bad Request","requestId":"r-1","errors":[{"codes":["NotBlank.customerDto.name"],"objectName":"customerDto","field":"name","rejectedValue":"","code":"NotBlank","defaultMessage":"must not be blank"},{"field":"address.zip","defaultMessage":"must match \"^\\d{5}$\""}]}`, invalid, false, fields{"required /name", "invalid /addresses/0/postalCode"}, "", "r-1"},
		{"violations below the method", 400, `{"title":"Constraint Violation","status":400,"violations":[{"field":"upsert.customer.address.city","message":"size must be between 0 and 100"}]}`, invalid, false, fields{"invalid /addresses/0/city"}, "", ""},
		{"violations by path in parts", 422, `{"code":422,"errors":[{"path":["externalTimestamps","createdDate"],"message":"must not be null"}]}`, invalid, false, fields{"required /createdAt"}, "", ""},
		{"pointers", 400, `{"errors":[{"source":{"pointer":"/address/street"},"detail":"is too long"}]}`, invalid, false, fields{"too_long /addresses/0/lines"}, "", ""},
		{"by field, nested", 400, `{"errors":{"address":{"city":"is too long","zip":["is invalid"]},"comment":"exceeds 200"}}`, invalid, false, fields{"too_long /addresses/0/city", "invalid /addresses/0/postalCode", "too_long /note"}, "", ""},
		{"both times", 400, `{"code":400,"message":"[Timestamps.createdDate is in an illegal format - For date/time fields use 'YYYY-MM-DD', 'YYYY-MM-DDTHH:mm:ssZ', and names, Timestamps.updatedDate may not be null]"}`, invalid, false, fields{"invalid /createdAt", "required /updatedAt"}, "", ""},
		{"list in a list", 400, `{"code":400,"message":["[name may not be null, email is invalid]"]}`, invalid, false, fields{"required /name", "invalid /emails/0/value"}, "", ""},
		{"quoted text", 400, `{"code":400,"message":"Field 'customerType' is required"}`, invalid, false, fields{"required /customerType"}, "", ""},
		{"other language", 400, `{"code":400,"message":"[name ne doit pas être nul]"}`, invalid, false, fields{"other /name"}, "", ""},
		{"numbers as texts", 400, `{"code":"400","message":"[email is invalid]","requestId":77}`, invalid, false, fields{"invalid /emails/0/value"}, "", "77"},
		{"byte order mark and line feed", 400, "\xef\xbb\xbf{\"code\":400,\"message\":\"[name may not be null]\"}\n", invalid, false, fields{"required /name"}, "", ""},
		{"own code", 400, `{"errorCode":"CUST-17","message":"no"}`, invalid, false, nil, "CUST-17", ""},
		{"platform code", 400, `{"code":400,"message":"ERR-ADDR-001: The address is not valid"}`, invalid, false, fields{"invalid /addresses/0"}, "ERR-ADDR-001", ""},
		{"providerData", 400, `{"code":400,"message":"[Address.county should be 1-100 characters]"}`, invalid, false, fields{"invalid /providerData/complyt/address/county"}, "", ""},
		{"source by its label", 400, `{"code":400,"message":"[Source has to be in range 1-9]"}`, misconfigured, false, fields{"unsupported settings.source"}, "", ""},
		{"unknown member", 400, `{"code":400,"message":"Unrecognized field \"vatNumber\""}`, invalid, false, nil, "", ""},
		{"too large", 413, `{"code":413,"message":"too large"}`, invalid, false, nil, "", ""},
		{"too large, of a proxy", 413, `<html></html>`, odd, false, nil, "", ""},

		{"token, in words", 401, `{"code":401,"message":"Jwt expired at 2026"}`, canonical.UpstreamUnauthenticated, false, nil, "", ""},
		{"mesh", 403, `RBAC: access denied`, canonical.UpstreamForbidden, false, nil, "", ""},
		{"mesh token", 401, `Jwt is expired`, canonical.UpstreamUnauthenticated, false, nil, "", ""},
		{"gone", 410, `{"code":410,"message":"Gone"}`, misconfigured, false, nil, "", ""},
		{"no route", 404, `{"message":"no Route matched with those values"}`, misconfigured, false, nil, "", ""},
		{"not acceptable", 406, `{"code":406,"message":"Not Acceptable"}`, misconfigured, false, nil, "", ""},
		{"precondition", 412, `{"code":412,"message":"no"}`, odd, false, nil, "", ""},
		{"locked", 423, `{"code":423,"message":"no"}`, canonical.UpstreamBusy, true, nil, "", ""},
		{"optimistic lock", 409, `{"code":409,"message":"OptimisticLockingFailureException"}`, canonical.UpstreamBusy, true, nil, "", ""},
		{"duplicate", 409, `{"code":409,"message":"Customer already exists, try again with another id"}`, canonical.UpstreamDuplicate, false, nil, "", ""},
		{"header too large", 431, ``, odd, false, nil, "", ""},
		{"legal", 451, ``, odd, false, nil, "", ""},
		{"quota of the mesh", 429, `local_rate_limited`, canonical.UpstreamRateLimited, true, nil, "", ""},
		{"time-out", 408, ``, canonical.UpstreamOutcomeUnknown, true, nil, "", ""},
		{"stack trace", 500, `{"code":500,"error":"Internal Server Error","message":"The request failed","trace":"java.lang.NullPointerException\n\tat io.complyt.X(X.java:1)"}`, unavailable, true, nil, "", ""},
		{"no upstream", 503, `no healthy upstream`, unavailable, true, nil, "", ""},
		{"reset", 503, `upstream connect error or disconnect/reset before headers. reset reason: connection failure`, unavailable, true, nil, "", ""},
		{"edge", 522, `<html>522</html>`, unavailable, true, nil, "", ""},
		{"not implemented", 501, `{}`, odd, true, nil, "", ""},
		{"moved", 308, ``, senseless, true, nil, "", ""},

		{"later", 202, `{"externalId":"7","source":"1","complytId":"u"}`, senseless, true, nil, "", ""},
		{"part", 206, `{"externalId":"7","source":"1","complytId":"u"}`, senseless, true, nil, "", ""},
		{"null", 200, `null`, senseless, true, nil, "", ""},
		{"no list", 200, `[]`, senseless, true, nil, "", ""},
		{"text", 200, `"OK"`, senseless, true, nil, "", ""},
		{"error under 201", 201, `{"code":500,"error":"Internal Server Error","message":"no"}`, unavailable, true, nil, "", ""},
		{"error under 200 without a code", 200, `{"error":"Bad Request","message":"[name may not be null]"}`, senseless, true, nil, "", ""},
	}
	a := New(Config{Source: 1}, true)
	u := upsert(t, "7", `"name":{"givenName":"Kim","familyName":"Lee"},"emails":[{"value":"kim@example.com"}],"note":"hi","addresses":[{"lines":["1 Main St"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}],
		"providerData":{"complyt":{"address":{"county":"Nassau"}}},`+dated)
	sent, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := a.Interpret(u, sent, &canonical.Reply{Status: tt.status, Header: http.Header{}, Body: []byte(tt.body)})
			e := canonical.AsError(err)
			if e == nil {
				t.Fatalf("Interpret = %+v, want %s", out, tt.code)
			}
			if e.Code != tt.code || e.Retryable() != tt.retry || e.UpstreamCode != tt.upstream || e.RequestID != tt.request || e.Status != tt.status {
				t.Errorf("%s, retryable %v, upstream code %q, request id %q; want %s, %v, %q, %q", e.Code, e.Retryable(), e.UpstreamCode, e.RequestID, tt.code, tt.retry, tt.upstream, tt.request)
			}
			if got := adaptertest.Fields(e); !slices.Equal(got, tt.fields) {
				t.Errorf("fields = %q, want %q", got, tt.fields)
			}
			if e.Message == "" || strings.ContainsAny(e.Message, "<\n") || strings.Contains(e.Message, "NullPointer") {
				t.Errorf("Message = %q, want a clean one", e.Message)
			}
		})
	}
}

// TestLengthsInUTF16 holds that lengths are counted as Complyt counts them.
func TestLengthsInUTF16(t *testing.T) {
	t.Parallel()
	for note, fits := range map[string]bool{strings.Repeat("ü", 200): true, strings.Repeat("😀", 100): true, strings.Repeat("😀", 101): false} {
		_, _, err := New(Config{Source: 1}, true).Translate(upsert(t, "7", named+`,"note":"`+note+`",`+dated))
		if (err == nil) != fits {
			t.Errorf("a note of %d bytes: %v, want it to fit %v", len(note), err, fits)
		}
	}
	_, _, err := New(Config{Source: 1}, true).Translate(upsert(t, "7", `"name":{"formatted":"  "},`+dated))
	checkError(t, err, canonical.MappingUnrepresentable, []string{"invalid /name/formatted"})
}
