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

// cleanupLook is how often the queue is looked at when it is to become empty.
const cleanupLook = 20 * time.Millisecond

// consume consumes until ctx ends and then takes what is left out of the queue.
func (s *sender) consume(ctx context.Context, conn *amqp091.Connection) {
	s.keep(ctx, conn, "consume", s.consumeOn, wait)
}

// consumeOn consumes until the connection is lost, or ctx has ended and the queue has
// nothing of this run.
func (s *sender) consumeOn(ctx context.Context, conn *amqp091.Connection) {
	ch, err := conn.Channel()
	if err != nil {
		return
	}
	if err := ch.Qos(s.endpoint.Consumers, 0, false); err != nil {
		return
	}
	deliveries, err := ch.Consume(s.endpoint.Queue, consumerTag, false, false, false, false, nil)
	if err != nil { // such as that the queue is gone
		return
	}
	var workers sync.WaitGroup
	for range s.endpoint.Consumers {
		workers.Go(func() {
			for d := range deliveries { // until the consumer is cancelled or the channel closed
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
	s.cleanUp(conn)
	// What the client has already is worked on before the deliveries end.
	giveUp := time.AfterFunc(goodbye, func() { hangUp(conn) })
	_ = ch.Cancel(consumerTag, false)
	<-over
	giveUp.Stop()
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

// cleanUp waits until nothing waits in the queue.
func (s *sender) cleanUp(conn *amqp091.Connection) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTime)
	defer cancel()
	defer whenEnded(ctx, conn)()
	for ctx.Err() == nil {
		var waiting int
		err := inChannel(conn, func(ch *amqp091.Channel) error {
			q, err := ch.QueueDeclarePassive(s.endpoint.Queue, true, false, false, false, nil)
			waiting = q.Messages
			return err
		})
		if err != nil || waiting == 0 {
			return
		}
		inflight.Wait(ctx, cleanupLook)
	}
}
