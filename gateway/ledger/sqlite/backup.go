package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// partSuffix names a copy that is being written.
const partSuffix = ".part"

// Backup writes a copy of the ledger at path to a new file, as of one moment,
// readable by its owner only. It may run in any process, while a gateway uses the
// ledger: the gateway goes on, but what it writes meanwhile stays in its log until
// the backup has ended. If ctx ends or the backup fails, there is no file.
//
// To restore it, stop the gateway, move the ledger and the files beside it away,
// and put the copy in its place.
func Backup(ctx context.Context, path, to string) (err error) {
	if path, err = filepath.Abs(path); err != nil {
		return fmt.Errorf("sqlite: back up: %w", err)
	}
	if to, err = filepath.Abs(to); err != nil {
		return fmt.Errorf("sqlite: back up: %w", err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return fmt.Errorf("sqlite: there is no ledger at %s to back up; check the path", path)
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("sqlite: back up to %s: %w; name a new file", to, err)
	}
	// A file with the final name is a whole one.
	part := to + partSuffix
	if err := blank(part); err != nil {
		return fmt.Errorf("sqlite: back up: %w", err)
	}
	defer os.Remove(part)
	db, err := sql.Open("sqlite", dsn(path, "ro", 10*time.Second))
	if err != nil {
		return fmt.Errorf("sqlite: back up %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	// The file is not read by other means: closing it would end the locks that a
	// store in this process has on it.
	var id int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fmt.Errorf("sqlite: back up %s: %w", path, err)
	}
	if id != applicationID {
		return fmt.Errorf("sqlite: %s is a database of another program; name the ledger", path)
	}
	if _, err := db.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
		return fmt.Errorf("sqlite: back up %s to %s: %w", path, to, err)
	}
	return publish(part, to)
}

// blank makes an empty file that only its owner can read, in place of any that a
// killed backup left.
func blank(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(file.Chmod(0o600), file.Close())
}

// publish makes a written file durable under its final name.
func publish(from, to string) error {
	file, err := os.OpenFile(from, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("sqlite: make %s durable: %w", to, err)
	}
	if err := os.Rename(from, to); err != nil {
		return fmt.Errorf("sqlite: %w", err)
	}
	return syncFolder(to)
}
