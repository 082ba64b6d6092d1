package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"overtake/broker"
)

// JobShelf is a store of records that can be gone through.
type JobShelf interface {
	JobRecords
	// Each calls f with the records that are there when it is called, in any order,
	// until f fails.
	Each(ctx context.Context, f func(broker.Record) error) error
}

// reasonPurged is the reason of a job whose message was removed from its lane.
const reasonPurged = "purged"

// cancelAtOnce is how many records are changed at the same time.
const cancelAtOnce = 32

// CancelQueued cancels the jobs of a queue that wait, of all classes if none is
// named: it is for when their messages have been removed. Jobs that are queued after
// it was called are left alone. It returns how many it has cancelled, by class. The
// records live for keep from then on. It calls seen, if that is not nil, after each
// record that it has looked at.
func CancelQueued(ctx context.Context, shelf JobShelf, queue string, classes []string, keep time.Duration, seen func()) (map[string]int, error) {
	wanted := make(map[string]bool)
	for _, class := range classes {
		wanted[class] = true
	}
	c := canceller{cancelled: make(map[string]int)}
	book := &jobBook{records: shelf}
	entries := make(chan *entry)
	var workers sync.WaitGroup
	for range cancelAtOnce {
		workers.Go(func() {
			for e := range entries {
				c.cancel(ctx, e)
			}
		})
	}
	err := shelf.Each(ctx, func(stored broker.Record) error {
		if seen != nil {
			seen()
		}
		e := &entry{book: book, keep: keep, revision: stored.Revision}
		if !isJobID(stored.ID) || json.Unmarshal(stored.Value, &e.record) != nil {
			return nil //nolint:nilerr // a record that is not a job's is passed over
		}
		if e.State == jobQueued && e.Queue == queue && (len(wanted) == 0 || wanted[e.Class]) {
			entries <- e
		}
		return c.failed()
	})
	close(entries)
	workers.Wait()
	if err = errors.Join(err, c.failed()); err != nil {
		return c.cancelled, fmt.Errorf("gateway: cancel the jobs of queue %q: %w", queue, err)
	}
	return c.cancelled, nil
}

// canceller cancels jobs, for several goroutines.
type canceller struct {
	mu        sync.Mutex
	cancelled map[string]int // by class
	err       error          // the first
}

// cancel cancels a job that still waits as it did when its record was read.
func (c *canceller) cancel(ctx context.Context, e *entry) {
	read := e.revision
	err := e.change(ctx, e.ID, func(r *record) bool { return e.revision == read && r.purge(now()) })
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil && c.err == nil:
		c.err = err
	case err == nil && e.State == jobCancelled && e.Reason == reasonPurged:
		c.cancelled[e.Class]++
	}
}

func (c *canceller) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
