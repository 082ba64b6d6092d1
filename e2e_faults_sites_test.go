//go:build e2e

package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"overtake/broker"
)

func faults() []fault {
	const rabbit, far, cluster, embedded = "RabbitMQ", "NATS", "NATS cluster", "embedded NATS"
	return []fault{
		{"broker killed in mid-publish", rabbit, midPublish, true, 0, rabbitSite(killRabbit)},
		{"broker killed in mid-consume", rabbit, midSettle, true, 0, rabbitSite(killRabbit)},
		{"broker killed in mid-publish", far, midPublish, true, 0, natsSite(killNATS)},
		{"broker killed in mid-consume", far, midSettle, true, 0, natsSite(killNATS)},
		{"connection cut in mid-publish", rabbit, midPublish, false, 0, rabbitSite(cutRabbit)},
		{"connection cut in mid-consume", rabbit, midSettle, false, 0, rabbitSite(cutRabbit)},
		{"connection cut in mid-publish", far, midPublish, false, 0, natsSite(cutNATS)},
		{"connection cut in mid-consume", far, midSettle, false, 0, natsSite(cutNATS)},
		{"connection black-holed", rabbit, midPublish, false, 0, rabbitSite(swallowRabbit)},
		{"connection black-holed", far, midPublish, false, 0, natsSite(swallowNATS)},
		{"channels closed by the server", rabbit, midDelivery, false, 0, rabbitSite(closeChannels)},
		{"queues deleted under the consumer", rabbit, atRest, false, 0, rabbitSite(deleteQueues)},
		{"memory alarm", rabbit, midPublish, false, 0, rabbitSite(memoryAlarm)},
		{"gateway killed in mid-publish", embedded, midPublish, true, 0, embeddedSite("sync: interval", nil)},
		{"gateway killed in mid-delivery", embedded, midDelivery, true, 0, embeddedSite("sync: interval", nil)},
		{"gateway killed in mid-settle", embedded, midSettle, true, 0, embeddedSite("sync: interval", nil)},
		{"gateway killed in mid-publish", rabbit, midPublish, true, 0, gatewayOnRabbit},
		{"gateway killed in mid-delivery", rabbit, midDelivery, true, 0, gatewayOnRabbit},
		{"gateway killed in mid-settle", rabbit, midSettle, true, 0, gatewayOnRabbit},
		{"torn last block, `sync: always`", embedded, midPublish, true, 0, embeddedSite("sync: always", tear)},
		{"last block cut short", embedded, midDelivery, true, len(faultClasses), embeddedSite("sync: interval", cutShort)},
		{"disk full", embedded, midPublish, true, 0, diskFull},
		{"node killed", cluster, midPublish, true, 0, clusterSite(false)},
		{"stream leader killed", cluster, midPublish, true, 0, clusterSite(true)},
	}
}

// faultContext bounds one call; it outlives the test's body for the sake of what
// is closed in the end.
func faultContext(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), patience)
}

// A witness is a log that is read once a round.
type witness struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (w *witness) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *witness) logger() *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// has reports whether a part is in what was said and not taken.
func (w *witness) has(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Contains(w.text.String(), part)
}

// take returns what was said since it was called last.
func (w *witness) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}

// adapterSite is the adapter's publisher and consumer in this process.
func adapterSite(t *testing.T, l *ledger, p broker.Publisher, c broker.Consumer) site {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var working sync.WaitGroup
	for _, class := range faultClasses {
		working.Go(func() { consumeFaults(ctx, t, l, c, class) })
	}
	t.Cleanup(func() {
		cancel()
		working.Wait()
		ctx, cancel := faultContext(t)
		defer cancel()
		// Without a broker, as after a failure, neither can be closed in good order.
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := c.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return site{again: true, post: func(class, name string) string {
		ctx, cancel := faultContext(t)
		defer cancel()
		m := &broker.Message{ID: name, Class: class, Body: make([]byte, 256)}
		if p.Publish(ctx, m) != nil {
			return ""
		}
		return name
	}}
}

// consumeFaults handles the messages of a class, some at a time, until ctx ends.
func consumeFaults(ctx context.Context, t *testing.T, l *ledger, c broker.Consumer, class string) {
	slots := make(chan struct{}, killSlots)
	var working sync.WaitGroup
	defer working.Wait()
	for {
		slots <- struct{}{}
		d, err := c.Next(ctx, class)
		if err != nil {
			if ctx.Err() == nil {
				t.Errorf("next of %s: %v", class, err)
			}
			return
		}
		working.Go(func() {
			defer func() { <-slots }()
			note, ok := l.came(ctx, d.ID, d.ID, d.Class)
			if ok && d.Done(ctx) == nil {
				l.done(note)
			}
		})
	}
}
