package rabbitmq

import (
	"context"
	"slices"
)

// op is a settlement.
type op struct {
	d       *delivery
	requeue bool // otherwise acknowledge
	done    chan error
}

// settle takes a settlement, which the next commit sends.
func (f *feed) settle(o *op) {
	if o.d.feed != f {
		o.done <- goneError(nil)
		return
	}
	f.pending = append(f.pending, o)
}

// commit sends the settlements, and then asks the server for what is in force
// already: its answer confirms them. AMQP has no other way.
func (f *feed) commit() error {
	for _, o := range f.pending {
		if err := f.answer(o.d, o.requeue); err != nil {
			return err
		}
	}
	if err := f.acknowledge(); err != nil {
		return err
	}
	asking := make(chan error, 1)
	f.asking, f.covered, f.pending = asking, f.pending, nil
	f.readers.Go(func() { asking <- f.ch.Qos(f.credit, 0, false) })
	return nil
}

// acknowledge acknowledges what was answered: with one frame up to the first
// message that was not, and each one behind that.
func (f *feed) acknowledge() error {
	answered := func(d *delivery) bool { return d.answered }
	n := 0
	for n < len(f.open) && answered(f.open[n]) {
		n++
	}
	if n > 0 {
		if err := f.ch.Ack(f.open[n-1].raw.DeliveryTag, true); err != nil {
			return err
		}
	}
	for _, d := range f.open[n:] {
		if !answered(d) {
			continue
		}
		if err := f.ch.Ack(d.raw.DeliveryTag, false); err != nil {
			return err
		}
	}
	f.open = slices.DeleteFunc(f.open, answered)
	return nil
}

// answered confirms the settlements before the question.
func (f *feed) answered(err error) {
	if err != nil {
		err = goneError(err)
	}
	for _, o := range f.covered {
		o.done <- err
	}
	f.asking, f.covered = nil, nil
}

// quiet waits for the answer: a channel takes one request after the other.
func (f *feed) quiet() error {
	if f.asking == nil {
		return nil
	}
	err := <-f.asking
	f.answered(err)
	return err
}

// answer sends the settlement of d, once. The server then sends another message
// over the same tap, so if nobody wants one, the tap is closed first, if it is used
// up: a message that meets its tap being closed goes back to the lane, out of
// order and with an attempt counted.
func (f *feed) answer(d *delivery, requeue bool) error {
	if d.answered {
		return nil
	}
	d.answered = true
	if t := f.taps[d.raw.ConsumerTag]; t != nil && !t.closed {
		want := f.l.demand()
		if t.free > 0 || want.waiting+f.ahead < want.most && t.credit >= want.credit {
			t.free++
			f.ahead++
		} else if err := f.closeTap(d.raw.ConsumerTag); err != nil {
			return err
		}
	}
	if !requeue {
		return nil // see acknowledge
	}
	f.l.release(d, false) // before it can come again
	f.open = slices.DeleteFunc(f.open, func(o *delivery) bool { return o == d })
	return f.ch.Nack(d.raw.DeliveryTag, false, true)
}

// apply has the lane's goroutine settle d, if its channel is still there.
func (l *lane) apply(ctx context.Context, d *delivery, requeue bool) error {
	o := &op{d: d, requeue: requeue, done: make(chan error, 1)}
	select {
	case l.ops <- o:
	case <-d.feed.gone:
		return goneError(nil)
	case <-ctx.Done():
		return cause(ctx, ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return cause(ctx, ctx.Err())
	}
}
