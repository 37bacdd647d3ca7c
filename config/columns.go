package config

import (
	"fmt"

	"github.com/knadh/koanf/parsers/yaml"

	"customer-gateway/config/section"
)

// LoadColumns reads the YAML file that maps the columns of a CSV file to places in
// a customer: texts by the names of the columns. The error is section.Faults.
func LoadColumns(path string) (map[string]string, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, section.Faults{{Message: fmt.Sprintf("column map %s %v", path, err)}}
	}
	if secondDocument.Match(data) {
		return nil, section.Faults{{Message: fmt.Sprintf("column map %s has more than one YAML document; leave out the line ---", path)}}
	}
	tree, err := yaml.Parser().Unmarshal(data)
	if err != nil {
		return nil, section.Faults{{Message: fmt.Sprintf("column map %s: %v", path, readable(err))}}
	}
	columns := make(map[string]string, len(tree))
	var faults section.Faults
	for _, name := range sortedKeys(tree) {
		place, ok := tree[name].(string)
		if !ok {
			faults.Add(section.Key("", name), "must be a place in a customer, such as emails[0].value, or - to leave the column out")
		}
		columns[name] = place
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return columns, nil
}
