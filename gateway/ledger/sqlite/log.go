package sqlite

import (
	"errors"
	"fmt"
	"time"
)

// errReaders is why the write-ahead log cannot be emptied now.
var errReaders = errors.New("somebody reads an older state of the ledger, a backup perhaps")

const (
	// maxLog is the size of the write-ahead log from which on the writer insists
	// on emptying it. Without readers it does not get there.
	maxLog = 64 << 20
	// patience is how long the writer waits for readers when it empties the log.
	patience = 50 * time.Millisecond
)

// truncate moves the write-ahead log into the database and empties it. It returns
// errReaders if it could not for the sake of readers.
func (c *conn) truncate() (err error) {
	busy, err := c.number("PRAGMA busy_timeout")
	if err != nil {
		return err
	}
	if err := c.exec(fmt.Sprintf("PRAGMA busy_timeout = %d", patience.Milliseconds())); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.exec(fmt.Sprintf("PRAGMA busy_timeout = %d", busy))) }()
	blocked, err := c.number("PRAGMA wal_checkpoint(TRUNCATE)")
	if err == nil && blocked != 0 {
		return errReaders
	}
	return err
}
