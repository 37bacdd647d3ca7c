package adaptertest

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"testing"

	"customer-gateway/canonical"
)

// Send sends one request to a server, an emulator on loopback, with header added
// to the request's own, and returns the reply. It does no more than that: no
// retry, no limit, no authentication of its own.
func Send(t testing.TB, base string, req *canonical.Request, header http.Header) *canonical.Reply {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), req.Method, base+req.Path, bytes.NewReader(req.Body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, req.Header)
	maps.Copy(r.Header, header)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return &canonical.Reply{Status: resp.StatusCode, Header: resp.Header, Body: body}
}
