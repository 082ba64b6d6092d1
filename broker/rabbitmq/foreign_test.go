package rabbitmq

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"overtake/broker"
)

// A copy of a message that fills a frame would not fit into one, for which the
// server closes the connection.
func TestForeignHeaderThatFillsAFrame(t *testing.T) {
	t.Parallel()
	tiny := make(amqp.Table)
	for i := range 8_000 {
		tiny[fmt.Sprintf("%010d", i)] = ""
	}
	for name, headers := range map[string]amqp.Table{
		"one value":   {"big": strings.Repeat("h", 130_900), "small": "s"},
		"many values": tiny,
		"a list":      {"big": []any{amqp.Table{"x": strings.Repeat("h", 130_900)}}, "small": "s"},
	} {
		for verb, settle := range map[string]func(*broker.Delivery) error{
			"why":       func(d *broker.Delivery) error { return d.Dead(testContext(t), "why") },
			"too large": func(d *broker.Delivery) error { return d.Retry(testContext(t), time.Millisecond) },
		} {
			q := open(t, connect(t), QueueConfig{})
			control(t, q, func(ch *amqp.Channel) error {
				return ch.Publish(q.cfg.Name, "batch", true, false, amqp.Publishing{MessageId: "m", Headers: maps.Clone(headers), Body: []byte("x")})
			})
			c := consumer(t, q)
			if err := settle(next(t, c, "batch", "m", 1)); err != nil {
				t.Fatal(name, verb, err)
			}
			letters, err := q.DeadLetters(testContext(t), 2)
			if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, verb) || string(letters[0].Body) != "x" ||
				letters[0].Class != "batch" || name != "many values" && letters[0].Header.Get("small") != "s" {
				t.Errorf("%s: %d dead letters, %v; want one for %q", name, len(letters), err, verb)
			}
		}
	}
}

// The client library takes no list of more values, and loses the connection.
func TestListThatCannotBeRead(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{})
	p := publisher(t, q)
	for n, want := range map[int]error{maxValues: nil, maxValues + 1: broker.ErrTooLarge} {
		m := &broker.Message{ID: "m", Class: "batch", Header: broker.Header{"list": make([]string, n)}}
		if err := p.Publish(testContext(t), m); !errors.Is(err, want) {
			t.Errorf("%d values: %v, want %v", n, err, want)
		}
	}
	done(t, next(t, consumer(t, q), "batch", "m", 1))
}

// One that can't be replayed does not hold up those behind it.
func TestReplayGoesPastForeignLetters(t *testing.T) {
	t.Parallel()
	q := open(t, connect(t), QueueConfig{})
	for _, id := range []string{"a b", "m", "c d"} {
		control(t, q, func(ch *amqp.Channel) error {
			return ch.Publish("", q.name(deadName), true, false, amqp.Publishing{
				MessageId: id, Headers: amqp.Table{broker.HeaderClass: "batch"},
			})
		})
	}
	waitForDepth(t, q, "0 0 0 3")
	n, err := q.Replay(testContext(t), func(*broker.DeadLetter) bool { return true })
	if n != 1 || !errors.Is(err, broker.ErrInvalid) || !strings.Contains(err.Error(), "a b") {
		t.Errorf("replayed %d, %v; want 1, and that a b stays", n, err)
	}
	waitForDepth(t, q, "0 0 1 2") // what goes back or was acknowledged is counted late
	if letters, err := q.DeadLetters(testContext(t), 3); len(letters) != 2 {
		t.Errorf("%d dead letters left, %v; want 2", len(letters), err)
	}
}
