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

func TestNativeQuorumNeedsNewerServer(t *testing.T) {
	_, err := connect(t).OpenQueue(testContext(t), QueueConfig{Name: newName(), Classes: []string{"a", "b"}, Native: true, Type: Quorum})
	if err == nil || !strings.Contains(err.Error(), "3.10 have no strict priorities: use classic queues, or lanes") {
		t.Errorf("error %v, want one that says what to use", err)
	}
}
