package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"customer-gateway/adapters"
)

// root is the top of the repository.
const root = "../.."

// source is one file of the program; tests are not among them.
type source struct {
	name    string // from the root: "gateway/api/api.go"
	dir     string // "gateway/api"
	file    *ast.File
	imports []string
}

// sources reads every file of the program.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		s := source{name: filepath.ToSlash(rel), file: file}
		s.dir = path.Dir(s.name)
		for _, i := range file.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil || len(all) < 50 {
		t.Fatalf("%d files read, %v", len(all), err)
	}
	return all
}

// within reports whether p is the folder or below it.
func within(p, folder string) bool { return p == folder || strings.HasPrefix(p, folder+"/") }

// homes are the folders that import what others made: each of these has one home,
// so that it can be replaced there.
var homes = map[string]string{
	"github.com/gin-gonic/gin":              "gateway/api",
	"github.com/hashicorp/go-retryablehttp": "gateway/transport",
	"github.com/sony/gobreaker/v2":          "gateway/transport",
	"golang.org/x/time":                     "gateway/transport",
	"github.com/prometheus/client_golang":   "gateway/metrics",
	"golang.org/x/crypto":                   "gateway/ledger",
	"modernc.org/sqlite":                    "gateway/ledger/sqlite",
	"github.com/gofrs/flock":                "gateway/ledger/sqlite",
	"github.com/pressly/goose/v3":           "gateway/ledger/sqlite",
	"pgregory.net/rapid":                    "gateway/ledger/ledgertest",
	"github.com/knadh/koanf":                "config",
	"github.com/go-viper/mapstructure/v2":   "config/section",
	"go.yaml.in/yaml/v3":                    "config",
	"github.com/spf13/cobra":                "cmd/customer-gateway",
	"github.com/mattn/go-isatty":            "cmd/customer-gateway",
	"github.com/schollz/progressbar/v3":     "cmd/customer-gateway",
	"github.com/go-json-experiment/json":    "canonical",
	"golang.org/x/text":                     "canonical",
}

func TestEveryLibraryHasOneHome(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, s := range sources(t) {
		for _, p := range s.imports {
			if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
				continue // the standard library, or our own
			}
			known := false
			for library, home := range homes {
				if !within(p, library) {
					continue
				}
				known, used[library] = true, true
				if s.dir != home {
					t.Errorf("%s imports %s, whose home is %s", s.name, p, home)
				}
			}
			if !known {
				t.Errorf("%s imports %s, which has no home yet: give it one", s.name, p)
			}
		}
	}
	for library, home := range homes {
		if !used[library] {
			t.Errorf("%s does not import %s: strike it off", home, library)
		}
	}
}

// layers says which of our own folders the files of a folder may import.
var layers = []struct {
	folder string
	may    []string
}{
	{"canonical", []string{"canonical"}},
	{"gateway", []string{"canonical", "gateway"}},
	{"config/section", nil},
	{"config", []string{"canonical", "config", "adapters/provider"}},
	{"adapters/emulator", nil},
	{"adapters/provider", []string{"canonical", "config/section", "adapters/emulator"}},
	{"adapters/adaptertest", []string{"canonical"}},
	{"adapters/adapters.go", []string{"adapters"}},
	{"adapters", []string{"canonical", "config/section", "adapters/emulator", "adapters/provider"}}, // and what is below itself
	{"cmd", []string{"canonical", "config", "adapters", "gateway"}},
}

func TestLayers(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		i := slices.IndexFunc(layers, func(l struct {
			folder string
			may    []string
		}) bool {
			return within(s.name, l.folder)
		})
		if i < 0 {
			t.Errorf("%s is in no layer", s.name)
			continue
		}
		for _, p := range s.imports {
			p, ours := strings.CutPrefix(p, "customer-gateway/")
			if ours && !within(p, s.dir) && !slices.ContainsFunc(layers[i].may, func(folder string) bool { return within(p, folder) }) {
				t.Errorf("%s imports %s; it may import %v", s.name, p, layers[i].may)
			}
		}
	}
}

// What a provider's package must not touch, so that it stays pure.
var (
	impure = []string{"context", "crypto/rand", "log", "log/slog", "math/rand", "math/rand/v2", "net", "net/http/httptest", "net/http/httptrace", "net/http/httputil", "os", "os/exec", "syscall"}
	clocks = regexp.MustCompile(`^(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTimer|NewTicker|Local|LoadLocation)$`)
	words  = regexp.MustCompile(`^(Header|CanonicalHeaderKey|ParseTime|TimeFormat|Method[A-Z]\w*|Status[A-Z]\w*)$`)
)

func TestAdaptersArePure(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, s := range sources(t) {
		if !slices.ContainsFunc(names(), func(name string) bool { return s.dir == "adapters/"+name }) {
			continue
		}
		checked++
		for _, p := range s.imports {
			if slices.Contains(impure, p) {
				t.Errorf("%s imports %s; an adapter is pure", s.name, p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, ok := sel.X.(*ast.Ident)
			switch {
			case !ok:
			case of.Name == "time" && clocks.MatchString(sel.Sel.Name), of.Name == "http" && !words.MatchString(sel.Sel.Name):
				t.Errorf("%s uses %s.%s; an adapter is pure", s.name, of.Name, sel.Sel.Name)
			}
			return true
		})
	}
	if checked < len(names()) {
		t.Errorf("%d files checked", checked)
	}
}

// A provider is named in its own folder and in the table, so that adding one
// touches a folder and a line.
func TestOnlyTheTableNamesProviders(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile("(?i)" + strings.Join(names(), "|"))
	for _, s := range sources(t) {
		if s.name == "adapters/adapters.go" || slices.ContainsFunc(names(), func(p string) bool { return within(s.dir, "adapters/"+p) }) {
			continue
		}
		for _, group := range s.file.Comments {
			if at := name.FindString(group.Text()); at != "" {
				t.Errorf("%s names a provider in a comment: %q", s.name, at)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			text := ""
			switch n := n.(type) {
			case *ast.Ident:
				text = n.Name
			case *ast.BasicLit:
				text = n.Value
			}
			if at := name.FindString(text); at != "" {
				t.Errorf("%s names a provider: %q", s.name, at)
			}
			return true
		})
	}
}

// names are the names of all providers.
func names() []string {
	all := make([]string, len(adapters.All))
	for i, p := range adapters.All {
		all[i] = p.Name
	}
	return all
}
