package relay

import (
	"context"
	"errors"
	"time"

	"overtake/broker"
	"overtake/classifier"
)

// minPause and maxPause bound the pauses after what was refused.
const (
	minPause = 100 * time.Millisecond
	maxPause = 5 * time.Second
)

// mover moves the messages of one class, in order. All of it but in belongs to the
// goroutine of run.
type mover struct {
	r     *Relay
	class classifier.Class
	in    chan *broker.Taken // with room for all in hand; closed when nothing more comes

	ending <-chan struct{}

	again []*broker.Taken // refused, in order, to be sent before what is in in
	sent  []attempt       // oldest first
	pause time.Duration   // after the next refusal
	alone int             // how many more messages are sent one by one, since a refusal
	said  string          // why it stopped, "" while it moves
}

// attempt is a message that was sent and is not known to be stored.
type attempt struct {
	t    *broker.Taken
	wait func(context.Context) error
}

func newMover(r *Relay, class classifier.Class) *mover {
	return &mover{r: r, class: class, in: make(chan *broker.Taken, cap(r.places)), pause: minPause}
}

// run moves messages until in is closed and empty. After ctx has ended, it gives up
// at the first refusal. Then only the source has what is left.
func (m *mover) run(ctx context.Context) {
	// The messages under way are waited for to the end, which the destination
	// bounds.
	work := context.WithoutCancel(ctx)
	m.ending = ctx.Done()
	for {
		t, open := m.next()
		if t == nil && !open && len(m.sent) == 0 {
			return
		}
		var failed []*broker.Taken
		var err error
		if t != nil {
			if failed, err = m.send(work, t); err == nil {
				continue
			}
		} else {
			failed, err = m.confirm(work)
		}
		if err == nil {
			continue
		}
		m.again = append(failed, m.again...)
		if !m.rest(ctx, err) {
			m.abandon()
			return
		}
	}
}

// next returns the next message to send, with room for it in the window. It returns
// nil if there is none but something is under way, and waits otherwise; open is
// false at the end. After a refusal, messages go one by one for a while: if the lane
// is full again, nothing gets ahead.
func (m *mover) next() (t *broker.Taken, open bool) {
	switch {
	case m.alone > 0 && len(m.sent) > 0:
		return nil, true
	case len(m.again) > 0:
		t, m.again = m.again[0], m.again[1:]
	case len(m.sent) == 0:
		if t, open = <-m.in; !open {
			return nil, false
		}
	default:
		// Who has something under way must not wait for others, who might wait
		// for it.
		select {
		case m.r.sending <- struct{}{}:
		default:
			return nil, true
		}
		select {
		case t, open = <-m.in:
			if open {
				return t, true
			}
		default:
			open = true
		}
		<-m.r.sending
		return nil, open
	}
	m.r.sending <- struct{}{}
	return t, true
}

// send sends t. When that is refused, it returns the error and all that are to be
// sent again.
func (m *mover) send(ctx context.Context, t *broker.Taken) ([]*broker.Taken, error) {
	if isLost(t) {
		<-m.r.sending
		m.r.release() // it comes again
		return nil, nil
	}
	wait, err := m.r.cfg.Destination.Send(ctx, &t.Message)
	if err == nil {
		m.sent = append(m.sent, attempt{t, wait})
		return nil, nil
	}
	<-m.r.sending
	failed, why := m.finish(ctx)
	last, err := m.refused(ctx, t, err)
	if err != nil {
		why = err
	}
	return append(failed, last...), why
}

// outcome waits for the oldest message under way.
func (m *mover) outcome(ctx context.Context) (*broker.Taken, error) {
	oldest := m.sent[0]
	m.sent = m.sent[1:]
	err := oldest.wait(ctx)
	<-m.r.sending
	return oldest.t, err
}

// confirm settles the oldest message under way.
func (m *mover) confirm(ctx context.Context) ([]*broker.Taken, error) {
	t, err := m.outcome(ctx)
	if err == nil {
		m.placed(t)
		return nil, nil
	}
	failed, err := m.refused(ctx, t, err)
	if err == nil {
		return nil, nil
	}
	more, _ := m.finish(ctx)
	return append(failed, more...), err
}

// finish waits for all that is under way, and returns what is to be sent again with
// the last error.
func (m *mover) finish(ctx context.Context) (failed []*broker.Taken, last error) {
	for len(m.sent) > 0 {
		t, err := m.outcome(ctx)
		if err == nil {
			m.placed(t)
			continue
		}
		var again []*broker.Taken
		if again, err = m.refused(ctx, t, err); err != nil {
			failed, last = append(failed, again...), err
		}
	}
	return failed, last
}

func (m *mover) placed(t *broker.Taken) {
	t.Done()
	m.r.release()
	m.r.moved[m.class].Add(1)
	m.pause, m.alone = minPause, max(m.alone-1, 0)
	if m.said != "" {
		m.r.log.Info("relay: goes on", "class", t.Class)
		m.said = ""
	}
}

// refused deals with a message that the destination did not take. It returns an
// error, and the message, if it is to be sent again.
func (m *mover) refused(ctx context.Context, t *broker.Taken, err error) ([]*broker.Taken, error) {
	if !errors.Is(err, broker.ErrTooLarge) && !errors.Is(err, broker.ErrInvalid) {
		return []*broker.Taken{t}, err
	}
	reason := err
	err = m.r.cfg.Destination.Bury(ctx, &t.Message, reason.Error())
	switch {
	case err == nil:
		m.r.log.Warn("relay: made a dead letter of a message that can't be moved", "id", t.ID, "address", t.Address, "error", reason)
		t.Done()
		m.r.release()
		m.r.dead.Add(1)
		return nil, nil
	case errors.Is(err, broker.ErrTooLarge), errors.Is(err, broker.ErrInvalid):
		m.r.log.Error("relay: a message can't be moved and is left at the source", "id", t.ID, "address", t.Address, "error", reason)
		m.r.hold(t, m.ending)
		return nil, nil
	}
	return []*broker.Taken{t}, err
}

// rest pauses after a refusal. It returns false when ctx has ended.
func (m *mover) rest(ctx context.Context, why error) bool {
	kind := why.Error()
	for _, known := range []error{broker.ErrFull, broker.ErrUnavailable, broker.ErrUnknownClass} {
		if errors.Is(why, known) {
			kind = known.Error()
		}
	}
	if kind != m.said {
		m.r.log.Warn("relay: stops until the destination takes messages again",
			"class", m.r.cfg.Classes.Name(m.class), "error", why)
		m.said = kind
	}
	timer := time.NewTimer(m.pause)
	defer timer.Stop()
	m.pause, m.alone = min(2*m.pause, maxPause), max(len(m.again), cap(m.r.sending))
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// abandon leaves all that is in hand to the source.
func (m *mover) abandon() {
	for range m.again {
		m.r.release()
	}
	for range m.in { // until it is closed
		m.r.release()
	}
}

// isLost reports whether the source will hand out t again.
func isLost(t *broker.Taken) bool {
	select {
	case <-t.Lost():
		return true
	default:
		return false
	}
}
