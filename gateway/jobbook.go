package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"overtake/broker"
)

// JobRecords keeps the records of jobs, for all gateways. It is safe for
// concurrent use.
type JobRecords interface {
	// Load returns the record with the ID; its Revision is 0 if there is none.
	Load(ctx context.Context, id string) (broker.Record, error)
	// Save stores r if its Revision is the present one, which it raises then;
	// else it returns broker.ErrConflict. It returns broker.ErrFull when there
	// is no room, and broker.ErrUnavailable when it is not known whether r is
	// stored.
	Save(ctx context.Context, r *broker.Record) error
	// Announce calls everybody who watches the ID, in all gateways. It may get
	// lost.
	Announce(id string)
	// Watch calls ended, which must not block, at each Announce until stop.
	Watch(id string, ended func()) (stop func())
}

// JobAnswers keeps answers. It is safe for concurrent use.
type JobAnswers interface {
	// SaveAnswer stores what r reads to its end under a new name of letters and
	// digits. An error of r is returned, and nothing is stored then; so is
	// broker.ErrTooLarge.
	SaveAnswer(ctx context.Context, name string, r io.Reader) error
	// OpenAnswer returns the answer, or broker.ErrGone. Reads fail when ctx ends.
	OpenAnswer(ctx context.Context, name string) (io.Reader, error)
}

// jobBook is one store for jobs, which queues share.
type jobBook struct {
	records JobRecords
	answers JobAnswers

	key atomic.Pointer[[]byte] // of the ids made of Idempotency-Keys; nil until it was needed
}

// entry is a record as it was last seen. Without a book, which is when the queue
// has no store or the message is somebody else's, it is only remembered. It
// belongs to one goroutine at a time.
type entry struct {
	record
	book     *jobBook
	keep     time.Duration
	revision uint64
}

// load reads the record. It is none if its ID is empty then.
func (e *entry) load(ctx context.Context, id string) error {
	if e.book == nil {
		return nil
	}
	stored, err := e.book.records.Load(ctx, id)
	if err != nil {
		return err
	}
	e.record, e.revision = record{}, stored.Revision
	if stored.Revision == 0 {
		return nil
	}
	if err := json.Unmarshal(stored.Value, &e.record); err != nil {
		return fmt.Errorf("gateway: record of job %s: %w", id, err)
	}
	return nil
}

// change lets f change the record of job id and saves it. When somebody else was
// faster, it begins again with what that made of the record. f reports whether
// there is anything to save.
func (e *entry) change(ctx context.Context, id string, f func(*record) bool) error {
	for {
		changed := e.record
		if !f(&changed) {
			return nil
		}
		if e.book == nil {
			e.record = changed
			return nil
		}
		stored := changed.stored(e.revision, e.keep)
		err := e.book.records.Save(ctx, stored)
		if err == nil {
			e.record, e.revision = changed, stored.Revision
			if e.State.ended() {
				e.book.records.Announce(id)
			}
			return nil
		}
		// After anything but a conflict it may have been saved all the same, so
		// that the next call has to know.
		if lerr := e.load(ctx, id); lerr != nil || !errors.Is(err, broker.ErrConflict) {
			return errors.Join(err, lerr)
		}
	}
}

// keySecret is where the store has the key of ids. It is no id.
const keySecret = "key"

// secret returns the key of ids made of Idempotency-Keys, which all gateways
// share. The first one makes it. Whoever comes while it is not known asks for
// himself, so that nobody waits longer than his ctx.
func (b *jobBook) secret(ctx context.Context) ([]byte, error) {
	if key := b.key.Load(); key != nil {
		return *key, nil
	}
	for {
		stored, err := b.records.Load(ctx, keySecret)
		if err != nil {
			return nil, err
		}
		if stored.Revision > 0 {
			b.key.Store(&stored.Value)
			return stored.Value, nil
		}
		stored.Value = []byte(rand.Text())
		if err := b.records.Save(ctx, &stored); err != nil && !errors.Is(err, broker.ErrConflict) {
			return nil, err
		}
	}
}

// keyedID is the id for a client's Idempotency-Key: the same for the same parts,
// and not to be guessed by who does not have the key of ids.
func keyedID(key []byte, parts ...string) string {
	sum := hmac.New(sha256.New, key)
	for _, part := range parts {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return idEncoding.EncodeToString(sum.Sum(nil)[:16])
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)
