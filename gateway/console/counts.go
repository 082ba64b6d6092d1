package console

import (
	"maps"
	"sync"
	"sync/atomic"
)

// counts are counters by a key of which there are few, as the configuration has it.
// To count takes no lock and allocates nothing, but for a new key.
type counts[K comparable] struct {
	known atomic.Pointer[map[K]*count] // replaced, never changed
	mu    sync.Mutex                   // of who replaces it, and of the rings
}

// count is one counter, and what it was at the end of each step.
type count struct {
	n    atomic.Uint64
	was  [steps + 1]uint64 // at the end of the steps, 0 before the first; guarded by counts.mu
	next int               // position in was, of the oldest; guarded by counts.mu
}

func newCounts[K comparable]() *counts[K] {
	c := &counts[K]{}
	c.known.Store(&map[K]*count{})
	return c
}

func (c *counts[K]) add(key K) {
	if n, ok := (*c.known.Load())[key]; ok {
		n.n.Add(1)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(*c.known.Load())
	if known[key] == nil {
		known[key] = new(count)
	}
	known[key].n.Add(1)
	c.known.Store(&known)
}

// of returns what was counted under key.
func (c *counts[K]) of(key K) uint64 {
	if n, ok := (*c.known.Load())[key]; ok {
		return n.n.Load()
	}
	return 0
}

// turn ends a step.
func (c *counts[K]) turn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range *c.known.Load() {
		n.was[n.next] = n.n.Load()
		n.next = (n.next + 1) % len(n.was)
	}
}

// each calls f with all counters: what they are, and how much of it is of the last 15
// minutes.
func (c *counts[K]) each(f func(key K, total, recent uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range *c.known.Load() {
		total := n.n.Load()
		f(key, total, total-n.was[n.next])
	}
}

// keep forgets the keys that keep is not true of.
func (c *counts[K]) keep(keep func(K) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(*c.known.Load())
	maps.DeleteFunc(known, func(key K, _ *count) bool { return !keep(key) })
	c.known.Store(&known)
}
