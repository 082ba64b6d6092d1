package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"overtake/gateway/config"
)

// shutdown runs Shutdown aside. cut ends its patience.
func (g *testGateway) shutdown() (ended <-chan error, cut context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	g.t.Cleanup(cancel)
	ch := make(chan error, 1)
	go func() { ch <- g.Shutdown(ctx) }()
	eventually(g.t, "nobody is let in any more", func() bool {
		c, err := net.Dial("tcp", g.addr)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	return ch, cancel
}

func TestShutdownAtOnce(t *testing.T) {
	for range 20 { // whether Serve has come to run or not
		g := newGateway(t, "", deadAddress(t))
		if err := g.Start(); err != nil {
			t.Fatal(err)
		}
		if err := g.Shutdown(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestShutdownLetsRequestsFinish(t *testing.T) {
	app := newGate()
	g := start(t, oneSlot, serveApp(t, app.ServeHTTP))
	idle := g.dial()
	idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, "a request", app.arrived)
	app.pass <- struct{}{}
	idle.response("GET")

	running := g.dial()
	running.send("GET /running HTTP/1.1\r\nHost: a\r\n\r\n")
	receive(t, "the request that runs", app.arrived)
	l := newLine(g)
	l.join("/waiting")
	ended, _ := g.shutdown()
	idle.closed()
	if status, page := g.adminGet("/readyz"); status != 503 || !strings.Contains(page, "draining") {
		t.Errorf("readyz while draining: %d %s", status, page)
	}
	app.pass <- struct{}{}
	if resp, body := running.response("GET"); body != "ok" || !resp.Close {
		t.Errorf("the running request got %q, close %v", body, resp.Close)
	}
	running.closed()
	receive(t, "the request that waited", app.arrived)
	app.pass <- struct{}{}
	if f := l.answer("/waiting"); f.body != "ok" {
		t.Errorf("the waiting request got %q, %v", f.body, f.err)
	}
	if err := receive(t, "the end of Shutdown", ended); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	g.wholeAgain()
}

func TestShutdownInTheEndCutsOff(t *testing.T) {
	app := newGate()
	gone := make(chan struct{})
	g := start(t, oneSlot, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		app.ServeHTTP(w, r)
		close(gone)
	}))
	l := newLine(g)
	l.send("/running")
	receive(t, "the request that runs", app.arrived)
	l.join("/waiting")
	ended, cut := g.shutdown()
	cut()
	wantRefusal(t, l.answer("/waiting"), 503, "draining")
	wantRefusal(t, l.answer("/running"), 503, "draining")
	receive(t, "the app to learn of it", gone)
	if err := receive(t, "the end of Shutdown", ended); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("shutdown: %v, want that something was cut off", err)
	}
	g.wholeAgain()
}

// TestShutdownWaitsForAnHTTP10Download: its connection has been taken over from
// fasthttp, whose own count does not have it any more.
func TestShutdownWaitsForAnHTTP10Download(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	p.send("GET / HTTP/1.0\r\n\r\n")
	up := app.next()
	up.head()
	up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n")
	p.head()
	p.body(2)
	ended, _ := g.shutdown()
	select {
	case err := <-ended:
		t.Fatalf("Shutdown has returned %v in the middle of a download", err)
	default:
	}
	up.send("2\r\nlf\r\n0\r\n\r\n")
	if got, err := io.ReadAll(p.br); string(got) != "lf" || err != nil {
		t.Errorf("the rest is %q, %v", got, err)
	}
	if err := receive(t, "the end of Shutdown", ended); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownCutsOffADownload(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.0", "HTTP/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, "", app.url())
			p := g.dial()
			p.send("GET / ", protocol, "\r\nHost: a\r\n\r\n")
			up := app.next()
			up.head()
			up.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nha\r\n")
			p.head()
			ended, cut := g.shutdown()
			cut()
			if err := receive(t, "the end of Shutdown", ended); err == nil {
				t.Error("Shutdown does not say that something was cut off")
			}
			if rest, _ := io.ReadAll(p.br); strings.Contains(string(rest), "0\r\n\r\n") {
				t.Errorf("the body looks whole: %q", rest)
			}
			up.closed()
		})
	}
}

func TestShutdownGivesMessagesBack(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, `
routes: [{match: {path: "/jobs/**"}, queue: jobs}, {upstream: app}]
upstreams: {app: {servers: [$APP], limit: {max: 1}}}
queues: {jobs: {deliver: {upstream: app}}}
`, serveApp(t, app.ServeHTTP), q.open())
	g.fetch("POST", "/jobs/1", nil)
	receive(t, "the delivery", app.arrived)
	g.fetch("POST", "/jobs/2", nil)
	eventually(t, "the second waits for the slot", func() bool { return g.waiting() == 1 })
	ended, _ := g.shutdown()
	if got := q.settlement(t, 1); !strings.HasSuffix(got, "retry 0s") {
		t.Errorf("the message that waited was settled as %q, want it given back", got)
	}
	app.pass <- struct{}{}
	if got := q.settlement(t, 2); !strings.HasSuffix(got, "done") {
		t.Errorf("the message that was worked on was settled as %q", got)
	}
	if err := receive(t, "the end of Shutdown", ended); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func TestShutdownCutsOffADelivery(t *testing.T) {
	app := newGate()
	q := newFakeQueue()
	g := start(t, strings.Replace(jobsTo, "attempts: 2", "attempts: 1", 1), serveApp(t, app.ServeHTTP), q.open())
	g.fetch("POST", "/jobs/1", nil)
	receive(t, "the delivery", app.arrived)
	ended, cut := g.shutdown()
	cut()
	if err := receive(t, "the end of Shutdown", ended); err == nil {
		t.Error("Shutdown does not say that something was cut off")
	}
	if got := q.settlement(t, 1); !strings.HasSuffix(got, "retry 0s") {
		t.Errorf("settled as %q, want it given back", got)
	}
}

func TestStartFailsOnATakenAddress(t *testing.T) {
	taken := listenLoopback(t).Addr().String()
	for _, yaml := range []string{
		`listeners: [{address: "127.0.0.1:0"}, {address: "` + taken + `"}]`, `admin: "` + taken + `"`,
	} {
		g := newGateway(t, yaml, deadAddress(t))
		if err := g.Start(); err == nil || !strings.Contains(err.Error(), taken) {
			t.Errorf("start: %v, want an error that names %s", err, taken)
		}
	}
}

// A reload that hangs, as on a file system that does, does not hold up the end.
func TestShutdownDuringReload(t *testing.T) {
	g := start(t, "", deadAddress(t))
	begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	g.file = func() (*config.Config, error) {
		close(begun)
		<-release
		return g.Config(), nil
	}
	go func() { defer close(ended); g.Reload() }()
	receive(t, "the reload", begun)
	if err := g.Shutdown(testContext(t)); err != nil {
		t.Error(err)
	}
	before := g.present.Load()
	close(release)
	receive(t, "the end of the reload", ended)
	if g.present.Load() != before {
		t.Error("a reload after the end")
	}
}

// Somebody who takes a profile, or does not read, does not hold up the end, nor does it
// count as a drain that failed.
func TestShutdownWithAnOpenAdminRequest(t *testing.T) {
	g := newGateway(t, "", deadAddress(t))
	asked := make(chan struct{})
	if err := g.Start(); err != nil {
		t.Fatal(err)
	}
	g.admin.server.Handler.(*guard).next.HandleFunc("GET /slow", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	c, err := net.Dial("tcp", g.AdminAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	receive(t, "the request", asked)
	ctx := testContext(t)
	if err := g.Shutdown(ctx); err != nil || ctx.Err() != nil {
		t.Errorf("shutdown: %v, %v", err, ctx.Err())
	}
}
