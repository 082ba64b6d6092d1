package topology

import (
	"context"
	"errors"
	"net"
	"testing"
)

// A broker that takes connections and says nothing holds nobody longer than it wants
// to wait.
func TestPublishersGiveUpOnASilentBroker(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b := openAMQP("amqp://guest:guest@"+ln.Addr().String()+"/", t.Logf)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	outcomes := make(chan error)
	for range 2 { // one dials, one waits for that
		go func() { outcomes <- b.publish(ctx, "orders", nil, nil) }()
	}
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cancel()
	for range 2 {
		if err := <-outcomes; !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want that it was canceled", err)
		}
	}
	if err := b.close(); err != nil {
		t.Error(err)
	}
}
