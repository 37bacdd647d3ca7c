package canonical

// Arena lends memory for values that are built, written out and given up
// together, so that it can be used again. The zero Arena is ready for use, by
// one goroutine at a time.
type Arena struct {
	members []member // lent up to its length
}

// Members an arena begins with, and most that it keeps when it is reset.
const (
	firstArena = 64
	maxArena   = 1024
)

// NewObject returns an empty JSON object with room for n members. With more it
// moves out of the arena.
func (a *Arena) NewObject(n int) Value { return Value{kind: KindObject, items: a.room(n)} }

// NewArray returns an empty JSON array with room for n elements. With more it
// moves out of the arena.
func (a *Arena) NewArray(n int) Value { return Value{kind: KindArray, items: a.room(n)} }

func (a *Arena) room(n int) []member {
	if n > cap(a.members)-len(a.members) {
		// What is lent already lives on in the old memory.
		a.members = make([]member, 0, max(firstArena, 2*cap(a.members), n))
	}
	first := len(a.members)
	a.members = a.members[:first+n]
	return a.members[first:first:len(a.members)]
}

// Reset takes all memory back: no value that was made from it may be used any
// more.
func (a *Arena) Reset() {
	if clear(a.members); cap(a.members) > maxArena {
		a.members = nil
	}
	a.members = a.members[:0]
}
