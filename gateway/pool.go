package gateway

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"overtake/classifier"
	"overtake/gateway/socket"
)

const (
	// maxIdle is how many idle connections are kept to one server for each class
	// that has connections of its own.
	maxIdle = 2048
	// maxIdleTime is how long one stays idle; below what common servers allow
	// (nginx 75 s, Go none, gunicorn 2 s: see alive).
	maxIdleTime = 60 * time.Second
	dialTimeout = 5 * time.Second
	// smallWrite is up to how many bytes a write waits for others, see afterOthers.
	smallWrite = 12 << 10
	// bufferSize is for reading and writing the upstream side. A response header
	// must fit into it.
	bufferSize = 16 << 10
)

// server is one server of an upstream, with its idle connections.
type server struct {
	name    string // as configured
	network string // tcp or unix
	address string
	host    string      // for a Host field
	tls     *tls.Config // nil for plain HTTP
	// sockets tells the kernel of which class connections are.
	sockets *socket.Setter
	// refuse looks at new connections; its error, a *failure, refuses them. nil
	// takes all.
	refuse func(net.Conn) error

	failing atomic.Bool // its last answer failed, see upstream.note

	mu      sync.Mutex
	idle    [classifier.MaxClasses][]*upstreamConn // by group; the most recently used last
	retired bool                                   // keeps no connections any more
}

// upstreamConn is one connection to a server. It carries one exchange at a time.
type upstreamConn struct {
	net.Conn
	raw      net.Conn // below TLS, or the same
	fd       int      // of raw; it is valid for as long as raw is open
	br       *bufio.Reader
	bw       *bufio.Writer
	group    int // of the class that it is for, see server.group
	lastUsed time.Time
	reused   bool
	// Bytes of the present exchange. Each is the side's that reads or writes.
	sent, received int64
}

// Write implements net.Conn.
func (c *upstreamConn) Write(p []byte) (int, error) {
	afterOthers(len(p))
	n, err := c.Conn.Write(p)
	c.sent += int64(n)
	return n, err
}

// afterOthers lets the goroutines run that are ready, before a write of n bytes. So the
// writes of all of them are one burst: the kernel wakes the receiver once, not for each,
// and every stage of a request finds its code and data in the processor's caches. Of
// many bytes it finds more there if they are written at once.
func afterOthers(n int) {
	if n <= smallWrite {
		runtime.Gosched()
	}
}

// Read implements net.Conn.
func (c *upstreamConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.received += int64(n)
	return n, err
}

// Close breaks the connection off. TLS is not told: to say so may take as long as
// the server likes.
func (c *upstreamConn) Close() error { return c.raw.Close() }

// progress is how far the exchange came, which has ended.
func (c *upstreamConn) progress() progress {
	switch {
	case c.received > 0:
		return inDoubt
	case c.sent > 0:
		return unanswered
	}
	return unsent
}

// quiet reports whether an idle connection can carry another request: see alive.
func (c *upstreamConn) quiet() bool {
	if t, ok := c.Conn.(*tls.Conn); ok && !ended(t) {
		return false
	}
	return alive(c.fd)
}

// ended reports whether nothing more has come that TLS has read ahead. It does not
// wait, nor read from the network.
func ended(t *tls.Conn) bool {
	if t.SetReadDeadline(time.Unix(1, 0)) != nil {
		return false
	}
	var b [1]byte
	_, err := t.Read(b[:])
	return errors.Is(err, os.ErrDeadlineExceeded) && t.SetReadDeadline(time.Time{}) == nil
}

// newServer takes a URL that the configuration has checked: http://host:port,
// https://host:port, for which secure is, or unix:///path.
func newServer(rawURL string, secure *tls.Config, sockets *socket.Setter) (*server, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	s := &server{name: rawURL, network: "tcp", address: u.Host, host: u.Host, sockets: sockets}
	port := "80"
	switch u.Scheme {
	case "unix":
		s.network, s.address, s.host = "unix", u.Path, "localhost"
		return s, nil
	case "https":
		port = "443"
		s.tls = secure.Clone()
		if s.tls.ServerName == "" {
			s.tls.ServerName = u.Hostname()
		}
		s.tls.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	if u.Port() == "" {
		s.address = net.JoinHostPort(u.Hostname(), port)
	}
	return s, nil
}

// group returns which idle connections a class may use: those of the classes that
// tell the kernel the same.
func (s *server) group(class classifier.Class) int {
	if s.network == "unix" {
		return 0 // nothing is told there
	}
	return s.sockets.Group(int(class))
}

// kept returns an idle connection that is still good, nil if there is none.
func (s *server) kept(class classifier.Class) *upstreamConn {
	for {
		c := s.takeIdle(s.group(class))
		if c == nil {
			return nil
		}
		if time.Since(c.lastUsed) < maxIdleTime && c.quiet() {
			c.reused, c.sent, c.received = true, 0, 0
			return c
		}
		c.part()
	}
}

func (s *server) takeIdle(group int) *upstreamConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := &s.idle[group]
	n := len(*idle)
	if n == 0 {
		return nil
	}
	c := (*idle)[n-1]
	(*idle)[n-1] = nil
	*idle = (*idle)[:n-1]
	return c
}

// open makes a connection for class, until by if that is not zero.
func (s *server) open(ctx context.Context, class classifier.Class, by time.Time) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Deadline: by, Control: s.sockets.Control(int(class))}
	c, err := d.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	if s.refuse != nil {
		if err := s.refuse(c); err != nil {
			c.Close()
			return nil, err
		}
	}
	if s.tls == nil {
		return c, nil
	}
	return s.secure(ctx, c, by)
}

// secure puts TLS over a new connection.
func (s *server) secure(ctx context.Context, c net.Conn, by time.Time) (net.Conn, error) {
	latest := time.Now().Add(dialTimeout)
	if by.IsZero() || latest.Before(by) {
		by = latest
	}
	ctx, cancel := context.WithDeadline(ctx, by)
	defer cancel()
	t := tls.Client(c, s.tls)
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("gateway: TLS with %s: %w%s", s.name, err, remedyTLS(err))
	}
	return t, nil
}

// dial makes a connection for class to put into the pool later, until by if that is
// not zero.
func (s *server) dial(ctx context.Context, class classifier.Class, by time.Time) (*upstreamConn, error) {
	opened, err := s.open(ctx, class, by)
	if err != nil {
		return nil, err
	}
	c := &upstreamConn{Conn: opened, raw: opened, group: s.group(class)}
	if t, ok := opened.(*tls.Conn); ok {
		c.raw = t.NetConn()
	}
	if c.fd, err = descriptor(c.raw); err != nil {
		_ = c.Close()
		return nil, err
	}
	c.br, c.bw = bufio.NewReaderSize(c, bufferSize), bufio.NewWriterSize(c, bufferSize)
	return c, nil
}

// descriptor returns the number that the kernel has for a connection.
func descriptor(c net.Conn) (fd int, err error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// part closes an idle connection, and says so to TLS.
func (c *upstreamConn) part() { _ = c.Conn.Close() }

// put keeps a connection whose exchange has ended cleanly.
func (s *server) put(c *upstreamConn) {
	c.lastUsed = time.Now()
	s.mu.Lock()
	idle := &s.idle[c.group]
	keep := len(*idle) < maxIdle && !s.retired
	if keep {
		*idle = append(*idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.part()
	}
}

// retire closes the idle connections, and those in use when they become idle.
func (s *server) retire() {
	s.mu.Lock()
	s.retired = true
	s.mu.Unlock()
	s.closeIdle(0)
}

// closeIdle closes the connections that have been idle for longer than age.
func (s *server) closeIdle(age time.Duration) {
	before := time.Now().Add(-age)
	var old []*upstreamConn
	s.mu.Lock()
	for group, idle := range s.idle {
		n := 0
		for n < len(idle) && !idle[n].lastUsed.After(before) {
			n++
		}
		old = append(old, idle[:n]...)
		s.idle[group] = slices.Delete(idle, 0, n)
	}
	s.mu.Unlock()
	for _, c := range old {
		c.part()
	}
}
