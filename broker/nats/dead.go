package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

// maxReason bounds the reason of a dead letter in bytes, within deadLetterRoom.
const maxReason = 1 << 10

// storeDead puts m into the stream of dead letters, after the attempts. Doing it
// again for the same ID stores nothing, so that a crash between it and the
// acknowledgement leaves one dead letter. The header is cleaned, as the server took
// names in a raw publish that it refuses here.
//
// But the stream recognizes an ID even when the dead letter is gone, because
// it has been published anew and removed. Dying again must not end in nothing
// then: it is stored under a Nats-Msg-Id that this stay in the lane has alone. So
// is, at once, what was replayed: its old dead letter may be there still, and about
// to be removed.
func (q *Queue) storeDead(ctx context.Context, m *broker.Message, attempts uint64, stay, reason string) error {
	clean := *m
	clean.Header = m.Header.Cleaned()
	h := encodeHeader(&clean)
	h[broker.HeaderDeadReason] = []string{oneLine(reason, maxReason)}
	h[broker.HeaderDeadAttempts] = []string{strconv.FormatUint(attempts, 10)}
	ofThisStay := func() {
		h[headerID] = []string{m.ID}
		h[headerMsgID] = []string{m.ID + " " + stay}
	}
	if m.Header.Get(broker.HeaderReplayed) != "" {
		ofThisStay()
	}
	msg := &natsgo.Msg{Subject: q.subject(deadName), Header: h, Data: m.Body}
	ack, err := q.conn.publish(ctx, q.stream(deadName), msg)
	if err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	if !ack.Duplicate {
		return nil
	}
	stored, err := q.deadExists(ctx, ack.Sequence)
	if err != nil || stored {
		return err
	}
	ofThisStay()
	if _, err = q.conn.publish(ctx, q.stream(deadName), msg); err != nil {
		return fmt.Errorf("store dead letter: %w", err)
	}
	return nil
}

func (q *Queue) deadExists(ctx context.Context, seq uint64) (bool, error) {
	err := q.conn.request(ctx, func(ctx context.Context) error {
		s, err := q.conn.js.Stream(ctx, q.stream(deadName))
		if err == nil {
			_, err = s.GetMsg(ctx, seq)
		}
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for dead letter: %w", err)
	}
	return true, nil
}

// DeadLetters implements [broker.Morgue]. It asks the server once for each, so it
// is for people rather than for metrics.
func (q *Queue) DeadLetters(ctx context.Context, limit int) ([]broker.DeadLetter, error) {
	var letters []broker.DeadLetter
	s, err := q.opened(ctx, deadName)
	if err == nil {
		err = q.scan(ctx, s, 0, limit, func(raw *jetstream.RawStreamMsg) error {
			letters = append(letters, newDeadLetter(raw))
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("nats: dead letters of queue %q: %w%s", q.cfg.Name, err, q.absent(err))
	}
	return letters, nil
}

// Replay implements [broker.Morgue].
func (q *Queue) Replay(ctx context.Context, pick func(*broker.DeadLetter) bool) (int, error) {
	s, err := q.opened(ctx, deadName)
	if err != nil {
		return 0, fmt.Errorf("nats: replay dead letters of queue %q: %w%s", q.cfg.Name, err, q.absent(err))
	}
	published := make(map[string]bool)
	var invalid error // the first
	// What dies while this goes on is left for the next time.
	err = q.scan(ctx, s, 0, int(s.CachedInfo().State.Msgs), func(raw *jetstream.RawStreamMsg) error {
		letter := newDeadLetter(raw)
		if !pick(&letter) {
			return nil
		}
		if !published[letter.ID] {
			if err := q.replay(ctx, &letter, raw.Sequence); errors.Is(err, broker.ErrInvalid) {
				invalid = cmp.Or(invalid, fmt.Errorf("%s of class %q stays: %w", letter.ID, letter.Class, err))
				return nil
			} else if err != nil {
				return fmt.Errorf("%s of class %q: %w", letter.ID, letter.Class, err)
			}
			published[letter.ID] = true
		}
		_, err := q.remove(ctx, s, raw.Sequence)
		return err
	})
	if err = errors.Join(err, invalid); err != nil {
		return len(published), fmt.Errorf("nats: replay dead letters of queue %q: %w", q.cfg.Name, err)
	}
	return len(published), nil
}

// replay publishes letter into the lane of its class. The lane may recognize its
// ID and store nothing, so it goes under one that this dead letter has alone: a
// replay that was cut short before it removed the dead letter may be repeated.
func (q *Queue) replay(ctx context.Context, letter *broker.DeadLetter, seq uint64) error {
	if !q.hasLane(letter.Class) {
		return fmt.Errorf("%w; configure the class again, or replay those of other classes", broker.ErrUnknownClass)
	}
	m := letter.Replayed()
	if err := m.Validate(); err != nil {
		return err
	}
	h := encodeHeader(m)
	h[headerID] = []string{m.ID}
	h[headerMsgID] = []string{fmt.Sprintf("%s replayed %d", m.ID, seq)}
	_, err := q.conn.publish(ctx, q.stream(m.Class), &natsgo.Msg{Subject: q.subject(m.Class), Header: h, Data: m.Body})
	return err
}

func newDeadLetter(raw *jetstream.RawStreamMsg) broker.DeadLetter {
	id, header := decodeHeader(raw.Header)
	if id == "" {
		id = foreignID("dead", raw.Sequence)
	}
	attempts, _ := strconv.Atoi(header.Get(broker.HeaderDeadAttempts)) // 0: somebody else's message
	return broker.DeadLetter{
		Message:  broker.Message{ID: id, Class: header.Get(broker.HeaderClass), Header: header, Body: raw.Data},
		Reason:   header.Get(broker.HeaderDeadReason),
		Attempts: attempts,
		Died:     raw.Time,
	}
}

// oneLine returns s as the value of a header: without line breaks, and cut to
// at most n bytes.
func oneLine(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "")
	}
	return s
}
