package rabbitmq

import (
	"context"
	"fmt"
	"sync"

	"overtake/broker"
)

var _ broker.Consumer = (*Consumer)(nil)

// Consumer consumes the lanes of one queue. It owns one goroutine per lane, and
// one channel per lane that somebody asked for.
type Consumer struct {
	q      *Queue
	lanes  map[string]*lane // by class
	copies *outlet          // for retries and dead letters

	closing  chan struct{} // closed when no call of Next is let in any more
	once     sync.Once
	ctx      context.Context // ends when settlements have ended, too
	cancel   context.CancelFunc
	ended    chan struct{} // closed when the lanes' goroutines have ended
	settling gate          // settlements under way
}

// Consumer returns a new consumer for q. It takes nothing from a lane before the
// first call of Next for it.
func (q *Queue) Consumer() *Consumer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Consumer{
		q:       q,
		lanes:   make(map[string]*lane, len(q.cfg.Classes)),
		copies:  q.newOutlet(),
		closing: make(chan struct{}),
		ctx:     ctx,
		cancel:  cancel,
		ended:   make(chan struct{}),
	}
	var running sync.WaitGroup
	all := newLane(c, q.cfg.Name, q.cfg.Classes...)
	for _, class := range q.cfg.Classes {
		c.lanes[class] = all
		if !q.cfg.Native {
			c.lanes[class] = newLane(c, q.lane(class), class)
			running.Go(c.lanes[class].run)
		}
	}
	if q.cfg.Native {
		running.Go(all.run)
	}
	go func() {
		defer close(c.ended)
		running.Wait()
	}()
	return c
}

// Next implements [broker.Consumer]. When ctx ends just as a message comes, the
// consumer keeps the message for the next call, and gives it back when there is
// none within GiveBack (which counts as an attempt).
func (c *Consumer) Next(ctx context.Context, class string) (*broker.Delivery, error) {
	l, ok := c.lanes[class]
	if !ok {
		return nil, fmt.Errorf("rabbitmq: consume queue %q: %w %q", c.q.cfg.Name, broker.ErrUnknownClass, class)
	}
	d, err := l.next(ctx, class)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: consume %s: %w", l.queue, err)
	}
	return d.asBroker(), nil
}

// Close implements [broker.Consumer].
func (c *Consumer) Close(ctx context.Context) error {
	c.once.Do(func() { close(c.closing) })
	if err := c.settling.close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close consumer of queue %q: %w", c.q.cfg.Name, err)
	}
	c.cancel()
	select {
	case <-c.ended:
	case <-ctx.Done():
		return fmt.Errorf("rabbitmq: close consumer of queue %q: %w", c.q.cfg.Name, ctx.Err())
	}
	if err := c.copies.close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close consumer of queue %q: %w", c.q.cfg.Name, err)
	}
	return nil
}
