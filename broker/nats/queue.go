package nats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"overtake/broker"
)

// Defaults of [QueueConfig].
const (
	DefaultLaneBytes    = 256 << 20
	DefaultDeadBytes    = 64 << 20
	DefaultDedupeWindow = 2 * time.Minute
	DefaultAckWait      = 10 * time.Second
)

const (
	// deadName is the word that stands where a class would in the name of the
	// stream for dead letters.
	deadName = broker.DeadLane
	// consumerName is the durable consumer of each lane. All processes share
	// it, as a work queue allows one.
	consumerName = "overtake"
	// deadLetterRoom is how much smaller than the server's bound a message
	// must be, so that it still fits with what a dead letter adds.
	deadLetterRoom = 2 << 10
	// minBytes keeps the bounds above deadLetterRoom, minWindow the times
	// above what JetStream accepts.
	minBytes  = 64 << 10
	minWindow = 100 * time.Millisecond
	// maxReplicas is as many as JetStream has.
	maxReplicas = 5
)

// QueueConfig describes a queue.
type QueueConfig struct {
	// Name is 1 to 64 letters, digits, '-' and '_'.
	Name string
	// Classes are the latency classes, most urgent first. Each gets a lane.
	// "dead" can't be one: the dead letters have that place.
	Classes []string
	// MaxBytes bounds each lane on disk; what is over it is refused. The
	// server reserves it. Default 256 MiB.
	MaxBytes int64
	// DeadBytes bounds the dead letters on disk; the oldest make room for new
	// ones. Default 64 MiB.
	DeadBytes int64
	// DedupeWindow is how long a repeated ID is recognized. Default 2 min.
	DedupeWindow time.Duration
	// Replicas is how many servers of a cluster keep each message, 1 to 5 and odd
	// to be of use: with 3, one of them may be lost. Default 1.
	Replicas int
	// AckWait is after what time without a sign of life a delivery comes
	// again. Living consumers give one three times as often. Default 10 s.
	AckWait time.Duration
}

func (c *QueueConfig) setDefaults() {
	if c.MaxBytes == 0 {
		c.MaxBytes = DefaultLaneBytes
	}
	if c.DeadBytes == 0 {
		c.DeadBytes = DefaultDeadBytes
	}
	if c.DedupeWindow == 0 {
		c.DedupeWindow = DefaultDedupeWindow
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.AckWait == 0 {
		c.AckWait = DefaultAckWait
	}
}

func (c *QueueConfig) validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("nats: queue %q: "+format, append([]any{c.Name}, args...)...))
	}
	if !validName(c.Name, 64, true) {
		bad("the name must be 1 to 64 letters, digits, '-' and '_'")
	}
	if len(c.Classes) == 0 {
		bad("no classes given")
	}
	for i, class := range c.Classes {
		switch {
		case class == deadName:
			bad("a class can't be called %q: the dead letters have that place; rename the class", class)
		case !validName(class, 32, false): // '_' parts the queue from the class
			bad("class %q must be 1 to 32 letters, digits and '-'", class)
		case slices.Contains(c.Classes[:i], class):
			bad("class %q is given twice", class)
		}
	}
	if c.MaxBytes < minBytes || c.DeadBytes < minBytes {
		bad("MaxBytes %d and DeadBytes %d, want at least %d each", c.MaxBytes, c.DeadBytes, minBytes)
	}
	if c.Replicas < 1 || c.Replicas > maxReplicas {
		bad("%d replicas, want 1 to %d", c.Replicas, maxReplicas)
	}
	if c.DedupeWindow < minWindow || c.AckWait < minWindow {
		bad("DedupeWindow %v and AckWait %v, want at least %v each", c.DedupeWindow, c.AckWait, minWindow)
	}
	return errors.Join(errs...)
}

// validName reports whether s can be part of a stream name and of a subject.
func validName(s string, maxLen int, underscore bool) bool {
	for i := range len(s) {
		c := s[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && c != '-' && (c != '_' || !underscore) {
			return false
		}
	}
	return 0 < len(s) && len(s) <= maxLen
}

// Queue is a queue that has been declared on the server. It holds nothing that
// needs closing. It is safe for concurrent use.
type Queue struct {
	conn *Conn
	cfg  QueueConfig
}

// OpenQueue declares the queue: a stream and a consumer per class and a stream
// for dead letters. What exists is kept with its messages, and changed where
// cfg differs from it. Lanes of classes that cfg no longer has are removed if they
// are empty, and otherwise left alone and reported in the log. The server must be
// NATS 2.9 or later.
//
// While a server elsewhere can't be reached, or is without a leader, OpenQueue
// logs that and returns a queue that will be declared as soon as the server
// answers: until then Publish fails, Next waits, and Lanes says why.
func (c *Conn) OpenQueue(ctx context.Context, cfg QueueConfig) (*Queue, error) {
	q, err := c.Queue(cfg)
	if err != nil {
		return nil, err
	}
	if err := c.open(ctx, c.log.With("queue", cfg.Name), q.declare); err != nil {
		return nil, err
	}
	return q, nil
}

func (q *Queue) declare(ctx context.Context) error {
	if err := q.conn.require("queues", queuesFrom); err != nil {
		return fmt.Errorf("nats: queue %q: %w", q.cfg.Name, err)
	}
	for _, class := range q.cfg.Classes {
		if err := q.declareLane(ctx, class); err != nil {
			return err
		}
	}
	if _, err := q.declareStream(ctx, q.deadConfig()); err != nil {
		return err
	}
	return q.tidy(ctx)
}

func (q *Queue) hasLane(class string) bool   { return slices.Contains(q.cfg.Classes, class) }
func (q *Queue) stream(class string) string  { return q.cfg.Name + "_" + class }
func (q *Queue) subject(class string) string { return q.cfg.Name + "." + class }

// maxMessage is the bound of one message with its header: whatever enters a
// lane must be able to leave it as a dead letter.
func (q *Queue) maxMessage() int32 {
	return int32(min(q.conn.nc.MaxPayload(), q.cfg.MaxBytes, q.cfg.DeadBytes) - deadLetterRoom)
}

// Ping returns nil if the server answers and takes messages of all classes, as far as
// is known, else an error that is [broker.ErrUnavailable] or ctx's.
func (q *Queue) Ping(ctx context.Context) error {
	if err := q.conn.Ping(ctx); err != nil {
		return err
	}
	streams := make([]string, len(q.cfg.Classes))
	for i, class := range q.cfg.Classes {
		streams[i] = q.stream(class)
	}
	return q.conn.takes(streams...)
}

// Lane is what one lane of a queue holds.
type Lane struct {
	// Class is the latency class, or "dead" for the dead letters.
	Class string
	// Depth is how many messages wait for their first delivery.
	Depth int
	// Unsettled is how many have been delivered and not settled: those being
	// worked on and those that wait for a retry.
	Unsettled int
}

// Lanes returns the lanes, most urgent first, and then the dead letters, which
// all count as Depth. It asks the server once for each, which is cheap enough
// for every scrape of metrics.
func (q *Queue) Lanes(ctx context.Context) ([]Lane, error) {
	lanes := make([]Lane, 0, len(q.cfg.Classes)+1)
	for _, class := range q.cfg.Classes {
		info, err := q.consumerInfo(ctx, class)
		if err != nil {
			return nil, fmt.Errorf("nats: queue %q: depth of lane %q: %w", q.cfg.Name, class, err)
		}
		lanes = append(lanes, Lane{Class: class, Depth: int(info.NumPending), Unsettled: info.NumAckPending})
	}
	dead, err := q.opened(ctx, deadName)
	if err != nil {
		return nil, fmt.Errorf("nats: queue %q: number of dead letters: %w", q.cfg.Name, err)
	}
	return append(lanes, Lane{Class: deadName, Depth: int(dead.CachedInfo().State.Msgs)}), nil
}
