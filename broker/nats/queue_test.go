package nats

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

func manyIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprint("m", i)
	}
	return ids
}

func TestOpenQueueRefusesBadConfig(t *testing.T) {
	b := startBroker(t, t.TempDir())
	classes := []string{"interactive"}
	tests := map[string]struct {
		cfg  QueueConfig
		want string
	}{
		"no name":        {QueueConfig{Classes: classes}, `queue ""`},
		"dotted name":    {QueueConfig{Name: "a.b", Classes: classes}, `queue "a.b"`},
		"wildcard":       {QueueConfig{Name: "*", Classes: classes}, `queue "*"`},
		"no classes":     {QueueConfig{Name: "q"}, "no classes"},
		"class dead":     {QueueConfig{Name: "q", Classes: []string{"a", "dead"}}, "rename the class"},
		"twice":          {QueueConfig{Name: "q", Classes: []string{"a", "a"}}, "twice"},
		"underscore":     {QueueConfig{Name: "q", Classes: []string{"a_b"}}, `"a_b"`},
		"small lane":     {QueueConfig{Name: "q", Classes: classes, MaxBytes: 1}, "MaxBytes 1"},
		"negative wait":  {QueueConfig{Name: "q", Classes: classes, AckWait: -1}, "AckWait -1ns"},
		"too much disk":  {QueueConfig{Name: "q", Classes: classes, MaxBytes: 2 * storeLimit}, "give the queue smaller lanes"},
		"several faults": {QueueConfig{Name: "a b", Classes: []string{"dead"}}, "letters, digits, '-' and '_'\n"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := b.conn.OpenQueue(testContext(t), test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestOpenQueueAgain(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, t.TempDir())
	publish(t, b.open(t, QueueConfig{}), "batch", "kept")

	t.Run("with other settings", func(t *testing.T) {
		q := b.open(t, QueueConfig{MaxBytes: 1 << 20, DeadBytes: 1 << 20, DedupeWindow: time.Minute, AckWait: time.Second})
		s, err := b.conn.js.Stream(ctx, "jobs_batch")
		if err != nil {
			t.Fatal(err)
		}
		got := s.CachedInfo().Config
		if got.MaxBytes != 1<<20 || got.Duplicates != time.Minute {
			t.Errorf("MaxBytes %d and Duplicates %v were not changed", got.MaxBytes, got.Duplicates)
		}
		if depth := lanes(t, q)[2].Depth; depth != 1 {
			t.Errorf("%d messages, want the one that was there", depth)
		}
	})
	t.Run("with a lane more and a lane less", func(t *testing.T) {
		var log bytes.Buffer
		b.conn.log = slog.New(slog.NewTextHandler(&log, nil))
		q := b.open(t, QueueConfig{Classes: []string{"interactive", "bulk"}})
		if depth := lanes(t, q)[1].Depth; depth != 0 {
			t.Errorf("%d messages in the new lane", depth)
		}
		if got := log.String(); !strings.Contains(got, "class=batch messages=1") || strings.Contains(got, "standard") {
			t.Errorf("log %q, want a warning about class batch only", got)
		}
		if lane := lanes(t, b.open(t, QueueConfig{}))[2]; lane.Depth != 1 {
			t.Errorf("the lane that came back is %+v, want its message", lane)
		}
	})
}

// A configuration changes with time. Whatever it was, the next one opens, what
// waits survives, and lanes that are not wanted any more go when they are empty.
func TestOpenQueueAfterEveryChange(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	b := startBroker(t, t.TempDir())
	b.conn.log = slog.New(slog.DiscardHandler) // it warns of the lanes that hold messages, rightly
	publish(t, b.open(t, QueueConfig{MaxBytes: 300 << 20}), "batch", "kept")
	three := []string{"interactive", "standard", "batch"}
	for _, cfg := range []QueueConfig{
		{Name: "other", Classes: three, MaxBytes: 300 << 20},
		{Classes: []string{"interactive", "batch"}, MaxBytes: 450 << 20},
		{Classes: []string{"a", "b", "c", "d"}, MaxBytes: 20 << 20, DeadBytes: 1 << 20},
		{Classes: []string{"interactive"}, MaxBytes: 4 << 30},
		{Classes: three, MaxBytes: 1 << 20},
	} {
		b.open(t, cfg)
	}
	if lane := lanes(t, b.open(t, QueueConfig{Classes: three}))[2]; lane.Depth != 1 {
		t.Errorf("the lane of class batch is %+v, want its message", lane)
	}
	if _, err := b.conn.js.Stream(ctx, "jobs_a"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the empty lane of class a is still there: %v", err)
	}
}

func TestOpenQueueLeavesForeignStreamsAlone(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, t.TempDir())
	foreign := []jetstream.StreamConfig{
		{Name: "a_batch", Subjects: []string{"orders.>"}},
		{Name: "anything", Subjects: []string{"b.>"}},
		{Name: "c_batch", Subjects: []string{"c.batch"}, Retention: jetstream.LimitsPolicy},
	}
	wants := []string{`takes other subjects: ["orders.>"]`, `another stream takes ["b.batch"]`, "settings that can't be changed"}
	for i, queue := range []string{"a", "b", "c"} {
		if _, err := b.conn.js.CreateStream(ctx, foreign[i]); err != nil {
			t.Fatal(err)
		}
		_, err := b.conn.OpenQueue(ctx, QueueConfig{Name: queue, Classes: []string{"batch"}})
		if err == nil || !strings.Contains(err.Error(), wants[i]) || !strings.Contains(err.Error(), "another name") {
			t.Errorf("queue %s: error %v, want one with %q and a remedy", queue, err, wants[i])
		}
	}
}

func TestLanes(t *testing.T) {
	ctx := testContext(t)
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	publish(t, q, "batch", manyIDs(5)...)
	c := consumer(t, q)
	next(t, c, "batch", "m0", 1)
	if err := next(t, c, "batch", "m1", 1).Retry(ctx, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := next(t, c, "batch", "m2", 1).Done(ctx); err != nil {
		t.Fatal(err)
	}
	if err := next(t, c, "batch", "m3", 1).Dead(ctx, "bad"); err != nil {
		t.Fatal(err)
	}
	want := []Lane{{Class: "interactive"}, {Class: "standard"}, {Class: "batch", Depth: 1, Unsettled: 2}, {Class: "dead", Depth: 1}}
	if got := lanes(t, q); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lanes %+v, want %+v", got, want)
	}
}

func TestHeartbeatsHoldADelivery(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	const ackWait = 600 * time.Millisecond
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{AckWait: ackWait})
	publish(t, q, "batch", "held", "clock")
	c := consumer(t, q)
	held := next(t, c, "batch", "held", 1)
	// The retry comes when the held message would have come several times.
	if err := next(t, c, "batch", "clock", 1).Retry(ctx, 5*ackWait); err != nil {
		t.Fatal(err)
	}
	if err := next(t, c, "batch", "clock", 2).Done(ctx); err != nil {
		t.Fatal(err)
	}
	if err := held.Done(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestFailedSettlementLetsTheMessageComeAgain(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{AckWait: 200 * time.Millisecond})
	publish(t, q, "batch", "m")
	c := consumer(t, q)
	d := next(t, c, "batch", "m", 1)
	failing := d.Settler.(*delivery)
	err := failing.settle(testContext(t), "done", func(context.Context) error { return broker.ErrUnavailable })
	if err == nil {
		t.Fatal("no error")
	}
	// Nobody tries again, and the consumer lives on: heartbeats must not hold it.
	if err := next(t, c, "batch", "m", 2).Done(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func TestAbandonedMessageGoesToAnotherConsumer(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{AckWait: 200 * time.Millisecond})
	idle, busy := consumer(t, q), consumer(t, q)
	ctx, cancel := context.WithCancel(testContext(t))
	result := make(chan error)
	go func() {
		_, err := idle.Next(ctx, "batch")
		result <- err
	}()
	idle.lanes["batch"].waitForPull(t)
	cancel()
	<-result
	publish(t, q, "batch", "m")
	if err := next(t, busy, "batch", "m", 2).Done(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// waitForPull returns when the lane's pull request is at the server.
func (l *lane) waitForPull(t *testing.T) {
	t.Helper()
	for {
		c, err := l.c.q.conn.js.Consumer(testContext(t), l.c.q.stream(l.class), consumerName)
		if err != nil {
			t.Fatal(err)
		}
		if c.CachedInfo().NumWaiting > 0 {
			return
		}
	}
}

func TestDeletedLaneComesBack(t *testing.T) {
	ctx := testContext(t)
	b := startBroker(t, t.TempDir())
	b.conn.log = slog.New(slog.DiscardHandler) // it warns, rightly
	q := b.open(t, QueueConfig{})
	c := consumer(t, q)
	publish(t, q, "batch", "before")
	if err := next(t, c, "batch", "before", 1).Done(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.conn.js.DeleteStream(ctx, "jobs_batch"); err != nil {
		t.Fatal(err)
	}
	got := make(chan *broker.Delivery)
	go func() {
		d, _ := c.Next(ctx, "batch")
		got <- d
	}()
	p := publisher(t, q)
	for p.Publish(ctx, &broker.Message{ID: "after", Class: "batch"}) != nil && ctx.Err() == nil {
		// until the consumer has declared the lane again
	}
	if d := <-got; d == nil || d.ID != "after" {
		t.Errorf("got %+v, want after", d)
	}
}

func TestDeadLetterIsStoredOnceAndNotLost(t *testing.T) {
	ctx := testContext(t)
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	c := consumer(t, q)
	publish(t, q, "batch", "m")
	d := next(t, c, "batch", "m", 1)

	// As if the process had died after storing the dead letter.
	if err := q.storeDead(ctx, &d.Message, 1, "", "first"); err != nil {
		t.Fatal(err)
	}
	if err := d.Dead(ctx, "again"); err != nil {
		t.Fatal(err)
	}
	wantDeadLetters(t, q, "first")

	// The dead letter is published anew and removed, and dies again.
	s, err := q.conn.js.Stream(ctx, "jobs_dead")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(ctx); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "batch", "other")
	d = next(t, c, "batch", "other", 1)
	d.Settler.(*delivery).message.ID = "m"
	if err := d.Dead(ctx, "second life"); err != nil {
		t.Fatal(err)
	}
	wantDeadLetters(t, q, "second life")
}

func wantDeadLetters(t *testing.T, q *Queue, reason string) {
	t.Helper()
	letters, err := q.DeadLetters(testContext(t), 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(letters) != 1 || letters[0].ID != "m" || letters[0].Class != "batch" ||
		letters[0].Reason != reason || letters[0].Attempts != 1 || letters[0].Died.IsZero() {
		t.Errorf("dead letters %+v, want m, %q", letters, reason)
	}
}

func TestServerGoneIsUnavailable(t *testing.T) {
	ctx := testContext(t)
	b := &testBroker{dir: t.TempDir()}
	b.start(t)
	b.conn.log = slog.New(slog.DiscardHandler) // it warns, rightly
	q := b.open(t, QueueConfig{})
	if err := b.conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	publish(t, q, "batch", "m")
	c := q.Consumer()
	d := next(t, c, "batch", "m", 1)
	if err := b.server.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for _, check := range []struct {
		name string
		call func() error
	}{
		{"publish", func() error { return q.Publisher().Publish(ctx, &broker.Message{ID: "x", Class: "batch"}) }},
		{"done", func() error { return d.Done(ctx) }},
		{"ping", func() error { return b.conn.Ping(ctx) }},
		{"lanes", func() error { _, err := q.Lanes(ctx); return err }},
		{"retry", func() error { return d.Retry(ctx, 0) }},
	} {
		start := time.Now()
		if err := check.call(); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s: error %v, want %v", check.name, err, broker.ErrUnavailable)
		}
		if took := time.Since(start); took > confirmTimeout/2 {
			t.Errorf("%s took %v, which is not at once", check.name, took)
		}
	}
	if err := c.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := b.conn.Close(ctx); err != nil {
		t.Error(err)
	}
}
