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
)

// confirmTimeout is how long a publish or an acknowledgement waits for the
// server when the caller would wait longer.
const confirmTimeout = 5 * time.Second

// Conn is a connection to a server, shared by all queues on it. It reconnects
// for as long as it takes. It is safe for concurrent use.
type Conn struct {
	nc       *natsgo.Conn
	js       jetstream.JetStream
	log      *slog.Logger
	place    string        // the servers, for people
	external bool          // the server is not in this process
	closed   chan struct{} // closed by nats.go when its last callback has run

	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	opening sync.WaitGroup // those who wait for the server; added to with mu, see doubt

	mu       sync.Mutex
	link     context.Context // ends when the present connection is lost, with the reason
	lose     context.CancelCauseFunc
	there    chan struct{} // closed while there is a connection
	reported string        // the last error of report since the connection changed
	denied   denial
	intakes  map[string]*intake // by stream
}

// denial is the last time that the server denied a permission. It tells so
// beside the request, which just gets no answer.
type denial struct {
	times int
	err   error
}

func newConn(cfg *ConnConfig) *Conn {
	c := &Conn{
		log: cfg.Logger, place: placeOf(cfg), external: len(cfg.URLs) > 0, closed: make(chan struct{}), there: make(chan struct{}),
		intakes: make(map[string]*intake),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Ping returns nil if the server answers, else an error that is
// [broker.ErrUnavailable] or ctx's.
func (c *Conn) Ping(ctx context.Context) error {
	if err := c.request(ctx, c.nc.FlushWithContext); err != nil {
		return fmt.Errorf("nats: ping %s: %w", c.place, err)
	}
	return nil
}

// request runs call, which asks the server something, and classifies its
// error. It ends within confirmTimeout, and as soon as the connection is lost:
// nats.go would let call wait for an answer that can't come any more.
func (c *Conn) request(ctx context.Context, call func(context.Context) error) error {
	c.mu.Lock()
	link, denials := c.link, c.denied.times
	c.mu.Unlock()
	if link.Err() != nil && ctx.Err() == nil {
		return cause(ctx, context.Cause(link))
	}
	rctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	defer context.AfterFunc(link, func() { end(context.Cause(link)) })()
	// A context with a deadline would cost half as much again.
	defer time.AfterFunc(confirmTimeout, func() { end(errNoAnswer) }).Stop()
	err := call(rctx)
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && rctx.Err() != nil {
		err = context.Cause(rctx)
	}
	return c.explain(ctx, err, denials)
}

// explain classifies the error of a request before which there were that many
// denials. ctx is the caller's.
func (c *Conn) explain(ctx context.Context, err error, denials int) error {
	switch {
	case errors.Is(err, natsgo.ErrReconnectBufExceeded), errors.Is(err, natsgo.ErrDisconnected):
		err = errConnectionLost // nats.go knew it before us
	case errors.Is(err, jetstream.ErrAsyncPublishTimeout):
		err = errNoAnswer
	}
	if errors.Is(err, errNoAnswer) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.denied.times > denials {
			err = fmt.Errorf("%w: %w", err, c.denied.err)
		}
	}
	return cause(ctx, err)
}

func (c *Conn) connected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.link, c.lose = context.WithCancelCause(context.Background())
	c.reported = ""
	select {
	case <-c.there:
	default:
		close(c.there)
	}
}

// awaitConnection returns when there is a connection, or ctx has ended, and
// reports whether there was none at first.
func (c *Conn) awaitConnection(ctx context.Context) (waited bool) {
	c.mu.Lock()
	there := c.there
	c.mu.Unlock()
	select {
	case <-there:
		return false
	default:
	}
	select {
	case <-there:
	case <-ctx.Done():
	}
	return true
}

func (c *Conn) reconnected(nc *natsgo.Conn) {
	c.connected()
	c.log.Info("nats: connected", "server", nc.ConnectedAddr())
}

func (c *Conn) disconnected(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.loseLocked(why)
}

// loseLocked fails the requests under way, and those to come until there is a
// connection again. The newest reason counts.
func (c *Conn) loseLocked(why error) {
	err := errConnectionLost
	if why != nil {
		err = fmt.Errorf("%w: %w", errConnectionLost, why)
	}
	c.lose(err)
	c.link, c.lose = context.WithCancelCause(context.Background())
	c.lose(err)
	select {
	case <-c.there:
		c.there = make(chan struct{})
	default:
	}
}

// report takes what the client reports outside of any call. Attempts to
// reconnect may fail in the same way again and again; that is logged once.
func (c *Conn) report(err error) {
	c.mu.Lock()
	again := c.reported == err.Error()
	c.reported = err.Error()
	if errors.Is(err, natsgo.ErrPermissionViolation) {
		c.denied = denial{times: c.denied.times + 1, err: err}
	}
	if isAuthError(err) { // while reconnecting
		c.loseLocked(err)
	}
	c.mu.Unlock()
	if !again {
		c.log.Warn("nats: the server reports an error", "servers", c.place, "error", err, "remedy", connectRemedy(err))
	}
}

// Close closes the connection. Close the publishers and consumers of its
// queues first: what they have under way ends with [broker.ErrUnavailable].
func (c *Conn) Close(ctx context.Context) error {
	c.mu.Lock()
	c.cancel()
	c.mu.Unlock()
	c.opening.Wait() // not for long: they wait for nothing but c.ctx
	c.nc.Close()
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("nats: close connection: %w", ctx.Err())
	}
}
