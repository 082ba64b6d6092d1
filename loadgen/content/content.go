// Package content says what requests carry. A [Spec] is a template; the
// [Generator] that it opens draws one request after the other, a pure function of
// the spec, a seed and a name: the same seed gives the same requests.
package content

// Spec is what the requests of one class are made from.
type Spec struct {
	// Method is GET if empty.
	Method string
	// Path is the request target: path and query, starting with '/'.
	Path   string
	Fields []Field
	// Body is sent with each request. BodyBytes, if Body is empty, sends that
	// many bytes of filler without holding them in memory.
	Body      []byte
	BodyBytes int64
}

// Field is one header field, sent as it is spelled.
type Field struct{ Name, Value string }

// Request is one request that was drawn. It is read-only.
type Request struct {
	Method, Target string
	Fields         []Field
	Body           []byte
	Filler         int64 // length of the body if Body is empty
}

// Generator draws the requests of one class. It is not safe for concurrent use.
type Generator struct{ fixed *Request }

// Open starts drawing.
func (s Spec) Open(seed uint64, name string) (*Generator, error) {
	method := s.Method
	if method == "" {
		method = "GET"
	}
	return &Generator{fixed: &Request{Method: method, Target: s.Path, Fields: s.Fields, Body: s.Body, Filler: s.BodyBytes}}, nil
}

// Next draws a request. If nothing in the spec varies it returns the same pointer
// each time.
func (g *Generator) Next() *Request { return g.fixed }
