package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"customer-gateway/canonical"
)

// unavailable says why the store could not do its work, and the way out.
func (s *Store) unavailable(err error) *canonical.Error {
	e := &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: again, Err: err}
	if misplaced, ok := errors.AsType[*misplacedError](err); ok {
		e.Message = "the ledger's file " + misplaced.Error() + " while in use; put it back, or restart the gateway if the new one is to be used"
		return e
	}
	if errors.Is(err, errReaders) {
		e.Message = "the write-ahead log of the ledger " + s.path + " is read by another process; end that process, or wait for it"
		return e
	}
	e.Message = cmp.Or(s.remedy(err), "the ledger "+s.path+" failed; the gateway's log has the cause")
	return e
}

// remedy says what an error of SQLite means, and the way out; nothing for others.
func (s *Store) remedy(err error) string {
	primary, _ := code(err)
	if damage(err) {
		primary = sqlite3.SQLITE_CORRUPT
	}
	switch primary {
	case sqlite3.SQLITE_FULL:
		return "the disk of the ledger " + s.path + " is full; free some space"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL:
		return "the ledger " + s.path + " is locked by another process; end that process, or wait for it"
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return "the ledger " + s.path + " is read-only; make the file, its folder and its file system writable"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return "the ledger " + s.path + " is damaged; stop the gateway and restore the file from a backup"
	case sqlite3.SQLITE_CANTOPEN:
		return "the ledger " + s.path + " cannot be opened; check that the file and its folder are there and writable"
	case sqlite3.SQLITE_IOERR:
		return "the disk of the ledger " + s.path + " does not read or write; check the disk, its quota and the system's log"
	case sqlite3.SQLITE_NOMEM:
		return "the ledger " + s.path + " got no memory; give the gateway more"
	}
	return ""
}

// explained adds to an error of SQLite what it means.
func (s *Store) explained(err error) error {
	if remedy := s.remedy(err); remedy != "" {
		return fmt.Errorf("sqlite: %s (%w)", remedy, err)
	}
	return err
}

// late answers a caller whose time was over before its turn.
func (s *Store) late(ctx context.Context) *canonical.Error {
	return &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: again, Err: context.Cause(ctx),
		Message: "the caller's time was over before the ledger's turn came; allow more time"}
}

func (s *Store) busy() *canonical.Error {
	return &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: again,
		Message: "too many writes wait for the ledger; send fewer at once, or put the ledger on a faster disk"}
}

func (s *Store) shut() *canonical.Error {
	return &canonical.Error{Code: canonical.GatewayStoreUnavailable, RetryAfter: again, Message: "the ledger is closed because the gateway is stopping; send it again"}
}

// defect reports whether an error is about what was written rather than about the
// place.
func defect(err error) bool {
	primary, _ := code(err)
	switch primary {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE:
		return true
	}
	return false
}

// fail turns what happened to a transaction into what its callers get, and closes
// the store to writes if the others would get the same.
func (s *Store) fail(err error) *canonical.Error {
	if defect(err) {
		s.opts.Log.Error("the ledger refused a write", "path", s.path, "error", err)
		return &canonical.Error{Code: canonical.GatewayInternal, Message: "the ledger refused a write", Err: err}
	}
	e := s.unavailable(err)
	if s.ill.Swap(e) == nil {
		s.opts.Log.Error("the ledger cannot be written", "path", s.path, "error", err, "remedy", e.Message)
	}
	return e
}

// checkEvery is how many beats lie between checks of the pages of a damaged file,
// which takes seconds for a large one.
const checkEvery = 30

// tend is done by the writer every beat.
func (s *Store) tend() {
	if s.ill.Load() == nil {
		if err := s.files.check(); err != nil {
			s.fail(err)
		} else if found := s.suspicion.Swap(nil); found != nil {
			s.fail(*found)
		} else {
			s.tidy()
		}
		return
	}
	if s.rest > 0 {
		s.rest--
		return
	}
	if err := s.recover(); err != nil {
		if _, ok := errors.AsType[*damagedError](err); ok {
			s.rest = checkEvery
		}
		// Damage is not forgotten because somebody holds a lock just now.
		if damage(err) || !damage(s.ill.Load().Err) {
			s.ill.Store(s.unavailable(err))
		}
		return
	}
	s.ill.Store(nil)
	s.suspicion.Store(nil)
	s.opts.Log.Info("the ledger can be written again", "path", s.path)
}

// tidyEvery is how many beats may pass until what was deleted is gone from the
// files too: the log has it, and so has the database until the log is moved there.
const tidyEvery = 60

// tidy empties the log when it is too long, or has been there for long.
func (s *Store) tidy() {
	s.beats++
	size := s.files.log()
	long := size > s.maxLog
	if !long && (size == 0 || s.beats < tidyEvery) {
		return
	}
	s.beats = 0
	err := s.conn.truncate()
	s.files.look()
	if primary, _ := code(err); err == nil || errors.Is(err, errReaders) || primary == sqlite3.SQLITE_FULL && !long {
		return // the next write will tell whether there is room for it
	}
	s.fail(err)
}

// damage reports whether an error says that the file is not what was written.
func damage(err error) bool {
	if _, ok := errors.AsType[*damagedError](err); ok {
		return true
	}
	primary, extended := code(err)
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB || extended == sqlite3.SQLITE_IOERR_SHORT_READ
}

// examine looks for damage to the database while it is in use, which the writer
// would meet only after a restart: what it works with is in memory. It takes a
// hundredth of the time, and only when something was written.
func (s *Store) examine() {
	var seen time.Time
	least := 5 * s.beat
	timer := time.NewTimer(least)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-s.ended:
			return
		}
		pause := least
		info, err := os.Stat(s.path)
		if err == nil && info.Size() <= checkUpTo && !info.ModTime().Equal(seen) && s.ill.Load() == nil {
			began := time.Now()
			if err := s.sound(); err == nil {
				seen = info.ModTime()
			} else if damage(err) {
				s.suspicion.Store(&err)
			}
			pause = max(least, 100*time.Since(began))
		}
		timer.Reset(pause)
	}
}

// reader is a connection that reads, opened when it is first needed.
type reader struct{ conn *conn }

func (r *reader) close() error {
	if r.conn == nil {
		return nil
	}
	err := r.conn.close()
	r.conn = nil
	return err
}

// read lends f a connection. It must be quick: what it sees keeps the log from
// being recycled.
func (s *Store) read(ctx context.Context, f func(*conn) error) error {
	var r *reader
	select {
	case r = <-s.readers:
	case <-ctx.Done():
		return s.late(ctx)
	case <-s.ended:
		return s.shut()
	}
	defer func() { s.readers <- r }()
	if r.conn == nil {
		c, err := dial(s.path, "rw", s.opts.BusyTimeout, "query_only = ON", "temp_store = MEMORY", "trusted_schema = OFF")
		if err != nil {
			return s.unavailable(err)
		}
		r.conn = c
	}
	err := f(r.conn)
	if err == nil {
		return nil
	}
	if primary, _ := code(err); primary != 0 {
		r.close()
		if damage(err) {
			s.suspicion.Store(&err)
		}
		return s.unavailable(err)
	}
	return canonical.AsError(err)
}

// snapshot is read for several statements that must see the same state.
func (s *Store) snapshot(ctx context.Context, f func(*conn) error) error {
	return s.read(ctx, func(c *conn) error {
		if err := c.exec("BEGIN"); err != nil {
			return err
		}
		err := f(c)
		return errors.Join(err, c.exec("ROLLBACK"))
	})
}
