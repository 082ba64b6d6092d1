package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
)

const (
	// confirmTimeout is how long a publish or an acknowledgement waits for the
	// server when the caller would wait longer.
	confirmTimeout = 5 * time.Second
	// reconnectWait is the pause between two attempts to reconnect.
	reconnectWait = 250 * time.Millisecond
)

// ConnConfig says which server to connect to.
type ConnConfig struct {
	// Server is the embedded server. Required: servers elsewhere are not
	// supported yet.
	Server *Server
	// Logger gets what happens outside of any call, such as a lost
	// connection. Default: slog.Default.
	Logger *slog.Logger
}

// Conn is a connection to a server, shared by all queues on it. It reconnects
// for as long as it takes. It is safe for concurrent use.
type Conn struct {
	nc     *natsgo.Conn
	js     jetstream.JetStream
	log    *slog.Logger
	closed chan struct{} // closed by nats.go when its last callback has run

	mu   sync.Mutex
	link context.Context // ends when the present connection is lost
	lose context.CancelFunc
}

// Connect returns a connection to the server of cfg.
func Connect(cfg ConnConfig) (*Conn, error) {
	if cfg.Server == nil {
		return nil, errors.New("nats: connect: no server given")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	c := &Conn{log: cfg.Logger, closed: make(chan struct{})}
	c.connected()
	nc, err := natsgo.Connect("", c.options(cfg.Server)...)
	if err != nil {
		return nil, fmt.Errorf("nats: connect to the embedded server: %w: %w", broker.ErrUnavailable, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("nats: connect to the embedded server: %w", err)
	}
	c.nc, c.js = nc, js
	return c, nil
}

func (c *Conn) options(s *Server) []natsgo.Option {
	return []natsgo.Option{
		natsgo.InProcessServer(s.ns),
		natsgo.Name("overtake"),
		natsgo.MaxReconnects(-1),
		natsgo.ReconnectWait(reconnectWait),
		// Without a connection, fail at once: what is buffered would be sent
		// after its publisher has given up.
		natsgo.ReconnectBufSize(-1),
		natsgo.DisconnectErrHandler(func(_ *natsgo.Conn, err error) {
			c.disconnected()
			if err != nil {
				c.log.Warn("nats: connection lost, reconnecting", "error", err)
			}
		}),
		natsgo.ReconnectHandler(func(*natsgo.Conn) {
			c.connected()
			c.log.Info("nats: reconnected")
		}),
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) {
			c.log.Warn("nats: asynchronous error", "error", err)
		}),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(c.closed) }),
	}
}

// Ping returns nil if the server answers, else an error that is
// [broker.ErrUnavailable] or ctx's.
func (c *Conn) Ping(ctx context.Context) error {
	if err := c.request(ctx, c.nc.FlushWithContext); err != nil {
		return fmt.Errorf("nats: ping: %w", err)
	}
	return nil
}

// request runs call, which asks the server something, and classifies its
// error. It ends within confirmTimeout, and as soon as the connection is lost:
// nats.go would let call wait for an answer that can't come any more.
func (c *Conn) request(ctx context.Context, call func(context.Context) error) error {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	rctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	defer context.AfterFunc(link, func() { lost(errConnectionLost) })()
	rctx, cancel := context.WithTimeoutCause(rctx, confirmTimeout, errNoAnswer)
	defer cancel()
	err := call(rctx)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && rctx.Err() != nil {
		err = context.Cause(rctx)
	}
	return cause(ctx, err)
}

func (c *Conn) connected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.lose = context.WithCancel(context.Background())
}

func (c *Conn) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose()
}

// Close closes the connection. Close the publishers and consumers of its
// queues first: what they have under way ends with [broker.ErrUnavailable].
func (c *Conn) Close(ctx context.Context) error {
	c.nc.Close()
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nats: close connection: %w", ctx.Err())
	}
}
