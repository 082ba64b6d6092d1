package topology

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"overtake/classifier/strictyaml"
)

// step is a place that a request or its messages come to: an endpoint, or a queue.
type step struct {
	service  *Service
	endpoint int
	queue    string // of "broker queue"; then the rest is zero
}

func (s step) String() string {
	if s.queue != "" {
		_, name, _ := strings.Cut(s.queue, " ")
		return "queue " + name
	}
	return s.service.name + " " + s.service.Endpoints[s.endpoint].Path
}

// move is a call or a publish, and where in the file it is.
type move struct {
	to   step
	path string
}

// cycles refuses calls that come back to where they started: a request would go
// round for ever, whatever the probability says about how often.
func (c *checker) cycles() {
	w := walker{checker: c, state: make(map[step]visit)}
	for _, name := range c.graph.order {
		s := c.graph.Services[name]
		for i := range s.Endpoints {
			w.begin(step{service: s, endpoint: i})
		}
		for i := range s.Consumes {
			if queuePattern.MatchString(s.Consumes[i].Queue) {
				w.begin(step{queue: s.Consumes[i].Broker + " " + s.Consumes[i].Queue})
			}
		}
	}
}

type visit int

const (
	unseen visit = iota
	open
	finished
)

type walker struct {
	*checker
	state map[step]visit
	trail []step
}

func (w *walker) begin(s step) {
	if w.state[s] == unseen {
		w.visit(s)
	}
}

func (w *walker) visit(s step) {
	w.state[s] = open
	w.trail = append(w.trail, s)
	for _, m := range w.moves(s) {
		switch w.state[m.to] {
		case unseen:
			w.visit(m.to)
		case open:
			var names []string
			for _, at := range w.trail[slices.Index(w.trail, m.to):] {
				names = append(names, at.String())
			}
			w.src.Problem(m.path, "remove one of these calls", "goes round for ever: %s -> %s", strings.Join(names, " -> "), m.to)
		}
	}
	w.trail = w.trail[:len(w.trail)-1]
	w.state[s] = finished
}

// moves returns where s leads. What is wrong already leads nowhere.
func (w *walker) moves(s step) []move {
	if s.queue == "" {
		at := strictyaml.Item(strictyaml.Join(strictyaml.Join("services", s.service.name), "endpoints"), s.endpoint)
		return w.movesOf(at, s.service.Endpoints[s.endpoint].work())
	}
	var moves []move
	for _, name := range w.graph.order {
		consumer := w.graph.Services[name]
		for i := range consumer.Consumes {
			if q := &consumer.Consumes[i]; q.Broker+" "+q.Queue == s.queue {
				at := strictyaml.Item(strictyaml.Join(strictyaml.Join("services", name), "consumes"), i)
				moves = append(moves, w.movesOf(at, q.work())...)
			}
		}
	}
	return moves
}

func (w *walker) movesOf(path string, k work) []move {
	moves := w.callMoves(strictyaml.Join(path, "calls"), k.calls)
	for i, p := range k.publish {
		if to, ok := w.graph.stepAt(p.URL); ok {
			moves = append(moves, move{to, fmt.Sprintf("%s.publish[%d]", path, i)})
		}
		if queuePattern.MatchString(p.Queue) {
			moves = append(moves, move{step{queue: p.Broker + " " + p.Queue}, fmt.Sprintf("%s.publish[%d]", path, i)})
		}
	}
	return moves
}

func (w *walker) callMoves(path string, calls []Call) []move {
	var moves []move
	for i, call := range calls {
		at := strictyaml.Item(path, i)
		moves = append(moves, w.callMoves(strictyaml.Join(at, "parallel"), call.Parallel)...)
		if to, ok := w.graph.stepAt(call.URL); ok {
			moves = append(moves, move{to, at})
		}
		if s := w.graph.Services[call.Service]; s != nil {
			if e := s.endpointFor(call.Path); e >= 0 {
				moves = append(moves, move{step{service: s, endpoint: e}, at})
			}
		}
	}
	return moves
}

// stepAt returns the endpoint to which a URL leads: that of a service that listens or
// is dialled there. What comes through something else in front of a service, such as a
// gateway, is not known here.
func (g *Graph) stepAt(text string) (step, bool) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return step{}, false
	}
	host := u.Host
	if u.Port() == "" {
		host += ":80"
	}
	for _, name := range g.order {
		s := g.Services[name]
		if s.Address == host || s.Listen != "" && dialable(s.Listen) == host || s.Sidecar != nil && s.Sidecar.Inbound != "" && dialable(s.Sidecar.Inbound) == host {
			if e := s.endpointFor(max(u.Path, "/")); e >= 0 {
				return step{service: s, endpoint: e}, true
			}
		}
	}
	return step{}, false
}
