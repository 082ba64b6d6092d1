package relay_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
)

// plainQueue is an existing queue on RabbitMQ behind a topic exchange.
type plainQueue struct {
	name string
	ch   *amqp.Channel
}

func newPlainQueue(t testing.TB, kind string) *plainQueue {
	t.Helper()
	conn, err := amqp.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // the test may have cut it
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	q := &plainQueue{newName("plain"), ch}
	q.declare(t, kind)
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return q
}

func (q *plainQueue) declare(t testing.TB, kind string) {
	t.Helper()
	_, err := q.ch.QueueDeclare(q.name, true, false, false, false, amqp.Table{amqp.QueueTypeArg: kind})
	if err == nil {
		err = q.ch.ExchangeDeclare(q.name+"-x", amqp.ExchangeTopic, true, false, false, false, nil)
	}
	if err == nil {
		err = q.ch.QueueBind(q.name, "#", q.name+"-x", false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publish puts messages into the queue and waits for their confirmation.
func (q *plainQueue) publish(t testing.TB, key string, messages ...amqp.Publishing) {
	t.Helper()
	var last []*amqp.DeferredConfirmation
	for _, m := range messages {
		m.DeliveryMode = amqp.Persistent
		c, err := q.ch.PublishWithDeferredConfirm(q.name+"-x", key, true, false, m)
		if err != nil {
			t.Fatal(err)
		}
		last = append(last, c)
	}
	for _, c := range last {
		if ok, err := c.WaitContext(testContext(t)); err != nil || !ok {
			t.Fatalf("publish: %v, confirmed: %v", err, ok)
		}
	}
}

// fill publishes n messages whose class goes around.
func (q *plainQueue) fill(t testing.TB, n int) {
	t.Helper()
	const chunk = 1000
	var all []*amqp.DeferredConfirmation
	for i := range n {
		c, err := q.ch.PublishWithDeferredConfirm(q.name+"-x", "some."+classNames[i%len(classNames)], true, false,
			amqp.Publishing{MessageId: fmt.Sprint("m-", i), DeliveryMode: amqp.Persistent, Body: []byte("body")})
		if err != nil {
			t.Fatal(err)
		}
		if all = append(all, c); len(all) >= chunk || i == n-1 {
			for _, c := range all {
				if ok, err := c.WaitContext(testContext(t)); err != nil || !ok {
					t.Fatalf("publish: %v, confirmed: %v", err, ok)
				}
			}
			all = nil
		}
	}
}

// source returns what opens the queue as a source.
func (q *plainQueue) source(t testing.TB) func(int) broker.Source {
	c := connectRabbit(t)
	return func(inHand int) broker.Source { return c.Source(q.name, inHand) }
}

// depth returns how many messages the queue has when nobody consumes it.
func (q *plainQueue) depth(t testing.TB) int {
	t.Helper()
	state, err := q.ch.QueueDeclarePassive(q.name, true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	return state.Messages
}

// plainStream is an existing stream.
type plainStream struct {
	name string
	nc   *natsgo.Conn
	js   jetstream.JetStream
}

func newPlainStream(t testing.TB, s *natstest.Server, retention jetstream.RetentionPolicy) *plainStream {
	t.Helper()
	nc, err := natsgo.Connect(s.URL(), natsgo.MaxReconnects(-1), natsgo.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	p := &plainStream{newName("PLAIN"), nc, js}
	if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{
		Name: p.name, Subjects: []string{p.name + ".>"}, Retention: retention, AllowRollup: true, AllowMsgTTL: true,
	}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plainStream) publish(t testing.TB, subject string, h natsgo.Header, body string) {
	t.Helper()
	m := &natsgo.Msg{Subject: p.name + "." + subject, Header: h, Data: []byte(body)}
	if _, err := p.js.PublishMsg(testContext(t), m); err != nil {
		t.Fatal(err)
	}
}

func (p *plainStream) fill(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		p.publish(t, "some."+classNames[i%len(classNames)], natsgo.Header{"Nats-Msg-Id": {fmt.Sprint("m-", i)}}, "body")
	}
}

// source returns what opens the stream as a source. What a server that is killed had
// handed out comes again after ackWait.
func (p *plainStream) source(t testing.TB, s *natstest.Server, ackWait time.Duration) func(int) broker.Source {
	c := connectNATS(t, s)
	durable := "overtake-relay-" + strings.ToLower(p.name)
	return func(inHand int) broker.Source {
		return c.StreamSource(nats.StreamConfig{Stream: p.name, Durable: durable, Window: inHand, AckWait: ackWait})
	}
}
