package api

import (
	"log/slog"
	"net/http"
	"time"
)

// ServerConfig limits an HTTP server. Zero values get the default.
type ServerConfig struct {
	Addr              string        // host:port, default ":8080"
	ReadHeaderTimeout time.Duration // default 5s
	ReadTimeout       time.Duration // for header and body; default 15s
	// WriteTimeout runs from the end of the header to the end of the answer, so
	// it must hold ReadTimeout and the longest wait. Default 30s.
	WriteTimeout time.Duration
	IdleTimeout  time.Duration // default 2m
	MaxHeader    int           // bytes of request line and header; default 16 KiB
	Log          *slog.Logger  // what net/http has to report; nil for nothing
}

// NewServer returns a server of the handler with every limit set.
//
// Some requests never reach a handler, and net/http answers them in its own
// words, as plain text: 400 for what is not HTTP, a request target with a bad
// percent-escape, or a missing Host; 431 for too large a header; 417 for an
// Expect other than 100-continue; 501 for an unknown transfer coding; 505 for
// another version of HTTP.
func NewServer(cfg ServerConfig, handler http.Handler) *http.Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Addr:              orElse(cfg.Addr, ":8080"),
		Handler:           handler,
		ReadHeaderTimeout: orElse(cfg.ReadHeaderTimeout, 5*time.Second),
		ReadTimeout:       orElse(cfg.ReadTimeout, 15*time.Second),
		WriteTimeout:      orElse(cfg.WriteTimeout, 30*time.Second),
		IdleTimeout:       orElse(cfg.IdleTimeout, 2*time.Minute),
		MaxHeaderBytes:    orElse(cfg.MaxHeader, 16<<10),
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn),
	}
}

func orElse[T comparable](v, other T) T {
	var zero T
	if v == zero {
		return other
	}
	return v
}
