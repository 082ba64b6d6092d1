package rabbitmq

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// How many messages the server may send ahead of the calls that ask for them: none
// as long as these come slowly, as what was sent can't be overtaken. When they
// come fast, at least leastAhead, and at most mostAhead and as many as are asked
// for in a moment (see [pace]).
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

	taps   map[string]*tap
	opened int // taps so far
	ahead  int // sum of the open taps' free
	credit int // of the next tap
}

// repeats are deliveries to be acknowledged unseen.
type repeats struct {
	mu   sync.Mutex
	list []*delivery
}

func (r *repeats) put(d *delivery) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, d)
}

func (r *repeats) take() []*delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
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
		select {
		case d := <-f.arrived:
			f.arrive(d)
		case o := <-f.l.ops:
			err = f.settle(f.gather(o))
		case <-f.l.asked:
		case <-tick.C:
			err = f.lapse()
		case <-look.C:
			err = f.lookPaused()
		case tag := <-f.drained:
			if !f.taps[tag].closed {
				return errCancelled
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

// lookPaused asks the server whether the lane is paused.
func (f *feed) lookPaused() error {
	paused, err := paused(f.ch, f.l.queue+markerSuffix)
	f.l.setPaused(paused)
	return err
}

func (f *feed) arrive(raw amqp.Delivery) {
	if t := f.taps[raw.ConsumerTag]; !t.closed {
		t.free--
		f.ahead--
	}
	f.l.arrive(newDelivery(f, &raw))
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
	if err := f.closeTaps(want.most - want.waiting); err != nil {
		return err
	}
	if want.most > want.least {
		tick.Reset(moment) // it is fast, which must not outlast the calls
	} else {
		tick.Reset(max(f.l.c.q.cfg.GiveBack/4, time.Millisecond))
	}
	return nil
}

func (f *feed) openTap(credit int) error {
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
	f.taps[tag] = &tap{free: credit}
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

// closeTaps closes taps until the server may send at most n messages more. What
// it has sent over a closed tap still comes.
func (f *feed) closeTaps(n int) error {
	for f.ahead > max(n, 0) {
		var widest string
		for tag, t := range f.taps {
			if w := f.taps[widest]; !t.closed && (w == nil || t.free > w.free) {
				widest = tag
			}
		}
		if err := f.closeTap(widest); err != nil {
			return err
		}
	}
	return nil
}

// closeAll closes the taps whose credit is used up, too.
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
	t := f.taps[tag]
	t.closed = true
	f.ahead -= t.free
	return f.ch.Cancel(tag, false)
}

// gather returns o and the settlements that wait behind it.
func (f *feed) gather(o *op) []*op {
	batch := []*op{o}
	for {
		select {
		case o := <-f.l.ops:
			batch = append(batch, o)
		default:
			return batch
		}
	}
}

// settle sends the settlements, and asks the server something that it answers
// only after them: AMQP confirms no acknowledgement.
func (f *feed) settle(batch []*op) error {
	var err error
	for _, o := range batch {
		if err == nil && o.d.feed == f {
			err = f.answer(o.d, o.requeue)
		}
	}
	if err == nil {
		err = f.ch.Qos(f.credit, 0, false) // what is in force already
	}
	for _, o := range batch {
		switch {
		case o.d.feed != f:
			o.done <- goneError(nil)
		case err != nil:
			o.done <- goneError(err)
		default:
			o.done <- nil
		}
	}
	return err
}

// answer sends the settlement of d, once. The server then sends another message
// over the same tap, so if nobody wants one, the tap is closed first.
func (f *feed) answer(d *delivery, requeue bool) error {
	if d.answered {
		return nil
	}
	d.answered = true
	if t := f.taps[d.raw.ConsumerTag]; t != nil && !t.closed {
		if want := f.l.demand(); want.waiting+f.ahead < want.most {
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
	_ = f.ch.Close()
	f.readers.Wait()
}

func goneError(err error) error {
	if err == nil {
		return fmt.Errorf("%w: %w", broker.ErrUnavailable, errGone)
	}
	return fmt.Errorf("%w: %w: %w", broker.ErrUnavailable, errGone, err)
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
