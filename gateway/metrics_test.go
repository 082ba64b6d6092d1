package gateway

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"overtake/broker"
)

// openMetrics gets the metrics as Prometheus asks for them.
func (g *testGateway) openMetrics() string {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+g.AdminAddr().String()+"/metrics", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
	resp, err := client(g.t).Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(string(body), "# EOF\n") {
		g.t.Fatalf("got %s, which ends in %q", kind, body[max(0, len(body)-20):])
	}
	return string(body)
}

// traces returns the trace ids in the exemplars of a histogram, each once and sorted. It
// checks that exemplars are what OpenMetrics 1.0 allows: in their bucket, and short.
func traces(t *testing.T, page, histogram string) []string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^` + histogram + `_bucket\{.*le="([^"]+)"\} \d+ # \{(\w+)="([^"]*)"\} (\S+) \S+$`)
	ids := []string{}
	for _, m := range line.FindAllStringSubmatch(page, -1) {
		most, err1 := strconv.ParseFloat(m[1], 64)
		value, err2 := strconv.ParseFloat(m[4], 64)
		if err1 != nil || err2 != nil || value > most || len(m[2])+len(m[3]) > 128 || m[2] != "trace_id" {
			t.Errorf("not an exemplar: %s", m[0])
		}
		ids = append(ids, m[3])
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

const (
	oneTrace   = "11111111111111111111111111111111"
	otherTrace = "22222222222222222222222222222222"
)

func TestExemplarsAreTheTracesOfRequests(t *testing.T) {
	q := newFakeQueue()
	app := serveApp(t, func(http.ResponseWriter, *http.Request) {})
	g, out := startTraced(t, `
tracing: {sample: 0}
routes: [{match: {path: /jobs}, queue: jobs}, {match: {path: /work}, upstream: app}]
queues: {jobs: {deliver: {upstream: app}}}
`, app, q.open())
	g.get("/work", "traceparent: 00-"+otherTrace+"-00000000000000aa-00") // not sampled
	g.get("/work", "traceparent: 00-"+oneTrace+"-00000000000000aa-01")
	out.wait(t, 3)
	g.fetch("POST", "/jobs", strings.NewReader("x"), "traceparent: 00-"+otherTrace+"-00000000000000bb-01")
	q.settlement(t, 1)
	var page string
	eventually(t, "the message has an exemplar", func() bool {
		page = g.openMetrics()
		return len(traces(t, page, "overtake_message_wait_seconds")) > 0
	})
	for histogram, want := range map[string][]string{
		"overtake_request_seconds":      {oneTrace, otherTrace},
		"overtake_queue_wait_seconds":   {oneTrace}, // the job waited in its lane
		"overtake_message_wait_seconds": {otherTrace},
	} {
		got := traces(t, page, histogram)
		// Both requests may be in one bucket, which knows the last.
		if !slices.Equal(got, want) && !(histogram == "overtake_request_seconds" && slices.Equal(got, want[1:])) {
			t.Errorf("%s names the traces %v, want %v", histogram, got, want)
		}
	}
	if _, plain := g.adminGet("/metrics"); strings.Contains(plain, "trace_id") {
		t.Error("there are exemplars in the plain format, which has none")
	}
}

// What is kept without being sampled has its exemplar as well.
func TestExemplarOfAKeptRequest(t *testing.T) {
	g, out := startTraced(t, "tracing: {sample: 0}", serveApp(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	g.get("/", "traceparent: 00-"+oneTrace+"-00000000000000aa-00")
	out.wait(t, 3)
	if got := traces(t, g.openMetrics(), "overtake_request_seconds"); !slices.Equal(got, []string{oneTrace}) {
		t.Errorf("exemplars of %v, want %s", got, oneTrace)
	}
}

// Without a tracer nothing is recorded, whatever the request says.
func TestNoExemplarsWithoutATracer(t *testing.T) {
	g := start(t, "", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	g.get("/", "traceparent: 00-"+oneTrace+"-00000000000000aa-01")
	if page := g.openMetrics(); strings.Contains(page, oneTrace) {
		t.Error("there is an exemplar of a trace that was not recorded")
	}
}

// A tracer that has no room records nothing.
func TestNoExemplarsOfDroppedSpans(t *testing.T) {
	g, _ := startTraced(t, "", serveApp(t, func(http.ResponseWriter, *http.Request) {}))
	if err := g.tracer.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	g.get("/", "traceparent: 00-"+oneTrace+"-00000000000000aa-01")
	if page := g.openMetrics(); strings.Contains(page, oneTrace) {
		t.Error("there is an exemplar of a trace that was dropped")
	}
}

// Whatever the reason, a request that did not get the app's answer is counted by it.
func TestFailuresAreCountedByReason(t *testing.T) {
	q := newFakeQueue()
	broken := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/cut":
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "half")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/slow":
			<-r.Context().Done()
		}
	})
	g := start(t, `
routes:
- {match: {path: /jobs}, queue: jobs}
- {match: {path: /dead}, upstream: dead}
- {match: {path: "/{cut,slow}"}, upstream: app}
upstreams:
  app: {servers: [$APP], limit: {max: 4}, timeout: 100ms}
  dead: {servers: ["`+deadAddress(t)+`"]}
queues: {jobs: {deliver: {upstream: app}}}
`, broken, q.open())
	q.breaks(broker.ErrUnavailable)
	g.fetch("POST", "/jobs", strings.NewReader("x"))
	g.get("/dead")
	g.get("/slow")
	g.get("/nowhere")
	for _, bad := range []string{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "\x00\x01\x02\r\n\r\n"} {
		p := g.dial()
		p.send(bad)
		p.response("GET")
	}
	if resp, err := client(t).Get(g.url("/cut")); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	for _, line := range []string{
		`overtake_request_failures_total{class="standard",reason="broker_unavailable",upstream=""} 1`,
		`overtake_request_failures_total{class="standard",reason="connect_failed",upstream="dead"} 1`,
		`overtake_request_failures_total{class="standard",reason="upstream_timeout",upstream="app"} 1`,
		`overtake_request_failures_total{class="standard",reason="no_upstream",upstream=""} 1`,
		`overtake_request_failures_total{class="",reason="bad_request",upstream=""} 2`,
		`overtake_request_failures_total{class="standard",reason="upstream_failed",upstream="app"} 1`,
		`overtake_queue_up{queue="jobs"} 0`,
		`overtake_ready 0`,
	} {
		g.wantMetric(line)
	}
}

func TestReadyAndObjectivesAreMetrics(t *testing.T) {
	app := serveRaw(t)
	g := start(t, `
classes: [{name: interactive, objective: 25ms}, {name: batch}]
default_class: batch
upstreams: {app: {servers: [$APP, "http://127.0.0.1:1"], limit: {mode: adaptive, min: 3, max: 64}}}
`, app.url())
	for _, line := range []string{
		"overtake_ready 1", `overtake_objective_seconds{class="interactive"} 0.025`, `overtake_limit_min{upstream="app"} 6`,
		`overtake_build_info{version=""} 1`,
	} {
		g.wantMetric(line)
	}
	if _, page := g.adminGet("/metrics"); strings.Contains(page, `overtake_objective_seconds{class="batch"}`) {
		t.Error("a class without an objective has one")
	}
	app.ln.Close()
	g.get("/")
	g.wantMetric("overtake_ready 0")
}

// What is counted of a request that is not recorded costs no memory, whatever became of
// it.
func TestCountingAllocatesNothing(t *testing.T) {
	g := newGateway(t, "", deadAddress(t))
	r := &request{upstream: g.upstreams["app"]}
	count := func() {
		g.metrics.waited("app", "standard", time.Millisecond)
		g.metrics.finished("public", "standard", 200, time.Second)
		g.metrics.failed(r, "standard", reasonUpstreamTimeout)
		g.metrics.messageWaited("jobs", "standard", time.Minute)
	}
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("it takes %v allocations, want none", n)
	}
}
