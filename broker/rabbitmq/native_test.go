package rabbitmq

import (
	"fmt"
	"log/slog"
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
	if err == nil || !strings.Contains(err.Error(), "3.10 have no priorities: use classic queues, or lanes") {
		t.Errorf("error %v, want one that says what to use", err)
	}
}

// What newer servers do with a quorum queue's priorities, they say in their
// documentation; here is what they are told.
func TestNativeQuorumLevels(t *testing.T) {
	var said strings.Builder
	q := &Queue{conn: &Conn{cfg: ConnConfig{Logger: slog.New(slog.NewTextHandler(&said, nil))}}, cfg: QueueConfig{Classes: []string{"a", "b", "c"}, Native: true, Type: Quorum}}
	for v, warns := range map[version]bool{{4, 0}: true, {4, 2}: true, {4, 3}: false, {5, 0}: false} {
		said.Reset()
		if err := q.checkLevels(v); err != nil || strings.Contains(said.String(), "2 to 1") != warns {
			t.Errorf("%v: error %v, and %q was said", v, err, said.String())
		}
	}
	ranks := func() string { return fmt.Sprint(q.rank("a"), q.rank("b"), q.rank("c")) }
	if got := ranks(); got != "5 2 1" {
		t.Errorf("the priorities are %s, want only that of the first class in the upper level", got)
	}
	q.cfg.Classes = []string{"a", "b", "c", "d", "e", "f"}
	if got := ranks(); got != "6 5 4" {
		t.Errorf("of six classes the first priorities are %s", got)
	}
	q.cfg.Type = Classic
	q.cfg.Classes = q.cfg.Classes[:3]
	if got := ranks(); got != "3 2 1" {
		t.Errorf("the priorities of a classic queue are %s", got)
	}
}
