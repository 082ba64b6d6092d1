package brokertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"overtake/broker"
)

func cancelledNext(t *testing.T, h Harness) {
	c := newClient(t, h)
	why := errors.New("slot was given to somebody else")
	ctx, cancel := context.WithCancelCause(c.ctx)
	result := make(chan error, 1)
	go func() {
		_, err := c.con.Next(ctx, h.urgent())
		result <- err
	}()
	cancel(why) // before, while or after it waits: the end is the same
	err := <-result
	wantError(t, "next", err, context.Canceled)
	wantError(t, "next", err, why)
	c.expectEmpty(h.urgent()) // and the consumer goes on
}

func closedNext(t *testing.T, h Harness) {
	c := newClient(t, h)
	c.expectEmpty(h.urgent()) // the lane is being consumed
	errs := make(chan error, len(h.Classes))
	for _, class := range h.Classes {
		go func() {
			_, err := c.con.Next(c.ctx, class)
			errs <- err
		}()
	}
	c.closeConsumer()
	for range h.Classes {
		wantError(t, "next", <-errs, broker.ErrClosed)
	}
}

func abandonedNext(t *testing.T, h Harness) {
	c := newClient(t, h)
	for i := range 100 {
		ctx, cancel := context.WithCancel(c.ctx)
		result := make(chan *broker.Delivery, 1)
		go func() {
			d, _ := c.con.Next(ctx, h.urgent())
			result <- d
		}()
		id := fmt.Sprint("m", i)
		c.publish(h.urgent(), id)
		cancel()
		d := <-result
		if d == nil {
			d = c.next(h.urgent())
		}
		if d.ID != id || d.Attempt != 1 {
			t.Fatalf("got %s, attempt %d; want %s, attempt 1", d.ID, d.Attempt, id)
		}
		c.done(d)
	}
}

func givenBack(t *testing.T, h Harness) {
	first := newClient(t, h)
	first.publish(h.urgent(), "held", "settled")
	d := first.expect(h.urgent(), "held", 1)
	first.done(first.expect(h.urgent(), "settled", 1))
	first.closeConsumer()

	second := newClient(t, h)
	second.done(second.expect(h.urgent(), "held", 2))
	second.expectEmpty(h.urgent())
	// The one that lost it can't do harm any more.
	wantError(t, "done", d.Done(first.ctx), broker.ErrClosed)
	wantError(t, "retry", d.Retry(first.ctx, 0), broker.ErrClosed)
	wantError(t, "dead", d.Dead(first.ctx, "x"), broker.ErrClosed)
	second.expectEmpty(h.urgent())
}

func closedConsumerTakesNothing(t *testing.T, h Harness) {
	for i := range 20 {
		c := newClient(t, h)
		ctx, cancel := context.WithCancel(c.ctx)
		result := make(chan error, 1)
		go func() {
			_, err := c.con.Next(ctx, h.urgent())
			result <- err
		}()
		// Whatever of the waiting has reached the broker by now is undone.
		cancel()
		wantError(t, "next", <-result, context.Canceled)
		c.closeConsumer()
		id := fmt.Sprint("m", i)
		c.publish(h.urgent(), id)
		c.con = h.Consumer(t)
		c.done(c.expect(h.urgent(), id, 1))
	}
}

func useAfterClose(t *testing.T, h Harness) {
	c := newClient(t, h)
	for range 2 { // closing again is allowed
		if err := c.pub.Close(c.ctx); err != nil {
			t.Errorf("close publisher: %v", err)
		}
		if err := c.con.Close(c.ctx); err != nil {
			t.Errorf("close consumer: %v", err)
		}
	}
	wantError(t, "publish", c.pub.Publish(c.ctx, &broker.Message{ID: "x", Class: h.urgent()}), broker.ErrClosed)
	_, err := c.con.Next(c.ctx, h.urgent())
	wantError(t, "next", err, broker.ErrClosed)
}

// crowd publishes and consumes from many goroutines, some of which fail.
func crowd(t *testing.T, h Harness) {
	const publishers, each, consumers = 16, 100, 4
	c := newClient(t, h)
	var mu sync.Mutex
	done := make(map[string]int)
	all := make(chan struct{})
	settle := func(d *broker.Delivery) error {
		switch {
		case d.Attempt == 1 && len(d.Body)%3 == 0:
			return d.Retry(c.ctx, 0)
		default:
			err := d.Done(c.ctx)
			mu.Lock()
			defer mu.Unlock()
			if done[d.ID]++; len(done) == publishers*each && done[d.ID] == 1 {
				close(all)
			}
			return err
		}
	}

	ctx, stop := context.WithCancel(c.ctx)
	var working sync.WaitGroup
	for range consumers {
		con := h.Consumer(t)
		for _, class := range h.Classes {
			working.Go(func() {
				for {
					d, err := con.Next(ctx, class)
					if err != nil {
						return // stopped
					}
					if err := settle(d); err != nil {
						t.Errorf("settle %s: %v", d.ID, err)
					}
				}
			})
		}
	}
	var publishing sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			for i := range each {
				m := &broker.Message{ID: fmt.Sprintf("p%d-%d", p, i), Class: h.Classes[i%len(h.Classes)], Body: make([]byte, i)}
				if err := c.pub.Publish(c.ctx, m); err != nil {
					t.Errorf("publish %s: %v", m.ID, err)
				}
			}
		})
	}
	publishing.Wait()
	select {
	case <-all:
	case <-c.ctx.Done():
		t.Errorf("%d of %d messages came", len(done), publishers*each)
	}
	stop()
	working.Wait()
	for id, n := range done {
		if n != 1 {
			t.Errorf("%s was done %d times", id, n)
		}
	}
}

func reconnects(t *testing.T, h Harness) {
	h.Disconnect.require(t)
	c := newClient(t, h)
	c.publish(h.urgent(), "before")
	held := c.expect(h.urgent(), "before", 1)
	waiting := make(chan *broker.Delivery, 1)
	go func() {
		d, err := c.con.Next(c.ctx, h.urgent())
		if err != nil {
			t.Errorf("next across a lost connection: %v", err)
		}
		waiting <- d
	}()
	h.Disconnect.Do(t)

	// While it is away a publish fails at once; under the same ID it is safe
	// to repeat.
	for {
		err := c.pub.Publish(c.ctx, &broker.Message{ID: "after", Class: h.urgent()})
		if err == nil {
			break
		}
		if !errors.Is(err, broker.ErrUnavailable) {
			t.Fatalf("publish: %v", err)
		}
	}
	// The delivery of the lost connection may be settled or may have come
	// again; it is not lost and not another one.
	_ = held.Done(c.ctx)
	got := map[string]bool{}
	for d := <-waiting; ; d = c.next(h.urgent()) {
		if d == nil {
			return
		}
		got[d.ID] = true
		c.done(d)
		if got["after"] {
			break
		}
	}
	for id := range got {
		if id != "before" && id != "after" {
			t.Errorf("%s came, which nobody published", id)
		}
	}
}

func survivesRestart(t *testing.T, h Harness) {
	h.Restart.require(t)
	c := newClient(t, h)
	c.publish(h.batch(), "done", "held", "waiting")
	c.publish(h.urgent(), "poison", "untouched")
	c.done(c.expect(h.batch(), "done", 1))
	c.expect(h.batch(), "held", 1)
	c.dead(c.expect(h.urgent(), "poison", 1), "bad")
	c.setPaused(h, h.batch(), true)
	c.closeConsumer()
	h.Restart.Do(t)

	// A new consumer leaves alone what has waited all the time.
	c = newClient(t, h)
	came := make(chan *broker.Delivery, 1)
	go func() {
		d, _ := c.con.Next(c.ctx, h.batch())
		came <- d
	}()
	c.publish(h.urgent(), "untouched") // recognized, as before
	c.done(c.expect(h.urgent(), "untouched", 1))
	for range 50 {
		c.expectEmpty(h.urgent())
	}
	if lane := c.lane(h, h.batch()); !lane.Paused || lane.Waiting == 0 || len(came) > 0 {
		t.Errorf("after the restart the lane is %+v and %d came, want it paused and none", lane, len(came))
	}
	c.setPaused(h, h.batch(), false)
	attempts := map[string]int{}
	for d := <-came; d != nil; d = c.next(h.batch()) { // which of them comes first is open
		attempts[d.ID] = d.Attempt
		c.done(d)
		if len(attempts) == 2 {
			break
		}
	}
	if want := map[string]int{"held": 2, "waiting": 1}; !maps.Equal(attempts, want) {
		t.Errorf("attempts %v, want %v", attempts, want)
	}
	c.expectEmpty(h.batch())
	if letters := h.deadLetters(t); len(letters) != 1 || letters[0].ID != "poison" {
		t.Errorf("dead letters %+v, want poison", letters)
	}
}
