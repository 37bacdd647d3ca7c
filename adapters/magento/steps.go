package magento

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
)

// The steps of an upsert. Each is taken once at most, in this order, so that the
// chain ends: a remembered id is read and updated; if the shop does not know it,
// the customer is searched, then updated or created; if the creation finds the
// e-mail address taken, the search is done once more.
const (
	opRead        = "read"
	opUpdate      = "update"
	opSearch      = "search"
	opReadFound   = "read_found"
	opUpdateFound = "update_found"
	opCreate      = "create"
	opSearchAgain = "search_again"
	opReadAgain   = "read_again"
	opUpdateAgain = "update_again"
)

// updateAfter gives the update that follows a step.
var updateAfter = map[string]string{
	opRead: opUpdate, opSearch: opUpdateFound, opReadFound: opUpdateFound, opSearchAgain: opUpdateAgain, opReadAgain: opUpdateAgain,
}

// Translate checks the whole customer and returns the first call: a read or an
// update of a known record, else the search.
func (a *Adapter) Translate(u canonical.Upsert) (*canonical.Request, []canonical.Notice, error) {
	if u.RemoteID != "" && recordID(u.RemoteID) == "" {
		return nil, nil, a.badID(u)
	}
	first, notices, err := a.save(u, u.RemoteID, canonical.Value{}, opUpdate)
	switch {
	case err != nil:
		return nil, nil, err
	case u.RemoteID == "":
		first = a.search(first, opSearch)
	case a.mustRead(u):
		first = a.readRecord(u.RemoteID, opRead)
	}
	return first, notices, nil
}

// recordID returns s in its plain form if it is an id that Magento gives: a
// positive whole number. A path with anything else would create a customer
// silently.
func recordID(s string) string {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

// badID refuses a remote id that Magento cannot have given.
func (a *Adapter) badID(u canonical.Upsert) error {
	pointer := "/externalIds"
	for _, x := range u.Customer.ExternalIDs.Value() {
		if x.ID == u.RemoteID {
			pointer = canonical.JoinPointer(pointer, x.Route)
			break
		}
	}
	return mapping.Unfit(name, canonical.FieldError{Pointer: pointer, Field: "id", Code: canonical.FieldInvalid,
		Message: "magento: id must be a positive whole number, as the shop gives it"})
}

// mustRead reports whether the record must be known before it is written: a list
// of addresses that is sent replaces them all, and only ids keep them; releases
// before 2.4 reset the group and the store view unless they are sent.
func (a *Adapter) mustRead(u canonical.Upsert) bool {
	return !a.config.Exclusive && (a.config.Version == "2.3" || a.ownsAddresses(u) && len(u.Customer.Addresses.Value()) > 0)
}

func (a *Adapter) readRecord(id, op string) *canonical.Request {
	return &canonical.Request{Op: op, Method: http.MethodGet, Path: a.base + "/customers/" + id, Header: a.read, Repeatable: true}
}

// search looks for the customer that draft would create, by e-mail address and
// website. It asks for two, so that one of many is never taken for the one.
func (a *Adapter) search(draft *canonical.Request, op string) *canonical.Request {
	var q strings.Builder
	add := func(key, value string) {
		if q.Len() > 0 {
			q.WriteByte('&')
		}
		q.WriteString(url.QueryEscape("searchCriteria"+key) + "=" + url.QueryEscape(value))
	}
	email, website := a.identity(draft)
	for i, f := range []struct{ field, value string }{{"email", email}, {"website_id", website}} {
		if f.value == "" {
			continue
		}
		filter := "[filterGroups][" + strconv.Itoa(i) + "][filters][0]"
		add(filter+"[field]", f.field)
		add(filter+"[value]", f.value)
		add(filter+"[conditionType]", "eq")
	}
	add("[pageSize]", "2")
	add("[currentPage]", "1")
	r := &canonical.Request{Op: op, Method: http.MethodGet, Path: a.base + "/customers/search?" + q.String(), Header: a.read, Repeatable: true}
	for _, l := range draft.Links {
		if l.To == "email" || l.To == "website_id" {
			r.Links = append(r.Links, l)
		}
	}
	return r
}

// identity returns what tells the customer of draft from all others: the e-mail
// address, and the website unless accounts are shared between websites.
func (a *Adapter) identity(draft *canonical.Request) (email, website string) {
	customer := sentCustomer(draft)
	if !a.config.GlobalAccounts {
		website = customer.Get("website_id").Str()
	}
	return customer.Get("email").Str(), website
}

// sentCustomer returns the customer in a request's body.
func sentCustomer(sent *canonical.Request) canonical.Value {
	body, _ := canonical.ParseLenient(sent.Body)
	return body.Get("customer")
}

// save writes the customer: as a new record, or over the one of id. held is that
// record as far as it has been read.
func (a *Adapter) save(u canonical.Upsert, id string, held canonical.Value, op string) (*canonical.Request, []canonical.Notice, error) {
	m := a.table.Start(u)
	defer m.Close()
	a.customer(m, u, recordID(id), held)
	a.mergeData(m, u)
	notices, err := m.Finish()
	if err != nil {
		return nil, nil, err
	}
	body := canonical.NewObject(1)
	body.Set("customer", m.Body)
	r := &canonical.Request{
		Op:     op,
		Method: http.MethodPut,
		Path:   a.base + "/customers/" + recordID(id),
		Header: a.write,
		Body:   body.Encode(),
		// A repeated update gives the same record; only addresses that are new to
		// the shop get other ids, which nobody has seen yet. A repeated creation
		// is refused, because the e-mail address is taken, and becomes an update.
		Repeatable: true,
		Links:      m.Links(),
	}
	if id == "" {
		r.Op, r.Method, r.Path = opCreate, http.MethodPost, a.base+"/customers"
	}
	return r, notices, nil
}

// Interpret reads the reply.
func (a *Adapter) Interpret(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	if got.Status < 200 || got.Status > 299 {
		return a.refused(u, sent, got)
	}
	switch sent.Op {
	case opSearch, opSearchAgain:
		return a.searched(u, sent, got)
	case opRead, opReadFound, opReadAgain:
		return a.wasRead(u, sent, got)
	}
	return a.saved(u, sent, got)
}

// refused continues the upsert where a refusal is only news about the record.
func (a *Adapter) refused(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	e, unknown := a.failure(u, sent, got)
	op := ""
	switch {
	case unknown && (sent.Op == opRead || sent.Op == opUpdate): // the remembered id is gone
		op = opSearch
	case e.Code == canonical.UpstreamDuplicate && sent.Op == opCreate: // somebody else created it just now
		op = opSearchAgain
	default:
		return canonical.Outcome{}, e
	}
	draft, _, err := a.save(u, "", canonical.Value{}, opCreate)
	if err != nil {
		return canonical.Outcome{}, err
	}
	return canonical.Outcome{Next: a.search(draft, op)}, nil
}

// next writes over the record that was found or read.
func (a *Adapter) next(u canonical.Upsert, id string, held canonical.Value, op string) (canonical.Outcome, error) {
	r, _, err := a.save(u, id, held, op)
	if err != nil {
		return canonical.Outcome{}, err
	}
	return canonical.Outcome{Next: r}, nil
}

// searched decides between creation and update. Anything that is not clearly a
// search result of this customer ends the upsert: it must not create.
func (a *Adapter) searched(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	draft, _, err := a.save(u, "", canonical.Value{}, opCreate)
	if err != nil {
		return canonical.Outcome{}, err
	}
	email, website := a.identity(draft)
	items, total, problem := results(got, email, website)
	switch {
	case problem != "":
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, problem)
	case total > 1:
		e := canonical.Refusal(name, sent, got, canonical.UpstreamIdentityConflict, "the shop has several customers with this e-mail address; set settings.website_id and turn settings.global_accounts off to tell them apart")
		e.Fields = a.taken(u, sent, e.Message)
		return canonical.Outcome{}, e
	case total == 0 && sent.Op == opSearchAgain:
		e := canonical.Refusal(name, sent, got, canonical.UpstreamDuplicate, "the e-mail address is taken, but not by a customer of this website: if the shop shares accounts between websites, set settings.global_accounts")
		e.Fields = a.taken(u, sent, e.Message)
		return canonical.Outcome{}, e
	case total == 0:
		return canonical.Outcome{Next: draft}, nil
	}
	held := items.At(0)
	id := recordID(held.Get("id").Str())
	if a.mustRead(u) && !listsAddresses(held) {
		op := opReadFound
		if sent.Op == opSearchAgain {
			op = opReadAgain
		}
		return canonical.Outcome{RemoteID: id, Next: a.readRecord(id, op)}, nil
	}
	if problem := unreadable(held); problem != "" && a.mustRead(u) {
		return canonical.Outcome{RemoteID: id}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, problem)
	}
	return a.next(u, id, held, updateAfter[sent.Op])
}

// results reads a search result and returns what is wrong with it, if anything.
func results(got *canonical.Reply, email, website string) (items canonical.Value, total int64, problem string) {
	body, ok := got.JSON()
	items = body.Get("items")
	total, err := strconv.ParseInt(body.Get("total_count").Str(), 10, 64)
	switch {
	case !ok || body.Kind() != canonical.KindObject:
		return items, 0, "the answer to the search is not a JSON object; check base_url"
	case err != nil || total < 0 || items.Kind() != canonical.KindArray && (items.Kind() != canonical.KindNull || total > 0):
		return items, 0, "the answer to the search has no items or no total_count"
	case int64(items.Len()) != min(total, 2) && int64(items.Len()) != total:
		return items, 0, "the answer to the search has another number of items than its total_count says"
	}
	for i := range items.Len() {
		item := items.At(i)
		switch at := item.Get("website_id").Str(); {
		case recordID(item.Get("id").Str()) == "":
			return items, 0, "the answer to the search has an item without an id"
		case !strings.EqualFold(item.Get("email").Str(), email), website != "" && at != "" && at != website:
			return items, 0, "the answer to the search has another customer than was asked for; check that nothing in front of the shop drops the query"
		}
	}
	return items, total, ""
}

// wasRead continues with the update of the record that was read.
func (a *Adapter) wasRead(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	id := idIn(sent)
	held, _ := got.JSON()
	if recordID(held.Get("id").Str()) != id {
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not the customer that was asked for; check base_url")
	}
	if problem := unreadable(held); problem != "" {
		return canonical.Outcome{RemoteID: id}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, problem)
	}
	out, err := a.next(u, id, held, updateAfter[sent.Op])
	if err != nil {
		return canonical.Outcome{}, err
	}
	if _, want := a.identity(out.Next); want != "" && held.Has("website_id") && held.Get("website_id").Str() != want { // the update would move it
		e := canonical.Refusal(name, sent, got, canonical.UpstreamIdentityConflict, "the remote id belongs to a customer of another website than the route writes to")
		fe := a.table.Locate(u, out.Next, "website_id")
		fe.Code, fe.Message = canonical.FieldInvalid, e.Message
		e.Fields = []canonical.FieldError{fe}
		return canonical.Outcome{RemoteID: id}, e
	}
	return out, nil
}

// idIn returns the record id in a request's path; "" for a creation.
func idIn(sent *canonical.Request) string {
	return recordID(sent.Path[strings.LastIndexByte(sent.Path, '/')+1:])
}

// saved accepts only the customer itself as proof.
func (a *Adapter) saved(u canonical.Upsert, sent *canonical.Request, got *canonical.Reply) (canonical.Outcome, error) {
	body, _ := got.JSON()
	id, want := recordID(body.Get("id").Str()), idIn(sent)
	switch {
	case body.Has("bulk_uuid"):
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamMisconfigured, "the shop has only queued the customer; base_url leads to its asynchronous API")
	case id == "":
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, "the answer is not a customer with an id; check base_url")
	case want != "" && id != want:
		return canonical.Outcome{}, canonical.Refusal(name, sent, got, canonical.UpstreamIdentityConflict, "the shop answered with another customer than the one that was written")
	}
	out := canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: id, Notices: a.lostRegions(u, sent, body.Get("addresses"))}
	if want != "" {
		return out, nil
	}
	out.Action = canonical.ActionCreated
	if e := a.dropped(u, sent, got, body.Get("addresses")); e != nil {
		return out, e
	}
	return out, nil
}
