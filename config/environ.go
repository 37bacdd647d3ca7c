package config

import (
	"regexp"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"

	"customer-gateway/config/section"
)

const (
	envPrefix = "GATEWAY_"
	envLevel  = "__"
)

// kubernetes matches the variables that Kubernetes sets in every container for a
// service whose name begins with "gateway".
var kubernetes = regexp.MustCompile(`^GATEWAY_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// environ is what the environment says.
type environ struct {
	variables map[string]string // all, by name: for references
	values    map[string]any    // by full key
	names     map[string]string // the variable that set a key
}

// readEnviron reads the variables of list, each "NAME=value".
func readEnviron(list []string, faults *section.Faults) environ {
	e := environ{variables: map[string]string{}, names: map[string]string{}}
	for _, v := range list {
		if name, value, ok := strings.Cut(v, "="); ok {
			e.variables[name] = value
		}
	}
	// Read cannot fail: it only walks the list.
	e.values, _ = env.Provider("", env.Opt{
		Prefix:      envPrefix,
		EnvironFunc: func() []string { return list },
		TransformFunc: func(name, value string) (string, any) {
			if !strings.Contains(name, envLevel) && kubernetes.MatchString(name) {
				return "", nil
			}
			key, ok := envKey(name)
			if !ok {
				faults.Add(section.Key("", name), "is an environment variable that sets nothing; two underscores separate the levels of a key, as in GATEWAY_SERVER__ADDR")
				return "", nil
			}
			e.names[key] = name
			return key, value
		},
	}).Read()
	for _, key := range sortedKeys(e.names) {
		for _, above := range upwards(key)[1:] {
			if outer, ok := e.names[above]; ok {
				faults.Add(key, "is set by %s although %s sets all of %s; unset one of them", e.names[key], outer, above)
				delete(e.values, key)
			}
		}
	}
	return e
}

// envKey returns the key that the variable sets.
func envKey(name string) (key string, ok bool) {
	levels := strings.Split(strings.ToLower(strings.TrimPrefix(name, envPrefix)), envLevel)
	for i, level := range levels {
		if section.Key("", level) != level { // empty, or holding what no key holds
			return "", false
		}
		if i == 1 && levels[0] == "routes" {
			levels[i] = strings.ReplaceAll(level, "_", "-")
		}
	}
	return strings.Join(levels, delimiter), len(levels) > 1
}
