package nats

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

var (
	_ broker.Source = (*StreamSource)(nil)
	_ broker.Source = (*SubjectSource)(nil)
)

// StreamConfig says which messages a [StreamSource] takes.
type StreamConfig struct {
	// Stream is an existing stream.
	Stream string
	// Subject leaves out messages of other subjects; it may have wildcards.
	// Default: all.
	Subject string
	// Durable is the name of the consumer on the server that remembers how far
	// the stream has been taken.
	Durable string
	// Window is how many messages are in hand at most.
	Window int
	// AckWait is after what time without a sign of life a message comes again.
	// Default 10 s.
	AckWait time.Duration
}

// StreamSource takes messages out of an existing stream, with a durable pull
// consumer of its own. It owns one goroutine.
//
// A message that came without a Nats-Msg-Id gets the names of its stream and its
// sequence number as its ID, and one whose Nats-Msg-Id is no ID for
// [broker.Message] gets the hash of it. Headers that begin with Nats- are left
// out: they were for the server that the message came from.
type StreamSource struct {
	conn *Conn
	cfg  StreamConfig
	it   jetstream.MessagesContext // of the goroutine that calls Next

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	held map[*receipt]struct{} // the server does not know yet that they are done
}

// StreamSource returns a source of what is in a stream. It takes nothing before
// there is a connection, and tries again as long as there is no such stream.
func (c *Conn) StreamSource(cfg StreamConfig) *StreamSource {
	if cfg.AckWait == 0 {
		cfg.AckWait = DefaultAckWait
	}
	s := &StreamSource{conn: c, cfg: cfg, held: make(map[*receipt]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.sendHeartbeats)
	return s
}

// Next implements [broker.Source].
func (s *StreamSource) Next(ctx context.Context) (*broker.Taken, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	backoff := minBackoff
	for {
		msg, err := s.pull(ctx)
		var t *broker.Taken
		if err == nil {
			t, err = s.take(msg)
		}
		switch {
		case err == nil:
			return t, nil
		case s.ctx.Err() != nil:
			return nil, fmt.Errorf("nats: take from stream %q: %w", s.cfg.Stream, broker.ErrClosed)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("nats: take from stream %q: %w", s.cfg.Stream, cause(ctx, err))
		}
		s.conn.log.Warn("nats: stream is not consumed, trying again", "stream", s.cfg.Stream, "error", err, "after", backoff)
		s.giveBackUnseen()
		select {
		case <-time.After(backoff):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (s *StreamSource) pull(ctx context.Context) (jetstream.Msg, error) {
	if s.it == nil {
		consumer, err := s.consumer(ctx)
		if err != nil {
			return nil, err
		}
		s.it, err = consumer.Messages(jetstream.PullMaxMessages(s.cfg.Window),
			jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat))
		if err != nil {
			return nil, err
		}
	}
	return await(ctx, s.it)
}

// consumer declares the consumer.
func (s *StreamSource) consumer(ctx context.Context) (consumer jetstream.Consumer, err error) {
	err = s.conn.request(ctx, func(ctx context.Context) error {
		consumer, err = s.conn.js.CreateOrUpdateConsumer(ctx, s.cfg.Stream, jetstream.ConsumerConfig{
			Durable:       s.cfg.Durable,
			Description:   "Overtake relay",
			FilterSubject: s.cfg.Subject,
			AckPolicy:     jetstream.AckExplicitPolicy,
			AckWait:       s.cfg.AckWait,
			MaxDeliver:    -1,
			MaxAckPending: s.cfg.Window,
		})
		return err
	})
	return consumer, err
}

// Waiting implements [broker.Source]. Messages in hand are among them.
func (s *StreamSource) Waiting(ctx context.Context) (int, error) {
	var consumer jetstream.Consumer
	err := s.conn.request(ctx, func(ctx context.Context) (err error) {
		consumer, err = s.conn.js.Consumer(ctx, s.cfg.Stream, s.cfg.Durable)
		return err
	})
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = s.consumer(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("nats: stream %q: number of its messages: %w", s.cfg.Stream, err)
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending, nil
}

// quiet bounds how long the server holds back messages while a source is closed.
const quiet = 2 * time.Second

// Close implements [broker.Source]. What is not given back, because there is no
// connection, comes again after AckWait.
func (s *StreamSource) Close(ctx context.Context) error {
	s.cancel()
	s.wg.Wait()
	paused := s.pause(ctx)
	s.giveBackUnseen()
	s.mu.Lock()
	for r := range s.held {
		_ = r.settle()
	}
	clear(s.held)
	s.mu.Unlock()
	if paused {
		_ = s.conn.request(ctx, func(ctx context.Context) error {
			_, err := s.conn.js.ResumeConsumer(ctx, s.cfg.Stream, s.cfg.Durable)
			return err
		})
	}
	if err := s.conn.request(ctx, s.conn.nc.FlushWithContext); err != nil {
		return fmt.Errorf("nats: close source %q: %w", s.cfg.Stream, err)
	}
	return nil
}

// pause makes the server send nothing for a moment, and reports whether it does so.
// What it sends while the iterator leaves gets lost, and comes again after AckWait,
// behind newer messages. Servers before 2.11 know no pause: there, the order is lost.
func (s *StreamSource) pause(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	return s.conn.request(ctx, func(ctx context.Context) error {
		if _, err := s.conn.js.PauseConsumer(ctx, s.cfg.Stream, s.cfg.Durable, time.Now().Add(quiet)); err != nil {
			return err
		}
		return s.conn.nc.FlushWithContext(ctx) // what it sent before that is here
	}) == nil
}

// giveBackUnseen ends the iterator and gives back what had come and not been taken.
func (s *StreamSource) giveBackUnseen() {
	if s.it == nil {
		return
	}
	s.it.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
	defer cancel()
	for {
		msg, err := s.it.Next(jetstream.NextContext(ctx))
		if err != nil {
			break
		}
		_ = msg.Nak()
	}
	s.it = nil
}

func (s *StreamSource) take(msg jetstream.Msg) (*broker.Taken, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, err
	}
	r := &receipt{s: s, msg: msg}
	s.mu.Lock()
	s.held[r] = struct{}{}
	s.mu.Unlock()
	t := newTaken(msg.Headers(), msg.Subject(), msg.Data(), fmt.Sprintf("%s-%d", meta.Stream, meta.Sequence.Stream))
	t.Receipt = r
	return t, nil
}

// sendHeartbeats tells the server about what is in hand, and says once more what
// could not be said to it.
func (s *StreamSource) sendHeartbeats() {
	tick := time.NewTicker(max(s.cfg.AckWait/3, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		for r := range s.held {
			switch {
			case !r.done:
				_ = r.msg.InProgress()
			case r.msg.Ack() == nil:
				delete(s.held, r)
			}
		}
		s.mu.Unlock()
	}
}

// receipt is a message of a [StreamSource].
type receipt struct {
	s    *StreamSource
	msg  jetstream.Msg
	done bool // under s.mu
}

// Done implements [broker.Receipt].
func (r *receipt) Done() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.done = true
	if r.settle() == nil {
		delete(r.s.held, r)
	}
}

func (r *receipt) settle() error {
	if r.done {
		return r.msg.Ack()
	}
	return r.msg.Nak()
}

// Lost implements [broker.Receipt]: a message stays in hand as long as there are
// heartbeats.
func (r *receipt) Lost() <-chan struct{} { return nil }

// SubjectSource takes messages that are published to a subject and stored nowhere:
// at most once. Whatever is published while it is closed or not connected, or
// faster than it is taken, is gone, unless others of the same group take it.
type SubjectSource struct {
	conn    *Conn
	subject string
	sub     *natsgo.Subscription
	leave   sync.Once
}

// SubjectSource subscribes to a subject as one of the queue group.
func (c *Conn) SubjectSource(subject, group string) (*SubjectSource, error) {
	sub, err := c.nc.QueueSubscribeSync(subject, group)
	if err != nil {
		return nil, fmt.Errorf("nats: subscribe to %q: %w", subject, err)
	}
	return &SubjectSource{conn: c, subject: subject, sub: sub}, nil
}

// Next implements [broker.Source]. When ctx ends, it unsubscribes, and then
// returns what has come before.
func (s *SubjectSource) Next(ctx context.Context) (*broker.Taken, error) {
	msg, err := s.sub.NextMsgWithContext(ctx)
	if err != nil && ctx.Err() != nil {
		s.leave.Do(func() { _ = s.sub.Drain() })
		dctx, cancel := context.WithTimeout(context.Background(), confirmTimeout)
		defer cancel()
		if msg, err = s.sub.NextMsgWithContext(dctx); err != nil {
			err = cause(ctx, ctx.Err())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("nats: take from subject %q: %w", s.subject, err)
	}
	t := newTaken(msg.Header, msg.Subject, msg.Data, rand.Text())
	if msg.Reply != "" {
		t.Header.Set(broker.HeaderReplyTo, msg.Reply)
	}
	t.Receipt = forgotten{}
	return t, nil
}

// Waiting implements [broker.Source]: nothing ever waits at the server.
func (s *SubjectSource) Waiting(context.Context) (int, error) { return 0, nil }

// Close implements [broker.Source].
func (s *SubjectSource) Close(context.Context) error {
	if err := s.sub.Unsubscribe(); err != nil && s.sub.IsValid() {
		return fmt.Errorf("nats: unsubscribe from %q: %w", s.subject, err)
	}
	return nil
}

// forgotten is the receipt of a message that nobody keeps.
type forgotten struct{}

func (forgotten) Done()                 {}
func (forgotten) Lost() <-chan struct{} { return nil }

// newTaken returns what came as a message. The ID is for one that has none.
func newTaken(header natsgo.Header, subject string, body []byte, id string) *broker.Taken {
	own, h := decodeHeader(header)
	if own != "" {
		id = own
	}
	if (&broker.Message{ID: id}).Validate() != nil {
		sum := sha256.Sum256([]byte(id))
		id = hex.EncodeToString(sum[:])
	}
	for name, values := range h {
		if lower := strings.ToLower(name); lower != name && slices.Contains(wellKnown, lower) && h[lower] == nil {
			delete(h, name)
			h[lower] = values
		}
	}
	return &broker.Taken{Message: broker.Message{ID: id, Header: h.Cleaned(), Body: body}, Address: subject}
}

// wellKnown are headers that mean something to Overtake, and that others may write
// in another case.
var wellKnown = []string{
	broker.HeaderClass, broker.HeaderDeadline, broker.HeaderContentType, broker.HeaderContentEncoding,
	broker.HeaderCorrelationID, broker.HeaderReplyTo, broker.HeaderType, broker.HeaderAppID, broker.HeaderTimestamp,
	"traceparent", "tracestate", "baggage",
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
