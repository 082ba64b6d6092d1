package nats

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
	"overtake/broker/internal/gate"
)

var (
	_ broker.Publisher = (*Publisher)(nil)
	_ broker.Sender    = (*Publisher)(nil)
)

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
	wait, err := p.Send(ctx, m)
	if err != nil {
		return err
	}
	return wait(ctx)
}

// Send implements [broker.Sender].
func (p *Publisher) Send(ctx context.Context, m *broker.Message) (wait func(context.Context) error, err error) {
	if err := p.enter(m); err != nil {
		return nil, err
	}
	s, err := p.q.conn.send(ctx, p.q.stream(m.Class), &natsgo.Msg{Subject: p.q.subject(m.Class), Header: encodeHeader(m), Data: m.Body})
	if err != nil {
		p.gate.Leave()
		return nil, p.wrap("publish", m, err)
	}
	return func(ctx context.Context) error {
		defer p.gate.Leave()
		_, err := s.wait(ctx)
		return p.wrap("publish", m, err)
	}, nil
}

// Bury implements [broker.Sender].
func (p *Publisher) Bury(ctx context.Context, m *broker.Message, reason string) error {
	if err := p.enter(m); err != nil {
		return err
	}
	defer p.gate.Leave()
	return p.wrap("bury", m, p.q.storeDead(ctx, m, 0, rand.Text(), reason))
}

// enter lets a publish of m in through the gate, if m can be published.
func (p *Publisher) enter(m *broker.Message) error {
	if !p.gate.Enter() {
		return fmt.Errorf("nats: publish to queue %q: %w", p.q.cfg.Name, broker.ErrClosed)
	}
	err := m.Validate()
	if !p.q.hasLane(m.Class) {
		err = fmt.Errorf("%w %q", broker.ErrUnknownClass, m.Class)
	}
	if err == nil {
		return nil
	}
	p.gate.Leave()
	return fmt.Errorf("nats: publish to queue %q: %w", p.q.cfg.Name, err)
}

func (p *Publisher) wrap(verb string, m *broker.Message, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("nats: %s %s to %s: %w", verb, m.ID, p.q.subject(m.Class), err)
}

// Close implements [broker.Publisher].
func (p *Publisher) Close(ctx context.Context) error {
	if err := p.gate.Close(ctx); err != nil {
		return fmt.Errorf("nats: close publisher of queue %q: %w", p.q.cfg.Name, err)
	}
	return nil
}

// publish stores msg in the stream, whose subject it has.
func (c *Conn) publish(ctx context.Context, stream string, msg *natsgo.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	s, err := c.send(ctx, stream, msg, opts...)
	if err != nil {
		return nil, err
	}
	return s.wait(ctx)
}

// sent is a publish that waits for its confirmation.
type sent struct {
	c      *Conn
	future jetstream.PubAckFuture
	link   context.Context // the connection that it went over
	since  time.Time
	denied int // denials before it
	in     *intake
	closed <-chan struct{} // closed when the stream takes no messages
}

// send publishes msg. It does not try again when no stream answers: the caller
// has its own idea of how long to wait.
func (c *Conn) send(ctx context.Context, stream string, msg *natsgo.Msg, opts ...jetstream.PublishOpt) (*sent, error) {
	if ctx.Err() != nil {
		return nil, cause(ctx, ctx.Err())
	}
	c.mu.Lock()
	in := c.intakeLocked(stream)
	s := &sent{c: c, link: c.link, since: time.Now(), denied: c.denied.times, in: in, closed: in.closed}
	shut := in.err
	c.mu.Unlock()
	if s.link.Err() != nil {
		return nil, cause(ctx, context.Cause(s.link))
	}
	if shut != nil {
		return nil, shut
	}
	var err error
	if s.future, err = c.js.PublishMsgAsync(msg, append(opts, jetstream.WithRetryAttempts(0))...); err != nil {
		return nil, c.explain(ctx, err, s.denied)
	}
	return s, nil
}

// wait returns the server's confirmation.
func (s *sent) wait(ctx context.Context) (*jetstream.PubAck, error) {
	var err error
	select {
	case ack := <-s.future.Ok():
		return ack, nil
	case err = <-s.future.Err():
	default:
		doubt := time.AfterFunc(time.Until(s.since.Add(askAfter)), func() { s.c.doubt(s.in) })
		patience := time.NewTimer(time.Until(s.since.Add(confirmTimeout)))
		defer patience.Stop()
		select {
		case ack := <-s.future.Ok():
			doubt.Stop()
			return ack, nil
		case err = <-s.future.Err():
			doubt.Stop()
		case <-ctx.Done(): // who gives up early has reason to doubt all the same
			err = ctx.Err()
		case <-s.link.Done():
			err = context.Cause(s.link)
		case <-s.closed:
			if shut := s.c.takes(s.in.stream); shut != nil {
				return nil, shut
			}
			err = errNoAnswer // the stream takes messages again; whether it took this one is not known
		case <-patience.C:
			err = errNoAnswer
		}
	}
	return nil, s.c.explain(ctx, err, s.denied)
}
