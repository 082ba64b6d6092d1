//go:build e2e

package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
)

// goalNATS is how much later interactive messages may come beside a backlog, in
// milliseconds.
const goalNATS = 10

// natsClient is a client written by hand, for the streams of one of our queues.
type natsClient struct {
	js    jetstream.JetStream
	queue string
}

func newNATSClient(t *testing.T, url, queue string) *natsClient {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return &natsClient{js, queue}
}

// publish returns a function that publishes to the stream of a class and waits
// for the confirmation.
func (n *natsClient) publish(class string) func(context.Context, string) error {
	return func(ctx context.Context, id string) error {
		_, err := n.js.Publish(ctx, n.queue+"."+class, benchBody, jetstream.WithMsgID(id))
		return err
	}
}

func (n *natsClient) consumer(ctx context.Context, class string) (jetstream.Consumer, error) {
	stream, err := n.js.Stream(ctx, n.queue+"_"+class)
	if err != nil {
		return nil, err
	}
	names := <-stream.ConsumerNames(ctx).Name() // a work queue has one
	return stream.Consumer(ctx, names)
}

// notStalling bounds to a second the time for which Consume may wait for messages
// that it has not asked for: when they come faster than it has finished asking, it
// does not look again (nats.go v1.55.0: pullSubscription.checkPending) until
// heartbeats are missing.
var notStalling = jetstream.PullExpiry(time.Second)

// consume has workers handle and settle the messages of a class.
func (n *natsClient) consume(class string, settle func(context.Context, jetstream.Msg) error) func(context.Context, func(string)) error {
	return func(ctx context.Context, handle func(string)) error {
		lane, err := n.consumer(ctx, class)
		if err != nil {
			return err
		}
		messages := make(chan jetstream.Msg)
		consuming, err := lane.Consume(func(msg jetstream.Msg) {
			select {
			case messages <- msg:
			case <-ctx.Done():
			}
		}, jetstream.PullMaxMessages(benchWorkers), notStalling)
		if err != nil {
			return err
		}
		var workers sync.WaitGroup
		for range benchWorkers {
			workers.Go(func() {
				for {
					select {
					case msg := <-messages:
						handle(msg.Headers().Get(natsgo.MsgIdHdr))
						_ = settle(context.WithoutCancel(ctx), msg) // if this fails, it comes again
					case <-ctx.Done():
						return
					}
				}
			})
		}
		workers.Wait()
		consuming.Stop()
		<-consuming.Closed()
		return nil
	}
}

func confirmed(ctx context.Context, msg jetstream.Msg) error { return msg.DoubleAck(ctx) }
func unconfirmed(_ context.Context, msg jetstream.Msg) error { return msg.Ack() }

// poll has each worker ask for a message of the most urgent class, then of the
// next, and so on.
func (n *natsClient) poll(ctx context.Context, handle func(string)) error {
	var lanes []jetstream.Consumer
	for _, class := range benchClasses {
		lane, err := n.consumer(ctx, class)
		if err != nil {
			return err
		}
		lanes = append(lanes, lane)
	}
	var workers sync.WaitGroup
	for range benchWorkers {
		workers.Go(func() {
			for ctx.Err() == nil {
				msg := first(lanes)
				if msg == nil {
					time.Sleep(time.Millisecond)
					continue
				}
				handle(msg.Headers().Get(natsgo.MsgIdHdr))
				_ = confirmed(context.WithoutCancel(ctx), msg) // if this fails, it comes again
			}
		})
	}
	workers.Wait()
	return nil
}

// first returns a message of the first lane that has one, or nil.
func first(lanes []jetstream.Consumer) jetstream.Msg {
	for _, lane := range lanes {
		batch, err := lane.FetchNoWait(1)
		if err != nil {
			return nil
		}
		if msg, ok := <-batch.Messages(); ok {
			return msg
		}
	}
	return nil
}

func (n *natsClient) depth(t *testing.T, class string) func() int {
	return func() int {
		t.Helper()
		stream, err := n.js.Stream(t.Context(), n.queue+"_"+class)
		if err != nil {
			t.Fatal(err)
		}
		return int(stream.CachedInfo().State.Msgs)
	}
}

// openNATS opens a queue of ours.
func openNATS(t *testing.T, cfg nats.ConnConfig, name string) *nats.Queue {
	t.Helper()
	conn, err := nats.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, conn.Close) })
	q, err := conn.OpenQueue(t.Context(), nats.QueueConfig{Name: name, Classes: benchClasses, MaxBytes: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// startNATS starts an embedded server, which clients by hand reach over a port.
func startNATS(t *testing.T) *nats.Server {
	t.Helper()
	server, err := nats.StartServer(nats.ServerConfig{
		Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, server.Shutdown) })
	return server
}

// TestBenchNATS compares our lanes on NATS with what can be had from it without
// them, and measures how fast jobs get into the embedded broker over HTTP.
func TestBenchNATS(t *testing.T) {
	var table string
	data := map[string]any{}
	t.Run("rates", func(t *testing.T) {
		var all [][]rates
		t.Run("embedded", func(t *testing.T) {
			s := startNATS(t)
			all = append(all, natsRates(t, "NATS, embedded", nats.ConnConfig{Server: s}, "nats://"+s.Addr().String()))
		})
		t.Run("external", func(t *testing.T) {
			s := natstest.Start(t, natstest.Options{})
			all = append(all, natsRates(t, "NATS, external", nats.ConnConfig{URLs: []string{s.URL()}}, s.URL()))
		})
		table += ratesTable(all...) + "\n"
		data["rates"] = all
	})
	t.Run("http", func(t *testing.T) {
		p := postJobs(t)
		table += p.table() + "\n"
		data["http"] = p
	})
	t.Run("backlog", func(t *testing.T) {
		s := startNATS(t)
		runs := natsBacklog(t, nats.ConnConfig{Server: s}, "nats://"+s.Addr().String())
		table += backlogTable(runs, goalNATS)
		data["backlog"] = runs
	})
	fmt.Print("\n" + table)
	saveBench(t, "nats", table, data)
	if runs, ok := data["backlog"].([]beside); ok {
		savePicture(t, runs, "NATS, embedded", "backlog-nats.png")
	}
}

func natsRates(t *testing.T, server string, cfg nats.ConnConfig, url string) []rates {
	q := openNATS(t, cfg, "rates")
	p := q.Publisher()
	t.Cleanup(func() { closing(t, p.Close) })
	hand := newNATSClient(t, url, "rates")
	depth := hand.depth(t, "batch")
	return playRates(t, server,
		client{"ours", publishOurs(p, "batch"), consumeOurs(func() broker.Consumer { return q.Consumer() }), depth},
		client{"by hand", hand.publish("batch"), nil, depth}.consuming(hand.consume("batch", confirmed)),
		client{"by hand, acknowledges without confirmation", hand.publish("batch"), nil, depth}.consuming(hand.consume("batch", unconfirmed)),
	)
}

// natsBacklog needs one backlog: our batch lane, which also is the plain stream.
func natsBacklog(t *testing.T, cfg nats.ConnConfig, url string) []beside {
	q := openNATS(t, cfg, "jobs")
	p := q.Publisher()
	t.Cleanup(func() { closing(t, p.Close) })
	hand := newNATSClient(t, url, "jobs")
	depth := hand.depth(t, "batch")
	consumeLanes := ours(func() broker.Consumer { return q.Consumer() })

	runs := []beside{playBeside(t, contender{"Overtake, no backlog", publishOurs(p, "interactive"), consumeLanes, depth})}
	fillQueue(t, "jobs_batch", publishOurs(p, "batch"))
	for _, c := range []contender{
		{"Overtake", publishOurs(p, "interactive"), consumeLanes, depth},
		{"one plain stream", hand.publish("batch"), hand.consume("batch", confirmed), depth},
		{"two streams, fetch high, then low", hand.publish("interactive"), hand.poll, depth},
	} {
		runs = append(runs, playBeside(t, c))
	}
	return runs
}
