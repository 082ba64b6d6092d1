package main

import (
	"context"
	"errors"

	"overtake/broker"
)

// A place is a connection to a broker: the one for publishes of a class, as a rank.
// That of the most urgent class is for everything else, too.
type place struct {
	broker string
	class  int
}

// publishers publish into one queue, each class over the connection that is of that
// class to the kernel.
type publishers struct {
	ways    []way          // the first is that of the most urgent class
	byClass map[string]int // of ways
}

// way is a publisher with its connection.
type way struct {
	publisher
	ping func(context.Context) error
}

// publisher returns what publishes into the queue name, which has been opened as q.
// Classes that are the same to the kernel share a connection, and to a server inside
// of this process all do, as no packets go there.
func (b *brokers) publisher(ctx context.Context, name string, q *queue) (*publishers, error) {
	p := &publishers{ways: []way{{q.publisher(), q.ping}}, byClass: make(map[string]int)}
	if b.cfg.Brokers[b.cfg.Queues[name].Broker].Embedded {
		return p, nil
	}
	known := map[int]int{0: 0} // of ways, by group
	for i, class := range classNames(b.cfg) {
		group := b.sockets.Group(i)
		at, opened := known[group]
		if !opened {
			q, err := b.openFor(ctx, name, group)
			if err != nil {
				return nil, errors.Join(err, p.Close(ctx))
			}
			at = len(p.ways)
			known[group] = at
			p.ways = append(p.ways, way{q.publisher(), q.ping})
		}
		p.byClass[class] = at
	}
	return p, nil
}

// Publish implements [broker.Publisher].
func (p *publishers) Publish(ctx context.Context, m *broker.Message) error {
	return p.ways[p.byClass[m.Class]].Publish(ctx, m)
}

// Send implements [broker.Sender].
func (p *publishers) Send(ctx context.Context, m *broker.Message) (wait func(context.Context) error, err error) {
	return p.ways[p.byClass[m.Class]].Send(ctx, m)
}

// Bury implements [broker.Sender].
func (p *publishers) Bury(ctx context.Context, m *broker.Message, reason string) error {
	return p.ways[0].Bury(ctx, m, reason)
}

// Close implements [broker.Publisher].
func (p *publishers) Close(ctx context.Context) error {
	var errs []error
	for _, w := range p.ways {
		errs = append(errs, w.Close(ctx))
	}
	return errors.Join(errs...)
}

// ping returns nil if messages of all classes are taken.
func (p *publishers) ping(ctx context.Context) error {
	for _, w := range p.ways {
		if err := w.ping(ctx); err != nil {
			return err
		}
	}
	return nil
}
