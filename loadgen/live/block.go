package live

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"overtake/loadgen"
	"overtake/loadgen/report"
)

// What a terminal is told (ECMA-48). There is no alternate screen: what was
// there before the run stays readable, and what is drawn last remains.
const (
	upLines    = "\x1b[%dA"
	eraseRest  = "\x1b[K" // of the line
	eraseBelow = "\x1b[J" // from the cursor on

	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// draw replaces the block on the terminal by that for p, or by one line if the
// run is over. The cursor stays at the start of the line below it.
func (v *View) draw(p loadgen.Progress) {
	columns, rows := v.opts.Size()
	if columns < 1 || rows < 1 {
		columns, rows = 80, 24
	}
	// A character in the last column makes some terminals wrap at once.
	width := max(columns-1, 1)
	var lines []string
	if p.Final {
		lines = []string{truncate(v.line(p), width)}
	} else {
		lines = v.block(p, width, rows-1)
	}
	var b strings.Builder
	b.WriteByte('\r')
	if v.drawn > 0 {
		fmt.Fprintf(&b, upLines, v.drawn)
	}
	for _, line := range lines {
		b.WriteString(line + eraseRest + "\n")
	}
	b.WriteString(eraseBelow)
	v.drawn = len(lines)
	if p.Final {
		v.drawn = 0
	}
	_, _ = io.WriteString(v.w, b.String())
}

// block returns up to rows lines of up to width characters, not counting colours.
func (v *View) block(p loadgen.Progress, width, rows int) []string {
	const around = 4 // lines that are no class
	title := v.title(p)
	if s := state(p); s != "" {
		title += ", " + s
	}
	classes, more := p.Classes, ""
	if fits := rows - around; len(classes) > fits {
		fits = max(fits-1, 0)
		more = fmt.Sprintf("and %d more", len(classes)-fits)
		classes = classes[:fits]
	}
	lines := []string{v.paint(bold, truncate(title, width)), truncate(bar(p, width), width)}
	lines = append(lines, v.table(classes, width)...)
	if more != "" {
		lines = append(lines, truncate(more, width))
	}
	lines = append(lines, v.verdict(p, width))
	return lines[:min(len(lines), max(rows, 1))]
}

func (v *View) paint(colour, text string) string {
	if !v.opts.Colour || colour == "" || text == "" {
		return text
	}
	return colour + text + plain
}

// bar draws how much of the run is over, and says of when the table's figures are.
func bar(p loadgen.Progress, width int) string {
	const widest, narrowest, lately = 40, 8, "; done/s, p50, p99: lately"
	text := fmt.Sprintf("%.0f of %.0f s", min(p.Elapsed, p.Total).Seconds(), p.Total.Seconds())
	if left := p.Total - p.Elapsed; left > 0 {
		text += fmt.Sprintf(", %.0f s left", left.Seconds())
	}
	if width-len(text)-len(lately)-len("[] ") >= 2*narrowest {
		text += lately
	}
	space := min(widest, width-len(text)-len("[] "))
	if space < narrowest || p.Total <= 0 {
		return text
	}
	full := min(int(float64(space)*float64(p.Elapsed)/float64(p.Total)), space)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", space-full) + "] " + text
}

// verdict says what the generator thinks of itself.
func (v *View) verdict(p loadgen.Progress, width int) string {
	switch {
	case p.Verdict.State == loadgen.GeneratorBound:
		return v.paint(red, truncate("generator so far: "+p.Verdict.String(), width))
	case p.Warmup:
		return truncate("generator: nothing is measured yet", width)
	}
	return truncate("generator so far: "+string(loadgen.Valid)+", requests start "+report.Milliseconds(p.Lag)+" ms late (p99)", width)
}

// milliseconds writes d with three significant digits, "-" if there is none.
func milliseconds(d time.Duration) string {
	if d <= 0 {
		return "-"
	}
	return report.Milliseconds(d)
}

// truncate cuts text to width characters, the last one a sign that more was there.
func truncate(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width-1, 0)]) + "…"
}
