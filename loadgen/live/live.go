// Package live shows a run while it goes on.
package live

import (
	"fmt"
	"io"
	"strings"
	"time"

	"overtake/loadgen"
	"overtake/loadgen/report"
)

const plainLineEvery = 2 * time.Second

// Line returns a callback for [loadgen.Options.Progress] that writes to w: on a
// terminal (tty) one line that is rewritten, else a plain line every 2 s.
// Errors of w are ignored: progress must not end a run.
func Line(w io.Writer, tty bool) func(loadgen.Progress) {
	if tty {
		return func(p loadgen.Progress) {
			const toStart, eraseRest = "\r", "\x1b[K"
			line := toStart + progressText(p) + eraseRest
			if p.Final {
				line += "\n"
			}
			_, _ = io.WriteString(w, line)
		}
	}
	var next time.Duration
	return func(p loadgen.Progress) {
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

func progressText(p loadgen.Progress) string {
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
	fmt.Fprintf(&b, "%s %.0f/%.0fs%s", p.Condition, min(p.Elapsed, p.Total).Seconds(), p.Total.Seconds(), state)
	for _, s := range p.Classes {
		fmt.Fprintf(&b, " | %s: sent %d", s.Name, s.Sent)
		if !p.Final {
			fmt.Fprintf(&b, ", done %.0f/s", s.DonePerSecond)
			if s.P99 > 0 {
				fmt.Fprintf(&b, ", p50 %s p99 %s ms", report.Milliseconds(s.P50), report.Milliseconds(s.P99))
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
