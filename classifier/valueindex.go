package classifier

// valueIndex finds the matches that a value of one header or query parameter, or the
// media type, does not rule out.
type valueIndex struct {
	field field
	name  string
	exact map[string]*ruleSet
	// other is for a value that is none of exact, absent for no value.
	other, absent ruleSet
	needles       *needles // what else other values need
}

// newValueIndex indexes the patterns that of returns, nil for a match without one.
func newValueIndex(b *block, of func(*Matcher) *valuePattern) valueIndex {
	x := valueIndex{exact: make(map[string]*ruleSet)}
	x.absent = *b.where(func(m *Matcher) bool { p := of(m); return p == nil || p.matches("", false) })
	x.other = *b.where(func(m *Matcher) bool {
		p := of(m)
		return p == nil || p.kind == present || p.kind == globbed || p.kind == expression
	})
	need := make([][]uint16, len(b.matchers))
	for i, m := range b.matchers {
		p := of(m)
		if p == nil {
			continue
		}
		if p.kind == exact && x.exact[p.text] == nil {
			x.exact[p.text] = b.where(func(m *Matcher) bool { q := of(m); return q == nil || q.matches(p.text, true) })
		}
		need[i] = p.digrams()
	}
	x.needles = newNeedles(need)
	return x
}

func (x *valueIndex) strike(left *ruleSet, value string, ok bool) {
	if !ok {
		left.keep(&x.absent)
		return
	}
	if set, known := x.exact[value]; known {
		left.keep(set)
		return
	}
	left.keep(&x.other)
	x.needles.strike(left, value)
}

// namedColumns returns the columns of a match's headers or query parameters, and
// indexes those that no match before had. A block has room for blockSize columns;
// what is beyond is not indexed.
func (b *block) namedColumns(patterns []valuePattern, f field) []int {
	columns := make([]int, len(patterns))
	for i := range patterns {
		columns[i] = b.column(f, patterns[i].name)
	}
	return columns
}

func (b *block) column(f field, name string) int {
	for i := range b.values {
		if v := &b.values[i]; v.field == f && v.name == name {
			return typeColumn + i
		}
	}
	if typeColumn+len(b.values) == blockSize {
		return noColumn
	}
	x := newValueIndex(b, func(m *Matcher) *valuePattern { return m.pattern(f, name) })
	x.field, x.name = f, name
	b.values = append(b.values, x)
	return typeColumn + len(b.values) - 1
}
