package classifier

import (
	"net/netip"
	"strings"
)

// Request is the read-only view of a request that rules see. Its strings may
// alias a connection's buffer: they are valid only during the call.
type Request struct {
	// Method is the method as received; methods are case-sensitive.
	Method string
	// Host is the authority without its port, in any case.
	Host string
	// Path is decoded and without dot segments and query.
	Path string
	// Source is the client's address.
	Source netip.Addr
	// BodySize is in bytes; -1 when it is not known before the body is read.
	BodySize int64
	// Fields finds headers and query parameters; nil when there are none.
	Fields Fields
}

// Fields looks up headers and query parameters by name, so that only what some
// rule asks for is ever decoded.
type Fields interface {
	// Header returns the value of the header, in any case of name. Repeated
	// lines are combined with ", ".
	Header(name string) (value string, ok bool)
	// Query returns the first value of the query parameter, decoded.
	Query(name string) (value string, ok bool)
}

func (r *Request) header(name string) (string, bool) {
	if r.Fields == nil {
		return "", false
	}
	return r.Fields.Header(name)
}

func (r *Request) query(name string) (string, bool) {
	if r.Fields == nil {
		return "", false
	}
	return r.Fields.Query(name)
}

// mediaType returns the Content-Type without its parameters.
func (r *Request) mediaType() (string, bool) {
	value, ok := r.header("Content-Type")
	value, _, _ = strings.Cut(value, ";")
	return strings.TrimSpace(value), ok
}

// source returns the client's address in the form that prefixes are compared
// with: IPv4 unmapped, as a dual-stack listener reports it mapped, and without
// a zone, which no prefix contains.
func (r *Request) source() netip.Addr {
	return r.Source.Unmap().WithZone("")
}
