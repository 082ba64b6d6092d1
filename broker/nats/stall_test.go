package nats

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// consumeAll consumes n messages, one after the other, which in between comes as
// fast as can be or leaves the lane time to be asked anew. It fails when a message
// that is there does not come.
func consumeAll(t testing.TB, n int) {
	t.Helper()
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{Name: "jobs", Classes: []string{"batch"}, MaxBytes: 1 << 30})
	fill(t, q, n)
	c := consumer(t, q)
	var longest time.Duration
	for i := range n {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		start := time.Now()
		d, err := c.Next(ctx, "batch")
		if err != nil {
			t.Fatalf("message %d of %d: %v", i, n, err)
		}
		longest = max(longest, time.Since(start))
		if i%2 == 0 {
			err = d.Done(ctx)
		} else {
			err = plainAck(d.Settler.(*delivery)) // the next call comes sooner
		}
		if err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	t.Logf("%d messages, the longest wait %v", n, longest)
	if longest > 4*pullHeartbeat {
		t.Errorf("Next waited %v for a message that was there", longest)
	}
}

// plainAck settles without waiting for the server.
func plainAck(d *delivery) error {
	d.lane.hand.release(d)
	d.claim()
	return d.sayLocked(server.AckAck)
}

// A message that is in the lane comes, however fast the one before it was settled.
func TestNextDoesNotStall(t *testing.T) { consumeAll(t, 5_000) }

// BenchmarkNextDoesNotStall is the same for long enough to meet every stall that
// is known.
func BenchmarkNextDoesNotStall(b *testing.B) {
	for b.Loop() {
		consumeAll(b, 200_000)
	}
}

// A consumer whose caller is quick has a few messages ahead, and gives them back
// when it is closed.
func TestMessagesAheadAreFewAndGivenBack(t *testing.T) {
	ctx := testContext(t)
	const n, taken = 1000, 500
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{Name: "jobs", Classes: []string{"batch"}})
	fill(t, q, n)
	c := q.Consumer()
	seen := make(map[string]bool, n)
	for range taken {
		d, err := c.Next(ctx, "batch")
		if err != nil {
			t.Fatal(err)
		}
		seen[d.ID] = true
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if ahead := lanes(t, q)[0].Unsettled; ahead > maxAhead {
		t.Errorf("%d messages are ahead of demand, want %d at most", ahead, maxAhead)
	}
	if err := c.Close(ctx); err != nil {
		t.Fatal(err)
	}
	c = consumer(t, q)
	for range n - taken {
		d, err := c.Next(ctx, "batch")
		if err != nil {
			t.Fatal(err)
		}
		if seen[d.ID] {
			t.Errorf("%s came again", d.ID)
		}
		seen[d.ID] = true
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// A caller that takes its time has nothing ahead.
func TestNothingAheadOfASlowCaller(t *testing.T) {
	ctx := testContext(t)
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{Name: "jobs", Classes: []string{"batch"}})
	fill(t, q, 20)
	c := consumer(t, q)
	for held := 1; held <= 10; held++ {
		if _, err := c.Next(ctx, "batch"); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); time.Since(start) <= leisure; { // the work
			if got := lanes(t, q)[0].Unsettled; got != held {
				t.Fatalf("%d messages are delivered, want the %d that were taken", got, held)
			}
		}
	}
}
