package scheduler

import (
	"math"
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
	servers []server
	slots   slots
	running int // slots in use
	seq     uint64
	classes []classState
	// arrivals has everything that waits.
	arrivals arrivals
	configs  []ClassConfig

	// Over all servers in use: slots, free slots, and the free slots that a
	// probe leaves to the classes it is for.
	limit       int
	free        int
	freeInProbe int
	allDown     bool // then all servers are in use
	placed      int  // the server that got work last
	prober      int  // the server that is probed, -1 for none
	probesAll   bool // and the most urgent class is not left alone

	// What waits in all classes together, without kept work; bounds as sums.
	bounded    int
	bytes      int64
	maxWaiting int
	maxBytes   int64
	waiting    int // with kept work

	anyFloor bool
	anyAuto  bool
	draining bool
	ticked   time.Duration
	decided  []*ticket
	victims  []*ticket // of one displacement; empty otherwise
	// again is in how long dispatch should be called even if nothing happens; 0
	// for not at all.
	again time.Duration
}

// classState is one class's part of the core.
type classState struct {
	reserve     int // in units
	mostReserve int
	auto        *autoReserve // nil where the reserve is fixed
	floor       BasisPoints
	maxWaiting  int
	keeps       int // of maxWaiting, that nothing displaces
	maxBytes    int64
	maxWait     time.Duration

	running   int
	using     slotQueue
	durations durations
	rate      rate
	waiting   list // all that wait, in order of arrival
	flows     flows
	overload  overload
	bounded   int         // of those, the ones that count towards maxWaiting
	bytes     int64       // of the bounded ones
	credit    BasisPoints // in the unit of price

	counts Counts
}

// idle reports whether the class has no work, waiting or running.
func (c *classState) idle() bool { return c.running == 0 && c.waiting.head == nil }

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

// tickEvery is how often what is measured is worked out.
const tickEvery = 100 * time.Millisecond

func newCore(cfg Config) *core {
	c := &core{
		classes: make([]classState, len(cfg.Classes)),
		servers: make([]server, max(cfg.Servers, 1)), prober: -1,
	}
	for i := range c.servers {
		s := &c.servers[i]
		s.own, s.ownNarrow, s.share = cfg.Limit, cfg.Limit, whole
		s.fit()
		if a := cfg.Adaptive; a != nil {
			s.limiter = newLimiter(cfg.Limit, a.Min, a.Max, len(cfg.Classes))
		}
		c.include(i, 1)
	}
	for i := range c.classes {
		c.classes[i] = classState{flows: flows{byKey: make(map[uint64]*flowQueue)}, using: slotQueue{-1, -1}}
	}
	c.bargain(cfg.Classes)
	return c
}

// tick works out what is measured over time, if it is time for it. It is called
// with whatever happens; while nothing happens, nothing has to be worked out.
func (c *core) tick(now time.Duration) {
	elapsed := now - c.ticked
	if elapsed < tickEvery {
		return
	}
	c.ticked = now
	if c.prober >= 0 {
		l := c.servers[c.prober].limiter
		if l.overdue(now, c.classes[l.main].idle()) {
			c.follow(c.prober)
		}
	}
	for i := range c.classes {
		class := &c.classes[i]
		class.rate.tick(class.counts.Dispatched, elapsed)
		if class.auto != nil {
			class.auto.tick(elapsed, class.durations.mean())
		}
	}
	if c.anyAuto {
		c.share()
	}
}

// startNow takes a slot for class if nothing at all waits and one is free for
// it. It is the way of all work as long as there is no contention.
//
// Work that is due at due, if that is not 0, has to be done then; avoid is
// [Work].Avoid.
func (c *core) startNow(class int, due time.Duration, avoid []bool, now time.Duration) (slotID, bool) {
	c.tick(now)
	if c.waiting > 0 || c.draining || due != 0 && now+c.classes[class].durations.short(now) >= due || !c.open(class, now) {
		return slotID{}, false
	}
	c.arrived(class)
	id := c.start(class, avoid, now)
	c.waited(class, 0, c.inside(id), now)
	return id, true
}

// arrive brings new work, which starts, waits or is shed.
func (c *core) arrive(t *ticket, now time.Duration) {
	c.seq++
	t.seq, t.arrived, t.state = c.seq, now, idle
	c.tick(now)
	t.facts = c.factsNow(t.class)
	t.facts.Ahead = c.ahead(t)
	class := &c.classes[t.class]
	t.expires, t.late = t.due, Deadline
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
	case t.hopeless(&class.durations, now):
		c.decide(t, Deadline, now)
		return
	}
	c.arrived(t.class)
	c.enqueue(t)
	c.dispatch(now)
	if t.state == waiting && !t.kept {
		c.fit(t, now)
	}
}

// release gives a slot back, and reports false if it was before. If anything
// waits, dispatch must follow.
func (c *core) release(id slotID, outcome Outcome, now time.Duration) bool {
	c.tick(now)
	used, ok := c.slots.get(id)
	if !ok {
		return false
	}
	class, on := &c.classes[used.class], int(used.server)
	c.slots.put(&class.using, id)
	c.running--
	class.running--
	c.alter(on, func(s *server) { s.running-- })
	if l := c.servers[on].limiter; l != nil {
		defer l.end(now)
	}
	if outcome == Done {
		c.learn(sample{
			class: int(used.class), inFlight: int(used.concurrency),
			took: now - used.started, waiting: c.waiting > 0,
		}, on, now)
	}
	return true
}

// serverOf returns the server of a slot in use.
func (c *core) serverOf(id slotID) int { return int(c.slots.table[id.index].server) }

// inside is how long the work that has just been given the slot will wait inside
// the server, as far as its limiter knows.
func (c *core) inside(id slotID) time.Duration {
	used := &c.slots.table[id.index]
	if l := c.servers[used.server].limiter; l != nil {
		return l.inside(int(used.concurrency))
	}
	return 0
}

// learn takes in how long a piece of work took.
func (c *core) learn(s sample, on int, now time.Duration) {
	c.classes[s.class].durations.add(s.took, now)
	l := c.servers[on].limiter
	if l != nil && l.observe(s, now, c.mayProbe(on)) {
		c.follow(on)
	}
}

// mayProbe reports whether a probe of the server may begin: there is one at a time,
// and none where the limit is not what bounds the server.
func (c *core) mayProbe(on int) bool {
	return c.prober < 0 && !c.servers[on].down && c.servers[on].share == whole
}

// follow does what a server's limiter has come to.
func (c *core) follow(on int) {
	l := c.servers[on].limiter
	switch {
	case l.probing:
		c.prober, c.probesAll = on, l.probesAll
	case c.prober == on:
		c.prober, c.probesAll = -1, false
	}
	c.resize(on, l.slots(), l.narrow())
}

// withdraw takes t out because whoever waited for it has left. It reports false
// if t's fate had been decided before.
func (c *core) withdraw(t *ticket) bool {
	if t.state != waiting {
		return false
	}
	c.dequeue(t, false)
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

// lookAgain is how long a slot may stay free for an automatic reserve or a probe
// until it is looked at again whether it has to.
const lookAgain = 2 * time.Millisecond

// dispatch hands out free slots until none is free for what waits.
func (c *core) dispatch(now time.Duration) {
	c.again = 0
	if c.waiting == 0 {
		return
	}
	for i := range c.classes {
		c.classes[i].watch(now)
	}
	for {
		i := c.pick(now)
		if i < 0 {
			if c.free > 0 && c.waiting > 0 && (c.anyAuto || c.prober >= 0) {
				c.again = lookAgain // automatic reserves and probes end by themselves
			}
			return
		}
		class := &c.classes[i]
		class.watch(now)
		t := class.flows.first(class.overload.newest)
		switch {
		case t.expired(now):
			c.shed(t, t.late, now)
			continue
		case t.hopeless(&class.durations, now):
			c.shed(t, Deadline, now)
			continue
		}
		c.earn(i)
		class.flows.advance()
		c.dequeue(t, true)
		c.count(t, now)
		t.slot = c.start(i, t.avoid, now)
		t.server = c.serverOf(t.slot)
		c.waited(i, now-t.arrived, c.inside(t.slot), now)
		c.decide(t, 0, now)
	}
}

// pick returns the class whose turn it is, or -1 when no free slot may be used
// by any class that waits.
func (c *core) pick(now time.Duration) int {
	if c.free <= 0 || c.waiting == 0 {
		return -1
	}
	if i := c.owed(); i >= 0 {
		return i
	}
	for i := range c.classes {
		if c.classes[i].waiting.n > 0 {
			// Less urgent classes see at least the reserves that this one
			// sees: if it may not start, neither may they.
			if c.open(i, now) {
				return i
			}
			return -1
		}
	}
	return -1
}

// start takes a slot. There must be room for the class.
func (c *core) start(class int, avoid []bool, now time.Duration) slotID {
	on := c.place(class, avoid)
	c.alter(on, func(s *server) { s.running++ })
	if l := c.servers[on].limiter; l != nil {
		l.begin(now)
	}
	c.running++
	state := &c.classes[class]
	state.running++
	state.counts.Dispatched++
	return c.slots.take(&state.using, slot{
		class: int32(class), server: int32(on), concurrency: int32(c.servers[on].running), started: now,
	})
}

// count books how t waited, just after it left the lists.
func (c *core) count(t *ticket, now time.Duration) {
	counts := &c.classes[t.class].counts
	counts.Queued++
	counts.WorstWait = max(counts.WorstWait, now-t.arrived)
	if t.facts.Overtaking > 0 {
		counts.Overtakes++
	}
}

func (c *core) enqueue(t *ticket) {
	class := &c.classes[t.class]
	t.state = waiting
	c.number(t)
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

func (c *core) dequeue(t *ticket, dispatched bool) {
	class := &c.classes[t.class]
	c.arrivals.leave(t, dispatched)
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
		class.overload.see(0, 0)
	}
}

// shed removes t from the lists and refuses it.
func (c *core) shed(t *ticket, reason Reason, now time.Duration) {
	c.dequeue(t, false)
	c.decide(t, reason, now)
}

// decide settles t's fate: started, or shed with a reason.
func (c *core) decide(t *ticket, reason Reason, now time.Duration) {
	t.state, t.decided = started, now
	if reason != 0 {
		t.state, t.reason = shed, reason
		c.classes[t.class].counts.Shed[reason]++
		if reason == MaxWait {
			c.waited(t.class, now-t.arrived, 0, now)
		}
	}
	c.decided = append(c.decided, t)
}
