package ledger

import (
	"encoding/base32"
	"encoding/binary"
	"slices"
	"strings"
)

// idPrefix begins the id of every operation.
const idPrefix = "op_"

// crockford writes numbers so that their texts sort as they do, without letters
// that are mistaken for digits.
var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// OperationID returns the id under which callers know the operation of a version.
func OperationID(version int64) string {
	var raw [8]byte
	binary.BigEndian.PutUint64(raw[:], uint64(version))
	return idPrefix + crockford.EncodeToString(raw[:])
}

// ParseOperationID returns the version of an operation's id, and whether it is one.
func ParseOperationID(id string) (version int64, ok bool) {
	text, ok := strings.CutPrefix(id, idPrefix)
	if !ok {
		return 0, false
	}
	raw, err := crockford.DecodeString(text)
	if err != nil || len(raw) != 8 {
		return 0, false
	}
	version = int64(binary.BigEndian.Uint64(raw))
	// Unused bits of the last letter would give one operation several ids.
	return version, version > 0 && OperationID(version) == id
}

// Holds reports whether the precondition holds for a customer of that version; 0
// stands for one that is not known.
func (m Match) Holds(version int64) bool {
	switch {
	case m.Known && version == 0, m.Unknown && version != 0:
		return false
	}
	return m.Versions == nil || slices.Contains(m.Versions, version)
}
