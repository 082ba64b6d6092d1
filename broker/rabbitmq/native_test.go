package rabbitmq

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestNativeOrder(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	q := open(t, connect(t), QueueConfig{Native: true})
	publish(t, q, "batch", manyIDs(3)...)
	publish(t, q, "standard", "s")
	publish(t, q, "interactive", "i")
	c := consumer(t, q)
	// The server hands out the urgent ones first, so they are here when the
	// others are.
	for class, id := range map[string]string{"interactive": "i", "standard": "s", "batch": "m0"} {
		done(t, next(t, c, class, id, 1))
	}
	d := next(t, c, "batch", "m1", 1)
	if err := d.Retry(ctx, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	done(t, next(t, c, "batch", "m2", 1))
	done(t, next(t, c, "batch", "m1", 2))
}

// A backlog of a class that nobody asks for does not keep others from coming.
func TestNativeBacklogThatNobodyAsksFor(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	q := open(t, connect(t), QueueConfig{Native: true})
	publish(t, q, "batch", manyIDs(100)...)
	c := consumer(t, q)
	for i := range 3 {
		id := fmt.Sprint("urgent", i)
		came := make(chan error, 1)
		go func() {
			d, err := c.Next(ctx, "interactive")
			if err == nil && d.ID != id {
				err = fmt.Errorf("%s came, want %s", d.ID, id)
			}
			if err == nil {
				err = d.Done(ctx)
			}
			came <- err
		}()
		publish(t, q, "interactive", id)
		if err := <-came; err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[string]bool)
	for len(seen) < 100 {
		d, err := c.Next(ctx, "batch")
		if err != nil {
			t.Fatal(err)
		}
		if seen[d.ID] {
			t.Errorf("%s came twice", d.ID)
		}
		seen[d.ID] = true
		done(t, d)
	}
}

// What a queue held under the other strategy stays there, and nothing is added to
// it: nobody consumes it any more, and once full it would refuse everything.
func TestChangedStrategy(t *testing.T) {
	t.Parallel()
	c := connect(t)
	cfg := QueueConfig{Name: newName(), Type: Classic, Native: true}
	native := open(t, c, cfg)
	publish(t, native, "batch", "old")
	cfg.Native = false
	lanes := open(t, c, cfg)
	publish(t, lanes, "batch", "new")
	if in, in2 := depths(t, native), depths(t, lanes); in != "1 1 1 0" || in2 != "0 0 1 0" {
		t.Errorf("with lanes: %s in the one queue, %s in the lanes; want 1 1 1 0 and 0 0 1 0", in, in2)
	}
	cfg.Native = true
	native = open(t, c, cfg)
	publish(t, native, "batch", "newer")
	if in, in2 := depths(t, native), depths(t, lanes); in != "2 2 2 0" || in2 != "0 0 1 0" {
		t.Errorf("with one queue again: %s in it, %s in the lanes; want 2 2 2 0 and 0 0 1 0", in, in2)
	}
}

func TestNativeQuorumNeedsNewerServer(t *testing.T) {
	_, err := connect(t).OpenQueue(testContext(t), QueueConfig{Name: newName(), Classes: []string{"a", "b"}, Native: true, Type: Quorum})
	if err == nil || !strings.Contains(err.Error(), "3.10 have no strict priorities: use classic queues, or lanes") {
		t.Errorf("error %v, want one that says what to use", err)
	}
}
