package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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
	return config.LoadAndOpen(config.Source{Path: s.file, Environ: p.environ, Overrides: overrides, Flag: "--set"}, adapters.All)
}

// checkCommand checks a configuration without starting anything.
func (p *program) checkCommand() *cobra.Command {
	var s settings
	var example, schema, audit, asJSON bool
	var level string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and report everything that is wrong",
		Long: `Read the whole configuration as serve would, open every route with its provider,
and report all faults at once, with the place in the file, or the variable or flag.
Nothing is sent anywhere.

With --audit, also report what is allowed but risky: numbered rules, graded high,
medium or low, which docs/audit.md explains.

With --schema, print the JSON Schema of the file. An editor that knows YAML schemas
finds it by the first line of the example:

  customer-gateway check --example > customer-gateway.yaml
  customer-gateway check --schema > config.schema.json

Exit code 0: it is good. 1: the audit found a risk of the grade --audit-level or a
worse one. 2: it has faults.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case example && schema:
				return usageError{errors.New("--example and --schema print different files; state one of them")}
			case example:
				_, err := p.out.Write(config.Example())
				return err
			case schema:
				_, err := p.out.Write(config.Schema())
				return err
			}
			least := config.Grade(level)
			if !slices.Contains(config.Grades(), least) {
				return usageError{fmt.Errorf("--audit-level %q: must be high, medium or low", level)}
			}
			audit = audit || cmd.Flags().Changed("audit-level")
			cfg, routes, err := p.load(s)
			var faults section.Faults
			if err != nil && !errors.As(err, &faults) {
				return err
			}
			var risks []config.Risk
			if audit && err == nil {
				risks = config.Audit(cfg, routes)
			}
			switch {
			case asJSON:
				if err := p.writeVerdict(s.file, cfg, faults, risks); err != nil {
					return err
				}
			case err == nil:
				p.showGood(s.file, cfg, routes, risks, audit)
			}
			if err != nil {
				return err
			}
			return tooRisky(risks, least)
		},
	}
	s.register(cmd)
	cmd.Flags().BoolVar(&example, "example", false, "print a commented example configuration instead")
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of the configuration instead")
	cmd.Flags().BoolVar(&audit, "audit", false, "also report what is risky")
	cmd.Flags().StringVar(&level, "audit-level", string(config.High), "least grade that fails the audit: high, medium or low")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON")
	return cmd
}

// tooRisky returns an error if a risk is of the grade least, or worse.
func tooRisky(risks []config.Risk, least config.Grade) error {
	n := 0
	for _, r := range risks {
		if r.Grade.AtLeast(least) {
			n++
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("the audit found a risk of grade %s or worse", least)
	}
	return fmt.Errorf("the audit found %d risks of grade %s or worse", n, least)
}

// showGood writes the routes of a configuration without faults, and its risks or
// warnings.
func (p *program) showGood(file string, cfg *config.Config, routes []config.Route, risks []config.Risk, audit bool) {
	paint := painterFor(p.out, p.environ)
	t := table{}
	t.add("ROUTE", "PROVIDER", "BASE URL", "RATE", "CONCURRENCY")
	for _, r := range routes {
		t.add(r.Name, r.Provider, r.BaseURL.String(), r.Limit.Rate.String(), fmt.Sprint(r.Limit.Concurrency))
	}
	t.write(p.out, paint, "")
	if !audit {
		p.showWarnings(cfg.Warnings())
		fmt.Fprintf(p.out, "%s: good\n", file)
		return
	}
	colours := map[config.Grade]string{config.High: red, config.Medium: yellow, config.Low: faint}
	for _, r := range risks {
		fmt.Fprintln(p.out, paint.paint(colours[r.Grade], r.String()))
	}
	fmt.Fprintf(p.out, "%s: no faults; risks: %s\n", file, countGrades(risks))
}

// countGrades returns how many risks there are: "1 high, 2 low", or "none".
func countGrades(risks []config.Risk) string {
	var counts []string
	for _, grade := range config.Grades() {
		n := 0
		for _, r := range risks {
			if r.Grade == grade {
				n++
			}
		}
		if n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, grade))
		}
	}
	if len(counts) == 0 {
		return "none"
	}
	return strings.Join(counts, ", ")
}

// faultJSON is a fault or a warning in the output of check --json.
type faultJSON struct {
	Place   string `json:"place,omitempty"`
	Key     string `json:"key,omitempty"`
	Message string `json:"message"`
}

func faultsJSON(faults []section.Fault) []faultJSON {
	all := make([]faultJSON, len(faults)) // an empty list, not null
	for i, f := range faults {
		all[i] = faultJSON{Place: f.Place, Key: f.Key, Message: f.Message}
	}
	return all
}

// writeVerdict writes what check found as JSON. Risks are null without an audit.
func (p *program) writeVerdict(file string, cfg *config.Config, faults section.Faults, risks []config.Risk) error {
	verdict := struct {
		File     string        `json:"file"`
		Good     bool          `json:"good"`
		Faults   []faultJSON   `json:"faults"`
		Warnings []faultJSON   `json:"warnings"`
		Risks    []config.Risk `json:"risks"`
	}{file, len(faults) == 0, faultsJSON(faults), faultsJSON(nil), risks}
	if cfg != nil {
		verdict.Warnings = faultsJSON(cfg.Warnings())
	}
	e := json.NewEncoder(p.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(verdict)
}

// showFaults writes what is wrong with a configuration, a line each.
func (p *program) showFaults(faults section.Faults) {
	paint := painterFor(p.err, p.environ)
	for _, f := range faults {
		place := f.Place
		if place != "" {
			place += ": "
		}
		if f.Key == "" {
			fmt.Fprintf(p.err, "%s%s\n", place, f.Message)
			continue
		}
		fmt.Fprintf(p.err, "%s%s: %s\n", place, paint.paint(bold, f.Key), f.Message)
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
