package rabbitmq

import (
	"context"
	"errors"
	"fmt"

	"overtake/broker"
)

var (
	_ broker.Publisher = (*Publisher)(nil)
	_ broker.Sender    = (*Publisher)(nil)
)

// Publisher publishes into the lanes of one queue. Publishes are pipelined over a
// channel: their number per second grows with the number of goroutines that
// publish.
type Publisher struct {
	q    *Queue
	out  *outlet
	gate gate
}

// Publisher returns a new publisher for q.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q, out: q.newOutlet()} }

// Publish implements [broker.Publisher]. Without a connection it fails at once,
// as it does while the broker is low on memory or disk.
func (p *Publisher) Publish(ctx context.Context, m *broker.Message) error {
	wait, err := p.Send(ctx, m)
	if err != nil {
		return err
	}
	return wait(ctx)
}

// Send implements [broker.Sender].
func (p *Publisher) Send(ctx context.Context, m *broker.Message) (wait func(context.Context) error, err error) {
	if err := p.enter(m, p.q.maxMessage()); err != nil {
		return nil, err
	}
	s, err := p.out.send(ctx, p.q.cfg.Name, m.Class, p.q.newPublishing(m))
	if err != nil {
		p.gate.leave()
		return nil, p.wrap("publish", m, err)
	}
	return func(ctx context.Context) error {
		defer p.gate.leave()
		err := s.wait(ctx)
		if errors.Is(err, errReturned) {
			err = fmt.Errorf("%w %q: its queue was deleted or unbound; a consumer or a reconnect declares it again",
				broker.ErrUnknownClass, m.Class)
		}
		return p.wrap("publish", m, err)
	}, nil
}

// Bury implements [broker.Sender].
func (p *Publisher) Bury(ctx context.Context, m *broker.Message, reason string) error {
	if err := p.enter(m, p.q.cfg.DeadBytes-room); err != nil {
		return err
	}
	defer p.gate.leave()
	letter := &delivery{message: *m} // after no attempt
	return p.wrap("bury", m, p.q.publishDead(ctx, p.out, letter, reason, p.q.newPublishing(m)))
}

// enter lets a publish of m in through the gate, if m can be published and is of at
// most size bytes.
func (p *Publisher) enter(m *broker.Message, size int64) error {
	if !p.gate.enter() {
		return fmt.Errorf("rabbitmq: publish to queue %q: %w", p.q.cfg.Name, broker.ErrClosed)
	}
	err := m.Validate()
	if !p.q.hasLane(m.Class) {
		err = fmt.Errorf("%w %q", broker.ErrUnknownClass, m.Class)
	}
	if err == nil {
		if err = checkSize(m, size); err == nil {
			return nil
		}
		err = fmt.Errorf("%s: %w", m.ID, err)
	}
	p.gate.leave()
	return fmt.Errorf("rabbitmq: publish to queue %q: %w", p.q.cfg.Name, err)
}

func (p *Publisher) wrap(verb string, m *broker.Message, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rabbitmq: %s %s to %s: %w", verb, m.ID, p.q.name(m.Class), err)
}

// Close implements [broker.Publisher].
func (p *Publisher) Close(ctx context.Context) error {
	if err := p.gate.close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	if err := p.out.close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	return nil
}
