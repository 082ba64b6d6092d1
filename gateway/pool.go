package gateway

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"sync"
	"time"
)

const (
	// maxIdle is how many idle connections are kept to one server.
	maxIdle = 512
	// maxIdleTime is how long one stays idle; below what common servers allow
	// (nginx 75 s, Go none, gunicorn 2 s: see alive).
	maxIdleTime = 60 * time.Second
	dialTimeout = 5 * time.Second
	// bufferSize is for reading and writing the upstream side. A response header
	// must fit into it.
	bufferSize = 16 << 10
)

// server is one server of an upstream, with its idle connections.
type server struct {
	name    string // as configured
	network string // tcp or unix
	address string
	// refuse looks at new connections; its error, a *failure, refuses them. nil
	// takes all.
	refuse func(net.Conn) error

	mu      sync.Mutex
	idle    []*upstreamConn // the most recently used last
	retired bool            // keeps no connections any more
}

// upstreamConn is one connection to a server. It carries one exchange at a time.
type upstreamConn struct {
	net.Conn
	br       *bufio.Reader
	bw       *bufio.Writer
	lastUsed time.Time
	reused   bool
}

// newServer takes a URL that the configuration has checked: http://host:port or
// unix:///path.
func newServer(rawURL string) (*server, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "unix" {
		return &server{name: rawURL, network: "unix", address: u.Path}, nil
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	return &server{name: rawURL, network: "tcp", address: address}, nil
}

// get returns an idle connection that is still good, or dials one.
func (s *server) get(ctx context.Context) (*upstreamConn, error) {
	for {
		c := s.takeIdle()
		if c == nil {
			return s.dial(ctx)
		}
		if time.Since(c.lastUsed) < maxIdleTime && alive(c.Conn) {
			c.reused = true
			return c, nil
		}
		c.Close()
	}
}

func (s *server) takeIdle() *upstreamConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.idle)
	if n == 0 {
		return nil
	}
	c := s.idle[n-1]
	s.idle[n-1] = nil
	s.idle = s.idle[:n-1]
	return c
}

// open makes a connection.
func (s *server) open(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(ctx, s.network, s.address)
	if err != nil || s.refuse == nil {
		return c, err
	}
	if err := s.refuse(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (s *server) dial(ctx context.Context) (*upstreamConn, error) {
	c, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	return &upstreamConn{
		Conn: c, br: bufio.NewReaderSize(c, bufferSize), bw: bufio.NewWriterSize(c, bufferSize),
	}, nil
}

// put keeps a connection whose exchange has ended cleanly.
func (s *server) put(c *upstreamConn) {
	c.lastUsed = time.Now()
	s.mu.Lock()
	keep := len(s.idle) < maxIdle && !s.retired
	if keep {
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.Close()
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
	s.mu.Lock()
	n := 0
	for n < len(s.idle) && !s.idle[n].lastUsed.After(before) {
		n++
	}
	old := append([]*upstreamConn(nil), s.idle[:n]...)
	rest := copy(s.idle, s.idle[n:])
	clear(s.idle[rest:])
	s.idle = s.idle[:rest]
	s.mu.Unlock()
	for _, c := range old {
		c.Close()
	}
}
