package scheduler

import "time"

// slots is the table of slots in use. A slot is known by its index and the
// generation that the index is in, so that a slot given back twice is noticed.
type slots struct {
	table []slot
	free  []int32
}

// slot is what one unit of concurrency is used for.
type slot struct {
	generation uint32
	class      int32 // -1 when it is not in use
	server     int32
	// concurrency is how many slots of the server were in use when this one
	// was taken, itself included.
	concurrency int32
	started     time.Duration
	older       int32 // of the same class, -1 for none
	newer       int32
}

// slotID names one use of a slot.
type slotID struct {
	index      int32
	generation uint32
}

// slotQueue holds the slots in use of one class, in order of start.
type slotQueue struct{ oldest, newest int32 }

// take enters a slot into the table and at the end of q.
func (s *slots) take(q *slotQueue, use slot) slotID {
	var i int32
	if n := len(s.free); n > 0 {
		i = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		i = int32(len(s.table))
		s.table = append(s.table, slot{})
	}
	use.generation = s.table[i].generation
	use.older, use.newer = q.newest, -1
	s.table[i] = use
	if q.newest >= 0 {
		s.table[q.newest].newer = i
	} else {
		q.oldest = i
	}
	q.newest = i
	return slotID{i, use.generation}
}

// get returns the slot that id names, or false if it has been given back.
func (s *slots) get(id slotID) (slot, bool) {
	at := s.table[id.index]
	return at, at.generation == id.generation && at.class >= 0
}

// put takes a slot out of the table and of q.
func (s *slots) put(q *slotQueue, id slotID) {
	at := &s.table[id.index]
	if at.older >= 0 {
		s.table[at.older].newer = at.newer
	} else {
		q.oldest = at.newer
	}
	if at.newer >= 0 {
		s.table[at.newer].older = at.older
	} else {
		q.newest = at.older
	}
	at.class = -1
	at.generation++
	s.free = append(s.free, id.index)
}
