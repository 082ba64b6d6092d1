package scheduler

import (
	"context"
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
	// Deadline is when the work must have been dispatched at the latest; zero
	// for none.
	Deadline time.Time
	// Kept is work that waits elsewhere and only stands for its place in the
	// order, such as the first message of a queue: it is neither bounded nor
	// displaced, and max wait does not apply to it.
	Kept bool
}

// Scheduler hands out the slots of one upstream. All methods are safe for
// concurrent use.
type Scheduler struct {
	epoch   time.Time
	waiters sync.Pool // of *waiter

	mu   sync.Mutex
	core *core // guarded by mu
}

// New returns a scheduler, or every problem of the configuration.
func New(cfg Config) (*Scheduler, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Scheduler{epoch: time.Now(), core: newCore(cfg)}
	s.waiters.New = func() any { return newWaiter() }
	return s, nil
}

// Lease is the right to one slot. Release it exactly once: a second release
// gives back the slot of other work, or panics when the class has none in use.
type Lease struct {
	s     *Scheduler
	class classifier.Class
	// Waited is how long Acquire waited for the slot.
	Waited time.Duration
}

// Release gives the slot back, and so lets the next in order start.
func (l Lease) Release() { l.s.release(int(l.class)).wake() }

func (s *Scheduler) release(class int) *ticket {
	s.mu.Lock()
	defer s.mu.Unlock() // even after the panic, which a server may recover from
	s.core.release(class)
	if s.core.waiting == 0 {
		return nil
	}
	s.core.dispatch(s.now())
	return s.decided()
}

// TryAcquire takes a slot for w if it can be had without waiting and without
// overtaking anything. Otherwise it changes nothing.
func (s *Scheduler) TryAcquire(w Work) (Lease, bool) {
	if w.late() {
		return Lease{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.core.startNow(int(w.Class)) {
		return Lease{}, false
	}
	return Lease{s: s, class: w.Class}, true
}

// late reports whether the deadline has passed.
func (w *Work) late() bool { return !w.Deadline.IsZero() && !time.Now().Before(w.Deadline) }

// Acquire waits for a slot for w. It returns a *ShedError when the work was
// refused, and the context's cause when ctx ended first. Like other context-aware
// functions, it may succeed though ctx has ended if it can take a slot at once.
func (s *Scheduler) Acquire(ctx context.Context, w Work) (Lease, error) {
	wt, other := s.arrive(ctx, w)
	if wt == nil {
		return Lease{s: s, class: w.Class}, nil
	}
	other.wake()
	defer s.waiters.Put(wt)
	left := wt.wait(ctx, s)
	wt.timer.Stop()
	switch {
	case left:
		return Lease{}, context.Cause(ctx)
	case wt.state == shed:
		return Lease{}, &ShedError{Class: w.Class, Reason: wt.reason}
	}
	return Lease{s: s, class: w.Class, Waited: wt.decided - wt.arrived}, nil
}

// arrive brings w to the core. It returns nil if w has its slot already, and
// otherwise its waiter and the ticket that the caller has to wake.
func (s *Scheduler) arrive(ctx context.Context, w Work) (wt *waiter, other *ticket) {
	late := w.late()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !late && s.core.startNow(int(w.Class)) {
		return nil, nil
	}
	wt = s.waiters.Get().(*waiter)
	wt.ticket = ticket{class: int(w.Class), flow: w.Flow, bytes: max(w.Bytes, 0), kept: w.Kept, waiter: wt}
	if !w.Deadline.IsZero() {
		wt.expires = max(w.Deadline.Sub(s.epoch), 1)
	}
	if ctx.Err() != nil {
		return wt, nil // rather than push out other work
	}
	now := s.now()
	s.core.arrive(&wt.ticket, now)
	if wt.state == waiting && wt.expires != 0 {
		wt.timer.Reset(wt.expires - now)
	}
	return wt, s.decided()
}

// SetLimit changes the number of slots. Work that runs keeps its slots: after a
// cut, none is handed out until enough have come back. It panics on a limit
// below 1.
func (s *Scheduler) SetLimit(limit int) {
	if limit < 1 {
		panic("scheduler: SetLimit below 1")
	}
	s.update(func(now time.Duration) {
		s.core.resize(limit)
		s.core.dispatch(now)
	})
}

// Drain sheds all that waits, and from now on refuses all that comes, as
// [Draining]. Slots in use stay valid until they are released.
func (s *Scheduler) Drain() { s.update(s.core.drain) }

// update changes the core and wakes those whose fate that decided.
func (s *Scheduler) update(change func(now time.Duration)) {
	s.mu.Lock()
	change(s.now())
	t := s.decided()
	s.mu.Unlock()
	t.wake()
}

// now is the core's time. Called with mu held, so that it never goes backwards.
func (s *Scheduler) now() time.Duration { return time.Since(s.epoch) }

// decided returns a ticket whose fate the core has decided, for the caller to
// wake after it has released mu: waking is the longest part of a hand-over. If
// there are more, it wakes those itself. Called with mu held.
func (s *Scheduler) decided() *ticket {
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
