package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// Defaults of [QueueConfig].
const (
	DefaultLaneBytes    = 256 << 20
	DefaultDeadBytes    = 64 << 20
	DefaultMaxMessage   = 16 << 20
	DefaultDedupeWindow = 2 * time.Minute
	DefaultGiveBack     = 10 * time.Second
)

// Types of a lane's queue on the server.
const (
	Quorum  = "quorum"
	Classic = "classic"
)

const (
	// deadName is the word that stands where a class would in the name of the
	// queue for dead letters.
	deadName = broker.DeadLane
	// messageBytes is what the smallest message counts towards a bound: the
	// server itself counts bodies only, and a header takes room as well.
	messageBytes = 1 << 10
	// room is what the server and a dead letter may add to a message.
	room = 8 << 10
	// minBytes keeps the bounds above room.
	minBytes = 64 << 10
	// maxHeader bounds the header of a message: it has to fit into one frame,
	// of 128 KiB by default, with room left.
	maxHeader = 128<<10 - room
	// maxValues is how many values of one header the client library reads.
	maxValues = 8192
)

// QueueConfig describes a queue.
type QueueConfig struct {
	// Name is 1 to 64 letters, digits, '-' and '_'.
	Name string
	// Classes are the latency classes, most urgent first. Each gets a lane.
	// "dead" can't be one: the dead letters have that place.
	Classes []string
	// Type is Quorum, which is replicated and survives the loss of a node, or
	// Classic. Default Quorum, but Classic with Native.
	Type string
	// Native keeps all classes in one queue, which orders them by AMQP priority,
	// and has one bound for all. See the package documentation for what that
	// costs. With Quorum it takes RabbitMQ 4.0, and before 4.3 there are two levels
	// only, served 2 to 1: one for the most urgent class, one for all others.
	Native bool
	// MaxBytes bounds each lane; what is over it is refused. A message counts at
	// least 1 KiB. Default 256 MiB.
	MaxBytes int64
	// DeadBytes bounds the dead letters; the oldest make room for new ones.
	// Default 64 MiB.
	DeadBytes int64
	// MaxMessage bounds a message with its header. More than the server's
	// max_message_size has no effect. Default 16 MiB.
	MaxMessage int64
	// DedupeWindow is how long a consumer recognizes a message that it has
	// settled. Default 2 min.
	DedupeWindow time.Duration
	// GiveBack is after what time a message goes back to its lane that was
	// delivered and nobody asked for, or that could not be settled. Default 10 s.
	GiveBack time.Duration
}

func (c *QueueConfig) setDefaults() {
	if c.Native {
		setDefault(&c.Type, Classic)
	}
	setDefault(&c.Type, Quorum)
	setDefault(&c.MaxBytes, DefaultLaneBytes)
	setDefault(&c.DeadBytes, DefaultDeadBytes)
	setDefault(&c.MaxMessage, DefaultMaxMessage)
	setDefault(&c.DedupeWindow, DefaultDedupeWindow)
	setDefault(&c.GiveBack, DefaultGiveBack)
}

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *QueueConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("rabbitmq: queue %q: "+format, append([]any{c.Name}, args...)...))
	}
	if !validName(c.Name, 64) {
		bad("the name must be 1 to 64 letters, digits, '-' and '_'")
	}
	if len(c.Classes) == 0 {
		bad("no classes given")
	}
	for i, class := range c.Classes {
		switch {
		case class == deadName:
			bad("a class can't be called %q: the dead letters have that place; rename the class", class)
		case !validName(class, 32):
			bad("class %q must be 1 to 32 letters, digits, '-' and '_'", class)
		case slices.Contains(c.Classes[:i], class):
			bad("class %q is given twice", class)
		}
	}
	if c.Type != Quorum && c.Type != Classic {
		bad("type %q, want %s or %s", c.Type, Quorum, Classic)
	}
	if c.MaxBytes < minBytes || c.DeadBytes < minBytes || c.MaxMessage < minBytes {
		bad("MaxBytes %d, DeadBytes %d and MaxMessage %d, want at least %d each", c.MaxBytes, c.DeadBytes, c.MaxMessage, minBytes)
	}
	if c.DedupeWindow < 0 || c.GiveBack < 0 {
		bad("DedupeWindow %v and GiveBack %v can't be negative", c.DedupeWindow, c.GiveBack)
	}
	return errors.Join(errs...)
}

// validName reports whether s can be part of the name of a queue: without a dot,
// which parts the queue from the class.
func validName(s string, maxLen int) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && c != '-' && c != '_' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxLen
}

// Queue is a queue on the server. It holds nothing that needs closing. It is safe
// for concurrent use.
type Queue struct {
	conn *Conn
	cfg  QueueConfig
}

// OpenQueue declares the queue: an exchange, a queue per class and one for dead
// letters. What exists is kept with its messages. RabbitMQ can't change the
// arguments of a queue: when they differ, the error names the queue, the
// argument and what to do.
//
// While the server can't be reached, OpenQueue logs that and returns a queue that
// will be declared as soon as it can: until then Publish fails, Next waits, and
// Lanes says why.
func (c *Conn) OpenQueue(ctx context.Context, cfg QueueConfig) (*Queue, error) {
	cfg.setDefaults()
	cfg.Classes = slices.Clone(cfg.Classes)
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	q := &Queue{conn: c, cfg: cfg}
	s, err := c.consuming.attempted(ctx)
	if err == nil {
		_, err = c.publishing.attempted(ctx)
	}
	if err == nil {
		err = q.declare(ctx, s)
	}
	if err == nil {
		return q, nil
	}
	later := errors.Is(err, broker.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded)
	if later && !c.requests.Enter() {
		later, err = false, broker.ErrClosed
	}
	if !later {
		return nil, fmt.Errorf("rabbitmq: queue %q: %w", cfg.Name, err)
	}
	c.cfg.Logger.Warn("rabbitmq: queue can't be opened yet", "queue", cfg.Name, "server", c.cfg.host(), "error", err)
	go func() {
		defer c.requests.Leave()
		q.declareLater()
	}()
	return q, nil
}

// declareLater tries to declare the queue until that succeeds or the connection is
// closed.
func (q *Queue) declareLater() {
	ctx, log := q.conn.ctx, q.conn.cfg.Logger.With("queue", q.cfg.Name)
	said := ""
	for backoff := minBackoff; ctx.Err() == nil; backoff = min(2*backoff, maxBackoff) {
		s, err := q.conn.consuming.wait(ctx)
		if err == nil {
			err = q.declare(ctx, s)
		}
		if err == nil {
			log.Info("rabbitmq: queue opened")
			return
		}
		// The same refusal, again and again, is news once.
		if text := err.Error(); !errors.Is(err, broker.ErrUnavailable) && text != said && ctx.Err() == nil {
			log.Error("rabbitmq: queue can't be opened, trying on", "error", err)
			said = text
		}
		pause(ctx, backoff)
	}
}

func (q *Queue) hasLane(class string) bool { return slices.Contains(q.cfg.Classes, class) }

// name returns the name on the server of what belongs to a class, or of the dead
// letters.
func (q *Queue) name(class string) string { return q.cfg.Name + "." + class }

// lane returns the name of the queue on the server that holds a class.
func (q *Queue) lane(class string) string {
	if q.cfg.Native {
		return q.cfg.Name
	}
	return q.name(class)
}

// formerLane returns the name of the queue on the server that held a class if the
// queue had the other strategy before.
func (q *Queue) formerLane(class string) string {
	if q.cfg.Native {
		return q.name(class)
	}
	return q.cfg.Name
}

// class returns the class of a message that came with the routing key, from a queue
// on the server that holds these classes.
func class(key string, of []string) string {
	if slices.Contains(of, key) {
		return key
	}
	return of[len(of)-1] // published by somebody else
}

// firstRank is the least AMQP priority of the most urgent class in a quorum queue:
// where those have two levels, 5 and more are the upper one. Of six classes or more,
// the next ones are in it, too.
const firstRank = 5

// rank is the AMQP priority of a class: the more urgent, the higher, at least 1.
func (q *Queue) rank(class string) uint8 {
	i := slices.Index(q.cfg.Classes, class)
	rank := len(q.cfg.Classes) - i
	if q.cfg.Native && q.cfg.Type == Quorum && i == 0 {
		rank = max(rank, firstRank)
	}
	return uint8(rank)
}

// maxMessage is the bound of one message with its header: whatever enters a lane
// must be able to leave it as a dead letter.
func (q *Queue) maxMessage() int64 {
	return min(q.cfg.MaxMessage, q.cfg.MaxBytes, q.cfg.DeadBytes) - room
}

// Lane is what one lane of a queue holds.
type Lane struct {
	// Class is the latency class, or "dead" for the dead letters.
	Class string
	// Depth is how many messages wait to be delivered. Those that wait for a
	// delayed retry are not among them. With Native, it is that of all classes.
	Depth int
}

// Lanes returns the lanes, most urgent first, and then the dead letters. It asks
// the server once for each, which is cheap enough for every scrape of metrics.
func (q *Queue) Lanes(ctx context.Context) ([]Lane, error) {
	lanes := make([]Lane, len(q.cfg.Classes), len(q.cfg.Classes)+1)
	err := q.conn.request(ctx, func(ch *amqp.Channel) error {
		for i, class := range q.cfg.Classes {
			state, err := ch.QueueDeclarePassive(q.lane(class), true, false, false, false, nil)
			if err != nil {
				return err
			}
			lanes[i] = Lane{Class: class, Depth: state.Messages}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rabbitmq: queue %q: depth of its lanes: %w", q.cfg.Name, err)
	}
	dead, err := q.DeadDepth(ctx)
	if err != nil {
		return nil, err
	}
	return append(lanes, Lane{Class: deadName, Depth: dead}), nil
}

// DeadDepth returns how many dead letters there are.
func (q *Queue) DeadDepth(ctx context.Context) (int, error) {
	n, err := q.conn.waiting(ctx, q.name(deadName))
	if err != nil {
		return 0, fmt.Errorf("rabbitmq: queue %q: number of its dead letters: %w", q.cfg.Name, err)
	}
	return n, nil
}

// checkSize returns an [broker.ErrTooLarge] if m has more bytes than limit, or a
// header that no queue takes.
func checkSize(m *broker.Message, limit int64) error {
	header := 0
	for name, values := range m.Header {
		header += len(name) + len(escapePrefix) + 16
		for _, v := range values {
			header += len(v) + 5
		}
		if len(values) > maxValues {
			return fmt.Errorf("%w: %d values of one header, at most %d", broker.ErrTooLarge, len(values), maxValues)
		}
		if len(name) > maxName {
			return fmt.Errorf("%w: a header name of %d bytes, at most %d", broker.ErrTooLarge, len(name), maxName)
		}
	}
	size := int64(len(m.Body) + header)
	if size > limit {
		return fmt.Errorf("%w: %d bytes with the header, at most %d", broker.ErrTooLarge, size, limit)
	}
	if header > maxHeader {
		return fmt.Errorf("%w: a header of %d bytes, at most %d", broker.ErrTooLarge, header, maxHeader)
	}
	return nil
}
