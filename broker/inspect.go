package broker

import (
	"context"
	"strconv"
	"time"
)

// DeadLane is the name in the place of a class under which a queue keeps its
// dead letters.
const DeadLane = "dead"

// AllClasses is the name in the place of a class of a lane that holds all of them,
// where the broker orders them itself. Such a queue has no other lane.
const AllClasses = "*"

// Unknown stands for a number that a broker does not tell.
const Unknown = -1

// Lane is what one lane of a queue holds.
type Lane struct {
	// Class is the latency class, [AllClasses] or [DeadLane].
	Class string
	// Waiting is how many messages wait to be delivered.
	Waiting int
	// InHand is how many have been delivered and not settled: those being worked
	// on and those that wait for a retry. It may be Unknown.
	InHand int
	// Bytes is what all of them take at the broker. It may be Unknown.
	Bytes int64
	// MaxBytes and MaxMessages bound what the lane may hold: what is over it is
	// refused with [ErrFull], or for dead letters the oldest ones go. 0 is no bound.
	MaxBytes    int64
	MaxMessages int64
	// Oldest is when the first message that waits was stored; zero if there is
	// none, or if the broker does not tell.
	Oldest time.Time
	// Consumers is how many would take a message right now.
	Consumers int
	// Paused lanes deliver nothing; they still take messages.
	Paused bool
	// PeekCounts is whether the broker takes a look at a message for a delivery,
	// so that [Inspector.Peek] raises its attempts by one.
	PeekCounts bool
}

// Peeked is a message that waits in a lane.
type Peeked struct {
	Message
	// Attempts is how often it was delivered before.
	Attempts int
	// Published is when the broker stored it.
	Published time.Time
}

// Inspector shows and steers the lanes of one queue, which are named by the Class
// of [Lane]. It is for people: it may ask the broker many times. It is safe for
// concurrent use.
type Inspector interface {
	// Inspect returns the lanes, most urgent first, and then the dead letters.
	Inspect(ctx context.Context) ([]Lane, error)
	// Peek returns up to limit messages that wait in the lane of class, in the
	// order in which they will be delivered. It leaves them there. Where the
	// lane says PeekCounts, consumers don't see them meanwhile.
	Peek(ctx context.Context, class string, limit int) ([]Peeked, error)
	// Purge removes the messages that wait in the lane of class and returns how
	// many they were. It leaves those in hand and those that wait for a retry.
	Purge(ctx context.Context, class string) (int, error)
	// SetPaused makes the lane of class deliver nothing, or go on. Consumers
	// heed it within seconds; what they have in hand, they settle as ever. It
	// outlives consumers and brokers.
	SetPaused(ctx context.Context, class string, paused bool) error
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Message
	Reason string
	// Attempts is how often it was delivered.
	Attempts int
	// Died is when it became a dead letter.
	Died time.Time
}

// Replayed returns the message of a dead letter as it goes back into its lane:
// without what the dead letter added, without its deadline, as who replays it
// wants it done now, and with [HeaderReplayed].
func (l *DeadLetter) Replayed() *Message {
	m := l.Message
	m.Header = make(Header, len(l.Header))
	for name, values := range l.Header {
		switch name {
		case HeaderDeadReason, HeaderDeadAttempts, HeaderDeadline:
		default:
			m.Header[name] = values
		}
	}
	m.Header.Set(HeaderReplayed, strconv.FormatInt(l.Died.UnixMilli(), 10))
	return &m
}

// Morgue holds the dead letters of one queue. It is safe for concurrent use.
type Morgue interface {
	// DeadLetters returns up to limit dead letters, oldest first. The reason and
	// the attempts are in their header, too.
	DeadLetters(ctx context.Context, limit int) ([]DeadLetter, error)
	// Replay publishes the dead letters that pick wants, oldest first, into the
	// lanes of their classes, under the same ID and with attempts counted anew,
	// and returns how many. Each is removed after its lane has confirmed it. If
	// several have one ID, they are copies of one message: all are removed, and
	// one is published. It ends at the first one that can't be published, but goes
	// past those that no lane takes, as other publishers wrote them, and returns an
	// [ErrInvalid] then.
	Replay(ctx context.Context, pick func(*DeadLetter) bool) (int, error)
}
