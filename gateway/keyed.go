package gateway

import (
	"context"
	"slices"
	"sync"
)

// keyed is a lock for each key, granted in the order of asking. The zero value
// is ready for use. It keeps nothing for keys that nobody holds or waits for.
type keyed struct {
	mu     sync.Mutex
	queues map[string][]chan struct{} // by each key that is held: who waits for it
}

// lock waits for the key until ctx ends. Unless it fails, unlock must be called
// exactly once.
func (k *keyed) lock(ctx context.Context, key string) error {
	k.mu.Lock()
	queue, held := k.queues[key]
	if !held {
		if k.queues == nil {
			k.queues = map[string][]chan struct{}{}
		}
		k.queues[key] = nil
		k.mu.Unlock()
		return nil
	}
	turn := make(chan struct{})
	k.queues[key] = append(queue, turn)
	k.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		k.leave(key, turn)
		return context.Cause(ctx)
	}
}

// leave takes a place out of the queue, or passes its turn on.
func (k *keyed) leave(key string, turn chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.queues[key]
	if i := slices.Index(queue, turn); i >= 0 {
		k.queues[key] = slices.Delete(queue, i, i+1)
		return
	}
	k.pass(key)
}

// unlock gives the key to the one who has waited longest.
func (k *keyed) unlock(key string) {
	k.mu.Lock()
	k.pass(key)
	k.mu.Unlock()
}

func (k *keyed) pass(key string) {
	queue := k.queues[key]
	if len(queue) == 0 {
		delete(k.queues, key)
		return
	}
	close(queue[0])
	k.queues[key] = queue[1:]
}
