package gateway_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"customer-gateway/gateway"
	"customer-gateway/gateway/ledger"
	"customer-gateway/gateway/transport"
)

// slowClaim is a store whose first claim that finds something returns late, as
// after a pause of the whole process.
type slowClaim struct {
	ledger.Store
	by     time.Duration
	claims atomic.Int32 // that found something
}

func (s *slowClaim) Claim(ctx context.Context, route string, limit int, lease time.Duration) ([]ledger.Lease, error) {
	leases, err := s.Store.Claim(ctx, route, limit, lease)
	if len(leases) > 0 && s.claims.Add(1) == 1 {
		<-time.After(s.by)
	}
	return leases, err
}

// A lease begins when the store grants it, not when the gateway learns of it: one
// that comes too late is not used.
func TestLateClaimSendsNothing(t *testing.T) {
	t.Parallel()
	var slow *slowClaim
	k := keep(t, func(_ *gateway.Route, _ *transport.Config, o *gateway.Options) {
		o.Deadline = 200 * time.Millisecond
		slow = &slowClaim{Store: o.Store, by: o.Deadline}
		o.Store = slow
	})
	var first atomic.Int32
	k.desk.behave(func(w http.ResponseWriter, r *http.Request) {
		first.CompareAndSwap(0, slow.claims.Load())
		_, _ = w.Write([]byte("r-" + r.Header.Get("X-Customer")))
	})
	cmd := command(t, "c", "v1")
	cmd.Async = true
	k.put(t, cmd)
	k.synced(t, "c")
	if got := first.Load(); got < 2 {
		t.Errorf("the state was sent under claim %d, want it sent under a later one than the first", got)
	}
	if calls := k.desk.calls(); len(calls) != 1 {
		t.Errorf("the provider saw %v, want one call", calls)
	}
}
