package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"customer-gateway/adapters"
	"customer-gateway/config"
	"customer-gateway/config/section"
)

// settings are the flags that choose and change a configuration.
type settings struct {
	file string
	set  []string
}

func (s *settings) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&s.file, "config", "c", "customer-gateway.yaml", "configuration file (YAML)")
	cmd.Flags().StringArrayVar(&s.set, "set", nil, "override one key: --set server.addr=:9000 (repeatable)")
}

// load reads, checks and opens the configuration.
func (p *program) load(s settings) (*config.Config, []config.Route, error) {
	overrides := map[string]any{}
	for _, kv := range s.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, nil, usageError{fmt.Errorf("--set %q: write KEY=VALUE, as in --set server.addr=:9000", kv)}
		}
		overrides[key] = value
	}
	if _, err := os.Stat(s.file); errors.Is(err, fs.ErrNotExist) {
		return nil, nil, usageError{fmt.Errorf("configuration file %s does not exist; name one with --config, or begin with: customer-gateway check --example > %[1]s", s.file)}
	}
	cfg, err := config.Load(config.Source{Path: s.file, Environ: p.environ, Overrides: overrides})
	if err != nil {
		return nil, nil, err
	}
	routes, err := config.Open(cfg, adapters.All)
	if err != nil {
		return nil, nil, err
	}
	return cfg, routes, nil
}

// checkCommand checks a configuration without starting anything.
func (p *program) checkCommand() *cobra.Command {
	var s settings
	var example bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and report everything that is wrong",
		Long: `Read the whole configuration as serve would, open every route with its provider,
and report all faults at once. Nothing is sent anywhere.

Exit code 0: it is good. 2: it has faults.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			if example {
				_, err := p.out.Write(config.Example())
				return err
			}
			cfg, routes, err := p.load(s)
			if err != nil {
				return err
			}
			t := table{}
			t.add("ROUTE", "PROVIDER", "BASE URL", "RATE", "CONCURRENCY")
			for _, r := range routes {
				rate := "off"
				if r.Limit.Rate.Count > 0 {
					rate = r.Limit.Rate.String()
				}
				t.add(r.Name, r.Provider, r.BaseURL.String(), rate, fmt.Sprint(r.Limit.Concurrency))
			}
			t.write(p.out, painterFor(p.out, p.environ), "")
			p.showWarnings(cfg.Warnings())
			fmt.Fprintf(p.out, "%s: good\n", s.file)
			return nil
		},
	}
	s.register(cmd)
	cmd.Flags().BoolVar(&example, "example", false, "print a commented example configuration instead")
	return cmd
}

// showFaults writes what is wrong with a configuration, a line each.
func (p *program) showFaults(faults section.Faults) {
	paint := painterFor(p.err, p.environ)
	for _, f := range faults {
		if f.Key == "" {
			fmt.Fprintf(p.err, "%s\n", f.Message)
			continue
		}
		fmt.Fprintf(p.err, "%s: %s\n", paint.paint(bold, f.Key), f.Message)
	}
	what := "1 fault"
	if len(faults) != 1 {
		what = fmt.Sprintf("%d faults", len(faults))
	}
	fmt.Fprintf(p.err, "customer-gateway: the configuration has %s; nothing was started\n", what)
}

func (p *program) showWarnings(warnings []section.Fault) {
	paint := painterFor(p.err, p.environ)
	for _, w := range warnings {
		fmt.Fprintf(p.err, "%s %s\n", paint.paint(yellow, "warning:"), w.Error())
	}
}
