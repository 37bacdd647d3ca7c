// Package adapters is the table of providers: the only place that names them.
package adapters

import (
	"customer-gateway/adapters/april"
	"customer-gateway/adapters/capillary"
	"customer-gateway/adapters/complyt"
	"customer-gateway/adapters/magento"
	"customer-gateway/adapters/provider"
	"customer-gateway/adapters/rebilly"
)

// All lists every provider, in the order of their names.
var All = []provider.Provider{
	april.Provider,
	capillary.Provider,
	complyt.Provider,
	magento.Provider,
	rebilly.Provider,
}
