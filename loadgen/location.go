package loadgen

import (
	"container/heap"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
	// Looks may not be a load of their own: there are at most looksPerJob for each job,
	// and looksPerSecond beside that. When that is not enough, jobs are looked at later,
	// when more of them are done.
	looksPerJob    = 2
	looksPerSecond = 100
	savedLooks     = 1000
	// lookers are how many jobs of a class are looked at at the same time: of those
	// that answered last time, or were not asked yet, and as many of those that did not.
	// So what hangs can hold up the others only where 256 jobs a second begin to do so.
	lookers = 256
	// shortestLook and longestLook are how long a look may take: each time that it was
	// too short for a job, that job has twice as long.
	shortestLook = time.Second
	longestLook  = 5 * time.Second
	// overdueLook is how late a look is, when the run ends, that should have told of the
	// end of a job.
	overdueLook = time.Second
)

// locations follow the posted jobs of one class by looking at the resources in the
// Location of their 202 (RFC 9110, section 15.3.3): JSON objects with a "state", which
// ends as done, failed or cancelled.
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

	mu      sync.Mutex
	fresh   watchLine     // jobs that answered last time, or were not asked yet
	stuck   watchLine     // those that did not answer in time
	slow    bool          // one of those answered when it had longer
	looks   float64       // that may be made now
	counted time.Time     // when looks were counted
	typical time.Duration // how long jobs take
}

// watchLine are jobs that are to be looked at.
type watchLine struct {
	due  dueJobs
	busy int // are looked at now
}

// watchedJob is a job that is not known to have ended.
type watchedJob struct {
	call     *Call
	url      string
	fields   []content.Field // credentials
	posted   time.Time
	unended  time.Time     // it had not ended then
	next     time.Time     // when it is to be looked at
	patience time.Duration // how long a look may take
	line     *watchLine    // that it is in
}

// openLocations prepares following the jobs of one class at a target.
func openLocations(target string, tlsConfig *tls.Config, ended func(id string, o Outcome)) (*locations, error) {
	base, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("loadgen: target %q: %w", target, err)
	}
	return &locations{
		base: base,
		client: &http.Client{
			Transport: &http.Transport{TLSClientConfig: tlsConfig, MaxIdleConnsPerHost: lookers, IdleConnTimeout: idleTimeout},
			// What a job's resource leads to when it is done is not asked for.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		ended: ended,
		wake:  make(chan struct{}, 1),
		looks: looksPerSecond, counted: time.Now(),
		typical: firstLook,
	}, nil
}

// follow takes a job whose 202 has just come. It is false if the location is none of the
// target's: nobody else is sent requests, or credentials.
func (l *locations) follow(call *Call, location string, posted time.Time) bool {
	u, err := l.base.Parse(location)
	if err != nil || location == "" || !sameOrigin(u, l.base) {
		return false
	}
	j := &watchedJob{
		call: call, url: u.String(), fields: credentialsIn(call.Request.Fields),
		posted: posted, unended: posted, patience: shortestLook, line: &l.fresh,
	}
	now := time.Now()
	l.mu.Lock()
	l.looks += looksPerJob
	j.next = later(now, posted.Add(l.typical))
	heap.Push(&j.line.due, j)
	l.mu.Unlock()
	l.hurry()
	return true
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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
	defer l.reportOverdue()
	var looking sync.WaitGroup
	defer looking.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		job, pause := l.take(time.Now())
		if job != nil {
			looking.Go(func() { l.look(ctx, job) })
			continue
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-l.wake:
		case <-ctx.Done():
		}
	}
}

// take returns the job that is to be looked at now, the one that is due longest, or
// how long there is none.
func (l *locations) take(now time.Time) (*watchedJob, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looks = min(l.looks+now.Sub(l.counted).Seconds()*looksPerSecond, savedLooks)
	l.counted = now
	var first *watchLine
	for _, line := range []*watchLine{&l.fresh, &l.stuck} {
		if len(line.due) > 0 && line.busy < lookers && (first == nil || line.due[0].next.Before(first.due[0].next)) {
			first = line
		}
	}
	switch {
	case first == nil:
		return nil, longestPause
	case first.due[0].next.After(now):
		return nil, first.due[0].next.Sub(now)
	case l.looks < 1:
		return nil, time.Second / looksPerSecond
	}
	l.looks--
	first.busy++
	return heap.Pop(&first.due).(*watchedJob), 0
}

// reportOverdue counts the jobs that may have ended without a look that would have told.
// What did not answer in time is counted only if some of that is slow rather than hangs.
func (l *locations) reportOverdue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := l.fresh.due
	if l.slow {
		left = append(left, l.stuck.due...)
	}
	limit := time.Now().Add(-overdueLook)
	for _, j := range left {
		if j.next.Before(limit) {
			j.call.overlook()
		}
	}
}

// look finds out whether a job has ended. What can't be found out is tried again.
func (l *locations) look(ctx context.Context, j *watchedJob) {
	began := time.Now()
	j.call.look(began.Sub(j.next))
	status, body, err := l.get(ctx, j)
	now := time.Now()
	if err == nil && j.line == &l.stuck {
		l.mu.Lock()
		l.slow = true
		l.mu.Unlock()
	}
	line := &l.fresh
	switch {
	case ctx.Err() != nil:
		return // the job is unfinished
	case errors.Is(err, context.DeadlineExceeded):
		j.patience = min(2*j.patience, longestLook)
		line = &l.stuck
		fallthrough
	case err != nil || status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		l.again(j, line, now)
		return
	}
	view, ok := parseJob(body)
	if !ok || status/100 != 2 {
		l.end(j, failed(FailUnknown))
		return
	}
	end, within := view.end(j.unended, now)
	switch view.State {
	case "done":
		if within == 0 { // else only many looks tell
			l.learn(end.Sub(j.posted))
		}
		j.call.known(within)
		l.end(j, Outcome{Kind: OutcomeOK, Queue: -1, At: end})
	case "failed", "cancelled":
		o := failed(FailJob)
		o.At = end
		l.end(j, o)
	default:
		j.unended = began
		l.again(j, &l.fresh, now)
	}
}

// again has a job looked at once more, in this line.
func (l *locations) again(j *watchedJob, line *watchLine, now time.Time) {
	j.next = now.Add(min(max(now.Sub(j.posted)/4, firstLook), longestPause))
	l.mu.Lock()
	j.line.busy--
	j.line = line
	heap.Push(&line.due, j)
	l.mu.Unlock()
	l.hurry()
}

// end is the last of a job.
func (l *locations) end(j *watchedJob, o Outcome) {
	l.mu.Lock()
	j.line.busy--
	l.mu.Unlock()
	l.hurry()
	l.ended(j.call.ID, o)
}

// learn adjusts when jobs are looked at first: when most of them have ended.
func (l *locations) learn(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.typical = min(max((7*l.typical+took)/8, firstLook), longestPause)
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
