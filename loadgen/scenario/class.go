package scenario

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"overtake/classifier/strictyaml"
	"overtake/loadgen"
	"overtake/loadgen/content"
)

// hasRate says whether the class sends at a rate, beside bursts and a replay.
func (c *class) hasRate() bool { return c.Rate > 0 || c.Ramp != nil || len(c.Steps) > 0 }

// class checks a class and returns it.
func (d *draft) class(at string, c *class) loadgen.Class {
	key := func(name string) string { return strictyaml.Join(at, name) }
	d.checkName(key("name"), c.Name)
	if d.Given(key("class")) {
		d.checkName(key("class"), c.Class)
	}
	strictyaml.SetDefault(d.Source, key("class"), &c.Class, c.Name)
	d.checkEndpoint(at, c)
	if d.Given(key("objective")) {
		d.checkLength(key("objective"), c.Objective, 1)
	}
	if d.Given(key("timeout")) {
		d.checkLength(key("timeout"), c.Timeout, 1)
	}
	out := loadgen.Class{
		Name: c.Name, Class: c.Class, Endpoint: c.Endpoint, Objective: c.Objective, Timeout: c.Timeout, Job: c.Job,
		Connections: loadgen.Connections{Max: c.Connections.Max, Requests: c.Connections.Requests},
	}
	for name, n := range map[string]int{"max": c.Connections.Max, "requests": c.Connections.Requests} {
		path := strictyaml.Join(key("connections"), name)
		switch {
		case n < 0 || n == 0 && d.Given(path):
			d.Problem(path, "want 1 or more; leave it out for no bound", "is %d", n)
		case name == "max" && n > maxConnections:
			d.Problem(path, "want at most 60000: there are no more ports", "is %d", n)
		}
	}
	out.Success = d.success(key("success"), c)
	out.Arrivals = d.arrivals(at, c)
	// Without anything recorded, what is wrong with the replay was told.
	recorded := c.Replay != nil && !c.hasRate() && c.Bursts == nil
	for _, a := range out.Arrivals.Replay.Arrivals {
		recorded = recorded && a.Target != ""
	}
	out.Request = d.request(at, c, recorded)
	if d.AnyReplaced(key("path")) || d.AnyReplaced(key("query")) {
		out.ShownPath = d.Shown(key("path"), out.Request.Path)
	}
	return out
}

// success checks with which statuses the requests of the class succeed.
func (d *draft) success(at string, c *class) (all []loadgen.Statuses) {
	switch {
	case !d.Given(at):
		return nil
	case c.Job:
		d.Problem(at, "remove it", "means nothing for a job, whose answer is 202")
	case len(c.Success) == 0 && !d.AnyBroken(at):
		d.Problem(at, "leave it out for 2xx", "no status")
	}
	for i, s := range c.Success {
		status := loadgen.Statuses(s)
		for j, other := range c.Success {
			if other := loadgen.Statuses(other); i != j && other.Has(status) && (other != status || j < i) {
				d.Problem(strictyaml.Item(at, i), "remove it", "%s is there already: item %d is %s", status, j, other)
			}
		}
		all = append(all, status)
	}
	return all
}

// checkEndpoint checks where the class sends to, and what that makes no use of.
func (d *draft) checkEndpoint(at string, c *class) {
	if c.Endpoint == "" {
		if d.Given(strictyaml.Join(at, "endpoint")) {
			d.Problem(strictyaml.Join(at, "endpoint"), "leave it out to send to target", "no name")
		}
		return
	}
	e, known := d.file.Endpoints[c.Endpoint]
	if !known {
		names := slices.Sorted(maps.Keys(d.file.Endpoints))
		hint := strictyaml.Suggest(c.Endpoint, names)
		if hint == "" {
			hint = "add it to endpoints"
		}
		d.Problem(strictyaml.Join(at, "endpoint"), hint, "there is no endpoint %q", c.Endpoint)
	}
	if e.AMQP == "" && e.NATS == "" {
		return
	}
	for _, key := range []string{"method", "path", "query", "connections", "job", "success"} {
		if path := strictyaml.Join(at, key); d.Given(path) {
			d.Problem(path, "remove it", "means nothing for messages")
		}
	}
}

// messages says whether the class publishes messages, rather than asks a server. An
// endpoint that is not known could be either: nothing is held against it.
func (c *class) messages(d *draft) bool {
	return c.Endpoint != "" && d.file.Endpoints[c.Endpoint].HTTP == ""
}

// request checks what the class sends. recorded says that all targets were recorded.
func (d *draft) request(at string, c *class, recorded bool) content.Spec {
	s := content.Spec{Method: c.Method, Path: c.Path, Query: fields(c.Query), Fields: fields(c.Headers)}
	path := strictyaml.Join(at, "path")
	switch {
	case d.Given(path):
		if c.Path == "" {
			d.Problem(path, "begin it with '/'", "no path")
		}
	case c.messages(d):
	case recorded:
		s.Path = "/"
	default:
		d.Problem(path, "write one such as /products/{{int 1 500}}", "is missing")
		s.Path = "/"
	}
	if d.Given(strictyaml.Join(at, "method")) && c.Method == "" {
		d.Problem(strictyaml.Join(at, "method"), "leave it out for GET", "no method")
	}
	if c.Body != nil {
		d.body(strictyaml.Join(at, "body"), c.Body, &s)
	}
	for _, err := range mistakes(s.Check()) {
		if m, ok := errors.AsType[content.Mistake](err); ok {
			if _, name, named := strings.Cut(m.Place, "."); named && name == "" {
				m.Hint = "want a name"
			}
			d.Problem(strictyaml.Join(at, m.Place), m.Hint, "%s", m.What)
		}
	}
	return s
}

func (d *draft) body(at string, b *body, s *content.Spec) {
	size, text := strictyaml.Join(at, "size"), strictyaml.Join(at, "text")
	if d.Given(size) == d.Given(text) {
		d.Problem(at, "give either text or size", "has %s", map[bool]string{true: "both a text and a size", false: "neither a text nor a size"}[d.Given(size)])
		return
	}
	if d.Given(text) {
		s.Text = b.Text
		return
	}
	b.Size.Check(d.Source, size, content.MaxBody)
	switch {
	case d.AnyBroken(size):
	case b.Size.Fixed != nil:
		s.BodyBytes = min(int64(*b.Size.Fixed), content.MaxBody) // what is above was told
	case len(d.within(size)) == 0:
		s.Size = &b.Size
	}
}

// within are the problems that were found at or below path.
func (d *draft) within(path string) (found strictyaml.Problems) {
	for _, p := range d.Problems() {
		if strings.HasPrefix(p.Path, path) {
			found = append(found, p)
		}
	}
	return found
}

// fields are a mapping in the order of its names, so that it is always the same.
func fields(m map[string]string) (all []content.Field) {
	for _, name := range slices.Sorted(maps.Keys(m)) {
		all = append(all, content.Field{Name: name, Value: m[name]})
	}
	return all
}

// mistakes takes apart what errors.Join put together.
func mistakes(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return nil
}
