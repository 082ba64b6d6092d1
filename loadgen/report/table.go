package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"overtake/loadgen"
)

// WriteTable writes the report as aligned text of at most 120 columns, unless
// names are long: the slowest requests, what each class got in each condition, what
// became of its requests, the phases, the headline, the expectations and the verdict.
// The long list is first, so that the figures and what they come to are together,
// and at the end, where a terminal shows them.
//
// Where a condition was run more than once, each figure is the median over the runs,
// with the least and the most, and counts are of all runs together.
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
	writePhases(&b, groups)
	if anyTooFew(groups) {
		writeLines(&b, "", []string{fewAnswersNote})
	}
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
	rows := [][]string{{"class", "", "done/s", "goodput/s", "ok", "p50", "p90", "p99", "p99.9", "max", "p50", "p99"}}
	figures := slices.Concat([]figure{doneFigure, goodputFigure, okFigure}, latencyFigures, serviceFigures)
	for _, g := range groups {
		rows = append(rows, []string{g.title("")})
		for _, m := range g.classes {
			rows = append(rows, g.figureRows(m, figures)...)
		}
	}
	writeAligned(b, rows, 2, span{9, "latency from intended start, ms"}, span{11, "service, ms"})
}

// figureRows is a row, or three of several runs.
func (g group) figureRows(m measured, figures []figure) [][]string {
	rows := [][]string{{"  " + m.result.Label(), ""}}
	if g.repeated() {
		rows = [][]string{{"  " + m.result.Label(), "median"}, {"", "min"}, {"", "max"}}
	}
	for _, f := range figures {
		cell := f.cell(m.results())
		below := "" // the mark, so that the digits are below each other
		if strings.HasSuffix(cell.median, fewMark) {
			below = " "
		}
		for i, text := range []string{cell.median, cell.least + below, cell.most + below}[:len(rows)] {
			rows[i] = append(rows[i], text)
		}
	}
	return rows
}

func writeCounts(b *strings.Builder, groups []group) {
	rows := [][]string{{"class", "sent", "ok", "shed", "failed", "unfinished", "skipped", "queue share"}}
	for _, g := range groups {
		rows = append(rows, []string{g.title(", counted together")})
		for _, m := range g.classes {
			row := []string{"  " + m.result.Label()}
			rows = append(rows, append(append(row, countCells(m.total())...), queueFigure.cell(m.results()).median))
		}
	}
	writeAligned(b, rows, 1)
}

func writePhases(b *strings.Builder, groups []group) {
	rows := [][]string{{"phase", "sent", "ok", "good", "shed", "failed", "unfinished", "skipped", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "max ms"}}
	for _, g := range groups {
		for _, m := range g.classes {
			if len(m.result.Phases) == 0 {
				continue
			}
			heading := strings.TrimPrefix(g.condition+": "+m.result.Label(), ": ")
			if g.repeated() {
				heading += fmt.Sprintf(", %d runs: counted together, medians of the latencies", len(g.runs))
			}
			rows = append(rows, []string{heading})
			for _, p := range m.phases() {
				counts := countCells(p.total) // good stands after ok
				row := slices.Concat([]string{"  " + p.name}, counts[:2], []string{goodCell(m, p)}, counts[2:])
				for _, f := range latencyFigures {
					row = append(row, f.cell(p.runs).median)
				}
				rows = append(rows, row)
			}
		}
	}
	if len(rows) > 1 {
		b.WriteByte('\n')
		writeAligned(b, rows, 1)
	}
}

// goodCell is how many came within the objective; "-" without one.
func goodCell(m measured, p phase) string {
	if m.result.Objective == 0 {
		return "-"
	}
	return formatCount(p.total.WithinObjective)
}

// countCells are what became of the requests.
func countCells(c loadgen.Counts) []string {
	var cells []string
	for _, n := range []int64{c.Sent, c.OK, c.ShedTotal(), c.FailedTotal(), c.Unfinished, c.Skipped} {
		cells = append(cells, formatCount(n))
	}
	return cells
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
