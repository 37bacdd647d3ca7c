package transport

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"customer-gateway/canonical"
)

// BenchmarkDo compares a call through the whole stack with a bare http.Client
// that does the same to the same server. They take turns, so that both see the
// same machine; "ratio" is the bare client's time over ours.
func BenchmarkDo(b *testing.B) {
	u := serve(b, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"id":"42","status":"ok"}`)
	})
	payload := bytes.Repeat([]byte("x"), 1024)
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}
	req := &canonical.Request{Op: "upsert", Method: "POST", Path: "/customers", Header: header, Body: payload}
	c := open(b, Config{
		BaseURL: u, Timeout: 5 * time.Second, Limit: Limit{Rate: 1e9, Burst: 1e9, Concurrency: 16}, Retry: Retry{Attempts: 3},
	}, canonical.Auth{Header: map[string]canonical.Secret{"X-Api-Key": "secret"}}, nil)
	bare := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	b.Cleanup(bare.CloseIdleConnections)
	url := u.String() + "/customers"

	ours := func() {
		if res := c.Do(b.Context(), req, status); res.Err != nil {
			b.Fatal(res.Err)
		}
	}
	theirs := func() {
		r, err := http.NewRequestWithContext(b.Context(), "POST", url, bytes.NewReader(payload))
		if err != nil {
			b.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Accept", "application/json")
		r.Header.Set("X-Api-Key", "secret")
		resp, err := bare.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	b.Run("stack", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			ours()
		}
	})
	b.Run("bare", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			theirs()
		}
	})
	b.Run("ratio", func(b *testing.B) {
		var spent [2]time.Duration
		for b.Loop() {
			for i, f := range [...]func(){ours, theirs} {
				begin := time.Now()
				f()
				spent[i] += time.Since(begin)
			}
		}
		b.ReportMetric(float64(spent[1])/float64(spent[0]), "ratio")
	})
}
