package gateway

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// series keeps a vector's metrics at hand, by what their labels are made of. To find
// one by its labels takes longer than to count, and every request counts several.
type series[K comparable, M any] struct {
	*prometheus.MetricVec
	find func(K) M // in the vector

	known atomic.Pointer[map[K]M] // replaced, never changed
	mu    sync.Mutex              // of who replaces it
}

func newSeries[K comparable, M any](vec *prometheus.MetricVec, find func(K) M) *series[K, M] {
	s := &series[K, M]{MetricVec: vec, find: find}
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
	if m, ok := (*s.known.Load())[k]; ok {
		return m // another one has put it there meanwhile
	}
	known := maps.Clone(*s.known.Load())
	known[k] = s.find(k)
	s.known.Store(&known)
	return known[k]
}

// forget drops the metrics with these labels, which are those whose keys have them.
func (s *series[K, M]) forget(labels prometheus.Labels, has func(K) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.DeletePartialMatch(labels)
	known := maps.Clone(*s.known.Load())
	maps.DeleteFunc(known, func(k K, _ M) bool { return has(k) })
	s.known.Store(&known)
}
