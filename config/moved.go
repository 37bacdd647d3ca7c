package config

import (
	"reflect"
	"slices"
	"strings"

	"customer-gateway/config/section"
)

// homes has the full keys of every key by its last part; a route is "*".
var homes = func() map[string][]string {
	found := map[string][]string{}
	var walk func(at string, t reflect.Type)
	walk = func(at string, t reflect.Type) {
		if t.Kind() != reflect.Struct {
			return
		}
		for f := range t.Fields() {
			if name := f.Tag.Get("koanf"); name != "" {
				found[name] = append(found[name], at+delimiter+name)
				walk(at+delimiter+name, f.Type)
			}
		}
	}
	walk("server", reflect.TypeFor[Server]())
	walk("log", reflect.TypeFor[Log]())
	walk("auth", reflect.TypeFor[Auth]())
	walk("ledger", reflect.TypeFor[Ledger]())
	walk("routes.*", reflect.TypeFor[RouteSpec]())
	return found
}()

// pointHome adds to the faults about keys that are not near any known one the
// section where they would be known, if there is one.
func pointHome(faults section.Faults) {
	for i, f := range faults {
		at := strings.LastIndex(f.Key, delimiter)
		known := slices.Clone(homes[f.Key[at+1:]])
		if !strings.HasPrefix(f.Message, "is not known here; known are ") {
			continue
		}
		route := strings.SplitN(f.Key, delimiter, 3)
		for j, home := range known {
			if route[0] == "routes" && len(route) > 2 {
				home = strings.Replace(home, "*", route[1], 1)
			}
			known[j] = strings.Replace(home, "*", "NAME", 1)
		}
		if len(known) > 0 {
			faults[i].Message += "; it belongs to " + strings.Join(known, " or ")
		}
	}
}
