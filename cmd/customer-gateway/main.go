// Command customer-gateway takes one canonical customer to many platforms.
//
// See README.md for what it does and `customer-gateway help` for how to call it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"customer-gateway/adapters"
	"customer-gateway/config/section"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something failed while running
	exitUsage   = 2 // the command line or the configuration is wrong
)

// program is what the commands run on; tests bring their own.
type program struct {
	in          io.Reader
	out, err    io.Writer
	environ     []string
	interactive bool // in and err are a terminal: questions can be asked
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	p := program{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), interactive: isTerminal(os.Stdin) && isTerminal(os.Stderr)}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// run executes one command line and returns the exit code. It ends early when
// ctx does.
func (p *program) run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:   "customer-gateway",
		Short: "Take one canonical customer to billing, payments, loyalty, shop and tax platforms",
		Long: `customer-gateway takes one canonical customer upsert to every configured route and
answers honestly for each. A route is an account at one of the providers:
` + providers() + `.

Begin with: customer-gateway demo`,
		Version:       version(),
		Args:          unknownCommand,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetArgs(args)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(p.demoCommand(), p.serveCommand(), p.checkCommand(), p.sandboxCommand(), p.healthCommand(), p.versionCommand(),
		p.statusCommand(), p.deadLettersCommand(), p.replayCommand(), p.importCommand(), p.backupCommand(),
		p.capabilitiesCommand())
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var faults section.Faults
	var usage usageError
	switch {
	case errors.As(err, &faults):
		p.showFaults(faults)
		return exitUsage
	case errors.As(err, &usage):
		fmt.Fprintf(p.err, "customer-gateway: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(p.err, "customer-gateway: %v\n", err)
	return exitFailure
}

// providers lists the names of all providers.
func providers() string {
	names := make([]string, len(adapters.All))
	for i, p := range adapters.All {
		names[i] = p.Name
	}
	return strings.Join(names, ", ")
}

// usageError is a mistake in the command line.
type usageError struct{ error }

// Unwrap returns the mistake.
func (e usageError) Unwrap() error { return e.error }

// unknownCommand refuses what is no command, and names the nearest one.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q%s; see %s --help", args[0], hint, cmd.CommandPath())}
}

// noArgs refuses arguments as a mistake in the command line.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usageError{fmt.Errorf("%s takes no arguments, but got %q; see %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())}
}
