package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"customer-gateway/adapters"
	"customer-gateway/adapters/emulator"
)

// sandboxCommand runs the provider emulators alone.
func (p *program) sandboxCommand() *cobra.Command {
	var host string
	var port int
	cmd := &cobra.Command{
		Use:   "sandbox",
		Short: "Run the provider emulators alone",
		Long: `Run an emulator of every provider, each on a port of its own, and print the part
of a gateway configuration that reaches them. They keep everything in memory.

Each emulator answers beside the provider's API:
  GET    /_emulator/records    what it holds
  GET    /_emulator/exchanges  what it was asked, without bodies
  POST   /_emulator/changes    begin a list of everything that changes, in its order
  GET    /_emulator/changes    that list; ?after=17 begins behind number 17
  POST   /_emulator/faults     {"kind":"status","status":503,"times":3}; kinds: status,
                               html, reset, truncate, hang; also delay and late (do the
                               work that much after the request came; nanoseconds),
                               method, path, after (misbehave once the work is done)
  DELETE /_emulator/faults     behave again`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sandboxes, err := startSandboxes(host, port)
			if err != nil {
				return err
			}
			defer sandboxes.close()
			fmt.Fprintln(p.out, "# Provider emulators are up; Ctrl-C ends them. A configuration that reaches them:")
			if err := writeRoutes(p.out, sandboxes); err != nil {
				return err
			}
			<-cmd.Context().Done()
			return nil
		},
	}
	cmd.Flags().StringVar(&host, "host", "127.0.0.1", "address to listen on; the emulators' credentials are public, so keep it local")
	cmd.Flags().IntVar(&port, "port", 0, "port of the first emulator, the others follow; 0 takes free ones")
	return cmd
}

// sandbox is one running emulator.
type sandbox struct {
	route  string // the name of the route that reaches it
	server *emulator.Server
	http   *http.Server
	url    string
}

type sandboxes []*sandbox

// routeSuffix follows the provider's name in the name of the route that reaches
// its emulator.
const routeSuffix = "-demo"

// startSandboxes starts an emulator of every provider.
func startSandboxes(host string, port int) (sandboxes, error) {
	var all sandboxes
	for i, p := range adapters.All {
		at := 0
		if port > 0 {
			at = port + i
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(host, fmt.Sprint(at)))
		if err != nil {
			all.close()
			return nil, fmt.Errorf("the emulator of %s cannot listen: %w; choose another --port or --host", p.Name, err)
		}
		s := &sandbox{route: p.Name + routeSuffix, server: emulator.NewServer(p.Sandbox(), emulator.Options{}), url: "http://" + listener.Addr().String()}
		s.http = &http.Server{Handler: s.server, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
		go func() { _ = s.http.Serve(listener) }() // ends with close
		all = append(all, s)
	}
	return all, nil
}

func (all sandboxes) close() {
	for _, s := range all {
		s.server.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		if err := s.http.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
			_ = s.http.Close()
		}
		cancel()
	}
}

// routes is the routes section of a configuration that reaches the emulators.
func (all sandboxes) routes() map[string]any {
	routes := make(map[string]any, len(all))
	for _, s := range all {
		r := s.server.Provider().Route()
		credentials := make(map[string]any, len(r.Credentials))
		for k, v := range r.Credentials {
			credentials[k] = v
		}
		settings := make(map[string]any, len(r.Settings))
		for k, v := range r.Settings {
			settings[k] = v
		}
		routes[s.route] = map[string]any{
			"provider":    s.server.Provider().Name(),
			"base_url":    s.url + r.BasePath,
			"credentials": credentials,
			"settings":    settings,
		}
	}
	return routes
}

// writeRoutes writes the routes as JSON, which is YAML too.
func writeRoutes(w io.Writer, all sandboxes) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(map[string]any{"routes": all.routes()})
}
