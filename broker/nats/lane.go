package nats

import (
	"context"
	"errors"
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
	maxBackoff = 5 * time.Second
)

// lane pulls the messages of one class, one at a time and only on demand.
//
// A pull request can't be taken back without risking the message that is just
// coming, so a goroutine of its own waits for the answer. It owns the message,
// heartbeats included, until a caller of next takes it.
type lane struct {
	c      *Consumer
	class  string
	demand chan struct{}  // unbuffered: received only by an idle lane
	ready  chan *delivery // unbuffered: taken only by a caller that waits
}

// next returns the lane's next message.
func (l *lane) next(ctx context.Context) (*delivery, error) {
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

// run serves next until the consumer is closed.
func (l *lane) run() {
	var it jetstream.MessagesContext
	defer func() { l.drain(it) }()
	for {
		select {
		case <-l.demand:
		case <-l.c.ctx.Done():
			return
		}
		d := l.pull(&it)
		if d == nil {
			return
		}
		l.offer(d)
	}
}

// offer waits for a caller to take d. It gives d back when none comes, as
// other consumers of the lane may have time for it.
func (l *lane) offer(d *delivery) {
	patience := time.NewTimer(l.c.q.cfg.AckWait)
	defer patience.Stop()
	select {
	case l.ready <- d:
	case <-patience.C:
		d.giveBack() // if this fails, it comes again after AckWait
	case <-l.c.ctx.Done(): // Close gives it back
	}
}

// pull returns the next message from *it, and makes that anew when it breaks.
// It returns nil when the consumer is closed.
func (l *lane) pull(it *jetstream.MessagesContext) *delivery {
	backoff := minBackoff
	for {
		d, err := l.tryPull(it)
		if err == nil {
			l.c.hold(d)
			return d
		}
		if l.c.ctx.Err() != nil {
			return nil
		}
		l.c.q.conn.log.Warn("nats: lane does not answer, trying again",
			"queue", l.c.q.cfg.Name, "class", l.class, "error", err, "after", backoff)
		l.drain(*it)
		*it = nil
		select {
		case <-time.After(backoff):
		case <-l.c.ctx.Done():
		}
		backoff = min(2*backoff, maxBackoff)
	}
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

// drain ends it, if there is one, and gives back a message that was on its
// way. Without that, the pull request could swallow a message later on.
func (l *lane) drain(it jetstream.MessagesContext) {
	if it == nil {
		return
	}
	if !l.c.q.conn.nc.IsConnected() {
		it.Stop()
		return
	}
	it.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	for {
		msg, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		_ = msg.Nak() // if this fails, it comes again after AckWait
	}
}

func (l *lane) tryPull(it *jetstream.MessagesContext) (*delivery, error) {
	if *it == nil {
		// Declaring it again brings back a lane that was deleted meanwhile.
		consumer, err := l.c.q.declareLane(l.c.ctx, l.class)
		if err != nil {
			return nil, err
		}
		*it, err = consumer.Messages(jetstream.PullMaxMessages(1),
			jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
		if err != nil {
			return nil, err
		}
	}
	msg, err := await(l.c.ctx, *it)
	if err != nil {
		return nil, err
	}
	return newDelivery(l.c, l.class, msg)
}
