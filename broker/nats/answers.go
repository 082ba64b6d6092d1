package nats

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

// An answer is a row of messages on a subject of its own, its parts. The object
// store of nats.go would need five requests for an answer of two bytes, and when
// it is full, refuses new objects where here the oldest answers go.
const (
	// answerPart is the size of all parts but the last, unless the server takes
	// only smaller messages.
	answerPart = 256 << 10
	headerPart = "overtake-part" // counts from 0
	headerLast = "overtake-last" // only the last part has it
)

var answerBuffers = sync.Pool{New: func() any { b := make([]byte, answerPart); return &b }}

// SaveAnswer stores what r reads under the name, which must be new. It holds one
// part in memory at a time, and reads to the end before it stores the last. When
// r fails, its error is returned, and nothing is kept; the same with
// [broker.ErrTooLarge] for what would take more than half of the room.
func (j *Jobs) SaveAnswer(ctx context.Context, name string, r io.Reader) error {
	if !validRecordID(name) {
		return fmt.Errorf("nats: save answer %q: %w: the name must be letters and digits", name, broker.ErrInvalid)
	}
	if j.streams.Load() == nil {
		return fmt.Errorf("nats: save answer %s: %w", name, errNotOpened)
	}
	pooled := answerBuffers.Get().(*[]byte)
	defer answerBuffers.Put(pooled)
	buf := (*pooled)[:min(answerPart, j.conn.nc.MaxPayload()-deadLetterRoom)]
	// What is larger than half of the room would push out its own beginning.
	r = &bounded{r, j.cfg.AnswerBytes / 2}
	for part := 0; ; part++ {
		n, rerr := io.ReadFull(r, buf)
		last := errors.Is(rerr, io.EOF) || errors.Is(rerr, io.ErrUnexpectedEOF)
		err := rerr
		if rerr == nil || last {
			msg := &natsgo.Msg{
				Subject: answersPrefix + name, Data: buf[:n], Header: natsgo.Header{headerPart: {strconv.Itoa(part)}},
			}
			if last {
				msg.Header[headerLast] = []string{"1"}
			}
			_, err = j.conn.publish(ctx, answersStream, msg)
		}
		if err != nil {
			j.dropAnswer(ctx, name, part)
			return fmt.Errorf("nats: save answer %s: %w", name, err)
		}
		if last {
			return nil
		}
	}
}

// bounded reads up to left bytes and then fails.
type bounded struct {
	io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, broker.ErrTooLarge
	}
	return n, err
}

// dropAnswer removes the parts of an answer that broke off. If it fails, they
// go with their age.
func (j *Jobs) dropAnswer(ctx context.Context, name string, parts int) {
	if parts > 0 {
		_ = j.opened(ctx, func(ctx context.Context, s *jobStreams) error {
			return s.answers.Purge(ctx, jetstream.WithPurgeSubject(answersPrefix+name))
		})
	}
}

// OpenAnswer returns a reader over an answer, or [broker.ErrGone]. It asks the
// server for one part after the other, until ctx ends.
func (j *Jobs) OpenAnswer(ctx context.Context, name string) (io.Reader, error) {
	if !validRecordID(name) {
		return nil, fmt.Errorf("nats: read answer %q: %w", name, broker.ErrGone)
	}
	r := &answerReader{ctx: ctx, jobs: j, name: name}
	if err := r.fetch(); err != nil {
		return nil, err
	}
	return r, nil
}

// answerReader reads the parts of one answer.
type answerReader struct {
	ctx  context.Context
	jobs *Jobs
	name string
	data []byte // what is unread of the present part
	part int    // the number of the next part
	next uint64 // the sequence from which on it may be
	last bool   // there is none
}

// Read implements io.Reader.
func (r *answerReader) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		if r.last {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}

func (r *answerReader) fetch() error {
	var raw *jetstream.RawStreamMsg
	err := r.jobs.opened(r.ctx, func(ctx context.Context, s *jobStreams) (err error) {
		// With a subject, it is the first message at or after next.
		raw, err = s.answers.GetMsg(ctx, r.next, jetstream.WithGetMsgSubject(answersPrefix+r.name))
		return err
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && raw.Header.Get(headerPart) != strconv.Itoa(r.part) {
		return fmt.Errorf("nats: read answer %s, part %d: %w", r.name, r.part, broker.ErrGone)
	}
	if err != nil {
		return fmt.Errorf("nats: read answer %s, part %d: %w", r.name, r.part, err)
	}
	r.data, r.last = raw.Data, raw.Header.Get(headerLast) != ""
	r.part, r.next = r.part+1, raw.Sequence+1
	return nil
}
