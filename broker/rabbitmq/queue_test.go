package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("m", i)
	}
	return ids
}

func TestConnectRefusesBadURL(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:5672", "http://guest:secret@127.0.0.1", "amqp://guest:secret@127.0.0.1:port"} {
		_, err := Connect(ConnConfig{URL: url})
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "amqp://user:password@host:port/vhost") {
			t.Errorf("connect to %q: error %v, want one that says what a URL looks like, without the password", url, err)
		}
	}
}

func TestOpenQueueRefusesBadConfig(t *testing.T) {
	c := connect(t)
	classes := []string{"interactive"}
	tests := map[string]struct {
		cfg  QueueConfig
		want string
	}{
		"no name":        {QueueConfig{Classes: classes}, `queue ""`},
		"dotted name":    {QueueConfig{Name: "a.b", Classes: classes}, `queue "a.b"`},
		"no classes":     {QueueConfig{Name: "q"}, "no classes"},
		"class dead":     {QueueConfig{Name: "q", Classes: []string{"a", "dead"}}, "rename the class"},
		"twice":          {QueueConfig{Name: "q", Classes: []string{"a", "a"}}, "twice"},
		"dotted class":   {QueueConfig{Name: "q", Classes: []string{"a.b"}}, `"a.b"`},
		"type":           {QueueConfig{Name: "q", Classes: classes, Type: "stream"}, `type "stream"`},
		"small lane":     {QueueConfig{Name: "q", Classes: classes, MaxBytes: 1}, "MaxBytes 1"},
		"negative wait":  {QueueConfig{Name: "q", Classes: classes, GiveBack: -1}, "GiveBack -1ns"},
		"several faults": {QueueConfig{Name: "a b", Classes: []string{"dead"}}, "letters, digits, '-' and '_'\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := c.OpenQueue(testContext(t), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestOpenQueueAgain(t *testing.T) {
	c := connect(t)
	q := open(t, c, QueueConfig{})
	publish(t, q, "batch", "kept")
	again, err := c.OpenQueue(testContext(t), q.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if got := depths(t, again); got != "0 0 1 0" {
		t.Errorf("depths %s, want 0 0 1 0", got)
	}

	for arg, change := range map[string]func(*QueueConfig){
		"x-max-length": func(cfg *QueueConfig) { cfg.MaxBytes = 1 << 20 },
		"x-queue-type": func(cfg *QueueConfig) { cfg.Type = Classic },
	} {
		cfg := q.cfg
		change(&cfg)
		_, err := c.OpenQueue(testContext(t), cfg)
		name := q.name("interactive")
		if err == nil || !strings.Contains(err.Error(), `"`+name+`"`) || !strings.Contains(err.Error(), arg) ||
			!strings.Contains(err.Error(), "rabbitmqctl delete_queue "+name) || errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("another %s: error %v, want one that names the queue, the argument and what to do", arg, err)
		}
	}
}

func TestDeletedLaneComesBack(t *testing.T) {
	ctx := testContext(t)
	conn := connectWith(t, slog.DiscardHandler) // it warns, rightly
	q := open(t, conn, QueueConfig{})
	c, p := consumer(t, q), publisher(t, q)
	if err := p.Publish(ctx, &broker.Message{ID: "before", Class: "batch"}); err != nil {
		t.Fatal(err)
	}
	done(t, next(t, c, "batch", "before", 1))
	control(t, q, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(q.name("interactive"), false, false, false)
		return err
	})
	// Nobody consumes it, so it is still away.
	if err := p.Publish(ctx, &broker.Message{ID: "x", Class: "interactive"}); !errors.Is(err, broker.ErrUnknownClass) {
		t.Errorf("publish to a deleted lane: error %v, want %v", err, broker.ErrUnknownClass)
	}
	got := make(chan *broker.Delivery, 1)
	go func() {
		d, _ := c.Next(ctx, "interactive")
		got <- d
	}()
	for p.Publish(ctx, &broker.Message{ID: "after", Class: "interactive"}) != nil && ctx.Err() == nil {
		// until the consumer has declared the lane again
	}
	if d := <-got; d == nil || d.ID != "after" {
		t.Fatalf("got %+v, want after", d)
	}

	// It is deleted under a consumer that waits.
	go func() {
		d, _ := c.Next(ctx, "interactive")
		got <- d
	}()
	control(t, q, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(q.name("interactive"), false, false, false)
		return err
	})
	for p.Publish(ctx, &broker.Message{ID: "again", Class: "interactive"}) != nil && ctx.Err() == nil {
		// as above
	}
	if d := <-got; d == nil || d.ID != "again" {
		t.Errorf("got %+v, want again", d)
	}
}

// What is delivered and not asked for can't be overtaken, so it must be little,
// however much is in hand.
func TestLittleIsDeliveredAhead(t *testing.T) {
	const total, held = 600, 300
	for _, kind := range []string{Quorum, Classic} {
		t.Run(kind, func(t *testing.T) {
			q := open(t, connect(t), QueueConfig{Type: kind})
			publish(t, q, "batch", manyIDs(total)...)
			c := consumer(t, q)
			deliveries := make([]*broker.Delivery, held)
			for i := range deliveries {
				d, err := c.Next(testContext(t), "batch")
				if err != nil {
					t.Fatal(err)
				}
				deliveries[i] = d
			}
			for i, d := range deliveries {
				done(t, d)
				if i%100 != 0 {
					continue
				}
				lanes, err := q.Lanes(testContext(t))
				if err != nil {
					t.Fatal(err)
				}
				// It may have asked for all of them in the last moment.
				if ahead := total - held - lanes[2].Depth; ahead < 0 || ahead > mostAhead+held {
					t.Errorf("%d messages delivered ahead with %d in hand", ahead, held-i)
				}
			}
		})
	}
}

// What a burst needed is closed when callers come slowly again: who waits for one
// message gets a few at most.
func TestLittleIsDeliveredAheadAfterABurst(t *testing.T) {
	const total, later = 300, 100
	q := open(t, connect(t), QueueConfig{})
	publish(t, q, "batch", manyIDs(total)...)
	c := consumer(t, q)
	var settling sync.WaitGroup
	for range total {
		d, err := c.Next(testContext(t), "batch")
		if err != nil {
			t.Fatal(err)
		}
		settling.Go(func() {
			if err := d.Done(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
	settling.Wait()
	came := make(chan *broker.Delivery)
	go func() {
		d, _ := c.Next(testContext(t), "batch")
		came <- d
	}()
	for consumers := 2; consumers > 1; {
		lanes, err := q.Inspect(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		consumers = lanes[2].Consumers
	}
	publish(t, q, "batch", manyIDs(total + later)[total:]...)
	done(t, <-came)
	lanes, err := q.Lanes(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if ahead := later - 1 - lanes[2].Depth; ahead < 0 || ahead > fastCredit {
		t.Errorf("%d messages delivered ahead of one call, want at most %d", ahead, fastCredit)
	}
}

func TestConsumerThatDoesNotAskTakesNothing(t *testing.T) {
	q := open(t, connect(t), QueueConfig{})
	publish(t, q, "batch", manyIDs(20)...)
	idle, busy := consumer(t, q), consumer(t, q)
	d := next(t, idle, "batch", "m0", 1)
	for i := 1; i < 10; i++ {
		done(t, next(t, busy, "batch", fmt.Sprint("m", i), 1))
	}
	done(t, d)
	for i := 10; i < 20; i++ {
		done(t, next(t, busy, "batch", fmt.Sprint("m", i), 1))
	}
}

func TestAbandonedMessageGoesToAnotherConsumer(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{GiveBack: 200 * time.Millisecond})
	idle, busy := consumer(t, q), consumer(t, q)
	l := idle.lanes["batch"]
	// As when the caller gives up just as the message comes.
	_, came := l.pick("batch")
	publish(t, q, "batch", "m")
	l.leaveWithMessage(came)
	done(t, next(t, busy, "batch", "m", 2))
}

// leaveWithMessage is leave after the message has come.
func (l *lane) leaveWithMessage(came chan *delivery) {
	came <- <-came
	l.leave("batch", came)
}

func TestFailedSettlementLetsTheMessageComeAgain(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{GiveBack: 200 * time.Millisecond})
	publish(t, q, "batch", "m")
	c := consumer(t, q)
	d := next(t, c, "batch", "m", 1)
	failing := d.Settler.(*delivery)
	err := failing.settle(testContext(t), "dead", func(context.Context) error { return broker.ErrUnavailable })
	if err == nil {
		t.Fatal("no error")
	}
	// Nobody tries again, and the consumer lives on.
	done(t, next(t, c, "batch", "m", 2))
}

func TestForeignMessage(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{})
	control(t, q, func(ch *amqp.Channel) error {
		return ch.Publish(q.cfg.Name, "batch", true, false, amqp.Publishing{
			ContentType: "text/plain",
			Headers:     amqp.Table{"n": int32(7), "list": []any{true, "x", nil}, "nested": amqp.Table{"a": 1.5}},
			Body:        []byte("hello"),
		})
	})
	c := consumer(t, q)
	d, err := c.Next(testContext(t), "batch")
	if err != nil {
		t.Fatal(err)
	}
	want := broker.Header{
		"n": {"7"}, "list": {"true", "x", ""}, "nested": {"map[a:1.5]"},
		broker.HeaderContentType: {"text/plain"}, broker.HeaderClass: {"batch"},
	}
	if fmt.Sprint(d.Header) != fmt.Sprint(want) || string(d.Body) != "hello" || d.ID == "" || d.Class != "batch" || d.Attempt != 1 {
		t.Errorf("delivery %+v, want header %v", d, want)
	}
	id := d.ID
	if err := d.Retry(testContext(t), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	d = next(t, c, "batch", id, 2) // it keeps the ID that it got
	if fmt.Sprint(d.Header) != fmt.Sprint(want) {
		t.Errorf("header %v after a retry, want %v", d.Header, want)
	}
	done(t, d)
}

func TestDeadLettersStay(t *testing.T) {
	ctx := testContext(t)
	q := open(t, connect(t), QueueConfig{})
	c := consumer(t, q)
	publish(t, q, "batch", manyIDs(5)...)
	for i := range 5 {
		if err := next(t, c, "batch", fmt.Sprint("m", i), 1).Dead(ctx, "why"); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{2, 5, 100, 1, 0} {
		letters, err := q.DeadLetters(ctx, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(letters) != min(limit, 5) {
			t.Errorf("%d dead letters, want %d", len(letters), min(limit, 5))
		}
		for i, l := range letters {
			if l.ID != fmt.Sprint("m", i) || l.Reason != "why" || l.Attempts != 1 || l.Died.IsZero() || l.Class != "batch" {
				t.Errorf("dead letter %d is %+v", i, l)
			}
		}
	}
	if n, err := q.DeadDepth(ctx); err != nil || n != 5 {
		t.Errorf("%d dead letters, %v; want 5", n, err)
	}
	if got := depths(t, q); got != "0 0 0 5" {
		t.Errorf("the lanes hold %s, want 0 0 0 and 5 dead letters", got)
	}
}

func TestSeen(t *testing.T) {
	w := seen{keep: time.Minute}
	now := time.Now()
	for i := range maxSeen + 10 {
		w.add(stay{id: fmt.Sprint(i), attempts: 0}, now)
	}
	for id, want := range map[string]bool{"0": false, "9": false, "10": true, fmt.Sprint(maxSeen): true} {
		if got := w.has(stay{id: id, attempts: 0}, now); got != want {
			t.Errorf("%s is remembered: %v, want %v", id, got, want)
		}
	}
	if w.has(stay{id: "10", attempts: 1}, now) {
		t.Error("another stay of the same message is taken for this one")
	}
	if w.has(stay{id: "10", replayed: "1"}, now) {
		t.Error("a replay of the message is taken for the first")
	}
	if w.has(stay{id: "10", attempts: 0}, now.Add(2*time.Minute)) {
		t.Error("it is remembered for longer than the window")
	}
	w.add(stay{id: "new", attempts: 0}, now.Add(2*time.Minute))
	if len(w.since) != 1 || len(w.order) != 1 {
		t.Errorf("%d remembered, want the new one alone", len(w.since))
	}
}
