package rabbitmq

import (
	"context"
	"fmt"
	"strconv"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// declare declares the queue, which brings back what was deleted of it.
func (q *Queue) declare(ctx context.Context, s *session) error {
	version := versionOf(s.conn)
	limit := version.atLeast(4, 0)
	if q.cfg.Native && q.cfg.Type == Quorum {
		if err := q.checkLevels(version); err != nil {
			return err
		}
	}
	return q.conn.request(ctx, func(ch *amqp.Channel) error {
		if err := ch.ExchangeDeclare(q.cfg.Name, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
			return declareError("exchange", q.cfg.Name, err)
		}
		for _, class := range q.cfg.Classes {
			args := q.arguments(q.cfg.Type, q.cfg.MaxBytes, amqp.QueueOverflowRejectPublish, limit)
			if q.cfg.Native && q.cfg.Type == Classic {
				args["x-max-priority"] = int32(len(q.cfg.Classes))
			}
			if err := declareQueue(ch, q.lane(class), args); err != nil {
				return err
			}
			if err := ch.QueueBind(q.lane(class), class, q.cfg.Name, false, nil); err != nil {
				return declareError("binding of queue", q.lane(class), err)
			}
			// Nothing consumes the lane of the other strategy any more: still bound, it
			// would fill up, and then refuse for this one. There need not be any.
			if err := ch.QueueUnbind(q.formerLane(class), class, q.cfg.Name, nil); err != nil {
				return fmt.Errorf("unbind queue %q of the other strategy: %w", q.formerLane(class), err)
			}
			if err := declareQueue(ch, markerOf(q.lane(class)), q.markerArguments()); err != nil {
				return err
			}
		}
		args := q.arguments(q.cfg.Type, q.cfg.DeadBytes, amqp.QueueOverflowDropHead, limit)
		return declareQueue(ch, q.name(deadName), args)
	})
}

func declareQueue(ch *amqp.Channel, name string, args amqp.Table) error {
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		return declareError("queue", name, err)
	}
	return nil
}

// checkLevels tells what the priorities of a quorum queue are worth on the server.
func (q *Queue) checkLevels(version version) error {
	switch {
	case !version.atLeast(4, 0):
		return fmt.Errorf("quorum queues of RabbitMQ %d.%d have no priorities: use classic queues, or lanes", version.major, version.minor)
	case !version.atLeast(4, 3):
		q.conn.cfg.Logger.Warn("rabbitmq: before 4.3, quorum queues have two priorities and serve them 2 to 1: the most urgent class has one, all others the other",
			"queue", q.cfg.Name)
	}
	return nil
}

// arguments returns the arguments of a queue. Since 4.0 the server has to be told to
// keep messages that come back often: it would drop them after 20 times.
func (q *Queue) arguments(kind string, maxBytes int64, overflow string, noLimit bool) amqp.Table {
	args := amqp.Table{
		amqp.QueueTypeArg:        kind,
		amqp.QueueMaxLenBytesArg: maxBytes,
		amqp.QueueMaxLenArg:      maxBytes / messageBytes,
		amqp.QueueOverflowArg:    overflow,
	}
	if kind == Quorum && noLimit {
		args["x-delivery-limit"] = int32(-1)
	}
	return args
}

// markerArguments are those of a marker, which is as safe as the lanes.
func (q *Queue) markerArguments() amqp.Table {
	return amqp.Table{
		amqp.QueueTypeArg:     q.cfg.Type,
		amqp.QueueMaxLenArg:   int64(1),
		amqp.QueueOverflowArg: amqp.QueueOverflowDropHead,
	}
}

// version is the server's.
type version struct{ major, minor int }

func versionOf(conn *amqp.Connection) (v version) {
	text, _ := conn.Properties["version"].(string)
	_, _ = fmt.Sscanf(text, "%d.%d", &v.major, &v.minor)
	return v
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

// retrySteps are the bounds of the delays that share a queue. A message waits at
// most as long behind another one as the bound says.
const (
	firstRetryStep = time.Second
	lastRetryStep  = 4096 * time.Second
)

// retryQueue returns the name of the queue in which a message of class waits for
// the end of a delay.
func (q *Queue) retryQueue(class string, after time.Duration) string {
	step := firstRetryStep
	for step < after && step < lastRetryStep {
		step *= 2
	}
	return q.name(class) + ".retry." + strconv.Itoa(int(step/time.Second)) + "s"
}

// settlingIn is how long a new quorum queue is left alone. The server writes down
// which log is whose only after half a second, and if it is killed before that, it
// starts with an empty log and no leader (3.10).
const settlingIn = time.Second

// declareRetry declares a queue for delays. It is a quorum queue whatever the
// lanes are, as only those hand on what has expired with a confirmation: a
// classic queue forgets it at once, also when the lane is full.
func (q *Queue) declareRetry(ctx context.Context, name, class string) error {
	s, err := q.conn.consuming.session()
	if err != nil {
		return err
	}
	return q.conn.request(ctx, func(ch *amqp.Channel) error {
		args := q.arguments(Quorum, q.cfg.MaxBytes, amqp.QueueOverflowRejectPublish, versionOf(s.conn).atLeast(4, 0))
		args["x-dead-letter-exchange"] = q.cfg.Name
		args["x-dead-letter-routing-key"] = class
		args["x-dead-letter-strategy"] = "at-least-once"
		return declareQueue(ch, name, args)
	})
}

// holdsAny reports whether there is a message in a queue on the server.
func (q *Queue) holdsAny(ctx context.Context, name string) (bool, error) {
	n, err := q.conn.waiting(ctx, name)
	return n > 0, err
}
