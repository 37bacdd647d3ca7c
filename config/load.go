package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"

	"customer-gateway/adapters/provider"
	"customer-gateway/config/section"
)

// Source says where a configuration is read from. The zero Source has none, so
// that Load of it reports what is needed at least.
type Source struct {
	// Path names the YAML file; empty means no file. Faults say where in it they
	// are.
	Path string
	// YAML is the file's content if it is not to be read from Path.
	YAML []byte
	// Environ is the environment, as os.Environ returns it.
	Environ []string
	// Overrides are the flags: values, or whole sections, by full key
	// ("server.addr").
	Overrides map[string]any
	// Flag is what sets Overrides, for messages: "--set".
	Flag string
}

// maxFile bounds the configuration file, in bytes.
const maxFile = 4 << 20

// delimiter separates the levels of a key.
const delimiter = "."

// Load reads and checks a configuration. The error is section.Faults: all that
// is wrong, unless the file cannot be read or is not YAML at all.
func Load(src Source) (*Config, error) {
	cfg, faults := read(src)
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return cfg, nil
}

// LoadAndOpen is Load and then Open, but its error holds all that either finds:
// a route without faults of its own is opened even if others have some.
func LoadAndOpen(src Source, providers []provider.Provider) (*Config, []Route, error) {
	cfg, faults := read(src)
	if cfg == nil {
		return nil, nil, faults.Err()
	}
	bad := map[string]bool{}
	for _, f := range faults {
		for _, key := range upwards(f.Key) {
			bad[key] = true
		}
	}
	routes, found := openAll(cfg, providers, func(name string) bool { return !bad[section.Key("routes", name)] })
	if err := append(faults, found...).Err(); err != nil {
		return nil, nil, err
	}
	return cfg, routes, nil
}

// read returns the configuration and all that is wrong with it. It is nil if
// there is none to speak of.
func read(src Source) (*Config, section.Faults) {
	file := src.YAML
	if file == nil && src.Path != "" {
		var err error
		if file, err = readFile(src.Path, maxFile); err != nil {
			return nil, section.Faults{{Message: fmt.Sprintf("configuration file %s %v", src.Path, err)}}
		}
	}
	var faults section.Faults
	env := readEnviron(src.Environ, &faults)
	tree, err := merge(file, env.values, src.Overrides)
	if err != nil {
		return nil, syntaxFaults(src.Path, file, err)
	}
	refs := references{variables: env.variables}
	tree, _ = refs.expand(nil, tree).(map[string]any)
	faults = append(faults, refs.faults...)

	cfg, wrong := decode(tree)
	pointHome(wrong)
	faults = addNew(faults, wrong)
	faults = addNew(faults, cfg.check())
	if src.Path != "" || len(env.names) > 0 || len(src.Overrides) > 0 {
		cfg.origins = &origins{file: readPlaces(src.Path, file), variables: env.names, overrides: src.Overrides, flag: src.Flag}
	}
	return cfg, cfg.origins.explain(faults)
}

// merge lays the sources over one another.
func merge(file []byte, environ, overrides map[string]any) (map[string]any, error) {
	k := koanf.New(delimiter)
	if secondDocument.Match(file) {
		return nil, errDocuments
	}
	if err := k.Load(content(file), yaml.Parser()); err != nil {
		return nil, readable(err)
	}
	for _, layer := range []map[string]any{environ, overrides} {
		// One by one and sections first, so that the result is always the same.
		for _, key := range sortedKeys(layer) {
			if err := k.Load(confmap.Provider(map[string]any{key: layer[key]}, delimiter), nil); err != nil {
				return nil, err
			}
		}
	}
	return k.Raw(), nil
}

// content is a koanf.Provider of a file that has been read.
type content []byte

// ReadBytes returns the content.
func (c content) ReadBytes() ([]byte, error) { return c, nil }

// Read is not called: content comes with a parser.
func (c content) Read() (map[string]any, error) { return nil, errors.ErrUnsupported }

var errDocuments = errors.New("has more than one YAML document")

// secondDocument matches a document marker after content: the YAML parser would
// ignore what follows it.
var secondDocument = regexp.MustCompile(`(?m)^[^#%\s-][^\n]*\n(?s:.*\n)?(---)(?:\s|$)`)

// yamlQuote is where the YAML parser quotes the document, which may be a secret.
var yamlQuote = regexp.MustCompile("`[^`]*`|(anchor )'[^']*'")

// readable makes the YAML parser's error fit to be shown.
func readable(err error) error {
	text := err.Error()
	if strings.Contains(text, "unmarshal errors") && strings.Contains(text, "into map[") {
		return errors.New("is not a mapping of keys to values")
	}
	if strings.Contains(text, "invalid map key") || strings.Contains(text, "into string") {
		return errors.New("has a mapping key that is not a text")
	}
	text = yamlQuote.ReplaceAllString(text, "${1}…")
	return errors.New(strings.Join(strings.Fields(text), " "))
}

// decode reads the merged tree over the defaults.
func decode(tree map[string]any) (*Config, section.Faults) {
	cfg := defaults()
	file := struct {
		Server *Server                   `koanf:"server"`
		Log    *Log                      `koanf:"log"`
		Auth   *Auth                     `koanf:"auth"`
		Ledger *Ledger                   `koanf:"ledger"`
		Routes map[string]map[string]any `koanf:"routes"`
	}{&cfg.Server, &cfg.Log, &cfg.Auth, &cfg.Ledger, nil}
	var faults section.Faults
	faults.Join(section.Decode("", tree, &file))
	if in, ok := tree["routes"].(map[string]any); len(in) == 0 && (ok || tree["routes"] == nil) {
		faults.Add("routes", "has no route; add one: routes: {NAME: {provider: …, base_url: https://…, credentials: {…}}}")
	}
	for name, in := range file.Routes {
		spec := defaultRoute()
		faults.Join(section.Decode(section.Key("routes", name), in, &spec))
		cfg.Routes[name] = spec
	}
	return &cfg, faults
}

// addNew adds to found what later holds about other places: a value that could
// not be read needs no second fault because it is missing now.
func addNew(found, later section.Faults) section.Faults {
	known := map[string]bool{}
	for _, f := range found {
		known[f.Key] = true
	}
	for _, f := range later {
		if !slices.ContainsFunc(upwards(f.Key), func(key string) bool { return known[key] }) {
			found = append(found, f)
		}
	}
	return found
}

// upwards returns key and the keys of the sections it is in.
func upwards(key string) []string {
	keys := []string{key}
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '.' || key[i] == '[' {
			keys = append(keys, key[:i])
		}
	}
	return keys
}

// readFile reads a file of at most limit bytes. Its errors continue a sentence
// that names the file.
func readFile(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, because(err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, because(err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("is longer than %v", section.Size(limit))
	}
	return data, nil
}

// because names what is wrong with a file, without its name.
func because(err error) error {
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("does not exist")
	case errors.As(err, &path):
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}
