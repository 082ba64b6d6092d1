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

// markerOf returns the name of the marker of a queue on the server: another one,
// whose one message says that nothing is to be consumed from the first, as
// RabbitMQ can't pause a queue.
func markerOf(queue string) string { return queue + ".paused" }

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
		for _, class := range append(slices.Clone(q.inspected()), deadName) {
			name := q.name(class)
			if class != deadName {
				name = q.lane(class)
			}
			state, err := ch.QueueDeclarePassive(name, true, false, false, false, nil)
			if err != nil {
				return err
			}
			lane := broker.Lane{
				Class: class, Waiting: state.Messages, InHand: broker.Unknown, Bytes: broker.Unknown, Consumers: state.Consumers,
				MaxBytes: q.cfg.MaxBytes, // or else declaring it would have failed
			}
			if class == deadName {
				lane.InHand, lane.MaxBytes = 0, q.cfg.DeadBytes
			} else {
				lane.PeekCounts = true
				if lane.Paused, err = paused(ch, markerOf(name)); err != nil {
					return err
				}
			}
			lane.MaxMessages = lane.MaxBytes / messageBytes
			lanes = append(lanes, lane)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: inspect queue %q: %w%s", q.cfg.Name, err, absent(err))
	}
	return lanes, nil
}

// inspected returns the names of the lanes for who looks at them.
func (q *Queue) inspected() []string {
	if q.cfg.Native {
		return []string{broker.AllClasses}
	}
	return q.cfg.Classes
}

// inLane calls do with the name on the server of an inspected lane.
func (q *Queue) inLane(verb, lane string, do func(name string) error) error {
	if !slices.Contains(q.inspected(), lane) {
		return fmt.Errorf("rabbitmq: %s queue %q: %w %q", verb, q.cfg.Name, broker.ErrUnknownClass, lane)
	}
	if err := do(q.lane(lane)); err != nil {
		return fmt.Errorf("rabbitmq: %s queue %q: lane %q: %w%s", verb, q.cfg.Name, lane, err, absent(err))
	}
	return nil
}

// paused reports whether there is a message in the marker of a lane.
func paused(ch *amqp.Channel, marker string) (bool, error) {
	state, err := ch.QueueDeclarePassive(marker, true, false, false, false, nil)
	return state.Messages > 0, err
}

// Peek implements [broker.Inspector]. RabbitMQ can't show a message without
// delivering it: it is given back, in order, and its next delivery counts one
// more.
func (q *Queue) Peek(ctx context.Context, lane string, limit int) (peeked []broker.Peeked, err error) {
	classes := []string{lane}
	if q.cfg.Native {
		classes = q.cfg.Classes
	}
	err = q.inLane("peek at", lane, func(name string) error {
		return q.browse(ctx, name, limit, func(raw *amqp.Delivery) (bool, error) {
			peeked = append(peeked, broker.Peeked{
				Message:   newMessage(raw, class(raw.RoutingKey, classes)),
				Attempts:  attempts(raw),
				Published: published(raw),
			})
			return false, nil
		})
	})
	return peeked, err
}

// Purge implements [broker.Inspector].
func (q *Queue) Purge(ctx context.Context, lane string) (int, error) {
	n := 0 // where the call may write also after ctx has ended
	err := q.inLane("purge", lane, func(name string) error {
		return q.conn.request(ctx, func(ch *amqp.Channel) (err error) {
			n, err = ch.QueuePurge(name, false)
			return err
		})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// SetPaused implements [broker.Inspector].
func (q *Queue) SetPaused(ctx context.Context, lane string, paused bool) error {
	return q.inLane("pause or resume", lane, func(name string) error { return q.setPaused(ctx, markerOf(name), paused) })
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
