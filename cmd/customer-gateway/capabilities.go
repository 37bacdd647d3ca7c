package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"customer-gateway/canonical"
	"customer-gateway/config/section"
	"customer-gateway/gateway"
)

// capabilitiesCommand shows what the routes of a configuration hold of a customer.
func (p *program) capabilitiesCommand() *cobra.Command {
	var s settings
	var kind string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "capabilities [ROUTE]",
		Short: "Show what a route holds of a customer, field by field",
		Long: `Show, for each field of a customer, whether the route holds it, where it is required,
how long it may be, which characters it may have and what is lost, as the route's
settings have it. Without a route, show all routes side by side.

It is read from the configuration; nothing is sent anywhere. A running gateway tells
the same at GET /v1/routes/{route}/capabilities.

Exit code 0: it is shown. 2: there is no such route, or the configuration has faults.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one route at most, but got %d; see %[1]s --help", cmd.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if kind != "person" && kind != "organization" {
				return usageError{fmt.Errorf("--kind %q: must be person or organization", kind)}
			}
			_, routes, err := p.load(s)
			if err != nil {
				return err
			}
			var shown []gateway.Capabilities
			known := map[string]bool{}
			for _, r := range routes {
				if known[r.Name] = true; len(args) == 0 || args[0] == r.Name {
					shown = append(shown, gateway.CapabilitiesOf(r.Name, r.Adapter))
				}
			}
			switch {
			case len(args) > 0 && shown == nil:
				return usageError{fmt.Errorf("%s has no route %q; %s", s.file, args[0], section.Nearest(args[0], known))}
			case asJSON && len(args) > 0:
				return p.writeJSON(shown[0])
			case asJSON:
				return p.writeJSON(shown)
			case len(args) > 0:
				p.showCapabilities(shown[0], kind)
			default:
				p.compareCapabilities(shown, kind)
			}
			return nil
		},
	}
	s.register(cmd)
	cmd.Flags().StringVar(&kind, "kind", "person", "kind of customers: person or organization")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, of both kinds")
	return cmd
}

func (p *program) writeJSON(v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return p.printJSON(data)
}

// ofKind returns what a route tells of a kind of customers.
func ofKind(c gateway.Capabilities, kind string) (k canonical.KindCapabilities, tells bool) {
	i := slices.IndexFunc(c.Kinds, func(k canonical.KindCapabilities) bool { return k.Kind == kind })
	if i < 0 {
		return k, false
	}
	return c.Kinds[i], true
}

// showCapabilities writes one route, a line for each field.
func (p *program) showCapabilities(c gateway.Capabilities, kind string) {
	paint := painterFor(p.out, p.environ)
	k, tells := ofKind(c, kind)
	switch {
	case !tells:
		fmt.Fprintf(p.out, "%s (%s) does not tell what it holds.\n", c.Route, c.Provider)
		return
	case k.Refused != "":
		fmt.Fprintf(p.out, "%s (%s) takes no customers of kind %s: %s\n", c.Route, c.Provider, kind, k.Refused)
		return
	}
	fmt.Fprintf(p.out, "%s (%s), customers of kind %s\n", c.Route, c.Provider, kind)
	t := table{colour: supportColour}
	t.add("FIELD", "SUPPORT", "REQUIRED", "MAX", "NOTES", "SENT AS")
	for _, f := range k.Fields {
		t.add(f.Field, string(f.Support), requirement(f.Required), length(f.MaxLength), orDash(printable(notes(f))), orDash(printable(strings.Join(f.To, ", "))))
	}
	t.write(p.out, paint, "")
}

// notes says what has no column of its own.
func notes(f canonical.Capability) string {
	var all []string
	if f.Or != nil {
		all = append(all, "or "+strings.Join(f.Or, ", "))
	}
	if f.Charset != "" {
		all = append(all, "may only have "+f.Charset)
	}
	if f.How != "" {
		all = append(all, f.How)
	}
	return strings.Join(all, "; ")
}

func requirement(r canonical.Requirement) string {
	switch r {
	case canonical.Required:
		return "yes"
	case canonical.RequiredInElement:
		return "in each element"
	case canonical.RequiredInObject:
		return "beside others"
	}
	return "-"
}

func length(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// supportColour colours the degrees of support.
func supportColour(_, column int, text string) string {
	word, _, _ := strings.Cut(text, " ")
	switch {
	case column == 0:
	case word == string(canonical.Held):
		return green
	case word == string(canonical.Lossy):
		return yellow
	case text == string(canonical.Unsupported), text == "-":
		return faint
	}
	return ""
}

// compareCapabilities writes all routes side by side.
func (p *program) compareCapabilities(all []gateway.Capabilities, kind string) {
	t := table{colour: supportColour}
	heading := []string{"FIELD"}
	fields := map[string][]string{} // cells by field
	for i, c := range all {
		heading = append(heading, c.Route)
		k, _ := ofKind(c, kind)
		for _, f := range k.Fields {
			if fields[f.Field] == nil {
				fields[f.Field] = slices.Repeat([]string{"-"}, len(all))
			}
			fields[f.Field][i] = inShort(f)
		}
	}
	t.add(heading...)
	for _, place := range canonical.Places() {
		if cells := fields[place.String()]; cells != nil {
			t.add(append([]string{place.String()}, cells...)...)
		}
	}
	t.write(p.out, painterFor(p.out, p.environ), "")
	fmt.Fprintln(p.out, "\n- not held   ! required   (!) required in each element, or beside others   <=N at most N characters   [] some characters only")
	for _, c := range all {
		if k, _ := ofKind(c, kind); k.Refused != "" {
			fmt.Fprintf(p.out, "%s takes no customers of kind %s: %s\n", c.Route, kind, k.Refused)
		}
	}
	fmt.Fprintln(p.out, "What is lost of a lossy field: customer-gateway capabilities ROUTE")
}

// inShort writes a capability in a cell.
func inShort(f canonical.Capability) string {
	if f.Support == canonical.Unsupported && f.Required == canonical.Optional {
		return "-"
	}
	s := string(f.Support)
	switch f.Required {
	case canonical.Required:
		s += " !"
	case canonical.RequiredInElement, canonical.RequiredInObject:
		s += " (!)"
	}
	if f.MaxLength > 0 {
		s += fmt.Sprintf(" <=%d", f.MaxLength)
	}
	if f.Charset != "" {
		s += " []"
	}
	return s
}
