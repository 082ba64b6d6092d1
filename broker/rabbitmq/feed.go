package rabbitmq

import (
	"fmt"
	"runtime"
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
	arrived chan *delivery
	drained chan string // the tag of a tap that delivers nothing more
	readers sync.WaitGroup
	gone    chan struct{} // closed when the channel is used no more
	repeats repeats

	// Settlements go out together, with a question behind them that confirms them.
	asking  chan error  // the answer; nil while there is no question
	covered []*op       // that were sent before the question
	pending []*op       // that are to be sent when it is answered
	open    []*delivery // what the server has not been told about, oldest first

	looked uint64               // turn at the last look
	turn   uint64               // the tag of the delivery that comes next
	early  map[uint64]*delivery // those behind it that came before, over another tap
	taps   map[string]*tap
	opened int // taps so far
	ahead  int // sum of the open taps' free
	credit int // of the next tap
}

func newFeed(l *lane, ch *amqp.Channel) *feed {
	return &feed{
		l: l, ch: ch,
		closed:  ch.NotifyClose(make(chan *amqp.Error, 1)),
		arrived: make(chan *delivery),
		drained: make(chan string),
		gone:    make(chan struct{}),
		turn:    1,
		early:   make(map[uint64]*delivery),
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
			// Who was answered a moment ago may settle the next message at once:
			// the more go out together, the less they cost.
			runtime.Gosched()
			f.drain()
			if err := f.commit(); err != nil {
				return err
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

// drain takes what is there already.
func (f *feed) drain() {
	for {
		select {
		case d := <-f.arrived:
			f.arrive(d)
		case o := <-f.l.ops:
			f.settle(o)
		default:
			return
		}
	}
}

// arrive takes a delivery, in the order in which the server sent them.
func (f *feed) arrive(d *delivery) {
	f.early[d.raw.DeliveryTag] = d
	for d, ok := f.early[f.turn]; ok; d, ok = f.early[f.turn] {
		delete(f.early, f.turn)
		f.turn++
		if t := f.taps[d.raw.ConsumerTag]; t != nil && !t.closed {
			t.free--
			f.ahead--
		}
		f.open = append(f.open, d)
		f.l.arrive(d)
	}
}

// adjust acknowledges repetitions, and opens and closes taps by demand. It sets
// the time of the next look.
func (f *feed) adjust(tick *time.Timer) error {
	if repeats := f.repeats.take(); len(repeats) > 0 {
		for _, d := range repeats {
			if err := f.answer(d, false); err != nil {
				return err
			}
		}
		if err := f.acknowledge(); err != nil {
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
			case f.arrived <- newDelivery(f, &d):
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
	if err := f.quiet(); err != nil {
		return err
	}
	if err := f.commit(); err != nil { // nobody may wait for them any more
		return err
	}
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
