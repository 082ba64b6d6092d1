package gateway

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe is one end of a connection in memory, so that time can be fake. Each side may
// end its half, as with TCP.
type pipe struct {
	net.Conn // to read from
	out      net.Conn
}

func newPipe() (a, b pipe) {
	there, thereEnd := net.Pipe()
	back, backEnd := net.Pipe()
	return pipe{backEnd, there}, pipe{thereEnd, back}
}

func (w pipe) Write(p []byte) (int, error)        { return w.out.Write(p) }
func (w pipe) CloseWrite() error                  { return w.out.Close() }
func (w pipe) Close() error                       { return errors.Join(w.Conn.Close(), w.out.Close()) }
func (w pipe) SetWriteDeadline(t time.Time) error { return w.out.SetWriteDeadline(t) }

// tunnelEnds are the ends of a tunnel, whose own end is told on ended.
type tunnelEnds struct {
	app, far pipe
	ended    chan time.Time
}

const (
	testIdle = time.Hour
	testHalf = time.Minute
)

func newTunnelEnds() tunnelEnds {
	app, client := newPipe()
	far, server := newPipe()
	tun := &tunnel{client: &clientConn{Conn: client}, near: client, sent: client, server: server, limits: tunnelLimits{idle: testIdle, halfClosed: testHalf}}
	e := tunnelEnds{app, far, make(chan time.Time, 1)}
	go func() {
		defer close(e.ended)
		tun.run()
		_ = tun.Close()
		e.ended <- time.Now()
	}()
	return e
}

// within checks that the tunnel ends by itself so long after since, or up to twice.
func (e tunnelEnds) within(t *testing.T, since time.Time, limit time.Duration) {
	t.Helper()
	if took := (<-e.ended).Sub(since); took < limit || took > 2*limit {
		t.Errorf("the tunnel ended %s after its last use, want %s, or up to twice", took, limit)
	}
	for _, end := range []pipe{e.app, e.far} {
		if _, err := io.ReadAll(end); err != nil {
			t.Errorf("an end reads %v, want the end", err)
		}
		_ = end.Close()
	}
}

// trickle sends n bytes with a pause before each, and checks that they arrive.
func trickle(t *testing.T, from, to pipe, n int, pause time.Duration) {
	t.Helper()
	got := make([]byte, 1)
	for i := range n {
		time.Sleep(pause)
		if _, err := from.Write([]byte{byte(i)}); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
		if _, err := io.ReadFull(to, got); err != nil || got[0] != byte(i) {
			t.Fatalf("byte %d arrived as %d: %v", i, got[0], err)
		}
	}
}

func TestIdleTunnelEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTunnelEnds()
		e.within(t, time.Now(), testIdle)
	})
}

// TestTunnelUsedInOneDirection lives for as long as that one is used.
func TestTunnelUsedInOneDirection(t *testing.T) {
	for name, backwards := range map[string]bool{"from the app": false, "to the app": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newTunnelEnds()
				from, to := e.app, e.far
				if backwards {
					from, to = to, from
				}
				trickle(t, from, to, 10, testIdle*9/10)
				e.within(t, time.Now(), testIdle)
			})
		})
	}
}

// TestHalfClosedTunnel lives for as long as an answer comes.
func TestHalfClosedTunnel(t *testing.T) {
	for name, backwards := range map[string]bool{"the app has sent all": false, "the app has got all": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newTunnelEnds()
				asks, answers := e.app, e.far
				if backwards {
					asks, answers = answers, asks
				}
				trickle(t, asks, answers, 1, testIdle/2)
				_ = asks.CloseWrite()
				if rest, err := io.ReadAll(answers); len(rest) > 0 || err != nil {
					t.Fatalf("the end came as %q, %v", rest, err)
				}
				trickle(t, answers, asks, 100, testHalf*9/10)
				e.within(t, time.Now(), testHalf)
			})
		})
	}
}

// TestTunnelWhoseClientLeft ends although the other end says nothing: a close of the
// client looks like the end of what it sends.
func TestTunnelWhoseClientLeft(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	s.tunnels.limits.halfClosed = 10 * time.Millisecond
	app, far := s.connectTo(serveRaw(t))
	app.Close()
	far.closed()
	eventually(t, "the tunnel has ended", func() bool {
		_, page := s.adminGet("/metrics")
		return strings.Contains(page, `overtake_requests_total{class="batch",code="200",listener="outbound"} 1`)
	})
	s.tunnels.mu.Lock()
	defer s.tunnels.mu.Unlock()
	if n := len(s.tunnels.made); n != 0 {
		t.Errorf("%d connections are still noted", n)
	}
}

// TestTunnelWhoseServerDoesNotRead ends too: a write that nobody takes has an end.
func TestTunnelWhoseServerDoesNotRead(t *testing.T) {
	s := startSidecar(t, "", deadAddress(t))
	s.tunnels.limits.halfClosed = 10 * time.Millisecond
	app, far := s.connectTo(serveRaw(t))
	if err := far.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = app.SetWriteDeadline(time.Now().Add(patience))
	if _, err := app.Write(make([]byte, 64<<20)); err == nil || isTimeout(err) {
		t.Errorf("what nobody reads was taken, or waited for: %v", err)
	}
	app.closed()
}
