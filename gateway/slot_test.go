package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/scheduler"
)

// noRoom sheds at once what can't run at once.
const noRoom = `
classes: [{name: interactive, max_waiting: 0}, {name: standard, max_waiting: 0}, {name: batch, max_waiting: 0}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`

// oneSlot makes all but one request wait, in strict order of class.
const oneSlot = `
classes: [{name: interactive, max_wait: 0s}, {name: standard, floor: 0%, max_wait: 0s}, {name: batch, floor: 0%, max_wait: 0s}]
rules: [{class: interactive, match: {path: "/interactive/**"}}, {class: batch, match: {path: "/batch/**"}}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`

// hold occupies a slot of the gateway with a request until it is let go.
func (g *testGateway) hold(app *gate) (letGo func()) {
	g.t.Helper()
	done := make(chan fetched, 1)
	go func() { done <- g.fetch("GET", "/hold", nil) }()
	receive(g.t, "the request that holds the slot", app.arrived)
	return func() {
		g.t.Helper()
		app.pass <- struct{}{}
		if f := <-done; f.err != nil || f.StatusCode != http.StatusOK {
			g.t.Errorf("the request that held the slot ended with %v, %v", f.Response, f.err)
		}
	}
}

func TestShedding(t *testing.T) {
	classes := func(fields string) string {
		return fmt.Sprintf("classes: [{name: interactive, %[1]s}, {name: standard, %[1]s}, {name: batch, %[1]s}]\n", fields) + `
rules: [{class: interactive, match: {path: /interactive}}, {class: batch, match: {path: /batch}}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}`
	}
	for _, tc := range []struct {
		name, yaml, reason string
		status             int
		deadline           time.Duration
	}{
		{"no room", classes("max_waiting: 0"), "queue_full", 503, 0},
		{"no room for so many bytes", classes("max_waiting_bytes: 1B"), "queue_bytes", 503, 0},
		{"waited too long", classes("max_wait: 20ms"), "max_wait", 503, 0},
		{"waited past its deadline", classes("max_wait: 0s"), "deadline", 504, 50 * time.Millisecond},
		{"came past its deadline", classes("max_wait: 0s"), "deadline", 504, -time.Second},
		{"past the deadline of its class", classes("max_wait: 0s, deadline: 20ms"), "deadline", 504, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			app := newGate()
			g := start(t, tc.yaml, serveApp(t, app.ServeHTTP))
			lease, ok := g.upstreams["app"].scheduler.TryAcquire(scheduler.Work{})
			if !ok {
				t.Fatal("the slot is not free")
			}
			last := 0
			for _, class := range []string{"interactive", "standard", "batch"} {
				var header []string
				if tc.deadline != 0 {
					header = []string{fmt.Sprintf("Latency-Deadline: %d", time.Now().Add(tc.deadline).UnixMilli())}
				}
				f := g.get("/"+class, header...)
				wantRefusal(t, f, tc.status, tc.reason)
				if !strings.Contains(f.body, `"class":"`+class+`"`) {
					t.Errorf("body %s, want class %s", f.body, class)
				}
				if tc.status == 503 {
					after, err := strconv.Atoi(f.Header.Get("Retry-After"))
					if err != nil || after <= last || after > 10 {
						t.Errorf("%s: Retry-After %d, %v, want more than the %d s of the class before, and few", class, after, err, last)
					}
					last = after
				}
			}
			lease.Release()
			if n := len(app.arrived); n != 0 {
				t.Errorf("%d shed requests reached the app", n)
			}
		})
	}
}

func TestUrgentRequestDisplacesTheNewestBatchRequest(t *testing.T) {
	app := newGate()
	g := start(t, `
classes: [{name: interactive, max_waiting: 1}, {name: standard}, {name: batch, floor: 0%}]
rules: [{class: interactive, match: {path: "/interactive/**"}}, {class: batch, match: {path: "/batch/**"}}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
`, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	q := newLine(g)
	q.join("/batch/1", "/batch/2", "/interactive/1")
	q.send("/interactive/2")
	f := q.answer("/batch/2")
	wantRefusal(t, f, 503, "displaced")
	letGo()
	for _, want := range []string{"/interactive/1", "/interactive/2", "/batch/1"} {
		if got := receive(t, "the next request", app.arrived).URL.Path; got != want {
			t.Errorf("%s went, want %s", got, want)
		}
		app.pass <- struct{}{}
		if f := q.answer(want); f.body != "ok" {
			t.Errorf("%s got %q, %v", want, f.body, f.err)
		}
	}
}

func TestUrgentRequestsOvertake(t *testing.T) {
	app := newGate()
	g := start(t, oneSlot, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	q := newLine(g)
	q.join("/batch/1", "/standard/1", "/batch/2", "/interactive/1", "/standard/2", "/interactive/2")
	letGo()
	for _, want := range []string{"/interactive/1", "/interactive/2", "/standard/1", "/standard/2", "/batch/1", "/batch/2"} {
		if got := receive(t, "the next request", app.arrived).URL.Path; got != want {
			t.Errorf("%s went, want %s", got, want)
		}
		app.pass <- struct{}{}
	}
}

// line is requests that wait in a known order of arrival.
type line struct {
	g       *testGateway
	mu      sync.Mutex
	answers map[string]chan fetched
}

func newLine(g *testGateway) *line { return &line{g: g, answers: make(map[string]chan fetched)} }

// join sends requests, each after the one before waits.
func (l *line) join(targets ...string) {
	l.g.t.Helper()
	for _, target := range targets {
		n := l.g.waiting()
		l.send(target)
		eventually(l.g.t, target+" waits", func() bool { return l.g.waiting() == n+1 })
	}
}

func (l *line) send(target string) {
	ch := make(chan fetched, 1)
	l.mu.Lock()
	l.answers[target] = ch
	l.mu.Unlock()
	go func() { ch <- l.g.fetch("GET", target, nil) }()
}

func (l *line) answer(target string) fetched {
	l.g.t.Helper()
	l.mu.Lock()
	ch := l.answers[target]
	l.mu.Unlock()
	return receive(l.g.t, "the answer to "+target, ch)
}

func TestSlotIsHeldToTheEndOfTheBody(t *testing.T) {
	app := serveRaw(t)
	g := start(t, noRoom, app.url())
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	up := app.next()
	up.head()
	up.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
	p.head()
	p.body(2)
	wantRefusal(t, g.get("/"), 503, "queue_full")
	up.send("lf")
	p.body(2)
	eventually(t, "the slot is free", func() bool { return g.running() == 0 })
}

func TestQueuedClientThatLeavesIsTakenOut(t *testing.T) {
	app := newGate()
	g := start(t, oneSlot, serveApp(t, app.ServeHTTP))
	letGo := g.hold(app)
	p := g.dial()
	p.send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n")
	eventually(t, "it waits", func() bool { return g.waiting() == 1 })
	p.Close()
	eventually(t, "it waits no more", func() bool { return g.waiting() == 0 })
	letGo()
	if n := len(app.arrived); n != 0 {
		t.Error("the request of a client that left reached the app")
	}
	g.wantMetric(`overtake_requests_total{class="standard",code="499",listener="public"} 1`)
}

func TestRunningRequestOfALeaverIsCancelled(t *testing.T) {
	for _, tc := range []struct{ name, more string }{
		{"plain", ""},
		{"with a pipelined request", "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			left := make(chan struct{})
			app := newGate()
			g := start(t, oneSlot, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
				app.arrived <- r
				<-r.Context().Done()
				close(left)
			}))
			p := g.dial()
			p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n", tc.more)
			receive(t, "the request", app.arrived)
			p.Close()
			receive(t, "the app to learn of it", left)
			g.wholeAgain()
			if n := len(app.arrived); n != 0 {
				t.Error("the next request of a client that left reached the app")
			}
		})
	}
}

func TestLeaverDuringTheResponseIsNoticed(t *testing.T) {
	left := make(chan struct{})
	g := start(t, oneSlot, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // it says no more, so no write can fail
		close(left)
	}))
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.head()
	p.Close()
	receive(t, "the app to learn of it", left)
}

func TestHalfClosedClient(t *testing.T) {
	run := func(t *testing.T, abort bool) (*testGateway, *gate, *peer) {
		app := newGate()
		g := start(t, fmt.Sprintf(`listeners: [{address: "127.0.0.1:0", abort_on_close: %v}]`, abort)+oneSlot, serveApp(t, app.ServeHTTP))
		p := g.dial()
		p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		receive(t, "the request", app.arrived)
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		return g, app, p
	}
	t.Run("is gone by default", func(t *testing.T) {
		g, _, p := run(t, true)
		if resp, _ := p.response("GET"); resp.StatusCode != statusClientClosed {
			t.Errorf("status %d, want the one that says so", resp.StatusCode)
		}
		p.closed()
		g.wholeAgain()
	})
	t.Run("gets its answer with abort_on_close false", func(t *testing.T) {
		g, app, p := run(t, false)
		// What would be noticed has been noticed when a later leaver has.
		g.leavers.look()
		app.pass <- struct{}{}
		if resp, body := p.response("GET"); resp.StatusCode != 200 || body != "ok" {
			t.Errorf("got %d %q", resp.StatusCode, body)
		}
	})
}

// TestLeaverBeforeItsConnectionIsTakenOver: what fasthttp has held back for the next
// answer can't be sent any more, and the next one, for which the connection was to be
// taken over, ends all the same.
func TestLeaverBeforeItsConnectionIsTakenOver(t *testing.T) {
	for name, next := range map[string]struct{ request, answer string }{
		"body until close": {"GET /stream HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhello"},
		"upgrade":          {askWebSocket, webSocket},
	} {
		t.Run(name, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, `listeners: [{address: "127.0.0.1:0", abort_on_close: false}]`, app.url())
			p := g.dial()
			p.send("GET /small HTTP/1.1\r\nHost: a\r\n\r\n", next.request)
			up := app.next()
			up.head()
			up.send(okNoBody)
			up.head()
			_ = p.Conn.(*net.TCPConn).SetLinger(0)
			p.Close()
			up.send(next.answer)
			up.Close()
			g.wholeAgain()
			ended, _ := g.shutdown()
			if err := receive(t, "the end of Shutdown", ended); err != nil || len(g.generations) > 0 {
				t.Errorf("shutdown: %v, with %d generations that have not ended", err, len(g.generations))
			}
		})
	}
}

func TestPanicIsAnsweredAndCostsNoSlot(t *testing.T) {
	app := newGate()
	g := start(t, noRoom, serveApp(t, app.ServeHTTP))
	server := g.upstreams["app"].servers[0]
	server.refuse = func(net.Conn) error { panic("out of range") } // with the slot in hand
	for range 3 {
		f := g.fetch("POST", "/", strings.NewReader("body"))
		if f.err != nil || f.StatusCode != http.StatusInternalServerError || !f.Close {
			t.Fatalf("got %v, %v", f.Response, f.err)
		}
		if strings.Contains(f.body, "range") {
			t.Errorf("the client is told of internals: %s", f.body)
		}
	}
	server.refuse = nil
	g.hold(app)()
	if !strings.Contains(g.log.String(), "panic while serving") {
		t.Error("the panic is not in the log")
	}
}

// TestPanicElsewhere: what goes on outside of a request's handler has no more power
// over the process, and gives back as much.
func TestPanicElsewhere(t *testing.T) {
	var g *testGateway
	const get, post = "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
	body := func(length int) func(*fasthttp.RequestCtx) {
		return func(ctx *fasthttp.RequestCtx) { ctx.Request.SetBodyStream(panicking{}, length); g.serve(ctx) }
	}
	answer := func(ctx *fasthttp.RequestCtx) { g.serve(ctx); clientOf(ctx.Conn()).request.answer.chunks = nil }
	for name, tc := range map[string]struct {
		request string
		handler func(*fasthttp.RequestCtx)
		reply   string // how it begins
	}{
		"at the beginning":             {post, body(-1), "HTTP/1.1 500 "},
		"sending the request's body":   {post, body(prefetched + 1), "HTTP/1.1 500 "},
		"passing the answer's body on": {get, answer, ""},
		"until the connection's end":   {"GET / HTTP/1.0\r\n\r\n", answer, "HTTP/1.1 200 "},
		"on a connection taken over": {get, func(ctx *fasthttp.RequestCtx) {
			client := clientOf(ctx.Conn())
			g.begin(ctx, client, &client.request)
			g.hijack(ctx, client, &client.request, func(net.Conn) { panic("out of range") })
		}, ""},
		"on the connection": {get, func(ctx *fasthttp.RequestCtx) { g.serve(ctx); panic("out of range") }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			app := serveRaw(t)
			if !strings.Contains(tc.reply, "500") {
				app.answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
			}
			g = start(t, "", app.url())
			g.settings[0].server.Handler = tc.handler
			p := g.dial()
			p.send(tc.request)
			if reply, _ := io.ReadAll(p.br); !strings.HasPrefix(string(reply), tc.reply) || tc.reply == "" && len(reply) > 0 {
				t.Errorf("the client got %q", reply)
			}
			g.wantMetric(`overtake_requests_total{class="standard",code="500",listener="public"} 1`)
			if n := strings.Count(g.log.String(), "panic while serving"); n != 1 {
				t.Errorf("%d panics are in the log", n)
			}
		})
	}
}

// panicking is a body that can't be read.
type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("out of range") }

func TestPanicOfADeliveryIsAFailedAttempt(t *testing.T) {
	q := newFakeQueue()
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, jobsTo, app.url(), q.open())
	g.upstreams["app"].servers[0].refuse = func(net.Conn) error { panic("out of range") }
	g.fetch("POST", "/jobs/1", nil)
	if got := q.settlement(t, 2); !strings.Contains(got, "dead: attempt 2 of 2 failed") {
		t.Errorf("settled as %q", got)
	}
}
