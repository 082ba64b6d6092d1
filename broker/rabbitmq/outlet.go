package rabbitmq

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// window is how many publishes of one outlet may wait for their confirmation. It
// is more than [broker.MaxSent].
const window = 1024

// errReturned: no queue takes what was published.
var errReturned = errors.New("the broker has no queue for it")

// outlet publishes for one queue with confirmations, over a channel of its own
// that it opens anew in each session.
type outlet struct {
	q      *Queue
	places chan struct{} // one taken per publish in flight

	opening sync.Mutex // held while a channel is opened
	mu      sync.Mutex
	pipe    *pipe // the present channel, or nil
}

func (q *Queue) newOutlet() *outlet {
	return &outlet{q: q, places: make(chan struct{}, window)}
}

// pipe is a channel in confirm mode.
type pipe struct {
	session *session
	ch      *amqp.Channel
	closed  chan *amqp.Error
	returns chan amqp.Return // large enough never to stop the client's reader

	mu       sync.Mutex
	returned map[address]int
	err      error // why the channel was closed
}

// address is what a returned message has in common with its publish. When two of
// the same address are in flight, it does not matter which one came back.
type address struct{ exchange, key, id string }

// publish returns nil after the broker has confirmed p. A message that no queue
// takes is an errReturned.
func (o *outlet) publish(ctx context.Context, exchange, key string, p amqp.Publishing) error {
	s, err := o.send(ctx, exchange, key, p)
	if err != nil {
		return err
	}
	return s.wait(ctx)
}

// sent is a publish that waits for its confirmation.
type sent struct {
	o            *outlet
	t            *pipe
	confirmation *amqp.DeferredConfirmation
	at           address
	size         int
	blocked      <-chan struct{}
	since        time.Time
}

// send publishes p. It takes a place, which wait gives back.
func (o *outlet) send(ctx context.Context, exchange, key string, p amqp.Publishing) (_ *sent, err error) {
	if ctx.Err() != nil {
		return nil, cause(ctx, ctx.Err())
	}
	select {
	case o.places <- struct{}{}:
	case <-ctx.Done():
		return nil, cause(ctx, ctx.Err())
	}
	defer func() {
		if err != nil {
			<-o.places
		}
	}()
	t, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	reason, blocked := t.session.blockage()
	if reason != "" {
		return nil, blockedError(reason)
	}
	confirmation, err := t.ch.PublishWithDeferredConfirm(exchange, key, true, false, p)
	if err != nil {
		return nil, cause(ctx, t.why(err, len(p.Body)))
	}
	return &sent{o, t, confirmation, address{exchange, key, p.MessageId}, len(p.Body), blocked, time.Now()}, nil
}

// wait returns nil after the broker has confirmed the publish.
func (s *sent) wait(ctx context.Context) error {
	patience := time.NewTimer(time.Until(s.since.Add(confirmTimeout)))
	defer patience.Stop()
	var err error
	select {
	case <-s.confirmation.Done():
		<-s.o.places
		return cause(ctx, s.t.outcome(s.confirmation, s.at, s.size))
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.blocked:
		reason, _ := s.t.session.blockage()
		err = blockedError(reason)
	case <-patience.C:
		err = errNoAnswer
	}
	// It keeps its place until the server has answered or the session ends.
	if !s.o.q.conn.requests.enter() {
		<-s.o.places
		return cause(ctx, err)
	}
	go func() {
		defer s.o.q.conn.requests.leave()
		<-s.confirmation.Done()
		s.t.takeReturned(s.at)
		<-s.o.places
	}()
	return cause(ctx, err)
}

// outcome says what became of a publish that the server has answered.
func (t *pipe) outcome(c *amqp.DeferredConfirmation, at address, size int) error {
	switch {
	case t.takeReturned(at):
		return errReturned
	case c.Acked():
		return nil
	case t.ch.IsClosed(): // the client answers for the server then
		return t.why(errConnectionLost, size)
	}
	return broker.ErrFull
}

// takeReturned reports whether a message of that address was returned and not
// taken yet. A return comes before the confirmation.
func (t *pipe) takeReturned(at address) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.returns) > 0 {
		r, ok := <-t.returns
		if !ok {
			break
		}
		t.returned[address{r.Exchange, r.RoutingKey, r.MessageId}]++
	}
	n := t.returned[at]
	switch n {
	case 0:
		return false
	case 1:
		delete(t.returned, at)
	default:
		t.returned[at]--
	}
	return true
}

// why returns the reason why the channel was closed, or err if there is none. The
// server closes it for a message that is too large for it, and then all
// publishes in flight share its fate.
func (t *pipe) why(err error, size int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case e := <-t.closed:
		if e != nil {
			t.err = e
		}
	default:
	}
	var e *amqp.Error
	if !errors.As(t.err, &e) {
		return err
	}
	if own := fmt.Sprintf("message size %d is larger than", size); e.Code == amqp.PreconditionFailed && strings.Contains(e.Reason, own) {
		return fmt.Errorf("%w: %w", broker.ErrTooLarge, e)
	}
	return fmt.Errorf("%w: %w: %w", broker.ErrUnavailable, errConnectionLost, e)
}

// open returns the present channel, or opens one.
func (o *outlet) open(ctx context.Context) (*pipe, error) {
	if t := o.present(); t != nil {
		return t, nil
	}
	o.opening.Lock()
	defer o.opening.Unlock()
	if t := o.present(); t != nil {
		return t, nil
	}
	s, err := o.q.conn.publishing.session()
	if err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	control, err := o.q.conn.consuming.session()
	if err != nil {
		return nil, err
	}
	if err := o.q.declare(ctx, control); err != nil {
		return nil, err
	}
	opened := make(chan *pipe, 1)
	err = o.q.conn.await(ctx, func() error {
		t, err := newPipe(s)
		opened <- t
		return err
	})
	if err != nil {
		return nil, err
	}
	t := <-opened
	o.mu.Lock()
	defer o.mu.Unlock()
	o.pipe = t
	return t, nil
}

func newPipe(s *session) (*pipe, error) {
	ch, err := s.conn.Channel()
	if err != nil {
		return nil, err
	}
	t := &pipe{
		session:  s,
		ch:       ch,
		closed:   ch.NotifyClose(make(chan *amqp.Error, 1)),
		returns:  ch.NotifyReturn(make(chan amqp.Return, window)),
		returned: make(map[address]int),
	}
	return t, ch.Confirm(false)
}

// present returns the channel if it is open.
func (o *outlet) present() *pipe {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pipe == nil || o.pipe.ch.IsClosed() {
		return nil
	}
	return o.pipe
}

// close closes the channel, unless the server reads nothing: it goes with the
// connection then.
func (o *outlet) close(ctx context.Context) error {
	t := o.present()
	if t == nil {
		return nil
	}
	if reason, _ := t.session.blockage(); reason != "" {
		return nil
	}
	_ = o.q.conn.await(ctx, t.ch.Close) // a channel that is lost is closed
	return cause(ctx, ctx.Err())
}
