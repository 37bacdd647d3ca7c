package sandbox

import (
	"sort"
	"strconv"
	"strings"
)

// shop is the database.
type shop struct {
	customers    map[int64]*customer
	order        []int64            // ids in order of creation
	byEmail      map[string][]int64 // by emailKey, over all websites
	addressOwner map[int64]int64    // address id to customer id
	lastCustomer int64
	lastAddress  int64
}

func newShop() shop {
	return shop{customers: map[int64]*customer{}, byEmail: map[string][]int64{}, addressOwner: map[int64]int64{}}
}

func (sh *shop) full() bool { return len(sh.customers) >= maxRecords }

func (sh *shop) nextID() int64 {
	sh.lastCustomer++
	return sh.lastCustomer
}

// customer is a row of customer_entity with what hangs on it. A value of fields
// is a string or an int64; an absent one is null.
type customer struct {
	id                              int64
	fields                          map[string]any
	defaultBilling, defaultShipping int64
	addresses                       []*address
	subscribed                      bool
	assistance                      any
	company                         input
	attributes                      []attribute
}

// address is a row of customer_address_entity.
type address struct {
	id         int64
	fields     map[string]any
	street     []string
	regionCode any
	region     any
	regionID   int64
}

// The scalar members in the order of an answer.
var (
	customerFields = []string{"group_id", "", "created_at", "updated_at", "created_in", "dob", "email", "firstname", "lastname",
		"middlename", "prefix", "suffix", "gender", "store_id", "taxvat", "website_id"}
	addressFields = []string{"company", "telephone", "fax", "postcode", "city", "firstname", "lastname",
		"middlename", "prefix", "suffix", "vat_id"}
	// managed are the members that the server sets; what a caller sends is lost.
	managed = map[string]bool{"id": true, "created_at": true, "updated_at": true, "created_in": true, "confirmation": true,
		"default_billing": true, "default_shipping": true}
)

func (c *customer) text(name string) string {
	t, _ := c.fields[name].(string)
	return t
}

func (c *customer) number(name string) int64 {
	n, _ := c.fields[name].(int64)
	return n
}

func (c *customer) clone() *customer {
	out := *c
	out.fields = make(map[string]any, len(c.fields))
	for k, v := range c.fields {
		out.fields[k] = v
	}
	out.attributes = append([]attribute(nil), c.attributes...)
	out.addresses = append([]*address(nil), c.addresses...)
	return &out
}

// apply lays the stated members over c. Addresses and the defaults are not
// among them.
func (c *customer) apply(in input) {
	for name, value := range in {
		switch name {
		case "addresses":
		case "custom_attributes":
			list, _ := value.([]attribute)
			for _, a := range list {
				c.setAttribute(a)
			}
		case "extension_attributes":
			c.applyExtension(in.object(name))
		default:
			if managed[name] {
				continue
			}
			if value == nil || name == "dob" && value == "" {
				delete(c.fields, name)
				continue
			}
			c.fields[name] = value
		}
	}
}

func (c *customer) applyExtension(in input) {
	if v, ok := in["is_subscribed"].(bool); ok {
		c.subscribed = v
	}
	if v, ok := in["assistance_allowed"].(int64); ok {
		c.assistance = v
	}
	if v := in.object("company_attributes"); v != nil {
		merged := input{}
		for k, old := range c.company {
			merged[k] = old
		}
		for k, n := range v {
			merged[k] = n
		}
		c.company = merged
	}
}

func (c *customer) setAttribute(a attribute) {
	for i := range c.attributes {
		if c.attributes[i].code == a.code {
			c.attributes = append(c.attributes[:i:i], c.attributes[i+1:]...)
			break
		}
	}
	if a.value != nil {
		c.attributes = append(c.attributes, a)
	}
}

// apply lays the stated members over a.
func (a *address) apply(in input) {
	if a.fields == nil {
		a.fields = map[string]any{}
	}
	for name, value := range in {
		switch name {
		case "id", "customer_id", "default_billing", "default_shipping", "extension_attributes", "custom_attributes", "region", "region_id":
		case "street":
			lines, stated := value.([]string)
			if !stated {
				continue
			}
			// The lines are stored as one text.
			a.street = strings.Split(strings.TrimSpace(strings.Join(lines, "\n")), "\n")
		default:
			if value != nil { // a null leaves the stored value
				a.fields[name] = value
			}
		}
	}
	if region := in.object("region"); region != nil {
		a.region, a.regionCode, a.regionID = region["region"], region["region_code"], 0
		if id, ok := region["region_id"].(int64); ok {
			a.regionID = id
		}
	}
	if id, ok := in["region_id"].(int64); ok {
		a.regionID = id
	}
}

func (a *address) clone() *address {
	out := *a
	out.fields = make(map[string]any, len(a.fields))
	for k, v := range a.fields {
		out.fields[k] = v
	}
	return &out
}

func (a *address) text(name string) string {
	t, _ := a.fields[name].(string)
	return t
}

// resolveRegion fills in the region as Magento does on reading it: an id decides
// name and code; without one the region text, not the code, is looked up first.
func (a *address) resolveRegion() {
	country := countries[a.text("country_id")]
	if a.regionID == 0 {
		text, given := a.region.(string)
		if id, ok := toInt(text); given && ok {
			a.regionID, a.region = id, nil
		} else {
			if given {
				a.regionCode = text
			}
			code, _ := a.regionCode.(string)
			for _, r := range country.regions {
				if strings.EqualFold(r.code, code) {
					a.regionID = r.id
				}
			}
		}
	}
	for _, r := range country.regions {
		if r.id == a.regionID {
			a.region, a.regionCode = r.name, r.code
		}
	}
}

// place adds a to c, or puts it in the place of the address with its id, and
// sets the defaults that the stated members ask for. An address stated without
// its flag is no longer the default.
func (sh *shop) place(c *customer, a *address, stated input) {
	if a.id == 0 {
		sh.lastAddress++
		a.id = sh.lastAddress
	}
	found := false
	for i, old := range c.addresses {
		if old.id == a.id {
			c.addresses[i], found = a, true
		}
	}
	if !found {
		c.addresses = append(c.addresses, a)
	}
	flag := func(name string, current *int64) {
		if on, _ := stated[name].(bool); on {
			*current = a.id
		} else if *current == a.id {
			*current = 0
		}
	}
	flag("default_billing", &c.defaultBilling)
	flag("default_shipping", &c.defaultShipping)
}

// put writes c and everything that hangs on it.
func (sh *shop) put(c *customer) {
	if old, ok := sh.customers[c.id]; ok {
		sh.unlink(old)
	} else {
		sh.order = append(sh.order, c.id)
	}
	sh.customers[c.id] = c
	key := emailKey(c.text("email"))
	sh.byEmail[key] = append(sh.byEmail[key], c.id)
	for _, a := range c.addresses {
		sh.addressOwner[a.id] = c.id
	}
}

// unlink removes what points to c.
func (sh *shop) unlink(c *customer) {
	key := emailKey(c.text("email"))
	ids := sh.byEmail[key]
	kept := make([]int64, 0, len(ids))
	for _, id := range ids {
		if id != c.id {
			kept = append(kept, id)
		}
	}
	if len(kept) == 0 {
		delete(sh.byEmail, key)
	} else {
		sh.byEmail[key] = kept
	}
	for _, a := range c.addresses {
		delete(sh.addressOwner, a.id)
	}
}

// drop deletes the customer with id.
func (sh *shop) drop(id int64) {
	c, ok := sh.customers[id]
	if !ok {
		return
	}
	sh.unlink(c)
	delete(sh.customers, id)
	if i := sort.Search(len(sh.order), func(i int) bool { return sh.order[i] >= id }); i < len(sh.order) && sh.order[i] == id {
		sh.order = append(sh.order[:i], sh.order[i+1:]...)
	}
}

// view renders c as an answer holds it; null members are left out.
func (c *customer) view() object {
	out := object{{"id", c.id}}
	for _, name := range customerFields {
		if name == "" {
			if c.defaultBilling != 0 {
				out = append(out, member{"default_billing", strconv.FormatInt(c.defaultBilling, 10)})
			}
			if c.defaultShipping != 0 {
				out = append(out, member{"default_shipping", strconv.FormatInt(c.defaultShipping, 10)})
			}
			continue
		}
		if v, ok := c.fields[name]; ok {
			out = append(out, member{name, v})
		}
	}
	addresses := make([]any, 0, len(c.addresses))
	for _, a := range c.addresses {
		addresses = append(addresses, a.view(c))
	}
	out = append(out, member{"addresses", addresses}, member{"disable_auto_group_change", c.number("disable_auto_group_change")})
	extension := object{}
	if c.assistance != nil {
		extension = append(extension, member{"assistance_allowed", c.assistance})
	}
	if c.company != nil {
		company := object{{"customer_id", c.id}}
		for _, name := range []string{"company_id", "job_title", "status", "telephone"} {
			if v := c.company[name]; v != nil {
				company = append(company, member{name, v})
			}
		}
		extension = append(extension, member{"company_attributes", company})
	}
	extension = append(extension, member{"is_subscribed", c.subscribed})
	out = append(out, member{"extension_attributes", extension})
	if len(c.attributes) > 0 {
		list := make([]any, 0, len(c.attributes))
		for _, a := range c.attributes {
			list = append(list, object{{"attribute_code", a.code}, {"value", a.value}})
		}
		out = append(out, member{"custom_attributes", list})
	}
	return out
}

func (a *address) view(c *customer) object {
	street := make([]any, 0, len(a.street))
	for _, line := range a.street {
		street = append(street, line)
	}
	out := object{
		{"id", a.id}, {"customer_id", c.id},
		{"region", object{{"region_code", a.regionCode}, {"region", a.region}, {"region_id", a.regionID}}},
		{"region_id", a.regionID}, {"country_id", a.text("country_id")}, {"street", street},
	}
	for _, name := range addressFields {
		if v, ok := a.fields[name]; ok {
			out = append(out, member{name, v})
		}
	}
	if c.defaultShipping == a.id {
		out = append(out, member{"default_shipping", true})
	}
	if c.defaultBilling == a.id {
		out = append(out, member{"default_billing", true})
	}
	return out
}
