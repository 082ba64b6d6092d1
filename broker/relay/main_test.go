package relay_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"
	"go.uber.org/goleak"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/broker/relay"
	"overtake/classifier"
)

// patience bounds a broken run and decides nothing.
const patience = 2 * time.Minute

// rabbit is the RabbitMQ of all tests, each of which has queues of its own.
var rabbit *rabbitmqtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	if flag.Lookup("test.list").Value.String() != "" { // which needs no server
		os.Exit(m.Run())
	}
	var err error
	if rabbit, err = rabbitmqtest.Start(rabbitmqtest.Config{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		rabbit.Close()
		os.Exit(code)
	}), goleak.IgnoreCurrent())
}

var classNames = []string{"interactive", "standard", "batch"}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	t.Cleanup(cancel)
	return ctx
}

var quiet = slog.New(slog.DiscardHandler)

var numbers atomic.Int64

func newName(prefix string) string { return fmt.Sprint(prefix, numbers.Add(1)) }

// closing closes something in the end.
func closing(t testing.TB, what func(context.Context) error) {
	t.Cleanup(func() {
		if err := what(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// lanes is a destination.
type lanes struct {
	queue    string // its name if it is on RabbitMQ
	sender   broker.Sender
	consumer broker.Consumer
	dead     func() []broker.Message
}

func connectRabbit(t testing.TB) *rabbitmq.Conn {
	t.Helper()
	c, err := rabbitmq.Connect(rabbitmq.ConnConfig{URL: rabbit.URL(), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, c.Close)
	return c
}

func rabbitLanes(t testing.TB, cfg rabbitmq.QueueConfig) lanes {
	t.Helper()
	cfg.Name, cfg.Classes = newName("lanes"), classNames
	q, err := connectRabbit(t).OpenQueue(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, c := q.Publisher(), q.Consumer()
	closing(t, p.Close)
	closing(t, c.Close)
	return lanes{cfg.Name, p, c, func() (dead []broker.Message) {
		letters, err := q.DeadLetters(testContext(t), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			dead = append(dead, l.Message)
		}
		return dead
	}}
}

func connectNATS(t testing.TB, s *natstest.Server) *nats.Conn {
	t.Helper()
	c, err := nats.Connect(nats.ConnConfig{URLs: []string{s.URL()}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, c.Close)
	return c
}

func natsLanes(t testing.TB, s *natstest.Server, cfg nats.QueueConfig) lanes {
	t.Helper()
	cfg.Name, cfg.Classes = newName("lanes"), classNames
	q, err := connectNATS(t, s).OpenQueue(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	p, c := q.Publisher(), q.Consumer()
	closing(t, p.Close)
	closing(t, c.Close)
	return lanes{"", p, c, func() (dead []broker.Message) {
		letters, err := q.DeadLetters(testContext(t), 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range letters {
			dead = append(dead, l.Message)
		}
		return dead
	}}
}

// config returns a relay's configuration: messages whose address ends in a class
// have that class.
func config(t testing.TB, to lanes, open func(int) broker.Source) relay.Config {
	t.Helper()
	classes, err := classifier.NewClasses(classNames...)
	if err != nil {
		t.Fatal(err)
	}
	var rules []classifier.Rule
	for i, name := range classNames {
		rules = append(rules, classifier.Rule{Name: name, Class: classifier.Class(i), Match: classifier.Match{
			Methods: []string{relay.Method}, Path: "/*." + name,
		}})
	}
	rules = append(rules, classifier.Rule{Name: "urgent", Class: 0, Match: classifier.Match{Headers: map[string]string{"priority": "9"}}})
	decider, err := classifier.New(classifier.Config{Classes: classes, Default: 1, Rules: rules})
	if err != nil {
		t.Fatal(err)
	}
	return relay.Config{
		Name: "test", Open: func(inHand int) (broker.Source, error) { return open(inHand), nil },
		Destination: to.sender, Classifier: decider, Classes: classes, UntilEmpty: true, Logger: quiet,
	}
}

func newRelay(t testing.TB, cfg relay.Config) *relay.Relay {
	t.Helper()
	r, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a relay until the function that it returns is called, which returns
// its error, or until the relay ends by itself.
func start(t testing.TB, r *relay.Relay) (stop, ended func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	result := make(chan error, 1)
	var once sync.Once
	var err error
	wait := func() error {
		once.Do(func() { err = <-result })
		return err
	}
	go func() { result <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		_ = wait() // judged by the test, if it came to that
	})
	return func() error { cancel(); return wait() }, wait
}

// runUntilEmpty runs a relay to its end.
func runUntilEmpty(t testing.TB, cfg relay.Config) relay.Progress {
	t.Helper()
	r := newRelay(t, cfg)
	if err := r.Run(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return r.Progress()
}

// take takes n messages of a class from the lanes.
func (l lanes) take(t testing.TB, class string, n int) []*broker.Delivery {
	t.Helper()
	ctx := testContext(t)
	var all []*broker.Delivery
	for len(all) < n {
		d, err := l.consumer.Next(ctx, class)
		if err != nil {
			t.Fatalf("after %d of %d messages of %s: %v", len(all), n, class, err)
		}
		if err := d.Done(ctx); err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// order takes n messages of a class from the lanes and returns their IDs in order. On
// RabbitMQ it does not use our consumer, whose channel has several consumers that
// take turns.
func (l lanes) order(t testing.TB, class string, n int) (all []string) {
	t.Helper()
	if l.queue == "" {
		return ids(l.take(t, class, n))
	}
	conn, err := amqp.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume(l.queue+"."+class, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	for ctx := testContext(t); len(all) < n; {
		select {
		case d := <-deliveries:
			all = append(all, d.MessageId)
		case <-ctx.Done():
			t.Fatalf("%d of %d messages of %s came", len(all), n, class)
		}
	}
	return all
}

func ids(deliveries []*broker.Delivery) []string {
	var all []string
	for _, d := range deliveries {
		all = append(all, d.ID)
	}
	return all
}

// takeUnique takes n different messages of a class from the lanes, and the others
// between them, and returns the different ones in the order of their first coming.
func (l lanes) takeUnique(t testing.TB, class string, n int) []string {
	t.Helper()
	ctx := testContext(t)
	var all []string
	seen := map[string]bool{}
	for len(all) < n {
		d, err := l.consumer.Next(ctx, class)
		if err != nil {
			t.Fatalf("after %d of %d messages of %s: %v", len(all), n, class, err)
		}
		if err := d.Done(ctx); err != nil && !errors.Is(err, broker.ErrUnavailable) {
			t.Fatal(err)
		}
		if !seen[d.ID] {
			seen[d.ID] = true
			all = append(all, d.ID)
		}
	}
	return all
}

// empty checks that nothing is left in the lanes.
func (l lanes) empty(t testing.TB) {
	t.Helper()
	ctx := testContext(t)
	for _, class := range classNames {
		id := newName("last-")
		wait, err := l.sender.Send(ctx, &broker.Message{ID: id, Class: class})
		if err == nil {
			err = wait(ctx)
		}
		if err != nil {
			t.Fatal(err)
		}
		if d := l.take(t, class, 1)[0]; d.ID != id {
			t.Errorf("%s is in lane %s, which should be empty", d.ID, class)
		}
	}
}

// numbered returns the IDs of n messages whose class goes around, by class.
func numbered(n int) map[string][]string {
	all := map[string][]string{}
	for i := range n {
		class := classNames[i%len(classNames)]
		all[class] = append(all[class], fmt.Sprint("m-", i))
	}
	return all
}

func sameOrder(t testing.TB, class string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d messages, want %d", class, len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("%s: message %d is %s, want %s", class, i, got[i], want[i])
		}
	}
}

func sameSet(t testing.TB, class string, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %d messages, want %d, and the same", class, len(got), len(want))
	}
}

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

// eventually waits for what happens in another process.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx := testContext(t); !holds(); {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not %s after %v", what, patience)
		}
	}
}

// moved returns how many messages a relay has moved.
func moved(r *relay.Relay) (n int) {
	for _, m := range r.Progress().Moved {
		n += int(m)
	}
	return n
}
