package rabbitmq

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// journal is a log that several goroutines write.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// warnings counts the warnings with that text.
func (j *journal) warnings(text string) (n int) {
	for line := range strings.Lines(j.String()) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// startWhileAway checks that who starts while the server is away says so at once to
// those who publish. What it returns checks that it goes on when the server has come.
func startWhileAway(t *testing.T) (check func()) {
	ctx := testContext(t)
	var log journal
	conn := connectWith(t, slog.NewTextHandler(&log, nil))
	cfg := QueueConfig{Name: newName(), Classes: []string{"interactive", "batch"}}
	q, err := conn.OpenQueue(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, q) })
	silent, err := conn.OpenQueue(ctx, QueueConfig{Name: newName(), Classes: cfg.Classes}) // nobody uses it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(t, silent) })
	p, c := publisher(t, q), consumer(t, q)
	start := time.Now()
	if err := p.Publish(ctx, &broker.Message{ID: "early", Class: "batch"}); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("publish: error %v, want %v", err, broker.ErrUnavailable)
	}
	if _, err := q.Lanes(ctx); !errors.Is(err, broker.ErrUnavailable) || !strings.Contains(err.Error(), cfg.Name) {
		t.Errorf("lanes: error %v, want %v with the name of the queue", err, broker.ErrUnavailable)
	}
	if took := time.Since(start); took > confirmTimeout/2 {
		t.Errorf("publish and lanes took %v, which is not at once", took)
	}
	came := make(chan error, 1)
	go func() {
		d, err := c.Next(ctx, "batch") // as a gateway that waits for work
		if err == nil {
			err = d.Done(ctx)
		}
		came <- err
	}()
	return func() {
		m := &broker.Message{ID: "m", Class: "batch"}
		for err := p.Publish(ctx, m); err != nil; err = p.Publish(ctx, m) {
			if !errors.Is(err, broker.ErrUnavailable) {
				t.Fatal(err)
			}
			pause(ctx, 10*time.Millisecond)
		}
		if err := <-came; err != nil {
			t.Error(err)
		}
		for _, err := silent.Lanes(ctx); err != nil; _, err = silent.Lanes(ctx) {
			if ctx.Err() != nil {
				t.Fatal(err)
			}
			pause(ctx, 10*time.Millisecond)
		}
		for text, want := range map[string]int{
			"connection=publishing": 1, "connection=consuming": 1, "queue=" + cfg.Name: 1, "queue=" + silent.cfg.Name: 1,
		} {
			if got := log.warnings(text); got != want {
				t.Errorf("%d warnings with %s, want %d:\n%s", got, text, want, log.String())
			}
		}
	}
}

// A connection that ends before the server ever came leaves nothing behind.
func TestCloseWithoutServer(t *testing.T) {
	c, err := Connect(ConnConfig{URL: "amqp://guest:secret@127.0.0.1:1/", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	q, err := c.OpenQueue(testContext(t), QueueConfig{Name: "q", Classes: []string{"a"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(testContext(t)); !errors.Is(err, broker.ErrUnavailable) {
		t.Errorf("ping: error %v, want %v", err, broker.ErrUnavailable)
	}
	for _, end := range []func() error{
		func() error { return q.Publisher().Close(testContext(t)) },
		func() error { return q.Consumer().Close(testContext(t)) },
		func() error { return c.Close(testContext(t)) },
	} {
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.OpenQueue(testContext(t), QueueConfig{Name: "q", Classes: []string{"a"}}); !errors.Is(err, broker.ErrClosed) {
		t.Errorf("open queue after close: error %v, want %v", err, broker.ErrClosed)
	}
}

// What a server that was reached refuses is an error with a remedy.
func TestOpenQueueSaysWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	ctl(t, "add_user", "stranger", "right")
	ctl(t, "set_permissions", "stranger", "", "", "")
	t.Cleanup(func() { ctl(t, "delete_user", "stranger") })
	q := open(t, connect(t), QueueConfig{})
	control(t, q, func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(q.cfg.Name+"2", amqp.ExchangeTopic, true, false, false, false, nil)
	})
	t.Cleanup(func() {
		control(t, q, func(ch *amqp.Channel) error { return ch.ExchangeDelete(q.cfg.Name+"2", false, false) })
	})
	url := func(userinfo, vhost string) string {
		return "amqp://" + userinfo + "@" + server.Addr() + "/" + vhost
	}
	for name, test := range map[string]struct{ url, queue, want string }{
		"password":       {url("guest:wrong", ""), q.cfg.Name, "give the user and password that the server knows"},
		"vhost":          {url("guest:guest", "none"), q.cfg.Name, "the vhost in the URL must exist"},
		"no rights":      {url("stranger:right", ""), q.cfg.Name, "rabbitmqctl set_permissions"},
		"other exchange": {url("guest:guest", ""), q.cfg.Name + "2", "give the queue another name"},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := Connect(ConnConfig{URL: test.url, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = conn.OpenQueue(testContext(t), QueueConfig{Name: test.queue, Classes: []string{"a"}})
			if err == nil || !strings.Contains(err.Error(), `queue "`+test.queue+`"`) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "wrong") {
				t.Errorf("error %v, want one with the queue and %q, without the password", err, test.want)
			}
			if errors.Is(err, broker.ErrUnavailable) {
				t.Errorf("error %v says that trying again would help", err)
			}
			if err := conn.Close(testContext(t)); err != nil {
				t.Error(err)
			}
		})
	}
}
