package classifier

import "math/bits"

// List is matches in an order, in which the first that matches counts. It finds
// that one without testing all: the comment of block says how. It is immutable and
// safe for concurrent use.
type List struct {
	blocks []block
	failed func(i int)
}

// NewList returns a list of compiled matches. failed is told the position of each
// whose expression could not be evaluated, which counts as false; it may be nil, and
// is called during [List.First].
func NewList(matchers []*Matcher, failed func(i int)) *List {
	l := &List{failed: failed}
	for first := 0; first < len(matchers); first += blockSize {
		part := matchers[first:min(first+blockSize, len(matchers))]
		l.blocks = append(l.blocks, newBlock(first, part))
	}
	return l
}

// First returns the position of the first that matches r, or -1. It keeps nothing of
// r, and allocates nothing unless an expression is tested.
func (l *List) First(r *Request) int {
	s := search{list: l, failed: l.failed}
	return s.next(r)
}

// search goes through the matches of a list that hold for one request. The zero
// search with a list is at its beginning. It may live on the stack.
type search struct {
	list   *List
	failed func(i int)
	began  int // how many blocks
	tested int // how many matches
	left   ruleSet
	struck ruleSet // by which columns of the block
}

// next returns the position of the next that matches r, or -1.
func (s *search) next(r *Request) int {
	for {
		i := s.left.pop()
		if i < 0 {
			if s.began == len(s.list.blocks) {
				return -1
			}
			s.left, s.struck = s.list.blocks[s.began].all, ruleSet{}
			s.began++
			continue
		}
		b := &s.list.blocks[s.began-1]
		s.tested++
		at := b.matchers[i].miss(r)
		if at.field == fieldNone {
			return b.first + i
		}
		if at.err != nil && s.failed != nil {
			s.failed(b.first + i)
		}
		if column := b.columnOf(i, at); column != noColumn && !s.struck.has(column) {
			s.struck.add(column)
			b.strike(&s.left, r, column, at)
		}
	}
}

// blockSize is how many matches one index is about. It is fixed so that sets of them
// need no allocation; longer lists have several blocks.
const blockSize = 1024

// ruleSet is a set of positions in a block.
type ruleSet [blockSize / 64]uint64

func (s *ruleSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s *ruleSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// keep removes what is not in other.
func (s *ruleSet) keep(other *ruleSet) {
	for i := range s {
		s[i] &= other[i]
	}
}

// join adds what is in other.
func (s *ruleSet) join(other *ruleSet) {
	for i := range s {
		s[i] |= other[i]
	}
}

// pop removes and returns the lowest, or -1 when the set is empty.
func (s *ruleSet) pop() int {
	for i, word := range s {
		if word != 0 {
			s[i] = word & (word - 1)
			return i*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}
