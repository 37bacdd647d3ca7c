package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"customer-gateway/config"
)

// importCommand sends a file of customers to a running gateway.
func (p *program) importCommand() *cobra.Command {
	im := importer{program: p, rows: chunkRows, now: time.Now, wait: pause}
	var t target
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "Send a file of customers to a running gateway",
		Long: `Send every customer of a file to a running gateway: NDJSON (a JSON object with its id
on each line) or CSV with a header. A FILE of - reads standard input.

Each line is checked before it is sent. Refused lines go to FILE.rejected.ndjson with
their number, id and error. Of lines in one chunk (1000) that have the same id, the
one that would stand in the end is sent.

If it is interrupted, in whatever way, the same command goes on where it was: what was
sent has keys that follow from the file, so that a gateway with a ledger, which keeps
them for a day, never takes a line twice or puts an old state over a newer one. How far
it is stands in FILE.import-progress. Standard input cannot be resumed.

CSV: --column 'E-Mail=emails[0].value', or a YAML file of such pairs with --columns. A
place is a path or a JSON Pointer; a column without one is its own place, and the place
- leaves a column out. Cells become what the schema says; a list has | between its
values; a custom field is text unless its place ends in :number, :bool or :list.

Exit code 0: every line was accepted. 1: some were not, or it stopped. 2: the command
line is wrong.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("%s takes one file, but got %d arguments; see %[1]s --help", cmd.CommandPath(), len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			im.file = args[0]
			if im.file == "" {
				return usageError{errors.New("the name of the file is empty")}
			}
			if err := im.readFlags(); err != nil {
				return err
			}
			if im.dryRun {
				return im.check(cmd.Context())
			}
			c, err := p.dial(t)
			if err != nil {
				return err
			}
			defer c.close()
			im.client = c
			return im.run(cmd.Context())
		},
	}
	t.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&im.format, "format", "", "ndjson or csv (default by the file's name, else ndjson)")
	flags.StringVar(&im.columnsFile, "columns", "", "YAML file that maps columns to places in the customer")
	flags.StringArrayVar(&im.columnPairs, "column", nil, "map one column: --column 'First name=name.givenName' (repeatable)")
	flags.StringVar(&im.delimiter, "delimiter", ",", "what separates cells; tab for a tabulator")
	flags.StringVar(&im.empty, "empty", "absent", "what an empty cell says: absent (nothing) or null (clear it)")
	flags.StringSliceVar(&im.routes, "routes", nil, "send to these routes only")
	flags.BoolVar(&im.strict, "strict", false, "refuse what a provider cannot hold (handling=strict)")
	flags.BoolVar(&im.dryRun, "dry-run", false, "check the file, and send nothing")
	flags.BoolVar(&im.restart, "restart", false, "forget how far it is, and send everything again as new")
	flags.DurationVar(&im.giveUp, "give-up", 5*time.Minute, "stop after so long without progress")
	flags.StringVar(&im.rejected, "rejected", "", "file of refused lines (default FILE.rejected.ndjson)")
	flags.BoolVar(&im.asJSON, "json", false, "print the summary as JSON")
	return cmd
}

// pause waits, but no longer than ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// importer is one import.
type importer struct {
	*program
	client *client
	file   string

	format, columnsFile, delimiter, empty, rejected string
	columnPairs, routes                             []string
	strict, dryRun, restart, asJSON                 bool
	giveUp                                          time.Duration

	places map[string]string // of columns

	rows int // in a chunk
	now  func() time.Time
	wait func(context.Context, time.Duration) error
}

// stdin is the name of standard input.
const stdin = "-"

// readFlags reads what the flags say beyond what cobra has checked.
func (im *importer) readFlags() error {
	isCSV := im.columnsFile != "" || im.columnPairs != nil
	switch ext := strings.ToLower(filepath.Ext(im.file)); {
	case im.format == "" && (isCSV || ext == ".csv" || ext == ".tsv"):
		im.format = "csv"
	case im.format == "":
		im.format = "ndjson"
	case im.format != "csv" && im.format != "ndjson":
		return usageError{fmt.Errorf("--format %q: must be ndjson or csv", im.format)}
	case im.format == "ndjson" && isCSV:
		return usageError{errors.New("--columns and --column belong to --format csv")}
	}
	if im.empty != "absent" && im.empty != "null" {
		return usageError{fmt.Errorf("--empty %q: must be absent or null", im.empty)}
	}
	if im.delimiter == "tab" {
		im.delimiter = "\t"
	}
	if len(im.delimiter) != 1 || im.delimiter[0] >= utf8.RuneSelf || strings.ContainsAny(im.delimiter, "\"\r\n\x00") {
		return usageError{fmt.Errorf("--delimiter %q: must be one ASCII character, such as ; or tab", im.delimiter)}
	}
	if im.giveUp <= 0 {
		return usageError{errors.New("--give-up must be more than 0")}
	}
	im.places = map[string]string{}
	if im.columnsFile != "" {
		places, err := config.LoadColumns(im.columnsFile)
		if err != nil {
			return usageError{errors.New(err.Error())}
		}
		im.places = places
	}
	for _, pair := range im.columnPairs {
		// A place has no = in it, the name of a column may.
		i := strings.LastIndex(pair, "=")
		if i < 1 || i == len(pair)-1 {
			return usageError{fmt.Errorf("--column %q: write COLUMN=PLACE, as in --column 'First name=name.givenName'", pair)}
		}
		im.places[pair[:i]] = pair[i+1:]
	}
	slices.Sort(im.routes)
	if im.rejected == "" {
		im.rejected = im.file + ".rejected.ndjson"
		if im.file == stdin {
			im.rejected = "stdin.rejected.ndjson"
		}
	}
	if a, err := os.Stat(im.rejected); err == nil {
		if b, err := os.Stat(im.file); err == nil && os.SameFile(a, b) {
			return usageError{errors.New("--rejected names the file that is imported")}
		}
	}
	return nil
}

// name is the file in messages.
func (im *importer) name() string {
	if im.file == stdin {
		return "standard input"
	}
	return im.file
}

// reader begins to read rows; of a CSV file, after its header.
func (im *importer) reader(ctx context.Context, in *input) (*rowReader, error) {
	r := &rowReader{in: bufio.NewReaderSize(stoppable{ctx, in}, 64<<10), delimiter: im.delimiter[0], rows: im.rows, line: 1}
	if im.format != "csv" {
		return r, nil
	}
	header, err := r.header()
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", im.name(), err)}
	}
	if r.columns, err = newColumns(header, im.places, im.empty == "null"); err != nil {
		return nil, usageError{errors.New(err.Error())}
	}
	return r, nil
}

// options is what the keys follow from beside the file.
func (im *importer) options() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %q %q %t %d", progressVersion, im.format, im.empty, im.routes, im.strict, im.rows)
	if im.format == "csv" {
		fmt.Fprintf(&b, " %q", im.delimiter)
		for _, name := range slices.Sorted(maps.Keys(im.places)) {
			fmt.Fprintf(&b, " %q=%q", name, im.places[name])
		}
	}
	return digest(b.String())
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// key begins the Idempotency-Keys of the import.
func (p *progress) key() string {
	return "import-" + digest(strings.Join([]string{p.SHA256, p.Options, p.Run}, " "))[:40]
}

// run imports the file.
func (im *importer) run(ctx context.Context) (err error) {
	in, err := im.open(ctx, true)
	if err != nil {
		return err
	}
	defer in.close()
	rows, err := im.reader(ctx, in)
	if err != nil {
		return err
	}
	at, err := im.begin(in)
	if err != nil {
		return err
	}
	if at.Offset > 0 {
		if _, err := in.file.Seek(at.Offset, io.SeekStart); err != nil {
			return err
		}
		rows.in.Reset(stoppable{ctx, in})
		rows.offset, rows.line, rows.number = at.Offset, at.Line, at.Chunk
	}
	refused := &rejects{name: im.rejected}
	if err := refused.cut(at.Rejected); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, refused.close()) }()
	size := int64(-1)
	if in.info != nil {
		size = in.info.Size() - at.Offset
	}
	m := newMeter(im.err, isTerminal(im.err), filepath.Base(im.name()), size, im.now)
	if at.Chunk > 0 {
		m.note("goes on at line %d", at.Line)
	}
	err = im.sendAll(ctx, in, rows, at, refused, m)
	m.end()
	switch {
	case err != nil && in.info != nil:
		return fmt.Errorf("stopped before line %d: %w; the same command goes on there", at.Line, cause(err))
	case err != nil:
		return fmt.Errorf("stopped before line %d: %w", at.Line, cause(err))
	}
	if in.info != nil {
		if err := os.Remove(im.progressFile()); err != nil {
			return fmt.Errorf("removing the progress: %w", err)
		}
	}
	return im.finish(&at.Totals)
}

// cause words the end of a context.
func cause(err error) error {
	if errors.Is(err, context.Canceled) {
		return errors.New("interrupted")
	}
	return err
}

func (im *importer) progressFile() string { return im.file + ".import-progress" }

// begin returns where the import begins, and records that it does.
func (im *importer) begin(in *input) (*progress, error) {
	at := &progress{Version: progressVersion, URL: im.client.base.String(), SHA256: in.sha256, Options: im.options(), SavedAt: im.now(), Line: 1}
	if in.info == nil {
		at.Run = rand.Text()
		return at, nil
	}
	if im.restart {
		at.Run = rand.Text()
		return at, at.save(im.progressFile())
	}
	before, err := readProgress(im.progressFile())
	if err != nil {
		return nil, err
	}
	other := ""
	switch {
	case before == nil:
		return at, at.save(im.progressFile())
	case before.SHA256 != at.SHA256:
		other = "the file has changed since"
	case before.URL != at.URL:
		other = "it went to " + before.URL
	case before.Options != at.Options:
		other = "it had other flags"
	}
	if other != "" {
		return nil, fmt.Errorf("%s was imported in part, but %s; --restart begins anew, and sends everything again", im.file, other)
	}
	return before, nil
}

// sendAll sends what is left of the file, chunk by chunk.
func (im *importer) sendAll(ctx context.Context, in *input, rows *rowReader, at *progress, refused *rejects, m *meter) error {
	ctx, cancel := context.WithCancel(ctx)
	type read struct {
		chunk *chunk
		err   error
	}
	// The next chunk is read while one is sent.
	chunks := make(chan read)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := rows.next()
			select {
			case chunks <- read{c, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		cancel()
		if in.info != nil { // a stream may never say anything again
			<-ended
		}
	}()
	s := &sender{client: im.client, key: at.key(), strict: im.strict, giveUp: im.giveUp, now: im.now, wait: im.wait, note: m.note, done: m.advance}
	if im.routes != nil {
		s.query = url.Values{"routes": {strings.Join(im.routes, ",")}}
	}
	for {
		var next read
		select {
		case next = <-chunks:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		switch {
		case errors.Is(next.err, io.EOF):
			return nil
		case next.err != nil:
			return next.err
		case in.info != nil && in.changed():
			return errors.New("the file has been changed meanwhile; --restart imports it as it is now")
		}
		c := next.chunk
		for i := range c.rows {
			if c.rows[i].state != rowToSend {
				m.advance(c.rows[i].size)
			}
		}
		if err := s.send(ctx, c); err != nil {
			return err
		}
		at.Totals.add(c)
		if err := refused.add(c); err != nil {
			return err
		}
		at.Chunk, at.Offset, at.Line, at.Rejected, at.SavedAt = c.number+1, c.offset, c.line, refused.size, im.now()
		if in.info != nil {
			if err := at.save(im.progressFile()); err != nil {
				return err
			}
		}
	}
}

// finish tells what became of the import. It is an error if lines were refused.
func (im *importer) finish(t *totals) error {
	rejected := ""
	if t.Refused+t.Failed > 0 {
		rejected = im.rejected
	}
	if im.asJSON {
		if err := im.printJSON(asJSON(struct {
			*totals
			RejectedFile string `json:"rejectedFile,omitempty"`
		}{t, rejected})); err != nil {
			return err
		}
	} else {
		t.summary(im.out, painterFor(im.out, im.environ), im.name())
	}
	if rejected == "" {
		return nil
	}
	return fmt.Errorf("%s: %d of %d customers were refused or failed at a route; they are in %s", im.name(), t.Refused+t.Failed, t.Customers, rejected)
}

// shownFaults is how many refused lines a dry run shows.
const shownFaults = 20

// check reads the file as run does and sends nothing.
func (im *importer) check(ctx context.Context) error {
	in, err := im.open(ctx, false)
	if err != nil {
		return err
	}
	defer in.close()
	rows, err := im.reader(ctx, in)
	if err != nil {
		return err
	}
	var t totals
	for {
		c, err := rows.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return cause(err)
		}
		for i := range c.rows {
			r := &c.rows[i]
			if r.state == rowToSend {
				r.state = rowAccepted
			}
			for _, raw := range r.problems {
				if t.Refused < shownFaults {
					p := readProblem(raw)
					fmt.Fprintf(im.err, "line %d: %s: %s\n", r.line, p.Code, explain(&p))
				}
				t.Refused++
			}
		}
		shown := t.Refused
		t.add(c)
		t.Refused = shown
	}
	if im.asJSON {
		if err := im.printJSON(asJSON(t)); err != nil {
			return err
		}
	} else {
		if t.Refused > shownFaults {
			fmt.Fprintf(im.err, "… and %d more\n", t.Refused-shownFaults)
		}
		t.summary(im.out, painterFor(im.out, im.environ), im.name()+" (dry run, nothing was sent)")
	}
	if t.Refused > 0 {
		return fmt.Errorf("%s: %d of %d customers would be refused", im.name(), t.Refused, t.Customers)
	}
	return nil
}
