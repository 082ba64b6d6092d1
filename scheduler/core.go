package scheduler

import (
	"math"
	"slices"
	"time"

	"overtake/classifier"
)

// core is the scheduler's state machine. Its methods are never called
// concurrently. Time is an argument, measured from any fixed instant, and never
// goes backwards.
//
// Each call may decide the fate of any number of tickets; they are appended to
// decided, for the caller to read and to empty.
type core struct {
	limit   int
	running int // slots in use
	seq     uint64
	classes []classState
	configs []ClassConfig

	// What waits in all classes together, without kept work; bounds as sums.
	bounded    int
	bytes      int64
	maxWaiting int
	maxBytes   int64
	waiting    int // with kept work

	anyFloor bool
	draining bool
	decided  []*ticket
}

// classState is one class's part of the core.
type classState struct {
	reserve    int
	floor      BasisPoints
	maxWaiting int
	maxBytes   int64
	maxWait    time.Duration

	running int
	waiting list // all that wait, in order of arrival
	flows   flows
	bounded int         // of those, the ones that count towards maxWaiting
	bytes   int64       // of the bounded ones
	credit  BasisPoints // in the unit of price

	counts Counts
}

// Counts are a class's totals since the start.
type Counts struct {
	// Dispatched is how many got a slot.
	Dispatched uint64
	// Queued is how many of them found no free slot when they came, or
	// something waiting.
	Queued uint64
	// Overtakes is how many were dispatched before something that came earlier.
	Overtakes uint64
	// Withdrawn is how many left while they waited.
	Withdrawn uint64
	// WorstWait is the longest wait of a dispatched one.
	WorstWait time.Duration
	// Shed is how many were refused, by [Reason].
	Shed [numReasons]uint64
}

// unbounded and forever are bounds that are never met. They may be summed, over
// all classes and to any time, without overflow.
const (
	unbounded = math.MaxInt64 / (2 * classifier.MaxClasses)
	forever   = math.MaxInt64 / 2 * time.Nanosecond
)

func newCore(cfg Config) *core {
	c := &core{classes: make([]classState, len(cfg.Classes)), configs: slices.Clone(cfg.Classes)}
	for i, cc := range cfg.Classes {
		class := classState{
			floor: cc.Floor, maxWaiting: min(cc.MaxWaiting, math.MaxInt32),
			maxBytes: min(cc.MaxWaitingBytes, unbounded), maxWait: min(cc.MaxWait, forever),
			flows: flows{byKey: make(map[uint64]*flowQueue)},
		}
		if class.maxBytes == 0 {
			class.maxBytes = unbounded
		}
		c.classes[i] = class
		c.maxWaiting += class.maxWaiting
		c.maxBytes += class.maxBytes
		c.anyFloor = c.anyFloor || class.floor > 0
	}
	c.resize(cfg.Limit)
	return c
}

// resize changes the number of slots. Running work keeps its slots. If anything
// waits, dispatch must follow.
func (c *core) resize(limit int) {
	c.limit = limit
	for i, reserve := range reserves(c.configs, limit) {
		c.classes[i].reserve = reserve
	}
}

// startNow takes a slot for class if nothing at all waits and one is free for
// it. It is the way of all work as long as there is no contention.
func (c *core) startNow(class int) bool {
	if c.waiting > 0 || c.draining || !c.open(class) {
		return false
	}
	c.start(class)
	return true
}

// arrive brings new work, which starts, waits or is shed.
func (c *core) arrive(t *ticket, now time.Duration) {
	c.seq++
	t.seq, t.arrived, t.state = c.seq, now, idle
	class := &c.classes[t.class]
	t.late = Deadline
	if class.maxWait > 0 && !t.kept {
		if until := now + class.maxWait; t.expires == 0 || until < t.expires {
			t.expires, t.late = until, MaxWait
		}
	}
	switch {
	case c.draining:
		c.decide(t, Draining, now)
		return
	case t.expired(now):
		c.decide(t, t.late, now)
		return
	}
	c.enqueue(t)
	c.dispatch(now)
	if t.state == waiting && !t.kept {
		c.fit(t, now)
	}
}

// release gives a slot of class back. If anything waits, dispatch must follow.
func (c *core) release(class int) {
	if c.classes[class].running == 0 {
		panic("scheduler: slot released twice")
	}
	c.running--
	c.classes[class].running--
}

// withdraw takes t out because whoever waited for it has left. It reports false
// if t's fate had been decided before.
func (c *core) withdraw(t *ticket) bool {
	if t.state != waiting {
		return false
	}
	c.dequeue(t)
	t.state = idle
	c.classes[t.class].counts.Withdrawn++
	// Nothing that could start was kept back by t: there is nothing to dispatch.
	return true
}

// expire sheds t if its time is up, and reports whether it did.
func (c *core) expire(t *ticket, now time.Duration) bool {
	if t.state != waiting || !t.expired(now) {
		return false
	}
	c.shed(t, t.late, now)
	return true
}

// drain sheds what waits and refuses what comes.
func (c *core) drain(now time.Duration) {
	c.draining = true
	for i := range c.classes {
		for t := c.classes[i].waiting.head; t != nil; t = c.classes[i].waiting.head {
			c.shed(t, Draining, now)
		}
	}
}

// dispatch hands out free slots until none is free for what waits.
func (c *core) dispatch(now time.Duration) {
	for {
		i := c.pick()
		if i < 0 {
			return
		}
		class := &c.classes[i]
		t := class.flows.first()
		if t.expired(now) {
			c.shed(t, t.late, now)
			continue
		}
		c.earn(i)
		class.flows.advance()
		c.dequeue(t)
		c.start(i)
		c.count(t, now)
		c.decide(t, 0, now)
	}
}

// pick returns the class whose turn it is, or -1 when no free slot may be used
// by any class that waits.
func (c *core) pick() int {
	if c.running >= c.limit || c.waiting == 0 {
		return -1
	}
	if i := c.owed(); i >= 0 {
		return i
	}
	for i := range c.classes {
		if c.classes[i].waiting.n > 0 {
			// Less urgent classes see at least the reserves that this one
			// sees: if it may not start, neither may they.
			if c.open(i) {
				return i
			}
			return -1
		}
	}
	return -1
}

// open reports whether a slot is free that class may take in class order.
func (c *core) open(class int) bool {
	free := c.limit - c.running
	for i := range class {
		free -= c.classes[i].unfilled()
	}
	return free > 0
}

// start takes a slot.
func (c *core) start(class int) {
	c.running++
	c.classes[class].running++
	c.classes[class].counts.Dispatched++
}

// count books how t waited, just after it left the lists.
func (c *core) count(t *ticket, now time.Duration) {
	counts := &c.classes[t.class].counts
	counts.Queued++
	counts.WorstWait = max(counts.WorstWait, now-t.arrived)
	for i := range c.classes {
		if first := c.classes[i].waiting.head; first != nil && first.seq < t.seq {
			counts.Overtakes++
			return
		}
	}
}

func (c *core) enqueue(t *ticket) {
	class := &c.classes[t.class]
	t.state = waiting
	class.waiting.push(t, byClass)
	class.flows.push(t)
	c.waiting++
	if !t.kept {
		class.bounded++
		class.bytes += t.bytes
		c.bounded++
		c.bytes += t.bytes
	}
}

func (c *core) dequeue(t *ticket) {
	class := &c.classes[t.class]
	class.waiting.remove(t, byClass)
	class.flows.remove(t)
	c.waiting--
	if !t.kept {
		class.bounded--
		class.bytes -= t.bytes
		c.bounded--
		c.bytes -= t.bytes
	}
	if class.waiting.n == 0 {
		class.credit = 0
	}
}

// shed removes t from the lists and refuses it.
func (c *core) shed(t *ticket, reason Reason, now time.Duration) {
	c.dequeue(t)
	c.decide(t, reason, now)
}

// decide settles t's fate: started, or shed with a reason.
func (c *core) decide(t *ticket, reason Reason, now time.Duration) {
	t.state, t.decided = started, now
	if reason != 0 {
		t.state, t.reason = shed, reason
		c.classes[t.class].counts.Shed[reason]++
	}
	c.decided = append(c.decided, t)
}
