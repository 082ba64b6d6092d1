package rabbitmq

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"overtake/broker"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// patience bounds a broken run and decides nothing.
const patience = 2 * time.Minute

// server is the RabbitMQ of all tests, each of which has queues of its own. Those
// that wait much are parallel: they run after the ones that take it away.
var server *rabbitmqtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	for _, name := range []string{"test.list", "test.fuzz"} { // which need no server
		if flag.Lookup(name).Value.String() != "" {
			os.Exit(m.Run())
		}
	}
	dir, err := os.MkdirTemp("", "rabbitmq-tls-")
	var lines []string
	if err == nil {
		lines, err = listenTLS(dir)
	}
	if err == nil {
		server, err = rabbitmqtest.Start(rabbitmqtest.Config{Lines: lines})
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		server.Close()
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

func connect(t testing.TB) *Conn {
	return connectWith(t, slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func connectWith(t testing.TB, log slog.Handler) *Conn {
	t.Helper()
	c, err := Connect(ConnConfig{URL: server.URL(), Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return c
}

var queues atomic.Int64

// newName returns a name for a queue that no other test has.
func newName() string { return fmt.Sprintf("jobs%d", queues.Add(1)) }

// open opens a queue, by default a new one, and deletes it in the end.
func open(t testing.TB, c *Conn, cfg QueueConfig) *Queue {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = newName()
	}
	if cfg.Classes == nil {
		cfg.Classes = []string{"interactive", "standard", "batch"}
	}
	q, err := c.OpenQueue(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, q) })
	return q
}

// remove deletes the queue from the server.
func remove(t testing.TB, q *Queue) {
	t.Helper()
	if _, err := q.conn.consuming.wait(testContext(t)); err != nil {
		t.Fatal(err)
	}
	control(t, q, func(ch *amqp.Channel) error {
		for _, native := range []string{q.cfg.Name, markerOf(q.cfg.Name)} {
			if _, err := ch.QueueDelete(native, false, false, false); err != nil {
				return err
			}
		}
		for _, class := range append([]string{deadName}, q.cfg.Classes...) {
			if _, err := ch.QueueDelete(q.name(class), false, false, false); err != nil {
				return err
			}
			if _, err := ch.QueueDelete(markerOf(q.name(class)), false, false, false); err != nil {
				return err
			}
			for step := firstRetryStep; step <= lastRetryStep; step *= 2 {
				if _, err := ch.QueueDelete(q.retryQueue(class, step), false, false, false); err != nil {
					return err
				}
			}
		}
		return ch.ExchangeDelete(q.cfg.Name, false, false)
	})
}

// control does something to the server over a channel of its own.
func control(t testing.TB, q *Queue, call func(*amqp.Channel) error) {
	t.Helper()
	if err := q.conn.request(testContext(t), call); err != nil {
		t.Fatal(err)
	}
}

func publisher(t testing.TB, q *Queue) *Publisher {
	p := q.Publisher()
	t.Cleanup(func() {
		if err := p.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return p
}

func consumer(t testing.TB, q *Queue) *Consumer {
	c := q.Consumer()
	t.Cleanup(func() {
		if err := c.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return c
}

func publish(t testing.TB, q *Queue, class string, ids ...string) {
	t.Helper()
	p := publisher(t, q)
	for _, id := range ids {
		if err := p.Publish(testContext(t), &broker.Message{ID: id, Class: class}); err != nil {
			t.Fatal(err)
		}
	}
}

func next(t testing.TB, c *Consumer, class, id string, attempt int) *broker.Delivery {
	t.Helper()
	d, err := c.Next(testContext(t), class)
	if err != nil {
		t.Fatal(err)
	}
	if d.ID != id || d.Attempt != attempt {
		t.Fatalf("next is %s, attempt %d; want %s, attempt %d", d.ID, d.Attempt, id, attempt)
	}
	return d
}

func done(t testing.TB, d *broker.Delivery) {
	t.Helper()
	if err := d.Done(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

func depths(t testing.TB, q *Queue) string {
	t.Helper()
	lanes, err := q.Lanes(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, l := range lanes {
		all = append(all, fmt.Sprint(l.Depth))
	}
	return strings.Join(all, " ")
}
