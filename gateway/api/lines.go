package api

import (
	"bufio"
	"errors"
	"io"
)

// lines splits a body into lines. It holds one of them at a time, and of one that
// is too long no more than the limit.
type lines struct {
	read *bufio.Reader
	max  int64
	n    int  // how many lines next has returned, with those that were too long
	skip bool // the rest of one that was is still to come
}

// errLongLine is the error of a line that is longer than allowed; the next call
// goes on with the line after it.
var errLongLine = errors.New("the line is too long")

func newLines(body io.Reader, max int64) *lines {
	return &lines{read: bufio.NewReaderSize(body, 64<<10), max: max}
}

// next returns the next line without its end; it is the caller's. An error other
// than errLongLine ends the lines: io.EOF after the last one, else that of the
// reader, and a line that it cut off is not returned.
func (l *lines) next() ([]byte, error) {
	for l.skip {
		_, err := l.read.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		l.skip = err != nil
	}
	var line []byte
	for {
		part, err := l.read.ReadSlice('\n')
		whole := err == nil
		if whole {
			part = part[:len(part)-1]
		}
		if int64(len(line)+len(part)) > l.max {
			l.skip = !whole
			l.n++
			return nil, errLongLine
		}
		line = append(line, part...)
		switch {
		case whole, errors.Is(err, io.EOF) && len(line) > 0: // the last line may lack its end
			l.n++
			return line, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}
