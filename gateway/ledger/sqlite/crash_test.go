package sqlite

import (
	"database/sql"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A process that is killed while it marks the new file leaves a journal beside it,
// by which SQLite takes the mark back. The ledger that is then made of it must be
// known as one at every later start.
func TestOpenAfterCrashOfTheFirstStart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gateway.db")
	if err := create(path); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", dsn(path, "rw", time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	// https://sqlite.org/fileformat.html#rollback_journal: of a file that was empty.
	journal := make([]byte, 512)
	copy(journal, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
	binary.BigEndian.PutUint32(journal[20:], 512)
	binary.BigEndian.PutUint32(journal[24:], 4096)
	if err := os.WriteFile(path+"-journal", journal, 0o600); err != nil {
		t.Fatal(err)
	}
	for start := range 2 {
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatalf("start %d after the crash: %v", start+1, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
