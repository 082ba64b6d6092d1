package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"overtake/broker"
	"overtake/gateway/console"
)

// failuresText are the failures of a state, one on a line, in an order of the test's.
func failuresText(s *console.State) string {
	var lines []string
	for _, f := range s.Failures {
		where := strings.Trim(f.Queue+" "+f.Upstream, " ")
		lines = append(lines, fmt.Sprintf("%s %s at %s: %d %s, %d of %d", f.Kind, cmp.Or(f.Class, "-"), cmp.Or(where, f.Listener, "none"), f.Status, f.Reason, f.Recent, f.Total))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// wantFailures waits until the console shows these failures.
func (g *testGateway) wantFailures(want string) console.State {
	g.t.Helper()
	want = strings.TrimSpace(want)
	seen := ""
	defer func() {
		if seen != want {
			g.t.Logf("it shows\n%s", seen)
		}
	}()
	return g.consoleShows(want, func(s *console.State) bool { seen = failuresText(s); return seen == want })
}

// TestConsoleShowsFailures: whatever failed is there, with its reason, its place and its
// status, and what is no fault of a client's is in the share of its class.
func TestConsoleShowsFailures(t *testing.T) {
	q := newFakeQueue()
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/500":
			w.WriteHeader(500)
		case "/404":
			w.WriteHeader(404)
		case "/late":
			<-r.Context().Done()
		case "/broken":
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("half"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	g := start(t, fmt.Sprintf(`
listeners: [{address: "127.0.0.1:0", limits: {header_fields: 10}}]
routes:
- {match: {path: "/jobs/**"}, queue: jobs}
- {match: {path: "/dead"}, upstream: dead}
- {match: {methods: [GET]}, upstream: app}
upstreams: {app: {servers: [$APP], timeout: 100ms}, dead: {servers: [%q]}}
queues: {jobs: {max_body: 1KiB}}
`, deadAddress(t)), app, q.open())
	for path, status := range map[string]int{"/": 200, "/404": 404, "/500": 500, "/late": 504, "/dead": 502} {
		if f := g.get(path); f.err != nil || f.StatusCode != status {
			t.Errorf("%s: %v, %v", path, f.Response, f.err)
		}
	}
	g.fetch("GET", "/broken", nil)
	g.fetch("DELETE", "/", nil)
	q.publish = func(context.Context) error { return broker.ErrUnavailable }
	wantRefusal(t, g.fetch("POST", "/jobs/1", strings.NewReader("work")), 503, reasonBrokerUnavailable)
	g.fetch("POST", "/jobs/1", strings.NewReader(strings.Repeat("x", 2000)))
	p := g.dial()
	p.send("nonsense\r\n\r\n")
	p.refusedWith(400)
	state := g.wantFailures(`
client - at public: 400 bad_request, 1 of 1
client standard at jobs: 413 bad_request, 1 of 1
client standard at public: 404 no_upstream, 1 of 1
failed standard at app: 200 upstream_failed, 1 of 1
failed standard at app: 500 , 1 of 1
failed standard at app: 504 upstream_timeout, 1 of 1
failed standard at dead: 502 connect_failed, 1 of 1
failed standard at jobs: 503 broker_unavailable, 1 of 1
`)
	for _, w := range []console.Window{state.Window[1], state.Minute[1]} {
		if w.Requests != 8 || w.Failed != 5 || w.Shed != 0 || *w.LatencyMax < 100 {
			t.Errorf("of the class: %+v", w)
		}
	}
	for _, u := range state.Upstreams {
		if want := map[string]uint64{"app": 5, "dead": 0}[u.Name]; u.Minute.Count != want || u.Window.Count != want || want > 0 && *u.Window.P99 < 95 { // quantiles are right within 3.1 %
			t.Errorf("%s: %+v, want %d tries, the longest of 100 ms", u.Name, u, want)
		}
	}
}

// TestConsoleShowsConnectionsRefused: with the answer that they got, or why they got none.
func TestConsoleShowsConnectionsRefused(t *testing.T) {
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, limited("connections_per_client: 1"), app.url())
	first := g.dial()
	first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	first.response("GET")
	second := g.dial()
	second.refusedWith(http.StatusTooManyRequests)
	first.Close()
	g.consoleShows("it", func(s *console.State) bool {
		return len(s.Failures) == 1 && s.Failures[0].Status == http.StatusTooManyRequests && s.Failures[0].Listener == "public"
	})
}

// TestConsoleShowsFailedDeliveries: by what the app answered, and while it is away.
func TestConsoleShowsFailedDeliveries(t *testing.T) {
	q := newFakeQueue()
	answers := make(chan int, 2)
	answers <- 500
	answers <- 404
	g := start(t, jobsTo, serveApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-answers) }), q.open())
	g.fetch("POST", "/jobs/batch/1", strings.NewReader("work"))
	q.settlement(t, 2)
	state := g.wantFailures("failed batch at jobs app: 404 , 1 of 1\nfailed batch at jobs app: 500 , 1 of 1")
	if w := state.Window[2]; w.Requests != 3 || w.Failed != 2 {
		t.Errorf("of the class: %+v", w)
	}

	q = newFakeQueue()
	away := start(t, jobsTo, deadAddress(t), q.open())
	away.fetch("POST", "/jobs/batch/1", strings.NewReader("work"))
	state = away.consoleShows("that the app is away", func(s *console.State) bool { return len(s.Failures) > 0 })
	if f := state.Failures[0]; f.Kind != console.Failed || f.Queue != "jobs" || f.Upstream != "app" || f.Reason != reasonConnectFailed || f.Status != 0 {
		t.Errorf("%+v", f)
	}
}

// TestConsoleShowsPanics: they are the gateway's, not the app's.
func TestConsoleShowsPanics(t *testing.T) {
	q := newFakeQueue()
	q.publish = func(context.Context) error { panic(errors.New("a bug")) }
	g := start(t, jobsOnly, deadAddress(t), q.open())
	g.fetch("POST", "/jobs/1", strings.NewReader("work"))
	g.wantFailures("failed standard at jobs: 500 panic, 1 of 1")
}
