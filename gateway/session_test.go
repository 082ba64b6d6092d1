package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// parked returns how many connections wait for their client outside of fasthttp.
func (g *testGateway) parked() (n int) {
	g.leavers.each(func(c *clientConn) {
		c.waitMu.Lock()
		defer c.waitMu.Unlock()
		if c.waits {
			n++
		}
	})
	return n
}

// TestParkedConnection: an idle connection is given up by fasthttp and taken up
// again, as often as need be, and loses nothing.
func TestParkedConnection(t *testing.T) {
	cert, key := newIssuer(t).issue(t.TempDir(), "a.example")
	for name, listener := range map[string]string{"plain": "", "TLS": ", tls: {cert: " + cert + ", key: " + key + "}"} {
		t.Run(name, func(t *testing.T) {
			g := start(t, `listeners: [{address: "127.0.0.1:0"`+listener+`}]`, serveApp(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				io.WriteString(w, r.URL.Path+" "+string(body))
			}))
			var c net.Conn = g.dial().Conn
			if listener != "" {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			p := newPeer(t, c)
			for range 3 {
				p.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n", strings.Repeat("x", 20000))
				p.response("GET")
				if _, body := p.response("POST"); body != "/2 "+strings.Repeat("x", 20000) {
					t.Errorf("got %.30q", body)
				}
				eventually(t, "it is parked", func() bool { return g.parked() == 1 })
			}
		})
	}
}

// TestHalfAHeaderIsNotParked: a connection that waits for the rest of a header is
// not idle, whatever came before.
func TestHalfAHeaderIsNotParked(t *testing.T) {
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, "", app.url())
	p, other := g.dial(), g.dial()
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	p.send(request, request[:9]) // the second one reaches fasthttp together with the first
	p.response("GET")
	other.send(request)
	other.response("GET")
	eventually(t, "the other is parked, which was idle for a shorter time", func() bool { return g.parked() == 1 })
	p.send(request[9:], request)
	p.response("GET")
	p.response("GET")
}

// TestShutdownOfIdleConnections: the drain waits neither for connections that are
// parked nor for those that have said nothing yet, or only a part of what they must
// say before HTTP.
func TestShutdownOfIdleConnections(t *testing.T) {
	cert, key := newIssuer(t).issue(t.TempDir(), "a.example")
	app := serveRaw(t)
	app.answering(okNoBody)
	const limits = "limits: {header_timeout: 1h, idle_timeout: 1h}"
	g := start(t, `listeners: [{address: "127.0.0.1:0", `+limits+`}, {name: tls, address: "127.0.0.1:0", `+limits+`, tls: {cert: `+cert+`, key: `+key+`}},
  {name: proxied, address: "127.0.0.1:0", `+limits+`, proxy_protocol: true, proxy_protocol_from: ["127.0.0.0/8"]}]`, app.url())
	served := g.dial()
	served.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	served.response("GET")
	peers := []*peer{served, g.dial()}
	for name, said := range map[string]string{"tls": "\x16\x03", "proxied": "PROXY "} {
		c, err := net.Dial("tcp", g.Addr(name).String())
		if err != nil {
			t.Fatal(err)
		}
		p := newPeer(t, c)
		p.send(said)
		peers = append(peers, p)
	}
	eventually(t, "all are idle", func() bool { return g.parked() == len(peers) })
	ended, _ := g.shutdown()
	for _, p := range peers {
		p.closed()
	}
	if err := receive(t, "the end of Shutdown", ended); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if log := g.log.String(); strings.Contains(log, "refused") {
		t.Errorf("the log says of those that were not waited for:\n%s", log)
	}
}

// TestLeaverBeforeTheFirstByte: load balancers check a port by connecting, and
// nothing is wrong with that.
func TestLeaverBeforeTheFirstByte(t *testing.T) {
	cert, key := newIssuer(t).issue(t.TempDir(), "a.example")
	for _, listener := range []string{"", "tls: {cert: " + cert + ", key: " + key + "}", `proxy_protocol: true, proxy_protocol_from: ["127.0.0.0/8"]`} {
		g := start(t, `listeners: [{address: "127.0.0.1:0", `+listener+`}]`, deadAddress(t))
		p := g.dial()
		if err := p.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p.closed()
		eventually(t, "it is forgotten", func() bool { return g.parked() == 0 })
		if log := g.log.String(); strings.Contains(log, "refused") {
			t.Errorf("%s: the log says\n%s", listener, log)
		}
	}
}

// TestIdleTimeout: an idle connection is closed without a word.
func TestIdleTimeout(t *testing.T) {
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, `listeners: [{address: "127.0.0.1:0", limits: {idle_timeout: 1s}}]`, app.url())
	p := g.dial()
	p.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	p.response("GET")
	p.closed()
}
