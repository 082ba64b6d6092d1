package nats

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker"
)

// kill makes dead letters of the next n messages of a lane.
func kill(t *testing.T, q *Queue, class string, n int) {
	t.Helper()
	c := consumer(t, q)
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

// A changed configuration is no reason to go on.
func TestPauseSurvivesNewSettings(t *testing.T) {
	b := startBroker(t, t.TempDir())
	q := b.open(t, QueueConfig{AckWait: time.Second})
	if err := q.SetPaused(testContext(t), "batch", true); err != nil {
		t.Fatal(err)
	}
	q = b.open(t, QueueConfig{AckWait: 2 * time.Second})
	info, err := q.consumerInfo(testContext(t), "batch")
	if err != nil {
		t.Fatal(err)
	}
	if !info.Paused || info.Config.AckWait != 2*time.Second {
		t.Errorf("opened with other settings, the lane is paused: %v, AckWait %v; want it paused, 2s", info.Paused, info.Config.AckWait)
	}
}

// A purge pauses the lane and has it go on only if it did before.
func TestPurgeLeavesThePauseAsItIs(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	for _, paused := range []bool{true, false} {
		if err := q.SetPaused(testContext(t), "batch", paused); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Purge(testContext(t), "batch"); err != nil {
			t.Fatal(err)
		}
		info, err := q.consumerInfo(testContext(t), "batch")
		if err != nil {
			t.Fatal(err)
		}
		if info.Paused != paused {
			t.Errorf("after the purge the lane is paused: %v, want %v", info.Paused, paused)
		}
	}
}

// Purges at the same time remove each message once, and nothing that is in hand.
func TestPurgesAtTheSameTime(t *testing.T) {
	const n = 500
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	publish(t, q, "batch", manyIDs(n)...)
	d, err := consumer(t, q).Next(testContext(t), "batch")
	if err != nil {
		t.Fatal(err)
	}
	var removed atomic.Int64
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			n, err := q.Purge(testContext(t), "batch")
			if err != nil {
				t.Error(err)
			}
			removed.Add(int64(n))
		})
	}
	wg.Wait()
	if removed.Load() != n-1 {
		t.Errorf("removed %d, want %d", removed.Load(), n-1)
	}
	if err := d.Done(testContext(t)); err != nil {
		t.Error(err)
	}
}

// A purge does not rely on the pause of another one, which may end at any time.
func TestPurgeWaitsForAnother(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	if err := q.pause(testContext(t), "batch", 2*time.Second); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Purge(testContext(t), "batch"); err != nil {
		t.Fatal(err)
	}
	info, err := q.consumerInfo(testContext(t), "batch")
	if err != nil || info.Paused {
		t.Errorf("the purge ended while another paused the lane, %v", err)
	}
}

func TestReplayIntoRemovedClass(t *testing.T) {
	b := startBroker(t, t.TempDir())
	q := b.open(t, QueueConfig{Classes: []string{"interactive", "batch"}})
	publish(t, q, "batch", "m")
	kill(t, q, "batch", 1)
	q = b.open(t, QueueConfig{Classes: []string{"interactive"}})
	if n, err := q.Replay(testContext(t), everyLetter); n != 0 || !errors.Is(err, broker.ErrUnknownClass) {
		t.Errorf("replayed %d, %v; want ErrUnknownClass", n, err)
	}
	wantDeadLetters(t, q, "bad")
}

// A replay that died between its two steps is repeated without a second message.
func TestReplayRepeated(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	publish(t, q, "batch", "m", "n")
	kill(t, q, "batch", 2)
	letters, err := q.DeadLetters(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.replay(testContext(t), &letters[0], 1); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Replay(testContext(t), everyLetter); n != 2 || err != nil {
		t.Errorf("replayed %d, %v; want 2", n, err)
	}
	if l := lanes(t, q)[2]; l.Depth != 2 {
		t.Errorf("in the lane wait %d, want 2", l.Depth)
	}
}

// A replayed message that dies again before its dead letter is removed is not
// lost with it.
func TestReplayedDiesBeforeItsLetterIsRemoved(t *testing.T) {
	ctx := testContext(t)
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	publish(t, q, "batch", "m")
	kill(t, q, "batch", 1)
	letters, err := q.DeadLetters(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.replay(ctx, &letters[0], 1); err != nil {
		t.Fatal(err)
	}
	d := next(t, consumer(t, q), "batch", "m", 1)
	if err := d.Dead(ctx, "not cured"); err != nil {
		t.Fatal(err)
	}
	s, err := q.conn.js.Stream(ctx, "jobs_dead")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.remove(ctx, s, 1); err != nil {
		t.Fatal(err)
	}
	wantDeadLetters(t, q, "not cured")
}

// One that can't be replayed does not hold up those behind it.
func TestReplayGoesPastForeignLetters(t *testing.T) {
	q := startBroker(t, t.TempDir()).open(t, QueueConfig{})
	for _, id := range []string{"a b", "m", "c d"} {
		m := &broker.Message{ID: id, Class: "batch"}
		if err := q.storeDead(testContext(t), m, 1, "1", "bad"); err != nil {
			t.Fatal(err)
		}
	}
	n, err := q.Replay(testContext(t), everyLetter)
	if n != 1 || !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "a b") {
		t.Errorf("replayed %d, %v; want 1, and that a b stays", n, err)
	}
	if letters, err := q.DeadLetters(testContext(t), 3); len(letters) != 2 {
		t.Errorf("%d dead letters left, %v; want 2", len(letters), err)
	}
}
