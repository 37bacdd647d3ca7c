package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"customer-gateway/canonical"
)

// progressVersion is that of the progress file's layout and of how chunks and keys
// follow from the file.
const progressVersion = 1

// progress is how far an import is: every chunk before Chunk is settled.
type progress struct {
	Version int    `json:"version"`
	URL     string `json:"url"`
	SHA256  string `json:"sha256"`  // of the file
	Options string `json:"options"` // digest of what else the keys follow from
	// Run tells a restarted import from the one before; empty for the first.
	Run      string    `json:"run,omitempty"`
	SavedAt  time.Time `json:"savedAt"`
	Chunk    int       `json:"chunk"`
	Offset   int64     `json:"offset"`   // where it begins in the file
	Line     int64     `json:"line"`     // its first line
	Rejected int64     `json:"rejected"` // length of the file of refused lines
	Totals   totals    `json:"totals"`
}

// totals counts the customers of an import.
type totals struct {
	Customers int64 `json:"customers"` // read
	Accepted  int64 `json:"accepted"`
	Failed    int64 `json:"failed"`   // of those accepted: a route has failed for good
	Replaced  int64 `json:"replaced"` // not sent: another line nearby has the same id
	Refused   int64 `json:"refused"`
	// Codes counts the errors of refusals and failures.
	Codes map[canonical.Code]int64 `json:"codes,omitempty"`
}

// add counts a settled chunk.
func (t *totals) add(c *chunk) {
	for i := range c.rows {
		r := &c.rows[i]
		t.Customers++
		switch r.state {
		case rowAccepted:
			t.Accepted++
			if len(r.problems) > 0 {
				t.Failed++
			}
		case rowReplaced:
			t.Replaced++
		case rowRefused:
			t.Refused++
		}
		for _, code := range r.codes {
			if t.Codes == nil {
				t.Codes = map[canonical.Code]int64{}
			}
			t.Codes[code]++
		}
	}
}

// readProgress returns nil if there is no progress file.
func readProgress(name string) (*progress, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the progress: %w", err)
	}
	var p progress
	if err := json.Unmarshal(data, &p); err != nil || p.Version != progressVersion {
		return nil, fmt.Errorf("the progress in %s is not readable for this version; --restart begins anew, and sends everything again", name)
	}
	return &p, nil
}

// save replaces the progress file: it is there as it was or as it is now, whatever
// happens meanwhile.
func (p *progress) save(name string) (err error) {
	p.SavedAt = p.SavedAt.UTC()
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("saving the progress: %w", err)
	}
	_, err = f.Write(append(asJSON(p), '\n'))
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("saving the progress: %w", err)
	}
	return nil
}

// rejects is the file of refused lines. It is made when there is one.
type rejects struct {
	name string
	file *os.File
	size int64
}

// rejection is a line of it.
type rejection struct {
	Line  int64           `json:"line"`
	ID    string          `json:"id,omitempty"`
	Error json.RawMessage `json:"error"`
}

// cut drops what was written after the first size bytes.
func (r *rejects) cut(size int64) error {
	r.size = size
	err := os.Truncate(r.name, size)
	switch {
	case errors.Is(err, fs.ErrNotExist) && size == 0:
		return nil
	case err == nil && size == 0:
		err = os.Remove(r.name)
	}
	if err != nil {
		return fmt.Errorf("the file of refused lines: %w; --restart begins anew", err)
	}
	return nil
}

// add writes what was refused of a chunk.
func (r *rejects) add(c *chunk) error {
	var b []byte
	for i := range c.rows {
		for _, problem := range c.rows[i].problems {
			b = append(append(b, asJSON(rejection{c.rows[i].line, c.rows[i].id, problem})...), '\n')
		}
	}
	if b == nil {
		return nil
	}
	if r.file == nil {
		// It quotes customers.
		f, err := os.OpenFile(r.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return fmt.Errorf("the file of refused lines: %w", err)
		}
		r.file = f
	}
	n, err := r.file.Write(b)
	r.size += int64(n)
	if err == nil {
		err = r.file.Sync()
	}
	if err != nil {
		return fmt.Errorf("the file of refused lines: %w", err)
	}
	return nil
}

func (r *rejects) close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// meter shows how an import gets on: as a bar on a terminal, else as a line now
// and then.
type meter struct {
	out  io.Writer
	name string
	bar  *progressbar.ProgressBar // nil elsewhere than on a terminal
	size int64                    // of what is to be read, in bytes; -1 if that is not known
	now  func() time.Time

	begun, shown time.Time
	read, rows   int64
}

// lineEvery is how often a line is written where there is no bar.
const lineEvery = 10 * time.Second

func newMeter(out io.Writer, terminal bool, name string, size int64, now func() time.Time) *meter {
	m := &meter{out: out, name: name, size: size, now: now, begun: now(), shown: now()}
	if terminal {
		m.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(out), progressbar.OptionSetDescription(name), progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetWidth(24), progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(size >= 0),
			progressbar.OptionSpinnerType(14), progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own
		)
	}
	return m
}

// advance tells that a row of so many bytes is done.
func (m *meter) advance(size int64) {
	m.read, m.rows = m.read+size, m.rows+1
	now := m.now()
	if m.bar != nil {
		if now.Sub(m.shown) >= 100*time.Millisecond {
			m.shown = now
			m.bar.Describe(fmt.Sprintf("%s: %d customers, %s", m.name, m.rows, m.rate(now)))
		}
		if m.size < 0 {
			size = 1
		}
		_ = m.bar.Add64(size) // a full bar is no error of ours
		return
	}
	if now.Sub(m.shown) < lineEvery {
		return
	}
	m.shown = now
	line := fmt.Sprintf("%s: %d customers, %s", m.name, m.rows, m.rate(now))
	if m.size > 0 && m.read > 0 {
		left := time.Duration(float64(now.Sub(m.begun)) * float64(m.size-m.read) / float64(m.read))
		line += fmt.Sprintf(", %d%%, about %s left", 100*m.read/m.size, max(0, left).Round(time.Second))
	}
	fmt.Fprintln(m.out, line)
}

func (m *meter) rate(now time.Time) string {
	took := now.Sub(m.begun).Seconds()
	if took <= 0 {
		return "0/s"
	}
	return fmt.Sprintf("%.0f/s", float64(m.rows)/took)
}

// note writes a line about something else.
func (m *meter) note(format string, args ...any) {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
	fmt.Fprintf(m.out, "%s: %s\n", m.name, printable(fmt.Sprintf(format, args...)))
}

// end leaves a clean line behind.
func (m *meter) end() {
	if m.bar != nil {
		_ = m.bar.Clear()
	}
}

// summary writes what became of an import.
func (t *totals) summary(w io.Writer, paint painter, name string) {
	parts := []string{fmt.Sprintf("%d accepted", t.Accepted)}
	if t.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d of them failed at a route", t.Failed))
	}
	if t.Replaced > 0 {
		parts = append(parts, fmt.Sprintf("%d replaced by another line with the same id", t.Replaced))
	}
	parts = append(parts, fmt.Sprintf("%d refused", t.Refused))
	customers := "customers"
	if t.Customers == 1 {
		customers = "customer"
	}
	fmt.Fprintf(w, "%s: %d %s: %s\n", name, t.Customers, customers, strings.Join(parts, ", "))
	if len(t.Codes) == 0 {
		return
	}
	list := table{}
	list.add("CODE", "TIMES")
	for _, code := range slices.Sorted(maps.Keys(t.Codes)) {
		list.add(printable(string(code)), fmt.Sprint(t.Codes[code]))
	}
	list.write(w, paint, "  ")
}
