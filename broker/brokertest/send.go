package brokertest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"overtake/broker"
)

// sender returns the story's publisher as what it has to be, too.
func (c *client) sender() broker.Sender {
	c.t.Helper()
	s, ok := c.pub.(broker.Sender)
	if !ok {
		c.t.Fatalf("%T is no broker.Sender", c.pub)
	}
	return s
}

func sentInOrder(t *testing.T, h Harness) {
	c := newClient(t, h)
	s := c.sender()
	const n = broker.MaxSent
	classes := []string{h.urgent(), h.batch()}
	var waits []func(context.Context) error
	for i := range n {
		wait, err := s.Send(c.ctx, &broker.Message{ID: fmt.Sprint("m", i), Class: classes[i%2]})
		if err != nil {
			t.Fatalf("send: %v", err)
		}
		waits = append(waits, wait)
	}
	for i, wait := range waits {
		if err := wait(c.ctx); err != nil {
			t.Fatalf("wait for m%d: %v", i, err)
		}
	}
	for i := range n {
		c.done(c.expect(classes[i%2], fmt.Sprint("m", i), 1))
	}
}

func sentInVain(t *testing.T, h Harness) {
	c := newClient(t, h)
	s := c.sender()
	send := func(m *broker.Message) error {
		wait, err := s.Send(c.ctx, m)
		if err != nil {
			return err
		}
		return wait(c.ctx)
	}
	wantError(t, "send to no class", send(&broker.Message{ID: "x", Class: "no-such-class"}), broker.ErrUnknownClass)
	wantError(t, "send without an ID", send(&broker.Message{Class: h.batch()}), broker.ErrInvalid)
	wantError(t, "send what is too large", send(&broker.Message{ID: "x", Class: h.batch(), Body: make([]byte, h.TooLarge)}), broker.ErrTooLarge)

	// A wait that is cut short leaves nothing behind that would hold up the next.
	why := errors.New("not interested any more")
	for i := range 2 * broker.MaxSent {
		wait, err := s.Send(c.ctx, &broker.Message{ID: fmt.Sprint("m", i), Class: h.batch()})
		if err != nil {
			t.Fatalf("send: %v", err)
		}
		ctx, cancel := context.WithCancelCause(c.ctx)
		cancel(why)
		if err := wait(ctx); err != nil { // it may have been confirmed already
			wantError(t, "wait", err, why)
		}
	}
	c.publish(h.urgent(), "next")
	c.done(c.expect(h.urgent(), "next", 1))

	if err := c.pub.Close(c.ctx); err != nil {
		t.Fatalf("close: %v", err)
	}
	wantError(t, "send after close", send(&broker.Message{ID: "x", Class: h.batch()}), broker.ErrClosed)
	wantError(t, "bury after close", s.Bury(c.ctx, &broker.Message{ID: "x", Class: h.batch()}, "late"), broker.ErrClosed)
}

func buried(t *testing.T, h Harness) {
	c := newClient(t, h)
	s := c.sender()
	m := &broker.Message{ID: "unwanted", Class: h.batch(), Header: broker.Header{"a": {"b"}}, Body: []byte("body")}
	if err := s.Bury(c.ctx, m, "nobody\nwants it"); err != nil {
		t.Fatalf("bury: %v", err)
	}
	wantError(t, "bury without an ID", s.Bury(c.ctx, &broker.Message{Class: h.batch()}, "x"), broker.ErrInvalid)
	c.expectEmpty(h.batch())
	letters := h.deadLetters(t)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters, want 1", len(letters))
	}
	d := letters[0]
	if d.ID != m.ID || d.Class != m.Class || string(d.Body) != "body" || d.Header.Get("a") != "b" ||
		d.Header.Get(broker.HeaderDeadReason) != "nobody wants it" || d.Header.Get(broker.HeaderDeadAttempts) != "0" {
		t.Errorf("dead letter %+v, want that of %+v", d, m)
	}
}
