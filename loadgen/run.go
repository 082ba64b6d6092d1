package loadgen

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Run sends the scenario and returns what came of it, as a report with one run.
// It returns an error and no report if the scenario is wrong or nothing usable
// is at an endpoint.
//
// When ctx ends, Run stops at once and returns both the report of what was
// measured and the cause of ctx. Either way, everything it started has ended.
func Run(ctx context.Context, sc Scenario, opts Options) (*Report, error) {
	return RunRepeated(ctx, sc, opts, 1)
}

// runOnce makes one run of a valid scenario.
func runOnce(ctx context.Context, sc Scenario, opts Options) (_ RunResult, err error) {
	r := &run{scenario: sc, opts: opts, end: sc.Warmup + sc.Duration}
	if r.flows, err = openFlows(ctx, sc, opts); err != nil {
		return RunResult{}, err
	}
	defer closeFlows(r.flows)
	senders, err := openSenders(ctx, sc, opts, r.flows)
	if err == nil {
		err = r.followJobs(ctx, senders)
	}
	if err != nil {
		return RunResult{}, errors.Join(err, closeSenders(senders))
	}
	err = r.execute(ctx, senders)
	return r.result(), err
}

// run is one run at work. All fields of the first group are set before the first
// goroutine starts.
type run struct {
	scenario Scenario
	opts     Options
	flows    []*flow
	jobs     []*jobs
	start    time.Time
	end      time.Duration // of the schedule, since start

	// Written by execute, read by result.
	scheduled     time.Duration // how long the schedule really lasted
	before, after usage         // at the begin and the end of the measured part
	interrupted   bool
}

// followJobs puts a [jobs] in front of each sender that carries jobs.
func (r *run) followJobs(ctx context.Context, senders map[string]Sender) error {
	for _, f := range r.flows {
		if _, ok := senders[f.Endpoint].(*jobs); !f.Job || ok {
			continue
		}
		var classes []string
		for _, other := range r.flows {
			if other.Job && other.Endpoint == f.Endpoint {
				classes = append(classes, other.Name)
			}
		}
		j := newJobs(senders[f.Endpoint])
		if err := j.open(ctx, r.scenario.endpoint(f.Endpoint).URL, classes, r.opts); err != nil {
			return err
		}
		senders[f.Endpoint] = j
		r.jobs = append(r.jobs, j)
	}
	for _, f := range r.flows {
		f.sender = senders[f.Endpoint]
	}
	return nil
}

// execute sends the load and returns when nothing of it is left.
func (r *run) execute(ctx context.Context, senders map[string]Sender) error {
	var schedules, helpers sync.WaitGroup
	helping, stopHelpers := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHelpers()

	r.start = time.Now()
	// Numbers begin at the clock, so that the completions of an earlier run
	// against the same app are not taken for those of this one.
	first := r.start.UnixMilli() * 1e6
	for _, f := range r.flows {
		f.start, f.naming.first = r.start, first
		schedules.Add(1)
		f.loop.start(func() {
			defer schedules.Done()
			f.run(r.end)
		})
	}
	r.before = readUsage(0, r.flows)
	if r.scenario.Warmup > 0 {
		schedules.Go(func() { r.markWarm(ctx) })
	}
	if r.opts.Progress != nil {
		helpers.Go(func() { r.reportProgress(helping) })
	}
	schedules.Wait()
	r.scheduled = time.Since(r.start)
	r.after = readUsage(r.scheduled, r.flows)

	r.drain(ctx)
	r.interrupted = ctx.Err() != nil
	err := closeSenders(senders)
	stopHelpers()
	helpers.Wait()
	if r.opts.Progress != nil {
		r.opts.Progress(r.progress(true))
	}
	return err
}

// markWarm reads the usage at the end of the warm-up.
func (r *run) markWarm(ctx context.Context) {
	timer := time.NewTimer(time.Until(r.start.Add(r.scenario.Warmup)))
	defer timer.Stop()
	select {
	case <-timer.C:
		r.before = readUsage(time.Since(r.start), r.flows)
	case <-ctx.Done():
	}
}

// drain waits until all is answered and all jobs are completed, but no longer
// than the grace time.
func (r *run) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, max(r.opts.Grace, 0))
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for r.pending() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// pending reports whether anything is unanswered or not completed.
func (r *run) pending() bool {
	for _, f := range r.flows {
		if f.outstanding.Load() > 0 {
			return true
		}
	}
	for _, j := range r.jobs {
		if j.pending() > 0 {
			return true
		}
	}
	return false
}

// result condenses the run. It is called after execute.
func (r *run) result() RunResult {
	sc := r.scenario
	window := min(r.scheduled, r.end) - sc.Warmup
	result := RunResult{
		Condition: r.opts.Condition, Repeat: 1, Target: sc.targetURL(), Started: r.start.UTC(), Seed: sc.Seed,
		WarmupSeconds:   round3(sc.Warmup.Seconds()),
		DurationSeconds: round3(max(window, 0).Seconds()),
		Interrupted:     r.interrupted,
		Phases:          phaseSpans(sc.Phases),
	}
	var intended, skipped int64
	var lags []lateness
	for _, f := range r.flows {
		class := f.recorder.result(f.Class, window, r.opts.Jaeger)
		endpoint := sc.endpoint(f.Endpoint)
		if endpoint.Kind == kindHTTP {
			class.Success = texts(f.success())
		}
		if to := endpoint.destination(); to != "" {
			for i := range class.Slowest {
				class.Slowest[i].Request = to
			}
		}
		intended += class.Intended
		skipped += class.Skipped
		result.Generator.LagP99 = max(result.Generator.LagP99, class.Lag.P99)
		lags = append(lags, f.recorder.lateness(f.Name))
		result.Generator.SocketFailures += class.Failed[FailSockets]
		result.Classes = append(result.Classes, class)
	}
	if intended > 0 {
		result.Generator.SkippedShare = float64(skipped) / float64(intended)
	}
	r.before.fill(&result.Generator, r.after)
	for _, j := range r.jobs {
		if j.reader != nil {
			result.Generator.LostCompletions += j.reader.lost.Load()
		}
		result.Generator.MistimedCompletions += j.mistimedCompletions()
	}
	result.Verdict = judge(result.Generator, lags)
	return result
}

func phaseSpans(phases []Phase) []PhaseSpan {
	var spans []PhaseSpan
	var start time.Duration
	for _, p := range phases {
		end := start + p.Duration
		spans = append(spans, PhaseSpan{Name: p.Name, StartSeconds: round3(start.Seconds()), EndSeconds: round3(end.Seconds())})
		start = end
	}
	return spans
}
