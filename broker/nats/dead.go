package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

// maxReason bounds the reason of a dead letter in bytes, within deadLetterRoom.
const maxReason = 1 << 10

// DeadLetter is a message that was given up.
type DeadLetter struct {
	broker.Message
	Reason string
	// Attempts is how often it was delivered.
	Attempts int
	// Died is when it became a dead letter.
	Died time.Time
}

// storeDead puts m into the stream of dead letters, after the attempts. Doing it
// again for the same ID stores nothing, so that a crash between it and the
// acknowledgement leaves one dead letter.
//
// But the stream recognizes an ID even when the dead letter is gone, because
// it has been published anew and removed. Dying again must not end in nothing
// then: it is stored under a Nats-Msg-Id that this stay in the lane has alone.
func (q *Queue) storeDead(ctx context.Context, m *broker.Message, attempts uint64, stay, reason string) error {
	h := encodeHeader(m)
	h[broker.HeaderDeadReason] = []string{oneLine(reason, maxReason)}
	h[broker.HeaderDeadAttempts] = []string{strconv.FormatUint(attempts, 10)}
	msg := &natsgo.Msg{Subject: q.subject(deadName), Header: h, Data: m.Body}
	ack, err := q.conn.publish(ctx, msg)
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
	h[headerID] = []string{m.ID}
	h[headerMsgID] = []string{m.ID + " " + stay}
	if _, err = q.conn.publish(ctx, msg); err != nil {
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

// deadDepth returns the number of dead letters.
func (q *Queue) deadDepth(ctx context.Context) (n int, err error) {
	err = q.conn.request(ctx, func(ctx context.Context) error {
		s, err := q.conn.js.Stream(ctx, q.stream(deadName))
		if err == nil {
			n = int(s.CachedInfo().State.Msgs)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("nats: queue %q: number of dead letters: %w", q.cfg.Name, err)
	}
	return n, nil
}

// DeadLetters returns up to limit dead letters, oldest first. It asks the
// server once for each, so it is for people rather than for metrics.
func (q *Queue) DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error) {
	var s jetstream.Stream
	err := q.conn.request(ctx, func(ctx context.Context) (err error) {
		s, err = q.conn.js.Stream(ctx, q.stream(deadName))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("nats: dead letters of queue %q: %w", q.cfg.Name, err)
	}
	var letters []DeadLetter
	next := s.CachedInfo().State.FirstSeq
	for len(letters) < limit {
		var raw *jetstream.RawStreamMsg
		err := q.conn.request(ctx, func(ctx context.Context) (err error) {
			// With a subject, it is the first message at or after next.
			raw, err = s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(q.subject(deadName)))
			return err
		})
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("nats: dead letters of queue %q: %w", q.cfg.Name, err)
		}
		letters = append(letters, newDeadLetter(raw))
		next = raw.Sequence + 1
	}
	return letters, nil
}

func newDeadLetter(raw *jetstream.RawStreamMsg) DeadLetter {
	id, header := decodeHeader(raw.Header)
	attempts, _ := strconv.Atoi(header.Get(broker.HeaderDeadAttempts)) // 0: somebody else's message
	return DeadLetter{
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
