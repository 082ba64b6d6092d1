// Package content says what requests carry. A [Spec] is a set of templates; the
// [Generator] that it opens draws one request after the other, a pure function of
// the spec, a seed and a name: the same seed gives the same requests.
//
// # Templates
//
// A template is text in the syntax of [text/template] with these functions:
//
//	{{int 1 20}}          a whole number from 1 to 20, each as likely
//	{{pick "a" "b" "b"}}  one of its arguments, each as likely: b twice as often as a
//	{{zipf 1.1 500}}      a number from 1 to 500; n is drawn in proportion to 1/n^1.1
//	{{hex 16}}            16 random hexadecimal digits
//	{{seq}}               1 for the first request of the class, 2 for the second, ...
//	{{uuid}}              a random UUID (RFC 9562, version 4)
//
// There is nothing else: no variables, conditions, loops, pipes or calls within
// calls. So a template can read nothing, always ends, and is wrong, if it is, before
// anything is sent. It is compiled to a list of texts and draws, which take well
// below a microsecond.
//
// Each template draws from a sequence of its own. A header field that is added
// leaves the paths as they were.
package content

import (
	"bytes"
	"errors"
	"math/rand/v2"

	"overtake/loadgen/distribution"
)

// MaxBody is how long a body may be, in bytes.
const MaxBody = 1 << 30

// Spec is what the requests of one class are made from. Path, the values of Query
// and Fields, and Text are templates.
type Spec struct {
	// Method is GET if empty.
	Method string
	// Path is the request target: path and query, starting with '/'. What it is
	// made from is sent as it is, so it is %-encoded. Messages have none.
	Path string
	// Query is appended to the query of Path, %-encoded, in this order.
	Query []Field
	// Fields are header fields. Their names are sent as they are spelled.
	Fields []Field
	// Body is sent with each request, or Text, or filler that is not held in memory:
	// BodyBytes of it, or as much as Size, which was checked, draws, up to [MaxBody]. At
	// most one of the four is set; none is no body.
	Body      []byte
	Text      string
	BodyBytes int64
	Size      *distribution.Size
}

// Field is a header field, sent as it is spelled, or a query parameter.
type Field struct{ Name, Value string }

// Request is one request that was drawn. It is read-only.
type Request struct {
	Method, Target string
	Fields         []Field
	Body           []byte
	Filler         int64 // length of the body if Body is empty
}

// Generator draws the requests of one class. It is not safe for concurrent use.
type Generator struct {
	// fixed is what does not vary, and all there is if nothing does.
	fixed *Request
	n     uint64 // how many were drawn

	// What varies; nil where it does not. query goes with target.
	target, text  *drawing
	query, fields []drawing
	fieldsVary    bool
	size          func() int64
	scratch       []byte
}

// Check returns what is wrong with the spec: all of it, joined, each a [Mistake].
func (s Spec) Check() error {
	_, mistakes := s.compile()
	return errors.Join(mistakes...)
}

// Open starts drawing. The name takes part so that adding or reordering classes
// leaves the others' requests as they were. Its error is that of [Spec.Check].
func (s Spec) Open(seed uint64, name string) (*Generator, error) {
	c, mistakes := s.compile()
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	g := &Generator{fixed: &Request{Method: c.method, Body: s.Body, Filler: s.BodyBytes}}
	random := func(place string) *rand.Rand { return randomOf(seed, name, place) }

	target := c.path.open(random("path"), &g.n)
	varies := target.varies()
	g.query = make([]drawing, len(c.query))
	for i, t := range c.query {
		g.query[i] = t.open(random("query."+s.Query[i].Name), &g.n)
		varies = varies || g.query[i].varies()
	}
	if varies {
		g.target = &target
	} else {
		g.fixed.Target = g.drawTarget(&target)
	}

	g.fields = make([]drawing, len(c.fields))
	for i, t := range c.fields {
		g.fields[i] = t.open(random("headers."+s.Fields[i].Name), &g.n)
		g.fieldsVary = g.fieldsVary || g.fields[i].varies()
		g.fixed.Fields = append(g.fixed.Fields, Field{s.Fields[i].Name, g.fields[i].fixed})
	}
	if s.Text != "" {
		text := c.text.open(random("body.text"), &g.n)
		g.fixed.Body = []byte(text.fixed)
		if text.varies() {
			g.text = &text
		}
	}
	if s.Size != nil {
		sizes := random("body.size")
		g.size = func() int64 { return min(int64(s.Size.Draw(sizes)), MaxBody) }
	}
	return g, nil
}

// Next draws a request. If nothing in the spec varies it returns the same pointer
// each time.
func (g *Generator) Next() *Request {
	if g.target == nil && g.text == nil && g.size == nil && !g.fieldsVary {
		return g.fixed
	}
	g.n++
	r := *g.fixed
	if g.target != nil {
		r.Target = g.drawTarget(g.target)
	}
	if g.fieldsVary {
		r.Fields = make([]Field, len(g.fields))
		for i := range g.fields {
			r.Fields[i] = g.fixed.Fields[i]
			if g.fields[i].varies() {
				g.scratch = g.fields[i].append(g.scratch[:0])
				r.Fields[i].Value = string(g.scratch)
			}
		}
	}
	if g.text != nil {
		r.Body = g.text.append(make([]byte, 0, len(g.text.fixed)+32))
	}
	if g.size != nil {
		r.Filler = g.size()
	}
	return &r
}

// drawTarget puts path and query together.
func (g *Generator) drawTarget(path *drawing) string {
	b := path.append(g.scratch[:0])
	separator := byte('?')
	if bytes.IndexByte(b, '?') >= 0 {
		separator = '&'
	}
	for i := range g.query {
		b = append(b, separator)
		b = g.query[i].append(b)
		separator = '&'
	}
	g.scratch = b
	return string(b)
}
