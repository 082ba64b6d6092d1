package console

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// slowPerMinute is how many of each class are kept of each minute.
	slowPerMinute = 4
	// slowMinutes is for how many minutes, the present one included.
	slowMinutes = 15
	// slowShown is how many of each class are shown.
	slowShown = 10
)

// slowest are the slowest pieces of work of each class in each of the last minutes.
type slowest struct {
	classes []slowClass
}

type slowClass struct {
	// least is what work must have taken longer than to be kept: it spares the lock
	// for all that is not slow. It is changed with mu held.
	least atomic.Int64

	mu      sync.Mutex
	minutes [slowMinutes][]slowWork // guarded by mu
	present int                     // position in minutes; guarded by mu
}

type slowWork struct {
	took time.Duration
	Slow
}

func newSlowest(classes int) *slowest {
	s := &slowest{classes: make([]slowClass, classes)}
	for i := range s.classes {
		s.classes[i].least.Store(-1)
	}
	return s
}

// add keeps work if it is among the slowest still.
func (c *slowClass) add(took time.Duration, work Slow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := &c.minutes[c.present]
	at, _ := slices.BinarySearchFunc(*kept, took, func(w slowWork, took time.Duration) int { return cmp.Compare(took, w.took) })
	if at == slowPerMinute {
		return
	}
	*kept = slices.Insert(*kept, at, slowWork{took, work})
	*kept = (*kept)[:min(len(*kept), slowPerMinute)]
	if len(*kept) == slowPerMinute {
		c.least.Store(int64((*kept)[slowPerMinute-1].took))
	}
}

// turn begins a minute, and forgets the oldest.
func (s *slowest) turn() {
	for i := range s.classes {
		c := &s.classes[i]
		c.mu.Lock()
		c.present = (c.present + 1) % slowMinutes
		c.minutes[c.present] = nil
		c.least.Store(-1)
		c.mu.Unlock()
	}
}

// list returns the slowest of all minutes, at most slowShown of each class.
func (s *slowest) list() []Slow {
	var all []slowWork
	for i := range s.classes {
		c := &s.classes[i]
		c.mu.Lock()
		own := slices.Concat(c.minutes[:]...)
		c.mu.Unlock()
		slices.SortStableFunc(own, slower)
		all = append(all, own[:min(len(own), slowShown)]...)
	}
	slices.SortStableFunc(all, slower)
	shown := make([]Slow, len(all))
	for i := range all {
		shown[i] = all[i].Slow
	}
	return shown
}

func slower(a, b slowWork) int { return cmp.Compare(b.took, a.took) }
