package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// browse takes up to limit messages from a queue on the server and calls take for
// each, which says whether it is to be removed. The others are given back, in
// order and before browse returns.
func (q *Queue) browse(ctx context.Context, name string, limit int, take func(*amqp.Delivery) (remove bool, err error)) error {
	b, err := q.openBrowser(ctx, name, limit)
	if err != nil {
		return err
	}
	for range b.n {
		var remove bool
		raw, ok := b.next(ctx)
		if !ok {
			break
		}
		if remove, err = take(&raw); err == nil && remove {
			b.left--
			err = raw.Ack(false)
		}
		if err != nil {
			break
		}
	}
	if b.ch.IsClosed() { // the server puts back what came
		return errors.Join(err, fmt.Errorf("%w: %w", broker.ErrUnavailable, errConnectionLost))
	}
	return errors.Join(err, context.Cause(ctx), q.putBack(context.WithoutCancel(ctx), b))
}

// browser is a channel over which the first messages of a queue come.
type browser struct {
	ch         *amqp.Channel
	name       string // of the queue
	n          int    // how many messages are to come
	left       int    // how many the queue has, without those that were removed
	deliveries <-chan amqp.Delivery
}

func (q *Queue) openBrowser(ctx context.Context, name string, limit int) (*browser, error) {
	s, err := q.conn.consuming.session()
	if err != nil {
		return nil, err
	}
	opened := make(chan *browser, 1)
	err = q.conn.await(ctx, func() error {
		ch, err := s.conn.Channel()
		if err != nil {
			return err
		}
		b := &browser{ch: ch, name: name}
		if err := b.consume(limit); err != nil {
			_ = ch.Close()
			return err
		}
		opened <- b
		return nil
	})
	if err != nil {
		return nil, err
	}
	return <-opened, nil
}

// consume has the server send up to limit messages. They come over one consumer,
// as only what one consumer had goes back to a quorum queue in order.
func (b *browser) consume(limit int) error {
	state, err := b.ch.QueueDeclarePassive(b.name, true, false, false, false, nil)
	if err != nil {
		return err
	}
	b.left, b.n = state.Messages, min(limit, state.Messages)
	if b.n == 0 {
		return nil
	}
	credit := b.n
	if credit > math.MaxUint16 {
		credit = 0 // AMQP has no number for that, and takes this for no bound
	}
	if err := b.ch.Qos(credit, 0, false); err != nil {
		return err
	}
	b.deliveries, err = b.ch.Consume(b.name, "", false, false, false, false, nil)
	return err
}

// next returns the next delivery. That there is none tells only that nothing came
// for a while: other consumers have taken it.
func (b *browser) next(ctx context.Context) (raw amqp.Delivery, ok bool) {
	quiet := time.NewTimer(time.Second)
	defer quiet.Stop()
	select {
	case raw, ok = <-b.deliveries:
	case <-quiet.C:
	case <-ctx.Done():
	}
	return raw, ok
}

// putBack gives back what was not removed, by closing the channel: what is given
// back by a nack goes to the end of a quorum queue. It waits until the server has
// left messages in place, as who comes sooner would see the others first. If
// consumers take some meanwhile, that may never be, and it does not wait for long.
func (q *Queue) putBack(ctx context.Context, b *browser) error {
	if err := q.conn.await(ctx, b.ch.Close); err != nil {
		return err
	}
	return q.conn.request(ctx, func(ch *amqp.Channel) error {
		for end := time.Now().Add(time.Second); ; {
			state, err := ch.QueueDeclarePassive(b.name, true, false, false, false, nil)
			if err != nil || state.Messages >= b.left || time.Now().After(end) {
				return err
			}
		}
	})
}
