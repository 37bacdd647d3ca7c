package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"customer-gateway/canonical"
)

// input is the opened file.
type input struct {
	io.Reader
	file   *os.File // nil for a stream, which can be read once
	info   os.FileInfo
	sha256 string
}

// open opens the file and, if it is one, reads it to the end for its digest.
func (im *importer) open(ctx context.Context, digest bool) (*input, error) {
	if im.file == stdin {
		return &input{Reader: im.in}, nil
	}
	f, err := os.Open(im.file)
	if err != nil {
		return nil, usageError{err}
	}
	in := &input{Reader: f, file: f}
	if in.info, err = f.Stat(); err == nil && in.info.IsDir() {
		err = fmt.Errorf("%s is a folder", im.file)
	}
	if err == nil && !in.info.Mode().IsRegular() {
		in.info = nil // a pipe: it is closed, but it cannot be read again
		return in, nil
	}
	if err == nil && digest {
		hash := sha256.New()
		if _, err = io.Copy(hash, stoppable{ctx, f}); err == nil {
			_, err = f.Seek(0, io.SeekStart)
		}
		in.sha256 = hex.EncodeToString(hash.Sum(nil))
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return in, nil
}

func (in *input) close() {
	if in.file != nil {
		_ = in.file.Close()
	}
}

// changed reports whether the file is another one than when it was opened.
func (in *input) changed() bool {
	now, err := os.Stat(in.file.Name())
	return err != nil || now.Size() != in.info.Size() || !now.ModTime().Equal(in.info.ModTime()) || !os.SameFile(now, in.info)
}

// stoppable is a reader that ends with ctx.
type stoppable struct {
	ctx context.Context
	io.Reader
}

// Read reads, unless ctx has ended.
func (r stoppable) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.Reader.Read(b)
}

// A chunk is what one bulk request holds. Where chunks end follows from the file
// alone, so that a resumed import sends the same ones under the same keys.
const (
	chunkRows  = 1000
	chunkBytes = 4 << 20
	// maxLine bounds one customer, in bytes. Gateways take less (server.max_body).
	maxLine = 16 << 20
)

// rowState is how far a row is.
type rowState uint8

const (
	rowToSend   rowState = iota
	rowAccepted          // with failures of routes, perhaps
	rowRefused
	rowReplaced // by another row of the chunk with the same id
)

// row is one customer of the file.
type row struct {
	line      int64 // in the file, from 1
	size      int64 // of what was read for it, in bytes
	id        string
	updatedAt time.Time
	body      []byte // nil if it is not fit to be sent
	state     rowState
	behind    int // the row that is sent if this one is refused; -1 for none
	tries     int // answers that were errors
	problems  []json.RawMessage
	codes     []canonical.Code // of the problems
}

// refuse ends a row with an error.
func (r *row) refuse(code canonical.Code, raw json.RawMessage) {
	r.state = rowRefused
	r.problems, r.codes = append(r.problems, raw), append(r.codes, code)
}

// refuseHere ends a row with an error that the gateway would give too.
func (r *row) refuseHere(err error) {
	e := canonical.AsError(err)
	in := e.Code.Info()
	r.body = nil
	r.refuse(e.Code, asJSON(problem{Title: in.Title, Status: in.Status, Detail: e.Message, Code: e.Code, Errors: e.Fields}))
}

// chunk is consecutive rows of the file.
type chunk struct {
	number int // from 0
	rows   []row
	// What follows in the file after it.
	offset, line int64
}

// place puts a row that is fit to be sent in its place among those of the same
// customer: one of them is sent, the one that would stand if all were. So a chunk
// that is sent once more never brings an older state back.
func (c *chunk) place(latest map[string]int) {
	i := len(c.rows) - 1
	added := &c.rows[i]
	before, again := latest[added.id]
	if !again {
		latest[added.id] = i
		return
	}
	first := &c.rows[before]
	if !added.updatedAt.IsZero() && added.updatedAt.Before(first.updatedAt) {
		// The gateway would pass over it.
		added.state, added.behind, first.behind = rowReplaced, first.behind, i
		return
	}
	first.state, added.behind = rowReplaced, before
	latest[added.id] = i
}

// rowReader reads chunks from a file.
type rowReader struct {
	in        *bufio.Reader
	columns   *columns // nil for NDJSON
	delimiter byte
	rows      int   // in a chunk at most
	offset    int64 // of what is read next
	line      int64 // its number, from 1
	number    int   // of the next chunk
}

// next reads a chunk. The error is io.EOF after the last one.
func (s *rowReader) next() (*chunk, error) {
	c := &chunk{number: s.number}
	latest := map[string]int{}
	begin, before := s.offset, s.offset
	for len(c.rows) < s.rows && s.offset-begin < chunkBytes {
		line := s.line
		record, tooLong, err := s.record()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(bytes.TrimSpace(record)) == 0 && !tooLong {
			continue
		}
		c.rows = append(c.rows, row{line: line, size: s.offset - before, behind: -1})
		before = s.offset
		r := &c.rows[len(c.rows)-1]
		if tooLong {
			r.refuseHere(&canonical.Error{Code: canonical.RequestTooLarge, Message: fmt.Sprintf("the line is longer than %d MiB", maxLine>>20)})
			continue
		}
		if r.read(s, record); r.state == rowToSend {
			c.place(latest)
		}
	}
	c.offset, c.line = s.offset, s.line
	if len(c.rows) == 0 {
		return nil, io.EOF
	}
	s.number++
	return c, nil
}

// record reads one line, or the lines of one CSV record, with the break at its end.
// What is too long is skipped.
func (s *rowReader) record() (record []byte, tooLong bool, err error) {
	begin := s.line
	quotes := quoting{delimiter: s.delimiter, last: s.delimiter}
	for {
		part, err := s.in.ReadSlice('\n')
		s.offset += int64(len(part))
		if len(record)+len(part) > maxLine {
			record, tooLong = nil, true
		}
		if !tooLong {
			record = append(record, part...)
		}
		if s.columns != nil {
			quotes.follow(part)
		}
		ended, open := err == nil, quotes.open
		if ended {
			s.line++
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull), ended && open && !tooLong:
			continue
		case open && (tooLong || errors.Is(err, io.EOF)):
			return nil, false, fmt.Errorf("line %d: a quote begins that does not end; correct the file: write \"\" for a quote inside quotes", begin)
		case err != nil && !errors.Is(err, io.EOF):
			return nil, false, err
		case err != nil && len(record) == 0 && !tooLong:
			return nil, false, io.EOF
		case err != nil:
			s.line++
		}
		return record, tooLong, nil
	}
}

// quoting finds the quotes of CSV, within which a line may break: they begin where
// a cell does.
type quoting struct {
	delimiter, last byte // what a cell begins after, and the byte before this one
	open, closed    bool // closed: the last byte has closed one, which a second quote takes back
}

func (q *quoting) follow(part []byte) {
	for _, b := range part {
		closing := false
		if b == '"' {
			switch {
			case q.open:
				q.open, closing = false, true
			case q.closed, q.last == q.delimiter:
				q.open = true
			}
		}
		q.closed, q.last = closing, b
		if q.open {
			q.last = '"' // a delimiter within quotes is none
		}
	}
}

// header reads the first record of a CSV file.
func (s *rowReader) header() ([]string, error) {
	s.columns = &columns{} // so that quotes count
	raw, tooLong, err := s.record()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	names, err := s.cells(bytes.TrimPrefix(raw, []byte("\ufeff")))
	if err != nil || tooLong || len(names) == 0 {
		return nil, errors.New("the first line is no header: it must name the columns")
	}
	return names, nil
}

// cells splits a CSV record.
func (s *rowReader) cells(record []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(record))
	r.Comma = rune(s.delimiter)
	r.FieldsPerRecord = -1
	cells, err := r.Read()
	if err != nil {
		if parse, ok := errors.AsType[*csv.ParseError](err); ok {
			err = fmt.Errorf("the record cannot be read at column %d: %w", parse.Column, parse.Err)
		}
		return nil, err
	}
	return cells, nil
}

// read makes a customer of the record and checks it as the gateway will.
func (r *row) read(s *rowReader, record []byte) {
	var cells []string
	if s.columns == nil {
		r.body = bytes.TrimSpace(bytes.TrimPrefix(record, []byte("\ufeff")))
	} else {
		var err error
		if cells, err = s.cells(record); err == nil && len(cells) != len(s.columns.names) {
			err = fmt.Errorf("the record has %d cells, the header names %d columns", len(cells), len(s.columns.names))
		}
		if err != nil {
			r.refuseHere(&canonical.Error{Code: canonical.RequestMalformed, Message: err.Error()})
			return
		}
		body, faults := s.columns.customer(cells)
		if faults != nil {
			r.refuseHere(&canonical.Error{Code: canonical.RequestInvalid, Message: "some cells cannot be read: see errors", Fields: faults})
			return
		}
		r.body = body
	}
	if err := r.check(); err != nil {
		if cells != nil {
			where := s.columns.columnsOf(cells)
			for i := range err.Fields {
				err.Fields[i].Field = where[err.Fields[i].Pointer]
			}
		}
		r.refuseHere(err)
	}
}

// check reads the customer's id and validates the customer.
func (r *row) check() *canonical.Error {
	document, err := canonical.ParseLenient(r.body)
	id := document.Get("id")
	if err == nil && id.Kind() == canonical.KindString {
		r.id = id.Str()
	}
	customer, err := canonical.DecodeCustomer(r.id, r.body)
	refused := canonical.AsError(err)
	named := refused != nil && slices.ContainsFunc(refused.Fields, func(f canonical.FieldError) bool { return f.Pointer == "/id" })
	if err := canonical.CheckID(r.id); err != nil && document.Kind() == canonical.KindObject && !named {
		if refused == nil {
			refused = &canonical.Error{Code: canonical.RequestInvalid, Message: "the customer is not valid: see errors"}
		}
		refused.Fields = append(refused.Fields, canonical.FieldError{Pointer: "/id", Code: canonical.FieldRequired, Message: "the application's id of the customer " + err.Error()})
	}
	if refused != nil {
		return refused
	}
	r.updatedAt = customer.UpdatedAt.Value().Time
	return nil
}
