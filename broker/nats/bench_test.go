package nats

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
	"overtake/broker/nats/natstest"
)

// The benchmarks compare with a client that is written by hand for the one
// purpose, with the same library, server, streams and number of messages at the
// same time. Everything is confirmed: published messages and acknowledgements.

const (
	benchPublishers = 64
	benchWorkers    = 8
)

// benchQueues calls run for a queue on each kind of server.
func benchQueues(b *testing.B, run func(b *testing.B, q *Queue)) {
	log := slog.New(slog.DiscardHandler)
	open := func(b *testing.B, cfg ConnConfig) *Queue {
		cfg.Logger = log
		q, err := connect(b, cfg).OpenQueue(testContext(b), QueueConfig{Name: "jobs", Classes: []string{"batch"}, MaxBytes: 4 << 30})
		if err != nil {
			b.Fatal(err)
		}
		return q
	}
	embedded := func(sync bool) func(b *testing.B) {
		return func(b *testing.B) {
			s, err := StartServer(ServerConfig{Dir: b.TempDir(), SyncAlways: sync, Logger: log})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Shutdown(testContext(b)) })
			run(b, open(b, ConnConfig{Server: s}))
		}
	}
	b.Run("embedded", embedded(false))
	b.Run("syncAlways", embedded(true))
	b.Run("external", func(b *testing.B) {
		s := natstest.Start(b, natstest.Options{})
		run(b, open(b, ConnConfig{URLs: []string{s.URL()}}))
	})
}

// inParallel calls do b.N times, from n goroutines.
func inParallel(b *testing.B, n int, do func() error) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for range n {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

var benchBody = make([]byte, 256)

// BenchmarkPublish measures confirmed publishes of 256 bytes.
func BenchmarkPublish(b *testing.B) {
	benchQueues(b, func(b *testing.B, q *Queue) {
		ctx := context.Background()
		var n atomic.Int64
		b.Run("ours", func(b *testing.B) {
			p := publisher(b, q)
			inParallel(b, benchPublishers, func() error {
				m := &broker.Message{ID: fmt.Sprint("ours", n.Add(1)), Class: "batch", Body: benchBody}
				return p.Publish(ctx, m)
			})
		})
		b.Run("hand", func(b *testing.B) {
			inParallel(b, benchPublishers, func() error {
				msg := natsgo.NewMsg(q.subject("batch"))
				msg.Data = benchBody
				msg.Header.Set(broker.HeaderClass, "batch")
				_, err := q.conn.js.PublishMsg(ctx, msg, jetstream.WithMsgID(fmt.Sprint("hand", n.Add(1))))
				return err
			})
		})
	})
}

// benchQueue opens a queue of its own for one run on the connection of q, as a
// lane that others have consumed from may still have messages.
func benchQueue(b testing.TB, q *Queue) *Queue {
	cfg := q.cfg
	cfg.Name = fmt.Sprint("run", queues.Add(1))
	cfg.MaxBytes = 512 << 20
	q, err := q.conn.OpenQueue(testContext(b), cfg)
	if err != nil {
		b.Fatal(err)
	}
	return q
}

// BenchmarkConsume measures consuming and acknowledging by several workers: one
// goroutine takes the messages from the lane and hands them to the workers.
func BenchmarkConsume(b *testing.B) {
	benchQueues(b, func(b *testing.B, q *Queue) {
		ctx := context.Background()
		b.Run("ours", func(b *testing.B) {
			q := benchQueue(b, q)
			c := consumer(b, q)
			benchConsume(b, q, func() (func() error, error) {
				d, err := c.Next(ctx, "batch")
				if err != nil {
					return nil, err
				}
				return func() error { return d.Done(ctx) }, nil
			})
		})
		b.Run("hand", func(b *testing.B) {
			q := benchQueue(b, q)
			stream, err := q.conn.js.Consumer(ctx, q.stream("batch"), consumerName)
			if err != nil {
				b.Fatal(err)
			}
			messages := make(chan jetstream.Msg)
			ended := make(chan struct{})
			consuming, err := stream.Consume(func(msg jetstream.Msg) {
				select {
				case messages <- msg:
				case <-ended:
				}
			}, jetstream.PullMaxMessages(benchWorkers), jetstream.PullExpiry(time.Second)) // or it may stall for 30 s
			if err != nil {
				b.Fatal(err)
			}
			defer consuming.Stop()
			defer close(ended)
			benchConsume(b, q, func() (func() error, error) {
				msg := <-messages
				return func() error { return msg.DoubleAck(ctx) }, nil
			})
		})
	})
}

// benchConsume fills the lane and consumes b.N messages.
func benchConsume(b *testing.B, q *Queue, next func() (func() error, error)) {
	fill(b, q, b.N)
	work := make(chan func() error)
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range benchWorkers {
		wg.Go(func() {
			for done := range work {
				if err := done(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range b.N {
		done, err := next()
		if err != nil {
			b.Fatal(err)
		}
		work <- done
	}
	close(work)
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// filled numbers the messages of fill.
var filled atomic.Int64

// fill publishes n messages without waiting for each confirmation.
func fill(b testing.TB, q *Queue, n int) {
	b.Helper()
	js, err := jetstream.New(q.conn.nc, jetstream.WithPublishAsyncMaxPending(512))
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		if _, err := js.PublishAsync(q.subject("batch"), benchBody, jetstream.WithMsgID(fmt.Sprint("fill", filled.Add(1))), jetstream.WithStallWait(patience)); err != nil {
			b.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-testContext(b).Done():
		b.Fatal("the lane can't be filled")
	}
}
