package gateway

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"customer-gateway/canonical"
	"customer-gateway/gateway/ledger"
)

// settler writes down how leases ended, many in one commit. While the store
// cannot be written it keeps what it has, which is bounded by the leases that are
// out: a store that takes no finishes grants no leases.
type settler struct {
	store ledger.Store
	log   *slog.Logger
	// done is told of every finish that is written, before its owner.
	done func(*settlement)

	mu      sync.Mutex
	waiting []*settlement
	busy    bool          // run is writing
	idle    chan struct{} // closed when nothing waits and nothing is written
	wake    chan struct{}
	ended   chan struct{}
}

// settlement is one finish on its way to the store.
type settlement struct {
	finish   ledger.Finish
	finished ledger.Finished
	err      error // the store will never take it
	written  chan struct{}
}

// maxSettle bounds the finishes of one commit.
const maxSettle = 256

// settleAgain is how long a store that cannot be written is left alone.
const settleAgain = 250 * time.Millisecond

func newSettler(store ledger.Store, log *slog.Logger, done func(*settlement)) *settler {
	return &settler{store: store, log: log, done: done, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// settle hands a finish over. It does not wait.
func (s *settler) settle(f ledger.Finish) *settlement {
	w := &settlement{finish: f, written: make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return w
}

// flush waits until everything that was handed over is written, or ctx ends.
func (s *settler) flush(ctx context.Context) error {
	for {
		s.mu.Lock()
		if len(s.waiting) == 0 && !s.busy {
			s.mu.Unlock()
			return nil
		}
		if s.idle == nil {
			s.idle = make(chan struct{})
		}
		idle := s.idle
		s.mu.Unlock()
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take returns what is to be written next. The first call of a round has nothing
// left from the last.
func (s *settler) take() []*settlement {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(len(s.waiting), maxSettle)
	batch := s.waiting[:n:n]
	s.waiting = s.waiting[n:]
	if len(s.waiting) == 0 {
		s.waiting = nil // lets go of the array
	}
	s.busy = n > 0
	if !s.busy && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	return batch
}

// run writes until ctx ends. What is not written then is found by the lease.
func (s *settler) run(ctx context.Context) {
	defer close(s.ended)
	for {
		batch := s.take()
		if len(batch) == 0 {
			select {
			case <-s.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		if !s.write(ctx, batch) {
			return
		}
	}
}

// write writes one batch, however often it has to try, and reports whether it did
// before ctx ended.
func (s *settler) write(ctx context.Context, batch []*settlement) bool {
	finishes := make([]ledger.Finish, len(batch))
	for i, w := range batch {
		finishes[i] = w.finish
	}
	for tries := 0; ; tries++ {
		finished, err := s.store.Finish(ctx, finishes)
		if err == nil {
			if tries > 0 {
				s.log.Info("the ledger takes results again")
			}
			for i, w := range batch {
				w.finished = finished[i]
				s.done(w)
				close(w.written)
			}
			return true
		}
		if e := canonical.AsError(err); e.Code != canonical.GatewayStoreUnavailable {
			return s.apart(ctx, batch, e)
		}
		if tries == 0 {
			s.log.Error("the ledger takes no results; they are kept in memory and tried again", "reason", canonical.AsError(err).Message)
		}
		timer := time.NewTimer(settleAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// apart writes the finishes of a batch one by one, because one of them is of a
// kind that the store will never take. Its lease will run out.
func (s *settler) apart(ctx context.Context, batch []*settlement, e *canonical.Error) bool {
	if len(batch) > 1 {
		for _, w := range batch {
			if !s.write(ctx, []*settlement{w}) {
				return false
			}
		}
		return true
	}
	w := batch[0]
	s.log.Error("the ledger refused a result; it will be delivered again", "route", w.finish.Route, "code", string(e.Code), "error", e)
	w.err = e
	s.done(w)
	close(w.written)
	return true
}
