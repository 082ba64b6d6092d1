package nats

import (
	"context"
	"fmt"
	"sync"
	"time"

	"overtake/broker"
	"overtake/broker/internal/gate"
)

var _ broker.Consumer = (*Consumer)(nil)

// Consumer consumes the lanes of one queue. It owns one goroutine per lane,
// which pulls, and one that sends heartbeats.
type Consumer struct {
	q     *Queue
	lanes map[string]*lane // by class

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the goroutines above

	settling gate.Gate // settlements under way
}

// Consumer returns a new consumer for q.
func (q *Queue) Consumer() *Consumer {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Consumer{
		q:      q,
		lanes:  make(map[string]*lane, len(q.cfg.Classes)),
		ctx:    ctx,
		cancel: cancel,
	}
	for _, class := range q.cfg.Classes {
		l := &lane{c: c, class: class, demand: make(chan struct{}), ready: make(chan *delivery)}
		l.hand.held = make(map[position]*delivery)
		c.lanes[class] = l
		c.wg.Go(l.run)
	}
	c.wg.Go(c.sendHeartbeats)
	return c
}

// Next implements [broker.Consumer]. When ctx ends just as a message comes,
// the consumer keeps the message for the next call, and gives it back when
// there is none within AckWait (which counts as an attempt). A Retry while
// nobody is in Next takes back what the lane may have asked the server for, so
// that the message does not come until somebody is.
func (c *Consumer) Next(ctx context.Context, class string) (*broker.Delivery, error) {
	l, ok := c.lanes[class]
	if !ok {
		return nil, fmt.Errorf("nats: consume queue %q: %w %q", c.q.cfg.Name, broker.ErrUnknownClass, class)
	}
	d, err := l.next(ctx)
	if err != nil {
		return nil, fmt.Errorf("nats: consume %s: %w", c.q.subject(class), err)
	}
	return d.asBroker(), nil
}

// Close implements [broker.Consumer].
func (c *Consumer) Close(ctx context.Context) error {
	c.cancel()
	c.wg.Wait() // not for long: everything that these wait for ends with c.ctx
	if err := c.settling.Close(ctx); err != nil {
		return fmt.Errorf("nats: close consumer of queue %q: %w", c.q.cfg.Name, err)
	}
	// By now no lane has a pull request, which would take back what is given back.
	left := c.unsettled()
	for i, d := range left {
		if err := d.giveBack(ctx); err != nil {
			// The others would fare no better. All come again after AckWait.
			return fmt.Errorf("nats: close consumer of queue %q: give back %d deliveries: %w", c.q.cfg.Name, len(left)-i, err)
		}
	}
	return nil
}

// sendHeartbeats tells the server, until the consumer is closed, that the
// unsettled deliveries are being worked on.
func (c *Consumer) sendHeartbeats() {
	tick := time.NewTicker(max(c.q.cfg.AckWait/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		for _, d := range c.unsettled() {
			d.heartbeat()
		}
	}
}

func (c *Consumer) unsettled() (all []*delivery) {
	for _, l := range c.lanes {
		all = append(all, l.hand.all()...)
	}
	return all
}
