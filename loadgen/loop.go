package loadgen

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// restEvery is for how long a loop runs before it lets others run: the scheduler of the
// Go runtime looks at the network for them only when nothing else is ready to run.
const restEvery = time.Millisecond

// A turn serves maxEvents sockets, and lets maxWorkers go on with what is large, before
// the schedule is looked at again.
const (
	maxEvents  = 64
	maxWorkers = 8
)

// never is later than any run lasts.
const never = 100 * 365 * 24 * time.Hour

// loop is the goroutine of one class. It starts the requests of the class in time, and
// in between it takes what comes for them. As nothing else touches their connections,
// a request costs no lock and no change of goroutines, which is what keeps a generator
// on one core in time; how late requests start tells how late answers are read, too.
//
// Its schedule and what is posted may use now, clock, sleepUntil, turn and the fields
// marked so. All other methods are for other goroutines, apart from post, which is for all.
type loop struct {
	ctx     context.Context // ends waits of the schedule, not the loop
	unwatch func()          // returns when nobody wakes the poller any more
	poller  *poller
	base    time.Time // what now counts from
	rests   idleness
	running sync.WaitGroup

	mu     sync.Mutex
	posted []func()
	any    atomic.Bool // posted has some

	// Only for the loop.
	now      time.Duration // at the begin of this turn
	schedule func()        // to be run next
	busy     []worker      // what was not done with its work in its turn
	again    bool          // the next turn does not wait
	full     bool          // there may be more to read than fits into this turn
	attended attendant     // nil for none
	rested   time.Time     // when others could run
	ended    bool
}

// idleness is for how long, in ns, a loop had nothing to do.
type idleness struct{ asleep, awake atomic.Int64 }

// worker is what has more to do than fits into a turn.
type worker interface {
	// work does a part and reports whether more is left that can be done at once.
	work() (more bool)
}

// attendant is who has something to do at a moment, and after each turn.
type attendant interface {
	// due returns when expire is to be called: a moment in the past is now.
	due() time.Duration
	// expire does what was due before now. By then, what has come in time has been
	// taken, but for what did not fit into the turn.
	expire(now time.Duration)
	// settle ends a turn.
	settle()
}

// newLoop starts a loop, which runs until close. When ctx ends, sleepUntil does.
func newLoop(ctx context.Context) (*loop, error) {
	l := &loop{ctx: ctx, base: time.Now()}
	var err error
	if l.poller, err = newPoller(&l.rests); err != nil {
		return nil, err
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { defer close(woken); l.poller.wake() })
	l.unwatch = func() {
		if !stop() {
			<-woken
		}
	}
	l.running.Go(l.run)
	return l, nil
}

// run takes turns, and runs a schedule when there is one.
func (l *loop) run() {
	for !l.ended {
		l.turn(l.base.Add(never))
		if run := l.schedule; run != nil {
			l.schedule = nil
			run()
		}
	}
}

// close ends the loop when what was posted before has run. Nothing may be posted after it.
func (l *loop) close() {
	l.post(func() { l.ended = true })
	l.running.Wait()
	l.unwatch()
	l.poller.close()
}

// post has f run on the loop, after what was posted before. f must not block.
func (l *loop) post(f func()) {
	l.mu.Lock()
	l.posted = append(l.posted, f)
	first := len(l.posted) == 1
	l.any.Store(true)
	l.mu.Unlock()
	if first {
		l.poller.wake()
	}
}

// do has f run on the loop and waits for that.
func (l *loop) do(f func()) {
	done := make(chan struct{})
	l.post(func() { defer close(done); f() })
	<-done
}

// start has schedule run on the loop, which may wait by sleepUntil and nothing else.
func (l *loop) start(schedule func()) {
	l.post(func() { l.schedule = schedule })
}

// attend has a do its work on the loop.
func (l *loop) attend(a attendant) { l.post(func() { l.attended = a }) }

// clock reads the time that now had at the begin of the turn.
func (l *loop) clock() time.Duration { return time.Since(l.base) }

// sleepUntil serves what comes until that moment, and at least once. It reports false
// if the context ended first.
func (l *loop) sleepUntil(at time.Time) bool {
	for l.ctx.Err() == nil {
		l.turn(at)
		if !time.Now().Before(at) {
			return true
		}
	}
	return false
}

// turn waits until there is something to do, but no longer than until that moment, and
// does a bounded amount of it.
func (l *loop) turn(until time.Time) {
	begun, overdue := time.Now(), false
	if l.attended != nil {
		due := l.base.Add(l.attended.due())
		if due.Before(until) {
			until = due
		}
		// If this turn began before the moment, the next one is for it: a loop that was
		// held up has first to see what came meanwhile, and to let others do so.
		overdue = !due.After(begun)
	}
	if len(l.busy) > 0 || l.again {
		until, l.again = l.base, false // is over
	}
	l.poller.wait(until, overdue || begun.Sub(l.rested) > restEvery)
	now := time.Now()
	if l.poller.parked {
		l.rested = now
	}
	l.now = now.Sub(l.base)
	l.full = l.poller.ready == maxEvents
	busy := min(len(l.busy), maxWorkers)
	l.poller.serve()
	l.runPosted()
	l.workOn(busy)
	if overdue {
		l.attended.expire(l.now)
	}
	if l.attended != nil {
		l.attended.settle()
	}
}

func (l *loop) runPosted() {
	if !l.any.Load() {
		return
	}
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.any.Store(false)
	l.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

// workOn lets the first n of the busy ones work.
func (l *loop) workOn(n int) {
	if n == 0 {
		return
	}
	busy := l.busy
	l.busy = append([]worker(nil), busy[n:]...)
	for _, w := range busy[:n] {
		if w.work() {
			l.busy = append(l.busy, w)
		}
	}
}
