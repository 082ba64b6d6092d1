package nats

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"overtake/broker"
)

// patience bounds a broken run and decides nothing.
const patience = time.Minute

// testMaxPayload is small, for the tests that look for the bound.
const testMaxPayload = 2 << 20

// TestMain runs the tests, or, as a second process of one of them, the child
// that the environment names.
func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		children[name](os.Getenv(childDirEnv))
		return
	}
	goleak.VerifyTestMain(m)
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

// testLog passes what is at least a warning to t.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// testBroker is a running server with a connection. It can be restarted.
type testBroker struct {
	dir    string
	server *Server
	conn   *Conn
}

func startBroker(t testing.TB, dir string) *testBroker {
	t.Helper()
	b := &testBroker{dir: dir}
	b.start(t)
	t.Cleanup(func() { b.stop(t) })
	return b
}

func (b *testBroker) start(t testing.TB) {
	t.Helper()
	var err error
	if b.server, err = StartServer(ServerConfig{Dir: b.dir, MaxPayload: testMaxPayload, Logger: testLog(t)}); err != nil {
		t.Fatal(err)
	}
	if b.conn, err = Connect(ConnConfig{Server: b.server, Logger: testLog(t)}); err != nil {
		t.Fatal(err)
	}
}

func (b *testBroker) stop(t testing.TB) {
	t.Helper()
	ctx := testContext(t)
	if err := b.conn.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := b.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func (b *testBroker) open(t testing.TB, cfg QueueConfig) *Queue {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = "jobs"
	}
	if cfg.Classes == nil {
		cfg.Classes = []string{"interactive", "standard", "batch"}
	}
	q, err := b.conn.OpenQueue(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return q
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

func lanes(t testing.TB, q *Queue) []Lane {
	t.Helper()
	l, err := q.Lanes(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
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
