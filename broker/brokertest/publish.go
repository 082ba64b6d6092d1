package brokertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"overtake/broker"
)

func consumedOnce(t *testing.T, h Harness) {
	c := newClient(t, h)
	before := time.Now()
	c.publish(h.urgent(), "one")
	d := c.expect(h.urgent(), "one", 1)
	// Brokers on other machines have other clocks, and some count seconds.
	if d.Published.Before(before.Add(-time.Minute)) || d.Published.After(time.Now().Add(time.Minute)) {
		t.Errorf("published at %v, want about %v", d.Published, before)
	}
	c.done(d)
	c.expectEmpty(h.urgent())
}

func keepsOrder(t *testing.T, h Harness) {
	c := newClient(t, h)
	const n = 200
	for i := range n {
		c.publish(h.batch(), fmt.Sprint("m", i))
	}
	for i := range n {
		c.done(c.expect(h.batch(), fmt.Sprint("m", i), 1))
	}
}

func lanesAreIndependent(t *testing.T, h Harness) {
	c := newClient(t, h)
	const backlog = 10_000
	publishMany(t, c, h.batch(), backlog)
	// A consumer in the middle of the backlog, with batch work in its hands …
	held := c.next(h.batch())
	// … gets the urgent message as the next urgent one, and has not taken any
	// other batch message meanwhile.
	c.publish(h.urgent(), "urgent")
	c.done(c.expect(h.urgent(), "urgent", 1))
	c.done(held)

	left := make(map[string]bool, backlog)
	for i := range backlog {
		left[fmt.Sprint("backlog-", i)] = true
	}
	delete(left, held.ID)
	for len(left) > 0 {
		d := c.next(h.batch())
		if !left[d.ID] {
			t.Fatalf("%s came, attempt %d; it is not of the backlog or came before", d.ID, d.Attempt)
		}
		delete(left, d.ID)
		c.done(d)
	}
}

// publishMany publishes n small messages, in no order.
func publishMany(t *testing.T, c *client, class string, n int) {
	t.Helper()
	const publishers = 32
	errs := make(chan error, publishers)
	for p := range publishers {
		go func() {
			var err error
			for i := p; i < n && err == nil; i += publishers {
				err = c.pub.Publish(c.ctx, &broker.Message{ID: fmt.Sprint("backlog-", i), Class: class})
			}
			errs <- err
		}()
	}
	for range publishers {
		if err := <-errs; err != nil {
			t.Fatalf("publish backlog: %v", err)
		}
	}
}

func contentSurvives(t *testing.T, h Harness) {
	c := newClient(t, h)
	everyByte := make([]byte, 256)
	for i := range everyByte {
		everyByte[i] = byte(i)
	}
	messages := []*broker.Message{
		{ID: "no-header-no-body"},
		{ID: "empty-body", Header: broker.Header{"content-type": {"text/plain"}}, Body: []byte{}},
		{ID: "binary", Body: everyByte},
		{ID: "1-MiB", Body: bytes.Repeat(everyByte, 1<<20/len(everyByte))},
		{ID: "header", Header: broker.Header{
			"several":             {"first", "second", "first"},
			"Mixed-Case":          {"kept"},
			"empty":               {""},
			"utf8":                {"Grüße, 世界"},
			"punctuation":         {`a: b; c="d", e=%20`},
			broker.HeaderDeadline: {"1700000000000"},
			"traceparent":         {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		}, Body: []byte("x")},
		{ID: `!"#$%&'()*+,-./0:;<=>?@A[\]^_` + "`a{|}~"}, // every kind of character that an ID may have
	}
	for _, m := range messages {
		for _, class := range h.Classes {
			m.Class = class
			c.send(m)
			d := c.expect(class, m.ID, 1)
			sameMessage(t, &d.Message, m)
			c.done(d)
		}
	}
}

// hostileHeader publishes what an HTTP request could bring along. The broker
// may not act on it, and the application gets what was sent.
func hostileHeader(t *testing.T, h Harness) {
	c := newClient(t, h)
	names := []string{
		"Status", "status", "Description", // NATS: control message
		"Nats-Msg-Id", "nats-msg-id", "Nats-Rollup", "Nats-TTL", "Nats-Expected-Stream", "Nats-Schedule",
		"CC", "BCC", "x-death", "x-delay", "x-match", // RabbitMQ: routing and dead-lettering
		"message_id", "priority", "expiration",
	}
	for i, name := range names {
		m := &broker.Message{ID: fmt.Sprint("hostile-", i), Class: h.batch(), Header: broker.Header{name: {"100"}}}
		c.send(m)
		d := c.expect(h.batch(), m.ID, 1)
		sameMessage(t, &d.Message, m)
		c.done(d)
	}
	// To RabbitMQ, this address is a demand, which it closes the channel for.
	m := &broker.Message{ID: "reply", Class: h.batch(), Header: broker.Header{broker.HeaderReplyTo: {"amq.rabbitmq.reply-to"}}}
	c.send(m)
	d := c.expect(h.batch(), m.ID, 1)
	sameMessage(t, &d.Message, m)
	c.done(d)
	// The class that counts is the message's, not the one in its header.
	c.send(&broker.Message{ID: "liar", Class: h.batch(), Header: broker.Header{broker.HeaderClass: {h.urgent()}}})
	d = c.expect(h.batch(), "liar", 1)
	if got := d.Header[broker.HeaderClass]; !slices.Equal(got, []string{h.batch()}) {
		t.Errorf("header %s = %q, want %q", broker.HeaderClass, got, h.batch())
	}
	c.done(d)
}

// sameMessage checks that got is want, with the header of its class added.
func sameMessage(t *testing.T, got, want *broker.Message) {
	t.Helper()
	if got.ID != want.ID || got.Class != want.Class {
		t.Errorf("got %s of %s, want %s of %s", got.ID, got.Class, want.ID, want.Class)
	}
	if !bytes.Equal(got.Body, want.Body) {
		t.Errorf("%s: body of %d bytes differs from the %d that were sent", want.ID, len(got.Body), len(want.Body))
	}
	for name, values := range want.Header {
		if !slices.Equal(got.Header[name], values) {
			t.Errorf("%s: header %s = %q, want %q", want.ID, name, got.Header[name], values)
		}
	}
	for name := range got.Header {
		if _, ok := want.Header[name]; !ok && name != broker.HeaderClass {
			t.Errorf("%s: header %s = %q was not sent", want.ID, name, got.Header[name])
		}
	}
	if class := got.Header.Get(broker.HeaderClass); class != want.Class {
		t.Errorf("%s: header %s = %q, want %q", want.ID, broker.HeaderClass, class, want.Class)
	}
}

func unknownClass(t *testing.T, h Harness) {
	c := newClient(t, h)
	for _, class := range []string{"", "dead", "no-such-class", "*", ">", "#", h.urgent() + "." + h.batch()} {
		err := c.pub.Publish(c.ctx, &broker.Message{ID: "x", Class: class})
		wantError(t, fmt.Sprintf("publish to class %q", class), err, broker.ErrUnknownClass)
		_, err = c.con.Next(c.ctx, class)
		wantError(t, fmt.Sprintf("next of class %q", class), err, broker.ErrUnknownClass)
	}
}

func invalidMessage(t *testing.T, h Harness) {
	c := newClient(t, h)
	for _, m := range []broker.Message{
		{},
		{ID: "with space"},
		{ID: "ümlaut"},
		{ID: string(bytes.Repeat([]byte("x"), 129))},
		{ID: "x", Header: broker.Header{"": {"x"}}},
		{ID: "x", Header: broker.Header{"a b": {"x"}}},
		{ID: "x", Header: broker.Header{"a:": {"x"}}},
		{ID: "x", Header: broker.Header{"a": {"x\r\nlatency-class: urgent"}}},
		{ID: "x", Header: broker.Header{"a": {"fine", "\x00"}}},
	} {
		m.Class = h.urgent()
		wantError(t, fmt.Sprintf("publish %q with header %q", m.ID, m.Header), c.pub.Publish(c.ctx, &m), broker.ErrInvalid)
	}
	c.expectEmpty(h.urgent())
}

func tooLarge(t *testing.T, h Harness) {
	c := newClient(t, h)
	err := c.pub.Publish(c.ctx, &broker.Message{ID: "large", Class: h.urgent(), Body: make([]byte, h.TooLarge)})
	wantError(t, "publish", err, broker.ErrTooLarge)
	c.expectEmpty(h.urgent()) // and the publisher goes on
}

func fullLane(t *testing.T, h Harness) {
	c := newClient(t, h)
	const size = 1 << 20
	limit := 2*h.LaneBytes/size + 2
	stored := 0
	var err error
	for err == nil && stored < limit {
		err = c.pub.Publish(c.ctx, &broker.Message{ID: fmt.Sprint("fill-", stored), Class: h.batch(), Body: make([]byte, size)})
		if err == nil {
			stored++
		}
	}
	wantError(t, fmt.Sprintf("publish after %d MiB", stored), err, broker.ErrFull)

	// The urgent lane does not feel it.
	c.expectEmpty(h.urgent())

	// What was refused is not there, what was confirmed is; and there is room
	// again. (Some brokers count a lane's size late, hence the loop.)
	for i := range stored {
		c.done(c.expect(h.batch(), fmt.Sprint("fill-", i), 1))
	}
	again := &broker.Message{ID: "room-again", Class: h.batch(), Body: make([]byte, size)}
	for err = broker.ErrFull; errors.Is(err, broker.ErrFull) && c.ctx.Err() == nil; {
		err = c.pub.Publish(c.ctx, again)
	}
	if err != nil {
		t.Fatalf("publish into the empty lane: %v", err)
	}
	c.done(c.expect(h.batch(), "room-again", 1))
}

func storedOnce(t *testing.T, h Harness) {
	c := newClient(t, h)
	c.publish(h.urgent(), "twin", "other", "twin")
	d := c.expect(h.urgent(), "twin", 1)
	c.publish(h.urgent(), "twin") // while it is being worked on
	c.done(d)
	c.publish(h.urgent(), "twin") // and after it has gone
	c.done(c.expect(h.urgent(), "other", 1))
	c.expectEmpty(h.urgent())
}

func cancelledPublish(t *testing.T, h Harness) {
	c := newClient(t, h)
	why := errors.New("client went away")
	ctx, cancel := context.WithCancelCause(c.ctx)
	cancel(why)
	err := c.pub.Publish(ctx, &broker.Message{ID: "late", Class: h.urgent()})
	wantError(t, "publish", err, context.Canceled)
	wantError(t, "publish", err, why)
	if errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("publish: %v blames the broker", err)
	}
	c.publish(h.urgent(), "next") // and the publisher goes on
	// Whether the first one was stored is open.
	d := c.next(h.urgent())
	if d.ID == "late" {
		c.done(d)
		d = c.next(h.urgent())
	}
	if d.ID != "next" {
		t.Errorf("got %s, want next", d.ID)
	}
	c.done(d)
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}
