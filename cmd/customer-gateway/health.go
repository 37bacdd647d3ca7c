package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// healthTime bounds the question, so that it ends before a container gives up on it.
const healthTime = 3 * time.Second

// healthCommand asks a running gateway how it is, for containers that have
// nothing else to ask with.
func (p *program) healthCommand() *cobra.Command {
	var t target
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running gateway whether it is ready",
		Long:  "Ask a running gateway whether it is ready. Exit code 0: it is. 1: it is not, or cannot be reached.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.locate(t)
			if err != nil {
				return err
			}
			defer c.close()
			ctx, cancel := context.WithTimeout(cmd.Context(), healthTime)
			defer cancel()
			_, _, err = c.call(ctx, http.MethodGet, "/readyz", nil, nil)
			if _, answered := errors.AsType[*refusedError](err); answered {
				return fmt.Errorf("not ready: %w", err)
			}
			if err == nil {
				fmt.Fprintln(p.out, "ready")
			}
			return err
		},
	}
	t.registerURL(cmd)
	return cmd
}
