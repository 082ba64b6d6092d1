package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"overtake/classifier"
)

// tunnel is a connection whose bytes pass as they are: after CONNECT, or TLS on a
// redirected connection, of the app; after an upgrade, of anybody. Its request ends
// with it.
type tunnel struct {
	client *clientConn
	near   net.Conn  // client, with the TLS over it if there is any
	sent   io.Reader // what the client sends
	server net.Conn
	limits tunnelLimits
	status int // of its request

	last atomic.Int64 // when it last carried something, in unix nanoseconds
	half atomic.Bool  // one side has sent all it had
}

// tunnelLimits say how long a tunnel may carry nothing: while both sides may send,
// and when one has sent all it had.
type tunnelLimits struct{ idle, halfClosed time.Duration }

// connect answers CONNECT with a tunnel to the authority that it names. When it does
// not, the connection ends: what follows may be meant for the tunnel.
func (g *Gateway) connect(ctx *fasthttp.RequestCtx, client *clientConn, r *request) (err error) {
	defer func() {
		if err != nil {
			ctx.SetConnectionClose()
		}
	}()
	address, err := dialAddress(alias(ctx.Request.Header.RequestURI()), "")
	if err != nil {
		return err
	}
	server, err := g.dialTunnel(r, address)
	if err != nil {
		return ofDestination(err)
	}
	t := &tunnel{client: client, near: client.session.Conn, server: server, status: fasthttp.StatusOK}
	r.tunnelled = true
	g.hijack(ctx, client, r, func(c net.Conn) {
		t.sent = c // with what fasthttp has read ahead
		g.pass(t, "HTTP/1.1 200 Connection Established\r\n\r\n")
	})
	return nil
}

// dialTunnel connects to where a tunnel is to end.
func (g *Gateway) dialTunnel(r *request, address string) (net.Conn, error) {
	s := &server{name: address, network: "tcp", address: address, sockets: g.sockets, refuse: g.refuseOwn}
	r.trail.Deadline = r.deadline()
	conn, err := reach(&r.life, r.trail.Deadline, func(ctx context.Context) (net.Conn, error) {
		return s.open(ctx, r.decision.Class, time.Time{})
	})
	if err != nil {
		return nil, err
	}
	g.tunnels.add(conn)
	return conn, nil
}

// pass runs a tunnel to its end, which is when both sides have sent all they had,
// one has failed, or the drain is over. greeting is for the client.
func (g *Gateway) pass(t *tunnel, greeting string) {
	t.limits = g.tunnels.limits
	life := &t.client.request.life
	defer g.finish(t.status, t.client, &t.client.request)
	defer g.tunnels.remove(t.server)
	defer func() { _ = t.Close() }()  // most often it is closed already
	t.client.patientTil = time.Time{} // fasthttp has taken the deadlines off
	t.client.tunnelled.Store(true)    // its half-close is for the server, see leavers
	if life.guard(t) != nil {
		return
	}
	defer life.unguard()
	if _, err := io.WriteString(t.near, greeting); err != nil {
		return
	}
	r := &t.client.request
	r.bytesIn, r.bytesOut = t.run()
}

// run passes bytes both ways until both have ended. It returns how many.
func (t *tunnel) run() (in, out int64) {
	var answers sync.WaitGroup
	answers.Go(func() { out = t.copy(t.near, t.server, t.server) })
	in = t.copy(t.server, t.sent, t.near)
	answers.Wait()
	return in, out
}

// copy sends all of src, which reads the connection from, to the connection to, and
// then its end. An error ends both directions.
func (t *tunnel) copy(to net.Conn, src io.Reader, from net.Conn) (sent int64) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	err := t.await(from.SetReadDeadline)
	for err == nil {
		n, readErr := src.Read(*buf)
		if n > 0 {
			t.last.Store(time.Now().UnixNano())
			if err = t.write(to, (*buf)[:n]); err != nil {
				break
			}
			sent += int64(n)
		}
		if err = readErr; err == nil || errors.Is(err, os.ErrDeadlineExceeded) && t.isUsed() {
			err = t.await(from.SetReadDeadline)
		}
	}
	t.half.Store(true)
	if err != io.EOF || closeWrite(to) != nil || t.await(to.SetReadDeadline) != nil {
		_ = t.Close()
		return sent
	}
	if from == t.server { // to which the other direction may be writing
		_ = t.await(from.SetWriteDeadline) // a connection that is closed already is written to no more
	}
	return sent
}

// closeWrite ends what is sent on a connection; what comes is still read.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// CloseWrite ends what is sent to the client.
func (c *clientConn) CloseWrite() error { return closeWrite(c.Conn) }

// write writes to one end. What is written to the client has a deadline of its own.
func (t *tunnel) write(to net.Conn, p []byte) error {
	if to == t.server {
		if err := t.await(t.server.SetWriteDeadline); err != nil {
			return err
		}
	}
	_, err := to.Write(p)
	return err
}

// await sets how long the next bytes may take.
func (t *tunnel) await(set func(time.Time) error) error {
	patience := t.patience()
	err := set(time.Now().Add(patience))
	if now := t.patience(); err == nil && now != patience { // the other direction has just ended
		err = set(time.Now().Add(now))
	}
	return err
}

// patience is how long a tunnel may carry nothing. Whose client has closed looks
// like one whose client only has nothing more to send, so that it is less then.
func (t *tunnel) patience() time.Duration {
	if t.half.Load() {
		return t.limits.halfClosed
	}
	return t.limits.idle
}

// isUsed reports whether the tunnel carried something of late.
func (t *tunnel) isUsed() bool {
	return time.Since(time.Unix(0, t.last.Load())) < t.patience()
}

// Close implements io.Closer: it breaks both directions off.
func (t *tunnel) Close() error {
	return errors.Join(t.client.Conn.Close(), t.server.Close())
}

// passTLS tunnels a connection to its original destination.
func (g *Gateway) passTLS(c *clientConn) {
	r := &c.request
	r.life.reset()
	r.gen = g.enter()
	g.leavers.begin(c)
	r.described, r.route = &about{host: c.original.String()}, -1
	r.started, r.decision = time.Now(), r.gen.decideCall(&classifier.Request{Source: c.addr}, r.gen.claim(&r.trail, false), 0, false)
	server, err := g.dialTunnel(r, c.original.String())
	if err != nil {
		r.reason = reasonOf(err)
		g.log.Debug("refused", "reason", r.reason, "target", c.original, "client", c.addr, "error", err)
		g.finish(statusOf(err), c, r)
		return
	}
	c.mark(g.sockets, r.decision.Class)
	_ = c.SetReadDeadline(time.Time{}) // else the first Read says so
	g.pass(&tunnel{client: c, near: c, sent: &c.session, server: server, status: fasthttp.StatusOK}, "")
}

// statusOf is the status that an error would be answered with.
func statusOf(err error) int {
	if errors.Is(err, errClientLeft) {
		return statusClientClosed
	}
	return asFailure(err).code()
}

// tunnels are the connections that this process has made for tunnels, by their own
// address: one of them that is accepted here was redirected to where it came from.
// Requests tell by their Via, see loops.
type tunnels struct {
	limits tunnelLimits

	mu   sync.Mutex
	made map[netip.AddrPort]struct{}
}

func newTunnels() *tunnels {
	return &tunnels{
		limits: tunnelLimits{idle: time.Hour, halfClosed: time.Minute},
		made:   make(map[netip.AddrPort]struct{}),
	}
}

func (t *tunnels) add(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.made[addrPort(c.LocalAddr())] = struct{}{}
}

func (t *tunnels) remove(c net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.made, addrPort(c.LocalAddr()))
}

// has reports whether client is one of them.
func (t *tunnels) has(client net.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ours := t.made[addrPort(client)]
	return ours
}
