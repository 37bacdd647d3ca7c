package config

import (
	"strings"

	"customer-gateway/config/section"
)

// origins knows where the values of a configuration come from. The nil origins
// knows nothing.
type origins struct {
	file      places
	variables map[string]string // the variable that set a key
	overrides map[string]any    // by key
	flag      string            // that sets overrides
}

// explain adds to the faults where they come from: the place in the file, or to
// the message the variable or the flag that lies over the file.
func (o *origins) explain(faults section.Faults) section.Faults {
	if o == nil {
		return faults
	}
	for i := range faults {
		f := &faults[i]
		if f.Key == "" || f.Place != "" {
			continue
		}
		setter, known := o.setter(*f)
		switch {
		case !known && o.file.file == "":
		case !known && strings.HasPrefix(strings.Trim(f.Key, `"`), envPrefix) && !o.file.has(f.Key): // is itself a variable
		case !known:
			f.Place = o.file.of(f.Key)
			if ref := o.file.text(f.Key); !strings.Contains(f.Message, "${") && reference.FindString(ref) == ref && ref != "" {
				f.Message += " (the value of " + ref + ")"
			}
		case setter != "" && !strings.Contains(f.Message, setter):
			f.Message += " (set by " + setter + ")"
		}
	}
	return faults
}

// setter returns the variable or flag that f is about, and whether one is.
func (o *origins) setter(f section.Fault) (setter string, known bool) {
	for _, key := range upwards(f.Key) {
		if _, ok := o.overrides[key]; ok {
			return o.flagFor(key), true
		}
		if name, ok := o.variables[key]; ok {
			return name, true
		}
	}
	// A section that should not be one is named by what makes it one.
	if !strings.Contains(f.Message, "is not known here") && !strings.HasPrefix(f.Message, "must be ") {
		return "", false
	}
	for _, key := range sortedKeys(o.overrides) {
		if strings.HasPrefix(key, f.Key+delimiter) {
			return o.flagFor(key), true
		}
	}
	for _, key := range sortedKeys(o.variables) {
		if strings.HasPrefix(key, f.Key+delimiter) {
			return o.variables[key], true
		}
	}
	return "", false
}

// flagFor returns the flag that sets key, or "" if flags have no name.
func (o *origins) flagFor(key string) string {
	if o.flag == "" {
		return ""
	}
	return o.flag + " " + key
}
