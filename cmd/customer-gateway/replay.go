package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// replayCommand sends dead letters again.
func (p *program) replayCommand() *cobra.Command {
	var t target
	var f letterFilter
	var all, yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Send dead letters again",
		Long: `Make the dead letters that match due again, with no attempts spent. The newest state
of each customer is sent, so a replay never overwrites something newer. List them
first with dead-letters, which takes the same flags.

On a terminal it asks before it does so, unless --yes says not to.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			stated, err := f.members(time.Now())
			switch {
			case err != nil:
				return err
			case len(stated) == 0 && !all:
				return usageError{errors.New("say which dead letters: --route, --code, --customer, --since or --until, or --all")}
			case len(stated) > 0 && all:
				return usageError{errors.New("--all means all of them: leave out the other flags, or --all")}
			}
			c, err := p.dial(t)
			if err != nil {
				return err
			}
			defer c.close()
			if p.interactive && !yes {
				if sure, err := p.confirm(fmt.Sprintf("Send %s at %s again?", which(stated), c.base)); err != nil || !sure {
					return err
				}
			}
			body := map[string]any{}
			for name, value := range stated {
				body[name] = value
			}
			if all {
				body["all"] = true
			}
			answer, _, err := c.call(cmd.Context(), http.MethodPost, "/v1/dead-letters/replay", nil, body)
			if err != nil {
				return err
			}
			if asJSON {
				return p.printJSON(answer)
			}
			var done struct {
				Replayed int `json:"replayed"`
			}
			if err := c.decode(answer, &done); err != nil {
				return err
			}
			if done.Replayed == 0 {
				fmt.Fprintln(p.out, "There are no dead letters that match; nothing is sent.")
				return nil
			}
			fmt.Fprintf(p.out, "Replayed %s: they are sent in the background; customer-gateway status shows how far that is.\n", count(done.Replayed, "dead letter"))
			return nil
		},
	}
	t.register(cmd)
	f.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all dead letters of the routes that the API key may use")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the gateway's JSON")
	return cmd
}

// which describes the dead letters that are chosen.
func which(stated map[string]string) string {
	if len(stated) == 0 {
		return "all dead letters"
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		parts = append(parts, name+" "+stated[name])
	}
	return "the dead letters with " + strings.Join(parts, ", ")
}

// confirm asks a question that has to be answered with yes.
func (p *program) confirm(question string) (bool, error) {
	fmt.Fprintf(p.err, "%s [y/N] ", printable(question))
	answer, err := bufio.NewReader(io.LimitReader(p.in, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("reading the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true, nil
	}
	fmt.Fprintln(p.err, "Nothing is sent.")
	return false, nil
}
