package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// connectTo opens a tunnel by CONNECT and returns both of its ends.
func (s sidecar) connectTo(server *rawApp) (app, far *peer) {
	s.t.Helper()
	app = s.dialOutbound()
	app.send("CONNECT ", strings.TrimPrefix(server.url(), "http://"), " HTTP/1.1\r\nHost: x\r\nLatency-Class: batch\r\n\r\n")
	if head := app.head(); !strings.HasPrefix(head, "HTTP/1.1 200 ") || strings.Contains(head, "Content-Length") {
		s.t.Fatalf("CONNECT was answered with %q", head)
	}
	return app, server.next()
}

// TestProxyOfAnOrdinaryClient: Go's own, plain and by CONNECT to a TLS server.
func TestProxyOfAnOrdinaryClient(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(body)
	})
	secure := httptest.NewTLSServer(echo)
	defer secure.Close()
	s := startSidecar(t, "", deadAddress(t))
	c := s.caller()
	c.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	big := strings.Repeat("x", 100_000)
	for _, url := range []string{serveApp(t, echo), secure.URL} {
		for range 3 {
			resp, err := c.Post(url, "text/plain", strings.NewReader(big))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); string(body) != big || err != nil {
				t.Errorf("%s: %d bytes, %v", url, len(body), err)
			}
			resp.Body.Close()
		}
	}
	c.CloseIdleConnections()
	eventually(t, "the tunnel is counted when it has ended", func() bool {
		_, page := s.adminGet("/metrics")
		return strings.Contains(page, `overtake_requests_total{class="standard",code="200",listener="outbound"} 4`)
	})
}

// TestTunnelPassesEndsOn: each side may end its half and still hear the other's.
func TestTunnelPassesEndsOn(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	app, far := s.connectTo(serveRaw(t))
	app.send("question")
	app.Conn.(*net.TCPConn).CloseWrite()
	if got, err := io.ReadAll(far.br); string(got) != "question" || err != nil {
		t.Fatalf("the far end got %q, %v", got, err)
	}
	// The leavers' watch must not take the half for the whole.
	eventually(t, "the tunnel is old enough to be looked at", func() bool { return time.Since(s.leavers.epoch) > 2*lookEvery })
	s.leavers.mu.Lock()
	for c := range s.leavers.conns {
		c.busySince.CompareAndSwap(c.busySince.Load(), 1)
	}
	s.leavers.mu.Unlock()
	s.leavers.look()
	far.send("answer")
	far.Close()
	if got, err := io.ReadAll(app.br); string(got) != "answer" || err != nil {
		t.Errorf("the app got %q, %v", got, err)
	}
	eventually(t, "the tunnel has ended", func() bool {
		_, page := s.adminGet("/metrics")
		return strings.Contains(page, `overtake_requests_total{class="batch",code="200",listener="outbound"} 1`)
	})
}

// TestTunnelTakesWhatCameEarly: bytes behind the CONNECT are the tunnel's.
func TestTunnelTakesWhatCameEarly(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	server := serveRaw(t)
	app := s.dialOutbound()
	app.send("CONNECT ", strings.TrimPrefix(server.url(), "http://"), " HTTP/1.1\r\nHost: x\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n")
	app.head()
	far := server.next()
	if head := far.head(); head != "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n" {
		t.Errorf("the far end got %q", head)
	}
	app.Close()
	far.closed()
}

// TestTunnelIsDrained: Shutdown waits for it, and cuts it off in the end.
func TestTunnelIsDrained(t *testing.T) {
	for _, cutOff := range []bool{false, true} {
		s := startSidecar(t, "", deadAddress(t))
		app, far := s.connectTo(serveRaw(t))
		ended, cut := s.shutdown()
		app.send("more")
		if got := far.body(4); got != "more" {
			t.Errorf("while draining the far end got %q", got)
		}
		select {
		case err := <-ended:
			t.Fatalf("Shutdown has returned %v with a tunnel open", err)
		default:
		}
		if cutOff {
			cut()
			app.closed()
			far.closed()
		} else {
			app.Close()
			far.closed()
			far.Close()
		}
		if err := receive(t, "the end of Shutdown", ended); (err != nil) != cutOff {
			t.Errorf("cut off %v: shutdown: %v", cutOff, err)
		}
	}
}

// TestRedirectedConnections: TLS is passed on to where it was going, HTTP is
// served, and a tunnel that comes back to its own process is refused. The redirect
// itself takes netfilter and is tested from outside.
func TestRedirectedConnections(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	s := startSidecar(t, loggingTo(path), deadAddress(t))
	outbound := s.listeners[1]
	// accepted is a connection as Accept makes it of one that was redirected.
	accepted := func(original net.Addr) (app *peer, served <-chan struct{}) {
		ln := listenLoopback(t)
		c, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		inner, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		cc := newClientConn(inner, outbound)
		cc.original = addrPort(original)
		s.leavers.add(cc)
		done := make(chan struct{})
		go func() { defer close(done); s.converse(outbound, cc) }()
		return newPeer(t, c), done
	}

	server := serveRaw(t)
	app, served := accepted(server.ln.Addr())
	app.send("\x16\x03\x01hello")
	far := server.next()
	if got := far.body(8); got != "\x16\x03\x01hello" {
		t.Errorf("the far end got %q", got)
	}
	far.send("\x16answer")
	if got := app.body(7); got != "\x16answer" {
		t.Errorf("the app got %q", got)
	}
	far.Close()
	app.closed()
	app.Close()
	receive(t, "the end of the tunnel", served)

	web := serveRaw(t)
	heads := web.answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	app, served = accepted(web.ln.Addr())
	for range 2 {
		app.send("GET /x HTTP/1.1\r\nHost: some.name\r\n\r\n")
		if resp, body := app.response("GET"); body != "hi" {
			t.Errorf("got %d %q", resp.StatusCode, body)
		}
	}
	app.send("GET /x HTTP/1.0\r\n\r\n")
	app.response("GET")
	if got := values(heads.last(t), "Host"); !slices.Equal(got, []string{web.ln.Addr().String()}) {
		t.Errorf("of an HTTP/1.0 request without Host came %q, want where it was going", got)
	}
	app.Close()
	receive(t, "the end of the connection", served)

	app, served = accepted(server.ln.Addr())
	s.tunnels.add(app.Conn)
	app.send("\x16")
	app.closed()
	receive(t, "the end of the connection", served)
	s.tunnels.remove(app.Conn)
	if !strings.Contains(s.log.String(), "exclude the user") {
		t.Error("the log has no remedy for the loop")
	}

	app, served = accepted(server.ln.Addr()) // sends nothing
	ended, _ := s.shutdown()
	app.closed()
	receive(t, "the end of the connection", served)
	receive(t, "the end of the gateway", ended) // and of what writes its log
	linesIn(t, path)[0].want(t, logged{"host": server.ln.Addr().String(), "status": 200.0, "route": ""})
}

// What follows a CONNECT that is refused was for the tunnel: it is no request.
func TestRefusedTunnelEndsTheConnection(t *testing.T) {
	next := serveRaw(t)
	s := startSidecar(t, "", deadAddress(t))
	dead := strings.TrimPrefix(deadAddress(t), "http://")
	app := s.dialOutbound()
	app.send("CONNECT ", dead, " HTTP/1.1\r\nHost: x\r\n\r\nGET ", next.url(), "/smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, _ := app.response("CONNECT"); resp.StatusCode != http.StatusBadGateway || !resp.Close {
		t.Errorf("got %d, and the connection is closed: %t", resp.StatusCode, resp.Close)
	}
	if _, err := app.br.ReadByte(); err != io.EOF {
		t.Errorf("the connection goes on: %v", err)
	}
}

// A loop is told where somebody will look, once for all its laps.
func TestLoopIsLogged(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	via := "Via: " + strings.TrimSuffix(strings.Repeat("1.1 overtake, ", maxLaps+1), ", ")
	for range 3 {
		if f := s.get("/", via); f.StatusCode != http.StatusLoopDetected || !strings.Contains(f.body, "look for a route") {
			t.Errorf("got %d %s", f.StatusCode, f.body)
		}
	}
	if n := strings.Count(s.log.String(), "a loop, which is refused: look for a route"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
