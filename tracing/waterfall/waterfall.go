package waterfall

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"overtake/tracing"
)

// Screen is what a waterfall is drawn on.
type Screen struct {
	Width  int // columns; less than 60 count as 60
	Colour bool
	Link   string // of Jaeger's page about the trace
	Now    time.Time
}

const (
	leastWidth = 60
	roomy      = 100 // from here on, trees may take more room
	timeWidth  = 8   // columns of a duration
	goodName   = 24  // columns of a name, where there is room for all
	leastName  = 14  // and however deep it is
	leastBar   = 16
	// mostSiblings is how many spans are shown below one span.
	mostSiblings = 24
)

// style is a colour of the terminal, by the number of its escape sequence.
type style string

const (
	plain  style = ""
	dim    style = "2"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	purple style = "35"
)

// picture is a waterfall while it is drawn.
type picture struct {
	out *bufio.Writer
	Screen
	*Request
	label, class, bar int // columns of each part
	step              int // columns that a child is further right
	deepest           int // spans below this are moved no further, but say how deep they are
}

// Write draws the request.
func (r *Request) Write(w io.Writer, s Screen) error {
	p := &picture{out: bufio.NewWriter(w), Screen: s, Request: r}
	p.Width = max(p.Width, leastWidth)
	p.class = len("class")
	r.walk(func(n *node) {
		if n.hop() {
			p.class = min(max(p.class, length(classText(n))), 14)
		}
	})
	p.divide()
	p.summary()
	if p.spans == 0 {
		fmt.Fprintln(p.out, "\nthis trace has no spans")
		return p.out.Flush()
	}
	fmt.Fprintln(p.out)
	p.axis()
	p.rows(r.roots, nil, 0)
	fmt.Fprintln(p.out)
	p.legend()
	return p.out.Flush()
}

// divide gives the columns to the parts. A deep trace takes some from the bars.
func (p *picture) divide() {
	rest := p.Width - p.class - timeWidth - 3
	p.step = 1
	if p.Width >= roomy {
		p.step = 2
	}
	depth := 0
	for _, root := range p.roots {
		depth = max(depth, root.depth())
	}
	p.label = min(rest*11/20, 60)
	p.label = max(p.label, min(depth*p.step+goodName, rest-leastBar))
	p.bar = rest - p.label
	p.deepest = (p.label - leastName) / p.step
}

// paint colours text.
func (p *picture) paint(s style, text string) string {
	if !p.Colour || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// summary writes what is to be known about the whole.
func (p *picture) summary() {
	line := func(name, text string) {
		fmt.Fprintf(p.out, "%-7s %s\n", name, cut(text, p.Width-8))
	}
	line("trace", p.ID.String())
	if p.spans == 0 {
		return
	}
	line("began", fmt.Sprintf("%s (%s ago)", p.Start.UTC().Format("2006-01-02 15:04:05.000 MST"), max(0, p.Now.Sub(p.Start).Round(time.Second))))
	if p.Hops > 0 {
		line("class", strings.Join(p.Classes, ", then "))
		line("status", p.Status)
	}
	line("total", fmt.Sprintf("%s, %s, %s of Overtake", took(p.Total), count(p.spans, "span"), count(p.Hops, "hop")))
	if p.Hops > 0 {
		in := ""
		if p.Laned > 0 {
			in = fmt.Sprintf(": %s for a slot, %s in lanes", took(p.Queued), took(p.Laned))
		}
		line("waited", fmt.Sprintf("%s, %d%%%s", took(p.Waited), share(p.Waited, p.Total), in))
		line("worked", fmt.Sprintf("%s, %d%%", took(p.Worked), share(p.Worked, p.Total)))
		if share(p.Paused, p.Total) > 0 {
			line("paused", fmt.Sprintf("%s, %d%%: between attempts of a job", took(p.Paused), share(p.Paused, p.Total)))
		}
		if gap := p.Total - p.Waited - p.Worked - p.Paused; share(gap, p.Total) > 0 {
			line("neither", fmt.Sprintf("%s, %d%%: no span covers it", took(gap), share(gap, p.Total)))
		}
		line("slowest", fmt.Sprintf("%s, %s of its own", p.Slowest, took(p.SlowestTime)))
	}
	if p.Link != "" {
		fmt.Fprintf(p.out, "%-7s %s\n", "Jaeger", p.Link) // a link that is cut leads nowhere
	}
}

// axis writes the line above the bars.
func (p *picture) axis() {
	half := p.bar / 2
	scale := fit("0", half) + fit(took(p.Total/2), p.bar-half)
	fmt.Fprintln(p.out, p.paint(bold, fit("span", p.label)+" "+fit("class", p.class)+" "+scale+" "+fitRight(took(p.Total), timeWidth)))
}

// legend says what the signs mean that were used, and what was doubtful.
func (p *picture) legend() {
	signs := []string{p.paint(yellow, "░") + " waits", p.paint(green, "█") + " works", "─ other software"}
	changed := false
	p.walk(func(n *node) { changed = changed || n.changed() })
	if changed {
		signs = append(signs, p.paint(purple, "→")+" class changes")
	}
	fmt.Fprintln(p.out, strings.Join(signs, "  "))
	note := func(format string, args ...any) {
		for _, line := range wrap("note: "+fmt.Sprintf(format, args...), p.Width) {
			fmt.Fprintln(p.out, line)
		}
	}
	if p.Hops == 0 {
		note("no hop of this trace is one of Overtake")
	}
	if p.orphans > 0 {
		note("the parents of what is marked ? (%s) are not in the trace: they were not sampled, have not arrived yet, or are of software that records none", count(p.orphans, "span"))
	}
	if len(p.moved) > 0 {
		note("the clock differs on %s: spans from there were moved into those that they are part of (marked ~)", strings.Join(p.moved, ", "))
	}
}

// rows draws spans and what is below them.
func (p *picture) rows(nodes []*node, parent *node, depth int) {
	shown, hidden := weighty(nodes)
	for _, n := range shown {
		p.row(n, parent, depth)
		p.rows(n.children, n, depth+1)
	}
	if len(hidden) > 0 {
		sum := make([]interval, len(hidden))
		for i, n := range hidden {
			sum[i] = n.interval()
		}
		text := fmt.Sprintf("%s%s… and %d more, in %s", p.indent(depth), p.below(depth), len(hidden), took(covered(sum)))
		fmt.Fprintln(p.out, p.paint(dim, cut(text, p.Width)))
	}
}

// weighty divides nodes: too many of them hide what matters, which is what failed or
// took long.
func weighty(nodes []*node) (shown, hidden []*node) {
	if len(nodes) <= mostSiblings {
		return nodes, nil
	}
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, func(a, b *node) int {
		if a.failed() != b.failed() {
			if a.failed() {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.end.Sub(b.start), a.end.Sub(a.start))
	})
	shown, hidden = sorted[:mostSiblings], sorted[mostSiblings:]
	slices.SortStableFunc(shown, byStart)
	return shown, hidden
}

func (p *picture) indent(depth int) string {
	return strings.Repeat(" ", p.step*min(depth, p.deepest))
}

// below says how much deeper a row is than it is moved to the right; "" if it is not.
func (p *picture) below(depth int) string {
	if depth <= p.deepest {
		return ""
	}
	return fmt.Sprintf("+%d ", depth-p.deepest)
}

// row draws one span.
func (p *picture) row(n, parent *node, depth int) {
	mark := ""
	if n.orphan {
		mark = "? "
	}
	if n.moved != 0 {
		mark += "~ "
	}
	name := n.label()
	if parent == nil || parent.Service != n.Service || n.hop() {
		name = clean(n.Service) + " " + name
	}
	label, class, text := plain, plain, ""
	switch {
	case n.failed():
		label = red
	case !n.own:
		label = dim
	case n.hop():
		label = bold
	}
	if n.hop() || n.changed() {
		text = classText(n)
	}
	if n.changed() {
		class = purple
	}
	fmt.Fprintln(p.out, p.paint(label, fit(p.indent(depth)+p.below(depth)+mark+name, p.label))+" "+p.paint(class, fit(text, p.class))+" "+
		p.bars(n)+" "+fitRight(took(n.end.Sub(n.start)), timeWidth))
	for _, detail := range n.details() {
		for _, line := range wrap(detail, p.Width-length(p.indent(depth))-4) {
			fmt.Fprintln(p.out, p.indent(depth)+"    "+p.paint(dim, line))
		}
	}
}

// classText is the class of a hop, with a mark if it is another one than before.
func classText(n *node) string {
	if n.changed() {
		return "→" + clean(n.class)
	}
	return clean(n.class)
}

// bars draws the time of a span.
func (p *picture) bars(n *node) string {
	from, to := p.cell(n.start), p.cell(n.end)
	to = min(max(to, from+1), p.bar)
	from = min(from, to-1)
	var waits []interval
	if n.hop() {
		for _, child := range n.children {
			if child.waits() {
				waits = append(waits, child.interval())
			}
		}
	}
	waits = union(waits)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", from))
	run, last := 0, style("")
	flush := func() {
		b.WriteString(p.paint(last, strings.Repeat(sign(last), run)))
	}
	for cell := from; cell < to; cell++ {
		s := dim
		switch middle := p.at(float64(cell) + 0.5); {
		case !n.own:
		case n.waits(), slices.ContainsFunc(waits, func(i interval) bool { return !middle.Before(i.from) && middle.Before(i.to) }):
			s = yellow
		default:
			s = green
		}
		if s != last {
			flush()
			run, last = 0, s
		}
		run++
	}
	flush()
	b.WriteString(strings.Repeat(" ", p.bar-to))
	return b.String()
}

// sign is what a bar in a style is made of.
func sign(s style) string {
	switch s {
	case yellow:
		return "░"
	case green:
		return "█"
	}
	return "─"
}

// cell is the column of a bar in which t is.
func (p *picture) cell(t time.Time) int {
	if p.Total <= 0 {
		return 0
	}
	part := t.Sub(p.Start).Seconds() / p.Total.Seconds()
	return int(min(max(part, 0), 1)*float64(p.bar) + 0.5)
}

// at is the time at a column.
func (p *picture) at(cell float64) time.Time {
	return p.Start.Add(time.Duration(cell / float64(p.bar) * float64(p.Total)))
}

// count is n with the word for it.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// wrap breaks text into lines of at most n columns.
func wrap(text string, n int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case length(line)+1+length(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, cut(line, n)), word
		}
	}
	return append(lines, cut(line, n))
}

// label names a span in its row.
func (n *node) label() string {
	name := n.Name
	switch {
	case !n.own:
	case n.Name == queueSpan:
		name = "queue " + n.Text("overtake.upstream")
	case n.Name == laneSpan:
		name = "lane " + n.Text("messaging.destination.name")
	case n.Kind == tracing.Client:
		name = n.try()
	}
	return clean(strings.TrimSpace(name))
}
