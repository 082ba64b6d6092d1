package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
)

// inbox is where the messages of a lane come: one subscription for all of its pull
// requests, of which one at most is under way. The iterators and fetches of
// nats.go ask for more than they were told to around a lost connection, and hold
// what comes of it, unseen, until they are asked again; or they subscribe anew for
// each request, which costs more than the request.
//
// It belongs to the goroutine of its lane.
type inbox struct {
	nc       *natsgo.Conn
	link     context.Context // the connection that it was made on
	requests string          // the subject that they go to
	prefix   string          // of the subjects that are answered to
	sub      *natsgo.Subscription
	got      chan *natsgo.Msg // for read

	number int // of the last request
	wanted int // messages that it may still bring; 0: it has ended
}

// pullRequest is the request as the server reads it.
const pullRequest = `{"batch": %d, "expires": %d, "idle_heartbeat": %d}`

// errSilent ends a pull request of which nothing was heard for too long.
var errSilent = errors.New("no sign of life from the server")

// openInbox subscribes to what pull requests for the lane of class will bring.
func (q *Queue) openInbox(class string) (*inbox, error) {
	c := q.conn
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	in := &inbox{
		nc: c.nc, link: link, prefix: c.nc.NewInbox() + ".",
		requests: fmt.Sprintf(server.JSApiRequestNextT, q.stream(class), consumerName),
		// Beside what is ahead there may be a few words about requests.
		got: make(chan *natsgo.Msg, 8*maxAhead),
	}
	var err error
	if in.sub, err = c.nc.ChanSubscribe(in.prefix+"*", in.got); err != nil {
		return nil, fmt.Errorf("nats: subscribe to %s*: %w", in.prefix, err)
	}
	return in, nil
}

// wait asks for a message, for which the server may wait.
func (in *inbox) wait() error {
	return in.ask(1, fmt.Appendf(nil, pullRequest, 1, pullExpiry, pullHeartbeat))
}

// more asks for up to n messages that are there already: no request is left at
// the server.
func (in *inbox) more(n int) error {
	return in.ask(n, fmt.Appendf(nil, `{"batch": %d, "no_wait": true}`, n))
}

func (in *inbox) ask(n int, request []byte) error {
	if in.link.Err() != nil {
		return context.Cause(in.link)
	}
	in.number++
	if err := in.nc.PublishRequest(in.requests, in.prefix+strconv.Itoa(in.number), request); err != nil {
		return err
	}
	in.wanted = n
	return nil
}

// asked reports whether a request is under way. It and the next two may be called
// of nil.
func (in *inbox) asked() bool { return in != nil && in.wanted > 0 }

// came is where messages come while a request is under way.
func (in *inbox) came() <-chan *natsgo.Msg {
	if !in.asked() {
		return nil
	}
	return in.got
}

// lost is closed with the connection that a request is under way on.
func (in *inbox) lost() <-chan struct{} {
	if !in.asked() {
		return nil
	}
	return in.link.Done()
}

// read returns msg, which came over got, if it is one of the lane's, and nil if it
// is what the server has to say about a request. That has no subject to reply to.
func (in *inbox) read(msg *natsgo.Msg) (*natsgo.Msg, error) {
	if msg.Reply != "" {
		in.wanted = max(in.wanted-1, 0)
		return msg, nil
	}
	if msg.Subject != in.prefix+strconv.Itoa(in.number) {
		return nil, nil // about one that has ended
	}
	switch status := msg.Header.Get("Status"); status {
	case "100": // a heartbeat
		return nil, nil
	case "404", "408": // no more messages, or none in time
		in.wanted = 0
		return nil, nil
	case "503":
		return nil, natsgo.ErrNoResponders
	default:
		return nil, fmt.Errorf("the server ended the request: %s %s", status, msg.Header.Get("Description"))
	}
}

// close takes back the request under way, if there is one, and returns what had
// come for it. Without that, the request could swallow a message later on.
func (in *inbox) close() (last []*natsgo.Msg) {
	if in.link.Err() != nil {
		_ = in.sub.Unsubscribe() // if it fails, the connection is closed
		return nil
	}
	ctx, cancel := context.WithTimeout(in.link, confirmTimeout)
	defer cancel()
	if in.sub.Drain() != nil || in.nc.FlushWithContext(ctx) != nil {
		return nil
	}
	for {
		select {
		case msg := <-in.got:
			if msg.Reply != "" {
				last = append(last, msg)
			}
		default:
			return last
		}
	}
}

// next returns the next message, for as long as that takes.
func (in *inbox) next(ctx context.Context) (*natsgo.Msg, error) {
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for {
		if in.wanted == 0 {
			if err := in.wait(); err != nil {
				return nil, err
			}
		}
		select {
		case msg := <-in.got:
			if msg, err := in.read(msg); msg != nil || err != nil {
				return msg, err
			}
			silence.Reset(2 * pullHeartbeat)
		case <-silence.C:
			return nil, errSilent
		case <-in.link.Done():
			return nil, context.Cause(in.link)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
