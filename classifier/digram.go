package classifier

import (
	"maps"
	"math/bits"
	"regexp/syntax"
	"slices"
	"strings"
)

// digrams are the pairs of neighbouring bytes that a text has, without regard to the
// case of ASCII letters. Pairs share places, so a pair that is there may not be in the
// text; one that is not there is not in it. Most patterns that a value does not match
// are told from that alone, at a fraction of what matching costs.
type digrams [1 << 10]bool

// digram is the place of a pair. Letters differ in the lower 5 bits.
func digram(a, b byte) uint16 {
	return (uint16(lower(a))<<5 ^ uint16(lower(b))) % uint16(len(digrams{}))
}

func (d *digrams) add(text string) {
	for i := 1; i < len(text); i++ {
		d[digram(text[i-1], text[i])] = true
	}
}

// needles rule matches out by the digrams that a text must have for them to hold.
type needles struct {
	of   ruleSet // the matches that have any
	need [][]uint16
	// before is how many matches of the set come before each of its words.
	before [len(ruleSet{})]int
}

// newNeedles takes what each match needs. What the fewest others need comes first, as
// it is the likeliest to tell.
func newNeedles(need [][]uint16) *needles {
	n := &needles{}
	var users [len(digrams{})]int
	for i, ds := range need {
		if i%64 == 0 {
			n.before[i/64] = len(n.need)
		}
		if len(ds) == 0 {
			continue
		}
		n.of.add(i)
		n.need = append(n.need, ds)
		for _, d := range ds {
			users[d]++
		}
	}
	for _, ds := range n.need {
		slices.SortStableFunc(ds, func(a, b uint16) int { return users[a] - users[b] })
	}
	return n
}

// strike removes from left the matches that need what is not in text.
func (n *needles) strike(left *ruleSet, text string) {
	if len(n.need) == 0 {
		return
	}
	var has digrams
	has.add(text)
	for w := range left {
		for rest := left[w] & n.of[w]; rest != 0; rest &= rest - 1 {
			bit := rest & -rest
			for _, d := range n.need[n.before[w]+bits.OnesCount64(n.of[w]&(bit-1))] {
				if !has[d] {
					left[w] &^= bit
					break
				}
			}
		}
	}
}

// digramSet is digrams that a pattern needs; nil for none.
type digramSet map[uint16]struct{}

func (s digramSet) with(other digramSet) digramSet {
	if s == nil {
		return maps.Clone(other)
	}
	maps.Copy(s, other)
	return s
}

// both returns what is needed in any case, by one of the two or the other.
func (s digramSet) both(other digramSet) digramSet {
	maps.DeleteFunc(s, func(d uint16, _ struct{}) bool { _, ok := other[d]; return !ok })
	return s
}

func (s digramSet) list() []uint16 { return slices.Sorted(maps.Keys(s)) }

// literalDigrams are those of the text between the *s of a pattern.
func literalDigrams(pattern string) digramSet {
	set := digramSet{}
	for text := range strings.SplitSeq(pattern, "*") {
		for i := 1; i < len(text); i++ {
			set[digram(text[i-1], text[i])] = struct{}{}
		}
	}
	return set
}

// regexpDigrams are those that every text has in which re is found.
func regexpDigrams(re *syntax.Regexp) digramSet {
	switch re.Op {
	case syntax.OpLiteral:
		set := digramSet{}
		for i := 1; i < len(re.Rune); i++ {
			a, b := re.Rune[i-1], re.Rune[i]
			if plain(a, re.Flags) && plain(b, re.Flags) {
				set[digram(byte(a), byte(b))] = struct{}{}
			}
		}
		return set
	case syntax.OpCapture, syntax.OpPlus:
		return regexpDigrams(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return regexpDigrams(re.Sub[0])
		}
	case syntax.OpConcat:
		var set digramSet
		for _, sub := range re.Sub {
			set = set.with(regexpDigrams(sub))
		}
		return set
	case syntax.OpAlternate:
		set := regexpDigrams(re.Sub[0])
		for _, sub := range re.Sub[1:] {
			set = set.both(regexpDigrams(sub))
		}
		return set
	}
	return nil
}

// plain reports whether r stands for its ASCII letter alone. Without regard to case, k
// and s stand for the Kelvin sign and the long s as well.
func plain(r rune, flags syntax.Flags) bool {
	if flags&syntax.FoldCase != 0 && strings.ContainsRune("kKsS", r) {
		return false
	}
	return r < 0x80
}
