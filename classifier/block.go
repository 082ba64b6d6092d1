package classifier

import (
	"cmp"
	"net/netip"
	"slices"
)

// block is up to blockSize matches with an index that rules most of them out.
//
// The first match that is left is tested. When it misses, the field it missed on,
// and in headers and query the name, is a column of the index: the request's value
// there is looked up once, which gives the set of all matches that this value does
// not rule out, and what is left is cut down to that set. So a decision costs at
// most one look-up for each column, however many matches ask for it, and a test for
// each match that all of the looked-up columns let through. The columns are
//
//	methods, values of headers and query  a map from what is asked for literally
//	hosts                                 the longest known end of the name
//	path                                  the longest known beginning, by segments
//	sources, size                         a sorted list of ranges
//
// and patterns that can't be looked up (*bot*, ~regexp, /**/x) are ruled out by the
// digrams that they need, see [digrams]. Nothing is indexed about expressions.
//
// A set leaves out what the matchers would refuse, and perhaps not all of it: the index
// decides nothing on its own.
type block struct {
	first    int // position of the first in the list
	matchers []*Matcher
	all      ruleSet

	methods     map[string]*ruleSet
	otherMethod ruleSet
	hosts       hostIndex
	paths       pathIndex
	sources     ranges[netip.Addr]
	sizes       ranges[int64]
	values      []valueIndex // of the columns from typeColumn on
	// columns are those of each match's headers, and then those of its query.
	columns [][]int
}

// The columns that every block has; those of headers and query parameters follow.
const (
	noColumn = iota
	methodColumn
	sourceColumn
	sizeColumn
	hostColumn
	pathColumn
	typeColumn
)

var fieldColumns = [...]int{
	fieldMethods: methodColumn, fieldSources: sourceColumn, fieldSize: sizeColumn, fieldHosts: hostColumn,
	fieldPath: pathColumn, fieldContentType: typeColumn, fieldExpr: noColumn,
}

func newBlock(first int, matchers []*Matcher) block {
	b := block{first: first, matchers: matchers, columns: make([][]int, len(matchers))}
	for i := range matchers {
		b.all.add(i)
	}
	b.methods = make(map[string]*ruleSet)
	for _, m := range matchers {
		for _, method := range m.methods {
			if b.methods[method] != nil {
				continue
			}
			b.methods[method] = b.where(func(m *Matcher) bool { return m.methods == nil || slices.Contains(m.methods, method) })
		}
	}
	b.otherMethod = *b.where(func(m *Matcher) bool { return m.methods == nil })
	b.hosts = newHostIndex(matchers)
	b.paths = newPathIndex(matchers)
	b.sources = newRanges(&b, netip.Addr{}, netip.Addr.Compare, fromSource, func(m *Matcher, bound func(netip.Addr)) {
		for _, prefix := range m.sources {
			bound(prefix.Addr())
			bound(after(prefix))
		}
	})
	b.sizes = newRanges(&b, -1, cmp.Compare[int64], (*Matcher).containsSize, func(m *Matcher, bound func(int64)) {
		bound(0) // -1 is not known
		bound(m.minSize)
		if m.maxSize > 0 {
			bound(m.maxSize + 1) // what overflows is a bound that no size reaches
		}
	})
	b.values = []valueIndex{newValueIndex(&b, func(m *Matcher) *valuePattern { return m.contentType })}
	for i, m := range matchers {
		b.columns[i] = append(b.namedColumns(m.headers, fieldHeaders), b.namedColumns(m.query, fieldQuery)...)
	}
	return b
}

// where returns the set of the matches that may be.
func (b *block) where(may func(*Matcher) bool) *ruleSet {
	set := new(ruleSet)
	for i, m := range b.matchers {
		if may(m) {
			set.add(i)
		}
	}
	return set
}

// columnOf returns the column that match i missed on.
func (b *block) columnOf(i int, at miss) int {
	switch at.field {
	case fieldHeaders:
		return b.columns[i][at.i]
	case fieldQuery:
		return b.columns[i][len(b.matchers[i].headers)+at.i]
	}
	return fieldColumns[at.field]
}

// strike removes from left what the request's value in the column of a miss rules out.
func (b *block) strike(left *ruleSet, r *Request, column int, at miss) {
	switch column {
	case methodColumn:
		if set, ok := b.methods[r.Method]; ok {
			left.keep(set)
		} else {
			left.keep(&b.otherMethod)
		}
	case sourceColumn:
		left.keep(b.sources.at(r.source()))
	case sizeColumn:
		left.keep(b.sizes.at(max(r.BodySize, -1)))
	case hostColumn:
		b.hosts.strike(left, canonicalHost(r.Host))
	case pathColumn:
		b.paths.strike(left, r.Path)
	default:
		b.values[column-typeColumn].strike(left, at.value, at.ok)
	}
}

// ranges cuts the values of a field where some match begins or ceases to hold.
type ranges[T any] struct {
	compare func(a, b T) int
	starts  []T // sorted; a range goes up to the next start
	sets    []*ruleSet
}

// newRanges takes the least value, and what gives the bounds of a matcher.
func newRanges[T any](b *block, least T, compare func(a, b T) int, holds func(*Matcher, T) bool, bounds func(*Matcher, func(T))) ranges[T] {
	x := ranges[T]{compare: compare, starts: []T{least}}
	for _, m := range b.matchers {
		bounds(m, func(start T) { x.starts = append(x.starts, start) })
	}
	slices.SortFunc(x.starts, compare)
	x.starts = slices.CompactFunc(x.starts, func(a, b T) bool { return compare(a, b) == 0 })
	for _, start := range x.starts {
		x.sets = append(x.sets, b.where(func(m *Matcher) bool { return holds(m, start) }))
	}
	return x
}

// at returns the set for a value that is not below the least.
func (x *ranges[T]) at(value T) *ruleSet {
	i, exact := slices.BinarySearchFunc(x.starts, value, x.compare)
	if !exact {
		i--
	}
	return x.sets[i]
}

func fromSource(m *Matcher, source netip.Addr) bool {
	return m.sources == nil || m.containsSource(source)
}

// after returns the address that follows those of a network; the zero Addr, which
// comes before all, if there is none.
func after(prefix netip.Prefix) netip.Addr {
	bytes := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < 8*len(bytes); bit++ {
		bytes[bit/8] |= 0x80 >> (bit % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	next := last.Next()
	if !next.IsValid() && last.Is4() {
		return netip.IPv6Unspecified() // IPv6 addresses come after all of IPv4
	}
	return next
}

// setOf returns the set of a key, which it makes when there is none.
func setOf(sets map[string]*ruleSet, key string) *ruleSet {
	if sets[key] == nil {
		sets[key] = new(ruleSet)
	}
	return sets[key]
}

// shortestFirst is an order in which a key comes after all shorter parts of it.
func shortestFirst(a, b string) int { return cmp.Compare(len(a), len(b)) }
