package april

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"customer-gateway/adapters/adaptertest"
	"customer-gateway/canonical"
)

// TestUnseenReplies holds that replies in forms which April has not published,
// but which it or what stands before it may well send, come out right.
func TestUnseenReplies(t *testing.T) {
	t.Parallel()
	const (
		invalid, duplicate, misconfigured = canonical.UpstreamInvalid, canonical.UpstreamDuplicate, canonical.UpstreamMisconfigured
		unavailable, odd, senseless       = canonical.UpstreamUnavailable, canonical.UpstreamUnclassified, canonical.UpstreamInvalidResponse
	)
	type fields = []string
	tests := []struct {
		name     string
		status   int
		body     string
		code     canonical.Code
		retry    bool
		fields   fields // code and pointer, or setting
		upstream string // errorCode
		request  string // tracer
	}{
		{"list of messages", 400, `{"statusCode":400,"errorCode":"bad_request","message":["emailAddress must be an email","givenName should not be empty"],"tracer":"t-1"}`, invalid, false, fields{"invalid /emails/1/value", "required /name/givenName"}, "bad_request", "t-1"},
		{"messages below the wrapper", 400, `{"statusCode":400,"message":["UpsertConsumerCustomer.phoneNumber must be a phone number","UpsertConsumerCustomer.property foo should not exist"]}`, invalid, false, fields{"invalid /phoneNumbers/0/value"}, "", ""},
		{"metadata below the wrapper", 422, `{"statusCode":422,"errorCode":"validation","message":"Validation failed","metadata":{"UpsertConsumerCustomer.familyName":"must be shorter than or equal to 50 characters"}}`, invalid, false, fields{"too_long /name/familyName"}, "validation", ""},
		{"metadata that is nested", 422, `{"statusCode":422,"errorCode":"v","message":"m","metadata":{"UpsertConsumerCustomer":{"familyName":["is too long"],"metadata":{"segment":"is unknown"}}}}`, invalid, false, fields{"too_long /name/familyName", "unknown_field /attributes/segment"}, "v", ""},
		{"metadata with pointers", 422, `{"statusCode":422,"errorCode":"v","message":"m","metadata":{"errors":[{"instancePath":"/UpsertConsumerCustomer/emailAddress","message":"must match format \"email\""}]}}`, invalid, false, fields{"invalid /emails/1/value"}, "v", ""},
		{"metadata with paths in parts", 400, `{"statusCode":400,"message":"m","metadata":[{"path":["UpsertConsumerCustomer","givenName"],"message":"Required"}]}`, invalid, false, fields{"required /name/givenName"}, "", ""},
		{"metadata of one complaint", 400, `{"statusCode":400,"message":"m","metadata":{"field":"phoneNumber","reason":"invalid_format"}}`, invalid, false, fields{"invalid /phoneNumbers/0/value"}, "", ""},
		{"metadata of keys and values", 400, `{"statusCode":400,"message":"m","metadata":[{"key":"phoneNumber","value":"invalid"}]}`, invalid, false, fields{"invalid /phoneNumbers/0/value"}, "", ""},
		{"metadata that is a text", 400, `{"statusCode":400,"message":"m","metadata":"phoneNumber is required"}`, invalid, false, fields{"required /phoneNumbers/0/value"}, "", ""},
		{"metadata about other things", 400, `{"statusCode":400,"message":"Email address is not valid","metadata":{"orderId":"x","attempt":3,"nested":[null,true]}}`, invalid, false, fields{"invalid /emails/1/value"}, "", ""},
		{"constraints by rule", 400, `{"statusCode":400,"message":"m","errors":[{"property":"emailAddress","value":"x","constraints":{"isEmail":"emailAddress must be an email"}}]}`, invalid, false, fields{"invalid /emails/1/value"}, "", ""},
		{"two faults of one field", 400, `{"message":"m","metadata":{"emailAddress":["is required","is too long"]}}`, invalid, false, fields{"required /emails/1/value", "too_long /emails/1/value"}, "", ""},
		{"label in the message", 422, `{"statusCode":422,"errorCode":"e","message":"First name is required"}`, invalid, false, fields{"required /name/givenName"}, "e", ""},
		{"address of the e-mail", 422, `{"statusCode":422,"errorCode":"e","message":"The email address is invalid"}`, invalid, false, fields{"invalid /emails/1/value"}, "e", ""},
		{"other language", 422, `{"statusCode":422,"errorCode":"e","message":"emailAddress ist ungültig"}`, invalid, false, fields{"other /emails/1/value"}, "e", ""},
		{"named in detail", 400, `{"statusCode":400,"errorCode":"e","message":"Bad Request","detail":"\"phoneNumber\" is missing"}`, invalid, false, fields{"required /phoneNumbers/0/value"}, "e", ""},
		{"providerData", 400, `{"statusCode":400,"errorCode":"e","message":"isVerified must be a boolean"}`, invalid, false, fields{"invalid /providerData/april/UpsertConsumerCustomer/isVerified"}, "e", ""},
		{"merchant", 400, `{"statusCode":400,"errorCode":"merchant_invalid","message":"merchantId is not valid"}`, misconfigured, false, fields{"invalid settings.merchant_id"}, "merchant_invalid", ""},
		{"merchant header", 422, `{"statusCode":422,"message":"Merchant-Id is unknown"}`, misconfigured, false, fields{"unknown_field settings.merchant_id"}, "", ""},
		{"an address that the route does not send", 422, `{"statusCode":422,"message":"address is required"}`, misconfigured, false, fields{"required settings.address"}, "", ""},
		{"nothing but a code", 400, `{"errorCode":"unsupported_action"}`, invalid, false, nil, "unsupported_action", ""},
		{"code of another name", 400, `{"error":{"code":"bad","message":"no"},"traceId":"abc"}`, invalid, false, nil, "bad", ""},
		{"error in a list", 401, `[{"statusCode":401,"errorCode":"unauthorized","message":"no","tracer":"t"}]`, canonical.UpstreamUnauthenticated, false, nil, "unauthorized", "t"},
		{"numbers as texts", 403, `{"statusCode":"403","errorCode":1234,"message":"no"}`, canonical.UpstreamForbidden, false, nil, "1234", ""},
		{"byte order mark and line feed", 400, "\xef\xbb\xbf{\"statusCode\":400,\"errorCode\":\"e\",\"message\":\"m\"}\r\n", invalid, false, nil, "e", ""},
		{"unfit code", 400, `{"statusCode":400,"errorCode":"lucy diamond <x>","message":"m","tracer":"a b"}`, invalid, false, nil, "", ""},

		{"exists, with advice", 409, `{"statusCode":409,"errorCode":"customer_exists","message":"A customer with this email already exists. Please try again with another one"}`, duplicate, false, fields{"duplicate /emails/1/value"}, "customer_exists", ""},
		{"version", 409, `{"statusCode":409,"errorCode":"ConcurrentModification","message":"Conflict"}`, canonical.UpstreamBusy, true, nil, "ConcurrentModification", ""},
		{"locked", 409, `{"statusCode":409,"errorCode":"resource_locked","message":"Conflict"}`, canonical.UpstreamBusy, true, nil, "resource_locked", ""},
		{"blocked is not locked", 409, `{"statusCode":409,"errorCode":"customer_blocked","message":"The customer is blocked"}`, duplicate, false, nil, "customer_blocked", ""},
		{"423", 423, `{"statusCode":423,"errorCode":"locked","message":"Locked"}`, canonical.UpstreamBusy, true, nil, "locked", ""},
		{"gone", 410, `{"statusCode":410,"errorCode":"gone","message":"Gone"}`, misconfigured, false, nil, "gone", ""},
		{"route of a gateway", 404, `{"message":"no Route matched with those values"}`, misconfigured, false, nil, "", ""},
		{"media type", 415, `{"statusCode":415,"errorCode":"m","message":"Unsupported"}`, misconfigured, false, nil, "m", ""},
		{"precondition", 412, `{"statusCode":412,"errorCode":"p","message":"m"}`, odd, false, nil, "p", ""},
		{"too large", 413, `{"statusCode":413,"errorCode":"big","message":"request entity too large"}`, invalid, false, nil, "big", ""},
		{"too large, of a proxy", 413, `<html><head><title>413 Request Entity Too Large</title></head></html>`, odd, false, nil, "", ""},
		{"header too large", 431, ``, odd, false, nil, "", ""},
		{"legal", 451, `{"message":"unavailable for legal reasons"}`, odd, false, nil, "", ""},
		{"bad request of a proxy", 400, `<html>400 The plain HTTP request was sent to HTTPS port</html>`, odd, false, nil, "", ""},
		{"body time-out", 408, ``, canonical.UpstreamOutcomeUnknown, true, nil, "", ""},
		{"quota", 429, `Too many`, canonical.UpstreamRateLimited, true, nil, "", ""},
		{"error of the platform", 500, `{"statusCode":500,"errorCode":"internal","message":"emailAddress column missing","tracer":"t-9"}`, unavailable, true, nil, "internal", "t-9"},
		{"status that disagrees", 500, `{"statusCode":400,"errorCode":"x","message":"m"}`, unavailable, true, nil, "x", ""},
		{"edge", 502, `{"message":"Internal server error"}`, unavailable, true, nil, "", ""},
		{"edge time-out", 504, `{"message":"Endpoint request timed out"}`, unavailable, true, nil, "", ""},
		{"origin down", 521, `error code: 521`, unavailable, true, nil, "", ""},
		{"empty 503", 503, ``, unavailable, true, nil, "", ""},
		{"moved", 301, ``, senseless, true, nil, "", ""},

		{"refusal under 200", 200, `{"statusCode":422,"errorCode":"e","message":"familyName is required","tracer":"t"}`, invalid, false, fields{"required /name/familyName"}, "e", "t"},
		{"refusal under 200, as a text", 200, `{"statusCode":"401","errorCode":"e","message":"no"}`, canonical.UpstreamUnauthenticated, false, nil, "e", ""},
		{"accepted without a customer", 202, `{}`, senseless, true, nil, "", ""},
		{"no content", 204, ``, senseless, true, nil, "", ""},
		{"customer that is null", 200, `{"customerId":null,"merchantId":"m"}`, senseless, true, nil, "", ""},
		{"list", 200, `[{"customerId":"cust_1"}]`, senseless, true, nil, "", ""},
		{"cut off", 200, `{"customerId":"cust_Zz6SN`, senseless, true, nil, "", ""},
		{"two answers", 200, `{"customerId":"cust_1"}{"customerId":"cust_2"}`, senseless, true, nil, "", ""},
	}
	a := New(Config{MerchantID: "mcht_1"})
	c := adaptertest.Decode(t, "c1", []byte(`{"name":{"givenName":"Lucy","familyName":"Diamond"},"emails":[{"value":"old@example.com"},{"value":"lucy@example.com","primary":true}],
		"phoneNumbers":[{"value":"+61401234567"}],"addresses":[{"city":"Sydney"}],"attributes":{"segment":"gold"},"providerData":{"april":{"UpsertConsumerCustomer":{"isVerified":"yes"}}}}`))
	u := adaptertest.Upsert(c, "april-au", name, "")
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
			if e.Code != tt.code || e.Retryable() != tt.retry || e.UpstreamCode != tt.upstream && tt.upstream != "" || e.RequestID != tt.request && tt.request != "" || e.Status != tt.status {
				t.Errorf("%s, retryable %v, upstream code %q, request id %q; want %s, %v, %q, %q", e.Code, e.Retryable(), e.UpstreamCode, e.RequestID, tt.code, tt.retry, tt.upstream, tt.request)
			}
			if tt.name == "unfit code" && e.UpstreamCode+e.RequestID != "" {
				t.Errorf("UpstreamCode = %q, RequestID = %q, want none that could hold data", e.UpstreamCode, e.RequestID)
			}
			if got := adaptertest.Fields(e); !slices.Equal(got, tt.fields) {
				t.Errorf("fields = %q, want %q", got, tt.fields)
			}
			if strings.Contains(e.Message, "<") {
				t.Errorf("Message = %q, want no markup", e.Message)
			}
		})
	}
}

// TestUnseenSuccess holds that success in another form is one.
func TestUnseenSuccess(t *testing.T) {
	t.Parallel()
	a := New(Config{})
	c := adaptertest.Decode(t, "c1", []byte(`{"emails":[{"value":"lucy@example.com"}]}`))
	u := adaptertest.Upsert(c, "april-au", name, "")
	sent, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for body, id := range map[string]string{
		`{"customerId":"cust_Zz6SN_8bIUK88SSn","merchantId":"mcht_Zz6SN_8bIUK88SSm"}`:                  "cust_Zz6SN_8bIUK88SSn",
		"\xef\xbb\xbf" + ` {"merchantId":"m","customerId":"cust_1","isNew":true,"x":{"y":[1]}}` + "\n": "cust_1",
		`{"customerId":"cust_1"}`:                                   "cust_1",
		`{"customerId":"cust_1","statusCode":200,"errorCode":null}`: "cust_1",
	} {
		for _, status := range []int{200, 201} {
			out, err := a.Interpret(u, sent, &canonical.Reply{Status: status, Header: http.Header{}, Body: []byte(body)})
			if err != nil || out.RemoteID != id || out.Next != nil {
				t.Errorf("Interpret(%d, %s) = %+v, %v, want %s", status, body, out, err, id)
			}
		}
	}
}
