package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"overtake/gateway/keyed"
)

// hits counts how often each rule decided.
type hits struct {
	keyed.Values[string, *atomic.Uint64]
}

func (h *hits) add(rule string) {
	h.Of(rule, func(string) *atomic.Uint64 { return new(atomic.Uint64) }).Add(1)
}

// count returns how often the rule decided.
func (h *hits) count(rule string) uint64 {
	if n, ok := h.All()[rule]; ok {
		return n.Load()
	}
	return 0
}

// failures counts what got no good answer, since the start, in the last 15 minutes and
// in the last one. Its keys are without numbers.
type failures struct {
	keyed.Values[Failure, *failureCount]
	turning sync.Mutex // of who reads and writes the rings
}

// failureCount is one counter, and what it was at the end of each step.
type failureCount struct {
	n    atomic.Uint64
	was  [steps + 1]uint64 // at the end of the steps, 0 before the first; guarded by failures.turning
	next int               // position in was, of the oldest; guarded by failures.turning
}

func (s *failures) add(what Failure) {
	what.Total, what.Recent, what.Minute = 0, 0, 0
	s.Of(what, func(Failure) *failureCount { return new(failureCount) }).n.Add(1)
}

// turn ends a step.
func (s *failures) turn() {
	s.turning.Lock()
	defer s.turning.Unlock()
	for _, c := range s.All() {
		c.turnLocked()
	}
}

// turnLocked is called with failures.turning held.
func (c *failureCount) turnLocked() {
	c.was[c.next] = c.n.Load()
	c.next = (c.next + 1) % len(c.was)
}

// beforeLocked returns what it was that many steps before the present one. Called with
// failures.turning held.
func (c *failureCount) beforeLocked(n int) uint64 {
	return c.was[(c.next-1-n+2*len(c.was))%len(c.was)]
}

// list returns all that failed, with its numbers, what is worst of late first.
func (s *failures) list() []Failure {
	s.turning.Lock()
	defer s.turning.Unlock()
	list := []Failure{}
	for f, c := range s.All() {
		f.Total = c.n.Load()
		f.Recent, f.Minute = f.Total-c.beforeLocked(steps), f.Total-c.beforeLocked(stepsPerMinute)
		list = append(list, f)
	}
	slices.SortFunc(list, compareFailures)
	return list
}

// compareFailures puts what has failed of late before what has not, and of that what is
// no client's fault first.
func compareFailures(a, b Failure) int {
	return cmp.Or(cmp.Compare(min(b.Recent, 1), min(a.Recent, 1)), cmp.Compare(kindRank(a.Kind), kindRank(b.Kind)),
		cmp.Compare(b.Recent, a.Recent), cmp.Compare(b.Total, a.Total), strings.Compare(a.Upstream, b.Upstream),
		strings.Compare(a.Queue, b.Queue), strings.Compare(a.Listener, b.Listener), strings.Compare(a.Class, b.Class),
		strings.Compare(a.Reason, b.Reason), cmp.Compare(a.Status, b.Status))
}

func kindRank(kind string) int { return slices.Index([]string{Failed, Refused, Client}, kind) }
