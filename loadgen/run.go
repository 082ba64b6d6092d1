package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"overtake/loadgen/arrival"
	"overtake/loadgen/completion"
)

// Options are the conditions of a run. The zero value is usable, but for job
// classes, which need Completions.
type Options struct {
	// Condition says in the report under which condition the run was made, such
	// as "class order". Empty is "run".
	Condition string
	// Grace is how long the run waits, after the last intended start, for
	// answers and completions; what is missing then is counted as unfinished.
	// 0 is 10 s, negative is none.
	Grace time.Duration
	// RequestTimeout bounds one request from its real start. 0 is 60 s.
	RequestTimeout time.Duration
	// MaxOutstanding bounds the unanswered requests of each class; above it,
	// requests are skipped and counted. 0 is 20000.
	MaxOutstanding int
	// Completions is the URL at which the sample app lists finished work, such
	// as http://127.0.0.1:9000/completions. Required if a class posts jobs.
	Completions string
	// Progress, if set, is called every 500 ms, never concurrently. It must
	// return soon. See [ProgressLine].
	Progress func(Progress)
	// TLS is used for https targets. Nil verifies with the system's roots.
	TLS *tls.Config
	// Version goes into the report. Empty is that of the build.
	Version string
}

func (o Options) withDefaults() Options {
	if o.Condition == "" {
		o.Condition = "run"
	}
	if o.Grace == 0 {
		o.Grace = 10 * time.Second
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = time.Minute
	}
	if o.MaxOutstanding <= 0 {
		o.MaxOutstanding = 20_000
	}
	return o
}

// errNoCompletions: a job class without a place to see jobs done.
var errNoCompletions = errors.New("loadgen: a job class needs the app's completions URL")

// Run sends the scenario and returns what came of it, as a report with one
// phase. It returns an error and no report if the scenario is wrong or nothing
// listens at the target.
//
// When ctx ends, Run stops at once and returns both the report of what was
// measured and the cause of ctx. Either way, everything it started has ended.
func Run(ctx context.Context, sc Scenario, opts Options) (*Report, error) {
	if err := sc.Validate(); err != nil {
		return nil, err
	}
	t, err := parseTarget(sc.Target)
	if err != nil {
		return nil, err
	}
	if err := probe(ctx, t); err != nil {
		return nil, err
	}
	r := newRun(sc, opts.withDefaults(), t)
	if err := r.openCompletions(ctx); err != nil {
		return nil, err
	}
	r.execute(ctx)
	report := r.report()
	if err := context.Cause(ctx); err != nil {
		return report, fmt.Errorf("loadgen: run ended early: %w", err)
	}
	return report, nil
}

// run is one run at work. All fields but the counters are set before the
// first goroutine starts.
type run struct {
	scenario Scenario
	opts     Options
	target   target
	client   *client
	jobs     *jobs
	finished *completionsReader // nil without job classs
	classes  []*classRun

	start    time.Time
	end      time.Duration // of the schedule, since start
	requests sync.WaitGroup

	// Written by execute, read by report.
	scheduled   time.Duration // how long the schedule really lasted
	cpu         time.Duration // used meanwhile
	interrupted bool
}

type classRun struct {
	Class
	template    requestTemplate
	recorder    *recorder
	schedule    *arrival.Schedule
	outstanding atomic.Int64
}

func newRun(sc Scenario, opts Options, t target) *run {
	maxConns := opts.MaxOutstanding*len(sc.Classes) + 1
	r := &run{
		scenario: sc, opts: opts, target: t,
		client: newClient(t, maxConns, opts.RequestTimeout, opts.TLS),
		jobs:   newJobs(),
		end:    sc.Warmup + sc.Duration,
	}
	for _, s := range sc.Classes {
		s = s.withDefaults()
		r.classes = append(r.classes, &classRun{
			Class:    s,
			template: newTemplate(t, s),
			recorder: newRecorder(sc.Warmup, r.end),
			schedule: s.Arrivals.Open(sc.Seed, s.Name),
		})
	}
	return r
}

func (r *run) openCompletions(ctx context.Context) error {
	for _, s := range r.classes {
		if !s.Job {
			continue
		}
		if r.opts.Completions == "" {
			return fmt.Errorf("%w (class %q)", errNoCompletions, s.Name)
		}
		reader, err := openCompletions(ctx, r.opts.Completions)
		r.finished = reader
		return err
	}
	return nil
}

// execute sends the load and returns when nothing of it is left.
func (r *run) execute(ctx context.Context) {
	var schedules, helpers sync.WaitGroup
	helping, stopHelpers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHelpers()

	cpuBefore := cpuTime()
	r.start = time.Now()
	for _, s := range r.classes {
		schedules.Go(func() { r.follow(ctx, s) })
	}
	if r.finished != nil {
		helpers.Go(func() { r.watchCompletions(helping) })
	}
	if r.opts.Progress != nil {
		helpers.Go(func() { r.reportProgress(helping) })
	}
	schedules.Wait()
	r.scheduled, r.cpu = time.Since(r.start), cpuTime()-cpuBefore

	answered := make(chan struct{})
	helpers.Go(func() { r.requests.Wait(); close(answered) })
	r.drain(ctx, answered)
	r.interrupted = ctx.Err() != nil
	r.client.abort()
	<-answered
	stopHelpers()
	helpers.Wait()
	r.jobs.expire(time.Since(r.start))
	if r.finished != nil {
		r.finished.close()
	}
	if r.opts.Progress != nil {
		r.opts.Progress(r.progress(true))
	}
}

// follow starts the requests of s at their intended times. It never waits for
// an answer; when it is late it sends at once what is due.
func (r *run) follow(ctx context.Context, s *classRun) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	// Numbers begin at the clock, so that the completions of an earlier run
	// against the same app are not taken for those of this one.
	for number := r.start.UnixMilli() * 1e6; ; number++ {
		due, more := s.schedule.Next()
		intended := due.At
		if !more || intended >= r.end {
			return
		}
		if !sleepUntil(ctx, timer, r.start.Add(intended)) {
			return
		}
		if s.outstanding.Load() >= int64(r.opts.MaxOutstanding) {
			s.recorder.skip(intended)
			continue
		}
		s.outstanding.Add(1)
		r.requests.Go(func() {
			defer s.outstanding.Add(-1)
			r.send(s, number, intended)
		})
	}
}

// sleepUntil reports false if ctx ended first.
func sleepUntil(ctx context.Context, timer *time.Timer, t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer.Reset(wait)
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *run) send(s *classRun, number int64, intended time.Duration) {
	id := s.Name + "/" + strconv.FormatInt(number, 10)
	started := time.Since(r.start)
	s.recorder.start(intended, started)
	if !s.Job {
		o := r.client.do(s.template, id)
		s.recorder.finish(o, intended, started, time.Since(r.start))
		return
	}
	r.jobs.post(id, s.recorder, intended, started)
	o := r.client.do(s.template, id)
	r.jobs.answer(id, o, time.Since(r.start))
}

// watchCompletions polls until ctx ends. A failed poll is repeated: the list
// keeps what was missed.
func (r *run) watchCompletions(ctx context.Context) {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = r.finished.poll(ctx, func(c completion.Item) {
				r.jobs.complete(c.ID, time.Unix(0, c.FinishedUnixNano).Sub(r.start.Round(0)))
			})
		}
	}
}

// drain waits until all is answered, then until all jobs are completed, but no
// longer than the grace time.
func (r *run) drain(ctx context.Context, answered <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, max(r.opts.Grace, 0))
	defer cancel()
	select {
	case <-answered:
	case <-ctx.Done():
		return
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for r.jobs.pending() > 0 {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// report condenses the run. It is called after execute.
func (r *run) report() *Report {
	window := min(r.scheduled, r.end) - r.scenario.Warmup
	result := RunResult{
		Condition: r.opts.Condition, Repeat: 1, Target: r.target.url, Started: r.start.UTC(), Seed: r.scenario.Seed,
		WarmupSeconds:   round3(r.scenario.Warmup.Seconds()),
		DurationSeconds: round3(max(window, 0).Seconds()),
		Interrupted:     r.interrupted,
	}
	if !r.interrupted { // the last request comes a little before the end
		window = r.scenario.Duration
		result.DurationSeconds = round3(window.Seconds())
	}
	var intended, skipped int64
	for _, s := range r.classes {
		class := s.recorder.result(s.Class, window)
		intended += class.Intended
		skipped += class.Skipped
		result.Generator.LagP99 = max(result.Generator.LagP99, class.Lag.P99)
		result.Generator.SocketFailures += class.Failed[FailSockets]
		result.Classes = append(result.Classes, class)
	}
	if intended > 0 {
		result.Generator.SkippedShare = float64(skipped) / float64(intended)
	}
	if r.scheduled > 0 {
		result.Generator.CPUShare = round3(r.cpu.Seconds() / (r.scheduled.Seconds() * float64(runtime.GOMAXPROCS(0))))
	}
	if r.finished != nil {
		result.Generator.LostCompletions = r.finished.lost
	}
	result.Verdict = judge(result.Generator)
	return &Report{
		Schema:      ReportSchema,
		Scenario:    r.scenario.Name,
		Created:     time.Now().UTC(),
		Target:      r.target.url,
		Environment: environment(r.opts.Version),
		Verdict:     mergeVerdicts([]RunResult{result}),
		Runs:        []RunResult{result},
	}
}
