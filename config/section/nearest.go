package section

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Nearest returns the hint that ends a message about an unknown name: the
// nearest of the known names if one is near, otherwise all of them.
func Nearest[V any](name string, known map[string]V) string {
	names := slices.Sorted(maps.Keys(known))
	folded := fold(name)
	best, distance := "", 1+min(3, (len(folded)+2)/3)
	for _, k := range names {
		if d := edits(folded, fold(k)); d < distance {
			best, distance = k, d
		}
	}
	switch {
	case best != "":
		return "did you mean " + strconv.Quote(best) + "?"
	case len(names) == 0:
		return "nothing is"
	}
	return "known are " + strings.Join(names, ", ")
}

// fold makes the spellings of a name alike that people mix up. Long names are
// cut: they are near to nothing.
func fold(name string) string {
	return strings.ReplaceAll(strings.ToLower(name[:min(len(name), 64)]), "-", "_")
}

// edits returns the number of letters to insert, delete, replace or swap with
// their neighbour to turn a into b.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			differ := 1
			if a[i-1] == b[j-1] {
				differ = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differ)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
