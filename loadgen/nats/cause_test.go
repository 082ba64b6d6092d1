package nats

import (
	"errors"
	"fmt"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestCauses(t *testing.T) {
	for want, err := range map[string]error{
		"timeout":    jetstream.ErrAsyncPublishTimeout,
		"unroutable": jetstream.ErrNoStreamResponse,
		"connection": fmt.Errorf("publish: %w", natsgo.ErrDisconnected),
		"nacked":     errors.New("maximum messages exceeded"),
	} {
		if got := causeOf(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}
