package scheduler

import "time"

// Snapshot is the state of a scheduler at one instant.
type Snapshot struct {
	Limit   int // of all servers that are in use
	Running int
	Servers []ServerSnapshot
	Classes []ClassSnapshot // most urgent first
}

// ServerSnapshot is one server's part of a snapshot.
type ServerSnapshot struct {
	Limit   int
	Running int
	Down    bool
	// Probing says that the adaptive limit holds back work for a moment, to
	// measure how long it takes without a queue.
	Probing bool
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
	// Reserve is the number of slots now kept from less urgent classes. An
	// automatic one may be a fraction: a slot in use that will soon be free
	// counts as part of one.
	Reserve float64
	// Auto says why an automatic reserve is what it is; nil for a fixed one.
	Auto *AutoReserve
	// Newest says that the class is overloaded and serves the newest first.
	Newest bool
}

// AutoReserve is why an automatic reserve is what it is.
type AutoReserve struct {
	Objective time.Duration
	// Over is the share of the last thousand or so that waited for longer than
	// the objective. Below 1 % the reserve shrinks, above it grows.
	Over float64
	// ArrivalRate is in work per second, MeanTime how long it holds a slot, and
	// Demand their product, the mean number of slots in use.
	ArrivalRate float64
	MeanTime    time.Duration
	Demand      float64
	// Most bounds the reserve: more than the class ever uses at once.
	Most float64
}

// ShedBy returns how many were shed for reason.
func (c *Counts) ShedBy(reason Reason) uint64 { return c.Shed[reason] }

// Snapshot returns the present state. It takes one lock and a few allocations.
func (s *Scheduler) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.snapshot(s.now())
}

func (c *core) snapshot(now time.Duration) Snapshot {
	snap := Snapshot{
		Limit: c.limit, Running: c.running,
		Servers: make([]ServerSnapshot, len(c.servers)), Classes: make([]ClassSnapshot, len(c.classes)),
	}
	for i := range c.servers {
		s := &c.servers[i]
		snap.Servers[i] = ServerSnapshot{Limit: s.limit, Running: s.running, Down: s.down, Probing: i == c.prober}
	}
	for i := range c.classes {
		class := &c.classes[i]
		snap.Classes[i] = ClassSnapshot{
			Counts: class.counts, Running: class.running, Waiting: class.waiting.n, WaitingBytes: class.bytes,
			Reserve: float64(class.reserve) / unit, Newest: class.overload.newest,
		}
		if first := class.waiting.head; first != nil {
			snap.Classes[i].Oldest = now - first.arrived
		}
		if a := class.auto; a != nil {
			snap.Classes[i].Auto = &AutoReserve{
				Objective: a.objective, Over: a.over, ArrivalRate: a.arrivals,
				MeanTime: class.durations.mean(), Demand: a.demand, Most: a.most,
			}
		}
	}
	return snap
}
