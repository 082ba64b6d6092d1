package scheduler

import (
	"slices"
	"time"
)

// oracle is what doc.go says, in the most naive way: one slice of all that
// waits, one of all that runs, and every question answered by looking through
// them. Where it and the core differ, one of them is wrong.
type oracle struct {
	cfg      Config
	limit    int
	now      time.Duration
	arrivals int
	waiting  []*job // in order of arrival
	running  []slot // in order of start
	draining bool

	events   int      // so far
	lastTurn []turns  // per class
	earned   []int    // per class, in 1/100,000 of a dispatch
	counts   []Counts // per class
	fates    []fate   // of the last op
}

// turns says when each waiting flow began to wait or was served last, whichever
// was later, as a number of events.
type turns map[uint64]int

// job is one piece of work.
type job struct {
	op
	id      int
	arrived time.Duration
	expires time.Duration // 0 for never
	late    Reason        // when it expires
}

func newOracle(cfg Config) *oracle {
	o := &oracle{
		cfg: cfg, limit: cfg.Limit, now: time.Hour,
		lastTurn: make([]turns, len(cfg.Classes)), earned: make([]int, len(cfg.Classes)), counts: make([]Counts, len(cfg.Classes)),
	}
	for i := range o.lastTurn {
		o.lastTurn[i] = make(turns)
	}
	return o
}

// apply predicts what do does.
func (o *oracle) apply(do op) []fate {
	o.fates = nil
	switch do.kind {
	case opTry:
		o.arrivals++
		if len(o.waiting) == 0 && !o.draining && o.mayStart(do.class) {
			o.start(do.class, o.arrivals)
		}
	case opArrive:
		o.arrive(do)
	case opRelease:
		if n := len(o.running); n > 0 {
			o.running = slices.Delete(o.running, do.which%n, do.which%n+1)
			o.dispatch()
		}
	case opWithdraw:
		if n := len(o.waiting); n > 0 {
			j := o.waiting[do.which%n]
			o.counts[j.class].Withdrawn++
			o.remove(j)
		}
	case opAdvance:
		o.now += do.by
	case opExpire:
		for _, j := range slices.Clone(o.waiting) {
			if o.expired(j) {
				o.shed(j, j.late)
			}
		}
	case opResize:
		o.limit = do.limit
		o.dispatch()
	case opDrain:
		o.draining = true
		for class := range o.cfg.Classes {
			for _, j := range o.of(class) {
				o.shed(j, Draining)
			}
		}
	}
	return o.fates
}

func (o *oracle) arrive(do op) {
	o.arrivals++
	j := &job{op: do, id: o.arrivals, arrived: o.now, late: Deadline}
	if do.until != 0 {
		j.expires = o.now + do.until
	}
	if wait := o.cfg.Classes[j.class].MaxWait; wait > 0 && !j.kept && (j.expires == 0 || o.now+wait < j.expires) {
		j.expires, j.late = o.now+wait, MaxWait
	}
	if o.draining {
		o.shed(j, Draining)
		return
	}
	if o.expired(j) {
		o.shed(j, j.late)
		return
	}
	o.waiting = append(o.waiting, j)
	if _, known := o.lastTurn[j.class][j.flow]; !known {
		o.lastTurn[j.class][j.flow] = o.event()
	}
	o.dispatch()
	if slices.Contains(o.waiting, j) && !j.kept {
		o.makeRoom(j)
	}
}

// makeRoom is the section "The waiting room" of doc.go.
func (o *oracle) makeRoom(j *job) {
	class := o.cfg.Classes[j.class]
	var all, own, below []*job // without kept work; below from the first to go
	var maxAll int
	var maxAllBytes int64
	for i := len(o.cfg.Classes) - 1; i >= 0; i-- {
		bounded := slices.DeleteFunc(o.of(i), func(j *job) bool { return j.kept })
		all = append(all, bounded...)
		if i == j.class {
			own = bounded
		}
		if i > j.class {
			slices.Reverse(bounded)
			below = append(below, bounded...)
		}
		maxAll += o.cfg.Classes[i].MaxWaiting
		maxAllBytes += o.maxBytes(i)
	}
	full := len(own) > class.MaxWaiting || len(all) > maxAll
	fullOfBytes := j.bytes > 0 && (bytesOf(own) > o.maxBytes(j.class) || bytesOf(all) > maxAllBytes)
	switch {
	case j.bytes > o.maxBytes(j.class):
		o.shed(j, QueueBytes)
		return
	case !full && !fullOfBytes:
		return
	case class.MaxWaiting == 0:
		o.shed(j, QueueFull)
		return
	}
	for n := 1; n <= len(below); n++ {
		if !fullOfBytes || bytesOf(below[:n]) >= j.bytes {
			for _, victim := range below[:n] {
				o.shed(victim, Displaced)
			}
			return
		}
	}
	if full {
		o.shed(j, QueueFull)
	} else {
		o.shed(j, QueueBytes)
	}
}

// dispatch is the section "The order" of doc.go.
func (o *oracle) dispatch() {
	for len(o.running) < o.limit {
		class := o.owed()
		if class < 0 {
			class = o.mostUrgent()
			if class < 0 || !o.mayStart(class) {
				return
			}
		}
		j := o.nextOf(class)
		if o.expired(j) {
			o.shed(j, j.late)
			continue
		}
		o.earn(class)
		o.lastTurn[class][j.flow] = o.event()
		o.remove(j)
		o.start(class, j.id)
		counts := &o.counts[class]
		counts.Queued++
		counts.WorstWait = max(counts.WorstWait, o.now-j.arrived)
		if len(o.waiting) > 0 && o.waiting[0].id < j.id {
			counts.Overtakes++
		}
	}
}

// owed returns the class that has earned a dispatch and would be the first to
// have earned two, or -1.
func (o *oracle) owed() int {
	best, soonest := -1, 0.0
	for i, class := range o.cfg.Classes {
		rate := 11 * int(class.Floor)
		if len(o.of(i)) == 0 || o.earned[i]+rate < 100_000 {
			continue
		}
		if dispatches := float64(200_000-o.earned[i]) / float64(rate); best < 0 || dispatches < soonest {
			best, soonest = i, dispatches
		}
	}
	return best
}

func (o *oracle) earn(got int) {
	for i, class := range o.cfg.Classes {
		if len(o.of(i)) > 0 {
			o.earned[i] += 11 * int(class.Floor)
		}
	}
	o.earned[got] = max(0, o.earned[got]-100_000)
}

func (o *oracle) mostUrgent() int {
	for i := range o.cfg.Classes {
		if len(o.of(i)) > 0 {
			return i
		}
	}
	return -1
}

// mayStart is the inequality of the class order.
func (o *oracle) mayStart(k int) bool {
	sum, left := 0, o.limit-1
	for i := range k {
		class := o.cfg.Classes[i]
		reserve := class.Reserve
		if reserve == 0 {
			for reserve*10_000 < o.limit*int(class.ReserveShare) {
				reserve++
			}
		}
		reserve = min(reserve, left)
		left -= reserve
		sum += max(0, reserve-o.runningOf(i))
	}
	return o.limit-len(o.running) > sum
}

// nextOf returns the first of the flow whose last turn is the longest ago.
func (o *oracle) nextOf(class int) *job {
	var next *job
	for _, j := range o.of(class) {
		if next == nil || o.lastTurn[class][j.flow] < o.lastTurn[class][next.flow] {
			next = j
		}
	}
	return next
}

// of returns what waits in class, in order of arrival.
func (o *oracle) of(class int) []*job {
	var jobs []*job
	for _, j := range o.waiting {
		if j.class == class {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

func (o *oracle) runningOf(class int) int {
	n := 0
	for _, s := range o.running {
		if s.class == class {
			n++
		}
	}
	return n
}

func (o *oracle) maxBytes(class int) int64 {
	if o.cfg.Classes[class].MaxWaitingBytes == 0 {
		return 1 << 50
	}
	return o.cfg.Classes[class].MaxWaitingBytes
}

func bytesOf(jobs []*job) int64 {
	sum := int64(0)
	for _, j := range jobs {
		sum += j.bytes
	}
	return sum
}

// event numbers what gives or begins a flow's turn.
func (o *oracle) event() int {
	o.events++
	return o.events
}

func (o *oracle) expired(j *job) bool { return j.expires != 0 && o.now >= j.expires }

func (o *oracle) start(class, id int) {
	o.running = append(o.running, slot{id, class})
	o.counts[class].Dispatched++
	o.fates = append(o.fates, fate{id: id})
}

func (o *oracle) shed(j *job, reason Reason) {
	o.remove(j)
	o.counts[j.class].Shed[reason]++
	o.fates = append(o.fates, fate{j.id, reason})
}

// remove takes j out, if it is in, and ends waits that end with it.
func (o *oracle) remove(j *job) {
	o.waiting = slices.DeleteFunc(o.waiting, func(other *job) bool { return other == j })
	rest := o.of(j.class)
	if len(rest) == 0 {
		o.earned[j.class] = 0
	}
	if !slices.ContainsFunc(rest, func(other *job) bool { return other.flow == j.flow }) {
		delete(o.lastTurn[j.class], j.flow)
	}
}
