package loadgen

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"overtake/loadgen/completion"
)

const (
	pollEvery   = 100 * time.Millisecond
	pollTimeout = 5 * time.Second
)

// jobs follows posted work until the app has done it. The 202 and the
// completion of one job may become known in either order. It is safe for
// concurrent use.
type jobs struct {
	mu   sync.Mutex
	byID map[string]*job
	open int // accepted, not completed
}

type job struct {
	recorder          *recorder
	intended, started time.Duration
	accepted, done    bool
	doneAt            time.Duration // valid if done
}

func newJobs() *jobs { return &jobs{byID: make(map[string]*job)} }

// post registers a job that is about to be sent.
func (j *jobs) post(id string, r *recorder, intended, started time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byID[id] = &job{recorder: r, intended: intended, started: started}
}

// answer records the outcome of a post. A refused job is forgotten.
func (j *jobs) answer(id string, o Outcome, at time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	if o.Kind != OutcomeOK {
		delete(j.byID, id)
		job.recorder.finish(o, job.intended, job.started, at)
		return
	}
	job.accepted = true
	job.recorder.accept(job.intended)
	if job.done {
		job.recorder.finish(o, job.intended, job.started, job.doneAt)
		return
	}
	j.open++
}

// complete records that the app has done a job. Jobs of others are ignored.
func (j *jobs) complete(id string, at time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.byID[id]
	switch {
	case job == nil:
		return
	case job.done:
		job.recorder.repeat(job.intended)
		return
	}
	job.done, job.doneAt = true, at
	if job.accepted {
		j.open--
		job.recorder.finish(Outcome{Kind: OutcomeOK}, job.intended, job.started, at)
	}
}

// pending returns how many jobs are accepted but not completed.
func (j *jobs) pending() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.open
}

// expire gives up on what is pending.
func (j *jobs) expire(at time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for id, job := range j.byID {
		if job.accepted && !job.done {
			job.recorder.finish(Outcome{Kind: OutcomeUnfinished}, job.intended, job.started, at)
			delete(j.byID, id)
		}
	}
	j.open = 0
}

// completionsReader polls the list of finished work.
type completionsReader struct {
	url    *url.URL
	client *http.Client
	next   uint64
	lost   uint64
}

// openCompletions starts reading at the present end of the list.
func openCompletions(ctx context.Context, rawURL string) (*completionsReader, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("loadgen: completions %q: %w", rawURL, err)
	}
	r := &completionsReader{
		url:    u,
		client: &http.Client{Transport: &http.Transport{}, Timeout: pollTimeout},
	}
	const end = 1 << 62 // past any list: the answer says where it ends
	page, err := r.get(ctx, end)
	if err != nil {
		return nil, fmt.Errorf("loadgen: completions: %w; is the sample app running there?", err)
	}
	r.next = page.Next
	return r, nil
}

// poll passes all new completions to each.
func (r *completionsReader) poll(ctx context.Context, each func(completion.Item)) error {
	for {
		page, err := r.get(ctx, r.next)
		if err != nil {
			return err
		}
		r.next = page.Next
		r.lost += page.Lost
		for _, item := range page.Items {
			each(item)
		}
		if len(page.Items) == 0 {
			return nil
		}
	}
}

func (r *completionsReader) get(ctx context.Context, after uint64) (page completion.Page, err error) {
	u := *r.url
	query := u.Query()
	query.Set("after", strconv.FormatUint(after, 10))
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return page, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return page, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return page, fmt.Errorf("GET %s: %s", u.Redacted(), resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return page, fmt.Errorf("GET %s: %w", u.Redacted(), err)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return page, fmt.Errorf("GET %s: %w", u.Redacted(), err)
	}
	return page, nil
}

func (r *completionsReader) close() { r.client.CloseIdleConnections() }
