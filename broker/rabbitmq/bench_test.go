package rabbitmq

import (
	"context"
	"fmt"
	"sync"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// benchWorkers is how many messages are worked on at the same time.
const benchWorkers = 32

// backlog publishes n messages of 256 bytes.
func backlog(b *testing.B, q *Queue, n int) {
	b.Helper()
	p := publisher(b, q)
	var wg sync.WaitGroup
	for g := range 64 {
		wg.Go(func() {
			for i := g; i < n; i += 64 {
				m := &broker.Message{ID: fmt.Sprint("m", i), Class: "batch", Body: make([]byte, 256)}
				if err := p.Publish(context.Background(), m); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkPublish measures confirmed publishes of 256 bytes by 64 goroutines.
func BenchmarkPublish(b *testing.B) {
	for _, kind := range []string{Quorum, Classic} {
		b.Run(kind, func(b *testing.B) {
			q := open(b, connect(b), QueueConfig{Type: kind, MaxBytes: 2 << 30})
			b.ReportAllocs()
			b.ResetTimer()
			backlog(b, q, b.N)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

// BenchmarkConsume empties a lane with 32 workers: by hand, with the client
// library and a prefetch of 32, and with Next and Done.
func BenchmarkConsume(b *testing.B) {
	ways := []struct {
		name    string
		consume func(*testing.B, *Queue, int)
	}{
		{"byHand", consumeByHand},
		{"Next", consumeByNext},
	}
	for _, kind := range []string{Quorum, Classic} {
		for _, way := range ways {
			b.Run(kind+"/"+way.name, func(b *testing.B) {
				q := open(b, connect(b), QueueConfig{Type: kind, MaxBytes: 2 << 30})
				backlog(b, q, b.N)
				b.ReportAllocs()
				b.ResetTimer()
				way.consume(b, q, b.N)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

func consumeByHand(b *testing.B, q *Queue, n int) {
	control(b, q, func(ch *amqp.Channel) error {
		if err := ch.Qos(benchWorkers, 0, false); err != nil {
			return err
		}
		deliveries, err := ch.Consume(q.name("batch"), "by-hand", false, false, false, false, nil)
		if err != nil {
			return err
		}
		free := make(chan struct{}, benchWorkers)
		var wg sync.WaitGroup
		for range n {
			free <- struct{}{}
			d := <-deliveries
			wg.Go(func() {
				if err := d.Ack(false); err != nil {
					b.Error(err)
				}
				<-free
			})
		}
		wg.Wait()
		return nil
	})
}

func consumeByNext(b *testing.B, q *Queue, n int) {
	ctx := context.Background()
	c := consumer(b, q)
	free := make(chan struct{}, benchWorkers)
	var wg sync.WaitGroup
	for range n {
		free <- struct{}{}
		d, err := c.Next(ctx, "batch")
		if err != nil {
			b.Fatal(err)
		}
		wg.Go(func() {
			if err := d.Done(ctx); err != nil {
				b.Error(err)
			}
			<-free
		})
	}
	wg.Wait()
}
