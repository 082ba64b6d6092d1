package brokertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/broker"
)

// laneWith returns the lane when so many messages wait in it, or as it is after a
// while: a server may count a moment after it has confirmed.
func (c *client) laneWith(h Harness, class string, waiting int) broker.Lane {
	c.t.Helper()
	const while, look = time.Minute, 10 * time.Millisecond
	for deadline := time.Now().Add(while); ; time.Sleep(look) {
		if lane := c.lane(h, class); lane.Waiting == waiting || time.Now().After(deadline) {
			return lane
		}
	}
}

// lane returns what the inspector says about a class's lane, or the dead letters.
func (c *client) lane(h Harness, class string) broker.Lane {
	c.t.Helper()
	lanes, err := h.Inspector().Inspect(c.ctx)
	if err != nil {
		c.t.Fatalf("inspect: %v", err)
	}
	var classes []string
	for _, l := range lanes {
		if l.MaxBytes <= 0 {
			c.t.Errorf("lane %s has no bound", l.Class)
		}
		classes = append(classes, l.Class)
	}
	if want := append(slices.Clone(h.Classes), broker.DeadLane); !slices.Equal(classes, want) {
		c.t.Fatalf("inspected lanes are %q, want %q", classes, want)
	}
	return lanes[slices.Index(classes, class)]
}

func (c *client) peek(h Harness, class string, limit int) []broker.Peeked {
	c.t.Helper()
	peeked, err := h.Inspector().Peek(c.ctx, class, limit)
	if err != nil {
		c.t.Fatalf("peek: %v", err)
	}
	return peeked
}

func (c *client) setPaused(h Harness, class string, paused bool) {
	c.t.Helper()
	if err := h.Inspector().SetPaused(c.ctx, class, paused); err != nil {
		c.t.Fatalf("set paused %v: %v", paused, err)
	}
	if got := c.lane(h, class).Paused; got != paused {
		c.t.Errorf("the lane is paused: %v, want %v", got, paused)
	}
}

func (c *client) purge(h Harness, class string, want int) {
	c.t.Helper()
	n, err := h.Inspector().Purge(c.ctx, class)
	if err != nil || n != want {
		c.t.Fatalf("purged %d, %v; want %d", n, err, want)
	}
}

func (c *client) replay(h Harness, want int, pick func(*broker.DeadLetter) bool) {
	c.t.Helper()
	n, err := h.Morgue().Replay(c.ctx, pick)
	if err != nil || n != want {
		c.t.Fatalf("replayed %d, %v; want %d", n, err, want)
	}
}

// deadLetters returns the IDs of the dead letters, oldest first.
func (c *client) deadLetters(h Harness) (ids []string) {
	c.t.Helper()
	for _, l := range h.deadLetters(c.t) {
		ids = append(ids, l.ID)
	}
	return ids
}

func (h Harness) deadLetters(t *testing.T) []broker.DeadLetter {
	t.Helper()
	letters, err := h.Morgue().DeadLetters(t.Context(), 1000)
	if err != nil {
		t.Fatalf("dead letters: %v", err)
	}
	return letters
}

func peeking(t *testing.T, h Harness) {
	c := newClient(t, h)
	c.publish(h.batch(), "held")
	held := c.expect(h.batch(), "held", 1)
	first := &broker.Message{ID: "first", Class: h.batch(), Header: broker.Header{"k": {"v", "w"}}, Body: []byte("body")}
	c.send(first)
	c.publish(h.batch(), "second", "third")

	lane := c.laneWith(h, h.batch(), 3)
	if lane.Waiting != 3 || lane.InHand != 1 && lane.InHand != broker.Unknown || lane.Paused {
		t.Errorf("the lane is %+v, want 3 waiting and 1 in hand", lane)
	}
	if idle := c.lane(h, h.urgent()); idle.Waiting != 0 || !idle.Oldest.IsZero() {
		t.Errorf("the lane without messages is %+v", idle)
	}
	for _, limit := range []int{2, 10} {
		peeked := c.peek(h, h.batch(), limit)
		var ids []string
		for _, p := range peeked {
			ids = append(ids, p.ID)
		}
		want := []string{"first", "second", "third"}[:min(limit, 3)]
		if !slices.Equal(ids, want) {
			t.Fatalf("peeked at %q, want %q", ids, want)
		}
		sameMessage(t, &peeked[0].Message, first)
		if age := time.Since(peeked[0].Published); age < -time.Minute || age > time.Minute {
			t.Errorf("it was published %v ago", age)
		}
		if attempts := peeked[0].Attempts; attempts != 0 && !lane.PeekCounts {
			t.Errorf("it has %d attempts before anybody took it", attempts)
		}
	}
	_, err := h.Inspector().Peek(c.ctx, "nothing", 1)
	wantError(t, "peek at an unknown class", err, broker.ErrUnknownClass)

	for _, id := range []string{"first", "second", "third"} {
		d := c.next(h.batch())
		if d.ID != id || d.Attempt != 1 && !lane.PeekCounts {
			t.Errorf("after the peek came %s, attempt %d; want %s, attempt 1", d.ID, d.Attempt, id)
		}
		c.done(d)
	}
	c.done(held)
	c.expectEmpty(h.batch())
}

func purging(t *testing.T, h Harness) {
	c := newClient(t, h)
	c.publish(h.urgent(), "other")
	c.publish(h.batch(), "held")
	held := c.expect(h.batch(), "held", 1)
	publishMany(t, c, h.batch(), 1500)
	c.purge(h, h.batch(), 1500)
	c.retry(held, 0)
	held = c.expect(h.batch(), "held", 2)
	c.publish(h.batch(), "next")
	c.done(c.expect(h.batch(), "next", 1)) // it goes on
	c.done(held)

	c.publish(h.batch(), "x", "y", "z")
	c.purge(h, h.batch(), 3)
	c.purge(h, h.batch(), 0)
	c.expectEmpty(h.batch())
	c.done(c.expect(h.urgent(), "other", 1))
	_, err := h.Inspector().Purge(c.ctx, "nothing")
	wantError(t, "purge of an unknown class", err, broker.ErrUnknownClass)
}

func pausing(t *testing.T, h Harness) {
	// A consumer that is there takes heed soon: what it leaves piles up.
	c := newClient(t, h)
	attempts := 1
	if c.lane(h, h.batch()).PeekCounts {
		attempts = 2 // of what was on its way to the consumer just when it was paused
	}
	var came []string
	consumed := make(chan struct{})
	go func() {
		defer close(consumed)
		for len(came) == 0 || came[len(came)-1] != "last" {
			d, err := c.con.Next(c.ctx, h.batch())
			if err != nil || d.Done(c.ctx) != nil || d.Attempt > attempts {
				t.Errorf("next: %+v, %v", d, err)
				return
			}
			came = append(came, d.ID)
		}
	}()
	c.publish(h.batch(), "unpaused")
	c.setPaused(h, h.batch(), true)
	c.setPaused(h, h.batch(), true) // doing it again does no harm
	published := []string{"unpaused"}
	for c.lane(h, h.batch()).Waiting < 20 {
		id := fmt.Sprint("m", len(published))
		c.publish(h.batch(), id)
		published = append(published, id)
		// Other lanes go on, and this one is not flooded.
		c.publish(h.urgent(), "urgent-"+id)
		c.done(c.expect(h.urgent(), "urgent-"+id, 1))
	}
	c.publish(h.batch(), "last")
	c.setPaused(h, h.batch(), false)
	<-consumed
	if want := append(published, "last"); !slices.Equal(came, want) {
		t.Errorf("consumed %q, want %q", came, want)
	}
	wantError(t, "pause of an unknown class", h.Inspector().SetPaused(c.ctx, "nothing", true), broker.ErrUnknownClass)
}

func replaying(t *testing.T, h Harness) {
	c := newClient(t, h)
	poison := &broker.Message{ID: "poison", Class: h.batch(), Header: broker.Header{"k": {"v", "w"}}, Body: []byte("body")}
	sent := *poison
	sent.Header = broker.Header{"k": {"v", "w"}, broker.HeaderDeadline: {"1"}}
	c.send(&sent)
	c.publish(h.urgent(), "other")
	c.dead(c.expect(h.batch(), "poison", 1), "bad")
	c.dead(c.expect(h.urgent(), "other", 1), "worse")
	if n := c.laneWith(h, broker.DeadLane, 2).Waiting; n != 2 {
		t.Errorf("%d dead letters, want 2", n)
	}

	// Its lane, and the consumer that has settled it, know the ID. It comes again
	// all the same, as often as it is replayed.
	before := ""
	for life := range 3 {
		c.replay(h, 0, func(l *broker.DeadLetter) bool { return l.Reason == "none" })
		c.replay(h, 1, func(l *broker.DeadLetter) bool { return l.ID == "poison" })
		if ids := c.deadLetters(h); !slices.Equal(ids, []string{"other"}) {
			t.Fatalf("dead letters after the replay: %q, want other", ids)
		}
		d := c.expect(h.batch(), "poison", 1)
		if deadline := d.Header.Get(broker.HeaderDeadline); deadline != "" {
			t.Errorf("it came with the deadline %s", deadline)
		}
		replayed := d.Header.Get(broker.HeaderReplayed)
		if replayed == "" || replayed == before {
			t.Errorf("it says that it was replayed as %q, and before as %q", replayed, before)
		}
		before = replayed
		delete(d.Header, broker.HeaderReplayed)
		sameMessage(t, &d.Message, poison)
		c.retry(d, 0)
		c.retry(c.expect(h.batch(), "poison", 2), time.Millisecond)
		c.dead(c.expect(h.batch(), "poison", 3), fmt.Sprint("bad again ", life))
	}
	letters := h.deadLetters(t)
	if len(letters) != 2 || letters[1].Reason != "bad again 2" || letters[1].Attempts != 3 {
		t.Fatalf("dead letters %+v, want other and poison", letters)
	}
	c.replay(h, 2, func(*broker.DeadLetter) bool { return true })
	c.done(c.expect(h.batch(), "poison", 1))
	c.done(c.expect(h.urgent(), "other", 1))
	if ids := c.deadLetters(h); len(ids) != 0 {
		t.Errorf("dead letters after the replay of all: %q", ids)
	}
	c.expectEmpty(h.batch())
	c.expectEmpty(h.urgent())
}

func replayKeepsOrder(t *testing.T, h Harness) {
	c := newClient(t, h)
	var ids []string
	for i := range 50 {
		id := fmt.Sprint("m", i)
		ids = append(ids, id)
		c.publish(h.batch(), id)
		c.dead(c.expect(h.batch(), id, 1), strings.Repeat("x", i))
	}
	if got := c.deadLetters(h); !slices.Equal(got, ids) {
		t.Errorf("dead letters are %q, want %q", got, ids)
	}
	c.replay(h, 50, func(*broker.DeadLetter) bool { return true })
	for _, id := range ids {
		c.done(c.expect(h.batch(), id, 1))
	}
}
