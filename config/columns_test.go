package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"customer-gateway/config"
	"customer-gateway/config/section"
)

func TestLoadColumns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, yaml string
		want       map[string]string
		fault      string
	}{
		{"good", "# map\nE-Mail (main): emails[0].value\nfirst.name: name.givenName\n'No': '-'\n",
			map[string]string{"E-Mail (main)": "emails[0].value", "first.name": "name.givenName", "No": "-"}, ""},
		{"empty", "", map[string]string{}, ""},
		{"types", "a: 5\nb: [x]\nc: id\nd:\n", nil, "a: must be a place in a customer, such as emails[0].value, or - to leave the column out\nb: must"},
		{"no mapping", "- id\n", nil, "column map FILE: is not a mapping of keys to values"},
		{"syntax", "a: {b\n", nil, "column map FILE: yaml: line "},
		{"two documents", "a: id\n---\nb: id\n", nil, "column map FILE has more than one YAML document; leave out the line ---"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "columns.yaml")
			if err := os.WriteFile(file, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := config.LoadColumns(file)
			if tt.fault == "" {
				if err != nil || !maps.Equal(got, tt.want) {
					t.Errorf("LoadColumns = %v, %v, want %v", got, err, tt.want)
				}
				return
			}
			if !errors.As(err, new(section.Faults)) || !strings.HasPrefix(strings.ReplaceAll(err.Error(), file, "FILE"), tt.fault) {
				t.Errorf("LoadColumns = %v, %v, want faults that begin with %q", got, err, tt.fault)
			}
		})
	}
	if _, err := config.LoadColumns(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.HasSuffix(err.Error(), "none.yaml does not exist") {
		t.Errorf("missing file: %v", err)
	}
}
