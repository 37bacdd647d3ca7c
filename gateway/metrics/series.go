package metrics

import (
	"maps"
	"sync"
	"sync/atomic"
)

// series keeps what belongs to a set of labels. Reading takes no lock and, unlike
// sync.Map, does not box the key; putting copies the whole map, which is fine
// because the number of keys is bounded and soon all are there. The zero value is
// ready for use.
type series[K comparable, V any] struct {
	mu   sync.Mutex
	held atomic.Pointer[map[K]V]
}

func (s *series[K, V]) get(key K) (V, bool) {
	if m := s.held.Load(); m != nil {
		v, found := (*m)[key]
		return v, found
	}
	var none V
	return none, false
}

// put sets and returns v.
func (s *series[K, V]) put(key K, v V) V {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, v)
	return v
}

// admit returns what is held for the key, else what open makes for it, unless
// limit keys are held already.
func (s *series[K, V]) admit(key K, limit int, open func() V) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if held, found := s.get(key); found {
		return held, true
	}
	if m := s.held.Load(); m != nil && len(*m) >= limit {
		var none V
		return none, false
	}
	v := open()
	s.set(key, v)
	return v, true
}

// all returns what is held, not to be changed.
func (s *series[K, V]) all() map[K]V {
	if m := s.held.Load(); m != nil {
		return *m
	}
	return nil
}

func (s *series[K, V]) drop(key K) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.get(key); found {
		left := maps.Clone(*s.held.Load())
		delete(left, key)
		s.held.Store(&left)
	}
}

func (s *series[K, V]) set(key K, v V) {
	grown := map[K]V{key: v}
	if m := s.held.Load(); m != nil {
		grown = maps.Clone(*m)
		grown[key] = v
	}
	s.held.Store(&grown)
}
