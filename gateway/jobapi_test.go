package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// jobsRead delivers jobs to the app, one at a time, and keeps what becomes of
// them.
const jobsRead = `
rules: [{class: batch, match: {path: "/jobs/batch/**"}}]
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
queues: {jobs: {deliver: {upstream: app}, attempts: 2, max_answer: 1MiB}}
`

// startJobs runs a gateway on a real broker.
func startJobs(t *testing.T, app string) *testGateway {
	t.Helper()
	queues, _ := openNATS(t)
	return start(t, jobsRead, app, queues)
}

// post makes a job and returns where it is.
func (g *testGateway) post(target string, header ...string) string {
	g.t.Helper()
	f := g.fetch("POST", target, strings.NewReader("work"), header...)
	if f.StatusCode != 202 {
		g.t.Fatalf("POST %s: %d %s", target, f.StatusCode, f.body)
	}
	return f.Header.Get("Location")
}

// status reads the state of a job.
func (g *testGateway) status(location string) (j job) {
	g.t.Helper()
	f := g.get(location)
	if err := json.Unmarshal([]byte(f.body), &j); err != nil || f.StatusCode != 200 {
		g.t.Fatalf("GET %s: %d %s", location, f.StatusCode, f.body)
	}
	return j
}

// becomes waits, as a client does, until the job has ended in the state.
func (g *testGateway) becomes(location string, state jobState) (j job) {
	g.t.Helper()
	eventually(g.t, fmt.Sprintf("%s is %s", location, state), func() bool {
		f := g.get(location, "Prefer: wait=1")
		return json.Unmarshal([]byte(f.body), &j) == nil && j.State == state
	})
	return j
}

func wantProblem(t *testing.T, f fetched, status int, detail string) {
	t.Helper()
	if f.err != nil || f.StatusCode != status || f.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(f.body, detail) {
		t.Errorf("got %v %s, %v; want a problem %d with %q in it", f.Response, f.body, f.err, status, detail)
	}
}

func TestJobThroughItsLife(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-From-App", "yes")
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "1")
		w.Header().Set("Content-Type", "text/x")
		app.ServeHTTP(w, r)
	}))
	first, second := g.post("/jobs/1"), g.post("/jobs/2")
	receive(t, "the first job", app.arrived)
	if j := g.status(first); j.State != jobRunning || j.Attempts != 1 || j.Started.Before(j.Created) || j.Class != "standard" || j.Queue != "jobs" {
		t.Errorf("the first is %+v", j)
	}
	if j := g.status(second); j.State != jobQueued || j.Attempts != 0 || !j.Started.IsZero() || j.Created.IsZero() {
		t.Errorf("the second is %+v", j)
	}
	wantProblem(t, g.get(second+"/response"), 409, `"state":"queued"`)
	if f := g.get(first + "/response"); f.Header.Get("Retry-After") == "" || !strings.Contains(f.body, `"state":"running"`) {
		t.Errorf("the answer of a running job: %v %s", f.Response, f.body)
	}
	app.pass <- struct{}{}
	if j := g.becomes(first, jobDone); j.Finished.Before(j.Started) || j.Answer == nil || *j.Answer != (jobAnswer{Status: 200, Bytes: 2, Kept: true}) {
		t.Errorf("done, it is %+v", j)
	}
	for _, method := range []string{"GET", "HEAD"} {
		f := g.fetch(method, first+"/response", nil)
		if f.Close {
			t.Errorf("%s of the answer closes the client's connection", method)
		}
		if f.StatusCode != 200 || f.Header.Get("X-From-App") != "yes" || f.Header.Get("Content-Type") != "text/x" || f.Header.Get("Content-Length") != "2" {
			t.Errorf("%s of the answer: %v %q", method, f.Response, f.body)
		}
		if (f.body == "ok") != (method == "GET") || f.Header.Get("X-Hop") != "" {
			t.Errorf("%s of the answer: %v %q", method, f.Header, f.body)
		}
	}
	receive(t, "the second job", app.arrived)
	app.pass <- struct{}{}
	g.becomes(second, jobDone)
	if f := g.fetch("HEAD", first, nil); f.StatusCode != 200 || f.Header.Get("Content-Type") != "application/json" || f.body != "" {
		t.Errorf("HEAD of the job: %v %q", f.Response, f.body)
	}
	wantProblem(t, g.fetch("DELETE", first, nil), 409, `"state":"done"`)
}

func TestWhatIsNoJob(t *testing.T) {
	g := startJobs(t, deadAddress(t))
	for _, target := range []string{
		"/_overtake/", "/_overtake/jobs/", "/_overtake/jobs/1", "/_overtake/jobs/key", "/_overtake/jobs/%3E", "/_overtake/else",
		"/_overtake/jobs/AAAAAAAAAAAAAAAAAAAAAAAAAA", "/_overtake/jobs/AAAAAAAAAAAAAAAAAAAAAAAAAA/response",
	} {
		wantRefusal(t, g.get(target), 404, "no_upstream")
	}
	location := g.post("/jobs/1")
	wantRefusal(t, g.get(location+"/else"), 404, "no_upstream")
	f := g.fetch("POST", location, nil)
	wantProblem(t, f, 405, "GET")
	if allow := f.Header.Get("Allow"); allow != "GET, HEAD, DELETE" {
		t.Errorf("Allow: %s", allow)
	}
	if allow := g.fetch("DELETE", location+"/response", nil).Header.Get("Allow"); allow != "GET, HEAD" {
		t.Errorf("Allow: %s", allow)
	}
}

func TestCancelQueuedJob(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, app.ServeHTTP))
	g.post("/jobs/first")
	receive(t, "the first job", app.arrived)
	// The next one of the lane waits in the scheduler, the one after it in the broker.
	next, last := g.post("/jobs/next"), g.post("/jobs/last")
	eventually(t, "the next one waits", func() bool { return g.waiting() == 1 })
	for _, location := range []string{next, last} {
		for range 2 { // the second finds it so
			if f := g.fetch("DELETE", location, nil); f.StatusCode != 200 || !strings.Contains(f.body, `"state":"cancelled"`) {
				t.Fatalf("DELETE: %v %s", f.Response, f.body)
			}
		}
	}
	after := g.post("/jobs/after")
	app.pass <- struct{}{}
	if r := receive(t, "another job", app.arrived); r.URL.Path != "/jobs/after" {
		t.Errorf("%s reached the app", r.URL.Path)
	}
	app.pass <- struct{}{}
	g.becomes(after, jobDone)
	if j := g.status(last); j.State != jobCancelled || j.Finished.IsZero() || j.Attempts != 0 {
		t.Errorf("the cancelled one is %+v", j)
	}
	wantProblem(t, g.get(last+"/response"), 404, `"state":"cancelled"`)
	eventually(t, "no message is left", func() bool { return g.settlements("cancelled") == 2 })
}

// settlements returns how many messages of standard have been settled so.
func (g *testGateway) settlements(result string) int {
	_, page := g.adminGet("/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, `overtake_deliveries_total{class="standard",queue="jobs",result="`+result+`"} `); ok {
			var n int
			fmt.Sscan(value, &n)
			return n
		}
	}
	return 0
}

func TestCancelRunningJob(t *testing.T) {
	arrived, left := make(chan struct{}, 8), make(chan struct{}, 8)
	g := startJobs(t, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // or the server does not notice who leaves
		if strings.HasSuffix(r.URL.Path, "/body") {
			w.Header().Set("Content-Length", "10")
			w.Write([]byte("half "))
			http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
		left <- struct{}{}
	}))
	for _, target := range []string{"/jobs/header", "/jobs/body"} {
		location := g.post(target)
		receive(t, "the job", arrived)
		if f := g.fetch("DELETE", location, nil); f.StatusCode != 202 || !strings.Contains(f.body, `"state":"cancelled"`) {
			t.Fatalf("DELETE: %v %s", f.Response, f.body)
		}
		receive(t, "the app to be left", left)
		if j := g.status(location); j.State != jobCancelled {
			t.Errorf("it is %+v", j)
		}
	}
	eventually(t, "the messages are settled", func() bool { return g.settlements("cancelled") == 2 })
	if len(arrived) > 0 {
		t.Error("a cancelled job came again")
	}
}

func TestWaitForTheAnswer(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, app.ServeHTTP))
	got := make(chan fetched)
	ask := func(method, target string, header ...string) {
		go func() { got <- g.fetch(method, target, strings.NewReader("work"), header...) }()
	}
	ask("POST", "/jobs/1", "Prefer: respond-async, WAIT=60", "Idempotency-Key: k")
	receive(t, "the job", app.arrived)
	app.pass <- struct{}{}
	if f := receive(t, "the answer", got); f.StatusCode != 200 || f.body != "ok" || f.Header.Get("Preference-Applied") != "wait=60" {
		t.Errorf("got %v %q", f.Response, f.body)
	}
	// The same again is there already.
	if f := g.fetch("POST", "/jobs/1", strings.NewReader("work"), "Idempotency-Key: k", "Prefer: wait=99"); f.StatusCode != 200 || f.body != "ok" || f.Header.Get("Preference-Applied") != "wait=60" {
		t.Errorf("got %v %q", f.Response, f.body)
	}
	f := g.fetch("POST", "/jobs/2", strings.NewReader("work"), "Prefer: wait=1")
	if f.StatusCode != 202 || f.Header.Get("Preference-Applied") != "wait=1" || !strings.Contains(f.body, `"state":"running"`) {
		t.Errorf("not done in time: %v %q", f.Response, f.body)
	}
	receive(t, "the job", app.arrived)
	location := f.Header.Get("Location")
	ask("GET", location, "Prefer: wait=60")
	ask("GET", location+"/response", "Prefer: wait=60")
	app.pass <- struct{}{}
	bodies := []string{receive(t, "one", got).body, receive(t, "the other", got).body}
	if !slices.Contains(bodies, "ok") || !strings.Contains(bodies[0]+bodies[1], `"state":"done"`) {
		t.Errorf("got %q", bodies)
	}
	for _, odd := range []string{"wait", "wait=x", "wait=-1", "wait=0", "respond-async"} {
		if f := g.fetch("POST", "/jobs/3", nil, "Prefer: "+odd, "Idempotency-Key: odd"); f.StatusCode != 202 || f.Header.Get("Preference-Applied") != "" {
			t.Errorf("Prefer: %s: %v", odd, f.Response)
		}
	}
	receive(t, "one job of these", app.arrived)
	app.pass <- struct{}{}
}

// A client that leaves while it waits leaves its job alone, and a gateway that
// shuts down does not wait for those who wait.
func TestWaitingEndsBeforeTheJob(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, app.ServeHTTP))
	p := g.dial()
	p.send("POST /jobs/1 HTTP/1.1\r\nHost: a\r\nIdempotency-Key: k\r\nPrefer: wait=60\r\nContent-Length: 4\r\n\r\nwork")
	receive(t, "the job", app.arrived)
	p.Close()
	location := g.post("/jobs/1", "Idempotency-Key: k")
	if j := g.status(location); j.State != jobRunning {
		t.Errorf("without its client the job is %+v", j)
	}
	eventually(t, "nobody waits", func() bool { return len(g.leavers.busy()) == 0 })
	got := make(chan fetched)
	go func() { got <- g.fetch("GET", location, nil, "Prefer: wait=60") }()
	eventually(t, "somebody waits", func() bool { return len(g.leavers.busy()) == 1 })
	down := make(chan error)
	go func() { down <- g.Shutdown(testContext(t)) }()
	if f := receive(t, "the answer", got); f.StatusCode != 200 || !strings.Contains(f.body, `"state":"running"`) {
		t.Errorf("got %v %q", f.Response, f.body)
	}
	app.pass <- struct{}{}
	if err := receive(t, "the shutdown", down); err != nil {
		t.Error(err)
	}
}

// busy returns the connections with a request.
func (w *leavers) busy() (all []*clientConn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		if c.busySince.Load() != 0 {
			all = append(all, c)
		}
	}
	return all
}

func TestIdempotencyKeyIsOneJob(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, app.ServeHTTP))
	first := g.post("/jobs/1", "Idempotency-Key: k")
	receive(t, "the job", app.arrived)
	if again := g.post("/jobs/1", "Idempotency-Key: k"); again != first {
		t.Errorf("the same is at %s, and was at %s", again, first)
	}
	if other := g.post("/jobs/1", "Idempotency-Key: k", "Authorization: Bearer b"); other == first {
		t.Error("another client has the same job")
	}
	for _, differs := range [][3]string{{"POST", "/jobs/1", "other"}, {"POST", "/jobs/2", "work"}, {"PUT", "/jobs/1", "work"}} {
		wantRefusal(t, g.fetch(differs[0], differs[1], strings.NewReader(differs[2]), "Idempotency-Key: k"), 422, "bad_request")
	}
	app.pass <- struct{}{}
	g.becomes(first, jobDone)
	f := g.fetch("POST", "/jobs/1", strings.NewReader("work"), "Idempotency-Key: k")
	if f.StatusCode != 202 || !strings.Contains(f.body, `"state":"done"`) || f.Header.Get("Location") != first {
		t.Errorf("when it is done: %v %s", f.Response, f.body)
	}
	receive(t, "the other client's job", app.arrived)
	app.pass <- struct{}{}
	eventually(t, "two jobs are done", func() bool { return g.settlements("done") == 2 })
	if n := len(app.arrived); n > 0 {
		t.Errorf("%d deliveries too many", n)
	}
}

// Many who send the same at the same time have one job.
func TestIdempotencyKeyAtOnce(t *testing.T) {
	app := newGate()
	g := startJobs(t, serveApp(t, app.ServeHTTP))
	const clients = 16
	got := make(chan string)
	for range clients {
		go func() {
			got <- g.fetch("POST", "/jobs/1", strings.NewReader("work"), "Idempotency-Key: k").Header.Get("Location")
		}()
	}
	first := <-got
	for range clients - 1 {
		if again := <-got; again != first || first == "" {
			t.Errorf("the job is at %q and at %q", first, again)
		}
	}
	receive(t, "the job", app.arrived)
	app.pass <- struct{}{}
	g.becomes(first, jobDone)
	eventually(t, "it is settled", func() bool { return g.settlements("done") == 1 })
	if n := len(app.arrived); n > 0 {
		t.Errorf("%d deliveries too many", n)
	}
}
