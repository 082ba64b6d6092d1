package classifier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// mistake is what is wrong with a pattern, and what to write instead.
type mistake struct{ text, remedy string }

func (m *mistake) Error() string { return m.text }

// mistakes collects the errors of one match.
type mistakes []error

func (all *mistakes) add(f field, key string, item int, err error) {
	if err == nil {
		return
	}
	e := &MatchError{Field: f.String(), Key: key, Item: item, Err: err}
	if m, ok := errors.AsType[*mistake](err); ok {
		e.Remedy = m.remedy
	}
	*all = append(*all, e)
}

// Compile prepares m for matching. Its error joins one [*MatchError] for each
// thing that is wrong.
func Compile(m Match) (*Matcher, error) {
	var wrong mistakes
	out := &Matcher{
		methods: append([]string(nil), m.Methods...), // nil for none
		minSize: m.MinSize,
		maxSize: m.MaxSize,
		headers: wrong.values(fieldHeaders, m.Headers),
		query:   wrong.values(fieldQuery, m.Query),
		hosts:   wrong.hosts(m.Hosts),
		sources: wrong.sources(m.Sources),
	}
	for i, method := range m.Methods {
		if !IsToken(method) {
			wrong.add(fieldMethods, "", i, &mistake{fmt.Sprintf("%q is not a method", method), "write one for each item: [GET, HEAD]"})
		}
	}
	if m.MinSize < 0 || m.MaxSize < 0 || m.MaxSize > 0 && m.MinSize > m.MaxSize {
		wrong.add(fieldSize, "", -1, &mistake{fmt.Sprintf("no size is between %d and %d", m.MinSize, m.MaxSize), "swap them"})
	}
	if m.ContentType != "" {
		out.contentType = &valuePattern{kind: globbed, text: lowerASCII(m.ContentType), fold: true}
		if !strings.ContainsAny(m.ContentType, "/*") || strings.ContainsAny(m.ContentType, "; ") {
			wrong.add(fieldContentType, "", -1, &mistake{
				fmt.Sprintf("%q: a media type has a slash and no parameters", m.ContentType), "write application/json or image/*",
			})
		}
	}
	var err error
	if m.Path != "" {
		out.path, err = compileGlob(m.Path)
		wrong.add(fieldPath, "", -1, err)
	}
	if m.Expr != "" {
		out.expr, err = compileExpr(m.Expr)
		wrong.add(fieldExpr, "", -1, err)
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return out, nil
}

func (all *mistakes) values(f field, patterns map[string]string) (compiled []valuePattern) {
	for _, name := range sortedNames(patterns) {
		if f == fieldHeaders && !IsToken(name) {
			all.add(f, name, -1, &mistake{
				fmt.Sprintf("%q is not the name of a header", name), "write a name such as User-Agent, without a colon",
			})
		}
		p, err := compileValue(name, patterns[name], f == fieldHeaders)
		all.add(f, name, -1, err)
		compiled = append(compiled, p)
	}
	return compiled
}

func (all *mistakes) hosts(patterns []string) (compiled []hostPattern) {
	for i, pattern := range patterns {
		host, err := compileHost(pattern)
		all.add(fieldHosts, "", i, err)
		compiled = append(compiled, host)
	}
	return compiled
}

// sources sorts networks, and leaves those out that are inside of another.
func (all *mistakes) sources(prefixes []netip.Prefix) (compiled []netip.Prefix) {
	for i, prefix := range prefixes {
		if !prefix.IsValid() {
			all.add(fieldSources, "", i, &mistake{"not a network", "write 10.0.0.0/8 or fd00::/8"})
			continue
		}
		compiled = append(compiled, canonicalPrefix(prefix))
	}
	slices.SortFunc(compiled, netip.Prefix.Compare) // a network comes before those inside of it
	kept := compiled[:0]
	for _, prefix := range compiled {
		if len(kept) == 0 || !kept[len(kept)-1].Overlaps(prefix) {
			kept = append(kept, prefix)
		}
	}
	return kept
}

// canonicalPrefix gives a prefix the form that [Request.source] has.
func canonicalPrefix(prefix netip.Prefix) netip.Prefix {
	const mapped = 128 - 32 // bits before the IPv4 address in ::ffff:a.b.c.d
	if prefix.Addr().Is4In6() && prefix.Bits() >= mapped {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mapped)
	}
	return prefix.Masked()
}
