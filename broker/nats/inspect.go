package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

var (
	_ broker.Inspector = (*Queue)(nil)
	_ broker.Morgue    = (*Queue)(nil)
)

const (
	// pauseLength is how long a pause lasts that nobody ends: the server wants
	// a time, and people want none.
	pauseLength = 100 * 365 * 24 * time.Hour
	// purgePause is for how long a lane delivers nothing while it is purged, and
	// purgeBatch after how many messages that is prolonged. If the purging process
	// dies, the lane goes on by itself.
	purgePause   = time.Minute
	purgeBatch   = 1000
	purgeWorkers = 32
)

// Queue returns a queue that has been declared elsewhere, by [Conn.OpenQueue] with
// the same cfg. It declares nothing, so that looking at a queue does not change it.
func (c *Conn) Queue(cfg QueueConfig) (*Queue, error) {
	cfg.setDefaults()
	cfg.Classes = slices.Clone(cfg.Classes)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Queue{conn: c, cfg: cfg}, nil
}

// Inspect implements [broker.Inspector]. It asks the server three times per lane.
func (q *Queue) Inspect(ctx context.Context) ([]broker.Lane, error) {
	lanes := make([]broker.Lane, 0, len(q.cfg.Classes)+1)
	for _, class := range append(slices.Clone(q.cfg.Classes), deadName) {
		lane, err := q.inspect(ctx, class)
		if err != nil {
			return nil, fmt.Errorf("nats: inspect queue %q: lane %q: %w%s", q.cfg.Name, class, err, q.absent(err))
		}
		lanes = append(lanes, lane)
	}
	return lanes, nil
}

func (q *Queue) inspect(ctx context.Context, class string) (broker.Lane, error) {
	s, err := q.opened(ctx, class)
	if err != nil {
		return broker.Lane{}, err
	}
	state, bounds := s.CachedInfo().State, s.CachedInfo().Config
	lane := broker.Lane{
		Class: class, Waiting: int(state.Msgs), Bytes: int64(state.Bytes),
		MaxBytes: max(bounds.MaxBytes, 0), MaxMessages: max(bounds.MaxMsgs, 0), // the server has -1 for none
	}
	if class == deadName {
		if state.Msgs > 0 {
			lane.Oldest = state.FirstTime
		}
		return lane, nil
	}
	info, err := q.consumerInfo(ctx, class)
	if err != nil {
		return broker.Lane{}, err
	}
	lane.Waiting, lane.InHand = int(info.NumPending), info.NumAckPending
	lane.Consumers, lane.Paused = info.NumWaiting, info.Paused
	err = q.scan(ctx, s, info.Delivered.Stream+1, 1, func(raw *jetstream.RawStreamMsg) error {
		lane.Oldest = raw.Time
		return nil
	})
	return lane, err
}

// Peek implements [broker.Inspector]. It asks the server once for each message.
func (q *Queue) Peek(ctx context.Context, class string, limit int) ([]broker.Peeked, error) {
	var peeked []broker.Peeked
	err := q.withLane(ctx, class, func(info *jetstream.ConsumerInfo) error {
		s, err := q.opened(ctx, class)
		if err != nil {
			return err
		}
		return q.scan(ctx, s, info.Delivered.Stream+1, limit, func(raw *jetstream.RawStreamMsg) error {
			id, header := decodeHeader(raw.Header)
			if id == "" {
				id = foreignID(q.stream(class), raw.Sequence)
			}
			peeked = append(peeked, broker.Peeked{
				Message:   broker.Message{ID: id, Class: class, Header: header, Body: raw.Data},
				Published: raw.Time,
			})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("nats: peek at queue %q: %w", q.cfg.Name, err)
	}
	return peeked, nil
}

// SetPaused implements [broker.Inspector]. It takes a server from 2.11 on.
func (q *Queue) SetPaused(ctx context.Context, class string, paused bool) error {
	err := q.conn.require("pauses", pausesFrom)
	if err == nil {
		err = q.withLane(ctx, class, func(*jetstream.ConsumerInfo) error {
			if paused {
				return q.pause(ctx, class, pauseLength)
			}
			return q.pause(ctx, class, 0)
		})
	}
	if err != nil {
		return fmt.Errorf("nats: pause or resume queue %q: %w", q.cfg.Name, err)
	}
	return nil
}

// pause has the lane deliver nothing for a while, or go on at once.
func (q *Queue) pause(ctx context.Context, class string, length time.Duration) error {
	return q.conn.request(ctx, func(ctx context.Context) error {
		_, err := q.conn.js.PauseConsumer(ctx, q.stream(class), consumerName, time.Now().Add(length))
		return err
	})
}

// Purge implements [broker.Inspector]. JetStream purges from the beginning of a
// stream, where the messages in hand are. So as long as there are some, the lane
// is paused for a moment and the others are deleted one by one. It takes a server
// from 2.11 on.
func (q *Queue) Purge(ctx context.Context, class string) (n int, err error) {
	if err := q.conn.require("purges", pausesFrom); err != nil {
		return 0, fmt.Errorf("nats: purge queue %q: %w", q.cfg.Name, err)
	}
	err = q.withLane(ctx, class, func(info *jetstream.ConsumerInfo) (err error) {
		if info, err = q.awaitPurge(ctx, class, info); err != nil {
			return err
		}
		if !info.Paused {
			if err := q.pause(ctx, class, purgePause); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, q.pause(context.WithoutCancel(ctx), class, 0)) }()
		}
		if n, err = q.purge(ctx, class, !info.Paused); err != nil {
			return err
		}
		return q.awaitPurged(ctx, class)
	})
	if err != nil {
		return n, fmt.Errorf("nats: purge queue %q: %d messages removed: %w", q.cfg.Name, n, err)
	}
	return n, nil
}

// awaitPurge waits while another purge pauses the lane, or did when it broke off: the
// lane would go on when that ends, and what comes into some hand then must not be
// removed. It returns what the server says then.
func (q *Queue) awaitPurge(ctx context.Context, class string, info *jetstream.ConsumerInfo) (*jetstream.ConsumerInfo, error) {
	for said := false; info.Paused && info.PauseRemaining <= purgePause; said = true {
		if !said {
			q.conn.log.Info("nats: another purge goes on, or broke off less than a minute ago; waiting", "queue", q.cfg.Name, "class", class)
		}
		select {
		case <-time.After(minBackoff):
		case <-ctx.Done():
			return nil, cause(ctx, ctx.Err())
		}
		var err error
		if info, err = q.consumerInfo(ctx, class); err != nil {
			return nil, err
		}
	}
	return info, nil
}

// awaitPurged waits until the server that delivers the lane knows what was removed: in
// a cluster it reads a replica of its own, which may be a moment behind. It compares
// counts, which others change meanwhile, and so gives up after a while.
func (q *Queue) awaitPurged(ctx context.Context, class string) error {
	for end := time.Now().Add(confirmTimeout); time.Now().Before(end); {
		info, err := q.consumerInfo(ctx, class)
		if err != nil {
			return err
		}
		s, err := q.opened(ctx, class) // after that: what is published in between counts here alone
		if err != nil {
			return err
		}
		if info.NumPending+uint64(info.NumAckPending) <= s.CachedInfo().State.Msgs {
			return nil
		}
		select {
		case <-time.After(minBackoff):
		case <-ctx.Done():
			return cause(ctx, ctx.Err())
		}
	}
	return nil
}

// purge removes what waits in a lane that delivers nothing; prolong says that this
// ends by itself.
func (q *Queue) purge(ctx context.Context, class string, prolong bool) (int, error) {
	info, err := q.consumerInfo(ctx, class)
	if err != nil {
		return 0, err
	}
	s, err := q.opened(ctx, class)
	if err != nil {
		return 0, err
	}
	state := s.CachedInfo().State
	if info.NumAckPending == 0 {
		return int(state.Msgs), q.conn.request(ctx, func(ctx context.Context) error {
			return s.Purge(ctx, jetstream.WithPurgeSequence(state.LastSeq+1))
		})
	}
	err = q.conn.request(ctx, func(ctx context.Context) error {
		full, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
		if err == nil {
			state = full.State
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	gone := make(map[uint64]bool, len(state.Deleted))
	for _, seq := range state.Deleted {
		gone[seq] = true
	}
	var waiting []uint64
	for seq := max(info.Delivered.Stream+1, state.FirstSeq); seq <= state.LastSeq; seq++ {
		if !gone[seq] {
			waiting = append(waiting, seq)
		}
	}
	removed := 0
	for batch := range slices.Chunk(waiting, purgeBatch) {
		if prolong {
			if err := q.pause(ctx, class, purgePause); err != nil {
				return removed, err
			}
		}
		n, err := q.removeAll(ctx, s, batch)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// removeAll removes messages, a few at the same time, and returns how many.
func (q *Queue) removeAll(ctx context.Context, s jetstream.Stream, seqs []uint64) (int, error) {
	var next, removed atomic.Int64
	errs := make([]error, purgeWorkers)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(seqs); i = next.Add(1) - 1 {
				there, err := q.remove(ctx, s, seqs[i])
				if errs[w] = err; err != nil {
					return
				}
				if there {
					removed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return int(removed.Load()), errors.Join(errs...)
}

// remove deletes one message, and reports whether it was still there.
func (q *Queue) remove(ctx context.Context, s jetstream.Stream, seq uint64) (there bool, err error) {
	err = q.conn.request(ctx, func(ctx context.Context) error {
		err := s.DeleteMsg(ctx, seq)
		there = err == nil
		if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) { // which does not tell why
			if _, gerr := s.GetMsg(ctx, seq); errors.Is(gerr, jetstream.ErrMsgNotFound) {
				return nil
			}
		}
		return err
	})
	return there, err
}

// withLane calls do with what the server says about the lane's consumer.
func (q *Queue) withLane(ctx context.Context, class string, do func(*jetstream.ConsumerInfo) error) error {
	if !q.hasLane(class) {
		return fmt.Errorf("%w %q", broker.ErrUnknownClass, class)
	}
	info, err := q.consumerInfo(ctx, class)
	if err == nil {
		err = do(info)
	}
	if err != nil {
		return fmt.Errorf("lane %q: %w%s", class, err, q.absent(err))
	}
	return nil
}

func (q *Queue) consumerInfo(ctx context.Context, class string) (info *jetstream.ConsumerInfo, err error) {
	err = q.conn.request(ctx, func(ctx context.Context) error {
		c, err := q.conn.js.Consumer(ctx, q.stream(class), consumerName)
		if err == nil {
			info = c.CachedInfo()
		}
		return err
	})
	return info, err
}

// opened returns the stream of a class or of the dead letters, with its state.
func (q *Queue) opened(ctx context.Context, class string) (s jetstream.Stream, err error) {
	err = q.conn.request(ctx, func(ctx context.Context) error {
		s, err = q.conn.js.Stream(ctx, q.stream(class))
		return err
	})
	return s, err
}

// scan calls see for up to limit messages of s, from a sequence on.
func (q *Queue) scan(ctx context.Context, s jetstream.Stream, from uint64, limit int, see func(*jetstream.RawStreamMsg) error) error {
	// With a subject, the server looks for the first message at or after next.
	subject := jetstream.WithGetMsgSubject(s.CachedInfo().Config.Subjects[0])
	next := max(from, 1)
	for range limit {
		var raw *jetstream.RawStreamMsg
		err := q.conn.request(ctx, func(ctx context.Context) (err error) {
			raw, err = s.GetMsg(ctx, next, subject)
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			err = see(raw)
		}
		if err != nil {
			return err
		}
		next = raw.Sequence + 1
	}
	return nil
}

// absent returns what can be done if a part of the queue is not there.
func (q *Queue) absent(err error) string {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrConsumerNotFound) {
		return "; a gateway makes it when it starts with this configuration"
	}
	return ""
}
