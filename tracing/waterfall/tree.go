package waterfall

import (
	"cmp"
	"slices"
	"time"

	"overtake/tracing"
	"overtake/tracing/jaegerquery"
)

// Names of the spans in which a request waits.
const (
	queueSpan = "overtake.queue"
	laneSpan  = "overtake.lane"
)

// node is a span in its tree.
type node struct {
	*jaegerquery.Span
	children []*node // by their start

	start, end time.Time // by the clock of the first span
	moved      time.Duration
	paused     time.Duration // since the attempt before
	own        bool          // from a process of Overtake
	orphan     bool          // its parent is not in the trace
	// class is that of the span, was that of the nearest span above which has one.
	class, was string
}

func (n *node) hop() bool   { return n.own && (n.Kind == tracing.Server || n.Kind == tracing.Consumer) }
func (n *node) waits() bool { return n.own && (n.Name == queueSpan || n.Name == laneSpan) }

func (n *node) interval() interval { return interval{n.start, n.end} }

// process is whose clock timed a span.
type process struct{ service, instance string }

func (n *node) process() process { return process{n.Service, n.Instance} }

// grow makes the trees of spans and returns their roots by their start. Every span
// is in one tree: parents that are missing, that are their own descendants, or whose
// id is used twice don't matter.
func grow(spans []jaegerquery.Span) []*node {
	nodes := make([]*node, len(spans))
	byID := make(map[tracing.SpanID]*node, len(spans))
	own := map[process]bool{}
	for i := range spans {
		s := &spans[i]
		nodes[i] = &node{Span: s, start: s.Start, end: s.End, class: s.Text(jaegerquery.ClassKey)}
		if byID[s.ID] == nil {
			byID[s.ID] = nodes[i]
		}
		if s.Own() {
			own[nodes[i].process()] = true
		}
	}
	slices.SortStableFunc(nodes, byStart)
	var roots, rest []*node
	for _, n := range nodes {
		n.own = own[n.process()]
		switch parent := byID[n.Parent]; {
		case n.Parent == tracing.SpanID{}:
			roots = append(roots, n)
		case parent == nil || parent == n:
			n.orphan = true
			roots = append(roots, n)
		default:
			parent.children = append(parent.children, n)
			rest = append(rest, n)
		}
	}
	g := gardener{planted: make(map[*node]bool, len(nodes)), off: map[process]time.Duration{}}
	for _, root := range roots {
		g.settle(root, nil)
	}
	for _, n := range rest {
		if !g.planted[n] { // in a circle
			roots = append(roots, n)
			g.settle(n, nil)
		}
	}
	slices.SortStableFunc(roots, byStart)
	return roots
}

// byStart has what waits before what is done then: Jaeger counts in microseconds, in
// which both may begin.
func byStart(a, b *node) int {
	if a.waits() != b.waits() && a.start.Equal(b.start) {
		if a.waits() {
			return -1
		}
		return 1
	}
	return cmp.Or(a.start.Compare(b.start), b.end.Compare(a.end))
}

// gardener brings trees into shape.
type gardener struct {
	planted map[*node]bool
	// off is by how much the clock of a process was corrected last.
	off map[process]time.Duration
}

// settle goes down the tree of n, where it cuts circles, corrects clocks, and hands
// down the class.
func (g *gardener) settle(n, parent *node) {
	g.planted[n] = true
	if parent != nil {
		n.was = cmp.Or(parent.class, parent.was)
		g.move(n, parent)
	}
	n.children = slices.DeleteFunc(n.children, func(child *node) bool { return g.planted[child] })
	for _, child := range n.children {
		g.planted[child] = true
	}
	for _, child := range n.children {
		g.settle(child, n)
	}
	slices.SortStableFunc(n.children, byStart)
}

// move corrects the clock of n: by as much as its parent's if both are from one
// process, else by as much as that of its process before, and more if need be.
func (g *gardener) move(n, parent *node) {
	if n.process() == parent.process() {
		n.shift(parent.moved)
		return
	}
	n.shift(g.off[n.process()])
	early := n.start.Before(parent.start)
	late := n.Kind == tracing.Server && parent.Kind == tracing.Client && n.start.After(parent.end)
	if early || late {
		room := max(0, parent.end.Sub(parent.start)-n.end.Sub(n.start))
		n.shift(parent.start.Add(room / 2).Sub(n.start))
		g.off[n.process()] = n.moved
	}
}

func (n *node) shift(by time.Duration) {
	n.moved, n.start, n.end = n.moved+by, n.start.Add(by), n.end.Add(by)
}

// changed reports whether the class is another one than above.
func (n *node) changed() bool { return n.class != "" && n.was != "" && n.class != n.was }

// depth is how many spans are above the lowest one below n, n among them.
func (n *node) depth() int {
	deepest := 0
	for _, child := range n.children {
		deepest = max(deepest, child.depth()+1)
	}
	return deepest
}

// walk calls f for n and all below it, each before what is below it.
func (n *node) walk(f func(*node)) {
	f(n)
	for _, child := range n.children {
		child.walk(f)
	}
}
