package capillary

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// Identity returns the identifiers of the profile: Capillary looks the customer up
// by each of them.
func (a *Adapter) Identity(u canonical.Upsert) canonical.Identity {
	m := a.keysOnly(u)
	defer m.Close()
	id := canonical.Identity{Customer: u.ID, Fixed: a.config.SkipChangeIdentifier}
	links := m.Links()
	list := identifiersIn(m.Body)
	for i := range list.Len() {
		kind, value := list.At(i).Get("type").Str(), list.At(i).Get("value").Str()
		if kind == "" || value == "" { // refused by Translate
			continue
		}
		id.Keys = append(id.Keys, canonical.IdentityKey{
			Text: kind + " " + value, Pointer: identifierFrom(u.Customer, links, i), Field: "profiles[0].identifiers[" + strconv.Itoa(i) + "].value",
		})
	}
	return id
}

// keysOnly maps the identifiers of a customer and what providerData lays over
// them. Its caller closes the mapper.
func (a *Adapter) keysOnly(u canonical.Upsert) *mapping.Mapper {
	m := a.table.Start(u)
	a.identifiers(m, u)
	for _, d := range u.ProviderData {
		merge(m, d)
	}
	return m
}

// identifiersIn returns the identifiers of a customer as it is sent.
func identifiersIn(customer canonical.Value) canonical.Value {
	return elem(customer.Get("profiles"), 0).Get("identifiers")
}

// identifierFrom returns the pointer of what the i-th identifier was made of.
func identifierFrom(c *canonical.Customer, links []canonical.Link, i int) string {
	const list = "profiles[0].identifiers"
	pointer := ""
	for _, l := range links {
		switch {
		case l.Data != "" && l.To == list: // it replaces the whole list
			pointer = canonical.JoinPointer(l.Data, strconv.Itoa(i), "value")
		case int(l.ToIndex) == i && strings.HasPrefix(l.To, list+"[") && strings.HasSuffix(l.To, "].value"):
			pointer = l.Pointer(c)
		}
	}
	return pointer
}

// change gives the record the identifiers of the upsert, by which that finds it
// then. Those that it had are known to nobody here and stay, unless one of the
// same type takes their place:
// https://docs.capillarytech.com/reference/linkdelink-card.
func (a *Adapter) change(u canonical.Upsert) *canonical.Request {
	m := a.keysOnly(u)
	defer m.Close()
	add, all := canonical.List(), identifiersIn(m.Body)
	for i := range all.Len() {
		if all.At(i).Get("type").Str() != "cardnumber" { // cards are issued by the upsert
			add.Append(all.At(i))
		}
	}
	if add.Len() == 0 {
		add = all
	}
	body := canonical.NewObject(1)
	body.Set("add", add)
	path := "/v2/customers/" + u.RemoteID + "/changeIdentifier?source=" + url.QueryEscape(a.config.Source)
	if a.config.AccountID != "" {
		path += "&accountId=" + url.QueryEscape(a.config.AccountID)
	}
	return &canonical.Request{
		Op:     opChange,
		Method: http.MethodPost,
		Path:   path,
		Header: a.header,
		Body:   body.Encode(),
		// What is attached already is a warning.
		Repeatable: a.config.RepeatAfterUnknown,
		Links:      m.Links(), // as in the upsert, so that complaints find them
	}
}

// changed goes on with the upsert once the record has the identifiers.
func (a *Adapter) changed(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	c := sentCustomer{Adapter: a, u: u, sent: sent}
	answer := read(got)
	body, _ := got.JSON()
	bad, id := answer.issues, ""
	_, benign := judge(issues(body.Get("warnings")))
	if len(answer.rows) == 1 {
		row := answer.rows[0]
		var serious []issue
		serious, benign = judge(issues(row.Get("warnings")))
		bad = append(append(bad, issues(row.Get("errors"))...), serious...)
		id = entityID(row)
	}
	switch {
	case len(bad) > 0 || got.Status/100 != 2:
		return canonical.Outcome{}, c.refusal(got, answer.known, bad)
	case !answer.known:
		return canonical.Outcome{}, c.fail(got, canonical.CodeForPage(got), "the answer is not JSON; check base_url")
	case id == "" && body.Get("success").Str() != "true":
		return canonical.Outcome{}, c.fail(got, canonical.UpstreamInvalidResponse, "the answer does not say that the identifiers were changed")
	}
	next, _, err := a.Translate(u)
	return canonical.Outcome{RemoteID: id, Notices: notices(benign), Next: next}, err
}
