package gateway

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/gateway/console"
)

// parkAfter is how long fasthttp keeps an idle connection, with buffers of about
// 24 KiB. Afterwards it is parked: all it takes then is a small goroutine that waits
// for its next byte.
const parkAfter = 100 * time.Millisecond

// converse is the life of a client connection.
func (g *Gateway) converse(l *listener, c *clientConn) {
	defer g.recovered(nil, c)
	patience := c.settings.limits.HeaderTimeout
	c.waitUntil(time.Now().Add(patience))
	if refused := l.meet(c); refused != nil {
		g.turnAway(l, c, refused)
		return
	}
	g.attend(l, c, patience, true)
}

// attend waits for a client's next request, and serves it and those after it until
// the connection ends or is parked; fresh says that it is the first. A parked one
// gets another goroutine: the stack of this one has grown by what it has served.
func (g *Gateway) attend(l *listener, c *clientConn, patience time.Duration, fresh bool) {
	defer g.recovered(nil, c)
	s := &c.session
	if !s.await(patience) || fresh && g.redirected(l, c) {
		_ = s.Conn.Close() // a client that has nothing to say
		return
	}
	if err := c.settings.server.ServeConn(s.asServed()); err != nil {
		g.log.Debug("connection ended", "listener", l.name, "client", c.addr, "error", err)
	}
	if s.parked.Swap(false) { // else it is closed, or belongs to who took it over
		l.conns.Go(func() { g.attend(l, c, c.settings.limits.IdleTimeout-parkAfter, false) })
	}
}

// turnedAway is a connection that gets no request served.
type turnedAway struct {
	cause  string   // "" for a client that left before it said anything
	answer *failure // for the client; nil for none
	err    error
}

// The causes of a connection being turned away, as metrics know them.
const (
	causeProxySource = "proxy_source"
	causeProxyHeader = "proxy_header"
	causeConnections = "connections_per_client"
	causeTLS         = "tls"
)

var causes = []string{causeProxySource, causeProxyHeader, causeConnections, causeTLS}

// meet finds out who the client is: by the PROXY protocol, by its address and by
// TLS.
func (l *listener) meet(c *clientConn) *turnedAway {
	settings := c.settings
	if settings.proxies != nil {
		if refused := c.introduced(settings.proxies); refused != nil {
			return refused
		}
	}
	if most := settings.limits.ConnectionsPerClient; most > 0 && !l.clients.enter(c, most) {
		refused := &turnedAway{cause: causeConnections, err: errTooMany}
		if settings.certificates == nil {
			refused.answer = &failure{reason: reasonBadRequest, status: fasthttp.StatusTooManyRequests, err: errTooMany}
		}
		return refused
	}
	c.session.Conn = c
	if settings.certificates == nil {
		return nil
	}
	conn := tls.Server(c, settings.certificates.server)
	if err := conn.Handshake(); err == io.EOF {
		return &turnedAway{} // such as a check of a load balancer
	} else if err != nil {
		return &turnedAway{cause: causeTLS, err: err}
	}
	if chains := conn.ConnectionState().VerifiedChains; len(chains) > 0 {
		c.names = namesOf(chains[0][0])
	}
	c.session.Conn = tlsConn{conn}
	return nil
}

// turnAway closes a connection without serving it, and counts it.
func (g *Gateway) turnAway(l *listener, c *clientConn, refused *turnedAway) {
	defer func() { _ = c.Close() }() // nobody can act on its error
	if refused.cause == "" || l.stopping() {
		return
	}
	g.metrics.turnedAway.WithLabelValues(l.name, refused.cause).Inc()
	l.complaints.Do(func() {
		g.log.Warn("a connection was refused", "listener", l.name, "client", c.addr, "peer", c.RemoteAddr().String(),
			"cause", refused.cause, "error", refused.err)
	})
	if refused.answer == nil {
		g.console.Failed(console.Failure{Kind: console.Client, Listener: l.name, Reason: refused.cause})
	} else {
		var ctx fasthttp.RequestCtx
		refuse(&ctx, refused.answer, "", g.present.Load().defaultClass)
		ctx.SetConnectionClose()
		_, _ = ctx.Response.WriteTo(c) // who does not read it is refused all the same
		select {
		case l.lingering <- struct{}{}:
			c.linger.Store(true)
			defer func() { _ = c.Close(); <-l.lingering }()
		default: // a flood gets no such courtesy
		}
		g.unserved(l.name, refused.answer.code())
	}
}

// redirected serves a connection of the app that netfilter redirected here, if it
// is not HTTP: TLS, which only its ends can read, as a tunnel to where it was
// going.
func (g *Gateway) redirected(l *listener, c *clientConn) bool {
	const handshake = 0x16 // RFC 8446 section 5.1
	switch {
	case !c.original.IsValid():
		return false
	case g.tunnels.has(c.RemoteAddr()):
		g.warnLoop(c, errors.New("an outgoing connection of this process was redirected to itself"))
		g.unserved(l.name, fasthttp.StatusLoopDetected)
		return true
	case c.session.first[0] == handshake:
		g.passTLS(c)
		return true
	}
	return false
}

// session is the part of a client connection that is served by fasthttp, from the
// first byte of a request until the connection has been idle for a moment. Then
// fasthttp closes it, which parks the connection.
type session struct {
	net.Conn // the client's connection, or TLS over it
	client   *clientConn
	first    [1]byte // what came while it was waited for
	unread   bool    // it has yet to be read
	idle     bool    // the last Read timed out between two requests
	begun    uint64  // clientConn.serial of the request that has begun to come, be it with empty lines
	waits    int     // what fasthttp has waited for since the last answer, see SetReadDeadline
	taken    bool    // fasthttp is about to hand it over, see hijack
	parked   atomic.Bool
	readBy   time.Time // the read deadline that fasthttp has set
}

// await waits for the first byte of a request. It gives up when that takes longer
// than patience, and when the gateway begins to drain.
func (s *session) await(patience time.Duration) bool {
	s.client.waitUntil(time.Now().Add(patience))
	n, _ := s.Conn.Read(s.first[:]) // whatever the error is, nothing more is to come
	s.client.waited()
	s.unread, s.idle = n == 1, false
	s.begun = s.client.serial.Load() + 1
	return s.unread
}

// Read implements net.Conn.
func (s *session) Read(p []byte) (int, error) {
	if s.unread && len(p) > 0 {
		p[0], s.unread = s.first[0], false
		return 1, nil
	}
	n, err := s.Conn.Read(p)
	next := s.client.serial.Load() + 1
	between := s.client.busySince.Load() == 0
	if between && n > 0 {
		s.begun = next
	}
	s.idle = between && s.begun != next && errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// Write does not fail where fasthttp sends what it has held back and then hands the
// connection over: it would forget the handler. Nothing may follow what broke off, so
// that the connection is closed.
func (s *session) Write(p []byte) (int, error) {
	n, err := s.Conn.Write(p)
	if err != nil && s.taken {
		_ = s.Conn.Close()
		return len(p), nil
	}
	return n, err
}

// Close implements net.Conn: it parks an idle connection.
func (s *session) Close() error {
	if s.idle && !s.client.linger.Load() && !s.client.closed.Load() {
		s.client.request.shrink()
		s.parked.Store(true)
		return nil
	}
	return s.Conn.Close()
}

// SetReadDeadline counts what fasthttp waits for: the first byte of a request, its
// header, and the beginning of a body that headerReceived gives a time. Before it reads
// one of the first two, but not the third, it sends the answers that it has held back.
func (s *session) SetReadDeadline(t time.Time) error {
	s.waits++
	s.readBy = t
	return s.Conn.SetReadDeadline(t)
}

// headerAt is when the header of a request was there, whose handler begins now. If it
// has a length, fasthttp has waited for the body since, by a deadline from then on.
func (s *session) headerAt(now time.Time, length int) time.Time {
	if length > 0 {
		return s.readBy.Add(-s.client.settings.prefetchTime(length))
	}
	return now
}

// SetDeadline never fails, as fasthttp would forget the handler of a hijacked
// connection if it did: what is closed fails at the next Read or Write.
func (s *session) SetDeadline(t time.Time) error {
	_ = s.Conn.SetDeadline(t)
	return nil
}

// asServed returns the connection as fasthttp is to see it.
func (s *session) asServed() net.Conn {
	if t, ok := s.Conn.(tlsConn); ok {
		return tlsSession{s, t.Conn}
	}
	return s
}

// tlsSession tells fasthttp that it is about TLS.
type tlsSession struct {
	*session
	tls *tls.Conn
}

// Handshake has been made.
func (s tlsSession) Handshake() error { return nil }

// ConnectionState returns what the handshake agreed on.
func (s tlsSession) ConnectionState() tls.ConnectionState { return s.tls.ConnectionState() }

// clientOf returns the client connection behind a connection that fasthttp
// serves.
func clientOf(c net.Conn) *clientConn {
	if t, ok := c.(tlsSession); ok {
		return t.client
	}
	return c.(*session).client
}

// waitUntil begins to wait for a client that has nothing to be answered yet, or goes
// on with it. The beginning of a drain ends the wait.
func (c *clientConn) waitUntil(deadline time.Time) {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	c.waits = true
	if c.listener.stopping() {
		deadline = longAgo
	}
	_ = c.Conn.SetReadDeadline(deadline) // on a closed connection, the next Read says so
}

// waited says that the client has something to be answered.
func (c *clientConn) waited() {
	c.waitMu.Lock()
	c.waits = false
	c.waitMu.Unlock()
}

// stopWaiting ends the wait, if there is one.
func (c *clientConn) stopWaiting() {
	c.waitMu.Lock()
	defer c.waitMu.Unlock()
	if c.waits {
		_ = c.Conn.SetReadDeadline(longAgo) // it may be closed already
	}
}

// longAgo as a deadline ends what waits.
var longAgo = time.Unix(1, 0)

// shrink lets go of what a connection without a request has no use for.
func (r *request) shrink() {
	r.fields, r.view, r.journal = nil, viewFields{}, journal{}
	r.out, r.stamped, r.via = outbound{}, stampedFields{}, forwardedFor{}
	r.ctx, r.described, r.bodyRead = nil, nil, nil
	r.upstream, r.queue, r.slot = nil, nil, slot{}
}
