package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"overtake/gateway/keyed"
)

// series keeps a vector's metrics at hand, by what their labels are made of. To find
// one by its labels takes longer than to count, and every request counts several.
type series[K comparable, M any] struct {
	*prometheus.MetricVec
	find  func(K) M // in the vector
	known keyed.Values[K, M]
}

func newSeries[K comparable, M any](vec *prometheus.MetricVec, find func(K) M) *series[K, M] {
	return &series[K, M]{MetricVec: vec, find: find}
}

// of returns the metric of k.
func (s *series[K, M]) of(k K) M { return s.known.Of(k, s.find) }

// forget drops the metrics with these labels, which are those whose keys have them.
func (s *series[K, M]) forget(labels prometheus.Labels, has func(K) bool) {
	// In this order: what somebody has found in the vector meanwhile is not kept at hand
	// when it is no longer in there.
	s.DeletePartialMatch(labels)
	s.known.Keep(func(k K) bool { return !has(k) })
}
