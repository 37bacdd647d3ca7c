// Package capillary upserts customers at Capillary, a loyalty platform.
//
// API: https://docs.capillarytech.com/reference/customer-upsert-api, a wrapper
// around lookup, add, update and changeIdentifier that takes many customers and
// judges each by itself. What is inferred rather than published is said in the
// README and can be switched by settings.
package capillary

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"customer-gateway/adapters/capillary/sandbox"
	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

const name = "capillary"

// Provider is Capillary's row in the table of providers.
var Provider = provider.Provider{
	Name: name,
	Open: Open,
	Sandbox: func() emulator.Provider {
		return sandbox.New(sandbox.Options{})
	},
}

// Open checks a route's options and builds its adapter.
func Open(o provider.Options) (provider.Opened, error) {
	c := defaults()
	var cred credentials
	var faults section.Faults
	faults.Join(o.DecodeSettings(&c), o.DecodeCredentials(&cred))
	c.check(&faults)
	cred.check(&faults)
	if c.AttributionCode != "" && cred.TillUser != "" {
		faults.Add("settings.attribution_code", "works with client_key and client_secret only; a till's calls are attributed to the till")
	}
	if last := o.BaseURL.Path[strings.LastIndexByte(o.BaseURL.Path, '/')+1:]; last == "v1.1" || last == "v2" || last == "v3" {
		faults.Add("base_url", "must not end in /%s; the version is part of every path that is added", last)
	}
	if err := faults.Err(); err != nil {
		return provider.Opened{}, err
	}
	return provider.Opened{
		Adapter: New(c),
		Auth:    cred.auth(),
		// No quota is published for this call; those of the calls it wraps begin
		// at 50 a minute: https://docs.capillarytech.com/reference/rate-limits.
		Limit: provider.DefaultLimit{Rate: section.Rate{Count: 50, Per: time.Minute}, Burst: 10, Concurrency: 4},
	}, nil
}

// Adapter translates for one route.
type Adapter struct {
	config Config
	table  *mapping.Table
	path   string
	header http.Header
	// extensions are what is kept in extended fields.
	extensions []extension
}

var (
	_ canonical.Adapter = (*Adapter)(nil)
	_ canonical.Batcher = (*Adapter)(nil)
)

// New returns the adapter for a checked Config.
func New(c Config) *Adapter {
	a := &Adapter{config: c, table: c.table(), extensions: c.extensions(), header: http.Header{
		"Content-Type": {"application/json"},
		"Accept":       {"application/json"},
	}}
	// The default is not published, so that it is always stated.
	a.path = "/v2/integrations/customer/upsert/bulk?skipChangeIdentifier=" + strconv.FormatBool(c.SkipChangeIdentifier)
	if c.AttributionCode != "" {
		a.header.Set("X-CAP-API-ATTRIBUTION-ENTITY-TYPE", c.AttributionType)
		a.header.Set("X-CAP-API-ATTRIBUTION-ENTITY-CODE", c.AttributionCode)
	}
	return a
}

// Name returns "capillary".
func (a *Adapter) Name() string { return name }

// BatchLimit returns settings.batch_limit.
func (a *Adapter) BatchLimit() int { return a.config.BatchLimit }

// Translate returns the one call of an upsert: a batch of one.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	req, rows := a.TranslateBatch([]canonical.Upsert{u})
	return req, rows[0].Outcome.Notices, rows[0].Err
}

// TranslateBatch returns one call for all upserts. They must be of different
// customers: Capillary refuses to work on one twice at a time.
func (a *Adapter) TranslateBatch(us []canonical.Upsert) (*canonical.Request, []canonical.Row) {
	req := &canonical.Request{
		Op:         "upsert",
		Method:     http.MethodPost,
		Path:       a.path,
		Header:     a.header,
		Repeatable: a.config.RepeatAfterUnknown,
	}
	rows := make([]canonical.Row, len(us))
	body := canonical.List()
	for i, u := range us {
		m := a.customer(u)
		defer m.Close() // the body is encoded after the last one
		notices, err := m.Finish()
		if err != nil {
			rows[i].Err = err
			continue
		}
		rows[i].Outcome.Notices = notices
		body.Append(m.Body)
		if links := m.Links(); req.Links == nil {
			req.Links = links
		} else {
			req.Links = append(req.Links, links...)
		}
		req.Repeatable = req.Repeatable && converges(m.Body)
	}
	if body.Len() == 0 {
		return nil, rows
	}
	req.Body = body.Encode()
	return req, rows
}

// converges reports whether sending the customer twice ends where sending it
// once does: points to add and referrals count each time.
func converges(customer canonical.Value) bool {
	return !customer.Has("loyaltyProgramEnrollments") && !customer.Has("referralCode")
}

// Interpret reads the reply to a batch of one.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	row := a.InterpretBatch([]canonical.Upsert{u}, sent, got)[0]
	return row.Outcome, row.Err
}

// InterpretBatch gives each upsert its own verdict. An answer about the whole
// call is the verdict of every customer in it.
func (a *Adapter) InterpretBatch(us []canonical.Upsert, sent *canonical.Request, got *canonical.Reply) []canonical.Row {
	rows := make([]canonical.Row, len(us))
	customers := a.customers(us, sent, rows)
	answer := read(got).about(customers, sent)
	for i, c := range customers {
		rows[c.index].Outcome, rows[c.index].Err = c.verdict(got, answer, i)
	}
	return rows
}

// sentCustomer is one customer of a request and how it was sent.
type sentCustomer struct {
	*Adapter
	u     canonical.Upsert
	sent  *canonical.Request // with the links of this customer only
	index int                // in the batch
}

// customers lists those upserts that are in the request, and gives the others
// the error that kept them out.
func (a *Adapter) customers(us []canonical.Upsert, sent *canonical.Request, rows []canonical.Row) []sentCustomer {
	customers := make([]sentCustomer, 0, len(us))
	for i, u := range us {
		c := sentCustomer{Adapter: a, u: u, sent: sent, index: i}
		if len(us) > 1 { // a lone upsert is in the request, with all its links
			m := a.customer(u)
			_, err := m.Finish()
			links := m.Links()
			m.Close()
			if err != nil {
				rows[i].Err = err
				continue
			}
			own := *sent
			own.Links = links
			c.sent = &own
		}
		customers = append(customers, c)
	}
	return customers
}
