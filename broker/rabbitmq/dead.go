package rabbitmq

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// maxReason bounds the reason of a dead letter in bytes.
const maxReason = 1 << 10

// publishDead stores p, a copy of d, among the dead letters.
func (q *Queue) publishDead(ctx context.Context, out *outlet, d *delivery, reason string, p amqp.Publishing) error {
	shrink(p.Headers)
	p.Headers[broker.HeaderClass] = d.message.Class
	p.Headers[broker.HeaderDeadReason] = oneLine(reason, maxReason)
	p.Headers[broker.HeaderDeadAttempts] = fmt.Sprint(d.attempt)
	p.Headers[headerDied] = time.Now().UnixMilli()
	if err := out.publish(ctx, "", q.name(deadName), p); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

// DeadLetters implements [broker.Morgue]. RabbitMQ can't show a message without
// taking it: meanwhile nobody else sees those that are read, and if the process
// dies, they are back. A message that died while its connection was lost may be
// there twice.
func (q *Queue) DeadLetters(ctx context.Context, limit int) ([]broker.DeadLetter, error) {
	var letters []broker.DeadLetter
	err := q.browse(ctx, q.name(deadName), limit, func(raw *amqp.Delivery) (bool, error) {
		letters = append(letters, newDeadLetter(raw))
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: dead letters of queue %q: %w%s", q.cfg.Name, err, absent(err))
	}
	return letters, nil
}

// Replay implements [broker.Morgue].
func (q *Queue) Replay(ctx context.Context, pick func(*broker.DeadLetter) bool) (int, error) {
	out := q.newOutlet()
	published := make(map[string]bool)
	var invalid error // the first
	err := q.browse(ctx, q.name(deadName), math.MaxInt, func(raw *amqp.Delivery) (bool, error) {
		letter := newDeadLetter(raw)
		if !pick(&letter) {
			return false, nil
		}
		if published[letter.ID] {
			return true, nil
		}
		if err := q.replay(ctx, out, &letter); errors.Is(err, broker.ErrInvalid) {
			invalid = cmp.Or(invalid, fmt.Errorf("%s of class %q stays: %w", letter.ID, letter.Class, err))
			return false, nil
		} else if err != nil {
			return false, fmt.Errorf("%s of class %q: %w", letter.ID, letter.Class, err)
		}
		published[letter.ID] = true
		return true, nil
	})
	if err = errors.Join(err, invalid, out.close(ctx)); err != nil {
		return len(published), fmt.Errorf("rabbitmq: replay dead letters of queue %q: %w%s", q.cfg.Name, err, absent(err))
	}
	return len(published), nil
}

// replay publishes letter into the lane of its class. Consumers may remember that
// they have settled its ID, but that it was replayed begins another stay.
func (q *Queue) replay(ctx context.Context, out *outlet, letter *broker.DeadLetter) error {
	if !q.hasLane(letter.Class) {
		return fmt.Errorf("%w; configure the class again, or replay those of other classes", broker.ErrUnknownClass)
	}
	m := letter.Replayed()
	if err := m.Validate(); err != nil {
		return err
	}
	return out.publish(ctx, q.cfg.Name, m.Class, q.newPublishing(m))
}

func newDeadLetter(raw *amqp.Delivery) broker.DeadLetter {
	class, _ := raw.Headers[broker.HeaderClass].(string)
	m := newMessage(raw, class)
	letter := broker.DeadLetter{Message: m, Reason: m.Header.Get(broker.HeaderDeadReason)}
	// Without them it is somebody else's message.
	_, _ = fmt.Sscan(m.Header.Get(broker.HeaderDeadAttempts), &letter.Attempts)
	letter.Died = pastTime(raw.Headers, headerDied)
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
