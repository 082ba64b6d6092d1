package gateway

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"overtake/classifier"
	"overtake/gateway/config"
	"overtake/gateway/socket"
)

const (
	// writePatience is how long one write to a client may take.
	writePatience = time.Minute
	// lingerTime bounds how long the rest of a request is thrown away after its
	// answer, so that the client gets to read the answer before the kernel resets
	// the connection. Bytes are no bound: a fast client sends many in no time.
	lingerTime = 2 * time.Second
)

// clientConn is one accepted connection, and the request that it is serving.
type clientConn struct {
	net.Conn
	listener *listener
	settings *listenerSettings // of the time when it was accepted
	// addr is the client's address; invalid where a load balancer does not know it.
	addr  netip.Addr
	fd    int             // -1 where there is none
	raw   syscall.RawConn // the same; nil where there is none
	group int             // of the class that the kernel was told last, see mark; -1 for none
	// original is where a connection to an outbound listener was going to before
	// it was redirected; invalid for one that was not.
	original netip.AddrPort
	// heard says that the client was read from since its last request was answered, for
	// more than a body.
	// Until then fasthttp may still hold that answer back, for another that it has
	// read the request of. Used by whoever reads.
	heard   bool
	names   []string // of its certificate, if that is valid
	unread  []byte   // what came together with a PROXY protocol header
	session session
	request request
	counted bool // it is in listener.clients, whose mutex guards this

	waitMu sync.Mutex
	waits  bool // for the client, with nothing to answer; see waitUntil

	// busySince is when the present request began, in nanoseconds since the
	// gateway's start, 0 between requests. serial counts the requests, so that
	// leavers can tell them apart.
	busySince atomic.Int64
	serial    atomic.Uint64

	ended      atomic.Bool // the client sends no more
	tunnelled  atomic.Bool // the bytes are not ours any more, see tunnel
	linger     atomic.Bool // throw away what is unread before closing
	closed     atomic.Bool
	patientTil time.Time // write deadline; used by the writing goroutine alone
	answerBy   time.Time // when the answer is broken off; zero for never, as in a dry run
}

func newClientConn(c net.Conn, l *listener) *clientConn {
	cc := &clientConn{Conn: c, listener: l, settings: l.settings.Load(), fd: -1, group: -1}
	cc.session.client = cc
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		cc.addr = ap.Addr().Unmap()
	}
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			// The number stays valid for as long as the connection is open.
			_ = raw.Control(func(fd uintptr) { cc.fd = int(fd) })
			cc.raw = raw
		}
	}
	if l.role == config.Outbound && cc.fd >= 0 {
		dst, ok := originalDestination(cc.fd, cc.addr.Is6())
		if ok && dst != addrPort(c.LocalAddr()) {
			cc.original = dst
		}
	}
	return cc
}

// mark tells the kernel that what is written from now on is of class. It does
// nothing if the class before was no different to the kernel.
func (c *clientConn) mark(s *socket.Setter, class classifier.Class) {
	group := s.Group(int(class))
	if group == c.group || c.raw == nil {
		return
	}
	c.group = group
	// Not by the number alone: another goroutine may close the connection, and the
	// number would be another one's.
	_ = c.raw.Control(func(fd uintptr) { s.Set(int(fd), int(class)) })
}

// Read notes the end of what the client sends. fasthttp does not tell it from
// the end of a chunked body.
func (c *clientConn) Read(p []byte) (int, error) {
	if len(c.unread) > 0 {
		c.heard = c.heard || c.session.waits <= 2
		n := copy(p, c.unread)
		if c.unread = c.unread[n:]; len(c.unread) == 0 {
			c.unread = nil // it is part of a buffer
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.heard = c.heard || c.session.waits <= 2
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

// tlsConn is a client connection with TLS, which has an end of its own.
type tlsConn struct{ *tls.Conn }

// Read implements net.Conn. The end comes alone: together with the last bytes, it
// would be noted before they are read.
func (c tlsConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	switch {
	case err == io.EOF && n > 0:
		err = nil
	case err == io.EOF:
		c.NetConn().(*clientConn).ended.Store(true)
	}
	return n, err
}

// Write writes with a deadline that moves on, so that a slow download is not cut
// but a client that stopped reading is.
func (c *clientConn) Write(p []byte) (int, error) {
	if now := time.Now(); c.patientTil.Sub(now) < writePatience/2 {
		c.patientTil = now.Add(writePatience)
		if !c.answerBy.IsZero() && !c.tunnelled.Load() {
			c.patientTil = earlier(c.patientTil, c.answerBy.Add(lingerTime)) // for a refusal that says so
		}
		if err := c.SetWriteDeadline(c.patientTil); err != nil {
			return 0, err
		}
	}
	afterOthers(len(p))
	return c.Conn.Write(p)
}

// Close closes the connection. A request body that nobody wanted is read a
// little further first: closing with unread bytes makes the kernel reset the
// connection, which can destroy an answer on its way.
func (c *clientConn) Close() error {
	if c.closed.Swap(true) {
		return net.ErrClosed
	}
	c.listener.leavers.remove(c)
	c.listener.clients.leave(c)
	if c.linger.Load() {
		if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
			_ = c.SetReadDeadline(time.Now().Add(lingerTime))
			_, _ = io.Copy(io.Discard, c.Conn)
		}
	}
	return c.Conn.Close()
}

// reset closes the connection so that the client can tell the end of what it got from
// that of an answer which ends with the connection. With TLS, nothing says it is over.
func (c *clientConn) reset() {
	if conn, ok := c.Conn.(interface{ SetLinger(int) error }); ok {
		_ = conn.SetLinger(0) // on a closed connection, nothing is to be told any more
	}
	c.linger.Store(false)
	_ = c.Close()
}
