package loadgen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	dialTimeout = 10 * time.Second
	// idleTimeout is below that of any usual server, so that a request rarely
	// meets a connection that the server is just closing: nothing is retried.
	idleTimeout = 2 * time.Second
	// restTimeout is for how long a server that has answered may go on taking the rest
	// of the request.
	restTimeout = 100 * time.Millisecond
)

// httpSender sends requests to one HTTP/1.1 server. Each request is tried once,
// on a connection that it has for itself while it lasts.
//
// Each class has connections of its own, which only its loop touches: a small request
// takes one system call to send and one to receive. Only what could block is done
// elsewhere: dialing, and with TLS reading and writing. Connections are kept in the order
// in which they become overdue, so that no request needs a timer.
type httpSender struct {
	target  target
	tls     *tls.Config
	pools   map[string]*pool // by the name of the class; immutable
	ctx     context.Context  // ends with Close
	cancel  context.CancelFunc
	aborted atomic.Bool // what is unanswered stays so
	// running are all goroutines of the sender. New ones are only started by
	// those, or on a loop.
	running sync.WaitGroup
}

// openHTTP finds out whether anything listens at e and returns its sender for classes
// that have these loops. Send is called on the loop of the call's class, Close on none.
func openHTTP(ctx context.Context, e Endpoint, classes []Class, loops map[string]*loop, tlsConfig *tls.Config) (*httpSender, error) {
	t, err := parseTarget(e.URL)
	if err != nil {
		return nil, err
	}
	s := &httpSender{target: t, pools: make(map[string]*pool)}
	if t.tls {
		s.tls = &tls.Config{}
		if tlsConfig != nil {
			s.tls = tlsConfig.Clone()
		}
		if s.tls.ServerName == "" {
			s.tls.ServerName = t.name
		}
	}
	if err := probe(ctx, t, s.tls); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, class := range classes {
		p := newPool(s, loops[class.Name], class.Connections)
		s.pools[class.Name] = p
		p.loop.attend(p)
	}
	return s, nil
}

// Send implements [Sender].
func (s *httpSender) Send(c *Call) { s.pools[c.Class.Name].send(c) }

// Close implements [Sender].
func (s *httpSender) Close() error {
	s.aborted.Store(true)
	s.cancel()
	for _, p := range s.pools {
		p.loop.do(p.close)
	}
	s.running.Wait()
	return nil
}

// dial opens a connection.
func (s *httpSender) dial() (net.Conn, error) {
	ctx, cancel := context.WithTimeout(s.ctx, dialTimeout)
	defer cancel()
	return dial(ctx, s.target.addr, s.tls)
}

// dial connects to addr, with TLS if there is a configuration of it.
func dial(ctx context.Context, addr string, tlsConfig *tls.Config) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err != nil || tlsConfig == nil {
		return nc, err
	}
	secure := tls.Client(nc, tlsConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = nc.Close()
		return nil, &net.OpError{Op: opHandshake, Net: "tcp", Addr: nc.RemoteAddr(), Err: err}
	}
	return secure, nil
}

// judge says what a request got that has no complete answer.
func (s *httpSender) judge(err error, size int64) Outcome {
	o := classifyError(err)
	if s.aborted.Load() {
		o = unfinished()
	}
	o.Bytes = size
	return o
}

// probe finds out whether anything usable listens at the target, before load starts.
func probe(ctx context.Context, t target, tlsConfig *tls.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := dial(ctx, t.addr, tlsConfig)
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case err == nil:
		_ = conn.Close()
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("loadgen: target %s refused the connection; is a server running there? (%w)", t.url, err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("loadgen: the certificate of target %s is not trusted: %w; give --insecure, or have SSL_CERT_FILE name its CA", t.url, untrusted.Err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("loadgen: target %s does not speak TLS at that port; is it http://%s? (%w)", t.url, t.host, err)
	default:
		return fmt.Errorf("loadgen: target %s can't be reached: %w", t.url, err)
	}
}

// SpeaksTLS reports whether the server at the base URL rawURL, which has the scheme
// http, makes a TLS handshake: then it could not read what it was sent. No request is
// sent. It takes up to 3 s, or until ctx ends.
func SpeaksTLS(ctx context.Context, rawURL string) bool {
	t, err := parseTarget(rawURL)
	if err != nil || t.tls {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := dial(ctx, t.addr, &tls.Config{ServerName: t.name, InsecureSkipVerify: true}) // nothing is told to whoever that is
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}
