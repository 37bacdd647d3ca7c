package config

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"customer-gateway/config/section"
)

// reference matches ${env:NAME} and ${file:/path}.
var reference = regexp.MustCompile(`\$\{(env|file):([^{}$]+)\}`)

// maxSecret bounds a file that a reference names, in bytes.
const maxSecret = 64 << 10

// references replaces the references in a tree of configuration values.
type references struct {
	variables map[string]string
	faults    section.Faults
}

// expand returns v with its references replaced. A value whose reference leads
// nowhere becomes nil, as if it were not stated.
func (r *references) expand(path []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			value = r.expand(append(path[:len(path):len(path)], section.Key("", key)), value)
			if value != nil || !credentials(path) {
				out[key] = value
			}
		}
		return out
	case map[string]string:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[key] = value
		}
		return r.expand(path, out)
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			at := strings.Join(path, delimiter) + "[" + strconv.Itoa(i) + "]"
			out[i] = r.expand([]string{at}, value)
		}
		return out
	case string:
		if !strings.Contains(v, "${") {
			return v
		}
		return r.expandText(path, v)
	}
	return v
}

// credentials reports whether path is that of a route's credentials.
func credentials(path []string) bool {
	return len(path) == 3 && path[0] == "routes" && path[2] == "credentials"
}

func (r *references) expandText(path []string, text string) any {
	at := strings.Join(path, delimiter)
	anywhere := len(path) > 1 && credentials(path[:len(path)-1])
	places := reference.FindAllStringSubmatchIndex(text, -1)
	switch {
	case strings.Count(text, "${") != len(places):
		r.faults.Add(at, "has a ${ that begins no reference; write ${env:NAME} or ${file:/path}, also for a value that really holds ${")
		return nil
	case !anywhere && places[0][1]-places[0][0] != len(text):
		r.faults.Add(at, "has a reference beside other text; outside credentials it must be the whole value")
		return nil
	}
	var out strings.Builder
	end, whole := 0, true
	for _, p := range places {
		kind, name := text[p[2]:p[3]], text[p[4]:p[5]]
		value, err := r.resolve(kind, name)
		if err != nil {
			r.faults.Add(at, "refers to ${%s:%s}, which %v", kind, name, err)
			whole = false
		}
		out.WriteString(text[end:p[0]] + value)
		end = p[1]
	}
	if !whole {
		return nil
	}
	return out.String() + text[end:]
}

// resolve returns what a reference stands for. Its errors continue a sentence
// about the reference.
func (r *references) resolve(kind, name string) (string, error) {
	if kind == "env" {
		value, ok := r.variables[name]
		switch {
		case !ok:
			return "", errors.New("is not set")
		case value == "":
			return "", errors.New("is empty")
		}
		return value, nil
	}
	if !filepath.IsAbs(name) {
		return "", errors.New("is not an absolute path")
	}
	// A pipe or a terminal would hold up the start for ever.
	if info, err := os.Stat(name); err != nil {
		return "", because(err)
	} else if !info.Mode().IsRegular() {
		return "", errors.New("is not a regular file")
	}
	data, err := readFile(name, maxSecret)
	if err != nil {
		return "", err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		return "", errors.New("is empty")
	}
	return value, nil
}
