package scheduler

import (
	"math"
	"time"
)

// limiter finds how many pieces of work a server can do at once. See the section
// "The adaptive limit" of the package comment for why it does what it does.
//
// It is told of every piece of work that was done, and says how many slots there
// should be. It never refuses anything.
type limiter struct {
	initial, least, most int
	passive              bool // never probes

	limit     float64
	capacity  float64 // as it was found last, 0 at first
	rate      float64 // of completion then, per second
	searching bool    // until the server was found to be saturated for the first time
	far       bool    // what is known of the work without a queue may be wrong by far
	tries     int     // probes left to find out
	streak    int     // epochs in a row without a queue in the server
	below     int     // how many slots less make it full, as reserves keep some free
	classes   []baseline
	epoch     epoch
	settled   time.Duration // when the limit had lately been changed by much or probed

	inFlight  int
	fullSince time.Duration // when the server became full; -1: it is not

	// probe, while it runs, keeps the server at half of its limit, or less, to measure how
	// long work takes when it does not have to queue there.
	probing   bool
	probesAll bool // also the most urgent class
	main      int  // the class that is most of the work
	need      int  // samples of the main class that end the probe
	began     time.Duration
	nextProbe time.Duration
}

// epoch is what is known since the last decision, of work that was dispatched
// when all slots were in use or nearly so.
type epoch struct {
	began    time.Duration
	fullFor  time.Duration // in all, with so many slots in use
	done     int           // meanwhile
	n        int
	inFlight int // sum over n
	waited   bool
	widened  int // how often widen looked
}

// sample is one piece of work that was done.
type sample struct {
	class    int
	inFlight int           // on its server when it was dispatched, itself included
	took     time.Duration // how long it held its slot
	waiting  bool          // whether work waited when it was done
}

const (
	// lowShare of the limit in use is taken for no queue in the server, and
	// probeShare is where a probe goes, or farShare when little is known.
	lowShare   = 0.6
	probeShare = 0.5
	farShare   = 0.3
	// fullShare of the limit in use shows the queue at the limit.
	fullShare = 0.9
	// leastHeadroom and usualHeadroom bound how far above the estimate the limit
	// stands, see headroom.
	leastHeadroom = 1.05
	usualHeadroom = 1.08
	// growth and shrinkage bound how fast the limit changes, mostHeadroom how
	// fast it grows while searching.
	growth       = 1.25
	shrinkage    = 0.65
	mostHeadroom = 1.5
	smoothing    = 0.3
	// searched is how much longer than usual work takes when the search ends.
	searched = 1.1
	// slowShare is the part of the work that waits in the server when it takes
	// longer than it should by the factor wrongBy.
	slowShare = 0.3
	wrongBy   = 1.4
	mostTries = 3
	// fewestFull is how many samples a decision needs.
	fewestFull = 16
	// probeInterval is the least time between two probes; a long one is followed
	// by probeCost times as long without, up to longestInterval, but by mostCost
	// times as long in any case.
	probeInterval   = 2 * time.Second
	probeCost       = 40
	longestInterval = 10 * time.Second
	mostCost        = 10
	usualEpoch      = time.Second
	shortestProbe   = 200 * time.Millisecond
)

func newLimiter(initial, least, most, classes int) *limiter {
	l := &limiter{initial: initial, least: least, most: most, classes: make([]baseline, classes)}
	l.restart()
	return l
}

// restart begins anew, as for a server that nothing is known of, but never higher
// than it was.
func (l *limiter) restart() {
	start := float64(l.initial)
	if l.limit > 0 {
		start = min(start, l.limit)
	}
	*l = limiter{
		initial: l.initial, least: l.least, most: l.most, passive: l.passive,
		limit: start, searching: true, fullSince: -1, inFlight: l.inFlight, classes: make([]baseline, len(l.classes)),
	}
}

// bound changes where a search begins, the next time, and what the limit may come
// to. What has been found stays.
func (l *limiter) bound(initial, least, most int, now time.Duration) {
	l.initial, l.least, l.most = initial, least, most
	if within := min(max(l.limit, float64(least)), float64(most)); within != l.limit {
		l.limit = within
		l.settle(now)
	}
}

// slots returns the limit.
func (l *limiter) slots() int { return l.clamp(l.limit) }

// narrow returns how many slots a probe leaves; without a probe, all.
func (l *limiter) narrow() int {
	if l.probing {
		if l.probesAll {
			return l.low()
		}
		return max(1, min(int(probeShare*l.known()), l.low()-1))
	}
	return l.slots()
}

func (l *limiter) clamp(limit float64) int {
	return min(max(int(math.Round(limit)), l.least), l.most)
}

// known is what the server can surely do without a queue.
func (l *limiter) known() float64 {
	if l.capacity > 0 {
		return min(l.capacity, l.limit)
	}
	return l.limit
}

// low is the number of slots in use up to which there is no queue in the server.
func (l *limiter) low() int {
	if l.far {
		return max(min(2, l.slots()), int(math.Ceil(farShare*l.known())))
	}
	return max(1, int(lowShare*l.known()))
}

// full is the number of slots in use from which on the server counts as full.
func (l *limiter) full() int {
	return max(int(math.Ceil(fullShare*float64(l.slots())))-l.below, min(l.low()+1, l.slots()))
}

// begin takes in that a piece of work was dispatched.
func (l *limiter) begin(now time.Duration) { l.inFlight++; l.fill(now) }

// end takes in that a piece of work has ended.
func (l *limiter) end(now time.Duration) { l.inFlight--; l.fill(now) }

// fill keeps account of how long the server is full.
func (l *limiter) fill(now time.Duration) {
	if l.fullSince >= 0 {
		l.epoch.fullFor += max(0, now-max(l.fullSince, l.epoch.began))
	}
	l.fullSince = -1
	if l.inFlight >= l.full() {
		l.fullSince = now
	}
}

// observe takes in a sample, and reports whether slots or narrow may have
// changed. It begins a probe only if it may.
func (l *limiter) observe(s sample, now time.Duration, mayProbe bool) bool {
	class := &l.classes[s.class]
	if s.inFlight <= l.low() {
		class.low.take(lowSample{now - s.took, s.took.Seconds(), s.inFlight})
		if l.probing && s.class == l.main {
			l.need--
		}
	}
	if l.probing {
		return l.endProbe(now)
	}
	if now < l.epoch.began { // the server is still coming back from a probe
		return false
	}
	l.epoch.waited = l.epoch.waited || s.waiting
	if l.fullSince >= 0 {
		class.done++
		l.epoch.done++
	}
	if s.inFlight >= l.full() && (l.searching || now-s.took >= l.settled) {
		l.epoch.n++
		l.epoch.inFlight += s.inFlight
		class.n++
		class.seconds += s.took.Seconds()
	}
	l.widen(now)
	if !l.ripe(now) {
		return false
	}
	l.main = l.mainClass()
	waited, before := l.epoch.waited, l.slots()
	l.decide(now)
	l.newEpoch(now)
	if math.Abs(float64(l.slots()-before)) > 0.05*float64(before) {
		l.settle(now)
	}
	if waited && mayProbe && now >= l.nextProbe {
		l.beginProbe(now)
	}
	return true
}

// widen lets fewer slots in use count as full where reserves keep the server from
// being full for most of the time.
func (l *limiter) widen(now time.Duration) {
	e := &l.epoch
	age := now - e.began
	if l.searching || !e.waited || e.n >= fewestFull || age < l.longestEpoch()*time.Duration(1+e.widened) {
		return
	}
	e.widened++
	l.fill(now)
	if e.fullFor < age/2 && l.full() > l.low()+1 {
		l.below++
	}
}

// ripe reports whether the epoch has enough samples to decide by.
func (l *limiter) ripe(now time.Duration) bool {
	e := &l.epoch
	age := now - e.began
	if l.searching {
		return e.n >= max(8, l.slots()) && age > 0
	}
	if e.n < l.usualSamples() {
		return e.n >= fewestFull && age >= l.longestEpoch()
	}
	if l.far {
		return true
	}
	cv := 0.0
	for i := range l.classes {
		if c := &l.classes[i]; c.n > 0 {
			cv = max(cv, c.low.cv())
		}
	}
	return float64(e.n) >= cv*cv/(precision*precision) || age >= l.longestEpoch()
}

// longestEpoch is how long an epoch waits for more samples than the fewest.
func (l *limiter) longestEpoch() time.Duration { return max(usualEpoch, 2*l.usual()) }

func (l *limiter) usualSamples() int { return max(fewestFull, 2*l.slots()) }

// decide sets the limit by what the epoch has shown.
func (l *limiter) decide(now time.Duration) {
	e := &l.epoch
	l.fill(now)
	if l.far {
		l.correct()
	}
	queued, doubt, known := l.queued(e.fullFor.Seconds())
	if !known {
		l.nextProbe = now
		return
	}
	inFlight := float64(e.inFlight) / float64(e.n)
	seen := queued
	if !l.searching {
		queued -= doubt // a limit that is too high costs less than one too low
	}
	queued = max(0, queued)
	capacity := max(inFlight-queued, 0.1*inFlight)
	slowdown := inFlight / capacity
	headroom := l.headroom()
	none := (headroom - 1) / 2
	switch {
	case slowdown >= 1+none:
		l.streak = 0
	case l.below == 0:
		if seen < max(none*inFlight, doubt) {
			l.streak++
		}
	default: // there may be more workers than were used
		capacity = max(capacity, l.capacity)
	}
	if e.n >= l.usualSamples() {
		l.below = max(0, l.below-1)
	}
	l.capacity, l.rate = capacity, float64(e.done)/e.fullFor.Seconds()
	// In doubt whether the baseline is one: the search may have begun with too
	// much, or the work itself may have become longer or shorter.
	wide := 2 * doubt * (1 + 4/float64(max(1, l.classes[l.main].n)))
	slow := seen-wide > slowShare*inFlight
	if l.searching && slowdown >= searched || (slow || l.classes[l.main].tooLong()) && !l.searching {
		l.far, l.tries = true, mostTries
	}
	l.far = l.far && l.tries > 0
	if l.far {
		l.nextProbe = now
	}
	room, share := headroom, smoothing
	switch {
	case l.searching && slowdown < searched:
		room, share = mostHeadroom, 1
	case l.searching:
		l.searching, share = false, 1
	case l.streak > 2:
		room, share = min(growth, headroom+0.08*float64(l.streak-2)), 1
	}
	target := min(capacity*room, mostHeadroom*l.limit)
	if !l.searching {
		target = min(max(target, shrinkage*l.limit), max(l.limit+1, growth*l.limit))
		away := (target - l.limit) * (target - l.limit)
		share = max(share, away/(away+wide*wide))
		if target > l.limit {
			share = max(share, 0.6)
		}
	}
	if !e.waited {
		target = min(target, l.limit)
	}
	l.limit += share * (target - l.limit)
	l.limit = min(max(l.limit, float64(l.least)), float64(l.most))
	for i := range l.classes {
		l.classes[i].low.narrow(l.low())
	}
}

// correct ends a doubt in the baselines if a probe has shown enough of every class.
// It looks when also what took long in that probe has been done.
func (l *limiter) correct() {
	l.tries--
	enough := true
	for i := range l.classes {
		low := &l.classes[i].low
		enough = enough && (low.n == 0 || low.upTo(l.low(), l.began).n >= fewestClean)
		low.correct(l.low(), l.began)
	}
	if enough {
		l.tries = 0
	}
}

// headroom is how far above the estimate the limit stands: two slots, as that is
// about the smallest queue in the server that can be told from none.
func (l *limiter) headroom() float64 {
	return min(max(1+2/l.limit, leastHeadroom), usualHeadroom)
}

// usual is how long most of the work takes.
func (l *limiter) usual() time.Duration {
	return seconds(l.classes[l.main].low.mean())
}

// settling is how many times as long as the usual work it takes until most of
// what completes was dispatched at a new limit. Before, what completes first is
// what is shortest.
const settling = 4

// settle begins an epoch when the server has come to its usual queue again. What
// was dispatched before and outlasts that is long, so it is no fair sample.
func (l *limiter) settle(now time.Duration) {
	l.settled = now + settling*l.usual()
	l.newEpoch(l.settled)
}

func (l *limiter) newEpoch(from time.Duration) {
	l.epoch = epoch{began: from}
	for i := range l.classes {
		c := &l.classes[i]
		c.done, c.n, c.seconds = 0, 0, 0
	}
}

// queued estimates how much of the work waits in the server when it is full: the
// sum over the classes of rate of completion x time beyond the baseline (Little's
// law), and with it the standard error. It is negative if the work takes less long
// than the baseline says. It reports false without any baseline.
func (l *limiter) queued(elapsed float64) (queued, doubt float64, known bool) {
	var n, excess, variance float64
	for i := range l.classes {
		c := &l.classes[i]
		if c.n > 0 && c.low.n > 0 {
			n += float64(c.n)
			excess += c.seconds - float64(c.n)*c.low.mean()
		}
	}
	if n == 0 || elapsed <= 0 {
		return 0, 0, false
	}
	for i := range l.classes {
		c := &l.classes[i]
		rate := float64(c.done) / elapsed
		if c.n == 0 || c.low.n == 0 {
			queued += rate * excess / n // as long as the others on average
			continue
		}
		queued += rate * (c.seconds/float64(c.n) - c.low.mean())
		deviation := rate * c.low.mean() * c.low.cv()
		variance += deviation * deviation * (1/float64(c.n) + 1/float64(c.low.n))
	}
	return queued, math.Sqrt(variance), true
}

// inside estimates how long work dispatched with so many slots in use waits in the
// server: until what is more than the server can do has been done.
func (l *limiter) inside(inFlight int) time.Duration {
	if l.rate <= 0 || float64(inFlight) <= l.capacity {
		return 0
	}
	return seconds((float64(inFlight) - l.capacity) / l.rate)
}

// overdue ends a probe that lasts too long, or that has nothing left to measure,
// and reports whether it did.
func (l *limiter) overdue(now time.Duration, nothing bool) bool {
	if nothing {
		l.need = 0
	}
	return l.probing && l.endProbe(now)
}

// mainClass returns the class that was most of the epoch's work.
func (l *limiter) mainClass() int {
	main, most := 0, -1.0
	for i := range l.classes {
		c := &l.classes[i]
		if work := float64(c.done) * max(c.low.mean(), 1e-9); work > most {
			main, most = i, work
		}
	}
	return main
}

// beginProbe keeps the server at half of its limit, or less, for a moment.
func (l *limiter) beginProbe(now time.Duration) {
	l.nextProbe = now + probeInterval
	if l.passive {
		return
	}
	l.probing, l.began = true, now
	l.probesAll = l.main == 0
	cv := l.classes[l.main].low.cv()
	l.need = min(max(int(100*cv*cv), 4, l.slots()/8), fewestLow/2)
	if l.far {
		l.need = max(l.need, fewestClean)
	}
}

// endProbe ends the probe if it has shown enough, or lasts too long. After it,
// the server is given time to come back to its queue.
func (l *limiter) endProbe(now time.Duration) bool {
	if l.need > 0 && now < l.began+max(shortestProbe, 10*l.usual()) {
		return false
	}
	l.probing = false
	took := now - l.began
	l.nextProbe = now + max(probeInterval, min(probeCost*took, longestInterval), mostCost*took)
	l.settle(now)
	return true
}
