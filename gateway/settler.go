package gateway

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// settler writes down how leases ended. While the store cannot be written it keeps
// what it has, which is bounded by the leases that are out: a store that takes no
// finishes grants no leases.
type settler struct {
	store ledger.Store
	log   *slog.Logger
	// tell is told of every finish that is written, before its owner.
	tell func(*settlement)

	mu     sync.Mutex
	out    map[*settlement]struct{} // handed over and not written
	failed []*settlement            // to be handed over again
	down   bool                     // the store has refused, and has taken nothing since
	ended  chan struct{}            // closed by end
	once   sync.Once
}

// settlement is one finish on its way to the store.
type settlement struct {
	finish   ledger.Finish
	finished ledger.Finished
	err      error // the store will never take it
	written  chan struct{}
}

const (
	// maxSettle bounds the finishes that are handed over again in one commit.
	maxSettle = 256
	// settleAgain is how long a store that cannot be written is left alone.
	settleAgain = 250 * time.Millisecond
)

func newSettler(store ledger.Store, log *slog.Logger, tell func(*settlement)) *settler {
	return &settler{store: store, log: log, tell: tell, out: map[*settlement]struct{}{}, ended: make(chan struct{})}
}

// settle hands a finish over. It does not wait; what is asked of the store
// afterwards comes after it.
func (s *settler) settle(f ledger.Finish) *settlement {
	w := &settlement{finish: f, written: make(chan struct{})}
	s.mu.Lock()
	s.out[w] = struct{}{}
	s.mu.Unlock()
	s.hand([]*settlement{w})
	return w
}

// hand gives finishes to the store.
func (s *settler) hand(batch []*settlement) {
	finishes := make([]ledger.Finish, len(batch))
	for i, w := range batch {
		finishes[i] = w.finish
	}
	s.store.Finish(finishes, func(finished []ledger.Finished, err error) {
		if err != nil {
			s.refused(batch, canonical.AsError(err))
			return
		}
		for i, w := range batch {
			w.finished = finished[i]
		}
		s.done(batch)
		s.recovered()
	})
}

// done ends settlements.
func (s *settler) done(batch []*settlement) {
	for _, w := range batch {
		s.tell(w)
		close(w.written)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range batch {
		delete(s.out, w)
	}
}

// recovered notes that the store takes results.
func (s *settler) recovered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		s.down = false
		s.log.Info("the ledger takes results again")
	}
}

// refused keeps what the store does not take now. What it will never take is given
// up, once it is known which of a batch that is; its lease runs out.
func (s *settler) refused(batch []*settlement, e *canonical.Error) {
	if e.Code != canonical.GatewayStoreUnavailable && len(batch) == 1 {
		w := batch[0]
		w.err = e
		s.log.Error("the ledger refused a result; it will be delivered again", "route", w.finish.Route, "code", string(e.Code), "error", e)
		s.done(batch)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	first := len(s.failed) == 0
	s.failed = append(s.failed, batch...)
	if !s.down { // once, however long it lasts
		s.down = true
		s.log.Error("the ledger takes no results; they are kept in memory and tried again", "reason", e.Message)
	}
	if first {
		size := maxSettle
		if e.Code != canonical.GatewayStoreUnavailable {
			size = 1
		}
		time.AfterFunc(settleAgain, func() { s.again(size) })
	}
}

// again hands over what the store did not take.
func (s *settler) again(size int) {
	s.mu.Lock()
	batch := s.failed
	s.failed = nil
	s.mu.Unlock()
	select {
	case <-s.ended:
		return
	default:
	}
	for len(batch) > 0 {
		n := min(size, len(batch))
		s.hand(batch[:n:n])
		batch = batch[n:]
	}
}

// flush waits until everything that has been handed over is written, or ctx ends.
// What is handed over meanwhile delays nobody.
func (s *settler) flush(ctx context.Context) error {
	s.mu.Lock()
	out := slices.Collect(maps.Keys(s.out))
	s.mu.Unlock()
	for _, w := range out {
		select {
		case <-w.written:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// end lets go of what is not written: it is found by its lease.
func (s *settler) end() { s.once.Do(func() { close(s.ended) }) }
