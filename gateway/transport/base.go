package transport

import (
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// newBase returns a route's own connection pool, so that one provider's trouble
// is never another's.
func newBase(cfg *Config) *http.Transport {
	idle := cfg.Limit.Concurrency
	if idle == 0 {
		idle = 64
	}
	// The attempt's time-out is the real bound; these leave time for a second
	// address or the reply.
	connect := min(cfg.Timeout, 5*time.Second)
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    connect,
		MaxIdleConnsPerHost:    idle, // net/http's 2 would mean a new connection for most calls
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 256 << 10,
		ForceAttemptHTTP2:      true,
		// A dead HTTP/2 connection takes requests for minutes unless it is asked.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}
