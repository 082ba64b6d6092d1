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
	servers  []place
	all      bool // a probe is for all classes
	placed   int  // the server that got work last
	now      time.Duration
	arrivals int
	waiting  []*job // in order of arrival
	running  []use  // in order of start
	draining bool

	events   int     // so far
	lastTurn []turns // per class
	lengthAt []turns // per class: when each flow came to its length
	past     []past  // per class
	missed   []time.Duration
	newest   []bool
	earned   []int    // per class, in 1/100,000 of a dispatch
	counts   []Counts // per class
	fates    []fate   // of the last op
}

// turns says when each waiting flow began to wait or was served last, whichever
// was later, as a number of events.
type turns map[uint64]int

// past is how long the work of a class held its slots, and when the last one was
// given back.
type past struct {
	durations []time.Duration
	latest    time.Duration
}

// job is one piece of work.
type job struct {
	op
	id      int
	arrived time.Duration
	due     time.Duration // 0 for whenever
	expires time.Duration // 0 for never
	late    Reason        // when it expires
	wait    Wait
}

func newOracle(cfg Config) *oracle {
	o := &oracle{
		cfg: cfg, now: time.Hour,
		lastTurn: make([]turns, len(cfg.Classes)), lengthAt: make([]turns, len(cfg.Classes)),
		past: make([]past, len(cfg.Classes)), missed: make([]time.Duration, len(cfg.Classes)), newest: make([]bool, len(cfg.Classes)),
		earned: make([]int, len(cfg.Classes)), counts: make([]Counts, len(cfg.Classes)),
	}
	for i := range o.lastTurn {
		o.lastTurn[i], o.lengthAt[i] = make(turns), make(turns)
	}
	for i := range max(cfg.Servers, 1) {
		o.servers = append(o.servers, newPlace(i, cfg.Limit))
	}
	return o
}

// apply predicts what do does.
func (o *oracle) apply(do op) []fate {
	o.fates = nil
	switch do.kind {
	case opTry:
		o.arrivals++
		hopeless := do.until != 0 && do.until <= o.short(do.class)
		if len(o.waiting) == 0 && !o.draining && !hopeless && o.mayStart(do.class) {
			o.start(&job{op: do, id: o.arrivals, wait: o.facts(do.class)})
		}
	case opArrive:
		o.arrive(do)
	case opRelease:
		if n := len(o.running); n > 0 {
			o.release(do.which%n, do.how)
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
		o.all = do.all
		fallthrough
	case opShare, opDown:
		o.servers[do.place.which%len(o.servers)].book(do)
		o.dispatch()
	case opReconfigure:
		o.reconfigure(do.classes)
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
	j := &job{op: do, id: o.arrivals, arrived: o.now, late: Deadline, wait: o.facts(do.class)}
	j.wait.Ahead = o.ahead(j)
	if do.until != 0 {
		j.due = o.now + do.until
		j.expires = j.due
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
	if o.hopeless(j) {
		o.shed(j, Deadline)
		return
	}
	o.waiting = append(o.waiting, j)
	if !j.kept {
		o.lengthAt[j.class][j.flow] = o.event()
	}
	if _, known := o.lastTurn[j.class][j.flow]; !known {
		o.lastTurn[j.class][j.flow] = o.event()
	}
	o.dispatch()
	if slices.Contains(o.waiting, j) && !j.kept {
		o.makeRoom(j)
	}
}

// reconfigure counts floors and overloads anew where they have changed.
func (o *oracle) reconfigure(classes []ClassConfig) {
	for i, class := range classes {
		was := o.cfg.Classes[i]
		if was.Floor != class.Floor {
			clear(o.earned)
		}
		if was.Objective != class.Objective || was.KeepOrder != class.KeepOrder {
			o.missed[i], o.newest[i] = 0, false
		}
	}
	o.cfg.Classes = classes
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
			keeps := 0
			for keeps*10_000 < o.cfg.Classes[i].MaxWaiting*int(o.cfg.Classes[i].Floor) {
				keeps++
			}
			below = append(below, bounded[:max(0, len(bounded)-keeps)]...)
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
	if full && !fullOfBytes {
		o.shed(o.crowder(j), QueueFull)
	} else if full {
		o.shed(j, QueueFull)
	} else {
		o.shed(j, QueueBytes)
	}
}

// crowder returns the newest work of the flow with the most that waits, if that is
// more than j's has, and otherwise j.
func (o *oracle) crowder(j *job) *job {
	length := make(map[uint64]int)
	last := make(map[uint64]*job)
	for _, other := range o.of(j.class) {
		if !other.kept {
			length[other.flow]++
			last[other.flow] = other
		}
	}
	most := j.flow
	for flow, n := range length {
		if n > length[most] || n == length[most] && n > length[j.flow] && o.lengthAt[j.class][flow] > o.lengthAt[j.class][most] {
			most = flow
		}
	}
	return last[most]
}

// dispatch is the section "The order" of doc.go.
func (o *oracle) dispatch() {
	for i := range o.cfg.Classes {
		o.watchOverload(i)
	}
	for o.free(0, false) > 0 {
		class := o.owed()
		if class < 0 {
			class = o.mostUrgent()
			if class < 0 || !o.mayStart(class) {
				return
			}
		}
		o.watchOverload(class)
		j := o.nextOf(class)
		if o.expired(j) {
			o.shed(j, j.late)
			continue
		}
		if o.hopeless(j) {
			o.shed(j, Deadline)
			continue
		}
		o.earn(class)
		o.lastTurn[class][j.flow] = o.event()
		o.remove(j)
		for _, other := range o.waiting {
			if other.id < j.id {
				other.wait.Overtaken++
				j.wait.Overtaking++
			}
		}
		o.start(j)
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
	reserves := o.reserves()
	sum := 0
	for i := range k {
		sum += max(0, reserves[i]-o.runningOf(i)-o.free(i, true)+o.free(k, true))
	}
	return o.free(k, true) > sum
}

// limit is the number of slots of all servers in use.
func (o *oracle) limit() int {
	limit := 0
	for _, s := range o.servers {
		if o.used(s) {
			limit += s.limit
		}
	}
	return limit
}

// reserves is what is kept for each class, after what is kept for those above it.
func (o *oracle) reserves() []int {
	limit := o.limit()
	left := limit - 1
	var reserves []int
	for _, class := range o.cfg.Classes {
		reserve := class.Reserve
		if reserve == 0 {
			for reserve*10_000 < limit*int(class.ReserveShare) {
				reserve++
			}
		}
		reserves = append(reserves, min(reserve, left))
		left -= min(reserve, left)
	}
	return reserves
}

func (o *oracle) facts(class int) Wait {
	return Wait{Limit: o.limit(), Reserve: float64(o.reserves()[class])}
}

// ahead counts what would be served before j if nothing else happened and j's flow
// always had its turn after the others.
func (o *oracle) ahead(j *job) int {
	n := 0
	for class := range j.class {
		n += len(o.of(class))
	}
	queues := make(map[uint64]int)
	for _, other := range o.of(j.class) {
		queues[other.flow]++
	}
	own := queues[j.flow]
	delete(queues, j.flow)
	if o.newest[j.class] {
		own = 0
	}
	for range own + 1 {
		for flow, left := range queues {
			if left > 0 {
				queues[flow]--
				n++
			}
		}
	}
	return n + own
}

// used reports whether work goes to s: unless it is down and others are not.
func (o *oracle) used(s place) bool {
	return !s.down || !slices.ContainsFunc(o.servers, func(s place) bool { return !s.down })
}

// free returns the free slots for the class, or, where probes are not to be
// minded, for any.
func (o *oracle) free(class int, mind bool) int {
	n := 0
	for i, s := range o.servers {
		if o.used(s) {
			n += max(0, o.leaves(s, class, mind)-o.runningOn(i))
		}
	}
	return n
}

// leaves is how many slots of s the class may use.
func (o *oracle) leaves(s place, class int, mind bool) int {
	if mind && (class > 0 || o.all) {
		return min(s.limit, s.narrow)
	}
	return s.limit
}

// choose returns where work of the class starts: where the smallest part of the
// limit is in use.
func (o *oracle) choose(class int, avoid []bool) int {
	mind := o.free(class, true) > 0
	for i := range o.servers {
		if avoid != nil && !avoid[i] && o.used(o.servers[i]) && o.runningOn(i) < o.leaves(o.servers[i], class, mind) {
			return o.leastUsed(class, mind, func(i int) bool { return !avoid[i] })
		}
	}
	return o.leastUsed(class, mind, func(int) bool { return true })
}

// leastUsed chooses among the servers that are in question.
func (o *oracle) leastUsed(class int, mind bool, in func(int) bool) int {
	best, least := -1, 0.0
	for n := range o.servers {
		i := (o.placed + 1 + n) % len(o.servers)
		s := o.servers[i]
		used := float64(o.runningOn(i)) / float64(s.limit)
		if in(i) && o.used(s) && o.runningOn(i) < o.leaves(s, class, mind) && (best < 0 || used < least) {
			best, least = i, used
		}
	}
	return best
}

func (o *oracle) runningOn(server int) int {
	n := 0
	for _, u := range o.running {
		if u.server == server {
			n++
		}
	}
	return n
}

// watchOverload is the section "Overload" of doc.go.
func (o *oracle) watchOverload(class int) {
	first := o.of(class)
	objective := o.cfg.Classes[class].Objective
	switch {
	case len(first) == 0 || objective == 0 || o.cfg.Classes[class].KeepOrder:
	case o.now-first[0].arrived <= objective:
		o.missed[class], o.newest[class] = 0, false
	case o.missed[class] == 0:
		o.missed[class] = o.now
	case o.now-o.missed[class] >= 100*time.Millisecond:
		o.newest[class] = true
	}
}

// nextOf returns the first of the flow whose last turn is the longest ago.
func (o *oracle) nextOf(class int) *job {
	var next *job
	for _, j := range o.of(class) {
		if next == nil || o.lastTurn[class][j.flow] < o.lastTurn[class][next.flow] {
			next = j
		}
	}
	for _, j := range o.of(class) {
		if o.newest[class] && j.flow == next.flow {
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

// short is what nine of ten of the last 128 took longer than, if there were 16 and
// one not long ago.
func (o *oracle) short(class int) time.Duration {
	past := o.past[class]
	if len(past.durations) < 16 || o.now-past.latest >= 2*time.Second {
		return 0
	}
	sorted := slices.Sorted(slices.Values(past.durations[max(0, len(past.durations)-128):]))
	return sorted[len(sorted)/10]
}

func (o *oracle) hopeless(j *job) bool { return j.due != 0 && o.now+o.short(j.class) >= j.due }

func (o *oracle) release(i int, how Outcome) {
	u := o.running[i]
	o.running = slices.Delete(o.running, i, i+1)
	if how == Done {
		past := &o.past[u.class]
		if o.now-past.latest >= 2*time.Second { // what was so long ago says nothing any more
			past.durations = nil
		}
		past.durations = append(past.durations, o.now-u.began)
		past.latest = o.now
	}
}

func (o *oracle) start(j *job) {
	server := o.choose(j.class, j.avoid)
	o.placed = server
	o.running = append(o.running, use{id: j.id, class: j.class, server: server, began: o.now})
	o.counts[j.class].Dispatched++
	o.fates = append(o.fates, fate{id: j.id, wait: j.wait})
}

func (o *oracle) shed(j *job, reason Reason) {
	o.remove(j)
	o.counts[j.class].Shed[reason]++
	o.fates = append(o.fates, fate{j.id, reason, j.wait})
}

// remove takes j out, if it is in, and ends waits that end with it.
func (o *oracle) remove(j *job) {
	if !slices.Contains(o.waiting, j) {
		return
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(other *job) bool { return other == j })
	rest := o.of(j.class)
	if len(rest) == 0 {
		o.earned[j.class] = 0
		o.missed[j.class], o.newest[j.class] = 0, false
	}
	if !j.kept {
		o.lengthAt[j.class][j.flow] = o.event()
	}
	if !slices.ContainsFunc(rest, func(other *job) bool { return other.flow == j.flow }) {
		delete(o.lastTurn[j.class], j.flow)
	}
}
