package nats

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// askAfter is how long a publish waits before its stream is asked whether it takes
	// messages at all, and askAgain how long one that does not has to be asked anew.
	askAfter = time.Second
	askAgain = time.Second
	// nothing is a subject that no stream of ours has: theirs are of several parts.
	nothing = "nothing"
)

// intake is whether a stream takes messages. Its fields are guarded by the mutex of
// its Conn.
//
// A server may be well but for that: into a stream that it could not write to once,
// as the disk was full, it takes nothing more, and whoever publishes gets no answer
// (nats-server v2.15.2: stream.processJetStreamMsg). It tells so who wants to remove
// something, even nothing. So that is asked when a publish has waited for a while. If
// the stream says that it takes none, publishes fail at once until it says otherwise;
// if it says nothing, it may be slow, or its cluster elects, and nothing is known.
type intake struct {
	stream string
	asking bool          // somebody asks until it takes messages
	err    error         // why it takes none; nil while it does, as far as is known
	closed chan struct{} // closed while it takes none
}

// intakeLocked returns what is known of a stream.
func (c *Conn) intakeLocked(stream string) *intake {
	in := c.intakes[stream]
	if in == nil {
		in = &intake{stream: stream, closed: make(chan struct{})}
		c.intakes[stream] = in
	}
	return in
}

// takes returns why one of the streams takes no messages, if that is known.
func (c *Conn) takes(streams ...string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stream := range streams {
		if err := c.intakeLocked(stream).err; err != nil {
			return err
		}
	}
	return nil
}

// doubt has a stream asked whether it takes messages, unless that goes on already.
func (c *Conn) doubt(in *intake) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.asking || c.ctx.Err() != nil {
		return
	}
	in.asking = true
	c.opening.Go(func() { c.askUntilOpen(in) })
}

// askUntilOpen asks a stream until it takes messages, or the connection is closed.
func (c *Conn) askUntilOpen(in *intake) {
	for {
		err := c.ask(in.stream)
		if c.ctx.Err() != nil || c.heard(in, err) {
			return
		}
		if c.awaitConnection(c.ctx) {
			continue // the server may be another one
		}
		select {
		case <-time.After(askAgain):
		case <-c.ctx.Done():
			return
		}
	}
}

// errUntold: the stream did not say whether it takes messages.
var errUntold = errors.New("no answer from the stream")

// ask returns an error that is broker.ErrUnavailable if the stream says that it takes
// no messages, and else nil or errUntold.
func (c *Conn) ask(stream string) error {
	ctx, cancel := context.WithTimeoutCause(c.ctx, findTimeout, errNoAnswer)
	defer cancel()
	err := c.request(ctx, func(ctx context.Context) error {
		s, err := c.js.Stream(ctx, stream)
		if err == nil {
			err = s.Purge(ctx, jetstream.WithPurgeSubject(nothing))
		}
		return err
	})
	switch code := apiError(err).Code; {
	case err == nil || 400 <= code && code < 500: // no reason why it should take none
		return nil
	case code != http.StatusInternalServerError: // it has no leader, or we may not ask
		return errUntold
	case c.external:
		return fmt.Errorf("nats: stream %s takes no messages: %w; see that the server can write (is its disk full?), then restart it", stream, err)
	}
	return fmt.Errorf("nats: stream %s takes no messages: %w; make room on the disk of the broker's folder, and it goes on", stream, err)
}

// heard notes what a stream said, and reports whether it need not be asked again.
func (c *Conn) heard(in *intake, err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := in.err
	if errors.Is(err, errUntold) {
		err = before
	}
	in.err, in.asking = err, err != nil
	switch {
	case err != nil && before == nil:
		close(in.closed)
		c.log.Error("nats: the server takes no messages; publishes fail until it does", "error", err)
	case err == nil && before != nil:
		in.closed = make(chan struct{})
		c.log.Info("nats: the server takes messages again", "stream", in.stream)
	}
	return err == nil
}
