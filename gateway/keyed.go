package gateway

import (
	"context"
	"slices"
	"sync"
)

// keyed is a lock for each key, granted in the order of joining its queue. The
// zero value is ready for use. It keeps nothing for keys that nobody holds or
// waits for.
type keyed struct {
	mu     sync.Mutex
	queues map[string][]chan struct{} // by each key that is held: who waits for it
}

// join takes the next place for the key, without waiting for its turn; a nil turn
// has come already. leave must be called exactly once.
func (k *keyed) join(key string) (turn chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue, held := k.queues[key]
	if !held {
		if k.queues == nil {
			k.queues = map[string][]chan struct{}{}
		}
		k.queues[key] = nil
		return nil
	}
	turn = make(chan struct{})
	k.queues[key] = append(queue, turn)
	return turn
}

// wait waits for a turn until ctx ends.
func wait(ctx context.Context, turn chan struct{}) error {
	if turn == nil {
		return nil
	}
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leave gives a place up: out of the queue, or to the one who has waited longest.
func (k *keyed) leave(key string, turn chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.queues[key]
	if i := slices.Index(queue, turn); i >= 0 {
		k.queues[key] = slices.Delete(queue, i, i+1)
		return
	}
	if len(queue) == 0 {
		delete(k.queues, key)
		return
	}
	close(queue[0])
	k.queues[key] = queue[1:]
}
