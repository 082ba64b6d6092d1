package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"overtake/broker"
)

// jobsOnly takes jobs and keeps them.
const jobsOnly = `
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
queues: {jobs: {max_body: 1KiB}}
`

// jobsTo delivers jobs to the app.
const jobsTo = `
rules: [{class: interactive, match: {path: "/jobs/interactive/**"}}, {class: batch, match: {path: "/jobs/batch/**"}}]
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
queues: {jobs: {deliver: {upstream: app}, attempts: 2}}
`

func TestJobIsAcceptedOnlyAfterTheBrokerConfirmed(t *testing.T) {
	q := newFakeQueue()
	asked, confirm := make(chan struct{}), make(chan struct{})
	q.publish = func(context.Context) error { close(asked); <-confirm; return nil }
	g := start(t, jobsOnly, deadAddress(t), q.open())
	p := g.dial()
	p.send("POST /jobs/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
	receive(t, "the message to be published", asked)
	if err := p.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.br.Peek(1); !isTimeout(err) {
		t.Errorf("there is an answer before the broker confirmed: %v", err)
	}
	p.br.Reset(p.Conn)
	p.SetReadDeadline(time.Now().Add(patience))
	close(confirm)
	resp, body := p.response("POST")
	m := q.lane("standard")
	if len(m) != 1 || string(m[0].Body) != "hi" {
		t.Fatalf("%d messages in the lane", len(m))
	}
	if resp.StatusCode != 202 || resp.Header.Get("Location") != "/_overtake/jobs/"+m[0].ID ||
		!strings.HasPrefix(body, fmt.Sprintf(`{"id":%q,"state":"queued","class":"standard","queue":"jobs","attempts":0,`, m[0].ID)) {
		t.Errorf("got %d %q %s", resp.StatusCode, resp.Header.Get("Location"), body)
	}
}

func TestIdempotencyKeyMakesTheSameJob(t *testing.T) {
	q := newFakeQueue()
	g := start(t, "flow: {header: X-Api-Key}\n"+jobsOnly, deadAddress(t), q.open())
	job := func(header ...string) string {
		return g.fetch("POST", "/jobs/1", strings.NewReader("x"), header...).Header.Get("Location")
	}
	first := job("Idempotency-Key: k")
	if again := job("Idempotency-Key: k"); again != first {
		t.Errorf("the repeated request is job %s, the first %s", again, first)
	}
	if n := len(q.lane("standard")); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
	for _, other := range [][]string{
		nil, nil, {"Idempotency-Key: k2"}, {"Idempotency-Key: k", "Authorization: Bearer b"}, {"Idempotency-Key: k", "X-Api-Key: b"},
	} {
		if job := job(other...); job == first {
			t.Errorf("with %q it is the same job", other)
		}
	}
	for _, other := range [][2]string{{"/jobs/2", "x"}, {"/jobs/1", "another body"}} {
		f := g.fetch("POST", other[0], strings.NewReader(other[1]), "Idempotency-Key: k")
		if f.Header.Get("Location") == first {
			t.Errorf("a request with target and body %q is the same job, and so would be lost", other)
		}
	}
	if n := len(q.lane("standard")); n != 8 {
		t.Errorf("%d messages, want 8", n)
	}
}

func TestBrokenBrokerIsSaidAtOnce(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		reason string
	}{
		{broker.ErrUnavailable, 503, "broker_unavailable"}, {broker.ErrClosed, 503, "broker_unavailable"},
		{errors.New("odd"), 503, "broker_unavailable"}, {broker.ErrFull, 503, "queue_full"},
		{broker.ErrTooLarge, 413, "bad_request"},
	} {
		t.Run(tc.err.Error(), func(t *testing.T) {
			q := newFakeQueue()
			q.breaks(tc.err)
			g := start(t, jobsOnly, serveApp(t, func(http.ResponseWriter, *http.Request) {}), q.open())
			wantRefusal(t, g.fetch("POST", "/jobs/1", strings.NewReader("x")), tc.status, tc.reason)
			if f := g.get("/app"); f.StatusCode != 200 {
				t.Errorf("the way to the app is shut too: %d", f.StatusCode)
			}
			if status, page := g.adminGet("/readyz"); status != 503 || !strings.Contains(page, "queue jobs") {
				t.Errorf("readyz: %d %s", status, page)
			}
			q.breaks(nil)
			if f := g.fetch("POST", "/jobs/1", strings.NewReader("x")); f.StatusCode != 202 {
				t.Errorf("after its return: %d", f.StatusCode)
			}
		})
	}
}

func TestBodyTooLargeForTheQueue(t *testing.T) {
	q := newFakeQueue()
	g := start(t, jobsOnly, deadAddress(t), q.open())
	for _, size := range []int{1025, 5 << 20} {
		wantRefusal(t, g.fetch("POST", "/jobs/1", strings.NewReader(strings.Repeat("x", size))), 413, "bad_request")
		wantRefusal(t, g.fetch("POST", "/jobs/1", onlyReader{strings.NewReader(strings.Repeat("x", size))}), 413, "bad_request")
	}
	for _, size := range []int{0, 1024} {
		for _, body := range []io.Reader{strings.NewReader(strings.Repeat("x", size)), onlyReader{strings.NewReader(strings.Repeat("x", size))}} {
			if f := g.fetch("POST", "/jobs/1", body); f.StatusCode != 202 {
				t.Errorf("%d bytes: %d %s", size, f.StatusCode, f.body)
			}
		}
	}
	if n := len(q.lane("standard")); n != 4 {
		t.Errorf("%d messages, want 4", n)
	}
}

func TestHalfOfABodyIsNoJob(t *testing.T) {
	q := newFakeQueue()
	g := start(t, jobsOnly, deadAddress(t), q.open())
	for _, framed := range []string{"Content-Length: 100\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"} {
		p := g.dial()
		p.send("POST /jobs/1 HTTP/1.1\r\nHost: a\r\n", framed)
		p.Conn.(*net.TCPConn).CloseWrite()
		io.ReadAll(p.br)
	}
	if n := len(q.lane("standard")); n != 0 {
		t.Errorf("%d messages of half a body", n)
	}
}

func TestPanicOfAPublisherIsSurvived(t *testing.T) {
	q := newFakeQueue()
	q.publish = func(context.Context) error { panic("a bug") }
	g := start(t, jobsOnly, serveApp(t, func(http.ResponseWriter, *http.Request) {}), q.open())
	if f := g.fetch("POST", "/jobs/1", strings.NewReader("x")); f.StatusCode != 500 {
		t.Errorf("got %v, %v", f.Response, f.err)
	}
	if f := g.get("/"); f.StatusCode != 200 {
		t.Errorf("then %v, %v", f.Response, f.err)
	}
}

func TestSettlingByTheAnswer(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		want         []string // in order, by pattern; attempts: 2
	}{
		{"200", okNoBody, []string{"done"}},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", []string{"done"}},
		{"200 chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", []string{"done"}},
		{"302", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", []string{"dead: the app answered 302"}},
		{"400", "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", []string{"dead: the app answered 400"}},
		{"404", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", []string{"dead: the app answered 404"}},
		{"500", "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", []string{`retry [0-9.]+ms`, "dead: attempt 2 of 2: the app answered 500"}},
		{"503 with Retry-After", "HTTP/1.1 503 No\r\nretry-after: 7\r\nContent-Length: 0\r\n\r\n", []string{"retry 7s", "dead: .* answered 503"}},
		{"429 with Retry-After", "HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", []string{"retry 7s", "dead: .* answered 429"}},
		{"429 with nonsense", "HTTP/1.1 429 No\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n", []string{"retry 1h0m0s", "dead: .* answered 429"}},
		{"garbage", "what?\r\n\r\n", []string{`retry [0-9.]+ms`, "dead: attempt 2 of 2 failed: upstream_failed: .*"}},
		{"half an answer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", []string{`retry [0-9.]+ms`, "dead: attempt 2 of 2 failed: .*"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := serveRaw(t)
			app.answering(tc.answer)
			q := newFakeQueue()
			g := start(t, jobsTo, app.url(), q.open())
			g.fetch("POST", "/jobs/1", nil)
			for i, want := range tc.want {
				_, got, _ := strings.Cut(q.settlement(t, i+1), " ")
				if !regexp.MustCompile("^" + want + "$").MatchString(got) {
					t.Errorf("attempt %d was settled as %q, want %q", i+1, got, want)
				}
			}
		})
	}
}

func TestAppThatRestartsCostsNoAttempt(t *testing.T) {
	ln := listenLoopback(t)
	ln.Close()
	q := newFakeQueue()
	g := start(t, jobsTo, "http://"+ln.Addr().String(), q.open())
	g.fetch("POST", "/jobs/1", strings.NewReader("body"))
	eventually(t, "the courier has found nobody", func() bool { return strings.Contains(g.log.String(), "messages wait") })
	if n := g.running(); n != 0 {
		t.Errorf("%d slots in use while nobody is there", n)
	}
	again, err := net.Listen("tcp", ln.Addr().String())
	if err != nil {
		t.Fatalf("the port has been taken meanwhile: %v", err)
	}
	attempts := make(chan string, 8)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		attempts <- r.Header.Get("Latency-Attempt") + string(body)
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(again) }()
	t.Cleanup(func() { server.Close(); <-done })
	if got := receive(t, "the delivery", attempts); got != "1body" {
		t.Errorf("delivered as attempt and body %q", got)
	}
	q.settlement(t, 1)
}

func TestMessagesAndRequestsShareOneOrder(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, `
classes: [{name: interactive, max_wait: 0s}, {name: standard, floor: 0%, max_wait: 0s}, {name: batch, floor: 0%, max_wait: 0s}]
rules: [{class: interactive, match: {path: "/**/interactive/*"}}, {class: batch, match: {path: "/**/batch/*"}}]
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
queues: {jobs: {deliver: {upstream: app}}}
`, serveApp(t, app.ServeHTTP), q.open())
	letGo := g.hold(app)
	l := newLine(g)
	job := func(target string, waits int) {
		t.Helper()
		if f := g.fetch("POST", target, nil); f.StatusCode != 202 {
			t.Fatalf("%s: %d", target, f.StatusCode)
		}
		eventually(t, "its lane waits", func() bool { return g.waiting() == waits })
	}
	// Of each lane one message waits here, and the others at the broker.
	job("/jobs/batch/1", 1)
	job("/jobs/batch/2", 1)
	l.join("/app/batch/3", "/app/standard/4")
	job("/jobs/interactive/5", 4)
	job("/jobs/standard/6", 5)
	l.join("/app/interactive/7")
	letGo()
	var classes []string
	var numbers []string
	for range 7 {
		r := receive(t, "the next one", app.arrived)
		if n := g.running(); n != 1 {
			t.Errorf("%d run, with limit 1", n)
		}
		parts := strings.Split(r.URL.Path, "/")
		classes, numbers = append(classes, parts[2]), append(numbers, parts[3])
		app.pass <- struct{}{}
	}
	if want := []string{"interactive", "interactive", "standard", "standard", "batch", "batch", "batch"}; !slices.Equal(classes, want) {
		t.Errorf("the order was %v, %v; want %v", classes, numbers, want)
	}
	if !slices.Equal(numbers[:4], []string{"5", "7", "4", "6"}) {
		t.Errorf("inside the classes the order was %v", numbers)
	}
	q.settlement(t, 4)
}

func TestMessagePastItsDeadlineIsDead(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, jobsTo, serveApp(t, app.ServeHTTP), q.open())
	past := fmt.Sprint(time.Now().Add(-time.Second).UnixMilli())
	wantRefusal(t, g.fetch("POST", "/jobs/1", nil, "Latency-Deadline: "+past), 504, "deadline")
	q.mu.Lock()
	q.put(&fakeMessage{Message: broker.Message{ID: "late", Class: "standard", Header: broker.Header{"latency-deadline": {past}}}})
	q.mu.Unlock()
	if got := q.settlement(t, 1); !strings.HasSuffix(got, " dead: deadline") {
		t.Errorf("settled as %q", got)
	}
	if n := len(app.arrived); n != 0 {
		t.Error("it reached the app")
	}
}

func TestClassDeadlineIsNotForJobs(t *testing.T) {
	q := newFakeQueue()
	g := start(t, "classes: [{name: interactive}, {name: standard, deadline: 1s}, {name: batch}]\n"+jobsOnly, deadAddress(t), q.open())
	g.fetch("POST", "/jobs/1", nil)
	if h := q.lane("standard")[0].Header; h.Get("latency-deadline") != "" {
		t.Errorf("the message has deadline %s, though nobody waits for its answer", h.Get("latency-deadline"))
	}
}
