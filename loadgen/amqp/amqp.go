package amqp

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"sync"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"overtake/loadgen"
	"overtake/loadgen/inflight"
)

// cleanupTime bounds how long Close takes what is left out of the queue.
const cleanupTime = 10 * time.Second

// sender publishes calls and consumes them. Its fields never change.
type sender struct {
	endpoint loadgen.Endpoint
	name     string // of the broker, without credentials
	calls    *inflight.Calls
	filler   inflight.Filler

	holding    context.Context // ends when nothing is to be held any more
	stopHolds  context.CancelFunc
	publishing loop
	consuming  loop

	closing sync.Once
	closed  error
}

// loop is a goroutine that runs until it is told to end.
type loop struct {
	stop context.CancelFunc
	wg   sync.WaitGroup
}

func (l *loop) start(run func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.wg.Go(func() { run(ctx) })
}

func (l *loop) end() {
	l.stop()
	l.wg.Wait()
}

// Open connects to the broker and consumes when it returns. It fails if the broker, the
// exchange or the queue is not there, or the queue is in use. It declares nothing: the
// topology is part of what is measured. It is a [loadgen.OpenSender].
func Open(ctx context.Context, e loadgen.Endpoint, _ []loadgen.Class) (loadgen.Sender, error) {
	name, err := check(&e)
	if err != nil {
		return nil, err
	}
	consumer, err := dial(ctx, e.URL, "consume")
	if err != nil {
		return nil, fmt.Errorf("broker %s can't be reached: %w", name, err)
	}
	if err := look(consumer, e); err != nil {
		hangUp(consumer)
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	s := &sender{endpoint: e, name: name}
	// From here on, another run that looks at the queue finds it in use.
	first, err := s.subscribe(consumer, e.Consumers)
	if err != nil {
		hangUp(consumer)
		return nil, fmt.Errorf("broker %s: consume from queue %q: %w", name, e.Queue, err)
	}
	publisher, err := dial(ctx, e.URL, "publish")
	if err != nil {
		hangUp(consumer)
		return nil, fmt.Errorf("broker %s can't be reached: %w", name, err)
	}
	s.calls = inflight.New()
	s.holding, s.stopHolds = context.WithCancel(context.Background())
	s.consuming.start(func(ctx context.Context) { s.consume(ctx, consumer, first) })
	s.publishing.start(func(ctx context.Context) { s.publish(ctx, publisher) })
	return s, nil
}

// check fills in what may be left out and returns the broker's name.
func check(e *loadgen.Endpoint) (string, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Scheme != "amqp" && u.Scheme != "amqps" || u.Host == "" {
		return "", errors.New("a broker's URL is amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://...")
	}
	if e.Queue == "" {
		return "", fmt.Errorf("broker %s: no queue: say with `queue` where the messages come out", u.Host)
	}
	if e.Key == "" && e.Exchange == "" {
		e.Key = e.Queue // what the default exchange routes by
	}
	e.Consumers = max(e.Consumers, 1)
	if e.Consumers > math.MaxUint16 {
		return "", fmt.Errorf("broker %s: %d consumers; the protocol has room for %d", u.Host, e.Consumers, math.MaxUint16)
	}
	return u.Host, nil
}

// look finds out whether what the endpoint names is there and free.
func look(conn *amqp091.Connection, e loadgen.Endpoint) error {
	if e.Exchange != "" {
		err := inChannel(conn, func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclarePassive(e.Exchange, amqp091.ExchangeDirect, true, false, false, false, nil)
		})
		if err != nil {
			return fmt.Errorf("exchange %q: %w%s", e.Exchange, err,
				remedy(err, fmt.Sprintf("; declare it, and bind queue %q to it with the key %q", e.Queue, e.Key)))
		}
	}
	return inChannel(conn, func(ch *amqp091.Channel) error {
		q, err := ch.QueueDeclarePassive(e.Queue, true, false, false, false, nil)
		switch {
		case err != nil:
			return fmt.Errorf("queue %q: %w%s", e.Queue, err, remedy(err, "; declare it, durable to outlive a restart of the broker"))
		case q.Consumers > 0:
			return fmt.Errorf("queue %q has %d consumers already, which would take messages of the run: stop them, or give the run a queue of its own",
				e.Queue, q.Consumers)
		case q.Messages > 0 && !e.Drain:
			return fmt.Errorf("queue %q has %d messages already: consume them, give the run a queue of its own, or have them thrown away with `drain: true`",
				e.Queue, q.Messages)
		case q.Messages > 0:
			if _, err := ch.QueuePurge(e.Queue, false); err != nil {
				return fmt.Errorf("drain queue %q: %w", e.Queue, err)
			}
		}
		return nil
	})
}

// remedy returns what to do if err says that something is not there.
func remedy(err error, what string) string {
	var refused *amqp091.Error
	if errors.As(err, &refused) && refused.Code == amqp091.NotFound {
		return what
	}
	return ""
}

// inChannel runs do on a channel of its own, which an error closes.
func inChannel(conn *amqp091.Connection, do func(*amqp091.Channel) error) error {
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := do(ch); err != nil {
		return errors.Join(err, ch.Close())
	}
	return ch.Close()
}

// Send implements [loadgen.Sender].
func (s *sender) Send(c *loadgen.Call) { s.calls.Send(c) }

// Close implements [loadgen.Sender]. Its error says what makes the figures or the
// next run doubtful.
func (s *sender) Close() error {
	s.closing.Do(func() {
		s.publishing.end()
		s.calls.End()
		s.stopHolds()
		// Consuming goes on until the queue has nothing of this run.
		s.consuming.end()
		if err := s.calls.Foreign(); err != nil {
			s.closed = fmt.Errorf("loadgen: broker %s: queue %q: %w", s.name, s.endpoint.Queue, err)
		}
	})
	return s.closed
}
