package nats

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"overtake/broker"
)

// BenchmarkPublish measures confirmed publishes of 256 bytes by 64 goroutines.
func BenchmarkPublish(b *testing.B) {
	q := startBroker(b, b.TempDir()).open(b, QueueConfig{MaxBytes: 2 << 30})
	p := publisher(b, q)
	ctx := context.Background()
	body := make([]byte, 256)
	var n atomic.Int64
	b.ReportAllocs()
	b.SetParallelism(max(64/runtime.GOMAXPROCS(0), 1))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := &broker.Message{ID: fmt.Sprint("m", n.Add(1)), Class: "batch", Body: body}
			if err := p.Publish(ctx, m); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkConsume measures Next and settling, one message after the other,
// with the two kinds of acknowledgement that JetStream has.
func BenchmarkConsume(b *testing.B) {
	kinds := map[string]func(context.Context, *broker.Delivery) error{
		"Done":     func(ctx context.Context, d *broker.Delivery) error { return d.Done(ctx) },
		"plainAck": func(_ context.Context, d *broker.Delivery) error { return d.Settler.(*delivery).plainAck() },
	}
	for name, settle := range kinds {
		b.Run(name, func(b *testing.B) {
			const backlog = 10_000
			ctx := context.Background()
			q := startBroker(b, b.TempDir()).open(b, QueueConfig{})
			p, c := publisher(b, q), consumer(b, q)
			body, published, left := make([]byte, 256), 0, 0
			b.ReportAllocs()
			for b.Loop() {
				if left == 0 {
					b.StopTimer()
					for ; left < backlog; left++ {
						published++
						m := &broker.Message{ID: fmt.Sprint("m", published), Class: "batch", Body: body}
						if err := p.Publish(ctx, m); err != nil {
							b.Fatal(err)
						}
					}
					b.StartTimer()
				}
				d, err := c.Next(ctx, "batch")
				if err != nil {
					b.Fatal(err)
				}
				if err := settle(ctx, d); err != nil {
					b.Fatal(err)
				}
				left--
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// plainAck settles without waiting for the server.
func (d *delivery) plainAck() error {
	d.c.release(d)
	d.claim()
	return d.msg.Ack()
}
