package rabbitmq

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

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
	feed     *feed
	raw      *amqp.Delivery
	message  broker.Message
	attempt  int
	stay     stay
	answered bool // it was acknowledged or given back; only for the lane's goroutine

	mu       sync.Mutex
	state    settleState
	failedAt time.Time
	copied   bool // a retry or dead letter of it is stored
}

func newDelivery(f *feed, raw *amqp.Delivery) *delivery {
	d := &delivery{feed: f, raw: raw}
	if raw.MessageId == "" { // published by somebody else
		raw.MessageId = rand.Text()
	}
	d.message = newMessage(raw, class(raw.RoutingKey, f.l.classes))
	before := attempts(raw)
	d.stay = stay{d.message.ID, before - returns(raw), d.message.Header.Get(broker.HeaderReplayed)}
	d.attempt = before + 1
	return d
}

// newMessage returns what the server delivered as a message of class.
func newMessage(raw *amqp.Delivery, class string) broker.Message {
	header := decodeHeader(raw.Headers)
	header.Set(broker.HeaderClass, class)
	if number(raw.Headers, headerPublished) == 0 { // published by somebody else
		readProperties(raw, header)
	}
	return broker.Message{ID: raw.MessageId, Class: class, Header: header, Body: raw.Body}
}

func (d *delivery) asBroker() *broker.Delivery {
	return &broker.Delivery{Message: d.message, Attempt: d.attempt, Published: published(d.raw), Settler: d}
}

// Done implements [broker.Settler].
func (d *delivery) Done(ctx context.Context) error {
	return d.settle(ctx, "done", func(ctx context.Context) error {
		err := d.feed.l.apply(ctx, d, false)
		if err == nil {
			d.feed.l.release(d, true)
		}
		return err
	})
}

// Retry implements [broker.Settler]. With a delay, the message waits in a queue
// for that and then goes to the end of its lane. Without one it is given back,
// unless the lane is a classic queue, which does not count attempts.
func (d *delivery) Retry(ctx context.Context, after time.Duration) error {
	return d.settle(ctx, "retry", func(ctx context.Context) error {
		q := d.feed.l.c.q
		if after <= 0 && q.cfg.Type == Quorum {
			return d.feed.l.apply(ctx, d, true)
		}
		return d.move(ctx, func(p amqp.Publishing) error {
			if sizeOf(p.Headers) > mostHeader { // published by somebody else
				return q.publishDead(ctx, d.feed.l.c.copies, d, "its header is too large for a retry", p)
			}
			p.Headers[headerAttempts] = int64(d.attempt)
			p.Expiration = strconv.FormatInt(max(after.Milliseconds(), 1), 10)
			return q.publishRetry(ctx, d.feed.l.c.copies, d.message.Class, after, p)
		})
	})
}

// Dead implements [broker.Settler].
func (d *delivery) Dead(ctx context.Context, reason string) error {
	return d.settle(ctx, "dead", func(ctx context.Context) error {
		return d.move(ctx, func(p amqp.Publishing) error {
			return d.feed.l.c.q.publishDead(ctx, d.feed.l.c.copies, d, reason, p)
		})
	})
}

// move stores a copy of the message elsewhere, and then takes it from its lane.
func (d *delivery) move(ctx context.Context, store func(amqp.Publishing) error) error {
	if d.feed.isGone() {
		return goneError(nil) // it comes again, so a copy would be one too many
	}
	if !d.copied {
		if err := store(copyOf(d.raw)); err != nil {
			return err
		}
		d.copied = true
		// If it comes again because it can't be acknowledged, it is a repetition.
		d.feed.l.release(d, true)
	}
	return d.feed.l.apply(ctx, d, false)
}

// Working implements [broker.Settler]. The server takes a message back only when
// its channel is lost, so there is nothing to tell it.
func (d *delivery) Working(ctx context.Context) error {
	if ctx.Err() != nil {
		return d.wrap("working", cause(ctx, ctx.Err()))
	}
	if !d.feed.l.c.settling.Enter() {
		return d.wrap("working", broker.ErrClosed)
	}
	defer d.feed.l.c.settling.Leave()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.state == settling || d.state == settled:
		return d.wrap("working", broker.ErrSettled)
	case d.feed.isGone():
		return d.wrap("working", goneError(nil))
	}
	return nil
}

// settle runs send, which settles the delivery, unless that has been done.
func (d *delivery) settle(ctx context.Context, verb string, send func(context.Context) error) error {
	if ctx.Err() != nil {
		return d.wrap(verb, cause(ctx, ctx.Err()))
	}
	c := d.feed.l.c
	if !c.settling.Enter() {
		return d.wrap(verb, broker.ErrClosed)
	}
	defer c.settling.Leave()
	if !d.claim() {
		return d.wrap(verb, broker.ErrSettled)
	}
	err := send(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.state, d.failedAt = failed, time.Now()
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

// abandoned reports whether d failed to settle before t, and then settles it: it
// is given back.
func (d *delivery) abandoned(t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.state != failed || d.failedAt.After(t) {
		return false
	}
	d.state = settled
	return true
}

func (d *delivery) wrap(verb string, err error) error {
	return fmt.Errorf("rabbitmq: %s %s of %s, attempt %d: %w", verb, d.message.ID, d.feed.l.queue, d.attempt, err)
}

// publishRetry stores p in the queue for its delay, which is declared when it is
// needed. A new one refuses like a full one as long as it has no leader, but is
// empty.
func (q *Queue) publishRetry(ctx context.Context, out *outlet, class string, after time.Duration, p amqp.Publishing) error {
	name := q.retryQueue(class, after)
	works := false // the queue has a leader
	for end := time.Now().Add(confirmTimeout); ; {
		err := out.publish(ctx, "", name, p)
		switch {
		case errors.Is(err, errReturned):
			err = q.declareRetry(ctx, name, class)
		case errors.Is(err, broker.ErrFull) && !works:
			works, err = q.holdsAny(ctx, name)
		default:
			return err
		}
		if err != nil {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: queue %q does not come up", broker.ErrUnavailable, name)
		}
		if !works {
			pause(ctx, settlingIn)
		}
	}
}
