package sqlite

import (
	"path/filepath"
	"testing"

	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/ledger/ledgertest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	ledgertest.Run(t, func(t *testing.T, o ledgertest.Options) ledger.Store {
		s, err := Open(t.Context(), filepath.Join(o.Dir, "gateway.db"), Options{Settle: o.Settle, Now: o.Now})
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s
	})
}
