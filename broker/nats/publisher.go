package nats

import (
	"context"
	"fmt"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
	"overtake/broker/internal/gate"
)

var _ broker.Publisher = (*Publisher)(nil)

// Publisher publishes into the lanes of one queue. Publishes are pipelined
// over the connection: their number per second grows with the number of
// goroutines that publish.
type Publisher struct {
	q    *Queue
	gate gate.Gate
}

// Publisher returns a new publisher for q.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q} }

// Publish implements [broker.Publisher].
func (p *Publisher) Publish(ctx context.Context, m *broker.Message) error {
	if !p.gate.Enter() {
		return fmt.Errorf("nats: publish to queue %q: %w", p.q.cfg.Name, broker.ErrClosed)
	}
	defer p.gate.Leave()
	if !p.q.hasLane(m.Class) {
		return fmt.Errorf("nats: publish to queue %q: %w %q", p.q.cfg.Name, broker.ErrUnknownClass, m.Class)
	}
	if err := m.Validate(); err != nil {
		return fmt.Errorf("nats: publish to queue %q: %w", p.q.cfg.Name, err)
	}
	subject := p.q.subject(m.Class)
	msg := &natsgo.Msg{Subject: subject, Header: encodeHeader(m), Data: m.Body}
	if _, err := p.q.conn.publish(ctx, msg); err != nil {
		return fmt.Errorf("nats: publish %s to %s: %w", m.ID, subject, err)
	}
	return nil
}

// Close implements [broker.Publisher].
func (p *Publisher) Close(ctx context.Context) error {
	if err := p.gate.Close(ctx); err != nil {
		return fmt.Errorf("nats: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	return nil
}

// publish stores msg in the stream of its subject. It does not try again when
// no stream answers: the caller has its own idea of how long to wait.
func (c *Conn) publish(ctx context.Context, msg *natsgo.Msg, opts ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	opts = append(opts, jetstream.WithRetryAttempts(0))
	err = c.request(ctx, func(ctx context.Context) error {
		ack, err = c.js.PublishMsg(ctx, msg, opts...)
		return err
	})
	return ack, err
}
