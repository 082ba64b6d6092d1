package rabbitmq

import (
	"context"
	"sync"
	"time"

	"overtake/broker"
)

// lane hands out the messages of one queue on the server. Its goroutine owns the
// channel of the present session, see [feed]; calls of next meet it under mu.
type lane struct {
	c       *Consumer
	queue   string        // its name on the server
	classes []string      // of its messages
	asked   chan struct{} // of capacity 1: somebody wants more
	ops     chan *op      // unbuffered: settlements, for the goroutine

	mu      sync.Mutex
	pace    pace                      // of the calls of next
	waiters map[string]chan *delivery // by class; of capacity 1
	waiting []*delivery               // delivered and not handed out, oldest first
	held    map[stay]*delivery        // handed out over the present channel and not settled
	seen    seen
	paused  bool
}

func newLane(c *Consumer, queue string, classes ...string) *lane {
	return &lane{
		c: c, queue: queue, classes: classes, asked: make(chan struct{}, 1), ops: make(chan *op),
		waiters: make(map[string]chan *delivery), held: make(map[stay]*delivery),
		seen: seen{keep: c.q.cfg.DedupeWindow},
	}
}

// next returns the next message of class.
func (l *lane) next(ctx context.Context, class string) (*delivery, error) {
	for {
		select {
		case <-l.c.closing:
			return nil, broker.ErrClosed
		default:
		}
		if ctx.Err() != nil {
			return nil, cause(ctx, ctx.Err())
		}
		d, came := l.pick(class)
		if d != nil {
			return d, nil
		}
		select {
		case d := <-came:
			return d, nil
		case <-ctx.Done():
		case <-l.c.closing:
		}
		l.leave(class, came)
	}
}

// pick returns the first message of class that waits here, or else a channel over
// which the next one will come.
func (l *lane) pick(class string) (*delivery, chan *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pace.count(time.Now())
	for i := 0; i < len(l.waiting); {
		d := l.waiting[i]
		if d.message.Class != class {
			i++
			continue
		}
		l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
		if l.holdLocked(d) {
			l.ask()
			return d, nil
		}
	}
	came := make(chan *delivery, 1)
	l.waiters[class] = came
	l.ask()
	return nil, came
}

// leave takes back what pick promised.
func (l *lane) leave(class string, came chan *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiters[class] == came {
		delete(l.waiters, class)
	}
	select {
	case d := <-came:
		if delete(l.held, d.stay); !d.feed.isGone() {
			l.waiting = append([]*delivery{d}, l.waiting...)
		}
	default:
	}
	l.ask() // for one less
}

func (l *lane) ask() {
	select {
	case l.asked <- struct{}{}:
	default:
	}
}

// arrive takes a message that the server delivered.
func (l *lane) arrive(d *delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, ok := l.waiters[d.message.Class]
	if !ok {
		l.waiting = append(l.waiting, d)
		return
	}
	if l.holdLocked(d) {
		delete(l.waiters, d.message.Class)
		w <- d
	}
}

// holdLocked puts d among what is handed out, or, if it repeats something that is
// in hand or was settled here, among what is to be acknowledged unseen.
func (l *lane) holdLocked(d *delivery) bool {
	if _, twin := l.held[d.stay]; twin || l.seen.has(d.stay, time.Now()) {
		d.feed.repeats.put(d)
		l.ask()
		return false
	}
	l.held[d.stay] = d
	return true
}

// release forgets that d is in hand, and remembers that it is settled, if it is.
func (l *lane) release(d *delivery, settled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[d.stay] == d {
		delete(l.held, d.stay)
	}
	if settled {
		l.seen.add(d.stay, time.Now())
	}
}

// demand is how many messages the server should be able to send.
type demand struct {
	waiting int  // here, of those that should
	least   int  // open taps for these
	most    int  // up to these, the server may send another for each settlement
	credit  int  // of a new tap
	soon    bool // it has to be looked at again in a moment
	idle    bool // nothing is to come: the lane is paused, or nobody has asked for long
}

// demand returns what is wanted now.
func (l *lane) demand() demand {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	callers, others := len(l.waiters), len(l.waiting)
	switch pace := l.pace.lately(now); {
	case l.paused:
		return demand{credit: slowCredit, idle: true}
	case l.crowdedLocked():
		return demand{credit: slowCredit, soon: true}
	case pace >= mostAhead && (callers == 0 || others == 0):
		// Who works on one after the other gets along with one tap, and several
		// would mix up the order.
		least := leastAhead + min(pace/10, len(l.held)/2)
		return demand{waiting: others, least: least, most: mostAhead + pace, credit: fastCredit, soon: true}
	}
	return demand{least: callers, most: callers, credit: slowCredit, idle: !l.wantedLocked(now)}
}

func (l *lane) setPaused(paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paused = paused
}

// crowdedLocked reports whether messages that nobody asks for keep others from
// coming. Only a queue with several classes can be.
func (l *lane) crowdedLocked() bool { return len(l.waiters) > 0 && len(l.waiting) >= mostAhead }

func (l *lane) wantedLocked(now time.Time) bool {
	return len(l.waiters) > 0 || now.Sub(l.pace.last) < l.c.q.cfg.GiveBack
}

// lapsed takes from the lane what is to be given back: what waits while nobody
// asks for it, and what could not be settled and was not tried again.
func (l *lane) lapsed() (back []*delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.wantedLocked(now) || l.crowdedLocked() {
		back, l.waiting = l.waiting, nil
	}
	for stay, d := range l.held {
		if d.abandoned(now.Add(-l.c.q.cfg.GiveBack)) {
			delete(l.held, stay)
			back = append(back, d)
		}
	}
	return back
}

// drop forgets everything about a channel that is gone: the server gives its
// messages back.
func (l *lane) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = nil
	clear(l.held)
}

// run serves next and settlements until the consumer is closed.
func (l *lane) run() {
	select {
	case <-l.asked:
	case <-l.c.ctx.Done():
		return
	}
	log := l.c.q.conn.cfg.Logger.With("queue", l.queue)
	backoff := minBackoff
	for l.c.ctx.Err() == nil {
		f, err := l.openFeed()
		if err == nil {
			backoff = minBackoff
			err = f.serve()
			f.end()
		}
		if l.c.ctx.Err() != nil {
			return
		}
		log.Warn("rabbitmq: lane is not consumed, trying again", "error", err, "after", backoff)
		pause(l.c.ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// openFeed waits for a session and opens the lane's channel on it. Declaring the
// queue again brings back a lane that was deleted meanwhile.
func (l *lane) openFeed() (*feed, error) {
	s, err := l.c.q.conn.consuming.wait(l.c.ctx)
	if err != nil {
		return nil, err
	}
	if err := l.c.q.declare(l.c.ctx, s); err != nil {
		return nil, err
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	return newFeed(l, ch), nil
}
