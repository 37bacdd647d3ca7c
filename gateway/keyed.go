package gateway

import (
	"context"
	"sync"
)

// keyed is a lock for each key, granted in the order of asking. The zero value
// is ready for use. It keeps nothing for keys that nobody holds or waits for.
type keyed struct {
	mu     sync.Mutex
	queues map[string][]chan struct{} // the holder's place first
}

// lock waits for the key until ctx ends. unlock must be called exactly once.
func (k *keyed) lock(ctx context.Context, key string) (unlock func(), err error) {
	k.mu.Lock()
	if k.queues == nil {
		k.queues = map[string][]chan struct{}{}
	}
	queue := k.queues[key]
	if len(queue) == 0 {
		k.queues[key] = append(queue, nil)
		k.mu.Unlock()
		return func() { k.leave(key, nil) }, nil
	}
	turn := make(chan struct{})
	k.queues[key] = append(queue, turn)
	k.mu.Unlock()
	select {
	case <-turn:
		return func() { k.leave(key, turn) }, nil
	case <-ctx.Done():
		k.leave(key, turn)
		return nil, context.Cause(ctx)
	}
}

// leave takes a place out of the queue and, if it was the first, wakes the next.
func (k *keyed) leave(key string, place chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	queue := k.queues[key]
	for i, c := range queue {
		if c != place {
			continue
		}
		queue = append(queue[:i:i], queue[i+1:]...)
		if len(queue) == 0 {
			delete(k.queues, key)
			return
		}
		k.queues[key] = queue
		if i == 0 {
			close(queue[0])
		}
		return
	}
}
