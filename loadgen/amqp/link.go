package amqp

import (
	"context"
	"net"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"overtake/loadgen/inflight"
)

const (
	// heartbeat is what is agreed with the broker, which is given up when it was
	// silent for somewhat longer.
	heartbeat   = 5 * time.Second
	dialTimeout = 5 * time.Second
	// minBackoff and maxBackoff bound the pauses between attempts to connect.
	minBackoff = 50 * time.Millisecond
	maxBackoff = time.Second
	// goodbye bounds the closing of a connection to a broker that reads no more.
	goodbye = time.Second
)

// dial makes one attempt to connect.
func dial(ctx context.Context, url, purpose string) (*amqp091.Connection, error) {
	properties := amqp091.NewConnectionProperties()
	properties.SetClientConnectionName("overtake-loadgen " + purpose)
	var raw net.Conn
	conn, err := amqp091.DialConfig(url, amqp091.Config{
		Heartbeat:  heartbeat,
		Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			raw = c
			return c, c.SetDeadline(time.Now().Add(dialTimeout)) // the client lifts it after the handshake
		},
	})
	if err != nil && raw != nil {
		_ = raw.Close()
	}
	return conn, err
}

// hangUp closes a connection, also one that is lost or stuck.
func hangUp(conn *amqp091.Connection) { _ = conn.CloseDeadline(time.Now().Add(goodbye)) }

// openChannel opens a channel and makes it ready, within dialTimeout: a broker that
// stands still would be waited for for ever, and its silence is noticed only where
// something of it has been read before.
func openChannel(conn *amqp091.Connection, ready func(*amqp091.Channel) error) (*amqp091.Channel, error) {
	patience := time.AfterFunc(dialTimeout, func() { hangUp(conn) })
	defer patience.Stop()
	ch, err := conn.Channel()
	if err != nil {
		return nil, err
	}
	return ch, ready(ch)
}

// keep calls use with one connection after the other until ctx ends, beginning with
// conn. use returns when the connection is of no more use. Between two connections it
// calls idle, which waits.
func (s *sender) keep(ctx context.Context, conn *amqp091.Connection, purpose string,
	use func(context.Context, *amqp091.Connection), idle func(context.Context, time.Duration)) {
	backoff := minBackoff
	for {
		if conn != nil {
			began := time.Now()
			use(ctx, conn)
			hangUp(conn)
			if time.Since(began) > maxBackoff { // one that did not last is no success
				backoff = minBackoff
			}
		}
		if ctx.Err() != nil {
			return
		}
		idle(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
		conn, _ = dial(ctx, s.endpoint.URL, purpose) // what fails is tried again
	}
}

// whenEnded closes conn when ctx ends, so that nothing waits for a broker that does
// not answer, until release is called.
func whenEnded(ctx context.Context, conn *amqp091.Connection) (release func()) {
	released := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-ctx.Done():
			hangUp(conn)
		case <-released:
		}
	}()
	return func() {
		close(released)
		<-ended
	}
}

// wait is the idle of who has nothing to do meanwhile.
func wait(ctx context.Context, d time.Duration) { inflight.Wait(ctx, d) }
