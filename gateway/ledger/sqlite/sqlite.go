// Package sqlite keeps the ledger in one SQLite file.
//
// One goroutine writes. It takes all calls that have queued up while the last
// transaction was made durable into the next one, so that many accepts share one
// fsync. Reads have connections of their own and never wait for it.
//
// One gateway at a time may open a file, which a lock beside it sees to; any
// process may read it (Backup does).
//
// A fault (a full disk, a lock held by another process, a file that is gone or
// damaged) makes every call fail with GatewayStoreUnavailable, at once and with
// the cause, until the store has found by itself that it can write again.
// Nothing is acknowledged that is not in the file that the path names.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// Options adjust a Store. The zero value is usable.
type Options struct {
	// Settle is for how long a request whose fate is unknown may still take effect
	// at a provider. Default 60s.
	Settle time.Duration
	// BusyTimeout bounds how long a call waits for a lock that another process
	// holds on the file. Default 2s.
	BusyTimeout time.Duration
	// Now is the wall clock; nil means time.Now. See Store.Now.
	Now func() time.Time
	// Log is told when the store fails and when it works again; nil for none.
	Log *slog.Logger
}

// Store is a ledger.Store. It is safe for concurrent use.
type Store struct {
	path      string
	opts      Options
	settleFor int64         // microseconds
	beat      time.Duration // again, but for tests
	maxLog    int64         // maxLog, but for tests
	lock      *flock.Flock
	clock     *clock
	tally     tally
	readers   chan *reader

	closing sync.RWMutex // read while a write is queued
	closed  bool
	queue   chan *write
	ended   chan struct{}
	ill     atomic.Pointer[canonical.Error] // why nothing can be written; nil if it can
	// suspicion is damage that a reader has met; nil for none.
	suspicion atomic.Pointer[error]
	examining sync.WaitGroup

	// The writer's own.
	conn  *conn  // nil in the middle of a recovery
	name  []byte // the ledger's own
	files files
	full  bool  // it waits for the disk
	last  int64 // the last version or token given out
	// committed is the last that is in the file.
	committed int64
	routes    map[string]ledger.Route
	rest      int // beats to let pass before the next recovery
	beats     int // since the log was emptied

	sweeping sync.Mutex
	cursor   cursor

	erasing sync.Mutex
	// erased has the digests of customers that are deleted, but may still be read
	// in the write-ahead log.
	erased        map[[32]byte]struct{}
	erasePatience time.Duration // but for tests, the constant
}

var _ ledger.Store = (*Store)(nil)

// readerCount is how many reads run at once.
const readerCount = 4

// Open opens the ledger at path, and creates it, with its folder, if there is
// none. Files are readable by their owner only.
//
// It refuses, and changes nothing, if another gateway has the ledger open, if the
// file is no ledger, if it was written by a newer version of the gateway, and if
// it is gone or empty while its write-ahead log is not. It checks the pages of
// files of up to 64 MiB, also while they are in use; in larger ones SQLite reports
// damage when it meets it.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s, err := newStore(ctx, path, o)
	if err != nil {
		return nil, err
	}
	go s.writeAll()
	return s, nil
}

// newStore is Open without the writer's goroutine.
func newStore(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Settle <= 0 {
		o.Settle = time.Minute
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("sqlite: %q is not a file, and a ledger in memory would lose what it accepted; name a file, or use the driver none", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	lock, err := occupy(path)
	if err != nil {
		return nil, err
	}
	s := &Store{
		path: path, opts: o, settleFor: o.Settle.Microseconds(), beat: again, maxLog: maxLog, erasePatience: erasePatience, lock: lock,
		tally: tally{routes: make(map[string]*count)}, readers: make(chan *reader, readerCount),
		queue: make(chan *write, maxQueue), ended: make(chan struct{}), routes: make(map[string]ledger.Route),
		erased: make(map[[32]byte]struct{}),
	}
	if err := s.open(ctx); err != nil {
		if s.conn != nil {
			s.conn.close()
		}
		lock.Close()
		return nil, s.explained(err)
	}
	for range readerCount {
		s.readers <- &reader{}
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	if err := prepare(ctx, s.path, s.opts.BusyTimeout); err != nil {
		return err
	}
	var err error
	if s.conn, err = s.dialWriter(); err != nil {
		return fmt.Errorf("sqlite: open %s: %w", s.path, err)
	}
	s.full = true
	if err := s.load(); err != nil {
		return fmt.Errorf("sqlite: read %s: %w", s.path, err)
	}
	// The first write makes the log's file, and shows that there can be one.
	if err := s.touch(); err != nil {
		return fmt.Errorf("sqlite: write %s: %w", s.path, err)
	}
	if err := s.conn.truncate(); err != nil && !errors.Is(err, errReaders) {
		return fmt.Errorf("sqlite: write %s: %w", s.path, err)
	}
	s.files, err = remember(s.path)
	return err
}

// Close ends the store. Calls that are under way finish first.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		<-s.ended
		return nil
	}
	s.closed = true
	close(s.queue)
	s.closing.Unlock()
	<-s.ended
	s.examining.Wait()
	s.ill.Store(s.shut())
	var errs []error
	for range readerCount {
		r := <-s.readers
		errs = append(errs, r.close())
	}
	if s.conn != nil {
		// As the last connection it moves the log into the database.
		errs = append(errs, s.conn.close())
	}
	errs = append(errs, s.lock.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlite: close %s: %w", s.path, err)
	}
	return nil
}

// Ready implements ledger.Store.
func (s *Store) Ready() error {
	if err := s.ill.Load(); err != nil {
		return err
	}
	return nil
}

// Now is the store's clock. It starts at the wall clock or at the latest time that
// the ledger has on record, whichever is later, and then runs with the time that
// passes. So a jump of the wall clock has no effect while the gateway runs; one
// back before a start has none either, because what was to be done in an hour
// then is still to be done in an hour; one forward before a start makes everything
// due that would be by then. If the wall clock once was wrong by a year, the
// store's stays ahead until the year has passed: times that people see are wrong,
// and delays, order and versions are not.
func (s *Store) Now() time.Time { return moment(s.clock.now()) }
