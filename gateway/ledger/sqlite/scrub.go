package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
)

// scrub overwrites the copies that SQLite has left of what it moved from page to
// page. secure_delete zeroes what is deleted and pages that are freed, but when a
// page is split or merged, the cells that went to another page stay readable in
// the unused middle of this one. It looks at all pages, a part at a time.
func (s *Store) scrub(ctx context.Context) error {
	var pages int64
	err := s.read(ctx, func(c *conn) (err error) {
		pages, err = c.number("PRAGMA page_count")
		return err
	})
	if err != nil {
		return err
	}
	var dirty []int64
	for from := int64(1); from <= pages; from += part {
		dirty = dirty[:0]
		err := s.read(ctx, func(c *conn) error {
			for n := from; n < from+part; n++ {
				if page, err := page(c, n); err != nil {
					return err
				} else if len(bytes.TrimLeft(gap(page), "\x00")) > 0 {
					dirty = append(dirty, n)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(dirty) == 0 {
			continue
		}
		_, err = do(ctx, s, false, func(t *txn) (struct{}, error) {
			for _, n := range dirty {
				t.clean(n)
			}
			return struct{}{}, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *txn) clean(n int64) {
	if t.failed != nil {
		return
	}
	data, err := page(t.conn, n)
	if err != nil {
		t.failed = err
		return
	}
	clear(gap(data))
	t.exec("UPDATE sqlite_dbpage SET data = ? WHERE pgno = ?", data, n)
}

// page reads a page; it is empty if there is none of that number.
func page(c *conn, n int64) (data []byte, err error) {
	err = c.query(func(row []value) error { data = blob(row[0]); return nil }, "SELECT data FROM sqlite_dbpage WHERE pgno = ?", n)
	return data, err
}

// gap returns the part of a b-tree page between the pointers to its cells and the
// first of them (https://www.sqlite.org/fileformat2.html#b_tree_pages). It is empty
// for every other page: what does not have the form in full is left alone.
func gap(page []byte) []byte {
	at := 0
	if bytes.HasPrefix(page, []byte("SQLite format 3\x00")) {
		at = 100
	}
	if len(page) < at+12 {
		return nil
	}
	pointers := at
	switch page[at] {
	case 2, 5:
		pointers += 12
	case 10, 13:
		pointers += 8
	default:
		return nil
	}
	cells := int(binary.BigEndian.Uint16(page[at+3:]))
	first := int(binary.BigEndian.Uint16(page[at+5:]))
	if first == 0 {
		first = 1 << 16
	}
	end := pointers + 2*cells
	if end > first || first > len(page) {
		return nil
	}
	for i := range cells {
		if cell := int(binary.BigEndian.Uint16(page[pointers+2*i:])); cell < first || cell >= len(page) {
			return nil
		}
	}
	return page[end:first]
}
