package waterfall

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"overtake/tracing"
	"overtake/tracing/jaegerquery"
)

// Request is what a trace tells about one request.
type Request struct {
	ID    tracing.TraceID
	Start time.Time
	// Total is the time from the first start to the last end: Waited, Worked,
	// Paused between attempts of a message, and what nothing covers.
	Total, Waited, Worked, Paused time.Duration
	// Queued is the part of Waited in queues for a slot, Laned that in lanes. Where
	// something waits in both, it counts in each.
	Queued, Laned time.Duration
	// Classes are those of the hops, in their order, without repeats.
	Classes []string
	Hops    int
	// Slowest describes the hop or lane with the most time of its own, SlowestTime, or
	// the app behind a hop if that has more.
	Slowest     string
	SlowestTime time.Duration
	// Status is the first hop's answer, with the reason if it was refused, be it by
	// a hop below.
	Status string
	// Failed is that something failed or was refused, perhaps in a try that another
	// one made good.
	Failed bool

	roots   []*node
	spans   int
	orphans int
	moved   []string // the processes whose clock was corrected
}

// NewRequest reads a trace.
func NewRequest(t jaegerquery.Trace) *Request {
	r := &Request{ID: t.ID, roots: grow(t.Spans), spans: len(t.Spans)}
	if len(r.roots) == 0 {
		return r
	}
	// What calls the first gateway begins the trace more often than it records spans.
	if first := r.roots[0]; first.hop() && first.Text("overtake.role") == "ingress" {
		first.orphan = false
	}
	pauses := r.pauses()
	var all, waited, queued, laned []interval
	first := interval{r.roots[0].start, r.roots[0].end}
	r.walk(func(n *node) {
		first.from, first.to = earlier(first.from, n.start), later(first.to, n.end)
		all = append(all, n.interval())
		if n.waits() {
			waited = append(waited, n.interval())
			if n.Name == queueSpan {
				queued = append(queued, n.interval())
			} else {
				laned = append(laned, n.interval())
			}
		}
		r.note(n)
	})
	r.Start, r.Total = first.from, first.to.Sub(first.from)
	r.Waited, r.Queued, r.Laned = covered(waited), covered(queued), covered(laned)
	r.Worked = covered(all) - r.Waited
	r.Paused = covered(append(all, pauses...)) - r.Worked - r.Waited
	for _, root := range r.roots {
		r.rank(root, nil)
	}
	return r
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// walk calls f for all spans, each before what is below it.
func (r *Request) walk(f func(*node)) {
	for _, root := range r.roots {
		root.walk(f)
	}
}

// note counts a span.
func (r *Request) note(n *node) {
	if n.orphan {
		r.orphans++
	}
	if n.moved != 0 {
		if process := clean(strings.TrimSpace(n.Service + " " + n.Instance)); !slices.Contains(r.moved, process) {
			r.moved = append(r.moved, process)
		}
	}
	if n.Failure != "" || n.reason() != "" {
		r.Failed = true
	}
	if !n.hop() {
		return
	}
	r.Hops++
	if n.class != "" && !slices.Contains(r.Classes, clean(n.class)) {
		r.Classes = append(r.Classes, clean(n.class))
	}
	if r.Status == "" {
		r.Status = clean(strings.TrimSpace(n.Text("http.response.status_code") + " " + cmp.Or(n.reason(), n.refusedBelow(), n.Failure)))
		r.Status = cmp.Or(r.Status, "-")
	}
}

// reason is why the work was refused here, "" if it was not.
func (n *node) reason() string {
	if reason := n.Text("overtake.reason"); reason != "" {
		return reason
	}
	for _, e := range n.Events {
		for _, a := range e.Attributes {
			if reason, ok := a.Value.(string); ok && e.Name == "shed" && a.Key == "overtake.reason" {
				return reason
			}
		}
	}
	return ""
}

// refusedBelow is the reason of the last hop below a failed one that refused, and its
// service; "" if none did.
func (n *node) refusedBelow() (said string) {
	if n.Failure == "" {
		return ""
	}
	n.walk(func(below *node) {
		if reason := below.reason(); reason != "" && below.own && below.Kind == tracing.Server {
			said = reason + " at " + below.Service
		}
	})
	return said
}

// rank finds the slowest hop in a tree, and returns the stretches of the hops, lanes and
// apps that are next below n or n itself.
func (r *Request) rank(n, parent *node) []interval {
	var below []interval
	for _, child := range n.children {
		below = append(below, r.rank(child, n)...)
	}
	if !n.hop() && !(n.own && n.Name == laneSpan) && !n.app() {
		return below
	}
	for i := range below {
		below[i] = below[i].within(n.interval())
	}
	if own := n.end.Sub(n.start) - covered(below); own > r.SlowestTime || r.Slowest == "" {
		r.Slowest, r.SlowestTime = n.title(parent), own
	}
	return []interval{n.interval()}
}

// app reports whether n is a try at something that is no hop of this trace: an app, or
// whatever else is there. Its spans may be below, and the hops that its calls pass.
func (n *node) app() bool {
	return n.own && n.Kind == tracing.Client && !slices.ContainsFunc(n.children, func(child *node) bool {
		return child.hop() && child.Text("overtake.role") != "outbound"
	})
}

// title says which hop, lane or app it is.
func (n *node) title(parent *node) string {
	switch {
	case n.Name == laneSpan:
		return clean(strings.TrimSpace(n.Service + " lane " + n.Text("messaging.destination.name")))
	case n.Kind == tracing.Client:
		title := "the app behind " + n.Service
		if parent != nil && parent.Text("overtake.role") == "outbound" {
			title = "whom " + n.Service + " calls"
		}
		if server := n.server(); server != "" {
			title += " (" + server + ")"
		}
		return clean(title)
	}
	return clean(strings.TrimSpace(n.Service + " " + n.Name))
}

// share is part of whole in percent.
func share(part, whole time.Duration) int {
	if whole <= 0 {
		return 0
	}
	return int(100*part.Seconds()/whole.Seconds() + 0.5)
}
