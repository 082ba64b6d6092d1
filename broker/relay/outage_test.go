package relay_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// outage is many messages that are moved while something happens to a broker.
const outage = 9000

// checkAll checks that each message of fill came, into the right lane.
func checkAll(t *testing.T, to lanes, n int) {
	t.Helper()
	for class, want := range numbered(n) {
		sameSet(t, class, to.takeUnique(t, class, len(want)), want)
	}
}

func TestDestinationIsDownAndBack(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	q := newPlainQueue(t, rabbitmq.Classic)
	q.fill(t, outage)
	to := natsLanes(t, s, nats.QueueConfig{})
	r := newRelay(t, config(t, to, q.source(t)))
	_, ended := start(t, r)
	for i := 1; i <= 2; i++ {
		eventually(t, "moving", func() bool { return moved(r) >= i*outage/4 })
		s.Kill(t)
		s.Restart(t)
	}
	if err := ended(); err != nil {
		t.Fatal(err)
	}
	if n := q.depth(t); n != 0 {
		t.Errorf("%d messages are left at the source", n)
	}
	checkAll(t, to, outage)
	to.empty(t) // a repeat has the same ID, and is stored once
}

func TestSourceStreamIsDownAndBack(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	p := newPlainStream(t, s, jetstream.WorkQueuePolicy)
	p.fill(t, outage)
	to := rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic})
	r := newRelay(t, config(t, to, p.source(t, s, time.Second)))
	_, ended := start(t, r)
	for i := 1; i <= 2; i++ {
		eventually(t, "moving", func() bool { return moved(r) >= i*outage/4 })
		s.Kill(t)
		s.Restart(t)
	}
	if err := ended(); err != nil {
		t.Fatal(err)
	}
	checkAll(t, to, outage)
}

// The connection to the source is cut, and its queue is deleted and made anew, which
// makes the server cancel the consumer.
func TestSourceQueueIsAwayAndBack(t *testing.T) {
	own, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	shared := rabbit
	rabbit = own
	t.Cleanup(func() {
		rabbit = shared
		own.Close()
	})
	q := newPlainQueue(t, rabbitmq.Classic)
	q.fill(t, outage)
	source := q.source(t)
	to := natsLanes(t, natstest.Start(t, natstest.Options{}), nats.QueueConfig{})
	cfg := config(t, to, source)
	cfg.UntilEmpty = false
	r := newRelay(t, cfg)
	stop, _ := start(t, r)
	eventually(t, "moving", func() bool { return moved(r) >= outage/4 })
	own.Kill()
	if err := own.Restart(); err != nil {
		t.Fatal(err)
	}
	// What is moved again has the same ID, so each one is in its lane once.
	checkAll(t, to, outage)

	again := &plainQueue{name: q.name}
	conn, err := amqp.Dial(own.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if again.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	if _, err := again.ch.QueueDelete(q.name, false, false, false); err != nil {
		t.Fatal(err)
	}
	again.declare(t, rabbitmq.Classic)
	if err := again.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	again.publish(t, "a.batch", amqp.Publishing{MessageId: "after"})
	sameOrder(t, "batch", ids(to.take(t, "batch", 1)), []string{"after"})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// lines are what was logged.
type lines chan string

// Write implements io.Writer.
func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// await waits for a line with text in it.
func (l lines) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("nothing logged has %q in it", text)
		}
	}
}

// A full lane stops its class only; when there is room again, everything comes, in
// order, and nothing was lost.
func TestFullLane(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	const n = 100
	large := amqp.Publishing{Body: make([]byte, 10<<10)}
	var want []string
	for range n {
		want = append(want, newName("b"))
	}
	for name, to := range map[string]lanes{
		"NATS":     natsLanes(t, s, nats.QueueConfig{MaxBytes: 200 << 10}),
		"RabbitMQ": rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic, MaxBytes: 200 << 10}),
	} {
		t.Run(name, func(t *testing.T) {
			source := newPlainQueue(t, rabbitmq.Classic)
			for _, id := range want {
				large.MessageId = id
				source.publish(t, "a.batch", large)
			}
			for range n { // behind what the lane can't take
				source.publish(t, "a.interactive", amqp.Publishing{MessageId: newName("i")})
			}
			cfg := config(t, to, source.source(t))
			said := make(lines, 100)
			cfg.Logger = slog.New(slog.NewTextHandler(said, nil))
			r := newRelay(t, cfg)
			_, ended := start(t, r)
			eventually(t, "past the full lane", func() bool {
				moved := r.Progress().Moved
				return moved["interactive"] == n && moved["batch"] > 0
			})
			// Room that there is before all that was under way has been refused is
			// for what comes in then, in whatever order.
			said.await(t, "stops until the destination takes messages again")
			if moved := r.Progress().Moved["batch"]; moved >= n {
				t.Fatalf("%d batch messages moved, want as many as the lane takes", moved)
			}
			sameOrder(t, "batch", to.order(t, "batch", n), want)
			if err := ended(); err != nil {
				t.Fatal(err)
			}
			if left := source.depth(t); left != 0 {
				t.Errorf("%d messages are left at the source", left)
			}
		})
	}
}

// A relay that is stopped finishes what is in hand and gives back the rest: another
// one moves it, and nothing comes twice.
func TestStop(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	for name, way := range map[string]func() (lanes, func(int) broker.Source){
		"RabbitMQ": func() (lanes, func(int) broker.Source) {
			q := newPlainQueue(t, rabbitmq.Classic)
			q.fill(t, outage)
			return natsLanes(t, s, nats.QueueConfig{}), q.source(t)
		},
		"NATS": func() (lanes, func(int) broker.Source) {
			p := newPlainStream(t, s, jetstream.WorkQueuePolicy)
			p.fill(t, outage)
			return rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic}), p.source(t, s, patience)
		},
	} {
		t.Run(name, func(t *testing.T) {
			to, source := way()
			total := 0
			for i := range 3 {
				cfg := config(t, to, source)
				cfg.UntilEmpty = i == 2
				r := newRelay(t, cfg)
				stop, ended := start(t, r)
				if i < 2 {
					eventually(t, "moving", func() bool { return moved(r) >= outage/5 })
					ended = stop
				}
				if err := ended(); err != nil {
					t.Fatal(err)
				}
				total += moved(r)
			}
			if total != outage {
				t.Errorf("%d messages moved, want %d: none twice", total, outage)
			}
			for class, want := range numbered(outage) {
				sameSet(t, class, to.order(t, class, len(want)), want)
			}
		})
	}
}
