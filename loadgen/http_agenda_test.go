package loadgen

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"overtake/loadgen/content"
)

// An agenda has what was added and did not leave, in the order of the deadlines.
func TestAgenda(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var a, other agenda
	conns := make([]*conn, 30)
	for i := range conns {
		conns[i] = &conn{}
	}
	for step := range 5000 {
		switch c := conns[random.IntN(len(conns))]; random.IntN(4) {
		case 0:
			c.leave()
		case 1:
			other.add(c, time.Duration(step))
		default:
			a.add(c, time.Duration(step+random.IntN(5)))
		}
		for _, a := range []*agenda{&a, &other} {
			var want, got, back []*conn
			for _, c := range conns {
				if c.agenda == a {
					want = append(want, c)
				}
			}
			for c := a.first; c != nil; c = c.later {
				got = append(got, c)
			}
			for c := a.last; c != nil; c = c.earlier {
				back = append(back, c)
			}
			slices.Reverse(back)
			ordered := slices.IsSortedFunc(got, func(a, b *conn) int { return int(a.deadline - b.deadline) })
			if len(got) != len(want) || !ordered || !slices.Equal(got, back) || a.due() == never != (len(want) == 0) {
				t.Fatalf("step %d: %d connections, %d backwards, want %d; ordered is %v", step, len(got), len(back), len(want), ordered)
			}
		}
	}
}

// call returns a request whose outcome s.outcomes gets.
func (s *sender) call(timeout time.Duration) *Call {
	return NewCall("a/1", &s.class, &content.Request{Method: "GET", Target: "/"}, timeout, func(_ *Call, o Outcome) { s.outcomes <- o }, nil)
}

// A request times out at its deadline, and not before.
func TestTimeoutsAreExact(t *testing.T) {
	s := openSender(t, serveRaw(t, hang))
	s.send(time.Minute)
	eventually(t, "the request has a connection", func() bool { return s.open() == 1 })
	s.loop.do(func() {
		p := s.pools["a"]
		due := p.due()
		if left := due - s.loop.clock(); left > time.Minute || len(s.outcomes) > 0 {
			t.Errorf("the loop wakes in %v", left)
		}
		p.expire(due - 1)
		if len(s.outcomes) > 0 {
			t.Error("it timed out before its deadline")
		}
		p.expire(due)
		if len(s.outcomes) != 1 || (<-s.outcomes).Cause != FailTimeout {
			t.Error("it did not time out at its deadline")
		}
	})
}

// A request that has waited for a connection until its deadline is not sent any more, also
// if one becomes idle before anybody looks.
func TestOverdueRequestsAreNotSent(t *testing.T) {
	s := openSender(t, serveRaw(t, hang))
	s.send(time.Minute)
	eventually(t, "the request has a connection", func() bool { return s.open() == 1 })
	s.loop.do(func() {
		p := s.pools["a"]
		s.Send(s.call(time.Nanosecond))
		for s.loop.clock() < p.due() {
		}
		p.underway.first.received([]byte(okAnswer), nil)
		if p.idle.first == nil || p.underway.first != nil {
			t.Error("it was sent")
		}
	})
	if first, second := <-s.outcomes, <-s.outcomes; first.Kind != OutcomeOK || second.Cause != FailTimeout {
		t.Errorf("outcomes %+v and %+v", first, second)
	}
}

// The wait of what is held is lag, and neither service time nor a part of the timeout.
func TestHeldRequestsAreLate(t *testing.T) {
	s := openSender(t, serveRaw(t, hang))
	s.outcomes = make(chan Outcome, 2*enough)
	f := &flow{recorder: newRecorder(0, time.Hour, 0, nil)}
	s.loop.do(func() {
		p := s.pools["a"]
		var last *Call
		for range enough + 1 {
			last = s.call(time.Millisecond)
			last.started, last.flow = 2*heldLag, f
			s.Send(last)
		}
		if p.waiting.len() != 0 || p.held.len() != enough+1 {
			t.Errorf("%d wait, %d are held", p.waiting.len(), p.held.len())
		}
		end := s.loop.clock() + patience
		p.expire(end)
		if p.waiting.len() != enough+1 || len(s.outcomes) > 0 || p.due() != end+time.Millisecond {
			t.Errorf("%d wait and %d have timed out; the next will %v after the end of their patience", p.waiting.len(), len(s.outcomes), p.due()-end)
		}
		if lag := f.recorder.lag; lag.count() != enough+1 || lag.quantile(1) < 2*heldLag+patience || last.started < 2*heldLag+patience {
			t.Errorf("lag %v of %d", lag.quantile(1), lag.count())
		}
		s.Send(s.call(time.Minute)) // in time
		if p.waiting.len() != enough+2 {
			t.Error("a request in time is held")
		}
	})
}
