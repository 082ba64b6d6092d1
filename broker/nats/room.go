package nats

import (
	"context"
	"sync"
	"time"
)

const (
	// newUpTo is the share of the records' room up to which new ones are taken.
	// The rest is for changes of old ones, which make them longer.
	newUpTo = 0.8
	// scarceFrom is the share from which on ended records are kept for less, and
	// scarceTo that from which on they are kept for the least time. What is
	// between that and newUpTo is for as many as come in the seconds that a record
	// takes to expire, and that to be noticed.
	scarceFrom = 0.4
	scarceTo   = 0.7
	// lookAgain is how often the server is asked how much is used.
	lookAgain = time.Second
	// recordOverhead is about what a record takes on disk beside its ID and its
	// value.
	recordOverhead = 160
)

// room is how much of the disk the records take: what the server said at the
// last look, and what this process has added since.
type room struct {
	mu     sync.Mutex
	bytes  int64
	looked time.Time
}

func (r *room) add(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += int64(bytes)
}

// mayLook reports whether it is time to ask the server; of several callers, one
// is told so.
func (r *room) mayLook() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.looked) < lookAgain {
		return false
	}
	r.looked = time.Now()
	return true
}

// used returns which share of the records' room is used, 0 to 1.
func (j *Jobs) used(ctx context.Context) float64 {
	if j.room.mayLook() {
		// If there is no answer, there will be none for the record either.
		_ = j.conn.request(ctx, func(ctx context.Context) error {
			info, err := j.records.Info(ctx)
			if err == nil {
				j.room.mu.Lock()
				j.room.bytes = int64(info.State.Bytes)
				j.room.mu.Unlock()
			}
			return err
		})
	}
	j.room.mu.Lock()
	defer j.room.mu.Unlock()
	return min(float64(j.room.bytes)/float64(j.cfg.RecordBytes), 1)
}

// spareKeep is how long an ended record is kept when so much is used: all of
// keep up to scarceFrom, and nothing from scarceTo on. In between it falls by the
// fourth power, which finds the time for which there is room, whatever the rate:
// at 55 % used it is a sixteenth, at 65 % a thousandth.
func spareKeep(keep time.Duration, used float64) time.Duration {
	free := max(min((scarceTo-used)/(scarceTo-scarceFrom), 1), 0)
	return time.Duration(float64(keep) * free * free * free * free)
}
