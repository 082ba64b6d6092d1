package loadgen

import (
	"io"
	"strings"

	"github.com/valyala/fasthttp"

	"overtake/loadgen/completion"
	"overtake/loadgen/content"
)

// httpContent is a request on the wire, but for what differs in each: it is
// rendered once if the content of a class is static. It is immutable.
type httpContent struct {
	of     *content.Request
	header []byte // without the empty line at its end
	traced bool   // has a traceparent of its own
	body   []byte
	filler int64 // length of the body if it is filler
}

// render returns r on the wire.
func (p *pool) render(r *content.Request) *httpContent {
	if p.content == nil || p.content.of != r {
		p.content = newHTTPContent(p.sender.target, r)
	}
	return p.content
}

// inline is the largest request that is written as one: it fits into an empty socket
// buffer.
const inline = 8 << 10

// appendBody appends the body to a header if both are small enough. Otherwise it returns
// what is left to be written after that, which is nil if nothing is.
func (c *httpContent) appendBody(b []byte) (_ []byte, rest *httpContent) {
	if int64(len(b)+len(c.body))+c.filler > inline {
		return b, c
	}
	b = append(b, c.body...)
	return append(b, filler[:c.filler]...), nil
}

func newHTTPContent(t target, r *content.Request) *httpContent {
	c := &httpContent{of: r, body: r.Body, traced: ownTrace(r) != ""}
	if len(r.Body) == 0 {
		c.filler = max(r.Filler, 0)
	}
	var h fasthttp.RequestHeader
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true)
	h.SetMethod(r.Method)
	h.SetRequestURI(r.Target)
	h.SetHost(t.host)
	h.SetUserAgent("overtake-loadgen")
	for _, f := range r.Fields {
		h.Add(f.Name, f.Value)
	}
	// RFC 9110, section 8.6: without a body, only methods that are meant to have
	// one say so.
	if length := int64(len(c.body)) + c.filler; length > 0 || !withoutBody(r.Method) {
		h.SetContentLength(int(length))
	}
	b := h.AppendBytes(nil)
	c.header = b[:len(b)-len("\r\n")]
	return c
}

func withoutBody(method string) bool {
	switch method {
	case fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodDelete, fasthttp.MethodOptions, fasthttp.MethodTrace:
		return true
	}
	return false
}

// ownTrace returns the traceparent that the content of r sets, empty if none.
func ownTrace(r *content.Request) string {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, headerTraceParent) {
			return f.Value
		}
	}
	return ""
}

// appendHeader appends the whole header of the request call.
func (c *httpContent) appendHeader(b []byte, call *Call) []byte {
	b = append(b, c.header...)
	b = append(b, completion.HeaderID+": "...)
	b = append(b, call.ID...)
	if !c.traced {
		b = append(b, "\r\n"+headerTraceParent+": "...)
		b = append(b, call.TraceParent...)
	}
	return append(b, "\r\n\r\n"...)
}

// filler is what bodies without content of their own are made of.
var filler = []byte(strings.Repeat("x", 64<<10))

// writeBody writes the body.
func (c *httpContent) writeBody(w io.Writer) error {
	if len(c.body) > 0 {
		_, err := w.Write(c.body)
		return err
	}
	for left := c.filler; left > 0; {
		n, err := w.Write(filler[:min(left, int64(len(filler)))])
		if err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}
