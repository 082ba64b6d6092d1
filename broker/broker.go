// Package broker is the seam between the gateway and message brokers: what a
// message is, how it is published into the lane of its latency class, and how
// a consumer takes it from there and settles it.
//
// A queue has one lane per class. Adapters (broker/nats, and others) implement
// [Publisher] and [Consumer], and for people [Inspector] and [Morgue], and pass
// the conformance suite in broker/brokertest; they never import each other. For
// broker/relay they also are a [Sender] and have [Source]s, from which existing
// queues are moved into lanes.
//
// Delivery is at least once: a message is gone only after [Settler.Done] or
// [Settler.Dead]; whatever else happens to the consumer, the message comes
// again, with the same ID and class and a higher attempt.
package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"overtake/classifier"
)

// Message headers that every adapter carries, as the wire contract names them.
const (
	HeaderClass       = "latency-class"    // set by the adapter from Message.Class
	HeaderDeadline    = "latency-deadline" // unix milliseconds, decimal
	HeaderContentType = "content-type"
)

// Headers that an adapter adds to a dead letter.
const (
	HeaderDeadReason   = "overtake-dead-reason"
	HeaderDeadAttempts = "overtake-dead-attempts" // decimal
)

// HeaderReplayed says of a message that was a dead letter when it had died, in unix
// milliseconds. So it tells one life of a message from the next, and is the same if
// a replay was cut short and is repeated.
const HeaderReplayed = "overtake-replayed"

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
	// ErrInvalid: the message's ID or header can't be carried; see [Message.Validate].
	ErrInvalid = errors.New("invalid message")
	// ErrSettled: the delivery has been settled before, or is being settled.
	ErrSettled = errors.New("delivery already settled")
	// ErrClosed: the publisher or consumer has been closed.
	ErrClosed = errors.New("broker client closed")
)

// Header holds the header fields of a message. Names are case-sensitive, as
// in AMQP and NATS; the ones that Overtake writes are lower case. Several
// values of one name keep their order; space around a value may be lost.
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

// maxIDLength bounds [Message.ID]: AMQP has 255 bytes for it, and adapters may
// need a few of their own.
const maxIDLength = 128

// Validate reports whether every broker can carry the message's ID and header,
// as an [ErrInvalid] that names the first offender. Publishers call it.
func (m *Message) Validate() error {
	if len(m.ID) == 0 || len(m.ID) > maxIDLength {
		return fmt.Errorf("%w: ID of %d characters, want 1 to %d", ErrInvalid, len(m.ID), maxIDLength)
	}
	for i := range len(m.ID) {
		if m.ID[i] <= ' ' || m.ID[i] > '~' {
			return fmt.Errorf("%w: ID %q, want printable ASCII without spaces", ErrInvalid, m.ID)
		}
	}
	for name, values := range m.Header {
		if !classifier.IsToken(name) {
			return fmt.Errorf("%w: header name %q, want a token of RFC 9110", ErrInvalid, name)
		}
		for _, value := range values {
			if strings.ContainsAny(value, "\r\n\x00") {
				return fmt.Errorf("%w: header %s holds a line break or NUL: %q", ErrInvalid, name, value)
			}
		}
	}
	return nil
}

// Publisher puts messages into the lanes of one queue. It is safe for
// concurrent use.
type Publisher interface {
	// Publish returns nil only after the broker has confirmed that it stored
	// the message. A repeated ID within the dedupe window is confirmed and not
	// delivered again: the broker does not store it, or, where the broker can't
	// tell, the consumer that settled the first one takes it away. It neither keeps nor changes m. After an
	// error other than ErrFull, ErrTooLarge, ErrUnknownClass and ErrInvalid
	// the message may be stored all the same.
	Publish(ctx context.Context, m *Message) error
	// Close waits for publishes under way, then releases the resources.
	// Publish returns ErrClosed from then on.
	Close(ctx context.Context) error
}

// Consumer takes messages from the lanes of one queue.
type Consumer interface {
	// Next blocks until the lane of class has a message or ctx ends. It may be
	// called from one goroutine per lane at a time; lanes are independent.
	// Call it only when the message can be worked on soon: what was delivered
	// can't be overtaken by other consumers. While the broker is away it
	// keeps trying; only ctx or Close (then with ErrClosed) end it.
	Next(ctx context.Context, class string) (*Delivery, error)
	// Close stops all calls of Next and waits for settlements under way.
	// Deliveries that are not settled are given back and come at once to
	// another consumer, so settle first what was worked on; settling later
	// returns ErrClosed.
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
// concurrent use; of several that settle, one wins and the others return
// ErrSettled.
//
// When one that settles fails, it may be called again. If it is not, the
// message comes again once the broker gives up waiting, as if its consumer had
// died.
type Settler interface {
	// Done removes the message: it has been worked on. It returns nil only
	// after the broker has confirmed that.
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
