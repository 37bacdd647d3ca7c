package capillary

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"customer-gateway/canonical"
)

// batch is three customers, of which the second is refused before sending.
func batch(t *testing.T, a *Adapter) ([]canonical.Upsert, *canonical.Request) {
	t.Helper()
	us := []canonical.Upsert{
		upsert(t, "c1", `{"emails":[{"value":"one@example.com"}]}`),
		upsert(t, "c2", `{"emails":[{"value":"tw'o@example.com"}]}`),
		upsert(t, "c3", `{"emails":[{"value":"other@example.com"},{"value":"three@example.com","primary":true}],"gender":"unspecified"}`),
	}
	req, rows := a.TranslateBatch(us)
	if len(rows) != 3 || rows[0].Err != nil || rows[2].Err != nil {
		t.Fatalf("rows = %+v, want only the second refused", rows)
	}
	if e := canonical.AsError(rows[1].Err); e == nil || e.Code != canonical.MappingUnrepresentable {
		t.Fatalf("rows[1].Err = %v, want %s", rows[1].Err, canonical.MappingUnrepresentable)
	}
	if n := rows[2].Outcome.Notices; len(n) != 1 || n[0].Pointer != "/gender" {
		t.Errorf("rows[2] has the notices %v, want one about /gender", n)
	}
	body, err := canonical.Parse(req.Body)
	if err != nil || body.Len() != 2 {
		t.Fatalf("body = %s, want two customers", req.Body)
	}
	return us, req
}

func TestInterpretBatch(t *testing.T) {
	t.Parallel()
	const good = `{"entityId":%d,"result":{"profiles":[{"identifiers":[{"type":"externalId","value":%q}]}]},"errors":[],"warnings":[]}`
	first, third := fmt.Sprintf(good, 101, "c1"), fmt.Sprintf(good, 103, "c3")
	type row struct {
		id      string
		code    canonical.Code
		pointer string
		again   bool // by itself
	}
	both := [2]row{{again: true}, {again: true}}
	tests := []struct {
		name   string
		status int
		body   string
		want   [2]row // of the first and the third
	}{
		{"both", 200, `{"response":[` + first + `,` + third + `]}`, [2]row{{id: "101"}, {id: "103"}}},
		{"one fails with 201", 201, `{"response":[` + first + `,{"errors":[{"code":1002,"message":"Unable to register. Invalid email id."}]}]}`,
			[2]row{{id: "101"}, {code: canonical.UpstreamInvalid, pointer: "/emails/1/value"}}},
		{"one is busy", 200, `{"response":[{"errors":[{"code":"521"}]},` + third + `],"failureCount":1}`, [2]row{{code: canonical.UpstreamBusy}, {id: "103"}}},
		{"one in part", 200, `{"response":[` + first + `,{"entityId":103,"errors":[{"code":3017,"message":"status label invalid"}]}]}`,
			[2]row{{id: "101"}, {id: "103", code: canonical.UpstreamPartiallyApplied, pointer: "/loyalty/status"}}},
		{"reversed", 200, `{"response":[` + third + `,` + first + `]}`, both},
		{"reversed, one without identifiers", 200, `{"response":[{"errors":[{"code":8014}]},` + first + `]}`, both},
		{"one missing", 200, `{"response":[` + first + `]}`, both},
		{"a single row as an object", 200, `{"response":` + first + `}`, both},
		{"too many", 400, `{"errors":[{"code":1060,"message":"Batch limit size exceeded."}]}`, both},
		{"one spoils the body", 400, `{"errors":[{"code":400,"message":"Invalid input."}]}`, both},
		{"one spoils the body, as 200", 200, `{"errors":[{"code":8014,"message":"Invalid Primary Id"}]}`, both},
		{"one annoys a proxy", 400, `<html><h1>400 Bad Request</h1></html>`, both},
		{"path", 404, `{"errors":[{"code":404,"message":"no"}]}`, [2]row{{code: canonical.UpstreamMisconfigured}, {code: canonical.UpstreamMisconfigured}}},
		{"source", 400, `{"errors":[{"code":8003,"message":"Invalid source"}]}`, [2]row{{code: canonical.UpstreamMisconfigured}, {code: canonical.UpstreamMisconfigured}}},
		{"token", 401, ``, [2]row{{code: canonical.UpstreamUnauthenticated}, {code: canonical.UpstreamUnauthenticated}}},
		{"right", 403, `{"errors":[{"code":4000,"message":"Access is denied!"}]}`, [2]row{{code: canonical.UpstreamForbidden}, {code: canonical.UpstreamForbidden}}},
		{"down", 503, ``, [2]row{{code: canonical.UpstreamUnavailable}, {code: canonical.UpstreamUnavailable}}},
		{"truncated", 200, `{"response":[` + first, [2]row{{code: canonical.UpstreamInvalidResponse}, {code: canonical.UpstreamInvalidResponse}}},
		{"throttled", 429, `{"response":[` + first + `,` + third + `]}`, [2]row{{code: canonical.UpstreamRateLimited}, {code: canonical.UpstreamRateLimited}}},
		{"rows of no kind", 200, `{"response":[null,7]}`, [2]row{{code: canonical.UpstreamInvalidResponse}, {code: canonical.UpstreamInvalidResponse}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := New(webEngage())
			us, req := batch(t, a)
			rows := a.InterpretBatch(us, req, reply(tt.status, tt.body))
			if len(rows) != 3 {
				t.Fatalf("%d rows, want 3", len(rows))
			}
			if e := canonical.AsError(rows[1].Err); e == nil || e.Code != canonical.MappingUnrepresentable {
				t.Errorf("the refused row has %v, want to keep its error", rows[1].Err)
			}
			for i, want := range tt.want {
				got := row{id: rows[2*i].Outcome.RemoteID, again: rows[2*i].Outcome.Next != nil}
				if e := canonical.AsError(rows[2*i].Err); e != nil {
					got.code = e.Code
					if len(e.Fields) > 0 {
						got.pointer = e.Fields[0].Pointer
					}
				}
				if got != want {
					t.Errorf("row %d = %+v, want %+v", 2*i, got, want)
				}
				alone, _, err := a.Translate(us[2*i])
				if next := rows[2*i].Outcome.Next; err != nil || next != nil && !bytes.Equal(next.Body, alone.Body) {
					t.Errorf("row %d goes on with %s, want %s", 2*i, next.Body, alone.Body)
				}
			}
		})
	}
}

// TestUnrepeatableBatch holds that nothing is sent twice that must not be: not even
// where the rows of an answer cannot be told apart.
func TestUnrepeatableBatch(t *testing.T) {
	t.Parallel()
	c := webEngage()
	c.RepeatAfterUnknown = false
	a := New(c)
	us, req := batch(t, a)
	for _, body := range []string{`{"response":[]}`, `{"response":[{"entityId":1}]}`, `{"response":[{"entityId":1,"result":{"profiles":[{"identifiers":[{"type":"externalId","value":"c3"}]}]}},{"entityId":2}]}`} {
		for i, row := range a.InterpretBatch(us, req, reply(200, body)) {
			if row.Err == nil || row.Outcome.Next != nil {
				t.Errorf("%s: row %d = %+v, want an error", body, i, row)
			}
		}
	}
}

// TestAlone holds which customers are not in a call with others.
func TestAlone(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	us := []canonical.Upsert{
		upsert(t, "c1", `{"emails":[{"value":"one@example.com"}]}`),
		upsert(t, "c2", `{"emails":[{"value":"One@example.com"}]}`),
		upsert(t, "c3", `{"identifiers":[{"type":"mobile","value":"+49 170 1234567"}]}`),
		upsert(t, "c4", `{"phoneNumbers":[{"value":"+491701234567"}]}`),
		upsert(t, "c5", `{"providerData":{"capillary":{"referralCode":"r"}},"gender":"unspecified"}`),
		upsert(t, "c6", `{}`),
		upsert(t, "c7", `{}`),
	}
	us[5].Follow, us[5].RemoteID = true, "77"
	req, rows := a.TranslateBatch(us)
	body, err := canonical.Parse(req.Body)
	if err != nil || body.Len() != 3 || !req.Repeatable {
		t.Fatalf("body = %s, repeatable %v; want c1, c3 and c7, repeatable", req.Body, req.Repeatable)
	}
	read := a.InterpretBatch(us, req, reply(503, ``))
	for i, u := range us {
		alone, notices, err := a.Translate(u)
		if err != nil {
			t.Fatal(err)
		}
		next := rows[i].Outcome.Next
		if wanted := i == 1 || i == 3 || i == 4 || i == 5; (next != nil) != wanted {
			t.Errorf("row %d begins with %v, want by itself: %v", i, next, wanted)
			continue
		}
		if !reflect.DeepEqual(rows[i].Outcome.Notices, notices) {
			t.Errorf("row %d has the notices %v, want %v", i, rows[i].Outcome.Notices, notices)
		}
		if next == nil {
			if e := canonical.AsError(read[i].Err); e == nil || e.Code != canonical.UpstreamUnavailable {
				t.Errorf("row %d = %+v, want %s", i, read[i], canonical.UpstreamUnavailable)
			}
		} else if !reflect.DeepEqual(next, alone) || !reflect.DeepEqual(read[i].Outcome.Next, alone) || read[i].Err != nil {
			t.Errorf("row %d goes on with %+v, then %+v; want %+v", i, next, read[i], alone)
		}
	}
	if req, rows := a.TranslateBatch(us[5:6]); req != nil || rows[0].Outcome.Next == nil {
		t.Errorf("one that follows alone = %v, %+v; want it to begin by itself", req, rows)
	}
}

func TestBatchWithoutRows(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	us := []canonical.Upsert{upsert(t, "c1", `{"emails":[{"value":"a'b@example.com"}]}`)}
	if req, rows := a.TranslateBatch(us); req != nil || rows[0].Err == nil {
		t.Errorf("TranslateBatch = %v, %v; want no request and an error", req, rows)
	}
	if got := a.BatchLimit(); got != 10 {
		t.Errorf("BatchLimit = %d, want 10", got)
	}
}

// TestCodes holds the classes of the published codes, as errors without an id
// and beside one.
func TestCodes(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	u := upsert(t, "c1", `{"emails":[{"value":"a@example.com"}],"phoneNumbers":[{"value":"+4917012345"}]}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for want, list := range map[canonical.Code]string{
		canonical.UpstreamBusy:             "521 461",
		canonical.UpstreamInvalid:          "3017 8002 8010 8013 8014 8017 8018 8084 8086 8092 8093 1001 1002 1003 1006 1007 1019 1039 1043 1059 618 8026 8087 8090 8126",
		canonical.UpstreamMisconfigured:    "3217 8001 8003 8004 8011 8012 8045 8054 8091 8127 1060 1061 91021",
		canonical.UpstreamIdentityConflict: "8006 8007 8008 8028 8066 8067 8074 8075 1014 1016 1032 1033 1047",
		canonical.UpstreamNotFound:         "8009 8015 8065 1011 1012",
		canonical.UpstreamUnavailable:      "10001 10002 1023 1024 4001 8088",
		canonical.UpstreamUnclassified:     "7777",
	} {
		for code := range strings.FieldsSeq(list) {
			for _, body := range []string{
				`{"response":[{"errors":[{"status":false,"code":` + code + `,"message":"no"}]}]}`,
				`{"response":[{"entityId":null,"result":null,"errors":{"code":"` + code + `"},"warnings":null}]}`,
				`{"errors":[{"status":false,"code":` + code + `,"message":"no"}],"warnings":[]}`,
			} {
				_, err := a.Interpret(u, req, reply(200, body))
				if e := canonical.AsError(err); e == nil || e.Code != want || e.UpstreamCode != code {
					t.Errorf("%s: %+v, want %s", body, e, want)
				}
			}
			out, err := a.Interpret(u, req, reply(200, `{"response":[{"entityId":7,"errors":[{"code":`+code+`,"message":"no"}]}]}`))
			partial := canonical.UpstreamPartiallyApplied
			if want == canonical.UpstreamBusy {
				partial = want
			}
			if e := canonical.AsError(err); e == nil || e.Code != partial || out.RemoteID != "7" {
				t.Errorf("%s with an id: %+v, id %q; want %s", code, e, out.RemoteID, partial)
			}
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	u := upsert(t, "c1", `{}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]canonical.Code{
		"8050 8051 8059 8060 8061 8062 8063 8068 8071 8072 8073 8077 8107 1053 1302 91001 91002 91003 91004 19223 8088 12345": "",
		"8052 8053 8055 8056 8057 8058 8064 8066 8069 8070 8074 8075 91005 91006 91007 91015":                                 canonical.UpstreamPartiallyApplied,
		"521": canonical.UpstreamBusy,
	} {
		for code := range strings.FieldsSeq(list) {
			out, err := a.Interpret(u, req, reply(200, `{"response":[{"entityId":7,"errors":[],"warnings":[{"status":"false","code":"`+code+`","message":"hm"}]}]}`))
			got := canonical.Code("")
			if e := canonical.AsError(err); e != nil {
				got = e.Code
			}
			if got != want || out.RemoteID != "7" || (want == "") != (len(out.Notices) == 1) {
				t.Errorf("warning %s: %q, %+v; want %q", code, got, out, want)
			}
		}
	}
}

// TestMoreThanOneIssue holds what decides, and that all of them are told.
func TestMoreThanOneIssue(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	u := upsert(t, "c1", `{"emails":[{"value":"a@example.com"}],"phoneNumbers":[{"value":"+4917012345"}]}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Interpret(u, req, reply(200, `{"response":[{"errors":[{"code":7777,"message":"first"},{"code":1002,"message":"bad address"},{"code":1001,"message":"bad number"}]}]}`))
	e := canonical.AsError(err)
	if e == nil || e.Code != canonical.UpstreamInvalid || e.UpstreamCode != "1002" || e.Message != "first; bad address; bad number" || len(e.Fields) != 2 {
		t.Fatalf("error = %+v, want the known code, all messages and two fields", e)
	}
	if e.Fields[0].Pointer != "/emails/0/value" || e.Fields[1].Pointer != "/phoneNumbers/0/value" {
		t.Errorf("fields = %+v", e.Fields)
	}
	_, err = a.Interpret(u, req, reply(200, `{"response":[{"errors":[{"code":1002,"message":"bad address"},{"code":521,"message":"wait"}]}]}`))
	if e := canonical.AsError(err); e == nil || e.Code != canonical.UpstreamBusy || e.UpstreamCode != "521" {
		t.Errorf("error = %+v, want %s", e, canonical.UpstreamBusy)
	}
}

// TestUnseenShapes holds answers in no sheet.
func TestUnseenShapes(t *testing.T) {
	t.Parallel()
	a := New(webEngage())
	u := upsert(t, "c1", `{"name":{"givenName":"Kim"}}`)
	req, _, err := a.Translate(u)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   canonical.Code
		id     string
	}{
		{"bare list of rows", 200, `[{"entityId":7,"errors":[]}]`, "", "7"},
		{"bare row", 200, `{"entityId":"7","errors":null,"warnings":null}`, "", "7"},
		{"answer of add", 200, `{"createdId":556844761,"warnings":[],"sideEffects":[]}`, "", "556844761"},
		{"id in the result only", 200, `{"response":[{"result":{"id":7}}]}`, "", "7"},
		{"wrapped in data", 200, `{"data":{"response":[{"entityId":7}]}}`, "", "7"},
		{"id 0", 200, `{"response":[{"entityId":0,"errors":[]}]}`, canonical.UpstreamInvalidResponse, ""},
		{"id -1", 200, `{"response":[{"entityId":-1,"errors":[{"code":8014,"message":"Invalid Primary Id"}]}]}`, canonical.UpstreamInvalid, ""},
		{"errors beside good rows", 200, `{"response":[{"entityId":7}],"errors":[{"code":8086,"message":"label"}]}`, canonical.UpstreamPartiallyApplied, "7"},
		{"errors as text", 400, `{"errors":["firstName is too long"]}`, canonical.UpstreamInvalid, ""},
		{"errors in another language", 400, `{"errors":[{"code":8086,"message":"etiqueta no válida"}]}`, canonical.UpstreamInvalid, ""},
		{"list of errors", 400, `[{"code":8006,"message":"Customer already exists for same source"}]`, canonical.UpstreamIdentityConflict, ""},
		{"unknown code, duplicate", 200, `{"response":[{"errors":[{"code":9999,"message":"Mobile already exists"}]}]}`, canonical.UpstreamIdentityConflict, ""},
		{"Spring", 404, `{"timestamp":1,"status":404,"error":"Not Found","path":"/v2/x"}`, canonical.UpstreamMisconfigured, ""},
		{"gateway", 401, `{"message":"Unauthorized"}`, canonical.UpstreamUnauthenticated, ""},
		{"gateway, 403", 403, `{"message":"Forbidden"}`, canonical.UpstreamForbidden, ""},
		{"flat old status", 200, `{"status":{"success":"true","code":498,"message":"Token expired"}}`, canonical.UpstreamUnauthenticated, ""},
		{"498", 498, ``, canonical.UpstreamUnauthenticated, ""},
		{"521 that is the body's", 521, `{"errors":[{"code":521,"message":"Multiple actions"}]}`, canonical.UpstreamBusy, ""},
		{"500 with a known code", 500, `{"errors":[{"code":8014,"message":"Invalid Primary Id"}]}`, canonical.UpstreamInvalid, ""},
		{"500 with an unknown code", 500, `{"errors":[{"code":9999,"message":"already broken"}]}`, canonical.UpstreamUnavailable, ""},
		{"XML of a proxy", 503, `<?xml version="1.0"?><error>down</error>`, canonical.UpstreamUnavailable, ""},
		{"page with a code", 502, `<html><code>401</code></html>`, canonical.UpstreamUnavailable, ""},
		{"XML with a namespace", 403, `<ns:response><ns:code>4000</ns:code></ns:response>`, canonical.UpstreamForbidden, ""},
		{"greeting", 200, `{"message":"ok"}`, canonical.UpstreamInvalidResponse, ""},
		{"no content", 204, ``, canonical.UpstreamInvalidResponse, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := a.Interpret(u, req, reply(tt.status, tt.body))
			got := canonical.Code("")
			if e := canonical.AsError(err); e != nil {
				got = e.Code
			}
			if got != tt.want || out.RemoteID != tt.id {
				t.Errorf("Interpret = %q, id %q (%v); want %q, id %q", got, out.RemoteID, err, tt.want, tt.id)
			}
		})
	}
}
