package gateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

const (
	askWebSocket = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x\r\n\r\n"
	webSocket    = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nupgrade: websocket\r\nSec-WebSocket-Accept: y\r\n\r\n"
)

// upgraded opens a connection, and switches it to WebSocket.
func (g *testGateway) upgraded(app *rawApp, client net.Conn) (near, far *peer) {
	g.t.Helper()
	near = newPeer(g.t, client)
	near.send(askWebSocket)
	far = app.next()
	head := far.head()
	wantFields(g.t, head, map[string][]string{"Connection": {"Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-WebSocket-Key": {"x"}})
	if n := g.running(); n != 1 {
		g.t.Errorf("%d slots in use while the app decides, want 1", n)
	}
	far.send(webSocket, "hello")
	head = near.head()
	if !strings.HasPrefix(head, "HTTP/1.1 101 Switching Protocols\r\n") || strings.Contains(head, "Content-Length") {
		g.t.Fatalf("the client got %q", head)
	}
	wantFields(g.t, head, map[string][]string{"Connection": {"Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-WebSocket-Accept": {"y"}})
	if got := near.body(5); got != "hello" {
		g.t.Errorf("behind the 101 came %q", got)
	}
	return near, far
}

// TestUpgrade passes bytes both ways, without a slot, and each end by itself.
func TestUpgrade(t *testing.T) {
	cert, key := selfSigned(t)
	for name, listener := range map[string]string{
		"plain": `{address: "127.0.0.1:0"}`, "TLS": `{address: "127.0.0.1:0", tls: {cert: ` + cert + `, key: ` + key + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			app := serveRaw(t)
			g := start(t, "listeners: ["+listener+"]", app.url())
			client := g.dial().Conn
			if name == "TLS" {
				client = tls.Client(client, &tls.Config{InsecureSkipVerify: true})
			}
			near, far := g.upgraded(app, client)
			g.wholeAgain() // with the tunnel open
			for range 3 {
				near.send("ping")
				if got := far.body(4); got != "ping" {
					t.Errorf("the app got %q", got)
				}
				far.send("pong")
				if got := near.body(4); got != "pong" {
					t.Errorf("the client got %q", got)
				}
			}
			if err := closeWrite(near.Conn); err != nil {
				t.Fatal(err)
			}
			far.closed()
			far.send("the rest")
			far.Close()
			if rest, err := io.ReadAll(near.br); string(rest) != "the rest" || err != nil {
				t.Errorf("the client got %q, %v", rest, err)
			}
			near.Close()
			eventually(t, "the tunnel is counted when it has ended", func() bool {
				_, page := g.adminGet("/metrics")
				return strings.Contains(page, `overtake_requests_total{class="standard",code="101",listener="public"} 1`)
			})
		})
	}
}

// TestAppThatDiesInATunnel takes the client's connection with it.
func TestAppThatDiesInATunnel(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	near, far := g.upgraded(app, g.dial().Conn)
	if err := far.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	far.Close()
	near.closed()
}

// TestUpgradeIsRefused: whatever is no 101 is an answer as any other, and a switch to
// something that nobody asked for is none.
func TestUpgradeIsRefused(t *testing.T) {
	for answer, want := range map[string]int{
		"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nno":                  426,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno":                                                      200,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n":                     502,
		"HTTP/1.1 101 Switching Protocols\r\n\r\n":                                                            502,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nUpgrade: h2c\r\nConnection: close\r\n\r\n": 502,
	} {
		app := serveRaw(t)
		app.answering(answer)
		g := start(t, "", app.url())
		p := g.dial()
		for range 2 { // on the same connection, which goes on
			p.send(askWebSocket)
			if resp, _ := p.response("GET"); resp.StatusCode != want || resp.Header.Get("Upgrade") != "" {
				t.Errorf("of %q came %d %q", answer, resp.StatusCode, resp.Header)
			}
		}
	}
}

// TestUpgradedConnectionIsDrained: Shutdown waits for it, and cuts it off in the end.
func TestUpgradedConnectionIsDrained(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	near, far := g.upgraded(app, g.dial().Conn)
	ended, cut := g.shutdown()
	near.send("more")
	if got := far.body(4); got != "more" {
		t.Errorf("while draining the app got %q", got)
	}
	select {
	case err := <-ended:
		t.Fatalf("Shutdown has returned %v with a tunnel open", err)
	default:
	}
	cut()
	near.closed()
	far.closed()
	if receive(t, "the end of Shutdown", ended) == nil {
		t.Error("Shutdown did not say that it cut something off")
	}
}

// TestClientThatLeavesBeforeTheSwitch is noticed as any other.
func TestClientThatLeavesBeforeTheSwitch(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	near := g.dial()
	near.send(askWebSocket)
	far := app.next()
	far.head()
	near.Close()
	far.closed()
	g.wholeAgain()
}

// TestUpgradeOfOtherConnections: to servers over TLS and unix sockets, and of an app's
// own calls.
func TestUpgradeOfOtherConnections(t *testing.T) {
	// echo switches, and sends back what comes until that ends.
	echo := func(w http.ResponseWriter, r *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, webSocket)
		io.Copy(c, rw)
	}
	talk := func(p *peer) {
		p.t.Helper()
		p.send(askWebSocket)
		if head := p.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
			p.t.Fatalf("got %q", head)
		}
		p.send(strings.Repeat("x", 100_000))
		if err := closeWrite(p.Conn); err != nil {
			p.t.Fatal(err)
		}
		if rest, err := io.ReadAll(p.br); len(rest) != 100_000 || err != nil {
			p.t.Errorf("%d bytes came back, %v", len(rest), err)
		}
	}
	t.Run("server over TLS", func(t *testing.T) {
		a := newTestCA(t)
		app := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{a.issue("app", "app.internal")}}, echo)
		g := start(t, fmt.Sprintf("upstreams: {app: {servers: [$APP], tls: {ca: %s, server_name: app.internal}}}", a.file("ca.pem")), app)
		talk(g.dial())
	})
	t.Run("server on a unix socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "app.sock")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(echo)}
		done := make(chan struct{})
		go func() { defer close(done); server.Serve(ln) }()
		t.Cleanup(func() { server.Close(); <-done })
		talk(start(t, "", "unix://"+path).dial())
	})
	t.Run("call of an app", func(t *testing.T) {
		s := startSidecar(t, "", deadAddress(t))
		p := s.dialOutbound()
		to := strings.TrimPrefix(serveApp(t, echo), "http://")
		p.send(strings.Replace(strings.Replace(askWebSocket, "/chat", "http://"+to+"/chat", 1), "Host: a", "Host: "+to, 1))
		if head := p.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
			t.Fatalf("got %q", head)
		}
		p.send("ping")
		if got := p.body(4); got != "ping" {
			t.Errorf("got %q", got)
		}
		p.Close()
	})
}

// TestUpgradeBehindAnotherRequest: the answer before comes first, and what was sent
// behind the request is for the new protocol.
func TestUpgradeBehindAnotherRequest(t *testing.T) {
	app := serveRaw(t)
	g := start(t, "", app.url())
	near := g.dial()
	near.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n", askWebSocket, "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
	far := app.next()
	far.head()
	far.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
	if head := far.head(); !strings.HasPrefix(head, "GET /chat ") {
		t.Errorf("the app got %q", head)
	}
	far.send(webSocket)
	if resp, body := near.response("GET"); resp.StatusCode != 200 || body != "first" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	if head := near.head(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Errorf("got %q", head)
	}
	if got := far.head(); got != "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n" { // byte for byte: nobody read it
		t.Errorf("through the tunnel came %q", got)
	}
	near.Close()
	far.closed()
}
