// Package brokertest is the conformance suite for broker adapters: the stories
// that a [broker.Publisher], a [broker.Consumer], a [broker.Inspector] and a
// [broker.Morgue] have to live through,
// whatever is behind them. An adapter's test calls [Run].
//
// The stories assert what a user would notice, in order and in counts, never
// in durations: they are as true on a slow machine.
package brokertest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/broker"
)

// patience is how long a story waits for what must happen. It bounds a broken
// run and decides nothing.
const patience = 3 * time.Minute

// Harness is a fresh, empty queue on a running broker. Whatever it makes, the
// adapter's test releases with t.Cleanup; stories close publishers and
// consumers themselves only where that is the point.
type Harness struct {
	// Classes are the queue's latency classes, most urgent first; at least
	// two. Story texts call the first one urgent and the last one batch.
	Classes []string
	// Publisher and Consumer return a new one on the queue.
	Publisher func(t *testing.T) broker.Publisher
	Consumer  func(t *testing.T) broker.Consumer
	// Inspector and Morgue are the queue's; after a Restart, those that are of
	// use then.
	Inspector func() broker.Inspector
	Morgue    func() broker.Morgue
	// TooLarge is a size of body that the queue never takes. It must take
	// 1 MiB.
	TooLarge int
	// LaneBytes is about what one lane holds: at least 16 MiB, so that it
	// takes 5,000 small messages, and not much more, as a story fills it.
	LaneBytes int
	// Disconnect cuts the connection of all publishers and consumers, which
	// are expected to reconnect.
	Disconnect Hook
	// Restart stops the broker in good order and starts it again on the same
	// data. Publishers and consumers made before are of no use after it.
	Restart Hook
}

// Hook is something that not every adapter can do to its broker in a test. An
// adapter sets exactly one of the two fields; the reason is what the skipped
// story shows.
type Hook struct {
	Do     func(t *testing.T)
	Absent string
}

// Run runs every story, each on a queue of its own from open, and checks after
// each that no goroutine is left.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	stories := []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"publish is confirmed and consumed once", consumedOnce},
		{"a lane keeps its order", keepsOrder},
		{"a batch backlog does not hold up an urgent message", lanesAreIndependent},
		{"class, header and body survive", contentSurvives},
		{"a header that means something to the broker survives", hostileHeader},
		{"an unknown class is refused", unknownClass},
		{"an invalid message is refused", invalidMessage},
		{"a message that is too large is refused", tooLarge},
		{"a full lane refuses and recovers", fullLane},
		{"a repeated ID is stored once", storedOnce},
		{"publish with a cancelled context", cancelledPublish},
		{"what is sent without waiting keeps its order", sentInOrder},
		{"sending refuses what publishing does", sentInVain},
		{"what is buried becomes a dead letter", buried},

		{"redelivery keeps the message and counts", redelivery},
		{"a retry with delay does not hold up its lane", retryWithDelay},
		{"many retries do not stop their lane", manyRetries},
		{"dead letters leave the lane and stay readable", deadLetter},
		{"the largest message can become a dead letter", largeDeadLetter},
		{"settling twice is refused", settledTwice},
		{"settling with a cancelled context can be repeated", settleAgain},

		{"a look at a lane leaves it as it is", peeking},
		{"a purge leaves what is in hand", purging},
		{"a paused lane takes messages and delivers none", pausing},
		{"a replayed dead letter comes again under its ID", replaying},
		{"a replay keeps the order", replayKeepsOrder},

		{"next ends with its context", cancelledNext},
		{"next ends with close", closedNext},
		{"a message that comes after next gave up is not lost", abandonedNext},
		{"an unsettled delivery comes to another consumer", givenBack},
		{"a closed consumer takes nothing more", closedConsumerTakesNothing},
		{"use after close is refused", useAfterClose},
		{"many publishers and consumers lose and repeat nothing", crowd},
		{"clients reconnect", reconnects},
		{"messages and a pause survive a restart of the broker", survivesRestart},
	}
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			ignore := goleak.IgnoreCurrent()
			t.Cleanup(func() { goleak.VerifyNone(t, ignore) }) // runs after the adapter's
			h := open(t)
			h.check(t)
			s.run(t, h)
		})
	}
}

func (h *Harness) check(t *testing.T) {
	t.Helper()
	if len(h.Classes) < 2 || h.TooLarge <= 1<<20 || h.LaneBytes < 16<<20 {
		t.Fatalf("harness: %d classes, TooLarge %d, LaneBytes %d; see Harness", len(h.Classes), h.TooLarge, h.LaneBytes)
	}
	for name, hook := range map[string]Hook{"Disconnect": h.Disconnect, "Restart": h.Restart} {
		if (hook.Do == nil) == (hook.Absent == "") {
			t.Fatalf("harness: %s must have either Do or Absent, the reason for not having it", name)
		}
	}
}

func (h *Harness) urgent() string { return h.Classes[0] }
func (h *Harness) batch() string  { return h.Classes[len(h.Classes)-1] }

// require skips the story if the adapter has no such hook.
func (k Hook) require(t *testing.T) {
	t.Helper()
	if k.Do == nil {
		t.Skip("not with this adapter: " + k.Absent)
	}
}

// client is a publisher and a consumer that end the story when something fails
// that should not.
type client struct {
	t   *testing.T
	ctx context.Context
	pub broker.Publisher
	con broker.Consumer
}

func newClient(t *testing.T, h Harness) *client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &client{t: t, ctx: ctx, pub: h.Publisher(t), con: h.Consumer(t)}
}

func (c *client) publish(class string, ids ...string) {
	c.t.Helper()
	for _, id := range ids {
		c.send(&broker.Message{ID: id, Class: class, Body: []byte("body of " + id)})
	}
}

func (c *client) send(m *broker.Message) {
	c.t.Helper()
	if err := c.pub.Publish(c.ctx, m); err != nil {
		c.t.Fatalf("publish %s: %v", m.ID, err)
	}
}

func (c *client) next(class string) *broker.Delivery {
	c.t.Helper()
	d, err := c.con.Next(c.ctx, class)
	if err != nil {
		c.t.Fatalf("next of %s: %v", class, err)
	}
	return d
}

// expect takes the next delivery of class, which must be the given one.
func (c *client) expect(class, id string, attempt int) *broker.Delivery {
	c.t.Helper()
	d := c.next(class)
	if d.ID != id || d.Class != class || d.Attempt != attempt {
		c.t.Fatalf("next of %s is %s of %s, attempt %d; want %s, attempt %d", class, d.ID, d.Class, d.Attempt, id, attempt)
	}
	return d
}

func (c *client) done(d *broker.Delivery) {
	c.t.Helper()
	if err := d.Done(c.ctx); err != nil {
		c.t.Fatalf("done with %s: %v", d.ID, err)
	}
}

// sentinels numbers the messages of expectEmpty, as an ID can be used once.
var sentinels atomic.Int64

// expectEmpty checks that nothing waits in the lane, without waiting for
// nothing to come: a message published now is the next one.
func (c *client) expectEmpty(class string) {
	c.t.Helper()
	id := fmt.Sprint("nothing-before-", sentinels.Add(1))
	c.publish(class, id)
	c.done(c.expect(class, id, 1))
}

func (c *client) closeConsumer() {
	c.t.Helper()
	if err := c.con.Close(c.ctx); err != nil {
		c.t.Fatalf("close consumer: %v", err)
	}
}
