package loadgen

import (
	"container/heap"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"overtake/loadgen/content"
)

const (
	// firstLook and longestPause bound how long after the 202, and after the last
	// look, a job is looked at. In between it is a quarter of its age.
	firstLook    = 20 * time.Millisecond
	longestPause = time.Second
	// Looks may not be a load of their own: there are lookers at a time, and at most
	// looksPerJob for each job and looksPerSecond beside that. When that is not
	// enough, jobs are looked at later, when more of them are done.
	lookers        = 8
	looksPerJob    = 2
	looksPerSecond = 100
	savedLooks     = 1000
	// largestJob bounds what is read of a job's description.
	largestJob = 1 << 20
)

// locations follow posted jobs by looking at the resources in the Location of their
// 202 (RFC 9110, section 15.3.3): JSON objects with a "state", which ends as done,
// failed or cancelled.
//
// How late a look comes does not matter if the resource has the time in "finished", and
// that is after the last look that showed the job not ended and before the one that
// showed it ended. Without such a time, or with one of a clock that is elsewhere, the
// end is taken to be in the middle between the two looks, which is wrong by half of
// that time at most. Before the first look, that is when the job was posted.
type locations struct {
	base   *url.URL
	client *http.Client
	ended  func(id string, o Outcome) // is called once for each job

	wake chan struct{} // has one when the next look may be sooner
	work chan *watchedJob

	mu      sync.Mutex
	due     dueJobs
	looks   float64       // that may be made now
	counted time.Time     // when looks were counted
	typical time.Duration // how long jobs take
}

// watchedJob is a job that is not known to have ended.
type watchedJob struct {
	id      string
	url     string
	fields  []content.Field // credentials
	posted  time.Time
	unended time.Time // it had not ended then
	next    time.Time // when it is to be looked at
}

// openLocations prepares following the jobs of one target.
func openLocations(target string, tlsConfig *tls.Config, ended func(id string, o Outcome)) (*locations, error) {
	base, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("loadgen: target %q: %w", target, err)
	}
	return &locations{
		base: base,
		client: &http.Client{
			Timeout:   pollTimeout,
			Transport: &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConnsPerHost: lookers},
			// What a job's resource leads to when it is done is not asked for.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		ended: ended,
		wake:  make(chan struct{}, 1),
		work:  make(chan *watchedJob),
		looks: looksPerSecond, counted: time.Now(),
		typical: firstLook,
	}, nil
}

// follow takes a job that was accepted, with the fields of its request. It is false if
// the location is none of the target's: nobody else is sent requests, or credentials.
func (l *locations) follow(id, location string, fields []content.Field, posted time.Time) bool {
	u, err := l.base.Parse(location)
	if err != nil || location == "" || !sameOrigin(u, l.base) {
		return false
	}
	l.mu.Lock()
	l.looks += looksPerJob
	heap.Push(&l.due, &watchedJob{id: id, url: u.String(), fields: credentialsIn(fields), posted: posted, unended: posted, next: posted.Add(l.typical)})
	l.mu.Unlock()
	l.hurry()
	return true
}

// sameOrigin reports whether two URLs are of one server (RFC 9110, section 4.3.1).
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// credentials are the fields that say who asks, in lower case. Who may post a job
// may look at it.
var credentials = []string{"authorization", "cookie", "x-api-key", "api-key", "x-auth-token"}

// credentialsIn returns those of the fields that are credentials.
func credentialsIn(fields []content.Field) (found []content.Field) {
	for _, f := range fields {
		if slices.Contains(credentials, strings.ToLower(f.Name)) {
			found = append(found, f)
		}
	}
	return found
}

func (l *locations) hurry() {
	select {
	case l.wake <- struct{}{}:
	default: // it is known already
	}
}

// run looks at jobs until ctx ends.
func (l *locations) run(ctx context.Context) {
	defer l.client.CloseIdleConnections()
	var running sync.WaitGroup
	defer running.Wait()
	defer close(l.work)
	for range lookers {
		running.Go(func() {
			for j := range l.work {
				l.look(ctx, j)
			}
		})
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		job, pause := l.take(time.Now())
		if job != nil {
			select {
			case l.work <- job:
			case <-ctx.Done():
				return
			}
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-ctx.Done():
			return
		}
	}
}

// take returns the job that is to be looked at now, or how long there is none.
func (l *locations) take(now time.Time) (*watchedJob, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks = min(l.looks+now.Sub(l.counted).Seconds()*looksPerSecond, savedLooks)
	l.counted = now
	switch {
	case len(l.due) == 0:
		return nil, longestPause
	case l.due[0].next.After(now):
		return nil, l.due[0].next.Sub(now)
	case l.looks < 1:
		return nil, time.Second / looksPerSecond
	}
	l.looks--
	return heap.Pop(&l.due).(*watchedJob), 0
}

// look finds out whether a job has ended. What can't be found out is tried again.
func (l *locations) look(ctx context.Context, j *watchedJob) {
	began := time.Now()
	status, body, err := l.get(ctx, j)
	now := time.Now()
	switch {
	case ctx.Err() != nil:
		return // the job is unfinished
	case err != nil || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		l.later(j, now)
		return
	}
	view, ok := parseJob(body)
	if !ok || status/100 != 2 {
		l.ended(j.id, failed(FailUnknown))
		return
	}
	end, told := view.end(j.unended, now)
	switch view.State {
	case "done":
		if told { // else only many looks tell
			l.learn(end.Sub(j.posted))
		}
		l.ended(j.id, Outcome{Kind: OutcomeOK, Queue: -1, At: end})
	case "failed", "cancelled":
		o := failed(FailJob)
		o.At = end
		l.ended(j.id, o)
	default:
		j.unended = began
		l.later(j, now)
	}
}

func (l *locations) get(ctx context.Context, j *watchedJob) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, j.url, nil)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", "overtake-loadgen")
	for _, f := range j.fields {
		req.Header.Add(f.Name, f.Value)
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, largestJob))
	return resp.StatusCode, body, err
}

// later has a job looked at again.
func (l *locations) later(j *watchedJob, now time.Time) {
	j.next = now.Add(min(max(now.Sub(j.posted)/4, firstLook), longestPause))
	l.mu.Lock()
	heap.Push(&l.due, j)
	l.mu.Unlock()
	l.hurry()
}

// learn adjusts when jobs are looked at first: when most of them have ended.
func (l *locations) learn(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.typical = min(max((7*l.typical+took)/8, firstLook), longestPause)
}

// jobView is what the resource of a job says.
type jobView struct {
	State    string
	Finished time.Time
}

// parseJob reads the description of a job. It is false if there is no state in it. A
// time that is none is as good as missing.
func parseJob(body []byte) (view jobView, ok bool) {
	var raw struct {
		State    string `json:"state"`
		Finished any    `json:"finished"`
	}
	if json.Unmarshal(body, &raw) != nil || raw.State == "" {
		return jobView{}, false
	}
	view.State = raw.State
	if text, ok := raw.Finished.(string); ok {
		view.Finished, _ = time.Parse(time.RFC3339Nano, text)
	}
	return view, true
}

// end returns when the job ended, which was between from and to, and whether the job
// itself tells.
func (v jobView) end(from, to time.Time) (_ time.Time, told bool) {
	if v.Finished.Before(from) || v.Finished.After(to) {
		return from.Add(to.Sub(from) / 2), false
	}
	return v.Finished, true
}

// dueJobs is a heap: the job that is to be looked at next is the first.
type dueJobs []*watchedJob

func (d dueJobs) Len() int           { return len(d) }
func (d dueJobs) Less(i, j int) bool { return d[i].next.Before(d[j].next) }
func (d dueJobs) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *dueJobs) Push(x any)        { *d = append(*d, x.(*watchedJob)) }
func (d *dueJobs) Pop() any {
	last := len(*d) - 1
	x := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return x
}
