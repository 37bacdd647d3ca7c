// Package magento upserts customers at a Magento 2 or Adobe Commerce shop.
//
// API: https://developer.adobe.com/commerce/webapi/rest/quick-reference/
// (customerCustomerRepositoryV1). What is inferred rather than published is said
// in the README and can be switched by settings.
package magento

import (
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"customer-gateway/adapters/emulator"
	"customer-gateway/adapters/magento/sandbox"
	"customer-gateway/adapters/provider"
	"customer-gateway/canonical"
	"customer-gateway/canonical/mapping"
	"customer-gateway/config/section"
)

const name = "magento"

// Provider is Magento's row in the table of providers.
var Provider = provider.Provider{
	Name: name,
	Open: Open,
	Sandbox: func() emulator.Provider {
		return sandbox.New(sandbox.Options{})
	},
}

// Config is a route's settings.
type Config struct {
	// Store is the code of the store view that the calls go to, or "all"; empty
	// for the shop's default view.
	Store string `koanf:"store"`
	// WebsiteID is the website that the customers belong to. E-mail addresses
	// are unique per website.
	WebsiteID int64 `koanf:"website_id"`
	// GlobalAccounts says that the shop shares accounts between its websites:
	// customers are searched in all of them.
	GlobalAccounts bool `koanf:"global_accounts"`
	// StoreID and GroupID are the store view and the group of new customers; 0
	// leaves the choice to the shop.
	StoreID int64 `koanf:"store_id"`
	GroupID int64 `koanf:"group_id"`
	// Groups gives customers the group of their customerType, at every write.
	Groups map[string]int64 `koanf:"groups"`
	// DisableAutoGroupChange, if stated, says whether the shop's VAT check may
	// move a customer to another group.
	DisableAutoGroupChange *bool `koanf:"disable_auto_group_change"`
	// Version has the rules of the shop's release for names and cities: "2.4"
	// (default, for all up to 2.4.7) or "2.4.8".
	Version string `koanf:"version"`
	// StreetLines is the shop's number of lines in a street address.
	StreetLines int `koanf:"street_lines"`
	// RequireTelephone says that the shop insists on a telephone number in
	// addresses.
	RequireTelephone bool `koanf:"require_telephone"`
	// TelephoneFallback gives an address without a number the customer's own.
	TelephoneFallback bool `koanf:"telephone_fallback"`
	// Require lists further fields that the shop insists on.
	Require []string `koanf:"require"`
	// OptionalPostcode lists the countries whose addresses need no postal code.
	OptionalPostcode []string `koanf:"optional_postcode"`
	// RegionIDs gives the shop's ids of regions: "US-NY" to 43.
	RegionIDs map[string]int64 `koanf:"region_ids"`
	// Addresses says what becomes of addresses that the shop has and the
	// customer does not state: "merge" keeps them (default), "replace" deletes
	// them.
	Addresses string `koanf:"addresses"`
	// Genders gives the shop's option id of each gender.
	Genders map[string]int64 `koanf:"genders"`
	// CustomAttributes gives the attribute code of each attribute that the shop
	// has.
	CustomAttributes map[string]string `koanf:"custom_attributes"`
	// Newsletter subscribes customers who consent to marketing by e-mail, and
	// unsubscribes those who refuse.
	Newsletter bool `koanf:"newsletter"`
	// AdminTokenLifetime is how long a token for username and password is used.
	AdminTokenLifetime time.Duration `koanf:"admin_token_lifetime"`

	// Exclusive writes known records without reading them first; it comes from
	// the route itself.
	Exclusive bool `koanf:"-"`
}

// Defaults are the settings of a shop that was never configured.
func Defaults() Config {
	return Config{
		Version:            "2.4",
		StreetLines:        2,
		RequireTelephone:   true,
		TelephoneFallback:  true,
		OptionalPostcode:   []string{"HK", "IE", "MO", "PA", "GB"},
		Addresses:          "merge",
		Genders:            map[string]int64{"male": 1, "female": 2, "unspecified": 3},
		AdminTokenLifetime: 4 * time.Hour,
	}
}

// Open checks a route's options and builds its adapter.
func Open(o provider.Options) (provider.Opened, error) {
	c := Defaults()
	var cred credentials
	var faults section.Faults
	faults.Join(o.DecodeSettings(&c), o.DecodeCredentials(&cred))
	checkBase(&faults, o.BaseURL)
	cred.check(&faults)
	c.check(&faults)
	if err := faults.Err(); err != nil {
		return provider.Opened{}, err
	}
	c.Exclusive = o.Exclusive
	return provider.Opened{
		Adapter: New(c),
		Auth:    cred.auth(c),
		Limit:   provider.DefaultLimit{Rate: section.Rate{Count: 10, Per: time.Second}, Burst: 10, Concurrency: 4},
	}, nil
}

// checkBase refuses addresses below the shop's root, and the hosted edition,
// whose paths and authentication are others.
func checkBase(faults *section.Faults, base *url.URL) {
	if base == nil {
		return // reported by the configuration
	}
	if strings.HasSuffix(base.Hostname(), ".api.commerce.adobe.com") {
		faults.Add("base_url", "is Adobe Commerce as a Cloud Service, which this provider does not support")
	}
	for segment := range strings.SplitSeq(base.Path, "/") {
		if segment == "rest" || segment == "V1" {
			faults.Add("base_url", "must be the root of the shop; leave out /rest, the store view (settings.store) and /V1")
			return
		}
	}
}

var (
	storeCode     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	attributeCode = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)
	regionKey     = regexp.MustCompile(`^[A-Z]{2}-.`)
	countryCode   = regexp.MustCompile(`^[A-Z]{2}$`)
)

// The values that settings may have.
var (
	genders       = []string{"female", "male", "other", "unspecified"}
	customerTypes = []string{"retail", "marketplace", "reseller", "retail_exempt"}
	// optional are the fields that Require may list, and their rows.
	optional = map[string]string{
		"dob": "dob", "gender": "gender", "taxvat": "taxvat", "prefix": "prefix", "middlename": "middlename", "suffix": "suffix",
		"company": "addresses[].company", "fax": "addresses[].fax",
	}
)

func (c *Config) check(faults *section.Faults) {
	if c.Store != "" && !storeCode.MatchString(c.Store) {
		faults.Add("settings.store", "must be the code of a store view (letters, digits and underscores) or all")
	}
	switch {
	case c.WebsiteID < 0:
		faults.Add("settings.website_id", "must be the number of a website")
	case c.WebsiteID == 0 && !c.GlobalAccounts:
		faults.Add("settings.website_id", "is required: the website that the customers belong to (1 in a shop with one website); or set settings.global_accounts if the shop shares accounts between websites")
	}
	if c.StoreID < 0 {
		faults.Add("settings.store_id", "must be the number of a store view")
	}
	if c.GroupID < 0 {
		faults.Add("settings.group_id", "must be the number of a customer group")
	}
	if c.Version != "2.4" && c.Version != "2.4.8" {
		faults.Add("settings.version", `must be "2.4" (for every release up to 2.4.7) or "2.4.8"`)
	}
	if c.StreetLines < 1 || c.StreetLines > 20 {
		faults.Add("settings.street_lines", "must be 1 to 20")
	}
	if c.Addresses != "merge" && c.Addresses != "replace" {
		faults.Add("settings.addresses", "must be merge or replace")
	}
	if c.AdminTokenLifetime < time.Minute {
		faults.Add("settings.admin_token_lifetime", "must be 1m or more")
	}
	c.checkLists(faults)
}

func (c *Config) checkLists(faults *section.Faults) {
	for _, field := range c.Require {
		if optional[field] == "" {
			faults.Add("settings.require", "has %q, which is not among %s", field, strings.Join(slices.Sorted(maps.Keys(optional)), ", "))
		}
	}
	for _, country := range c.OptionalPostcode {
		if !countryCode.MatchString(country) {
			faults.Add("settings.optional_postcode", "has %q, which is not a country code such as GB", country)
		}
	}
	checkIDs(faults, "settings.region_ids", c.RegionIDs, func(k string) bool { return regionKey.MatchString(k) }, "a country and a region such as US-NY")
	checkIDs(faults, "settings.genders", c.Genders, func(k string) bool { return slices.Contains(genders, k) }, "one of "+strings.Join(genders, ", "))
	checkIDs(faults, "settings.groups", c.Groups, func(k string) bool { return slices.Contains(customerTypes, k) }, "one of "+strings.Join(customerTypes, ", "))
	taken := map[string]bool{}
	for _, attribute := range slices.Sorted(maps.Keys(c.CustomAttributes)) {
		code := c.CustomAttributes[attribute]
		switch {
		case !attributeCode.MatchString(code):
			faults.Add(section.Key("settings.custom_attributes", attribute), "must be an attribute code: lower-case letters, digits and underscores")
		case taken[code]:
			faults.Add(section.Key("settings.custom_attributes", attribute), "is the same attribute code as another's")
		}
		taken[code] = true
	}
}

// checkIDs checks the names and the ids of a map.
func checkIDs(faults *section.Faults, at string, ids map[string]int64, known func(string) bool, want string) {
	for key, id := range ids {
		switch {
		case !known(key):
			faults.Add(section.Key(at, key), "is not known here; use %s", want)
		case id <= 0:
			faults.Add(section.Key(at, key), "must be an id of the shop, 1 or more")
		}
	}
}

// Adapter translates for one route.
type Adapter struct {
	config  Config
	table   *mapping.Table
	labels  labels
	regions map[string]int64 // Config.RegionIDs with folded keys
	base    string           // /rest/default/V1
	read    http.Header
	write   http.Header
}

var _ canonical.Adapter = (*Adapter)(nil)

// New returns the adapter for a checked Config.
func New(c Config) *Adapter {
	table := fieldTable(c)
	regions := make(map[string]int64, len(c.RegionIDs))
	for _, key := range slices.Sorted(maps.Keys(c.RegionIDs)) {
		regions[fold(key)] = c.RegionIDs[key]
	}
	return &Adapter{
		config:  c,
		table:   table,
		labels:  newLabels(table),
		regions: regions,
		base:    basePath(c),
		read:    http.Header{"Accept": {"application/json"}},
		write:   http.Header{"Accept": {"application/json"}, "Content-Type": {"application/json"}},
	}
}

// basePath is where the calls of a store view begin.
func basePath(c Config) string {
	if c.Store == "" {
		return "/rest/V1"
	}
	return "/rest/" + c.Store + "/V1"
}

// Name returns "magento".
func (a *Adapter) Name() string { return name }

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

// mustRead reports whether the record's addresses must be known before it is
// written: a list that is sent replaces them all, and only ids keep them.
func (a *Adapter) mustRead(u canonical.Upsert) bool {
	return !a.config.Exclusive && a.ownsAddresses(u) && len(u.Customer.Addresses.Value()) > 0
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
	if a.mustRead(u) && held.Get("addresses").Kind() != canonical.KindArray { // the search did not list them
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
	if website := held.Get("website_id").Str(); !a.config.GlobalAccounts && website != "" && website != strconv.FormatInt(a.config.WebsiteID, 10) {
		e := canonical.Refusal(name, sent, got, canonical.UpstreamIdentityConflict, "the remote id belongs to a customer of another website than settings.website_id")
		e.Fields = []canonical.FieldError{{Field: "website_id", Setting: "settings.website_id", Code: canonical.FieldInvalid, Message: e.Message}}
		return canonical.Outcome{RemoteID: id}, e
	}
	if problem := unreadable(held); problem != "" {
		return canonical.Outcome{RemoteID: id}, canonical.Refusal(name, sent, got, canonical.UpstreamInvalidResponse, problem)
	}
	return a.next(u, id, held, updateAfter[sent.Op])
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
	case want != "":
		return canonical.Outcome{Action: canonical.ActionUpdated, RemoteID: id}, nil
	}
	out := canonical.Outcome{Action: canonical.ActionCreated, RemoteID: id}
	if e := a.dropped(u, sent, got, body.Get("addresses")); e != nil {
		return out, e
	}
	return out, nil
}
