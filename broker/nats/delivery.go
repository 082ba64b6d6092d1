package nats

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"overtake/broker"
)

var _ broker.Settler = (*delivery)(nil)

// settleState is how far a delivery has come.
type settleState uint8

const (
	unsettled settleState = iota
	settling              // a call that settles is under way
	settled
	failed // to settle; it may be tried again
)

// delivery is a message that the server has handed to this consumer.
type delivery struct {
	c       *Consumer
	lane    *lane
	message broker.Message
	meta    *natsgo.MsgMetadata

	// mu orders what is sent about the message: a heartbeat that overtook a
	// Retry would undo its delay.
	mu    sync.Mutex
	state settleState
	reply string // the subject to settle it at
}

func newDelivery(l *lane, msg *natsgo.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("nats: metadata of a message from %s: %w", msg.Subject, err)
	}
	id, header := decodeHeader(msg.Header)
	if id == "" { // published by somebody else
		id = foreignID(meta.Stream, meta.Sequence.Stream)
	}
	return &delivery{
		c:       l.c,
		lane:    l,
		message: broker.Message{ID: id, Class: l.class, Header: header, Body: msg.Data},
		meta:    meta,
		reply:   msg.Reply,
	}, nil
}

func (d *delivery) asBroker() *broker.Delivery {
	return &broker.Delivery{
		Message:   d.message,
		Attempt:   int(d.meta.NumDelivered),
		Published: d.meta.Timestamp,
		Settler:   d,
	}
}

// Done implements [broker.Settler].
func (d *delivery) Done(ctx context.Context) error {
	return d.settle(ctx, "done", func(ctx context.Context) error {
		err := d.ack(ctx)
		if err == nil {
			d.lane.hand.finish(d)
		}
		return err
	})
}

// Retry implements [broker.Settler].
func (d *delivery) Retry(ctx context.Context, after time.Duration) error {
	return d.settle(ctx, "retry", func(ctx context.Context) error {
		return d.nak(ctx, after)
	})
}

// Dead implements [broker.Settler].
func (d *delivery) Dead(ctx context.Context, reason string) error {
	return d.settle(ctx, "dead", func(ctx context.Context) error {
		stay := strconv.FormatUint(d.meta.Sequence.Stream, 10)
		if err := d.c.q.storeDead(ctx, &d.message, d.meta.NumDelivered, stay, reason); err != nil {
			return err
		}
		return d.ack(ctx)
	})
}

// Working implements [broker.Settler].
func (d *delivery) Working(ctx context.Context) error {
	if ctx.Err() != nil {
		return d.wrap("working", cause(ctx, ctx.Err()))
	}
	if !d.c.settling.Enter() {
		return d.wrap("working", broker.ErrClosed)
	}
	defer d.c.settling.Leave()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == settling || d.state == settled {
		return d.wrap("working", broker.ErrSettled)
	}
	if err := d.sayLocked(server.AckProgress); err != nil {
		return d.wrap("working", cause(ctx, err))
	}
	return nil
}

// settle runs send, which settles the delivery, unless that has been done.
// From here on there are no heartbeats: if send fails and nobody tries again,
// the message must come again.
func (d *delivery) settle(ctx context.Context, verb string, send func(context.Context) error) error {
	if ctx.Err() != nil {
		return d.wrap(verb, cause(ctx, ctx.Err()))
	}
	if !d.c.settling.Enter() {
		return d.wrap(verb, broker.ErrClosed)
	}
	defer d.c.settling.Leave()
	if !d.claim() {
		return d.wrap(verb, broker.ErrSettled)
	}
	d.lane.hand.release(d)
	err := send(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.state = failed
		return d.wrap(verb, err)
	}
	d.state = settled
	return nil
}

func (d *delivery) claim() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == settling || d.state == settled {
		return false
	}
	d.state = settling
	return true
}

// ack acknowledges the message.
func (d *delivery) ack(ctx context.Context) error { return d.tell(ctx, server.AckAck) }

// nak gives the message back.
//
// It always has a delay, of 1 ns if need be: the server keeps a plain negative
// acknowledgement in memory only, and after a restart the message would come no
// sooner than AckWait; with a delay, the time at which the message is due is in
// the consumer's state on disk (nats-server v2.15.2: consumer.processNak). The
// price is that the server looks at it 10 ms later.
func (d *delivery) nak(ctx context.Context, after time.Duration) error {
	d.lane.withdraw(ctx)
	return d.tell(ctx, fmt.Appendf(nil, `%s {"delay": %d}`, server.AckNak, max(after, 1)))
}

// tell tells the server what becomes of the message and waits for it to confirm
// that.
func (d *delivery) tell(ctx context.Context, what []byte) error {
	d.mu.Lock()
	reply := d.reply
	d.mu.Unlock()
	return d.c.q.conn.request(ctx, func(ctx context.Context) error {
		_, err := d.c.q.conn.nc.RequestWithContext(ctx, reply, what)
		return err
	})
}

// sayLocked tells the server and waits for nothing.
func (d *delivery) sayLocked(what []byte) error { return d.c.q.conn.nc.Publish(d.reply, what) }

// replyTo notes that the server has delivered the message again, and so wants to
// hear of that delivery: it ignores a Retry of one that it does not remember.
func (d *delivery) replyTo(reply string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reply = reply
}

// repeated ends a delivery of what is done already.
func (d *delivery) repeated() {
	d.lane.hand.release(d)
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.sayLocked(server.AckAck) // if it gets lost, the message comes once more
}

// heartbeat puts off the redelivery. When it can't be sent there is no
// connection, and nothing else to do about that.
func (d *delivery) heartbeat() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state == unsettled {
		_ = d.sayLocked(server.AckProgress)
	}
}

// giveBack returns the message to its lane, unless somebody settles it.
func (d *delivery) giveBack(ctx context.Context) error {
	d.lane.hand.release(d)
	if !d.claim() {
		return nil
	}
	return d.nak(ctx, 0)
}

func (d *delivery) wrap(verb string, err error) error {
	return fmt.Errorf("nats: %s %s of %s, attempt %d: %w", verb, d.message.ID, d.c.q.subject(d.lane.class), d.meta.NumDelivered, err)
}
