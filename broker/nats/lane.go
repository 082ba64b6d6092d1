package nats

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

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

	// Owned by the goroutine of run; nil until needed and after an error.
	consumer jetstream.Consumer
	it       jetstream.MessagesContext
	handed   time.Time // when the last message was taken
	quick    int       // how many were wanted within leisure; each that was not halves it
	ahead    int       // how many to have besides the one that is wanted

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
			return d, nil
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
	defer l.drain()
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
		d := l.pull(p.ctx)
		if d == nil {
			d = l.drain()
		}
		l.endPull(p)
		if d != nil {
			l.offer(d)
		}
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

// offer waits for a caller to take d, and serves those that come back for more
// right away. It gives back what none comes for within AckWait, as other consumers
// of the lane may have time for it.
func (l *lane) offer(d *delivery) {
	queue := []*delivery{d} // and what is ahead of demand
	var arriving <-chan jetstream.Msg
	since := time.Now()
	patience := time.NewTimer(l.c.q.cfg.AckWait)
	defer patience.Stop()
	for len(queue) > 0 || arriving != nil {
		ready := l.ready
		if len(queue) == 0 {
			ready, d = nil, nil
		} else {
			d = queue[0]
		}
		select {
		case ready <- d:
			queue = queue[1:]
			l.took(since)
			since = l.handed
			patience.Reset(l.c.q.cfg.AckWait)
			if n := l.ahead - len(queue); arriving == nil && n > l.ahead/2 && d.meta.NumPending > uint64(len(queue)) {
				arriving = l.ask(n)
			}
		case msg, more := <-arriving:
			if !more {
				arriving = nil
				continue
			}
			if len(queue) == 0 {
				since = time.Now()
			}
			queue = l.take(msg, queue)
		case <-patience.C:
			for _, d := range queue {
				_ = d.giveBack(l.c.ctx) // if this fails, it comes again after AckWait
			}
			queue = nil
		case <-l.c.ctx.Done(): // Close gives back what is held
			if arriving != nil {
				for msg := range arriving {
					l.take(msg, nil)
				}
			}
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

// ask asks for up to n messages that are there already, and waits for none: no
// pull request is left at the server. It closes the channel when they have come.
func (l *lane) ask(n int) <-chan jetstream.Msg {
	batch, err := l.consumer.FetchNoWait(n)
	if err != nil {
		return nil // the iterator will meet it, too
	}
	return batch.Messages()
}

// pull returns the next message, and makes the iterator anew when it breaks.
// It returns nil when ctx ends.
func (l *lane) pull(ctx context.Context) *delivery {
	backoff := minBackoff
	for {
		d, err := l.tryPull(ctx)
		if err == nil {
			return d
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
		if d := l.drain(); d != nil {
			return d
		}
		l.consumer = nil
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (l *lane) tryPull(ctx context.Context) (*delivery, error) {
	var err error
	if l.consumer == nil {
		if l.consumer, err = l.c.q.findLane(ctx, l.class); err != nil {
			return nil, err
		}
	}
	if l.it == nil {
		l.it, err = l.consumer.Messages(jetstream.PullMaxMessages(1),
			jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
		if err != nil {
			return nil, err
		}
	}
	msg, err := await(ctx, l.it)
	if err != nil {
		return nil, err
	}
	d, err := newDelivery(l, msg)
	if err == nil {
		l.c.hold(d)
	}
	return d, err
}

// take adds the delivery of msg to queue. From now on the consumer holds it. A
// message that makes none comes again after AckWait.
func (l *lane) take(msg jetstream.Msg, queue []*delivery) []*delivery {
	d, err := newDelivery(l, msg)
	if err != nil {
		return queue
	}
	l.c.hold(d)
	return append(queue, d)
}

// drain ends the iterator, if there is one, and returns the message that was
// on its way, if any. Without that, the pull request could swallow a message
// later on.
func (l *lane) drain() *delivery {
	it := l.it
	l.it = nil
	if it == nil {
		return nil
	}
	if !l.c.q.conn.nc.IsConnected() {
		it.Stop()
		return nil
	}
	it.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	var last []*delivery // there is one at most, as one was asked for
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			break
		}
		last = l.take(msg, last)
	}
	if len(last) == 0 {
		return nil
	}
	return last[0]
}

// await returns the next message of it. When the previous message came faster
// than the iterator finished asking for it, Next may wait without having asked
// for another one, and only looks again when it is called again (nats.go
// v1.55.0: pullSubscription.checkPending and fetchInProgress). So it is called
// a few times in short order before the call that waits for good.
func await(ctx context.Context, it jetstream.MessagesContext) (jetstream.Msg, error) {
	for look := 5 * time.Millisecond; look < time.Second; look *= 4 {
		lctx, cancel := context.WithTimeout(ctx, look)
		msg, err := it.Next(jetstream.NextContext(lctx))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return msg, err
		}
	}
	return it.Next(jetstream.NextContext(ctx))
}
