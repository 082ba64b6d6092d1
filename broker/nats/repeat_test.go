package nats

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"overtake/broker/nats/natstest"
)

// A server that has lost count delivers again what is still worked on.
func TestHeldMessageComesOnce(t *testing.T) {
	t.Parallel()
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	publish(t, q, "batch", "first")
	c := consumer(t, q)
	first := next(t, c, "batch", "first", 1)
	if err := q.conn.js.DeleteConsumer(testContext(t), q.stream("batch"), consumerName); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "batch", "second")
	second := next(t, c, "batch", "second", 1)

	// The server knows only of the delivery that nobody has seen.
	if err := first.Retry(testContext(t), time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := second.Done(testContext(t)); err != nil {
		t.Fatal(err)
	}
	info, err := q.consumerInfo(testContext(t), "batch")
	if err != nil {
		t.Fatal(err)
	}
	if info.NumAckPending != 1 || info.NumRedelivered != 0 {
		t.Errorf("%d deliveries are open and %d came again, want 1 that waits for an hour", info.NumAckPending, info.NumRedelivered)
	}
}

// A server whose machine has crashed may not know of the last acknowledgements that
// it has confirmed. Who has got the confirmation does.
func TestDoneStaysDoneWhenServerForgets(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, natstest.Options{})
	conn := connect(t, ConnConfig{URLs: []string{s.URL()}, Logger: slog.New(slog.DiscardHandler)})
	q, err := conn.OpenQueue(testContext(t), QueueConfig{Name: "jobs", Classes: []string{"batch"}, AckWait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	publish(t, q, "batch", "first")
	c := consumer(t, q)
	first := next(t, c, "batch", "first", 1)

	data, before := filepath.Join(s.Dir, "data"), filepath.Join(s.Dir, "before")
	s.Stop(t)
	if err := os.CopyFS(before, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	awaitQueue(t, q)
	if err := first.Done(testContext(t)); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(before, data); err != nil {
		t.Fatal(err)
	}
	s.Restart(t)
	awaitQueue(t, q)
	if left := lanes(t, q)[0]; left.Depth+left.Unsettled != 1 {
		t.Fatalf("the server should have forgotten that the message is done: %+v", left)
	}
	publish(t, q, "batch", "second")

	var came []string
	ctx, cancel := context.WithCancel(testContext(t))
	var consuming sync.WaitGroup
	consuming.Go(func() {
		for {
			d, err := c.Next(ctx, "batch")
			if err != nil {
				return
			}
			came = append(came, d.ID)
			if err := d.Done(testContext(t)); err != nil {
				t.Error(err)
			}
		}
	})
	for left := (Lane{Depth: 1}); left.Depth+left.Unsettled > 0; {
		left = lanes(t, q)[0]
	}
	cancel()
	consuming.Wait()
	if !slices.Equal(came, []string{"second"}) {
		t.Errorf("%q came, want only the second", came)
	}
}
