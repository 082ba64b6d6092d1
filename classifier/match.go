package classifier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
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
	// counts as false, and as one of [Matcher.ExprErrors].
	Expr string
}

// The fields of a Match, as the configuration spells them.
const (
	fieldHosts       = "hosts"
	fieldPath        = "path"
	fieldMethods     = "methods"
	fieldHeaders     = "headers"
	fieldQuery       = "query"
	fieldSources     = "sources"
	fieldSize        = "size"
	fieldContentType = "content_type"
	fieldExpr        = "expr"
)

// MatchError is what is wrong with one field of a [Match].
type MatchError struct {
	// Field is the field as the configuration spells it: hosts, path, methods,
	// headers, query, sources, size, content_type or expr.
	Field string
	// Key is the name of the header or query parameter, otherwise empty.
	Key string
	Err error
}

func (e *MatchError) Error() string {
	if e.Key != "" {
		return fmt.Sprintf("%s: %s: %v", e.Field, e.Key, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Field, e.Err)
}

// Unwrap returns what is wrong.
func (e *MatchError) Unwrap() error { return e.Err }

// Matcher is a compiled [Match]. It is safe for concurrent use and must not be
// copied.
type Matcher struct {
	methods          []string
	sources          []netip.Prefix
	minSize, maxSize int64
	hosts            []hostPattern
	path             *pathGlob // nil when not asked for
	headers, query   []valuePattern
	contentType      string
	expr             *expr // nil when not asked for
}

// Compile prepares m for matching. Its error joins one [*MatchError] for each
// thing that is wrong.
func Compile(m Match) (*Matcher, error) {
	var errs []error
	fail := func(field, key string, err error) {
		if err != nil {
			errs = append(errs, &MatchError{field, key, err})
		}
	}
	values := func(field string, patterns map[string]string, fold bool) (compiled []valuePattern) {
		for _, name := range sortedNames(patterns) {
			p, err := compileValue(name, patterns[name], fold)
			fail(field, name, err)
			compiled = append(compiled, p)
		}
		return compiled
	}

	out := &Matcher{
		methods:     slices.Clone(m.Methods),
		minSize:     m.MinSize,
		maxSize:     m.MaxSize,
		headers:     values(fieldHeaders, m.Headers, true),
		query:       values(fieldQuery, m.Query, false),
		contentType: lowerASCII(m.ContentType),
	}
	for _, pattern := range m.Hosts {
		host, err := compileHost(pattern)
		fail(fieldHosts, "", err)
		out.hosts = append(out.hosts, host)
	}
	for _, prefix := range m.Sources {
		source, err := canonicalPrefix(prefix)
		fail(fieldSources, "", err)
		out.sources = append(out.sources, source)
	}
	if slices.Contains(m.Methods, "") {
		fail(fieldMethods, "", errors.New("empty method"))
	}
	if m.MinSize < 0 || m.MaxSize < 0 || m.MaxSize > 0 && m.MinSize > m.MaxSize {
		fail(fieldSize, "", fmt.Errorf("no size is between %d and %d", m.MinSize, m.MaxSize))
	}
	var err error
	if m.Path != "" {
		out.path, err = compileGlob(m.Path)
		fail(fieldPath, "", err)
	}
	if m.Expr != "" {
		out.expr, err = compileExpr(m.Expr)
		fail(fieldExpr, "", err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// Matches reports whether r is meant. It keeps nothing of r.
func (m *Matcher) Matches(r *Request) bool {
	return m.miss(r) == miss{}
}

// ExprErrors is how many evaluations of the expression failed so far.
func (m *Matcher) ExprErrors() uint64 {
	if m.expr == nil {
		return 0
	}
	return m.expr.failed.Load()
}

// miss is the field of a match that did not hold, and for headers and query
// whose value it was. The zero miss says that all held.
type miss struct {
	field, key string
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
		if !p.matches(r.header(p.name)) {
			return miss{fieldHeaders, p.name}
		}
	}
	for i := range m.query {
		p := &m.query[i]
		if !p.matches(r.query(p.name)) {
			return miss{fieldQuery, p.name}
		}
	}
	if m.contentType != "" {
		if mediaType, ok := r.mediaType(); !ok || !wildcard(m.contentType, mediaType, true) {
			return miss{field: fieldContentType}
		}
	}
	if m.expr != nil && !m.expr.matches(r) {
		return miss{field: fieldExpr}
	}
	return miss{}
}

func (m *Matcher) containsSource(source netip.Addr) bool {
	for _, prefix := range m.sources {
		if prefix.Contains(source) {
			return true
		}
	}
	return false
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

// seen says, for people, what r has in the field that did not hold: strings
// quoted, and a bare word for what is not there. It keeps nothing of r.
func (m *Matcher) seen(r *Request, at miss) string {
	quote := func(value string, ok bool) string {
		if !ok {
			return "absent"
		}
		return strconv.Quote(value)
	}
	switch at.field {
	case fieldMethods:
		return quote(r.Method, true)
	case fieldSources:
		return r.source().String()
	case fieldSize:
		if r.BodySize < 0 {
			return "unknown"
		}
		return strconv.FormatInt(r.BodySize, 10)
	case fieldHosts:
		return quote(r.Host, true)
	case fieldPath:
		return quote(r.Path, true)
	case fieldHeaders:
		return quote(r.header(at.key))
	case fieldQuery:
		return quote(r.query(at.key))
	case fieldContentType:
		return quote(r.mediaType())
	case fieldExpr:
		return m.expr.seen(r)
	}
	return ""
}

// canonicalPrefix gives a prefix the form that [Request.source] has.
func canonicalPrefix(prefix netip.Prefix) (netip.Prefix, error) {
	if !prefix.IsValid() {
		return netip.Prefix{}, errors.New("not a network")
	}
	const mapped = 128 - 32 // bits before the IPv4 address in ::ffff:a.b.c.d
	if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix.Masked(), nil
}
