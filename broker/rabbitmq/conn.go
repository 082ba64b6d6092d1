package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/internal/gate"
)

// confirmTimeout is how long a publish or another request waits for the server
// when the caller would wait longer.
const confirmTimeout = 5 * time.Second

// ConnConfig says which server to connect to.
type ConnConfig struct {
	// URL is amqp://user:password@host:port/vhost, or amqps:// for TLS. Required.
	URL string
	// TLS is used with amqps://.
	TLS TLSFiles
	// Control is called with each socket before it is connected, see
	// [net.Dialer.Control]. Default: none.
	Control func(network, address string, c syscall.RawConn) error
	// Beside is a Conn to the same server whose connection for consuming is used, too,
	// and which is closed after this one. Default: none, it has its own.
	Beside *Conn
	// Logger gets what happens outside of any call, such as a lost connection.
	// Default: slog.Default.
	Logger *slog.Logger
}

// host is the URL without its secrets.
func (c *ConnConfig) host() string {
	u, err := amqp.ParseURI(c.URL)
	if err != nil {
		return "the broker"
	}
	return net.JoinHostPort(u.Host, strconv.Itoa(u.Port))
}

// Conn is a pair of connections to a server, shared by all queues on it: one for
// publishing and one for consuming, because a server that is short of memory
// stops reading from whoever publishes, and acknowledgements must get through.
// Both are made anew as often as they are lost. It is safe for concurrent use.
type Conn struct {
	cfg        ConnConfig
	publishing *link
	consuming  *link

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	running  chan struct{} // closed when its own links have ended
	requests gate.Gate
}

// Connect returns a connection to the server of cfg. It does not wait for the
// server: until it is reached, and whenever it is away, what needs it fails with
// [broker.ErrUnavailable].
func Connect(cfg ConnConfig) (*Conn, error) {
	if _, err := amqp.ParseURI(cfg.URL); err != nil {
		// The error may quote the URL, and with it the password.
		return nil, errors.New("rabbitmq: connect: the URL is not amqp://user:password@host:port/vhost")
	}
	if _, err := cfg.TLS.config(); err != nil {
		return nil, fmt.Errorf("rabbitmq: connect: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{cfg: cfg, ctx: ctx, cancel: cancel, running: make(chan struct{})}
	c.publishing = newLink("publishing", &c.cfg)
	own := []*link{c.publishing}
	if cfg.Beside != nil {
		c.consuming = cfg.Beside.consuming
	} else {
		c.consuming = newLink("consuming", &c.cfg)
		own = append(own, c.consuming)
	}
	var links sync.WaitGroup
	for _, l := range own {
		links.Go(func() { l.run(ctx) })
	}
	go func() {
		defer close(c.running)
		links.Wait()
	}()
	return c, nil
}

// Ping returns nil if the server answers and takes messages, else an error that
// is [broker.ErrUnavailable] or ctx's.
func (c *Conn) Ping(ctx context.Context) error {
	s, err := c.publishing.session()
	if err == nil {
		err = s.open()
	}
	if err == nil {
		err = c.request(ctx, func(*amqp.Channel) error { return nil })
	}
	if err != nil {
		return fmt.Errorf("rabbitmq: ping: %w", err)
	}
	return nil
}

// open returns nil if the server takes messages.
func (s *session) open() error {
	if reason, _ := s.blockage(); reason != "" {
		return blockedError(reason)
	}
	return nil
}

// request runs call with a channel of its own on the connection for consuming,
// which the server always reads, and classifies its error. It ends with ctx, and
// within confirmTimeout.
func (c *Conn) request(ctx context.Context, call func(*amqp.Channel) error) error {
	s, err := c.consuming.session()
	if err != nil {
		return err
	}
	return c.await(ctx, func() error {
		ch, err := s.conn.Channel()
		if err != nil {
			return err
		}
		err = call(ch)
		if closing := ch.Close(); err == nil {
			err = closing
		}
		return err
	})
}

// waiting returns how many messages wait in a queue on the server.
func (c *Conn) waiting(ctx context.Context, queue string) (int, error) {
	var state amqp.Queue // where the call may write also after ctx has ended
	err := c.request(ctx, func(ch *amqp.Channel) (err error) {
		state, err = ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	})
	if err != nil {
		return 0, err
	}
	return state.Messages, nil
}

// await waits for call, which the client library can't interrupt: when ctx ends
// first, call goes on until the server answers or the connection is lost. Close
// waits for it.
func (c *Conn) await(ctx context.Context, call func() error) error {
	if !c.requests.Enter() {
		return broker.ErrClosed
	}
	result := make(chan error, 1)
	go func() {
		defer c.requests.Leave()
		result <- call()
	}()
	rctx, cancel := context.WithTimeoutCause(ctx, confirmTimeout, errNoAnswer)
	defer cancel()
	select {
	case err := <-result:
		return cause(ctx, err)
	case <-rctx.Done():
		return cause(ctx, context.Cause(rctx))
	}
}

// Close closes the connections. Close the publishers and consumers of its queues
// first: what they have under way ends with [broker.ErrUnavailable].
func (c *Conn) Close(ctx context.Context) error {
	c.cancel()
	select {
	case <-c.running:
	case <-ctx.Done():
		return fmt.Errorf("rabbitmq: close connection: %w", ctx.Err())
	}
	if err := c.requests.Close(ctx); err != nil {
		return fmt.Errorf("rabbitmq: close connection: %w", err)
	}
	return nil
}
