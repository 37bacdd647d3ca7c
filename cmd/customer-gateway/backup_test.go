package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/ledger/sqlite"
)

func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, cfg := filepath.Join(dir, "gateway.db"), filepath.Join(dir, "gateway.yaml")
	routes := "routes: {a: {provider: april, base_url: http://127.0.0.1:1, credentials: {api_key: \"${env:APRIL}\"}}}\n"
	if err := os.WriteFile(cfg, []byte("ledger: {dsn: "+path+"}\n"+routes), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none.yaml")
	if err := os.WriteFile(none, []byte("ledger: {driver: none}\n"+routes), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"APRIL=sandbox_sk_x"}
	to := filepath.Join(dir, "copy.db")
	if code, _, errs := call(t.Context(), environ, "backup", to, "-c", cfg); code != exitFailure || !strings.Contains(errs, "there is no ledger at "+path) {
		t.Errorf("no ledger: exit code %d, %s", code, errs)
	}

	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	accepted, err := store.Accept(t.Context(), ledger.Accept{Customer: "c-1", Routes: []string{"a"}, Payload: []byte(`{"id":"c-1"}`)})
	if err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t.Context(), environ, "backup", to, "-c", cfg)
	if code != exitOK || !regexp.MustCompile(`^`+regexp.QuoteMeta(to)+`: [0-9.]+ KiB, in [0-9.]+m?s\n$`).MatchString(out) {
		t.Fatalf("exit code %d, %s%s", code, out, errs)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("copy: %v, %v", info, err)
	}
	copied, err := sqlite.Open(t.Context(), to, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := copied.Claim(t.Context(), "a", 1, time.Minute)
	if err != nil || len(leases) != 1 || leases[0].Version != accepted.Version || string(leases[0].Payload) != `{"id":"c-1"}` {
		t.Errorf("the copy holds %+v, %v", leases, err)
	}
	if err := copied.Close(); err != nil {
		t.Error(err)
	}

	second := filepath.Join(dir, "second.db")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"it is there", []string{to, "-c", cfg}, exitFailure, "file already exists; name a new file"},
		{"nothing to write", nil, exitUsage, "takes one file"},
		{"no ledger configured", []string{second, "-c", none}, exitUsage, "has no ledger to back up (ledger.driver: none)"},
		{"no configuration", []string{second, "-c", cfg + ".none"}, exitUsage, "does not exist"},
	} {
		if code, _, errs := call(t.Context(), environ, append([]string{"backup"}, tt.args...)...); code != tt.code || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d, %s; want %d and %q", tt.name, code, errs, tt.code, tt.want)
		}
	}
	if code, _, errs := call(t.Context(), nil, "backup", second, "-c", cfg); code != exitUsage || !strings.Contains(errs, "routes.a.credentials.api_key") || !strings.Contains(errs, "--database") {
		t.Errorf("without the secrets: exit code %d, %s", code, errs)
	}
	if code, _, errs := call(t.Context(), nil, "backup", second, "--database", path); code != exitOK {
		t.Errorf("--database: exit code %d, %s", code, errs)
	}
}

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0.0 KiB", 1536: "1.5 KiB", 3 << 20: "3.0 MiB", 5 << 29: "2.5 GiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("bytesText(%d) = %s, want %s", n, got, want)
		}
	}
}
