package scheduler

import (
	"context"
	"time"
)

// waiter is one call of Acquire that has to wait. Waiters are reused.
type waiter struct {
	ticket               // guarded by Scheduler.mu until ready has been received
	ready  chan struct{} // one message per arrival: the ticket is decided; never blocks the sender
	timer  *time.Timer   // runs only while the ticket waits and can expire
}

func newWaiter() *waiter {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	return &waiter{ready: make(chan struct{}, 1), timer: timer}
}

// wake tells the waiter that its ticket is decided. A nil ticket has none, and
// nobody waits in a dry run.
func (t *ticket) wake() {
	if t != nil && t.waiter != nil {
		t.waiter.ready <- struct{}{}
	}
}

// wait blocks until the ticket's fate is decided or ctx ends. It reports whether
// ctx ended first; then the work has no slot.
func (wt *waiter) wait(ctx context.Context, s *Scheduler) (left bool) {
	for {
		select {
		case <-wt.ready:
			return false
		case <-wt.timer.C:
			s.update(func(now time.Duration) {
				if !s.core.expire(&wt.ticket, now) && wt.state == waiting {
					wt.timer.Reset(wt.expires - now)
				}
			})
		case <-ctx.Done():
			s.mu.Lock()
			undecided := wt.state == idle || s.core.withdraw(&wt.ticket) // idle: ctx ended before the arrival
			s.mu.Unlock()
			if undecided {
				return true
			}
			// Decided just before ctx ended. A refusal tells more than the
			// end of ctx; a slot is of no use any more.
			<-wt.ready
			if wt.state == shed {
				return false
			}
			Lease{s: s, slot: wt.slot}.ReleaseAs(Unmeasured)
			return true
		}
	}
}
