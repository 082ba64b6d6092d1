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
func (l Lease) Release() {
	s := l.s
	s.mu.Lock()
	defer s.mu.Unlock() // even after the panic, which a server may recover from
	s.core.release(int(l.class))
	if s.core.waiting > 0 {
		s.core.dispatch(s.now())
		s.wake()
	}
}

// TryAcquire takes a slot for w if it can be had without waiting and without
// overtaking anything. Otherwise it changes nothing.
func (s *Scheduler) TryAcquire(w Work) (Lease, bool) {
	if !w.Deadline.IsZero() && !time.Now().Before(w.Deadline) {
		return Lease{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.core.startNow(int(w.Class)) {
		return Lease{}, false
	}
	return Lease{s: s, class: w.Class}, true
}

// Acquire waits for a slot for w. It returns a *ShedError when the work was
// refused, and the context's cause when ctx ended first. Like other context-aware
// functions, it may succeed though ctx has ended if it can take a slot at once.
func (s *Scheduler) Acquire(ctx context.Context, w Work) (Lease, error) {
	if lease, ok := s.TryAcquire(w); ok {
		return lease, nil
	}
	if ctx.Err() != nil {
		return Lease{}, context.Cause(ctx) // rather than push out other work
	}
	wt := s.waiters.Get().(*waiter)
	defer s.waiters.Put(wt)
	wt.ticket = ticket{class: int(w.Class), flow: w.Flow, bytes: max(w.Bytes, 0), kept: w.Kept, waiter: wt}
	if !w.Deadline.IsZero() {
		wt.expires = max(w.Deadline.Sub(s.epoch), 1)
	}

	s.mu.Lock()
	now := s.now()
	s.core.arrive(&wt.ticket, now)
	s.wake()
	if wt.state == waiting && wt.expires != 0 {
		wt.timer.Reset(wt.expires - now)
	}
	s.mu.Unlock()

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

// SetLimit changes the number of slots. Work that runs keeps its slots: after a
// cut, none is handed out until enough have come back. It panics on a limit
// below 1.
func (s *Scheduler) SetLimit(limit int) {
	if limit < 1 {
		panic("scheduler: SetLimit below 1")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.resize(limit)
	s.core.dispatch(s.now())
	s.wake()
}

// Drain sheds all that waits, and from now on refuses all that comes, as
// [Draining]. Slots in use stay valid until they are released.
func (s *Scheduler) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.core.drain(s.now())
	s.wake()
}

// now is the core's time. Called with mu held, so that it never goes backwards.
func (s *Scheduler) now() time.Duration { return time.Since(s.epoch) }

// wake tells the waiters whose fate the core has decided. Called with mu held.
func (s *Scheduler) wake() {
	for i, t := range s.core.decided {
		t.waiter.ready <- struct{}{}
		s.core.decided[i] = nil
	}
	s.core.decided = s.core.decided[:0]
}
