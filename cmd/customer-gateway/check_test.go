package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"customer-gateway/config"
)

// directive matches the comments at the end of a file in testdata/check: the
// variables and the flags beside the file, and every line of the report.
var directive = regexp.MustCompile(`(?m)^# (env|set|want): (.*)\n`)

// Every broken configuration is refused by check and by serve, and every fault is
// told with its place, its cause and the way out.
func TestBrokenConfigurations(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "check", "*.yaml"))
	if err != nil || len(files) < 75 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var environ, flags, want []string
			for _, m := range directive.FindAllStringSubmatch(string(data), -1) {
				switch m[1] {
				case "env":
					environ = append(environ, m[2])
				case "set":
					flags = append(flags, "--set", m[2])
				default:
					want = append(want, m[2])
				}
			}
			if len(want) == 0 {
				t.Fatal("the file does not say what is wrong with it")
			}
			yaml := filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(yaml, directive.ReplaceAll(data, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"check", "serve"} {
				code, out, errs := call(t.Context(), environ, append([]string{command, "-c", yaml}, flags...)...)
				lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(errs, yaml, "gateway.yaml")), "\n")
				if got := lines[:len(lines)-1]; code != exitUsage || out != "" || !slices.Equal(got, want) {
					t.Errorf("%s: exit code %d, %q\n%s\nwant:\n%s", command, code, out, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if last := lines[len(lines)-1]; !strings.HasSuffix(last, "; nothing was started") {
					t.Errorf("%s ends with %q", command, last)
				}
				if strings.Contains(errs, "hunter2") {
					t.Errorf("%s shows a value:\n%s", command, errs)
				}
			}
		})
	}
}

// What an editor reads is what check prints, and the file that check prints names
// the other.
func TestCheckPrintsFiles(t *testing.T) {
	t.Parallel()
	if code, out, _ := call(t.Context(), nil, "check", "--schema"); code != exitOK || out != string(config.Schema()) || !json.Valid([]byte(out)) {
		t.Errorf("check --schema: exit code %d, %d bytes", code, len(out))
	}
	if code, _, errs := call(t.Context(), nil, "check", "--schema", "--example"); code != exitUsage || !strings.Contains(errs, "state one of them") {
		t.Errorf("check --schema --example: exit code %d, %s", code, errs)
	}
	_, example, _ := call(t.Context(), nil, "check", "--example")
	if !strings.Contains(example, "$schema=config.schema.json\n") || !strings.Contains(example, "customer-gateway check --schema > config.schema.json\n") {
		t.Error("the example does not say where its schema is")
	}
}

// writeConfig writes a configuration file.
func writeConfig(t *testing.T, yaml string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gateway.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

const risky = `server: {addr: "127.0.0.1:8080"}
ledger: {retain: until_delivered}
log: {level: debug}
routes:
  a:
    provider: april
    base_url: http://127.0.0.1:1
    credentials: {api_key: "${env:KEY}"}
    breaker: {off: true}
`

func TestCheckAudit(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, risky)
	environ := []string{"KEY=sandbox_sk_canary"}
	for _, tt := range []struct {
		args []string
		code int
		want []string
	}{
		{nil, exitOK, []string{": good", "warning: " + file + ":9:15: routes.a.breaker.off"}},
		{[]string{"--audit"}, exitOK, []string{
			file + ":9:15: CG006 medium: routes.a.breaker.off: is true: every call waits for a provider that is down; leave breaker.off out\n",
			file + ":3:7: CG013 low: log.level: ", "no faults; risks: 1 medium, 2 low\n",
		}},
		{[]string{"--audit", "--audit-level", "medium"}, exitFailure, []string{"the audit found a risk of grade medium or worse"}},
		{[]string{"--audit-level", "low"}, exitFailure, []string{"CG014", "the audit found 3 risks of grade low or worse"}},
		{[]string{"--audit", "--set", "server.addr=:8080"}, exitFailure, []string{"CG003 high: auth.keys", "risks: 1 high, 1 medium, 2 low", "the audit found a risk of grade high or worse"}},
		{[]string{"--audit", "--audit-level", "all"}, exitUsage, []string{`--audit-level "all": must be high, medium or low`}},
		{[]string{"--audit", "--set", "log.level=loud"}, exitUsage, []string{"log.level: must be", "1 fault"}},
	} {
		code, out, errs := call(t.Context(), environ, append([]string{"check", "-c", file}, tt.args...)...)
		if code != tt.code {
			t.Errorf("%v: exit code %d, want %d", tt.args, code, tt.code)
		}
		for _, want := range tt.want {
			if !strings.Contains(out+errs, want) {
				t.Errorf("%v: the output lacks %q:\n%s%s", tt.args, want, out, errs)
			}
		}
		if strings.Contains(out+errs, "canary") {
			t.Errorf("%v: the output has a credential:\n%s%s", tt.args, out, errs)
		}
	}
}

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	file := writeConfig(t, risky)
	type verdict struct {
		File             string
		Good             bool
		Faults, Warnings []struct{ Place, Key, Message string }
		Risks            []config.Risk
	}
	run := func(code int, args ...string) verdict {
		t.Helper()
		got, out, errs := call(t.Context(), []string{"KEY=sandbox_sk_x"}, append([]string{"check", "--json", "-c", file}, args...)...)
		var v verdict
		if err := json.Unmarshal([]byte(out), &v); err != nil || got != code || v.File != file {
			t.Fatalf("%v: exit code %d, %v, want %d:\n%s%s", args, got, err, code, out, errs)
		}
		return v
	}
	if v := run(exitOK); !v.Good || len(v.Faults) != 0 || len(v.Warnings) != 2 || v.Risks != nil {
		t.Errorf("without an audit: %+v", v)
	}
	v := run(exitFailure, "--audit-level", "medium")
	want := config.Risk{
		Rule: "CG006", Grade: config.Medium, Place: file + ":9:15", Key: "routes.a.breaker.off",
		Cause: "is true: every call waits for a provider that is down", Way: "leave breaker.off out",
	}
	if !v.Good || len(v.Risks) != 3 || v.Risks[0] != want {
		t.Errorf("with an audit: %+v", v)
	}
	v = run(exitUsage, "--audit", "--set", "log.level=loud", "--set", "routes.a.timeout=x", "--set", "routes.a.exclusive=true")
	if v.Good || len(v.Faults) != 2 || v.Faults[0].Key != "log.level" || v.Faults[0].Message != "must be debug, info, warn or error (set by --set log.level)" || v.Risks != nil {
		t.Errorf("with faults: %+v", v)
	}
}
