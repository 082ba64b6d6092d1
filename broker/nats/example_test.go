package nats_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"os"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
)

var classes = []string{"interactive", "batch"} // most urgent first

// nextInOrder takes the next message, the most urgent there is. A less urgent one
// waits until the lanes before its own have had nothing for a moment.
func nextInOrder(ctx context.Context, c *nats.Consumer) (*broker.Delivery, error) {
	const moment = 250 * time.Millisecond
	for {
		for _, class := range classes {
			soon, cancel := context.WithTimeout(ctx, moment)
			d, err := c.Next(soon, class)
			cancel()
			if err == nil || ctx.Err() != nil {
				return d, err
			}
		}
	}
}

// A worker without a gateway takes the messages of a queue in class order,
// whichever came first.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "overtake-example-")
	check(err)
	defer os.RemoveAll(dir)
	server, err := nats.StartServer(nats.ServerConfig{Dir: dir}) // or ConnConfig.URLs below
	check(err)
	defer server.Shutdown(ctx)
	conn, err := nats.Connect(nats.ConnConfig{Server: server})
	check(err)
	defer conn.Close(ctx)
	queue, err := conn.OpenQueue(ctx, nats.QueueConfig{Name: "jobs", Classes: classes})
	check(err)

	for _, class := range []string{"batch", "batch", "interactive", "interactive"} {
		check(queue.Publisher().Publish(ctx, &broker.Message{ID: rand.Text(), Class: class}))
	}
	consumer := queue.Consumer()
	defer consumer.Close(ctx)
	for range 4 {
		d, err := nextInOrder(ctx, consumer)
		check(err)
		fmt.Println("working on", d.Class)
		check(d.Done(ctx))
	}
	// Output:
	// working on interactive
	// working on interactive
	// working on batch
	// working on batch
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
