//go:build e2e

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// A delivery is one attempt of a gateway to hand a request or a message to a
// recorder.
type delivery struct {
	id       string // Idempotency-Key
	job      string // X-Job
	class    string // Latency-Class
	attempt  string // Latency-Attempt
	path     string
	header   http.Header
	body     string
	answered bool
}

// A recorder is an app that remembers what came, and answers when it is told to.
type recorder struct {
	url string

	state      watched
	deliveries []*delivery
	holds      func(*delivery) bool // nil holds nothing
	fails      func(*delivery) bool // is answered with 500; nil fails nothing
}

// newRecorder returns an app that answers nothing for which holds is true, asked
// when it comes and whenever [recorder.hold] changes it.
func newRecorder(t *testing.T, holds func(*delivery) bool) *recorder {
	r := &recorder{holds: holds}
	s := httptest.NewServer(r)
	r.url = s.URL
	t.Cleanup(func() {
		r.hold(nil)
		s.Close()
	})
	return r
}

// ServeHTTP implements http.Handler.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	d := &delivery{
		id: req.Header.Get("Idempotency-Key"), job: req.Header.Get("X-Job"), class: req.Header.Get("Latency-Class"),
		attempt: req.Header.Get("Latency-Attempt"), path: req.URL.Path, header: req.Header,
	}
	body, err := io.ReadAll(req.Body)
	d.body = string(body)
	r.state.change(func() { r.deliveries = append(r.deliveries, d) })
	if err != nil || !r.state.await(req.Context(), func() bool { return r.holds == nil || !r.holds(d) }) {
		return // whoever delivered it is gone
	}
	failed := false
	r.state.change(func() { d.answered, failed = true, r.fails != nil && r.fails(d) })
	if failed {
		w.WriteHeader(http.StatusInternalServerError)
	}
	fmt.Fprintln(w, "done")
}

func (r *recorder) hold(holds func(*delivery) bool) {
	r.state.change(func() { r.holds = holds })
}

// answered counts the answered deliveries of a class, "" for all. It is for
// functions that run with the state held.
func (r *recorder) answered(class string) (n int) {
	for _, d := range r.deliveries {
		if d.answered && (class == "" || d.class == class) {
			n++
		}
	}
	return n
}

// done reports whether all confirmed posts were answered. It is for functions
// that run with the state held.
func (r *recorder) done(posts []post) bool {
	answered := make(map[string]bool, len(posts))
	for _, d := range r.deliveries {
		answered[d.id] = answered[d.id] || d.answered
	}
	return !slices.ContainsFunc(posts, func(p post) bool { return p.id != "" && !answered[p.id] })
}

// await waits until holds, which may look at the recorder.
func (r *recorder) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	if !r.state.await(ctx, holds) {
		seen := r.all()
		t.Fatalf("after %v: %s; %d deliveries came, %d of them were answered", 2*patience, what, len(seen), countAnswered(seen))
	}
}

// all returns what has come so far, in order.
func (r *recorder) all() (deliveries []delivery) {
	r.state.change(func() {
		for _, d := range r.deliveries {
			deliveries = append(deliveries, *d)
		}
	})
	return deliveries
}

func countAnswered(deliveries []delivery) (n int) {
	for _, d := range deliveries {
		if d.answered {
			n++
		}
	}
	return n
}

// A post is one job that was given to a gateway.
type post struct {
	job, class string
	id         string // "" when it was not confirmed
}

// publish posts count jobs of a class, by several clients at the same time, and
// returns what became of each. The class is the path's first part, which the
// gateway's rules turn into the class. confirmed, if not nil, is called after
// each 202.
func publish(t *testing.T, gateway, class string, count int, confirmed func()) []post {
	t.Helper()
	const clients = 16
	posts := make([]post, count)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < count; i += clients {
				p := &posts[i]
				p.job, p.class = fmt.Sprintf("%s-%d", class, i), class
				p.id = postJob(client, gateway, p)
				if p.id != "" && confirmed != nil {
					confirmed()
				}
			}
		})
	}
	wg.Wait()
	return posts
}

// postJob returns the id of the 202, "" if the job was not confirmed.
func postJob(client *http.Client, gateway string, p *post) string {
	req, err := http.NewRequest(http.MethodPost, gateway+"/"+p.class+"/job", strings.NewReader("some work"))
	if err != nil {
		return ""
	}
	req.Header.Set("X-Job", p.job)
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var job struct{ ID, Class string }
	if json.NewDecoder(resp.Body).Decode(&job) != nil || resp.StatusCode != http.StatusAccepted {
		return ""
	}
	return job.ID
}

// checkDelivered checks that every confirmed job was answered, under its id and
// in its class, and that nothing came that nobody has posted. It returns how
// often each job came.
func checkDelivered(t *testing.T, posts []post, deliveries []delivery) map[string]int {
	t.Helper()
	byJob := make(map[string]post, len(posts))
	for _, p := range posts {
		byJob[p.job] = p
	}
	times, answered := map[string]int{}, map[string]bool{}
	for _, d := range deliveries {
		times[d.job]++
		answered[d.job] = answered[d.job] || d.answered
		p, known := byJob[d.job]
		switch {
		case !known:
			t.Errorf("job %q came, which nobody has posted", d.job)
		case p.id != "" && d.id != p.id:
			t.Errorf("job %s came under id %s, and was confirmed under %s", d.job, d.id, p.id)
		case d.class != p.class || d.attempt == "":
			t.Errorf("job %s of class %s came as %q, attempt %q", d.job, p.class, d.class, d.attempt)
		}
	}
	var lost []string
	for _, p := range posts {
		if p.id != "" && !answered[p.job] {
			lost = append(lost, p.job)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d confirmed jobs are lost: %s", len(lost), strings.Join(lost, " "))
	}
	return times
}

// repeated returns the jobs that came more than once, sorted.
func repeated(times map[string]int) (jobs []string) {
	for job, n := range times {
		if n > 1 {
			jobs = append(jobs, job)
		}
	}
	slices.Sort(jobs)
	return jobs
}
