package classifier

import (
	"maps"
	"slices"
	"strings"
)

// pathIndex finds the matches that may ask for a path.
type pathIndex struct {
	// beginnings are the literal segments that patterns begin with, and all shorter
	// beginnings of those: /a/b, /a and nothing for /a/b/**. A set is of all that a
	// path may match of which no longer beginning is known.
	beginnings map[string]*ruleSet
	rootless   ruleSet // for what is no path: the * of OPTIONS
	needles    *needles
}

func newPathIndex(matchers []*Matcher) pathIndex {
	x := pathIndex{beginnings: map[string]*ruleSet{"": {}}}
	need := make([][]uint16, len(matchers))
	for i, m := range matchers {
		if m.path == nil || m.path.everything {
			x.rootless.add(i)
			x.beginnings[""].add(i)
			continue
		}
		for _, a := range m.path.alternatives {
			setOf(x.beginnings, a.beginning).add(i)
			for beginning := a.beginning; beginning != ""; beginning = shorterBeginning(beginning) {
				setOf(x.beginnings, beginning)
			}
		}
		need[i] = m.path.digrams()
	}
	x.needles = newNeedles(need)
	for _, beginning := range slices.SortedFunc(maps.Keys(x.beginnings), shortestFirst) {
		if beginning != "" {
			x.beginnings[beginning].join(x.beginnings[shorterBeginning(beginning)])
		}
	}
	return x
}

func shorterBeginning(beginning string) string {
	return beginning[:strings.LastIndexByte(beginning, '/')]
}

func (x *pathIndex) strike(left *ruleSet, path string) {
	if !strings.HasPrefix(path, "/") {
		left.keep(&x.rootless)
		return
	}
	set := x.beginnings[""]
	for end := 0; end < len(path); {
		end = segmentEnd(path, end+1)
		longer, ok := x.beginnings[path[:end]]
		if !ok {
			break
		}
		set = longer
	}
	left.keep(set)
	x.needles.strike(left, path)
}
