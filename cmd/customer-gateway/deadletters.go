package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

// letterFilter is the flags that choose dead letters.
type letterFilter struct{ route, code, customer, since, until string }

func (f *letterFilter) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.route, "route", "", "only those of this route")
	cmd.Flags().StringVar(&f.code, "code", "", "only those with this error code")
	cmd.Flags().StringVar(&f.customer, "customer", "", "only those of this customer")
	cmd.Flags().StringVar(&f.since, "since", "", "only those that died since: 24h, or 2026-01-31T12:00:00Z")
	cmd.Flags().StringVar(&f.until, "until", "", "only those that died before: 1h, or 2026-01-31T12:00:00Z")
}

// members returns what is stated, by the API's names.
func (f *letterFilter) members(now time.Time) (map[string]string, error) {
	stated := map[string]string{"route": f.route, "code": f.code, "customer": f.customer, "since": f.since, "until": f.until}
	for name, value := range stated {
		switch {
		case value == "":
			delete(stated, name)
		case name == "since" || name == "until":
			at, err := moment(value, now)
			if err != nil {
				return nil, usageError{fmt.Errorf("--%s %w", name, err)}
			}
			stated[name] = at.UTC().Format(time.RFC3339Nano)
		}
	}
	return stated, nil
}

// moment reads a time in RFC 3339, or how long ago it was.
func moment(s string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a duration, such as 24h, nor a time with its zone, such as 2026-01-31T12:00:00Z", s)
	}
	return at, nil
}

// maxPage is how many dead letters the gateway lists at once.
const maxPage = 1000

// deadLettersCommand lists what no provider took.
func (p *program) deadLettersCommand() *cobra.Command {
	var t target
	var f letterFilter
	var limit int
	var asJSON, history bool
	cmd := &cobra.Command{
		Use:   "dead-letters",
		Short: "List the states that a provider refused for good or never took",
		Long: `List dead letters, the oldest first: the newest state of a customer that a route's
provider refused for good, or that was tried until retry.max_age. A newer upsert of
the customer takes a dead letter away; replay sends it again.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usageError{fmt.Errorf("--limit must be at least 1, not %d", limit)}
			}
			stated, err := f.members(time.Now())
			if err != nil {
				return err
			}
			c, err := p.dial(t)
			if err != nil {
				return err
			}
			defer c.close()
			list, err := c.deadLetters(cmd.Context(), stated, limit)
			if err != nil {
				return err
			}
			if asJSON {
				answer, err := json.Marshal(list)
				if err != nil {
					return err
				}
				return p.printJSON(answer)
			}
			return p.showDeadLetters(list, history)
		},
	}
	t.register(cmd)
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "list at most so many")
	cmd.Flags().BoolVar(&history, "history", false, "show each attempt")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the gateway's JSON")
	return cmd
}

// deadLetterList is a list of dead letters, as the gateway writes it.
type deadLetterList struct {
	DeadLetters []json.RawMessage `json:"deadLetters"`
	Next        string            `json:"next,omitempty"` // set if there are more
	now         time.Time
}

// deadLetters reads as many pages as the limit takes.
func (c *client) deadLetters(ctx context.Context, stated map[string]string, limit int) (*deadLetterList, error) {
	query := url.Values{}
	for name, value := range stated {
		query.Set(name, value)
	}
	list := &deadLetterList{DeadLetters: []json.RawMessage{}}
	for {
		query.Set("limit", strconv.Itoa(min(limit-len(list.DeadLetters), maxPage)))
		var page deadLetterList
		_, now, err := c.get(ctx, "/v1/dead-letters", query, &page)
		if err != nil {
			return nil, err
		}
		list.DeadLetters = append(list.DeadLetters, page.DeadLetters...)
		list.Next, list.now = page.Next, now
		if page.Next == "" || len(page.DeadLetters) == 0 || len(list.DeadLetters) >= limit {
			return list, nil
		}
		query.Set("cursor", page.Next)
	}
}

// deadLetter is one of them.
type deadLetter struct {
	Route       string    `json:"route"`
	CustomerID  string    `json:"customerId"`
	OperationID string    `json:"operationId"`
	DiedAt      time.Time `json:"diedAt"`
	Attempts    int       `json:"attempts"`
	Error       *problem  `json:"error"`
	History     []struct {
		At           time.Time `json:"at"`
		Attempt      int       `json:"attempt"`
		Requests     int       `json:"requests"`
		Op           string    `json:"op"`
		Code         string    `json:"code"`
		Status       int       `json:"status"`
		UpstreamCode string    `json:"upstreamCode"`
		RequestID    string    `json:"requestId"`
		TookMS       int64     `json:"tookMs"`
	} `json:"history"`
}

func (p *program) showDeadLetters(list *deadLetterList, history bool) error {
	if len(list.DeadLetters) == 0 {
		fmt.Fprintln(p.out, "There are no dead letters that match.")
		return nil
	}
	paint := painterFor(p.out, p.environ)
	t := table{colour: func(_, column int, _ string) string {
		if column == 2 {
			return red
		}
		return ""
	}}
	t.add("ROUTE", "CUSTOMER", "CODE", "ATTEMPTS", "AGE", "MESSAGE")
	for _, raw := range list.DeadLetters {
		var d deadLetter
		if err := json.Unmarshal(raw, &d); err != nil {
			return fmt.Errorf("a dead letter cannot be read: %w; --json prints it as it is", err)
		}
		code, message := "-", "-"
		if d.Error != nil {
			code, message = printable(string(d.Error.Code)), explain(d.Error)
		}
		if history {
			fmt.Fprintf(p.out, "%s  %s  %s  %s, %s ago\n", paint.paint(bold, printable(d.Route)), printable(d.CustomerID), paint.paint(red, code), printable(d.OperationID), age(list.now, d.DiedAt))
			fmt.Fprintf(p.out, "  %s\n", message)
			d.showHistory(p, paint)
			continue
		}
		t.add(printable(d.Route), printable(d.CustomerID), code, strconv.Itoa(d.Attempts), age(list.now, d.DiedAt), shorten(message, 120))
	}
	if !history {
		t.write(p.out, paint, "")
	}
	if list.Next != "" {
		fmt.Fprintf(p.out, "There are more: raise --limit, or narrow with --route, --code, --customer, --since and --until.\n")
	}
	return nil
}

// showHistory writes a line for each attempt.
func (d *deadLetter) showHistory(p *program, paint painter) {
	t := table{}
	t.add("AT", "ATTEMPT", "REQUESTS", "STEP", "CODE", "STATUS", "PROVIDER'S CODE", "REQUEST ID", "TOOK")
	for _, h := range d.History {
		status := "-"
		if h.Status != 0 {
			status = strconv.Itoa(h.Status)
		}
		t.add(h.At.UTC().Format(time.RFC3339), strconv.Itoa(h.Attempt), strconv.Itoa(h.Requests), orDash(printable(h.Op)), orDash(printable(h.Code)), status,
			orDash(printable(h.UpstreamCode)), orDash(printable(h.RequestID)), (time.Duration(h.TookMS) * time.Millisecond).String())
	}
	if len(d.History) > 0 {
		t.write(p.out, paint, "    ")
	}
}
