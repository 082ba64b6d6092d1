package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/scheduler"
	"overtake/tracing"
)

// exported is an exporter that keeps the spans for the test.
type exported struct {
	mu    sync.Mutex
	spans []tracing.Span
}

// Export implements tracing.Exporter.
func (e *exported) Export(_ context.Context, spans []tracing.Span) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spans = append(e.spans, spans...)
	return nil
}

// Close implements tracing.Exporter.
func (e *exported) Close(context.Context) error { return nil }

// startTraced is start with a tracer, and with the share of sampled traces that the
// configuration says.
func startTraced(t *testing.T, yaml, app string, queues ...map[string]Queue) (*testGateway, *exported) {
	t.Helper()
	out := &exported{}
	g := newGateway(t, yaml, app, queues...)
	g.tracer = tracing.NewTracer(tracing.TracerConfig{Exporter: out, Logger: g.Gateway.log, Interval: time.Millisecond})
	t.Cleanup(func() {
		if err := g.tracer.Shutdown(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	g.run()
	return g, out
}

// wait waits for n spans and returns them in the order in which they began.
func (e *exported) wait(t *testing.T, n int) []tracing.Span {
	t.Helper()
	var spans []tracing.Span
	eventually(t, fmt.Sprintf("%d spans are exported", n), func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		spans = append([]tracing.Span(nil), e.spans...)
		return len(spans) >= n
	})
	slices.SortStableFunc(spans, func(a, b tracing.Span) int { return a.Start.Compare(b.Start) })
	if len(spans) > n {
		t.Errorf("%d spans, want %d:\n%s", len(spans), n, tree(spans))
	}
	return spans
}

// tree writes spans as a test reads them: each below its parent, with what was decided.
func tree(spans []tracing.Span) string {
	var b strings.Builder
	known := make(map[tracing.SpanID]bool)
	for _, s := range spans {
		known[s.ID] = true
	}
	var write func(parent tracing.SpanID, depth int)
	line := func(s tracing.Span, depth int) {
		fmt.Fprintf(&b, "%s%s", strings.Repeat("  ", depth), s.Name)
		for _, key := range []string{
			"overtake.class", "http.response.status_code", "http.request.resend_count", "overtake.job.state", "overtake.reason", "error.type", "overtake.kept",
		} {
			if v := value(s, key); v != nil {
				_, short, _ := strings.Cut(key, ".")
				fmt.Fprintf(&b, " %s=%v", short[strings.LastIndex(short, ".")+1:], v)
			}
		}
		for _, e := range s.Events {
			fmt.Fprintf(&b, " !%s", e.Name)
		}
		b.WriteString("\n")
		write(s.ID, depth+1)
	}
	write = func(parent tracing.SpanID, depth int) {
		for _, s := range spans {
			if s.Parent == parent {
				line(s, depth)
			}
		}
	}
	for _, s := range spans {
		if !known[s.Parent] {
			line(s, 0)
		}
	}
	return b.String()
}

func value(s tracing.Span, key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return nil
}

func wantTree(t *testing.T, spans []tracing.Span, want string) {
	t.Helper()
	if got := tree(spans); got != strings.TrimPrefix(want, "\n") {
		t.Errorf("got\n%swant%s", got, want)
	}
	for _, s := range spans {
		if s.TraceID != spans[0].TraceID {
			t.Errorf("%s is in trace %v, %s in %v", s.Name, s.TraceID, spans[0].Name, spans[0].TraceID)
		}
		if s.Start.IsZero() || s.End.Before(s.Start) {
			t.Errorf("%s is from %v to %v", s.Name, s.Start, s.End)
		}
	}
}

const (
	always = "tracing: {sample: 1}\n"
	never  = "tracing: {sample: 0}\n"
)

func TestSpansOfARequest(t *testing.T) {
	var seen http.Header
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) { seen = r.Header; io.WriteString(w, "ok") })
	g, out := startTraced(t, always+`routes: [{match: {path: "/a/**"}, upstream: app}]`, app)
	g.get("/a/%62%0a?secret=1", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "User-Agent: me")
	spans := out.wait(t, 3)
	wantTree(t, spans, `
GET /a/** class=standard status_code=200
  overtake.queue class=standard
  GET class=standard status_code=200
`)
	server, sent := spans[0], spans[2]
	if server.Parent.String() != "b7ad6b7169203331" || server.TraceID.String() != "0af7651916cd43dd8448eb211c80319c" {
		t.Errorf("the trace of the request is not continued: %v, parent %v", server.TraceID, server.Parent)
	}
	if server.Kind != tracing.Server || sent.Kind != tracing.Client {
		t.Errorf("kinds %v and %v", server.Kind, sent.Kind)
	}
	if want := "00-0af7651916cd43dd8448eb211c80319c-" + sent.ID.String() + "-01"; seen.Get("traceparent") != want {
		t.Errorf("the app saw the parent %s, want the client span's, %s", seen.Get("traceparent"), want)
	}
	for key, want := range map[string]any{
		"http.request.method": "GET", "url.path": "/a/%62%0a", "http.route": "/a/**", "user_agent.original": "me",
		"overtake.listener": "public", "client.address": "127.0.0.1", "overtake.rule": "builtin:default",
	} {
		if got := value(server, key); got != want && key != "overtake.rule" {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if got := fmt.Sprintf("http://%s/a/%%62%%0a", strings.TrimPrefix(app, "http://")); value(sent, "url.full") != got {
		t.Errorf("url.full is %v, want %v", value(sent, "url.full"), got)
	}
	for _, s := range spans {
		if text := fmt.Sprint(s); strings.Contains(text, "secret") {
			t.Errorf("the query is in %s", text)
		}
	}
}

// The parent decides; where there is none, the ratio.
func TestSamplingIsParentBased(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {})
	const parent = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"
	g, out := startTraced(t, always, app)
	g.get("/", parent+"0")
	g.get("/")
	out.wait(t, 3)
	g, out = startTraced(t, never, app)
	g.get("/")
	g.get("/", parent+"1")
	out.wait(t, 3)
}

func TestFailuresAreAlwaysRecorded(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	for _, tc := range []struct{ name, yaml, app, want string }{
		{"error of the app", never, serveApp(t, status(500)), `
GET class=standard status_code=500 type=500 kept=failed
  overtake.queue class=standard
  GET class=standard status_code=500 type=500
`},
		{"app away", never, deadAddress(t), `
GET class=standard status_code=502 reason=connect_failed type=connect_failed kept=failed
  overtake.queue class=standard
  GET class=standard type=connect_failed
`},
		{"two servers away", never + "upstreams: {app: {servers: [$APP, \"" + deadAddress(t) + "\"]}}\n", deadAddress(t), `
GET class=standard status_code=502 reason=connect_failed type=connect_failed kept=failed
  overtake.queue class=standard
  GET class=standard type=connect_failed
  overtake.queue class=standard
  GET class=standard resend_count=1 type=connect_failed
`},
		{"shed", never + noRoomAtAll, serveApp(t, status(200)), `
GET class=standard status_code=503 reason=queue_full type=queue_full kept=shed !shed
  overtake.queue class=standard type=queue_full !shed
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g, out := startTraced(t, tc.yaml, tc.app)
			if strings.Contains(tc.yaml, noRoomAtAll) {
				lease, ok := g.upstreams["app"].scheduler.TryAcquire(scheduler.Work{})
				if !ok {
					t.Fatal("there is no slot")
				}
				defer lease.Release()
			}
			g.get("/")
			wantTree(t, out.wait(t, strings.Count(tc.want, "\n")-1), tc.want)
		})
	}
}

const noRoomAtAll = `
classes: [{name: standard, max_waiting: 0}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`

// What waited for longer than its class's objective is recorded; others are not.
func TestSlowIsAlwaysRecorded(t *testing.T) {
	app := newGate()
	g, out := startTraced(t, never+`
classes: [{name: standard, objective: 1ms, overload: fifo, reserve: 0}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	done := make(chan fetched, 1)
	go func() { done <- g.fetch("GET", "/slow", nil) }()
	eventually(t, "the second request waits", func() bool { return g.waiting() == 1 })
	time.Sleep(2 * time.Millisecond) // longer than the objective
	letGo()
	receive(t, "the second request", app.arrived)
	app.pass <- struct{}{}
	<-done
	spans := out.wait(t, 3)
	wantTree(t, spans, `
GET class=standard status_code=200 kept=slow
  overtake.queue class=standard
  GET class=standard status_code=200
`)
	if path := value(spans[0], "url.path"); path != "/slow" {
		t.Errorf("recorded %v, want the slow one", path)
	}
}

// Whose turn came first is in the spans of both who passed and who was passed.
func TestQueueSpanTellsWhoOvertook(t *testing.T) {
	app := newGate()
	g, out := startTraced(t, always+oneSlot, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	l := newLine(g)
	l.join("/batch/1", "/batch/2", "/interactive/1")
	letGo()
	for range 3 {
		receive(t, "the next request", app.arrived)
		app.pass <- struct{}{}
	}
	got := make(map[any]string)
	spans := out.wait(t, 4*3)
	for _, queue := range spans {
		for _, s := range spans {
			if s.ID == queue.Parent && queue.Name == "overtake.queue" {
				got[value(s, "url.path")] = fmt.Sprintf("ahead %v overtaken %v overtaking %v of %v", value(queue, "overtake.queue.ahead"),
					value(queue, "overtake.queue.overtaken"), value(queue, "overtake.queue.overtaking"), value(queue, "overtake.limit"))
			}
		}
	}
	for path, want := range map[string]string{
		"/hold":          "ahead 0 overtaken 0 overtaking 0 of 1",
		"/batch/1":       "ahead 0 overtaken 1 overtaking 0 of 1",
		"/batch/2":       "ahead 1 overtaken 1 overtaking 0 of 1",
		"/interactive/1": "ahead 0 overtaken 0 overtaking 2 of 1",
	} {
		if got[path] != want {
			t.Errorf("%s: %s, want %s", path, got[path], want)
		}
	}
}

// A request that breaks off after its answer has begun is a failure too, with the
// status that the client saw.
func TestBrokenAnswerIsRecorded(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	g, out := startTraced(t, never, app)
	g.fetch("GET", "/", nil)
	wantTree(t, out.wait(t, 3), `
GET class=standard status_code=200 type=upstream_failed kept=failed
  overtake.queue class=standard
  GET class=standard status_code=200 type=upstream_failed
`)
}

func TestLeaverIsRecordedWhenSampled(t *testing.T) {
	app := newGate()
	g, out := startTraced(t, always+oneSlot, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	p := g.dial()
	p.send("GET /batch/left HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "it waits", func() bool { return g.waiting() == 1 })
	p.Close()
	spans := out.wait(t, 2)
	wantTree(t, spans, `
GET class=batch status_code=499 type=client_left !client_left
  overtake.queue class=batch type=client_left !client_left
`)
	letGo()
}

// An answer without a length is given to an HTTP/1.0 client after fasthttp has let
// go of the request.
func TestSpanOfAnAnswerUntilClose(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		io.WriteString(w, "streamed")
	})
	g, out := startTraced(t, always, app)
	p := g.dial()
	p.send("GET /old HTTP/1.0\r\nHost: a\r\n\r\n")
	p.response("GET")
	spans := out.wait(t, 3)
	if path := value(spans[0], "url.path"); path != "/old" {
		t.Errorf("path %v", path)
	}
}

// A job is one trace, from its client's request over the queue to the app.
func TestSpansOfAJob(t *testing.T) {
	q := newFakeQueue()
	var mu sync.Mutex
	var seen []string
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("traceparent"))
		if len(seen) == 1 {
			w.WriteHeader(500)
		}
	})
	g, out := startTraced(t, always+jobsTo, app, q.open())
	g.fetch("POST", "/jobs/batch/1", strings.NewReader("work"))
	q.settlement(t, 2)
	spans := out.wait(t, 2+4+3)
	wantTree(t, spans, `
POST /jobs/** class=batch status_code=202
  send jobs class=batch
    overtake.lane class=batch
    process jobs class=batch state=queued type=failed
      overtake.queue class=batch
      POST class=batch status_code=500 type=500
    process jobs class=batch state=done
      overtake.queue class=batch
      POST class=batch status_code=200
`)
	sent := slices.DeleteFunc(slices.Clone(spans), func(s tracing.Span) bool { return s.Kind != tracing.Client })
	for i, parent := range seen {
		if want := sent[i].ID.String(); !strings.Contains(parent, want) {
			t.Errorf("delivery %d has the parent %s, want %s", i, parent, want)
		}
	}
	if system := value(spans[1], "messaging.system"); system != "nats" {
		t.Errorf("messaging.system is %v", system)
	}
}

// A job that is refused by its broker is a failure, also of the producer.
func TestSpansOfARefusedJob(t *testing.T) {
	q := newFakeQueue()
	q.breaks(fmt.Errorf("fake: away"))
	g, out := startTraced(t, never+jobsOnly, deadAddress(t), q.open())
	g.fetch("POST", "/jobs/1", strings.NewReader("work"))
	wantTree(t, out.wait(t, 2), `
POST /jobs/** class=standard status_code=503 reason=broker_unavailable type=broker_unavailable kept=failed
  send jobs class=standard type=broker_unavailable
`)
}
