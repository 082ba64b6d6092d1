package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"overtake/loadgen"
	"overtake/loadgen/inflight"
)

const (
	dialTimeout = 5 * time.Second
	// writeTimeout bounds a write to a server that reads no more.
	writeTimeout = 5 * time.Second
	// askTimeout bounds a question to JetStream, and an acknowledgement of it.
	askTimeout = 5 * time.Second
	// reconnectWait is the pause between two attempts to reach a server.
	reconnectWait = 100 * time.Millisecond
	// A server that owes more than maxPings signs of life is given up.
	pingInterval = 2500 * time.Millisecond
	maxPings     = 2
)

// sender publishes calls and consumes them.
type sender struct {
	endpoint loadgen.Endpoint
	name     string // of the server, without credentials
	calls    *inflight.Calls
	filler   inflight.Filler

	publisher, consumer *link
	flow                flow

	holding   context.Context // ends when nothing is to be held any more
	stopHolds context.CancelFunc
	// working ends the publishing and the receiving.
	working               context.Context
	stop                  context.CancelFunc
	publishing, consuming sync.WaitGroup

	closing sync.Once
	closed  error
}

// flow is a way for messages: core NATS or a stream.
type flow interface {
	// publish sends a message. An acknowledgement comes later.
	publish(m *natsgo.Msg) error
	// receive passes each message to work, which returns when a consumer has begun
	// to work on it, until ctx ends.
	receive(ctx context.Context, work func(*message))
	// cleanUp takes away what the run has left behind.
	cleanUp(ours func(id string) bool) error
}

// message is one that arrived.
type message struct {
	id     string
	settle func() // says that it was worked on; nil if there is nothing to say
	refuse func() // lets go of one that is not of this run; nil likewise
}

// Open connects to the server and starts consuming. It fails if the server or the
// stream is not there, or in use. It makes no stream: that is part of what is
// measured. It is a [loadgen.OpenSender].
func Open(ctx context.Context, e loadgen.Endpoint, _ []loadgen.Class) (loadgen.Sender, error) {
	name, err := check(&e)
	if err != nil {
		return nil, err
	}
	s := &sender{endpoint: e, name: name}
	if s.consumer, err = dial(e.URL, "consume"); err != nil {
		return nil, fmt.Errorf("broker %s can't be reached: %w", name, err)
	}
	if s.publisher, err = dial(e.URL, "publish"); err != nil {
		s.consumer.close()
		return nil, fmt.Errorf("broker %s can't be reached: %w", name, err)
	}
	s.calls = inflight.New()
	if e.Stream == "" {
		s.flow, err = openCore(e, s.publisher.conn, s.consumer.conn)
	} else {
		s.flow, err = openStream(ctx, e, s.publisher.conn, s.consumer.conn, s.calls)
	}
	if err != nil {
		s.calls.End()
		s.publisher.close()
		s.consumer.close()
		return nil, fmt.Errorf("broker %s: %w", name, err)
	}
	s.holding, s.stopHolds = context.WithCancel(context.Background())
	s.working, s.stop = context.WithCancel(context.Background())
	s.consuming.Go(s.consume)
	s.publishing.Go(s.publish)
	return s, nil
}

// check fills in what may be left out and returns the server's name.
func check(e *loadgen.Endpoint) (string, error) {
	var hosts []string
	for part := range strings.SplitSeq(e.URL, ",") {
		u, err := url.Parse(strings.TrimSpace(part))
		if err != nil || u.Scheme != "nats" && u.Scheme != "tls" || u.Host == "" {
			return "", errors.New("a NATS server's URL is nats://HOST:PORT or tls://HOST:PORT, or several of one cluster with commas between them")
		}
		hosts = append(hosts, u.Host)
	}
	name := strings.Join(hosts, ",")
	if e.Subject == "" || strings.ContainsAny(e.Subject, "*> \t") {
		return "", fmt.Errorf("broker %s: subject %q: want the one that messages are published to, without wildcards or spaces", name, e.Subject)
	}
	e.Consumers = max(e.Consumers, 1)
	return name, nil
}

// link is a connection that is made again when it is lost.
type link struct {
	conn  *natsgo.Conn
	ended chan struct{} // closed when nothing of conn runs

	mu  sync.Mutex
	err error // the first that the server told out of turn
}

func dial(url, purpose string) (*link, error) {
	l := &link{ended: make(chan struct{})}
	conn, err := natsgo.Connect(url,
		natsgo.Name("overtake-loadgen "+purpose),
		natsgo.Timeout(dialTimeout),
		natsgo.FlusherTimeout(writeTimeout),
		natsgo.PingInterval(pingInterval), natsgo.MaxPingsOutstanding(maxPings),
		natsgo.MaxReconnects(-1), natsgo.ReconnectWait(reconnectWait), natsgo.ReconnectJitter(reconnectWait/2, reconnectWait/2),
		natsgo.ReconnectBufSize(-1), // what can't be sent now has failed
		natsgo.ErrorHandler(func(_ *natsgo.Conn, _ *natsgo.Subscription, err error) { l.note(err) }),
		natsgo.ClosedHandler(func(*natsgo.Conn) { close(l.ended) }),
	)
	if err != nil {
		return nil, err
	}
	l.conn = conn
	return l, nil
}

// note keeps what the server told. That a connection broke it did not tell: that is
// made again, and the calls that it cost have their outcome.
func (l *link) note(err error) {
	var broken *net.OpError
	if errors.As(err, &broken) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *link) close() {
	l.conn.Close()
	<-l.ended
}

// told returns what the server told out of turn, such as that a permission is missing.
func (l *link) told() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Send implements [loadgen.Sender].
func (s *sender) Send(c *loadgen.Call) { s.calls.Send(c) }

// publish publishes until the end.
func (s *sender) publish() {
	for {
		for c := s.calls.Next(); c != nil; c = s.calls.Next() {
			s.write(c)
		}
		select {
		case <-s.calls.More():
		case <-s.working.Done():
			return
		}
	}
}

func (s *sender) write(c *loadgen.Call) {
	id := c.ID
	body, ok := s.filler.Body(c.Request, int(s.publisher.conn.MaxPayload()))
	if !ok {
		s.calls.Fail(id, inflight.FailTooLarge)
		return
	}
	err := s.flow.publish(newMessage(s.endpoint.Subject, c, body))
	switch {
	case err == nil:
		s.calls.Written(id)
	case errors.Is(err, natsgo.ErrReconnectBufExceeded), errors.Is(err, natsgo.ErrConnectionReconnecting):
		s.calls.Fail(id, loadgen.FailConnect)
	case errors.Is(err, natsgo.ErrMaxPayload): // the headers count, too
		s.calls.Fail(id, inflight.FailTooLarge)
	default:
		s.calls.Fail(id, inflight.FailConnection)
	}
}

// newMessage makes the message of a call.
func newMessage(subject string, c *loadgen.Call, body []byte) *natsgo.Msg {
	m := &natsgo.Msg{Subject: subject, Data: body, Header: make(natsgo.Header, len(c.Request.Fields)+2)}
	for _, f := range c.Request.Fields {
		m.Header[f.Name] = append(m.Header[f.Name], f.Value)
	}
	if c.TraceParent != "" {
		m.Header["traceparent"] = []string{c.TraceParent}
	}
	m.Header[natsgo.MsgIdHdr] = []string{c.ID}
	return m
}

// consume works on what is received until the end.
func (s *sender) consume() {
	var workers sync.WaitGroup
	defer workers.Wait()
	todo := make(chan *message)
	defer close(todo)
	for range s.endpoint.Consumers {
		workers.Go(func() {
			for m := range todo {
				s.work(m)
			}
		})
	}
	s.flow.receive(s.working, func(m *message) { todo <- m })
}

func (s *sender) work(m *message) {
	if !s.calls.Ours(m.id) {
		if m.refuse != nil {
			m.refuse()
		}
		return
	}
	inflight.Wait(s.holding, s.endpoint.Hold)
	s.calls.Done(m.id)
	if m.settle != nil {
		m.settle()
	}
}

// Close implements [loadgen.Sender]. Its error says what makes the figures or the
// next run doubtful.
func (s *sender) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.publishing.Wait()
		s.calls.End() // before the holds: what is held now is not done
		s.stopHolds()
		s.consuming.Wait()
		problems := []error{s.flow.cleanUp(s.calls.Ours), s.calls.Foreign(), s.publisher.told(), s.consumer.told()}
		s.publisher.close()
		s.consumer.close()
		if err := errors.Join(problems...); err != nil {
			s.closed = fmt.Errorf("loadgen: broker %s: subject %q: %w", s.name, s.endpoint.Subject, err)
		}
	})
	return s.closed
}
