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
	// Version is the shop's release: "2.4" (default, up to 2.4.7), "2.4.8" with its
	// own rules for names and cities, or "2.3" for all before, whose records are
	// read before every update.
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
	if c.Version != "2.3" && c.Version != "2.4" && c.Version != "2.4.8" {
		faults.Add("settings.version", `must be "2.3" (for every release before 2.4), "2.4" (up to 2.4.7) or "2.4.8"`)
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
