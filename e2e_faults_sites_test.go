//go:build e2e

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"overtake/broker"
	"overtake/broker/nats"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq"
	"overtake/broker/rabbitmq/rabbitmqtest"
)

func faults() []fault {
	const rabbit, far, cluster, embedded = "RabbitMQ", "NATS", "NATS cluster", "embedded NATS"
	return []fault{
		{"broker killed in mid-publish", rabbit, midPublish, rabbitSite(killRabbit)},
		{"broker killed in mid-consume", rabbit, midSettle, rabbitSite(killRabbit)},
		{"broker killed in mid-publish", far, midPublish, natsSite(killNATS)},
		{"broker killed in mid-consume", far, midSettle, natsSite(killNATS)},
		{"connection cut in mid-publish", rabbit, midPublish, rabbitSite(cutRabbit)},
		{"connection cut in mid-consume", rabbit, midSettle, rabbitSite(cutRabbit)},
		{"connection cut in mid-publish", far, midPublish, natsSite(cutNATS)},
		{"connection cut in mid-consume", far, midSettle, natsSite(cutNATS)},
		{"connection black-holed", rabbit, midPublish, rabbitSite(swallowRabbit)},
		{"connection black-holed", far, midPublish, natsSite(swallowNATS)},
		{"channel closed by the server", rabbit, midSettle, rabbitSite(closeChannels)},
		{"queue deleted under the consumer", rabbit, atRest, rabbitSite(deleteQueue)},
		{"memory alarm", rabbit, midPublish, rabbitSite(memoryAlarm)},
		{"gateway killed in mid-publish", embedded, midPublish, embeddedSite(nil)},
		{"gateway killed in mid-delivery", embedded, midDelivery, embeddedSite(nil)},
		{"gateway killed in mid-settle", embedded, midSettle, embeddedSite(nil)},
		{"gateway killed in mid-publish", rabbit, midPublish, gatewayOnRabbit},
		{"gateway killed in mid-delivery", rabbit, midDelivery, gatewayOnRabbit},
		{"gateway killed in mid-settle", rabbit, midSettle, gatewayOnRabbit},
		{"torn last block", embedded, midPublish, embeddedSite(tear)},
		{"disk full", embedded, midPublish, diskFull},
		{"node killed", cluster, midPublish, clusterSite(false)},
		{"stream leader killed", cluster, midPublish, clusterSite(true)},
	}
}

// faultContext bounds one call; it outlives the test's body for the sake of what
// is closed in the end.
func faultContext(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), patience)
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

// A rabbitFault makes a strike and its end out of a server and the proxy in front
// of it.
type rabbitFault func(s *rabbitmqtest.Server, p *proxy) (strike, heal func(*testing.T))

func rabbitSite(f rabbitFault) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		server := rabbitForFaults(t)
		p := newProxy(t, server.Addr())
		conn, err := rabbitmq.Connect(rabbitmq.ConnConfig{
			URL: strings.Replace(server.URL(), server.Addr(), p.address, 1), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := faultContext(t)
		defer cancel()
		t.Cleanup(func() { closeFor(t, conn.Close) })
		q, err := conn.OpenQueue(ctx, rabbitmq.QueueConfig{Name: "jobs", Classes: faultClasses, GiveBack: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		// A quorum queue of RabbitMQ 3.10 that is killed in its first half second is
		// forgotten; rabbitmqctl takes longer than that.
		rabbitCtl(t, server, "list_queues")
		s := adapterSite(t, l, q.Publisher(), q.Consumer())
		s.strike, s.heal = f(server, p)
		return s
	}
}

func rabbitForFaults(t *testing.T) *rabbitmqtest.Server {
	t.Helper()
	server, err := rabbitmqtest.Start(rabbitmqtest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

func closeFor(t *testing.T, end func(context.Context) error) {
	t.Helper()
	ctx, cancel := faultContext(t)
	defer cancel()
	if err := end(ctx); err != nil {
		t.Error(err)
	}
}

func rabbitCtl(t *testing.T, s *rabbitmqtest.Server, args ...string) {
	t.Helper()
	if _, err := s.Ctl(args...); err != nil {
		t.Fatal(err)
	}
}

func nothing(*testing.T) {}

func killRabbit(s *rabbitmqtest.Server, _ *proxy) (strike, heal func(*testing.T)) {
	return func(*testing.T) { s.Kill() }, func(t *testing.T) {
		if err := s.Restart(); err != nil {
			t.Fatal(err)
		}
	}
}

func cutRabbit(_ *rabbitmqtest.Server, p *proxy) (strike, heal func(*testing.T)) {
	return p.cut, nothing
}

func swallowRabbit(_ *rabbitmqtest.Server, p *proxy) (strike, heal func(*testing.T)) {
	return p.swallow, p.forward
}

// closeChannels has every channel acknowledge a delivery that there is not, which
// the server answers by closing the channel.
func closeChannels(s *rabbitmqtest.Server, _ *proxy) (strike, heal func(*testing.T)) {
	return func(t *testing.T) {
		rabbitCtl(t, s, "eval", "[rabbit_channel:do(P, {'basic.ack', 999999999, false}) || P <- rabbit_channel:list_local()].")
	}, nothing
}

func deleteQueue(s *rabbitmqtest.Server, _ *proxy) (strike, heal func(*testing.T)) {
	return func(t *testing.T) {
		for _, class := range faultClasses {
			rabbitCtl(t, s, "delete_queue", "jobs."+class)
		}
	}, nothing
}

func memoryAlarm(s *rabbitmqtest.Server, _ *proxy) (strike, heal func(*testing.T)) {
	return func(t *testing.T) { rabbitCtl(t, s, "set_vm_memory_high_watermark", "0.00001") },
		func(t *testing.T) { rabbitCtl(t, s, "set_vm_memory_high_watermark", "0.4") }
}

type natsFault func(s *natstest.Server, p *proxy) (strike, heal func(*testing.T))

func natsSite(f natsFault) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		server := natstest.Start(t, natstest.Options{})
		p := newProxy(t, strings.TrimPrefix(server.URL(), "nats://"))
		s := natsAdapter(t, l, 1, "nats://"+p.address)
		s.strike, s.heal = f(server, p)
		return s
	}
}

func natsAdapter(t *testing.T, l *ledger, replicas int, urls ...string) site {
	t.Helper()
	conn, err := nats.Connect(nats.ConnConfig{URLs: urls, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeFor(t, conn.Close) })
	ctx, cancel := faultContext(t)
	defer cancel()
	q, err := conn.OpenQueue(ctx, nats.QueueConfig{Name: "jobs", Classes: faultClasses, Replicas: replicas, AckWait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return adapterSite(t, l, q.Publisher(), q.Consumer())
}

func killNATS(s *natstest.Server, _ *proxy) (strike, heal func(*testing.T)) {
	return func(t *testing.T) { s.Kill(t) }, func(t *testing.T) { s.Restart(t) }
}

func cutNATS(_ *natstest.Server, p *proxy) (strike, heal func(*testing.T)) { return p.cut, nothing }

func swallowNATS(_ *natstest.Server, p *proxy) (strike, heal func(*testing.T)) {
	return p.swallow, p.forward
}

// clusterSite kills one of three servers, the one that leads the batch lane or one
// that does not. The others never go: healed is when both lanes have leaders.
func clusterSite(leader bool) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site {
		c := natstest.StartCluster(t, 3, natstest.Options{})
		s := natsAdapter(t, l, 3, c.URLs()...)
		var victim *natstest.Server
		s.strike = func(t *testing.T) {
			victim = c.Leader(t, "jobs_batch")
			if !leader {
				first := c.Leader(t, "jobs_interactive")
				victim = c[slices.IndexFunc(c, func(n *natstest.Server) bool { return n != victim && n != first })]
			}
			victim.Kill(t)
		}
		s.heal = func(t *testing.T) {
			for _, class := range faultClasses {
				c.Leader(t, "jobs_"+class)
			}
		}
		s.mend = func(t *testing.T) { victim.Restart(t) }
		return s
	}
}

// gatewaySite is a gateway that is killed and started again; before that, change
// does what else is to be done to it.
func gatewaySite(t *testing.T, l *ledger, file func(app string) string, change func(*testing.T)) site {
	t.Helper()
	app := httptest.NewServer(l)
	t.Cleanup(app.Close)
	config := file(app.URL)
	g := runGateway(t, config)
	var url atomic.Value
	url.Store(g.url)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * faultPosters}, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	return site{
		post: func(class, name string) string {
			return postJob(client, url.Load().(string), &post{job: name, class: class})
		},
		strike: func(t *testing.T) { g.kill(t) },
		heal: func(t *testing.T) {
			change(t)
			g = runGateway(t, config)
			url.Store(g.url)
		},
	}
}

// embeddedSite is a gateway with the embedded broker; change, if not nil, gets the
// broker's folder while the gateway is dead.
func embeddedSite(change func(t *testing.T, dir string)) func(*testing.T, *ledger) site {
	return func(t *testing.T, l *ledger) site { return embeddedIn(t, l, t.TempDir(), change) }
}

func embeddedIn(t *testing.T, l *ledger, dir string, change func(t *testing.T, dir string)) site {
	t.Helper()
	file := func(app string) string {
		lines := strings.Split(queueConfig(t, app), "\n")
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "brokers:") })
		lines[i] = fmt.Sprintf("brokers: {local: {type: nats, embedded: true, dir: %q}}", dir)
		return writeConfig(t, strings.Join(lines, "\n"))
	}
	return gatewaySite(t, l, file, func(t *testing.T) {
		if change != nil {
			change(t, dir)
		}
	})
}

func gatewayOnRabbit(t *testing.T, l *ledger) site {
	return gatewaySite(t, l, func(app string) string {
		_, config := startRabbitMQ(t, app, "queue_type: quorum")
		return writeConfig(t, config)
	}, nothing)
}

// tear adds half a message to the newest block of each lane: one that was being
// written, and so was not confirmed.
func tear(t *testing.T, dir string) {
	t.Helper()
	for _, class := range faultClasses {
		blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "$G", "streams", "jobs_"+class, "msgs", "*.blk"))
		if err != nil || len(blocks) == 0 {
			t.Fatalf("no block files of %s: %v", class, err)
		}
		newest := slices.Max(blocks)
		content, err := os.ReadFile(newest)
		if err != nil {
			t.Fatal(err)
		}
		torn := bytes.Clone(content[:min(len(content), 100)])
		if err := os.WriteFile(newest, append(content, torn...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// diskFull fills the disk of an embedded broker, and makes room again.
func diskFull(t *testing.T, l *ledger) site {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatalf("a disk to fill, which only root can mount: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := embeddedIn(t, l, filepath.Join(dir, "data"), nil)
	filler := filepath.Join(dir, "filler")
	kill, restart, round := s.strike, s.heal, 0
	s.strike = func(t *testing.T) {
		// It fails where the disk ends, which is the point.
		if err := os.WriteFile(filler, make([]byte, 64<<20), 0o600); err == nil {
			t.Fatal("the disk is not full")
		}
	}
	s.heal = func(t *testing.T) {
		round++
		number := 0
		eventually(t, "a job is refused", func() bool {
			number++
			return !l.post(s, "batch", fmt.Sprintf("full-%d-%d", round, number))
		})
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		kill(t)
		restart(t) // which the embedded server needs
	}
	return s
}
