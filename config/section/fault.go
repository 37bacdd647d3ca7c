package section

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Fault is one thing that is wrong with a configuration.
type Fault struct {
	// Key is where, from the root of what was decoded: "routes.shop-eu.timeout",
	// "auth.keys[0].name". Empty if the fault has no one place.
	Key string
	// Message says what is wrong and the way out, as the rest of a sentence that
	// begins with the key: "must be more than 0". It never holds a secret.
	Message string
	// Place is where the value was written, "gateway.yaml:12:5", if that is known.
	Place string
}

// Error returns "place: key: message".
func (f Fault) Error() string {
	text := f.Message
	if f.Key != "" {
		text = f.Key + ": " + text
	}
	if f.Place != "" {
		text = f.Place + ": " + text
	}
	return text
}

// Faults is everything that is wrong, sorted by key where Err returned it. The
// nil Faults has nothing wrong; use Err to return it as an error.
type Faults []Fault

// Error returns one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns every fault as an error.
func (fs Faults) Unwrap() []error {
	errs := make([]error, len(fs))
	for i, f := range fs {
		errs[i] = f
	}
	return errs
}

// Add adds a fault.
func (fs *Faults) Add(key, format string, args ...any) {
	*fs = append(*fs, Fault{Key: key, Message: fmt.Sprintf(format, args...)})
}

// Join adds what errs hold: a Fault or Faults as they are, any other error as a
// fault without a key. Nil errors are skipped.
func (fs *Faults) Join(errs ...error) {
	for _, err := range errs {
		var many Faults
		var one Fault
		switch {
		case err == nil:
		case errors.As(err, &many):
			*fs = append(*fs, many...)
		case errors.As(err, &one):
			*fs = append(*fs, one)
		default:
			*fs = append(*fs, Fault{Message: err.Error()})
		}
	}
}

// Under returns the faults with their keys below at.
func (fs Faults) Under(at string) Faults {
	moved := make(Faults, len(fs))
	for i, f := range fs {
		f.Key = strings.TrimSuffix(at+"."+f.Key, ".")
		moved[i] = f
	}
	return moved
}

// Err returns the faults sorted by key as an error, or nil if there are none.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	sorted := slices.Clone(fs)
	slices.SortStableFunc(sorted, func(a, b Fault) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Message, b.Message))
	})
	return sorted
}

// plain is what a key usually looks like.
var plain = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Key returns the full key of name inside the section at. A name that is not
// plain is quoted, so that a key is always one readable line.
func Key(at, name string) string {
	if !plain.MatchString(name) {
		name = strconv.Quote(name)
	}
	if at == "" {
		return name
	}
	return at + "." + name
}
