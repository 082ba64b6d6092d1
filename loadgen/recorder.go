package loadgen

import (
	"maps"
	"sync"
	"time"
)

// maxCauses bounds the distinct shed reasons and failures of a stream: they
// come from the target, which may send anything.
const maxCauses = 32

// recorder collects the results of one stream. It is safe for concurrent use.
// It reads no clock: times are arguments, counted from the start of the run.
//
// A request belongs to the figures when its intended start lies in the
// measured window; that is the caller's argument measured. Throughput and the
// time series count by the moment of the answer instead, so that a backlog
// from the warm-up shows up where it was worked off.
type recorder struct {
	from, to time.Duration // the measured window; immutable

	mu       sync.Mutex
	counts   counts
	inWindow int64     // expected answers within [from, to)
	latency  histogram // from the intended start
	service  histogram // from the real start
	lag      histogram // real start - intended start

	series []Second
	second histogram // answers of the second that is last in series

	interval      histogram // answers since the last progress
	intervalStart time.Duration
	total         counts // as counts, but with the warm-up
}

// counts are the results of requests so far.
type counts struct {
	intended, sent, ok, accepted, repeated, unfinished, skipped, bytes int64
	shed, failed                                                       map[string]int64
}

func newCounts() counts {
	return counts{shed: make(map[string]int64), failed: make(map[string]int64)}
}

func (c counts) clone() counts {
	c.shed, c.failed = maps.Clone(c.shed), maps.Clone(c.failed)
	return c
}

func newRecorder(from, to time.Duration) *recorder {
	return &recorder{
		from: from, to: to,
		counts: newCounts(), total: newCounts(),
		latency: newHistogram(), service: newHistogram(), lag: newHistogram(),
		second: newHistogram(), interval: newHistogram(),
	}
}

// measures reports whether a request with this intended start belongs to the
// figures.
func (r *recorder) measures(intended time.Duration) bool {
	return intended >= r.from && intended < r.to
}

// update applies f to the counts that a request with this intended start
// belongs to.
func (r *recorder) update(intended time.Duration, f func(*counts)) {
	f(&r.total)
	if r.measures(intended) {
		f(&r.counts)
	}
}

// skip counts a request that was not sent because too many were unanswered.
func (r *recorder) skip(intended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(c *counts) { c.intended++; c.skipped++ })
}

// start counts a request that is being sent now.
func (r *recorder) start(intended, started time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(c *counts) { c.intended++; c.sent++ })
	if r.measures(intended) {
		r.lag.record(started - intended)
	}
}

// accept counts the 202 for a job; its outcome comes later.
func (r *recorder) accept(intended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(c *counts) { c.accepted++ })
}

// repeat counts a job that was completed once more.
func (r *recorder) repeat(intended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(c *counts) { c.repeated++ })
}

// finish records what became of a request: at is when that was known.
func (r *recorder) finish(o Outcome, intended, started, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(c *counts) {
		c.bytes += o.Bytes
		switch o.Kind {
		case OutcomeOK:
			c.ok++
		case OutcomeShed:
			countCause(c.shed, o.Cause)
		case OutcomeFailed:
			countCause(c.failed, o.Cause)
		case OutcomeUnfinished:
			c.unfinished++
		}
	})
	second := r.secondAt(at)
	switch o.Kind {
	case OutcomeOK:
		r.interval.record(at - intended)
		if r.measures(intended) {
			r.latency.record(at - intended)
			r.service.record(at - started)
		}
		if r.measures(at) {
			r.inWindow++
		}
		if second != nil {
			second.Done++
			r.second.record(at - intended)
		}
	case OutcomeShed:
		if second != nil {
			second.Shed++
		}
	case OutcomeFailed:
		if second != nil {
			second.Failed++
		}
	}
}

func countCause(causes map[string]int64, cause string) {
	if _, known := causes[cause]; !known && (len(causes) >= maxCauses || len(cause) > 64) {
		cause = "other"
	}
	causes[cause]++
}

// secondAt returns the entry of the time series for at, or nil during the
// warm-up. Answers that become known late (completions are polled) count for
// the newest second.
func (r *recorder) secondAt(at time.Duration) *Second {
	if at < r.from {
		return nil
	}
	for index := int((at - r.from) / time.Second); len(r.series) <= index; {
		r.closeSecond()
		r.series = append(r.series, Second{Second: len(r.series)})
	}
	return &r.series[len(r.series)-1]
}

// closeSecond writes the percentiles of the newest second into the series.
func (r *recorder) closeSecond() {
	if len(r.series) > 0 && r.second.count() > 0 {
		last := &r.series[len(r.series)-1]
		last.P50, last.P99 = millis(r.second.quantile(0.50)), millis(r.second.quantile(0.99))
	}
	r.second.reset()
}

// progress returns the figures since the last call, and starts anew.
func (r *recorder) progress(s Class, now time.Duration) ClassProgress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := ClassProgress{
		Name: s.Name, Class: s.Class,
		Sent: r.total.sent, OK: r.total.ok, Skipped: r.total.skipped,
		Shed: sum(r.total.shed), Failed: sum(r.total.failed),
		P50: r.interval.quantile(0.50), P99: r.interval.quantile(0.99),
		Lag: r.lag.quantile(0.99),
	}
	if elapsed := now - r.intervalStart; elapsed > 0 {
		p.DonePerSecond = float64(r.interval.count()) / elapsed.Seconds()
	}
	r.interval.reset()
	r.intervalStart = now
	return p
}

// result condenses everything for the report; window is how long was measured.
func (r *recorder) result(s Class, window time.Duration) ClassResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closeSecond()
	c := r.counts.clone()
	result := ClassResult{
		Name: s.Name, Class: s.Class, Endpoint: s.Endpoint, Rate: s.Arrivals.Mean(r.from, r.to),
		Method: s.Request.Method, Path: s.Request.Path, Job: s.Job,
		Counts: Counts{
			Intended: c.intended, Sent: c.sent, OK: c.ok, Unfinished: c.unfinished, Skipped: c.skipped,
			Shed: c.shed, Failed: c.failed,
		},
		Accepted: c.accepted, Repeated: c.repeated, Bytes: c.bytes,
		Latency: r.latency.summary(), Service: r.service.summary(), Lag: r.lag.summary(),
		Curve: r.latency.curve(), ServiceCurve: r.service.curve(), Distribution: r.latency.distribution(),
		Series: append([]Second{}, r.series...), Slowest: []SlowRequest{},
	}
	if window > 0 {
		result.DonePerSecond = round3(float64(r.inWindow) / window.Seconds())
	}
	return result
}

func sum(m map[string]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}
