package loadgen

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteTable writes the report as aligned text: a row for each class in each
// phase, what was refused and what failed, and the verdict.
func WriteTable(w io.Writer, r *Report) error {
	rows := [][]string{{"phase", "class", "sent", "done/s", "p50 ms", "p99 ms", "p99.9 ms", "shed", "failed", "unfinished", "skipped"}}
	for _, p := range r.Phases {
		for i, s := range p.Streams {
			phase := p.Name
			if i > 0 {
				phase = ""
			}
			rows = append(rows, []string{
				phase, s.label(), formatCount(s.Sent), formatRate(s.DonePerSecond),
				latencyCell(s, s.Latency.P50), latencyCell(s, s.Latency.P99), latencyCell(s, s.Latency.P999),
				formatCount(s.ShedTotal()), formatCount(s.FailedTotal()), formatCount(s.Unfinished), formatCount(s.Skipped),
			})
		}
	}
	var b strings.Builder
	writeAligned(&b, rows, 2)
	var causes []string
	for _, p := range r.Phases {
		for _, s := range p.Streams {
			causes = append(causes, causeLines(p, s)...)
		}
	}
	if len(causes) > 0 {
		b.WriteString("\n" + strings.Join(causes, "\n") + "\n")
	}
	if headline := Compare(r).Headline(); headline != "" {
		b.WriteString("\n" + headline + "\n")
	}
	b.WriteString("\ngenerator: " + r.Verdict.String() + "\n")
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("loadgen: table: %w", err)
	}
	return nil
}

// writeAligned writes rows in columns; the first left ones are text and aligned
// to the left, the others numbers and aligned to the right.
func writeAligned(b *strings.Builder, rows [][]string, left int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
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
func causeLines(p Phase, s StreamResult) []string {
	var lines []string
	if len(s.Shed) > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s shed: %s", p.Name, s.label(), formatCauses(s.Shed)))
	}
	if len(s.Failed) > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s failed: %s", p.Name, s.label(), formatCauses(s.Failed)))
	}
	if s.Repeated > 0 {
		lines = append(lines, fmt.Sprintf("%s: %s jobs done more than once: %s", p.Name, s.label(), formatCount(s.Repeated)))
	}
	return lines
}

func formatCauses(m map[string]int64) string {
	var parts []string
	for _, cause := range sortedKeys(m) {
		parts = append(parts, cause+" "+formatCount(m[cause]))
	}
	return strings.Join(parts, ", ")
}

func latencyCell(s StreamResult, m Millis) string {
	if s.Latency.Count == 0 {
		return "-"
	}
	return formatMillis(m)
}

// formatMillis writes three significant digits or the whole milliseconds.
func formatMillis(m Millis) string {
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
