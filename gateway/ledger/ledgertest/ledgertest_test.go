package ledgertest

import "testing"

func TestMemory(t *testing.T) {
	t.Parallel()
	Run(t, openMemory(""))
}
