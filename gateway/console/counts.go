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

// sheds counts what was shed, since the start and in the last 15 minutes. Its keys are
// without numbers.
type sheds struct {
	keyed.Values[Shed, *shedCount]
	turning sync.Mutex // of who reads and writes the rings
}

// shedCount is one counter, and what it was at the end of each step.
type shedCount struct {
	n    atomic.Uint64
	was  [steps + 1]uint64 // at the end of the steps, 0 before the first; guarded by sheds.turning
	next int               // position in was, of the oldest; guarded by sheds.turning
}

func (s *sheds) add(what Shed) {
	s.Of(what, func(Shed) *shedCount { return new(shedCount) }).n.Add(1)
}

// turn ends a step.
func (s *sheds) turn() {
	s.turning.Lock()
	defer s.turning.Unlock()
	for _, c := range s.All() {
		c.turnLocked()
	}
}

// turnLocked is called with sheds.turning held.
func (c *shedCount) turnLocked() {
	c.was[c.next] = c.n.Load()
	c.next = (c.next + 1) % len(c.was)
}

// list returns all that was shed, with its numbers, what is worst of late first.
func (s *sheds) list() []Shed {
	s.turning.Lock()
	defer s.turning.Unlock()
	list := []Shed{}
	for shed, c := range s.All() {
		shed.Total = c.n.Load()
		shed.Recent = shed.Total - c.was[c.next]
		list = append(list, shed)
	}
	slices.SortFunc(list, compareSheds)
	return list
}

func compareSheds(a, b Shed) int {
	return cmp.Or(cmp.Compare(b.Recent, a.Recent), cmp.Compare(b.Total, a.Total), strings.Compare(a.Upstream, b.Upstream),
		strings.Compare(a.Queue, b.Queue), strings.Compare(a.Class, b.Class), strings.Compare(a.Reason, b.Reason))
}
