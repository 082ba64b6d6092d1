package nats

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/loadgen"
	"overtake/loadgen/inflight"
)

const (
	// unacknowledged is how many messages may wait for their acknowledgement. The
	// engine bounds them: this only keeps the client from doing so.
	unacknowledged = 1 << 20
	// A pull that nothing answers is repeated after pullExpiry, and a server that
	// says nothing meanwhile is noticed by its missing heartbeats.
	pullExpiry    = 10 * time.Second
	pullHeartbeat = 2 * time.Second
	// ackSlack is how long, beside its hold, a message may be with the run before
	// the server delivers it again.
	ackSlack = 30 * time.Second
	// forgotten is when the server removes the consumer of a run that was killed.
	forgotten = 5 * time.Minute
	// cleanupTime bounds how long Close takes what is left out of a work queue,
	// cleanupBatch messages at a time.
	cleanupTime  = 10 * time.Second
	cleanupBatch = 1000
)

// stream is the way of messages through a stream.
type stream struct {
	publisher, consumer jetstream.JetStream
	name                string
	workQueue           bool
	config              jetstream.ConsumerConfig
	pulls               jetstream.Consumer
	holds               int // messages at once
}

// openStream makes a consumer of the stream for the run.
func openStream(ctx context.Context, e loadgen.Endpoint, publisher, consumer *natsgo.Conn, calls *inflight.Calls) (*stream, error) {
	s := &stream{name: e.Stream, holds: e.Consumers}
	var err error
	if s.consumer, err = jetstream.New(consumer, jetstream.WithDefaultTimeout(askTimeout)); err != nil {
		return nil, err
	}
	s.publisher, err = jetstream.New(publisher, jetstream.WithDefaultTimeout(askTimeout),
		jetstream.WithPublishAsyncMaxPending(unacknowledged),
		jetstream.WithPublishAsyncTimeout(askTimeout),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *natsgo.Msg, err error) {
			calls.Fail(m.Header.Get(natsgo.MsgIdHdr), causeOf(err))
		}))
	if err != nil {
		return nil, err
	}
	if err := s.look(ctx, e); err != nil {
		return nil, err
	}
	name := "overtake-loadgen-" + rand.Text()
	s.config = jetstream.ConsumerConfig{
		Name: name, Durable: name,
		Description:       "of a run of overtake loadgen; goes away with it",
		FilterSubject:     e.Subject,
		DeliverPolicy:     jetstream.DeliverNewPolicy,
		AckPolicy:         jetstream.AckExplicitPolicy,
		AckWait:           2*e.Hold + ackSlack,
		MaxAckPending:     2*e.Consumers + cleanupBatch,
		InactiveThreshold: forgotten,
	}
	if s.workQueue {
		s.config.DeliverPolicy = jetstream.DeliverAllPolicy // it takes no other
	}
	if s.pulls, err = s.consumer.CreateConsumer(ctx, s.name, s.config); err != nil {
		return nil, fmt.Errorf("consume from stream %q: %w%s", s.name, err, s.consumerRemedy(ctx, err))
	}
	return s, nil
}

// causeOf returns the kind of failure of a publication.
func causeOf(err error) string {
	switch {
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return inflight.FailUnroutable
	case errors.Is(err, natsgo.ErrDisconnected), errors.Is(err, natsgo.ErrConnectionClosed):
		return inflight.FailConnection
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		return loadgen.FailTimeout
	}
	return inflight.FailNacked
}

// look finds out whether the stream is there, takes the subject and is free.
func (s *stream) look(ctx context.Context, e loadgen.Endpoint) error {
	found, err := s.consumer.Stream(ctx, s.name)
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("stream %q: %w: make it, with subject %q", s.name, err, e.Subject)
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, natsgo.ErrNoResponders):
		return fmt.Errorf("stream %q: %w: enable JetStream on the server, or leave out `stream` for core NATS", s.name, err)
	case err != nil:
		return fmt.Errorf("stream %q: %w", s.name, err)
	}
	info, err := found.Info(ctx, jetstream.WithSubjectFilter(e.Subject))
	if err != nil {
		return fmt.Errorf("stream %q: %w", s.name, err)
	}
	s.workQueue = info.Config.Retention == jetstream.WorkQueuePolicy
	if info.Config.Mirror == nil && len(info.Config.Sources) == 0 { // which get messages from elsewhere
		if owner, err := s.consumer.StreamNameBySubject(ctx, e.Subject); err != nil || owner != s.name {
			return fmt.Errorf("stream %q does not take subject %q, but %s: add the subject to the stream, or name another one",
				s.name, e.Subject, strings.Join(info.Config.Subjects, ", "))
		}
	}
	there := info.State.Subjects[e.Subject]
	switch {
	case !s.workQueue || there == 0:
		return nil
	case !e.Drain:
		return fmt.Errorf("stream %q is a work queue and has %d messages for %q already: consume them, give the run a subject of its own, or have them thrown away with `drain: true`",
			s.name, there, e.Subject)
	}
	if err := found.Purge(ctx, jetstream.WithPurgeSubject(e.Subject)); err != nil {
		return fmt.Errorf("drain stream %q: %w", s.name, err)
	}
	return nil
}

// The server's codes for a second consumer of the same messages of a work queue.
var notUnique = []jetstream.ErrorCode{10099, 10100}

// consumerRemedy returns what to do about a consumer that can't be made.
func (s *stream) consumerRemedy(ctx context.Context, err error) string {
	var api *jetstream.APIError
	if !errors.As(err, &api) || !slices.Contains(notUnique, api.ErrorCode) {
		return ""
	}
	var names []string
	if found, err := s.consumer.Stream(ctx, s.name); err == nil {
		for name := range found.ConsumerNames(ctx).Name() {
			names = append(names, name)
		}
	}
	return fmt.Sprintf("; it is a work queue, where each subject has one consumer, and it has %s already:"+
		" stop what uses that and delete it, or give the run a subject of its own", strings.Join(names, ", "))
}

func (s *stream) publish(m *natsgo.Msg) error {
	// Once: what is tried again is load that no schedule asked for.
	_, err := s.publisher.PublishMsgAsync(m, jetstream.WithRetryAttempts(0))
	return err
}

func (s *stream) receive(ctx context.Context, work func(*message)) {
	for ctx.Err() == nil {
		s.pull(ctx, work)
		// The iterator outlives connections, but not its consumer, which a server
		// that keeps streams in memory has lost with them.
		inflight.Wait(ctx, reconnectWait)
		if again, err := s.consumer.CreateOrUpdateConsumer(ctx, s.name, s.config); err == nil {
			s.pulls = again
		}
	}
}

// pull passes on messages until ctx or the iterator ends.
func (s *stream) pull(ctx context.Context, work func(*message)) {
	messages, err := s.pulls.Messages(jetstream.PullMaxMessages(s.holds),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullHeartbeat), jetstream.WithMessagesErrOnMissingHeartbeat(false))
	if err != nil {
		return
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return
		}
		arrived := &message{id: m.Headers().Get(natsgo.MsgIdHdr), settle: func() { _ = m.Ack() }} // unless it gets through, the message comes again
		if !s.workQueue {
			arrived.refuse = arrived.settle // others have consumers of their own
		}
		work(arrived)
	}
}

// cleanUp removes the consumer and takes what is left of this run out of a work queue.
// In other streams the limits do so.
func (s *stream) cleanUp(ours func(string) bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	err := s.remove(ctx)
	if err == nil && s.workQueue {
		// A new consumer gets also what the old one had and did not acknowledge.
		s.config.MaxAckPending = -1
		if s.pulls, err = s.consumer.CreateOrUpdateConsumer(ctx, s.name, s.config); err == nil {
			err = errors.Join(s.empty(ctx, ours), s.remove(ctx))
		}
	}
	if err != nil {
		return fmt.Errorf("clean up stream %q: %w", s.name, err)
	}
	return nil
}

func (s *stream) remove(ctx context.Context) error {
	err := s.consumer.DeleteConsumer(ctx, s.name, s.config.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// empty takes all messages of this run out of a work queue.
func (s *stream) empty(ctx context.Context, ours func(string) bool) error {
	for {
		batch, err := s.pulls.FetchNoWait(cleanupBatch)
		if err != nil {
			return err
		}
		var taken int
		var last jetstream.Msg // of this run, not acknowledged yet
		for m := range batch.Messages() {
			taken++
			if !ours(m.Headers().Get(natsgo.MsgIdHdr)) {
				continue // stays, as nobody acknowledges it
			}
			if last != nil {
				err = errors.Join(err, last.Ack())
			}
			last = m
		}
		if last != nil { // waits until the server has taken this one and so all
			err = errors.Join(err, last.DoubleAck(ctx))
		}
		if err := errors.Join(err, batch.Error()); err != nil || taken == 0 {
			return err
		}
	}
}
