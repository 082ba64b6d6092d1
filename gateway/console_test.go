package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"overtake/broker"
	"overtake/gateway/config"
	"overtake/gateway/console"
)

// consoleNow is what the console shows now.
func (g *testGateway) consoleNow() (state console.State) {
	g.t.Helper()
	status, text := g.adminGet("/console/state")
	if err := json.Unmarshal([]byte(text), &state); status != 200 || err != nil {
		g.t.Fatalf("console: %d, %v, %.300s", status, err, text)
	}
	return state
}

// consoleShows waits until the console shows what cond looks for.
func (g *testGateway) consoleShows(what string, cond func(*console.State) bool) (state console.State) {
	g.t.Helper()
	next := g.watchConsole()
	for state = g.consoleNow(); !cond(&state); {
		var err error
		if state, err = next(); err != nil {
			g.t.Fatalf("the console never shows %s: %v; at last %+v", what, err, state)
		}
	}
	return state
}

// shownHops are hops as a test reads them: without the times.
func shownHops(hops []console.Hop) string {
	var lines []string
	for _, h := range hops {
		lines = append(lines, strings.TrimRight(h.Kind+" "+h.Name+": "+h.Note, ": "))
	}
	port := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	return port.ReplaceAllString(strings.Join(lines, "\n"), "HOST")
}

// TestConsoleShowsWhoWaited: a request that waited is among the slowest, with its wait,
// its trace, and what the next hop says.
func TestConsoleShowsWhoWaited(t *testing.T) {
	app := newGate()
	url := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server-Timing", `db;desc="rows";dur=12.5, miss`)
		app.ServeHTTP(w, r)
	})
	g := start(t, oneSlot, url)
	letGo := g.hold(app)
	l := newLine(g)
	l.join("/batch/first")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	answered := make(chan fetched, 1)
	go func() {
		answered <- g.fetch("GET", "/interactive/second?secret=1", nil, "traceparent: 00-"+trace+"-b7ad6b7169203331-00")
	}()
	eventually(t, "both wait", func() bool { return g.waiting() == 2 })
	state := g.consoleNow()
	if u := state.Upstreams[0]; u.InFlight != 1 || u.Waiting != 2 || u.Classes[0].Waiting != 1 || u.Classes[2].Waiting != 1 || u.Classes[2].OldestMillis <= 0 {
		t.Errorf("while they wait: %+v", u)
	}
	letGo()
	for range 2 {
		receive(t, "the next", app.arrived)
		app.pass <- struct{}{}
	}
	if f := receive(t, "the answer", answered); f.err != nil {
		t.Fatal(f.err)
	}
	state = g.consoleShows("the three", func(s *console.State) bool { return len(s.Slowest) == 3 })
	i := slices.IndexFunc(state.Slowest, func(s console.Slow) bool { return s.Class == "interactive" })
	slow := state.Slowest[i]
	if slow.TraceID != trace || slow.Recorded || slow.Path != "/interactive/second" || slow.Method != "GET" || slow.Listener != "public" ||
		slow.Rule != "rule-1" || slow.Status != 200 || slow.Reason != "" || slow.TotalMillis <= 0 {
		t.Errorf("%+v", slow)
	}
	const want = `wait app (waited for a slot): went before 1 that had come earlier; limit 1
try http://HOST: 200
next db: rows
answer 200 OK`
	if got := shownHops(slow.Hops); got != want {
		t.Errorf("hops\n%s\nwant\n%s", got, want)
	}
	if w, n := slow.Hops[0], slow.Hops[2]; w.Millis <= 0 || w.Millis > slow.TotalMillis || n.Millis != 12.5 {
		t.Errorf("hops %+v", slow.Hops)
	}
	if w := state.Window; w[0].Requests != 1 || w[1].Requests != 1 || w[2].Requests != 1 || *w[0].WaitMax <= 0 || *w[0].WaitMax > *w[0].LatencyMax {
		t.Errorf("window %+v", w)
	}
	if u := state.Upstreams[0]; u.Classes[0].Overtakes != 1 || u.Classes[0].Dispatched != 1 {
		t.Errorf("upstream %+v", u)
	}
}

// TestConsoleShowsTheNextGateway: what an Overtake behind this one says of its time is
// taken off the answer, and shown.
func TestConsoleShowsTheNextGateway(t *testing.T) {
	g := start(t, "expose: none", serveApp(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Latency-Class", "batch")
		w.Header().Set("Server-Timing", "queue;dur=3.000, upstream;dur=4.000")
	}))
	if f := g.get("/"); f.Header.Get("Server-Timing") != "" {
		t.Errorf("Server-Timing: %s", f.Header.Get("Server-Timing"))
	}
	state := g.consoleShows("it", func(s *console.State) bool { return len(s.Slowest) == 1 })
	if got := shownHops(state.Slowest[0].Hops); !strings.Contains(got, "next queue\nnext upstream\n") {
		t.Errorf("hops\n%s", got)
	}
}

// TestConsoleShowsRefusals: what was refused, why and where; it is in no latency.
func TestConsoleShowsRefusals(t *testing.T) {
	app := newGate()
	g := start(t, noRoom, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	for range 3 {
		wantRefusal(t, g.get("/"), 503, "queue_full")
	}
	g.get("/_overtake/jobs/none") // for no upstream
	state := g.consoleShows("them", func(s *console.State) bool { return s.Window[1].Shed == 3 && len(s.Failures) == 2 })
	want := []console.Failure{
		{Kind: console.Refused, Upstream: "app", Class: "standard", Reason: "queue_full", Status: 503, Total: 3, Recent: 3, Minute: 3},
		{Kind: console.Client, Listener: "public", Class: "standard", Reason: "no_upstream", Status: 404, Total: 1, Recent: 1, Minute: 1},
	}
	if !slices.Equal(state.Failures, want) {
		t.Errorf("failures %+v, want %+v", state.Failures, want)
	}
	if w := state.Window[1]; w.Requests != 3 || w.LatencyP50 != nil {
		t.Errorf("window %+v", w)
	}
	if got := state.Upstreams[0].Classes[1].Shed["queue_full"]; got != 3 {
		t.Errorf("the lane has shed %d", got)
	}
	if s := state.Slowest[0]; s.Reason != "queue_full" || s.Status != 503 || shownHops(s.Hops) != "wait app (waited for a slot): queue_full; limit 1\nanswer 503 Service Unavailable: queue_full" {
		t.Errorf("%+v", s)
	}
	letGo()
}

// TestConsoleForgetsShedsOfTheGone: what upstreams have shed that are no more is
// forgotten.
func TestConsoleForgetsShedsOfTheGone(t *testing.T) {
	app := newGate()
	url := serveApp(t, app.ServeHTTP)
	g := start(t, noRoom, url)
	letGo := g.hold(app)
	wantRefusal(t, g.get("/"), 503, "queue_full")
	g.consoleShows("it", func(s *console.State) bool { return len(s.Failures) == 1 })
	letGo()
	g.file = func() (*config.Config, error) {
		return parseConfig(fmt.Sprintf("listeners: [{address: %q}]\nupstreams: {other: {servers: [$APP]}}\n", "127.0.0.1:0"), url)
	}
	g.Reload()
	g.consoleShows("nothing of what is gone", func(s *console.State) bool { return len(s.Failures) == 0 && s.Upstreams[0].Name == "other" })
}

// TestNoConsoleWithoutAdmin: where nobody can look, nothing is kept for it, not even
// what happens to a request that is recorded nowhere.
func TestNoConsoleWithoutAdmin(t *testing.T) {
	q := newFakeQueue()
	app := newGate()
	g := start(t, "admin: off\n"+jobsTo, serveApp(t, app.ServeHTTP), q.open())
	if g.console != nil || g.noted(new(journal)) != nil {
		t.Error("there is a console, or a journal for it")
	}
	answered := make(chan fetched, 2)
	for _, path := range []string{"/", "/jobs/batch/1"} {
		go func() { answered <- g.fetch("POST", path, strings.NewReader("work")) }()
	}
	for range 2 { // the request, and the delivery of the job
		receive(t, "one at the app", app.arrived)
		app.pass <- struct{}{}
	}
	for range 2 {
		if f := receive(t, "an answer", answered); f.err != nil || f.StatusCode >= 300 {
			t.Errorf("answered %v, %v", f.Response, f.err)
		}
	}
	q.settlement(t, 1)
	g.file = func() (*config.Config, error) { return g.Config(), nil }
	g.Reload() // forgets what is gone, where something is kept
}

// TestConsoleShowsFailedTries: each server that was tried is a hop.
func TestConsoleShowsFailedTries(t *testing.T) {
	g := start(t, "upstreams: {app: {servers: [$APP]}}", deadAddress(t))
	wantRefusal(t, g.get("/"), 502, "connect_failed")
	state := g.consoleShows("it", func(s *console.State) bool { return len(s.Slowest) == 1 })
	s := state.Slowest[0]
	if got := shownHops(s.Hops); s.Reason != "connect_failed" || !strings.Contains(got, "try http://HOST: connect_failed: ") || !strings.HasSuffix(got, "answer 502 Bad Gateway: connect_failed") {
		t.Errorf("%+v\n%s", s, got)
	}
}

// TestConsoleShowsRules: in their order with their hits, also after a reload.
func TestConsoleShowsRules(t *testing.T) {
	const one = `rules:
- {name: reports, class: batch, match: {path: "/reports/**", methods: [GET, POST], headers: {X-Plan: free}, size: {max: 1KiB}}}
- {name: trial, class: interactive, dry_run: true, match: {path: "/trial"}}
`
	app := serveApp(t, func(http.ResponseWriter, *http.Request) {})
	g := start(t, one, app)
	g.get("/reports/1", "X-Plan: free")
	g.get("/trial")
	text := func(s *console.State) string {
		var b strings.Builder
		for _, r := range s.Rules {
			fmt.Fprintf(&b, "%s=%s %d/%d (%s) %v\n", r.Name, r.Class, r.Hits, r.DryHits, r.Match, r.DryRun)
		}
		return b.String()
	}
	const want = `reports=batch 1/0 (path /reports/**; methods GET, POST; header X-Plan: free; size 0 to 1024 bytes) false
trial=interactive 0/1 (path /trial) true
default= 1/0 () false
`
	state := g.consoleNow()
	if got := text(&state); got != want {
		t.Errorf("rules\n%swant\n%s", got, want)
	}
	g.file = func() (*config.Config, error) {
		return parseConfig(fmt.Sprintf("listeners: [{address: %q}]\nrules: [{name: reports, class: batch, match: {path: /r}}]\n", "127.0.0.1:0"), app)
	}
	g.Reload()
	g.get("/r")
	state = g.consoleShows("the new rules", func(s *console.State) bool { return strings.Contains(text(s), "reports=batch 2/0 (path /r)") })
	if got := text(&state); strings.Contains(got, "trial") || state.Config.Failed != nil {
		t.Errorf("rules\n%s, %+v", got, state.Config)
	}
	g.file = func() (*config.Config, error) { return nil, fmt.Errorf("line 1\nline 2") }
	g.Reload()
	g.consoleShows("the failed reload", func(s *console.State) bool {
		return s.Config.Failed != nil && s.Config.Failed.Error == "line 1\nline 2"
	})
}

func TestConsoleShowsBuiltinRules(t *testing.T) {
	g := start(t, "", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	g.get("/", "Sec-Purpose: prefetch")
	seen := make(map[string]bool)
	for _, r := range g.consoleNow().Rules {
		if seen[r.Name] {
			t.Errorf("%s is there twice", r.Name)
		}
		seen[r.Name] = true
		if hit := r.Name == "builtin:prefetch"; !r.Builtin || r.Match == "" || (r.Hits == 1) != hit {
			t.Errorf("%+v", r)
		}
	}
	if !seen["builtin:crawler"] {
		t.Errorf("rules %v", seen)
	}
}

// TestConsoleShowsDeliveries: a job's delivery is work of its class, and slow if it is.
func TestConsoleShowsDeliveries(t *testing.T) {
	q := newFakeQueue()
	var n atomic.Int32
	g := start(t, jobsTo, serveApp(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 1 {
			w.WriteHeader(500)
		}
	}), q.open())
	g.fetch("POST", "/jobs/batch/1?a=b", strings.NewReader("work"))
	q.settlement(t, 2)
	state := g.consoleShows("both deliveries and the request", func(s *console.State) bool { return s.Window[2].Requests == 3 })
	var shown []string
	for _, s := range state.Slowest {
		if s.Queue != "" {
			shown = append(shown, fmt.Sprintf("%s %s of %s: %d %s\n%s", s.Method, s.Path, s.Queue, s.Status, s.Reason, shownHops(s.Hops)))
		}
	}
	slices.Sort(shown)
	const hops = "\nwait app (waited for a slot): limit 4\ntry http://HOST: "
	want := []string{"POST /jobs/batch/1 of jobs: 200 " + hops + "200", "POST /jobs/batch/1 of jobs: 500 the app answered 500" + hops + "500"}
	if !slices.Equal(shown, want) {
		t.Errorf("deliveries %q, want %q", shown, want)
	}
	state = g.consoleShows("the lanes", func(s *console.State) bool { return len(s.Queues[0].Lanes) > 0 })
	if q := state.Queues[0]; q.Name != "jobs" || q.Error != "" {
		t.Errorf("queue %+v", q)
	}
}

// TestConsoleOfAHangingBroker: it is shown at once, with the error and what was known.
func TestConsoleOfAHangingBroker(t *testing.T) {
	q := newFakeQueue()
	queues := q.open()
	jobs := queues["jobs"]
	hangs := make(chan struct{})
	var hung atomic.Bool
	inspect := jobs.Inspect
	jobs.Inspect = func(ctx context.Context) ([]broker.Lane, error) {
		if hung.Load() {
			<-hangs // whatever ctx says
		}
		return inspect(ctx)
	}
	queues["jobs"] = jobs
	g := start(t, jobsOnly, deadAddress(t), queues)
	t.Cleanup(func() { close(hangs) }) // before the gateway is shut down
	g.consoleShows("the lanes", func(s *console.State) bool { return len(s.Queues[0].Lanes) == 3 })
	hung.Store(true)
	state := g.consoleShows("that it hangs", func(s *console.State) bool { return s.Queues[0].Error != "" })
	if lanes := state.Queues[0].Lanes; len(lanes) != 3 || !strings.Contains(state.Queues[0].Error, "no answer for ") {
		t.Errorf("%+v", state.Queues[0])
	}
	stream := g.watchConsole()
	for range 3 {
		if _, err := stream(); err != nil {
			t.Fatalf("the stream ended: %v", err)
		}
	}
}

// watchConsole opens a stream of events. It returns what reads the next state.
func (g *testGateway) watchConsole() func() (console.State, error) {
	g.t.Helper()
	resp, err := client(g.t).Get("http://" + g.AdminAddr().String() + "/console/events")
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { resp.Body.Close() })
	br := bufio.NewReader(resp.Body)
	return func() (state console.State, err error) {
		for {
			line, err := br.ReadString('\n')
			if text, ok := strings.CutPrefix(line, "data: "); ok {
				return state, json.Unmarshal([]byte(text), &state)
			}
			if err != nil {
				return state, err
			}
		}
	}
}

// TestShutdownWithOpenConsoles: they see the drain, and do not hold it up.
func TestShutdownWithOpenConsoles(t *testing.T) {
	app := newGate()
	g := start(t, oneSlot, serveApp(t, app.ServeHTTP))
	streams := make([]func() (console.State, error), 5)
	for i := range streams {
		streams[i] = g.watchConsole()
	}
	letGo := g.hold(app)
	ended, _ := g.shutdown()
	for _, next := range streams {
		for state, err := next(); !state.Draining; state, err = next() {
			if err != nil {
				t.Fatalf("a stream ended before the drain was seen: %v", err)
			}
		}
	}
	letGo()
	if err := receive(t, "the end", ended); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	for _, next := range streams {
		for err := error(nil); err != io.EOF; _, err = next() {
			if err != nil {
				t.Fatalf("a stream ended with %v", err)
			}
		}
	}
}

// TestConsoleTrace: the hops of a trace, as Jaeger has them, or why not.
func TestConsoleTrace(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	jaeger := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/jaeger/api/traces/"+id {
			w.WriteHeader(404)
			io.WriteString(w, `{"data":null,"errors":[{"code":404,"msg":"trace not found"}]}`)
			return
		}
		io.WriteString(w, `{"data":[{"traceID":"`+id+`","processes":{"p1":{"serviceName":"shop"}},"spans":[
{"traceID":"`+id+`","spanID":"00000000000000b2","operationName":"overtake.queue","startTime":1000500,"duration":2000,"processID":"p1",
 "references":[{"refType":"CHILD_OF","traceID":"`+id+`","spanID":"00000000000000a1"}],"tags":[{"key":"overtake.class","type":"string","value":"batch"}]},
{"traceID":"`+id+`","spanID":"00000000000000a1","operationName":"GET /work","startTime":1000000,"duration":5000,"processID":"p1"}]}]}`)
	})
	without := start(t, "", deadAddress(t))
	if status, text := without.adminGet("/console/trace?id=" + id); status != 404 || !strings.Contains(text, "tracing.query") {
		t.Errorf("without Jaeger: %d %s", status, text)
	}
	g := start(t, "tracing: {query: "+strconv.Quote(jaeger+"/jaeger/")+"}", deadAddress(t))
	for target, want := range map[string]int{id: 200, "1": 404, "": 400, "zz": 400} {
		status, text := g.adminGet("/console/trace?id=" + target)
		if status != want || want != 200 && !strings.Contains(text, `{"error":"`) {
			t.Errorf("%q: %d %s, want %d", target, status, text, want)
		}
	}
	_, text := g.adminGet("/console/trace?id=" + id)
	var got console.Trace
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := console.Trace{
		TraceID: id, Link: jaeger + "/jaeger/trace/" + id, Start: 1000, TotalMillis: 5,
		Hops: []console.TraceHop{
			{Service: "shop", Name: "GET /work", Millis: 5},
			{Service: "shop", Name: "overtake.queue", Class: "batch", Depth: 1, StartMillis: 0.5, Millis: 2},
		},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("trace\n%+v, want\n%+v", got, want)
	}
}

// TestConsoleCutsTextsOff: what clients make up is bounded.
func TestConsoleCutsTextsOff(t *testing.T) {
	g := start(t, "", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	g.get("/" + strings.Repeat("ä", 1000))
	state := g.consoleShows("it", func(s *console.State) bool { return len(s.Slowest) == 1 })
	if p := state.Slowest[0].Path; len(p) > mostText+len("…") || !strings.HasSuffix(p, "…") {
		t.Errorf("a path of %d bytes: %s", len(p), p)
	}
	for text, want := range map[string]string{"abcdef": "abcd…", "abcä": "abc…", "abcd": "abcd", "a\xffb": "a\uFFFDb"} {
		if got := cutOff(text, 4); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
