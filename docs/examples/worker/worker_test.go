package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/docs/examples/worker"
	"overtake/scheduler"
)

var (
	classes = []string{"interactive", "standard", "batch"}
	quiet   = slog.New(slog.DiscardHandler)
)

func TestOnNATS(t *testing.T) {
	ctx := testContext(t)
	server, err := nats.StartServer(nats.ServerConfig{Dir: t.TempDir(), Logger: quiet})
	check(t, err)
	t.Cleanup(func() { check(t, server.Shutdown(ctx)) })
	conn, err := nats.Connect(nats.ConnConfig{Server: server, Logger: quiet}) // or URLs
	check(t, err)
	t.Cleanup(func() { check(t, conn.Close(ctx)) })
	queue, err := conn.OpenQueue(ctx, nats.QueueConfig{Name: "jobs", Classes: classes})
	check(t, err)
	testWork(t, queue.Publisher(), queue.Consumer(), queue.DeadLetters)
}

func TestOnRabbitMQ(t *testing.T) {
	ctx := testContext(t)
	server, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	check(t, err)
	t.Cleanup(server.Close)
	conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{URL: server.URL(), Logger: quiet})
	check(t, err)
	t.Cleanup(func() { check(t, conn.Close(ctx)) })
	queue, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{Name: "jobs", Classes: classes})
	check(t, err)
	testWork(t, queue.Publisher(), queue.Consumer(), queue.DeadLetters)
}

// testWork has one slot, which is taken while messages of all classes come.
func testWork(t *testing.T, p broker.Publisher, c broker.Consumer, dead func(context.Context, int) ([]broker.DeadLetter, error)) {
	ctx, stop := context.WithCancel(testContext(t))
	defer stop()
	s, err := scheduler.New(scheduler.Config{Limit: 1, Classes: make([]scheduler.ClassConfig, len(classes))})
	check(t, err)
	begun, finish := make(chan string), make(chan error)
	var ended sync.WaitGroup
	ended.Go(func() {
		worker.Work(ctx, c, s, classes, func(d *broker.Delivery) error {
			begun <- fmt.Sprint(d.Class, d.Attempt)
			return <-finish
		})
	})
	n := 0
	publish := func(class string) {
		n++
		check(t, p.Publish(ctx, &broker.Message{ID: fmt.Sprint("message-", n), Class: class}))
	}
	// waiting waits until that many of each class wait for the slot.
	waiting := func(want ...int) {
		t.Helper()
		for {
			var got []int
			for _, class := range s.Snapshot().Classes {
				got = append(got, class.Waiting)
			}
			if slices.Equal(got, want) {
				return
			}
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%v wait, want %v", got, want)
			}
		}
	}
	publish("batch")
	order := []string{<-begun}
	for _, class := range []string{"batch", "standard", "interactive", "batch", "interactive"} {
		publish(class)
	}
	for _, rest := range [][]int{{1, 1, 1}, {1, 1, 1}, {0, 1, 1}, {0, 0, 1}, {0, 0, 1}} {
		waiting(rest...)
		finish <- nil
		order = append(order, <-begun)
	}
	if got := strings.Join(order, " "); got != "batch1 interactive1 interactive1 standard1 batch1 batch1" {
		t.Errorf("worked on %s", got)
	}

	// The last one fails once, and comes again.
	finish <- errors.New("not now")
	if again := <-begun; again != "batch2" {
		t.Errorf("after a failure came %s", again)
	}
	finish <- nil
	stop()
	ended.Wait()
	check(t, c.Close(testContext(t)))
	check(t, p.Close(testContext(t)))
	if letters, err := dead(testContext(t), 10); err != nil || len(letters) > 0 {
		t.Errorf("dead letters %v, %v", letters, err)
	}
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
