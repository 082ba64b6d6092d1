package scheduler

import "time"

// Snapshot is the state of a scheduler at one instant.
type Snapshot struct {
	Limit   int
	Running int
	Classes []ClassSnapshot // most urgent first
}

// ClassSnapshot is one class's part of a snapshot.
type ClassSnapshot struct {
	Counts
	Running int
	Waiting int
	// WaitingBytes is the sum of Work.Bytes that wait, without kept work.
	WaitingBytes int64
	// Oldest is how long the earliest arrival that still waits has waited.
	Oldest time.Duration
	// Reserve is the number of slots now kept from less urgent classes.
	Reserve int
}

// ShedBy returns how many were shed for reason.
func (c *Counts) ShedBy(reason Reason) uint64 { return c.Shed[reason] }

// Snapshot returns the present state. It costs one lock and one allocation.
func (s *Scheduler) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	snap := Snapshot{Limit: s.core.limit, Running: s.core.running, Classes: make([]ClassSnapshot, len(s.core.classes))}
	for i := range s.core.classes {
		class := &s.core.classes[i]
		snap.Classes[i] = ClassSnapshot{
			Counts: class.counts, Running: class.running, Waiting: class.waiting.n,
			WaitingBytes: class.bytes, Reserve: class.reserve,
		}
		if first := class.waiting.head; first != nil {
			snap.Classes[i].Oldest = now - first.arrived
		}
	}
	return snap
}
