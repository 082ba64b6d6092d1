package broker

import (
	"context"
	"strings"

	"overtake/classifier"
)

// Headers that stand for the properties that AMQP has beside its headers. To
// AMQP they go as both. Nothing acts on them.
const (
	HeaderContentEncoding = "content-encoding"
	HeaderCorrelationID   = "correlation-id"
	HeaderReplyTo         = "reply-to"
	HeaderType            = "message-type"
	HeaderAppID           = "app-id"
	HeaderTimestamp       = "message-timestamp" // unix milliseconds, decimal
	// The next two are never turned back into properties: RabbitMQ refuses the
	// user-id of somebody else, and a lane's priority is that of its class.
	HeaderUserID   = "user-id"
	HeaderPriority = "message-priority" // decimal
)

// MaxSent is how many messages at most may be between [Sender.Send] and the end of
// their wait, over one publisher.
const MaxSent = 1000

// Sender is what publishers can do for those who move messages in bulk. It is
// safe for concurrent use.
type Sender interface {
	// Send hands m to the broker and does not wait for the confirmation: wait
	// does that, and returns what [Publisher.Publish] would. If nothing fails,
	// messages of one class are stored in the order in which they were sent by
	// one goroutine. After a nil error, wait must be called once, also when its
	// ctx has ended, and m must not be changed before it has returned.
	Send(ctx context.Context, m *Message) (wait func(context.Context) error, err error)
	// Bury stores m, which can't be published, among the dead letters of its
	// queue, with the reason. It returns nil only after the broker has confirmed
	// that.
	Bury(ctx context.Context, m *Message, reason string) error
}

// Source is a plain queue or subject, without lanes, that messages are moved out
// of.
type Source interface {
	// Next returns the next message, in the order in which the broker hands them
	// out. It blocks until there is one, ctx ends, or the source is closed. While
	// the broker is away it keeps trying. One goroutine may call it at a time.
	Next(ctx context.Context) (*Taken, error)
	// Waiting returns how many messages are at the broker. Those in hand may be
	// among them. An error that is not [ErrUnavailable] or ctx's says that the
	// source does not exist or may not be used.
	Waiting(ctx context.Context) (int, error)
	// Close gives back what is in hand and returns when the broker knows what
	// was done. Waiting may still be called.
	Close(ctx context.Context) error
}

// Taken is a message taken from a [Source]. Its Class is "": what it came with is
// in its header. Its ID is the one it came with if that is valid, and otherwise one
// that the source made; see there.
type Taken struct {
	Message
	// Address is the subject or routing key that it was published with.
	Address string
	Receipt
}

// Receipt says what has become of a message taken from a [Source]. Its methods
// are safe for concurrent use.
type Receipt interface {
	// Done tells the broker, soon, that the message is in safe hands, so that it
	// is removed. If that does not reach the broker, the message comes again.
	Done()
	// Lost is closed when the message is not in hand any more: the broker has
	// taken it back and hands it out again. It may be nil, for never.
	Lost() <-chan struct{}
}

// Cleaned returns a header of any origin as one that passes [Message.Validate]: what
// can't be in a name is replaced by '_', and line breaks and NUL in a value by a
// space. Names that become the same keep all values.
func (h Header) Cleaned() Header {
	out := make(Header, len(h))
	for name, values := range h {
		if name = cleanName(name); name == "" {
			continue
		}
		for _, v := range values {
			out[name] = append(out[name], lineBreaks.Replace(v))
		}
	}
	return out
}

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

func cleanName(name string) string {
	if classifier.IsToken(name) {
		return name
	}
	clean := []byte(name)
	for i, c := range clean {
		if !classifier.IsTokenByte(c) {
			clean[i] = '_'
		}
	}
	return string(clean)
}
