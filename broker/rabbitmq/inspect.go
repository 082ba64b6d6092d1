package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

var (
	_ broker.Inspector = (*Queue)(nil)
	_ broker.Morgue    = (*Queue)(nil)
)

// pauseLook is how often a consumer looks whether its lane is paused.
const pauseLook = 2 * time.Second

// markerSuffix makes of a lane's name that of its marker, the queue whose one
// message says that the lane is paused: RabbitMQ can't pause a queue.
const markerSuffix = ".paused"

func (q *Queue) marker(class string) string { return q.name(class) + markerSuffix }

// Queue returns a queue that has been declared elsewhere, by [Conn.OpenQueue] with
// the same cfg. It declares nothing, so that looking at a queue does not change it.
// It waits for the server until ctx ends.
func (c *Conn) Queue(ctx context.Context, cfg QueueConfig) (*Queue, error) {
	cfg.setDefaults()
	cfg.Classes = slices.Clone(cfg.Classes)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	_, err := c.consuming.wait(ctx)
	if err == nil {
		_, err = c.publishing.wait(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: queue %q: %w", cfg.Name, err)
	}
	return &Queue{conn: c, cfg: cfg}, nil
}

// Inspect implements [broker.Inspector]. AMQP tells of a queue how many messages
// and consumers it has, and no more.
func (q *Queue) Inspect(ctx context.Context) ([]broker.Lane, error) {
	var lanes []broker.Lane
	err := q.conn.request(ctx, func(ch *amqp.Channel) error {
		for _, class := range append(slices.Clone(q.cfg.Classes), deadName) {
			state, err := ch.QueueDeclarePassive(q.name(class), true, false, false, false, nil)
			if err != nil {
				return err
			}
			lane := broker.Lane{
				Class: class, Waiting: state.Messages, InHand: broker.Unknown, Bytes: broker.Unknown, Consumers: state.Consumers,
			}
			if class == deadName {
				lane.InHand = 0
			} else {
				lane.PeekCounts = true
				if lane.Paused, err = paused(ch, q.marker(class)); err != nil {
					return err
				}
			}
			lanes = append(lanes, lane)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: inspect queue %q: %w%s", q.cfg.Name, err, absent(err))
	}
	return lanes, nil
}

// paused reports whether there is a message in the marker of a lane.
func paused(ch *amqp.Channel, marker string) (bool, error) {
	state, err := ch.QueueDeclarePassive(marker, true, false, false, false, nil)
	return state.Messages > 0, err
}

// Peek implements [broker.Inspector]. RabbitMQ can't show a message without
// delivering it: it is given back, in order, and its next delivery counts one
// more.
func (q *Queue) Peek(ctx context.Context, class string, limit int) ([]broker.Peeked, error) {
	if !q.hasLane(class) {
		return nil, fmt.Errorf("rabbitmq: peek at queue %q: %w %q", q.cfg.Name, broker.ErrUnknownClass, class)
	}
	var peeked []broker.Peeked
	err := q.browse(ctx, q.name(class), limit, func(raw *amqp.Delivery) (bool, error) {
		header := decodeHeader(raw.Headers)
		header.Set(broker.HeaderClass, class)
		peeked = append(peeked, broker.Peeked{
			Message:   broker.Message{ID: raw.MessageId, Class: class, Header: header, Body: raw.Body},
			Attempts:  int(number(raw.Headers, headerAttempts)) + returns(raw),
			Published: published(raw),
		})
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: peek at queue %q: lane %q: %w%s", q.cfg.Name, class, err, absent(err))
	}
	return peeked, nil
}

// Purge implements [broker.Inspector].
func (q *Queue) Purge(ctx context.Context, class string) (n int, err error) {
	if !q.hasLane(class) {
		return 0, fmt.Errorf("rabbitmq: purge queue %q: %w %q", q.cfg.Name, broker.ErrUnknownClass, class)
	}
	err = q.conn.request(ctx, func(ch *amqp.Channel) error {
		n, err = ch.QueuePurge(q.name(class), false)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("rabbitmq: purge queue %q: lane %q: %w%s", q.cfg.Name, class, err, absent(err))
	}
	return n, nil
}

// SetPaused implements [broker.Inspector].
func (q *Queue) SetPaused(ctx context.Context, class string, paused bool) error {
	if !q.hasLane(class) {
		return fmt.Errorf("rabbitmq: pause or resume queue %q: %w %q", q.cfg.Name, broker.ErrUnknownClass, class)
	}
	err := q.setPaused(ctx, q.marker(class), paused)
	if err != nil {
		return fmt.Errorf("rabbitmq: pause or resume queue %q: lane %q: %w%s", q.cfg.Name, class, err, absent(err))
	}
	return nil
}

func (q *Queue) setPaused(ctx context.Context, marker string, paused bool) error {
	if !paused {
		return q.conn.request(ctx, func(ch *amqp.Channel) error {
			_, err := ch.QueuePurge(marker, false)
			return err
		})
	}
	out := q.newOutlet()
	err := out.publish(ctx, "", marker, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("paused")})
	return errors.Join(err, out.close(ctx))
}

// absent returns what can be done if a part of the queue is not there.
func absent(err error) string {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Code == amqp.NotFound {
		return "; a gateway makes it when it starts with this configuration"
	}
	return ""
}
