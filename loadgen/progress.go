package loadgen

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	progressEvery  = 500 * time.Millisecond
	plainLineEvery = 2 * time.Second
)

// Progress is a moment of a run.
type Progress struct {
	Phase   string
	Elapsed time.Duration // since the start, warm-up included
	Total   time.Duration // of the schedule, warm-up included
	Warmup  bool          // nothing is measured yet
	Final   bool          // the run has ended, and this is the last call
	Streams []StreamProgress
}

// StreamProgress is one stream at that moment. Counts are since the start;
// DonePerSecond, P50 and P99 are of the time since the last call.
type StreamProgress struct {
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
		Phase: r.opts.Phase, Elapsed: now, Total: r.end,
		Warmup: now < r.opts.Warmup, Final: final,
	}
	for _, s := range r.streams {
		p.Streams = append(p.Streams, s.recorder.progress(s.Stream, now))
	}
	return p
}

// ProgressLine returns a callback for [Options.Progress] that writes to w: on a
// terminal (tty) one line that is rewritten, else a plain line every 2 s.
// Errors of w are ignored: progress must not end a run.
func ProgressLine(w io.Writer, tty bool) func(Progress) {
	if tty {
		return func(p Progress) {
			const toStart, eraseRest = "\r", "\x1b[K"
			line := toStart + progressText(p) + eraseRest
			if p.Final {
				line += "\n"
			}
			_, _ = io.WriteString(w, line)
		}
	}
	var next time.Duration
	return func(p Progress) {
		if p.Elapsed < next && !p.Final {
			return
		}
		next = p.Elapsed.Truncate(plainLineEvery) + plainLineEvery
		if p.Final { // the callback may serve another run
			next = 0
		}
		_, _ = io.WriteString(w, progressText(p)+"\n")
	}
}

func progressText(p Progress) string {
	var b strings.Builder
	state := ""
	switch {
	case p.Final:
		state = " done"
	case p.Warmup:
		state = " warm-up"
	case p.Elapsed >= p.Total:
		state = " waiting for answers"
	}
	fmt.Fprintf(&b, "%s %.0f/%.0fs%s", p.Phase, min(p.Elapsed, p.Total).Seconds(), p.Total.Seconds(), state)
	for _, s := range p.Streams {
		fmt.Fprintf(&b, " | %s: sent %d", s.Name, s.Sent)
		if !p.Final {
			fmt.Fprintf(&b, ", done %.0f/s", s.DonePerSecond)
			if s.P99 > 0 {
				fmt.Fprintf(&b, ", p50 %s p99 %s ms", formatMillis(millis(s.P50)), formatMillis(millis(s.P99)))
			}
		}
		for _, bad := range []struct {
			name string
			n    int64
		}{{"shed", s.Shed}, {"failed", s.Failed}, {"skipped", s.Skipped}} {
			if bad.n > 0 {
				fmt.Fprintf(&b, ", %s %d", bad.name, bad.n)
			}
		}
	}
	return b.String()
}
