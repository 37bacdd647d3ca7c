package sandbox

import (
	"cmp"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxPageSize is the largest page while input limits are on.
const maxPageSize = 300

type criteria struct {
	groups   [][]filter
	sort     []sortOrder
	pageSize int64
	current  int64
}

type filter struct{ field, value, condition string }

type sortOrder struct{ field, direction string }

// searchable are the attributes that a filter may name. The record id is
// entity_id here, not id.
var searchable = []string{"entity_id", "group_id", "created_at", "updated_at", "created_in", "dob", "email", "firstname", "lastname",
	"middlename", "prefix", "suffix", "gender", "store_id", "taxvat", "website_id", "default_billing", "default_shipping"}

// search answers GET /V1/customers/search.
func (s *Sandbox) search(c *call) (any, *failure) {
	crit, fail := s.criteria(c.query)
	if fail != nil {
		return nil, fail
	}
	for _, group := range crit.groups {
		for _, f := range group {
			if fail := s.checkSearchable(f.field); fail != nil {
				return nil, fail
			}
		}
	}
	for _, o := range crit.sort {
		if fail := s.checkSearchable(o.field); fail != nil {
			return nil, fail
		}
	}
	var found []*customer
	for _, id := range s.candidates(crit) {
		if c := s.shop.customers[id]; crit.match(c) {
			found = append(found, c)
		}
	}
	for _, o := range slices.Backward(crit.sort) {
		slices.SortStableFunc(found, func(a, b *customer) int {
			av, aOK := a.column(o.field)
			bv, bOK := b.column(o.field)
			r := compare(av, aOK, bv, bOK)
			if !strings.EqualFold(o.direction, "ASC") {
				return -r
			}
			return r
		})
	}
	items := []any{}
	for _, c := range crit.page(found) {
		items = append(items, c.view())
	}
	return object{{"items", items}, {"search_criteria", crit.view()}, {"total_count", len(found)}}, nil
}

func (s *Sandbox) checkSearchable(name string) *failure {
	if slices.Contains(searchable, name) || slices.Contains(s.opts.Attributes, name) {
		return nil
	}
	return invalid(`The "%1" attribute name is invalid. Reset the name and try again.`, []any{name})
}

// candidates returns the ids that may match, narrowed by an e-mail filter.
func (s *Sandbox) candidates(crit criteria) []int64 {
	for _, group := range crit.groups {
		if len(group) == 1 && group[0].field == "email" && group[0].condition == "eq" {
			ids := slices.Clone(s.shop.byEmail[emailKey(group[0].value)])
			slices.Sort(ids)
			return ids
		}
	}
	return s.shop.order
}

func (crit criteria) match(c *customer) bool {
	for _, group := range crit.groups {
		if len(group) > 0 && !slices.ContainsFunc(group, func(f filter) bool { return f.match(c) }) {
			return false
		}
	}
	return true
}

// match compares as the database does: without regard to case.
func (f filter) match(c *customer) bool {
	value, ok := c.column(f.field)
	switch f.condition {
	case "null":
		return !ok
	case "notnull":
		return ok
	}
	if !ok {
		return false
	}
	order := compare(value, ok, f.value, true)
	switch f.condition {
	case "neq":
		return order != 0
	case "gt":
		return order > 0
	case "gteq", "from":
		return order >= 0
	case "lt":
		return order < 0
	case "lteq", "to":
		return order <= 0
	case "in", "nin":
		in := slices.ContainsFunc(strings.Split(f.value, ","), func(v string) bool { return compare(value, true, v, true) == 0 })
		return in == (f.condition == "in")
	case "like":
		return like(f.value, value)
	}
	return order == 0
}

// like matches text against an SQL pattern.
func like(pattern, text string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.NewReplacer("%", ".*", "_", ".").Replace(quoted)
	re, err := regexp.Compile("(?is)^" + quoted + "$")
	return err == nil && re.MatchString(text)
}

// compare orders two columns, numbers by value; null comes first.
func compare(a string, aOK bool, b string, bOK bool) int {
	if aOK != bOK {
		if bOK {
			return -1
		}
		return 1
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	if errX == nil && errY == nil {
		return cmp.Compare(x, y)
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

// column returns an attribute as text, and whether it is not null.
func (c *customer) column(name string) (string, bool) {
	number := func(n int64) (string, bool) { return strconv.FormatInt(n, 10), n != 0 }
	switch name {
	case "entity_id":
		return number(c.id)
	case "default_billing":
		return number(c.defaultBilling)
	case "default_shipping":
		return number(c.defaultShipping)
	}
	switch v := c.fields[name].(type) {
	case string:
		return v, true
	case int64:
		return strconv.FormatInt(v, 10), true
	}
	for _, a := range c.attributes {
		if text, ok := a.value.(string); ok && a.code == name {
			return text, true
		}
	}
	return "", false
}

// page cuts out the current page; a page past the end is the last one.
func (crit criteria) page(found []*customer) []*customer {
	size := crit.pageSize
	if size <= 0 || len(found) == 0 {
		return found
	}
	n := int64(len(found))
	size = min(size, n)
	last := (n + size - 1) / size
	page := min(max(crit.current, 1), last)
	return found[(page-1)*size : min(page*size, n)]
}

func (crit criteria) view() object {
	groups := []any{}
	for _, group := range crit.groups {
		filters := []any{}
		for _, f := range group {
			filters = append(filters, object{{"field", f.field}, {"value", f.value}, {"condition_type", f.condition}})
		}
		groups = append(groups, object{{"filters", filters}})
	}
	out := object{{"filter_groups", groups}}
	if len(crit.sort) > 0 {
		orders := []any{}
		for _, o := range crit.sort {
			orders = append(orders, object{{"field", o.field}, {"direction", strings.ToUpper(o.direction)}})
		}
		out = append(out, member{"sort_orders", orders})
	}
	if crit.pageSize != 0 {
		out = append(out, member{"page_size", crit.pageSize})
	}
	if crit.current != 0 {
		out = append(out, member{"current_page", crit.current})
	}
	return out
}

// criteria reads searchCriteria[…] from the query.
func (s *Sandbox) criteria(query url.Values) (criteria, *failure) {
	var crit criteria
	present := false
	groups, orders := map[string]map[string]*filter{}, map[string]*sortOrder{}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		path := brackets(name)
		if path[0] != "searchCriteria" && path[0] != "search_criteria" {
			continue
		}
		present = true
		if len(path) == 1 {
			continue // an empty one matches all
		}
		values := query[name]
		if fail := s.criterion(&crit, groups, orders, path[1:], values[len(values)-1]); fail != nil {
			return crit, fail
		}
	}
	if !present {
		return crit, required("searchCriteria")
	}
	if s.opts.InputLimit > 0 && crit.pageSize > maxPageSize {
		return crit, invalid("Maximum SearchCriteria pageSize is %max", object{{"max", maxPageSize}})
	}
	for _, key := range indexes(groups) {
		var group []filter
		for _, i := range indexes(groups[key]) {
			f := *groups[key][i]
			if f.condition == "" {
				f.condition = "eq"
			}
			group = append(group, f)
		}
		crit.groups = append(crit.groups, group)
	}
	for _, key := range indexes(orders) {
		crit.sort = append(crit.sort, *orders[key])
	}
	return crit, nil
}

// criterion stores the value at path inside the search criteria.
func (s *Sandbox) criterion(crit *criteria, groups map[string]map[string]*filter, orders map[string]*sortOrder, path []string, value string) *failure {
	unknown := func(class, name string) *failure { return s.unknownMember(`Magento\Framework\Api\`+class, name) }
	plain := func(i int) string {
		if i >= len(path) {
			return ""
		}
		return strings.ToLower(strings.ReplaceAll(path[i], "_", ""))
	}
	number := func(to *int64) *failure {
		n, ok := toInt(value)
		if !ok {
			return malformed(`Error occurred during "%s" processing. %s`, path[0], typeMismatch(value, "int"))
		}
		*to = n
		return nil
	}
	switch plain(0) {
	case "pagesize":
		return number(&crit.pageSize)
	case "currentpage":
		return number(&crit.current)
	case "filtergroups":
		if len(path) < 5 {
			return nil
		}
		if plain(2) != "filters" {
			return unknown(`Search\FilterGroup`, path[2])
		}
		if groups[path[1]] == nil {
			groups[path[1]] = map[string]*filter{}
		}
		f := groups[path[1]][path[3]]
		if f == nil {
			f = &filter{}
			groups[path[1]][path[3]] = f
		}
		switch plain(4) {
		case "field":
			f.field = value
		case "value":
			f.value = value
		case "conditiontype":
			f.condition = strings.ToLower(value)
		default:
			return unknown("Filter", path[4])
		}
	case "sortorders":
		if len(path) < 3 {
			return nil
		}
		o := orders[path[1]]
		if o == nil {
			o = &sortOrder{direction: "DESC"}
			orders[path[1]] = o
		}
		switch plain(2) {
		case "field":
			o.field = value
		case "direction":
			o.direction = value
		default:
			return unknown("SortOrder", path[2])
		}
	default:
		return unknown("SearchCriteriaInterface", path[0])
	}
	return nil
}

// brackets splits a[b][c] into its parts.
func brackets(name string) []string {
	head, rest, _ := strings.Cut(name, "[")
	parts := []string{head}
	for rest != "" {
		part, after, _ := strings.Cut(rest, "]")
		parts = append(parts, part)
		_, rest, _ = strings.Cut(after, "[")
	}
	return parts
}

// indexes returns the keys of m in numerical order.
func indexes[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int { return compare(a, true, b, true) })
	return keys
}
