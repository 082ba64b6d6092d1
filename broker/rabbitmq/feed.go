package rabbitmq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// How many messages the server may send ahead of the calls that ask for them: none
// as long as these come slowly, as what was sent can't be overtaken. When they
// come fast, at least leastAhead and a tenth of what is asked for in a moment (see
// [pace]), and at most mostAhead and as many as are asked for in one.
const (
	leastAhead = 2
	mostAhead  = 8
)

// A consumer on the server, a tap, has a bound of what may be unsettled over it.
// So taps are opened and closed with what is in hand.
const (
	slowCredit = 1
	fastCredit = 4
)

// tap is one consumer on the lane's channel.
type tap struct {
	credit int
	free   int // how many more messages the server may send
	closed bool
}

// feed is the channel of a lane in one session: delivery tags mean something on
// it alone. The lane's goroutine owns it, but for gone and repeats.
type feed struct {
	l       *lane
	ch      *amqp.Channel
	closed  chan *amqp.Error
	arrived chan amqp.Delivery
	drained chan string // the tag of a tap that delivers nothing more
	readers sync.WaitGroup
	gone    chan struct{} // closed when the channel is used no more
	repeats repeats

	// Of settlements that were sent, those that the question covers which the
	// server has not answered yet, and those after it.
	asking  chan error // the answer; nil while there is no question
	covered []*op
	pending []*op

	looked uint64                   // turn at the last look
	turn   uint64                   // the tag of the delivery that comes next
	early  map[uint64]amqp.Delivery // those behind it that came before, over another tap
	taps   map[string]*tap
	opened int // taps so far
	ahead  int // sum of the open taps' free
	credit int // of the next tap
}

// op is a settlement.
type op struct {
	d       *delivery
	requeue bool // otherwise acknowledge
	done    chan error
}

func newFeed(l *lane, ch *amqp.Channel) *feed {
	return &feed{
		l: l, ch: ch,
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		arrived: make(chan amqp.Delivery),
		drained: make(chan string),
		gone:    make(chan struct{}),
		turn:    1,
		early:   make(map[uint64]amqp.Delivery),
		taps:    make(map[string]*tap),
	}
}

func (f *feed) isGone() bool {
	select {
	case <-f.gone:
		return true
	default:
		return false
	}
}

// serve works until the channel is lost, or the consumer is closed: then it gives
// back all that is not settled.
func (f *feed) serve() error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	look := time.NewTicker(pauseLook)
	defer look.Stop()
	if err := f.lookPaused(); err != nil {
		return err
	}
	for {
		err := f.adjust(tick)
		if err != nil {
			return err
		}
		if f.asking == nil && len(f.pending) > 0 {
			select { // one question for all that is there
			case d := <-f.arrived:
				f.arrive(d)
				continue
			case o := <-f.l.ops:
				f.settle(o)
				continue
			default:
				f.question()
			}
		}
		select {
		case d := <-f.arrived:
			f.arrive(d)
		case o := <-f.l.ops:
			f.settle(o)
		case err = <-f.asking:
			f.answered(err)
		case <-f.l.asked:
		case <-tick.C:
			err = f.lapse()
		case <-look.C:
			if err = f.lookPaused(); err == nil {
				err = f.closeSpare()
			}
		case tag := <-f.drained:
			if !f.taps[tag].closed {
				return f.whyDrained()
			}
			delete(f.taps, tag)
		case e := <-f.closed:
			return fmt.Errorf("%w: %w", errConnectionLost, e)
		case <-f.l.c.ctx.Done():
			return f.giveBack()
		}
		if err != nil {
			return err
		}
	}
}

// whyDrained returns why a tap delivers nothing more: with the channel, which says so
// first, all of them end.
func (f *feed) whyDrained() error {
	select {
	case e := <-f.closed:
		return fmt.Errorf("%w: %w", errConnectionLost, e)
	default:
		return errCancelled
	}
}

// lookPaused asks the server whether the queue is paused.
func (f *feed) lookPaused() error {
	if err := f.quiet(); err != nil {
		return err
	}
	paused, err := paused(f.ch, markerOf(f.l.queue))
	f.l.setPaused(paused)
	return err
}

// arrive takes a delivery, in the order in which the server sent them.
func (f *feed) arrive(d amqp.Delivery) {
	f.early[d.DeliveryTag] = d
	for raw, ok := f.early[f.turn]; ok; raw, ok = f.early[f.turn] {
		delete(f.early, f.turn)
		f.turn++
		if t := f.taps[raw.ConsumerTag]; t != nil && !t.closed {
			t.free--
			f.ahead--
		}
		f.l.arrive(newDelivery(f, &raw))
	}
}

// adjust acknowledges repetitions, and opens and closes taps by demand. It sets
// the time of the next look.
func (f *feed) adjust(tick *time.Timer) error {
	for _, d := range f.repeats.take() {
		if err := f.answer(d, false); err != nil {
			return err
		}
	}
	want := f.l.demand()
	for want.waiting+f.ahead < want.least {
		if err := f.openTap(want.credit); err != nil {
			return err
		}
	}
	if want.idle {
		if err := f.closeAll(); err != nil {
			return err
		}
	}
	if want.soon {
		tick.Reset(moment)
	} else {
		tick.Reset(max(f.l.c.q.cfg.GiveBack/4, time.Millisecond))
	}
	return nil
}

func (f *feed) openTap(credit int) error {
	if err := f.quiet(); err != nil {
		return err
	}
	if credit != f.credit {
		if err := f.ch.Qos(credit, 0, false); err != nil {
			return err
		}
		f.credit = credit
	}
	f.opened++
	tag := strconv.Itoa(f.opened)
	deliveries, err := f.ch.Consume(f.l.queue, tag, false, false, false, false, nil)
	if err != nil {
		return err
	}
	f.taps[tag] = &tap{credit: credit, free: credit}
	f.ahead += credit
	f.readers.Go(func() {
		for d := range deliveries {
			select {
			case f.arrived <- d:
			case <-f.gone:
				return
			}
		}
		select {
		case f.drained <- tag:
		case <-f.gone:
		}
	})
	return nil
}

// closeSpare closes taps left from when calls came fast, over which the server would
// send ahead all that comes, if nothing has come since it was called last: while
// something does, see answer.
func (f *feed) closeSpare() error {
	quiet, want := f.turn == f.looked, f.l.demand()
	f.looked = f.turn
	for tag, t := range f.taps {
		unused := !t.closed && t.free == t.credit && t.credit > want.credit
		if quiet && unused && want.waiting+f.ahead-t.free >= want.least {
			if err := f.closeTap(tag); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeAll closes all taps. What the server has sent over them still comes.
func (f *feed) closeAll() error {
	for tag, t := range f.taps {
		if !t.closed {
			if err := f.closeTap(tag); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f *feed) closeTap(tag string) error {
	if err := f.quiet(); err != nil {
		return err
	}
	t := f.taps[tag]
	t.closed = true
	f.ahead -= t.free
	return f.ch.Cancel(tag, false)
}

// settle sends a settlement. It is confirmed by an answer to something that is
// asked after it: AMQP has no other way.
func (f *feed) settle(o *op) {
	if o.d.feed != f {
		o.done <- goneError(nil)
		return
	}
	if err := f.answer(o.d, o.requeue); err != nil {
		o.done <- goneError(err)
		return
	}
	f.pending = append(f.pending, o)
}

// question asks the server for what is in force already.
func (f *feed) question() {
	asking := make(chan error, 1)
	f.asking, f.covered, f.pending = asking, f.pending, nil
	f.readers.Go(func() { asking <- f.ch.Qos(f.credit, 0, false) })
}

// answered confirms the settlements before the question.
func (f *feed) answered(err error) {
	for _, o := range f.covered {
		if err != nil {
			err = goneError(err)
		}
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
	if requeue {
		f.l.release(d, false) // before it can come again
		return f.ch.Nack(d.raw.DeliveryTag, false, true)
	}
	return f.ch.Ack(d.raw.DeliveryTag, false)
}

// lapse gives back what waits while nobody asks, and what could not be settled.
func (f *feed) lapse() error {
	for _, d := range f.l.lapsed() {
		if err := f.answer(d, true); err != nil {
			return err
		}
	}
	return nil
}

// giveBack returns all that is not settled to the lane, before the server could
// send more.
func (f *feed) giveBack() error {
	if err := f.closeAll(); err != nil {
		return err
	}
	return f.ch.Nack(0, true, true)
}

// end closes the channel, if it is not lost. It comes back when nothing of it
// runs any more.
func (f *feed) end() {
	close(f.gone)
	f.l.drop()
	_ = f.quiet()
	_ = f.ch.Close()
	f.readers.Wait()
	for _, o := range f.pending {
		o.done <- goneError(nil)
	}
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
