package sqlite

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	modernc "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// recover tries whether the store works again, and does what may help. What the
// old connection still has open and no path names is never let go of before it is
// safe somewhere else.
func (s *Store) recover() error {
	if s.conn == nil {
		// An earlier recovery came half the way.
		return s.land()
	}
	if misplaced, ok := errors.AsType[*misplacedError](s.files.check()); ok {
		if misplaced.suffix == "" {
			return s.rescue()
		}
		// The open connections have the only log. When it is in the database, they
		// can go, and SQLite makes a new one.
		if err := s.conn.truncate(); err != nil {
			return err
		}
		s.disconnect()
		return s.reopen()
	}
	why := s.ill.Load().Err
	primary, extended := code(why)
	switch primary {
	case sqlite3.SQLITE_BUSY:
		return s.touch()
	case sqlite3.SQLITE_FULL:
		// The log may be what fills the disk.
		_ = s.conn.truncate()
		s.files.look()
		return s.touch()
	case sqlite3.SQLITE_IOERR:
		if extended == sqlite3.SQLITE_IOERR_IN_PAGE {
			// The index of the log, which all connections share in memory, was cut.
			// The last one to be closed lets go of it.
			s.disconnect()
			return s.land()
		}
	}
	if damage(why) {
		// Before anything is written to it again.
		if err := s.sound(); err != nil {
			return err
		}
	}
	return s.reopen()
}

// reopen takes new connections, if they work and lead to all that was accepted.
func (s *Store) reopen() error {
	c, err := s.dialWriter()
	if err != nil {
		return err
	}
	err = s.adopt(c)
	if err != nil && s.conn != c {
		err = errors.Join(err, c.close())
	}
	return err
}

// adopt makes c the writer's connection.
func (s *Store) adopt(c *conn) error {
	if _, whole, err := s.recognise(c); err != nil {
		return err
	} else if !whole {
		return &misplacedError{s.path, "", false}
	}
	if err := c.touch(s.clock.now()); err != nil {
		return err
	}
	// After a failed fsync nobody knows how much of the log is on the disk. What is
	// read from it and written and synced elsewhere is.
	if err := c.truncate(); err != nil && !errors.Is(err, errReaders) {
		return err
	}
	files, err := remember(s.path)
	if err != nil {
		return err
	}
	s.disconnect()
	s.conn, s.files, s.full = c, files, true
	// A commit that failed may have come through after all.
	return s.reload()
}

// recognise says whether c leads to this ledger, and to all that was accepted.
func (s *Store) recognise(c *conn) (same, whole bool, err error) {
	err = c.query(func(row []value) error {
		same = bytes.Equal(blob(row[0]), s.name)
		whole = same && number(row[1]) >= s.committed
		return nil
	}, "SELECT name, last FROM ledger WHERE id = 1")
	return same, whole, err
}

// disconnect closes all connections. Readers take new ones when they need them.
func (s *Store) disconnect() {
	var all [readerCount]*reader
	for i := range all {
		all[i] = <-s.readers
		_ = all[i].close()
	}
	for _, r := range all {
		s.readers <- r
	}
	if s.conn != nil {
		_ = s.conn.close()
		s.conn = nil
	}
}

// sound checks the database's pages as they are in the files: the writer's
// connection has most of them in memory.
func (s *Store) sound() error {
	c, err := dial(s.path, "rw", s.opts.BusyTimeout, "query_only = ON", "temp_store = MEMORY", "trusted_schema = OFF")
	if err != nil {
		return err
	}
	err = c.query(func(row []value) error {
		if verdict := text(row[0]); verdict != "ok" {
			return &damagedError{verdict}
		}
		return nil
	}, "PRAGMA quick_check(1)")
	return errors.Join(err, c.close())
}

// damagedError says what is wrong with the files.
type damagedError struct{ verdict string }

func (e *damagedError) Error() string { return "damaged: " + e.verdict }

// rescuedSuffix names a whole copy that a rescue has written and not yet put in
// place.
const rescuedSuffix = ".rescued"

// rescue writes down all that is in a ledger whose file was removed, or replaced,
// while the connection still has it open. Otherwise what was accepted would be
// lost when the process ends. If the path names no file, it is put back there.
func (s *Store) rescue() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	part := s.path + rescuedSuffix + partSuffix
	if err := blank(part); err != nil {
		return err
	}
	if err := s.conn.exec("VACUUM INTO ?", part); err != nil {
		return errors.Join(err, os.Remove(part))
	}
	if err := publish(part, s.path+rescuedSuffix); err != nil {
		return err
	}
	s.opts.Log.Warn("the ledger's file was removed or replaced while in use; all that was in it is saved", "path", s.path, "copy", s.path+rescuedSuffix)
	// What is beside the new file may belong to it: of ours no name is deleted by
	// SQLite, and by us only what we had open.
	if c, ok := s.conn.dc.(modernc.FileControl); ok {
		if _, err := c.FileControlPersistWAL("main", 1); err != nil {
			return err
		}
	}
	s.disconnect()
	for i, suffix := range suffixes[1:] {
		if info, err := os.Stat(s.path + suffix); err == nil && os.SameFile(info, s.files.is[i+1]) {
			if err := os.Remove(s.path + suffix); err != nil {
				return err
			}
		}
	}
	return s.land()
}

// land ends a recovery that gave up its connections.
func (s *Store) land() error {
	if err := land(s.path, false); err != nil {
		return err
	}
	// Whatever is there now is looked at before it is written to.
	if fresh, _, err := inspect(s.path); err != nil || fresh {
		return &misplacedError{s.path, "", fresh}
	}
	c, err := dial(s.path, "ro", s.opts.BusyTimeout)
	if err != nil {
		return err
	}
	same, whole, err := s.recognise(c)
	if err := errors.Join(err, c.close()); err != nil {
		return err
	}
	if same && !whole {
		// It is an older copy of this ledger.
		if err := land(s.path, true); err != nil {
			return err
		}
	}
	if _, err := os.Stat(s.lock.Path()); errors.Is(err, fs.ErrNotExist) {
		lock, err := occupy(s.path)
		if err != nil {
			return err
		}
		_ = s.lock.Close()
		s.lock = lock
	}
	if err := s.reopen(); err != nil {
		return err
	}
	if err := os.Remove(s.path + rescuedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// land puts a rescued copy, if there is one, in the place of a file that is gone,
// or of an older one. It is whole, so the log beside the old file holds nothing
// that is not in it, and must not be taken for its own.
func land(path string, replace bool) error {
	rescued := path + rescuedSuffix
	if _, err := os.Stat(rescued); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) && (err != nil || !replace) {
		return err
	}
	for _, suffix := range suffixes[1:] {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(rescued, path); err != nil {
		return err
	}
	return syncFolder(path)
}
