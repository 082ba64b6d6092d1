package loadgen

import (
	"cmp"
	"maps"
	"strings"
	"sync"
	"time"
)

// maxCauses bounds the distinct shed reasons and failures of a class: they
// come from the target, which may send anything.
const maxCauses = 32

// maxErrorText bounds the text of an error, which may quote what the target sent.
const maxErrorText = 200

// recorder collects the results of one class. It is safe for concurrent use.
// It reads no clock: times are arguments, counted from the start of the run.
// Its memory does not depend on how many requests there are.
//
// A request belongs to the figures when its intended start lies in the
// measured window. Throughput and the time series count by the moment of the
// answer instead, so that a backlog from the warm-up shows up where it was
// worked off.
type recorder struct {
	from, to  time.Duration // the measured window; immutable
	objective time.Duration // immutable; 0 is met by every success

	mu           sync.Mutex
	warmup       figures // of requests that were due before the window
	measured     figures
	phases       []phaseFigures
	inWindow     int64 // successes within [from, to)
	goodInWindow int64 // those of them within the objective

	latency histogram // from the intended start
	service histogram // from the real start
	lag     histogram // real start - intended start
	queue   histogram // in the gateway
	looks   *looks    // at jobs; nil without any
	// Sums over the successes that told their time in the gateway.
	queueSum, queueService time.Duration

	series  series
	slowest slowest
	// firstFailures are texts of measured errors, by kind.
	firstFailures map[string]string

	interval      histogram // latencies since the last progress
	intervalStart time.Duration
}

// figures are the results of some requests so far.
type figures struct {
	Counts
	accepted, repeated, bytes int64
}

// looks are the figures of the looks at jobs.
type looks struct {
	lag     histogram // real start - planned start
	error   histogram // of the time when a job was done
	overdue int64     // jobs that nobody looked at in time
}

type phaseFigures struct {
	figures
	name    string
	to      time.Duration // its end, since the start of the run
	latency histogram
}

func newFigures() figures {
	return figures{Counts: Counts{Shed: make(map[string]int64), Failed: make(map[string]int64)}}
}

func newRecorder(from, to, objective time.Duration, phases []Phase) *recorder {
	r := &recorder{
		from: from, to: to, objective: objective,
		warmup: newFigures(), measured: newFigures(),
		latency: newHistogram(), service: newHistogram(), lag: newHistogram(), queue: newHistogram(),
		series: newSeries(from), interval: newHistogram(),
	}
	end := from
	for _, p := range phases {
		end += p.Duration
		r.phases = append(r.phases, phaseFigures{figures: newFigures(), name: p.Name, to: end, latency: newHistogram()})
	}
	return r
}

// measures reports whether this moment lies in the measured window.
func (r *recorder) measures(t time.Duration) bool { return t >= r.from && t < r.to }

// phase returns the phase of a request with this intended start, or nil.
func (r *recorder) phase(intended time.Duration) *phaseFigures {
	if !r.measures(intended) {
		return nil
	}
	for i := range r.phases {
		if intended < r.phases[i].to {
			return &r.phases[i]
		}
	}
	return nil
}

// update applies f to all figures that a request with this intended start
// belongs to.
func (r *recorder) update(intended time.Duration, f func(*figures)) {
	if intended < r.from {
		f(&r.warmup)
	}
	if r.measures(intended) {
		f(&r.measured)
	}
	if p := r.phase(intended); p != nil {
		f(&p.figures)
	}
}

// skip counts n requests that were due then and not sent, because too many were
// unanswered or the schedule was over.
func (r *recorder) skip(intended time.Duration, n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(f *figures) { f.Intended += n; f.Skipped += n })
	if second := r.series.at(intended); second != nil {
		second.Skipped += n
	}
}

// start counts a request that is being sent now.
func (r *recorder) start(intended, started time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(f *figures) { f.Intended++; f.Sent++ })
	if r.measures(intended) {
		r.lag.record(started - intended)
	}
	if second := r.series.at(started); second != nil {
		second.Sent++
	}
}

// delay records the lag of a request that was started before, and was held then.
func (r *recorder) delay(intended, started time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.measures(intended) {
		r.lag.record(started - intended)
	}
}

// accept counts the 202 for a job; its outcome comes later.
func (r *recorder) accept(intended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(f *figures) { f.accepted++ })
}

// look records how late a look at a job began.
func (r *recorder) look(intended, lag time.Duration) {
	r.atLooks(intended, func(l *looks) { l.lag.record(lag) })
}

// known records by how much the time at which a job was done may be wrong.
func (r *recorder) known(intended, within time.Duration) {
	r.atLooks(intended, func(l *looks) { l.error.record(within) })
}

// overlook counts a job that may have ended, and was not looked at.
func (r *recorder) overlook(intended time.Duration) {
	r.atLooks(intended, func(l *looks) { l.overdue++ })
}

// atLooks changes the figures of looks for a measured job.
func (r *recorder) atLooks(intended time.Duration, f func(*looks)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.measures(intended) {
		return
	}
	if r.looks == nil {
		r.looks = &looks{lag: newHistogram(), error: newHistogram()}
	}
	f(r.looks)
}

// repeat counts a job that was completed once more.
func (r *recorder) repeat(intended time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.update(intended, func(f *figures) { f.repeated++ })
}

// finish records what became of c: at is when that was known.
func (r *recorder) finish(c *Call, o Outcome, at time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	good := o.Kind == OutcomeOK && (r.objective == 0 || at-c.intended <= r.objective)
	r.update(c.intended, func(f *figures) {
		f.bytes += o.Bytes
		switch o.Kind {
		case OutcomeOK:
			f.OK++
		case OutcomeShed:
			countCause(f.Shed, o.Cause)
		case OutcomeFailed:
			countCause(f.Failed, o.Cause)
		case OutcomeUnfinished:
			f.Unfinished++
		}
		if good {
			f.WithinObjective++
		}
	})
	switch o.Kind {
	case OutcomeOK:
		r.succeed(c, o, at, good)
	case OutcomeShed:
		if second := r.series.at(at); second != nil {
			second.Shed++
		}
	case OutcomeFailed:
		if second := r.series.at(at); second != nil {
			second.Failed++
		}
		r.explain(c.intended, o)
	}
}

// explain keeps what the first failure of a kind was.
func (r *recorder) explain(intended time.Duration, o Outcome) {
	if o.Err == nil || !r.measures(intended) || r.firstFailures[o.Cause] != "" {
		return
	}
	if r.firstFailures == nil {
		r.firstFailures = make(map[string]string)
	}
	text := strings.TrimPrefix(o.Err.Error(), "loadgen: ")
	r.firstFailures[o.Cause] = strings.ToValidUTF8(text[:min(len(text), maxErrorText)], "")
}

// succeed records the times of a success.
func (r *recorder) succeed(c *Call, o Outcome, at time.Duration, good bool) {
	latency, service := at-c.intended, at-c.started
	if o.Queue > service {
		o.Queue = -1 // can't be: it would be a share above 1
	}
	r.interval.record(latency)
	r.series.done(at, latency, o.Queue, good)
	if r.measures(at) {
		r.inWindow++
		if good {
			r.goodInWindow++
		}
	}
	if !r.measures(c.intended) {
		return
	}
	r.latency.record(latency)
	r.service.record(service)
	r.slowest.add(c, latency, service, o.Queue)
	if p := r.phase(c.intended); p != nil {
		p.latency.record(latency)
	}
	if o.Queue >= 0 {
		r.queue.record(o.Queue)
		r.queueSum += o.Queue
		r.queueService += service
	}
}

func countCause(causes map[string]int64, cause string) {
	if _, known := causes[cause]; !known && (len(causes) >= maxCauses || len(cause) > 64) {
		cause = "other"
	}
	causes[cause]++
}

// progress returns the figures since the last call, and starts anew.
func (r *recorder) progress(s Class, now time.Duration) ClassProgress {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := &r.measured.Counts
	if now < r.from {
		counts = &r.warmup.Counts
	}
	p := ClassProgress{
		Name: s.Name, Class: s.Class,
		Sent: counts.Sent, OK: counts.OK, Skipped: counts.Skipped,
		Shed: counts.ShedTotal(), Failed: counts.FailedTotal(),
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

// lateness returns what the verdict goes by.
func (r *recorder) lateness(class string) lateness {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := lateness{
		class: class, lag: r.lag.quantile(0.99), peak: r.series.peak(),
		median: r.latency.quantile(0.50), p99: r.latency.quantile(0.99),
	}
	if r.looks != nil {
		l.lookLag, l.endError, l.overdue = r.looks.lag.quantile(0.99), r.looks.error.quantile(0.99), r.looks.overdue
	}
	return l
}

// result condenses everything for the report; window is how long was measured,
// and jaeger the base URL for links to traces, if not empty. Nothing is recorded
// after it.
func (r *recorder) result(s Class, window time.Duration, jaeger string) ClassResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := ClassResult{
		Name: s.Name, Class: s.Class, Endpoint: s.Endpoint, Rate: s.Arrivals.Mean(r.from, r.to),
		Method: s.Request.Method, Path: cmp.Or(s.ShownPath, s.Request.Path), Job: s.Job,
		Arrivals: s.Arrivals.String(), Timeout: millis(s.Timeout),
		Counts:   r.measured.clone(),
		Accepted: r.measured.accepted, Repeated: r.measured.repeated, Bytes: r.measured.bytes,
		Objective: millis(s.Objective),
		Latency:   r.latency.summary(), Service: r.service.summary(), Lag: r.lag.summary(), Queue: r.queue.summary(),
		Curve: r.latency.curve(), ServiceCurve: r.service.curve(), Distribution: r.latency.distribution(),
		Series: r.series.result(), Slowest: r.slowest.result(r.from, jaeger), FirstFailures: r.firstFailures,
	}
	if r.queueService > 0 {
		result.QueueShare = round4(float64(r.queueSum) / float64(r.queueService))
	}
	if r.looks != nil {
		result.LookLag, result.EndError, result.OverdueLooks = r.looks.lag.summary(), r.looks.error.summary(), r.looks.overdue
	}
	if window > 0 {
		result.DonePerSecond = round3(float64(r.inWindow) / window.Seconds())
		result.Goodput = round3(float64(r.goodInWindow) / window.Seconds())
	}
	for _, p := range r.phases {
		result.Phases = append(result.Phases, PhaseResult{Name: p.name, Counts: p.clone(), Latency: p.latency.summary()})
	}
	return result
}

func (c Counts) clone() Counts {
	c.Shed, c.Failed = maps.Clone(c.Shed), maps.Clone(c.Failed)
	return c
}

func sum(m map[string]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}
