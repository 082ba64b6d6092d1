package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func (q *Queue) laneConfig(class string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        q.stream(class),
		Description: fmt.Sprintf("Overtake queue %s, class %s", q.cfg.Name, class),
		Subjects:    []string{q.subject(class)},
		Retention:   jetstream.WorkQueuePolicy,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		MaxBytes:    q.cfg.MaxBytes,
		MaxMsgSize:  q.maxMessage(),
		Duplicates:  q.cfg.DedupeWindow,
		Replicas:    q.cfg.Replicas,
	}
}

func (q *Queue) deadConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        q.stream(deadName),
		Description: fmt.Sprintf("Overtake queue %s, dead letters", q.cfg.Name),
		Subjects:    []string{q.subject(deadName)},
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardOld,
		Storage:     jetstream.FileStorage,
		MaxBytes:    q.cfg.DeadBytes,
		Duplicates:  q.cfg.DedupeWindow,
		Replicas:    q.cfg.Replicas,
		// Reads without wrapping each message in JSON. With replicas, the answer
		// could come from one that is behind.
		AllowDirect: q.cfg.Replicas == 1,
	}
}

func (q *Queue) consumerConfig() jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:    consumerName,
		AckPolicy:  jetstream.AckExplicitPolicy,
		AckWait:    q.cfg.AckWait,
		MaxDeliver: -1, // who counts attempts makes a dead letter of the message
		// The default of 1000 counts messages that wait for a retry, too, and
		// so many of them would stop the lane.
		MaxAckPending: -1,
	}
}

// findTimeout is how long a lane has to answer before it is asked again. In a cluster,
// nobody answers for one that has no leader yet, also not when it has.
const findTimeout = 2 * time.Second

// findLane asks for the consumer of class. It declares a lane that was deleted
// meanwhile, and no other: that takes the leader of a whole cluster.
func (q *Queue) findLane(ctx context.Context, class string) error {
	fctx, cancel := context.WithTimeoutCause(ctx, findTimeout, errNoAnswer)
	defer cancel()
	err := q.conn.request(fctx, func(ctx context.Context) error {
		_, err := q.conn.js.Consumer(ctx, q.stream(class), consumerName)
		return err
	})
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return q.declareLane(ctx, class)
	}
	if err != nil {
		return fmt.Errorf("nats: queue %q: find consumer %q of stream %q: %w", q.cfg.Name, consumerName, q.stream(class), err)
	}
	return nil
}

// declareLane declares the stream of class and its consumer.
func (q *Queue) declareLane(ctx context.Context, class string) error {
	s, err := q.declareStream(ctx, q.laneConfig(class))
	if err != nil {
		return err
	}
	err = q.conn.request(ctx, func(ctx context.Context) error {
		cfg := q.consumerConfig()
		c, err := s.Consumer(ctx, consumerName)
		if err == nil {
			present := c.CachedInfo().Config
			if present.AckWait == cfg.AckWait && present.MaxDeliver == cfg.MaxDeliver && present.MaxAckPending == cfg.MaxAckPending {
				return nil
			}
			cfg.PauseUntil = present.PauseUntil // or else the lane would go on
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
		_, err = s.CreateOrUpdateConsumer(ctx, cfg)
		return err
	})
	if err != nil {
		return fmt.Errorf("nats: queue %q: declare consumer %q of stream %q: %w",
			q.cfg.Name, consumerName, q.stream(class), err)
	}
	return nil
}

// declareStream creates the stream of cfg or brings it in line with cfg.
func (q *Queue) declareStream(ctx context.Context, cfg jetstream.StreamConfig) (s jetstream.Stream, err error) {
	err = q.conn.request(ctx, func(ctx context.Context) error {
		s, err = q.conn.createOrUpdate(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nats: queue %q: declare stream %q: %w%s", q.cfg.Name, cfg.Name, err, remedy(cfg, err, remedies{
			smaller: "give the queue smaller lanes",
			aside:   "give the queue another name",
			rights:  q.cfg.Name + ".*, and to subscribe to _INBOX.>",
		}))
	}
	return s, nil
}

// errForeign: a stream of that name takes other subjects, so it must be
// somebody else's. Changing it would take the messages of its owner.
var errForeign = errors.New("the stream exists and takes other subjects")

func (c *Conn) createOrUpdate(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	s, err := c.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return c.js.CreateStream(ctx, cfg)
	}
	if errors.Is(err, natsgo.ErrNoResponders) {
		return nil, jetstream.ErrJetStreamNotEnabled // nobody listens for it
	}
	if err != nil {
		return nil, err
	}
	if subjects := s.CachedInfo().Config.Subjects; !slices.Equal(subjects, cfg.Subjects) {
		return nil, fmt.Errorf("%w: %q, not %q", errForeign, subjects, cfg.Subjects)
	}
	return c.js.UpdateStream(ctx, cfg)
}

// remedies are what can be done about a stream by whoever it is for.
type remedies struct {
	smaller string // ask for less disk
	aside   string // get out of the way of another stream
	rights  string // subjects to publish to and subscribe to, beside those of JetStream
}

// remedy returns what can be done about the refusal of a stream, if anything.
func remedy(cfg jetstream.StreamConfig, err error, r remedies) string {
	switch errorCode(err) {
	case codeStorageLimitExceeded, codeInsufficientResources:
		return fmt.Sprintf("; the broker can't reserve %d bytes more: %s", cfg.MaxBytes, r.smaller)
	case codeStreamInvalidConfig:
		return "; it exists with settings that can't be changed: empty and delete it, or " + r.aside
	case codeNoPeers, codeReplicasNotSupported:
		return fmt.Sprintf("; %d replicas take as many servers with JetStream, in one cluster: start them, or ask for fewer", cfg.Replicas)
	case jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount:
		return "; enable JetStream on the server (nats-server -js) and for the account"
	case codeStreamSubjectOverlap:
		return fmt.Sprintf("; another stream takes %q: %s", cfg.Subjects, r.aside)
	}
	switch {
	case errors.Is(err, errForeign):
		return "; " + r.aside
	case errors.Is(err, natsgo.ErrPermissionViolation):
		return "; allow the user to publish to $JS.API.>, $JS.ACK.>, " + r.rights
	}
	return ""
}

// tidy removes the lanes of classes that are no longer configured, as far as they
// are empty, and logs the others, which nobody consumes.
func (q *Queue) tidy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	var empty []string
	list := q.conn.js.ListStreams(ctx, jetstream.WithStreamListSubject(q.cfg.Name+".*"))
	for info := range list.Info() {
		class, ok := strings.CutPrefix(info.Config.Name, q.cfg.Name+"_")
		ours := ok && slices.Equal(info.Config.Subjects, []string{q.subject(class)}) && info.Config.Retention == jetstream.WorkQueuePolicy
		switch {
		case !ours || q.hasLane(class):
		case info.State.Msgs == 0:
			empty = append(empty, info.Config.Name)
		default:
			q.conn.log.Warn("nats: messages wait in the lane of a class that is not configured; "+
				"configure the class again until the lane is empty",
				"queue", q.cfg.Name, "class", class, "messages", info.State.Msgs)
		}
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("nats: queue %q: list lanes: %w", q.cfg.Name, cause(ctx, err))
	}
	for _, name := range empty {
		if err := q.conn.js.DeleteStream(ctx, name); err != nil {
			return fmt.Errorf("nats: queue %q: remove the empty stream %q: %w", q.cfg.Name, name, cause(ctx, err))
		}
	}
	return nil
}
