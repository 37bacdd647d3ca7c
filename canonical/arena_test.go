package canonical_test

import (
	"fmt"
	"testing"

	"customer-gateway/canonical"
)

// TestArena holds that a value which outgrows its room does not reach into its
// neighbour's, and that memory which was taken back is clean.
func TestArena(t *testing.T) {
	t.Parallel()
	var arena canonical.Arena
	for round := range 3 {
		a, b, list := arena.NewObject(2), arena.NewObject(1), arena.NewArray(1)
		for i := range 3 + 100*round { // beyond the arena, too
			a.Set(fmt.Sprint("a", i), canonical.Int(int64(i)))
			list.Append(canonical.Int(int64(i)))
		}
		if got := list.Len(); got != a.Len() || got < 3 {
			t.Errorf("round %d: list has %d elements, want %d", round, got, a.Len())
		}
		b.Set("b", canonical.Text("x"))
		if got, want := string(b.Encode()), `{"b":"x"}`; got != want {
			t.Errorf("round %d: b = %s, want %s", round, got, want)
		}
		for i := range a.Len() {
			if a.NameAt(i) != fmt.Sprint("a", i) || !a.At(i).Equal(list.At(i)) {
				t.Fatalf("round %d: a = %s", round, a.Encode())
			}
		}
		arena.Reset()
		if fresh := arena.NewArray(2); fresh.Len() != 0 || !fresh.Elem(1).IsZero() || !fresh.At(0).IsZero() {
			t.Errorf("round %d: an array after Reset = %s, want empty", round, fresh.Encode())
		}
		arena.Reset()
	}
}
