package relay_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq"
	"overtake/broker/relay"
)

// batch is how many messages are published, and then moved, at a time.
const batch = 20_000

var payload = make([]byte, 1<<10)

// BenchmarkRelay compares a relay with plain publishing: the client library alone,
// to the same server, into one queue of the kind that the lanes are, with as many
// messages under way. Between two brokers, the slower one counts. A relay also
// takes, classifies and acknowledges.
func BenchmarkRelay(b *testing.B) {
	s := natstest.Start(b, natstest.Options{})
	for _, kind := range []string{rabbitmq.Classic, rabbitmq.Quorum} {
		b.Run("RabbitMQ "+kind, func(b *testing.B) {
			compare(b, rabbitLanes(b, rabbitmq.QueueConfig{Type: kind, MaxBytes: 1 << 30}), func() (time.Duration, func(int) broker.Source) {
				q := newPlainQueue(b, kind)
				return q.fillFast(b), q.source(b)
			})
		})
	}
	b.Run("NATS", func(b *testing.B) {
		compare(b, natsLanes(b, s, nats.QueueConfig{MaxBytes: 1 << 30}), func() (time.Duration, func(int) broker.Source) {
			p := newPlainStream(b, s, jetstream.WorkQueuePolicy)
			return p.fillFast(b), p.source(b, s, patience)
		})
	})
	b.Run("RabbitMQ to NATS", func(b *testing.B) {
		compare(b, natsLanes(b, s, nats.QueueConfig{MaxBytes: 1 << 30}), func() (time.Duration, func(int) broker.Source) {
			q := newPlainQueue(b, rabbitmq.Classic)
			return max(q.fillFast(b), newPlainStream(b, s, jetstream.WorkQueuePolicy).fillFast(b)), q.source(b)
		})
	})
	b.Run("NATS to RabbitMQ", func(b *testing.B) {
		compare(b, rabbitLanes(b, rabbitmq.QueueConfig{MaxBytes: 1 << 30}), func() (time.Duration, func(int) broker.Source) {
			p := newPlainStream(b, s, jetstream.WorkQueuePolicy)
			return max(p.fillFast(b), newPlainQueue(b, rabbitmq.Quorum).fillFast(b)), p.source(b, s, patience)
		})
	})
}

// compare publishes a batch, which takes some time, and moves it, in turns.
func compare(b *testing.B, to lanes, publish func() (time.Duration, func(int) broker.Source)) {
	var plain, relayed time.Duration
	n := 0
	for b.Loop() {
		b.StopTimer()
		took, source := publish()
		plain += took
		cfg := config(b, to, source)
		cfg.UntilEmpty = false
		r := newRelay(b, cfg)
		b.StartTimer()
		began := time.Now()
		stop, _ := start(b, r)
		eventually(b, "moved", func() bool { return moved(r) == batch })
		relayed += time.Since(began)
		b.StopTimer()
		if err := stop(); err != nil {
			b.Fatal(err)
		}
		n += batch
		b.StartTimer()
	}
	b.ReportMetric(float64(n)/plain.Seconds(), "plain/s")
	b.ReportMetric(float64(n)/relayed.Seconds(), "relayed/s")
	b.ReportMetric(plain.Seconds()/relayed.Seconds(), "ratio")
}

// fillFast publishes a batch and returns how long that took.
func (q *plainQueue) fillFast(b *testing.B) time.Duration {
	start := time.Now()
	var under []*amqp.DeferredConfirmation
	confirm := func(c *amqp.DeferredConfirmation) {
		if ok, err := c.WaitContext(testContext(b)); err != nil || !ok {
			b.Fatalf("publish: %v, confirmed: %v", err, ok)
		}
	}
	for i := range batch {
		c, err := q.ch.PublishWithDeferredConfirm(q.name+"-x", "some."+classNames[i%len(classNames)], true, false,
			amqp.Publishing{MessageId: fmt.Sprint(q.name, "-", i), DeliveryMode: amqp.Persistent, Body: payload})
		if err != nil {
			b.Fatal(err)
		}
		if under = append(under, c); len(under) == relay.DefaultWindow {
			confirm(under[0])
			under = under[1:]
		}
	}
	for _, c := range under {
		confirm(c)
	}
	return time.Since(start)
}

func (p *plainStream) fillFast(b *testing.B) time.Duration {
	start := time.Now()
	var under []jetstream.PubAckFuture
	confirm := func(f jetstream.PubAckFuture) {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			b.Fatal(err)
		}
	}
	for i := range batch {
		f, err := p.js.PublishAsync(p.name+".some."+classNames[i%len(classNames)], payload, jetstream.WithMsgID(fmt.Sprint(p.name, "-", i)))
		if err != nil {
			b.Fatal(err)
		}
		if under = append(under, f); len(under) == relay.DefaultWindow {
			confirm(under[0])
			under = under[1:]
		}
	}
	for _, f := range under {
		confirm(f)
	}
	return time.Since(start)
}
