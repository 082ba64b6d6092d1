package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"overtake/loadgen"
)

// WriteTable writes the report as aligned text of at most 120 columns, unless
// names are long: the slowest requests, what each class got in each condition, what
// became of its requests, the spread over repeated runs, the phases, the headline,
// the expectations and the verdict. The long list is first, so that the figures and
// what they come to are together, and at the end, where a terminal shows them.
//
// Where a condition was run more than once, the figures are those of one run of
// each class, the one with the median p99; only the spread and the headline are of
// all.
func WriteTable(w io.Writer, r *loadgen.Report) error {
	var b strings.Builder
	groups := groupRuns(r)
	if slowest := slowestLines(groups); len(slowest) > 0 {
		writeLines(&b, "slowest requests", slowest)
		b.WriteByte('\n')
	}
	if len(groups) > 0 {
		writeLatencies(&b, groups)
		b.WriteByte('\n')
		writeCounts(&b, groups)
	}
	writeSpread(&b, groups)
	writePhases(&b, groups)
	writeLines(&b, "", append(causes(groups), firstFailures(groups)...))
	writeLines(&b, "", headline(r))
	writeExpectations(&b, r.Expectations)
	writeLines(&b, "", verdictLines(r.Verdict))
	if _, err := io.WriteString(w, strings.TrimPrefix(b.String(), "\n")); err != nil {
		return fmt.Errorf("report: table: %w", err)
	}
	return nil
}

// writeLatencies puts latency and service time side by side: where latency is
// much longer, requests could not even be sent in time, which a load generator
// that waits for answers would not show. Beside them it says of which share of the
// sent requests they are.
func writeLatencies(b *strings.Builder, groups []group) {
	rows := [][]string{{"class", runHeading(groups), "done/s", "good/s", "ok", "p50", "p90", "p99", "p99.9", "max", "p50", "p99"}}
	for _, g := range groups {
		rows = append(rows, []string{g.title()})
		for _, m := range g.medians {
			c, l := m.result, m.result.Latency
			row := []string{"  " + c.Label(), g.runCell(m), formatRate(c.DonePerSecond), goodputCell(c), okCell(c.Counts)}
			for _, v := range []loadgen.Millis{l.P50, l.P90, l.P99, l.P999, l.Max} {
				row = append(row, latencyCell(l, v))
			}
			rows = append(rows, append(row, latencyCell(c.Service, c.Service.P50), latencyCell(c.Service, c.Service.P99)))
		}
	}
	writeAligned(b, rows, 1, span{9, "latency from intended start, ms"}, span{11, "service, ms"})
}

// runHeading is empty where every condition was run once.
func runHeading(groups []group) string {
	if slices.ContainsFunc(groups, func(g group) bool { return len(g.runs) > 1 }) {
		return "run"
	}
	return ""
}

func writeCounts(b *strings.Builder, groups []group) {
	rows := [][]string{{"class", runHeading(groups), "sent", "ok", "shed", "failed", "unfinished", "skipped", "queue share"}}
	for _, g := range groups {
		rows = append(rows, []string{g.title()})
		for _, m := range g.medians {
			c := m.result
			rows = append(rows, []string{
				"  " + c.Label(), g.runCell(m), formatCount(c.Sent), formatCount(c.OK), formatCount(c.ShedTotal()), formatCount(c.FailedTotal()),
				formatCount(c.Unfinished), formatCount(c.Skipped), queueCell(c),
			})
		}
	}
	writeAligned(b, rows, 1)
}

func writeSpread(b *strings.Builder, groups []group) {
	rows := [][]string{{"median, min..max", "done/s", "p50 ms", "p99 ms", "p99.9 ms", "not served %"}}
	for _, g := range groups {
		if len(g.runs) < 2 {
			continue
		}
		rows = append(rows, []string{strings.TrimPrefix(fmt.Sprintf("%s, over %d runs", g.condition, len(g.runs)), ", ")})
		for _, m := range g.medians {
			s := g.summary(m.result.Name)
			millis := m.spreadMillis()
			rows = append(rows, []string{
				"  " + m.result.Label(), spreadCell(s.DonePerSecond, formatRate), millis(s.P50), millis(s.P99),
				millis(s.P999), spreadCell(s.NotServed, percentNumber),
			})
		}
	}
	if len(rows) > 1 {
		b.WriteByte('\n')
		writeAligned(b, rows, 1)
	}
}

// spreadMillis is "-" if no run had a success.
func (m median) spreadMillis() func(loadgen.Spread) string {
	return func(s loadgen.Spread) string {
		if m.answered == 0 {
			return "-"
		}
		return spreadCell(s, func(v float64) string { return formatMillis(loadgen.Millis(v)) })
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
				if s.Queue > 0 {
					text += ", queue " + queueWait(s)
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

// verdictLines has a line for each reason.
func verdictLines(v loadgen.Verdict) []string {
	lines := []string{"generator: " + string(v.State)}
	for _, reason := range v.Reasons {
		lines = append(lines, "  "+reason)
	}
	return lines
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
