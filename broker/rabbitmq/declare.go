package rabbitmq

import (
	"context"
	"strconv"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// declare declares the queue, unless that was done in the same session.
func (q *Queue) declare(ctx context.Context, s *session) error {
	q.mu.Lock()
	done := q.declared == s
	q.mu.Unlock()
	if done {
		return nil
	}
	return q.declareAnew(ctx, s)
}

// declareAnew declares the queue, which brings back what was deleted of it.
func (q *Queue) declareAnew(ctx context.Context, s *session) error {
	err := q.conn.request(ctx, func(ch *amqp.Channel) error {
		limit := noDeliveryLimit(s)
		if err := ch.ExchangeDeclare(q.cfg.Name, amqp.ExchangeDirect, true, false, false, false, nil); err != nil {
			return declareError("exchange", q.cfg.Name, err)
		}
		for _, class := range q.cfg.Classes {
			args := q.arguments(q.cfg.Type, q.cfg.MaxBytes, amqp.QueueOverflowRejectPublish, limit)
			if err := declareQueue(ch, q.name(class), args); err != nil {
				return err
			}
			if err := ch.QueueBind(q.name(class), class, q.cfg.Name, false, nil); err != nil {
				return declareError("binding of queue", q.name(class), err)
			}
			if err := declareQueue(ch, q.marker(class), q.markerArguments()); err != nil {
				return err
			}
		}
		args := q.arguments(q.cfg.Type, q.cfg.DeadBytes, amqp.QueueOverflowDropHead, limit)
		return declareQueue(ch, q.name(deadName), args)
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.declared = s
	return nil
}

func declareQueue(ch *amqp.Channel, name string, args amqp.Table) error {
	if _, err := ch.QueueDeclare(name, true, false, false, false, args); err != nil {
		return declareError("queue", name, err)
	}
	return nil
}

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

// noDeliveryLimit reports whether the server has to be told to keep messages that
// come back often: since 4.0 it drops what came back 20 times.
func noDeliveryLimit(s *session) bool {
	version, _ := s.conn.Properties["version"].(string)
	major, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 4
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

// declareRetry declares a queue for delays. It is a quorum queue whatever the
// lanes are, as only those hand on what has expired with a confirmation: a
// classic queue forgets it at once, also when the lane is full.
func (q *Queue) declareRetry(ctx context.Context, s *session, name, class string) error {
	return q.conn.request(ctx, func(ch *amqp.Channel) error {
		args := q.arguments(Quorum, q.cfg.MaxBytes, amqp.QueueOverflowRejectPublish, noDeliveryLimit(s))
		args["x-dead-letter-exchange"] = q.cfg.Name
		args["x-dead-letter-routing-key"] = class
		args["x-dead-letter-strategy"] = "at-least-once"
		return declareQueue(ch, name, args)
	})
}
