package gateway

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier/strictyaml"
	"overtake/gateway/config"
)

// limited is a listener with limits of its own.
func limited(limits string) string {
	return `listeners: [{address: "127.0.0.1:0", limits: {` + limits + `}}]` + "\n"
}

// refusedWith reads a refusal, after which the connection ends.
func (p *peer) refusedWith(status int) {
	p.t.Helper()
	resp, body := p.response("GET")
	wantRefusal(p.t, fetched{Response: resp, body: body}, status, reasonBadRequest)
	if !resp.Close {
		p.t.Error("the answer does not say close")
	}
	p.closed()
}

func TestHeaderLimits(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, limited("header_bytes: 8KiB, header_fields: 10, header_timeout: 1s"), app.url())
	fields := func(n int) string { return strings.Repeat("X: 1\r\n", n) }
	for _, tc := range []struct {
		name, raw string
		status    int
	}{
		{"as many fields as are allowed", "GET / HTTP/1.1\r\nHost: a\r\n" + fields(9) + "\r\n", 200},
		{"one more", "GET / HTTP/1.1\r\nHost: a\r\n" + fields(10) + "\r\n", 431},
		{"a large one", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 6<<10) + "\r\n\r\n", 200},
		{"a larger one", "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n", 431},
		{"a long target", "GET /" + strings.Repeat("x", 9<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
		{"half a header", "GET / HTTP/1.1\r\nHost: a\r\nX: ", 408},
		{"a request without an end", "GET / HTTP/1.1\r\nHost: a\r\n", 408},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, before := range []string{"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"} {
				p := newPeer(t, g.dial().Conn)
				p.send(before, tc.raw)
				if before != "" {
					p.response("GET")
				}
				n := len(seen.all())
				if tc.status != 200 {
					p.refusedWith(tc.status)
				} else if resp, _ := p.response("GET"); resp.StatusCode != 200 {
					t.Errorf("status %d", resp.StatusCode)
				}
				if tc.status != 200 && len(seen.all()) != n {
					t.Errorf("the app got %q", seen.last(t))
				}
			}
		})
	}
	g.wantMetric(`overtake_requests_total{class="",code="408",listener="public"} 4`)
}

// TestTrailerLimits: they are those of a header.
func TestTrailerLimits(t *testing.T) {
	g := start(t, limited("header_bytes: 8KiB, header_fields: 10"), serveApp(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}))
	for trailer, status := range map[string]int{
		strings.Repeat("X: 1\r\n", 10): 200, strings.Repeat("X: 1\r\n", 11): 431,
		"X: " + strings.Repeat("x", 3<<10) + "\r\n": 200, "X: " + strings.Repeat("x", 9<<10) + "\r\n": 431,
		strings.Repeat("X: "+strings.Repeat("x", 1<<10)+"\r\n", 8): 431,
	} {
		p := newPeer(t, g.dial().Conn)
		p.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", trailer, "\r\n")
		if status == 431 {
			p.refusedWith(status)
		} else if resp, _ := p.response("POST"); resp.StatusCode != status {
			t.Errorf("%.40q: status %d", trailer, resp.StatusCode)
		}
	}
}

// TestSilentClient: who never says anything gets no answer.
func TestSilentClient(t *testing.T) {
	g := start(t, limited("header_timeout: 100ms"), deadAddress(t))
	g.dial().closed()
}

// TestEmptyLines: empty lines begin a request, which has to come in time; they keep no
// connection open.
func TestEmptyLines(t *testing.T) {
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, limited("header_timeout: 300ms, idle_timeout: 1h"), app.url())
	fresh, served := g.dial(), g.dial()
	served.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	served.response("GET")
	for _, p := range []*peer{fresh, served} {
		p.send("\r\n")
		p.closed()
	}
}

// The rest of a body that nobody wanted does not count as the next request's beginning:
// the connection may idle after it.
func TestRefusedBodyIsNoRequest(t *testing.T) {
	g := start(t, "routes: [{match: {path: /app}, upstream: app}]", serveApp(t, says("ok")))
	p := g.dial()
	p.send("POST /else HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	time.Sleep(parkAfter / 4) // the body comes by itself, behind the header
	p.send("4\r\nwork\r\n0\r\n\r\n")
	if resp, _ := p.response("POST"); resp.StatusCode != 404 || resp.Close {
		t.Fatalf("status %d, close %v", resp.StatusCode, resp.Close)
	}
	time.Sleep(2 * parkAfter) // it does not matter if that is too short
	p.send("GET /app HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _ := p.response("GET"); resp.StatusCode != 200 {
		t.Errorf("then status %d", resp.StatusCode)
	}
}

func TestBodyBytes(t *testing.T) {
	app := serveRaw(t)
	seen := app.answering(okNoBody)
	g := start(t, limited("body_bytes: 20000B"), app.url())
	big := strings.Repeat("x", 20_001)
	t.Run("by its length", func(t *testing.T) {
		p := newPeer(t, g.dial().Conn)
		go fmt.Fprintf(p, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20001\r\n\r\n%s", big)
		p.refusedWith(413)
		if heads := seen.all(); len(heads) > 0 {
			t.Errorf("the app got %q", heads)
		}
	})
	for _, line := range []string{"", "Expect: 100-continue\r\n", "Expect: else\r\n"} {
		t.Run("by its length alone, "+line, func(t *testing.T) {
			p := newPeer(t, g.dial().Conn)
			p.send("POST / HTTP/1.1\r\nHost: a\r\n", line, "Content-Length: 20001\r\n\r\n")
			if line == "Expect: else\r\n" {
				p.refusedWith(417)
			} else {
				p.refusedWith(413)
			}
		})
	}
	for _, tc := range []struct {
		size, status int
	}{{20_000, 200}, {20_001, 413}} {
		t.Run(fmt.Sprintf("in chunks, %d", tc.size), func(t *testing.T) {
			g := start(t, limited("body_bytes: 20000B"), serveApp(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err != nil {
					panic(http.ErrAbortHandler)
				}
			}))
			p := newPeer(t, g.dial().Conn)
			go fmt.Fprintf(p, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", tc.size, big[:tc.size])
			if tc.status == 413 {
				p.refusedWith(413)
			} else if resp, _ := p.response("POST"); resp.StatusCode != tc.status {
				t.Errorf("status %d", resp.StatusCode)
			}
		})
	}
}

// TestBodyRate: what counts is the time that the client is waited for, and the
// grace comes back with what it sends.
func TestBodyRate(t *testing.T) {
	type part struct {
		after time.Duration // since the gateway has read the one before
		bytes int
		slow  time.Duration // that the app takes to read it
	}
	steady := func(n int, each part) (parts []part) {
		for range n {
			parts = append(parts, each)
		}
		return parts
	}
	for _, tc := range []struct {
		name  string
		rate  strictyaml.Size
		parts []part
		late  int // the part at which it is given up, or at most two later; -1 for none
	}{
		{"as fast as it must", 240, steady(60, part{after: time.Second, bytes: 240}), -1},
		{"half as fast", 240, steady(60, part{after: time.Second, bytes: 120}), 19},
		{"a byte at a time", 240, steady(60, part{after: time.Second, bytes: 1}), 10},
		{"a pause within the grace", 240, []part{{0, 1000, 0}, {9 * time.Second, 2400, 0}, {9 * time.Second, 2400, 0}}, -1},
		{"a longer pause", 240, []part{{0, 1 << 20, 0}, {12 * time.Second, 1 << 20, 0}}, 1},
		{"a slow app", 240, steady(10, part{bytes: 1, slow: time.Hour}), -1},
		{"no rate", 0, steady(10, part{after: 59 * time.Second, bytes: 1}), -1},
		{"a pause of more than a minute, no rate", 0, []part{{0, 1 << 20, 0}, {62 * time.Second, 1, 0}}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender, receiver := net.Pipe()
				read, done := make(chan struct{}), make(chan struct{})
				defer func() { receiver.Close(); <-done }()
				l := &listener{stop: make(chan struct{})}
				client := &clientConn{Conn: receiver, listener: l, settings: &listenerSettings{limits: config.ListenerLimits{BodyRate: tc.rate}}}
				body := newClientBody(client, false, client)
				go func() {
					defer close(done)
					defer sender.Close()
					for _, p := range tc.parts {
						time.Sleep(p.after)
						if _, err := sender.Write(make([]byte, p.bytes)); err != nil {
							return
						}
						<-read
					}
				}()
				late := -1
				for i, p := range tc.parts {
					_, err := io.ReadFull(body, make([]byte, p.bytes))
					if err != nil {
						if f := asFailure(err); f.code() != http.StatusRequestTimeout || f.reason != reasonBadRequest {
							t.Errorf("part %d: %v", i, err)
						}
						late = i
						break
					}
					time.Sleep(p.slow)
					read <- struct{}{}
				}
				if late < tc.late || late > tc.late+2 || (late < 0) != (tc.late < 0) {
					t.Errorf("given up at part %d, want %d", late, tc.late)
				}
			})
		})
	}
}

// TestClientOutlastsTheTimeout: the app is not to blame for a body that does not come.
func TestClientOutlastsTheTimeout(t *testing.T) {
	app := serveApp(t, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for name, sent := range map[string]string{
		"after a part":     "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 0x3000),
		"before the first": "Transfer-Encoding: chunked\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := start(t, "upstreams: {app: {servers: [$APP], limit: {max: 4}, timeout: 400ms, try_timeout: 200ms}}", app)
			p := g.dial()
			p.send("PUT / HTTP/1.1\r\nHost: a\r\n", sent)
			p.refusedWith(http.StatusRequestTimeout)
			if h := g.upstreams["app"].standings()[0]; h.failed != 0 {
				t.Errorf("the server failed %d times", h.failed)
			}
		})
	}
}

func TestRequestTimeout(t *testing.T) {
	app := newGate()
	g := start(t, limited("request_timeout: 200ms"), serveApp(t, app.ServeHTTP))
	wantRefusal(t, g.get("/"), http.StatusGatewayTimeout, reasonDeadline)
	if r := receive(t, "the request", app.arrived); r.Header.Get("Latency-Deadline") == "" {
		t.Error("the app was not told of it")
	}
}

// TestRequestTimeoutOfABody: it is not for the app alone.
func TestRequestTimeoutOfABody(t *testing.T) {
	g := start(t, limited("request_timeout: 200ms, body_rate: 10B"), deadAddress(t))
	p := newPeer(t, g.dial().Conn)
	p.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nx")
	p.refusedWith(http.StatusRequestTimeout)
}

// TestHeaderAt: the time until a short body is there counts.
func TestHeaderAt(t *testing.T) {
	for _, limits := range []config.ListenerLimits{{}, {BodyRate: 240}, {RequestTimeout: time.Second}} {
		s := &listenerSettings{limits: limits}
		near, _ := net.Pipe()
		c := &session{Conn: near, client: &clientConn{settings: s}}
		now := time.Now()
		for _, length := range []int{1, prefetched, prefetched + 1} {
			var h fasthttp.RequestHeader
			h.SetContentLength(length)
			_ = c.SetReadDeadline(now.Add(s.headerReceived(&h).ReadTimeout)) // as fasthttp does
			if at := c.headerAt(now.Add(time.Hour), length); !at.Equal(now) {
				t.Errorf("%v, %d bytes: the header came %v late", limits, length, at.Sub(now))
			}
		}
	}
}

func TestConnectionsPerClient(t *testing.T) {
	app := serveRaw(t)
	app.answering(okNoBody)
	g := start(t, limited("connections_per_client: 2"), app.url())
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	first, second := g.dial(), g.dial()
	for _, p := range []*peer{first, second} {
		p.send(request)
		p.response("GET")
	}
	third := g.dial()
	third.send(request)
	third.refusedWith(http.StatusTooManyRequests)
	g.wantMetric(`overtake_connections_refused_total{cause="connections_per_client",listener="public"} 1`)
	first.Close()
	eventually(t, "there is room for another", func() bool {
		p := g.dial()
		defer p.Close()
		p.send(request)
		resp, _ := p.response("GET")
		return resp.StatusCode == http.StatusOK
	})
	second.send(request)
	second.response("GET")
}

func TestHeadcount(t *testing.T) {
	var h headcount
	of := func(addr string) *clientConn { return &clientConn{addr: netip.MustParseAddr(addr)} }
	one := of("2001:db8::1")
	if !h.enter(one, 1) || h.enter(of("2001:db8::2"), 1) || !h.enter(of("2001:db8:0:1::1"), 1) {
		t.Error("a client of IPv6 is not its /64")
	}
	if !h.enter(of("192.0.2.1"), 1) || !h.enter(of("192.0.2.2"), 1) || h.enter(of("192.0.2.1"), 1) {
		t.Error("a client of IPv4 is not its address")
	}
	for range 2 {
		if !h.enter(&clientConn{}, 1) {
			t.Error("a client that is not known was counted")
		}
	}
	h.leave(one)
	h.leave(one) // a connection may be closed twice
	if !h.enter(of("2001:db8::3"), 1) {
		t.Error("who has left still counts")
	}
	if len(h.of) != 4 {
		t.Errorf("%v: want no entry for who has left", h.of)
	}
}
