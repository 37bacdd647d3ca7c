package magento

import (
	"testing"

	"customer-gateway/adapters/adaptertest"
)

// setup is a Config with changes.
func setup(change func(*Config)) Config {
	c := Defaults()
	c.Store, c.WebsiteID, c.StoreID = "default", 1, 1
	if change != nil {
		change(&c)
	}
	return c
}

// full is a route that uses every setting.
func full(c *Config) {
	disable := true
	c.Exclusive = true
	c.GroupID = 1
	c.Groups = map[string]int64{"marketplace": 4}
	c.DisableAutoGroupChange = &disable
	c.RegionIDs = map[string]int64{"ES-MD": 161}
	c.CustomAttributes = map[string]string{"segment": "segment", "vip": "is_vip", "interests": "interests", "score": "crm_score"}
	c.Genders["other"] = 4
	c.Newsletter = true
	c.StreetLines = 3
}

func suite() adaptertest.Case {
	return adaptertest.Case{Adapters: []adaptertest.Setup{
		{Adapter: New(setup(nil))},
		{Name: "full", Adapter: New(setup(full))},
		{Name: "replace", Adapter: New(setup(func(c *Config) { c.Addresses, c.Version = "replace", "2.4.8" }))},
	}, Described: []adaptertest.Setup{
		{Name: "bare", Adapter: New(setup(func(c *Config) {
			c.Genders, c.TelephoneFallback, c.RequireTelephone, c.OptionalPostcode, c.StreetLines = nil, false, false, nil, 10
		}))},
		{Name: "required", Adapter: New(setup(func(c *Config) {
			c.TelephoneFallback, c.Require = false, []string{"dob", "gender", "taxvat"}
		}))},
	}}
}

func TestConformance(t *testing.T) { adaptertest.Run(t, suite()) }

func FuzzInterpret(f *testing.F) { adaptertest.Fuzz(f, suite()) }
