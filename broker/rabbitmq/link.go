package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

const (
	// heartbeat is what is agreed with the server. The client gives up a server
	// that was silent for one and a half of it, the server a client after two.
	heartbeat = 5 * time.Second
	// dialTimeout bounds a connection attempt with its handshake, writeTimeout a
	// write, which would otherwise wait as long as the server does not read.
	dialTimeout  = 5 * time.Second
	writeTimeout = 5 * time.Second
	// minBackoff and maxBackoff bound the pauses between attempts, half of which is
	// added or taken away by chance.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// session is the life of one connection. Channels and delivery tags belong to a
// session and die with it: nothing of one is ever used on another.
type session struct {
	conn *amqp.Connection
	raw  net.Conn      // below conn
	lost chan struct{} // closed when the connection is lost

	mu      sync.Mutex
	reason  string        // why the server takes no messages, or ""
	blocked chan struct{} // closed while it takes none
}

// blockage returns why the server takes no messages, or "", and a channel that
// is closed when it begins to take none.
func (s *session) blockage() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reason, s.blocked
}

func (s *session) setBlocked(b amqp.Blocking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case b.Active && s.reason == "":
		s.reason = b.Reason
		close(s.blocked)
	case !b.Active && s.reason != "":
		s.reason, s.blocked = "", make(chan struct{})
	}
}

// link is one of the connections to the server, made anew whenever it is lost.
type link struct {
	name string // what it is for
	cfg  *ConnConfig

	mu      sync.Mutex
	present *session      // nil while there is none
	changed chan struct{} // closed when present or err changes
	err     error         // why there is none
}

var errNotYet = errors.New("not connected yet")

func newLink(name string, cfg *ConnConfig) *link {
	return &link{name: name, cfg: cfg, changed: make(chan struct{}), err: errNotYet}
}

// session returns the present session, or the reason why there is none, which is
// [broker.ErrUnavailable].
func (l *link) session() (*session, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.present == nil {
		return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, l.err)
	}
	return l.present, nil
}

// attempted returns the present session, or why the last attempt to connect
// failed: that is [broker.ErrUnavailable], unless the server was reached and
// refused. It waits only for the first attempt.
func (l *link) attempted(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, changed, err := l.present, l.changed, l.err
		l.mu.Unlock()
		switch {
		case s != nil:
			return s, nil
		case connectRemedy(err) != "":
			return nil, err
		case !errors.Is(err, errNotYet):
			return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, cause(ctx, ctx.Err())
		}
	}
}

// wait returns the present session or the next one.
func (l *link) wait(ctx context.Context) (*session, error) {
	for {
		l.mu.Lock()
		s, changed, err := l.present, l.changed, l.err
		l.mu.Unlock()
		if s != nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", broker.ErrUnavailable, err)
		}
	}
}

func (l *link) set(s *session, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.present, l.err = s, err
	close(l.changed)
	l.changed = make(chan struct{})
}

// run keeps the link connected until ctx ends.
func (l *link) run(ctx context.Context) {
	log := l.cfg.Logger.With("connection", l.name)
	backoff := minBackoff
	said := false    // in this outage
	saidRemedy := "" // with it, what to do
	for ctx.Err() == nil {
		s, err := l.dial(ctx)
		if err == nil {
			log.Info("rabbitmq: connected")
			backoff, said = minBackoff, false
			l.set(s, nil)
			err = s.watch(ctx, log)
			close(s.lost)
		}
		l.set(nil, err)
		if ctx.Err() != nil {
			return
		}
		if remedy := connectRemedy(err); !said || remedy != saidRemedy {
			log.Warn("rabbitmq: no connection, trying on", "server", l.cfg.host(), "error", err)
			said, saidRemedy = true, remedy
		}
		pause(ctx, backoff/2+rand.N(backoff))
		backoff = min(2*backoff, maxBackoff)
	}
}

// watch returns when the connection is lost, with the reason, or closes it when
// ctx ends.
func (s *session) watch(ctx context.Context, log *slog.Logger) error {
	closed := s.conn.NotifyClose(make(chan *amqp.Error, 1))
	blocked := s.conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	for {
		select {
		case b, ok := <-blocked:
			if !ok {
				blocked = nil
				continue
			}
			s.setBlocked(b)
			log.Warn("rabbitmq: the server's memory or disk alarm", "active", b.Active, "reason", b.Reason)
		case err := <-closed:
			if err == nil {
				return errConnectionLost
			}
			return fmt.Errorf("%w: %w", errConnectionLost, err)
		case <-ctx.Done():
			// A server that reads no more does not answer the goodbye.
			_ = s.conn.CloseDeadline(time.Now().Add(time.Second))
			return broker.ErrClosed
		}
	}
}

// dial makes one attempt to connect.
func (l *link) dial(ctx context.Context) (*session, error) {
	var raw net.Conn
	tls, err := l.cfg.TLS.config()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName("overtake " + l.name)
	conn, err := amqp.DialConfig(l.cfg.URL, amqp.Config{
		Heartbeat:       heartbeat,
		TLSClientConfig: tls,
		Properties:      properties,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialTimeout, Control: l.cfg.Control}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			raw = c
			// The client lifts the deadline after the handshake.
			return &wire{c}, c.SetDeadline(time.Now().Add(dialTimeout))
		},
	})
	if err != nil {
		if raw != nil {
			raw.Close()
		}
		// The client takes any end of the handshake for a refusal, also a late one.
		if silent := time.Since(began) >= dialTimeout; silent && (errors.Is(err, amqp.ErrCredentials) || errors.Is(err, amqp.ErrVhost)) {
			err = errNoAnswer
		}
		remedy := connectRemedy(err)
		if raw != nil && remedy == "" && strings.HasPrefix(l.cfg.URL, "amqps:") && l.cfg.TLS.Cert == "" {
			// TLS 1.3 refuses after the handshake, and the reason may be lost with
			// the connection: so this is a guess, and no refusal.
			remedy = "; the server may want a client certificate: tls.cert and tls.key"
		}
		return nil, fmt.Errorf("connect to %s: %w%s", l.cfg.host(), err, remedy)
	}
	return &session{conn: conn, raw: raw, lost: make(chan struct{}), blocked: make(chan struct{})}, nil
}

// wire is a connection whose writes end in time.
type wire struct{ net.Conn }

func (w *wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
