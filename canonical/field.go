package canonical

// Field is a member that is absent, null or a value, which are three different
// statements: absent says nothing, null clears, a value sets. The zero Field is
// absent.
type Field[T any] struct {
	state state
	value T
}

type state uint8

const (
	absent state = iota
	isNull
	valued
)

// Of returns a field with a value.
func Of[T any](v T) Field[T] { return Field[T]{state: valued, value: v} }

// Cleared returns a null field.
func Cleared[T any]() Field[T] { return Field[T]{state: isNull} }

// Get returns the value and whether there is one.
func (f Field[T]) Get() (T, bool) { return f.value, f.state == valued }

// Value returns the value, or the zero value if there is none.
func (f Field[T]) Value() T { return f.value }

// Or returns the value, or v if there is none.
func (f Field[T]) Or(v T) T {
	if f.state == valued {
		return f.value
	}
	return v
}

// HasValue reports whether the field has a value.
func (f Field[T]) HasValue() bool { return f.state == valued }

// IsNull reports whether the field was stated as null.
func (f Field[T]) IsNull() bool { return f.state == isNull }

// IsStated reports whether the field is null or has a value.
func (f Field[T]) IsStated() bool { return f.state != absent }

// IsZero reports whether the field is absent.
func (f Field[T]) IsZero() bool { return f.state == absent }

// settable is how the decoder and the walker reach into a Field of any type.
type settable interface {
	setNull()
	setValue() any // marks the field as valued and returns a pointer to its value
	look() (state, any)
}

func (f *Field[T]) setNull() { f.state = isNull }

func (f *Field[T]) setValue() any {
	f.state = valued
	return &f.value
}

func (f *Field[T]) look() (state, any) { return f.state, &f.value }
