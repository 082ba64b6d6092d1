package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// dialTimeout bounds a dial, and the handshake after it.
const dialTimeout = 5 * time.Second

// amqpBroker keeps each queue in a durable classic queue of its name. Queues that
// are not there are made; others are used as they are.
//
// It publishes on one connection and each consumer has another: a broker that
// holds publishers back would hold back the acknowledgements too.
type amqpBroker struct {
	url string
	log func(format string, args ...any)

	// lock guards what follows. It is a channel, so that who waits for a dial of
	// somebody else waits no longer than its own context.
	lock     chan struct{}
	conn     *amqp.Connection // nil until something is published, or after it broke
	channel  *amqp.Channel
	declared map[string]bool // on this channel
}

func openAMQP(url string, log func(format string, args ...any)) *amqpBroker {
	return &amqpBroker{url: url, log: log, lock: make(chan struct{}, 1)}
}

func (b *amqpBroker) dial(ctx context.Context) (*amqp.Connection, error) {
	var raw net.Conn
	stop := func() bool { return true }
	conn, err := amqp.DialConfig(b.url, amqp.Config{
		Heartbeat: 10 * time.Second, Properties: amqp.Table{"connection_name": "overtake-app"},
		Dial: func(network, addr string) (net.Conn, error) {
			c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			raw = c
			stop = context.AfterFunc(ctx, func() { _ = c.Close() })
			return c, c.SetDeadline(time.Now().Add(dialTimeout)) // the client lifts it after the handshake
		},
	})
	stop()
	if err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		return nil, fmt.Errorf("the broker is away: %w", errors.Join(err, ctx.Err()))
	}
	if ctx.Err() != nil {
		return nil, errors.Join(ctx.Err(), conn.Close())
	}
	return conn, nil
}

// declare makes the queue unless it is there. It uses channels of its own, as a
// refusal closes the channel.
func declare(conn *amqp.Connection, queue string) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if _, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil); err == nil {
		return ch.Close()
	}
	if ch, err = conn.Channel(); err != nil {
		return err
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		return err
	}
	return ch.Close()
}

// publishing returns a channel with confirmations on which queue is known to be.
func (b *amqpBroker) publishing(ctx context.Context, queue string) (*amqp.Channel, error) {
	select {
	case b.lock <- struct{}{}:
		defer func() { <-b.lock }()
	case <-ctx.Done():
		return nil, fmt.Errorf("the broker is away: %w", ctx.Err())
	}
	if b.conn != nil && (b.conn.IsClosed() || b.channel.IsClosed()) {
		_ = b.conn.Close() // it is broken
		b.conn = nil
	}
	if b.conn == nil {
		conn, err := b.dial(ctx)
		if err != nil {
			return nil, err
		}
		channel, err := conn.Channel()
		if err == nil {
			err = channel.Confirm(false)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		b.conn, b.channel, b.declared = conn, channel, make(map[string]bool)
	}
	if !b.declared[queue] {
		if err := declare(b.conn, queue); err != nil {
			return nil, err
		}
		b.declared[queue] = true
	}
	return b.channel, nil
}

func (b *amqpBroker) publish(ctx context.Context, queue string, headers []header, body []byte) error {
	channel, err := b.publishing(ctx, queue)
	if err != nil {
		return err
	}
	table := make(amqp.Table)
	for _, h := range headers {
		table[h.name] = h.value
	}
	confirmation, err := channel.PublishWithDeferredConfirmWithContext(ctx, "", queue, false, false,
		amqp.Publishing{DeliveryMode: amqp.Persistent, ContentType: "application/octet-stream", Headers: table, Body: body})
	if err != nil {
		return err
	}
	acked, err := confirmation.WaitContext(ctx)
	if err != nil {
		return fmt.Errorf("the broker has not confirmed it: %w", err)
	}
	if !acked {
		return errors.New("the broker refused it, or went away")
	}
	return nil
}

func (b *amqpBroker) consume(ctx context.Context, queue string, concurrency int, handle func([]header) bool) {
	away := false
	for ctx.Err() == nil {
		err := b.consumeOnce(ctx, queue, concurrency, handle, func() {
			if away {
				b.log("queue=%s state=connected", queue)
			}
			away = false
		})
		if ctx.Err() != nil {
			return
		}
		if !away {
			b.log("queue=%s state=away error=%q; it is tried until it is there", queue, err)
		}
		away = true
		pause(ctx)
	}
}

// consumeOnce consumes until ctx ends or the connection breaks. What is at hand then
// is done, and acknowledged where that is still possible.
func (b *amqpBroker) consumeOnce(ctx context.Context, queue string, concurrency int, handle func([]header) bool, connected func()) error {
	conn, err := b.dial(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // it may be broken, which is told below
	if err := declare(conn, queue); err != nil {
		return err
	}
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Qos(concurrency, 0, false); err != nil {
		return err
	}
	deliveries, err := ch.Consume(queue, "overtake-app", false, false, false, false, nil)
	if err != nil {
		return err
	}
	connected()
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	var running sync.WaitGroup
	defer running.Wait() // before the connection is closed
	for range concurrency {
		running.Go(func() {
			for {
				select {
				case <-ctx.Done(): // what has been delivered goes back with the connection
					return
				case d, ok := <-deliveries:
					if !ok {
						return
					}
					settle(d, handle(amqpHeaders(d.Headers)))
				}
			}
		})
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-closed:
		return fmt.Errorf("connection closed: %w", err)
	}
}

// settle acknowledges a message, or rejects it for good. On a connection that broke
// it can do neither, and the broker delivers the message again.
func settle(d amqp.Delivery, done bool) {
	if done {
		_ = d.Ack(false)
		return
	}
	_ = d.Reject(false)
}

func amqpHeaders(table amqp.Table) []header {
	var headers []header
	for name, value := range table {
		switch value := value.(type) {
		case string:
			headers = append(headers, header{name, value})
		case []byte:
			headers = append(headers, header{name, string(value)})
		}
	}
	return headers
}

func (b *amqpBroker) close() error {
	b.lock <- struct{}{}
	defer func() { <-b.lock }()
	if b.conn != nil && !b.conn.IsClosed() {
		return b.conn.Close()
	}
	return nil
}
