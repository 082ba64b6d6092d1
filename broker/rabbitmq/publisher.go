package rabbitmq

import (
	"context"
	"errors"
	"fmt"

	"overtake/broker"
	"overtake/broker/internal/gate"
)

var _ broker.Publisher = (*Publisher)(nil)

// Publisher publishes into the lanes of one queue. Publishes are pipelined over a
// channel: their number per second grows with the number of goroutines that
// publish.
type Publisher struct {
	q    *Queue
	out  *outlet
	gate gate.Gate
}

// Publisher returns a new publisher for q.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q, out: q.newOutlet()} }

// Publish implements [broker.Publisher]. Without a connection it fails at once,
// as it does while the broker is low on memory or disk.
func (p *Publisher) Publish(ctx context.Context, m *broker.Message) error {
	if !p.gate.Enter() {
		return fmt.Errorf("rabbitmq: publish to queue %q: %w", p.q.cfg.Name, broker.ErrClosed)
	}
	defer p.gate.Leave()
	if !p.q.hasLane(m.Class) {
		return fmt.Errorf("rabbitmq: publish to queue %q: %w %q", p.q.cfg.Name, broker.ErrUnknownClass, m.Class)
	}
	if err := m.Validate(); err != nil {
		return fmt.Errorf("rabbitmq: publish to queue %q: %w", p.q.cfg.Name, err)
	}
	if err := p.publish(ctx, m); err != nil {
		return fmt.Errorf("rabbitmq: publish %s to %s: %w", m.ID, p.q.name(m.Class), err)
	}
	return nil
}

func (p *Publisher) publish(ctx context.Context, m *broker.Message) error {
	if err := p.q.checkSize(m); err != nil {
		return err
	}
	err := p.out.publish(ctx, p.q.cfg.Name, m.Class, p.q.newPublishing(m))
	if errors.Is(err, errReturned) {
		return fmt.Errorf("%w %q: its queue was deleted or unbound; a consumer or a reconnect declares it again",
			broker.ErrUnknownClass, m.Class)
	}
	return err
}

// Close implements [broker.Publisher].
func (p *Publisher) Close(ctx context.Context) error {
	if err := p.gate.Close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	if err := p.out.close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	return nil
}
