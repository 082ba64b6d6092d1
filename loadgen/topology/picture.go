package topology

import (
	"fmt"
	"strings"

	"overtake/classifier/strictyaml"
)

// Picture draws who calls whom, from the endpoints that nobody here calls down. What
// has been drawn once is not drawn again.
func (g *Graph) Picture() string {
	p := picture{graph: g, drawn: make(map[step]bool)}
	p.text.WriteString(strings.TrimSuffix(g.Name+": "+g.About, ": ") + "\n")
	called := g.called()
	for _, name := range g.order {
		s := g.Services[name]
		for i := range s.Endpoints {
			if at := (step{service: s, endpoint: i}); !called[at] {
				p.text.WriteByte('\n')
				p.endpoint("", "", at, "")
			}
		}
		for i := range s.Consumes {
			q := &s.Consumes[i]
			if at := (step{queue: q.Broker + " " + q.Queue}); !called[at] && !p.drawn[at] {
				p.text.WriteByte('\n')
				p.queue("", "", at, "")
			}
		}
	}
	fmt.Fprintf(&p.text, "\n─ one after the other   ═ at the same time   ┄ by a queue\n")
	return p.text.String()
}

// called returns the endpoints and queues to which something leads.
func (g *Graph) called() map[step]bool {
	w := walker{checker: &checker{graph: g}}
	called := make(map[step]bool)
	mark := func(at step) {
		for _, m := range w.moves(at) {
			called[m.to] = true
		}
	}
	for _, name := range g.order {
		s := g.Services[name]
		for i := range s.Endpoints {
			mark(step{service: s, endpoint: i})
		}
		for _, q := range s.Consumes {
			mark(step{queue: q.Broker + " " + q.Queue})
		}
	}
	return called
}

type picture struct {
	graph *Graph
	text  strings.Builder
	drawn map[step]bool
}

// branch is one line below another.
type branch struct {
	line string // ─, ═ or ┄
	draw func(lead, below string)
}

func (p *picture) branches(below string, branches []branch) {
	for i, b := range branches {
		if i < len(branches)-1 {
			b.draw(below+"├"+b.line+" ", below+"│  ")
		} else {
			b.draw(below+"└"+b.line+" ", below+"   ")
		}
	}
}

// endpoint draws an endpoint behind lead, with below before each line under it.
// how says how often it is called.
func (p *picture) endpoint(lead, below string, at step, how string) {
	e := &at.service.Endpoints[at.endpoint]
	notes := appendNotes(nil, how, e.work())
	if e.Response.Largest() > 0 {
		notes = append(notes, "answers "+e.Response.String())
	}
	if at.service.Sidecar != nil {
		notes = append(notes, "sidecar")
	}
	p.node(lead, below, at.String(), notes, at, func() []branch { return p.workBranches(e.work()) })
}

// queue draws a queue and those who consume it.
func (p *picture) queue(lead, below string, at step, how string) {
	broker, _, _ := strings.Cut(at.queue, " ")
	p.node(lead, below, at.String()+" at "+broker, appendNotes(nil, how, work{}), at, func() []branch {
		var branches []branch
		for _, name := range p.graph.order {
			s := p.graph.Services[name]
			for i := range s.Consumes {
				q := &s.Consumes[i]
				if q.Broker+" "+q.Queue != at.queue {
					continue
				}
				branches = append(branches, branch{"┄", func(lead, below string) {
					p.line(lead+name, appendNotes([]string{fmt.Sprintf("%d at once", q.Concurrency)}, "", q.work()))
					p.branches(below, p.workBranches(q.work()))
				}})
			}
		}
		return branches
	})
}

// node draws a line and, the first time, what is below it.
func (p *picture) node(lead, below, label string, notes []string, at step, under func() []branch) {
	branches := under()
	if p.drawn[at] && len(branches) > 0 {
		notes, branches = append(notes, "goes on as above"), nil
	}
	p.drawn[at] = true
	p.line(lead+label, notes)
	p.branches(below, branches)
}

func (p *picture) line(label string, notes []string) {
	p.text.WriteString(label)
	if len(notes) > 0 {
		p.text.WriteString("  (" + strings.Join(notes, "; ") + ")")
	}
	p.text.WriteByte('\n')
}

func (p *picture) workBranches(w work) []branch {
	branches := p.callBranches("─", w.calls)
	for i := range w.publish {
		out := &w.publish[i]
		branches = append(branches, branch{"┄", func(lead, below string) {
			how := often(out.Probability, out.Optional)
			if to, ok := p.graph.stepAt(out.URL); ok {
				p.endpoint(lead, below, to, how)
				return
			}
			if out.URL != "" {
				p.line(lead+out.URL, appendNotes(nil, how, work{}))
				return
			}
			p.queue(lead, below, step{queue: out.Broker + " " + out.Queue}, how)
		}})
	}
	return branches
}

func (p *picture) callBranches(line string, calls []Call) []branch {
	var branches []branch
	for i := range calls {
		c := &calls[i]
		if c.Parallel != nil {
			branches = append(branches, p.callBranches("═", c.Parallel)...)
			continue
		}
		branches = append(branches, branch{line, func(lead, below string) {
			how := often(c.Probability, c.Optional)
			if to, ok := p.graph.stepAt(c.URL); ok {
				p.endpoint(lead, below, to, how)
				return
			}
			if c.URL != "" {
				p.line(lead+c.Method+" "+c.URL, appendNotes(nil, how, work{}))
				return
			}
			s := p.graph.Services[c.Service]
			p.endpoint(lead, below, step{service: s, endpoint: s.endpointFor(c.Path)}, how)
		}})
	}
	return branches
}

// often says how often a call is made, and whether it matters.
func often(probability strictyaml.Percent, optional bool) string {
	var words []string
	if probability < 100_00 {
		words = append(words, probability.String())
	}
	if optional {
		words = append(words, "optional")
	}
	return strings.Join(words, ", ")
}

func appendNotes(notes []string, how string, w work) []string {
	if how != "" {
		notes = append(notes, how)
	}
	if w.time.Largest() > 0 {
		spent := w.time.String()
		if w.cpu {
			spent += " of CPU"
		}
		notes = append(notes, spent)
	}
	if w.failures > 0 {
		notes = append(notes, w.failures.String()+" fail")
	}
	return notes
}
