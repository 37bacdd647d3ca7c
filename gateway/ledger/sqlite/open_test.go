package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"customer-gateway/gateway/ledger"
)

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, path string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	made := func(t *testing.T, path string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, q := range statements {
			if _, err := db.Exec(q); err != nil {
				t.Fatal(err)
			}
		}
	}
	closed := func(t *testing.T, path string) {
		t.Helper()
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name, want string
		file       string // in place of gateway.db
		prepare    func(t *testing.T, path string)
	}{
		{"memory", "in memory", ":memory:", nil},
		{"no name", "not a file", "-", nil},
		{"text", "not a SQLite database", "", func(t *testing.T, path string) { write(t, path, bytes.Repeat([]byte("text\n"), 100)) }},
		{"short", "not a SQLite database", "", func(t *testing.T, path string) { write(t, path, []byte("SQLite format 3\x00")) }},
		{"another program's", "another program", "", func(t *testing.T, path string) { made(t, path, "CREATE TABLE a (b)") }},
		{"folder", "regular file", "", func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"newer", "newer version", "", func(t *testing.T, path string) {
			closed(t, path)
			made(t, path, "INSERT INTO migration (version_id, is_applied) VALUES (9999, 1)")
		}},
		{"log without database", "is gone", "", func(t *testing.T, path string) { write(t, path+"-wal", []byte("log")) }},
		{"log with empty database", "is empty", "", func(t *testing.T, path string) {
			write(t, path, nil)
			write(t, path+"-wal", []byte("log"))
		}},
		{"in use", "another gateway", "", func(t *testing.T, path string) { openAt(t, path, Options{}) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "gateway.db")
			switch tt.file {
			case "":
			case "-":
				path = ""
			default:
				path = tt.file
			}
			if tt.prepare != nil {
				tt.prepare(t, path)
			}
			before, _ := os.ReadFile(path)
			s, err := Open(t.Context(), path, Options{})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q does not say %q", err, tt.want)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the file was changed")
			}
		})
	}
}

func TestFilesAreTheOwners(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a", "b")
	s := openAt(t, filepath.Join(folder, "gateway.db"), Options{})
	accept(t, s, "anna", "april")
	if _, err := s.Slot(t.Context(), "april", "anna"); err != nil {
		t.Fatal(err)
	}
	names := 0
	err := filepath.WalkDir(filepath.Dir(folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			names++
		}
		if err == nil && info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return err
	})
	if err != nil || names != 4 {
		t.Errorf("%d files, want database, log, index and lock; %v", names, err)
	}
}

// TestClock restarts with the wall clock elsewhere.
func TestClock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	wall := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return wall }
	var version int64
	var before time.Time
	restart := func(t *testing.T, jump time.Duration, f func(s *Store)) {
		t.Helper()
		wall = wall.Add(jump)
		s, err := Open(t.Context(), path, Options{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Now().Before(before) {
			t.Errorf("after a jump of %v the clock stands at %v, before %v", jump, s.Now(), before)
		}
		a := accept(t, s, "anna", "april")
		if a.Version <= version {
			t.Errorf("after a jump of %v version %d is not after %d", jump, a.Version, version)
		}
		version = a.Version
		f(s)
		before = s.Now()
		// Nothing that is kept may be needed to go on from here.
		if err := s.Erase(t.Context(), "anna"); err != nil {
			t.Fatal(err)
		}
	}
	restart(t, 0, func(s *Store) {
		a := accept(t, s, "berta", "april")
		if _, err := ledger.Settle(t.Context(), s, []ledger.Finish{{Route: "april", Customer: "berta", Token: a.Places[0].Lease.Token, Version: a.Version, Verdict: ledger.Retry, Delay: time.Minute}}); err != nil {
			t.Fatal(err)
		}
	})
	restart(t, -time.Hour, func(s *Store) {
		slot, err := s.Slot(t.Context(), "april", "berta")
		if err != nil {
			t.Fatal(err)
		}
		if wait := slot.NextAt.Sub(s.Now()); wait != time.Minute {
			t.Errorf("an hour back, what was due in a minute is due in %v", wait)
		}
		wall = wall.Add(time.Minute)
		if l, err := s.Claim(t.Context(), "april", 10, time.Minute); err != nil || !slices.ContainsFunc(l, func(l ledger.Lease) bool { return l.Customer == "berta" }) {
			t.Errorf("Claim = %+v, %v", l, err)
		}
		wall = wall.Add(-time.Hour)
		if s.Now().Before(slot.NextAt) {
			t.Error("the clock went back while running")
		}
	})
	restart(t, 24*time.Hour, func(s *Store) {
		if got := s.Now().Sub(wall); got != 0 {
			t.Errorf("a day later the clock is %v off", got)
		}
	})
}

// TestPowerLoss takes, at every acknowledgement, what is on the disk then.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, Options{})
	var accepted []string
	for i := range 30 {
		id := "customer" + string(rune('a'+i))
		a := accept(t, s, id, "april", "rebilly")
		accepted = append(accepted, id)
		if !s.full {
			t.Fatal("an accept did not wait for the disk")
		}
		cut := filepath.Join(folder, id)
		duplicate(t, s.path, cut, -1)
		duplicate(t, s.path+"-wal", cut+"-wal", s.files.log())
		survivor := openAt(t, cut, Options{})
		holds(t, survivor, accepted...)
		if l, err := survivor.Slot(t.Context(), "april", id); err != nil || l.State != ledger.Leased || l.InFlight != a.Version {
			t.Fatalf("slot = %+v, %v", l, err)
		}
		if i%3 == 0 {
			if _, err := ledger.Settle(t.Context(), s, []ledger.Finish{{Route: "april", Customer: id, Token: a.Places[0].Lease.Token, Version: a.Version, Verdict: ledger.Applied}}); err != nil {
				t.Fatal(err)
			}
			if s.full {
				t.Fatal("a finish alone waited for the disk")
			}
		}
	}
}

func TestBackup(t *testing.T) {
	t.Parallel()
	s := open(t, Options{})
	folder := t.TempDir()
	for i := range 200 {
		if err := try(s, "before"+string(rune('0'+i%10))+string(rune('0'+i/10))); err != nil {
			t.Fatal(err)
		}
	}
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := try(s, "during"+string(rune('0'+n%10))); err != nil {
				done <- err
				return
			}
		}
	}()
	to := filepath.Join(folder, "copy.db")
	if err := Backup(t.Context(), s.path, to); err != nil {
		t.Fatal(err)
	}
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a backup got into the way: %v", err)
	}
	info, err := os.Stat(to)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	content, _ := os.ReadFile(to)
	if err := Backup(t.Context(), s.path, to); err == nil {
		t.Error("a backup overwrote a file")
	}
	if after, _ := os.ReadFile(to); !bytes.Equal(content, after) {
		t.Error("the first backup was changed")
	}
	restored := openAt(t, to, Options{})
	holds(t, restored, "before00", "before99")
	accept(t, restored, "after", "april")
	if restored.last <= s.last-int64(time.Hour/time.Microsecond) {
		t.Error("versions start anew after a restore")
	}

	if err := Backup(t.Context(), filepath.Join(folder, "nothing.db"), filepath.Join(folder, "x.db")); err == nil {
		t.Error("a backup of nothing succeeded")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Backup(ended, s.path, filepath.Join(folder, "ended.db")); err == nil {
		t.Error("a backup whose time was over succeeded")
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "copy.db") {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

func TestBackupOfAClosedLedger(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path, to := filepath.Join(folder, "gateway.db"), filepath.Join(folder, "copy.db")
	s, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	accept(t, s, "anna", "april")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Backup(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	holds(t, openAt(t, to, Options{}), "anna")
	holds(t, openAt(t, path, Options{}), "anna")
}

func TestOpenExplains(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	if err := openAt(t, path, Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	other, err := dial(path, "rw", time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	if err := other.exec("BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), path, Options{BusyTimeout: 10 * time.Millisecond})
	if err == nil {
		t.Fatal("it was opened")
	}
	for _, want := range []string{path, "locked by another process", "wait for it"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not say %q", err, want)
		}
	}
}
