package sqlite

import (
	"sync/atomic"
	"time"
)

// clock is the store's time, in microseconds since 1970. It starts at the wall
// clock or at the latest time on record, whichever is later, and from there runs
// with the time that has passed, so it never goes back and no jump of the wall
// clock moves it.
type clock struct {
	wall  func() time.Time
	start time.Time // with Go's monotonic reading
	base  int64
	last  atomic.Int64
}

func newClock(wall func() time.Time, recorded int64) *clock {
	start := wall()
	return &clock{wall: wall, start: start, base: max(start.UnixMicro(), recorded, 1)}
}

func (c *clock) now() int64 {
	t := c.base + c.wall().Sub(c.start).Microseconds()
	for {
		last := c.last.Load()
		if t <= last {
			return last
		}
		if c.last.CompareAndSwap(last, t) {
			return t
		}
	}
}

// moment turns the store's time into a caller's; 0 is the zero time.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// micros is the reverse of moment.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
