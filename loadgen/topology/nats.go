package topology

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// retryPause is how long to wait before a broker that is away is tried again.
const retryPause = 500 * time.Millisecond

// natsBroker keeps each queue in a JetStream stream of its name, with _ for dots,
// whose one subject is the name of the queue. Streams that are not there are made.
type natsBroker struct {
	conn *nats.Conn
	js   jetstream.JetStream
	log  func(format string, args ...any)
}

func openNATS(url string, log func(format string, args ...any)) (*natsBroker, error) {
	conn, err := nats.Connect(url,
		nats.Name("overtake-app"),
		nats.MaxReconnects(-1), nats.ReconnectWait(retryPause), nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(-1), // publishing fails while it is away, rather than later
		nats.ConnectHandler(func(*nats.Conn) { log("state=connected") }),
		nats.ReconnectHandler(func(*nats.Conn) { log("state=connected") }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log("state=away error=%q; it is tried until it is there", err)
			}
		}),
	)
	if err != nil {
		return nil, err
	}
	if !conn.IsConnected() {
		log("state=away error=%q; it is tried until it is there", "no connection to "+conn.Opts.Url)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &natsBroker{conn: conn, js: js, log: log}, nil
}

func (b *natsBroker) stream(ctx context.Context, queue string) (jetstream.Stream, error) {
	name := strings.ReplaceAll(queue, ".", "_")
	stream, err := b.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return b.js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{queue}, Retention: jetstream.WorkQueuePolicy})
	}
	return stream, err
}

func (b *natsBroker) publish(ctx context.Context, queue string, headers []header, body []byte) error {
	if !b.conn.IsConnected() {
		return fmt.Errorf("the broker is away: %w", nats.ErrDisconnected)
	}
	msg := &nats.Msg{Subject: queue, Data: body, Header: make(nats.Header)}
	for _, h := range headers {
		msg.Header[h.name] = append(msg.Header[h.name], h.value)
	}
	_, err := b.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	if errors.Is(err, jetstream.ErrNoStreamResponse) {
		if _, err := b.stream(ctx, queue); err != nil {
			return err
		}
		_, err = b.js.PublishMsg(ctx, msg, jetstream.WithRetryAttempts(0))
	}
	return err
}

func (b *natsBroker) consume(ctx context.Context, queue string, concurrency int, handle func([]header) bool) {
	var running sync.WaitGroup
	defer running.Wait()
	for range concurrency {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := b.consumeOne(ctx, queue, handle); err != nil && ctx.Err() == nil {
					b.log("queue=%s error=%q; it is tried again", queue, err)
					pause(ctx)
				}
			}
		})
	}
}

// consumeOne consumes one message after the other until ctx ends or something
// fails.
func (b *natsBroker) consumeOne(ctx context.Context, queue string, handle func([]header) bool) error {
	if !b.conn.IsConnected() { // which was said when it went away
		pause(ctx)
		return nil
	}
	stream, err := b.stream(ctx, queue)
	if err != nil {
		return err
	}
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "overtake-app", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 10 * time.Minute,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(1))
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, messages.Stop)()
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return err
		}
		var headers []header
		for name, values := range msg.Headers() {
			for _, value := range values {
				headers = append(headers, header{name, value})
			}
		}
		settle := msg.Term
		if handle(headers) {
			settle = msg.Ack
		}
		if err := settle(); err != nil {
			return err
		}
	}
}

func (b *natsBroker) close() error {
	b.conn.Close()
	return nil
}

// pause waits a moment, or until ctx ends.
func pause(ctx context.Context) {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
