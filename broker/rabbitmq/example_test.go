package rabbitmq_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"overtake/broker"
	"overtake/broker/rabbitmq"
)

// A worker without a gateway takes the most urgent message that is there, and one
// of any class when there is only that. Less urgent ones wait in the broker, but
// for one or two of each class.
func Example_worker() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	queue := exampleQueue(ctx, "interactive", "standard", "batch") // Conn.OpenQueue
	consumer := queue.Consumer()
	defer consumer.Close(ctx)

	interactive, standard, batch := take(ctx, consumer, "interactive"), take(ctx, consumer, "standard"), take(ctx, consumer, "batch")
	await(interactive, standard, batch) // as if it had been busy until now
	for range 3 {
		d := mostUrgent(interactive, standard, batch)
		fmt.Println(d.Class, string(d.Body)) // the work
		if err := d.Done(ctx); err != nil {
			log.Print(err) // it comes again
		}
	}
	// Output:
	// interactive published last
	// standard published second
	// batch published first
}

// take takes the messages of a class, one ahead.
func take(ctx context.Context, c *rabbitmq.Consumer, class string) <-chan *broker.Delivery {
	next := make(chan *broker.Delivery, 1)
	go func() {
		for {
			d, err := c.Next(ctx, class)
			if err != nil {
				return // closed
			}
			next <- d
		}
	}()
	return next
}

func mostUrgent(lanes ...<-chan *broker.Delivery) *broker.Delivery {
	for _, lane := range lanes {
		select {
		case d := <-lane:
			return d
		default:
		}
	}
	select { // none is there: the first to come
	case d := <-lanes[0]:
		return d
	case d := <-lanes[1]:
		return d
	case d := <-lanes[2]:
		return d
	}
}
