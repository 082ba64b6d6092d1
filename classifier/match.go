package classifier

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Match says which requests are meant. All fields that are set must hold; the
// zero Match means every request. The package comment describes the patterns.
type Match struct {
	// Hosts are names, or *.example.com for all names below a domain.
	Hosts []string
	// Path is a glob.
	Path string
	// Methods are compared with regard to case (RFC 9110, section 9.1).
	Methods []string
	// Headers and Query hold a value pattern by name.
	Headers, Query map[string]string
	// Sources are the client's networks.
	Sources []netip.Prefix
	// MinSize and MaxSize bound the body in bytes, both included; 0 is open.
	// A body of unknown size may become large: it is within MinSize, and it
	// is not within MaxSize.
	MinSize, MaxSize int64
	// ContentType is compared with the media type without its parameters. *
	// stands for any run of characters, and case is ignored.
	ContentType string
	// Expr is a CEL expression over request that must be true:
	//
	//	request.method   string
	//	request.host     string, in lower case
	//	request.path     string
	//	request.size     int, -1 when not known
	//	request.source   string, the address; "" when not known
	//	request.headers  by name, in any case: request.headers["x-plan"]
	//	request.query    by name: request.query["page"]
	//
	// A header or parameter that is missing is "", since a rule that fails
	// for most requests would be of no use; ask "x-plan" in request.headers
	// to tell it from an empty one. An evaluation that fails or takes too long
	// counts as false; [Observer] and [NewList] tell of it.
	Expr string
}

// field is a field of a Match. The zero field is none.
type field uint8

const (
	fieldNone field = iota
	fieldMethods
	fieldSources
	fieldSize
	fieldHosts
	fieldPath
	fieldHeaders
	fieldQuery
	fieldContentType
	fieldExpr
)

// String returns the name of the field as the configuration spells it.
func (f field) String() string {
	return [...]string{"", "methods", "sources", "size", "hosts", "path", "headers", "query", "content_type", "expr"}[f]
}

// MatchError is what is wrong with one field of a [Match].
type MatchError struct {
	// Field is the field as the configuration spells it: hosts, path, methods,
	// headers, query, sources, size, content_type or expr.
	Field string
	// Key is the name of the header or query parameter, otherwise empty.
	Key string
	// Item is the position in hosts, methods or sources, otherwise -1.
	Item int
	Err  error
	// Remedy is what to write instead.
	Remedy string
}

func (e *MatchError) Error() string {
	at := e.Field
	if e.Key != "" {
		at += ": " + e.Key
	}
	return fmt.Sprintf("%s: %v; %s", at, e.Err, e.Remedy)
}

// Unwrap returns what is wrong.
func (e *MatchError) Unwrap() error { return e.Err }

// Matcher is a compiled [Match]. It is immutable and safe for concurrent use.
type Matcher struct {
	methods          []string
	sources          []netip.Prefix // sorted, and none inside of another
	minSize, maxSize int64
	hosts            []hostPattern
	path             *pathGlob // nil when not asked for
	headers, query   []valuePattern
	contentType      *valuePattern // nil when not asked for
	expr             *expr         // nil when not asked for
}

// Matches reports whether r is meant. It keeps nothing of r.
func (m *Matcher) Matches(r *Request) bool {
	return m.miss(r).field == fieldNone
}

// miss is the field of a match that did not hold. The zero miss says that all held.
type miss struct {
	field field
	i     int // position of the pattern in headers or query
	// value is what the request has there, in a field that has patterns for values,
	// and ok whether it has any. It is valid as long as the request.
	value string
	ok    bool
	err   error // why the expression could not be evaluated
}

// miss returns the first field that does not hold, from cheap to dear.
func (m *Matcher) miss(r *Request) miss {
	if m.methods != nil && !slices.Contains(m.methods, r.Method) {
		return miss{field: fieldMethods}
	}
	if m.sources != nil && !m.containsSource(r.source()) {
		return miss{field: fieldSources}
	}
	if !m.containsSize(r.BodySize) {
		return miss{field: fieldSize}
	}
	if m.hosts != nil && !m.containsHost(canonicalHost(r.Host)) {
		return miss{field: fieldHosts}
	}
	if m.path != nil && !m.path.matches(r.Path) {
		return miss{field: fieldPath}
	}
	for i := range m.headers {
		p := &m.headers[i]
		if value, ok := r.header(p.name); !p.matches(value, ok) {
			return miss{field: fieldHeaders, i: i, value: value, ok: ok}
		}
	}
	for i := range m.query {
		p := &m.query[i]
		if value, ok := r.query(p.name); !p.matches(value, ok) {
			return miss{field: fieldQuery, i: i, value: value, ok: ok}
		}
	}
	if m.contentType != nil {
		if value, ok := r.mediaType(); !m.contentType.matches(value, ok) {
			return miss{field: fieldContentType, value: value, ok: ok}
		}
	}
	if m.expr != nil {
		if holds, err := m.expr.eval(r); !holds {
			return miss{field: fieldExpr, err: err}
		}
	}
	return miss{}
}

// containsSource finds the only network that source may be in.
func (m *Matcher) containsSource(source netip.Addr) bool {
	i, exact := slices.BinarySearchFunc(m.sources, source, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	if !exact {
		i--
	}
	return i >= 0 && m.sources[i].Contains(source)
}

func (m *Matcher) containsSize(size int64) bool {
	if size < 0 {
		return m.maxSize == 0
	}
	return size >= m.minSize && (m.maxSize == 0 || size <= m.maxSize)
}

func (m *Matcher) containsHost(host string) bool {
	for _, pattern := range m.hosts {
		if pattern.matches(host) {
			return true
		}
	}
	return false
}

// pattern returns what is asked of a header or query parameter, or nil. Names of
// headers have no case.
func (m *Matcher) pattern(f field, name string) *valuePattern {
	patterns, same := m.headers, strings.EqualFold
	if f == fieldQuery {
		patterns, same = m.query, func(a, b string) bool { return a == b }
	}
	for i := range patterns {
		if same(patterns[i].name, name) {
			return &patterns[i]
		}
	}
	return nil
}

// key returns the name of the header or query parameter of a miss, otherwise "".
func (m *Matcher) key(at miss) string {
	switch at.field {
	case fieldHeaders:
		return m.headers[at.i].name
	case fieldQuery:
		return m.query[at.i].name
	}
	return ""
}

// seen says, for people, what r has in the field that did not hold: strings
// quoted, and a bare word for what is not there. It keeps nothing of r.
func (m *Matcher) seen(r *Request, at miss) string {
	switch at.field {
	case fieldNone:
		return ""
	case fieldMethods:
		return strconv.Quote(r.Method)
	case fieldSources:
		if source := r.source(); source.IsValid() {
			return source.String()
		}
		return "unknown"
	case fieldSize:
		if r.BodySize < 0 {
			return "unknown"
		}
		return strconv.FormatInt(r.BodySize, 10)
	case fieldHosts:
		return strconv.Quote(r.Host)
	case fieldPath:
		return strconv.Quote(r.Path)
	case fieldExpr:
		if at.err != nil {
			return at.err.Error()
		}
		return "false"
	}
	if !at.ok {
		return "absent"
	}
	return strconv.Quote(at.value)
}
