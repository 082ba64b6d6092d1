// Package broker is the seam between the gateway and message brokers: what a
// message is, how it is published into the lane of its latency class, and how
// a consumer takes it from there and settles it.
//
// A queue has one lane per class. Adapters (broker/nats, and others) implement
// [Publisher] and [Consumer] and pass the conformance suite in
// broker/brokertest; they never import each other.
//
// Delivery is at least once: a message is gone only after [Settler.Done] or
// [Settler.Dead]; whatever else happens to the consumer, the message comes
// again, with the same ID and class and a higher attempt.
package broker

import (
	"context"
	"errors"
	"time"
)

// Message headers that every adapter carries, as the wire contract names them.
const (
	HeaderClass       = "latency-class"
	HeaderDeadline    = "latency-deadline" // unix milliseconds, decimal
	HeaderContentType = "content-type"
)

// Errors that a caller decides on. Adapters wrap them with the place and cause.
var (
	// ErrUnavailable: the broker can't be reached or did not confirm in time.
	// The message may or may not be stored; publish it again under the same ID.
	ErrUnavailable = errors.New("broker unavailable")
	// ErrFull: the lane is at its bound and refused the message.
	ErrFull = errors.New("lane full")
	// ErrTooLarge: the broker will never take a message of this size.
	ErrTooLarge = errors.New("message too large")
	// ErrUnknownClass: the queue has no lane for the message's class.
	ErrUnknownClass = errors.New("no lane for class")
	// ErrClosed: the publisher or consumer has been closed.
	ErrClosed = errors.New("broker client closed")
)

// Header holds the header fields of a message. Names are case-sensitive, as
// in AMQP and NATS; the ones that Overtake writes are lower case.
type Header map[string][]string

// Get returns the first value of name, or "".
func (h Header) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// Set replaces the values of name by value.
func (h Header) Set(name, value string) { h[name] = []string{value} }

// Message is one unit of queued work.
type Message struct {
	// ID identifies the message for deduplication. Required for publishing:
	// 1 to 128 printable ASCII characters without spaces.
	ID string
	// Class names the lane. It survives redelivery and dead-lettering.
	Class  string
	Header Header
	Body   []byte
}

// Publisher puts messages into the lanes of one queue. It is safe for
// concurrent use.
type Publisher interface {
	// Publish returns nil only after the broker has confirmed that it stored
	// the message. A repeated ID within the broker's window is confirmed
	// without being stored again.
	Publish(ctx context.Context, m *Message) error
	// Close waits for publishes under way, then releases the resources.
	Close(ctx context.Context) error
}

// Consumer takes messages from the lanes of one queue.
type Consumer interface {
	// Next blocks until the lane of class has a message or ctx ends. It may be
	// called from one goroutine per lane at a time; lanes are independent.
	// Call it only when the message can be worked on soon: what was delivered
	// can't be overtaken by other consumers. While the broker is away it
	// keeps trying; only ctx or Close end it.
	Next(ctx context.Context, class string) (*Delivery, error)
	// Close stops all calls of Next. Deliveries that are not settled come
	// again to another consumer.
	Close(ctx context.Context) error
}

// Delivery is one attempt to hand a message to a consumer. Exactly one of
// Done, Retry and Dead settles it; a settled delivery must not be used.
type Delivery struct {
	Message
	// Attempt counts from 1.
	Attempt int
	// Published is when the broker stored the message.
	Published time.Time
	Settler
}

// Settler decides what becomes of a delivery. Its methods are safe for
// concurrent use.
type Settler interface {
	// Done removes the message: it has been worked on.
	Done(ctx context.Context) error
	// Retry gives the message back, to be delivered again not before after.
	// It does not hold up the rest of its lane.
	Retry(ctx context.Context, after time.Duration) error
	// Dead moves the message to the queue's dead letters with the reason. The
	// message is removed from its lane only after it is stored there.
	Dead(ctx context.Context, reason string) error
	// Working tells the broker that the work goes on, so that the message is
	// not delivered again meanwhile. Adapters call it themselves as long as a
	// delivery is not settled; it is here for work with its own heartbeat.
	Working(ctx context.Context) error
}
