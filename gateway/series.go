package gateway

import (
	"maps"
	"sync"
	"sync/atomic"
)

// series keeps a vector's metrics at hand, by what their labels are made of. To find
// one by its labels takes longer than to count, and every request counts several.
type series[K comparable, M any] struct {
	find func(K) M

	known atomic.Pointer[map[K]M] // replaced, never changed
	mu    sync.Mutex              // of who replaces it
}

// newSeries returns the series of the metrics that find returns.
func newSeries[K comparable, M any](find func(K) M) *series[K, M] {
	s := &series[K, M]{find: find}
	s.known.Store(&map[K]M{})
	return s
}

// of returns the metric of k.
func (s *series[K, M]) of(k K) M {
	if m, ok := (*s.known.Load())[k]; ok {
		return m
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := maps.Clone(*s.known.Load())
	known[k] = s.find(k)
	s.known.Store(&known)
	return known[k]
}
