package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	sqlite3 "modernc.org/sqlite/lib"
)

// recover tries whether the store works again, and does what may help. What the
// old connection still has open and no path names is never let go of before it is
// safe somewhere else.
func (s *Store) recover() error {
	if misplaced, ok := errors.AsType[*misplacedError](s.files.check()); ok {
		switch {
		case misplaced.suffix != "":
			// The log of the open connection is the only one; SQLite makes a new one
			// for the next.
			if err := s.conn.truncate(); err != nil {
				return err
			}
		case misplaced.gone:
			if err := s.rescue(); err != nil {
				return err
			}
		default:
			return misplaced
		}
		return s.reopen()
	}
	why := s.ill.Load()
	primary, _ := code(why.Err)
	switch primary {
	case sqlite3.SQLITE_BUSY:
		return s.touch()
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		if err := s.reopen(); err != nil {
			return err
		}
		return s.sound()
	case sqlite3.SQLITE_FULL:
		// The log may be what fills the disk.
		_ = s.conn.truncate()
		return s.touch()
	}
	return s.reopen()
}

// reopen takes new connections. The log is emptied because after a failed fsync
// nobody knows how much of it is on the disk; what is read from it, and written
// and synced elsewhere, is what was accepted.
func (s *Store) reopen() error {
	c, err := s.dialWriter()
	if err != nil {
		return err
	}
	if err := s.adopt(c); err != nil {
		return errors.Join(err, c.close())
	}
	return nil
}

// adopt makes c the writer's connection if it is to the same ledger and works.
func (s *Store) adopt(c *conn) error {
	last, err := c.number("SELECT last FROM ledger WHERE id = 1")
	if err != nil {
		return err
	}
	if last < s.committed {
		return &misplacedError{s.path, "", false}
	}
	if err := c.exec("UPDATE ledger SET now = max(now, ?) WHERE id = 1", s.clock.now()); err != nil {
		return err
	}
	if err := c.truncate(); err != nil && !errors.Is(err, errReaders) {
		return err
	}
	files, err := remember(s.path)
	if err != nil {
		return err
	}
	for range readerCount {
		r := <-s.readers
		_ = r.close()
		defer func() { s.readers <- r }()
	}
	_ = s.conn.close()
	s.conn, s.files, s.full = c, files, true
	return nil
}

// sound checks the database's pages.
func (s *Store) sound() error {
	return s.conn.query(func(row []value) error {
		if verdict := text(row[0]); verdict != "ok" {
			return &damagedError{verdict}
		}
		return nil
	}, "PRAGMA quick_check(1)")
}

// damagedError is what a check of the pages found.
type damagedError struct{ verdict string }

func (e *damagedError) Error() string { return "the check of the pages says: " + e.verdict }

// rescue puts the ledger back where its file was removed, from the open
// connection, which still has all of it. Otherwise all that was accepted would be
// lost when the process ends.
func (s *Store) rescue() error {
	return fmt.Errorf("not yet: %w", fs.ErrNotExist)
}

var _ = os.Remove
