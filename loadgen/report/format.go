package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"overtake/loadgen"
)

// span is a heading over several columns of a table.
type span struct {
	last int // column that it ends with
	text string
}

// writeAligned writes rows in columns; the first left ones are text and aligned
// to the left, the others numbers and aligned to the right. A row with a single
// cell is a heading and may be as wide as it likes. The spans come above all.
func writeAligned(b *strings.Builder, rows [][]string, left int, spans ...span) {
	for _, row := range rows {
		for i := range row {
			row[i] = printable(row[i])
		}
	}
	widths := columnWidths(rows)
	writeSpans(b, widths, spans)
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", max(widths[i]-utf8.RuneCountInString(cell), 0))
			if i > 0 {
				line.WriteString("  ")
			}
			if i < left {
				line.WriteString(cell + pad)
			} else {
				line.WriteString(pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// columnWidths are those of rows of as many cells as the first.
func columnWidths(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		if len(row) == 1 {
			continue
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// lineWidth is that of a line of columns.
func lineWidth(columns []int) int {
	width := 2 * (len(columns) - 1)
	for _, w := range columns {
		width += w
	}
	return width
}

// writeSpans ends each heading where its last column ends, or two spaces after
// the one before.
func writeSpans(b *strings.Builder, widths []int, spans []span) {
	if len(spans) == 0 {
		return
	}
	line := ""
	for _, s := range spans {
		end := 2 * s.last
		for _, w := range widths[:s.last+1] {
			end += w
		}
		if line != "" {
			line += "  "
		}
		line += strings.Repeat(" ", max(end-utf8.RuneCountInString(line)-utf8.RuneCountInString(s.text), 0)) + s.text
	}
	b.WriteString(line + "\n")
}

// printable replaces what a terminal may obey in a line: reasons and paths come
// from others.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// sortedKeys returns the keys of m, the most frequent first.
func sortedKeys(m map[string]int64) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
}

// queueWait is "-" if no gateway told how long the request waited.
func queueWait(s loadgen.SlowRequest) string {
	if s.Queue == 0 {
		return "-"
	}
	return formatMillis(s.Queue)
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

func formatSeconds(s float64) string { return strconv.FormatFloat(round3(s), 'f', -1, 64) + " s" }

// formatPercent writes a share of 0 to 1 as a percentage, 0 without decimals.
func formatPercent(share float64, decimals int) string {
	if share == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.*f %%", decimals, share*100)
}

// formatOK says 100 % of all, and not of nearly all.
func formatOK(share float64) string {
	if rounded := math.Floor(share*1000) / 1000; share < 1 && share >= 0.995 {
		return formatPercent(rounded, 1)
	}
	return formatPercent(share, 0)
}

func formatFactor(f float64) string {
	if f < 9.95 {
		return fmt.Sprintf("%.1f", f)
	}
	return formatCount(int64(f + 0.5))
}

// formatCount writes n with a comma before each group of three digits.
func formatCount(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
