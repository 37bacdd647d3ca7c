package config

import (
	_ "embed"
	"slices"
)

//go:embed config.schema.json
var schema []byte

// Schema returns config.schema.json, the JSON Schema (2020-12) of a configuration
// file, for editors. It refuses nothing that Load takes, except that it wants
// what the environment may state as well: the provider and base_url of a route.
// Load refuses more, such as references that lead nowhere.
func Schema() []byte { return slices.Clone(schema) }
