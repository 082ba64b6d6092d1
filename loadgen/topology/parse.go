package topology

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"overtake/classifier/strictyaml"
)

// Defaults of what a file leaves out.
const (
	DefaultTimeout     = 10 * time.Second
	defaultConcurrency = 1
)

// DefaultForward are the headers that a service forwards unless it says which: what
// OpenTelemetry's libraries forward by default, and the request id that Envoy's
// users are told to forward.
var DefaultForward = []string{"traceparent", "tracestate", "baggage", "x-request-id"}

// Parse reads a graph; file is its name in problems. lookupEnv finds the variables
// of ${NAME}; with nil, text stays as it is. The error is of type
// [strictyaml.Problems] and holds everything that is wrong.
func Parse(file string, data []byte, lookupEnv func(string) (string, bool)) (*Graph, error) {
	g := &Graph{}
	src := strictyaml.Decode(file, data, g, lookupEnv)
	if !src.Unreadable() {
		c := checker{src: src, graph: g}
		c.check()
	}
	if problems := src.Problems(); len(problems) > 0 {
		return nil, problems
	}
	return g, nil
}

// complete names the services and finds the order in which they were written.
func (g *Graph) complete(src *strictyaml.Source) {
	type position struct{ line, column int }
	at := make(map[string]position)
	for name, s := range g.Services {
		if s == nil { // a name without anything
			s = &Service{}
			g.Services[name] = s
		}
		s.name = name
		_, line, column := src.Place(strictyaml.Join("services", name))
		at[name] = position{line, column}
	}
	g.order = slices.SortedFunc(maps.Keys(g.Services), func(a, b string) int {
		return cmp.Or(cmp.Compare(at[a].line, at[b].line), cmp.Compare(at[a].column, at[b].column), cmp.Compare(a, b))
	})
}
