package rabbitmq

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// restart brings the server back after a test that took it away.
func restart(t *testing.T) {
	t.Helper()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
}

// ctl runs rabbitmqctl.
func ctl(t *testing.T, args ...string) {
	t.Helper()
	if _, err := server.Ctl(args...); err != nil {
		t.Fatal(err)
	}
}

// A delivery tag is only a number. On the next channel it is another message's,
// and a client that keeps its channel over a reconnect acknowledges that one.
func TestLateAcknowledgementHitsNoOtherMessage(t *testing.T) {
	t.Run("with the bare protocol it does", func(t *testing.T) {
		q := open(t, connect(t), QueueConfig{})
		publish(t, q, "batch", "worked-on", "other")
		take := func(ch *amqp.Channel) amqp.Delivery {
			d, ok, err := ch.Get(q.name("batch"), false)
			if err != nil || !ok {
				t.Fatalf("get: %v, %v", ok, err)
			}
			return d
		}
		var late amqp.Delivery
		control(t, q, func(ch *amqp.Channel) error {
			late = take(ch)
			return nil // the channel is closed with it unacknowledged
		})
		waitForDepth(t, q, "0 0 2 0")
		control(t, q, func(ch *amqp.Channel) error {
			// Another consumer works on that one, and this one gets the other.
			other, err := q.conn.consuming.present.conn.Channel()
			if err != nil {
				return err
			}
			defer other.Close()
			if first := take(other); first.MessageId != "worked-on" {
				t.Fatalf("%s came again, want worked-on", first.MessageId)
			}
			if second := take(ch); second.MessageId != "other" || second.DeliveryTag != late.DeliveryTag {
				t.Fatalf("%s came with tag %d, want other with tag %d", second.MessageId, second.DeliveryTag, late.DeliveryTag)
			}
			return ch.Ack(late.DeliveryTag, false) // late, for worked-on
		})
		waitForDepth(t, q, "0 0 1 0")
		done(t, next(t, consumer(t, q), "batch", "worked-on", 3))
		if got := depths(t, q); got != "0 0 0 0" {
			t.Errorf("depths %s: other is still there", got)
		}
	})

	t.Run("with this package it does not", func(t *testing.T) {
		conn := connectWith(t, slog.DiscardHandler) // it warns, rightly
		q := open(t, conn, QueueConfig{})
		publish(t, q, "batch", "worked-on", "other")
		c := consumer(t, q)
		late := next(t, c, "batch", "worked-on", 1)
		disconnect(t, conn)
		// Another consumer gets it, and this one the other.
		busy := consumer(t, open(t, connect(t), q.cfg))
		again := next(t, busy, "batch", "worked-on", 2)
		other := next(t, c, "batch", "other", 1)
		if a, b := late.Settler.(*delivery), other.Settler.(*delivery); a.raw.DeliveryTag != b.raw.DeliveryTag {
			t.Fatalf("tags %d and %d, want the same", a.raw.DeliveryTag, b.raw.DeliveryTag)
		}
		for verb, settle := range map[string]func() error{
			"done":    func() error { return late.Done(testContext(t)) },
			"retry":   func() error { return late.Retry(testContext(t), 0) },
			"dead":    func() error { return late.Dead(testContext(t), "x") },
			"working": func() error { return late.Working(testContext(t)) },
		} {
			if err := settle(); !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "it comes again") {
				t.Errorf("%s: error %v, want one that says that it comes again", verb, err)
			}
		}
		if err := again.Retry(testContext(t), 0); err != nil {
			t.Fatal(err)
		}
		if err := other.Retry(testContext(t), 0); err != nil {
			t.Fatal(err)
		}
		waitForDepth(t, q, "0 0 2 0") // both are still there
	})
}

func waitForDepth(t *testing.T, q *Queue, want string) {
	t.Helper()
	got := ""
	for end := time.Now().Add(patience); got != want; got = depths(t, q) {
		if time.Now().After(end) {
			t.Fatalf("depths %s, want %s", got, want)
		}
	}
}

// One kill for several stories, as a start takes seconds.
func TestKilledServer(t *testing.T) {
	begin := make(chan struct{})
	underWay, check := publishMany(t, Quorum, begin)
	classicUnderWay, checkClassic := publishMany(t, Classic, begin)
	close(begin)
	underWay()
	classicUnderWay()
	server.Kill()
	t.Cleanup(func() {
		if t.Failed() { // and it may still be away
			restart(t)
		}
	})
	checkStarted := startWhileAway(t)
	restart(t)
	check()
	checkClassic()
	checkStarted()
}

// publishMany has many messages published from begin on. What it returns waits for
// the middle of that, and checks that a server that was killed then and came back
// has lost nothing.
func publishMany(t *testing.T, kind string, begin <-chan struct{}) (underWay, check func()) {
	ctx := testContext(t)
	conn := connectWith(t, slog.DiscardHandler) // it warns, rightly
	q := open(t, conn, QueueConfig{Type: kind})
	p, c := publisher(t, q), consumer(t, q)
	publish(t, q, "interactive", "delayed")
	if err := next(t, c, "interactive", "delayed", 1).Retry(ctx, 2*time.Second); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "standard", "poison")
	if err := next(t, c, "standard", "poison", 1).Dead(ctx, "bad"); err != nil {
		t.Fatal(err)
	}

	const publishers, each = 16, 100
	var publishing sync.WaitGroup
	enough := make(chan struct{}, publishers*each)
	for g := range publishers {
		publishing.Go(func() {
			<-begin
			for i := range each {
				m := &broker.Message{ID: fmt.Sprintf("g%d-%d", g, i), Class: "batch", Body: make([]byte, 256)}
				for err := p.Publish(ctx, m); err != nil; err = p.Publish(ctx, m) {
					if !errors.Is(err, broker.ErrUnavailable) || ctx.Err() != nil {
						t.Errorf("%s: publish %s: %v", kind, m.ID, err)
						return
					}
					pause(ctx, 10*time.Millisecond)
				}
				enough <- struct{}{}
			}
		})
	}
	underWay = func() {
		for range publishers * each / 4 {
			select {
			case <-enough:
			case <-ctx.Done():
				t.Fatalf("%s: too few messages were published", kind)
			}
		}
	}
	check = func() {
		came := make(map[string]int)
		for len(came) < publishers*each {
			d, err := c.Next(ctx, "batch")
			if err != nil {
				t.Fatalf("%s: %d of %d messages came: %v", kind, len(came), publishers*each, err)
			}
			if err := d.Done(ctx); err == nil {
				came[d.ID]++
			}
		}
		publishing.Wait()
		for id, n := range came {
			if n != 1 {
				t.Errorf("%s: %s was done %d times", kind, id, n)
			}
		}
		done(t, next(t, c, "interactive", "delayed", 2))
		if letters, err := q.DeadLetters(ctx, 10); err != nil || len(letters) != 1 || letters[0].ID != "poison" {
			t.Errorf("%s: dead letters %+v, %v; want poison", kind, letters, err)
		}
	}
	return underWay, check
}

// A server that stands still, like a network that swallows everything, is noticed
// by its silence.
func TestSilentServer(t *testing.T) {
	ctx := testContext(t)
	conn := connectWith(t, slog.DiscardHandler) // it warns, rightly
	q := open(t, conn, QueueConfig{})
	p, c := publisher(t, q), consumer(t, q)
	publish(t, q, "batch", "before")
	held := next(t, c, "batch", "before", 1)
	s, err := conn.consuming.session()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	for _, check := range []struct {
		name string
		call func() error
	}{
		{"publish", func() (err error) {
			for i := 0; err == nil; i++ { // all its threads have to stop
				err = p.Publish(ctx, &broker.Message{ID: fmt.Sprint("silence", i), Class: "batch"})
			}
			return err
		}},
		{"done", func() error { return held.Done(ctx) }},
		{"publish without connection", func() error { return p.Publish(ctx, &broker.Message{ID: "x", Class: "batch"}) }},
		{"ping", func() error { return conn.Ping(ctx) }},
		{"lanes", func() error { _, err := q.Lanes(ctx); return err }},
	} {
		if err := check.call(); !errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("%s: error %v, want %v", check.name, err, broker.ErrUnavailable)
		}
	}
	select {
	case <-s.lost:
	case <-ctx.Done():
		t.Fatal("the silence was not noticed")
	}
	t.Logf("noticed after %v", time.Since(stopped))
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for p.Publish(ctx, &broker.Message{ID: "x", Class: "batch"}) != nil && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
	}
	for seen := map[string]bool{}; !seen["before"] || !seen["x"]; {
		d, err := c.Next(ctx, "batch")
		if err != nil {
			t.Fatal(err)
		}
		done(t, d)
		seen[d.ID] = true
	}
}

func TestBlockedServer(t *testing.T) {
	ctx := testContext(t)
	conn := connectWith(t, slog.DiscardHandler) // it warns, rightly
	q := open(t, conn, QueueConfig{})
	p, c := publisher(t, q), consumer(t, q)
	publish(t, q, "batch", "before")
	held := next(t, c, "batch", "before", 1)
	ctl(t, "set_disk_free_limit", "1000000GiB")
	defer ctl(t, "set_disk_free_limit", "1MiB")

	for range 2 { // the first one is told by the server, the second one by the first
		err := p.Publish(ctx, &broker.Message{ID: "x", Class: "batch"})
		if !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), "low on memory or disk") {
			t.Fatalf("publish: error %v, want one that says that the broker is low on memory or disk", err)
		}
	}
	if err := conn.Ping(ctx); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("ping: error %v, want %v", err, broker.ErrUnavailable)
	}
	done(t, held) // consuming goes on
	if err := held.Done(ctx); !errors.Is(err, broker.ErrSettled) {
		t.Errorf("done again: error %v, want %v", err, broker.ErrSettled)
	}

	ctl(t, "set_disk_free_limit", "1MiB")
	for p.Publish(ctx, &broker.Message{ID: "x", Class: "batch"}) != nil && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
	}
	done(t, next(t, c, "batch", "x", 1)) // once
	if got := depths(t, q); got != "0 0 0 0" {
		t.Logf("depths %s: the publish that was refused was stored, too", got)
	}
}

// The server's own bound closes the channel, with all that is in flight on it.
func TestTooLargeForServer(t *testing.T) {
	ctx := testContext(t)
	q := open(t, connect(t), QueueConfig{})
	ctl(t, "eval", "application:set_env(rabbit, max_message_size, 1000).")
	defer ctl(t, "eval", "application:set_env(rabbit, max_message_size, 134217728).")
	p := publisher(t, q)
	if err := p.Publish(ctx, &broker.Message{ID: "large", Class: "batch", Body: make([]byte, 1001)}); !errors.Is(err, broker.ErrTooLarge) {
		t.Errorf("publish: error %v, want %v", err, broker.ErrTooLarge)
	}
	if err := p.Publish(ctx, &broker.Message{ID: "fits", Class: "batch", Body: make([]byte, 1000)}); err != nil {
		t.Error(err)
	}
}

// A retry that is due waits until its lane has room.
func TestRetryIntoFullLane(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	for _, kind := range []string{Quorum, Classic} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			q := open(t, connect(t), QueueConfig{Type: kind, MaxBytes: minBytes})
			p, c := publisher(t, q), consumer(t, q)
			publish(t, q, "batch", "delayed")
			if err := next(t, c, "batch", "delayed", 1).Retry(ctx, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			stored := 0
			var err error
			for ; err == nil; stored++ {
				err = p.Publish(ctx, &broker.Message{ID: fmt.Sprint("m", stored), Class: "batch", Body: make([]byte, 1000)})
			}
			if !errors.Is(err, broker.ErrFull) {
				t.Fatal(err)
			}
			seen := make(map[string]int)
			for len(seen) < stored {
				d, err := c.Next(ctx, "batch")
				if err != nil {
					t.Fatalf("%d of %d came: %v", len(seen), stored, err)
				}
				seen[d.ID] = d.Attempt
				done(t, d)
			}
			if seen["delayed"] != 2 {
				t.Errorf("the retry came as attempt %d, want 2", seen["delayed"])
			}
		})
	}
}

// A queue for delays that is full refuses at once; that one which holds nothing is
// not up yet, and a retry waits for it, is met by every first retry on a busy machine.
func TestRetryQueueRefuses(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{MaxBytes: minBytes})
	p, c := publisher(t, q), consumer(t, q)
	ctx := testContext(t)
	var err error
	for i := 0; err == nil && i <= 2*minBytes/messageBytes; i++ {
		id := fmt.Sprint("m", i)
		if err = p.Publish(ctx, &broker.Message{ID: id, Class: "batch"}); err == nil {
			err = next(t, c, "batch", id, 1).Retry(ctx, time.Hour)
		}
	}
	if !errors.Is(err, broker.ErrFull) {
		t.Errorf("retry: error %v, want %v", err, broker.ErrFull)
	}
}
