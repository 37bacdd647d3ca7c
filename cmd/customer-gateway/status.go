package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"customer-gateway/canonical"
)

// statusCommand shows how a running gateway's routes are, or a customer's.
func (p *program) statusCommand() *cobra.Command {
	var t target
	var customer string
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the routes of a running gateway and what they still have to do",
		Long: `Show every route of a running gateway that the API key may use: whether it is open,
how many customers wait, are being delivered or are dead letters, and since when the
oldest waits. With --customer, show how far each route is with that customer.

Exit code 0: the gateway has answered. 1: it has not; with --check also if it is not
ready, a route is paused, refused or resting, or there is a dead letter.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.dial(t)
			if err != nil {
				return err
			}
			defer c.close()
			var wrong []string
			if cmd.Flags().Changed("customer") {
				wrong, err = p.customerStatus(cmd.Context(), c, customer, asJSON)
			} else {
				wrong, err = p.routeStatus(cmd.Context(), c, asJSON)
			}
			if err == nil && check && wrong != nil {
				return fmt.Errorf("needs attention: %s", strings.Join(wrong, "; "))
			}
			return err
		},
	}
	t.register(cmd)
	cmd.Flags().StringVar(&customer, "customer", "", "show this customer, by its id")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the gateway's JSON")
	cmd.Flags().BoolVar(&check, "check", false, "exit with 1 if something needs attention")
	return cmd
}

// routeState is one route as GET /v1/routes tells it.
type routeState struct {
	Route    string `json:"route"`
	Provider string `json:"provider"`
	State    struct {
		Breaker   string    `json:"breaker"`
		OpenUntil time.Time `json:"openUntil"`
		Gate      string    `json:"gate"`
		Reason    string    `json:"reason"`
		Until     time.Time `json:"until"`
	} `json:"state"`
	Backlog *struct {
		Due    int       `json:"due"`
		Active int       `json:"active"`
		Dead   int       `json:"dead"`
		Oldest time.Time `json:"oldest"`
	} `json:"backlog"` // nil without a ledger
}

// stateOK is shown of a route that is open.
const stateOK = "ok"

// words says how the route is, and whether somebody should look at it.
func (r *routeState) words(now time.Time) (state string, wrong bool) {
	until := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return fmt.Sprintf(" until %s (%s)", t.UTC().Format(time.TimeOnly+"Z"), age(t, now))
	}
	switch s := &r.State; {
	case s.Gate == "paused" && s.Reason != "":
		return "paused: " + s.Reason, true
	case s.Gate == "paused":
		return "paused", true
	case s.Gate == "credential":
		return "credential refused", true
	case s.Breaker == "open":
		return "breaker open" + until(s.OpenUntil), true
	case s.Breaker == "half_open":
		return "breaker half open", true
	case s.Gate == "not_before":
		return "throttled" + until(s.Until), false
	case s.Gate != "":
		return s.Gate + until(s.Until), true
	}
	return stateOK, false
}

func (p *program) routeStatus(ctx context.Context, c *client, asJSON bool) (wrong []string, err error) {
	var routes []routeState
	answer, now, err := c.get(ctx, "/v1/routes", nil, &routes)
	if err != nil {
		return nil, err
	}
	_, _, err = c.call(ctx, http.MethodGet, "/readyz", nil, nil)
	unready, _ := errors.AsType[*refusedError](err)
	if err != nil && unready == nil {
		return nil, err
	}
	if unready != nil {
		wrong = append(wrong, "the gateway is not ready: "+printable(unready.problem.Detail))
	}
	t := table{}
	t.add("ROUTE", "PROVIDER", "STATE", "DUE", "ACTIVE", "DEAD", "OLDEST")
	kept, closed := false, map[int]bool{}
	for _, r := range routes {
		state, bad := r.words(now)
		if bad {
			wrong = append(wrong, r.Route+": "+printable(state))
		}
		row := []string{printable(r.Route), printable(r.Provider), printable(state), "-", "-", "-", "-"}
		if b := r.Backlog; b != nil {
			kept = true
			row = append(row[:3], strconv.Itoa(b.Due), strconv.Itoa(b.Active), strconv.Itoa(b.Dead), age(now, b.Oldest))
			if b.Dead > 0 {
				wrong = append(wrong, r.Route+": "+count(b.Dead, "dead letter"))
			}
		}
		closed[len(t.rows)] = bad
		t.add(row...)
	}
	if asJSON {
		return wrong, p.printJSON(answer)
	}
	t.colour = func(row, column int, text string) string {
		switch {
		case column == 2 && text == stateOK:
			return green
		case column == 2 && closed[row], column == 5 && text != "0" && text != "-":
			return red
		case column == 2:
			return yellow
		}
		return ""
	}
	paint := painterFor(p.out, p.environ)
	if unready != nil {
		fmt.Fprintln(p.out, paint.paint(red, wrong[0]))
	}
	t.write(p.out, paint, "")
	switch {
	case len(routes) == 0:
		fmt.Fprintln(p.out, "The API key may use none of the routes.")
	case !kept:
		fmt.Fprintln(p.out, "This gateway has no ledger (ledger.driver: none): it keeps nothing, so nothing waits and nothing is a dead letter.")
	}
	return wrong, nil
}

// syncState is how far one route is with a customer, as GET /v1/customers/{id}
// tells it.
type syncState struct {
	Route          string    `json:"route"`
	Provider       string    `json:"provider"`
	State          string    `json:"state"`
	DesiredVersion int64     `json:"desiredVersion"`
	AppliedVersion int64     `json:"appliedVersion"`
	RemoteID       string    `json:"remoteId"`
	Attempts       int       `json:"attempts"`
	NextAttemptAt  time.Time `json:"nextAttemptAt"`
	Error          *problem  `json:"error"`
}

func (p *program) customerStatus(ctx context.Context, c *client, id string, asJSON bool) (wrong []string, err error) {
	if err := canonical.CheckID(id); err != nil {
		return nil, usageError{fmt.Errorf("--customer %w", err)}
	}
	var customer struct {
		CustomerID string      `json:"customerId"`
		Version    int64       `json:"version"`
		Routes     []syncState `json:"routes"`
	}
	answer, now, err := c.get(ctx, "/v1/customers/"+url.PathEscape(id), nil, &customer)
	if err != nil {
		return nil, err
	}
	t := table{colour: func(_, column int, text string) string {
		if column != 2 {
			return ""
		}
		return map[string]string{"synced": green, "pending": yellow, "dead": red}[text]
	}}
	t.add("ROUTE", "PROVIDER", "STATE", "VERSION", "CONFIRMED", "REMOTE ID", "ATTEMPTS", "NEXT ATTEMPT", "ERROR")
	for _, r := range customer.Routes {
		applied, next, code := "-", "-", "-"
		if r.AppliedVersion != 0 {
			applied = strconv.FormatInt(r.AppliedVersion, 10)
		}
		switch {
		case r.NextAttemptAt.IsZero():
		case r.NextAttemptAt.After(now):
			next = "in " + age(r.NextAttemptAt, now)
		default:
			next = "now"
		}
		if r.Error != nil {
			code = string(r.Error.Code)
		}
		if r.State == "dead" {
			wrong = append(wrong, printable(r.Route)+": a dead letter, "+printable(code))
		}
		t.add(printable(r.Route), orDash(printable(r.Provider)), printable(r.State), strconv.FormatInt(r.DesiredVersion, 10), applied,
			orDash(printable(r.RemoteID)), strconv.Itoa(r.Attempts), next, printable(code))
	}
	if asJSON {
		return wrong, p.printJSON(answer)
	}
	fmt.Fprintf(p.out, "%s, version %d\n", printable(customer.CustomerID), customer.Version)
	t.write(p.out, painterFor(p.out, p.environ), "")
	for _, r := range customer.Routes {
		if r.Error != nil {
			fmt.Fprintf(p.out, "%s: %s\n", printable(r.Route), explain(r.Error))
		}
	}
	return wrong, nil
}

// explain writes out what a problem says, without its code.
func explain(e *problem) string {
	text := e.Detail
	for _, f := range e.Errors {
		where := f.Pointer
		if where == "" {
			where = f.Field
		}
		text += "; " + strings.TrimPrefix(where+": ", ": ") + f.Message
	}
	return printable(text)
}

// count writes a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
