package gateway

import (
	"context"
	"errors"
	"time"

	"overtake/scheduler"
)

// slot is a request's or a message's right to run on one server of its upstream.
// It belongs to one goroutine at a time.
type slot struct {
	upstream *upstream
	work     scheduler.Work
	lease    scheduler.Lease
	got      time.Time     // when the last lease was
	held     bool          // the lease has not been given back
	waited   time.Duration // for all leases that it has had
	journal  *journal      // nil when nobody will read it
	tries    int           // how often the work was sent
	server   *server       // where it was sent last; nil for nowhere
}

// tried notes that the work is sent to a server.
func (s *slot) tried(on *server) {
	s.tries++
	s.server = on
	s.journal.tried(on)
}

// acquire waits for the slot in class order.
func (s *slot) acquire(ctx context.Context) error {
	s.journal.waiting(s.upstream.name)
	lease, err := s.upstream.scheduler.Acquire(ctx, s.work)
	now := time.Now()
	if err != nil {
		var facts scheduler.Wait
		var shed *scheduler.ShedError
		if errors.As(err, &shed) {
			s.waited += shed.Waited
			facts = shed.Wait
		}
		s.journal.waited(now, facts, reasonOf(err))
		return err
	}
	s.journal.waited(now, lease.Wait, "")
	s.lease, s.got, s.held = lease, now, true
	s.waited += lease.Waited
	return nil
}

// release gives the slot back if it is held. outcome says whether the time it was
// held for tells how fast the server is.
func (s *slot) release(outcome scheduler.Outcome) {
	if s.held {
		s.held = false
		s.lease.ReleaseAs(outcome)
	}
}

// outcomeOf is what an exchange that failed tells about its server: it takes at
// least as long as somebody was ready to wait for it, if that was not too hurried to
// say anything, and nothing otherwise.
func outcomeOf(err error, hurried bool) scheduler.Outcome {
	var f *failure
	if !hurried && errors.As(err, &f) && (f.reason == reasonUpstreamTimeout || f.reason == reasonDeadline) {
		return scheduler.Done
	}
	return scheduler.Unmeasured
}
