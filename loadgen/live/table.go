package live

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"overtake/loadgen"
)

// column is one column of the table with a cell for each class.
type column struct {
	name    string
	cells   []string
	colours []string // of the cells that need one
	left    bool     // aligned to the left
	zero    bool     // nothing but zeros
	width   int
}

const (
	sparkLength   = 40 // calls of Progress: 20 s
	shortestSpark = 10
	shortestName  = 8
	gap           = 2 // between columns
)

const (
	columnClass = "class"
	columnSpark = "p99 lately"
)

// table returns a line of titles and one for each class, none longer than width.
func (v *View) table(classes []loadgen.ClassProgress, width int) []string {
	columns := fit(v.columns(classes), width)
	lines := make([]string, len(classes)+1)
	for i := range lines {
		var b strings.Builder
		for j, c := range columns {
			if j > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			text, colour := c.name, ""
			if i > 0 {
				text, colour = c.cells[i-1], c.colours[i-1]
			}
			text = c.cut(text)
			pad := strings.Repeat(" ", c.width-utf8.RuneCountInString(text))
			if c.left {
				b.WriteString(v.paint(colour, text) + pad)
			} else {
				b.WriteString(pad + v.paint(colour, text))
			}
		}
		lines[i] = strings.TrimRight(b.String(), " ")
	}
	return lines
}

// cut makes text as narrow as the column. A sparkline loses its past.
func (c column) cut(text string) string {
	if runes := []rune(text); c.name == columnSpark && len(runes) > c.width {
		return string(runes[len(runes)-c.width:])
	}
	return truncate(text, c.width)
}

// columns returns all columns, each as wide as it wants to be.
func (v *View) columns(classes []loadgen.ClassProgress) []column {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	count := func(name, colour string, get func(loadgen.ClassProgress) int64) column {
		c := column{name: name, zero: true}
		for _, class := range classes {
			n := get(class)
			paint := ""
			if n > 0 {
				c.zero, paint = false, colour
			}
			c.cells, c.colours = append(c.cells, number(n)), append(c.colours, paint)
		}
		return c
	}
	text := func(name string, left bool, get func(loadgen.ClassProgress) string) column {
		c := column{name: name, left: left, colours: make([]string, len(classes))}
		for _, class := range classes {
			c.cells = append(c.cells, get(class))
		}
		return c
	}
	columns := []column{
		text(columnClass, true, func(c loadgen.ClassProgress) string { return c.Name }),
		count("sent", "", func(c loadgen.ClassProgress) int64 { return c.Sent }),
		text("done/s", false, func(c loadgen.ClassProgress) string { return fmt.Sprintf("%.0f", c.DonePerSecond) }),
		text("p50 ms", false, func(c loadgen.ClassProgress) string { return milliseconds(c.P50) }),
		text("p99 ms", false, func(c loadgen.ClassProgress) string { return milliseconds(c.P99) }),
		count("shed", yellow, func(c loadgen.ClassProgress) int64 { return c.Shed }),
		count("failed", red, func(c loadgen.ClassProgress) int64 { return c.Failed }),
		count("skipped", red, func(c loadgen.ClassProgress) int64 { return c.Skipped }),
		text(columnSpark, true, func(c loadgen.ClassProgress) string { return sparkline(v.history[c.Name]) }),
	}
	for i := range columns {
		c := &columns[i]
		c.width = utf8.RuneCountInString(c.name)
		for _, cell := range c.cells {
			c.width = max(c.width, utf8.RuneCountInString(cell))
		}
	}
	columns[len(columns)-1].width = sparkLength // from the start, so that nothing jumps
	return columns
}

// fit makes the columns at most width wide together: it shortens, then leaves
// out, what is needed least. The class and its p99 stay to the end.
func fit(columns []column, width int) []column {
	excess := func() int {
		total := -gap
		for _, c := range columns {
			total += gap + c.width
		}
		return total - width
	}
	wanted := make(map[string]int, len(columns))
	for _, c := range columns {
		wanted[c.name] = c.width
	}
	find := func(name string) *column {
		for i := range columns {
			if columns[i].name == name {
				return &columns[i]
			}
		}
		return nil
	}
	shorten := func(name string, least int) {
		if c, over := find(name), excess(); c != nil && over > 0 && c.width > least {
			c.width = max(c.width-over, least)
		}
	}
	drop := func(name string, onlyZero bool) {
		for i, c := range columns {
			if c.name == name && excess() > 0 && (c.zero || !onlyZero) {
				columns = append(columns[:i:i], columns[i+1:]...)
				return
			}
		}
	}
	shorten(columnSpark, shortestSpark)
	for _, name := range []string{"skipped", "failed", "shed"} {
		drop(name, true)
	}
	drop("sent", false)
	shorten(columnClass, 2*shortestName)
	for _, name := range []string{"p50 ms", columnSpark, "skipped"} {
		drop(name, false)
	}
	shorten(columnClass, shortestName)
	for _, name := range []string{"failed", "shed", "done/s"} {
		drop(name, false)
	}
	shorten(columnClass, 1)
	drop("p99 ms", false)
	shorten(columnClass, 1)
	// What was shortened before something was left out gets the room back.
	for _, name := range []string{columnClass, columnSpark} {
		if c := find(name); c != nil {
			c.width = min(wanted[name], c.width+max(-excess(), 0))
		}
	}
	return columns
}

// sparkline draws values as bars up to the highest of them; 0 is no value.
func sparkline(values []time.Duration) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	var highest time.Duration
	for _, d := range values {
		highest = max(highest, d)
	}
	line := make([]rune, 0, len(values))
	for _, d := range values {
		bar := ' '
		if d > 0 {
			bar = bars[min(int(float64(d)/float64(highest)*float64(len(bars))), len(bars)-1)]
		}
		line = append(line, bar)
	}
	return string(line)
}
