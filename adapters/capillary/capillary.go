// Package capillary upserts customers at Capillary, a loyalty platform.
//
// API: https://docs.capillarytech.com/reference/customer-upsert-api, a wrapper
// around lookup, add, update and changeIdentifier that takes many customers and
// judges each by itself. What is inferred rather than published is said in the
// README and can be switched by settings.
package capillary

import (
	"net/http"
	"slices"
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

// The steps of an upsert.
const (
	opChange = "change_identifiers"
	opUpsert = "upsert"
)

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
	_ canonical.Batcher = (*Adapter)(nil)
	_ canonical.Keyer   = (*Adapter)(nil)
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

// Translate returns the one call of an upsert, a batch of one, or the change of
// identifiers that comes before it.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	follow := u.Follow
	u.Follow = false
	req, rows := a.TranslateBatch([]canonical.Upsert{u})
	notices, err := rows[0].Outcome.Notices, rows[0].Err
	switch {
	case err != nil || !follow:
	case a.config.SkipChangeIdentifier || !isID(u.RemoteID):
		notices = append(notices, a.Identity(u).Notice(name, u.RemoteID))
	default:
		req = a.change(u)
	}
	return req, notices, err
}

// TranslateBatch returns one call for all upserts but those that do better alone:
// one that shares an identifier with another, since Capillary refuses to work on
// one customer twice at a time, one whose identifiers are to be changed first, and
// one that makes the call unrepeatable.
func (a *Adapter) TranslateBatch(us []canonical.Upsert) (*canonical.Request, []canonical.Row) {
	req := &canonical.Request{
		Op:         opUpsert,
		Method:     http.MethodPost,
		Path:       a.path,
		Header:     a.header,
		Repeatable: a.config.RepeatAfterUnknown,
	}
	rows := make([]canonical.Row, len(us))
	body := canonical.List()
	together := call{many: len(us) > 1}
	for i, u := range us {
		m := a.customer(u)
		defer m.Close() // the body is encoded after the last one
		notices, err := m.Finish()
		if err != nil {
			rows[i].Err = err
			continue
		}
		if !together.admits(u, m.Body) {
			rows[i].Outcome.Next, rows[i].Outcome.Notices, rows[i].Err = a.Translate(u)
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

// call is the customers of one call.
type call struct {
	many bool // there may be more than one
	keys map[key]bool
}

// admits reports whether the customer may be in the call, and counts it in.
func (c *call) admits(u canonical.Upsert, customer canonical.Value) bool {
	if u.Follow || c.many && !converges(customer) {
		return false
	}
	if !c.many {
		return true
	}
	list := elements(identifiersIn(customer))
	of := func(id canonical.Value) key {
		kind, value := id.Get("type").Str(), id.Get("value").Str()
		if kind == "mobile" {
			return key{kind, digits(value)}
		}
		return key{kind, strings.ToLower(strings.TrimSpace(value))} // Capillary may compare so
	}
	if slices.ContainsFunc(list, func(id canonical.Value) bool { return c.keys[of(id)] }) {
		return false
	}
	if c.keys == nil {
		c.keys = map[key]bool{}
	}
	for _, id := range list {
		c.keys[of(id)] = true
	}
	return true
}

// converges reports whether sending the customer twice ends where sending it
// once does: points to add and referrals count each time.
func converges(customer canonical.Value) bool {
	return !customer.Has("loyaltyProgramEnrollments") && !customer.Has("referralCode")
}

// Interpret reads the reply to a batch of one, or to the change of identifiers
// before it.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	u.Follow = false
	if sent.Op == opChange {
		return a.changed(u, sent, got)
	}
	row := a.InterpretBatch([]canonical.Upsert{u}, sent, got)[0]
	return row.Outcome, row.Err
}

// InterpretBatch gives each upsert its own verdict. An answer about the whole
// call is the verdict of every customer in it, unless one of them may have given
// the reason for all.
func (a *Adapter) InterpretBatch(us []canonical.Upsert, sent *canonical.Request, got *canonical.Reply) []canonical.Row {
	rows := make([]canonical.Row, len(us))
	customers := a.customers(us, sent, rows)
	answer := read(got).about(customers, sent)
	for i, c := range customers {
		row := &rows[c.index]
		row.Outcome, row.Err = c.verdict(got, answer, i)
		if e := canonical.AsError(row.Err); len(customers) > 1 && e != nil && answer.undecided(sent, got, e) {
			*row = canonical.Row{}
			if e.UpstreamCode == codeBatchLimit {
				row.Outcome.Notices = []canonical.Notice{{Code: canonical.NoticeProvider, Message: "capillary takes fewer customers in one call than settings.batch_limit says"}}
			}
			row.Outcome.Next, _, row.Err = a.Translate(c.u)
		}
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
// the error that kept them out, or the request that they begin with.
func (a *Adapter) customers(us []canonical.Upsert, sent *canonical.Request, rows []canonical.Row) []sentCustomer {
	customers := make([]sentCustomer, 0, len(us))
	if len(us) == 1 && !us[0].Follow { // a lone upsert is in the request, with all its links
		return append(customers, sentCustomer{Adapter: a, u: us[0], sent: sent})
	}
	together := call{many: len(us) > 1}
	for i, u := range us {
		m := a.customer(u)
		_, err := m.Finish()
		links := m.Links()
		admitted := err == nil && together.admits(u, m.Body)
		m.Close()
		switch {
		case err != nil:
			rows[i].Err = err
		case !admitted:
			rows[i].Outcome.Next, _, rows[i].Err = a.Translate(u)
		default:
			own := *sent
			own.Links = links
			customers = append(customers, sentCustomer{Adapter: a, u: u, sent: &own, index: i})
		}
	}
	return customers
}
