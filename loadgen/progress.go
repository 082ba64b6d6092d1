package loadgen

import (
	"context"
	"time"
)

const progressEvery = 500 * time.Millisecond

// Progress is a moment of a run.
type Progress struct {
	// Condition is that of the run.
	Condition string
	Elapsed   time.Duration // since the start, warm-up included
	Total     time.Duration // of the schedule, warm-up included
	Warmup    bool          // nothing is measured yet
	Phase     string        // its name; empty during the warm-up and without phases
	Final     bool          // the run has ended, and this is the last call
	// Lag is how late requests started so far (p99 of the worst class), and
	// Verdict what lag and skips say of the generator.
	Lag     time.Duration
	Verdict Verdict
	Classes []ClassProgress
}

// ClassProgress is one class at that moment. Counts are those of the report: of the
// requests that are measured, and during the warm-up, of those until then.
// DonePerSecond, P50 and P99 are of the time since the last call.
type ClassProgress struct {
	Name, Class                     string
	Sent, OK, Shed, Failed, Skipped int64
	DonePerSecond                   float64
	P50, P99                        time.Duration // from the intended start
	Lag                             time.Duration // real start - intended start, p99 since the end of the warm-up
}

func (r *run) reportProgress(ctx context.Context) {
	ticker := time.NewTicker(progressEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.opts.Progress(r.progress(false))
		}
	}
}

func (r *run) progress(final bool) Progress {
	now := time.Since(r.start)
	p := Progress{
		Condition: r.opts.Condition, Elapsed: now, Total: r.end,
		Warmup: now < r.scenario.Warmup, Phase: r.scenario.phaseAt(now), Final: final,
	}
	var sent, skipped int64
	var lags []lateness
	for _, f := range r.flows {
		class := f.recorder.progress(f.Class, now)
		p.Lag = max(p.Lag, class.Lag)
		lags = append(lags, f.recorder.lateness(f.Name))
		sent += class.Sent
		skipped += class.Skipped
		p.Classes = append(p.Classes, class)
	}
	var usage GeneratorUsage
	usage.LoadAverage, usage.Processors = machineLoad()
	if skipped > 0 {
		usage.SkippedShare = float64(skipped) / float64(sent+skipped)
	}
	p.Verdict = judge(usage, lags)
	return p
}

// phaseAt returns the name of the phase at a time since the start, "" if none
// goes on then.
func (sc Scenario) phaseAt(at time.Duration) string {
	end := sc.Warmup
	for _, phase := range sc.Phases {
		begin := end
		end += phase.Duration
		if at >= begin && at < end {
			return phase.Name
		}
	}
	return ""
}
