package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"overtake/loadgen"
)

// WriteTable writes the report as aligned text: a row for each class in each
// phase, what was refused and what failed, and the verdict.
func WriteTable(w io.Writer, r *loadgen.Report) error {
	rows := [][]string{{"phase", "class", "sent", "done/s", "p50 ms", "p99 ms", "p99.9 ms", "shed", "failed", "unfinished", "skipped"}}
	for _, p := range r.Runs {
		for i, s := range p.Classes {
			phase := p.Condition
			if i > 0 {
				phase = ""
			}
			rows = append(rows, []string{
				phase, s.Label(), formatCount(s.Sent), formatRate(s.DonePerSecond),
				latencyCell(s, s.Latency.P50), latencyCell(s, s.Latency.P99), latencyCell(s, s.Latency.P999),
				formatCount(s.ShedTotal()), formatCount(s.FailedTotal()), formatCount(s.Unfinished), formatCount(s.Skipped),
			})
		}
	}
	var b strings.Builder
	writeAligned(&b, rows, 2)
	var causes []string
	for _, p := range r.Runs {
		for _, s := range p.Classes {
			causes = append(causes, causeLines(p, s)...)
		}
	}
	if len(causes) > 0 {
		b.WriteString("\n" + strings.Join(causes, "\n") + "\n")
	}
	if headline := changesOf(r).Headline(); headline != "" {
		b.WriteString("\n" + headline + "\n")
	}
	b.WriteString("\ngenerator: " + r.Verdict.String() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("report: table: %w", err)
	}
	return nil
}

// writeAligned writes rows in columns; the first left ones are text and aligned
// to the left, the others numbers and aligned to the right.
func writeAligned(b *strings.Builder, rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		if len(row) == 1 {
			continue // a heading
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < left {
				b.WriteString(cell + pad)
			} else {
				b.WriteString(pad + cell)
			}
		}
		b.WriteByte('\n')
	}
}

// causeLines says why requests of one stream were refused or failed.
func causeLines(p loadgen.RunResult, s loadgen.ClassResult) []string {
	var lines []string
	if len(s.Shed) > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s shed: %s", p.Condition, s.Label(), formatCauses(s.Shed)))
	}
	if len(s.Failed) > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s failed: %s", p.Condition, s.Label(), formatCauses(s.Failed)))
	}
	if s.Repeated > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s jobs done more than once: %s", p.Condition, s.Label(), formatCount(s.Repeated)))
	}
	return lines
}

// sortedKeys returns the keys of m, the most frequent first.
func sortedKeys(m map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		if a < b {
			return -1
		}
		return 1
	})
}

func formatCauses(m map[string]int64) string {
	var parts []string
	for _, cause := range sortedKeys(m) {
		parts = append(parts, cause+" "+formatCount(m[cause]))
	}
	return strings.Join(parts, ", ")
}

func latencyCell(s loadgen.ClassResult, m loadgen.Millis) string {
	if s.Latency.Count == 0 {
		return "-"
	}
	return formatMillis(m)
}

// Milliseconds writes d as a number of milliseconds, without the unit.
func Milliseconds(d time.Duration) string {
	return formatMillis(loadgen.Millis(float64(d.Microseconds()) / 1000))
}

// formatMillis writes three significant digits or the whole milliseconds.
func formatMillis(m loadgen.Millis) string {
	switch {
	case m < 9.995:
		return strconv.FormatFloat(float64(m), 'f', 2, 64)
	case m < 99.95:
		return strconv.FormatFloat(float64(m), 'f', 1, 64)
	}
	return formatCount(int64(float64(m) + 0.5))
}

func formatRate(perSecond float64) string {
	if perSecond < 99.95 {
		return strconv.FormatFloat(perSecond, 'f', 1, 64)
	}
	return formatCount(int64(perSecond + 0.5))
}

// formatCount writes n with a comma before each group of three digits.
func formatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
