package gateway

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"overtake/tracing"
)

// waitBuckets reach from what a waiting time is when nothing waits to the
// longest max_wait, a factor of two apart.
var waitBuckets = prometheus.ExponentialBuckets(0.0005, 2, 18)

// timings are histograms of seconds that know, for each of their buckets, the trace of
// one that is counted there: its exemplar (OpenMetrics). So that nobody is sent to a
// trace which is not there, the trace is added when it has been recorded, which is
// later than the time is counted: the client library does both at once or nothing.
type timings[K comparable] struct{ *series[K, *timing] }

// timing is the histogram of one set of labels.
type timing struct {
	prometheus.Observer                           // in the vector
	traces              []atomic.Pointer[example] // by bucket, the last is for what no bound holds
}

// example is one that was counted, and recorded.
type example struct {
	trace   tracing.TraceID
	seconds float64
	at      time.Time
}

// exemplarLabel is what traces are called in exemplars. With an id of 32 digits it is
// far below the 128 characters that OpenMetrics 1.0 allows them.
const exemplarLabel = "trace_id"

// newTimings returns a family of histograms. labels returns the values of the labels in
// their order.
func newTimings[K comparable](name, help string, labels func(K) []string, names ...string) *timings[K] {
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: waitBuckets}, names)
	return &timings[K]{newSeries(vec.MetricVec, func(k K) *timing {
		return &timing{Observer: vec.WithLabelValues(labels(k)...), traces: make([]atomic.Pointer[example], len(waitBuckets)+1)}
	})}
}

// observe counts a time.
func (t *timing) observe(d time.Duration) { t.Observe(max(0, d).Seconds()) }

// recorded names the trace of a time that was counted before.
func (t *timing) recorded(trace tracing.TraceID, d time.Duration, at time.Time) {
	seconds := max(0, d).Seconds()
	t.traces[sort.SearchFloat64s(waitBuckets, seconds)].Store(&example{trace, seconds, at})
}

// Collect implements prometheus.Collector.
func (t *timings[K]) Collect(out chan<- prometheus.Metric) {
	known := make(map[prometheus.Metric]*timing)
	for _, one := range t.known.All() {
		known[one.Observer.(prometheus.Metric)] = one // of a vector, it always is
	}
	plain := make(chan prometheus.Metric)
	go func() {
		defer close(plain)
		t.MetricVec.Collect(plain)
	}()
	for metric := range plain {
		if one := known[metric]; one != nil {
			metric = one.with(metric)
		}
		out <- metric
	}
}

// with adds the traces to the histogram.
func (t *timing) with(metric prometheus.Metric) prometheus.Metric {
	var all []prometheus.Exemplar
	for i := range t.traces {
		if e := t.traces[i].Load(); e != nil {
			all = append(all, prometheus.Exemplar{
				Value: e.seconds, Labels: prometheus.Labels{exemplarLabel: e.trace.String()}, Timestamp: e.at,
			})
		}
	}
	if all == nil {
		return metric
	}
	return prometheus.MustNewMetricWithExemplars(metric, all...) // it fails for a label that is too long
}
