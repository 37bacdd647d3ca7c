package sqlite

import (
	"sync"

	"customer-gateway/gateway/ledger"
)

// tally counts the slots of every route that are not idle, because counting a
// million rows takes too long for a gauge that is read every few seconds.
type tally struct {
	mu     sync.Mutex
	routes map[string]*count
}

type count struct {
	due, leased, dead int
	// since has the DueSince of every leased slot, and how many share it. There
	// are no more of them than deliveries under way.
	since map[int64]int
}

// move is one slot's change of state.
type move struct {
	route              string
	from, to           ledger.State
	fromSince, toSince int64
}

func (t *tally) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.routes = make(map[string]*count)
}

func (t *tally) apply(moves []move) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range moves {
		m := &moves[i]
		t.add(m.route, m.from, m.fromSince, -1)
		t.add(m.route, m.to, m.toSince, 1)
	}
}

func (t *tally) add(route string, state ledger.State, since int64, n int) {
	if state == ledger.Idle {
		return
	}
	c := t.routes[route]
	if c == nil {
		c = &count{since: make(map[int64]int)}
		t.routes[route] = c
	}
	switch state {
	case ledger.Due:
		c.due += n
	case ledger.Leased:
		c.leased += n
		if c.since[since] += n; c.since[since] == 0 {
			delete(c.since, since)
		}
	case ledger.DeadLettered:
		c.dead += n
	}
}

// leases reports whether a route has leased slots.
func (t *tally) leases(route string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.routes[route]
	return c != nil && c.leased > 0
}

// backlog returns the counts. Oldest is that of the leased ones.
func (t *tally) backlog() []ledger.Backlog {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]ledger.Backlog, 0, len(t.routes))
	for route, c := range t.routes {
		if c.due == 0 && c.leased == 0 && c.dead == 0 {
			continue
		}
		var oldest int64
		for since := range c.since {
			if oldest == 0 || since < oldest {
				oldest = since
			}
		}
		list = append(list, ledger.Backlog{Route: route, Due: c.due, Leased: c.leased, Dead: c.dead, Oldest: moment(oldest)})
	}
	return list
}
