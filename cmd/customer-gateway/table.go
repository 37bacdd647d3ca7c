package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// painter colours text on a terminal and leaves it alone elsewhere.
type painter bool

// painterFor paints if w is a terminal and NO_COLOR (https://no-color.org) is
// not set.
func painterFor(w io.Writer, environ []string) painter {
	for _, v := range environ {
		if name, value, _ := strings.Cut(v, "="); name == "NO_COLOR" && value != "" || v == "TERM=dumb" {
			return false
		}
	}
	return painter(isTerminal(w))
}

// isTerminal reports whether f is a file that is a terminal.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

// The colours, as SGR codes.
const (
	bold   = "1"
	faint  = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

func (p painter) paint(colour, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + colour + "m" + s + "\x1b[0m"
}

// table is rows of cells, aligned when written.
type table struct {
	rows [][]string
	// colour names the colour of a cell; nil or "" means none.
	colour func(row, column int, text string) string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write aligns the cells and writes them, the first row as the heading.
func (t *table) write(w io.Writer, p painter, indent string) {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for r, row := range t.rows {
		var line strings.Builder
		line.WriteString(indent)
		for i, cell := range row {
			colour := ""
			switch {
			case r == 0:
				colour = faint
			case t.colour != nil:
				colour = t.colour(r, i, cell)
			}
			painted := cell
			if colour != "" {
				painted = p.paint(colour, cell)
			}
			line.WriteString(painted)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// shorten cuts s to n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
