package rabbitmq

import (
	"errors"
	"fmt"
	"math"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// kill makes dead letters of the next n messages of a lane.
func kill(t *testing.T, q *Queue, c *Consumer, class string, n int) {
	t.Helper()
	for range n {
		d, err := c.Next(testContext(t), class)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Dead(testContext(t), "bad"); err != nil {
			t.Fatal(err)
		}
	}
}

func everyLetter(*broker.DeadLetter) bool { return true }

func TestReplayIntoRemovedClass(t *testing.T) {
	conn := connect(t)
	q := open(t, conn, QueueConfig{})
	publish(t, q, "batch", "m")
	kill(t, q, consumer(t, q), "batch", 1)
	fewer, err := conn.Queue(testContext(t), QueueConfig{Name: q.cfg.Name, Classes: []string{"interactive"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := fewer.Replay(testContext(t), everyLetter); n != 0 || !errors.Is(err, broker.ErrUnknownClass) {
		t.Errorf("replayed %d, %v; want ErrUnknownClass", n, err)
	}
	if letters, err := q.DeadLetters(testContext(t), 10); err != nil || len(letters) != 1 {
		t.Errorf("dead letters %+v, %v; want the one", letters, err)
	}
}

// A replay that died between its two steps is repeated, and a consumer takes the
// second message for what it is.
func TestReplayRepeated(t *testing.T) {
	q := open(t, connect(t), QueueConfig{})
	publish(t, q, "batch", "m")
	c := consumer(t, q)
	kill(t, q, c, "batch", 1)
	letters, err := q.DeadLetters(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	out := q.newOutlet()
	if err := errors.Join(q.replay(testContext(t), out, &letters[0]), out.close(testContext(t))); err != nil {
		t.Fatal(err)
	}
	done(t, next(t, c, "batch", "m", 1))
	if n, err := q.Replay(testContext(t), everyLetter); n != 1 || err != nil {
		t.Errorf("replayed %d, %v; want 1", n, err)
	}
	publish(t, q, "batch", "n")
	done(t, next(t, c, "batch", "n", 1))
}

// Several dead letters of one ID are copies of one message.
func TestReplayCopies(t *testing.T) {
	q := open(t, connect(t), QueueConfig{})
	out := q.newOutlet()
	for range 3 {
		p := amqp.Publishing{MessageId: "m", Headers: amqp.Table{broker.HeaderClass: "batch"}}
		if err := out.publish(testContext(t), "", q.name(deadName), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Replay(testContext(t), everyLetter); n != 1 || err != nil {
		t.Errorf("replayed %d, %v; want 1", n, err)
	}
	if got := depths(t, q); got != "0 0 1" {
		t.Errorf("in the lanes wait %s, want one of batch", got)
	}
	if letters, err := q.DeadLetters(testContext(t), 10); err != nil || len(letters) != 0 {
		t.Errorf("dead letters %+v, %v; want none", letters, err)
	}
}

// However many are looked at, they are back in order.
func TestBrowseKeepsOrder(t *testing.T) {
	for _, kind := range []string{Quorum, Classic} {
		t.Run(kind, func(t *testing.T) {
			q := open(t, connect(t), QueueConfig{Type: kind})
			var ids []string
			for i := range 200 {
				ids = append(ids, fmt.Sprint("m", i))
			}
			publish(t, q, "batch", ids...)
			for _, limit := range []int{1, 100, math.MaxInt, 150} {
				peeked, err := q.Peek(testContext(t), "batch", limit)
				if err != nil || len(peeked) != min(limit, len(ids)) {
					t.Fatalf("peeked at %d, %v; want %d", len(peeked), err, min(limit, len(ids)))
				}
				for i, p := range peeked {
					if p.ID != ids[i] {
						t.Fatalf("of %d, number %d is %s, want %s", limit, i, p.ID, ids[i])
					}
				}
			}
		})
	}
}
