// Package live shows a run while it goes on: on a terminal a block that is
// redrawn in place, elsewhere a plain line now and then.
package live

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"overtake/loadgen"
	"overtake/loadgen/report"
)

const plainLineEvery = 2 * time.Second

// Options say how a [View] shows runs. The zero value writes plain lines.
type Options struct {
	// Size returns the columns and rows of the terminal that is written to. It is
	// called once for each draw, so that the view follows a window that changes;
	// numbers below 1 are 80 and 24. Nil says that it is no terminal.
	Size func() (columns, rows int)
	// Colour allows a few colours on a terminal.
	Colour bool
	// Scenario is the name of what is sent. It may be empty.
	Scenario string
	// Runs is how many runs there will be. Up to 1 is not worth a word.
	Runs int
}

// View shows runs that are made one after the other. It is not safe for
// concurrent use, and needs no end: after the last call for a run, the cursor is
// at the start of a line. Errors of the writer are ignored: progress must not end
// a run.
type View struct {
	w    io.Writer
	opts Options

	run     int                        // its number, from 1
	running bool                       // it had a call, and not its last
	next    time.Duration              // of the next plain line
	drawn   int                        // lines of the block on the terminal
	history map[string][]time.Duration // p99 of each class, one for each call
}

// New returns a view that writes to w. Its [View.Progress] is for
// [loadgen.Options.Progress].
func New(w io.Writer, opts Options) *View {
	return &View{w: w, opts: opts}
}

// Progress shows a moment of a run. After the one that is Final comes the next
// run, if there is any.
func (v *View) Progress(p loadgen.Progress) {
	if !v.running {
		v.running, v.next, v.history = true, 0, make(map[string][]time.Duration)
		v.run++
	}
	for _, c := range p.Classes {
		h := append(v.history[c.Name], c.P99)
		v.history[c.Name] = h[max(0, len(h)-sparkLength):]
	}
	if v.opts.Size != nil {
		v.draw(p)
	} else if p.Final || p.Elapsed >= v.next {
		v.next = p.Elapsed.Truncate(plainLineEvery) + plainLineEvery
		_, _ = io.WriteString(v.w, v.line(p)+"\n")
	}
	v.running = !p.Final
}

// title names the run: scenario, condition and number.
func (v *View) title(p loadgen.Progress) string {
	var parts []string
	if v.opts.Runs > 1 {
		parts = append(parts, fmt.Sprintf("run %d of %d", v.run, v.opts.Runs))
	}
	if p.Condition != "run" || v.opts.Scenario == "" && len(parts) == 0 { // "run" is that of who gave none
		parts = append([]string{p.Condition}, parts...)
	}
	title := strings.Join(parts, ", ")
	if v.opts.Scenario != "" {
		title = strings.TrimSuffix(v.opts.Scenario+": "+title, ": ")
	}
	return strings.Map(func(r rune) rune { // a name of a file may have anything in it
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, title)
}

// state says what goes on; it is empty where that is nothing but the run.
func state(p loadgen.Progress) string {
	switch {
	case p.Final:
		return "done"
	case p.Warmup:
		return "warm-up"
	case p.Elapsed >= p.Total:
		return "waiting for answers"
	case p.Phase != "":
		return "phase " + p.Phase
	}
	return ""
}

// line is all of p in one line.
func (v *View) line(p loadgen.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %.0f/%.0fs", v.title(p), min(p.Elapsed, p.Total).Seconds(), p.Total.Seconds())
	if s := state(p); s != "" {
		b.WriteString(" " + s)
	}
	for _, c := range p.Classes {
		fmt.Fprintf(&b, " | %s: sent %d", c.Name, c.Sent)
		if !p.Final {
			fmt.Fprintf(&b, ", lately done %.0f/s", c.DonePerSecond)
			if c.P99 > 0 {
				fmt.Fprintf(&b, ", p50 %s p99 %s ms", report.Milliseconds(c.P50), report.Milliseconds(c.P99))
			}
		}
		for _, bad := range []struct {
			name string
			n    int64
		}{{"shed", c.Shed}, {"failed", c.Failed}, {"skipped", c.Skipped}} {
			if bad.n > 0 {
				fmt.Fprintf(&b, ", %s %d", bad.name, bad.n)
			}
		}
	}
	if !p.Final && p.Verdict.State == loadgen.GeneratorBound {
		b.WriteString(" | " + p.Verdict.String())
	}
	return b.String()
}
