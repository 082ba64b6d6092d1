package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/valyala/fasthttp"

	"overtake/tracing"
)

// field is one header line. Both strings alias fasthttp's buffer: they are valid
// while the request is.
type field struct{ name, value string }

// fields are the header lines of a request as they were received: names as
// spelled, repeated lines apart, in order. It is a tracing.Carrier to read from.
type fields []field

// read fills f with the header's lines, reusing its memory. It fails on what
// fasthttp lets pass though others may read it differently, and then f is empty.
func (f fields) read(h *fasthttp.RequestHeader) (fields, error) {
	f = f[:0]
	if err := checkLines(h.RawHeaders()); err != nil {
		return f, err
	}
	for name, value := range h.AllInOrder() {
		if bytes.IndexByte(name, ' ') >= 0 {
			return f[:0], fmt.Errorf("the field name %q is not a token (RFC 9110 section 5.1)", name)
		}
		f = append(f, field{alias(name), alias(value)})
	}
	return f, nil
}

// checkLines refuses lines that end in a bare LF, and folded ones. RFC 9112
// sections 2.2 and 5.2 allow both to be refused; fasthttp's passes over a header
// do not agree about them. The end of the request line is not in raw: fasthttp does
// not tell which one it was.
func checkLines(raw []byte) error {
	for rest := raw; ; {
		i := bytes.IndexByte(rest, '\n')
		switch {
		case i < 0:
			return nil
		case i == 0 || rest[i-1] != '\r':
			return errors.New("a line of the header ends without CR (RFC 9112 section 2.2)")
		case i+1 < len(rest) && (rest[i+1] == ' ' || rest[i+1] == '\t'):
			return errors.New("a line of the header is folded (RFC 9112 section 5.2)")
		}
		rest = rest[i+1:]
	}
}

// lookup returns the value of a field in any case, its lines combined with ", "
// as RFC 9110 section 5.3 allows.
func (f fields) lookup(name string) (string, bool) {
	value, found := "", false
	for i := range f {
		if len(f[i].name) != len(name) || !strings.EqualFold(f[i].name, name) {
			continue
		}
		if found {
			value += ", " + f[i].value
		} else {
			value, found = f[i].value, true
		}
	}
	return value, found
}

// Len implements tracing.Carrier.
func (f fields) Len() int { return len(f) }

// Field implements tracing.Carrier.
func (f fields) Field(i int) (name, value string) { return f[i].name, f[i].value }

// Set implements tracing.Carrier. What was received is only read.
func (f fields) Set(string, string) { panic("gateway: received fields are read-only") }

// Del implements tracing.Carrier.
func (f fields) Del(string) { panic("gateway: received fields are read-only") }

var _ tracing.Carrier = fields(nil)

// stampedFields is a header under construction, as a tracing.Carrier to stamp.
// The lines that the trail owns have not been copied into it.
type stampedFields struct{ head []byte }

// Len implements tracing.Carrier.
func (s *stampedFields) Len() int { return 0 }

// Field implements tracing.Carrier.
func (s *stampedFields) Field(int) (name, value string) {
	panic("gateway: stamped fields are write-only")
}

// Set implements tracing.Carrier.
func (s *stampedFields) Set(name, value string) { s.head = appendField(s.head, name, value) }

// Del implements tracing.Carrier.
func (s *stampedFields) Del(string) {}

func appendField(head []byte, name, value string) []byte {
	head = append(head, name...)
	head = append(head, ": "...)
	head = append(head, value...)
	return append(head, "\r\n"...)
}

// alias returns b as a string without copying it. The string is valid as long as
// b is not changed.
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
