package nats

import (
	"errors"
	"fmt"
	"testing"

	"overtake/broker"
)

// A stream that is asked whether it takes messages keeps those that it has, and what
// is known of their deliveries.
func TestAskingChangesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t, t.TempDir())
	q := b.open(t, QueueConfig{})
	publish(t, q, "batch", "1", "2", "3")
	c := consumer(t, q)
	first := next(t, c, "batch", "1", 1)
	for range 10 {
		if err := b.conn.ask(q.stream("batch")); err != nil {
			t.Fatal(err)
		}
	}
	if got := lanes(t, q)[2]; got.Depth != 2 || got.Unsettled != 1 {
		t.Errorf("the lane has %+v, want 2 that wait and 1 in hand", got)
	}
	if err := first.Done(testContext(t)); err != nil {
		t.Error(err)
	}
	for _, id := range []string{"2", "3"} {
		if err := next(t, c, "batch", id, 1).Done(testContext(t)); err != nil {
			t.Error(err)
		}
	}
}

// A refused message is no reason to take the queue for one that takes none.
func TestRefusalsLeaveTheQueueUp(t *testing.T) {
	t.Parallel()
	b := startBroker(t, t.TempDir())
	q := b.open(t, QueueConfig{MaxBytes: minBytes})
	p := publisher(t, q)
	err := p.Publish(testContext(t), &broker.Message{ID: "large", Class: "batch", Body: make([]byte, 2*minBytes)})
	if !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("a large message: %v", err)
	}
	for i, err := 0, error(nil); !errors.Is(err, broker.ErrFull); i++ {
		if err != nil || i > 100 {
			t.Fatalf("message %d: %v, want that the lane is full", i, err)
		}
		err = p.Publish(testContext(t), &broker.Message{ID: fmt.Sprint(i), Class: "batch", Body: make([]byte, minBytes/8)})
	}
	if err := q.Ping(testContext(t)); err != nil {
		t.Error(err)
	}
	publish(t, q, "interactive", "urgent")
}
