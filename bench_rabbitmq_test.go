//go:build e2e

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// goalRabbitMQ is how much later interactive messages may come beside a backlog,
// in milliseconds.
const goalRabbitMQ = 15

// amqpClient is a client written by hand.
type amqpClient struct {
	url        string
	publishing *amqp.Channel // in confirm mode, on a connection of its own
}

func newAMQPClient(t *testing.T, url string) *amqpClient {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &amqpClient{url: url, publishing: ch}
}

// publish returns a function that publishes to a queue and waits for the
// confirmation.
func (a *amqpClient) publish(queue string, priority uint8) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		confirmation, err := a.publishing.PublishWithDeferredConfirm("", queue, false, false, amqp.Publishing{
			DeliveryMode: amqp.Persistent, MessageId: id, Priority: priority, Body: benchBody,
		})
		if err != nil {
			return err
		}
		if acked, err := confirmation.WaitContext(ctx); !acked {
			return errors.Join(errors.New("not acknowledged"), err)
		}
		return nil
	}
}

// consume has workers handle and acknowledge messages over a connection of its
// own, with a number of channels, each with a prefetch; 0 is no bound.
func (a *amqpClient) consume(queue string, channels, prefetch int) func(context.Context, func(string)) error {
	return func(ctx context.Context, handle func(string)) error {
		conn, err := amqp.Dial(a.url)
		if err != nil {
			return err
		}
		defer conn.Close()
		var workers sync.WaitGroup
		for range channels {
			ch, err := conn.Channel()
			if err == nil {
				err = ch.Qos(prefetch, 0, false)
			}
			if err != nil {
				return err
			}
			deliveries, err := ch.Consume(queue, "", false, false, false, false, nil)
			if err != nil {
				return err
			}
			for range benchWorkers / channels {
				workers.Go(func() {
					for d := range deliveries {
						handle(d.MessageId)
						_ = d.Ack(false) // fails when the connection is closed
					}
				})
			}
		}
		<-ctx.Done()
		_ = conn.Close() // ends deliveries
		workers.Wait()
		return nil
	}
}

func (a *amqpClient) depth(t *testing.T, queue string) func() int {
	return func() int {
		t.Helper()
		conn, err := amqp.Dial(a.url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		state, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		return state.Messages
	}
}

// rabbitQueue opens a queue of ours.
func rabbitQueue(t *testing.T, url, name, kind string) *rabbitmq.Queue {
	t.Helper()
	conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, conn.Close) })
	q, err := conn.OpenQueue(t.Context(), rabbitmq.QueueConfig{Name: name, Classes: benchClasses, Type: kind, MaxBytes: 8 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// closing ends what a benchmark has opened.
func closing(t *testing.T, end func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	if err := end(ctx); err != nil {
		t.Error(err)
	}
}

// publishOurs publishes into a lane of ours.
func publishOurs(p broker.Publisher, class string) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		return p.Publish(ctx, &broker.Message{ID: id, Class: class, Body: benchBody})
	}
}

// fillQueue publishes until as many messages wait as the flag says.
func fillQueue(t *testing.T, what string, publish func(context.Context, string) error) {
	t.Helper()
	const inFlight = 512
	began := time.Now()
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for n := range numbers {
				if err := publish(t.Context(), fmt.Sprint(what, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for n := range *benchMessages {
		if n%(max(*benchMessages/10, 1)) == 0 {
			fmt.Printf("%s: %d of %d messages after %.0f s\n", what, n, *benchMessages, time.Since(began).Seconds())
		}
		numbers <- n
	}
	close(numbers)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// TestBenchRabbitMQ compares our lanes on RabbitMQ with what can be had from it
// without them.
func TestBenchRabbitMQ(t *testing.T) {
	server, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	var table string
	data := map[string]any{}
	t.Run("rates", func(t *testing.T) {
		all := [][]rates{rabbitRates(t, server.URL(), rabbitmq.Quorum), rabbitRates(t, server.URL(), rabbitmq.Classic)}
		table += ratesTable(all...) + "\n"
		data["rates"] = all
	})
	t.Run("backlog", func(t *testing.T) {
		runs := rabbitBacklog(t, server.URL())
		table += backlogTable(runs, goalRabbitMQ)
		data["backlog"] = runs
	})
	fmt.Print("\n" + table)
	saveBench(t, "rabbitmq", table, data)
	if runs, ok := data["backlog"].([]beside); ok {
		savePicture(t, runs, "RabbitMQ", "backlog-rabbitmq.png")
	}
}

func rabbitRates(t *testing.T, url, kind string) []rates {
	q := rabbitQueue(t, url, "rates-"+kind, kind)
	p := q.Publisher()
	t.Cleanup(func() { closing(t, p.Close) })
	hand := newAMQPClient(t, url)
	lane := "rates-" + kind + ".batch"
	consume := hand.consume(lane, 1, benchWorkers)
	return playRates(t, "RabbitMQ, "+kind,
		client{"ours", publishOurs(p, "batch"), consumeOurs(func() broker.Consumer { return q.Consumer() }), hand.depth(t, lane)},
		client{"by hand", hand.publish(lane, 0), nil, nil}.consuming(consume),
	)
}

// consuming sets how c consumes, by what settles after its handler returned.
func (c client) consuming(consume func(context.Context, func(string)) error) client {
	c.consume = func(ctx context.Context, settled func()) error {
		return consume(ctx, func(string) { settled() })
	}
	return c
}

// rabbitBacklog needs two backlogs: our batch lane, which also is the plain queue,
// and a queue with priorities, which only classic ones have.
func rabbitBacklog(t *testing.T, url string) []beside {
	const plain, native = "jobs.batch", "native"
	q := rabbitQueue(t, url, "jobs", rabbitmq.Quorum)
	p := q.Publisher()
	t.Cleanup(func() { closing(t, p.Close) })
	hand := newAMQPClient(t, url)
	consumeLanes := ours(func() broker.Consumer { return q.Consumer() })
	lanes := func(name string) contender {
		return contender{name, publishOurs(p, "interactive"), consumeLanes, hand.depth(t, plain)}
	}

	runs := []beside{playBeside(t, lanes("Overtake, no backlog"))}
	fillQueue(t, plain, publishOurs(p, "batch"))
	runs = append(runs, playBeside(t, lanes("Overtake")))
	runs = append(runs, playBeside(t, contender{
		"one plain queue", hand.publish(plain, 0), hand.consume(plain, 1, benchWorkers), hand.depth(t, plain),
	}))

	if _, err := hand.publishing.QueueDeclare(native, true, false, false, false, amqp.Table{"x-max-priority": 2}); err != nil {
		t.Fatal(err)
	}
	fillQueue(t, native, hand.publish(native, 1))
	for _, c := range []struct {
		name               string
		channels, prefetch int
	}{
		{"x-max-priority, prefetch 1", benchWorkers, 1},
		{"x-max-priority, no bound on prefetch", 1, 0},
	} {
		runs = append(runs, playBeside(t, contender{
			c.name, hand.publish(native, 2), hand.consume(native, c.channels, c.prefetch), hand.depth(t, native),
		}))
	}
	return runs
}
