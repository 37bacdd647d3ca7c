package config

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"customer-gateway/config/section"
)

// places knows where in a YAML file keys stand. The zero places knows none.
type places struct {
	file string
	root *yaml.Node
}

// readPlaces reads the places in data, the content of file, which is YAML.
func readPlaces(file string, data []byte) places {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil || len(document.Content) == 0 {
		return places{file: file}
	}
	return places{file: file, root: document.Content[0]}
}

// of returns where key stands, as "file:line:column". A key that is not there
// has the place of the section that it is missing from.
func (p places) of(key string) string {
	if p.file == "" {
		return ""
	}
	for _, k := range upwards(key) {
		if at, _ := p.find(k); at != nil {
			return fmt.Sprintf("%s:%d:%d", p.file, at.Line, at.Column)
		}
	}
	return p.file
}

// has reports whether the file states key.
func (p places) has(key string) bool {
	at, _ := p.find(key)
	return at != nil
}

// text returns the value of key as the file has it, if it is a text or a number.
func (p places) text(key string) string {
	if _, value := p.find(key); value != nil && value.Kind == yaml.ScalarNode {
		return value.Value
	}
	return ""
}

// find returns the node to point at for key, that of the key itself or of the
// element of a list, and its value.
func (p places) find(key string) (at, value *yaml.Node) {
	if p.root == nil {
		return nil, nil
	}
	return find(p.root, key)
}

func find(in *yaml.Node, key string) (at, value *yaml.Node) {
	for in.Kind == yaml.AliasNode {
		in = in.Alias
	}
	switch in.Kind {
	case yaml.SequenceNode:
		for i, element := range in.Content {
			if rest, ok := strings.CutPrefix(key, "["+strconv.Itoa(i)+"]"); ok {
				return inside(element, element, strings.TrimPrefix(rest, delimiter))
			}
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(in.Content); i += 2 {
			name, v := in.Content[i], in.Content[i+1]
			if rest, ok := strings.CutPrefix(key, section.Key("", name.Value)); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				return inside(name, v, strings.TrimPrefix(rest, delimiter))
			}
		}
		return findMerged(in, key)
	}
	return nil, nil
}

// inside returns at and its value, or what is at rest below the value.
func inside(at, value *yaml.Node, rest string) (*yaml.Node, *yaml.Node) {
	if rest == "" {
		return at, value
	}
	return find(value, rest)
}

// findMerged finds key in the mappings that in merges with <<.
func findMerged(in *yaml.Node, key string) (at, value *yaml.Node) {
	for i := 0; i+1 < len(in.Content); i += 2 {
		if in.Content[i].Tag != "!!merge" {
			continue
		}
		merged := []*yaml.Node{in.Content[i+1]}
		if merged[0].Kind == yaml.SequenceNode {
			merged = merged[0].Content
		}
		for _, m := range merged {
			if at, value = find(m, key); at != nil {
				return at, value
			}
		}
	}
	return nil, nil
}

// ways are the ways out of what the YAML parser complains about.
var ways = []struct{ complaint, way string }{
	{"a tab character", "indent with spaces, not tabs"},
	{"cannot start any token", "indent with spaces, not tabs, and put a value that begins with @, `, % or a tab in quotes"},
	{"did not find expected key", "indent all keys of a section alike, and put a value that goes on after a quote in quotes as a whole"},
	{"mapping values are not allowed", "indent all keys of a section alike, and put a value that holds a colon and a space in quotes"},
	{"could not find expected ':'", "write KEY: VALUE, with a space after the colon"},
	{"did not find expected ','", "separate values by commas, and close the bracket"},
	{"expected '-' indicator", "begin every element of the list with - in the same column"},
	{"unexpected end of stream", "close the quotes"},
	{"already defined", "state it once"},
	{"unknown anchor", "put a value that begins with * in quotes, or define the anchor before"},
	{"not a mapping of keys", "begin with a section, such as routes:"},
	{"not a text", "put the key in quotes"},
	{"more than one YAML document", "leave out the line ---"},
}

func wayOut(complaint string) string {
	for _, w := range ways {
		if strings.Contains(complaint, w.complaint) {
			return w.way
		}
	}
	return "compare it with `customer-gateway check --example`"
}

var (
	yamlPrefix = regexp.MustCompile(`^yaml: (unmarshal errors: )?`)
	yamlLine   = regexp.MustCompile(`^line (\d+): `)
	yamlNext   = regexp.MustCompile(` (line \d+: mapping key )`)
)

// syntaxFaults says where data, the content of file, is not the YAML that it
// should be, what the parser's err complains about, and the way out.
func syntaxFaults(file string, data []byte, err error) section.Faults {
	text := yamlPrefix.ReplaceAllString(readable(err).Error(), "")
	complaints := strings.Split(yamlNext.ReplaceAllString(text, "\n$1"), "\n")
	exact := strings.Contains(text, "already defined")
	var faults section.Faults
	for _, complaint := range complaints {
		line := 1
		if m := yamlLine.FindStringSubmatch(complaint); m != nil && exact {
			line, _ = strconv.Atoi(m[1]) // digits
		} else if errors.Is(err, errDocuments) {
			at := secondDocument.FindSubmatchIndex(data)
			line += bytes.Count(data[:at[2]], []byte("\n"))
		} else if !strings.HasPrefix(complaint, "is not a mapping") {
			line = brokenLine(data)
		}
		complaint = yamlLine.ReplaceAllString(complaint, "")
		if !strings.HasPrefix(complaint, "is ") && !strings.HasPrefix(complaint, "has ") {
			complaint = "is not good YAML: " + complaint
		}
		complaint += "; " + wayOut(complaint)
		place := "line " + strconv.Itoa(line)
		if file != "" {
			place = fmt.Sprintf("%s:%d", file, line)
		}
		faults = append(faults, section.Fault{Place: place, Message: "the configuration file " + complaint})
	}
	return slices.Compact(faults)
}

// brokenLine returns the line at which data stops being YAML. The parser itself
// tells where the section began, one line off.
func brokenLine(data []byte) int {
	lines := strings.SplitAfter(string(data), "\n")
	complaint := func(n int) string {
		var v map[string]any
		if err := yaml.Unmarshal([]byte(strings.Join(lines[:n], "")), &v); err != nil {
			return err.Error()
		}
		return ""
	}
	// What breaks a file breaks every part of it that holds the same line.
	whole := complaint(len(lines))
	return 1 + sort.Search(len(lines)-1, func(n int) bool { return complaint(n+1) == whole })
}
