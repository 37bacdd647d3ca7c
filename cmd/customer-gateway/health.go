package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthCommand asks a running gateway how it is, for containers that have
// nothing else to ask with.
func (p *program) healthCommand() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running gateway whether it is ready",
		Long:  "Ask a running gateway whether it is ready. Exit code 0: it is. 1: it is not, or cannot be reached.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
			if err != nil || req.URL.Host == "" || !strings.HasPrefix(req.URL.Scheme, "http") {
				return usageError{fmt.Errorf("--url %q: must be an absolute URL, such as http://127.0.0.1:8080", url)}
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fmt.Errorf("not reachable: %w", err)
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				var problem struct{ Detail string }
				// Without a detail, something else than a gateway has answered.
				if json.NewDecoder(io.LimitReader(resp.Body, 4096)).Decode(&problem) != nil || problem.Detail == "" {
					problem.Detail = "is that a gateway?"
				}
				return fmt.Errorf("not ready: status %d: %s", resp.StatusCode, problem.Detail)
			}
			fmt.Fprintln(p.out, "ready")
			return nil
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://127.0.0.1:8080", "base URL of the gateway")
	return cmd
}
