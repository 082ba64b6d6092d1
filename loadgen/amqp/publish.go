package amqp

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"overtake/loadgen"
	"overtake/loadgen/inflight"
)

const (
	// window is how many messages may wait for their confirmation.
	window = 1 << 14
	// maxMessage is the largest message that RabbitMQ takes before version 4.
	maxMessage = 128 << 20
)

// unconfirmed is a message that was written.
type unconfirmed struct {
	id      string
	confirm *amqp091.DeferredConfirmation
}

// publish publishes until ctx ends. What comes while there is no connection fails.
func (s *sender) publish(ctx context.Context, conn *amqp091.Connection) {
	s.keep(ctx, conn, "publish", s.publishOn, func(ctx context.Context, d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		for {
			s.calls.Refuse(loadgen.FailConnect)
			select {
			case <-s.calls.More():
			case <-timer.C:
				return
			case <-ctx.Done():
				return
			}
		}
	})
}

// publishOn publishes until the connection is lost or ctx ends, and returns when all
// that it published is confirmed or given up.
func (s *sender) publishOn(ctx context.Context, conn *amqp091.Connection) {
	ch, err := openChannel(conn, func(ch *amqp091.Channel) error { return ch.Confirm(false) })
	if err != nil {
		return
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer whenEnded(ctx, conn)()

	returned := ch.NotifyReturn(make(chan amqp091.Return, 64))
	readers.Go(func() {
		for r := range returned { // until the channel is closed
			s.calls.Fail(r.MessageId, inflight.FailUnroutable)
		}
	})
	written := make(chan unconfirmed, window)
	readers.Go(func() { s.awaitConfirms(ctx, ch, written) })
	defer hangUp(conn) // before the readers are waited for
	defer close(written)

	lost := ch.NotifyClose(make(chan *amqp091.Error, 1))
	for {
		for c := s.calls.Next(); c != nil; c = s.calls.Next() {
			if !s.write(ctx, ch, c, written) {
				return
			}
		}
		select {
		case <-s.calls.More():
		case <-lost: //nolint:errcheck // why shows in nothing that a call could tell
			return
		case <-ctx.Done():
			return
		}
	}
}

// write publishes one call and reports whether the connection is of use still.
func (s *sender) write(ctx context.Context, ch *amqp091.Channel, c *loadgen.Call, written chan<- unconfirmed) bool {
	id := c.ID
	m, ok := s.message(c)
	if !ok {
		s.calls.Fail(id, inflight.FailTooLarge)
		return true
	}
	confirm, err := ch.PublishWithDeferredConfirm(s.endpoint.Exchange, s.endpoint.Key, true, false, m)
	switch {
	case err == nil:
	case ctx.Err() != nil: // it was interrupted: unfinished
		s.calls.Written(id)
		return false
	default:
		s.calls.Fail(id, inflight.FailConnection)
		return false
	}
	s.calls.Written(id)
	select {
	case written <- unconfirmed{id, confirm}:
		return true
	case <-ctx.Done():
		return false
	}
}

// awaitConfirms fails what is not confirmed, unless that is because ctx has ended:
// then it is unfinished. Confirmations are looked at in the order of publication:
// those that say yes change nothing, so none of them is urgent.
func (s *sender) awaitConfirms(ctx context.Context, ch *amqp091.Channel, written <-chan unconfirmed) {
	for u := range written {
		<-u.confirm.Done() // at the latest when the channel is closed
		switch {
		case u.confirm.Acked() || ctx.Err() != nil:
		case ch.IsClosed():
			s.calls.Fail(u.id, inflight.FailConnection)
		default:
			s.calls.Fail(u.id, inflight.FailNacked)
		}
	}
}

// message makes the message of a call. It is false if that is too large.
func (s *sender) message(c *loadgen.Call) (amqp091.Publishing, bool) {
	body, ok := s.filler.Body(c.Request, maxMessage)
	m := amqp091.Publishing{
		MessageId:    c.ID,
		DeliveryMode: amqp091.Persistent,
		Headers:      make(amqp091.Table, len(c.Request.Fields)+1),
		Body:         body,
	}
	if c.TraceParent != "" {
		m.Headers["traceparent"] = c.TraceParent
	}
	for _, f := range c.Request.Fields {
		switch strings.ToLower(f.Name) {
		case "content-type":
			m.ContentType = f.Value
			continue
		case "priority":
			if p, err := strconv.ParseUint(f.Value, 10, 8); err == nil {
				m.Priority = uint8(p)
				continue
			}
		}
		m.Headers[f.Name] = f.Value
	}
	return m, ok
}
