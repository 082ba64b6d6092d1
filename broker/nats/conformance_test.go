package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"overtake/broker"
	"overtake/broker/brokertest"
	"overtake/broker/nats/natstest"
)

// conformanceQueue is the queue of the stories, but for its name.
var conformanceQueue = QueueConfig{
	Classes:  []string{"interactive", "standard", "batch"},
	MaxBytes: 16 << 20,
	AckWait:  time.Second,
}

// harness is a queue on a connection, and how its server is restarted, after
// which conn and q are those in use.
func harness(conn **Conn, q **Queue, restart func(t *testing.T)) brokertest.Harness {
	return brokertest.Harness{
		Classes:   conformanceQueue.Classes,
		Publisher: func(t *testing.T) broker.Publisher { return publisher(t, *q) },
		Consumer:  func(t *testing.T) broker.Consumer { return consumer(t, *q) },
		Inspector: func() broker.Inspector { return *q },
		Morgue:    func() broker.Morgue { return *q },
		TooLarge:  testMaxPayload,
		LaneBytes: int(conformanceQueue.MaxBytes),
		Disconnect: brokertest.Hook{Do: func(t *testing.T) {
			if err := (*conn).nc.ForceReconnect(); err != nil {
				t.Fatal(err)
			}
		}},
		Restart: brokertest.Hook{Do: restart},
	}
}

func TestConformance(t *testing.T) {
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		b := startBroker(t, t.TempDir())
		q := b.open(t, conformanceQueue)
		return harness(&b.conn, &q, func(t *testing.T) {
			b.stop(t)
			b.start(t)
			q = b.open(t, conformanceQueue)
		})
	})
}

// testPayload is the server's line for testMaxPayload.
var testPayload = fmt.Sprintf("max_payload: %d\n", testMaxPayload)

func TestConformanceExternal(t *testing.T) {
	cert := natstest.NewCertificate(t)
	s := natstest.Start(t, natstest.Options{Config: testPayload + fmt.Sprintf(
		"authorization {user: overtake, password: secret}\ntls {cert_file: %q, key_file: %q}\n", cert.Cert, cert.Key)})
	cfg := ConnConfig{
		URLs: []string{strings.Replace(s.URL(), "nats://", "tls://overtake:secret@", 1)},
		TLS:  TLSFiles{CA: cert.CA},
	}
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		return externalHarness(t, cfg, 1, func(t *testing.T, _ string) {
			s.Stop(t)
			s.Restart(t)
		})
	})
}

func TestConformanceCluster(t *testing.T) {
	cluster := natstest.StartCluster(t, 3, natstest.Options{Config: testPayload})
	brokertest.Run(t, func(t *testing.T) brokertest.Harness {
		return externalHarness(t, ConnConfig{URLs: cluster.URLs()}, 3, func(t *testing.T, stream string) {
			leader := cluster.Leader(t, stream)
			leader.Kill(t)
			t.Cleanup(func() { leader.Restart(t) }) // the story goes on with two
		})
	})
}

// queues numbers the queues of stories, which share a server.
var queues atomic.Int64

// externalHarness opens a queue of its own on servers that outlive it. restart
// is given the stream that the story is about.
func externalHarness(t *testing.T, cfg ConnConfig, replicas int, restart func(t *testing.T, stream string)) brokertest.Harness {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler) // it warns of what the stories do, rightly
	conn := connect(t, cfg)
	qc := conformanceQueue
	qc.Name, qc.Replicas = fmt.Sprint("jobs", queues.Add(1)), replicas
	q, err := conn.OpenQueue(testContext(t), qc)
	if err != nil {
		t.Fatal(err)
	}
	awaitLeaders(t, q)
	t.Cleanup(func() {
		for _, name := range append([]string{deadName}, qc.Classes...) {
			err := conn.js.DeleteStream(testContext(t), q.stream(name))
			// A request that a busy cluster answers late is sent again.
			if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				t.Errorf("remove what the story left: %v", err)
			}
		}
	})
	return harness(&conn, &q, func(t *testing.T) {
		restart(t, q.stream("batch"))
		awaitQueue(t, q)
		awaitLeaders(t, q)
	})
}

func connect(t testing.TB, cfg ConnConfig) *Conn {
	t.Helper()
	conn, err := Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	})
	return conn
}

// awaitQueue waits until every lane has a leader again.
func awaitQueue(t testing.TB, q *Queue) {
	t.Helper()
	ctx := testContext(t)
	for {
		err := q.declare(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// awaitLeaders waits until the server that the queue is connected to knows who takes
// the messages of each lane: in a cluster, its leader may have to tell first.
func awaitLeaders(t testing.TB, q *Queue) {
	t.Helper()
	ctx := testContext(t)
	for _, class := range q.cfg.Classes {
		for {
			// The leader refuses this, nobody else answers.
			_, err := q.conn.js.Publish(ctx, q.cfg.Name+"."+class, nil, jetstream.WithExpectStream("nothing"))
			var refused *jetstream.APIError
			if errors.As(err, &refused) {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("lane %s of %s has no leader: %v", class, q.cfg.Name, err)
			}
		}
	}
}
