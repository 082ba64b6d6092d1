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
	// sweepEvery is how late a timeout or an idle connection is noticed at most.
	sweepEvery = 100 * time.Millisecond
)

// httpSender sends requests to one HTTP/1.1 server. Each request is tried once,
// on a connection that it has for itself while it lasts.
//
// There is one goroutine per connection, which dials it and then reads answers.
// Requests are written by the caller of Send, so that a request costs one system
// call to send, one to receive, and no goroutine. Only what could block, large
// bodies and dialing, is done elsewhere. One goroutine sweeps over all
// connections for timeouts, so that no request needs a timer.
type httpSender struct {
	target  target
	tls     *tls.Config
	base    time.Time        // deadlines count from here
	pools   map[string]*pool // by the name of the class
	ctx     context.Context  // ends with Close
	cancel  context.CancelFunc
	aborted atomic.Bool // what is unanswered stays so
	// running are all goroutines of the sender. New ones are only started by
	// those, or by Send.
	running sync.WaitGroup
}

// openHTTP finds out whether anything listens at e and returns its sender.
func openHTTP(ctx context.Context, e Endpoint, classes []Class, tlsConfig *tls.Config) (*httpSender, error) {
	t, err := parseTarget(e.URL)
	if err != nil {
		return nil, err
	}
	s := &httpSender{target: t, base: time.Now(), pools: make(map[string]*pool)}
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
	every := sweepEvery
	for _, class := range classes {
		s.pools[class.Name] = &pool{sender: s, limit: class.Connections, conns: make(map[*conn]struct{})}
		if class.Timeout > 0 {
			every = min(every, max(class.Timeout/10, time.Millisecond))
		}
	}
	s.running.Go(func() { s.sweep(every) })
	return s, nil
}

// Send implements [Sender].
func (s *httpSender) Send(c *Call) {
	if conn := s.pools[c.Class.Name].take(c); conn != nil {
		conn.send(c)
	}
}

// Close implements [Sender].
func (s *httpSender) Close() error {
	s.aborted.Store(true)
	s.cancel()
	for _, p := range s.pools {
		p.close()
	}
	s.running.Wait()
	return nil
}

// sweep ends what takes too long, until Close.
func (s *httpSender) sweep(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-ticker.C:
			for _, p := range s.pools {
				p.sweep(s.now())
			}
		}
	}
}

// now is the time on the clock of deadlines.
func (s *httpSender) now() time.Duration { return time.Since(s.base) }

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
		return fmt.Errorf("loadgen: target %s refused the connection; is the gateway running there? (%w)", t.url, err)
	case errors.As(err, &untrusted):
		return fmt.Errorf("loadgen: the certificate of target %s is not trusted: %w; give --insecure, or have SSL_CERT_FILE name its CA", t.url, untrusted.Err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("loadgen: target %s does not speak TLS at that port; is it http://%s? (%w)", t.url, t.host, err)
	default:
		return fmt.Errorf("loadgen: target %s can't be reached: %w", t.url, err)
	}
}
