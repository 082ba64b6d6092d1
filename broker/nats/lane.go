package nats

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"overtake/broker"
)

const (
	// pullExpiry is how long a pull request stays at the server; the client
	// renews it. Twice pullHeartbeat without a sign of the server means that
	// the request was lost, or the lane deleted.
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 2 * time.Second
	// minBackoff and maxBackoff bound the pauses between attempts to reach a
	// lane that does not answer.
	minBackoff = 100 * time.Millisecond
	maxBackoff = time.Second
	// maxAhead is how many messages a lane may have that no caller has taken, when
	// it is the callers' habit to come back within leisure.
	// Each that is given back in the end has used up an attempt.
	maxAhead = 8
	leisure  = time.Millisecond
	habit    = 32
)

// lane pulls the messages of one class, only on demand, and one at a time: what
// it has, nobody can overtake. For callers that come back so soon that they would
// wait for round trips rather than for messages, it takes a few ahead.
//
// A pull request can't be taken back without risking the message that is just
// coming, so a goroutine of its own waits for the answer. It owns the message,
// heartbeats included, until a caller of next takes it.
type lane struct {
	c      *Consumer
	class  string
	demand chan struct{}  // unbuffered: received only by an idle lane
	ready  chan *delivery // unbuffered: taken only by a caller that waits

	hand hand

	// Owned by the goroutine of run.
	in     *inbox    // nil until needed, and after it was closed
	found  bool      // and nothing has failed since
	handed time.Time // when the last message was taken
	quick  int       // how many were wanted within leisure; each that was not halves it
	ahead  int       // how many to have besides the one that is wanted

	mu      sync.Mutex
	waiting int   // calls of next under way
	pulling *pull // nil while no pull request can be at the server
}

// pull is the time in which a lane may have a pull request at the server.
type pull struct {
	ctx   context.Context // ends when nobody wants the message any more
	stop  context.CancelFunc
	ended chan struct{} // closed when the request is answered or taken back
}

// next returns the lane's next message.
func (l *lane) next(ctx context.Context) (*delivery, error) {
	l.wait(1)
	defer l.wait(-1)
	for {
		if l.c.ctx.Err() != nil {
			return nil, broker.ErrClosed
		}
		if ctx.Err() != nil {
			return nil, cause(ctx, ctx.Err())
		}
		select {
		case l.demand <- struct{}{}:
		case d := <-l.ready:
			if !l.hand.finished(d) {
				return d, nil
			}
			d.repeated()
		case <-ctx.Done():
		case <-l.c.ctx.Done():
		}
	}
}

func (l *lane) wait(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting += n
}

// run serves next until the consumer is closed.
func (l *lane) run() {
	defer l.drain() // Close gives back what is held
	for {
		select {
		case <-l.demand:
		case <-l.c.ctx.Done():
			return
		}
		p := l.beginPull()
		if p == nil {
			continue
		}
		if time.Since(l.handed) > leisure {
			l.quick /= 2
		}
		queue := l.pull(p.ctx)
		if queue == nil {
			queue = l.drain()
		}
		l.endPull(p)
		l.offer(queue)
	}
}

// beginPull returns nil if whoever demanded a message has gone meanwhile.
func (l *lane) beginPull() *pull {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == 0 {
		return nil
	}
	ctx, stop := context.WithCancel(l.c.ctx)
	l.pulling = &pull{ctx: ctx, stop: stop, ended: make(chan struct{})}
	return l.pulling
}

func (l *lane) endPull(p *pull) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pulling = nil
	p.stop()
	close(p.ended)
}

// withdraw takes back a pull request that nobody waits for, and returns when
// that is done. Otherwise a message that is given back would come right back.
func (l *lane) withdraw(ctx context.Context) {
	l.mu.Lock()
	p := l.pulling
	if p == nil || l.waiting > 0 {
		l.mu.Unlock()
		return
	}
	p.stop()
	l.mu.Unlock()
	select {
	case <-p.ended:
	case <-ctx.Done():
	}
}

// offer waits for callers to take what is in queue, and serves those that come
// back for more right away. It gives back what none comes for within AckWait, as
// other consumers of the lane may have time for it.
func (l *lane) offer(queue []*delivery) {
	since := time.Now()
	patience := time.NewTimer(l.c.q.cfg.AckWait)
	defer patience.Stop()
	for len(queue) > 0 || l.in.asked() {
		var d *delivery
		var ready chan<- *delivery
		if len(queue) > 0 {
			ready, d = l.ready, queue[0]
		}
		select {
		case ready <- d:
			queue = queue[1:]
			l.took(since)
			since = l.handed
			patience.Reset(l.c.q.cfg.AckWait)
			if n := l.ahead - len(queue); n > l.ahead/2 && d.meta.NumPending > uint64(len(queue)) && l.in != nil && !l.in.asked() {
				_ = l.in.more(n) // if it fails, so does the next pull
			}
		case msg := <-l.in.came():
			if len(queue) == 0 {
				since = time.Now()
			}
			if msg, err := l.in.read(msg); msg != nil {
				queue = l.take(msg, queue)
			} else if err != nil {
				queue = append(queue, l.drain()...)
			}
		case <-l.in.lost():
			l.drain()
		case <-patience.C:
			for _, d := range append(queue, l.drain()...) {
				_ = d.giveBack(l.c.ctx) // if this fails, it comes again after AckWait
			}
			return
		case <-l.c.ctx.Done():
			return
		}
	}
}

// took notes that a caller has taken what was offered since then. What is taken
// ahead grows as long as callers come back soon.
func (l *lane) took(since time.Time) {
	l.handed = time.Now()
	l.quick = min(l.quick+1, 2*habit)
	if l.handed.Sub(since) > leisure {
		l.quick /= 2
	}
	if l.quick < habit {
		l.ahead = 0
		return
	}
	l.ahead = min(2*l.ahead+1, maxAhead)
}

// pull returns the next message, alone unless others came with it, and makes the
// inbox anew when it breaks. It returns nil when ctx ends.
func (l *lane) pull(ctx context.Context) []*delivery {
	backoff := minBackoff
	for {
		queue, err := l.tryPull(ctx)
		if err == nil {
			return queue
		}
		if ctx.Err() != nil {
			return nil
		}
		level := slog.LevelDebug // it has been said
		if backoff == minBackoff && !errors.Is(err, errConnectionLost) {
			level = slog.LevelWarn
		}
		l.c.q.conn.log.Log(ctx, level, "nats: lane does not answer, trying again",
			"queue", l.c.q.cfg.Name, "class", l.class, "error", err, "after", backoff)
		if queue := l.drain(); queue != nil {
			return queue
		}
		l.found = false
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, maxBackoff)
		if l.c.q.conn.awaitConnection(ctx) {
			backoff = minBackoff
		}
	}
}

func (l *lane) tryPull(ctx context.Context) ([]*delivery, error) {
	if !l.found {
		if err := l.c.q.findLane(ctx, l.class); err != nil {
			return nil, err
		}
		l.found = true
	}
	if l.in == nil {
		var err error
		if l.in, err = l.c.q.openInbox(l.class); err != nil {
			return nil, err
		}
	}
	for {
		msg, err := l.in.next(ctx)
		if err != nil {
			return nil, err
		}
		if queue := l.take(msg, nil); queue != nil {
			return queue, nil
		}
	}
}

// take adds the delivery of msg to queue. From now on the lane holds it. A message
// that makes none comes again after AckWait, and a repetition is nobody's business:
// the server hears of it by what becomes of the first.
func (l *lane) take(msg *natsgo.Msg, queue []*delivery) []*delivery {
	d, err := newDelivery(l, msg)
	if err != nil {
		return queue
	}
	switch held, taken := l.hand.hold(d); {
	case taken:
		return append(queue, d)
	case held != nil:
		held.replyTo(msg.Reply)
	default:
		d.repeated()
	}
	return queue
}

// drain closes the inbox, if there is one, and returns what was on its way.
func (l *lane) drain() (queue []*delivery) {
	if l.in == nil {
		return nil
	}
	for _, msg := range l.in.close() {
		queue = l.take(msg, queue)
	}
	l.in = nil
	return queue
}
