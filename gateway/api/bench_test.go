package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"testing"

	"customer-gateway/canonical"
	"customer-gateway/gateway"
)

// nowhere is a ResponseWriter that drops what is written.
type nowhere struct{ header http.Header }

func (w nowhere) Header() http.Header         { return w.header }
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (w nowhere) WriteHeader(int)             {}

// still is a Gateway that keeps nothing.
type still struct {
	*fake
	envelope gateway.Envelope
}

func (s still) Upsert(context.Context, gateway.Command) (*gateway.Envelope, error) {
	return &s.envelope, nil
}

// BenchmarkPut measures what the API costs beside decoding the customer, which
// is measured alone.
func BenchmarkPut(b *testing.B) {
	body := []byte(`{"name":{"givenName":"Lucy","familyName":"Diamond"},"emails":[{"value":"lucy@example.com","primary":true}],` +
		`"addresses":[{"lines":["160 1st Street"],"city":"Mineola","region":"NY","postalCode":"11501","country":"US"}]}`)
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := canonical.DecodeCustomer("cust-1", body); err != nil {
				b.Fatal(err)
			}
		}
	})
	one := []gateway.Result{succeeded("april", canonical.ActionUpdated)}
	five := []gateway.Result{one[0], one[0], one[0], one[0], one[0]}
	for name, results := range map[string][]gateway.Result{"1 route": one, "5 routes": five} {
		b.Run(name, func(b *testing.B) {
			h := open(still{&fake{}, gateway.Envelope{OperationID: "op_01J9", CustomerID: "cust-1", Version: 1, Outcome: gateway.OutcomeComplete, Results: results}},
				Options{Keys: []Key{key("k", "secret", true, true)}, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)), Metrics: &counting{}, MaxInFlight: 1000})
			r := put(customerPath, "", "Authorization", "Bearer secret")
			r.ContentLength = int64(len(body))
			reader := bytes.NewReader(body)
			r.Body = io.NopCloser(reader)
			b.ReportAllocs()
			for b.Loop() {
				reader.Reset(body)
				h.ServeHTTP(nowhere{http.Header{}}, r)
			}
		})
	}
}

// BenchmarkBulk measures a line of a bulk request.
func BenchmarkBulk(b *testing.B) {
	h := open(still{&fake{durable: true}, gateway.Envelope{OperationID: "op_01J9", CustomerID: "cust-1", Version: 1, Kept: true, Outcome: gateway.OutcomePending,
		Results: []gateway.Result{{Route: "april", Provider: "april", Status: gateway.StatusPending}}}}, Options{})
	text := []byte(`{"id":"cust-1","name":{"givenName":"Lucy","familyName":"Diamond"},"emails":[{"value":"lucy@example.com","primary":true}]}` + "\n")
	for _, of := range []string{"one customer", "many customers"} {
		b.Run(of, func(b *testing.B) {
			var body bytes.Buffer
			for n := range b.N {
				line := text
				if of == "many customers" {
					line = bytes.Replace(text, []byte("cust-1"), strconv.AppendInt([]byte("cust-"), int64(n), 10), 1)
				}
				body.Write(line)
			}
			r := bulkRequest("")
			r.Header.Set("Content-Type", ndjson)
			r.Body = io.NopCloser(&body)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			b.ResetTimer()
			h.ServeHTTP(nowhere{http.Header{}}, r)
		})
	}
}
