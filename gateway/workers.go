package gateway

import "sync"

// workers runs functions on goroutines that it keeps for a while: a new
// goroutine would grow its stack again for every call, which costs a tenth of a
// fan-out. The zero value is not usable.
type workers struct {
	tasks chan func()
	idle  chan struct{} // a place for each goroutine that may wait for the next task
	done  chan struct{}
	once  sync.Once
}

// newWorkers keeps up to idle goroutines.
func newWorkers(idle int) *workers {
	return &workers{tasks: make(chan func()), idle: make(chan struct{}, idle), done: make(chan struct{})}
}

// run runs f on an idle goroutine, or on a new one.
func (w *workers) run(f func()) {
	select {
	case w.tasks <- f:
	default:
		go w.work(f)
	}
}

func (w *workers) work(f func()) {
	for {
		f()
		select {
		case w.idle <- struct{}{}:
		default:
			return // enough are waiting
		}
		select {
		case f = <-w.tasks:
			<-w.idle
		case <-w.done:
			return
		}
	}
}

// close ends the idle goroutines. What still runs ends by itself.
func (w *workers) close() { w.once.Do(func() { close(w.done) }) }
