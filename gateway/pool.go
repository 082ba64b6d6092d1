package gateway

import (
	"bufio"
	"context"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	"overtake/classifier"
	"overtake/gateway/socket"
)

const (
	// maxIdle is how many idle connections are kept to one server for each class
	// that has connections of its own.
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
	// sockets tells the kernel of which class connections are.
	sockets *socket.Setter
	// refuse looks at new connections; its error, a *failure, refuses them. nil
	// takes all.
	refuse func(net.Conn) error

	mu      sync.Mutex
	idle    [classifier.MaxClasses][]*upstreamConn // by group; the most recently used last
	retired bool                                   // keeps no connections any more
}

// upstreamConn is one connection to a server. It carries one exchange at a time.
type upstreamConn struct {
	net.Conn
	br       *bufio.Reader
	bw       *bufio.Writer
	group    int // of the class that it is for, see server.group
	lastUsed time.Time
	reused   bool
}

// newServer takes a URL that the configuration has checked: http://host:port or
// unix:///path.
func newServer(rawURL string, sockets *socket.Setter) (*server, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "unix" {
		return &server{name: rawURL, network: "unix", address: u.Path, sockets: sockets}, nil
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	return &server{name: rawURL, network: "tcp", address: address, sockets: sockets}, nil
}

// group returns which idle connections a class may use: those of the classes that
// tell the kernel the same.
func (s *server) group(class classifier.Class) int {
	if s.network == "unix" {
		return 0 // nothing is told there
	}
	return s.sockets.Group(int(class))
}

// get returns an idle connection that is still good, or dials one.
func (s *server) get(ctx context.Context, class classifier.Class) (*upstreamConn, error) {
	for {
		c := s.takeIdle(s.group(class))
		if c == nil {
			return s.dial(ctx, class)
		}
		if time.Since(c.lastUsed) < maxIdleTime && alive(c.Conn) {
			c.reused = true
			return c, nil
		}
		c.Close()
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

// open makes a connection for class.
func (s *server) open(ctx context.Context, class classifier.Class) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout, Control: s.sockets.Control(int(class))}
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

func (s *server) dial(ctx context.Context, class classifier.Class) (*upstreamConn, error) {
	c, err := s.open(ctx, class)
	if err != nil {
		return nil, err
	}
	return &upstreamConn{
		Conn: c, br: bufio.NewReaderSize(c, bufferSize), bw: bufio.NewWriterSize(c, bufferSize), group: s.group(class),
	}, nil
}

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
		c.Close()
	}
}
