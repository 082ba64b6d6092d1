package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"overtake/loadgen"
)

// causes says why requests were refused or failed, in all runs, and in which.
func causes(groups []group) []string {
	var lines []string
	for _, g := range groups {
		for _, m := range g.classes {
			lines = append(lines, g.causeLines(m)...)
		}
	}
	return lines
}

func (g group) causeLines(m measured) []string {
	of := strings.TrimPrefix(g.condition+": "+m.result.Label(), ": ")
	total := m.total()
	var lines []string
	for _, kind := range []struct {
		name string
		sum  map[string]int64
		of   func(loadgen.ClassResult) map[string]int64
	}{
		{"shed", total.Shed, func(c loadgen.ClassResult) map[string]int64 { return c.Shed }},
		{"failed", total.Failed, func(c loadgen.ClassResult) map[string]int64 { return c.Failed }},
	} {
		var parts []string
		for _, cause := range sortedKeys(kind.sum) {
			parts = append(parts, cause+": "+g.timesText(m, func(c loadgen.ClassResult) int64 { return kind.of(c)[cause] }))
		}
		if len(parts) > 0 && !g.repeated() { // those of several runs are long
			parts = []string{strings.Join(parts, ", ")}
		}
		for _, part := range parts {
			lines = append(lines, of+" "+kind.name+": "+part)
		}
	}
	repeated := func(c loadgen.ClassResult) int64 { return c.Repeated }
	if slices.ContainsFunc(m.all, func(r classRun) bool { return r.result.Repeated > 0 }) {
		lines = append(lines, of+" done more than once: "+g.timesText(m, repeated))
	}
	return lines
}

// timesText says how often something happened and, of several runs, how often in
// which: "7 times (run 1: 4, run 3: 3)".
func (g group) timesText(m measured, count func(loadgen.ClassResult) int64) string {
	const most = 5 // runs that are named
	var total int64
	var in []classRun
	for _, r := range m.all {
		if n := count(r.result); n > 0 {
			total += n
			in = append(in, r)
		}
	}
	text := formatCount(total) + " times"
	if total == 1 {
		text = "once"
	}
	switch {
	case !g.repeated():
		return text
	case len(in) == 1:
		return fmt.Sprintf("%s (run %d)", text, in[0].run.Repeat)
	}
	others := ""
	if len(in) > most {
		others = fmt.Sprintf(", and %d more", len(in)-most)
		slices.SortStableFunc(in, func(a, b classRun) int { return cmp.Compare(count(b.result), count(a.result)) })
		in = in[:most]
	}
	var runs []string
	for _, r := range in {
		runs = append(runs, fmt.Sprintf("run %d: %s", r.run.Repeat, formatCount(count(r.result))))
	}
	return text + " (" + strings.Join(runs, ", ") + others + ")"
}

// slowRequest is one of the slowest of a class, and the run it was in.
type slowRequest struct {
	loadgen.SlowRequest
	in classRun
}

// slowest returns the slowest requests of a class over all runs, the slowest first: as
// many as there are of the run that has the most.
func (m measured) slowest() []slowRequest {
	var all []slowRequest
	most := 0
	for _, r := range m.all {
		most = max(most, len(r.result.Slowest))
		for _, s := range r.result.Slowest {
			all = append(all, slowRequest{s, r})
		}
	}
	slices.SortStableFunc(all, func(a, b slowRequest) int { return cmp.Compare(b.Latency, a.Latency) })
	return all[:most]
}

// slowestLines lists the slowest requests of each class with where to look those up
// that asked to be recorded: the link to Jaeger, or else the trace id.
func slowestLines(groups []group) []string {
	const each = 3
	var lines []string
	for _, g := range groups {
		for _, m := range g.classes {
			of := strings.TrimPrefix(g.condition+": "+m.result.Name, ": ")
			slowest := m.slowest()
			for _, s := range slowest[:min(len(slowest), each)] {
				text := fmt.Sprintf("  %s %s ms (service %s", of, formatMillis(s.Latency), formatMillis(s.Service))
				if s.Queue > 0 {
					text += ", queue " + queueWait(s.SlowRequest)
				}
				text += fmt.Sprintf(") at %.1f s", s.At)
				if g.repeated() {
					text += fmt.Sprintf(" of run %d", s.in.run.Repeat)
				}
				lines = append(lines, text+": "+s.Request)
				if s.Sampled {
					lines = append(lines, "    "+traceText(s.SlowRequest))
				}
			}
		}
	}
	return lines
}

func traceText(s loadgen.SlowRequest) string {
	if s.URL != "" {
		return s.URL
	}
	return "trace " + s.TraceID
}

// phase is one phase of a class: what it got in each run.
type phase struct {
	name  string
	runs  []loadgen.ClassResult // with the counts and the latency of the phase alone
	total loadgen.Counts
}

// phases are those of the run in the middle, with what the other runs have of them.
func (m measured) phases() []phase {
	var all []phase
	for i, shown := range m.result.Phases {
		p := phase{name: shown.Name}
		for _, r := range m.all {
			if i >= len(r.result.Phases) || r.result.Phases[i].Name != shown.Name {
				continue
			}
			of := r.result.Phases[i]
			p.runs = append(p.runs, loadgen.ClassResult{Counts: of.Counts, Latency: of.Latency})
			p.total = addCounts(p.total, of.Counts)
		}
		all = append(all, p)
	}
	return all
}

// anyTooFew reports whether a percentile in a table is of too few answers.
func anyTooFew(groups []group) bool {
	for _, g := range groups {
		for _, m := range g.classes {
			for _, f := range slices.Concat(latencyFigures, serviceFigures) {
				if f.tooFew(m.results()) {
					return true
				}
			}
			for _, p := range m.phases() {
				if slices.ContainsFunc(latencyFigures, func(f figure) bool { return f.tooFew(p.runs) }) {
					return true
				}
			}
		}
	}
	return false
}
