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
	waitForDepth(t, q, "0 0 1 0") // what was acknowledged may still be counted
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

// Native priorities leave one lane for all classes, in the server's order.
func TestInspectNative(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	q := open(t, connect(t), QueueConfig{Native: true})
	publish(t, q, "batch", "b0", "b1")
	publish(t, q, "interactive", "i")
	for _, class := range []string{"batch", deadName} {
		if err := q.SetPaused(ctx, class, true); !errors.Is(err, broker.ErrUnknownClass) {
			t.Errorf("pause of %s alone: %v, want ErrUnknownClass", class, err)
		}
	}
	if err := q.SetPaused(ctx, broker.AllClasses, true); err != nil {
		t.Fatal(err)
	}
	lanes, err := q.Inspect(ctx)
	if err != nil || len(lanes) != 2 || lanes[0].Class != broker.AllClasses || lanes[0].Waiting != 3 || !lanes[0].Paused || lanes[1].Class != deadName {
		t.Errorf("the lanes are %+v, %v; want one paused with 3, and the dead letters", lanes, err)
	}
	peeked, err := q.Peek(ctx, broker.AllClasses, 2)
	if err != nil || len(peeked) != 2 || peeked[0].ID != "i" || peeked[0].Class != "interactive" || peeked[1].ID != "b0" || peeked[1].Class != "batch" {
		t.Errorf("peeked at %+v, %v; want i and b0", peeked, err)
	}

	// A consumer leaves them alone until the queue is resumed.
	c := consumer(t, q)
	came := make(chan *broker.Delivery, 1)
	go func() {
		d, _ := c.Next(ctx, "interactive")
		came <- d
	}()
	l := c.lanes["interactive"]
	for !l.isPaused() {
		if ctx.Err() != nil || len(came) > 0 {
			t.Fatal("the consumer does not heed the pause")
		}
	}
	if err := q.SetPaused(ctx, broker.AllClasses, false); err != nil {
		t.Fatal(err)
	}
	d := <-came
	if d == nil || d.ID != "i" {
		t.Fatalf("after the pause came %+v, want i", d)
	}
	done(t, d)
	if n, err := q.Purge(ctx, broker.AllClasses); err != nil || n != 2 {
		t.Errorf("purged %d, %v; want 2", n, err)
	}
}

// isPaused reports whether the lane knows that it is.
func (l *lane) isPaused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

// While a lane is paused nothing is to come, however many ask, and also if it is
// crowded; what crowds it is given back.
func TestDemandOfPausedLane(t *testing.T) {
	l := newLane(&Consumer{q: &Queue{cfg: QueueConfig{GiveBack: DefaultGiveBack}}}, "jobs", "interactive", "batch")
	l.pick("interactive")
	for range mostAhead {
		l.waiting = append(l.waiting, &delivery{message: broker.Message{Class: "batch"}})
	}
	for _, paused := range []bool{true, false} {
		l.setPaused(paused)
		if got := l.demand(); got.least+got.most > 0 || got.idle != paused || got.soon == paused {
			t.Errorf("paused %v: demand %+v", paused, got)
		}
	}
	l.setPaused(true)
	if back := l.lapsed(); len(back) != mostAhead {
		t.Errorf("%d are given back, want %d", len(back), mostAhead)
	}
	l.setPaused(false)
	if got := l.demand(); got.least != 1 || got.idle {
		t.Errorf("resumed, with one who asks: demand %+v", got)
	}
}
