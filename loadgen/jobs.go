package loadgen

import (
	"context"
	"sync"
	"time"

	"overtake/loadgen/completion"
	"overtake/loadgen/latest"
)

const (
	pollEvery = 100 * time.Millisecond
	// clockSlack is how far ahead the clock of the app may be.
	clockSlack = 10 * time.Millisecond
	// rememberedJobs is how many of the jobs done last are known to be done, so that
	// what the app does once more is noticed: what repeats does so within moments.
	rememberedJobs = 1 << 14
)

// jobs is a [Sender] around another one. A request that posts a job finishes not
// with its 202 but when the app has done the work; all others pass through. It
// is safe for concurrent use.
//
// When work is done is told by the app's list of completions, or else by the
// resource in Location. With the list, the 202 and the completion of one job may
// become known in either order, and the completion again.
type jobs struct {
	next Sender
	// One of the two.
	reader    *completionsReader
	locations map[string]*locations // by the name of the class; immutable

	stop    context.CancelFunc
	polling sync.WaitGroup

	mu       sync.Mutex
	byID     map[string]*job // sent, and not both answered and done
	finished *latest.Map[Call]
	awaiting int // accepted, not completed
	mistimed uint64
}

type job struct {
	call           *Call
	posted         time.Time
	accepted, done bool
	doneAt         time.Time // valid if done
	answer         Outcome   // the 202, valid if accepted
}

// ended is how the job ended, with what only its 202 tells.
func (j *job) ended(o Outcome) Outcome {
	o.Bytes, o.Queue = j.answer.Bytes, j.answer.Queue
	return o
}

func newJobs(next Sender) *jobs {
	return &jobs{next: next, byID: make(map[string]*job), finished: latest.New[Call](rememberedJobs), stop: func() {}}
}

// open begins to watch for the ends of the jobs of these classes on target.
func (j *jobs) open(ctx context.Context, target string, classes []string, opts Options) error {
	if opts.Completions != "" {
		reader, err := openCompletions(ctx, opts.Completions, opts.TLS)
		if err == nil {
			j.watch(ctx, reader)
		}
		return err
	}
	j.locations = make(map[string]*locations, len(classes))
	for _, name := range classes {
		l, err := openLocations(target, opts.TLS, j.end)
		if err != nil {
			return err
		}
		j.locations[name] = l
	}
	ctx, j.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, l := range j.locations {
		j.polling.Go(func() { l.run(ctx) })
	}
	return nil
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
	j.byID[c.ID] = &job{call: c, posted: time.Now()}
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
	job.accepted, job.answer = true, o
	job.call.accept()
	if l := j.locations[job.call.Class.Name]; l != nil && !l.follow(job.call, o.Location, job.posted) {
		delete(j.byID, id)
		job.call.Finish(job.ended(failed(FailLocation)))
		return
	}
	if job.done {
		j.succeedLocked(id, job)
		return
	}
	j.awaiting++
}

// complete takes that the app has done a job. Jobs of others are ignored. A time that
// can't be, by a clock that is elsewhere, is counted and taken to be now.
func (j *jobs) complete(id string, at time.Time) {
	now := time.Now()
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	switch {
	case job == nil:
		if before, repeated := j.finished.Get(id); repeated {
			before.Repeat()
		}
		return
	case job.done:
		job.call.Repeat()
		return
	}
	if at.Before(job.posted) || at.After(now.Add(clockSlack)) {
		j.mistimed++
		at = now
	}
	job.done, job.doneAt = true, at
	if job.accepted {
		j.awaiting--
		j.succeedLocked(id, job)
	}
}

// succeedLocked finishes a job that is accepted and done. The caller holds mu.
func (j *jobs) succeedLocked(id string, job *job) {
	delete(j.byID, id)
	call := *job.call
	call.Request = nil // may be large
	j.finished.Put(id, call)
	job.call.Finish(job.ended(Outcome{Kind: OutcomeOK, At: job.doneAt}))
}

// end takes how a job ended, as its resource tells.
func (j *jobs) end(id string, o Outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if job := j.byID[id]; job != nil {
		delete(j.byID, id)
		j.awaiting--
		job.call.Finish(job.ended(o))
	}
}

// pending returns how many jobs are accepted but not completed.
func (j *jobs) pending() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.awaiting
}

// mistimedCompletions returns how many jobs were done at a time that can't be.
func (j *jobs) mistimedCompletions() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.mistimed
}

// expire gives up on what is pending.
func (j *jobs) expire() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, job := range j.byID {
		if job.accepted {
			job.call.Finish(job.ended(unfinished()))
			delete(j.byID, id)
		}
	}
	j.awaiting = 0
}
