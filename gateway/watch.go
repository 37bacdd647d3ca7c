package gateway

import "sync"

// place names a slot.
type place struct{ route, customer string }

// watch wakes those who wait for news of a slot. The zero value is ready for use.
type watch struct {
	mu      sync.Mutex
	waiting map[place][]chan struct{}
}

// join returns a channel that receives after news of the slot; leave must be
// called with it in the end.
func (w *watch) join(p place) chan struct{} {
	news := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting == nil {
		w.waiting = map[place][]chan struct{}{}
	}
	w.waiting[p] = append(w.waiting[p], news)
	return news
}

func (w *watch) leave(p place, news chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.waiting[p]
	for i, c := range all {
		if c == news {
			all[i] = all[len(all)-1]
			all = all[:len(all)-1]
			break
		}
	}
	if len(all) == 0 {
		delete(w.waiting, p)
		return
	}
	w.waiting[p] = all
}

// tell wakes everyone who waits for the slot.
func (w *watch) tell(p place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.waiting[p] {
		select {
		case c <- struct{}{}:
		default: // has not looked at the last news yet
		}
	}
}
