// Package section decodes one section of the configuration, a map as a YAML
// file or the environment gives it, into a struct. It is strict: an unknown key
// and a value of the wrong type are faults, and all faults are reported at once.
package section

import (
	"cmp"
	"encoding"
	"errors"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

// tag names the struct tag that holds a field's key.
const tag = "koanf"

// Decode sets the fields of the struct that into points to from the keys of in.
// A field's key is its tag, `koanf:"name"`. Fields without a key in the map, or
// with null there, keep what they hold, so defaults are set before the call; a
// list or a map that is stated replaces its default.
//
// A text is read as a number, a boolean (true, false), a duration (8s) or, at
// its commas, a list where the field is one; that is what the environment can
// say. Every other change of type is a fault. A type with UnmarshalText reads
// texts and whole numbers with it; its error becomes the fault's message, so it
// must not quote a secret.
//
// The error is Faults, whose keys begin with at unless that is empty, and whose
// messages never hold a value. What could be decoded has been decoded then too.
func Decode(at string, in map[string]any, into any) error {
	var faults Faults
	unknown(at, reflect.TypeOf(into), reflect.ValueOf(in), &faults)
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:     into,
		RootName:   at,
		TagName:    tag,
		MatchName:  func(key, field string) bool { return key == field },
		DecodeHook: mapstructure.DecodeHookFuncValue(convert),
	})
	if err != nil {
		return err // into is not a pointer: a defect in the calling package
	}
	collect(at, decoder.Decode(in), &faults)
	return faults.Err()
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// readsText reports whether values of t read texts by themselves.
func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(textUnmarshaler)
}

// unknown reports the keys of v that t has no field for. The decoder cannot: it
// forgets them as soon as there is another fault.
func unknown(at string, t reflect.Type, v reflect.Value, faults *Faults) {
	for v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !v.IsValid() || readsText(t) {
		return
	}
	switch {
	case t.Kind() == reflect.Slice && v.Kind() == reflect.Slice:
		for i := range v.Len() {
			unknown(at+"["+strconv.Itoa(i)+"]", t.Elem(), v.Index(i), faults)
		}
	case t.Kind() == reflect.Map && v.Kind() == reflect.Map:
		for _, k := range v.MapKeys() {
			unknown(Key(at, k.String()), t.Elem(), v.MapIndex(k), faults)
		}
	case t.Kind() == reflect.Struct && v.Kind() == reflect.Map:
		known := map[string]reflect.Type{}
		fields(t, known)
		for _, k := range v.MapKeys() {
			if field, ok := known[k.String()]; ok {
				unknown(Key(at, k.String()), field, v.MapIndex(k), faults)
				continue
			}
			faults.Add(Key(at, k.String()), "is not known here; %s", Nearest(k.String(), known))
		}
	}
}

// fields adds the keys of struct t to known, with the types of their fields.
func fields(t reflect.Type, known map[string]reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get(tag), ",")
		switch {
		case options == "squash":
			fields(f.Type, known)
		case name == "-" || !f.IsExported():
		default:
			known[cmp.Or(name, f.Name)] = f.Type
		}
	}
}

// collect turns the decoder's errors into faults.
func collect(at string, err error, faults *Faults) {
	var many interface{ Unwrap() []error }
	var one *mapstructure.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &many):
		for _, e := range many.Unwrap() {
			collect(at, e, faults)
		}
	case errors.As(err, &one):
		message := "cannot be read"
		var reason *reason
		if errors.As(err, &reason) {
			message = reason.text
		}
		*faults = append(*faults, Fault{Key: dotted(at, one.Name()), Message: message})
	default:
		*faults = append(*faults, Fault{Key: at, Message: "cannot be read"})
	}
}

// inMap is how the decoder writes the key of a map; list positions look alike.
var inMap = regexp.MustCompile(`\[([^\]]*[^\]0-9][^\]]*)\]`)

// dotted writes the decoder's name for something in the section at as Key does.
func dotted(at, name string) string {
	inside := inMap.ReplaceAllStringFunc(strings.TrimPrefix(name, at), func(key string) string {
		return "." + Key("", key[1:len(key)-1])
	})
	return strings.TrimPrefix(at+inside, ".")
}

// reason is a fault's message on its way through the decoder.
type reason struct{ text string }

func (r *reason) Error() string { return r.text }

// The messages about values of the wrong type.
var (
	notText     = &reason{"must be a text; put it in quotes"}
	notBool     = &reason{"must be true or false"}
	notInt      = &reason{"must be a whole number"}
	notIntRange = &reason{"is out of range"}
	notFloat    = &reason{"must be a number"}
	notDuration = &reason{"must be a duration with its unit, such as 200ms, 8s or 1m30s"}
	notList     = &reason{"must be a list"}
	notMap      = &reason{"must be a mapping of keys to values"}
)

// convert is the decoder's hook. It is called for every value before it is set,
// refuses what the decoder would bend silently (8.9 to 8, the number 5 to 5 ns)
// and reads texts.
func convert(from, to reflect.Value) (any, error) {
	in, t := from.Interface(), to.Type()
	switch {
	case t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface:
		return in, nil // the decoder comes again with what it points to
	case readsText(t):
		return convertText(from, t)
	case t == reflect.TypeFor[time.Duration]():
		return convertDuration(from)
	}
	text := from.Kind() == reflect.String
	switch t.Kind() {
	case reflect.String:
		if !text {
			return nil, notText
		}
	case reflect.Bool:
		switch {
		case from.Kind() == reflect.Bool:
		case text && (from.String() == "true" || from.String() == "false"):
			return from.String() == "true", nil
		default:
			return nil, notBool
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return convertInt(from, t)
	case reflect.Float32, reflect.Float64:
		return convertFloat(from)
	case reflect.Slice:
		switch from.Kind() {
		case reflect.Slice, reflect.Array:
			// The decoder would keep the default's surplus elements.
			to.SetZero()
		case reflect.String:
			to.SetZero()
			return split(from.String(), t.Elem())
		default:
			return nil, notList
		}
	case reflect.Map:
		if from.Kind() != reflect.Map {
			return nil, notMap
		}
		to.SetZero()
	case reflect.Struct:
		if from.Kind() != reflect.Map && from.Type() != t {
			return nil, notMap
		}
	}
	return in, nil
}

func convertText(from reflect.Value, t reflect.Type) (any, error) {
	var text string
	switch {
	case from.Type() == t:
		return from.Interface(), nil
	case from.Kind() == reflect.String:
		text = from.String()
	case from.CanInt():
		text = strconv.FormatInt(from.Int(), 10)
	case from.CanUint():
		text = strconv.FormatUint(from.Uint(), 10)
	default:
		return nil, notText
	}
	into := reflect.New(t).Interface()
	if err := into.(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return nil, &reason{err.Error()}
	}
	return into, nil
}

func convertDuration(from reflect.Value) (any, error) {
	switch {
	case from.Type() == reflect.TypeFor[time.Duration]():
		return from.Interface(), nil
	case from.Kind() == reflect.String:
		d, err := time.ParseDuration(from.String())
		if err != nil {
			return nil, notDuration
		}
		return d, nil
	case from.CanInt() && from.Int() == 0:
		return time.Duration(0), nil
	}
	return nil, notDuration
}

// convertInt returns from as an int64 or uint64 that fits into t.
func convertInt(from reflect.Value, t reflect.Type) (any, error) {
	text := ""
	switch {
	case from.Kind() == reflect.String:
		text = from.String()
	case from.CanInt():
		text = strconv.FormatInt(from.Int(), 10)
	case from.CanUint():
		text = strconv.FormatUint(from.Uint(), 10)
	}
	var n any
	var err error
	if reflect.Zero(t).CanInt() {
		n, err = strconv.ParseInt(text, 10, t.Bits())
	} else {
		n, err = strconv.ParseUint(text, 10, t.Bits())
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, notIntRange
	case err != nil:
		return nil, notInt
	}
	return n, nil
}

func convertFloat(from reflect.Value) (any, error) {
	var f float64
	var err error
	switch {
	case from.Kind() == reflect.String:
		f, err = strconv.ParseFloat(from.String(), 64)
	case from.CanInt():
		f = float64(from.Int())
	case from.CanUint():
		f = float64(from.Uint())
	case from.CanFloat():
		f = from.Float()
	default:
		return nil, notFloat
	}
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, notFloat
	}
	return f, nil
}

// split reads a text as a list of scalars.
func split(text string, elem reflect.Type) (any, error) {
	nested := []reflect.Kind{reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer}
	if slices.Contains(nested, elem.Kind()) && !readsText(elem) {
		return nil, notList
	}
	if text == "" {
		return []string{}, nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts, nil
}
