package rabbitmq

import (
	"context"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// maxReason bounds the reason of a dead letter in bytes.
const maxReason = 1 << 10

// DeadLetter is a message that was given up.
type DeadLetter struct {
	broker.Message
	Reason string
	// Attempts is how often it was delivered.
	Attempts int
	// Died is when it became a dead letter.
	Died time.Time
}

// publishDead stores p, a copy of d, among the dead letters.
func (q *Queue) publishDead(ctx context.Context, out *outlet, d *delivery, reason string, p amqp.Publishing) error {
	p.Headers[broker.HeaderClass] = d.message.Class
	p.Headers[broker.HeaderDeadReason] = oneLine(reason, maxReason)
	p.Headers[broker.HeaderDeadAttempts] = fmt.Sprint(d.attempt)
	p.Headers[headerDied] = time.Now().UnixMilli()
	if err := out.publish(ctx, "", q.name(deadName), p); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

// DeadLetters returns up to limit dead letters, oldest first. RabbitMQ can't show
// a message without taking it: meanwhile nobody else sees those that are read,
// and if the process dies, they are back. A message that died while its
// connection was lost may be there twice.
func (q *Queue) DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error) {
	var letters []DeadLetter
	left := 0
	err := q.conn.request(ctx, func(ch *amqp.Channel) error {
		for len(letters) < limit {
			raw, ok, err := ch.Get(q.name(deadName), false)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			letters = append(letters, newDeadLetter(&raw))
			left = int(raw.MessageCount)
		}
		return nil // they go back with the channel, to the head of the queue
	})
	if err == nil && len(letters) > 0 {
		err = q.awaitDead(ctx, len(letters)+left)
	}
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: dead letters of queue %q: %w", q.cfg.Name, err)
	}
	return letters, nil
}

// awaitDead waits until there are n dead letters again: the server takes its time,
// and would show a reader that comes sooner the others first.
func (q *Queue) awaitDead(ctx context.Context, n int) error {
	for end := time.Now().Add(time.Second); time.Now().Before(end); { // another reader may have them
		depth, err := q.DeadDepth(ctx)
		if err != nil || depth >= n {
			return err
		}
	}
	return nil
}

func newDeadLetter(raw *amqp.Delivery) DeadLetter {
	header := decodeHeader(raw.Headers)
	letter := DeadLetter{
		Message: broker.Message{ID: raw.MessageId, Class: header.Get(broker.HeaderClass), Header: header, Body: raw.Body},
		Reason:  header.Get(broker.HeaderDeadReason),
	}
	// Without them it is somebody else's message.
	_, _ = fmt.Sscan(header.Get(broker.HeaderDeadAttempts), &letter.Attempts)
	if ms := number(raw.Headers, headerDied); ms > 0 {
		letter.Died = time.UnixMilli(ms)
	}
	return letter
}

// oneLine returns s as the value of a header: without line breaks, and cut to at
// most n bytes.
func oneLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
