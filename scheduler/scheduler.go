package scheduler

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"overtake/classifier"
)

// Work describes what asks for a slot.
type Work struct {
	// Class is the latency class, as an index into Config.Classes.
	Class classifier.Class
	// Flow says whose work it is: flows take turns inside a class.
	Flow uint64
	// Bytes is the memory that the work holds while it waits. A negative number
	// counts as none.
	Bytes int64
	// Deadline is when the work must have been done; zero for none. Work that
	// can't be done by then, judging by its class's latest, is shed.
	Deadline time.Time
	// Kept is work that waits elsewhere and only stands for its place in the
	// order, such as the first message of a queue: it is neither bounded nor
	// displaced, and max wait does not apply to it.
	Kept bool
	// Avoid are the servers, by index, that the work should not run on, such as one
	// that has just failed it. It gets one of them all the same if no other has a
	// free slot when its turn comes. It must have an element for each server, or
	// none, and not be changed while the work waits.
	Avoid []bool
}

// Scheduler hands out the slots of one upstream. All methods are safe for
// concurrent use.
type Scheduler struct {
	epoch   time.Time
	waiters sync.Pool // of *waiter
	dry     *dryRun   // nil where it decides; guarded by mu

	mu    sync.Mutex
	core  *core       // guarded by mu
	again *time.Timer // dispatches once more, see core.again; guarded by mu
	armed bool        // again runs; guarded by mu
}

// New returns a scheduler, or every problem of the configuration.
func New(cfg Config) (*Scheduler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Scheduler{epoch: time.Now(), core: newCore(cfg)}
	if cfg.DryRun {
		s.dry = newDryRun(s.core)
	}
	s.waiters.New = func() any { return newWaiter() }
	return s, nil
}

// Lease is the right to one slot of one server.
type Lease struct {
	s    *Scheduler
	slot slotID
	dry  *dryWork // instead of slot in a dry run
	// Server is where the work has to run, as an index below Config.Servers.
	Server int
	// Waited is how long Acquire waited for the slot, and Wait how. In a dry run,
	// where nothing waits, Wait is how it would have waited, as far as it was
	// known when it came.
	Waited time.Duration
	Wait   Wait
}

// Release gives the slot back after the work is done, and so lets the next in
// order start. It panics when the slot has been given back before.
func (l Lease) Release() { l.ReleaseAs(Done) }

// ReleaseAs is Release for work whose duration may say nothing.
func (l Lease) ReleaseAs(outcome Outcome) { l.s.release(l, outcome).wake() }

func (s *Scheduler) release(l Lease, outcome Outcome) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock() // even after the panic, which a server may recover from
	now := s.now()
	var ok bool
	if l.dry != nil {
		ok = s.dry.release(l.dry, l.Server, outcome, now)
	} else {
		ok = s.core.release(l.slot, outcome, now)
	}
	if !ok {
		panic("scheduler: slot released twice")
	}
	if s.core.waiting == 0 {
		return nil
	}
	s.core.dispatch(now)
	return s.decided()
}

// TryAcquire takes a slot for w if it can be had without waiting and without
// overtaking anything. Otherwise it changes nothing.
func (s *Scheduler) TryAcquire(w Work) (Lease, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if s.dry != nil {
		return s.acquireDry(w, now), true
	}
	slot, ok := s.core.startNow(int(w.Class), s.due(&w), w.Avoid, now)
	if !ok {
		return Lease{}, false
	}
	return s.lease(slot, int(w.Class)), true
}

// lease is the right to slot, which has just been taken without a wait. Called with
// mu held.
func (s *Scheduler) lease(slot slotID, class int) Lease {
	return Lease{s: s, slot: slot, Server: s.core.serverOf(slot), Wait: s.core.factsNow(class)}
}

// acquireDry is Acquire in a dry run. Called with mu held.
func (s *Scheduler) acquireDry(w Work, now time.Duration) Lease {
	work, server := s.dry.acquire(newTicket(w, s.due(&w)), now)
	s.decided()
	return Lease{s: s, dry: work, Server: server, Wait: work.facts}
}

// due returns the work's deadline in the core's time, 0 for none.
func (s *Scheduler) due(w *Work) time.Duration {
	if w.Deadline.IsZero() {
		return 0
	}
	return max(w.Deadline.Sub(s.epoch), 1)
}

// Acquire waits for a slot for w. It returns a *ShedError when the work was
// refused, and the context's cause when ctx ended first. Like other context-aware
// functions, it may succeed though ctx has ended if it can take a slot at once. It
// panics if w's class is not one of Config.Classes.
func (s *Scheduler) Acquire(ctx context.Context, w Work) (Lease, error) {
	lease, wt, other := s.arrive(ctx, w)
	if wt == nil {
		return lease, nil
	}
	other.wake()
	defer s.waiters.Put(wt)
	left := wt.wait(ctx, s)
	wt.timer.Stop()
	switch {
	case left:
		return Lease{}, context.Cause(ctx)
	case wt.state == shed:
		return Lease{}, &ShedError{Class: w.Class, Reason: wt.reason, RetryAfter: s.RetryAfter(w.Class), Waited: wt.decided - wt.arrived, Wait: wt.facts}
	}
	return Lease{s: s, slot: wt.slot, Server: wt.server, Waited: wt.decided - wt.arrived, Wait: wt.facts}, nil
}

// arrive brings w to the core. It returns its lease if w has its slot already, and
// otherwise its waiter and the ticket that the caller has to wake.
func (s *Scheduler) arrive(ctx context.Context, w Work) (lease Lease, wt *waiter, other *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, due := s.now(), s.due(&w)
	if s.dry != nil {
		return s.acquireDry(w, now), nil, nil
	}
	if slot, ok := s.core.startNow(int(w.Class), due, w.Avoid, now); ok {
		return s.lease(slot, int(w.Class)), nil, nil
	}
	wt = s.waiters.Get().(*waiter)
	wt.ticket = newTicket(w, due)
	wt.waiter = wt
	if ctx.Err() != nil {
		return Lease{}, wt, nil // rather than push out other work
	}
	s.core.arrive(&wt.ticket, now)
	if wt.state == waiting && wt.expires != 0 {
		wt.timer.Reset(wt.expires - now)
	}
	return Lease{}, wt, s.decided()
}

func newTicket(w Work, due time.Duration) ticket {
	return ticket{class: int(w.Class), flow: w.Flow, bytes: max(w.Bytes, 0), kept: w.Kept, due: due, avoid: w.Avoid}
}

// RetryAfter returns when work of the class that was refused should be tried
// again: in as long as it takes to serve what waits now, later for less urgent
// classes, and a little later at random, so that those who were refused together
// do not come together.
func (s *Scheduler) RetryAfter(class classifier.Class) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.core.retryAfter(int(class))
	return d + rand.N(d/2)
}

// Limit returns the number of slots of all servers in use.
func (s *Scheduler) Limit() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.limit
}

// Reconfigure goes on with another configuration, while work runs and waits. Work
// that runs keeps its slots: after a cut, none is handed out until enough have come
// back. Work that waits keeps its place, even beyond what may wait from now on, and
// the longest wait that it came with. An adaptive limit goes on from what it has
// found. It panics on what [Config.Validate] refuses, and if cfg has other servers,
// classes or another DryRun: that takes a new scheduler.
func (s *Scheduler) Reconfigure(cfg Config) {
	if err := cfg.Validate(); err != nil {
		panic(err)
	}
	s.update(func(now time.Duration) {
		if max(cfg.Servers, 1) != len(s.core.servers) || len(cfg.Classes) != len(s.core.classes) || cfg.DryRun != (s.dry != nil) {
			panic("scheduler: Reconfigure with other servers, classes or another dry run")
		}
		s.core.reconfigure(cfg, now)
		if s.dry != nil {
			s.dry.holdNothingBack()
		}
		s.core.dispatch(now)
	})
}

// SetDown says whether a server is down: work that comes goes to the others. When
// it is back, its adaptive limit starts anew. While all servers are down, all are
// used. It panics if there is no such server.
func (s *Scheduler) SetDown(server int, down bool) {
	s.update(func(now time.Duration) {
		s.core.setDown(server, down)
		s.core.dispatch(now)
	})
}

// SetShare has a server offer only a share of its limit, from 1 to 10,000, rounded up:
// for one that is to get its work back step by step. An adaptive limit does not grow
// beyond what its share lets it use. It panics if there is no such server.
func (s *Scheduler) SetShare(server int, share BasisPoints) {
	if share < 1 || share > whole {
		panic("scheduler: SetShare out of range")
	}
	s.update(func(now time.Duration) {
		s.core.setShare(server, share)
		s.core.dispatch(now)
	})
}

// Drain sheds all that waits, and from now on refuses all that comes, as
// [Draining]. Slots in use stay valid until they are released. A dry run refuses
// nothing.
func (s *Scheduler) Drain() { s.update(s.core.drain) }

// update changes the core and wakes those whose fate that decided.
func (s *Scheduler) update(change func(now time.Duration)) {
	s.updated(change).wake()
}

func (s *Scheduler) updated(change func(now time.Duration)) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock() // even after a panic, which a server may recover from
	change(s.now())
	return s.decided()
}

// now is the core's time. Called with mu held, so that it never goes backwards.
func (s *Scheduler) now() time.Duration { return time.Since(s.epoch) }

// decided returns a ticket whose fate the core has decided, for the caller to
// wake after it has released mu: waking is the longest part of a hand-over. If
// there are more, it wakes those itself. Called with mu held.
func (s *Scheduler) decided() *ticket {
	if s.core.again != 0 && !s.armed {
		s.arm(s.core.again)
	}
	if len(s.core.decided) == 0 {
		return nil
	}
	first := s.core.decided[0]
	for _, t := range s.core.decided[1:] {
		t.wake()
	}
	clear(s.core.decided)
	s.core.decided = s.core.decided[:0]
	return first
}

// arm has the core dispatch once more in d. Called with mu held.
func (s *Scheduler) arm(d time.Duration) {
	s.armed = true
	if s.again != nil {
		s.again.Reset(d)
		return
	}
	s.again = time.AfterFunc(d, func() {
		s.update(func(now time.Duration) {
			s.armed = false
			s.core.tick(now)
			s.core.dispatch(now)
		})
	})
}
