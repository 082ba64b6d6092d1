package rabbitmq

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

var _ broker.Source = (*Source)(nil)

// late is how long an acknowledgement waits for those of earlier messages, with
// which it would need no frame of its own.
const late = 20 * time.Millisecond

// Source takes messages out of an existing queue, whoever made it. It owns one
// goroutine, and one channel at a time.
//
// A message that came with an ID that is none for [broker.Message] gets the hash
// of it. One that came without gets a random ID for each delivery: a hash of what
// is in it would make one of two that are alike, and lose the other. So if such a
// message has to be taken again after an interruption, it has another ID.
//
// CC, BCC and what the server writes when it dead-letters a message are left out,
// and the properties become headers. The expiration becomes a deadline.
type Source struct {
	conn   *Conn
	queue  string
	window int

	items  chan *broker.Taken // unbuffered
	ctx    context.Context    // ends with Close
	cancel context.CancelFunc
	ended  chan struct{} // closed when the goroutine has ended
}

// Source returns a source that takes from the queue, with at most window messages
// in hand. It takes nothing before there is a connection, and tries again as long
// as there is no such queue.
func (c *Conn) Source(queue string, window int) *Source {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Source{
		conn: c, queue: queue, window: window, items: make(chan *broker.Taken),
		ctx: ctx, cancel: cancel, ended: make(chan struct{}),
	}
	go s.run()
	return s
}

// Next implements [broker.Source].
func (s *Source) Next(ctx context.Context) (*broker.Taken, error) {
	select {
	case t := <-s.items:
		return t, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("rabbitmq: take from queue %q: %w", s.queue, cause(ctx, ctx.Err()))
	case <-s.ctx.Done():
		return nil, fmt.Errorf("rabbitmq: take from queue %q: %w", s.queue, broker.ErrClosed)
	}
}

// Waiting implements [broker.Source]. Messages in hand are not among them.
func (s *Source) Waiting(ctx context.Context) (int, error) {
	n, err := s.conn.waiting(ctx, s.queue)
	if err != nil {
		return 0, fmt.Errorf("rabbitmq: queue %q: number of its messages: %w", s.queue, err)
	}
	return n, nil
}

// Close implements [broker.Source].
func (s *Source) Close(ctx context.Context) error {
	s.cancel()
	select {
	case <-s.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("rabbitmq: close source %q: %w", s.queue, ctx.Err())
	}
}

// run takes messages, over a new channel whenever one is lost, until the source is
// closed.
func (s *Source) run() {
	defer close(s.ended)
	log := s.conn.cfg.Logger.With("source", s.queue)
	backoff := minBackoff
	for {
		p, err := s.open()
		if err == nil {
			backoff = minBackoff
			err = p.serve(s.ctx)
		}
		if s.ctx.Err() != nil {
			return
		}
		log.Warn("rabbitmq: queue is not consumed, trying again", "error", err, "after", backoff)
		pause(s.ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// open consumes the queue over a new channel.
func (s *Source) open() (*draw, error) {
	session, err := s.conn.consuming.wait(s.ctx)
	if err != nil {
		return nil, err
	}
	ch, err := session.conn.Channel()
	if err != nil {
		return nil, err
	}
	p := &draw{
		ch: ch, closed: ch.NotifyClose(make(chan *amqp.Error, 1)), drained: make(chan struct{}),
		wake: make(chan struct{}, 1), lost: make(chan struct{}), done: make(map[uint64]bool),
	}
	if err := ch.Qos(s.window, 0, false); err != nil {
		return nil, err
	}
	deliveries, err := ch.Consume(s.queue, "", false, false, false, false, nil)
	if err != nil {
		return nil, err
	}
	go p.read(deliveries, s.items)
	return p, nil
}

// draw is the channel of a source in one session. Delivery tags are of it alone.
type draw struct {
	ch      *amqp.Channel
	closed  chan *amqp.Error
	drained chan struct{} // closed when read has ended
	wake    chan struct{} // of capacity 1: there is something in done
	lost    chan struct{} // closed when nothing of it can be acknowledged any more

	mu    sync.Mutex
	floor uint64          // all tags up to it are acknowledged
	done  map[uint64]bool // tags above it that may be, and whether they are
}

// read hands out what the server delivers, until it delivers no more.
func (p *draw) read(deliveries <-chan amqp.Delivery, items chan<- *broker.Taken) {
	defer close(p.drained)
	for raw := range deliveries {
		t := newTaken(&raw, time.Now())
		t.Receipt = &receipt{p, raw.DeliveryTag}
		select {
		case items <- t:
		case <-p.lost:
		}
	}
}

// serve acknowledges until the channel is lost or ctx ends. Then it gives back
// the rest, and returns when nothing of the channel runs any more.
func (p *draw) serve(ctx context.Context) (err error) {
	tick := time.NewTicker(late)
	defer tick.Stop()
	for err == nil {
		select {
		case <-p.wake:
			err = p.acknowledge(false)
		case <-tick.C:
			err = p.acknowledge(true)
		case e := <-p.closed:
			err = fmt.Errorf("%w: %w", errConnectionLost, e)
		case <-p.drained:
			err = errCancelled
		case <-ctx.Done():
			err = ctx.Err()
			_ = p.acknowledge(true) // else they come again
		}
	}
	close(p.lost)
	_ = p.ch.Close() // which the server answers behind the acknowledgements
	<-p.drained
	return err
}

// acknowledge acknowledges what is done up to the first message that is not, with
// one frame, and with all also what is done behind that.
func (p *draw) acknowledge(all bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := uint64(0) // of those that are not acknowledged
	for acked, ok := p.done[p.floor+1]; ok; acked, ok = p.done[p.floor+1] {
		p.floor++
		delete(p.done, p.floor)
		if !acked {
			last = p.floor
		}
	}
	if last > 0 {
		if err := p.ch.Ack(last, true); err != nil {
			return err
		}
	}
	if !all {
		return nil
	}
	for tag, acked := range p.done {
		if acked {
			continue
		}
		if err := p.ch.Ack(tag, false); err != nil {
			return err
		}
		p.done[tag] = true
	}
	return nil
}

// receipt is a message of a draw.
type receipt struct {
	p   *draw
	tag uint64
}

// Done implements [broker.Receipt].
func (r *receipt) Done() {
	r.p.mu.Lock()
	r.p.done[r.tag] = false
	r.p.mu.Unlock()
	select {
	case r.p.wake <- struct{}{}:
	default:
	}
}

// Lost implements [broker.Receipt].
func (r *receipt) Lost() <-chan struct{} { return r.p.lost }

// newTaken returns what the server delivered at the time now as a message.
func newTaken(raw *amqp.Delivery, now time.Time) *broker.Taken {
	h := decodeHeader(raw.Headers)
	readProperties(raw, h)
	if deadline, ok := expiry(raw, now); ok {
		if before, err := strconv.ParseInt(h.Get(broker.HeaderDeadline), 10, 64); err != nil || deadline < before {
			h.Set(broker.HeaderDeadline, strconv.FormatInt(deadline, 10))
		}
	}
	return &broker.Taken{
		Message: broker.Message{ID: takenID(raw.MessageId), Header: h.Cleaned(), Body: raw.Body},
		Address: raw.RoutingKey,
	}
}

// takenID returns the ID of a message that came with the given one.
func takenID(id string) string {
	switch {
	case id == "":
		return rand.Text()
	case (&broker.Message{ID: id}).Validate() != nil:
		sum := sha256.Sum256([]byte(id))
		return hex.EncodeToString(sum[:])
	}
	return id
}

// expiry returns when the message expires, in unix milliseconds. The time to live
// counts from when it was published, if it says so and the clocks agree, or else
// from now.
func expiry(raw *amqp.Delivery, now time.Time) (int64, bool) {
	ttl, err := strconv.ParseInt(raw.Expiration, 10, 64)
	if err != nil || ttl < 0 {
		return 0, false
	}
	end := now.UnixMilli() + ttl
	if own := raw.Timestamp.UnixMilli() + ttl; !raw.Timestamp.IsZero() && own >= now.UnixMilli() {
		end = min(end, own)
	}
	return end, true
}
