package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"overtake/broker"
	"overtake/broker/nats/natstest"
	"overtake/broker/rabbitmq/rabbitmqtest"
	"overtake/gateway/config"
	"overtake/gateway/socket"
)

// A lookout passes connections on to a server and keeps what the clients send, with
// the octet of their first packet that has the code point.
type lookout struct {
	net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	lines []*overheard
}

type overheard struct {
	octet byte
	sent  bytes.Buffer
}

func startLookout(t *testing.T, server string) *lookout {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_TCP, unix.TCP_SAVE_SYN, 1) })
		if cerr != nil {
			return cerr
		}
		return err
	}}
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &lookout{Listener: ln}
	l.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			l.wg.Go(func() { l.pass(t, c.(*net.TCPConn), server) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		l.wg.Wait()
	})
	return l
}

func (l *lookout) pass(t *testing.T, c *net.TCPConn, server string) {
	defer c.Close()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Error(err)
		return
	}
	var syn string
	cerr := raw.Control(func(fd uintptr) { syn, err = unix.GetsockoptString(int(fd), unix.SOL_TCP, unix.TCP_SAVED_SYN) })
	if cerr != nil || err != nil || syn == "" {
		t.Errorf("the first packet: %q %v %v", syn, cerr, err)
		return
	}
	o := &overheard{octet: (syn + "\x00")[1]} // what is read ends with the first NUL
	l.mu.Lock()
	l.lines = append(l.lines, o)
	l.mu.Unlock()
	s, err := net.Dial("tcp", server)
	if err != nil {
		t.Error(err)
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(c, s)
		c.Close()
	})
	io.Copy(io.MultiWriter(s, l.keeper(o)), c)
	s.Close()
	back.Wait()
}

// keeper returns what keeps into o.
func (l *lookout) keeper(o *overheard) io.Writer {
	return writerFunc(func(p []byte) (int, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		return o.sent.Write(p)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// carrying returns the octets of the connections over which text was sent.
func (l *lookout) carrying(text string) (octets []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.lines {
		if strings.Contains(o.sent.String(), text) {
			octets = append(octets, o.octet)
		}
	}
	return octets
}

// TestPublishesByClass: what is published into the lanes of a broker elsewhere goes
// over connections that carry the class's code point from their first packet on.
func TestPublishesByClass(t *testing.T) {
	for kind, start := range map[string]func() (url, address string){
		"nats": func() (string, string) {
			url := natstest.Start(t, natstest.Options{}).URL()
			return url, strings.TrimPrefix(url, "nats://")
		},
		"rabbitmq": func() (string, string) {
			s, err := rabbitmqtest.Start(rabbitmqtest.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s.URL(), s.Addr()
		},
	} {
		url, address := start()
		t.Run(kind, func(t *testing.T) {
			l := startLookout(t, address)
			publishEach(t, kind, strings.Replace(url, address, l.Addr().String(), 1))
			for class, octet := range map[string]byte{"interactive": 18 << 2, "standard": 0, "batch": 1 << 2, "bulk": 0} {
				if got := l.carrying("work of " + class); len(got) != 1 || got[0] != octet {
					t.Errorf("%s was published over connections with %#x, want one with %#x", class, got, octet)
				}
			}
			if n, want := len(l.carrying("")), map[string]int{"nats": 3, "rabbitmq": 4}[kind]; n != want { // RabbitMQ has one for consuming
				t.Errorf("there are %d connections, want %d", n, want)
			}
		})
	}
}

// publishEach publishes a message of each class, as a gateway does.
func publishEach(t *testing.T, kind, url string) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", fmt.Appendf(nil, `
classes:
  - {name: interactive, socket: {dscp: AF21}}
  - {name: standard}
  - {name: batch, socket: {dscp: LE}}
  - {name: bulk}
default_class: standard
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
rules: [{class: bulk, match: {path: /bulk}}]
routes: [{queue: jobs}]
brokers: {far: {type: %s, url: %q}}
queues: {jobs: {deliver: {upstream: app}}}
`, kind, url), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b := newBrokers(cfg, log)
	b.sockets = socket.NewSetter(cfg.SocketOptions(), log)
	defer func() {
		if err := b.close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	queues, err := b.gatewayQueues(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := queues["jobs"].Ping(ctx); err != nil {
		t.Error(err)
	}
	for _, class := range classNames(cfg) {
		m := &broker.Message{ID: class, Class: class, Body: []byte("work of " + class)}
		if err := queues["jobs"].Publisher.Publish(ctx, m); err != nil {
			t.Error(err)
		}
	}
	depths, err := queues["jobs"].Depths(ctx)
	if err != nil || depths["interactive"] != 1 || depths["bulk"] != 1 {
		t.Errorf("the lanes hold %v, %v", depths, err)
	}
}

// TestRelayPublishesByClass: so do the messages that a relay moves.
func TestRelayPublishesByClass(t *testing.T) {
	url := natstest.Start(t, natstest.Options{}).URL()
	l := startLookout(t, strings.TrimPrefix(url, "nats://"))
	old, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	js, err := jetstream.New(old)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "old", Subjects: []string{"old.*"}, Retention: jetstream.WorkQueuePolicy}); err != nil {
		t.Fatal(err)
	}
	for _, class := range []string{"interactive", "batch"} {
		if _, err := js.Publish(t.Context(), "old."+class, []byte("moved work of "+class)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "overtake.yaml")
	text := fmt.Sprintf(`
classes: [{name: interactive, socket: {dscp: AF21}}, {name: standard}, {name: batch, socket: {dscp: LE}}]
upstreams: {app: {servers: ["http://127.0.0.1:9000"]}}
brokers: {near: {type: nats, url: %q}, far: {type: nats, url: "nats://%s"}}
queues: {jobs: {broker: far, deliver: {upstream: app}}}
relays: [{from: {broker: near, stream: old}, queue: jobs}]
rules: [{class: interactive, match: {path: /old.interactive}}, {class: batch, match: {path: /old.batch}}]
`, url, l.Addr())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&relayCommand{Config: file, UntilEmpty: true, LogLevel: "error"}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for class, octet := range map[string]byte{"interactive": 18 << 2, "batch": 1 << 2} {
		if got := l.carrying("moved work of " + class); len(got) != 1 || got[0] != octet {
			t.Errorf("%s was moved over connections with %#x, want one with %#x", class, got, octet)
		}
	}
}
