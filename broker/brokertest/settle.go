package brokertest

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"overtake/broker"
)

// never is a delay of a retry that no story lives to see the end of.
const never = time.Hour

func redelivery(t *testing.T, h Harness) {
	c := newClient(t, h)
	m := &broker.Message{ID: "again", Class: h.batch(), Header: broker.Header{"k": {"v", "w"}}, Body: []byte("body")}
	c.send(m)
	var published time.Time
	for attempt := 1; attempt <= 4; attempt++ {
		d := c.expect(h.batch(), "again", attempt)
		sameMessage(t, &d.Message, m)
		if attempt == 1 {
			published = d.Published
		} else if !d.Published.Equal(published) {
			t.Errorf("attempt %d says published at %v, the first one said %v", attempt, d.Published, published)
		}
		if attempt == 4 {
			c.done(d)
		} else {
			c.retry(d, 0)
		}
	}
	c.expectEmpty(h.batch())
}

func retryWithDelay(t *testing.T, h Harness) {
	c := newClient(t, h)
	c.publish(h.urgent(), "stuck", "soon", "fine")
	c.retry(c.expect(h.urgent(), "stuck", 1), never)
	const delay = 200 * time.Millisecond
	soon := c.expect(h.urgent(), "soon", 1)
	given := time.Now()
	c.retry(soon, delay)
	c.done(c.expect(h.urgent(), "fine", 1))
	c.publish(h.urgent(), "later") // which of them comes first is open
	attempts := map[string]int{}
	for range 2 {
		d := c.next(h.urgent())
		attempts[d.ID] = d.Attempt
		if waited := time.Since(given); d.ID == "soon" && waited < delay {
			t.Errorf("the retry came after %v, want not before %v", waited, delay)
		}
		c.done(d)
	}
	if want := map[string]int{"soon": 2, "later": 1}; !maps.Equal(attempts, want) {
		t.Errorf("attempts %v, want %v", attempts, want)
	}
	c.expectEmpty(h.urgent())
}

// manyRetries fails more messages than brokers leave unsettled by default.
func manyRetries(t *testing.T, h Harness) {
	c := newClient(t, h)
	const n = 1500
	publishMany(t, c, h.batch(), n)
	for range n {
		c.retry(c.next(h.batch()), never)
	}
	c.expectEmpty(h.batch())
}

func deadLetter(t *testing.T, h Harness) {
	c := newClient(t, h)
	m := &broker.Message{ID: "poison", Class: h.batch(), Header: broker.Header{"k": {"v", "w"}}, Body: []byte("body")}
	c.send(m)
	c.publish(h.urgent(), "bad")
	c.retry(c.expect(h.batch(), "poison", 1), 0)
	c.dead(c.expect(h.batch(), "poison", 2), "app answered 500\r\nInternal: error")
	c.dead(c.expect(h.urgent(), "bad", 1), strings.Repeat("long ", 2000))
	c.expectEmpty(h.batch())
	c.expectEmpty(h.urgent())

	letters := h.deadLetters(t)
	if len(letters) != 2 {
		t.Fatalf("%d dead letters, want 2: %+v", len(letters), letters)
	}
	wantDead(t, &letters[0].Message, m.ID, m.Class, "app answered 500", "2")
	wantDead(t, &letters[1].Message, "bad", h.urgent(), "long long", "1")
	delete(letters[0].Header, broker.HeaderDeadReason)
	delete(letters[0].Header, broker.HeaderDeadAttempts)
	sameMessage(t, &letters[0].Message, m)
}

func wantDead(t *testing.T, m *broker.Message, id, class, reason, attempts string) {
	t.Helper()
	if m.ID != id || m.Class != class {
		t.Errorf("dead letter is %s of %s, want %s of %s", m.ID, m.Class, id, class)
	}
	if got := m.Header.Get(broker.HeaderDeadReason); !strings.HasPrefix(got, reason) || strings.ContainsAny(got, "\r\n") {
		t.Errorf("reason of %s is %q, want %q… in one line", id, got, reason)
	}
	if got := m.Header.Get(broker.HeaderDeadAttempts); got != attempts {
		t.Errorf("attempts of %s are %q, want %s", id, got, attempts)
	}
}

// largeDeadLetter looks for the largest body that the lane takes: even that,
// with what a dead letter adds to it, can be given up.
func largeDeadLetter(t *testing.T, h Harness) {
	c := newClient(t, h)
	taken, refused := 0, h.TooLarge
	for refused-taken > 1 {
		size := (taken + refused) / 2
		m := &broker.Message{ID: fmt.Sprint("size-", size), Class: h.urgent(), Body: make([]byte, size)}
		if err := c.pub.Publish(c.ctx, m); err != nil {
			wantError(t, "publish "+m.ID, err, broker.ErrTooLarge)
			refused = size
			continue
		}
		taken = size
		c.dead(c.expect(h.urgent(), m.ID, 1), strings.Repeat("long ", 2000))
	}
	letters := h.deadLetters(t)
	if len(letters) == 0 || len(letters[len(letters)-1].Body) != taken {
		t.Errorf("the last of %d dead letters is not the one of %d bytes", len(letters), taken)
	}
	c.expectEmpty(h.urgent())
}

func settledTwice(t *testing.T, h Harness) {
	c := newClient(t, h)
	settle := map[string]func(*broker.Delivery) error{
		"done":  func(d *broker.Delivery) error { return d.Done(c.ctx) },
		"retry": func(d *broker.Delivery) error { return d.Retry(c.ctx, 0) },
		"dead":  func(d *broker.Delivery) error { return d.Dead(c.ctx, "twice") },
	}
	for first, settleFirst := range settle {
		c.publish(h.urgent(), "by-"+first)
		d := c.expect(h.urgent(), "by-"+first, 1)
		if err := d.Working(c.ctx); err != nil {
			t.Errorf("working on %s: %v", d.ID, err)
		}
		if err := settleFirst(d); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		for second, settleSecond := range settle {
			wantError(t, second+" after "+first, settleSecond(d), broker.ErrSettled)
		}
		wantError(t, "working after "+first, d.Working(c.ctx), broker.ErrSettled)
		if first == "retry" {
			c.done(c.expect(h.urgent(), "by-retry", 2))
		}
		c.expectEmpty(h.urgent())
	}
	if n := len(h.deadLetters(t)); n != 1 {
		t.Errorf("%d dead letters, want 1", n)
	}

	// Of many at the same time one wins.
	c.publish(h.urgent(), "contested")
	d := c.expect(h.urgent(), "contested", 1)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if d.Done(c.ctx) == nil {
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of 8 calls of Done succeeded, want 1", wins.Load())
	}
}

func settleAgain(t *testing.T, h Harness) {
	c := newClient(t, h)
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	c.publish(h.urgent(), "m")
	d := c.expect(h.urgent(), "m", 1)
	wantError(t, "done", d.Done(cancelled), context.Canceled)
	wantError(t, "retry", d.Retry(cancelled, 0), context.Canceled)
	wantError(t, "dead", d.Dead(cancelled, "x"), context.Canceled)
	wantError(t, "working", d.Working(cancelled), context.Canceled)
	c.done(d)
	c.expectEmpty(h.urgent())
	if n := len(h.deadLetters(t)); n != 0 {
		t.Errorf("%d dead letters, want none", n)
	}
}

func (c *client) retry(d *broker.Delivery, after time.Duration) {
	c.t.Helper()
	if err := d.Retry(c.ctx, after); err != nil {
		c.t.Fatalf("retry %s: %v", d.ID, err)
	}
}

func (c *client) dead(d *broker.Delivery, reason string) {
	c.t.Helper()
	if err := d.Dead(c.ctx, reason); err != nil {
		c.t.Fatalf("dead %s: %v", d.ID, err)
	}
}
