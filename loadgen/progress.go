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
	Final     bool          // the run has ended, and this is the last call
	Classes   []ClassProgress
}

// ClassProgress is one class at that moment. Counts are since the start;
// DonePerSecond, P50 and P99 are of the time since the last call.
type ClassProgress struct {
	Name, Class                     string
	Sent, OK, Shed, Failed, Skipped int64
	DonePerSecond                   float64
	P50, P99                        time.Duration // from the intended start
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
		Warmup: now < r.scenario.Warmup, Final: final,
	}
	for _, f := range r.flows {
		p.Classes = append(p.Classes, f.recorder.progress(f.Class, now))
	}
	return p
}
