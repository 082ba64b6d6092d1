package nats

import (
	"context"
	"fmt"

	natsgo "github.com/nats-io/nats.go"

	"overtake/loadgen"
)

// core is the way of messages without a stream.
type core struct {
	publisher    *natsgo.Conn
	subscription *natsgo.Subscription
}

// openCore subscribes to the subject. It is in no queue group, which would share the
// messages with whoever is in it: those that are subscribed get them, too.
func openCore(e loadgen.Endpoint, publisher, consumer *natsgo.Conn) (*core, error) {
	sub, err := consumer.SubscribeSync(e.Subject)
	if err == nil {
		// What consumers are too slow for is theirs to wait for, not to be lost.
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = consumer.FlushTimeout(askTimeout) // the server knows the subscription
	}
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", e.Subject, err)
	}
	return &core{publisher, sub}, nil
}

func (c *core) publish(m *natsgo.Msg) error { return c.publisher.PublishMsg(m) }

func (c *core) receive(ctx context.Context, work func(*message)) {
	for {
		m, err := c.subscription.NextMsgWithContext(ctx)
		if err != nil { // ctx has ended: the subscription outlives the connection
			return
		}
		work(&message{id: m.Header.Get(natsgo.MsgIdHdr)})
	}
}

// cleanUp has nothing to do: what is left ends with the connection.
func (c *core) cleanUp(func(string) bool) error { return nil }
