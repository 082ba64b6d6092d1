package relay_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq"
	"overtake/broker/relay"
)

const many = 3000

// Every message arrives once, in its class, and in order, whichever way it goes.
func TestMoves(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	for name, way := range map[string]func(t *testing.T) (lanes, func(int) broker.Source){
		"RabbitMQ to NATS": func(t *testing.T) (lanes, func(int) broker.Source) {
			q := newPlainQueue(t, rabbitmq.Classic)
			q.fill(t, many)
			return natsLanes(t, s, nats.QueueConfig{}), q.source(t)
		},
		"RabbitMQ to RabbitMQ": func(t *testing.T) (lanes, func(int) broker.Source) {
			q := newPlainQueue(t, rabbitmq.Quorum)
			q.fill(t, many)
			return rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic}), q.source(t)
		},
		"NATS to RabbitMQ": func(t *testing.T) (lanes, func(int) broker.Source) {
			p := newPlainStream(t, s, jetstream.WorkQueuePolicy)
			p.fill(t, many)
			return rabbitLanes(t, rabbitmq.QueueConfig{}), p.source(t, s, patience)
		},
		"NATS to NATS": func(t *testing.T) (lanes, func(int) broker.Source) {
			p := newPlainStream(t, s, jetstream.LimitsPolicy)
			p.fill(t, many)
			return natsLanes(t, s, nats.QueueConfig{}), p.source(t, s, patience)
		},
	} {
		t.Run(name, func(t *testing.T) {
			to, source := way(t)
			p := runUntilEmpty(t, config(t, to, source))
			want := numbered(many)
			for _, class := range classNames {
				if int(p.Moved[class]) != len(want[class]) {
					t.Errorf("%d of %s moved, want %d", p.Moved[class], class, len(want[class]))
				}
				sameOrder(t, class, to.order(t, class, len(want[class])), want[class])
			}
			to.empty(t)
			if p.Waiting != 0 || p.Dead != 0 || p.Left != 0 {
				t.Errorf("in the end %+v", p)
			}
			// And nothing is left to move again.
			if p := runUntilEmpty(t, config(t, to, source)); len(p.Moved) != 3 || p.Moved["standard"] != 0 {
				t.Errorf("a second relay moved %v", p.Moved)
			}
		})
	}
}

// full is a message with every property.
func full() amqp.Publishing {
	return amqp.Publishing{
		MessageId: "full", ContentType: "text/plain", ContentEncoding: "gzip", CorrelationId: "c1", ReplyTo: "answers",
		Type: "order", AppId: "shop", UserId: "guest", Timestamp: time.Unix(1_700_000_000, 0), Priority: 9, Expiration: "60000",
		Headers: amqp.Table{"tenant": "acme", "n": int32(7), "CC": []any{"elsewhere"}, "x-death": []any{amqp.Table{"count": int64(3)}}, "bad name": "a\nb"},
		Body:    []byte("body"),
	}
}

// kept is what has to be left of full in the header of a message.
var kept = map[string]string{
	"content-type": "text/plain", "content-encoding": "gzip", "correlation-id": "c1", "reply-to": "answers", "message-type": "order",
	"app-id": "shop", "user-id": "guest", "message-timestamp": "1700000000000", "message-priority": "9",
	"tenant": "acme", "n": "7", "bad_name": "a b", "latency-class": "interactive",
}

func checkKept(t *testing.T, h broker.Header, before time.Time) {
	t.Helper()
	for name, want := range kept {
		if got := h.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	ms, err := strconv.ParseInt(h.Get(broker.HeaderDeadline), 10, 64)
	if deadline := time.UnixMilli(ms); err != nil || deadline.Before(before) || deadline.After(time.Now().Add(time.Minute)) {
		t.Errorf("deadline %v, want one within the minute that the message had to live", deadline)
	}
	for name := range h {
		if _, ok := kept[name]; !ok && name != broker.HeaderDeadline {
			t.Errorf("%s: %q was not sent, or should have been left out", name, h[name])
		}
	}
}

func TestPropertiesToNATS(t *testing.T) {
	before := time.Now()
	q := newPlainQueue(t, rabbitmq.Classic)
	q.publish(t, "orders", full())
	to := natsLanes(t, natstest.Start(t, natstest.Options{}), nats.QueueConfig{})
	runUntilEmpty(t, config(t, to, q.source(t)))
	d := to.take(t, "interactive", 1)[0]
	if d.ID != "full" || string(d.Body) != "body" {
		t.Errorf("got %s with body %q", d.ID, d.Body)
	}
	checkKept(t, d.Header, before)
}

func TestPropertiesToRabbitMQ(t *testing.T) {
	before := time.Now()
	q := newPlainQueue(t, rabbitmq.Classic)
	q.publish(t, "orders", full(), full())
	to := rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic, DedupeWindow: time.Nanosecond})
	runUntilEmpty(t, config(t, to, q.source(t)))
	checkKept(t, to.take(t, "interactive", 1)[0].Header, before)

	// As an application sees it that consumes the lane without Overtake.
	lane := to.queue + ".interactive"
	raw, ok, err := q.ch.Get(lane, true)
	if err != nil || !ok {
		t.Fatalf("get from %s: %v, %v", lane, ok, err)
	}
	want := full()
	for name, pair := range map[string][2]string{
		"content type": {raw.ContentType, want.ContentType}, "encoding": {raw.ContentEncoding, want.ContentEncoding},
		"correlation": {raw.CorrelationId, want.CorrelationId}, "reply to": {raw.ReplyTo, want.ReplyTo}, "type": {raw.Type, want.Type},
		"app": {raw.AppId, want.AppId}, "user": {raw.UserId, ""}, "expiration": {raw.Expiration, ""},
		"timestamp": {fmt.Sprint(raw.Timestamp.Unix()), fmt.Sprint(want.Timestamp.Unix())}, "id": {raw.MessageId, want.MessageId},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %q, want %q", name, pair[0], pair[1])
		}
	}
}

// What the server of the source should do with a message, that of the destination
// should not do again.
func TestPropertiesFromNATS(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	p := newPlainStream(t, s, jetstream.LimitsPolicy)
	p.publish(t, "a", natsgo.Header{
		"Nats-Msg-Id": {"one"}, "Nats-Expected-Last-Sequence": {"0"}, "Nats-Rollup": {"sub"}, "Nats-TTL": {"1h"},
		"Content-Type": {"text/plain"}, "Tenant": {"acme", "other"}, "Reply-To": {"answers"},
	}, "body")
	p.publish(t, "a", nil, "no ID")
	p.publish(t, "a", natsgo.Header{"Nats-Msg-Id": {"an ID with spaces"}}, "bad ID")
	for _, to := range []lanes{rabbitLanes(t, rabbitmq.QueueConfig{}), natsLanes(t, s, nats.QueueConfig{})} {
		source := p.source(t, s, patience)
		runUntilEmpty(t, config(t, to, source))
		got := to.take(t, "standard", 3)
		want := broker.Header{
			"content-type": {"text/plain"}, "Tenant": {"acme", "other"}, "reply-to": {"answers"}, "latency-class": {"standard"},
		}
		if got[0].ID != "one" || !maps.EqualFunc(got[0].Header, want, slices.Equal) {
			t.Errorf("got %s with %q, want %q", got[0].ID, got[0].Header, want)
		}
		if got[1].ID != p.name+"-2" {
			t.Errorf("the ID of one that has none is %q, want that of its place", got[1].ID)
		}
		if len(got[2].ID) != 64 || string(got[2].Body) != "bad ID" {
			t.Errorf("the ID of one that has a bad one is %q", got[2].ID)
		}
		if err := p.js.DeleteConsumer(testContext(t), p.name, "overtake-relay-"+strings.ToLower(p.name)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMessagesWithoutAnID(t *testing.T) {
	q := newPlainQueue(t, rabbitmq.Classic)
	alike := amqp.Publishing{Body: []byte("alike")}
	q.publish(t, "a", alike, alike, alike, amqp.Publishing{MessageId: "an ID with spaces"}, amqp.Publishing{MessageId: "an ID with spaces"})
	to := natsLanes(t, natstest.Start(t, natstest.Options{}), nats.QueueConfig{})
	runUntilEmpty(t, config(t, to, q.source(t)))
	// Three that are alike are three; two with the same ID are one, also if it is
	// none for Overtake.
	unique := ids(to.take(t, "standard", 4))
	slices.Sort(unique)
	if len(slices.Compact(unique)) != 4 {
		t.Errorf("IDs %q, want four", unique)
	}
	to.empty(t)
}

// A class that a message came with may lower it, and may raise it only if it is
// trusted.
func TestTrust(t *testing.T) {
	for trust, want := range map[bool]map[string]string{
		false: {"up": "batch", "down": "batch", "odd": "batch"},
		true:  {"up": "interactive", "down": "batch", "odd": "batch"},
	} {
		q := newPlainQueue(t, rabbitmq.Classic)
		claim := func(id, class string) amqp.Publishing {
			return amqp.Publishing{MessageId: id, Headers: amqp.Table{"latency-class": class}}
		}
		q.publish(t, "a.batch", claim("up", "interactive"), claim("odd", "none of ours"))
		q.publish(t, "a.interactive", claim("down", "batch"))
		to := rabbitLanes(t, rabbitmq.QueueConfig{Type: rabbitmq.Classic})
		cfg := config(t, to, q.source(t))
		cfg.Trust = trust
		p := runUntilEmpty(t, cfg)
		got := map[string]string{}
		for class, n := range p.Moved {
			for _, d := range to.take(t, class, int(n)) {
				got[d.ID] = class
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("trust %v: %v, want %v", trust, got, want)
		}
	}
}

// What the destination can't take becomes a dead letter; what is too large even for
// that stays where it is. Neither holds up anything.
func TestTooLarge(t *testing.T) {
	s := natstest.Start(t, natstest.Options{}) // whose max_payload is 1 MiB
	large := amqp.Publishing{MessageId: "m", Body: make([]byte, 100<<10)}
	for name, c := range map[string]struct {
		message amqp.Publishing
		to      lanes
		dead    bool
	}{
		"for the lane, NATS":     {large, natsLanes(t, s, nats.QueueConfig{MaxBytes: 64 << 10}), true},
		"for the lane, RabbitMQ": {large, rabbitLanes(t, rabbitmq.QueueConfig{MaxMessage: 64 << 10}), true},
		"for all, NATS":          {amqp.Publishing{MessageId: "m", Body: make([]byte, 2<<20)}, natsLanes(t, s, nats.QueueConfig{}), false},
		"for all, RabbitMQ": { // escaped, the name is too long
			amqp.Publishing{MessageId: "m", Headers: amqp.Table{strings.Repeat("x", 250): "v"}}, rabbitLanes(t, rabbitmq.QueueConfig{}), false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := newPlainQueue(t, rabbitmq.Classic)
			q.publish(t, "a", c.message, amqp.Publishing{MessageId: "small"})
			r := newRelay(t, config(t, c.to, q.source(t)))
			err := r.Run(testContext(t))
			sameOrder(t, "standard", ids(c.to.take(t, "standard", 1)), []string{"small"})
			dead, left := c.to.dead(), q.depth(t)
			if c.dead && (err != nil || left != 0 || len(dead) != 1 || dead[0].ID != "m" || r.Progress().Dead != 1) {
				t.Errorf("%v, %d at the source, %d dead; want it among the dead letters", err, left, len(dead))
			}
			if !c.dead && (!errors.Is(err, relay.ErrLeft) || left != 1 || len(dead) != 0) {
				t.Errorf("%v, %d at the source, %d dead; want it left at the source", err, left, len(dead))
			}
		})
	}
}

func TestSourceThatDoesNotExist(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	to := natsLanes(t, s, nats.QueueConfig{})
	rc, nc := connectRabbit(t), connectNATS(t, s)
	for _, open := range []func(int) broker.Source{
		func(int) broker.Source { return rc.Source("no-such-queue", 10) },
		func(int) broker.Source {
			return nc.StreamSource(nats.StreamConfig{Stream: "NONE", Durable: "d", Window: 10})
		},
	} {
		cfg := config(t, to, open)
		cfg.UntilEmpty = false
		if err := newRelay(t, cfg).Run(testContext(t)); err == nil || errors.Is(err, broker.ErrUnavailable) {
			t.Errorf("error %v, want that there is none", err)
		}
	}
}

// What is published to a subject while the relay runs is moved, also what had come
// and was not taken when it was told to stop.
func TestSubject(t *testing.T) {
	s := natstest.Start(t, natstest.Options{})
	to := natsLanes(t, s, nats.QueueConfig{})
	c := connectNATS(t, s)
	source, err := c.SubjectSource("events.>", "relays")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, to, func(int) broker.Source { return source })
	cfg.UntilEmpty = false
	r := newRelay(t, cfg)
	stop, _ := start(t, r)
	nc, err := natsgo.Connect(s.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The subscription was made before: what follows it on another connection
	// reaches it once the server has handled both.
	if err := c.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := nc.PublishRequest("events.batch", "answers", fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(testContext(t)); err != nil { // what came is in the client
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i, d := range to.take(t, "batch", 100) {
		if string(d.Body) != fmt.Sprint(i) || d.Header.Get("reply-to") != "answers" {
			t.Fatalf("message %d: %q, %q", i, d.Body, d.Header)
		}
	}
}
