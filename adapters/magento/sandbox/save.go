package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// generalGroup is the group of a customer that none is given for.
const generalGroup = int64(1)

// blank is a new customer of a store view.
func (s *Sandbox) blank(st Store) *customer {
	return &customer{fields: map[string]any{
		"group_id": generalGroup, "store_id": st.ID, "website_id": st.WebsiteID, "created_in": st.Name,
	}}
}

// stamp sets the times.
func (s *Sandbox) stamp(c *customer) {
	now := s.timestamp()
	if c.fields["created_at"] == nil {
		c.fields["created_at"] = now
	}
	c.fields["updated_at"] = now
}

// read answers GET /V1/customers/{id}.
func (s *Sandbox) read(c *call) (any, *failure) {
	id, fail := c.number()
	if fail != nil {
		return nil, fail
	}
	found, ok := s.shop.customers[id]
	if !ok {
		return nil, noSuchEntity("customerId", id)
	}
	return found.view(), nil
}

// remove answers DELETE /V1/customers/{id}.
func (s *Sandbox) remove(c *call) (any, *failure) {
	id, fail := c.number()
	if fail != nil {
		return nil, fail
	}
	if _, ok := s.shop.customers[id]; !ok {
		return nil, noSuchEntity("customerId", id)
	}
	s.shop.drop(id)
	return true, nil
}

// validate answers PUT /V1/customers/validate.
func (s *Sandbox) validate(c *call) (any, *failure) {
	body, fail := c.decode(s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	in, fail := s.customerOf(body)
	if fail != nil {
		return nil, fail
	}
	dry := s.blank(c.store)
	dry.apply(in)
	messages := []any{}
	if strings.TrimSpace(dry.text("email")) == "" {
		messages = append(messages, `"Email" is a required value.`)
	}
	for _, m := range s.customerRules(dry, true) {
		messages = append(messages, m)
	}
	return object{{"valid", len(messages) == 0}, {"messages", messages}}, nil
}

// create answers POST /V1/customers.
func (s *Sandbox) create(c *call) (any, *failure) {
	body, fail := c.decode(s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	in, fail := s.customerOf(body)
	if fail != nil {
		return nil, fail
	}
	if in["group_id"] != nil && !s.authorize(c.known, RightManage) {
		if s.opts.Version >= V247 {
			return nil, notAuthorized(RightManage)
		}
		delete(in, "group_id")
	}
	email, _ := in["email"].(string)
	if fail := checkPassword(body["password"], email); fail != nil {
		return nil, fail
	}
	st, websiteID, fail := s.locate(c, in)
	if fail != nil {
		return nil, fail
	}
	if id, _ := in["id"].(int64); id != 0 {
		if len(s.sameEmail(email, websiteID, 0)) == 0 {
			return nil, &failure{status: http.StatusNotFound, message: msgNoSuchPair, parameters: object{
				{"fieldName", "email"}, {"fieldValue", email}, {"field2Name", "websiteId"}, {"field2Value", websiteID}}}
		}
		return nil, invalid("This customer already exists in this store.", nil)
	}
	added := s.blank(st)
	added.apply(in)
	added.fields["store_id"], added.fields["website_id"] = st.ID, websiteID
	if added.fields["group_id"] == nil {
		added.fields["group_id"] = generalGroup
	}
	added.company = nil // a link is possible only later
	if fail := s.check(added, true); fail != nil {
		return nil, fail
	}
	addresses := in.list("addresses")
	problem, scripted := s.takeFailure()
	if scripted && (problem != AddressDeadlock || len(addresses) == 0) {
		return nil, s.fail(problem)
	}

	// A create is no transaction: the customer is there before its addresses.
	added.id = s.shop.nextID()
	s.stamp(added)
	s.shop.put(added)
	if scripted {
		return nil, s.fail(problem)
	}
	done := added.clone()
	for _, stated := range addresses {
		if country, _ := stated["country_id"].(string); !s.allowed(country) {
			continue // dropped without a word
		}
		a := &address{}
		a.apply(stated)
		a.resolveRegion()
		if fail := s.checkAddress(a); fail != nil {
			s.shop.drop(added.id)
			return nil, fail
		}
		s.shop.place(done, a, stated)
	}
	s.shop.put(done)
	s.mails++
	return done.view(), nil
}

// locate decides store view and website of a new customer.
func (s *Sandbox) locate(c *call, in input) (Store, int64, *failure) {
	storeID, _ := in["store_id"].(int64)
	websiteID, _ := in["website_id"].(int64)
	st, ok := c.store, true
	switch {
	case storeID != 0:
		if st, ok = s.store(storeID); !ok {
			return st, 0, noStore()
		}
	case websiteID != 0:
		if st, ok = s.website(websiteID); !ok {
			return st, 0, noWebsite(websiteID)
		}
	}
	if websiteID == 0 {
		websiteID = st.WebsiteID
	}
	if _, ok := s.website(websiteID); !ok {
		return st, 0, noWebsite(websiteID)
	}
	if st.WebsiteID != websiteID && !s.opts.GlobalSharing {
		return st, 0, invalid("The store view is not in the associated website.", nil)
	}
	return st, websiteID, nil
}

// noStore and noWebsite are 404 without a field name: the customer may exist.
func noStore() *failure {
	return &failure{status: http.StatusNotFound, message: "The store that was requested wasn't found. Verify the store and try again."}
}

func noWebsite(id int64) *failure {
	return &failure{status: http.StatusNotFound, message: "The website with id %1 that was requested wasn't found. Verify the website and try again.",
		parameters: []any{id}}
}

// update answers PUT /V1/customers/{id}. Since 2.4 the record at the path's id
// is loaded and the body laid over it; the result is saved under the body's id
// when there is one. Before, only the body counted.
func (s *Sandbox) update(c *call) (any, *failure) {
	body, fail := c.decode(s.opts.Developer)
	if fail != nil {
		return nil, fail
	}
	in, fail := s.customerOf(body)
	if fail != nil {
		return nil, fail
	}
	id, _ := in["id"].(int64)
	next := &customer{fields: map[string]any{}}
	if s.opts.Version >= V24 {
		if pathID := looseNumber(c.id); pathID != 0 {
			loaded, ok := s.shop.customers[pathID]
			if !ok {
				return nil, noSuchEntity("customerId", pathID)
			}
			next = loaded.clone()
			if _, stated := in["id"]; !stated {
				id = pathID
			}
		}
	}
	var prev *customer
	if id != 0 {
		var ok bool
		if prev, ok = s.shop.customers[id]; !ok {
			return nil, noSuchEntity("customerId", id)
		}
	}
	if s.opts.Version < V24 && prev != nil {
		next = prev.clone()
		next.attributes = nil
		next.fields["group_id"], next.fields["store_id"] = generalGroup, c.store.ID
		for _, name := range []string{"email", "firstname", "lastname", "website_id"} {
			delete(next.fields, name)
		}
	}
	return s.save(c, next, prev, id, in)
}

// save lays in over next and stores it under id, in one transaction.
func (s *Sandbox) save(c *call, next, prev *customer, id int64, in input) (any, *failure) {
	next.id = id
	next.apply(in)
	s.keepPlace(c, next, prev)
	if fail := s.setDefaults(next, prev, in); fail != nil {
		return nil, fail
	}
	_, attributesStated := in["custom_attributes"]
	if fail := s.check(next, attributesStated || prev == nil); fail != nil {
		return nil, fail
	}
	kept := next.addresses
	next.addresses = nil
	if prev != nil {
		next.addresses = append(next.addresses, prev.addresses...)
	}
	if prev == nil {
		next.id = s.shop.lastCustomer + 1
	}
	var fail *failure
	if stated := in.list("addresses"); stated != nil {
		fail = s.replaceAddresses(next, stated)
	} else if s.opts.Version >= V24 {
		fail = s.resaveAddresses(next, kept)
	}
	if fail != nil {
		return nil, fail
	}
	if problem, scripted := s.takeFailure(); scripted {
		return nil, s.fail(problem)
	}
	if prev == nil {
		s.shop.nextID()
	}
	s.stamp(next)
	s.shop.put(next)
	return next.view(), nil
}

// keepPlace fills in the store view and group that an update left out.
func (s *Sandbox) keepPlace(c *call, next, prev *customer) {
	if next.number("store_id") == 0 {
		next.fields["store_id"] = c.store.ID
		if prev != nil {
			next.fields["store_id"] = prev.number("store_id")
		}
	}
	if next.fields["group_id"] == nil {
		next.fields["group_id"] = generalGroup
		if prev != nil {
			next.fields["group_id"] = prev.number("group_id")
		}
	}
	if next.fields["created_in"] == nil {
		next.fields["created_in"] = c.store.Name
	}
}

// setDefaults reads the ids of the default addresses at the top level. They
// must be addresses of the stored customer.
func (s *Sandbox) setDefaults(next, prev *customer, in input) *failure {
	listed := map[int64]bool{}
	stated := in.list("addresses")
	for _, a := range stated {
		if id, ok := a["id"].(int64); ok {
			listed[id] = true
		}
	}
	for _, d := range []struct {
		name    string
		current *int64
	}{{"default_billing", &next.defaultBilling}, {"default_shipping", &next.defaultShipping}} {
		name, current := d.name, d.current
		if value, ok := in[name]; ok {
			text, _ := value.(string)
			*current = looseNumber(text)
			if *current != 0 && (prev == nil || s.shop.addressOwner[*current] != prev.id) {
				return invalidDefault(name)
			}
		}
		if s.opts.StrictDefaults && stated != nil && *current != 0 && !listed[*current] {
			return invalidDefault(name)
		}
	}
	return nil
}

func invalidDefault(name string) *failure {
	return invalid("The %fieldName value is invalid. Set the correct value and try again.", object{{"fieldName", name}})
}

// replaceAddresses makes stated the addresses of next: those listed by id are
// changed, those without are new, all others are deleted.
func (s *Sandbox) replaceAddresses(next *customer, stated []input) *failure {
	saved := map[int64]bool{}
	for _, in := range stated {
		a := &address{fields: map[string]any{}}
		if id, _ := in["id"].(int64); id != 0 {
			old, fail := s.ownAddress(next, id)
			if fail != nil {
				return fail
			}
			a = old.clone()
		}
		a.apply(in)
		a.resolveRegion()
		if fail := s.checkAddress(a); fail != nil {
			return fail
		}
		s.shop.place(next, a, in)
		saved[a.id] = true
	}
	next.addresses = slices.DeleteFunc(next.addresses, func(a *address) bool { return !saved[a.id] })
	if !saved[next.defaultBilling] {
		next.defaultBilling = 0
	}
	if !saved[next.defaultShipping] {
		next.defaultShipping = 0
	}
	return nil
}

// resaveAddresses saves the addresses that were loaded with the customer once
// more: an old one that has become invalid fails the update, and those of
// another customer are refused.
func (s *Sandbox) resaveAddresses(next *customer, loaded []*address) *failure {
	for _, a := range loaded {
		if _, fail := s.ownAddress(next, a.id); fail != nil {
			return fail
		}
		if fail := s.checkAddress(a); fail != nil {
			return fail
		}
	}
	// The list is final here, too: it deletes what another record was given.
	next.addresses = loaded
	return nil
}

func (s *Sandbox) ownAddress(c *customer, id int64) (*address, *failure) {
	for _, a := range c.addresses {
		if a.id == id {
			return a, nil
		}
	}
	if _, ok := s.shop.addressOwner[id]; !ok {
		return nil, noSuchEntity("addressId", id)
	}
	return nil, invalid(`Provided customer ID "%customer_id" isn't related to current customer address.`, object{{"customer_id", c.id}})
}

// sameEmail returns the other customers with email that clash on a website.
func (s *Sandbox) sameEmail(email string, websiteID, self int64) []int64 {
	var ids []int64
	for _, id := range s.shop.byEmail[emailKey(email)] {
		if id != self && (s.opts.GlobalSharing || s.shop.customers[id].number("website_id") == websiteID) {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkPassword refuses a weak password; none at all is allowed.
func checkPassword(v any, email string) *failure {
	if v == nil {
		return nil
	}
	password, ok := toString(v)
	if !ok {
		return malformed("%s", typeMismatch(v, "string"))
	}
	length := len([]rune(password))
	classes := 0
	for _, set := range []func(r rune) bool{
		func(r rune) bool { return r >= 'a' && r <= 'z' },
		func(r rune) bool { return r >= 'A' && r <= 'Z' },
		func(r rune) bool { return r >= '0' && r <= '9' },
		func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') },
	} {
		if strings.ContainsFunc(password, set) {
			classes++
		}
	}
	switch {
	case length > 256:
		return invalid("Please enter a password with at most %1 characters.", []any{"256"})
	case length < 8:
		return invalid("The password needs at least %1 characters. Create a new password and try again.", []any{strconv.Itoa(8)})
	case strings.TrimSpace(password) != password:
		return invalid("The password can't begin or end with a space. Verify the password and try again.", nil)
	case classes < 3:
		return invalid("Minimum of different classes of characters in password is %1. Classes of characters: Lower Case, Upper Case, Digits, Special Characters.", []any{"3"})
	case strings.EqualFold(password, email):
		return invalid("The password can't be the same as the email address. Create a new password and try again.", nil)
	}
	return nil
}
