package rabbitmq_test

import (
	"context"
	"log"
	"log/slog"
	"time"

	"overtake/broker"
	"overtake/broker/rabbitmq"
)

// exampleQueue is what the example needs around it: a queue with a message of
// each class, the least urgent one published first.
func exampleQueue(ctx context.Context, classes ...string) *rabbitmq.Queue {
	conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{URL: rabbitmq.ServerURL(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	queue, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{Name: "example", Classes: classes})
	if err != nil {
		log.Fatal(err)
	}
	publisher := queue.Publisher()
	for i, when := range []string{"first", "second", "last"} {
		m := &broker.Message{ID: when, Class: classes[len(classes)-1-i], Body: []byte("published " + when)}
		if err := publisher.Publish(ctx, m); err != nil {
			log.Fatal(err)
		}
	}
	context.AfterFunc(ctx, func() { _ = conn.Close(context.Background()) })
	return queue
}

// await waits until each lane has a message.
func await(lanes ...<-chan *broker.Delivery) {
	for _, lane := range lanes {
		for len(lane) == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}
