package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	modernc "modernc.org/sqlite"
)

// conn is one connection of one goroutine, with its prepared statements. It
// speaks to the driver without database/sql in between: the pool, its locks and
// its conversions would cost as much as the statements themselves.
type conn struct {
	dc    driver.Conn
	stmts map[string]driver.Stmt
	args  []driver.NamedValue
}

// dial opens the database at path, which must exist. mode is a URI's: ro or rw.
func dial(path, mode string, busy time.Duration, pragmas ...string) (*conn, error) {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		// SQLite would drop the log beside it.
		return nil, &damagedError{path + " is empty"}
	}
	dc, err := new(modernc.Driver).Open(dsn(path, mode, busy))
	if err != nil {
		return nil, err
	}
	c := &conn{dc: dc, stmts: make(map[string]driver.Stmt)}
	for _, p := range pragmas {
		if err := c.exec("PRAGMA " + p); err != nil {
			c.close()
			return nil, err
		}
	}
	return c, nil
}

// dsn names a file for the driver. It never creates one.
func dsn(path, mode string, busy time.Duration) string {
	u := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf("mode=%s&_busy_timeout=%d", mode, busy.Milliseconds())}
	return u.String()
}

func (c *conn) close() error {
	for _, s := range c.stmts {
		s.Close()
	}
	return c.dc.Close()
}

// prepare returns the statement for a text, which it keeps.
func (c *conn) prepare(query string) (driver.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.dc.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

func (c *conn) exec(query string, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	// Without a context that can end, the driver starts no goroutine.
	_, err = s.(driver.StmtExecContext).ExecContext(context.Background(), c.bind(args))
	return err
}

// query calls each with every row; what it is given is valid during the call,
// but texts and blobs are its own.
func (c *conn) query(each func(row []driver.Value) error, query string, args ...any) (err error) {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.(driver.StmtQueryContext).QueryContext(context.Background(), c.bind(args))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		if err := each(row); err != nil {
			return err
		}
	}
}

// number returns the only number of the only row, or 0.
func (c *conn) number(query string, args ...any) (n int64, err error) {
	err = c.query(func(row []driver.Value) error { n = number(row[0]); return nil }, query, args...)
	return n, err
}

func (c *conn) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		switch v := a.(type) {
		case int:
			a = int64(v)
		case bool:
			a = int64(0)
			if v {
				a = int64(1)
			}
		case []byte:
			if v == nil {
				a = nil
			}
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

func number(v driver.Value) int64 {
	n, _ := v.(int64)
	return n
}

func text(v driver.Value) string {
	s, _ := v.(string)
	return s
}

// blob tells an empty blob from none, which the driver does by type only.
func blob(v driver.Value) []byte {
	b, ok := v.([]byte)
	if ok && b == nil {
		return []byte{}
	}
	return b
}

// orNull is NULL for 0, so that partial indexes leave the row out.
func orNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// code returns SQLite's primary and extended result code, or 0.
func code(err error) (primary, extended int) {
	if e, ok := errors.AsType[*modernc.Error](err); ok {
		return e.Code() & 0xff, e.Code()
	}
	return 0, 0
}
