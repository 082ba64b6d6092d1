package classifier

import (
	"maps"
	"slices"
	"strings"
)

// hostIndex finds the matches that may ask for a host.
type hostIndex struct {
	// names are the hosts that are asked for as they are; ends are those of the
	// domains below which hosts are asked for, with the dot, and all shorter ends of
	// those: .example.com and .com for *.example.com. A set is of all that a host may
	// match of which no longer key is known. All is in lower case.
	names, ends map[string]*ruleSet
	other       ruleSet
}

// maxHost is the longest name that is looked up. DNS knows none that is longer (RFC
// 1035, section 2.3.4).
const maxHost = 255

func newHostIndex(matchers []*Matcher) hostIndex {
	x := hostIndex{names: make(map[string]*ruleSet), ends: make(map[string]*ruleSet)}
	for i, m := range matchers {
		if m.hosts == nil {
			x.other.add(i)
		}
		for _, p := range m.hosts {
			if !p.below {
				setOf(x.names, p.name).add(i)
				continue
			}
			setOf(x.ends, p.name).add(i)
			for end := p.name; end != ""; end = shorterEnd(end) {
				setOf(x.ends, end)
			}
		}
	}
	for _, end := range slices.SortedFunc(maps.Keys(x.ends), shortestFirst) {
		x.ends[end].join(x.below([]byte(shorterEnd(end))))
	}
	for name, set := range x.names {
		set.join(x.below([]byte(name)))
	}
	return x
}

// shorterEnd cuts the first label off: .com of .example.com, nothing of .com.
func shorterEnd(end string) string {
	if dot := strings.IndexByte(end[1:], '.'); dot >= 0 {
		return end[1+dot:]
	}
	return ""
}

// below returns the set of the longest known end of a name.
func (x *hostIndex) below(name []byte) *ruleSet {
	set := &x.other
	for dot := len(name) - 1; dot >= 0; dot-- {
		if name[dot] != '.' {
			continue
		}
		longer, ok := x.ends[string(name[dot:])]
		if !ok {
			break
		}
		set = longer
	}
	return set
}

func (x *hostIndex) strike(left *ruleSet, host string) {
	if len(host) > maxHost {
		return
	}
	var buf [maxHost]byte
	for i := range len(host) {
		buf[i] = lower(host[i])
	}
	name := buf[:len(host)]
	if set, ok := x.names[string(name)]; ok {
		left.keep(set)
		return
	}
	left.keep(x.below(name))
}
