package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"overtake/broker"
)

// fakeQueue is a broker in memory, as far as the gateway can tell. The real ones
// have their conformance suite; this one can be told to fail, and shows what
// became of its messages.
type fakeQueue struct {
	mu      sync.Mutex
	lanes   map[string][]*fakeMessage
	ids     map[string]bool
	settled []string // "id done", "id retry 1s", "id dead: reason"
	fail    error    // what Publish, Ping and Depths return
	deaf    error    // what Ping alone returns
	publish func(context.Context) error
	arrived chan struct{} // closed and replaced when there is something new
}

type fakeMessage struct {
	broker.Message
	attempt int
}

func newFakeQueue() *fakeQueue {
	return &fakeQueue{lanes: make(map[string][]*fakeMessage), ids: make(map[string]bool), arrived: make(chan struct{})}
}

// open returns the queue as the gateway's queue jobs.
func (q *fakeQueue) open() map[string]Queue {
	return map[string]Queue{"jobs": {Publisher: q, Consumer: q, Ping: q.ping, Depths: q.depths, Inspect: q.inspect}}
}

// Publish implements broker.Publisher.
func (q *fakeQueue) Publish(ctx context.Context, m *broker.Message) error {
	if err := m.Validate(); err != nil {
		return err
	}
	if q.publish != nil {
		if err := q.publish(ctx); err != nil {
			return err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return fmt.Errorf("fake: %w", q.fail)
	}
	if !q.ids[m.ID] {
		q.ids[m.ID] = true
		q.put(&fakeMessage{Message: *m})
	}
	return nil
}

func (q *fakeQueue) put(m *fakeMessage) {
	q.lanes[m.Class] = append(q.lanes[m.Class], m)
	close(q.arrived)
	q.arrived = make(chan struct{})
}

// Next implements broker.Consumer.
func (q *fakeQueue) Next(ctx context.Context, class string) (*broker.Delivery, error) {
	for {
		q.mu.Lock()
		if lane := q.lanes[class]; len(lane) > 0 {
			m := lane[0]
			q.lanes[class] = lane[1:]
			m.attempt++
			q.mu.Unlock()
			return &broker.Delivery{Message: m.Message, Attempt: m.attempt, Published: time.Now(), Settler: &fakeSettler{q, m}}, nil
		}
		arrived := q.arrived
		q.mu.Unlock()
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Close implements broker.Publisher and broker.Consumer.
func (q *fakeQueue) Close(context.Context) error { return nil }

func (q *fakeQueue) depths(context.Context) (map[string]int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fail != nil {
		return nil, q.fail
	}
	depths := map[string]int{"interactive": 0, "standard": 0, "batch": 0}
	for class, lane := range q.lanes {
		depths[class] = len(lane)
	}
	return depths, nil
}

// ping fails also where the lanes can be read.
func (q *fakeQueue) ping(context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return errors.Join(q.fail, q.deaf)
}

// inspect shows the lane of batch as paused.
func (q *fakeQueue) inspect(ctx context.Context) ([]broker.Lane, error) {
	depths, err := q.depths(ctx)
	var lanes []broker.Lane
	for class, n := range depths {
		lanes = append(lanes, broker.Lane{Class: class, Waiting: n, Paused: class == "batch"})
	}
	return lanes, err
}

func (q *fakeQueue) breaks(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.fail = err
}

// lane returns what waits in a lane.
func (q *fakeQueue) lane(class string) []*fakeMessage {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]*fakeMessage(nil), q.lanes[class]...)
}

func (q *fakeQueue) settlements() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return append([]string(nil), q.settled...)
}

// settlement waits for the nth settlement.
func (q *fakeQueue) settlement(t *testing.T, n int) string {
	t.Helper()
	eventually(t, fmt.Sprintf("%d messages are settled", n), func() bool { return len(q.settlements()) >= n })
	return q.settlements()[n-1]
}

type fakeSettler struct {
	q *fakeQueue
	m *fakeMessage
}

func (s *fakeSettler) settle(how string, again bool) error {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	s.q.settled = append(s.q.settled, s.m.ID+" "+how)
	if again {
		s.q.put(s.m)
	}
	return nil
}

// Done implements broker.Settler.
func (s *fakeSettler) Done(context.Context) error { return s.settle("done", false) }

// Retry implements broker.Settler. It does not wait: tests look at after.
func (s *fakeSettler) Retry(_ context.Context, after time.Duration) error {
	return s.settle("retry "+after.String(), true)
}

// Dead implements broker.Settler.
func (s *fakeSettler) Dead(_ context.Context, reason string) error {
	return s.settle("dead: "+reason, false)
}

// Working implements broker.Settler.
func (s *fakeSettler) Working(context.Context) error { return nil }
