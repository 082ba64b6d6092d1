package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"overtake/loadgen"
)

// WriteTable writes the report as aligned text of at most 120 columns, unless
// names are long: what each class got in each condition, what became of its
// requests, the spread over repeated runs, the phases, the slowest requests,
// the expectations and the verdict.
//
// Where a condition was run more than once, the figures are those of each
// class's median run.
func WriteTable(w io.Writer, r *loadgen.Report) error {
	var b strings.Builder
	groups := groupRuns(r)
	if len(groups) > 0 {
		writeLatencies(&b, groups)
		b.WriteByte('\n')
		writeCounts(&b, groups)
	}
	writeSpread(&b, r, groups)
	writePhases(&b, groups)
	writeLines(&b, "", causes(groups))
	writeLines(&b, "slowest requests", slowestLines(groups))
	writeLines(&b, "", headline(r))
	writeExpectations(&b, r.Expectations)
	writeLines(&b, "", []string{"generator: " + string(r.Verdict.State)})
	for _, reason := range r.Verdict.Reasons {
		b.WriteString("  " + printable(reason) + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: table: %w", err)
	}
	return nil
}

// writeLatencies puts latency and service time side by side: where latency is
// much longer, requests could not even be sent in time, which a load generator
// that waits for answers would not show.
func writeLatencies(b *strings.Builder, groups []group) {
	rows := [][]string{{"class", "done/s", "good/s", "p50", "p90", "p99", "p99.9", "max", "p50", "p99"}}
	for _, g := range groups {
		rows = append(rows, []string{g.title()})
		for _, m := range g.medians {
			c, l := m.result, m.result.Latency
			row := []string{"  " + c.Label(), formatRate(c.DonePerSecond), goodputCell(c)}
			for _, v := range []loadgen.Millis{l.P50, l.P90, l.P99, l.P999, l.Max} {
				row = append(row, latencyCell(l, v))
			}
			rows = append(rows, append(row, latencyCell(c.Service, c.Service.P50), latencyCell(c.Service, c.Service.P99)))
		}
	}
	writeAligned(b, rows, 1, span{7, "latency from intended start, ms"}, span{9, "service, ms"})
}

// title names the condition and says what its figures are of.
func (g group) title() string {
	title := formatSeconds(g.runs[0].DurationSeconds)
	if n := len(g.runs); n > 1 {
		title = fmt.Sprintf("median%s of %d runs of %s", medianNote(n), n, title)
	}
	if g.condition != "" {
		title = g.condition + ", " + title
	}
	for _, run := range g.runs {
		if run.Interrupted {
			return title + ", ended early"
		}
	}
	return title
}

// medianNote says which of an even number of runs is shown as the median.
func medianNote(runs int) string {
	if runs%2 == 0 {
		return " (of the two in the middle, the one with less p99)"
	}
	return ""
}

func writeCounts(b *strings.Builder, groups []group) {
	rows := [][]string{{"class", "sent", "ok", "shed", "failed", "unfinished", "skipped", "queue share"}}
	for _, g := range groups {
		rows = append(rows, []string{g.title()})
		for _, m := range g.medians {
			c := m.result
			rows = append(rows, []string{
				"  " + c.Label(), formatCount(c.Sent), formatCount(c.OK), formatCount(c.ShedTotal()), formatCount(c.FailedTotal()),
				formatCount(c.Unfinished), formatCount(c.Skipped), queueCell(c),
			})
		}
	}
	writeAligned(b, rows, 1)
}

func writeSpread(b *strings.Builder, r *loadgen.Report, groups []group) {
	rows := [][]string{{"median, min..max", "done/s", "p50 ms", "p99 ms", "p99.9 ms", "refused"}}
	for _, g := range groups {
		first := true
		for _, m := range g.medians {
			s, ok := summary(r, g.condition, m.result.Name)
			if !ok {
				continue
			}
			if first {
				rows, first = append(rows, []string{strings.TrimPrefix(fmt.Sprintf("%s, over %d runs", g.condition, len(g.runs)), ", ")}), false
			}
			millis := func(v float64) string { return formatMillis(loadgen.Millis(v)) }
			rows = append(rows, []string{
				"  " + m.result.Label(), spreadCell(s.DonePerSecond, formatRate), spreadCell(s.P50, millis), spreadCell(s.P99, millis),
				spreadCell(s.P999, millis), spreadCell(s.RefusedShare, func(v float64) string { return formatPercent(v, 1) }),
			})
		}
	}
	if len(rows) > 1 {
		b.WriteByte('\n')
		writeAligned(b, rows, 1)
	}
}

func spreadCell(s loadgen.Spread, format func(float64) string) string {
	if math.IsNaN(s.Median) {
		return "-"
	}
	return format(s.Median) + ", " + format(s.Min) + ".." + format(s.Max)
}

func writePhases(b *strings.Builder, groups []group) {
	rows := [][]string{{"phase", "sent", "ok", "in time", "shed", "failed", "skipped", "p50 ms", "p99 ms", "p99.9 ms", "max ms"}}
	for _, g := range groups {
		for _, m := range g.medians {
			if len(m.result.Phases) == 0 {
				continue
			}
			rows = append(rows, []string{strings.TrimPrefix(g.condition+": "+m.result.Label(), ": ")})
			for _, p := range m.result.Phases {
				l := p.Latency
				rows = append(rows, []string{
					"  " + p.Name, formatCount(p.Sent), formatCount(p.OK), formatCount(p.WithinObjective), formatCount(p.ShedTotal()),
					formatCount(p.FailedTotal()), formatCount(p.Skipped),
					latencyCell(l, l.P50), latencyCell(l, l.P99), latencyCell(l, l.P999), latencyCell(l, l.Max),
				})
			}
		}
	}
	if len(rows) > 1 {
		b.WriteByte('\n')
		writeAligned(b, rows, 1)
	}
}

// writeLines writes an empty line, a title unless it is "", and the lines.
func writeLines(b *strings.Builder, title string, lines []string) {
	if len(lines) == 0 {
		return
	}
	if title != "" {
		title += "\n"
	}
	b.WriteString("\n" + title)
	for _, line := range lines {
		b.WriteString(printable(line) + "\n")
	}
}

// causes says why requests were refused or failed.
func causes(groups []group) []string {
	var lines []string
	for _, g := range groups {
		for _, m := range g.medians {
			lines = append(lines, causeLines(g.condition, m.result)...)
		}
	}
	return lines
}

func causeLines(condition string, c loadgen.ClassResult) []string {
	of := strings.TrimPrefix(condition+": "+c.Label(), ": ")
	var lines []string
	if len(c.Shed) > 0 {
		lines = append(lines, of+" shed: "+formatCauses(c.Shed))
	}
	if len(c.Failed) > 0 {
		lines = append(lines, of+" failed: "+formatCauses(c.Failed))
	}
	if c.Repeated > 0 {
		lines = append(lines, of+" done more than once: "+formatCount(c.Repeated))
	}
	return lines
}

// slowestLines lists the slowest requests of each class with where to look them
// up: the link to Jaeger, or else the trace id.
func slowestLines(groups []group) []string {
	const each = 3
	var lines []string
	for _, g := range groups {
		for _, m := range g.medians {
			of := strings.TrimPrefix(g.condition+": "+m.result.Name, ": ")
			for _, s := range m.result.Slowest[:min(len(m.result.Slowest), each)] {
				text := fmt.Sprintf("  %s %s ms (service %s", of, formatMillis(s.Latency), formatMillis(s.Service))
				if m.result.Queue.Count > 0 {
					text += ", queue " + formatMillis(s.Queue)
				}
				lines = append(lines, fmt.Sprintf("%s) at %.1f s: %s", text, s.At, s.Request), "    "+traceText(s))
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

func headline(r *loadgen.Report) []string {
	if text := changesOf(r).Headline(); text != "" {
		return []string{text}
	}
	return nil
}

func writeExpectations(b *strings.Builder, expectations []loadgen.Expectation) {
	if len(expectations) == 0 {
		return
	}
	rows := [][]string{{"expectation", "got", ""}}
	for _, e := range expectations {
		rows = append(rows, []string{e.Text, e.Got, metText(e.Met)})
	}
	b.WriteByte('\n')
	writeAligned(b, rows, 3)
}

func metText(met bool) string {
	if met {
		return "met"
	}
	return "NOT MET"
}
