//go:build e2e

package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

// relayed is how many messages a relay moves in these tests.
const relayed = 10_000

var relayClasses = []string{"interactive", "standard", "batch"}

// relayPair is a server of each kind, with 10,000 messages in a plain queue on one
// and in a plain stream on the other.
type relayPair struct {
	conn *amqp.Connection
	ch   *amqp.Channel
	js   jetstream.JetStream
	// file has the relays: to-nats and to-rabbit, alone.
	file map[string]string
}

func newRelayPair(t *testing.T) *relayPair {
	t.Helper()
	rabbit, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rabbit.Close)
	far := natstest.Start(t, natstest.Options{})
	conn, err := amqp.Dial(rabbit.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &relayPair{conn: conn, file: map[string]string{}}
	if p.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	nc, err := natsgo.Connect(far.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if p.js, err = jetstream.New(nc); err != nil {
		t.Fatal(err)
	}
	p.fillQueue(t)
	p.fillStream(t)
	for name, lines := range map[string]string{
		"to-nats":   "queues: {jobs: {broker: far}}\nrelays: [{name: in, from: {broker: rabbit, queue: orders}}]\n",
		"to-rabbit": "queues: {jobs: {broker: rabbit}}\nrelays: [{name: in, from: {broker: far, stream: ORDERS, subject: \"orders.>\"}}]\n",
	} {
		p.file[name] = writeConfig(t, fmt.Sprintf(`
brokers:
  rabbit: {type: rabbitmq, url: %q}
  far: {type: nats, url: %q}
rules:
  - {class: interactive, match: {path: "/orders.interactive", methods: [MESSAGE]}}
  - {class: batch, match: {headers: {kind: bulk}}}
%s`, rabbit.URL(), far.URL(), lines))
	}
	return p
}

// relayMessage returns the class, ID and kind header of message i.
func relayMessage(i int) (class, id, kind string) {
	class = relayClasses[i%3]
	return class, fmt.Sprint(class, "-", i), map[string]string{"batch": "bulk"}[class]
}

func (p *relayPair) fillQueue(t *testing.T) {
	t.Helper()
	if _, err := p.ch.QueueDeclare("orders", true, false, false, false, amqp.Table{amqp.QueueTypeArg: "quorum"}); err != nil {
		t.Fatal(err)
	}
	if err := p.ch.ExchangeDeclare("shop", "topic", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.ch.QueueBind("orders", "orders.#", "shop", false, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	var last *amqp.DeferredConfirmation
	for i := range relayed {
		class, id, kind := relayMessage(i)
		c, err := p.ch.PublishWithDeferredConfirm("shop", "orders."+class, true, false, amqp.Publishing{
			MessageId: id, Headers: amqp.Table{"kind": kind}, DeliveryMode: amqp.Persistent, Body: []byte("body"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if last = c; i%500 == 0 {
			last.Wait()
		}
	}
	last.Wait()
	eventually(t, "the queue is filled", func() bool { return p.depth(t, "orders") == relayed })
}

func (p *relayPair) fillStream(t *testing.T) {
	t.Helper()
	if _, err := p.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders.>"}}); err != nil {
		t.Fatal(err)
	}
	for i := range relayed {
		class, id, kind := relayMessage(i)
		m := &natsgo.Msg{Subject: "orders." + class, Header: natsgo.Header{"Nats-Msg-Id": {id}, "kind": {kind}}, Data: []byte("body")}
		if _, err := p.js.PublishMsgAsync(m); err != nil {
			t.Fatal(err)
		}
	}
	<-p.js.PublishAsyncComplete()
	if s, err := p.js.Stream(t.Context(), "ORDERS"); err != nil || s.CachedInfo().State.Msgs != relayed {
		t.Fatalf("the stream is not filled: %v", err)
	}
}

// depth returns how many messages wait in queues, 0 in one that is not there.
func (p *relayPair) depth(t *testing.T, queues ...string) (n int) {
	t.Helper()
	for _, queue := range queues {
		ch, err := p.conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		state, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		var answer *amqp.Error
		if errors.As(err, &answer) && answer.Code == amqp.NotFound {
			continue
		}
		if err == nil {
			err = ch.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		n += state.Messages
	}
	return n
}

// stored returns how many messages streams have, 0 for one that is not there.
func (p *relayPair) stored(t *testing.T, streams ...string) (n int) {
	t.Helper()
	for _, name := range streams {
		s, err := p.js.Stream(t.Context(), name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n += int(s.CachedInfo().State.Msgs)
	}
	return n
}

// onNATS returns the IDs in a lane, and onRabbitMQ in another one, in order.
func (p *relayPair) onNATS(t *testing.T, class string) (ids []string) {
	t.Helper()
	c, err := p.js.Consumer(t.Context(), "jobs_"+class, "overtake")
	if err != nil {
		t.Fatal(err)
	}
	for {
		batch, err := c.FetchNoWait(relayed)
		if err != nil {
			t.Fatal(err)
		}
		n := len(ids)
		for m := range batch.Messages() {
			ids = append(ids, m.Headers().Get("Nats-Msg-Id"))
		}
		if len(ids) == n {
			return ids
		}
	}
}

func (p *relayPair) onRabbitMQ(t *testing.T, class string) (ids []string) {
	t.Helper()
	for {
		m, ok, err := p.ch.Get("jobs."+class, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return ids
		}
		ids = append(ids, m.MessageId)
	}
}

// checkRelayed checks that each message is in the lane of its class, once and in order,
// or, if relays were killed, in any: what these had in hand, the source gives out when
// it knows that they are gone. With repeats, each is there at least once.
func checkRelayed(t *testing.T, class string, ids []string, killed, repeats bool) {
	t.Helper()
	var want []string
	for i := range relayed {
		if c, id, _ := relayMessage(i); c == class {
			want = append(want, id)
		}
	}
	if killed {
		slices.Sort(want)
		slices.Sort(ids)
	}
	if repeats {
		t.Logf("%s: %d repeats among %d messages", class, len(ids)-len(want), len(ids))
		ids = slices.Compact(ids)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("%s: %d messages, want %d, the same", class, len(ids), len(want))
		for i := range min(len(ids), len(want)) {
			if ids[i] != want[i] {
				t.Errorf("%d: %q, want %q", i, ids[i:min(i+4, len(ids))], want[i:min(i+4, len(want))])
				break
			}
		}
	}
}

// A relay is killed with kill -9 again and again, and the last one moves the rest:
// nothing is lost, and repeats have the same ID.
func TestE2ERelayIsKilled(t *testing.T) {
	p := newRelayPair(t)
	for _, way := range []struct {
		name    string
		moved   func() int
		ids     func(*testing.T, string) []string
		repeats bool // which NATS recognizes
	}{
		{"to-nats", func() int { return p.stored(t, "jobs_interactive", "jobs_standard", "jobs_batch") }, p.onNATS, false},
		{"to-rabbit", func() int { return p.depth(t, "jobs.interactive", "jobs.standard", "jobs.batch") }, p.onRabbitMQ, true},
	} {
		t.Run(way.name, func(t *testing.T) {
			for kills := 1; kills <= 3; kills++ {
				r := start(t, "relay", "-c", p.file[way.name])
				eventually(t, "it moves", func() bool { return way.moved() >= kills*relayed/5 })
				r.kill(t)
				if n := way.moved(); n >= relayed {
					t.Fatalf("%d messages were moved before kill %d", n, kills)
				}
			}
			if r := runProgram(t, nil, "relay", "-c", p.file[way.name], "--until-empty"); r.code != exitOK {
				t.Fatalf("exited with %d:\n%s", r.code, r.stderr)
			}
			for _, class := range relayClasses {
				checkRelayed(t, class, way.ids(t, class), true, way.repeats)
			}
		})
	}
	if n := p.depth(t, "orders"); n != 0 {
		t.Errorf("%d messages are left at the source", n)
	}
}

// SIGTERM finishes what is in hand: the next relay goes on behind it, and nothing
// comes twice or out of order.
func TestE2ERelayIsStopped(t *testing.T) {
	p := newRelayPair(t)
	r := start(t, "relay", "-c", p.file["to-rabbit"])
	eventually(t, "it moves", func() bool { return p.depth(t, "jobs.batch") >= relayed/10 })
	r.stop(t)
	r.find(t, `relay in: \d+ moved \(interactive \d+, standard \d+, batch \d+\), \d+/s`)
	last := runProgram(t, nil, "relay", "-c", p.file["to-rabbit"], "--until-empty")
	if last.code != exitOK || !strings.Contains(last.stderr, ", 0 waiting\n") {
		t.Fatalf("exited with %d:\n%s", last.code, last.stderr)
	}
	for _, class := range relayClasses {
		checkRelayed(t, class, p.onRabbitMQ(t, class), false, false)
	}
}

// A relay puts into the lanes of the embedded broker while a gateway runs it.
func TestE2ERelayBesideAGateway(t *testing.T) {
	var seen watched
	var ids []string
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen.change(func() { ids = append(ids, r.Header.Get("Idempotency-Key")) })
	}))
	t.Cleanup(app.Close)
	far := natstest.Start(t, natstest.Options{})
	nc, err := natsgo.Connect(far.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "ORDERS", Subjects: []string{"orders"}}); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "b", "c"}
	for _, id := range want {
		if _, err := js.Publish(t.Context(), "orders", []byte("work"), jetstream.WithMsgID(id)); err != nil {
			t.Fatal(err)
		}
	}
	file := writeConfig(t, fmt.Sprintf(`
upstreams: {app: {servers: [%q], limit: {max: 1}}}
brokers: {kept: {type: nats, embedded: true, dir: %q}, far: {type: nats, url: %q}}
queues: {jobs: {broker: kept, deliver: {upstream: app}}}
relays: [{name: in, from: {broker: far, stream: ORDERS}, queue: jobs}]
`, app.URL, t.TempDir(), far.URL()))
	g := runGateway(t, file)
	if r := runProgram(t, nil, "relay", "-c", file, "--until-empty"); r.code != exitOK || !strings.Contains(r.stderr, "3 moved") {
		t.Fatalf("the relay exited with %d and said %s", r.code, r.stderr)
	}
	if !seen.await(t.Context(), func() bool { return len(ids) >= len(want) }) {
		t.Fatal("the app has not seen all")
	}
	g.stop(t)
	if !slices.Equal(ids, want) {
		t.Errorf("the app saw %q, want %q", ids, want)
	}
}

// The log of a relay is for programs as well.
func TestE2ERelayLogFormat(t *testing.T) {
	file := writeFile(t, `brokers: {far: {type: nats, url: "nats://127.0.0.1:1"}}
queues: {jobs: {broker: far}}
relays: [{from: {broker: far, subject: a}, queue: jobs}]
`)
	start(t, "relay", "-c", file, "--log-format", "json").find(t,
		`(?m)^\{"time":.*"level":"WARN","msg":"nats: can't be reached, trying on","broker":"far"`)
}
