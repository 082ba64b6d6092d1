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
	streak    int     // epochs in a row without a queue in the server
	below     int     // how many slots less make it full, as reserves keep some free
	classes   []baseline
	epoch     epoch
	settled   time.Duration // when the limit had lately been changed by much or probed

	inFlight  int
	fullSince time.Duration // when the server became full; -1: it is not

	// probe, while it runs, keeps the server at half of its limit to measure how
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
}

// baseline is what is known of one class's work.
type baseline struct {
	low lowSamples

	// Since the epoch began.
	done    int     // while the server was full
	n       int     // dispatched when it was
	seconds float64 // how long those held their slots, in all
}

type lowSample struct {
	seconds  float64
	inFlight int
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
	farShare   = 0.25
	// fullShare of the limit in use shows the queue at the limit.
	fullShare = 0.9
	// leastHeadroom and usualHeadroom bound how far above the estimate the limit
	// stands, see headroom.
	leastHeadroom = 1.05
	usualHeadroom = 1.08
	// growth and shrinkage bound how fast the limit changes, mostHeadroom how
	// fast it grows while searching.
	growth       = 1.25
	shrinkage    = 0.7
	mostHeadroom = 1.5
	smoothing    = 0.3
	// precision is the relative error of the mean that is aimed at.
	precision = 0.045
	keptLow   = 512
	fewestLow = 24
	// fewestFull is how many samples a decision needs.
	fewestFull = 16
	// probeInterval is the least time between two probes; a long one is followed
	// by probeCost times as long without.
	probeInterval   = 2 * time.Second
	probeCost       = 40
	longestInterval = 10 * time.Second
	longestEpoch    = time.Second
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

// slots returns the limit.
func (l *limiter) slots() int { return l.clamp(l.limit) }

// narrow returns how many slots a probe leaves; without a probe, all.
func (l *limiter) narrow() int {
	if l.probing {
		if l.far {
			return l.low()
		}
		return max(1, int(probeShare*l.known()))
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
		return max(min(2, l.slots()), int(farShare*l.known()))
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
// changed. urgent is the number of slots of the most urgent class in use.
func (l *limiter) observe(s sample, now time.Duration, urgent int) bool {
	class := &l.classes[s.class]
	if s.inFlight <= l.low() {
		class.low.take(lowSample{s.took.Seconds(), s.inFlight})
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
	ripe := l.ripe(now)
	probe := l.epoch.waited && l.epoch.n > 0 && now >= l.nextProbe
	if !ripe && !probe {
		return false
	}
	l.main = l.mainClass()
	if ripe {
		waited, before := l.epoch.waited, l.slots()
		l.decide(now)
		l.newEpoch(now)
		if math.Abs(float64(l.slots()-before)) > 0.05*float64(before) {
			l.settle(now)
		}
		probe = waited && now >= l.nextProbe
	}
	if probe {
		l.beginProbe(now, urgent)
	}
	return true
}

// ripe reports whether the epoch has enough samples to decide by.
func (l *limiter) ripe(now time.Duration) bool {
	e := &l.epoch
	age := now - e.began
	if l.searching {
		return e.n >= max(8, l.slots()) && age > 0
	}
	if e.n < l.usualSamples() {
		return age >= longestEpoch
	}
	if l.far {
		return true
	}
	cv := 0.0
	for i := range l.classes {
		cv = max(cv, l.classes[i].low.cv())
	}
	return float64(e.n) >= cv*cv/(precision*precision) || age >= longestEpoch
}

func (l *limiter) usualSamples() int { return max(fewestFull, 2*l.slots()) }

// decide sets the limit by what the epoch has shown.
func (l *limiter) decide(now time.Duration) {
	e := &l.epoch
	l.fill(now)
	full := l.below == 0
	if e.n >= l.usualSamples() {
		l.below = max(0, l.below-1)
	} else if e.waited && !l.searching {
		l.below++
	}
	if e.n < fewestFull && !l.searching {
		return
	}
	queued, doubt, known := l.queued(e.fullFor.Seconds())
	if !known {
		l.nextProbe = now
		return
	}
	inFlight := float64(e.inFlight) / float64(e.n)
	seen := queued
	if !l.searching {
		queued = max(0, queued-doubt) // a limit that is too high costs less than one too low
	}
	capacity := max(inFlight-queued, 0.1*inFlight)
	slowdown := inFlight / capacity
	headroom := l.headroom()
	none := (headroom - 1) / 2
	switch {
	case slowdown >= 1+none:
		l.streak = 0
	case full:
		if seen < none*inFlight {
			l.streak++
		}
	default: // there may be more workers than were used
		capacity = max(capacity, l.capacity)
	}
	l.capacity, l.rate = capacity, float64(e.done)/e.fullFor.Seconds()
	// In doubt whether the baseline is one: the search may have begun with too
	// much, or the work itself may have become longer.
	l.far = l.searching && slowdown >= 1.1 || slowdown > 1.4
	if l.far {
		l.nextProbe = now
	}
	room, share := headroom, smoothing
	switch {
	case l.searching && slowdown < 1.1:
		room, share = mostHeadroom, 1
	case l.searching:
		l.searching, share = false, 1
	case l.streak > 2:
		room, share = min(growth, headroom+0.08*float64(l.streak-2)), 1
	case slowdown > 1.4:
		share = 1
	}
	target := min(capacity*room, mostHeadroom*l.limit)
	if !l.searching {
		target = min(max(target, shrinkage*l.limit), max(l.limit+1, growth*l.limit))
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
// law), and with it the standard error. It reports false without any baseline.
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
	return max(0, queued), math.Sqrt(variance), true
}

// inside estimates how long work dispatched with so many slots in use waits in the
// server: until what is more than the server can do has been done.
func (l *limiter) inside(inFlight int) time.Duration {
	if l.rate <= 0 || float64(inFlight) <= l.capacity {
		return 0
	}
	return seconds((float64(inFlight) - l.capacity) / l.rate)
}

// overdue ends a probe that lasts too long, and reports whether it did.
func (l *limiter) overdue(now time.Duration) bool { return l.probing && l.endProbe(now) }

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

// beginProbe keeps the server at half of its limit for a moment.
func (l *limiter) beginProbe(now time.Duration, urgent int) {
	l.nextProbe = now + probeInterval
	if l.passive {
		return
	}
	l.probing, l.began = true, now
	l.probesAll = urgent > l.slots()/2
	cv := l.classes[l.main].low.cv()
	l.need = min(max(int(100*cv*cv), 4, l.slots()/8), fewestLow/2)
}

// endProbe ends the probe if it has shown enough, or lasts too long. After it,
// the server is given time to come back to its queue.
func (l *limiter) endProbe(now time.Duration) bool {
	if l.need > 0 && now < l.began+max(shortestProbe, 10*l.usual()) {
		return false
	}
	if l.far {
		for i := range l.classes {
			l.classes[i].low.correct(l.low())
		}
	}
	l.probing = false
	l.nextProbe = now + min(max(probeInterval, probeCost*(now-l.began)), longestInterval)
	l.settle(now)
	return true
}

// moments are the number, sum and squares of some durations in seconds.
type moments struct {
	n            int
	sum, squares float64
}

func (m *moments) add(seconds float64) {
	m.n++
	m.sum += seconds
	m.squares += seconds * seconds
}

func (m *moments) drop(seconds float64) {
	m.n--
	m.sum -= seconds
	m.squares -= seconds * seconds
}

// mean returns the mean, 0 for none.
func (m *moments) mean() float64 {
	if m.n == 0 {
		return 0
	}
	return m.sum / float64(m.n)
}

// cv returns the coefficient of variation, as if there had been one more sample
// that is off by half: a few that agree may do so by chance.
func (m *moments) cv() float64 {
	mean, n := m.mean(), float64(m.n)
	if mean <= 0 {
		return 1
	}
	return math.Sqrt((max(0, m.squares/n/(mean*mean)-1)*n + 0.25) / (n + 1))
}

// lowSamples are the latest pieces of work of a class dispatched while few slots
// of the server were in use.
type lowSamples struct {
	moments
	all []lowSample // the first of them, all but n, are dropped
}

func (b *lowSamples) kept() []lowSample { return b.all[len(b.all)-b.n:] }

// take adds a sample. How many are kept depends on how much they vary: as few
// as possible, so that the past is forgotten soon.
func (b *lowSamples) take(s lowSample) {
	most := keptLow
	if b.n >= fewestLow {
		cv := b.cv()
		most = min(max(int(cv*cv/(precision*precision)), fewestLow), keptLow)
	}
	for b.n >= most {
		b.drop(b.kept()[0].seconds)
	}
	if len(b.all) >= 2*keptLow {
		b.keep(math.MaxInt)
	}
	b.all = append(b.all, s)
	b.add(s.seconds)
}

// upTo returns the moments of the samples with no more than low in flight.
func (b *lowSamples) upTo(low int) (m moments) {
	for _, s := range b.kept() {
		if s.inFlight <= low {
			m.add(s.seconds)
		}
	}
	return m
}

// keep drops the samples with more than low in flight, makes room, and undoes
// what rounding has added up.
func (b *lowSamples) keep(low int) {
	old, kept := b.kept(), b.all[:0]
	b.moments = moments{}
	for _, s := range old {
		if s.inFlight <= low {
			kept = append(kept, s)
			b.add(s.seconds)
		}
	}
	b.all = kept
}

// narrow drops the samples with more than low in flight if enough are left.
func (b *lowSamples) narrow(low int) {
	if n := b.upTo(low).n; n >= fewestLow && n < b.n {
		b.keep(low)
	}
}

// correct drops the samples with more than low in flight if those without take
// less long by more than two standard errors.
func (b *lowSamples) correct(low int) {
	clean := b.upTo(low)
	if n := float64(clean.n); n >= 4 && clean.mean()*(1+2*clean.cv()/math.Sqrt(n)) < b.mean() {
		b.keep(low)
	}
}
