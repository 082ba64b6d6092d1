package amqp

import (
	"context"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"overtake/loadgen/inflight"
)

// consumerTag names the one consumer of a channel.
const consumerTag = "overtake-loadgen"

const (
	// cleanupLook is how often the queue is looked at when it is to become empty.
	cleanupLook = 20 * time.Millisecond
	// cleanupBatch is how many messages are taken out of it at a time.
	cleanupBatch = 1000
)

// subscription is a consumer that the broker knows.
type subscription struct {
	ch         *amqp091.Channel
	deliveries <-chan amqp091.Delivery // closed when it is cancelled or ch is closed
}

// consume consumes until ctx ends and then takes what is left out of the queue. It
// begins with a connection that is subscribed.
func (s *sender) consume(ctx context.Context, conn *amqp091.Connection, first *subscription) {
	s.keep(ctx, conn, "consume", func(ctx context.Context, conn *amqp091.Connection) {
		sub := first
		first = nil
		if sub == nil {
			var err error
			if sub, err = s.subscribe(conn, s.endpoint.Consumers); err != nil { // such as that the queue is gone
				return
			}
		}
		s.consumeOn(ctx, conn, sub)
	}, wait)
}

// consumeOn consumes until the connection is lost, or ctx has ended and the queue has
// nothing of this run.
func (s *sender) consumeOn(ctx context.Context, conn *amqp091.Connection, sub *subscription) {
	var workers sync.WaitGroup
	for range s.endpoint.Consumers {
		workers.Go(func() {
			for d := range sub.deliveries {
				s.work(&d)
			}
		})
	}
	over := make(chan struct{})
	go func() { workers.Wait(); close(over) }()
	select {
	case <-over:
		return
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	defer whenEnded(limit, conn)()
	_ = sub.ch.Cancel(consumerTag, false)
	<-over // when what the client has already is worked on
	s.cleanUp(limit, conn)
}

// work works on one message. One that is not of this run is kept until the end, as
// it would come again at once if it was given back.
func (s *sender) work(d *amqp091.Delivery) {
	if !s.calls.Ours(d.MessageId) {
		return
	}
	inflight.Wait(s.holding, s.endpoint.Hold)
	s.calls.Done(d.MessageId)
	// If the connection was lost, the message comes again.
	_ = d.Ack(false)
}

// subscribe opens a channel on which messages of the queue come, prefetch at a time.
func (s *sender) subscribe(conn *amqp091.Connection, prefetch int) (*subscription, error) {
	var deliveries <-chan amqp091.Delivery
	ch, err := openChannel(conn, func(ch *amqp091.Channel) (err error) {
		if err = ch.Qos(prefetch, 0, false); err == nil {
			deliveries, err = ch.Consume(s.endpoint.Queue, consumerTag, false, false, false, false, nil)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &subscription{ch, deliveries}, nil
}

// cleanUp takes what is left out of the queue, many messages at a time. Those that
// are not of this run are given back when the connection is closed.
func (s *sender) cleanUp(ctx context.Context, conn *amqp091.Connection) {
	sub, err := s.subscribe(conn, cleanupBatch)
	if err != nil {
		return
	}
	var worker sync.WaitGroup
	defer worker.Wait()
	worker.Go(func() {
		for d := range sub.deliveries {
			s.work(&d)
		}
	})
	for ctx.Err() == nil {
		q, err := sub.ch.QueueDeclarePassive(s.endpoint.Queue, true, false, false, false, nil)
		if err != nil || q.Messages == 0 {
			break
		}
		inflight.Wait(ctx, cleanupLook)
	}
	_ = sub.ch.Cancel(consumerTag, false)
}
