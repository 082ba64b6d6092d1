package waterfall

import (
	"slices"
	"time"
)

// interval is a stretch of time.
type interval struct{ from, to time.Time }

// within returns the part of i that is inside of bounds, which may be nothing.
func (i interval) within(bounds interval) interval {
	if i.from.Before(bounds.from) {
		i.from = bounds.from
	}
	if i.to.After(bounds.to) {
		i.to = bounds.to
	}
	return i
}

// union returns the same stretches without overlaps, in their order. It reorders
// list.
func union(list []interval) []interval {
	slices.SortFunc(list, func(a, b interval) int { return a.from.Compare(b.from) })
	var merged []interval
	for _, i := range list {
		switch last := len(merged) - 1; {
		case !i.from.Before(i.to):
		case last < 0 || merged[last].to.Before(i.from):
			merged = append(merged, i)
		case merged[last].to.Before(i.to):
			merged[last].to = i.to
		}
	}
	return merged
}

// covered is how long the union of list is.
func covered(list []interval) (sum time.Duration) {
	for _, i := range union(list) {
		sum += i.to.Sub(i.from)
	}
	return sum
}
