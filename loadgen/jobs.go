package loadgen

import (
	"context"
	"sync"
	"time"

	"overtake/loadgen/completion"
)

const pollEvery = 100 * time.Millisecond

// jobs is a [Sender] around another one. A request that posts a job finishes not
// with its 202 but when the app has done the work; all others pass through. It
// is safe for concurrent use.
//
// The 202 and the completion of one job may become known in either order.
type jobs struct {
	next   Sender
	reader *completionsReader

	stop    context.CancelFunc
	polling sync.WaitGroup

	mu   sync.Mutex
	byID map[string]*job
	open int // accepted, not completed
}

type job struct {
	call           *Call
	accepted, done bool
	doneAt         time.Time // valid if done
}

func newJobs(next Sender) *jobs {
	return &jobs{next: next, byID: make(map[string]*job), stop: func() {}}
}

// watch reads completions until Close. A failed poll is repeated: the list keeps
// what was missed.
func (j *jobs) watch(ctx context.Context, reader *completionsReader) {
	ctx, j.stop = context.WithCancel(context.WithoutCancel(ctx))
	j.reader = reader
	j.polling.Go(func() {
		ticker := time.NewTicker(pollEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				_ = reader.poll(ctx, func(c completion.Item) { j.complete(c.ID, time.Unix(0, c.FinishedUnixNano)) })
			}
		}
	})
}

// Send implements [Sender].
func (j *jobs) Send(c *Call) {
	if !c.Class.Job {
		j.next.Send(c)
		return
	}
	j.post(c)
	post := *c
	post.finish = func(_ *Call, o Outcome) { j.answer(c.ID, o) }
	j.next.Send(&post)
}

// Close implements [Sender]. Jobs that are not done are unfinished.
func (j *jobs) Close() error {
	err := j.next.Close()
	j.stop()
	j.polling.Wait()
	if j.reader != nil {
		j.reader.close()
	}
	j.expire()
	return err
}

// post registers a job that is about to be sent.
func (j *jobs) post(c *Call) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byID[c.ID] = &job{call: c}
}

// answer takes the outcome of a post. A refused job is forgotten.
func (j *jobs) answer(id string, o Outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	if o.Kind != OutcomeOK {
		delete(j.byID, id)
		job.call.Finish(o)
		return
	}
	job.accepted = true
	job.call.accept()
	if job.done {
		o.At = job.doneAt
		job.call.Finish(o)
		return
	}
	j.open++
}

// complete takes that the app has done a job. Jobs of others are ignored.
func (j *jobs) complete(id string, at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	switch {
	case job == nil:
		return
	case job.done:
		job.call.repeat()
		return
	}
	job.done, job.doneAt = true, at
	if job.accepted {
		j.open--
		job.call.Finish(Outcome{Kind: OutcomeOK, Queue: -1, At: at})
	}
}

// pending returns how many jobs are accepted but not completed.
func (j *jobs) pending() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open
}

// expire gives up on what is pending.
func (j *jobs) expire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, job := range j.byID {
		if job.accepted && !job.done {
			job.call.Finish(unfinished())
			delete(j.byID, id)
		}
	}
	j.open = 0
}
