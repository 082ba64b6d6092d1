package gateway

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestGatewayErrors(t *testing.T) {
	answering := func(text string) func(*testing.T) string {
		return func(t *testing.T) string {
			app := serveRaw(t)
			app.answering(text)
			return app.url()
		}
	}
	hanging := func(t *testing.T) string { return serveRaw(t).url() }
	closing := func(t *testing.T) string {
		app := serveRaw(t)
		app.each(func(c net.Conn) { readHead(bufio.NewReader(c)) })
		return app.url()
	}
	for _, tc := range []struct {
		name   string
		app    func(*testing.T) string
		status int
		reason string
	}{
		{"nobody listens", deadAddress, 502, "connect_failed"},
		{"no answer", closing, 502, "upstream_failed"},
		{"not HTTP", answering("SSH-2.0-OpenSSH\r\n\r\n"), 502, "upstream_failed"},
		{"no status", answering("HTTP/1.1 abc OK\r\n\r\n"), 502, "upstream_failed"},
		{"two lengths", answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), 502, "upstream_failed"},
		{"header too large", answering("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", bufferSize) + "\r\n\r\n"), 502, "upstream_failed"},
		{"switches protocols", answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), 502, "upstream_failed"},
		{"only interim responses", answering(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 200)), 502, "upstream_failed"},
		{"too slow", hanging, 504, "upstream_timeout"},
		{"too slow for the deadline", hanging, 504, "deadline"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			timeout := patience
			if tc.reason == reasonUpstreamTimeout {
				timeout = 50 * time.Millisecond
			}
			g := start(t, fmt.Sprintf(`upstreams: {app: {servers: [$APP], timeout: %s, limit: {max: 1}}}`, timeout), tc.app(t))
			for _, body := range []int{0, 10, 100_000} {
				var header []string
				if tc.reason == reasonDeadline {
					soon := time.Now().Add(50 * time.Millisecond)
					header = []string{fmt.Sprintf("Latency-Deadline: %d", soon.UnixMilli())}
				}
				f := g.fetch("POST", "/", bytes.NewReader(make([]byte, body)), header...)
				wantRefusal(t, f, tc.status, tc.reason)
				if strings.Contains(f.body, "127.0.0.1") {
					t.Errorf("the client is told of internals: %s", f.body)
				}
			}
		})
	}
}

func TestNoRoute(t *testing.T) {
	g := start(t, "routes: [{match: {path: /app}, upstream: app}]", deadAddress(t))
	wantRefusal(t, g.get("/other"), 404, "no_upstream")
	wantRefusal(t, g.get("/_overtake/jobs/1"), 404, "no_upstream")
}

func TestResponseThatStallsIsCutOff(t *testing.T) {
	app := serveRaw(t)
	g := start(t, `upstreams: {app: {servers: [$APP], timeout: 1s, limit: {max: 1}}}`, app.url())
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	up := app.next()
	up.head()
	up.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
	p.head()
	p.body(2)
	p.closed()
	up.closed()
}

// TestServerThatClosesAKeptConnection: when it does so while it has the request,
// nobody knows what came of that; only what may be repeated is sent again.
func TestServerThatClosesAKeptConnection(t *testing.T) {
	for _, tc := range []struct {
		method, body string
		again        bool
	}{{"GET", "", true}, {"HEAD", "", true}, {"DELETE", "", true}, {"POST", "", false}, {"PATCH", "", false}, {"PUT", "x", false}} {
		t.Run(tc.method, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, "", app.url())
			p := g.dial()
			p.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n")
			up := app.next()
			up.head()
			up.send(okNoBody)
			p.response("GET")

			p.send(tc.method, " /second HTTP/1.1\r\nHost: a\r\nContent-Length: ", fmt.Sprint(len(tc.body)), "\r\n\r\n", tc.body)
			up.head()
			up.Close()
			if !tc.again {
				resp, body := p.response(tc.method)
				wantRefusal(t, fetched{Response: resp, body: body}, 502, "upstream_failed")
				return
			}
			up = app.next()
			if head := up.head(); !strings.HasPrefix(head, tc.method+" /second ") {
				t.Errorf("head %q", head)
			}
			up.send(okNoBody)
			if resp, _ := p.response(tc.method); resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

func TestConnectionClosedWhileIdleIsNotUsed(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	for range 3 { // a POST, which is never repeated
		p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
		up := app.next()
		up.head()
		up.body(1)
		up.send(okNoBody)
		p.response("POST")
		up.Close()
		conns := idleConns(g)
		if len(conns) != 1 {
			t.Fatalf("%d idle connections, want 1", len(conns))
		}
		eventually(t, "the close has come", func() bool { return !conns[0].quiet() })
	}
}

func idleConns(g *testGateway) (all []*upstreamConn) {
	for _, u := range g.upstreams {
		for _, s := range u.servers {
			s.mu.Lock()
			for _, idle := range s.idle {
				all = append(all, idle...)
			}
			s.mu.Unlock()
		}
	}
	return all
}

func TestServerThatTalksUnaskedIsNotBelieved(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	p.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")
	up := app.next()
	up.head()
	up.send(okNoBody, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")
	p.response("GET")
	p.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
	up = app.next()
	up.head()
	up.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")
	if _, body := p.response("GET"); body != "true" {
		t.Errorf("the client got %q", body)
	}
}

func TestDeadServerIsSkipped(t *testing.T) {
	app := serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	g := start(t, fmt.Sprintf(`upstreams: {app: {servers: [%q, $APP, %q]}}`, deadAddress(t), deadAddress(t)), app)
	for range 10 {
		f := g.fetch("POST", "/", bytes.NewReader(make([]byte, 50_000)))
		if f.err != nil || f.StatusCode != 200 || len(f.body) != 50_000 {
			t.Fatalf("got %v, %v", f.Response, f.err)
		}
	}
}

func TestLeastBusyServerIsChosen(t *testing.T) {
	one, two := newGate(), newGate()
	g := start(t, fmt.Sprintf(`upstreams: {app: {servers: [$APP, %q], limit: {max: 4}}}`, serveApp(t, two.ServeHTTP)), serveApp(t, one.ServeHTTP))
	for n := range 4 {
		go g.fetch("GET", fmt.Sprint("/", n), nil)
		eventually(t, "it arrives", func() bool { return len(one.arrived)+len(two.arrived) == n+1 })
	}
	if len(one.arrived) != 2 || len(two.arrived) != 2 {
		t.Errorf("%d and %d requests on two servers", len(one.arrived), len(two.arrived))
	}
	one.pass <- struct{}{}
	one.pass <- struct{}{}
	eventually(t, "the first is free", func() bool { return g.running() == 2 })
	go g.fetch("GET", "/5", nil)
	eventually(t, "it goes to the free one", func() bool { return len(one.arrived) == 3 })
	one.pass <- struct{}{}
	two.pass <- struct{}{}
	two.pass <- struct{}{}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hi") })}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-done })
	g := start(t, "", "unix://"+path)
	for range 2 {
		if f := g.get("/"); f.body != "hi" {
			t.Errorf("got %q", f.body)
		}
	}
}

func TestIdleConnectionsAreClosedInTime(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	up := app.next()
	up.head()
	up.send(okNoBody)
	p.response("GET")
	eventually(t, "the connection is kept", func() bool { return len(idleConns(g)) == 1 })
	g.upstreams["app"].closeIdle(time.Hour)
	if len(idleConns(g)) != 1 {
		t.Error("a young connection was closed")
	}
	g.upstreams["app"].closeIdle(0)
	up.closed()
}
