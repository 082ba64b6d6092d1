//go:build e2e

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A jobView is what a client sees of a job.
type jobView struct {
	ID, State, Class, Queue, Reason string
	Attempts                        int
	Created, Started, Finished      time.Time
	Answer                          struct {
		Status int
		Bytes  int64
		Kept   bool
		Lost   string
	}
}

// jobsConfig is a gateway whose every request is a job; the app does one at a
// time. The folder of the broker is the same for each gateway with the file.
func jobsConfig(t *testing.T, app string) string {
	return fmt.Sprintf(`
upstreams: {app: {servers: [%q], limit: {max: 1}, timeout: 10m}}
brokers: {local: {type: nats, embedded: true, dir: %q}}
queues: {jobs: {deliver: {upstream: app}, keep_results: 10m, max_answer: 20MiB}}
routes: [{queue: jobs}]
`, app, t.TempDir())
}

// send sends a request with header lines, by a connection of its own.
func send(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// newJob posts a job and returns its path.
func newJob(t *testing.T, gateway, path string, header ...string) string {
	t.Helper()
	resp, body := send(t, "POST", gateway+path, "work", header...)
	location := resp.Header.Get("Location")
	if resp.StatusCode != 202 || !strings.HasPrefix(location, "/_overtake/jobs/") {
		t.Fatalf("POST %s: %d %s, Location %q", path, resp.StatusCode, body, location)
	}
	return location
}

// readJob reads the state of a job, waiting for its end if it has not come.
func readJob(t *testing.T, url string, header ...string) (j jobView) {
	t.Helper()
	resp, body := send(t, "GET", url, "", header...)
	if err := json.Unmarshal([]byte(body), &j); err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %d %s", url, resp.StatusCode, body)
	}
	return j
}

// awaitJob waits until a job is in the state.
func awaitJob(t *testing.T, url, state string) (j jobView) {
	t.Helper()
	eventually(t, url+" is not "+state, func() bool {
		j = readJob(t, url, "Prefer: wait=2")
		return j.State == state
	})
	return j
}

func TestE2EJobLife(t *testing.T) {
	app := newRecorder(t, func(*delivery) bool { return true })
	g := startGateway(t, jobsConfig(t, app.url))
	first, second := newJob(t, g.url, "/first"), newJob(t, g.url, "/second")
	app.await(t, "the first job comes", func() bool { return len(app.deliveries) == 1 })

	if j := readJob(t, g.url+first); j.State != "running" || j.Attempts != 1 || j.Started.IsZero() || j.Queue != "jobs" {
		t.Errorf("the first is %+v", j)
	}
	if j := readJob(t, g.url+second); j.State != "queued" || j.Attempts != 0 || j.Created.IsZero() {
		t.Errorf("the second is %+v", j)
	}
	resp, body := send(t, "GET", g.url+second+"/response", "")
	if resp.StatusCode != 409 || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, `"state":"queued"`) {
		t.Errorf("the answer of a queued job: %d %s", resp.StatusCode, body)
	}
	app.hold(func(d *delivery) bool { return d.path == "/second" })
	if j := awaitJob(t, g.url+first, "done"); j.Answer.Status != 200 || !j.Answer.Kept || j.Finished.Before(j.Started) {
		t.Errorf("done, the first is %+v", j)
	}
	for range 2 {
		resp, body = send(t, "GET", g.url+first+"/response", "")
		if resp.StatusCode != 200 || body != "done\n" || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Errorf("the answer: %d %q %v", resp.StatusCode, body, resp.Header)
		}
	}
	if resp, _ = send(t, "DELETE", g.url+first, ""); resp.StatusCode != 409 {
		t.Errorf("DELETE of a job that is done: %d", resp.StatusCode)
	}
	if resp, _ = send(t, "PUT", g.url+first, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD, DELETE" {
		t.Errorf("PUT of a job: %d", resp.StatusCode)
	}
	if resp, _ = get(t, g.url+"/_overtake/jobs/ABCDEFGHIJKLMNOPQRSTUVWXYZ"); resp.StatusCode != 404 {
		t.Errorf("a job that is none: %d", resp.StatusCode)
	}
	app.hold(nil)
	awaitJob(t, g.url+second, "done")
}

func TestE2EJobCancelled(t *testing.T) {
	app := newRecorder(t, func(d *delivery) bool { return d.path == "/running" })
	g := startGateway(t, jobsConfig(t, app.url))
	running := newJob(t, g.url, "/running")
	app.await(t, "a job runs", func() bool { return len(app.deliveries) == 1 })
	var queued []string
	for i := range 5 {
		queued = append(queued, newJob(t, g.url, "/queued-"+strconv.Itoa(i)))
	}
	last := newJob(t, g.url, "/last")
	for _, job := range queued {
		if resp, body := send(t, "DELETE", g.url+job, ""); resp.StatusCode != 200 || !strings.Contains(body, `"state":"cancelled"`) {
			t.Errorf("DELETE of a queued job: %d %s", resp.StatusCode, body)
		}
	}
	// The app still holds the first. Its request must break off for the last to come.
	if resp, body := send(t, "DELETE", g.url+running, ""); resp.StatusCode != 202 || !strings.Contains(body, `"state":"cancelled"`) {
		t.Errorf("DELETE of a running job: %d %s", resp.StatusCode, body)
	}
	awaitJob(t, g.url+last, "done")
	eventually(t, "all messages are settled", func() bool {
		return g.metric(t, `overtake_deliveries_total{class="standard",queue="jobs",result="cancelled"}`) == 6
	})
	for _, d := range app.all() {
		if d.path != "/running" && d.path != "/last" || d.path == "/running" && d.answered {
			t.Errorf("%s reached the app; answered: %v", d.path, d.answered)
		}
	}
	for _, job := range append(queued, running) {
		if j := readJob(t, g.url+job); j.State != "cancelled" {
			t.Errorf("it is %+v", j)
		}
	}
}

func TestE2EJobWaitAndKey(t *testing.T) {
	app := newRecorder(t, nil)
	file := writeConfig(t, jobsConfig(t, app.url))
	g := runGateway(t, file)
	resp, body := send(t, "POST", g.url+"/job", "work", "Prefer: wait=30", "Idempotency-Key: k")
	if resp.StatusCode != 200 || body != "done\n" || resp.Header.Get("Preference-Applied") != "wait=30" {
		t.Errorf("Prefer: wait=30: %d %q %v", resp.StatusCode, body, resp.Header)
	}
	first := newJob(t, g.url, "/job", "Idempotency-Key: k")
	app.hold(func(*delivery) bool { return true })
	resp, body = send(t, "POST", g.url+"/held", "work", "Prefer: wait=1", "Idempotency-Key: held")
	if resp.StatusCode != 202 || !strings.Contains(body, `"state":"running"`) {
		t.Errorf("Prefer: wait=1, and the app needs longer: %d %s", resp.StatusCode, body)
	}
	held := resp.Header.Get("Location")

	g.kill(t)
	g = runGateway(t, file)
	for _, again := range []struct{ path, key, location string }{{"/job", "k", first}, {"/held", "held", held}} {
		if location := newJob(t, g.url, again.path, "Idempotency-Key: "+again.key); location != again.location {
			t.Errorf("after a restart, %s with key %s is %s, and was %s", again.path, again.key, location, again.location)
		}
	}
	if other := newJob(t, g.url, "/job", "Idempotency-Key: k", "Authorization: Bearer other"); other == first {
		t.Error("another client has the same job")
	}
	for _, differs := range [][2]string{{"/job", "other work"}, {"/other", "work"}} {
		if resp, body = send(t, "POST", g.url+differs[0], differs[1], "Idempotency-Key: k"); resp.StatusCode != 422 {
			t.Errorf("another request under the same key: %d %s", resp.StatusCode, body)
		}
	}
	app.hold(nil)
	awaitJob(t, g.url+held, "done")
	eventually(t, "the other client's job is done, too", func() bool { return len(app.all()) >= 4 })
	for _, d := range app.all() {
		if d.path == "/job" && strings.HasSuffix(first, d.id) && d.attempt != "1" {
			t.Errorf("the job that was done came again, attempt %s", d.attempt)
		}
	}
}

// What a job's state says is true after a kill in the middle of its delivery, and
// the job comes to its end.
func TestE2EJobSurvivesKill(t *testing.T) {
	app := newRecorder(t, func(d *delivery) bool { return d.path == "/held" })
	file := writeConfig(t, jobsConfig(t, app.url))
	g := runGateway(t, file)
	before := newJob(t, g.url, "/before")
	awaitJob(t, g.url+before, "done")
	held, after := newJob(t, g.url, "/held"), newJob(t, g.url, "/after")
	cancelled := newJob(t, g.url, "/cancelled")
	app.await(t, "the job is held", func() bool { return len(app.deliveries) == 2 })
	if resp, _ := send(t, "DELETE", g.url+cancelled, ""); resp.StatusCode != 200 {
		t.Errorf("DELETE: %d", resp.StatusCode)
	}
	g.kill(t)
	g = runGateway(t, file)
	if j := readJob(t, g.url+before); j.State != "done" {
		t.Errorf("what was done is %+v", j)
	}
	if j := readJob(t, g.url+held); j.State != "running" && j.State != "queued" || j.Attempts < 1 {
		t.Errorf("what was held is %+v", j)
	}
	if j := readJob(t, g.url+cancelled); j.State != "cancelled" {
		t.Errorf("what was cancelled is %+v", j)
	}
	if _, body := get(t, g.url+before+"/response"); body != "done\n" {
		t.Errorf("the answer from before the kill: %q", body)
	}
	app.hold(nil)
	awaitJob(t, g.url+held, "done")
	awaitJob(t, g.url+after, "done")
	for _, d := range app.all() {
		if d.path == "/cancelled" || d.path == "/before" && d.attempt != "1" {
			t.Errorf("%s reached the app, attempt %s", d.path, d.attempt)
		}
	}
}

func TestE2EJobAnswers(t *testing.T) {
	part := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusCreated)
		for range n {
			w.Write(part)
		}
	}))
	t.Cleanup(app.Close)
	g := startGateway(t, jobsConfig(t, app.URL))
	for _, size := range []int{0, 1, 20} {
		job := newJob(t, g.url, "/"+strconv.Itoa(size))
		if j := awaitJob(t, g.url+job, "done"); j.Answer.Bytes != int64(size)<<20 || j.Answer.Status != 201 || !j.Answer.Kept {
			t.Errorf("an answer of %d MiB: %+v", size, j)
		}
		resp, body := get(t, g.url+job+"/response")
		if resp.StatusCode != 201 || resp.Header.Get("Etag") != `"x"` || body != strings.Repeat(string(part), size) {
			t.Errorf("an answer of %d MiB is replayed with %d and %d bytes", size, resp.StatusCode, len(body))
		}
	}
	job := newJob(t, g.url, "/100")
	if j := awaitJob(t, g.url+job, "done"); j.Answer.Kept || j.Answer.Bytes != 100<<20 || !strings.Contains(j.Answer.Lost, "larger than") {
		t.Errorf("an answer that is too large: %+v", j)
	}
	if resp, body := get(t, g.url+job+"/response"); resp.StatusCode != 404 || !strings.Contains(body, "larger than") {
		t.Errorf("an answer that is too large: %d %s", resp.StatusCode, body)
	}
}
