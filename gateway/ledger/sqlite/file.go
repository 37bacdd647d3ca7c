package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"

	"customer-gateway/gateway/ledger"
)

//go:embed migrations
var migrations embed.FS

const (
	// applicationID marks the file as a ledger: "cgwl".
	applicationID = 0x6367776c
	// checkUpTo is the size of files whose pages are checked at every start.
	checkUpTo = 64 << 20
)

// occupy takes the lock that keeps a second gateway away.
func occupy(path string) (*flock.Flock, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("sqlite: make the folder of the ledger: %w", err)
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("sqlite: lock %s.lock: %w", path, err)
	}
	if !ok {
		return nil, fmt.Errorf("sqlite: another gateway is using %s; stop it, or give this one a ledger of its own", path)
	}
	return lock, nil
}

// prepare brings the file into being or up to date.
func prepare(ctx context.Context, path string, busy time.Duration) error {
	if err := land(path, false); err != nil {
		return fmt.Errorf("sqlite: put %s%s in its place: %w", path, rescuedSuffix, err)
	}
	fresh, size, err := inspect(path)
	if err != nil {
		return err
	}
	if fresh {
		if err := create(path); err != nil {
			return err
		}
	}
	db, err := sql.Open("sqlite", dsn(path, "rw", busy))
	if err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	// A crash of the first start may have left a journal, by which SQLite empties
	// the file now.
	var pages int
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if pages == 0 {
		// First of all, so that a file left by a crash here is known as ours.
		if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return fmt.Errorf("sqlite: mark %s: %w", path, err)
		}
	}
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("sqlite: the file system of %s allows no write-ahead log; put the ledger on a local disk", path)
	}
	if size <= checkUpTo {
		var verdict string
		if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
			return fmt.Errorf("sqlite: check %s: %w", path, err)
		}
		if verdict != "ok" {
			return fmt.Errorf("sqlite: %s is damaged (%s); restore it from a backup, or recover what is left with the sqlite3 command .recover", path, verdict)
		}
	}
	return migrate(ctx, db, path)
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	scripts, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, scripts, goose.WithTableName("migration"), goose.WithLogger(goose.NopLogger()), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("sqlite: migrations: %w", err)
	}
	has, known, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("sqlite: migrate %s: %w", path, err)
	}
	if has > known {
		return fmt.Errorf("sqlite: %s was written by a newer version of the gateway (schema %d, this one knows %d); start the newer one, or restore a backup from before the upgrade", path, has, known)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("sqlite: migrate %s: %w", path, err)
	}
	return nil
}

// inspect reads as much of the file as it takes to know whose it is.
func inspect(path string) (fresh bool, size int64, err error) {
	log, err := os.Stat(path + "-wal")
	orphan := err == nil && log.Size() > 0
	file, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if orphan {
			return false, 0, fmt.Errorf("sqlite: %s is gone, but its write-ahead log %s-wal is there; put the file back, or restore both from a backup", path, path)
		}
		return true, 0, nil
	case err != nil:
		return false, 0, fmt.Errorf("sqlite: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return false, 0, fmt.Errorf("sqlite: %w", err)
	case !info.Mode().IsRegular():
		return false, 0, fmt.Errorf("sqlite: %s is not a regular file; name a file for the ledger", path)
	case info.Size() == 0 && orphan:
		// SQLite would drop the log.
		return false, 0, fmt.Errorf("sqlite: %s is empty, but its write-ahead log %s-wal is not; put the file back, or restore both from a backup", path, path)
	case info.Size() == 0:
		return true, 0, nil
	}
	var header [100]byte
	if _, err := io.ReadFull(file, header[:]); err != nil || string(header[:16]) != "SQLite format 3\x00" {
		return false, 0, fmt.Errorf("sqlite: %s is not a SQLite database; name another file for the ledger, or restore this one from a backup", path)
	}
	if binary.BigEndian.Uint32(header[68:]) != applicationID {
		return false, 0, fmt.Errorf("sqlite: %s is a database of another program; name another file for the ledger", path)
	}
	return false, info.Size(), nil
}

// create makes the empty file. SQLite gives its companions the same permissions.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("sqlite: create the ledger: %w", err)
	}
	// Whatever the umask.
	if err := errors.Join(file.Chmod(0o600), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sqlite: create the ledger: %w", err)
	}
	return syncFolder(path)
}

// syncFolder makes the entry of path in its folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("sqlite: make %s durable: %w", path, err)
	}
	return nil
}

// dialWriter opens the connection that writes. Deleted data is overwritten, and
// nothing goes to temporary files. The cache is small: SQLite walks all of it at a
// commit after pages were split, and the system caches the file too.
func (s *Store) dialWriter() (*conn, error) {
	return dial(s.path, "rw", s.opts.BusyTimeout, "journal_mode = WAL", "synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY",
		"cache_size = -4096", "wal_autocheckpoint = 8000", fmt.Sprintf("journal_size_limit = %d", maxLog), "trusted_schema = OFF")
}

// load reads what is kept in memory.
func (s *Store) load() error {
	var recorded int64
	err := s.conn.query(func(row []value) error {
		s.name, s.last, recorded = blob(row[0]), number(row[1]), number(row[2])
		return nil
	}, "SELECT name, last, now FROM ledger WHERE id = 1")
	if err != nil {
		return err
	}
	s.committed = s.last
	s.clock = newClock(s.opts.Now, recorded)
	if ahead := time.Duration(recorded-s.opts.Now().UnixMicro()) * time.Microsecond; ahead > time.Second {
		s.opts.Log.Warn("the wall clock is behind the ledger's; times in the ledger are ahead by as much", "path", s.path, "by", ahead)
	}
	return s.reload()
}

// reload reads what changes.
func (s *Store) reload() error {
	err := s.conn.query(func(row []value) error {
		r := scanRoute(row)
		s.routes[r.Name] = r
		return nil
	}, "SELECT name, paused, reason, not_before FROM route")
	if err != nil {
		return err
	}
	return s.count()
}

// count fills the tally. Each query reads one index from end to end, in its order.
func (s *Store) count() error {
	s.tally.reset()
	err := s.conn.query(func(row []value) error {
		s.tally.add(text(row[0]), ledger.Due, 0, int(number(row[1])))
		return nil
	}, "SELECT route, count(*) FROM slot INDEXED BY slot_waiting WHERE state = 1 GROUP BY route")
	if err != nil {
		return err
	}
	err = s.conn.query(func(row []value) error {
		s.tally.add(text(row[0]), ledger.Leased, number(row[1]), 1)
		return nil
	}, "SELECT route, due_since FROM slot INDEXED BY slot_leased WHERE state = 2")
	if err != nil {
		return err
	}
	return s.conn.query(func(row []value) error {
		s.tally.add(text(row[0]), ledger.DeadLettered, 0, int(number(row[1])))
		return nil
	}, "SELECT route, count(*) FROM slot INDEXED BY slot_dead WHERE died_at IS NOT NULL GROUP BY route")
}

// touch writes, to see whether that is possible.
func (s *Store) touch() error {
	if err := s.sync(true); err != nil {
		return err
	}
	return s.conn.touch(s.clock.now())
}

func (c *conn) touch(now int64) error {
	// BEGIN also finds out whether a transaction was left open.
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := c.exec("UPDATE ledger SET now = max(now, ?) WHERE id = 1", now)
	if err == nil {
		err = c.exec("COMMIT")
	}
	if err != nil {
		_ = c.exec("ROLLBACK")
	}
	return err
}

// files are those that the store has open, as the file system knows them.
type files struct {
	path string
	is   [3]fs.FileInfo
	size [2]int64 // of the database and of the log, when they were last looked at
}

var suffixes = [3]string{"", "-wal", "-shm"}

func remember(path string) (files, error) {
	f := files{path: path}
	for i, suffix := range suffixes {
		info, err := os.Stat(path + suffix)
		if err != nil {
			return f, fmt.Errorf("sqlite: %w", err)
		}
		f.is[i] = info
	}
	f.look()
	return f, nil
}

// look takes the sizes as they are for good, after the writer itself has changed
// them.
func (f *files) look() {
	for i := range f.size {
		if info, err := os.Stat(f.path + suffixes[i]); err == nil {
			f.size[i] = info.Size()
		}
	}
}

// misplacedError says that a path no longer names the file that is open. SQLite
// would go on to write to what will be gone when the process ends.
type misplacedError struct {
	path   string
	suffix string
	gone   bool
}

func (e *misplacedError) Error() string {
	if e.gone {
		return e.path + e.suffix + " has been removed or renamed"
	}
	return e.path + e.suffix + " has been replaced"
}

// check reports a *misplacedError if a file is not where it was opened, and a
// *damagedError if somebody has cut it: SQLite would write on behind the hole.
func (f *files) check() error {
	for i, suffix := range suffixes {
		info, err := os.Stat(f.path + suffix)
		if err != nil {
			return &misplacedError{f.path, suffix, errors.Is(err, fs.ErrNotExist)}
		}
		if !os.SameFile(info, f.is[i]) {
			return &misplacedError{f.path, suffix, false}
		}
		if i == len(f.size) {
			break
		}
		least := f.size[i]
		if i == 1 {
			least = min(least, maxLog) // SQLite itself cuts what is longer
		}
		if info.Size() < least {
			return &damagedError{f.path + suffix + " is shorter than it was"}
		}
		f.size[i] = info.Size()
	}
	return nil
}

// log is the size of the write-ahead log.
func (f *files) log() int64 {
	info, err := os.Stat(f.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}
