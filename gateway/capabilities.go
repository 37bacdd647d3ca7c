package gateway

import "customer-gateway/canonical"

// Capabilities says what a route holds of a customer, as its settings have it.
type Capabilities struct {
	Route    string                       `json:"route"`
	Provider string                       `json:"provider"`
	Kinds    []canonical.KindCapabilities `json:"kinds"`
}

// CapabilitiesOf returns what the adapter of a route tells; Kinds is empty if it
// tells nothing.
func CapabilitiesOf(route string, a canonical.Adapter) Capabilities {
	c := Capabilities{Route: route, Provider: a.Name(), Kinds: canonical.Describe(a)}
	if c.Kinds == nil {
		c.Kinds = []canonical.KindCapabilities{}
	}
	return c
}

// Capabilities returns what one route holds, and whether it is configured.
func (g *Gateway) Capabilities(name string) (Capabilities, bool) {
	r := g.find(name)
	if r == nil {
		return Capabilities{}, false
	}
	return CapabilitiesOf(r.Name, r.Adapter), true
}
